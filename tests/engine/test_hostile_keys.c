/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A hostile server: keys exchanged when nobody expects it, and wrongly.
 */
#include "lib/hostile.h"

#include <libssh2.h>

/* ---- Before the login -------------------------------------------------- */

/* Keys again before the login, as far as `reply`, and then on as if nothing
 * were. */
static void
expect_mistrust(const struct bytes *reply)
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

/* libssh2 takes the handshake for complete, and has no host key then. */
static void
no_host_key_in_the_end(void)
{
    struct bytes reply = {0};

    packet_put(&reply, 1, MSG_KEX_ECDH_REPLY, "sss", "", "", "");
    expect_mistrust(&reply);
    free(reply.data);
}

/* The host's public key is no secret: who is in the middle may show it, but
 * can't sign with it. */
static void
host_key_of_somebody_else(void)
{
    static const unsigned char public[32] = {77};
    static const unsigned char signature[64] = {WRONG_SIGNATURE};
    struct bytes reply = {0};

    put_kex_reply_with(&reply, 1, public, signature);
    expect_mistrust(&reply);
    free(reply.data);
}

/* ---- Afterwards -------------------------------------------------------- */

static void
rekey(void)
{
    struct bytes bytes = {0};

    put_kex(&bytes, 1);
    script_write_bytes(&script, &bytes);
    script_expect(&script, MSG_NEWKEYS);
}

static void
rekey_again_and_again(void)
{
    begin_session();
    for (int i = 0; i < 30; i++) {
        rekey();
        check_alive();
    }
    end_alive();
}

/* Two keys at once, without waiting for anything. */
static void
rekey_upon_rekey(void)
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

/* What is on its way arrives, though a server may not send it then. */
static void
data_in_the_middle_of_a_rekey(void)
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
close_in_the_middle_of_a_rekey(void)
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

/* An open that has begun, one that begins, and a close. */
static void
rekey_while_much_is_going_on(void)
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

/* A key exchange that the server begins and never ends. */
static void
rekey_without_end(void)
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

/* The system's libssh2 lets a rekey that fails pass in silence, and stays with
 * the keys it has. */
static void
end_of_nonsense(void)
{
#ifdef LIBSSH2_CHANNEL_OPEN_START
    end_lost("");
#else
    end_alive();
#endif
}

/* Nothing in common, no lists, no more than a byte of them. */
static void
rekey_with_nonsense(void)
{
    static const char cookie[16];

    begin_session();
    script_send(&script, MSG_KEXINIT, "rssssssssssbu", cookie, sizeof(cookie),
                "x", "x", "x", "x", "x", "x", "x", "x", "", "", 0, 0U);
    end_of_nonsense();
    begin_session();
    script_send(&script, MSG_KEXINIT, "r", cookie, sizeof(cookie));
    end_of_nonsense();
    begin_session();
    script_send(&script, MSG_KEXINIT, "ru", cookie, sizeof(cookie),
                UINT32_MAX);
    end_of_nonsense();
    begin_session();
    script_send(&script, MSG_KEXINIT, "");
    end_of_nonsense();
}

/* The answer holds less of a host key than it says.  With this method libssh2
 * 1.10 would have given back the old key by then, and still point to it. */
static void
rekey_with_half_a_host_key(void)
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

/* libssh2 says nothing of what goes wrong in a rekey, and stays with the keys
 * it has: a packet could be taken out of the stream like that. */
static void
wrong_mac_in_a_rekey(void)
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
        CASE(rekey_again_and_again),
        CASE(rekey_upon_rekey),
        CASE(no_host_key_in_the_end),
        CASE(host_key_of_somebody_else),
        CASE(data_in_the_middle_of_a_rekey),
        CASE(close_in_the_middle_of_a_rekey),
        CASE(rekey_while_much_is_going_on),
        CASE(rekey_without_end),
        CASE(rekey_with_nonsense),
        CASE(rekey_with_half_a_host_key),
        CASE(wrong_mac_in_a_rekey),
    };

    return run_role_or_cases(NULL, 0, cases, COUNT_OF(cases), argc, argv);
}
