/* SPDX-License-Identifier: BSD-2-Clause
 *
 * How channels and sessions end, with a real sshd: closed by the client,
 * closed by the server, lost, or stopped when the program exits.
 */
#include "lib/gateway.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#define FEW 4

static void
close_with_data_in_flight_arrives_whole(void)
{
    struct tunnel tunnel = tunnel_open("");
    size_t n = fill_up(tunnel.channel.stream, 200);

    CHECK_GE(n, WINDOW / 2);
    sg_sys_close(&tunnel.channel.stream);
    expect_pattern(tunnel.server, n);

    /* With unread data on our side, which a socket would make a reset. */
    tunnel_reopen(&tunnel);
    write_all(tunnel.server, "unread", 6);
    wait_for(tunnel.channel.stream, POLLIN);
    n = fill_up(tunnel.channel.stream, 200);
    sg_sys_close(&tunnel.channel.stream);
    expect_pattern(tunnel.server, n);

    /* The other way. */
    tunnel_reopen(&tunnel);
    n = fill_up(tunnel.server, 200);
    sg_sys_close(&tunnel.server);
    expect_pattern(tunnel.channel.stream, n);
    tunnel_close(&tunnel);
}

/* Nobody takes what was sent: it is dropped after `linger`. */
static void
linger_ends(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listener_open(FEW);
    struct channel channel = channel_start(&gateway, listener.port,
                                           SHORT_LINGER);
    struct channel other;
    int server, other_server;

    channel_wait_open(&channel);
    server = listener_accept(&listener);
    fill_up(channel.stream, 200);
    channel_close(&channel);
    other = channel_open(&gateway, &listener, &other_server);
    poll(NULL, 0, 100); /* CLOSE has gone; sshd keeps what it has */
    expect_quiet();
    ping(other.stream, other_server, 1);
    ping(other_server, other.stream, 1);
    channel_close(&other);
    close(other_server);
    gateway_close(&gateway);
    close(server);
    close(listener.fd);
}

static void
expect_lost(struct channel *channel)
{
    static char block[65536];
    ssize_t n;

    do {
        wait_for(channel->stream, POLLIN);
        n = read(channel->stream, block, sizeof(block));
        CHECK_GE(n, 0);
    } while (n > 0);
    CHECK_EQ(failure_of(channel->shared), ECONNRESET);
}

static void
expect_no_more_channels(const struct gateway *gateway)
{
    struct sg_error error = {.status = SG_OK};
    struct channel channel;
    enum sg_status status = channel_try(&channel, gateway->loop, 1,
                                        SHORT_LINGER, &error);

    if (status == SG_OK) {
        status = channel_wait(&channel, &error);
    }
    CHECK_EQ(status, SG_ERR_LOST);
    channel_close(&channel);
}

