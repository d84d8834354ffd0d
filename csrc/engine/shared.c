/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What is known of a far end; see report.h.
 */
#include "engine/shared.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tail.h"

struct sg_report {
    atomic_int references;
    _Atomic int64_t counts[SG_COUNTS];
    struct sg_loan loan;
    pthread_mutex_t lock; /* guards what follows */
    bool exited;
    int returncode;
    int failure;
    char text[SG_ERROR_TEXT];
    struct sg_tail tail;
    bool is_held;
    void (*released)(void *arg); /* NULL: nobody wants to know */
    void *released_arg;
};

struct sg_report *
sg_report_new(void)
{
    struct sg_report *report = calloc(1, sizeof(*report));

    if (report == NULL) {
        return NULL;
    }
    atomic_init(&report->references, 1);
    pthread_mutex_init(&report->lock, NULL);
    sg_loan_init(&report->loan);
    return report;
}

struct sg_report *
sg_report_ref(struct sg_report *report)
{
    atomic_fetch_add(&report->references, 1);
    return report;
}

void
sg_report_unref(struct sg_report *report)
{
    if (report == NULL || atomic_fetch_sub(&report->references, 1) != 1) {
        return;
    }
    pthread_mutex_destroy(&report->lock);
    sg_loan_destroy(&report->loan);
    sg_tail_clear(&report->tail);
    free(report);
}

void
sg_report_exit(struct sg_report *report, int returncode)
{
    pthread_mutex_lock(&report->lock);
    report->exited = true;
    report->returncode = returncode;
    pthread_mutex_unlock(&report->lock);
}

void
sg_report_failure(struct sg_report *report, int err, const char *text)
{
    pthread_mutex_lock(&report->lock);
    if (report->failure == 0) {
        report->failure = err;
        snprintf(report->text, sizeof(report->text), "%s", text);
    }
    pthread_mutex_unlock(&report->lock);
}

void
sg_report_add_tail(struct sg_report *report, const char *data, size_t n)
{
    pthread_mutex_lock(&report->lock);
    sg_tail_add(&report->tail, data, n);
    pthread_mutex_unlock(&report->lock);
}

void
sg_report_count(struct sg_report *report, enum sg_count count, int64_t add)
{
    atomic_fetch_add_explicit(&report->counts[count], add,
                              memory_order_relaxed);
}

void
sg_report_measure(struct sg_report *report, enum sg_count count, int64_t value)
{
    atomic_store_explicit(&report->counts[count], value, memory_order_relaxed);
}

int64_t
sg_report_counted(struct sg_report *report, enum sg_count count)
{
    return atomic_load_explicit(&report->counts[count], memory_order_relaxed);
}

bool
sg_report_is_held(struct sg_report *report, void (*released)(void *arg),
                  void *arg)
{
    bool is_held;

    pthread_mutex_lock(&report->lock);
    is_held = report->is_held;
    report->released = is_held ? released : NULL;
    report->released_arg = arg;
    pthread_mutex_unlock(&report->lock);
    return is_held;
}

struct sg_loan *
sg_report_loan(struct sg_report *report)
{
    return &report->loan;
}

void
sg_report_hold(struct sg_report *report)
{
    pthread_mutex_lock(&report->lock);
    report->is_held = true;
    pthread_mutex_unlock(&report->lock);
}

void
sg_report_let_go(struct sg_report *report)
{
    pthread_mutex_lock(&report->lock);
    report->is_held = false;
    if (report->released != NULL) {
        report->released(report->released_arg);
        report->released = NULL;
    }
    pthread_mutex_unlock(&report->lock);
}

bool
sg_report_returncode(struct sg_report *report, int *returncode)
{
    bool exited;

    pthread_mutex_lock(&report->lock);
    exited = report->exited;
    *returncode = report->returncode;
    pthread_mutex_unlock(&report->lock);
    return exited;
}

int
sg_report_failed(struct sg_report *report, char *text)
{
    int failure;

    pthread_mutex_lock(&report->lock);
    failure = report->failure;
    if (text != NULL) {
        memcpy(text, report->text, sizeof(report->text));
    }
    pthread_mutex_unlock(&report->lock);
    return failure;
}

char *
sg_report_tail(struct sg_report *report, size_t *n)
{
    char *copy = NULL;

    *n = 0;
    pthread_mutex_lock(&report->lock);
    if (report->tail.len != 0) {
        copy = malloc(report->tail.len);
    }
    if (copy != NULL) {
        sg_tail_copy(&report->tail, copy);
        *n = report->tail.len;
    }
    pthread_mutex_unlock(&report->lock);
    return copy;
}
