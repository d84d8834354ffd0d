/* SPDX-License-Identifier: BSD-2-Clause
 *
 * libFuzzer: logins with public keys at a server whose EXT_INFO (RFC 8308) and
 * whose replies the fuzzer writes.  The session has no cryptography and a
 * login that starts at once, so a run is a few packets through libssh2.
 *
 * An input is a byte that chooses the key, a byte of choices (see below), and
 * records of a kind, a length of one byte, and that many bytes.  Half of the
 * kinds are well-formed lists of algorithms, each byte of which is one name:
 * libssh2 gets to its choice of an algorithm only with a list that it can
 * read.
 *
 * The target demands that each offer has an algorithm that fits the key, and
 * that libssh2 gives all memory back.
 *
 * It needs the insides of the pinned libssh2, and is not built without it.
 */
#include <stdbool.h>
#include <stdio.h>

#include "libssh2_priv.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define CERT "-cert-v01@openssh.com"
#define HEAD 2

/* The second byte. */
enum {
    OLD_OPENSSH = 1, /* one that ignores its own list for certificates */
    OTHER_OPENSSH = 2,
    PREFERS = 4,       /* the caller has preferences */
    FROM_MEMORY = 8,   /* libssh2 signs; else a callback does */
    ACCEPTS = 16,      /* the offer is accepted, and the signature is sent */
    FAILS_TO_SIGN = 32 /* the callback */
};

