/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A running child process; see child.h.  All functions but sg_child_start()
 * run on the loop's thread.
 */
#include "proxy/child.h"

#include <signal.h>

/* Without a pidfd: pauses between two checks whether the child has ended. */
#define FIRST_PAUSE (1 * SG_MSEC)
#define LONGEST_PAUSE (50 * SG_MSEC) /* while the task waits for the end */

enum sg_status
sg_child_start(struct sg_child *child, const struct sg_child_options *options,
               int stdin_fd, int stdout_fd, struct sg_shared *shared,
               struct sg_error *error)
{
    struct sg_spawn_plan plan = {
        .paths = options->paths,
        .argv = options->argv,
        .envp = options->envp,
        .cwd = options->cwd,
        .stdin_fd = stdin_fd,
        .stdout_fd = stdout_fd,
        .stderr_fd = options->stderr_fd,
        .new_session = options->new_session,
    };
    int own[2] = {-1, -1}; /* stderr: our end, the child's end */
    enum sg_status status;
    int err = 0;

    *child = (struct sg_child){.own_session = options->new_session,
                               .end.fd = -1,
                               .stderr.fd = -1,
                               .shared = shared};
    if (options->stderr_fd == SG_STDERR_TAIL) {
        err = sg_sys_pipe(own);
        if (err >= 0) {
            err = sg_sys_set_blocking(own[0], false);
        }
    }
    else if (options->stderr_fd == SG_STDERR_NULL) {
        err = own[1] = sg_sys_open_null();
    }
    if (err < 0) {
        status = sg_fail_errno(error, err);
        goto out;
    }
    if (options->stderr_fd < SG_STDERR_INHERIT) {
        plan.stderr_fd = own[1];
    }
    status = sg_spawn(&plan, &child->pid, error);
    if (status == SG_OK) {
        child->stderr.fd = own[0];
        own[0] = -1;
        /* Negative if there is no pidfd: sg_child_check_at() polls then. */
        child->end.fd = sg_sys_pidfd(child->pid);
    }
out:
    sg_sys_close(&own[0]);
    sg_sys_close(&own[1]);
    return status;
}

/* Read the stderr pipe once, so that a child that floods its stderr does not
 * monopolise the loop.  If `all`, read everything that the pipe holds now.
 * Reading until the end of file would be wrong, because a grandchild may hold
 * the pipe open and keep writing. */
static void
read_stderr(struct sg_child *child, struct sg_task *task, bool all)
{
    char *scratch = sg_loop_scratch(task);
    ssize_t n, left;

    if (child->stderr.fd < 0) {
        return;
    }
    left = all ? sg_sys_unread(child->stderr.fd) : 0;
    do {
        n = sg_sys_read(child->stderr.fd, scratch, SG_SCRATCH_SIZE);
        if (n > 0) {
            sg_shared_add_stderr(child->shared, scratch, (size_t)n);
            left -= n;
        }
    } while (n > 0 && left > 0);
    if (n == 0 || n == -EBADF) { /* EBADF: other code closed our end */
        sg_loop_close(task, &child->stderr);
    }
}

/* Record the child's end if it has ended. */
static void
notice_end(struct sg_child *child, struct sg_task *task)
{
    int returncode = 0;
    int result = sg_sys_wait(child->pid, child->end.fd, false,
                             child->own_session, &returncode);

    if (result == 0 || result == -EINTR) {
        return;
    }
    child->ended = true;
    /* The child wrote the last of its stderr before it ended. */
    read_stderr(child, task, true);
    if (result > 0) {
        child->reaped = !child->own_session;
        sg_shared_set_returncode(child->shared, returncode);
        sg_sys_trace("%s %ld ended: %d", task->kind->name, (long)child->pid,
                     returncode);
    }
    else {
        /* Other code has reaped it, so the returncode is unknown. */
        child->reaped = true;
    }
    sg_loop_watch(task, &child->end, SG_NOTHING);
}

static int
watch(struct sg_child *child, struct sg_task *task)
{
    if (!child->ended && sg_loop_watch(task, &child->end, SG_READ) < 0) {
        sg_loop_close(task, &child->end); /* sg_child_check_at() polls */
    }
    return sg_loop_watch(task, &child->stderr, SG_READ);
}

int
sg_child_turn(struct sg_child *child, struct sg_task *task)
{
    int err = watch(child, task);

    if (child->stderr.ready != 0) {
        child->stderr.ready = 0;
        read_stderr(child, task, false);
    }
    if (!child->ended && (child->end.ready != 0 || child->end.fd < 0)) {
        child->end.ready = 0;
        notice_end(child, task);
    }
    return err;
}

sg_deadline
sg_child_check_at(struct sg_child *child, bool is_urgent)
{
    bool is_new = is_urgent && !child->is_urgent;

    child->is_urgent = is_urgent;
    if (child->ended || child->end.fd >= 0) {
        return SG_NEVER;
    }
    if (is_new || child->check_pause == 0) {
        child->check_pause = is_urgent ? FIRST_PAUSE : LONGEST_PAUSE;
    }
    else if (sg_sys_now() < child->check_at) {
        return child->check_at;
    }
    else if (!is_urgent || child->check_pause < LONGEST_PAUSE) {
        child->check_pause *= 2;
    }
    child->check_at = sg_deadline_after(child->check_pause);
    return child->check_at;
}

bool
sg_child_escalate(struct sg_child *child)
{
    static const int signals[] = {SIGHUP, SIGTERM, SIGKILL};

    if (child->reaped
        || child->signals_sent == sizeof(signals) / sizeof(*signals)) {
        return false;
    }
    sg_sys_trace("sending signal %d to child %ld",
                 signals[child->signals_sent], (long)child->pid);
    sg_sys_kill(child->pid, child->end.fd, child->own_session,
                signals[child->signals_sent]);
    /* A stopped process handles no signal but SIGKILL until it continues. */
    sg_sys_kill(child->pid, child->end.fd, child->own_session, SIGCONT);
    child->signals_sent++;
    return true;
}

void
sg_child_release(struct sg_child *child, struct sg_task *task)
{
    int ignored;

    read_stderr(child, task, true);
    if (!child->reaped) {
        /* The child's session outlives it: end its other processes too. */
        sg_sys_kill(child->pid, child->end.fd, child->own_session, SIGHUP);
        sg_sys_wait(child->pid, child->end.fd, false, false, &ignored);
        child->reaped = true;
    }
    sg_loop_close(task, &child->stderr);
    sg_loop_close(task, &child->end);
}
