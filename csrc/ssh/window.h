/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The receive window of a channel: how many bytes the peer may send (RFC 4254
 * 5.2).  Arithmetic only; channel.c sends SSH_MSG_CHANNEL_WINDOW_ADJUST.
 *
 * Two words are used throughout, both in bytes:
 *   credit       what the peer may still send
 *   outstanding  credit + what has arrived and the caller has not read.  It is
 *                the memory that the channel may need.
 *
 * Granting.  The window of a channel has a size, at first 2 MiB.  Once the
 * caller has read a step of bytes, sg_window_grant() raises outstanding to the
 * size again.  A step is size / 2, or size / 8 if the size is above 2 MiB.
 *
 * Growing.  A window limits the throughput to size / round trip.  So the size
 * doubles, up to 16 MiB, when the whole window has been used within four
 * round trips and the caller reads as fast as the peer sends.  Other windows
 * stay small, because sshd copies everything that waits for a channel each
 * time it reads another 32 KiB, which makes a large window slow.
 *
 * Bounds.  All channels of a session share 256 MiB.  The more channels there
 * are, the smaller is the size of each; see get_share() in window.c.
 *
 * The functions take no lock: the windows of a session are used on the thread
 * of its loop.
 */
#ifndef SG_WINDOW_H
#define SG_WINDOW_H

#include <stddef.h>
#include <stdint.h>

/* All in bytes.  FIRST is the size of a new channel, and MAX the largest size
 * that a channel grows to.  All channels of a session together may have TOTAL
 * outstanding.  Each channel may have MIN outstanding even if the sum then
 * exceeds TOTAL. */
#define SG_WINDOW_FIRST ((size_t)2 << 20)
#define SG_WINDOW_MAX ((size_t)16 << 20)
#define SG_WINDOW_TOTAL ((size_t)256 << 20)
#define SG_WINDOW_MIN ((size_t)32 << 10)

/* All channels of a session together.  Zeroed: none. */
struct sg_windows {
    size_t outstanding; /* bytes, of all channels */
    size_t channels;    /* how many channels there are */
    int64_t round_trip; /* ns, the shortest one that was measured; 0: none */
};

/* One channel. */
struct sg_window {
    size_t size;           /* bytes that outstanding is raised to */
    size_t limit;          /* bytes that size may grow to */
    size_t kept_up;        /* bytes granted in a row while the caller kept up
                              with the peer */
    int64_t kept_up_since; /* ns: when the first of these was granted */
    size_t outstanding;    /* bytes, this channel's part of sg_windows */
};

/* Add a channel.  `requested` is the size in bytes that the caller wants; such
 * a size never grows.  0 means the default. */
void sg_window_open(struct sg_window *window, struct sg_windows *all,
                    size_t requested);

/* Remove a channel. */
void sg_window_close(struct sg_window *window, struct sg_windows *all);

/* The peer will send no more, so only the `unread` bytes are outstanding. */
void sg_window_end(struct sg_window *window, struct sg_windows *all,
                   size_t unread);

/* Return the initial window size in bytes for SSH_MSG_CHANNEL_OPEN.  It is
 * small; the first sg_window_grant() raises it to the size. */
size_t sg_window_initial(const struct sg_window *window);

/* The server has answered a message after `took` ns.  The shortest of these
 * times counts as the round trip. */
void sg_window_add_round_trip(struct sg_windows *all, int64_t took);

/* Return how many bytes to grant to the peer now, perhaps 0.  The grant counts
 * as outstanding from now on.
 *
 *   credit  bytes that the peer may still send
 *   unread  bytes that have arrived and that the caller has not read
 *   now     ns on a monotonic clock */
size_t sg_window_grant(struct sg_window *window, struct sg_windows *all,
                       size_t credit, size_t unread, int64_t now);

#endif
