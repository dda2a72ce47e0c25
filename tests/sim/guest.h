/* SPDX-License-Identifier: MIT */
/*
 * Who comes to weir-mock without weir's client: one connection with one request, as HTTP/1.1 or
 * HTTP/1.0, that may end its own direction of the connection before it has its answer, or go away.
 */
#ifndef WEIR_TESTS_SIM_GUEST_H
#define WEIR_TESTS_SIM_GUEST_H

#include "message.h"
#include "plan.h"

struct sim_office;

struct sim_guest {
    struct sim_actor actor;
    struct sim_office *office;
    int fd; /* -1: closed */
    struct sim_text out, in;
    uint64_t start_ns, leave_ns;
    bool begun, shut, ended;
    bool old;        /* HTTP/1.0 */
    bool half_close; /* after the last byte was written */
    bool patient;    /* does not go away before it must have its answer */
};

void sim_guest_open(struct sim_guest *guest, struct sim_office *office, uint32_t index);
void sim_guest_close(struct sim_guest *guest);

#endif
