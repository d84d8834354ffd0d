/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A relay; see relay.h.
 *
 * The functions that move bytes only record events, as flags; decide() alone
 * acts on the end of a stream.  set_flag() sets a flag and names it in the
 * trace.
 */
#include "engine/relay.h"

#include <errno.h>
#include <sys/socket.h>

/* The longest time for which an end of the far side is withheld from the
 * caller because its reason is not known. */
#define REPORT_DELAY (200 * SG_MSEC)
/* A piece of BULK bytes or more starts carrying; BULK_PIECES smaller ones in a
 * row stop it. */
#define BULK 16384
#define BULK_PIECES 16
/* The pause between two steps of escalation. */
#define ESCALATE_PAUSE (250 * SG_MSEC)

/* Set a flag and trace it.  Return false if it was set already. */
static bool
set_flag(const struct sg_relay *relay, bool *state, const char *name)
{
    if (*state) {
        return false;
    }
    *state = true;
    sg_sys_trace("%s %p: %s", relay->task.kind->name, (const void *)relay,
                 name);
    return true;
}

/* Return true if `result` means "not now" rather than an end. */
static bool
is_transient(ssize_t result)
{
    return result == -EAGAIN || result == -EWOULDBLOCK || result == -EINTR;
}

/* ---- Events ----------------------------------------------------------- */

void
sg_relay_far_eof(struct sg_relay *relay)
{
    if (set_flag(relay, &relay->far_eof, "far side sent EOF")) {
        relay->report_by = sg_deadline_after(REPORT_DELAY);
    }
}

void
sg_relay_far_deaf(struct sg_relay *relay)
{
    if (set_flag(relay, &relay->far_deaf, "far side takes no more")) {
        relay->report_by = sg_deadline_after(REPORT_DELAY);
        sg_buffer_clear(&relay->up);
    }
}

static void
set_near_deaf(struct sg_relay *relay)
{
    set_flag(relay, &relay->near_deaf, "caller reads no more");
    sg_buffer_clear(&relay->down);
}

static void
set_near_gone(struct sg_relay *relay)
{
    relay->near_hung = true;
    if (set_flag(relay, &relay->near_gone, "caller has closed")) {
        set_near_deaf(relay);
        relay->escalate_at = sg_deadline_after(relay->linger);
        relay->kind->has_moved(relay); /* progress counts from here */
    }
}

static void
wake_relay(void *relay)
{
    sg_loop_wake(&((struct sg_relay *)relay)->task);
}

/* The kernel has reported a hang-up of the near side: both directions are
 * closed.  Either the caller has closed its end, or the caller has shut down
 * one direction and the relay the other.  The hold tells the two cases apart
 * (sg_shared_hold()).  After a shutdown the linger does not begin: the bytes
 * on their way to the far side may take any time. */
static void
check_hangup(struct sg_relay *relay)
{
    set_flag(relay, &relay->near_hung, "caller's end is hung up");
    if (!relay->has_shut
        || !sg_shared_is_held(relay->shared, wake_relay, relay)) {
        set_near_gone(relay);
    }
}

/* Bytes have gone up, so measure the linger from now on. */
static void
note_progress(struct sg_relay *relay)
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
    set_near_gone(relay); /* because the real close may go unnoticed */
}

/* ---- Up: near to far -------------------------------------------------- */

/* Pass `n` new bytes to the far side and keep those that it does not take. */
static void
push_up(struct sg_relay *relay, const char *data, size_t n)
{
    ssize_t taken = relay->kind->write(relay, data, n);

    if (taken < 0 && !is_transient(taken)) {
        sg_relay_far_deaf(relay);
        return;
    }
    if (taken > 0) {
        note_progress(relay);
        data += taken;
        n -= (size_t)taken;
    }
    relay->up.pool = sg_loop_pool(&relay->task);
    if (!sg_buffer_append(&relay->up, data, n)) {
        sg_relay_fail(relay, -ENOMEM);
    }
}

