/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.ProxyCommand: a stream that a local program carries.
 *
 * class ProxyCommand(Stream):
 *     def __init__(command_line, *, shell, stderr, env, cwd,
 *                  start_new_session, peername, linger, fdpass, timeout)
 *     cmd, pid, returncode, stderr
 *
 * sshgateway._command_args.prepare() turns the command line into the arguments
 * of execve(2), and sshgateway._messages makes the exceptions.  This file
 * parses the other arguments, starts the program without the GIL and, with
 * fdpass, waits for the socket.
 */
#include "python/proxycommand.h"

#include <errno.h>
#include <stdlib.h>
#include <structmember.h>

#include "proxy/fdpass.h"
#include "proxy/proxy.h"
#include "python/descriptor.h"
#include "python/error.h"
#include "python/limited.h"
#include "python/stream.h"

typedef struct {
    sg_stream stream;
    PyObject *cmd; /* the arguments, a list of str; NULL until __init__ */
    long pid;      /* 0 until the program runs */
} sg_proxycommand;

/* The constants of the subprocess module for `stderr`. */
enum {
    PIPE = -1,
    DEVNULL = -3
};

/* ---- The state of the child ------------------------------------------- */

static PyObject *
proxycommand_get_stderr(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;
    PyObject *text;
    char *tail;
    size_t n;

    if (self->shared == NULL) {
        return PyUnicode_FromString("");
    }
    if (sg_stream_is_forked(self)) {
        return sg_raise_closed();
    }
    tail = sg_shared_get_stderr(self->shared, &n);
    text = PyUnicode_DecodeUTF8(tail, (Py_ssize_t)n, "backslashreplace");
    free(tail);
    return text;
}

static PyObject *
proxycommand_get_returncode(PyObject *op, void *Py_UNUSED(closure))
{
    sg_stream *self = (sg_stream *)op;
    int returncode;

    if (self->shared != NULL && sg_stream_is_forked(self)) {
        return sg_raise_closed();
    }
    if (self->shared == NULL
        || !sg_shared_get_returncode(self->shared, &returncode)) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(returncode);
}

/* Raise _messages.<maker>(err, command, returncode, stderr).  Returns NULL. */
static PyObject *
raise_about_child(sg_proxycommand *self, const char *maker, int err)
{
    PyObject *op = (PyObject *)self;
    PyObject *returncode = proxycommand_get_returncode(op, NULL);
    PyObject *text = proxycommand_get_stderr(op, NULL);

    if (returncode != NULL && text != NULL) {
        sg_raise_made(self->stream.state->messages, maker, "iOOO", err,
                      self->cmd, returncode, text);
    }
    Py_XDECREF(returncode);
    Py_XDECREF(text);
    return NULL;
}

/* See struct sg_stream_kind.  The end of the stream is normal if the child
 * exited with status 0, still runs, or was reaped by another part of the
 * program.  A failure of the loop itself is a plain OSError with the loop's
 * errno; `err` is for a child that failed.  It never waits. */
static bool
proxycommand_explain(sg_stream *self, int err, sg_deadline Py_UNUSED(deadline))
{
    int returncode;
    char text[SG_ERROR_TEXT];
    int failure = sg_shared_get_failure(self->shared, text);

    if (failure != 0) {
        sg_raise_errno(failure);
        return true;
    }
    if (!sg_shared_get_returncode(self->shared, &returncode)
        || returncode == 0) {
        return false;
    }
    raise_about_child((sg_proxycommand *)self, "proxy_ended", err);
    return true;
}

static void
proxycommand_clear(sg_stream *self)
{
    Py_CLEAR(((sg_proxycommand *)self)->cmd);
}

static const struct sg_stream_kind proxycommand_kind = {
    .clear = proxycommand_clear,
    .explain = proxycommand_explain,
};

/* ---- Arguments -------------------------------------------------------- */

