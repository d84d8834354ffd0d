/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Patch userauth-by-messages: libssh2_key_public() and libssh2_key_sign(),
 * with keys that ssh-keygen and OpenSSL have made.
 */
#define _GNU_SOURCE /* posix_openpt() */
#include "pair.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSPHRASE "a long passphrase"

static char directory[] = "/tmp/libssh2-keys-XXXXXX";
static char text[20000]; /* the content of a key file */
static unsigned char blob[4000]; /* its public key */
static size_t blob_len;
static LIBSSH2_SESSION *session;

/* ---- Memory ----------------------------------------------------------- */

/* libssh2 loses blocks when a key is damaged.  Like sshgateway, free them with
 * the session; the address sanitizer still reports what OpenSSL loses. */
struct block {
    struct block *previous, *next;
    size_t size;
};

static struct block blocks = {&blocks, &blocks, 0};

static LIBSSH2_ALLOC_FUNC(alloc_listed)
{
    struct block *block = malloc(sizeof(*block) + count);

    (void)abstract;
    CHECK(block != NULL);
    block->size = count;
    block->previous = &blocks;
    block->next = blocks.next;
    block->next->previous = blocks.next = block;
    return block + 1;
}

static LIBSSH2_FREE_FUNC(free_listed)
{
    struct block *block;

    (void)abstract;
    if (ptr != NULL) {
        block = (struct block *)ptr - 1;
        block->previous->next = block->next;
        block->next->previous = block->previous;
        free(block);
    }
}

static LIBSSH2_REALLOC_FUNC(realloc_listed)
{
    void *copy = alloc_listed(count, abstract);

    if (ptr != NULL) {
        size_t size = ((struct block *)ptr - 1)->size;

        memcpy(copy, ptr, size < count ? size : count);
        free_listed(ptr, abstract);
    }
    return copy;
}

/* ---- Key files -------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void
shell(const char *format, ...)
{
    char command[1000];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    CHECK_EQ(system(command), 0);
}

static void
read_file(const char *name, char *to, size_t room)
{
    char path[100];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "r");
    CHECK(file != NULL);
    n = fread(to, 1, room - 1, file);
    CHECK(n < room - 1);
    to[n] = '\0';
    fclose(file);
}

/* Read the public key of key.pub into `blob`. */
static void
read_blob(void)
{
    static char line[8000];
    char *words, *end;
    int n;

    read_file("key.pub", line, sizeof(line));
    words = strchr(line, ' ');
    CHECK(words != NULL);
    end = words + 1 + strcspn(words + 1, " \n");
    *end = '\0';
    n = EVP_DecodeBlock(blob, (unsigned char *)words + 1,
                        (int)(end - words - 1));
    CHECK(n > 0);
    blob_len = (size_t)n - (end[-1] == '=') - (end[-2] == '=');
}

/* Make a key with ssh-keygen; `text` and `blob` are then its two halves. */
static void
make_key(const char *type, int bits, const char *format,
         const char *passphrase)
{
    shell("cd %s && rm -f key key.pub && ssh-keygen -q -a 1 -t %s -b %d -m %s"
          " -N '%s' -C comment -f key",
          directory, type, bits, format, passphrase);
    read_file("key", text, sizeof(text));
    read_blob();
}

/* Make an ed25519 key in PKCS8, which ssh-keygen writes in no format but
 * OpenSSH's. */
static void
make_ed25519_in_pkcs8(const char *passphrase)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_mem());
    size_t n = 32;
    int is_plain = *passphrase == '\0', len;

    CHECK(key != NULL);
    CHECK(bio != NULL);
    CHECK_EQ(PEM_write_bio_PKCS8PrivateKey(
                 bio, key, is_plain ? NULL : EVP_aes_128_cbc(),
                 is_plain ? NULL : passphrase, (int)strlen(passphrase), NULL,
                 NULL),
             1);
    len = BIO_read(bio, text, sizeof(text) - 1);
    CHECK(len > 0);
    text[len] = '\0';
    _libssh2_htonu32(blob, 11);
    memcpy(blob + 4, "ssh-ed25519", 11);
    _libssh2_htonu32(blob + 15, 32);
    CHECK_EQ(EVP_PKEY_get_raw_public_key(key, blob + 19, &n), 1);
    blob_len = 19 + n;
    BIO_free(bio);
    EVP_PKEY_free(key);
}

/* ---- The functions ---------------------------------------------------- */

/* Check that libssh2 computes `blob` from `text`; returns its result. */
static int
read_public(const char *passphrase)
{
    unsigned char *seen = (unsigned char *)"not set";
    size_t n = 0;
    int rc = libssh2_key_public(session, text, strlen(text), passphrase, &seen,
                                &n);

    if (rc != 0) {
        CHECK(seen == NULL);
        CHECK(rc != LIBSSH2_ERROR_EAGAIN);
        return rc;
    }
    CHECK_EQ(n, blob_len);
    CHECK(memcmp(seen, blob, n) == 0);
    libssh2_free(session, seen);
    return 0;
}

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

