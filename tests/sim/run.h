/* SPDX-License-Identifier: MIT */
/* One run: a world from a seed, two sides in it, and a driver that lets both have their turns. */
#ifndef WEIR_TESTS_SIM_RUN_H
#define WEIR_TESTS_SIM_RUN_H

#include "plan.h"

struct sim_options {
    uint64_t seed;
    enum sim_scene scene; /* SIM_SCENE_COUNT: any */
    int canary;           /* enum sim_canary */
    bool verbose;
    bool blind; /* do not look into the engines: what they do must tell */
    /* Change the configuration that the seed gave; NULL: do not. */
    void (*adjust)(struct sim_run *run, void *arg);
    void *arg;
};

/* What a run tells. */
struct sim_outcome {
    uint64_t hits[SIM_FAULT_COUNT];
    uint64_t steps, virtual_ns;
    uint32_t exchanges, failed;
    struct sim_tally tally;
    uint64_t digest; /* of all that happened: the same for the same seed */
    uint64_t recv_starved, send_partial, cq_overflows, stale_cqes, accept_paused, zc_sends;
};

/* Whatever goes wrong ends the process: see sim_fail(). */
struct sim_outcome sim_run(const struct sim_options *options);

#endif
