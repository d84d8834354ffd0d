/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests the work that the functions of sys.c do beyond the system
 * calls that they wrap.
 */
#include "sys/sys.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "lib/harness.h"
#include "lib/stream.h"

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void
check_kept(int fd)
{
    CHECK_GE(fd, STDERR_FILENO + 1);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

/* Send `n` copies of a descriptor with one byte. */
static void
send_copies(int fd, int sent, size_t n)
{
    int copies[16];

    for (size_t i = 0; i < n; i++) {
        copies[i] = sent;
    }
    send_descriptors(fd, copies, n);
}

/* Make one descriptor of each kind, check that each is close-on-exec, no
 * standard stream, and owned, and close it. */
static void
check_every_kind_of_descriptor(void)
{
    size_t before = sg_sys_owned();
    int pipe_fd[2], pair[2], null, passed[4];
    struct sg_wakeup wakeup;
    size_t count;

    CHECK_EQ(sg_sys_pipe(pipe_fd), 0);
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    null = sg_sys_open_null();
    CHECK_EQ(sg_sys_wakeup_open(&wakeup), 0);
    for (int i = 0; i < 2; i++) {
        check_kept(pipe_fd[i]);
        check_kept(pair[i]);
    }
    check_kept(null);
    check_kept(wakeup.reader);
    check_kept(wakeup.writer);
    CHECK_EQ(sg_sys_owned() - before, wakeup.reader == wakeup.writer ? 6 : 7);
    send_copies(pair[0], null, 2);
    CHECK_EQ(sg_sys_recv_descriptors(pair[1], passed, 4, &count), 1);
    CHECK_EQ(count, 2);
    for (size_t i = 0; i < count; i++) {
        check_kept(passed[i]);
        sg_sys_close(&passed[i]);
        sg_sys_close(&pipe_fd[i]);
        sg_sys_close(&pair[i]);
    }
    CHECK_EQ(pair[0], -1);
    sg_sys_close(&pair[0]); /* does nothing for -1 */
    sg_sys_close(&null);
    sg_sys_wakeup_close(&wakeup);
    CHECK_EQ(sg_sys_owned(), before);
}

static void
descriptors_are_close_on_exec_and_owned(void)
{
    check_every_kind_of_descriptor();
}

/* The program may have closed any set of its standard streams. */
static void
descriptors_are_never_standard_streams(void)
{
    for (int closed = 0; closed < 8; closed++) {
        pid_t pid = fork();

        if (pid == 0) {
            for (int fd = 0; fd < 3; fd++) {
                if (closed >> fd & 1) {
                    close(fd);
                }
            }
            check_every_kind_of_descriptor();
            for (int fd = 0; fd < 3; fd++) {
                CHECK_EQ(is_open(fd), !(closed >> fd & 1));
            }
            leave_process();
        }
        join_process(pid);
    }
}

static void
fork_closes_what_is_owned(void)
{
    int pipe_fd[2], disowned[2], foreign;
    unsigned generation = sg_sys_generation();
    pid_t pid;

    CHECK_EQ(sg_sys_pipe(pipe_fd), 0);
    CHECK_EQ(sg_sys_pipe(disowned), 0);
    sg_sys_disown(disowned[1]);
    foreign = fcntl(messages_fd, F_DUPFD_CLOEXEC, 300);
    CHECK_EQ(sg_sys_own(foreign), 0);
    CHECK_EQ(sg_sys_owned(), 4);
    pid = fork();
    if (pid == 0) {
        CHECK(!is_open(pipe_fd[0]));
        CHECK(!is_open(pipe_fd[1]));
        CHECK(!is_open(disowned[0]));
        CHECK(!is_open(foreign));
        CHECK(is_open(disowned[1]));
        CHECK_EQ(sg_sys_owned(), 0);
        CHECK_EQ(sg_sys_generation(), generation + 1);
        check_every_kind_of_descriptor();
        pid = fork();
        if (pid == 0) {
            CHECK_EQ(sg_sys_generation(), generation + 2);
            leave_process();
        }
        join_process(pid);
        leave_process();
    }
    join_process(pid);
    CHECK_EQ(sg_sys_generation(), generation);
    CHECK_EQ(sg_sys_owned(), 4);
    CHECK(is_open(pipe_fd[0]));
    for (int i = 0; i < 2; i++) {
        sg_sys_close(&pipe_fd[i]);
        sg_sys_close(&disowned[i]);
    }
    sg_sys_close(&foreign);
}

/* ---- Receiving descriptors -------------------------------------------- */

static void
descriptors_beyond_the_room_are_closed(void)
{
    for (size_t n = 1; n <= 16; n++) {
        int pair[2], got[3], before;
        size_t count, expected = n < 3 ? n : 3;

        CHECK_EQ(sg_sys_socketpair(pair), 0);
        before = count_descriptors();
        send_copies(pair[0], messages_fd, n);
        CHECK_EQ(sg_sys_recv_descriptors(pair[1], got, 3, &count), 1);
        CHECK_EQ(count, expected);
        CHECK_EQ(sg_sys_owned(), 2 + expected);
        CHECK_EQ(count_descriptors(), before + (int)expected);
        while (count > 0) {
            sg_sys_close(&got[--count]);
        }
        sg_sys_close(&pair[0]);
        sg_sys_close(&pair[1]);
    }
}

static void
message_without_a_descriptor_has_none(void)
{
    int pair[2], got[3];
    size_t count;

    CHECK_EQ(sg_sys_socketpair(pair), 0);
    CHECK_EQ(sg_sys_recv_descriptors(pair[1], got, 3, &count), -EAGAIN);
    CHECK_EQ(sg_sys_send(pair[0], "hello", 5, 0), 5);
    CHECK_EQ(sg_sys_recv_descriptors(pair[1], got, 3, &count), 5);
    CHECK_EQ(count, 0);
    sg_sys_close(&pair[0]);
    CHECK_EQ(sg_sys_recv_descriptors(pair[1], got, 3, &count), 0);
    CHECK_EQ(count, 0);
    sg_sys_close(&pair[1]);
}

/* Without room the kernel drops the descriptors and sets MSG_CTRUNC. */
static void
no_room_for_a_descriptor_is_emfile(void)
{
    struct rlimit limit, none;
    int pair[2], got[3];
    size_t count;
    ssize_t result;

    if (under_valgrind()) {
        return;
    }
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    send_copies(pair[0], messages_fd, 1);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    result = sg_sys_recv_descriptors(pair[1], got, 3, &count);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(result, -EMFILE);
    CHECK_EQ(count, 0);
    sg_sys_close(&pair[0]);
    sg_sys_close(&pair[1]);
}

/* ---- Pipes and sockets ------------------------------------------------ */

static void
unread_bytes_of_a_pipe_are_known_after_its_writer_is_closed(void)
{
    int pipe_fd[2], reader;
    char drop[4];

    CHECK_EQ(sg_sys_pipe(pipe_fd), 0);
    reader = sg_sys_pipe_reader(pipe_fd[1]);
    if (reader < 0) {
        CHECK_EQ(reader, -ENOTSUP);
        CHECK_EQ(sg_sys_unread(reader), -EBADF);
    }
    else {
        CHECK_EQ(sg_sys_write(pipe_fd[1], "seven b", 7), 7);
        sg_sys_close(&pipe_fd[1]);
        CHECK_EQ(sg_sys_unread(reader), 7);
        CHECK_EQ(sg_sys_read(pipe_fd[0], drop, 4), 4);
        CHECK_EQ(sg_sys_unread(reader), 3);
        CHECK_EQ(sg_sys_read(pipe_fd[0], drop, 4), 3);
        CHECK_EQ(sg_sys_read(pipe_fd[0], drop, 4), 0);
    }
    sg_sys_close(&reader);
    sg_sys_close(&pipe_fd[0]);
    sg_sys_close(&pipe_fd[1]);
}

static void
errors_are_negative_errno(void)
{
    int pair[2];
    char byte;

    CHECK_EQ(sg_sys_read(-1, &byte, 1), -EBADF);
    CHECK_EQ(sg_sys_write(-1, &byte, 1), -EBADF);
    CHECK_EQ(sg_sys_set_blocking(-1, true), -EBADF);
    CHECK_EQ(sg_sys_dup(-1), -EBADF);
    CHECK(!sg_sys_is_socket(STDIN_FILENO));
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    CHECK(sg_sys_is_socket(pair[0]));
    CHECK_EQ(sg_sys_set_blocking(pair[0], false), 0);
    CHECK_EQ(sg_sys_recv(pair[0], &byte, 1, 0), -EAGAIN);
    CHECK_EQ(sg_sys_set_blocking(pair[0], true), 0);
    CHECK_EQ(sg_sys_recv(pair[0], &byte, 1, MSG_DONTWAIT), -EAGAIN);
    sg_sys_close(&pair[1]);
    CHECK_EQ(sg_sys_send(pair[0], "x", 1, 0), -EPIPE); /* no SIGPIPE comes */
    CHECK_EQ(sg_sys_recv(pair[0], &byte, 1, 0), 0);
    sg_sys_close(&pair[0]);
}

static void
wakeup_is_set_and_cleared(void)
{
    struct sg_wakeup wakeup;
    struct pollfd pollfd = {.events = POLLIN};

    CHECK_EQ(sg_sys_wakeup_open(&wakeup), 0);
    pollfd.fd = wakeup.reader;
    CHECK_EQ(sg_sys_poll(&pollfd, 1, 0), 0);
    for (int i = 0; i < 100000; i++) { /* more than a pipe holds */
        sg_sys_wakeup_set(&wakeup);
    }
    CHECK_EQ(sg_sys_poll(&pollfd, 1, 0), 1);
    while (sg_sys_poll(&pollfd, 1, 0) == 1) {
        sg_sys_wakeup_clear(&wakeup);
    }
    sg_sys_wakeup_clear(&wakeup);
    sg_sys_wakeup_set(&wakeup);
    CHECK_EQ(sg_sys_poll(&pollfd, 1, 0), 1);
    sg_sys_wakeup_close(&wakeup);
    CHECK_EQ(wakeup.reader, -1);
    CHECK_EQ(wakeup.writer, -1);
}

/* ---- Trace ------------------------------------------------------------ */

/* Returns the length of the first line that a new process traces with
 * SSHGATEWAY_TRACE set to `setting`; `line` holds `room` bytes. */
static size_t
traced(const char *setting, const char *text, char *line, size_t room)
{
    int pipe_fd[2];
    pid_t pid;
    ssize_t n;

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        dup2(pipe_fd[1], STDERR_FILENO);
        setenv("SSHGATEWAY_TRACE", setting, 1);
        sg_sys_trace("%s %d", text, 5);
        leave_process();
    }
    join_process(pid);
    close(pipe_fd[1]);
    n = read(pipe_fd[0], line, room);
    CHECK_GE(n, 0);
    close(pipe_fd[0]);
    return (size_t)n;
}

