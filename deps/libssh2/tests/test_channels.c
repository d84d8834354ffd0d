/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patches channel-lookup-table, one-queue-per-channel,
 * concurrent-opens, open-failure-descriptions and ready-channels.
 */
#include "pair.h"

#include <time.h>

#define GCM "aes128-gcm@openssh.com"
#define MANY 4000
#define BURST 50000

static struct message said, heard;

/* ---- Many channels ---------------------------------------------------- */

/* Returns the CPU time, in seconds, for reading a burst of small packets that
 * are sent to the first of `n` channels or, with `last`, to the last. */
static double
time_of_burst(int n, int last)
{
    LIBSSH2_CHANNEL *channel = NULL;
    static char buffer[WINDOW];
    struct pair pair;
    clock_t start, end;
    ssize_t got, sum = 0;

    pair_open(&pair, GCM, GCM);
    for (int i = 0; i < n; i++) {
        LIBSSH2_CHANNEL *opened = open_channel(&pair);

        channel = channel == NULL || last ? opened : channel;
    }
    for (int i = 0; i < BURST; i++) {
        say_data(&pair, channel->local.id, "x", 1);
    }
    start = clock();
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    do {
        got = libssh2_channel_read_ex(channel, 0, buffer, 1000);
        sum += got > 0 ? got : 0;
    } while (got > 0);
    end = clock();
    CHECK_EQ(sum, BURST);
    pair_close(&pair);
    return (double)(end - start) / CLOCKS_PER_SEC;
}

/* A linear search takes more than ten times as long. The comparison is
 * repeated, because even the CPU time varies on a busy machine. */
static int
lookup_is_fast(int last)
{
    int tries = 5;

    while (tries > 0
           && time_of_burst(MANY, last) >= time_of_burst(1, 1) * 3 + 0.1) {
        tries--;
    }
    return tries > 0;
}

static void
looking_up_a_channel_takes_constant_time(void)
{
    CHECK(lookup_is_fast(0));
    CHECK(lookup_is_fast(1));
}

static void
ids_in_use_are_not_assigned_again(void)
{
    LIBSSH2_CHANNEL *first, *second;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    pair.ours.session->next_channel = 0xffffffff;
    first = open_channel(&pair);
    CHECK_EQ(first->local.id, 0xffffffff);
    second = open_channel(&pair);
    CHECK_EQ(second->local.id, 0);
    pair.ours.session->next_channel = 0xffffffff;
    CHECK_EQ(open_channel(&pair)->local.id, 1);
    pair_close(&pair);
}

static void
channels_of_one_bucket_are_distinguished(void)
{
    LIBSSH2_CHANNEL *channels[3];
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    for (uint32_t i = 0; i < 3; i++) {
        pair.ours.session->next_channel = 7 + i * LIBSSH2_CHANNEL_BUCKETS;
        channels[i] = open_channel(&pair);
    }
    channels[1]->local.close = 1; /* so that free waits for no reply */
    CHECK_EQ(libssh2_channel_free(channels[1]), 0);
    say_data(&pair, 7, "a", 1);
    say_data(&pair, 7 + LIBSSH2_CHANNEL_BUCKETS, "b", 1);
    say_data(&pair, 7 + 2 * LIBSSH2_CHANNEL_BUCKETS, "cd", 2);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(channels[0]->read_avail, 1);
    CHECK_EQ(channels[2]->read_avail, 2);
    pair_close(&pair);
}

/* ---- Queues ----------------------------------------------------------- */

static void
a_read_scans_only_the_packets_of_its_channel(void)
{
    LIBSSH2_CHANNEL *idle, *busy;
    struct pair pair;
    char buffer[10];
    clock_t start;

    pair_open(&pair, GCM, GCM);
    idle = open_channel(&pair);
    busy = open_channel(&pair);
    for (int i = 0; i < 50000; i++) {
        say_data(&pair, busy->local.id, "x", 1);
    }
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    start = clock();
    for (int i = 0; i < 5000; i++) {
        CHECK_EQ(libssh2_channel_read_ex(idle, 0, buffer, sizeof(buffer)),
                 LIBSSH2_ERROR_EAGAIN);
        CHECK_EQ(libssh2_channel_eof(idle), 0);
        CHECK(libssh2_channel_window_read_ex(idle, NULL, NULL) != 0);
    }
    /* a scan of all packets takes a second or more */
    CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 0.2);
    pair_close(&pair);
}

