/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Bytes for tests: a pseudo-random generator, and a pattern whose byte at each
 * position is known.
 *
 * Both are the same in every run.  No function here keeps state of its own.
 */
#ifndef SG_TEST_PATTERN_H
#define SG_TEST_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A generator (xorshift64); `state` is the seed and must not be 0. */
struct random {
    uint64_t state;
};

/* Returns the next number of the generator. */
uint64_t random_next(struct random *random);

/* Returns a number of at least 0 and less than `n`; `n` must not be 0. */
size_t random_below(struct random *random, size_t n);

/* Fill the `n` bytes at `to` with the next numbers of the generator; `n` must
 * be a multiple of 8. */
void random_fill(struct random *random, char *to, size_t n);

/* Write the pattern's bytes at positions `from` to `from + n - 1` to `to`.
 * The pattern does not repeat, so bytes that were lost, repeated or moved show
 * up in pattern_is(). */
void pattern_fill(uint64_t from, char *to, size_t n);

/* Returns true if the `n` bytes at `data` are those of the pattern from
 * position `from` on. */
bool pattern_is(uint64_t from, const char *data, size_t n);

#endif
