/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program plays a hostile server (hostile.h): key exchanges at unexpected
 * moments, and wrong ones.
 */
#include "lib/hostile.h"

#include <libssh2.h>

/* ---- Before the login -------------------------------------------------- */

/* Check that the handshake fails if the server begins another key exchange
 * before the login, sends `reply` in it, and then goes on as if nothing had
 * happened. */
static void
check_handshake_refused(const struct bytes *reply)
{
    struct bytes words = {0};
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_patiently();
    struct sg_session *session;

    bytes_add(&words, SERVER_BANNER, sizeof(SERVER_BANNER) - 1);
    put_kex(&words, 0);
    put_kexinit(&words, 1);
    bytes_add(&words, reply->data, reply->len);
    packet_put(&words, 1, MSG_SERVICE_ACCEPT, "s", "ssh-userauth");
    session = script_start(&script, &words);
    free(words.data);
    CHECK(sg_session_handshake(session, NULL, &wait, &error) != SG_OK);
    sg_session_free(session);
    script_close(&script);
}

/* libssh2 takes the handshake for complete but has no host key. */
static void
second_key_exchange_without_a_host_key_is_refused(void)
{
    struct bytes reply = {0};

    packet_put(&reply, 1, MSG_KEX_ECDH_REPLY, "sss", "", "", "");
    check_handshake_refused(&reply);
    free(reply.data);
}

/* Anyone can show the host's public key, because it is no secret, but only
 * the host can sign with it. */
static void
second_key_exchange_with_a_wrong_signature_is_refused(void)
{
    static const unsigned char public[32] = {77};
    static const unsigned char signature[64] = {WRONG_SIGNATURE};
    struct bytes reply = {0};

    put_kex_reply_with(&reply, 1, public, signature);
    check_handshake_refused(&reply);
    free(reply.data);
}

/* ---- After the login --------------------------------------------------- */

static void
rekey(void)
{
    struct bytes bytes = {0};

    put_kex(&bytes, 1);
    script_write_bytes(&script, &bytes);
    script_expect(&script, MSG_NEWKEYS);
}

static void
session_survives_many_rekeys(void)
{
    begin_session();
    for (int i = 0; i < 30; i++) {
        rekey();
        check_alive();
    }
    end_alive();
}

/* The server sends several key exchanges in a row and does not wait for the
 * client. */
static void
session_survives_rekeys_in_a_row(void)
{
    struct bytes bytes = {0};

    begin_session();
    for (int i = 0; i < 5; i++) {
        put_kex(&bytes, 1);
    }
    script_write_bytes(&script, &bytes);
    for (int i = 0; i < 5; i++) {
        script_expect(&script, MSG_NEWKEYS);
    }
    end_alive();
}

/* Data within a key exchange is delivered, though RFC 4253 7.1 forbids a
 * server to send it. */
static void
data_within_a_rekey_is_delivered(void)
{
    struct bytes bytes = {0};

    begin_session();
    put_kexinit(&bytes, 1);
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "one");
    put_kex_reply(&bytes, 1);
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "two");
    packet_put(&bytes, 1, MSG_NEWKEYS, "");
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "three");
    script_write_bytes(&script, &bytes);
    expect_text(channel.stream, "onetwothree");
    end_alive();
}

static void
close_within_a_rekey_ends_the_channel(void)
{
    struct bytes bytes = {0};

    begin_session();
    put_kexinit(&bytes, 1);
    packet_put(&bytes, 1, MSG_CHANNEL_EOF, "u", channel.id);
    packet_put(&bytes, 1, MSG_CHANNEL_CLOSE, "u", channel.id);
    put_kex_reply(&bytes, 1);
    packet_put(&bytes, 1, MSG_NEWKEYS, "");
    script_write_bytes(&script, &bytes);
    script_expect(&script, MSG_CHANNEL_CLOSE);
    end_channel_closed();
}

/* The server begins a rekey while one channel opens and another one sends and
 * closes. */
static void
rekey_disturbs_neither_opens_nor_closes(void)
{
    struct sg_error error = {.status = SG_OK};
    struct channel other;
    struct bytes bytes = {0};

    begin_session();
    script_ask(&script, &other);
    script_expect_open(&script, &other);
    put_kexinit(&bytes, 1);
    script_write_bytes(&script, &bytes);
    script_expect(&script, MSG_KEXINIT);
    write_all(channel.stream, "up", 2);
    sg_sys_close(&channel.stream);
    packet_put(&bytes, 1, MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", other.id,
               SERVERS_ID + 1, SCRIPT_WINDOW, 32768U);
    put_kex_reply(&bytes, 1);
    packet_put(&bytes, 1, MSG_NEWKEYS, "");
    script_write_bytes(&script, &bytes);
    script_expect(&script, MSG_NEWKEYS);
    script_expect(&script, MSG_CHANNEL_DATA);
    CHECK_OK(channel_wait(&other, &error), error);
    script_expect(&script, MSG_CHANNEL_CLOSE);
    script_send(&script, MSG_CHANNEL_CLOSE, "u", channel.id);
    channel_close(&channel);
    check_new_channel();
    channel = other;
    expect_quiet();
    end_session();
}

