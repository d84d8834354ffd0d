/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See harness.h.
 */
#include "lib/harness.h"

#include <dirent.h>
#include <stdarg.h>

const char *running_case = "start";
int messages_fd = STDERR_FILENO;

void
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

/* ---- Waiting ---------------------------------------------------------- */

short
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

void
wait_until(bool (*is_so)(void *), void *arg)
{
    sg_deadline deadline = sg_deadline_after(PATIENCE * SG_SEC);

    while (!is_so(arg)) {
        CHECK_LE(sg_sys_now(), deadline);
        poll(NULL, 0, 1);
    }
}

void
expect_in_time(int64_t (*takes)(void), int64_t bound)
{
    int64_t took = takes();

    for (int i = 1; i < ATTEMPTS && took > bound; i++) {
        took = takes();
    }
    CHECK_LE(took, bound);
}

int
never_interrupt(void *unused)
{
    (void)unused;
    return 0;
}

bool
under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

/* ---- The check after each case ---------------------------------------- */

static int
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

int
count_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

/* sg_loop_count() stops counting a loop a moment before its thread is gone. */
static bool
no_thread_is_left(void *before)
{
#ifdef __SANITIZE_THREAD__ /* its runtime adds a thread with our first one */
    (void)before;
    return true;
#else
    return count_entries("/proc/self/task") <= *(int *)before;
#endif
}

bool
no_loop_runs(void *unused)
{
    (void)unused;
    return sg_loop_count() == 0;
}

/* ---- Cases ------------------------------------------------------------ */

static void
report_hang(int signal_number)
{
    static const char text[] = " hangs\n";

    (void)signal_number;
    if (write(messages_fd, running_case, strlen(running_case)) < 0
        || write(messages_fd, text, sizeof(text) - 1) < 0) {
        _exit(2);
    }
    _exit(1);
}

/* Undo what nohup(1), a shell's "&" or a service manager has done: signals
 * that they ignore or block stay so across exec, in our children too. */
static void
reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL); /* fails harmlessly for SIGKILL and SIGSTOP */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void
arm_case_alarm(void)
{
    signal(SIGALRM, report_hang);
    alarm(CASE_LIMIT);
}

static void
run_case(const struct test_case *test)
{
    size_t owned = sg_sys_owned();
    int descriptors = count_descriptors();
    int threads = count_entries("/proc/self/task");

    running_case = test->name;
    arm_case_alarm();
    test->run();
    wait_until(no_loop_runs, NULL);
    wait_until(no_thread_is_left, &threads);
    CHECK_EQ(sg_sys_owned(), owned);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(count_descriptors(), descriptors);
    alarm(0);
}

int
run_cases(const struct test_case *cases, size_t n, int argc, char **argv)
{
    size_t run = 0;

    messages_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200);
    reset_signals();
    signal(SIGPIPE, SIG_IGN);
    sg_loop_init();
    for (size_t i = 0; i < n; i++) {
        if (argc < 2 || strcmp(argv[1], cases[i].name) == 0) {
            run_case(&cases[i]);
            run++;
        }
    }
    return run == 0;
}

void
leave_process(void)
{
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
}

void
join_process(pid_t pid)
{
    int status = -1;

    CHECK_GE(pid, 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* ---- Sanitizers ------------------------------------------------------- */

#if defined(__SANITIZE_THREAD__)
/* The children of fork() in test_loop.c start threads, which ThreadSanitizer
 * refuses by default. */
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif
