/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The far end that is a channel of a session; see channel.h.
 *
 * It waits in the session's line to be opened, then relays, then closes.
 * libssh2 calls a channel closed when CLOSE has gone both ways; until then it
 * is ours to turn.  When the session is lost, its channels are orphans: they
 * pass on what they have, tell the reason, and end.
 */
#include "channel.h"

#include <libssh2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay.h"
#include "session_internal.h"

/* libssh2 makes one packet of a write, of at most so much. */
#define MAX_WRITE 32700

struct sg_channel {
    struct sg_relay relay;              /* first */
    struct sg_session *session;         /* NULL for an orphan */
    struct sg_channel *next, *previous; /* in the session's list */
    struct sg_channel *next_open;       /* in its line */
    LIBSSH2_CHANNEL *ssh;               /* NULL before, and after the end */
    struct sg_request *request;         /* until it is answered */
    char *type, *message;
    size_t message_len;
    unsigned int window_size, max_packet_size;
    bool is_known;      /* to the session: the first turn is over */
    bool is_opening;    /* in its line */
    bool eof_wanted;    /* write_eof() was called */
    bool eof_sent;      /* and libssh2 has taken it */
    bool remote_closed; /* CLOSE has come */
    bool is_closing;    /* CLOSE shall go */
};

static struct sg_channel *
channel_of(const struct sg_relay *relay)
{
    return (struct sg_channel *)relay;
}

struct sg_farend *
sg_channel_farend(struct sg_channel *channel)
{
    return &channel->relay.farend;
}

struct sg_channel *
sg_channel_next(struct sg_channel *channel)
{
    return channel->next;
}

/* ---- The session's list and line -------------------------------------- */

static void
enter_session(struct sg_channel *channel, struct sg_session *session)
{
    channel->session = session;
    channel->next = session->channels;
    if (channel->next != NULL) {
        channel->next->previous = channel;
    }
    session->channels = channel;
    channel->is_opening = true;
    *session->last_open = channel;
    session->last_open = &channel->next_open;
    sg_session_touch(session, false);
}

static void
leave_line(struct sg_channel *channel)
{
    struct sg_session *session = channel->session;
    struct sg_channel **link = &session->first_open;

    if (!channel->is_opening) {
        return;
    }
    while (*link != channel) {
        link = &(*link)->next_open;
    }
    *link = channel->next_open;
    if (session->last_open == &channel->next_open) {
        session->last_open = link;
    }
    channel->next_open = NULL;
    channel->is_opening = false;
}

static void
leave_session(struct sg_channel *channel)
{
    if (channel->session == NULL) {
        return;
    }
    leave_line(channel);
    if (channel->next != NULL) {
        channel->next->previous = channel->previous;
    }
    if (channel->previous != NULL) {
        channel->previous->next = channel->next;
    }
    else {
        channel->session->channels = channel->next;
    }
    sg_session_touch(channel->session, true);
    channel->session = NULL;
}

/* ---- The answer to the caller ----------------------------------------- */

static void
answer(struct sg_channel *channel, const struct sg_error *error)
{
    if (channel->request == NULL) {
        return;
    }
    sg_loop_watch(&channel->relay.farend, sg_request_watch(channel->request),
                  SG_NOTHING);
    sg_request_answer_error(channel->request, error);
    sg_request_release(channel->request);
    channel->request = NULL;
}

/* ---- Opening ---------------------------------------------------------- */

/* libssh2 gives RFC 4254's reason only as a text. */
static int
reason_code(const char *text)
{
    static const struct {
        const char *text;
        int code;
    } reasons[] = {
        {"administratively prohibited", 1},
        {"connect failed", 2},
        {"unknown channel type", 3},
        {"resource shortage", 4},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
        if (strstr(text, reasons[i].text) != NULL) {
            return reasons[i].code;
        }
    }
    return 0;
}

static void
open_failed(struct sg_channel *channel, int rc)
{
    struct sg_error error = {0};

    if (sg_session_check(channel->session, rc)) {
        return; /* the session's loss will answer */
    }
    sg_session_fail(channel->session, SG_ERR_OPEN_FAILURE, &error);
    error.code = reason_code(error.text);
    answer(channel, &error);
    leave_session(channel);
    sg_loop_again(&channel->relay.farend); /* to be freed */
    sg_loop_over(&channel->relay.farend);
}

