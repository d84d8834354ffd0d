/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests ServerAliveInterval and ServerAliveCountMax: how a
 * session finds out whether the server is alive.
 */
#include "lib/gateway.h"

#define INTERVAL (100 * SG_MSEC)

static struct gateway
gateway_open_alive(int count_max)
{
    return gateway_open_with(
        "", &(struct sg_alive){.interval = INTERVAL, .count_max = count_max});
}

/* Stop this whole process for `ms` milliseconds, as Ctrl-Z and fg do. */
static void
stop_for(int ms)
{
    pid_t self = getpid(), pid = fork();
    int status;

    CHECK_GE(pid, 0);
    if (pid == 0) {
        kill(self, SIGSTOP);
        poll(NULL, 0, ms);
        kill(self, SIGCONT);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* The client itself was stopped, so the server has not failed to answer. */
static void
stopped_client_does_not_lose_the_server(void)
{
    const int count_max = 20;
    struct gateway gateway = gateway_open_alive(count_max);
    struct listener listener = listener_open(4);
    int server;
    struct channel channel = channel_open(&gateway, &listener, &server);

    for (size_t i = 0; i < 2; i++) {
        stop_for((count_max + 5) * (int)(INTERVAL / SG_MSEC));
        ping(channel.stream, server, i);
        ping(server, channel.stream, i);
    }
    CHECK_EQ(failure_of(gateway.shared), 0);
    channel_close(&channel);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

static bool
is_lost(void *arg)
{
    return failure_of(arg) != 0;
}

/* As in ssh: the session asks `count_max` times, one interval apart, and
 * gives up one interval after the last question. */
static void
server_that_hangs_is_given_up(void)
{
    for (int count_max = 1; count_max <= 3; count_max++) {
        struct gateway gateway = gateway_open_alive(count_max);
        char text[SG_ERROR_TEXT];
        int64_t start;

        sshd_signal(&gateway.sshd, SIGSTOP);
        start = sg_sys_now();
        wait_until(is_lost, gateway.shared);
        CHECK_GE(sg_sys_now() - start, (count_max - 1) * INTERVAL);
        CHECK_EQ(sg_shared_get_failure(gateway.shared, text), ECONNRESET);
        CHECK(strstr(text, "has not answered") != NULL);
        sshd_signal(&gateway.sshd, SIGCONT);
        gateway_close(&gateway);
    }
}

/* Neither an unanswered question nor an unanswered CLOSE wakes the loop until
 * a packet comes. */
static void
waiting_for_a_server_that_hangs_costs_nothing(void)
{
    const struct sg_alive alive = {.interval = SG_SEC, .count_max = 100};
    struct gateway gateway = gateway_open_with("", &alive);
    struct listener listener = listener_open(4);
    int server;
    struct channel channel = channel_open(&gateway, &listener, &server);

    sshd_signal(&gateway.sshd, SIGSTOP);
    channel_close(&channel);
    poll(NULL, 0, 2500); /* the session asks in this time */
    expect_quiet();
    sshd_signal(&gateway.sshd, SIGCONT);
    expect_eof(server);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(stopped_client_does_not_lose_the_server),
        CASE(server_that_hangs_is_given_up),
        CASE(waiting_for_a_server_that_hangs_costs_nothing),
    };

    return run_cases_with_sshd(cases, COUNT_OF(cases), argc, argv);
}
