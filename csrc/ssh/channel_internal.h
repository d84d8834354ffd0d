/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What channel.c and channel_open.c share; nobody else includes it.
 */
#ifndef SG_CHANNEL_INTERNAL_H
#define SG_CHANNEL_INTERNAL_H

#include "ssh/channel.h"
#include "engine/relay.h"
#include "ssh/internal.h"

struct sg_channel {
    struct sg_relay relay;              /* first */
    struct sg_session *session;         /* NULL for an orphan */
    struct sg_channel *next, *previous; /* in the session's list */
    struct sg_channel *next_in[SG_QUEUES];
    bool is_in[SG_QUEUES];
    struct _LIBSSH2_CHANNEL *opening; /* one that is not open yet */
    struct _LIBSSH2_CHANNEL *ssh;     /* NULL before, and after the end */
    struct sg_reply *reply;           /* until it is answered */
    char *type, *message;
    size_t message_len;
    size_t requested_window, max_packet_size;
    struct sg_window window;
    int64_t open_began;
    size_t pending_grant; /* decided, but not sent yet */
    bool has_joined;      /* the session: the first turn is over */
    bool is_open;         /* and counted as such */
    bool may_write;       /* was at the head of SG_QUEUE_WRITE: one packet */
    bool eof_wanted;      /* write_eof() was called */
    bool eof_sent;        /* and libssh2 has taken it */
    bool remote_closed;   /* CLOSE has come */
    bool is_closing;      /* CLOSE shall go */
};

/* ---- channel_open.c --------------------------------------------------- */

/* Into the session's list, and its line to be opened. */
void sg_channel_enter(struct sg_channel *channel, struct sg_session *session);

/* Out of everything of the session's. */
void sg_channel_leave(struct sg_channel *channel);

/* To the end of a line, if it is not in it yet; and out of it. */
void sg_channel_enqueue(struct sg_channel *channel, enum sg_queue queue);
void sg_channel_dequeue(struct sg_channel *channel, enum sg_queue queue);

/* To the caller, if it still waits. */
void sg_channel_answer(struct sg_channel *channel,
                       const struct sg_error *error);

#endif
