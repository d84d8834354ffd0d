/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The far end that is a child's pipes: a ProxyCommand.
 */
#ifndef SG_PROXY_H
#define SG_PROXY_H

#include "proxy/child.h"

/* Start the program and hand its pipes to the loop.  `linger`: nanoseconds
 * without progress after the caller's close before it is signalled.  *stream is the caller's
 * end of the socketpair, *pid the child's; the report, of which the loop
 * takes its own reference, will tell the rest.
 *
 * Returns when the program runs, without waiting for anything it does.  On
 * failure nothing is left behind.  The child ends after *stream is closed. */
enum sg_status sg_proxy_start(const struct sg_child_options *options,
                              int64_t linger, struct sg_shared *shared,
                              int *stream, pid_t *pid, struct sg_error *error);

#endif
