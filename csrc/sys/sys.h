/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The system calls of the engine.  No other folder makes any.
 *
 * Return values: the functions are thin wrappers.  They return the call's
 * result if it is 0 or positive, else a negative errno; they never retry (so
 * -EINTR reaches the caller), and the caller does not look at errno.
 *
 * Descriptors: every descriptor that is created here
 *  - is close-on-exec;
 *  - is never 0, 1 or 2, not even in a program that has closed those.  A
 *    child's dup2() to its standard streams therefore cannot overwrite a
 *    descriptor that the child is about to use;
 *  - is owned: this file remembers its number until sg_sys_close() or
 *    sg_sys_disown().
 * sg_sys_dup() is the one exception: its descriptor is not owned.
 *
 * Fork: the child of a fork() closes all owned descriptors at once, so that it
 * cannot disturb its parent's streams, and counts its generation up by one.
 * A number that was stored under another generation is no longer ours: the
 * program may have given it to another file.
 *
 * Faults: in a build with SG_FAULTS, calls ask sg_sys_fault_hook first, so
 * that a test can make them fail.
 *
 * Threads: all functions may be called on any thread, apart from those that
 * the section about processes restricts.
 *
 * Each call that only Linux has comes with a portable replacement.
 * SG_PORTABLE selects the replacements, on Linux too.
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
/* Called with the name of a call before the call is made.  Returns 0, or the
 * negative errno that the call is to fail with. */
extern int (*sg_sys_fault_hook)(const char *call);
#endif

/* ---- Time and trace --------------------------------------------------- */

/* Return the time of the monotonic clock in nanoseconds. */
int64_t sg_sys_now(void);

/* Return the nanoseconds since 1970.  Use this only for an interface that
 * requires the wall clock, because the wall clock can be set at any time. */
int64_t sg_sys_wall_clock(void);

/* Write one line, formatted as by printf(3), to standard error.  Do nothing
 * unless the environment variable SSHGATEWAY_TRACE was set and not empty at
 * the first call.  A line longer than 255 bytes is cut. */
