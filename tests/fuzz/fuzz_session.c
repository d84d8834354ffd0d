/* SPDX-License-Identifier: BSD-2-Clause
 *
 * libFuzzer: a session whose server says what the fuzzer wants, under null
 * cryptography (tests/engine/nullcrypt.c), from its first byte or after a
 * login that went well; with channels, on which the caller does something.
 *
 * The loop's thread is run in place (loop.c is built with another
 * pthread_create), what is received comes in pieces that the input decides
 * on (sys.c with another recv), and the server hangs up in the end, so that
 * nothing ever waits: a run takes well under a millisecond and is the same
 * each time.
 *
 * An input is two bytes of choices, one of pieces, and records: a type, a
 * length of two bytes and so much payload.  Each becomes a packet; one of
 * type 0 that is the first or the last is taken as it is.  So a mutation
 * seldom breaks the framing: with no crypto in the way that is all it takes
 * to get deep.
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
#include "ssh/auth.h"
#include "ssh/channel.h"
#include "engine/loop.h"
#include "ssh/session.h"
#include "sys/sys.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room,
                               unsigned int seed);
int fuzz_thread(pthread_t *thread, const pthread_attr_t *attributes,
                void *(*run)(void *), void *arg);
ssize_t fuzz_recv(int fd, void *to, size_t n, int flags);

#define HEAD 3        /* bytes before the records */
#define KNOWN_EXIT 77 /* of a run that met what is known; see run_fuzz.sh */
#define MOST 60000    /* bytes of the server: they fit into the socket */
#define N_CHANNELS 2U

/* The first byte. */
enum {
    LOGGED_IN = 1, /* the login is given */
    CLOSED = 2,    /* the caller closes its channels at once */
    HALF_CLOSED = 4,
    WRITES = 8, /* it has something to say */
    ENDED = 16, /* the session is closed at once */
    ABANDONED = 32,
    NO_CHANNEL = 64,
};

static unsigned long runs;

static void
demand(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

/* ---- In the place of the system --------------------------------------- */

/* libssh2's assert() on lengths that are no multiple of the block is known.
 * There is no way back from it, so the fuzzer is started again. */
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

/* In start_thread() of loop.c. */
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
static unsigned pieces; /* state of the sizes they come in; 0: as they are */

/* In sg_sys_recv(). */
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

/* ---- From an input to what the server says ---------------------------- */

static size_t
record_size(const uint8_t *data, size_t n)
{
    size_t size = n < 3 ? n : 3 + ((size_t)data[1] << 8 | data[2]);

    return size < n ? size : n;
}

/* libssh2 has an assert() on lengths that are no multiple of the block, and
 * aborts: nothing new is to be learnt from that. */
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

/* libssh2 1.10 believes that a host key of ed25519 has its 32 bytes, and
 * reads them behind its end. */
static bool
is_known_to_fail(const uint8_t *data, size_t n)
{
    return sg_session_libssh2_number() < 0x010b00
           && (data[0] == MSG_KEX_ECDH_REPLY || data[0] == 33)
           && (n < 7 || (data[3] | data[4] | data[5]) != 0 || data[6] < 51);
}

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
    n -= 2; /* the type is of the payload, its length is not */
    padding = BLOCK_SIZE - (5 + n) % BLOCK_SIZE;
    padding += padding < 4 ? BLOCK_SIZE : 0;
    bytes_add_u32(words, (uint32_t)(1 + n + padding));
    bytes_add_u8(words, (int)padding);
    bytes_add_u8(words, data[0]);
    bytes_add(words, data + 3, n - 1);
    bytes_add(words, zeros, padding + (*is_keyed ? MAC_SIZE : 0));
    *is_keyed = *is_keyed || data[0] == MSG_NEWKEYS;
}

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
    static const struct sg_asker asker = {.ask = ask};
    const char *methods;

    /* libssh2 1.10 believes every length of a keyboard-interactive request,
     * and reads past the end of the packet. */
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
        return sg_auth_interactive(session, "user", &asker, wait, error);
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

/* Whoever waited has been told. */
static void
look_after_channel(struct channel *channel)
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
        look_after_channel(&channels[i]);
    }
    demand(sg_shared_get_failure(shared, NULL) != 0, "the session says why");
    sg_sys_close(&control);
}

/* ---- Seeds ------------------------------------------------------------ */

/* Packets without keys, as records. */
static void
add_records(struct bytes *seed, struct bytes *packets)
{
    size_t at = 0;

    while (at + 6 <= packets->len) {
        const unsigned char *packet = packets->data + at;
        uint32_t length;
        size_t n;

        memcpy(&length, packet, sizeof(length));
        length = ntohl(length);
        n = length - 1 - packet[4] - 1;
        bytes_add_u8(seed, packet[5]);
        bytes_add_u8(seed, (int)(n >> 8));
        bytes_add_u8(seed, (int)(n & 0xff));
        bytes_add(seed, packet + 6, n);
        at += 4 + length;
    }
    free(packets->data);
    *packets = (struct bytes){0};
}

