/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests one session and many threads that open channels, send,
 * close and go away at any moment. It is most useful under ThreadSanitizer.
 */
#include <stdatomic.h>

#include "lib/gateway.h"

#define CALLERS 8
#define ROUNDS 40
#define PIECE 30000 /* bytes; the buffers up to the echo and back hold them */
#define MAX_ECHOES 512

/* ---- The target: a thread that sends back what it receives ------------ */

struct echo {
    struct listener listener;
    int stop[2];
    pthread_t thread;
};

/* Returns false at the end of the connection. */
static bool
send_back(int fd)
{
    char data[16384];
    ssize_t n = recv(fd, data, sizeof(data), 0);

    for (ssize_t sent = 0, m; sent < n; sent += m) {
        m = send(fd, data + sent, (size_t)(n - sent), MSG_NOSIGNAL);
        if (m < 0) {
            return false;
        }
    }
    return n > 0;
}

static void *
echo_main(void *arg)
{
    struct echo *echo = arg;
    struct pollfd fds[MAX_ECHOES];
    nfds_t n = 2;

    fds[0] = (struct pollfd){.fd = echo->listener.fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = echo->stop[0], .events = POLLIN};
    while (poll(fds, n, -1) > 0 && fds[1].revents == 0) {
        for (nfds_t i = n - 1; i >= 2; i--) {
            if (fds[i].revents != 0 && !send_back(fds[i].fd)) {
                close(fds[i].fd);
                fds[i] = fds[--n];
            }
        }
        if (fds[0].revents != 0) {
            CHECK_LE(n, MAX_ECHOES - 1);
            fds[n++] = (struct pollfd){.fd = listener_accept(&echo->listener),
                                       .events = POLLIN};
        }
    }
    while (n > 2) {
        close(fds[--n].fd);
    }
    return NULL;
}

static void
echo_start(struct echo *echo)
{
    echo->listener = listener_open(CALLERS * 4);
    CHECK_EQ(pipe2(echo->stop, O_CLOEXEC), 0);
    CHECK_EQ(pthread_create(&echo->thread, NULL, echo_main, echo), 0);
}

static void
echo_stop(struct echo *echo)
{
    close(echo->stop[1]);
    CHECK_EQ(pthread_join(echo->thread, NULL), 0);
    close(echo->stop[0]);
    close(echo->listener.fd);
}

/* ---- A caller --------------------------------------------------------- */

struct caller {
    const struct gateway *gateway;
    unsigned port;
    struct random random;
    pthread_t thread;
    bool may_be_lost; /* the session ends meanwhile */
};

static atomic_int opened;

/* Send random data and read it back.  Returns false if the channel ended. */
static bool
exchange(int fd, struct random *random)
{
    char sent[PIECE], heard[PIECE];
    size_t n = 1 + random_below(random, sizeof(sent));

    pattern_fill(random_below(random, 1000), sent, n);
    for (size_t done = 0; done < n;) {
        ssize_t m = send(fd, sent + done, n - done, MSG_NOSIGNAL);

        if (m <= 0) {
            return false;
        }
        done += (size_t)m;
    }
    for (size_t done = 0; done < n;) {
        ssize_t m;

        wait_for(fd, POLLIN);
        m = recv(fd, heard + done, n - done, 0);
        if (m <= 0) {
            return false;
        }
        done += (size_t)m;
    }
    CHECK_EQ(memcmp(sent, heard, n), 0);
    return true;
}

static void
use_channel(const struct caller *caller, struct channel *channel,
            struct random *random)
{
    char byte;

    switch (random_below(random, 4)) {
    case 0: /* nothing */
        break;
    case 1: /* leave the echo unread */
        send(channel->stream, &channel->stream, 4, MSG_NOSIGNAL);
        break;
    case 2: /* half-close, and read the end */
        shutdown(channel->stream, SHUT_WR);
        wait_for(channel->stream, POLLIN);
        CHECK_LE(recv(channel->stream, &byte, 1, 0), 0);
        break;
    default:
        CHECK(exchange(channel->stream, random) || caller->may_be_lost);
    }
}