static void
say_extended(struct pair *pair, uint32_t channel, const char *data)
{
    said.n = 0;
    put_byte(&said, SSH_MSG_CHANNEL_EXTENDED_DATA);
    put_u32(&said, channel);
    put_u32(&said, 1);
    put_text(&said, data);
    say(&pair->theirs, &said);
}

static void
streams_of_a_channel_are_read_separately(void)
{
    unsigned long avail;
    LIBSSH2_CHANNEL *channel;
    struct pair pair;
    char buffer[10];

    pair_open(&pair, GCM, GCM);
    channel = open_channel(&pair);
    say_data(&pair, channel->local.id, "ab", 2);
    say_extended(&pair, channel->local.id, "123");
    say_data(&pair, channel->local.id, "cd", 2);
    said.n = 0;
    put_byte(&said, SSH_MSG_CHANNEL_EOF);
    put_u32(&said, channel->local.id);
    say(&pair.theirs, &said);
    CHECK_EQ(libssh2_channel_read_ex(channel, 0, buffer, 3), 3);
    CHECK(memcmp(buffer, "abc", 3) == 0);
    CHECK_EQ(libssh2_channel_eof(channel), 0);
    libssh2_channel_window_read_ex(channel, &avail, NULL);
    CHECK_EQ(avail, 4);
    CHECK_EQ(libssh2_channel_read_ex(channel, 0, buffer, 10), 1);
    CHECK_EQ(libssh2_channel_read_ex(channel, 1, buffer, 10), 3);
    CHECK(memcmp(buffer, "123", 3) == 0);
    CHECK_EQ(libssh2_channel_eof(channel), 1);
    CHECK_EQ(libssh2_channel_read_ex(channel, 0, buffer, 10), 0);

    say_data(&pair, channel->local.id, "ab", 2);
    say_extended(&pair, channel->local.id, "123");
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(libssh2_channel_flush_ex(channel, 1), 3);
    CHECK_EQ(libssh2_channel_read_ex(channel, 0, buffer, 10), 2);
    say_data(&pair, channel->local.id, "left", 4); /* for free to drop */
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
}

/* ---- Opens ------------------------------------------------------------ */

static LIBSSH2_CHANNEL *
start_open(struct pair *pair)
{
    LIBSSH2_CHANNEL *channel = libssh2_channel_open_start(
        pair->ours.session, "test", 4, WINDOW, PACKET_SIZE, "message", 7);

    CHECK(channel != NULL);
    CHECK_EQ(libssh2_channel_open_poll(channel), LIBSSH2_ERROR_EAGAIN);
    return channel;
}

/* Send a reply to the open of our channel `id`. */
static void
answer(struct pair *pair, uint32_t id, int type, uint32_t second)
{
    said.n = 0;
    put_byte(&said, (unsigned)type);
    put_u32(&said, id);
    put_u32(&said, second);
    put_u32(&said, WINDOW);
    put_u32(&said, PACKET_SIZE);
    say(&pair->theirs, &said);
}

#define CONFIRM(pair, id)                                                     \
    answer(pair, id, SSH_MSG_CHANNEL_OPEN_CONFIRMATION, id + 1000)
#define REFUSE(pair, id, why)                                                 \
    answer(pair, id, SSH_MSG_CHANNEL_OPEN_FAILURE, why)

