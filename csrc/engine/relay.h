/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A relay: the task that carries the bytes of one stream, in both directions,
 * between the caller and the far side, and decides how the stream ends.
 *
 * The near side is our end of a socketpair whose other end is the caller's.
 * The far side is the other end of the stream: a child's pipes or a channel.
 * "Up" is the direction from the caller to the far side; "down" is the
 * opposite.
 *
 * The relay is written once for all kinds of far side; struct sg_relay_kind
 * says how to write a kind.  Everything here runs on the loop's thread, apart
 * from sg_relay_init().
 */
#ifndef SG_RELAY_H
#define SG_RELAY_H

#include "engine/buffer.h"
#include "engine/loop.h"
#include "engine/shared.h"

struct sg_relay;

/* A kind of far side.  How to write one:
 *
 * Make a struct whose first member is a struct sg_relay.  Write a struct
 * sg_task_kind whose turn() calls sg_relay_turn(), whose stop() calls
 * sg_relay_stop(), and whose free() calls sg_relay_clear(), gives up the
 * reference to `shared` and frees the struct.  Call sg_relay_init() before
 * sg_loop_adopt().
 *
 * sg_relay_turn() calls the functions below in this order:
 *   1. write(), for the bytes that an earlier turn left over;
 *   2. carry(), or else room() and write(), for new bytes from the caller;
 *   3. read();
 *   4. reason_is_known(), write_eof(), is_gone(), and after the caller has
 *      closed has_moved() and escalate(), to decide about the end;
 *   5. want(), unless the stream is over.
 * They run on the loop's thread.  None may block, call sg_relay_turn() or free
 * the relay.  Only read, room and carry may be NULL.
 *
 * read, write and carry return a positive number of bytes, or -EAGAIN or
 * -EINTR for "not now".  After "not now" the kind must give the task a turn as
 * soon as another attempt can succeed.  The comment on each function explains
 * the other results.
 *
 * A kind reports, and the relay decides.  The kind reports an end by a result
 * or, at any time, with sg_relay_far_eof(), sg_relay_far_deaf() or
 * sg_relay_fail().  If it calls one of these outside the task's turn, it must
 * also call sg_loop_run_again() for the task.
 * Only the relay ends a stream, with sg_loop_over(): see decide() in relay.c.
 */
struct sg_relay_kind {
    /* Read up to `n` bytes that the far side has sent.  0 or any other
     * negative errno means that the far side sends no more (far_eof).  NULL
     * if the kind calls sg_relay_deliver() instead. */
    ssize_t (*read)(struct sg_relay *relay, char *to, size_t n);

    /* Return the number of bytes that write() would take now.  After 0 the
     * caller's bytes stay in the socketpair, and the kind gives the task a
     * turn when there is room.  NULL if only an attempt can tell. */
    size_t (*room)(struct sg_relay *relay);

    /* Pass up to `n` bytes to the far side and return how many it took; the
     * relay keeps the rest and offers it again.  Never returns 0.  Any other
     * negative errno means that the far side takes no more (far_deaf). */
    ssize_t (*write)(struct sg_relay *relay, const char *from, size_t n);

    /* Move bytes from the socket `from_fd` to the far side without copying
     * them.  Called only when the socket is readable, so -EAGAIN means that
     * the far side is full.  After 0 or any other negative errno the relay
     * copies the bytes with recv() and write() instead.  May be NULL. */
    ssize_t (*carry)(struct sg_relay *relay, int from_fd);

    /* Pass on that the caller sends no more.  Called at most once, after
     * everything that the caller sent has been written (or dropped, if the far
     * side takes no more). */
    void (*write_eof)(struct sg_relay *relay);

    /* Watch the far side.  If `reading`, give the task a turn when read() has
     * bytes.  If `writing`, give it a turn when write() or carry() can take
     * bytes.  Do not watch for an event whose argument is false.  Called at
     * the end of each turn, so this is also the place to close descriptors
     * after far_eof or far_deaf.  Return 0, or a negative errno, which the
     * relay passes to sg_relay_fail(). */
    int (*want)(struct sg_relay *relay, bool reading, bool writing);

    /* Return true once `shared` holds the reason why the far side ended, or
     * once it is certain that there is none.  Until then the relay withholds
     * the end from the caller, for a limited time. */
    bool (*reason_is_known)(const struct sg_relay *relay);

    /* Return true once the far side is over: the child has ended, the channel
     * is closed.  It remains true. */
    bool (*is_gone)(const struct sg_relay *relay);

    /* Return true if, since the last call, the far side has consumed bytes
     * that write() had handed over.  The relay asks while it lingers.  The
     * first call, when the caller closes, only sets the starting point. */
    bool (*has_moved)(struct sg_relay *relay);

    /* Take the next, harsher step to end a far side that makes no progress,
     * such as a stronger signal.  Return false if no step is left. */
    bool (*escalate)(struct sg_relay *relay);
};

