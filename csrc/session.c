/* SPDX-License-Identifier: BSD-2-Clause
 *
 * One SSH connection to a gateway; see session.h.
 *
 * EAGAIN from libssh2 does not mean that nothing is left to do: a read on one
 * channel takes in packets of all, and the socket will not become readable
 * again for them.  So a turn makes every channel due, and itself once more,
 * until rx is empty and a whole pass over the channels has moved nothing.
 */
#include "session_internal.h"

#include <libssh2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RX_SIZE (256 * 1024)
#define TX_SOFT_LIMIT (256 * 1024) /* above: channels are not fed */
#define TX_HARD_LIMIT                                                         \
    (1024 * 1024) /* above: libssh2 is not fed, so that a
                                       hostile server can't make us queue
                                       replies without end */
#define CLOSE_BOUND (1 * SG_SEC)

/* ---- Callbacks of libssh2 --------------------------------------------- */

static LIBSSH2_SEND_FUNC(take_packet)
{
    struct sg_session *session = *abstract;

    (void)socket;
    (void)flags;
    if (session->is_torn) {
        return -ECONNRESET;
    }
    return sg_buffer_append(&session->tx, buffer, length) ? (ssize_t)length
                                                          : -ENOMEM;
}

/* The end of the connection is not libssh2's to know: it would refuse to
 * hand out what it has queued for the channels.  We see it ourselves. */
static LIBSSH2_RECV_FUNC(give_bytes)
{
    struct sg_session *session = *abstract;

    (void)socket;
    (void)flags;
    if (session->is_torn) {
        return -ECONNRESET;
    }
    if (session->tx.len > TX_HARD_LIMIT) {
        return -EAGAIN;
    }
    if (session->rx_len == 0) {
        return -EAGAIN;
    }
    length = length < session->rx_len ? length : session->rx_len;
    memcpy(buffer, session->rx + session->rx_start, length);
    session->rx_start += length;
    session->rx_len -= length;
    return (ssize_t)length;
}

static LIBSSH2_DISCONNECT_FUNC(note_disconnect)
{
    struct sg_session *own = *abstract;

    (void)session;
    (void)language;
    (void)language_len;
    sg_fail_text(&own->last, SG_ERR_LOST, reason, message,
                 message_len > 0 ? (size_t)message_len : 0);
}

/* ---- Errors ----------------------------------------------------------- */

enum sg_status
sg_session_fail(struct sg_session *session, enum sg_status status,
                struct sg_error *error)
{
    char *text = NULL;
    int n = 0;
    int rc = libssh2_session_last_error(session->ssh, &text, &n, 0);

    if (session->last.status != SG_OK) {
        return sg_fail_text(error, status, session->last.code,
                            session->last.text, strlen(session->last.text));
    }
    if (session->rx_error != 0) {
        return sg_fail(error, status, -session->rx_error);
    }
    if (session->rx_eof) {
        static const char closed[] = "the server closed the connection";

        return sg_fail_text(error, status, 0, closed, sizeof(closed) - 1);
    }
    return sg_fail_text(error, status, rc, text, n > 0 ? (size_t)n : 0);
}

bool
sg_session_check(struct sg_session *session, int rc)
{
    switch (rc) {
    case LIBSSH2_ERROR_CHANNEL_OUTOFORDER:
    case LIBSSH2_ERROR_CHANNEL_FAILURE:
    case LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED:
    case LIBSSH2_ERROR_CHANNEL_UNKNOWN:
    case LIBSSH2_ERROR_CHANNEL_WINDOW_EXCEEDED:
    case LIBSSH2_ERROR_CHANNEL_PACKET_EXCEEDED:
    case LIBSSH2_ERROR_CHANNEL_CLOSED:
    case LIBSSH2_ERROR_CHANNEL_EOF_SENT:
    case LIBSSH2_ERROR_CHANNEL_WINDOW_FULL:
    case LIBSSH2_ERROR_REQUEST_DENIED:
        return false; /* one channel's own affair */
    default:
        break;
    }
    if (!session->is_lost) {
        session->is_lost = true;
        sg_session_fail(session, SG_ERR_LOST, &session->last);
        sg_session_touch(session, false);
    }
    return true;
}

/* ---- The socket ------------------------------------------------------- */

/* One recv in, when libssh2 has taken all that came before.  True when that
 * brought anything, an end included. */
