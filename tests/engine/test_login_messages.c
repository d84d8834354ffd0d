/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests authentication by messages (userauth.c) with a real sshd.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "lib/interrupts.h"
#include "lib/packets.h"
#include "lib/sshd.h"
#include "lib/stream.h"
#include "ssh/auth.h"
#include "ssh/userauth.h"

enum {
    SERVICE_REQUEST = 5,
    USERAUTH_REQUEST = 50,
};

/* A session that is through with the handshake, and its sshd. */
struct login {
    struct sshd sshd;
    struct sg_session *session;
};

static struct login
login_begin(const char *options)
{
    struct login login = {.sshd = sshd_start(options)};

    login.session = session_new_unshared(login.sshd.fd);
    sg_userauth_enable(login.session);
    session_handshake(login.session);
    return login;
}

static void
login_end(struct login *login)
{
    sg_session_free(login->session);
    sshd_join(&login->sshd);
}

/* ---- Sending ---------------------------------------------------------- */

/* Send `message` and free it. */
static enum sg_status
send_message(struct login *login, struct bytes *message,
             struct sg_error *error)
{
    struct sg_wait wait = wait_patiently();
    enum sg_status status = sg_userauth_send(login->session, message->data,
                                             message->len, &wait, error);

    free(message->data);
    *message = (struct bytes){0};
    return status;
}

static void
request_service(struct login *login, const char *name)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes message = {0};

    bytes_add_u8(&message, SERVICE_REQUEST);
    bytes_add_string(&message, name, strlen(name));
    CHECK_OK(send_message(login, &message, &error), error);
}

/* Append the beginning of a request with `method` (RFC 4252 5). */
static void
put_request(struct bytes *message, const char *method)
{
    bytes_add_u8(message, USERAUTH_REQUEST);
    bytes_add_string(message, user_name(), strlen(user_name()));
    bytes_add_string(message, "ssh-connection", 14);
    bytes_add_string(message, method, strlen(method));
}

static void
request_none(struct login *login)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes message = {0};

    put_request(&message, "none");
    CHECK_OK(send_message(login, &message, &error), error);
}

/* Append the signature of `request` by `key` (RFC 4252 7). */
static void
put_signature(struct login *login, struct bytes *request,
              const struct sg_private_key *key)
{
    struct sg_error error = {.status = SG_OK};
    struct bytes data = {0}, named = {0};
    unsigned char *signature;
    size_t n;
    const unsigned char *id = sg_userauth_session_id(login->session, &n);

    CHECK(id != NULL);
    bytes_add_string(&data, id, n);
    bytes_add(&data, request->data, request->len);
    CHECK_OK(sg_userauth_sign(login->session, key, "ssh-ed25519", data.data,
                              data.len, &signature, &n, &error),
             error);
    CHECK_EQ(n, 64);
    bytes_add_string(&named, "ssh-ed25519", 11);
    bytes_add_string(&named, signature, n);
    bytes_add_string(request, named.data, named.len);
    sg_userauth_free(login->session, signature);
    free(named.data);
    free(data.data);
}

/* Send a signed request with the key of the file `name`. */
static void
request_with_key(struct login *login, const char *name)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_private_key key = {0};
    struct bytes message = {0};
    unsigned char *blob;
    size_t n;
    char *text = sshd_file(name, &key.len);

    key.text = text;
    CHECK_OK(sg_userauth_public_key(login->session, &key, &blob, &n, &error),
             error);
    put_request(&message, "publickey");
    bytes_add_u8(&message, 1);
    bytes_add_string(&message, "ssh-ed25519", 11);
    bytes_add_string(&message, blob, n);
    put_signature(login, &message, &key);
    sg_userauth_free(login->session, blob);
    free(text);
    CHECK_OK(send_message(login, &message, &error), error);
}

/* ---- Receiving -------------------------------------------------------- */

/* Receive a message.  Returns its number, or a negative status. */
static int
receive_within(struct login *login, struct sg_wait wait,
               struct sg_error *error)
{
    unsigned char *message;
    size_t n;
    enum sg_status status = sg_userauth_receive(login->session, &message, &n,
                                                &wait, error);
    int number = status == SG_OK ? message[0] : -(int)status;

    CHECK_EQ(message == NULL, status != SG_OK);
    CHECK_EQ(error->status, status);
    sg_userauth_free(login->session, message);
    return number;
}