/* Pass on the bytes that are kept.  Return true if none is left. */
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
        note_progress(relay);
        sg_buffer_consume(&relay->up, (size_t)taken);
        if ((size_t)taken < piece.iov_len) {
            break; /* the far side has no more room */
        }
    }
    return relay->up.len == 0;
}

/* Adjust `bulk` after a piece of `n` bytes.  Small pieces are better copied,
 * because each piece that is carried occupies a whole slot of the pipe. */
static void
update_bulk(struct sg_relay *relay, ssize_t n)
{
    if (n >= BULK) {
        relay->bulk = BULK_PIECES;
    }
    else if (relay->bulk > 0) {
        relay->bulk--;
    }
}

/* Move bytes up without copying them, if that is worthwhile.  Return false if
 * move_up() is to copy instead. */
static bool
carry_up(struct sg_relay *relay)
{
    ssize_t n;

    if (relay->bulk == 0 || relay->near_hung || relay->kind->carry == NULL) {
        return false;
    }
    n = relay->kind->carry(relay, relay->near.fd);
    if (n > 0) {
        note_progress(relay);
        update_bulk(relay, n);
        return true;
    }
    /* The socket is not empty, so "not now" means that there is no room. */
    relay->up_full = is_transient(n);
    return relay->up_full;
}

/* Record the caller's EOF if recv() has returned 0 or an error.  If the caller
 * closes with unread data, recv() returns all bytes that the caller has sent
 * and then ECONNRESET.  This counts as EOF too. */
static void
check_near_end(struct sg_relay *relay, ssize_t received)
{
    if (received <= 0 && !is_transient(received)) {
        set_flag(relay, &relay->near_eof, "caller sent EOF");
    }
}

/* Return the number of bytes to receive from the caller now.  If the far side
 * has no room, return 0, so that the bytes stay in the socketpair, but check
 * for the caller's EOF, which needs no room. */