static void
demand(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

/* ---- Memory ----------------------------------------------------------- */

static long blocks;

static LIBSSH2_ALLOC_FUNC(count_alloc)
{
    (void)abstract;
    blocks++;
    return malloc(count);
}

static LIBSSH2_FREE_FUNC(count_free)
{
    (void)abstract;
    blocks -= ptr != NULL;
    free(ptr);
}

static LIBSSH2_REALLOC_FUNC(count_realloc)
{
    (void)abstract;
    blocks += ptr == NULL;
    return realloc(ptr, count);
}

/* ---- Keys ------------------------------------------------------------- */

static const char *const types[] = {
    "ssh-rsa",
    "ssh-rsa" CERT,
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256" CERT,
    "ssh-ed25519",
    "ssh-ed25519" CERT,
    "sk-ssh-ed25519@openssh.com",
    "rsa-sha2-512" CERT,
};
#define N_TYPES (sizeof(types) / sizeof(*types))

struct key {
    unsigned char blob[200];
    size_t blob_len;
    char line[400]; /* of a public key file */
    const char *text;
};

static struct key keys[N_TYPES];
static char rsa_text[4000], ecdsa_text[1000];

static void
write_text(EVP_PKEY *key, char *text, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n;

    demand(key != NULL && bio != NULL, "a key");
    demand(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL,
                                                NULL)
               == 1,
           "a key as PEM");
    n = BIO_read(bio, text, (int)size - 1);
    demand(n > 0, "the text of a key");
    text[n] = '\0';
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void
make_key(struct key *key, const char *type)
{
    size_t len = strlen(type);
    char encoded[300];

    _libssh2_htonu32(key->blob, (uint32_t)len);
    memcpy(key->blob + 4, type, len);
    key->blob_len = 4 + len + 100;
    EVP_EncodeBlock((unsigned char *)encoded, key->blob, (int)key->blob_len);
    snprintf(key->line, sizeof(key->line), "%s %s", type, encoded);
    key->text = strstr(type, "rsa") != NULL ? rsa_text : ecdsa_text;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    write_text(EVP_RSA_gen(1024), rsa_text, sizeof(rsa_text));
    write_text(EVP_EC_gen("P-256"), ecdsa_text, sizeof(ecdsa_text));
    for (size_t i = 0; i < N_TYPES; i++) {
        make_key(&keys[i], types[i]);
    }
    libssh2_init(0);
    return 0;
}

/* ---- The wire --------------------------------------------------------- */

struct wire {
    unsigned char data[60000];
    size_t start, end;
    const struct key *key;
    int choices;
};

static void
put(struct wire *wire, int type, const void *payload, size_t n)
{
    size_t padding = 8 - (6 + n) % 8 + 4;
    unsigned char *at = wire->data + wire->end;

    if (wire->end + 6 + n + padding > sizeof(wire->data)) {
        return;
    }
    _libssh2_htonu32(at, (uint32_t)(2 + n + padding));
    at[4] = (unsigned char)padding;
    at[5] = (unsigned char)type;
    if (n > 0) {
        memcpy(at + 6, payload, n);
    }
    memset(at + 6 + n, 0, padding);
    wire->end += 6 + n + padding;
}

static LIBSSH2_RECV_FUNC(take)
{
    struct wire *wire = *abstract;
    size_t n = wire->end - wire->start;

    (void)socket;
    (void)flags;
    n = n < length ? n : length;
    memcpy(buffer, wire->data + wire->start, n);
    wire->start += n;
    return n > 0 ? (ssize_t)n : -EAGAIN;
}

/* RFC 4252 7: after user, service and "publickey", a boolean. */
static const unsigned char *
find_algorithm(const unsigned char *payload, size_t n, size_t *len)
{
    size_t at = 1;

    for (int i = 0; i < 3; i++) {
        demand(at + 4 <= n, "a string in an offer");
        at += 4 + _libssh2_ntohu32(payload + at);
    }
    at++;
    demand(at + 4 <= n, "an algorithm in an offer");
    *len = _libssh2_ntohu32(payload + at);
    demand(*len <= n - at - 4, "the algorithm is within the offer");
    return payload + at + 4;
}

static bool
is_name(const char *name, const unsigned char *text, size_t len)
{
    return strlen(name) == len && memcmp(name, text, len) == 0;
}

static bool
fits(const char *type, const unsigned char *algorithm, size_t len)
{
    if (is_name(type, algorithm, len)) {
        return true;
    }
    if (strcmp(type, "ssh-rsa") == 0) {
        return is_name("rsa-sha2-256", algorithm, len)
               || is_name("rsa-sha2-512", algorithm, len);
    }
    return strcmp(type, "ssh-rsa" CERT) == 0
           && (is_name("rsa-sha2-256" CERT, algorithm, len)
               || is_name("rsa-sha2-512" CERT, algorithm, len));
}

static LIBSSH2_SEND_FUNC(look_at)
{
    static const char method[] = "\0\0\0\11publickey";
    struct wire *wire = *abstract;
    const unsigned char *packet = buffer, *algorithm;
    size_t n = length, len;

    (void)socket;
    (void)flags;
    demand(n > 6 && (size_t)packet[4] + 5 < n, "a packet");
    n -= 5 + (size_t)packet[4];
    packet += 5;
    if (packet[0] == SSH_MSG_USERAUTH_REQUEST && n > 60
        && memcmp(packet + 27, method, 13) == 0) {
        algorithm = find_algorithm(packet, n, &len);
        demand(fits((const char *)wire->key->blob + 4, algorithm, len),
               "the algorithm fits the key");
    }
    return (ssize_t)length;
}

/* ---- From an input to what the server says ---------------------------- */

static const char *const names[] = {
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-rsa",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "rsa-sha2-512" CERT,
    "rsa-sha2-256" CERT,
    "ssh-rsa" CERT,
    "",
    "rsa-sha2-51",
    "rsa-sha2-5120",
    "-",
    "sk-ssh-ed25519@openssh.com",
    "rsa-sha2-512,rsa-sha2-512,rsa-sha2-512,rsa-sha2-512,rsa-sha2-512",
    "rsa-sha2-256 ",
    "ssh-rsa,",
};

static size_t
put_string(unsigned char *to, const char *text, size_t n)
{
    _libssh2_htonu32(to, (uint32_t)n);
    memcpy(to + 4, text, n);
    return 4 + n;
}

/* An EXT_INFO that promises `count` extensions and has one, which is a list.
 * Each byte of `data` is a name in it: the lower half chooses the name, and
 * the lowest bit of the upper half leaves out the comma before it. */
static void
put_list(struct wire *wire, const char *extension, uint32_t count,
         const uint8_t *data, size_t n)
{
    static unsigned char payload[40000];
    static char list[30000];
    size_t len = 0, at = 4;

    for (size_t i = 0; i < n; i++) {
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
                                i > 0 && !(data[i] & 16) ? "," : "",
                                names[data[i] % 16]);
    }
    _libssh2_htonu32(payload, count);
    at += put_string(payload + at, extension, strlen(extension));
    at += put_string(payload + at, list, len);
    put(wire, SSH_MSG_EXT_INFO, payload, at);
}

static void
put_record(struct wire *wire, int kind, const uint8_t *data, size_t n)
{
    switch (kind % 8) {
    case 0:
    case 1:
    case 2:
        put_list(wire, "server-sig-algs", 1, data, n);
        break;
    case 3:
        put_list(wire, "server-sig-algs", (uint32_t)kind << 24 | 3, data, n);
        break;
    case 4:
        put_list(wire, "no-flow-control", 1, data, n);
        break;
    case 5: /* a message that a login may meet */
        if (n > 0) {
            static const uint8_t messages[] = {2, 4, 6, 7, 51, 52, 53, 60, 80};

            put(wire, messages[data[0] % sizeof(messages)], data + 1, n - 1);
        }
        break;
    default:
        put(wire, SSH_MSG_EXT_INFO, data, n);
    }
}

