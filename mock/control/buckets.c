/* SPDX-License-Identifier: MIT */
#include "mock/control/buckets.h"

#define MS UINT64_C(1000000)
#define US UINT64_C(1000)
#define S  UINT64_C(1000000000)

static const struct bucket_edge ttft_edges[] = {
    { 1 * MS, "0.001", "0.001" },     { 5 * MS, "0.005", "0.005" },  { 10 * MS, "0.01", "0.01" },
    { 20 * MS, "0.02", "0.02" },      { 40 * MS, "0.04", "0.04" },   { 60 * MS, "0.06", "0.06" },
    { 80 * MS, "0.08", "0.08" },      { 100 * MS, "0.1", "0.1" },    { 250 * MS, "0.25", "0.25" },
    { 500 * MS, "0.5", "0.5" },       { 750 * MS, "0.75", "0.75" },  { 1 * S, "1.0", "1.0" },
    { 2500 * MS, "2.5", "2.5" },      { 5 * S, "5.0", "5.0" },       { 7500 * MS, "7.5", "7.5" },
    { 10 * S, "10.0", "10.0" },       { 20 * S, "20.0", "20.0" },    { 40 * S, "40.0", "40.0" },
    { 80 * S, "80.0", "80.0" },       { 160 * S, "160.0", "160.0" }, { 640 * S, "640.0", "640.0" },
    { 2560 * S, "2560.0", "2560.0" },
};

static const struct bucket_edge itl_edges[] = {
    { 10 * MS, "0.01", "0.01" },   { 25 * MS, "0.025", "0.025" }, { 50 * MS, "0.05", "0.05" },
    { 75 * MS, "0.075", "0.075" }, { 100 * MS, "0.1", "0.1" },    { 150 * MS, "0.15", "0.15" },
    { 200 * MS, "0.2", "0.2" },    { 300 * MS, "0.3", "0.3" },    { 400 * MS, "0.4", "0.4" },
    { 500 * MS, "0.5", "0.5" },    { 750 * MS, "0.75", "0.75" },  { 1 * S, "1.0", "1.0" },
    { 2500 * MS, "2.5", "2.5" },   { 5 * S, "5.0", "5.0" },       { 7500 * MS, "7.5", "7.5" },
    { 10 * S, "10.0", "10.0" },    { 20 * S, "20.0", "20.0" },    { 40 * S, "40.0", "40.0" },
    { 80 * S, "80.0", "80.0" },
};

static const struct bucket_edge request_edges[] = {
    { 300 * MS, "0.3", "0.3" },       { 500 * MS, "0.5", "0.5" },
    { 800 * MS, "0.8", "0.8" },       { 1 * S, "1.0", "1.0" },
    { 1500 * MS, "1.5", "1.5" },      { 2 * S, "2.0", "2.0" },
    { 2500 * MS, "2.5", "2.5" },      { 5 * S, "5.0", "5.0" },
    { 10 * S, "10.0", "10.0" },       { 15 * S, "15.0", "15.0" },
    { 20 * S, "20.0", "20.0" },       { 30 * S, "30.0", "30.0" },
    { 40 * S, "40.0", "40.0" },       { 50 * S, "50.0", "50.0" },
    { 60 * S, "60.0", "60.0" },       { 120 * S, "120.0", "120.0" },
    { 240 * S, "240.0", "240.0" },    { 480 * S, "480.0", "480.0" },
    { 960 * S, "960.0", "960.0" },    { 1920 * S, "1920.0", "1920.0" },
    { 7680 * S, "7680.0", "7680.0" },
};

/* vLLM's go up to the longest sequence of its model; these to the longest answer of the mock. */
static const struct bucket_edge tokens_edges[] = {
    { 1, "1.0", "1.0" },
    { 2, "2.0", "2.0" },
    { 5, "5.0", "5.0" },
    { 10, "10.0", "10.0" },
    { 20, "20.0", "20.0" },
    { 50, "50.0", "50.0" },
    { 100, "100.0", "100.0" },
    { 200, "200.0", "200.0" },
    { 500, "500.0", "500.0" },
    { 1000, "1000.0", "1000.0" },
    { 2000, "2000.0", "2000.0" },
    { 5000, "5000.0", "5000.0" },
    { 10000, "10000.0", "10000.0" },
    { 20000, "20000.0", "20000.0" },
    { 50000, "50000.0", "50000.0" },
    { 100000, "100000.0", "100000.0" },
    { 200000, "200000.0", "200000.0" },
    { 500000, "500000.0", "500000.0" },
    { 1000000, "1e+06", "1e+06" },
};

static const struct bucket_edge duration_edges[] = {
    { 50 * US, "0.00005", "5e-05" },    { 100 * US, "0.0001", "0.0001" },
    { 250 * US, "0.00025", "0.00025" }, { 500 * US, "0.0005", "0.0005" },
    { 1 * MS, "0.001", "0.001" },       { 2500 * US, "0.0025", "0.0025" },
    { 5 * MS, "0.005", "0.005" },       { 10 * MS, "0.01", "0.01" },
    { 25 * MS, "0.025", "0.025" },      { 50 * MS, "0.05", "0.05" },
    { 100 * MS, "0.1", "0.1" },         { 250 * MS, "0.25", "0.25" },
    { 500 * MS, "0.5", "0.5" },         { 1 * S, "1", "1.0" },
    { 2500 * MS, "2.5", "2.5" },        { 5 * S, "5", "5.0" },
    { 10 * S, "10", "10.0" },
};

static const struct bucket_edge lateness_edges[] = {
    { 5 * US, "0.000005", "5e-06" },  { 10 * US, "0.00001", "1e-05" },
    { 20 * US, "0.00002", "2e-05" },  { 30 * US, "0.00003", "3e-05" },
    { 50 * US, "0.00005", "5e-05" },  { 75 * US, "0.000075", "7.5e-05" },
    { 100 * US, "0.0001", "0.0001" }, { 150 * US, "0.00015", "0.00015" },
    { 200 * US, "0.0002", "0.0002" }, { 300 * US, "0.0003", "0.0003" },
    { 500 * US, "0.0005", "0.0005" }, { 1 * MS, "0.001", "0.001" },
    { 2 * MS, "0.002", "0.002" },     { 5 * MS, "0.005", "0.005" },
    { 10 * MS, "0.01", "0.01" },      { 100 * MS, "0.1", "0.1" },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SCALE(name, time)                                                                          \
    _Static_assert(COUNT(name##_edges) <= BUCKETS_EDGES_MAX, "fits into struct buckets");          \
    const struct bucket_scale bucket_scale_##name = { .edges = name##_edges,                       \
                                                      .count = COUNT(name##_edges),                \
                                                      .is_time = (time) }

SCALE(ttft, true);
SCALE(itl, true);
SCALE(request, true);
SCALE(tokens, false);
SCALE(duration, true);
SCALE(lateness, true);

uint64_t buckets_count(const struct buckets *buckets)
{
    uint64_t count = 0;
    for (size_t i = 0; i < COUNT(buckets->counts); i++)
        count += buckets->counts[i];
    return count;
}

double buckets_mean(const struct buckets *buckets)
{
    uint64_t count = buckets_count(buckets);
    return count == 0 ? 0 : (double)buckets->sum / (double)count;
}

void buckets_merge(struct buckets *into, const struct buckets *from)
{
    for (size_t i = 0; i < COUNT(into->counts); i++)
        into->counts[i] += from->counts[i];
    into->sum += from->sum;
}
