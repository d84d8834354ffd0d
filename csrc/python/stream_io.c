/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The data path of a stream: recv and send in all their forms.
 *
 * All methods wait in one function, call(), and each passes it a callback
 * that makes the system call.  CPython's sock_call_ex() (socketmodule.c) is
 * the model.  call() makes the system call first and polls only if that call
 * would block, so a transfer at full speed costs one system call per recv().
 *
 * The GIL is held everywhere except in attempt_until() and the functions it
 * calls.
 */
#include "python/stream.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "sys/deadline.h"
#include "python/error.h"
#include "python/limited.h"
#include "python/vector.h"

/* One system call and its arguments.  recv and send use `data`; recvmsg and
 * sendmsg use `message`; `len` is the number of bytes to receive or send.
 * run() returns the number of bytes, or a negative errno. */
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

/* The deadline has passed.  -ETIMEDOUT cannot say so: a TCP socket that a
 * program handed over fails with this errno itself.  No errno is as large. */
#define DEADLINE_PASSED (-INT_MAX)

static bool
would_block(ssize_t result)
{
    return result == -EAGAIN || result == -EWOULDBLOCK;
}

/* Make the call once: on the lent pipe if *loan is not NULL, else on the
 * socket.  Sets *loan to NULL when the loan is over.  Returns the number of
 * bytes, 0, or a negative errno. */
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

/* Wait until another attempt makes sense.  Returns 1, 0 when the deadline has
 * passed, or a negative errno: -EINTR after a signal. */
static int
wait_for(int fd, const struct attempt *attempt, struct sg_loan *loan,
         sg_deadline deadline)
{
    struct pollfd pollfd = {.fd = fd,
                            .events = attempt->is_sending ? POLLOUT : POLLIN};

    return loan != NULL ? sg_loan_wait(loan, attempt->is_sending, deadline)
                        : sg_sys_poll(&pollfd, 1, sg_deadline_ms(deadline));
}

/* Make the system call.  If it would block and `waits` is true, wait and make
 * it again.  Runs without the GIL.  Returns
 *
 *   > 0              the number of bytes received or sent
 *   0                receive: there was no room for a byte, or the end of the
 *                    stream, or another thread has called close(), which
 *                    shuts the descriptor down; send: there was nothing to
 *                    send
 *   -EAGAIN          the call would block, and `waits` is false
 *   DEADLINE_PASSED  the call would block, and `deadline` has passed
 *   -EINTR           a signal arrived before any byte was received or sent
 *   -errno           the system call failed in another way
 *
 * The deadline is checked only after an attempt that would block, so a call
 * can succeed after its deadline.  A stream without a timeout blocks in the
 * system call itself, because its descriptor is in blocking mode; it polls
 * only while it uses the loan, because the pipes are non-blocking. */
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
            return DEADLINE_PASSED;
        }
        if (n < 0) {
            return n;
        }
    }
}

/* A stream that has sent this many bytes no longer hides a failure. */
#define HIDDEN_MAX 65536

/* True if a send must succeed although the far end is gone.
 *
 * If the far end failed before its first byte, sends succeed, as with TCP,
 * until a receive has raised the reason.  The cause is Paramiko, which turns
 * an error of send() into a bare EOFError without the reason.  HIDDEN_MAX
 * limits this for the sake of callers that never receive. */
static bool
must_hide_failure(const sg_stream *self)
{
    return self->is_relayed && self->bytes_received == 0
           && self->bytes_sent < HIDDEN_MAX && !self->end_was_reported;
}

/* A send failed because the far end is gone.  Raise the reason, or a plain
 * BrokenPipeError if none is known, and return -1; or discard the bytes and
 * return their number if the failure must be hidden. */
