/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tries every fault (faults.h) on a session: handshake, login,
 * two channels that carry data, and the end.
 *
 * The server is a script (script.h) on a thread of its own. Memory can fail
 * too: the program is linked with the functions below in the place of malloc()
 * and its kin (see --wrap in engine.mk). Faults hit only the engine, not the
 * test's own calls.
 */
#include "lib/faults.h"
#include "lib/script.h"
#include "ssh/auth.h"

#define AMOUNT 100000 /* bytes to send and to hear again */

static const struct fault_kind kinds[] = {
    {"socketpair", EMFILE, MAY_FAIL, false, false},
    {"eventfd", EMFILE, MAY_FAIL, false, false},
    {"epoll_create", EMFILE, MAY_FAIL, false, false},
    {"epoll_ctl", ENOMEM, MAY_FAIL, false, false},
    {"epoll_ctl", ENOSPC, MAY_FAIL, true, false},
    {"epoll_wait", EINTR, MUST_WORK, false, false},
    {"epoll_wait", ENOMEM, MUST_WORK, false, false},
    {"recv short", 0, MUST_WORK, false, false},
    {"recv", EINTR, MUST_WORK, false, false},
    {"recv", EAGAIN, MUST_WORK, false, false},
    {"recv", ECONNRESET, MAY_FAIL, false, false},
    {"recv", ETIMEDOUT, MAY_FAIL, false, false},
    {"recv", ENOMEM, MAY_FAIL, true, false},
    {"send short", 0, MUST_WORK, false, false},
    {"sendmsg short", 0, MUST_WORK, false, false},
    {"send", EINTR, MUST_WORK, false, false},
    {"send", EAGAIN, MAY_FAIL, false, false}, /* the socket is never full */
    {"send", EPIPE, MAY_FAIL, false, false},
    {"send", ENOBUFS, MAY_FAIL, false, false},
    {"poll", EINTR, MUST_WORK, false, false},
    {"poll", ENOMEM, MAY_FAIL, false, false},
    {"malloc", ENOMEM, MAY_FAIL, false, false},
    {"malloc", ENOMEM, MAY_FAIL, true, false},
};

/* ---- Memory ----------------------------------------------------------- */

/* True while this thread runs code of the test, in which nothing fails. */
static _Thread_local bool is_spared;

static int
fail_unless_spared(const char *call)
{
    return is_spared ? 0 : fail_when_due(call);
}

static bool
memory_fails(void)
{
    int (*hook)(const char *) = sg_sys_fault_hook;

    return hook != NULL && hook("malloc") != 0;
}

/* With --wrap the linker binds malloc() to __wrap_malloc(), and
 * __real_malloc() to the C library's function. */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t n);
void *__wrap_realloc(void *block, size_t n);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

void *
__wrap_malloc(size_t n)
{
    return memory_fails() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return memory_fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *block, size_t n)
{
    return memory_fails() ? NULL : __real_realloc(block, n);
}

char *
__wrap_strdup(const char *text)
{
    return memory_fails() ? NULL : __real_strdup(text);
}

/* ---- The server ------------------------------------------------------- */

static struct script script;

/* The server's thread: sends data back, and answers EOF, CLOSE and
 * DISCONNECT, until the client closes the connection. */
static void *
serve(void *unused)
{
    int type;

    (void)unused;
    is_spared = true;
    while ((type = script_next(&script)) >= 0) {
        uint32_t id = script.packet_len >= 5 ? script_u32(&script, 1) : 0;

        switch (script_answer(&script) ? 0 : type) {
        case MSG_CHANNEL_OPEN:
            id = script_u32(&script, 1 + 4 + script_u32(&script, 1));
            script_send(&script, MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", id, id,
                        SCRIPT_WINDOW, 32768U);
            break;
        case MSG_CHANNEL_DATA:
            script_send(&script, MSG_CHANNEL_DATA, "ud", id, script.packet + 9,
                        script.packet_len - 9);
            break;
        case MSG_CHANNEL_EOF:
        case MSG_CHANNEL_CLOSE:
            script_send(&script, type, "u", id);
            break;
        case MSG_DISCONNECT:
            script_hang_up(&script);
            break;
        default:
            break;
        }
    }
    return NULL;
}

/* ---- The caller ------------------------------------------------------- */

/* Returns true if `status` is SG_OK; else checks that `error` agrees with it
 * and that the current fault may be the cause.  Spares this thread from now
 * on. */
static bool
has_worked(enum sg_status status, const struct sg_error *error)
{
    is_spared = true;
    if (status == SG_OK) {
        return true;
    }
    CHECK(fault_fired);
    CHECK_EQ(error->status, status);
    if (current_fault->expected == MUST_WORK) {
        test_fail(__FILE__, __LINE__, "%d, errno %d, \"%s\"", status,
                  error->err, error->text);
    }
    CHECK(error->err != 0 || error->text[0] != '\0');
    return false;
}

