/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A stream whose far side is a channel of a session; see channel.h.
 *
 * The life of a channel: it joins the session in its first turn, waits in
 * SG_QUEUE_OPEN (channel_open.c), relays, and closes.  finish() decides when
 * EOF and CLOSE are sent.  If the session is lost, the channel becomes an
 * orphan, which has no session: it passes on the data that has arrived,
 * reports the reason, and ends.
 */
#include "ssh/channel.h"

#include <libssh2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/channel_internal.h"

static struct sg_channel *
channel_of(const struct sg_relay *relay)
{
    return (struct sg_channel *)relay;
}

struct sg_channel *
sg_channel_next(struct sg_channel *channel)
{
    return channel->next;
}

/* ---- The relay's table of functions (relay.h) ------------------------- */

/* Turn a result of libssh2 into one of the relay: a length, -EAGAIN, or
 * -ECONNRESET.  An error that concerns the session marks it as lost. */
static ssize_t
result_of(struct sg_channel *channel, ssize_t rc)
{
    if (rc == LIBSSH2_ERROR_EAGAIN) {
        return -EAGAIN;
    }
    if (rc < 0) {
        sg_session_check(channel->session, (int)rc);
        return -ECONNRESET;
    }
    return rc;
}

void
sg_channel_give_room(struct sg_channel *channel)
{
    sg_channel_dequeue(channel, SG_QUEUE_WRITE);
    channel->may_write = true;
    sg_loop_run_again(&channel->relay.task);
    /* If this channel does not use the room, the next one gets it. */
    sg_session_run(channel->session);
}

void
sg_channel_try_again(struct sg_channel *channel)
{
    sg_channel_dequeue(channel, SG_QUEUE_REKEY);
    sg_loop_run_again(&channel->relay.task);
}

/* Return how many packets the channel may write now: one if it was taken from
 * SG_QUEUE_WRITE, none if other channels wait in that queue, otherwise as many
 * as tx has room for. */
static size_t
get_packet_room(const struct sg_channel *channel)
{
    const struct sg_session *session = channel->session;

    if (channel->may_write) {
        return 1;
    }
    return session->queues[SG_QUEUE_WRITE].first == NULL
               ? sg_session_room(session)
               : 0;
}

static size_t
channel_room(struct sg_relay *relay)
{
    struct sg_channel *channel = channel_of(relay);
    size_t window, room;

    if (channel->ssh == NULL) {
        return SG_SCRATCH_SIZE; /* channel_write() reports the end */
    }
    window = libssh2_channel_window_write_ex(channel->ssh, NULL);
    if (window == 0) {
        return 0; /* sg_channel_update() notices when it opens */
    }
    room = get_packet_room(channel) * SG_MAX_WRITE;
    if (room == 0) {
        sg_channel_enqueue(channel, SG_QUEUE_WRITE);
    }
    return room < window ? room : window;
}

/* libssh2 makes one packet of each call.  After EAGAIN the next call must pass
 * the same bytes again, but not at the same address.  The relay keeps them. */
static ssize_t
channel_write(struct sg_relay *relay, const char *from, size_t n)
{
    struct sg_channel *channel = channel_of(relay);
    size_t done = 0;
    ssize_t wrote = 1;

    if (channel->session == NULL) {
        return -EPIPE;
    }
    while (done < n && channel->ssh != NULL && wrote > 0) {
        size_t piece = n - done < SG_MAX_WRITE ? n - done : SG_MAX_WRITE;

        if (get_packet_room(channel) == 0) {
            sg_channel_enqueue(channel, SG_QUEUE_WRITE);
            break;
        }
        channel->may_write = false;
        wrote = result_of(channel, libssh2_channel_write_ex(
                                       channel->ssh, 0, from + done, piece));
        done += wrote > 0 ? (size_t)wrote : 0; /* 0: no remote window */
    }
    if (wrote == -EAGAIN
        && libssh2_channel_window_write_ex(channel->ssh, NULL) != 0) {
        sg_channel_enqueue(channel, SG_QUEUE_REKEY);
    }
    if (done > 0) {
        sg_session_run(channel->session);
        return (ssize_t)done;
    }
    return wrote < 0 ? wrote : -EAGAIN;
}

static void
channel_write_eof(struct sg_relay *relay)
{
    channel_of(relay)->eof_wanted = true; /* finish() sends it */
}