bool
sg_channel_open_step(struct sg_channel *channel)
{
    struct sg_session *session = channel->session;
    struct sg_error none = {0};
    int rc;

    channel->ssh = libssh2_channel_open_ex(
        session->ssh, channel->type, (unsigned int)strlen(channel->type),
        channel->window_size, channel->max_packet_size, channel->message,
        (unsigned int)channel->message_len);
    if (channel->ssh == NULL) {
        rc = libssh2_session_last_errno(session->ssh);
        if (rc == LIBSSH2_ERROR_EAGAIN) {
            return false;
        }
        open_failed(channel, rc);
        return true;
    }
    leave_line(channel);
    /* stderr has no place on a socket, and would close the window. */
    libssh2_channel_handle_extended_data2(
        channel->ssh, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE);
    if (channel->request == NULL) {
        channel->is_closing = true; /* nobody waits for it any more */
    }
    answer(channel, &none);
    sg_loop_again(&channel->relay.farend);
    return true;
}

bool
sg_channel_is_open(const struct sg_channel *channel)
{
    return channel->ssh != NULL;
}

/* Both read all there is, and keep it for whom it concerns; but not when
 * what they wait for has come. */
bool
sg_channel_pump(struct sg_channel *channel)
{
    int rc = libssh2_channel_wait_eof(channel->ssh);

    if (rc == 0) {
        rc = libssh2_channel_wait_closed(channel->ssh);
    }
    if (rc != 0 && rc != LIBSSH2_ERROR_EAGAIN) {
        return sg_session_check(channel->session, rc);
    }
    return rc != 0;
}

/* ---- The kind of far side --------------------------------------------- */

/* What libssh2 says of a channel, as the relay wants it. */
static ssize_t
result_of(struct sg_channel *channel, ssize_t rc)
{
    if (rc == LIBSSH2_ERROR_EAGAIN) {
        return -EAGAIN;
    }
    if (rc < 0) {
        sg_session_check(channel->session, (int)rc);
        return -ECONNRESET;
    }
    return rc;
}

static ssize_t
channel_read(struct sg_relay *relay, char *to, size_t n)
{
    struct sg_channel *channel = channel_of(relay);
    ssize_t got;

    if (channel->ssh == NULL) {
        return channel->session != NULL ? -EAGAIN : 0;
    }
    got = result_of(channel, libssh2_channel_read_ex(channel->ssh, 0, to, n));
    if (got > 0) {
        sg_session_touch(channel->session, true);
    }
    return got;
}

static ssize_t
channel_write(struct sg_relay *relay, const char *from, size_t n)
{
    struct sg_channel *channel = channel_of(relay);
    size_t done = 0;

    if (channel->session == NULL) {
        return -EPIPE;
    }
    while (done < n && channel->ssh != NULL
           && !sg_session_is_full(channel->session)) {
        size_t piece = n - done < MAX_WRITE ? n - done : MAX_WRITE;
        ssize_t wrote = result_of(
            channel,
            libssh2_channel_write_ex(channel->ssh, 0, from + done, piece));

        if (wrote < 0 && wrote != -EAGAIN) {
            return done > 0 ? (ssize_t)done : wrote;
        }
        if (wrote <= 0) {
            break; /* 0: the remote window is closed */
        }
        done += (size_t)wrote;
    }
    if (done > 0) {
        sg_session_touch(channel->session, true);
    }
    return done > 0 ? (ssize_t)done : -EAGAIN;
}

static void
channel_write_eof(struct sg_relay *relay)
{
    channel_of(relay)->eof_wanted = true; /* see finish() */
}

/* libssh2's channels have no readiness of their own: the session makes us
 * due when anything has come. */
static int
channel_want(struct sg_relay *relay, bool reading, bool writing)
{
    (void)relay;
    (void)reading;
    (void)writing;
    return 0;
}

static bool
channel_is_known(const struct sg_relay *relay)
{
    (void)relay;
    return true; /* an end without a lost session has no reason */
}

static bool
channel_is_gone(const struct sg_relay *relay)
{
    const struct sg_channel *channel = channel_of(relay);

    return channel->session == NULL
           || (channel->ssh == NULL && !channel->is_opening);
}

static bool
channel_has_moved(struct sg_relay *relay)
{
    (void)relay;
    return false;
}

