/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patch mlkem768x25519. Where OpenSSL has no ML-KEM, only the
 * absence of the method is tested.
 */
#include "mlkem_server.h"

#include <openssl/err.h>

/* ---- The method's presence -------------------------------------------- */

static int
openssl_has_mlkem(void)
{
#ifdef OPENSSL_NO_ML_KEM
    return 0;
#else
    return OpenSSL_version_num() >= 0x30500000L;
#endif
}

static int
is_listed(LIBSSH2_SESSION *session)
{
    const char **names;
    int n = libssh2_session_supported_algs(session, LIBSSH2_METHOD_KEX,
                                           &names);
    int listed = 0;

    CHECK(n > 0);
    for (int i = 0; i < n; i++) {
        listed += strcmp(names[i], METHOD) == 0;
    }
    libssh2_free(session, names);
    return listed;
}

/* Returns whether a session with these preferences (NULL: the default ones)
 * offers the method. The server accepts nothing else. */
static int
is_offered(const char *preferences)
{
    struct pair pair;
    LIBSSH2_SESSION *session;
    int offered, started, rc;

    pair_open_with_banner(&pair);
    session = pair.ours.session;
    if (preferences != NULL) {
        CHECK_EQ(libssh2_session_method_pref(session, LIBSSH2_METHOD_KEX,
                                             preferences),
                 0);
    }
    say_kexinit(&pair, METHOD, CIPHER, MAC);
    rc = exchange_keys(&pair);
    CHECK(they_hear(&pair, SSH_MSG_KEXINIT, &heard));
    started = they_hear(&pair, SSH2_MSG_KEX_ECDH_INIT, &said);
    offered = memmem(heard.data, heard.n, METHOD, strlen(METHOD)) != NULL;
    CHECK_EQ(rc, offered ? LIBSSH2_ERROR_EAGAIN : LIBSSH2_ERROR_KEX_FAILURE);
    CHECK_EQ(started, offered);
    pair_close(&pair);
    return offered;
}

static void
the_method_exists_where_openssl_has_mlkem(void)
{
    LIBSSH2_SESSION *session = libssh2_session_init();

    CHECK(session != NULL);
    CHECK_EQ(is_listed(session), openssl_has_mlkem());
    CHECK_EQ(libssh2_session_free(session), 0);
    CHECK_EQ(ERR_peek_error(), 0);
    CHECK_EQ(is_offered(NULL), openssl_has_mlkem());
    CHECK_EQ(is_offered(METHOD), openssl_has_mlkem());
    CHECK_EQ(is_offered("curve25519-sha256," METHOD), openssl_has_mlkem());
    CHECK(!is_offered("curve25519-sha256"));
}

/* ---- Whole exchanges -------------------------------------------------- */

static void
both_sides_derive_the_same_keys_again_and_again(void)
{
    struct server server;

    server_open(&server);
    for (int i = 0; i < 20; i++) {
        server_starts(&server);
        server_agrees(&server);
        server_finishes(&server);
    }
    server_close(&server);
}

/* The client sends and receives in small pieces. */
static void
an_exchange_may_block_anywhere(void)
{
    struct server server;
    struct wire *up, *down;
    int rc, blocked = 0;

    server_open(&server);
    up = server.pair.ours.out;
    down = server.pair.ours.in;
    down->chunk = 1;
    say_kexinit(&server.pair, METHOD, CIPHER, MAC);
    do {
        up->room = 1 + 100;
        rc = advance(&server);
        CHECK_EQ(rc, LIBSSH2_ERROR_EAGAIN);
        blocked += up->room == 1;
    } while (up->room == 1);
    CHECK(blocked > (PQ_KEY + POINT) / 100);
    up->room = 0;
    CHECK(they_hear(&server.pair, SSH_MSG_KEXINIT, &client_kexinit));
    CHECK(they_hear(&server.pair, SSH2_MSG_KEX_ECDH_INIT, &server.init));
    server_agrees(&server);
    server_finishes(&server);
    server_close(&server);
}

static int
x25519_starts_with_zero(const struct server *server)
{
    return server->k_cl[0] == 0;
}

static int
k_starts_with_zero(const struct server *server)
{
    return server->k[0] == 0;
}

static int
k_would_be_negative(const struct server *server)
{
    return server->k[0] >= 0x80;
}

/* One secret in 256 starts with zero, so this many are enough. */
#define MOST_TRIES 20000

static void
exchange_with(int (*is_wanted)(const struct server *))
{
    struct server server;
    int tries = 0;

    server_open(&server);
    server_starts(&server);
    do {
        CHECK(tries++ < MOST_TRIES);
        server_agrees(&server);
    } while (!is_wanted(&server));
    server_finishes(&server);
    server_close(&server);
}

static void
secrets_keep_their_leading_zeros(void)
{
    exchange_with(x25519_starts_with_zero);
    exchange_with(k_starts_with_zero);
    exchange_with(k_would_be_negative);
}

/* ---- Replies that are refused ----------------------------------------- */

static int decapsulations;

int __real_EVP_PKEY_decapsulate(EVP_PKEY_CTX *ctx, unsigned char *secret,
                                size_t *n, const unsigned char *ciphertext,
                                size_t ciphertext_n);
int __wrap_EVP_PKEY_decapsulate(EVP_PKEY_CTX *ctx, unsigned char *secret,
                                size_t *n, const unsigned char *ciphertext,
                                size_t ciphertext_n);

