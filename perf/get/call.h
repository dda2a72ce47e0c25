/* SPDX-License-Identifier: MIT */
/* One of the calls of a run: sent, written as the options ask, sent again for the next one. */
#ifndef WEIR_PERF_GET_CALL_H
#define WEIR_PERF_GET_CALL_H

#include "perf/get/run.h"

#include <weir/sse.h>

struct get_call {
    struct weir_call call;
    struct get_run *run;
    uint64_t number;       /* of the call in the run, from 0 */
    uint64_t body_bytes;   /* handed out, decoded */
    uint64_t events_count; /* of a text/event-stream */
    struct get_text head;  /* --json: the header fields */
    struct get_text body;  /* what is written at its end, since others are in flight meanwhile */
    bool refused;          /* --fail: its body is not written */
    int err;               /* why it was cancelled by this program; 0 = it was not */
    struct weir_sse_reader reader; /* --stream */
    uint8_t *reader_memory;
    struct get_call *next_parked;
};

/* @return 0, or -ENOMEM */
int get_calls_open(struct get_run *run);
void get_calls_close(struct get_run *run);
/* Begin the first ones. */
void get_calls_fill(struct get_run *run);
/* Give up all that are in flight; their ends follow. */
void get_calls_cancel(struct get_run *run);

#endif