/* What was not sent by now never will be. */
static bool
channel_insist(struct sg_relay *relay)
{
    struct sg_channel *channel = channel_of(relay);

    if (channel->is_closing) {
        return false;
    }
    channel->is_closing = true;
    sg_loop_again(&relay->farend);
    return true;
}

static const struct sg_relay_kind channel_relay_kind = {
    .read = channel_read,
    .write = channel_write,
    .write_eof = channel_write_eof,
    .want = channel_want,
    .is_known = channel_is_known,
    .is_gone = channel_is_gone,
    .has_moved = channel_has_moved,
    .insist = channel_insist,
};

/* ---- The kind of far end ---------------------------------------------- */

/* EOF and CLOSE, ours and theirs (RFC 4254 5.3).  True when the relay has
 * something to learn from it. */
static bool
finish(struct sg_channel *channel)
{
    struct sg_relay *relay = &channel->relay;
    bool has_news = false;

    if (channel->ssh == NULL) {
        return false;
    }
    if (relay->far_eof && !channel->remote_closed
        && libssh2_channel_wait_closed(channel->ssh) == 0) {
        channel->remote_closed = true;
        sg_relay_far_deaf(relay);
        has_news = true;
    }
    /* Not after CLOSE, which libssh2_channel_free has sent when it waits for
     * theirs: sshd would disconnect. */
    if (channel->eof_wanted && !channel->eof_sent && !channel->remote_closed
        && !channel->is_closing) {
        channel->eof_sent = libssh2_channel_send_eof(channel->ssh)
                            != LIBSSH2_ERROR_EAGAIN;
        sg_session_touch(channel->session, false);
    }
    if (sg_relay_is_done(relay)
        && (!channel->eof_wanted || channel->eof_sent
            || channel->remote_closed)) {
        channel->is_closing = true;
    }
    if (channel->is_closing
        && libssh2_channel_free(channel->ssh) != LIBSSH2_ERROR_EAGAIN) {
        channel->ssh = NULL;
        leave_session(channel);
        return true;
    }
    if (channel->is_closing) {
        sg_session_touch(channel->session, false);
    }
    return has_news;
}

/* The first turn: the session may be gone already. */
static void
get_known(struct sg_channel *channel)
{
    static const struct sg_error closed = {.status = SG_ERR_LOST,
                                           .err = ECONNRESET,
                                           .text = "it was closed here"};
    static const struct sg_error ended = {.status = SG_ERR_LOST,
                                          .err = ECONNRESET,
                                          .text = "it has ended already"};
    struct sg_farend *farend = &channel->relay.farend;
    struct sg_session *session = sg_loop_context(farend);

    channel->is_known = true;
    if (session != NULL && !session->is_closing) {
        enter_session(channel, session);
        return;
    }
    answer(channel, session != NULL ? &closed : &ended);
}

/* Nobody waits: an open that has not begun is dropped, one that has must be
 * finished first, for libssh2 would give its confirmation to the next. */
static void
caller_has_gone(struct sg_channel *channel)
{
    struct sg_farend *farend = &channel->relay.farend;

    sg_loop_watch(farend, sg_request_watch(channel->request), SG_NOTHING);
    sg_request_release(channel->request);
    channel->request = NULL;
    if (channel->session != NULL && channel->session->first_open != channel) {
        leave_session(channel);
    }
}

static void
channel_turn(struct sg_farend *farend)
{
    struct sg_channel *channel = (struct sg_channel *)farend;

    if (!channel->is_known) {
        get_known(channel);
    }
    if (farend->is_over) {
        return;
    }
    if (channel->request != NULL) {
        sg_loop_watch(farend, sg_request_watch(channel->request), SG_HANGUP);
        if (sg_request_watch(channel->request)->ready & SG_HANGUP) {
            caller_has_gone(channel);
        }
    }
    if (channel->is_opening) {
        return;
    }
    if (channel->session == NULL) {
        sg_relay_far_eof(&channel->relay);
        sg_relay_far_deaf(&channel->relay);
    }
    sg_relay_turn(&channel->relay);
    if (finish(channel)) {
        sg_loop_again(farend);
    }
}

/* What has arrived is the caller's, however slowly it reads: at most a
 * window of it. */
