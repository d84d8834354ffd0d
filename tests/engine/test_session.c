/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Sessions, authentication and channels (session.c, auth.c, channel.c), with
 * a real sshd; and handshakes with peers that are none.
 */
#include "session.h"

#include <openssl/evp.h>
#include <stdatomic.h>

#include "channels.h"

#define MANY 100
#define FEW 4

/* ---- Handshake -------------------------------------------------------- */

/* A session with something that is no server. */
struct stranger {
    struct sg_session *session;
    int peer;
};

static struct stranger
meet(void)
{
    struct stranger stranger;
    int pair[2];

    CHECK_EQ(sg_sys_socketpair(pair), 0);
    stranger.session = session_on(pair[0]);
    stranger.peer = pair[1];
    return stranger;
}

static void
part(struct stranger *stranger)
{
    sg_session_free(stranger->session);
    sg_sys_close(&stranger->peer);
}

static void
expect_handshake(struct stranger *stranger, struct sg_wait wait,
                 enum sg_status status)
{
    struct sg_error error = {.status = SG_OK};

    CHECK_EQ(sg_session_handshake(stranger->session, NULL, &wait, &error),
             status);
    CHECK_EQ(error.status, status);
}

static void
handshake_with_silence(void)
{
    struct stranger stranger = meet();
    int64_t start = sg_sys_now();

    expect_handshake(&stranger, wait_at_most(100 * SG_MSEC), SG_ERR_TIMEOUT);
    CHECK_GE(sg_sys_now() - start, 100 * SG_MSEC);
    CHECK_LE(sg_sys_now() - start, 2 * SG_SEC);
    part(&stranger);
}

static void
handshake_with_garbage(void)
{
    static char garbage[30000];
    struct random random = {1};

    for (int n = 0; n < 50; n++) {
        struct stranger stranger = meet();
        struct sg_error error = {.status = SG_OK};
        struct sg_wait wait = wait_at_most(PATIENCE * SG_SEC);
        enum sg_status status;

        for (size_t i = 0; i < sizeof(garbage); i++) {
            garbage[i] = (char)random_next(&random);
        }
        if (n % 2 == 0) {
            say(stranger.peer, "SSH-2.0-x\r\n", 11);
        }
        say(stranger.peer, garbage, random_below(&random, sizeof(garbage)));
        CHECK_EQ(shutdown(stranger.peer, SHUT_WR), 0);
        status = sg_session_handshake(stranger.session, NULL, &wait, &error);
        CHECK(status == SG_ERR_SSH || status == SG_ERR_LOST);
        part(&stranger);
    }
}

static void
handshake_with_one_who_leaves(void)
{
    static const char *const words[] = {
        "",          "SSH-",          "SSH-2.0-x",
        "hello\r\n", "SSH-2.0-x\r\n", "SSH-1.5-x\r\n"};

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        struct stranger stranger = meet();
        struct sg_error error = {.status = SG_OK};
        struct sg_wait wait = wait_at_most(PATIENCE * SG_SEC);
        enum sg_status status;

        say(stranger.peer, words[i], strlen(words[i]));
        sg_sys_close(&stranger.peer);
        status = sg_session_handshake(stranger.session, NULL, &wait, &error);
        if (status != SG_ERR_LOST && status != SG_ERR_SSH) {
            test_fail(__FILE__, __LINE__, "%d after \"%s\"", status, words[i]);
        }
        CHECK(error.text[0] != '\0' || error.err != 0);
        part(&stranger);
    }
}

static void *
talk(void *arg)
{
    static const char text[] = "good morning to you\r\n";
    int fd = *(int *)arg;

    while (write(fd, text, sizeof(text) - 1) > 0) {
    }
    return NULL;
}

static void
handshake_with_one_who_talks(void)
{
    struct stranger stranger = meet();
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, talk, &stranger.peer), 0);
    expect_handshake(&stranger, wait_at_most(100 * SG_MSEC), SG_ERR_TIMEOUT);
    sg_session_free(stranger.session);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    sg_sys_close(&stranger.peer);
}

static atomic_int interruptions;

static int
count_interruptions(void *patience)
{
    return ++interruptions > *(int *)patience ? -1 : 0;
}

static void
ignore(int signal_number)
{
    (void)signal_number;
}

static void *
keep_signalling(void *arg)
{
    int patience = 3;

    while (interruptions <= patience) {
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
        poll(NULL, 0, 10);
    }
    return NULL;
}

static void
handshake_is_interrupted(void)
{
    struct stranger stranger = meet();
    struct sigaction action = {.sa_handler = ignore};
    int patience = 3;
    struct sg_wait wait = {.deadline = SG_NEVER,
                           .interrupt = count_interruptions,
                           .arg = &patience};
    pthread_t self = pthread_self(), thread;

    interruptions = 0;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, keep_signalling, &self), 0);
    expect_handshake(&stranger, wait, SG_ERR_INTERRUPTED);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    part(&stranger);
}

