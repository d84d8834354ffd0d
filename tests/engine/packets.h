/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The packets of a server under null cryptography (nullcrypt.c): how they are
 * put together, and the canned ones that lead to a session that is logged in.
 *
 * Nothing a client says changes them: keys need not be right when nothing is
 * encrypted with them and no signature is wrong.
 */
#ifndef SG_TEST_PACKETS_H
#define SG_TEST_PACKETS_H

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4250 4.1.2. */
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

#define MAC_SIZE 32   /* hmac-sha2-256 */
#define BLOCK_SIZE 16 /* aes128-ctr */
#define SERVER_BANNER "SSH-2.0-script\r\n"

/* The first byte of a signature that does not verify. */
#define WRONG_SIGNATURE 0xbd

/* Bytes that grow; `data` is for free(). */
struct bytes {
    unsigned char *data;
    size_t len, size;
};

static inline void
bytes_add(struct bytes *bytes, const void *data, size_t n)
{
    if (bytes->size - bytes->len < n) {
        bytes->size = 2 * bytes->size + n;
        bytes->data = realloc(bytes->data, bytes->size);
        if (bytes->data == NULL) {
            abort();
        }
    }
    if (n > 0) {
        memcpy(bytes->data + bytes->len, data, n);
        bytes->len += n;
    }
}

static inline void
bytes_add_u32(struct bytes *bytes, uint32_t number)
{
    number = htonl(number);
    bytes_add(bytes, &number, sizeof(number));
}

static inline void
bytes_add_u8(struct bytes *bytes, int byte)
{
    unsigned char c = (unsigned char)byte;

    bytes_add(bytes, &c, 1);
}

static inline void
bytes_add_string(struct bytes *bytes, const void *data, size_t n)
{
    bytes_add_u32(bytes, (uint32_t)n);
    bytes_add(bytes, data, n);
}

/* A payload: its type and then, a letter each, u a uint32, b a byte, s a
 * string from C's, d a string of (data, size_t), r the same without its
 * length. */
static inline void
payload_v(struct bytes *payload, int type, const char *format, va_list args)
{
    bytes_add_u8(payload, type);
    for (; *format != '\0'; format++) {
        const void *data;
        size_t n;

        switch (*format) {
        case 'u':
            bytes_add_u32(payload, va_arg(args, uint32_t));
            break;
        case 'b':
            bytes_add_u8(payload, va_arg(args, int));
            break;
        case 's':
            data = va_arg(args, const char *);
            bytes_add_string(payload, data, strlen(data));
            break;
        case 'd':
            data = va_arg(args, const void *);
            n = va_arg(args, size_t);
            bytes_add_string(payload, data, n);
            break;
        case 'r':
            data = va_arg(args, const void *);
            n = va_arg(args, size_t);
            bytes_add(payload, data, n);
            break;
        default:
            abort();
        }
    }
}

/* The packet around a payload (RFC 4253 6). */
static inline void
packet_add(struct bytes *stream, const void *payload, size_t n, int is_keyed)
{
    static const unsigned char zeros[256];
    size_t block = is_keyed ? BLOCK_SIZE : 8;
    size_t padding = block - (5 + n) % block;

    padding += padding < 4 ? block : 0;
    bytes_add_u32(stream, (uint32_t)(1 + n + padding));
    bytes_add_u8(stream, (int)padding);
    bytes_add(stream, payload, n);
    bytes_add(stream, zeros, padding);
    bytes_add(stream, zeros, is_keyed ? MAC_SIZE : 0);
}

static inline void
packet_add_v(struct bytes *stream, int is_keyed, int type, const char *format,
             va_list args)
{
    struct bytes payload = {0};

    payload_v(&payload, type, format, args);
    packet_add(stream, payload.data, payload.len, is_keyed);
    free(payload.data);
}

static inline void
packet_put(struct bytes *stream, int is_keyed, int type, const char *format,
           ...)
{
    va_list args;

    va_start(args, format);
    packet_add_v(stream, is_keyed, type, format, args);
    va_end(args);
}

/* ---- The canned ones -------------------------------------------------- */

static inline void
put_kexinit(struct bytes *stream, int is_keyed)
{
    packet_put(stream, is_keyed, MSG_KEXINIT, "rssssssssssbu",
               "0123456789abcdef", (size_t)16, "curve25519-sha256",
               "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256",
               "hmac-sha2-256", "none", "none", "", "", 0, (uint32_t)0);
}

/* A host key (RFC 8709), curve25519's base point for the server's share, and
 * a signature of the right shape. */
static inline void
put_kex_reply_with(struct bytes *stream, int is_keyed,
                   const unsigned char public[32],
                   const unsigned char signature[64])
{
    static const unsigned char point[32] = {9};
    struct bytes key = {0}, signed_by = {0};

    bytes_add_string(&key, "ssh-ed25519", 11);
    bytes_add_string(&key, public, 32);
    bytes_add_string(&signed_by, "ssh-ed25519", 11);
    bytes_add_string(&signed_by, signature, 64);
    packet_put(stream, is_keyed, MSG_KEX_ECDH_REPLY, "ddd", key.data, key.len,
               point, sizeof(point), signed_by.data, signed_by.len);
    free(key.data);
    free(signed_by.data);
}

static inline void
put_kex_reply(struct bytes *stream, int is_keyed)
{
    static const unsigned char public[32] = {9};
    static const unsigned char signature[64];

    put_kex_reply_with(stream, is_keyed, public, signature);
}

/* All of a key exchange, the first one or a later one. */
static inline void
put_kex(struct bytes *stream, int is_keyed)
{
    put_kexinit(stream, is_keyed);
    put_kex_reply(stream, is_keyed);
    packet_put(stream, is_keyed, MSG_NEWKEYS, "");
}

/* From the banner to the answer to the method "none". */
static inline void
put_login(struct bytes *stream)
{
    bytes_add(stream, SERVER_BANNER, sizeof(SERVER_BANNER) - 1);
    put_kex(stream, 0);
    packet_put(stream, 1, MSG_SERVICE_ACCEPT, "s", "ssh-userauth");
    packet_put(stream, 1, MSG_USERAUTH_SUCCESS, "");
}

#endif
