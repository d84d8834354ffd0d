/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See gateway.h.
 */
#include "lib/gateway.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* ---- Gateways --------------------------------------------------------- */

struct gateway
gateway_open_with(const char *options, const struct sg_alive *alive)
{
    struct gateway gateway = {.sshd = sshd_start(options),
                              .shared = sg_shared_new()};
    struct sg_session *session = session_new(gateway.sshd.fd, gateway.shared);
    struct sg_error error = {.status = SG_OK};

    session_handshake(session);
    CHECK_OK(log_in_with_key(session, "user", &error), error);
    CHECK_OK(sg_session_start(session, alive, &gateway.loop, &gateway.control,
                              &error),
             error);
    return gateway;
}

struct gateway
gateway_open(const char *options)
{
    return gateway_open_with(options, &(struct sg_alive){0});
}

void
gateway_close(struct gateway *gateway)
{
    sg_sys_close(&gateway->control);
    sshd_join(&gateway->sshd);
    sg_shared_unref(gateway->shared);
}

/* ---- TCP servers ------------------------------------------------------ */

static struct sockaddr_in
loopback(unsigned port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

struct listener
listener_open(int backlog)
{
    struct listener listener = {
        .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in address = loopback(0);
    socklen_t n = sizeof(address);

    CHECK_GE(listener.fd, 0);
    CHECK_EQ(bind(listener.fd, (struct sockaddr *)&address, n), 0);
    CHECK_EQ(listen(listener.fd, backlog), 0);
    CHECK_EQ(getsockname(listener.fd, (struct sockaddr *)&address, &n), 0);
    listener.port = ntohs(address.sin_port);
    return listener;
}

struct listener
listener_open_full(int fillers[2])
{
    struct listener listener = listener_open(0);
    struct sockaddr_in address = loopback(listener.port);

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

int
listener_accept(const struct listener *listener)
{
    int fd;

    wait_for(listener->fd, POLLIN);
    fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    CHECK_GE(fd, 0);
    return fd;
}

/* ---- Channels --------------------------------------------------------- */

/* Write a uint32 (RFC 4251 5) to `to`; returns where it ends. */
static char *
put_number(char *to, size_t n)
{
    uint32_t number = htonl((uint32_t)n);

    memcpy(to, &number, sizeof(number));
    return to + sizeof(number);
}

/* Write a string (RFC 4251 5) to `to`; returns where it ends. */
static char *
put_string(char *to, const char *text)
{
    to = put_number(to, strlen(text));
    memcpy(to, text, strlen(text));
    return to + strlen(text);
}

enum sg_status
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
    *channel = (struct channel){.stream = -1, .shared = sg_shared_new()};
    CHECK(channel->shared != NULL);
    return sg_channel_start(loop, &options, channel->shared, &channel->reply,
                            &channel->stream, error);
}

struct channel
channel_start(const struct gateway *gateway, unsigned port, int64_t linger)
{
    struct channel channel;
    struct sg_error error = {.status = SG_OK};
    enum sg_status status = channel_try(&channel, gateway->loop, port, linger,
                                        &error);

    if (status == SG_ERR_LOST) { /* the session has the reason */
        sg_shared_get_failure(gateway->shared, error.text);
    }
    CHECK_OK(status, error);
    return channel;
}

struct channel
channel_open(const struct gateway *gateway, const struct listener *listener,
             int *server)
{
    struct channel channel = channel_start(gateway, listener->port,
                                           LONG_LINGER);

    channel_wait_open(&channel);
    *server = listener_accept(listener);
    return channel;
}

/* ---- Tunnels ---------------------------------------------------------- */

struct tunnel
tunnel_open(const char *options)
{
    struct tunnel tunnel = {.gateway = gateway_open(options),
                            .listener = listener_open(4)};

    tunnel.channel = channel_open(&tunnel.gateway, &tunnel.listener,
                                  &tunnel.server);
    return tunnel;
}

void
tunnel_reopen(struct tunnel *tunnel)
{
    channel_close(&tunnel->channel);
    sg_sys_close(&tunnel->server);
    tunnel->channel = channel_open(&tunnel->gateway, &tunnel->listener,
                                   &tunnel->server);
}

void
tunnel_close(struct tunnel *tunnel)
{
    channel_close(&tunnel->channel);
    sg_sys_close(&tunnel->server);
    close(tunnel->listener.fd);
    gateway_close(&tunnel->gateway);
}
