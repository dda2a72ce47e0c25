/* SPDX-License-Identifier: MIT */
#include "ring_sim.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes that a buffer holds after it was given back. */
#define POISON 0xd5

bool sim_canary(struct sim_ring *ring, enum sim_canary canary)
{
    struct sim_world *world = ring->world;
    if (world->canary != (int)canary)
        return false;
    if (world->canary_nth > 1) {
        world->canary_nth--;
        return false;
    }
    sim_trace(world, "CANARY", ring->number, canary, 0);
    return true;
}

/* ---- Completions ------------------------------------------------------------------------- */

static uint32_t visible(const struct sim_ring *ring)
{
    return ring->cq_tail - ring->cq_head;
}

bool sim_ring_full(const struct sim_ring *ring)
{
    return ring->overflow.count > 0 || visible(ring) >= ring->cfg.cq_entries;
}

static void cqes_add(struct sim_cqes *list, const struct sim_cqe *cqe)
{
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 16 : list->cap * 2;
        list->at = realloc(list->at, list->cap * sizeof *list->at);
        SIM_CHECK(list->at != NULL, "out of memory");
    }
    list->at[list->count++] = *cqe;
}

static void cqes_remove(struct sim_cqes *list, uint32_t index)
{
    list->count--;
    memmove(list->at + index, list->at + index + 1, (list->count - index) * sizeof *list->at);
}

/* The socket of an operation, while the operation counts for it. */
static struct sim_sock *sock_of(struct sim_ring *ring, const struct sim_op *op)
{
    return op->counted ? sim_sock(ring->world, op->fd) : NULL;
}

static bool is_send(const struct sim_op *op)
{
    return op->kind == SIM_OP_SEND || op->kind == SIM_OP_SENDMSG || op->kind == SIM_OP_SEND_ZC;
}

/* What may be there once only is over as soon as the engine can know it. */
static void released(struct sim_ring *ring, const struct sim_cqe *c)
{
    const struct sim_op *op = c->op;
    struct sim_sock *sock = op == NULL ? NULL : sock_of(ring, op);
    if (sock == NULL)
        return;
    if (op->kind == SIM_OP_RECV && c->last)
        sock->recvs--;
    if (is_send(op) && !(c->cqe.flags & WEIR_CQE_NOTIF))
        sock->sends--;
}

static void show(struct sim_ring *ring, const struct sim_cqe *c)
{
    uint32_t at = ring->cq_tail++ & (ring->cfg.cq_entries - 1);
    ring->cqes[at] = c->cqe;
    ring->cqes_of[at] = *c;
    ring->completions++;
    sim_trace(ring->world, "cqe", (int)(c->cqe.user_data & 0xffffff), c->cqe.res,
              (int64_t)(c->cqe.user_data >> 56 << 32 | c->cqe.flags));
    released(ring, c);
    if (c->op != NULL && c->last && c->op->kind == SIM_OP_RECV &&
        sim_canary(ring, SIM_CANARY_LAST_IGNORED))
        ring->cqes[at].flags |= WEIR_CQE_MORE;
    if (c->op != NULL && c->cqe.res == -ENOBUFS && c->op->kind == SIM_OP_RECV &&
        sim_canary(ring, SIM_CANARY_NOBUFS_IGNORED))
        ring->cqes[at].flags |= WEIR_CQE_MORE;
    if (c->op != NULL && !c->last && c->op->kind == SIM_OP_RECV &&
        sim_canary(ring, SIM_CANARY_MORE_IGNORED))
        ring->cqes[at].flags &= ~WEIR_CQE_MORE;
    if (visible(ring) < ring->cfg.cq_entries && sim_canary(ring, SIM_CANARY_CQE_TWICE)) {
        at = ring->cq_tail++ & (ring->cfg.cq_entries - 1);
        ring->cqes[at] = c->cqe;
        ring->cqes_of[at] = (struct sim_cqe){ .cqe = c->cqe };
    }
}

static void publish(struct sim_ring *ring, const struct sim_cqe *c)
{
    if (sim_ring_full(ring))
        cqes_add(&ring->overflow, c);
    else
        show(ring, c);
}

/* The earliest that a completion may show: after those of its own operation before it, and an
 * answer not before the end of the send that it answers. */
