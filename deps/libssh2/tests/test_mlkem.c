/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patch mlkem768x25519. The server computes its part with OpenSSL
 * itself. Where OpenSSL has no ML-KEM, only the absence of the method is
 * tested.
 */
#define _GNU_SOURCE 1 /* memmem */
#include "pair.h"

#include <malloc.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#define METHOD "mlkem768x25519-sha256"
#define CIPHER "aes256-ctr"
#define MAC "hmac-sha2-512" /* its key takes two hashes */

#define PQ_KEY 1184
#define CIPHERTEXT 1088
#define POINT 32
#define SECRET 32
#define REPLY (CIPHERTEXT + POINT)

static int
openssl_has_mlkem(void)
{
#ifdef OPENSSL_NO_ML_KEM
    return 0;
#else
    return OpenSSL_version_num() >= 0x30500000L;
#endif
}

/* ---- Secrets in freed memory ------------------------------------------ */

#define MOST_SECRETS 16

static unsigned char secrets[MOST_SECRETS][SECRET];
static size_t secret_count;
static int searching; /* the code under test is running */

static void
add_secret(const unsigned char *secret)
{
    CHECK(secret_count < MOST_SECRETS);
    memcpy(secrets[secret_count++], secret, SECRET);
}

static int
holds_a_secret(const void *block, size_t n)
{
    for (size_t i = 0; i < secret_count; i++) {
        if (memmem(block, n, secrets[i], SECRET) != NULL) {
            return 1;
        }
    }
    return 0;
}

static void
search_and_free(void *block)
{
    if (searching && block != NULL) {
        CHECK(!holds_a_secret(block, malloc_usable_size(block)));
    }
    free(block);
}

static void *
openssl_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(n);
}

static void *
openssl_realloc(void *block, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(block, n);
}

static void
openssl_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    search_and_free(block);
}

static LIBSSH2_FREE_FUNC(session_free)
{
    (void)abstract;
    search_and_free(ptr);
}

/* ---- The server ------------------------------------------------------- */

struct server {
    struct pair pair;
    EVP_PKEY *host_key;
    struct message init;            /* the client's KEX_ECDH_INIT */
    unsigned char reply[REPLY + 1]; /* S_REPLY; one byte more for a test */
    size_t reply_n;
    unsigned char k_pq[SECRET], k_cl[SECRET], k[SECRET];
    unsigned char hash[32], session_id[32];
    int has_keys;
};

static struct message said, heard, client_kexinit;

static int
advance(struct server *server)
{
    int rc;

    searching = 1;
    rc = server->has_keys ? listen_to(&server->pair.ours)
                          : exchange_keys(&server->pair);
    searching = 0;
    return rc;
}

static EVP_PKEY *
generate(const char *type)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, type);

    CHECK(key != NULL);
    return key;
}

static void
server_open(struct server *server)
{
    memset(server, 0, sizeof(*server));
    pair_open_with_banner(&server->pair);
    server->pair.ours.session->free = session_free;
    server->host_key = generate("ED25519");
}

static void
server_close(struct server *server)
{
    searching = 1;
    pair_close(&server->pair);
    searching = 0;
    secret_count = 0;
    EVP_PKEY_free(server->host_key);
}

static void
octets_of(EVP_PKEY *key, const char *param, unsigned char *octets, size_t n)
{
    size_t written;

    CHECK_EQ(EVP_PKEY_get_octet_string_param(key, param, octets, n, &written),
             1);
    CHECK_EQ(written, n);
}

/* The client's private keys are secrets that must not remain in memory. */
static void
note_private_keys(struct server *server)
{
    const libssh2_mlkem768x25519_keys *keys =
        &server->pair.ours.session->startup_key_state.key_state_low
             .mlkem768x25519;
    unsigned char seed[2 * SECRET], key[POINT]; /* FIPS 203: d and z */

    octets_of(keys->mlkem, "seed", seed, sizeof(seed));
    octets_of(keys->x25519, OSSL_PKEY_PARAM_PRIV_KEY, key, sizeof(key));
    add_secret(seed);
    add_secret(seed + SECRET);
    add_secret(key);
    OPENSSL_cleanse(seed, sizeof(seed));
    OPENSSL_cleanse(key, sizeof(key));
}

/* Start a key exchange and receive the client's public keys. */
static void
server_starts(struct server *server)
{
    LIBSSH2_SESSION *client = server->pair.ours.session;

    if (client->server_hostkey != NULL) {
        /* a rekey with a curve does not free it; sshgateway does */
        LIBSSH2_FREE(client, client->server_hostkey);
        client->server_hostkey = NULL;
    }
    say_kexinit(&server->pair, METHOD, CIPHER, MAC);
    CHECK_EQ(advance(server), LIBSSH2_ERROR_EAGAIN);
    CHECK(they_hear(&server->pair, SSH_MSG_KEXINIT, &client_kexinit));
    CHECK(they_hear(&server->pair, SSH2_MSG_KEX_ECDH_INIT, &server->init));
    CHECK_EQ(server->init.n, 1 + 4 + PQ_KEY + POINT);
    CHECK_EQ(u32_at(&server->init, 1), PQ_KEY + POINT);
    note_private_keys(server);
}

