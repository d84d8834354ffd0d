/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A program that hands over a socket; see fdpass.h.
 *
 * The task has two phases.  While `reply` is set, it waits for the socket.
 * After the answer it only waits for the child's end, or enforces it.
 */
#include "proxy/fdpass.h"

#include <stdlib.h>

/* The child has closed its stdout: the time to learn its exit status before
 * the caller is answered. */
#define REPORT_DELAY (200 * SG_MSEC)
/* The pause between two of the signals that end the child. */
#define ESCALATE_PAUSE (250 * SG_MSEC)

/* Some programs send more than one descriptor.  The first one counts; the
 * others are closed. */
#define MAX_DESCRIPTORS 8

struct sg_fdpass {
    struct sg_task task; /* first */
    struct sg_child child;
    struct sg_watch control; /* our end of the socketpair that is the child's
                                stdin and stdout; fd -1 after its EOF */
    struct sg_reply *reply;  /* NULL once it is answered */
    int64_t linger;          /* ns from the answer to the first signal */
    int64_t escalate_pause;  /* ns between two signals */
    sg_deadline report_by;   /* EOF without a socket: when to answer even if
                                the child's exit status is unknown */
    sg_deadline escalate_at; /* answered: when to send the next signal */
};

/* The caller has its answer or has stopped waiting, so the child has nothing
 * left to do. */
static void
finish_reply(struct sg_fdpass *fdpass)
{
    sg_loop_watch(&fdpass->task, sg_reply_watch(fdpass->reply), SG_NOTHING);
    sg_reply_release(fdpass->reply);
    fdpass->reply = NULL;
    sg_loop_close(&fdpass->task, &fdpass->control);
    fdpass->escalate_at = sg_deadline_after(fdpass->linger);
}

static void
fail(struct sg_fdpass *fdpass, enum sg_status status, int err)
{
    sg_reply_set(fdpass->reply, status, err, -1);
    finish_reply(fdpass);
}

/* Receive from the child and answer, unless nothing has arrived. */
static void
take_descriptor(struct sg_fdpass *fdpass)
{
    int fds[MAX_DESCRIPTORS];
    size_t count;
    ssize_t n = sg_sys_recv_descriptors(fdpass->control.fd, fds,
                                        MAX_DESCRIPTORS, &count);

    for (size_t i = 1; i < count; i++) {
        sg_sys_close(&fds[i]);
    }
    if (count > 0 && sg_sys_is_stream(fds[0])) {
        sg_reply_set(fdpass->reply, SG_OK, 0, fds[0]);
        finish_reply(fdpass);
    }
    else if (count > 0) {
        int err = sg_sys_is_socket(fds[0]) ? EPROTOTYPE : ENOTSOCK;

        sg_sys_close(&fds[0]);
        fail(fdpass, SG_ERR_NOT_A_SOCKET, err);
    }
    else if (n > 0) {
        fail(fdpass, SG_ERR_NO_DESCRIPTOR, EPROTO);
    }
    else if (n == -EMFILE || n == -ENFILE || n == -ENOMEM) {
        fail(fdpass, SG_ERR_SYSTEM, (int)-n);
    }
    else if (n != -EAGAIN && n != -EINTR) {
        sg_loop_close(&fdpass->task, &fdpass->control);
        fdpass->report_by = sg_deadline_after(REPORT_DELAY);
    }
}

static int
watch(struct sg_fdpass *fdpass)
{
    int err = sg_loop_watch(&fdpass->task, &fdpass->control, SG_READ);

    if (err < 0) {
        return err;
    }
    return sg_loop_watch(&fdpass->task, sg_reply_watch(fdpass->reply),
                         SG_HANGUP);
}

/* One turn of the first phase: watch for the socket and for a caller that
 * stops waiting. */
static void
attend_reply(struct sg_fdpass *fdpass)
{
    int err = watch(fdpass);

    if (err < 0) {
        fail(fdpass, SG_ERR_SYSTEM, -err);
        return;
    }
    if (sg_reply_watch(fdpass->reply)->ready & SG_HANGUP) {
        finish_reply(fdpass);
        return;
    }
    if (fdpass->control.ready != 0) {
        fdpass->control.ready = 0;
        take_descriptor(fdpass);
    }
    if (fdpass->reply != NULL && fdpass->control.fd < 0
        && (fdpass->child.ended || sg_sys_now() >= fdpass->report_by)) {
        fail(fdpass, SG_ERR_PROXY_EXITED, ECONNRESET);
    }
}