static uint64_t told_after(struct sim_ring *ring, const struct sim_op *op)
{
    uint64_t after = op->last_release_ns;
    if (op->kind == SIM_OP_RECV)
        after = weir_max_u64(after, sim_sock(ring->world, op->fd)->send_told_ns);
    return after;
}

void sim_ring_complete(struct sim_ring *ring, struct sim_op *op, int32_t res, uint32_t flags,
                       bool last)
{
    struct sim_world *world = ring->world;
    struct sim_cqe c = { .cqe = { .user_data = op->user_data, .res = res, .flags = flags },
                         .op = op,
                         .last = last };
    if (!last)
        c.cqe.flags |= WEIR_CQE_MORE;
    op->shown++;
    if (last)
        op->state = SIM_OP_ENDED;
    uint64_t after = told_after(ring, op);
    if (op->late == 0 && after <= world->now_ns && !sim_fault(world, SIM_CQE_DELAY)) {
        publish(ring, &c);
        return;
    }
    c.release_ns = weir_max_u64(world->now_ns + sim_below(world, 3 * SIM_MS), after);
    op->last_release_ns = c.release_ns;
    op->late++;
    if (is_send(op) && op->counted && !sim_fault(world, SIM_SEND_TOLD_LATE))
        sim_sock(world, op->fd)->send_told_ns = c.release_ns;
    cqes_add(&ring->limbo, &c);
    sim_wake_at(world, c.release_ns);
}

/* Everything late that is due, and everything that found no place, as far as there is room now. */
static void release(struct sim_ring *ring)
{
    while (ring->overflow.count > 0 && visible(ring) < ring->cfg.cq_entries) {
        struct sim_cqe c = ring->overflow.at[0];
        cqes_remove(&ring->overflow, 0);
        show(ring, &c);
    }
    for (uint32_t i = 0; i < ring->limbo.count;) {
        struct sim_cqe c = ring->limbo.at[i];
        if (c.release_ns > ring->world->now_ns) {
            i++;
            continue;
        }
        cqes_remove(&ring->limbo, i);
        if (c.op != NULL)
            c.op->late--;
        publish(ring, &c);
    }
}

/* The kernel never does that, but a slot's next owner must not be hurt by what came too late. */
static void forge_stale(struct sim_ring *ring)
{
    struct sim_world *world = ring->world;
    if (ring->engine == NULL || ring->ended_user_data == 0 || sim_ring_full(ring) ||
        !sim_fault(world, SIM_CQE_STALE))
        return;
    const struct weir_slot *slot =
        weir_pool_at(&ring->engine->slots, (uint32_t)ring->ended_user_data);
    if (slot->gen == ((uint32_t)(ring->ended_user_data >> 32) & 0xffffff))
        return;
    struct sim_cqe c = { .cqe = { .user_data = ring->ended_user_data, .res = -ECANCELED } };
    uint32_t buf = sim_below(world, 2) == 0 ? sim_ring_buf_take(ring) : UINT32_MAX;
    if (buf != UINT32_MAX) {
        c.cqe.res = 1;
        c.cqe.flags = WEIR_CQE_BUFFER | buf << WEIR_CQE_BUF_SHIFT;
    }
    show(ring, &c);
}

static uint32_t ring_peek(struct weir_ring *base, const struct weir_cqe **first)
{
    struct sim_ring *ring = sim_ring_of(base);
    uint32_t at = ring->cq_head & (ring->cfg.cq_entries - 1);
    uint32_t to_end = ring->cfg.cq_entries - at;
    *first = &ring->cqes[at];
    return visible(ring) < to_end ? visible(ring) : to_end;
}

void sim_ring_op_free(struct sim_ring *ring, struct sim_op *op)
{
    for (uint32_t i = 0; i < ring->ops_count; i++) {
        if (ring->ops[i] != op)
            continue;
        ring->ops_count--;
        memmove(ring->ops + i, ring->ops + i + 1, (ring->ops_count - i) * sizeof *ring->ops);
        break;
    }
    ring->ended_user_data = op->user_data;
    free(op);
}

