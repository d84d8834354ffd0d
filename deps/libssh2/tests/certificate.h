/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Composes host certificates (OpenSSH's PROTOCOL.certkeys), right ones and
 * wrong ones.
 */
#ifndef CERTIFICATE_H
#define CERTIFICATE_H

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "message.h"

#define CERT "-cert-v01@openssh.com"
#define APPLICATION "ssh:"

/* ---- Keys ------------------------------------------------------------- */

enum kind {
    ED25519,
    P256,
    P384,
    P521,
    RSA_KEY,
    SK_ED25519,
    SK_P256,
    KINDS
};

/* The kinds before this one can be host keys; each can be an authority. */
#define HOST_KINDS SK_ED25519

static const struct {
    const char *type, *cert_type, *curve, *group, *digest;
} kinds[KINDS] = {
    [ED25519] = {"ssh-ed25519", "ssh-ed25519" CERT, NULL, NULL, NULL},
    [P256] = {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256" CERT, "nistp256",
              "P-256", "SHA256"},
    [P384] = {"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384" CERT, "nistp384",
              "P-384", "SHA384"},
    [P521] = {"ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521" CERT, "nistp521",
              "P-521", "SHA512"},
    [RSA_KEY] = {"ssh-rsa", "ssh-rsa" CERT, NULL, NULL, NULL},
    [SK_ED25519] = {"sk-ssh-ed25519@openssh.com", NULL, NULL, NULL, NULL},
    [SK_P256] = {"sk-ecdsa-sha2-nistp256@openssh.com", NULL, "nistp256",
                 "P-256", "SHA256"},
};

static EVP_PKEY *host_keys[KINDS], *authorities[KINDS], *other_keys[KINDS];

HELPER EVP_PKEY *
generate(enum kind kind)
{
    EVP_PKEY *key;

    if (kind == RSA_KEY) {
        key = EVP_RSA_gen(2048);
    }
    else if (kinds[kind].group != NULL) {
        key = EVP_EC_gen(kinds[kind].group);
    }
    else {
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    CHECK(key != NULL);
    return key;
}

HELPER void
generate_keys(void)
{
    for (int i = 0; i < KINDS; i++) {
        host_keys[i] = generate((enum kind)i);
        authorities[i] = generate((enum kind)i);
        other_keys[i] = generate((enum kind)i);
    }
}

HELPER void
free_keys(void)
{
    for (int i = 0; i < KINDS; i++) {
        EVP_PKEY_free(host_keys[i]);
        EVP_PKEY_free(authorities[i]);
        EVP_PKEY_free(other_keys[i]);
    }
}

/* Put an mpint (RFC 4251 5), with `zeros` needless leading zeros. With -1, a
 * number that needs a leading zero becomes negative. */
HELPER void
put_mpint(struct message *message, const BIGNUM *number, int zeros)
{
    char bytes[2200] = {0};
    int n = BN_num_bytes(number);

    zeros += BN_num_bits(number) % 8 == 0;
    CHECK(zeros >= 0 && zeros + n <= (int)sizeof(bytes));
    BN_bn2bin(number, (unsigned char *)bytes + zeros);
    put_string(message, bytes, (size_t)(zeros + n));
}

HELPER void
put_rsa_number(struct message *message, EVP_PKEY *key, const char *name,
               int zeros)
{
    BIGNUM *number = NULL;

    CHECK_EQ(EVP_PKEY_get_bn_param(key, name, &number), 1);
    put_mpint(message, number, zeros);
    BN_free(number);
}

/* ---- Certificates ----------------------------------------------------- */

/* The parts of a certificate to which a byte can be appended. */
enum part {
    NONE,
    WHOLE,
    KEY,
    PRINCIPALS,
    CRITICAL,
    EXTENSIONS,
    AUTHORITY,
    SIGNATURE,
    RAW_SIGNATURE,
    PARTS
};

struct spec {
    enum kind kind, authority_kind;
    EVP_PKEY *key, *authority, *signer;
    const char *type, *curve, *authority_type;
    const char *algorithm;           /* the name in the signature */
    const char *digest;              /* RSA: the digest that is signed */
    uint32_t cert_type;              /* 2: host */
    size_t key_id_len, n_principals; /* the key id and principals repeat x */
    const char *principal;
    size_t principal_len;
    int has_options;
    enum part appended;
    int zeros;        /* needless leading ones of mpints; see put_mpint() */
    int is_shortened; /* an RSA signature has no leading zeros */
    int has_garbage;  /* the point of the key is not on the curve */
    int point_form;   /* 0: uncompressed */
};

/* A right certificate of a key of that kind. */
HELPER struct spec
right(enum kind kind, enum kind authority)
{
    struct spec spec = {
        .kind = kind,
        .authority_kind = authority,
        .key = host_keys[kind],
        .authority = authorities[authority],
        .signer = authorities[authority],
        .type = kinds[kind].cert_type,
        .curve = kinds[kind].curve,
        .authority_type = kinds[authority].type,
        .algorithm = authority == RSA_KEY ? "rsa-sha2-512"
                                          : kinds[authority].type,
        .digest = authority == RSA_KEY ? "SHA512" : kinds[authority].digest,
        .cert_type = 2,
        .key_id_len = 6,
        .n_principals = 2,
        .principal = "host.example",
        .principal_len = 12,
        .has_options = 1,
    };

    return spec;
}

HELPER void
append(const struct spec *spec, enum part part, struct message *to)
{
    if (spec->appended == part) {
        put_byte(to, 0);
    }
}

HELPER void
put_point(struct message *message, const struct spec *spec, enum kind kind,
          EVP_PKEY *key)
{
    struct message part = {.n = 0};
    size_t n = 0;

    part.n = sizeof(part.data);
    if (kinds[kind].curve != NULL) {
        CHECK_EQ(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY,
                                                 part.data, part.n, &n),
                 1);
        part.n = n;
    }
    else {
        CHECK_EQ(EVP_PKEY_get_raw_public_key(key, part.data, &part.n), 1);
    }
    n = part.n;
    if (spec->kind == kind && spec->key == key) {
        part.data[n - 1] ^= (unsigned char)spec->has_garbage;
        if (spec->point_form != 0) {
            part.data[0] = (unsigned char)(spec->point_form
                                           + part.data[n - 1] % 2);
            part.n = spec->point_form == 2 ? 1 + n / 2 : n;
        }
        append(spec, KEY, &part);
    }
    put_string(message, (const char *)part.data, part.n);
}

/* Put what follows the name of the type in a public key. */
HELPER void
put_key(struct message *message, const struct spec *spec, enum kind kind,
        EVP_PKEY *key)
{
    int zeros = key == spec->key ? spec->zeros : 0;

    if (kind == RSA_KEY) {
        put_rsa_number(message, key, OSSL_PKEY_PARAM_RSA_E, 0);
        put_rsa_number(message, key, OSSL_PKEY_PARAM_RSA_N, zeros);
        return;
    }
    if (kinds[kind].curve != NULL) {
        put_text(message, key == spec->key ? spec->curve : kinds[kind].curve);
    }
    put_point(message, spec, kind, key);
    if (kind == SK_ED25519 || kind == SK_P256) {
        put_text(message, APPLICATION);
    }
}

HELPER void
put_options(struct message *message, const struct spec *spec, enum part which)
{
    struct message part = {.n = 0};

    if (spec->has_options) {
        put_text(&part, "a@host.example");
        put_text(&part, "");
        put_text(&part, "b@host.example");
        put_text(&part, "value");
    }
    append(spec, which, &part);
    put_string(message, (const char *)part.data, part.n);
}

/* Turn an ECDSA signature in DER into two mpints (RFC 5656 3.1.2). */
HELPER void
put_ecdsa(struct message *message, const unsigned char *der, size_t n,
          int zeros)
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)n);

    CHECK(pair != NULL);
    put_mpint(message, ECDSA_SIG_get0_r(pair), zeros);
    put_mpint(message, ECDSA_SIG_get0_s(pair), 0);
    ECDSA_SIG_free(pair);
}