/* There is no descriptor to watch: sg_channel_update() lets the channel take a
 * turn when packets for it have arrived. */
static int
channel_want(struct sg_relay *relay, bool reading, bool writing)
{
    (void)relay;
    (void)reading;
    (void)writing;
    return 0;
}

static bool
channel_reason_is_known(const struct sg_relay *relay)
{
    (void)relay;
    return true; /* only a lost session has a reason, known at once */
}

static bool
channel_is_gone(const struct sg_relay *relay)
{
    const struct sg_channel *channel = channel_of(relay);

    return channel->session == NULL
           || (channel->ssh == NULL && !channel->is_in[SG_QUEUE_OPEN]);
}

static bool
channel_has_moved(struct sg_relay *relay)
{
    (void)relay;
    return false;
}

/* Give up on data that has not been sent, and close the channel. */
static bool
channel_escalate(struct sg_relay *relay)
{
    struct sg_channel *channel = channel_of(relay);

    if (channel->is_closing) {
        return false;
    }
    channel->is_closing = true;
    sg_loop_run_again(&relay->task);
    return true;
}

static const struct sg_relay_kind channel_relay_kind = {
    .room = channel_room,
    .write = channel_write,
    .write_eof = channel_write_eof,
    .want = channel_want,
    .reason_is_known = channel_reason_is_known,
    .is_gone = channel_is_gone,
    .has_moved = channel_has_moved,
    .escalate = channel_escalate,
};

/* ---- Receiving -------------------------------------------------------- */

/* Both calls of libssh2 take in all of rx and queue the packets of all
 * channels.  Each returns at once, without reading, if the message that it
 * waits for has arrived already.  So this fails on a channel that has received
 * both EOF and CLOSE. */
bool
sg_channel_pump(struct sg_channel *channel)
{
    int rc;

    if (channel->ssh == NULL) {
        return false;
    }
    rc = libssh2_channel_wait_eof(channel->ssh);
    if (rc == 0) {
        rc = libssh2_channel_wait_closed(channel->ssh);
    }
    if (rc != 0 && rc != LIBSSH2_ERROR_EAGAIN) {
        return sg_session_check(channel->session, rc);
    }
    return rc != 0;
}

/* Return the credit (window.h): the bytes that the peer may still send, plus
 * those that libssh2 has queued for the channel.
 *
 * With both pointers NULL the call takes constant time.  With read_avail, and
 * in libssh2_channel_eof(), libssh2 scans its list of all packets. */
static size_t
get_credit(const struct sg_channel *channel)
{
    return libssh2_channel_window_read_ex(channel->ssh, NULL, NULL);
}

/* Read the channel's data from libssh2 and deliver it to the relay.  Returns
 * true if data or the end of the data has arrived.
 *
 * Read at once, even if the caller of the stream is slow.  libssh2 keeps one
 * list of the packets of all channels, and each read scans the list.  The scan
 * takes 20 ns if the list is empty, but 2 ms if it holds 65 536 packets.  The
 * window bounds the relay's buffer.
 *
 * Never read the last `reserve` bytes of the credit, because libssh2 would
 * then adjust the window by itself (INITIAL in window.c).  replenish() reads
 * these bytes after the next grant. */
static bool
receive(struct sg_channel *channel)
{
    struct sg_relay *relay = &channel->relay;
    /* All tasks of a loop share the scratch memory.  The task of the session
     * is used to find it, because a visit of a thousand idle channels should
     * touch little of the memory of each. */
    char *scratch = sg_loop_scratch(&channel->session->task);
    size_t reserve = sg_window_initial(&channel->window) / 4 * 3;
    bool has_arrived = false;

    while (!relay->far_eof && !channel->session->is_damaged) {
        size_t credit = get_credit(channel);
        size_t n = credit > reserve ? credit - reserve : 0;
        ssize_t got;

        if (n == 0) {
            break;
        }
        n = n < SG_SCRATCH_SIZE ? n : SG_SCRATCH_SIZE;
        got = result_of(channel,
                        libssh2_channel_read_ex(channel->ssh, 0, scratch, n));
        if (got == -EAGAIN) {
            break;
        }
        has_arrived = true;
        if (got > 0) {
            sg_relay_deliver(relay, scratch, (size_t)got);
        }
        else {
            sg_relay_far_eof(relay);
        }
    }
    return has_arrived;
}

