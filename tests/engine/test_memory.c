/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests memory.c: memory for libssh2 that is counted to the byte,
 * bounded and wiped.
 */
#include "ssh/memory.h"

#include "lib/harness.h"

/* Returns the size in bytes of the header before each block. */
static size_t
header_size(void)
{
    struct sg_memory memory = {0};
    void *block = sg_memory_alloc(&memory, 0);
    size_t used = memory.used;

    CHECK(block != NULL);
    CHECK_GE(used, sizeof(size_t));
    CHECK_LE(used, 4 * sizeof(max_align_t));
    sg_memory_free(&memory, block);
    return used;
}

static void
memory_is_counted_to_the_byte(void)
{
    struct sg_memory memory = {0};
    void *a = sg_memory_alloc(&memory, 100);
    void *b = sg_memory_alloc(&memory, 0);
    void *c = sg_memory_copy(&memory, "hello", 5);

    CHECK(a != NULL && b != NULL && c != NULL);
    CHECK_EQ(memory.used, 105 + 3 * header_size());
    CHECK_EQ(memcmp(c, "hello", 5), 0);
    c = sg_memory_realloc(&memory, c, 50);
    CHECK_EQ(memcmp(c, "hello", 5), 0);
    CHECK_EQ(memory.used, 150 + 3 * header_size());
    c = sg_memory_realloc(&memory, c, 2);
    CHECK_EQ(memcmp(c, "he", 2), 0);
    CHECK_EQ(memory.used, 102 + 3 * header_size());
    sg_memory_free(&memory, a);
    sg_memory_free(&memory, b);
    sg_memory_free(&memory, c);
    sg_memory_free(&memory, NULL);
    CHECK_EQ(memory.used, 0);
}

static void
blocks_are_aligned(void)
{
    struct sg_memory memory = {0};

    for (size_t n = 1; n < 100; n++) {
        void *block = sg_memory_alloc(&memory, n);

        CHECK_EQ((uintptr_t)block % _Alignof(max_align_t), 0);
        memset(block, 1, n);
        sg_memory_free(&memory, block);
    }
}

static void
limit_holds_and_is_reported(void)
{
    struct sg_memory memory = {.limit = 1000 + 2 * header_size()};
    void *a = sg_memory_alloc(&memory, 600), *b;

    CHECK(sg_memory_alloc(&memory, 401) == NULL);
    CHECK(memory.was_exhausted);
    memory.was_exhausted = false;
    b = sg_memory_alloc(&memory, 400);
    CHECK(b != NULL);
    CHECK(!memory.was_exhausted);
    CHECK(sg_memory_realloc(&memory, b, 401) == NULL); /* b is unchanged */
    CHECK_EQ(memory.used, memory.limit);
    CHECK(sg_memory_alloc(&memory, SIZE_MAX) == NULL);
    sg_memory_free(&memory, a);
    sg_memory_free(&memory, b);
    CHECK_EQ(memory.used, 0);
}

static void
impossible_size_is_refused_without_a_limit(void)
{
    struct sg_memory memory = {0};

    CHECK(sg_memory_alloc(&memory, SIZE_MAX) == NULL);
    CHECK(!memory.was_exhausted);
}

static void
freeing_the_watched_block_is_reported(void)
{
    struct sg_memory memory = {0};
    void *a = sg_memory_alloc(&memory, 1), *b = sg_memory_alloc(&memory, 1);

    memory.watched = b;
    sg_memory_free(&memory, a);
    CHECK(!memory.watched_freed);
    sg_memory_free(&memory, b);
    CHECK(memory.watched_freed);
}

/* Plain memory is for a libssh2 that mixes allocators: it must work with
 * malloc() and free(). */
static void
plain_memory_works_with_malloc_and_free(void)
{
    struct sg_memory memory = {.is_plain = true};
    char *a = sg_memory_alloc(&memory, 10), *b = malloc(10);

    free(sg_memory_realloc(&memory, a, 20));
    free(sg_memory_copy(&memory, "text", 5));
    memory.watched = b;
    sg_memory_free(&memory, b);
    CHECK(memory.watched_freed);
    sg_memory_free(&memory, NULL);
    sg_memory_clear(&memory);
    CHECK_EQ(memory.used, 0);
}

/* The linker binds free() to __wrap_free() (see --wrap in engine.mk), which
 * copies the bytes at `secret_at` just before their block is freed. */
static const char *secret_at;
static char at_free[8];

void __wrap_free(void *block);
void __real_free(void *block);

void
__wrap_free(void *block)
{
    if (block != NULL && secret_at != NULL) {
        memcpy(at_free, secret_at, sizeof(at_free));
        secret_at = NULL;
    }
    __real_free(block);
}

/* Checks that `memory` clears a block before it frees it, also when the block
 * grows. */
static void
check_wiping(struct sg_memory memory)
{
    static const char zeros[sizeof(at_free)];
    char *block = sg_memory_copy(&memory, "password", 8);

    secret_at = block;
    block = sg_memory_realloc(&memory, block, 100000);
    CHECK(secret_at == NULL); /* it has moved */
    CHECK_EQ(memcmp(at_free, zeros, sizeof(zeros)), 0);
    CHECK_EQ(memcmp(block, "password", 8), 0);
    secret_at = block;
    sg_memory_free(&memory, block);
    CHECK_EQ(memcmp(at_free, zeros, sizeof(zeros)), 0);
}

static void
freed_blocks_are_wiped(void)
{
    check_wiping((struct sg_memory){.wipe_on_free = true});
    check_wiping((struct sg_memory){.wipe_on_free = true, .is_plain = true});
}

static void
wipe_clears_every_byte(void)
{
    char secret[16] = "password";

    sg_memory_wipe(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++) {
        CHECK_EQ(secret[i], 0);
    }
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(memory_is_counted_to_the_byte),
        CASE(blocks_are_aligned),
        CASE(limit_holds_and_is_reported),
        CASE(impossible_size_is_refused_without_a_limit),
        CASE(freeing_the_watched_block_is_reported),
        CASE(plain_memory_works_with_malloc_and_free),
        CASE(freed_blocks_are_wiped),
        CASE(wipe_clears_every_byte),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
