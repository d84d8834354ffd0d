/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The inside of a session, for the files of csrc/ssh that implement it:
 * session.c, session_loop.c, handshake.c, auth.c, channel.c and
 * channel_open.c.
 *
 * A session has no lock.  It belongs to the caller's thread until
 * sg_session_start(), and to the thread of its loop afterwards, together with
 * all of its channels.  Only `shared` is used by both (shared.h).
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

/* The queues of channels that wait for the session, first in, first out.  A
 * channel is in each of them at most once.  sg_channel_leave() removes a
 * channel from all of them.
 *
 *          a channel is in it            another function that removes it
 *   OPEN   from sg_channel_enter()       opened() in channel_open.c, when the
 *          until it is open              server has confirmed the open
 *   WRITE  while it has data for the     sg_channel_give_room(), when tx has
 *          server and tx is full         room for one more packet
 *   REKEY  after libssh2 has answered    sg_channel_try_again(), when libssh2
 *          a write, EOF, CLOSE or        has taken in packets, because the key
 *          window adjustment with        exchange may have ended, or the
 *          EAGAIN                        server's CLOSE may have arrived
 *
 * libssh2 answers with EAGAIN during a key exchange, when RFC 4253 7.1 allows
 * no channel message.  libssh2_channel_free() also returns EAGAIN until the
 * server's CLOSE has arrived. */
enum sg_queue {
    SG_QUEUE_OPEN,
    SG_QUEUE_WRITE,
    SG_QUEUE_REKEY,
    SG_QUEUES,
};

struct sg_session {
    struct sg_task task; /* first */
    struct _LIBSSH2_SESSION *ssh;
    struct sg_watch socket;
    struct sg_watch control; /* one end of a socketpair; hangs up when the
                                program has closed the gateway */
    struct sg_shared *shared;

    /* From the socket to libssh2: one block of memory, which is filled again
     * when libssh2 has taken all of it. */
    char *rx;
    size_t rx_start; /* offset of the first byte that libssh2 has not taken */
    size_t rx_len;   /* bytes that libssh2 has not taken */
    size_t rx_len_seen; /* rx_len after the last carry().  If rx_len is another
                           now, libssh2 has taken in packets since then, during
                           a call outside of carry() */
    int rx_error;       /* negative errno of recv, or 0 */
    int tx_error;       /* negative errno of send, or 0.  It becomes rx_error
                           once everything has been received */
    bool rx_eof;        /* the server has closed the connection */
    bool is_tcp;        /* `socket` is a TCP socket */
    bool owes_ack;      /* TCP: nothing was sent since the last recv, so the
                           kernel may delay the acknowledgement */
    struct sg_buffer tx; /* from libssh2 to the socket: whole packets */
    struct sg_memory memory;

    /* The first bytes from the server, in plain text: its identification
     * string and KEXINIT.  NULL once the key exchange has succeeded. */
    char *hello;
    size_t hello_len;

    char *host_key; /* a copy of the host key that the program has checked */
    size_t host_key_len;

    struct sg_channel *channels; /* all channels, newest first */
    struct {
        struct sg_channel *first;
        struct sg_channel **last; /* where to link the next one */
    } queues[SG_QUEUES];
    struct sg_windows windows;

    /* Keepalives: ssh_config's ServerAliveInterval and ServerAliveCountMax. */
    int64_t alive_interval;    /* ns of silence before a keepalive; 0: none */
    int alive_count_max;       /* number of unanswered keepalives after which
                                  the session is lost */
    int unanswered;            /* keepalives since bytes were last received */
    int64_t received_at;       /* ns: when bytes were last received */
    int64_t keepalive_sent_at; /* ns: when the last keepalive was sent */
    int64_t probe_began;       /* ns: when the present probe() was sent */
    bool is_probing;           /* a probe() waits for the server's answer */

    bool has_keys;    /* the first key exchange has succeeded */
    bool by_messages; /* the caller sends the service request: userauth.h */
    unsigned packets_sent; /* by libssh2 since the session was made */
    bool has_sent_disconnect;
    bool is_closing; /* begin_close() was called: channels are closed, none is
                        opened */
    bool is_lost;    /* no longer usable; `last` has the reason */
    bool is_damaged; /* libssh2 has failed on what was received (wrong MAC,
                        malformed packet, no memory), so nothing more is read
                        from it */
    bool is_torn_down; /* the callbacks fail from now on, so that libssh2 waits
                          for nothing while it frees the session */
    sg_deadline close_by; /* is_closing: when the session ends at the latest */
    struct sg_error last; /* the server's disconnect message, or the error that
                             ended the session */
    void *responder;      /* the struct sg_responder of a running
                             sg_auth_interactive() */
};

/* libssh2 makes one packet of a write, with at most this many bytes. */
#define SG_MAX_WRITE 32700

/* ---- session.c -------------------------------------------------------- */

/* Initialize libssh2, once in a process, from any thread.  Returns false if
 * that fails. */
bool sg_session_init_library(void);

