/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Patch userauth-by-messages: libssh2_userauth_send() and
 * libssh2_userauth_receive().  test_userauth_keys.c tests its functions for
 * private keys.
 *
 * A key exchange is real here, except that every signature of a host key is
 * accepted and that the keys which result are those of pair.h.
 */
#include "pair.h"

#include <openssl/evp.h>
#include <unistd.h>

#define GCM "aes128-gcm@openssh.com"
#define CURVE25519 "curve25519-sha256"
#define STRICT "kex-strict-s-v00@openssh.com"

static struct message said, heard;

/* ---- Key exchanges ---------------------------------------------------- */

static unsigned char fixed_key[KEY_SIZE];

int __real_EVP_CipherInit(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher,
                          const unsigned char *key, const unsigned char *iv,
                          int encrypt);
int __wrap_EVP_CipherInit(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher,
                          const unsigned char *key, const unsigned char *iv,
                          int encrypt);
int __real_EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *context, int type, int arg,
                               void *ptr);
int __wrap_EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *context, int type, int arg,
                               void *ptr);
int __wrap_EVP_DigestVerify(EVP_MD_CTX *context,
                            const unsigned char *signature,
                            size_t signature_len, const unsigned char *data,
                            size_t n);

int
__wrap_EVP_CipherInit(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher,
                      const unsigned char *key, const unsigned char *iv,
                      int encrypt)
{
    (void)key;
    (void)iv;
    return __real_EVP_CipherInit(context, cipher, fixed_key, fixed_key,
                                 encrypt);
}

int
__wrap_EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *context, int type, int arg,
                           void *ptr)
{
    if (type == EVP_CTRL_AEAD_SET_IV_FIXED) {
        ptr = fixed_key;
    }
    return __real_EVP_CIPHER_CTX_ctrl(context, type, arg, ptr);
}

int
__wrap_EVP_DigestVerify(EVP_MD_CTX *context, const unsigned char *signature,
                        size_t signature_len, const unsigned char *data,
                        size_t n)
{
    (void)context;
    (void)signature;
    (void)signature_len;
    (void)data;
    (void)n;
    return 1;
}

/* Answer our first message of the key exchange. */
static void
say_reply(struct pair *pair)
{
    static struct message part;
    LIBSSH2_SESSION *ours = pair->ours.session;
    char key[32], value[32] = {9};

    CHECK(they_hear(pair, SSH_MSG_KEXINIT, &heard));
    CHECK(they_hear(pair, SSH2_MSG_KEX_ECDH_INIT, &heard));
    if (ours->server_hostkey != NULL) {
        /* a rekey with a curve does not free it; sshgateway does */
        LIBSSH2_FREE(ours, ours->server_hostkey);
        ours->server_hostkey = NULL;
    }
    memset(key, 0x66, sizeof(key)); /* the base point */
    key[0] = 0x58;
    said.n = part.n = 0;
    put_byte(&said, SSH2_MSG_KEX_ECDH_REPLY);
    put_text(&part, "ssh-ed25519");
    put_string(&part, key, sizeof(key));
    put_string(&said, (const char *)part.data, part.n);
    put_string(&said, value, sizeof(value));
    part.n = 0;
    put_text(&part, "ssh-ed25519");
    put_string(&part, (const char[64]){0}, 64);
    put_string(&said, (const char *)part.data, part.n);
    say(&pair->theirs, &said);
}

static void
replace_cipher(LIBSSH2_SESSION *session, libssh2_endpoint_data *end,
               int encrypt)
{
    if (end->crypt != NULL) {
        end->crypt->dtor(session, &end->crypt_abstract);
    }
    set_cipher(session, end, GCM, "hmac-sha2-256", encrypt);
}

/* Our NEWKEYS has arrived: send theirs, and let their side use the keys. */
static void
say_newkeys(struct pair *pair)
{
    LIBSSH2_SESSION *theirs = pair->theirs.session;

    CHECK(they_hear(pair, SSH_MSG_NEWKEYS, &heard));
    said.n = 0;
    put_byte(&said, SSH_MSG_NEWKEYS);
    say(&pair->theirs, &said);
    replace_cipher(theirs, &theirs->local, 1);
    replace_cipher(theirs, &theirs->remote, 0);
}

