/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A child's pipes, lent to the caller: as long as its stream is used by one
 * object that sends and receives, and by nothing else, that object reads and
 * writes the pipes itself, and no byte wakes the loop.
 *
 * The loan ends, for good, with the first thing that takes more than a read
 * or a write: somebody sees the descriptor, a flag, a message, a shutdown, a
 * close, an error; the child closes one of its ends, or the program ends.
 * Then nobody begins to use the pipes any more, who waits on them is woken,
 * and the last one to leave gives them back.  From that moment on only the
 * loop touches them, and all goes by way of the socketpair; before, the loop
 * does not, nor does it look into the socketpair.  So no byte overtakes
 * another.
 *
 * The lock is never held for a read or a write, which may take long even
 * though no pipe blocks: the caller's buffer may lie on a disk.  (As long as
 * that takes, the pipes are not back, and a close waits for it.)
 */
#ifndef SG_LOAN_H
#define SG_LOAN_H

#include <pthread.h>
#include <stdatomic.h>

#include "sys/deadline.h"
#include "sys/status.h"
#include "sys/sys.h"

/* The loan has ended: it goes on by way of the socketpair. */
#define SG_LOAN_OVER (-ENOLINK)

/* A pipe that was found full holds more from then on: fewer wake-ups, and an
 * ssh, which writes to its stdout only what there is room for, is half as
 * fast again with 512 KiB; 1 MiB gives no more. */
#define SG_PIPE_SIZE 65536
#define SG_GROWN_IN (4 * SG_PIPE_SIZE)
#define SG_GROWN_OUT (8 * SG_PIPE_SIZE)

/* One of the pipes, our end. */
struct sg_lent {
    int fd; /* non-blocking; who lends it closes it */
    atomic_bool is_grown;
};

/* Lives in a report. */
struct sg_loan {
    struct sg_lent in, out; /* the child's stdin and stdout */
    pthread_mutex_t lock;   /* guards what follows */
    bool lasts;
    unsigned users;        /* calls that use the pipes, waiting included */
    struct sg_wakeup bell; /* for who waits; made when somebody first does */
    void (*returned)(void *arg);
    void *arg;
};

void sg_loan_init(struct sg_loan *loan);
void sg_loan_destroy(struct sg_loan *loan);

/* ---- The lender's side ------------------------------------------------ */

/* Before anybody uses the stream; `lends`: not only to know the pipes. */
void sg_loan_begin(struct sg_loan *loan, int in_fd, int out_fd, bool lends);

/* True when the pipes are back.  Else returned(arg) will be called once, when
 * they are, on the thread that gives them back, with the lock held. */
bool sg_loan_is_back(struct sg_loan *loan, void (*returned)(void *arg),
                     void *arg);

/* They are, and are closed: others may have large ones. */
void sg_loan_close(struct sg_loan *loan);

/* Let a pipe that was found full hold more; true when it does now.  A user's
 * pipes are limited (pipe-user-pages-soft: 64 MiB together, then every new
 * one has two pages), so only so many of a program's are large at a time. */
bool sg_loan_grow(struct sg_lent *lent, int size);

/* In a forked child: none of these pipes is open there. */
void sg_loan_after_fork(void);

/* ---- For both sides --------------------------------------------------- */

bool sg_loan_lasts(struct sg_loan *loan);

/* End it, if it lasts still.  Does not wait. */
void sg_loan_end(struct sg_loan *loan);

/* ---- The caller's side ------------------------------------------------ */

/* So many bytes, -EAGAIN, -EINTR, or SG_LOAN_OVER, also at the end of the
 * stream and after any other error, which the loop will tell better. */
ssize_t sg_loan_read(struct sg_loan *loan, void *to, size_t n);
ssize_t sg_loan_write(struct sg_loan *loan, const void *from, size_t n);

/* Wait until trying again makes sense.  1, 0 at the deadline, or a negative
 * errno (EINTR). */
int sg_loan_wait(struct sg_loan *loan, bool writing, sg_deadline deadline);

#endif
