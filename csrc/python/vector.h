/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The buffers of recvmsg_into() and sendmsg(), as iovecs for a system call.
 *
 * Call every function with the GIL held.  While the buffers are held, their
 * memory stays in place, so a system call may use it without the GIL.
 */
#ifndef SG_PY_VECTOR_H
#define SG_PY_VECTOR_H

#include "python/module.h"

#include <stdbool.h>
#include <sys/uio.h>

struct sg_vector {
    PyObject *items;      /* the objects, in a tuple of our own */
    Py_buffer *buffers;   /* their buffers, of which `held` are acquired */
    struct iovec *iovecs; /* the same for recvmsg(2) and sendmsg(2) */
    Py_ssize_t held;
};

/* Acquire the buffers of the objects in `iterable`.  `writable` is true for
 * recvmsg_into().  `message` is the text of the TypeError for an argument that
 * is not iterable.  Returns 0, and the caller must call sg_vector_release().
 * Or returns -1 with an exception, and there is nothing to release. */
int sg_vector_hold(struct sg_vector *vector, PyObject *iterable, bool writable,
                   const char *message);

/* Release the buffers and the memory of the vector. */
void sg_vector_release(struct sg_vector *vector);

/* Return the number of bytes in all buffers together. */
size_t sg_vector_length(const struct sg_vector *vector);

#endif
