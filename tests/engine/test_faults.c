/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tries every fault (faults.h) on a proxy, on a passed socket,
 * and on a message.
 */
#include "proxy/fdpass.h"

#include <glob.h>

#include "lib/faults.h"
#include "lib/proxy.h"

static const struct fault_kind kinds[] = {
    {"pipe", EMFILE, MAY_FAIL, false, false},
    {"socketpair", EMFILE, MAY_FAIL, false, false},
    {"open", ENFILE, MAY_FAIL, false, false},
    {"spawn", EAGAIN, MAY_FAIL, false, false},
    {"spawn", ENOMEM, MAY_FAIL, true, false},
    {"eventfd", EMFILE, MAY_FAIL, false, false},
    {"epoll_create", EMFILE, MAY_FAIL, false, false},
    {"epoll_ctl", ENOMEM, MAY_FAIL, false, false},
    {"epoll_ctl", ENOSPC, MAY_FAIL, true, false},
    {"pidfd", EMFILE, MUST_WORK, false, false},
    {"pidfd", ENOSYS, MUST_WORK, true, false},
    {"read short", 0, MUST_WORK, false, true},
    {"read", EINTR, MUST_WORK, false, false},
    {"read", EAGAIN, MUST_WORK, false, true},
    {"read", EIO, MAY_FAIL, false, false},
    {"write short", 0, MUST_WORK, false, true},
    {"write", EINTR, MUST_WORK, false, false},
    {"write", EAGAIN, MUST_WORK, false, true},
    {"write", EPIPE, MAY_FAIL, false, true},
    {"recv short", 0, MUST_WORK, false, true},
    {"recv", EINTR, MUST_WORK, false, true},
    {"recv", EAGAIN, MUST_WORK, false, true},
    {"recv", ECONNRESET, MAY_FAIL, false, false},
    {"send short", 0, MUST_WORK, false, true},
    {"send", EINTR, MAY_FAIL, false, true},
    {"send", EAGAIN, MAY_FAIL, false, true},
    {"send", ENOBUFS, MAY_FAIL, true, true},
    {"splice", EAGAIN, MUST_WORK, false, false},
    {"splice", EINTR, MUST_WORK, false, false},
    {"splice", EINVAL, MUST_WORK, true, false},
    {"epoll_wait", EINTR, MUST_WORK, false, false},
    {"epoll_wait", ENOMEM, MUST_WORK, false, false},
    {"poll", EINTR, MUST_WORK, false, false},
    {"poll", ENOMEM, MAY_FAIL, false, false},
    {"recv_descriptors", EAGAIN, MUST_WORK, false, false},
    {"recv_descriptors", EINTR, MUST_WORK, false, false},
    {"recv_descriptors", EMFILE, MAY_FAIL, false, false},
    {"recv_descriptors", ECONNRESET, MAY_FAIL, true, false},
    {"sendmsg", ENOBUFS, MAY_FAIL, false, false},
    {"sendmsg short", 0, MUST_WORK, false, false},
    {"recvmsg", ENOMEM, MAY_FAIL, false, false},
};

/* ---- Scenarios -------------------------------------------------------- */

/* Read up to `n` bytes.  An error counts as the end. */
static size_t
read_leniently(int fd, char *to, size_t n)
{
    size_t heard = 0;
    ssize_t more = 1;

    while (more > 0 && heard < n) {
        wait_for(fd, POLLIN);
        more = read(fd, to + heard, n - heard);
        heard += more > 0 ? (size_t)more : 0;
    }
    return heard;
}

static void
transfer(struct proxy *proxy)
{
    static char sent[100000], heard[100001];
    size_t n = 0;
    ssize_t taken = 1;

    pattern_fill(0, sent, sizeof(sent));
    while (taken > 0 && n < sizeof(sent)) {
        wait_for(proxy->stream, POLLOUT);
        taken = send(proxy->stream, sent + n,
                     sizeof(sent) - n < 50000 ? sizeof(sent) - n : 50000,
                     MSG_NOSIGNAL);
        n += taken > 0 ? (size_t)taken : 0;
    }
    shutdown(proxy->stream, SHUT_WR);
    n = read_leniently(proxy->stream, heard, sizeof(heard));
    CHECK_LE(n, sizeof(sent));
    CHECK_EQ(memcmp(heard, sent, n), 0);
    if (n < sizeof(sent)) {
        CHECK(fault_fired);
        CHECK_EQ(current_fault->expected, MAY_FAIL);
    }
}

