/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See pattern.h.
 */
#include "lib/pattern.h"

#include <string.h>

uint64_t
random_next(struct random *random)
{
    uint64_t x = random->state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return random->state = x;
}

size_t
random_below(struct random *random, size_t n)
{
    return (size_t)(random_next(random) >> 11) % n;
}

void
random_fill(struct random *random, char *to, size_t n)
{
    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        uint64_t next = random_next(random);

        memcpy(to + i, &next, sizeof(next));
    }
}

static unsigned char
pattern_byte(uint64_t position)
{
    position *= UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned char)(position >> 56);
}

void
pattern_fill(uint64_t from, char *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = (char)pattern_byte(from + i);
    }
}

bool
pattern_is(uint64_t from, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)data[i] != pattern_byte(from + i)) {
            return false;
        }
    }
    return true;
}
