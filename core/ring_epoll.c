/* SPDX-License-Identifier: MIT */
/*
 * The epoll twin of the seam: for hosts that forbid io_uring, and the baseline to measure it by.
 *
 * An enter takes the queue in order and tries each operation at once, as sends mostly succeed;
 * then it asks for events and goes on with what they, or an unfinished turn before, make possible.
 *
 * Descriptors must not block (those of the table `sock` do not), and whoever closes one does it
 * with `sock`, or after the ring: the kernel forgets a closed descriptor's registration, and its
 * number comes back for another. Registrations hold on to the open file behind a number, so one
 * that was duplicated elsewhere goes on giving events after it is closed: they are hints for
 * whatever has the number then, and cost it one futile call.
 *
 * An operation starts only when the completion queue has room for it: nothing is ever dropped, and
 * multiple operations never end for lack of room.
 */
#include "core/ring_epoll.h"

#include <errno.h>
#include <linux/time_types.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some libc headers; values of the kernel's UAPI. */
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* 5.11 */
#endif
struct busy_poll_params { /* struct epoll_params, 6.9 */
    uint32_t busy_poll_usecs;
    uint16_t busy_poll_budget;
    uint8_t prefer_busy_poll;
    uint8_t pad;
};
#define BUSY_POLL_SET    _IOW(0x8a, 0x01, struct busy_poll_params)
#define BUSY_POLL_BUDGET 8 /* the kernel's own default */

/* ---- Completions ------------------------------------------------------------------------- */

/*
 * What pollable() gave must be readable while completions or unfinished business are there, which
 * epoll does not know of. Called where that may have changed.
 */
static void nudge_update(struct weir_epoll *e)
{
    uint64_t count = 1;
    bool want = weir_epoll_visible(e) > 0 || e->todo_count > 0;
    if (WEIR_LIKELY(e->nudge_fd < 0 || want == e->nudged))
        return;
    ssize_t n =
        want ? write(e->nudge_fd, &count, sizeof count) : read(e->nudge_fd, &count, sizeof count);
    WEIR_ASSERT(n == (ssize_t)sizeof count);
    e->nudged = want;
}

static uint32_t epoll_peek(struct weir_ring *ring, const struct weir_cqe **first)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    uint32_t at = e->cq_head & e->cq_mask;
    uint32_t to_end = e->cq_mask + 1 - at;
    *first = &e->cqes[at];
    return weir_epoll_visible(e) < to_end ? weir_epoll_visible(e) : to_end;
}

static void epoll_advance(struct weir_ring *ring, uint32_t count)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    WEIR_ASSERT(count <= weir_epoll_visible(e));
    e->cq_head += count;
    nudge_update(e);
}

/* ---- The queue --------------------------------------------------------------------------- */

/* The caller fills in what its kind has besides. Nothing is looked at before the next enter: even
 * -EBADF is a completion. */
static struct weir_epoll_op *queue_push(struct weir_ring *ring, enum weir_epoll_kind kind, int fd,
                                        uint64_t user_data)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    struct weir_epoll_op *op = weir_pool_get(&e->ops);
    WEIR_ASSERT(op != NULL); /* no more than ops_max are in flight */
    op->next = NULL;
    op->user_data = user_data;
    op->fd = fd;
    op->kind = (uint8_t)kind;
    op->multi = op->begun = false;
    op->kept = 0;
    if (e->queue_head == NULL)
        e->queue_head = op;
    else
        e->queue_tail->next = op;
    e->queue_tail = op;
    return op;
}

static void queue_run(struct weir_epoll *e)
{
    while (e->queue_head != NULL && !weir_epoll_full(e)) {
        struct weir_epoll_op *op = e->queue_head;
        bool cancel = op->kind == WEIR_EPOLL_CANCEL_FD || op->kind == WEIR_EPOLL_CANCEL;
        if (cancel && !weir_epoll_cancel(e, op))
            return;
        e->queue_head = op->next;
        e->base.counters.sqes++;
        if (cancel)
            weir_pool_put(&e->ops, op);
        else
            weir_epoll_start(e, op);
    }
}

