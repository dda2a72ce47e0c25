/* SPDX-License-Identifier: MIT */
/* What each kind of operation does, and how it can fail. */
#include "ring_sim.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* Completions of one receive in one turn: then others have theirs. */
#define RECVS_MAX 4

/* ---- Sums -------------------------------------------------------------------------------- */

uint64_t sim_sum(uint64_t sum, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t word = 0;
    for (; bytes >= sizeof word; bytes -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 29;
    }
    word = bytes;
    memcpy(&word, at, bytes);
    return (sum ^ word) * 0x9e3779b97f4a7c15u;
}

uint64_t sim_op_data_sum(const struct sim_op *op)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < op->parts_count; i++)
        sum = sim_sum(sum, op->parts[i].iov_base, op->parts[i].iov_len);
    return sum;
}

uint64_t sim_op_head_sum(const struct sim_op *op)
{
    if (op->kind == SIM_OP_CONNECT)
        return sim_sum(0, op->addr, op->bytes);
    if (op->kind != SIM_OP_SENDMSG)
        return 0;
    uint64_t sum = sim_sum(0, &op->msg->msg_iov, sizeof op->msg->msg_iov);
    sum = sim_sum(sum, &op->msg->msg_iovlen, sizeof op->msg->msg_iovlen);
    return sim_sum(sum, op->msg->msg_iov, op->msg->msg_iovlen * sizeof(struct iovec));
}

/* Nobody may have touched what the operation still uses. */
static void memory_check(const struct sim_op *op)
{
    SIM_CHECK(sim_op_data_sum(op) == op->sum,
              "memory that is being sent on descriptor %d was written to", op->fd);
}

static void finish(struct sim_ring *ring, struct sim_op *op, int32_t res, uint32_t flags)
{
    memory_check(op);
    sim_ring_complete(ring, op, res, flags, true);
}

/* ---- Receiving --------------------------------------------------------------------------- */

static uint32_t buf_flags(uint32_t buf)
{
    return WEIR_CQE_BUFFER | buf << WEIR_CQE_BUF_SHIFT;
}

/* An end without data. @return was there one? */
static bool recv_ends(struct sim_ring *ring, struct sim_op *op)
{
    static const int broken[] = { -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH, -ECONNRESET };
    struct sim_world *world = ring->world;
    if (sim_fault(world, SIM_RECV_BROKEN)) {
        int err = broken[sim_below(world, sizeof broken / sizeof broken[0])];
        sim_break(world, op->fd, err);
        sim_sock(world, op->fd)->err = 0;
        finish(ring, op, err, 0);
        return true;
    }
    if (sim_fault(world, SIM_RECV_END_EINTR)) {
        finish(ring, op, sim_below(world, 2) == 0 ? -EINTR : -EAGAIN, 0);
        return true;
    }
    if (sim_fault(world, SIM_RECV_NOBUFS)) {
        finish(ring, op, -ENOBUFS, 0);
        return true;
    }
    if (ring->bufs_count > 0 && sim_fault(world, SIM_RECV_NOBUFS_BUF)) {
        finish(ring, op, -ENOBUFS, buf_flags(sim_ring_buf_take(ring)));
        return true;
    }
    return false;
}

/* One completion. @return may there be another? */
static bool recv_once(struct sim_ring *ring, struct sim_op *op)
{
    struct sim_world *world = ring->world;
    struct sim_sock *sock = sim_sock(world, op->fd);
    if (!sim_readable(world, op->fd))
        return false;
    if (recv_ends(ring, op))
        return false;
    if (sock->rx_visible == 0) {
        int32_t res = (int32_t)sim_recv(world, op->fd, NULL, 0);
        bool buf = ring->bufs_count > 0 && sim_fault(world, SIM_RECV_END_BUF);
        finish(ring, op, res, buf ? buf_flags(sim_ring_buf_take(ring)) : 0);
        return false;
    }
    uint32_t buf = sim_ring_buf_take(ring);
    if (buf == UINT32_MAX) {
        finish(ring, op, -ENOBUFS, 0);
        return false;
    }
    size_t most = ring->cfg.buf_bytes;
    if (sim_fault(world, SIM_RECV_SHORT))
        most = sim_between(world, 1, most);
    if (sim_fault(world, SIM_RECV_ONE))
        most = 1;
    uint8_t *at = ring->cfg.bufs + (size_t)buf * ring->cfg.buf_stride;
    int64_t n = sim_recv(world, op->fd, at, most);
    SIM_CHECK(n > 0, "the world had data and has none");
    bool last = !op->multi || sim_ring_full(ring) || sim_fault(world, SIM_RECV_END_DATA);
    sim_ring_complete(ring, op, (int32_t)n, buf_flags(buf), last);
    return !last;
}

