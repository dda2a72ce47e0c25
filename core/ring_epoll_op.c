/* SPDX-License-Identifier: MIT */
/*
 * Operations of the epoll twin, and the descriptors they wait for.
 *
 *            queued          tried, would block         event
 *     FREE ---------> QUEUED ------------------> PARKED -------> (tried again)
 *      ^                |                          |
 *      +----------------+--------------------------+   tried and over, or cancelled
 *
 * What would block is parked on its descriptor, which is then registered, edge-triggered, for good.
 * Only operations of one descriptor and direction wait for each other. An edge is remembered as the
 * missing `blocked` bit of the descriptor, so none is lost that comes while nothing is parked.
 *
 * Invariants of a descriptor and direction:
 *   parked and blocked      registered: an edge will come
 *   parked and not blocked  on the todo list: the next enter goes on with it
 *
 * Nothing is tried unless the completion queue has room for what comes of it.
 */
#include "core/ring_epoll.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* What one operation may do before the others have their turn: the rest is for the next enter. */
#define RECV_BURST   16
#define ACCEPT_BURST 64

#define BIT_IN  (1u << WEIR_EPOLL_DIR_IN)
#define BIT_OUT (1u << WEIR_EPOLL_DIR_OUT)

/* struct weir_epoll_fd.flags */
#define FD_TCP    (1u << 0) /* a short read means that there is no more */
#define FD_ENDING (1u << 1) /* an end, an error or urgent data lie ahead: read until told so */
#define FD_TODO   (1u << 2) /* on the todo list */

static void post(struct weir_epoll *e, const struct weir_epoll_op *op, int res, uint32_t flags)
{
    WEIR_ASSERT(!weir_epoll_full(e));
    e->cqes[e->cq_tail++ & e->cq_mask] =
        (struct weir_cqe){ .user_data = op->user_data, .res = res, .flags = flags };
}

/* ---- Descriptors ------------------------------------------------------------------------- */

/* The number may still be on the todo list. */
void weir_epoll_fd_reset(struct weir_epoll *e, int fd, bool tcp)
{
    struct weir_epoll_fd *f = &e->fds[fd];
    WEIR_ASSERT(f->tail[WEIR_EPOLL_DIR_IN] == NULL);
    WEIR_ASSERT(f->tail[WEIR_EPOLL_DIR_OUT] == NULL);
    f->blocked = f->watched = 0;
    f->flags = (uint8_t)((f->flags & FD_TODO) | (tcp ? FD_TCP : 0));
}

static bool fd_runnable(const struct weir_epoll_fd *f)
{
    return (f->tail[WEIR_EPOLL_DIR_IN] != NULL && !(f->blocked & BIT_IN)) ||
           (f->tail[WEIR_EPOLL_DIR_OUT] != NULL && !(f->blocked & BIT_OUT));
}

static void todo_push(struct weir_epoll *e, int fd)
{
    struct weir_epoll_fd *f = &e->fds[fd];
    if (f->flags & FD_TODO)
        return;
    f->flags |= FD_TODO;
    if (e->todo_count++ == 0)
        e->todo_head = fd;
    else
        e->fds[e->todo_tail].todo_next = fd;
    e->todo_tail = fd;
}

static int todo_pop(struct weir_epoll *e)
{
    WEIR_ASSERT(e->todo_count > 0);
    int fd = e->todo_head;
    e->todo_head = e->fds[fd].todo_next;
    e->todo_count--;
    e->fds[fd].flags &= (uint8_t)~FD_TODO;
    return fd;
}

/*
 * Register fd for a direction more. Adding and changing both look at the descriptor and give an
 * event when it is ready already. Writability is asked for only once a send blocked: a unix socket
 * would give an edge for every piece its peer reads.
 */
