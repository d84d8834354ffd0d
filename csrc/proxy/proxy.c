/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A stream whose far side is the pipes of a child process; see proxy.h.
 *
 * The child gets two pipes, as from OpenSSH.  A socket would not do, because
 * bash, ncat and /dev/stdin behave differently if stdin is a socket.
 */
#include "proxy/proxy.h"

#include <stdlib.h>

#include "engine/relay.h"

struct sg_proxy {
    struct sg_relay relay; /* first: proxy_of() relies on it */
    struct sg_child child;
    struct sg_watch in;  /* writes to the child's stdin */
    struct sg_watch out; /* reads the child's stdout */
    int unread_fd;       /* a reading end of the stdin pipe, for counting its
                            unread bytes after in.fd is closed; or -1 */
    int unread;          /* bytes in the stdin pipe at the last count */
    bool is_lent;        /* the caller's thread uses in.fd and out.fd, so the
                            loop must not (loan.h) */
};

static struct sg_proxy *
proxy_of(const struct sg_relay *relay)
{
    return (struct sg_proxy *)relay;
}

/* ---- The relay's table of functions (relay.h) -------------------------- */

/* A read that fills a whole pipe shows that the child is faster than the
 * loop: let the pipe hold more. */
static ssize_t
proxy_read(struct sg_relay *relay, char *to, size_t n)
{
    struct sg_proxy *proxy = proxy_of(relay);
    struct sg_watch *out = &proxy->out;
    ssize_t got;

    if (out->ready == 0) {
        return -EAGAIN;
    }
    out->ready = 0;
    got = sg_sys_read(out->fd, to, n);
    if (got >= SG_PIPE_SIZE) {
        sg_loan_grow(&sg_shared_loan(relay->shared)->out, SG_GROWN_OUT);
    }
    return got;
}

/* -EAGAIN may mean that the pipe is full, so try again once it has grown. */
static ssize_t
proxy_carry(struct sg_relay *relay, int from_fd)
{
    struct sg_proxy *proxy = proxy_of(relay);
    ssize_t n = sg_sys_splice(from_fd, proxy->in.fd, SG_GROWN_IN);

    if (n == -EAGAIN
        && sg_loan_grow(&sg_shared_loan(relay->shared)->in, SG_GROWN_IN)) {
        n = sg_sys_splice(from_fd, proxy->in.fd, SG_GROWN_IN);
    }
    return n;
}

static ssize_t
proxy_write(struct sg_relay *relay, const char *from, size_t n)
{
    struct sg_proxy *proxy = proxy_of(relay);
    ssize_t taken = sg_sys_write(proxy->in.fd, from, n);

    if (taken > 0 && relay->near_gone) {
        /* The start of the next comparison in proxy_has_moved(). */
        proxy->unread = sg_sys_unread(proxy->in.fd);
    }
    return taken;
}

/* The child sees the end of its input once it has read the rest of the pipe.
 * Keep a reading end of the pipe, in order to see whether the child reads on;
 * proxy_has_moved() counts the unread bytes. */
static void
proxy_write_eof(struct sg_relay *relay)
{
    struct sg_proxy *proxy = proxy_of(relay);

    proxy->unread_fd = sg_sys_pipe_reader(proxy->in.fd);
    proxy->unread = sg_sys_unread(proxy->unread_fd);
    sg_loop_close(&relay->task, &proxy->in);
}

static int
proxy_want(struct sg_relay *relay, bool reading, bool writing)
{
    struct sg_proxy *proxy = proxy_of(relay);
    int err;

    if (relay->far_eof) {
        sg_loop_close(&relay->task, &proxy->out);
    }
    if (relay->far_deaf) {
        sg_loop_close(&relay->task, &proxy->in);
    }
    err = sg_loop_watch(&relay->task, &proxy->out,
                        reading ? SG_READ : SG_NOTHING);
    if (err < 0) {
        return err;
    }
    return sg_loop_watch(&relay->task, &proxy->in,
                         writing ? SG_WRITE | SG_HANGUP : SG_HANGUP);
}