void sg_sys_trace(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* ---- Descriptors and fork --------------------------------------------- */

/* Make `fd`, which was created elsewhere, an owned descriptor.  Return 0, or
 * a negative errno (ENOMEM).  On failure `fd` remains the caller's. */
int sg_sys_own(int fd);

/* Stop owning `fd`.  It stays open, also in the child of a fork(). */
void sg_sys_disown(int fd);

/* Close *fd, unless it is -1, and set it to -1.  Errors are ignored. */
void sg_sys_close(int *fd);

/* Close *fd as sg_sys_close() does if `generation`, the sg_sys_generation()
 * under which it was stored, is the present one.  Else only set *fd to -1: the
 * fork has closed that descriptor, and the number may belong to another file
 * by now. */
void sg_sys_close_of(unsigned generation, int *fd);

/* Return the number of owned descriptors; for tests. */
size_t sg_sys_owned(void);

/* Return the generation of this process, a number that grows by one in each
 * child of a fork().  Objects store it beside their descriptors.  If the
 * stored number differs from the present one, this process is a child in
 * which fork() has closed those descriptors. */
unsigned sg_sys_generation(void);

/* The fork handlers of engine/loop.c call these two.  `child` is true in the
 * child and false in the parent. */
void sg_sys_before_fork(void);
void sg_sys_after_fork(bool child);

/* ---- Pipes and sockets ------------------------------------------------ */

/* Create a pipe: fd[0] reads, fd[1] writes.  Both block.  Return 0, or a
 * negative errno with both set to -1. */
int sg_sys_pipe(int fd[2]);

/* Create two connected AF_UNIX stream sockets.  Both block.  Return as
 * sg_sys_pipe() does. */
int sg_sys_socketpair(int fd[2]);

/* Open /dev/null for writing and return its descriptor. */
int sg_sys_open_null(void);

/* Set or clear O_NONBLOCK.  Return 0 or a negative errno. */
int sg_sys_set_blocking(int fd, bool blocking);

bool sg_sys_is_open(int fd);
bool sg_sys_is_socket(int fd);
bool sg_sys_is_stream(int fd); /* a socket of type SOCK_STREAM */

/* read(2), write(2), recv(2), send(2), recvmsg(2) and sendmsg(2).  Return the
 * number of bytes.  The sends never raise SIGPIPE. */
ssize_t sg_sys_read(int fd, void *to, size_t n);
ssize_t sg_sys_write(int fd, const void *from, size_t n);
ssize_t sg_sys_recv(int fd, void *to, size_t n, int flags);
ssize_t sg_sys_send(int fd, const void *from, size_t n, int flags);
ssize_t sg_sys_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t sg_sys_sendmsg(int fd, const struct msghdr *message, int flags);

/* Write as sg_sys_write() does, but never raise SIGPIPE.  Use this on the
 * program's threads, because only a loop's thread blocks that signal. */
ssize_t sg_sys_write_quietly(int fd, const void *from, size_t n);

/* Send `n` pieces in their order with one system call; n >= 1. */
ssize_t sg_sys_send_pieces(int fd, const struct iovec *pieces, size_t n,
                           int flags);

int sg_sys_shutdown(int fd, int how);
int sg_sys_getsockopt(int fd, int level, int name, void *to, socklen_t *len);
int sg_sys_setsockopt(int fd, int level, int name, const void *from,
                      socklen_t len);

/* Return a close-on-exec duplicate of `fd`.  It is not owned: the caller hands
 * it to the program. */
int sg_sys_dup(int fd);

/* Whether the programs that this process executes get `fd`: return 1 or 0, or
 * a negative errno.  The second function changes it and returns 0. */
int sg_sys_get_inheritable(int fd);
int sg_sys_set_inheritable(int fd, bool is_inheritable);

/* Receive data and the descriptors that came with it (SCM_RIGHTS), without
 * waiting.  The first `room` descriptors go to `to`, their number to *count,
 * and they are owned; further ones are closed.  The data itself is dropped.
 * Return the number of data bytes, 0 at the end of the stream, -EAGAIN if
 * nothing has arrived, -EMFILE if this process had no room for the
 * descriptors, or another negative errno. */
ssize_t sg_sys_recv_descriptors(int fd, int *to, size_t room, size_t *count);

/* Open a second, non-blocking reading end of the pipe that `fd` writes to.
 * With it sg_sys_unread() works even after `fd` is closed.  Return the new
 * descriptor or a negative errno; -ENOTSUP in a portable build. */
int sg_sys_pipe_reader(int fd);

/* Move up to `n` bytes from a socket into a pipe without copying them
 * (splice(2)).  Return their number.  -EAGAIN means that the socket is empty
 * or the pipe is full.  After 0 or another negative errno the caller must copy
 * instead; -ENOSYS where there is no splice(2). */
ssize_t sg_sys_splice(int from_fd, int pipe_fd, size_t n);

/* Let a pipe hold `size` bytes.  Best effort; failure is ignored. */
void sg_sys_grow_pipe(int fd, int size);

/* Return the number of unread bytes in a pipe, or a negative errno. */
int sg_sys_unread(int fd);

/* ---- Waiting ---------------------------------------------------------- */

/* poll(2).  Return the number of ready descriptors, or 0 at the timeout.  -1
 * means no timeout, as sg_deadline_ms() returns it. */
int sg_sys_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

/* Sleep for up to `ns` nanoseconds.  Only for places that have no descriptor
 * to wait for. */
void sg_sys_pause(int64_t ns);

/* A descriptor that another thread can make readable: an eventfd(2), or a pipe
 * where that is missing. */
struct sg_wakeup {
    int reader; /* poll this one */
    int writer; /* the same number as `reader` if it is an eventfd */
};

/* Create the descriptors.  Return 0, or a negative errno with both set to
 * -1. */
int sg_sys_wakeup_open(struct sg_wakeup *wakeup);

/* Make `reader` readable until sg_sys_wakeup_clear().  Any thread may do so;
 * setting it twice has the same effect as once. */
void sg_sys_wakeup_set(const struct sg_wakeup *wakeup);
void sg_sys_wakeup_clear(const struct sg_wakeup *wakeup);

/* Close both descriptors and set them to -1. */
void sg_sys_wakeup_close(struct sg_wakeup *wakeup);

#ifndef SG_PORTABLE
/* epoll(7); see engine/poller.c. */
struct epoll_event;
int sg_sys_epoll_create(void);
int sg_sys_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int sg_sys_epoll_wait(int epfd, struct epoll_event *events, int max,
                      int timeout_ms);
#endif

/* ---- Processes -------------------------------------------------------- */

/* Run child(arg) in a child process and return its process id, or a negative
 * errno.  With vfork(2) the child runs in the parent's memory while the
 * calling thread is suspended.  Therefore
 *  - the caller must have blocked all signals;
 *  - child() must end in exec or _exit, and may call only the functions named
 *    sg_sys_child_... below. */
pid_t sg_sys_spawn(void (*child)(void *), void *arg);

/* Return a descriptor that becomes readable when process `pid` ends, or
 * -ENOSYS where pidfd_open(2) is missing.  (proxy/child.c then calls
 * sg_sys_wait() from time to time.) */
int sg_sys_pidfd(pid_t pid);

/* Find out whether a child has ended, and reap it.
 *   pidfd  the child's sg_sys_pidfd(), or negative
 *   block  wait until the child has ended
 *   keep   do not reap the child: as a zombie it keeps the number of its
 *          process group in use
 * Return 0 while it runs.  Return 1 after it has ended and set *returncode as
 * subprocess.Popen does: the exit status, or the negative number of the signal
 * that killed it.  Return -ECHILD if other code of the program has reaped it,
 * or another negative errno. */
int sg_sys_wait(pid_t pid, int pidfd, bool block, bool keep, int *returncode);

/* Send a signal to a child that has not been reaped.  `group`: send it to its
 * whole process group.  Return 0 or a negative errno. */
int sg_sys_kill(pid_t pid, int pidfd, bool group, int signal_number);

/* The following functions are only for the child() of sg_sys_spawn(), and all
 * are safe there.  Those that return int return 0 or a negative errno. */

/* setsid(2). */
int sg_sys_child_new_session(void);

/* Make `target` a copy of `fd` that stays open across exec. */
int sg_sys_child_dup(int fd, int target);

int sg_sys_child_chdir(const char *path);

/* Reset the signal handlers and unblock all signals.  `ignore_interrupt`:
 * ignore SIGINT and SIGQUIT. */
void sg_sys_child_signals(bool ignore_interrupt);

/* Make every descriptor from `lowest` up close-on-exec. */
void sg_sys_child_close_from(int lowest);

/* execve(2); `envp` NULL means the environment of this process.  Returns only
 * if it fails: a negative errno. */
int sg_sys_child_exec(const char *path, char *const *argv, char *const *envp);

/* _exit(2). */
_Noreturn void sg_sys_child_exit(int status);

#endif
