/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The counted memory of libssh2; see memory.h.
 *
 * Each block has a head in front of it, which links it into a list and holds
 * its size.
 */
#include "ssh/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The alignment of max_align_t lets any type follow the head. */
union sg_memory_head {
    struct {
        union sg_memory_head *next, *previous;
        size_t size;
    } is;
    max_align_t align;
};

void
sg_memory_wipe(void *block, size_t n)
{
    /* A compiler cannot know which function a volatile pointer points to. */
    static void *(*const volatile set)(void *, int, size_t) = memset;

    set(block, 0, n);
}

/* Return whether the limit allows a block of `n` bytes.  The head counts too,
 * because the heads of small blocks are larger than the blocks. */
static bool
has_room(struct sg_memory *memory, size_t n)
{
    if (n > SIZE_MAX - sizeof(union sg_memory_head)) {
        return false;
    }
    n += sizeof(union sg_memory_head);
    if (memory->limit != 0
        && (memory->used > memory->limit
            || n > memory->limit - memory->used)) {
        memory->was_exhausted = true;
        return false;
    }
    return true;
}

void *
sg_memory_alloc(struct sg_memory *memory, size_t n)
{
    union sg_memory_head *head = NULL;

    if (memory->is_plain) {
        return malloc(n);
    }
    if (has_room(memory, n)) {
        head = malloc(sizeof(*head) + n);
    }
    if (head == NULL) {
        return NULL;
    }
    head->is.size = n;
    head->is.previous = NULL;
    head->is.next = memory->blocks;
    if (head->is.next != NULL) {
        head->is.next->is.previous = head;
    }
    memory->blocks = head;
    memory->used += sizeof(*head) + n;
    return head + 1;
}

/* Take a block out of the list and free it. */
static void
free_listed(struct sg_memory *memory, union sg_memory_head *head)
{
    if (memory->wipe_on_free) {
        sg_memory_wipe(head + 1, head->is.size);
    }
    memory->used -= sizeof(*head) + head->is.size;
    if (head->is.next != NULL) {
        head->is.next->is.previous = head->is.previous;
    }
    if (head->is.previous != NULL) {
        head->is.previous->is.next = head->is.next;
    }
    else {
        memory->blocks = head->is.next;
    }
    free(head);
}

void
sg_memory_free(struct sg_memory *memory, void *block)
{
    if (block == NULL) {
        return;
    }
    if (block == memory->watched) {
        memory->watched_freed = true;
    }
    if (memory->is_plain) {
        free(block);
    }
    else {
        free_listed(memory, (union sg_memory_head *)block - 1);
    }
}

void
sg_memory_clear(struct sg_memory *memory)
{
    while (memory->blocks != NULL) {
        free_listed(memory, memory->blocks);
    }
}

/* Not with realloc(), which may move a block without wiping the old copy. */
void *
sg_memory_realloc(struct sg_memory *memory, void *block, size_t n)
{
    void *bigger;
    size_t size;

    if (memory->is_plain) {
        return realloc(block, n);
    }
    if (block == NULL) {
        return sg_memory_alloc(memory, n);
    }
    size = ((union sg_memory_head *)block - 1)->is.size;
    bigger = sg_memory_alloc(memory, n);
    if (bigger != NULL) {
        memcpy(bigger, block, size < n ? size : n);
        sg_memory_free(memory, block);
    }
    return bigger;
}

void *
sg_memory_copy(struct sg_memory *memory, const void *from, size_t n)
{
    void *copy = sg_memory_alloc(memory, n);

    if (copy != NULL && n != 0) {
        memcpy(copy, from, n);
    }
    return copy;
}
