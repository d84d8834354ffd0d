/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The state that a task shares with its callers; see shared.h.
 *
 * A `released` callback runs with the lock held, so that the task cannot be
 * freed before the callback returns: sg_relay_clear() waits for the lock to
 * cancel the callback.
 */
#include "engine/shared.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tail.h"

struct sg_shared {
    atomic_int references;
    _Atomic int64_t counts[SG_COUNTS];
    struct sg_loan loan;
    pthread_mutex_t lock; /* guards the fields below */
    bool exited;          /* `returncode` is set */
    int returncode;
    int failure; /* errno, 0 while there is none */
    char text[SG_ERROR_TEXT];
    struct sg_tail tail;         /* of the child's stderr */
    bool is_held;                /* see sg_shared_hold() */
    void (*released)(void *arg); /* the task's callback, or NULL */
    void *released_arg;
};

struct sg_shared *
sg_shared_new(void)
{
    struct sg_shared *shared = calloc(1, sizeof(*shared));

    if (shared == NULL) {
        return NULL;
    }
    atomic_init(&shared->references, 1);
    pthread_mutex_init(&shared->lock, NULL);
    sg_loan_init(&shared->loan);
    return shared;
}

struct sg_shared *
sg_shared_ref(struct sg_shared *shared)
{
    atomic_fetch_add(&shared->references, 1);
    return shared;
}

void
sg_shared_unref(struct sg_shared *shared)
{
    if (shared == NULL || atomic_fetch_sub(&shared->references, 1) != 1) {
        return;
    }
    pthread_mutex_destroy(&shared->lock);
    sg_loan_destroy(&shared->loan);
    sg_tail_clear(&shared->tail);
    free(shared);
}

void
sg_shared_set_returncode(struct sg_shared *shared, int returncode)
{
    pthread_mutex_lock(&shared->lock);
    shared->exited = true;
    shared->returncode = returncode;
    pthread_mutex_unlock(&shared->lock);
}

void
sg_shared_set_failure(struct sg_shared *shared, int err, const char *text)
{
    pthread_mutex_lock(&shared->lock);
    if (shared->failure == 0) {
        shared->failure = err;
        snprintf(shared->text, sizeof(shared->text), "%s", text);
    }
    pthread_mutex_unlock(&shared->lock);
}

void
sg_shared_add_stderr(struct sg_shared *shared, const char *data, size_t n)
{
    pthread_mutex_lock(&shared->lock);
    sg_tail_add(&shared->tail, data, n);
    pthread_mutex_unlock(&shared->lock);
}

void
sg_shared_add_count(struct sg_shared *shared, enum sg_count count, int64_t add)
{
    atomic_fetch_add_explicit(&shared->counts[count], add,
                              memory_order_relaxed);
}

void
sg_shared_set_count(struct sg_shared *shared, enum sg_count count,
                    int64_t value)
{
    atomic_store_explicit(&shared->counts[count], value, memory_order_relaxed);
}

int64_t
sg_shared_get_count(struct sg_shared *shared, enum sg_count count)
{
    return atomic_load_explicit(&shared->counts[count], memory_order_relaxed);
}

bool
sg_shared_is_held(struct sg_shared *shared, void (*released)(void *arg),
                  void *arg)
{
    bool is_held;

    pthread_mutex_lock(&shared->lock);
    is_held = shared->is_held;
    shared->released = is_held ? released : NULL;
    shared->released_arg = arg;
    pthread_mutex_unlock(&shared->lock);
    return is_held;
}

struct sg_loan *
sg_shared_loan(struct sg_shared *shared)
{
    return &shared->loan;
}

void
sg_shared_hold(struct sg_shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    shared->is_held = true;
    pthread_mutex_unlock(&shared->lock);
}

void
sg_shared_let_go(struct sg_shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    shared->is_held = false;
    if (shared->released != NULL) {
        shared->released(shared->released_arg);
        shared->released = NULL;
    }
    pthread_mutex_unlock(&shared->lock);
}

bool
sg_shared_get_returncode(struct sg_shared *shared, int *returncode)
{
    bool exited;

    pthread_mutex_lock(&shared->lock);
    exited = shared->exited;
    *returncode = shared->returncode;
    pthread_mutex_unlock(&shared->lock);
    return exited;
}

int
sg_shared_get_failure(struct sg_shared *shared, char *text)
{
    int failure;

    pthread_mutex_lock(&shared->lock);
    failure = shared->failure;
    if (text != NULL) {
        memcpy(text, shared->text, sizeof(shared->text));
    }
    pthread_mutex_unlock(&shared->lock);
    return failure;
}

char *
sg_shared_get_stderr(struct sg_shared *shared, size_t *n)
{
    char *copy = NULL;

    *n = 0;
    pthread_mutex_lock(&shared->lock);
    if (shared->tail.len != 0) {
        copy = malloc(shared->tail.len);
    }
    if (copy != NULL) {
        sg_tail_copy(&shared->tail, copy);
        *n = shared->tail.len;
    }
    pthread_mutex_unlock(&shared->lock);
    return copy;
}
