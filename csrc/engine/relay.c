/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The relay; see relay.h.
 *
 * States change in set(), which names them in the trace.  Moving bytes only
 * finds out what happened; decide() alone draws the conclusions.
 */
#include "engine/relay.h"

#include <errno.h>
#include <sys/socket.h>

/* How long an end of stream is withheld to learn the reason of it. */
#define REPORT_DELAY (200 * SG_MSEC)
/* Pieces of this size are carried; so many smaller ones in a row are not. */
#define BULK 16384
#define BULK_PIECES 16
#define ESCALATE_PAUSE (250 * SG_MSEC)

static bool
set(const struct sg_relay *relay, bool *state, const char *name)
{
    if (*state) {
        return false;
    }
    *state = true;
    sg_sys_trace("%s %p: %s", relay->task.kind->name, (const void *)relay,
                 name);
    return true;
}

static bool
is_transient(ssize_t result)
{
    return result == -EAGAIN || result == -EWOULDBLOCK || result == -EINTR;
}

/* ---- What is found out ------------------------------------------------ */

void
sg_relay_far_eof(struct sg_relay *relay)
{
    if (set(relay, &relay->far_eof, "far end sent EOF")) {
        relay->report_by = sg_deadline_after(REPORT_DELAY);
    }
}

void
sg_relay_far_deaf(struct sg_relay *relay)
{
    if (set(relay, &relay->far_deaf, "far end takes no more")) {
        relay->report_by = sg_deadline_after(REPORT_DELAY);
        sg_buffer_clear(&relay->up);
    }
}

static void
near_is_deaf(struct sg_relay *relay)
{
    set(relay, &relay->near_deaf, "caller reads no more");
    sg_buffer_clear(&relay->down);
}

static void
near_is_gone(struct sg_relay *relay)
{
    relay->near_hung = true;
    if (set(relay, &relay->near_gone, "caller has closed")) {
        near_is_deaf(relay);
        relay->escalate_at = sg_deadline_after(relay->linger);
        relay->kind->has_moved(relay); /* count from here */
    }
}

static void
wake_relay(void *relay)
{
    sg_loop_wake(&((struct sg_relay *)relay)->task);
}

/* The kernel says that neither way is open any more: by a close, but perhaps
 * by half a shutdown of the caller's and half a one of ours.  Then only
 * whoever holds the descriptor knows (report.h); nothing more can come, but
 * the far side takes its time over what is on its way. */
static void
near_has_hung_up(struct sg_relay *relay)
{
    set(relay, &relay->near_hung, "caller's end is hung up");
    if (!relay->has_shut
        || !sg_shared_is_held(relay->shared, wake_relay, relay)) {
        near_is_gone(relay);
    }
}

static void
has_progressed(struct sg_relay *relay)
{
    if (relay->near_gone && !relay->is_escalating) {
        relay->escalate_at = sg_deadline_after(relay->linger);
    }
}

void
sg_relay_fail(struct sg_relay *relay, int negative_errno)
{
    sg_shared_set_failure(relay->shared, -negative_errno, "");
    sg_relay_far_eof(relay);
    sg_relay_far_deaf(relay);
    near_is_gone(relay); /* it can't be watched for its close any more */
}

/* ---- Up: near to far -------------------------------------------------- */

static void
push_up(struct sg_relay *relay, const char *data, size_t n)
{
    ssize_t taken = relay->kind->write(relay, data, n);

    if (taken < 0 && !is_transient(taken)) {
        sg_relay_far_deaf(relay);
        return;
    }
    if (taken > 0) {
        has_progressed(relay);
        data += taken;
        n -= (size_t)taken;
    }
    relay->up.pool = sg_loop_pool(&relay->task);
    if (!sg_buffer_append(&relay->up, data, n)) {
        sg_relay_fail(relay, -ENOMEM);
    }
}

