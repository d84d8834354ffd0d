/* SPDX-License-Identifier: BSD-2-Clause
 *
 * See session.h.
 */
#include "lib/session.h"

/* ---- Waiting ---------------------------------------------------------- */

struct sg_wait
wait_at_most(int64_t ns)
{
    return (struct sg_wait){.deadline = sg_deadline_after(ns),
                            .interrupt = never_interrupt};
}

struct sg_wait
wait_patiently(void)
{
    return wait_at_most((under_valgrind() ? 6 : 1) * PATIENCE * SG_SEC);
}

/* ---- Sessions --------------------------------------------------------- */

struct sg_session *
session_new(int fd, struct sg_shared *shared)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_session *session = sg_session_new(fd, shared, &error);

    CHECK(session != NULL);
    return session;
}

struct sg_session *
session_new_unshared(int fd)
{
    struct sg_shared *shared = sg_shared_new();
    struct sg_session *session = session_new(fd, shared);

    sg_shared_unref(shared);
    return session;
}

void
session_handshake(struct sg_session *session)
{
    struct sg_error error = {.status = SG_OK};
    struct sg_wait wait = wait_patiently();

    CHECK_OK(sg_session_handshake(session, NULL, &wait, &error), error);
}

int
failure_of(struct sg_shared *shared)
{
    char text[SG_ERROR_TEXT];

    return sg_shared_get_failure(shared, text);
}

/* ---- Channels --------------------------------------------------------- */

enum sg_status
channel_wait(struct channel *channel, struct sg_error *error)
{
    enum sg_status status = sg_reply_wait(channel->reply,
                                          wait_patiently().deadline,
                                          never_interrupt, NULL, error);

    sg_reply_drop(channel->reply);
    channel->reply = NULL;
    return status;
}

void
channel_wait_open(struct channel *channel)
{
    struct sg_error error = {.status = SG_OK};

    CHECK_OK(channel_wait(channel, &error), error);
}

void
channel_close(struct channel *channel)
{
    sg_reply_drop(channel->reply);
    sg_sys_close(&channel->stream);
    sg_shared_unref(channel->shared);
    *channel = (struct channel){.stream = -1};
}
