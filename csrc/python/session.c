/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.Session: one SSH connection to a gateway, step by step; see session.h.
 *
 * class Session:
 *     def __init__(fd, by_messages=True)      # owns the descriptor
 *     def handshake(kex, host_keys, ciphers, macs, timeout)
 *     def userauth_send(message, timeout)     # by messages; or
 *     def userauth_receive(timeout)
 *     def key_public(key, passphrase)
 *     def key_sign(algorithm, key, passphrase, data)
 *     def auth_none(user, timeout)            # by libssh2
 *     def auth_password(user, password, timeout)
 *     def auth_key(user, key, passphrase, certificate, timeout)
 *     def auth_signer(user, blob, sign, timeout)
 *     def auth_interactive(user, ask, timeout)
 *     def start(alive_interval, alive_count_max)
 *     def close()
 *     by_messages, hello, session_id, server_sig_algs
 *     host_key, methods, counts, failure, is_alive
 *
 * Up to start(), each step runs on the caller's thread without the GIL, and
 * only one thread at a time may use the session: gateway.py holds a lock, and
 * `is_busy` turns a mistake into an exception.  start() gives the session to
 * a loop of its own; then only close(), counts, failure and is_alive work,
 * and DirectTcpipChannel opens channels by the loop's id.
 */
#include "python/session.h"

#include <structmember.h>

#include "python/descriptor.h"
#include "python/error.h"
#include "python/session_internal.h"
#include "ssh/userauth.h"

static bool
is_forked(const sg_session_object *self)
{
    return self->generation != sg_sys_generation();
}

static void
raise_busy(void)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "the session is in use by another thread; let one thread "
                    "at a time call its methods");
}

int
sg_session_check_usable(const sg_session_object *self)
{
    if (self->session == NULL || is_forked(self)) {
        sg_raise_closed();
        return -1;
    }
    if (self->is_busy) {
        raise_busy();
        return -1;
    }
    return 0;
}

/* ---- Steps ------------------------------------------------------------ */

int
sg_step_begin(struct step *step, sg_session_object *self, PyObject *timeout)
{
    int64_t ns;

    if (sg_timeout_from(timeout, &ns) < 0) {
        return -1;
    }
    if (sg_session_check_usable(self) < 0) {
        return -1;
    }
    self->is_busy = true;
    *step = (struct step){.self = self,
                          .wait = {.deadline = sg_deadline_after(ns),
                                   .interrupt = sg_check_signals}};
    step->wait.arg = &step->thread;
    return 0;
}

int
sg_step_end(struct step *step, enum sg_status status, bool *is_refused)
{
    PyEval_RestoreThread(step->thread);
    step->self->is_busy = false;
    if (PyErr_Occurred()) {
        return -1; /* a signal handler or a callback has raised it */
    }
    if (status == SG_OK) {
        return 0;
    }
    if (status == SG_ERR_REFUSED && is_refused != NULL) {
        *is_refused = true;
        return 0;
    }
    sg_raise_made(sg_state_of(Py_TYPE((PyObject *)step->self))->messages,
                  "session_failed", "siiO&", sg_status_name(status),
                  step->error.err, step->error.code, sg_text_from,
                  step->error.text);
    return -1;
}

