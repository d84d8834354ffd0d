/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The buffers of recvmsg_into() and sendmsg(); see vector.h.
 */
#include "python/vector.h"

#include <errno.h>
#include <limits.h>

#include "python/error.h"

void
sg_vector_release(struct sg_vector *vector)
{
    while (vector->held > 0) {
        PyBuffer_Release(&vector->buffers[--vector->held]);
    }
    PyMem_Free(vector->buffers);
    PyMem_Free(vector->iovecs);
    Py_CLEAR(vector->items);
}

int
sg_vector_hold(struct sg_vector *vector, PyObject *iterable, bool writable,
               const char *message)
{
    PyObject *items = PySequence_Fast(iterable, message);
    Py_ssize_t n;

    *vector = (struct sg_vector){0};
    if (items == NULL) {
        return -1;
    }
    /* Since Python 3.12 a class can have __buffer__(), which may change the
     * caller's list. */
    vector->items = PySequence_Tuple(items);
    Py_DECREF(items);
    if (vector->items == NULL) {
        return -1;
    }
    n = PyTuple_Size(vector->items);
    if (n > IOV_MAX) {
        sg_raise_errno(EMSGSIZE); /* the errno of sendmsg(2) */
        goto fail;
    }
    vector->buffers = PyMem_New(Py_buffer, (size_t)n);
    vector->iovecs = PyMem_New(struct iovec, (size_t)n);
    if (vector->buffers == NULL || vector->iovecs == NULL) {
        PyErr_NoMemory();
        goto fail;
    }
    for (; vector->held < n; vector->held++) {
        Py_buffer *buffer = &vector->buffers[vector->held];
        PyObject *item = PyTuple_GetItem(vector->items, vector->held);

        if (!PyArg_Parse(item,
                         writable ? "w*;recvmsg_into() argument 1 must be an "
                                    "iterable of single-segment read-write "
                                    "buffers"
                                  : "y*;sendmsg() argument 1 must be an "
                                    "iterable of bytes-like objects",
                         buffer)) {
            goto fail;
        }
        vector->iovecs[vector->held] = (struct iovec){
            .iov_base = buffer->buf, .iov_len = (size_t)buffer->len};
    }
    return 0;
fail:
    sg_vector_release(vector);
    return -1;
}

size_t
sg_vector_length(const struct sg_vector *vector)
{
    size_t n = 0;

    for (Py_ssize_t i = 0; i < vector->held; i++) {
        n += vector->iovecs[i].iov_len;
    }
    return n;
}
