/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The relay: carries the bytes of one stream between our end of its
 * socketpair (the near side) and its far side, both ways, and decides when
 * and how the stream ends.
 *
 * Written once for all kinds of far side; a kind is the table below.  "Up"
 * is from the caller to the far side, "down" the other way.
 */
#ifndef SG_RELAY_H
#define SG_RELAY_H

#include "engine/buffer.h"
#include "engine/loop.h"
#include "engine/shared.h"

struct sg_relay;

struct sg_relay_kind {
    /* Some of what the far side sent: > 0, 0 at its end, -EAGAIN when there
     * is nothing now.  NULL when the kind calls sg_relay_deliver(). */
    ssize_t (*read)(struct sg_relay *relay, char *to, size_t n);
    /* How much write() would take now; NULL when only trying can tell.  For
     * none, the relay gets a turn when there is some. */
    size_t (*room)(struct sg_relay *relay);
    /* Give the far side some: how much it took, or -EAGAIN when it takes
     * nothing now.  Another negative errno: it never will again. */
    ssize_t (*write)(struct sg_relay *relay, const char *from, size_t n);
    /* Move some from a socket to the far side without copying; else like
     * write(), but that -EAGAIN may also mean that the socket is empty, and
     * another negative errno that it can't be done like this.  May be NULL. */
    ssize_t (*carry)(struct sg_relay *relay, int from_fd);
    /* No more will come from the caller. */
    void (*write_eof)(struct sg_relay *relay);
    /* What the relay waits for now.  0 or a negative errno. */
    int (*want)(struct sg_relay *relay, bool reading, bool writing);
    /* It is known why the far side ended. */
    bool (*reason_is_known)(const struct sg_relay *relay);
    /* The far side is over altogether. */
    bool (*is_gone)(const struct sg_relay *relay);
    /* The far side has taken in some of what write() and write_eof() left
     * with it since this was last asked. */
    bool (*has_moved)(struct sg_relay *relay);
    /* It makes no progress: be harsher.  False when nothing harsher is
     * left. */
    bool (*escalate)(struct sg_relay *relay);
};

struct sg_relay {
    struct sg_task task; /* its turn() calls sg_relay_turn() */
    const struct sg_relay_kind *kind;
    struct sg_shared *shared;
    struct sg_watch near; /* our end of the socketpair */
    struct sg_buffer up;  /* taken from the near side, not yet across */
    struct sg_buffer down;

    int bulk;     /* > 0: much goes up, carry() it */
    bool up_full; /* carry() or room() found none */

    bool near_eof;  /* all that the caller sent has been read */
    bool near_deaf; /* the caller reads no more: what comes is dropped */
    bool near_hung; /* hung up: watching it tells no more */
    bool near_gone; /* the caller has closed: we linger */
    bool far_eof;   /* all that the far side sent has been read */
    bool far_deaf;  /* the far side takes no more */
    bool up_over;   /* the end has been passed on, or there is no way to */
    bool down_over;
    bool has_shut; /* our end, one way or both */
    bool stopping; /* the program ends: no more comes from the caller */

    int64_t linger;         /* ns without progress before we insist */
    int64_t escalate_pause; /* ns between the steps of is_escalating */
    bool is_escalating;
    sg_deadline escalate_at; /* lingering: when to insist */
    sg_deadline report_by;   /* the far side's end: when to pass it on even if
                             it is not known why it ended */
};

/* Set up before adoption; takes over `near_fd`, non-blocking or not, but
 * not the report. */
void sg_relay_init(struct sg_relay *relay, const struct sg_relay_kind *kind,
                   struct sg_shared *shared, int near_fd, int64_t linger);

/* Move what can be moved, then decide; calls sg_loop_over() at the end. */
void sg_relay_turn(struct sg_relay *relay);

/* For kinds that are given what the far side sends: on to the caller, or
 * kept for it.  The kind sees to it that this does not get too much. */
void sg_relay_deliver(struct sg_relay *relay, const char *data, size_t n);

/* The far side takes no more, or sends no more (noticed by the kind). */
void sg_relay_far_deaf(struct sg_relay *relay);
void sg_relay_far_eof(struct sg_relay *relay);

/* All that the caller sent is across, or nothing takes it; and all that came
 * has been passed on, or nobody wants it. */
bool sg_relay_is_done(const struct sg_relay *relay);

/* It can't go on, for want of memory or the like. */
void sg_relay_fail(struct sg_relay *relay, int negative_errno);

/* What the caller has sent still goes up; it can send no more. */
void sg_relay_end_input(struct sg_relay *relay);

/* The program ends. */
void sg_relay_stop(struct sg_relay *relay, sg_deadline by);

/* Close the near side, free the buffers. */
void sg_relay_clear(struct sg_relay *relay);

#endif