static void
fdpass_turn(struct sg_task *task)
{
    struct sg_fdpass *fdpass = (struct sg_fdpass *)task;
    int err = sg_child_turn(&fdpass->child, task);
    sg_deadline wake, ask;

    if (fdpass->reply != NULL && err < 0) {
        fail(fdpass, SG_ERR_SYSTEM, -err);
    }
    if (fdpass->reply != NULL) {
        attend_reply(fdpass);
    }
    if (fdpass->reply == NULL && fdpass->child.ended) {
        sg_loop_over(task);
        return;
    }
    if (fdpass->reply == NULL && sg_sys_now() >= fdpass->escalate_at) {
        fdpass->escalate_at = sg_child_escalate(&fdpass->child)
                                  ? sg_deadline_after(fdpass->escalate_pause)
                                  : SG_NEVER;
    }
    wake = fdpass->reply != NULL ? fdpass->report_by : fdpass->escalate_at;
    ask = sg_child_check_at(&fdpass->child,
                            fdpass->reply == NULL || fdpass->control.fd < 0);
    sg_loop_run_at(task, sg_deadline_earlier(wake, ask));
}

/* Of the time that is left, half is for the child to end by itself; the rest
 * is for three signals. */
static void
fdpass_stop(struct sg_task *task, sg_deadline by)
{
    struct sg_fdpass *fdpass = (struct sg_fdpass *)task;
    int64_t left = by - sg_sys_now();

    left = left > 0 ? left : 0;
    if (fdpass->reply != NULL) {
        fail(fdpass, SG_ERR_INTERRUPTED, EINTR);
    }
    fdpass->escalate_pause = left / 8;
    fdpass->escalate_at = sg_deadline_earlier(fdpass->escalate_at,
                                              sg_deadline_after(left / 2));
}

static void
fdpass_free(struct sg_task *task)
{
    struct sg_fdpass *fdpass = (struct sg_fdpass *)task;

    sg_child_release(&fdpass->child, task);
    sg_shared_unref(fdpass->child.shared);
    sg_loop_close(task, &fdpass->control);
    free(fdpass);
}

static const struct sg_task_kind fdpass_kind = {
    .name = "fdpass",
    .turn = fdpass_turn,
    .stop = fdpass_stop,
    .free = fdpass_free,
};

enum sg_status
sg_fdpass_start(const struct sg_child_options *options, int64_t linger,
                struct sg_shared *shared, struct sg_reply **reply, pid_t *pid,
                struct sg_error *error)
{
    struct sg_fdpass *fdpass = calloc(1, sizeof(*fdpass));
    struct sg_loop *loop = NULL;
    enum sg_status status = SG_ERR_SYSTEM;
    int control[2] = {-1, -1}; /* our end, the child's end */
    int err;

    *reply = NULL;
    if (fdpass == NULL) {
        return sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
    }
    err = sg_sys_socketpair(control);
    if (err < 0) {
        sg_fail_errno(error, err);
        goto out;
    }
    *reply = sg_reply_new(error);
    if (*reply == NULL) {
        goto out;
    }
    /* Before the child starts: afterwards nothing may fail. */
    loop = sg_loop_hold(error);
    if (loop == NULL) {
        goto out;
    }
    /* One socket is stdin and stdout, as in OpenSSH. */
    status = sg_child_start(&fdpass->child, options, control[1], control[1],
                            shared, error);
    if (status != SG_OK) {
        goto out;
    }
    sg_shared_ref(shared);
    *pid = fdpass->child.pid;
    fdpass->task.kind = &fdpass_kind;
    fdpass->control.fd = control[0];
    fdpass->reply = *reply;
    fdpass->linger = linger;
    fdpass->escalate_pause = ESCALATE_PAUSE;
    fdpass->report_by = fdpass->escalate_at = SG_NEVER;
    control[0] = -1;
    sg_loop_adopt(loop, &fdpass->task);
    fdpass = NULL;
    loop = NULL;
out:
    if (status != SG_OK && *reply != NULL) {
        sg_reply_release(*reply); /* the loop's reference */
        sg_reply_drop(*reply);
        *reply = NULL;
    }
    sg_sys_close(&control[0]);
    sg_sys_close(&control[1]);
    if (loop != NULL) {
        sg_loop_release(loop);
    }
    free(fdpass);
    return status;
}