/* The engine has handled it. */
static void handled(struct sim_ring *ring, const struct sim_cqe *c)
{
    struct sim_op *op = c->op;
    if (op == NULL)
        return;
    struct sim_sock *sock = sock_of(ring, op);
    bool first = op->kind == SIM_OP_SEND_ZC && !op->first_done;
    op->shown--;
    op->first_done = true;
    if (sock != NULL && (c->last || first)) {
        sock->ops_alive--;
        op->counted = false;
    }
    if (c->last)
        sim_ring_op_free(ring, op);
}

static void ring_advance(struct weir_ring *base, uint32_t count)
{
    struct sim_ring *ring = sim_ring_of(base);
    SIM_CHECK(count <= visible(ring), "more completions are taken than are there");
    while (count-- > 0) {
        struct sim_cqe c = ring->cqes_of[ring->cq_head & (ring->cfg.cq_entries - 1)];
        ring->cq_head++;
        handled(ring, &c);
    }
}

/* ---- Buffers ----------------------------------------------------------------------------- */

uint32_t sim_ring_buf_take(struct sim_ring *ring)
{
    if (ring->bufs_count == 0)
        return UINT32_MAX;
    uint32_t index = ring->bufs_free[ring->bufs_head];
    ring->bufs_head = (ring->bufs_head + 1) % ring->cfg.bufs_count;
    ring->bufs_count--;
    SIM_CHECK(ring->bufs[index] == SIM_BUF_RING, "buffer %u has two owners", index);
    ring->bufs[index] = SIM_BUF_OUT;
    return index;
}

static void buf_put(struct sim_ring *ring, uint32_t index)
{
    SIM_CHECK(index < ring->cfg.bufs_count, "there is no buffer %u", index);
    SIM_CHECK(ring->bufs[index] == SIM_BUF_OUT, "buffer %u is given back, but was not taken",
              index);
    ring->bufs[index] = SIM_BUF_PUT;
    memset(ring->cfg.bufs + (size_t)index * ring->cfg.buf_stride, POISON, ring->cfg.buf_bytes);
}

static void ring_buf_put(struct weir_ring *base, uint32_t index)
{
    struct sim_ring *ring = sim_ring_of(base);
    if (sim_canary(ring, SIM_CANARY_BUF_NEVER))
        return;
    buf_put(ring, index);
    if (sim_canary(ring, SIM_CANARY_BUF_TWICE))
        buf_put(ring, index);
}

static void ring_buf_commit(struct weir_ring *base)
{
    struct sim_ring *ring = sim_ring_of(base);
    for (uint32_t i = 0; i < ring->cfg.bufs_count; i++) {
        if (ring->bufs[i] != SIM_BUF_PUT)
            continue;
        ring->bufs[i] = SIM_BUF_RING;
        uint32_t at = (ring->bufs_head + ring->bufs_count++) % ring->cfg.bufs_count;
        ring->bufs_free[at] = i;
    }
}

/* ---- Queuing ----------------------------------------------------------------------------- */

static void submit(struct sim_ring *ring, uint32_t most)
{
    for (uint32_t i = 0; i < ring->ops_count && most > 0 && ring->queued_count > 0;) {
        struct sim_op *op = ring->ops[i];
        if (op->state != SIM_OP_QUEUED) {
            i++;
            continue;
        }
        ring->queued_count--;
        ring->base.counters.sqes++;
        most--;
        sim_op_start(ring, op);
        i++;
    }
}

/* Count an operation for its socket, and see that there are not two of a kind. */
static void sock_count(struct sim_ring *ring, struct sim_op *op)
{
    if (!sim_is_ours(op->fd))
        return;
    struct sim_sock *sock = sim_sock(ring->world, op->fd);
    SIM_CHECK(sock->ops_alive == 0 || sock->ring == ring->number,
              "descriptor %d is used by two rings", op->fd);
    sock->ring = ring->number; /* an engine may hand it to another */
    sock->ops_alive++;
    op->counted = true;
    if (op->kind == SIM_OP_RECV || op->kind == SIM_OP_CONNECT)
        sock->owner = (uint32_t)op->user_data;
    if (op->kind == SIM_OP_RECV)
        SIM_CHECK(++sock->recvs == 1, "two receives on descriptor %d", op->fd);
    if (op->kind == SIM_OP_SEND || op->kind == SIM_OP_SENDMSG || op->kind == SIM_OP_SEND_ZC)
        SIM_CHECK(++sock->sends == 1, "two sends on descriptor %d", op->fd);
}

