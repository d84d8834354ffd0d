/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Patch host-certificates: which certificates are accepted. The tests call the
 * function of the host key method that a key exchange calls, so that only the
 * certificate can be the reason for a refusal. test_host_certificates_kex.c
 * tests the key exchange.
 */
#include "certificate.h"
#include "pair.h"

static struct message cert;

/* ---- Helpers ---------------------------------------------------------- */

static const LIBSSH2_HOSTKEY_METHOD *
find_method(const char *name)
{
    const LIBSSH2_HOSTKEY_METHOD **methods = libssh2_hostkey_methods();

    while (*methods != NULL && strcmp((*methods)->name, name) != 0) {
        methods++;
    }
    CHECK(*methods != NULL);
    return *methods;
}

/* The method for a certificate of that kind. */
static const char *
method_for(enum kind kind)
{
    return kind == RSA_KEY ? "rsa-sha2-512" CERT : kinds[kind].cert_type;
}

static LIBSSH2_SESSION *
open_session(const char *method)
{
    LIBSSH2_SESSION *session = libssh2_session_init();

    CHECK(session != NULL);
    session->hostkey = find_method(method);
    return session;
}

/* The blob is copied to memory of its exact size, so that the sanitizer sees
 * each read beyond its end. */
static int
is_accepted(LIBSSH2_SESSION *session, const unsigned char *blob, size_t n)
{
    void **key = &session->server_hostkey_abstract;
    unsigned char *copy = malloc(n > 0 ? n : 1);
    int rc;

    CHECK(copy != NULL);
    memcpy(copy, blob, n);
    rc = session->hostkey->init(session, copy, n, key);
    free(copy);
    CHECK(rc == 0 || rc == -1);
    CHECK_EQ(rc == 0, *key != NULL);
    CHECK_EQ(rc == 0, session->hostkey_error == NULL);
    if (rc != 0) {
        CHECK_EQ(libssh2_session_last_errno(session),
                 LIBSSH2_ERROR_HOSTKEY_INIT);
    }
    return rc == 0;
}

static void
accept_for(const char *method, const struct spec *spec)
{
    LIBSSH2_SESSION *session = open_session(method);

    compose(&cert, spec);
    CHECK(is_accepted(session, cert.data, cert.n));
    CHECK_EQ(libssh2_session_free(session), 0);
}

static void
accept_it(const struct spec *spec)
{
    accept_for(method_for(spec->kind), spec);
}

/* The reason is a part of the text of the error. */
static void
refuse_for(const char *method, const struct spec *spec, const char *reason)
{
    LIBSSH2_SESSION *session = open_session(method);
    char *text;

    compose(&cert, spec);
    CHECK(!is_accepted(session, cert.data, cert.n));
    CHECK(strstr(session->hostkey_error, reason) != NULL);
    libssh2_session_last_error(session, &text, NULL, 0);
    CHECK(strcmp(text, session->hostkey_error) == 0);
    CHECK_EQ(libssh2_session_free(session), 0);
}

static void
refuse_it(const struct spec *spec, const char *reason)
{
    refuse_for(method_for(spec->kind), spec, reason);
}

#define BAD_CERT "host certificate is malformed"
#define BAD_KEY "certified host key is malformed"
#define BAD_AUTHORITY "authority is malformed"
#define BAD_SIGNATURE "signature of the host certificate's authority does not"
#define BAD_ALGORITHM "algorithm of the host certificate's signature"
#define OTHER_TYPE "not a certificate of the agreed type"

/* ---- Good certificates ------------------------------------------------ */

static void
each_key_is_certified_by_each_authority(void)
{
    for (int kind = 0; kind < HOST_KINDS; kind++) {
        for (int authority = 0; authority < KINDS; authority++) {
            struct spec spec = right((enum kind)kind, (enum kind)authority);

            accept_it(&spec);
        }
    }
}

