/* SPDX-License-Identifier: BSD-2-Clause
 *
 * buffer.c against a model: the queue holds the bytes [first, end) of a
 * pattern.
 */
#include "buffer.h"

#include "harness.h"

#define SMALLEST 4096

struct model {
    uint64_t first, end;
    size_t peak; /* longest since it was empty */
};

static void
check(const struct sg_buffer *buffer, const struct model *model)
{
    CHECK_EQ(buffer->len, model->end - model->first);
    if (buffer->len == 0) {
        CHECK(buffer->data == NULL);
        CHECK_EQ(buffer->size, 0);
        return;
    }
    CHECK_LE(buffer->start + buffer->len, buffer->size);
    CHECK_LE(buffer->size,
             model->peak > SMALLEST ? 2 * model->peak : SMALLEST);
    CHECK(pattern_is(model->first, sg_buffer_head(buffer), buffer->len));
}

static void
append(struct sg_buffer *buffer, struct model *model, size_t n)
{
    static char data[100000];
    bool fits = buffer->limit == 0
                || model->end - model->first + n <= buffer->limit;

    CHECK_LE(n, sizeof(data));
    pattern_fill(model->end, data, n);
    CHECK_EQ(sg_buffer_append(buffer, data, n), fits);
    if (fits) {
        model->end += n;
    }
    if (model->end - model->first > model->peak) {
        model->peak = (size_t)(model->end - model->first);
    }
}

static void
consume(struct sg_buffer *buffer, struct model *model, size_t n)
{
    sg_buffer_consume(buffer, n);
    model->first += n;
    if (model->first == model->end) {
        model->peak = 0;
    }
}

static void
play(size_t limit, size_t longest)
{
    struct sg_buffer buffer = {.limit = limit};
    struct model model = {0};
    struct random random = {42 + limit};

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
small_pieces(void)
{
    play(0, 100);
}

static void
pieces_about_as_large_as_the_block(void)
{
    play(0, 5000);
}

static void
limit_is_never_passed(void)
{
    play(1, 3);
    play(4095, 2000);
    play(4096, 2000);
    play(10000, 20000);
}

static void
exactly_full_to_the_limit(void)
{
    struct sg_buffer buffer = {.limit = 4096};
    struct model model = {0};

    append(&buffer, &model, 4096);
    append(&buffer, &model, 1);
    append(&buffer, &model, 0);
    consume(&buffer, &model, 1);
    append(&buffer, &model, 1);
    CHECK_EQ(buffer.size, 4096);
    check(&buffer, &model);
    consume(&buffer, &model, 4096);
    check(&buffer, &model);
}

static void
nothing_appended_allocates_nothing(void)
{
    struct sg_buffer buffer = {0};

    CHECK(sg_buffer_append(&buffer, NULL, 0));
    CHECK(buffer.data == NULL);
    sg_buffer_consume(&buffer, 0);
    CHECK(buffer.data == NULL);
}

static void
more_than_memory_is_refused_and_nothing_lost(void)
{
    struct sg_buffer buffer = {0};
    struct model model = {0};

    CHECK(!sg_buffer_append(&buffer, "x", SIZE_MAX / 2 + 2));
    CHECK(!sg_buffer_append(&buffer, "x", SIZE_MAX));
    append(&buffer, &model, 100);
    CHECK(!sg_buffer_append(&buffer, "x", SIZE_MAX));
    CHECK(!sg_buffer_append(&buffer, "x", SIZE_MAX - 100));
    check(&buffer, &model);
    sg_buffer_clear(&buffer);
}

static void
room_in_front_is_used_before_more_is_allocated(void)
{
    struct sg_buffer buffer = {0};
    struct model model = {0};

    append(&buffer, &model, 4000);
    for (int i = 0; i < 1000; i++) {
        consume(&buffer, &model, 1000);
        append(&buffer, &model, 1000);
        CHECK_EQ(buffer.size, SMALLEST);
    }
    check(&buffer, &model);
    sg_buffer_clear(&buffer);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(small_pieces),
        CASE(pieces_about_as_large_as_the_block),
        CASE(limit_is_never_passed),
        CASE(exactly_full_to_the_limit),
        CASE(nothing_appended_allocates_nothing),
        CASE(more_than_memory_is_refused_and_nothing_lost),
        CASE(room_in_front_is_used_before_more_is_allocated),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
