/* SPDX-License-Identifier: BSD-2-Clause
 *
 * One SSH connection to a gateway, spoken by libssh2 over two memory buffers.
 *
 * The life of a session: sg_session_new(), the handshake and the
 * authentication (auth.h) run on the caller's thread, with a deadline.  Then
 * sg_session_start() gives the session to a loop of its own, which carries
 * channels (channel.h) until the session is closed or lost.
 *
 * libssh2 never sees the socket.  Every release of it mishandles a packet of
 * which only a part could be sent.  So its SEND callback always takes the
 * whole packet into our buffer, and its RECV callback reads from ours.
 */
#ifndef SG_SESSION_H
#define SG_SESSION_H

#include "sys/deadline.h"
#include "engine/shared.h"
#include "sys/status.h"

struct sg_session;

/* How long a function may block the caller's thread. */
struct sg_wait {
    sg_deadline deadline;        /* then it returns SG_ERR_TIMEOUT */
    int (*interrupt)(void *arg); /* called after a signal and now and then; a
                                    result other than 0 ends the wait with
                                    SG_ERR_INTERRUPTED */
    void *arg;
};

/* Make a session on the connected stream socket `fd`.
 *
 * The session takes over `fd`, and its own reference to `shared`, where it
 * will publish why the connection was lost, and its counters.  Returns NULL
 * if there is no memory; then `fd` remains the caller's. */
struct sg_session *sg_session_new(int fd, struct sg_shared *shared,
                                  struct sg_error *error);

/* The algorithms that a handshake offers, each a list of names separated by
 * commas, the preferred one first.  NULL means the list of
 * sg_session_offer().  A list must hold only names of sg_session_offer(), and
 * at least one. */
struct sg_offers {
    const char *kex;
    const char *host_keys; /* may include certificates; NULL offers none */
    const char *ciphers;
    const char *macs;
};

/* Do the version exchange and the key exchange (RFC 4253 4.2 and 7), on the
 * caller's thread.
 *
 *   offers  NULL means the lists of sg_session_offer()
 *
 * Returns SG_OK, or SG_ERR_SSH, SG_ERR_LOST, SG_ERR_TIMEOUT,
 * SG_ERR_INTERRUPTED or SG_ERR_SYSTEM.  The caller must then check the host
 * key before it authenticates. */
enum sg_status sg_session_handshake(struct sg_session *session,
                                    const struct sg_offers *offers,
                                    const struct sg_wait *wait,
                                    struct sg_error *error);

/* Return what the server sent before the keys were in use, up to *n bytes:
 * any lines, its identification string, and KEXINIT in plain text (RFC 4253
 * 4.2, 7.1).  Untrusted.  NULL after a successful handshake. */
const char *sg_session_hello(const struct sg_session *session, size_t *n);

/* Return the server's public host key, a blob of *n bytes (RFC 4253 6.6), or
 * its host certificate (OpenSSH's PROTOCOL.certkeys).  To be called after the
 * handshake and before sg_session_start(); the blob belongs to the session.
 * The format of a certificate and its authority's signature have been
 * verified; whether it is valid and trusted has not.
 *
 * The caller decides whether to trust the key.  libssh2's own known_hosts
 * code is not used, because it ignores @revoked, @cert-authority, wildcards
 * and negation. */
const char *sg_session_host_key(struct sg_session *session, size_t *n);

/* Parts of the agreement that a handshake reaches. */
enum sg_method {
    SG_METHOD_KEX,
    SG_METHOD_HOST_KEY,
    SG_METHOD_CIPHER,
    SG_METHOD_MAC,
    SG_METHOD_VERSION, /* the server's identification string (RFC 4253 4.2) */
};

/* Return what client and server have agreed upon, "" before they have.  The
 * text belongs to the session. */
const char *sg_session_method(struct sg_session *session,
                              enum sg_method method);

enum sg_offer {
    SG_OFFER_KEX,
    SG_OFFER_HOST_KEYS,
    SG_OFFER_HOST_CERTIFICATES, /* "" if libssh2 cannot check them */
    SG_OFFER_CIPHERS,
    SG_OFFER_MACS,
};

/* Return the algorithms that we can offer, separated by commas, in our order
 * of preference.  A static text. */
const char *sg_session_offer(enum sg_offer what);

/* End and free a session that was never started.  Sends SSH_MSG_DISCONNECT if
 * possible without waiting, and closes the socket. */
void sg_session_free(struct sg_session *session);

/* ssh_config's ServerAliveInterval and ServerAliveCountMax. */
struct sg_alive {
    int64_t interval; /* ns without a received byte and without a keepalive
                         after which a keepalive is sent; 0: send none */
    int count_max;    /* unanswered keepalives after which the session is
                         lost, one interval after the last of them */
};

/* Give the session to a loop of its own.
 *
 *   *loop_id  the id of that loop, for sg_channel_start()
 *   *control  a descriptor that belongs to the caller; closing it ends the
 *             session
 *
 * On success the loop owns the session and frees it.  On failure the session
 * remains the caller's. */
enum sg_status sg_session_start(struct sg_session *session,
                                const struct sg_alive *alive,
                                uint64_t *loop_id, int *control,
                                struct sg_error *error);

/* Return the version of the libssh2 in use as a text, such as "1.11.1". */
const char *sg_session_libssh2_version(void);

/* Return the version of libssh2's header as a number, 0xMMmmpp. */
int sg_session_libssh2_number(void);

#endif
