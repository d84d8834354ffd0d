/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See process.h.
 */
#include "lib/process.h"

#include <sys/syscall.h>

#include "lib/hook.h"
#include "lib/stream.h"

/* ---- Roles ------------------------------------------------------------ */

char own_path[PATH_MAX];

int
run_role_or_cases(const struct role *roles, size_t n_roles,
                  const struct test_case *cases, size_t n_cases, int argc,
                  char **argv)
{
    ssize_t n = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);

    CHECK_GE(n, 1);
    hook_install();
    for (size_t i = 0; argc > 1 && i < n_roles; i++) {
        if (strcmp(argv[1], roles[i].name) == 0) {
            _exit(roles[i].run(argv + 2));
        }
    }
    return run_cases(cases, n_cases, argc, argv);
}

int
ignore_hup_and_term(char **arguments)
{
    (void)arguments;
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    write_all(STDOUT_FILENO, "stubborn", 8);
    while (pause() < 0) {
    }
    return 0;
}

/* ---- Commands --------------------------------------------------------- */

void
command_set(struct command *command, const char *path,
            const char *const *words)
{
    size_t n = 0;

    memset(command, 0, sizeof(*command));
    for (; words[n] != NULL; n++) {
        CHECK_LE(n, COUNT_OF(command->argv) - 2);
        snprintf(command->words[n], sizeof(command->words[n]), "%s", words[n]);
        command->argv[n] = command->words[n];
    }
    command->paths[0] = path;
    command->options.paths = command->paths;
    command->options.argv = command->argv;
    command->options.stderr_fd = SG_STDERR_TAIL;
}

void
command_sh(struct command *command, const char *script)
{
    command_set(command, "/bin/sh",
                (const char *const[]){"sh", "-c", script, NULL});
}

void
command_role(struct command *command, const char *role, const char *argument)
{
    command_set(command, own_path,
                (const char *const[]){"role", role, argument, NULL});
}

/* ---- Processes -------------------------------------------------------- */

int
process_open(pid_t pid)
{
    int fd = under_valgrind() ? -pid : (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd == -1) {
        CHECK_EQ(errno, ESRCH);
    }
    return fd;
}

bool
process_is_gone(int process)
{
    struct pollfd pollfd = {.fd = process, .events = POLLIN};
    char path[64], state = 'X';
    FILE *file;

    if (process >= -1) {
        return process == -1 || poll(&pollfd, 1, 0) == 1;
    }
    snprintf(path, sizeof(path), "/proc/%d/stat", -process);
    file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) {
            state = 'X'; /* the process was reaped after the fopen() */
        }
        fclose(file);
    }
    return state == 'Z' || state == 'X';
}

bool
process_at_is_gone(void *process)
{
    return process_is_gone(*(int *)process);
}

void
process_wait(int process)
{
    if (process >= 0) {
        wait_for(process, POLLIN);
    }
    else {
        wait_until(process_at_is_gone, &process);
    }
}

void
process_join(int process)
{
    process_wait(process);
    if (process >= 0) {
        close(process);
    }
}
