/* SPDX-License-Identifier: MIT */
/*
 * The asking side, scripted: one connection that sends its share of the exchanges, pipelined, split
 * at random points, and checks what comes back against the plan, in order.
 */
#ifndef WEIR_TESTS_SIM_DIALER_H
#define WEIR_TESTS_SIM_DIALER_H

#include "message.h"

struct sim_dialer {
    struct sim_actor actor;
    struct sim_run *run;
    int fd; /* -1: closed */
    uint32_t ids[SIM_EXCHANGES_MAX];
    uint32_t ids_count, answered_count;
    struct sim_text out, in;
    uint64_t next_write_ns, next_read_ns;
    uint64_t reset_after; /* bytes written; UINT64_MAX: never */
    uint32_t slow;        /* one in so many steps rests */
    bool garbage;         /* what follows the requests is none */
    bool half_close;      /* after the last byte was written */
    bool begun, shut, ended, refused;
};

void sim_dialer_open(struct sim_dialer *dialer, struct sim_run *run, uint32_t index, uint16_t port);
void sim_dialer_close(struct sim_dialer *dialer);

#endif
