/* SPDX-License-Identifier: MIT */
#include "mock/stats.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Latencies keep two digits, so that merging ten of them for a scrape stays far below the schedule
 * error that the same scrape reports; the schedule error itself keeps three.
 */
#define LATENCY_NS_MAX        36000000000000ULL /* 10 h: ten times the longest --latency */
#define LATENCY_DIGITS        2
#define SCHEDULE_ERROR_NS_MAX 60000000000ULL
#define SCHEDULE_ERROR_DIGITS 3

static const uint16_t stats_statuses[] = {
    [STATS_200] = 200, [STATS_400] = 400, [STATS_404] = 404, [STATS_405] = 405,
    [STATS_408] = 408, [STATS_413] = 413, [STATS_500] = 500, [STATS_503] = 503,
};
_Static_assert(sizeof stats_statuses / sizeof stats_statuses[0] == STATS_CODE_COUNT, "one each");

static const char *const stats_phase_names[] = {
    [STATS_BODY] = "body",
    [STATS_QUEUED] = "queued",
    [STATS_DELAYED] = "delayed",
    [STATS_ANSWERED] = "answered",
};
_Static_assert(sizeof stats_phase_names / sizeof stats_phase_names[0] == STATS_PHASE_COUNT,
               "one each");

static int stats_open_hist(struct weir_hist **out, uint64_t highest, uint32_t digits)
{
    struct weir_hist_config cfg;
    weir_hist_config_init(&cfg);
    cfg.lowest = 1;
    cfg.highest = highest;
    cfg.digits = digits;
    return weir_hist_open(out, &cfg);
}

int stats_open(struct stats *stats)
{
    *stats = (struct stats){ 0 };
    int err = 0;
    for (int i = 0; i < ENDPOINT_COUNT && err == 0; i++)
        err = stats_open_hist(&stats->latency_ns[i], LATENCY_NS_MAX, LATENCY_DIGITS);
    if (err == 0)
        err = stats_open_hist(&stats->queue_wait_ns, LATENCY_NS_MAX, LATENCY_DIGITS);
    if (err == 0)
        err = stats_open_hist(&stats->schedule_error_ns, SCHEDULE_ERROR_NS_MAX,
                              SCHEDULE_ERROR_DIGITS);
    if (err < 0)
        stats_close(stats);
    return err;
}

void stats_close(struct stats *stats)
{
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        weir_hist_close(stats->latency_ns[i]);
    weir_hist_close(stats->queue_wait_ns);
    weir_hist_close(stats->schedule_error_ns);
    *stats = (struct stats){ 0 };
}

void stats_reset(struct stats *stats)
{
    struct stats empty = {
        .schedule_error_ns = stats->schedule_error_ns,
        .queue_wait_ns = stats->queue_wait_ns,
    };
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        empty.latency_ns[i] = stats->latency_ns[i];
        weir_hist_reset(stats->latency_ns[i]);
    }
    weir_hist_reset(stats->schedule_error_ns);
    weir_hist_reset(stats->queue_wait_ns);
    *stats = empty;
}

/* Most endpoints are unused in most runs, and an empty histogram costs as much to add as a full
 * one. */
static void stats_merge_hist(struct weir_hist *into, const struct weir_hist *from)
{
    if (weir_hist_count(from) == 0)
        return;
    /* Can fail only for different shapes, and stats_open() makes them all. */
    if (weir_hist_merge(into, from) < 0)
        abort();
}

void stats_merge(struct stats *into, const struct stats *from)
{
    for (int e = 0; e < ENDPOINT_COUNT; e++) {
        for (int m = 0; m < METHOD_COUNT; m++)
            for (int c = 0; c < STATS_CODE_COUNT; c++)
                into->requests[e][m][c] += from->requests[e][m][c];
        stats_merge_hist(into->latency_ns[e], from->latency_ns[e]);
    }
    into->faults += from->faults;
    into->unanswered += from->unanswered;
    into->batch_items += from->batch_items;
    for (int p = 0; p < STATS_PHASE_COUNT; p++)
        into->disconnects[p] += from->disconnects[p];
    stats_merge_hist(into->schedule_error_ns, from->schedule_error_ns);
    stats_merge_hist(into->queue_wait_ns, from->queue_wait_ns);
}

uint16_t stats_status(enum stats_code code)
{
    return stats_statuses[code];
}

const char *stats_phase_name(enum stats_phase phase)
{
    return stats_phase_names[phase];
}

uint64_t stats_count_code(const struct stats *stats, enum stats_code code)
{
    uint64_t count = 0;
    for (int e = 0; e < ENDPOINT_COUNT; e++)
        for (int m = 0; m < METHOD_COUNT; m++)
            count += stats->requests[e][m][code];
    return count;
}

uint64_t stats_count_endpoint(const struct stats *stats, enum endpoint endpoint)
{
    uint64_t count = 0;
    for (int m = 0; m < METHOD_COUNT; m++)
        for (int c = 0; c < STATS_CODE_COUNT; c++)
            count += stats->requests[endpoint][m][c];
    return count;
}
