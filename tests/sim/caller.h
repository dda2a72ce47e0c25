/* SPDX-License-Identifier: MIT */
/* The asking side, with weir's client: sends every exchange of the plan and checks its answer. */
#ifndef WEIR_TESTS_SIM_CALLER_H
#define WEIR_TESTS_SIM_CALLER_H

#include "holds.h"

struct sim_caller;

struct sim_call {
    struct weir_call call;
    struct sim_caller *caller;
    struct sim_exchange *x;
    char target[16];
    struct weir_header pad;
    uint8_t *body; /* its own, so that what is done to it later is seen */
    struct weir_body_source source;
    uint32_t made_bytes; /* of the body, since its start */
    uint64_t produce_ns; /* its source has more then; 0 = does not wait */
    uint64_t start_ns, cancel_ns;
    uint64_t resume_ns; /* 0 = not paused */
    uint64_t got_bytes;
    bool head;
    bool given_up; /* nothing more of it is to be told but its end */
};

struct sim_caller {
    struct sim_actor actor;
    struct sim_run *run;
    struct weir_engine *engine;
    struct weir_client *client;
    struct sim_holds holds;
    struct sim_call calls[SIM_EXCHANGES_MAX];
    uint32_t done_count;
};

/* `endpoints`: as many as the configuration says. */
void sim_caller_open(struct sim_caller *caller, struct sim_run *run, const char *const *endpoints);
/* Close the client, and what it still has to say must be said. */
void sim_caller_close(struct sim_caller *caller);

#endif