/* Check a signature of `data` by the key whose public half is `blob`. */
static int
verifies(const char *algorithm, const unsigned char *signature,
         size_t signature_len, const unsigned char *data, size_t n)
{
    static struct message named;
    const LIBSSH2_HOSTKEY_METHOD *method = find_method(algorithm);
    void *abstract = NULL;
    int rc;

    named.n = 0;
    put_text(&named, algorithm);
    put_string(&named, (const char *)signature, signature_len);
    CHECK_EQ(method->init(session, blob, blob_len, &abstract), 0);
    rc = method->sig_verify(session, named.data, named.n, data, n, &abstract);
    method->dtor(session, &abstract);
    return rc == 0;
}

/* Sign data of several lengths, and check the signatures; returns the result
 * of the first failure. */
static int
sign(const char *algorithm, const char *passphrase)
{
    static const size_t lengths[] = {0, 1, 100, 32700};
    static unsigned char data[32700];

    memset(data, 'x', sizeof(data));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        unsigned char *signature = NULL;
        size_t signature_len = 0, n = lengths[i];
        int rc = libssh2_key_sign(session, algorithm, text, strlen(text),
                                  passphrase, data, n, &signature,
                                  &signature_len);

        if (rc != 0) {
            CHECK(signature == NULL);
            CHECK(rc != LIBSSH2_ERROR_EAGAIN);
            return rc;
        }
        CHECK(verifies(algorithm, signature, signature_len, data, n));
        CHECK(!verifies(algorithm, signature, signature_len,
                        (const unsigned char *)"other", 5));
        libssh2_free(session, signature);
    }
    return 0;
}

/* The key of `text`, with `passphrase` or without one, works, and no other
 * passphrase does. */
static void
check_key(const char *algorithm, const char *passphrase)
{
    static const char *const wrong[] = {NULL, "", "x", PASSPHRASE " "};
    int is_encrypted = *passphrase != '\0';

    CHECK_EQ(read_public(passphrase), 0);
    CHECK_EQ(sign(algorithm, passphrase), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        CHECK_EQ(read_public(wrong[i]) != 0, is_encrypted);
        CHECK_EQ(sign(algorithm, wrong[i]) != 0, is_encrypted);
    }
    CHECK_EQ(read_public(passphrase), 0);
}

/* ---- Keys that work --------------------------------------------------- */

#define PLAIN ""

static void
keys_in_every_format(void)
{
    static const char *const formats[] = {"RFC4716", "PEM", "PKCS8"};
    static const char *const passphrases[] = {PLAIN, PASSPHRASE};
    static const struct {
        const char *type;
        int bits;
        const char *algorithm;
    } keys[] = {
        {"rsa", 2048, "rsa-sha2-256"},
        {"rsa", 1024, "rsa-sha2-512"},
        {"ecdsa", 256, "ecdsa-sha2-nistp256"},
        {"ecdsa", 384, "ecdsa-sha2-nistp384"},
        {"ecdsa", 521, "ecdsa-sha2-nistp521"},
        {"ed25519", 256, "ssh-ed25519"}, /* always in OpenSSH's format */
    };

    /* ssh-keygen's "RFC4716" is OpenSSH's own format. */
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        for (size_t k = 0; k < 6; k++) {
            make_key(keys[i].type, keys[i].bits, formats[k / 2],
                     passphrases[k % 2]);
            check_key(keys[i].algorithm, passphrases[k % 2]);
        }
    }
    for (size_t k = 0; k < 2; k++) {
        make_ed25519_in_pkcs8(passphrases[k]);
        check_key("ssh-ed25519", passphrases[k]);
    }
}

static void
rsa_signs_by_the_named_algorithm(void)
{
    make_key("rsa", 2048, "PEM", PLAIN);
    CHECK_EQ(sign("rsa-sha2-256", NULL), 0);
    CHECK_EQ(sign("rsa-sha2-512", NULL), 0);
    CHECK_EQ(sign("ssh-rsa", NULL), 0);
    CHECK(sign("ssh-ed25519", NULL) != 0);
    CHECK(sign("ecdsa-sha2-nistp256", NULL) != 0);
    CHECK_EQ(sign("no-such-algorithm", NULL), LIBSSH2_ERROR_METHOD_NONE);
    CHECK_EQ(sign("", NULL), LIBSSH2_ERROR_METHOD_NONE);
}

/* ---- Keys that do not ------------------------------------------------- */

