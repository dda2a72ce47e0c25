/* SPDX-License-Identifier: MIT */
/*
 * The io_uring twin of the seam: its operations.
 *
 * Entering is done with the bare system call: the submit-and-wait of liburing 2.3, the oldest
 * supported, does not always ask for events, so that the deferred work of a DEFER_TASKRUN ring
 * would starve. Its structures and prep helpers are used.
 */
#include "core/ring_uring.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(sizeof(struct weir_cqe) == sizeof(struct io_uring_cqe), "read in place");
_Static_assert(offsetof(struct weir_cqe, res) == offsetof(struct io_uring_cqe, res),
               "read in place");
_Static_assert(offsetof(struct weir_cqe, flags) == offsetof(struct io_uring_cqe, flags),
               "read in place");
_Static_assert(WEIR_CQE_BUFFER == IORING_CQE_F_BUFFER, "kernel's value");
_Static_assert(WEIR_CQE_MORE == IORING_CQE_F_MORE, "kernel's value");
_Static_assert(WEIR_CQE_NOTIF == IORING_CQE_F_NOTIF, "kernel's value");
_Static_assert(WEIR_CQE_BUF_SHIFT == IORING_CQE_BUFFER_SHIFT, "kernel's value");

/* Newer than the headers of liburing 2.3; values of the kernel's UAPI. */
#define SEND_ZC_REPORT_USAGE (1u << 3) /* 6.2 */
#define BUFFERS_UPDATE       16u       /* IORING_REGISTER_BUFFERS_UPDATE */

static void uring_buf_commit(struct weir_ring *ring);

/* ---- Submission -------------------------------------------------------------------------- */

static uint32_t sq_used(const struct weir_uring *u)
{
    return u->ring.sq.sqe_tail - __atomic_load_n(u->ring.sq.khead, __ATOMIC_ACQUIRE);
}

static int enter_call(struct weir_uring *u, uint32_t wait_nr, uint32_t flags, void *arg,
                      size_t arg_bytes)
{
    /* The kernel must see the entries before the tail. */
    __atomic_store_n(u->ring.sq.ktail, u->ring.sq.sqe_tail, __ATOMIC_RELEASE);
    uint32_t to_submit = sq_used(u);
    u->base.counters.enters++;
    int rc = io_uring_enter2((unsigned)u->ring.enter_ring_fd, to_submit, wait_nr,
                             u->enter_flags | flags, arg, arg_bytes);
    if (rc > 0)
        u->base.counters.sqes += (uint64_t)rc;
    return rc;
}

static struct io_uring_sqe *sqe_next(struct weir_uring *u)
{
    struct io_uring_sqe *sqe = &u->ring.sq.sqes[u->ring.sq.sqe_tail & *u->ring.sq.kring_mask];
    u->ring.sq.sqe_tail++;
    return sqe;
}

/*
 * A free entry. When the queue is full it is handed to the kernel without waiting; when even that
 * makes no room (the kernel is short of memory: -EAGAIN, -EBUSY) the operation is kept in the
 * backlog until an enter succeeds, so that no caller needs an answer for "cannot queue".
 */
static struct io_uring_sqe *uring_sqe(struct weir_uring *u)
{
    if (WEIR_UNLIKELY(u->backlog_count > 0 || sq_used(u) == *u->ring.sq.kring_entries)) {
        if (u->backlog_count == 0) {
            /* Receives that are handed on now must find the buffers that were given back. */
            uring_buf_commit(&u->base);
            (void)enter_call(u, 0, 0, NULL, 0); /* the result shows in sq_used() */
        }
        if (u->backlog_count > 0 || sq_used(u) == *u->ring.sq.kring_entries) {
            WEIR_ASSERT(u->backlog_count < u->backlog_max);
            uint32_t at = (u->backlog_head + u->backlog_count++) % u->backlog_max;
            return &u->backlog[at];
        }
    }
    return sqe_next(u);
}

