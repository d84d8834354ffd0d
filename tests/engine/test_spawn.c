/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests spawn.c: the state in which a child starts, and the
 * failures that the parent gets.
 */
#include "proxy/spawn.h"

#include "lib/proxy.h"

/* ---- Roles ------------------------------------------------------------ */

/* Writes the numbers of all descriptors that it started with. */
static int
list_descriptors(char **arguments)
{
    (void)arguments;
    for (int fd = 0; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            dprintf(STDOUT_FILENO, "%d ", fd);
        }
    }
    return 0;
}

/* ---- Running ---------------------------------------------------------- */

/* The pipes of the child's standard streams; the test holds both ends. */
struct pipes {
    int in[2], out[2], err[2];
};

static void
pipes_open(struct pipes *pipes)
{
    CHECK_EQ(sg_sys_pipe(pipes->in), 0);
    CHECK_EQ(sg_sys_pipe(pipes->out), 0);
    CHECK_EQ(sg_sys_pipe(pipes->err), 0);
}

static void
pipes_close(struct pipes *pipes)
{
    for (int i = 0; i < 2; i++) {
        sg_sys_close(&pipes->in[i]);
        sg_sys_close(&pipes->out[i]);
        sg_sys_close(&pipes->err[i]);
    }
}

static struct sg_spawn_plan
plan_of(const struct command *command, const struct pipes *pipes)
{
    return (struct sg_spawn_plan){
        .paths = command->options.paths,
        .argv = command->options.argv,
        .envp = command->options.envp,
        .cwd = command->options.cwd,
        .new_session = command->options.new_session,
        .stdin_fd = pipes->in[0],
        .stdout_fd = pipes->out[1],
        .stderr_fd = pipes->err[1],
    };
}

/* Run the command to its end.  Returns its exit status, and what it wrote to
 * stdout in `output`, which holds `room` bytes. */
static int
run_command(const struct command *command, char *output, size_t room)
{
    struct pipes pipes;
    struct sg_spawn_plan plan;
    struct sg_error error = {.status = SG_OK};
    pid_t pid;
    int returncode;

    pipes_open(&pipes);
    plan = plan_of(command, &pipes);
    CHECK_EQ(sg_spawn(&plan, &pid, &error), SG_OK);
    sg_sys_close(&pipes.in[1]);
    sg_sys_close(&pipes.out[1]);
    output[read_up_to(pipes.out[0], output, room - 1)] = '\0';
    CHECK_EQ(sg_sys_wait(pid, -1, true, false, &returncode), 1);
    pipes_close(&pipes);
    return returncode;
}

static void
check_failure(const struct command *command, enum sg_status status, int err)
{
    struct pipes pipes;
    struct sg_spawn_plan plan;
    struct sg_error error = {.status = SG_OK};
    pid_t pid;

    pipes_open(&pipes);
    plan = plan_of(command, &pipes);
    CHECK_EQ(sg_spawn(&plan, &pid, &error), status);
    CHECK_EQ(pid, -1);
    CHECK_EQ(error.status, status);
    CHECK_EQ(error.err, err);
    CHECK_EQ(sg_sys_owned(), 6);
    pipes_close(&pipes);
}

/* ---- Cases ------------------------------------------------------------ */

static void
program_runs_with_its_arguments(void)
{
    struct command command;
    char output[100];

    command_set(&command, "/bin/echo",
                (const char *const[]){"echo", "a b", "", "c", NULL});
    CHECK_EQ(run_command(&command, output, sizeof(output)), 0);
    CHECK_TEXT(output, "a b  c\n");
    command_sh(&command, "exit 5");
    CHECK_EQ(run_command(&command, output, sizeof(output)), 5);
    CHECK_TEXT(output, "");
}

static void
environment_is_the_parents_or_the_given_one(void)
{
    static char variable[] = "SG_TEST=given";
    char *environment[] = {variable, NULL};
    struct command command;
    char output[100];

    CHECK_EQ(setenv("SG_TEST", "ours", 1), 0);
    command_sh(&command, "echo $SG_TEST");
    CHECK_EQ(run_command(&command, output, sizeof(output)), 0);
    CHECK_TEXT(output, "ours\n");
    command.options.envp = environment;
    CHECK_EQ(run_command(&command, output, sizeof(output)), 0);
    CHECK_TEXT(output, "given\n");
}

static void
first_executable_path_is_run(void)
{
    static const char *paths[] = {"/nonexistent/echo", "/etc/passwd/echo",
                                  "/etc/passwd", "/bin/echo", NULL};
    struct command command;
    char output[100];

    command_sh(&command, "");
    command.argv[1] = NULL;
    command.options.paths = paths;
    CHECK_EQ(run_command(&command, output, sizeof(output)), 0);
    CHECK_TEXT(output, "\n");
}

