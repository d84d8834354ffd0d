/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See proxy.h.
 */
#include "lib/proxy.h"

struct proxy
proxy_start(const struct command *command, int64_t linger)
{
    struct proxy proxy = {.stream = -1};
    struct sg_error error = {.status = SG_OK};

    proxy.shared = sg_shared_new();
    CHECK(proxy.shared != NULL);
    CHECK_EQ(sg_proxy_start(&command->options, linger, proxy.shared,
                            &proxy.stream, &proxy.pid, &error),
             SG_OK);
    CHECK_EQ(error.status, SG_OK);
    proxy.process = process_open(proxy.pid);
    return proxy;
}

struct proxy
proxy_sh(const char *script, int64_t linger)
{
    struct command command;

    command_sh(&command, script);
    return proxy_start(&command, linger);
}

struct proxy
proxy_role(const char *role, const char *argument, int64_t linger)
{
    struct command command;

    command_role(&command, role, argument);
    return proxy_start(&command, linger);
}

bool
proxy_has_returncode(void *arg)
{
    int ignored;

    return sg_shared_get_returncode(((struct proxy *)arg)->shared, &ignored);
}

int
proxy_returncode(struct proxy *proxy)
{
    int returncode = 0;

    wait_until(proxy_has_returncode, proxy);
    sg_shared_get_returncode(proxy->shared, &returncode);
    return returncode;
}

void
proxy_close(struct proxy *proxy)
{
    sg_sys_close(&proxy->stream);
    process_join(proxy->process);
    sg_shared_unref(proxy->shared);
}

void
loop_round_trip(void)
{
    struct proxy other = proxy_sh("exec cat", LONG_LINGER);

    for (int i = 0; i < 3; i++) {
        write_all(other.stream, "x", 1);
        expect_text(other.stream, "x");
    }
    proxy_close(&other);
}
