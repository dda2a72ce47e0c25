/* SPDX-License-Identifier: MIT */
/* The state of the whole mock, put together from all threads: what /metrics and /admin/stats print.
 */
#ifndef MOCK_SNAPSHOT_H
#define MOCK_SNAPSHOT_H

#include "mock/limiter.h"
#include "mock/options.h"
#include "mock/stats.h"

/* Connections of one thread. */
struct snapshot_thread {
    uint64_t conns_active, conns_total;
    uint64_t handed_over, taken_over; /* to and from other threads, to level them */
};

struct snapshot {
    struct stats stats;
    /* Summed over the threads. */
    uint64_t in_flight; /* delayed requests that are not answered yet, waiting ones included */
    uint64_t conns_active, conns_total;
    uint64_t refused; /* answered by the HTTP server itself: malformed requests, limits, timeouts */
    uint64_t uring_enters, uring_sqes, uring_cq_overflows;
    uint64_t journal_recorded, journal_dropped, journal_capacity;
    /* Of the process. */
    struct limiter_view limiter;
    uint32_t threads;
    struct snapshot_thread by_thread[OPTIONS_THREADS_MAX];
    double uptime_s;
    double cpu_s;
    uint64_t resident_bytes;
};

/* Forget everything but the histograms' memory. */
void snapshot_reset(struct snapshot *snapshot);

/* Processor time and memory of this process. */
void snapshot_read_process(struct snapshot *snapshot);

#endif
