/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A loop; see loop.h.
 *
 * Lock order: a thread that holds several locks has taken them in this order:
 * the lock of a sg_shared or of a loan, then loops.lock, then the lock in
 * sys.c.  A fork() holds the last two.
 */
#include "engine/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "engine/loan.h"

#define STACK_SIZE (256 * 1024) /* bytes */
#define MAX_EVENTS 64           /* ready watches per wait */
/* How often the due tasks run before the next wait.  Incoming data passes the
 * session's task and then a channel's, outgoing data the other way round: two
 * rounds let both run without another system call. */
#define ROUNDS 2
/* The pause after the poller has failed, so that the loop does not spin. */
#define POLLER_PAUSE (10 * SG_MSEC)

struct sg_loop {
    /* Guarded by loops.lock. */
    struct sg_loop *next; /* in loops.all */
    uint64_t id;
    struct sg_task *arrivals; /* adopted, not yet in the table; last first */
    int holds;                /* callers that will adopt or release */
    bool has_woken_tasks;     /* a task in the table has `is_woken` set */
    bool stopping;            /* sg_loop_stop_all() was called */
    sg_deadline stop_by;

    /* For the loop's thread alone.  (Other threads use `wakeup`, under
     * loops.lock.) */
    struct sg_poller poller;
    struct sg_wakeup wakeup;
    struct sg_watch wakeup_watch;          /* no owner */
    struct sg_task *table;                 /* all tasks, in any order */
    struct sg_task *first_due, **last_due; /* list of tasks that are due */
    sg_deadline earliest;   /* no task's `run_at` is earlier than this */
    void *context;          /* see sg_loop_context() */
    bool has_stopped_tasks; /* stop() was called for the tasks in the table */
    char *scratch;
    struct sg_pool pool;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t ended;   /* signalled when a loop's thread ends */
    struct sg_loop *all;    /* list of loops that can be held */
    struct sg_loop *common; /* the loop of all proxy commands, or NULL */
    int running;            /* threads that have not ended */
    uint64_t last_id;
} loops = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- Fork ------------------------------------------------------------- */

static void
init_condition(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
#ifndef __APPLE__
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&loops.ended, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void
before_fork(void)
{
    pthread_mutex_lock(&loops.lock);
    sg_sys_before_fork();
}

static void
after_fork_in_parent(void)
{
    sg_sys_after_fork(false);
    pthread_mutex_unlock(&loops.lock);
}

/* In the child no thread of ours exists, and all descriptors of ours are
 * closed.  The loops' memory is leaked, because their threads were stopped at
 * an arbitrary point and may have left it inconsistent. */
static void
after_fork_in_child(void)
{
    sg_sys_after_fork(true);
    sg_loan_after_fork();
    loops.all = loops.common = NULL;
    loops.running = 0;
    init_condition();
    pthread_mutex_unlock(&loops.lock);
}

static void
init_once(void)
{
    init_condition();
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void
sg_loop_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_once);
}

/* ---- For tasks -------------------------------------------------------- */

int
sg_loop_watch(struct sg_task *task, struct sg_watch *watch, unsigned wanted)
{
    watch->owner = task;
    if (watch->fd < 0) {
        return 0;
    }
    return sg_poller_set(&task->loop->poller, watch, wanted);
}

void
sg_loop_close(struct sg_task *task, struct sg_watch *watch)
{
    sg_loop_watch(task, watch, SG_NOTHING);
    watch->ready = 0; /* so that no task acts on the closed descriptor */
    sg_sys_close(&watch->fd);
}

void
sg_loop_run_at(struct sg_task *task, sg_deadline when)
{
    task->run_at = when;
    task->loop->earliest = sg_deadline_earlier(task->loop->earliest, when);
}

void
sg_loop_run_again(struct sg_task *task)
{
    if (!task->is_due && !task->is_over) {
        task->is_due = true;
        task->next_due = NULL;
        *task->loop->last_due = task;
        task->loop->last_due = &task->next_due;
    }
}

void
sg_loop_over(struct sg_task *task)
{
    task->is_over = true;
}

void *
sg_loop_context(struct sg_task *task)
{
    return task->loop->context;
}

void
sg_loop_set_context(struct sg_task *task, void *context)
{
    task->loop->context = context;
}

char *
sg_loop_scratch(struct sg_task *task)
{
    return task->loop->scratch;
}

