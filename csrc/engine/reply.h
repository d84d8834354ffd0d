/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A reply: the one answer of a loop for which a caller's thread waits, such as
 * the result of opening a channel.
 *
 * The caller and the loop each hold a reference, because the caller may be
 * interrupted or run out of time before the answer comes.  Whichever side goes
 * last frees the reply.
 *
 * The two sides are connected by a socketpair.  The caller waits with poll(2)
 * on its end, so that deadlines and signals work.  When the caller goes away,
 * it closes its end; the loop sees the hang-up and knows that the answer is no
 * longer wanted.
 *
 * If a signal handler forks while the caller waits, the child's copy of the
 * reply is never answered: no loop runs in the child, and the descriptors are
 * closed there.  All functions for the caller handle this case.
 */
#ifndef SG_REPLY_H
#define SG_REPLY_H

#include "sys/deadline.h"
#include "engine/poller.h"
#include "sys/status.h"

struct sg_reply;

/* Return a new reply with two references, one for each side, or NULL with
 * *error set (no memory or no descriptor). */
struct sg_reply *sg_reply_new(struct sg_error *error);

/* ---- The caller's side, on the caller's thread ------------------------ */

/* Wait for the answer until `deadline`.  After each signal interrupt(arg) is
 * called; if it returns 0, the wait goes on.  Return, and record in *error,
 *  - the status of the answer, SG_OK or a failure with its facts;
 *  - SG_ERR_TIMEOUT (ETIMEDOUT) at the deadline;
 *  - SG_ERR_INTERRUPTED (EINTR) if interrupt(arg) returned non-zero;
 *  - SG_ERR_SYSTEM with EBADF in the child of a fork, with EIO if the loop
 *    has released the reply without an answer, or with another errno. */
enum sg_status sg_reply_wait(struct sg_reply *reply, sg_deadline deadline,
                             int (*interrupt)(void *), void *arg,
                             struct sg_error *error);

/* Return the descriptor that came with the answer, or -1.  From now on it
 * belongs to the caller; otherwise it is closed with the reply. */
int sg_reply_take_fd(struct sg_reply *reply);

/* Give up the caller's reference and hang up.  `reply` may be NULL. */
void sg_reply_drop(struct sg_reply *reply);

/* ---- The loop's side, on the loop's thread ---------------------------- */

/* Set the answer.  A success is SG_OK and a descriptor, which the reply takes
 * over.  A failure is a status, an errno, and -1 for `fd`.  Call this or
 * sg_reply_set_error() once. */
void sg_reply_set(struct sg_reply *reply, enum sg_status status, int err,
                  int fd);

/* Set the answer to a copy of *error.  If its status is SG_OK, the answer is a
 * success without a descriptor. */
void sg_reply_set_error(struct sg_reply *reply, const struct sg_error *error);

/* Return the watch of the loop's end.  It becomes ready with SG_HANGUP when
 * the caller has gone away. */
struct sg_watch *sg_reply_watch(struct sg_reply *reply);

/* Give up the loop's reference.  The watch must have left the poller, because
 * its descriptor is closed. */
void sg_reply_release(struct sg_reply *reply);

#endif