static void epoll_accept(struct weir_ring *ring, int fd, bool multi, uint64_t user_data)
{
    queue_push(ring, WEIR_EPOLL_ACCEPT, fd, user_data)->multi = multi;
}

static void epoll_recv(struct weir_ring *ring, int fd, bool multi, uint64_t user_data)
{
    queue_push(ring, WEIR_EPOLL_RECV, fd, user_data)->multi = multi;
}

static void epoll_read(struct weir_ring *ring, int fd, void *data, uint32_t bytes,
                       uint64_t user_data)
{
    queue_push(ring, WEIR_EPOLL_READ, fd, user_data)->in = (struct iovec){ data, bytes };
}

static void epoll_send(struct weir_ring *ring, int fd, struct weir_slice data, uint64_t user_data)
{
    queue_push(ring, WEIR_EPOLL_SEND, fd, user_data)->out = data;
}

static void epoll_sendmsg(struct weir_ring *ring, int fd, const struct msghdr *msg,
                          uint64_t user_data)
{
    /* What a send that waits would have to keep, too. */
    WEIR_ASSERT(msg->msg_iovlen > 0);
    WEIR_ASSERT(msg->msg_name == NULL && msg->msg_controllen == 0);
    queue_push(ring, WEIR_EPOLL_SENDMSG, fd, user_data)->msg = msg;
}

/* Without WEIR_RING_ZC nobody calls it. */
static void epoll_send_zc(struct weir_ring *ring, int fd, struct weir_slice data, int buffer,
                          uint64_t user_data)
{
    (void)fd;
    (void)data;
    (void)buffer;
    (void)user_data;
    WEIR_ASSERT(ring->abilities & WEIR_RING_ZC);
}

static void epoll_connect(struct weir_ring *ring, int fd, const struct sockaddr *addr,
                          socklen_t bytes, uint64_t user_data)
{
    queue_push(ring, WEIR_EPOLL_CONNECT, fd, user_data)->addr =
        (struct weir_sockaddr){ addr, bytes };
}

static void epoll_poll(struct weir_ring *ring, int fd, uint32_t events, uint64_t user_data)
{
    queue_push(ring, WEIR_EPOLL_POLL, fd, user_data)->events = events;
}

static void epoll_cancel_fd(struct weir_ring *ring, int fd, uint64_t user_data)
{
    queue_push(ring, WEIR_EPOLL_CANCEL_FD, fd, user_data)->cancel.count = 0;
}

static void epoll_cancel(struct weir_ring *ring, uint64_t target, uint64_t user_data)
{
    struct weir_epoll_op *op = queue_push(ring, WEIR_EPOLL_CANCEL, -1, user_data);
    op->cancel.target = target;
    op->cancel.count = 0;
}

static bool epoll_unsubmitted(const struct weir_ring *ring)
{
    return ((const struct weir_epoll *)(const void *)ring)->queue_head != NULL;
}

/* ---- Enter ------------------------------------------------------------------------------- */

static uint64_t epoll_now_ns(const struct weir_ring *ring)
{
    (void)ring;
    return weir_clock_ns();
}

/* Where waits are in ms only they are too long rather than too short: a loop must not spin. */
static int wait_ms(struct weir_epoll *e, uint64_t wait_ns)
{
    uint64_t ms = wait_ns / 1000000u + (wait_ns % 1000000u != 0);
    return epoll_wait(e->epoll_fd, e->events, WEIR_EPOLL_EVENTS_MAX,
                      (int)weir_min_u64(ms, INT32_MAX));
}

/* Note the events that are there within wait_ns. @return how many, 0 also for a signal; < 0: -errno
 */