static void
trace_writes_whole_lines(void)
{
    char line[1000], text[400];
    size_t n = traced("1", "hello", line, sizeof(line));

    CHECK_GE(n, 10);
    CHECK_EQ(memcmp(line, "sshgateway[", 11), 0);
    CHECK_EQ(memcmp(line + n - 10, ": hello 5\n", 10), 0);
    for (size_t length = 200; length < 300; length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        n = traced("1", text, line, sizeof(line));
        CHECK_EQ(line[n - 1], '\n');
        CHECK(memchr(line, '\0', n) == NULL);
        CHECK_LE(n, 256);
        length += 8;
    }
    CHECK_EQ(traced("", "silent", line, sizeof(line)), 0);
}

/* ---- Processes -------------------------------------------------------- */

static void
exit_with_7(void *unused)
{
    (void)unused;
    sg_sys_child_exit(7);
}

static void
sleep_long(void *own_session)
{
    static char name[] = "sleep", seconds[] = "1000";
    static char *argv[] = {name, seconds, NULL};

    if (own_session != NULL) {
        sg_sys_child_new_session();
    }
    sg_sys_child_signals(false);
    sg_sys_child_exec("/bin/sleep", argv, NULL);
}

static pid_t
spawn(void (*child)(void *), void *arg)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = sg_sys_spawn(child, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK_GE(pid, 1);
    return pid;
}