static void backlog_drain(struct weir_uring *u)
{
    while (u->backlog_count > 0 && sq_used(u) < *u->ring.sq.kring_entries) {
        *sqe_next(u) = u->backlog[u->backlog_head];
        u->backlog_head = (u->backlog_head + 1) % u->backlog_max;
        u->backlog_count--;
    }
}

static void uring_accept(struct weir_ring *ring, int fd, bool multi, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    /* No address storage: a multishot accept would overwrite it; getpeername() when somebody asks.
     */
    io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (multi)
        sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
    sqe->user_data = user_data;
}

static void uring_recv(struct weir_ring *ring, int fd, bool multi, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    /* A length of 0: as much as the buffer holds that the kernel picks. */
    io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    if (multi)
        sqe->ioprio |= IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = WEIR_URING_BUF_GROUP;
    sqe->user_data = user_data;
}

static void uring_read(struct weir_ring *ring, int fd, void *data, uint32_t bytes,
                       uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    io_uring_prep_read(sqe, fd, data, bytes, 0);
    sqe->user_data = user_data;
}

static void uring_send(struct weir_ring *ring, int fd, struct weir_slice data, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    io_uring_prep_send(sqe, fd, data.ptr, data.len, MSG_NOSIGNAL);
    sqe->user_data = user_data;
}

static void uring_sendmsg(struct weir_ring *ring, int fd, const struct msghdr *msg,
                          uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    io_uring_prep_sendmsg(sqe, fd, msg, MSG_NOSIGNAL);
    sqe->user_data = user_data;
}

static void uring_send_zc(struct weir_ring *ring, int fd, struct weir_slice data, int buffer,
                          uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    io_uring_prep_send_zc(sqe, fd, data.ptr, data.len, MSG_NOSIGNAL, SEND_ZC_REPORT_USAGE);
    if (buffer >= 0) {
        sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
        sqe->buf_index = (uint16_t)buffer;
    }
    sqe->user_data = user_data;
}

static void uring_connect(struct weir_ring *ring, int fd, const struct sockaddr *addr,
                          socklen_t bytes, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    io_uring_prep_connect(sqe, fd, addr, bytes);
    sqe->user_data = user_data;
}

static void uring_poll(struct weir_ring *ring, int fd, uint32_t events, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    io_uring_prep_poll_add(sqe, fd, events);
    sqe->user_data = user_data;
}

static void uring_cancel_fd(struct weir_ring *ring, int fd, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = user_data;
}

static void uring_cancel(struct weir_ring *ring, uint64_t target, uint64_t user_data)
{
    struct io_uring_sqe *sqe = uring_sqe(weir_uring_of(ring));
    io_uring_prep_cancel64(sqe, target, 0);
    sqe->user_data = user_data;
}

static bool uring_unsubmitted(const struct weir_ring *ring)
{
    const struct weir_uring *u = (const struct weir_uring *)(const void *)ring;
    return u->backlog_count > 0 || sq_used(u) > 0;
}

/* ---- Enter and reap ---------------------------------------------------------------------- */

static uint64_t uring_now_ns(const struct weir_ring *ring)
{
    (void)ring;
    return weir_clock_ns();
}

/* What io_uring_enter(2) may answer, and what it means here. */
static int enter_result(int rc)
{
    switch (rc) {
    case -ETIME:  /* the deadline came first */
    case -EINTR:  /* a signal came first */
    case -EAGAIN: /* no memory for requests now: what was not taken stays queued */
    case -EBUSY:  /* completions overflowed and must be reaped first */
        return 0;
    default:
        return rc < 0 ? rc : 0;
    }
}

/* The wake-up of pollable() has done its work: it is set again by what completes from now on. */
static void event_fd_clear(const struct weir_uring *u)
{
    uint64_t count;
    ssize_t n = read(u->event_fd, &count, sizeof count);
    WEIR_ASSERT(n == (ssize_t)sizeof count || errno == EAGAIN || errno == EINTR);
}