/* The arguments of __init__; the references are borrowed, except `plan`. */
struct arguments {
    PyObject *command_line;
    int shell;
    PyObject *stderr_object;
    PyObject *env;
    PyObject *cwd;
    int new_session;
    PyObject *peername;
    PyObject *linger;
    int fdpass;
    PyObject *timeout;
    /* Filled in from the members above: */
    int64_t linger_ns;
    int64_t timeout_ns; /* -1: no limit */
    PyObject *plan;     /* of _command_args.prepare(); owns the strings */
    struct sg_child_options options;
};

/* Set *strings to the strings of a tuple of bytes, with NULL after the last
 * one, or to NULL if `tuple` is None.  The caller frees the array with
 * PyMem_Free(); the strings belong to the tuple.  Returns 0, or -1 with an
 * exception. */
static int
strings_of(PyObject *tuple, char ***strings)
{
    Py_ssize_t n;

    *strings = NULL;
    if (tuple == Py_None) {
        return 0;
    }
    n = PyTuple_Size(tuple);
    *strings = PyMem_New(char *, (size_t)n + 1);
    if (*strings == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        (*strings)[i] = PyBytes_AsString(PyTuple_GetItem(tuple, i));
    }
    (*strings)[n] = NULL;
    return 0;
}

/* Convert `stderr`: a descriptor, an object with fileno(), or a constant.
 * Returns 0, or -1 with an exception. */
static int
read_stderr_argument(PyObject *object, int *fd)
{
    if (object == Py_None) {
        *fd = SG_STDERR_INHERIT;
        return 0;
    }
    if (PyLong_Check(object)) {
        int value = sg_int_from(object);

        if (value == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (value == PIPE || value == DEVNULL) {
            *fd = value == PIPE ? SG_STDERR_TAIL : SG_STDERR_NULL;
            return 0;
        }
        if (value < 0) {
            PyErr_Format(PyExc_ValueError,
                         "stderr must be subprocess.PIPE, "
                         "subprocess.DEVNULL, None, a descriptor or a file, "
                         "not %R",
                         object);
            return -1;
        }
    }
    *fd = PyObject_AsFileDescriptor(object);
    if (*fd >= 0 && !sg_sys_is_open(*fd)) {
        /* A pipe made below could get this number. */
        sg_raise_closed();
        return -1;
    }
    return *fd < 0 ? -1 : 0;
}

/* Convert the parameter `name` (seconds) to nanoseconds, as settimeout() does,
 * but with messages that name the parameter.  `is_optional`: None is allowed
 * and becomes -1.  Returns 0, or -1 with an exception. */
static int
read_seconds(const char *name, bool is_optional, PyObject *object, int64_t *ns)
{
    PyObject *class = PyExc_TypeError;

    if (sg_timeout_from(object, ns) == 0 && (*ns >= 0 || is_optional)) {
        return 0;
    }
    if (PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            class = PyExc_ValueError;
        }
        PyErr_Clear();
    }
    PyErr_Format(class, "%s must be a number of seconds, 0 or more%s, not %R",
                 name, is_optional ? ", or None" : "", object);
    return -1;
}

/* Parse the arguments of __init__.  Returns 0, or -1 with an exception. */
static int
read_arguments(struct arguments *a, PyObject *args, PyObject *kwds)
{
    static const char *keywords[] = {
        "command_line", "shell",  "stderr",
        "env",          "cwd",    "start_new_session",
        "peername",     "linger", "fdpass",
        "timeout",      NULL};

    *a = (struct arguments){
        .env = Py_None, .cwd = Py_None, .peername = Py_None};
    if (!PyArg_ParseTupleAndKeywords(args, kwds, "O|$pOOOpOOpO:ProxyCommand",
                                     (char **)keywords, &a->command_line,
                                     &a->shell, &a->stderr_object, &a->env,
                                     &a->cwd, &a->new_session, &a->peername,
                                     &a->linger, &a->fdpass, &a->timeout)) {
        return -1;
    }
    a->timeout_ns = -1;
    a->linger_ns = 1 * SG_SEC;
    a->options.stderr_fd = SG_STDERR_TAIL;
    a->options.new_session = a->new_session;
    a->options.lends = !a->fdpass;
    if (a->stderr_object != NULL
        && read_stderr_argument(a->stderr_object, &a->options.stderr_fd) < 0) {
        return -1;
    }
    if (a->linger != NULL
        && read_seconds("linger", false, a->linger, &a->linger_ns) < 0) {
        return -1;
    }
    if (a->timeout != NULL
        && read_seconds("timeout", true, a->timeout, &a->timeout_ns) < 0) {
        return -1;
    }
    return 0;
}