/* ---- Authentication --------------------------------------------------- */

static void
login_with_a_key(void)
{
    struct sshd sshd = sshd_start("");
    struct sg_session *session = session_on(sshd.fd);
    struct sg_error error = {.status = SG_OK};
    size_t n;

    shake_hands(session);
    CHECK(sg_session_host_key(session, &n) != NULL);
    CHECK_EQ(n, 4 + 11 + 4 + 32);
    CHECK_TEXT(sg_session_method(session, SG_METHOD_HOST_KEY), "ssh-ed25519");
    CHECK_EQ(strncmp(sg_session_method(session, SG_METHOD_BANNER),
                     "SSH-2.0-OpenSSH", 15),
             0);
    CHECK(!sg_auth_is_done(session));
    CHECK_OK(log_in(session, "user", &error), error);
    CHECK(sg_auth_is_done(session));
    sg_session_free(session);
    sshd_join(&sshd);
}

static void
refused_key_and_then_the_right_one(void)
{
    struct sshd sshd = sshd_start("");
    struct sg_session *session = session_on(sshd.fd);
    struct sg_error error = {.status = SG_OK}, refusal = {.status = SG_OK};
    struct sg_wait wait = patiently();
    const char *methods;

    shake_hands(session);
    CHECK_OK(sg_auth_none(session, user_name(), &methods, &wait, &error),
             error);
    CHECK_TEXT(methods, "publickey");
    CHECK_EQ(log_in(session, "stranger", &refusal), SG_ERR_REFUSED);
    CHECK(refusal.text[0] != '\0');
    refusal = (struct sg_error){.status = SG_OK};
    CHECK_EQ(sg_auth_password(session, user_name(), "x", 1, &wait, &refusal),
             SG_ERR_REFUSED);
    refusal = (struct sg_error){.status = SG_OK};
    CHECK_EQ(sg_auth_key(session, user_name(), "nonsense", 8, NULL, &wait,
                         &refusal),
             SG_ERR_REFUSED);
    CHECK(!sg_auth_is_done(session));
    CHECK_OK(log_in(session, "user", &error), error);
    sg_session_free(session);
    sshd_join(&sshd);
}

static void
server_that_has_had_enough(void)
{
    struct sshd sshd = sshd_start("MaxAuthTries 2");
    struct sg_session *session = session_on(sshd.fd);
    enum sg_status status = SG_ERR_REFUSED;
    struct sg_error error = {.status = SG_OK};

    shake_hands(session);
    for (int i = 0; i < 5 && status == SG_ERR_REFUSED; i++) {
        error = (struct sg_error){.status = SG_OK};
        status = log_in(session, "stranger", &error);
    }
    CHECK_EQ(status, SG_ERR_LOST);
    CHECK(strstr(error.text, "Too many") != NULL);
    CHECK_EQ(error.code, 2); /* SSH_DISCONNECT_PROTOCOL_ERROR */
    sg_session_free(session);
    sshd_join(&sshd);
}

/* The bytes of the base64 in a key file: the second word of a public one,
 * what is between the dashes of a private one.  For free(). */
static unsigned char *
decode(const char *name, size_t *n)
{
    size_t length, used = 0;
    char *text = sshd_file(name, &length), *from, *end;
    unsigned char *data = calloc(1, length + 4);
    int got;

    CHECK(data != NULL);
    if (text[0] == '-') {
        from = strchr(text, '\n') + 1;
        end = strstr(from, "-----END");
    }
    else {
        from = strchr(text, ' ') + 1;
        end = from + strcspn(from, " \n");
    }
    CHECK(end != NULL);
    for (char *c = from; c < end; c++) {
        if (*c != '\n') {
            text[used++] = *c;
        }
    }
    got = EVP_DecodeBlock(data, (unsigned char *)text, (int)used);
    CHECK_GE(got, 1);
    *n = (size_t)got - (text[used - 1] == '=') - (text[used - 2] == '=');
    free(text);
    return data;
}

/* Both halves of an ed25519 key are the only string of 64 bytes there. */
static int
sign(void *arg, const char *algorithm, const unsigned char *data, size_t n,
     unsigned char **signature, size_t *signature_len)
{
    static const unsigned char head[4] = {0, 0, 0, 64};
    size_t length;
    unsigned char *key = decode("user", &length);
    unsigned char *seed = memmem(key, length, head, sizeof(head));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY *private;

    CHECK_TEXT(algorithm, "ssh-ed25519");
    CHECK(seed != NULL);
    CHECK(context != NULL);
    private = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed + 4,
                                           32);
    CHECK(private != NULL);
    *signature_len = 64;
    *signature = malloc(*signature_len);
    CHECK_EQ(EVP_DigestSignInit(context, NULL, NULL, NULL, private), 1);
    CHECK_EQ(EVP_DigestSign(context, *signature, signature_len, data, n), 1);
    EVP_PKEY_free(private);
    EVP_MD_CTX_free(context);
    free(key);
    ++*(int *)arg;
    return 0;
}

