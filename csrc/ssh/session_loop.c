/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A session on the thread of its loop; see session.h.
 *
 * In each turn, session_turn() carries bytes, sends a keepalive if one is due,
 * and detects the end.  The comment at carry() explains why no readiness is
 * lost.
 */
#include "ssh/internal.h"

#include <libssh2.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a session that is closed may take to end. */
#define CLOSE_BOUND (1 * SG_SEC)

/* The pinned libssh2 is patched to open many channels at a time.  Any other
 * opens one after the other, so an open that hangs delays all later ones. */
#ifdef LIBSSH2_CHANNEL_OPEN_START
static const bool opens_many = true;
#else
static const bool opens_many = false;
#endif

/* ---- Keepalives ------------------------------------------------------- */

/* Open a channel of a type that no server knows.  The server refuses it at
 * once (RFC 4254 5.1, SSH_OPEN_UNKNOWN_CHANNEL_TYPE), and the refusal proves
 * that the server is alive.  While is_probing, the loop calls this again,
 * until the refusal has arrived.
 *
 * There are two reasons to use an open for this:
 *  - An unpatched libssh2 keeps the reply to its own keepalive in memory for
 *    good (libssh2#623), but not the refusal of an open.
 *  - An unpatched libssh2 reads only during a call on a channel.  If there is
 *    no channel, an open makes it read and answer what the server sends, such
 *    as the server's own keepalive. */
static void
probe(struct sg_session *session)
{
    static const char type[] = "noop@sshgateway";
    LIBSSH2_CHANNEL *channel;
    int64_t took;
    int rc;

    if (!session->is_probing) {
        session->is_probing = true;
        session->probe_began = sg_sys_now();
    }
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
    else if (rc == LIBSSH2_ERROR_TIMEOUT || sg_session_check(session, rc)) {
        return;
    }
    took = sg_sys_now() - session->probe_began;
    sg_window_add_round_trip(&session->windows, took);
    sg_shared_set_count(session->shared, SG_COUNT_ROUND_TRIP, took);
}

/* Send a message that the server must answer: a probe() if possible.
 *
 * With a libssh2 that opens one channel at a time, no probe() is possible
 * while another open is under way.  Then send libssh2's keepalive, although
 * libssh2 keeps a small packet for each answer (libssh2#623).  It may be sent
 * only after the login (libssh2#1810), which is the case here.
 *
 * libssh2 converts the interval UINT_MAX to -1 s.  Such an interval has always
 * passed, so libssh2_keepalive_send() sends at once.  The time at which to
 * send is the decision of keep_alive() alone. */
static void
send_keepalive(struct sg_session *session)
{
    int next;

    if (opens_many || session->queues[SG_QUEUE_OPEN].first == NULL) {
        probe(session);
    }
    else if (!session->is_probing) {
        libssh2_keepalive_config(session->ssh, 1, UINT_MAX);
        libssh2_keepalive_send(session->ssh, &next);
    }
}

/* Mark the session as lost, unless bytes are waiting in the socket.  Such
 * bytes may have arrived while this process was suspended, and they show that
 * the server is alive. */
static void
declare_dead(struct sg_session *session, int64_t now)
{
    char text[SG_ERROR_TEXT];

    if (sg_session_receive(session)) {
        sg_session_run(session);
        return;
    }
    snprintf(text, sizeof(text),
             "the server has not answered for %.3g s (server_alive_interval)",
             (double)(now - session->received_at) / (double)SG_SEC);
    sg_session_lose(session, text);
}

/* Send a keepalive after each interval without a received byte, and declare
 * the server dead when too many of them have no answer.  Any received byte
 * counts as an answer.  Returns when to call this again.
 *
 * Count unanswered keepalives rather than elapsed time, so that a suspended
 * process does not declare the server dead. */
