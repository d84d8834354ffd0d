/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The loan: a proxy lends the pipes of its child process to the caller.
 *
 * While only one object uses a stream, and makes only plain sends and
 * receives, its calls read and write the child's pipes directly.  The loop
 * sleeps meanwhile, and no byte passes through the socketpair.
 *
 * The loan ends, for good, with the first event that needs more than the
 * pipes: the program asks for the descriptor, passes a flag or a message, or
 * shuts down or closes the stream; a read or write fails or finds the end; the
 * child closes one of its ends or exits; the program exits.  Then
 *  1. no further call begins to use the pipes (`lasts` is false);
 *  2. the bell wakes the calls that wait on a pipe;
 *  3. the last call to leave gives the pipes back to the loop (`users` is 0);
 *  4. from then on only the loop reads and writes them, and the callers use
 *     the socketpair.
 *
 * No byte overtakes another: before step 4 the loop reads neither the child's
 * stdout nor the socketpair, and after step 4 no caller uses a pipe.
 *
 * The lock is not held during a read or a write.  A pipe does not block, but
 * the copy itself may take long if the caller's buffer is mapped from a disk.
 * The loop gets the pipes back, and can close them, only after that copy.
 */
#ifndef SG_LOAN_H
#define SG_LOAN_H

#include <pthread.h>
#include <stdatomic.h>

#include "sys/deadline.h"
#include "sys/status.h"
#include "sys/sys.h"

/* The loan has ended: the caller must use the socketpair instead. */
#define SG_LOAN_OVER (-ENOLINK)

/* The size of a new pipe, and of a grown pipe to the child's stdin and from
 * its stdout, in bytes.  A pipe that is found full is grown, because a larger
 * pipe needs fewer wake-ups.  ssh writes only as many bytes to its stdout as
 * fit: with 512 KiB it is 1.5 times as fast as with 64 KiB, and 1 MiB gains
 * nothing more. */
#define SG_PIPE_SIZE 65536
#define SG_GROWN_IN (4 * SG_PIPE_SIZE)
#define SG_GROWN_OUT (8 * SG_PIPE_SIZE)

/* Our end of one of the child's pipes. */
struct sg_lent {
    int fd; /* non-blocking; the proxy owns it and closes it */
    atomic_bool is_grown;
};

/* A part of struct sg_shared. */
struct sg_loan {
    struct sg_lent in, out; /* the child's stdin and stdout */
    pthread_mutex_t lock;   /* guards the fields below */
    bool lasts;             /* calls may use the pipes */
    unsigned users;         /* calls that use the pipes, waiting ones too */
    struct sg_wakeup bell;  /* set when the loan ends, to wake the calls that
                               wait; opened by the first call that waits */
    void (*returned)(void *arg); /* see sg_loan_is_back(), or NULL */
    void *arg;
};

/* Initialise zeroed memory: no pipes, no loan. */
void sg_loan_init(struct sg_loan *loan);
void sg_loan_destroy(struct sg_loan *loan);

/* ---- The proxy's side ------------------------------------------------- */

/* Set the two pipes before any caller uses the stream.  If `lends`, the loan
 * begins.  Otherwise the loop drives the pipes from the start, and only
 * sg_loan_grow() uses this object. */
void sg_loan_begin(struct sg_loan *loan, int in_fd, int out_fd, bool lends);

/* Return true if the pipes are back with the loop.  Otherwise arrange that
 * returned(arg) is called once, as soon as they are back.  This happens on the
 * thread of the call that leaves last, with the lock of the loan held. */
bool sg_loan_is_back(struct sg_loan *loan, void (*returned)(void *arg),
                     void *arg);

/* The proxy closes the pipes: stop counting them against the limit of
 * sg_loan_grow().  The pipes must be back with the loop. */
void sg_loan_pipes_closed(struct sg_loan *loan);

/* Grow a pipe to `size` bytes, once.  Return true if it has just been grown.
 * The kernel limits the pipes of one user to 64 MiB in all
 * (pipe-user-pages-soft); beyond that, each new pipe has only two pages.  So
 * only MAX_GROWN (loan.c) pipes of this process are grown at a time. */
bool sg_loan_grow(struct sg_lent *lent, int size);

/* Reset the count of grown pipes in the child of a fork, where all of them are
 * closed. */
void sg_loan_after_fork(void);

/* ---- For both sides --------------------------------------------------- */

/* Return true until the loan has ended. */
bool sg_loan_lasts(struct sg_loan *loan);

/* End the loan, unless it has ended already, and wake the calls that wait.  Do
 * not wait until they have left. */
void sg_loan_end(struct sg_loan *loan);

/* ---- The caller's side, on any thread --------------------------------- */

/* Read from the child's stdout, or write to its stdin; n >= 1.  Return
 *  - the number of bytes, at least 1;
 *  - -EAGAIN if the pipe is empty or full: call sg_loan_wait();
 *  - -EINTR;
 *  - SG_LOAN_OVER: go on with the socketpair.  The end of the stream and all
 *    other errors end the loan too, because the loop can tell their reason. */
ssize_t sg_loan_read(struct sg_loan *loan, void *to, size_t n);
ssize_t sg_loan_write(struct sg_loan *loan, const void *from, size_t n);

/* Wait until the pipe is ready or the loan has ended.  `writing`: wait for
 * stdin, else for stdout.  Return 1 to try again, 0 at the deadline, or a
 * negative errno (-EINTR). */
int sg_loan_wait(struct sg_loan *loan, bool writing, sg_deadline deadline);

#endif
