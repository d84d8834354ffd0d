/* SPDX-License-Identifier: BSD-2-Clause
 *
 * One SSH connection to a gateway; see session.h.
 *
 * This file connects libssh2 with the two buffers and the socket, and drives
 * the session on the caller's thread.  session_loop.c drives it afterwards.
 */
#include "ssh/internal.h"

#include <libssh2.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* An identification string, the lines before it, and KEXINIT. */
#define HELLO_SIZE (40 * 1024)
#define RX_SIZE (256 * 1024)
/* Bytes in tx above which channels must not write. */
#define TX_SOFT_LIMIT (256 * 1024)
/* Bytes in tx above which libssh2 gets no input, so that a hostile server
 * cannot make us queue replies without end. */
#define TX_HARD_LIMIT (1024 * 1024)
/* The bytes that libssh2 may allocate.  It needs about 100 KiB, and what one
 * recv brings.  Channel data moves into our own buffers at once, which have
 * their own bounds.  A hostile server can make libssh2 need much more: 2 MiB
 * that arrive in packets of one byte take 200 MB. */
#define MEMORY_LIMIT ((size_t)128 << 20)

/* ---- Callbacks of libssh2 --------------------------------------------- */

/* Take the whole packet, always.  If only a part were sent, libssh2 would fail
 * with BAD_USE (1.10.0), lose and duplicate packets (1.11.0: libssh2#1397,
 * libssh2#1431), or hang in a keepalive or a rekey (1.11.1).
 *
 * libssh2's agent code would call this with another socket, but it is not
 * used. */
static LIBSSH2_SEND_FUNC(take_packet)
{
    struct sg_session *session = *abstract;

    (void)socket;
    (void)flags;
    if (session->is_torn_down) {
        return -ECONNRESET;
    }
    session->packets_sent++;
    return sg_buffer_append(&session->tx, buffer, length) ? (ssize_t)length
                                                          : -ENOMEM;
}

/* Keep a copy of what the server sends before the keys are in use. */
static void
keep_hello(struct sg_session *session, const void *bytes, size_t n)
{
    size_t room = HELLO_SIZE - session->hello_len;

    if (session->hello != NULL) {
        n = n < room ? n : room;
        memcpy(session->hello + session->hello_len, bytes, n);
        session->hello_len += n;
    }
}

/* Give libssh2 received bytes.  A failure must be a negative errno, not -1.
 *
 * libssh2 never learns that the connection has ended, because it would then
 * refuse to return the data that it has queued for the channels.
 * is_broken() in session_loop.c detects the end. */