static void
rsa_has_two_methods_and_two_algorithms(void)
{
    struct spec spec = right(RSA_KEY, RSA_KEY);

    for (int i = 0; i < 2; i++) {
        accept_for("rsa-sha2-512" CERT, &spec);
        accept_for("rsa-sha2-256" CERT, &spec);
        spec.algorithm = "rsa-sha2-256";
        spec.digest = "SHA256";
    }
}

static void
lists_may_be_empty(void)
{
    struct spec spec = right(ED25519, ED25519);

    spec.n_principals = spec.key_id_len = 0;
    spec.has_options = 0;
    accept_it(&spec);
    spec.n_principals = 2;
    spec.principal_len = 0;
    accept_it(&spec);
}

static void
there_are_at_most_256_principals(void)
{
    struct spec spec = right(ED25519, ED25519);

    spec.n_principals = 256;
    accept_it(&spec);
    spec.n_principals = 257;
    refuse_it(&spec, "principals of the host certificate are malformed");
}

/* ---- Bytes that do not belong there ----------------------------------- */

/* Try all truncations, and changes of each byte: one, or each bit. */
static void
damage(const struct spec *spec, int bits)
{
    LIBSSH2_SESSION *session = open_session(method_for(spec->kind));

    compose(&cert, spec);
    CHECK(is_accepted(session, cert.data, cert.n));
    for (size_t n = 0; n < cert.n; n++) {
        CHECK(!is_accepted(session, cert.data, n));
    }
    for (size_t i = 0; i < cert.n; i++) {
        for (int bit = 0; bit < bits; bit++) {
            unsigned change = bits == 1 ? 1 + (unsigned)i % 255 : 1u << bit;

            cert.data[i] ^= (unsigned char)change;
            CHECK(!is_accepted(session, cert.data, cert.n));
            cert.data[i] ^= (unsigned char)change;
        }
    }
    CHECK(is_accepted(session, cert.data, cert.n));
    CHECK_EQ(libssh2_session_free(session), 0);
}

static void
each_changed_byte_and_each_truncation_is_refused(void)
{
    for (int kind = 0; kind < HOST_KINDS; kind++) {
        for (int authority = 0; authority < KINDS; authority++) {
            struct spec spec = right((enum kind)kind, (enum kind)authority);

            damage(&spec, 1);
        }
    }
}

static void
each_changed_bit_is_refused(void)
{
    for (int kind = 0; kind < HOST_KINDS; kind++) {
        struct spec spec = right((enum kind)kind, RSA_KEY);

        damage(&spec, 8);
    }
}

static void
appended_bytes_are_refused(void)
{
    static const char *const reasons[PARTS] = {
        [WHOLE] = BAD_CERT,          [KEY] = BAD_KEY,
        [PRINCIPALS] = "malformed",  [CRITICAL] = "malformed",
        [EXTENSIONS] = "malformed",  [AUTHORITY] = BAD_AUTHORITY,
        [SIGNATURE] = BAD_SIGNATURE, [RAW_SIGNATURE] = BAD_SIGNATURE};

    for (int kind = 0; kind < HOST_KINDS; kind++) {
        for (int authority = 0; authority < KINDS; authority++) {
            struct spec spec = right((enum kind)kind, (enum kind)authority);

            for (int part = WHOLE; part < PARTS; part++) {
                spec.appended = (enum part)part;
                if (kind != RSA_KEY || part != KEY) { /* another modulus */
                    refuse_it(&spec, reasons[part]);
                }
            }
        }
    }
}

static void
numbers_have_one_form(void)
{
    struct spec spec = right(RSA_KEY, ED25519);

    spec.zeros = 1;
    refuse_it(&spec, BAD_KEY);
    spec.zeros = -1; /* the modulus is negative */
    refuse_it(&spec, BAD_KEY);
    spec = right(ED25519, P256);
    spec.zeros = 1;
    refuse_it(&spec, BAD_SIGNATURE);
    spec = right(ED25519, SK_P256);
    spec.zeros = 1;
    refuse_it(&spec, BAD_SIGNATURE);
}