struct sg_pool *
sg_loop_pool(struct sg_task *task)
{
    return &task->loop->pool;
}

/* ---- The thread ------------------------------------------------------- */

static void
enter_table(struct sg_loop *loop, struct sg_task *task)
{
    task->loop = loop;
    task->run_at = SG_NEVER;
    task->previous = NULL;
    task->next = loop->table;
    if (loop->table != NULL) {
        loop->table->previous = task;
    }
    loop->table = task;
    sg_loop_run_again(task);
}

static void
leave_table(struct sg_loop *loop, struct sg_task *task)
{
    if (task->next != NULL) {
        task->next->previous = task->previous;
    }
    if (task->previous != NULL) {
        task->previous->next = task->next;
    }
    else {
        loop->table = task->next;
    }
}

/* Make each task due for which sg_loop_wake() was called. */
static void
take_woken_locked(struct sg_loop *loop)
{
    if (!loop->has_woken_tasks) {
        return;
    }
    loop->has_woken_tasks = false;
    for (struct sg_task *task = loop->table; task != NULL; task = task->next) {
        if (task->is_woken) {
            task->is_woken = false;
            sg_loop_run_again(task);
        }
    }
}

/* Process the calls of other threads since the last wake-up: make woken tasks
 * due, adopt new tasks in the order of adoption, and stop all tasks once after
 * sg_loop_stop_all(). */
static void
handle_wakeup(struct sg_loop *loop)
{
    struct sg_task *posted, *arrivals = NULL;
    bool stopping;
    sg_deadline by;

    sg_sys_wakeup_clear(&loop->wakeup);
    pthread_mutex_lock(&loops.lock);
    posted = loop->arrivals;
    loop->arrivals = NULL;
    stopping = loop->stopping;
    by = loop->stop_by;
    take_woken_locked(loop);
    pthread_mutex_unlock(&loops.lock);
    while (posted != NULL) { /* reverse the list */
        struct sg_task *task = posted;

        posted = task->next;
        task->next = arrivals;
        arrivals = task;
    }
    while (arrivals != NULL) {
        struct sg_task *task = arrivals;

        arrivals = task->next;
        enter_table(loop, task);
        if (loop->has_stopped_tasks) {
            task->kind->stop(task, by);
        }
    }
    if (stopping && !loop->has_stopped_tasks) {
        loop->has_stopped_tasks = true;
        for (struct sg_task *task = loop->table; task != NULL;
             task = task->next) {
            task->kind->stop(task, by);
            sg_loop_run_again(task);
        }
    }
}

/* Make each task due whose `run_at` has passed, and find the earliest `run_at`
 * of the others. */
static void
check_timers(struct sg_loop *loop)
{
    int64_t now;

    if (loop->earliest == SG_NEVER) {
        return;
    }
    now = sg_sys_now();
    if (now < loop->earliest) {
        return;
    }
    loop->earliest = SG_NEVER;
    for (struct sg_task *task = loop->table; task != NULL; task = task->next) {
        if (task->run_at <= now) {
            task->run_at = SG_NEVER;
            sg_loop_run_again(task);
        }
        loop->earliest = sg_deadline_earlier(loop->earliest, task->run_at);
    }
}

/* Give each task that is due a turn.  A task that becomes due meanwhile waits
 * for the next round. */
static void
run_due(struct sg_loop *loop)
{
    struct sg_task *task = loop->first_due;

    loop->first_due = NULL;
    loop->last_due = &loop->first_due;
    while (task != NULL) {
        struct sg_task *next = task->next_due;

        task->is_due = false;
        if (!task->is_over) {
            task->kind->turn(task);
        }
        /* A task that is over and due again is in the new list, so it is
         * freed when that list is run. */
        if (task->is_over && !task->is_due) {
            leave_table(loop, task);
            task->kind->free(task);
        }
        task = next;
    }
}

/* If the loop has neither tasks nor holds, remove it from the list, so that no
 * caller can hold it, and return true. */
static bool
retire_if_unused(struct sg_loop *loop)
{
    bool unused;

    if (loop->table != NULL) {
        return false;
    }
    pthread_mutex_lock(&loops.lock);
    unused = loop->holds == 0 && loop->arrivals == NULL;
    if (unused) {
        struct sg_loop **link = &loops.all;

        while (*link != loop) {
            link = &(*link)->next;
        }
        *link = loop->next;
        if (loops.common == loop) {
            loops.common = NULL;
        }
    }
    pthread_mutex_unlock(&loops.lock);
    return unused;
}

