/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.DirectTcpipChannel: a stream that a channel of an SSH connection
 * carries.
 *
 * class DirectTcpipChannel(Stream):
 *     def __init__(gateway, dest_addr, src_addr=("", 0), *, kind, window_size,
 *                  max_packet_size, timeout, linger)
 *     gateway, dest_addr
 *
 * sshgateway._channel_args.prepare() checks the arguments of __init__ and
 * makes the message that opens the channel.  This file asks the session's loop
 * to open it and waits, without the GIL, for the reply.
 */
#include "python/channel.h"

#include <errno.h>
#include <structmember.h>

#include "ssh/channel.h"
#include "python/descriptor.h"
#include "python/error.h"
#include "python/limited.h"
#include "python/session.h"
#include "python/stream.h"

typedef struct {
    sg_stream stream;
    PyObject *gateway;   /* NULL until __init__ */
    PyObject *session;   /* the gateway's Session that carries the channel */
    PyObject *dest_addr; /* (host, port), or a path as a str */
} sg_channel_object;

/* Return the seconds until `deadline` as a float, None for SG_NEVER, or NULL
 * with an exception. */
static PyObject *
seconds_until(sg_deadline deadline)
{
    int64_t left;

    if (deadline == SG_NEVER) {
        Py_RETURN_NONE;
    }
    left = deadline - sg_sys_now();
    return PyFloat_FromDouble(left > 0 ? (double)left / 1e9 : 0);
}

/* See struct sg_stream_kind.  A channel fails only with its session, so the
 * reason is that of the session: a GatewayLostError.  The gateway may wait for
 * the reason of the stream that carries the session. */
static bool
channel_explain(sg_stream *stream, int err, sg_deadline deadline)
{
    sg_channel_object *self = (sg_channel_object *)stream;
    char text[SG_ERROR_TEXT];

    if (sg_shared_get_failure(stream->shared, text) == 0) {
        return false;
    }
    sg_raise_made(self->stream.state->messages, "gateway_lost", "iOO&ON", err,
                  self->gateway, sg_text_from, text, self->session,
                  seconds_until(deadline));
    return true;
}

static void
channel_clear(sg_stream *self)
{
    Py_CLEAR(((sg_channel_object *)self)->gateway);
    Py_CLEAR(((sg_channel_object *)self)->session);
    Py_CLEAR(((sg_channel_object *)self)->dest_addr);
}

static const struct sg_stream_kind channel_stream_kind = {
    .clear = channel_clear,
    .explain = channel_explain,
};

/* ---- Opening ---------------------------------------------------------- */

/* The result of _channel_args.prepare(). */
struct plan {
    PyObject *tuple; /* owns everything that the other members point to */
    PyObject *session;
    PyObject *timeout;
    PyObject *linger;
    int64_t timeout_ns; /* `timeout` in nanoseconds, -1: no limit */
    struct sg_channel_options options;
};

/* Call prepare() and read its result into *plan, gateway and dest_addr into
 * `self`.  Returns 0, or -1 with an exception; plan->tuple is the caller's to
 * release in both cases. */
static int
read_plan(struct plan *plan, PyObject *prepare, PyObject *args, PyObject *kwds,
          sg_channel_object *self)
{
    const char *message;
    Py_ssize_t message_len;
    PyObject *gateway, *dest_addr;

    *plan = (struct plan){0};
    plan->tuple = PyObject_Call(prepare, args, kwds);
    if (plan->tuple == NULL
        || !PyArg_ParseTuple(plan->tuple, "OOOsy#IIOO", &gateway, &dest_addr,
                             &plan->session, &plan->options.type, &message,
                             &message_len, &plan->options.window_size,
                             &plan->options.max_packet_size, &plan->timeout,
                             &plan->linger)
        || sg_timeout_from(plan->timeout, &plan->timeout_ns) < 0
        || sg_timeout_from(plan->linger, &plan->options.linger) < 0) {
        return -1;
    }
    if (!Py_IS_TYPE(plan->session, self->stream.state->session_type)) {
        PyObject *name = sg_type_name(plan->session);

        if (name != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "cannot open a channel: the session of the gateway "
                         "must be a sshgateway._core.Session, not %U",
                         name);
            Py_DECREF(name);
        }
        return -1;
    }
    plan->options.message = message;
    plan->options.message_len = (size_t)message_len;
    self->gateway = Py_NewRef(gateway);
    self->session = Py_NewRef(plan->session);
    self->dest_addr = Py_NewRef(dest_addr);
    self->stream.peername = Py_NewRef(dest_addr);
    return 0;
}

/* Ask the loop to open the channel, and wait for the reply with the GIL
 * released.  On SG_OK *fd is the caller's end of the socketpair, and the
 * caller owns it.  On any other status *fd is -1.  If a signal handler called
 * fork(), the child has closed all descriptors of the engine already, and *fd
 * is only set to -1.  On SG_ERR_INTERRUPTED a handler has raised an exception.
 */
static enum sg_status
open_and_wait(const struct plan *plan, uint64_t loop, struct sg_shared *shared,
              int *fd, struct sg_error *error)
{
    PyThreadState *thread = PyEval_SaveThread();
    const unsigned generation = sg_sys_generation();
    struct sg_reply *reply;
    enum sg_status status = sg_channel_start(loop, &plan->options, shared,
                                             &reply, fd, error);

    if (status == SG_OK) {
        status = sg_reply_wait(reply, sg_deadline_after(plan->timeout_ns),
                               sg_check_signals, &thread, error);
        sg_reply_drop(reply);
        if (status != SG_OK) {
            sg_sys_close_of(generation, fd);
        }
    }
    PyEval_RestoreThread(thread);
    return status;
}