static void
server_is_killed(void)
{
    struct gateway gateway = gateway_open("");
    int fillers[2];
    struct listener busy = listener_open_full(fillers);
    struct listener listener = listener_open(FEW);
    struct channel channels[FEW], waiting[2];
    int servers[FEW];
    struct sg_error error = {.status = SG_OK};

    for (size_t i = 0; i < FEW; i++) {
        channels[i] = channel_open(&gateway, &listener, &servers[i]);
    }
    waiting[0] = channel_start(&gateway, busy.port, LONG_LINGER);
    waiting[1] = channel_start(&gateway, busy.port, LONG_LINGER);
    fill_up(channels[0].stream, 20);
    fill_up(servers[1], 20);
    fill_up(servers[2], 20);
    fill_up(channels[2].stream, 20);
    kill(gateway.sshd.pid, SIGKILL);
    for (size_t i = 0; i < 2; i++) {
        error = (struct sg_error){.status = SG_OK};
        CHECK_EQ(channel_wait(&waiting[i], &error), SG_ERR_LOST);
        CHECK_EQ(error.err, ECONNRESET);
        channel_close(&waiting[i]);
        close(fillers[i]);
    }
    for (size_t i = 0; i < FEW; i++) {
        expect_lost(&channels[i]);
    }
    expect_no_more_channels(&gateway);
    for (size_t i = 0; i < FEW; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    close(busy.fd);
    close(listener.fd);
    gateway_close(&gateway);
}

/* All that had arrived is the caller's, read or not. */
/* sshd has taken all that was said at this end of a target. */
static bool
is_on_its_way(void *server)
{
    int unsent = -1;

    CHECK_EQ(ioctl(*(int *)server, SIOCOUTQ, &unsent), 0);
    return unsent == 0;
}

static void
what_came_before_the_loss_is_delivered(void)
{
    static char data[MB];
    struct gateway gateway = gateway_open("");
    struct listener listener = listener_open(FEW);
    int servers[2];
    struct channel channels[2];

    pattern_fill(0, data, sizeof(data));
    channels[0] = channel_open(&gateway, &listener, &servers[0]);
    channels[1] = channel_open(&gateway, &listener, &servers[1]);
    write_all(servers[0], data, sizeof(data));
    wait_until(is_on_its_way, &servers[0]);
    for (size_t i = 0; i < 20; i++) { /* by then it has come, too */
        ping(servers[1], channels[1].stream, i);
        poll(NULL, 0, 10);
    }
    kill(gateway.sshd.pid, SIGKILL);
    expect_lost(&channels[1]);
    expect_pattern(channels[0].stream, sizeof(data));
    expect_lost(&channels[0]);
    for (size_t i = 0; i < 2; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    close(listener.fd);
    gateway_close(&gateway);
}

#define FAREWELL 100000 /* fits into a stream's socket */

static bool
has_come(void *stream)
{
    int unread = -1;

    CHECK_EQ(ioctl(*(int *)stream, FIONREAD, &unread), 0);
    return unread == FAREWELL;
}

/* The same, found out by a failing send, with the end still unread. */
static void
what_came_before_a_failing_send_is_delivered(void)
{
    static char data[FAREWELL];
    struct tunnel tunnel = tunnel_open("");

    pattern_fill(0, data, sizeof(data));
    for (int i = 0; i < 3; i++) {
        write_all(tunnel.server, data, sizeof(data));
        CHECK_EQ(read_up_to(tunnel.channel.stream, data, sizeof(data)),
                 sizeof(data));
        CHECK(pattern_is(0, data, sizeof(data)));
    }
    write_all(tunnel.server, data, sizeof(data));
    wait_until(has_come, &tunnel.channel.stream);
    kill(tunnel.gateway.sshd.pid, SIGKILL);
    send(tunnel.channel.stream, "x", 1,
         MSG_NOSIGNAL); /* it may be over already */
    expect_pattern(tunnel.channel.stream, sizeof(data));
    expect_lost(&tunnel.channel);
    tunnel_close(&tunnel);
}

static void
closed_session_ends_its_channels(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listener_open(FEW);
    struct channel channels[FEW];
    int servers[FEW];
    size_t n;

    for (size_t i = 0; i < FEW; i++) {
        channels[i] = channel_open(&gateway, &listener, &servers[i]);
    }
    write_all(channels[0].stream, "farewell", 8);
    n = fill_up(servers[1], 50);
    CHECK_GE(n, 1);
    sg_sys_close(&gateway.control);
    for (size_t i = 0; i < FEW; i++) {
        expect_lost(&channels[i]);
    }
    expect_text(servers[0], "farewell");
    expect_eof(servers[0]);
    expect_no_more_channels(&gateway);
    for (size_t i = 0; i < FEW; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    close(listener.fd);
    gateway_close(&gateway);
}

#define BOUND SG_SEC

/* The program ends with channels in every state; the server may be stopped
 * dead. */
static int64_t
stop_all(bool is_dead)
{
    struct gateway gateway = gateway_open("");
    int fillers[2];
    struct listener busy = listener_open_full(fillers);
    struct listener listener = listener_open(FEW);
    struct channel channels[FEW], waiting;
    int servers[FEW];
    int64_t start, took;

    for (size_t i = 0; i < FEW; i++) {
        channels[i] = channel_open(&gateway, &listener, &servers[i]);
    }
    fill_up(channels[0].stream, 50);
    fill_up(servers[1], 50);
    CHECK_EQ(shutdown(channels[2].stream, SHUT_WR), 0);
    waiting = channel_start(&gateway, busy.port, LONG_LINGER);
    if (is_dead) {
        kill(gateway.sshd.pid, SIGSTOP);
    }
    start = sg_sys_now();
    sg_loop_stop_all(sg_deadline_after(BOUND));
    took = sg_sys_now() - start;
    CHECK_EQ(sg_loop_count(), 0);
    if (is_dead) {
        kill(gateway.sshd.pid, SIGCONT);
    }
    for (size_t i = 0; i < FEW; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    channel_close(&waiting);
    for (size_t i = 0; i < 2; i++) {
        close(fillers[i]);
    }
    close(busy.fd);
    close(listener.fd);
    gateway_close(&gateway);
    return took;
}

static int64_t
stopping_all(void)
{
    return stop_all(false);
}

static int64_t
stopping_all_while_the_server_hangs(void)
{
    return stop_all(true);
}

static void
program_ends(void)
{
    expect_in_time(stopping_all, BOUND + 50 * SG_MSEC);
}

static void
program_ends_and_the_server_hangs(void)
{
    expect_in_time(stopping_all_while_the_server_hangs, BOUND + 50 * SG_MSEC);
}

static int64_t
closing_while_the_server_hangs(void)
{
    struct tunnel tunnel = tunnel_open("");
    int64_t start, took;

    kill(tunnel.gateway.sshd.pid, SIGSTOP);
    fill_up(tunnel.channel.stream, 50);
    start = sg_sys_now();
    sg_sys_close(&tunnel.gateway.control);
    wait_until(no_loop_runs, NULL);
    took = sg_sys_now() - start;
    kill(tunnel.gateway.sshd.pid, SIGCONT);
    tunnel_close(&tunnel);
    return took;
}

/* Closing does not take for ever when the server hangs. */
static void
closed_session_whose_server_hangs(void)
{
    expect_in_time(closing_while_the_server_hangs, 2 * SG_SEC);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(close_with_data_in_flight_arrives_whole),
        CASE(linger_ends),
        CASE(server_is_killed),
        CASE(what_came_before_the_loss_is_delivered),
        CASE(what_came_before_a_failing_send_is_delivered),
        CASE(closed_session_ends_its_channels),
        CASE(program_ends),
        CASE(program_ends_and_the_server_hangs),
        CASE(closed_session_whose_server_hangs),
    };

    return run_cases_with_sshd(cases, COUNT_OF(cases), argc, argv);
}