/* Call _command.prepare() and lay out its strings for execve(2).  Returns 0,
 * or -1 with an exception; call release_arguments() in both cases. */
static int
read_plan(struct arguments *a, sg_state *state)
{
    char **paths, **argv, **envp;
    PyObject *cwd;

    a->plan = PyObject_CallMethod(
        state->command, "prepare", "OOOO", a->command_line,
        a->shell ? Py_True : Py_False, a->env, a->cwd);
    if (a->plan == NULL) {
        return -1;
    }
    if (strings_of(PyTuple_GetItem(a->plan, 1), &argv) < 0) {
        return -1;
    }
    a->options.argv = argv;
    if (strings_of(PyTuple_GetItem(a->plan, 2), &paths) < 0) {
        return -1;
    }
    a->options.paths = (const char *const *)paths;
    if (strings_of(PyTuple_GetItem(a->plan, 3), &envp) < 0) {
        return -1;
    }
    a->options.envp = envp;
    cwd = PyTuple_GetItem(a->plan, 4);
    a->options.cwd = cwd != Py_None ? PyBytes_AsString(cwd) : NULL;
    return 0;
}

static void
release_arguments(struct arguments *a)
{
    PyMem_Free((void *)a->options.argv);
    PyMem_Free((void *)a->options.paths);
    PyMem_Free((void *)a->options.envp);
    Py_CLEAR(a->plan);
}

/* ---- Starting --------------------------------------------------------- */

/* Raise the exception for a program that could not be started, or that handed
 * over no socket. */
static void
raise_start_error(sg_proxycommand *self, const struct sg_error *error,
                  const struct arguments *a)
{
    PyObject *messages = self->stream.state->messages;

    switch (error->status) {
    case SG_ERR_INTERRUPTED:
        return; /* a signal handler has raised an exception */
    case SG_ERR_SYSTEM:
        sg_raise_errno(error->err);
        return;
    case SG_ERR_EXEC:
        sg_raise_made(messages, "proxy_not_executed", "iO", error->err,
                      self->cmd);
        return;
    case SG_ERR_CWD:
        sg_raise_made(messages, "proxy_not_in_directory", "iOO", error->err,
                      self->cmd, a->cwd);
        return;
    case SG_ERR_TIMEOUT:
        sg_raise_made(messages, "proxy_too_slow", "iO", error->err, self->cmd);
        return;
    default:
        raise_about_child(self, "proxy_handed_over_nothing", error->err);
    }
}

/* Wait up to `timeout` nanoseconds (-1: no limit), with the GIL released, for
 * the socket that the program hands over.  Releases `reply`.  Returns the
 * socket, which the caller owns, or -1 and *error. */
static int
wait_for_socket(struct sg_reply *reply, int64_t timeout,
                struct sg_error *error)
{
    PyThreadState *thread = PyEval_SaveThread();
    enum sg_status status = sg_reply_wait(reply, sg_deadline_after(timeout),
                                          sg_check_signals, &thread, error);
    int fd = status == SG_OK ? sg_reply_take_fd(reply) : -1;

    sg_reply_drop(reply);
    PyEval_RestoreThread(thread);
    return fd;
}