static PyObject *
session_handshake(PyObject *op, PyObject *args)
{
    struct sg_offers offers;
    PyObject *timeout;
    struct step step;
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "zzzzO:handshake", &offers.kex,
                          &offers.host_keys, &offers.ciphers, &offers.macs,
                          &timeout)
        || sg_step_begin(&step, (sg_session_object *)op, timeout) < 0) {
        return NULL;
    }
    STEP_RELEASE_GIL(&step);
    status = sg_session_handshake(step.self->session, &offers, &step.wait,
                                  &step.error);
    if (sg_step_end(&step, status, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- Life ------------------------------------------------------------- */

static PyObject *
session_start(PyObject *op, PyObject *args)
{
    sg_session_object *self = (sg_session_object *)op;
    struct sg_alive alive;
    struct sg_error error = {0};
    PyObject *interval;

    if (!PyArg_ParseTuple(args, "Oi:start", &interval, &alive.count_max)
        || sg_timeout_from(interval, &alive.interval) < 0) {
        return NULL;
    }
    if (sg_session_check_usable(self) < 0) {
        return NULL;
    }
    if (sg_session_start(self->session, &alive, &self->loop, &self->control,
                         &error)
        != SG_OK) {
        return sg_raise_errno(error.err);
    }
    self->session = NULL;
    Py_RETURN_NONE;
}

/* In a child of fork() the session is only forgotten and its memory leaks:
 * its descriptors are closed there, and sg_session_free() would write to and
 * close numbers that may belong to other files. */
static void
close_session(sg_session_object *self)
{
    struct sg_session *session = self->session;
    int control = self->control;

    self->session = NULL;
    self->control = -1;
    if (is_forked(self)) {
        return;
    }
    if (session != NULL) {
        Py_BEGIN_ALLOW_THREADS
        sg_session_free(session); /* closes the socket, which may linger */
        Py_END_ALLOW_THREADS
    }
    sg_descriptor_close(self->generation, &control);
}

static PyObject *
session_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    sg_session_object *self = (sg_session_object *)op;

    if (self->is_busy) {
        raise_busy();
        return NULL;
    }
    close_session(self);
    Py_RETURN_NONE;
}

uint64_t
sg_session_loop(PyObject *op)
{
    sg_session_object *self = (sg_session_object *)op;

    if (self->control < 0 || is_forked(self)) {
        sg_raise_closed();
        return 0;
    }
    return self->loop;
}

static int
session_init(PyObject *op, PyObject *args, PyObject *kwds)
{
    static const char *keywords[] = {"fd", "by_messages", NULL};
    sg_session_object *self = (sg_session_object *)op;
    struct sg_error error = {0};
    int fd, err, by_messages = 1;

    if (!PyArg_ParseTupleAndKeywords(args, kwds, "i|p:Session",
                                     (char **)keywords, &fd, &by_messages)) {
        return -1;
    }
    if (self->shared != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot initialize a Session twice; create a new one");
        return -1;
    }
    self->shared = sg_shared_new();
    if (self->shared == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    err = sg_sys_own(fd);
    if (err < 0) {
        sg_raise_errno(-err);
        return -1;
    }
    self->generation = sg_sys_generation();
    self->session = sg_session_new(fd, self->shared, &error);
    if (self->session == NULL) {
        sg_sys_disown(fd);
        sg_raise_errno(error.err);
        return -1;
    }
    if (by_messages && sg_userauth_is_available()) {
        sg_userauth_enable(self->session);
        self->by_messages = true;
    }
    return 0;
}

static PyObject *
session_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    sg_session_object *self = (sg_session_object *)PyType_GenericAlloc(type,
                                                                       0);

    (void)args;
    (void)kwds;
    if (self != NULL) {
        self->control = -1;
        self->generation = sg_sys_generation();
    }
    return (PyObject *)self;
}

static void
session_dealloc(PyObject *op)
{
    sg_session_object *self = (sg_session_object *)op;
    PyTypeObject *type = Py_TYPE(op);

    close_session(self);
    sg_shared_unref(self->shared);
    PyObject_Free(op);
    Py_DECREF(type);
}

/* ---- Attributes ------------------------------------------------------- */

static PyObject *
session_get_host_key(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;
    const char *blob;
    size_t n;

    if (sg_session_check_usable(self) < 0) {
        return NULL;
    }
    blob = sg_session_host_key(self->session, &n);
    return PyBytes_FromStringAndSize(blob, (Py_ssize_t)n);
}

static PyObject *
session_get_session_id(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;
    const unsigned char *id;
    size_t n;

    if (sg_session_check_usable(self) < 0) {
        return NULL;
    }
    id = sg_userauth_session_id(self->session, &n);
    return PyBytes_FromStringAndSize((const char *)id,
                                     id != NULL ? (Py_ssize_t)n : 0);
}

static PyObject *
session_get_server_sig_algs(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;
    const char *names;

    if (sg_session_check_usable(self) < 0) {
        return NULL;
    }
    names = sg_userauth_sig_algs(self->session);
    if (names == NULL) {
        Py_RETURN_NONE;
    }
    return sg_text_from((void *)names);
}

static PyObject *
session_get_hello(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;
    const char *bytes;
    size_t n;

    if (sg_session_check_usable(self) < 0) {
        return NULL;
    }
    bytes = sg_session_hello(self->session, &n);
    return PyBytes_FromStringAndSize(n != 0 ? bytes : NULL, (Py_ssize_t)n);
}

static PyObject *
session_get_by_messages(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((sg_session_object *)op)->by_messages);
}

