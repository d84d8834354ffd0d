/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Faults: each has a name, a system call and what goes wrong with it.  A life
 * is lived over and over, with the first, the second, ... such call failing,
 * until it has none left to fail.  Each time it either works or fails clean,
 * and nothing is left behind; and a test demands that each fault has fired.
 */
#ifndef SG_TEST_FAULTS_H
#define SG_TEST_FAULTS_H

#include "peers.h"

enum {
    MAY_FAIL,  /* it fails clean, or works */
    MUST_WORK, /* somebody else's signal, or no news: no reason to fail */
};

struct fault_kind {
    const char *call;
    int err; /* 0: it does a part of what it was asked for */
    int expected;
    bool for_ever;     /* from then on, not once */
    bool on_loop_only; /* elsewhere it can't happen */
};

/* ---- The hook --------------------------------------------------------- */

static const struct fault_kind *current;
static pthread_t tester;
static atomic_int calls_left; /* until it fails */
static atomic_int fired;

HELPER int
fail_the_nth(const char *call)
{
    int left;

    if (strcmp(call, current->call) != 0
        || (current->on_loop_only && pthread_equal(pthread_self(), tester))) {
        return 0;
    }
    left = --calls_left;
    if (left == 0 || (left < 0 && current->for_ever)) {
        fired = 1;
        return current->err != 0 ? -current->err : -1;
    }
    return 0;
}

/* A failure that a test wanted, and not another. */
HELPER void
check_error(const struct sg_error *error)
{
    CHECK(fired);
    CHECK_EQ(current->expected, MAY_FAIL);
    CHECK(error->err == current->err || error->err == EIO
          || error->err == ECONNRESET);
}

/* "recv ECONNRESET", "recv short" */
HELPER const char *
fault_name(const struct fault_kind *kind)
{
    static char name[100];

    if (kind->err == 0) {
        return kind->call;
    }
    snprintf(name, sizeof(name), "%s %s%s", kind->call,
             strerrorname_np(kind->err), kind->for_ever ? " for ever" : "");
    return name;
}

HELPER bool
is_not_built(const char *name)
{
#ifdef SG_PORTABLE
    static const char *const linux_only[] = {
        "eventfd", "epoll_create", "epoll_ctl", "epoll_wait", "pidfd"};

    for (size_t i = 0; i < COUNT_OF(linux_only); i++) {
        if (strcmp(name, linux_only[i]) == 0) {
            return true;
        }
    }
#else
    (void)name;
#endif
    return false;
}

/* ---- All of them ------------------------------------------------------ */

#define MOST_CALLS 3000 /* of a name in a life */

static bool has_fired[100];

/* The guard between two lives: run_case() looks only at the end. */
HELPER void
check_nothing_is_left(int descriptors)
{
    wait_until(no_loop_runs, NULL);
    CHECK_EQ(sg_sys_owned(), 0);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(count_descriptors(), descriptors);
}

HELPER void
live_with_every_fault_of(const struct fault_kind *kinds, size_t n_kinds,
                         void (*life)(void))
{
    static char name[200];
    const char *case_name = running_case;
    int descriptors = count_descriptors();

    CHECK_LE(n_kinds, COUNT_OF(has_fired));
    for (size_t i = 0; i < n_kinds; i++) {
        int n = 0;

        alarm(CASE_LIMIT);
        do {
            n++;
            snprintf(name, sizeof(name), "%s, number %d of %s", case_name, n,
                     fault_name(&kinds[i]));
            running_case = name;
            current = &kinds[i];
            calls_left = n;
            fired = 0;
            active_hook = fail_the_nth;
            life();
            check_nothing_is_left(descriptors);
            active_hook = NULL;
            has_fired[i] = has_fired[i] || fired;
        } while (fired && n < MOST_CALLS);
        CHECK_LE(n, MOST_CALLS - 1);
    }
    running_case = case_name;
}

/* After all lives. */
HELPER void
check_that_all_have_fired(const struct fault_kind *kinds, size_t n_kinds)
{
    for (size_t i = 0; i < n_kinds; i++) {
        if (!has_fired[i] && !is_not_built(kinds[i].call)) {
            test_fail(__FILE__, __LINE__, "\"%s\" has never fired",
                      fault_name(&kinds[i]));
        }
    }
}

#endif
