/* SPDX-License-Identifier: MIT */
#include "mock/metrics.h"

#include <inttypes.h>
#include <stdio.h>

#define SECOND_NS 1e9

/* Upper edge of a bucket, and how it is written. */
struct metrics_edge {
    uint64_t ns;
    const char *le;
};

static const struct metrics_edge duration_edges[] = {
    { 50000, "0.00005" },     { 100000, "0.0001" },  { 250000, "0.00025" }, { 500000, "0.0005" },
    { 1000000, "0.001" },     { 2500000, "0.0025" }, { 5000000, "0.005" },  { 10000000, "0.01" },
    { 25000000, "0.025" },    { 50000000, "0.05" },  { 100000000, "0.1" },  { 250000000, "0.25" },
    { 500000000, "0.5" },     { 1000000000, "1" },   { 2500000000, "2.5" }, { 5000000000ULL, "5" },
    { 10000000000ULL, "10" },
};

static const struct metrics_edge schedule_edges[] = {
    { 5000, "0.000005" }, { 10000, "0.00001" },  { 20000, "0.00002" }, { 30000, "0.00003" },
    { 50000, "0.00005" }, { 75000, "0.000075" }, { 100000, "0.0001" }, { 150000, "0.00015" },
    { 200000, "0.0002" }, { 300000, "0.0003" },  { 500000, "0.0005" }, { 1000000, "0.001" },
    { 2000000, "0.002" }, { 5000000, "0.005" },  { 10000000, "0.01" }, { 100000000, "0.1" },
};

struct metrics_edges {
    const struct metrics_edge *edges;
    size_t count;
};

#define EDGES(array) ((struct metrics_edges){ (array), sizeof(array) / sizeof((array)[0]) })

