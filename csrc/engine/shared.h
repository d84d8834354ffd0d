/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What is known of a far end: why it ended, and its last words.
 *
 * The one piece of memory that the loop and the callers share.  The loop
 * writes, callers read, under its lock (counters need none); both hold a
 * reference.  The loop writes the reason before it shuts the stream down, so
 * that whoever has seen the end of the stream finds it here.
 *
 * The other way it tells one thing: that the caller's descriptor is held by
 * an object, which will say when it gives it up.  And a proxy's loan lives
 * here (loan.h), for it too belongs to both.
 */
#ifndef SG_SHARED_H
#define SG_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/loan.h"
#include "sys/status.h"

struct sg_shared;

/* What is counted of a session. */
enum sg_count {
    SG_COUNT_RECEIVED, /* bytes on its socket */
    SG_COUNT_SENT,
    SG_COUNT_OPENED, /* channels, ever */
    SG_COUNT_OPEN,   /* and now */
    SG_COUNT_REKEYS,
    SG_COUNT_ROUND_TRIP, /* ns, of the last question; 0: none yet */
    SG_COUNTS,
};

/* NULL when there is no memory.  The caller has one reference. */
struct sg_shared *sg_shared_new(void);
struct sg_shared *sg_shared_ref(struct sg_shared *shared);
void sg_shared_unref(struct sg_shared *shared); /* may be NULL */

/* The loop's side. */
void sg_shared_set_returncode(struct sg_shared *shared, int returncode);
void sg_shared_set_failure(struct sg_shared *shared, int err,
                           const char *text);
void sg_shared_add_stderr(struct sg_shared *shared, const char *data,
                          size_t n);

void sg_shared_add_count(struct sg_shared *shared, enum sg_count count,
                         int64_t add);
void sg_shared_set_count(struct sg_shared *shared, enum sg_count count,
                         int64_t value);

/* True while the descriptor is held; then released(arg) will be called once,
 * on the thread that lets go, with the report locked.  NULL: not any more. */
bool sg_shared_is_held(struct sg_shared *shared, void (*released)(void *arg),
                       void *arg);

/* A proxy's pipes, while they are lent. */
struct sg_loan *sg_shared_loan(struct sg_shared *shared);

/* The caller's side. */

int64_t sg_shared_get_count(struct sg_shared *shared, enum sg_count count);

/* From sg_shared_hold() to sg_shared_let_go() a hangup that the relay's own
 * shutdown explains is no close: the kernel shows both alike.  Who lets go,
 * to close or to give the descriptor away, does so before. */
void sg_shared_hold(struct sg_shared *shared);
void sg_shared_let_go(struct sg_shared *shared);

/* True, and *returncode, once the child has ended and it is known how. */
bool sg_shared_get_returncode(struct sg_shared *shared, int *returncode);

/* The errno of what broke the far end, or 0; the words about it, perhaps "",
 * go to `text`, which has room for SG_ERROR_TEXT or is NULL. */
int sg_shared_get_failure(struct sg_shared *shared, char *text);

/* The last of what the child wrote to stderr, for the caller to free(), and
 * its length; NULL when there is none or no memory. */
char *sg_shared_get_stderr(struct sg_shared *shared, size_t *n);

#endif
