/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A stream whose far side is the pipes of a child process: a ProxyCommand.
 */
#ifndef SG_PROXY_H
#define SG_PROXY_H

#include "proxy/child.h"

/* Start the program of `options` and give its pipes to the loop.  Runs on the
 * caller's thread and returns as soon as the program runs, without waiting
 * for any output of it.
 *
 *   linger   ns without progress, after the caller has closed *stream, until
 *            the child is signalled with SIGHUP, then SIGTERM, then SIGKILL
 *   shared   the task takes its own reference; it publishes the returncode,
 *            the stderr and the failures there
 *   *stream  the caller's end of the socketpair; the caller closes it, and
 *            the child ends after that
 *   *pid     the child's process id
 *
 * Every descriptor in `options` stays the caller's.  If options->lends, the
 * caller's thread may use the pipes directly by the functions of loan.h.
 * Returns SG_OK; on failure no child and no descriptor is left. */
enum sg_status sg_proxy_start(const struct sg_child_options *options,
                              int64_t linger, struct sg_shared *shared,
                              int *stream, pid_t *pid, struct sg_error *error);

#endif
