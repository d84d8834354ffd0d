/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Which descriptors are ready: epoll(7) on Linux, poll(2) elsewhere.
 *
 * Level-triggered.  POLLHUP and POLLERR can't be masked: whoever isn't able
 * to act on them now must leave the poller (sg_poller_set with SG_NOTHING),
 * or the loop spins.
 */
#ifndef SG_POLLER_H
#define SG_POLLER_H

#include <stddef.h>

#include "sys/status.h"
#include "sys/sys.h"

enum {
    SG_NOTHING = 0,
    SG_READ = 1,
    SG_WRITE = 2,
    SG_HANGUP = 4, /* always comes with the others, alone it can be asked for
                      too: POLLHUP or POLLERR */
};

struct sg_task;

/* One descriptor somebody waits for.  Lives in the memory of its owner and
 * must have left the poller before that is freed or the fd is closed. */
struct sg_watch {
    int fd;
    unsigned wanted; /* what the poller was asked for */
    unsigned ready;  /* what it found since the owner last looked */
    struct sg_task *owner;
    size_t slot; /* the poller's own */
};

struct sg_poller {
#ifdef SG_PORTABLE
    struct pollfd *fds;
    struct sg_watch **watches;
    size_t n, size, next;
#else
    int epfd;
    size_t epoch; /* how often it was opened again */
#endif
};

int sg_poller_open(struct sg_poller *poller);
void sg_poller_close(struct sg_poller *poller);

/* After sg_poller_wait() has failed with `err`, as when somebody else has
 * closed what is not his: begin anew.  No watch is in it any more, whatever it
 * wants; each enters by the next sg_poller_set().  0 or a negative errno: try
 * later. */
int sg_poller_reopen(struct sg_poller *poller, int err);

/* Change what `watch` waits for.  0 or a negative errno (ENOMEM, ENOSPC);
 * leaving never fails. */
int sg_poller_set(struct sg_poller *poller, struct sg_watch *watch,
                  unsigned wanted);

/* Wait, and report up to `max` watches, their `ready` set.  Returns their
 * number or a negative errno. */
int sg_poller_wait(struct sg_poller *poller, struct sg_watch **found, int max,
                   int timeout_ms);

#endif
