/* SPDX-License-Identifier: MIT */
/* The state of the whole mock, put together from all threads: what /metrics and /admin/stats print.
 */
#ifndef MOCK_SNAPSHOT_H
#define MOCK_SNAPSHOT_H

#include "mock/config/config.h"
#include "mock/control/saturation.h"
#include "mock/control/stats.h"
#include "mock/limit/limiter.h"
#include "mock/model/model_engine.h"
#include "mock/model/residency.h"
#include "mock/options.h"

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

/* What one thread has of its own. */
struct snapshot_thread {
    uint64_t conns_active, conns_total;
    uint64_t handed_over, taken_over; /* to and from other threads, to level them */
    bool has_batch;                   /* engines of kind batch run on it */
    struct model_engine_stats batch;  /* of all of them */
    struct saturation_view saturation;
};

/* The counts of one model on one thread, which is an engine of its own to vLLM's metrics. */
struct snapshot_replica {
    uint32_t thread, model;
    struct stats_model counts;
    struct model_engine_stats batch; /* of its engine, if that is of kind batch */
};

/* The log of requests that is written to a file. */
struct snapshot_log {
    bool on;
    uint64_t written, dropped; /* records; dropped: its writer did not keep up */
    uint64_t failed;           /* errors of writing */
};

struct snapshot {
    struct stats stats;                /* of all threads */
    struct snapshot_replica *replicas; /* one for each model that was used on a thread */
    uint32_t replicas_count, replicas_capacity;
    bool failed; /* no memory for a replica: the snapshot is incomplete */
    /* Summed over the threads. */
    uint64_t in_flight; /* delayed requests that are not answered yet, waiting ones included */
    uint64_t streams_active;
    uint64_t conns_active, conns_total;
    uint64_t refused; /* answered by the HTTP server itself: malformed requests, limits, timeouts */
    struct snapshot_engine engine;
    uint64_t journal_recorded, journal_dropped, journal_capacity;
    /* Of the process. */
    const struct config *config; /* held by who fills this, until it is written; NULL: no models */
    struct residency residency;  /* copied at now_ns */
    uint64_t now_ns;
    int64_t unix_s;
    struct limiter_view limiter;
    struct snapshot_log request_log;
    uint32_t threads;
    struct snapshot_thread by_thread[OPTIONS_THREADS_MAX];
    double uptime_s;
    double cpu_s;
    uint64_t resident_bytes;
};

/* @return 0 or -ENOMEM; on error nothing is left behind */
int snapshot_open(struct snapshot *snapshot);
void snapshot_close(struct snapshot *snapshot);

/* Forget everything but the memory. */
void snapshot_reset(struct snapshot *snapshot);

/* Add what `thread` counted, once for each. On that thread. */
void snapshot_add(struct snapshot *snapshot, uint32_t thread, const struct stats *stats);

/* The batch engine of `model` on `thread`: behind snapshot_add() of the thread. On that thread. */
void snapshot_add_batch(struct snapshot *snapshot, uint32_t thread, uint32_t model,
                        const struct model_engine_stats *stats);

/* `model` on `thread`; zeroes if it was not used there. */
const struct snapshot_replica *snapshot_replica(const struct snapshot *snapshot, uint32_t thread,
                                                uint32_t model);

/* Of all threads together. */
struct saturation_view snapshot_saturation(const struct snapshot *snapshot);

/* Models of the configuration, 0 without one. */
uint32_t snapshot_models_count(const struct snapshot *snapshot);

/* How many of them can be used now. */
uint32_t snapshot_loaded_count(const struct snapshot *snapshot);

/* Processor time and memory of this process. */
void snapshot_read_process(struct snapshot *snapshot);

#endif
