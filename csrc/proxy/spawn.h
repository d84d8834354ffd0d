/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Start one child process.
 *
 * The caller prepares everything before the fork.  Between fork and exec
 * there is no allocation, no lock and no search of PATH.
 *
 * The child stays in our session and process group, so that it can ask on
 * /dev/tty as under OpenSSH.  It ignores SIGINT and SIGQUIT, so that Ctrl-C
 * in the program does not end the connection to the target (asyncssh#787).
 */
#ifndef SG_SPAWN_H
#define SG_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "sys/status.h"

/* Everything in a plan, the three descriptors included, belongs to the
 * caller in every outcome.  sg_spawn() only reads it. */
struct sg_spawn_plan {
    const char *const *paths; /* candidates for the executable, in order, as
                                 execvp(3) makes them from PATH; at least
                                 one, ends with NULL */
    char *const *argv;        /* ends with NULL */
    char *const *envp;        /* NULL: the environment of this process */
    const char *cwd;          /* NULL: the working directory of this process */
    int stdin_fd;             /* becomes descriptor 0 of the child */
    int stdout_fd;            /* becomes descriptor 1; may equal stdin_fd */
    int stderr_fd;            /* becomes descriptor 2; -1: inherit ours */
    bool new_session;         /* setsid(2).  Ctrl-C does not reach such a
                                 child, so it ignores SIGINT and SIGQUIT only
                                 if this process ignores them */
};

/* Start the child of `plan`.  Runs on any thread; blocks until exec has
 * succeeded or failed in the child.
 *
 * Returns SG_OK and the process id in *pid, which the caller has to reap.
 * Otherwise *pid is -1, no child is left, and `error` holds the errno:
 *   SG_ERR_CWD     the child could not change to plan->cwd
 *   SG_ERR_EXEC    no path of plan->paths could be executed
 *   SG_ERR_SYSTEM  another system call failed, here or in the child
 * The child inherits only descriptors 0, 1 and 2.  No descriptor that
 * sg_spawn() makes is left open in this process. */
enum sg_status sg_spawn(const struct sg_spawn_plan *plan, pid_t *pid,
                        struct sg_error *error);

#endif