/* ---- Handshakes ------------------------------------------------------- */

static int null_fd; /* libssh2 only makes it non-blocking */

static int
go_on(struct pair *pair)
{
    return libssh2_session_handshake(pair->ours.session, null_fd);
}

/* Open a pair, and do the handshake up to their reply in the key exchange,
 * before which they send IGNORE if `does_ignore`.  Returns the result of the
 * last call. */
static int
begin_handshake(struct pair *pair, const char *methods, int does_ignore)
{
    static const char banner[] = "SSH-2.0-theirs\r\n";
    struct wire *wire;

    pair_open_plain(pair);
    libssh2_session_flag(pair->ours.session, LIBSSH2_FLAG_USERAUTH_MESSAGES,
                         1);
    pair->ours.session->state = LIBSSH2_STATE_INITIAL_KEX;
    CHECK_EQ(go_on(pair), LIBSSH2_ERROR_EAGAIN);
    wire = pair->theirs.in;
    wire->start = wire->end; /* our identification string */
    CHECK_EQ(wire_send(0, banner, sizeof(banner) - 1, 0,
                       &pair->theirs.session->abstract),
             sizeof(banner) - 1);
    say_kexinit(pair, methods, GCM, "hmac-sha2-256");
    CHECK_EQ(go_on(pair), LIBSSH2_ERROR_EAGAIN);
    if (does_ignore) {
        said.n = 0;
        put_byte(&said, SSH_MSG_IGNORE);
        put_text(&said, "");
        say(&pair->theirs, &said);
    }
    say_reply(pair);
    return go_on(pair);
}

/* Open a pair that is through with the handshake. */
static void
shake_hands(struct pair *pair, const char *methods)
{
    CHECK_EQ(begin_handshake(pair, methods, 0), LIBSSH2_ERROR_EAGAIN);
    say_newkeys(pair);
    CHECK_EQ(go_on(pair), 0);
}

/* ---- Messages --------------------------------------------------------- */

static int
send_bytes(struct pair *pair, const void *data, size_t n)
{
    return libssh2_userauth_send(pair->ours.session, data, n);
}

/* Send a message with that number and text from our side. */
static int
send_text(struct pair *pair, unsigned type, const char *text)
{
    static struct message message;

    message.n = 0;
    put_byte(&message, type);
    put_text(&message, text);
    return send_bytes(pair, message.data, message.n);
}

/* Send a message with that number and text from their side. */
static void
say_text(struct pair *pair, unsigned type, const char *text)
{
    said.n = 0;
    put_byte(&said, type);
    put_text(&said, text);
    say(&pair->theirs, &said);
}

/* Take our next message into `heard`; returns the result of libssh2. */
static int
receive(struct pair *pair)
{
    LIBSSH2_SESSION *session = pair->ours.session;
    unsigned char *message = NULL;
    size_t n = 0;
    int rc = libssh2_userauth_receive(session, &message, &n);

    if (rc == 0) {
        CHECK(n > 0);
        CHECK(n <= sizeof(heard.data));
        memcpy(heard.data, message, n);
        heard.n = n;
        libssh2_free(session, message);
    }
    return rc;
}

/* Our next message has that number and text. */
static void
check_received(struct pair *pair, unsigned type, const char *text)
{
    CHECK_EQ(receive(pair), 0);
    CHECK_EQ(heard.data[0], type);
    CHECK_EQ(heard.n, 1 + 4 + strlen(text));
    CHECK(memcmp(heard.data + 5, text, strlen(text)) == 0);
}

/* They have heard, as the next message of that number, that text. */
static void
check_they_heard(struct pair *pair, unsigned char type, const char *text)
{
    CHECK(they_hear(pair, type, &heard));
    CHECK_EQ(heard.n, 1 + 4 + strlen(text));
    CHECK(memcmp(heard.data + 5, text, strlen(text)) == 0);
}

