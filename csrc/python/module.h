/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What the files of the glue share: Python's header, and the module's state.
 */
#ifndef SG_PY_MODULE_H
#define SG_PY_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030D0000
#define PyLong_AsInt _PyLong_AsInt /* public since 3.13 */
#endif

typedef struct {
    PyTypeObject *stream_type;
    PyTypeObject *proxycommand_type;
    PyTypeObject *session_type;
    PyTypeObject *channel_type;
    PyObject *messages; /* sshgateway._messages */
    PyObject *command;  /* sshgateway._command_args */
    PyObject *channel;  /* sshgateway._channel_args */
    PyObject *socket;   /* the class socket.socket */
    PyObject *af_unix;  /* as enumerators, for family and type */
    PyObject *sock_stream;
} sg_state;

extern struct PyModuleDef sg_module;

/* The state of the module that defines the type of `self` or a base of it.
 */
sg_state *sg_state_of(PyObject *self);

#endif