struct sim_op *sim_ring_op_add(struct sim_ring *ring, const struct sim_op *init)
{
    if (ring->ops_count == ring->ops_cap) {
        ring->ops_cap = ring->ops_cap == 0 ? 64 : ring->ops_cap * 2;
        ring->ops = realloc(ring->ops, ring->ops_cap * sizeof(struct sim_op *));
        SIM_CHECK(ring->ops != NULL, "out of memory");
    }
    struct sim_op *op = malloc(sizeof *op);
    SIM_CHECK(op != NULL, "out of memory");
    *op = *init;
    ring->ops[ring->ops_count++] = op;
    return op;
}

static struct sim_op *queue(struct weir_ring *base, const struct sim_op *init)
{
    struct sim_ring *ring = sim_ring_of(base);
    if (ring->queued_count == ring->cfg.sq_entries)
        submit(ring, UINT32_MAX);
    SIM_CHECK(ring->ops_count < ring->cfg.ops_max, "more than %u operations in flight",
              ring->cfg.ops_max);
    struct sim_op *op = sim_ring_op_add(ring, init);
    ring->queued_count++;
    sock_count(ring, op);
    op->sum = sim_op_data_sum(op);
    op->head_sum = sim_op_head_sum(op);
    sim_trace(ring->world, "queue", op->fd, op->kind, (int64_t)(op->user_data & 0xffffffff));
    return op;
}

static void ring_accept(struct weir_ring *base, int fd, bool multi, uint64_t user_data)
{
    (void)queue(base,
                &(struct sim_op){
                    .kind = SIM_OP_ACCEPT, .fd = fd, .multi = multi, .user_data = user_data });
}

static void ring_recv(struct weir_ring *base, int fd, bool multi, uint64_t user_data)
{
    struct sim_op op = { .kind = SIM_OP_RECV, .fd = fd, .multi = multi, .user_data = user_data };
    if (sim_canary(sim_ring_of(base), SIM_CANARY_LOST_RECV))
        return;
    (void)queue(base, &op);
    if (sim_canary(sim_ring_of(base), SIM_CANARY_TWO_RECVS))
        (void)queue(base, &op);
}

static void ring_read(struct weir_ring *base, int fd, void *data, uint32_t bytes,
                      uint64_t user_data)
{
    (void)queue(
        base,
        &(struct sim_op){
            .kind = SIM_OP_READ, .fd = fd, .out = data, .bytes = bytes, .user_data = user_data });
}

static struct iovec part_of(struct weir_slice data)
{
    return (struct iovec){ (void *)(uintptr_t)data.ptr, data.len };
}

static void send_canary(struct weir_ring *base, struct weir_slice data)
{
    if (sim_canary(sim_ring_of(base), SIM_CANARY_SEND_REUSED))
        ((uint8_t *)(uintptr_t)data.ptr)[data.len / 2] ^= 0x55;
}

static void ring_send(struct weir_ring *base, int fd, struct weir_slice data, uint64_t user_data)
{
    (void)queue(base, &(struct sim_op){ .kind = SIM_OP_SEND,
                                        .fd = fd,
                                        .parts = { part_of(data) },
                                        .parts_count = 1,
                                        .user_data = user_data });
    send_canary(base, data);
}

static void ring_sendmsg(struct weir_ring *base, int fd, const struct msghdr *msg,
                         uint64_t user_data)
{
    struct sim_op op = {
        .kind = SIM_OP_SENDMSG,
        .fd = fd,
        .msg = msg,
        .parts_count = (uint32_t)msg->msg_iovlen,
        .user_data = user_data,
    };
    SIM_CHECK(msg->msg_iovlen <= SIM_PARTS_MAX, "a send of %zu parts", (size_t)msg->msg_iovlen);
    memcpy(op.parts, msg->msg_iov, msg->msg_iovlen * sizeof op.parts[0]);
    (void)queue(base, &op);
    send_canary(base, (struct weir_slice){ msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len });
}