static void
pair_open_in_login(struct pair *pair)
{
    static const char banner[] = "SSH-2.0-theirs";
    LIBSSH2_SESSION *ours;

    pair_open(pair, GCM, GCM);
    ours = pair->ours.session;
    ours->state &= ~LIBSSH2_STATE_AUTHENTICATED;
    ours->remote.banner = LIBSSH2_ALLOC(ours, sizeof(banner));
    CHECK(ours->remote.banner != NULL);
    memcpy(ours->remote.banner, banner, sizeof(banner));
}

/* ---- The handshake and the first flight ------------------------------- */

static void
requests_follow_the_key_exchange_at_once(void)
{
    struct pair pair;
    size_t n = 0;

    shake_hands(&pair, CURVE25519);
    CHECK(!they_hear(&pair, SSH_MSG_SERVICE_REQUEST, &heard));
    CHECK(libssh2_session_identifier(pair.ours.session, &n) != NULL);
    CHECK_EQ(n, 32);
    CHECK(libssh2_session_server_sig_algs(pair.ours.session) == NULL);

    CHECK_EQ(send_text(&pair, SSH_MSG_SERVICE_REQUEST, "ssh-userauth"), 0);
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "first"), 0);
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "second"), 0);
    check_they_heard(&pair, SSH_MSG_SERVICE_REQUEST, "ssh-userauth");
    check_they_heard(&pair, SSH_MSG_USERAUTH_REQUEST, "first");
    check_they_heard(&pair, SSH_MSG_USERAUTH_REQUEST, "second");
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
}

static void
without_the_flag_libssh2_requests_the_service(void)
{
    struct pair pair;

    CHECK_EQ(begin_handshake(&pair, CURVE25519, 0), LIBSSH2_ERROR_EAGAIN);
    libssh2_session_flag(pair.ours.session, LIBSSH2_FLAG_USERAUTH_MESSAGES, 0);
    say_newkeys(&pair);
    CHECK_EQ(go_on(&pair), LIBSSH2_ERROR_EAGAIN);
    check_they_heard(&pair, SSH_MSG_SERVICE_REQUEST, "ssh-userauth");
    pair_close(&pair);
}

static void
strict_key_exchange_is_enforced(void)
{
    struct pair pair;

    CHECK_EQ(begin_handshake(&pair, CURVE25519 "," STRICT, 1),
             LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE);
    CHECK_EQ(pair.ours.session->socket_state, LIBSSH2_SOCKET_DISCONNECTED);
    pair_close(&pair);

    CHECK_EQ(begin_handshake(&pair, CURVE25519, 1), LIBSSH2_ERROR_EAGAIN);
    say_newkeys(&pair);
    CHECK_EQ(go_on(&pair), 0); /* a server that is not strict may do so */
    CHECK(pair.ours.session->local.seqno > 0);
    pair_close(&pair);

    shake_hands(&pair, CURVE25519 "," STRICT);
    CHECK_EQ(pair.ours.session->local.seqno, 0);
    CHECK_EQ(pair.ours.session->remote.seqno, 0);
    pair_close(&pair);
}

/* ---- Order ------------------------------------------------------------ */

static void
say_algorithms(struct pair *pair, const char *names)
{
    said.n = 0;
    put_byte(&said, SSH_MSG_EXT_INFO);
    put_u32(&said, 1);
    put_text(&said, "server-sig-algs");
    put_text(&said, names);
    say(&pair->theirs, &said);
}