static int fd_watch(struct weir_epoll *e, int fd, uint8_t bits)
{
    struct weir_epoll_fd *f = &e->fds[fd];
    bits |= f->watched;
    if (WEIR_LIKELY(bits == f->watched))
        return 0;
    struct epoll_event event = { .events = EPOLLET | EPOLLRDHUP | EPOLLPRI, .data.fd = fd };
    event.events |= bits & BIT_IN ? EPOLLIN : 0u;
    event.events |= bits & BIT_OUT ? EPOLLOUT : 0u;
    int op = f->watched != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int rc = epoll_ctl(e->epoll_fd, op, fd, &event);
    /* A number that came back for the same file, or was closed behind our back. */
    if (rc < 0 && errno == EEXIST)
        rc = epoll_ctl(e->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    else if (rc < 0 && errno == ENOENT)
        rc = epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    if (rc < 0)
        return -errno;
    f->watched = bits;
    return 0;
}

void weir_epoll_event(struct weir_epoll *e, const struct epoll_event *event)
{
    struct weir_epoll_fd *f = &e->fds[event->data.fd];
    const uint32_t ends = EPOLLHUP | EPOLLERR;
    if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | ends))
        f->blocked &= (uint8_t)~BIT_IN;
    if (event->events & (EPOLLOUT | ends))
        f->blocked &= (uint8_t)~BIT_OUT;
    if (event->events & (EPOLLRDHUP | EPOLLPRI | ends))
        f->flags |= FD_ENDING;
    if (fd_runnable(f))
        todo_push(e, event->data.fd);
}

/* ---- Parked operations ------------------------------------------------------------------- */

static struct weir_epoll_op **bucket_of(struct weir_epoll *e, uint64_t user_data)
{
    return &e->buckets[(user_data * 0x9e3779b97f4a7c15u) >> e->buckets_shift];
}

static void park(struct weir_epoll *e, struct weir_epoll_op *op, enum weir_epoll_dir dir)
{
    struct weir_epoll_op **tail = &e->fds[op->fd].tail[dir];
    struct weir_epoll_op **bucket = bucket_of(e, op->user_data);
    op->next = *tail != NULL ? (*tail)->next : op;
    if (*tail != NULL)
        (*tail)->next = op;
    *tail = op;
    op->hash_next = *bucket;
    *bucket = op;
}

/* Free a parked operation. Usually the first of its list, which is usually the only one. */
static void unpark(struct weir_epoll *e, struct weir_epoll_op *op, enum weir_epoll_dir dir)
{
    struct weir_epoll_op **tail = &e->fds[op->fd].tail[dir];
    struct weir_epoll_op *before = *tail;
    while (before->next != op)
        before = before->next;
    before->next = op->next;
    if (*tail == op)
        *tail = before == op ? NULL : before;
    struct weir_epoll_op **link = bucket_of(e, op->user_data);
    while (*link != op)
        link = &(*link)->hash_next;
    *link = op->hash_next;
    weir_pool_put(&e->ops, op);
}

static enum weir_epoll_dir direction_of(const struct weir_epoll_op *op)
{
    bool in = op->kind == WEIR_EPOLL_POLL ? op->events & POLLIN : op->kind <= WEIR_EPOLL_READ;
    return in ? WEIR_EPOLL_DIR_IN : WEIR_EPOLL_DIR_OUT;
}

/* ---- Trying operations ------------------------------------------------------------------- */

/* How a try ended. */
enum step {
    STEP_DONE, /* the last completion is posted */
    STEP_WAIT, /* it would block */
    STEP_MORE  /* its turn is over, or the completion queue is full */
};

static enum step step_end(struct weir_epoll *e, const struct weir_epoll_op *op, int res)
{
    post(e, op, res, 0);
    return STEP_DONE;
}

/* For results of system calls that are not repeated for a signal: < 0 means errno. */
static enum step step_result(struct weir_epoll *e, const struct weir_epoll_op *op, ssize_t n)
{
    if (n < 0 && errno == EAGAIN)
        return STEP_WAIT;
    return step_end(e, op, n < 0 ? -errno : (int)n);
}

