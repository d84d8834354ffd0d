/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Authentication of a session; see auth.h.
 *
 * For each method there is a step, which makes one non-blocking call of
 * libssh2, and sg_session_repeat() repeats the step until it is done.
 */
#include "ssh/auth.h"

#include <libssh2.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/internal.h"

/* The arguments of one attempt.  Each method uses some of them. */
struct attempt {
    const char *user;
    const char *secret; /* a password, or a private key */
    size_t secret_len;
    const char *passphrase;
    const char *certificate;
    const unsigned char *blob;
    size_t blob_len;
    const struct sg_signer *signer;
    const struct sg_responder *responder;
    const char *methods; /* the result of none_step() */
};

static unsigned int
length(const char *text)
{
    return (unsigned int)strlen(text);
}

/* Return whether the session is lost by the error `rc` of libssh2.  Other
 * errors, such as a key that cannot be read or a wrong passphrase, end only
 * one attempt. */
static bool
is_fatal(const struct sg_session *session, int rc)
{
    switch (rc) {
    case LIBSSH2_ERROR_ALLOC:
    case LIBSSH2_ERROR_DECRYPT:
    case LIBSSH2_ERROR_INVALID_MAC:
    case LIBSSH2_ERROR_SOCKET_DISCONNECT:
    case LIBSSH2_ERROR_SOCKET_RECV:
    case LIBSSH2_ERROR_SOCKET_SEND:
    case LIBSSH2_ERROR_SOCKET_TIMEOUT:
        return true;
    default:
        return session->rx_eof || session->rx_error != 0
               || session->last.status != SG_OK;
    }
}

/* Repeat step(session, what) until libssh2 has finished the attempt.  If the
 * server rekeyed meanwhile with another host key, the session is lost, so that
 * no further attempt follows. */
static enum sg_status
attempt(struct sg_session *session, int (*step)(struct sg_session *, void *),
        struct attempt *what, const struct sg_wait *wait,
        struct sg_error *error)
{
    int rc;
    enum sg_status status = sg_session_repeat(session, step, what, wait, &rc,
                                              error);

    if (status == SG_OK && !sg_session_check_host_key(session)) {
        return sg_session_fail(session, SG_ERR_LOST, error);
    }
    if (status != SG_OK || rc == 0) {
        return status;
    }
    return sg_session_fail(
        session, is_fatal(session, rc) ? SG_ERR_LOST : SG_ERR_REFUSED, error);
}

/* ---- none ------------------------------------------------------------- */

static int
none_step(struct sg_session *session, void *arg)
{
    struct attempt *what = arg;

    what->methods = libssh2_userauth_list(session->ssh, what->user,
                                          length(what->user));
    if (what->methods != NULL
        || libssh2_userauth_authenticated(session->ssh)) {
        return 0;
    }
    return libssh2_session_last_errno(session->ssh);
}

enum sg_status
sg_auth_none(struct sg_session *session, const char *user,
             const char **methods, const struct sg_wait *wait,
             struct sg_error *error)
{
    struct attempt what = {.user = user};
    enum sg_status status = attempt(session, none_step, &what, wait, error);

    *methods = what.methods;
    return status;
}

bool
sg_auth_is_done(struct sg_session *session)
{
    return libssh2_userauth_authenticated(session->ssh) != 0;
}

/* ---- password --------------------------------------------------------- */

/* Give libssh2 no new password.  Without this function it does not tell an
 * expired password from a wrong one. */
static LIBSSH2_PASSWD_CHANGEREQ_FUNC(refuse_to_change)
{
    (void)session;
    (void)abstract;
    *newpw = NULL;
    *newpw_len = 0;
}

static int
password_step(struct sg_session *session, void *arg)
{
    struct attempt *what = arg;

    return libssh2_userauth_password_ex(
        session->ssh, what->user, length(what->user), what->secret,
        (unsigned int)what->secret_len, refuse_to_change);
}

enum sg_status
sg_auth_password(struct sg_session *session, const char *user,
                 const char *password, size_t password_len,
                 const struct sg_wait *wait, struct sg_error *error)
{
    struct attempt what = {
        .user = user, .secret = password, .secret_len = password_len};

    return attempt(session, password_step, &what, wait, error);
}

/* ---- publickey -------------------------------------------------------- */

/* libssh2 always asks whether the server would accept the key before it signs
 * (RFC 4252 7), which costs one more round trip. */
static int
key_step(struct sg_session *session, void *arg)
{
    struct attempt *what = arg;

    return libssh2_userauth_publickey_frommemory(
        session->ssh, what->user, strlen(what->user), what->certificate,
        what->certificate != NULL ? strlen(what->certificate) : 0,
        what->secret, what->secret_len, what->passphrase);
}

enum sg_status
sg_auth_key(struct sg_session *session, const char *user, const char *key,
            size_t key_len, const char *passphrase, const char *certificate,
            const struct sg_wait *wait, struct sg_error *error)
{
    struct attempt what = {.user = user,
                           .secret = key,
                           .secret_len = key_len,
                           .passphrase = passphrase,
                           .certificate = certificate};

    return attempt(session, key_step, &what, wait, error);
}