static void ring_send_zc(struct weir_ring *base, int fd, struct weir_slice data, int buffer,
                         uint64_t user_data)
{
    struct sim_ring *ring = sim_ring_of(base);
    if (buffer >= 0) {
        SIM_CHECK(buffer < WEIR_RING_BUFFERS, "there is no registered buffer %d", buffer);
        struct weir_slice r = ring->registered[buffer];
        SIM_CHECK(data.ptr >= r.ptr && data.ptr + data.len <= r.ptr + r.len,
                  "data lies outside of registered buffer %d", buffer);
    }
    (void)queue(base, &(struct sim_op){ .kind = SIM_OP_SEND_ZC,
                                        .fd = fd,
                                        .parts = { part_of(data) },
                                        .parts_count = 1,
                                        .user_data = user_data });
}

static void ring_connect(struct weir_ring *base, int fd, const struct sockaddr *addr,
                         socklen_t bytes, uint64_t user_data)
{
    (void)queue(base, &(struct sim_op){ .kind = SIM_OP_CONNECT,
                                        .fd = fd,
                                        .addr = addr,
                                        .bytes = bytes,
                                        .user_data = user_data });
}

/* Of the world's sockets by what they hold, of real descriptors by asking the kernel in every turn:
 * those do not move the world's clock, so whatever is behind them must not be waited for in it. */
static void ring_poll(struct weir_ring *base, int fd, uint32_t events, uint64_t user_data)
{
    SIM_CHECK(events == POLLIN || events == POLLOUT, "a poll for events %#x", events);
    (void)queue(base,
                &(struct sim_op){
                    .kind = SIM_OP_POLL, .fd = fd, .events = events, .user_data = user_data });
}

static void ring_cancel_fd(struct weir_ring *base, int fd, uint64_t user_data)
{
    if (!sim_canary(sim_ring_of(base), SIM_CANARY_CANCEL_LOST))
        (void)queue(base,
                    &(struct sim_op){ .kind = SIM_OP_CANCEL_FD, .fd = fd, .user_data = user_data });
}

static void ring_cancel(struct weir_ring *base, uint64_t target, uint64_t user_data)
{
    if (!sim_canary(sim_ring_of(base), SIM_CANARY_CANCEL_LOST))
        (void)queue(
            base, &(struct sim_op){
                      .kind = SIM_OP_CANCEL, .fd = -1, .target = target, .user_data = user_data });
}

/* ---- Entering ---------------------------------------------------------------------------- */

/* Let every operation have its turn, in an order that nobody may rely on. */
static void run(struct sim_ring *ring)
{
    struct sim_world *world = ring->world;
    struct sim_op *turn[256];
    release(ring);
    uint32_t count = 0;
    for (uint32_t i = 0; i < ring->ops_count && count < 256; i++) {
        struct sim_op *op = ring->ops[i];
        if (op->state != SIM_OP_RUNNING && op->state != SIM_OP_NOTIF)
            continue;
        uint32_t at = (uint32_t)sim_below(world, ++count);
        turn[count - 1] = turn[at];
        turn[at] = op;
    }
    for (uint32_t i = 0; i < count; i++)
        if (turn[i]->not_before_ns <= world->now_ns)
            sim_op_run(ring, turn[i]);
    forge_stale(ring);
}

/* Sleep until something is there. False: nothing ever will be, or the time is up. */
static bool sleep_once(struct sim_ring *ring, uint64_t deadline_ns)
{
    struct sim_world *world = ring->world;
    uint64_t next = weir_min_u64(sim_next_ns(world), deadline_ns);
    if (next == UINT64_MAX) {
        SIM_CHECK(++world->idle_enters < 8, "ring %d sleeps and nothing will ever wake it",
                  ring->number);
        return false;
    }
    sim_advance_to(world, next);
    return next < deadline_ns;
}

