/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A server for the key exchange method mlkem768x25519-sha256, at the other end
 * of a pair. It computes its part with OpenSSL itself, without libssh2's code.
 * While the client runs, the blocks that are freed are searched for secrets.
 */
#ifndef MLKEM_SERVER_H
#define MLKEM_SERVER_H

#define _GNU_SOURCE 1 /* memmem */
#include "pair.h"

#include <malloc.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#define METHOD "mlkem768x25519-sha256"
#define CIPHER "aes256-ctr"
#define MAC "hmac-sha2-512" /* its key takes two hashes */

#define PQ_KEY 1184
#define CIPHERTEXT 1088
#define POINT 32
#define SECRET 32
#define REPLY (CIPHERTEXT + POINT)

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

#endif
