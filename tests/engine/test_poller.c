/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests the behaviour that the epoll and the poll variant of
 * poller.c share.
 */
#include "engine/poller.h"

#include "lib/harness.h"

#define MANY 200

static struct sg_poller poller;

static void
set(struct sg_watch *watch, unsigned wanted)
{
    CHECK_EQ(sg_poller_set(&poller, watch, wanted), 0);
}

/* Returns the number of watches that one call finds ready now. */
static int
look(struct sg_watch **found, int max)
{
    int n = sg_poller_wait(&poller, found, max, 0);

    CHECK_GE(n, 0);
    return n;
}

static void
only_what_is_ready_is_found(void)
{
    struct sg_watch a = {.fd = -1}, b = {.fd = -1}, *found[8];
    int pair[2];

    CHECK_EQ(sg_poller_open(&poller), 0);
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    a.fd = pair[0];
    b.fd = pair[1];
    set(&a, SG_READ);
    set(&b, SG_READ);
    CHECK_EQ(look(found, 8), 0);
    CHECK_EQ(sg_sys_send(pair[1], "x", 1, 0), 1);
    CHECK_EQ(look(found, 8), 1);
    CHECK(found[0] == &a);
    CHECK_EQ(a.ready, SG_READ);
    CHECK_EQ(b.ready, 0);
    set(&a, SG_READ | SG_WRITE); /* change what is wanted */
    a.ready = 0;
    CHECK_EQ(look(found, 8), 1);
    CHECK_EQ(a.ready, SG_READ | SG_WRITE);
    set(&a, SG_WRITE);
    a.ready = 0;
    CHECK_EQ(look(found, 8), 1);
    CHECK_EQ(a.ready, SG_WRITE);
    set(&a, SG_NOTHING); /* leave the poller */
    set(&a, SG_NOTHING);
    a.ready = 0;
    CHECK_EQ(look(found, 8), 0);
    set(&a, SG_READ); /* enter it again: readiness is level-triggered */
    CHECK_EQ(look(found, 8), 1);
    CHECK_EQ(look(found, 8), 1);
    set(&a, SG_NOTHING);
    set(&b, SG_NOTHING);
    sg_sys_close(&pair[0]);
    sg_sys_close(&pair[1]);
    sg_poller_close(&poller);
}

static void
hangup_is_reported_alone_when_only_that_is_wanted(void)
{
    struct sg_watch reader = {.fd = -1}, writer = {.fd = -1}, *found[8];
    int pipe_fd[2], other[2];

    CHECK_EQ(sg_poller_open(&poller), 0);
    CHECK_EQ(sg_sys_pipe(pipe_fd), 0);
    CHECK_EQ(sg_sys_pipe(other), 0);
    CHECK_EQ(sg_sys_write(other[1], "x", 1), 1);
    reader.fd = other[0];
    writer.fd = pipe_fd[1];
    set(&reader, SG_HANGUP); /* readable data is not reported */
    set(&writer, SG_HANGUP);
    CHECK_EQ(look(found, 8), 0);
    sg_sys_close(&other[1]);
    CHECK_EQ(look(found, 8), 1);
    CHECK(found[0] == &reader);
    CHECK_EQ(reader.ready, SG_HANGUP);
    set(&reader, SG_NOTHING);
    sg_sys_close(&pipe_fd[0]);
    CHECK_EQ(look(found, 8), 1);
    CHECK(found[0] == &writer);
    CHECK_EQ(writer.ready, SG_HANGUP);
    set(&writer, SG_NOTHING);
    CHECK_EQ(look(found, 8), 0);
    sg_sys_close(&pipe_fd[1]);
    sg_sys_close(&other[0]);
    sg_poller_close(&poller);
}

static void
hangup_of_a_socket_comes_with_its_unread_data(void)
{
    struct sg_watch watch = {.fd = -1}, *found[8];
    int pair[2];

    CHECK_EQ(sg_poller_open(&poller), 0);
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    watch.fd = pair[0];
    set(&watch, SG_READ);
    CHECK_EQ(sg_sys_send(pair[0], "unread", 6, 0), 6);
    CHECK_EQ(sg_sys_send(pair[1], "last", 4, 0), 4);
    sg_sys_close(&pair[1]);
    CHECK_EQ(look(found, 8), 1);
    CHECK_EQ(watch.ready, SG_READ | SG_HANGUP);
    set(&watch, SG_NOTHING);
    sg_sys_close(&pair[0]);
    sg_poller_close(&poller);
}

/* A child between fork and exec has a copy of every descriptor.  A descriptor
 * that is closed here must not be reported because of the copy. */
