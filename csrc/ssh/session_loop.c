/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A session on its loop's thread; see session.h.
 *
 * EAGAIN from libssh2 does not mean that nothing is left to do: a call on one
 * channel takes in packets of all, and the socket will not become readable
 * again for them.  So whenever libssh2 has taken in something, the channels
 * are asked for news: those it names, or all where it names none.
 */
#include "ssh/internal.h"

#include <libssh2.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_BOUND (1 * SG_SEC)

/* Ours opens many channels at a time; others one after the other, and
 * nothing else can be opened while one hangs. */
#ifdef LIBSSH2_CHANNEL_OPEN_START
static const bool opens_many = true;
#else
static const bool opens_many = false;
#endif

/* ---- Is it alive? ----------------------------------------------------- */

/* An open of a type that no server knows, which is refused at once.  Two
 * uses: libssh2 reads only on behalf of a channel, and without one what the
 * server sends (its own keepalive wants an answer) would lie unread; and it
 * is a question whose answer libssh2 does not keep for ever, as it does that
 * of its keepalive (libssh2#623). */
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

/* While an open hangs, nothing else can be opened: then it is libssh2's
 * keepalive, at the price of a small packet kept for each answer.  (When to
 * send is our affair: an interval that it takes for -1 is always over.) */
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

/* What came while nobody looked counts: the program may have been stopped. */
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

/* Any byte is a sign of life; only a silence is asked about, once in each
 * interval.  It is questions without an answer that count, not time: who was
 * stopped has not asked.  Returns when to look again. */
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

/* ---- Key exchanges ---------------------------------------------------- */

/* A rekey brings a host key again, which libssh2 does not compare with the
 * one that was checked.  (Nor does it always free the old one: 1.10.0 and
 * 1.11.1 forget it after a key exchange with an elliptic curve.) */
static void
check_host_key(struct sg_session *session)
{
    struct sg_memory *memory = &session->memory;
    size_t n = 0;
    int type;
    const char *key = libssh2_session_hostkey(session->ssh, &n, &type);

    if (key == NULL || (key == memory->watched && !memory->watched_freed)) {
        return;
    }
    if (n != session->host_key_len || memcmp(key, session->host_key, n) != 0) {
        sg_session_lose(session, "the server's host key has changed since it "
                                 "was checked");
        return;
    }
    if (!memory->watched_freed) {
        sg_memory_free(memory, (void *)memory->watched);
    }
    memory->watched = key;
    memory->watched_freed = false;
    sg_shared_add_count(session->shared, SG_COUNT_REKEYS, 1);
}

/* ---- Turns ------------------------------------------------------------ */

#ifdef LIBSSH2_SESSION_READY_CHANNEL

/* Have libssh2 take in all that was received. */
static void
take_in(struct sg_session *session)
{
    int rc = libssh2_session_receive(session->ssh);

    if (rc != LIBSSH2_ERROR_EAGAIN) {
        sg_session_check(session, rc);
    }
}

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

/* libssh2 does so on behalf of any channel, but needs one. */
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

static void
pump(struct sg_session *session)
{
    take_in(session);
    if (session->is_probing) {
        probe(session);
    }
    check_host_key(session);
}

/* Each step may take in the answers to all. */
static void
open_many(struct sg_session *session)
{
    size_t left;

    do {
        struct sg_channel *channel = session->queues[SG_QUEUE_OPEN].first;

        left = session->rx_len;
        while (channel != NULL && !session->is_lost) {
            struct sg_channel *next = sg_channel_next_to_open(channel);

            sg_channel_open_step(channel);
            channel = next;
        }
    } while (session->rx_len != left);
}

/* Strictly one at a time: libssh2 keeps an open's state in the session, and
 * would give a second caller the first one's channel. */
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

/* What libssh2 did not take while keys were exchanged, it may take now. */
static void
try_again(struct sg_session *session)
{
    while (session->queues[SG_QUEUE_REKEY].first != NULL) {
        sg_channel_try_again(session->queues[SG_QUEUE_REKEY].first);
    }
}

/* In the order in which they came, a packet each: fair to all. */
static void
give_room(struct sg_session *session)
{
    size_t room = sg_session_room(session);

    while (room-- > 0 && session->queues[SG_QUEUE_WRITE].first != NULL) {
        sg_channel_give_room(session->queues[SG_QUEUE_WRITE].first);
    }
}

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
    sg_shared_set_failure(session->shared, ECONNRESET,
                          "this program closed the connection");
    for (struct sg_channel *channel = session->channels, *next;
         channel != NULL; channel = next) {
        next = sg_channel_next(channel);
        sg_channel_close(channel); /* and perhaps it has left */
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
    if (!session->has_sent_disconnect) {
        sg_session_send_disconnect(session);
    }
    do {
        session->rx_len = 0;
    } while (sg_session_receive(session) && !session->rx_eof
             && session->rx_error == 0);
    return is_late || session->rx_eof || session->rx_error != 0;
}

static bool
is_broken(const struct sg_session *session)
{
    return session->is_lost
           || ((session->rx_eof || session->rx_error != 0)
               && session->rx_len == 0);
}

/* In, through libssh2 to the channels, and out. */
static void
carry(struct sg_session *session)
{
    /* A channel's write takes in what lies there, too. */
    bool has_news = session->rx_len != session->rx_len_seen;

    if (session->socket.ready != 0 || session->tx_error != 0) {
        sg_session_receive(session);
    }
    session->socket.ready = 0;
    if (!session->has_sent_disconnect) {
        size_t before = session->rx_len;

        if (before != 0 || has_news || session->is_probing) {
            pump(session);
        }
        open_channels(session);
        /* Not because of a question alone: who waits for a key exchange, or a
         * CLOSE, would try again in vain until the answer comes. */
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

/* What libssh2 has not taken holds up the rest (the hard limit of tx). */
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
        sg_loop_run_again(task); /* to receive the rest, until the end; or what
                                  a probe that was answered at once left */
    }
}

static void
session_stop(struct sg_task *task, sg_deadline by)
{
    /* Half of the time for the channels, the rest to say goodbye. */
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
    session->memory.wipe_on_free = false; /* no secrets any more */
    session->alive_interval = alive->interval;
    session->alive_count_max = alive->count_max;
    session->received_at = session->keepalive_sent_at = sg_sys_now();
    session->task.kind = &session_kind;
    session->control.fd = pair[0];
    *control = pair[1];
    sg_loop_adopt_with(loop, &session->task, session);
    return SG_OK;
}
