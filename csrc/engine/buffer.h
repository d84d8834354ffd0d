/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A queue of bytes, in blocks.
 *
 * It holds memory only while it holds bytes: an idle stream costs nothing.
 * Bytes are copied in once and never moved, however many there are.  A busy
 * buffer fills and empties all the time: its blocks, if they are of the full
 * size, go into a pool, for the next of all buffers that share it, which keeps
 * up to 2 MiB.
 * Zeroed memory is an empty buffer without a pool.
 */
#ifndef SG_BUFFER_H
#define SG_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct sg_block;

/* Zeroed: empty.  For one thread, and older than its buffers' last byte. */
struct sg_pool {
    struct sg_block *free;
    size_t n;
};

struct sg_buffer {
    struct sg_block *first, *last;
    size_t start; /* of the first block: where the first queued byte is */
    size_t len;   /* how many are queued */
    struct sg_pool *pool; /* or NULL */
};

/* So many pieces are a good deal for one system call. */
#define SG_PIECES 8

/* Queue `n` bytes.  False, and nothing queued, when there is no memory. */
bool sg_buffer_append(struct sg_buffer *buffer, const void *data, size_t n);

/* The first queued bytes, in up to `n` pieces; how many pieces. */
size_t sg_buffer_pieces(const struct sg_buffer *buffer, struct iovec *pieces,
                        size_t n);

/* Forget the first `n` bytes; n <= len. */
void sg_buffer_consume(struct sg_buffer *buffer, size_t n);

/* Forget all. */
void sg_buffer_clear(struct sg_buffer *buffer);

void sg_pool_clear(struct sg_pool *pool);

#endif
