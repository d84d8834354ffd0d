/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A private sshd at the other end of a socketpair (inetd mode).
 *
 * run_cases_with_sshd() makes a directory for keys and configuration and
 * removes it after the last case.  The directory holds three ed25519 key
 * pairs: "host"; "user", whose public key is authorized; and "stranger", whose
 * public key is not.
 */
#ifndef SG_TEST_SSHD_H
#define SG_TEST_SSHD_H

#include "lib/harness.h"
#include "lib/session.h"

/* main() of a program whose cases need an sshd; see run_cases().  Returns 1 if
 * no sshd is installed. */
int run_cases_with_sshd(const struct test_case *cases, size_t n, int argc,
                        char **argv);

struct sshd {
    int fd; /* the client's end of the socketpair, which the engine closes */
    pid_t pid; /* also the number of its process group */
};

/* Start an sshd for one connection.  `options` are further lines of its
 * configuration, which win over ours. */
struct sshd sshd_start(const char *options);

/* Send signal `number` to all processes of the sshd.  After the login of a
 * user other than root there are two, and the connection belongs to the one
 * that sshd_start() has not started. */
void sshd_signal(const struct sshd *sshd, int number);

/* Wait until the sshd has ended, as it does when the connection ends, and reap
 * it. */
void sshd_join(struct sshd *sshd);

/* Returns the content of the file `name` in the directory, followed by a NUL,
 * and its length without the NUL in `n`.  The caller frees it. */
char *sshd_file(const char *name, size_t *n);

/* Returns the name of the user that runs this process, valid until the next
 * call. */
const char *user_name(void);

/* Log in with the private key in file `name`.  Returns the status and fills in
 * `error` if that is not SG_OK. */
enum sg_status log_in_with_key(struct sg_session *session, const char *name,
                               struct sg_error *error);

#endif
