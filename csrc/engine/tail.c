/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A tail; see tail.h.
 */
#include "engine/tail.h"

#include <stdlib.h>
#include <string.h>

#define SMALLEST_BLOCK 1024

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Grow so that `wanted` bytes fit, up to the capacity.  Best effort: without
 * memory the tail stays as large as it is. */
static void
grow(struct sg_tail *tail, size_t wanted)
{
    size_t size = tail->size != 0 ? tail->size : SMALLEST_BLOCK;
    char *data;

    wanted = smaller(wanted, SG_TAIL_CAPACITY);
    while (size < wanted) {
        size *= 2;
    }
    if (size == tail->size) {
        return;
    }
    data = malloc(size);
    if (data == NULL) {
        return;
    }
    sg_tail_copy(tail, data);
    free(tail->data);
    tail->data = data;
    tail->size = size;
    tail->start = 0;
}

void
sg_tail_add(struct sg_tail *tail, const char *data, size_t n)
{
    size_t end, first;

    if (n == 0) {
        return;
    }
    grow(tail, tail->len + smaller(n, SG_TAIL_CAPACITY));
    if (tail->size == 0) {
        return; /* no memory: the text is lost, but the stream continues */
    }
    if (n > tail->size) {
        data += n - tail->size;
        n = tail->size;
    }
    end = (tail->start + tail->len) % tail->size;
    first = smaller(n, tail->size - end);
    memcpy(tail->data + end, data, first);
    memcpy(tail->data, data + first, n - first);
    tail->len += n;
    if (tail->len > tail->size) {
        tail->start = (tail->start + tail->len - tail->size) % tail->size;
        tail->len = tail->size;
    }
}

void
sg_tail_copy(const struct sg_tail *tail, char *to)
{
    size_t first = smaller(tail->len, tail->size - tail->start);

    if (tail->len == 0) {
        return;
    }
    memcpy(to, tail->data + tail->start, first);
    memcpy(to + first, tail->data, tail->len - first);
}

void
sg_tail_clear(struct sg_tail *tail)
{
    free(tail->data);
    *tail = (struct sg_tail){0};
}