int
__wrap_EVP_PKEY_decapsulate(EVP_PKEY_CTX *ctx, unsigned char *secret,
                            size_t *n, const unsigned char *ciphertext,
                            size_t ciphertext_n)
{
    decapsulations++;
    return __real_EVP_PKEY_decapsulate(ctx, secret, n, ciphertext,
                                       ciphertext_n);
}

/* Open a server that has agreed on the secret with the client. */
static void
server_open_agreed(struct server *server)
{
    server_open(server);
    server_starts(server);
    server_agrees(server);
    decapsulations = 0;
}

/* A reply of that length, whose signature is right. */
static void
refused_length(size_t n)
{
    struct server server;

    server_open_agreed(&server);
    server.reply_n = n;
    server_signs(&server, &said);
    is_refused(&server, &said);
    CHECK_EQ(decapsulations, 0);
}

static void
a_reply_of_a_wrong_length_is_refused_at_once(void)
{
    static const size_t lengths[] = {
        0, 1, POINT, POINT + 1, CIPHERTEXT, REPLY - 1, REPLY + 1};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        refused_length(lengths[i]);
    }
}

/* The message ends after n bytes. */
static void
a_truncated_message_is_refused(void)
{
    static struct message reply;
    struct server server;
    size_t n = 1;

    do {
        server_open_agreed(&server);
        server_signs(&server, &reply);
        CHECK(n < reply.n);
        reply.n -= n;
        is_refused(&server, &reply);
        n += 97;
    } while (n < reply.n);
}

/* An attacker changes one bit of the reply that the server has signed. */
static void
a_changed_reply_is_refused(void)
{
    struct server server;

    for (size_t i = 0; i < REPLY; i++) {
        size_t at;

        server_open_agreed(&server);
        server_signs(&server, &said);
        at = said.n - REPLY - 4 - (4 + 11 + 4 + 64);
        CHECK_EQ(memcmp(said.data + at, server.reply, REPLY), 0);
        said.data[at + i] ^= (unsigned char)(1 << i % 8);
        is_refused(&server, &said);
        CHECK_EQ(decapsulations, 1);
    }
}

/* The server itself signs a changed ciphertext. The client then computes
 * another secret, and therefore another exchange hash. */
static void
a_changed_ciphertext_gives_another_secret(void)
{
    struct server server;

    for (size_t i = 0; i < CIPHERTEXT; i++) {
        server_open_agreed(&server);
        server.reply[i] ^= (unsigned char)(1 << i % 8);
        server_signs(&server, &said);
        is_refused(&server, &said);
        CHECK_EQ(decapsulations, 1);
    }
}

/* Compose the message for an X25519 secret of zeros. */
static void
server_signs_zeros(struct server *server, struct message *message)
{
    memset(server->k_cl, 0, SECRET);
    server_combines(server);
    server_signs(server, message);
    memcpy(server->k_cl, server->k, SECRET); /* do not search for zeros */
}

/* With a point of small order, the secret of X25519 is zero. The points are 0,
 * 1, p - 1, p and p + 1, where p = 2^255 - 19. */
static void
x25519_points_of_small_order_are_refused(void)
{
    static const unsigned char low[] = {0x00, 0x01, 0xec, 0xed, 0xee};

    for (size_t i = 0; i < sizeof(low); i++) {
        struct server server;
        unsigned char *point = server.reply + CIPHERTEXT;

        server_open_agreed(&server);
        memset(point, low[i] > 1 ? 0xff : 0, POINT);
        point[0] = low[i];
        point[POINT - 1] &= 0x7f;
        server_signs_zeros(&server, &said);
        is_refused(&server, &said);
    }
}

/* OpenSSL refuses these points itself. Another provider may not. */
static int derived_zeros;

int __real_EVP_PKEY_derive(EVP_PKEY_CTX *ctx, unsigned char *key, size_t *n);
int __wrap_EVP_PKEY_derive(EVP_PKEY_CTX *ctx, unsigned char *key, size_t *n);

int
__wrap_EVP_PKEY_derive(EVP_PKEY_CTX *ctx, unsigned char *key, size_t *n)
{
    if (derived_zeros && key != NULL) {
        memset(key, 0, *n);
        return 1;
    }
    return __real_EVP_PKEY_derive(ctx, key, n);
}

static void
an_x25519_secret_of_zeros_is_refused(void)
{
    struct server server;

    server_open_agreed(&server);
    server_signs_zeros(&server, &said);
    derived_zeros = 1;
    is_refused(&server, &said);
    derived_zeros = 0;
}

/* ---- Sessions that end ------------------------------------------------ */

static void
a_session_that_ends_wipes_its_private_keys(void)
{
    struct server server;

    server_open(&server);
    server_starts(&server);
    server_close(&server);
}

int
main(void)
{
    CHECK_EQ(CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc,
                                      openssl_free),
             1);
    libssh2_init(0);
    RUN(the_method_exists_where_openssl_has_mlkem);
    if (openssl_has_mlkem()) {
        RUN(both_sides_derive_the_same_keys_again_and_again);
        RUN(an_exchange_may_block_anywhere);
        RUN(secrets_keep_their_leading_zeros);
        RUN(a_reply_of_a_wrong_length_is_refused_at_once);
        RUN(a_truncated_message_is_refused);
        RUN(a_changed_reply_is_refused);
        RUN(a_changed_ciphertext_gives_another_secret);
        RUN(x25519_points_of_small_order_are_refused);
        RUN(an_x25519_secret_of_zeros_is_refused);
        RUN(a_session_that_ends_wipes_its_private_keys);
    }
    return 0;
}
