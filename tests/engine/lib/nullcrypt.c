/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Null cryptography: in a program with this file libssh2 encrypts nothing,
 * every MAC is zeros, every signature verifies, and padding is zeros.
 *
 * A test can therefore write a server's packets as plain bytes in advance, and
 * a fuzzer's input gets past the MAC.
 *
 * The functions here replace those of libcrypto, because the linker looks a
 * symbol up in the program before its libraries.  That holds whether libssh2
 * is a library or a part of the program.  libcrypto itself keeps calling its
 * own functions.  Replaced are the functions that any release of libssh2 calls
 * for the cipher, the MAC and signatures; key agreement and hashes are
 * libcrypto's.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "lib/packets.h"

/* ---- Ciphers ---------------------------------------------------------- */

int
EVP_Cipher(EVP_CIPHER_CTX *context, unsigned char *to,
           const unsigned char *from, unsigned int n)
{
    (void)context;
    if (to != NULL && to != from) {
        memmove(to, from, n);
    }
    return (int)n;
}

int
EVP_CipherUpdate(EVP_CIPHER_CTX *context, unsigned char *to, int *written,
                 const unsigned char *from, int n)
{
    *written = EVP_Cipher(context, to, from, (unsigned int)n);
    return 1;
}

int
EVP_EncryptUpdate(EVP_CIPHER_CTX *context, unsigned char *to, int *written,
                  const unsigned char *from, int n)
{
    return EVP_CipherUpdate(context, to, written, from, n);
}

int
EVP_DecryptUpdate(EVP_CIPHER_CTX *context, unsigned char *to, int *written,
                  const unsigned char *from, int n)
{
    return EVP_CipherUpdate(context, to, written, from, n);
}

/* ---- MACs ------------------------------------------------------------- */

struct hmac_ctx_st {
    size_t size;
};

HMAC_CTX *
HMAC_CTX_new(void)
{
    return OPENSSL_zalloc(sizeof(HMAC_CTX));
}

void
HMAC_CTX_free(HMAC_CTX *context)
{
    OPENSSL_free(context);
}

int
HMAC_Init_ex(HMAC_CTX *context, const void *key, int n, const EVP_MD *digest,
             ENGINE *engine)
{
    (void)key;
    (void)n;
    (void)engine;
    context->size = (size_t)EVP_MD_get_size(digest);
    return 1;
}

int
HMAC_Update(HMAC_CTX *context, const unsigned char *data, size_t n)
{
    (void)context;
    (void)data;
    (void)n;
    return 1;
}

int
HMAC_Final(HMAC_CTX *context, unsigned char *mac, unsigned int *n)
{
    memset(mac, 0, context->size);
    if (n != NULL) {
        *n = (unsigned int)context->size;
    }
    return 1;
}

/* A libcrypto that does not keep to its own functions calls this one from its
 * EVP_MAC. */
size_t
HMAC_size(const HMAC_CTX *context)
{
    return context->size;
}

int
EVP_MAC_update(EVP_MAC_CTX *context, const unsigned char *data, size_t n)
{
    (void)context;
    (void)data;
    (void)n;
    return 1;
}

int
EVP_MAC_final(EVP_MAC_CTX *context, unsigned char *mac, size_t *n, size_t room)
{
    size_t size = EVP_MAC_CTX_get_mac_size(context);

    size = size < room ? size : room;
    memset(mac, 0, size);
    if (n != NULL) {
        *n = size;
    }
    return 1;
}

/* ---- Signatures of the host key --------------------------------------- */

int
EVP_DigestVerify(EVP_MD_CTX *context, const unsigned char *signature,
                 size_t signature_len, const unsigned char *data, size_t n)
{
    (void)context;
    (void)data;
    (void)n;
    return signature_len > 0 && signature[0] != WRONG_SIGNATURE;
}

int
EVP_PKEY_verify(EVP_PKEY_CTX *context, const unsigned char *signature,
                size_t signature_len, const unsigned char *data, size_t n)
{
    (void)context;
    (void)signature;
    (void)signature_len;
    (void)data;
    (void)n;
    return 1;
}

int
ECDSA_do_verify(const unsigned char *digest, int n, const ECDSA_SIG *signature,
                EC_KEY *key)
{
    (void)digest;
    (void)n;
    (void)signature;
    (void)key;
    return 1;
}

int
RSA_verify(int type, const unsigned char *digest, unsigned int n,
           const unsigned char *signature, unsigned int signature_len,
           RSA *key)
{
    (void)type;
    (void)digest;
    (void)n;
    (void)signature;
    (void)signature_len;
    (void)key;
    return 1;
}

/* ---- Padding ---------------------------------------------------------- */

int
RAND_bytes(unsigned char *to, int n)
{
    memset(to, 0, (size_t)n);
    return 1;
}

/* ---- Leaks in libssh2 ------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__)
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

/* libssh2 1.10 does not free the objects of libcrypto that a key exchange used
 * if the key exchange does not complete. */
const char *
__lsan_default_suppressions(void)
{
    return "leak:libcrypto.so\n";
}

const char *
__lsan_default_options(void)
{
    return "print_suppressions=0";
}
#endif
