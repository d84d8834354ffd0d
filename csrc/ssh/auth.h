/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Authentication of a session (RFC 4252, RFC 4256), on the caller's thread,
 * after the host key has been checked.
 *
 * One function a method, one attempt a call; which are tried, with what and
 * in which order is the caller's affair.  Each returns SG_OK when the server
 * is satisfied, SG_ERR_REFUSED when it is not (by this one), or what broke.
 */
#ifndef SG_AUTH_H
#define SG_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "ssh/session.h"

/* "none", which asks what there is: the methods the server would take, a
 * comma list in *methods that lives until the next call; NULL, and SG_OK,
 * when it wants none. */
enum sg_status sg_auth_none(struct sg_session *session, const char *user,
                            const char **methods, const struct sg_wait *wait,
                            struct sg_error *error);

bool sg_auth_is_done(struct sg_session *session);

enum sg_status sg_auth_password(struct sg_session *session, const char *user,
                                const char *password, size_t password_len,
                                const struct sg_wait *wait,
                                struct sg_error *error);

/* A private key in memory, in a format that libssh2 reads (OpenSSH's, PEM,
 * PKCS8).  `passphrase` may be NULL; so may `certificate`, the line of a
 * file beside the key, that the server is shown instead of the public key. */
enum sg_status sg_auth_key(struct sg_session *session, const char *user,
                           const char *key, size_t key_len,
                           const char *passphrase, const char *certificate,
                           const struct sg_wait *wait, struct sg_error *error);

/* A key that somebody else signs with.  sign() returns 0 and the signature,
 * in memory from malloc() (without the algorithm's name around it), or -1.
 * `algorithm`: what the data names, as "rsa-sha2-256". */
struct sg_signer {
    int (*sign)(void *arg, const char *algorithm, const unsigned char *data,
                size_t n, unsigned char **signature, size_t *signature_len);
    void *arg;
};

enum sg_status sg_auth_signer(struct sg_session *session, const char *user,
                              const unsigned char *blob, size_t blob_len,
                              const struct sg_signer *signer,
                              const struct sg_wait *wait,
                              struct sg_error *error);

/* keyboard-interactive.  respond() is given one prompt at a time and returns the
 * response, in memory from malloc(), or NULL to give up. */
struct sg_responder {
    char *(*respond)(void *arg, const char *name, const char *instruction,
                     const char *prompt, bool echo);
    void *arg;
};

enum sg_status sg_auth_interactive(struct sg_session *session,
                                   const char *user,
                                   const struct sg_responder *responder,
                                   const struct sg_wait *wait,
                                   struct sg_error *error);

#endif
