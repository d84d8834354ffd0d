/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A queue of bytes.
 *
 * It holds memory only while it holds bytes: an idle stream costs nothing.
 * (A busy one may `keep` its block.)
 * Zeroed memory is an empty buffer without a limit.
 */
#ifndef SG_BUFFER_H
#define SG_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct sg_buffer {
    char *data;   /* the block, or NULL */
    size_t start; /* the first byte that is queued */
    size_t len;   /* how many are */
    size_t size;  /* of the block */
    size_t limit; /* the hard limit of `len`; 0 is none */
    size_t keep;  /* a block up to this size is kept when it gets empty */
};

/* Queue `n` bytes.  False, and nothing queued, when there is no memory or
 * the limit would be passed. */
bool sg_buffer_append(struct sg_buffer *buffer, const void *data, size_t n);

/* The first queued byte; `len` bytes follow in one piece. */
static inline const char *
sg_buffer_head(const struct sg_buffer *buffer)
{
    return buffer->data + buffer->start;
}

/* Forget the first `n` bytes; n <= len. */
void sg_buffer_consume(struct sg_buffer *buffer, size_t n);

/* Forget all and free the memory. */
void sg_buffer_clear(struct sg_buffer *buffer);

#endif