static void
missing_program_is_an_error(void)
{
    static const char *nowhere[] = {"/nonexistent/a", "/nonexistent/b", NULL};
    static const char *denied_first[] = {"/etc/passwd", "/nonexistent/b",
                                         NULL};
    static const char *denied_last[] = {"/nonexistent/b", "/etc", NULL};
    struct command command;

    command_sh(&command, "");
    command.options.paths = nowhere;
    check_failure(&command, SG_ERR_EXEC, ENOENT);
    command.options.paths = denied_first;
    check_failure(&command, SG_ERR_EXEC, EACCES);
    command.options.paths = denied_last;
    check_failure(&command, SG_ERR_EXEC, EACCES);
}

static void
working_directory_is_set_or_an_error(void)
{
    struct command command;
    char output[100];

    command_sh(&command, "pwd");
    command.options.cwd = "/usr";
    CHECK_EQ(run_command(&command, output, sizeof(output)), 0);
    CHECK_TEXT(output, "/usr\n");
    command.options.cwd = "/nonexistent";
    check_failure(&command, SG_ERR_CWD, ENOENT);
    command.options.cwd = "/etc/passwd";
    check_failure(&command, SG_ERR_CWD, ENOTDIR);
}

/* Returns the child's session, the sixth field of /proc/PID/stat. */
static int
session_of_child(bool new_session, int *child)
{
    struct command command;
    char output[2000];
    int session;

    command_set(&command, "/bin/cat",
                (const char *const[]){"cat", "/proc/self/stat", NULL});
    command.options.new_session = new_session;
    CHECK_EQ(run_command(&command, output, sizeof(output)), 0);
    CHECK_EQ(sscanf(output, "%d (cat) %*c %*d %*d %d", child, &session), 2);
    return session;
}

static void
session_is_the_parents_or_a_new_one(void)
{
    int child;

    CHECK_EQ(session_of_child(false, &child), getsid(0));
    CHECK_EQ(session_of_child(true, &child), child);
}

/* ---- Signals ---------------------------------------------------------- */

static void
do_nothing(int signal_number)
{
    (void)signal_number;
}

static uint64_t
signal_set(const char *status, const char *name)
{
    const char *line = strstr(status, name);

    CHECK(line != NULL);
    return strtoull(line + strlen(name), NULL, 16);
}

#define BIT(signal_number) (UINT64_C(1) << ((signal_number)-1))

/* The parent has handlers, blocked signals and ignored signals. */
static void
check_signals(bool new_session)
{
    struct command command;
    char status[8000];
    uint64_t ignored;

    command_set(&command, "/bin/cat",
                (const char *const[]){"cat", "/proc/self/status", NULL});
    command.options.new_session = new_session;
    CHECK_EQ(run_command(&command, status, sizeof(status)), 0);
    CHECK_EQ(signal_set(status, "SigBlk:"), 0);
    CHECK_EQ(signal_set(status, "SigCgt:"), 0);
    ignored = signal_set(status, "SigIgn:");
    CHECK_EQ((ignored & BIT(SIGINT)) != 0, !new_session);
    CHECK_EQ((ignored & BIT(SIGQUIT)) != 0, !new_session);
    CHECK_EQ(ignored & BIT(SIGPIPE), 0);
    CHECK_EQ(ignored & BIT(SIGXFSZ), 0);
    CHECK_EQ(ignored & BIT(SIGUSR1), 0);
    CHECK_EQ(ignored & BIT(SIGUSR2), BIT(SIGUSR2)); /* ignored as by nohup */
}

