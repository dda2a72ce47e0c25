/* SPDX-License-Identifier: MIT */
/*
 * What a run counted. A tally belongs to one thread while it grows, and is merged with those of the
 * other threads when they have ended.
 */
#ifndef WEIR_PERF_RESULT_H
#define WEIR_PERF_RESULT_H

#include <weir/base.h>
#include <weir/hist.h>

/* name, key in the report. In the order of a request's life. */
#define BENCH_ERRORS(XX)                                                                           \
    XX(CONNECT_REFUSED, "connect_refused")                                                         \
    XX(CONNECT_TIMEOUT, "connect_timeout")                                                         \
    XX(CONNECT_OTHER, "connect_other")                                                             \
    XX(CLOSED, "closed_before_response")                                                           \
    XX(TRUNCATED, "truncated")                                                                     \
    XX(RESET, "reset")                                                                             \
    XX(PROTOCOL, "protocol")                                                                       \
    XX(LIMIT, "limit")                                                                             \
    XX(TIMEOUT, "timeout")                                                                         \
    XX(STATUS_3XX, "status_3xx")                                                                   \
    XX(STATUS_4XX, "status_4xx")                                                                   \
    XX(STATUS_5XX, "status_5xx")                                                                   \
    XX(STATUS_OTHER, "status_other")

enum bench_error {
#define XX(name, key) BENCH_ERROR_##name,
    BENCH_ERRORS(XX)
#undef XX
        BENCH_ERROR_COUNT
};

/* The key of an error kind in the report. Static. */
const char *bench_error_key(enum bench_error error);

#define BENCH_STATUS_COUNT 1000
#define BENCH_OTHERS_MAX   16

/* An error that no kind covers, told by the name of its result. */
struct bench_other {
    int err;
    uint64_t count;
};

struct bench_tally {
    uint64_t ok;        /* 2xx */
    uint64_t reused;    /* responses that came on a connection that had carried a request before */
    uint64_t responses; /* with any status */
    uint64_t failures;  /* calls that ended without a complete response */
    uint64_t others_lost;  /* errors beyond BENCH_OTHERS_MAX different ones */
    int connect_other_err; /* the last errno behind BENCH_ERROR_CONNECT_OTHER, negative */
    uint64_t errors[BENCH_ERROR_COUNT];
    struct bench_other others[BENCH_OTHERS_MAX]; /* filled from the front */
    uint64_t status[BENCH_STATUS_COUNT];
};

static inline bool bench_status_is_ok(uint16_t status)
{
    return (uint16_t)(status - 200) < 100;
}

/* Count a complete response: the hot path of the load generator. */
static inline void bench_tally_response(struct bench_tally *tally, uint16_t status, bool reused)
{
    tally->responses++;
    tally->reused += reused;
    tally->ok += bench_status_is_ok(status);
    tally->status[status < BENCH_STATUS_COUNT ? status : 0]++;
}

/* Count a call that ended with `err` (of on_end), `os_err` being the errno behind it or 0. */
void bench_tally_failure(struct bench_tally *tally, int err, int os_err);

void bench_tally_merge(struct bench_tally *into, const struct bench_tally *from);

/* Fill the kinds that are sums over status codes. Once, when all is merged. */
void bench_tally_finish(struct bench_tally *tally);

static inline uint64_t bench_tally_done(const struct bench_tally *tally)
{
    return tally->responses + tally->failures;
}

static inline uint64_t bench_tally_error_count(const struct bench_tally *tally)
{
    return bench_tally_done(tally) - tally->ok;
}

/* A measured run, ready for the report. */
struct bench_result {
    struct bench_tally tally;
    struct weir_hist *latency_us; /* of 2xx responses; the result's own */
    uint64_t window_ns;           /* what was measured, warm-up excluded */
    uint64_t bytes_received;      /* by the sockets, in the window */
    double client_cpu_us;         /* in the window */
    double server_cpu_us;
    bool server_cpu_known;
    bool answered; /* any response at all, warm-up included */
};

/* @return 0 or what weir_hist_open() returns */
int bench_result_init(struct bench_result *result);
void bench_result_deinit(struct bench_result *result);

/* The histogram of all latencies: 1 us ... 1 h, three digits. */
int bench_latency_open(struct weir_hist **out);

#endif
