/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The handshake of a session: the algorithms that we offer, and the results;
 * see session.h.  Runs on the caller's thread.
 */
#include "ssh/internal.h"

#include <libssh2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Both directions get the same lists, because libssh2 confuses the two if
 * their ciphers are of different kinds.  chacha20 is not offered, because sshd
 * rekeys it every GiB (AES: every 64 GiB), and libssh2's code for it had two
 * memory faults.  No -etm MAC is offered, because their receive path is the
 * weakest code of every libssh2 (CVE-2026-66035 and others). */
#define CURVES                                                                \
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"      \
    "ecdh-sha2-nistp384,ecdh-sha2-nistp521"
/* Before 1.11.1, a diffie-hellman exchange frees the old host key and keeps a
 * pointer to it if the new one is malformed (1.10: kex.c:379), so that a
 * server could have it freed twice.  Those versions offer only curves.
 *
 * In 1.11.0, setting the key exchange methods drops "ext-info-c", so that RSA
 * user keys sign with SHA-1. */
#if LIBSSH2_VERSION_NUM >= 0x010b01
#define KEX                                                                   \
    CURVES ",diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,"    \
           "diffie-hellman-group14-sha256"
#else
#define KEX CURVES
#endif
#define MLKEM "mlkem768x25519-sha256"
#if LIBSSH2_VERSION_NUM >= 0x010b00
#define CIPHERS                                                               \
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes256-ctr,aes128-ctr"
#define HOST_KEYS                                                             \
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"                    \
    "ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"
#else /* 1.10 knows neither GCM nor RSA with SHA-2 */
#define CIPHERS "aes128-ctr,aes256-ctr"
#define HOST_KEYS                                                             \
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"                    \
    "ecdsa-sha2-nistp521"
#endif
/* Only the pinned libssh2 checks the signature of a certification authority.
 * 1.11 lists these names too, but fails on every certificate. */
#ifdef LIBSSH2_HOST_CERTIFICATES
#define HOST_CERTIFICATES                                                     \
    "ssh-ed25519-cert-v01@openssh.com,"                                       \
    "ecdsa-sha2-nistp256-cert-v01@openssh.com,"                               \
    "ecdsa-sha2-nistp384-cert-v01@openssh.com,"                               \
    "ecdsa-sha2-nistp521-cert-v01@openssh.com,"                               \
    "rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com"
#else
#define HOST_CERTIFICATES ""
#endif
#define MACS "hmac-sha2-256,hmac-sha2-512"

static const char *kex_offer = KEX;

/* Offer the key exchange by ML-KEM if the OpenSSL in use has ML-KEM, which
 * 3.5 introduced.  The answer is the same for the whole process. */
static void
find_mlkem(void)
{
#ifdef LIBSSH2_KEX_MLKEM768X25519
    LIBSSH2_SESSION *ssh = sg_session_init_library() ? libssh2_session_init()
                                                     : NULL;
    const char **names = NULL;
    int n = 0;

    if (ssh != NULL) {
        n = libssh2_session_supported_algs(ssh, LIBSSH2_METHOD_KEX, &names);
    }
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i], MLKEM) == 0) {
            kex_offer = MLKEM "," KEX;
        }
    }
    if (n > 0) {
        libssh2_free(ssh, names);
    }
    if (ssh != NULL) {
        libssh2_session_free(ssh);
    }
#endif
}

const char *
sg_session_offer(enum sg_offer what)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const char *const offers[] = {
        [SG_OFFER_HOST_KEYS] = HOST_KEYS,
        [SG_OFFER_HOST_CERTIFICATES] = HOST_CERTIFICATES,
        [SG_OFFER_CIPHERS] = CIPHERS,
        [SG_OFFER_MACS] = MACS,
    };

    if (what == SG_OFFER_KEX) {
        pthread_once(&once, find_mlkem);
        return kex_offer;
    }
    return offers[what];
}

/* libssh2 only sets O_NONBLOCK on the descriptor that it is given; its I/O
 * goes through the callbacks.  After the key exchange it also waits for
 * SERVICE_ACCEPT, which costs a round trip. */
static int
handshake_step(struct sg_session *session, void *arg)
{
    (void)arg;
    return libssh2_session_handshake(session->ssh, session->socket.fd);
}

/* The packets that we send during a handshake: the identification string,
 * KEXINIT, one message of the exchange, NEWKEYS, SERVICE_REQUEST. */
#define HANDSHAKE_PACKETS 5

/* By messages, the SERVICE_REQUEST follows with the first request. */
static unsigned
expected_packets(const struct sg_session *session)
{
    return HANDSHAKE_PACKETS - (session->by_messages ? 1 : 0);
}

/* Keep a copy of the host key for the caller to check, and watch libssh2's
 * own copy; sg_session_check_host_key() compares the two after each rekey.
 *
 * A second key exchange within the handshake is refused.  libssh2 stores a
 * host key before it has verified the signature, and does not report a rekey
 * that fails.  So a hostile server could present another server's key, or
 * none, in a second exchange.  No honest server rekeys before the login.  The
 * number of packets that we have sent reveals a second exchange. */