static int events_take(struct weir_epoll *e, uint64_t wait_ns)
{
    int n;
    e->base.counters.enters++;
    if (wait_ns == 0) {
        n = epoll_wait(e->epoll_fd, e->events, WEIR_EPOLL_EVENTS_MAX, 0);
    } else if (wait_ns == WEIR_NO_DEADLINE) {
        n = epoll_wait(e->epoll_fd, e->events, WEIR_EPOLL_EVENTS_MAX, -1);
    } else if (e->pwait2) {
        const struct __kernel_timespec ts = { .tv_sec = (int64_t)(wait_ns / 1000000000u),
                                              .tv_nsec = (int64_t)(wait_ns % 1000000000u) };
        n = (int)syscall(SYS_epoll_pwait2, e->epoll_fd, e->events, WEIR_EPOLL_EVENTS_MAX, &ts, NULL,
                         0);
    } else {
        n = wait_ms(e, wait_ns);
    }
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++)
        weir_epoll_event(e, &e->events[i]);
    return n;
}

static uint64_t time_left(uint64_t deadline_ns)
{
    if (deadline_ns == WEIR_NO_DEADLINE)
        return WEIR_NO_DEADLINE;
    uint64_t now = weir_clock_ns();
    return deadline_ns > now ? deadline_ns - now : 0;
}

/* Ask epoll until `want` completions are visible; without `wait`, once. */
static int look(struct weir_epoll *e, const struct weir_ring_wait *wait, uint32_t want)
{
    for (;;) {
        bool sleep = weir_epoll_visible(e) < want && e->todo_count == 0;
        uint64_t wait_ns = sleep ? time_left(wait->deadline_ns) : 0;
        int n = events_take(e, wait_ns);
        if (n < 0)
            return n;
        weir_epoll_todo_run(e);
        if (weir_epoll_visible(e) >= want || (sleep && (n == 0 || wait_ns == 0)))
            return 0;
    }
}

/*
 * When what was queued has completed at once, as sends do, epoll is not asked: the caller has
 * something to do, and mostly comes back to wait. But only every second time, so that whoever
 * always has something cannot keep the others' events out. Nor is it when ready() just was.
 */
static int epoll_enter(struct weir_ring *ring, const struct weir_ring_wait *wait)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    uint32_t want = wait != NULL ? wait->count : 0;
    want = want <= e->cq_mask ? want : e->cq_mask + 1;
    bool may_look_away = e->asked || !e->looked_away;
    int rc = 0;
    queue_run(e);
    if (e->asked)
        weir_epoll_todo_run(e);
    if (may_look_away && weir_epoll_visible(e) > 0 && weir_epoll_visible(e) >= want) {
        e->looked_away = !e->asked;
    } else {
        e->looked_away = false;
        rc = look(e, wait, want);
    }
    e->asked = false;
    nudge_update(e);
    return rc;
}

/* An error shows in the next enter. */
static bool epoll_ready(struct weir_ring *ring)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    if (weir_epoll_visible(e) > 0 || e->todo_count > 0)
        return true;
    bool ready = events_take(e, 0) < 0 || e->todo_count > 0;
    e->asked = true;
    nudge_update(e);
    return ready;
}

/* ---- Provided buffers -------------------------------------------------------------------- */

static void epoll_buf_put(struct weir_ring *ring, uint32_t index)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    WEIR_ASSERT(index < e->bufs_count);
    WEIR_ASSERT(e->bufs_free_count + e->bufs_back_count < e->bufs_count);
    e->bufs_back[e->bufs_back_count++] = index;
}

static void epoll_buf_commit(struct weir_ring *ring)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    while (e->bufs_back_count > 0)
        e->bufs_free[e->bufs_free_count++] = e->bufs_back[--e->bufs_back_count];
}

/* ---- Beside the queues ------------------------------------------------------------------- */

/*
 * Events show on the epoll descriptor itself; for what it does not know of, see nudge_update(),
 * there is an eventfd. The descriptor given out is an epoll over both.
 */
static int epoll_pollable(struct weir_ring *ring)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    if (e->nudge_fd >= 0)
        return e->pollable_fd;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    int nudge = fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = { .events = EPOLLIN };
    if (nudge < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, nudge, &event) < 0 ||
        epoll_ctl(fd, EPOLL_CTL_ADD, e->epoll_fd, &event) < 0) {
        int rc = -errno;
        if (nudge >= 0)
            close(nudge);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    e->pollable_fd = fd;
    e->nudge_fd = nudge;
    nudge_update(e);
    return fd;
}