static void
messages_are_received_in_the_order_of_arrival(void)
{
    struct pair pair;

    pair_open_in_login(&pair);
    say_algorithms(&pair, "ssh-ed25519");
    say_text(&pair, SSH_MSG_IGNORE, "nothing");
    say_text(&pair, SSH_MSG_SERVICE_ACCEPT, "ssh-userauth");
    say_text(&pair, SSH_MSG_USERAUTH_BANNER, "one");
    say_text(&pair, SSH_MSG_USERAUTH_FAILURE, "two");
    said.n = 0;
    put_byte(&said, SSH_MSG_DEBUG);
    put_byte(&said, 1);
    put_text(&said, "debug");
    put_text(&said, "");
    say(&pair.theirs, &said);
    say_text(&pair, 79, "three");
    say_text(&pair, SSH_MSG_USERAUTH_BANNER, "four");
    say_text(&pair, SSH_MSG_USERAUTH_FAILURE, "five");
    say_algorithms(&pair, "rsa-sha2-256");
    say_text(&pair, 60, "six");

    check_received(&pair, SSH_MSG_SERVICE_ACCEPT, "ssh-userauth");
    CHECK(strcmp(libssh2_session_server_sig_algs(pair.ours.session),
                 "ssh-ed25519")
          == 0);
    check_received(&pair, SSH_MSG_USERAUTH_BANNER, "one");
    check_received(&pair, SSH_MSG_USERAUTH_FAILURE, "two");
    check_received(&pair, 79, "three");
    check_received(&pair, SSH_MSG_USERAUTH_BANNER, "four");
    check_received(&pair, SSH_MSG_USERAUTH_FAILURE, "five");
    check_received(&pair, 60, "six");
    CHECK(strcmp(libssh2_session_server_sig_algs(pair.ours.session),
                 "rsa-sha2-256")
          == 0);
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
}

static void
success_marks_the_session_authenticated(void)
{
    static const unsigned char success[] = {SSH_MSG_USERAUTH_SUCCESS};
    struct pair pair;

    pair_open_in_login(&pair);
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "user"), 0);
    CHECK(!libssh2_userauth_authenticated(pair.ours.session));
    said.n = 0;
    put_byte(&said, SSH_MSG_USERAUTH_SUCCESS);
    say(&pair.theirs, &said);
    CHECK_EQ(receive(&pair), 0);
    CHECK_EQ(heard.n, sizeof(success));
    CHECK(libssh2_userauth_authenticated(pair.ours.session));
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "again"),
             LIBSSH2_ERROR_INVAL);
    open_channel(&pair);
    pair_close(&pair);
}

/* ---- Rekeys ----------------------------------------------------------- */

/* A server rekeys between two requests, and between its replies. */
static void
a_rekey_loses_and_doubles_nothing(void)
{
    struct pair pair;

    pair_open_in_login(&pair);
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "one"), 0);
    check_they_heard(&pair, SSH_MSG_USERAUTH_REQUEST, "one");
    say_text(&pair, SSH_MSG_USERAUTH_FAILURE, "to one");
    say_kexinit(&pair, CURVE25519, GCM, "hmac-sha2-256");
    check_received(&pair, SSH_MSG_USERAUTH_FAILURE, "to one");
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);

    /* our KEXINIT has gone, so that no request may be sent (RFC 4253 7.1) */
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "two"),
             LIBSSH2_ERROR_EAGAIN);
    say_text(&pair, SSH_MSG_USERAUTH_BANNER, "within");
    say_reply(&pair);
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "two"),
             LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "two"),
             LIBSSH2_ERROR_EAGAIN);
    say_newkeys(&pair);
    say_text(&pair, SSH_MSG_USERAUTH_BANNER, "behind");
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "two"), 0);
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "three"), 0);
    check_they_heard(&pair, SSH_MSG_USERAUTH_REQUEST, "two");
    check_they_heard(&pair, SSH_MSG_USERAUTH_REQUEST, "three");
    CHECK(!they_hear(&pair, SSH_MSG_USERAUTH_REQUEST, &heard));
    check_received(&pair, SSH_MSG_USERAUTH_BANNER, "within");
    check_received(&pair, SSH_MSG_USERAUTH_BANNER, "behind");
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
}

/* What has arrived is received even if the rekey never ends. */
static void
a_rekey_delays_no_message_that_has_arrived(void)
{
    struct pair pair;

    pair_open_in_login(&pair);
    say_kexinit(&pair, CURVE25519, GCM, "hmac-sha2-256");
    say_text(&pair, SSH_MSG_USERAUTH_BANNER, "one");
    say_text(&pair, SSH_MSG_USERAUTH_BANNER, "two");
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    check_received(&pair, SSH_MSG_USERAUTH_BANNER, "one");
    check_received(&pair, SSH_MSG_USERAUTH_BANNER, "two");
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
}

