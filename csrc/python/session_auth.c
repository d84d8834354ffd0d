/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The methods of _core.Session that authenticate a user; see session.h.
 *
 * userauth_send() and userauth_receive() carry messages that Python composes
 * and reads; key_public() and key_sign() use a private key.  They need the
 * pinned libssh2.  The auth_...() methods let libssh2 compose the messages.
 */
#include "python/error.h"

#include <stdlib.h>
#include <string.h>
#include "python/session_internal.h"
#include "ssh/auth.h"
#include "ssh/userauth.h"

/* End a step of authentication.  Returns None if the server is satisfied,
 * (code, text) of libssh2's error if it refuses, or NULL with an
 * exception. */
static PyObject *
step_answer(struct step *step, enum sg_status status)
{
    bool is_refused = false;

    if (sg_step_end(step, status, &is_refused) < 0) {
        return NULL;
    }
    if (is_refused) {
        return Py_BuildValue("iO&", step->error.code, sg_text_from,
                             step->error.text);
    }
    Py_RETURN_NONE;
}

PyObject *
sg_session_auth_none(PyObject *op, PyObject *args)
{
    const char *user, *methods;
    PyObject *timeout;
    struct step step;
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "sO:auth_none", &user, &timeout)
        || sg_step_begin(&step, (sg_session_object *)op, timeout) < 0) {
        return NULL;
    }
    STEP_RELEASE_GIL(&step);
    status = sg_auth_none(step.self->session, user, &methods, &step.wait,
                          &step.error);
    if (sg_step_end(&step, status, NULL) < 0) {
        return NULL;
    }
    if (methods == NULL) {
        Py_RETURN_NONE;
    }
    return sg_text_from((void *)methods);
}

PyObject *
sg_session_auth_password(PyObject *op, PyObject *args)
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
    if (sg_step_begin(&step, (sg_session_object *)op, timeout) == 0) {
        STEP_RELEASE_GIL(&step);
        status = sg_auth_password(step.self->session, user, password.buf,
                                  (size_t)password.len, &step.wait,
                                  &step.error);
        result = step_answer(&step, status);
    }
    PyBuffer_Release(&password);
    return result;
}

PyObject *
sg_session_auth_key(PyObject *op, PyObject *args)
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
    if (sg_step_begin(&step, (sg_session_object *)op, timeout) == 0) {
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
 * function raises stays set, and sg_step_end() finds it. */
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
    Py_ssize_t len;
    char *copy = NULL;

    PyEval_RestoreThread(callback->step->thread);
    if (!PyErr_Occurred()) {
        result = PyObject_CallFunction(
            callback->function, "O&O&O&O", sg_text_from, (void *)name,
            sg_text_from, (void *)instruction, sg_text_from, (void *)prompt,
            echo ? Py_True : Py_False);
    }
    if (result != NULL && result != Py_None) {
        text = PyUnicode_AsUTF8AndSize(result, &len);
    }
    if (text != NULL && memchr(text, 0, (size_t)len) != NULL) {
        PyErr_SetString(PyExc_ValueError, "the answer has a null character");
    }
    else if (text != NULL) {
        copy = strdup(text);
    }
    Py_XDECREF(result);
    callback->step->thread = PyEval_SaveThread();
    return copy;
}

PyObject *
sg_session_auth_signer(PyObject *op, PyObject *args)
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
    if (sg_step_begin(&step, (sg_session_object *)op, timeout) == 0) {
        STEP_RELEASE_GIL(&step);
        status = sg_auth_signer(step.self->session, user, blob.buf,
                                (size_t)blob.len, &signer, &step.wait,
                                &step.error);
        result = step_answer(&step, status);
    }
    PyBuffer_Release(&blob);
    return result;
}

PyObject *
sg_session_auth_interactive(PyObject *op, PyObject *args)
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
        || sg_step_begin(&step, (sg_session_object *)op, timeout) < 0) {
        return NULL;
    }
    STEP_RELEASE_GIL(&step);
    status = sg_auth_interactive(step.self->session, user, &responder,
                                 &step.wait, &step.error);
    return step_answer(&step, status);
}

/* ---- Messages --------------------------------------------------------- */