static void
save_seed(const char *directory, const char *name, int choices, int method,
          struct bytes *packets)
{
    struct bytes seed = {0};
    char path[4096];
    FILE *file;

    bytes_add_u8(&seed, choices);
    bytes_add_u8(&seed, method);
    bytes_add_u8(&seed, 0);
    if (!(choices & LOGGED_IN)) {
        bytes_add_u8(&seed, 0);
        bytes_add_u8(&seed, 0);
        bytes_add_u8(&seed, sizeof(SERVER_BANNER) - 1);
        bytes_add(&seed, SERVER_BANNER, sizeof(SERVER_BANNER) - 1);
    }
    add_records(&seed, packets);
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "we");
    demand(file != NULL, "a seed can be written");
    fwrite(seed.data, 1, seed.len, file);
    fclose(file);
    free(seed.data);
}

static void
put_channel(struct bytes *packets, uint32_t id)
{
    packet_put(packets, 0, MSG_CHANNEL_OPEN_CONFIRMATION, "uuuu", id, id + 7,
               65536U, 32768U);
    packet_put(packets, 0, MSG_CHANNEL_DATA, "us", id, "some words");
    packet_put(packets, 0, MSG_CHANNEL_WINDOW_ADJUST, "uu", id, 1000U);
}

static void
put_end(struct bytes *packets, uint32_t id)
{
    packet_put(packets, 0, MSG_CHANNEL_EOF, "u", id);
    packet_put(packets, 0, MSG_CHANNEL_CLOSE, "u", id);
}

static void
put_what_servers_say(struct bytes *packets)
{
    packet_put(packets, 0, MSG_GLOBAL_REQUEST, "sb", "hostkeys-00@openssh.com",
               0);
    packet_put(packets, 0, MSG_GLOBAL_REQUEST, "sb", "keepalive@openssh.com",
               1);
    packet_put(packets, 0, MSG_CHANNEL_EXTENDED_DATA, "uus", 0U, 1U, "oops");
    packet_put(packets, 0, MSG_CHANNEL_REQUEST, "usbu", 0U, "exit-status", 0,
               1U);
    packet_put(packets, 0, MSG_CHANNEL_REQUEST, "usbsbss", 0U, "exit-signal",
               0, "TERM", 0, "words", "");
    packet_put(packets, 0, MSG_CHANNEL_OPEN, "suuususu", "forwarded-tcpip", 5U,
               65536U, 32768U, "host", 22U, "host", 23U);
    packet_put(packets, 0, MSG_CHANNEL_OPEN, "suuusu", "x11", 5U, 65536U,
               32768U, "host", 22U);
    packet_put(packets, 0, MSG_IGNORE, "s", "nothing");
    packet_put(packets, 0, MSG_DEBUG, "bss", 1, "nothing", "");
    packet_put(packets, 0, MSG_UNIMPLEMENTED, "u", 3U);
    packet_put(packets, 0, MSG_REQUEST_SUCCESS, "");
}

static void
save_seeds_after_the_login(const char *directory)
{
    static const int choices[] = {LOGGED_IN,
                                  LOGGED_IN | CLOSED,
                                  LOGGED_IN | HALF_CLOSED | WRITES,
                                  LOGGED_IN | ENDED | WRITES,
                                  LOGGED_IN | ABANDONED,
                                  LOGGED_IN | NO_CHANNEL};
    struct bytes packets = {0};
    char name[32];

    for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
        put_channel(&packets, 0);
        put_channel(&packets, 1);
        put_what_servers_say(&packets);
        put_kex(&packets, 0);
        put_end(&packets, 0);
        put_end(&packets, 1);
        packet_put(&packets, 0, MSG_DISCONNECT, "uss", 11U, "lunch", "en");
        snprintf(name, sizeof(name), "channels-%zu", i);
        save_seed(directory, name, choices[i], 0, &packets);
    }
    packet_put(&packets, 0, MSG_CHANNEL_OPEN_FAILURE, "uuss", 0U, 2U,
               "refused", "en");
    put_channel(&packets, 1);
    save_seed(directory, "refused", LOGGED_IN, 0, &packets);
}

