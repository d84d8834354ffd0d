/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The loop: one thread that drives far ends.
 *
 * Ownership: from sg_loop_adopt() on, only the loop's thread touches a far
 * end.  The functions of the second half are for far ends, on that thread;
 * those of the first half are for anybody.
 *
 * A loop starts with the first far end and ends with the last.  Its thread
 * blocks all signals and knows nothing of Python.
 */
#ifndef SG_LOOP_H
#define SG_LOOP_H

#include "engine/buffer.h"
#include "sys/deadline.h"
#include "engine/poller.h"

struct sg_loop;
struct sg_task;

/* A kind of far end, as a channel kind is in dropbear. */
struct sg_task_kind {
    const char *name;
    /* One of its watches is ready, or its time has come.  Does a bounded
     * piece of work; ends with sg_loop_over() when all is done. */
    void (*turn)(struct sg_task *task);
    /* The program ends: be over by then, whatever it costs. */
    void (*stop)(struct sg_task *task, sg_deadline by);
    /* Give all back; it is out of the loop already. */
    void (*free)(struct sg_task *task);
};

/* The head of every far end; zeroed, but for `kind`, when it is adopted. */
struct sg_task {
    const struct sg_task_kind *kind;
    struct sg_loop *loop;
    struct sg_task *next, *previous; /* in the loop's table */
    struct sg_task *next_due;
    bool is_due;
    bool is_over;
    bool is_woken;      /* guarded by the lock of the loops */
    sg_deadline run_at; /* when to take a turn anyway */
};

/* ---- For anybody ------------------------------------------------------ */

/* Once, before anything else: prepares the engine for fork(). */
void sg_loop_init(void);

/* The loop of all proxy commands, kept running until sg_loop_adopt() or
 * sg_loop_release().  NULL and *error when no thread or descriptor can be
 * had.  Taking hold comes first, so that after a child is started nothing
 * can fail any more. */
struct sg_loop *sg_loop_hold(struct sg_error *error);

/* The same for a new loop, and its name, by which others can take hold of it
 * for as long as it runs: NULL when it has ended. */
struct sg_loop *sg_loop_hold_new(uint64_t *id, struct sg_error *error);
struct sg_loop *sg_loop_hold_by_id(uint64_t id);
void sg_loop_release(struct sg_loop *loop);

/* Hand a far end to the loop, and let go of the hold. */
void sg_loop_adopt(struct sg_loop *loop, struct sg_task *task);

/* The same for the first far end of a new loop, which is its context. */
void sg_loop_adopt_with(struct sg_loop *loop, struct sg_task *task,
                        void *context);

/* Let a far end take a turn.  Whoever calls makes sure that it has taken one
 * before, and that it isn't freed meanwhile. */
void sg_loop_wake(struct sg_task *task);

/* Stop all loops; far ends get until `by`.  For the program's exit: what is
 * not over then is abandoned. */
void sg_loop_stop_all(sg_deadline by);

/* How many loops run; for the tests. */
int sg_loop_count(void);

/* ---- For far ends, on the loop's thread ------------------------------- */

/* Wait for `wanted` on a watch (SG_NOTHING: leave).  Negative errno. */
int sg_loop_watch(struct sg_task *task, struct sg_watch *watch,
                  unsigned wanted);

/* Leave the poller and close the descriptor. */
void sg_loop_close(struct sg_task *task, struct sg_watch *watch);

/* Take a turn at `when` at the latest, if nothing happens before. */
void sg_loop_run_at(struct sg_task *task, sg_deadline when);

/* Take another turn after everybody else's. */
void sg_loop_run_again(struct sg_task *task);

/* All is done: out of the table and freed after this turn. */
void sg_loop_over(struct sg_task *task);

/* What the far ends of a loop share: the session, or NULL. */
void *sg_loop_context(struct sg_task *task);
void sg_loop_set_context(struct sg_task *task, void *context);

/* Memory to read into, shared by all far ends of the loop: nothing in it
 * lives longer than a turn.  (Eight full packets of a channel.) */
#define SG_SCRATCH_SIZE ((size_t)8 * 32700)
char *sg_loop_scratch(struct sg_task *task);

/* The same for the blocks of buffers. */
struct sg_pool *sg_loop_pool(struct sg_task *task);

#endif
