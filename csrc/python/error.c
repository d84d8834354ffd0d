/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Failures as Python exceptions, and timeouts from Python; see error.h.
 */
#include "python/error.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "sys/deadline.h"

PyObject *
sg_raise_errno(int err)
{
    errno = err;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyObject *
sg_raise_closed(void)
{
    return sg_raise_errno(EBADF);
}

PyObject *
sg_raise_made(PyObject *messages, const char *function, const char *format,
              ...)
{
    PyObject *maker = NULL, *args, *error = NULL;
    va_list list;

    /* First, because it takes over the references of "N". */
    va_start(list, format);
    args = Py_VaBuildValue(format, list);
    va_end(list);
    if (args != NULL) {
        maker = PyObject_GetAttrString(messages, function);
    }
    if (maker != NULL) {
        error = PyObject_CallObject(maker, args);
    }
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    Py_XDECREF(maker);
    Py_XDECREF(args);
    Py_XDECREF(error);
    return NULL;
}

PyObject *
sg_text_from(void *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text),
                                "backslashreplace");
}

int
sg_check_signals(void *arg)
{
    PyThreadState **thread = arg;
    unsigned generation = sg_sys_generation();
    int result;

    PyEval_RestoreThread(*thread);
    result = PyErr_CheckSignals();
    if (result == 0 && generation != sg_sys_generation()) {
        sg_raise_closed(); /* a handler called fork(): this is the child */
        result = -1;
    }
    *thread = PyEval_SaveThread();
    return result;
}

/* Raise the exception of socket.settimeout() for a timeout that is too large.
 * Its message changes even between patch releases of CPython, so a socket is
 * made and raises it.  Returns -1. */
static int
raise_overflow(PyObject *seconds)
{
    PyObject *module = PyImport_ImportModule("socket");
    PyObject *sock = NULL, *result = NULL, *closed = NULL;
    PyObject *type, *value, *traceback;

    if (module != NULL) {
        sock = PyObject_CallMethod(module, "socket", NULL);
    }
    if (sock != NULL) {
        result = PyObject_CallMethod(sock, "settimeout", "(O)", seconds);
        PyErr_Fetch(&type, &value, &traceback);
        closed = PyObject_CallMethod(sock, "close", NULL);
        PyErr_Restore(type, value, traceback);
    }
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_OverflowError, "timeout is too large");
    }
    Py_XDECREF(module);
    Py_XDECREF(sock);
    Py_XDECREF(result);
    Py_XDECREF(closed);
    return -1;
}

int
sg_timeout_from(PyObject *seconds, int64_t *ns)
{
    if (seconds == Py_None) {
        *ns = -1;
        return 0;
    }
    if (PyFloat_Check(seconds)) {
        double value = PyFloat_AsDouble(seconds);

        if (isnan(value)) {
            PyErr_SetString(PyExc_ValueError,
                            "Invalid value NaN (not a number)");
            return -1;
        }
        value = value < 0 ? floor(value * 1e9) : ceil(value * 1e9);
        if (!(value >= -0x1p63 && value < 0x1p63)) {
            return raise_overflow(seconds);
        }
        *ns = (int64_t)value;
    }
    else {
        long long value = PyLong_AsLongLong(seconds);

        if (value == -1 && PyErr_Occurred()) {
            if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
                return -1;
            }
            PyErr_Clear();
            return raise_overflow(seconds);
        }
        if (value > INT64_MAX / SG_SEC || value < INT64_MIN / SG_SEC) {
            return raise_overflow(seconds);
        }
        *ns = value * SG_SEC;
    }
    if (*ns < 0) {
        PyErr_SetString(PyExc_ValueError, "Timeout value out of range");
        return -1;
    }
    return 0;
}
