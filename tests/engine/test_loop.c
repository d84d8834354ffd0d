/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests the life of loops: threads that start and end them, the
 * exit of the program, a poller that fails, and fork().
 */
#include "engine/loop.h"

#include <sys/syscall.h>

#include "lib/proxy.h"

#define THREADS 8

static pthread_t tester;

/* ---- Threads ---------------------------------------------------------- */

static void
run_threads(void *(*body)(void *))
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, body, (void *)i), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

static void *
hold_and_release(void *unused)
{
    for (int i = 0; i < 200; i++) {
        struct sg_error error = {.status = SG_OK};
        struct sg_loop *loop = sg_loop_hold(&error);

        CHECK(loop != NULL);
        CHECK_GE(sg_loop_count(), 1);
        sg_loop_release(loop);
    }
    return unused;
}

static void
loop_starts_and_ends_on_demand(void)
{
    struct sg_loop *first = sg_loop_hold(NULL), *second = sg_loop_hold(NULL);

    CHECK(first != NULL);
    CHECK(first == second);
    CHECK_EQ(sg_loop_count(), 1);
    sg_loop_release(first);
    CHECK_EQ(sg_loop_count(), 1);
    sg_loop_release(second);
    wait_until(no_loop_runs, NULL);
    CHECK_EQ(sg_sys_owned(), 0);
}

static void
many_threads_may_hold_and_release_the_loop(void)
{
    run_threads(hold_and_release);
}

static void *
start_use_and_end(void *number)
{
    for (int i = 0; i < 10; i++) {
        struct proxy proxy;

        switch (((uintptr_t)number + (uintptr_t)i) % 4) {
        case 0:
            proxy = proxy_sh("exec cat", LONG_LINGER);
            write_all(proxy.stream, "hello", 5);
            expect_text(proxy.stream, "hello");
            break;
        case 1:
            proxy = proxy_sh("echo last; exit 3", LONG_LINGER);
            expect_text(proxy.stream, "last\n");
            expect_eof(proxy.stream);
            CHECK_EQ(proxy_returncode(&proxy), 3);
            break;
        case 2:
            proxy = proxy_sh("exec sleep 1000", SHORT_LINGER);
            break;
        default:
            proxy = proxy_sh("exec cat", LONG_LINGER);
            break;
        }
        proxy_close(&proxy);
    }
    return NULL;
}

static void
many_threads_may_run_proxies(void)
{
    run_threads(start_use_and_end);
}

/* ---- The exit of the program ------------------------------------------ */

static int64_t
stopping_nothing(void)
{
    int64_t start = sg_sys_now();

    sg_loop_stop_all(sg_deadline_after(10 * SG_SEC));
    return sg_sys_now() - start;
}

static void
stop_without_a_loop_returns_at_once(void)
{
    expect_in_time(stopping_nothing, SG_SEC);
}

