/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests handshakes (session.c, handshake.c) and authentication
 * (auth.c), with a real sshd and with peers that are no SSH server.
 */
#include <openssl/evp.h>

#include "lib/interrupts.h"
#include "lib/sshd.h"
#include "lib/stream.h"
#include "ssh/auth.h"

/* ---- Handshake -------------------------------------------------------- */

/* The peer of this session is no SSH server; `peer` is its end. */
struct stranger {
    struct sg_session *session;
    int peer;
};

static struct stranger
stranger_open(void)
{
    struct stranger stranger;
    int pair[2];

    CHECK_EQ(sg_sys_socketpair(pair), 0);
    stranger.session = session_new_unshared(pair[0]);
    stranger.peer = pair[1];
    return stranger;
}

static void
stranger_close(struct stranger *stranger)
{
    sg_session_free(stranger->session);
    sg_sys_close(&stranger->peer);
}

static void
expect_handshake(struct stranger *stranger, struct sg_wait wait,
                 enum sg_status status)
{
    struct sg_error error = {.status = SG_OK};

    CHECK_EQ(sg_session_handshake(stranger->session, NULL, &wait, &error),
             status);
    CHECK_EQ(error.status, status);
}

static int64_t
time_out_in_silence(void)
{
    struct stranger stranger = stranger_open();
    int64_t start = sg_sys_now(), took;

    expect_handshake(&stranger, wait_at_most(100 * SG_MSEC), SG_ERR_TIMEOUT);
    took = sg_sys_now() - start;
    CHECK_GE(took, 100 * SG_MSEC);
    stranger_close(&stranger);
    return took;
}

static void
handshake_ends_at_its_deadline(void)
{
    expect_in_time(time_out_in_silence, 2 * SG_SEC);
}

static void
handshake_with_garbage_fails(void)
{
    static char garbage[30000];
    struct random random = {1};

    for (int n = 0; n < 50; n++) {
        struct stranger stranger = stranger_open();
        struct sg_error error = {.status = SG_OK};
        struct sg_wait wait = wait_at_most(PATIENCE * SG_SEC);
        enum sg_status status;

        for (size_t i = 0; i < sizeof(garbage); i++) {
            garbage[i] = (char)random_next(&random);
        }
        if (n % 2 == 0) {
            write_all(stranger.peer, "SSH-2.0-x\r\n", 11);
        }
        write_all(stranger.peer, garbage,
                  random_below(&random, sizeof(garbage)));
        CHECK_EQ(shutdown(stranger.peer, SHUT_WR), 0);
        status = sg_session_handshake(stranger.session, NULL, &wait, &error);
        CHECK(status == SG_ERR_SSH || status == SG_ERR_LOST);
        stranger_close(&stranger);
    }
}

static void
handshake_fails_when_the_peer_leaves(void)
{
    static const char *const words[] = {
        "",          "SSH-",          "SSH-2.0-x",
        "hello\r\n", "SSH-2.0-x\r\n", "SSH-1.5-x\r\n"};

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        struct stranger stranger = stranger_open();
        struct sg_error error = {.status = SG_OK};
        struct sg_wait wait = wait_at_most(PATIENCE * SG_SEC);
        enum sg_status status;

        write_all(stranger.peer, words[i], strlen(words[i]));
        sg_sys_close(&stranger.peer);
        status = sg_session_handshake(stranger.session, NULL, &wait, &error);
        if (status != SG_ERR_LOST && status != SG_ERR_SSH) {
            test_fail(__FILE__, __LINE__, "%d after \"%s\"", status, words[i]);
        }
        CHECK(error.text[0] != '\0' || error.err != 0);
        stranger_close(&stranger);
    }
}

static void *
talk(void *arg)
{
    static const char text[] = "good morning to you\r\n";
    int fd = *(int *)arg;

    while (write(fd, text, sizeof(text) - 1) > 0) {
    }
    return NULL;
}

