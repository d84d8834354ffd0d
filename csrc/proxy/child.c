/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A running child process; see child.h.
 */
#include "proxy/child.h"

#include <signal.h>

#define FIRST_PAUSE (1 * SG_MSEC)
#define LONGEST_PAUSE (50 * SG_MSEC)

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
    int own[2] = {-1, -1}; /* read by us, written by the child */
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
        child->end.fd = sg_sys_pidfd(child->pid); /* or we ask: child.h */
    }
out:
    sg_sys_close(&own[0]);
    sg_sys_close(&own[1]);
    return status;
}

/* One read a turn, so that a child that floods its stderr does not keep the
 * loop to itself; `all`: what is there now, and no more, for a grandchild may
 * go on writing. */
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
    if (n == 0 || n == -EBADF) { /* closed, by whomever */
        sg_loop_close(task, &child->stderr);
    }
}

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
    /* Its last words were written before it ended. */
    read_stderr(child, task, true);
    if (result > 0) {
        child->reaped = !child->own_session;
        sg_shared_set_returncode(child->shared, returncode);
        sg_sys_trace("%s %ld ended: %d", task->kind->name, (long)child->pid,
                     returncode);
    }
    else {
        /* Reaped by somebody else: how it ended can't be known. */
        child->reaped = true;
    }
    sg_loop_watch(task, &child->end, SG_NOTHING);
}

static int
watch(struct sg_child *child, struct sg_task *task)
{
    if (!child->ended && sg_loop_watch(task, &child->end, SG_READ) < 0) {
        sg_loop_close(task, &child->end); /* so we ask: child.h */
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
    if (is_new || child->check_after == 0) {
        child->check_after = is_urgent ? FIRST_PAUSE : LONGEST_PAUSE;
    }
    else if (sg_sys_now() < child->check_at) {
        return child->check_at;
    }
    else if (!is_urgent || child->check_after < LONGEST_PAUSE) {
        child->check_after *= 2;
    }
    child->check_at = sg_deadline_after(child->check_after);
    return child->check_at;
}

bool
sg_child_escalate(struct sg_child *child)
{
    static const int signals[] = {SIGHUP, SIGTERM, SIGKILL};

    if (child->reaped
        || child->escalated == sizeof(signals) / sizeof(*signals)) {
        return false;
    }
    sg_sys_trace("child %ld is sent signal %d", (long)child->pid,
                 signals[child->escalated]);
    sg_sys_kill(child->pid, child->end.fd, child->own_session,
                signals[child->escalated]);
    /* A stopped process would not notice. */
    sg_sys_kill(child->pid, child->end.fd, child->own_session, SIGCONT);
    child->escalated++;
    return true;
}

void
sg_child_release(struct sg_child *child, struct sg_task *task)
{
    int ignored;

    read_stderr(child, task, true);
    if (!child->reaped) {
        /* Its session outlives it: whatever it left behind goes too. */
        sg_sys_kill(child->pid, child->end.fd, child->own_session, SIGHUP);
        sg_sys_wait(child->pid, child->end.fd, false, false, &ignored);
        child->reaped = true;
    }
    sg_loop_close(task, &child->stderr);
    sg_loop_close(task, &child->end);
}
