/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A stream's names, options, and what sort of socket it is.
 *
 * A relayed stream answers for its target; a socket that was handed over
 * (fdpass) answers for itself.
 */
#include "py_stream.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "py_error.h"

/* What a real socket on the same descriptor answers. */
static PyObject *
ask_socket(sg_stream *self, const char *attribute, bool is_method)
{
    PyObject *copy = sg_stream_as_socket(self);
    PyObject *result, *closed;

    if (copy == NULL) {
        return NULL;
    }
    result = is_method ? PyObject_CallMethod(copy, attribute, NULL)
                       : PyObject_GetAttrString(copy, attribute);
    closed = PyObject_CallMethod(copy, "close", NULL);
    Py_DECREF(copy);
    if (closed == NULL) {
        Py_CLEAR(result);
    }
    Py_XDECREF(closed);
    return result;
}

PyObject *
sg_stream_getpeername(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    sg_stream *self = (sg_stream *)op;

    if (sg_stream_use(self) < 0) {
        return NULL;
    }
    sg_stream_done(self);
    if (self->peername != NULL && self->peername != Py_None) {
        return Py_NewRef(self->peername);
    }
    if (!self->is_relayed) {
        return ask_socket(self, "getpeername", true);
    }
    return Py_BuildValue("si", "unknown", 0);
}

PyObject *
sg_stream_getsockname(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    sg_stream *self = (sg_stream *)op;

    if (sg_stream_use(self) < 0) {
        return NULL;
    }
    sg_stream_done(self);
    return self->is_relayed ? Py_BuildValue("si", "", 0)
                            : ask_socket(self, "getsockname", true);
}

/* There is no TCP on our side of the gateway, but http.client sets
 * TCP_NODELAY, and others read it back. */
static bool
is_only_stored(const sg_stream *self, int level)
{
    return self->is_relayed && level == IPPROTO_TCP;
}

static PyObject *
stored_option(sg_stream *self, int option)
{
    PyObject *key = PyLong_FromLong(option);
    PyObject *value = NULL;

    if (key != NULL && self->tcp_options != NULL) {
        value = PyDict_GetItemWithError(self->tcp_options, key);
    }
    Py_XDECREF(key);
    if (value == NULL && !PyErr_Occurred()) {
        return PyLong_FromLong(0);
    }
    return Py_XNewRef(value);
}

static PyObject *
store_option(sg_stream *self, int option, PyObject *value)
{
    PyObject *key = PyLong_FromLong(option);
    int err = -1;

    if (self->tcp_options == NULL) {
        self->tcp_options = PyDict_New();
    }
    if (key != NULL && self->tcp_options != NULL) {
        err = PyDict_SetItem(self->tcp_options, key, value);
    }
    Py_XDECREF(key);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
get_buffer_option(int fd, int level, int option, int size)
{
    PyObject *bytes;
    socklen_t len = (socklen_t)size;
    int err;

    if (size <= 0 || size > 1024) {
        PyErr_SetString(PyExc_OSError, "getsockopt buflen out of range");
        return NULL;
    }
    bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes == NULL) {
        return NULL;
    }
    err = sg_sys_getsockopt(fd, level, option, PyBytes_AS_STRING(bytes),
                            &len);
    if (err < 0) {
        Py_DECREF(bytes);
        return sg_raise_errno(-err);
    }
    _PyBytes_Resize(&bytes, (Py_ssize_t)len);
    return bytes;
}

PyObject *
sg_stream_getsockopt(PyObject *op, PyObject *args)
{
    sg_stream *self = (sg_stream *)op;
    int level, option, size = 0, value = 0, fd, err;
    socklen_t len = sizeof(value);
    PyObject *result;

    if (!PyArg_ParseTuple(args, "ii|i:getsockopt", &level, &option, &size)) {
        return NULL;
    }
    fd = sg_stream_use(self);
    if (fd < 0) {
        return NULL;
    }
    if (is_only_stored(self, level)) {
        result = stored_option(self, option);
    }
    else if (size != 0) {
        result = get_buffer_option(fd, level, option, size);
    }
    else {
        err = sg_sys_getsockopt(fd, level, option, &value, &len);
        result = err < 0 ? sg_raise_errno(-err) : PyLong_FromLong(value);
    }
    sg_stream_done(self);
    return result;
}

/* An int, bytes, or None with a length, in the three forms of
 * socket.setsockopt. */
static int
set_option(int fd, int level, int option, PyObject *value, Py_ssize_t len)
{
    Py_buffer buffer;
    int number, err;

    if (value == Py_None) {
        return sg_sys_setsockopt(fd, level, option, NULL, (socklen_t)len);
    }
    if (PyLong_Check(value)) {
        number = PyLong_AsInt(value);
        if (number == -1 && PyErr_Occurred()) {
            return -1;
        }
        return sg_sys_setsockopt(fd, level, option, &number, sizeof(number));
    }
    if (PyObject_GetBuffer(value, &buffer, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    err = sg_sys_setsockopt(fd, level, option, buffer.buf,
                            (socklen_t)buffer.len);
    PyBuffer_Release(&buffer);
    return err;
}

PyObject *
sg_stream_setsockopt(PyObject *op, PyObject *args)
{
    sg_stream *self = (sg_stream *)op;
    int level, option, fd, err;
    PyObject *value;
    Py_ssize_t len = -1;

    if (!PyArg_ParseTuple(args, "iiO|n:setsockopt", &level, &option, &value,
                          &len)) {
        return NULL;
    }
    if ((value == Py_None) != (len >= 0)) {
        PyErr_SetString(PyExc_TypeError,
                        "setsockopt() takes a length with None, and only "
                        "with None");
        return NULL;
    }
    fd = sg_stream_use(self);
    if (fd < 0) {
        return NULL;
    }
    if (is_only_stored(self, level)) {
        sg_stream_done(self);
        return store_option(self, option, value);
    }
    err = set_option(fd, level, option, value, len);
    sg_stream_done(self);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (err < 0) {
        return sg_raise_errno(-err);
    }
    Py_RETURN_NONE;
}


/* ---- Attributes ------------------------------------------------------- */

PyObject *
sg_stream_get_family(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;

    return self->is_relayed || self->fd < 0
               ? Py_NewRef(sg_state_of(op)->af_unix)
               : ask_socket(self, "family", false);
}

PyObject *
sg_stream_get_type(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;

    return self->is_relayed || self->fd < 0
               ? Py_NewRef(sg_state_of(op)->sock_stream)
               : ask_socket(self, "type", false);
}

PyObject *
sg_stream_get_proto(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;

    return self->is_relayed || self->fd < 0
               ? PyLong_FromLong(0)
               : ask_socket(self, "proto", false);
}