/* Returns false if the fault has kept the proxy from starting. */
static bool
start(const struct command *command, struct proxy *proxy)
{
    struct sg_error error = {.status = SG_OK};

    *proxy = (struct proxy){.stream = -1, .shared = sg_shared_new()};
    if (sg_proxy_start(&command->options, SHORT_LINGER, proxy->shared,
                       &proxy->stream, &proxy->pid, &error)
        != SG_OK) {
        check_fault_error(&error);
        CHECK_EQ(proxy->stream, -1);
        sg_shared_unref(proxy->shared);
        return false;
    }
    CHECK_EQ(error.status, SG_OK);
    proxy->process = process_open(proxy->pid);
    return true;
}

static void
run_a_proxy(int stderr_fd)
{
    struct command command;
    struct proxy proxy;
    int returncode = -99;

    command_sh(&command, "echo oops >&2; exec cat");
    command.options.stderr_fd = stderr_fd;
    if (!start(&command, &proxy)) {
        return;
    }
    transfer(&proxy);
    if (!fault_fired || current_fault->expected == MUST_WORK) {
        CHECK(sg_shared_get_returncode(proxy.shared, &returncode));
        CHECK_EQ(returncode, 0);
        CHECK_EQ(sg_shared_get_failure(proxy.shared, NULL), 0);
    }
    else if (sg_shared_get_failure(proxy.shared, NULL) != 0) {
        CHECK_EQ(sg_shared_get_failure(proxy.shared, NULL),
                 current_fault->err);
    }
    proxy_close(&proxy);
}

static void
use_proxy_with_captured_stderr(void)
{
    run_a_proxy(SG_STDERR_TAIL);
}

static void
use_proxy_with_dropped_stderr(void)
{
    run_a_proxy(SG_STDERR_NULL);
}

/* The child is signalled, with data in flight. */
static void
end_proxy_by_signal(void)
{
    struct command command;
    struct proxy proxy;

    command_sh(&command, "exec sleep 1000");
    if (!start(&command, &proxy)) {
        return;
    }
    if (wait_for(proxy.stream, POLLOUT) == POLLOUT) {
        CHECK_GE(send(proxy.stream, "data", 4, MSG_NOSIGNAL), -1);
    }
    proxy_close(&proxy);
}

/* The caller uses the child's pipes (loan.h) before the loop does. */
static void
use_loan(void)
{
    struct command command;
    struct proxy proxy;
    struct sg_loan *loan;
    char heard[5] = "";
    ssize_t taken, got = -EAGAIN;

    command_sh(&command, "exec cat");
    command.options.lends = true;
    if (!start(&command, &proxy)) {
        return;
    }
    loan = sg_shared_loan(proxy.shared);
    CHECK(sg_loan_wait(loan, true, SG_NEVER) == 1 || fault_fired);
    taken = sg_loan_write(loan, "echo", 4);
    while (taken > 0 && got == -EAGAIN) {
        CHECK(sg_loan_wait(loan, false, SG_NEVER) == 1 || fault_fired);
        got = sg_loan_read(loan, heard, sizeof(heard));
    }
    CHECK((got > 0 && got <= taken) || fault_fired);
    CHECK_EQ(strncmp(heard, "echo", got > 0 ? (size_t)got : 0), 0);
    proxy_close(&proxy);
}

static int
hand_over_a_socket(char **arguments)
{
    const int fd = STDIN_FILENO;

    (void)arguments;
    send_descriptors(STDOUT_FILENO, &fd, 1);
    return 0;
}

static void
receive_socket(void)
{
    struct command command;
    struct sg_shared *shared = sg_shared_new();
    struct sg_reply *reply;
    struct sg_error error = {.status = SG_OK};
    int process, fd = -1;
    pid_t pid;

    command_role(&command, "hand_over_a_socket", NULL);
    if (sg_fdpass_start(&command.options, SHORT_LINGER, shared, &reply, &pid,
                        &error)
        != SG_OK) {
        CHECK(reply == NULL);
        check_fault_error(&error);
    }
    else {
        process = process_open(pid);
        if (sg_reply_wait(reply, sg_deadline_after(PATIENCE * SG_SEC),
                          never_interrupt, NULL, &error)
            == SG_OK) {
            fd = sg_reply_take_fd(reply);
            CHECK(sg_sys_is_socket(fd));
        }
        else {
            check_fault_error(&error);
        }
        sg_reply_drop(reply);
        process_join(process);
        sg_sys_close(&fd);
    }
    sg_shared_unref(shared);
}

