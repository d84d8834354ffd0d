/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A buffer: a queue of bytes, kept in a list of blocks.
 *
 * A buffer holds memory only while it holds bytes, so an idle stream costs
 * nothing.  Bytes are copied in once and never moved again, however long the
 * queue grows.  Buffers of one thread can share a pool, which keeps up to
 * 2 MiB of free blocks.  A buffer that fills and empties repeatedly then
 * seldom calls malloc() and free().
 *
 * No locks: a buffer and its pool belong to one thread.
 */
#ifndef SG_BUFFER_H
#define SG_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct sg_block;

/* A list of blocks that are free, all of the full size.  Zeroed memory is an
 * empty pool.  A pool must exist as long as a buffer that uses it holds
 * bytes. */
struct sg_pool {
    struct sg_block *free;
    size_t n; /* blocks in `free` */
};

/* Zeroed memory is an empty buffer without a pool.  Read `len` freely; the
 * other fields, apart from `pool`, are for buffer.c. */
struct sg_buffer {
    struct sg_block *first, *last;
    size_t start;         /* offset of the first queued byte in `first` */
    size_t len;           /* number of queued bytes */
    struct sg_pool *pool; /* NULL: free each block at once */
};

/* The number of pieces that callers pass to one system call. */
#define SG_PIECES 8

/* Append a copy of `n` bytes.  Return false, with the buffer unchanged, if
 * there is no memory. */
bool sg_buffer_append(struct sg_buffer *buffer, const void *data, size_t n);

/* Point `pieces`, which has room for `n`, at the first queued bytes, without
 * removing them.  Return the number of pieces that are set; 0 if the buffer is
 * empty.  They are valid until the buffer is changed. */
size_t sg_buffer_pieces(const struct sg_buffer *buffer, struct iovec *pieces,
                        size_t n);

/* Remove the first `n` bytes; n <= len. */
void sg_buffer_consume(struct sg_buffer *buffer, size_t n);

/* Remove all bytes, and with them all memory. */
void sg_buffer_clear(struct sg_buffer *buffer);

/* Free the blocks that the pool keeps. */
void sg_pool_clear(struct sg_pool *pool);

#endif