/* True when nothing is left of what waits to go up. */
static bool
flush_up(struct sg_relay *relay)
{
    struct iovec piece;

    while (sg_buffer_pieces(&relay->up, &piece, 1) != 0) {
        ssize_t taken = relay->kind->write(relay, piece.iov_base,
                                           piece.iov_len);

        if (taken <= 0) {
            if (!is_transient(taken)) {
                sg_relay_far_deaf(relay);
            }
            break;
        }
        has_progressed(relay);
        sg_buffer_consume(&relay->up, (size_t)taken);
        if ((size_t)taken < piece.iov_len) {
            break; /* there is no more room */
        }
    }
    return relay->up.len == 0;
}

/* Is it worth carrying?  Small pieces are better copied: each that is
 * carried takes a whole slot of the pipe. */
static void
weigh(struct sg_relay *relay, ssize_t n)
{
    if (n >= BULK) {
        relay->bulk = BULK_PIECES;
    }
    else if (relay->bulk > 0) {
        relay->bulk--;
    }
}

/* True when that was all there is to do now. */
static bool
carry_up(struct sg_relay *relay)
{
    ssize_t n;

    if (relay->bulk == 0 || relay->near_hung || relay->kind->carry == NULL) {
        return false;
    }
    n = relay->kind->carry(relay, relay->near.fd);
    if (n > 0) {
        has_progressed(relay);
        weigh(relay, n);
        return true;
    }
    relay->up_full = is_transient(n); /* as the socket is not empty */
    return relay->up_full;
}

/* A close with unread data behind it is ECONNRESET here, after everything
 * that was sent before: an end like any other. */
static void
near_has_ended(struct sg_relay *relay, ssize_t received)
{
    if (received <= 0 && !is_transient(received)) {
        set(relay, &relay->near_eof, "caller sent EOF");
    }
}

/* How much to take from the caller, perhaps nothing: what can't go on stays
 * in the caller's socket.  An end needs no room, so look for it. */
