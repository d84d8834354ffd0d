/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.Stream: the object's life, its descriptor, its timeout; see stream.h.
 *
 * class Stream:
 *     def recv(...), recv_into, recvfrom, recvfrom_into
 *     def recvmsg(...), recvmsg_into
 *     def send(...), sendall, sendmsg, sendfile
 *     def settimeout(...), gettimeout, setblocking, getblocking
 *     def fileno(), detach, dup, get_inheritable, set_inheritable
 *     def makefile(), shutdown, close
 *     def getpeername(), getsockname, getsockopt, setsockopt
 *     def __enter__(), __exit__
 *     def _decref_socketios()          # for the files of makefile()
 *     family, type, proto, timeout, closed, bytes_sent, bytes_received
 *     _closed, _io_refs                # private attributes of socket.socket
 *
 * close() must not close the descriptor while other threads are in recv() or
 * send() on it: the kernel could give the same number to another file, and
 * those threads would use that file.  So each call counts itself in `users`,
 * and if the count is not 0, close() leaves the descriptor to the last call.
 */
#include "python/stream.h"

#include <structmember.h>
#include <sys/socket.h>

#include "python/descriptor.h"
#include "python/error.h"
#include "python/limited.h"

/* ---- The descriptor --------------------------------------------------- */

int
sg_stream_open(sg_stream *self, int fd, bool is_relayed)
{
    int err = sg_sys_set_blocking(fd, self->timeout < 0);

    if (err < 0) {
        sg_raise_errno(-err);
        return -1;
    }
    self->fd = fd;
    self->is_relayed = is_relayed;
    self->generation = sg_sys_generation();
    if (is_relayed) {
        sg_shared_hold(self->shared);
        self->is_lent = sg_loan_lasts(sg_shared_loan(self->shared));
    }
    return 0;
}

void
sg_stream_end_loan(sg_stream *self)
{
    if (self->is_lent && !sg_stream_is_forked(self)) {
        self->is_lent = false;
        sg_loan_end(sg_shared_loan(self->shared));
    }
}

bool
sg_stream_is_forked(const sg_stream *self)
{
    return self->generation != sg_sys_generation();
}

int
sg_stream_use(sg_stream *self)
{
    if (self->fd < 0 || sg_stream_is_forked(self)) {
        sg_raise_closed();
        return -1;
    }
    self->users++;
    return self->fd;
}

void
sg_stream_done(sg_stream *self)
{
    int fd = self->abandoned_fd;

    self->users--;
    if (self->users == 0 && fd >= 0) {
        self->abandoned_fd = -1;
        sg_descriptor_close(self->generation, &fd);
    }
}

/* Give up the descriptor: close it, or leave it to the last of the calls that
 * use it.  shutdown(2) wakes the callers that wait in other threads.  It
 * would end a copy made by dup() as well, so after dup() those callers go on
 * waiting, as with any socket.  In a forked child the number may belong to
 * another file, so it is only forgotten. */
static void
close_descriptor(sg_stream *self)
{
    int fd = self->fd;

    self->fd = -1;
    if (fd < 0 || sg_stream_is_forked(self)) {
        return;
    }
    sg_stream_end_loan(self); /* wakes the callers that wait on a pipe */
    sg_shared_let_go(self->shared);
    if (self->users == 0) {
        sg_descriptor_close(self->generation, &fd);
        return;
    }
    self->abandoned_fd = fd;
    if (!self->is_copied) {
        sg_sys_shutdown(fd, SHUT_RDWR);
    }
}

/* Close, or defer closing until the last file of makefile() is closed. */
static void
close_stream(sg_stream *self)
{
    self->is_closed = true;
    if (self->io_refs <= 0) {
        close_descriptor(self);
    }
}

/* ---- Closing and copying ---------------------------------------------- */

static PyObject *
stream_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    close_stream((sg_stream *)op);
    Py_RETURN_NONE;
}

static PyObject *
stream_decref_socketios(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    sg_stream *self = (sg_stream *)op;

    if (self->io_refs > 0) {
        self->io_refs--;
    }
    if (self->is_closed) {
        close_stream(self);
    }
    Py_RETURN_NONE;
}

static PyObject *
stream_fileno(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    sg_stream *self = (sg_stream *)op;

    sg_stream_end_loan(self);
    return PyLong_FromLong(sg_stream_is_forked(self) ? -1 : self->fd);
}

