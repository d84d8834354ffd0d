/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A test's hook into the engine's system calls: to count them, to make them
 * fail, or to hold up a thread in one.
 *
 * The engine asks sg_sys_fault_hook before each system call that has a fault
 * name.  hook_install() makes that the function here, which asks active_hook.
 */
#ifndef SG_TEST_HOOK_H
#define SG_TEST_HOOK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The hook of the running case, or NULL.  It gets the call's fault name and
 * returns what sg_sys_fault_hook returns: 0, or the negative errno to fail
 * with.  It is called on every thread, and may be set while loops run. */
extern int (*_Atomic active_hook)(const char *call);

/* Make the engine ask active_hook.  Called once, before any loop runs.  Under
 * valgrind, which knows no pidfd, "pidfd" then fails with ENOSYS. */
void hook_install(void);

/* ---- Counting --------------------------------------------------------- */

/* System calls counted by count_call(); a test may set it to 0. */
extern atomic_int calls_made;

/* A hook that counts every call in calls_made and lets each succeed. */
int count_call(const char *call);

/* Check that the engine is idle: that within 200 ms this process makes at most
 * 10 system calls and uses at most 50 ms of processor time.  Whatever happened
 * before may take ATTEMPTS such periods to settle.  A loop that spins makes
 * thousands of calls.  Replaces active_hook and leaves none. */
void expect_quiet(void);

/* ---- A gate ----------------------------------------------------------- */

/* One gate for a thread of the engine.  A test closes it with gate_set(false),
 * makes a hook call gate_pass(), waits with gate_wait() until a thread stands
 * before the gate, and opens it with gate_set(true). */

/* Open or close the gate, and forget that a thread has reached it. */
void gate_set(bool is_open);

/* Wait until the gate is open; called in a hook. */
void gate_pass(void);

/* Wait until a thread has called gate_pass(). */
void gate_wait(void);

#endif
