/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Channels of a gateway (sshd.h), and TCP servers for them to lead to.
 */
#ifndef SG_TEST_CHANNELS_H
#define SG_TEST_CHANNELS_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include "ssh/channel.h"
#include "sshd.h"

#define MB (1024 * 1024)
#define WINDOW (2 * MB)

struct channel {
    int stream;
    struct sg_reply *reply;
    struct sg_shared *shared;
};

/* A TCP server: a socket that listens, whose connections a case accepts. */
struct listener {
    int fd;
    unsigned port;
};

HELPER struct listener
listen_here(int backlog)
{
    struct listener listener = {
        .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);

    CHECK_GE(listener.fd, 0);
    CHECK_EQ(bind(listener.fd, (struct sockaddr *)&address, n), 0);
    CHECK_EQ(listen(listener.fd, backlog), 0);
    CHECK_EQ(getsockname(listener.fd, (struct sockaddr *)&address, &n), 0);
    listener.port = ntohs(address.sin_port);
    return listener;
}

/* A server whose backlog is full: to connect to it takes until somebody
 * accepts.  (Linux takes one more than the backlog.) */
HELPER struct listener
listen_busily(int fillers[2])
{
    struct listener listener = listen_here(0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)listener.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    for (int i = 0; i < 2; i++) {
        fillers[i] = socket(AF_INET,
                            SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK_GE(fillers[i], 0);
        if (connect(fillers[i], (struct sockaddr *)&address, sizeof(address))
            < 0) {
            CHECK_EQ(errno, EINPROGRESS);
        }
    }
    poll(NULL, 0, 20);
    return listener;
}

HELPER int
accept_one(const struct listener *listener)
{
    int fd;

    wait_for(listener->fd, POLLIN);
    fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    CHECK_GE(fd, 0);
    return fd;
}

HELPER char *
put_number(char *to, size_t n)
{
    uint32_t number = htonl((uint32_t)n);

    memcpy(to, &number, sizeof(number));
    return to + sizeof(number);
}

HELPER char *
put_string(char *to, const char *text)
{
    to = put_number(to, strlen(text));
    memcpy(to, text, strlen(text));
    return to + strlen(text);
}

/* RFC 4254 7.2. */
HELPER enum sg_status
channel_try(struct channel *channel, uint64_t loop, unsigned port,
            int64_t linger, struct sg_error *error)
{
    char message[128];
    char *end = put_number(put_string(message, "127.0.0.1"), port);
    struct sg_channel_options options = {.type = "direct-tcpip",
                                         .message = message,
                                         .window_size = WINDOW,
                                         .max_packet_size = 32768,
                                         .linger = linger};

    end = put_number(put_string(end, "127.0.0.1"), 1);
    options.message_len = (size_t)(end - message);
    channel->stream = -1;
    channel->shared = sg_shared_new();
    CHECK(channel->shared != NULL);
    return sg_channel_start(loop, &options, channel->shared, &channel->reply,
                            &channel->stream, error);
}

HELPER struct channel
channel_ask(const struct gateway *gateway, unsigned port, int64_t linger)
{
    struct channel channel;
    struct sg_error error = {.status = SG_OK};
    enum sg_status status = channel_try(&channel, gateway->loop, port, linger,
                                        &error);

    if (status == SG_ERR_LOST) { /* it does not know why */
        sg_shared_get_failure(gateway->shared, error.text);
    }
    CHECK_OK(status, error);
    return channel;
}

/* The answer. */
HELPER enum sg_status
channel_wait(struct channel *channel, struct sg_error *error)
{
    enum sg_status status = sg_reply_wait(channel->reply, patiently().deadline,
                                          never_interrupt, NULL, error);

    sg_reply_drop(channel->reply);
    channel->reply = NULL;
    return status;
}

HELPER void
channel_wait_open(struct channel *channel)
{
    struct sg_error error = {.status = SG_OK};

    CHECK_OK(channel_wait(channel, &error), error);
}

HELPER struct channel
channel_open(const struct gateway *gateway, const struct listener *listener,
             int *server)
{
    struct channel channel = channel_ask(gateway, listener->port, LONG_LINGER);

    channel_wait_open(&channel);
    *server = accept_one(listener);
    return channel;
}

HELPER void
channel_close(struct channel *channel)
{
    sg_reply_drop(channel->reply);
    sg_sys_close(&channel->stream);
    sg_shared_unref(channel->shared);
}

/* A channel, and what it leads from and to. */
struct road {
    struct gateway gateway;
    struct listener listener;
    struct channel channel;
    int server;
};

HELPER struct road
road_open(const char *options)
{
    struct road road = {.gateway = gateway_open(options),
                        .listener = listen_here(4)};

    road.channel = channel_open(&road.gateway, &road.listener, &road.server);
    return road;
}

/* Another channel of the same gateway, to the same listener. */
HELPER void
road_reopen(struct road *road)
{
    channel_close(&road->channel);
    sg_sys_close(&road->server);
    road->channel = channel_open(&road->gateway, &road->listener,
                                 &road->server);
}

HELPER void
road_close(struct road *road)
{
    channel_close(&road->channel);
    sg_sys_close(&road->server);
    close(road->listener.fd);
    gateway_close(&road->gateway);
}

HELPER void
ping(int from, int to, size_t seed)
{
    char sent[1000], heard[1000];

    pattern_fill(seed, sent, sizeof(sent));
    say(from, sent, sizeof(sent));
    CHECK_EQ(hear(to, heard, sizeof(heard)), sizeof(heard));
    CHECK_EQ(memcmp(sent, heard, sizeof(heard)), 0);
}

/* Hear `n` bytes of the pattern, then an end. */
HELPER void
expect_pattern(int fd, size_t n)
{
    static char block[65536];
    size_t heard = 0;

    for (;;) {
        ssize_t more;

        wait_for(fd, POLLIN);
        more = read(fd, block, sizeof(block));
        CHECK_GE(more, 0);
        if (more == 0) {
            break;
        }
        CHECK(pattern_is(heard, block, (size_t)more));
        heard += (size_t)more;
    }
    CHECK_EQ(heard, n);
}

#endif
