/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program plays a hostile server (hostile.h): malformed packets, data and
 * windows that lie, and messages that the client did not ask for.
 */
#include "lib/hostile.h"

#include <malloc.h>
#include <sys/ioctl.h>

#define KB 1024U
#define MB (1024U * 1024U)

/* ---- The wire --------------------------------------------------------- */

/* Send a packet with this length and padding length, and then `n` zeros; the
 * session must end with a reason that contains `why`. */
static void
check_bad_framing(uint32_t length, int padding, size_t n, const char *why)
{
    struct bytes bytes = {0};

    begin_session();
    bytes_add_u32(&bytes, length);
    bytes_add_u8(&bytes, padding);
    for (size_t i = 0; i < n; i++) {
        bytes_add_u8(&bytes, 0);
    }
    script_write_bytes(&script, &bytes);
    end_lost(why);
}

static void
packet_without_length_ends_the_session(void)
{
    check_bad_framing(0, 0, 100, "");
}

static void
packet_too_long_ends_the_session(void)
{
    check_bad_framing(UINT32_MAX, 0, 100, "");
    check_bad_framing(0x80000000, 4, 100, "");
    check_bad_framing(40001, 4, 100, "");
}

static void
packet_of_padding_alone_ends_the_session(void)
{
    check_bad_framing(28, 28, 100, "");
    check_bad_framing(28, 255, 100, "");
}

/* The length is no multiple of the cipher's block.  Every release of libssh2
 * has an assert() there, so a build with assertions aborts. */
static int
receive_an_odd_length(char **arguments)
{
    (void)arguments;
    signal(SIGABRT, SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    CHECK(freopen("/dev/null", "w", stderr) != NULL);
    sg_loop_init();
    check_bad_framing(29, 4, 100, "");
    return 0;
}

static void
length_that_is_no_multiple_of_the_block(void)
{
    int status = -1;
    pid_t pid = fork();

    CHECK_GE(pid, 0);
    if (pid == 0) {
        execl(own_path, own_path, "receive_an_odd_length", (char *)NULL);
        _exit(127);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
}

static void
wrong_mac_ends_the_session(void)
{
    struct bytes bytes = {0};

    begin_session();
    packet_put(&bytes, 1, MSG_IGNORE, "s", "");
    bytes.data[bytes.len - 1] = 1;
    script_write_bytes(&script, &bytes);
    end_lost("wrong MAC");
}

/* Data after a packet with a wrong MAC must not be delivered, because there
 * is a hole before it. */
static void
nothing_is_delivered_after_a_wrong_mac(void)
{
    struct bytes bytes = {0};
    char heard[64] = "";
    size_t n = 0;
    ssize_t more;

    begin_session();
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "one");
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "two");
    bytes.data[bytes.len - 1] = 1;
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "three");
    script_write_bytes(&script, &bytes);
    script_hang_up(&script);
    do {
        wait_for(channel.stream, POLLIN);
        more = read(channel.stream, heard + n, sizeof(heard) - 1 - n);
        n += more > 0 ? (size_t)more : 0;
    } while (more > 0);
    CHECK(strstr(heard, "three") == NULL);
    end_lost("");
}

static void
garbage_ends_the_session(void)
{
    struct random random = {1};

    for (int i = 0; i < 20; i++) {
        unsigned char block[1000];

        begin_session();
        for (size_t j = 0; j < sizeof(block); j++) {
            block[j] = (unsigned char)random_next(&random);
        }
        block[0] |= 1; /* the packet's length is too large */
        script_write(&script, block, sizeof(block));
        end_lost("");
    }
}

/* The packet arrives one byte at a time, and the client reads each byte
 * before the next is sent. */
static void
packet_may_come_byte_by_byte(void)
{
    struct bytes bytes = {0};

    begin_session();
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "slow");
    for (size_t i = 0; i < bytes.len; i++) {
        int unread = 1;

        script_write(&script, bytes.data + i, 1);
        while (unread != 0) { /* until the client has read it */
            unread = 0;
            CHECK_EQ(ioctl(script.fd, TIOCOUTQ, &unread), 0);
        }
    }
    free(bytes.data);
    expect_text(channel.stream, "slow");
    end_alive();
}

static void
connection_may_end_within_a_packet(void)
{
    struct bytes bytes = {0};

    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", 0U, "never to be heard");
    for (size_t n = 0; n < bytes.len; n += 1 + n / 3) {
        begin_session();
        script_write(&script, bytes.data, n);
        script_hang_up(&script);
        end_lost("closed the connection");
    }
    free(bytes.data);
}