/* One of 256 signatures begins with a zero; look for one. */
static void
shortened_rsa_signatures_are_refused(void)
{
    struct spec spec = right(ED25519, RSA_KEY);
    size_t whole = 0;

    for (size_t i = 0; cert.n >= whole && i < 256 * 12; i++) {
        spec.n_principals = i % 256;
        spec.principal_len = i / 256;
        spec.is_shortened = 0;
        accept_it(&spec);
        whole = cert.n;
        spec.is_shortened = 1;
        compose(&cert, &spec);
    }
    CHECK_EQ(cert.n, whole - 1);
    refuse_it(&spec, BAD_SIGNATURE);
}

static void
names_with_a_zero_are_refused(void)
{
    struct spec spec = right(ED25519, ED25519);

    spec.key_id_len = 7;
    refuse_it(&spec, BAD_CERT);
    spec = right(ED25519, ED25519);
    spec.principal = "host\0.example";
    refuse_it(&spec, "principals of the host certificate are malformed");
}

/* ---- Types ------------------------------------------------------------ */

/* The application decides about a user certificate, because its key may be
 * known as a plain key. */
static void
only_certificates_of_known_types_are_accepted(void)
{
    struct spec spec = right(ED25519, ED25519);

    spec.cert_type = 1;
    accept_it(&spec);
    spec.cert_type = 0;
    refuse_it(&spec, "unknown type");
    spec.cert_type = 3;
    refuse_it(&spec, "unknown type");
    spec.cert_type = 0x02000000;
    refuse_it(&spec, "unknown type");
}

static void
the_certificate_has_the_type_of_the_method(void)
{
    for (int kind = 0; kind < HOST_KINDS; kind++) {
        struct spec spec = right((enum kind)kind, ED25519);

        for (int other = 0; other < HOST_KINDS; other++) {
            if (other != kind) {
                refuse_for(method_for((enum kind)other), &spec, OTHER_TYPE);
            }
        }
        /* The name of the type may not be that of the plain key, nor that of
         * the method of RSA. */
        spec.type = kinds[kind].type;
        refuse_it(&spec, OTHER_TYPE);
    }
    {
        struct spec spec = right(RSA_KEY, ED25519);

        spec.type = "rsa-sha2-512" CERT;
        refuse_it(&spec, OTHER_TYPE);
    }
}

/* A certificate that claims another type than that of its key. The fields of
 * a P-521 key are also those of an RSA key: two mpints. */
static void
the_key_has_the_type_of_the_certificate(void)
{
    for (int kind = 0; kind < HOST_KINDS; kind++) {
        for (int other = 0; other < HOST_KINDS; other++) {
            struct spec spec = right((enum kind)kind, ED25519);

            if (other != kind && !(kind == P521 && other == RSA_KEY)) {
                spec.type = kinds[other].cert_type;
                refuse_for(method_for((enum kind)other), &spec, "malformed");
            }
        }
    }
}

/* ---- Keys ------------------------------------------------------------- */

static void
points_must_be_on_the_curve(void)
{
    for (int kind = P256; kind <= P521; kind++) {
        struct spec spec = right((enum kind)kind, ED25519);

        spec.has_garbage = 1;
        refuse_it(&spec, "certified host key is not valid");
        spec = right(ED25519, (enum kind)kind);
        spec.key = spec.authority;
        spec.kind = (enum kind)kind;
        spec.type = kinds[kind].cert_type;
        spec.curve = kinds[kind].curve;
        spec.has_garbage = 1;
        refuse_it(&spec, "authority is not valid");
    }
}

static void
the_curve_must_be_that_of_the_type(void)
{
    static const char *const names[] = {"nistp384", "nistp521", "nistp25",
                                        "nistp2566", ""};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct spec spec = right(P256, ED25519);

        spec.curve = names[i];
        refuse_it(&spec, BAD_KEY);
    }
}

static void
points_must_be_uncompressed(void)
{
    struct spec spec = right(P256, ED25519);

    spec.point_form = 2;
    refuse_it(&spec, BAD_KEY);
    spec.point_form = 6; /* hybrid */
    refuse_it(&spec, BAD_KEY);
}

