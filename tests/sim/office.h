/* SPDX-License-Identifier: MIT */
/* weir-mock's server, whole, and weir's client that asks it for everything it has. */
#ifndef WEIR_TESTS_SIM_OFFICE_H
#define WEIR_TESTS_SIM_OFFICE_H

#include "plan.h"

#include "mock/app.h"

struct sim_ask {
    const char *method, *target, *body;
    uint16_t status;
    const char *needle; /* a part of the answer; NULL: it has no body */
};

struct sim_visit {
    struct weir_call call;
    struct sim_office *office;
    const struct sim_ask *ask;
    struct sim_exchange *x;
    uint64_t start_ns;
    char got[16384];
    size_t got_bytes;
};

struct sim_office {
    struct sim_actor actor;
    struct sim_run *run;
    struct options options;
    struct mock mock;
    struct app app;
    struct app *apps[1];
    struct weir_client *client;
    struct sim_visit visits[SIM_EXCHANGES_MAX];
    uint32_t done_count;
    char endpoint[64];
};

/* Opens run->engines[1]; run->engines[0], the client's, is open. */
void sim_office_open(struct sim_office *office, struct sim_run *run);
/* Close client and server, the latter with its engine. */
void sim_office_close(struct sim_office *office);

#endif