static void
unknown_packet_types_are_ignored(void)
{
    begin_session();
    for (int type = 101; type < 256; type++) {
        script_send(&script, type, "us", channel.id, "what is that?");
        script_send(&script, type, "");
    }
    script_send(&script, MSG_EXT_INFO, "uss", 1U, "server-sig-algs", "");
    script_send(&script, MSG_UNIMPLEMENTED, "u", 1U);
    end_alive();
}

static void
ignore_and_debug_are_ignored(void)
{
    struct bytes bytes = {0};

    begin_session();
    for (int i = 0; i < 20000; i++) {
        packet_put(&bytes, 1, MSG_IGNORE, "s", "nothing");
        packet_put(&bytes, 1, MSG_DEBUG, "bss", 1, "nothing\n\r\033", "");
        packet_put(&bytes, 1, MSG_DEBUG, "");
        packet_put(&bytes, 1, MSG_IGNORE, "u", UINT32_MAX);
        packet_put(&bytes, 1, MSG_DEBUG, "bu", 1, UINT32_MAX);
    }
    script_write_bytes(&script, &bytes);
    end_alive();
}

/* ---- Memory ------------------------------------------------------------ */

static size_t
memory_in_use(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    extern size_t __sanitizer_get_current_allocated_bytes(void);

    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
#endif
}

/* ---- Data ------------------------------------------------------------- */

/* Send `total` bytes of channel data in packets of `piece` bytes. */
static void
flood(size_t piece, size_t total)
{
    static const char data[32768];
    struct bytes bytes = {0};
    size_t packets = total / piece, batch = 1 + 65536 / (piece + 64);

    for (size_t i = 0; i < batch; i++) {
        packet_put(&bytes, 1, MSG_CHANNEL_DATA, "ud", channel.id, data, piece);
    }
    for (size_t i = 0; i < packets; i += batch) {
        script_write(&script, bytes.data, bytes.len);
    }
    free(bytes.data);
    round_trip();
}

/* Returns the number of bytes that the channel's stream holds, after reading
 * them. */
static size_t
read_all_there_is(void)
{
    struct pollfd pollfd = {.fd = channel.stream, .events = POLLIN};
    char block[65536];
    size_t total = 0;
    ssize_t n;

    while (poll(&pollfd, 1, 100) == 1) {
        n = read(channel.stream, block, sizeof(block));
        CHECK_GE(n, 1);
        total += (size_t)n;
    }
    return total;
}

/* The server fills the window with the smallest packets, and the caller does
 * not read.  Each packet would cost libssh2 about 130 bytes, so 2 MiB would
 * cost 270 MB. */
static void
tiny_packets_to_a_stalled_reader_take_little_memory(void)
{
    size_t before;

    begin_session();
    before = memory_in_use();
    flood(1, 3 * MB);
    CHECK_LE(memory_in_use() - before, 8 * MB);
    check_new_channel(); /* other channels are not stalled */
    CHECK_LE(read_all_there_is(), 3 * MB);
    end_alive();
}

static void
data_beyond_the_window_takes_little_memory(void)
{
    size_t before;

    begin_session();
    before = memory_in_use();
    flood(32000, 32 * MB);
    CHECK_LE(memory_in_use() - before, 3 * MB);
    CHECK_LE(read_all_there_is(), 4 * MB);
    end_alive();
}

static void
data_beyond_the_maximum_packet_size_is_cut(void)
{
    static const char data[39000];

    begin_session();
    script_send(&script, MSG_CHANNEL_DATA, "ud", channel.id, data,
                sizeof(data));
    CHECK_EQ(read_all_there_is(), 32768);
    end_alive();
}

/* The string's length does not fit the packet's. */
static void
data_with_a_wrong_length_is_survived(void)
{
    begin_session();
    script_send(&script, MSG_CHANNEL_DATA, "uur", channel.id, UINT32_MAX, "xy",
                (size_t)2);
    script_send(&script, MSG_CHANNEL_DATA, "uu", channel.id, 1000U);
    script_send(&script, MSG_CHANNEL_DATA, "u", channel.id);
    script_send(&script, MSG_CHANNEL_DATA, "");
    script_send(&script, MSG_CHANNEL_EXTENDED_DATA, "u", channel.id);
    script_send(&script, MSG_CHANNEL_EXTENDED_DATA, "uu", channel.id, 1U);
    expect_text(channel.stream, "xy");
    end_alive();
}

