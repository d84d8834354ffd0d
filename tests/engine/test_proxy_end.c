/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests how a proxy ends: by itself, by the caller's close, or by
 * a signal. Grandchildren that outlive the child are tested here too.
 */
#include "lib/proxy.h"

/* ---- Roles ------------------------------------------------------------ */

static void
pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000,
                            .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&time, &time) < 0) {
    }
}

/* Closes its stdout, and exits with 7 after 60 ms. */
static int
end_late(char **arguments)
{
    (void)arguments;
    close(STDOUT_FILENO);
    pause_ms(60);
    return 7;
}

/* Copies its stdin to its stderr, arguments[0] bytes every 20 ms. */
static int
read_slowly(char **arguments)
{
    char data[65536];
    size_t size = strtoul(arguments[0], NULL, 10);
    ssize_t n;

    while ((n = read(STDIN_FILENO, data, size)) > 0) {
        write_all(STDERR_FILENO, data, (size_t)n);
        pause_ms(20);
    }
    return 0;
}

/* ---- The child ends by itself ----------------------------------------- */

static void
reason_is_known_before_the_end_is_seen(void)
{
    for (int i = 0; i < 20; i++) {
        struct proxy proxy = proxy_sh("echo last; exit 7", LONG_LINGER);
        int returncode = 0;

        expect_text(proxy.stream, "last\n");
        expect_eof(proxy.stream);
        CHECK(sg_shared_get_returncode(proxy.shared, &returncode));
        CHECK_EQ(returncode, 7);
        proxy_close(&proxy);
    }
}

static void
end_waits_for_the_exit_status(void)
{
    int returncode = 0;

    /* the child ends within 200 ms, unless the machine is busy */
    for (int i = 0; i < 4 * ATTEMPTS && returncode == 0; i++) {
        struct proxy proxy = proxy_role("end_late", NULL, LONG_LINGER);

        expect_eof(proxy.stream);
        (void)sg_shared_get_returncode(proxy.shared, &returncode);
        proxy_close(&proxy);
    }
    CHECK_EQ(returncode, 7);
}

static void
death_by_signal_is_a_negative_status(void)
{
    struct proxy proxy = proxy_sh("kill -KILL $$", LONG_LINGER);
    int returncode = 0;

    expect_eof(proxy.stream);
    CHECK(sg_shared_get_returncode(proxy.shared, &returncode));
    CHECK_EQ(returncode, -SIGKILL);
    proxy_close(&proxy);
}

/* The child closes its output and goes on reading. */
static void
closed_stdout_is_a_clean_end_and_input_goes_on(void)
{
    struct command command;
    struct proxy proxy;
    int pipe_fd[2], ignored;

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    command_sh(&command, "exec >&-; exec cat >&2");
    command.options.stderr_fd = pipe_fd[1];
    proxy = proxy_start(&command, LONG_LINGER);
    expect_eof(proxy.stream);
    CHECK(!sg_shared_get_returncode(proxy.shared, &ignored));
    write_all(proxy.stream, "heard", 5);
    expect_text(pipe_fd[0], "heard");
    proxy_close(&proxy);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* Data that the child never read must not turn the end into an error. */
static void
end_is_clean_although_input_is_unread(void)
{
    struct proxy proxy = proxy_sh("echo last; exec sleep 1000", LONG_LINGER);

    fill_up(proxy.stream, 50);
    CHECK_EQ(kill(proxy.pid, SIGKILL), 0);
    expect_text(proxy.stream, "last\n");
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), -SIGKILL);
    CHECK_EQ(send(proxy.stream, "x", 1, MSG_NOSIGNAL), -1);
    CHECK_EQ(errno, EPIPE);
    proxy_close(&proxy);
}

/* Everything ends though the caller does nothing, and poll(2) shows that a
 * send would fail. */