/* One stream.  A kind may read the fields and sets none of the flags.
 *
 * The flags record which parts of the stream have ended.  Each is false at
 * first and stays true once it is set, apart from up_full.
 *
 *                       sends no more   takes no more   has closed
 *   near (the caller)   near_eof        near_deaf       near_gone
 *   far                 far_eof         far_deaf        kind->is_gone()
 *
 *                       its end has been passed on
 *   up                  up_over
 *   down                down_over
 *
 * A half-close, for example: after the caller's shutdown(SHUT_WR) near_eof and
 * then up_over are set, while bytes go down as before.  After the far side's
 * EOF far_eof and then down_over are set, while bytes go up as before.
 *
 *   flag       set by                          read by, and why
 *   ---------  ------------------------------  ------------------------------
 *   near_eof   move_up(): recv() found the     move_up(), set_interest(): to
 *              end; drop_unread(): the rest    receive no more; decide(): to
 *              was dropped                     write_eof()
 *   near_deaf  send_down(): EPIPE, after the   send_down() and
 *              caller's SHUT_RD or close;      sg_relay_deliver(): to drop the
 *              set_near_gone()                 far side's bytes; the kinds
 *   near_hung  check_hangup(): the poller      set_interest(): to leave the
 *              reported a hang-up;             poller; move_up(): to read on
 *              set_near_gone()                 without it; sg_relay_turn(): to
 *                                              ask again if it was a close
 *   near_gone  set_near_gone(): the caller     decide(), set_timer(),
 *              has closed, the relay failed,   note_progress(): to linger and
 *              or the program exits            escalate; the kinds
 *   far_eof    sg_relay_far_eof(): read()      move_down(), set_interest(): to
 *              found the end, the kind         read no more; decide(): to pass
 *              reports it, or sg_relay_fail()  the end on; the kinds
 *   far_deaf   sg_relay_far_deaf(): write()    move_up(), set_interest(): to
 *              failed, the kind reports it,    receive no more; decide(): to
 *              or sg_relay_fail()              pass it on; the kinds
 *   up_over    decide(): write_eof() was       decide(), set_timer(), the
 *              called, or the near side shut   kinds: nothing more goes up
 *              down for receiving
 *   down_over  decide(): the near side was     decide(), set_timer(), the
 *              shut down for sending           kinds: nothing more goes down
 *   has_shut   every shutdown() of the near    check_hangup(): the hang-up may
 *              side while the caller is there  be our own doing, not a close
 *   stopping   sg_relay_stop(): the program    escalate_when_due(): progress
 *              exits                           no longer counts
 *   up_full    move_up(): the far side had     move_up(), set_interest(): to
 *              no room, and the caller's       try again when it has room;
 *              bytes stay in the socketpair    cleared by each move_up()
 */
struct sg_relay {
    struct sg_task task;
    const struct sg_relay_kind *kind;
    struct sg_shared *shared; /* one reference, which the kind gives up */
    struct sg_watch near;     /* our end of the socketpair */
    struct sg_buffer up;      /* received from the caller, not yet written */
    struct sg_buffer down;    /* read from the far side, not yet sent */

    int bulk; /* > 0: the caller sends large pieces, so use carry() */
    bool up_full;

    bool near_eof;
    bool near_deaf;
    bool near_hung;
    bool near_gone;
    bool far_eof;
    bool far_deaf;
    bool up_over;
    bool down_over;
    bool has_shut;
    bool stopping;

    int64_t linger;          /* ns without progress after the caller's close
                                before the relay escalates */
    int64_t escalate_pause;  /* ns between two steps of escalation */
    bool is_escalating;      /* the first step was taken */
    sg_deadline escalate_at; /* the time of the next step; SG_NEVER: none */
    sg_deadline report_by;   /* the time at which an end of the far side is
                                passed on even without its reason */
};

/* Set up a zeroed relay before it is adopted, on any thread.  `near_fd`: our
 * end of the socketpair, blocking or not, which the relay takes over.
 * `shared`: the relay uses the reference that the kind holds.  `linger`: see
 * struct sg_relay, in nanoseconds. */
void sg_relay_init(struct sg_relay *relay, const struct sg_relay_kind *kind,
                   struct sg_shared *shared, int near_fd, int64_t linger);

/* Move the bytes that can be moved now, then decide about the end.  Calls
 * sg_loop_over() when the stream is over. */
void sg_relay_turn(struct sg_relay *relay);

/* Pass `n` bytes from the far side to the caller, and keep those that do not
 * fit now.  For kinds without read().  The kind limits how much is kept: it
 * must not accept more from the far side while much is in `down`. */
void sg_relay_deliver(struct sg_relay *relay, const char *data, size_t n);

/* Report that the far side takes no more, or sends no more. */
void sg_relay_far_deaf(struct sg_relay *relay);
void sg_relay_far_eof(struct sg_relay *relay);

/* Return true when both directions are over.  After the caller has closed,
 * only up counts. */
bool sg_relay_is_done(const struct sg_relay *relay);

/* End the stream because of an error in this process, such as -ENOMEM.  The
 * error becomes the reason that the caller sees.  Bytes that have not arrived
 * at the other side are lost. */
void sg_relay_fail(struct sg_relay *relay, int negative_errno);

/* Let the caller send no more.  The bytes that it has sent still go up. */
void sg_relay_end_input(struct sg_relay *relay);

/* Prepare for the exit of the program: act as if the caller had closed, and be
 * over by the deadline `by`. */
void sg_relay_stop(struct sg_relay *relay, sg_deadline by);

/* Close the near side and free the buffers.  For the kind's free(). */
void sg_relay_clear(struct sg_relay *relay);

#endif