static LIBSSH2_RECV_FUNC(give_bytes)
{
    struct sg_session *session = *abstract;

    (void)socket;
    (void)flags;
    if (session->is_torn_down) {
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
    keep_hello(session, buffer, length);
    session->rx_start += length;
    session->rx_len -= length;
    return (ssize_t)length;
}

/* During a rekey, or while it closes a channel, libssh2 may ignore a wrong MAC
 * and read on, so that the data lacks a packet.  So this callback ends the
 * session by itself. */
static LIBSSH2_MACERROR_FUNC(note_wrong_mac)
{
    static const char text[] = "a packet was damaged in transit (wrong MAC)";
    struct sg_session *own = *abstract;

    (void)session;
    (void)packet;
    (void)packet_len;
    sg_fail_text(&own->last, SG_ERR_LOST, 0, text, sizeof(text) - 1);
    own->is_lost = true;
    own->is_damaged = true;
    if (own->task.loop != NULL) {
        sg_session_run(own);
    }
    return -1;
}

/* SSH_MSG_DISCONNECT (RFC 4253 11.1). */
static LIBSSH2_DISCONNECT_FUNC(note_disconnect)
{
    struct sg_session *own = *abstract;

    (void)session;
    (void)language;
    (void)language_len;
    if (message_len <= 0 || message[0] == '\0') {
        message = "the server disconnected";
        message_len = (int)strlen(message);
    }
    sg_fail_text(&own->last, SG_ERR_LOST, reason, message,
                 (size_t)message_len);
}

/* ---- Errors ----------------------------------------------------------- */

static enum sg_status
fail_with(struct sg_error *error, enum sg_status status, const char *text)
{
    return sg_fail_text(error, status, 0, text, strlen(text));
}

enum sg_status
sg_session_fail(struct sg_session *session, enum sg_status status,
                struct sg_error *error)
{
    static char no_packet[] = "the server sent an invalid SSH packet";
    char *text = NULL;
    int n = 0;
    int rc = libssh2_session_last_error(session->ssh, &text, &n, 0);

    if (session->last.status != SG_OK) {
        return sg_fail_text(error, status, session->last.code,
                            session->last.text, strlen(session->last.text));
    }
    if (session->memory.was_exhausted) {
        return fail_with(error, status,
                         "the server sent more than can be kept in memory");
    }
    /* EPIPE: send() has noticed the end before recv() has. */
    if (session->rx_eof || session->rx_error == -EPIPE) {
        return fail_with(error, status, "the server closed the connection");
    }
    if (session->rx_error != 0) {
        return sg_fail(error, status, -session->rx_error);
    }
    if (n <= 0) { /* libssh2 reports some errors without a text */
        text = no_packet;
        n = sizeof(no_packet) - 1;
    }
    return sg_fail_text(error, status, rc, text, (size_t)n);
}

void
sg_session_lose(struct sg_session *session, const char *text)
{
    if (!session->is_lost) {
        session->is_lost = true;
        fail_with(&session->last, SG_ERR_LOST, text);
    }
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
        return false; /* concerns only that channel */
    default:
        break;
    }
    /* After SOCKET_DISCONNECT the queued data is intact. */
    if (rc != LIBSSH2_ERROR_SOCKET_DISCONNECT) {
        session->is_damaged = true;
    }
    if (!session->is_lost) {
        session->is_lost = true;
        sg_session_fail(session, SG_ERR_LOST, &session->last);
        sg_session_run(session);
    }
    return true;
}

/* ---- The socket ------------------------------------------------------- */

bool
sg_session_receive(struct sg_session *session)
{
    ssize_t n;

    if (session->rx_len != 0 || session->rx_eof || session->rx_error != 0) {
        return false;
    }
    n = sg_sys_recv(session->socket.fd, session->rx, RX_SIZE, MSG_DONTWAIT);
    if (n == -EAGAIN || n == -EWOULDBLOCK || n == -EINTR) {
        /* Nothing is left to receive: see sg_session_send(). */
        session->rx_error = session->tx_error;
        return session->rx_error != 0;
    }
    session->rx_start = 0;
    session->rx_len = n > 0 ? (size_t)n : 0;
    session->owes_ack = session->is_tcp && n > 0;
    session->rx_eof = n == 0;
    session->rx_error = n < 0 ? (int)n : 0;
    session->received_at = session->alive_interval != 0 ? sg_sys_now() : 0;
    sg_shared_add_count(session->shared, SG_COUNT_RECEIVED,
                        (int64_t)session->rx_len);
    return true;
}

/* A failure does not end the session yet, because the server's disconnect
 * message may be waiting in the socket.  sg_session_receive() turns tx_error
 * into rx_error when nothing is left to receive. */
void
sg_session_send(struct sg_session *session)
{
    struct iovec pieces[SG_PIECES];
    ssize_t n;

    if (session->tx_error != 0) {
        sg_buffer_clear(&session->tx);
    }
    if (session->tx.len == 0) {
        return;
    }
    n = sg_sys_send_pieces(session->socket.fd, pieces,
                           sg_buffer_pieces(&session->tx, pieces, SG_PIECES),
                           MSG_DONTWAIT);
    if (n > 0) {
        sg_buffer_consume(&session->tx, (size_t)n);
        session->owes_ack = false;
        sg_shared_add_count(session->shared, SG_COUNT_SENT, n);
    }
    else if (n != -EAGAIN && n != -EWOULDBLOCK && n != -EINTR) {
        session->tx_error = (int)n;
        sg_buffer_clear(&session->tx);
    }
}