static int
receive(struct login *login)
{
    struct sg_error error = {.status = SG_OK};

    return receive_within(login, wait_patiently(), &error);
}

/* ---- Cases ------------------------------------------------------------ */

static void
key_logs_in(void)
{
    struct login login = login_begin("");

    request_service(&login, "ssh-userauth");
    request_with_key(&login, "user");
    CHECK(!sg_auth_is_done(login.session));
    CHECK_EQ(receive(&login), MSG_SERVICE_ACCEPT);
    CHECK_EQ(receive(&login), MSG_USERAUTH_SUCCESS);
    CHECK(sg_auth_is_done(login.session));
    CHECK(strstr(sg_userauth_sig_algs(login.session), "ssh-ed25519") != NULL);
    login_end(&login);
}

/* The requests are sent before the first reply is read. */
static void
requests_are_answered_in_their_order(void)
{
    struct login login = login_begin("Banner /etc/passwd");

    request_service(&login, "ssh-userauth");
    request_none(&login);
    request_with_key(&login, "stranger");
    request_with_key(&login, "user");
    CHECK_EQ(receive(&login), MSG_SERVICE_ACCEPT);
    CHECK_EQ(receive(&login), MSG_USERAUTH_BANNER);
    CHECK_EQ(receive(&login), MSG_USERAUTH_FAILURE);
    CHECK_EQ(receive(&login), MSG_USERAUTH_FAILURE);
    CHECK(!sg_auth_is_done(login.session));
    CHECK_EQ(receive(&login), MSG_USERAUTH_SUCCESS);
    CHECK(sg_auth_is_done(login.session));
    login_end(&login);
}

static void
unknown_service_is_refused_in_the_servers_words(void)
{
    struct sg_error error = {.status = SG_OK};
    struct login login = login_begin("");

    request_service(&login, "ssh-nothing");
    CHECK_EQ(receive_within(&login, wait_patiently(), &error), -SG_ERR_LOST);
    CHECK(strstr(error.text, "ssh-nothing") != NULL);
    CHECK_EQ(error.code, 2); /* SSH_DISCONNECT_PROTOCOL_ERROR */
    error = (struct sg_error){.status = SG_OK};
    CHECK_EQ(receive_within(&login, wait_patiently(), &error), -SG_ERR_LOST);
    login_end(&login);
}

static void
too_many_failures_have_the_servers_reason(void)
{
    struct sg_error error = {.status = SG_OK};
    struct login login = login_begin("MaxAuthTries 2");
    int seen = MSG_USERAUTH_FAILURE;

    request_service(&login, "ssh-userauth");
    CHECK_EQ(receive(&login), MSG_SERVICE_ACCEPT);
    for (int i = 0; i < 5; i++) {
        request_with_key(&login, "stranger");
    }
    for (int i = 0; i < 5 && seen == MSG_USERAUTH_FAILURE; i++) {
        seen = receive_within(&login, wait_patiently(), &error);
    }
    CHECK_EQ(seen, -SG_ERR_LOST);
    CHECK(strstr(error.text, "Too many") != NULL);
    login_end(&login);
}

static void
key_that_cannot_be_used_is_refused(void)
{
    struct sg_private_key keys[] = {{"nonsense", 8, NULL}, {"", 0, ""}};
    struct login login = login_begin("");

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct sg_error error = {.status = SG_OK};
        unsigned char *made;
        size_t n;

        CHECK_EQ(
            sg_userauth_public_key(login.session, &keys[i], &made, &n, &error),
            SG_ERR_REFUSED);
        CHECK(error.text[0] != '\0');
        error = (struct sg_error){.status = SG_OK};
        CHECK_EQ(sg_userauth_sign(login.session, &keys[i], "ssh-ed25519",
                                  (const unsigned char *)"x", 1, &made, &n,
                                  &error),
                 SG_ERR_REFUSED);
        CHECK(error.text[0] != '\0');
    }
    request_service(&login, "ssh-userauth");
    request_with_key(&login, "user");
    CHECK_EQ(receive(&login), MSG_SERVICE_ACCEPT);
    CHECK_EQ(receive(&login), MSG_USERAUTH_SUCCESS);
    login_end(&login);
}

/* ---- Waits that end early --------------------------------------------- */

