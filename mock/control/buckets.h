/* SPDX-License-Identifier: MIT */
/*
 * Counts in the few fixed buckets that a scraper sees: exact at every edge and a few hundred bytes,
 * where a struct weir_hist is exact to its digits everywhere and takes a hundred times as much.
 */
#ifndef MOCK_BUCKETS_H
#define MOCK_BUCKETS_H

#include <weir/base.h>

#define BUCKETS_EDGES_MAX 22

/* Upper edge of a bucket, which belongs to it, and how it is written. OpenMetrics has one spelling
 * for each number; the older format takes any, and ours was there first. */
struct bucket_edge {
    uint64_t value;
    const char *le, *le_canonical;
};

struct bucket_scale {
    const struct bucket_edge *edges; /* rising */
    uint32_t count;
    bool is_time; /* nanoseconds, shown in seconds; else a number of things */
};

/* Of vLLM's metrics. */
extern const struct bucket_scale bucket_scale_ttft;
extern const struct bucket_scale bucket_scale_itl;
extern const struct bucket_scale bucket_scale_request;
extern const struct bucket_scale bucket_scale_tokens;
/* Of our own. */
extern const struct bucket_scale bucket_scale_duration;
extern const struct bucket_scale bucket_scale_lateness;

struct buckets {
    uint64_t counts[BUCKETS_EDGES_MAX + 1]; /* the one behind the last edge is for all above */
    uint64_t sum;
};

/* The values of a scale lie in its first buckets mostly, so the search begins there. */
static inline void buckets_add(struct buckets *buckets, const struct bucket_scale *scale,
                               uint64_t value, uint64_t count)
{
    uint32_t i = 0;
    while (i < scale->count && value > scale->edges[i].value)
        i++;
    buckets->counts[i] += count;
    buckets->sum += value * count;
}

uint64_t buckets_count(const struct buckets *buckets);
double buckets_mean(const struct buckets *buckets); /* 0 when empty */
void buckets_merge(struct buckets *into, const struct buckets *from);

#endif