/* Extended data (stderr), which a direct-tcpip channel does not have, is
 * dropped. */
static void
extended_data_is_dropped(void)
{
    static const char data[30000];

    begin_session();
    for (size_t i = 0; i < 8 * MB / sizeof(data); i++) {
        script_send(&script, MSG_CHANNEL_EXTENDED_DATA, "uud", channel.id,
                    (uint32_t)i, data, sizeof(data));
    }
    round_trip();
    end_alive();
}

/* ---- Windows that lie ------------------------------------------------- */

static void
window_beyond_32_bits_is_survived(void)
{
    begin_session();
    for (int i = 0; i < 10; i++) {
        script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "uu", channel.id,
                    UINT32_MAX);
    }
    end_alive();
}

/* The sum of the window adjustments is 2^32, which wraps to 0 in 32 bits. */
static void
window_that_wraps_to_0_is_survived(void)
{
    begin_session();
    script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "uu", channel.id,
                UINT32_MAX - SCRIPT_WINDOW + 1);
    round_trip();
    script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "uu", channel.id, 1000U);
    end_alive();
}

static void
window_adjustments_of_0_are_ignored(void)
{
    begin_session();
    for (int i = 0; i < 50000; i++) {
        script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "uu", channel.id, 0U);
    }
    script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "u", channel.id);
    script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "");
    end_alive();
}

/* The window grows by one byte at a time, and the caller's data goes out in
 * one-byte packets. */
static void
window_may_come_byte_by_byte(void)
{
    struct sg_error error = {.status = SG_OK};

    script_open(&script);
    script_ask(&script, &channel);
    script_expect_open(&script, &channel);
    script_confirm(&script, &channel, 0);
    CHECK_OK(channel_wait(&channel, &error), error);
    write_all(channel.stream, "abcdefgh", 8);
    for (int i = 0; i < 8; i++) {
        script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "uu", channel.id, 1U);
        script_expect(&script, MSG_CHANNEL_DATA);
        CHECK_EQ(script_u32(&script, 5), 1);
        CHECK_EQ(script.packet[9], 'a' + i);
    }
    expect_quiet();
    script_send(&script, MSG_CHANNEL_WINDOW_ADJUST, "uu", channel.id,
                SCRIPT_WINDOW);
    end_alive();
}

/* The server says that a packet may hold 0 bytes. */
static void
maximum_packet_size_of_0_costs_nothing(void)
{
    struct sg_error error = {.status = SG_OK};

    script_open(&script);
    script_ask(&script, &channel);
    script_expect_open(&script, &channel);
    script_send(&script, MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", channel.id,
                SERVERS_ID, SCRIPT_WINDOW, 0U);
    CHECK_OK(channel_wait(&channel, &error), error);
    write_all(channel.stream, "abcdefgh", 8);
    expect_quiet();
    end_session();
}

/* ---- Messages that were not asked for --------------------------------- */

static void
send_unasked(int type, const char *format, uint32_t first)
{
    struct bytes bytes = {0};

    begin_session();
    for (int i = 0; i < 100; i++) {
        packet_put(&bytes, 1, type, format, first, 0U, 1U, 0U);
    }
    for (int i = 0; i < 100; i++) {
        script_write(&script, bytes.data, bytes.len);
    }
    free(bytes.data);
    round_trip();
    check_alive();
    check_new_channel();
    end_session();
}

