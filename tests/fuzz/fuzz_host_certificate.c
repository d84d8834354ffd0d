/* SPDX-License-Identifier: BSD-2-Clause
 *
 * libFuzzer: certificates as host keys, and the signature of a key exchange by
 * a certified key.
 *
 * An input is a byte that chooses the host key method, a byte that chooses the
 * authority and what the other bytes are (enum mode).  The keys are new in
 * each process, so only MODE_CERTIFICATE depends on keys of the corpus.
 *
 * The target demands that an accepted certificate has the format of
 * PROTOCOL.certkeys, and that an accepted certificate or signature is accepted
 * no longer after any change.
 *
 * It needs the insides of the pinned libssh2, and is not built without it.
 */
#include <stdbool.h>

#include "../../deps/libssh2/tests/certificate.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define HEAD 2
#define MOST 9000 /* bytes of a certificate */

enum mode {
    MODE_CERTIFICATE,   /* a certificate */
    MODE_FIELDS,        /* a certificate up to its authority, which signs it */
    MODE_EDIT,          /* edits of a right certificate */
    MODE_EDIT_SIGNATURE /* edits of a right signature of a key exchange */
};

static const struct {
    const char *name, *algorithm, *digest;
    enum kind kind;
} choices[] = {
    {"ssh-ed25519" CERT, "ssh-ed25519", NULL, ED25519},
    {"ecdsa-sha2-nistp256" CERT, "ecdsa-sha2-nistp256", "SHA256", P256},
    {"ecdsa-sha2-nistp384" CERT, "ecdsa-sha2-nistp384", "SHA384", P384},
    {"ecdsa-sha2-nistp521" CERT, "ecdsa-sha2-nistp521", "SHA512", P521},
    {"rsa-sha2-512" CERT, "rsa-sha2-512", "SHA512", RSA_KEY},
    {"rsa-sha2-256" CERT, "rsa-sha2-256", "SHA256", RSA_KEY},
};
#define CHOICES (sizeof(choices) / sizeof(*choices))

static const LIBSSH2_HOSTKEY_METHOD *methods[CHOICES];
static struct message certificates[CHOICES][KINDS], signatures[CHOICES];
static const unsigned char hash[SHA256_DIGEST_LENGTH];

