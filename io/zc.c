/* SPDX-License-Identifier: MIT */
/*
 * A record's life:
 *
 *     weir_zc_send() --> SENDING --result, more to come--> HELD --notification--> free
 *                           \---result, the last-----------------------------------^
 *
 * SENDING counts as the connection's operation. While one is HELD a connection that was ended in
 * order keeps its socket, so that it can still be reset; one that is reset does not wait.
 */
#include "io/zc.h"
#include "core/probe.h"
#include "io/conn.h"

#include <errno.h>

struct zc {
    struct weir_slot slot;
    struct weir_conn *conn;
    uint32_t conn_gen; /* of its slot: the connection may be gone before the notification */
    bool sent;         /* the result came */
    struct weir_seg *seg;
    struct weir_zc_policy *policy;
};

_Static_assert(sizeof(struct zc) <= WEIR_SLOT_BYTES, "a record fits into a slot");

bool weir_zc_policy_try(struct weir_zc_policy *policy)
{
    if (policy->skip == 0)
        return true;
    policy->skip--;
    return false;
}

void weir_zc_policy_report(struct weir_zc_policy *policy, bool copied)
{
    if (!copied) {
        *policy = (struct weir_zc_policy){ 0 };
        return;
    }
    uint32_t next = policy->skip_next == 0 ? 16 : policy->skip_next;
    policy->skip = next;
    policy->skip_next = (uint32_t)weir_min_u64((uint64_t)next * 2, WEIR_ZC_SKIP_MAX);
}

static void zc_free(struct weir_engine *engine, struct zc *z)
{
    struct weir_seg *seg = z->seg;
    weir_slot_put_zc(engine, &z->slot);
    weir_seg_zc_done(engine, seg);
}

/* The result of the send; the connection is there, since it waits for it. */
static void zc_sent(struct zc *z, const struct weir_done *done)
{
    /* Whatever refuses this way of sending says nothing about the connection. */
    bool refused = done->res == -EOPNOTSUPP || done->res == -ENOMEM || done->res == -EINVAL ||
                   done->res == -EFAULT;
    z->sent = true;
    if (refused)
        weir_zc_policy_report(z->policy, true);
    z->conn->zc_held += !done->last;
    weir_conn_sent_zc(z->conn, refused ? -EAGAIN : done->res);
}

static void zc_notified(struct weir_engine *engine, struct zc *z, const struct weir_done *done)
{
    bool copied = (uint32_t)done->res & WEIR_ZC_COPIED_FLAG;
    WEIR_ASSERT(done->notif && done->last);
    engine->stats.zc_copied += copied;
    WEIR_PROBE2(zero_copy, engine, copied);
    weir_zc_policy_report(z->policy, copied);
    if (z->conn->slot.used && z->conn->slot.gen == z->conn_gen)
        weir_conn_freed_zc(z->conn);
}

static void on_done(struct weir_engine *engine, struct weir_slot *slot,
                    const struct weir_done *done)
{
    struct zc *z = weir_container_of(slot, struct zc, slot);
    if (!z->sent)
        zc_sent(z, done);
    else
        zc_notified(engine, z, done);
    if (done->last)
        zc_free(engine, z);
}

bool weir_zc_send(struct weir_conn *conn)
{
    struct weir_engine *engine = conn->engine;
    struct weir_seg *seg = conn->out.first;
    if (!engine->can_zc || seg->zc_pending == UINT16_MAX || !weir_zc_policy_try(conn->zc))
        return false;
    struct weir_slot *slot = weir_slot_get_zc(engine);
    if (slot == NULL)
        return false;
    weir_engine_set_handler(engine, WEIR_OP_SEND_ZC, on_done);
    struct zc *z = weir_container_of(slot, struct zc, slot);
    z->conn = conn;
    z->conn_gen = conn->slot.gen;
    z->seg = seg;
    z->policy = conn->zc;
    seg->zc_pending++;
    engine->stats.zc_sends++;
    weir_op_send_zc(engine, slot, conn->fd, (struct weir_slice){ seg->ptr, conn->sending_bytes });
    return true;
}
