/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A reply; see reply.h.
 *
 * The answer is one byte on the socketpair.  The loop writes `error` and `fd`
 * before it sends the byte, and the caller reads them after it has received
 * the byte, so neither needs a lock.
 */
#include "engine/reply.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sg_reply {
    atomic_int references;
    unsigned generation;   /* sg_sys_generation() when it was created */
    int caller;            /* the caller's end, readable once answered */
    struct sg_watch loop;  /* the loop's end */
    struct sg_error error; /* the answer; SG_OK is success */
    int fd;                /* the descriptor that comes with it, or -1 */
};

struct sg_reply *
sg_reply_new(struct sg_error *error)
{
    struct sg_reply *reply = calloc(1, sizeof(*reply));
    int pair[2];
    int err;

    if (reply == NULL) {
        sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
        return NULL;
    }
    err = sg_sys_socketpair(pair);
    if (err < 0) {
        sg_fail_errno(error, err);
        free(reply);
        return NULL;
    }
    atomic_init(&reply->references, 2);
    reply->generation = sg_sys_generation();
    reply->caller = pair[0];
    reply->loop.fd = pair[1];
    reply->fd = -1;
    return reply;
}

static bool
is_forked(const struct sg_reply *reply)
{
    return reply->generation != sg_sys_generation();
}

static void
unref(struct sg_reply *reply)
{
    if (atomic_fetch_sub(&reply->references, 1) == 1) {
        sg_sys_close(&reply->fd);
        free(reply);
    }
}

enum sg_status
sg_reply_wait(struct sg_reply *reply, sg_deadline deadline,
              int (*interrupt)(void *), void *arg, struct sg_error *error)
{
    struct pollfd pollfd = {.fd = reply->caller, .events = POLLIN};
    ssize_t n;
    char byte;

    do {
        n = sg_sys_poll(&pollfd, 1, sg_deadline_ms(deadline));
        if (n > 0) {
            /* Receiving the byte makes the loop's writes visible here. */
            n = sg_sys_recv(reply->caller, &byte, 1, MSG_DONTWAIT);
            if (n == 0) {
                return sg_fail(error, SG_ERR_SYSTEM, EIO);
            }
        }
        else if (n == 0) {
            return sg_fail(error, SG_ERR_TIMEOUT, ETIMEDOUT);
        }
        if (n == -EINTR && interrupt(arg) != 0) {
            return sg_fail(error, SG_ERR_INTERRUPTED, EINTR);
        }
        if (is_forked(reply)) {
            return sg_fail(error, SG_ERR_SYSTEM, EBADF);
        }
        if (n < 0 && n != -EINTR && n != -EAGAIN) {
            return sg_fail_errno(error, n);
        }
    } while (n != 1);
    if (error->status == SG_OK) {
        *error = reply->error;
    }
    return reply->error.status;
}

int
sg_reply_take_fd(struct sg_reply *reply)
{
    int fd = reply->fd;

    reply->fd = -1;
    return fd;
}

void
sg_reply_drop(struct sg_reply *reply)
{
    if (reply == NULL) {
        return;
    }
    if (is_forked(reply)) {
        free(reply); /* the loop's reference does not exist in the child */
        return;
    }
    sg_sys_close(&reply->caller);
    unref(reply);
}

void
sg_reply_set(struct sg_reply *reply, enum sg_status status, int err, int fd)
{
    reply->fd = fd;
    sg_reply_set_error(reply,
                       &(struct sg_error){.status = status, .err = err});
}

void
sg_reply_set_error(struct sg_reply *reply, const struct sg_error *error)
{
    reply->error = *error;
    /* Any other error means that the caller has gone away. */
    while (sg_sys_send(reply->loop.fd, "", 1, MSG_DONTWAIT) == -EINTR) {
    }
}

struct sg_watch *
sg_reply_watch(struct sg_reply *reply)
{
    return &reply->loop;
}

void
sg_reply_release(struct sg_reply *reply)
{
    sg_sys_close(&reply->loop.fd);
    unref(reply);
}