/* Move everything that libssh2 has queued for the channel into the relay's
 * buffer, before the channel is freed.  This is at most one window of data.
 *
 * Take nothing after a damaged packet, because libssh2 would read on and
 * deliver data with a gap. */
static void
take_queued(struct sg_channel *channel)
{
    struct sg_relay *relay = &channel->relay;
    char *scratch = sg_loop_scratch(&relay->task);
    ssize_t n;

    if (channel->ssh == NULL || relay->near_deaf || relay->far_eof
        || channel->session->is_damaged) {
        return;
    }
    receive(channel);
    do { /* read the reserve too, which receive() leaves */
        n = channel->session->is_damaged
                ? 0
                : result_of(channel,
                            libssh2_channel_read_ex(channel->ssh, 0, scratch,
                                                    SG_SCRATCH_SIZE));
    } while (n > 0 && sg_buffer_append(&relay->down, scratch, (size_t)n));
}

void
sg_channel_update(struct sg_channel *channel)
{
    struct sg_relay *relay = &channel->relay;

    if (channel->ssh != NULL
        && (receive(channel) || channel->is_closing
            || relay->far_eof != channel->remote_closed
            || ((relay->up.len != 0 || relay->up_full)
                && libssh2_channel_window_write_ex(channel->ssh, NULL)
                       != 0))) {
        sg_loop_run_again(&relay->task);
    }
}

/* Grant the peer new window for the bytes that the caller of the stream has
 * read.  window.h decides how much. */
static void
replenish(struct sg_channel *channel)
{
    struct sg_relay *relay = &channel->relay;
    int rc;

    if (channel->ssh == NULL || channel->is_closing) {
        return;
    }
    if (relay->far_eof) {
        sg_window_end(&channel->window, &channel->session->windows,
                      relay->down.len);
        return;
    }
    if (channel->pending_grant == 0) {
        channel->pending_grant = sg_window_grant(
            &channel->window, &channel->session->windows, get_credit(channel),
            relay->down.len, sg_sys_now());
    }
    if (channel->pending_grant == 0) {
        return;
    }
    rc = libssh2_channel_receive_window_adjust2(
        channel->ssh, channel->pending_grant, 1, NULL);
    if (rc == LIBSSH2_ERROR_EAGAIN) {
        sg_channel_enqueue(channel, SG_QUEUE_REKEY);
        return; /* pending_grant is sent after the key exchange */
    }
    channel->pending_grant = 0;
    if (rc < 0) {
        sg_session_check(channel->session, rc);
        return;
    }
    sg_session_run(channel->session);
    if (receive(channel)) {
        sg_loop_run_again(&relay->task); /* the reserve has arrived */
    }
}

/* ---- Turns ------------------------------------------------------------ */

/* Decide the end of the channel: which EOF and CLOSE (RFC 4254 5.3) have
 * arrived and which to send now.  Returns true if the relay must take another
 * turn because of it.
 *
 * decide() in relay.c decides when the stream ends, and this function decides
 * when the channel ends.  They inform each other as follows.
 *
 *   EOF from the server    receive() calls sg_relay_far_eof(); decide() then
 *                          passes the end on to the caller.
 *   CLOSE from the server  Here (1): the relay learns that its far side takes
 *                          no more data.
 *   EOF to the server      decide() calls channel_write_eof() when libssh2 has
 *                          taken everything that the caller has sent.  Here
 *                          (2): send EOF, unless a CLOSE was sent or has
 *                          arrived.
 *   CLOSE to the server    Here (3): send CLOSE when the relay is done, or if
 *                          the session closes and nothing more goes up.  If
 *                          an EOF is wanted, it goes first.  A CLOSE from
 *                          channel_escalate() waits for none of these.
 *   the end                Here (4): libssh2_channel_free() sends our CLOSE
 *                          and waits for the server's.  Then the channel
 *                          leaves the session, channel_is_gone() is true, and
 *                          decide() ends the stream.
 *
 * Traps of libssh2: a read returns 0 after EOF and also after CLOSE; only
 * libssh2_channel_wait_closed() tells whether CLOSE has arrived.  libssh2 does
 * not answer a CLOSE by itself.  libssh2_channel_free() drops unread data, so
 * take_queued() reads it first.
 *
 * Trap of sshd: it disconnects if it gets channel data after our CLOSE. */
