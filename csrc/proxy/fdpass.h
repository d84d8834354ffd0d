/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A program that hands over a connected socket instead of carrying the bytes
 * (ssh_config's ProxyUseFdpass).
 *
 * The task lives until the socket is handed over and the child has ended.
 */
#ifndef SG_FDPASS_H
#define SG_FDPASS_H

#include "proxy/child.h"
#include "engine/reply.h"

/* Start the program of `options` and give the loop a task that waits for a
 * socket, which the program sends over its standard output by SCM_RIGHTS.
 * Runs on the caller's thread and returns as soon as the program runs.
 *
 *   linger  ns from the answer until the child gets SIGHUP, then SIGTERM,
 *           then SIGKILL, unless it has ended by itself
 *   shared  the task takes its own reference; it publishes the child's
 *           returncode and stderr there
 *   *reply  the answer to wait for.  Either the socket, or one of
 *           SG_ERR_PROXY_EXITED   the program ended, or closed its stdout
 *           SG_ERR_NOT_A_SOCKET   the descriptor is no stream socket
 *           SG_ERR_NO_DESCRIPTOR  the program wrote plain data
 *           SG_ERR_SYSTEM         a system call failed
 *           SG_ERR_INTERRUPTED    the loop is stopped
 *           The caller ends with sg_reply_drop(), also if it stops waiting.
 *   *pid    the child's process id
 *
 * Every descriptor in `options` stays the caller's.  On failure *reply is
 * NULL, and no child and no descriptor is left. */
enum sg_status sg_fdpass_start(const struct sg_child_options *options,
                               int64_t linger, struct sg_shared *shared,
                               struct sg_reply **reply, pid_t *pid,
                               struct sg_error *error);

#endif
