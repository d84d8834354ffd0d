/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Tests of the patches packet-lengths, payload-double-free,
 * truncated-messages, pseudo-key-exchange-methods and report-a-failed-rekey:
 * packets and messages of a hostile server. Without the patches, many of these
 * tests fail only with the address sanitizer.
 */
#include "pair.h"

#include <time.h>

/* ---- Packets that libssh2 would not send ------------------------------ */

/* Send a packet that claims a length of `length` and has `body` bytes, all of
 * them `fill`, encrypted with the cipher of that side. */
static void
forge(struct side *side, uint32_t length, size_t body, int fill)
{
    static unsigned char buffer[40000];
    LIBSSH2_SESSION *session = side->session;
    libssh2_endpoint_data *end = &session->local;
    int etm = end->mac->etm;
    int is_gcm = end->crypt->flags & LIBSSH2_CRYPT_FLAG_INTEGRATED_MAC;
    int is_chacha = end->crypt->flags
                    & LIBSSH2_CRYPT_FLAG_REQUIRES_FULL_PACKET;
    size_t n = 4 + body;

    memset(buffer, fill, sizeof(buffer));
    _libssh2_htonu32(buffer, length);
    if (is_chacha) {
        CHECK_EQ(end->crypt->crypt(session, end->seqno, buffer, n,
                                   &end->crypt_abstract, 0),
                 0);
        n += 16;
    }
    else {
        size_t skip = etm ? 4 : 0;

        if (!is_gcm && !etm) {
            end->mac->hash(session, buffer + n, end->seqno, buffer, n, NULL, 0,
                           &end->mac_abstract);
        }
        CHECK_EQ(_libssh2_crypt_part(
                     session, end->crypt, buffer + skip, buffer + skip,
                     n - skip + (is_gcm ? 16 : 0), &end->crypt_abstract,
                     FIRST_BLOCK | LAST_BLOCK),
                 0);
        if (etm) {
            end->mac->hash(session, buffer + n, end->seqno, buffer, n, NULL, 0,
                           &end->mac_abstract);
        }
        n += is_gcm ? 16 : (size_t)end->mac->mac_len;
    }
    end->seqno++;
    CHECK_EQ(session->send(0, buffer, n, 0, &session->abstract), n);
}

/* Check that such a packet is refused. */
static void
refused(const char *cipher, const char *mac, uint32_t length, size_t body,
        int fill)
{
    struct pair pair;
    int rc;

    pair_open_with(&pair, cipher, cipher, mac);
    forge(&pair.theirs, length, body, fill);
    rc = listen_to(&pair.ours);
    if (rc == LIBSSH2_ERROR_EAGAIN) { /* libssh2 waits for the rest */
        forge(&pair.theirs, length, 1024, fill);
        rc = listen_to(&pair.ours);
    }
    CHECK(rc < 0);
    CHECK(rc != LIBSSH2_ERROR_EAGAIN);
    CHECK(_libssh2_list_first(&pair.ours.session->packets) == NULL);
    pair_close(&pair);
}

#define CHACHA "chacha20-poly1305@openssh.com"
#define GCM "aes128-gcm@openssh.com"
#define MAC "hmac-sha2-256"
#define ETM "hmac-sha2-256-etm@openssh.com"

static void
lengths_with_chacha(void)
{
    static const uint32_t lengths[] = {
        0, 1,     2,          3,          4,          5,         7,
        9, 40001, 0x7fffffff, 0xffffffec, 0xfffffff0, 0xffffffff};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        uint32_t length = lengths[i];

        refused(CHACHA, MAC, length, length < 100 ? length : 1024, 4);
    }
}

static void
lengths_with_etm(void)
{
    static const uint32_t lengths[] = {1,  2,  3,  6,     8,         15,
                                       17, 31, 33, 40000, 0xffffffff};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        refused("aes128-ctr", ETM, lengths[i],
                lengths[i] < 100 ? lengths[i] : 1024, 4);
    }
}

static void
lengths_with_a_mac(void)
{
    static const uint32_t lengths[] = {0, 1, 5, 11, 13, 27, 29, 1000, 40000};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        uint32_t length = lengths[i];

        refused("aes128-ctr", MAC, length, length < 2000 ? length : 1024, 4);
        refused("aes128-cbc", MAC, length, 1020, 4);
    }
}

static void
lengths_with_gcm(void)
{
    static const uint32_t lengths[] = {0, 1, 3, 15, 17, 33, 1000, 40000};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        uint32_t length = lengths[i];

        refused(GCM, MAC, length, length < 2000 ? length : 1024, 4);
    }
}

static void
lengths_of_padding(void)
{
    refused("aes128-ctr", ETM, 32, 32, 250); /* more than the packet holds */
    refused("aes128-ctr", ETM, 32, 32, 31);  /* the whole packet */
    refused("aes128-ctr", MAC, 28, 28, 250);
    refused("aes128-ctr", MAC, 28, 28, 27);
    refused(GCM, MAC, 32, 32, 31);
    refused(CHACHA, MAC, 32, 32, 31);
    refused(CHACHA, MAC, 32, 32, 250);
}

/* ---- Forged packets, after which the session is freed ----------------- */

