/* SPDX-License-Identifier: MIT */
/**
 * High dynamic range histogram: counts of values with a relative error below 10^-digits, in fixed memory.
 *
 * Values are plain integers; weir records nanoseconds or microseconds, the caller's choice. One thread
 * records; a reader on another thread must be given a copy or wait.
 */
#ifndef WEIR_HIST_H
#define WEIR_HIST_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_hist;

/** Shape of a histogram. */
struct weir_hist_config {
    uint32_t size;
    uint64_t lowest;   /**< values below count as this; >= 1. Default 1 */
    uint64_t highest;  /**< values above count as this, and as clipped. Default 3,600,000,000 (1 h in us) */
    uint32_t digits;   /**< significant decimal digits, 1 ... 4. Default 3 */
};
/** Fill `cfg` with the defaults. Use the macro, which passes the size your code was compiled with. */
WEIR_API void weir_hist_config_init_size(struct weir_hist_config *cfg, uint32_t size);
#define weir_hist_config_init(cfg) weir_hist_config_init_size((cfg), sizeof(*(cfg)))

/** Bytes a histogram of this shape takes; -EINVAL for an impossible shape (weir_error_text() tells). Any thread. */
WEIR_API int64_t weir_hist_memory_bytes(const struct weir_hist_config *cfg);

/** @return 0; -EINVAL as above; -ENOMEM. *out is the caller's, released by weir_hist_close(). */
WEIR_API WEIR_MUST_USE int weir_hist_open(struct weir_hist **out, const struct weir_hist_config *cfg);
WEIR_API void weir_hist_close(struct weir_hist *hist); /**< NULL is allowed */

/** Count `value` once; O(1), a few ns, no allocation. */
WEIR_API void weir_hist_record(struct weir_hist *hist, uint64_t value);
/** Count `value` `count` times. */
WEIR_API void weir_hist_record_n(struct weir_hist *hist, uint64_t value, uint64_t count);

/** Add all counts of `from` to `into`. @return 0, or -EINVAL when their shapes differ */
WEIR_API WEIR_MUST_USE int weir_hist_merge(struct weir_hist *into, const struct weir_hist *from);
/** Forget all counts. */
WEIR_API void weir_hist_reset(struct weir_hist *hist);

/** All counts. */
WEIR_API uint64_t weir_hist_count(const struct weir_hist *hist);
/** Those above `highest`. */
WEIR_API uint64_t weir_hist_clipped_count(const struct weir_hist *hist);
WEIR_API uint64_t weir_hist_min(const struct weir_hist *hist);  /**< exact; 0 when empty */
WEIR_API uint64_t weir_hist_max(const struct weir_hist *hist);  /**< exact; 0 when empty */
WEIR_API double weir_hist_mean(const struct weir_hist *hist);   /**< exact; 0 when empty */
WEIR_API double weir_hist_stddev(const struct weir_hist *hist); /**< from bucket midpoints; 0 when empty */

/**
 * The smallest recordable value that at least `percentile` percent of all counts do not exceed (the upper edge of its
 * bucket, never above the exact maximum). `percentile` is clamped to [0, 100]; 0 when empty. O(buckets).
 */
WEIR_API uint64_t weir_hist_percentile(const struct weir_hist *hist, double percentile);

/** How many counts lie at or below `value` (to the histogram's precision). O(buckets). */
WEIR_API uint64_t weir_hist_count_at_most(const struct weir_hist *hist, uint64_t value);

#ifdef __cplusplus
}
#endif

#endif
