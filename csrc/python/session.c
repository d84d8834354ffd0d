/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.Session; see py_session.h.
 *
 * class Session:
 *     def __init__(fd)                 # takes the descriptor over
 *     def handshake(host_key_types, timeout)
 *     def auth_none(user, timeout)     # ... password, key, signer, interactive
 *     def start()                      # to its own loop: channels from here
 *     def close()
 *     host_key, methods, failure, is_alive
 *
 * Until start() it is used by one thread at a time (gateway.py holds a lock);
 * `is_busy` catches the rest.
 */
#include "python/session.h"

#include <structmember.h>

#include "ssh/auth.h"
#include "python/error.h"
#include "ssh/session.h"
#include "sys/sys.h"

typedef struct {
    PyObject_HEAD
    struct sg_session *session; /* until start() */
    struct sg_shared *shared;
    uint64_t loop;       /* after start() */
    int control;         /* open for as long as it shall live */
    unsigned generation; /* as in sg_stream */
    bool is_busy;
} sg_session_object;

static bool
is_forked(const sg_session_object *self)
{
    return self->generation != sg_sys_generation();
}

/* 0; or -1 with an exception, when it is not the caller's to use. */
static int
check_usable(const sg_session_object *self)
{
    if (self->session == NULL || is_forked(self)) {
        sg_raise_closed();
        return -1;
    }
    if (self->is_busy) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the session is in use by another thread");
        return -1;
    }
    return 0;
}

/* ---- Steps ------------------------------------------------------------ */

/* A step on the caller's thread, without the GIL. */
struct step {
    sg_session_object *self;
    PyThreadState *thread;
    struct sg_wait wait;
    struct sg_error error;
};

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

#define STEP_WITHOUT_GIL(step) (step)->thread = PyEval_SaveThread()

/* 0, or -1 with an exception; a refusal is no exception when the caller
 * wants to know of it. */
static int
step_end(struct step *step, enum sg_status status, bool *is_refused)
{
    PyEval_RestoreThread(step->thread);
    step->self->is_busy = false;
    if (PyErr_Occurred()) {
        return -1; /* of a signal handler or a callback */
    }
    if (status == SG_OK) {
        return 0;
    }
    if (status == SG_ERR_REFUSED && is_refused != NULL) {
        *is_refused = true;
        return 0;
    }
    sg_raise_made(sg_state_of((PyObject *)step->self)->messages,
                  "session_failed", "siis", sg_status_name(status),
                  step->error.err, step->error.code, step->error.text);
    return -1;
}

/* None on success; after a refusal (code, text), libssh2's error code and
 * message. */
static PyObject *
step_answer(struct step *step, enum sg_status status)
{
    bool is_refused = false;

    if (step_end(step, status, &is_refused) < 0) {
        return NULL;
    }
    if (is_refused) {
        PyObject *text = PyUnicode_DecodeUTF8(
            step->error.text, (Py_ssize_t)strlen(step->error.text),
            "backslashreplace");

        return text != NULL ? Py_BuildValue("iN", step->error.code, text)
                            : NULL;
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
    STEP_WITHOUT_GIL(&step);
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
    STEP_WITHOUT_GIL(&step);
    status = sg_auth_none(step.self->session, user, &methods, &step.wait,
                          &step.error);
    if (step_end(&step, status, NULL) < 0) {
        return NULL;
    }
    if (methods == NULL) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(methods);
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
        STEP_WITHOUT_GIL(&step);
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
        STEP_WITHOUT_GIL(&step);
        status = sg_auth_key(step.self->session, user, key.buf,
                             (size_t)key.len, passphrase, certificate,
                             &step.wait, &step.error);
        result = step_answer(&step, status);
    }
    PyBuffer_Release(&key);
    return result;
}

/* ---- Callbacks -------------------------------------------------------- */

/* What a callback calls, and the step whose thread state it borrows. */
struct callback {
    PyObject *function;
    struct step *step;
};

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

