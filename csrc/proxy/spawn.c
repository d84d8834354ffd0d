/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Start one child process; see spawn.h.
 *
 * child_main() reports a failure through a pipe that exec closes.  So an end
 * of file without data means that exec has succeeded.
 */
#include "proxy/spawn.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "sys/sys.h"

/* The child's report of a failure. */
struct failure {
    enum sg_status status;
    int err; /* negative errno */
};

struct child_plan {
    const struct sg_spawn_plan *plan;
    int failure_fd;
};

/* Set up session, standard streams and working directory.  *stage is the
 * status of the step that failed.
 *
 * From here to child_main() the code runs in the child; with vfork(2) it runs
 * in the memory of the parent.  It may call only the sg_sys_child_ functions
 * and sg_sys_write().  Stderr comes first, because plan->stderr_fd may be 0 or
 * 1, which the next two calls overwrite. */
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

/* Execute the first path that can be executed, as execvp(3) does.  Returns
 * only on failure: the first error other than ENOENT and ENOTDIR, otherwise
 * the last one. */
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
    struct failure failure;

    failure.err = prepare_child(child->plan, &failure.status);
    if (failure.err >= 0) {
        sg_sys_child_signals(!child->plan->new_session);
        sg_sys_child_close_from(STDERR_FILENO + 1);
        failure.status = SG_ERR_EXEC;
        failure.err = exec_first(child->plan);
    }
    while (sg_sys_write(child->failure_fd, &failure, sizeof(failure))
           == -EINTR) {
    }
    sg_sys_child_exit(127);
}

/* Read the child's report.  SG_OK if exec has closed the pipe. */
static enum sg_status
read_failure(int fd, struct sg_error *error)
{
    struct failure failure;
    ssize_t n;

    do {
        n = sg_sys_read(fd, &failure, sizeof(failure));
    } while (n == -EINTR);
    if (n == 0) {
        return SG_OK;
    }
    if (n != (ssize_t)sizeof(failure)) {
        return sg_fail_errno(error, n < 0 ? n : -EIO);
    }
    return sg_fail(error, failure.status, -failure.err);
}

enum sg_status
sg_spawn(const struct sg_spawn_plan *plan, pid_t *pid, struct sg_error *error)
{
    int failure_pipe[2], ignored;
    struct child_plan child = {.plan = plan};
    sigset_t all, before;
    enum sg_status status;
    int err = sg_sys_pipe(failure_pipe);

    *pid = -1;
    if (err < 0) {
        return sg_fail_errno(error, err);
    }
    child.failure_fd = failure_pipe[1];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    *pid = sg_sys_spawn(child_main, &child);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sg_sys_close(&failure_pipe[1]);
    if (*pid < 0) {
        status = sg_fail_errno(error, *pid);
    }
    else {
        status = read_failure(failure_pipe[0], error);
        if (status != SG_OK) {
            /* If only the read failed, the program may run already. */
            sg_sys_kill(*pid, -1, false, SIGKILL);
            while (sg_sys_wait(*pid, -1, true, false, &ignored) == -EINTR) {
            }
            *pid = -1;
        }
    }
    sg_sys_close(&failure_pipe[0]);
    return status;
}
