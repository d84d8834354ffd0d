/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What a function of the engine answers, and what it says about a failure.
 *
 * A status is 0 or negative; a struct sg_error carries the facts that the
 * caller's error message is made of.  The first failure wins: what is set
 * on a second one is ignored, for it is the first that explains the rest.
 */
#ifndef SG_STATUS_H
#define SG_STATUS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* One list, so that a name can't be forgotten in the text table. */
#define SG_STATUS_LIST(X)                                                     \
    X(SG_ERR_SYSTEM, "system call failed")                                    \
    X(SG_ERR_TIMEOUT, "timed out")                                            \
    X(SG_ERR_INTERRUPTED, "interrupted by a signal handler")                  \
    X(SG_ERR_CWD, "cannot change to the working directory")                   \
    X(SG_ERR_EXEC, "cannot be executed")                                      \
    X(SG_ERR_PROXY_EXITED, "ended before it had handed over a socket")        \
    X(SG_ERR_NOT_A_SOCKET, "handed over what is no stream socket")            \
    X(SG_ERR_NO_DESCRIPTOR, "wrote data instead of handing over a socket")    \
    X(SG_ERR_SSH, "the SSH protocol failed")                                  \
    X(SG_ERR_LOST, "the connection to the gateway is lost")                   \
    X(SG_ERR_REFUSED, "refused by the server")                                \
    X(SG_ERR_OPEN_FAILURE, "the gateway did not open the channel")

enum sg_status_index {
    SG_INDEX_OK = 0,
#define X(name, text) SG_INDEX_##name,
    SG_STATUS_LIST(X)
#undef X
};

enum sg_status {
    SG_OK = 0,
#define X(name, text) name = -SG_INDEX_##name,
    SG_STATUS_LIST(X)
#undef X
};

#define SG_ERROR_TEXT 512

struct sg_error {
    enum sg_status status;    /* SG_OK while there is none */
    int err;                  /* errno, or 0 */
    int code;                 /* of SSH: RFC 4253 11.1 or RFC 4254 5.1, or 0 */
    char text[SG_ERROR_TEXT]; /* somebody's words, "" when there are none */
};

/* Record a failure unless one is recorded already; `error` may be NULL.
 * Returns `status`, so that a function can end with `return sg_fail(...)`. */
enum sg_status sg_fail(struct sg_error *error, enum sg_status status, int err);

/* The same with words; `n` bytes of `text`, which need not end with NUL. */
enum sg_status sg_fail_text(struct sg_error *error, enum sg_status status,
                            int code, const char *text, size_t n);

/* The same for a negative errno, as the functions of sys.h return it. */
enum sg_status sg_fail_errno(struct sg_error *error, long negative_errno);

/* A short text for `status`; never NULL. */
const char *sg_status_text(enum sg_status status);

/* The name of `status` from the list above without SG_ERR_, as "TIMEOUT";
 * "OK" for SG_OK.  Python compares it; sg_status_text() is for people. */
const char *sg_status_name(enum sg_status status);

#endif