static sg_deadline
keep_alive(struct sg_session *session)
{
    int64_t now, last;

    if (session->alive_interval == 0) {
        return SG_NEVER;
    }
    if (session->received_at > session->keepalive_sent_at) {
        session->unanswered = 0;
    }
    now = sg_sys_now();
    last = session->received_at > session->keepalive_sent_at
               ? session->received_at
               : session->keepalive_sent_at;
    if (now - last < session->alive_interval) {
        return last + session->alive_interval;
    }
    if (session->unanswered >= session->alive_count_max) {
        declare_dead(session, now);
        return now;
    }
    session->unanswered++;
    session->keepalive_sent_at = now;
    send_keepalive(session);
    return now + session->alive_interval;
}

/* ---- Turns ------------------------------------------------------------ */

#ifdef LIBSSH2_SESSION_READY_CHANNEL

/* Make libssh2 take in all of rx. */
static void
take_in(struct sg_session *session)
{
    int rc = libssh2_session_receive(session->ssh);

    if (rc != LIBSSH2_ERROR_EAGAIN) {
        sg_session_check(session, rc);
    }
}

/* Update the channels that libssh2 has taken in packets for. */
static void
update_channels(struct sg_session *session)
{
    LIBSSH2_CHANNEL *ssh;

    while (!session->is_lost
           && (ssh = libssh2_session_ready_channel(session->ssh)) != NULL) {
        struct sg_channel *channel = *libssh2_channel_abstract(ssh);

        if (channel != NULL) {
            sg_channel_update(channel);
        }
    }
}

#else

/* Make libssh2 take in all of rx.  It does so during a call on any channel; if
 * there is none, during a probe(). */
static void
take_in(struct sg_session *session)
{
    struct sg_channel *channel = session->channels;

    while (channel != NULL && !sg_channel_pump(channel)) {
        channel = sg_channel_next(channel);
    }
    if (channel == NULL && session->queues[SG_QUEUE_OPEN].first == NULL
        && !session->is_probing) {
        probe(session);
    }
}

/* Update all channels, because this libssh2 does not tell which channels it
 * has taken in packets for.  With 1 000 idle channels this takes 20 us. */
static void
update_channels(struct sg_session *session)
{
    struct sg_channel *channel = session->channels;

    while (channel != NULL && !session->is_lost) {
        sg_channel_update(channel);
        channel = sg_channel_next(channel);
    }
}

#endif

/* Make libssh2 take in all of rx, then look for the answer to a probe and for
 * a new host key. */
static void
process_input(struct sg_session *session)
{
    take_in(session);
    if (session->is_probing) {
        probe(session);
    }
    sg_session_check_host_key(session);
}

/* During a step for one channel, libssh2 may take in the answers to the opens
 * of other channels.  So repeat the steps until libssh2 takes in nothing. */
static void
open_many(struct sg_session *session)
{
    size_t before;

    do {
        struct sg_channel *channel = session->queues[SG_QUEUE_OPEN].first;

        before = session->rx_len;
        while (channel != NULL && !session->is_lost) {
            struct sg_channel *next = sg_channel_next_to_open(channel);

            sg_channel_open_step(channel);
            channel = next;
        }
    } while (session->rx_len != before);
}

/* Advance the channels of SG_QUEUE_OPEN.
 *
 * A libssh2 without the patch keeps the state of an open in the session, and
 * would return the channel of the first open to the caller of a second one.
 * So it gets strictly one open at a time, in the order of the queue. */
static void
open_channels(struct sg_session *session)
{
    if (opens_many) {
        open_many(session);
        return;
    }
    while (!session->is_probing && !session->is_lost
           && session->queues[SG_QUEUE_OPEN].first != NULL
           && sg_channel_open_step(session->queues[SG_QUEUE_OPEN].first)) {
    }
}

/* A key exchange may have ended: let the channels of SG_QUEUE_REKEY repeat the
 * calls that libssh2 has answered with EAGAIN. */
static void
try_again(struct sg_session *session)
{
    while (session->queues[SG_QUEUE_REKEY].first != NULL) {
        sg_channel_try_again(session->queues[SG_QUEUE_REKEY].first);
    }
}

/* Let the channels of SG_QUEUE_WRITE write one packet each, in their order,
 * as long as tx has room. */
