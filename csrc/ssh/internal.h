/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What session.c, auth.c and channel.c share; nobody else includes it.
 */
#ifndef SG_SESSION_INTERNAL_H
#define SG_SESSION_INTERNAL_H

#include "engine/buffer.h"
#include "engine/loop.h"
#include "ssh/memory.h"
#include "ssh/session.h"
#include "ssh/window.h"

struct sg_channel;
struct _LIBSSH2_CHANNEL;

/* What channels wait for, first come, first served. */
enum sg_queue {
    SG_QUEUE_OPEN,  /* to be opened; the first one is */
    SG_QUEUE_WRITE, /* for room in tx */
    SG_QUEUE_REKEY, /* for the end of a key exchange */
    SG_QUEUES,
};

struct sg_session {
    struct sg_task task; /* first */
    struct _LIBSSH2_SESSION *ssh;
    struct sg_watch socket;
    struct sg_watch control; /* hangs up when the session shall end */
    struct sg_shared *shared;

    char *rx; /* received, for libssh2: one block, refilled when empty */
    size_t rx_start, rx_len;
    size_t rx_len_seen; /* of it after the last turn */
    int rx_error;       /* negative errno of the socket */
    int tx_error;       /* the same, of send: rx_error when all is received */
    bool rx_eof;
    bool is_tcp;
    bool owes_ack;       /* nothing was sent since something was received */
    struct sg_buffer tx; /* sent by libssh2, for the socket */
    struct sg_memory memory;

    char *host_key; /* the one that was checked */
    size_t host_key_len;

    struct sg_channel *channels; /* all of them */
    struct {
        struct sg_channel *first, **last;
    } queues[SG_QUEUES];
    struct sg_windows windows;

    int64_t alive_interval;    /* ns; 0: never ask */
    int alive_count_max;       /* so many questions, and it is lost */
    int unanswered;            /* questions since we heard of it */
    int64_t received_at;       /* when something was received last */
    int64_t keepalive_sent_at; /* when we asked whether it is alive */
    int64_t probe_began;
    bool is_probing;       /* an open that is only there to be refused */
    bool has_keys;         /* the handshake went well */
    unsigned packets_sent; /* by libssh2 so far */
    bool has_sent_disconnect;
    bool is_closing; /* nobody needs it any more */
    bool is_lost;
    bool is_damaged;   /* by what was received: nothing more of it is read */
    bool is_torn_down; /* callbacks fail, so that libssh2 lets go */
    sg_deadline close_by;
    struct sg_error last; /* the server's disconnect, or what broke it */
    void *responder;      /* what a callback of auth.c works with */
};

/* ---- session.c -------------------------------------------------------- */

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

/* It goes on no longer, for this reason. */
void sg_session_lose(struct sg_session *session, const char *text);

/* One recv in, when libssh2 has taken all that came before.  True when that
 * brought anything, an end included. */
bool sg_session_receive(struct sg_session *session);

/* One send out: of everything, or of so much that it is worth a call. */
void sg_session_send(struct sg_session *session);

/* What was received is acknowledged now, if what was sent did not. */
void sg_session_acknowledge(struct sg_session *session);

/* So much waits to be sent that channels must not add to it. */
bool sg_session_is_full(const struct sg_session *session);
/* For how many packets of channels there is room until then. */
size_t sg_session_room(const struct sg_session *session);

void sg_session_send_disconnect(struct sg_session *session);
void sg_session_release(struct sg_session *session);

/* Something was given to libssh2: see to it in a turn. */
void sg_session_run(struct sg_session *session);

/* An open channel of libssh2's is from now on known to be this one. */
void sg_session_bind(struct _LIBSSH2_CHANNEL *ssh, struct sg_channel *channel);

/* libssh2 makes one packet of a write, of at most so much. */
#define SG_MAX_WRITE 32700

/* ---- channel.c and channel_open.c, on behalf of the session ----------- */

/* One that waits to be opened goes on, the first only where libssh2 opens no
 * more than one at a time; true when it is done with. */
bool sg_channel_open_step(struct sg_channel *channel);
struct sg_channel *sg_channel_next_to_open(struct sg_channel *channel);
/* libssh2 takes all in; false when this one is of no use for that. */
bool sg_channel_pump(struct sg_channel *channel);
/* Something has come, perhaps for this one: out of libssh2, and a turn for the
 * channel if that has to see to it. */
void sg_channel_update(struct sg_channel *channel);
/* There is room in tx for it, and it may write one packet.  Out of line. */
void sg_channel_give_room(struct sg_channel *channel);
/* libssh2 may take what it did not.  Out of line. */
void sg_channel_try_again(struct sg_channel *channel);
/* The session is gone, with all of libssh2's channels. */
void sg_channel_orphan(struct sg_channel *channel);
/* The session ends: no more goes up, and then it closes.  What has come stays
 * the caller's. */
void sg_channel_close(struct sg_channel *channel);
struct sg_channel *sg_channel_next(struct sg_channel *channel);

#endif