static void
signals_are_reset(void)
{
    sigset_t some, now, before;
    struct sigaction action;

    signal(SIGUSR1, do_nothing);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigaddset(&some, SIGUSR1);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &some, &before), 0);
    check_signals(false);
    check_signals(true);
    /* nothing has changed in the parent */
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, &now), 0);
    CHECK(sigismember(&now, SIGTERM));
    CHECK(sigismember(&now, SIGUSR1));
    CHECK(!sigismember(&now, SIGINT));
    CHECK_EQ(sigaction(SIGUSR1, NULL, &action), 0);
    CHECK(action.sa_handler == do_nothing);
    CHECK_EQ(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_IGN);
    CHECK_EQ(sigaction(SIGINT, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
}

/* ---- Descriptors ------------------------------------------------------ */

static void
no_descriptor_is_inherited(void)
{
    struct command command;
    char output[1000];
    int plain = fcntl(messages_fd, F_DUPFD, 50); /* not close-on-exec */

    CHECK_GE(plain, 50);
    command_role(&command, "list_descriptors", NULL);
    CHECK_EQ(run_command(&command, output, sizeof(output)), 0);
    CHECK_TEXT(output, "0 1 2 ");
    close(plain);
}

/* Send a word to a child and read it back from both its outputs. */
static void
check_standard_streams(void)
{
    struct command command;
    struct pipes pipes;
    struct sg_spawn_plan plan;
    struct sg_error error = {.status = SG_OK};
    pid_t pid;
    int returncode;

    command_sh(&command, "read word; echo $word; echo no $word >&2");
    pipes_open(&pipes);
    plan = plan_of(&command, &pipes);
    CHECK_EQ(sg_spawn(&plan, &pid, &error), SG_OK);
    write_all(pipes.in[1], "yes\n", 4);
    expect_text(pipes.out[0], "yes\n");
    expect_text(pipes.err[0], "no yes\n");
    CHECK_EQ(sg_sys_wait(pid, -1, true, false, &returncode), 1);
    CHECK_EQ(returncode, 0);
    pipes_close(&pipes);
}

static void
standard_streams_work_when_the_parents_are_closed(void)
{
    for (int closed = 0; closed < 8; closed++) {
        pid_t pid = fork();

        if (pid == 0) {
            for (int fd = 0; fd < 3; fd++) {
                if (closed >> fd & 1) {
                    close(fd);
                }
            }
            check_standard_streams();
            leave_process();
        }
        join_process(pid);
    }
}

/* The child's stderr may be the parent's descriptor 0, 1 or 2.  The child
 * must get what that is in the parent, not what it becomes in the child. */
static void
stderr_may_be_a_standard_stream_of_the_parent(void)
{
    for (int fd = -1; fd < 3; fd++) {
        pid_t pid = fork();

        if (pid == 0) {
            struct command command;
            struct pipes pipes;
            struct sg_spawn_plan plan;
            struct sg_error error = {.status = SG_OK};
            int returncode;

            pipes_open(&pipes);
            CHECK_EQ(dup2(pipes.err[1], fd < 0 ? STDERR_FILENO : fd),
                     fd < 0 ? STDERR_FILENO : fd);
            command_sh(&command, "echo out; echo err >&2");
            plan = plan_of(&command, &pipes);
            plan.stderr_fd = fd;
            CHECK_EQ(sg_spawn(&plan, &pid, &error), SG_OK);
            expect_text(pipes.out[0], "out\n");
            expect_text(pipes.err[0], "err\n");
            CHECK_EQ(sg_sys_wait(pid, -1, true, false, &returncode), 1);
            CHECK_EQ(returncode, 0);
            leave_process();
        }
        join_process(pid);
    }
}

static void
stdin_and_stdout_may_be_the_same(void)
{
    struct command command;
    struct pipes pipes;
    struct sg_spawn_plan plan;
    struct sg_error error = {.status = SG_OK};
    int pair[2], returncode;
    pid_t pid;

    CHECK_EQ(sg_sys_socketpair(pair), 0);
    pipes_open(&pipes);
    command_sh(&command, "read word; echo $word");
    plan = plan_of(&command, &pipes);
    plan.stdin_fd = plan.stdout_fd = pair[1];
    CHECK_EQ(sg_spawn(&plan, &pid, &error), SG_OK);
    write_all(pair[0], "yes\n", 4);
    expect_text(pair[0], "yes\n");
    CHECK_EQ(sg_sys_wait(pid, -1, true, false, &returncode), 1);
    pipes_close(&pipes);
    sg_sys_close(&pair[0]);
    sg_sys_close(&pair[1]);
}

static void *
run_a_few(void *unused)
{
    for (int i = 0; i < 10; i++) {
        struct command command;
        char output[20];

        command_sh(&command, i % 2 ? "exit 3" : "kill -9 $$");
        CHECK_EQ(run_command(&command, output, sizeof(output)),
                 i % 2 ? 3 : -9);
    }
    return unused;
}

static void
threads_may_spawn_at_once(void)
{
    pthread_t threads[4];

    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, run_a_few, NULL), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

int
main(int argc, char **argv)
{
    static const struct role roles[] = {
        {"list_descriptors", list_descriptors},
    };
    static const struct test_case cases[] = {
        CASE(program_runs_with_its_arguments),
        CASE(environment_is_the_parents_or_the_given_one),
        CASE(first_executable_path_is_run),
        CASE(missing_program_is_an_error),
        CASE(working_directory_is_set_or_an_error),
        CASE(session_is_the_parents_or_a_new_one),
        CASE(signals_are_reset),
        CASE(no_descriptor_is_inherited),
        CASE(standard_streams_work_when_the_parents_are_closed),
        CASE(stderr_may_be_a_standard_stream_of_the_parent),
        CASE(stdin_and_stdout_may_be_the_same),
        CASE(threads_may_spawn_at_once),
    };

    return run_role_or_cases(roles, COUNT_OF(roles), cases, COUNT_OF(cases),
                             argc, argv);
}