/* Start the program and open the stream.  Returns 0, or -1 with an exception.
 */
static int
start(sg_proxycommand *self, struct arguments *a)
{
    struct sg_error error = {0};
    struct sg_reply *reply = NULL;
    enum sg_status status;
    int fd = -1;
    pid_t pid = 0;

    Py_BEGIN_ALLOW_THREADS
    status = a->fdpass
                 ? sg_fdpass_start(&a->options, a->linger_ns,
                                   self->stream.shared, &reply, &pid, &error)
                 : sg_proxy_start(&a->options, a->linger_ns,
                                  self->stream.shared, &fd, &pid, &error);
    Py_END_ALLOW_THREADS
    if (status == SG_OK) {
        self->pid = pid;
    }
    if (reply != NULL) {
        fd = wait_for_socket(reply, a->timeout_ns, &error);
    }
    if (fd < 0) {
        raise_start_error(self, &error, a);
        return -1;
    }
    if (sg_stream_open(&self->stream, fd, !a->fdpass) < 0) {
        sg_descriptor_close(sg_sys_generation(), &fd);
        return -1;
    }
    return 0;
}

static int
proxycommand_init(PyObject *op, PyObject *args, PyObject *kwds)
{
    sg_proxycommand *self = (sg_proxycommand *)op;
    struct arguments a;
    int result = -1;

    if (self->cmd != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot initialize a ProxyCommand twice; "
                        "create a new one");
        return -1;
    }
    if (read_arguments(&a, args, kwds) < 0) {
        return -1;
    }
    if (read_plan(&a, self->stream.state) < 0) {
        goto out;
    }
    self->stream.kind = &proxycommand_kind;
    self->cmd = Py_NewRef(PyTuple_GetItem(a.plan, 0));
    self->stream.peername = Py_NewRef(a.peername);
    if (sg_audit("sshgateway.ProxyCommand", self->cmd) < 0) {
        goto out;
    }
    self->stream.shared = sg_shared_new();
    if (self->stream.shared == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    result = start(self, &a);
out:
    release_arguments(&a);
    return result;
}

/* ---- Attributes and life ---------------------------------------------- */

static PyObject *
proxycommand_get_pid(PyObject *op, void *Py_UNUSED(closure))
{
    sg_proxycommand *self = (sg_proxycommand *)op;

    if (self->pid == 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(self->pid);
}

static PyObject *
proxycommand_repr(PyObject *op)
{
    sg_proxycommand *self = (sg_proxycommand *)op;
    sg_stream *stream = &self->stream;

    PyObject *type = sg_type_name(op);
    PyObject *text = NULL;

    if (type == NULL) {
        return NULL;
    }
    if (stream->fd < 0 || sg_stream_is_forked(stream)) {
        text = PyUnicode_FromFormat("<%U [closed] cmd=%R, pid=%ld>", type,
                                    self->cmd, self->pid);
    }
    else {
        text = PyUnicode_FromFormat("<%U fd=%d, cmd=%R, pid=%ld>", type,
                                    stream->fd, self->cmd, self->pid);
    }
    Py_DECREF(type);
    return text;
}

static int
proxycommand_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(((sg_proxycommand *)op)->cmd);
    return sg_stream_traverse(op, visit, arg);
}

/* ---- The type --------------------------------------------------------- */