static void
give_room(struct sg_session *session)
{
    size_t room = sg_session_room(session);

    while (room-- > 0 && session->queues[SG_QUEUE_WRITE].first != NULL) {
        sg_channel_give_room(session->queues[SG_QUEUE_WRITE].first);
    }
}

/* Publish the reason, detach all channels, and end the task. */
static void
end_session(struct sg_session *session)
{
    struct sg_error *last = &session->last;

    session->is_lost = true;
    sg_shared_set_failure(session->shared,
                          last->err != 0 ? last->err : ECONNRESET, last->text);
    while (session->channels != NULL) {
        sg_channel_orphan(session->channels);
    }
    sg_loop_set_context(&session->task, NULL);
    sg_loop_over(&session->task);
}

/* Begin to close: each channel sends what it has accepted and closes.  `by` is
 * when the session ends at the latest. */
static void
begin_close(struct sg_session *session, sg_deadline by)
{
    if (session->is_closing) {
        session->close_by = sg_deadline_earlier(session->close_by, by);
        return;
    }
    session->is_closing = true;
    session->close_by = by;
    sg_shared_set_failure(session->shared, ECONNRESET,
                          "this program closed the connection");
    for (struct sg_channel *channel = session->channels, *next;
         channel != NULL; channel = next) {
        next = sg_channel_next(channel);
        sg_channel_close(channel); /* may remove it from the list */
    }
}

/* Send SSH_MSG_DISCONNECT once all channels have ended, or close_by has
 * passed.  Returns true when the session can be freed.
 *
 * After the disconnect, read until the server has closed the connection.
 * Closing a socket with unread data resets a TCP connection, and the server
 * might lose the disconnect. */
static bool
finish_close(struct sg_session *session)
{
    bool is_late = sg_sys_now() >= session->close_by;

    if (session->channels != NULL && !is_late) {
        return false;
    }
    if (!session->has_sent_disconnect) {
        sg_session_send_disconnect(session);
    }
    do {
        session->rx_len = 0;
    } while (sg_session_receive(session) && !session->rx_eof
             && session->rx_error == 0);
    return is_late || session->rx_eof || session->rx_error != 0;
}

/* Return whether the session is lost, or the connection has ended and libssh2
 * has taken in all that was received before the end. */
static bool
is_broken(const struct sg_session *session)
{
    return session->is_lost
           || ((session->rx_eof || session->rx_error != 0)
               && session->rx_len == 0);
}

/* Carry bytes from the socket through libssh2 to the channels, and out again.
 *
 * Why no readiness is lost: libssh2 holds packets that the poller does not
 * know.  Any call of libssh2 takes in the packets of all channels and queues
 * those of the other channels.  The socket does not become readable again for
 * queued packets.  And EAGAIN from a call on one channel only means that
 * nothing is queued for that channel.  So:
 *
 *  1. The only input of libssh2 is rx, so a change of rx_len shows that
 *     libssh2 has taken in packets.  `has_news` records such a change, both
 *     during this call and between the last call and this one.  In between,
 *     the write of a channel or a keepalive may take in packets; then rx_len
 *     differs from rx_len_seen.
 *  2. If there is news, update_channels() visits every channel that may have
 *     queued packets, after take_in() has emptied rx.  Each visited channel
 *     reads its data and takes a turn.
 *  3. libssh2 takes nothing while tx is above its hard limit.  Then rx is not
 *     empty, and the next turn comes when the socket has become writable, so
 *     that tx shrinks.
 *  4. A recv takes place only into an empty rx.  The bytes that it leaves in
 *     the socket make the socket ready again, because the poller is
 *     level-triggered. */
static void
carry(struct sg_session *session)
{
    /* The write of a channel may have taken in packets (1. above). */
    bool has_news = session->rx_len != session->rx_len_seen;

    if (session->socket.ready != 0 || session->tx_error != 0) {
        sg_session_receive(session);
    }
    session->socket.ready = 0;
    if (!session->has_sent_disconnect) {
        size_t before = session->rx_len;

        if (before != 0 || has_news || session->is_probing) {
            process_input(session);
        }
        open_channels(session);
        /* A probe() without an answer does not count as news.  If it did, each
         * channel that waits for the end of a key exchange, or for a CLOSE,
         * would try again in vain in every turn. */
        has_news = has_news || session->rx_len != before;
    }
    if (has_news) {
        update_channels(session);
        try_again(session);
    }
    session->rx_len_seen = session->rx_len;
    sg_session_send(session);
    sg_session_acknowledge(session);
    give_room(session);
}

