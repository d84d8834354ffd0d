/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This libFuzzer program fuzzes a session: the input is what the server sends,
 * under null cryptography (tests/engine/lib/nullcrypt.c), either from the
 * first byte or after a login. Channels are open, and their caller uses them.
 *
 * Nothing waits, so a run takes well under a millisecond and is the same each
 * time. loop.c is built with fuzz_thread() in the place of pthread_create(),
 * so the loop runs on this thread. sys.c is built with fuzz_recv() in the
 * place of recv(), so the input decides how the received bytes are split. The
 * server hangs up at the end.
 *
 * The format of an input is in session_input.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../engine/lib/packets.h"
#include "session_input.h"
#include "ssh/auth.h"
#include "ssh/channel.h"
#include "engine/loop.h"
#include "ssh/session.h"
#include "sys/sys.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int fuzz_thread(pthread_t *thread, const pthread_attr_t *attributes,
                void *(*run)(void *), void *arg);
ssize_t fuzz_recv(int fd, void *to, size_t n, int flags);

#define KNOWN_EXIT 77 /* the status after a known abort; see run_fuzz.sh */
#define MOST 60000    /* bytes that the server sends; a socket holds them */
#define N_CHANNELS 2U

static unsigned long runs;

static void
demand(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

/* ---- Replaced functions of the system --------------------------------- */

/* libssh2's assert() on lengths that are no multiple of the block size is
 * known.  The program cannot go on after it, so run_fuzz.sh starts the fuzzer
 * again. */
void
__assert_fail(const char *assertion, const char *file, unsigned int line,
              const char *function)
{
    fprintf(stderr, "%s:%u: %s: %s\n", file, line, function, assertion);
    if (strcmp(assertion, "(len % blocksize) == 0") != 0) {
        abort();
    }
    fprintf(stderr, "stat::number_of_executed_units: %lu\n", runs);
    _exit(KNOWN_EXIT);
}

static struct {
    void *(*run)(void *);
    void *arg;
} waiting_thread;

/* Stands for pthread_create() in loop.c: keeps the loop's function for
 * run_loop(). */
int
fuzz_thread(pthread_t *thread, const pthread_attr_t *attributes,
            void *(*run)(void *), void *arg)
{
    (void)attributes;
    *thread = pthread_self();
    waiting_thread.run = run;
    waiting_thread.arg = arg;
    return 0;
}

static int session_fd = -1;
static unsigned pieces; /* state of the generator of sizes; 0: do not split */

/* Stands for recv() in sys.c: receives up to 200 bytes of the session at a
 * time. */
ssize_t
fuzz_recv(int fd, void *to, size_t n, int flags)
{
    if (fd == session_fd && pieces != 0) {
        size_t piece;

        pieces = pieces * 1103515245U + 12345U;
        piece = (pieces >> 16) % 200 + 1;
        n = n < piece ? n : piece;
    }
    return recv(fd, to, n, flags);
}

/* ---- From an input to the server's bytes ------------------------------ */

/* Round the lengths of the packets in `data` to a multiple of the block size.
 * Otherwise libssh2's known assert() ends most runs. */
static void
align_lengths(uint8_t *data, size_t n)
{
    while (n >= 4) {
        uint32_t length;

        memcpy(&length, data, sizeof(length));
        length = ntohl(length);
        if (length > 40000 || length == 0) {
            return;
        }
        length = (length + 4 + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE - 4;
        data[0] = (uint8_t)(length >> 24);
        data[1] = (uint8_t)(length >> 16);
        data[2] = (uint8_t)(length >> 8);
        data[3] = (uint8_t)length;
        if (4 + (size_t)length + MAC_SIZE >= n) {
            return;
        }
        data += 4 + (size_t)length + MAC_SIZE;
        n -= 4 + (size_t)length + MAC_SIZE;
    }
}

/* Returns true for a host key at which libssh2 1.10 fails: it expects 32
 * bytes of an ed25519 key and reads behind the end of a shorter one. */
static bool
is_known_to_fail(const uint8_t *data, size_t n)
{
    return sg_session_libssh2_number() < 0x010b00
           && (data[0] == MSG_KEX_ECDH_REPLY || data[0] == 33)
           && (n < 7 || (data[3] | data[4] | data[5]) != 0 || data[6] < 51);
}

/* Append what the server sends for the record `data` of `n` bytes.  `is_end`
 * says that it is the last record; `is_keyed` is as in packets.h. */
static void
put_record(struct bytes *words, const uint8_t *data, size_t n, bool is_end,
           int *is_keyed)
{
    static const uint8_t zeros[256];
    size_t padding;

    if (n < 3 || is_known_to_fail(data, n)) {
        return;
    }
    if (data[0] == 0 && (is_end || words->len == 0)) {
        size_t at = words->len;

        if (n > 3) {
            bytes_add(words, data + 3, n - 3);
            align_lengths(words->data + at, n - 3);
        }
        return;
    }
    n -= 2; /* the type belongs to the payload, the length does not */
    padding = BLOCK_SIZE - (5 + n) % BLOCK_SIZE;
    padding += padding < 4 ? BLOCK_SIZE : 0;
    bytes_add_u32(words, (uint32_t)(1 + n + padding));
    bytes_add_u8(words, (int)padding);
    bytes_add_u8(words, data[0]);
    bytes_add(words, data + 3, n - 1);
    bytes_add(words, zeros, padding + (*is_keyed ? MAC_SIZE : 0));
    *is_keyed = *is_keyed || data[0] == MSG_NEWKEYS;
}

/* Returns the server's bytes for the records in `data`; the caller frees
 * them. */
static struct bytes
words_of(const uint8_t *data, size_t n, int is_keyed)
{
    struct bytes words = {0};

    while (n > 0 && words.len < MOST) {
        size_t size = record_size(data, n);

        put_record(&words, data, size, size == n, &is_keyed);
        data += size;
        n -= size;
    }
    return words;
}

/* ---- The caller ------------------------------------------------------- */

static int
never_interrupt(void *unused)
{
    (void)unused;
    return 0;
}

static int
sign(void *arg, const char *algorithm, const unsigned char *data, size_t n,
     unsigned char **signature, size_t *signature_len)
{
    (void)arg;
    (void)algorithm;
    (void)data;
    (void)n;
    *signature_len = 64;
    *signature = calloc(1, 64);
    return *signature != NULL ? 0 : -1;
}

static char *
ask(void *arg, const char *name, const char *instruction, const char *prompt,
    bool echo)
{
    (void)arg;
    (void)name;
    (void)instruction;
    (void)echo;
    return strlen(prompt) % 2 != 0 ? strdup("secret") : NULL;
}

static enum sg_status
log_in(struct sg_session *session, int method, const struct sg_wait *wait,
       struct sg_error *error)
{
    static const unsigned char blob[51] = "\0\0\0\013ssh-ed25519\0\0\0\040";
    static const struct sg_signer signer = {.sign = sign};
    static const struct sg_responder responder = {.respond = ask};
    const char *methods;

    /* libssh2 1.10 does not check the lengths in a keyboard-interactive
     * request, and reads past the end of the packet. */
    if (method % 4 == 3 && sg_session_libssh2_number() < 0x010b00) {
        method = 0;
    }
    switch (method % 4) {
    case 1:
        return sg_auth_password(session, "user", "secret", 6, wait, error);
    case 2:
        return sg_auth_signer(session, "user", blob, sizeof(blob), &signer,
                              wait, error);
    case 3:
        return sg_auth_interactive(session, "user", &responder, wait, error);
    default:
        return sg_auth_none(session, "user", &methods, wait, error);
    }
}

struct channel {
    int stream;
    struct sg_reply *reply;
    struct sg_shared *shared;
};

static void
ask_for_channel(struct channel *channel, uint64_t loop, int choices)
{
    static const char text[] = "to the other end, in the end, I hope";
    struct sg_error error = {.status = SG_OK};
    struct sg_channel_options options = {.type = "direct-tcpip",
                                         .message = "\0\0\0\0\0\0\0\1"
                                                    "\0\0\0\0\0\0\0\1",
                                         .message_len = 16,
                                         .window_size = 65536,
                                         .max_packet_size = 32768,
                                         .linger = 0};

    channel->shared = sg_shared_new();
    demand(sg_channel_start(loop, &options, channel->shared, &channel->reply,
                            &channel->stream, &error)
               == SG_OK,
           "a channel is asked for");
    if (choices & WRITES) {
        demand(write(channel->stream, text, sizeof(text)) > 0, "written");
    }
    if (choices & HALF_CLOSED) {
        shutdown(channel->stream, SHUT_WR);
    }
    if (choices & CLOSED) {
        sg_sys_close(&channel->stream);
    }
    if (choices & ABANDONED) {
        sg_reply_drop(channel->reply);
        channel->reply = NULL;
    }
}

/* Check that the open was answered, that the stream has ended, and release
 * the channel. */
static void
check_channel_ended(struct channel *channel)
{
    struct sg_error error = {.status = SG_OK};
    char block[4096], text[SG_ERROR_TEXT];
    ssize_t n;

    if (channel->reply != NULL) {
        enum sg_status status = sg_reply_wait(channel->reply, sg_sys_now(),
                                              never_interrupt, NULL, &error);

        demand(status != SG_ERR_TIMEOUT, "the open is answered");
        demand(status == SG_OK || error.text[0] != '\0' || error.err != 0
                   || error.code != 0,
               "the answer has a reason");
        sg_reply_drop(channel->reply);
    }
    if (channel->stream >= 0) {
        do {
            n = recv(channel->stream, block, sizeof(block), MSG_DONTWAIT);
        } while (n > 0);
        demand(n == 0 || errno != EAGAIN, "the stream has ended");
    }
    sg_shared_get_failure(channel->shared, text);
    sg_shared_unref(channel->shared);
    sg_sys_close(&channel->stream);
}

/* Start the session, let the caller use its channels, run the loop to its end,
 * and check the outcome. */
static void
run_loop(struct sg_session *session, struct sg_shared *shared, int choices)
{
    struct channel channels[N_CHANNELS];
    struct sg_error error = {.status = SG_OK};
    unsigned n = choices & NO_CHANNEL ? 0 : N_CHANNELS;
    uint64_t loop;
    int control;

    demand(sg_session_start(session, &(struct sg_alive){0}, &loop, &control,
                            &error)
               == SG_OK,
           "it starts");
    for (unsigned i = 0; i < n; i++) {
        ask_for_channel(&channels[i], loop, i == 0 ? choices : WRITES);
    }
    if (choices & ENDED) {
        sg_sys_close(&control);
    }
    waiting_thread.run(waiting_thread.arg);
    demand(sg_loop_count() == 0, "the loop has ended");
    for (unsigned i = 0; i < n; i++) {
        check_channel_ended(&channels[i]);
    }
    demand(sg_shared_get_failure(shared, NULL) != 0, "the session says why");
    sg_sys_close(&control);
}

/* ---- A run ------------------------------------------------------------ */

/* "fuzz_session --seeds DIRECTORY" writes the first inputs to the directory.
 */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        save_seeds((*argv)[2]);
        exit(0);
    }
    sg_loop_init();
    return 0;
}