/* ---- Sending ----------------------------------------------------------------------------- */

/* What comes instead of sending; 0: nothing does. */
static int32_t send_fault(struct sim_ring *ring, const struct sim_op *op)
{
    struct sim_world *world = ring->world;
    if (sim_fault(world, SIM_SEND_EINTR))
        return sim_below(world, 2) == 0 ? -EINTR : -EAGAIN;
    if (sim_fault(world, SIM_SEND_NOMEM))
        return sim_below(world, 2) == 0 ? -ENOBUFS : -ENOMEM;
    if (sim_fault(world, SIM_SEND_BROKEN)) {
        int err = sim_below(world, 2) == 0 ? -EPIPE : -ECONNRESET;
        sim_break(world, op->fd, err);
        sim_sock(world, op->fd)->err = 0;
        return err;
    }
    return 0;
}

/* Send as much as the pipe takes. @return as sendmsg(2) */
static int64_t transmit(struct sim_ring *ring, const struct sim_op *op)
{
    struct sim_world *world = ring->world;
    uint64_t all = 0;
    for (uint32_t i = 0; i < op->parts_count; i++)
        all += op->parts[i].iov_len;
    uint64_t most = sim_fault(world, SIM_SEND_SHORT) ? sim_between(world, 1, all) : all;
    most = sim_fault(world, SIM_SEND_ONE) ? 1 : most;
    uint64_t sent = 0;
    for (uint32_t i = 0; i < op->parts_count && sent < most; i++) {
        struct weir_slice part = { op->parts[i].iov_base,
                                   weir_min_u64(op->parts[i].iov_len, most - sent) };
        int64_t n = sim_send(world, op->fd, part);
        if (n < 0 && sent == 0)
            return n;
        sent += n < 0 ? 0 : (uint64_t)n;
        if (n < (int64_t)part.len)
            break;
    }
    return (int64_t)sent;
}

static void send_run(struct sim_ring *ring, struct sim_op *op)
{
    int64_t n = send_fault(ring, op);
    if (n == 0) {
        n = transmit(ring, op);
        if (n == -EAGAIN)
            return;
    }
    if (n > 0 && op->parts_count == 1 && n < (int64_t)op->parts[0].iov_len &&
        sim_canary(ring, SIM_CANARY_SHORT_IGNORED))
        n = (int64_t)op->parts[0].iov_len;
    finish(ring, op, (int32_t)n, 0);
}

/* ---- Sending without copying ------------------------------------------------------------- */

static void zc_notify_later(struct sim_ring *ring, struct sim_op *op, int32_t res)
{
    struct sim_world *world = ring->world;
    uint64_t wait = sim_below(world, 2 * SIM_MS);
    if (sim_fault(world, SIM_ZC_NOTIF_LATE))
        wait += sim_below(world, SIM_S);
    op->state = SIM_OP_NOTIF;
    op->notif_res = sim_fault(world, SIM_ZC_COPIED) ? (int32_t)WEIR_ZC_COPIED : 0;
    op->not_before_ns = world->now_ns + wait;
    sim_wake_at(world, op->not_before_ns);
    sim_ring_complete(ring, op, res, 0, false);
    if (sim_canary(ring, SIM_CANARY_NOTIF_EARLY)) {
        struct sim_op watch = *op;
        watch.watch = true;
        watch.counted = false;
        watch.shown = 0;
        (void)sim_ring_op_add(ring, &watch);
        sim_ring_complete(ring, op, 0, WEIR_CQE_NOTIF, true);
    }
}

static void zc_notify(struct sim_ring *ring, struct sim_op *op)
{
    memory_check(op);
    if (op->watch)
        sim_ring_op_free(ring, op);
    else
        sim_ring_complete(ring, op, op->notif_res, WEIR_CQE_NOTIF, true);
}

