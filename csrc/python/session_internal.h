/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What session.c and session_auth.c share: the object, and the steps of the
 * protocol.  No other file includes this header.
 */
#ifndef SG_PY_SESSION_INTERNAL_H
#define SG_PY_SESSION_INTERNAL_H

#include "python/session.h"
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
    /* True while a step runs without the GIL.  sg_step_begin() sets it and
     * sg_step_end() clears it.  sg_session_check_usable() and close() read
     * it, because they can run in another thread meanwhile. */
    bool is_busy;
    bool by_messages; /* userauth_send() and _receive() can be used */
} sg_session_object;

/* Return 0 if the caller may use `session`, or -1 with an exception: OSError
 * (EBADF) after start(), after close() or in a child of fork(), RuntimeError
 * if another thread uses it. */
int sg_session_check_usable(const sg_session_object *self);

/* One step of the protocol, on the caller's thread without the GIL:
 *
 *     sg_step_begin(&step, self, timeout);
 *     STEP_RELEASE_GIL(&step);
 *     status = sg_auth_...(step.self->session, ..., &step.wait, &step.error);
 *     return step_answer(&step, status);    # takes the GIL; or sg_step_end()
 */
struct step {
    sg_session_object *self;
    PyThreadState *thread; /* what PyEval_SaveThread() returned */
    struct sg_wait wait;   /* the deadline, and sg_check_signals(&thread) */
    struct sg_error error; /* why the engine's function failed */
};

/* Prepare a step that may take `timeout` (seconds, or None), and mark the
 * session busy.  Returns 0, or -1 with an exception and nothing to end. */
int sg_step_begin(struct step *step, sg_session_object *self,
                  PyObject *timeout);

/* sg_step_end() takes the GIL again. */
#define STEP_RELEASE_GIL(step) (step)->thread = PyEval_SaveThread()

/* Take the GIL and end the step.  Returns 0, or -1 with an exception.  If
 * `is_refused` is not NULL, a refusal by the server (SG_ERR_REFUSED) sets
 * *is_refused and is no exception. */
int sg_step_end(struct step *step, enum sg_status status, bool *is_refused);

/* ---- session_auth.c: methods of the type ------------------------------ */

PyObject *sg_session_auth_none(PyObject *op, PyObject *args);
PyObject *sg_session_auth_password(PyObject *op, PyObject *args);
PyObject *sg_session_auth_key(PyObject *op, PyObject *args);
PyObject *sg_session_auth_signer(PyObject *op, PyObject *args);
PyObject *sg_session_auth_interactive(PyObject *op, PyObject *args);
PyObject *sg_session_userauth_send(PyObject *op, PyObject *args);
PyObject *sg_session_userauth_receive(PyObject *op, PyObject *args);
PyObject *sg_session_key_public(PyObject *op, PyObject *args);
PyObject *sg_session_key_sign(PyObject *op, PyObject *args);

#endif