static void
stop_lets_data_in_flight_go_first(void)
{
    struct command command;
    struct proxy proxy;
    int pipe_fd[2];

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    command_sh(&command, "cat >&2; exit 5");
    command.options.stderr_fd = pipe_fd[1];
    proxy = proxy_start(&command, LONG_LINGER);
    write_all(proxy.stream, "data", 4);
    sg_loop_stop_all(sg_deadline_after(PATIENCE * SG_SEC));
    CHECK_EQ(sg_loop_count(), 0);
    expect_text(pipe_fd[0], "data");
    CHECK_EQ(proxy_returncode(&proxy), 5);
    expect_eof(proxy.stream);
    proxy_close(&proxy);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static int64_t
stopping_stubborn_children(void)
{
    struct proxy proxies[5];
    int64_t start, took;

    for (size_t i = 0; i < COUNT_OF(proxies); i++) {
        proxies[i] = proxy_role("ignore_hup_and_term", NULL, LONG_LINGER);
        expect_text(proxies[i].stream, "stubborn");
    }
    sg_sys_close(&proxies[0].stream); /* the child lingers already */
    fill_up(proxies[1].stream, 20);
    start = sg_sys_now();
    sg_loop_stop_all(sg_deadline_after(SG_SEC));
    took = sg_sys_now() - start;
    CHECK_EQ(sg_loop_count(), 0);
    for (size_t i = 0; i < COUNT_OF(proxies); i++) {
        CHECK_EQ(proxy_returncode(&proxies[i]), -SIGKILL);
        proxy_close(&proxies[i]);
    }
    return took;
}

/* All children together are ended within one bound. */
static void
stubborn_children_are_stopped_in_time(void)
{
    expect_in_time(stopping_stubborn_children, SG_SEC + SG_SEC / 4);
}

static int64_t
stopping_what_is_held(void)
{
    struct sg_loop *loop = sg_loop_hold(NULL);
    int64_t start = sg_sys_now(), took;

    sg_loop_stop_all(sg_deadline_after(50 * SG_MSEC));
    took = sg_sys_now() - start;
    CHECK_GE(took, 50 * SG_MSEC);
    CHECK_EQ(sg_loop_count(), 1);
    sg_loop_release(loop);
    wait_until(no_loop_runs, NULL);
    return took;
}

static void
stop_returns_in_time_while_the_loop_is_held(void)
{
    expect_in_time(stopping_what_is_held, SG_SEC);
}

static void *
stop_again_and_again(void *number)
{
    if (number == NULL) {
        for (int i = 0; i < 20; i++) {
            sg_loop_stop_all(sg_deadline_after(50 * SG_MSEC));
        }
        return NULL;
    }
    for (int i = 0; i < 5; i++) {
        struct proxy proxy = proxy_sh("exec cat", LONG_LINGER);

        proxy_close(&proxy);
    }
    return NULL;
}

static void
stop_while_threads_start_proxies(void)
{
    run_threads(stop_again_and_again);
}

/* ---- When the poller fails -------------------------------------------- */

static atomic_int polls;

static int
fail_to_wait(const char *call)
{
    if ((strcmp(call, "epoll_wait") != 0 && strcmp(call, "poll") != 0)
        || pthread_equal(pthread_self(), tester)) {
        return 0;
    }
    polls++;
    return -ENOMEM;
}

static bool
has_failed_five_times(void *unused)
{
    (void)unused;
    return polls >= 5;
}

/* The loop tries again, after a pause. */
static void
loop_does_not_spin_when_its_poller_fails(void)
{
    struct proxy proxy = proxy_sh("exec cat", LONG_LINGER);
    int64_t start;

    tester = pthread_self();
    start = sg_sys_now();
    active_hook = fail_to_wait;
    write_all(proxy.stream, "hello", 5); /* wakes the loop */
    wait_until(has_failed_five_times, NULL);
    CHECK_GE(sg_sys_now() - start, 4 * 10 * SG_MSEC);
    active_hook = NULL;
    expect_text(proxy.stream, "hello");
    expect_quiet();
    proxy_close(&proxy);
}

/* ---- Turns ------------------------------------------------------------ */

static struct sg_task leader, follower;
static atomic_int polls_before[2], ended;

static int
count_polls(const char *call)
{
    if ((strcmp(call, "epoll_wait") == 0 || strcmp(call, "poll") == 0)
        && !pthread_equal(pthread_self(), tester)) {
        polls++;
    }
    return 0;
}

static void
turn_of_leader(struct sg_task *task)
{
    polls_before[0] = polls;
    sg_loop_run_again(&follower);
    sg_loop_over(task);
}

/* The follower's first turn comes with its arrival; the leader makes it due
 * for another. */
static void
turn_of_follower(struct sg_task *task)
{
    if (polls_before[0] != 0) {
        polls_before[1] = polls;
        sg_loop_over(task);
    }
}

static void
stop_nothing(struct sg_task *task, sg_deadline by)
{
    (void)task;
    (void)by;
}

static void
note_end(struct sg_task *task)
{
    (void)task;
    ended++;
}

static bool
both_have_ended(void *unused)
{
    (void)unused;
    return ended == 2;
}

static void
task_made_due_in_a_turn_runs_before_the_next_poll(void)
{
    static const struct sg_task_kind kinds[] = {
        {"leader", turn_of_leader, stop_nothing, note_end},
        {"follower", turn_of_follower, stop_nothing, note_end},
    };
    struct sg_loop *loop = sg_loop_hold(NULL);

    tester = pthread_self();
    polls = 1;
    active_hook = count_polls;
    CHECK(sg_loop_hold(NULL) == loop);
    leader.kind = &kinds[0];
    follower.kind = &kinds[1];
    sg_loop_adopt(loop, &follower);
    sg_loop_adopt(loop, &leader);
    wait_until(both_have_ended, NULL);
    active_hook = NULL;
    CHECK_EQ(polls_before[1], polls_before[0]);
    wait_until(no_loop_runs, NULL);
}

#ifndef SG_PORTABLE
/* Returns the descriptor that /proc shows under this name, or -1. */
static int
find_descriptor(const char *name)
{
    for (int fd = 3; fd < 200; fd++) {
        char path[64], target[64] = "";

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target) - 1) > 0
            && strcmp(target, name) == 0) {
            return fd;
        }
    }
    return -1;
}

