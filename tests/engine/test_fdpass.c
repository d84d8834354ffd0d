/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests fdpass.c and reply.c: a proxy that passes a socket. The
 * program itself plays the proxy, in the role "pass".
 */
#include "proxy/fdpass.h"

#include <sys/time.h>

#include "lib/proxy.h"

/* ---- Roles ------------------------------------------------------------ */

/* Does what each letter of arguments[0] says: s passes a socket that holds
 * "hello", S passes that socket and several descriptors of /dev/null, n
 * passes /dev/null, b writes bytes only, w waits for the end of stdin, x
 * exits with 3, p pauses for ever. */
static int
pass(char **arguments)
{
    int pair[2], null = open("/dev/null", O_RDWR), many[9];
    char byte;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (const char *what = arguments[0]; *what != '\0'; what++) {
        switch (*what) {
        case 's':
        case 'S':
            CHECK_EQ(write(pair[1], "hello", 5), 5);
            for (size_t i = 0; i < COUNT_OF(many); i++) {
                many[i] = i == 0 ? pair[0] : null;
            }
            send_descriptors(STDOUT_FILENO, many,
                             *what == 's' ? 1 : COUNT_OF(many));
            break;
        case 'n':
            send_descriptors(STDOUT_FILENO, &null, 1);
            break;
        case 'b':
            write_all(STDOUT_FILENO, "SSH-2.0-oops\r\n", 14);
            break;
        case 'w':
            while (read(STDIN_FILENO, &byte, 1) > 0) {
            }
            break;
        case 'x':
            return 3;
        default:
            signal(SIGHUP, SIG_IGN);
            while (pause() < 0) {
            }
        }
    }
    return 0;
}

/* ---- The caller ------------------------------------------------------- */

struct passing {
    struct sg_reply *reply;
    struct sg_shared *shared;
    pid_t pid;
    int process;
    struct sg_error error;
};

static struct passing
start_passing(const char *what, int64_t linger)
{
    struct passing passing = {.error = {.status = SG_OK}};
    struct command command;

    command_role(&command, "pass", what);
    passing.shared = sg_shared_new();
    CHECK_EQ(sg_fdpass_start(&command.options, linger, passing.shared,
                             &passing.reply, &passing.pid, &passing.error),
             SG_OK);
    passing.process = process_open(passing.pid);
    return passing;
}

static int
interrupt(void *count)
{
    return ++*(int *)count == 2 ? -1 : 0;
}

static enum sg_status
wait_for_reply(struct passing *passing)
{
    return sg_reply_wait(passing->reply, sg_deadline_after(PATIENCE * SG_SEC),
                         never_interrupt, NULL, &passing->error);
}

static void
finish(struct passing *passing)
{
    sg_reply_drop(passing->reply);
    process_join(passing->process);
    sg_shared_unref(passing->shared);
}

static void
check_passed(const char *what)
{
    struct passing passing = start_passing(what, LONG_LINGER);
    int fd;

    CHECK_EQ(wait_for_reply(&passing), SG_OK);
    fd = sg_reply_take_fd(passing.reply);
    CHECK_GE(fd, 3);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(sg_reply_take_fd(passing.reply), -1);
    finish(&passing);
    expect_text(fd, "hello");
    sg_sys_close(&fd);
}

static void
check_refused(const char *what, enum sg_status status, int err)
{
    struct passing passing = start_passing(what, SHORT_LINGER);

    CHECK_EQ(wait_for_reply(&passing), status);
    CHECK_EQ(passing.error.err, err);
    CHECK_EQ(sg_reply_take_fd(passing.reply), -1);
    finish(&passing);
}

/* ---- Cases ------------------------------------------------------------ */

static void
socket_is_passed(void)
{
    check_passed("s");
    check_passed("sx");
    check_passed("sw"); /* waits until the engine closes its stdin */
}

static void
first_descriptor_is_taken_and_the_rest_is_closed(void)
{
    check_passed("S");
    check_passed("ss");
    check_passed("sn");
}