static void
loop_free(struct sg_loop *loop)
{
    sg_poller_set(&loop->poller, &loop->wakeup_watch, SG_NOTHING);
    sg_poller_close(&loop->poller);
    sg_sys_wakeup_close(&loop->wakeup);
    free(loop->scratch);
    sg_pool_clear(&loop->pool);
    free(loop);
}

/* Replace the wake-up if the program has closed one of its descriptors.  Call
 * this before a new poller is opened, because the poller may get the number of
 * the closed descriptor.  Callers' threads use the wake-up too, so hold the
 * lock while it is replaced. */
static void
mend_wakeup(struct sg_loop *loop)
{
    pthread_mutex_lock(&loops.lock);
    if (!sg_sys_is_open(loop->wakeup.reader)
        || !sg_sys_is_open(loop->wakeup.writer)) {
        sg_sys_disown(loop->wakeup.reader);
        sg_sys_disown(loop->wakeup.writer);
        sg_sys_wakeup_open(&loop->wakeup);
        loop->wakeup_watch.fd = loop->wakeup.reader;
    }
    pthread_mutex_unlock(&loops.lock);
}

/* Replace the poller after it has failed to wait, most likely because the
 * program has closed descriptors that are not its own.  All tasks get a turn,
 * in which they enter the new poller; a task that finds its own descriptors
 * closed ends with that reason.  If the poller cannot be replaced now, the
 * pause keeps the loop from spinning until the next attempt. */
static void
mend_poller(struct sg_loop *loop, int err)
{
    sg_sys_trace("loop %p: its poller fails: %d", (void *)loop, err);
    sg_sys_pause(POLLER_PAUSE);
    mend_wakeup(loop);
    if (sg_poller_reopen(&loop->poller, err) < 0) {
        return;
    }
    sg_poller_set(&loop->poller, &loop->wakeup_watch, SG_READ);
    handle_wakeup(loop); /* the old wake-up may have been set */
    for (struct sg_task *task = loop->table; task != NULL; task = task->next) {
        sg_loop_run_again(task);
    }
}

static void *
loop_main(void *arg)
{
    struct sg_loop *loop = arg;
    struct sg_watch *found[MAX_EVENTS];

    sg_sys_trace("loop %p starts", arg);
    do {
        bool was_woken = false;
        int timeout = loop->first_due != NULL ? 0
                                              : sg_deadline_ms(loop->earliest);
        int n = sg_poller_wait(&loop->poller, found, MAX_EVENTS, timeout);

        for (int i = 0; i < n; i++) {
            if (found[i]->owner != NULL) {
                sg_loop_run_again(found[i]->owner);
            }
            else {
                was_woken = true;
            }
        }
        if (n < 0 && n != -EINTR) {
            mend_poller(loop, n);
        }
        if (was_woken) {
            /* Not inside the loop over `found`, because stop() may free a
             * watch. */
            handle_wakeup(loop);
        }
        check_timers(loop);
        for (int i = 0; i < ROUNDS && loop->first_due != NULL; i++) {
            run_due(loop);
        }
    } while (!retire_if_unused(loop));
    sg_sys_trace("loop %p ends", arg);
    loop_free(loop);
    pthread_mutex_lock(&loops.lock);
    loops.running--;
    pthread_cond_broadcast(&loops.ended);
    pthread_mutex_unlock(&loops.lock);
    return NULL;
}

/* ---- On any thread ---------------------------------------------------- */

static int
start_thread(struct sg_loop *loop)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int err;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigfillset(&all);
    /* The new thread inherits the mask. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&thread, &attributes, loop_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -err;
}

static struct sg_loop *
loop_new(struct sg_error *error)
{
    struct sg_loop *loop = calloc(1, sizeof(*loop));
    int err = -ENOMEM;

    if (loop == NULL) {
        sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
        return NULL;
    }
    loop->last_due = &loop->first_due;
    loop->earliest = SG_NEVER;
    loop->wakeup.reader = loop->wakeup.writer = -1;
    loop->scratch = malloc(SG_SCRATCH_SIZE);
    if (loop->scratch != NULL) {
        err = sg_poller_open(&loop->poller);
    }
    if (err < 0) {
        free(loop->scratch);
        free(loop);
        sg_fail_errno(error, err);
        return NULL;
    }
    err = sg_sys_wakeup_open(&loop->wakeup);
    if (err >= 0) {
        loop->wakeup_watch.fd = loop->wakeup.reader;
        err = sg_poller_set(&loop->poller, &loop->wakeup_watch, SG_READ);
    }
    if (err >= 0) {
        err = start_thread(loop);
    }
    if (err < 0) {
        sg_fail_errno(error, err);
        loop_free(loop);
        return NULL;
    }
    return loop;
}

/* Start a loop and put it into the list.  Its thread cannot end before that,
 * because retire_if_unused() needs the lock. */