/* Wait for the open to complete, or for a short time, or not at all. */
static bool
wait_somehow(struct channel *channel, struct random *random,
             struct sg_error *error)
{
    static const int64_t limits[] = {0, SG_MSEC / 10, SG_MSEC};
    size_t which = random_below(random, 6);
    struct sg_wait wait = which < COUNT_OF(limits)
                              ? wait_at_most(limits[which])
                              : wait_patiently();
    enum sg_status status = sg_reply_wait(channel->reply, wait.deadline,
                                          never_interrupt, NULL, error);

    CHECK(status == SG_OK || status == SG_ERR_LOST
          || (status == SG_ERR_TIMEOUT && which < COUNT_OF(limits)));
    return status == SG_OK;
}

/* Open a channel, use it and close it.  Returns false if the session is lost.
 */
static bool
use_one_channel(struct caller *caller)
{
    struct channel channel;
    struct sg_error error = {.status = SG_OK};
    bool is_open;

    if (channel_try(&channel, caller->gateway->loop, caller->port, LONG_LINGER,
                    &error)
        != SG_OK) {
        CHECK_EQ(error.status, SG_ERR_LOST);
        sg_shared_unref(channel.shared);
        return false;
    }
    is_open = wait_somehow(&channel, &caller->random, &error);
    if (is_open) {
        atomic_fetch_add(&opened, 1);
        use_channel(caller, &channel, &caller->random);
    }
    channel_close(&channel);
    return error.status != SG_ERR_LOST;
}

static void *
caller_main(void *arg)
{
    struct caller *caller = arg;

    for (int i = 0; i < (under_valgrind() ? ROUNDS / 4 : ROUNDS); i++) {
        CHECK_GE(sg_shared_get_count(caller->gateway->shared, SG_COUNT_OPEN),
                 0);
        if (!use_one_channel(caller)) {
            CHECK(caller->may_be_lost);
            break;
        }
    }
    return NULL;
}

static void
callers_start(struct caller *callers, const struct gateway *gateway,
              const struct echo *echo, bool may_be_lost)
{
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.gateway = gateway,
                                     .port = echo->listener.port,
                                     .random.state = i + 1,
                                     .may_be_lost = may_be_lost};
        CHECK_EQ(
            pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]),
            0);
    }
}

static void
callers_join(struct caller *callers)
{
    for (size_t i = 0; i < CALLERS; i++) {
        CHECK_EQ(pthread_join(callers[i].thread, NULL), 0);
    }
}

/* ---- Cases ------------------------------------------------------------ */

static bool
none_is_open(void *arg)
{
    return sg_shared_get_count(arg, SG_COUNT_OPEN) == 0;
}

static bool
some_were_opened(void *unused)
{
    (void)unused;
    return atomic_load(&opened) >= CALLERS;
}

static void
callers_may_open_send_and_leave_at_once(void)
{
    struct gateway gateway = gateway_open("");
    struct caller callers[CALLERS];
    struct echo echo;

    echo_start(&echo);
    callers_start(callers, &gateway, &echo, false);
    callers_join(callers);
    wait_until(none_is_open, gateway.shared);
    CHECK_EQ(failure_of(gateway.shared), 0);
    gateway_close(&gateway);
    echo_stop(&echo);
}

static void
close_session(struct gateway *gateway)
{
    sg_sys_close(&gateway->control);
}

static void
kill_server(struct gateway *gateway)
{
    sshd_signal(&gateway->sshd, SIGKILL);
}

static void
strike_while_callers_are_busy(void (*strike)(struct gateway *gateway))
{
    struct gateway gateway = gateway_open("");
    struct caller callers[CALLERS];
    struct echo echo;

    atomic_store(&opened, 0);
    echo_start(&echo);
    callers_start(callers, &gateway, &echo, true);
    wait_until(some_were_opened, NULL);
    strike(&gateway);
    callers_join(callers);
    gateway_close(&gateway);
    echo_stop(&echo);
}

static void
session_may_be_closed_while_callers_are_busy(void)
{
    strike_while_callers_are_busy(close_session);
}

static void
server_may_be_killed_while_callers_are_busy(void)
{
    strike_while_callers_are_busy(kill_server);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(callers_may_open_send_and_leave_at_once),
        CASE(session_may_be_closed_while_callers_are_busy),
        CASE(server_may_be_killed_while_callers_are_busy),
    };

    return run_cases_with_sshd(cases, COUNT_OF(cases), argc, argv);
}