/* Open all descriptor numbers that are free below `number`; returns how many.
 */
static int
fill_below(int number, int *taken)
{
    int n = 0;

    while ((taken[n] = dup(messages_fd)) < number) {
        CHECK_GE(taken[n], 0);
        CHECK_LE(++n, 99);
    }
    close(taken[n]);
    return n;
}

/* The program closes descriptors of the engine by mistake: the poller's,
 * whose number then gets another owner, and the one that /proc shows as
 * `name`, if there is one.  That one's number is then the lowest free number,
 * so the next poller gets it.  This calls syscall(2), because ThreadSanitizer
 * reports such a close(2). */
static void
check_loss_of_poller_and(const char *name)
{
    struct proxy proxy = proxy_sh("cat; exit 3", LONG_LINGER), late;
    int lost, number, taken[100], n;

    write_all(proxy.stream, "hello", 5);
    expect_text(proxy.stream, "hello");
    lost = find_descriptor("anon_inode:[eventpoll]");
    CHECK_EQ(syscall(SYS_close, lost), 0);
    /* The number has another owner now. */
    CHECK_EQ(syscall(SYS_dup3, messages_fd, lost, 0), lost);
    number = find_descriptor(name);
    n = fill_below(number, taken);
    if (number >= 0) {
        CHECK_EQ(syscall(SYS_close, number), 0);
    }
    write_all(proxy.stream, "hello", 5);
    expect_text(proxy.stream, "hello");
    CHECK(sg_sys_is_open(lost));
    CHECK_EQ(syscall(SYS_close, lost), 0);
    while (n > 0) {
        close(taken[--n]);
    }
    late = proxy_sh("exec cat", LONG_LINGER); /* wakes the loop */
    write_all(late.stream, "late", 4);
    expect_text(late.stream, "late");
    expect_quiet();
    CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 3);
    proxy_close(&proxy);
    proxy_close(&late);
}

static void
closed_poller_is_replaced(void)
{
    check_loss_of_poller_and("nothing else");
    check_loss_of_poller_and("anon_inode:[eventfd]");
}
#endif

/* ---- Fork ------------------------------------------------------------- */

/* In the child of a fork: check that no descriptor of the parent's engine is
 * open, and that the engine works as in a new process. */