static int enter_wait(struct weir_uring *u, const struct weir_ring_wait *wait)
{
    uint32_t flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    struct __kernel_timespec ts;
    struct io_uring_getevents_arg arg = { .ts = 0 };
    if (wait->deadline_ns != WEIR_NO_DEADLINE) {
        uint64_t t = wait->deadline_ns;
        if (weir_uring_has(u, FEATURE_ABS_TIMER)) {
            flags |= ENTER_ABS_TIMER;
        } else {
            uint64_t now = weir_clock_ns();
            t = t > now ? t - now : 0;
        }
        ts.tv_sec = (int64_t)(t / 1000000000u);
        ts.tv_nsec = (int64_t)(t % 1000000000u);
        arg.ts = (uint64_t)(uintptr_t)&ts;
    }
    arg.pad = wait->min_wait_us; /* min_wait_usec in newer headers */
    return enter_result(enter_call(u, wait->count, flags, &arg, sizeof arg));
}

static int uring_enter(struct weir_ring *ring, const struct weir_ring_wait *wait)
{
    struct weir_uring *u = weir_uring_of(ring);
    bool sleep = wait != NULL;
    /* Not while completions lie there that nobody has taken: they are why it is set. */
    if (WEIR_UNLIKELY(u->event_fd >= 0) &&
        __atomic_load_n(u->ring.cq.ktail, __ATOMIC_ACQUIRE) == *u->ring.cq.khead)
        event_fd_clear(u);
    if (WEIR_UNLIKELY(u->backlog_count > 0)) {
        backlog_drain(u);
        /* What is still in the backlog may be what the wait would be for. */
        sleep = sleep && u->backlog_count == 0;
    }
    if (WEIR_UNLIKELY(__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW))
        u->base.counters.cq_overflows++;
    if (sleep)
        return enter_wait(u, wait);
    return enter_result(enter_call(u, 0, IORING_ENTER_GETEVENTS, NULL, 0));
}

/*
 * The kernel marks in the ring's shared memory that deferred work is there
 * (IORING_SETUP_TASKRUN_FLAG): spinning costs no kernel entry.
 */
