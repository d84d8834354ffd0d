/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Receive windows; see window.h.
 */
#include "ssh/window.h"

/* libssh2 opens a window by itself when it reads while less than 3/4 of what
 * was said at the open is left.  So we say little then, and grant the rest
 * ourselves: only so much is out of our hands.  It is enough for the first
 * words of a server, which are not to wait for the grant. */
#define INITIAL 4096

/* So many channels have their 2 MiB; of more each gets less. */
#define FULL_CHANNELS 16
#define SHARE_MIN ((size_t)128 << 10)
/* Growing stops here, so that there is something left for newcomers. */
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

/* What is a channel's due, even when others have grown: so falling that a
 * thousand of them stay within the bound. */
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

/* So much must be used until more is granted.  Over a distance, where windows
 * have grown, in small steps: in large ones only one of them is under way.
 * Else in large ones, for sshd is slow while much of the window is open. */
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

/* All of a window used within four round trips, in which two steps of half
 * of it have been granted, and hardly anything unread each time: it may be
 * what holds the sender back.  One that is small because it is one of many
 * grows without hurry, too: an sshd with a thousand channels is slow, and the
 * slower the smaller the pieces are that it works in. */
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
    size = smaller(window->size, larger(share, outstanding + left));
    if (outstanding > size - get_step(size)) {
        return 0;
    }
    left = all->outstanding < SG_WINDOW_TOTAL
               ? SG_WINDOW_TOTAL - all->outstanding
               : 0;
    /* Beyond the bound each still gets so much that it goes on. */
    least = outstanding < SG_WINDOW_MIN ? SG_WINDOW_MIN - outstanding : 0;
    grant = smaller(size - outstanding, larger(left, least));
    consider_growing(window, all, grant, unread, now);
    account(window, all, outstanding + grant);
    return grant;
}
