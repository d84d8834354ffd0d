/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Patch host-certificates: key exchanges with a certificate as the host key.
 * The server of these tests computes the exchange hash (RFC 8731 3.1), so that
 * its signature covers the certificate that it sends, whatever that is.
 */
#define _GNU_SOURCE
#include "certificate.h"
#include "pair.h"

#define CURVE25519 "curve25519-sha256"
#define SERVER "SSH-2.0-theirs"

static const struct {
    const char *name, *algorithm, *digest;
    enum kind kind;
} methods[] = {
    {"ssh-ed25519" CERT, "ssh-ed25519", NULL, ED25519},
    {"ecdsa-sha2-nistp256" CERT, "ecdsa-sha2-nistp256", "SHA256", P256},
    {"ecdsa-sha2-nistp384" CERT, "ecdsa-sha2-nistp384", "SHA384", P384},
    {"ecdsa-sha2-nistp521" CERT, "ecdsa-sha2-nistp521", "SHA512", P521},
    {"rsa-sha2-512" CERT, "rsa-sha2-512", "SHA512", RSA_KEY},
    {"rsa-sha2-256" CERT, "rsa-sha2-256", "SHA256", RSA_KEY},
};
#define METHODS (sizeof(methods) / sizeof(*methods))

/* ---- The server ------------------------------------------------------- */

/* The reply of a server. compose() has made the certificate. */
struct reply {
    struct message certificate;
    struct spec spec; /* .appended and .zeros: of the reply's signature */
    enum kind kind;
    EVP_PKEY *key;
    const char *algorithm, *digest;
};

static struct message said, heard;

static void
put_payload(struct message *to, const void *payload, size_t n)
{
    put_string(to, payload, n);
}

/* Put the exchange hash without K. */
static void
put_exchange(struct message *to, struct pair *pair,
             const struct message *certificate, const unsigned char *ours,
             const unsigned char *theirs)
{
    LIBSSH2_SESSION *session = pair->ours.session;

    put_text(to, LIBSSH2_SSH_DEFAULT_BANNER);
    put_text(to, SERVER);
    put_payload(to, session->local.kexinit, session->local.kexinit_len);
    put_payload(to, session->remote.kexinit, session->remote.kexinit_len);
    put_payload(to, certificate->data, certificate->n);
    put_payload(to, ours, 32);
    put_payload(to, theirs, 32);
}

/* Put K and return the server's public key. */
static void
put_secret(struct message *to, EVP_PKEY *key, const unsigned char *ours)
{
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, ours,
                                                 32);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    unsigned char secret[32];
    size_t n = sizeof(secret);
    BIGNUM *k;

    CHECK(peer != NULL && context != NULL);
    CHECK_EQ(EVP_PKEY_derive_init(context), 1);
    CHECK_EQ(EVP_PKEY_derive_set_peer(context, peer), 1);
    CHECK_EQ(EVP_PKEY_derive(context, secret, &n), 1);
    k = BN_bin2bn(secret, (int)n, NULL);
    CHECK(k != NULL);
    put_mpint(to, k, 0);
    BN_free(k);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
}

/* Answer our first message of the key exchange. */
static void
say_reply(struct pair *pair, const struct reply *reply)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    unsigned char theirs[32], hash[SHA256_DIGEST_LENGTH];
    struct message exchange = {.n = 0};
    size_t n = sizeof(theirs);

    CHECK(key != NULL);
    CHECK(they_hear(pair, SSH2_MSG_KEX_ECDH_INIT, &heard));
    CHECK_EQ(heard.n, 5 + 32);
    CHECK_EQ(EVP_PKEY_get_raw_public_key(key, theirs, &n), 1);
    put_exchange(&exchange, pair, &reply->certificate, heard.data + 5, theirs);
    put_secret(&exchange, key, heard.data + 5);
    SHA256(exchange.data, exchange.n, hash);
    EVP_PKEY_free(key);

    said.n = 0;
    put_byte(&said, SSH2_MSG_KEX_ECDH_REPLY);
    put_payload(&said, reply->certificate.data, reply->certificate.n);
    put_payload(&said, theirs, n);
    put_signature(&said, reply->kind, reply->key, reply->algorithm,
                  reply->digest, hash, sizeof(hash), &reply->spec);
    say(&pair->theirs, &said);
}

static void
say_newkeys(struct pair *pair)
{
    said.n = 0;
    put_byte(&said, SSH_MSG_NEWKEYS);
    say(&pair->theirs, &said);
}

/* ---- Our side --------------------------------------------------------- */

