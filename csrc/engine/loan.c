/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The loan of a child's pipes; see loan.h.
 *
 * Each call of a caller's thread runs between begin_use() and end_use(), which
 * count it in `users`.
 */
#include "engine/loan.h"

#include <errno.h>

/* After a read of BULK bytes or more, check whether the pipe was full, which
 * means that it held at least FULL bytes.  FULL is less than the pipe's size
 * because a small write occupies a whole page of the pipe. */
#define BULK 16384
#define FULL (SG_PIPE_SIZE * 3 / 4)
/* The most pipes of this process that are grown at a time: with SG_GROWN_OUT
 * bytes each, a quarter of the 64 MiB that one user may have. */
#define MAX_GROWN 32

static atomic_int grown; /* pipes that are grown now */

void
sg_loan_init(struct sg_loan *loan)
{
    loan->in.fd = loan->out.fd = -1;
    loan->bell.reader = loan->bell.writer = -1;
    pthread_mutex_init(&loan->lock, NULL);
}

void
sg_loan_destroy(struct sg_loan *loan)
{
    pthread_mutex_destroy(&loan->lock);
}

/* ---- Beginning and end ------------------------------------------------ */

void
sg_loan_begin(struct sg_loan *loan, int in_fd, int out_fd, bool lends)
{
    pthread_mutex_lock(&loan->lock);
    loan->in.fd = in_fd;
    loan->out.fd = out_fd;
    loan->lasts = lends;
    pthread_mutex_unlock(&loan->lock);
}

bool
sg_loan_lasts(struct sg_loan *loan)
{
    bool lasts;

    pthread_mutex_lock(&loan->lock);
    lasts = loan->lasts;
    pthread_mutex_unlock(&loan->lock);
    return lasts;
}

static bool
is_back_locked(const struct sg_loan *loan)
{
    return !loan->lasts && loan->users == 0;
}

static void
notify_if_back_locked(struct sg_loan *loan)
{
    if (!is_back_locked(loan)) {
        return;
    }
    sg_sys_wakeup_close(&loan->bell); /* no call waits on it any longer */
    if (loan->returned != NULL) {
        loan->returned(loan->arg);
        loan->returned = NULL;
    }
}

bool
sg_loan_is_back(struct sg_loan *loan, void (*returned)(void *arg), void *arg)
{
    bool is_back;

    pthread_mutex_lock(&loan->lock);
    is_back = is_back_locked(loan);
    loan->returned = is_back ? NULL : returned;
    loan->arg = arg;
    pthread_mutex_unlock(&loan->lock);
    return is_back;
}

void
sg_loan_end(struct sg_loan *loan)
{
    pthread_mutex_lock(&loan->lock);
    if (loan->lasts) {
        loan->lasts = false;
        if (loan->bell.reader >= 0) {
            sg_sys_wakeup_set(&loan->bell);
        }
        notify_if_back_locked(loan);
    }
    pthread_mutex_unlock(&loan->lock);
}

void
sg_loan_pipes_closed(struct sg_loan *loan)
{
    atomic_fetch_sub(&grown, loan->in.is_grown + loan->out.is_grown);
}

/* ---- Use -------------------------------------------------------------- */

/* Return false if the loan has ended.  Otherwise the pipes stay open and lent
 * until end_use(). */
static bool
begin_use(struct sg_loan *loan)
{
    bool lasts;

    pthread_mutex_lock(&loan->lock);
    lasts = loan->lasts;
    loan->users += lasts;
    pthread_mutex_unlock(&loan->lock);
    return lasts;
}

static void
end_use(struct sg_loan *loan)
{
    pthread_mutex_lock(&loan->lock);
    loan->users--;
    notify_if_back_locked(loan);
    pthread_mutex_unlock(&loan->lock);
}

/* End a call whose read or write returned `result`, and return the call's own
 * result.  The end of the stream and all errors apart from EAGAIN and EINTR
 * end the loan. */
static ssize_t
finish_call(struct sg_loan *loan, ssize_t result)
{
    if (result <= 0 && result != -EAGAIN && result != -EWOULDBLOCK
        && result != -EINTR) {
        sg_loan_end(loan);
        result = SG_LOAN_OVER;
    }
    end_use(loan);
    return result;
}

bool
sg_loan_grow(struct sg_lent *lent, int size)
{
    if (atomic_exchange(&lent->is_grown, true)) {
        return false;
    }
    if (atomic_fetch_add(&grown, 1) >= MAX_GROWN) {
        atomic_fetch_sub(&grown, 1);
        lent->is_grown = false; /* so that a later call tries again */
        return false;
    }
    sg_sys_grow_pipe(lent->fd, size);
    return true;
}

void
sg_loan_after_fork(void)
{
    atomic_store(&grown, 0);
}

ssize_t
sg_loan_read(struct sg_loan *loan, void *to, size_t n)
{
    struct sg_lent *out = &loan->out;
    ssize_t got;

    if (!begin_use(loan)) {
        return SG_LOAN_OVER;
    }
    got = sg_sys_read(out->fd, to, n);
    if (got >= BULK && !out->is_grown
        && got + sg_sys_unread(out->fd) >= FULL) {
        sg_loan_grow(out, SG_GROWN_OUT);
    }
    return finish_call(loan, got);
}

ssize_t
sg_loan_write(struct sg_loan *loan, const void *from, size_t n)
{
    struct sg_lent *in = &loan->in;
    ssize_t taken;

    if (!begin_use(loan)) {
        return SG_LOAN_OVER;
    }
    taken = sg_sys_write_quietly(in->fd, from, n);
    if (taken < (ssize_t)n && (taken > 0 || taken == -EAGAIN)
        && sg_loan_grow(in, SG_GROWN_IN) && taken < 0) {
        taken = sg_sys_write_quietly(in->fd, from, n);
    }
    return finish_call(loan, taken);
}

/* Open the bell unless it is open.  A stream has no bell until its first wait,
 * because many streams never wait.  Return false if the loan has ended or no
 * descriptor is available.  If this returns true, the end of the loan sets the
 * bell. */
static bool
open_bell(struct sg_loan *loan)
{
    bool is_open;

    pthread_mutex_lock(&loan->lock);
    is_open = loan->lasts
              && (loan->bell.reader >= 0
                  || sg_sys_wakeup_open(&loan->bell) >= 0);
    pthread_mutex_unlock(&loan->lock);
    return is_open;
}

int
sg_loan_wait(struct sg_loan *loan, bool writing, sg_deadline deadline)
{
    struct pollfd polled[2];
    int n;

    if (!begin_use(loan)) {
        return 1;
    }
    if (!open_bell(loan)) {
        sg_loan_end(loan);
        end_use(loan);
        return 1;
    }
    polled[0] = writing
                    ? (struct pollfd){.fd = loan->in.fd, .events = POLLOUT}
                    : (struct pollfd){.fd = loan->out.fd, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = loan->bell.reader, .events = POLLIN};
    n = sg_sys_poll(polled, 2, sg_deadline_ms(deadline));
    if (n > 0 && (polled[1].revents & ~POLLIN) != 0) {
        sg_loan_end(loan); /* the program has closed the bell's descriptor */
    }
    end_use(loan);
    return n > 0 ? 1 : n;
}
