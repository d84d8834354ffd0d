/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests running proxies: relay.c, child.c and proxy.c on a loop,
 * with children that behave in many ways. The end of a proxy is tested in
 * test_proxy_end.c.
 */
#include "proxy/proxy.h"

#include "lib/proxy.h"
#include "engine/tail.h"

#define BIG (50 * 1024 * 1024)

/* ---- Roles ------------------------------------------------------------ */

/* Writes BIG bytes and reads BIG bytes at the same time, in two processes, so
 * that neither direction waits for the other here. */
static int
trade(char **arguments)
{
    static char block[65536], wanted[65536];
    struct random mine = {1}, theirs = {2};
    int status;
    pid_t writer = fork();

    (void)arguments;
    alarm(CASE_LIMIT);
    if (writer == 0) {
        for (size_t done = 0; done < BIG; done += sizeof(block)) {
            random_fill(&mine, block, sizeof(block));
            write_all(STDOUT_FILENO, block, sizeof(block));
        }
        _exit(0);
    }
    for (size_t done = 0; done < BIG; done += sizeof(block)) {
        random_fill(&theirs, wanted, sizeof(block));
        if (read_up_to(STDIN_FILENO, block, sizeof(block)) != sizeof(block)
            || memcmp(block, wanted, sizeof(block)) != 0) {
            return 3;
        }
    }
    if (read_up_to(STDIN_FILENO, block, 1) != 0) {
        return 4;
    }
    return waitpid(writer, &status, 0) == writer && status == 0 ? 0 : 5;
}

/* Writes until its stdout takes no more, writes the number of bytes to
 * stderr, and exits with 6. */
static int
fill_stdout_and_exit(char **arguments)
{
    (void)arguments;
    dprintf(STDERR_FILENO, "%zu", fill_up(STDOUT_FILENO, 50));
    return 6;
}

/* Waits for one byte, writes arguments[0] bytes to stderr in one write(2),
 * and exits with 3. */
static int
write_stderr_and_exit(char **arguments)
{
    static char words[900000];
    size_t n = strtoul(arguments[0], NULL, 10);
    char byte;

    memset(words, 'w', sizeof(words));
    fcntl(STDERR_FILENO, F_SETPIPE_SZ, 1 << 20);
    if (read(STDIN_FILENO, &byte, 1) != 1
        || write(STDERR_FILENO, words + sizeof(words) - n, n) != (ssize_t)n) {
        return 1;
    }
    return 3;
}

/* ---- Data ------------------------------------------------------------- */

static void
echo(struct proxy *proxy, size_t n)
{
    static char sent[200000], heard[200000];

    pattern_fill(n, sent, n);
    write_all(proxy->stream, sent, n);
    CHECK_EQ(read_up_to(proxy->stream, heard, n), n);
    CHECK_EQ(memcmp(sent, heard, n), 0);
}

static void
data_of_every_size_comes_back(void)
{
    static const size_t sizes[] = {1,     2,      100, 4096,   32700, 65536,
                                   65537, 200000, 3,   200000, 100};
    struct proxy proxy = proxy_sh("exec cat", LONG_LINGER);

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        echo(&proxy, sizes[i]);
    }
    proxy_close(&proxy);
}

static void
big_transfers_both_ways_at_once(void)
{
    static char out[65536], in[65536], wanted[65536];
    struct random mine = {2}, theirs = {1};
    struct proxy proxy = proxy_role("trade", NULL, LONG_LINGER);
    size_t sent = 0, heard = 0;

    CHECK_EQ(sg_sys_set_blocking(proxy.stream, false), 0);
    while (sent < BIG || heard < BIG) {
        short ready = wait_for(
            proxy.stream,
            (short)((sent < BIG ? POLLOUT : 0) | (heard < BIG ? POLLIN : 0)));
        size_t at = sent % sizeof(out);
        ssize_t n;

        if (ready & POLLOUT && sent < BIG) {
            if (at == 0) {
                random_fill(&mine, out, sizeof(out));
            }
            n = write(proxy.stream, out + at, sizeof(out) - at);
            sent += n > 0 ? (size_t)n : 0;
            if (sent == BIG) {
                CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
            }
        }
        at = heard % sizeof(in);
        if (ready & POLLIN && heard < BIG) {
            n = read(proxy.stream, in + at, sizeof(in) - at);
            heard += n > 0 ? (size_t)n : 0;
            if (n > 0 && heard % sizeof(in) == 0) {
                random_fill(&theirs, wanted, sizeof(in));
                CHECK_EQ(memcmp(in, wanted, sizeof(in)), 0);
            }
        }
    }
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 0);
    proxy_close(&proxy);
}

