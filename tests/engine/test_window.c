/* SPDX-License-Identifier: BSD-2-Clause
 *
 * window.c: what a peer may send.  Its channel is played: a peer that sends
 * all it may, and a caller that reads, or does not.
 */
#include "ssh/window.h"

#include "lib/harness.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

struct channel {
    struct sg_window window;
    size_t credit; /* what the peer may still send */
    size_t unread; /* what it has sent, and nobody has read */
};

static void
channel_open(struct channel *channel, struct sg_windows *all, size_t asked)
{
    *channel = (struct channel){0};
    sg_window_open(&channel->window, all, asked);
    channel->credit = sg_window_initial(&channel->window);
}

/* A clock that stands still unless a case moves it. */
static int64_t now = 1;

static size_t
grant(struct channel *channel, struct sg_windows *all)
{
    size_t granted = sg_window_grant(&channel->window, all, channel->credit,
                                     channel->unread, now);

    channel->credit += granted;
    return granted;
}

static void
receive(struct channel *channel, size_t n)
{
    CHECK_LE(n, channel->credit);
    channel->credit -= n;
    channel->unread += n;
}

/* The peer sends all it may, and all of it is read. */
static void
send_and_read(struct channel *channel, struct sg_windows *all)
{
    receive(channel, channel->credit);
    channel->unread = 0;
    CHECK_LE(1, grant(channel, all));
}

static void
the_first_grant_makes_it_two_mebibytes(void)
{
    struct sg_windows all = {0};
    struct channel channel;

    channel_open(&channel, &all, 0);
    CHECK_EQ(channel.credit, 4 * KIB);
    grant(&channel, &all);
    CHECK_EQ(channel.credit, 2 * MIB);
    CHECK_EQ(all.outstanding, 2 * MIB);
    CHECK_EQ(grant(&channel, &all), 0);
    sg_window_close(&channel.window, &all);
    CHECK_EQ(all.outstanding, 0);
    CHECK_EQ(all.channels, 0);
}

/* Nothing is granted before `step` of the window is used, and then that. */
static void
check_step(size_t asked, size_t step)
{
    struct sg_windows all = {0};
    struct channel channel;

    channel_open(&channel, &all, asked);
    grant(&channel, &all);
    receive(&channel, step - 1);
    channel.unread = 0;
    CHECK_EQ(grant(&channel, &all), 0);
    receive(&channel, 1);
    channel.unread = 0;
    CHECK_EQ(grant(&channel, &all), step);
}

static void
it_is_topped_up_in_steps(void)
{
    check_step(0, MIB);
    check_step(1024, 512);
    check_step(8 * MIB, MIB);
}

static void
what_is_unread_is_not_granted_again(void)
{
    struct sg_windows all = {0};
    struct channel channel;

    channel_open(&channel, &all, 0);
    grant(&channel, &all);
    receive(&channel, 2 * MIB);
    CHECK_EQ(grant(&channel, &all), 0);
    channel.unread = MIB;
    CHECK_EQ(grant(&channel, &all), MIB);
    CHECK_EQ(all.outstanding, 2 * MIB);
}

#define ROUND_TRIP 1000

/* What the window of a channel becomes when all of it is used again and
 * again, each time in `pause`. */
static size_t
size_after_much(int64_t pause)
{
    struct sg_windows all = {0};
    struct channel channel;
    size_t largest = 0;

    sg_window_answered(&all, 3 * ROUND_TRIP);
    sg_window_answered(&all, ROUND_TRIP); /* the shortest one counts */
    sg_window_answered(&all, 2 * ROUND_TRIP);
    channel_open(&channel, &all, 0);
    grant(&channel, &all);
    for (int i = 0; i < 100; i++) {
        now += pause;
        send_and_read(&channel, &all);
        CHECK_LE(largest, channel.credit);
        CHECK(largest == 0 || channel.credit <= 2 * largest);
        largest = channel.credit;
    }
    return largest;
}

static void
it_doubles_when_all_of_it_is_used_in_a_round_trip(void)
{
    CHECK_EQ(size_after_much(ROUND_TRIP), SG_WINDOW_LARGEST);
    CHECK_EQ(size_after_much(4 * ROUND_TRIP + 1), SG_WINDOW_FIRST);
}

static void
without_a_round_trip_it_does_not_grow(void)
{
    struct sg_windows all = {0};
    struct channel channel;

    channel_open(&channel, &all, 0);
    grant(&channel, &all);
    for (int i = 0; i < 100; i++) {
        now++;
        send_and_read(&channel, &all);
        CHECK_EQ(channel.credit, SG_WINDOW_FIRST);
    }
}

