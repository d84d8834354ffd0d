/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Authentication of a session (RFC 4252, RFC 4256).
 *
 * The functions run on the caller's thread, after the caller has checked the
 * host key and before sg_session_start().  Each call makes one attempt with
 * one method.  The caller decides which methods to try, with which
 * credentials, and in which order.
 *
 * Each function returns
 *   SG_OK           the server has accepted the login; but see sg_auth_none()
 *   SG_ERR_REFUSED  this attempt did not complete the login, and others may
 *                   follow: the server has refused it or wants a further
 *                   method (RFC 4252 5.1, partial success), or the key could
 *                   not be used
 *   SG_ERR_LOST, SG_ERR_TIMEOUT, SG_ERR_INTERRUPTED or SG_ERR_SYSTEM
 *                   the session cannot go on
 *
 * All arguments remain the caller's.  Texts end with NUL unless their length
 * is passed.
 */
#ifndef SG_AUTH_H
#define SG_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "ssh/session.h"

/* Try the method "none" in order to learn which methods the server accepts.
 * *methods is a list separated by commas, which belongs to the session and
 * lives until the next call.  NULL together with SG_OK means that the server
 * requires no authentication. */
enum sg_status sg_auth_none(struct sg_session *session, const char *user,
                            const char **methods, const struct sg_wait *wait,
                            struct sg_error *error);

/* Return whether the server has accepted the login. */
bool sg_auth_is_done(struct sg_session *session);

/* Try the method "password" (RFC 4252 8) with `password_len` bytes. */
enum sg_status sg_auth_password(struct sg_session *session, const char *user,
                                const char *password, size_t password_len,
                                const struct sg_wait *wait,
                                struct sg_error *error);

/* Try the method "publickey" (RFC 4252 7) with a private key in memory.
 *
 *   key          the contents of a key file that libssh2 can read (OpenSSH,
 *                PEM, PKCS8), `key_len` bytes; libssh2 cannot read files that
 *                are encrypted with AES-GCM or ChaCha20
 *   passphrase   for an encrypted key, otherwise NULL
 *   certificate  the line of the certificate file that belongs to the key, in
 *                order to show the server the certificate instead of the
 *                public key; or NULL */
enum sg_status sg_auth_key(struct sg_session *session, const char *user,
                           const char *key, size_t key_len,
                           const char *passphrase, const char *certificate,
                           const struct sg_wait *wait, struct sg_error *error);

/* A callback that signs with a private key which this process may not have,
 * such as a key in an agent. */
struct sg_signer {
    /* Sign the `n` bytes of `data` with `algorithm`, such as "rsa-sha2-256".
     * (`data` contains this name too.)  Returns 0, and in *signature the raw
     * signature without the algorithm's name, a block from malloc() that
     * auth.c frees.  Returns -1 to give up. */
    int (*sign)(void *arg, const char *algorithm, const unsigned char *data,
                size_t n, unsigned char **signature, size_t *signature_len);
    void *arg;
};

/* Try the method "publickey" with the public key `blob` (RFC 4253 6.6, or a
 * certificate) of `blob_len` bytes and the signatures of `signer`. */
enum sg_status sg_auth_signer(struct sg_session *session, const char *user,
                              const unsigned char *blob, size_t blob_len,
                              const struct sg_signer *signer,
                              const struct sg_wait *wait,
                              struct sg_error *error);

/* A callback that responds to the prompts of keyboard-interactive. */
struct sg_responder {
    /* Called once for each prompt of an SSH_MSG_USERAUTH_INFO_REQUEST (RFC
     * 4256 3.2), with the server's texts as they are; they may hold any
     * bytes.  `echo` says whether the user may see the response while typing.
     * Returns the response, a block from malloc() that auth.c wipes and frees,
     * or NULL if there is none. */
    char *(*respond)(void *arg, const char *name, const char *instruction,
                     const char *prompt, bool echo);
    void *arg;
};

/* Try the method "keyboard-interactive" (RFC 4256). */
enum sg_status sg_auth_interactive(struct sg_session *session,
                                   const char *user,
                                   const struct sg_responder *responder,
                                   const struct sg_wait *wait,
                                   struct sg_error *error);

#endif
