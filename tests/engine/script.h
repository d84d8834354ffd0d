/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A server that is a script: the test itself, at the other end of a session's
 * socket, with every packet under control (packets.h).
 *
 * It answers by itself only what a client asks to find out whether anybody is
 * there: an open of a type that is unknown, a global request.
 */
#ifndef SG_TEST_SCRIPT_H
#define SG_TEST_SCRIPT_H

#include "ssh/channel.h"
#include "packets.h"
#include "sshd.h"

#define SCRIPT_WINDOW (2 * 1024 * 1024) /* the client's, of a channel */

struct script {
    int fd; /* the server's end; owned by the engine */
    uint64_t loop;
    int control;
    struct sg_shared *shared;

    struct bytes heard;          /* from the client */
    size_t next;                 /* where the next packet begins */
    bool is_greeted;             /* its banner is over */
    bool is_keyed;               /* its NEWKEYS has come */
    const unsigned char *packet; /* the last one: a payload */
    size_t packet_len;
};

/* ---- Saying ----------------------------------------------------------- */

/* Take in what there is, so that the client is never in want of room. */
HELPER void
script_listen(struct script *script)
{
    char block[65536];
    ssize_t n;

    do {
        n = recv(script->fd, block, sizeof(block), MSG_DONTWAIT);
        bytes_add(&script->heard, block, n > 0 ? (size_t)n : 0);
    } while (n > 0);
}

/* As much as the client takes; all of it, unless it has hung up. */
HELPER void
script_say(struct script *script, const void *data, size_t n)
{
    const char *from = data;
    struct pollfd pollfd = {.fd = script->fd, .events = POLLIN | POLLOUT};

    while (n > 0) {
        ssize_t sent = send(script->fd, from, n < 65536 ? n : 65536,
                            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno != EAGAIN) {
            return;
        }
        if (sent > 0) {
            from += sent;
            n -= (size_t)sent;
            continue;
        }
        CHECK_EQ(poll(&pollfd, 1, PATIENCE * 1000), 1);
        script_listen(script);
    }
}

/* A packet; see payload_v() for the format. */
HELPER void
script_send(struct script *script, int type, const char *format, ...)
{
    struct bytes stream = {0};
    va_list args;

    va_start(args, format);
    packet_add_v(&stream, 1, type, format, args);
    va_end(args);
    script_say(script, stream.data, stream.len);
    free(stream.data);
}

