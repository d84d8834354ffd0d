/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Small functions that the limited API of Python 3.11 lacks.
 *
 * csrc/python uses only the limited API, so that one build of the extension
 * works on Python 3.11 and all later versions (PEP 384).
 */
#ifndef SG_PY_LIMITED_H
#define SG_PY_LIMITED_H

#include "python/module.h"

/* Return `bytes` with only its first `n` bytes.  Takes over the reference to
 * `bytes`, which nothing else may refer to.  Returns a new reference, or NULL
 * with an exception.  Copies unless `n` is the whole length. */
PyObject *sg_bytes_first(PyObject *bytes, Py_ssize_t n);

/* Return the value of a Python int.  Returns -1 with an exception if `number`
 * has no value that an int can hold; -1 without one is the value -1. */
int sg_int_from(PyObject *number);

/* Return the name of the type of `op` with its module, for messages, or NULL
 * with an exception. */
PyObject *sg_type_name(PyObject *op);

/* Raise an auditing event with one argument.  Returns 0, or -1 with the
 * exception of a hook. */
int sg_audit(const char *event, PyObject *argument);

#endif