static void
child_is_ended_once_it_has_passed_the_socket(void)
{
    struct passing passing = start_passing("sp", SHORT_LINGER);

    CHECK_EQ(wait_for_reply(&passing), SG_OK);
    finish(&passing); /* the socket was not taken */
}

static void
descriptor_that_is_no_socket_is_refused(void)
{
    check_refused("n", SG_ERR_NOT_A_SOCKET, ENOTSOCK);
    check_refused("np", SG_ERR_NOT_A_SOCKET, ENOTSOCK);
}

static void
bytes_without_a_descriptor_are_refused(void)
{
    check_refused("bw", SG_ERR_NO_DESCRIPTOR, EPROTO);
}

static void
exit_without_a_descriptor_has_its_status(void)
{
    for (int i = 0; i < 10; i++) {
        struct passing passing = start_passing("x", LONG_LINGER);
        int returncode = 0;

        CHECK_EQ(wait_for_reply(&passing), SG_ERR_PROXY_EXITED);
        CHECK(sg_shared_get_returncode(passing.shared, &returncode));
        CHECK_EQ(returncode, 3);
        finish(&passing);
    }
}

static void
program_that_cannot_be_started_is_an_error(void)
{
    struct command command;
    struct passing passing = {.error = {.status = SG_OK}};

    command_set(&command, "/nonexistent",
                (const char *const[]){"nonexistent", NULL});
    passing.shared = sg_shared_new();
    CHECK_EQ(sg_fdpass_start(&command.options, SG_SEC, passing.shared,
                             &passing.reply, &passing.pid, &passing.error),
             SG_ERR_EXEC);
    CHECK(passing.reply == NULL);
    sg_reply_drop(passing.reply);
    sg_shared_unref(passing.shared);
}

/* The caller goes away before the reply, after the reply, and without
 * waiting. */
static void
caller_may_go_away_at_any_moment(void)
{
    struct passing passing = start_passing("p", SHORT_LINGER);

    finish(&passing);
    passing = start_passing("w", LONG_LINGER); /* ends at EOF */
    finish(&passing);
    passing = start_passing("s", LONG_LINGER);
    CHECK_EQ(wait_for_reply(&passing), SG_OK);
    finish(&passing);
    passing = start_passing("s", LONG_LINGER);
    finish(&passing);
}

static void
wait_ends_at_the_callers_deadline(void)
{
    struct passing passing = start_passing("p", SHORT_LINGER);
    int64_t begin = sg_sys_now();

    CHECK_EQ(sg_reply_wait(passing.reply, sg_deadline_after(30 * SG_MSEC),
                           never_interrupt, NULL, &passing.error),
             SG_ERR_TIMEOUT);
    CHECK_GE(sg_sys_now() - begin, 30 * SG_MSEC);
    CHECK_EQ(passing.error.err, ETIMEDOUT);
    finish(&passing);
}

static void
do_nothing(int signal_number)
{
    (void)signal_number;
}

