/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A stream's addresses, socket options, family, type and protocol.
 *
 * A relayed stream (see `is_relayed` in stream.h) gives the address of its
 * target and only stores TCP options.  A socket that a program handed over
 * (fdpass) is asked itself.
 */
#include "python/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "python/error.h"
#include "python/limited.h"

/* Return an attribute of a socket.socket on the same descriptor, or the result
 * of a method without arguments, or NULL with an exception. */
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

/* The largest value of an option in bytes, as in socket.getsockopt. */
#define MAX_OPTION 1024

/* True for an option that the kernel does not see.  The near end of a relayed
 * stream has no TCP connection, but http.client sets TCP_NODELAY, and other
 * programs read it back. */
static bool
is_only_stored(const sg_stream *self, int level)
{
    return self->is_relayed && level == IPPROTO_TCP;
}

/* Return a borrowed reference to the bytes that were stored.  NULL without an
 * exception means that none were. */
static PyObject *
stored_option(const sg_stream *self, int name)
{
    PyObject *key = PyLong_FromLong(name);
    PyObject *value = NULL;

    if (key != NULL && self->tcp_options != NULL) {
        value = PyDict_GetItemWithError(self->tcp_options, key);
    }
    Py_XDECREF(key);
    return value;
}

/* Return the stored value as getsockopt(2) would: an int if `size` is 0, else
 * up to `size` bytes. */
static PyObject *
get_stored_option(const sg_stream *self, int name, int size)
{
    PyObject *value = stored_option(self, name);
    Py_ssize_t len = value != NULL ? PyBytes_Size(value) : 0;
    char bytes[MAX_OPTION] = {0};

    if (PyErr_Occurred()) {
        return NULL;
    }
    if (value != NULL) {
        memcpy(bytes, PyBytes_AsString(value), (size_t)len);
    }
    if (size == 0) {
        int number;

        memcpy(&number, bytes, sizeof(number));
        return PyLong_FromLong(number);
    }
    len = len > (Py_ssize_t)sizeof(int) ? len : (Py_ssize_t)sizeof(int);
    return PyBytes_FromStringAndSize(bytes, size < len ? size : len);
}

static PyObject *
store_option(sg_stream *self, int name, const void *data, Py_ssize_t len)
{
    PyObject *key = PyLong_FromLong(name);
    PyObject *value = PyBytes_FromStringAndSize(data, len);
    int err = -1;

    if (self->tcp_options == NULL) {
        self->tcp_options = PyDict_New();
    }
    if (key != NULL && value != NULL && self->tcp_options != NULL) {
        err = PyDict_SetItem(self->tcp_options, key, value);
    }
    Py_XDECREF(key);
    Py_XDECREF(value);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Return up to `size` bytes of an option that the kernel knows. */
static PyObject *
get_buffer_option(int fd, int level, int option, int size)
{
    PyObject *bytes;
    socklen_t len = (socklen_t)size;
    int err;

    bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes == NULL) {
        return NULL;
    }
    err = sg_sys_getsockopt(fd, level, option, PyBytes_AsString(bytes), &len);
    if (err < 0) {
        Py_DECREF(bytes);
        return sg_raise_errno(-err);
    }
    return sg_bytes_first(bytes, (Py_ssize_t)len);
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
    if (size < 0 || size > MAX_OPTION) {
        PyErr_SetString(PyExc_OSError, "getsockopt buflen out of range");
        result = NULL;
    }
    else if (is_only_stored(self, level)) {
        result = get_stored_option(self, option, size);
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

/* The arguments of setsockopt(). */
struct option {
    int level;
    int name;
    int number;       /* the value if it is an int */
    Py_buffer buffer; /* the value if it is bytes-like; else obj is NULL */
    const void *data; /* the value for setsockopt(2); NULL for None */
    unsigned int len; /* its size in bytes */
};

/* Parse the value as an int, as None with a length, or as bytes.  They are
 * tried in this order, and a mismatch raises the exception of the last, as in
 * socket.setsockopt.  Returns 0, or -1 with an exception. */
static int
read_option(struct option *option, PyObject *args)
{
    PyObject *none;

    *option = (struct option){.data = &option->number,
                              .len = sizeof(option->number)};
    if (PyArg_ParseTuple(args, "iii:setsockopt", &option->level, &option->name,
                         &option->number)) {
        return 0;
    }
    PyErr_Clear();
    if (PyArg_ParseTuple(args, "iiO!I:setsockopt", &option->level,
                         &option->name, Py_TYPE(Py_None), &none,
                         &option->len)) {
        option->data = NULL;
        return 0;
    }
    PyErr_Clear();
    if (!PyArg_ParseTuple(args, "iiy*:setsockopt", &option->level,
                          &option->name, &option->buffer)) {
        return -1;
    }
    option->data = option->buffer.buf;
    option->len = (unsigned int)option->buffer.len;
    return 0;
}

PyObject *
sg_stream_setsockopt(PyObject *op, PyObject *args)
{
    sg_stream *self = (sg_stream *)op;
    struct option option;
    PyObject *result = NULL;
    int fd, err;

    if (read_option(&option, args) < 0) {
        return NULL;
    }
    fd = sg_stream_use(self);
    if (fd < 0) {
        goto out;
    }
    if (!is_only_stored(self, option.level)) {
        sg_stream_end_loan(self);
        err = sg_sys_setsockopt(fd, option.level, option.name, option.data,
                                option.len);
        result = err < 0 ? sg_raise_errno(-err) : Py_NewRef(Py_None);
    }
    else if (option.data == NULL || option.len > MAX_OPTION) {
        result = sg_raise_errno(EINVAL);
    }
    else {
        result = store_option(self, option.name, option.data, option.len);
    }
    sg_stream_done(self);
out:
    if (option.buffer.obj != NULL) {
        PyBuffer_Release(&option.buffer);
    }
    return result;
}

/* ---- Attributes ------------------------------------------------------- */

PyObject *
sg_stream_get_family(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;

    return self->is_relayed || self->fd < 0
               ? Py_NewRef(self->state->af_unix)
               : ask_socket(self, "family", false);
}

PyObject *
sg_stream_get_type(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;

    return self->is_relayed || self->fd < 0
               ? Py_NewRef(self->state->sock_stream)
               : ask_socket(self, "type", false);
}

PyObject *
sg_stream_get_proto(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;

    return self->is_relayed || self->fd < 0 ? PyLong_FromLong(0)
                                            : ask_socket(self, "proto", false);
}
