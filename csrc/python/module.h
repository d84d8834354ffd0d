/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The base of every file in csrc/python: Python.h and the module's state.
 *
 * The state belongs to the module object, so that no PyObject is static.
 */
#ifndef SG_PY_MODULE_H
#define SG_PY_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    PyTypeObject *stream_type;
    PyTypeObject *proxycommand_type;
    PyTypeObject *session_type;
    PyTypeObject *channel_type;
    PyObject *messages;    /* the module sshgateway._messages */
    PyObject *command;     /* the module sshgateway._command_args */
    PyObject *channel;     /* the module sshgateway._channel_args */
    PyObject *socket;      /* the class socket.socket */
    PyObject *af_unix;     /* socket.AF_UNIX */
    PyObject *sock_stream; /* socket.SOCK_STREAM */
} sg_state;

extern struct PyModuleDef sg_module;

/* Return the state of the module that made `type` or a base of it, or NULL
 * with an exception.  No exception may be set. */
sg_state *sg_state_of(PyTypeObject *type);

#endif
