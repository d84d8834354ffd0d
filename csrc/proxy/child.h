/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A running child process as its task sees it: the notice of its end, its
 * stderr, and the signals that make it end.
 *
 * A struct sg_child is embedded in a task (struct sg_proxy or sg_fdpass).
 * After sg_child_start() only the loop's thread uses it.  It publishes the
 * returncode and the stderr of the child in the shared state (shared.h).
 *
 * The child is reaped as soon as it ends, with one exception.  A child with a
 * session of its own stays a zombie until sg_child_release(), because signals
 * go to its whole process group, and another group could get the number of
 * the group after the child is reaped.
 */
#ifndef SG_CHILD_H
#define SG_CHILD_H

#include "engine/loop.h"
#include "engine/shared.h"
#include "proxy/spawn.h"

/* Special values of sg_child_options.stderr_fd. */
enum {
    SG_STDERR_INHERIT = -1, /* the stderr of this process */
    SG_STDERR_NULL = -2,    /* /dev/null */
    SG_STDERR_TAIL = -3,    /* a pipe; the shared state keeps the last part */
};

struct sg_child_options {
    const char *const *paths; /* these four as in struct sg_spawn_plan */
    char *const *argv;
    char *const *envp;
    const char *cwd;
    bool new_session; /* start the child in a session of its own */
    int stderr_fd;    /* a descriptor that stays the caller's, or SG_STDERR_ */
    bool lends;       /* sg_proxy_start() lends the pipes: see loan.h */
};

struct sg_child {
    pid_t pid;
    bool own_session;       /* it leads a session: signal its whole group */
    struct sg_watch end;    /* its pidfd, or fd -1 where there is none */
    struct sg_watch stderr; /* reads its stderr pipe; fd -1: not captured */
    struct sg_shared *shared;
    bool ended;           /* it has ended, or another wait() has reaped it */
    bool reaped;          /* its pid may belong to another process by now */
    int signals_sent;     /* of SIGHUP, SIGTERM, SIGKILL */
    bool is_urgent;       /* the last argument of sg_child_check_at() */
    int64_t check_pause;  /* without a pidfd: ns between two checks */
    sg_deadline check_at; /* without a pidfd: the time of the next check */
};

/* Start the program of `options` with `stdin_fd` and `stdout_fd` as its
 * standard streams.  Runs on any thread, before `child` belongs to a loop.
 *
 * Both descriptors, options->stderr_fd and everything else in `options`
 * remain the caller's in every outcome.  `child` owns its own end of the
 * stderr pipe and the pidfd; sg_child_release() closes them.  `child` borrows
 * the caller's reference to `shared`.
 *
 * Returns SG_OK when the program runs, otherwise a status of sg_spawn(); then
 * there is no child process and no descriptor to clean up. */
enum sg_status sg_child_start(struct sg_child *child,
                              const struct sg_child_options *options,
                              int stdin_fd, int stdout_fd,
                              struct sg_shared *shared,
                              struct sg_error *error);

/* Read some of the child's stderr and notice the child's end.  To be called
 * in each turn of `task`.  Returns a negative errno if the poller refuses to
 * watch the stderr pipe. */
int sg_child_turn(struct sg_child *child, struct sg_task *task);

/* Return when `task` must take its next turn in order to notice the child's
 * end.  SG_NEVER if the child has ended, or if a pidfd wakes the task.
 *
 * Without a pidfd the task has to poll.  If `is_urgent` (the task is waiting
 * for the child's end), the pause doubles from 1 ms to about 50 ms.  Otherwise
 * it doubles without a limit, which makes about 20 checks in the first day. */
sg_deadline sg_child_check_at(struct sg_child *child, bool is_urgent);

/* Send the next of SIGHUP, SIGTERM and SIGKILL.  Returns false if all three
 * have been sent, or if the child is reaped. */
bool sg_child_escalate(struct sg_child *child);

/* Read what is left of the child's stderr, reap the child, and close the
 * stderr pipe and the pidfd.  Does not wait.  If the child is not reaped yet,
 * it gets SIGHUP before that.  If it has a session of its own, its whole
 * process group gets the signal, in order to end the processes that the child
 * has started. */
void sg_child_release(struct sg_child *child, struct sg_task *task);

#endif