static void
wait_returns_the_exit_status(void)
{
    int returncode = -99;
    pid_t pid = spawn(exit_with_7, NULL);

    /* with `keep` the child stays a zombie */
    CHECK_EQ(sg_sys_wait(pid, -1, true, true, &returncode), 1);
    CHECK_EQ(returncode, 7);
    returncode = -99;
    CHECK_EQ(sg_sys_wait(pid, -1, false, false, &returncode), 1);
    CHECK_EQ(returncode, 7);
    CHECK_EQ(sg_sys_wait(pid, -1, false, false, &returncode), -ECHILD);
}

static void
signals_reach_the_child(void)
{
    int returncode = -99;
    pid_t pid = spawn(sleep_long, NULL);
    int pidfd = under_valgrind() ? -1 : sg_sys_pidfd(pid);

#ifdef SG_PORTABLE
    CHECK_LE(pidfd, -1);
#else
    if (!under_valgrind()) {
        check_kept(pidfd);
    }
#endif
    CHECK_EQ(sg_sys_wait(pid, pidfd, false, false, &returncode), 0);
    CHECK_EQ(sg_sys_kill(pid, pidfd, false, SIGTERM), 0);
    if (pidfd >= 0) {
        wait_for(pidfd, POLLIN);
    }
    CHECK_EQ(sg_sys_wait(pid, pidfd, true, false, &returncode), 1);
    CHECK_EQ(returncode, -SIGTERM);
    CHECK_EQ(sg_sys_wait(pid, pidfd, false, false, &returncode), -ECHILD);
    sg_sys_close(&pidfd);
}