static int
sign_nothing(void *arg, const char *algorithm, const unsigned char *data,
             size_t n, unsigned char **signature, size_t *signature_len)
{
    (void)algorithm;
    (void)data;
    (void)n;
    (void)signature;
    (void)signature_len;
    ++*(int *)arg;
    return -1;
}

static void
login_with_a_signer(void)
{
    struct sshd sshd = sshd_start("");
    struct sg_session *session = session_on(sshd.fd);
    int signed_ones = 0;
    struct sg_signer signer = {.sign = sign_nothing, .arg = &signed_ones};
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = patiently();
    size_t n, m;
    unsigned char *blob = decode("user.pub", &n);
    unsigned char *stranger = decode("stranger.pub", &m);

    shake_hands(session);
    CHECK_EQ(
        sg_auth_signer(session, user_name(), blob, n, &signer, &wait, &error),
        SG_ERR_REFUSED);
    CHECK_EQ(signed_ones, 1);
    error = (struct sg_error){.status = SG_OK};
    signer.sign = sign;
    CHECK_EQ(sg_auth_signer(session, user_name(), stranger, m, &signer, &wait,
                            &error),
             SG_ERR_REFUSED);
    CHECK_EQ(signed_ones, 1); /* not asked for what would be refused */
    error = (struct sg_error){.status = SG_OK};
    CHECK_OK(
        sg_auth_signer(session, user_name(), blob, n, &signer, &wait, &error),
        error);
    CHECK_EQ(signed_ones, 2);
    CHECK(sg_auth_is_done(session));
    free(blob);
    free(stranger);
    sg_session_free(session);
    sshd_join(&sshd);
}

/* ---- There and back --------------------------------------------------- */

static void
echo(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    int server;
    struct channel channel = channel_open(&gateway, &listener, &server);

    for (size_t i = 0; i < 100; i++) {
        ping(channel.stream, server, i);
        ping(server, channel.stream, i);
    }
    channel_close(&channel);
    expect_end(server);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

static void
half_close_leaves_the_other_way(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    int server;
    struct channel channel = channel_open(&gateway, &listener, &server);

    CHECK_EQ(shutdown(channel.stream, SHUT_WR), 0);
    expect_end(server);
    ping(server, channel.stream, 1);
    close(server);
    expect_end(channel.stream);
    CHECK_EQ(failure_of(channel.report), 0);
    channel_close(&channel);

    channel = channel_open(&gateway, &listener, &server);
    CHECK_EQ(shutdown(server, SHUT_WR), 0);
    expect_end(channel.stream);
    ping(channel.stream, server, 2);
    channel_close(&channel);
    expect_end(server);
    close(server);

    channel = channel_open(&gateway, &listener, &server);
    close(server);
    expect_end(channel.stream);
    channel_close(&channel);
    close(listener.fd);
    gateway_close(&gateway);
}

/* One end of a stream that sends and hears pseudo-random numbers. */
struct trader {
    int fd;
    size_t sent, heard;
    struct random mine, theirs;
};

static void
numbers(char *to, size_t n, struct random *random)
{
    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        uint64_t next = random_next(random);

        memcpy(to + i, &next, sizeof(next));
    }
}

/* `pending`: what is made but not yet sent, and of what is expected what
 * has not come. */
struct pending {
    char out[16384], in[16384];
    size_t out_start, in_start;
};

