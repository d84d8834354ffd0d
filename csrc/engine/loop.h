/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A loop: one thread that runs tasks.
 *
 * A task is a unit of work that waits for descriptors and deadlines, such as a
 * proxy, a session or a channel.  The loop's thread polls the descriptors of
 * all its tasks and gives a turn to each task that has something to do.  In
 * its turn a task does a bounded piece of work and never blocks.
 *
 * Ownership: after sg_loop_adopt() only the loop's thread touches the task,
 * and the loop frees the task in the end.  The functions of the first part of
 * this header may be called on any thread.  Those of the second part are for
 * tasks, on the loop's thread.
 *
 * Life of a loop: a caller that needs one starts it and holds it
 * (sg_loop_hold()).  A hold keeps the thread running until the caller hands
 * over a task (sg_loop_adopt()) or releases the hold.  The thread ends when it
 * has neither a task nor a hold; the next caller starts a new one.  All proxy
 * commands share one common loop, and each session has a loop for itself and
 * its channels.
 *
 * A loop's thread blocks all signals and never takes the GIL.
 */
#ifndef SG_LOOP_H
#define SG_LOOP_H

#include "engine/buffer.h"
#include "sys/deadline.h"
#include "engine/poller.h"

struct sg_loop;
struct sg_task;

/* The functions that make one kind of task.  (dropbear has such a table for
 * each kind of channel.)  The loop's thread calls them; all are required. */
struct sg_task_kind {
    const char *name; /* for the trace */

    /* Do a bounded piece of work, without blocking.  Called soon after the
     * task is adopted, and then after any of these events:
     *  - one of its watches is ready (sg_loop_watch());
     *  - its time has come (sg_loop_run_at());
     *  - sg_loop_run_again() or sg_loop_wake() was called;
     *  - the loop has replaced its poller, and the task must enter its watches
     *    again.
     * The loop does not say which, so a turn looks at everything.  A turn that
     * finds all work done calls sg_loop_over(). */
    void (*turn)(struct sg_task *task);

    /* Prepare for the exit of the program: end by the deadline `by`, even if
     * data is lost.  Called at most once; a turn follows. */
    void (*stop)(struct sg_task *task, sg_deadline by);

    /* Close the descriptors (sg_loop_close()) and free the memory.  Called
     * once, after sg_loop_over(), when the task has left the loop's table. */
    void (*free)(struct sg_task *task);
};

/* The first member of every task.  Before sg_loop_adopt() the caller zeroes it
 * and sets `kind`.  From then on only loop.c changes the fields; a task may
 * read `is_over` and `run_at`. */
struct sg_task {
    const struct sg_task_kind *kind;
    struct sg_loop *loop;            /* set when the loop takes it in */
    struct sg_task *next, *previous; /* in the loop's table */
    struct sg_task *next_due;        /* in the list of tasks that are due */
    bool is_due;                     /* is in that list: gets a turn */
    bool is_over;                    /* sg_loop_over() was called */
    bool is_woken;                   /* by sg_loop_wake(); guarded by the lock
                                         of the loops */
    sg_deadline run_at;              /* see sg_loop_run_at() */
};

/* ---- On any thread ---------------------------------------------------- */

/* Prepare the engine for fork().  Call it before any other function of the
 * engine; further calls do nothing. */
void sg_loop_init(void);

/* Hold the common loop, the loop of all proxy commands; start it if it does
 * not run.  Return it, or NULL with *error set (no thread, no descriptor, no
 * memory).  Give the hold back with sg_loop_adopt() or sg_loop_release().
 *
 * Hold a loop before starting a child process: afterwards sg_loop_adopt()
 * cannot fail, so no child is left without a task. */
struct sg_loop *sg_loop_hold(struct sg_error *error);

/* Start a new loop and hold it in the same way.  *id is the loop's id, with
 * which others call sg_loop_hold_by_id(), or 0 on failure. */
struct sg_loop *sg_loop_hold_new(uint64_t *id, struct sg_error *error);

/* Hold the loop whose id is `id`.  Return NULL if it has ended. */
struct sg_loop *sg_loop_hold_by_id(uint64_t id);

/* Give a hold back without handing over a task. */
void sg_loop_release(struct sg_loop *loop);

/* Hand `task` to the loop, and with it the hold.  From now on the caller does
 * not touch the task.  Tasks get their first turn in the order of adoption. */
void sg_loop_adopt(struct sg_loop *loop, struct sg_task *task);

/* Do the same for the first task of a loop of sg_loop_hold_new(), and set the
 * loop's context (see sg_loop_context()). */
void sg_loop_adopt_with(struct sg_loop *loop, struct sg_task *task,
                        void *context);

/* Give `task` a turn.  For other threads; on the loop's own thread
 * sg_loop_run_again() does the same more cheaply.  The caller guarantees that
 * the task has taken its first turn and is not freed before this call returns.
 * To guarantee this, the callers hold the lock of a sg_shared or a loan: the
 * task takes that lock before it is freed. */
void sg_loop_wake(struct sg_task *task);

/* Stop all loops: call stop() of each task, and wait until all loops have
 * ended or the deadline `by` has passed.  For the exit of the program: loops
 * that have not ended by then are abandoned. */
void sg_loop_stop_all(sg_deadline by);

/* Return the number of loops that run; for tests. */
int sg_loop_count(void);

/* ---- For tasks, on the loop's thread ---------------------------------- */

/* Wait for `wanted` on a watch of `task`: bits of poller.h, or SG_NOTHING to
 * take it out.  A watch without a descriptor (fd < 0) is ignored.  Return 0 or
 * a negative errno. */
int sg_loop_watch(struct sg_task *task, struct sg_watch *watch,
                  unsigned wanted);

/* Take the watch out, clear `ready`, close the descriptor and set it to -1.  A
 * watch that is closed already is ignored. */
void sg_loop_close(struct sg_task *task, struct sg_watch *watch);

/* Give `task` a turn at the deadline `when` unless it gets one earlier.  With
 * SG_NEVER only events give it a turn.  Each call replaces the deadline of the
 * call before.  The loop resets a deadline that has passed to SG_NEVER. */
void sg_loop_run_at(struct sg_task *task, sg_deadline when);

/* Give `task` a turn, or another turn, after the tasks that are due now.  A
 * task may call this for another task of its loop. */
void sg_loop_run_again(struct sg_task *task);

/* End `task`: it gets no further turn, and the loop frees it after its present
 * turn.  To end a task outside of its turn, first call sg_loop_run_again() for
 * that task; the loop then frees the task instead of giving it the turn. */
void sg_loop_over(struct sg_task *task);

/* The loop's context: a pointer that the tasks of one loop share.  In a
 * session's loop the context is the session, so that a new channel can find
 * the session.  A session that is lost sets the context to NULL.  The common
 * loop has none (NULL). */
void *sg_loop_context(struct sg_task *task);
void sg_loop_set_context(struct sg_task *task, void *context);

/* Return memory of SG_SCRATCH_SIZE bytes to read into.  All tasks of the loop
 * share it, so its contents are lost when the turn ends.  (Its size is that of
 * the data in eight full packets of a channel.) */
#define SG_SCRATCH_SIZE ((size_t)8 * 32700)
char *sg_loop_scratch(struct sg_task *task);

/* Return the pool that the buffers of the loop's tasks share. */
struct sg_pool *sg_loop_pool(struct sg_task *task);

#endif