static void
begin(struct pair *pair, const char *method)
{
    LIBSSH2_SESSION *session;

    pair_open_plain(pair);
    session = pair->ours.session;
    session->remote.banner = LIBSSH2_ALLOC(session, sizeof(SERVER));
    CHECK(session->remote.banner != NULL);
    memcpy(session->remote.banner, SERVER, sizeof(SERVER));
    CHECK_EQ(
        libssh2_session_method_pref(session, LIBSSH2_METHOD_HOSTKEY, method),
        0);
}

static struct reply
right_reply(size_t method, enum kind authority)
{
    enum kind kind = methods[method].kind;
    struct reply reply = {.kind = kind,
                          .key = host_keys[kind],
                          .algorithm = methods[method].algorithm,
                          .digest = methods[method].digest};
    struct spec spec = right(kind, authority);

    compose(&reply.certificate, &spec);
    return reply;
}

/* Returns whether the first key exchange succeeds with the reply. */
static int
is_accepted(const char *method, const struct reply *reply)
{
    struct pair pair;
    int rc;

    begin(&pair, method);
    say_kexinit_with(&pair, CURVE25519, method, "aes128-ctr", "hmac-sha2-256");
    CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_EAGAIN);
    say_reply(&pair, reply);
    rc = exchange_keys(&pair);
    if (rc != LIBSSH2_ERROR_EAGAIN) {
        CHECK_EQ(rc, LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE);
        CHECK(pair.ours.session->hostkey_error != NULL);
        CHECK(!they_hear(&pair, SSH_MSG_NEWKEYS, &heard));
        pair_close(&pair);
        return 0;
    }
    CHECK(they_hear(&pair, SSH_MSG_NEWKEYS, &heard));
    say_newkeys(&pair);
    CHECK_EQ(exchange_keys(&pair), 0);
    pair_close(&pair);
    return 1;
}

/* ---- Accepted --------------------------------------------------------- */

static void
each_method_works_with_each_authority(void)
{
    for (size_t i = 0; i < METHODS; i++) {
        for (int authority = 0; authority < KINDS; authority++) {
            struct reply reply = right_reply(i, (enum kind)authority);

            CHECK(is_accepted(methods[i].name, &reply));
        }
    }
}

static void
check_host_key(LIBSSH2_SESSION *session, size_t method,
               const struct message *certificate)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    int type = -1;
    size_t n;
    const char *key = libssh2_session_hostkey(session, &n, &type);
    const char *seen = libssh2_hostkey_hash(session,
                                            LIBSSH2_HOSTKEY_HASH_SHA256);

    CHECK_EQ(n, certificate->n);
    CHECK(memcmp(key, certificate->data, n) == 0);
    CHECK_EQ(type, LIBSSH2_HOSTKEY_TYPE_UNKNOWN);
    SHA256(certificate->data, certificate->n, hash);
    CHECK(seen != NULL && memcmp(seen, hash, sizeof(hash)) == 0);
    CHECK(strcmp(libssh2_session_methods(session, LIBSSH2_METHOD_HOSTKEY),
                 methods[method].name)
          == 0);
}

/* Replace the keys that resulted from a key exchange by those of pair.h. */
static void
use_known_keys(struct pair *pair)
{
    LIBSSH2_SESSION *ours = pair->ours.session, *theirs = pair->theirs.session;
    libssh2_endpoint_data *ends[] = {&ours->local, &ours->remote};

    for (size_t i = 0; i < 2; i++) {
        ends[i]->crypt->dtor(ours, &ends[i]->crypt_abstract);
        ends[i]->mac->dtor(ours, &ends[i]->mac_abstract);
        set_cipher(ours, ends[i], "aes128-ctr", "hmac-sha2-256", i == 0);
    }
    set_cipher(theirs, &theirs->remote, "aes128-ctr", "hmac-sha2-256", 0);
    set_cipher(theirs, &theirs->local, "aes128-ctr", "hmac-sha2-256", 1);
}

static void
the_whole_certificate_is_the_host_key(void)
{
    for (size_t i = 0; i < METHODS; i++) {
        struct reply reply = right_reply(i, P256);
        struct pair pair;

        begin(&pair, methods[i].name);
        say_kexinit_with(&pair, CURVE25519, methods[i].name, "aes128-ctr",
                         "hmac-sha2-256");
        CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_EAGAIN);
        say_reply(&pair, &reply);
        CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_EAGAIN);
        say_newkeys(&pair);
        CHECK_EQ(exchange_keys(&pair), 0);
        check_host_key(pair.ours.session, i, &reply.certificate);
        pair_close(&pair);
    }
}

