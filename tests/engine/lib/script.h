/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A server that the test plays itself, packet by packet, at the other end of a
 * session's socket.
 *
 * The program must be linked with nullcrypt.c (see engine.mk), so that packets
 * are as packets.h builds them.  The functions run on the test's thread while
 * the session's loop runs on its own.  Only script_answer() answers the client
 * without the test's asking: it refuses the two requests by which a client
 * finds out whether the server is alive.
 */
#ifndef SG_TEST_SCRIPT_H
#define SG_TEST_SCRIPT_H

#include "lib/hook.h"
#include "lib/packets.h"
#include "lib/process.h"
#include "lib/proxy.h"
#include "lib/session.h"
#include "lib/stream.h"

#define SCRIPT_WINDOW (2 * 1024 * 1024) /* the window of a client's channel */

struct script {
    int fd;        /* the server's end, which script_close() closes */
    uint64_t loop; /* the id of the session's loop */
    int control;   /* closing it closes the session; -1: not running */
    struct sg_shared *shared; /* of the session */

    struct bytes received; /* everything from the client */
    size_t next;           /* where in `received` the next packet begins */
    bool has_banner;       /* the client's banner is before `next` */
    bool is_keyed;         /* the client's NEWKEYS is before `next` */

    /* The payload of the current packet and its length in bytes; valid until
     * the next call that sends or receives. */
    const unsigned char *packet;
    size_t packet_len;
};

/* ---- Sessions --------------------------------------------------------- */

/* Make a new session with `script` as its server, and send `words`, which wait
 * in the session's socket.  The caller does the handshake and frees the
 * session, or starts it. */
struct sg_session *script_start(struct script *script,
                                const struct bytes *words);

/* Make a session that is logged in and runs on a loop. */
void script_open(struct script *script);

/* Close both sides, if they are open, and release `script`. */
void script_close(struct script *script);

/* ---- Sending ---------------------------------------------------------- */

/* Send a packet; `type` and `format` are those of packet_put(). */
void script_send(struct script *script, int type, const char *format, ...);

/* Send `n` bytes as they are.  Receives meanwhile, so that the client can
 * always send.  Returns early if the client has closed the connection. */
void script_write(struct script *script, const void *data, size_t n);

/* The same with `bytes`, which become empty. */
void script_write_bytes(struct script *script, struct bytes *bytes);

/* Close the server's sending side.  The client reads what was sent before. */
void script_hang_up(struct script *script);

/* ---- Receiving -------------------------------------------------------- */

/* Go to the client's next packet, of any type.  Returns its type, or -1 at the
 * end of the connection. */
int script_next(struct script *script);

/* Answer the current packet if it asks whether the server is alive: refuse an
 * open of our own unknown type, and a global request that wants a reply.
 * Returns true if it was such a packet. */
bool script_answer(struct script *script);

/* Go to the next packet of `type`, and skip others with script_answer().
 * Fails the test if the connection ends first. */
void script_expect(struct script *script, int type);

/* Skip everything up to the end of the connection. */
void script_expect_end(struct script *script);

/* Returns the uint32 at offset `at` of the current packet's payload. */
uint32_t script_u32(const struct script *script, size_t at);

/* Returns true if the string at offset `at` of the current packet's payload is
 * `text`. */
bool script_string_is(const struct script *script, size_t at,
                      const char *text);

/* ---- Channels --------------------------------------------------------- */

#define SERVERS_ID 7U /* the server's number for the client's channels */

/* Let the client ask for a direct-tcpip channel with SHORT_LINGER and a window
 * size of `window` bytes.  Does not wait. */
void script_ask_with(struct script *script, struct channel *channel,
                     unsigned int window);

/* The same with SCRIPT_WINDOW. */
void script_ask(struct script *script, struct channel *channel);

/* Go to the client's CHANNEL_OPEN and set the channel's id from it. */
void script_expect_open(struct script *script, struct channel *channel);

/* Send CHANNEL_OPEN_CONFIRMATION; the client may then send `window` bytes. */
void script_confirm(struct script *script, const struct channel *channel,
                    uint32_t window);

/* All of the above: ask, confirm, and wait until the channel is open. */
void script_open_channel(struct script *script, struct channel *channel);

#endif