static void
it_does_not_grow_for_a_reader_that_lags(void)
{
    struct sg_windows all = {0};
    struct channel channel;

    sg_window_answered(&all, 1);
    channel_open(&channel, &all, 0);
    grant(&channel, &all);
    for (int i = 0; i < 1000; i++) {
        receive(&channel, channel.credit);
        channel.unread = MIB;
        grant(&channel, &all);
        CHECK_EQ(channel.credit + channel.unread, 2 * MIB);
    }
}

static void
a_size_that_was_asked_for_stays(void)
{
    static const size_t sizes[] = {1024, 32700, 8 * MIB, 100 * MIB};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct sg_windows all = {0};
        struct channel channel;

        channel_open(&channel, &all, sizes[i]);
        CHECK_LE(channel.credit, sizes[i]);
        for (int k = 0; k < 10; k++) {
            grant(&channel, &all);
            CHECK_EQ(channel.credit, sizes[i]);
            send_and_read(&channel, &all);
        }
    }
}

/* libssh2 keeps three quarters of the initial size to itself: what is left
 * then must be little enough to get more, or nobody would ever go on. */
static void
the_reserve_never_holds_up_a_grant(void)
{
    for (size_t asked = 1024; asked < 64 * MIB; asked += asked / 3) {
        struct sg_windows all = {0};
        struct channel channel;

        channel_open(&channel, &all, asked);
        grant(&channel, &all);
        channel.credit = sg_window_initial(&channel.window) / 4 * 3;
        CHECK_LE(1, grant(&channel, &all));
    }
}

static void
a_thousand_have_their_share(void)
{
    static struct channel channels[1000];
    struct sg_windows all = {0};

    for (size_t i = 0; i < 1000; i++) {
        channel_open(&channels[i], &all, 0);
        grant(&channels[i], &all);
        CHECK_LE(128 * KIB, channels[i].credit);
    }
    CHECK_LE(all.outstanding, 192 * MIB);
}

static void
one_of_a_thousand_that_keeps_up_gets_what_few_have(void)
{
    static struct channel channels[1000];
    struct sg_windows all = {.round_trip = ROUND_TRIP};
    struct channel *busy = &channels[999];

    for (size_t i = 0; i < 1000; i++) {
        channel_open(&channels[i], &all, 0);
        grant(&channels[i], &all);
    }
    CHECK_LE(busy->credit, MIB / 4);
    for (int i = 0; i < 100; i++) {
        now += 100 * ROUND_TRIP;
        send_and_read(busy, &all);
    }
    CHECK_EQ(busy->credit, SG_WINDOW_FIRST);
}

#define MANY 4000

static void
the_bound_of_all_holds_and_everybody_gets_on(void)
{
    static struct channel channels[MANY];
    struct sg_windows all = {.round_trip = 1};

    for (size_t i = 0; i < MANY; i++) {
        channel_open(&channels[i], &all, 0);
        grant(&channels[i], &all);
        if (i < 100) { /* the first ones grow as far as they may */
            for (int k = 0; k < 20; k++) {
                send_and_read(&channels[i], &all);
            }
        }
        CHECK_LE(all.outstanding,
                 SG_WINDOW_ALL + all.channels * SG_WINDOW_LEAST);
    }
    for (size_t i = 0; i < MANY; i++) {
        CHECK_LE(SG_WINDOW_LEAST, channels[i].credit);
        receive(&channels[i], channels[i].credit); /* and nobody reads */
        CHECK_EQ(grant(&channels[i], &all), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        channels[i].unread = 0;
        CHECK_LE(1, grant(&channels[i], &all));
        sg_window_close(&channels[i].window, &all);
    }
    CHECK_EQ(all.outstanding, 0);
    CHECK_EQ(all.channels, 0);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(the_first_grant_makes_it_two_mebibytes),
        CASE(it_is_topped_up_in_steps),
        CASE(what_is_unread_is_not_granted_again),
        CASE(it_doubles_when_all_of_it_is_used_in_a_round_trip),
        CASE(without_a_round_trip_it_does_not_grow),
        CASE(it_does_not_grow_for_a_reader_that_lags),
        CASE(a_size_that_was_asked_for_stays),
        CASE(the_reserve_never_holds_up_a_grant),
        CASE(a_thousand_have_their_share),
        CASE(one_of_a_thousand_that_keeps_up_gets_what_few_have),
        CASE(the_bound_of_all_holds_and_everybody_gets_on),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
