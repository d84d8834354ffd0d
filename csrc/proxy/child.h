/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A running child process, as its far end sees it: its end, its stderr, and
 * the signals that bring it to its end.
 *
 * Embedded in a far end, used on the loop's thread only.  What happens is
 * told in the report.  The child is reaped as soon as it ends; but one with
 * a session of its own is left a zombie until sg_child_release(), so that
 * the number of its process group stays its own until that is signalled.
 */
#ifndef SG_CHILD_H
#define SG_CHILD_H

#include "engine/loop.h"
#include "engine/shared.h"
#include "proxy/spawn.h"

/* What becomes of its stderr. */
enum {
    SG_STDERR_INHERIT = -1,
    SG_STDERR_NULL = -2,
    SG_STDERR_TAIL = -3, /* captured into the report; >= 0: a descriptor */
};

struct sg_child_options {
    const char *const *paths; /* as in struct sg_spawn_plan */
    char *const *argv;
    char *const *envp;
    const char *cwd;
    bool new_session;
    int stderr_fd; /* a descriptor of the caller's, or SG_STDERR_... */
    bool lends;    /* its pipes, to the caller: loan.h */
};

struct sg_child {
    pid_t pid;
    bool own_session;
    struct sg_watch end;    /* its pidfd; fd -1 where there is none */
    struct sg_watch stderr; /* its stderr pipe; fd -1 when not captured */
    struct sg_shared *shared;
    bool ended;
    bool reaped;
    int escalated;        /* how many signals were sent */
    bool is_urgent;       /* without pidfd: somebody waits for the end */
    int64_t check_after;  /* the pause until we ask again */
    sg_deadline check_at; /* and when that is */
};

/* Start it, on any thread, with these as stdin and stdout, which stay the
 * caller's.  The report stays the far end's.  On failure nothing is left. */
enum sg_status sg_child_start(struct sg_child *child,
                              const struct sg_child_options *options,
                              int stdin_fd, int stdout_fd,
                              struct sg_shared *shared,
                              struct sg_error *error);

/* Take what it wrote to stderr, and notice its end.  Negative errno when the
 * poller refuses to watch it. */
int sg_child_turn(struct sg_child *child, struct sg_task *task);

/* When to take a turn to notice the end.  SG_NEVER with a pidfd, which wakes
 * us.  Without one we ask again and again: when somebody waits for the end,
 * after pauses that grow to 50 ms; else after pauses that are as long as it
 * has lived so far, which makes 20 in a day. */
sg_deadline sg_child_check_at(struct sg_child *child, bool is_urgent);

/* Send the next of SIGHUP, SIGTERM and SIGKILL.  False: all were sent. */
bool sg_child_escalate(struct sg_child *child);

/* Read the last of stderr, signal what is left of its session, reap, and
 * close all. */
void sg_child_release(struct sg_child *child, struct sg_task *task);

#endif