static ssize_t
at_broken_pipe(sg_stream *self, const struct attempt *attempt,
               sg_deadline deadline)
{
    PyObject *type, *value, *traceback;
    bool hides = must_hide_failure(self);

    if (hides) {
        deadline = SG_NO_WAIT; /* only whether there is a reason matters */
    }
    if (self->kind == NULL || !self->kind->explain(self, EPIPE, deadline)) {
        if (!PyErr_Occurred()) {
            sg_raise_errno(EPIPE);
        }
        return -1;
    }
    if (!hides) {
        return -1;
    }
    PyErr_Fetch(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    self->bytes_sent += (unsigned long long)attempt->len;
    return (ssize_t)attempt->len;
}

/* A receive has reached the end of the stream.  Returns 0 if the end is normal
 * or was reported before: the method then returns no bytes.  Returns -1 with
 * the reason as an exception if the far end failed and no receive has raised
 * this yet.
 *
 * A receive without room for a byte returns no bytes whether the stream has
 * ended or not, so it says nothing about the end.
 *
 * Here and in the next functions, `deadline` is that of explain() in struct
 * sg_stream_kind. */
static ssize_t
at_end(sg_stream *self, const struct attempt *attempt, sg_deadline deadline)
{
    if (attempt->len == 0 || self->end_was_reported || self->is_shut
        || self->kind == NULL) {
        return 0;
    }
    self->end_was_reported = true;
    return self->kind->explain(self, ECONNRESET, deadline) || PyErr_Occurred()
               ? -1
               : 0;
}

/* The kernel has given up a TCP socket that a program handed over.  Python
 * makes a TimeoutError of ETIMEDOUT, and callers take a TimeoutError for a
 * deadline of their own and try again, so the errno is ECONNRESET here. */
static void
raise_unanswered(void)
{
    PyObject *error = PyObject_CallFunction(
        PyExc_OSError, "is", ECONNRESET,
        "connection lost: the other end no longer answers");

    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

/* Turn the negative result of attempt_until() into the result of call().
 *
 *   DEADLINE_PASSED  TimeoutError("timed out"), exactly as socket raises it.
 *   -ETIMEDOUT       see raise_unanswered().
 *   -EAGAIN          BlockingIOError, the OSError of this errno.
 *   -EPIPE           of a send: see at_broken_pipe().
 *   -ECONNRESET      of a receive on the socketpair: the loop closed its end
 *                    while bytes were unread in it.  It is an end of the
 *                    stream. */
static ssize_t
at_failure(sg_stream *self, const struct attempt *attempt, ssize_t result,
           sg_deadline deadline)
{
    if (result == DEADLINE_PASSED) {
        PyErr_SetString(PyExc_TimeoutError, "timed out");
        return -1;
    }
    if (result == -ETIMEDOUT) {
        raise_unanswered();
        return -1;
    }
    if (result == -EPIPE && attempt->is_sending) {
        return at_broken_pipe(self, attempt, deadline);
    }
    if (result == -ECONNRESET && self->is_relayed && !attempt->is_sending) {
        return at_end(self, attempt, deadline);
    }
    sg_raise_errno((int)-result);
    return -1;
}

/* Return the loan if this attempt can use it, else NULL.  A pipe has neither
 * flags nor messages, so the first attempt that needs them ends the loan.  An
 * attempt of 0 bytes goes to the socket, because the loan takes a result of 0
 * for the end of the stream. */
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

/* Receive or send once, and wait for it within `limit`.  Called with the GIL
 * held and returns with it held; only attempt_until() runs without it.
 *
 * When a signal interrupts the wait, the order is
 *   1. PyErr_CheckSignals() runs the handlers; if one raises, call() ends;
 *   2. the descriptor is checked, because a handler may have closed it;
 *   3. the system call is tried again;
 *   4. if that would block, the wait goes on for the rest of the time, or
 *      ends with TimeoutError if the deadline has passed.
 * The deadline is a point in time, so interruptions do not lengthen the wait.
 * sock_call_ex() checks the deadline before it tries again.  This function
 * tries first, so it returns bytes that arrived while a handler ran, even if
 * the handler ran past the deadline.
 *
 * Returns the number of bytes; 0 at the end of the stream (at_end() has then
 * raised nothing) or after an empty send; or -1 with an exception.  An attempt
 * that moved no byte raises OSError(EBADF) if the stream was closed meanwhile,
 * because the shutdown in close() looks like the end of the stream. */
static ssize_t
call(sg_stream *self, struct attempt *attempt, struct sg_limit limit)
{
    bool waits = limit.timeout > 0
                 || (limit.timeout < 0 && !(attempt->flags & MSG_DONTWAIT));
    sg_deadline deadline = waits ? limit.deadline : SG_NO_WAIT;
    ssize_t result;

    if (attempt->flags & MSG_OOB) {
        sg_raise_errno(EOPNOTSUPP); /* no far end has out-of-band data */
        return -1;
    }
    if (limit.timeout >= 0) {
        /* settimeout(None) can make the descriptor blocking meanwhile. */
        attempt->flags |= MSG_DONTWAIT;
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
            self->is_lent = false; /* the loan is over and never returns */
        }
        if (result <= 0 && self->fd < 0) {
            sg_raise_closed();
            return -1;
        }
        if (result == -EINTR && PyErr_CheckSignals() < 0) {
            return -1;
        }
    } while (result == -EINTR);
    if (result < 0) {
        return at_failure(self, attempt, result, deadline);
    }
    if (attempt->is_sending) {
        self->bytes_sent += (unsigned long long)result;
    }
    else if (result == 0) {
        return at_end(self, attempt, deadline);
    }
    else if (!(attempt->flags & MSG_PEEK)) {
        self->bytes_received += (unsigned long long)result;
    }
    return result;
}

struct sg_limit
sg_limit_from(int64_t timeout)
{
    return (struct sg_limit){
        .timeout = timeout,
        .deadline = timeout > 0 ? sg_deadline_after(timeout) : SG_NEVER};
}

/* ---- recv ------------------------------------------------------------- */

static ssize_t
recv_to(sg_stream *self, void *to, size_t n, int flags)
{
    struct attempt attempt = {
        .run = run_recv, .flags = flags, .data = to, .len = n};

    return n == 0 ? 0 : call(self, &attempt, sg_limit_from(self->timeout));
}

static PyObject *
recv_bytes(sg_stream *self, Py_ssize_t n, int flags)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, n);
    ssize_t got;

    if (bytes == NULL) {
        return NULL;
    }
    got = recv_to(self, PyBytes_AsString(bytes), (size_t)n, flags);
    if (got < 0) {
        Py_DECREF(bytes);
        return NULL;
    }
    return sg_bytes_first(bytes, got);
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

