/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program plays a hostile server (hostile.h): EOF, CLOSE, DISCONNECT and
 * the end of the connection at any moment.
 */
#include "lib/hostile.h"

#include <libssh2.h>

#include "ssh/auth.h"
#include "ssh/window.h"

/* ---- EOF and CLOSE ---------------------------------------------------- */

static void
data_after_eof_and_a_second_eof_are_survived(void)
{
    begin_session();
    script_send(&script, MSG_CHANNEL_EOF, "u", channel.id);
    script_send(&script, MSG_CHANNEL_EOF, "u", channel.id);
    round_trip();
    script_send(&script, MSG_CHANNEL_DATA, "us", channel.id, "too late");
    round_trip();
    write_all(channel.stream, "up", 2); /* the other direction goes on */
    script_expect(&script, MSG_CHANNEL_DATA);
    check_new_channel();
    expect_quiet();
    end_session();
}

/* Open a channel that asks for the largest window.  Returns the size in bytes
 * that the first window adjustment grants. */
static size_t
open_with_large_window(void)
{
    struct sg_error error = {.status = SG_OK};

    script_ask_with(&script, &channel, SG_WINDOW_TOTAL);
    script_expect_open(&script, &channel);
    script_confirm(&script, &channel, SCRIPT_WINDOW);
    CHECK_OK(channel_wait(&channel, &error), error);
    script_expect(&script, MSG_CHANNEL_WINDOW_ADJUST);
    return script_u32(&script, 5);
}

/* After an EOF the channel's window is free for other channels. */
static void
eof_gives_the_window_back(void)
{
    struct channel old;
    size_t first;

    script_open(&script);
    first = open_with_large_window();
    CHECK_GE(first, SG_WINDOW_TOTAL / 2);
    script_send(&script, MSG_CHANNEL_EOF, "u", channel.id);
    expect_eof(channel.stream);
    round_trip();
    old = channel;
    CHECK_EQ(open_with_large_window(), first);
    check_alive();
    channel_close(&old);
    script_expect(&script, MSG_CHANNEL_CLOSE);
    script_send(&script, MSG_CHANNEL_CLOSE, "u", old.id);
    end_session();
}

/* After a close of the session no queued open begins.  (A libssh2 that can
 * have many opens under way at a time queues none.) */
#ifndef LIBSSH2_CHANNEL_OPEN_START
static void
close_ends_queued_opens(void)
{
    struct sg_error error = {.status = SG_OK};
    struct channel second;
    int type;

    script_open(&script);
    script_ask(&script, &channel);
    script_expect_open(&script, &channel);
    script_ask(&script, &second);
    round_trip();
    sg_sys_close(&script.control);
    CHECK_EQ(channel_wait(&channel, &error), SG_ERR_LOST);
    error = (struct sg_error){.status = SG_OK};
    CHECK_EQ(channel_wait(&second, &error), SG_ERR_LOST);
    CHECK_TEXT(error.text, "this program closed the connection");
    script_confirm(&script, &channel, SCRIPT_WINDOW);
    while ((type = script_next(&script)) >= 0) {
        CHECK(script_answer(&script) || type != MSG_CHANNEL_OPEN);
        if (type == MSG_CHANNEL_CLOSE) {
            script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
        }
        if (type == MSG_DISCONNECT) {
            script_hang_up(&script);
        }
    }
    channel_close(&channel);
    channel_close(&second);
    script_close(&script);
}
#endif

static void
messages_after_close_are_ignored(void)
{
    begin_session();
    script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
    script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
    script_send(&script, MSG_CHANNEL_DATA, "us", channel.id, "too late");
    script_send(&script, MSG_CHANNEL_EOF, "u", channel.id);
    script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "uu", channel.id, 9U);
    script_send(&script, MSG_CHANNEL_REQUEST, "usb", channel.id, "x", 1);
    script_expect(&script, MSG_CHANNEL_CLOSE);
    end_channel_closed();
}