static void
take_queued(struct sg_channel *channel)
{
    struct sg_relay *relay = &channel->relay;
    char *scratch = sg_loop_scratch(&relay->farend);
    ssize_t n;

    if (channel->ssh == NULL || relay->near_deaf || relay->far_eof) {
        return;
    }
    do {
        n = libssh2_channel_read_ex(channel->ssh, 0, scratch, SG_SCRATCH_SIZE);
    } while (n > 0 && sg_buffer_append(&relay->down, scratch, (size_t)n));
}

void
sg_channel_orphan(struct sg_channel *channel)
{
    struct sg_session *session = channel->session;
    struct sg_error error = {.status = SG_ERR_LOST};
    int err = session->last.err != 0 ? session->last.err : ECONNRESET;

    error.err = err;
    snprintf(error.text, sizeof(error.text), "%s", session->last.text);
    sg_report_failure(channel->relay.report, err, session->last.text);
    answer(channel, &error);
    take_queued(channel);
    leave_session(channel);
    channel->ssh = NULL; /* libssh2_session_free frees it */
    sg_loop_again(&channel->relay.farend);
}

void
sg_channel_close_by(struct sg_channel *channel, sg_deadline by)
{
    sg_report_failure(channel->relay.report, ECONNRESET, "it was closed here");
    if (channel->request != NULL) {
        answer(channel, &(struct sg_error){.status = SG_ERR_LOST,
                                           .err = ECONNRESET,
                                           .text = "it was closed here"});
    }
    sg_relay_stop(&channel->relay, by);
    sg_loop_again(&channel->relay.farend);
}

static void
channel_stop(struct sg_farend *farend, sg_deadline by)
{
    sg_relay_stop((struct sg_relay *)farend, by);
}

static void
free_parts(struct sg_channel *channel)
{
    free(channel->type);
    free(channel->message);
    free(channel);
}

static void
channel_free(struct sg_farend *farend)
{
    struct sg_channel *channel = (struct sg_channel *)farend;

    leave_session(channel);
    if (channel->request != NULL) {
        answer(channel,
               &(struct sg_error){.status = SG_ERR_LOST, .err = ECONNRESET});
    }
    sg_relay_clear(&channel->relay);
    sg_report_unref(channel->relay.report);
    free_parts(channel);
}

static const struct sg_farend_kind channel_kind = {
    .name = "channel",
    .turn = channel_turn,
    .stop = channel_stop,
    .free = channel_free,
};

/* ---- Starting --------------------------------------------------------- */

static struct sg_channel *
channel_new(const struct sg_channel_options *options)
{
    struct sg_channel *channel = calloc(1, sizeof(*channel));

    if (channel == NULL) {
        return NULL;
    }
    channel->type = strdup(options->type);
    channel->message = malloc(options->message_len + 1);
    if (channel->type == NULL || channel->message == NULL) {
        free_parts(channel);
        return NULL;
    }
    memcpy(channel->message, options->message, options->message_len);
    channel->message_len = options->message_len;
    channel->window_size = options->window_size;
    channel->max_packet_size = options->max_packet_size;
    return channel;
}

enum sg_status
sg_channel_start(uint64_t loop_name, const struct sg_channel_options *options,
                 struct sg_report *report, struct sg_request **request,
                 int *stream, struct sg_error *error)
{
    struct sg_channel *channel = channel_new(options);
    struct sg_loop *loop;
    int near[2] = {-1, -1};
    int err;

    *request = NULL;
    if (channel == NULL) {
        return sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
    }
    err = sg_sys_socketpair(near);
    if (err < 0) {
        free_parts(channel);
        return sg_fail_errno(error, err);
    }
    *request = sg_request_new(error);
    if (*request == NULL) {
        goto fail;
    }
    loop = sg_loop_hold_named(loop_name);
    if (loop == NULL) {
        sg_fail(error, SG_ERR_LOST, ECONNRESET);
        goto fail;
    }
    channel->relay.farend.kind = &channel_kind;
    channel->request = *request;
    sg_relay_init(&channel->relay, &channel_relay_kind, sg_report_ref(report),
                  near[0], options->linger);
    *stream = near[1];
    sg_loop_adopt(loop, &channel->relay.farend);
    return SG_OK;
fail:
    if (*request != NULL) {
        sg_request_release(*request);
        sg_request_drop(*request);
        *request = NULL;
    }
    sg_sys_close(&near[0]);
    sg_sys_close(&near[1]);
    free_parts(channel);
    return error->status;
}
