/* SPDX-License-Identifier: MIT */
/*
 * The answering side, scripted: a server that checks what weir's client sends and answers as the
 * plan says, in all the spellings that a response has, split at random points.
 */
#ifndef WEIR_TESTS_SIM_ORIGIN_H
#define WEIR_TESTS_SIM_ORIGIN_H

#include "message.h"

#define SIM_ORIGIN_CONNS 16

struct sim_origin_conn {
    int fd; /* -1: free */
    struct sim_text in, out;
    uint64_t next_ns;    /* rests until then */
    uint64_t requests;   /* taken */
    uint32_t slow;       /* one in so many steps rests */
    bool mute;           /* answers nothing any more */
    bool closing;        /* ends when all is written */
    bool reset;          /* in the other way */
    bool shut, read_end; /* our, its direction */
};

struct sim_origin {
    struct sim_actor actor;
    struct sim_run *run;
    int fd;
    struct sim_origin_conn conns[SIM_ORIGIN_CONNS];
    char endpoint[64];
};

void sim_origin_open(struct sim_origin *origin, struct sim_run *run);
void sim_origin_close(struct sim_origin *origin);

#endif
