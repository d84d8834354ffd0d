/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The module sshgateway._core: its types, its constants, its exit.
 */
#include "python/module.h"

#include <stdlib.h>

#include "python/build_info.h"
#include "engine/loop.h"
#include "python/channel.h"
#include "python/proxycommand.h"
#include "python/session.h"
#include "python/stream.h"
#include "ssh/session.h"

/* The time that all streams together have at exit to deliver their bytes. */
#define EXIT_LIMIT (1 * SG_SEC)

sg_state *
sg_state_of(PyTypeObject *type)
{
    for (; type != NULL; type = PyType_GetSlot(type, Py_tp_base)) {
        PyObject *module = PyType_GetModule(type); /* NULL for a class */

        if (module != NULL && PyModule_GetDef(module) == &sg_module) {
            return PyModule_GetState(module);
        }
        PyErr_Clear();
    }
    PyErr_SetString(PyExc_TypeError, "not a type of sshgateway._core");
    return NULL;
}

/* End all loops.  Py_AtExit() calls this after atexit functions and
 * finalizers have run, so no Python code can use an open stream now. */
static void
stop_loops(void)
{
    sg_loop_stop_all(sg_deadline_after(EXIT_LIMIT));
}

/* Fill the state with the names that C uses.  Returns 0, or -1 with an
 * exception. */
static int
import_names(sg_state *state)
{
    PyObject *socket = PyImport_ImportModule("socket");

    if (socket == NULL) {
        return -1;
    }
    state->socket = PyObject_GetAttrString(socket, "socket");
    state->af_unix = PyObject_GetAttrString(socket, "AF_UNIX");
    state->sock_stream = PyObject_GetAttrString(socket, "SOCK_STREAM");
    Py_DECREF(socket);
    state->messages = PyImport_ImportModule("sshgateway._messages");
    state->command = PyImport_ImportModule("sshgateway._command_args");
    state->channel = PyImport_ImportModule("sshgateway._channel_args");
    return state->socket != NULL && state->af_unix != NULL
                   && state->sock_stream != NULL && state->messages != NULL
                   && state->command != NULL && state->channel != NULL
               ? 0
               : -1;
}

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)base);

    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_CLEAR(type);
    }
    return (PyTypeObject *)type;
}

/* Add the constants about libssh2 and its algorithms.  This initializes
 * libssh2, because only libssh2 knows whether it has ML-KEM. */
static int
add_constants(PyObject *module)
{
    static const struct {
        const char *name;
        enum sg_offer what;
    } offers[] = {
        {"OFFERED_KEX", SG_OFFER_KEX},
        {"OFFERED_HOST_KEYS", SG_OFFER_HOST_KEYS},
        {"OFFERED_HOST_CERTIFICATES", SG_OFFER_HOST_CERTIFICATES},
        {"OFFERED_CIPHERS", SG_OFFER_CIPHERS},
        {"OFFERED_MACS", SG_OFFER_MACS},
    };
    int err = PyModule_AddStringConstant(module, "LIBSSH2_VERSION",
                                         sg_session_libssh2_version());

    for (size_t i = 0; err == 0 && i < sizeof(offers) / sizeof(*offers); i++) {
        err = PyModule_AddStringConstant(module, offers[i].name,
                                         sg_session_offer(offers[i].what));
    }
    if (err < 0) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "LIBSSH2_NUMBER",
                                   sg_session_libssh2_number());
}

/* Add the constants of sshgateway.build_info(). */
static int
add_build_info(PyObject *module)
{
    static const struct {
        const char *name;
        const char *(*value)(void);
    } parts[] = {
        {"BUILD_LIBSSH2", sg_build_libssh2},
        {"BUILD_PATCHES", sg_build_patches},
        {"BUILD_OPENSSL", sg_build_openssl},
        {"BUILD_POLLER", sg_build_poller},
    };
    int err = 0;

    for (size_t i = 0; err == 0 && i < sizeof(parts) / sizeof(*parts); i++) {
        const char *value = parts[i].value();

        err = value != NULL
                  ? PyModule_AddStringConstant(module, parts[i].name, value)
                  : PyModule_AddObjectRef(module, parts[i].name, Py_None);
    }
    return err;
}

static int
module_exec(PyObject *module)
{
    sg_state *state = PyModule_GetState(module);

    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        /* Not the main interpreter.  A process has one set of loops, fork
         * handlers and exit handlers.  Python 3.12 has a slot that says the
         * same, but Python 3.11 refuses a module with an unknown slot. */
        PyErr_SetString(PyExc_ImportError,
                        "cannot import sshgateway in a subinterpreter; "
                        "import it in the main interpreter");
        return -1;
    }
    sg_loop_init();
    if (import_names(state) < 0) {
        return -1;
    }
    state->stream_type = add_type(module, &sg_stream_spec, NULL);
    if (state->stream_type == NULL) {
        return -1;
    }
    state->proxycommand_type = add_type(module, &sg_proxycommand_spec,
                                        state->stream_type);
    if (state->proxycommand_type == NULL) {
        return -1;
    }
    state->session_type = add_type(module, &sg_session_spec, NULL);
    if (state->session_type == NULL) {
        return -1;
    }
    state->channel_type = add_type(module, &sg_channel_spec,
                                   state->stream_type);
    if (state->channel_type == NULL) {
        return -1;
    }
    if (add_constants(module) < 0 || add_build_info(module) < 0) {
        return -1;
    }
    if (Py_AtExit(stop_loops) < 0) {
        atexit(stop_loops); /* Python's list of 32 functions is full */
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    sg_state *state = PyModule_GetState(module);

    Py_VISIT(state->stream_type);
    Py_VISIT(state->proxycommand_type);
    Py_VISIT(state->messages);
    Py_VISIT(state->session_type);
    Py_VISIT(state->channel_type);
    Py_VISIT(state->command);
    Py_VISIT(state->channel);
    Py_VISIT(state->socket);
    Py_VISIT(state->af_unix);
    Py_VISIT(state->sock_stream);
    return 0;
}

static int
module_clear(PyObject *module)
{
    sg_state *state = PyModule_GetState(module);

    Py_CLEAR(state->stream_type);
    Py_CLEAR(state->proxycommand_type);
    Py_CLEAR(state->messages);
    Py_CLEAR(state->session_type);
    Py_CLEAR(state->channel_type);
    Py_CLEAR(state->command);
    Py_CLEAR(state->channel);
    Py_CLEAR(state->socket);
    Py_CLEAR(state->af_unix);
    Py_CLEAR(state->sock_stream);
    return 0;
}

static void
module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

struct PyModuleDef sg_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sshgateway._core",
    .m_doc = PyDoc_STR("The C core of sshgateway: streams and sessions.\n"
                       "\n"
                       "Private.  sshgateway exports the public types."),
    .m_size = sizeof(sg_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&sg_module);
}
