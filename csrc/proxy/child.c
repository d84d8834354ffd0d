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
               int stdin_fd, int stdout_fd, struct sg_report *report,
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
                               .report = report};
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
read_stderr(struct sg_child *child, struct sg_farend *farend, bool all)
{
    char *scratch = sg_loop_scratch(farend);
    ssize_t n, left;

    if (child->stderr.fd < 0) {
        return;
    }
    left = all ? sg_sys_unread(child->stderr.fd) : 0;
    do {
        n = sg_sys_read(child->stderr.fd, scratch, SG_SCRATCH_SIZE);
        if (n > 0) {
            sg_report_add_tail(child->report, scratch, (size_t)n);
            left -= n;
        }
    } while (n > 0 && left > 0);
    if (n == 0 || n == -EBADF) { /* closed, by whomever */
        sg_loop_close(farend, &child->stderr);
    }
}

static void
notice_end(struct sg_child *child, struct sg_farend *farend)
{
    int returncode = 0;
    int result = sg_sys_wait(child->pid, child->end.fd, false,
                             child->own_session, &returncode);

    if (result == 0 || result == -EINTR) {
        return;
    }
    child->ended = true;
    /* Its last words were written before it ended. */
    read_stderr(child, farend, true);
    if (result > 0) {
        child->reaped = !child->own_session;
        sg_report_exit(child->report, returncode);
        sg_sys_trace("%s %ld ended: %d", farend->kind->name, (long)child->pid,
                     returncode);
    }
    else {
        /* Reaped by somebody else: how it ended can't be known. */
        child->reaped = true;
    }
    sg_loop_watch(farend, &child->end, SG_NOTHING);
}

static int
watch(struct sg_child *child, struct sg_farend *farend)
{
    if (!child->ended && sg_loop_watch(farend, &child->end, SG_READ) < 0) {
        sg_loop_close(farend, &child->end); /* so we ask: child.h */
    }
    return sg_loop_watch(farend, &child->stderr, SG_READ);
}

int
sg_child_turn(struct sg_child *child, struct sg_farend *farend)
{
    int err = watch(child, farend);

    if (child->stderr.ready != 0) {
        child->stderr.ready = 0;
        read_stderr(child, farend, false);
    }
    if (!child->ended && (child->end.ready != 0 || child->end.fd < 0)) {
        child->end.ready = 0;
        notice_end(child, farend);
    }
    return err;
}

sg_deadline
sg_child_ask_at(struct sg_child *child, bool is_urgent)
{
    bool is_new = is_urgent && !child->is_urgent;

    child->is_urgent = is_urgent;
    if (child->ended || child->end.fd >= 0) {
        return SG_NEVER;
    }
    if (is_new || child->ask_after == 0) {
        child->ask_after = is_urgent ? FIRST_PAUSE : LONGEST_PAUSE;
    }
    else if (sg_sys_now() < child->ask_at) {
        return child->ask_at;
    }
    else if (!is_urgent || child->ask_after < LONGEST_PAUSE) {
        child->ask_after *= 2;
    }
    child->ask_at = sg_deadline_after(child->ask_after);
    return child->ask_at;
}

bool
sg_child_insist(struct sg_child *child)
{
    static const int signals[] = {SIGHUP, SIGTERM, SIGKILL};

    if (child->reaped
        || child->insisted == sizeof(signals) / sizeof(*signals)) {
        return false;
    }
    sg_sys_trace("child %ld is sent signal %d", (long)child->pid,
                 signals[child->insisted]);
    sg_sys_kill(child->pid, child->end.fd, child->own_session,
                signals[child->insisted]);
    /* A stopped process would not notice. */
    sg_sys_kill(child->pid, child->end.fd, child->own_session, SIGCONT);
    child->insisted++;
    return true;
}

void
sg_child_release(struct sg_child *child, struct sg_farend *farend)
{
    int ignored;

    read_stderr(child, farend, true);
    if (!child->reaped) {
        /* Its session outlives it: whatever it left behind goes too. */
        sg_sys_kill(child->pid, child->end.fd, child->own_session, SIGHUP);
        sg_sys_wait(child->pid, child->end.fd, false, false, &ignored);
        child->reaped = true;
    }
    sg_loop_close(farend, &child->stderr);
    sg_loop_close(farend, &child->end);
}
