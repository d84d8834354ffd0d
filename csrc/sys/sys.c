/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Time, trace, descriptors and sockets; see sys.h.
 *
 * The mutex in `owned` guards the set of owned descriptors.  A fork() holds
 * this mutex too, so the child never finds a half-changed set.
 */
#include "sys/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#ifdef SG_FAULTS
int (*sg_sys_fault_hook)(const char *call);
#endif

/* ---- Time and trace --------------------------------------------------- */

int64_t
sg_sys_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t
sg_sys_wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool trace_wanted;

static void
read_trace_setting(void)
{
    const char *value = getenv("SSHGATEWAY_TRACE");

    trace_wanted = value != NULL && value[0] != '\0';
}

void
sg_sys_trace(const char *format, ...)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char line[256];
    va_list args;
    int n;

    pthread_once(&once, read_trace_setting);
    if (!trace_wanted) {
        return;
    }
    n = snprintf(line, sizeof(line), "sshgateway[%ld]: ", (long)getpid());
    va_start(args, format);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
    va_end(args);
    if (n > (int)sizeof(line) - 2) {
        n = (int)sizeof(line) - 2;
    }
    line[n] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n + 1) < 0) {
        return; /* best effort; failure is ignored */
    }
}

/* ---- Descriptors and fork --------------------------------------------- */

#define BITS_PER_WORD 64

static struct {
    pthread_mutex_t lock;
    uint64_t *words; /* one bit per descriptor number */
    size_t n_words;
    unsigned generation; /* see sg_sys_generation() */
} owned = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int
remember_locked(int fd)
{
    size_t word = (size_t)fd / BITS_PER_WORD;

    if (word >= owned.n_words) {
        size_t n = word + 1 + owned.n_words;
        uint64_t *words = realloc(owned.words, n * sizeof(*words));

        if (words == NULL) {
            return -ENOMEM;
        }
        memset(words + owned.n_words, 0, (n - owned.n_words) * sizeof(*words));
        owned.words = words;
        owned.n_words = n;
    }
    owned.words[word] |= UINT64_C(1) << (fd % BITS_PER_WORD);
    return 0;
}

static void
forget_locked(int fd)
{
    size_t word = (size_t)fd / BITS_PER_WORD;

    if (word < owned.n_words) {
        owned.words[word] &= ~(UINT64_C(1) << (fd % BITS_PER_WORD));
    }
}

int
sg_sys_keep_locked(int fd)
{
    int err;

    if (fd < 0) {
        return -errno;
    }
    if (fd <= STDERR_FILENO) {
        int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

        err = errno;
        close(fd);
        if (higher < 0) {
            return -err;
        }
        fd = higher;
    }
#ifdef SG_PORTABLE
    fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
    err = remember_locked(fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    return fd;
}

static int
keep_pair_locked(int fd[2])
{
    int first = sg_sys_keep_locked(fd[0]);
    int second = sg_sys_keep_locked(fd[1]);

    if (first < 0 || second < 0) {
        if (first >= 0) {
            forget_locked(first);
            close(first);
        }
        if (second >= 0) {
            forget_locked(second);
            close(second);
        }
        fd[0] = fd[1] = -1;
        return first < 0 ? first : second;
    }
    fd[0] = first;
    fd[1] = second;
    return 0;
}

void
sg_sys_lock(void)
{
    pthread_mutex_lock(&owned.lock);
}

void
sg_sys_unlock(void)
{
    pthread_mutex_unlock(&owned.lock);
}

int
sg_sys_own(int fd)
{
    int err;

    pthread_mutex_lock(&owned.lock);
    err = remember_locked(fd);
    pthread_mutex_unlock(&owned.lock);
    return err;
}

void
sg_sys_disown(int fd)
{
    pthread_mutex_lock(&owned.lock);
    forget_locked(fd);
    pthread_mutex_unlock(&owned.lock);
}

/* Return true if SO_LINGER lets close() wait for the network. */
static bool
close_may_block(int fd)
{
    struct linger linger = {0};
    socklen_t len = sizeof(linger);

    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0
           && linger.l_onoff && linger.l_linger > 0;
}

/* Remove the descriptor from the set and close it under one lock, so that a
 * fork() between the two steps cannot leave the child a copy.  A socket that
 * may linger is closed after unlocking, because all other threads would wait
 * for the lock meanwhile; there the child may get a copy, which is the lesser
 * evil.  close() is not repeated after EINTR: on Linux the descriptor is
 * closed by then. */
void
sg_sys_close(int *fd)
{
    int closing = *fd;
    bool may_block;

    if (closing < 0) {
        return;
    }
    *fd = -1;
    may_block = close_may_block(closing);
    pthread_mutex_lock(&owned.lock);
    forget_locked(closing);
    if (!may_block) {
        close(closing);
    }
    pthread_mutex_unlock(&owned.lock);
    if (may_block) {
        close(closing);
    }
}

void
sg_sys_close_of(unsigned generation, int *fd)
{
    if (generation == owned.generation) {
        sg_sys_close(fd);
    }
    *fd = -1;
}

size_t
sg_sys_owned(void)
{
    size_t n = 0;

    pthread_mutex_lock(&owned.lock);
    for (size_t i = 0; i < owned.n_words; i++) {
        n += (size_t)__builtin_popcountll(owned.words[i]);
    }
    pthread_mutex_unlock(&owned.lock);
    return n;
}

unsigned
sg_sys_generation(void)
{
    return owned.generation;
}

void
sg_sys_before_fork(void)
{
    pthread_mutex_lock(&owned.lock);
}

void
sg_sys_after_fork(bool child)
{
    if (child && !sg_sys_spawning) {
        for (size_t i = 0; i < owned.n_words * BITS_PER_WORD; i++) {
            if (owned.words[i / BITS_PER_WORD] >> (i % BITS_PER_WORD) & 1) {
                close((int)i);
                forget_locked((int)i);
            }
        }
        owned.generation++;
    }
    pthread_mutex_unlock(&owned.lock);
}

/* ---- Pipes and sockets ------------------------------------------------ */

int
sg_sys_pipe(int fd[2])
{
    int err = fault("pipe");

    fd[0] = fd[1] = -1;
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&owned.lock);
#ifdef SG_PORTABLE
    err = (int)or_errno(pipe(fd));
#else
    err = (int)or_errno(pipe2(fd, O_CLOEXEC));
#endif
    if (err >= 0) {
        err = keep_pair_locked(fd);
    }
    pthread_mutex_unlock(&owned.lock);
    return err;
}