static bool
finish(struct sg_channel *channel)
{
    struct sg_relay *relay = &channel->relay;
    bool has_news = false;

    if (channel->ssh == NULL) {
        return false;
    }
    /* (1) */
    if (relay->far_eof && !channel->remote_closed
        && libssh2_channel_wait_closed(channel->ssh) == 0) {
        channel->remote_closed = true;
        sg_relay_far_deaf(relay);
        has_news = true;
    }
    /* (2)  If is_closing, libssh2_channel_free() may have sent our CLOSE, and
     * sshd would disconnect because of an EOF after it. */
    if (channel->eof_wanted && !channel->eof_sent && !channel->remote_closed
        && !channel->is_closing) {
        channel->eof_sent = libssh2_channel_send_eof(channel->ssh)
                            != LIBSSH2_ERROR_EAGAIN;
        if (!channel->eof_sent) {
            sg_channel_enqueue(channel, SG_QUEUE_REKEY);
        }
        sg_session_run(channel->session);
    }
    /* (3) */
    if ((sg_relay_is_done(relay)
         || (channel->session->is_closing && relay->up_over))
        && (!channel->eof_wanted || channel->eof_sent
            || channel->remote_closed)
        && !channel->is_closing) {
        take_queued(channel);
        channel->is_closing = true;
    }
    /* (4) */
    if (channel->is_closing
        && libssh2_channel_free(channel->ssh) != LIBSSH2_ERROR_EAGAIN) {
        channel->ssh = NULL;
        sg_channel_leave(channel);
        return true;
    }
    if (channel->is_closing) { /* a CLOSE is missing, ours or the server's */
        sg_channel_enqueue(channel, SG_QUEUE_REKEY);
        sg_session_run(channel->session);
    }
    return has_news;
}

/* The first turn: join the session, unless it is closing or has ended. */
static void
join_session(struct sg_channel *channel)
{
    static const struct sg_error closed = {.status = SG_ERR_LOST,
                                           .err = ECONNRESET,
                                           .text = "this program closed the "
                                                   "connection"};
    static const struct sg_error ended = {.status = SG_ERR_LOST,
                                          .err = ECONNRESET,
                                          .text = "the connection had already "
                                                  "ended"};
    struct sg_task *task = &channel->relay.task;
    struct sg_session *session = sg_loop_context(task);

    channel->has_joined = true;
    if (session != NULL && !session->is_closing) {
        sg_channel_enter(channel, session);
        return;
    }
    sg_channel_answer(channel, session != NULL ? &closed : &ended);
}

/* The caller no longer waits, so abandon the open of the channel if possible.
 *
 * An open that has not begun is dropped.  An open that has begun is dropped
 * only if libssh2 keeps the state of each open (`opening` is set).  Otherwise
 * it must be completed first, because libssh2 would take its late confirmation
 * for the answer to the next open (libssh2#671); opened() then closes it. */
static void
drop_open(struct sg_channel *channel)
{
    if (channel->session != NULL && channel->ssh == NULL
        && (channel->opening != NULL
            || channel->session->queues[SG_QUEUE_OPEN].first != channel)) {
        sg_channel_leave(channel);
    }
}

static void
caller_has_gone(struct sg_channel *channel)
{
    struct sg_task *task = &channel->relay.task;

    sg_loop_watch(task, sg_reply_watch(channel->reply), SG_NOTHING);
    sg_reply_release(channel->reply);
    channel->reply = NULL;
    drop_open(channel);
}

static void
channel_turn(struct sg_task *task)
{
    struct sg_channel *channel = (struct sg_channel *)task;

    if (!channel->has_joined) {
        join_session(channel);
    }
    if (task->is_over) {
        return;
    }
    if (channel->reply != NULL) {
        sg_loop_watch(task, sg_reply_watch(channel->reply), SG_HANGUP);
        if (sg_reply_watch(channel->reply)->ready & SG_HANGUP) {
            caller_has_gone(channel);
        }
    }
    if (channel->is_in[SG_QUEUE_OPEN]) {
        return;
    }
    if (channel->session == NULL) {
        sg_relay_far_eof(&channel->relay);
        sg_relay_far_deaf(&channel->relay);
    }
    sg_relay_turn(&channel->relay);
    replenish(channel);
    if (finish(channel)) {
        sg_loop_run_again(task);
    }
}