static void
handshake_with_an_endless_banner_ends_at_its_deadline(void)
{
    struct stranger stranger = stranger_open();
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, talk, &stranger.peer), 0);
    expect_handshake(&stranger, wait_at_most(100 * SG_MSEC), SG_ERR_TIMEOUT);
    sg_session_free(stranger.session);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    sg_sys_close(&stranger.peer);
}

static void
handshake_can_be_interrupted(void)
{
    struct stranger stranger = stranger_open();
    struct sg_wait wait = interrupts_start();

    expect_handshake(&stranger, wait, SG_ERR_INTERRUPTED);
    interrupts_end();
    stranger_close(&stranger);
}

/* ---- Authentication --------------------------------------------------- */

static void
key_logs_in(void)
{
    struct sshd sshd = sshd_start("");
    struct sg_session *session = session_new_unshared(sshd.fd);
    struct sg_error error = {.status = SG_OK};
    size_t n;

    session_handshake(session);
    CHECK(sg_session_host_key(session, &n) != NULL);
    CHECK_EQ(n, 4 + 11 + 4 + 32);
    CHECK_TEXT(sg_session_method(session, SG_METHOD_HOST_KEY), "ssh-ed25519");
    CHECK_EQ(strncmp(sg_session_method(session, SG_METHOD_VERSION),
                     "SSH-2.0-OpenSSH", 15),
             0);
    CHECK(!sg_auth_is_done(session));
    CHECK_OK(log_in_with_key(session, "user", &error), error);
    CHECK(sg_auth_is_done(session));
    sg_session_free(session);
    sshd_join(&sshd);
}

static void
right_key_logs_in_after_refused_ones(void)
{
    struct sshd sshd = sshd_start("");
    struct sg_session *session = session_new_unshared(sshd.fd);
    struct sg_error error = {.status = SG_OK}, refusal = {.status = SG_OK};
    struct sg_wait wait = wait_patiently();
    const char *methods;

    session_handshake(session);
    CHECK_OK(sg_auth_none(session, user_name(), &methods, &wait, &error),
             error);
    CHECK_TEXT(methods, "publickey");
    CHECK_EQ(log_in_with_key(session, "stranger", &refusal), SG_ERR_REFUSED);
    CHECK(refusal.text[0] != '\0');
    refusal = (struct sg_error){.status = SG_OK};
    CHECK_EQ(sg_auth_password(session, user_name(), "x", 1, &wait, &refusal),
             SG_ERR_REFUSED);
    refusal = (struct sg_error){.status = SG_OK};
    CHECK_EQ(sg_auth_key(session, user_name(), "nonsense", 8, NULL, NULL,
                         &wait, &refusal),
             SG_ERR_REFUSED);
    CHECK(!sg_auth_is_done(session));
    CHECK_OK(log_in_with_key(session, "user", &error), error);
    sg_session_free(session);
    sshd_join(&sshd);
}

static void
too_many_failures_have_the_servers_reason(void)
{
    struct sshd sshd = sshd_start("MaxAuthTries 2");
    struct sg_session *session = session_new_unshared(sshd.fd);
    enum sg_status status = SG_ERR_REFUSED;
    struct sg_error error = {.status = SG_OK};

    session_handshake(session);
    for (int i = 0; i < 5 && status == SG_ERR_REFUSED; i++) {
        error = (struct sg_error){.status = SG_OK};
        status = log_in_with_key(session, "stranger", &error);
    }
    CHECK_EQ(status, SG_ERR_LOST);
    CHECK(strstr(error.text, "Too many") != NULL);
    CHECK_EQ(error.code, 2); /* SSH_DISCONNECT_PROTOCOL_ERROR */
    sg_session_free(session);
    sshd_join(&sshd);
}

/* Returns the decoded base64 of a key file, and its length in `n`: of a
 * public key the second word, of a private key all between the dashes.  The
 * caller frees it. */
