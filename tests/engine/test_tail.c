/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests tail.c against a model: of all bytes added, the tail
 * keeps the last SG_TAIL_CAPACITY. It also tests shared.c, which passes the
 * tail from one thread to another.
 */
#include "engine/tail.h"

#include "lib/harness.h"
#include "engine/shared.h"

static void
check(const struct sg_tail *tail, uint64_t total)
{
    static char copy[SG_TAIL_CAPACITY];
    uint64_t kept = total < SG_TAIL_CAPACITY ? total : SG_TAIL_CAPACITY;

    CHECK_EQ(tail->len, kept);
    CHECK_LE(tail->len, tail->size);
    CHECK_LE(tail->size, SG_TAIL_CAPACITY);
    if (tail->size > 1024) {
        CHECK_LE(tail->size, 2 * tail->len);
    }
    sg_tail_copy(tail, copy);
    CHECK(pattern_is(total - kept, copy, tail->len));
}

static uint64_t
add(struct sg_tail *tail, uint64_t total, size_t n)
{
    static char data[4 * SG_TAIL_CAPACITY];

    CHECK_LE(n, sizeof(data));
    pattern_fill(total, data, n);
    sg_tail_add(tail, data, n);
    return total + n;
}

static void
play(size_t longest, int pieces)
{
    struct sg_tail tail = {0};
    struct random random = {7 + longest};
    uint64_t total = 0;

    check(&tail, 0);
    for (int i = 0; i < pieces; i++) {
        total = add(&tail, total, random_below(&random, longest));
        check(&tail, total);
    }
    sg_tail_clear(&tail);
    CHECK_EQ(tail.len, 0);
    CHECK(tail.data == NULL);
}

static void
keeps_the_last_of_single_bytes(void)
{
    play(2, 3000);
}

static void
keeps_the_last_of_many_lines(void)
{
    play(200, 2000);
}

static void
keeps_the_last_of_large_pieces(void)
{
    play(3 * SG_TAIL_CAPACITY, 100);
}

static void
sizes_about_the_capacity_are_exact(void)
{
    for (size_t less = 0; less < 3; less++) {
        for (size_t first = 0; first < 3; first++) {
            struct sg_tail tail = {0};
            uint64_t total = add(&tail, 0, first);

            total = add(&tail, total, SG_TAIL_CAPACITY - less);
            check(&tail, total);
            total = add(&tail, total, 1);
            check(&tail, total);
            total = add(&tail, total, SG_TAIL_CAPACITY + 1);
            check(&tail, total);
            sg_tail_clear(&tail);
        }
    }
}

static void
empty_tail_costs_nothing(void)
{
    struct sg_tail tail = {0};

    sg_tail_add(&tail, NULL, 0);
    CHECK(tail.data == NULL);
    sg_tail_copy(&tail, NULL);
    sg_tail_clear(&tail);
}

/* ---- Shared state ----------------------------------------------------- */

static void *
write_shared(void *arg)
{
    struct sg_shared *shared = arg;
    char data[100];

    for (uint64_t total = 0; total < 200000; total += sizeof(data)) {
        pattern_fill(total, data, sizeof(data));
        sg_shared_add_stderr(shared, data, sizeof(data));
    }
    sg_shared_set_failure(shared, EIO, "");
    sg_shared_set_failure(shared, ENOMEM, "");
    sg_shared_set_returncode(shared, -9);
    sg_shared_unref(shared);
    return NULL;
}

static void
shared_state_may_be_read_while_it_is_written(void)
{
    struct sg_shared *shared = sg_shared_new();
    pthread_t thread;
    int returncode = 0;
    size_t n;
    char *text;

    CHECK(!sg_shared_get_returncode(shared, &returncode));
    CHECK_EQ(sg_shared_get_failure(shared, NULL), 0);
    CHECK(sg_shared_get_stderr(shared, &n) == NULL);
    CHECK_EQ(n, 0);
    CHECK_EQ(
        pthread_create(&thread, NULL, write_shared, sg_shared_ref(shared)), 0);
    while (!sg_shared_get_returncode(shared, &returncode)) {
        free(sg_shared_get_stderr(shared, &n));
        CHECK_LE(n, SG_TAIL_CAPACITY);
    }
    CHECK_EQ(returncode, -9);
    CHECK_EQ(sg_shared_get_failure(shared, NULL), EIO); /* the first wins */
    pthread_join(thread, NULL);
    text = sg_shared_get_stderr(shared, &n);
    CHECK_EQ(n, SG_TAIL_CAPACITY);
    CHECK(pattern_is(200000 - n, text, n));
    free(text);
    sg_shared_unref(shared);
    sg_shared_unref(NULL);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(keeps_the_last_of_single_bytes),
        CASE(keeps_the_last_of_many_lines),
        CASE(keeps_the_last_of_large_pieces),
        CASE(sizes_about_the_capacity_are_exact),
        CASE(empty_tail_costs_nothing),
        CASE(shared_state_may_be_read_while_it_is_written),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
