/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Points in time on the monotonic clock, in nanoseconds.
 *
 * A timeout is turned into a deadline once, at the start; every retry asks
 * how much is left, so that interruptions never lengthen a wait.
 */
#ifndef SG_DEADLINE_H
#define SG_DEADLINE_H

#include <limits.h>
#include <stdint.h>

#include "sys/sys.h"

typedef int64_t sg_deadline;

#define SG_NEVER INT64_MAX
#define SG_MSEC INT64_C(1000000)
#define SG_SEC INT64_C(1000000000)

/* `ns` from now; never, when `ns` is negative or too far away. */
static inline sg_deadline
sg_deadline_after(int64_t ns)
{
    int64_t now = sg_sys_now();

    return ns < 0 || ns > INT64_MAX - now ? SG_NEVER : now + ns;
}

static inline sg_deadline
sg_deadline_earlier(sg_deadline a, sg_deadline b)
{
    return a < b ? a : b;
}

/* What poll(2) takes: -1 for never, 0 when it has passed, else
 * milliseconds, rounded up so that a wait never ends too early. */
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
