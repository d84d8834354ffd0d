/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.Stream: the socket methods, once, for every kind of stream.
 *
 * py_stream.c has the object's life and its attributes, py_stream_io.c the
 * data path, py_stream_file.c sendfile and makefile.  A kind is a subtype that fills in `kind` and the descriptor.
 */
#ifndef SG_PY_STREAM_H
#define SG_PY_STREAM_H

#include "python/module.h"
#include "sys/deadline.h"
#include "engine/shared.h"

typedef struct sg_stream sg_stream;

struct sg_stream_kind {
    /* Why the far end is gone: with `err` (ECONNRESET from a recv, EPIPE
     * from a send) an exception is set and true returned; false when it
     * ended in peace or nothing is known. */
    bool (*explain)(sg_stream *self, int err);
};

struct sg_stream {
    PyObject_HEAD
    const struct sg_stream_kind *kind;
    int fd;              /* -1: closed, detached, or never open */
    int abandoned_fd;    /* closed while calls were using it: the last of
                            them closes it */
    int users;           /* calls that use the descriptor without the GIL */
    unsigned generation; /* sg_sys_generation() of the process it lives in */
    bool is_relayed;     /* one end of a socketpair; else a real socket */
    bool is_lent;        /* perhaps: what is sent and received goes by way of
                            the report's loan */
    bool is_closed;      /* close() was called, or detach() */
    bool is_copied;      /* dup() was called: a shutdown would reach it */
    bool is_shut;        /* shutdown() ended our receiving */
    bool was_told;       /* the end of the stream has been seen */
    int io_refs;         /* file objects of makefile() */
    int64_t timeout;     /* nanoseconds, -1: none */
    unsigned long long bytes_sent;
    unsigned long long bytes_received;
    struct sg_shared *shared;
    PyObject *peername;
    PyObject *tcp_options; /* a dict, made when the first one is set */
    PyObject *weakrefs;
};

extern PyType_Spec sg_stream_spec;

/* Take over an open descriptor. */
int sg_stream_open(sg_stream *self, int fd, bool is_relayed);

/* For the calls: get the descriptor, which stays open until sg_stream_done,
 * or -1 with the exception of a closed socket. */
int sg_stream_use(sg_stream *self);
void sg_stream_done(sg_stream *self);

/* Before the descriptor is used for anything but a plain send or receive:
 * from now on the loop does the work. */
void sg_stream_end_loan(sg_stream *self);

/* Do we live in the child of the process that opened it? */
bool sg_stream_is_forked(const sg_stream *self);

/* Parts of the type that subtypes share; they take this tp_new. */
PyObject *sg_stream_new(PyTypeObject *type, PyObject *args, PyObject *kwds);
int sg_stream_traverse(PyObject *op, visitproc visit, void *arg);
int sg_stream_clear(PyObject *op);
void sg_stream_finalize(PyObject *op);
void sg_stream_free(PyObject *op); /* the end of tp_dealloc */

/* socket.socket(fileno=<a copy>), which finds out what it is. */
PyObject *sg_stream_as_socket(sg_stream *self);

/* When a call that starts now runs out of time. */
sg_deadline sg_stream_deadline(const sg_stream *self);

/* One send: how much went out, or -1 with an exception. */
ssize_t sg_stream_send_some(sg_stream *self, const void *from, size_t n,
                            int flags, sg_deadline deadline);

/* Methods that stand in other files than the type. */
PyObject *sg_stream_recv(PyObject *op, PyObject *args);
PyObject *sg_stream_recv_into(PyObject *op, PyObject *args, PyObject *kwds);
PyObject *sg_stream_recvfrom(PyObject *op, PyObject *args);
PyObject *sg_stream_recvfrom_into(PyObject *op, PyObject *args,
                                  PyObject *kwds);
PyObject *sg_stream_recvmsg(PyObject *op, PyObject *args);
PyObject *sg_stream_recvmsg_into(PyObject *op, PyObject *args);
PyObject *sg_stream_send(PyObject *op, PyObject *args);
PyObject *sg_stream_sendall(PyObject *op, PyObject *args);
PyObject *sg_stream_sendmsg(PyObject *op, PyObject *args);
PyObject *sg_stream_sendfile(PyObject *op, PyObject *args, PyObject *kwds);

PyObject *sg_stream_makefile(PyObject *op, PyObject *args, PyObject *kwds);
PyObject *sg_stream_getpeername(PyObject *op, PyObject *ignored);
PyObject *sg_stream_getsockname(PyObject *op, PyObject *ignored);
PyObject *sg_stream_getsockopt(PyObject *op, PyObject *args);
PyObject *sg_stream_setsockopt(PyObject *op, PyObject *args);
PyObject *sg_stream_get_family(PyObject *op, void *closure);
PyObject *sg_stream_get_type(PyObject *op, void *closure);
PyObject *sg_stream_get_proto(PyObject *op, void *closure);

#endif