HELPER void
script_say_bytes(struct script *script, struct bytes *bytes)
{
    script_say(script, bytes->data, bytes->len);
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* Hang up on it, with what was said still to be heard. */
HELPER void
script_hang_up(struct script *script)
{
    CHECK_EQ(shutdown(script->fd, SHUT_WR), 0);
}

/* ---- Hearing ---------------------------------------------------------- */

HELPER uint32_t
script_u32(const struct script *script, size_t at)
{
    uint32_t number;

    CHECK_LE(at + sizeof(number), script->packet_len);
    memcpy(&number, script->packet + at, sizeof(number));
    return ntohl(number);
}

/* The string at `at` of the last packet is `text`. */
HELPER bool
script_is(const struct script *script, size_t at, const char *text)
{
    size_t n = strlen(text);

    return script_u32(script, at) == n && at + 4 + n <= script->packet_len
           && memcmp(script->packet + at + 4, text, n) == 0;
}

/* More from the client; false at its end. */
HELPER bool
script_hear(struct script *script)
{
    char block[65536];
    ssize_t n;

    wait_for(script->fd, POLLIN);
    n = recv(script->fd, block, sizeof(block), MSG_DONTWAIT);
    bytes_add(&script->heard, block, n > 0 ? (size_t)n : 0);
    return n > 0;
}

/* `n` bytes are there behind `next`; false when the client has ended. */
HELPER bool
script_has(struct script *script, size_t n)
{
    while (script->heard.len - script->next < n) {
        if (!script_hear(script)) {
            return false;
        }
    }
    return true;
}

HELPER bool
script_hear_banner(struct script *script)
{
    const unsigned char *end = NULL;

    while (end == NULL) {
        size_t n = script->heard.len - script->next;

        end = n > 0 ? memchr(script->heard.data + script->next, '\n', n)
                    : NULL;
        if (end == NULL && !script_hear(script)) {
            return false;
        }
    }
    script->next = (size_t)(end - script->heard.data) + 1;
    script->is_greeted = true;
    return true;
}

/* The next packet, whatever it is: its type, or -1 at the end. */
HELPER int
script_next(struct script *script)
{
    const unsigned char *head;
    uint32_t length;

    if ((!script->is_greeted && !script_hear_banner(script))
        || !script_has(script, 5)) {
        return -1;
    }
    memcpy(&length, script->heard.data + script->next, sizeof(length));
    length = ntohl(length);
    if (!script_has(script, 4 + length + (script->is_keyed ? MAC_SIZE : 0U))) {
        return -1;
    }
    head = script->heard.data + script->next;
    CHECK_LE(1 + head[4], length);
    script->packet = head + 5;
    script->packet_len = length - 1 - head[4];
    script->next += 4 + length + (script->is_keyed ? MAC_SIZE : 0U);
    CHECK_GE(script->packet_len, 1);
    if (script->packet[0] == MSG_NEWKEYS) {
        script->is_keyed = true;
    }
    return script->packet[0];
}

/* What any server would answer; false when there is nothing to. */
HELPER bool
script_answer(struct script *script)
{
    if (script->packet[0] == MSG_CHANNEL_OPEN
        && script_is(script, 1, "noop@sshgateway")) {
        script_send(script, MSG_CHANNEL_OPEN_FAILURE, "uuss",
                    script_u32(script, 1 + 4 + 15), (uint32_t)3, "no", "");
        return true;
    }
    if (script->packet[0] == MSG_GLOBAL_REQUEST
        && script->packet[1 + 4 + script_u32(script, 1)] != 0) {
        script_send(script, MSG_REQUEST_FAILURE, "");
        return true;
    }
    return false;
}

/* On to the next packet of that type, past others. */
HELPER void
script_expect(struct script *script, int type)
{
    int seen;

    do {
        seen = script_next(script);
        if (seen < 0) {
            test_fail(__FILE__, __LINE__, "it ended before packet %d", type);
        }
    } while (script_answer(script) || seen != type);
}

/* On to the end, past everything. */
HELPER void
script_expect_end(struct script *script)
{
    while (script_hear(script)) {
        script->heard.len = script->next = 0;
    }
}

/* ---- A session with it ------------------------------------------------ */

/* One that has begun; the login waits for it in its socket. */
HELPER struct sg_session *
script_meet(struct script *script, const struct bytes *words)
{
    int pair[2];

    *script = (struct script){.control = -1};
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    script->fd = pair[1];
    script->shared = sg_shared_new();
    CHECK(script->shared != NULL);
    say(script->fd, (const char *)words->data, words->len);
    return session_with(pair[0], script->shared);
}

/* One that is logged in, and runs. */
HELPER void
script_open(struct script *script)
{
    struct bytes words = {0};
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = patiently();
    struct sg_session *session;
    const char *methods;

    put_login(&words);
    session = script_meet(script, &words);
    free(words.data);
    shake_hands(session);
    CHECK_OK(sg_auth_none(session, "user", &methods, &wait, &error), error);
    CHECK(methods == NULL);
    CHECK_OK(sg_session_start(session, &(struct sg_alive){0}, &script->loop,
                              &script->control, &error),
             error);
}

/* Both sides end, if they have not yet. */
HELPER void
script_close(struct script *script)
{
    sg_sys_close(&script->control);
    sg_sys_close(&script->fd);
    sg_shared_unref(script->shared);
    free(script->heard.data);
    script->heard = (struct bytes){0};
}

/* ---- A channel of it -------------------------------------------------- */

struct channel {
    int stream;
    struct sg_reply *reply;
    struct sg_shared *shared;
    uint32_t id; /* the client's number for it */
};

#define SERVERS_ID 7U /* ours for it */

HELPER void
channel_ask_with(struct script *script, struct channel *channel,
                 unsigned int window)
{
    struct bytes message = {0};
    struct sg_error error = {.status = SG_OK};
    struct sg_channel_options options = {.type = "direct-tcpip",
                                         .window_size = window,
                                         .max_packet_size = 32768,
                                         .linger = SHORT_LINGER};

    bytes_add_string(&message, "host", 4);
    bytes_add_u32(&message, 22);
    bytes_add_string(&message, "", 0);
    bytes_add_u32(&message, 0);
    options.message = message.data;
    options.message_len = message.len;
    *channel = (struct channel){.stream = -1, .shared = sg_shared_new()};
    CHECK(channel->shared != NULL);
    CHECK_OK(sg_channel_start(script->loop, &options, channel->shared,
                              &channel->reply, &channel->stream, &error),
             error);
    free(message.data);
}

HELPER void
channel_ask(struct script *script, struct channel *channel)
{
    channel_ask_with(script, channel, SCRIPT_WINDOW);
}

/* The client's open, as the server gets it. */
HELPER void
channel_expect_open(struct script *script, struct channel *channel)
{
    script_expect(script, MSG_CHANNEL_OPEN);
    CHECK(script_is(script, 1, "direct-tcpip"));
    channel->id = script_u32(script, 1 + 4 + 12);
}

HELPER void
channel_confirm(struct script *script, const struct channel *channel,
                uint32_t window)
{
    script_send(script, MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", channel->id,
                SERVERS_ID, window, (uint32_t)32768);
}

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
channel_open(struct script *script, struct channel *channel)
{
    struct sg_error error = {.status = SG_OK};

    channel_ask(script, channel);
    channel_expect_open(script, channel);
    channel_confirm(script, channel, SCRIPT_WINDOW);
    CHECK_OK(channel_wait(channel, &error), error);
}

HELPER void
channel_close(struct channel *channel)
{
    sg_reply_drop(channel->reply);
    sg_sys_close(&channel->stream);
    sg_shared_unref(channel->shared);
    *channel = (struct channel){.stream = -1};
}

#endif
