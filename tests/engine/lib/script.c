/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See script.h.
 */
#include "lib/script.h"

#include <arpa/inet.h>
#include <stdarg.h>

#include "ssh/auth.h"

/* ---- Sending ---------------------------------------------------------- */

/* Receive what has arrived, without waiting. */
static void
drain(struct script *script)
{
    char block[65536];
    ssize_t n;

    do {
        n = recv(script->fd, block, sizeof(block), MSG_DONTWAIT);
        bytes_add(&script->received, block, n > 0 ? (size_t)n : 0);
    } while (n > 0);
}

void
script_write(struct script *script, const void *data, size_t n)
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
        drain(script);
    }
}

void
script_send(struct script *script, int type, const char *format, ...)
{
    struct bytes stream = {0};
    va_list args;

    va_start(args, format);
    packet_put_v(&stream, 1, type, format, args);
    va_end(args);
    script_write(script, stream.data, stream.len);
    free(stream.data);
}

void
script_write_bytes(struct script *script, struct bytes *bytes)
{
    script_write(script, bytes->data, bytes->len);
    free(bytes->data);
    *bytes = (struct bytes){0};
}

void
script_hang_up(struct script *script)
{
    CHECK_EQ(shutdown(script->fd, SHUT_WR), 0);
}

/* ---- Receiving -------------------------------------------------------- */

uint32_t
script_u32(const struct script *script, size_t at)
{
    uint32_t number;

    CHECK_LE(at + sizeof(number), script->packet_len);
    memcpy(&number, script->packet + at, sizeof(number));
    return ntohl(number);
}

bool
script_string_is(const struct script *script, size_t at, const char *text)
{
    size_t n = strlen(text);

    return script_u32(script, at) == n && at + 4 + n <= script->packet_len
           && memcmp(script->packet + at + 4, text, n) == 0;
}

/* Wait for more from the client.  Returns false at the end. */
static bool
receive(struct script *script)
{
    char block[65536];
    ssize_t n;

    wait_for(script->fd, POLLIN);
    n = recv(script->fd, block, sizeof(block), MSG_DONTWAIT);
    bytes_add(&script->received, block, n > 0 ? (size_t)n : 0);
    return n > 0;
}

/* Receive until there are `n` bytes from `next` on.  Returns false if the
 * connection ends first. */
static bool
receive_up_to(struct script *script, size_t n)
{
    while (script->received.len - script->next < n) {
        if (!receive(script)) {
            return false;
        }
    }
    return true;
}

static bool
skip_banner(struct script *script)
{
    const unsigned char *end = NULL;

    while (end == NULL) {
        size_t n = script->received.len - script->next;

        end = n > 0 ? memchr(script->received.data + script->next, '\n', n)
                    : NULL;
        if (end == NULL && !receive(script)) {
            return false;
        }
    }
    script->next = (size_t)(end - script->received.data) + 1;
    script->has_banner = true;
    return true;
}

int
script_next(struct script *script)
{
    size_t mac = script->is_keyed ? MAC_SIZE : 0;
    const unsigned char *head;
    uint32_t length;

    if ((!script->has_banner && !skip_banner(script))
        || !receive_up_to(script, 5)) {
        return -1;
    }
    memcpy(&length, script->received.data + script->next, sizeof(length));
    length = ntohl(length);
    if (!receive_up_to(script, 4 + length + mac)) {
        return -1;
    }
    head = script->received.data + script->next;
    CHECK_LE(1 + head[4], length);
    script->packet = head + 5;
    script->packet_len = length - 1 - head[4];
    script->next += 4 + length + mac;
    CHECK_GE(script->packet_len, 1);
    if (script->packet[0] == MSG_NEWKEYS) {
        script->is_keyed = true;
    }
    return script->packet[0];
}

bool
script_answer(struct script *script)
{
    if (script->packet[0] == MSG_CHANNEL_OPEN
        && script_string_is(script, 1, "noop@sshgateway")) {
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

void
script_expect(struct script *script, int type)
{
    int seen;

    do {
        seen = script_next(script);
        if (seen < 0) {
            test_fail(__FILE__, __LINE__,
                      "the connection ended before packet %d", type);
        }
    } while (script_answer(script) || seen != type);
}

void
script_expect_end(struct script *script)
{
    while (receive(script)) {
        script->received.len = script->next = 0;
    }
}

/* ---- Sessions --------------------------------------------------------- */

struct sg_session *
script_start(struct script *script, const struct bytes *words)
{
    int pair[2];

    *script = (struct script){.control = -1};
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    script->fd = pair[1];
    script->shared = sg_shared_new();
    CHECK(script->shared != NULL);
    write_all(script->fd, (const char *)words->data, words->len);
    return session_new(pair[0], script->shared);
}

void
script_open(struct script *script)
{
    struct bytes words = {0};
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_patiently();
    struct sg_session *session;
    const char *methods;

    put_login(&words);
    session = script_start(script, &words);
    free(words.data);
    session_handshake(session);
    CHECK_OK(sg_auth_none(session, "user", &methods, &wait, &error), error);
    CHECK(methods == NULL);
    CHECK_OK(sg_session_start(session, &(struct sg_alive){0}, &script->loop,
                              &script->control, &error),
             error);
}

void
script_close(struct script *script)
{
    sg_sys_close(&script->control);
    sg_sys_close(&script->fd);
    sg_shared_unref(script->shared);
    free(script->received.data);
    script->received = (struct bytes){0};
}

/* ---- Channels --------------------------------------------------------- */

void
script_ask_with(struct script *script, struct channel *channel,
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

void
script_ask(struct script *script, struct channel *channel)
{
    script_ask_with(script, channel, SCRIPT_WINDOW);
}

void
script_expect_open(struct script *script, struct channel *channel)
{
    script_expect(script, MSG_CHANNEL_OPEN);
    CHECK(script_string_is(script, 1, "direct-tcpip"));
    channel->id = script_u32(script, 1 + 4 + 12);
}

void
script_confirm(struct script *script, const struct channel *channel,
               uint32_t window)
{
    script_send(script, MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", channel->id,
                SERVERS_ID, window, (uint32_t)32768);
}

void
script_open_channel(struct script *script, struct channel *channel)
{
    script_ask(script, channel);
    script_expect_open(script, channel);
    script_confirm(script, channel, SCRIPT_WINDOW);
    channel_wait_open(channel);
}
