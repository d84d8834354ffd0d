/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patches old-methods-until-newkeys,
 * memory-of-failed-key-exchanges and diffie-hellman-bounds: key exchanges that
 * change the methods, and key exchanges that fail.
 */
#include "pair.h"

#include <openssl/bn.h>

#define CURVE25519 "curve25519-sha256"
#define CHACHA "chacha20-poly1305@openssh.com"

static struct message said, heard;

/* Start a key exchange for new methods. Both sides still understand the
 * packets before NEWKEYS. */
static void
change(const char *cipher, const char *mac, const char *new_cipher,
       const char *new_mac)
{
    struct pair pair;
    int rc;

    pair_open_with(&pair, cipher, cipher, mac);
    say_kexinit(&pair, CURVE25519, new_cipher, new_mac);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK(they_hear(&pair, SSH_MSG_KEXINIT, &heard));
    CHECK(they_hear(&pair, SSH2_MSG_KEX_ECDH_INIT, &heard));
    CHECK_EQ(heard.n, 1 + 4 + 32);

    said.n = 0;
    put_byte(&said, SSH_MSG_IGNORE);
    put_text(&said, "between");
    say(&pair.theirs, &said);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);

    said.n = 0; /* a reply that is too short */
    put_byte(&said, SSH2_MSG_KEX_ECDH_REPLY);
    say(&pair.theirs, &said);
    rc = listen_to(&pair.ours);
    CHECK_EQ(rc, LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE);
    pair_close(&pair);
}

static void
old_keys_last_until_newkeys(void)
{
    static const char *const ciphers[] = {"aes128-gcm@openssh.com",
                                          "aes256-gcm@openssh.com",
                                          "aes128-ctr",
                                          "aes256-ctr",
                                          "aes256-cbc",
                                          CHACHA};
    static const char *const macs[] = {"hmac-sha2-256", "hmac-sha2-512",
                                       "hmac-sha2-256-etm@openssh.com"};
    const size_t n = sizeof(ciphers) / sizeof(*ciphers);

    for (size_t i = 0; i < n * n * 9; i++) {
        change(ciphers[i % n], macs[i / n / n % 3], ciphers[i / n % n],
               macs[i / n / n / 3]);
    }
}

/* ---- First key exchanges that fail ------------------------------------ */

/* Send the reply to our first message: an Ed25519 host key, a value (a string
 * or an mpint), and a wrong signature. */
static void
say_reply(struct pair *pair, const unsigned char *value, size_t n)
{
    static const char zeros[64];
    static struct message part;
    char key[32];

    memset(key, 0x66, sizeof(key)); /* the base point of the curve */
    key[0] = 0x58;
    said.n = part.n = 0;
    put_byte(&said, SSH2_MSG_KEX_ECDH_REPLY); /* same number as KEXDH_REPLY */
    put_text(&part, "ssh-ed25519");
    put_string(&part, key, sizeof(key));
    put_string(&said, (const char *)part.data, part.n);
    put_string(&said, (const char *)value, n);
    part.n = 0;
    put_text(&part, "ssh-ed25519");
    put_string(&part, zeros, sizeof(zeros));
    put_string(&said, (const char *)part.data, part.n);
    say(&pair->theirs, &said);
}

/* The sanitizer reports a leak. */
static void
a_failed_exchange_leaks_no_memory(void)
{
    static const unsigned char basepoint[32] = {9};
    struct pair pair;

    pair_open_with_banner(&pair);
    say_kexinit(&pair, CURVE25519, "aes128-ctr", "hmac-sha2-256");
    CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_EAGAIN);
    say_reply(&pair, basepoint, sizeof(basepoint));
    CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE);
    CHECK(pair.ours.session->server_hostkey != NULL);
    pair_close(&pair);
}

static void
the_mac_of_aes_gcm_does_not_keep_its_key(void)
{
    const LIBSSH2_MAC_METHOD *mac = find_mac(
        "", find_cipher("aes128-gcm@openssh.com"));
    LIBSSH2_SESSION *session = libssh2_session_init();
    void *abstract = NULL;
    int free_key = 0;

    CHECK(session != NULL);
    CHECK_EQ(mac->init(session, NULL, &free_key, &abstract), 0);
    CHECK(abstract == NULL);
    CHECK(free_key);
    CHECK_EQ(libssh2_session_free(session), 0);
}

/* ---- Diffie-Hellman --------------------------------------------------- */

static int powers;
static BIGNUM *prime;

int __real_BN_mod_exp(BIGNUM *r, const BIGNUM *a, const BIGNUM *p,
                      const BIGNUM *m, BN_CTX *ctx);
int __wrap_BN_mod_exp(BIGNUM *r, const BIGNUM *a, const BIGNUM *p,
                      const BIGNUM *m, BN_CTX *ctx);

int
__wrap_BN_mod_exp(BIGNUM *r, const BIGNUM *a, const BIGNUM *p, const BIGNUM *m,
                  BN_CTX *ctx)
{
    powers++;
    BN_free(prime);
    prime = BN_dup(m);
    return __real_BN_mod_exp(r, a, p, m, ctx);
}

/* Returns whether a secret is computed from the server's value. This value is
 * the prime minus `below` or, if `below` is 0, `value`. */
static int
is_accepted(const char *method, unsigned long value, unsigned long below)
{
    unsigned char mpint[1 + 1024] = {0};
    struct pair pair;
    BIGNUM *f;
    int n;

    pair_open_with_banner(&pair);
    powers = 0;
    say_kexinit(&pair, method, "aes128-ctr", "hmac-sha2-256");
    CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(powers, 1);
    f = BN_dup(prime);
    CHECK(f != NULL);
    CHECK_EQ(below != 0 ? BN_sub_word(f, below) : BN_set_word(f, value), 1);
    n = BN_bn2bin(f, mpint + 1);
    BN_free(f);
    say_reply(&pair, mpint, n > 0 ? (size_t)n + 1 : 0);
    CHECK_EQ(exchange_keys(&pair), LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE);
    pair_close(&pair);
    return powers > 1;
}

static void
values_that_reveal_the_secret_are_refused(void)
{
    static const char *const methods[] = {"diffie-hellman-group14-sha256",
                                          "diffie-hellman-group16-sha512"};

    for (size_t i = 0; i < 2; i++) {
        CHECK(!is_accepted(methods[i], 0, 0));
        CHECK(!is_accepted(methods[i], 1, 0));
        CHECK(is_accepted(methods[i], 2, 0));
        CHECK(is_accepted(methods[i], 0, 2));
        CHECK(!is_accepted(methods[i], 0, 1));
    }
    BN_free(prime);
    prime = NULL;
}

int
main(void)
{
    libssh2_init(0);
    RUN(old_keys_last_until_newkeys);
    RUN(a_failed_exchange_leaks_no_memory);
    RUN(the_mac_of_aes_gcm_does_not_keep_its_key);
    RUN(values_that_reveal_the_secret_are_refused);
    return 0;
}