static void
two_hundred_proxies_share_one_loop(void)
{
    static struct proxy proxies[200];
    struct command command;

    command_sh(&command, "exec cat");
    for (size_t i = 0; i < COUNT_OF(proxies); i++) {
        proxies[i] = proxy_start(&command, LONG_LINGER);
    }
    CHECK_EQ(sg_loop_count(), 1);
    for (size_t i = 0; i < COUNT_OF(proxies); i++) {
        write_all(proxies[i].stream, "hello", 5);
    }
    for (size_t i = 0; i < COUNT_OF(proxies); i++) {
        expect_text(proxies[i].stream, "hello");
    }
    for (size_t i = 0; i < COUNT_OF(proxies); i++) {
        proxy_close(&proxies[i]);
    }
}

static void
standard_streams_of_the_child_are_pipes(void)
{
    struct proxy proxy = proxy_sh(
        "test -p /dev/stdin && test -p /dev/stdout && echo pipes",
        LONG_LINGER);

    expect_text(proxy.stream, "pipes\n");
    proxy_close(&proxy);
}

static void
failed_start_leaves_nothing(void)
{
    struct command command;
    struct sg_shared *shared = sg_shared_new();
    struct sg_error error = {.status = SG_OK};
    int stream = -1;
    pid_t pid;

    command_set(&command, "/nonexistent",
                (const char *const[]){"nonexistent", NULL});
    CHECK_EQ(sg_proxy_start(&command.options, SG_SEC, shared, &stream, &pid,
                            &error),
             SG_ERR_EXEC);
    CHECK_EQ(error.err, ENOENT);
    CHECK_EQ(stream, -1);
    sg_shared_unref(shared);
}

/* ---- One direction ---------------------------------------------------- */

static void
half_close_ends_only_the_childs_input(void)
{
    struct proxy proxy = proxy_sh("cat; echo end; exit 4", LONG_LINGER);

    write_all(proxy.stream, "data ", 5);
    CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
    expect_text(proxy.stream, "data end\n");
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 4);
    proxy_close(&proxy);
}

/* After SHUT_RD the child's output is dropped, and the caller's data goes on.
 */