/* `n` bytes both ways between each pair (2i, 2i+1) of traders. */
static void
trade(struct trader *traders, size_t count, size_t n)
{
    static struct pending pending[2 * FEW];
    static char heard[16384];
    struct pollfd fds[2 * FEW];
    size_t done = 0;

    for (size_t i = 0; i < count; i++) {
        traders[i].sent = traders[i].heard = 0;
        traders[i].mine.state = 2 * i + 1;
        traders[i].theirs.state = 2 * (i ^ 1) + 1;
        pending[i].out_start = pending[i].in_start = sizeof(pending[i].out);
        fds[i].fd = traders[i].fd;
        CHECK_EQ(sg_sys_set_blocking(traders[i].fd, false), 0);
    }
    while (done < count) {
        for (size_t i = 0; i < count; i++) {
            fds[i].events = (short)((traders[i].heard < n ? POLLIN : 0)
                                    | (traders[i].sent < n ? POLLOUT : 0));
        }
        if (poll(fds, (nfds_t)count, 2 * PATIENCE * 1000) == 0) {
            for (size_t i = 0; i < count; i++) {
                dprintf(messages_fd, "%zu: %zu sent, %zu heard\n", i,
                        traders[i].sent, traders[i].heard);
            }
            test_fail(__FILE__, __LINE__, "it stalls");
        }
        done = 0;
        for (size_t i = 0; i < count; i++) {
            struct trader *trader = &traders[i];
            struct pending *mine = &pending[i];
            ssize_t m;

            if (fds[i].events & fds[i].revents & POLLOUT) {
                if (mine->out_start == sizeof(mine->out)) {
                    numbers(mine->out, sizeof(mine->out), &trader->mine);
                    mine->out_start = 0;
                }
                m = write(trader->fd, mine->out + mine->out_start,
                          sizeof(mine->out) - mine->out_start);
                CHECK(m > 0 || errno == EAGAIN);
                mine->out_start += m > 0 ? (size_t)m : 0;
                trader->sent += m > 0 ? (size_t)m : 0;
            }
            if (fds[i].events & fds[i].revents & (POLLIN | POLLHUP)) {
                if (mine->in_start == sizeof(mine->in)) {
                    numbers(mine->in, sizeof(mine->in), &trader->theirs);
                    mine->in_start = 0;
                }
                m = read(trader->fd, heard, sizeof(mine->in) - mine->in_start);
                CHECK_GE(m, 1);
                CHECK_EQ(memcmp(heard, mine->in + mine->in_start, (size_t)m),
                         0);
                mine->in_start += (size_t)m;
                trader->heard += (size_t)m;
            }
            done += trader->sent >= n && trader->heard >= n;
        }
    }
}

static void
trade_with(const char *options, size_t channels, size_t n)
{
    struct gateway gateway = gateway_open(options);
    struct listener listener = listen_here(FEW);
    struct channel channel[FEW];
    struct trader traders[2 * FEW];

    for (size_t i = 0; i < channels; i++) {
        channel[i] = channel_open(&gateway, &listener, &traders[2 * i + 1].fd);
        traders[2 * i].fd = channel[i].stream;
    }
    trade(traders, 2 * channels, under_valgrind() ? n / 10 : n);
    for (size_t i = 0; i < channels; i++) {
        channel_close(&channel[i]);
        expect_end(traders[2 * i + 1].fd);
        close(traders[2 * i + 1].fd);
    }
    CHECK_EQ(failure_of(gateway.report), 0);
    close(listener.fd);
    gateway_close(&gateway);
}

static void
big_transfers_both_ways_at_once(void)
{
    trade_with("", FEW, 20 * MB);
}

/* In a process of its own, for libssh2 1.10 forgets to free the host key (51
 * bytes) that came with the exchange before. */
static void
keys_are_exchanged_anew_meanwhile(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        alarm(CASE_LIMIT);
        trade_with("RekeyLimit 1M", 1, 20 * MB);
        trade_with("RekeyLimit 1M", FEW, 5 * MB);
        leave_process();
    }
    join_process(pid);
}

static void
many_at_once(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(MANY);
    struct channel channels[MANY];
    int servers[MANY];

    for (size_t i = 0; i < MANY; i++) {
        channels[i] = channel_ask(&gateway, listener.port, LONG_LINGER);
    }
    for (size_t i = 0; i < MANY; i++) { /* in the order of the line */
        channel_wait_open(&channels[i]);
        servers[i] = accept_one(&listener);
    }
    for (size_t i = 0; i < MANY; i++) {
        ping(channels[i].stream, servers[i], i);
        ping(servers[i], channels[i].stream, 1000 + i);
    }
    for (size_t i = 0; i < MANY; i++) {
        if (i % 2 == 0) {
            channel_close(&channels[i]);
            expect_end(servers[i]);
            close(servers[i]);
        }
    }
    for (size_t i = 1; i < MANY; i += 2) {
        ping(channels[i].stream, servers[i], i);
        close(servers[i]);
        expect_end(channels[i].stream);
        channel_close(&channels[i]);
    }
    close(listener.fd);
    gateway_close(&gateway);
}

#define SENDERS 12

/* Twelve that always have something to send get about as much through, when
 * the connection is what holds them up. */