/* Read the string (RFC 4251 5) at *data, and move *data behind it.  Returns
 * false if the string does not end before `end`. */
static bool
read_string(const unsigned char **data, const unsigned char *end,
            const unsigned char **string, size_t *n)
{
    if (end - *data < 4) {
        return false;
    }
    *n = (size_t)(*data)[0] << 24 | (size_t)(*data)[1] << 16
         | (size_t)(*data)[2] << 8 | (size_t)(*data)[3];
    *string = *data + 4;
    if (*n > (size_t)(end - *string)) {
        return false;
    }
    *data = *string + *n;
    return true;
}

/* Read the algorithm's name from the data to sign (RFC 4252 7): session id,
 * SSH_MSG_USERAUTH_REQUEST, user, service, "publickey", TRUE, algorithm.
 * Returns false if the data is malformed or the name is too long for
 * `size`. */
static bool
read_algorithm(const unsigned char *data, size_t n, char *name, size_t size)
{
    const unsigned char *end = data + n, *string;
    size_t len;

    if (!read_string(&data, end, &string, &len) || data == end) {
        return false;
    }
    data++;
    for (int i = 0; i < 3; i++) {
        if (!read_string(&data, end, &string, &len)) {
            return false;
        }
    }
    if (data == end) {
        return false;
    }
    data++;
    if (!read_string(&data, end, &string, &len) || len >= size) {
        return false;
    }
    memcpy(name, string, len);
    name[len] = '\0';
    return true;
}

/* Copy the result of a callback into memory of libssh2, which frees it by the
 * allocator of the session.  Wipes and frees `made`.  NULL if `made` is NULL
 * or there is no memory. */
static void *
hand_over(struct sg_session *session, void *made, size_t n)
{
    void *copy = NULL;

    if (made != NULL) {
        copy = sg_memory_copy(&session->memory, made, n);
        sg_memory_wipe(made, n);
        free(made);
    }
    return copy;
}

/* libssh2 chooses the algorithm: from 1.11.0 on it negotiates RSA with SHA-2.
 * It wants the raw signature, to which it adds the algorithm's name. */
static LIBSSH2_USERAUTH_PUBLICKEY_SIGN_FUNC(sign)
{
    const struct sg_signer *signer = *abstract;
    char algorithm[128];
    unsigned char *made = NULL;

    if (!read_algorithm(data, data_len, algorithm, sizeof(algorithm))
        || signer->sign(signer->arg, algorithm, data, data_len, &made, sig_len)
               != 0) {
        return -1;
    }
    *sig = hand_over(*libssh2_session_abstract(session), made, *sig_len);
    return *sig != NULL ? 0 : -1;
}

static int
signer_step(struct sg_session *session, void *arg)
{
    struct attempt *what = arg;
    void *abstract = (void *)what->signer;

    return libssh2_userauth_publickey(session->ssh, what->user, what->blob,
                                      what->blob_len, sign, &abstract);
}

enum sg_status
sg_auth_signer(struct sg_session *session, const char *user,
               const unsigned char *blob, size_t blob_len,
               const struct sg_signer *signer, const struct sg_wait *wait,
               struct sg_error *error)
{
    struct attempt what = {
        .user = user, .blob = blob, .blob_len = blob_len, .signer = signer};

    return attempt(session, signer_step, &what, wait, error);
}

/* ---- keyboard-interactive --------------------------------------------- */

/* Copy `n` bytes and add a NUL.  libssh2 passes NULL for an empty text. */
static char *
copy_text(const void *text, size_t n)
{
    return strndup(text != NULL ? text : "", n);
}

/* libssh2 frees the responses, so they must come from its allocator. */
static LIBSSH2_USERAUTH_KBDINT_RESPONSE_FUNC(answer_prompts)
{
    struct sg_session *session = *abstract;
    const struct sg_responder *responder = session->responder;
    char *name_text = copy_text(name, (size_t)name_len);
    char *instruction_text = copy_text(instruction, (size_t)instruction_len);

    for (int i = 0; i < num_prompts; i++) {
        char *prompt = copy_text(prompts[i].text, prompts[i].length);
        char *response = NULL;

        if (name_text != NULL && instruction_text != NULL && prompt != NULL) {
            response = responder->respond(responder->arg, name_text,
                                          instruction_text, prompt,
                                          prompts[i].echo != 0);
        }
        responses[i].length = response != NULL ? length(response) : 0;
        responses[i].text = hand_over(session, response, responses[i].length);
        if (responses[i].text == NULL) {
            responses[i].length = 0;
        }
        free(prompt);
    }
    free(name_text);
    free(instruction_text);
}

static int
interactive_step(struct sg_session *session, void *arg)
{
    struct attempt *what = arg;

    session->responder = (void *)what->responder;
    return libssh2_userauth_keyboard_interactive_ex(
        session->ssh, what->user, length(what->user), answer_prompts);
}

enum sg_status
sg_auth_interactive(struct sg_session *session, const char *user,
                    const struct sg_responder *responder,
                    const struct sg_wait *wait, struct sg_error *error)
{
    struct attempt what = {.user = user, .responder = responder};

    return attempt(session, interactive_step, &what, wait, error);
}
