/* SPDX-License-Identifier: MIT */
/*
 * How metrics are written: Prometheus' text format 0.0.4, or OpenMetrics 1.0, in which a counter's
 * family is called without _total, bounds of buckets have one spelling, and the text has an end.
 *
 * A family is opened, then its samples follow. Names and labels are written as they are: labels are
 * put together with exposition_label(), which escapes their values.
 */
#ifndef MOCK_EXPOSITION_H
#define MOCK_EXPOSITION_H

#include "mock/control/buckets.h"
#include "mock/text.h"

#include <weir/hist.h>

struct exposition {
    struct text *text;
    bool open_metrics;
};

enum exposition_type { EXPOSITION_COUNTER, EXPOSITION_GAUGE, EXPOSITION_HISTOGRAM };

/* HELP and TYPE. The name of a counter ends with _total. */
void exposition_family(const struct exposition *out, const char *name, enum exposition_type type,
                       const char *help);

/* Begin labels, or add one more: 'name="value"'. */
void exposition_label(struct text *labels, const char *name, struct weir_slice value);
void exposition_label_number(struct text *labels, const char *name, uint64_t value);

/* One sample. `labels` may be empty. */
void exposition_count(const struct exposition *out, const char *name, struct weir_slice labels,
                      uint64_t value);
void exposition_number(const struct exposition *out, const char *name, struct weir_slice labels,
                       double value);

/* One series of a histogram: _bucket, _sum and _count. */
void exposition_buckets(const struct exposition *out, const char *name, struct weir_slice labels,
                        const struct buckets *buckets, const struct bucket_scale *scale);
void exposition_hist(const struct exposition *out, const char *name, struct weir_slice labels,
                     const struct weir_hist *hist, const struct bucket_scale *scale);

/* A family with one sample without labels. */
void exposition_counter(const struct exposition *out, const char *name, uint64_t value,
                        const char *help);
void exposition_gauge(const struct exposition *out, const char *name, uint64_t value,
                      const char *help);

void exposition_end(const struct exposition *out);

#endif
