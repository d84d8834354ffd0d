/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Proxies in tests: streams that a child process carries.
 */
#ifndef SG_TEST_PROXY_H
#define SG_TEST_PROXY_H

#include "engine/shared.h"
#include "lib/hook.h"
#include "lib/process.h"
#include "lib/stream.h"

/* Lingers, in nanoseconds: one so long that the engine signals no child while
 * a case runs, and one so short that a case can wait for it. */
#define LONG_LINGER (100 * SG_SEC)
#define SHORT_LINGER (50 * SG_MSEC)

/* A running proxy; proxy_close() releases all of it. */
struct proxy {
    int stream; /* the caller's end of the stream; -1 once it is closed */
    pid_t pid;
    int process; /* the child, as process_open() gives it */
    struct sg_shared *shared;
};

/* Start a proxy that runs `command`, with a linger in nanoseconds.  Fails the
 * test if that fails. */
struct proxy proxy_start(const struct command *command, int64_t linger);

/* The same with "sh -c script", and with this program in a role. */
struct proxy proxy_sh(const char *script, int64_t linger);
struct proxy proxy_role(const char *role, const char *argument,
                        int64_t linger);

/* Returns true if the exit status of the `struct proxy` at `arg` is known; for
 * wait_until(). */
bool proxy_has_returncode(void *arg);

/* Wait until the exit status is known and return it: negative for a signal. */
int proxy_returncode(struct proxy *proxy);

/* Close the stream, wait for the end of the child, and release `proxy`. */
void proxy_close(struct proxy *proxy);

/* Wait until the loop of the proxies has done all that it could do at the time
 * of the call: three bytes go through another proxy and back, and one loop
 * serves all proxies. */
void loop_round_trip(void);

#endif
