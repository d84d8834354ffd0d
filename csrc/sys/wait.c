/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The system calls that wait; see sys.h.
 */
#include "sys/internal.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#ifndef SG_PORTABLE
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif

int
sg_sys_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int err = fault("poll");

    return err < 0 ? err : (int)or_errno(poll(fds, n, timeout_ms));
}

void
sg_sys_pause(int64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000),
                            .tv_nsec = (long)(ns % 1000000000)};

    nanosleep(&left, NULL);
}

int
sg_sys_wakeup_open(struct sg_wakeup *wakeup)
{
#ifdef SG_PORTABLE
    int fd[2];
    int err = sg_sys_pipe(fd);

    wakeup->reader = fd[0];
    wakeup->writer = fd[1];
    if (err >= 0) {
        sg_sys_set_blocking(fd[0], false);
        sg_sys_set_blocking(fd[1], false);
    }
    return err;
#else
    int fd = fault("eventfd");

    if (fd == 0) {
        sg_sys_lock();
        fd = sg_sys_keep_locked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        sg_sys_unlock();
    }
    wakeup->reader = wakeup->writer = fd < 0 ? -1 : fd;
    return fd < 0 ? fd : 0;
#endif
}

void
sg_sys_wakeup_set(const struct sg_wakeup *wakeup)
{
    const uint64_t one = 1;

    /* EAGAIN means that the wake-up is set already. */
    while (write(wakeup->writer, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

void
sg_sys_wakeup_clear(const struct sg_wakeup *wakeup)
{
    char drop[256];

    while (read(wakeup->reader, drop, sizeof(drop)) < 0 && errno == EINTR) {
    }
}

void
sg_sys_wakeup_close(struct sg_wakeup *wakeup)
{
    if (wakeup->writer != wakeup->reader) {
        sg_sys_close(&wakeup->writer);
    }
    sg_sys_close(&wakeup->reader);
    wakeup->writer = -1;
}

#ifndef SG_PORTABLE
int
sg_sys_epoll_create(void)
{
    int fd = fault("epoll_create");

    if (fd < 0) {
        return fd;
    }
    sg_sys_lock();
    fd = sg_sys_keep_locked(epoll_create1(EPOLL_CLOEXEC));
    sg_sys_unlock();
    return fd;
}

int
sg_sys_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    int err = op == EPOLL_CTL_ADD ? fault("epoll_ctl") : 0;

    return err < 0 ? err : (int)or_errno(epoll_ctl(epfd, op, fd, event));
}

int
sg_sys_epoll_wait(int epfd, struct epoll_event *events, int max,
                  int timeout_ms)
{
    int err = fault("epoll_wait");

    return err < 0 ? err
                   : (int)or_errno(epoll_wait(epfd, events, max, timeout_ms));
}
#endif
