/* SPDX-License-Identifier: BSD-2-Clause
 *
 * _core.ProxyCommand: a stream carried by a local program.
 *
 * class ProxyCommand(Stream):
 *     def __init__(command_line, *, shell, stderr, env, cwd,
 *                  start_new_session, peername, linger, fdpass, timeout)
 *     cmd, pid, returncode, stderr
 *
 * sshgateway/_command_args.py decides which program runs; _messages.py makes
 * the exceptions.
 */
#include "python/proxycommand.h"

#include <structmember.h>

#include "proxy/fdpass.h"
#include "proxy/proxy.h"
#include "python/error.h"
#include "python/stream.h"

typedef struct {
    sg_stream stream;
    PyObject *cmd; /* a list of str; NULL until __init__ */
    long pid;      /* 0 until the program runs */
} sg_proxycommand;

/* The subprocess module's constants for `stderr`. */
enum {
    PIPE = -1,
    DEVNULL = -3
};

/* ---- What is known of the child --------------------------------------- */

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

/* Raise _messages.<maker>(err, command, returncode, stderr). */
static PyObject *
raise_about_child(sg_proxycommand *self, const char *maker, int err)
{
    PyObject *op = (PyObject *)self;
    PyObject *returncode = proxycommand_get_returncode(op, NULL);
    PyObject *text = proxycommand_get_stderr(op, NULL);

    if (returncode != NULL && text != NULL) {
        sg_raise_made(sg_state_of(op)->messages, maker, "iOOO", err, self->cmd,
                      returncode, text);
    }
    Py_XDECREF(returncode);
    Py_XDECREF(text);
    return NULL;
}

/* A child that ended with 0, or lives, or was reaped by somebody else, has
 * ended the stream in peace. */
static bool
proxycommand_explain(sg_stream *self, int err)
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

static const struct sg_stream_kind proxycommand_kind = {
    .explain = proxycommand_explain,
};

/* ---- Arguments -------------------------------------------------------- */

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
    /* and what they come to */
    int64_t linger_ns;
    int64_t timeout_ns;
    PyObject *plan; /* of _command_args.prepare(): keeps the strings alive */
    struct sg_child_options options;
};

/* The strings of a tuple of bytes, ending with NULL; NULL for None. */
static int
strings_of(PyObject *tuple, char ***strings)
{
    Py_ssize_t n;

    *strings = NULL;
    if (tuple == Py_None) {
        return 0;
    }
    n = PyTuple_GET_SIZE(tuple);
    *strings = PyMem_New(char *, (size_t)n + 1);
    if (*strings == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        (*strings)[i] = PyBytes_AS_STRING(PyTuple_GET_ITEM(tuple, i));
    }
    (*strings)[n] = NULL;
    return 0;
}

static int
read_stderr_argument(PyObject *object, int *fd)
{
    if (object == Py_None) {
        *fd = SG_STDERR_INHERIT;
        return 0;
    }
    if (PyLong_Check(object)) {
        int value = PyLong_AsInt(object);

        if (value == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (value == PIPE || value == DEVNULL) {
            *fd = value == PIPE ? SG_STDERR_TAIL : SG_STDERR_NULL;
            return 0;
        }
        if (value < 0) {
            PyErr_SetString(PyExc_ValueError,
                            "stderr must be PIPE, DEVNULL, None, a "
                            "descriptor or a file");
            return -1;
        }
    }
    *fd = PyObject_AsFileDescriptor(object);
    if (*fd >= 0 && !sg_sys_is_open(*fd)) {
        sg_raise_closed(); /* one of ours might get its number */
        return -1;
    }
    return *fd < 0 ? -1 : 0;
}

/* As a socket's timeout is read, but the words name the parameter. */
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

/* Have the command prepared, and its strings laid out for exec. */
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
    if (strings_of(PyTuple_GET_ITEM(a->plan, 1), &argv) < 0) {
        return -1;
    }
    a->options.argv = argv;
    if (strings_of(PyTuple_GET_ITEM(a->plan, 2), &paths) < 0) {
        return -1;
    }
    a->options.paths = (const char *const *)paths;
    if (strings_of(PyTuple_GET_ITEM(a->plan, 3), &envp) < 0) {
        return -1;
    }
    a->options.envp = envp;
    cwd = PyTuple_GET_ITEM(a->plan, 4);
    a->options.cwd = cwd != Py_None ? PyBytes_AS_STRING(cwd) : NULL;
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

static void
raise_start_error(sg_proxycommand *self, const struct sg_error *error,
                  const struct arguments *a)
{
    PyObject *messages = sg_state_of((PyObject *)self)->messages;

    switch (error->status) {
    case SG_ERR_INTERRUPTED:
        return; /* the signal handler's exception is set */
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

/* The socket, or -1. */
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
        sg_sys_close(&fd);
        return -1;
    }
    return 0;
}

static int
proxycommand_init(PyObject *op, PyObject *args, PyObject *kwds)
{
    sg_proxycommand *self = (sg_proxycommand *)op;
    sg_state *state = sg_state_of(op);
    struct arguments a;
    int result = -1;

    if (self->cmd != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "__init__ called twice");
        return -1;
    }
    if (read_arguments(&a, args, kwds) < 0) {
        return -1;
    }
    if (read_plan(&a, state) < 0) {
        goto out;
    }
    self->cmd = Py_NewRef(PyTuple_GET_ITEM(a.plan, 0));
    self->stream.peername = Py_NewRef(a.peername);
    self->stream.kind = &proxycommand_kind;
    if (PySys_Audit("sshgateway.ProxyCommand", "O", self->cmd) < 0) {
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

    if (stream->fd < 0 || sg_stream_is_forked(stream)) {
        return PyUnicode_FromFormat("<%s [closed] cmd=%R, pid=%ld>",
                                    Py_TYPE(op)->tp_name, self->cmd,
                                    self->pid);
    }
    return PyUnicode_FromFormat("<%s fd=%d, cmd=%R, pid=%ld>",
                                Py_TYPE(op)->tp_name, stream->fd, self->cmd,
                                self->pid);
}

static int
proxycommand_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(((sg_proxycommand *)op)->cmd);
    return sg_stream_traverse(op, visit, arg);
}

