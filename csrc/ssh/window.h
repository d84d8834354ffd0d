/* SPDX-License-Identifier: BSD-2-Clause
 *
 * How much the peer of a channel may send: its receive window (RFC 4254 5.2).
 *
 * "Outstanding" is what the peer may still send plus what it has sent and the
 * caller has not read: memory that is spoken for.  It is topped up in steps of
 * half the window, or an eighth of one that has grown.
 *
 * Over a long round trip the window is the ceiling of the throughput, so it
 * doubles when all of it was used within four of them and the reader keeps up.
 * (Not otherwise: sshd copies all that waits for a channel each time it reads
 * 32 KiB more, so a large window is slow where a small one would do.)  All
 * channels of a session share a bound: the more there are, the less each
 * gets.  Pure arithmetic: what is granted is sent by channel.c.
 */
#ifndef SG_WINDOW_H
#define SG_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#define SG_WINDOW_FIRST ((size_t)2 << 20)
#define SG_WINDOW_MAX ((size_t)16 << 20)
#define SG_WINDOW_MIN ((size_t)32 << 10)    /* even beyond the bound */
#define SG_WINDOW_TOTAL ((size_t)256 << 20) /* of one session */

/* All channels of a session together. */
struct sg_windows {
    size_t outstanding;
    size_t channels;
    int64_t round_trip; /* ns, the shortest that was seen; 0: none yet */
};

struct sg_window {
    size_t size;           /* what outstanding is topped up to */
    size_t limit;          /* what size may grow to */
    size_t kept_up;        /* granted in a row while the reader kept up */
    int64_t kept_up_since; /* the first of that, ns */
    size_t outstanding;    /* its part of the session's */
};

/* `requested`: what the caller wants, which then does not grow; 0 for the usual.
 * A channel more. */
void sg_window_open(struct sg_window *window, struct sg_windows *all,
                    size_t requested);

/* A channel less. */
void sg_window_close(struct sg_window *window, struct sg_windows *all);

/* The peer sends no more: only what is `unread` is spoken for. */
void sg_window_end(struct sg_window *window, struct sg_windows *all,
                   size_t unread);

/* How much to say in SSH_MSG_CHANNEL_OPEN. */
size_t sg_window_initial(const struct sg_window *window);

/* A question was answered after so long, in ns. */
void sg_window_add_round_trip(struct sg_windows *all, int64_t took);

/* The peer may still send `credit`, and `unread` is waiting for the caller:
 * how much more to grant now, perhaps 0.  `now`: a clock, in ns. */
size_t sg_window_grant(struct sg_window *window, struct sg_windows *all,
                       size_t credit, size_t unread, int64_t now);

#endif
