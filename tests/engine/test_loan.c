/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A child's pipes, lent to the caller: loan.c, and what proxy.c makes of the
 * end of a loan.
 */
#include "loan.h"

#include "peers.h"

#define BIG (8 * 1024 * 1024)

static struct proxy
lent_sh(const char *script)
{
    struct command command;
    struct proxy proxy;

    command_sh(&command, script);
    command.options.lends = true;
    proxy = proxy_start(&command, LONG_LINGER);
    CHECK(sg_loan_lasts(sg_report_loan(proxy.report), NULL, NULL));
    return proxy;
}

static sg_deadline
soon(void)
{
    return sg_deadline_after(PATIENCE * SG_SEC);
}

/* As the glue does it: by the loan while it lasts, then by the stream. */
static ssize_t
give(struct proxy *proxy, const char *data, size_t n)
{
    struct sg_loan *loan = sg_report_loan(proxy->report);
    ssize_t taken;

    while ((taken = sg_loan_write(loan, data, n)) == -EAGAIN) {
        CHECK_EQ(sg_loan_wait(loan, true, proxy->stream, soon()), 1);
    }
    return taken != SG_LOAN_OVER ? taken
                                 : send(proxy->stream, data, n, MSG_NOSIGNAL);
}

static ssize_t
take(struct proxy *proxy, char *to, size_t n)
{
    struct sg_loan *loan = sg_report_loan(proxy->report);
    ssize_t got;

    while ((got = sg_loan_read(loan, to, n)) == -EAGAIN) {
        CHECK_EQ(sg_loan_wait(loan, false, proxy->stream, soon()), 1);
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
    static char data[65536];

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

/* ---- While it lasts --------------------------------------------------- */

static int
count_waits(const char *call)
{
    calls_made += strcmp(call, "epoll_wait") == 0;
    return 0;
}

static void
bytes_wake_no_loop(void)
{
    struct proxy proxy = lent_sh("exec cat");

    give_all(&proxy, 0, 10);
    take_all(&proxy, 0, 10);
    let_the_loop_go_round();
    calls_made = 0;
    active_hook = count_waits;
    for (size_t i = 1; i <= 100; i++) {
        give_all(&proxy, 10 * i, 10);
        take_all(&proxy, 10 * i, 10);
    }
    active_hook = NULL;
    CHECK_LE(calls_made, 10); /* the other proxy's end */
    CHECK(sg_loan_lasts(sg_report_loan(proxy.report), NULL, NULL));
    proxy_close(&proxy);
}

static void
idle_costs_nothing(void)
{
    struct proxy proxy = lent_sh("echo words >&2; exec cat");

    give_all(&proxy, 0, 1);
    let_the_loop_go_round();
    expect_quiet();
    proxy_close(&proxy);
}

static void
wait_ends_at_the_deadline(void)
{
    struct proxy proxy = lent_sh("exec sleep 1000");
    struct sg_loan *loan = sg_report_loan(proxy.report);
    static char data[65536];

    CHECK_EQ(sg_loan_wait(loan, false, proxy.stream, sg_sys_now()), 0);
    while (sg_loan_write(loan, data, sizeof(data)) > 0) {
    }
    CHECK_EQ(sg_loan_wait(loan, true, proxy.stream, sg_sys_now()), 0);
    kill(proxy.pid, SIGKILL);
    proxy_close(&proxy);
}

/* ---- Its end ---------------------------------------------------------- */

static void
no_byte_overtakes_another(void)
{
    struct proxy proxy = lent_sh("exec cat");

    give_all(&proxy, 0, 60000);
    take_all(&proxy, 0, 1000);
    sg_loan_end(sg_report_loan(proxy.report));
    give_all(&proxy, 60000, 60000);
    take_all(&proxy, 1000, 119000);
    shutdown(proxy.stream, SHUT_WR);
    expect_end(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 0);
    proxy_close(&proxy);
}

static void
end_of_output_ends_it_and_is_told_with_its_reason(void)
{
    struct proxy proxy = lent_sh("printf 0; exit 3");
    char byte;

    CHECK_EQ(take(&proxy, &byte, 1), 1);
    CHECK_EQ(byte, '0');
    CHECK_EQ(take(&proxy, &byte, 1), 0);
    CHECK_EQ(proxy_returncode(&proxy), 3);
    CHECK(!sg_loan_lasts(sg_report_loan(proxy.report), NULL, NULL));
    proxy_close(&proxy);
}

static void
no_signal_comes_of_a_closed_pipe(void)
{
    struct proxy proxy = lent_sh("exec <&-; printf x; exec sleep 1000");
    void (*before)(int) = signal(SIGPIPE, SIG_DFL);
    sigset_t pending;
    char byte;

    CHECK_EQ(take(&proxy, &byte, 1), 1);
    CHECK_EQ(sg_loan_write(sg_report_loan(proxy.report), "x", 1),
             SG_LOAN_OVER);
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGPIPE));
    signal(SIGPIPE, before);
    kill(proxy.pid, SIGKILL);
    proxy_close(&proxy);
}