/* sshd uses Nagle's algorithm unless there is a terminal.  So it sends the
 * second of two small pieces only when we have acknowledged the first, and
 * the kernel delays an acknowledgement by 40 ms if we send nothing. */
void
sg_session_acknowledge(struct sg_session *session)
{
#ifdef TCP_QUICKACK
    const int now = 2; /* only now; 1 would turn quick ACKs on for good */

    if (session->owes_ack) {
        session->owes_ack = false;
        sg_sys_setsockopt(session->socket.fd, IPPROTO_TCP, TCP_QUICKACK, &now,
                          sizeof(now));
    }
#else
    (void)session;
#endif
}

bool
sg_session_is_full(const struct sg_session *session)
{
    return session->tx.len > TX_SOFT_LIMIT;
}

size_t
sg_session_room(const struct sg_session *session)
{
    return sg_session_is_full(session)
               ? 0
               : (TX_SOFT_LIMIT - session->tx.len) / SG_MAX_WRITE + 1;
}

/* ---- For channels ----------------------------------------------------- */

void
sg_session_run(struct sg_session *session)
{
    sg_loop_run_again(&session->task);
}

void
sg_session_bind(struct _LIBSSH2_CHANNEL *ssh, struct sg_channel *channel)
{
#ifdef LIBSSH2_SESSION_READY_CHANNEL
    *libssh2_channel_abstract(ssh) = channel;
#else
    (void)ssh;
    (void)channel;
#endif
}

/* ---- On the caller's thread ------------------------------------------- */

/* Wait until the socket is readable, or writable if tx holds bytes.
 * libssh2_session_block_directions() is not used, because libssh2 does not
 * keep it up to date in every case. */
static enum sg_status
wait_for_socket(struct sg_session *session, const struct sg_wait *wait,
                struct sg_error *error)
{
    struct pollfd pollfd = {
        .fd = session->socket.fd,
        .events = (short)(POLLIN | (session->tx.len != 0 ? POLLOUT : 0))};
    int n;

    sg_session_acknowledge(session);
    n = sg_sys_poll(&pollfd, 1, sg_deadline_ms(wait->deadline));
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
        sg_session_send(session);
        if (*rc != LIBSSH2_ERROR_EAGAIN) {
            return SG_OK;
        }
        if (sg_session_receive(session)) {
            /* A server that sends without a pause never lets this loop
             * wait, so check here as well. */
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
    init_result = libssh2_init(0); /* not thread-safe: under pthread_once */
}

bool
sg_session_init_library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_libssh2);
    return init_result == 0;
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
    libssh2_session_callback_set2(ssh, LIBSSH2_CALLBACK_MACERROR,
                                  (libssh2_cb_generic *)note_wrong_mac);
#else
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_SEND,
                                 (void *)take_packet);
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_RECV,
                                 (void *)give_bytes);
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_DISCONNECT,
                                 (void *)note_disconnect);
    libssh2_session_callback_set(ssh, LIBSSH2_CALLBACK_MACERROR,
                                 (void *)note_wrong_mac);
#endif
}

/* The allocator of the session, for libssh2. */
static LIBSSH2_ALLOC_FUNC(allocate)
{
    return sg_memory_alloc(&((struct sg_session *)*abstract)->memory, count);
}

static LIBSSH2_REALLOC_FUNC(reallocate)
{
    return sg_memory_realloc(&((struct sg_session *)*abstract)->memory, ptr,
                             count);
}

static LIBSSH2_FREE_FUNC(give_back)
{
    sg_memory_free(&((struct sg_session *)*abstract)->memory, ptr);
}

