/* SPDX-License-Identifier: MIT */
/* Receive buffers that an application holds for a while: they must not change meanwhile. */
#ifndef WEIR_TESTS_SIM_HOLDS_H
#define WEIR_TESTS_SIM_HOLDS_H

#include "plan.h"

#define SIM_HOLDS_MAX 8

struct sim_hold {
    struct weir_slice piece;
    uint64_t sum;
    uint64_t until_ns;
};

struct sim_holds {
    struct sim_run *run;
    struct weir_engine *engine;
    struct sim_hold at[SIM_HOLDS_MAX];
    uint32_t count;
};

/* In a callback that was given `piece`: perhaps hold it. */
void sim_holds_take(struct sim_holds *holds, struct weir_slice piece);
/* Let go of those whose time has come; of all of them. @return was there one? */
bool sim_holds_step(struct sim_holds *holds, bool all);

#endif
