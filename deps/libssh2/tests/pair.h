/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A pair of libssh2 sessions that exchange packets through memory buffers,
 * with keys that the test sets. `ours` is the session under test. `theirs`
 * plays the server: it can send any message, and it records the messages that
 * arrive. This needs libssh2's internal headers.
 */
#ifndef PAIR_H
#define PAIR_H

#include <errno.h>

#include "message.h"

#include "channel.h"
#include "mac.h"
#include "packet.h"
#include "session.h"
#include "transport.h"

/* RUN(case): run a test case. Each case makes its own pair. */
#define RUN(function)                                                         \
    do {                                                                      \
        running = #function;                                                  \
        function();                                                           \
    } while (0)

/* ---- The wire --------------------------------------------------------- */

struct wire {
    unsigned char *data;
    size_t start, end, size;
    size_t chunk; /* most bytes that one recv returns; 0: no limit */
    size_t room;  /* 1 + bytes that can be sent before EAGAIN; 0: no limit */
};

struct side {
    LIBSSH2_SESSION *session;
    struct wire *in, *out;
};

struct pair {
    struct side ours, theirs;
    struct wire wires[2];
};

static LIBSSH2_SEND_FUNC(wire_send)
{
    struct wire *wire = ((struct side *)*abstract)->out;

    (void)socket;
    (void)flags;
    if (wire->room == 1) {
        return -EAGAIN;
    }
    if (wire->room != 0) {
        length = length < wire->room ? length : wire->room - 1;
        wire->room -= length;
    }
    if (wire->end + length > wire->size) {
        wire->size = (wire->end + length) * 2;
        wire->data = realloc(wire->data, wire->size);
        CHECK(wire->data != NULL);
    }
    memcpy(wire->data + wire->end, buffer, length);
    wire->end += length;
    return (ssize_t)length;
}

static LIBSSH2_RECV_FUNC(wire_recv)
{
    struct wire *wire = ((struct side *)*abstract)->in;

    (void)socket;
    (void)flags;
    if (wire->start == wire->end) {
        wire->start = wire->end = 0;
        return -EAGAIN;
    }
    if (length > wire->end - wire->start) {
        length = wire->end - wire->start;
    }
    if (wire->chunk != 0 && length > wire->chunk) {
        length = wire->chunk;
    }
    memcpy(buffer, wire->data + wire->start, length);
    wire->start += length;
    return (ssize_t)length;
}

/* ---- Keys ------------------------------------------------------------- */

#define KEY_SIZE 64

/* Returns a key or initialisation vector that libssh2 may keep and free. */
HELPER unsigned char *
new_key(LIBSSH2_SESSION *session)
{
    unsigned char *key = LIBSSH2_ALLOC(session, KEY_SIZE);

    CHECK(key != NULL);
    memset(key, 0x5a, KEY_SIZE);
    return key;
}

HELPER const LIBSSH2_CRYPT_METHOD *
find_cipher(const char *name)
{
    const LIBSSH2_CRYPT_METHOD **methods = libssh2_crypt_methods();

    while (*methods != NULL && strcmp((*methods)->name, name) != 0) {
        methods++;
    }
    CHECK(*methods != NULL);
    return *methods;
}

HELPER const LIBSSH2_MAC_METHOD *
find_mac(const char *name, const LIBSSH2_CRYPT_METHOD *cipher)
{
    const LIBSSH2_MAC_METHOD *mac = _libssh2_mac_override(cipher);
    const LIBSSH2_MAC_METHOD **methods = _libssh2_mac_methods();

    if (mac != NULL) {
        return mac;
    }
    while (*methods != NULL && strcmp((*methods)->name, name) != 0) {
        methods++;
    }
    CHECK(*methods != NULL);
    return *methods;
}

/* Set the methods of one direction. libssh2 keeps or frees the three keys. */
HELPER void
set_keys(LIBSSH2_SESSION *session, libssh2_endpoint_data *end,
         const char *cipher, const char *mac, int encrypt, unsigned char *iv,
         unsigned char *key, unsigned char *mac_key)
{
    int free_iv = 0, free_key = 0;

    end->crypt = find_cipher(cipher);
    end->mac = find_mac(mac, end->crypt);
    CHECK_EQ(end->crypt->init(session, end->crypt, iv, &free_iv, key,
                              &free_key, encrypt, &end->crypt_abstract),
             0);
    LIBSSH2_FREE(session, iv);
    LIBSSH2_FREE(session, key);
    free_key = 1;
    if (end->mac->init != NULL) {
        free_key = 0;
        end->mac->init(session, mac_key, &free_key, &end->mac_abstract);
    }
    if (free_key) {
        LIBSSH2_FREE(session, mac_key);
    }
    session->state = LIBSSH2_STATE_NEWKEYS | LIBSSH2_STATE_AUTHENTICATED;
}

