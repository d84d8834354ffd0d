/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The system calls that concern child processes; see sys.h.
 */
#include "sys/internal.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SG_PORTABLE
#include <sys/syscall.h>
#endif

extern char **environ;

_Thread_local bool sg_sys_spawning;

pid_t
sg_sys_spawn(void (*child)(void *), void *arg)
{
    pid_t pid = fault("spawn");

    if (pid < 0) {
        return pid;
    }
    sg_sys_spawning = true;
#ifdef SG_PORTABLE
    pid = fork();
#else
    /* vfork() copies no page tables, so its cost does not grow with the
     * program's memory. */
    pid = vfork();
#endif
    if (pid == 0) {
        child(arg);
        _exit(127);
    }
    sg_sys_spawning = false;
    return pid < 0 ? -errno : pid;
}

int
sg_sys_pidfd(pid_t pid)
{
#if defined(SG_PORTABLE) || !defined(SYS_pidfd_open)
    (void)pid;
    return -ENOSYS;
#else
    int fd = fault("pidfd");

    if (fd < 0) {
        return fd;
    }
    sg_sys_lock();
    fd = sg_sys_keep_locked((int)syscall(SYS_pidfd_open, pid, 0));
    sg_sys_unlock();
    return fd;
#endif
}

int
sg_sys_wait(pid_t pid, int pidfd, bool block, bool keep, int *returncode)
{
    siginfo_t info = {.si_pid = 0};
    int flags = WEXITED | (block ? 0 : WNOHANG) | (keep ? WNOWAIT : 0);
    int result;

#ifndef SG_PORTABLE
    /* <sys/wait.h> declares P_PIDFD as an enumerator or not at all, so #ifdef
     * cannot test for it. */
    const idtype_t by_pidfd = (idtype_t)3; /* P_PIDFD */

    result = waitid(pidfd >= 0 ? by_pidfd : P_PID,
                    (id_t)(pidfd >= 0 ? pidfd : pid), &info, flags);
#else
    (void)pidfd;
    result = waitid(P_PID, (id_t)pid, &info, flags);
#endif
    if (result < 0) {
        return -errno;
    }
    if (info.si_pid == 0) {
        return 0;
    }
    *returncode = info.si_code == CLD_EXITED ? info.si_status
                                             : -info.si_status;
    return 1;
}

int
sg_sys_kill(pid_t pid, int pidfd, bool group, int signal_number)
{
#if !defined(SG_PORTABLE) && defined(SYS_pidfd_send_signal)
    if (pidfd >= 0 && !group) {
        return (int)or_errno(
            syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0));
    }
#else
    (void)pidfd;
#endif
    return (int)or_errno(kill(group ? -pid : pid, signal_number));
}

int
sg_sys_child_new_session(void)
{
    return (int)or_errno(setsid());
}

int
sg_sys_child_dup(int fd, int target)
{
    if (fd == target) {
        return (int)or_errno(fcntl(fd, F_SETFD, 0));
    }
    return (int)or_errno(dup2(fd, target));
}

int
sg_sys_child_chdir(const char *path)
{
    return (int)or_errno(chdir(path));
}

/* Reset the handlers before the mask is lifted: after vfork(2) a handler would
 * run in the parent's memory.  An ignored signal stays ignored across exec, as
 * nohup(1) needs it, apart from SIGPIPE and SIGXFSZ, which Python ignores for
 * its own sake. */
void
sg_sys_child_signals(bool ignore_interrupt)
{
    struct sigaction action, standard = {.sa_handler = SIG_DFL};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        if (sigaction(number, NULL, &action) == 0
            && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL) {
            sigaction(number, &standard, NULL);
        }
    }
    sigaction(SIGPIPE, &standard, NULL);
#ifdef SIGXFSZ
    sigaction(SIGXFSZ, &standard, NULL);
#endif
    if (ignore_interrupt) {
        sigaction(SIGINT, &ignore, NULL);
        sigaction(SIGQUIT, &ignore, NULL);
    }
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

void
sg_sys_child_close_from(int lowest)
{
    struct rlimit limit;
    int end = 65536;

#if !defined(SG_PORTABLE) && defined(SYS_close_range)
    const unsigned int close_on_exec = 1U << 2; /* CLOSE_RANGE_CLOEXEC */

    if (syscall(SYS_close_range, lowest, UINT_MAX, close_on_exec) == 0) {
        return;
    }
#endif
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0
        && limit.rlim_cur < (rlim_t)end) {
        end = (int)limit.rlim_cur;
    }
    for (int fd = lowest; fd < end; fd++) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
}

int
sg_sys_child_exec(const char *path, char *const *argv, char *const *envp)
{
    execve(path, argv, envp != NULL ? envp : environ);
    return -errno;
}

void
sg_sys_child_exit(int status)
{
    _exit(status);
}
