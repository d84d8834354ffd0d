/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The macros that check, and buffers in which a test composes an SSH message
 * (RFC 4251 5). This needs libssh2's internal headers.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libssh2_priv.h"

#define HELPER __attribute__((unused)) static

static const char *running;

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__, __LINE__,    \
                    running, #condition);                                     \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

#define CHECK_EQ(seen, wanted)                                                \
    do {                                                                      \
        long long s_ = (long long)(seen), w_ = (long long)(wanted);           \
                                                                              \
        if (s_ != w_) {                                                       \
            fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", __FILE__,    \
                    __LINE__, running, #seen, s_, w_);                        \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

struct message {
    unsigned char data[40000];
    size_t n;
};

HELPER void
put_byte(struct message *message, unsigned value)
{
    message->data[message->n++] = (unsigned char)value;
}

HELPER void
put_u32(struct message *message, uint32_t value)
{
    _libssh2_htonu32(message->data + message->n, value);
    message->n += 4;
}

HELPER void
put_string(struct message *message, const char *text, size_t n)
{
    put_u32(message, (uint32_t)n);
    memcpy(message->data + message->n, text, n);
    message->n += n;
}

HELPER void
put_text(struct message *message, const char *text)
{
    put_string(message, text, strlen(text));
}

#endif