static int ring_enter(struct weir_ring *base, const struct weir_ring_wait *wait)
{
    struct sim_ring *ring = sim_ring_of(base);
    struct sim_world *world = ring->world;
    base->counters.enters++;
    SIM_CHECK(++world->steps < world->steps_max, "no end after %llu steps",
              (unsigned long long)world->steps);
    sim_advance_to(world, world->now_ns + sim_below(world, 2000));
    if (sim_fault(world, SIM_CLOCK_JUMP))
        sim_advance_to(world, world->now_ns + sim_below(world, 2 * SIM_S));
    if (sim_fault(world, SIM_ENTER_INTR))
        return 0;
    bool part = ring->queued_count > 1 && sim_fault(world, SIM_ENTER_PART);
    submit(ring, part ? (uint32_t)sim_below(world, ring->queued_count) : UINT32_MAX);
    base->counters.cq_overflows += ring->overflow.count > 0;
    run(ring);
    while (wait != NULL && !part &&
           visible(ring) < weir_min_u64(wait->count, ring->cfg.cq_entries) &&
           sleep_once(ring, wait->deadline_ns))
        run(ring);
    if (visible(ring) > 0)
        world->idle_enters = 0;
    return 0;
}

bool sim_ring_busy(const struct sim_ring *ring)
{
    if (visible(ring) > 0 || ring->overflow.count > 0 || ring->queued_count > 0)
        return true;
    for (uint32_t i = 0; i < ring->limbo.count; i++)
        if (ring->limbo.at[i].release_ns <= ring->world->now_ns)
            return true;
    for (uint32_t i = 0; i < ring->ops_count; i++)
        if (sim_op_ready(ring, ring->ops[i]))
            return true;
    return false;
}

static bool ring_ready(struct weir_ring *base)
{
    struct sim_ring *ring = sim_ring_of(base);
    sim_advance_to(ring->world, ring->world->now_ns + 1000);
    return sim_ring_busy(ring);
}

static bool ring_unsubmitted(const struct weir_ring *base)
{
    return ((const struct sim_ring *)(const void *)base)->queued_count > 0;
}

static uint64_t ring_now_ns(const struct weir_ring *base)
{
    return ((const struct sim_ring *)(const void *)base)->world->now_ns;
}

/* A descriptor that polls is the one thing that a world without descriptors cannot have. */
static int ring_pollable(struct weir_ring *base)
{
    (void)base;
    return -EMFILE;
}

static int ring_buffer_register(struct weir_ring *base, int buffer, struct weir_slice memory)
{
    SIM_CHECK(buffer > 0 && buffer < WEIR_RING_BUFFERS, "there is no registered buffer %d", buffer);
    sim_ring_of(base)->registered[buffer] = memory;
    return 0;
}

/* ---- Sockets ----------------------------------------------------------------------------- */

static int sock_stream(struct weir_ring *base, int family)
{
    struct sim_world *world = sim_ring_of(base)->world;
    if (family != AF_INET)
        return -EAFNOSUPPORT;
    return sim_fault(world, SIM_SOCKET_EMFILE) ? -EMFILE : sim_socket(world);
}

static int sock_listen(struct weir_ring *base, struct weir_sockaddr addr, uint32_t backlog,
                       unsigned how)
{
    return sim_bind_listen(sim_ring_of(base)->world, addr, backlog,
                           (how & WEIR_LISTEN_REUSE_PORT) != 0);
}

static int name_copy(const struct sockaddr_in *name, struct sockaddr_storage *out, socklen_t *bytes)
{
    memset(out, 0, sizeof *out);
    memcpy(out, name, sizeof *name);
    *bytes = sizeof *name;
    return 0;
}

static int sock_local(struct weir_ring *base, int fd, struct sockaddr_storage *out,
                      socklen_t *bytes)
{
    return name_copy(&sim_sock(sim_ring_of(base)->world, fd)->local, out, bytes);
}

static int sock_peer(struct weir_ring *base, int fd, struct sockaddr_storage *out, socklen_t *bytes)
{
    const struct sim_sock *sock = sim_sock(sim_ring_of(base)->world, fd);
    return sock->dead ? -ENOTCONN : name_copy(&sock->remote, out, bytes);
}

static int sock_shutdown_send(struct weir_ring *base, int fd)
{
    return sim_shutdown(sim_ring_of(base)->world, fd);
}

static void sock_set_reset(struct weir_ring *base, int fd)
{
    sim_sock(sim_ring_of(base)->world, fd)->reset_on_close = true;
}

