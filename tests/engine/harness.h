/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What every test program of the engine stands on: checks that print what
 * they saw, a table of named cases, and a guard that lets no case leave
 * anything behind.
 *
 * The first failure ends the program: what comes after it proves nothing.
 */
#ifndef SG_TEST_HARNESS_H
#define SG_TEST_HARNESS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/loop.h"
#include "sys/sys.h"

/* Seconds. */
#define PATIENCE 20    /* for whatever should happen at once */
#define CASE_LIMIT 180 /* for a whole case; then it hangs */
#define ATTEMPTS 5     /* at what only a machine that keeps up can do */

/* Not used by every program that includes this. */
#define HELPER __attribute__((unused)) static

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

struct test_case {
    const char *name;
    void (*run)(void);
};

#define CASE(function)                                                        \
    {                                                                         \
#function, function                                                   \
    }

static const char *running_case = "start";
static int messages_fd = STDERR_FILENO; /* stays when 2 is closed */

/* ---- Checks ----------------------------------------------------------- */

__attribute__((noreturn, format(printf, 3, 4))) HELPER void
test_fail(const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    dprintf(messages_fd, "%s:%d: %s: %s\n", file, line, running_case, text);
    _exit(1);
}

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            test_fail(__FILE__, __LINE__, "not so: %s (errno %d)",            \
                      #condition, errno);                                     \
        }                                                                     \
    } while (0)

#define CHECK_COMPARED(a, operator, b)                                        \
    do {                                                                      \
        long long seen_a = (long long)(a), seen_b = (long long)(b);           \
                                                                              \
        if (!(seen_a operator seen_b)) {                                      \
            test_fail(__FILE__, __LINE__,                                     \
                      "not so: %s " #operator" %s: %lld and %lld (errno "     \
                                             "%d)",                           \
                      #a, #b, seen_a, seen_b, errno);                         \
        }                                                                     \
    } while (0)

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

/* Wait for one of `events`; what came of it. */
HELPER short
wait_for(int fd, short events)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    sg_deadline deadline = sg_deadline_after(PATIENCE * SG_SEC);
    int n;

    do {
        n = poll(&pollfd, 1, sg_deadline_ms(deadline));
    } while (n < 0 && errno == EINTR);
    CHECK_EQ(n, 1);
    return pollfd.revents;
}

/* For the states that no descriptor tells of: the end of a thread of the
 * engine, a word in a report, a number that another thread has closed. */
HELPER void
wait_until(bool (*is_so)(void *), void *arg)
{
    sg_deadline deadline = sg_deadline_after(PATIENCE * SG_SEC);

    while (!is_so(arg)) {
        CHECK_LE(sg_sys_now(), deadline);
        poll(NULL, 0, 1);
    }
}

/* It takes `bound` at most.  A machine that is busy may miss that once; a fault
 * misses it each time. */
HELPER void
expect_in_time(int64_t (*takes)(void), int64_t bound)
{
    int64_t took = takes();

    for (int i = 1; i < ATTEMPTS && took > bound; i++) {
        took = takes();
    }
    CHECK_LE(took, bound);
}

/* It does not know of pidfds, and complains of each; and it keeps the limit
 * on descriptors to itself. */
HELPER bool
under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

/* ---- The guard -------------------------------------------------------- */

HELPER int
count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    CHECK(dir != NULL);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

HELPER int
count_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

/* A loop counts as ended a moment before its thread is gone. */
HELPER bool
no_thread_is_left(void *before)
{
#ifdef __SANITIZE_THREAD__ /* which starts one of its own with the first */
    (void)before;
    return true;
#else
    return count_entries("/proc/self/task") <= *(int *)before;
#endif
}

HELPER bool
no_loop_runs(void *unused)
{
    (void)unused;
    return sg_loop_count() == 0;
}

HELPER void
run_case(const struct test_case *test)
{
    size_t owned = sg_sys_owned();
    int descriptors = count_descriptors();
    int threads = count_entries("/proc/self/task");

    running_case = test->name;
    alarm(CASE_LIMIT);
    test->run();
    wait_until(no_loop_runs, NULL);
    wait_until(no_thread_is_left, &threads);
    CHECK_EQ(sg_sys_owned(), owned);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(count_descriptors(), descriptors);
    alarm(0);
}

static void
say_that_it_hangs(int signal_number)
{
    static const char text[] = " hangs\n";

    (void)signal_number;
    if (write(messages_fd, running_case, strlen(running_case)) < 0
        || write(messages_fd, text, sizeof(text) - 1) < 0) {
        _exit(2);
    }
    _exit(1);
}

/* Undo what nohup(1), a shell's "&" or a service manager has done: signals that
 * they ignore or block stay so across exec, in our children too. */
HELPER void
reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL); /* fails harmlessly for SIGKILL and SIGSTOP */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* `argv[1]`, when given, is the one case to run. */
HELPER int
run_cases(const struct test_case *cases, size_t n, int argc, char **argv)
{
    size_t run = 0;

    messages_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200);
    reset_signals();
    signal(SIGALRM, say_that_it_hangs);
    signal(SIGPIPE, SIG_IGN); /* as in Python */
    sg_loop_init();
    for (size_t i = 0; i < n; i++) {
        if (argc < 2 || strcmp(argv[1], cases[i].name) == 0) {
            run_case(&cases[i]);
            run++;
        }
    }
    return run == 0;
}

/* The end of a fork()'s child that is content.  By exec, for no leak checker
 * must look at it: it has lost the memory of its parent's threads. */
__attribute__((noreturn)) HELPER void
leave_process(void)
{
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
}

/* The child of a fork() has checked its part; what it was is reaped. */
HELPER void
join_process(pid_t pid)
{
    int status = -1;

    CHECK_GE(pid, 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* ---- Pseudo-random numbers -------------------------------------------- */

/* The same ones in every run (xorshift64). */
struct random {
    uint64_t state;
};

HELPER uint64_t
random_next(struct random *random)
{
    uint64_t x = random->state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return random->state = x;
}

HELPER size_t
random_below(struct random *random, size_t n)
{
    return (size_t)(random_next(random) >> 11) % n;
}

/* Byte number `i` of a stream that hides no shift and no repetition. */
HELPER unsigned char
pattern_byte(uint64_t i)
{
    i *= UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned char)(i >> 56);
}

HELPER void
pattern_fill(uint64_t from, char *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = (char)pattern_byte(from + i);
    }
}

HELPER bool
pattern_is(uint64_t from, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)data[i] != pattern_byte(from + i)) {
            return false;
        }
    }
    return true;
}

/* ---- Sanitizers ------------------------------------------------------- */

#if defined(__SANITIZE_THREAD__)
/* The child of a fork starts threads of its own in test_loop.c. */
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

#endif
