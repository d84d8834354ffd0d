/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Failures as Python exceptions, and timeouts from Python.
 *
 * Call every function with the GIL held, except sg_check_signals().
 */
#ifndef SG_PY_ERROR_H
#define SG_PY_ERROR_H

#include "python/module.h"
#include "sys/status.h"

/* Raise OSError(err, strerror(err)), or rather the standard subclass for
 * `err`, such as BrokenPipeError.  Returns NULL. */
PyObject *sg_raise_errno(int err);

/* Raise OSError(EBADF, "Bad file descriptor"), as a closed socket does.
 * Returns NULL. */
PyObject *sg_raise_closed(void);

/* Raise the exception that _messages.<function>(...) returns, or the exception
 * that this call raises.  `messages` is the module sshgateway._messages;
 * `format` and the arguments are those of PyObject_CallMethod() and must make
 * a tuple.  Returns NULL. */
PyObject *sg_raise_made(PyObject *messages, const char *function,
                        const char *format, ...);

/* Return a text that a server may have written as a new str, or NULL with an
 * exception.  `text` is a char *.  It ends with a NUL, and bytes that are not
 * UTF-8 become backslash escapes.  The signature is that of the converter for
 * "O&" in Py_BuildValue(). */
PyObject *sg_text_from(void *text);

/* Run the signal handlers of Python in the middle of a wait of the engine
 * (the callback of sg_reply_wait() and struct sg_wait).  Call it without the
 * GIL; it takes the GIL while the handlers run.  `arg` points to the
 * PyThreadState * that PyEval_SaveThread() returned, and is updated.  Returns
 * 0, or -1 with an exception if a handler raised one, or if a handler called
 * fork() and this is the child. */
int sg_check_signals(void *arg);

/* Convert a timeout: `seconds` is an int, a float or None; *ns becomes
 * nanoseconds, or -1 for None.  Returns 0, or -1 with the exception that
 * socket.settimeout() raises for the same value. */
int sg_timeout_from(PyObject *seconds, int64_t *ns);

#endif