static void
encapsulate(const unsigned char *public_key, unsigned char *ciphertext,
            unsigned char *secret)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key_ex(NULL, "ML-KEM-768", NULL,
                                                   public_key, PQ_KEY);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t n = CIPHERTEXT, secret_n = SECRET;

    CHECK(ctx != NULL);
    CHECK_EQ(EVP_PKEY_encapsulate_init(ctx, NULL), 1);
    CHECK_EQ(EVP_PKEY_encapsulate(ctx, ciphertext, &n, secret, &secret_n), 1);
    CHECK_EQ(n, CIPHERTEXT);
    CHECK_EQ(secret_n, SECRET);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/* Generate a key, write its public key, and agree with the client. */
static void
agree(const unsigned char *public_key, unsigned char *ours,
      unsigned char *secret)
{
    EVP_PKEY *key = generate("X25519");
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL,
                                                    public_key, POINT);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t n = POINT;

    CHECK(peer != NULL && ctx != NULL);
    CHECK_EQ(EVP_PKEY_derive_init(ctx), 1);
    CHECK_EQ(EVP_PKEY_derive_set_peer(ctx, peer), 1);
    CHECK_EQ(EVP_PKEY_derive(ctx, secret, &n), 1);
    CHECK_EQ(n, POINT);
    octets_of(key, OSSL_PKEY_PARAM_PUB_KEY, ours, POINT);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(key);
}

/* K = SHA-256(K_PQ || K_CL) */
static void
server_combines(struct server *server)
{
    unsigned char both[2 * SECRET];

    memcpy(both, server->k_pq, SECRET);
    memcpy(both + SECRET, server->k_cl, SECRET);
    CHECK_EQ(
        EVP_Digest(both, sizeof(both), server->k, NULL, EVP_sha256(), NULL),
        1);
    OPENSSL_cleanse(both, sizeof(both));
}

/* Compute S_REPLY and the shared secret. */
static void
server_agrees(struct server *server)
{
    const unsigned char *public_keys = server->init.data + 5;

    encapsulate(public_keys, server->reply, server->k_pq);
    agree(public_keys + PQ_KEY, server->reply + CIPHERTEXT, server->k_cl);
    server->reply_n = REPLY;
    server_combines(server);
}

static void
hash_bytes(EVP_MD_CTX *ctx, const void *data, size_t n)
{
    CHECK_EQ(EVP_DigestUpdate(ctx, data, n), 1);
}

static void
hash_string(EVP_MD_CTX *ctx, const void *data, size_t n)
{
    unsigned char length[4];

    _libssh2_htonu32(length, (uint32_t)n);
    hash_bytes(ctx, length, sizeof(length));
    hash_bytes(ctx, data, n);
}

static EVP_MD_CTX *
hash_start(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(ctx != NULL);
    CHECK_EQ(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL), 1);
    return ctx;
}

static void
hash_end(EVP_MD_CTX *ctx, unsigned char *hash)
{
    CHECK_EQ(EVP_DigestFinal_ex(ctx, hash, NULL), 1);
    EVP_MD_CTX_free(ctx);
}

/* The exchange hash (section 2.3 of the draft). */
static void
exchange_hash(struct server *server, const struct message *host_key)
{
    const LIBSSH2_SESSION *client = server->pair.ours.session;
    const char *banner = (const char *)client->remote.banner;
    EVP_MD_CTX *ctx = hash_start();

    hash_string(ctx, LIBSSH2_SSH_DEFAULT_BANNER,
                strlen(LIBSSH2_SSH_DEFAULT_BANNER));
    hash_string(ctx, banner, strlen(banner));
    hash_string(ctx, client_kexinit.data, client_kexinit.n);
    hash_string(ctx, client->remote.kexinit, client->remote.kexinit_len);
    hash_string(ctx, host_key->data, host_key->n);
    hash_string(ctx, server->init.data + 5, PQ_KEY + POINT);
    hash_string(ctx, server->reply, server->reply_n);
    hash_string(ctx, server->k, SECRET);
    hash_end(ctx, server->hash);
    if (!server->has_keys) {
        memcpy(server->session_id, server->hash, sizeof(server->hash));
    }
}

/* Append a string that is "ssh-ed25519" and another string. */
static void
put_ed25519(struct message *message, const unsigned char *data, size_t n)
{
    static struct message part;

    part.n = 0;
    put_text(&part, "ssh-ed25519");
    put_string(&part, (const char *)data, n);
    put_string(message, (const char *)part.data, part.n);
}