static size_t
get_room(struct sg_relay *relay)
{
    size_t room = relay->kind->room != NULL ? relay->kind->room(relay)
                                            : SG_SCRATCH_SIZE;
    char byte;
    ssize_t n;

    if (room == 0) {
        n = sg_sys_recv(relay->near.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        near_has_ended(relay, n);
        relay->up_full = n > 0;
    }
    return room < SG_SCRATCH_SIZE ? room : SG_SCRATCH_SIZE;
}

static void
move_up(struct sg_relay *relay)
{
    char *scratch = sg_loop_scratch(&relay->task);
    bool is_ready = relay->near.ready & SG_READ || relay->up_full
                    || relay->near_hung;
    size_t room;
    ssize_t n;

    relay->up_full = false;
    if (relay->near_eof || relay->far_deaf || !flush_up(relay) || !is_ready
        || carry_up(relay)) {
        return;
    }
    room = get_room(relay);
    if (room == 0) {
        return;
    }
    n = sg_sys_recv(relay->near.fd, scratch, room, MSG_DONTWAIT);
    near_has_ended(relay, n);
    if (n > 0) {
        weigh(relay, n);
        push_up(relay, scratch, (size_t)n);
    }
}

/* ---- Down: far to near ------------------------------------------------ */

/* How much the caller's socket took; what is over for it counts as taken.
 */
static size_t
send_down(struct sg_relay *relay, const struct iovec *pieces, size_t n)
{
    size_t all = 0;
    ssize_t sent = -EPIPE;

    for (size_t i = 0; i < n; i++) {
        all += pieces[i].iov_len;
    }
    if (!relay->near_deaf) {
        sent = sg_sys_send_pieces(relay->near.fd, pieces, n, MSG_DONTWAIT);
    }
    if (sent >= 0) {
        return (size_t)sent;
    }
    if (is_transient(sent)) {
        return 0;
    }
    near_is_deaf(relay); /* EPIPE: SHUT_RD, or closed */
    return all;
}

void
sg_relay_deliver(struct sg_relay *relay, const char *data, size_t n)
{
    struct iovec whole = {.iov_base = (char *)data, .iov_len = n};
    size_t sent = relay->down.len == 0 ? send_down(relay, &whole, 1) : 0;

    relay->down.pool = sg_loop_pool(&relay->task);
    if (!relay->near_deaf
        && !sg_buffer_append(&relay->down, data + sent, n - sent)) {
        sg_relay_fail(relay, -ENOMEM);
    }
}

static void
flush_down(struct sg_relay *relay)
{
    struct iovec pieces[SG_PIECES];
    size_t sent;

    if (relay->down.len != 0) {
        sent = send_down(relay, pieces,
                         sg_buffer_pieces(&relay->down, pieces, SG_PIECES));
        sg_buffer_consume(&relay->down,
                          sent < relay->down.len ? sent : relay->down.len);
    }
}

static void
move_down(struct sg_relay *relay)
{
    char *scratch = sg_loop_scratch(&relay->task);
    ssize_t n;

    flush_down(relay);
    if (relay->down.len != 0 || relay->far_eof || relay->kind->read == NULL) {
        return;
    }
    n = relay->kind->read(relay, scratch, SG_SCRATCH_SIZE);
    if (n > 0) {
        sg_relay_deliver(relay, scratch, (size_t)n);
    }
    else if (!is_transient(n)) {
        sg_relay_far_eof(relay);
    }
}

/* ---- The end ---------------------------------------------------------- */

/* Closing a socket that has unread data resets its peer, and the caller's
 * recv would fail: nothing can arrive after SHUT_RD, so read the rest. */
static void
drop_unread(struct sg_relay *relay)
{
    char *scratch = sg_loop_scratch(&relay->task);

    relay->has_shut = true;
    sg_sys_shutdown(relay->near.fd, SHUT_RD);
    while (sg_sys_recv(relay->near.fd, scratch, SG_SCRATCH_SIZE, MSG_DONTWAIT)
           > 0) {
    }
    set(relay, &relay->near_eof, "the rest from the caller is dropped");
}

/* No progress for too long.  A proxy that has its input in its pipe but is
 * slow to read it makes progress too. */
static void
escalate_when_due(struct sg_relay *relay)
{
    if (sg_sys_now() < relay->escalate_at) {
        return;
    }
    if (!relay->is_escalating && !relay->stopping
        && relay->kind->has_moved(relay)) {
        relay->escalate_at = sg_deadline_after(relay->linger);
        return;
    }
    relay->is_escalating = true;
    relay->escalate_at = relay->kind->escalate(relay)
                             ? sg_deadline_after(relay->escalate_pause)
                             : SG_NEVER;
}

/* All that concerns the end of a stream.  True when nothing is left to do.
 *
 * 1. The far side has ended, one way or both.  That is passed on when the
 *    reason is known, or after SETTLE: whoever sees the end of the stream
 *    shall find the reason in the report.  Until then the caller's data is
 *    taken and kept waiting.
 * 2. The caller has sent all, and all is across: the far side is told.
 * 3. The caller has closed.  What it sent goes on its way first; then the
 *    far side gets `linger` to end by itself, as long as nothing moves.
 * 4. Both ways are over and the far side is gone: the stream is over.  With
 *    the caller gone, what still comes from the far side is of no interest:
 *    some grandchild may hold the pipe for ever (ControlPersist).
 */
static bool
decide(struct sg_relay *relay)
{
    bool is_settled = relay->kind->reason_is_known(relay) || relay->near_gone
                      || sg_sys_now() >= relay->report_by;

    if (relay->far_deaf && !relay->up_over && is_settled) {
        drop_unread(relay);
        set(relay, &relay->up_over, "up is over");
    }
    if (relay->far_eof && !relay->down_over && is_settled
        && relay->down.len == 0) {
        set(relay, &relay->down_over, "down is over");
        relay->has_shut = true;
        sg_sys_shutdown(relay->near.fd, SHUT_WR);
    }
    if (relay->near_eof && !relay->up_over && relay->up.len == 0) {
        set(relay, &relay->up_over, "up is over");
        relay->kind->write_eof(relay);
    }
    if (relay->near_gone && !relay->kind->is_gone(relay)) {
        escalate_when_due(relay);
    }
    if (!relay->kind->is_gone(relay)) {
        return false;
    }
    if (relay->near_gone) {
        return relay->up_over || relay->is_escalating
               || sg_sys_now() >= relay->escalate_at;
    }
    return relay->up_over && relay->down_over;
}

static int
set_interest(struct sg_relay *relay)
{
    unsigned wanted = SG_HANGUP;
    int err;

    if (!relay->near_eof && !relay->far_deaf && relay->up.len == 0
        && !relay->up_full) {
        wanted |= SG_READ;
    }
    if (relay->down.len != 0) {
        wanted |= SG_WRITE;
    }
    /* POLLHUP can't be masked, and has told us all it can. */
    err = sg_loop_watch(&relay->task, &relay->near,
                        relay->near_hung ? SG_NOTHING : wanted);
    if (err < 0) {
        return err;
    }
    return relay->kind->want(relay, !relay->far_eof && relay->down.len == 0,
                             relay->up.len != 0 || relay->up_full);
}

static void
set_alarm(struct sg_relay *relay)
{
    sg_deadline run_at = SG_NEVER;
    bool is_ending = (relay->far_eof && !relay->down_over)
                     || (relay->far_deaf && !relay->up_over);

    if (is_ending && !relay->kind->reason_is_known(relay)
        && sg_sys_now() < relay->report_by) {
        run_at = relay->report_by;
    }
    if (relay->near_gone) {
        run_at = sg_deadline_earlier(run_at, relay->escalate_at);
    }
    sg_loop_run_at(&relay->task, run_at);
}

void
sg_relay_turn(struct sg_relay *relay)
{
    int err;

    if (!relay->near_gone
        && (relay->near_hung || relay->near.ready & SG_HANGUP)) {
        near_has_hung_up(relay);
    }
    move_up(relay);
    move_down(relay);
    relay->near.ready = 0;
    if (decide(relay)) {
        sg_loop_over(&relay->task);
        return;
    }
    err = set_interest(relay);
    if (err < 0) {
        sg_relay_fail(relay, err);
    }
    set_alarm(relay);
    if (err < 0
        || (relay->near_hung && !relay->near_eof && !relay->far_deaf
            && relay->up.len == 0 && !relay->up_full)) {
        /* The near watch is off: nobody else will call us to read on. */
        sg_loop_run_again(&relay->task);
    }
}

bool
sg_relay_is_done(const struct sg_relay *relay)
{
    return relay->up_over && (relay->down_over || relay->near_gone);
}

/* ---- From outside ----------------------------------------------------- */

void
sg_relay_init(struct sg_relay *relay, const struct sg_relay_kind *kind,
              struct sg_shared *shared, int near_fd, int64_t linger)
{
    relay->kind = kind;
    relay->shared = shared;
    relay->near.fd = near_fd;
    relay->linger = linger;
    relay->escalate_pause = ESCALATE_PAUSE;
    relay->escalate_at = relay->report_by = SG_NEVER;
}

void
sg_relay_end_input(struct sg_relay *relay)
{
    relay->has_shut = true;
    sg_sys_shutdown(relay->near.fd, SHUT_RD);
}

/* A good half of the time for an end in peace; the rest for three steps. */
void
sg_relay_stop(struct sg_relay *relay, sg_deadline by)
{
    int64_t left = by - sg_sys_now();

    left = left > 0 ? left : 0;
    relay->linger = relay->linger < left / 2 ? relay->linger : left / 2;
    relay->escalate_pause = left / 8;
    relay->stopping = true;
    /* What was accepted can still be read, and no more will be. */
    sg_sys_shutdown(relay->near.fd, SHUT_RD);
    near_is_gone(relay);
    relay->escalate_at = sg_deadline_earlier(relay->escalate_at,
                                             sg_deadline_after(relay->linger));
}

void
sg_relay_clear(struct sg_relay *relay)
{
    sg_shared_is_held(relay->shared, NULL, NULL);
    sg_loop_close(&relay->task, &relay->near);
    sg_buffer_clear(&relay->up);
    sg_buffer_clear(&relay->down);
}