static void
who_sends_much_takes_turns(void)
{
    static char block[65536];
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(SENDERS);
    struct channel channels[SENDERS];
    struct pollfd fds[2 * SENDERS];
    size_t heard[SENDERS] = {0}, total = 0, least = SIZE_MAX, most = 0;
    const int small = 1;

    CHECK_EQ(setsockopt(gateway.sshd.fd, SOL_SOCKET, SO_SNDBUF, &small,
                        sizeof(small)),
             0);
    for (size_t i = 0; i < SENDERS; i++) {
        fds[i].events = POLLOUT;
        fds[SENDERS + i].events = POLLIN;
        channels[i] = channel_open(&gateway, &listener, &fds[SENDERS + i].fd);
        fds[i].fd = channels[i].stream;
        CHECK_EQ(sg_sys_set_blocking(fds[i].fd, false), 0);
    }
    while (total < (under_valgrind() ? 2 : 4) * SENDERS * MB) {
        CHECK_GE(poll(fds, COUNT_OF(fds), 2 * PATIENCE * 1000), 1);
        for (size_t i = 0; i < SENDERS; i++) {
            if (fds[i].revents & POLLOUT) {
                CHECK(write(fds[i].fd, block, sizeof(block)) > 0
                      || errno == EAGAIN);
            }
            if (fds[SENDERS + i].revents & POLLIN) {
                ssize_t n = read(fds[SENDERS + i].fd, block, sizeof(block));

                CHECK_GE(n, 1);
                heard[i] += (size_t)n;
                total += (size_t)n;
            }
        }
    }
    for (size_t i = 0; i < SENDERS; i++) {
        least = heard[i] < least ? heard[i] : least;
        most = heard[i] > most ? heard[i] : most;
        channel_close(&channels[i]);
        CHECK_EQ(sg_sys_set_blocking(fds[SENDERS + i].fd, true), 0);
        while (read(fds[SENDERS + i].fd, block, sizeof(block)) > 0) {
        }
        close(fds[SENDERS + i].fd);
    }
    CHECK_LE(most, 2 * least);
    close(listener.fd);
    gateway_close(&gateway);
}