/* Compose the message with S_REPLY, correctly signed. */
static void
server_signs(struct server *server, struct message *message)
{
    static struct message blob;
    unsigned char key[32], signature[64];
    size_t n = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    octets_of(server->host_key, OSSL_PKEY_PARAM_PUB_KEY, key, sizeof(key));
    blob.n = 0;
    put_text(&blob, "ssh-ed25519");
    put_string(&blob, (const char *)key, sizeof(key));
    exchange_hash(server, &blob);
    CHECK(ctx != NULL);
    CHECK_EQ(EVP_DigestSignInit(ctx, NULL, NULL, NULL, server->host_key), 1);
    CHECK_EQ(EVP_DigestSign(ctx, signature, &n, server->hash, 32), 1);
    EVP_MD_CTX_free(ctx);

    message->n = 0;
    put_byte(message, SSH2_MSG_KEX_ECDH_REPLY);
    put_string(message, (const char *)blob.data, blob.n);
    put_string(message, (const char *)server->reply, server->reply_n);
    put_ed25519(message, signature, n);
}

/* Derive a key (RFC 4253 7.2) of KEY_SIZE bytes, with K as a string. */
static unsigned char *
derive(const struct server *server, char which)
{
    unsigned char *key = new_key(server->pair.theirs.session);

    for (size_t n = 0; n < KEY_SIZE; n += 32) {
        EVP_MD_CTX *ctx = hash_start();

        hash_string(ctx, server->k, SECRET);
        hash_bytes(ctx, server->hash, 32);
        if (n == 0) {
            hash_bytes(ctx, &which, 1);
            hash_bytes(ctx, server->session_id, 32);
        }
        hash_bytes(ctx, key, n);
        hash_end(ctx, key + n);
    }
    return key;
}

static void
take_keys(struct server *server, libssh2_endpoint_data *end, int encrypt,
          const char *which)
{
    LIBSSH2_SESSION *session = server->pair.theirs.session;

    if (server->has_keys) {
        end->crypt->dtor(session, &end->crypt_abstract);
        end->mac->dtor(session, &end->mac_abstract);
    }
    set_keys(session, end, CIPHER, MAC, encrypt, derive(server, which[0]),
             derive(server, which[1]), derive(server, which[2]));
}

static void
server_takes_keys(struct server *server)
{
    LIBSSH2_SESSION *session = server->pair.theirs.session;

    said.n = 0;
    put_byte(&said, SSH_MSG_NEWKEYS);
    say(&server->pair.theirs, &said);
    take_keys(server, &session->remote, 0, "ACE");
    take_keys(server, &session->local, 1, "BDF");
}

static void
note_shared_secrets(const struct server *server)
{
    add_secret(server->k_pq);
    add_secret(server->k_cl);
    add_secret(server->k);
}

/* Send the reply. The client must refuse it and must not send NEWKEYS. */
static void
is_refused(struct server *server, const struct message *reply)
{
    note_shared_secrets(server);
    say(&server->pair.theirs, reply);
    CHECK_EQ(advance(server), LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE);
    CHECK(!they_hear(&server->pair, SSH_MSG_NEWKEYS, &heard));
    server_close(server);
}

/* Finish the exchange; then both sides use the new keys. */
static void
server_finishes(struct server *server)
{
    LIBSSH2_SESSION *client = server->pair.ours.session;

    note_shared_secrets(server);
    server_signs(server, &said);
    say(&server->pair.theirs, &said);
    CHECK_EQ(advance(server), LIBSSH2_ERROR_EAGAIN);
    CHECK(they_hear(&server->pair, SSH_MSG_NEWKEYS, &heard));
    server_takes_keys(server);
    CHECK_EQ(advance(server), server->has_keys ? LIBSSH2_ERROR_EAGAIN : 0);
    server->has_keys = 1;
    CHECK(!holds_a_secret(client, sizeof(*client)));
    secret_count = 0;

    CHECK_EQ(client->session_id_len, 32);
    CHECK_EQ(memcmp(client->session_id, server->session_id, 32), 0);
    CHECK_EQ(_libssh2_transport_send(client, (const unsigned char *)"\x05up",
                                     3, NULL, 0),
             0);
    CHECK(they_hear(&server->pair, SSH_MSG_SERVICE_REQUEST, &heard));
    CHECK_EQ(heard.n, 3);
    CHECK_EQ(memcmp(heard.data, "\x05up", 3), 0);
    said.n = 0;
    put_byte(&said, SSH_MSG_SERVICE_ACCEPT);
    put_text(&said, "down");
    say(&server->pair.theirs, &said);
    CHECK(we_hear(&server->pair, SSH_MSG_SERVICE_ACCEPT, &heard));
    CHECK_EQ(memcmp(heard.data, said.data, said.n), 0);
}

/* ---- The method's presence -------------------------------------------- */

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