static enum sg_status
keep_host_key(struct sg_session *session, struct sg_error *error)
{
    static const char twice[] = "the server started a second key exchange "
                                "before the login, so its host key cannot be "
                                "trusted";
    const char *key = sg_session_host_key(session, &session->host_key_len);

    if (key == NULL || session->packets_sent > expected_packets(session)) {
        return sg_fail_text(error, SG_ERR_SSH, 0, twice, sizeof(twice) - 1);
    }
    session->memory.watched = key;
    session->memory.watched_freed = false;
    free(session->host_key); /* of an earlier call */
    session->host_key = malloc(session->host_key_len + 1);
    if (session->host_key == NULL) {
        return sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
    }
    memcpy(session->host_key, key, session->host_key_len);
    return SG_OK;
}

/* A rekey is noticed by the new address of libssh2's copy, or because the old
 * copy was freed.  1.10.0 and 1.11.1 do not free the old copy after a key
 * exchange with an elliptic curve, so free it here. */
bool
sg_session_check_host_key(struct sg_session *session)
{
    struct sg_memory *memory = &session->memory;
    size_t n = 0;
    int type;
    const char *key = libssh2_session_hostkey(session->ssh, &n, &type);

    if (key == NULL || (key == memory->watched && !memory->watched_freed)) {
        return true;
    }
    if (n != session->host_key_len || memcmp(key, session->host_key, n) != 0) {
        sg_session_lose(session, "the server's host key has changed since it "
                                 "was checked");
        return false;
    }
    if (!memory->watched_freed) {
        sg_memory_free(memory, (void *)memory->watched);
    }
    memory->watched = key;
    memory->watched_freed = false;
    sg_shared_add_count(session->shared, SG_COUNT_REKEYS, 1);
    return true;
}

static int
set_offers(struct sg_session *session, const struct sg_offers *offers)
{
    static const struct sg_offers usual;
    const struct sg_offers *o = offers != NULL ? offers : &usual;
    const struct {
        int method;
        const char *list; /* the caller's, or NULL */
        enum sg_offer usual;
    } lists[] = {
        {LIBSSH2_METHOD_KEX, o->kex, SG_OFFER_KEX},
        {LIBSSH2_METHOD_HOSTKEY, o->host_keys, SG_OFFER_HOST_KEYS},
        {LIBSSH2_METHOD_CRYPT_CS, o->ciphers, SG_OFFER_CIPHERS},
        {LIBSSH2_METHOD_CRYPT_SC, o->ciphers, SG_OFFER_CIPHERS},
        {LIBSSH2_METHOD_MAC_CS, o->macs, SG_OFFER_MACS},
        {LIBSSH2_METHOD_MAC_SC, o->macs, SG_OFFER_MACS},
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof(lists) / sizeof(*lists); i++) {
        const char *list = lists[i].list;

        rc = libssh2_session_method_pref(
            session->ssh, lists[i].method,
            list != NULL ? list : sg_session_offer(lists[i].usual));
    }
    for (int i = LIBSSH2_METHOD_COMP_CS;
         rc == 0 && i <= LIBSSH2_METHOD_COMP_SC; i++) {
        rc = libssh2_session_method_pref(session->ssh, i, "none");
    }
    return rc;
}

enum sg_status
sg_session_handshake(struct sg_session *session,
                     const struct sg_offers *offers,
                     const struct sg_wait *wait, struct sg_error *error)
{
    enum sg_status status;
    int rc = set_offers(session, offers);

    if (rc != 0) {
        return sg_session_fail(session, SG_ERR_SSH, error);
    }
    status = sg_session_repeat(session, handshake_step, NULL, wait, &rc,
                               error);
    if (status != SG_OK) {
        return status;
    }
    session->has_keys = rc == 0;
    if (session->has_keys) {
        free(session->hello); /* the exchange succeeded: no use for it */
        session->hello = NULL;
    }
    if (rc != 0) {
        return sg_session_fail(session, SG_ERR_SSH, error);
    }
    return keep_host_key(session, error);
}

const char *
sg_session_hello(const struct sg_session *session, size_t *n)
{
    *n = session->hello != NULL ? session->hello_len : 0;
    return session->hello;
}

const char *
sg_session_host_key(struct sg_session *session, size_t *n)
{
    int type;

    return libssh2_session_hostkey(session->ssh, n, &type);
}

const char *
sg_session_method(struct sg_session *session, enum sg_method method)
{
    static const int methods[] = {
        [SG_METHOD_KEX] = LIBSSH2_METHOD_KEX,
        [SG_METHOD_HOST_KEY] = LIBSSH2_METHOD_HOSTKEY,
        [SG_METHOD_CIPHER] = LIBSSH2_METHOD_CRYPT_CS,
        [SG_METHOD_MAC] = LIBSSH2_METHOD_MAC_CS,
    };
    const char *name = method == SG_METHOD_VERSION
                           ? libssh2_session_banner_get(session->ssh)
                           : libssh2_session_methods(session->ssh,
                                                     methods[method]);

    return name != NULL ? name : "";
}