static void
play(struct sg_session *session, struct sg_shared *shared, int choices,
     int method)
{
    struct sg_wait wait = {.deadline = SG_NEVER, .interrupt = never_interrupt};
    struct sg_error error = {.status = SG_OK};
    enum sg_status status = sg_session_handshake(session, NULL, &wait, &error);

    if (status == SG_OK) {
        size_t n;

        sg_session_host_key(session, &n);
        for (int i = SG_METHOD_KEX; i <= SG_METHOD_BANNER; i++) {
            sg_session_method(session, (enum sg_method)i);
        }
        status = log_in(session, method, &wait, &error);
    }
    if (status == SG_OK) {
        run_loop(session, shared, choices);
        return;
    }
    demand(error.status == status, "the error is the one returned");
    demand(error.text[0] != '\0' || error.err != 0, "the error has a reason");
    sg_session_free(session);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct bytes login;
    struct sg_error error = {.status = SG_OK};
    struct sg_shared *shared = sg_shared_new();
    struct sg_session *session;
    struct bytes words;
    int pair[2], choices;

    if (n < HEAD || shared == NULL) {
        sg_shared_unref(shared);
        return -1;
    }
    if (login.len == 0) {
        put_login(&login);
    }
    runs++;
    choices = data[0];
    demand(sg_sys_socketpair(pair) == 0, "a socketpair");
    if (choices & LOGGED_IN) {
        demand(write(pair[1], login.data, login.len) > 0, "the login");
    }
    words = words_of(data + HEAD, n - HEAD, choices & LOGGED_IN);
    if (words.len > 0) {
        demand(send(pair[1], words.data, words.len, MSG_DONTWAIT) > 0,
               "the words");
    }
    free(words.data);
    shutdown(pair[1], SHUT_WR);
    session_fd = pair[0];
    pieces = data[2];
    session = sg_session_new(pair[0], shared, &error);
    demand(session != NULL, "a session");
    play(session, shared, choices, choices & LOGGED_IN ? 0 : data[1]);
    sg_shared_unref(shared);
    sg_sys_close(&pair[1]);
    demand(sg_sys_owned() == 0, "no descriptor is left");
    return 0;
}
