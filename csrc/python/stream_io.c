/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The data path of a stream: recv and send in all their forms.
 *
 * One function, call(), does the waiting for all of them; what differs is a
 * callback of a few lines, as in CPython's socketmodule.c.  It tries first
 * and polls only when there is nothing: a transfer at full speed costs one
 * system call a recv.  Signals interrupt it, run their handlers, and it goes
 * on with what is left of its deadline.
 */
#include "python/stream.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "sys/deadline.h"
#include "python/error.h"

/* What one attempt is made with. */
struct attempt {
    ssize_t (*run)(int fd, const struct attempt *attempt);
    bool is_sending;
    int flags;
    void *data;
    size_t len;
    struct msghdr *message;
};

static ssize_t
run_recv(int fd, const struct attempt *attempt)
{
    return sg_sys_recv(fd, attempt->data, attempt->len, attempt->flags);
}

static ssize_t
run_recvmsg(int fd, const struct attempt *attempt)
{
    return sg_sys_recvmsg(fd, attempt->message, attempt->flags);
}

static ssize_t
run_send(int fd, const struct attempt *attempt)
{
    return sg_sys_send(fd, attempt->data, attempt->len, attempt->flags);
}

static ssize_t
run_sendmsg(int fd, const struct attempt *attempt)
{
    return sg_sys_sendmsg(fd, attempt->message, attempt->flags);
}

static bool
would_block(ssize_t result)
{
    return result == -EAGAIN || result == -EWOULDBLOCK;
}

/* By way of the loan while it lasts; NULL from then on. */
static ssize_t
attempt_once(int fd, const struct attempt *attempt, struct sg_loan **loan)
{
    ssize_t result = SG_LOAN_OVER;

    if (*loan != NULL) {
        result = attempt->is_sending
                     ? sg_loan_write(*loan, attempt->data, attempt->len)
                     : sg_loan_read(*loan, attempt->data, attempt->len);
    }
    if (result == SG_LOAN_OVER) {
        *loan = NULL;
        result = attempt->run(fd, attempt);
    }
    return result;
}

static int
wait_for(int fd, const struct attempt *attempt, struct sg_loan *loan,
         sg_deadline deadline)
{
    struct pollfd pollfd = {.fd = fd,
                            .events = attempt->is_sending ? POLLOUT : POLLIN};

    return loan != NULL ? sg_loan_wait(loan, attempt->is_sending, deadline)
                        : sg_sys_poll(&pollfd, 1, sg_deadline_ms(deadline));
}

/* Without the GIL.  -EAGAIN when `waits` is false and nothing can be done
 * now, -ETIMEDOUT at the deadline, -EINTR after a signal. */
static ssize_t
attempt_until(int fd, const struct attempt *attempt, struct sg_loan **loan,
              bool waits, sg_deadline deadline)
{
    for (;;) {
        ssize_t result = attempt_once(fd, attempt, loan);
        int n;

        if (!would_block(result) || !waits) {
            return result;
        }
        n = wait_for(fd, attempt, *loan, deadline);
        if (n == 0) {
            return -ETIMEDOUT;
        }
        if (n < 0) {
            return n;
        }
    }
}

/* So much is sent at most before a peer must have answered. */
#define EARLY 65536

/* A far end that failed before its first byte: what is sent counts as sent,
 * as TCP would have it, until recv has told the reason.  Paramiko would turn
 * an error here into a bare EOFError (PEERS.md).  But not for ever: somebody
 * may only send. */
static bool
is_untold(const sg_stream *self)
{
    return self->is_relayed && self->bytes_received == 0
           && self->bytes_sent < EARLY && !self->was_told;
}

static ssize_t
send_failed(sg_stream *self, const struct attempt *attempt)
{
    PyObject *type, *value, *traceback;

    if (self->kind == NULL || !self->kind->explain(self, EPIPE)) {
        if (!PyErr_Occurred()) {
            sg_raise_errno(EPIPE);
        }
        return -1;
    }
    if (!is_untold(self)) {
        return -1;
    }
    PyErr_Fetch(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    self->bytes_sent += (unsigned long long)attempt->len;
    return (ssize_t)attempt->len;
}

/* The end of the stream, told once with its reason. */
static ssize_t
at_end(sg_stream *self)
{
    if (self->was_told || self->is_shut || self->kind == NULL) {
        return 0;
    }
    self->was_told = true;
    return self->kind->explain(self, ECONNRESET) || PyErr_Occurred() ? -1 : 0;
}

static ssize_t
failed(sg_stream *self, const struct attempt *attempt, ssize_t result)
{
    if (result == -ETIMEDOUT && self->timeout > 0) {
        PyErr_SetString(PyExc_TimeoutError, "timed out");
        return -1;
    }
    if (result == -EPIPE && attempt->is_sending) {
        return send_failed(self, attempt);
    }
    if (result == -ECONNRESET && self->is_relayed && !attempt->is_sending) {
        return at_end(self); /* the loop was killed under it, or the like */
    }
    sg_raise_errno((int)-result);
    return -1;
}

/* Pipes know neither flags nor messages; nothing is sent by the socket. */
static struct sg_loan *
loan_for(sg_stream *self, const struct attempt *attempt)
{
    if (!self->is_lent) {
        return NULL;
    }
    if (attempt->flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)
        || attempt->message != NULL) {
        sg_stream_end_loan(self);
        return NULL;
    }
    return attempt->len != 0 ? sg_shared_loan(self->shared) : NULL;
}