/* A security key signs the hashes of its application and of the message
 * (PROTOCOL.u2f). */
HELPER size_t
sk_signed(const unsigned char *data, size_t n, unsigned char out[69])
{
    SHA256((const unsigned char *)APPLICATION, strlen(APPLICATION), out);
    memcpy(out + 32, "\1\0\0\0\5", 5);
    SHA256(data, n, out + 37);
    return 69;
}

/* Put a signature of the data (RFC 4253 6.6). */
HELPER void
put_signature(struct message *message, enum kind kind, EVP_PKEY *key,
              const char *algorithm, const char *digest,
              const unsigned char *data, size_t n, const struct spec *spec)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct message whole = {.n = 0}, raw = {.n = 0};
    unsigned char bytes[600], sk_data[69];
    int is_sk = kind == SK_ED25519 || kind == SK_P256;
    size_t len = sizeof(bytes);

    if (is_sk) {
        n = sk_signed(data, n, sk_data);
        data = sk_data;
    }
    CHECK(context != NULL);
    CHECK_EQ(
        EVP_DigestSignInit_ex(context, NULL, digest, NULL, NULL, key, NULL),
        1);
    CHECK_EQ(EVP_DigestSign(context, bytes, &len, data, n), 1);
    EVP_MD_CTX_free(context);
    if (kinds[kind].curve != NULL) {
        put_ecdsa(&raw, bytes, len, spec->zeros);
    }
    else {
        memcpy(raw.data, bytes, len);
        raw.n = len;
    }
    if (spec->is_shortened && raw.data[0] == 0) {
        memmove(raw.data, raw.data + 1, --raw.n);
    }
    append(spec, RAW_SIGNATURE, &raw);
    put_text(&whole, algorithm);
    put_string(&whole, (const char *)raw.data, raw.n);
    if (is_sk) {
        memcpy(whole.data + whole.n, sk_data + 32, 5);
        whole.n += 5;
    }
    append(spec, SIGNATURE, &whole);
    put_string(message, (const char *)whole.data, whole.n);
}

