/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A proxy: relay.c, child.c and proxy.c driven by a loop, against children
 * of every temper.  How they come to their end is in test_proxy_end.c.
 */
#include "proxy/proxy.h"

#include "lib/proxy.h"
#include "engine/tail.h"

#define BIG (50 * 1024 * 1024)

/* ---- Roles ------------------------------------------------------------ */

/* Writes BIG bytes and reads as many at the same time, by two processes: it
 * must not depend on ours which is done when. */
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

/* Writes until everything behind its stdout is full, tells how much that
 * was, and ends. */
static int
fill_and_end(char **arguments)
{
    (void)arguments;
    dprintf(STDERR_FILENO, "%zu", fill_up(STDOUT_FILENO, 50));
    return 6;
}

/* Leaves more last words than one read takes, all at once; or one byte. */
static int
leave_last_words(char **arguments)
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

/* ---- There and back --------------------------------------------------- */

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
what_goes_in_comes_out(void)
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
two_hundred_at_once(void)
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
two_pipes_are_its_standard_streams(void)
{
    struct proxy proxy = proxy_sh(
        "test -p /dev/stdin && test -p /dev/stdout && echo pipes",
        LONG_LINGER);

    expect_text(proxy.stream, "pipes\n");
    proxy_close(&proxy);
}

static void
start_fails_and_leaves_nothing(void)
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

/* ---- One way ---------------------------------------------------------- */

static void
half_close_ends_its_input_alone(void)
{
    struct proxy proxy = proxy_sh("cat; echo end; exit 4", LONG_LINGER);

    write_all(proxy.stream, "data ", 5);
    CHECK_EQ(shutdown(proxy.stream, SHUT_WR), 0);
    expect_text(proxy.stream, "data end\n");
    expect_eof(proxy.stream);
    CHECK_EQ(proxy_returncode(&proxy), 4);
    proxy_close(&proxy);
}

/* SHUT_RD: what comes is dropped, and does not hold up what goes. */
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
    loop_round_trip(); /* it is not taken for a close */
    CHECK(!process_is_gone(proxy.process));
    write_all(proxy.stream, "heard\n", 6);
    expect_text(pipe_fd[0], "heard\n");
    proxy_close(&proxy);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* Its input is closed: sends fail after a while, what it says still comes. */
static void
child_that_reads_no_more_can_send(void)
{
    static const char block[65536];
    struct proxy proxy = proxy_sh(
        "exec <&-; echo deaf; while test -e /proc/$PPID; do echo still; done",
        SHORT_LINGER);

    expect_text(proxy.stream, "deaf\n");
    while (send(proxy.stream, block, sizeof(block), MSG_NOSIGNAL) > 0) {
    } /* which waits for room, soon in vain */
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
last_words_are_known_at_the_end(void)
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
flood_of_errors_is_drained_and_its_end_kept(void)
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

/* ---- Last words, while the loop is held up ----------------------------- */

static pthread_t tester;
static atomic_int refill_fd; /* more is said there whenever the loop reads */

static int
wait_at_the_gate(const char *call)
{
    if (strcmp(call, "read") != 0 || pthread_equal(pthread_self(), tester)) {
        return 0;
    }
    gate_pass();
    if (refill_fd >= 0 && write(refill_fd, "x", 1) < 0) {
        refill_fd = -1; /* nobody reads it any more */
    }
    return 0;
}

/* Let it end while the loop is about to read the first of its last words,
 * and then let the loop go on. */
static void
end_behind_the_loop(struct proxy *proxy)
{
    tester = pthread_self();
    gate_set(false);
    active_hook = wait_at_the_gate;
    write_all(proxy->stream, "x", 1);
    process_wait(proxy->process);
    gate_set(true);
}

static void
many_last_words_are_known_at_the_end(void)
{
    struct proxy proxy = proxy_role("leave_last_words", "900000", LONG_LINGER);
    size_t n;

    refill_fd = -1;
    end_behind_the_loop(&proxy);
    expect_eof(proxy.stream);
    free(sg_shared_get_stderr(proxy.shared, &n));
    CHECK_EQ(n, SG_TAIL_CAPACITY);
    active_hook = count_call;
    calls_made = 0;
    proxy_close(&proxy);
    wait_until(no_loop_runs, NULL);
    active_hook = NULL;
    CHECK_LE(calls_made, 10); /* all had been read by then */
}

/* A grandchild that goes on writing faster than we read: it does not delay
 * the end, and others have their turn. */
static void
endless_last_words(void)
{
    struct proxy proxy = proxy_role("leave_last_words", "1", LONG_LINGER);
    struct proxy other = proxy_sh("exec cat", LONG_LINGER);
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/fd/2", (int)proxy.pid);
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    CHECK_GE(fd, 0);
    refill_fd = fd;
    end_behind_the_loop(&proxy);
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
errors_can_go_elsewhere(void)
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

/* The child has ended with output unread: its pipe hangs up, for ever. */
static void
back_pressure_costs_nothing(void)
{
    static char block[1 << 22];
    struct proxy proxy = proxy_role("fill_and_end", NULL, LONG_LINGER);
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

/* The same the other way round: the child does not read. */
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

/* The caller has gone, the child is given its time. */
static void
lingering_costs_nothing(void)
{
    struct proxy proxy = proxy_sh("exec sleep 1000", LONG_LINGER);

    fill_up(proxy.stream, 50);
    sg_sys_close(&proxy.stream);
#ifndef SG_PORTABLE
    if (!under_valgrind()) { /* else it must be asked whether it has ended */
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
        {"fill_and_end", fill_and_end},
        {"leave_last_words", leave_last_words},
    };
    static const struct test_case cases[] = {
        CASE(what_goes_in_comes_out),
        CASE(big_transfers_both_ways_at_once),
        CASE(two_hundred_at_once),
        CASE(two_pipes_are_its_standard_streams),
        CASE(start_fails_and_leaves_nothing),
        CASE(half_close_ends_its_input_alone),
        CASE(caller_that_reads_no_more_can_send),
        CASE(child_that_reads_no_more_can_send),
        CASE(last_words_are_known_at_the_end),
        CASE(flood_of_errors_is_drained_and_its_end_kept),
        CASE(many_last_words_are_known_at_the_end),
        CASE(endless_last_words),
        CASE(errors_can_go_elsewhere),
        CASE(idle_stream_costs_nothing),
        CASE(back_pressure_costs_nothing),
        CASE(full_pipe_costs_nothing),
        CASE(half_closed_stream_costs_nothing),
        CASE(lingering_costs_nothing),
    };

    return run_role_or_cases(roles, COUNT_OF(roles), cases, COUNT_OF(cases),
                             argc, argv);
}
