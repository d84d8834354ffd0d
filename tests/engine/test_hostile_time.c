/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program plays a server that answers late (hostile.h).
 */
#include "lib/hostile.h"

#include <time.h>

/* libssh2 reads this clock, which the test can set forward by `ahead`
 * seconds.  The engine reads another one. */
static time_t ahead;

time_t
time(time_t *to)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += __atomic_load_n(&ahead, __ATOMIC_RELAXED);
    if (to != NULL) {
        *to = now.tv_sec;
    }
    return now.tv_sec;
}

/* sshd may try to connect for more than two minutes, and libssh2 1.10 gives
 * an open up after one.  Other channels of the session must go on meanwhile
 * and afterwards. */
static void
late_reply_to_an_open_disturbs_no_other_channel(void)
{
    struct channel old;
    struct sg_error error = {.status = SG_OK};

    begin_session();
    old = channel;
    script_ask(&script, &channel);
    script_expect_open(&script, &channel);
    __atomic_store_n(&ahead, 100, __ATOMIC_RELAXED);
    script_send(&script, MSG_CHANNEL_DATA, "us", old.id, "still here");
    expect_text(old.stream, "still here");
    round_trip();
    script_confirm(&script, &channel, SCRIPT_WINDOW);
    if (channel_wait(&channel, &error) == SG_OK) {
        check_alive();
        sg_sys_close(&channel.stream);
        script_expect(&script, MSG_CHANNEL_CLOSE);
        script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
    }
    else {
        CHECK_EQ(error.status, SG_ERR_OPEN_FAILURE);
        CHECK(strstr(error.text, "did not answer") != NULL);
    }
    channel_close(&channel);
    channel = old;
    end_alive();
    __atomic_store_n(&ahead, 0, __ATOMIC_RELAXED);
}

/* Closing the session loses no data that arrived before, even if the caller
 * has not read it. */
static void
close_loses_no_unread_data(void)
{
    static char data[20000], got[65536];
    size_t heard = 0;
    ssize_t n;

    begin_session();
    for (int i = 0; i < 50; i++) {
        script_send(&script, MSG_CHANNEL_DATA, "ud", channel.id, data,
                    sizeof(data));
    }
    write_all(channel.stream, "last words", 10);
    round_trip();
    sg_sys_close(&script.control);
    script_expect(&script, MSG_CHANNEL_CLOSE);
    script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
    script_expect(&script, MSG_DISCONNECT);
    while ((n = read(channel.stream, got, sizeof(got))) > 0) {
        heard += (size_t)n;
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(heard, 50 * sizeof(data));
    CHECK_EQ(failure_of(channel.shared), ECONNRESET);
    channel_close(&channel);
    script_hang_up(&script);
    script_expect_end(&script);
    script_close(&script);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(close_loses_no_unread_data),
        CASE(late_reply_to_an_open_disturbs_no_other_channel),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