static void
exited_child_leaves_no_task(void)
{
    struct proxy proxy = proxy_sh("exit 3", LONG_LINGER);

    CHECK_EQ(wait_for(proxy.stream, 0), POLLHUP);
    expect_eof(proxy.stream);
    wait_until(no_loop_runs, NULL);
    CHECK_EQ(send(proxy.stream, "x", 1, MSG_NOSIGNAL), -1);
    CHECK_EQ(errno, EPIPE);
    proxy_close(&proxy);
}

/* Another part of the program reaps the child.  Its exit status is then
 * unknown, and the stream ends without an error. */
static void
child_reaped_elsewhere_has_a_clean_end(void)
{
    struct proxy proxy;
    int ignored;

    signal(SIGCHLD, SIG_IGN);
    proxy = proxy_sh("echo last; exit 3", LONG_LINGER);
    expect_text(proxy.stream, "last\n");
    expect_eof(proxy.stream);
    CHECK(!sg_shared_get_returncode(proxy.shared, &ignored));
    proxy_close(&proxy);
    proxy = proxy_sh("exec sleep 1000", SHORT_LINGER);
    proxy_close(&proxy);
    signal(SIGCHLD, SIG_DFL);
}

/* ---- The caller closes the stream ------------------------------------- */

static void
close_ends_the_childs_input(void)
{
    struct command command;
    struct proxy proxy;
    int pipe_fd[2];

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    command_sh(&command, "cat >&2; echo end >&2; exit 5");
    command.options.stderr_fd = pipe_fd[1];
    proxy = proxy_start(&command, LONG_LINGER);
    write_all(proxy.stream, "data ", 5);
    sg_sys_close(&proxy.stream);
    expect_text(pipe_fd[0], "data end\n");
    CHECK_EQ(proxy_returncode(&proxy), 5);
    proxy_close(&proxy);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* Write `total` bytes for a child that reads `size` bytes every 20 ms, close
 * the stream at once, and check that everything arrives. */
static void
check_slow_reader(const char *size, size_t total, int64_t linger)
{
    static char sent[300000], heard[300000];
    struct command command;
    struct proxy proxy;
    int pipe_fd[2];

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    CHECK_GE(fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 20), total);
    command_role(&command, "read_slowly", size);
    command.options.stderr_fd = pipe_fd[1];
    proxy = proxy_start(&command, linger);
    pattern_fill(0, sent, total);
    write_all(proxy.stream, sent, total);
    sg_sys_close(&proxy.stream);
    close(pipe_fd[1]);
    CHECK_EQ(read_up_to(pipe_fd[0], heard, total), total);
    CHECK_EQ(memcmp(sent, heard, total), 0);
    CHECK_EQ(proxy_returncode(&proxy), 0);
    proxy_close(&proxy);
    close(pipe_fd[0]);
}

static void
data_in_flight_arrives_after_close(void)
{
    check_slow_reader("65536", 300000, PATIENCE * SG_SEC);
    check_slow_reader("8192", 300000, PATIENCE * SG_SEC);
}

#ifndef SG_PORTABLE
/* The child reads less at a time than makes a pipe writable, and reading
 * everything takes longer than the linger. */
static void
data_in_flight_reaches_a_very_slow_reader(void)
{
    check_slow_reader("600", 70000, SG_SEC);
    check_slow_reader("60", 5000, SG_SEC);
}
#endif

static void
very_slow_reader_gets_more_than_a_pipe_holds(void)
{
    struct command command;
    struct proxy proxy;
    int pipe_fd[2];
    static char data[9000];

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    command_role(&command, "read_slowly", "100");
    command.options.stderr_fd = pipe_fd[1];
    proxy = proxy_start(&command, SG_SEC);
    fill_up(proxy.stream, 50);
    sg_sys_close(&proxy.stream);
    close(pipe_fd[1]);
    CHECK_EQ(read_up_to(pipe_fd[0], data, sizeof(data)), sizeof(data));
    CHECK(pattern_is(0, data, sizeof(data)));
    CHECK_EQ(kill(proxy.pid, SIGKILL), 0);
    proxy_close(&proxy);
    close(pipe_fd[0]);
}

/* To the loop such a close is a connection reset.  Data that was sent before
 * must arrive all the same. */