/* Call op(session, arg), a step of libssh2, until it returns something other
 * than LIBSSH2_ERROR_EAGAIN, and do the I/O in between.  For the caller's
 * thread, before sg_session_start().
 *
 * Returns SG_OK and the last result of op() in *rc, which may be an error of
 * libssh2.  Otherwise SG_ERR_TIMEOUT, SG_ERR_INTERRUPTED, SG_ERR_SYSTEM, or
 * SG_ERR_LOST if the connection ended. */
enum sg_status sg_session_repeat(struct sg_session *session,
                                 int (*op)(struct sg_session *, void *),
                                 void *arg, const struct sg_wait *wait,
                                 int *rc, struct sg_error *error);

/* Fill `error` with `status` and the best description of libssh2's last
 * error: the server's disconnect message, the end of the connection, the
 * errno of the socket, or libssh2's own code and text.  Returns `status`. */
enum sg_status sg_session_fail(struct sg_session *session,
                               enum sg_status status, struct sg_error *error);

/* A call on a channel failed with `rc`, an error of libssh2.  Returns false
 * if the error concerns only that channel.  Otherwise it marks the session as
 * lost, lets it take a turn in order to end, and returns true. */
bool sg_session_check(struct sg_session *session, int rc);

/* Mark the session as lost, with `text` as the reason.  The first reason
 * remains. */
void sg_session_lose(struct sg_session *session, const char *text);

/* Refill rx with one recv, if libssh2 has taken all of it.  Returns true if
 * bytes, the end of the connection, or an error arrived. */
bool sg_session_receive(struct sg_session *session);

/* Send what tx holds with one system call, at most SG_PIECES pieces. */
void sg_session_send(struct sg_session *session);

/* Make the kernel acknowledge the received bytes now.  Does nothing if
 * something was sent since, because that carried the acknowledgement. */
void sg_session_acknowledge(struct sg_session *session);

/* Return whether tx is above its soft limit, so that channels must not add to
 * it. */
bool sg_session_is_full(const struct sg_session *session);

/* Return how many packets of SG_MAX_WRITE bytes channels may add to tx. */
size_t sg_session_room(const struct sg_session *session);

/* Send SSH_MSG_DISCONNECT if possible without waiting, and shut the socket
 * down for writing.  Best effort; failure is ignored. */
void sg_session_send_disconnect(struct sg_session *session);

/* Free the session and everything that libssh2 has allocated for it.  The
 * socket must be closed already. */
void sg_session_release(struct sg_session *session);

/* Let the session take a turn, because libssh2 was given something to send or
 * has taken in something.  On the loop's thread. */
void sg_session_run(struct sg_session *session);

/* Make `channel` the owner of libssh2's open channel `ssh`, so that
 * update_channels() finds it.  Does nothing with a libssh2 that does not name
 * the channels that have news. */
void sg_session_bind(struct _LIBSSH2_CHANNEL *ssh, struct sg_channel *channel);

/* ---- handshake.c ------------------------------------------------------ */

/* Compare the host key of the latest key exchange with the one that the caller
 * has checked, because libssh2 does not.  Call it after libssh2 has taken in
 * packets.  Returns true if they are equal or there was no rekey; otherwise it
 * marks the session as lost and returns false. */
bool sg_session_check_host_key(struct sg_session *session);

/* ---- channel.c and channel_open.c, called by session_loop.c ------------ */

/* Take the next step of opening a channel of SG_QUEUE_OPEN.  If libssh2 opens
 * one channel at a time, call this only for the first channel of the queue.
 * Returns true if the channel is open or the open has failed; either removes
 * the channel from the queue. */
bool sg_channel_open_step(struct sg_channel *channel);

/* Return the next channel in SG_QUEUE_OPEN, or NULL. */
struct sg_channel *sg_channel_next_to_open(struct sg_channel *channel);

/* Make libssh2 take in all of rx, by a call on this channel.  Returns false
 * if this channel cannot be used for that. */
bool sg_channel_pump(struct sg_channel *channel);

/* libssh2 has taken in packets, perhaps for this channel: read its data from
 * libssh2, and let the channel take a turn if the packets concern it. */
void sg_channel_update(struct sg_channel *channel);

/* Remove the channel from SG_QUEUE_WRITE, allow it to write one packet, and
 * let it take a turn. */
void sg_channel_give_room(struct sg_channel *channel);

/* Remove the channel from SG_QUEUE_REKEY and let it take a turn, in which it
 * repeats the call that libssh2 answered with EAGAIN. */
void sg_channel_try_again(struct sg_channel *channel);

/* The session is lost.  Detach the channel from it; the channel passes on the
 * data that has arrived, reports the reason, and ends. */
void sg_channel_orphan(struct sg_channel *channel);

/* The session closes.  Accept no more data from the caller, and close the
 * channel once the accepted data has gone out.  Data that has arrived remains
 * readable for the caller. */
void sg_channel_close(struct sg_channel *channel);

/* Return the next channel in the session's list, or NULL. */
struct sg_channel *sg_channel_next(struct sg_channel *channel);

#endif
