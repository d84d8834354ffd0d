/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.Session: one SSH connection to a gateway, step by step.
 *
 * Each method makes one step of the protocol.  sshgateway/gateway.py decides
 * on the steps: which host keys to accept, which authentication to try.
 */
#ifndef SG_PY_SESSION_H
#define SG_PY_SESSION_H

#include <stdint.h>

#include "python/module.h"

/* The type, which module.c makes. */
extern PyType_Spec sg_session_spec;

/* Return the id of the loop that runs `session`, for sg_channel_start().
 * Returns 0 with OSError(EBADF) if the session was not started, is closed, or
 * was started in the parent of this process. */
uint64_t sg_session_loop(PyObject *session);

#endif