static void
replies_that_were_not_asked_for_are_ignored(void)
{
    send_unasked(MSG_CHANNEL_SUCCESS, "u", 0);
    send_unasked(MSG_CHANNEL_FAILURE, "u", 0);
    send_unasked(MSG_CHANNEL_SUCCESS, "u", 77);
    send_unasked(MSG_REQUEST_SUCCESS, "", 0);
    send_unasked(MSG_REQUEST_FAILURE, "", 0);
    send_unasked(MSG_USERAUTH_SUCCESS, "", 0);
    send_unasked(MSG_USERAUTH_FAILURE, "uu", 0);
    send_unasked(MSG_USERAUTH_BANNER, "uu", 0);
    send_unasked(MSG_USERAUTH_INFO_REQUEST, "uuuu", 0);
    send_unasked(MSG_SERVICE_ACCEPT, "u", 0);
    send_unasked(MSG_NEWKEYS, "", 0);
    send_unasked(MSG_KEX_ECDH_REPLY, "uuu", 0);
    send_unasked(MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", 0);
    send_unasked(MSG_CHANNEL_OPEN_FAILURE, "uuu", 0);
    send_unasked(MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", 4000);
}

/* The server refuses opens whose numbers the client has not used yet. */
static void
refusal_before_the_open_is_ignored(void)
{
    begin_session();
    for (uint32_t id = channel.id + 1; id < channel.id + 20; id++) {
        script_send(&script, MSG_CHANNEL_OPEN_FAILURE, "uuss", id, 2U, "no",
                    "");
    }
    round_trip();
    check_alive();
    expect_quiet();
    end_session();
}

/* When the engine wants libssh2 to read and has no channel, it asks for a
 * channel of an unknown type.  If the refusal arrives before that open,
 * libssh2 must be made to read on all the same. */
static void
refusal_before_the_engines_own_open(void)
{
    static const char nothing[1000];
    struct bytes bytes = {0};

    script_open(&script);
    for (uint32_t id = 0; id < 5; id++) {
        packet_put(&bytes, 1, MSG_CHANNEL_OPEN_FAILURE, "uuss", id, 3U, "no",
                   "");
    }
    for (int i = 0; i < 100; i++) {
        packet_put(&bytes, 1, MSG_IGNORE, "d", nothing, sizeof(nothing));
    }
    script_write_bytes(&script, &bytes);
    round_trip();
    expect_quiet();
    channel = (struct channel){.stream = -1};
    end_session();
}

/* The engine bounds what it keeps, and gives up a server that exceeds the
 * bound. */
static void
unasked_messages_are_bounded(void)
{
    static const char nothing[32000];
    struct bytes bytes = {0};
    size_t before;

    begin_session();
    before = memory_in_use();
    for (int i = 0; i < 10; i++) {
        packet_put(&bytes, 1, MSG_CHANNEL_SUCCESS, "d", nothing,
                   sizeof(nothing));
    }
    for (size_t n = 0; n < 400 * MB && failure_of(script.shared) == 0;
         n += bytes.len) {
        script_write(&script, bytes.data, bytes.len);
        CHECK_LE(memory_in_use() - before, 200 * MB);
    }
    free(bytes.data);
    end_lost("more than can be kept");
}

static void
messages_for_unknown_channels_are_ignored(void)
{
    begin_session();
    for (int type = MSG_CHANNEL_WINDOW_ADJUST; type <= MSG_CHANNEL_FAILURE;
         type++) {
        script_send(&script, type, "uus", channel.id + 1, 5U, "x");
        script_send(&script, type, "uus", UINT32_MAX, 5U, "x");
        script_send(&script, type, "uus", SERVERS_ID, 5U, "x");
    }
    end_alive();
}

static void
opens_by_the_server_are_refused(void)
{
    static const char *const types[] = {"session",
                                        "forwarded-tcpip",
                                        "x11",
                                        "auth-agent@openssh.com",
                                        "direct-tcpip",
                                        "noop",
                                        ""};

    begin_session();
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        script_send(&script, MSG_CHANNEL_OPEN, "suuususu", types[i], 5U,
                    SCRIPT_WINDOW, 32768U, "host", 22U, "host", 23U);
    }
    script_send(&script, MSG_CHANNEL_OPEN, "uuuu", UINT32_MAX, 0U, 0U, 0U);
    script_send(&script, MSG_CHANNEL_OPEN, "s", "session");
    script_send(&script, MSG_CHANNEL_OPEN, "");
    end_alive();
}

/* libssh2 parses the opens of these types. */
static void
truncated_opens_by_the_server_are_survived(void)
{
    begin_session();
    script_send(&script, MSG_CHANNEL_OPEN, "suuuuu", "forwarded-tcpip", 5U,
                SCRIPT_WINDOW, 32768U, UINT32_MAX, UINT32_MAX);
    end_lost("");
    begin_session();
    script_send(&script, MSG_CHANNEL_OPEN, "suuuuu", "x11", 5U, SCRIPT_WINDOW,
                32768U, UINT32_MAX, UINT32_MAX);
    end_alive();
}

static void
requests_by_the_server_are_answered(void)
{
    static const char *const types[] = {"exit-status", "exit-signal",
                                        "keepalive@openssh.com", "eow@x", ""};

    begin_session();
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        script_send(&script, MSG_CHANNEL_REQUEST, "usb", channel.id, types[i],
                    1);
        script_send(&script, MSG_CHANNEL_REQUEST, "usbu", channel.id, types[i],
                    1, 100000000U);
        script_send(&script, MSG_CHANNEL_REQUEST, "usbsbss", channel.id,
                    types[i], 0, "TERM", 0, "words", "");
        script_send(&script, MSG_CHANNEL_REQUEST, "us", channel.id, types[i]);
        script_send(&script, MSG_GLOBAL_REQUEST, "sb", types[i], 1);
        script_send(&script, MSG_GLOBAL_REQUEST, "sb", types[i], 0);
        script_send(&script, MSG_GLOBAL_REQUEST, "s", types[i]);
    }
    script_send(&script, MSG_CHANNEL_REQUEST, "uu", channel.id, UINT32_MAX);
    script_send(&script, MSG_CHANNEL_REQUEST, "uub", channel.id, UINT32_MAX,
                1);
    script_send(&script, MSG_GLOBAL_REQUEST, "u", UINT32_MAX);
    script_send(&script, MSG_GLOBAL_REQUEST, "ub", UINT32_MAX - 5, 1);
    script_send(&script, MSG_GLOBAL_REQUEST, "");
    round_trip();
    end_alive();
}

