/* SPDX-License-Identifier: MIT */
#include "mock/control/report.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_US 1e3

static const char *const report_state_names[] = {
    [RESIDENCY_UNLOADED] = "unloaded",
    [RESIDENCY_LOADING] = "loading",
    [RESIDENCY_LOADED] = "loaded",
    [RESIDENCY_UNLOADING] = "unloading",
};
_Static_assert(sizeof report_state_names / sizeof report_state_names[0] == RESIDENCY_STATE_COUNT,
               "one each");

static const char *report_comma(bool *first)
{
    const char *comma = *first ? "" : ",";
    *first = false;
    return comma;
}

static const char *report_bool(bool value)
{
    return value ? "true" : "false";
}

static void report_string(struct text *text, const char *string)
{
    text_json(text, (struct weir_slice){ (const uint8_t *)string, strlen(string) });
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

/* ---- Requests ---------------------------------------------------------------------------- */

/* "200":12,"404":1 of one endpoint, or of all for ENDPOINT_COUNT; errors only: without those below
 * 400. */
static void report_codes(struct text *text, const struct stats *stats, enum endpoint endpoint,
                         bool errors_only)
{
    uint8_t slots[STATS_SLOTS_MAX];
    uint32_t slots_count = stats_sort_slots(stats, slots);
    bool first = true;
    for (uint32_t i = 0; i < slots_count; i++) {
        uint16_t status = stats->table->statuses[slots[i]];
        uint64_t count = endpoint == ENDPOINT_COUNT
                             ? stats_count_status(stats, status)
                             : stats_count_endpoint_status(stats, endpoint, status);
        if (count == 0 || (errors_only && status != 0 && status < 400))
            continue;
        if (status == 0)
            text_printf(text, "%s\"other\":%" PRIu64, report_comma(&first), count);
        else
            text_printf(text, "%s\"%u\":%" PRIu64, report_comma(&first), (unsigned)status, count);
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

static void report_disconnects(struct text *text, const char *name, const struct stats *stats)
{
    bool first = true;
    text_printf(text, "\"%s\":{", name);
    for (int p = 0; p < JOURNAL_PHASE_COUNT; p++)
        text_printf(text, "%s\"%s\":%" PRIu64, report_comma(&first),
                    stats_phase_name((enum journal_phase)p), stats->disconnects[p]);
    text_put(text, "},");
}

static void report_counts(struct text *text, const struct stats *stats)
{
    text_printf(text,
                "\"requests_total\":%" PRIu64 ",\"requests_per_s\":%.3f,\"errors_by_status\":{",
                stats->answered, stats->rate.answered_per_s);
    report_codes(text, stats, ENDPOINT_COUNT, true);
    text_printf(text,
                "},\"faults_injected\":%" PRIu64 ",\"answers_cut\":%" PRIu64
                ",\"answers_refused\":%" PRIu64 ",\"answers_given_up\":%" PRIu64
                ",\"batch_items\":%" PRIu64 ",\"timers_cancelled\":%" PRIu64 ",",
                stats->faults, stats->cut, stats->refused, stats->given_up, stats->batch_items,
                stats->timers_cancelled);
    report_disconnects(text, "client_disconnects", stats);
    report_disconnects(text, "disconnects", stats);
}

/* Of one rule; @return false: it never struck, and nothing was written */
static bool report_rule(struct text *text, const struct stats *stats, uint32_t rule, bool first)
{
    bool first_kind = true;
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        uint64_t count = stats->table->faults[rule][kind];
        if (count == 0)
            continue;
        if (first_kind) {
            text_put(text, first ? "" : ",");
            report_string(text, fault_number_id((uint16_t)rule));
            text_put(text, ":{");
        }
        text_printf(text, "%s\"%s\":%" PRIu64, report_comma(&first_kind),
                    fault_kind_name((enum fault_kind)kind), count);
    }
    if (first_kind)
        return false;
    text_put(text, "}");
    return true;
}

static void report_faults(struct text *text, const struct stats *stats)
{
    bool first = true;
    text_printf(text, "\"faults\":{\"total\":%" PRIu64 ",\"by_rule\":{", stats->faults);
    for (uint32_t rule = 0; rule < stats->table->faults_end; rule++)
        if (report_rule(text, stats, rule, first))
            first = false;
    text_put(text, "}},");
}

/* ---- The mock itself --------------------------------------------------------------------- */

static void report_figures(struct text *text, const char *name,
                           const struct saturation_figures *figures)
{
    text_printf(text,
                "\"%s\":{\"bound_us\":%.3f,\"samples\":%" PRIu64
                ",\"p99_us\":%.3f,\"max_us\":%.3f,\"worst_p99_us\":%.3f,\"worst_us\":%.3f}",
                name, (double)figures->bound_ns / NS_PER_US, figures->samples,
                (double)figures->p99_ns / NS_PER_US, (double)figures->max_ns / NS_PER_US,
                (double)figures->worst_p99_ns / NS_PER_US, (double)figures->worst_ns / NS_PER_US);
}

/* "saturated":…,"windows":…,… without braces. */
static void report_saturation_members(struct text *text, const struct saturation_view *view)
{
    text_printf(text, "\"saturated\":%s,\"windows\":%" PRIu64 ",\"windows_saturated\":%" PRIu64 ",",
                report_bool(view->saturated), view->windows, view->windows_saturated);
    report_figures(text, "schedule_error", &view->error);
    text_put(text, ",");
    report_figures(text, "loop_lag", &view->lag);
}

static void report_saturation(struct text *text, const struct snapshot *snapshot)
{
    struct saturation_view view = snapshot_saturation(snapshot);
    text_printf(text, "\"saturated\":%s,\"saturation\":{", report_bool(view.saturated));
    report_saturation_members(text, &view);
    text_put(text, ",\"by_thread\":[");
    bool first = true;
    for (uint32_t i = 0; i < snapshot->threads; i++) {
        text_printf(text, "%s{", report_comma(&first));
        report_saturation_members(text, &snapshot->by_thread[i].saturation);
        text_put(text, "}");
    }
    text_put(text, "]},");
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

static void report_process(struct text *text, const struct snapshot *snapshot)
{
    text_printf(text,
                "\"journal\":{\"capacity\":%" PRIu64 ",\"recorded\":%" PRIu64
                ",\"dropped\":%" PRIu64 "},",
                snapshot->journal_capacity, snapshot->journal_recorded, snapshot->journal_dropped);
    text_printf(text,
                "\"request_log\":{\"on\":%s,\"written\":%" PRIu64 ",\"dropped\":%" PRIu64
                ",\"errors\":%" PRIu64 "},",
                report_bool(snapshot->request_log.on), snapshot->request_log.written,
                snapshot->request_log.dropped, snapshot->request_log.failed);
    text_put(text, "\"engine\":{");
    const char *comma = "";
#define XX(name, help)                                                                             \
    text_printf(text, "%s\"" #name "\":%" PRIu64, comma, snapshot->engine.name);                   \
    comma = ",";
    SNAPSHOT_ENGINE(XX)
#undef XX
    text_printf(text,
                "},\"uring\":{\"enters\":%" PRIu64 ",\"sqes\":%" PRIu64 ",\"cq_overflows\":%" PRIu64
                "},\"process\":{\"cpu_s\":%.6f,\"resident_bytes\":%" PRIu64 "}",
                snapshot->engine.enters, snapshot->engine.sqes, snapshot->engine.cq_overflows,
                snapshot->cpu_s, snapshot->resident_bytes);
}

/* ---- Models and engines ------------------------------------------------------------------ */

/* "id":…,"requests":{…},… without braces. */
static void report_model_counts(struct text *text, const struct stats_model *counts)
{
    text_printf(text,
                "\"running\":%u,\"waiting\":%u,\"prompt_tokens\":%" PRIu64
                ",\"output_tokens\":%" PRIu64 ",\"finished\":{",
                counts->places[STATS_RUNNING], counts->places[STATS_WAITING], counts->prompt_tokens,
                counts->output_tokens);
    bool first = true;
    for (int f = 0; f < STATS_FINISH_COUNT; f++)
        text_printf(text, "%s\"%s\":%" PRIu64, report_comma(&first),
                    stats_finish_name((enum stats_finish)f), counts->finished[f]);
    text_printf(text, "},\"ttft_mean_us\":%.3f,\"itl_mean_us\":%.3f,\"e2e_mean_us\":%.3f",
                buckets_mean(&counts->buckets[STATS_TTFT]) / NS_PER_US,
                buckets_mean(&counts->buckets[STATS_ITL]) / NS_PER_US,
                buckets_mean(&counts->buckets[STATS_E2E]) / NS_PER_US);
}

static void report_residency(struct text *text, const struct residency *residency, uint32_t model)
{
    if (model >= residency->models_count)
        return;
    const struct residency_model *at = &residency->models[model];
    text_printf(text, "\"state\":\"%s\",\"pinned\":%s,\"uses\":%u,\"memory_bytes\":%" PRIu64 ",",
                report_state_names[residency_state(residency, model)], report_bool(at->pinned),
                at->uses_count, at->memory_bytes);
}

/* Those of the configuration; behind them, with null for an id, all others together. */
static void report_models(struct text *text, const struct snapshot *snapshot)
{
    bool first = true;
    text_put(text, "\"models\":[");
    for (uint32_t i = 0; i < snapshot_models_count(snapshot); i++) {
        text_printf(text, "%s{\"id\":", report_comma(&first));
        report_string(text, snapshot->config->models[i].id);
        text_put(text, ",");
        report_residency(text, &snapshot->residency, i);
        report_model_counts(text, &snapshot->stats.models[i]);
        text_put(text, "}");
    }
    const struct stats_model *others = &snapshot->stats.models[STATS_MODEL_UNKNOWN];
    if (others->used) {
        text_printf(text,
                    "%s{\"id\":null,\"state\":null,\"pinned\":false,\"uses\":0,\"memory_bytes\":0,",
                    report_comma(&first));
        report_model_counts(text, others);
        text_put(text, "}");
    }
    const struct residency *residency = &snapshot->residency;
    text_printf(text,
                "],\"memory\":{\"capacity_bytes\":%" PRIu64 ",\"used_bytes\":%" PRIu64
                ",\"loaded\":%u,\"loads\":%" PRIu64 ",\"unloads\":%" PRIu64
                ",\"evictions\":%" PRIu64 ",\"refusals\":%" PRIu64 "},",
                residency->cfg.capacity_bytes, residency_used_bytes(residency, snapshot->now_ns),
                snapshot_loaded_count(snapshot), residency->stats.loads_total,
                residency->stats.unloads_total, residency->stats.evictions_total,
                residency->stats.refusals_total);
}

/* Of the threads that the batch engine runs on. */
static void report_batch_engines(struct text *text, const struct snapshot *snapshot)
{
    bool first = true;
    text_put(text, "\"batch_engines\":[");
    for (uint32_t i = 0; i < snapshot->threads; i++) {
        if (!snapshot->by_thread[i].has_batch)
            continue;
        const struct model_engine_stats *stats = &snapshot->by_thread[i].batch;
        text_printf(text,
                    "%s{\"thread\":%u,\"running\":%u,\"waiting\":%u,\"kv_cache_usage\":%.6f"
                    ",\"kv_blocks_used\":%u,\"kv_blocks_cached\":%u,\"steps\":%" PRIu64
                    ",\"preemptions\":%" PRIu64,
                    report_comma(&first), i, stats->num_requests_running,
                    stats->num_requests_waiting, stats->kv_cache_usage_perc, stats->kv_blocks_used,
                    stats->kv_blocks_cached, stats->steps_total, stats->num_preemptions_total);
        text_printf(text,
                    ",\"prefix_cache_queries\":%" PRIu64 ",\"prefix_cache_hits\":%" PRIu64
                    ",\"prompt_tokens\":%" PRIu64 ",\"output_tokens\":%" PRIu64
                    ",\"submitted\":%" PRIu64 ",\"finished\":%" PRIu64 ",\"cancelled\":%" PRIu64
                    "}",
                    stats->prefix_cache_queries_total, stats->prefix_cache_hits_total,
                    stats->prompt_tokens_total, stats->generation_tokens_total,
                    stats->submitted_total, stats->finished_total, stats->cancelled_total);
    }
    text_put(text, "],");
}

/* ------------------------------------------------------------------------------------------ */

static void report_times(struct text *text, const struct snapshot *snapshot)
{
    const struct stats *stats = &snapshot->stats;
    report_hist(text, "schedule_error_us", stats->schedule_error_ns);
    text_put(text, ",");
    report_hist(text, "asked_us", stats->asked_ns);
    text_put(text, ",");
    report_hist(text, "delivered_us", stats->delivered_ns);
    text_put(text, ",");
    report_hist(text, "loop_lag_us", stats->loop_lag_ns);
    text_printf(text,
                ",\"streams\":{\"active\":%" PRIu64 ",\"tokens\":%" PRIu64
                ",\"tokens_per_s\":%.3f},\"concurrency\":{\"limit\":%u,\"active\":%u"
                ",\"in_flight\":%" PRIu64 "},\"queue\":{\"depth\":%u,",
                snapshot->streams_active, stats->tokens, stats->rate.tokens_per_s,
                snapshot->limiter.max, snapshot->limiter.active, snapshot->in_flight,
                snapshot->limiter.waiting);
    report_hist(text, "wait_us", stats->queue_wait_ns);
    text_printf(text,
                "},\"connections\":{\"active\":%" PRIu64 ",\"total\":%" PRIu64
                ",\"refused_requests\":%" PRIu64 "},",
                snapshot->conns_active, snapshot->conns_total, snapshot->refused);
}

void report_write(struct text *text, const struct snapshot *snapshot)
{
    const struct stats *stats = &snapshot->stats;
    text_printf(text,
                "{\"version\":\"%s\",\"uptime_s\":%.3f,\"threads\":%u,\"generation\":%" PRIu64 ",",
                weir_version(), snapshot->uptime_s, snapshot->threads,
                snapshot->config == NULL ? 0 : snapshot->config->generation);
    report_saturation(text, snapshot);
    report_counts(text, stats);
    report_faults(text, stats);
    report_endpoints(text, stats);
    report_times(text, snapshot);
    report_threads(text, snapshot);
    report_models(text, snapshot);
    report_batch_engines(text, snapshot);
    report_process(text, snapshot);
    text_put(text, "}");
}
