/* SPDX-License-Identifier: MIT */
/*
 * The threads that make the load: each has an engine, a client and its share of the connections,
 * and sends every call again as soon as it has ended.
 *
 *   open -> all threads ready -> start -> (warm-up) -> window -> drain -> ended -> close
 *
 * A response counts when its end lies in [window begin, window end) on the thread's own clock:
 * exact whatever the timers do. Calls that are in flight when the window ends are waited for, and
 * count only when they fail.
 */
#ifndef WEIR_PERF_WORKER_H
#define WEIR_PERF_WORKER_H

#include "perf/options.h"
#include "perf/result.h"

struct bench_load;

/*
 * Start the threads and wait until each has opened its engine and its client. `event_fd` becomes
 * readable when a thread has ended or answered a sample. The options must outlive the load.
 * @return 0; -EINVAL the options do not suit the client; another error of the system or of weir.
 * `error` tells
 */
int bench_load_open(struct bench_load **out, const struct bench_options *options, int event_fd,
                    char error[BENCH_ERROR_TEXT_BYTES]);

/* Let the load begin; the window begins at `window_begin_ns` of weir_clock_ns(). Once. */
void bench_load_start(struct bench_load *load, uint64_t window_begin_ns);

/* End it now: what is in flight is dropped and not counted. Any number of times, before or after
 * start. */
void bench_load_stop(struct bench_load *load);

/* Have all threads finished measuring? They may still wait for late answers. */
bool bench_load_measured(struct bench_load *load);
/* Have all threads ended? */
bool bench_load_ended(struct bench_load *load);

/* What was counted in the window since the sample before. */
struct bench_sample {
    struct weir_hist *latency_us; /* the caller's, reset before it is filled */
    uint64_t done;                /* totals since the window began */
    uint64_t errors;
};

/* Ask all threads for a sample; event_fd tells when they have answered. No effect while one is
 * under way. */
void bench_load_sample_begin(struct bench_load *load);
/* @return true and the sample once, when every thread has answered or ended */
bool bench_load_sample_finish(struct bench_load *load, struct bench_sample *out);

/*
 * Join the threads, merge what they counted into `result` (tally, latency_us, window_ns,
 * bytes_received, answered; NULL = not wanted) and release the load, which must have been started
 * or stopped.
 * @return 0, or the first error that ended a thread early (`error` tells; the result is filled all
 * the same)
 */
int bench_load_close(struct bench_load *load, struct bench_result *result,
                     char error[BENCH_ERROR_TEXT_BYTES]);

#endif
