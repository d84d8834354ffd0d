/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Helpers that the files of csrc/sys share; no other folder includes this
 * header.
 */
#ifndef SG_SYS_INTERNAL_H
#define SG_SYS_INTERNAL_H

#include <errno.h>

#include "sys/sys.h"

/* Return the fault that a test has ordered for the system call named `call`:
 * a negative errno, or 0 for none.  Always 0 unless built with SG_FAULTS. */
static inline int
fault(const char *call)
{
#ifdef SG_FAULTS
    return sg_sys_fault_hook != NULL ? sg_sys_fault_hook(call) : 0;
#else
    (void)call;
    return 0;
#endif
}

/* Return how many of `n` bytes a call may transfer: 1 if a test has ordered
 * the fault `name` (a short read or write), else `n`. */
static inline size_t
shortened(const char *name, size_t n)
{
    return n > 1 && fault(name) != 0 ? 1 : n;
}

/* Turn a system call's result into ours: `result` if it is not negative, else
 * the negative errno. */
static inline ssize_t
or_errno(ssize_t result)
{
    return result < 0 ? -errno : result;
}

/* Lock and unlock the set of owned descriptors.  The lock is held while a
 * descriptor is created and added to the set, so that no fork() happens
 * between the two. */
void sg_sys_lock(void);
void sg_sys_unlock(void);

/* True while this thread is inside sg_sys_spawn().  Where that function calls
 * fork(), the fork handlers run in the child, and they must leave our
 * descriptors open because the child needs them until exec.  (The thread
 * sanitizer turns vfork(2) into fork() as well.) */
extern _Thread_local bool sg_sys_spawning;

/* Take over `fd`, the result of a system call that created a descriptor: make
 * it close-on-exec, move it above the standard streams, and add it to the
 * owned set.  The caller holds sg_sys_lock().  Return the descriptor, whose
 * number may differ from `fd`, or a negative errno after closing it.  If `fd`
 * is negative, return -errno: the system call has failed. */
int sg_sys_keep_locked(int fd);

#endif
