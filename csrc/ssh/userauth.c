/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Authentication of a session by messages; see userauth.h.
 *
 * The memory of results comes from the session's allocator (memory.h), which
 * wipes it when it is freed, because a message can hold a password.
 */
#include "ssh/userauth.h"

#include <libssh2.h>
#include <string.h>

#include "ssh/internal.h"

#ifdef LIBSSH2_USERAUTH_MESSAGES

struct message {
    unsigned char *data;
    size_t n;
};

bool
sg_userauth_is_available(void)
{
    return true;
}

void
sg_userauth_enable(struct sg_session *session)
{
    session->by_messages = true;
    libssh2_session_flag(session->ssh, LIBSSH2_FLAG_USERAUTH_MESSAGES, 1);
}

/* Repeat `step` until it is done, and turn libssh2's failure into ours: any
 * failure here is one of the connection. */
static enum sg_status
repeat(struct sg_session *session, int (*step)(struct sg_session *, void *),
       struct message *message, const struct sg_wait *wait,
       struct sg_error *error)
{
    int rc;
    enum sg_status status = sg_session_repeat(session, step, message, wait,
                                              &rc, error);

    if (status != SG_OK || rc == 0) {
        return status;
    }
    return sg_session_fail(session, SG_ERR_LOST, error);
}

/* The server may have rekeyed during a step of libssh2 that returned `rc`.  If
 * it showed another host key, drop what was not sent, which may hold a
 * password, and return an error. */
static int
check_rekey(struct sg_session *session, int rc)
{
    if (sg_session_check_host_key(session)) {
        return rc;
    }
    sg_buffer_clear(&session->tx);
    return LIBSSH2_ERROR_HOSTKEY_SIGN;
}

static int
send_step(struct sg_session *session, void *arg)
{
    const struct message *message = arg;
    int rc = libssh2_userauth_send(session->ssh, message->data, message->n);

    return check_rekey(session, rc);
}

enum sg_status
sg_userauth_send(struct sg_session *session, const unsigned char *message,
                 size_t n, const struct sg_wait *wait, struct sg_error *error)
{
    struct message what = {.data = (unsigned char *)message, .n = n};

    return repeat(session, send_step, &what, wait, error);
}

static int
receive_step(struct sg_session *session, void *arg)
{
    struct message *message = arg;
    int rc = libssh2_userauth_receive(session->ssh, &message->data,
                                      &message->n);

    return check_rekey(session, rc);
}

enum sg_status
sg_userauth_receive(struct sg_session *session, unsigned char **message,
                    size_t *n, const struct sg_wait *wait,
                    struct sg_error *error)
{
    struct message what = {0};
    enum sg_status status = repeat(session, receive_step, &what, wait, error);

    if (status != SG_OK) {
        sg_userauth_free(session, what.data);
        what.data = NULL;
    }
    *message = what.data;
    *n = what.n;
    return status;
}

void
sg_userauth_free(struct sg_session *session, void *result)
{
    if (result != NULL) {
        libssh2_free(session->ssh, result);
    }
}

const unsigned char *
sg_userauth_session_id(struct sg_session *session, size_t *n)
{
    return libssh2_session_identifier(session->ssh, n);
}

const char *
sg_userauth_sig_algs(struct sg_session *session)
{
    return libssh2_session_server_sig_algs(session->ssh);
}

/* A key that cannot be used says nothing about the connection, so libssh2's
 * own words are the reason even if the server has hung up meanwhile. */
static enum sg_status
key_result(struct sg_session *session, int rc, struct sg_error *error)
{
    char *text = NULL;
    int n = 0;

    if (rc == 0) {
        return SG_OK;
    }
    libssh2_session_last_error(session->ssh, &text, &n, 0);
    return sg_fail_text(error, SG_ERR_REFUSED, rc, text,
                        n > 0 ? (size_t)n : 0);
}

enum sg_status
sg_userauth_public_key(struct sg_session *session,
                       const struct sg_private_key *key, unsigned char **blob,
                       size_t *blob_len, struct sg_error *error)
{
    int rc = libssh2_key_public(session->ssh, key->text, key->len,
                                key->passphrase, blob, blob_len);

    return key_result(session, rc, error);
}

enum sg_status
sg_userauth_sign(struct sg_session *session, const struct sg_private_key *key,
                 const char *algorithm, const unsigned char *data, size_t n,
                 unsigned char **signature, size_t *signature_len,
                 struct sg_error *error)
{
    int rc = libssh2_key_sign(session->ssh, algorithm, key->text, key->len,
                              key->passphrase, data, n, signature,
                              signature_len);

    return key_result(session, rc, error);
}

#else

static enum sg_status
fail(struct sg_error *error)
{
    return sg_fail(error, SG_ERR_SYSTEM, ENOSYS);
}

bool
sg_userauth_is_available(void)
{
    return false;
}

void
sg_userauth_enable(struct sg_session *session)
{
    (void)session;
}

enum sg_status
sg_userauth_send(struct sg_session *session, const unsigned char *message,
                 size_t n, const struct sg_wait *wait, struct sg_error *error)
{
    (void)session;
    (void)message;
    (void)n;
    (void)wait;
    return fail(error);
}

enum sg_status
sg_userauth_receive(struct sg_session *session, unsigned char **message,
                    size_t *n, const struct sg_wait *wait,
                    struct sg_error *error)
{
    (void)session;
    (void)wait;
    *message = NULL;
    *n = 0;
    return fail(error);
}

void
sg_userauth_free(struct sg_session *session, void *result)
{
    (void)session;
    (void)result;
}

const unsigned char *
sg_userauth_session_id(struct sg_session *session, size_t *n)
{
    (void)session;
    *n = 0;
    return NULL;
}

const char *
sg_userauth_sig_algs(struct sg_session *session)
{
    (void)session;
    return NULL;
}

enum sg_status
sg_userauth_public_key(struct sg_session *session,
                       const struct sg_private_key *key, unsigned char **blob,
                       size_t *blob_len, struct sg_error *error)
{
    (void)session;
    (void)key;
    *blob = NULL;
    *blob_len = 0;
    return fail(error);
}

enum sg_status
sg_userauth_sign(struct sg_session *session, const struct sg_private_key *key,
                 const char *algorithm, const unsigned char *data, size_t n,
                 unsigned char **signature, size_t *signature_len,
                 struct sg_error *error)
{
    (void)session;
    (void)key;
    (void)algorithm;
    (void)data;
    (void)n;
    *signature = NULL;
    *signature_len = 0;
    return fail(error);
}

#endif
