/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/interrupts.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "lib/harness.h"

#define ACCEPTED 3 /* signals that do not interrupt the wait */

static atomic_int signals; /* that the wait has noticed */
static pthread_t waiter, sender;

static int
count_signals(void *unused)
{
    (void)unused;
    return ++signals > ACCEPTED ? -1 : 0;
}

static void
ignore(int signal_number)
{
    (void)signal_number;
}

static void *
keep_signalling(void *unused)
{
    (void)unused;
    while (signals <= ACCEPTED) {
        pthread_kill(waiter, SIGUSR1);
        poll(NULL, 0, 10);
    }
    return NULL;
}

struct sg_wait
interrupts_start(void)
{
    struct sigaction action = {.sa_handler = ignore};

    signals = 0;
    waiter = pthread_self();
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(pthread_create(&sender, NULL, keep_signalling, NULL), 0);
    return (struct sg_wait){.deadline = SG_NEVER, .interrupt = count_signals};
}

void
interrupts_end(void)
{
    int noticed = signals;

    signals = ACCEPTED + 1;
    CHECK_EQ(pthread_join(sender, NULL), 0);
    CHECK_EQ(noticed, ACCEPTED + 1);
}