static PyObject *
stream_detach(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    sg_stream *self = (sg_stream *)op;
    PyObject *fd = stream_fileno(op, NULL);

    if (fd == NULL) {
        return NULL;
    }
    if (self->fd >= 0 && !sg_stream_is_forked(self)) {
        sg_shared_let_go(self->shared);
        sg_sys_disown(self->fd);
    }
    self->fd = -1;
    self->is_closed = true;
    return fd;
}

PyObject *
sg_stream_as_socket(sg_stream *self)
{
    PyObject *args = NULL, *kwds = NULL, *copy = NULL;
    int fd = sg_stream_use(self);

    if (fd < 0) {
        return NULL;
    }
    sg_stream_end_loan(self);
    fd = sg_sys_dup(fd);
    sg_stream_done(self);
    if (fd < 0) {
        return sg_raise_errno(-fd);
    }
    args = PyTuple_New(0);
    kwds = Py_BuildValue("{s:i}", "fileno", fd);
    if (args != NULL && kwds != NULL) {
        copy = PyObject_Call(self->state->socket, args, kwds);
    }
    if (copy == NULL) {
        sg_descriptor_close(self->generation, &fd);
    }
    Py_XDECREF(args);
    Py_XDECREF(kwds);
    return copy;
}

static PyObject *stream_gettimeout(PyObject *op, PyObject *ignored);

static PyObject *
stream_dup(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *copy = sg_stream_as_socket((sg_stream *)op);
    PyObject *timeout = stream_gettimeout(op, NULL);
    PyObject *done = NULL;

    if (copy != NULL && timeout != NULL) {
        done = PyObject_CallMethod(copy, "settimeout", "O", timeout);
    }
    Py_XDECREF(timeout);
    if (done == NULL) {
        Py_XDECREF(copy);
        return NULL;
    }
    Py_DECREF(done);
    ((sg_stream *)op)->is_copied = true;
    return copy;
}

static PyObject *
stream_get_inheritable(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    sg_stream *self = (sg_stream *)op;
    int fd = sg_stream_use(self);
    int answer;

    if (fd < 0) {
        return NULL;
    }
    answer = sg_sys_get_inheritable(fd);
    sg_stream_done(self);
    return answer < 0 ? sg_raise_errno(-answer) : PyBool_FromLong(answer);
}

static PyObject *
stream_set_inheritable(PyObject *op, PyObject *args, PyObject *kwds)
{
    static const char *keywords[] = {"inheritable", NULL};
    sg_stream *self = (sg_stream *)op;
    int inheritable, fd, err;

    if (!PyArg_ParseTupleAndKeywords(args, kwds, "i:set_inheritable",
                                     (char **)keywords, &inheritable)) {
        return NULL;
    }
    fd = sg_stream_use(self);
    if (fd < 0) {
        return NULL;
    }
    sg_stream_end_loan(self); /* a program may use the descriptor */
    err = sg_sys_set_inheritable(fd, inheritable != 0);
    sg_stream_done(self);
    if (err < 0) {
        return sg_raise_errno(-err);
    }
    Py_RETURN_NONE;
}

static PyObject *
stream_shutdown(PyObject *op, PyObject *arg)
{
    sg_stream *self = (sg_stream *)op;
    int how = sg_int_from(arg);
    int fd, err;

    if (how == -1 && PyErr_Occurred()) {
        return NULL;
    }
    fd = sg_stream_use(self);
    if (fd < 0) {
        return NULL;
    }
    sg_stream_end_loan(self);
    err = sg_sys_shutdown(fd, how);
    sg_stream_done(self);
    if (err < 0) {
        return sg_raise_errno(-err);
    }
    self->is_shut = self->is_shut || how != SHUT_WR;
    Py_RETURN_NONE;
}

static PyObject *
stream_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(op);
}

static PyObject *
stream_exit(PyObject *op, PyObject *Py_UNUSED(args))
{
    /* Call the method by name, because a subclass may override close(). */
    return PyObject_CallMethod(op, "close", NULL);
}

/* ---- Timeouts --------------------------------------------------------- */

static PyObject *
set_timeout(sg_stream *self, int64_t timeout)
{
    int fd = sg_stream_use(self);
    int err;

    if (fd < 0) {
        return NULL;
    }
    err = sg_sys_set_blocking(fd, timeout < 0);
    sg_stream_done(self);
    if (err < 0) {
        return sg_raise_errno(-err);
    }
    self->timeout = timeout;
    Py_RETURN_NONE;
}

