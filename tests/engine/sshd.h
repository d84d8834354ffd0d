/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A private sshd at the other end of a socketpair (inetd mode), and sessions
 * with it.  Keys and configuration live in a directory of their own.
 */
#ifndef SG_TEST_SSHD_H
#define SG_TEST_SSHD_H

#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "ssh/auth.h"
#include "peers.h"
#include "ssh/session.h"

#define SSHD "/usr/sbin/sshd"
#define PRIVSEP_DIR "/run/sshd"
#define PRIVSEP_OURS 0700 /* the mode by which we know one that we made */

static char sshd_dir[64];
static int privsep_dir = -1;

__attribute__((format(printf, 1, 2))) HELPER void
shell(const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    CHECK_EQ(system(command), 0);
}

/* sshd wants that directory from root, though it uses it little.  Others of
 * our tests, at the same time, want it too: all hold a lock on it, and the
 * last removes it (tests/support/keeper.py does the same). */
HELPER void
privsep_take(void)
{
    struct stat info = {.st_nlink = 0};

    /* No link: it was removed before we had the lock. */
    for (int tries = 0; info.st_nlink == 0; tries++) {
        CHECK_LE(tries, 1000);
        close(privsep_dir);
        mkdir(PRIVSEP_DIR, PRIVSEP_OURS);
        privsep_dir = open(PRIVSEP_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (privsep_dir >= 0) {
            CHECK_EQ(flock(privsep_dir, LOCK_SH), 0);
            CHECK_EQ(fstat(privsep_dir, &info), 0);
        }
    }
}

HELPER void
privsep_drop(void)
{
    struct stat info;

    if (privsep_dir >= 0 && flock(privsep_dir, LOCK_EX | LOCK_NB) == 0
        && fstat(privsep_dir, &info) == 0
        && (info.st_mode & 0777) == PRIVSEP_OURS) {
        rmdir(PRIVSEP_DIR);
    }
    close(privsep_dir);
}

/* A host key, a user's key, and one that nobody knows. */
HELPER void
sshd_prepare(void)
{
    snprintf(sshd_dir, sizeof(sshd_dir), "/tmp/sg-engine-XXXXXX");
    CHECK(mkdtemp(sshd_dir) != NULL);
    if (geteuid() == 0) {
        privsep_take();
    }
    shell("cd %s && for key in host user stranger; do"
          " ssh-keygen -q -t ed25519 -N '' -C '' -f $key || exit 1; done"
          " && cp user.pub authorized_keys",
          sshd_dir);
}

HELPER void
sshd_clean_up(void)
{
    shell("rm -rf %s", sshd_dir);
    privsep_drop();
}

HELPER void *
do_nothing(void *unused)
{
    return unused;
}

/* ThreadSanitizer has a thread of its own from the first one on, which is
 * nothing that a case has left. */
HELPER void
make_first_thread(void)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* A program's main(). */
HELPER int
run_cases_with_sshd(const struct test_case *cases, size_t n, int argc,
                    char **argv)
{
    int result;

    if (access(SSHD, X_OK) != 0) {
        dprintf(STDERR_FILENO, "%s is not installed\n", SSHD);
        return 1;
    }
    sshd_prepare();
    make_first_thread();
    result = run_cases(cases, n, argc, argv);
    sshd_clean_up();
    return result;
}

/* What a file of that directory holds, ended with NUL; for free(). */
HELPER char *
sshd_file(const char *name, size_t *n)
{
    char path[128];
    char *text = calloc(1, 65536);
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", sshd_dir, name);
    file = fopen(path, "re");
    CHECK(text != NULL);
    CHECK(file != NULL);
    *n = fread(text, 1, 65535, file);
    fclose(file);
    return text;
}

HELPER const char *
user_name(void)
{
    const struct passwd *user = getpwuid(geteuid());

    CHECK(user != NULL);
    return user->pw_name;
}

/* ---- The server ------------------------------------------------------- */

struct sshd {
    int fd;    /* the client's end: owned by the engine */
    pid_t pid; /* also the number of its process group */
};

/* `options`: more lines of its configuration. */
HELPER struct sshd
sshd_start(const char *options)
{
    struct sshd sshd;
    char config[128], log[128];
    int pair[2];
    FILE *file;

    snprintf(config, sizeof(config), "%s/config", sshd_dir);
    snprintf(log, sizeof(log), "%s/log", sshd_dir);
    file = fopen(config, "we");
    CHECK(file != NULL);
    fprintf(file,
            "%s\n"
            "HostKey %s/host\n"
            "AuthorizedKeysFile %s/authorized_keys\n"
            "PidFile none\n"
            "UsePAM no\n"
            "StrictModes no\n"
            "PermitRootLogin yes\n"
            "PasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n",
            options, sshd_dir, sshd_dir);
    CHECK_EQ(fclose(file), 0);
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    sg_sys_disown(pair[1]); /* or fork() would close it */
    sshd.pid = fork();
    CHECK_GE(sshd.pid, 0);
    if (sshd.pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        setpgid(0, 0);
        dup2(pair[1], STDIN_FILENO);
        dup2(pair[1], STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        sg_sys_child_close_from(3);
        execl(SSHD, SSHD, "-i", "-f", config, "-E", log, (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    sshd.fd = pair[0];
    return sshd;
}

/* Send a signal to all of its processes.  After the login of a user other than
 * root there are two, and the one that we have not started has the connection.
 */
HELPER void
sshd_signal(const struct sshd *sshd, int number)
{
    CHECK_EQ(kill(-sshd->pid, number), 0);
}

HELPER bool
sshd_is_reaped(void *arg)
{
    struct sshd *sshd = arg;

    return waitpid(sshd->pid, NULL, WNOHANG) == sshd->pid;
}

/* It ends by itself. */
HELPER void
sshd_join(struct sshd *sshd)
{
    wait_until(sshd_is_reaped, sshd);
}

/* ---- The caller's side ------------------------------------------------ */

HELPER int
never_interrupt(void *unused)
{
    (void)unused;
    return 0;
}

HELPER struct sg_wait
wait_at_most(int64_t ns)
{
    return (struct sg_wait){.deadline = sg_deadline_after(ns),
                            .interrupt = never_interrupt};
}

HELPER struct sg_wait
patiently(void)
{
    return wait_at_most((under_valgrind() ? 6 : 1) * PATIENCE * SG_SEC);
}

HELPER struct sg_session *
session_with(int fd, struct sg_shared *shared)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_session *session = sg_session_new(fd, shared, &error);

    CHECK(session != NULL);
    return session;
}

HELPER struct sg_session *
session_on(int fd)
{
    struct sg_shared *shared = sg_shared_new();
    struct sg_session *session = session_with(fd, shared);

    sg_shared_unref(shared); /* the session has its own reference */
    return session;
}

/* Of success, with what was said when there was none. */
#define CHECK_OK(call, error)                                                 \
    do {                                                                      \
        int seen_status = (call);                                             \
                                                                              \
        if (seen_status != SG_OK) {                                           \
            test_fail(__FILE__, __LINE__, "%s: %d, %d, %d, \"%s\"", #call,    \
                      seen_status, (error).err, (error).code, (error).text);  \
        }                                                                     \
    } while (0)

HELPER void
shake_hands(struct sg_session *session)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = patiently();

    CHECK_OK(sg_session_handshake(session, NULL, &wait, &error), error);
}

/* Log in with the key of that name. */
HELPER enum sg_status
log_in(struct sg_session *session, const char *name, struct sg_error *error)
{
    struct sg_wait wait = patiently();
    size_t n;
    char *key = sshd_file(name, &n);
    enum sg_status status = sg_auth_key(session, user_name(), key, n, NULL,
                                        NULL, &wait, error);

    free(key);
    return status;
}

/* ---- A gateway: a session that runs ----------------------------------- */

struct gateway {
    struct sshd sshd;
    uint64_t loop;
    int control;
    struct sg_shared *shared;
};

HELPER struct gateway
gateway_open_with(const char *options, const struct sg_alive *alive)
{
    struct gateway gateway = {.sshd = sshd_start(options),
                              .shared = sg_shared_new()};
    struct sg_session *session = session_with(gateway.sshd.fd, gateway.shared);
    struct sg_error error = {.status = SG_OK};

    shake_hands(session);
    CHECK_OK(log_in(session, "user", &error), error);
    CHECK_OK(sg_session_start(session, alive, &gateway.loop, &gateway.control,
                              &error),
             error);
    return gateway;
}

HELPER struct gateway
gateway_open(const char *options)
{
    return gateway_open_with(options, &(struct sg_alive){0});
}

HELPER void
gateway_close(struct gateway *gateway)
{
    sg_sys_close(&gateway->control);
    sshd_join(&gateway->sshd);
    sg_shared_unref(gateway->shared);
}

/* The errno of its end; 0 while it lives. */
HELPER int
failure_of(struct sg_shared *shared)
{
    char text[SG_ERROR_TEXT];

    return sg_shared_get_failure(shared, text);
}

#endif
