/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The memory of one session's libssh2: counted and limited.
 *
 * libssh2 allocates by these functions.  They serve four purposes:
 *  - The limit bounds the memory that a hostile server can make us hold,
 *    because libssh2 queues a packet until something reads it.  When the
 *    limit is reached, allocation fails and with it the session.
 *  - Blocks are wiped when they are freed while the login lasts, because
 *    libssh2 frees the memory of passwords without wiping it.
 *  - sg_memory_clear() frees the blocks that libssh2 has leaked.
 *  - One block can be watched, to notice when libssh2 frees it.
 *
 * There is no lock: the memory is used on the thread of its session.
 */
#ifndef SG_MEMORY_H
#define SG_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

union sg_memory_head;

/* Zeroed memory is a sg_memory without blocks and without a limit. */
struct sg_memory {
    union sg_memory_head *blocks; /* a list of all blocks in use */
    size_t used;                  /* bytes, with the head of each block */
    size_t limit;                 /* bytes; 0: none */
    bool is_plain;       /* use malloc() and free() without counting, because
                            libssh2 frees some blocks by free() itself; see
                            bypasses_allocator() in session.c */
    bool wipe_on_free;   /* overwrite each block before it is freed */
    bool was_exhausted;  /* an allocation has failed because of the limit */
    const void *watched; /* a block to watch, or NULL */
    bool watched_freed;  /* the watched block was freed */
};

/* malloc(), realloc() and free().  NULL if the limit would be exceeded. */
void *sg_memory_alloc(struct sg_memory *memory, size_t n);
void *sg_memory_realloc(struct sg_memory *memory, void *block, size_t n);
void sg_memory_free(struct sg_memory *memory, void *block);

/* Free every block that is in use. */
void sg_memory_clear(struct sg_memory *memory);

/* Return a copy of `n` bytes as a block of `memory`; NULL if there is no
 * room. */
void *sg_memory_copy(struct sg_memory *memory, const void *from, size_t n);

/* Overwrite `n` bytes of `block` with zeros.  A compiler may remove a memset()
 * of a block that is freed right after it, but not this call. */
void sg_memory_wipe(void *block, size_t n);

#endif
