/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A poller: reports which descriptors are ready, by epoll(7) on Linux and by
 * poll(2) elsewhere.
 *
 * It is level-triggered: a descriptor that stays ready is reported by each
 * wait.  Trap: a hang-up (POLLHUP, POLLERR) cannot be masked.  A task that
 * cannot act on one now must take the watch out of the poller, with
 * sg_poller_set(..., SG_NOTHING), or the loop spins.
 *
 * A poller and its watches belong to one thread.
 */
#ifndef SG_POLLER_H
#define SG_POLLER_H

#include <stddef.h>

#include "sys/status.h"
#include "sys/sys.h"

/* What a watch waits for; bits of `wanted` and `ready`. */
enum {
    SG_NOTHING = 0, /* not in the poller */
    SG_READ = 1,
    SG_WRITE = 2,
    SG_HANGUP = 4, /* POLLHUP or POLLERR.  Reported whenever any bit is wanted;
                      if this one alone is, nothing else is reported */
};

struct sg_task;

/* One descriptor that a task waits for.  A watch is a part of the task's own
 * memory.  Take it out of the poller before that memory is freed or the
 * descriptor is closed.
 *
 * Readiness: sg_poller_wait() only adds bits to `ready` and never clears one.
 * The task that owns the watch clears them, during the turn in which it acts
 * on them, by setting `ready` to 0; sg_loop_close() clears them too.  Clearing
 * loses nothing: while the descriptor remains ready and wanted, each wait
 * reports it again.  A bit that the task does not clear stays set, even after
 * the watch has left the poller. */
struct sg_watch {
    int fd;                /* negative: there is nothing to watch */
    unsigned wanted;       /* the bits that the poller waits for */
    unsigned ready;        /* the bits it has found since they were cleared */
    struct sg_task *owner; /* the task that gets a turn (set by loop.c), or
                              NULL for the loop's own wake-up */
    size_t slot;           /* the poller's own */
};

struct sg_poller {
#ifdef SG_PORTABLE
    struct pollfd *fds;
    struct sg_watch **watches; /* watches[i] belongs to fds[i] */
    size_t n, size;            /* entries used, and allocated */
    size_t next;               /* the entry at which the next report begins */
#else
    int epfd;
    size_t epoch; /* number of sg_poller_reopen() calls; a watch whose `slot`
                     differs from it has not entered since the last one */
#endif
};

/* Open a poller without watches.  Return 0 or a negative errno. */
int sg_poller_open(struct sg_poller *poller);

/* Close a poller.  The caller has taken all watches out, or never uses them
 * again. */
void sg_poller_close(struct sg_poller *poller);

/* Replace the kernel's part of a poller after sg_poller_wait() has failed with
 * `err`.  (The program may have closed the poller's descriptor by mistake.)
 * Afterwards no watch is in the poller, whatever its `wanted` says; the next
 * sg_poller_set() for it enters it again.  Return 0, or a negative errno after
 * which the caller must try again later. */
int sg_poller_reopen(struct sg_poller *poller, int err);

/* Wait for `wanted` on `watch` from now on, or take it out (SG_NOTHING).
 * Return 0, or a negative errno if it cannot enter (ENOMEM, ENOSPC, EBADF).
 * Taking a watch out never fails. */
int sg_poller_set(struct sg_poller *poller, struct sg_watch *watch,
                  unsigned wanted);

/* Wait up to `timeout_ms` milliseconds (-1: without limit) until a watch is
 * ready.  Store up to `max` ready watches in `found`, with the bits added to
 * their `ready`.  Return their number, 0 at the timeout, or a negative
 * errno. */
int sg_poller_wait(struct sg_poller *poller, struct sg_watch **found, int max,
                   int timeout_ms);

#endif
