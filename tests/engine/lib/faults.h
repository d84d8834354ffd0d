/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Every fault in a scenario: system calls that fail, one after the other.
 *
 * A fault is a call's name (see sg_sys_fault_hook) and what goes wrong with
 * it.  run_with_every_fault() runs a scenario again and again, first with the
 * first such call failing, then with the second, and so on until the scenario
 * makes no further one.  Each run must either work or fail cleanly, and leave
 * nothing behind.  check_all_faults_fired() checks that each fault happened.
 *
 * The variables belong to the thread that runs the scenarios; hooks on other
 * threads only read them.
 */
#ifndef SG_TEST_FAULTS_H
#define SG_TEST_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "sys/status.h"

enum {
    MAY_FAIL,  /* the scenario works, or fails cleanly */
    MUST_WORK, /* the scenario works: EINTR, EAGAIN, a short read */
};

struct fault_kind {
    const char *call;
    int err;           /* an errno; 0: the call does a part of its work */
    int expected;      /* MAY_FAIL or MUST_WORK */
    bool for_ever;     /* all later calls fail too */
    bool on_loop_only; /* the fault cannot happen on the caller's thread */
};

/* The fault of the current run, and whether it has happened in that run. */
extern const struct fault_kind *current_fault;
extern atomic_int fault_fired;

/* Run `scenario` with every fault of `kinds`, at each of the calls that it can
 * hit.  Leaves active_hook NULL. */
void run_with_every_fault(const struct fault_kind *kinds, size_t n_kinds,
                          void (*scenario)(void));

/* The hook of those runs: fails the call whose turn it is.  A scenario may
 * replace active_hook by a hook that calls this one. */
int fail_when_due(const char *call);

/* Check that `error` is due to the current fault and that the fault is one of
 * those that the scenario may fail of. */
void check_fault_error(const struct sg_error *error);

/* Returns true if a call of this name is not built in this variant (see
 * SG_PORTABLE). */
bool fault_is_not_built(const char *name);

/* Returns true if kind number `i` of the last table has fired in any run. */
bool fault_has_fired(size_t i);

/* Fail the test if a kind of the table has not fired in any run, unless it is
 * not built.  Called after all scenarios. */
void check_all_faults_fired(const struct fault_kind *kinds, size_t n_kinds);

#endif
