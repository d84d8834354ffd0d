/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A child's pipes, lent to the caller; see loan.h.
 */
#include "loan.h"

#include <errno.h>

#include "sys.h"

/* A read of so much asks whether the pipe was as good as full: by so much,
 * for a piece of a page takes all of it. */
#define BULK 16384
#define FULL (SG_PIPE_SIZE * 3 / 4)

void
sg_loan_init(struct sg_loan *loan)
{
    loan->in.fd = loan->out.fd = -1;
    loan->in.copy = loan->out.copy = -1;
    pthread_mutex_init(&loan->in.lock, NULL);
    pthread_mutex_init(&loan->out.lock, NULL);
}

void
sg_loan_destroy(struct sg_loan *loan)
{
    pthread_mutex_destroy(&loan->in.lock);
    pthread_mutex_destroy(&loan->out.lock);
}

void
sg_loan_begin(struct sg_loan *loan, int in_fd, int out_fd)
{
    pthread_mutex_lock(&loan->in.lock);
    pthread_mutex_lock(&loan->out.lock);
    loan->in.fd = in_fd;
    loan->out.fd = out_fd;
    pthread_mutex_unlock(&loan->out.lock);
    pthread_mutex_unlock(&loan->in.lock);
}

bool
sg_loan_lasts(struct sg_loan *loan, void (*ended)(void *arg), void *arg)
{
    bool lasts;

    pthread_mutex_lock(&loan->in.lock);
    lasts = loan->in.fd >= 0;
    if (lasts && ended != NULL) {
        loan->ended = ended;
        loan->arg = arg;
    }
    pthread_mutex_unlock(&loan->in.lock);
    return lasts;
}

/* The child sees no end of its input while there is a copy. */
static void
drop_copy_locked(struct sg_lent *in)
{
    if (in->fd < 0 && in->waiting == 0) {
        sg_sys_close(&in->copy);
    }
}

void
sg_loan_end(struct sg_loan *loan)
{
    pthread_mutex_lock(&loan->in.lock);
    if (loan->in.fd >= 0) {
        loan->in.fd = -1;
        drop_copy_locked(&loan->in);
        pthread_mutex_lock(&loan->out.lock);
        loan->out.fd = -1;
        pthread_mutex_unlock(&loan->out.lock);
        if (loan->ended != NULL) {
            loan->ended(loan->arg);
        }
    }
    pthread_mutex_unlock(&loan->in.lock);
}

/* What a read or write came to; what is neither bytes nor a "not now" ends
 * the loan. */
static ssize_t
outcome(struct sg_loan *loan, ssize_t result)
{
    if (result > 0 || result == -EAGAIN || result == -EWOULDBLOCK
        || result == -EINTR) {
        return result;
    }
    sg_loan_end(loan);
    return SG_LOAN_OVER;
}

static void
grow(struct sg_lent *lent, int size)
{
    lent->is_grown = true;
    sg_sys_grow_pipe(lent->fd, size);
}

ssize_t
sg_loan_read(struct sg_loan *loan, void *to, size_t n)
{
    struct sg_lent *out = &loan->out;
    ssize_t got = -EBADF;

    pthread_mutex_lock(&out->lock);
    if (out->fd >= 0) {
        got = sg_sys_read(out->fd, to, n);
    }
    if (got >= BULK && !out->is_grown
        && got + sg_sys_unread(out->fd) >= FULL) {
        grow(out, SG_GROWN_OUT);
    }
    pthread_mutex_unlock(&out->lock);
    return outcome(loan, got);
}

ssize_t
sg_loan_write(struct sg_loan *loan, const void *from, size_t n)
{
    struct sg_lent *in = &loan->in;
    ssize_t taken = -EBADF;

    pthread_mutex_lock(&in->lock);
    if (in->fd >= 0) {
        taken = sg_sys_write_quietly(in->fd, from, n);
    }
    if (taken < (ssize_t)n && !in->is_grown
        && (taken > 0 || taken == -EAGAIN)) {
        grow(in, SG_GROWN_IN);
        if (taken < 0) {
            taken = sg_sys_write_quietly(in->fd, from, n);
        }
    }
    pthread_mutex_unlock(&in->lock);
    return outcome(loan, taken);
}

static int
wait_on(int fd, short events, int stream, short stream_events,
        struct sg_loan *loan, sg_deadline deadline)
{
    struct pollfd polled[2] = {{.fd = fd, .events = events},
                               {.fd = stream, .events = stream_events}};
    int n = sg_sys_poll(polled, 2, sg_deadline_ms(deadline));

    if (n > 0 && polled[1].revents != 0) {
        sg_loan_end(loan); /* closed by another thread, or shut down */
    }
    return n > 0 ? 1 : n;
}

/* If the loop takes over and closes `fd` meanwhile, whatever it is then: the
 * caller's end of the socketpair becomes readable too. */
static int
wait_for_data(struct sg_loan *loan, int stream, sg_deadline deadline)
{
    int fd;

    pthread_mutex_lock(&loan->out.lock);
    fd = loan->out.fd;
    pthread_mutex_unlock(&loan->out.lock);
    return fd < 0 ? 1 : wait_on(fd, POLLIN, stream, POLLIN, loan, deadline);
}

/* Here that end would tell nothing, for it has room all the time.  So we wait
 * on a copy; the child makes room, or ends, before it could miss the end of
 * its input. */
static int
wait_for_room(struct sg_loan *loan, int stream, sg_deadline deadline)
{
    struct sg_lent *in = &loan->in;
    int fd = -1, result = 1;

    pthread_mutex_lock(&in->lock);
    if (in->fd >= 0) {
        fd = in->copy = in->copy < 0 ? sg_sys_copy(in->fd) : in->copy;
        in->waiting += fd >= 0;
    }
    pthread_mutex_unlock(&in->lock);
    if (fd >= 0) {
        result = wait_on(fd, POLLOUT, stream, 0, loan, deadline);
    }
    else {
        sg_loan_end(loan); /* it is over, or for want of a descriptor */
    }
    pthread_mutex_lock(&in->lock);
    in->waiting -= fd >= 0;
    drop_copy_locked(in);
    pthread_mutex_unlock(&in->lock);
    return result;
}

int
sg_loan_wait(struct sg_loan *loan, bool writing, int stream,
             sg_deadline deadline)
{
    return writing ? wait_for_room(loan, stream, deadline)
                   : wait_for_data(loan, stream, deadline);
}
