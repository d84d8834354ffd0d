/* SPDX-License-Identifier: BSD-2-Clause
 *
 * sendfile() and makefile(): a stream and file objects; see stream.h.
 *
 * Both work on any file object and run with the GIL held; only the sends
 * release it.
 */
#include "python/stream.h"

#include <limits.h>

/* ---- sendfile --------------------------------------------------------- */

#define FILE_BLOCK 65536 /* bytes read from the file at a time */

/* Check the arguments as socket.sendfile does, with the same messages.
 * Returns 0, or -1 with an exception. */
static int
check_file(sg_stream *self, PyObject *file, PyObject *count)
{
    PyObject *mode = PyObject_GetAttrString(file, "mode");
    bool is_binary = true;

    if (mode == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear(); /* socket takes a file without a mode as binary */
    }
    else if (PyUnicode_Check(mode)) {
        is_binary = PyUnicode_FindChar(mode, 'b', 0, PyUnicode_GetLength(mode),
                                       1)
                    >= 0;
    }
    Py_XDECREF(mode);
    if (!is_binary) {
        PyErr_SetString(PyExc_ValueError,
                        "file should be opened in binary mode");
        return -1;
    }
    if (count != Py_None && !PyLong_Check(count)) {
        PyErr_Format(PyExc_TypeError,
                     "count must be a positive integer (got %R)", count);
        return -1;
    }
    if (count != Py_None && PyLong_AsLongLong(count) <= 0) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError,
                         "count must be a positive integer (got %R)", count);
        }
        return -1;
    }
    if (self->timeout == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "non-blocking sockets are not supported");
        return -1;
    }
    return 0;
}

/* Send the next block of the file, up to `left` bytes.  Each send may take
 * `timeout` (as in struct sg_stream).  Returns the number of bytes sent, 0 at
 * the end of the file, or -1 with an exception.  *total grows by the number of
 * bytes sent, even if -1 is returned. */
static Py_ssize_t
send_block(sg_stream *self, PyObject *file, long long left, int64_t timeout,
           long long *total)
{
    PyObject *block = PyObject_CallMethod(
        file, "read", "L", left < FILE_BLOCK ? left : FILE_BLOCK);
    Py_buffer buffer;
    Py_ssize_t sent = 0;

    if (block == NULL) {
        return -1;
    }
    if (PyObject_GetBuffer(block, &buffer, PyBUF_SIMPLE) < 0) {
        Py_DECREF(block);
        return -1;
    }
    while (sent < buffer.len) {
        ssize_t n = sg_stream_send_some(self, (char *)buffer.buf + sent,
                                        (size_t)(buffer.len - sent), 0,
                                        sg_limit_from(timeout));

        if (n < 0) {
            sent = -1;
            break;
        }
        sent += n;
        *total += n;
    }
    PyBuffer_Release(&buffer);
    Py_DECREF(block);
    return sent;
}

/* Move the file to `position` (bytes) if it can seek.  `keep_error`: an
 * exception is set; keep it and ignore a failure to seek.  Returns 0, or -1
 * with an exception. */
static int
seek_to(PyObject *file, long long position, bool keep_error)
{
    PyObject *type, *value, *traceback, *result;

    PyErr_Fetch(&type, &value, &traceback);
    result = PyObject_HasAttrString(file, "seek")
                 ? PyObject_CallMethod(file, "seek", "L", position)
                 : Py_NewRef(Py_None);
    if (keep_error) {
        PyErr_Clear();
        PyErr_Restore(type, value, traceback);
    }
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

PyObject *
sg_stream_sendfile(PyObject *op, PyObject *args, PyObject *kwds)
{
    static const char *keywords[] = {"file", "offset", "count", NULL};
    sg_stream *self = (sg_stream *)op;
    PyObject *file, *count = Py_None;
    long long offset = 0, size, total = 0;
    int64_t timeout = self->timeout; /* read once, as socket.sendfile does */
    Py_ssize_t n;

    if (!PyArg_ParseTupleAndKeywords(args, kwds, "O|LO:sendfile",
                                     (char **)keywords, &file, &offset, &count)
        || check_file(self, file, count) < 0) {
        return NULL;
    }
    size = count == Py_None ? LLONG_MAX : PyLong_AsLongLong(count);
    if (offset != 0 && seek_to(file, offset, false) < 0) {
        return NULL;
    }
    do {
        n = send_block(self, file, size - total, timeout, &total);
    } while (n > 0 && total < size);
    if (total > 0 && seek_to(file, offset + total, n < 0) < 0) {
        return NULL;
    }
    return n < 0 ? NULL : PyLong_FromLongLong(total);
}

/* ---- makefile --------------------------------------------------------- */

/* Run socket.makefile itself, so that its files behave exactly as those of a
 * socket.  It is written in Python, and from `self` it uses only recv_into,
 * send, _io_refs and _decref_socketios, which a stream has. */
PyObject *
sg_stream_makefile(PyObject *op, PyObject *args, PyObject *kwds)
{
    sg_stream *self = (sg_stream *)op;
    PyObject *function = PyObject_GetAttrString(self->state->socket,
                                                "makefile");
    PyObject *first = PyTuple_Pack(1, op);
    PyObject *all = NULL, *file = NULL;

    if (function != NULL && first != NULL) {
        all = PySequence_Concat(first, args);
    }
    if (all != NULL) {
        file = PyObject_Call(function, all, kwds);
    }
    Py_XDECREF(function);
    Py_XDECREF(first);
    Py_XDECREF(all);
    return file;
}
