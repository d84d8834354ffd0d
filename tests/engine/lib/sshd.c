/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See sshd.h.
 */
#include "lib/sshd.h"

#include <pwd.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "ssh/auth.h"

#define SSHD "/usr/sbin/sshd"
#define PRIVSEP_DIR "/run/sshd"
#define PRIVSEP_OURS 0700 /* the mode that marks a directory that we made */

static char sshd_dir[64];
static int privsep_dir = -1;

/* ---- The directory ---------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void
shell(const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    CHECK_EQ(system(command), 0);
}

/* An sshd that root runs wants PRIVSEP_DIR, though it uses it little.  Other
 * tests may want the directory at the same time.  Each holds a shared lock on
 * it, and the last one removes it (tests/support/keeper.py does the same). */
static void
privsep_take(void)
{
    struct stat info = {.st_nlink = 0};

    /* No link: another test removed it before we had the lock. */
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

static void
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

static void
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

static void
sshd_clean_up(void)
{
    shell("rm -rf %s", sshd_dir);
    privsep_drop();
}

static void *
do_nothing(void *unused)
{
    return unused;
}

/* ThreadSanitizer starts a thread of its own with the first thread of the
 * program.  The check after each case must not count it. */
static void
make_first_thread(void)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

int
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

char *
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

const char *
user_name(void)
{
    const struct passwd *user = getpwuid(geteuid());

    CHECK(user != NULL);
    return user->pw_name;
}

enum sg_status
log_in_with_key(struct sg_session *session, const char *name,
                struct sg_error *error)
{
    struct sg_wait wait = wait_patiently();
    size_t n;
    char *key = sshd_file(name, &n);
    enum sg_status status = sg_auth_key(session, user_name(), key, n, NULL,
                                        NULL, &wait, error);

    free(key);
    return status;
}

/* ---- The server ------------------------------------------------------- */

static void
write_config(const char *path, const char *options)
{
    FILE *file = fopen(path, "we");

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
}

struct sshd
sshd_start(const char *options)
{
    struct sshd sshd;
    char config[128], log[128];
    int pair[2];

    snprintf(config, sizeof(config), "%s/config", sshd_dir);
    snprintf(log, sizeof(log), "%s/log", sshd_dir);
    write_config(config, options);
    CHECK_EQ(sg_sys_socketpair(pair), 0);
    sg_sys_disown(pair[1]); /* or the engine closes it in the child */
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

void
sshd_signal(const struct sshd *sshd, int number)
{
    CHECK_EQ(kill(-sshd->pid, number), 0);
}

static bool
sshd_is_reaped(void *arg)
{
    struct sshd *sshd = arg;

    return waitpid(sshd->pid, NULL, WNOHANG) == sshd->pid;
}

void
sshd_join(struct sshd *sshd)
{
    wait_until(sshd_is_reaped, sshd);
}
