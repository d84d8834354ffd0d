/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The far end that only lasts until its child has handed over a socket.
 */
#ifndef SG_FDPASS_H
#define SG_FDPASS_H

#include "proxy/child.h"
#include "engine/reply.h"

/* Start a program that connects a socket and hands it over on its standard
 * output, by SCM_RIGHTS, instead of carrying bytes (ssh_config's
 * ProxyUseFdpass).  *request will be answered with the socket, or with
 * SG_ERR_PROXY_EXITED, SG_ERR_NOT_A_SOCKET, SG_ERR_NO_DESCRIPTOR.  The child
 * is expected to end then, and made to when it has not after `linger` ns. */
enum sg_status sg_fdpass_start(const struct sg_child_options *options,
                               int64_t linger, struct sg_shared *shared,
                               struct sg_reply **reply, pid_t *pid,
                               struct sg_error *error);

#endif
