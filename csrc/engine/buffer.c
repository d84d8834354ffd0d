/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A buffer; see buffer.h.
 *
 * Every block in a buffer's list holds bytes or, behind `last`, is about to:
 * make_room() appends empty blocks, and the append that follows fills them.
 */
#include "engine/buffer.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The sizes of a block in bytes of memory, its head included.  The longer the
 * queue, the larger are the blocks that are added, up to FULL, which has room
 * for the data of two full packets of a channel. */
#define SMALLEST ((size_t)4 << 10)
#define FULL (HEAD + (size_t)2 * 32700)
#define MOST_FREE 32 /* blocks that a pool keeps */

struct sg_block {
    struct sg_block *next;
    size_t size; /* bytes that fit into `data` */
    size_t end;  /* bytes written to `data`, consumed ones included */
    char data[];
};

#define HEAD sizeof(struct sg_block)

/* ---- Blocks ----------------------------------------------------------- */

static struct sg_block *
take_block(struct sg_pool *pool, size_t memory)
{
    struct sg_block *block;

    if (memory == FULL && pool != NULL && pool->free != NULL) {
        block = pool->free;
        pool->free = block->next;
        pool->n--;
    }
    else {
        block = malloc(memory);
    }
    if (block != NULL) {
        block->next = NULL;
        block->size = memory - HEAD;
        block->end = 0;
    }
    return block;
}

static void
give_block(struct sg_pool *pool, struct sg_block *block)
{
    if (block->size != FULL - HEAD || pool == NULL || pool->n == MOST_FREE) {
        free(block);
        return;
    }
    block->next = pool->free;
    pool->free = block;
    pool->n++;
}

static void
give_blocks(struct sg_pool *pool, struct sg_block *block)
{
    while (block != NULL) {
        struct sg_block *next = block->next;

        give_block(pool, block);
        block = next;
    }
}

void
sg_pool_clear(struct sg_pool *pool)
{
    give_blocks(NULL, pool->free);
    *pool = (struct sg_pool){0};
}

/* Return a list of empty blocks with room for `n` bytes, for a buffer that
 * holds `queued` bytes already.  Return NULL if there is no memory. */
static struct sg_block *
take_blocks(struct sg_pool *pool, size_t queued, size_t n)
{
    struct sg_block *first = NULL, **link = &first;

    for (size_t room = 0; room < n;
         room += (*link)->size, link = &(*link)->next) {
        size_t wanted = (queued > n ? queued : n) + HEAD, memory = SMALLEST;

        while (memory < wanted && memory < FULL) {
            memory *= 2;
        }
        *link = take_block(pool, memory < FULL ? memory : FULL);
        if (*link == NULL) {
            give_blocks(pool, first);
            return NULL;
        }
    }
    return first;
}

/* ---- The queue -------------------------------------------------------- */

/* Return the number of bytes that fit into the last block. */
static size_t
get_room(const struct sg_buffer *buffer)
{
    return buffer->last != NULL ? buffer->last->size - buffer->last->end : 0;
}

/* Add blocks until `n` bytes fit.  Return false, with the buffer unchanged, if
 * there is no memory. */
static bool
make_room(struct sg_buffer *buffer, size_t n)
{
    size_t room = get_room(buffer);
    struct sg_block *more;

    if (room >= n) {
        return true;
    }
    more = n <= SIZE_MAX / 2 ? take_blocks(buffer->pool, buffer->len, n - room)
                             : NULL;
    if (more == NULL) {
        return false;
    }
    if (buffer->last == NULL) {
        buffer->first = buffer->last = more;
    }
    else {
        buffer->last->next = more;
    }
    return true;
}

bool
sg_buffer_append(struct sg_buffer *buffer, const void *data, size_t n)
{
    const char *from = data;

    if (!make_room(buffer, n)) {
        return false;
    }
    buffer->len += n;
    while (n > 0) {
        struct sg_block *block = buffer->last;
        size_t piece = get_room(buffer) < n ? get_room(buffer) : n;

        memcpy(block->data + block->end, from, piece);
        block->end += piece;
        from += piece;
        n -= piece;
        buffer->last = n > 0 ? block->next : block;
    }
    return true;
}

size_t
sg_buffer_pieces(const struct sg_buffer *buffer, struct iovec *pieces,
                 size_t n)
{
    size_t start = buffer->start, i = 0;

    for (struct sg_block *block = buffer->first; block != NULL && i < n;
         block = block->next) {
        pieces[i++] = (struct iovec){.iov_base = block->data + start,
                                     .iov_len = block->end - start};
        start = 0;
    }
    return i;
}

void
sg_buffer_consume(struct sg_buffer *buffer, size_t n)
{
    assert(n <= buffer->len);
    buffer->len -= n;
    buffer->start += n;
    while (buffer->first != NULL && buffer->start >= buffer->first->end) {
        struct sg_block *block = buffer->first;

        buffer->start -= block->end;
        buffer->first = block->next;
        give_block(buffer->pool, block);
    }
    if (buffer->first == NULL) {
        buffer->last = NULL;
    }
}

void
sg_buffer_clear(struct sg_buffer *buffer)
{
    sg_buffer_consume(buffer, buffer->len);
}