/* The server sends EOF and CLOSE before it confirms the open. */
static void
close_before_the_confirmation_ends_the_channel(void)
{
    struct sg_error error = {.status = SG_OK};

    script_open(&script);
    script_ask(&script, &channel);
    script_expect_open(&script, &channel);
    script_send(&script, MSG_CHANNEL_EOF, "u", channel.id);
    script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
    script_confirm(&script, &channel, SCRIPT_WINDOW);
    CHECK_OK(channel_wait(&channel, &error), error);
    end_channel_closed();
}

static void
data_before_the_confirmation_is_delivered(void)
{
    struct sg_error error = {.status = SG_OK};

    script_open(&script);
    script_ask(&script, &channel);
    script_expect_open(&script, &channel);
    script_send(&script, MSG_CHANNEL_DATA, "us", channel.id, "hello");
    script_confirm(&script, &channel, SCRIPT_WINDOW);
    CHECK_OK(channel_wait(&channel, &error), error);
    expect_text(channel.stream, "hello");
    end_alive();
}

/* The server sends CLOSE again, and data, after both sides have closed. */
static void
messages_for_a_closed_channel_are_ignored(void)
{
    begin_session();
    sg_sys_close(&channel.stream);
    script_expect(&script, MSG_CHANNEL_CLOSE);
    for (int i = 0; i < 10; i++) {
        script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
        script_send(&script, MSG_CHANNEL_DATA, "us", channel.id, "hello?");
    }
    check_new_channel();
    expect_quiet();
    end_session();
}

/* The server answers neither the open nor the close; the caller's wait ends
 * at its own deadline. */
static void
silent_server_does_not_keep_the_caller(void)
{
    struct sg_error error = {.status = SG_OK};
    struct channel waiting;

    begin_session();
    script_ask(&script, &waiting);
    CHECK_EQ(sg_reply_wait(waiting.reply, sg_deadline_after(50 * SG_MSEC),
                           never_interrupt, NULL, &error),
             SG_ERR_TIMEOUT);
    channel_close(&waiting);
    check_alive();
    expect_quiet();
    channel_close(&channel);
    sg_sys_close(&script.control); /* the server does not hang up */
    script_expect_end(&script);
    wait_until(no_loop_runs, NULL);
    script_close(&script);
}

/* The server sends damaged bytes while only an open waits for data.  They
 * must end the session, and the confirmation after them must not be read. */
static void
damage_during_an_open_ends_the_session(void)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes bytes = {0};

    script_open(&script);
    script_ask(&script, &channel);
    script_expect_open(&script, &channel);
    bytes_add(&bytes, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", BLOCK_SIZE);
    packet_put(&bytes, 1, MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", channel.id,
               SERVERS_ID, SCRIPT_WINDOW, 32768U);
    script_write_bytes(&script, &bytes);
    CHECK_EQ(channel_wait(&channel, &error), SG_ERR_LOST);
    end_lost("");
}

static void
truncated_reply_to_an_open_is_a_failure(void)
{
    static const char *const formats[] = {"", "u", "uu", "uuu"};

    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        struct sg_error error = {.status = SG_OK};

        begin_session();
        channel_close(&channel);
        script_ask(&script, &channel);
        script_expect_open(&script, &channel);
        script_send(&script, MSG_CHANNEL_OPEN_CONFIRMATION, formats[i],
                    channel.id, 0U, 0U);
        script_send(&script, MSG_CHANNEL_OPEN_FAILURE, formats[i], channel.id,
                    0U, 1U);
        script_hang_up(&script);
        CHECK(channel_wait(&channel, &error) != SG_OK);
        wait_until(no_loop_runs, NULL);
        channel_close(&channel);
        script_close(&script);
    }
}

/* ---- Disconnect ------------------------------------------------------- */

static void
disconnect_text_is_the_reason(void)
{
    static const char long_text[20000] = {[0 ... 19998] = 'w'};

    begin_session();
    script_send(&script, MSG_DISCONNECT, "uss", 11U, "lunch", "");
    end_lost("lunch");
    begin_session();
    script_send(&script, MSG_DISCONNECT, "uss", UINT32_MAX, long_text, "");
    end_lost("wwww");
    begin_session();
    script_send(&script, MSG_DISCONNECT, "uds", 2U, "nul\0 and more",
                (size_t)13, "");
    end_lost("nul");
    begin_session();
    script_send(&script, MSG_DISCONNECT, "uss", 2U, "\033[2J\r\n\a\x9b\xff",
                "");
    end_lost("");
}