static size_t
look_for_room(struct sg_relay *relay)
{
    size_t room = relay->kind->room != NULL ? relay->kind->room(relay)
                                            : SG_SCRATCH_SIZE;
    char byte;
    ssize_t n;

    if (room == 0) {
        n = sg_sys_recv(relay->near.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        check_near_end(relay, n);
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
    room = look_for_room(relay);
    if (room == 0) {
        return;
    }
    n = sg_sys_recv(relay->near.fd, scratch, room, MSG_DONTWAIT);
    check_near_end(relay, n);
    if (n > 0) {
        update_bulk(relay, n);
        push_up(relay, scratch, (size_t)n);
    }
}

/* ---- Down: far to near ------------------------------------------------ */

/* Send pieces to the caller and return the number of bytes that its socket
 * took.  Bytes for a caller that takes no more are dropped and count as taken.
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
    set_near_deaf(relay); /* EPIPE: the caller's SHUT_RD or close */
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

/* Shut the near side down for receiving, after which no more data can arrive,
 * and drop the unread bytes.  (Closing a socket that has unread data resets
 * its peer, and the caller's recv() would fail.) */
static void
drop_unread(struct sg_relay *relay)
{
    char *scratch = sg_loop_scratch(&relay->task);

    relay->has_shut = true;
    sg_sys_shutdown(relay->near.fd, SHUT_RD);
    while (sg_sys_recv(relay->near.fd, scratch, SG_SCRATCH_SIZE, MSG_DONTWAIT)
           > 0) {
    }
    set_flag(relay, &relay->near_eof, "the rest from the caller is dropped");
}

/* If the far side has made no progress for `linger`, take the next step of
 * escalation.  A program that reads its pipe slowly makes progress too, which
 * only has_moved() can detect. */
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

/* Decide about the end of the stream.  All such decisions are made here.
 * Return true when the stream is over.
 *
 * 1. far_deaf: the far side takes no more.  Shut the near side down for
 *    receiving, so that the caller's send() fails with EPIPE.
 * 2. far_eof, and the caller's socket has taken all bytes: shut the near side
 *    down for sending, so that the caller's recv() returns the end.
 *    1 and 2 wait until the reason is known, up to REPORT_DELAY, because a
 *    caller that sees the end must find its reason in `shared`.  Meanwhile
 *    the caller's send() succeeds, and its bytes wait in the socketpair.
 *    (If the caller has closed, there is nothing to wait for.)
 * 3. near_eof, and the far side has taken all bytes: write_eof().
 * 4. near_gone: the caller has closed.  Its bytes go up first, as in 3.  If
 *    the far side makes no progress for `linger`, escalate step by step until
 *    it is gone.
 * 5. is_gone(): the stream is over when both directions are over.  If the
 *    caller has closed, it is over when up is over or escalation is due, and
 *    bytes from the far side no longer matter.  (A grandchild may hold the
 *    child's stdout open for ever, as with ControlPersist.)
 *
 * A channel has an end of its own: finish() in ssh/channel.c decides when EOF
 * and CLOSE are sent, and so when is_gone() becomes true for a channel.
 */
static bool
decide(struct sg_relay *relay)
{
    bool may_report = relay->kind->reason_is_known(relay) || relay->near_gone
                      || sg_sys_now() >= relay->report_by;

    if (relay->far_deaf && !relay->up_over && may_report) {
        drop_unread(relay);
        set_flag(relay, &relay->up_over, "up is over");
    }
    if (relay->far_eof && !relay->down_over && may_report
        && relay->down.len == 0) {
        set_flag(relay, &relay->down_over, "down is over");
        relay->has_shut = true;
        sg_sys_shutdown(relay->near.fd, SHUT_WR);
    }
    if (relay->near_eof && !relay->up_over && relay->up.len == 0) {
        set_flag(relay, &relay->up_over, "up is over");
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

/* Watch both sides for the events that the relay can act on now.  Return 0 or
 * a negative errno. */
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
    /* The poller would report the same hang-up again and again. */
    err = sg_loop_watch(&relay->task, &relay->near,
                        relay->near_hung ? SG_NOTHING : wanted);
    if (err < 0) {
        return err;
    }
    return relay->kind->want(relay, !relay->far_eof && relay->down.len == 0,
                             relay->up.len != 0 || relay->up_full);
}

/* Ask for a turn at the time when an end must be passed on without its reason,
 * or when escalation is due. */
static void
set_timer(struct sg_relay *relay)
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
        check_hangup(relay);
    }
    move_up(relay);
    move_down(relay);
    relay->near.ready = 0; /* it was acted on; see struct sg_watch */
    if (decide(relay)) {
        sg_loop_over(&relay->task);
        return;
    }
    err = set_interest(relay);
    if (err < 0) {
        sg_relay_fail(relay, err);
    }
    set_timer(relay);
    if (err < 0
        || (relay->near_hung && !relay->near_eof && !relay->far_deaf
            && relay->up.len == 0 && !relay->up_full)) {
        /* The near watch is not in the poller, so no event would give the task
         * the turn in which it reads the rest. */
        sg_loop_run_again(&relay->task);
    }
}

bool
sg_relay_is_done(const struct sg_relay *relay)
{
    return relay->up_over && (relay->down_over || relay->near_gone);
}

/* ---- Beginning and end of a relay ------------------------------------- */

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

/* Half of the time that is left is for an end without force, and the rest for
 * three steps of escalation. */
void
sg_relay_stop(struct sg_relay *relay, sg_deadline by)
{
    int64_t left = by - sg_sys_now();

    left = left > 0 ? left : 0;
    relay->linger = relay->linger < left / 2 ? relay->linger : left / 2;
    relay->escalate_pause = left / 8;
    relay->stopping = true;
    /* The bytes that the socket has accepted can be read after this. */
    sg_sys_shutdown(relay->near.fd, SHUT_RD);
    set_near_gone(relay);
    relay->escalate_at = sg_deadline_earlier(relay->escalate_at,
                                             sg_deadline_after(relay->linger));
}

void
sg_relay_clear(struct sg_relay *relay)
{
    sg_shared_is_held(relay->shared, NULL, NULL); /* cancel the callback */
    sg_loop_close(&relay->task, &relay->near);
    sg_buffer_clear(&relay->up);
    sg_buffer_clear(&relay->down);
}