static int64_t
time_out(void)
{
    struct sg_error error = {.status = SG_OK};
    struct login login = login_begin("");
    int64_t start = sg_sys_now(), took;

    CHECK_EQ(receive_within(&login, wait_at_most(100 * SG_MSEC), &error),
             -SG_ERR_TIMEOUT);
    took = sg_sys_now() - start;
    CHECK_GE(took, 100 * SG_MSEC);
    error = (struct sg_error){.status = SG_OK};
    CHECK_EQ(receive_within(&login, wait_at_most(0), &error), -SG_ERR_TIMEOUT);

    /* the session is as it was before */
    request_service(&login, "ssh-userauth");
    request_with_key(&login, "user");
    CHECK_EQ(receive(&login), MSG_SERVICE_ACCEPT);
    CHECK_EQ(receive(&login), MSG_USERAUTH_SUCCESS);
    login_end(&login);
    return took;
}

static void
receive_ends_at_its_deadline(void)
{
    expect_in_time(time_out, 2 * SG_SEC);
}

static void
receive_can_be_interrupted(void)
{
    struct sg_error error = {.status = SG_OK};
    struct login login = login_begin("");
    struct sg_wait wait = interrupts_start();

    CHECK_EQ(receive_within(&login, wait, &error), -SG_ERR_INTERRUPTED);
    interrupts_end();
    request_service(&login, "ssh-userauth");
    request_with_key(&login, "user");
    CHECK_EQ(receive(&login), MSG_SERVICE_ACCEPT);
    CHECK_EQ(receive(&login), MSG_USERAUTH_SUCCESS);
    login_end(&login);
}

/* sshd dies before its reply.  Sending does not wait for a reply, so only
 * receiving has to notice. */
static void
server_that_dies_is_noticed(void)
{
    struct sg_error error = {.status = SG_OK};
    struct login login = login_begin("");

    request_service(&login, "ssh-userauth");
    CHECK_EQ(receive(&login), MSG_SERVICE_ACCEPT);
    sshd_signal(&login.sshd, SIGKILL);
    sshd_join(&login.sshd);
    request_none(&login);
    request_none(&login);
    CHECK_EQ(receive_within(&login, wait_patiently(), &error), -SG_ERR_LOST);
    CHECK(error.text[0] != '\0' || error.err != 0);
    CHECK(!sg_auth_is_done(login.session));
    sg_session_free(login.session);
}

/* ---- The system's libssh2 --------------------------------------------- */

static void
other_libssh2_fails_in_order(void)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_at_most(0);
    struct sg_private_key key = {"", 0, NULL};
    struct sg_session *session;
    struct sshd sshd = sshd_start("");
    unsigned char *made;
    size_t n;

    session = session_new_unshared(sshd.fd);
    sg_userauth_enable(session);
    session_handshake(session);
    CHECK_EQ(sg_userauth_send(session, (const unsigned char *)"\062", 1, &wait,
                              &error),
             SG_ERR_SYSTEM);
    CHECK_EQ(error.err, ENOSYS);
    CHECK_EQ(sg_userauth_receive(session, &made, &n, &wait, &error),
             SG_ERR_SYSTEM);
    CHECK_EQ(sg_userauth_public_key(session, &key, &made, &n, &error),
             SG_ERR_SYSTEM);
    CHECK_EQ(sg_userauth_sign(session, &key, "", made, 0, &made, &n, &error),
             SG_ERR_SYSTEM);
    CHECK(made == NULL);
    CHECK(sg_userauth_session_id(session, &n) == NULL);
    CHECK(sg_userauth_sig_algs(session) == NULL);
    CHECK_OK(log_in_with_key(session, "user", &error), error);
    sg_session_free(session);
    sshd_join(&sshd);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(key_logs_in),
        CASE(requests_are_answered_in_their_order),
        CASE(unknown_service_is_refused_in_the_servers_words),
        CASE(too_many_failures_have_the_servers_reason),
        CASE(key_that_cannot_be_used_is_refused),
        CASE(receive_ends_at_its_deadline),
        CASE(receive_can_be_interrupted),
        CASE(server_that_dies_is_noticed),
    };
    static const struct test_case others[] = {
        CASE(other_libssh2_fails_in_order),
    };

    if (!sg_userauth_is_available()) {
        return run_cases_with_sshd(others, COUNT_OF(others), argc, argv);
    }
    return run_cases_with_sshd(cases, COUNT_OF(cases), argc, argv);
}
