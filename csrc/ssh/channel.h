/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A stream whose far side is a channel of a session: direct-tcpip (RFC 4254
 * 7.2) or direct-streamlocal@openssh.com.
 */
#ifndef SG_CHANNEL_H
#define SG_CHANNEL_H

#include "sys/deadline.h"
#include "engine/shared.h"
#include "engine/reply.h"

struct sg_channel_options {
    const char *type;    /* the channel type, such as "direct-tcpip" */
    const void *message; /* the type's own part of SSH_MSG_CHANNEL_OPEN */
    size_t message_len;
    unsigned int window_size;     /* bytes of the receive window, which then
                                     does not grow; 0: chosen by window.h */
    unsigned int max_packet_size; /* bytes that one data message may carry */
    int64_t linger; /* ns without progress, after the caller has closed its
                       stream, until the channel is closed by force */
};

/* Ask the session that runs on loop `loop_id` (sg_session_start()) to open a
 * channel.  Runs on the caller's thread and does not wait.
 *
 *   options  copied
 *   shared   the channel takes its own reference; it publishes failures there
 *   *reply   the answer to wait for: SG_OK when the channel is open,
 *            SG_ERR_OPEN_FAILURE (code: the reason of RFC 4254 5.1, or 0) or
 *            SG_ERR_LOST.  The caller ends with sg_reply_drop() and may do so
 *            at any time: the loop completes an abandoned open and closes the
 *            channel.
 *   *stream  the caller's end of the socketpair.  It exists at once; the
 *            caller closes it, also if the open fails.
 *
 * Returns SG_ERR_LOST if that loop has ended, or SG_ERR_SYSTEM.  On failure
 * *reply is NULL, and there is no *stream. */
enum sg_status sg_channel_start(uint64_t loop_id,
                                const struct sg_channel_options *options,
                                struct sg_shared *shared,
                                struct sg_reply **reply, int *stream,
                                struct sg_error *error);

#endif