/* After a first key exchange, another one with each of the methods. */
static void
rekeys_work(void)
{
    static const char all[] = "ssh-ed25519" CERT ",ecdsa-sha2-nistp256" CERT
                              ",ecdsa-sha2-nistp384" CERT
                              ",ecdsa-sha2-nistp521" CERT ",rsa-sha2-512" CERT
                              ",rsa-sha2-256" CERT;

    for (size_t i = 0; i < METHODS * METHODS; i++) {
        struct reply first = right_reply(i % METHODS, ED25519);
        struct reply second = right_reply(i / METHODS, ED25519);
        struct pair pair;
        unsigned char *old;

        begin(&pair, all);
        say_kexinit_with(&pair, CURVE25519, methods[i % METHODS].name,
                         "aes128-ctr", "hmac-sha2-256");
        CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_EAGAIN);
        say_reply(&pair, &first);
        CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_EAGAIN);
        say_newkeys(&pair);
        CHECK_EQ(exchange_keys(&pair), 0);
        listen_to(&pair.theirs);
        use_known_keys(&pair);

        old = pair.ours.session->server_hostkey;
        say_kexinit_with(&pair, CURVE25519, methods[i / METHODS].name,
                         "aes128-ctr", "hmac-sha2-256");
        CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
        say_reply(&pair, &second);
        CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
        CHECK(they_hear(&pair, SSH_MSG_NEWKEYS, &heard));
        say_newkeys(&pair);
        CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
        CHECK_EQ(pair.ours.session->state & LIBSSH2_STATE_EXCHANGING_KEYS, 0);
        check_host_key(pair.ours.session, i / METHODS, &second.certificate);
        /* The release does not free it after a key exchange with a curve. */
        LIBSSH2_FREE(pair.ours.session, old);
        pair_close(&pair);
    }
}

/* ---- Refused ---------------------------------------------------------- */

/* The certificate has one changed byte, and the signature covers it. */
static void
a_changed_certificate_is_refused(void)
{
    for (size_t i = 0; i < METHODS; i++) {
        for (int authority = ED25519; authority < KINDS; authority++) {
            struct reply reply = right_reply(i, (enum kind)authority);

            for (size_t at = 0; at < reply.certificate.n; at += 23) {
                reply.certificate.data[at] ^= 1;
                CHECK(!is_accepted(methods[i].name, &reply));
                reply.certificate.data[at] ^= 1;
            }
            reply.certificate.n--;
            CHECK(!is_accepted(methods[i].name, &reply));
            reply.certificate.n += 2;
            CHECK(!is_accepted(methods[i].name, &reply));
        }
    }
}

static void
a_plain_key_is_refused(void)
{
    for (size_t i = 0; i < METHODS; i++) {
        struct reply reply = right_reply(i, ED25519);
        struct spec spec = right(methods[i].kind, ED25519);

        reply.certificate.n = 0;
        put_text(&reply.certificate, kinds[methods[i].kind].type);
        put_key(&reply.certificate, &spec, spec.kind, spec.key);
        CHECK(!is_accepted(methods[i].name, &reply));
    }
}

static void
a_signature_of_another_key_is_refused(void)
{
    for (size_t i = 0; i < METHODS; i++) {
        struct reply reply = right_reply(i, ED25519);

        reply.key = other_keys[reply.kind];
        CHECK(!is_accepted(methods[i].name, &reply));
        reply.key = authorities[reply.kind];
        CHECK(!is_accepted(methods[i].name, &reply));
    }
}

/* The name in the signature must be the plain one of the method. */
static void
another_algorithm_is_refused(void)
{
    static const char *const names[] = {"ssh-ed25519",
                                        "ecdsa-sha2-nistp256",
                                        "ecdsa-sha2-nistp384",
                                        "ecdsa-sha2-nistp521",
                                        "rsa-sha2-512",
                                        "rsa-sha2-256",
                                        "ssh-rsa",
                                        "ssh-ed25519" CERT,
                                        "rsa-sha2-512" CERT,
                                        "rsa-sha2-256" CERT,
                                        "ssh-rsa" CERT,
                                        ""};

    for (size_t i = 0; i < METHODS; i++) {
        struct reply reply = right_reply(i, ED25519);

        for (size_t j = 0; j < sizeof(names) / sizeof(*names); j++) {
            reply.algorithm = names[j];
            CHECK_EQ(is_accepted(methods[i].name, &reply),
                     strcmp(names[j], methods[i].algorithm) == 0);
        }
    }
}

