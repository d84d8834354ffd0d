/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The memory of a session's libssh2: counted, bounded, wiped while there are
 * secrets in it, and given back with the session, what libssh2 has forgotten
 * included.
 *
 * libssh2 queues a packet for as long as nobody asks for it, and hands the
 * memory of passwords back as it is.  The bound is what a hostile server can
 * make us hold; when it is reached libssh2 gets none, and the session fails.
 */
#ifndef SG_MEMORY_H
#define SG_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

union sg_memory_head;

struct sg_memory {
    union sg_memory_head *blocks; /* all of them */
    size_t used;                  /* with a head before each block */
    size_t limit;                 /* 0: none */
    bool is_plain;      /* malloc() and free(), no more: see session.c */
    bool wipe_on_free;  /* what is given back */
    bool was_exhausted; /* the limit has been met */
    const void *watched;
    bool watched_freed; /* the watched block was given back */
};

void *sg_memory_alloc(struct sg_memory *memory, size_t n);
void *sg_memory_realloc(struct sg_memory *memory, void *block, size_t n);
void sg_memory_free(struct sg_memory *memory, void *block);

/* Free all that is left. */
void sg_memory_clear(struct sg_memory *memory);

/* A copy of `n` bytes. */
void *sg_memory_copy(struct sg_memory *memory, const void *from, size_t n);

/* Overwrite what no compiler may leave out. */
void sg_memory_wipe(void *block, size_t n);

#endif
