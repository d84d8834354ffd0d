/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See stream.h.
 */
#include "lib/stream.h"

#include "lib/harness.h"

void
write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent;

        wait_for(fd, POLLOUT);
        sent = write(fd, data, n < 65536 ? n : 65536);
        CHECK_GE(sent, 1);
        data += sent;
        n -= (size_t)sent;
    }
}

size_t
read_up_to(int fd, char *to, size_t n)
{
    size_t total = 0;

    while (total < n) {
        ssize_t more;

        wait_for(fd, POLLIN);
        more = read(fd, to + total, n - total);
        CHECK_GE(more, 0);
        if (more == 0) {
            break;
        }
        total += (size_t)more;
    }
    return total;
}

void
expect_text(int fd, const char *text)
{
    char got[256] = "";

    CHECK_LE(strlen(text), sizeof(got) - 1);
    read_up_to(fd, got, strlen(text));
    CHECK_TEXT(got, text);
}

void
expect_eof(int fd)
{
    char byte;

    wait_for(fd, POLLIN);
    CHECK_EQ(read(fd, &byte, 1), 0);
}

void
expect_pattern(int fd, size_t n)
{
    static char block[65536];
    size_t total = 0;

    for (;;) {
        ssize_t more;

        wait_for(fd, POLLIN);
        more = read(fd, block, sizeof(block));
        CHECK_GE(more, 0);
        if (more == 0) {
            break;
        }
        CHECK(pattern_is(total, block, (size_t)more));
        total += (size_t)more;
    }
    CHECK_EQ(total, n);
}

void
ping(int from, int to, size_t seed)
{
    char sent[1000], got[1000];

    pattern_fill(seed, sent, sizeof(sent));
    write_all(from, sent, sizeof(sent));
    CHECK_EQ(read_up_to(to, got, sizeof(got)), sizeof(got));
    CHECK_EQ(memcmp(sent, got, sizeof(got)), 0);
}

size_t
fill_up(int fd, int quiet_ms)
{
    char data[16384];
    size_t total = 0;
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};

    CHECK_EQ(sg_sys_set_blocking(fd, false), 0);
    while (poll(&pollfd, 1, quiet_ms) == 1) {
        ssize_t n;

        pattern_fill(total, data, sizeof(data));
        n = write(fd, data, sizeof(data));
        if (n < 0) {
            CHECK_EQ(errno, EAGAIN);
            continue;
        }
        total += (size_t)n;
    }
    CHECK_EQ(sg_sys_set_blocking(fd, true), 0);
    return total;
}

void
send_descriptors(int fd, const int *fds, size_t n)
{
    union {
        char space[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    char byte = 'b';
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    CHECK_LE(n, 16);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(header), fds, n * sizeof(int));
    CHECK_EQ(sendmsg(fd, &message, MSG_NOSIGNAL), 1);
}
