/* SPDX-License-Identifier: MIT */
/*
 * What one thread counts. Plain memory, written and read by its own thread only; another thread
 * learns of it by sending a task that merges it into a struct stats of its own (see admin.c).
 */
#ifndef MOCK_STATS_H
#define MOCK_STATS_H

#include "mock/endpoint.h"

#include <weir/hist.h>

/* Every status that an exchange can end with. */
enum stats_code {
    STATS_200,
    STATS_400,
    STATS_404,
    STATS_405,
    STATS_408,
    STATS_413,
    STATS_500,
    STATS_503,
    STATS_CODE_COUNT
};

/* Where a request was when its client went away. */
enum stats_phase { STATS_BODY, STATS_QUEUED, STATS_DELAYED, STATS_ANSWERED, STATS_PHASE_COUNT };

struct stats {
    uint64_t requests[ENDPOINT_COUNT][METHOD_COUNT][STATS_CODE_COUNT]; /* answered */
    uint64_t faults;
    uint64_t disconnects[STATS_PHASE_COUNT];
    uint64_t unanswered;  /* given up: no memory for the answer */
    uint64_t batch_items; /* infer requests that came in batches */
    struct weir_hist *latency_ns[ENDPOINT_COUNT];
    struct weir_hist *schedule_error_ns; /* answer given less answer due */
    struct weir_hist *queue_wait_ns;
};

/* @return 0 or -ENOMEM; on error nothing is left behind */
int stats_open(struct stats *stats);
void stats_close(struct stats *stats);
void stats_reset(struct stats *stats);

/* Add `from` to `into`. Both must be open. */
void stats_merge(struct stats *into, const struct stats *from);

uint16_t stats_status(enum stats_code code);
const char *stats_phase_name(enum stats_phase phase);

/* Answers with this status, all endpoints and methods. */
uint64_t stats_count_code(const struct stats *stats, enum stats_code code);
/* Answers of this endpoint, all methods and statuses. */
uint64_t stats_count_endpoint(const struct stats *stats, enum endpoint endpoint);

static inline void stats_answered(struct stats *stats, enum endpoint endpoint, enum method method,
                                  enum stats_code code, uint64_t latency_ns)
{
    stats->requests[endpoint][method][code]++;
    weir_hist_record(stats->latency_ns[endpoint], latency_ns);
}

#endif