/* Returns the number of bytes received, or -1 with an exception. */
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

/* ---- recvmsg ---------------------------------------------------------- */

/* Receive into `n` buffers, which have room for `len` bytes.  Returns the
 * number of bytes, or -1 with an exception.  *flags_out are the flags of the
 * message (recvmsg(2)). */
static ssize_t
receive_message(sg_stream *self, struct iovec *iovecs, size_t n, size_t len,
                int flags, int *flags_out)
{
    struct msghdr message = {.msg_iov = iovecs, .msg_iovlen = n};
    struct attempt attempt = {
        .run = run_recvmsg, .flags = flags, .len = len, .message = &message};
    ssize_t got = call(self, &attempt, sg_limit_from(self->timeout));

    *flags_out = message.msg_flags;
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
    iovec = (struct iovec){.iov_base = PyBytes_AsString(bytes),
                           .iov_len = (size_t)n};
    got = receive_message((sg_stream *)op, &iovec, 1, (size_t)n, flags,
                          &flags_out);
    if (got < 0) {
        Py_DECREF(bytes);
        return NULL;
    }
    return Py_BuildValue("N[]iO", sg_bytes_first(bytes, got), flags_out,
                         Py_None);
}

PyObject *
sg_stream_recvmsg_into(PyObject *op, PyObject *args)
{
    PyObject *iterable;
    Py_ssize_t ancillary = 0;
    int flags = 0, flags_out;
    struct sg_vector vector;
    ssize_t got;

    if (!PyArg_ParseTuple(args, "O|ni:recvmsg_into", &iterable, &ancillary,
                          &flags)
        || check_ancillary_size(ancillary) < 0
        || sg_vector_hold(&vector, iterable, true,
                          "recvmsg_into() argument 1 must be an iterable")
               < 0) {
        return NULL;
    }
    got = receive_message((sg_stream *)op, vector.iovecs, (size_t)vector.held,
                          sg_vector_length(&vector), flags, &flags_out);
    sg_vector_release(&vector);
    return got < 0
               ? NULL
               : Py_BuildValue("n[]iO", (Py_ssize_t)got, flags_out, Py_None);
}

/* ---- send ------------------------------------------------------------- */

ssize_t
sg_stream_send_some(sg_stream *self, const void *from, size_t n, int flags,
                    struct sg_limit limit)
{
    struct attempt attempt = {.run = run_send,
                              .is_sending = true,
                              .flags = flags,
                              .data = (void *)from,
                              .len = n};

    return call(self, &attempt, limit);
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
                            sg_limit_from(self->timeout));
    PyBuffer_Release(&buffer);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

/* Send all bytes within one deadline.  Returns 0, or -1 with an exception.
 * Between the pieces, signal handlers run and the deadline is checked, as in
 * socket.sendall: the reader may make room as fast as the pieces come, and
 * then no send would block. */
static int
send_all(sg_stream *self, const char *data, Py_ssize_t len, int flags)
{
    struct sg_limit limit = sg_limit_from(self->timeout);

    for (;;) {
        ssize_t n = sg_stream_send_some(self, data, (size_t)len, flags, limit);

        if (n < 0 || PyErr_CheckSignals() < 0) {
            return -1;
        }
        data += n;
        len -= n;
        if (len <= 0) {
            return 0;
        }
        if (sg_deadline_ms(limit.deadline) == 0) {
            PyErr_SetString(PyExc_TimeoutError, "timed out");
            return -1;
        }
    }
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

/* Refuse ancillary data, because a pipe or a channel carries only bytes.
 * Returns 0 if there is none, or -1 with an exception. */
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
    n = PySequence_Size(items);
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
    struct sg_vector vector;
    struct msghdr message = {0};
    ssize_t n;

    if (!PyArg_ParseTuple(args, "O|OiO:sendmsg", &iterable, &ancillary, &flags,
                          &address)
        || refuse_ancillary(ancillary) < 0) {
        return NULL;
    }
    if (address != Py_None) {
        return sg_raise_errno(EISCONN); /* the errno of sendmsg(2) */
    }
    if (sg_vector_hold(&vector, iterable, false,
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
                               .len = sg_vector_length(&vector),
                               .message = &message},
             sg_limit_from(self->timeout));
    sg_vector_release(&vector);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}
