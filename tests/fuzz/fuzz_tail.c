/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This libFuzzer program fuzzes the tail of a proxy's stderr and the buffer of
 * a stream, and compares them with a plain model: all the bytes that were ever
 * added.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/buffer.h"
#include "engine/tail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MOST (1U << 20)

static char all[MOST];

static void
fill(char *to, size_t n, unsigned from)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = (char)((from + i) * 131U >> 3);
    }
}

/* Each step takes three bytes of the input: two for the number of bytes to
 * add, one for their values. */
static void
run_tail(const uint8_t *data, size_t n)
{
    struct sg_tail tail = {0};
    size_t total = 0, kept;
    char *copy;

    for (; n >= 3; data += 3, n -= 3) {
        size_t more = (size_t)data[0] << 9 | data[1];

        if (total + more > MOST) {
            break;
        }
        fill(all + total, more, data[2]);
        sg_tail_add(&tail, all + total, more);
        total += more;
    }
    kept = total < SG_TAIL_CAPACITY ? total : SG_TAIL_CAPACITY;
    copy = malloc(tail.len + 1);
    if (copy == NULL || tail.len != kept) {
        abort();
    }
    sg_tail_copy(&tail, copy);
    if (memcmp(copy, all + total - kept, kept) != 0) {
        abort();
    }
    free(copy);
    sg_tail_clear(&tail);
}

static bool
holds(const struct sg_buffer *buffer, const char *bytes)
{
    static struct iovec pieces[MOST / 4096 + 2];
    size_t n = sg_buffer_pieces(buffer, pieces,
                                sizeof(pieces) / sizeof(*pieces));
    size_t sum = 0;

    for (size_t i = 0; i < n; sum += pieces[i++].iov_len) {
        if (sum + pieces[i].iov_len > buffer->len
            || memcmp(pieces[i].iov_base, bytes + sum, pieces[i].iov_len)
                   != 0) {
            return false;
        }
    }
    return sum == buffer->len;
}

/* Each step takes three bytes of the input: two for a number of bytes, and
 * one whose lowest bit says whether they are appended or consumed. */
static void
run_buffer(const uint8_t *data, size_t n)
{
    struct sg_pool pool = {0};
    struct sg_buffer buffer = {.pool = n % 2 != 0 ? &pool : NULL};
    size_t total = 0, taken = 0;

    for (; n >= 3; data += 3, n -= 3) {
        size_t some = (size_t)data[0] << 8 | data[1];

        if (data[2] & 1) {
            if (total + some > MOST) {
                break;
            }
            fill(all + total, some, data[2]);
            if (!sg_buffer_append(&buffer, all + total, some)) {
                abort();
            }
            total += some;
        }
        else {
            some = some < buffer.len ? some : buffer.len;
            sg_buffer_consume(&buffer, some);
            taken += some;
        }
        if (buffer.len != total - taken || !holds(&buffer, all + taken)) {
            abort();
        }
    }
    sg_buffer_clear(&buffer);
    sg_pool_clear(&pool);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    run_tail(data, n);
    run_buffer(data, n);
    return 0;
}