static bool
receive(struct sg_session *session)
{
    ssize_t n;

    if (session->rx_len != 0 || session->rx_eof || session->rx_error != 0) {
        return false;
    }
    n = sg_sys_recv(session->socket.fd, session->rx, RX_SIZE, MSG_DONTWAIT);
    if (n == -EAGAIN || n == -EWOULDBLOCK || n == -EINTR) {
        session->rx_error = session->tx_error;
        return session->rx_error != 0;
    }
    session->rx_start = 0;
    session->rx_len = n > 0 ? (size_t)n : 0;
    session->rx_eof = n == 0;
    session->rx_error = n < 0 ? (int)n : 0;
    return true;
}

/* One send of everything out.  A failure becomes one of recv's when nothing
 * is left to receive: the server's last words may be. */
static void
send_out(struct sg_session *session)
{
    ssize_t n;

    if (session->tx_error != 0) {
        sg_buffer_clear(&session->tx);
    }
    if (session->tx.len == 0) {
        return;
    }
    n = sg_sys_send(session->socket.fd, sg_buffer_head(&session->tx),
                    session->tx.len, MSG_DONTWAIT);
    if (n > 0) {
        sg_buffer_consume(&session->tx, (size_t)n);
    }
    else if (n != -EAGAIN && n != -EWOULDBLOCK && n != -EINTR) {
        session->tx_error = (int)n;
        sg_buffer_clear(&session->tx);
    }
}

/* ---- On the caller's thread ------------------------------------------- */

/* Wait until the socket can do what we want of it. */
static enum sg_status
wait_for_socket(struct sg_session *session, const struct sg_wait *wait,
                struct sg_error *error)
{
    struct pollfd pollfd = {
        .fd = session->socket.fd,
        .events = (short)(POLLIN | (session->tx.len != 0 ? POLLOUT : 0))};
    int n = sg_sys_poll(&pollfd, 1, sg_deadline_ms(wait->deadline));

    if (n == 0) {
        return sg_fail(error, SG_ERR_TIMEOUT, ETIMEDOUT);
    }
    if (n == -EINTR) {
        return wait->interrupt(wait->arg) == 0
                   ? SG_OK
                   : sg_fail(error, SG_ERR_INTERRUPTED, EINTR);
    }
    return n < 0 ? sg_fail_errno(error, n) : SG_OK;
}

enum sg_status
sg_session_repeat(struct sg_session *session,
                  int (*op)(struct sg_session *, void *), void *arg,
                  const struct sg_wait *wait, int *rc, struct sg_error *error)
{
    for (;;) {
        enum sg_status status;

        *rc = op(session, arg);
        send_out(session);
        if (*rc != LIBSSH2_ERROR_EAGAIN) {
            return SG_OK;
        }
        if (receive(session)) {
            /* A peer that never stops talking must not keep us here. */
            if (sg_deadline_ms(wait->deadline) == 0) {
                return sg_fail(error, SG_ERR_TIMEOUT, ETIMEDOUT);
            }
            if (wait->interrupt(wait->arg) != 0) {
                return sg_fail(error, SG_ERR_INTERRUPTED, EINTR);
            }
            continue;
        }
        if (session->rx_eof || session->rx_error != 0) {
            return sg_session_fail(session, SG_ERR_LOST, error);
        }
        status = wait_for_socket(session, wait, error);
        if (status != SG_OK) {
            return status;
        }
    }
}

/* ---- Making and ending ------------------------------------------------ */

static int init_result;

static void
init_libssh2(void)
{
    init_result = libssh2_init(0); /* not thread-safe */
}

static void
install_callbacks(LIBSSH2_SESSION *ssh)
{
#if LIBSSH2_VERSION_NUM >= 0x010b01
    libssh2_session_callback_set2(ssh, LIBSSH2_CALLBACK_SEND,
                                  (libssh2_cb_generic *)take_packet);
    libssh2_session_callback_set2(ssh, LIBSSH2_CALLBACK_RECV,
                                  (libssh2_cb_generic *)give_bytes);
    libssh2_session_callback_set2(ssh, LIBSSH2_CALLBACK_DISCONNECT,
                                  (libssh2_cb_generic *)note_disconnect);
#else
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_SEND,
                                 (void *)take_packet);
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_RECV,
                                 (void *)give_bytes);
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_DISCONNECT,
                                 (void *)note_disconnect);
#endif
}

