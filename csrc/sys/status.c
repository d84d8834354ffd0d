/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Statuses and the facts about a failure; see status.h.
 */
#include "sys/status.h"

#include <string.h>

enum sg_status
sg_fail(struct sg_error *error, enum sg_status status, int err)
{
    if (error != NULL && error->status == SG_OK) {
        error->status = status;
        error->err = err;
    }
    return status;
}

enum sg_status
sg_fail_text(struct sg_error *error, enum sg_status status, int code,
             const char *text, size_t n)
{
    if (error != NULL && error->status == SG_OK) {
        n = n < SG_ERROR_TEXT - 1 ? n : SG_ERROR_TEXT - 1;
        error->code = code;
        if (n > 0) { /* `text` may be NULL if n is 0 */
            memcpy(error->text, text, n);
        }
        error->text[n] = '\0';
    }
    return sg_fail(error, status, 0);
}

enum sg_status
sg_fail_errno(struct sg_error *error, long negative_errno)
{
    return sg_fail(error, SG_ERR_SYSTEM, (int)-negative_errno);
}

const char *
sg_status_name(enum sg_status status)
{
    switch (status) {
    case SG_OK:
        return "OK";
#define X(name, text)                                                         \
    case name:                                                                \
        return &(#name)[strlen("SG_ERR_")];
        SG_STATUS_LIST(X)
#undef X
    }
    return "UNKNOWN";
}

const char *
sg_status_text(enum sg_status status)
{
    switch (status) {
    case SG_OK:
        return "ok";
#define X(name, text)                                                         \
    case name:                                                                \
        return text;
        SG_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}