HELPER void
put_principals(struct message *message, const struct spec *spec)
{
    struct message part = {.n = 0};

    for (size_t i = 0; i < spec->n_principals; i++) {
        put_string(&part, spec->principal, spec->principal_len);
    }
    append(spec, PRINCIPALS, &part);
    put_string(message, (const char *)part.data, part.n);
}

/* Put all fields up to the authority's key. */
HELPER void
put_fields(struct message *to, const struct spec *spec)
{
    put_text(to, spec->type);
    put_text(to, "a nonce of 24 characters");
    put_key(to, spec, spec->kind, spec->key);
    put_u32(to, 0);
    put_u32(to, 7); /* serial */
    put_u32(to, spec->cert_type);
    put_string(to, "key id", spec->key_id_len);
    put_principals(to, spec);
    put_u32(to, 0);
    put_u32(to, 1000); /* valid after */
    put_u32(to, 0xffffffff);
    put_u32(to, 0xffffffff); /* valid before */
    put_options(to, spec, CRITICAL);
    put_options(to, spec, EXTENSIONS);
    put_text(to, "reserved");
}

HELPER void
compose(struct message *to, const struct spec *spec)
{
    struct message part = {.n = 0};

    to->n = 0;
    put_fields(to, spec);
    put_text(&part, spec->authority_type);
    put_key(&part, spec, spec->authority_kind, spec->authority);
    append(spec, AUTHORITY, &part);
    put_string(to, (const char *)part.data, part.n);
    put_signature(to, spec->authority_kind, spec->signer, spec->algorithm,
                  spec->digest, to->data, to->n, spec);
    append(spec, WHOLE, to);
}

#endif