struct sg_session *
sg_session_new(int fd, struct sg_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sg_session *session = calloc(1, sizeof(*session));

    pthread_once(&once, init_libssh2);
    if (session == NULL || init_result != 0) {
        goto fail;
    }
    session->rx = malloc(RX_SIZE);
    session->ssh = libssh2_session_init_ex(NULL, NULL, NULL, session);
    if (session->rx == NULL || session->ssh == NULL) {
        goto fail;
    }
    libssh2_session_set_blocking(session->ssh, 0);
    install_callbacks(session->ssh);
    session->tx.keep = TX_SOFT_LIMIT * 2;
    session->socket.fd = fd;
    session->control.fd = -1;
    session->close_by = SG_NEVER;
    session->last_open = &session->first_open;
    return session;
fail:
    if (session != NULL) {
        if (session->ssh != NULL) {
            libssh2_session_free(session->ssh);
        }
        free(session->rx);
        free(session);
    }
    sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
    return NULL;
}

/* With callbacks that fail libssh2 waits for nothing any more. */
static void
release(struct sg_session *session)
{
    session->is_torn = true;
    while (libssh2_session_free(session->ssh) == LIBSSH2_ERROR_EAGAIN) {
    }
    sg_buffer_clear(&session->tx);
    free(session->rx);
    free(session);
}

static void
say_goodbye(struct sg_session *session)
{
    if (!session->is_lost && !session->rx_eof && session->rx_error == 0) {
        libssh2_session_disconnect(session->ssh, "goodbye");
        send_out(session);
        sg_sys_shutdown(session->socket.fd, SHUT_WR);
    }
    session->has_said_goodbye = true;
}

void
sg_session_free(struct sg_session *session)
{
    say_goodbye(session);
    sg_sys_close(&session->socket.fd);
    release(session);
}

const char *
sg_session_libssh2_version(void)
{
    return libssh2_version(0);
}

int
sg_session_libssh2_number(void)
{
    return LIBSSH2_VERSION_NUM;
}

/* ---- On the loop's thread --------------------------------------------- */

bool
sg_session_is_full(const struct sg_session *session)
{
    return session->tx.len > TX_SOFT_LIMIT;
}

void
sg_session_touch(struct sg_session *session, bool has_moved)
{
    session->has_moved = session->has_moved || has_moved;
    sg_loop_again(&session->farend);
}

/* libssh2 reads only on behalf of a channel.  Without one, what the server
 * sends (its own keepalive wants an answer) would lie unread: an open of a
 * type that no server knows makes it read, and is refused at once. */
static void
probe(struct sg_session *session)
{
    static const char type[] = "noop@sshgateway";
    LIBSSH2_CHANNEL *channel;
    int rc;

    session->is_probing = true;
    channel = libssh2_channel_open_ex(session->ssh, type, sizeof(type) - 1,
                                      1024, 1024, NULL, 0);
    rc = libssh2_session_last_errno(session->ssh);
    if (channel == NULL && rc == LIBSSH2_ERROR_EAGAIN) {
        return;
    }
    session->is_probing = false;
    if (channel != NULL) {
        libssh2_channel_free(channel);
    }
    else {
        sg_session_check(session, rc);
    }
}

/* Have libssh2 take in all that was received.  (To read a channel for this
 * would open its window, whether its reader keeps up or not.) */
static void
pump(struct sg_session *session)
{
    struct sg_channel *channel = session->channels;

    while (channel != NULL
           && !(sg_channel_is_open(channel) && sg_channel_pump(channel))) {
        channel = sg_channel_next(channel);
    }
    if (session->is_probing
        || (channel == NULL && session->first_open == NULL)) {
        probe(session);
    }
}

/* Strictly one at a time: libssh2 keeps an open's state in the session, and
 * would give a second caller the first one's channel. */
static void
open_channels(struct sg_session *session)
{
    while (!session->is_probing && !session->is_lost
           && session->first_open != NULL
           && sg_channel_open_step(session->first_open)) {
        session->has_moved = true;
    }
}

static void
lose(struct sg_session *session)
{
    struct sg_error *last = &session->last;

    session->is_lost = true;
    sg_report_failure(session->report, last->err != 0 ? last->err : ECONNRESET,
                      last->text);
    while (session->channels != NULL) {
        sg_channel_orphan(session->channels);
    }
    sg_loop_set_context(&session->farend, NULL);
    sg_loop_over(&session->farend);
}

/* Every channel ends, after what was accepted has gone out. */
static void
begin_close(struct sg_session *session, sg_deadline by)
{
    if (session->is_closing) {
        session->close_by = sg_deadline_earlier(session->close_by, by);
        return;
    }
    session->is_closing = true;
    session->close_by = by;
    sg_report_failure(session->report, ECONNRESET, "it was closed here");
    for (struct sg_channel *channel = session->channels; channel != NULL;
         channel = sg_channel_next(channel)) {
        sg_channel_close_by(channel, by);
    }
}