static void
group_is_signalled_even_when_its_leader_is_a_zombie(void)
{
    static char own_session;
    int returncode = -99, pipe_fd[2];
    pid_t pid;
    siginfo_t info;
    char byte;

    CHECK_EQ(pipe2(pipe_fd, O_CLOEXEC), 0);
    pid = spawn(sleep_long, &own_session);
    close(pipe_fd[1]);
    CHECK_EQ(read(pipe_fd[0], &byte, 1), 0); /* the child has reached exec */
    close(pipe_fd[0]);
    CHECK_EQ(getsid(pid), pid);
    CHECK_EQ(sg_sys_kill(pid, -1, true, SIGKILL), 0);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(sg_sys_kill(pid, -1, true, SIGHUP), 0);
    CHECK_EQ(sg_sys_wait(pid, -1, true, false, &returncode), 1);
    CHECK_EQ(returncode, -SIGKILL);
}

/* Make both ends of a TCP connection. */
static void
connect_tcp(int fd[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, len), 0);
    CHECK_EQ(listen(listener, 1), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd[0], (struct sockaddr *)&address, len), 0);
    fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK_GE(fd[1], 0);
    close(listener);
}

static atomic_int lingering_is_over;

static void *
close_it(void *fd)
{
    int closing = *(int *)fd;

    sg_sys_close(&closing);
    lingering_is_over = 1;
    return NULL;
}

static bool
is_closed(void *fd)
{
    return !is_open(*(int *)fd);
}

/* A passed socket may have SO_LINGER and a peer that reads nothing, so
 * close(2) blocks.  Other threads must go on. */
static void
lingering_close_blocks_no_other_thread(void)
{
    static const char data[65536];
    const struct linger linger = {.l_onoff = 1, .l_linger = 2 * PATIENCE};
    int fd[2], pipe_fd[2];
    pthread_t thread;

    if (under_valgrind()) {
        return; /* valgrind runs no other thread during close(2) */
    }
    connect_tcp(fd);
    CHECK_EQ(sg_sys_own(fd[0]), 0);
    CHECK_EQ(sg_sys_setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &linger,
                               sizeof(linger)),
             0);
    while (sg_sys_send(fd[0], data, sizeof(data), MSG_DONTWAIT) > 0) {
    }
    CHECK_EQ(pthread_create(&thread, NULL, close_it, &fd[0]), 0);
    wait_until(is_closed, &fd[0]);
    CHECK_EQ(sg_sys_pipe(pipe_fd), 0);
    sg_sys_close(&pipe_fd[0]);
    sg_sys_close(&pipe_fd[1]);
    CHECK(!lingering_is_over);
    close(fd[1]); /* a reset, because data is unread */
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Returns true if SIGPIPE is pending after this thread has written to a pipe
 * without a reader.  `blocked` says whether the thread blocks SIGPIPE, and
 * `pending` whether one was pending before. */
static bool
is_left_pending(bool blocked, bool pending)
{
    void (*before)(int) = signal(SIGPIPE, SIG_DFL);
    sigset_t only, mask, left;
    int fd[2], taken;

    CHECK_EQ(sg_sys_pipe(fd), 0);
    sg_sys_close(&fd[0]);
    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &only, &mask);
    if (pending) {
        raise(SIGPIPE);
    }
    CHECK_EQ(sg_sys_write_quietly(fd[1], "x", 1), -EPIPE);
    sigpending(&left);
    if (sigismember(&left, SIGPIPE)) {
        sigwait(&only, &taken);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    signal(SIGPIPE, before);
    sg_sys_close(&fd[1]);
    return sigismember(&left, SIGPIPE) == 1;
}

static void
quiet_write_raises_no_signal(void)
{
    CHECK(!is_left_pending(false, false));
    CHECK(!is_left_pending(true, false));
    CHECK(is_left_pending(true, true));
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(trace_writes_whole_lines),
        CASE(descriptors_are_close_on_exec_and_owned),
        CASE(descriptors_are_never_standard_streams),
        CASE(fork_closes_what_is_owned),
        CASE(descriptors_beyond_the_room_are_closed),
        CASE(message_without_a_descriptor_has_none),
        CASE(no_room_for_a_descriptor_is_emfile),
        CASE(unread_bytes_of_a_pipe_are_known_after_its_writer_is_closed),
        CASE(errors_are_negative_errno),
        CASE(quiet_write_raises_no_signal),
        CASE(wakeup_is_set_and_cleared),
        CASE(wait_returns_the_exit_status),
        CASE(signals_reach_the_child),
        CASE(group_is_signalled_even_when_its_leader_is_a_zombie),
        CASE(lingering_close_blocks_no_other_thread),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
