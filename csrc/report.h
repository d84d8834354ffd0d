/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What is known of a far end: why it ended, and its last words.
 *
 * The one piece of memory that the loop and the callers share.  The loop
 * writes, callers read, under its lock; both hold a reference.  The loop
 * writes the reason before it shuts the stream down, so that whoever has
 * seen the end of the stream finds it here.
 */
#ifndef SG_REPORT_H
#define SG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

struct sg_report;

/* NULL when there is no memory.  The caller has one reference. */
struct sg_report *sg_report_new(void);
struct sg_report *sg_report_ref(struct sg_report *report);
void sg_report_unref(struct sg_report *report); /* may be NULL */

/* The loop's side. */
void sg_report_exit(struct sg_report *report, int returncode);
void sg_report_failure(struct sg_report *report, int err, const char *text);
void sg_report_add_tail(struct sg_report *report, const char *data, size_t n);

/* The caller's side. */

/* True, and *returncode, once the child has ended and it is known how. */
bool sg_report_returncode(struct sg_report *report, int *returncode);

/* The errno of what broke the far end, or 0; the words about it, perhaps "",
 * go to `text`, which has room for SG_ERROR_TEXT or is NULL. */
int sg_report_failed(struct sg_report *report, char *text);

/* The last of what the child wrote to stderr, for the caller to free(), and
 * its length; NULL when there is none or no memory. */
char *sg_report_tail(struct sg_report *report, size_t *n);

#endif
