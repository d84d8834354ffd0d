/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Small functions that the limited API lacks; see limited.h.
 */
#include "python/limited.h"

#include <limits.h>

PyObject *
sg_bytes_first(PyObject *bytes, Py_ssize_t n)
{
    PyObject *first;

    if (n == PyBytes_Size(bytes)) {
        return bytes;
    }
    first = PyBytes_FromStringAndSize(PyBytes_AsString(bytes), n);
    Py_DECREF(bytes);
    return first;
}

int
sg_int_from(PyObject *number)
{
    int overflow;
    long value = PyLong_AsLongAndOverflow(number, &overflow);

    if (overflow != 0 || value < INT_MIN || value > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError,
                        "Python int too large to convert to C int");
        return -1;
    }
    return (int)value;
}

PyObject *
sg_type_name(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject *module = PyObject_GetAttrString((PyObject *)type, "__module__");
    PyObject *name = PyType_GetQualName(type);
    PyObject *full = NULL;

    if (module != NULL && name != NULL) {
        full = PyUnicode_FromFormat("%S.%U", module, name);
    }
    Py_XDECREF(module);
    Py_XDECREF(name);
    return full;
}

int
sg_audit(const char *event, PyObject *argument)
{
    PyObject *audit = PySys_GetObject("audit"); /* borrowed */
    PyObject *result;

    if (audit == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "lost sys.audit");
        return -1;
    }
    result = PyObject_CallFunction(audit, "sO", event, argument);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}
