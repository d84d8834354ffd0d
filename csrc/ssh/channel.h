/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The far end that is a channel of a session: direct-tcpip (RFC 4254 7.2)
 * and direct-streamlocal@openssh.com.
 */
#ifndef SG_CHANNEL_H
#define SG_CHANNEL_H

#include "sys/deadline.h"
#include "engine/shared.h"
#include "engine/reply.h"

struct sg_channel_options {
    const char *type;
    const void *message; /* what the type adds to SSH_MSG_CHANNEL_OPEN */
    size_t message_len;
    unsigned int window_size; /* 0: as is best; see window.h */
    unsigned int max_packet_size;
    int64_t linger; /* ns without progress after the caller's close */
};

/* Ask the session of that loop to open a channel.  *request is answered when
 * it is open, or with SG_ERR_OPEN_FAILURE (code: RFC 4254's reason) or
 * SG_ERR_LOST; *stream is the caller's end of the socketpair at once, to be
 * closed when it was not opened.  The caller may go away at any time: an
 * open that nobody waits for is finished and closed. */
enum sg_status sg_channel_start(uint64_t loop_id,
                                const struct sg_channel_options *options,
                                struct sg_shared *shared,
                                struct sg_reply **reply, int *stream,
                                struct sg_error *error);

#endif