static void
save_seeds_of_logins(const char *directory)
{
    struct bytes packets = {0};
    char name[32];

    for (int method = 0; method < 4; method++) {
        for (int is_good = 0; is_good < 2; is_good++) {
            put_kex(&packets, 0);
            packet_put(&packets, 0, MSG_SERVICE_ACCEPT, "s", "ssh-userauth");
            packet_put(&packets, 0, MSG_USERAUTH_BANNER, "ss", "hello", "");
            if (method == 2) {
                packet_put(&packets, 0, MSG_USERAUTH_INFO_REQUEST, "sd",
                           "ssh-ed25519",
                           "\0\0\0\013ssh-ed25519\0\0\0\0400123456789abcdef"
                           "0123456789abcdef",
                           (size_t)51);
            }
            if (method == 3) {
                packet_put(&packets, 0, MSG_USERAUTH_INFO_REQUEST, "sssusbsb",
                           "name", "instruction", "", 2U, "one", 0, "two", 1);
            }
            if (is_good) {
                packet_put(&packets, 0, MSG_USERAUTH_SUCCESS, "");
                put_channel(&packets, 0);
            }
            else {
                packet_put(&packets, 0, MSG_USERAUTH_FAILURE, "sb",
                           "publickey,password", 0);
            }
            snprintf(name, sizeof(name), "login-%d-%d", method, is_good);
            save_seed(directory, name, 0, method, &packets);
        }
    }
}

/* ---- A run ------------------------------------------------------------ */

/* "fuzz_session --seeds DIRECTORY" writes what to begin with. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        save_seeds_after_the_login((*argv)[2]);
        save_seeds_of_logins((*argv)[2]);
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

/* ---- Mutations that know records -------------------------------------- */

#define MOST_RECORDS 64U

static size_t
find_records(const uint8_t *data, size_t n, size_t *at)
{
    size_t count = 0, i = HEAD;

    while (i < n && count < MOST_RECORDS) {
        at[count++] = i;
        i += record_size(data + i, n - i);
    }
    at[count] = i;
    return count;
}

static void
set_length(uint8_t *record, size_t payload)
{
    record[1] = (uint8_t)(payload >> 8);
    record[2] = (uint8_t)payload;
}

/* Change what is in a record, and its length with it. */
static size_t
mutate_record(uint8_t *data, size_t n, size_t room, size_t from, size_t to)
{
    size_t payload = to - from > 3 ? to - from - 3 : 0;
    size_t free_room = room - n < 200 ? room - n : 200;
    uint8_t scratch[65536 + 256];
    size_t changed;

    if (to - from < 3 || payload + free_room > 65535) {
        return LLVMFuzzerMutate(data, n, room);
    }
    memcpy(scratch, data + from + 3, payload);
    changed = LLVMFuzzerMutate(scratch, payload, payload + free_room);
    memmove(data + from + 3 + changed, data + to, n - to);
    memcpy(data + from + 3, scratch, changed);
    set_length(data + from, changed);
    return n - payload + changed;
}

/* A second one of the record at `from`, before the one at `into`. */
static size_t
copy_record(uint8_t *data, size_t n, size_t room, size_t from, size_t size,
            size_t into)
{
    uint8_t copy[4096];

    if (size > sizeof(copy) || n + size > room) {
        return n;
    }
    memcpy(copy, data + from, size);
    memmove(data + into + size, data + into, n - into);
    memcpy(data + into, copy, size);
    return n + size;
}

static size_t
add_record(uint8_t *data, size_t n, size_t room, size_t into, unsigned seed)
{
    static const uint8_t types[] = {1,  2,  3,  4,  6,  7,  20, 21, 31, 50,
                                    51, 52, 53, 60, 61, 80, 81, 82, 90, 91,
                                    92, 93, 94, 95, 96, 97, 98, 99, 100};
    uint8_t record[3 + 24] = {types[seed % sizeof(types)], 0, 24};

    if (n + sizeof(record) > room) {
        return n;
    }
    record[6] = (uint8_t)(seed >> 8 & 3); /* a channel's number */
    record[10] = (uint8_t)(seed >> 10);
    record[26] = (uint8_t)(seed >> 18);
    memmove(data + into + sizeof(record), data + into, n - into);
    memcpy(data + into, record, sizeof(record));
    return n + sizeof(record);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room,
                        unsigned int seed)
{
    size_t at[MOST_RECORDS + 1], count, i, j;
    unsigned r = seed * 2654435761U;

    if (n < HEAD) {
        return LLVMFuzzerMutate(data, n, room);
    }
    count = find_records(data, n, at);
    i = count > 0 ? (r >> 8) % count : 0;
    j = count > 0 ? (r >> 16) % (count + 1) : 0;
    switch (count > 0 ? r % 8 : 7) {
    case 0:
    case 1:
    case 2:
        return mutate_record(data, n, room, at[i], at[i + 1]);
    case 3:
        return copy_record(data, n, room, at[i], at[i + 1] - at[i], at[j]);
    case 4:
        return add_record(data, n, room, at[j], r >> 4);
    case 5:
        memmove(data + at[i], data + at[i + 1], n - at[i + 1]);
        return n - (at[i + 1] - at[i]);
    case 6:
        data[r >> 8 & 1] ^= (uint8_t)(1U << (r >> 10 & 7));
        return n;
    default:
        return LLVMFuzzerMutate(data, n, room);
    }
}
