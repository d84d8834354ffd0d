/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests channel.c and channel_open.c with a real sshd: data in
 * both directions, many channels, and opens that fail.
 */
#include <libssh2.h>

#include "lib/gateway.h"

#define MANY 100
#define FEW 4

/* ---- Data ------------------------------------------------------------- */

static void
bytes_go_both_ways(void)
{
    struct tunnel tunnel = tunnel_open("");

    for (size_t i = 0; i < 100; i++) {
        ping(tunnel.channel.stream, tunnel.server, i);
        ping(tunnel.server, tunnel.channel.stream, i);
    }
    sg_sys_close(&tunnel.channel.stream);
    expect_eof(tunnel.server);
    tunnel_close(&tunnel);
}

static void
half_close_leaves_the_other_direction_open(void)
{
    struct tunnel tunnel = tunnel_open("");

    CHECK_EQ(shutdown(tunnel.channel.stream, SHUT_WR), 0);
    expect_eof(tunnel.server);
    ping(tunnel.server, tunnel.channel.stream, 1);
    sg_sys_close(&tunnel.server);
    expect_eof(tunnel.channel.stream);
    CHECK_EQ(failure_of(tunnel.channel.shared), 0);
    sg_sys_close(&tunnel.channel.stream);

    tunnel_reopen(&tunnel);
    CHECK_EQ(shutdown(tunnel.server, SHUT_WR), 0);
    expect_eof(tunnel.channel.stream);
    ping(tunnel.channel.stream, tunnel.server, 2);
    sg_sys_close(&tunnel.channel.stream);
    expect_eof(tunnel.server);

    tunnel_reopen(&tunnel);
    sg_sys_close(&tunnel.server);
    expect_eof(tunnel.channel.stream);
    tunnel_close(&tunnel);
}

/* This is one end of a stream.  It sends one pseudo-random sequence and
 * expects another one. */
struct trader {
    int fd;
    size_t sent, received; /* bytes */
    struct random mine, theirs;
};

/* The block that is being sent and the block that is expected.  Their bytes
 * from `out_start` and `in_start` on are not sent or received yet. */
struct pending {
    char out[16384], in[16384];
    size_t out_start, in_start;
};

/* Send `n` bytes in both directions between each pair (2i, 2i+1) of traders.
 */
static void
trade(struct trader *traders, size_t count, size_t n)
{
    static struct pending pending[2 * FEW];
    static char got[16384];
    struct pollfd fds[2 * FEW];
    size_t done = 0;

    for (size_t i = 0; i < count; i++) {
        traders[i].sent = traders[i].received = 0;
        traders[i].mine.state = 2 * i + 1;
        traders[i].theirs.state = 2 * (i ^ 1) + 1;
        pending[i].out_start = pending[i].in_start = sizeof(pending[i].out);
        fds[i].fd = traders[i].fd;
        CHECK_EQ(sg_sys_set_blocking(traders[i].fd, false), 0);
    }
    while (done < count) {
        for (size_t i = 0; i < count; i++) {
            fds[i].events = (short)((traders[i].received < n ? POLLIN : 0)
                                    | (traders[i].sent < n ? POLLOUT : 0));
        }
        if (poll(fds, (nfds_t)count, 2 * PATIENCE * 1000) == 0) {
            for (size_t i = 0; i < count; i++) {
                dprintf(messages_fd, "%zu: %zu sent, %zu received\n", i,
                        traders[i].sent, traders[i].received);
            }
            test_fail(__FILE__, __LINE__, "the transfer stalls");
        }
        done = 0;
        for (size_t i = 0; i < count; i++) {
            struct trader *trader = &traders[i];
            struct pending *mine = &pending[i];
            ssize_t m;

            if (fds[i].events & fds[i].revents & POLLOUT) {
                if (mine->out_start == sizeof(mine->out)) {
                    random_fill(&trader->mine, mine->out, sizeof(mine->out));
                    mine->out_start = 0;
                }
                m = write(trader->fd, mine->out + mine->out_start,
                          sizeof(mine->out) - mine->out_start);
                CHECK(m > 0 || errno == EAGAIN);
                mine->out_start += m > 0 ? (size_t)m : 0;
                trader->sent += m > 0 ? (size_t)m : 0;
            }
            if (fds[i].events & fds[i].revents & (POLLIN | POLLHUP)) {
                if (mine->in_start == sizeof(mine->in)) {
                    random_fill(&trader->theirs, mine->in, sizeof(mine->in));
                    mine->in_start = 0;
                }
                m = read(trader->fd, got, sizeof(mine->in) - mine->in_start);
                CHECK_GE(m, 1);
                CHECK_EQ(memcmp(got, mine->in + mine->in_start, (size_t)m), 0);
                mine->in_start += (size_t)m;
                trader->received += (size_t)m;
            }
            done += trader->sent >= n && trader->received >= n;
        }
    }
}

