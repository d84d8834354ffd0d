/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patches directions-with-different-ciphers,
 * rekey-after-a-partial-send, pointers-to-freed-channels, keepalive-replies,
 * data-before-disconnect and buffered-random-padding.
 */
#include "pair.h"

#define GCM "aes128-gcm@openssh.com"
#define CTR "aes256-ctr"
#define CHACHA "chacha20-poly1305@openssh.com"

static struct message said, heard;

static void
directions_may_use_different_ciphers(void)
{
    static const char *const ciphers[] = {GCM, CTR, CHACHA, "aes128-cbc"};

    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++) {
            struct pair pair;

            pair_open(&pair, ciphers[i], ciphers[k]);
            for (size_t n = 1; n < 70; n++) {
                said.n = 0;
                put_byte(&said, SSH_MSG_CHANNEL_SUCCESS);
                while (said.n < n) {
                    put_byte(&said, (unsigned)said.n);
                }
                say(&pair.ours, &said);
                CHECK(they_hear(&pair, SSH_MSG_CHANNEL_SUCCESS, &heard));
                CHECK_EQ(heard.n, n);
                say(&pair.theirs, &said);
                CHECK(we_hear(&pair, SSH_MSG_CHANNEL_SUCCESS, &heard));
                CHECK_EQ(heard.n, n);
            }
            pair_close(&pair);
        }
    }
}

/* ---- Padding ---------------------------------------------------------- */

static size_t drawn, draws;

int __real_RAND_bytes(unsigned char *to, int n);
int __wrap_RAND_bytes(unsigned char *to, int n);

int
__wrap_RAND_bytes(unsigned char *to, int n)
{
    drawn += (size_t)n;
    draws++;
    return __real_RAND_bytes(to, n);
}

#define LEAST 4 /* RFC 4253 6 */

static void
padding_comes_from_a_buffer(void)
{
    const size_t n = 10000;
    struct pair pair;

    pair_open(&pair, GCM, CTR);
    said.n = 0;
    put_byte(&said, SSH_MSG_CHANNEL_SUCCESS);
    drawn = draws = 0;
    for (size_t i = 0; i < n; i++) {
        say(&pair.ours, &said);
        CHECK(they_hear(&pair, SSH_MSG_CHANNEL_SUCCESS, &heard));
    }
    CHECK(draws < n / 20);
    CHECK(drawn >= n * LEAST); /* no byte is used twice */
    pair_close(&pair);
}

/* ---- Key exchange ----------------------------------------------------- */

static void
key_exchange_waits_for_a_partly_sent_packet(void)
{
    struct pair pair;
    struct wire *out;
    unsigned char data[1000] = {SSH_MSG_IGNORE};

    pair_open(&pair, GCM, GCM);
    out = pair.ours.out;
    out->room = 100;
    CHECK_EQ(_libssh2_transport_send(pair.ours.session, data, sizeof(data),
                                     NULL, 0),
             LIBSSH2_ERROR_EAGAIN);
    say_kexinit(&pair, "curve25519-sha256", GCM, "hmac-sha2-256");
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK(pair.ours.session->state & LIBSSH2_STATE_EXCHANGING_KEYS);
    out->room = 0;
    CHECK_EQ(_libssh2_transport_send(pair.ours.session, data, sizeof(data),
                                     NULL, 0),
             0);
    /* the packet was sent, and `theirs` can decrypt our part of the key
     * exchange, which follows */
    listen_to(&pair.ours);
    CHECK(they_hear(&pair, SSH_MSG_IGNORE, &heard));
    CHECK(they_hear(&pair, SSH_MSG_KEXINIT, &heard));
    pair_close(&pair);
}

/* ---- Channels that are freed ------------------------------------------ */

static void
a_channel_is_freed_while_its_window_adjustment_waits(void)
{
    LIBSSH2_CHANNEL *channel, *other;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    other = open_channel(&pair);
    channel = open_channel(&pair);
    libssh2_channel_handle_extended_data2(
        channel, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE);
    said.n = 0;
    put_byte(&said, SSH_MSG_CHANNEL_EXTENDED_DATA);
    put_u32(&said, channel->local.id);
    put_u32(&said, 1);
    put_string(&said, (const char[100]){0}, 100);
    say(&pair.theirs, &said);
    say(&pair.theirs, &said);
    pair.ours.out->room = 10;
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK(pair.ours.session->packAdd_channelp == channel);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN); /* the same again */
    pair.ours.out->room = 0;
    pair.ours.session->packet.olen = 0; /* as if it had been sent */
    channel->local.close = 1;
    CHECK_EQ(libssh2_channel_free(channel), 0);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    say_data(&pair, other->local.id, "abc", 3);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(other->read_avail, 3);
    pair_close(&pair);
}

