/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A poller; see poller.h.  First by epoll(7), then by poll(2).
 */
#include "engine/poller.h"

#include <errno.h>
#include <stdlib.h>

#ifndef SG_PORTABLE

#include <sys/epoll.h>

int
sg_poller_open(struct sg_poller *poller)
{
    *poller = (struct sg_poller){.epfd = sg_sys_epoll_create()};
    return poller->epfd < 0 ? poller->epfd : 0;
}

int
sg_poller_reopen(struct sg_poller *poller, int err)
{
    if (err != -EBADF && err != -EINVAL) {
        sg_sys_close(&poller->epfd);
    }
    else if (poller->epfd >= 0) {
        /* The program has closed it, and its number may belong to another file
         * by now: forget the number, but do not close it. */
        sg_sys_disown(poller->epfd);
    }
    poller->epfd = sg_sys_epoll_create();
    poller->epoch++;
    return poller->epfd < 0 ? poller->epfd : 0;
}

void
sg_poller_close(struct sg_poller *poller)
{
    sg_sys_close(&poller->epfd);
}

/* A descriptor must leave by EPOLL_CTL_DEL before it is closed.  Closing alone
 * leaves it in the set for as long as any process has a copy of it, and a
 * child between fork and exec has a copy of every descriptor. */
int
sg_poller_set(struct sg_poller *poller, struct sg_watch *watch,
              unsigned wanted)
{
    struct epoll_event event = {.data.ptr = watch};
    int op, err;

    if (watch->slot != poller->epoch) {
        watch->slot = poller->epoch;
        watch->wanted = SG_NOTHING;
    }
    if (wanted == watch->wanted) {
        return 0;
    }
    if (wanted & SG_READ) {
        event.events |= EPOLLIN;
    }
    if (wanted & SG_WRITE) {
        event.events |= EPOLLOUT;
    }
    op = wanted == SG_NOTHING          ? EPOLL_CTL_DEL
         : watch->wanted == SG_NOTHING ? EPOLL_CTL_ADD
                                       : EPOLL_CTL_MOD;
    err = sg_sys_epoll_ctl(poller->epfd, op, watch->fd, &event);
    if (err < 0 && wanted != SG_NOTHING) {
        return err;
    }
    watch->wanted = wanted;
    return 0;
}

int
sg_poller_wait(struct sg_poller *poller, struct sg_watch **found, int max,
               int timeout_ms)
{
    struct epoll_event events[64];
    int n;

    if (max > 64) {
        max = 64;
    }
    n = sg_sys_epoll_wait(poller->epfd, events, max, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct sg_watch *watch = events[i].data.ptr;
        unsigned seen = events[i].events;

        /* The owner clears these bits; see struct sg_watch. */
        watch->ready |= (seen & EPOLLIN ? SG_READ : 0U)
                        | (seen & EPOLLOUT ? SG_WRITE : 0U)
                        | (seen & (EPOLLHUP | EPOLLERR) ? SG_HANGUP : 0U);
        found[i] = watch;
    }
    return n;
}

#else /* SG_PORTABLE */

int
sg_poller_open(struct sg_poller *poller)
{
    *poller = (struct sg_poller){0};
    return 0;
}

void
sg_poller_close(struct sg_poller *poller)
{
    free(poller->fds);
    free(poller->watches);
    *poller = (struct sg_poller){0};
}

/* Nothing to do: poll(2) keeps no state in the kernel that could be lost. */
int
sg_poller_reopen(struct sg_poller *poller, int err)
{
    (void)poller;
    (void)err;
    return 0;
}

/* Make room for one more entry.  Return 0 or -ENOMEM. */
static int
make_room(struct sg_poller *poller)
{
    size_t size = poller->size != 0 ? 2 * poller->size : 16;
    struct pollfd *fds;
    struct sg_watch **watches;

    if (poller->n < poller->size) {
        return 0;
    }
    fds = realloc(poller->fds, size * sizeof(*fds));
    if (fds == NULL) {
        return -ENOMEM;
    }
    poller->fds = fds;
    watches = realloc(poller->watches, size * sizeof(*watches));
    if (watches == NULL) {
        return -ENOMEM;
    }
    poller->watches = watches;
    poller->size = size;
    return 0;
}

/* Remove an entry; the last one takes its place. */
static void
leave(struct sg_poller *poller, struct sg_watch *watch)
{
    size_t last = --poller->n;

    poller->fds[watch->slot] = poller->fds[last];
    poller->watches[watch->slot] = poller->watches[last];
    poller->watches[watch->slot]->slot = watch->slot;
}

int
sg_poller_set(struct sg_poller *poller, struct sg_watch *watch,
              unsigned wanted)
{
    if (wanted == watch->wanted) {
        return 0;
    }
    if (wanted == SG_NOTHING) {
        leave(poller, watch);
        watch->wanted = wanted;
        return 0;
    }
    if (watch->wanted == SG_NOTHING) {
        int err = make_room(poller);

        if (err < 0) {
            return err;
        }
        watch->slot = poller->n++;
        poller->watches[watch->slot] = watch;
    }
    poller->fds[watch->slot] = (struct pollfd){
        .fd = watch->fd,
        .events = (short)((wanted & SG_READ ? POLLIN : 0)
                          | (wanted & SG_WRITE ? POLLOUT : 0))};
    watch->wanted = wanted;
    return 0;
}

int
sg_poller_wait(struct sg_poller *poller, struct sg_watch **found, int max,
               int timeout_ms)
{
    int n = sg_sys_poll(poller->fds, (nfds_t)poller->n, timeout_ms);
    int reported = 0;
    size_t i = poller->next;

    if (n < 0) {
        return n;
    }
    /* Continue where the last report ended, so that no watch starves if more
     * than `max` are ready. */
    for (size_t left = poller->n; left > 0 && reported < n && reported < max;
         left--, i++) {
        struct sg_watch *watch;
        int seen;

        i = i < poller->n ? i : 0;
        watch = poller->watches[i];
        seen = poller->fds[i].revents;

        if (seen == 0) {
            continue;
        }
        watch->ready |= (seen & POLLIN ? SG_READ : 0U)
                        | (seen & POLLOUT ? SG_WRITE : 0U)
                        | (seen & ~(POLLIN | POLLOUT) ? SG_HANGUP : 0U);
        found[reported++] = watch;
    }
    poller->next = i;
    return reported;
}

#endif