/* The server sends global requests that want replies, and reads no reply. */
static void
requests_from_a_server_that_does_not_read_are_bounded(void)
{
    struct bytes bytes = {0};
    struct pollfd pollfd = {.events = POLLOUT};
    size_t before, n = 0;

    begin_session();
    pollfd.fd = script.fd;
    before = memory_in_use();
    for (int i = 0; i < 1000; i++) {
        packet_put(&bytes, 1, MSG_GLOBAL_REQUEST, "sb", "", 1);
    }
    while (n < 100 * MB && poll(&pollfd, 1, 300) == 1) {
        ssize_t sent = send(script.fd, bytes.data, bytes.len, MSG_DONTWAIT);

        CHECK_GE(sent, 1);
        n += (size_t)sent;
    }
    CHECK_LE(n, 100 * MB - 1);
    CHECK_LE(memory_in_use() - before, 4 * MB);
    expect_quiet();
    CHECK_EQ(failure_of(script.shared), 0);
    free(bytes.data);
    /* The connection ends in the middle of a packet. */
    channel_close(&channel);
    script_hang_up(&script);
    script_expect_end(&script);
    script_close(&script);
}

int
main(int argc, char **argv)
{
    static const struct role roles[] = {
        {"receive_an_odd_length", receive_an_odd_length},
    };
    static const struct test_case cases[] = {
        CASE(packet_without_length_ends_the_session),
        CASE(packet_too_long_ends_the_session),
        CASE(packet_of_padding_alone_ends_the_session),
        CASE(length_that_is_no_multiple_of_the_block),
        CASE(wrong_mac_ends_the_session),
        CASE(nothing_is_delivered_after_a_wrong_mac),
        CASE(garbage_ends_the_session),
        CASE(packet_may_come_byte_by_byte),
        CASE(connection_may_end_within_a_packet),
        CASE(unknown_packet_types_are_ignored),
        CASE(ignore_and_debug_are_ignored),
        CASE(tiny_packets_to_a_stalled_reader_take_little_memory),
        CASE(data_beyond_the_window_takes_little_memory),
        CASE(data_beyond_the_maximum_packet_size_is_cut),
        CASE(data_with_a_wrong_length_is_survived),
        CASE(extended_data_is_dropped),
        CASE(window_beyond_32_bits_is_survived),
        CASE(window_that_wraps_to_0_is_survived),
        CASE(window_adjustments_of_0_are_ignored),
        CASE(window_may_come_byte_by_byte),
        CASE(maximum_packet_size_of_0_costs_nothing),
        CASE(replies_that_were_not_asked_for_are_ignored),
        CASE(refusal_before_the_open_is_ignored),
        CASE(refusal_before_the_engines_own_open),
        CASE(unasked_messages_are_bounded),
        CASE(messages_for_unknown_channels_are_ignored),
        CASE(opens_by_the_server_are_refused),
        CASE(truncated_opens_by_the_server_are_survived),
        CASE(requests_by_the_server_are_answered),
        CASE(requests_from_a_server_that_does_not_read_are_bounded),
    };

    return run_role_or_cases(roles, COUNT_OF(roles), cases, COUNT_OF(cases),
                             argc, argv);
}