static void
caller_that_reads_no_more_can_send(void)
{
    struct command command;
    struct proxy proxy;
    int pipe_fd[2];

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    command_sh(&command,
               "head -c 1000000 /dev/zero; read word; echo $word >&2");
    command.options.stderr_fd = pipe_fd[1];
    proxy = proxy_start(&command, 0);
    CHECK_EQ(shutdown(proxy.stream, SHUT_RD), 0);
    loop_round_trip(); /* the loop does not take it for a close */
    CHECK(!process_is_gone(proxy.process));
    write_all(proxy.stream, "heard\n", 6);
    expect_text(pipe_fd[0], "heard\n");
    proxy_close(&proxy);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* The child closes its input: sends fail after a while, and its output goes
 * on. */
static void
child_that_reads_no_more_can_send(void)
{
    static const char block[65536];
    struct proxy proxy = proxy_sh(
        "exec <&-; echo deaf; while test -e /proc/$PPID; do echo still; done",
        SHORT_LINGER);

    expect_text(proxy.stream, "deaf\n");
    while (send(proxy.stream, block, sizeof(block), MSG_NOSIGNAL) > 0) {
    } /* send(2) waits for room until it fails */
    CHECK_EQ(errno, EPIPE);
    expect_text(proxy.stream, "still\nstill\nstill\n");
    CHECK(!process_is_gone(proxy.process));
    proxy_close(&proxy);
}

/* ---- Standard error --------------------------------------------------- */

static void
check_tail(struct proxy *proxy, const char *wanted)
{
    size_t n;
    char *tail = sg_shared_get_stderr(proxy->shared, &n);

    CHECK(tail != NULL);
    CHECK_EQ(n, strlen(wanted));
    CHECK_EQ(memcmp(tail, wanted, n), 0);
    free(tail);
}

static void
stderr_is_known_at_the_end(void)
{
    for (int i = 0; i < 20; i++) {
        struct proxy proxy = proxy_sh("echo first >&2; echo last >&2; exit 2",
                                      LONG_LINGER);

        expect_eof(proxy.stream);
        CHECK(proxy_has_returncode(&proxy));
        check_tail(&proxy, "first\nlast\n");
        proxy_close(&proxy);
    }
}

static void
flood_of_stderr_is_drained_and_its_end_kept(void)
{
    static char wanted[SG_TAIL_CAPACITY + 1];
    struct proxy proxy = proxy_sh(
        "head -c 5000000 /dev/zero >&2; echo last >&2; echo done",
        LONG_LINGER);
    size_t n;
    char *tail;

    expect_text(proxy.stream, "done\n");
    expect_eof(proxy.stream);
    tail = sg_shared_get_stderr(proxy.shared, &n);
    CHECK_EQ(n, SG_TAIL_CAPACITY);
    memcpy(wanted + n - 5, "last\n", 5);
    CHECK_EQ(memcmp(tail, wanted, n), 0);
    free(tail);
    proxy_close(&proxy);
}

/* ---- Standard error at the end, while the loop is held up -------------- */

static pthread_t tester;
static atomic_int refill_fd; /* written to whenever the loop reads; -1: none */

static int
wait_at_the_gate(const char *call)
{
    if (strcmp(call, "read") != 0 || pthread_equal(pthread_self(), tester)) {
        return 0;
    }
    gate_pass();
    if (refill_fd >= 0 && write(refill_fd, "x", 1) < 0) {
        refill_fd = -1; /* no reader is left */
    }
    return 0;
}

/* Let the child end while the loop is about to read the first byte of its
 * stderr, and then let the loop go on. */
static void
end_while_the_loop_waits(struct proxy *proxy)
{
    tester = pthread_self();
    gate_set(false);
    active_hook = wait_at_the_gate;
    write_all(proxy->stream, "x", 1);
    process_wait(proxy->process);
    gate_set(true);
}

static void
large_stderr_is_known_at_the_end(void)
{
    struct proxy proxy = proxy_role("write_stderr_and_exit", "900000",
                                    LONG_LINGER);
    size_t n;

    refill_fd = -1;
    end_while_the_loop_waits(&proxy);
    expect_eof(proxy.stream);
    free(sg_shared_get_stderr(proxy.shared, &n));
    CHECK_EQ(n, SG_TAIL_CAPACITY);
    active_hook = count_call;
    calls_made = 0;
    proxy_close(&proxy);
    wait_until(no_loop_runs, NULL);
    active_hook = NULL;
    CHECK_LE(calls_made, 10); /* everything had been read before */
}

/* Stderr is written to faster than the loop reads, as a grandchild may do.
 * That delays neither the end nor other proxies. */
static void
endless_stderr_does_not_delay_the_end(void)
{
    struct proxy proxy = proxy_role("write_stderr_and_exit", "1", LONG_LINGER);
    struct proxy other = proxy_sh("exec cat", LONG_LINGER);
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/fd/2", (int)proxy.pid);
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    CHECK_GE(fd, 0);
    refill_fd = fd;
    end_while_the_loop_waits(&proxy);
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 3);
    echo(&other, 100);
    active_hook = NULL;
    proxy_close(&other);
    proxy_close(&proxy);
    wait_until(no_loop_runs, NULL);
    close(fd);
}