static void zc_run(struct sim_ring *ring, struct sim_op *op)
{
    struct sim_world *world = ring->world;
    if (sim_fault(world, SIM_ZC_ERROR_LAST)) {
        finish(ring, op, sim_below(world, 2) == 0 ? -ENOMEM : -EOPNOTSUPP, 0);
        return;
    }
    if (sim_fault(world, SIM_ZC_ERROR_MORE)) {
        zc_notify_later(ring, op, -ENOMEM);
        return;
    }
    if (sim_fault(world, SIM_ZC_BROKEN_MORE)) {
        sim_break(world, op->fd, -EPIPE);
        zc_notify_later(ring, op, -EPIPE);
        return;
    }
    int64_t n = send_fault(ring, op);
    if (n == 0) {
        n = transmit(ring, op);
        if (n == -EAGAIN)
            return;
    }
    if (n < 0)
        finish(ring, op, (int32_t)n, 0);
    else
        zc_notify_later(ring, op, (int32_t)n);
}

/* ---- Accepting, connecting, reading ------------------------------------------------------ */

static void accept_run(struct sim_ring *ring, struct sim_op *op)
{
    static const int limits[] = { -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS };
    static const int aborts[] = { -ECONNABORTED, -EPROTO, -ENETDOWN, -EHOSTUNREACH, -EPERM };
    struct sim_world *world = ring->world;
    while (op->state == SIM_OP_RUNNING && sim_sock(world, op->fd)->backlog_count > 0) {
        if (sim_fault(world, SIM_ACCEPT_LIMIT)) {
            finish(ring, op, limits[sim_below(world, sizeof limits / sizeof limits[0])], 0);
            return;
        }
        if (sim_fault(world, SIM_ACCEPT_ABORTED)) {
            finish(ring, op, aborts[sim_below(world, sizeof aborts / sizeof aborts[0])], 0);
            return;
        }
        bool last = !op->multi || sim_ring_full(ring) || sim_fault(world, SIM_ACCEPT_END);
        int fd = sim_accept(world, op->fd);
        sim_sock(world, fd)->ring = ring->number;
        sim_ring_complete(ring, op, fd, 0, last);
    }
}

static void connect_run(struct sim_ring *ring, struct sim_op *op)
{
    struct sim_sock *sock = sim_sock(ring->world, op->fd);
    if (sock->kind == SIM_CONNECTING)
        return;
    int res = sock->kind == SIM_FAILED ? sock->err : 0;
    finish(ring, op, res, 0);
}