/* Tell the poller what the session waits for.  While rx is not empty, because
 * tx is above its hard limit, the session does not read from the socket.
 * libssh2_session_block_directions() is not used, because libssh2 does not
 * keep it up to date in every case. */
static int
set_interest(struct sg_session *session)
{
    struct sg_task *task = &session->task;
    int err = sg_loop_watch(task, &session->socket,
                            (session->rx_len == 0 ? SG_READ : SG_HANGUP)
                                | (session->tx.len != 0 ? SG_WRITE : 0U));

    if (err >= 0 && session->control.fd >= 0 && !session->is_closing) {
        err = sg_loop_watch(task, &session->control, SG_HANGUP);
    }
    return err;
}

static void
session_turn(struct sg_task *task)
{
    struct sg_session *session = (struct sg_session *)task;
    sg_deadline run_at = session->close_by;
    int err;

    session->tx.pool = sg_loop_pool(task);
    if (session->control.ready & SG_HANGUP) {
        sg_loop_watch(task, &session->control, SG_NOTHING);
        session->control.ready = 0;
        begin_close(session, sg_deadline_after(CLOSE_BOUND));
    }
    carry(session);
    if (session->is_closing && finish_close(session)) {
        end_session(session);
        return;
    }
    if (!session->is_closing) {
        run_at = keep_alive(session);
        sg_session_send(session);
    }
    if (is_broken(session)) {
        sg_session_check(session, LIBSSH2_ERROR_SOCKET_DISCONNECT);
        end_session(session);
        return;
    }
    err = set_interest(session);
    if (err < 0) {
        sg_fail_errno(&session->last, err);
        end_session(session);
        return;
    }
    sg_loop_run_at(task, sg_deadline_earlier(run_at, session->close_by));
    if (session->tx_error != 0
        || (session->rx_len != 0 && !sg_session_is_full(session))) {
        /* After a failed send, receive until the end of the connection.  If rx
         * is not empty, let libssh2 take the rest of it: a probe() stops
         * taking packets at its answer. */
        sg_loop_run_again(task);
    }
}

static void
session_stop(struct sg_task *task, sg_deadline by)
{
    /* Half of the time is for the channels, the rest for the disconnect. */
    int64_t left = by - sg_sys_now();

    begin_close((struct sg_session *)task,
                sg_deadline_after(left > 0 ? left / 2 : 0));
}

static void
session_free(struct sg_task *task)
{
    struct sg_session *session = (struct sg_session *)task;

    sg_loop_close(task, &session->control);
    sg_loop_close(task, &session->socket);
    sg_session_release(session);
}

static const struct sg_task_kind session_kind = {
    .name = "session",
    .turn = session_turn,
    .stop = session_stop,
    .free = session_free,
};

/* ---- Starting --------------------------------------------------------- */

enum sg_status
sg_session_start(struct sg_session *session, const struct sg_alive *alive,
                 uint64_t *loop_id, int *control, struct sg_error *error)
{
    int pair[2];
    struct sg_loop *loop;
    int err;

    err = sg_sys_socketpair(pair);
    if (err < 0) {
        return sg_fail_errno(error, err);
    }
    loop = sg_loop_hold_new(loop_id, error);
    if (loop == NULL) {
        sg_sys_close(&pair[0]);
        sg_sys_close(&pair[1]);
        return SG_ERR_SYSTEM;
    }
    session->memory.wipe_on_free = false; /* no more secrets */
    session->alive_interval = alive->interval;
    session->alive_count_max = alive->count_max;
    session->received_at = session->keepalive_sent_at = sg_sys_now();
    session->task.kind = &session_kind;
    session->control.fd = pair[0];
    *control = pair[1];
    sg_loop_adopt_with(loop, &session->task, session);
    return SG_OK;
}
