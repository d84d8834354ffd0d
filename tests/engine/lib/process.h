/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Child processes in tests: the commands that start them, the roles that this
 * program plays as a child, and waiting for their end.
 *
 * A role is a function of the test program.  command_role() makes a command
 * that runs this same program with the role's name as its first argument.
 */
#ifndef SG_TEST_PROCESS_H
#define SG_TEST_PROCESS_H

#include <limits.h>
#include <stdbool.h>

#include "lib/harness.h"
#include "proxy/proxy.h"

/* ---- Roles ------------------------------------------------------------ */

struct role {
    const char *name;
    /* `arguments` are those after the name and end with NULL; returns the exit
     * status. */
    int (*run)(char **arguments);
};

/* The path of this program; set by run_role_or_cases(). */
extern char own_path[PATH_MAX];

/* main() of a program with roles: run the role that argv[1] names and exit
 * with its status, or else run the cases and return main()'s exit status (see
 * run_cases()).  Calls hook_install(). */
int run_role_or_cases(const struct role *roles, size_t n_roles,
                      const struct test_case *cases, size_t n_cases, int argc,
                      char **argv);

/* A role for several programs: it ignores SIGHUP and SIGTERM, writes
 * "stubborn" to its standard output, and runs until it is killed. */
int ignore_hup_and_term(char **arguments);

/* ---- Commands --------------------------------------------------------- */

/* The options of a child and the memory that they point to, so a command must
 * not be copied.  A test may change `options` after one of the functions below
 * has set them. */
struct command {
    struct sg_child_options options;
    const char *paths[2];
    char *argv[6];
    char words[6][PATH_MAX];
};

/* Set `command` to the program at `path` with the arguments `words`, which
 * include argv[0], end with NULL, and are copied.  The standard error goes to
 * the tail (SG_STDERR_TAIL). */
void command_set(struct command *command, const char *path,
                 const char *const *words);

/* Set `command` to "sh -c script". */
void command_sh(struct command *command, const char *script);

/* Set `command` to this program in the given role.  `argument` may be NULL. */
void command_role(struct command *command, const char *role,
                  const char *argument);

/* ---- Processes -------------------------------------------------------- */

/* Returns a handle to wait for the end of process `pid`: a pidfd, in builds of
 * the portable twin too, because the tests run on Linux; under valgrind, which
 * knows no pidfd, the negative process id; -1 if the process no longer exists.
 * process_join() releases the handle. */
int process_open(pid_t pid);

/* Returns true if the process of the handle has ended; it may be a zombie. */
bool process_is_gone(int process);

/* The same for a pointer to a handle, for wait_until(). */
bool process_at_is_gone(void *process);

/* Wait until the process has ended. */
void process_wait(int process);

/* Wait until the process has ended, and close the handle. */
void process_join(int process);

#endif
