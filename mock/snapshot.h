/* SPDX-License-Identifier: MIT */
/* The state of the whole mock, put together from all threads: what /metrics and /admin/stats print.
 */
#ifndef MOCK_SNAPSHOT_H
#define MOCK_SNAPSHOT_H

#include "mock/limiter.h"
#include "mock/options.h"
#include "mock/stats.h"

/* Counters of the engines that are shown, by their names in struct weir_engine_stats. */
#define SNAPSHOT_ENGINE(XX)                                                                        \
    XX(passes, "Passes of the loop.")                                                              \
    XX(enters, "Kernel entries.")                                                                  \
    XX(sqes, "Operations submitted.")                                                              \
    XX(cqes, "Completions reaped.")                                                                \
    XX(cq_overflows, "Passes that found the completion queue overflowed.")                         \
    XX(spins, "Waits that began by spinning.")                                                     \
    XX(spin_hits, "Spins that ended with a completion.")                                           \
    XX(sleeps, "Waits that slept in the kernel.")                                                  \
    XX(accept_paused, "Times accepting paused.")                                                   \
    XX(recv_starved, "Receives that found no buffer.")                                             \
    XX(send_partial, "Sends that the kernel cut short.")                                           \
    XX(zc_sends, "Zero-copy sends.")                                                               \
    XX(zc_copied, "Zero-copy sends that were copied all the same.")                                \
    XX(unexpected, "Results that no rule covers.")

struct snapshot_engine {
#define XX(name, help) uint64_t name;
    SNAPSHOT_ENGINE(XX)
#undef XX
};

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
    struct snapshot_engine engine;
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
