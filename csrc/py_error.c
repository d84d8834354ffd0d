/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Engine errors as Python exceptions; see py_error.h.
 */
#include "py_error.h"

#include <math.h>

#include "deadline.h"

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
sg_raise_made(PyObject *errors, const char *function, const char *format, ...)
{
    PyObject *maker = PyObject_GetAttrString(errors, function);
    PyObject *args = NULL, *error = NULL;
    va_list list;

    if (maker != NULL) {
        va_start(list, format);
        args = Py_VaBuildValue(format, list);
        va_end(list);
    }
    if (args != NULL) {
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

int
sg_check_signals(void *arg)
{
    PyThreadState **thread = arg;
    int result;

    PyEval_RestoreThread(*thread);
    result = PyErr_CheckSignals();
    *thread = PyEval_SaveThread();
    return result;
}

/* The words of CPython's pytime.c, which differ from version to version. */
#if PY_VERSION_HEX < 0x030D0000
#define TOO_LARGE "timestamp too large to convert to C _PyTime_t"
#else
#define TOO_LARGE "timestamp too large to convert to C PyTime_t"
#endif
#define OUT_OF_RANGE "timestamp out of range for platform time_t"

static int
overflow(const char *text)
{
    PyErr_SetString(PyExc_OverflowError, text);
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
        double value = PyFloat_AS_DOUBLE(seconds);

        if (isnan(value)) {
            PyErr_SetString(PyExc_ValueError,
                            "Invalid value NaN (not a number)");
            return -1;
        }
        value = value < 0 ? floor(value * 1e9) : ceil(value * 1e9);
        if (!(value >= -0x1p63 && value < 0x1p63)) {
            return overflow(OUT_OF_RANGE);
        }
        *ns = (int64_t)value;
    }
    else {
        long long value = PyLong_AsLongLong(seconds);

        if (value == -1 && PyErr_Occurred()) {
            return PyErr_ExceptionMatches(PyExc_OverflowError)
                       ? overflow(TOO_LARGE)
                       : -1;
        }
        if (value > INT64_MAX / SG_SEC || value < INT64_MIN / SG_SEC) {
            return overflow(TOO_LARGE);
        }
        *ns = value * SG_SEC;
    }
    if (*ns < 0) {
        PyErr_SetString(PyExc_ValueError, "Timeout value out of range");
        return -1;
    }
    return 0;
}
