/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A gateway in tests: a session with a private sshd (sshd.h), TCP servers on
 * the loopback interface, and channels through the gateway to them.
 *
 * These programs start with run_cases_with_sshd().
 */
#ifndef SG_TEST_GATEWAY_H
#define SG_TEST_GATEWAY_H

#include "lib/hook.h"
#include "lib/proxy.h"
#include "lib/sshd.h"
#include "lib/stream.h"

#define MB (1024 * 1024)
#define WINDOW (2 * MB) /* the window size that the channels here ask for */

/* ---- Gateways --------------------------------------------------------- */

/* A session that is logged in and runs on a loop. */
struct gateway {
    struct sshd sshd;
    uint64_t loop;            /* the id of the session's loop */
    int control;              /* closing it closes the session */
    struct sg_shared *shared; /* of the session */
};

/* Log in to a new sshd with "user"'s key and start the session's loop.
 * `options` are those of sshd_start(); `alive` is how often the session asks
 * whether the server is alive. */
struct gateway gateway_open_with(const char *options,
                                 const struct sg_alive *alive);

/* The same for a session that never asks. */
struct gateway gateway_open(const char *options);

/* Close the session, wait for the end of its sshd, and release `gateway`. */
void gateway_close(struct gateway *gateway);

/* ---- TCP servers ------------------------------------------------------ */

/* A listening TCP socket on the loopback interface.  The test closes `fd`. */
struct listener {
    int fd;
    unsigned port;
};

/* Listen on a free port with the given backlog. */
struct listener listener_open(int backlog);

/* Listen with a backlog that is full, so that connecting does not complete
 * until the test accepts a connection.  The two `fillers` are the connections
 * that fill the backlog (Linux takes one more than asked for); the test closes
 * them. */
struct listener listener_open_full(int fillers[2]);

/* Wait for a connection and return it; the test closes it. */
int listener_accept(const struct listener *listener);

/* ---- Channels --------------------------------------------------------- */

/* Ask the session of `loop` for a direct-tcpip channel to `port` on the
 * loopback interface (RFC 4254 7.2), with a linger in nanoseconds.
 * Returns the status of sg_channel_start().  The caller must call
 * channel_close() even if that is a failure. */
enum sg_status channel_try(struct channel *channel, uint64_t loop,
                           unsigned port, int64_t linger,
                           struct sg_error *error);

/* The same, and fail the test if the session does not take the open.  The
 * channel is not open yet: see channel_wait(). */
struct channel channel_start(const struct gateway *gateway, unsigned port,
                             int64_t linger);

/* Open a channel with LONG_LINGER to `listener`.  `server` gets the accepted
 * connection at the other end, which the test closes. */
struct channel channel_open(const struct gateway *gateway,
                            const struct listener *listener, int *server);

/* ---- Tunnels ---------------------------------------------------------- */

/* A gateway with one open channel to one TCP server. */
struct tunnel {
    struct gateway gateway;
    struct listener listener;
    struct channel channel;
    int server; /* the accepted connection at the channel's other end */
};

/* `options` are those of sshd_start(). */
struct tunnel tunnel_open(const char *options);

/* Close both ends of the channel and open another one. */
void tunnel_reopen(struct tunnel *tunnel);

/* Close everything; both ends may have been closed already. */
void tunnel_close(struct tunnel *tunnel);

#endif