static void
disconnect_without_text_has_a_reason(void)
{
    begin_session();
    script_send(&script, MSG_DISCONNECT, "uss", 11U, "", "");
    end_lost("disconnected");
    begin_session();
    script_send(&script, MSG_DISCONNECT, "");
    end_lost("");
    begin_session();
    script_send(&script, MSG_DISCONNECT, "u", 2U);
    end_lost("disconnected");
    begin_session();
    script_send(&script, MSG_DISCONNECT, "uu", 2U, UINT32_MAX);
    end_lost("disconnected");
}

/* Data before a DISCONNECT is delivered if libssh2 has handed the data out.
 * If both arrive in one read it does not, hence the round trip. */
static void
data_before_a_disconnect_is_delivered(void)
{
    begin_session();
    script_send(&script, MSG_CHANNEL_DATA, "us", channel.id, "last words");
    round_trip();
    script_send(&script, MSG_DISCONNECT, "uss", 11U, "lunch", "");
    expect_text(channel.stream, "last words");
    end_lost("lunch");
}

/* ---- At any moment ---------------------------------------------------- */

/* These say how far a connection has come when the server strikes. */
static const char *const moments[] = {
    "at once",
    "after the banner",
    "in the key exchange",
    "with half of the keys",
    "before the login",
    "after the login",
    "with an open under way",
    "with a channel",
    "after its EOF",
    "after the caller's close",
    "in a rekey",
    "with half of a rekey",
};
enum {
    AT_ONCE,
    AFTER_BANNER,
    IN_KEX,
    HALF_KEX,
    BEFORE_LOGIN,
    AFTER_LOGIN,
    OPENING,
    OPEN,
    AFTER_EOF,
    CALLER_CLOSED,
    IN_REKEY,
    HALF_REKEY,
    MOMENTS
};

/* The server then does one of these, which no session survives. */
static const char *const strikes[] = {"hangs up",    "half a packet",
                                      "garbage",     "disconnect",
                                      "huge packet", "no length"};

static void
put_strike(struct bytes *bytes, size_t strike, int is_keyed)
{
    static const unsigned char garbage[] = {
        0xf3, 0x12, 0x9a, 0x00, 0xff, 0x80, 0x17, 0x0a, 0x0d, 0x0a, 0x31,
        0x44, 0x90, 0x1b, 0x5b, 0x32, 0x4a, 0x00, 0x00, 0x00, 0x01, 0x02};

    switch (strike) {
    case 1:
        bytes_add(bytes, "\0\0\0\034\004\136", 6);
        break;
    case 2:
        bytes_add(bytes, garbage, sizeof(garbage));
        break;
    case 3:
        packet_put(bytes, is_keyed, MSG_DISCONNECT, "uss", 11U,
                   "out\033[2J of order\n", "");
        break;
    case 4:
        bytes_add(bytes, "\177\377\377\377\004\136________________", 22);
        break;
    case 5:
        bytes_add(bytes, "\0\0\0\0\0\0________________", 22);
        break;
    default:
        break;
    }
}

/* The session is on the caller's thread: the handshake or the login fails,
 * with a reason. */
static void
strike_before_the_login(size_t moment, size_t strike)
{
    struct bytes words = {0};
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_patiently();
    struct sg_session *session;
    const char *methods;
    enum sg_status status;

    if (moment >= AFTER_BANNER) {
        bytes_add(&words, SERVER_BANNER, sizeof(SERVER_BANNER) - 1);
    }
    if (moment == IN_KEX) {
        put_kexinit(&words, 0);
    }
    if (moment == HALF_KEX) {
        put_kexinit(&words, 0);
        put_kex_reply(&words, 0);
    }
    if (moment == BEFORE_LOGIN) {
        put_kex(&words, 0);
    }
    put_strike(&words, strike, moment >= BEFORE_LOGIN);
    session = script_start(&script, &words);
    script_hang_up(&script);
    free(words.data);
    status = sg_session_handshake(session, NULL, &wait, &error);
    if (status == SG_OK) {
        CHECK_EQ(moment, BEFORE_LOGIN);
        status = sg_auth_none(session, "user", &methods, &wait, &error);
    }
    CHECK(status == SG_ERR_LOST || status == SG_ERR_SSH);
    CHECK(error.text[0] != '\0' || error.err != 0);
    sg_session_free(session);
    script_close(&script);
}

