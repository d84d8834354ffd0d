/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Authentication of a session by messages (RFC 4252): the caller composes
 * each request and reads each reply, and this file carries them.
 *
 * Only the pinned libssh2 can do this; auth.h serves the system's.  The
 * functions run on the caller's thread, between the handshake and
 * sg_session_start().
 */
#ifndef SG_USERAUTH_H
#define SG_USERAUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "ssh/session.h"

/* Return true if the libssh2 in use can authenticate by messages. */
bool sg_userauth_is_available(void);

/* Let the caller authenticate by messages.  Call it before the handshake,
 * which then ends with the first key exchange: the caller sends
 * SSH_MSG_SERVICE_REQUEST itself, together with its first request. */
void sg_userauth_enable(struct sg_session *session);

/* Send one message of `n` bytes without waiting for its reply.  Its first
 * byte is SSH_MSG_SERVICE_REQUEST or a number from 50 to 79.  Waits only
 * while a key exchange is in progress. */
enum sg_status sg_userauth_send(struct sg_session *session,
                                const unsigned char *message, size_t n,
                                const struct sg_wait *wait,
                                struct sg_error *error);

/* Wait for the next message with the number of SSH_MSG_SERVICE_ACCEPT or
 * from 50 to 79.  On SG_OK the caller owns *message, `*n` bytes, and gives it
 * back with sg_userauth_free(). */
enum sg_status sg_userauth_receive(struct sg_session *session,
                                   unsigned char **message, size_t *n,
                                   const struct sg_wait *wait,
                                   struct sg_error *error);

/* Free a result of this file.  NULL is allowed. */
void sg_userauth_free(struct sg_session *session, void *result);

/* Return the session identifier (RFC 4253 7.2), *n bytes that the session
 * owns; NULL before the handshake and with the system's libssh2. */
const unsigned char *sg_userauth_session_id(struct sg_session *session,
                                            size_t *n);

/* Return the signature algorithms that the server takes (server-sig-algs,
 * RFC 8308 3.1), a comma list that the session owns; NULL if the server has
 * not sent one. */
const char *sg_userauth_sig_algs(struct sg_session *session);

/* A private key: the content of a file that libssh2 reads (OpenSSH's format,
 * PEM, PKCS8), and its passphrase or NULL. */
struct sg_private_key {
    const char *text;
    size_t len;
    const char *passphrase;
};

/* Compute the public key of `key`, a blob of RFC 4253 6.6.  Nothing is sent.
 * Returns SG_OK and *blob, which the caller frees with sg_userauth_free();
 * SG_ERR_REFUSED and libssh2's error if the key cannot be read. */
enum sg_status sg_userauth_public_key(struct sg_session *session,
                                      const struct sg_private_key *key,
                                      unsigned char **blob, size_t *blob_len,
                                      struct sg_error *error);

/* Sign `n` bytes of `data` by `algorithm`, for example "rsa-sha2-256".
 * Nothing is sent.  Returns SG_OK and *signature without the name of the
 * algorithm around it, which the caller frees with sg_userauth_free();
 * SG_ERR_REFUSED and libssh2's error if the key cannot be read or used. */
enum sg_status sg_userauth_sign(struct sg_session *session,
                                const struct sg_private_key *key,
                                const char *algorithm,
                                const unsigned char *data, size_t n,
                                unsigned char **signature,
                                size_t *signature_len, struct sg_error *error);

#endif
