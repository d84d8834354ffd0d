/* SPDX-License-Identifier: BSD-2-Clause
 *
 * How a channel comes to its session, is opened, and leaves; see channel.h.
 */
#include <libssh2.h>
#include <string.h>

#include "ssh/channel_internal.h"

/* ---- The session's list and line -------------------------------------- */

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
        libssh2_channel_free(channel->opening); /* closed when it is open */
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

/* libssh2 gives RFC 4254's reason as a text, and the pinned one the server's
 * description behind it; that is what remains. */
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

/* A server that tries to connect for longer than libssh2 waits for an answer
 * (1.10: 60 s) is no reason to give up what goes on meanwhile.  The answer is
 * queued when it comes, for nobody. */
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
        return; /* the session's loss will answer */
    }
    else {
        sg_session_fail(channel->session, SG_ERR_OPEN_FAILURE, &error);
        split_refusal(&error);
    }
    sg_channel_answer(channel, &error);
    sg_channel_leave(channel);
    sg_loop_run_again(&channel->relay.task); /* to be freed */
    sg_loop_over(&channel->relay.task);
}

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
    /* stderr has no place on a socket, and would close the window. */
    libssh2_channel_handle_extended_data2(
        channel->ssh, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE);
    if (channel->reply == NULL) {
        channel->is_closing = true; /* nobody waits for it any more */
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

/* In channel->ssh once it is open, and else what libssh2 says. */
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
