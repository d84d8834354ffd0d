/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The other side of a test: child processes, some of them this very program
 * with a role for an argument, and what is said to them.
 */
#ifndef SG_TEST_PEERS_H
#define SG_TEST_PEERS_H

#include <limits.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "harness.h"
#include "proxy/proxy.h"

/* A linger so long that nothing is signalled while a test runs; and one so
 * short that a test needn't wait for it. */
#define LONG_LINGER (100 * SG_SEC)
#define SHORT_LINGER (50 * SG_MSEC)

/* ---- Roles ------------------------------------------------------------ */

struct role {
    const char *name;
    int (*play)(char **arguments); /* what follows the name; ends with NULL */
};

static char own_path[PATH_MAX];

/* What sg_sys_fault_hook asks; changes while loops run. */
static int (*_Atomic active_hook)(const char *call);

HELPER int
ask_active_hook(const char *call)
{
    int (*hook)(const char *) = active_hook;
    int err = hook != NULL ? hook(call) : 0;

    if (err == 0 && under_valgrind() && strcmp(call, "pidfd") == 0) {
        err = -ENOSYS;
    }
    return err;
}

/* Play the role that argv[1] names, or run the cases. */
HELPER int
play_or_run(const struct role *roles, size_t n_roles,
            const struct test_case *cases, size_t n_cases, int argc,
            char **argv)
{
    ssize_t n = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);

    CHECK_GE(n, 1);
    sg_sys_fault_hook = ask_active_hook;
    for (size_t i = 0; argc > 1 && i < n_roles; i++) {
        if (strcmp(argv[1], roles[i].name) == 0) {
            _exit(roles[i].play(argv + 2));
        }
    }
    return run_cases(cases, n_cases, argc, argv);
}

/* ---- What a child is made of ------------------------------------------ */

/* Options, and the memory they point to. */
struct command {
    struct sg_child_options options;
    const char *paths[2];
    char *argv[6];
    char words[6][PATH_MAX];
};

HELPER void
command_set(struct command *command, const char *path,
            const char *const *words)
{
    size_t n = 0;

    memset(command, 0, sizeof(*command));
    for (; words[n] != NULL; n++) {
        CHECK_LE(n, COUNT_OF(command->argv) - 2);
        snprintf(command->words[n], sizeof(command->words[n]), "%s", words[n]);
        command->argv[n] = command->words[n];
    }
    command->paths[0] = path;
    command->options.paths = command->paths;
    command->options.argv = command->argv;
    command->options.stderr_fd = SG_STDERR_TAIL;
}

HELPER void
command_sh(struct command *command, const char *script)
{
    command_set(command, "/bin/sh",
                (const char *const[]){"sh", "-c", script, NULL});
}

HELPER void
command_role(struct command *command, const char *role, const char *argument)
{
    command_set(command, own_path,
                (const char *const[]){"role", role, argument, NULL});
}

/* ---- Processes -------------------------------------------------------- */

/* Something to wait for the end of a process by; -1 when it is gone for good
 * already.  A pidfd, in both twins, for the tests run on Linux; the
 * negative process id where there is none. */
HELPER int
process_open(pid_t pid)
{
    int fd = under_valgrind() ? -pid : (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd == -1) {
        CHECK_EQ(errno, ESRCH);
    }
    return fd;
}

/* It has ended; perhaps it is a zombie. */
HELPER bool
process_is_gone(int process)
{
    struct pollfd pollfd = {.fd = process, .events = POLLIN};
    char path[64], state = 'X';
    FILE *file;

    if (process >= -1) {
        return process == -1 || poll(&pollfd, 1, 0) == 1;
    }
    snprintf(path, sizeof(path), "/proc/%d/stat", -process);
    file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) {
            state = 'X'; /* it went meanwhile */
        }
        fclose(file);
    }
    return state == 'Z' || state == 'X';
}

HELPER bool
process_of_is_gone(void *process)
{
    return process_is_gone(*(int *)process);
}

HELPER void
process_wait(int process)
{
    if (process >= 0) {
        wait_for(process, POLLIN);
    }
    else {
        wait_until(process_of_is_gone, &process);
    }
}

/* Wait for the end, and forget it. */
HELPER void
process_join(int process)
{
    process_wait(process);
    if (process >= 0) {
        close(process);
    }
}

/* ---- A proxy ---------------------------------------------------------- */

struct proxy {
    int stream;
    pid_t pid;
    int process;
    struct sg_shared *shared;
};

HELPER struct proxy
proxy_start(const struct command *command, int64_t linger)
{
    struct proxy proxy = {.stream = -1};
    struct sg_error error = {.status = SG_OK};

    proxy.shared = sg_shared_new();
    CHECK(proxy.shared != NULL);
    CHECK_EQ(sg_proxy_start(&command->options, linger, proxy.shared,
                            &proxy.stream, &proxy.pid, &error),
             SG_OK);
    CHECK_EQ(error.status, SG_OK);
    proxy.process = process_open(proxy.pid);
    return proxy;
}

