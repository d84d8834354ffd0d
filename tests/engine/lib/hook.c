/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See hook.h.
 */
#include "lib/hook.h"

#include "lib/harness.h"

#include <sys/time.h>

int (*_Atomic active_hook)(const char *call);

static int
ask_active_hook(const char *call)
{
    int (*hook)(const char *) = active_hook;
    int err = hook != NULL ? hook(call) : 0;

    if (err == 0 && under_valgrind() && strcmp(call, "pidfd") == 0) {
        err = -ENOSYS;
    }
    return err;
}

void
hook_install(void)
{
    sg_sys_fault_hook = ask_active_hook;
}

/* ---- Counting --------------------------------------------------------- */

atomic_int calls_made;

int
count_call(const char *call)
{
    (void)call;
    calls_made++;
    return 0;
}

/* The processor time of all threads, in nanoseconds. */
static int64_t
cpu_time(void)
{
    struct rusage usage;

    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * SG_SEC
           + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

void
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

/* ---- A gate ----------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_reached, is_open;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER};

void
gate_set(bool is_open)
{
    pthread_mutex_lock(&gate.lock);
    gate.is_open = is_open;
    gate.is_reached = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

void
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

void
gate_wait(void)
{
    pthread_mutex_lock(&gate.lock);
    while (!gate.is_reached) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}