static struct sg_loop *
start_locked(struct sg_error *error)
{
    struct sg_loop *loop = loop_new(error);

    if (loop != NULL) {
        loop->id = ++loops.last_id;
        loop->next = loops.all;
        loops.all = loop;
        loops.running++;
    }
    return loop;
}

/* Return `loop` with one more hold; it may be NULL. */
static struct sg_loop *
hold_locked(struct sg_loop *loop)
{
    if (loop != NULL) {
        loop->holds++;
    }
    return loop;
}

struct sg_loop *
sg_loop_hold(struct sg_error *error)
{
    struct sg_loop *loop;

    pthread_mutex_lock(&loops.lock);
    if (loops.common == NULL) {
        loops.common = start_locked(error);
    }
    loop = hold_locked(loops.common);
    pthread_mutex_unlock(&loops.lock);
    return loop;
}

struct sg_loop *
sg_loop_hold_new(uint64_t *id, struct sg_error *error)
{
    struct sg_loop *loop;

    pthread_mutex_lock(&loops.lock);
    loop = hold_locked(start_locked(error));
    *id = loop != NULL ? loop->id : 0;
    pthread_mutex_unlock(&loops.lock);
    return loop;
}

struct sg_loop *
sg_loop_hold_by_id(uint64_t id)
{
    struct sg_loop *loop;

    pthread_mutex_lock(&loops.lock);
    loop = loops.all;
    while (loop != NULL && loop->id != id) {
        loop = loop->next;
    }
    hold_locked(loop);
    pthread_mutex_unlock(&loops.lock);
    return loop;
}

void
sg_loop_adopt(struct sg_loop *loop, struct sg_task *task)
{
    pthread_mutex_lock(&loops.lock);
    task->next = loop->arrivals;
    loop->arrivals = task;
    loop->holds--;
    /* Before the unlock, because the loop may be freed right after it. */
    sg_sys_wakeup_set(&loop->wakeup);
    pthread_mutex_unlock(&loops.lock);
}

void
sg_loop_adopt_with(struct sg_loop *loop, struct sg_task *task, void *context)
{
    /* The loop's thread sees this, because sg_loop_adopt() takes the lock
     * after it. */
    loop->context = context;
    sg_loop_adopt(loop, task);
}

void
sg_loop_release(struct sg_loop *loop)
{
    pthread_mutex_lock(&loops.lock);
    loop->holds--;
    sg_sys_wakeup_set(&loop->wakeup);
    pthread_mutex_unlock(&loops.lock);
}

void
sg_loop_wake(struct sg_task *task)
{
    pthread_mutex_lock(&loops.lock);
    task->is_woken = true;
    task->loop->has_woken_tasks = true;
    sg_sys_wakeup_set(&task->loop->wakeup);
    pthread_mutex_unlock(&loops.lock);
}

void
sg_loop_stop_all(sg_deadline by)
{
    const sg_deadline stop_by = by;
    struct timespec until;
    int err = 0;

#ifdef __APPLE__ /* condition variables there use the wall clock alone */
    by += sg_sys_wall_clock() - sg_sys_now();
#endif
    until.tv_sec = (time_t)(by / SG_SEC);
    until.tv_nsec = (long)(by % SG_SEC);
    pthread_mutex_lock(&loops.lock);
    for (struct sg_loop *loop = loops.all; loop != NULL; loop = loop->next) {
        loop->stopping = true;
        loop->stop_by = stop_by;
        sg_sys_wakeup_set(&loop->wakeup);
    }
    while (loops.running > 0 && err == 0) {
        err = pthread_cond_timedwait(&loops.ended, &loops.lock, &until);
    }
    pthread_mutex_unlock(&loops.lock);
}

int
sg_loop_count(void)
{
    int n;

    pthread_mutex_lock(&loops.lock);
    n = loops.running;
    pthread_mutex_unlock(&loops.lock);
    return n;
}