static void
opens_are_answered_in_any_order(void)
{
    LIBSSH2_CHANNEL *slow, *refused, *fast;
    struct pair pair;
    char buffer[10];
    char *text;

    pair_open(&pair, GCM, GCM);
    slow = start_open(&pair);
    refused = start_open(&pair);
    fast = start_open(&pair);
    for (int i = 0; i < 3; i++) {
        CHECK(they_hear(&pair, SSH_MSG_CHANNEL_OPEN, &heard));
        CHECK_EQ(u32_at(&heard, 9), i);
        CHECK(memcmp(heard.data + heard.n - 7, "message", 7) == 0);
    }
    CONFIRM(&pair, fast->local.id);
    say_data(&pair, fast->local.id, "early", 5);
    REFUSE(&pair, refused->local.id, SSH_OPEN_CONNECT_FAILED);
    CHECK_EQ(libssh2_channel_open_poll(slow), LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(libssh2_channel_open_poll(fast), 0);
    CHECK_EQ(libssh2_channel_open_poll(fast), 0);
    CHECK_EQ(libssh2_channel_read_ex(fast, 0, buffer, 10), 5);
    CHECK_EQ(libssh2_channel_write_ex(fast, 0, "x", 1), 1);
    CHECK(they_hear(&pair, SSH_MSG_CHANNEL_DATA, &heard));
    CHECK_EQ(u32_at(&heard, 1), fast->local.id + 1000);
    CHECK_EQ(libssh2_channel_open_poll(refused),
             LIBSSH2_ERROR_CHANNEL_FAILURE);
    libssh2_session_last_error(pair.ours.session, &text, NULL, 0);
    CHECK(strstr(text, "connect failed") != NULL);
    CONFIRM(&pair, slow->local.id);
    CHECK_EQ(libssh2_channel_open_poll(slow), 0);
    pair_close(&pair);
}

static void
opens_with_both_functions_are_independent(void)
{
    LIBSSH2_CHANNEL *slow, *channel;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    slow = start_open(&pair);
    CHECK(ask_open(&pair) == NULL);
    CONFIRM(&pair, slow->local.id + 1);
    channel = ask_open(&pair);
    CHECK(channel != NULL);
    CHECK_EQ(channel->local.id, slow->local.id + 1);
    CHECK(ask_open(&pair) == NULL);
    REFUSE(&pair, slow->local.id + 2, SSH_OPEN_UNKNOWN_CHANNELTYPE);
    CHECK(ask_open(&pair) == NULL);
    CHECK_EQ(libssh2_session_last_errno(pair.ours.session),
             LIBSSH2_ERROR_CHANNEL_FAILURE);
    CHECK_EQ(libssh2_channel_open_poll(slow), LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
}

static void
opens_that_are_abandoned_are_closed(void)
{
    LIBSSH2_CHANNEL *first, *second, *third;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    first = start_open(&pair);
    second = start_open(&pair);
    third = start_open(&pair);
    CHECK_EQ(libssh2_channel_free(first), 0);
    CHECK_EQ(libssh2_channel_free(second), 0);
    CONFIRM(&pair, 0);
    REFUSE(&pair, 1, SSH_OPEN_CONNECT_FAILED);
    CONFIRM(&pair, 2);
    CONFIRM(&pair, 55); /* for no open */
    CHECK_EQ(libssh2_channel_open_poll(third), 0);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK(they_hear(&pair, SSH_MSG_CHANNEL_CLOSE, &heard));
    CHECK_EQ(u32_at(&heard, 1), 1000);
    CHECK(!they_hear(&pair, SSH_MSG_CHANNEL_CLOSE, &heard));
    pair_close(&pair);
}

static void
opens_that_take_too_long_are_abandoned(void)
{
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    CHECK(ask_open(&pair) == NULL);
    pair.ours.session->packet_read_timeout = 0;
    CHECK(ask_open(&pair) == NULL);
    CHECK_EQ(libssh2_session_last_errno(pair.ours.session),
             LIBSSH2_ERROR_TIMEOUT);
    pair.ours.session->packet_read_timeout = 60;
    CHECK(ask_open(&pair) == NULL); /* a new open */
    CONFIRM(&pair, 0);
    CHECK(ask_open(&pair) == NULL);
    CONFIRM(&pair, 1);
    CHECK_EQ(ask_open(&pair)->local.id, 1);
    CHECK(they_hear(&pair, SSH_MSG_CHANNEL_CLOSE, &heard));
    pair_close(&pair);
}

static void
opens_end_with_the_session(void)
{
    LIBSSH2_CHANNEL *first, *second;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    first = start_open(&pair);
    second = start_open(&pair);
    start_open(&pair); /* freed by the session */
    said.n = 0;
    put_byte(&said, SSH_MSG_DISCONNECT);
    put_u32(&said, 11);
    put_text(&said, "goodbye");
    put_text(&said, "");
    say(&pair.theirs, &said);
    CHECK_EQ(libssh2_channel_open_poll(first),
             LIBSSH2_ERROR_SOCKET_DISCONNECT);
    CHECK_EQ(libssh2_channel_open_poll(second),
             LIBSSH2_ERROR_SOCKET_DISCONNECT);
    pair_close(&pair);
}

static void
opens_sent_in_part_are_completed_before_free(void)
{
    LIBSSH2_CHANNEL *channel, *other;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    pair.ours.out->room = 10;
    channel = start_open(&pair);
    other = libssh2_channel_open_start(pair.ours.session, "test", 4, WINDOW,
                                       PACKET_SIZE, NULL, 0);
    CHECK_EQ(libssh2_channel_open_poll(other), LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(libssh2_channel_free(channel), LIBSSH2_ERROR_EAGAIN);
    pair.ours.out->room = 0;
    CHECK_EQ(libssh2_channel_free(channel), 0);
    CHECK_EQ(libssh2_channel_open_poll(other), LIBSSH2_ERROR_EAGAIN);
    CHECK(they_hear(&pair, SSH_MSG_CHANNEL_OPEN, &heard));
    CHECK(they_hear(&pair, SSH_MSG_CHANNEL_OPEN, &heard));
    CHECK_EQ(u32_at(&heard, 9), other->local.id);
    pair_close(&pair);
}

static void
opens_are_refused_for_every_reason(void)
{
    static const char *const texts[] = {
        "Channel open failure", "administratively prohibited",
        "connect failed",       "unknown channel type",
        "resource shortage",    "Channel open failure"};

    for (uint32_t why = 0; why < 6; why++) {
        LIBSSH2_CHANNEL *channel;
        struct pair pair;
        char *text;

        pair_open(&pair, GCM, GCM);
        channel = start_open(&pair);
        REFUSE(&pair, 0, why);
        CHECK_EQ(libssh2_channel_open_poll(channel),
                 LIBSSH2_ERROR_CHANNEL_FAILURE);
        libssh2_session_last_error(pair.ours.session, &text, NULL, 0);
        CHECK(strstr(text, texts[why]) != NULL);
        pair_close(&pair);
    }
}

static void
a_truncated_open_failure_is_a_protocol_error(void)
{
    struct pair pair;
    LIBSSH2_CHANNEL *channel;

    pair_open(&pair, GCM, GCM);
    channel = start_open(&pair);
    said.n = 0;
    put_byte(&said, SSH_MSG_CHANNEL_OPEN_FAILURE);
    put_u32(&said, 0);
    say(&pair.theirs, &said);
    CHECK_EQ(libssh2_channel_open_poll(channel), LIBSSH2_ERROR_PROTO);
    pair_close(&pair);
}

static void
refuse_with(struct pair *pair, uint32_t why, const char *words, size_t n)
{
    said.n = 0;
    put_byte(&said, SSH_MSG_CHANNEL_OPEN_FAILURE);
    put_u32(&said, 0);
    put_u32(&said, why);
    put_text(&said, words);
    _libssh2_htonu32(said.data + 9, (uint32_t)n); /* the claimed length */
    say(&pair->theirs, &said);
}

/* The text has the part of the description that arrived, whatever length the
 * server claims. */
static void
an_open_failure_includes_the_servers_description(void)
{
    static char long_words[3000];
    const struct {
        uint32_t why;
        const char *words;
        size_t n;
        const char *text;
    } cases[] = {
        {2, "Connection refused", 18,
         "Channel open failure (connect failed): Connection refused"},
        {2, "", 0, "Channel open failure (connect failed)"},
        {2, "cut", 4000000000, "Channel open failure (connect failed): cut"},
        {77, "words", 5, "Channel open failure: words"},
        {0, "words", 5, "Channel open failure: words"},
        {1, long_words, 3000,
         "Channel open failure (administratively prohibited): wwww"},
    };

    memset(long_words, 'w', sizeof(long_words) - 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        LIBSSH2_CHANNEL *channel;
        struct pair pair;
        char *text;
        int n;

        pair_open(&pair, GCM, GCM);
        channel = start_open(&pair);
        refuse_with(&pair, cases[i].why, cases[i].words, cases[i].n);
        CHECK_EQ(libssh2_channel_open_poll(channel),
                 LIBSSH2_ERROR_CHANNEL_FAILURE);
        libssh2_session_last_error(pair.ours.session, &text, &n, 0);
        CHECK_EQ(strncmp(text, cases[i].text, strlen(cases[i].text)), 0);
        CHECK(n < 600);
        pair_close(&pair);
    }
}

/* ---- Ready channels --------------------------------------------------- */

static void
say_to(struct pair *pair, int type, const LIBSSH2_CHANNEL *channel)
{
    said.n = 0;
    put_byte(&said, (unsigned)type);
    put_u32(&said, channel->local.id);
    put_u32(&said, 1); /* only WINDOW_ADJUST has this field */
    say(&pair->theirs, &said);
}

static void
packets_are_received_without_a_channel(void)
{
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    said.n = 0;
    put_byte(&said, SSH_MSG_GLOBAL_REQUEST);
    put_text(&said, "are you there?");
    put_byte(&said, 1);
    say(&pair.theirs, &said);
    say(&pair.theirs, &said);
    CHECK_EQ(libssh2_session_receive(pair.ours.session), LIBSSH2_ERROR_EAGAIN);
    CHECK(they_hear(&pair, SSH_MSG_REQUEST_FAILURE, &heard));
    CHECK(they_hear(&pair, SSH_MSG_REQUEST_FAILURE, &heard));
    pair.ours.session->socket_state = LIBSSH2_SOCKET_DISCONNECTED;
    CHECK_EQ(libssh2_session_receive(pair.ours.session),
             LIBSSH2_ERROR_SOCKET_DISCONNECT);
    pair_close(&pair);
}

static void
ready_channels_are_returned_once_in_order(void)
{
    static const int types[] = {SSH_MSG_CHANNEL_WINDOW_ADJUST,
                                SSH_MSG_CHANNEL_EOF, SSH_MSG_CHANNEL_CLOSE};
    LIBSSH2_CHANNEL *first, *second, *idle;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    first = open_channel(&pair);
    idle = open_channel(&pair);
    second = open_channel(&pair);
    CHECK(*libssh2_channel_abstract(first) == NULL);
    *libssh2_channel_abstract(first) = &pair;
    CHECK(libssh2_session_ready_channel(pair.ours.session) == NULL);
    say_data(&pair, second->local.id, "ab", 2);
    say_data(&pair, first->local.id, "c", 1);
    say_data(&pair, second->local.id, "d", 1);
    CHECK_EQ(libssh2_session_receive(pair.ours.session), LIBSSH2_ERROR_EAGAIN);
    CHECK(libssh2_session_ready_channel(pair.ours.session) == second);
    CHECK(libssh2_session_ready_channel(pair.ours.session) == first);
    CHECK(libssh2_session_ready_channel(pair.ours.session) == NULL);
    CHECK(*libssh2_channel_abstract(first) == &pair);
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        say_to(&pair, types[i], second);
        libssh2_session_receive(pair.ours.session);
        CHECK(libssh2_session_ready_channel(pair.ours.session) == second);
        CHECK(libssh2_session_ready_channel(pair.ours.session) == NULL);
    }
    CHECK_EQ(libssh2_channel_eof(idle), 0);
    pair_close(&pair);
}

static void
ready_channels_may_be_freed(void)
{
    LIBSSH2_CHANNEL *first, *second, *third;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    first = open_channel(&pair);
    second = open_channel(&pair);
    third = open_channel(&pair);
    say_to(&pair, SSH_MSG_CHANNEL_WINDOW_ADJUST, first);
    say_to(&pair, SSH_MSG_CHANNEL_CLOSE, second);
    say_to(&pair, SSH_MSG_CHANNEL_WINDOW_ADJUST, third);
    libssh2_session_receive(pair.ours.session);
    CHECK_EQ(libssh2_channel_free(second), 0);
    CHECK(libssh2_session_ready_channel(pair.ours.session) == first);
    CHECK(libssh2_session_ready_channel(pair.ours.session) == third);
    CHECK(libssh2_session_ready_channel(pair.ours.session) == NULL);
    pair_close(&pair);
}

int
main(int argc, char **argv)
{
    libssh2_init(0);
    if (argc == 2) { /* for measuring with callgrind */
        time_of_burst(atoi(argv[1]), 1);
        return 0;
    }
    RUN(looking_up_a_channel_takes_constant_time);
    RUN(ids_in_use_are_not_assigned_again);
    RUN(channels_of_one_bucket_are_distinguished);
    RUN(a_read_scans_only_the_packets_of_its_channel);
    RUN(streams_of_a_channel_are_read_separately);
    RUN(opens_are_answered_in_any_order);
    RUN(opens_with_both_functions_are_independent);
    RUN(opens_that_are_abandoned_are_closed);
    RUN(opens_that_take_too_long_are_abandoned);
    RUN(opens_end_with_the_session);
    RUN(opens_sent_in_part_are_completed_before_free);
    RUN(opens_are_refused_for_every_reason);
    RUN(a_truncated_open_failure_is_a_protocol_error);
    RUN(an_open_failure_includes_the_servers_description);
    RUN(packets_are_received_without_a_channel);
    RUN(ready_channels_are_returned_once_in_order);
    RUN(ready_channels_may_be_freed);
    return 0;
}