/* sg_sys_sendmsg() and sg_sys_recvmsg(), which only csrc/python calls. */
static void
send_and_receive_message(void)
{
    char bytes[2] = "b";
    struct iovec iov[] = {{.iov_base = &bytes[0], .iov_len = 1},
                          {.iov_base = &bytes[1], .iov_len = 1}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t sent, heard;
    int pair[2];

    if (sg_sys_socketpair(pair) < 0) {
        CHECK(fault_fired);
        return;
    }
    sent = sg_sys_sendmsg(pair[0], &message, 0);
    heard = sg_sys_recvmsg(pair[1], &message, MSG_DONTWAIT);
    CHECK(sent == (fault_fired && current_fault->err == 0 ? 1 : 2)
          || sent == -current_fault->err);
    CHECK(heard == sent || heard == -current_fault->err || heard == -EAGAIN);
    sg_sys_close(&pair[0]);
    sg_sys_close(&pair[1]);
}

/* ---- Cases ------------------------------------------------------------ */

static void
survive_every_fault(void (*scenario)(void))
{
    run_with_every_fault(kinds, COUNT_OF(kinds), scenario);
}

static void
proxy_with_captured_stderr_survives_every_fault(void)
{
    survive_every_fault(use_proxy_with_captured_stderr);
}

static void
proxy_with_dropped_stderr_survives_every_fault(void)
{
    survive_every_fault(use_proxy_with_dropped_stderr);
}

static void
proxy_ended_by_a_signal_survives_every_fault(void)
{
    survive_every_fault(end_proxy_by_signal);
}

static void
loan_survives_every_fault(void)
{
    survive_every_fault(use_loan);
}

static void
passed_socket_survives_every_fault(void)
{
    survive_every_fault(receive_socket);
}

static void
message_survives_every_fault(void)
{
    survive_every_fault(send_and_receive_message);
}

/* ---- No fault is forgotten -------------------------------------------- */

static bool
name_has_fired(const char *name)
{
    bool result = false;

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        result = result
                 || (strcmp(name, kinds[i].call) == 0 && fault_has_fired(i));
    }
    return result;
}

/* Check that each fault named in the source file at `path` has fired; returns
 * the number of names. */
static int
check_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[500];
    int n = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        char name[50];
        const char *call = strstr(line, "fault(\"");

        call = call != NULL ? call : strstr(line, "shortened(\"");
        if (call != NULL && sscanf(call, "%*[a-z](\"%49[a-z_ ]\"", name) == 1
            && !fault_is_not_built(name)) {
            if (!name_has_fired(name)) {
                test_fail(path, 0, "the fault \"%s\" was never tried", name);
            }
            n++;
        }
    }
    fclose(file);
    return n;
}

/* These two run after all other cases. */
static void
every_fault_has_fired(void)
{
    check_all_faults_fired(kinds, COUNT_OF(kinds));
}

static void
every_name_in_the_source_has_fired(void)
{
    glob_t files;
    int n = 0;

    CHECK_EQ(glob("csrc/sys/*.c", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        n += check_file(files.gl_pathv[i]);
    }
    globfree(&files);
    CHECK_GE(n, 10);
}

int
main(int argc, char **argv)
{
    static const struct role roles[] = {
        {"hand_over_a_socket", hand_over_a_socket},
    };
    static const struct test_case cases[] = {
        CASE(proxy_with_captured_stderr_survives_every_fault),
        CASE(proxy_with_dropped_stderr_survives_every_fault),
        CASE(proxy_ended_by_a_signal_survives_every_fault),
        CASE(loan_survives_every_fault),
        CASE(passed_socket_survives_every_fault),
        CASE(message_survives_every_fault),
        CASE(every_fault_has_fired),
        CASE(every_name_in_the_source_has_fired),
    };

    return run_role_or_cases(roles, COUNT_OF(roles), cases, COUNT_OF(cases),
                             argc, argv);
}
