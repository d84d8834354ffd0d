/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patch one-cipher-call-per-packet: packets arrive unchanged, and
 * the cipher is called only a few times. Linked with --wrap=EVP_Cipher.
 */
#include "pair.h"

#include <openssl/evp.h>

#define PACKET 192 /* a message type that libssh2 queues */
#define CALLS 5    /* AES-GCM: additional data twice, body twice, tag once */

static long calls;

int __real_EVP_Cipher(EVP_CIPHER_CTX *ctx, unsigned char *out,
                      const unsigned char *in, unsigned int inl);
int __wrap_EVP_Cipher(EVP_CIPHER_CTX *ctx, unsigned char *out,
                      const unsigned char *in, unsigned int inl);

int
__wrap_EVP_Cipher(EVP_CIPHER_CTX *ctx, unsigned char *out,
                  const unsigned char *in, unsigned int inl)
{
    calls++;
    return __real_EVP_Cipher(ctx, out, in, inl);
}

static const char *const ciphers[] = {
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
    "aes128-cbc",
};

static void
fill(struct message *message, size_t n)
{
    message->n = 0;
    put_byte(message, PACKET);
    for (size_t i = 1; i < n; i++) {
        put_byte(message, (unsigned)(i * 7 + n));
    }
}

static void
every_size_arrives_in_pieces_of_every_size(void)
{
    static const size_t sizes[] = {1, 2, 11, 12, 13, 27, 28, 100, 4096, 32000};
    static const size_t chunks[] = {0, 1, 7, 15, 16, 17, 1000};
    static struct message said, heard;
    struct pair pair;

    for (size_t c = 0; c < sizeof(ciphers) / sizeof(*ciphers); c++) {
        pair_open(&pair, ciphers[c], ciphers[c]);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            for (size_t k = 0; k < sizeof(chunks) / sizeof(*chunks); k++) {
                pair.ours.in->chunk = chunks[k];
                fill(&said, sizes[i]);
                say(&pair.theirs, &said);
                say(&pair.theirs, &said);
                for (int twice = 0; twice < 2; twice++) {
                    CHECK(we_hear(&pair, PACKET, &heard));
                    CHECK_EQ(heard.n, said.n);
                    CHECK(memcmp(heard.data, said.data, said.n) == 0);
                }
            }
        }
        pair_close(&pair);
    }
}

static void
a_flipped_bit_is_detected(void)
{
    static struct message said, heard;
    struct pair pair;

    for (size_t c = 0; c < sizeof(ciphers) / sizeof(*ciphers); c++) {
        /* not in the length: libssh2 might wait for more bytes */
        for (size_t at = 4; at < 200; at += 13) {
            int rc;

            pair_open(&pair, ciphers[c], ciphers[c]);
            fill(&said, 200);
            say(&pair.theirs, &said);
            pair.ours.in->data[at + (at < 16 ? 12 : 0)] ^= 1;
            rc = listen_to(&pair.ours);
            CHECK(rc == LIBSSH2_ERROR_DECRYPT
                  || rc == LIBSSH2_ERROR_INVALID_MAC);
            CHECK(_libssh2_packet_ask(pair.ours.session, PACKET, NULL, NULL, 0,
                                      NULL, 0)
                  != 0);
            pair_close(&pair);
        }
    }
    (void)heard;
}

static void
the_cipher_is_called_a_few_times_per_packet(void)
{
    static struct message said, heard;
    struct pair pair;

    for (size_t c = 0; c < sizeof(ciphers) / sizeof(*ciphers); c++) {
        pair_open(&pair, ciphers[c], ciphers[c]);
        fill(&said, 32000);
        calls = 0;
        say(&pair.theirs, &said);
        CHECK(calls >= 1);
        CHECK(calls <= 3);
        calls = 0;
        CHECK(we_hear(&pair, PACKET, &heard));
        CHECK(calls >= 1);
        CHECK(calls <= CALLS);
        pair_close(&pair);
    }
}

/* For measuring with callgrind: test_cipher CIPHER COUNT. */
static void
carry(const char *cipher, int count)
{
    static struct message said, heard;
    struct pair pair;

    pair_open(&pair, cipher, cipher);
    fill(&said, 32000);
    while (count-- > 0) {
        say(&pair.theirs, &said);
        CHECK(we_hear(&pair, PACKET, &heard));
    }
    pair_close(&pair);
}

int
main(int argc, char **argv)
{
    libssh2_init(0);
    if (argc == 3) {
        carry(argv[1], atoi(argv[2]));
        return 0;
    }
    RUN(every_size_arrives_in_pieces_of_every_size);
    RUN(a_flipped_bit_is_detected);
    RUN(the_cipher_is_called_a_few_times_per_packet);
    return 0;
}