HELPER void
set_cipher(LIBSSH2_SESSION *session, libssh2_endpoint_data *end,
           const char *cipher, const char *mac, int encrypt)
{
    set_keys(session, end, cipher, mac, encrypt, new_key(session),
             new_key(session), new_key(session));
}

/* ---- Messages that `theirs` receives ---------------------------------- */

/* A message that `theirs` received. It is recorded here and not passed on,
 * because libssh2 would process it as a client. (Linked with --wrap.) */
struct tap {
    struct tap *next;
    size_t n;
    unsigned char data[];
};

static LIBSSH2_SESSION *tapped;
static struct tap *taps;

int __real__libssh2_packet_add(LIBSSH2_SESSION *session, unsigned char *data,
                               size_t datalen, int macstate, uint32_t seq);
int __wrap__libssh2_packet_add(LIBSSH2_SESSION *session, unsigned char *data,
                               size_t datalen, int macstate, uint32_t seq);

int
__wrap__libssh2_packet_add(LIBSSH2_SESSION *session, unsigned char *data,
                           size_t datalen, int macstate, uint32_t seq)
{
    struct tap *tap, **last = &taps;

    if (session != tapped) {
        return __real__libssh2_packet_add(session, data, datalen, macstate,
                                          seq);
    }
    CHECK_EQ(macstate, LIBSSH2_MAC_CONFIRMED);
    tap = malloc(sizeof(*tap) + datalen);
    CHECK(tap != NULL);
    tap->next = NULL;
    tap->n = datalen;
    memcpy(tap->data, data, datalen);
    LIBSSH2_FREE(session, data);
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = tap;
    return 0;
}

/* ---- The pair --------------------------------------------------------- */

HELPER void
side_open(struct side *side, struct wire *in, struct wire *out)
{
    side->in = in;
    side->out = out;
    side->session = libssh2_session_init_ex(NULL, NULL, NULL, side);
    CHECK(side->session != NULL);
    libssh2_session_set_blocking(side->session, 0);
    libssh2_session_callback_set2(side->session, LIBSSH2_CALLBACK_SEND,
                                  (libssh2_cb_generic *)wire_send);
    libssh2_session_callback_set2(side->session, LIBSSH2_CALLBACK_RECV,
                                  (libssh2_cb_generic *)wire_recv);
    side->session->socket_state = LIBSSH2_SOCKET_CONNECTED;
}

/* Open a pair in the state before the first key exchange. */
HELPER void
pair_open_plain(struct pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    side_open(&pair->ours, &pair->wires[0], &pair->wires[1]);
    side_open(&pair->theirs, &pair->wires[1], &pair->wires[0]);
    tapped = pair->theirs.session;
}

/* Open a pair in which `ours` has read the banner of `theirs`. */
HELPER void
pair_open_with_banner(struct pair *pair)
{
    static const char banner[] = "SSH-2.0-theirs";

    pair_open_plain(pair);
    pair->ours.session->remote.banner = LIBSSH2_ALLOC(pair->ours.session,
                                                      sizeof(banner));
    CHECK(pair->ours.session->remote.banner != NULL);
    memcpy(pair->ours.session->remote.banner, banner, sizeof(banner));
}

/* Open a pair in the state after authentication. `ours` encrypts with the
 * cipher `up`, `theirs` with the cipher `down`. */
HELPER void
pair_open_with(struct pair *pair, const char *up, const char *down,
               const char *mac)
{
    LIBSSH2_SESSION *ours, *theirs;

    pair_open_plain(pair);
    ours = pair->ours.session;
    theirs = pair->theirs.session;
    set_cipher(ours, &ours->local, up, mac, 1);
    set_cipher(theirs, &theirs->remote, up, mac, 0);
    set_cipher(theirs, &theirs->local, down, mac, 1);
    set_cipher(ours, &ours->remote, down, mac, 0);
}

/* The same with hmac-sha2-256. */
HELPER void
pair_open(struct pair *pair, const char *up, const char *down)
{
    pair_open_with(pair, up, down, "hmac-sha2-256");
}

/* Free the session without sending anything. */
HELPER void
side_close(struct side *side)
{
    side->session->socket_state = LIBSSH2_SOCKET_DISCONNECTED;
    CHECK_EQ(libssh2_session_free(side->session), 0);
}

HELPER void
pair_close(struct pair *pair)
{
    side_close(&pair->ours);
    side_close(&pair->theirs);
    while (taps != NULL) {
        struct tap *tap = taps;

        taps = tap->next;
        free(tap);
    }
    free(pair->wires[0].data);
    free(pair->wires[1].data);
}

/* ---- Messages --------------------------------------------------------- */

/* Send the message from that side. */
HELPER void
say(struct side *side, const struct message *message)
{
    CHECK_EQ(_libssh2_transport_send(side->session, message->data, message->n,
                                     NULL, 0),
             0);
}

