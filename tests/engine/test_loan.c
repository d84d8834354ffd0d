/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests loan.c, by which a caller uses a child's pipes without
 * the loop, and how proxy.c goes on after the end of a loan.
 */
#include "engine/loan.h"

#include <fcntl.h>

#include "lib/proxy.h"

#define BIG (8 * 1024 * 1024)

static struct proxy
lending_proxy(const char *script)
{
    struct command command;
    struct proxy proxy;

    command_sh(&command, script);
    command.options.lends = true;
    proxy = proxy_start(&command, LONG_LINGER);
    return proxy; /* a quick child may have ended the loan */
}

static sg_deadline
soon(void)
{
    return sg_deadline_after(PATIENCE * SG_SEC);
}

/* Write as the Python types do: by the loan while it lasts, then to the
 * stream.  Returns the bytes taken, or -1 with errno. */
static ssize_t
give(struct proxy *proxy, const char *data, size_t n)
{
    struct sg_loan *loan = sg_shared_loan(proxy->shared);
    ssize_t taken;

    while ((taken = sg_loan_write(loan, data, n)) == -EAGAIN) {
        CHECK_EQ(sg_loan_wait(loan, true, soon()), 1);
    }
    return taken != SG_LOAN_OVER ? taken
                                 : send(proxy->stream, data, n, MSG_NOSIGNAL);
}

/* Read in the same way.  Returns the bytes read, or 0 at the end. */
static ssize_t
take(struct proxy *proxy, char *to, size_t n)
{
    struct sg_loan *loan = sg_shared_loan(proxy->shared);
    ssize_t got;

    while ((got = sg_loan_read(loan, to, n)) == -EAGAIN) {
        CHECK_EQ(sg_loan_wait(loan, false, soon()), 1);
    }
    if (got == SG_LOAN_OVER) {
        wait_for(proxy->stream, POLLIN);
        got = recv(proxy->stream, to, n, 0);
    }
    return got;
}

static void
give_all(struct proxy *proxy, size_t position, size_t n)
{
    char data[65536];

    while (n > 0) {
        size_t piece = n < sizeof(data) ? n : sizeof(data);
        ssize_t taken;

        pattern_fill(position, data, piece);
        taken = give(proxy, data, piece);
        CHECK_GE(taken, 1);
        position += (size_t)taken;
        n -= (size_t)taken;
    }
}

static void
take_all(struct proxy *proxy, size_t position, size_t n)
{
    static char data[65536], wanted[65536];

    while (n > 0) {
        ssize_t got = take(proxy, data, n < sizeof(data) ? n : sizeof(data));

        CHECK_GE(got, 1);
        pattern_fill(position, wanted, (size_t)got);
        CHECK_EQ(memcmp(data, wanted, (size_t)got), 0);
        position += (size_t)got;
        n -= (size_t)got;
    }
}

/* ---- While a loan lasts ----------------------------------------------- */

static int
count_waits(const char *call)
{
    calls_made += strcmp(call, "epoll_wait") == 0;
    return 0;
}

static void
bytes_on_loan_wake_no_loop(void)
{
    struct proxy proxy = lending_proxy("exec cat");

    give_all(&proxy, 0, 10);
    take_all(&proxy, 0, 10);
    loop_round_trip();
    calls_made = 0;
    active_hook = count_waits;
    for (size_t i = 1; i <= 100; i++) {
        give_all(&proxy, 10 * i, 10);
        take_all(&proxy, 10 * i, 10);
    }
    active_hook = NULL;
    CHECK_LE(calls_made, 10); /* the end of loop_round_trip()'s proxy */
    CHECK(sg_loan_lasts(sg_shared_loan(proxy.shared)));
    proxy_close(&proxy);
}

static void
idle_loan_costs_nothing(void)
{
    struct proxy proxy = lending_proxy("echo words >&2; exec cat");

    give_all(&proxy, 0, 1);
    loop_round_trip();
    expect_quiet();
    proxy_close(&proxy);
}

static void
wait_ends_at_the_deadline(void)
{
    struct proxy proxy = lending_proxy("exec sleep 1000");
    struct sg_loan *loan = sg_shared_loan(proxy.shared);
    static char data[65536];

    CHECK_EQ(sg_loan_wait(loan, false, sg_sys_now()), 0);
    while (sg_loan_write(loan, data, sizeof(data)) > 0) {
    }
    CHECK_EQ(sg_loan_wait(loan, true, sg_sys_now()), 0);
    kill(proxy.pid, SIGKILL);
    proxy_close(&proxy);
}

/* ---- The end of a loan ------------------------------------------------ */

static void
bytes_stay_in_order_when_the_loan_ends(void)
{
    struct proxy proxy = lending_proxy("exec cat");

    give_all(&proxy, 0, 60000);
    take_all(&proxy, 0, 1000);
    sg_loan_end(sg_shared_loan(proxy.shared));
    give_all(&proxy, 60000, 60000);
    take_all(&proxy, 1000, 119000);
    shutdown(proxy.stream, SHUT_WR);
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 0);
    proxy_close(&proxy);
}