static void
short_rsa_keys_are_refused(void)
{
    static const struct {
        unsigned bits;
        int is_accepted;
    } sizes[] = {{1016, 0}, {1023, 0}, {1024, 1}, {1025, 1}};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA",
                                          (size_t)sizes[i].bits);
        struct spec certified = right(RSA_KEY, ED25519);
        struct spec signing = right(ED25519, RSA_KEY);

        CHECK(key != NULL);
        certified.key = signing.authority = signing.signer = key;
        if (sizes[i].is_accepted) {
            accept_it(&certified);
            accept_it(&signing);
        }
        else {
            refuse_it(&certified, "too short");
            refuse_it(&signing, "too short");
        }
        EVP_PKEY_free(key);
    }
}

/* ---- Authorities ------------------------------------------------------ */

static void
sha1_is_refused(void)
{
    struct spec spec = right(ED25519, RSA_KEY);

    spec.algorithm = "ssh-rsa";
    spec.digest = "SHA1";
    refuse_it(&spec, BAD_ALGORITHM);
    spec.algorithm = "rsa-sha2-256"; /* a wrong name */
    refuse_it(&spec, BAD_SIGNATURE);
}

static void
the_algorithm_must_be_the_one_that_signed(void)
{
    struct spec spec = right(ED25519, RSA_KEY);

    spec.algorithm = "rsa-sha2-256";
    refuse_it(&spec, BAD_SIGNATURE);
    spec.algorithm = "rsa-sha2-512" CERT;
    refuse_it(&spec, BAD_ALGORITHM);
    for (int authority = 0; authority < KINDS; authority++) {
        for (int other = 0; other < KINDS; other++) {
            spec = right(ED25519, (enum kind)authority);
            spec.algorithm = kinds[other].type;
            if (authority != other || authority == RSA_KEY) {
                refuse_it(&spec, BAD_ALGORITHM);
            }
        }
    }
}

static void
the_authority_must_have_signed(void)
{
    for (int authority = 0; authority < KINDS; authority++) {
        struct spec spec = right(ED25519, (enum kind)authority);

        spec.signer = other_keys[authority];
        refuse_it(&spec, BAD_SIGNATURE);
    }
}

static void
a_certificate_is_no_authority(void)
{
    static const char *const types[] = {"ssh-dss", "rsa-sha2-512", "",
                                        "sk-ssh-ed25519" CERT,
                                        "webauthn-sk-ecdsa-sha2-nistp256"
                                        "@openssh.com"};

    for (int authority = 0; authority < HOST_KINDS; authority++) {
        struct spec spec = right(ED25519, (enum kind)authority);

        spec.authority_type = kinds[authority].cert_type;
        refuse_it(&spec, "type that is not accepted");
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        struct spec spec = right(ED25519, ED25519);

        spec.authority_type = types[i];
        refuse_it(&spec, "type that is not accepted");
    }
}

int
main(void)
{
    libssh2_init(0);
    generate_keys();
    RUN(each_key_is_certified_by_each_authority);
    RUN(rsa_has_two_methods_and_two_algorithms);
    RUN(lists_may_be_empty);
    RUN(there_are_at_most_256_principals);
    RUN(appended_bytes_are_refused);
    RUN(numbers_have_one_form);
    RUN(shortened_rsa_signatures_are_refused);
    RUN(names_with_a_zero_are_refused);
    RUN(only_certificates_of_known_types_are_accepted);
    RUN(the_certificate_has_the_type_of_the_method);
    RUN(the_key_has_the_type_of_the_certificate);
    RUN(points_must_be_on_the_curve);
    RUN(the_curve_must_be_that_of_the_type);
    RUN(points_must_be_uncompressed);
    RUN(short_rsa_keys_are_refused);
    RUN(sha1_is_refused);
    RUN(the_algorithm_must_be_the_one_that_signed);
    RUN(the_authority_must_have_signed);
    RUN(a_certificate_is_no_authority);
    RUN(each_changed_byte_and_each_truncation_is_refused);
    RUN(each_changed_bit_is_refused);
    free_keys();
    return 0;
}