static bool uring_ready(struct weir_ring *ring)
{
    const struct weir_uring *u = weir_uring_of(ring);
    if (__atomic_load_n(u->ring.cq.ktail, __ATOMIC_ACQUIRE) != *u->ring.cq.khead)
        return true;
    return __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) &
           (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static uint32_t uring_peek(struct weir_ring *ring, const struct weir_cqe **first)
{
    struct weir_uring *u = weir_uring_of(ring);
    uint32_t head = *u->ring.cq.khead;
    uint32_t ready = __atomic_load_n(u->ring.cq.ktail, __ATOMIC_ACQUIRE) - head;
    uint32_t at = head & u->cq_mask;
    uint32_t to_end = u->cq_mask + 1 - at;
    *first = (const struct weir_cqe *)(const void *)&u->ring.cq.cqes[at];
    return ready < to_end ? ready : to_end;
}

static void uring_advance(struct weir_ring *ring, uint32_t count)
{
    struct weir_uring *u = weir_uring_of(ring);
    /* The kernel may overwrite the entries once it sees this. */
    __atomic_store_n(u->ring.cq.khead, *u->ring.cq.khead + count, __ATOMIC_RELEASE);
}

/* ---- Provided buffers -------------------------------------------------------------------- */

static void uring_buf_put(struct weir_ring *ring, uint32_t index)
{
    struct weir_uring *u = weir_uring_of(ring);
    WEIR_ASSERT(index < u->bufs_count);
    io_uring_buf_ring_add(u->buf_ring, u->bufs + (size_t)index * u->buf_stride, u->buf_bytes,
                          (unsigned short)index, (int)u->buf_mask, (int)u->bufs_pending);
    u->bufs_pending++;
    WEIR_DEBUG_ASSERT(u->bufs_pending <= u->bufs_count);
}

static void uring_buf_commit(struct weir_ring *ring)
{
    struct weir_uring *u = weir_uring_of(ring);
    if (u->bufs_pending == 0)
        return;
    io_uring_buf_ring_advance(u->buf_ring, (int)u->bufs_pending);
    u->bufs_pending = 0;
}

/* ---- Beside the queues ------------------------------------------------------------------- */

/*
 * Polling the ring's own descriptor does not wake for deferred work (seen with Linux 6.18); an
 * eventfd that is registered with the ring does. It costs a signal for each batch of completions,
 * so it is made only when asked for.
 */
static int uring_pollable(struct weir_ring *ring)
{
    struct weir_uring *u = weir_uring_of(ring);
    if (u->event_fd >= 0)
        return u->event_fd;
    /* Set from the start: work that was deferred before now is not announced again. */
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    int rc = io_uring_register_eventfd(&u->ring, fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    u->event_fd = fd;
    return fd;
}

static int uring_buffer_register(struct weir_ring *ring, int buffer, struct weir_slice memory)
{
    struct weir_uring *u = weir_uring_of(ring);
    WEIR_ASSERT(buffer >= 0 && buffer < WEIR_RING_BUFFERS);
    struct iovec iov = { .iov_base = (void *)(uintptr_t)memory.ptr, .iov_len = memory.len };
    struct io_uring_rsrc_update2 update = { .offset = (uint32_t)buffer,
                                            .data = (uint64_t)(uintptr_t)&iov,
                                            .nr = 1 };
    int rc = io_uring_register((unsigned)u->ring.ring_fd, BUFFERS_UPDATE, &update, sizeof update);
    return rc < 0 ? rc : 0;
}

/* ---- Open and close ---------------------------------------------------------------------- */

static void uring_close(struct weir_ring *ring)
{
    struct weir_uring *u = weir_uring_of(ring);
    if (u->opened) {
        if (weir_uring_has(u, FEATURE_RING_FD))
            io_uring_unregister_ring_fd(&u->ring);
        io_uring_queue_exit(&u->ring);
    }
    if (u->buf_ring != NULL)
        munmap(u->buf_ring, u->buf_ring_bytes);
    if (u->event_fd >= 0)
        close(u->event_fd);
    u->event_fd = -1;
    u->opened = false;
    u->buf_ring = NULL;
}

const struct weir_ring_ops weir_uring_ops = {
    .name = "io_uring",
    .close = uring_close,
    .accept = uring_accept,
    .recv = uring_recv,
    .read = uring_read,
    .send = uring_send,
    .sendmsg = uring_sendmsg,
    .send_zc = uring_send_zc,
    .connect = uring_connect,
    .poll = uring_poll,
    .cancel_fd = uring_cancel_fd,
    .cancel = uring_cancel,
    .enter = uring_enter,
    .ready = uring_ready,
    .peek = uring_peek,
    .advance = uring_advance,
    .unsubmitted = uring_unsubmitted,
    .buf_put = uring_buf_put,
    .buf_commit = uring_buf_commit,
    .now_ns = uring_now_ns,
    .pollable = uring_pollable,
    .buffer_register = uring_buffer_register,
};

static uint64_t uring_bytes(const struct weir_ring_config *cfg)
{
    return weir_arena_cost(sizeof(struct weir_uring), WEIR_CACHE_LINE) +
           weir_arena_cost((uint64_t)cfg->ops_max * sizeof(struct io_uring_sqe), WEIR_CACHE_LINE);
}

static int uring_open(struct weir_ring **out, struct weir_arena *arena,
                      const struct weir_ring_config *cfg)
{
    WEIR_ASSERT(weir_is_pow2(cfg->bufs_count) && cfg->ops_max > 0);
    struct weir_uring *u = weir_arena_take(arena, sizeof *u, WEIR_CACHE_LINE);
    *u = (struct weir_uring){ .base.ops = &weir_uring_ops,
                              .base.sock = &weir_sock_kernel,
                              .backlog_max = cfg->ops_max,
                              .event_fd = -1 };
    u->backlog =
        weir_arena_take(arena, (uint64_t)cfg->ops_max * sizeof *u->backlog, WEIR_CACHE_LINE);
    int rc = weir_uring_setup(u, cfg);
    if (rc < 0) {
        uring_close(&u->base);
        return rc;
    }
    *out = &u->base;
    return 0;
}

const struct weir_ring_type weir_ring_uring = {
    .name = "uring",
    .bytes = uring_bytes,
    .open = uring_open,
};