static enum step step_accept(struct weir_epoll *e, const struct weir_epoll_op *op)
{
    for (unsigned i = 0; i < ACCEPT_BURST && !weir_epoll_full(e); i++) {
        int fd = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return step_result(e, op, fd);
        if (fd >= WEIR_EPOLL_FDS_MAX) {
            close(fd);
            return step_end(e, op, -EMFILE);
        }
        weir_epoll_fd_reset(e, fd, e->fds[op->fd].flags & FD_TCP);
        post(e, op, fd, op->multi ? WEIR_CQE_MORE : 0);
        if (!op->multi)
            return STEP_DONE;
    }
    return STEP_MORE;
}

/*
 * A short read of a TCP stream leaves nothing behind, and what comes later gives an edge: the call
 * that would only say so is saved, unless an event told of an end, whose edge is gone with it. A
 * unix socket also reads short in front of descriptors that are passed.
 */
static enum step step_recv(struct weir_epoll *e, const struct weir_epoll_op *op)
{
    struct weir_epoll_fd *f = &e->fds[op->fd];
    for (unsigned i = 0; i < RECV_BURST && !weir_epoll_full(e); i++) {
        if (e->bufs_free_count == 0)
            return step_end(e, op, -ENOBUFS);
        uint32_t index = e->bufs_free[e->bufs_free_count - 1];
        ssize_t n = TEMP_FAILURE_RETRY(
            recv(op->fd, e->bufs + (size_t)index * e->buf_stride, e->buf_bytes, MSG_DONTWAIT));
        if (n <= 0)
            return step_result(e, op, n);
        e->bufs_free_count--;
        bool empty = (size_t)n < e->buf_bytes && (f->flags & (FD_TCP | FD_ENDING)) == FD_TCP;
        post(e, op, (int)n,
             WEIR_CQE_BUFFER | (op->multi ? WEIR_CQE_MORE : 0) | index << WEIR_CQE_BUF_SHIFT);
        if (!op->multi) {
            f->blocked |= empty ? BIT_IN : 0;
            return STEP_DONE;
        }
        if (empty)
            return STEP_WAIT;
    }
    return STEP_MORE;
}

/* RWF_NOWAIT because what is read here need not be a socket of ours; not every file knows it. */
static enum step step_read(struct weir_epoll *e, const struct weir_epoll_op *op)
{
    ssize_t n = TEMP_FAILURE_RETRY(preadv2(op->fd, &op->in, 1, -1, RWF_NOWAIT));
    if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        n = TEMP_FAILURE_RETRY(read(op->fd, op->in.iov_base, op->in.iov_len));
    return step_result(e, op, n);
}

/* After a short count the socket is full: the next send waits without asking again. */
static enum step step_sent(struct weir_epoll *e, const struct weir_epoll_op *op, ssize_t n,
                           size_t wanted)
{
    if (n >= 0 && (size_t)n < wanted)
        e->fds[op->fd].blocked |= BIT_OUT;
    return step_result(e, op, n);
}

static enum step step_send(struct weir_epoll *e, const struct weir_epoll_op *op)
{
    ssize_t n =
        TEMP_FAILURE_RETRY(send(op->fd, op->out.ptr, op->out.len, MSG_NOSIGNAL | MSG_DONTWAIT));
    return step_sent(e, op, n, op->out.len);
}

static enum step step_sendmsg(struct weir_epoll *e, const struct weir_epoll_op *op)
{
    const struct msghdr kept = { .msg_iov = (struct iovec *)(uintptr_t)op->parts,
                                 .msg_iovlen = op->kept };
    const struct msghdr *msg = op->kept > 0 ? &kept : op->msg;
    ssize_t n = TEMP_FAILURE_RETRY(sendmsg(op->fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT));
    size_t wanted = 0;
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        wanted += msg->msg_iov[i].iov_len;
    return step_sent(e, op, n, wanted);
}

/*
 * A unix socket whose peer's backlog is full cannot be waited for: its -EAGAIN is the result, and
 * the caller may try again later.
 */
