/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A question to the loop whose answer the caller waits for.
 *
 * Both sides hold a reference, for a caller may have been interrupted or run
 * out of time when the answer comes.  The answer's descriptor belongs to the
 * request until sg_reply_take_fd() and is closed with it.
 *
 * The caller waits with poll(2) on a descriptor, so that signals and
 * deadlines work; when it goes away it hangs up on the other one, which is
 * how the loop learns that nobody waits any more.
 *
 * A signal handler may fork: in the child nobody will answer, and the
 * descriptors are closed already.
 */
#ifndef SG_REPLY_H
#define SG_REPLY_H

#include "sys/deadline.h"
#include "engine/poller.h"
#include "sys/status.h"

struct sg_reply;

/* With two references: one of the caller, one of the loop. */
struct sg_reply *sg_reply_new(struct sg_error *error);

/* ---- The caller's side ------------------------------------------------ */

/* Wait for the answer.  SG_ERR_TIMEOUT after the deadline; after a signal
 * interrupt(arg) is called, and when that is not 0, SG_ERR_INTERRUPTED; when
 * it comes back in the child of a fork, SG_ERR_SYSTEM with EBADF.  Otherwise
 * the answer's own status. */
enum sg_status sg_reply_wait(struct sg_reply *reply, sg_deadline deadline,
                             int (*interrupt)(void *), void *arg,
                             struct sg_error *error);

/* The answer's descriptor, the caller's from now on. */
int sg_reply_take_fd(struct sg_reply *reply);

/* The caller goes away; may be NULL. */
void sg_reply_drop(struct sg_reply *reply);

/* ---- The loop's side -------------------------------------------------- */

/* Once: SG_OK and a descriptor, or what went wrong. */
void sg_reply_set(struct sg_reply *reply, enum sg_status status, int err,
                  int fd);

/* The same with all that is known of the failure; SG_OK in it is success. */
void sg_reply_set_error(struct sg_reply *reply, const struct sg_error *error);

/* Ready with SG_HANGUP when the caller has gone. */
struct sg_watch *sg_reply_watch(struct sg_reply *reply);

/* The loop has no more to do with it: after its watch left the poller. */
void sg_reply_release(struct sg_reply *reply);

#endif
