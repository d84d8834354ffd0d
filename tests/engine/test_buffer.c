/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests buffer.c against a model: the buffer holds the bytes of
 * the pattern from position `first` up to `end`.
 */
#include "engine/buffer.h"

#include "lib/harness.h"

#define MANY 1000

/* Bytes that malloc() gave, and blocks that were not freed yet. */
static size_t allocated;
static int blocks;
static int fail_at; /* 1: the next malloc() fails; 0: none fails */

void *__real_malloc(size_t n);
void __real_free(void *block);
void *__wrap_malloc(size_t n);
void __wrap_free(void *block);

void *
__wrap_malloc(size_t n)
{
    if (fail_at > 0 && --fail_at == 0) {
        return NULL;
    }
    allocated += n;
    blocks++;
    return __real_malloc(n);
}

void
__wrap_free(void *block)
{
    blocks -= block != NULL;
    __real_free(block);
}

struct model {
    uint64_t first, end;
};

static void
check(const struct sg_buffer *buffer, const struct model *model)
{
    struct iovec pieces[MANY];
    size_t n = sg_buffer_pieces(buffer, pieces, MANY);
    uint64_t position = model->first;

    CHECK_EQ(buffer->len, model->end - model->first);
    for (size_t i = 0; i < n; i++) {
        CHECK_GE(pieces[i].iov_len, 1);
        CHECK(pattern_is(position, pieces[i].iov_base, pieces[i].iov_len));
        position += pieces[i].iov_len;
    }
    CHECK_EQ(position, model->end);
    if (buffer->len == 0) {
        CHECK(buffer->first == NULL && buffer->last == NULL);
        CHECK_EQ(buffer->start, 0);
    }
}

static void
append(struct sg_buffer *buffer, struct model *model, size_t n)
{
    static char data[300000];

    CHECK_LE(n, sizeof(data));
    pattern_fill(model->end, data, n);
    CHECK(sg_buffer_append(buffer, data, n));
    model->end += n;
}

static void
consume(struct sg_buffer *buffer, struct model *model, size_t n)
{
    sg_buffer_consume(buffer, n);
    model->first += n;
}

static void
play(size_t longest, struct sg_pool *pool)
{
    struct sg_buffer buffer = {.pool = pool};
    struct model model = {0};
    struct random random = {42 + longest};

    for (int i = 0; i < 2000; i++) {
        switch (random_below(&random, 5)) {
        case 0:
        case 1:
            append(&buffer, &model, random_below(&random, longest));
            break;
        case 2:
        case 3:
            consume(&buffer, &model, random_below(&random, buffer.len + 1));
            break;
        default:
            if (random_below(&random, 20) == 0) {
                sg_buffer_clear(&buffer);
                model = (struct model){.first = model.end, .end = model.end};
            }
        }
        check(&buffer, &model);
    }
    sg_buffer_clear(&buffer);
}

static void
keeps_small_pieces_in_order(void)
{
    play(100, NULL);
}

static void
keeps_pieces_of_about_a_block_in_order(void)
{
    play(5000, NULL);
    play(70000, NULL);
}

static void
keeps_pieces_of_many_blocks_in_order(void)
{
    struct sg_pool pool = {0};

    play(300000, &pool);
    CHECK_GE(pool.n, 1);
    play(300000, &pool);
    play(5000, &pool);
    CHECK_LE(pool.n, 32);
    sg_pool_clear(&pool);
    CHECK(pool.free == NULL && pool.n == 0);
}

static void
appending_nothing_allocates_nothing(void)
{
    struct sg_buffer buffer = {0};

    CHECK(sg_buffer_append(&buffer, NULL, 0));
    CHECK(buffer.first == NULL);
    sg_buffer_consume(&buffer, 0);
    CHECK(buffer.first == NULL);
}

static void
failed_allocation_is_refused_and_loses_nothing(void)
{
    struct sg_buffer buffer = {0};
    struct model model = {0};

    CHECK(!sg_buffer_append(&buffer, "x", SIZE_MAX / 2 + 2));
    CHECK(!sg_buffer_append(&buffer, "x", SIZE_MAX));
    append(&buffer, &model, 100);
    CHECK(!sg_buffer_append(&buffer, "x", SIZE_MAX));
    CHECK(!sg_buffer_append(&buffer, "x", SIZE_MAX - 100));
    check(&buffer, &model);
    for (int i = 1; i <= 4; i++) { /* each block that 250000 bytes take */
        static char data[250000];
        int before = blocks;

        fail_at = i;
        CHECK(!sg_buffer_append(&buffer, data, sizeof(data)));
        CHECK_EQ(fail_at, 0);
        CHECK_EQ(blocks, before);
        check(&buffer, &model);
    }
    sg_buffer_clear(&buffer);
}

static void
memory_is_proportional_to_the_bytes_queued(void)
{
    static const size_t sizes[] = {1, 4000, 5000, 40000, 200000, 3000000};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct sg_buffer buffer = {0};
        struct model model = {0};

        allocated = 0;
        for (size_t left = sizes[i]; left > 0;) {
            size_t n = left < 700 ? left : 700;

            append(&buffer, &model, n);
            left -= n;
        }
        CHECK_GE(allocated, sizes[i]);
        CHECK_LE(allocated, 3 * sizes[i] + 4096);
        CHECK_GE(blocks, 1);
        sg_buffer_clear(&buffer);
        CHECK_EQ(blocks, 0);
    }
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(keeps_small_pieces_in_order),
        CASE(keeps_pieces_of_about_a_block_in_order),
        CASE(keeps_pieces_of_many_blocks_in_order),
        CASE(appending_nothing_allocates_nothing),
        CASE(failed_allocation_is_refused_and_loses_nothing),
        CASE(memory_is_proportional_to_the_bytes_queued),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