static void sock_close(struct weir_ring *base, int fd)
{
    if (sim_is_ours(fd))
        sim_close(sim_ring_of(base)->world, fd, false);
    else
        weir_sock_kernel.close(base, fd); /* a real one that was watched */
}

static const struct weir_sock_ops sim_sock_ops = {
    .stream = sock_stream,
    .listen = sock_listen,
    .local = sock_local,
    .peer = sock_peer,
    .shutdown_send = sock_shutdown_send,
    .set_reset = sock_set_reset,
    .close = sock_close,
};

/* ---- Life -------------------------------------------------------------------------------- */

static void ring_close(struct weir_ring *base)
{
    struct sim_ring *ring = sim_ring_of(base);
    for (uint32_t i = 0; i < ring->ops_count; i++) {
        SIM_CHECK(ring->ops[i]->kind == SIM_OP_READ,
                  "operation %d on descriptor %d outlives its "
                  "ring",
                  ring->ops[i]->kind, ring->ops[i]->fd);
        free(ring->ops[i]);
    }
    ring->world->rings[ring->number] = NULL;
    free(ring->ops);
    free(ring->limbo.at);
    free(ring->overflow.at);
    free(ring->bufs);
    free(ring->bufs_free);
    free(ring->cqes);
    free(ring->cqes_of);
}

static const struct weir_ring_ops sim_ops = {
    .name = "sim",
    .close = ring_close,
    .accept = ring_accept,
    .recv = ring_recv,
    .read = ring_read,
    .send = ring_send,
    .sendmsg = ring_sendmsg,
    .send_zc = ring_send_zc,
    .connect = ring_connect,
    .poll = ring_poll,
    .cancel_fd = ring_cancel_fd,
    .cancel = ring_cancel,
    .enter = ring_enter,
    .ready = ring_ready,
    .peek = ring_peek,
    .advance = ring_advance,
    .unsubmitted = ring_unsubmitted,
    .buf_put = ring_buf_put,
    .buf_commit = ring_buf_commit,
    .now_ns = ring_now_ns,
    .pollable = ring_pollable,
    .buffer_register = ring_buffer_register,
};

static uint64_t ring_bytes(const struct weir_ring_config *cfg)
{
    (void)cfg;
    return weir_arena_cost(sizeof(struct sim_ring), WEIR_CACHE_LINE);
}

static int ring_open(struct weir_ring **out, struct weir_arena *arena,
                     const struct weir_ring_config *cfg)
{
    struct sim_ring *ring = weir_arena_take(arena, sizeof *ring, WEIR_CACHE_LINE);
    struct sim_world *world = cfg->arg;
    ring->base.ops = &sim_ops;
    ring->base.sock = &sim_sock_ops;
    ring->base.abilities = (world->zc ? WEIR_RING_ZC : 0) | (world->spin ? WEIR_RING_SPIN : 0);
    ring->world = world;
    ring->cfg = *cfg;
    ring->registered[0] = (struct weir_slice){ cfg->send_memory, cfg->send_bytes };
    while (ring->number < SIM_RINGS_MAX && world->rings[ring->number] != NULL)
        ring->number++;
    SIM_CHECK(ring->number < SIM_RINGS_MAX, "too many rings");
    world->rings[ring->number] = ring;
    ring->cqes = calloc(cfg->cq_entries, sizeof *ring->cqes);
    ring->cqes_of = calloc(cfg->cq_entries, sizeof *ring->cqes_of);
    ring->bufs = calloc(cfg->bufs_count, 1);
    ring->bufs_free = calloc(cfg->bufs_count, sizeof *ring->bufs_free);
    SIM_CHECK(ring->cqes != NULL && ring->cqes_of != NULL && ring->bufs != NULL &&
                  ring->bufs_free != NULL,
              "out of memory");
    ring->bufs_count = cfg->bufs_count;
    for (uint32_t i = 0; i < cfg->bufs_count; i++)
        ring->bufs_free[i] = i;
    snprintf(ring->base.info, sizeof ring->base.info, "sim seed=%llu",
             (unsigned long long)world->seed);
    *out = &ring->base;
    return 0;
}

const struct weir_ring_type weir_ring_sim = {
    .name = "sim",
    .bytes = ring_bytes,
    .open = ring_open,
};
