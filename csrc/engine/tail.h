/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The last bytes of a stream that is too long to keep: a proxy's stderr.
 *
 * A ring that grows up to its capacity and then forgets the oldest bytes.
 * Zeroed memory is an empty tail.  No locking: report.c does that.
 */
#ifndef SG_TAIL_H
#define SG_TAIL_H

#include <stddef.h>

#define SG_TAIL_CAPACITY 65536

struct sg_tail {
    char *data;
    size_t size;  /* of the block, at most SG_TAIL_CAPACITY */
    size_t start; /* the oldest byte */
    size_t len;   /* how many are kept */
};

/* Add `n` bytes.  Without memory for more it keeps a shorter tail. */
void sg_tail_add(struct sg_tail *tail, const char *data, size_t n);

/* Copy what is kept, oldest first, to `to`, which has room for `len`. */
void sg_tail_copy(const struct sg_tail *tail, char *to);

void sg_tail_clear(struct sg_tail *tail);

#endif
