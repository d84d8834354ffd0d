/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The stage of a play with a hostile server (script.h): a session with one
 * open channel; and the two ways in which it may end.  Either the session is
 * alive, and then it still carries bytes, or it has ended by itself, and then
 * every channel is told and nothing is left.
 */
#ifndef SG_TEST_STAGE_H
#define SG_TEST_STAGE_H

#include "script.h"

/* ---- The stage: a session with one open channel ----------------------- */

static struct script script;
static struct channel channel;

HELPER void
begin(void)
{
    script_open(&script);
    channel_open(&script, &channel);
}

/* Both ends of the channel still hear one another. */
HELPER void
prove_life(void)
{
    static const char down[] = "still here", up[] = "so am I";

    script_send(&script, MSG_CHANNEL_DATA, "us", channel.id, down);
    expect(channel.stream, down);
    say(channel.stream, up, sizeof(up) - 1);
    script_expect(&script, MSG_CHANNEL_DATA);
    CHECK_EQ(script_u32(&script, 1), SERVERS_ID);
    CHECK(script_is(&script, 5, up));
    CHECK_EQ(failure_of(channel.shared), 0);
    CHECK_EQ(failure_of(script.shared), 0);
}

/* Another channel can be opened, carries, and ends. */
HELPER void
prove_a_new_channel(void)
{
    struct channel old = channel;

    channel_open(&script, &channel);
    prove_life();
    sg_sys_close(&channel.stream);
    script_expect(&script, MSG_CHANNEL_CLOSE);
    script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
    channel_close(&channel);
    channel = old;
}

/* The caller closes, then the session. */
HELPER void
end(void)
{
    channel_close(&channel);
    sg_sys_close(&script.control);
    script_hang_up(&script);
    script_expect_end(&script);
    script_close(&script);
}

HELPER void
end_alive(void)
{
    prove_life();
    expect_quiet();
    prove_a_new_channel();
    end();
}

/* The session ends by itself, and says why. */
HELPER void
end_lost(const char *why)
{
    char text[SG_ERROR_TEXT], byte;
    ssize_t n;

    do {
        wait_for(channel.stream, POLLIN);
        n = read(channel.stream, &byte, 1);
    } while (n > 0);
    CHECK_EQ(n, 0);
    CHECK_GE(sg_shared_get_failure(channel.shared, text), 1);
    if (strstr(text, why) == NULL) {
        test_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", why, text);
    }
    CHECK_GE(sg_shared_get_failure(script.shared, text), 1);
    wait_until(no_loop_runs, NULL);
    channel_close(&channel);
    script_close(&script);
}

/* Everything said before has been taken in. */
HELPER void
round_trip(void)
{
    script_send(&script, MSG_GLOBAL_REQUEST, "sb", "are-you-there", 1);
    script_expect(&script, MSG_REQUEST_FAILURE);
}

HELPER void
expect_close(void)
{
    char block[64];
    ssize_t n;

    do {
        wait_for(channel.stream, POLLIN);
        n = read(channel.stream, block, sizeof(block));
    } while (n > 0);
    CHECK_EQ(n, 0);
    CHECK_EQ(failure_of(channel.shared), 0);
    prove_a_new_channel();
    expect_quiet();
    end();
}

#endif