/* Returns the number of bytes, or -1 with an exception. */
static ssize_t
call(sg_stream *self, const struct attempt *attempt, sg_deadline deadline)
{
    bool waits = self->timeout > 0
                 || (self->timeout < 0 && !(attempt->flags & MSG_DONTWAIT));
    ssize_t result;

    if (attempt->flags & MSG_OOB) {
        sg_raise_errno(EOPNOTSUPP); /* no far side has such a thing */
        return -1;
    }
    do {
        int fd = sg_stream_use(self);
        struct sg_loan *loan;
        bool has_loan;

        if (fd < 0) {
            return -1;
        }
        loan = loan_for(self, attempt);
        has_loan = loan != NULL;
        Py_BEGIN_ALLOW_THREADS
        result = attempt_until(fd, attempt, &loan, waits, deadline);
        Py_END_ALLOW_THREADS
        sg_stream_done(self);
        if (has_loan && loan == NULL) {
            self->is_lent = false; /* it is over */
        }
        if (result <= 0 && self->fd < 0) {
            sg_raise_closed(); /* that is what woke us: not the peer's end */
            return -1;
        }
        if (result == -EINTR && PyErr_CheckSignals() < 0) {
            return -1;
        }
    } while (result == -EINTR);
    if (result < 0) {
        return failed(self, attempt, result);
    }
    if (attempt->is_sending) {
        self->bytes_sent += (unsigned long long)result;
    }
    else if (result == 0) {
        return at_end(self);
    }
    else if (!(attempt->flags & MSG_PEEK)) {
        self->bytes_received += (unsigned long long)result;
    }
    return result;
}

sg_deadline
sg_stream_deadline(const sg_stream *self)
{
    return self->timeout > 0 ? sg_deadline_after(self->timeout) : SG_NEVER;
}

/* ---- recv ------------------------------------------------------------- */

static ssize_t
recv_to(sg_stream *self, void *to, size_t n, int flags)
{
    struct attempt attempt = {
        .run = run_recv, .flags = flags, .data = to, .len = n};

    return n == 0 ? 0 : call(self, &attempt, sg_stream_deadline(self));
}

static PyObject *
recv_bytes(sg_stream *self, Py_ssize_t n, int flags)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, n);
    ssize_t got;

    if (bytes == NULL) {
        return NULL;
    }
    got = recv_to(self, PyBytes_AS_STRING(bytes), (size_t)n, flags);
    if (got < 0) {
        Py_DECREF(bytes);
        return NULL;
    }
    if (got != n) {
        _PyBytes_Resize(&bytes, got);
    }
    return bytes;
}

