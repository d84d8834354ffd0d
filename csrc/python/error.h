/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Engine errors as Python exceptions.
 */
#ifndef SG_PY_ERROR_H
#define SG_PY_ERROR_H

#include "python/module.h"
#include "sys/status.h"

/* OSError(errno, strerror), the standard subclass of it.  NULL. */
PyObject *sg_raise_errno(int err);

/* OSError(EBADF, "Bad file descriptor").  NULL. */
PyObject *sg_raise_closed(void);

/* What sshgateway._messages.<function>(...) returns, raised.  The arguments
 * are those of PyObject_CallMethod.  NULL. */
PyObject *sg_raise_made(PyObject *messages, const char *function,
                        const char *format, ...);

/* For waits of the engine that run without the GIL: `arg` is where the saved
 * PyThreadState * is kept.  Runs signal handlers; not 0 when one raised. */
int sg_check_signals(void *arg);

/* Seconds, or None, as nanoseconds (-1: None), with the exceptions of
 * socket.settimeout. */
int sg_timeout_from(PyObject *seconds, int64_t *ns);

#endif
