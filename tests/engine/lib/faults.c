/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See faults.h.
 */
#include "lib/faults.h"

#include "lib/harness.h"
#include "lib/hook.h"

#define MOST_CALLS 3000 /* of one name in one run of a scenario */

const struct fault_kind *current_fault;
atomic_int fault_fired;

static pthread_t tester;      /* the thread that runs the scenarios */
static atomic_int calls_left; /* until the one that fails */
static bool has_fired[100];

int
fail_when_due(const char *call)
{
    int left;

    if (strcmp(call, current_fault->call) != 0
        || (current_fault->on_loop_only
            && pthread_equal(pthread_self(), tester))) {
        return 0;
    }
    left = --calls_left;
    if (left == 0 || (left < 0 && current_fault->for_ever)) {
        fault_fired = 1;
        return current_fault->err != 0 ? -current_fault->err : -1;
    }
    return 0;
}

void
check_fault_error(const struct sg_error *error)
{
    CHECK(fault_fired);
    CHECK_EQ(current_fault->expected, MAY_FAIL);
    CHECK(error->err == current_fault->err || error->err == EIO
          || error->err == ECONNRESET);
}

/* As in "recv ECONNRESET" and "recv short". */
static const char *
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

bool
fault_is_not_built(const char *name)
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

bool
fault_has_fired(size_t i)
{
    return has_fired[i];
}

/* run_cases() looks only after a whole case; this looks after each run. */
static void
check_nothing_is_left(int descriptors)
{
    wait_until(no_loop_runs, NULL);
    CHECK_EQ(sg_sys_owned(), 0);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(count_descriptors(), descriptors);
}

/* Returns true if the fault fired. */
static bool
run_with_fault(const struct fault_kind *kind, int nth, void (*scenario)(void))
{
    int descriptors = count_descriptors();

    current_fault = kind;
    calls_left = nth;
    fault_fired = 0;
    active_hook = fail_when_due;
    scenario();
    check_nothing_is_left(descriptors);
    active_hook = NULL;
    return fault_fired;
}

void
run_with_every_fault(const struct fault_kind *kinds, size_t n_kinds,
                     void (*scenario)(void))
{
    static char name[200];
    const char *case_name = running_case;

    tester = pthread_self();
    CHECK_LE(n_kinds, COUNT_OF(has_fired));
    for (size_t i = 0; i < n_kinds; i++) {
        int n = 0;
        bool fired;

        arm_case_alarm();
        do {
            n++;
            snprintf(name, sizeof(name), "%s, number %d of %s", case_name, n,
                     fault_name(&kinds[i]));
            running_case = name;
            fired = run_with_fault(&kinds[i], n, scenario);
            has_fired[i] = has_fired[i] || fired;
        } while (fired && n < MOST_CALLS);
        CHECK_LE(n, MOST_CALLS - 1);
    }
    running_case = case_name;
}

void
check_all_faults_fired(const struct fault_kind *kinds, size_t n_kinds)
{
    for (size_t i = 0; i < n_kinds; i++) {
        if (!has_fired[i] && !fault_is_not_built(kinds[i].call)) {
            test_fail(__FILE__, __LINE__, "\"%s\" has never fired",
                      fault_name(&kinds[i]));
        }
    }
}