/* Return whether libssh2 frees some of our blocks by free() or OPENSSL_free()
 * instead of the allocator of the session: from 1.11.1 on, two buffers of
 * ECDSA keys.  All blocks must then come from malloc().  The pinned libssh2 is
 * patched. */
static bool
bypasses_allocator(void)
{
#ifdef SG_LIBSSH2_PINNED
    return false;
#else
    return libssh2_version(0x010b01) != NULL; /* 1.11.1 or later */
#endif
}

/* Tune the socket for small messages.  TCP_NODELAY sends them at once.
 * TCP_NOTSENT_LOWAT keeps little unsent data in the kernel, because a new
 * message has to wait behind that data.  Both fail harmlessly on other
 * sockets.  Returns true if `fd` is a TCP socket. */
static bool
tune_socket(int fd)
{
    const int on = 1, low = TX_SOFT_LIMIT / 2;

#ifdef TCP_NOTSENT_LOWAT
    sg_sys_setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low));
#endif
    return sg_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
           == 0;
}

struct sg_session *
sg_session_new(int fd, struct sg_shared *shared, struct sg_error *error)
{
    struct sg_session *session = calloc(1, sizeof(*session));

    if (session == NULL || !sg_session_init_library()) {
        goto fail;
    }
    session->memory.limit = MEMORY_LIMIT;
    session->memory.is_plain = bypasses_allocator();
    session->memory.wipe_on_free = true; /* until sg_session_start() */
    session->rx = malloc(RX_SIZE);
    session->hello = malloc(HELLO_SIZE);
    session->ssh = libssh2_session_init_ex(allocate, give_back, reallocate,
                                           session);
    if (session->rx == NULL || session->hello == NULL
        || session->ssh == NULL) {
        goto fail;
    }
    libssh2_session_set_blocking(session->ssh, 0);
#if LIBSSH2_VERSION_NUM >= 0x010b00 /* 1.10: 60 s, see open_failed() */
    libssh2_session_set_read_timeout(session->ssh, INT_MAX);
#endif
    install_callbacks(session->ssh);
    session->is_tcp = tune_socket(fd);
    session->shared = sg_shared_ref(shared);
    session->socket.fd = fd;
    session->control.fd = -1;
    session->close_by = SG_NEVER;
    for (int i = 0; i < SG_QUEUES; i++) {
        session->queues[i].last = &session->queues[i].first;
    }
    return session;
fail:
    if (session != NULL) {
        if (session->ssh != NULL) {
            libssh2_session_free(session->ssh);
        }
        free(session->hello);
        free(session->rx);
        free(session);
    }
    sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
    return NULL;
}

/* libssh2_session_free() waits for nothing once the callbacks fail. */
void
sg_session_release(struct sg_session *session)
{
    session->is_torn_down = true;
    while (libssh2_session_free(session->ssh) == LIBSSH2_ERROR_EAGAIN) {
    }
    sg_memory_clear(&session->memory); /* the blocks that libssh2 leaked */
    sg_buffer_clear(&session->tx);
    sg_shared_unref(session->shared);
    free(session->host_key);
    free(session->hello);
    free(session->rx);
    free(session);
}

/* Not during the first key exchange, because libssh2 would try to complete
 * that first, in whatever state it was left. */
void
sg_session_send_disconnect(struct sg_session *session)
{
    if (session->has_keys && !session->is_lost && !session->rx_eof
        && session->rx_error == 0) {
        libssh2_session_disconnect(session->ssh, "goodbye");
        sg_session_send(session);
        sg_sys_shutdown(session->socket.fd, SHUT_WR);
    }
    session->has_sent_disconnect = true;
}

void
sg_session_free(struct sg_session *session)
{
    sg_session_send_disconnect(session);
    sg_sys_close(&session->socket.fd);
    sg_session_release(session);
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