static PyObject *
session_get_methods(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;

    if (sg_session_check_usable(self) < 0) {
        return NULL;
    }
    return Py_BuildValue(
        "{sssssssssO&}", "kex",
        sg_session_method(self->session, SG_METHOD_KEX), "host_key",
        sg_session_method(self->session, SG_METHOD_HOST_KEY), "cipher",
        sg_session_method(self->session, SG_METHOD_CIPHER), "mac",
        sg_session_method(self->session, SG_METHOD_MAC), "server_version",
        sg_text_from,
        (void *)sg_session_method(self->session, SG_METHOD_VERSION));
}

static PyObject *
session_get_counts(PyObject *op, void *Py_UNUSED(closure))
{
    struct sg_shared *shared = ((sg_session_object *)op)->shared;

    if (shared == NULL) {
        return sg_raise_closed();
    }
    return Py_BuildValue(
        "{sLsLsLsLsLsL}", "bytes_sent",
        sg_shared_get_count(shared, SG_COUNT_SENT), "bytes_received",
        sg_shared_get_count(shared, SG_COUNT_RECEIVED), "channels_open",
        sg_shared_get_count(shared, SG_COUNT_OPEN), "channels_opened",
        sg_shared_get_count(shared, SG_COUNT_OPENED), "rekeys",
        sg_shared_get_count(shared, SG_COUNT_REKEYS), "round_trip",
        sg_shared_get_count(shared, SG_COUNT_ROUND_TRIP));
}

static PyObject *
session_get_failure(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;
    char text[SG_ERROR_TEXT];
    int err;

    if (self->shared == NULL || is_forked(self)) {
        Py_RETURN_NONE;
    }
    err = sg_shared_get_failure(self->shared, text);
    if (err == 0) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("iO&", err, sg_text_from, text);
}

static PyObject *
session_get_is_alive(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;

    return PyBool_FromLong(self->control >= 0 && !is_forked(self)
                           && sg_shared_get_failure(self->shared, NULL) == 0);
}

/* ---- The type --------------------------------------------------------- */

#include "python/session_doc.h"

static PyMethodDef session_methods[] = {
    {"handshake", session_handshake, METH_VARARGS, handshake_doc},
    {"userauth_send", sg_session_userauth_send, METH_VARARGS,
     userauth_send_doc},
    {"userauth_receive", sg_session_userauth_receive, METH_VARARGS,
     userauth_receive_doc},
    {"key_public", sg_session_key_public, METH_VARARGS, key_public_doc},
    {"key_sign", sg_session_key_sign, METH_VARARGS, key_sign_doc},
    {"auth_none", sg_session_auth_none, METH_VARARGS, auth_none_doc},
    {"auth_password", sg_session_auth_password, METH_VARARGS,
     auth_password_doc},
    {"auth_key", sg_session_auth_key, METH_VARARGS, auth_key_doc},
    {"auth_signer", sg_session_auth_signer, METH_VARARGS, auth_signer_doc},
    {"auth_interactive", sg_session_auth_interactive, METH_VARARGS,
     auth_interactive_doc},
    {"start", session_start, METH_VARARGS, start_doc},
    {"close", session_close, METH_NOARGS, session_close_doc},
    {0},
};

static PyGetSetDef session_getset[] = {
    {"by_messages", session_get_by_messages, NULL, by_messages_doc, NULL},
    {"hello", session_get_hello, NULL, hello_doc, NULL},
    {"session_id", session_get_session_id, NULL, session_id_doc, NULL},
    {"server_sig_algs", session_get_server_sig_algs, NULL, server_sig_algs_doc,
     NULL},
    {"host_key", session_get_host_key, NULL, host_key_doc, NULL},
    {"methods", session_get_methods, NULL, methods_doc, NULL},
    {"counts", session_get_counts, NULL, counts_doc, NULL},
    {"failure", session_get_failure, NULL, failure_doc, NULL},
    {"is_alive", session_get_is_alive, NULL, is_alive_doc, NULL},
    {0},
};

static PyType_Slot session_slots[] = {
    {Py_tp_doc, (void *)session_doc},
    {Py_tp_new, session_new},
    {Py_tp_init, session_init},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, session_methods},
    {Py_tp_getset, session_getset},
    {0, NULL},
};

PyType_Spec sg_session_spec = {
    .name = "sshgateway._core.Session",
    .basicsize = sizeof(sg_session_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = session_slots,
};
