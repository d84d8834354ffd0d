/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Deadlines: points in time on the monotonic clock, in nanoseconds.
 *
 * A function turns its timeout into a deadline once, when it starts, and asks
 * before each retry how much time is left.  An interruption therefore never
 * lengthens a wait.  All functions may be called on any thread.
 */
#ifndef SG_DEADLINE_H
#define SG_DEADLINE_H

#include <limits.h>
#include <stdint.h>

#include "sys/sys.h"

/* A value of sg_sys_now(), or SG_NEVER. */
typedef int64_t sg_deadline;

#define SG_NEVER INT64_MAX
#define SG_MSEC INT64_C(1000000)
#define SG_SEC INT64_C(1000000000)

/* Return the deadline that is `ns` nanoseconds from now.  Return SG_NEVER if
 * `ns` is negative or reaches past the end of the clock. */
static inline sg_deadline
sg_deadline_after(int64_t ns)
{
    int64_t now = sg_sys_now();

    return ns < 0 || ns > INT64_MAX - now ? SG_NEVER : now + ns;
}

/* Return the earlier of two deadlines. */
static inline sg_deadline
sg_deadline_earlier(sg_deadline a, sg_deadline b)
{
    return a < b ? a : b;
}

/* Return the timeout in milliseconds that poll(2) needs to wait until
 * `deadline`: -1 for SG_NEVER, 0 if the deadline has passed.  The number is
 * rounded up, so that a wait never ends too early. */
static inline int
sg_deadline_ms(sg_deadline deadline)
{
    int64_t left;

    if (deadline == SG_NEVER) {
        return -1;
    }
    left = deadline - sg_sys_now();
    if (left <= 0) {
        return 0;
    }
    left = (left + SG_MSEC - 1) / SG_MSEC;
    return left > INT_MAX ? INT_MAX : (int)left;
}

#endif
