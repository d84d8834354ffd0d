/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The inside of a channel, shared by channel.c and channel_open.c only.
 *
 * Everything here runs on the thread of the session's loop.  An orphan is a
 * channel whose session is lost; it has neither `session` nor `ssh`.
 */
#ifndef SG_CHANNEL_INTERNAL_H
#define SG_CHANNEL_INTERNAL_H

#include "ssh/channel.h"
#include "engine/relay.h"
#include "ssh/internal.h"

struct sg_channel {
    struct sg_relay relay;              /* first: channel_of() relies on it */
    struct sg_session *session;         /* NULL before sg_channel_enter() and
                                           after sg_channel_leave() */
    struct sg_channel *next, *previous; /* in the session's list */
    struct sg_channel *next_in[SG_QUEUES]; /* in each of its queues */
    bool is_in[SG_QUEUES];
    struct _LIBSSH2_CHANNEL *opening; /* an open that is under way; only with a
                                         libssh2 that opens many at a time */
    struct _LIBSSH2_CHANNEL *ssh; /* the open channel; NULL before, and after
                                     CLOSE has gone both ways */
    struct sg_reply *reply;       /* for the caller; NULL once answered */
    char *type, *message; /* libssh2 reads them until the open is answered */
    size_t message_len;
    size_t requested_window; /* the caller's window_size; 0: the default */
    size_t max_packet_size;  /* bytes */
    struct sg_window window; /* the receive window */
    int64_t open_began;      /* ns: when the open was sent; 0: not yet */
    size_t pending_grant;    /* bytes of window that sg_window_grant() has
                                granted, but that libssh2 has not sent yet */
    bool has_joined;         /* join_session() was called, in the first turn */
    bool is_open;            /* counted in SG_COUNT_OPEN */
    bool may_write;     /* taken from SG_QUEUE_WRITE: may write one packet even
                           if others wait in that queue */
    bool eof_wanted;    /* the relay has called write_eof() */
    bool eof_sent;      /* libssh2 has taken our EOF */
    bool remote_closed; /* the server's CLOSE has arrived */
    bool is_closing;    /* CLOSE is to be sent, or is sent and not answered */
};

/* ---- channel_open.c --------------------------------------------------- */

/* Add a new channel to the session's list and to SG_QUEUE_OPEN. */
void sg_channel_enter(struct sg_channel *channel, struct sg_session *session);

/* Remove the channel from the session: from its list, all queues and its
 * windows.  An open that is under way is completed and closed by libssh2.
 * Does nothing if the channel is not part of a session. */
void sg_channel_leave(struct sg_channel *channel);

/* Add the channel to the end of a queue, unless it is in that queue. */
void sg_channel_enqueue(struct sg_channel *channel, enum sg_queue queue);

/* Remove the channel from a queue, if it is in that queue. */
void sg_channel_dequeue(struct sg_channel *channel, enum sg_queue queue);

/* Answer the caller with `error`, whose status SG_OK means success.  Does
 * nothing if the caller has been answered or no longer waits. */
void sg_channel_answer(struct sg_channel *channel,
                       const struct sg_error *error);

#endif