static unsigned char *
decode(const char *name, size_t *n)
{
    size_t length, used = 0;
    char *text = sshd_file(name, &length), *from, *end;
    unsigned char *data = calloc(1, length + 4);
    int got;

    CHECK(data != NULL);
    if (text[0] == '-') {
        from = strchr(text, '\n') + 1;
        end = strstr(from, "-----END");
    }
    else {
        from = strchr(text, ' ') + 1;
        end = from + strcspn(from, " \n");
    }
    CHECK(end != NULL);
    for (char *c = from; c < end; c++) {
        if (*c != '\n') {
            text[used++] = *c;
        }
    }
    got = EVP_DecodeBlock(data, (unsigned char *)text, (int)used);
    CHECK_GE(got, 1);
    *n = (size_t)got - (text[used - 1] == '=') - (text[used - 2] == '=');
    free(text);
    return data;
}

/* Sign with the private key of "user".  It is the only string of 64 bytes in
 * the file: the 32 bytes of the seed and then the public key. */
static int
sign(void *arg, const char *algorithm, const unsigned char *data, size_t n,
     unsigned char **signature, size_t *signature_len)
{
    static const unsigned char head[4] = {0, 0, 0, 64};
    size_t length;
    unsigned char *key = decode("user", &length);
    unsigned char *seed = memmem(key, length, head, sizeof(head));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY *private;

    CHECK_TEXT(algorithm, "ssh-ed25519");
    CHECK(seed != NULL);
    CHECK(context != NULL);
    private = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed + 4,
                                           32);
    CHECK(private != NULL);
    *signature_len = 64;
    *signature = malloc(*signature_len);
    CHECK_EQ(EVP_DigestSignInit(context, NULL, NULL, NULL, private), 1);
    CHECK_EQ(EVP_DigestSign(context, *signature, signature_len, data, n), 1);
    EVP_PKEY_free(private);
    EVP_MD_CTX_free(context);
    free(key);
    ++*(int *)arg;
    return 0;
}

static int
sign_nothing(void *arg, const char *algorithm, const unsigned char *data,
             size_t n, unsigned char **signature, size_t *signature_len)
{
    (void)algorithm;
    (void)data;
    (void)n;
    (void)signature;
    (void)signature_len;
    ++*(int *)arg;
    return -1;
}

static void
signer_logs_in(void)
{
    struct sshd sshd = sshd_start("");
    struct sg_session *session = session_new_unshared(sshd.fd);
    int signed_ones = 0;
    struct sg_signer signer = {.sign = sign_nothing, .arg = &signed_ones};
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_patiently();
    size_t n, m;
    unsigned char *blob = decode("user.pub", &n);
    unsigned char *stranger = decode("stranger.pub", &m);

    session_handshake(session);
    CHECK_EQ(
        sg_auth_signer(session, user_name(), blob, n, &signer, &wait, &error),
        SG_ERR_REFUSED);
    CHECK_EQ(signed_ones, 1);
    error = (struct sg_error){.status = SG_OK};
    signer.sign = sign;
    CHECK_EQ(sg_auth_signer(session, user_name(), stranger, m, &signer, &wait,
                            &error),
             SG_ERR_REFUSED);
    CHECK_EQ(signed_ones, 1); /* a refused key is not signed with */
    error = (struct sg_error){.status = SG_OK};
    CHECK_OK(
        sg_auth_signer(session, user_name(), blob, n, &signer, &wait, &error),
        error);
    CHECK_EQ(signed_ones, 2);
    CHECK(sg_auth_is_done(session));
    free(blob);
    free(stranger);
    sg_session_free(session);
    sshd_join(&sshd);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(handshake_ends_at_its_deadline),
        CASE(handshake_with_garbage_fails),
        CASE(handshake_fails_when_the_peer_leaves),
        CASE(handshake_with_an_endless_banner_ends_at_its_deadline),
        CASE(handshake_can_be_interrupted),
        CASE(key_logs_in),
        CASE(right_key_logs_in_after_refused_ones),
        CASE(too_many_failures_have_the_servers_reason),
        CASE(signer_logs_in),
    };

    return run_cases_with_sshd(cases, COUNT_OF(cases), argc, argv);
}
