/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A question to the loop; see request.h.
 */
#include "engine/reply.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sg_request {
    atomic_int references;
    unsigned generation;   /* sg_sys_generation() of the process it is for */
    int caller;            /* readable when answered; the caller's */
    struct sg_watch loop;  /* the other end; the loop's */
    struct sg_error error; /* written before the answer, read after it */
    int fd;
};

struct sg_request *
sg_request_new(struct sg_error *error)
{
    struct sg_request *request = calloc(1, sizeof(*request));
    int pair[2];
    int err;

    if (request == NULL) {
        sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
        return NULL;
    }
    err = sg_sys_socketpair(pair);
    if (err < 0) {
        sg_fail_errno(error, err);
        free(request);
        return NULL;
    }
    atomic_init(&request->references, 2);
    request->generation = sg_sys_generation();
    request->caller = pair[0];
    request->loop.fd = pair[1];
    request->fd = -1;
    return request;
}

static bool
is_forked(const struct sg_request *request)
{
    return request->generation != sg_sys_generation();
}

static void
unref(struct sg_request *request)
{
    if (atomic_fetch_sub(&request->references, 1) == 1) {
        sg_sys_close(&request->fd);
        free(request);
    }
}

enum sg_status
sg_request_wait(struct sg_request *request, sg_deadline deadline,
                int (*interrupt)(void *), void *arg, struct sg_error *error)
{
    struct pollfd pollfd = {.fd = request->caller, .events = POLLIN};
    ssize_t n;
    char byte;

    do {
        n = sg_sys_poll(&pollfd, 1, sg_deadline_ms(deadline));
        if (n > 0) {
            /* The read orders what the loop wrote before the answer. */
            n = sg_sys_recv(request->caller, &byte, 1, MSG_DONTWAIT);
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
        if (is_forked(request)) {
            return sg_fail(error, SG_ERR_SYSTEM, EBADF);
        }
        if (n < 0 && n != -EINTR && n != -EAGAIN) {
            return sg_fail_errno(error, n);
        }
    } while (n != 1);
    if (error->status == SG_OK) {
        *error = request->error;
    }
    return request->error.status;
}

int
sg_request_take(struct sg_request *request)
{
    int fd = request->fd;

    request->fd = -1;
    return fd;
}

void
sg_request_drop(struct sg_request *request)
{
    if (request == NULL) {
        return;
    }
    if (is_forked(request)) {
        free(request); /* the loop, and its reference, are not here */
        return;
    }
    sg_sys_close(&request->caller);
    unref(request);
}

void
sg_request_answer(struct sg_request *request, enum sg_status status, int err,
                  int fd)
{
    request->fd = fd;
    sg_request_answer_error(request,
                            &(struct sg_error){.status = status, .err = err});
}

void
sg_request_answer_error(struct sg_request *request,
                        const struct sg_error *error)
{
    request->error = *error;
    /* Fails only when the caller has gone. */
    while (sg_sys_send(request->loop.fd, "", 1, MSG_DONTWAIT) == -EINTR) {
    }
}

struct sg_watch *
sg_request_watch(struct sg_request *request)
{
    return &request->loop;
}

void
sg_request_release(struct sg_request *request)
{
    sg_sys_close(&request->loop.fd);
    unref(request);
}