static void
reach(size_t moment)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes bytes = {0};

    script_open(&script);
    channel = (struct channel){.stream = -1};
    if (moment == AFTER_LOGIN) {
        return;
    }
    script_ask(&script, &channel);
    script_expect_open(&script, &channel);
    if (moment == OPENING) {
        return;
    }
    script_confirm(&script, &channel, SCRIPT_WINDOW);
    CHECK_OK(channel_wait(&channel, &error), error);
    if (moment == AFTER_EOF) {
        script_send(&script, MSG_CHANNEL_EOF, "u", channel.id);
    }
    if (moment == CALLER_CLOSED) {
        sg_sys_close(&channel.stream);
        script_expect(&script, MSG_CHANNEL_CLOSE);
    }
    if (moment == IN_REKEY || moment == HALF_REKEY) {
        put_kexinit(&bytes, 1);
        script_write_bytes(&script, &bytes);
        script_expect(&script, MSG_KEXINIT);
    }
    if (moment == HALF_REKEY) {
        put_kex_reply(&bytes, 1);
        script_write_bytes(&script, &bytes);
    }
}

/* The session is on the loop's thread: an open that is waited for fails, an
 * open stream ends, and the session has a reason. */
static void
strike_after_the_login(size_t moment, size_t strike)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes bytes = {0};
    char text[SG_ERROR_TEXT];

    reach(moment);
    put_strike(&bytes, strike, 1);
    script_write_bytes(&script, &bytes);
    script_hang_up(&script);
    if (moment == OPENING) {
        CHECK_EQ(channel_wait(&channel, &error), SG_ERR_LOST);
    }
    wait_until(no_loop_runs, NULL);
    CHECK_GE(sg_shared_get_failure(script.shared, text), 1);
    CHECK(text[0] != '\0');
    if (moment == OPEN || moment >= IN_REKEY) {
        expect_eof(channel.stream);
        CHECK_GE(failure_of(channel.shared), 1);
    }
    if (moment == AFTER_LOGIN) {
        script_close(&script);
        return;
    }
    channel_close(&channel);
    script_close(&script);
}

static void
every_strike_at_every_moment_ends_the_session(void)
{
    static char name[100];
    const char *case_name = running_case;

    for (size_t moment = 0; moment < MOMENTS; moment++) {
        for (size_t strike = 0; strike < COUNT_OF(strikes); strike++) {
            snprintf(name, sizeof(name), "%s: %s %s", case_name,
                     strikes[strike], moments[moment]);
            running_case = name;
            if (moment <= BEFORE_LOGIN) {
                strike_before_the_login(moment, strike);
            }
            else {
                strike_after_the_login(moment, strike);
            }
        }
    }
    running_case = case_name;
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
#ifndef LIBSSH2_CHANNEL_OPEN_START
        CASE(close_ends_queued_opens),
#endif
        CASE(eof_gives_the_window_back),
        CASE(data_after_eof_and_a_second_eof_are_survived),
        CASE(messages_after_close_are_ignored),
        CASE(close_before_the_confirmation_ends_the_channel),
        CASE(data_before_the_confirmation_is_delivered),
        CASE(messages_for_a_closed_channel_are_ignored),
        CASE(silent_server_does_not_keep_the_caller),
        CASE(damage_during_an_open_ends_the_session),
        CASE(truncated_reply_to_an_open_is_a_failure),
        CASE(disconnect_text_is_the_reason),
        CASE(disconnect_without_text_has_a_reason),
        CASE(data_before_a_disconnect_is_delivered),
        CASE(every_strike_at_every_moment_ends_the_session),
    };

    return run_role_or_cases(NULL, 0, cases, COUNT_OF(cases), argc, argv);
}