static int
proxycommand_clear(PyObject *op)
{
    Py_CLEAR(((sg_proxycommand *)op)->cmd);
    return sg_stream_clear(op);
}

static void
proxycommand_dealloc(PyObject *op)
{
    if (PyObject_CallFinalizerFromDealloc(op) < 0) {
        return;
    }
    PyObject_GC_UnTrack(op);
    Py_CLEAR(((sg_proxycommand *)op)->cmd);
    sg_stream_free(op);
}

/* ---- The type --------------------------------------------------------- */

PyDoc_STRVAR(
    proxycommand_doc,
    "ProxyCommand(command_line, *, shell=False, stderr=-1, env=None, "
    "cwd=None, start_new_session=False, peername=None, linger=1.0, "
    "fdpass=False, timeout=None)\n"
    "--\n\n"
    "A stream to what a local program is connected to: ssh_config's\n"
    "ProxyCommand as a socket.\n"
    "\n"
    "command_line is split as by shlex.split and run without a shell, as\n"
    "paramiko.ProxyCommand does; or a sequence of arguments; or, with\n"
    "shell=True, a line for $SHELL (default /bin/sh), run with exec as\n"
    "OpenSSH does.  The program's standard input and output are the stream.\n"
    "\n"
    "stderr\n"
    "    subprocess.PIPE (the last 64 KiB are kept, see the attribute), None\n"
    "    (our own), subprocess.DEVNULL, a descriptor or a file\n"
    "env\n"
    "    a mapping, the child's whole environment; default: ours\n"
    "cwd\n"
    "    the directory it runs in; default: ours\n"
    "start_new_session\n"
    "    run it in a session of its own, without our terminal; the whole of\n"
    "    that session is signalled when the stream is closed\n"
    "peername\n"
    "    what getpeername() answers; default: (\"unknown\", 0)\n"
    "linger\n"
    "    seconds it may take, without progress, to end by itself after\n"
    "    close(); then it gets SIGHUP, SIGTERM and SIGKILL\n"
    "fdpass\n"
    "    the program hands over a connected socket on its standard output,\n"
    "    by SCM_RIGHTS, and ends: ssh_config's ProxyUseFdpass\n"
    "timeout\n"
    "    seconds to wait for that socket; None: for ever\n"
    "\n"
    "Returns when the program runs.  Raises ProxyCommandError, which is also\n"
    "FileNotFoundError, PermissionError..., when it can't be executed,\n"
    "ValueError for an empty command or unbalanced quotes, and with fdpass\n"
    "TimeoutError(ETIMEDOUT, text).\n"
    "\n"
    "The program stays in our session and process group, so that it can ask\n"
    "on the terminal, but ignores SIGINT and SIGQUIT.");

PyDoc_STRVAR(cmd_doc, "The arguments that were executed, a list of str.");
PyDoc_STRVAR(pid_doc, "The process id of the program.");
PyDoc_STRVAR(
    returncode_doc,
    "How the program ended: its exit status, or minus a signal's number; None\n"
    "while it runs, and when somebody else has reaped it.");
PyDoc_STRVAR(
    stderr_doc,
    "The last 64 KiB that the program wrote to stderr, a str; \"\" when it is\n"
    "not captured.");

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
    {Py_tp_clear, proxycommand_clear},
    {Py_tp_finalize, sg_stream_finalize},
    {Py_tp_dealloc, proxycommand_dealloc},
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