/* Begin a key exchange from their side. */
HELPER void
say_kexinit_with(struct pair *pair, const char *methods, const char *host_keys,
                 const char *cipher, const char *mac)
{
    const char *const lists[] = {methods, host_keys, cipher, cipher, mac,
                                 mac,     "none",    "none", "",     ""};
    static struct message kexinit;

    kexinit.n = 0;
    put_byte(&kexinit, SSH_MSG_KEXINIT);
    for (int i = 0; i < 16; i++) {
        put_byte(&kexinit, 0);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        put_text(&kexinit, lists[i]);
    }
    put_byte(&kexinit, 0);
    put_u32(&kexinit, 0);
    say(&pair->theirs, &kexinit);
}

/* The same with an Ed25519 host key. */
HELPER void
say_kexinit(struct pair *pair, const char *methods, const char *cipher,
            const char *mac)
{
    say_kexinit_with(pair, methods, "ssh-ed25519", cipher, mac);
}

/* Continue the first key exchange of `ours`; returns its last result. */
HELPER int
exchange_keys(struct pair *pair)
{
    LIBSSH2_SESSION *session = pair->ours.session;
    int rc;

    do {
        rc = _libssh2_kex_exchange(session, 0, &session->startup_key_state);
    } while (rc == LIBSSH2_ERROR_EAGAIN && pair->ours.out->room != 1
             && pair->ours.in->start != pair->ours.in->end);
    return rc;
}

/* Read all packets that have arrived at that side; returns the last result.
 * (EAGAIN does not end the loop while there is data, because one recv may
 * return less than a block.) */
HELPER int
listen_to(struct side *side)
{
    int rc;

    do {
        rc = _libssh2_transport_read(side->session);
    } while (
        rc >= 0
        || (rc == LIBSSH2_ERROR_EAGAIN && side->in->start != side->in->end));
    return rc;
}

/* Take the oldest message of that type that `theirs` received. Returns 0 if
 * there is none. */
HELPER int
they_hear(struct pair *pair, unsigned char type, struct message *message)
{
    struct tap **link = &taps, *tap;

    listen_to(&pair->theirs);
    while (*link != NULL && (*link)->data[0] != type) {
        link = &(*link)->next;
    }
    tap = *link;
    if (tap == NULL) {
        return 0;
    }
    *link = tap->next;
    CHECK(tap->n <= sizeof(message->data));
    memcpy(message->data, tap->data, tap->n);
    message->n = tap->n;
    free(tap);
    return 1;
}

/* Take the oldest message of that type from the queue of `ours`. Returns 0 if
 * there is none. */
HELPER int
we_hear(struct pair *pair, unsigned char type, struct message *message)
{
    LIBSSH2_SESSION *session = pair->ours.session;
    unsigned char *data;
    size_t n;

    listen_to(&pair->ours);
    if (_libssh2_packet_ask(session, type, &data, &n, 0, NULL, 0)) {
        return 0;
    }
    CHECK(n <= sizeof(message->data));
    memcpy(message->data, data, n);
    message->n = n;
    LIBSSH2_FREE(session, data);
    return 1;
}

HELPER uint32_t
u32_at(const struct message *message, size_t at)
{
    CHECK(at + 4 <= message->n);
    return _libssh2_ntohu32(message->data + at);
}

/* ---- Channels --------------------------------------------------------- */

#define WINDOW 100000
#define PACKET_SIZE 32768

/* Confirm the oldest open that `theirs` received. The server's channel number
 * is ours plus 1000. Returns our channel number. */
HELPER uint32_t
confirm_open(struct pair *pair)
{
    static struct message message;
    size_t at;
    uint32_t id;

    CHECK(they_hear(pair, SSH_MSG_CHANNEL_OPEN, &message));
    at = 5 + u32_at(&message, 1);
    id = u32_at(&message, at);
    message.n = 0;
    put_byte(&message, SSH_MSG_CHANNEL_OPEN_CONFIRMATION);
    put_u32(&message, id);
    put_u32(&message, id + 1000);
    put_u32(&message, WINDOW);
    put_u32(&message, PACKET_SIZE);
    say(&pair->theirs, &message);
    return id;
}

/* Start or continue an open; returns NULL until it is confirmed. */
HELPER LIBSSH2_CHANNEL *
ask_open(struct pair *pair)
{
    return libssh2_channel_open_ex(pair->ours.session, "test", 4, WINDOW,
                                   PACKET_SIZE, "message", 7);
}

HELPER LIBSSH2_CHANNEL *
open_channel(struct pair *pair)
{
    LIBSSH2_CHANNEL *channel = ask_open(pair);

    CHECK(channel == NULL);
    confirm_open(pair);
    channel = ask_open(pair);
    CHECK(channel != NULL);
    return channel;
}

HELPER void
say_data(struct pair *pair, uint32_t channel, const char *data, size_t n)
{
    static struct message message;

    message.n = 0;
    put_byte(&message, SSH_MSG_CHANNEL_DATA);
    put_u32(&message, channel);
    put_string(&message, data, n);
    say(&pair->theirs, &message);
}

#endif