/* For send_zc, which there is not. */
static int epoll_buffer_register(struct weir_ring *ring, int buffer, struct weir_slice memory)
{
    (void)ring;
    (void)buffer;
    (void)memory;
    return -EOPNOTSUPP;
}

/* A socket that was made; tables by its number have to know. */
static int sock_made(struct weir_ring *ring, int fd, int family)
{
    if (fd < 0)
        return fd;
    if (fd >= WEIR_EPOLL_FDS_MAX) {
        weir_sock_kernel.close(ring, fd);
        return -EMFILE;
    }
    weir_epoll_fd_reset(weir_epoll_of(ring), fd, family == AF_INET || family == AF_INET6);
    return fd;
}

static int sock_stream(struct weir_ring *ring, int family)
{
    return sock_made(ring, weir_sock_kernel.stream(ring, family), family);
}

static int sock_listen(struct weir_ring *ring, struct weir_sockaddr addr, uint32_t backlog,
                       unsigned how)
{
    int fd = weir_sock_kernel.listen(ring, addr, backlog, how);
    return sock_made(ring, fd, addr.addr->sa_family);
}

static void sock_close(struct weir_ring *ring, int fd)
{
    if (weir_epoll_fd_known(fd))
        weir_epoll_fd_reset(weir_epoll_of(ring), fd, false);
    weir_sock_kernel.close(ring, fd);
}

/* ---- Open and close ---------------------------------------------------------------------- */

static void epoll_close(struct weir_ring *ring)
{
    struct weir_epoll *e = weir_epoll_of(ring);
    if (e->nudge_fd >= 0) {
        close(e->nudge_fd);
        close(e->pollable_fd);
    }
    if (e->epoll_fd >= 0)
        close(e->epoll_fd);
    e->epoll_fd = e->nudge_fd = e->pollable_fd = -1;
}

static const struct weir_ring_ops epoll_ops = {
    .name = "epoll",
    .close = epoll_close,
    .accept = epoll_accept,
    .recv = epoll_recv,
    .read = epoll_read,
    .send = epoll_send,
    .sendmsg = epoll_sendmsg,
    .send_zc = epoll_send_zc,
    .connect = epoll_connect,
    .poll = epoll_poll,
    .cancel_fd = epoll_cancel_fd,
    .cancel = epoll_cancel,
    .enter = epoll_enter,
    .ready = epoll_ready,
    .peek = epoll_peek,
    .advance = epoll_advance,
    .unsubmitted = epoll_unsubmitted,
    .buf_put = epoll_buf_put,
    .buf_commit = epoll_buf_commit,
    .now_ns = epoll_now_ns,
    .pollable = epoll_pollable,
    .buffer_register = epoll_buffer_register,
};

static uint32_t log2_up(uint32_t x)
{
    return x <= 2 ? 1 : 32 - (uint32_t)__builtin_clz(x - 1);
}

static uint64_t epoll_bytes(const struct weir_ring_config *cfg)
{
    uint64_t cqes = 1ull << log2_up(cfg->cq_entries), buckets = 1ull << log2_up(cfg->ops_max);
    uint64_t sum = weir_arena_cost(sizeof(struct weir_epoll), WEIR_CACHE_LINE);
    sum += weir_arena_cost(cqes * sizeof(struct weir_cqe), WEIR_CACHE_LINE);
    sum += weir_arena_cost(buckets * sizeof(struct weir_epoll_op *), WEIR_CACHE_LINE);
    sum += weir_pool_bytes(sizeof(struct weir_epoll_op), cfg->ops_max);
    /* free buffers, and those that are put but not committed */
    sum += 2 * weir_arena_cost((uint64_t)cfg->bufs_count * sizeof(uint32_t), WEIR_CACHE_LINE);
    /* by descriptor: address space, hardly any memory */
    sum += weir_arena_cost((uint64_t)WEIR_EPOLL_FDS_MAX * sizeof(struct weir_epoll_fd), WEIR_PAGE);
    return sum;
}

