/* SPDX-License-Identifier: BSD-2-Clause
 *
 * One SSH connection to a gateway, spoken by libssh2 over two memory buffers.
 *
 * Its life: made, handshake and authentication (auth.h) on the caller's
 * thread, with a deadline; then sg_session_start() gives it to a loop of its
 * own, which carries channels (channel.h) until it is closed or lost.
 *
 * libssh2 never sees the socket.  It mishandles a packet of which only a
 * part could be sent, in every release; so its SEND callback takes the whole
 * packet into our buffer, always, and RECV reads from ours.
 */
#ifndef SG_SESSION_H
#define SG_SESSION_H

#include "sys/deadline.h"
#include "engine/shared.h"
#include "sys/status.h"

struct sg_session;

/* How long the caller's thread waits, and what it does after a signal: not 0
 * from interrupt(arg) ends the wait with SG_ERR_INTERRUPTED. */
struct sg_wait {
    sg_deadline deadline;
    int (*interrupt)(void *arg);
    void *arg;
};

/* Takes over `fd`, a connected socket, and takes its own reference to the
 * report, which will tell why it was lost.  NULL: it is the caller's still. */
struct sg_session *sg_session_new(int fd, struct sg_shared *shared,
                                  struct sg_error *error);

/* Version exchange and key exchange.  `host_key_types`: a comma list of
 * those to offer first, or NULL. */
enum sg_status sg_session_handshake(struct sg_session *session,
                                    const char *host_key_types,
                                    const struct sg_wait *wait,
                                    struct sg_error *error);

/* The server's public host key, a blob of RFC 4253 6.6; after the handshake,
 * for as long as the session lives. */
const char *sg_session_host_key(struct sg_session *session, size_t *n);

/* What was agreed upon, "" when nothing was. */
enum sg_method {
    SG_METHOD_KEX,
    SG_METHOD_HOST_KEY,
    SG_METHOD_CIPHER,
    SG_METHOD_MAC,
    SG_METHOD_BANNER, /* the server's identification */
};
const char *sg_session_method(struct sg_session *session,
                              enum sg_method method);

/* What is offered, a comma list; not for SG_METHOD_BANNER. */
const char *sg_session_offer(enum sg_method method);

/* For one that was never started: ends it at once, with a word of goodbye
 * if that can be sent without waiting. */
void sg_session_free(struct sg_session *session);

/* ssh_config's ServerAliveInterval and ServerAliveCountMax. */
struct sg_alive {
    int64_t interval; /* ns without a byte until the server is asked; 0: never
                         ask */
    int count_max;    /* so many intervals more until it is lost */
};

/* Give it to a loop of its own, whose name channels are opened by.  It ends
 * when the other end of *control is closed.  On failure it is the caller's
 * still. */
enum sg_status sg_session_start(struct sg_session *session,
                                const struct sg_alive *alive,
                                uint64_t *loop_id, int *control,
                                struct sg_error *error);

/* libssh2's version, as a text and as 0xMMmmpp. */
const char *sg_session_libssh2_version(void);
int sg_session_libssh2_number(void);

#endif
