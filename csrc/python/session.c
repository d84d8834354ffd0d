/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.Session: one SSH connection to a gateway, step by step; see session.h.
 *
 * class Session:
 *     def __init__(fd)                 # the session owns the descriptor
 *     def handshake(host_key_types, timeout)
 *     def auth_none(user, timeout)
 *     def auth_password(user, password, timeout)
 *     def auth_key(user, key, passphrase, certificate, timeout)
 *     def auth_signer(user, blob, sign, timeout)
 *     def auth_interactive(user, ask, timeout)
 *     def start(alive_interval, alive_count_max)
 *     def close()
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

#include "ssh/auth.h"
#include "python/error.h"
#include "ssh/session.h"
#include "sys/sys.h"

typedef struct {
    PyObject_HEAD
    /* The GIL guards all fields. */
    struct sg_session *session; /* NULL after start() and close() */
    struct sg_shared *shared; /* counts and the failure; NULL until __init__ */
    uint64_t loop;            /* the id of the loop; 0 until start() */
    int control;         /* closing it ends the session; -1 until start() */
    unsigned generation; /* of the process, as in struct sg_stream */
    /* True while a step runs without the GIL.  step_begin() sets it and
     * step_end() clears it.  check_usable() and close() read it, because they
     * can run in another thread meanwhile. */
    bool is_busy;
} sg_session_object;

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

/* Return 0 if the caller may use `session`, or -1 with an exception: OSError
 * (EBADF) after start(), after close() or in a child of fork(), RuntimeError
 * if another thread uses it. */
static int
check_usable(const sg_session_object *self)
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

/* One step of the protocol, on the caller's thread without the GIL:
 *
 *     step_begin(&step, self, timeout);
 *     STEP_RELEASE_GIL(&step);
 *     status = sg_auth_...(step.self->session, ..., &step.wait, &step.error);
 *     return step_answer(&step, status);    # takes the GIL; or step_end()
 */
struct step {
    sg_session_object *self;
    PyThreadState *thread; /* what PyEval_SaveThread() returned */
    struct sg_wait wait;   /* the deadline, and sg_check_signals(&thread) */
    struct sg_error error; /* why the engine's function failed */
};

/* Prepare a step that may take `timeout` (seconds, or None), and mark the
 * session busy.  Returns 0, or -1 with an exception and nothing to end. */
static int
step_begin(struct step *step, sg_session_object *self, PyObject *timeout)
{
    int64_t ns;

    if (sg_timeout_from(timeout, &ns) < 0) {
        return -1;
    }
    if (check_usable(self) < 0) {
        return -1;
    }
    self->is_busy = true;
    *step = (struct step){.self = self,
                          .wait = {.deadline = sg_deadline_after(ns),
                                   .interrupt = sg_check_signals}};
    step->wait.arg = &step->thread;
    return 0;
}

/* step_end() takes the GIL again. */
#define STEP_RELEASE_GIL(step) (step)->thread = PyEval_SaveThread()

/* Take the GIL and end the step.  Returns 0, or -1 with an exception.  If
 * `is_refused` is not NULL, a refusal by the server (SG_ERR_REFUSED) sets
 * *is_refused and is no exception. */
static int
step_end(struct step *step, enum sg_status status, bool *is_refused)
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
    sg_raise_made(sg_state_of((PyObject *)step->self)->messages,
                  "session_failed", "siiO&", sg_status_name(status),
                  step->error.err, step->error.code, sg_text_from,
                  step->error.text);
    return -1;
}

/* End a step of authentication.  Returns None if the server is satisfied,
 * (code, text) of libssh2's error if it refuses, or NULL with an
 * exception. */
static PyObject *
step_answer(struct step *step, enum sg_status status)
{
    bool is_refused = false;

    if (step_end(step, status, &is_refused) < 0) {
        return NULL;
    }
    if (is_refused) {
        return Py_BuildValue("iO&", step->error.code, sg_text_from,
                             step->error.text);
    }
    Py_RETURN_NONE;
}