static void metrics_head(struct text *text, const char *name, const char *type, const char *help)
{
    text_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metrics_counter(struct text *text, const char *name, uint64_t value, const char *help)
{
    metrics_head(text, name, "counter", help);
    text_printf(text, "%s %" PRIu64 "\n", name, value);
}

static void metrics_gauge(struct text *text, const char *name, uint64_t value, const char *help)
{
    metrics_head(text, name, "gauge", help);
    text_printf(text, "%s %" PRIu64 "\n", name, value);
}

/* One series of a histogram. `label` is empty or 'name="value"'. */
static void metrics_hist(struct text *text, const char *name, const char *label,
                         const struct weir_hist *hist, struct metrics_edges edges)
{
    uint64_t count = weir_hist_count(hist);
    const char *comma = label[0] == '\0' ? "" : ",";
    for (size_t i = 0; i < edges.count; i++) {
        uint64_t below = count == 0 ? 0 : weir_hist_count_at_most(hist, edges.edges[i].ns);
        text_printf(text, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, label, comma,
                    edges.edges[i].le, below);
    }
    text_printf(text, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, label, comma, count);
    const char *open = label[0] == '\0' ? "" : "{", *close = label[0] == '\0' ? "" : "}";
    text_printf(text, "%s_sum%s%s%s %.9f\n", name, open, label, close,
                weir_hist_mean(hist) * (double)count / SECOND_NS);
    text_printf(text, "%s_count%s%s%s %" PRIu64 "\n", name, open, label, close, count);
}

static void metrics_requests(struct text *text, const struct stats *stats)
{
    const char *name = "mock_http_requests_total";
    metrics_head(text, name, "counter", "Requests that were answered.");
    for (int e = 0; e < ENDPOINT_COUNT; e++)
        for (int m = 0; m < METHOD_COUNT; m++)
            for (int c = 0; c < STATS_CODE_COUNT; c++)
                if (stats->requests[e][m][c] != 0)
                    text_printf(text, "%s{endpoint=\"%s\",method=\"%s\",code=\"%u\"} %" PRIu64 "\n",
                                name, endpoint_name((enum endpoint)e), method_name((enum method)m),
                                (unsigned)stats_status((enum stats_code)c),
                                stats->requests[e][m][c]);
}

static void metrics_durations(struct text *text, const struct stats *stats)
{
    const char *name = "mock_http_request_duration_seconds";
    metrics_head(text, name, "histogram", "From the end of a request's head to its answer.");
    for (int e = 0; e < ENDPOINT_COUNT; e++) {
        char label[64];
        int len = snprintf(label, sizeof label, "endpoint=\"%s\"", endpoint_name((enum endpoint)e));
        if (len > 0 && (size_t)len < sizeof label)
            metrics_hist(text, name, label, stats->latency_ns[e], EDGES(duration_edges));
    }
}

static void metrics_schedule(struct text *text, const struct stats *stats)
{
    const char *name = "mock_schedule_error_seconds";
    metrics_head(text, name, "histogram", "How much later than due delayed answers were given.");
    metrics_hist(text, name, "", stats->schedule_error_ns, EDGES(schedule_edges));
    name = "mock_schedule_error_seconds_median";
    metrics_head(text, name, "gauge", "Median of mock_schedule_error_seconds; NaN without any.");
    if (weir_hist_count(stats->schedule_error_ns) == 0)
        text_printf(text, "%s NaN\n", name);
    else
        text_printf(text, "%s %.9f\n", name,
                    (double)weir_hist_percentile(stats->schedule_error_ns, 50) / SECOND_NS);
    name = "mock_queue_wait_seconds";
    metrics_head(text, name, "histogram", "Time that delayed requests waited for a slot.");
    metrics_hist(text, name, "", stats->queue_wait_ns, EDGES(duration_edges));
}

static void metrics_disconnects(struct text *text, const struct stats *stats)
{
    const char *name = "mock_client_disconnects_total";
    metrics_head(text, name, "counter", "Clients that went away during a request, by its phase.");
    for (int p = 0; p < STATS_PHASE_COUNT; p++)
        text_printf(text, "%s{phase=\"%s\"} %" PRIu64 "\n", name,
                    stats_phase_name((enum stats_phase)p), stats->disconnects[p]);
}

static void metrics_process(struct text *text, const struct snapshot *snapshot)
{
    metrics_head(text, "process_cpu_seconds_total", "counter", "User and system time.");
    text_printf(text, "process_cpu_seconds_total %.6f\n", snapshot->cpu_s);
    metrics_gauge(text, "process_resident_memory_bytes", snapshot->resident_bytes,
                  "Memory in use.");
}

void metrics_write(struct text *text, const struct snapshot *snapshot)
{
    const struct stats *stats = &snapshot->stats;
    metrics_requests(text, stats);
    metrics_durations(text, stats);
    metrics_schedule(text, stats);
    metrics_gauge(text, "mock_inflight_requests", snapshot->in_flight,
                  "Delayed requests that are not answered yet.");
    metrics_gauge(text, "mock_queue_depth", snapshot->limiter.waiting,
                  "Requests that wait for a slot.");
    metrics_head(text, "mock_faults_injected_total", "counter", "Errors injected on purpose.");
    text_printf(text, "mock_faults_injected_total{kind=\"error\"} %" PRIu64 "\n", stats->faults);
    metrics_disconnects(text, stats);
    metrics_counter(text, "mock_batch_items_total", stats->batch_items,
                    "Infer requests that came in batches.");
    metrics_counter(text, "mock_answers_given_up_total", stats->unanswered,
                    "Connections reset because there was no memory for an answer.");
    metrics_counter(text, "mock_http_refused_total", snapshot->refused,
                    "Requests refused below the application: malformed, over a limit, too slow.");
    metrics_gauge(text, "mock_connections_active", snapshot->conns_active, "Open connections.");
    metrics_counter(text, "mock_connections_total", snapshot->conns_total, "Accepted connections.");
    metrics_counter(text, "mock_journal_dropped_total", snapshot->journal_dropped,
                    "Journal records overwritten by later ones.");
    metrics_counter(text, "mock_uring_enters_total", snapshot->engine.enters, "Kernel entries.");
    metrics_counter(text, "mock_uring_sqes_total", snapshot->engine.sqes, "Operations submitted.");
    metrics_counter(text, "mock_uring_cq_overflow_total", snapshot->engine.cq_overflows,
                    "Passes that found the completion queue overflowed.");
#define XX(name, help)                                                                             \
    metrics_counter(text, "weir_engine_" #name "_total", snapshot->engine.name, help);
    SNAPSHOT_ENGINE(XX)
#undef XX
    metrics_process(text, snapshot);
}