static char *
call_asker(void *arg, const char *name, const char *instruction,
           const char *prompt, bool echo)
{
    struct callback *callback = arg;
    PyObject *result = NULL;
    const char *text = NULL;
    char *copy = NULL;

    PyEval_RestoreThread(callback->step->thread);
    if (!PyErr_Occurred()) {
        result = PyObject_CallFunction(callback->function, "sssO", name,
                                       instruction, prompt,
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
        STEP_WITHOUT_GIL(&step);
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
    struct sg_asker asker = {.ask = call_asker, .arg = &callback};
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "sOO:auth_interactive", &user,
                          &callback.function, &timeout)
        || step_begin(&step, (sg_session_object *)op, timeout) < 0) {
        return NULL;
    }
    STEP_WITHOUT_GIL(&step);
    status = sg_auth_interactive(step.self->session, user, &asker, &step.wait,
                                 &step.error);
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

/* In a forked child the descriptors are closed, and nothing may be said to
 * the server: the memory is left alone. */
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
        PyErr_SetString(PyExc_RuntimeError,
                        "the session is in use by another thread");
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
        PyErr_SetString(PyExc_RuntimeError, "__init__ called twice");
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
        "{ssssssssss}", "kex", sg_session_method(self->session, SG_METHOD_KEX),
        "host_key", sg_session_method(self->session, SG_METHOD_HOST_KEY),
        "cipher", sg_session_method(self->session, SG_METHOD_CIPHER), "mac",
        sg_session_method(self->session, SG_METHOD_MAC), "server_version",
        sg_session_method(self->session, SG_METHOD_BANNER));
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
    return Py_BuildValue("is", err, text);
}

static PyObject *
session_get_is_alive(PyObject *op, void *Py_UNUSED(closure))
{
    sg_session_object *self = (sg_session_object *)op;

    return PyBool_FromLong(self->control >= 0 && !is_forked(self)
                           && sg_shared_get_failure(self->shared, NULL) == 0);
}

static PyMethodDef session_methods[] = {
    {"handshake", session_handshake, METH_VARARGS,
     PyDoc_STR("handshake($self, host_key_types, timeout, /)\n--\n\n"
               "Version and key exchange (RFC 4253).  host_key_types: a\n"
               "comma list of those to offer first, or None.")},
    {"auth_none", session_auth_none, METH_VARARGS,
     PyDoc_STR("auth_none($self, user, timeout, /)\n--\n\n"
               "The methods the server takes, a comma list; None when it\n"
               "is satisfied already (RFC 4252 5.2).")},
    {"auth_password", session_auth_password, METH_VARARGS,
     PyDoc_STR("auth_password($self, user, password, timeout, /)\n--\n\n"
               "None, or why it was refused (RFC 4252 8).")},
    {"auth_key", session_auth_key, METH_VARARGS,
     PyDoc_STR("auth_key($self, user, key, passphrase, certificate, timeout,"
               " /)\n--\n\n"
               "A private key as bytes, with its certificate's line or None;\n"
               "None, or why it was refused.")},
    {"auth_signer", session_auth_signer, METH_VARARGS,
     PyDoc_STR("auth_signer($self, user, blob, sign, timeout, /)\n--\n\n"
               "A public key, and sign(algorithm, data) that returns the\n"
               "bare signature; None, or why it was refused.")},
    {"auth_interactive", session_auth_interactive, METH_VARARGS,
     PyDoc_STR("auth_interactive($self, user, ask, timeout, /)\n--\n\n"
               "ask(name, instruction, prompt, echo) returns the response\n"
               "(RFC 4256); None, or why it was refused.")},
    {"start", session_start, METH_VARARGS,
     PyDoc_STR("start($self, alive_interval, alive_count_max, /)\n--\n\n"
               "Give the session to a loop of its own.  alive_interval:\n"
               "seconds of silence until the server is asked, 0 for never;\n"
               "it is lost after so many more.")},
    {"close", session_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\n"
               "End the session and its channels, in the background.")},
    {0},
};

static PyGetSetDef session_getset[] = {
    {"host_key", session_get_host_key, NULL,
     PyDoc_STR("The server's public key, a blob of RFC 4253 6.6."), NULL},
    {"methods", session_get_methods, NULL,
     PyDoc_STR("What was agreed upon, a dict."), NULL},
    {"counts", session_get_counts, NULL,
     PyDoc_STR("What was counted so far, a dict; round_trip in ns."), NULL},
    {"failure", session_get_failure, NULL,
     PyDoc_STR("(errno, text) of what ended it, or None."), NULL},
    {"is_alive", session_get_is_alive, NULL,
     PyDoc_STR("Started, and neither closed nor lost."), NULL},
    {0},
};

PyDoc_STRVAR(session_doc,
             "Session(fd)\n--\n\n"
             "One SSH connection, on a connected socket that it takes over.");

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
