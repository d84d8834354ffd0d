/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See hostile.h.
 */
#include "lib/hostile.h"

struct script script;
struct channel channel;

void
begin_session(void)
{
    script_open(&script);
    script_open_channel(&script, &channel);
}

void
check_alive(void)
{
    static const char down[] = "still here", up[] = "so am I";

    script_send(&script, MSG_CHANNEL_DATA, "us", channel.id, down);
    expect_text(channel.stream, down);
    write_all(channel.stream, up, sizeof(up) - 1);
    script_expect(&script, MSG_CHANNEL_DATA);
    CHECK_EQ(script_u32(&script, 1), SERVERS_ID);
    CHECK(script_string_is(&script, 5, up));
    CHECK_EQ(failure_of(channel.shared), 0);
    CHECK_EQ(failure_of(script.shared), 0);
}

void
check_new_channel(void)
{
    struct channel old = channel;

    script_open_channel(&script, &channel);
    check_alive();
    sg_sys_close(&channel.stream);
    script_expect(&script, MSG_CHANNEL_CLOSE);
    script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
    channel_close(&channel);
    channel = old;
}

void
round_trip(void)
{
    script_send(&script, MSG_GLOBAL_REQUEST, "sb", "are-you-there", 1);
    script_expect(&script, MSG_REQUEST_FAILURE);
}

/* ---- Outcomes --------------------------------------------------------- */

void
end_session(void)
{
    channel_close(&channel);
    sg_sys_close(&script.control);
    script_hang_up(&script);
    script_expect_end(&script);
    script_close(&script);
}

void
end_alive(void)
{
    check_alive();
    expect_quiet();
    check_new_channel();
    end_session();
}

/* Read the channel's stream up to its end, and drop the data. */
static void
skip_to_eof(void)
{
    char block[64];
    ssize_t n;

    do {
        wait_for(channel.stream, POLLIN);
        n = read(channel.stream, block, sizeof(block));
    } while (n > 0);
    CHECK_EQ(n, 0);
}

void
end_lost(const char *why)
{
    char text[SG_ERROR_TEXT];

    skip_to_eof();
    CHECK_GE(sg_shared_get_failure(channel.shared, text), 1);
    if (strstr(text, why) == NULL) {
        test_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", why, text);
    }
    CHECK_GE(sg_shared_get_failure(script.shared, text), 1);
    wait_until(no_loop_runs, NULL);
    channel_close(&channel);
    script_close(&script);
}

void
end_channel_closed(void)
{
    skip_to_eof();
    CHECK_EQ(failure_of(channel.shared), 0);
    check_new_channel();
    expect_quiet();
    end_session();
}
