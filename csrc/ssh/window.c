/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Receive windows; see window.h.
 */
#include "ssh/window.h"

/* Bytes.  When libssh2 reads and less than 3/4 of the initial window is left,
 * it adjusts the window without asking.  So the initial window is small, and
 * all but these bytes are granted by sg_window_grant().  The initial window
 * is not zero, so that the first bytes of a server need not wait for a grant.
 */
#define INITIAL 4096

/* Up to this number of channels, each has a share of SG_WINDOW_FIRST. */
#define FULL_CHANNELS 16
/* The smallest share, in bytes. */
#define SHARE_MIN ((size_t)128 << 10)
/* While a session has more than this outstanding (bytes), no channel gets more
 * than its share.  The rest of SG_WINDOW_TOTAL is kept for new channels. */
#define GROWTH_BOUND (SG_WINDOW_TOTAL / 4 * 3)

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t
larger(size_t a, size_t b)
{
    return a < b ? b : a;
}

/* Return the share of a channel: the size in bytes that it may have even if
 * other channels have grown.  For n channels it is
 *
 *     SG_WINDOW_FIRST * (FULL_CHANNELS / n)^2
 *
 * but at most SG_WINDOW_FIRST and at least SHARE_MIN.  The square makes a
 * thousand channels, opened one after the other, need about 172 MiB. */
static size_t
get_share(const struct sg_windows *all)
{
    size_t n = all->channels > FULL_CHANNELS ? all->channels : FULL_CHANNELS;
    size_t share = SG_WINDOW_FIRST / n * FULL_CHANNELS / n * FULL_CHANNELS;

    return share < SHARE_MIN ? SHARE_MIN : share;
}

void
sg_window_open(struct sg_window *window, struct sg_windows *all,
               size_t requested)
{
    all->channels++;
    window->size = requested != 0 ? requested : get_share(all);
    window->limit = requested != 0 ? requested : SG_WINDOW_MAX;
    window->kept_up = window->outstanding = 0;
}

/* Update both counts of outstanding bytes. */
static void
account(struct sg_window *window, struct sg_windows *all, size_t outstanding)
{
    all->outstanding = all->outstanding - window->outstanding + outstanding;
    window->outstanding = outstanding;
}

void
sg_window_close(struct sg_window *window, struct sg_windows *all)
{
    account(window, all, 0);
    all->channels--;
}

void
sg_window_end(struct sg_window *window, struct sg_windows *all, size_t unread)
{
    account(window, all, unread);
}

size_t
sg_window_initial(const struct sg_window *window)
{
    return smaller(INITIAL, window->size / 4);
}

/* Return the step: the bytes of the window that must be used before more is
 * granted.
 *
 * A window that has grown belongs to a long round trip.  Its step is an
 * eighth, so that several grants are on their way at any time.  For other
 * windows the step is half of the size, because sshd is slow while a large
 * part of the window is open. */
static size_t
get_step(size_t size)
{
    return size > SG_WINDOW_FIRST ? size / 8 : size / 2;
}

void
sg_window_add_round_trip(struct sg_windows *all, int64_t took)
{
    if (all->round_trip == 0 || took < all->round_trip) {
        all->round_trip = took;
    }
}

/* Double the size if the window seems to limit the throughput: more than a
 * window has been granted within four round trips, and at each grant at most
 * a quarter of the window was unread.
 *
 * A window smaller than SG_WINDOW_FIRST, which is one of many, may take longer
 * than four round trips.  An sshd with a thousand channels is slow, and small
 * windows, which make it work in small pieces, make it slower. */
static void
consider_growing(struct sg_window *window, const struct sg_windows *all,
                 size_t grant, size_t unread, int64_t now)
{
    if (unread > window->size / 4) {
        window->kept_up = 0;
        return;
    }
    if (window->kept_up == 0) {
        window->kept_up_since = now;
    }
    window->kept_up += grant;
    if (window->kept_up <= window->size) {
        return;
    }
    window->kept_up = 0;
    if ((window->size < SG_WINDOW_FIRST
         || now - window->kept_up_since <= 4 * all->round_trip)
        && window->size < window->limit) {
        window->size = smaller(window->size * 2, window->limit);
    }
}

size_t
sg_window_grant(struct sg_window *window, struct sg_windows *all,
                size_t credit, size_t unread, int64_t now)
{
    size_t outstanding = credit + unread, share = get_share(all);
    size_t size, grant, left, least;

    account(window, all, outstanding);
    left = all->outstanding < GROWTH_BOUND ? GROWTH_BOUND - all->outstanding
                                           : 0;
    /* The channel's own size, but beyond its share only up to the bound. */
    size = smaller(window->size, larger(share, outstanding + left));
    if (outstanding > size - get_step(size)) {
        return 0;
    }
    left = all->outstanding < SG_WINDOW_TOTAL
               ? SG_WINDOW_TOTAL - all->outstanding
               : 0;
    /* Even beyond the bound a channel must not come to a halt. */
    least = outstanding < SG_WINDOW_MIN ? SG_WINDOW_MIN - outstanding : 0;
    grant = smaller(size - outstanding, larger(left, least));
    consider_growing(window, all, grant, unread, now);
    account(window, all, outstanding + grant);
    return grant;
}
