/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See packets.h.
 */
#include "lib/packets.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* ---- Fields ----------------------------------------------------------- */

void
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

void
bytes_add_u32(struct bytes *bytes, uint32_t number)
{
    number = htonl(number);
    bytes_add(bytes, &number, sizeof(number));
}

void
bytes_add_u8(struct bytes *bytes, int byte)
{
    unsigned char c = (unsigned char)byte;

    bytes_add(bytes, &c, 1);
}

void
bytes_add_string(struct bytes *bytes, const void *data, size_t n)
{
    bytes_add_u32(bytes, (uint32_t)n);
    bytes_add(bytes, data, n);
}

/* ---- Packets ---------------------------------------------------------- */

static void
add_payload(struct bytes *payload, int type, const char *format, va_list args)
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

/* Append the packet around a payload. */
static void
add_packet(struct bytes *stream, const void *payload, size_t n, int is_keyed)
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

void
packet_put_v(struct bytes *stream, int is_keyed, int type, const char *format,
             va_list args)
{
    struct bytes payload = {0};

    add_payload(&payload, type, format, args);
    add_packet(stream, payload.data, payload.len, is_keyed);
    free(payload.data);
}

void
packet_put(struct bytes *stream, int is_keyed, int type, const char *format,
           ...)
{
    va_list args;

    va_start(args, format);
    packet_put_v(stream, is_keyed, type, format, args);
    va_end(args);
}

/* ---- Ready-made packets ----------------------------------------------- */

void
put_kexinit(struct bytes *stream, int is_keyed)
{
    packet_put(stream, is_keyed, MSG_KEXINIT, "rssssssssssbu",
               "0123456789abcdef", (size_t)16, "curve25519-sha256",
               "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256",
               "hmac-sha2-256", "none", "none", "", "", 0, (uint32_t)0);
}

void
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

void
put_kex_reply(struct bytes *stream, int is_keyed)
{
    static const unsigned char public[32] = {9};
    static const unsigned char signature[64];

    put_kex_reply_with(stream, is_keyed, public, signature);
}

void
put_kex(struct bytes *stream, int is_keyed)
{
    put_kexinit(stream, is_keyed);
    put_kex_reply(stream, is_keyed);
    packet_put(stream, is_keyed, MSG_NEWKEYS, "");
}

void
put_login(struct bytes *stream)
{
    bytes_add(stream, SERVER_BANNER, sizeof(SERVER_BANNER) - 1);
    put_kex(stream, 0);
    packet_put(stream, 1, MSG_SERVICE_ACCEPT, "s", "ssh-userauth");
    packet_put(stream, 1, MSG_USERAUTH_SUCCESS, "");
}