static void
trade_with(const char *options, size_t channels, size_t n)
{
    struct gateway gateway = gateway_open(options);
    struct listener listener = listener_open(FEW);
    struct channel channel[FEW];
    struct trader traders[2 * FEW];

    for (size_t i = 0; i < channels; i++) {
        channel[i] = channel_open(&gateway, &listener, &traders[2 * i + 1].fd);
        traders[2 * i].fd = channel[i].stream;
    }
    trade(traders, 2 * channels, under_valgrind() ? n / 10 : n);
    for (size_t i = 0; i < channels; i++) {
        channel_close(&channel[i]);
        expect_eof(traders[2 * i + 1].fd);
        close(traders[2 * i + 1].fd);
    }
    CHECK_EQ(failure_of(gateway.shared), 0);
    close(listener.fd);
    gateway_close(&gateway);
}

static void
big_transfers_both_ways_at_once(void)
{
    trade_with("", FEW, 20 * MB);
}

/* This runs in a process of its own, because libssh2 1.10 does not free the
 * host key (51 bytes) of the previous key exchange. */
static void
transfers_go_on_while_keys_are_exchanged_again(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        alarm(CASE_LIMIT);
        trade_with("RekeyLimit 1M", 1, 20 * MB);
        trade_with("RekeyLimit 1M", FEW, 5 * MB);
        leave_process();
    }
    join_process(pid);
}

static void
many_channels_at_once(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listener_open(MANY);
    struct channel channels[MANY];
    int servers[MANY];

    for (size_t i = 0; i < MANY; i++) {
        channels[i] = channel_start(&gateway, listener.port, LONG_LINGER);
    }
    for (size_t i = 0; i < MANY; i++) { /* opens are answered in order */
        channel_wait_open(&channels[i]);
        servers[i] = listener_accept(&listener);
    }
    for (size_t i = 0; i < MANY; i++) {
        ping(channels[i].stream, servers[i], i);
        ping(servers[i], channels[i].stream, 1000 + i);
    }
    for (size_t i = 0; i < MANY; i++) {
        if (i % 2 == 0) {
            channel_close(&channels[i]);
            expect_eof(servers[i]);
            close(servers[i]);
        }
    }
    for (size_t i = 1; i < MANY; i += 2) {
        ping(channels[i].stream, servers[i], i);
        close(servers[i]);
        expect_eof(channels[i].stream);
        channel_close(&channels[i]);
    }
    close(listener.fd);
    gateway_close(&gateway);
}

#define SENDERS 12

/* SENDERS channels that always have data to send get about the same share
 * when the connection is the bottleneck. */
static void
busy_senders_take_turns(void)
{
    static char block[65536];
    struct gateway gateway = gateway_open("");
    struct listener listener = listener_open(SENDERS);
    struct channel channels[SENDERS];
    struct pollfd fds[2 * SENDERS];
    size_t heard[SENDERS] = {0}, total = 0, least = SIZE_MAX, most = 0;
    const int small = 1;

    CHECK_EQ(setsockopt(gateway.sshd.fd, SOL_SOCKET, SO_SNDBUF, &small,
                        sizeof(small)),
             0);
    for (size_t i = 0; i < SENDERS; i++) {
        fds[i].events = POLLOUT;
        fds[SENDERS + i].events = POLLIN;
        channels[i] = channel_open(&gateway, &listener, &fds[SENDERS + i].fd);
        fds[i].fd = channels[i].stream;
        CHECK_EQ(sg_sys_set_blocking(fds[i].fd, false), 0);
    }
    while (total < (under_valgrind() ? 2 : 4) * SENDERS * MB) {
        CHECK_GE(poll(fds, COUNT_OF(fds), 2 * PATIENCE * 1000), 1);
        for (size_t i = 0; i < SENDERS; i++) {
            if (fds[i].revents & POLLOUT) {
                CHECK(write(fds[i].fd, block, sizeof(block)) > 0
                      || errno == EAGAIN);
            }
            if (fds[SENDERS + i].revents & POLLIN) {
                ssize_t n = read(fds[SENDERS + i].fd, block, sizeof(block));

                CHECK_GE(n, 1);
                heard[i] += (size_t)n;
                total += (size_t)n;
            }
        }
    }
    for (size_t i = 0; i < SENDERS; i++) {
        least = heard[i] < least ? heard[i] : least;
        most = heard[i] > most ? heard[i] : most;
        channel_close(&channels[i]);
        CHECK_EQ(sg_sys_set_blocking(fds[SENDERS + i].fd, true), 0);
        while (read(fds[SENDERS + i].fd, block, sizeof(block)) > 0) {
        }
        close(fds[SENDERS + i].fd);
    }
    CHECK_LE(most, 2 * least);
    close(listener.fd);
    gateway_close(&gateway);
}

