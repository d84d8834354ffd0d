/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A child's pipes, lent to the caller: as long as its stream is used by one
 * object that sends and receives, and by nothing else, that object reads and
 * writes the pipes itself, and no byte wakes the loop.
 *
 * The loop gets the pipes when the loan ends, for good: with the first thing
 * that takes more than a read or a write (somebody sees the descriptor, a
 * flag, a shutdown, a close, the end of the stream, an error).  From then on
 * only the loop touches them, and all goes by way of the socketpair; before,
 * the loop does not, and nothing is in the socketpair.  So no byte overtakes
 * another.
 *
 * Each pipe has a lock, held for a read or a write that never waits.
 */
#ifndef SG_LOAN_H
#define SG_LOAN_H

#include <pthread.h>

#include "deadline.h"
#include "status.h"

/* The loan has ended: it goes on by way of the socketpair. */
#define SG_LOAN_OVER (-ENOLINK)

/* A pipe that was found full holds more from then on: fewer wake-ups, and an
 * ssh, which writes to its stdout only what there is room for, is half as
 * fast again with 512 KiB; 1 MiB gives no more.  Not all pipes, as a user's
 * may be 64 MiB together (pipe-user-pages-soft), then none of them grows. */
#define SG_PIPE_SIZE 65536
#define SG_GROWN_IN (4 * SG_PIPE_SIZE)
#define SG_GROWN_OUT (8 * SG_PIPE_SIZE)

struct sg_lent {
    pthread_mutex_t lock;
    int fd; /* non-blocking; -1: not lent.  Who lends it closes it. */
    bool is_grown;
    int copy;    /* of fd, for those who wait for room; -1: not yet needed */
    int waiting; /* the last of them closes it */
};

/* Lives in a report.  `in` is the child's stdin; its lock guards the rest
 * too, and comes before the other's. */
struct sg_loan {
    struct sg_lent in, out;
    void (*ended)(void *arg);
    void *arg;
};

void sg_loan_init(struct sg_loan *loan);
void sg_loan_destroy(struct sg_loan *loan);

/* The lender's side: before anybody uses the stream. */
void sg_loan_begin(struct sg_loan *loan, int in_fd, int out_fd);

/* True while it lasts; then ended(arg) will be called once, with the lock
 * held, by the thread that ends it.  NULL changes nothing. */
bool sg_loan_lasts(struct sg_loan *loan, void (*ended)(void *arg), void *arg);

/* For both sides: end it, if it lasts still.  Doesn't wait for long. */
void sg_loan_end(struct sg_loan *loan);

/* The caller's side.  So many bytes, -EAGAIN, or SG_LOAN_OVER, also at the
 * end of the stream and after any error, which the loop will tell better. */
ssize_t sg_loan_read(struct sg_loan *loan, void *to, size_t n);
ssize_t sg_loan_write(struct sg_loan *loan, const void *from, size_t n);

/* Wait until trying again makes sense.  `stream` is the caller's end of the
 * socketpair, on which a close in another thread is seen.  1, 0 at the
 * deadline, or a negative errno (EINTR). */
int sg_loan_wait(struct sg_loan *loan, bool writing, int stream,
                 sg_deadline deadline);

#endif
