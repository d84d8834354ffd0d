/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A server's packets under null cryptography (nullcrypt.c): building them, and
 * ready-made ones that lead to a session that is logged in.
 *
 * The ready-made packets do not depend on the client's packets.  No key has to
 * be right, because nothing is encrypted with a key and every signature is
 * accepted (except one that begins with WRONG_SIGNATURE).
 *
 * `is_keyed` is true after the server's NEWKEYS: packets then have the block
 * size of aes128-ctr and a MAC of zeros.
 *
 * This file needs neither the engine nor the harness; the fuzzer uses it too.
 */
#ifndef SG_TEST_PACKETS_H
#define SG_TEST_PACKETS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Message numbers (RFC 4250 4.1.2, RFC 8308 for EXT_INFO). */
enum {
    MSG_DISCONNECT = 1,
    MSG_IGNORE = 2,
    MSG_UNIMPLEMENTED = 3,
    MSG_DEBUG = 4,
    MSG_SERVICE_ACCEPT = 6,
    MSG_EXT_INFO = 7,
    MSG_KEXINIT = 20,
    MSG_NEWKEYS = 21,
    MSG_KEX_ECDH_INIT = 30,
    MSG_KEX_ECDH_REPLY = 31,
    MSG_USERAUTH_FAILURE = 51,
    MSG_USERAUTH_SUCCESS = 52,
    MSG_USERAUTH_BANNER = 53,
    MSG_USERAUTH_INFO_REQUEST = 60,
    MSG_GLOBAL_REQUEST = 80,
    MSG_REQUEST_SUCCESS = 81,
    MSG_REQUEST_FAILURE = 82,
    MSG_CHANNEL_OPEN = 90,
    MSG_CHANNEL_OPEN_CONFIRMATION = 91,
    MSG_CHANNEL_OPEN_FAILURE = 92,
    MSG_CHANNEL_WINDOW_ADJUST = 93,
    MSG_CHANNEL_DATA = 94,
    MSG_CHANNEL_EXTENDED_DATA = 95,
    MSG_CHANNEL_EOF = 96,
    MSG_CHANNEL_CLOSE = 97,
    MSG_CHANNEL_REQUEST = 98,
    MSG_CHANNEL_SUCCESS = 99,
    MSG_CHANNEL_FAILURE = 100,
};

#define MAC_SIZE 32   /* bytes; hmac-sha2-256 */
#define BLOCK_SIZE 16 /* bytes; aes128-ctr */
#define SERVER_BANNER "SSH-2.0-script\r\n"

/* The first byte of a signature that does not verify. */
#define WRONG_SIGNATURE 0xbd

/* Bytes that grow.  {0} is empty; the owner frees `data` with free().  The
 * functions that append abort if memory runs out. */
struct bytes {
    unsigned char *data;
    size_t len, size; /* bytes used, bytes allocated */
};

/* ---- Fields (RFC 4251 5) ---------------------------------------------- */

/* Append `n` bytes; `data` may be NULL if `n` is 0. */
void bytes_add(struct bytes *bytes, const void *data, size_t n);

/* Append a uint32. */
void bytes_add_u32(struct bytes *bytes, uint32_t number);

/* Append one byte, the lowest of `byte`. */
void bytes_add_u8(struct bytes *bytes, int byte);

/* Append a string: its length and then its `n` bytes. */
void bytes_add_string(struct bytes *bytes, const void *data, size_t n);

/* ---- Packets (RFC 4253 6) --------------------------------------------- */

/* Append the packet whose payload is the message number `type` and then the
 * fields of `format`, one letter each:
 *   u  a uint32_t
 *   b  a byte, passed as an int
 *   s  a string, passed as a C string
 *   d  a string, passed as data and its size_t
 *   r  bytes without a length before them, passed as data and their size_t */
void packet_put(struct bytes *stream, int is_keyed, int type,
                const char *format, ...);

/* The same with a va_list. */
void packet_put_v(struct bytes *stream, int is_keyed, int type,
                  const char *format, va_list args);

/* ---- Ready-made packets ----------------------------------------------- */

/* Append KEXINIT with the algorithms that the sizes above are those of. */
void put_kexinit(struct bytes *stream, int is_keyed);

/* Append the server's reply in the key exchange: an ed25519 host key (RFC
 * 8709), curve25519's base point as the server's share, and a signature of
 * zeros, which is accepted. */
void put_kex_reply(struct bytes *stream, int is_keyed);

/* The same with the given public key and signature. */
void put_kex_reply_with(struct bytes *stream, int is_keyed,
                        const unsigned char public[32],
                        const unsigned char signature[64]);

/* Append a whole key exchange, the first one or a later one: KEXINIT, the
 * reply, and NEWKEYS. */
void put_kex(struct bytes *stream, int is_keyed);

/* Append everything from the banner to the success of the method "none". */
void put_login(struct bytes *stream);

#endif
