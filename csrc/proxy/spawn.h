/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Start one child process.
 *
 * Everything is prepared before the fork: between it and exec there is no
 * allocation, no lock, no search.  The child stays in our session and
 * process group, so that it can ask on /dev/tty as under OpenSSH, but
 * ignores SIGINT and SIGQUIT, so that Ctrl-C in the program does not take
 * its way to the target away (asyncssh#787).
 */
#ifndef SG_SPAWN_H
#define SG_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "sys/status.h"

struct sg_spawn_plan {
    const char *const *paths; /* to execute: the first that can be; ends with
                                 NULL, has at least one */
    char *const *argv;
    char *const *envp; /* NULL: ours */
    const char *cwd;   /* NULL: ours */
    int stdin_fd;      /* all three stay the caller's, in every outcome */
    int stdout_fd;
    int stderr_fd;    /* -1: ours */
    bool new_session; /* a session of its own, where Ctrl-C never comes; then
                         SIGINT and SIGQUIT are as in the program */
};

/* Returns when the child has executed its program, with *pid.  Else
 * SG_ERR_CWD or SG_ERR_EXEC with the errno of what failed in the child, or
 * SG_ERR_SYSTEM; then no child is left. */
enum sg_status sg_spawn(const struct sg_spawn_plan *plan, pid_t *pid,
                        struct sg_error *error);

#endif
