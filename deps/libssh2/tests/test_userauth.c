/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patches signature-algorithm-overflow and
 * method-name-of-a-refused-key: public keys, and the algorithms that the
 * server lists in its EXT_INFO (RFC 8308).
 */
#include "pair.h"

#define GCM "aes128-gcm@openssh.com"
#define RSA "ssh-rsa"
#define RSA_CERT "ssh-rsa-cert-v01@openssh.com"
#define ED25519 "ssh-ed25519"

static struct message said, heard;

static void
say_algorithms(struct pair *pair, const char *names)
{
    said.n = 0;
    put_byte(&said, SSH_MSG_EXT_INFO);
    put_u32(&said, 1);
    put_text(&said, "server-sig-algs");
    put_text(&said, names);
    say(&pair->theirs, &said);
    CHECK_EQ(listen_to(&pair->ours), LIBSSH2_ERROR_EAGAIN);
}

static void
pair_open_to(struct pair *pair, const char *names)
{
    pair_open(pair, GCM, GCM);
    if (names != NULL) {
        say_algorithms(pair, names);
    }
}

static LIBSSH2_USERAUTH_PUBLICKEY_SIGN_FUNC(sign)
{
    (void)session;
    (void)sig;
    (void)sig_len;
    (void)data;
    (void)data_len;
    (void)abstract;
    return -1;
}

/* Make one step of a login with a key of that type. The key is not valid. */
static int
offer(struct pair *pair, const char *type)
{
    static struct message key;
    void *abstract = NULL;

    key.n = 0;
    put_text(&key, type);
    put_text(&key, "the rest of the key");
    return libssh2_userauth_publickey(pair->ours.session, "user", key.data,
                                      key.n, sign, &abstract);
}

/* Check that `theirs` received an offer with that algorithm, and refuse it. */
static void
refuse(struct pair *pair, const char *type, const char *algorithm)
{
    size_t at = 1;

    CHECK(they_hear(pair, SSH_MSG_USERAUTH_REQUEST, &heard));
    for (int i = 0; i < 3; i++) { /* user, service, "publickey" */
        at += 4 + u32_at(&heard, at);
    }
    at++;
    CHECK_EQ(u32_at(&heard, at), strlen(algorithm));
    CHECK(at + 4 + strlen(algorithm) <= heard.n);
    CHECK(memcmp(heard.data + at + 4, algorithm, strlen(algorithm)) == 0);
    said.n = 0;
    put_byte(&said, SSH_MSG_USERAUTH_FAILURE);
    put_text(&said, "publickey");
    put_byte(&said, 0);
    say(&pair->theirs, &said);
    CHECK_EQ(offer(pair, type), LIBSSH2_ERROR_AUTHENTICATION_FAILED);
}

static void
offered_as(const char *names, const char *preferred, const char *type,
           const char *algorithm)
{
    struct pair pair;

    pair_open_to(&pair, names);
    if (preferred != NULL) {
        CHECK_EQ(libssh2_session_method_pref(
                     pair.ours.session, LIBSSH2_METHOD_SIGN_ALGO, preferred),
                 0);
    }
    CHECK_EQ(offer(&pair, type), LIBSSH2_ERROR_EAGAIN);
    refuse(&pair, type, algorithm);
    pair_close(&pair);
}

/* ---- Which algorithm -------------------------------------------------- */

#define CERT "-cert-v01@openssh.com"

static void
our_first_common_algorithm_is_used(void)
{
    static const struct {
        const char *names, *algorithm;
    } cases[] = {
        {NULL, RSA}, /* no EXT_INFO */
        {"rsa-sha2-256", "rsa-sha2-256"},
        {"rsa-sha2-512", "rsa-sha2-512"},
        {"rsa-sha2-256,rsa-sha2-512", "rsa-sha2-512"},
        {"ssh-ed25519,rsa-sha2-256,ssh-dss", "rsa-sha2-256"},
        {",,rsa-sha2-256,", "rsa-sha2-256"},
        {"rsa-sha2-5,rsa-sha2-5120,rsa-sha2-256", "rsa-sha2-256"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char certified[64];

        snprintf(certified, sizeof(certified), "%s%s", cases[i].algorithm,
                 CERT);
        offered_as(cases[i].names, NULL, RSA, cases[i].algorithm);
        offered_as(cases[i].names, NULL, RSA_CERT, certified);
        offered_as(cases[i].names, NULL, ED25519, ED25519);
        offered_as(cases[i].names, NULL, "ecdsa-sha2-nistp256" CERT,
                   "ecdsa-sha2-nistp256" CERT);
    }
    offered_as("rsa-sha2-512,rsa-sha2-256", "rsa-sha2-256,rsa-sha2-512", RSA,
               "rsa-sha2-256");
    offered_as("rsa-sha2-512", "rsa-sha2-256,rsa-sha2-512", RSA,
               "rsa-sha2-512");
}

/* ---- A server that repeats names -------------------------------------- */

static void
repeated_algorithms_do_not_overflow(void)
{
    static const char *const types[] = {RSA, RSA_CERT};
    static char names[30001];

    for (size_t repeated = 2; repeated <= 2000; repeated += 37) {
        names[0] = '\0';
        for (size_t i = 0; i < repeated; i++) {
            strcat(names, i % 2 ? ",rsa-sha2-512" : ",rsa-sha2-256");
        }
        for (size_t i = 0; i < 2; i++) {
            offered_as(names + 1, NULL, types[i],
                       i == 0 ? "rsa-sha2-512" : "rsa-sha2-512" CERT);
        }
        offered_as(names + 1, NULL, ED25519, ED25519);
    }
}

/* OpenSSH 7.7 and older accept RSA certificates only with ssh-rsa signatures.
 * The sanitizer reports a leak. */
static void
old_servers_leak_no_memory(void)
{
    static const char banner[] = "SSH-2.0-OpenSSH_7.4";
    struct pair pair;

    pair_open_to(&pair, "rsa-sha2-512");
    pair.ours.session->remote.banner = LIBSSH2_ALLOC(pair.ours.session,
                                                     sizeof(banner));
    CHECK(pair.ours.session->remote.banner != NULL);
    memcpy(pair.ours.session->remote.banner, banner, sizeof(banner));
    CHECK_EQ(offer(&pair, RSA_CERT), LIBSSH2_ERROR_EAGAIN);
    refuse(&pair, RSA_CERT, RSA_CERT);
    CHECK_EQ(offer(&pair, RSA), LIBSSH2_ERROR_EAGAIN);
    refuse(&pair, RSA, "rsa-sha2-512");
    pair_close(&pair);
}

/* ---- Several keys ----------------------------------------------------- */

static void
a_key_of_another_type_may_follow(void)
{
    static const char *const types[] = {RSA, RSA_CERT};

    for (size_t i = 0; i < 2; i++) {
        struct pair pair;

        pair_open_to(&pair, "ssh-ed25519");
        CHECK_EQ(offer(&pair, types[i]), LIBSSH2_ERROR_METHOD_NONE);
        CHECK_EQ(offer(&pair, ED25519), LIBSSH2_ERROR_EAGAIN);
        refuse(&pair, ED25519, ED25519);
        pair_close(&pair);
    }
}

int
main(void)
{
    libssh2_init(0);
    RUN(our_first_common_algorithm_is_used);
    RUN(repeated_algorithms_do_not_overflow);
    RUN(old_servers_leak_no_memory);
    RUN(a_key_of_another_type_may_follow);
    return 0;
}
