/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A queue of bytes; see buffer.h.
 */
#include "buffer.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_BLOCK 4096

/* Make room for `n` bytes behind the queued ones. */
static bool
make_room(struct sg_buffer *buffer, size_t n)
{
    size_t size = buffer->size != 0 ? buffer->size : SMALLEST_BLOCK;
    char *data;

    if (buffer->size - buffer->start - buffer->len >= n) {
        return true;
    }
    if (buffer->size - buffer->len >= n) {
        memmove(buffer->data, sg_buffer_head(buffer), buffer->len);
        buffer->start = 0;
        return true;
    }
    while (size - buffer->len < n) {
        if (size > SIZE_MAX / 2) {
            return false;
        }
        size *= 2;
    }
    data = malloc(size);
    if (data == NULL) {
        return false;
    }
    if (buffer->len != 0) {
        memcpy(data, sg_buffer_head(buffer), buffer->len);
    }
    free(buffer->data);
    buffer->data = data;
    buffer->size = size;
    buffer->start = 0;
    return true;
}

bool
sg_buffer_append(struct sg_buffer *buffer, const void *data, size_t n)
{
    if (n == 0) {
        return true;
    }
    if (buffer->limit != 0 && n > buffer->limit - buffer->len) {
        return false;
    }
    if (!make_room(buffer, n)) {
        return false;
    }
    memcpy(buffer->data + buffer->start + buffer->len, data, n);
    buffer->len += n;
    return true;
}

void
sg_buffer_consume(struct sg_buffer *buffer, size_t n)
{
    assert(n <= buffer->len);
    buffer->start += n;
    buffer->len -= n;
    if (buffer->len == 0) {
        buffer->start = 0;
        if (buffer->size > buffer->keep) {
            sg_buffer_clear(buffer);
        }
    }
}

void
sg_buffer_clear(struct sg_buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->start = buffer->len = buffer->size = 0;
}