static void
closed_descriptor_with_a_copy_is_not_reported(void)
{
    struct sg_watch watch = {.fd = -1}, *found[8];
    int pipe_fd[2], copy;

    CHECK_EQ(sg_poller_open(&poller), 0);
    CHECK_EQ(sg_sys_pipe(pipe_fd), 0);
    copy = sg_sys_dup(pipe_fd[0]);
    watch.fd = pipe_fd[0];
    set(&watch, SG_READ);
    set(&watch, SG_NOTHING);
    sg_sys_close(&pipe_fd[0]);
    CHECK_EQ(sg_sys_write(pipe_fd[1], "x", 1), 1);
    CHECK_EQ(look(found, 8), 0);
    sg_sys_close(&pipe_fd[1]);
    CHECK_EQ(look(found, 8), 0);
    close(copy);
    sg_poller_close(&poller);
}

/* All of MANY watches are always ready, and one call finds up to 8.  Each
 * watch must get its turn. */
static void
no_watch_starves(void)
{
    static struct sg_watch watches[MANY];
    struct sg_watch *found[8];
    int seen[MANY] = {0}, pair[MANY][2];

    CHECK_EQ(sg_poller_open(&poller), 0);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(sg_sys_socketpair(pair[i]), 0);
        watches[i] = (struct sg_watch){.fd = pair[i][0]};
        set(&watches[i], SG_WRITE);
    }
    for (int turn = 0; turn < 3 * MANY / 8; turn++) {
        int n = look(found, 8);

        CHECK_EQ(n, 8);
        for (int i = 0; i < n; i++) {
            seen[found[i] - watches]++;
        }
    }
    for (int i = 0; i < MANY; i++) {
        CHECK_GE(seen[i], 2);
        set(&watches[i], SG_NOTHING);
        sg_sys_close(&pair[i][0]);
        sg_sys_close(&pair[i][1]);
    }
    CHECK_EQ(look(found, 8), 0);
    sg_poller_close(&poller);
}

/* Watches enter, change and leave in any order; the poller must find what a
 * model says. */
static void
watches_may_change_in_any_order(void)
{
    static struct sg_watch watches[MANY];
    struct sg_watch *found[64];
    struct random random = {99};
    int pair[MANY][2];

    CHECK_EQ(sg_poller_open(&poller), 0);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(sg_sys_socketpair(pair[i]), 0);
        watches[i] = (struct sg_watch){.fd = pair[i][0]};
    }
    for (int turn = 0; turn < 2000; turn++) {
        size_t i = random_below(&random, MANY);
        int writable = 0, n = 0, rounds = 0;

        set(&watches[i], (unsigned)random_below(&random, 8));
        for (int j = 0; j < MANY; j++) {
            writable += (watches[j].wanted & SG_WRITE) != 0;
            watches[j].ready = 0;
        }
        while (n < writable && rounds++ < 8) {
            int more = look(found, 64);

            for (int j = 0; j < more; j++) {
                CHECK_EQ(found[j]->wanted & SG_WRITE, SG_WRITE);
                n += found[j]->ready != 0;
                found[j]->ready = 0;
            }
        }
        CHECK_GE(n, writable);
    }
    for (int i = 0; i < MANY; i++) {
        set(&watches[i], SG_NOTHING);
        sg_sys_close(&pair[i][0]);
        sg_sys_close(&pair[i][1]);
    }
    sg_poller_close(&poller);
}

static void
wait_ends_after_its_timeout(void)
{
    struct sg_watch watch = {.fd = -1}, *found[1];
    int pipe_fd[2];
    int64_t start;

    CHECK_EQ(sg_poller_open(&poller), 0);
    CHECK_EQ(sg_sys_pipe(pipe_fd), 0);
    watch.fd = pipe_fd[0];
    set(&watch, SG_READ);
    start = sg_sys_now();
    CHECK_EQ(sg_poller_wait(&poller, found, 1, 20), 0);
    CHECK_GE(sg_sys_now() - start, 20 * SG_MSEC);
    CHECK_LE(sg_sys_now() - start, PATIENCE * SG_SEC);
    set(&watch, SG_NOTHING);
    sg_sys_close(&pipe_fd[0]);
    sg_sys_close(&pipe_fd[1]);
    sg_poller_close(&poller);
}

static void
regular_file_is_refused_or_ready(void)
{
    struct sg_watch watch = {.fd = -1}, *found[1];
    int err;

    CHECK_EQ(sg_poller_open(&poller), 0);
    watch.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    err = sg_poller_set(&poller, &watch, SG_READ);
    if (err == 0) {
        CHECK_EQ(look(found, 1), 1);
    }
    else {
        CHECK_EQ(err, -EPERM);
        CHECK_EQ(watch.wanted, SG_NOTHING);
    }
    set(&watch, SG_NOTHING);
    close(watch.fd);
    sg_poller_close(&poller);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(only_what_is_ready_is_found),
        CASE(hangup_is_reported_alone_when_only_that_is_wanted),
        CASE(hangup_of_a_socket_comes_with_its_unread_data),
        CASE(closed_descriptor_with_a_copy_is_not_reported),
        CASE(no_watch_starves),
        CASE(watches_may_change_in_any_order),
        CASE(wait_ends_after_its_timeout),
        CASE(regular_file_is_refused_or_ready),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