static PyObject *
session_handshake(PyObject *op, PyObject *args)
{
    const char *host_key_types;
    PyObject *timeout;
    struct step step;
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "zO:handshake", &host_key_types, &timeout)
        || step_begin(&step, (sg_session_object *)op, timeout) < 0) {
        return NULL;
    }
    STEP_RELEASE_GIL(&step);
    status = sg_session_handshake(step.self->session, host_key_types,
                                  &step.wait, &step.error);
    if (step_end(&step, status, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
session_auth_none(PyObject *op, PyObject *args)
{
    const char *user, *methods;
    PyObject *timeout;
    struct step step;
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "sO:auth_none", &user, &timeout)
        || step_begin(&step, (sg_session_object *)op, timeout) < 0) {
        return NULL;
    }
    STEP_RELEASE_GIL(&step);
    status = sg_auth_none(step.self->session, user, &methods, &step.wait,
                          &step.error);
    if (step_end(&step, status, NULL) < 0) {
        return NULL;
    }
    if (methods == NULL) {
        Py_RETURN_NONE;
    }
    return sg_text_from((void *)methods);
}

static PyObject *
session_auth_password(PyObject *op, PyObject *args)
{
    const char *user;
    Py_buffer password;
    PyObject *timeout, *result = NULL;
    struct step step;
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "sy*O:auth_password", &user, &password,
                          &timeout)) {
        return NULL;
    }
    if (step_begin(&step, (sg_session_object *)op, timeout) == 0) {
        STEP_RELEASE_GIL(&step);
        status = sg_auth_password(step.self->session, user, password.buf,
                                  (size_t)password.len, &step.wait,
                                  &step.error);
        result = step_answer(&step, status);
    }
    PyBuffer_Release(&password);
    return result;
}

static PyObject *
session_auth_key(PyObject *op, PyObject *args)
{
    const char *user, *passphrase, *certificate;
    Py_buffer key;
    PyObject *timeout, *result = NULL;
    struct step step;
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "sy*zzO:auth_key", &user, &key, &passphrase,
                          &certificate, &timeout)) {
        return NULL;
    }
    if (step_begin(&step, (sg_session_object *)op, timeout) == 0) {
        STEP_RELEASE_GIL(&step);
        status = sg_auth_key(step.self->session, user, key.buf,
                             (size_t)key.len, passphrase, certificate,
                             &step.wait, &step.error);
        result = step_answer(&step, status);
    }
    PyBuffer_Release(&key);
    return result;
}

/* ---- Callbacks -------------------------------------------------------- */

/* The `arg` of call_signer() and call_responder().  The engine calls them on
 * the caller's thread without the GIL; they take it with the step's thread
 * state and release it before they return.  An exception that the Python
 * function raises stays set, and step_end() finds it. */
struct callback {
    PyObject *function; /* borrowed from the arguments of the method */
    struct step *step;
};

/* See struct sg_signer: call sign(algorithm, data). */
static int
call_signer(void *arg, const char *algorithm, const unsigned char *data,
            size_t n, unsigned char **signature, size_t *signature_len)
{
    struct callback *callback = arg;
    PyObject *result;
    char *bytes;
    Py_ssize_t len;
    int answer = -1;

    PyEval_RestoreThread(callback->step->thread);
    result = PyObject_CallFunction(callback->function, "sy#", algorithm,
                                   (const char *)data, (Py_ssize_t)n);
    if (result != NULL && PyBytes_AsStringAndSize(result, &bytes, &len) == 0) {
        *signature = malloc((size_t)len + 1);
        if (*signature != NULL) {
            memcpy(*signature, bytes, (size_t)len);
            *signature_len = (size_t)len;
            answer = 0;
        }
    }
    Py_XDECREF(result);
    callback->step->thread = PyEval_SaveThread();
    return answer;
}

/* See struct sg_responder: call ask(name, instruction, prompt, echo).  After
 * an exception no further prompt is passed on. */