void
sg_channel_orphan(struct sg_channel *channel)
{
    struct sg_session *session = channel->session;
    struct sg_error error = {.status = SG_ERR_LOST};
    int err = session->last.err != 0 ? session->last.err : ECONNRESET;

    error.err = err;
    snprintf(error.text, sizeof(error.text), "%s", session->last.text);
    sg_shared_set_failure(channel->relay.shared, err, session->last.text);
    sg_channel_answer(channel, &error);
    take_queued(channel);
    sg_channel_leave(channel);
    channel->ssh = NULL; /* libssh2_session_free() frees it */
    sg_loop_run_again(&channel->relay.task);
}

void
sg_channel_close(struct sg_channel *channel)
{
    sg_shared_set_failure(channel->relay.shared, ECONNRESET,
                          "this program closed the connection");
    if (channel->reply != NULL) {
        sg_channel_answer(channel,
                          &(struct sg_error){.status = SG_ERR_LOST,
                                             .err = ECONNRESET,
                                             .text = "this program closed "
                                                     "the connection"});
    }
    drop_open(channel);
    sg_relay_end_input(&channel->relay);
    sg_loop_run_again(&channel->relay.task);
}

static void
channel_stop(struct sg_task *task, sg_deadline by)
{
    sg_relay_stop((struct sg_relay *)task, by);
}

static void
free_parts(struct sg_channel *channel)
{
    free(channel->type);
    free(channel->message);
    free(channel);
}

static void
channel_free(struct sg_task *task)
{
    struct sg_channel *channel = (struct sg_channel *)task;

    sg_channel_leave(channel);
    if (channel->reply != NULL) {
        sg_channel_answer(channel, &(struct sg_error){.status = SG_ERR_LOST,
                                                      .err = ECONNRESET});
    }
    sg_relay_clear(&channel->relay);
    sg_shared_unref(channel->relay.shared);
    free_parts(channel);
}

static const struct sg_task_kind channel_kind = {
    .name = "channel",
    .turn = channel_turn,
    .stop = channel_stop,
    .free = channel_free,
};

/* ---- Starting --------------------------------------------------------- */

static struct sg_channel *
channel_new(const struct sg_channel_options *options)
{
    struct sg_channel *channel = calloc(1, sizeof(*channel));

    if (channel == NULL) {
        return NULL;
    }
    channel->type = strdup(options->type);
    channel->message = malloc(options->message_len + 1);
    if (channel->type == NULL || channel->message == NULL) {
        free_parts(channel);
        return NULL;
    }
    memcpy(channel->message, options->message, options->message_len);
    channel->message_len = options->message_len;
    channel->requested_window = options->window_size;
    channel->max_packet_size = options->max_packet_size;
    return channel;
}

enum sg_status
sg_channel_start(uint64_t loop_id, const struct sg_channel_options *options,
                 struct sg_shared *shared, struct sg_reply **reply,
                 int *stream, struct sg_error *error)
{
    struct sg_channel *channel = channel_new(options);
    struct sg_loop *loop;
    int pair[2] = {-1, -1};
    int err;

    *reply = NULL;
    if (channel == NULL) {
        return sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
    }
    err = sg_sys_socketpair(pair);
    if (err < 0) {
        free_parts(channel);
        return sg_fail_errno(error, err);
    }
    *reply = sg_reply_new(error);
    if (*reply == NULL) {
        goto fail;
    }
    loop = sg_loop_hold_by_id(loop_id);
    if (loop == NULL) {
        sg_fail(error, SG_ERR_LOST, ECONNRESET);
        goto fail;
    }
    channel->relay.task.kind = &channel_kind;
    channel->reply = *reply;
    sg_relay_init(&channel->relay, &channel_relay_kind, sg_shared_ref(shared),
                  pair[0], options->linger);
    *stream = pair[1];
    sg_loop_adopt(loop, &channel->relay.task);
    return SG_OK;
fail:
    if (*reply != NULL) {
        sg_reply_release(*reply);
        sg_reply_drop(*reply);
        *reply = NULL;
    }
    sg_sys_close(&pair[0]);
    sg_sys_close(&pair[1]);
    free_parts(channel);
    return error->status;
}