static void
stderr_can_go_to_a_descriptor_or_nowhere(void)
{
    struct command command;
    struct proxy proxy;
    int pipe_fd[2];
    size_t n;

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    command_sh(&command, "echo oops >&2; echo out");
    command.options.stderr_fd = pipe_fd[1];
    proxy = proxy_start(&command, LONG_LINGER);
    expect_text(pipe_fd[0], "oops\n");
    expect_text(proxy.stream, "out\n");
    CHECK(sg_shared_get_stderr(proxy.shared, &n) == NULL);
    proxy_close(&proxy);
    command.options.stderr_fd = SG_STDERR_NULL;
    proxy = proxy_start(&command, LONG_LINGER);
    expect_text(proxy.stream, "out\n");
    CHECK(sg_shared_get_stderr(proxy.shared, &n) == NULL);
    proxy_close(&proxy);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* ---- What it costs ---------------------------------------------------- */

static void
idle_stream_costs_nothing(void)
{
    struct proxy proxy = proxy_sh("exec cat", LONG_LINGER);

    echo(&proxy, 100);
    expect_quiet();
    CHECK_EQ(shutdown(proxy.stream, SHUT_RD), 0);
    expect_quiet();
    proxy_close(&proxy);
}

/* The child has ended with output unread, so its pipe reports a hang-up all
 * the time. */
static void
unread_output_costs_nothing(void)
{
    static char block[1 << 22];
    struct proxy proxy = proxy_role("fill_stdout_and_exit", NULL, LONG_LINGER);
    size_t n, length;
    char number[32];
    char *tail;

    process_wait(proxy.process);
    expect_quiet();
    n = read_up_to(proxy.stream, block, sizeof(block));
    CHECK(pattern_is(0, block, n));
    CHECK(proxy_has_returncode(&proxy));
    CHECK_EQ(proxy_returncode(&proxy), 6);
    tail = sg_shared_get_stderr(proxy.shared, &length);
    CHECK(tail != NULL);
    CHECK_LE(snprintf(number, sizeof(number), "%zu", n), sizeof(number) - 1);
    CHECK_EQ(length, strlen(number));
    CHECK_EQ(memcmp(tail, number, length), 0);
    free(tail);
    expect_eof(proxy.stream);
    proxy_close(&proxy);
}

/* The child does not read, so its input stays full. */
static void
full_pipe_costs_nothing(void)
{
    struct proxy proxy = proxy_sh("exec sleep 1000", SHORT_LINGER);

    CHECK_GE(fill_up(proxy.stream, 50), 100000);
    expect_quiet();
    proxy_close(&proxy);
}

static void
half_closed_stream_costs_nothing(void)
{
    struct proxy proxy = proxy_sh("exec sleep 1000", SHORT_LINGER);

    CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
    expect_quiet();
    proxy_close(&proxy);
}

/* The caller has closed the stream, and the child lingers. */
static void
lingering_child_costs_nothing(void)
{
    struct proxy proxy = proxy_sh("exec sleep 1000", LONG_LINGER);

    fill_up(proxy.stream, 50);
    sg_sys_close(&proxy.stream);
#ifndef SG_PORTABLE
    if (!under_valgrind()) { /* without a pidfd the loop has to poll */
        loop_round_trip();
        expect_quiet();
    }
#endif
    CHECK_EQ(kill(proxy.pid, SIGKILL), 0);
    proxy_close(&proxy);
}

int
main(int argc, char **argv)
{
    static const struct role roles[] = {
        {"trade", trade},
        {"fill_stdout_and_exit", fill_stdout_and_exit},
        {"write_stderr_and_exit", write_stderr_and_exit},
    };
    static const struct test_case cases[] = {
        CASE(data_of_every_size_comes_back),
        CASE(big_transfers_both_ways_at_once),
        CASE(two_hundred_proxies_share_one_loop),
        CASE(standard_streams_of_the_child_are_pipes),
        CASE(failed_start_leaves_nothing),
        CASE(half_close_ends_only_the_childs_input),
        CASE(caller_that_reads_no_more_can_send),
        CASE(child_that_reads_no_more_can_send),
        CASE(stderr_is_known_at_the_end),
        CASE(flood_of_stderr_is_drained_and_its_end_kept),
        CASE(large_stderr_is_known_at_the_end),
        CASE(endless_stderr_does_not_delay_the_end),
        CASE(stderr_can_go_to_a_descriptor_or_nowhere),
        CASE(idle_stream_costs_nothing),
        CASE(unread_output_costs_nothing),
        CASE(full_pipe_costs_nothing),
        CASE(half_closed_stream_costs_nothing),
        CASE(lingering_child_costs_nothing),
    };

    return run_role_or_cases(roles, COUNT_OF(roles), cases, COUNT_OF(cases),
                             argc, argv);
}