static void
close_with_unread_output_loses_no_input(void)
{
    static char sent[100000], heard[100000];
    struct command command;
    struct proxy proxy;
    int pipe_fd[2];

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    command_sh(&command, "head -c 100 /dev/zero; exec cat >&2");
    command.options.stderr_fd = pipe_fd[1];
    proxy = proxy_start(&command, LONG_LINGER);
    wait_for(proxy.stream, POLLIN);
    pattern_fill(0, sent, sizeof(sent));
    write_all(proxy.stream, sent, sizeof(sent));
    sg_sys_close(&proxy.stream);
    CHECK_EQ(read_up_to(pipe_fd[0], heard, sizeof(heard)), sizeof(heard));
    CHECK_EQ(memcmp(sent, heard, sizeof(sent)), 0);
    CHECK_EQ(proxy_returncode(&proxy), 0);
    proxy_close(&proxy);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* shutdown(SHUT_RDWR) is a close, though the descriptor stays open. */
static void
shutdown_of_both_directions_is_a_close(void)
{
    struct proxy proxy = proxy_sh("cat; exit 5", LONG_LINGER);

    CHECK_EQ(shutdown(proxy.stream, SHUT_RDWR), 0);
    CHECK_EQ(proxy_returncode(&proxy), 5);
    proxy_close(&proxy);
}

static struct proxy
proxy_with_stderr(const char *script, int stderr_fd)
{
    struct command command;

    command_sh(&command, script);
    command.options.stderr_fd = stderr_fd;
    return proxy_start(&command, 0);
}

/* Each side has shut down its direction, which looks like a close to the loop.
 * While the caller holds the descriptor (sg_shared_hold()) it is none. */
static void
both_directions_shut_is_no_close_while_held(void)
{
    struct proxy proxy;
    int pipe_fd[2], ignored;

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    proxy = proxy_with_stderr(
        "exec >&-; cat >/dev/null; echo eof >&2; exec sleep 1000", pipe_fd[1]);
    sg_shared_hold(proxy.shared);
    expect_eof(proxy.stream);
    CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
    CHECK(wait_for(proxy.stream, POLLHUP) & POLLHUP);
    expect_text(pipe_fd[0], "eof\n");
    loop_round_trip();
    CHECK(!process_is_gone(proxy.process));
    expect_quiet();
    CHECK(!sg_shared_get_returncode(proxy.shared, &ignored));
    sg_shared_let_go(proxy.shared);
    CHECK_EQ(proxy_returncode(&proxy), -SIGHUP);
    proxy_close(&proxy);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* The child closes both its pipes and goes on running. */
static void
child_without_pipes_lives_while_held(void)
{
    struct proxy proxy;

    proxy = proxy_with_stderr("exec sleep 1000 <&- >&-", SG_STDERR_NULL);
    sg_shared_hold(proxy.shared);
    CHECK(wait_for(proxy.stream, POLLHUP) & POLLHUP);
    loop_round_trip();
    CHECK(!process_is_gone(proxy.process));
    CHECK_EQ(kill(proxy.pid, SIGTERM), 0); /* not by the engine */
    CHECK_EQ(proxy_returncode(&proxy), -SIGTERM);
    wait_until(process_at_is_gone, &proxy.process);
    sg_shared_let_go(proxy.shared); /* the task may be over already */
    proxy_close(&proxy);
}

/* Data in flight arrives, however long the child takes. */
static void
both_directions_shut_loses_nothing_while_held(void)
{
    static char sent[100000], heard[100000];
    struct proxy proxy;
    int pipe_fd[2];
    siginfo_t info;

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    proxy = proxy_with_stderr("exec >&-; kill -STOP $$; exec cat >&2",
                              pipe_fd[1]);
    close(pipe_fd[1]);
    sg_shared_hold(proxy.shared);
    expect_eof(proxy.stream);
    CHECK_EQ(waitid(P_PID, (id_t)proxy.pid, &info, WSTOPPED | WNOWAIT), 0);
    pattern_fill(0, sent, sizeof(sent));
    write_all(proxy.stream, sent, sizeof(sent));
    CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
    loop_round_trip();
    CHECK_EQ(kill(proxy.pid, SIGCONT), 0);
    CHECK_EQ(read_up_to(pipe_fd[0], heard, sizeof(heard)), sizeof(heard));
    CHECK_EQ(memcmp(sent, heard, sizeof(sent)), 0);
    CHECK_EQ(proxy_returncode(&proxy), 0);
    sg_shared_let_go(proxy.shared);
    proxy_close(&proxy);
    close(pipe_fd[0]);
}

/* No caller holds the descriptor, as after detach() and dup(), so the loop
 * knows only what the kernel reports, which is a close. */
static void
both_directions_shut_is_a_close_when_not_held(void)
{
    struct proxy proxy = proxy_with_stderr("exec >&-; exec sleep 1000",
                                           SG_STDERR_NULL);

    expect_eof(proxy.stream);
    CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
    CHECK_EQ(proxy_returncode(&proxy), -SIGHUP);
    proxy_close(&proxy);
}

static void
copy_of_the_descriptor_keeps_the_stream_alive(void)
{
    struct proxy proxy = proxy_sh("exec cat", SHORT_LINGER);
    int copy = sg_sys_dup(proxy.stream);

    CHECK_GE(copy, 0);
    sg_sys_close(&proxy.stream);
    write_all(copy, "hello", 5);
    expect_text(copy, "hello");
    close(copy);
    proxy_close(&proxy);
}

/* ---- The engine signals the child ------------------------------------- */

/* Close the stream; check that the child ends by `signal_number` after at
 * least `ms` milliseconds. */
static void
check_end_by_signal(struct proxy *proxy, int signal_number, int ms)
{
    int64_t start = sg_sys_now();

    sg_sys_close(&proxy->stream);
    CHECK_EQ(proxy_returncode(proxy), -signal_number);
    CHECK_GE(sg_sys_now() - start, ms * SG_MSEC);
    proxy_close(proxy);
}

static void
child_that_goes_on_gets_a_hangup(void)
{
    struct proxy proxy = proxy_sh("exec sleep 1000", 100 * SG_MSEC);

    check_end_by_signal(&proxy, SIGHUP, 100);
    proxy = proxy_sh("exec yes", 100 * SG_MSEC); /* output is no progress */
    check_end_by_signal(&proxy, SIGHUP, 100);
    proxy = proxy_sh("exec sleep 1000", 0);
    check_end_by_signal(&proxy, SIGHUP, 0);
}

static void
stubborn_child_is_killed(void)
{
    struct proxy proxy = proxy_role("ignore_hup_and_term", NULL, SHORT_LINGER);

    expect_text(proxy.stream, "stubborn");
    check_end_by_signal(&proxy, SIGKILL, 50 + 2 * 250);
}

/* The child never reads the data in flight. */
static void
stubborn_child_that_does_not_read_is_killed(void)
{
    struct proxy proxy = proxy_role("ignore_hup_and_term", NULL, SHORT_LINGER);

    expect_text(proxy.stream, "stubborn");
    fill_up(proxy.stream, 50);
    check_end_by_signal(&proxy, SIGKILL, 50 + 2 * 250);
}

static void
stopped_child_is_continued_to_end(void)
{
    struct proxy proxy = proxy_sh("exec sleep 1000", SHORT_LINGER);
    siginfo_t info;

    CHECK_EQ(kill(proxy.pid, SIGSTOP), 0);
    CHECK_EQ(waitid(P_PID, (id_t)proxy.pid, &info, WSTOPPED | WNOWAIT), 0);
    check_end_by_signal(&proxy, SIGHUP, 50);
}

/* ---- Grandchildren ---------------------------------------------------- */

/* Read a line with the process id of a grandchild; returns the id. */
static pid_t
read_pid(int fd)
{
    char line[32] = "";
    size_t n = 0;

    while (n == 0 || line[n - 1] != '\n') {
        CHECK_LE(n, sizeof(line) - 2);
        CHECK_EQ(read_up_to(fd, line + n, 1), 1);
        n++;
    }
    return (pid_t)strtol(line, NULL, 10);
}

/* The grandchild goes on in place of the child, and ends with the caller's
 * close. */
static void
grandchild_inherits_the_stream(void)
{
    struct proxy proxy = proxy_sh(
        "exec 3<&0; (exec cat <&3 3<&-) & echo $!; exit 0", LONG_LINGER);
    int grandchild = process_open(read_pid(proxy.stream));

    process_join(proxy.process);
    proxy.process = -1;
    write_all(proxy.stream, "hello", 5);
    expect_text(proxy.stream, "hello");
    expect_quiet();
    proxy_close(&proxy);
    process_join(grandchild);
}

/* As with ControlPersist: a grandchild keeps stdout open for ever and must be
 * left alone. */
static void
grandchild_with_stdout_does_not_hold_up_a_close(void)
{
    struct proxy proxy = proxy_sh("sleep 1000 & echo $!; exit 0", LONG_LINGER);
    pid_t pid = read_pid(proxy.stream);
    int grandchild = process_open(pid);

    proxy_close(&proxy);
    wait_until(no_loop_runs, NULL);
    CHECK(!process_is_gone(grandchild));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    process_join(grandchild);
}

static int
refuse_pidfd(const char *call)
{
    return strcmp(call, "pidfd") == 0 ? -ENOSYS : 0;
}

/* The engine notices the end without a pidfd, and while the caller does not
 * wait for it. */
static void
end_is_noticed_while_a_grandchild_holds_the_pipes(void)
{
    struct proxy proxy;
    siginfo_t info;
    pid_t pid;
    int grandchild;

    active_hook = refuse_pidfd;
    proxy = proxy_sh(
        "exec 3<&0; sleep 1000 <&3 & echo $!; kill -STOP $$; exit 3",
        LONG_LINGER);
    active_hook = NULL;
    pid = read_pid(proxy.stream);
    grandchild = process_open(pid);
    CHECK_EQ(waitid(P_PID, (id_t)proxy.pid, &info, WSTOPPED | WNOWAIT), 0);
    CHECK_EQ(kill(proxy.pid, SIGCONT), 0); /* the child exits */
    CHECK_EQ(proxy_returncode(&proxy), 3);
    CHECK(!process_is_gone(grandchild));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    process_join(grandchild);
    expect_eof(proxy.stream);
    proxy_close(&proxy);
}

/* Returns the nanoseconds until the next check whether the child has ended,
 * right after one. */
static int64_t
next_pause(struct sg_child *child, bool is_urgent)
{
    child->check_at = 0;
    return sg_child_check_at(child, is_urgent) - sg_sys_now();
}

static void
checks_get_rare_while_no_caller_waits(void)
{
    struct sg_child child = {.end.fd = -1};

    for (int i = 0; i < 12; i++) {
        next_pause(&child, false);
    }
    CHECK_GE(next_pause(&child, false), 60 * SG_SEC);
    CHECK_LE(next_pause(&child, true), 1 * SG_MSEC);
    for (int i = 0; i < 12; i++) {
        CHECK_LE(next_pause(&child, true), 100 * SG_MSEC);
    }
    child.end.fd = 3; /* a pidfd wakes the loop */
    CHECK_EQ(sg_child_check_at(&child, true), SG_NEVER);
}

/* The grandchild holds stdin, which is full; data that it never reads is
 * given up. */
static void
grandchild_with_stdin_does_not_hold_up_a_close(void)
{
    struct proxy proxy = proxy_sh(
        "exec 3<&0; sleep 1000 <&3 & echo $!; exit 0", SHORT_LINGER);
    pid_t pid = read_pid(proxy.stream);
    int grandchild = process_open(pid);

    fill_up(proxy.stream, 50);
    proxy_close(&proxy);
    wait_until(no_loop_runs, NULL);
    CHECK(!process_is_gone(grandchild));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    process_join(grandchild);
}

/* stderr is no part of the stream, so a process that holds it does not delay
 * the end. */
static void
grandchild_with_stderr_does_not_hold_up_the_end(void)
{
    struct proxy proxy = proxy_sh("sleep 1000 >/dev/null & echo $!; exit 9",
                                  LONG_LINGER);
    pid_t pid = read_pid(proxy.stream);
    int grandchild = process_open(pid);

    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 9);
    proxy_close(&proxy);
    wait_until(no_loop_runs, NULL);
    CHECK(!process_is_gone(grandchild));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    process_join(grandchild);
}

static void
check_own_session_ends(const char *script, int64_t linger)
{
    struct command command;
    struct proxy proxy;
    int grandchild;

    command_sh(&command, script);
    command.options.new_session = true;
    proxy = proxy_start(&command, linger);
    grandchild = process_open(read_pid(proxy.stream));
    CHECK(!process_is_gone(grandchild));
    proxy_close(&proxy);
    process_join(grandchild);
}

static void
own_session_ends_with_all_its_processes(void)
{
    /* the child ends by itself, by a signal, and before the close */
    check_own_session_ends("sleep 1000 & echo $!; cat", LONG_LINGER);
    check_own_session_ends("sleep 1000 & echo $!; exec sleep 1000",
                           SHORT_LINGER);
    check_own_session_ends("sleep 1000 & echo $!; exit 3", LONG_LINGER);
}

/* The child stays a zombie, so that the number of its process group is not
 * used again.  That costs nothing. */
static void
own_session_reports_its_status_at_once(void)
{
    struct command command;
    struct proxy proxy;

    command_sh(&command, "sleep 1000 >/dev/null 2>&1 & exit 3");
    command.options.new_session = true;
    proxy = proxy_start(&command, LONG_LINGER);
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 3);
    expect_quiet();
    proxy_close(&proxy);
}

