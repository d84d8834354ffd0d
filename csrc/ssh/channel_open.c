/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A channel joins its session, is opened, and leaves the session; see
 * channel.h.
 */
#include <libssh2.h>
#include <string.h>

#include "ssh/channel_internal.h"

/* ---- The session's list and queues ------------------------------------ */

void
sg_channel_enqueue(struct sg_channel *channel, enum sg_queue queue)
{
    struct sg_session *session = channel->session;

    if (!channel->is_in[queue]) {
        channel->is_in[queue] = true;
        channel->next_in[queue] = NULL;
        *session->queues[queue].last = channel;
        session->queues[queue].last = &channel->next_in[queue];
    }
}

void
sg_channel_dequeue(struct sg_channel *channel, enum sg_queue queue)
{
    struct sg_session *session = channel->session;
    struct sg_channel **link = &session->queues[queue].first;

    if (!channel->is_in[queue]) {
        return;
    }
    while (*link != channel) {
        link = &(*link)->next_in[queue];
    }
    *link = channel->next_in[queue];
    if (session->queues[queue].last == &channel->next_in[queue]) {
        session->queues[queue].last = link;
    }
    channel->is_in[queue] = false;
}

void
sg_channel_enter(struct sg_channel *channel, struct sg_session *session)
{
    channel->session = session;
    channel->next = session->channels;
    if (channel->next != NULL) {
        channel->next->previous = channel;
    }
    session->channels = channel;
    sg_window_open(&channel->window, &session->windows,
                   channel->requested_window);
    sg_channel_enqueue(channel, SG_QUEUE_OPEN);
    sg_session_run(session);
}

void
sg_channel_leave(struct sg_channel *channel)
{
    struct sg_session *session = channel->session;

    if (session == NULL) {
        return;
    }
    for (enum sg_queue queue = 0; queue < SG_QUEUES; queue++) {
        sg_channel_dequeue(channel, queue);
    }
    if (channel->opening != NULL) {
        /* libssh2 closes the channel when the confirmation arrives. */
        libssh2_channel_free(channel->opening);
        channel->opening = NULL;
    }
    if (channel->next != NULL) {
        channel->next->previous = channel->previous;
    }
    if (channel->previous != NULL) {
        channel->previous->next = channel->next;
    }
    else {
        session->channels = channel->next;
    }
    sg_window_close(&channel->window, &session->windows);
    if (channel->is_open) {
        channel->is_open = false;
        sg_shared_add_count(session->shared, SG_COUNT_OPEN, -1);
    }
    sg_session_run(session);
    channel->session = NULL;
}

/* ---- The answer to the caller ----------------------------------------- */

void
sg_channel_answer(struct sg_channel *channel, const struct sg_error *error)
{
    if (channel->reply == NULL) {
        return;
    }
    sg_loop_watch(&channel->relay.task, sg_reply_watch(channel->reply),
                  SG_NOTHING);
    sg_reply_set_error(channel->reply, error);
    sg_reply_release(channel->reply);
    channel->reply = NULL;
}

/* ---- Opening ---------------------------------------------------------- */

/* Split the text of libssh2 about a refused open into the reason (RFC 4254
 * 5.1), which becomes error->code, and the server's description, which remains
 * the text.  libssh2 gives the reason only as a text; the pinned libssh2 adds
 * the server's description. */
static void
split_refusal(struct sg_error *error)
{
    static const char head[] = "Channel open failure";
    static const char *const reasons[] = {
        " (administratively prohibited)",
        " (connect failed)",
        " (unknown channel type)",
        " (resource shortage)",
    };
    const char *rest = error->text;

    error->code = 0;
    if (strncmp(rest, head, strlen(head)) != 0) {
        return;
    }
    rest += strlen(head);
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
        if (strncmp(rest, reasons[i], strlen(reasons[i])) == 0) {
            error->code = (int)i + 1;
            rest += strlen(reasons[i]);
            break;
        }
    }
    rest += strncmp(rest, ": ", 2) == 0 ? 2 : 0;
    if (error->code != 0 || *rest != '\0') {
        memmove(error->text, rest, strlen(rest) + 1);
    }
}

/* Answer the caller that the open has failed, and remove the channel.
 *
 * A timeout of libssh2 (1.10: always 60 s) concerns only this open, because
 * the server may still be trying to connect to the target.  The server's late
 * answer stays queued in libssh2 (libssh2#671). */
