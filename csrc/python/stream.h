/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.Stream: the socket methods that all kinds of streams share.
 *
 *     python/stream.c         the object's life, its descriptor, its timeout
 *     python/stream_io.c      the data path: recv and send in all their forms
 *     python/stream_file.c    sendfile() and makefile()
 *     python/stream_option.c  addresses, socket options, family, type, proto
 *     python/stream_doc.h     the docstrings
 *     python/vector.c         the buffers of recvmsg_into() and sendmsg()
 *
 * A kind of stream is a subtype: ProxyCommand or DirectTcpipChannel.  Its
 * __init__ sets `kind`, `shared` and `peername`, then hands the descriptor
 * to sg_stream_open().
 *
 * The GIL guards every field of struct sg_stream, so every function below is
 * called with the GIL held.  A call that waits releases the GIL; meanwhile it
 * uses only its own buffers, the descriptor from sg_stream_use() and the
 * loan.  The loop's thread touches no Python object: loop and stream share
 * only `shared`, which has a lock of its own.
 */
#ifndef SG_PY_STREAM_H
#define SG_PY_STREAM_H

#include "python/module.h"
#include "sys/deadline.h"
#include "engine/shared.h"

typedef struct sg_stream sg_stream;

/* A deadline that has always passed. */
#define SG_NO_WAIT 0

/* The functions that differ between the kinds of streams. */
struct sg_stream_kind {
    /* Release the references to Python objects that the subtype owns. */
    void (*clear)(sg_stream *self);
    /* Raise the reason why the far end is gone.  `err` is the errno that the
     * exception gets: ECONNRESET after a receive, EPIPE after a send.  The
     * function may wait for a part of the reason, but only until `deadline`,
     * which is SG_NO_WAIT if the call must not wait at all.
     * Returns true with an exception set.  Returns false without one if the
     * far end ended normally or no reason is known. */
    bool (*explain)(sg_stream *self, int err, sg_deadline deadline);
};

struct sg_stream {
    PyObject_HEAD
    sg_state *state; /* of the module, which the type keeps alive */
    const struct sg_stream_kind *kind; /* NULL until __init__ */

    /* The descriptor; -1 before __init__, after close() and after detach(). */
    int fd;
    /* The descriptor that close() could not close because `users` was not 0;
     * else -1.  close_descriptor() sets it.  The last sg_stream_done() closes
     * it.  Until then the kernel cannot give its number to another file. */
    int abandoned_fd;
    /* The number of calls between sg_stream_use() and sg_stream_done(), most
     * of which run without the GIL.  close_descriptor() reads it. */
    int users;
    /* sg_sys_generation() when the stream was opened.  Another value now
     * means that this process is a child of fork(). */
    unsigned generation;

    /* True if `fd` is one end of a socketpair whose other end a loop drives;
     * false if it is a socket that a program handed over (fdpass). */
    bool is_relayed;
    /* True while the stream may use a proxy command's pipes directly (see
     * engine/loan.h).  sg_stream_open() sets it; sg_stream_end_loan() clears
     * it, and so does call() when it finds that the loan is over; loan_for()
     * reads it.  The loop can end the loan as well, so true means "perhaps"
     * and false means "never again". */
    bool is_lent;
    /* True after close() or detach(); `closed` and _decref_socketios() read
     * it.  `fd` stays open nevertheless while files of makefile() are open. */
    bool is_closed;
    /* True after dup(); close_descriptor() reads it.  close() usually wakes
     * waiting callers by shutdown(2).  This would end the copy too, so after
     * dup() they are not woken. */
    bool is_copied;
    /* True after shutdown(SHUT_RD) or shutdown(SHUT_RDWR).  The end of the
     * stream is then the caller's own doing: at_end() raises no reason. */
    bool is_shut;
    /* True once a receive has reached the end of the stream, and so has
     * raised the reason if there was one.  at_end() sets it.  at_end() and
     * must_hide_failure() read it: later receives return no bytes, and later
     * sends raise the reason at once. */
    bool end_was_reported;

    /* The number of open files of makefile().  CPython's socket.SocketIO
     * counts it up through `_io_refs` and down through _decref_socketios(). */
    int io_refs;
    int64_t timeout; /* nanoseconds; 0: non-blocking; -1: no timeout */
    unsigned long long bytes_sent;
    unsigned long long bytes_received;
    struct sg_shared *shared; /* the stream owns one reference; or NULL */
    PyObject *peername;       /* what getpeername() returns; None: unknown */
    PyObject *tcp_options;    /* dict of int to bytes; NULL until setsockopt */
    PyObject *weakrefs;
};

extern PyType_Spec sg_stream_spec;

/* Open the stream on `fd`.  `is_relayed` is the field above.  Returns 0, and
 * the stream owns `fd`.  Returns -1 with an exception, and the caller still
 * owns `fd`. */
int sg_stream_open(sg_stream *self, int fd, bool is_relayed);

/* Return the descriptor for a call that may release the GIL, or -1 with
 * OSError(EBADF) if the stream is closed.  The descriptor stays open until
 * the call has called sg_stream_done(), even if another thread calls close().
 */
int sg_stream_use(sg_stream *self);
void sg_stream_done(sg_stream *self);

/* End the loan, if there is one, without waiting: from now on all bytes pass
 * through the socketpair, and the loop carries them.  Call this before the
 * descriptor is used for anything but a plain send or receive. */
void sg_stream_end_loan(sg_stream *self);

/* True in a child of fork() whose parent opened the stream.  The descriptor
 * is closed there, and its number may belong to another file. */
bool sg_stream_is_forked(const sg_stream *self);

/* Slots for subtypes, which have no tp_dealloc.  Python gives them its own:
 * it calls tp_finalize, and then the tp_dealloc of Stream.  The limited API
 * has no function that calls tp_finalize, so Stream could not do both.
 * sg_stream_finalize warns about an open stream and closes it. */
PyObject *sg_stream_new(PyTypeObject *type, PyObject *args, PyObject *kwds);
int sg_stream_traverse(PyObject *op, visitproc visit, void *arg);
int sg_stream_clear(PyObject *op);
void sg_stream_finalize(PyObject *op);

/* Return socket.socket(fileno=...) on a duplicate of the descriptor, or NULL
 * with an exception.  The socket object owns the duplicate. */
PyObject *sg_stream_as_socket(sg_stream *self);

/* How long one method may wait.  Each method reads the timeout of its stream
 * once, when it begins.  A settimeout() in another thread or in a signal
 * handler therefore changes only later calls. */
struct sg_limit {
    int64_t timeout;      /* as in struct sg_stream */
    sg_deadline deadline; /* SG_NEVER unless `timeout` is positive */
};

/* Return the limit of a method that begins now with `timeout` (as in struct
 * sg_stream). */
struct sg_limit sg_limit_from(int64_t timeout);

/* Send up to `n` bytes with the `flags` of send(2).  Returns the number of
 * bytes accepted, or -1 with an exception.  Releases the GIL. */
ssize_t sg_stream_send_some(sg_stream *self, const void *from, size_t n,
                            int flags, struct sg_limit limit);

/* The methods and attributes that stream_io.c, stream_file.c and
 * stream_option.c define; stream_doc.h documents them. */
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
