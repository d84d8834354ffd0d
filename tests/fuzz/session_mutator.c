/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The mutations of fuzz_session.c, which keep records whole; see
 * session_input.h.
 */
#include "session_input.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room,
                               unsigned int seed);

size_t
record_size(const uint8_t *data, size_t n)
{
    size_t size = n < 3 ? n : 3 + ((size_t)data[1] << 8 | data[2]);

    return size < n ? size : n;
}

#define MOST_RECORDS 64U

static size_t
find_records(const uint8_t *data, size_t n, size_t *at)
{
    size_t count = 0, i = HEAD;

    while (i < n && count < MOST_RECORDS) {
        at[count++] = i;
        i += record_size(data + i, n - i);
    }
    at[count] = i;
    return count;
}

static void
set_length(uint8_t *record, size_t payload)
{
    record[1] = (uint8_t)(payload >> 8);
    record[2] = (uint8_t)payload;
}

/* Change the payload of the record [from, to), and its length with it. */
static size_t
mutate_record(uint8_t *data, size_t n, size_t room, size_t from, size_t to)
{
    size_t payload = to - from > 3 ? to - from - 3 : 0;
    size_t free_room = room - n < 200 ? room - n : 200;
    uint8_t scratch[65536 + 256];
    size_t changed;

    if (to - from < 3 || payload + free_room > 65535) {
        return LLVMFuzzerMutate(data, n, room);
    }
    memcpy(scratch, data + from + 3, payload);
    changed = LLVMFuzzerMutate(scratch, payload, payload + free_room);
    memmove(data + from + 3 + changed, data + to, n - to);
    memcpy(data + from + 3, scratch, changed);
    set_length(data + from, changed);
    return n - payload + changed;
}

/* Insert a copy of the record at `from`, of `size` bytes, at `into`. */
static size_t
copy_record(uint8_t *data, size_t n, size_t room, size_t from, size_t size,
            size_t into)
{
    uint8_t copy[4096];

    if (size > sizeof(copy) || n + size > room) {
        return n;
    }
    memcpy(copy, data + from, size);
    memmove(data + into + size, data + into, n - into);
    memcpy(data + into, copy, size);
    return n + size;
}

static size_t
add_record(uint8_t *data, size_t n, size_t room, size_t into, unsigned seed)
{
    static const uint8_t types[] = {1,  2,  3,  4,  6,  7,  20, 21, 31, 50,
                                    51, 52, 53, 60, 61, 80, 81, 82, 90, 91,
                                    92, 93, 94, 95, 96, 97, 98, 99, 100};
    uint8_t record[3 + 24] = {types[seed % sizeof(types)], 0, 24};

    if (n + sizeof(record) > room) {
        return n;
    }
    record[6] = (uint8_t)(seed >> 8 & 3); /* the number of a channel */
    record[10] = (uint8_t)(seed >> 10);
    record[26] = (uint8_t)(seed >> 18);
    memmove(data + into + sizeof(record), data + into, n - into);
    memcpy(data + into, record, sizeof(record));
    return n + sizeof(record);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room,
                        unsigned int seed)
{
    size_t at[MOST_RECORDS + 1], count, i, j;
    unsigned r = seed * 2654435761U;

    if (n < HEAD) {
        return LLVMFuzzerMutate(data, n, room);
    }
    count = find_records(data, n, at);
    i = count > 0 ? (r >> 8) % count : 0;
    j = count > 0 ? (r >> 16) % (count + 1) : 0;
    switch (count > 0 ? r % 8 : 7) {
    case 0:
    case 1:
    case 2:
        return mutate_record(data, n, room, at[i], at[i + 1]);
    case 3:
        return copy_record(data, n, room, at[i], at[i + 1] - at[i], at[j]);
    case 4:
        return add_record(data, n, room, at[j], r >> 4);
    case 5:
        memmove(data + at[i], data + at[i + 1], n - at[i + 1]);
        return n - (at[i + 1] - at[i]);
    case 6:
        data[r >> 8 & 1] ^= (uint8_t)(1U << (r >> 10 & 7));
        return n;
    default:
        return LLVMFuzzerMutate(data, n, room);
    }
}
