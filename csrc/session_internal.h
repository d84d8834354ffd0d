/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What session.c, auth.c and channel.c share; nobody else includes it.
 */
#ifndef SG_SESSION_INTERNAL_H
#define SG_SESSION_INTERNAL_H

#include "buffer.h"
#include "loop.h"
#include "session.h"

struct sg_channel;

struct sg_session {
    struct sg_farend farend; /* first */
    struct _LIBSSH2_SESSION *ssh;
    struct sg_watch socket;
    struct sg_watch control; /* hangs up when the session shall end */
    struct sg_report *report;

    char *rx; /* received, for libssh2: one block, refilled when empty */
    size_t rx_start, rx_len;
    int rx_error; /* negative errno of the socket */
    int tx_error; /* the same, of send: rx_error when all is received */
    bool rx_eof;
    struct sg_buffer tx; /* sent by libssh2, for the socket */

    struct sg_channel *channels;                /* all of them */
    struct sg_channel *first_open, **last_open; /* those that wait to be
                                                    opened; the first is */
    bool is_probing; /* an open that is only there to make libssh2 read */
    bool has_moved;  /* since the last pass over the channels */
    bool has_said_goodbye;
    bool is_closing; /* nobody needs it any more */
    bool is_lost;
    bool is_torn; /* callbacks fail, so that libssh2 lets go */
    sg_deadline close_by;
    struct sg_error last; /* the server's disconnect, or what broke it */
    void *callback;       /* what a callback of auth.c works with */
};

/* Repeat op(session, arg), which returns what libssh2 does, until it is not
 * EAGAIN, doing the I/O in between.  The last result, in *rc. */
enum sg_status sg_session_repeat(struct sg_session *session,
                                 int (*op)(struct sg_session *, void *),
                                 void *arg, const struct sg_wait *wait,
                                 int *rc, struct sg_error *error);

/* libssh2's last error as ours. */
enum sg_status sg_session_fail(struct sg_session *session,
                               enum sg_status status, struct sg_error *error);

/* A call on a channel failed with `rc`: is the whole session lost by it?
 * Then that is noted. */
bool sg_session_check(struct sg_session *session, int rc);

/* So much waits to be sent that channels must not add to it. */
bool sg_session_is_full(const struct sg_session *session);

/* Something of libssh2's state may have changed: see to it in a turn. */
void sg_session_touch(struct sg_session *session, bool has_moved);

/* channel.c: the first of the opening ones goes on; true when it is done
 * with.  And: the session is gone, with all of libssh2's channels. */
bool sg_channel_open_step(struct sg_channel *channel);
bool sg_channel_is_open(const struct sg_channel *channel);
/* libssh2 takes all in; false when this one is of no use for that. */
bool sg_channel_pump(struct sg_channel *channel);
void sg_channel_orphan(struct sg_channel *channel);
struct sg_farend *sg_channel_farend(struct sg_channel *channel);
struct sg_channel *sg_channel_next(struct sg_channel *channel);
void sg_channel_close_by(struct sg_channel *channel, sg_deadline by);

#endif