static enum step step_connect(struct weir_epoll *e, struct weir_epoll_op *op)
{
    if (!op->begun) {
        op->begun = true;
        if (connect(op->fd, op->addr.addr, op->addr.bytes) == 0)
            return step_end(e, op, 0);
        return errno == EINPROGRESS || errno == EINTR ? STEP_WAIT : step_end(e, op, -errno);
    }
    int err;
    socklen_t bytes = sizeof err;
    if (getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &err, &bytes) < 0)
        err = errno;
    struct sockaddr_storage peer;
    bytes = sizeof peer;
    /* An event may be that of an earlier file of this number, which a child process still holds. */
    if (err == 0 && getpeername(op->fd, (void *)&peer, &bytes) < 0 && errno == ENOTCONN)
        return STEP_WAIT;
    return step_end(e, op, -err);
}

/* What waits elsewhere is asked directly: an event may be old, and edges that were seen do not come
 * again. */
static enum step step_poll(struct weir_epoll *e, const struct weir_epoll_op *op)
{
    struct pollfd poller = { .fd = op->fd, .events = (short)op->events };
    int n = (int)TEMP_FAILURE_RETRY(poll(&poller, 1, 0));
    if (n == 0)
        return STEP_WAIT;
    if (n < 0)
        return step_end(e, op, -errno);
    return step_end(e, op, poller.revents & POLLNVAL ? -EBADF : poller.revents);
}

static enum step op_step(struct weir_epoll *e, struct weir_epoll_op *op)
{
    switch ((enum weir_epoll_kind)op->kind) {
    case WEIR_EPOLL_ACCEPT:
        return step_accept(e, op);
    case WEIR_EPOLL_RECV:
        return step_recv(e, op);
    case WEIR_EPOLL_READ:
        return step_read(e, op);
    case WEIR_EPOLL_SEND:
        return step_send(e, op);
    case WEIR_EPOLL_SENDMSG:
        return step_sendmsg(e, op);
    case WEIR_EPOLL_CONNECT:
        return step_connect(e, op);
    case WEIR_EPOLL_POLL:
        return step_poll(e, op);
    case WEIR_EPOLL_CANCEL_FD:
    case WEIR_EPOLL_CANCEL:
    case WEIR_EPOLL_COUNT:
        break;
    }
    WEIR_ASSERT(false); /* cancels are run, not tried */
    return STEP_DONE;
}

/*
 * It would block: from now on only an event unblocks. What epoll cannot watch (-EPERM) is a file,
 * which is read at once however long it takes; any other refusal ends the operation.
 */
static enum step op_block(struct weir_epoll *e, const struct weir_epoll_op *op,
                          enum weir_epoll_dir dir)
{
    /* A connection on its way will be read from, too: one call for both. */
    uint8_t bits = (uint8_t)(op->kind == WEIR_EPOLL_CONNECT ? BIT_IN | BIT_OUT : 1u << dir);
    int rc = fd_watch(e, op->fd, bits);
    if (WEIR_LIKELY(rc == 0)) {
        e->fds[op->fd].blocked |= (uint8_t)(1u << dir);
        return STEP_WAIT;
    }
    e->fds[op->fd].blocked &= (uint8_t) ~(1u << dir);
    if (rc != -EPERM || op->kind != WEIR_EPOLL_READ)
        return step_end(e, op, rc);
    ssize_t n = TEMP_FAILURE_RETRY(read(op->fd, op->in.iov_base, op->in.iov_len));
    return step_end(e, op, n < 0 ? -errno : (int)n);
}

/* The caller's description of a gathered send is gone after the enter. */
static void parts_keep(struct weir_epoll_op *op)
{
    size_t count = weir_min_u64(op->msg->msg_iovlen, WEIR_EPOLL_PARTS_MAX);
    memcpy(op->parts, op->msg->msg_iov, count * sizeof op->parts[0]);
    op->kept = (uint8_t)count;
}