static void
a_rekey_waits_for_a_full_socket(void)
{
    struct pair pair;

    pair_open_in_login(&pair);
    pair.ours.out->room = 1;
    say_kexinit(&pair, CURVE25519, GCM, "hmac-sha2-256");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    }
    pair.ours.out->room = 0;
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    say_reply(&pair);
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    say_newkeys(&pair);
    say_text(&pair, SSH_MSG_USERAUTH_BANNER, "text");
    check_received(&pair, SSH_MSG_USERAUTH_BANNER, "text");
    pair_close(&pair);
}

static void
rekeys_in_a_row(void)
{
    struct pair pair;

    shake_hands(&pair, CURVE25519 "," STRICT);
    for (int i = 0; i < 5; i++) {
        say_kexinit(&pair, CURVE25519, GCM, "hmac-sha2-256");
        CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
        say_reply(&pair);
        CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
        say_newkeys(&pair);
        say_text(&pair, SSH_MSG_USERAUTH_BANNER, "text");
        check_received(&pair, SSH_MSG_USERAUTH_BANNER, "text");
        CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "user"), 0);
        check_they_heard(&pair, SSH_MSG_USERAUTH_REQUEST, "user");
    }
    pair_close(&pair);
}

static void
a_failed_rekey_is_an_error(void)
{
    struct pair pair;
    int rc;

    pair_open_in_login(&pair);
    say_kexinit(&pair, "an unknown method", GCM, "hmac-sha2-256");
    rc = receive(&pair);
    CHECK(rc < 0);
    CHECK(rc != LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
}

/* ---- Sending ---------------------------------------------------------- */

static void
a_send_that_would_block_is_repeated(void)
{
    static unsigned char request[3000] = {SSH_MSG_USERAUTH_REQUEST};
    struct pair pair;
    int times = 0, rc;

    pair_open_in_login(&pair);
    for (size_t i = 1; i < sizeof(request); i++) {
        request[i] = (unsigned char)i;
    }
    do {
        pair.ours.out->room = 100;
        rc = send_bytes(&pair, request, sizeof(request));
        times++;
    } while (rc == LIBSSH2_ERROR_EAGAIN);
    CHECK_EQ(rc, 0);
    CHECK(times > 20);
    pair.ours.out->room = 0;
    CHECK(they_hear(&pair, SSH_MSG_USERAUTH_REQUEST, &heard));
    CHECK_EQ(heard.n, sizeof(request));
    CHECK(memcmp(heard.data, request, sizeof(request)) == 0);
    CHECK(!they_hear(&pair, SSH_MSG_USERAUTH_REQUEST, &heard));
    pair_close(&pair);
}

static void
only_messages_of_the_authentication_are_sent(void)
{
    static unsigned char message[40000];
    struct pair pair;

    pair_open_in_login(&pair);
    for (unsigned type = 0; type < 256; type++) {
        int is_right = type == SSH_MSG_SERVICE_REQUEST
                       || (type >= 50 && type <= 79);

        message[0] = (unsigned char)type;
        CHECK_EQ(send_bytes(&pair, message, 10),
                 is_right ? 0 : LIBSSH2_ERROR_INVAL);
        CHECK_EQ(they_hear(&pair, (unsigned char)type, &heard), is_right);
    }
    CHECK_EQ(send_bytes(&pair, message, 0), LIBSSH2_ERROR_INVAL);
    message[0] = SSH_MSG_USERAUTH_REQUEST;
    CHECK_EQ(send_bytes(&pair, message, 34000), 0);
    CHECK(they_hear(&pair, SSH_MSG_USERAUTH_REQUEST, &heard));
    CHECK_EQ(heard.n, 34000);
    CHECK_EQ(send_bytes(&pair, message, 35000), LIBSSH2_ERROR_INVAL);
    CHECK(!they_hear(&pair, SSH_MSG_USERAUTH_REQUEST, &heard));
    CHECK_EQ(send_bytes(&pair, message, 1), 0); /* the session is as before */
    CHECK(they_hear(&pair, SSH_MSG_USERAUTH_REQUEST, &heard));
    pair_close(&pair);
}

/* ---- Servers that refuse, break off, or are hostile ------------------- */

static int disconnect_reason;

static LIBSSH2_DISCONNECT_FUNC(note_disconnect)
{
    (void)session;
    (void)message;
    (void)message_len;
    (void)language;
    (void)language_len;
    (void)abstract;
    disconnect_reason = reason;
}

static void
a_refused_service_is_a_disconnect(void)
{
    struct pair pair;

    shake_hands(&pair, CURVE25519);
    libssh2_session_callback_set2(pair.ours.session,
                                  LIBSSH2_CALLBACK_DISCONNECT,
                                  (libssh2_cb_generic *)note_disconnect);
    CHECK_EQ(send_text(&pair, SSH_MSG_SERVICE_REQUEST, "ssh-userauth"), 0);
    CHECK_EQ(send_text(&pair, SSH_MSG_USERAUTH_REQUEST, "user"), 0);
    said.n = 0;
    put_byte(&said, SSH_MSG_DISCONNECT);
    put_u32(&said, SSH_DISCONNECT_SERVICE_NOT_AVAILABLE);
    put_text(&said, "no such service");
    put_text(&said, "");
    say(&pair.theirs, &said);
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_SOCKET_DISCONNECT);
    CHECK_EQ(disconnect_reason, SSH_DISCONNECT_SERVICE_NOT_AVAILABLE);
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_SOCKET_DISCONNECT);
    CHECK(!libssh2_userauth_authenticated(pair.ours.session));
    pair_close(&pair);
}