static void
end_of_output_ends_the_loan_and_has_its_reason(void)
{
    struct proxy proxy = lending_proxy("printf 0; exit 3");
    char byte;

    CHECK_EQ(take(&proxy, &byte, 1), 1);
    CHECK_EQ(byte, '0');
    CHECK_EQ(take(&proxy, &byte, 1), 0);
    CHECK_EQ(proxy_returncode(&proxy), 3);
    CHECK(!sg_loan_lasts(sg_shared_loan(proxy.shared)));
    proxy_close(&proxy);
}

static bool
is_over(void *proxy)
{
    return !sg_loan_lasts(sg_shared_loan(((struct proxy *)proxy)->shared));
}

/* The caller does nothing here. */
static void
loan_ends_when_the_child_closes_a_pipe(void)
{
    static const char *const scripts[] = {
        "exec <&-; exec sleep 1000", "exec >&-; exec sleep 1000", "exit 0"};

    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        struct proxy proxy = lending_proxy(scripts[i]);

        wait_until(is_over, &proxy);
        kill(proxy.pid, SIGKILL);
        proxy_close(&proxy);
    }
}

/* The engine knows that the pipe has no reader before the caller writes. */
static void
write_to_a_dead_child_is_refused(void)
{
    struct proxy proxy = lending_proxy("printf x; exit 3");
    char byte;

    CHECK_EQ(take(&proxy, &byte, 1), 1);
    CHECK_EQ(proxy_returncode(&proxy), 3);
    loop_round_trip();
    CHECK_EQ(give(&proxy, "x", 1), -1);
    CHECK_EQ(errno, EPIPE);
    proxy_close(&proxy);
}

static void
bytes_written_on_loan_arrive_after_close(void)
{
    struct proxy proxy = lending_proxy("sleep 0.1; cat >&2");
    size_t n;
    char *tail;

    give_all(&proxy, 0, 1000);
    sg_sys_close(&proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 0);
    tail = sg_shared_get_stderr(proxy.shared, &n);
    CHECK_EQ(n, 1000);
    free(tail);
    proxy_close(&proxy);
}

/* ---- Threads ---------------------------------------------------------- */

static void *
give_big(void *proxy)
{
    give_all(proxy, 0, BIG);
    return NULL;
}

static void *
take_big(void *proxy)
{
    take_all(proxy, 0, BIG);
    return NULL;
}

static void
threads_go_on_with_the_stream(void)
{
    struct proxy proxy = lending_proxy("exec cat");
    pthread_t giver, taker;

    CHECK_EQ(pthread_create(&giver, NULL, give_big, &proxy), 0);
    CHECK_EQ(pthread_create(&taker, NULL, take_big, &proxy), 0);
    poll(NULL, 0, 3); /* the threads may be anywhere by then */
    sg_loan_end(sg_shared_loan(proxy.shared));
    pthread_join(giver, NULL);
    pthread_join(taker, NULL);
    proxy_close(&proxy);
}

struct waiter {
    struct sg_loan *loan;
    bool writing;
    int result;
};

static void *
wait_for_ever(void *arg)
{
    struct waiter *waiter = arg;

    waiter->result = sg_loan_wait(waiter->loan, waiter->writing, SG_NEVER);
    return NULL;
}

static void
end_of_the_loan_wakes_waiting_threads(void)
{
    static char data[65536];
    struct proxy proxy = lending_proxy("exec sleep 1000");
    struct sg_loan *loan = sg_shared_loan(proxy.shared);
    struct waiter waiters[4] = {
        {loan, false, 0}, {loan, true, 0}, {loan, true, 0}, {loan, false, 0}};
    pthread_t threads[COUNT_OF(waiters)];

    while (sg_loan_write(loan, data, sizeof(data)) > 0) {
    }
    for (size_t i = 0; i < COUNT_OF(waiters); i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_for_ever, &waiters[i]),
                 0);
    }
    loop_round_trip(); /* the threads most likely wait by now */
    sg_loan_end(loan);
    for (size_t i = 0; i < COUNT_OF(waiters); i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQ(waiters[i].result, 1);
    }
    CHECK_EQ(loan->bell.reader, -1); /* the bell is gone with the loan */
    kill(proxy.pid, SIGKILL);
    proxy_close(&proxy);
}

/* Otherwise poll(2) would report the closed descriptor at once, again and
 * again. */
static void
loan_ends_when_its_bell_is_closed(void)
{
    struct proxy proxy = lending_proxy("exec sleep 1000");
    struct sg_loan *loan = sg_shared_loan(proxy.shared);

    CHECK_EQ(sg_loan_wait(loan, false, sg_sys_now()), 0);
    CHECK_EQ(close(loan->bell.reader), 0);
    CHECK_EQ(sg_loan_wait(loan, false, soon()), 1);
    CHECK(!sg_loan_lasts(loan));
    kill(proxy.pid, SIGKILL);
    proxy_close(&proxy);
}

static void *
write_until_refused(void *arg)
{
    struct proxy *proxy = arg;
    static char data[65536];

    while (give(proxy, data, sizeof(data)) > 0) {
    }
    return NULL;
}

