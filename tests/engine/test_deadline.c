/* SPDX-License-Identifier: BSD-2-Clause
 *
 * This program tests deadline.h, and the rule in status.c that the first
 * failure wins.
 */
#include "sys/deadline.h"

#include "lib/harness.h"
#include "sys/status.h"

static void
never_stays_never(void)
{
    CHECK_EQ(sg_deadline_after(-1), SG_NEVER);
    CHECK_EQ(sg_deadline_after(INT64_MIN), SG_NEVER);
    CHECK_EQ(sg_deadline_after(INT64_MAX), SG_NEVER);
    CHECK_EQ(sg_deadline_ms(SG_NEVER), -1);
    CHECK_EQ(sg_deadline_earlier(SG_NEVER, 5), 5);
    CHECK_EQ(sg_deadline_earlier(5, SG_NEVER), 5);
}

static void
past_deadline_is_now(void)
{
    CHECK_EQ(sg_deadline_ms(sg_deadline_after(0)), 0);
    CHECK_EQ(sg_deadline_ms(0), 0);
}

static void
far_deadline_is_cut_to_the_largest_int(void)
{
    CHECK_EQ(sg_deadline_ms(sg_deadline_after(INT64_C(1) << 62)), INT_MAX);
    CHECK_EQ(sg_deadline_ms(SG_NEVER - 1), INT_MAX);
}

static void
wait_is_never_too_short(void)
{
    for (int64_t ns = 1; ns < 5 * SG_MSEC; ns = 3 * ns + 7) {
        sg_deadline deadline = sg_deadline_after(ns);

        poll(NULL, 0, sg_deadline_ms(deadline));
        CHECK_GE(sg_sys_now(), deadline);
    }
}

static void
milliseconds_are_rounded_up(void)
{
    int ms = sg_deadline_ms(sg_deadline_after(100 * SG_SEC));

    CHECK_LE(ms, 100000);
    CHECK_GE(ms, 95000);
}

static void
first_failure_wins(void)
{
    struct sg_error error = {.status = SG_OK};

    CHECK_EQ(sg_fail(&error, SG_ERR_EXEC, ENOENT), SG_ERR_EXEC);
    CHECK_EQ(sg_fail_errno(&error, -EMFILE), SG_ERR_SYSTEM);
    CHECK_EQ(error.status, SG_ERR_EXEC);
    CHECK_EQ(error.err, ENOENT);
    CHECK_EQ(sg_fail(NULL, SG_ERR_CWD, EACCES), SG_ERR_CWD);
}

static void
every_status_has_a_text(void)
{
    CHECK_TEXT(sg_status_text(SG_OK), "ok");
#define X(name, text)                                                         \
    CHECK_TEXT(sg_status_text(name), text);                                   \
    CHECK_LE(name, -1);
    SG_STATUS_LIST(X)
#undef X
    CHECK_TEXT(sg_status_text((enum sg_status)(-1000)), "unknown status");
}

static void
every_status_has_a_name(void)
{
    CHECK_TEXT(sg_status_name(SG_OK), "OK");
    CHECK_TEXT(sg_status_name(SG_ERR_TIMEOUT), "TIMEOUT");
    CHECK_TEXT(sg_status_name(SG_ERR_REFUSED), "REFUSED");
    CHECK_TEXT(sg_status_name(SG_ERR_OPEN_FAILURE), "OPEN_FAILURE");
#define X(name, text)                                                         \
    CHECK_TEXT(sg_status_name(name), &#name[strlen("SG_ERR_")]);
    SG_STATUS_LIST(X)
#undef X
    CHECK_TEXT(sg_status_name((enum sg_status)(-1000)), "UNKNOWN");
}

int
main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(never_stays_never),
        CASE(past_deadline_is_now),
        CASE(far_deadline_is_cut_to_the_largest_int),
        CASE(wait_is_never_too_short),
        CASE(milliseconds_are_rounded_up),
        CASE(first_failure_wins),
        CASE(every_status_has_a_text),
        CASE(every_status_has_a_name),
    };

    return run_cases(cases, COUNT_OF(cases), argc, argv);
}
