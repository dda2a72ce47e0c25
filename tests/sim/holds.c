/* SPDX-License-Identifier: MIT */
#include "holds.h"

#include "ring_sim.h"

#include <errno.h>

void sim_holds_take(struct sim_holds *holds, struct weir_slice piece)
{
    struct sim_world *world = holds->run->world;
    if (piece.len == 0 || holds->count == SIM_HOLDS_MAX ||
        !sim_chance(world, holds->run->config.hold_per_million))
        return;
    int rc = weir_slice_hold(holds->engine, piece);
    if (rc < 0) {
        SIM_CHECK(rc == -ENOBUFS || rc == -EINVAL, "a hold fails with %s", weir_err_name(rc));
        return;
    }
    uint64_t until = world->now_ns + sim_below(world, 5 * SIM_MS);
    holds->at[holds->count++] = (struct sim_hold){
        .piece = piece,
        .sum = sim_sum(0, piece.ptr, piece.len),
        .until_ns = until,
    };
    sim_wake_at(world, until);
}

bool sim_holds_step(struct sim_holds *holds, bool all)
{
    uint32_t before = holds->count;
    for (uint32_t i = 0; i < holds->count;) {
        struct sim_hold *hold = &holds->at[i];
        if (!all && hold->until_ns > holds->run->world->now_ns) {
            i++;
            continue;
        }
        SIM_CHECK(hold->sum == sim_sum(0, hold->piece.ptr, hold->piece.len),
                  "a buffer that is held was written to");
        weir_slice_release(holds->engine, hold->piece);
        *hold = holds->at[--holds->count];
    }
    return holds->count < before;
}