static void
stalled_reader_stalls_nobody_else(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    int servers[2];
    struct channel channels[2];
    size_t n;

    channels[0] = channel_open(&gateway, &listener, &servers[0]);
    channels[1] = channel_open(&gateway, &listener, &servers[1]);
    n = fill_up(servers[0], 200);
    CHECK_GE(n, WINDOW / 2);
    CHECK_LE(n, 64 * MB);
    for (size_t i = 0; i < 20; i++) {
        ping(channels[1].stream, servers[1], i);
        ping(servers[1], channels[1].stream, i);
    }
    expect_quiet();
    /* Nor does the other way. */
    ping(channels[0].stream, servers[0], 1);
    close(servers[0]);
    ping(channels[1].stream, servers[1], 1);
    expect_pattern(channels[0].stream, n);
    CHECK_EQ(failure_of(channels[0].report), 0);

    channel_close(&channels[0]);
    channels[0] = channel_open(&gateway, &listener, &servers[0]);
    n = fill_up(channels[0].stream, 200);
    CHECK_GE(n, WINDOW / 2);
    ping(channels[1].stream, servers[1], 1);
    expect_quiet();
    CHECK_EQ(shutdown(channels[0].stream, SHUT_WR), 0);
    expect_pattern(servers[0], n);
    for (size_t i = 0; i < 2; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    close(listener.fd);
    gateway_close(&gateway);
}

static void
idle_session_costs_nothing(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    struct channel channel;
    int server;

    poll(NULL, 0, 50);
    expect_quiet();
    channel = channel_open(&gateway, &listener, &server);
    ping(channel.stream, server, 1);
    expect_quiet();
    CHECK_EQ(shutdown(channel.stream, SHUT_WR), 0);
    expect_end(server);
    expect_quiet();
    channel_close(&channel);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

/* sshd asks whether we live, and goes when it gets no answer: neither from a
 * session without channels, nor from one whose only channel has been closed
 * there and is not yet read to its end here. */
static void
session_answers_the_server(void)
{
    static const char options[] =
        "ClientAliveInterval 1\nClientAliveCountMax 1";
    static char data[MB];
    struct gateway idle = gateway_open(options);
    struct gateway gateway = gateway_open(options);
    struct listener listener = listen_here(FEW);
    int server;
    struct channel channel = channel_open(&gateway, &listener, &server);

    pattern_fill(0, data, sizeof(data));
    CHECK_EQ(shutdown(channel.stream, SHUT_WR), 0);
    expect_end(server);
    say(server, data, sizeof(data));
    close(server);
    poll(NULL, 0, 6500); /* by 5 s sshd would have lost patience */
    CHECK_EQ(failure_of(gateway.report), 0);
    expect_pattern(channel.stream, sizeof(data));
    channel_close(&channel);
    channel = channel_open(&gateway, &listener, &server);
    ping(channel.stream, server, 1);
    channel_close(&channel);
    close(server);

    CHECK_EQ(failure_of(idle.report), 0);
    channel = channel_open(&idle, &listener, &server);
    ping(channel.stream, server, 1);
    channel_close(&channel);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
    gateway_close(&idle);
}

/* ---- Opens that come to nothing --------------------------------------- */

static void
refuse(const char *options, unsigned port, int code)
{
    struct gateway gateway = gateway_open(options);

    for (int i = 0; i < 3; i++) {
        struct sg_error error = {.status = SG_OK};
        struct channel channel = channel_ask(&gateway, port, LONG_LINGER);

        CHECK_EQ(channel_wait(&channel, &error), SG_ERR_OPEN_FAILURE);
        CHECK_EQ(error.code, code);
        CHECK(error.text[0] != '\0');
        channel_close(&channel);
    }
    CHECK_EQ(failure_of(gateway.report), 0);
    gateway_close(&gateway);
}

static void
refused_channel_tells_why(void)
{
    struct listener listener = listen_here(FEW);

    close(listener.fd); /* and nobody listens there any more */
    refuse("", listener.port, 2);
    refuse("PermitOpen none", listener.port, 1);
}

/* A server whose backlog is full: to connect to it takes until somebody
 * accepts.  (Linux takes one more than the backlog.) */
static struct listener
listen_busily(int fillers[2])
{
    struct listener listener = listen_here(0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)listener.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    for (int i = 0; i < 2; i++) {
        fillers[i] = socket(AF_INET,
                            SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK_GE(fillers[i], 0);
        if (connect(fillers[i], (struct sockaddr *)&address, sizeof(address))
            < 0) {
            CHECK_EQ(errno, EINPROGRESS);
        }
    }
    poll(NULL, 0, 20);
    return listener;
}

static void
nobody_waits_for_the_open(void)
{
    struct gateway gateway = gateway_open("");
    int fillers[2], server;
    struct listener busy = listen_busily(fillers);
    struct listener listener = listen_here(FEW);
    struct channel first = channel_ask(&gateway, busy.port, LONG_LINGER);
    struct channel second = channel_ask(&gateway, busy.port, LONG_LINGER);
    struct channel third = channel_ask(&gateway, listener.port, LONG_LINGER);
    struct sg_error error = {.status = SG_OK};

    CHECK_EQ(sg_request_wait(first.request, sg_deadline_after(50 * SG_MSEC),
                             never_interrupt, NULL, &error),
             SG_ERR_TIMEOUT);
    channel_close(&first);  /* is being opened: is finished, then closed */
    channel_close(&second); /* waits in line: never begins */
    for (int i = 0; i < 2; i++) {
        close(fillers[i]);
    }
    close(accept_one(&busy));
    channel_wait_open(&third);
    server = accept_one(&listener);
    ping(third.stream, server, 3);
    ping(server, third.stream, 3);
    channel_close(&third);
    expect_end(server);
    close(server);
    /* Who is still in the first one's line is the first, or a filler. */
    for (;;) {
        struct pollfd pollfd = {.fd = busy.fd, .events = POLLIN};

        if (poll(&pollfd, 1, 100) != 1) {
            break;
        }
        server = accept_one(&busy);
        expect_end(server);
        close(server);
    }
    close(busy.fd);
    close(listener.fd);
    gateway_close(&gateway);
}

/* Callers that leave at once, at every moment of an open. */
static void
callers_leave_at_any_moment(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(MANY);
    struct random random = {7};
    struct channel channel;
    int server;

    for (int i = 0; i < 3 * MANY; i++) {
        struct channel leaving = channel_ask(&gateway, listener.port,
                                             SHORT_LINGER);
        struct pollfd pollfd = {.fd = listener.fd, .events = POLLIN};
        struct timespec pause = {
            .tv_nsec = (long)random_below(&random, 2000000)};

        nanosleep(&pause, NULL);
        if (i % 3 == 0) {
            sg_sys_close(&leaving.stream);
        }
        channel_close(&leaving);
        while (poll(&pollfd, 1, 0) == 1) {
            close(accept_one(&listener));
        }
    }
    close(listener.fd);
    listener = listen_here(FEW);
    channel = channel_open(&gateway, &listener, &server);
    ping(channel.stream, server, 3);
    channel_close(&channel);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

/* ---- Ends ------------------------------------------------------------- */

static void
close_with_data_in_flight_arrives_whole(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    int server;
    struct channel channel = channel_open(&gateway, &listener, &server);
    size_t n = fill_up(channel.stream, 200);

    CHECK_GE(n, WINDOW / 2);
    channel_close(&channel);
    expect_pattern(server, n);
    close(server);

    /* With unread data on our side, which a socket would make a reset. */
    channel = channel_open(&gateway, &listener, &server);
    say(server, "unread", 6);
    wait_for(channel.stream, POLLIN);
    n = fill_up(channel.stream, 200);
    channel_close(&channel);
    expect_pattern(server, n);
    close(server);

    /* The other way. */
    channel = channel_open(&gateway, &listener, &server);
    n = fill_up(server, 200);
    close(server);
    expect_pattern(channel.stream, n);
    channel_close(&channel);
    close(listener.fd);
    gateway_close(&gateway);
}

/* Nobody takes what was sent: it is dropped after `linger`. */
static void
linger_ends(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    struct channel channel = channel_ask(&gateway, listener.port,
                                         SHORT_LINGER);
    struct channel other;
    int server, other_server;

    channel_wait_open(&channel);
    server = accept_one(&listener);
    fill_up(channel.stream, 200);
    channel_close(&channel);
    other = channel_open(&gateway, &listener, &other_server);
    poll(NULL, 0, 100); /* CLOSE has gone; sshd keeps what it has */
    expect_quiet();
    ping(other.stream, other_server, 1);
    ping(other_server, other.stream, 1);
    channel_close(&other);
    close(other_server);
    gateway_close(&gateway);
    close(server);
    close(listener.fd);
}

static void
expect_lost(struct channel *channel)
{
    static char block[65536];
    ssize_t n;

    do {
        wait_for(channel->stream, POLLIN);
        n = read(channel->stream, block, sizeof(block));
        CHECK_GE(n, 0);
    } while (n > 0);
    CHECK_EQ(failure_of(channel->report), ECONNRESET);
}

static void
expect_no_more_channels(const struct gateway *gateway)
{
    struct sg_error error = {.status = SG_OK};
    struct channel channel;
    enum sg_status status = channel_try(&channel, gateway->loop, 1,
                                        SHORT_LINGER, &error);

    if (status == SG_OK) {
        status = channel_wait(&channel, &error);
    }
    CHECK_EQ(status, SG_ERR_LOST);
    channel_close(&channel);
}

static void
server_is_killed(void)
{
    struct gateway gateway = gateway_open("");
    int fillers[2];
    struct listener busy = listen_busily(fillers);
    struct listener listener = listen_here(FEW);
    struct channel channels[FEW], waiting[2];
    int servers[FEW];
    struct sg_error error = {.status = SG_OK};

    for (size_t i = 0; i < FEW; i++) {
        channels[i] = channel_open(&gateway, &listener, &servers[i]);
    }
    waiting[0] = channel_ask(&gateway, busy.port, LONG_LINGER);
    waiting[1] = channel_ask(&gateway, busy.port, LONG_LINGER);
    fill_up(channels[0].stream, 20);
    fill_up(servers[1], 20);
    fill_up(servers[2], 20);
    fill_up(channels[2].stream, 20);
    kill(gateway.sshd.pid, SIGKILL);
    for (size_t i = 0; i < 2; i++) {
        error = (struct sg_error){.status = SG_OK};
        CHECK_EQ(channel_wait(&waiting[i], &error), SG_ERR_LOST);
        CHECK_EQ(error.err, ECONNRESET);
        channel_close(&waiting[i]);
        close(fillers[i]);
    }
    for (size_t i = 0; i < FEW; i++) {
        expect_lost(&channels[i]);
    }
    expect_no_more_channels(&gateway);
    for (size_t i = 0; i < FEW; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    close(busy.fd);
    close(listener.fd);
    gateway_close(&gateway);
}

/* All that had arrived is the caller's, read or not. */
static void
what_came_before_the_loss_is_delivered(void)
{
    static char data[MB];
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    int servers[2];
    struct channel channels[2];

    pattern_fill(0, data, sizeof(data));
    channels[0] = channel_open(&gateway, &listener, &servers[0]);
    channels[1] = channel_open(&gateway, &listener, &servers[1]);
    say(servers[0], data, sizeof(data));
    for (size_t i = 0; i < 20; i++) { /* by then the rest has come, too */
        ping(servers[1], channels[1].stream, i);
        poll(NULL, 0, 10);
    }
    kill(gateway.sshd.pid, SIGKILL);
    expect_lost(&channels[1]);
    expect_pattern(channels[0].stream, sizeof(data));
    expect_lost(&channels[0]);
    for (size_t i = 0; i < 2; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    close(listener.fd);
    gateway_close(&gateway);
}

/* The same, found out by a failing send, with the end still unread. */
static void
what_came_before_a_failing_send_is_delivered(void)
{
    static char data[100000];
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    int server;
    struct channel channel = channel_open(&gateway, &listener, &server);

    pattern_fill(0, data, sizeof(data));
    for (int i = 0; i < 3; i++) {
        say(server, data, sizeof(data));
        CHECK_EQ(hear(channel.stream, data, sizeof(data)), sizeof(data));
        CHECK(pattern_is(0, data, sizeof(data)));
    }
    say(server, data, sizeof(data));
    poll(NULL, 0, 100);
    kill(gateway.sshd.pid, SIGKILL);
    send(channel.stream, "x", 1, MSG_NOSIGNAL); /* it may be over already */
    expect_pattern(channel.stream, sizeof(data));
    expect_lost(&channel);
    channel_close(&channel);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

static void
closed_session_ends_its_channels(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    struct channel channels[FEW];
    int servers[FEW];
    size_t n;

    for (size_t i = 0; i < FEW; i++) {
        channels[i] = channel_open(&gateway, &listener, &servers[i]);
    }
    say(channels[0].stream, "farewell", 8);
    n = fill_up(servers[1], 50);
    CHECK_GE(n, 1);
    sg_sys_close(&gateway.control);
    for (size_t i = 0; i < FEW; i++) {
        expect_lost(&channels[i]);
    }
    expect(servers[0], "farewell");
    expect_end(servers[0]);
    expect_no_more_channels(&gateway);
    for (size_t i = 0; i < FEW; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    close(listener.fd);
    gateway_close(&gateway);
}

/* The program ends with channels in every state; the server may be stopped
 * dead. */
static void
stop_all(bool is_dead)
{
    struct gateway gateway = gateway_open("");
    int fillers[2];
    struct listener busy = listen_busily(fillers);
    struct listener listener = listen_here(FEW);
    struct channel channels[FEW], waiting;
    int servers[FEW];
    const int64_t bound = SG_SEC;
    int64_t start;

    for (size_t i = 0; i < FEW; i++) {
        channels[i] = channel_open(&gateway, &listener, &servers[i]);
    }
    fill_up(channels[0].stream, 50);
    fill_up(servers[1], 50);
    CHECK_EQ(shutdown(channels[2].stream, SHUT_WR), 0);
    waiting = channel_ask(&gateway, busy.port, LONG_LINGER);
    if (is_dead) {
        kill(gateway.sshd.pid, SIGSTOP);
    }
    start = sg_sys_now();
    sg_loop_stop_all(sg_deadline_after(bound));
    CHECK_EQ(sg_loop_count(), 0);
    CHECK_LE(sg_sys_now() - start, bound + 50 * SG_MSEC);
    if (is_dead) {
        kill(gateway.sshd.pid, SIGCONT);
    }
    for (size_t i = 0; i < FEW; i++) {
        channel_close(&channels[i]);
        close(servers[i]);
    }
    channel_close(&waiting);
    for (size_t i = 0; i < 2; i++) {
        close(fillers[i]);
    }
    close(busy.fd);
    close(listener.fd);
    gateway_close(&gateway);
}

static void
program_ends(void)
{
    stop_all(false);
}

static void
program_ends_and_the_server_hangs(void)
{
    stop_all(true);
}

/* Closing does not take for ever when the server hangs. */
static void
closed_session_whose_server_hangs(void)
{
    struct gateway gateway = gateway_open("");
    struct listener listener = listen_here(FEW);
    int server;
    struct channel channel = channel_open(&gateway, &listener, &server);
    int64_t start;

    kill(gateway.sshd.pid, SIGSTOP);
    fill_up(channel.stream, 50);
    start = sg_sys_now();
    sg_sys_close(&gateway.control);
    wait_until(no_loop_runs, NULL);
    CHECK_LE(sg_sys_now() - start, 2 * SG_SEC);
    kill(gateway.sshd.pid, SIGCONT);
    channel_close(&channel);
    close(server);
    close(listener.fd);
    gateway_close(&gateway);
}

static void *
do_nothing(void *unused)
{
    return unused;
}

/* ThreadSanitizer has a thread of its own from the first one on, which is
 * nothing that a case has left. */
static void
make_first_thread(void)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(handshake_with_silence),
        CASE(handshake_with_garbage),
        CASE(handshake_with_one_who_leaves),
        CASE(handshake_with_one_who_talks),
        CASE(handshake_is_interrupted),
        CASE(login_with_a_key),
        CASE(refused_key_and_then_the_right_one),
        CASE(server_that_has_had_enough),
        CASE(login_with_a_signer),
        CASE(echo),
        CASE(half_close_leaves_the_other_way),
        CASE(big_transfers_both_ways_at_once),
        CASE(keys_are_exchanged_anew_meanwhile),
        CASE(many_at_once),
        CASE(who_sends_much_takes_turns),
        CASE(stalled_reader_stalls_nobody_else),
        CASE(idle_session_costs_nothing),
        CASE(session_answers_the_server),
        CASE(refused_channel_tells_why),
        CASE(nobody_waits_for_the_open),
        CASE(callers_leave_at_any_moment),
        CASE(close_with_data_in_flight_arrives_whole),
        CASE(linger_ends),
        CASE(server_is_killed),
        CASE(what_came_before_the_loss_is_delivered),
        CASE(what_came_before_a_failing_send_is_delivered),
        CASE(closed_session_ends_its_channels),
        CASE(program_ends),
        CASE(program_ends_and_the_server_hangs),
        CASE(closed_session_whose_server_hangs),
    };
    int result;

    if (access(SSHD, X_OK) != 0) {
        dprintf(STDERR_FILENO, "%s is not installed\n", SSHD);
        return 1;
    }
    sshd_prepare();
    make_first_thread();
    result = play_or_run(NULL, 0, cases, COUNT_OF(cases), argc, argv);
    sshd_clean_up();
    return result;
}