/* The caller reads the content, so it comes as it is, whatever it is. */
static void
messages_of_any_length_are_received(void)
{
    static const size_t lengths[] = {1, 2, 3, 4, 5, 100, 32700, 34700};
    struct pair pair;

    pair_open_in_login(&pair);
    for (unsigned type = 50; type < 80; type++) {
        size_t n = lengths[type % 8];

        if (type == SSH_MSG_USERAUTH_SUCCESS) {
            continue;
        }
        memset(said.data, 0xff, n);
        said.data[0] = (unsigned char)type;
        said.n = n;
        say(&pair.theirs, &said);
        CHECK_EQ(receive(&pair), 0);
        CHECK_EQ(heard.n, n);
        CHECK_EQ(heard.data[0], type);
        CHECK(memcmp(heard.data, said.data, n) == 0);
    }
    pair_close(&pair);
}

/* RFC 4252 6: a number from 80 up is an error before the authentication is
 * complete.  So are messages of a key exchange outside of one, and an answer
 * that libssh2 does not know. */
static void
other_messages_end_the_authentication(void)
{
    static const unsigned types[] = {3, 21, 31, 49, 81, 99, 100, 128, 255};

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        struct pair pair;

        pair_open_in_login(&pair);
        say_text(&pair, SSH_MSG_USERAUTH_BANNER, "before");
        say_text(&pair, types[i], "");
        say_text(&pair, SSH_MSG_USERAUTH_FAILURE, "behind");
        check_received(&pair, SSH_MSG_USERAUTH_BANNER, "before");
        /* replies that no request waits for are dropped (patch 10) */
        if (types[i] == SSH_MSG_REQUEST_SUCCESS) {
            check_received(&pair, SSH_MSG_USERAUTH_FAILURE, "behind");
        }
        else {
            CHECK_EQ(receive(&pair), LIBSSH2_ERROR_PROTO);
            CHECK_EQ(receive(&pair), LIBSSH2_ERROR_PROTO);
        }
        pair_close(&pair);
    }
}

/* An allocator with a limit, as sshgateway has one. */
#define LIMIT 4000000

static size_t allocated, most;

static LIBSSH2_ALLOC_FUNC(limited_alloc)
{
    size_t *block;

    (void)abstract;
    if (allocated + count > LIMIT) {
        return NULL;
    }
    block = malloc(16 + count);
    CHECK(block != NULL);
    *block = count;
    allocated += count;
    most = allocated > most ? allocated : most;
    return (char *)block + 16;
}