/* Damage `text` in many places; libssh2 may read the key or not. */
static void
damage(const char *algorithm, const char *passphrase)
{
    static char whole[sizeof(text)];
    size_t length = strlen(text);

    memcpy(whole, text, length + 1);
    for (size_t at = 0; at < length; at += 1 + length / 50) {
        unsigned char *made = NULL;
        size_t n;

        for (int how = 0; how < 2; how++) {
            memcpy(text, whole, length + 1);
            text[at] = how == 0 ? '\0' : text[at] == 'A' ? 'B' : 'A';
            if (libssh2_key_public(session, text, strlen(text), passphrase,
                                   &made, &n)
                == 0) {
                libssh2_free(session, made);
            }
            made = NULL;
            if (libssh2_key_sign(session, algorithm, text, strlen(text),
                                 passphrase, blob, blob_len, &made, &n)
                == 0) {
                libssh2_free(session, made);
            }
        }
    }
    memcpy(text, whole, length + 1);
}

/* The sanitizers report what is wrong. */
static void
damaged_keys_do_no_harm(void)
{
    static const char *const formats[] = {"RFC4716", "PEM", "PKCS8"};

    for (size_t i = 0; i < 3; i++) {
        make_key("rsa", 1024, formats[i], PLAIN);
        damage("rsa-sha2-256", NULL);
        make_key("ecdsa", 256, formats[i], PLAIN);
        damage("ecdsa-sha2-nistp256", NULL);
    }
    make_key("ed25519", 256, "RFC4716", PLAIN);
    damage("ssh-ed25519", NULL);
    make_key("ecdsa", 256, "PEM", PASSPHRASE);
    damage("ecdsa-sha2-nistp256", PASSPHRASE);
}

static void
what_is_no_key_is_refused(void)
{
    static const char *const texts[] = {
        "", "\n", "ssh-ed25519 AAAA", "-----BEGIN",
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n"
        "-----END OPENSSH PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"
        "-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        strcpy(text, texts[i]);
        CHECK(read_public(NULL) != 0);
        CHECK(read_public(PASSPHRASE) != 0);
        CHECK(sign("rsa-sha2-256", NULL) != 0);
        CHECK(sign("ssh-ed25519", PASSPHRASE) != 0);
    }
}

/* ---- The terminal ----------------------------------------------------- */

/* Use an encrypted key without a passphrase in a process whose terminal is
 * `name`.  Returns in the parent. */
static pid_t
use_at_terminal(const char *name)
{
    pid_t pid = fork();
    int fd;

    CHECK(pid >= 0);
    if (pid != 0) {
        return pid;
    }
    alarm(60);
    setsid();
    fd = open(name, O_RDWR); /* becomes /dev/tty */
    CHECK(fd >= 0);
    ioctl(fd, TIOCSCTTY, 0);
    CHECK(read_public(NULL) != 0);
    CHECK(sign("rsa-sha2-256", NULL) != 0);
    _exit(write(fd, "done", 4) != 4);
}

/* OpenSSL would write "Enter PEM pass phrase:" there and wait. */
static void
a_missing_passphrase_is_not_asked_for_at_the_terminal(void)
{
    static const char *const formats[] = {"RFC4716", "PEM", "PKCS8"};

    for (size_t i = 0; i < 3; i++) {
        int fd = posix_openpt(O_RDWR | O_NOCTTY), status;
        char seen[100] = "";
        pid_t pid;

        make_key("rsa", 1024, formats[i], PASSPHRASE);
        CHECK(fd >= 0);
        CHECK_EQ(grantpt(fd), 0);
        CHECK_EQ(unlockpt(fd), 0);
        pid = use_at_terminal(ptsname(fd));
        CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 60000),
                 1);
        CHECK(read(fd, seen, sizeof(seen) - 1) > 0);
        if (strcmp(seen, "done") != 0) {
            kill(pid, SIGKILL);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(strcmp(seen, "done") == 0);
        CHECK_EQ(status, 0);
        close(fd);
    }
}

int
main(void)
{
    libssh2_init(0);
    CHECK(mkdtemp(directory) != NULL);
    session = libssh2_session_init_ex(alloc_listed, free_listed,
                                      realloc_listed, NULL);
    CHECK(session != NULL);
    RUN(keys_in_every_format);
    RUN(rsa_signs_by_the_named_algorithm);
    RUN(damaged_keys_do_no_harm);
    RUN(what_is_no_key_is_refused);
    RUN(a_missing_passphrase_is_not_asked_for_at_the_terminal);
    CHECK_EQ(libssh2_session_free(session), 0);
    while (blocks.next != &blocks) {
        free_listed(blocks.next + 1, NULL);
    }
    shell("rm -r %s", directory);
    return 0;
}