/* The server begins a key exchange and never completes it. */
static void
rekey_that_never_completes_costs_nothing(void)
{
    struct bytes bytes = {0};

    begin_session();
    put_kexinit(&bytes, 1);
    script_write_bytes(&script, &bytes);
    script_expect(&script, MSG_KEXINIT);
    write_all(channel.stream, "never to be heard", 17);
    expect_quiet();
    channel_close(&channel);
    sg_sys_close(&script.control);
    script_expect_end(&script);
    wait_until(no_loop_runs, NULL);
    script_close(&script);
}

/* The system's libssh2 ignores a failed rekey and keeps the old keys.  The
 * pinned one ends the session. */
static void
end_after_failed_rekey(void)
{
#ifdef LIBSSH2_CHANNEL_OPEN_START
    end_lost("");
#else
    end_alive();
#endif
}

/* KEXINIT has no common algorithm, has no lists, has a list of a wrong
 * length, and is empty. */
static void
malformed_kexinit_ends_the_session(void)
{
    static const char cookie[16];

    begin_session();
    script_send(&script, MSG_KEXINIT, "rssssssssssbu", cookie, sizeof(cookie),
                "x", "x", "x", "x", "x", "x", "x", "x", "", "", 0, 0U);
    end_after_failed_rekey();
    begin_session();
    script_send(&script, MSG_KEXINIT, "r", cookie, sizeof(cookie));
    end_after_failed_rekey();
    begin_session();
    script_send(&script, MSG_KEXINIT, "ru", cookie, sizeof(cookie),
                UINT32_MAX);
    end_after_failed_rekey();
    begin_session();
    script_send(&script, MSG_KEXINIT, "");
    end_after_failed_rekey();
}

/* The reply holds less of a host key than its length says.  With this method
 * libssh2 1.10 has freed the old host key by then but still points to it. */
static void
truncated_host_key_in_a_rekey_is_survived(void)
{
    struct bytes bytes = {0};

    begin_session();
    for (int i = 0; i < 3; i++) {
        packet_put(&bytes, 1, MSG_KEXINIT, "rssssssssssbu", "0123456789abcdef",
                   (size_t)16, "diffie-hellman-group14-sha256", "ssh-ed25519",
                   "aes128-ctr", "aes128-ctr", "hmac-sha2-256",
                   "hmac-sha2-256", "none", "none", "", "", 0, 0U);
        packet_put(&bytes, 1, MSG_KEX_ECDH_REPLY, "uu", 1000U, 0U);
    }
    script_write_bytes(&script, &bytes);
    script_expect(&script, MSG_KEXINIT);
    end_session();
    wait_until(no_loop_runs, NULL);
}

/* libssh2 reports no failure of a rekey and keeps the old keys, so an
 * attacker could remove a packet from the stream that way. */
static void
wrong_mac_in_a_rekey_ends_the_session(void)
{
    struct bytes bytes = {0};
    char heard[64] = "";

    begin_session();
    put_kexinit(&bytes, 1);
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "two");
    bytes.data[bytes.len - 1] = 1;
    packet_put(&bytes, 1, MSG_CHANNEL_DATA, "us", channel.id, "three");
    script_write_bytes(&script, &bytes);
    CHECK_EQ(read_up_to(channel.stream, heard, sizeof(heard)), 0);
    end_lost("damaged");
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(session_survives_many_rekeys),
        CASE(session_survives_rekeys_in_a_row),
        CASE(second_key_exchange_without_a_host_key_is_refused),
        CASE(second_key_exchange_with_a_wrong_signature_is_refused),
        CASE(data_within_a_rekey_is_delivered),
        CASE(close_within_a_rekey_ends_the_channel),
        CASE(rekey_disturbs_neither_opens_nor_closes),
        CASE(rekey_that_never_completes_costs_nothing),
        CASE(malformed_kexinit_ends_the_session),
        CASE(truncated_host_key_in_a_rekey_is_survived),
        CASE(wrong_mac_in_a_rekey_ends_the_session),
    };

    return run_role_or_cases(NULL, 0, cases, COUNT_OF(cases), argc, argv);
}