/* The second signal interrupts the wait; the first signal does not. */
static void
signals_interrupt_the_wait(void)
{
    struct passing passing = start_passing("p", SHORT_LINGER);
    struct sigaction action = {.sa_handler = do_nothing};
    struct itimerval soon = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
    int count = 0;

    sigaction(SIGVTALRM, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    CHECK_EQ(sg_reply_wait(passing.reply, SG_NEVER, interrupt, &count,
                           &passing.error),
             SG_ERR_INTERRUPTED);
    CHECK_EQ(setitimer(ITIMER_REAL, &off, NULL), 0);
    CHECK_EQ(count, 2);
    arm_case_alarm();
    finish(&passing);
}

static pid_t forked; /* 0 in the child */
static int foreign[20];
static pthread_t asker;

/* An interrupt function that forks, as a signal handler may.  The child opens
 * descriptors, which get the numbers that were the engine's. */
static int
fork_once(void *unused)
{
    (void)unused;
    active_hook = NULL;
    forked = fork();
    CHECK_GE(forked, 0);
    for (size_t i = 0; forked == 0 && i < COUNT_OF(foreign); i++) {
        foreign[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        CHECK_GE(foreign[i], 0);
    }
    return forked == 0 ? 0 : -1;
}

static int
interrupt_poll(const char *call)
{
    return strcmp(call, "poll") == 0 && pthread_equal(pthread_self(), asker)
               ? -EINTR
               : 0;
}

static void
child_of_a_fork_in_the_wait_touches_nothing(void)
{
    struct passing passing;

    asker = pthread_self();
    passing = start_passing("p", SHORT_LINGER);
    active_hook = interrupt_poll;
    CHECK_EQ(sg_reply_wait(passing.reply, sg_deadline_after(PATIENCE * SG_SEC),
                           fork_once, NULL, &passing.error),
             forked == 0 ? SG_ERR_SYSTEM : SG_ERR_INTERRUPTED);
    if (forked == 0) {
        CHECK_EQ(passing.error.err, EBADF);
        CHECK_EQ(sg_reply_take_fd(passing.reply), -1);
        sg_reply_drop(passing.reply);
        for (size_t i = 0; i < COUNT_OF(foreign); i++) {
            CHECK(sg_sys_is_open(foreign[i]));
        }
        leave_process();
    }
    join_process(forked);
    finish(&passing);
}

static void
waiting_costs_nothing(void)
{
    struct passing passing = start_passing("p", SHORT_LINGER);

    expect_quiet();
    finish(&passing);
}

static int64_t
exit_while_waiting(void)
{
    struct passing passing = start_passing("p", LONG_LINGER);
    int64_t begin = sg_sys_now(), took;

    sg_loop_stop_all(sg_deadline_after(SG_SEC));
    took = sg_sys_now() - begin;
    CHECK_EQ(sg_loop_count(), 0);
    CHECK_EQ(wait_for_reply(&passing), SG_ERR_INTERRUPTED);
    finish(&passing);
    return took;
}

static void
exit_in_time_while_a_caller_waits(void)
{
    expect_in_time(exit_while_waiting, SG_SEC + SG_SEC / 2);
}

/* The loop gets two events from one poll: the program's exit, which frees the
 * reply, and the hang-up on that reply's own descriptor. */
static int
wait_at_the_gate(const char *call)
{
    if (strcmp(call, "recv_descriptors") == 0) {
        gate_pass();
        return -EAGAIN;
    }
    return 0;
}

static void
exit_while_the_caller_goes_away(void)
{
    struct passing waiting, passing;

    gate_set(false);
    waiting = start_passing("w", LONG_LINGER);
    active_hook = wait_at_the_gate;
    passing = start_passing("b", LONG_LINGER); /* the loop waits at the gate */
    gate_wait();
    sg_loop_stop_all(sg_deadline_after(0)); /* the loop handles this first */
    sg_reply_drop(waiting.reply);
    active_hook = NULL;
    gate_set(true);
    waiting.reply = NULL;
    finish(&waiting);
    finish(&passing);
}

int
main(int argc, char **argv)
{
    static const struct role roles[] = {{"pass", pass}};
    static const struct test_case cases[] = {
        CASE(socket_is_passed),
        CASE(first_descriptor_is_taken_and_the_rest_is_closed),
        CASE(child_is_ended_once_it_has_passed_the_socket),
        CASE(descriptor_that_is_no_socket_is_refused),
        CASE(bytes_without_a_descriptor_are_refused),
        CASE(exit_without_a_descriptor_has_its_status),
        CASE(program_that_cannot_be_started_is_an_error),
        CASE(caller_may_go_away_at_any_moment),
        CASE(wait_ends_at_the_callers_deadline),
        CASE(signals_interrupt_the_wait),
        CASE(child_of_a_fork_in_the_wait_touches_nothing),
        CASE(waiting_costs_nothing),
        CASE(exit_in_time_while_a_caller_waits),
        CASE(exit_while_the_caller_goes_away),
    };

    return run_role_or_cases(roles, COUNT_OF(roles), cases, COUNT_OF(cases),
                             argc, argv);
}
