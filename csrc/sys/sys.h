/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Every system call of the engine, and every descriptor it owns.
 *
 * The functions are thin.  They never retry, and instead of setting errno
 * they return it: a result >= 0, or a negative errno.
 *
 * What makes them more than wrappers:
 *  - A descriptor made here is close-on-exec and never 0, 1 or 2, even in a
 *    program that has closed those, so that a child's dup2() to its standard
 *    streams can't overwrite what it is about to use.
 *  - A descriptor made here is remembered until sg_sys_close() or
 *    sg_sys_disown(), and in the child of a fork() all of them are closed at
 *    once: a child can't touch its parent's streams.
 *  - Built with SG_FAULTS, each call asks sg_sys_fault_hook first, so that a
 *    test can make it fail.
 *
 * Linux-only calls stand here, each with its portable twin (SG_PORTABLE).
 */
#ifndef SG_SYS_H
#define SG_SYS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#if !defined(__linux__) && !defined(SG_PORTABLE)
#define SG_PORTABLE 1
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: the loop's thread blocks SIGPIPE anyway */
#endif

/* ---- Faults ----------------------------------------------------------- */

#ifdef SG_FAULTS
/* Asked with the name of each call; answers 0 or a negative errno. */
extern int (*sg_sys_fault_hook)(const char *call);
#endif

/* ---- Time and trace --------------------------------------------------- */

/* Nanoseconds on the monotonic clock. */
int64_t sg_sys_now(void);

/* Nanoseconds since 1970: only for interfaces that know no other clock. */
int64_t sg_sys_wall_clock(void);

/* A line on standard error when SSHGATEWAY_TRACE is set and not empty. */
void sg_sys_trace(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* ---- Descriptors and fork --------------------------------------------- */

/* Take over a descriptor that was made elsewhere.  0, or a negative errno
 * and the descriptor is the caller's still. */
int sg_sys_own(int fd);

/* Give a descriptor away: it stays open, in a child of fork() too. */
void sg_sys_disown(int fd);

/* Close *fd unless it is -1, and set it to -1. */
void sg_sys_close(int *fd);

/* The same for a descriptor of that sg_sys_generation().  Of another one, it
 * is closed already, and the number may be somebody else's: only forgotten. */
void sg_sys_close_of(unsigned generation, int *fd);

/* How many descriptors are owned; for the tests. */
size_t sg_sys_owned(void);

/* Grows by one in each child of a fork.  Who remembers another number holds
 * descriptors that are closed, and perhaps somebody else's by now. */
unsigned sg_sys_generation(void);

/* For the fork handlers of loop.c. */
void sg_sys_before_fork(void);
void sg_sys_after_fork(bool child);

/* ---- Pipes and sockets ------------------------------------------------ */

int sg_sys_pipe(int fd[2]);       /* fd[0] reads, fd[1] writes; blocking */
int sg_sys_socketpair(int fd[2]); /* AF_UNIX, SOCK_STREAM; blocking */
int sg_sys_open_null(void);       /* /dev/null for writing */
int sg_sys_set_blocking(int fd, bool blocking);
bool sg_sys_is_open(int fd);
bool sg_sys_is_socket(int fd);
bool sg_sys_is_stream(int fd); /* a socket of type SOCK_STREAM */

ssize_t sg_sys_read(int fd, void *to, size_t n);
ssize_t sg_sys_write(int fd, const void *from, size_t n);
/* Without the SIGPIPE: for a thread of the program's. */
ssize_t sg_sys_write_quietly(int fd, const void *from, size_t n);
ssize_t sg_sys_recv(int fd, void *to, size_t n, int flags);
ssize_t sg_sys_send(int fd, const void *from, size_t n, int flags);
ssize_t sg_sys_send_pieces(int fd, const struct iovec *pieces, size_t n,
                           int flags);
ssize_t sg_sys_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t sg_sys_sendmsg(int fd, const struct msghdr *message, int flags);
int sg_sys_shutdown(int fd, int how);
int sg_sys_getsockopt(int fd, int level, int name, void *to, socklen_t *len);
int sg_sys_setsockopt(int fd, int level, int name, const void *from,
                      socklen_t len);
int sg_sys_dup(int fd); /* not remembered: it is for the caller to keep */

/* Receive up to `room` descriptors that came with data (SCM_RIGHTS).  All
 * are remembered.  Returns the number of data bytes, 0 at the end. */
ssize_t sg_sys_recv_descriptors(int fd, int *to, size_t room, size_t *count);

/* A second, reading end of the pipe that `fd` writes to, non-blocking; it
 * tells what is still unread after `fd` is closed.  -ENOTSUP elsewhere. */
int sg_sys_pipe_reader(int fd);

/* Move up to `n` bytes from a socket into a pipe without copying them.
 * -EAGAIN: the socket is empty or the pipe is full.  Anything else that is
 * not positive: copy instead; -ENOSYS where there is no splice(2). */
ssize_t sg_sys_splice(int from_fd, int pipe_fd, size_t n);

/* Let a pipe hold `size` bytes.  It is none the worse if that is refused. */
void sg_sys_grow_pipe(int fd, int size);

/* How many bytes of a pipe are unread. */
int sg_sys_unread(int fd);

/* ---- Waiting ---------------------------------------------------------- */

int sg_sys_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

/* Only where there is nothing to wait for. */
void sg_sys_pause(int64_t ns);

/* Something that another thread can make readable. */
struct sg_wakeup {
    int reader;
    int writer; /* the same descriptor where there is eventfd(2) */
};

int sg_sys_wakeup_open(struct sg_wakeup *wakeup);
void sg_sys_wakeup_set(const struct sg_wakeup *wakeup);
void sg_sys_wakeup_clear(const struct sg_wakeup *wakeup);
void sg_sys_wakeup_close(struct sg_wakeup *wakeup);

#ifndef SG_PORTABLE
struct epoll_event;
int sg_sys_epoll_create(void);
int sg_sys_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int sg_sys_epoll_wait(int epfd, struct epoll_event *events, int max,
                      int timeout_ms);
#endif

/* ---- Processes -------------------------------------------------------- */

/* Run child(arg) in a child process; it must end in exec or _exit, and call
 * nothing but the functions named sg_sys_child_... below: with vfork(2) it
 * runs in the parent's memory.  All signals must be blocked.  Returns the
 * process id or a negative errno. */
pid_t sg_sys_spawn(void (*child)(void *), void *arg);

/* A descriptor that becomes readable when the process ends; -ENOSYS where
 * there is none (the portable twin asks sg_sys_wait from time to time). */
int sg_sys_pidfd(pid_t pid);

/* Has the child ended?  1 and *returncode as subprocess gives it (negative
 * for a signal), 0 when it runs, -ECHILD when somebody else has reaped it.
 * `block`: wait for it.  `keep`: leave it a zombie, so that its process
 * group keeps its number. */
int sg_sys_wait(pid_t pid, int pidfd, bool block, bool keep, int *returncode);

/* Signal a child that is not reaped.  `group`: its whole process group. */
int sg_sys_kill(pid_t pid, int pidfd, bool group, int signal_number);

/* Only between sg_sys_spawn and exec. */
int sg_sys_child_new_session(void);
int sg_sys_child_dup(int fd, int target);
int sg_sys_child_chdir(const char *path);
void sg_sys_child_signals(bool ignore_interrupt);
void sg_sys_child_close_from(int lowest);
int sg_sys_child_exec(const char *path, char *const *argv, char *const *envp);
_Noreturn void sg_sys_child_exit(int status);

#endif