int
sg_sys_socketpair(int fd[2])
{
    int err = fault("socketpair");
    int type = SOCK_STREAM;

    fd[0] = fd[1] = -1;
    if (err < 0) {
        return err;
    }
#ifndef SG_PORTABLE
    type |= SOCK_CLOEXEC;
#endif
    pthread_mutex_lock(&owned.lock);
    err = (int)or_errno(socketpair(AF_UNIX, type, 0, fd));
    if (err >= 0) {
        err = keep_pair_locked(fd);
    }
    pthread_mutex_unlock(&owned.lock);
    return err;
}

int
sg_sys_open_null(void)
{
    int fd = fault("open");

    if (fd < 0) {
        return fd;
    }
    pthread_mutex_lock(&owned.lock);
    fd = sg_sys_keep_locked(open("/dev/null", O_WRONLY | O_CLOEXEC));
    pthread_mutex_unlock(&owned.lock);
    return fd;
}

int
sg_sys_set_blocking(int fd, bool blocking)
{
    int flags = fcntl(fd, F_GETFL);
    int wanted;

    if (flags < 0) {
        return -errno;
    }
    wanted = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    return wanted == flags ? 0 : (int)or_errno(fcntl(fd, F_SETFL, wanted));
}

bool
sg_sys_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

bool
sg_sys_is_socket(int fd)
{
    int type;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

bool
sg_sys_is_stream(int fd)
{
    int type;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0
           && type == SOCK_STREAM;
}

ssize_t
sg_sys_read(int fd, void *to, size_t n)
{
    int err = fault("read");

    n = shortened("read short", n);
    return err < 0 ? err : or_errno(read(fd, to, n));
}

ssize_t
sg_sys_write(int fd, const void *from, size_t n)
{
    int err = fault("write");

    n = shortened("write short", n);
    return err < 0 ? err : or_errno(write(fd, from, n));
}

static bool
is_pending(int number)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, number) == 1;
}

/* The kernel sends SIGPIPE to the thread that writes.  So block the signal in
 * this thread and, after EPIPE, remove it with sigwait().  A SIGPIPE that was
 * pending before the call stays pending: it belongs to the program.  (That
 * needs a thread that had already blocked the signal.) */