static void
flip_and_free(const char *cipher, const char *mac, size_t from_end)
{
    static struct message said;
    struct wire *wire;
    struct pair pair;

    pair_open_with(&pair, cipher, cipher, mac);
    said.n = 0;
    put_byte(&said, SSH_MSG_IGNORE);
    put_string(&said, (const char[100]){0}, 100);
    say(&pair.theirs, &said); /* a valid packet, which is freed */
    say(&pair.theirs, &said);
    wire = pair.ours.in;
    wire->data[wire->end - from_end] ^= 1;
    CHECK(listen_to(&pair.ours) != LIBSSH2_ERROR_EAGAIN);
    listen_to(&pair.ours);
    pair_close(&pair);
}

static void
a_forged_packet_is_freed_once(void)
{
    for (size_t from_end = 1; from_end < 120; from_end += 17) {
        flip_and_free("aes128-ctr", MAC, from_end);
        flip_and_free("aes128-ctr", ETM, from_end);
        flip_and_free(GCM, MAC, from_end);
        flip_and_free(CHACHA, MAC, from_end);
    }
}

/* ---- Truncated messages ----------------------------------------------- */

static void
truncated_ext_info_is_processed_at_once(void)
{
    static struct message said;
    struct pair pair;
    clock_t start = clock();

    pair_open(&pair, GCM, GCM);
    put_byte(&said, SSH_MSG_EXT_INFO);
    put_u32(&said, 0xffffffff);
    say(&pair.theirs, &said);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK((clock() - start) / CLOCKS_PER_SEC < 1);
    pair_close(&pair);
}

static size_t biggest;

static LIBSSH2_ALLOC_FUNC(note_alloc)
{
    (void)abstract;
    biggest = count > biggest ? count : biggest;
    return count < 1 << 20 ? malloc(count) : NULL;
}

static void
truncated_exit_signals_allocate_no_memory(void)
{
    static struct message said;
    LIBSSH2_CHANNEL *channel;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    channel = open_channel(&pair);
    put_byte(&said, SSH_MSG_CHANNEL_REQUEST);
    put_u32(&said, channel->local.id);
    put_text(&said, "exit-signal");
    put_byte(&said, 0);
    put_u32(&said, 0x7fffffff);
    pair.ours.session->alloc = note_alloc;
    say(&pair.theirs, &said);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK(biggest > 0);
    CHECK(biggest < 1 << 20);
    CHECK(channel->exit_signal == NULL);

    /* send two: the sanitizer reports whether the first name leaks */
    said.n -= 4;
    put_text(&said, "TERM");
    say(&pair.theirs, &said);
    say(&pair.theirs, &said);
    CHECK_EQ(listen_to(&pair.ours), LIBSSH2_ERROR_EAGAIN);
    CHECK(strcmp(channel->exit_signal, "TERM") == 0);
    pair_close(&pair);
}

static void
truncated_service_accept_is_refused(void)
{
    static struct message said;
    struct pair pair;

    pair_open(&pair, GCM, GCM);
    pair.ours.session->startup_state = libssh2_NB_state_sent4;
    put_byte(&said, SSH_MSG_SERVICE_ACCEPT);
    put_u32(&said, 12);
    say(&pair.theirs, &said);
    CHECK_EQ(libssh2_session_handshake(pair.ours.session, 0),
             LIBSSH2_ERROR_PROTO);
    pair_close(&pair);
}

/* ---- Key exchange ----------------------------------------------------- */

static void
a_pseudo_method_is_refused(void)
{
    static const char *const names[] = {"ext-info-c",
                                        "kex-strict-c-v00@openssh.com"};

    for (int preferred = 0; preferred < 2; preferred++) {
        for (size_t i = 0; i < 2; i++) {
            struct pair pair;
            int rc;

            pair_open_plain(&pair);
            if (preferred) {
                CHECK_EQ(libssh2_session_method_pref(pair.ours.session,
                                                     LIBSSH2_METHOD_KEX,
                                                     "curve25519-sha256"),
                         0);
            }
            say_kexinit(&pair, names[i], "aes128-ctr", MAC);
            do {
                rc = _libssh2_kex_exchange(
                    pair.ours.session, 0,
                    &pair.ours.session->startup_key_state);
            } while (rc == LIBSSH2_ERROR_EAGAIN
                     && pair.ours.in->start != pair.ours.in->end);
            CHECK(rc < 0);
            CHECK(rc != LIBSSH2_ERROR_EAGAIN);
            pair_close(&pair);
        }
    }
}

/* The whole exchange happens in one call, because all of it has arrived. */
static void
a_failed_rekey_is_reported(void)
{
    struct pair pair;
    int rc;

    pair_open(&pair, GCM, GCM);
    say_kexinit(&pair, "an-unknown-method", "aes128-ctr", MAC);
    rc = listen_to(&pair.ours);
    CHECK(rc < 0);
    CHECK(rc != LIBSSH2_ERROR_EAGAIN);
    pair_close(&pair);
}

int
main(void)
{
    libssh2_init(0);
    RUN(lengths_with_chacha);
    RUN(lengths_with_etm);
    RUN(lengths_with_a_mac);
    RUN(lengths_with_gcm);
    RUN(lengths_of_padding);
    RUN(a_forged_packet_is_freed_once);
    RUN(truncated_ext_info_is_processed_at_once);
    RUN(truncated_exit_signals_allocate_no_memory);
    RUN(truncated_service_accept_is_refused);
    RUN(a_pseudo_method_is_refused);
    RUN(a_failed_rekey_is_reported);
    return 0;
}
