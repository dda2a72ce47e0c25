/* SPDX-License-Identifier: MIT */
/* weir-mock's server, whole, and weir's client that asks it for everything it has. */
#ifndef WEIR_TESTS_SIM_OFFICE_H
#define WEIR_TESTS_SIM_OFFICE_H

#include "guest.h"
#include "plan.h"
#include "settings.h"
#include "visit.h"

#include "mock/app.h"

/* Configurations of one run that are looked at when it is over. */
#define SIM_CONFIGS_MAX 64
#define SIM_GUESTS_MAX  4

struct sim_office {
    struct sim_actor actor;
    struct sim_run *run;
    struct sim_settings settings;
    struct options options;
    struct mock mock;
    struct app app;
    struct app *apps[1];
    struct config *configs[SIM_CONFIGS_MAX]; /* held, the present one is the last */
    uint32_t configs_count;
    struct weir_client *client;
    struct sim_visit visits[SIM_EXCHANGES_MAX];
    struct sim_guest guests[SIM_GUESTS_MAX];
    uint32_t guests_count;
    uint32_t done_count;
    bool draining;
    char endpoint[64];
};

/* Opens run->engines[1]; run->engines[0], the client's, is open. */
void sim_office_open(struct sim_office *office, struct sim_run *run);
/* Close client and server, the latter with its engine. */
void sim_office_close(struct sim_office *office);

#endif