static const uint8_t *
put_records(struct wire *wire, const uint8_t *data, const uint8_t *end,
            int most)
{
    while (end - data >= 2 && most-- > 0) {
        size_t n = data[1];

        n = n < (size_t)(end - data) - 2 ? n : (size_t)(end - data) - 2;
        put_record(wire, data[0], data + 2, n);
        data += 2 + n;
    }
    return data;
}

static void
put_failure(struct wire *wire)
{
    static const char methods[] = "\0\0\0\11publickey\0";

    put(wire, SSH_MSG_USERAUTH_FAILURE, methods, 14);
}

static void
put_pk_ok(struct wire *wire)
{
    put(wire, SSH_MSG_USERAUTH_PK_OK, "\0\0\0\0\0\0\0\0", 8);
}

/* ---- The caller ------------------------------------------------------- */

static LIBSSH2_USERAUTH_PUBLICKEY_SIGN_FUNC(sign)
{
    struct wire *wire = *abstract;

    (void)data;
    demand(data_len > 0, "something to sign");
    if (wire->choices & FAILS_TO_SIGN) {
        return -1;
    }
    *sig_len = 64;
    *sig = LIBSSH2_ALLOC(session, *sig_len);
    demand(*sig != NULL, "a signature");
    memset(*sig, 0, *sig_len);
    return 0;
}

static int
offer(LIBSSH2_SESSION *session, struct wire *wire)
{
    const struct key *key = wire->key;
    bool is_certified = strstr(key->line, CERT) != NULL;
    void *abstract = wire;

    if (wire->choices & FROM_MEMORY) {
        return libssh2_userauth_publickey_frommemory(
            session, "user", 4, is_certified ? key->line : NULL,
            is_certified ? strlen(key->line) : 0, key->text, strlen(key->text),
            NULL);
    }
    return libssh2_userauth_publickey(session, "user", key->blob,
                                      key->blob_len, sign, &abstract);
}

static void
set_banner(LIBSSH2_SESSION *session, int choices)
{
    static const char *const banners[] = {NULL, "SSH-2.0-OpenSSH_7.4p1",
                                          "SSH-2.0-OpenSSH_9.9",
                                          "SSH-2.0-OpenSSH_"};
    const char *banner = banners[choices & (OLD_OPENSSH | OTHER_OPENSSH)];

    if (banner != NULL) {
        session->remote.banner = LIBSSH2_ALLOC(session, strlen(banner) + 1);
        demand(session->remote.banner != NULL, "a banner");
        strcpy((char *)session->remote.banner, banner);
    }
}

static LIBSSH2_SESSION *
begin(struct wire *wire)
{
    LIBSSH2_SESSION *session = libssh2_session_init_ex(count_alloc, count_free,
                                                       count_realloc, wire);

    demand(session != NULL, "a session");
    libssh2_session_set_blocking(session, 0);
    libssh2_session_callback_set2(session, LIBSSH2_CALLBACK_SEND,
                                  (libssh2_cb_generic *)look_at);
    libssh2_session_callback_set2(session, LIBSSH2_CALLBACK_RECV,
                                  (libssh2_cb_generic *)take);
    session->socket_state = LIBSSH2_SOCKET_CONNECTED;
    set_banner(session, wire->choices);
    if (wire->choices & PREFERS) {
        libssh2_session_method_pref(session, LIBSSH2_METHOD_SIGN_ALGO,
                                    "rsa-sha2-256,ssh-rsa");
    }
    return session;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct wire wire;
    const uint8_t *end = data + n;
    LIBSSH2_SESSION *session;
    size_t i;

    if (n < HEAD) {
        return -1;
    }
    i = data[0] % N_TYPES;
    wire.start = wire.end = 0;
    wire.choices = data[1];
    /* there is no private key of these types to read */
    if (i >= 4) {
        wire.choices &= ~FROM_MEMORY;
    }
    data += HEAD;
    blocks = 0;
    session = begin(&wire);
    data = put_records(&wire, data, end, 3);
    put_failure(&wire);
    (void)libssh2_userauth_list(session, "user", 4);
    for (int attempt = 0; attempt < 2; attempt++) {
        wire.key = &keys[(i + (size_t)attempt * 2) % N_TYPES];
        if ((i + (size_t)attempt * 2) % N_TYPES >= 4) {
            wire.choices &= ~FROM_MEMORY;
        }
        data = put_records(&wire, data, end, 2);
        if (wire.choices & ACCEPTS) {
            put_pk_ok(&wire);
            data = put_records(&wire, data, end, 1);
        }
        put_failure(&wire);
        if (offer(session, &wire) == LIBSSH2_ERROR_EAGAIN) {
            break; /* the next call would go on with this key */
        }
    }
    session->socket_state = LIBSSH2_SOCKET_DISCONNECTED;
    demand(libssh2_session_free(session) == 0, "the session is freed");
    demand(blocks == 0, "all memory is given back");
    return 0;
}
