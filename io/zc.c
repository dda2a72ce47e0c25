/* SPDX-License-Identifier: MIT */
/*
 * A record's life:
 *
 *     weir_zc_send() --> SENDING --result, more to come--> HELD --notification--> free
 *                           \---result, the last-----------------------------------^
 *
 * SENDING counts as the connection's operation; HELD belongs to nobody but the segment.
 */
#include "io/zc.h"
#include "core/probe.h"
#include "io/conn.h"

#include <errno.h>

struct zc {
    struct weir_slot slot;
    struct weir_conn *conn; /* NULL: the result came */
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

static void on_done(struct weir_engine *engine, struct weir_slot *slot,
                    const struct weir_done *done)
{
    struct zc *z = weir_container_of(slot, struct zc, slot);
    if (z->conn != NULL) {
        /* Whatever refuses this way of sending says nothing about the connection. */
        bool refused = done->res == -EOPNOTSUPP || done->res == -ENOMEM || done->res == -EINVAL;
        struct weir_conn *conn = z->conn;
        z->conn = NULL;
        if (refused)
            weir_zc_policy_report(z->policy, true);
        weir_conn_sent_zc(conn, refused ? -EAGAIN : done->res);
    } else {
        bool copied = (uint32_t)done->res & WEIR_ZC_COPIED_FLAG;
        WEIR_ASSERT(done->notif && done->last);
        engine->stats.zc_copied += copied;
        WEIR_PROBE2(zero_copy, engine, copied);
        weir_zc_policy_report(z->policy, copied);
    }
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
    z->seg = seg;
    z->policy = conn->zc;
    seg->zc_pending++;
    engine->stats.zc_sends++;
    weir_op_send_zc(engine, slot, conn->fd, (struct weir_slice){ seg->ptr, conn->sending_bytes });
    return true;
}