/* Evaluate `call`, in which faults may happen, and check it as above. */
#define TRIED(call, error) (is_spared = false, has_worked((call), (error)))

/* Returns true if the fault was a failure of send(2).  It may have hit a send
 * to the caller's socket.  That fails in practice only when the caller no
 * longer reads, so the engine drops the data, and the caller gets neither
 * data nor an end. */
static bool
send_has_failed(void)
{
    return fault_fired && strcmp(current_fault->call, "send") == 0
           && current_fault->expected == MAY_FAIL;
}

static void
converse(int stream)
{
    static char sent[AMOUNT], heard[AMOUNT];
    struct pollfd pollfd = {.fd = stream, .events = POLLIN | POLLOUT};
    sg_deadline deadline = sg_deadline_after(PATIENCE * SG_SEC);
    size_t n_sent = 0, n_heard = 0;

    pattern_fill(0, sent, sizeof(sent));
    while (n_heard < sizeof(heard)) {
        ssize_t n;

        if (poll(&pollfd, 1, 100) == 0) {
            CHECK_LE(sg_sys_now(), deadline);
            if (send_has_failed()) {
                break;
            }
            continue;
        }
        n = send(stream, sent + n_sent, sizeof(sent) - n_sent,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
        n_sent += n > 0 ? (size_t)n : 0;
        pollfd.events = n_sent < sizeof(sent) && n >= 0 ? POLLIN | POLLOUT
                                                        : POLLIN;
        n = recv(stream, heard + n_heard, sizeof(heard) - n_heard,
                 MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            break; /* the end */
        }
        n_heard += n > 0 ? (size_t)n : 0;
    }
    CHECK_EQ(memcmp(sent, heard, n_heard), 0);
    if (n_heard < sizeof(heard)) {
        CHECK(fault_fired);
        CHECK_EQ(current_fault->expected, MAY_FAIL);
    }
}

static void
use_channel(void)
{
    struct channel channel = {.stream = -1, .shared = sg_shared_new()};
    struct sg_channel_options options = {.type = "direct-tcpip",
                                         .message = "",
                                         .max_packet_size = 32768,
                                         .linger = SHORT_LINGER};
    struct sg_error error = {.status = SG_OK};

    if (TRIED(sg_channel_start(script.loop, &options, channel.shared,
                               &channel.reply, &channel.stream, &error),
              &error)
        && TRIED(channel_wait(&channel, &error), &error)) {
        converse(channel.stream);
    }
    channel_close(&channel);
}

static bool
log_in_without_credentials(struct sg_session *session)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_patiently();
    const char *methods;

    return TRIED(sg_session_handshake(session, NULL, &wait, &error), &error)
           && TRIED(sg_auth_none(session, "user", &methods, &wait, &error),
                    &error)
           && TRIED(sg_session_start(session, &(struct sg_alive){0},
                                     &script.loop, &script.control, &error),
                    &error);
}

static void
use_session(struct sg_session *session)
{
    if (!log_in_without_credentials(session)) {
        is_spared = false;
        sg_session_free(session);
        is_spared = true;
        return;
    }
    use_channel();
    use_channel();
    sg_sys_close(&script.control);
}

static void
run_a_session(void)
{
    struct bytes words = {0};
    struct sg_error error = {.status = SG_OK};
    struct sg_session *session;
    pthread_t server;
    int pair[2];

    is_spared = true;
    active_hook = fail_unless_spared;
    script = (struct script){.control = -1, .shared = sg_shared_new()};
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    script.fd = pair[1];
    put_login(&words);
    write_all(script.fd, (const char *)words.data, words.len);
    free(words.data);
    CHECK_EQ(pthread_create(&server, NULL, serve, NULL), 0);
    is_spared = false;
    session = sg_session_new(pair[0], script.shared, &error);
    if (has_worked(session != NULL ? SG_OK : error.status, &error)) {
        use_session(session);
    }
    else {
        sg_sys_close(&pair[0]);
    }
    CHECK_EQ(pthread_join(server, NULL), 0);
    wait_until(no_loop_runs, NULL);
    script_close(&script);
}

/* ---- Cases ------------------------------------------------------------ */

static void
session_survives_every_fault(void)
{
    run_with_every_fault(kinds, COUNT_OF(kinds), run_a_session);
}

static void
every_fault_has_fired(void)
{
    check_all_faults_fired(kinds, COUNT_OF(kinds));
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(session_survives_every_fault),
        CASE(every_fault_has_fired),
    };

    return run_role_or_cases(NULL, 0, cases, COUNT_OF(cases), argc, argv);
}