/* The name and the digest are right for another method of RSA. */
static void
another_digest_of_rsa_is_refused(void)
{
    static const struct {
        const char *algorithm, *digest;
    } others[] = {{"rsa-sha2-512", "SHA512"},
                  {"rsa-sha2-256", "SHA256"},
                  {"ssh-rsa", "SHA1"}};

    for (size_t i = METHODS - 2; i < METHODS; i++) {
        struct reply reply = right_reply(i, ED25519);

        for (size_t j = 0; j < 3; j++) {
            reply.algorithm = others[j].algorithm;
            reply.digest = others[j].digest;
            CHECK_EQ(is_accepted(methods[i].name, &reply),
                     strcmp(others[j].algorithm, methods[i].algorithm) == 0);
            reply.algorithm = methods[i].algorithm; /* a wrong name */
            CHECK_EQ(is_accepted(methods[i].name, &reply),
                     strcmp(others[j].digest, methods[i].digest) == 0);
        }
    }
}

static void
bytes_appended_to_the_signature_are_refused(void)
{
    for (size_t i = 0; i < METHODS; i++) {
        struct reply reply = right_reply(i, ED25519);

        reply.spec.appended = SIGNATURE;
        CHECK(!is_accepted(methods[i].name, &reply));
        reply.spec.appended = RAW_SIGNATURE;
        CHECK(!is_accepted(methods[i].name, &reply));
        reply.spec.appended = NONE;
        reply.spec.zeros = kinds[reply.kind].curve != NULL;
        CHECK_EQ(is_accepted(methods[i].name, &reply), !reply.spec.zeros);
    }
}

/* ---- Offers ----------------------------------------------------------- */

/* Returns whether our KEXINIT contains the text. */
static int
offers(struct pair *pair, const char *text)
{
    CHECK_EQ(exchange_keys(pair), LIBSSH2_ERROR_EAGAIN);
    CHECK(they_hear(pair, SSH_MSG_KEXINIT, &heard));
    return memmem(heard.data, heard.n, text, strlen(text)) != NULL;
}

static void
certificates_are_not_offered_by_default(void)
{
    struct pair pair;

    begin(&pair, "ssh-ed25519");
    LIBSSH2_FREE(pair.ours.session, pair.ours.session->hostkey_prefs);
    pair.ours.session->hostkey_prefs = NULL;
    CHECK(!offers(&pair, "-cert-v01"));
    CHECK(memmem(heard.data, heard.n, "ssh-ed25519", 11) != NULL);
    say_kexinit_with(&pair, CURVE25519, "ssh-ed25519" CERT, "aes128-ctr",
                     "hmac-sha2-256");
    CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_KEX_FAILURE);
    pair_close(&pair);
}

static void
certificates_are_offered_on_request(void)
{
    for (size_t i = 0; i < METHODS; i++) {
        struct pair pair;

        begin(&pair, methods[i].name);
        CHECK(offers(&pair, methods[i].name));
        pair_close(&pair);
    }
}

/* ---- Errors ----------------------------------------------------------- */

/* libssh2_session_handshake() says why, not only that an exchange failed. */
static void
the_handshake_tells_the_reason(void)
{
    struct reply reply = right_reply(0, ED25519);
    struct spec spec = right(ED25519, ED25519);
    struct pair pair;
    char *text;

    spec.cert_type = 3;
    compose(&reply.certificate, &spec);
    begin(&pair, methods[0].name);
    say_kexinit_with(&pair, CURVE25519, methods[0].name, "aes128-ctr",
                     "hmac-sha2-256");
    pair.ours.session->startup_state = libssh2_NB_state_sent1;
    CHECK_EQ(libssh2_session_handshake(pair.ours.session, 0),
             LIBSSH2_ERROR_EAGAIN);
    say_reply(&pair, &reply);
    CHECK_EQ(libssh2_session_handshake(pair.ours.session, 0),
             LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE);
    libssh2_session_last_error(pair.ours.session, &text, NULL, 0);
    CHECK(strcmp(text, "The host certificate has an unknown type") == 0);
    pair_close(&pair);
}

int
main(void)
{
    libssh2_init(0);
    generate_keys();
    RUN(each_method_works_with_each_authority);
    RUN(the_whole_certificate_is_the_host_key);
    RUN(rekeys_work);
    RUN(a_changed_certificate_is_refused);
    RUN(a_plain_key_is_refused);
    RUN(a_signature_of_another_key_is_refused);
    RUN(another_algorithm_is_refused);
    RUN(another_digest_of_rsa_is_refused);
    RUN(bytes_appended_to_the_signature_are_refused);
    RUN(certificates_are_not_offered_by_default);
    RUN(certificates_are_offered_on_request);
    RUN(the_handshake_tells_the_reason);
    free_keys();
    return 0;
}