static PyObject *
stream_settimeout(PyObject *op, PyObject *seconds)
{
    int64_t timeout;

    if (sg_timeout_from(seconds, &timeout) < 0) {
        return NULL;
    }
    return set_timeout((sg_stream *)op, timeout);
}

static PyObject *
stream_gettimeout(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    int64_t timeout = ((sg_stream *)op)->timeout;

    if (timeout < 0) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble((double)timeout / 1e9);
}

static PyObject *
stream_setblocking(PyObject *op, PyObject *arg)
{
    /* socket.setblocking() took only integers before Python 3.12. */
    int blocking = Py_Version < 0x030C0000 ? PyLong_AsLong(arg) != 0
                                           : PyObject_IsTrue(arg);

    return PyErr_Occurred() ? NULL
                            : set_timeout((sg_stream *)op, blocking ? -1 : 0);
}

static PyObject *
stream_getblocking(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((sg_stream *)op)->timeout != 0);
}

/* ---- Attributes ------------------------------------------------------- */

static PyObject *
stream_get_timeout(PyObject *op, void *Py_UNUSED(closure))
{
    return stream_gettimeout(op, NULL);
}

static PyObject *
stream_get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;

    return PyBool_FromLong(self->is_closed || sg_stream_is_forked(self));
}

/* ---- Life ------------------------------------------------------------- */

PyObject *
sg_stream_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    sg_state *state = sg_state_of(type);
    sg_stream *self;

    (void)args;
    (void)kwds;
    if (state == NULL) {
        return NULL;
    }
    self = (sg_stream *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        self->state = state;
        self->fd = self->abandoned_fd = -1;
        self->timeout = -1;
        self->is_relayed = true;
        self->generation = sg_sys_generation();
    }
    return (PyObject *)self;
}

int
sg_stream_traverse(PyObject *op, visitproc visit, void *arg)
{
    sg_stream *self = (sg_stream *)op;

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->peername);
    Py_VISIT(self->tcp_options);
    return 0;
}

int
sg_stream_clear(PyObject *op)
{
    sg_stream *self = (sg_stream *)op;

    if (self->kind != NULL) {
        self->kind->clear(self);
    }
    Py_CLEAR(self->peername);
    Py_CLEAR(self->tcp_options);
    return 0;
}

/* Close a stream that the program has dropped, in spite of open files of
 * makefile().  The ResourceWarning comes first, so that its repr() still
 * shows the descriptor.  A warning that a filter turned into an error cannot
 * be raised here; it is written to stderr instead. */
