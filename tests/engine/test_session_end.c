/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests how channels and sessions end, with a real sshd: closed
 * by the client, closed by the server, lost, or stopped when the program
 * exits.
 */
#include "lib/gateway.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#define FEW 4

static void
data_in_flight_arrives_after_close(void)
{
    struct tunnel tunnel = tunnel_open("");
    size_t n = fill_up(tunnel.channel.stream, 200);

    CHECK_GE(n, WINDOW / 2);
    sg_sys_close(&tunnel.channel.stream);
    expect_pattern(tunnel.server, n);

    /* Data is unread at the caller's end, which would make a socket's close a
     * reset. */
    tunnel_reopen(&tunnel);
    write_all(tunnel.server, "unread", 6);
    wait_for(tunnel.channel.stream, POLLIN);
    n = fill_up(tunnel.channel.stream, 200);
    sg_sys_close(&tunnel.channel.stream);
    expect_pattern(tunnel.server, n);

    /* The other direction works in the same way. */
    tunnel_reopen(&tunnel);
    n = fill_up(tunnel.server, 200);
    sg_sys_close(&tunnel.server);
    expect_pattern(tunnel.channel.stream, n);
    tunnel_close(&tunnel);
}

/* The target reads nothing: the data is dropped after the linger. */
static void
unread_data_is_dropped_after_the_linger(void)
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
    poll(NULL, 0, 100); /* CLOSE has been sent by now */
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
killed_server_ends_channels_and_opens(void)
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
    sshd_signal(&gateway.sshd, SIGKILL);
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

/* Returns true if sshd has received everything that was written to the
 * target's end of the connection. */
static bool
is_received_by_sshd(void *server)
{
    int unsent = -1;

    CHECK_EQ(ioctl(*(int *)server, SIOCOUTQ, &unsent), 0);
    return unsent == 0;
}

static void
data_before_the_loss_is_delivered(void)
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
    wait_until(is_received_by_sshd, &servers[0]);
    for (size_t i = 0; i < 20; i++) { /* until the data is here */
        ping(servers[1], channels[1].stream, i);
        poll(NULL, 0, 10);
    }
    sshd_signal(&gateway.sshd, SIGKILL);
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

#define LAST_DATA 100000 /* bytes; they fit into a stream's socket */

static bool
has_arrived(void *stream)
{
    int unread = -1;

    CHECK_EQ(ioctl(*(int *)stream, FIONREAD, &unread), 0);
    return unread == LAST_DATA;
}

/* The same when a failing send reveals the loss before the end is read. */
static void
data_before_a_failing_send_is_delivered(void)
{
    static char data[LAST_DATA];
    struct tunnel tunnel = tunnel_open("");

    pattern_fill(0, data, sizeof(data));
    for (int i = 0; i < 3; i++) {
        write_all(tunnel.server, data, sizeof(data));
        CHECK_EQ(read_up_to(tunnel.channel.stream, data, sizeof(data)),
                 sizeof(data));
        CHECK(pattern_is(0, data, sizeof(data)));
    }
    write_all(tunnel.server, data, sizeof(data));
    wait_until(has_arrived, &tunnel.channel.stream);
    sshd_signal(&tunnel.gateway.sshd, SIGKILL);
    /* This fails if the session is over already. */
    send(tunnel.channel.stream, "x", 1, MSG_NOSIGNAL);
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

/* The program exits with channels in every state.  With `is_dead` the server
 * is stopped.  Returns the nanoseconds that sg_loop_stop_all() took. */
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
        sshd_signal(&gateway.sshd, SIGSTOP);
    }
    start = sg_sys_now();
    sg_loop_stop_all(sg_deadline_after(BOUND));
    took = sg_sys_now() - start;
    CHECK_EQ(sg_loop_count(), 0);
    if (is_dead) {
        sshd_signal(&gateway.sshd, SIGCONT);
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
exit_is_in_time(void)
{
    expect_in_time(stopping_all, BOUND + 50 * SG_MSEC);
}

static void
exit_is_in_time_while_the_server_hangs(void)
{
    expect_in_time(stopping_all_while_the_server_hangs, BOUND + 50 * SG_MSEC);
}

static int64_t
closing_while_the_server_hangs(void)
{
    struct tunnel tunnel = tunnel_open("");
    int64_t start, took;

    sshd_signal(&tunnel.gateway.sshd, SIGSTOP);
    fill_up(tunnel.channel.stream, 50);
    start = sg_sys_now();
    sg_sys_close(&tunnel.gateway.control);
    wait_until(no_loop_runs, NULL);
    took = sg_sys_now() - start;
    sshd_signal(&tunnel.gateway.sshd, SIGCONT);
    tunnel_close(&tunnel);
    return took;
}

static void
close_is_in_time_while_the_server_hangs(void)
{
    expect_in_time(closing_while_the_server_hangs, 2 * SG_SEC);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(data_in_flight_arrives_after_close),
        CASE(unread_data_is_dropped_after_the_linger),
        CASE(killed_server_ends_channels_and_opens),
        CASE(data_before_the_loss_is_delivered),
        CASE(data_before_a_failing_send_is_delivered),
        CASE(closed_session_ends_its_channels),
        CASE(exit_is_in_time),
        CASE(exit_is_in_time_while_the_server_hangs),
        CASE(close_is_in_time_while_the_server_hangs),
    };

    return run_cases_with_sshd(cases, COUNT_OF(cases), argc, argv);
}