static int
channel_init(PyObject *op, PyObject *args, PyObject *kwds)
{
    sg_channel_object *self = (sg_channel_object *)op;
    sg_state *state = self->stream.state;
    PyObject *prepare = NULL;
    struct plan plan = {0};
    struct sg_error error = {0};
    enum sg_status status;
    uint64_t loop;
    int fd = -1, result = -1;

    if (self->gateway != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot initialize a DirectTcpipChannel twice; "
                        "create a new one");
        return -1;
    }
    self->stream.kind = &channel_stream_kind;
    prepare = PyObject_GetAttrString(state->channel, "prepare");
    if (prepare == NULL || read_plan(&plan, prepare, args, kwds, self) < 0) {
        goto out;
    }
    self->stream.shared = sg_shared_new();
    if (self->stream.shared == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    loop = sg_session_loop(plan.session);
    if (loop == 0) {
        goto out;
    }
    status = open_and_wait(&plan, loop, self->stream.shared, &fd, &error);
    if (status == SG_OK) {
        result = sg_stream_open(&self->stream, fd, true);
        if (result < 0) {
            sg_descriptor_close(sg_sys_generation(), &fd);
        }
    }
    else if (status == SG_ERR_SYSTEM) {
        sg_raise_errno(error.err);
    }
    else if (!PyErr_Occurred()) {
        sg_raise_made(state->messages, "channel_not_opened", "OOsiiO&O",
                      self->gateway, self->dest_addr, sg_status_name(status),
                      error.err, error.code, sg_text_from, error.text,
                      plan.timeout);
    }
out:
    Py_XDECREF(plan.tuple);
    Py_XDECREF(prepare);
    return result;
}

/* ---- Attributes and life ---------------------------------------------- */

static PyObject *
channel_repr(PyObject *op)
{
    sg_channel_object *self = (sg_channel_object *)op;
    sg_stream *stream = &self->stream;

    PyObject *type = sg_type_name(op);
    PyObject *text = NULL;

    if (type == NULL) {
        return NULL;
    }
    if (stream->fd < 0 || sg_stream_is_forked(stream)) {
        text = PyUnicode_FromFormat("<%U [closed] to %R through %R>", type,
                                    self->dest_addr, self->gateway);
    }
    else {
        text = PyUnicode_FromFormat("<%U fd=%d to %R through %R>", type,
                                    stream->fd, self->dest_addr,
                                    self->gateway);
    }
    Py_DECREF(type);
    return text;
}

static int
channel_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(((sg_channel_object *)op)->gateway);
    Py_VISIT(((sg_channel_object *)op)->session);
    Py_VISIT(((sg_channel_object *)op)->dest_addr);
    return sg_stream_traverse(op, visit, arg);
}

/* ---- The type --------------------------------------------------------- */

PyDoc_STRVAR(
    channel_doc,
    "DirectTcpipChannel(gateway, dest_addr, src_addr=('', 0), *, "
    "kind='direct-tcpip', window_size=None, max_packet_size=None, "
    "timeout=..., linger=1.0)\n"
    "--\n\n"
    "A stream through a gateway to a further host (RFC 4254, section 7.2).\n"
    "\n"
    "gateway\n"
    "    a Gateway; it is opened if it is not open\n"
    "dest_addr\n"
    "    the target: (host, port), which the gateway looks up and connects\n"
    "    to, or for a Unix socket on the gateway its path\n"
    "src_addr\n"
    "    the originator's address and port, for the gateway's log\n"
    "kind\n"
    "    the channel type: \"direct-tcpip\", or for a Unix socket\n"
    "    \"direct-streamlocal@openssh.com\" (section 2.4 of OpenSSH's\n"
    "    PROTOCOL)\n"
    "window_size\n"
    "    the receive window in bytes, 1024 to 2147483647; None means 2 MiB,\n"
    "    which grows while the reader keeps up\n"
    "max_packet_size\n"
    "    the largest packet to receive, in bytes, from 1024; None means\n"
    "    32768, and larger values are lowered to it\n"
    "timeout\n"
    "    seconds allowed for opening the channel; None means no limit;\n"
    "    default: the gateway's channel_timeout\n"
    "linger\n"
    "    seconds without progress after close() until the delivery of the\n"
    "    remaining bytes is given up\n"
    "\n"
    "The constructor returns when the channel is open.  It raises\n"
    "ChannelOpenError if the gateway refuses the channel or cannot reach the\n"
    "target, TimeoutError(ETIMEDOUT, text) after the timeout,\n"
    "GatewayLostError if the connection to the gateway is lost, TypeError,\n"
    "ValueError or OverflowError for a wrong argument, and whatever\n"
    "Gateway.open() raises.");

static PyMemberDef channel_members[] = {
    {"gateway", T_OBJECT, offsetof(sg_channel_object, gateway), READONLY,
     PyDoc_STR("The Gateway whose connection carries the stream.")},
    {"dest_addr", T_OBJECT, offsetof(sg_channel_object, dest_addr), READONLY,
     PyDoc_STR("The target: (host, port), or the path of a Unix socket.")},
    {0},
};

static PyType_Slot channel_slots[] = {
    {Py_tp_doc, (void *)channel_doc},
    {Py_tp_new, sg_stream_new},
    {Py_tp_init, channel_init},
    {Py_tp_repr, channel_repr},
    {Py_tp_traverse, channel_traverse},
    {Py_tp_clear, sg_stream_clear},
    {Py_tp_finalize, sg_stream_finalize},
    {Py_tp_members, channel_members},
    {0, NULL},
};

PyType_Spec sg_channel_spec = {
    .name = "sshgateway.DirectTcpipChannel",
    .basicsize = sizeof(sg_channel_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = channel_slots,
};