static void tables_open(struct weir_epoll *e, struct weir_arena *arena,
                        const struct weir_ring_config *cfg)
{
    uint64_t cqes = 1ull << log2_up(cfg->cq_entries), buckets = 1ull << log2_up(cfg->ops_max);
    e->cqes = weir_arena_take(arena, cqes * sizeof *e->cqes, WEIR_CACHE_LINE);
    e->cq_mask = (uint32_t)(cqes - 1);
    e->buckets = weir_arena_take(arena, buckets * sizeof(struct weir_epoll_op *), WEIR_CACHE_LINE);
    e->buckets_shift = 64 - log2_up(cfg->ops_max);
    weir_pool_open(&e->ops, arena, sizeof(struct weir_epoll_op), cfg->ops_max);
    uint64_t indices = (uint64_t)cfg->bufs_count * sizeof(uint32_t);
    e->bufs_free = weir_arena_take(arena, indices, WEIR_CACHE_LINE);
    e->bufs_back = weir_arena_take(arena, indices, WEIR_CACHE_LINE);
    e->fds = weir_arena_take(arena, (uint64_t)WEIR_EPOLL_FDS_MAX * sizeof(struct weir_epoll_fd),
                             WEIR_PAGE);
    for (uint32_t i = cfg->bufs_count; i > 0; i--)
        e->bufs_free[e->bufs_free_count++] = i - 1;
}

static int busy_poll(struct weir_epoll *e, uint32_t busy_us)
{
    const struct busy_poll_params params = { .busy_poll_usecs = busy_us,
                                             .busy_poll_budget = BUSY_POLL_BUDGET,
                                             .prefer_busy_poll = 1 };
    if (busy_us == 0 || ioctl(e->epoll_fd, BUSY_POLL_SET, &params) == 0)
        return 0;
    int rc = -errno;
    return weir_fail(rc == -ENOTTY || rc == -EINVAL ? WEIR_E_UNSUPPORTED : rc,
                     "napi_ns: busy polling failed: %s (Linux 6.9 or newer with "
                     "CONFIG_NET_RX_BUSY_POLL is needed)",
                     weir_err_name(rc));
}

/* What io_uring would have on top (registered send memory, features to disable) is not missed: the
 * same bytes leave without it. */
static int epoll_open(struct weir_ring **out, struct weir_arena *arena,
                      const struct weir_ring_config *cfg)
{
    WEIR_ASSERT(cfg->bufs_count > 0 && cfg->bufs_count <= 65536);
    WEIR_ASSERT(cfg->cq_entries > 0 && cfg->ops_max > 0);
    *out = NULL;
    struct weir_epoll *e = weir_arena_take(arena, sizeof *e, WEIR_CACHE_LINE);
    e->base.ops = &epoll_ops;
    e->sock = weir_sock_kernel;
    e->sock.stream = sock_stream;
    e->sock.listen = sock_listen;
    e->sock.close = sock_close;
    e->base.sock = &e->sock;
    /* One short system call: what an epoll server that spins does. */
    e->base.abilities = WEIR_RING_SPIN;
    e->bufs = cfg->bufs;
    e->buf_bytes = cfg->buf_bytes;
    e->buf_stride = cfg->buf_stride;
    e->bufs_count = cfg->bufs_count;
    e->nudge_fd = e->pollable_fd = -1;
    tables_open(e, arena, cfg);
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->epoll_fd < 0)
        return weir_fail(-errno, "no epoll descriptor: %s", weir_err_name(-errno));
    int rc = busy_poll(e, cfg->napi_us);
    if (rc < 0) {
        epoll_close(&e->base);
        return rc;
    }
    const struct __kernel_timespec none = { 0 };
    e->pwait2 = syscall(SYS_epoll_pwait2, e->epoll_fd, e->events, WEIR_EPOLL_EVENTS_MAX, &none,
                        NULL, 0) == 0;
    snprintf(e->base.info, sizeof e->base.info, "epoll cq=%u bufs=%ux%u pwait2=%s", e->cq_mask + 1,
             cfg->bufs_count, cfg->buf_bytes, e->pwait2 ? "yes" : "no");
    *out = &e->base;
    return 0;
}

const struct weir_ring_type weir_ring_epoll = {
    .name = "epoll",
    .bytes = epoll_bytes,
    .open = epoll_open,
};