PyDoc_STRVAR(
    proxycommand_doc,
    "ProxyCommand(command_line, *, shell=False, stderr=-1, env=None, "
    "cwd=None, start_new_session=False, peername=None, linger=1.0, "
    "fdpass=False, timeout=None)\n"
    "--\n\n"
    "A stream that a local program carries: ssh_config's ProxyCommand.\n"
    "\n"
    "The program's standard input and output are the stream.\n"
    "\n"
    "command_line\n"
    "    a str, which is split as by shlex.split and run without a shell, as\n"
    "    paramiko.ProxyCommand does; or a sequence of arguments\n"
    "shell\n"
    "    if true, $SHELL (default /bin/sh) runs command_line, a str, with\n"
    "    \"exec\" before it, as OpenSSH does\n"
    "stderr\n"
    "    the standard error of the program: subprocess.PIPE (-1) keeps the\n"
    "    last 64 KiB in the attribute stderr; subprocess.DEVNULL discards\n"
    "    all; None means the standard error of this process; or a descriptor\n"
    "    or a file\n"
    "env\n"
    "    a mapping, the whole environment of the program; None means that of\n"
    "    this process\n"
    "cwd\n"
    "    the directory to run the program in; None means the current one\n"
    "start_new_session\n"
    "    if true, the program runs in a session of its own, without the\n"
    "    terminal, and close() signals its whole process group\n"
    "peername\n"
    "    the result of getpeername(); None means (\"unknown\", 0)\n"
    "linger\n"
    "    seconds without progress after close() until the program is\n"
    "    signalled: SIGHUP, then SIGTERM, then SIGKILL\n"
    "fdpass\n"
    "    if true, the program connects a socket, passes it on with\n"
    "    SCM_RIGHTS over its standard output and exits (ssh_config's\n"
    "    ProxyUseFdpass); the stream is that socket\n"
    "timeout\n"
    "    with fdpass, seconds allowed for passing on the socket; None means\n"
    "    no limit\n"
    "\n"
    "The constructor returns when the program runs, and with fdpass when the\n"
    "socket has arrived.  It raises ProxyCommandError, which is also\n"
    "FileNotFoundError, PermissionError and so on, if the program cannot be\n"
    "executed or passes on no socket; TimeoutError(ETIMEDOUT, text) after\n"
    "timeout; ValueError for an empty command or unbalanced quotes; and\n"
    "TypeError or ValueError for another wrong argument.\n"
    "\n"
    "Without start_new_session the program runs in the session and process\n"
    "group of this process, so that it can ask for a passphrase on the\n"
    "terminal.  It ignores SIGINT and SIGQUIT, so that Ctrl-C does not end\n"
    "it.");

PyDoc_STRVAR(cmd_doc, "The arguments that were executed, a list of str.");
PyDoc_STRVAR(pid_doc, "The process id of the program.");
PyDoc_STRVAR(
    returncode_doc,
    "The exit status of the program, or the negative number of the signal\n"
    "that killed it.  None while it runs, or if another part of this process\n"
    "has reaped it.");
PyDoc_STRVAR(
    stderr_doc,
    "The last 64 KiB that the program wrote to its standard error, as a str.\n"
    "\"\" if it is not captured.");

static PyMemberDef proxycommand_members[] = {
    {"cmd", T_OBJECT, offsetof(sg_proxycommand, cmd), READONLY, cmd_doc},
    {0},
};

static PyGetSetDef proxycommand_getset[] = {
    {"pid", proxycommand_get_pid, NULL, pid_doc, NULL},
    {"returncode", proxycommand_get_returncode, NULL, returncode_doc, NULL},
    {"stderr", proxycommand_get_stderr, NULL, stderr_doc, NULL},
    {0},
};

static PyType_Slot proxycommand_slots[] = {
    {Py_tp_doc, (void *)proxycommand_doc},
    {Py_tp_new, sg_stream_new},
    {Py_tp_init, proxycommand_init},
    {Py_tp_repr, proxycommand_repr},
    {Py_tp_traverse, proxycommand_traverse},
    {Py_tp_clear, sg_stream_clear},
    {Py_tp_finalize, sg_stream_finalize},
    {Py_tp_members, proxycommand_members},
    {Py_tp_getset, proxycommand_getset},
    {0, NULL},
};

PyType_Spec sg_proxycommand_spec = {
    .name = "sshgateway.ProxyCommand",
    .basicsize = sizeof(sg_proxycommand),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = proxycommand_slots,
};
