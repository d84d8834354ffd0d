/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The state that a task shares with its callers: the facts about one stream or
 * one session, such as why it ended.
 *
 * Apart from replies (reply.h), this is the only memory that a loop's thread
 * and the callers' threads both use.  Each side holds a reference.  The
 * functions may be called on any thread, because they lock.  The table shows
 * which side writes each fact.  Before a session has a loop, the thread that
 * logs in writes the facts of its task.
 *
 *   fact             written by  read by  about
 *   ---------------  ----------  -------  -----------------------------------
 *   exit status      task        caller   how the child process ended
 *   failure, text    task        caller   what broke the stream or session
 *   tail of stderr   task        caller   the child's last words
 *   counters         task        caller   a session's statistics (atomic)
 *   hold             caller      task     the caller's descriptor is open
 *   loan             both        both     a proxy's pipes; see loan.h
 *
 * The task writes the reason before it shuts the stream down.  A caller that
 * has seen the end of the stream therefore finds the reason here.
 */
#ifndef SG_SHARED_H
#define SG_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/loan.h"
#include "sys/status.h"

struct sg_shared;

/* The counters of a session. */
enum sg_count {
    SG_COUNT_RECEIVED,   /* bytes received on its socket */
    SG_COUNT_SENT,       /* bytes sent on its socket */
    SG_COUNT_OPENED,     /* channels opened since it began */
    SG_COUNT_OPEN,       /* channels that are open now */
    SG_COUNT_REKEYS,     /* key exchanges after the first */
    SG_COUNT_ROUND_TRIP, /* ns from the last probe to its answer; 0: none */
    SG_COUNTS,
};

/* Return a new object with one reference, the caller's, or NULL if there is no
 * memory. */
struct sg_shared *sg_shared_new(void);

/* Add a reference and return `shared`. */
struct sg_shared *sg_shared_ref(struct sg_shared *shared);

/* Give up a reference; the last one frees the object.  May be NULL. */
void sg_shared_unref(struct sg_shared *shared);

/* Return the loan of a proxy's pipes.  It lives as long as `shared`. */
struct sg_loan *sg_shared_loan(struct sg_shared *shared);

/* ---- The task's side -------------------------------------------------- */

/* Record how the child ended: `returncode` as sg_sys_wait() gives it. */
void sg_shared_set_returncode(struct sg_shared *shared, int returncode);

/* Record what broke the stream: `err`, a positive errno, and a text, which may
 * be "".  The first failure wins; later ones are ignored. */
void sg_shared_set_failure(struct sg_shared *shared, int err,
                           const char *text);

/* Add `n` bytes that the child has written to stderr.  The last
 * SG_TAIL_CAPACITY bytes are kept. */
void sg_shared_add_stderr(struct sg_shared *shared, const char *data,
                          size_t n);

/* Add to a counter, or set it. */
void sg_shared_add_count(struct sg_shared *shared, enum sg_count count,
                         int64_t add);
void sg_shared_set_count(struct sg_shared *shared, enum sg_count count,
                         int64_t value);

/* Return true while the caller holds its descriptor (see sg_shared_hold()).
 * After true, released(arg) is called once, when the caller lets go.  This
 * happens on the caller's thread, with the lock of `shared` held.  Each call
 * replaces the `released` of the call before; NULL cancels it. */
bool sg_shared_is_held(struct sg_shared *shared, void (*released)(void *arg),
                       void *arg);

/* ---- The caller's side ------------------------------------------------ */

int64_t sg_shared_get_count(struct sg_shared *shared, enum sg_count count);

/* Tell the relay that the caller's end of the socketpair is held by an object
 * that will announce its close with sg_shared_let_go().
 *
 * The kernel reports a hang-up in two cases that it does not distinguish: the
 * caller has closed its end, or both directions are shut down, one by the
 * caller and one by the relay.  The hold distinguishes them: while the
 * descriptor is held, a hang-up after a shutdown by the relay is not a close.
 *
 * Call sg_shared_let_go() before the descriptor is closed or handed to the
 * program, which announces nothing. */
void sg_shared_hold(struct sg_shared *shared);
void sg_shared_let_go(struct sg_shared *shared);

/* Return true, and set *returncode, once it is known how the child ended. */
bool sg_shared_get_returncode(struct sg_shared *shared, int *returncode);

/* Return the errno of the recorded failure, or 0 if there is none.  Copy its
 * text, perhaps "", to `text`, which has room for SG_ERROR_TEXT bytes or is
 * NULL. */
int sg_shared_get_failure(struct sg_shared *shared, char *text);

/* Return a copy of the tail of the child's stderr, which the caller frees with
 * free(), and set *n to its length in bytes.  Return NULL with *n = 0 if the
 * tail is empty or there is no memory. */
char *sg_shared_get_stderr(struct sg_shared *shared, size_t *n);

#endif
