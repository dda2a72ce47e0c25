/* SPDX-License-Identifier: MIT */
/**
 * Latency distributions: one text says how long something takes, and each draw is a pure function of the distribution and
 * (seed, key, draw), so that the delay for a key does not depend on threads, order or what else was drawn.
 *
 * A distribution is parsed once and never changes: any number of threads may use it at once. See docs/latency.md for the
 * formulas.
 */
#ifndef WEIR_DIST_H
#define WEIR_DIST_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_dist;

/** No duration in a distribution and no draw is longer: 2400 hours, in ns. */
#define WEIR_DIST_NS_MAX UINT64_C(8640000000000000)

/** Parts of a mixture. */
#define WEIR_DIST_PARTS_MAX 16

/** Points of all percentile tables of a distribution. */
#define WEIR_DIST_POINTS_MAX 4096

/**
 * Read a distribution:
 *   - "5ms" or "fixed:5ms": always that
 *   - "uniform:min=1ms,max=9ms": each duration between them equally likely
 *   - "normal:mean=5ms,stddev=500us": what is below 0 counts as 0
 *   - "lognormal:median=5ms,p99=20ms": the median (or p50) and a higher percentile (p90, p99.9), or sigma=0.6, the standard
 *     deviation of the logarithm
 *   - "exponential:mean=5ms"
 *   - "gamma:mean=5ms,shape=2": shape 0.05 ... 10000; 1 is exponential, less has a heavier tail
 *   - "pareto:min=2ms,alpha=2.5": the share above x is min / x to the power of alpha
 *   - "table:0=800us,50=1.2ms,99=9ms,100=90ms": percentiles, straight lines between them; the last is 100; what is below the
 *     first is as the first
 *   - "hgrm:file=prod.hgrm,unit=us": the percentiles of a measured system as HdrHistogram prints them, alone or in the output
 *     of wrk2; unit: of its values, ns, us, ms, s or a duration, us if not said
 *   - "mix:0.95*fixed:5ms;0.05*lognormal:median=50ms,p99=200ms": each part with that probability; they add up to 1
 *
 * Durations are written as for weir_parse_duration_ns(), other numbers as decimals of at most 15 digits. Except for fixed
 * and uniform there may be ",max=200ms", and except for pareto ",min=1ms" too: what is drawn beyond counts as the limit.
 * The name of a file can have neither ',' nor ';' in it; the file is read now and never again. A mixture holds no mixture.
 * @param out  the caller's, released by weir_dist_close()
 * @return 0, or -EINVAL when it is not a distribution; -ERANGE when a number is too large or too small; -ENOMEM when
 *         there is no memory; -errno when the file cannot be read. On error *out is untouched and weir_error_text() names the
 *         field. Any thread
 */
WEIR_API WEIR_MUST_USE int weir_dist_parse(struct weir_dist **out, const char *text);

/** Nobody may be using it. NULL is allowed. Any thread. */
WEIR_API void weir_dist_close(struct weir_dist *dist);

/**
 * One duration in ns, 0 ... WEIR_DIST_NS_MAX: a pure function of its arguments, made of exactly one number,
 * weir_random_u64(seed, key, draw). No allocation, no locks; tens of nanoseconds. Any thread.
 */
WEIR_API uint64_t weir_dist_draw_ns(const struct weir_dist *dist, uint64_t seed, uint64_t key,
                                    uint64_t draw);

/**
 * The duration that a draw does not exceed with probability `p`, 0.99 for the 99th percentile. `p` is clamped to [0, 1]; at
 * 0 and 1 it is the lowest and the highest duration there can be: 0 and WEIR_DIST_NS_MAX when the distribution has no limit
 * of its own. Any thread. Up to half a millisecond for each part of a mixture.
 */
WEIR_API uint64_t weir_dist_quantile_ns(const struct weir_dist *dist, double p);

/** The mean in ns, with the limits taken into account: what the draws average to. Any thread. */
WEIR_API double weir_dist_mean_ns(const struct weir_dist *dist);

/**
 * Write it as text that weir_dist_parse() reads as the same distribution. An hgrm file is named, not copied.
 * @param capacity  of `out`, with room for a NUL
 * @return bytes written without the NUL; -ENOBUFS when `capacity` is too small. Any thread
 */
WEIR_API WEIR_MUST_USE int64_t weir_dist_format(char *out, size_t capacity,
                                                const struct weir_dist *dist);

#ifdef __cplusplus
}
#endif

#endif
