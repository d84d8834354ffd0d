/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Start one child process; see spawn.h.
 */
#include "proxy/spawn.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "sys/sys.h"

/* What the child tells through a pipe that exec closes. */
struct verdict {
    enum sg_status status;
    int err;
};

struct child_plan {
    const struct sg_spawn_plan *plan;
    int verdict_fd;
};

/* Here the child runs, with vfork(2) in our memory: only sg_sys_child_... .
 * Stderr first: it may be one of the caller's own standard streams. */
static int
prepare_child(const struct sg_spawn_plan *plan, enum sg_status *stage)
{
    int err = 0;

    *stage = SG_ERR_SYSTEM;
    if (plan->new_session) {
        err = sg_sys_child_new_session();
    }
    if (err >= 0 && plan->stderr_fd >= 0) {
        err = sg_sys_child_dup(plan->stderr_fd, STDERR_FILENO);
    }
    if (err >= 0) {
        err = sg_sys_child_dup(plan->stdin_fd, STDIN_FILENO);
    }
    if (err >= 0) {
        err = sg_sys_child_dup(plan->stdout_fd, STDOUT_FILENO);
    }
    if (err >= 0 && plan->cwd != NULL) {
        *stage = SG_ERR_CWD;
        err = sg_sys_child_chdir(plan->cwd);
    }
    return err;
}

/* As execvp(3): a path that does not exist is passed over, and what is said
 * in the end is the first failure of another sort. */
static int
exec_first(const struct sg_spawn_plan *plan)
{
    int first = 0, err = -ENOENT;

    for (const char *const *path = plan->paths; *path != NULL; path++) {
        err = sg_sys_child_exec(*path, plan->argv, plan->envp);
        if (err != -ENOENT && err != -ENOTDIR && first == 0) {
            first = err;
        }
    }
    return first != 0 ? first : err;
}

static void
child_main(void *arg)
{
    const struct child_plan *child = arg;
    struct verdict verdict;

    verdict.err = prepare_child(child->plan, &verdict.status);
    if (verdict.err >= 0) {
        sg_sys_child_signals(!child->plan->new_session);
        sg_sys_child_close_from(STDERR_FILENO + 1);
        verdict.status = SG_ERR_EXEC;
        verdict.err = exec_first(child->plan);
    }
    while (sg_sys_write(child->verdict_fd, &verdict, sizeof(verdict))
           == -EINTR) {
    }
    sg_sys_child_exit(127);
}

/* SG_OK when exec closed the pipe without a word. */
static enum sg_status
read_verdict(int fd, struct sg_error *error)
{
    struct verdict verdict;
    ssize_t n;

    do {
        n = sg_sys_read(fd, &verdict, sizeof(verdict));
    } while (n == -EINTR);
    if (n == 0) {
        return SG_OK;
    }
    if (n != (ssize_t)sizeof(verdict)) {
        return sg_fail_errno(error, n < 0 ? n : -EIO);
    }
    return sg_fail(error, verdict.status, -verdict.err);
}

enum sg_status
sg_spawn(const struct sg_spawn_plan *plan, pid_t *pid, struct sg_error *error)
{
    int verdict_pipe[2], ignored;
    struct child_plan child = {.plan = plan};
    sigset_t all, before;
    enum sg_status status;
    int err = sg_sys_pipe(verdict_pipe);

    *pid = -1;
    if (err < 0) {
        return sg_fail_errno(error, err);
    }
    child.verdict_fd = verdict_pipe[1];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    *pid = sg_sys_spawn(child_main, &child);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sg_sys_close(&verdict_pipe[1]);
    if (*pid < 0) {
        status = sg_fail_errno(error, *pid);
    }
    else {
        status = read_verdict(verdict_pipe[0], error);
        if (status != SG_OK) {
            /* When it is the verdict that could not be read, it runs. */
            sg_sys_kill(*pid, -1, false, SIGKILL);
            while (sg_sys_wait(*pid, -1, true, false, &ignored) == -EINTR) {
            }
            *pid = -1;
        }
    }
    sg_sys_close(&verdict_pipe[0]);
    return status;
}
