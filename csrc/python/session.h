/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.Session: one SSH connection to a gateway, step by step.
 *
 * It knows how, sshgateway/gateway.py decides what: which host keys to
 * accept, which methods of authentication to try.
 */
#ifndef SG_PY_SESSION_H
#define SG_PY_SESSION_H

#include <stdint.h>

#include "python/module.h"

extern PyType_Spec sg_session_spec;

/* The name of the loop that carries it, or 0 with an exception when it was
 * not started, or closed, or started in the parent of this process. */
uint64_t sg_session_loop(PyObject *session);

#endif