int
main(int argc, char **argv)
{
    static const struct role roles[] = {
        {"end_late", end_late},
        {"read_slowly", read_slowly},
        {"ignore_hup_and_term", ignore_hup_and_term},
    };
    static const struct test_case cases[] = {
        CASE(reason_is_known_before_the_end_is_seen),
        CASE(end_waits_for_the_exit_status),
        CASE(death_by_signal_is_a_negative_status),
        CASE(closed_stdout_is_a_clean_end_and_input_goes_on),
        CASE(end_is_clean_although_input_is_unread),
        CASE(exited_child_leaves_no_task),
        CASE(child_reaped_elsewhere_has_a_clean_end),
        CASE(close_ends_the_childs_input),
        CASE(data_in_flight_arrives_after_close),
#ifndef SG_PORTABLE /* the portable twin cannot see how much is unread */
        CASE(data_in_flight_reaches_a_very_slow_reader),
#endif
        CASE(very_slow_reader_gets_more_than_a_pipe_holds),
        CASE(close_with_unread_output_loses_no_input),
        CASE(shutdown_of_both_directions_is_a_close),
        CASE(both_directions_shut_is_no_close_while_held),
        CASE(child_without_pipes_lives_while_held),
        CASE(both_directions_shut_loses_nothing_while_held),
        CASE(both_directions_shut_is_a_close_when_not_held),
        CASE(copy_of_the_descriptor_keeps_the_stream_alive),
        CASE(child_that_goes_on_gets_a_hangup),
        CASE(stubborn_child_is_killed),
        CASE(stubborn_child_that_does_not_read_is_killed),
        CASE(stopped_child_is_continued_to_end),
        CASE(grandchild_inherits_the_stream),
        CASE(grandchild_with_stdout_does_not_hold_up_a_close),
        CASE(end_is_noticed_while_a_grandchild_holds_the_pipes),
        CASE(checks_get_rare_while_no_caller_waits),
        CASE(grandchild_with_stdin_does_not_hold_up_a_close),
        CASE(grandchild_with_stderr_does_not_hold_up_the_end),
        CASE(own_session_ends_with_all_its_processes),
        CASE(own_session_reports_its_status_at_once),
    };

    return run_role_or_cases(roles, COUNT_OF(roles), cases, COUNT_OF(cases),
                             argc, argv);
}