static LIBSSH2_FREE_FUNC(limited_free)
{
    size_t *block = ptr == NULL ? NULL : (void *)((char *)ptr - 16);

    (void)abstract;
    if (block != NULL) {
        allocated -= *block;
        free(block);
    }
}

/* Open a pair whose own side allocates with the limit. */
static void
pair_open_limited(struct pair *pair)
{
    LIBSSH2_SESSION *ours;

    allocated = most = 0;
    pair_open_plain(pair);
    CHECK_EQ(libssh2_session_free(pair->ours.session), 0);
    ours = libssh2_session_init_ex(limited_alloc, limited_free, NULL,
                                   &pair->ours);
    CHECK(ours != NULL);
    pair->ours.session = ours;
    libssh2_session_set_blocking(ours, 0);
    libssh2_session_callback_set2(ours, LIBSSH2_CALLBACK_SEND,
                                  (libssh2_cb_generic *)wire_send);
    libssh2_session_callback_set2(ours, LIBSSH2_CALLBACK_RECV,
                                  (libssh2_cb_generic *)wire_recv);
    ours->socket_state = LIBSSH2_SOCKET_CONNECTED;
    replace_cipher(ours, &ours->local, 1);
    replace_cipher(ours, &ours->remote, 0);
    replace_cipher(pair->theirs.session, &pair->theirs.session->local, 1);
    replace_cipher(pair->theirs.session, &pair->theirs.session->remote, 0);
    ours->state &= ~LIBSSH2_STATE_AUTHENTICATED;
}

/* libssh2 reads one message when it is asked for one. */
static void
a_flood_of_messages_is_not_queued(void)
{
    struct pair pair;
    size_t before;

    pair_open_limited(&pair);
    for (int i = 0; i < 20000; i++) {
        say_text(&pair, SSH_MSG_USERAUTH_BANNER, "a banner");
    }
    check_received(&pair, SSH_MSG_USERAUTH_BANNER, "a banner");
    before = most;
    for (int i = 1; i < 20000; i++) {
        check_received(&pair, SSH_MSG_USERAUTH_BANNER, "a banner");
    }
    CHECK_EQ(most, before);
    CHECK_EQ(receive(&pair), LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
    CHECK_EQ(allocated, 0);
}

/* A key exchange is the one time when messages are queued. */
static void
a_flood_within_a_rekey_ends_at_the_limit(void)
{
    struct pair pair;
    int rc;

    pair_open_limited(&pair);
    say_kexinit(&pair, CURVE25519, GCM, "hmac-sha2-256");
    for (int i = 0; i < 100000; i++) {
        say_text(&pair, SSH_MSG_USERAUTH_BANNER, "");
    }
    rc = receive(&pair);
    CHECK(rc < 0);
    CHECK(rc != LIBSSH2_ERROR_EAGAIN);
    CHECK(most > LIMIT / 2);
    pair_close(&pair);
    CHECK_EQ(allocated, 0);
}

int
main(void)
{
    int ends[2];

    libssh2_init(0);
    memset(fixed_key, 0x5a, sizeof(fixed_key)); /* as pair.h */
    CHECK_EQ(pipe(ends), 0);
    null_fd = ends[0];
    RUN(requests_follow_the_key_exchange_at_once);
    RUN(without_the_flag_libssh2_requests_the_service);
    RUN(strict_key_exchange_is_enforced);
    RUN(messages_are_received_in_the_order_of_arrival);
    RUN(success_marks_the_session_authenticated);
    RUN(a_rekey_loses_and_doubles_nothing);
    RUN(a_rekey_delays_no_message_that_has_arrived);
    RUN(a_rekey_waits_for_a_full_socket);
    RUN(rekeys_in_a_row);
    RUN(a_failed_rekey_is_an_error);
    RUN(a_send_that_would_block_is_repeated);
    RUN(only_messages_of_the_authentication_are_sent);
    RUN(a_refused_service_is_a_disconnect);
    RUN(messages_of_any_length_are_received);
    RUN(other_messages_end_the_authentication);
    RUN(a_flood_of_messages_is_not_queued);
    RUN(a_flood_within_a_rekey_ends_at_the_limit);
    return 0;
}