ssize_t
sg_sys_write_quietly(int fd, const void *from, size_t n)
{
    sigset_t pipe, before;
    bool was_pending;
    ssize_t result;
    int taken;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    was_pending = sigismember(&before, SIGPIPE) == 1 && is_pending(SIGPIPE);
    result = sg_sys_write(fd, from, n);
    if (result == -EPIPE && !was_pending && is_pending(SIGPIPE)) {
        sigwait(&pipe, &taken);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

ssize_t
sg_sys_recv(int fd, void *to, size_t n, int flags)
{
    int err = fault("recv");

    n = shortened("recv short", n);
    return err < 0 ? err : or_errno(recv(fd, to, n, flags));
}

ssize_t
sg_sys_send(int fd, const void *from, size_t n, int flags)
{
    int err = fault("send");

    n = shortened("send short", n);
    return err < 0 ? err : or_errno(send(fd, from, n, flags | MSG_NOSIGNAL));
}

ssize_t
sg_sys_send_pieces(int fd, const struct iovec *pieces, size_t n, int flags)
{
    struct msghdr message = {.msg_iov = (struct iovec *)pieces,
                             .msg_iovlen = n};

    return n == 1 ? sg_sys_send(fd, pieces->iov_base, pieces->iov_len, flags)
                  : sg_sys_sendmsg(fd, &message, flags);
}

ssize_t
sg_sys_recvmsg(int fd, struct msghdr *message, int flags)
{
    int err = fault("recvmsg");

    return err < 0 ? err : or_errno(recvmsg(fd, message, flags));
}

ssize_t
sg_sys_sendmsg(int fd, const struct msghdr *message, int flags)
{
    int err = fault("sendmsg");
    struct msghdr some = *message;

    if (some.msg_iovlen > 1 && fault("sendmsg short") != 0) {
        some.msg_iovlen = 1;
    }
    return err < 0 ? err : or_errno(sendmsg(fd, &some, flags | MSG_NOSIGNAL));
}

int
sg_sys_shutdown(int fd, int how)
{
    return (int)or_errno(shutdown(fd, how));
}

int
sg_sys_getsockopt(int fd, int level, int name, void *to, socklen_t *len)
{
    return (int)or_errno(getsockopt(fd, level, name, to, len));
}

int
sg_sys_setsockopt(int fd, int level, int name, const void *from, socklen_t len)
{
    return (int)or_errno(setsockopt(fd, level, name, from, len));
}

int
sg_sys_dup(int fd)
{
    return (int)or_errno(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

int
sg_sys_get_inheritable(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    return flags < 0 ? -errno : (flags & FD_CLOEXEC) == 0;
}

int
sg_sys_set_inheritable(int fd, bool is_inheritable)
{
    return (int)or_errno(fcntl(fd, F_SETFD, is_inheritable ? 0 : FD_CLOEXEC));
}

/* Append the descriptors of one control message to the *count in `to`, which
 * has room for `room`, and close those that do not fit.  Return 0, or the
 * negative errno of the last descriptor that could not be kept. */
static int
take_descriptors_locked(struct cmsghdr *header, int *to, size_t room,
                        size_t *count)
{
    size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int result = 0;

    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(header) + i * sizeof(fd), sizeof(fd));
        if (*count == room) {
            close(fd);
            continue;
        }
        fd = sg_sys_keep_locked(fd);
        if (fd < 0) {
            result = fd;
            continue;
        }
        to[(*count)++] = fd;
    }
    return result;
}

ssize_t
sg_sys_recv_descriptors(int fd, int *to, size_t room, size_t *count)
{
    char data[16];
    union {
        char space[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    int flags = 0;
    ssize_t result = fault("recv_descriptors");

    *count = 0;
    if (result < 0) {
        return result;
    }
#ifndef SG_PORTABLE
    flags |= MSG_CMSG_CLOEXEC;
#endif
    pthread_mutex_lock(&owned.lock);
    result = or_errno(recvmsg(fd, &message, flags | MSG_DONTWAIT));
    if (result >= 0) {
        for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
             header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level == SOL_SOCKET
                && header->cmsg_type == SCM_RIGHTS) {
                int err = take_descriptors_locked(header, to, room, count);

                result = err < 0 ? err : result;
            }
        }
        if (*count == 0 && result >= 0 && message.msg_flags & MSG_CTRUNC) {
            result = -EMFILE; /* the kernel has dropped the descriptors */
        }
    }
    pthread_mutex_unlock(&owned.lock);
    return result;
}

int
sg_sys_pipe_reader(int fd)
{
#ifdef SG_PORTABLE
    (void)fd;
    return -ENOTSUP;
#else
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    pthread_mutex_lock(&owned.lock);
    fd = sg_sys_keep_locked(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    pthread_mutex_unlock(&owned.lock);
    return fd;
#endif
}

ssize_t
sg_sys_splice(int from_fd, int pipe_fd, size_t n)
{
    int err = fault("splice");

#ifdef SG_PORTABLE
    (void)from_fd, (void)pipe_fd, (void)n;
    return err < 0 ? err : -ENOSYS;
#else
    return err < 0 ? err
                   : or_errno(splice(from_fd, NULL, pipe_fd, NULL, n,
                                     SPLICE_F_NONBLOCK | SPLICE_F_MOVE));
#endif
}

void
sg_sys_grow_pipe(int fd, int size)
{
#ifdef SG_PORTABLE
    (void)fd, (void)size;
#else
    (void)!fcntl(fd, F_SETPIPE_SZ, size);
#endif
}

int
sg_sys_unread(int fd)
{
    int n = 0;

    return ioctl(fd, FIONREAD, &n) < 0 ? -errno : n;
}