static char *
call_responder(void *arg, const char *name, const char *instruction,
               const char *prompt, bool echo)
{
    struct callback *callback = arg;
    PyObject *result = NULL;
    const char *text = NULL;
    char *copy = NULL;

    PyEval_RestoreThread(callback->step->thread);
    if (!PyErr_Occurred()) {
        result = PyObject_CallFunction(
            callback->function, "O&O&O&O", sg_text_from, (void *)name,
            sg_text_from, (void *)instruction, sg_text_from, (void *)prompt,
            echo ? Py_True : Py_False);
    }
    if (result != NULL && result != Py_None) {
        text = PyUnicode_AsUTF8(result);
    }
    if (text != NULL) {
        copy = strdup(text);
    }
    Py_XDECREF(result);
    callback->step->thread = PyEval_SaveThread();
    return copy;
}

static PyObject *
session_auth_signer(PyObject *op, PyObject *args)
{
    const char *user;
    Py_buffer blob;
    PyObject *timeout, *result = NULL;
    struct step step;
    struct callback callback = {.step = &step};
    struct sg_signer signer = {.sign = call_signer, .arg = &callback};
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "sy*OO:auth_signer", &user, &blob,
                          &callback.function, &timeout)) {
        return NULL;
    }
    if (step_begin(&step, (sg_session_object *)op, timeout) == 0) {
        STEP_RELEASE_GIL(&step);
        status = sg_auth_signer(step.self->session, user, blob.buf,
                                (size_t)blob.len, &signer, &step.wait,
                                &step.error);
        result = step_answer(&step, status);
    }
    PyBuffer_Release(&blob);
    return result;
}

static PyObject *
session_auth_interactive(PyObject *op, PyObject *args)
{
    const char *user;
    PyObject *timeout;
    struct step step;
    struct callback callback = {.step = &step};
    struct sg_responder responder = {.respond = call_responder,
                                     .arg = &callback};
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "sOO:auth_interactive", &user,
                          &callback.function, &timeout)
        || step_begin(&step, (sg_session_object *)op, timeout) < 0) {
        return NULL;
    }
    STEP_RELEASE_GIL(&step);
    status = sg_auth_interactive(step.self->session, user, &responder,
                                 &step.wait, &step.error);
    return step_answer(&step, status);
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
    if (check_usable(self) < 0) {
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
        sg_session_free(session);
    }
    sg_sys_close(&control);
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
    static const char *keywords[] = {"fd", NULL};
    sg_session_object *self = (sg_session_object *)op;
    struct sg_error error = {0};
    int fd, err;

    if (!PyArg_ParseTupleAndKeywords(args, kwds, "i:Session",
                                     (char **)keywords, &fd)) {
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
    return 0;
}

static PyObject *
session_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    sg_session_object *self = (sg_session_object *)type->tp_alloc(type, 0);

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
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- Attributes ------------------------------------------------------- */

static PyObject *
session_get_host_key(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;
    const char *blob;
    size_t n;

    if (check_usable(self) < 0) {
        return NULL;
    }
    blob = sg_session_host_key(self->session, &n);
    return PyBytes_FromStringAndSize(blob, (Py_ssize_t)n);
}

static PyObject *
session_get_methods(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;

    if (check_usable(self) < 0) {
        return NULL;
    }
    return Py_BuildValue(
        "{sssssssssO&}", "kex",
        sg_session_method(self->session, SG_METHOD_KEX), "host_key",
        sg_session_method(self->session, SG_METHOD_HOST_KEY), "cipher",
        sg_session_method(self->session, SG_METHOD_CIPHER), "mac",
        sg_session_method(self->session, SG_METHOD_MAC), "server_version",
        sg_text_from,
        (void *)sg_session_method(self->session, SG_METHOD_BANNER));
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
    {"auth_none", session_auth_none, METH_VARARGS, auth_none_doc},
    {"auth_password", session_auth_password, METH_VARARGS, auth_password_doc},
    {"auth_key", session_auth_key, METH_VARARGS, auth_key_doc},
    {"auth_signer", session_auth_signer, METH_VARARGS, auth_signer_doc},
    {"auth_interactive", session_auth_interactive, METH_VARARGS,
     auth_interactive_doc},
    {"start", session_start, METH_VARARGS, start_doc},
    {"close", session_close, METH_NOARGS, session_close_doc},
    {0},
};

static PyGetSetDef session_getset[] = {
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
