/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program plays a hostile server (script.h) during an authentication by
 * messages (userauth.h): key exchanges at unexpected moments, and messages
 * that are out of place.
 */
#include "lib/script.h"
#include "ssh/auth.h"
#include "ssh/userauth.h"

/* The host key that put_kex() shows, and another one. */
static const unsigned char first_key[32] = {9}, other_key[32] = {77};
static const unsigned char right_signature[64];
static const unsigned char wrong_signature[64] = {WRONG_SIGNATURE};

static struct script script;
static struct sg_session *session;

/* Let the server send `words` and its identification string before them.
 * Returns the status of the handshake. */
static enum sg_status
shake_hands(struct bytes *words)
{
    struct bytes all = {0};
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_patiently();

    bytes_add(&all, SERVER_BANNER, sizeof(SERVER_BANNER) - 1);
    bytes_add(&all, words->data, words->len);
    free(words->data);
    *words = (struct bytes){0};
    session = script_start(&script, &all);
    free(all.data);
    sg_userauth_enable(session);
    return sg_session_handshake(session, NULL, &wait, &error);
}

static void
end(void)
{
    sg_session_free(session);
    script_close(&script);
}

/* Check that the session's host key is the one that put_kex() shows. */
static void
check_first_key(void)
{
    size_t n;
    const char *key = sg_session_host_key(session, &n);

    CHECK(key != NULL);
    CHECK_EQ(n, 4 + 11 + 4 + 32);
    CHECK_EQ(memcmp(key + n - 32, first_key, 32), 0);
}

static enum sg_status
send_password(struct sg_error *error)
{
    static const unsigned char message[] = "\062the password";
    struct sg_wait wait = wait_patiently();

    return sg_userauth_send(session, message, sizeof(message) - 1, &wait,
                            error);
}

/* Receive a message.  Returns its number, or a negative status. */
static int
receive(struct sg_error *error)
{
    struct sg_wait wait = wait_patiently();
    unsigned char *message;
    size_t n;
    enum sg_status status = sg_userauth_receive(session, &message, &n, &wait,
                                                error);
    int number = status == SG_OK ? message[0] : -(int)status;

    sg_userauth_free(session, message);
    return number;
}

/* Fails if the client has sent its password. */
static void
check_no_password(void)
{
    sg_session_free(session);
    while (script_next(&script) >= 0) {
        CHECK(script.packet[0] != 50);
    }
    script_close(&script);
}

static void
put_other_kex(struct bytes *words, const unsigned char *key,
              const unsigned char *signature)
{
    put_kexinit(words, 1);
    put_kex_reply_with(words, 1, key, signature);
    packet_put(words, 1, MSG_NEWKEYS, "");
}

/* The handshake succeeds with the first host key.  The next bytes of the
 * server lose the connection, before anything secret is sent. */
static void
check_lost_behind_the_handshake(struct bytes *words)
{
    struct sg_error error = {.status = SG_OK};

    CHECK_EQ(shake_hands(words), SG_OK);
    check_first_key();
    CHECK_EQ(receive(&error), -SG_ERR_LOST);
    CHECK(!sg_auth_is_done(session));
    check_no_password();
}

/* ---- A second key exchange --------------------------------------------- */

/* The server does not wait for the end of the first one.  The handshake ends
 * with the first key exchange, so that its host key is the verified one, and
 * the second one fails before anything secret is sent. */
static void
second_key_exchange_behind_the_handshake_is_refused(void)
{
    struct bytes words = {0};

    put_kex(&words, 0);
    put_other_kex(&words, other_key, wrong_signature);
    packet_put(&words, 1, MSG_USERAUTH_SUCCESS, "");
    check_lost_behind_the_handshake(&words);
}

