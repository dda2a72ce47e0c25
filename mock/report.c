/* SPDX-License-Identifier: MIT */
#include "mock/report.h"

#include <inttypes.h>

#define NS_PER_US 1e3

static const char *report_comma(bool *first)
{
    const char *comma = *first ? "" : ",";
    *first = false;
    return comma;
}

/* {"count":…,"min":…,…}: nanoseconds recorded, microseconds printed. */
static void report_hist(struct text *text, const char *name, const struct weir_hist *hist)
{
    text_printf(text,
                "\"%s\":{\"count\":%" PRIu64 ",\"min\":%.3f,\"mean\":%.3f,\"p50\":%.3f,"
                "\"p90\":%.3f,\"p99\":%.3f,\"p99_9\":%.3f,\"max\":%.3f}",
                name, weir_hist_count(hist), (double)weir_hist_min(hist) / NS_PER_US,
                weir_hist_mean(hist) / NS_PER_US,
                (double)weir_hist_percentile(hist, 50) / NS_PER_US,
                (double)weir_hist_percentile(hist, 90) / NS_PER_US,
                (double)weir_hist_percentile(hist, 99) / NS_PER_US,
                (double)weir_hist_percentile(hist, 99.9) / NS_PER_US,
                (double)weir_hist_max(hist) / NS_PER_US);
}

/* "200":12,"404":1 of one endpoint, or of all for ENDPOINT_COUNT; errors only: without those below
 * 400. */
static void report_codes(struct text *text, const struct stats *stats, enum endpoint endpoint,
                         bool errors_only)
{
    bool first = true;
    for (int c = 0; c < STATS_CODE_COUNT; c++) {
        uint64_t count = 0;
        if (endpoint == ENDPOINT_COUNT)
            count = stats_count_code(stats, (enum stats_code)c);
        else
            for (int m = 0; m < METHOD_COUNT; m++)
                count += stats->requests[endpoint][m][c];
        unsigned status = stats_status((enum stats_code)c);
        if (count != 0 && (!errors_only || status >= 400))
            text_printf(text, "%s\"%u\":%" PRIu64, report_comma(&first), status, count);
    }
}

static void report_endpoints(struct text *text, const struct stats *stats)
{
    bool first = true;
    text_put(text, "\"endpoints\":{");
    for (int e = 0; e < ENDPOINT_COUNT; e++) {
        uint64_t count = stats_count_endpoint(stats, (enum endpoint)e);
        if (count == 0)
            continue;
        text_printf(text, "%s\"%s\":{\"requests\":%" PRIu64 ",\"by_status\":{",
                    report_comma(&first), endpoint_name((enum endpoint)e), count);
        report_codes(text, stats, (enum endpoint)e, false);
        text_put(text, "},");
        report_hist(text, "latency_us", stats->latency_ns[e]);
        text_put(text, "}");
    }
    text_put(text, "},");
}

static void report_counts(struct text *text, const struct stats *stats)
{
    uint64_t total = 0;
    for (int e = 0; e < ENDPOINT_COUNT; e++)
        total += stats_count_endpoint(stats, (enum endpoint)e);
    text_printf(text, "\"requests_total\":%" PRIu64 ",\"errors_by_status\":{", total);
    report_codes(text, stats, ENDPOINT_COUNT, true);
    text_printf(text,
                "},\"faults_injected\":%" PRIu64 ",\"answers_given_up\":%" PRIu64
                ",\"batch_items\":%" PRIu64 ",\"client_disconnects\":{",
                stats->faults, stats->unanswered, stats->batch_items);
    bool first = true;
    for (int p = 0; p < STATS_PHASE_COUNT; p++)
        text_printf(text, "%s\"%s\":%" PRIu64, report_comma(&first),
                    stats_phase_name((enum stats_phase)p), stats->disconnects[p]);
    text_put(text, "},");
}

static void report_threads(struct text *text, const struct snapshot *snapshot)
{
    bool first = true;
    text_put(text, "\"by_thread\":[");
    for (uint32_t i = 0; i < snapshot->threads; i++) {
        const struct snapshot_thread *thread = &snapshot->by_thread[i];
        text_printf(text,
                    "%s{\"connections\":%" PRIu64 ",\"connections_total\":%" PRIu64
                    ",\"handed_over\":%" PRIu64 ",\"taken_over\":%" PRIu64 "}",
                    report_comma(&first), thread->conns_active, thread->conns_total,
                    thread->handed_over, thread->taken_over);
    }
    text_put(text, "],");
}

void report_write(struct text *text, const struct snapshot *snapshot)
{
    const struct stats *stats = &snapshot->stats;
    text_printf(text, "{\"version\":\"%s\",\"uptime_s\":%.3f,\"threads\":%u,", weir_version(),
                snapshot->uptime_s, snapshot->threads);
    report_counts(text, stats);
    report_endpoints(text, stats);
    report_hist(text, "schedule_error_us", stats->schedule_error_ns);
    text_printf(text,
                ",\"concurrency\":{\"limit\":%u,\"active\":%u,\"in_flight\":%" PRIu64 "},"
                "\"queue\":{\"depth\":%u,",
                snapshot->limiter.max, snapshot->limiter.active, snapshot->in_flight,
                snapshot->limiter.waiting);
    report_hist(text, "wait_us", stats->queue_wait_ns);
    text_printf(text,
                "},\"connections\":{\"active\":%" PRIu64 ",\"total\":%" PRIu64
                ",\"refused_requests\":%" PRIu64 "},",
                snapshot->conns_active, snapshot->conns_total, snapshot->refused);
    report_threads(text, snapshot);
    text_printf(text,
                "\"journal\":{\"capacity\":%" PRIu64 ",\"recorded\":%" PRIu64
                ",\"dropped\":%" PRIu64 "},",
                snapshot->journal_capacity, snapshot->journal_recorded, snapshot->journal_dropped);
    text_printf(text, "\"engine\":{");
    const char *comma = "";
#define XX(name, help)                                                                             \
    text_printf(text, "%s\"" #name "\":%" PRIu64, comma, snapshot->engine.name);                   \
    comma = ",";
    SNAPSHOT_ENGINE(XX)
#undef XX
    text_printf(text,
                "},\"uring\":{\"enters\":%" PRIu64 ",\"sqes\":%" PRIu64 ",\"cq_overflows\":%" PRIu64
                "},\"process\":{\"cpu_s\":%.6f,\"resident_bytes\":%" PRIu64 "}}",
                snapshot->engine.enters, snapshot->engine.sqes, snapshot->engine.cq_overflows,
                snapshot->cpu_s, snapshot->resident_bytes);
}