static void
check_child_of_fork(int descriptors)
{
    struct proxy proxy;

    alarm(CASE_LIMIT);
    CHECK_EQ(sg_sys_owned(), 0);
    CHECK_EQ(sg_loop_count(), 0);
    CHECK_LE(count_descriptors(), descriptors);
    proxy = proxy_sh("cat; exit 3", LONG_LINGER);
    write_all(proxy.stream, "hello", 5);
    expect_text(proxy.stream, "hello");
    CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 3);
    proxy_close(&proxy);
    wait_until(no_loop_runs, NULL);
    CHECK_EQ(sg_sys_owned(), 0);
}

static void
child_of_fork_has_its_own_engine(void)
{
    int descriptors = count_descriptors();
    struct proxy proxy = proxy_sh("exec cat", LONG_LINGER);
    pid_t pid;

    write_all(proxy.stream, "hello", 5);
    wait_for(proxy.stream, POLLIN);
    pid = fork();
    if (pid == 0) {
        CHECK(fcntl(proxy.stream, F_GETFD) < 0);
        close(proxy.process);
        check_child_of_fork(descriptors);
        leave_process();
    }
    join_process(pid);
    expect_text(proxy.stream, "hello"); /* the child did not take it */
    proxy_close(&proxy);
}

static void
child_of_fork_works_if_the_parent_had_no_loop(void)
{
    int descriptors = count_descriptors();
    pid_t pid = fork();

    if (pid == 0) {
        check_child_of_fork(descriptors);
        leave_process();
    }
    join_process(pid);
}

static atomic_int is_forking;

/* Descriptors of the test would disturb the count of descriptors, so this
 * opens no pidfd and waits for the end of the stream. */
static void *
start_and_end_proxies(void *unused)
{
    while (is_forking) {
        struct proxy proxy = {.stream = -1};
        struct command command;

        command_sh(&command, "exit 3");
        proxy.shared = sg_shared_new();
        CHECK_EQ(sg_proxy_start(&command.options, LONG_LINGER, proxy.shared,
                                &proxy.stream, &proxy.pid, NULL),
                 SG_OK);
        expect_eof(proxy.stream);
        sg_sys_close(&proxy.stream);
        sg_shared_unref(proxy.shared);
    }
    return unused;
}

/* The number of descriptors before any thread ran; the child of a fork must
 * not have more. */
static int descriptors_at_start;

static void *
fork_or_be_busy(void *number)
{
    if (number != NULL) {
        return start_and_end_proxies(NULL);
    }
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            CHECK_EQ(sg_sys_owned(), 0);
#ifndef __SANITIZE_ADDRESS__ /* its allocator may stay locked in the child */
            check_child_of_fork(descriptors_at_start);
#endif
            leave_process();
        }
        join_process(pid);
    }
    is_forking = 0;
    return NULL;
}

static void
fork_while_threads_start_and_end_proxies(void)
{
    descriptors_at_start = count_descriptors();
    is_forking = 1;
    run_threads(fork_or_be_busy);
}

int
main(int argc, char **argv)
{
    static const struct role roles[] = {
        {"ignore_hup_and_term", ignore_hup_and_term},
    };
    static const struct test_case cases[] = {
        CASE(loop_starts_and_ends_on_demand),
        CASE(many_threads_may_hold_and_release_the_loop),
        CASE(many_threads_may_run_proxies),
        CASE(stop_without_a_loop_returns_at_once),
        CASE(stop_lets_data_in_flight_go_first),
        CASE(stubborn_children_are_stopped_in_time),
        CASE(stop_returns_in_time_while_the_loop_is_held),
        CASE(stop_while_threads_start_proxies),
        CASE(loop_does_not_spin_when_its_poller_fails),
        CASE(task_made_due_in_a_turn_runs_before_the_next_poll),
#ifndef SG_PORTABLE
        CASE(closed_poller_is_replaced),
#endif
        CASE(child_of_fork_works_if_the_parent_had_no_loop),
        CASE(child_of_fork_has_its_own_engine),
        CASE(fork_while_threads_start_and_end_proxies),
    };

    return run_role_or_cases(roles, COUNT_OF(roles), cases, COUNT_OF(cases),
                             argc, argv);
}