/* Every channel takes a turn; one that moves something touches us again. */
static void
visit_channels(struct sg_session *session)
{
    session->has_moved = false;
    for (struct sg_channel *channel = session->channels; channel != NULL;
         channel = sg_channel_next(channel)) {
        sg_loop_again(sg_channel_farend(channel));
    }
}

/* True when the session may go.  After the goodbye we read on until the
 * server has closed: a close with something unread behind it resets the
 * connection, and the goodbye would be lost. */
static bool
finish_close(struct sg_session *session)
{
    bool is_late = sg_sys_now() >= session->close_by;

    if (session->channels != NULL && !is_late) {
        return false;
    }
    if (!session->has_said_goodbye) {
        say_goodbye(session);
    }
    do {
        session->rx_len = 0;
    } while (receive(session) && !session->rx_eof && session->rx_error == 0);
    return is_late || session->rx_eof || session->rx_error != 0;
}

static bool
is_broken(const struct sg_session *session)
{
    return session->is_lost
           || ((session->rx_eof || session->rx_error != 0)
               && session->rx_len == 0);
}

static void
session_turn(struct sg_farend *farend)
{
    struct sg_session *session = (struct sg_session *)farend;
    bool has_news = (session->socket.ready != 0 || session->tx_error != 0)
                    && receive(session);
    int err;

    session->socket.ready = 0;
    if (session->control.ready & SG_HANGUP) {
        sg_loop_watch(farend, &session->control, SG_NOTHING);
        session->control.ready = 0;
        begin_close(session, sg_deadline_after(CLOSE_BOUND));
    }
    if (!session->has_said_goodbye) {
        if (session->rx_len != 0 || session->is_probing) {
            pump(session);
        }
        open_channels(session);
    }
    if (has_news || session->has_moved) {
        visit_channels(session);
    }
    send_out(session);
    if (session->is_closing && finish_close(session)) {
        lose(session);
        return;
    }
    if (is_broken(session)) {
        sg_session_check(session, LIBSSH2_ERROR_SOCKET_DISCONNECT);
        lose(session);
        return;
    }
    /* What libssh2 has not taken holds up the rest (TX_HARD_LIMIT). */
    err = sg_loop_watch(farend, &session->socket,
                        (session->rx_len == 0 ? SG_READ : SG_HANGUP)
                            | (session->tx.len != 0 ? SG_WRITE : 0U));
    if (err >= 0 && session->control.fd >= 0 && !session->is_closing) {
        err = sg_loop_watch(farend, &session->control, SG_HANGUP);
    }
    if (err < 0) {
        sg_fail_errno(&session->last, err);
        lose(session);
        return;
    }
    sg_loop_wake_at(farend, session->close_by);
    if (session->tx_error != 0) {
        sg_loop_again(farend); /* to receive the rest, until the end */
    }
}

static void
session_stop(struct sg_farend *farend, sg_deadline by)
{
    /* Half of the time for the channels, the rest to say goodbye. */
    int64_t left = by - sg_sys_now();

    begin_close((struct sg_session *)farend,
                sg_deadline_after(left > 0 ? left / 2 : 0));
}

static void
session_free(struct sg_farend *farend)
{
    struct sg_session *session = (struct sg_session *)farend;

    sg_loop_close(farend, &session->control);
    sg_loop_close(farend, &session->socket);
    sg_report_unref(session->report);
    release(session);
}

static const struct sg_farend_kind session_kind = {
    .name = "session",
    .turn = session_turn,
    .stop = session_stop,
    .free = session_free,
};

enum sg_status
sg_session_start(struct sg_session *session, struct sg_report *report,
                 uint64_t *loop_name, int *control, struct sg_error *error)
{
    int pair[2];
    struct sg_loop *loop;
    int err = sg_sys_socketpair(pair);

    if (err < 0) {
        return sg_fail_errno(error, err);
    }
    loop = sg_loop_hold_new(loop_name, error);
    if (loop == NULL) {
        sg_sys_close(&pair[0]);
        sg_sys_close(&pair[1]);
        return SG_ERR_SYSTEM;
    }
    session->report = sg_report_ref(report);
    session->farend.kind = &session_kind;
    session->control.fd = pair[0];
    *control = pair[1];
    sg_loop_adopt_with(loop, &session->farend, session);
    return SG_OK;
}