HELPER struct proxy
proxy_sh(const char *script, int64_t linger)
{
    struct command command;

    command_sh(&command, script);
    return proxy_start(&command, linger);
}

HELPER struct proxy
proxy_role(const char *role, const char *argument, int64_t linger)
{
    struct command command;

    command_role(&command, role, argument);
    return proxy_start(&command, linger);
}

HELPER bool
proxy_is_known(void *arg)
{
    int ignored;

    return sg_shared_get_returncode(((struct proxy *)arg)->shared, &ignored);
}

/* How it ended, once that is known. */
HELPER int
proxy_returncode(struct proxy *proxy)
{
    int returncode = 0;

    wait_until(proxy_is_known, proxy);
    sg_shared_get_returncode(proxy->shared, &returncode);
    return returncode;
}

/* Close, and wait for the end of the child. */
HELPER void
proxy_close(struct proxy *proxy)
{
    sg_sys_close(&proxy->stream);
    process_join(proxy->process);
    sg_shared_unref(proxy->shared);
}

/* ---- Bytes ------------------------------------------------------------ */

HELPER void
say(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent;

        wait_for(fd, POLLOUT);
        sent = write(fd, data, n < 65536 ? n : 65536);
        CHECK_GE(sent, 1);
        data += sent;
        n -= (size_t)sent;
    }
}

/* Read until there are `n` bytes or the end; how many there are. */
HELPER size_t
hear(int fd, char *to, size_t n)
{
    size_t heard = 0;

    while (heard < n) {
        ssize_t more;

        wait_for(fd, POLLIN);
        more = read(fd, to + heard, n - heard);
        CHECK_GE(more, 0);
        if (more == 0) {
            break;
        }
        heard += (size_t)more;
    }
    return heard;
}

HELPER void
expect(int fd, const char *text)
{
    char heard[256] = "";

    CHECK_LE(strlen(text), sizeof(heard) - 1);
    hear(fd, heard, strlen(text));
    CHECK_TEXT(heard, text);
}

/* A clean end comes next: no data, no error. */
HELPER void
expect_end(int fd)
{
    char byte;

    wait_for(fd, POLLIN);
    CHECK_EQ(read(fd, &byte, 1), 0);
}

/* Send bytes of the pattern until `fd`, and all behind it, is full: until
 * nothing more was taken for as long as `quiet_ms`.  How many it took. */
HELPER size_t
fill_up(int fd, int quiet_ms)
{
    char data[16384];
    size_t total = 0;
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};

    CHECK_EQ(sg_sys_set_blocking(fd, false), 0);
    while (poll(&pollfd, 1, quiet_ms) == 1) {
        ssize_t n;

        pattern_fill(total, data, sizeof(data));
        n = write(fd, data, sizeof(data));
        if (n < 0) {
            CHECK_EQ(errno, EAGAIN);
            continue;
        }
        total += (size_t)n;
    }
    CHECK_EQ(sg_sys_set_blocking(fd, true), 0);
    return total;
}

/* The loop has done all that it could do before this: bytes come back through
 * another proxy, and all proxies share the one loop. */
HELPER void
let_the_loop_go_round(void)
{
    struct proxy other = proxy_sh("exec cat", LONG_LINGER);

    for (int i = 0; i < 3; i++) {
        say(other.stream, "x", 1);
        expect(other.stream, "x");
    }
    proxy_close(&other);
}

/* ---- A gate for the loop's thread, in a hook --------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_reached, is_open;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER};

HELPER void
gate_set(bool is_open)
{
    pthread_mutex_lock(&gate.lock);
    gate.is_open = is_open;
    gate.is_reached = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

HELPER void
gate_pass(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.is_reached = true;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.is_open) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}

/* Somebody stands before it. */
HELPER void
gate_wait(void)
{
    pthread_mutex_lock(&gate.lock);
    while (!gate.is_reached) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}

/* ---- What a loop costs ------------------------------------------------ */

static atomic_int calls_made; /* of those that have a fault's name */

HELPER int
count_call(const char *call)
{
    (void)call;
    calls_made++;
    return 0;
}

HELPER int64_t
cpu_time(void)
{
    struct rusage usage;

    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * SG_SEC
           + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

/* The engine does nothing for a while, once it is done with what happened
 * before.  A loop that spins makes thousands of calls. */
HELPER void
expect_quiet(void)
{
    const int ms = 200;
    int64_t used = 0;
    bool is_quiet = false;

    for (int i = 0; i < ATTEMPTS && !is_quiet; i++) {
        int64_t before = cpu_time();

        calls_made = 0;
        active_hook = count_call;
        poll(NULL, 0, ms);
        active_hook = NULL;
        used = cpu_time() - before;
        is_quiet = calls_made <= 10 && used <= ms * SG_MSEC / 4;
    }
    CHECK_LE(calls_made, 10);
    CHECK_LE(used, ms * SG_MSEC / 4);
}

#endif
