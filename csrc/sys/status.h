/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Statuses: the results of the engine's functions, and the facts about a
 * failure.
 *
 * A status is SG_OK (0) or negative.  A struct sg_error carries the facts from
 * which the caller makes its error message.  The first failure wins: an error
 * that is already set is never overwritten, because the first failure explains
 * the later ones.
 */
#ifndef SG_STATUS_H
#define SG_STATUS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* All statuses apart from SG_OK, each with its text.  The enum, the names and
 * the texts are made from this one list, so that none can be forgotten. */
#define SG_STATUS_LIST(X)                                                     \
    X(SG_ERR_SYSTEM, "system call failed")                                    \
    X(SG_ERR_TIMEOUT, "timed out")                                            \
    X(SG_ERR_INTERRUPTED, "interrupted by a signal handler")                  \
    X(SG_ERR_CWD, "cannot change to the working directory")                   \
    X(SG_ERR_EXEC, "cannot be executed")                                      \
    X(SG_ERR_PROXY_EXITED, "ended before it had handed over a socket")        \
    X(SG_ERR_NOT_A_SOCKET,                                                    \
      "handed over a descriptor that is not a stream socket")                 \
    X(SG_ERR_NO_DESCRIPTOR, "wrote data instead of handing over a socket")    \
    X(SG_ERR_SSH, "the SSH protocol failed")                                  \
    X(SG_ERR_LOST, "the connection to the gateway is lost")                   \
    X(SG_ERR_REFUSED, "refused by the server")                                \
    X(SG_ERR_OPEN_FAILURE, "the gateway did not open the channel")

/* The positions in the list, counted from 1.  Only enum sg_status uses
 * them. */
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

#define SG_ERROR_TEXT 512 /* bytes, with the final NUL */

/* The facts about a failure.  Zeroed memory means "no failure". */
struct sg_error {
    enum sg_status status;    /* SG_OK while there is no failure */
    int err;                  /* errno, or 0 */
    int code;                 /* SSH_DISCONNECT_... (RFC 4253 11.1) or
                              SSH_OPEN_... (RFC 4254 5.1), or 0 */
    char text[SG_ERROR_TEXT]; /* the words of the server, of libssh2 or of
                                 ours, "" if there are none; any bytes */
};

/* Record a failure: `status` and `err`, an errno or 0.  Do nothing if `error`
 * is NULL or holds a failure already.  Return `status`, so that a function can
 * end with `return sg_fail(...)`. */
enum sg_status sg_fail(struct sg_error *error, enum sg_status status, int err);

/* Do the same with a text: `n` bytes of `text`, which need not end with NUL
 * and are cut to SG_ERROR_TEXT - 1.  `code`: see struct sg_error. */
enum sg_status sg_fail_text(struct sg_error *error, enum sg_status status,
                            int code, const char *text, size_t n);

/* Record SG_ERR_SYSTEM for a negative errno, as the functions of sys.h return
 * it.  Return SG_ERR_SYSTEM. */
enum sg_status sg_fail_errno(struct sg_error *error, long negative_errno);

/* Return the name of `status` in the list above, without SG_ERR_: "TIMEOUT",
 * "REFUSED", "OPEN_FAILURE"; "OK" for SG_OK; "UNKNOWN" for a number that is
 * not in the list.  The name is a stable identifier, which Python compares to
 * decide what to do. */
const char *sg_status_name(enum sg_status status);

/* Return a short text about `status`; never NULL.  It is for display only: its
 * words may change, so no program may compare them. */
const char *sg_status_text(enum sg_status status);

#endif