PyObject *
sg_session_userauth_send(PyObject *op, PyObject *args)
{
    Py_buffer message;
    PyObject *timeout, *result = NULL;
    struct step step;
    enum sg_status status;

    if (!PyArg_ParseTuple(args, "y*O:userauth_send", &message, &timeout)) {
        return NULL;
    }
    if (sg_step_begin(&step, (sg_session_object *)op, timeout) == 0) {
        STEP_RELEASE_GIL(&step);
        status = sg_userauth_send(step.self->session, message.buf,
                                  (size_t)message.len, &step.wait,
                                  &step.error);
        if (sg_step_end(&step, status, NULL) == 0) {
            result = Py_NewRef(Py_None);
        }
    }
    PyBuffer_Release(&message);
    return result;
}

PyObject *
sg_session_userauth_receive(PyObject *op, PyObject *args)
{
    unsigned char *message = NULL;
    PyObject *timeout, *result = NULL;
    struct step step;
    enum sg_status status;
    size_t n = 0;

    if (!PyArg_ParseTuple(args, "O:userauth_receive", &timeout)
        || sg_step_begin(&step, (sg_session_object *)op, timeout) < 0) {
        return NULL;
    }
    STEP_RELEASE_GIL(&step);
    status = sg_userauth_receive(step.self->session, &message, &n, &step.wait,
                                 &step.error);
    if (sg_step_end(&step, status, NULL) == 0) {
        result = PyBytes_FromStringAndSize((const char *)message,
                                           (Py_ssize_t)n);
    }
    /* A handler that ran during the wait cannot have freed the session: it
     * was busy. */
    sg_userauth_free(step.self->session, message);
    return result;
}

/* End a step that uses a private key: return `n` bytes of `made`, and free
 * them.  A key that cannot be used is a ValueError with libssh2's words. */
static PyObject *
key_answer(struct step *step, enum sg_status status, unsigned char *made,
           size_t n)
{
    PyObject *result = NULL;
    bool is_refused = false;

    if (sg_step_end(step, status, &is_refused) == 0 && !is_refused) {
        result = PyBytes_FromStringAndSize((const char *)made, (Py_ssize_t)n);
    }
    if (is_refused) {
        PyObject *text = sg_text_from(step->error.text);

        if (text != NULL) {
            PyErr_SetObject(PyExc_ValueError, text);
            Py_DECREF(text);
        }
    }
    sg_userauth_free(step->self->session, made);
    return result;
}

PyObject *
sg_session_key_public(PyObject *op, PyObject *args)
{
    Py_buffer text;
    struct sg_private_key key;
    PyObject *result = NULL;
    unsigned char *blob = NULL;
    struct step step;
    enum sg_status status;
    size_t n = 0;

    if (!PyArg_ParseTuple(args, "y*z:key_public", &text, &key.passphrase)) {
        return NULL;
    }
    if (sg_step_begin(&step, (sg_session_object *)op, Py_None) == 0) {
        key.text = text.buf;
        key.len = (size_t)text.len;
        STEP_RELEASE_GIL(&step);
        status = sg_userauth_public_key(step.self->session, &key, &blob, &n,
                                        &step.error);
        result = key_answer(&step, status, blob, n);
    }
    PyBuffer_Release(&text);
    return result;
}

PyObject *
sg_session_key_sign(PyObject *op, PyObject *args)
{
    const char *algorithm;
    Py_buffer text, data;
    struct sg_private_key key;
    PyObject *result = NULL;
    unsigned char *signature = NULL;
    struct step step;
    enum sg_status status;
    size_t n = 0;

    if (!PyArg_ParseTuple(args, "sy*zy*:key_sign", &algorithm, &text,
                          &key.passphrase, &data)) {
        return NULL;
    }
    if (sg_step_begin(&step, (sg_session_object *)op, Py_None) == 0) {
        key.text = text.buf;
        key.len = (size_t)text.len;
        STEP_RELEASE_GIL(&step);
        status = sg_userauth_sign(step.self->session, &key, algorithm,
                                  data.buf, (size_t)data.len, &signature, &n,
                                  &step.error);
        result = key_answer(&step, status, signature, n);
    }
    PyBuffer_Release(&text);
    PyBuffer_Release(&data);
    return result;
}