/* Of a real descriptor: the engine's doorbell. */
static void read_run(struct sim_ring *ring, struct sim_op *op)
{
    ssize_t n = read(op->fd, op->out, op->bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    finish(ring, op, n < 0 ? -errno : (int32_t)n, 0);
}

/* poll(2)'s answer. */
static int32_t poll_events(struct sim_world *world, const struct sim_op *op)
{
    if (!sim_is_ours(op->fd)) {
        struct pollfd poller = { .fd = op->fd, .events = (short)op->events };
        int n = poll(&poller, 1, 0);
        return n < 0 ? (errno == EINTR ? 0 : -errno) : n == 0 ? 0 : poller.revents;
    }
    const struct sim_sock *sock = sim_sock(world, op->fd);
    bool in = sock->kind == SIM_LISTENING ? sock->backlog_count > 0 : sim_readable(world, op->fd);
    bool ready = op->events == POLLIN ? in : sim_writable(world, op->fd);
    return (ready ? (int32_t)op->events : 0) | (sock->dead ? POLLHUP : 0);
}

static void poll_run(struct sim_ring *ring, struct sim_op *op)
{
    int32_t res = poll_events(ring->world, op);
    if (res != 0)
        finish(ring, op, res, 0);
}

/* ---- Cancelling -------------------------------------------------------------------------- */

static bool is_victim(const struct sim_op *op, const struct sim_op *victim)
{
    if (victim == op || victim->state != SIM_OP_RUNNING)
        return false;
    return op->kind == SIM_OP_CANCEL ? victim->user_data == op->target : victim->fd == op->fd;
}

/* End `victim` in one of the ways there are. @return what the cancel tells about it: 1 done, 0 it
 * was over, -EALREADY */
static int cancel_one(struct sim_ring *ring, struct sim_op *victim)
{
    struct sim_world *world = ring->world;
    if (victim->doomed)
        return -EALREADY;
    if (sim_fault(world, SIM_CANCEL_LATE)) {
        sim_op_run(ring, victim);
        if (victim->state != SIM_OP_RUNNING)
            return 0;
    }
    if (sim_fault(world, SIM_CANCEL_ALREADY)) {
        victim->doomed = true;
        victim->not_before_ns = world->now_ns + sim_below(world, SIM_MS);
        sim_wake_at(world, victim->not_before_ns);
        return -EALREADY;
    }
    if (sim_fault(world, SIM_CANCEL_FIRST)) {
        victim->doomed = true;
        victim->not_before_ns = 0;
        return 1;
    }
    if (victim->kind == SIM_OP_SEND_ZC && sim_below(world, 2) == 0)
        zc_notify_later(ring, victim, -ECANCELED);
    else
        finish(ring, victim, -ECANCELED, 0);
    return 1;
}

static void cancel_run(struct sim_ring *ring, struct sim_op *op)
{
    int32_t count = 0;
    bool already = false;
    for (uint32_t i = 0; i < ring->ops_count; i++) {
        if (!is_victim(op, ring->ops[i]))
            continue;
        int rc = cancel_one(ring, ring->ops[i]);
        already |= rc < 0;
        count += rc > 0;
    }
    int32_t res = count > 0 ? count : -ENOENT;
    if (already)
        res = -EALREADY;
    else if (count == 1 && sim_below(ring->world, 2) == 0)
        res = 0;
    finish(ring, op, res, 0);
}

/* ---- Beginning and going on -------------------------------------------------------------- */

void sim_op_start(struct sim_ring *ring, struct sim_op *op)
{
    SIM_CHECK(op->head_sum == sim_op_head_sum(op),
              "the description of an operation on descriptor %d changed before it began", op->fd);
    op->state = SIM_OP_RUNNING;
    if (op->kind == SIM_OP_CONNECT)
        sim_connect(ring->world, op->fd, op->addr);
    if (op->kind == SIM_OP_CANCEL || op->kind == SIM_OP_CANCEL_FD)
        cancel_run(ring, op);
}

bool sim_op_ready(const struct sim_ring *ring, const struct sim_op *op)
{
    struct sim_world *world = ring->world;
    if (op->not_before_ns > world->now_ns)
        return false;
    if (op->state == SIM_OP_NOTIF || op->doomed)
        return op->state != SIM_OP_ENDED;
    if (op->state != SIM_OP_RUNNING || !sim_is_ours(op->fd))
        return false;
    const struct sim_sock *sock = sim_sock(world, op->fd);
    switch (op->kind) {
    case SIM_OP_ACCEPT:
        return sock->backlog_count > 0;
    case SIM_OP_RECV:
        return sim_readable(world, op->fd);
    case SIM_OP_CONNECT:
        return sock->kind != SIM_CONNECTING;
    case SIM_OP_POLL:
        return poll_events(world, op) != 0;
    default:
        return sim_writable(world, op->fd);
    }
}

void sim_op_run(struct sim_ring *ring, struct sim_op *op)
{
    struct sim_world *world = ring->world;
    if (op->state == SIM_OP_NOTIF) {
        zc_notify(ring, op);
        return;
    }
    if (op->doomed) {
        finish(ring, op, -ECANCELED, 0);
        return;
    }
    if (sim_op_ready(ring, op) && sim_fault(world, SIM_OP_STALL)) {
        op->not_before_ns = world->now_ns + sim_below(world, 2 * SIM_MS);
        sim_wake_at(world, op->not_before_ns);
        return;
    }
    switch (op->kind) {
    case SIM_OP_ACCEPT:
        accept_run(ring, op);
        break;
    case SIM_OP_RECV:
        for (int i = 0; i < RECVS_MAX && recv_once(ring, op); i++)
            ;
        break;
    case SIM_OP_READ:
        read_run(ring, op);
        break;
    case SIM_OP_CONNECT:
        connect_run(ring, op);
        break;
    case SIM_OP_POLL:
        poll_run(ring, op);
        break;
    case SIM_OP_SEND_ZC:
        if (sim_writable(world, op->fd))
            zc_run(ring, op);
        break;
    default:
        if (sim_writable(world, op->fd))
            send_run(ring, op);
        break;
    }
}
