/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The frame of every engine test program: checks, waiting, and the cases.
 *
 * A program has a table of cases and calls run_cases() from main().  The
 * first check that fails prints its file, line, case and values, and ends
 * the process with status 1; later cases do not run.  After each case the
 * harness checks that the case left no loop, thread, child or descriptor.
 */
#ifndef SG_TEST_HARNESS_H
#define SG_TEST_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/loop.h"
#include "lib/pattern.h"
#include "sys/sys.h"

#define PATIENCE 20    /* seconds to wait for one event */
#define CASE_LIMIT 180 /* seconds until a case is said to hang */
#define ATTEMPTS 5     /* to keep a bound that a busy machine may miss */

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

struct test_case {
    const char *name;
    void (*run)(void);
};

/* The entry of a table of cases for `function`, under the function's name. */
/* clang-format off */
#define CASE(function) {#function, function}
/* clang-format on */

/* The name that failure messages give the running case.  A case that goes
 * through many situations may set a name of its own and must restore it. */
extern const char *running_case;

/* The descriptor for messages: a copy of the standard error, which stays open
 * when a case closes descriptor 2. */
extern int messages_fd;

/* ---- Checks ----------------------------------------------------------- */

/* Print `file`, `line`, the running case and a printf() message, and end the
 * process with status 1.  May be called on any thread. */
__attribute__((noreturn, format(printf, 3, 4))) void test_fail(
    const char *file, int line, const char *format, ...);

/* Each CHECK fails the test unless its condition holds.  CHECK_EQ, CHECK_LE
 * and CHECK_GE compare integers and print both; CHECK_TEXT compares strings.
 * Arguments are evaluated once. */
#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            test_fail(__FILE__, __LINE__, "not so: %s (errno %d)",            \
                      #condition, errno);                                     \
        }                                                                     \
    } while (0)

/* clang-format off */
#define CHECK_COMPARED(a, operator, b)                                        \
    do {                                                                      \
        long long seen_a = (long long)(a), seen_b = (long long)(b);           \
                                                                              \
        if (!(seen_a operator seen_b)) {                                      \
            test_fail(__FILE__, __LINE__,                                     \
                      "not so: %s " #operator " %s: %lld and %lld "           \
                      "(errno %d)", #a, #b, seen_a, seen_b, errno);           \
        }                                                                     \
    } while (0)
/* clang-format on */

#define CHECK_EQ(a, b) CHECK_COMPARED(a, ==, b)
#define CHECK_LE(a, b) CHECK_COMPARED(a, <=, b)
#define CHECK_GE(a, b) CHECK_COMPARED(a, >=, b)

#define CHECK_TEXT(a, b)                                                      \
    do {                                                                      \
        const char *seen_a = (a), *seen_b = (b);                              \
                                                                              \
        if (strcmp(seen_a, seen_b) != 0) {                                    \
            test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a,     \
                      seen_a, seen_b);                                        \
        }                                                                     \
    } while (0)

/* ---- Waiting ---------------------------------------------------------- */

/* Wait until poll(2) reports one of `events` (or an error or hang-up) on
 * `fd`.  Returns the events reported.  Fails the test after PATIENCE. */
short wait_for(int fd, short events);

/* Wait until `is_so(arg)` returns true; it is called every millisecond on
 * this thread.  Fails the test after PATIENCE.  Use this only for a state
 * that no descriptor reports: the end of a loop, a value in sg_shared, a
 * descriptor number that another thread closes. */
void wait_until(bool (*is_so)(void *), void *arg);

/* Check that `takes`, which returns the nanoseconds that it took, keeps within
 * `bound` nanoseconds.  It gets up to ATTEMPTS calls, because a busy machine
 * may miss the bound. */
void expect_in_time(int64_t (*takes)(void), int64_t bound);

/* An interrupt function for waits that no signal ends; returns 0. */
int never_interrupt(void *unused);

/* Returns true if the program runs under valgrind, which is slow, knows no
 * pidfd, and does not apply RLIMIT_NOFILE. */
bool under_valgrind(void);

/* ---- Cases ------------------------------------------------------------ */

/* Run the `n` cases, or only the one that argv[1] names.  Returns main()'s
 * exit status, which is 1 if no case ran.  SIGPIPE is ignored, as Python
 * does. */
int run_cases(const struct test_case *cases, size_t n, int argc, char **argv);

/* Let SIGALRM report a hang and end the process, CASE_LIMIT seconds from now.
 * run_cases() calls this for each case; a case that used SIGALRM itself must
 * call it again. */
void arm_case_alarm(void);

/* Returns the number of descriptors that this process has open. */
int count_descriptors(void);

/* Returns true if no loop runs; the argument is unused, for wait_until(). */
bool no_loop_runs(void *unused);

/* End the child of a fork() successfully.  It ends by an exec, so that no
 * leak checker runs in it: the child has lost the memory that belongs to its
 * parent's other threads. */
__attribute__((noreturn)) void leave_process(void);

/* Reap the child `pid` of a fork() and check that its exit status is 0. */
void join_process(pid_t pid);

#endif
