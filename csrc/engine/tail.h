/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A tail: the last bytes of a stream that is too long to keep, such as a
 * proxy's stderr.
 *
 * A tail is a ring that grows up to SG_TAIL_CAPACITY bytes and then forgets
 * the oldest ones.  No locks: shared.c holds its lock around these calls.
 */
#ifndef SG_TAIL_H
#define SG_TAIL_H

#include <stddef.h>

#define SG_TAIL_CAPACITY 65536 /* bytes */

/* Zeroed memory is an empty tail.  Read `len` freely; the other fields are for
 * tail.c. */
struct sg_tail {
    char *data;
    size_t size;  /* bytes of memory at `data`, up to SG_TAIL_CAPACITY */
    size_t start; /* offset of the oldest byte */
    size_t len;   /* number of bytes that are kept */
};

/* Add `n` bytes.  If there is no memory to grow, the tail keeps fewer bytes
 * than its capacity, or none. */
void sg_tail_add(struct sg_tail *tail, const char *data, size_t n);

/* Copy the `len` bytes that are kept, oldest first, to `to`. */
void sg_tail_copy(const struct sg_tail *tail, char *to);

/* Free the memory and make the tail empty. */
void sg_tail_clear(struct sg_tail *tail);

#endif
