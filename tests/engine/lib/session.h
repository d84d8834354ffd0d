/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A caller's side of sessions and channels in tests.
 *
 * All functions run on the thread that calls them and, unless they return a
 * status, fail the test when the engine reports a failure.
 */
#ifndef SG_TEST_SESSION_H
#define SG_TEST_SESSION_H

#include "engine/shared.h"
#include "lib/harness.h"
#include "ssh/channel.h"
#include "ssh/session.h"

/* Check that `call` returns SG_OK; print the status and `error` if not. */
#define CHECK_OK(call, error)                                                 \
    do {                                                                      \
        int seen_status = (call);                                             \
                                                                              \
        if (seen_status != SG_OK) {                                           \
            test_fail(__FILE__, __LINE__, "%s: %d, %d, %d, \"%s\"", #call,    \
                      seen_status, (error).err, (error).code, (error).text);  \
        }                                                                     \
    } while (0)

/* ---- Waiting ---------------------------------------------------------- */

/* Returns a wait of at most `ns` nanoseconds from now. */
struct sg_wait wait_at_most(int64_t ns);

/* Returns a wait of PATIENCE from now, or longer under valgrind. */
struct sg_wait wait_patiently(void);

/* ---- Sessions --------------------------------------------------------- */

/* Returns a new session over the socket `fd`, which the session owns from now
 * on.  The session takes a reference of its own on `shared`. */
struct sg_session *session_new(int fd, struct sg_shared *shared);

/* The same with an sg_shared that the caller does not see. */
struct sg_session *session_new_unshared(int fd);

/* Do the handshake with the server. */
void session_handshake(struct sg_session *session);

/* Returns the errno with which the session or channel of `shared` failed, or 0
 * while it has not. */
int failure_of(struct sg_shared *shared);

/* ---- Channels --------------------------------------------------------- */

/* A channel as its caller holds it; channel_close() releases all of it. */
struct channel {
    int stream;             /* the caller's end of the stream, or -1 */
    struct sg_reply *reply; /* of the open; NULL once it has been awaited */
    struct sg_shared *shared;
    uint32_t id; /* the client's number of the channel, if the server is ours
                  * (script.h) */
};

/* Wait for the reply to the open and drop the reply.  Returns its status and
 * fills in `error` if that is not SG_OK. */
enum sg_status channel_wait(struct channel *channel, struct sg_error *error);

/* Wait for the reply and check that the channel is open. */
void channel_wait_open(struct channel *channel);

/* Close the stream and release everything; the channel may be in any state. */
void channel_close(struct channel *channel);

#endif
