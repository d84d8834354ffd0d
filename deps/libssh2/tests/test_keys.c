/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Test of the patch ecdsa-buffers-from-malloc: ECDSA keys with an allocator
 * whose blocks no other allocator can free.
 */
#include "pair.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define HEAD 32

static long blocks;

static LIBSSH2_ALLOC_FUNC(own_alloc)
{
    char *block = malloc(HEAD + count);

    (void)abstract;
    CHECK(block != NULL);
    blocks++;
    return block + HEAD;
}

static LIBSSH2_FREE_FUNC(own_free)
{
    (void)abstract;
    if (ptr != NULL) {
        blocks--;
        free((char *)ptr - HEAD);
    }
}

static LIBSSH2_REALLOC_FUNC(own_realloc)
{
    (void)abstract;
    blocks += ptr == NULL;
    return (char *)realloc(ptr != NULL ? (char *)ptr - HEAD : NULL,
                           HEAD + count)
           + HEAD;
}

static size_t
write_key(EVP_PKEY *key, char *text, size_t size, int is_traditional)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n;

    CHECK(bio != NULL);
    CHECK_EQ(is_traditional ? PEM_write_bio_PrivateKey_traditional(
                 bio, key, NULL, NULL, 0, NULL, NULL)
                            : PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0,
                                                       NULL, NULL),
             1);
    n = BIO_read(bio, text, (int)size);
    CHECK(n > 0);
    BIO_free(bio);
    return (size_t)n;
}

/* Read the public key and sign, as publickey authentication does. */
static void
use_key(LIBSSH2_SESSION *session, const char *text, size_t n)
{
    static const unsigned char hash[32];
    unsigned char *method, *blob, *signature;
    size_t method_len, blob_len, signature_len;
    libssh2_ecdsa_ctx *key = NULL;

    CHECK_EQ(_libssh2_pub_priv_keyfilememory(session, &method, &method_len,
                                             &blob, &blob_len, text, n, NULL),
             0);
    CHECK(memcmp(method, "ecdsa-sha2-nistp", 16) == 0);
    LIBSSH2_FREE(session, method);
    LIBSSH2_FREE(session, blob);
    CHECK_EQ(
        _libssh2_ecdsa_new_private_frommemory(&key, session, text, n, NULL),
        0);
    CHECK_EQ(_libssh2_ecdsa_sign(session, key, hash, sizeof(hash), &signature,
                                 &signature_len),
             0);
    CHECK(signature_len > 60);
    LIBSSH2_FREE(session, signature);
    _libssh2_ecdsa_free(key);
}

static void
ecdsa_keys_work_with_a_custom_allocator(void)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    LIBSSH2_SESSION *session = libssh2_session_init_ex(own_alloc, own_free,
                                                       own_realloc, NULL);
    long before;

    CHECK(session != NULL);
    before = blocks;
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = EVP_EC_gen(curves[i]);

        CHECK(key != NULL);
        for (int traditional = 0; traditional < 2; traditional++) {
            char text[2000];

            use_key(session, text,
                    write_key(key, text, sizeof(text), traditional));
            CHECK_EQ(blocks, before);
        }
        EVP_PKEY_free(key);
    }
    CHECK_EQ(libssh2_session_free(session), 0);
    CHECK_EQ(blocks, 0);
}

int
main(void)
{
    libssh2_init(0);
    RUN(ecdsa_keys_work_with_a_custom_allocator);
    return 0;
}