static bool
proxy_has_ended(const struct sg_relay *relay)
{
    return proxy_of(relay)->child.ended;
}

/* A slow reader makes progress long before the pipe has room for another
 * write, so compare the number of unread bytes. */
static bool
proxy_has_moved(struct sg_relay *relay)
{
    struct sg_proxy *proxy = proxy_of(relay);
    int before = proxy->unread;

    proxy->unread = sg_sys_unread(proxy->unread_fd >= 0 ? proxy->unread_fd
                                                        : proxy->in.fd);
    return proxy->unread >= 0 && proxy->unread < before;
}

static bool
proxy_escalate(struct sg_relay *relay)
{
    return sg_child_escalate(&proxy_of(relay)->child);
}

static const struct sg_relay_kind proxy_relay_kind = {
    .read = proxy_read,
    .write = proxy_write,
    .carry = proxy_carry,
    .write_eof = proxy_write_eof,
    .want = proxy_want,
    .reason_is_known = proxy_has_ended,
    .is_gone = proxy_has_ended,
    .has_moved = proxy_has_moved,
    .escalate = proxy_escalate,
};

/* ---- The loop's table of functions (loop.h) ---------------------------- */

/* The stream cannot end before the child's end is noticed. */
static bool
is_urgent(const struct sg_relay *relay)
{
    return relay->near_gone || (relay->far_eof && !relay->down_over)
           || (relay->far_deaf && !relay->up_over);
}

static void
pipes_are_back(void *task)
{
    sg_loop_wake(task);
}

/* Return true if the pipes are no longer lent to the caller's thread.
 *
 * While they are lent, the loop watches for hangups only.  A hangup means that
 * the caller has closed the stream, or that the child has closed a pipe or has
 * ended.  Then the loop ends the loan, as it does when the program ends.  The
 * caller's thread may also have ended the loan itself.
 *
 * A call on the caller's thread may hold the pipes for a while after the loan
 * has ended.  During that time the three descriptors leave the poller, because
 * a hangup cannot be masked and would wake the loop again and again. */
static bool
take_back(struct sg_proxy *proxy)
{
    struct sg_relay *relay = &proxy->relay;
    struct sg_task *task = &relay->task;
    struct sg_loan *loan = sg_shared_loan(relay->shared);
    struct sg_watch *watches[] = {&relay->near, &proxy->in, &proxy->out};
    bool has_ended = relay->near_gone || !sg_loan_lasts(loan);

    for (int i = 0; i < 3; i++) {
        has_ended = has_ended || watches[i]->ready != 0;
    }
    for (int i = 0; i < 3; i++) {
        int err = sg_loop_watch(task, watches[i],
                                has_ended ? SG_NOTHING : SG_HANGUP);

        if (err < 0) {
            sg_relay_fail(relay, err);
            has_ended = true;
        }
    }
    if (has_ended) {
        sg_loan_end(loan);
    }
    if (!sg_loan_is_back(loan, pipes_are_back, task)) {
        return false;
    }
    sg_sys_trace("%s %p: the loop drives the pipes", task->kind->name,
                 (void *)proxy);
    return true;
}

static void
relay_turn(struct sg_proxy *proxy)
{
    if (proxy->in.ready & SG_HANGUP) {
        sg_relay_far_deaf(&proxy->relay);
    }
    proxy->in.ready = 0;
    sg_relay_turn(&proxy->relay);
}

static void
proxy_turn(struct sg_task *task)
{
    struct sg_proxy *proxy = (struct sg_proxy *)task;
    struct sg_relay *relay = &proxy->relay;
    int err = sg_child_turn(&proxy->child, task);
    sg_deadline check_at;

    if (err < 0) {
        sg_relay_fail(relay, err);
    }
    proxy->is_lent = proxy->is_lent && !take_back(proxy);
    if (!proxy->is_lent) {
        relay_turn(proxy);
    }
    if (!task->is_over) {
        check_at = sg_child_check_at(&proxy->child, is_urgent(relay));
        sg_loop_run_at(task, sg_deadline_earlier(task->run_at, check_at));
    }
}

