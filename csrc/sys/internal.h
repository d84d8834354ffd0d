/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What the sys*.c share; nobody else includes it.
 */
#ifndef SG_SYS_INTERNAL_H
#define SG_SYS_INTERNAL_H

#include <errno.h>

#include "sys/sys.h"

/* The fault that a test wants this call to have: a negative errno, or 0. */
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

/* How many of its `n` bytes that test lets the call have: one, or all. */
static inline size_t
shortened(const char *name, size_t n)
{
    return n > 1 && fault(name) != 0 ? 1 : n;
}

/* A system call's own answer, as sys.h gives it. */
static inline ssize_t
answer(ssize_t result)
{
    return result < 0 ? -errno : result;
}

/* Held while a descriptor is made and remembered, so that no fork() finds
 * one that is made and not remembered. */
void sg_sys_lock(void);
void sg_sys_unlock(void);

/* This thread is in sg_sys_spawn(): where that is a fork(), and with the
 * thread sanitizer vfork(2) is one, the child still needs our descriptors. */
extern _Thread_local bool sg_sys_spawning;

/* Make a new descriptor close-on-exec, above the standard streams, and
 * remembered.  Returns it, perhaps with another number, or a negative errno
 * after closing it.  A negative `fd` is a failed call: errno is returned. */
int sg_sys_keep_locked(int fd);

#endif