static void
a_delayed_window_adjustment_is_sent(void)
{
    LIBSSH2_CHANNEL *channel;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    channel = open_channel(&pair);
    libssh2_channel_handle_extended_data2(
        channel, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE);
    said.n = 0;
    put_byte(&said, SSH_MSG_CHANNEL_EXTENDED_DATA);
    put_u32(&said, channel->local.id);
    put_u32(&said, 1);
    put_string(&said, (const char[100]){0}, 100);
    say(&pair.theirs, &said);
    pair.ours.out->room = 10;
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    pair.ours.out->room = 0;
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(channel->remote.window_size, WINDOW);
    listen_to(&pair.theirs); /* and all of it arrives */
    CHECK_EQ(pair.theirs.in->start, pair.theirs.in->end);
    pair_close(&pair);
}

/* ---- Replies ---------------------------------------------------------- */

static void
say_reply(struct pair *pair, int type)
{
    said.n = 0;
    put_byte(&said, (unsigned)type);
    say(&pair->theirs, &said);
}

static void
send_keepalive(struct pair *pair)
{
    pair->ours.session->keepalive_last_sent = 0;
    CHECK_EQ(libssh2_keepalive_send(pair->ours.session, NULL), 0);
}

static LIBSSH2_LISTENER *
ask_listen(struct pair *pair)
{
    return libssh2_channel_forward_listen_ex(pair->ours.session, "host", 22,
                                             NULL, 1);
}

static void
replies_to_keepalives_are_not_kept(void)
{
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    libssh2_keepalive_config(pair.ours.session, 1, 1);
    for (int i = 0; i < 3; i++) {
        send_keepalive(&pair);
        say_reply(&pair, SSH_MSG_REQUEST_FAILURE);
        CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
        CHECK(_libssh2_list_first(&pair.ours.session->packets) == NULL);
    }
    say_reply(&pair, SSH_MSG_REQUEST_SUCCESS); /* for no request */
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK(_libssh2_list_first(&pair.ours.session->packets) == NULL);
    pair_close(&pair);
}

static void
a_listener_gets_the_reply_to_its_own_request(void)
{
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    libssh2_keepalive_config(pair.ours.session, 1, 1);
    send_keepalive(&pair);
    send_keepalive(&pair);
    CHECK(ask_listen(&pair) == NULL);
    send_keepalive(&pair);
    say_reply(&pair, SSH_MSG_REQUEST_FAILURE);
    say_reply(&pair, SSH_MSG_REQUEST_FAILURE);
    CHECK(ask_listen(&pair) == NULL);
    CHECK_EQ(libssh2_session_last_errno(pair.ours.session),
             LIBSSH2_ERROR_EAGAIN);
    say_reply(&pair, SSH_MSG_REQUEST_SUCCESS);
    say_reply(&pair, SSH_MSG_REQUEST_FAILURE);
    CHECK(ask_listen(&pair) != NULL);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK(_libssh2_list_first(&pair.ours.session->packets) == NULL);
    pair_close(&pair);
}

/* ---- The end of the connection ---------------------------------------- */

static void
data_before_a_disconnect_is_delivered(void)
{
    LIBSSH2_CHANNEL *full, *done, *empty;
    struct pair pair;
    char buffer[4];

    pair_open(&pair, GCM, GCM);
    full = open_channel(&pair);
    done = open_channel(&pair);
    empty = open_channel(&pair);
    say_data(&pair, full->local.id, "abcdef", 6);
    say_data(&pair, done->local.id, "xyz", 3);
    said.n = 0;
    put_byte(&said, SSH_MSG_CHANNEL_EOF);
    put_u32(&said, done->local.id);
    say(&pair.theirs, &said);
    said.n = 0;
    put_byte(&said, SSH_MSG_DISCONNECT);
    put_u32(&said, 11);
    put_text(&said, "goodbye");
    put_text(&said, "");
    say(&pair.theirs, &said);

    CHECK_EQ(libssh2_channel_read_ex(empty, 0, buffer, 4),
             LIBSSH2_ERROR_SOCKET_DISCONNECT);
    CHECK_EQ(libssh2_channel_read_ex(full, 0, buffer, 4), 4);
    CHECK_EQ(libssh2_channel_read_ex(full, 0, buffer, 4), 2);
    CHECK_EQ(libssh2_channel_read_ex(full, 0, buffer, 4),
             LIBSSH2_ERROR_SOCKET_DISCONNECT);
    CHECK_EQ(libssh2_channel_read_ex(done, 0, buffer, 4), 3);
    CHECK_EQ(libssh2_channel_read_ex(done, 0, buffer, 4), 0);
    pair_close(&pair);
}

int
main(void)
{
    libssh2_init(0);
    RUN(directions_may_use_different_ciphers);
    RUN(padding_comes_from_a_buffer);
    RUN(key_exchange_waits_for_a_partly_sent_packet);
    RUN(a_channel_is_freed_while_its_window_adjustment_waits);
    RUN(a_delayed_window_adjustment_is_sent);
    RUN(replies_to_keepalives_are_not_kept);
    RUN(a_listener_gets_the_reply_to_its_own_request);
    RUN(data_before_a_disconnect_is_delivered);
    return 0;
}