/* sg_relay_stop() marks the caller as gone; the next turn acts on it. */
static void
proxy_stop(struct sg_task *task, sg_deadline by)
{
    sg_relay_stop((struct sg_relay *)task, by);
}

static void
proxy_free(struct sg_task *task)
{
    struct sg_proxy *proxy = (struct sg_proxy *)task;

    sg_loan_pipes_closed(sg_shared_loan(proxy->relay.shared));
    sg_child_release(&proxy->child, task);
    sg_loop_close(task, &proxy->in);
    sg_loop_close(task, &proxy->out);
    sg_sys_close(&proxy->unread_fd);
    sg_relay_clear(&proxy->relay);
    sg_shared_unref(proxy->relay.shared);
    free(proxy);
}

static const struct sg_task_kind proxy_kind = {
    .name = "proxy",
    .turn = proxy_turn,
    .stop = proxy_stop,
    .free = proxy_free,
};

/* ---- Starting --------------------------------------------------------- */

/* The pipes and the socketpair, named by their owners after the start. */
struct ends {
    int near[2]; /* the loop's, the caller's */
    int in[2];   /* the child's stdin, the loop's end of it */
    int out[2];  /* the loop's end of the child's stdout, the child's */
};

static void
close_pair(int fd[2])
{
    sg_sys_close(&fd[0]);
    sg_sys_close(&fd[1]);
}

static int
open_ends(struct ends *ends)
{
    int err = sg_sys_socketpair(ends->near);

    if (err >= 0) {
        err = sg_sys_pipe(ends->in);
    }
    if (err >= 0) {
        err = sg_sys_pipe(ends->out);
    }
    if (err >= 0) {
        err = sg_sys_set_blocking(ends->in[1], false);
    }
    if (err >= 0) {
        err = sg_sys_set_blocking(ends->out[0], false);
    }
    return err;
}

enum sg_status
sg_proxy_start(const struct sg_child_options *options, int64_t linger,
               struct sg_shared *shared, int *stream, pid_t *pid,
               struct sg_error *error)
{
    struct ends ends = {{-1, -1}, {-1, -1}, {-1, -1}};
    struct sg_proxy *proxy = calloc(1, sizeof(*proxy));
    struct sg_loop *loop = NULL;
    enum sg_status status = SG_ERR_SYSTEM;
    int err;

    if (proxy == NULL) {
        return sg_fail(error, SG_ERR_SYSTEM, ENOMEM);
    }
    err = open_ends(&ends);
    if (err < 0) {
        sg_fail_errno(error, err);
        goto out;
    }
    /* Before the child starts: afterwards nothing may fail. */
    loop = sg_loop_hold(error);
    if (loop == NULL) {
        goto out;
    }
    status = sg_child_start(&proxy->child, options, ends.in[0], ends.out[1],
                            shared, error);
    if (status != SG_OK) {
        goto out;
    }
    proxy->relay.task.kind = &proxy_kind;
    sg_relay_init(&proxy->relay, &proxy_relay_kind, sg_shared_ref(shared),
                  ends.near[0], linger);
    proxy->in.fd = ends.in[1];
    proxy->out.fd = ends.out[0];
    proxy->unread_fd = -1;
    proxy->is_lent = options->lends;
    sg_loan_begin(sg_shared_loan(shared), ends.in[1], ends.out[0],
                  options->lends);
    *stream = ends.near[1];
    *pid = proxy->child.pid;
    ends.near[0] = ends.near[1] = ends.in[1] = ends.out[0] = -1;
    sg_loop_adopt(loop, &proxy->relay.task);
    proxy = NULL;
    loop = NULL;
out:
    close_pair(ends.near);
    close_pair(ends.in);
    close_pair(ends.out);
    if (loop != NULL) {
        sg_loop_release(loop);
    }
    free(proxy);
    return status;
}