void
sg_stream_finalize(PyObject *op)
{
    sg_stream *self = (sg_stream *)op;
    PyObject *type, *value, *traceback;

    if (self->fd < 0) {
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    if (!sg_stream_is_forked(self)
        && PyErr_ResourceWarning(op, 1, "unclosed %R", op) < 0
        && PyErr_ExceptionMatches(PyExc_Warning)) {
        PyErr_WriteUnraisable(op);
    }
    PyErr_Restore(type, value, traceback);
    self->io_refs = 0;
    close_stream(self);
}

/* Close a stream that is still open although its finalizer has run: the
 * __del__() of a subclass did not call that of its base.  The warning names
 * only the type, because no reference to the object may be made here. */
static void
close_in_dealloc(sg_stream *self)
{
    PyObject *type, *value, *traceback, *name;

    PyErr_Fetch(&type, &value, &traceback);
    name = sg_type_name((PyObject *)self);
    if (!sg_stream_is_forked(self)
        && (name == NULL
            || PyErr_ResourceWarning(NULL, 1, "unclosed <%U fd=%d>", name,
                                     self->fd)
                   < 0)) {
        PyErr_WriteUnraisable(NULL);
    }
    Py_XDECREF(name);
    PyErr_Restore(type, value, traceback);
    close_descriptor(self);
}

/* The tp_dealloc of Stream, which runs for all subtypes; see stream.h. */
static void
stream_dealloc(PyObject *op)
{
    sg_stream *self = (sg_stream *)op;
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    if (self->fd >= 0) {
        close_in_dealloc(self);
    }
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    sg_stream_clear(op);
    sg_shared_unref(self->shared);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

/* ---- The type --------------------------------------------------------- */

#include "python/stream_doc.h"

static PyMethodDef stream_methods[] = {
    {"recv", sg_stream_recv, METH_VARARGS, recv_doc},
    {"recv_into", (PyCFunction)(void (*)(void))sg_stream_recv_into,
     METH_VARARGS | METH_KEYWORDS, recv_into_doc},
    {"recvfrom", sg_stream_recvfrom, METH_VARARGS, recvfrom_doc},
    {"recvfrom_into", (PyCFunction)(void (*)(void))sg_stream_recvfrom_into,
     METH_VARARGS | METH_KEYWORDS, recvfrom_into_doc},
    {"recvmsg", sg_stream_recvmsg, METH_VARARGS, recvmsg_doc},
    {"recvmsg_into", sg_stream_recvmsg_into, METH_VARARGS, recvmsg_into_doc},
    {"send", sg_stream_send, METH_VARARGS, send_doc},
    {"sendall", sg_stream_sendall, METH_VARARGS, sendall_doc},
    {"sendmsg", sg_stream_sendmsg, METH_VARARGS, sendmsg_doc},
    {"sendfile", (PyCFunction)(void (*)(void))sg_stream_sendfile,
     METH_VARARGS | METH_KEYWORDS, sendfile_doc},
    {"makefile", (PyCFunction)(void (*)(void))sg_stream_makefile,
     METH_VARARGS | METH_KEYWORDS, makefile_doc},
    {"settimeout", stream_settimeout, METH_O, settimeout_doc},
    {"gettimeout", stream_gettimeout, METH_NOARGS, gettimeout_doc},
    {"setblocking", stream_setblocking, METH_O, setblocking_doc},
    {"getblocking", stream_getblocking, METH_NOARGS, getblocking_doc},
    {"fileno", stream_fileno, METH_NOARGS, fileno_doc},
    {"detach", stream_detach, METH_NOARGS, detach_doc},
    {"dup", stream_dup, METH_NOARGS, dup_doc},
    {"get_inheritable", stream_get_inheritable, METH_NOARGS,
     get_inheritable_doc},
    {"set_inheritable", (PyCFunction)(void (*)(void))stream_set_inheritable,
     METH_VARARGS | METH_KEYWORDS, set_inheritable_doc},
    {"shutdown", stream_shutdown, METH_O, shutdown_doc},
    {"close", stream_close, METH_NOARGS, close_doc},
    {"getpeername", sg_stream_getpeername, METH_NOARGS, getpeername_doc},
    {"getsockname", sg_stream_getsockname, METH_NOARGS, getsockname_doc},
    {"getsockopt", sg_stream_getsockopt, METH_VARARGS, getsockopt_doc},
    {"setsockopt", sg_stream_setsockopt, METH_VARARGS, setsockopt_doc},
    {"_decref_socketios", stream_decref_socketios, METH_NOARGS,
     decref_socketios_doc},
    {"__enter__", stream_enter, METH_NOARGS, enter_doc},
    {"__exit__", stream_exit, METH_VARARGS, exit_doc},
    {0},
};

static PyMemberDef stream_members[] = {
    {"_io_refs", T_INT, offsetof(sg_stream, io_refs), 0, NULL},
    {"bytes_sent", T_ULONGLONG, offsetof(sg_stream, bytes_sent), READONLY,
     bytes_sent_doc},
    {"bytes_received", T_ULONGLONG, offsetof(sg_stream, bytes_received),
     READONLY, bytes_received_doc},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(sg_stream, weakrefs), READONLY,
     NULL},
    {0},
};

static PyGetSetDef stream_getset[] = {
    {"family", sg_stream_get_family, NULL, family_doc, NULL},
    {"type", sg_stream_get_type, NULL, type_doc, NULL},
    {"proto", sg_stream_get_proto, NULL, proto_doc, NULL},
    {"timeout", stream_get_timeout, NULL, timeout_doc, NULL},
    {"closed", stream_get_closed, NULL, closed_doc, NULL},
    {"_closed", stream_get_closed, NULL, NULL, NULL},
    {0},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, (void *)stream_doc}, {Py_tp_traverse, sg_stream_traverse},
    {Py_tp_clear, sg_stream_clear},  {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods}, {Py_tp_members, stream_members},
    {Py_tp_getset, stream_getset},   {0, NULL},
};

PyType_Spec sg_stream_spec = {
    .name = "sshgateway._core.Stream",
    .basicsize = sizeof(sg_stream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = stream_slots,
};