static void
demand(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

/* ---- libssh2 ---------------------------------------------------------- */

static LIBSSH2_SESSION *
begin(size_t choice)
{
    LIBSSH2_SESSION *session = libssh2_session_init();

    demand(session != NULL, "a session");
    session->hostkey = methods[choice];
    return session;
}

/* The bytes are copied to memory of their exact size, so that the sanitizer
 * sees each read beyond their end. */
static bool
accepts(LIBSSH2_SESSION *session, const unsigned char *data, size_t n)
{
    void **key = &session->server_hostkey_abstract;
    unsigned char *copy = malloc(n + (n == 0));
    int rc;

    demand(copy != NULL, "memory");
    memcpy(copy, data, n);
    rc = session->hostkey->init(session, copy, n, key);
    free(copy);
    demand(rc == 0 || rc == -1, "a result");
    demand((rc == 0) == (*key != NULL), "a key if it is accepted");
    demand((rc == 0) == (session->hostkey_error == NULL), "else a reason");
    return rc == 0;
}

static bool
accepts_signature(LIBSSH2_SESSION *session, const unsigned char *data,
                  size_t n)
{
    unsigned char *copy = malloc(n + (n == 0));
    int rc;

    demand(copy != NULL, "memory");
    memcpy(copy, data, n);
    rc = session->hostkey->sig_verify(session, copy, n, hash, sizeof(hash),
                                      &session->server_hostkey_abstract);
    free(copy);
    return rc == 0;
}

/* ---- The format ------------------------------------------------------- */

struct reader {
    const unsigned char *at, *end;
};

static struct reader
take(struct reader *from, size_t n)
{
    struct reader taken = {from->at, from->at + n};

    demand(n <= (size_t)(from->end - from->at), "a field within the others");
    from->at += n;
    return taken;
}

static uint32_t
take_u32(struct reader *from)
{
    return _libssh2_ntohu32(take(from, 4).at);
}

static struct reader
take_string(struct reader *from)
{
    return take(from, take_u32(from));
}

/* Take a string that is a list of groups of so many strings. */
static void
take_list(struct reader *from, int group)
{
    struct reader list = take_string(from);

    while (list.at != list.end) {
        for (int i = 0; i < group; i++) {
            take_string(&list);
        }
    }
}

static void
demand_format(const struct message *cert, enum kind kind)
{
    struct reader reader = {cert->data, cert->data + cert->n};

    for (int i = 0; i < (kind == ED25519 ? 3 : 4); i++) {
        take_string(&reader); /* type, nonce, and the fields of the key */
    }
    take(&reader, 8); /* serial */
    demand(take_u32(&reader) == 2, "a host certificate");
    take_string(&reader); /* key id */
    take_list(&reader, 1);
    take(&reader, 16); /* validity */
    take_list(&reader, 2);
    take_list(&reader, 2);
    take_string(&reader);  /* reserved */
    take_list(&reader, 1); /* the authority's key */
    take_string(&reader);  /* signature */
    demand(reader.at == reader.end, "the end after the signature");
}

/* ---- Inputs ----------------------------------------------------------- */

/* Apply edits: an offset of two bytes, the number of bytes to delete there,
 * the number of bytes to insert there, and these bytes. */
static void
edit(struct message *message, const uint8_t *data, size_t n)
{
    while (n >= 4 && message->n < MOST) {
        size_t at = (size_t)(data[0] << 8 | data[1]) % (message->n + 1);
        size_t left = message->n - at;
        size_t out = data[2] < left ? data[2] : left;
        size_t in = data[3] < n - 4 ? data[3] : n - 4;

        memmove(message->data + at + in, message->data + at + out, left - out);
        memcpy(message->data + at, data + 4, in);
        message->n += in - out;
        data += 4 + in;
        n -= 4 + in;
    }
}

static bool
is_same(const struct message *a, const struct message *b)
{
    return a->n == b->n && memcmp(a->data, b->data, a->n) == 0;
}

/* A certificate that is accepted has no byte to spare. */
static void
spoil(LIBSSH2_SESSION *session, struct message *cert, size_t seed)
{
    size_t at = seed * 7919 % cert->n;

    cert->data[at] ^= (unsigned char)(1 + seed % 255);
    demand(!accepts(session, cert->data, cert->n), "a change is refused");
    cert->data[at] ^= (unsigned char)(1 + seed % 255);
    demand(!accepts(session, cert->data, cert->n - 1), "no byte is missing");
    cert->data[cert->n] = 0;
    demand(!accepts(session, cert->data, cert->n + 1), "no byte is appended");
}

static void
sign_fields(struct message *cert, enum kind authority)
{
    struct spec spec = right(ED25519, authority);
    struct message key = {.n = 0};

    put_text(&key, spec.authority_type);
    put_key(&key, &spec, authority, spec.authority);
    put_string(cert, (const char *)key.data, key.n);
    put_signature(cert, authority, spec.signer, spec.algorithm, spec.digest,
                  cert->data, cert->n, &spec);
}

static void
run_certificate(LIBSSH2_SESSION *session, enum kind kind, const uint8_t *data,
                size_t n, int authority)
{
    static struct message cert;

    cert.n = n;
    memcpy(cert.data, data, n);
    if (authority >= 0) {
        sign_fields(&cert, (enum kind)authority);
    }
    if (accepts(session, cert.data, cert.n)) {
        demand_format(&cert, kind);
        spoil(session, &cert, n > 0 ? data[n / 2] + n : 0);
    }
}

static void
run_edit(LIBSSH2_SESSION *session, const struct message *original,
         const uint8_t *data, size_t n)
{
    static struct message cert;

    memcpy(&cert, original, sizeof(cert));
    edit(&cert, data, n);
    demand(accepts(session, cert.data, cert.n) == is_same(&cert, original),
           "an edited certificate is refused");
}

static void
run_edit_signature(LIBSSH2_SESSION *session, const struct message *cert,
                   const struct message *original, const uint8_t *data,
                   size_t n)
{
    static struct message signature;

    demand(accepts(session, cert->data, cert->n), "a right certificate");
    memcpy(&signature, original, sizeof(signature));
    edit(&signature, data, n);
    demand(accepts_signature(session, signature.data, signature.n)
               == is_same(&signature, original),
           "an edited signature is refused");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    LIBSSH2_SESSION *session;
    size_t choice, authority;

    if (n < HEAD || n > MOST) {
        return -1;
    }
    choice = data[0] % CHOICES;
    authority = data[1] / 4 % KINDS;
    session = begin(choice);
    switch ((enum mode)(data[1] % 4)) {
    case MODE_CERTIFICATE:
        run_certificate(session, choices[choice].kind, data + HEAD, n - HEAD,
                        -1);
        break;
    case MODE_FIELDS:
        run_certificate(session, choices[choice].kind, data + HEAD, n - HEAD,
                        (int)authority);
        break;
    case MODE_EDIT:
        run_edit(session, &certificates[choice][authority], data + HEAD,
                 n - HEAD);
        break;
    case MODE_EDIT_SIGNATURE:
        run_edit_signature(session, &certificates[choice][authority],
                           &signatures[choice], data + HEAD, n - HEAD);
    }
    demand(libssh2_session_free(session) == 0, "the session is freed");
    return 0;
}

/* ---- Seeds ------------------------------------------------------------ */

static void
write_seed(const char *directory, size_t choice, size_t authority,
           enum mode mode, const struct message *rest)
{
    char name[4096];
    FILE *file;

    snprintf(name, sizeof(name), "%s/seed-%zu-%zu-%d", directory, choice,
             authority, (int)mode);
    file = fopen(name, "wb");
    demand(file != NULL, "a file for a seed");
    fputc((int)choice, file);
    fputc((int)(authority * 4 + mode), file);
    fwrite(rest->data, 1, rest->n, file);
    demand(fclose(file) == 0, "a seed");
}

static void
write_seeds(const char *directory)
{
    static const struct message edits = {"\0\50\0\0\0\3\1\2\0\0", 10};

    for (size_t i = 0; i < CHOICES; i++) {
        for (size_t j = 0; j < KINDS; j++) {
            struct spec spec = right(choices[i].kind, (enum kind)j);
            struct message fields = {.n = 0};

            put_fields(&fields, &spec);
            write_seed(directory, i, j, MODE_CERTIFICATE, &certificates[i][j]);
            write_seed(directory, i, j, MODE_FIELDS, &fields);
            write_seed(directory, i, j, MODE_EDIT, &edits);
            write_seed(directory, i, j, MODE_EDIT_SIGNATURE, &edits);
        }
    }
}

static void
prepare(size_t choice)
{
    const LIBSSH2_HOSTKEY_METHOD **method = libssh2_hostkey_methods();
    enum kind kind = choices[choice].kind;
    struct spec spec = {.appended = NONE};
    struct message signature = {.n = 0}, *to = &signatures[choice];

    while (*method != NULL
           && strcmp((*method)->name, choices[choice].name) != 0) {
        method++;
    }
    demand(*method != NULL, "the method");
    methods[choice] = *method;
    for (int i = 0; i < KINDS; i++) {
        struct spec certified = right(kind, (enum kind)i);

        compose(&certificates[choice][i], &certified);
    }
    put_signature(&signature, kind, host_keys[kind], choices[choice].algorithm,
                  choices[choice].digest, hash, sizeof(hash), &spec);
    to->n = signature.n - 4; /* without the length of the string */
    memcpy(to->data, signature.data + 4, to->n);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    running = "preparation";
    libssh2_init(0);
    generate_keys();
    for (size_t i = 0; i < CHOICES; i++) {
        prepare(i);
    }
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        write_seeds((*argv)[2]);
        exit(0);
    }
    return 0;
}