/* The waiting thread goes on with the stream, which refuses its data. */
static void
half_close_reaches_the_child_while_a_thread_waits_for_room(void)
{
    struct proxy proxy = lending_proxy("sleep 0.2; exec cat >/dev/null");
    pthread_t waiter;

    CHECK_EQ(pthread_create(&waiter, NULL, write_until_refused, &proxy), 0);
    loop_round_trip();
    sg_loan_end(sg_shared_loan(proxy.shared));
    shutdown(proxy.stream, SHUT_WR);
    pthread_join(waiter, NULL);
    CHECK_EQ(proxy_returncode(&proxy), 0); /* cat saw the end */
    proxy_close(&proxy);
}

static _Thread_local bool is_slow;

/* Stands for a write(2) that takes long, because its buffer must be read from
 * a disk. */
static int
hold_up_the_slow_thread(const char *call)
{
    if (is_slow && strcmp(call, "write") == 0) {
        gate_pass();
    }
    return 0;
}

static void *
give_slowly(void *proxy)
{
    is_slow = true;
    give_all(proxy, 0, 100);
    return NULL;
}

static void
slow_write_stalls_no_thread_and_is_not_overtaken(void)
{
    struct proxy proxy = lending_proxy("exec cat");
    struct pollfd arrived = {.fd = proxy.stream, .events = POLLIN};
    pthread_t giver;

    gate_set(false);
    active_hook = hold_up_the_slow_thread;
    CHECK_EQ(pthread_create(&giver, NULL, give_slowly, &proxy), 0);
    gate_wait();
    sg_loan_end(sg_shared_loan(proxy.shared));
    give_all(&proxy, 100, 100);
    loop_round_trip();
    CHECK_EQ(poll(&arrived, 1, 0), 0);
    gate_set(true);
    pthread_join(giver, NULL);
    active_hook = NULL;
    take_all(&proxy, 0, 200);
    proxy_close(&proxy);
}

/* ---- Large pipes ------------------------------------------------------ */

#define MANY 17 /* loans, of two pipes each */

#ifndef SG_PORTABLE /* pipes do not grow there */

static int
size_of(const struct sg_lent *lent)
{
    return fcntl(lent->fd, F_GETPIPE_SZ);
}

static void
number_of_large_pipes_is_bounded(void)
{
    struct sg_loan loans[MANY] = {0};
    int far[MANY][2];

    for (int i = 0; i < MANY; i++) {
        int in[2], out[2];

        CHECK_EQ(sg_sys_pipe(in), 0);
        CHECK_EQ(sg_sys_pipe(out), 0);
        sg_loan_init(&loans[i]);
        sg_loan_begin(&loans[i], in[1], out[0], false);
        far[i][0] = in[0];
        far[i][1] = out[1];
        CHECK_EQ(sg_loan_grow(&loans[i].in, SG_GROWN_IN), i != MANY - 1);
        CHECK(!sg_loan_grow(&loans[i].in, SG_GROWN_IN));
        CHECK_EQ(sg_loan_grow(&loans[i].out, SG_GROWN_OUT), i != MANY - 1);
    }
    for (int i = 0; i < MANY; i++) {
        bool is_last = i == MANY - 1;

        CHECK_EQ(size_of(&loans[i].in), is_last ? SG_PIPE_SIZE : SG_GROWN_IN);
        CHECK_EQ(size_of(&loans[i].out),
                 is_last ? SG_PIPE_SIZE : SG_GROWN_OUT);
    }
    sg_loan_pipes_closed(&loans[0]);
    CHECK(sg_loan_grow(&loans[MANY - 1].in, SG_GROWN_IN));
    CHECK(sg_loan_grow(&loans[MANY - 1].out, SG_GROWN_OUT));
    for (int i = 0; i < MANY; i++) {
        if (i != 0) {
            sg_loan_pipes_closed(&loans[i]);
        }
        sg_loan_destroy(&loans[i]);
        sg_sys_close(&loans[i].in.fd);
        sg_sys_close(&loans[i].out.fd);
        sg_sys_close(&far[i][0]);
        sg_sys_close(&far[i][1]);
    }
}

#endif

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(bytes_on_loan_wake_no_loop),
        CASE(idle_loan_costs_nothing),
        CASE(wait_ends_at_the_deadline),
        CASE(bytes_stay_in_order_when_the_loan_ends),
        CASE(end_of_output_ends_the_loan_and_has_its_reason),
        CASE(loan_ends_when_the_child_closes_a_pipe),
        CASE(write_to_a_dead_child_is_refused),
        CASE(bytes_written_on_loan_arrive_after_close),
        CASE(threads_go_on_with_the_stream),
        CASE(end_of_the_loan_wakes_waiting_threads),
        CASE(loan_ends_when_its_bell_is_closed),
        CASE(half_close_reaches_the_child_while_a_thread_waits_for_room),
        CASE(slow_write_stalls_no_thread_and_is_not_overtaken),
#ifndef SG_PORTABLE
        CASE(number_of_large_pipes_is_bounded),
#endif
    };

    return run_role_or_cases(NULL, 0, cases, COUNT_OF(cases), argc, argv);
}