PyObject *
sg_stream_recv(PyObject *op, PyObject *args)
{
    Py_ssize_t n;
    int flags = 0;

    if (!PyArg_ParseTuple(args, "n|i:recv", &n, &flags)) {
        return NULL;
    }
    if (n < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    return recv_bytes((sg_stream *)op, n, flags);
}

PyObject *
sg_stream_recvfrom(PyObject *op, PyObject *args)
{
    Py_ssize_t n;
    int flags = 0;
    PyObject *bytes;

    if (!PyArg_ParseTuple(args, "n|i:recvfrom", &n, &flags)) {
        return NULL;
    }
    if (n < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recvfrom");
        return NULL;
    }
    bytes = recv_bytes((sg_stream *)op, n, flags);
    return bytes != NULL ? Py_BuildValue("NO", bytes, Py_None) : NULL;
}

static const char *into_keywords[] = {"buffer", "nbytes", "flags", NULL};

/* The bytes received, or -1. */
static Py_ssize_t
recv_into(PyObject *op, PyObject *args, PyObject *kwds, const char *format,
          const char *name)
{
    Py_buffer buffer;
    Py_ssize_t n = 0, got = -1;
    int flags = 0;

    if (!PyArg_ParseTupleAndKeywords(
            args, kwds, format, (char **)into_keywords, &buffer, &n, &flags)) {
        return -1;
    }
    if (n < 0) {
        PyErr_Format(PyExc_ValueError, "negative buffersize in %s", name);
    }
    else if (n > buffer.len) {
        PyErr_SetString(
            PyExc_ValueError,
            strcmp(name, "recv_into") == 0
                ? "buffer too small for requested bytes"
                : "nbytes is greater than the length of the buffer");
    }
    else {
        got = recv_to((sg_stream *)op, buffer.buf,
                      (size_t)(n != 0 ? n : buffer.len), flags);
    }
    PyBuffer_Release(&buffer);
    return got;
}

PyObject *
sg_stream_recv_into(PyObject *op, PyObject *args, PyObject *kwds)
{
    Py_ssize_t n = recv_into(op, args, kwds, "w*|ni:recv_into", "recv_into");

    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

PyObject *
sg_stream_recvfrom_into(PyObject *op, PyObject *args, PyObject *kwds)
{
    Py_ssize_t n = recv_into(op, args, kwds, "w*|ni:recvfrom_into",
                             "recvfrom_into");

    return n < 0 ? NULL : Py_BuildValue("nO", n, Py_None);
}

/* ---- Vectors ---------------------------------------------------------- */

/* The buffers of recvmsg_into() and sendmsg(), held. */
struct vector {
    PyObject *items;
    Py_buffer *buffers;
    struct iovec *iovecs;
    Py_ssize_t held;
};

static void
vector_release(struct vector *vector)
{
    while (vector->held > 0) {
        PyBuffer_Release(&vector->buffers[--vector->held]);
    }
    PyMem_Free(vector->buffers);
    PyMem_Free(vector->iovecs);
    Py_CLEAR(vector->items);
}

static int
vector_hold(struct vector *vector, PyObject *iterable, bool writable,
            const char *message)
{
    Py_ssize_t n;

    *vector = (struct vector){0};
    vector->items = PySequence_Fast(iterable, message);
    if (vector->items == NULL) {
        return -1;
    }
    n = PySequence_Fast_GET_SIZE(vector->items);
    if (n > IOV_MAX) {
        sg_raise_errno(EMSGSIZE); /* what sendmsg(2) says to it */
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
        PyObject *item = PySequence_Fast_GET_ITEM(vector->items, vector->held);

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
    vector_release(vector);
    return -1;
}

static size_t
vector_length(const struct vector *vector)
{
    size_t n = 0;

    for (Py_ssize_t i = 0; i < vector->held; i++) {
        n += vector->iovecs[i].iov_len;
    }
    return n;
}

/* The bytes received into the vector, and the flags that came with them. */
static ssize_t
receive_message(sg_stream *self, struct iovec *iovecs, size_t n, int flags,
                int *flags_out)
{
    struct msghdr message = {.msg_iov = iovecs, .msg_iovlen = n};
    struct attempt attempt = {
        .run = run_recvmsg, .flags = flags, .message = &message};
    ssize_t got = call(self, &attempt, sg_stream_deadline(self));

    /* Linux sets what was asked for too, which is no news. */
    *flags_out = message.msg_flags & ~MSG_CMSG_CLOEXEC;
    return got;
}

static int
check_ancillary_size(Py_ssize_t n)
{
    if (n < 0 || n > INT_MAX) {
        PyErr_SetString(PyExc_ValueError,
                        "invalid ancillary data buffer length");
        return -1;
    }
    return 0;
}

PyObject *
sg_stream_recvmsg(PyObject *op, PyObject *args)
{
    Py_ssize_t n, ancillary = 0;
    int flags = 0, flags_out;
    PyObject *bytes;
    struct iovec iovec;
    ssize_t got;

    if (!PyArg_ParseTuple(args, "n|ni:recvmsg", &n, &ancillary, &flags)) {
        return NULL;
    }
    if (n < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffer size in recvmsg()");
        return NULL;
    }
    if (check_ancillary_size(ancillary) < 0) {
        return NULL;
    }
    bytes = PyBytes_FromStringAndSize(NULL, n);
    if (bytes == NULL) {
        return NULL;
    }
    iovec = (struct iovec){.iov_base = PyBytes_AS_STRING(bytes),
                           .iov_len = (size_t)n};
    got = receive_message((sg_stream *)op, &iovec, 1, flags, &flags_out);
    if (got < 0 || (got != n && _PyBytes_Resize(&bytes, got) < 0)) {
        Py_XDECREF(bytes);
        return NULL;
    }
    return Py_BuildValue("N[]iO", bytes, flags_out, Py_None);
}

PyObject *
sg_stream_recvmsg_into(PyObject *op, PyObject *args)
{
    PyObject *iterable;
    Py_ssize_t ancillary = 0;
    int flags = 0, flags_out;
    struct vector vector;
    ssize_t got;

    if (!PyArg_ParseTuple(args, "O|ni:recvmsg_into", &iterable, &ancillary,
                          &flags)
        || check_ancillary_size(ancillary) < 0
        || vector_hold(&vector, iterable, true,
                       "recvmsg_into() argument 1 must be an iterable")
               < 0) {
        return NULL;
    }
    got = receive_message((sg_stream *)op, vector.iovecs, (size_t)vector.held,
                          flags, &flags_out);
    vector_release(&vector);
    return got < 0
               ? NULL
               : Py_BuildValue("n[]iO", (Py_ssize_t)got, flags_out, Py_None);
}

/* ---- send ------------------------------------------------------------- */

ssize_t
sg_stream_send_some(sg_stream *self, const void *from, size_t n, int flags,
                    sg_deadline deadline)
{
    struct attempt attempt = {.run = run_send,
                              .is_sending = true,
                              .flags = flags,
                              .data = (void *)from,
                              .len = n};

    return call(self, &attempt, deadline);
}

PyObject *
sg_stream_send(PyObject *op, PyObject *args)
{
    sg_stream *self = (sg_stream *)op;
    Py_buffer buffer;
    int flags = 0;
    ssize_t n;

    if (!PyArg_ParseTuple(args, "y*|i:send", &buffer, &flags)) {
        return NULL;
    }
    n = sg_stream_send_some(self, buffer.buf, (size_t)buffer.len, flags,
                            sg_stream_deadline(self));
    PyBuffer_Release(&buffer);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

/* All of it, within one deadline.  0 or -1. */
static int
send_all(sg_stream *self, const char *data, Py_ssize_t len, int flags)
{
    sg_deadline deadline = sg_stream_deadline(self);

    do {
        ssize_t n = sg_stream_send_some(self, data, (size_t)len, flags,
                                        deadline);

        /* Handlers run between the pieces too. */
        if (n < 0 || PyErr_CheckSignals() < 0) {
            return -1;
        }
        data += n;
        len -= n;
    } while (len > 0);
    return 0;
}

PyObject *
sg_stream_sendall(PyObject *op, PyObject *args)
{
    Py_buffer buffer;
    int flags = 0, result;

    if (!PyArg_ParseTuple(args, "y*|i:sendall", &buffer, &flags)) {
        return NULL;
    }
    result = send_all((sg_stream *)op, buffer.buf, buffer.len, flags);
    PyBuffer_Release(&buffer);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Nothing but bytes goes through a pipe or a channel. */
static int
refuse_ancillary(PyObject *ancillary)
{
    PyObject *items;
    Py_ssize_t n;

    if (ancillary == NULL) {
        return 0;
    }
    items = PySequence_Fast(ancillary,
                            "sendmsg() argument 2 must be an iterable");
    if (items == NULL) {
        return -1;
    }
    n = PySequence_Fast_GET_SIZE(items);
    Py_DECREF(items);
    if (n != 0) {
        sg_raise_errno(EOPNOTSUPP);
        return -1;
    }
    return 0;
}

PyObject *
sg_stream_sendmsg(PyObject *op, PyObject *args)
{
    sg_stream *self = (sg_stream *)op;
    PyObject *iterable, *ancillary = NULL, *address = Py_None;
    int flags = 0;
    struct vector vector;
    struct msghdr message = {0};
    ssize_t n;

    if (!PyArg_ParseTuple(args, "O|OiO:sendmsg", &iterable, &ancillary, &flags,
                          &address)
        || refuse_ancillary(ancillary) < 0) {
        return NULL;
    }
    if (address != Py_None) {
        return sg_raise_errno(EISCONN); /* as sendmsg(2) on a connected one */
    }
    if (vector_hold(&vector, iterable, false,
                    "sendmsg() argument 1 must be an iterable")
        < 0) {
        return NULL;
    }
    message.msg_iov = vector.iovecs;
    message.msg_iovlen = (size_t)vector.held;
    n = call(self,
             &(struct attempt){.run = run_sendmsg,
                               .is_sending = true,
                               .flags = flags,
                               .len = vector_length(&vector),
                               .message = &message},
             sg_stream_deadline(self));
    vector_release(&vector);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}