/* The first try. A connect is begun whatever waits there, since its address is gone afterwards. */
void weir_epoll_start(struct weir_epoll *e, struct weir_epoll_op *op)
{
    if (!weir_epoll_fd_known(op->fd)) {
        (void)step_end(e, op, -EBADF);
        weir_pool_put(&e->ops, op);
        return;
    }
    struct weir_epoll_fd *f = &e->fds[op->fd];
    enum weir_epoll_dir dir = direction_of(op);
    bool blocked = f->blocked & (1u << dir);
    bool try = (f->tail[dir] == NULL && !blocked) || op->kind == WEIR_EPOLL_CONNECT;
    enum step step = try ? op_step(e, op) : blocked ? STEP_WAIT : STEP_MORE;
    if (step == STEP_WAIT)
        step = op_block(e, op, dir);
    if (step == STEP_DONE) {
        weir_pool_put(&e->ops, op);
        return;
    }
    if (op->kind == WEIR_EPOLL_SENDMSG)
        parts_keep(op);
    park(e, op, dir);
    if (step == STEP_MORE)
        todo_push(e, op->fd);
}

/* Go on with what is parked, in order. */
static void fd_run(struct weir_epoll *e, int fd, enum weir_epoll_dir dir)
{
    const struct weir_epoll_fd *f = &e->fds[fd];
    while (f->tail[dir] != NULL && !(f->blocked & (1u << dir)) && !weir_epoll_full(e)) {
        struct weir_epoll_op *op = f->tail[dir]->next;
        enum step step = op_step(e, op);
        if (step == STEP_WAIT)
            step = op_block(e, op, dir);
        if (step == STEP_MORE)
            return;
        if (step == STEP_DONE)
            unpark(e, op, dir);
    }
    WEIR_DEBUG_ASSERT(f->tail[dir] == NULL || !(f->blocked & (1u << dir)) ||
                      (f->watched & (1u << dir)));
}

void weir_epoll_todo_run(struct weir_epoll *e)
{
    for (uint32_t left = e->todo_count; left > 0 && !weir_epoll_full(e); left--) {
        int fd = todo_pop(e);
        fd_run(e, fd, WEIR_EPOLL_DIR_IN);
        fd_run(e, fd, WEIR_EPOLL_DIR_OUT);
        if (fd_runnable(&e->fds[fd]))
            todo_push(e, fd);
    }
}

/* ---- Cancelling -------------------------------------------------------------------------- */

static struct weir_epoll_op *victim_next(struct weir_epoll *e, const struct weir_epoll_op *cancel)
{
    if (cancel->kind == WEIR_EPOLL_CANCEL_FD) {
        if (!weir_epoll_fd_known(cancel->fd))
            return NULL;
        const struct weir_epoll_fd *f = &e->fds[cancel->fd];
        const struct weir_epoll_op *tail =
            f->tail[f->tail[WEIR_EPOLL_DIR_IN] != NULL ? WEIR_EPOLL_DIR_IN : WEIR_EPOLL_DIR_OUT];
        return tail != NULL ? tail->next : NULL;
    }
    struct weir_epoll_op *op = *bucket_of(e, cancel->cancel.target);
    while (op != NULL && op->user_data != cancel->cancel.target)
        op = op->hash_next;
    return op;
}

bool weir_epoll_cancel(struct weir_epoll *e, struct weir_epoll_op *op)
{
    struct weir_epoll_op *victim;
    while (!weir_epoll_full(e) && (victim = victim_next(e, op)) != NULL) {
        post(e, victim, -ECANCELED, 0);
        unpark(e, victim, direction_of(victim));
        op->cancel.count++;
    }
    if (weir_epoll_full(e))
        return false;
    int32_t count = op->cancel.count;
    post(e, op, op->kind == WEIR_EPOLL_CANCEL_FD ? count : count > 0 ? 0 : -ENOENT, 0);
    return true;
}
