/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patch damaged-key-files: damaged private keys in OpenSSH's
 * format (PROTOCOL.key). Without the patch, most of these tests fail only with
 * the address sanitizer.
 */
#include "pair.h"

#include <openssl/evp.h>

static struct message blob, part;
static char text[60000];

#define BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define END "-----END OPENSSH PRIVATE KEY-----\n"

/* Write the first `n` bytes of the blob to `text` as a key file. */
static void
write_text(size_t n)
{
    static unsigned char encoded[56000];
    size_t len = (size_t)EVP_EncodeBlock(encoded, blob.data, (int)n);
    char *at = stpcpy(text, BEGIN);

    for (size_t i = 0; i < len; i += 70) {
        at += sprintf(at, "%.70s\n", (char *)encoded + i);
    }
    strcpy(at, END);
}

/* Read the key file with libssh2; returns its error code. */
static int
read_text(const char *passphrase)
{
    LIBSSH2_SESSION *session = libssh2_session_init();
    unsigned char *method = NULL, *key = NULL;
    size_t method_len = 0, key_len = 0;
    int rc;

    CHECK(session != NULL);
    rc = _libssh2_pub_priv_keyfilememory(session, &method, &method_len, &key,
                                         &key_len, text, strlen(text),
                                         passphrase);
    if (rc == 0) {
        LIBSSH2_FREE(session, method);
        LIBSSH2_FREE(session, key);
    }
    CHECK_EQ(libssh2_session_free(session), 0);
    return rc;
}

static void
put_head(const char *cipher, const char *kdf, const char *options,
         size_t options_len)
{
    static const char magic[] = "openssh-key-v1";

    blob.n = 0;
    for (size_t i = 0; i < sizeof(magic); i++) {
        put_byte(&blob, (unsigned char)magic[i]);
    }
    put_text(&blob, cipher);
    put_text(&blob, kdf);
    put_string(&blob, options, options_len);
    put_u32(&blob, 1);
    put_text(&blob, "the public key");
}

/* Write the start of the private part to `part`. */
static void
begin_part(const char *type)
{
    part.n = 0;
    put_u32(&part, 0x01020304);
    put_u32(&part, 0x01020304);
    put_text(&part, type);
}

static void
put_plain_key(void)
{
    put_head("none", "none", "", 0);
    put_string(&blob, (const char *)part.data, part.n);
}

static void
put_ed25519_key(void)
{
    static const char key[64] = "a private key and its public key";

    begin_part("ssh-ed25519");
    put_string(&part, key + 32, 32);
    put_string(&part, key, 64);
    put_text(&part, "comment");
    for (unsigned i = 1; part.n % 8 != 0; i++) {
        put_byte(&part, i);
    }
    put_plain_key();
}

static void
a_valid_key_is_read(void)
{
    put_ed25519_key();
    write_text(blob.n);
    CHECK_EQ(read_text(""), 0);
}

static void
base64_of_any_length_is_decoded(void)
{
    static const char letters[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    LIBSSH2_SESSION *session = libssh2_session_init();

    CHECK(session != NULL);
    for (size_t n = 0; n < sizeof(letters); n++) {
        char *data;
        size_t len;

        if (n % 4 != 1) {
            CHECK_EQ(_libssh2_base64_decode(session, &data, &len, letters, n),
                     0);
            CHECK_EQ(len, n * 3 / 4);
            LIBSSH2_FREE(session, data);
        }
    }
    CHECK_EQ(libssh2_session_free(session), 0);
}

static void
a_truncated_key_is_refused(void)
{
    put_ed25519_key();
    for (size_t n = blob.n; n-- > 0;) {
        write_text(n);
        CHECK(read_text("") != 0);
    }
}

static void
a_truncated_private_part_is_refused(void)
{
    static const char *const types[] = {"ssh-ed25519", "ssh-rsa", "ssh-dss",
                                        "ecdsa-sha2-nistp256",
                                        "sk-ssh-ed25519@openssh.com"};

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        begin_part(types[i]);
        put_plain_key();
        write_text(blob.n);
        CHECK(read_text("") != 0);
    }
}

static void
an_ecdsa_key_of_zero_is_refused(void)
{
    static const char *const numbers[] = {"", "\0", "\0\0"};

    for (size_t i = 0; i < 3; i++) {
        begin_part("ecdsa-sha2-nistp256");
        put_text(&part, "nistp256");
        put_text(&part, "no point");
        put_string(&part, numbers[i], i);
        put_text(&part, "comment");
        put_plain_key();
        write_text(blob.n);
        CHECK(read_text("") != 0);
    }
}

static void
damaged_encrypted_keys_are_refused(void)
{
    static const char *const ciphers[] = {"none", "aes256-ctr", "aes256-cbc",
                                          "aes",  "c",          "a"};
    static const char *const kdfs[] = {"none", "bcrypt", "scrypt", "b"};
    static const char salt[] = "\0\0\0\004salt\0\0\0\001";
    static const size_t lengths[] = {0, 3, 4, 8, 11, 12};

    for (size_t i = 0; i < 6 * 4 * 6; i++) {
        put_head(ciphers[i % 6], kdfs[i / 6 % 4], salt, lengths[i / 24]);
        put_text(&blob, "0123456789abcdef");
        write_text(blob.n);
        CHECK(read_text("") != 0);
        CHECK(read_text("secret") != 0);
    }
    put_head("aes256-ctr", "bcrypt", "\0\0\0\0\0\0\0\001", 8); /* no salt */
    put_text(&blob, "0123456789abcdef");
    write_text(blob.n);
    CHECK(read_text("secret") != 0);
}

int
main(void)
{
    libssh2_init(0);
    RUN(a_valid_key_is_read);
    RUN(base64_of_any_length_is_decoded);
    RUN(a_truncated_key_is_refused);
    RUN(a_truncated_private_part_is_refused);
    RUN(an_ecdsa_key_of_zero_is_refused);
    RUN(damaged_encrypted_keys_are_refused);
    return 0;
}
