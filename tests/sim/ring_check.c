/* SPDX-License-Identifier: MIT */
/* What must hold between two passes, and at the end. */
#include "ring_sim.h"

#include "io/conn.h"

void sim_ring_attach(struct weir_engine *engine)
{
    sim_ring_of(engine->ring)->engine = engine;
}

static const struct weir_slot *slot_of(const struct weir_engine *engine, const struct sim_op *op)
{
    const struct weir_slot *slot = weir_pool_at(&engine->slots, (uint32_t)op->user_data);
    SIM_CHECK(slot->used && slot->gen == ((uint32_t)(op->user_data >> 32) & 0xffffff),
              "operation %d on descriptor %d outlives its slot %u", op->kind, op->fd, slot->index);
    return slot;
}

/* Every slot counts exactly the operations that are in flight for it. */
static void check_inflight(const struct weir_engine *engine, const struct sim_ring *ring)
{
    uint32_t counts[1024] = { 0 };
    uint32_t slots = engine->slots.fresh;
    SIM_CHECK(slots <= sizeof counts / sizeof counts[0], "%u slots", slots);
    for (uint32_t i = 0; i < ring->ops_count; i++) {
        const struct sim_op *op = ring->ops[i];
        if (op->watch)
            continue;
        counts[slot_of(engine, op)->index]++;
        /* Until its result is known, a zero-copy send counts for its connection, too. */
        if (op->kind == SIM_OP_SEND_ZC && !op->first_done)
            counts[sim_sock(ring->world, op->fd)->owner]++;
    }
    for (uint32_t i = 0; i < slots; i++) {
        const struct weir_slot *slot = weir_pool_at(&engine->slots, i);
        uint32_t inflight = slot->used ? slot->inflight : 0;
        SIM_CHECK(inflight == counts[i], "slot %u counts %u operations in flight, there are %u", i,
                  inflight, counts[i]);
    }
}

/* Buffers: in the ring, in a completion that was not handled, or held by the application. */
static void check_bufs(const struct weir_engine *engine, const struct sim_ring *ring)
{
    uint8_t shown[1024] = { 0 };
    uint32_t count = ring->cfg.bufs_count;
    SIM_CHECK(count <= sizeof shown, "%u buffers", count);
    for (uint32_t i = ring->cq_head; i != ring->cq_tail; i++) {
        uint32_t flags = ring->cqes[i & (ring->cfg.cq_entries - 1)].flags;
        if (flags & WEIR_CQE_BUFFER)
            shown[flags >> WEIR_CQE_BUF_SHIFT] = 1;
    }
    const struct sim_cqes *lists[] = { &ring->limbo, &ring->overflow };
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < lists[k]->count; i++) {
            uint32_t flags = lists[k]->at[i].cqe.flags;
            if (flags & WEIR_CQE_BUFFER)
                shown[flags >> WEIR_CQE_BUF_SHIFT] = 1;
        }
    for (uint32_t i = 0; i < count; i++) {
        bool out = ring->bufs[i] == SIM_BUF_OUT;
        bool due = shown[i] || engine->holds[i] > 0;
        SIM_CHECK(ring->bufs[i] != SIM_BUF_PUT, "buffer %u was put, but not committed", i);
        SIM_CHECK(out == due, "buffer %u %s", i, out ? "was never given back" : "is used by two");
    }
}

/* Is a receive under way that has not ended, be it that nobody knows yet, nor will by itself? */
static bool receives(const struct sim_ring *ring, int fd)
{
    for (uint32_t i = 0; i < ring->ops_count; i++) {
        const struct sim_op *op = ring->ops[i];
        if (op->kind == SIM_OP_RECV && op->fd == fd && op->state < SIM_OP_NOTIF && !op->doomed)
            return true;
    }
    return false;
}

/* A connection that lives reads, or knows why not. */
static void check_conns(const struct weir_engine *engine, const struct sim_ring *ring)
{
    struct sim_world *world = ring->world;
    for (int i = 0; i < SIM_SOCKS_MAX; i++) {
        const struct sim_sock *sock = &world->socks[i];
        if (sock->kind != SIM_CONNECTED || sock->ring != ring->number || sock->owner == UINT32_MAX)
            continue;
        const struct weir_slot *slot = weir_pool_at(&engine->slots, sock->owner);
        const struct weir_conn *conn = weir_container_of(slot, const struct weir_conn, slot);
        int fd = SIM_FD_FIRST + i;
        SIM_CHECK(slot->used && conn->fd == fd, "descriptor %d belongs to nobody", fd);
        if (conn->state == WEIR_CONN_OPEN)
            SIM_CHECK(conn->recv_armed || conn->recv_paused || conn->eof || conn->finishing,
                      "descriptor %d does not receive, and is not paused", fd);
        if (conn->state == WEIR_CONN_OPEN && conn->recv_paused && !conn->pausing)
            SIM_CHECK(!receives(ring, fd), "descriptor %d is paused, and goes on receiving", fd);
        if (conn->state == WEIR_CONN_LINGERING)
            SIM_CHECK(conn->recv_armed, "descriptor %d lingers without receiving", fd);
        if (conn->state == WEIR_CONN_OPEN || conn->state == WEIR_CONN_LINGERING) {
            SIM_CHECK(sock->recvs <= conn->recv_armed, "descriptor %d receives unasked", fd);
            SIM_CHECK(sock->sends <= conn->send_inflight, "descriptor %d sends unasked", fd);
        }
    }
}

void sim_ring_check(struct weir_engine *engine)
{
    const struct sim_ring *ring = sim_ring_of(engine->ring);
    check_inflight(engine, ring);
    check_bufs(engine, ring);
    check_conns(engine, ring);
    SIM_CHECK(engine->stats.unexpected == 0, "a result that no rule covers");
}

void sim_ring_check_empty(struct weir_engine *engine)
{
    const struct sim_ring *ring = sim_ring_of(engine->ring);
    sim_ring_check(engine);
    SIM_CHECK(engine->chunks.used == 0, "%u chunks of output memory in use", engine->chunks.used);
    SIM_CHECK(engine->stash.used == 0, "%u stash blocks in use", engine->stash.used);
    SIM_CHECK(engine->holds_used == 0, "%u buffers held", engine->holds_used);
    SIM_CHECK(engine->zc_used == 0, "%u zero-copy sends", engine->zc_used);
    SIM_CHECK(engine->slots.used == 1, "%u slots in use", engine->slots.used);
    SIM_CHECK(engine->wheel.set_count == 0, "%llu timers set",
              (unsigned long long)engine->wheel.set_count);
    SIM_CHECK(engine->owners == 0, "%u owners", engine->owners);
    SIM_CHECK(ring->bufs_count == ring->cfg.bufs_count || ring->limbo.count > 0,
              "%u of %u buffers are there", ring->bufs_count, ring->cfg.bufs_count);
}
