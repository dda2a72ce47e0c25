/* SPDX-License-Identifier: MIT */
/* The answering side, with weir's server: checks every request, and answers as the plan says. */
#ifndef WEIR_TESTS_SIM_SITE_H
#define WEIR_TESTS_SIM_SITE_H

#include "holds.h"

#define SIM_PIECES_MAX 4
/* Times one request is served: sent again for its status, or for its connection's end. */
#define SIM_SERVED_MAX (4 + SIM_REPLAYS_MAX)

struct sim_served;

struct sim_piece {
    struct weir_piece piece;
    struct sim_served *served;
    bool out;
};

/* An exchange in progress. */
struct sim_served {
    struct sim_site *site;
    struct sim_exchange *x;
    struct weir_exchange *exchange; /* NULL: not begun, or over */
    struct weir_timer timer;        /* the answer is due */
    uint64_t got_bytes;
    bool begun, given;
    uint8_t *memory; /* of a borrowed answer */
    uint64_t put_bytes;
    struct sim_piece pieces[SIM_PIECES_MAX];
    uint32_t pieces_out;
    bool retry; /* wait for on_writable */
};

struct sim_site {
    struct sim_actor actor;
    struct sim_run *run;
    struct weir_engine *engine;
    struct weir_server *server;
    struct sim_holds holds;
    struct sim_served served[SIM_EXCHANGES_MAX][SIM_SERVED_MAX];
    uint32_t now_count; /* exchanges in progress */
    bool draining, drained;
};

void sim_site_open(struct sim_site *site, struct sim_run *run);
/* Drain it, if the plan says so, in the middle of everything. */
void sim_site_drain(struct sim_site *site);
void sim_site_close(struct sim_site *site);

#endif
