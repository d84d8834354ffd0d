/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Patch old-methods-until-newkeys: key exchanges that change the methods.
 */
#include "pair.h"

#define CHACHA "chacha20-poly1305@openssh.com"

static struct message said, heard;

static void
say_kexinit(struct pair *pair, const char *cipher, const char *mac)
{
    const char *const lists[] = {"curve25519-sha256",
                                 "ssh-ed25519",
                                 cipher,
                                 cipher,
                                 mac,
                                 mac,
                                 "none",
                                 "none",
                                 "",
                                 ""};

    said.n = 0;
    put_byte(&said, SSH_MSG_KEXINIT);
    for (int i = 0; i < 16; i++) {
        put_byte(&said, 0);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        put_text(&said, lists[i]);
    }
    put_byte(&said, 0);
    put_u32(&said, 0);
    say(&pair->theirs, &said);
}

/* The rest of a key exchange is understood on both sides. */
static void
change(const char *cipher, const char *mac, const char *new_cipher,
       const char *new_mac)
{
    struct pair pair;
    int rc;

    pair_open_with(&pair, cipher, cipher, mac);
    say_kexinit(&pair, new_cipher, new_mac);
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

int
main(void)
{
    libssh2_init(0);
    RUN(old_keys_last_until_newkeys);
    return 0;
}