static void
second_key_exchange_without_a_host_key_is_refused(void)
{
    struct bytes words = {0};

    put_kex(&words, 0);
    put_kexinit(&words, 1);
    packet_put(&words, 1, MSG_KEX_ECDH_REPLY, "sss", "", "", "");
    packet_put(&words, 1, MSG_USERAUTH_SUCCESS, "");
    check_lost_behind_the_handshake(&words);
}

/* The second KEXINIT arrives before the first exchange is complete. */
static void
second_key_exchange_within_the_first_is_refused(void)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes words = {0};

    put_kexinit(&words, 0);
    put_kex_reply(&words, 0);
    put_kexinit(&words, 0);
    put_kex_reply_with(&words, 0, other_key, wrong_signature);
    packet_put(&words, 0, MSG_NEWKEYS, "");
    packet_put(&words, 1, MSG_USERAUTH_SUCCESS, "");
    if (shake_hands(&words) == SG_OK) {
        check_first_key();
        CHECK_EQ(receive(&error), -SG_ERR_LOST);
        CHECK(!sg_auth_is_done(session));
    }
    check_no_password();
}

/* Let the client read the KEXINIT of the server, which begins a rekey. */
static void
begin_rekey(void)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_at_most(0);
    unsigned char *message;
    size_t n;

    while (script_next(&script) != MSG_NEWKEYS) {
    }
    CHECK_EQ(sg_userauth_receive(session, &message, &n, &wait, &error),
             SG_ERR_TIMEOUT);
    script_expect(&script, MSG_KEXINIT);
}

/* The server proves that it has the other key, but the caller has not checked
 * that one. */
static void
rekey_with_another_host_key_is_refused(void)
{
    for (int does_send = 0; does_send < 2; does_send++) {
        struct sg_error error = {.status = SG_OK};
        struct bytes words = {0};

        put_kex(&words, 0);
        put_kexinit(&words, 1);
        CHECK_EQ(shake_hands(&words), SG_OK);
        begin_rekey();
        put_kex_reply_with(&words, 1, other_key, right_signature);
        packet_put(&words, 1, MSG_NEWKEYS, "");
        packet_put(&words, 1, MSG_USERAUTH_SUCCESS, "");
        script_write_bytes(&script, &words);
        if (does_send) {
            CHECK_EQ(send_password(&error), SG_ERR_LOST);
        }
        else {
            CHECK_EQ(receive(&error), -SG_ERR_LOST);
        }
        CHECK(strstr(error.text, "host key has changed") != NULL);
        check_no_password();
    }
}

/* ---- Rekeys that are in order ------------------------------------------ */

/* The server rekeys `times` times between two messages; the client notices at
 * the next message that it sends or receives. */
static void
check_rekeys(int times, bool does_send)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes words = {0};

    put_kex(&words, 0);
    packet_put(&words, 1, MSG_SERVICE_ACCEPT, "s", "ssh-userauth");
    for (int i = 0; i < times; i++) {
        put_other_kex(&words, first_key, right_signature);
    }
    packet_put(&words, 1, MSG_USERAUTH_BANNER, "ss", "hello", "");
    packet_put(&words, 1, MSG_USERAUTH_FAILURE, "sb", "password", 0);
    packet_put(&words, 1, MSG_USERAUTH_SUCCESS, "");
    CHECK_EQ(shake_hands(&words), SG_OK);
    CHECK_EQ(receive(&error), MSG_SERVICE_ACCEPT);
    if (does_send) {
        CHECK_OK(send_password(&error), error);
    }
    CHECK_EQ(receive(&error), MSG_USERAUTH_BANNER);
    CHECK_EQ(receive(&error), MSG_USERAUTH_FAILURE);
    if (!does_send) {
        CHECK_OK(send_password(&error), error);
    }
    CHECK_EQ(receive(&error), MSG_USERAUTH_SUCCESS);
    CHECK(sg_auth_is_done(session));
    check_first_key();
    script_expect(&script, MSG_NEWKEYS);
    for (int i = 0; !does_send && i < times; i++) {
        script_expect(&script, MSG_NEWKEYS);
    }
    script_expect(&script, 50);
    CHECK_EQ(script.packet_len, sizeof("\062the password") - 1);
    end();
}