static void
stalled_reader_stalls_no_other_channel(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listener_open(FEW);
    int servers[2];
    struct channel channels[2];
    size_t n;

    channels[0] = channel_open(&gateway, &listener, &servers[0]);
    channels[1] = channel_open(&gateway, &listener, &servers[1]);
    n = fill_up(servers[0], 200);
    CHECK_GE(n, WINDOW / 2);
    CHECK_LE(n, 64 * MB);
    for (size_t i = 0; i < 20; i++) {
        ping(channels[1].stream, servers[1], i);
        ping(servers[1], channels[1].stream, i);
    }
    expect_quiet();
    /* The stalled channel's other direction goes on too. */
    ping(channels[0].stream, servers[0], 1);
    close(servers[0]);
    ping(channels[1].stream, servers[1], 1);
    expect_pattern(channels[0].stream, n);
    CHECK_EQ(failure_of(channels[0].shared), 0);

    channel_close(&channels[0]);
    channels[0] = channel_open(&gateway, &listener, &servers[0]);
    n = fill_up(channels[0].stream, 200);
    CHECK_GE(n, WINDOW / 2);
    ping(channels[1].stream, servers[1], 1);
    expect_quiet();
    CHECK_EQ(shutdown(channels[0].stream, SHUT_WR), 0);
    expect_pattern(servers[0], n);
    for (size_t i = 0; i < 2; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    close(listener.fd);
    gateway_close(&gateway);
}

static void
idle_session_costs_nothing(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listener_open(FEW);
    struct channel channel;
    int server;

    poll(NULL, 0, 50);
    expect_quiet();
    channel = channel_open(&gateway, &listener, &server);
    ping(channel.stream, server, 1);
    expect_quiet();
    CHECK_EQ(shutdown(channel.stream, SHUT_WR), 0);
    expect_eof(server);
    expect_quiet();
    channel_close(&channel);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

/* sshd asks whether the client is alive, and disconnects when it gets no
 * answer.  The client must answer with no channel open, and with one that the
 * server has closed but whose data is not read yet. */
static void
session_answers_the_servers_keepalives(void)
{
    static const char options[] =
        "ClientAliveInterval 1\nClientAliveCountMax 3";
    static char data[MB];
    struct gateway idle = gateway_open(options);
    struct tunnel tunnel = tunnel_open(options);
    struct channel channel;
    int server;

    pattern_fill(0, data, sizeof(data));
    CHECK_EQ(shutdown(tunnel.channel.stream, SHUT_WR), 0);
    expect_eof(tunnel.server);
    write_all(tunnel.server, data, sizeof(data));
    sg_sys_close(&tunnel.server);
    poll(NULL, 0, 6500); /* sshd would disconnect after 5 s */
    CHECK_EQ(failure_of(tunnel.gateway.shared), 0);
    expect_pattern(tunnel.channel.stream, sizeof(data));
    tunnel_reopen(&tunnel);
    ping(tunnel.channel.stream, tunnel.server, 1);

    CHECK_EQ(failure_of(idle.shared), 0);
    channel = channel_open(&idle, &tunnel.listener, &server);
    ping(channel.stream, server, 1);
    channel_close(&channel);
    close(server);
    tunnel_close(&tunnel);
    gateway_close(&idle);
}

/* ---- Opens that fail -------------------------------------------------- */

/* The system's libssh2 drops the server's text of an open failure. */
#ifdef LIBSSH2_CHANNEL_OPEN_START
#define SERVERS_TEXT(text) text
#else
#define SERVERS_TEXT(text) ""
#endif

static void
check_refused(const char *options, unsigned port, int code, const char *text)
{
    struct gateway gateway = gateway_open(options);

    for (int i = 0; i < 3; i++) {
        struct sg_error error = {.status = SG_OK};
        struct channel channel = channel_start(&gateway, port, LONG_LINGER);

        CHECK_EQ(channel_wait(&channel, &error), SG_ERR_OPEN_FAILURE);
        CHECK_EQ(error.code, code);
        CHECK_TEXT(error.text, text);
        channel_close(&channel);
    }
    CHECK_EQ(failure_of(gateway.shared), 0);
    gateway_close(&gateway);
}

static void
refused_open_has_the_servers_reason(void)
{
    struct listener listener = listener_open(FEW);

    close(listener.fd); /* nothing listens on the port now */
    check_refused("", listener.port, 2, SERVERS_TEXT("Connection refused"));
    check_refused("PermitOpen none", listener.port, 1,
                  SERVERS_TEXT("open failed"));
}

static void
abandoned_opens_do_not_disturb_others(void)
{
    struct gateway gateway = gateway_open("");
    int fillers[2], server;
    struct listener busy = listener_open_full(fillers);
    struct listener listener = listener_open(FEW);
    struct channel first = channel_start(&gateway, busy.port, LONG_LINGER);
    struct channel second = channel_start(&gateway, busy.port, LONG_LINGER);
    struct channel third = channel_start(&gateway, listener.port, LONG_LINGER);
    struct sg_error error = {.status = SG_OK};

    CHECK_EQ(sg_reply_wait(first.reply, sg_deadline_after(50 * SG_MSEC),
                           never_interrupt, NULL, &error),
             SG_ERR_TIMEOUT);
    channel_close(&first);  /* the open under way is finished, then closed */
    channel_close(&second); /* the queued open never begins */
    for (int i = 0; i < 2; i++) {
        close(fillers[i]);
    }
    close(listener_accept(&busy));
    channel_wait_open(&third);
    server = listener_accept(&listener);
    ping(third.stream, server, 3);
    ping(server, third.stream, 3);
    channel_close(&third);
    expect_eof(server);
    close(server);
    /* The connections that are left in the first backlog are those of `first`
     * and of the fillers. */
    for (;;) {
        struct pollfd pollfd = {.fd = busy.fd, .events = POLLIN};

        if (poll(&pollfd, 1, 100) != 1) {
            break;
        }
        server = listener_accept(&busy);
        expect_eof(server);
        close(server);
    }
    close(busy.fd);
    close(listener.fd);
    gateway_close(&gateway);
}

/* Callers close the channel at every moment of its open. */
static void
callers_may_leave_at_any_moment_of_an_open(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listener_open(MANY);
    struct random random = {7};
    struct channel channel;
    int server;

    for (int i = 0; i < 3 * MANY; i++) {
        struct channel leaving = channel_start(&gateway, listener.port,
                                               SHORT_LINGER);
        struct pollfd pollfd = {.fd = listener.fd, .events = POLLIN};
        struct timespec pause = {
            .tv_nsec = (long)random_below(&random, 2000000)};

        nanosleep(&pause, NULL);
        if (i % 3 == 0) {
            sg_sys_close(&leaving.stream);
        }
        channel_close(&leaving);
        while (poll(&pollfd, 1, 0) == 1) {
            close(listener_accept(&listener));
        }
    }
    close(listener.fd);
    listener = listener_open(FEW);
    channel = channel_open(&gateway, &listener, &server);
    ping(channel.stream, server, 3);
    channel_close(&channel);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(bytes_go_both_ways),
        CASE(half_close_leaves_the_other_direction_open),
        CASE(big_transfers_both_ways_at_once),
        CASE(transfers_go_on_while_keys_are_exchanged_again),
        CASE(many_channels_at_once),
        CASE(busy_senders_take_turns),
        CASE(stalled_reader_stalls_no_other_channel),
        CASE(idle_session_costs_nothing),
        CASE(session_answers_the_servers_keepalives),
        CASE(refused_open_has_the_servers_reason),
        CASE(abandoned_opens_do_not_disturb_others),
        CASE(callers_may_leave_at_any_moment_of_an_open),
    };

    return run_cases_with_sshd(cases, COUNT_OF(cases), argc, argv);
}