static void
what_was_written_arrives_after_close(void)
{
    struct proxy proxy = lent_sh("sleep 0.1; cat >&2");
    size_t n;
    char *tail;

    give_all(&proxy, 0, 1000);
    sg_sys_close(&proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 0);
    tail = sg_report_tail(proxy.report, &n);
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
others_go_on_by_the_stream(void)
{
    struct proxy proxy = lent_sh("exec cat");
    pthread_t giver, taker;

    CHECK_EQ(pthread_create(&giver, NULL, give_big, &proxy), 0);
    CHECK_EQ(pthread_create(&taker, NULL, take_big, &proxy), 0);
    poll(NULL, 0, 3); /* wherever they are then */
    sg_loan_end(sg_report_loan(proxy.report));
    pthread_join(giver, NULL);
    pthread_join(taker, NULL);
    proxy_close(&proxy);
}

static void *
wait_for_end(void *proxy)
{
    char byte;

    CHECK_EQ(take(proxy, &byte, 1), 0);
    return NULL;
}

static void
shutdown_wakes_who_waits_for_data(void)
{
    struct proxy proxy = lent_sh("exec cat");
    pthread_t waiter;

    CHECK_EQ(pthread_create(&waiter, NULL, wait_for_end, &proxy), 0);
    let_the_loop_go_round();
    shutdown(proxy.stream, SHUT_RDWR);
    pthread_join(waiter, NULL);
    proxy_close(&proxy);
}

static void *
fill_for_ever(void *arg)
{
    struct proxy *proxy = arg;
    static char data[65536];

    while (give(proxy, data, sizeof(data)) > 0) {
    }
    return NULL;
}

static void
half_close_reaches_the_child_past_who_waits_for_room(void)
{
    struct proxy proxy = lent_sh("sleep 0.2; exec cat >/dev/null");
    pthread_t waiter;

    CHECK_EQ(pthread_create(&waiter, NULL, fill_for_ever, &proxy), 0);
    let_the_loop_go_round();
    sg_loan_end(sg_report_loan(proxy.report));
    shutdown(proxy.stream, SHUT_WR);
    pthread_join(waiter, NULL);
    CHECK_EQ(proxy_returncode(&proxy), 0); /* cat saw the end */
    proxy_close(&proxy);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(bytes_wake_no_loop),
        CASE(idle_costs_nothing),
        CASE(wait_ends_at_the_deadline),
        CASE(no_byte_overtakes_another),
        CASE(end_of_output_ends_it_and_is_told_with_its_reason),
        CASE(no_signal_comes_of_a_closed_pipe),
        CASE(what_was_written_arrives_after_close),
        CASE(others_go_on_by_the_stream),
        CASE(shutdown_wakes_who_waits_for_data),
        CASE(half_close_reaches_the_child_past_who_waits_for_room),
    };

    return play_or_run(NULL, 0, cases, COUNT_OF(cases), argc, argv);
}