static void
open_failed(struct sg_channel *channel, int rc)
{
    static const char no_answer[] = "the server did not answer within the "
                                    "time that libssh2 allows";
    struct sg_error error = {0};

    if (rc == LIBSSH2_ERROR_TIMEOUT) {
        sg_fail_text(&error, SG_ERR_OPEN_FAILURE, 0, no_answer,
                     sizeof(no_answer) - 1);
    }
    else if (sg_session_check(channel->session, rc)) {
        return; /* the session is lost: sg_channel_orphan() answers */
    }
    else {
        sg_session_fail(channel->session, SG_ERR_OPEN_FAILURE, &error);
        split_refusal(&error);
    }
    sg_channel_answer(channel, &error);
    sg_channel_leave(channel);
    sg_loop_run_again(&channel->relay.task); /* the loop frees it then */
    sg_loop_over(&channel->relay.task);
}

/* The server has confirmed the open. */
static void
opened(struct sg_channel *channel)
{
    struct sg_shared *shared = channel->session->shared;
    struct sg_error none = {0};

    sg_channel_dequeue(channel, SG_QUEUE_OPEN);
    sg_session_bind(channel->ssh, channel);
    sg_window_add_round_trip(&channel->session->windows,
                             sg_sys_now() - channel->open_began);
    channel->is_open = true;
    sg_shared_add_count(shared, SG_COUNT_OPENED, 1);
    sg_shared_add_count(shared, SG_COUNT_OPEN, 1);
    /* The stream has no place for extended data (stderr).  Left unread, it
     * would use up the window. */
    libssh2_channel_handle_extended_data2(
        channel->ssh, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE);
    if (channel->reply == NULL) {
        channel->is_closing = true; /* the caller no longer waits */
    }
    sg_channel_answer(channel, &none);
    sg_loop_run_again(&channel->relay.task);
}

struct sg_channel *
sg_channel_next_to_open(struct sg_channel *channel)
{
    return channel->next_in[SG_QUEUE_OPEN];
}

#ifdef LIBSSH2_CHANNEL_OPEN_START

/* Start or continue the open.  Returns 0 and sets channel->ssh when the
 * channel is open, otherwise an error of libssh2; EAGAIN while it waits. */
static int
try_to_open(struct sg_channel *channel)
{
    struct _LIBSSH2_SESSION *ssh = channel->session->ssh;
    int rc;

    if (channel->opening == NULL) {
        channel->opening = libssh2_channel_open_start(
            ssh, channel->type, (unsigned int)strlen(channel->type),
            (unsigned int)sg_window_initial(&channel->window),
            (unsigned int)channel->max_packet_size, channel->message,
            (unsigned int)channel->message_len);
    }
    if (channel->opening == NULL) {
        return libssh2_session_last_errno(ssh);
    }
    rc = libssh2_channel_open_poll(channel->opening);
    if (rc == 0) {
        channel->ssh = channel->opening;
    }
    if (rc != LIBSSH2_ERROR_EAGAIN) {
        channel->opening = NULL;
    }
    return rc;
}

#else

/* The same with a libssh2 whose session holds the state of an open.  Not with
 * libssh2_channel_direct_tcpip_ex(), which fixes the window at 2 MiB. */
static int
try_to_open(struct sg_channel *channel)
{
    struct sg_session *session = channel->session;

    channel->ssh = libssh2_channel_open_ex(
        session->ssh, channel->type, (unsigned int)strlen(channel->type),
        (unsigned int)sg_window_initial(&channel->window),
        (unsigned int)channel->max_packet_size, channel->message,
        (unsigned int)channel->message_len);
    return channel->ssh != NULL ? 0 : libssh2_session_last_errno(session->ssh);
}

#endif

bool
sg_channel_open_step(struct sg_channel *channel)
{
    int rc;

    if (channel->open_began == 0) {
        channel->open_began = sg_sys_now();
    }
    rc = try_to_open(channel);
    if (channel->ssh != NULL) {
        opened(channel);
    }
    else if (rc != LIBSSH2_ERROR_EAGAIN) {
        open_failed(channel, rc);
    }
    return rc != LIBSSH2_ERROR_EAGAIN;
}