static void
rekeys_between_messages_lose_nothing(void)
{
    for (int times = 0; times < 4; times++) {
        check_rekeys(times, false);
        check_rekeys(times, true);
    }
}

/* ---- Messages out of place --------------------------------------------- */

static void
other_messages_end_the_login(void)
{
    static const int types[] = {MSG_UNIMPLEMENTED, MSG_NEWKEYS, 49,
                                MSG_CHANNEL_SUCCESS, 200};

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct sg_error error = {.status = SG_OK};
        struct bytes words = {0};

        put_kex(&words, 0);
        packet_put(&words, 1, types[i], "");
        packet_put(&words, 1, MSG_USERAUTH_SUCCESS, "");
        CHECK_EQ(shake_hands(&words), SG_OK);
        CHECK_EQ(receive(&error), -SG_ERR_LOST);
        CHECK(error.text[0] != '\0');
        CHECK(!sg_auth_is_done(session));
        end();
    }
}

/* Many messages that belong to nothing. */
static int64_t
flood(void)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes words = {0};
    int64_t start;

    put_kex(&words, 0);
    CHECK_EQ(shake_hands(&words), SG_OK);
    start = sg_sys_now();
    for (int i = 0; i < 3000; i++) {
        packet_put(&words, 1, 200, "");
    }
    script_write_bytes(&script, &words);
    CHECK_EQ(receive(&error), -SG_ERR_LOST);
    end();
    return sg_sys_now() - start;
}

static void
flood_ends_the_login_at_once(void)
{
    expect_in_time(flood, 5 * SG_SEC);
}

static void *
send_banners(void *unused)
{
    struct bytes words = {0};

    for (int i = 0; i < 1000; i++) {
        packet_put(&words, 1, MSG_USERAUTH_BANNER, "ss", "hello", "");
    }
    while (send(script.fd, words.data, words.len, MSG_NOSIGNAL) > 0) {
    }
    free(words.data);
    return unused;
}

/* The server begins a key exchange, does not complete it, and never pauses. */
static void
endless_key_exchange_ends_at_the_deadline(void)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait;
    struct bytes words = {0};
    unsigned char *message;
    pthread_t thread;
    size_t n;

    put_kex(&words, 0);
    put_kexinit(&words, 1);
    CHECK_EQ(shake_hands(&words), SG_OK);
    begin_rekey();
    CHECK_EQ(pthread_create(&thread, NULL, send_banners, NULL), 0);
    wait = wait_at_most(100 * SG_MSEC);
    CHECK_EQ(sg_userauth_send(session, (const unsigned char *)"\062", 1, &wait,
                              &error),
             SG_ERR_TIMEOUT);
    error = (struct sg_error){.status = SG_OK};
    wait = wait_at_most(0);
    /* what has arrived can be received */
    CHECK_OK(sg_userauth_receive(session, &message, &n, &wait, &error), error);
    CHECK_EQ(message[0], MSG_USERAUTH_BANNER);
    sg_userauth_free(session, message);
    sg_session_free(session);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    script_close(&script);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(second_key_exchange_behind_the_handshake_is_refused),
        CASE(second_key_exchange_without_a_host_key_is_refused),
        CASE(second_key_exchange_within_the_first_is_refused),
        CASE(rekey_with_another_host_key_is_refused),
        CASE(rekeys_between_messages_lose_nothing),
        CASE(other_messages_end_the_login),
        CASE(flood_ends_the_login_at_once),
        CASE(endless_key_exchange_ends_at_the_deadline),
    };

    if (!sg_userauth_is_available()) {
        printf("0 passed: this libssh2 cannot authenticate by messages\n");
        return 0;
    }
    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
