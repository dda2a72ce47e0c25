/* SPDX-License-Identifier: MIT */
#include "mock/control/metrics.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define S_NS 1e9

/* One series of a family that has no labels. */
#define NONE WEIR_TEXT("")

bool metrics_accepts_open(struct weir_slice accept)
{
    static const char type[] = "application/openmetrics-text";
    const size_t len = sizeof type - 1;
    const char *at = (const char *)accept.ptr;
    for (size_t i = 0; i + len <= accept.len; i++) {
        bool begins = i == 0 || at[i - 1] == ',' || at[i - 1] == ' ' || at[i - 1] == '\t';
        bool ends = i + len == accept.len || strchr(",; \t", at[i + len]) != NULL;
        if (begins && ends && strncasecmp(at + i, type, len) == 0)
            return true;
    }
    return false;
}

static struct weir_slice metrics_slice(const char *string)
{
    return (struct weir_slice){ (const uint8_t *)string, strlen(string) };
}

/* Labels without memory for them would be those of another series. */
static void metrics_drop_labels(const struct exposition *out, struct text *labels)
{
    if (labels->failed)
        out->text->failed = true;
    text_free(labels);
}

static void metrics_code(struct text *labels, uint16_t status)
{
    if (status == 0)
        exposition_label(labels, "code", WEIR_TEXT("other"));
    else
        exposition_label_number(labels, "code", status);
}

static void metrics_requests(const struct exposition *out, const struct stats *stats)
{
    const char *name = "mock_http_requests_total";
    exposition_family(out, name, EXPOSITION_COUNTER, "Requests that were answered.");
    uint8_t slots[STATS_SLOTS_MAX];
    uint32_t slots_count = stats_sort_slots(stats, slots);
    struct text labels = { 0 };
    for (int e = 0; e < ENDPOINT_COUNT; e++)
        for (int m = 0; m < METHOD_COUNT; m++)
            for (uint32_t i = 0; i < slots_count; i++) {
                uint64_t count = stats->table->answers[slots[i]][e][m];
                if (count == 0)
                    continue;
                labels.len = 0;
                exposition_label(&labels, "endpoint",
                                 metrics_slice(endpoint_name((enum endpoint)e)));
                exposition_label(&labels, "method", metrics_slice(method_name((enum method)m)));
                metrics_code(&labels, stats->table->statuses[slots[i]]);
                exposition_count(out, name, text_slice(&labels), count);
            }
    metrics_drop_labels(out, &labels);
}

static void metrics_durations(const struct exposition *out, const struct stats *stats)
{
    const char *name = "mock_http_request_duration_seconds";
    exposition_family(out, name, EXPOSITION_HISTOGRAM,
                      "From the end of a request's head to its answer.");
    struct text labels = { 0 };
    for (int e = 0; e < ENDPOINT_COUNT; e++) {
        labels.len = 0;
        exposition_label(&labels, "endpoint", metrics_slice(endpoint_name((enum endpoint)e)));
        exposition_hist(out, name, text_slice(&labels), stats->latency_ns[e],
                        &bucket_scale_duration);
    }
    metrics_drop_labels(out, &labels);
}

static void metrics_hist(const struct exposition *out, const char *name,
                         const struct weir_hist *hist, const struct bucket_scale *scale,
                         const char *help)
{
    exposition_family(out, name, EXPOSITION_HISTOGRAM, help);
    exposition_hist(out, name, NONE, hist, scale);
}

static void metrics_times(const struct exposition *out, const struct stats *stats)
{
    const struct weir_hist *error = stats->schedule_error_ns;
    metrics_hist(out, "mock_schedule_error_seconds", error, &bucket_scale_lateness,
                 "How much later than due delayed answers and tokens were given.");
    const char *name = "mock_schedule_error_seconds_median";
    exposition_family(out, name, EXPOSITION_GAUGE,
                      "Median of mock_schedule_error_seconds; NaN without any.");
    exposition_number(out, name, NONE,
                      weir_hist_count(error) == 0 ? (double)NAN
                                                  : (double)weir_hist_percentile(error, 50) / S_NS);
    metrics_hist(out, "mock_queue_wait_seconds", stats->queue_wait_ns, &bucket_scale_duration,
                 "Time that delayed requests waited for a slot.");
    metrics_hist(out, "mock_delay_asked_seconds", stats->asked_ns, &bucket_scale_duration,
                 "Delay of answers as it was configured, without the queue.");
    metrics_hist(out, "mock_delay_delivered_seconds", stats->delivered_ns, &bucket_scale_duration,
                 "Delay of the same answers as it was measured, without the queue.");
    metrics_hist(out, "mock_loop_lag_seconds", stats->loop_lag_ns, &bucket_scale_lateness,
                 "How much later than it could have the loop came back to its requests.");
}

static void metrics_faults(const struct exposition *out, const struct stats *stats)
{
    const char *name = "mock_faults_injected_total";
    exposition_family(out, name, EXPOSITION_COUNTER,
                      "Faults injected on purpose, by rule (empty: the request asked for it).");
    struct text labels = { 0 };
    for (uint32_t rule = 0; rule < stats->table->faults_end; rule++)
        for (int kind = 0; kind < FAULT_KIND_COUNT; kind++) {
            uint64_t count = stats->table->faults[rule][kind];
            if (count == 0)
                continue;
            labels.len = 0;
            exposition_label(&labels, "rule", metrics_slice(fault_number_id((uint16_t)rule)));
            exposition_label(&labels, "kind",
                             metrics_slice(fault_kind_name((enum fault_kind)kind)));
            exposition_count(out, name, text_slice(&labels), count);
        }
    metrics_drop_labels(out, &labels);
}

static void metrics_disconnects(const struct exposition *out, const struct stats *stats)
{
    const char *name = "mock_client_disconnects_total";
    exposition_family(out, name, EXPOSITION_COUNTER,
                      "Clients that went away during a request, by its phase.");
    struct text labels = { 0 };
    for (int p = 0; p < JOURNAL_PHASE_COUNT; p++) {
        labels.len = 0;
        exposition_label(&labels, "phase", metrics_slice(stats_phase_name((enum journal_phase)p)));
        exposition_count(out, name, text_slice(&labels), stats->disconnects[p]);
    }
    metrics_drop_labels(out, &labels);
    exposition_counter(out, "mock_timers_cancelled_total", stats->timers_cancelled,
                       "Timers cancelled because their client went away.");
}

static void metrics_requests_now(const struct exposition *out, const struct snapshot *snapshot)
{
    const struct stats *stats = &snapshot->stats;
    exposition_gauge(out, "mock_inflight_requests", snapshot->in_flight,
                     "Delayed requests that are not answered yet.");
    exposition_gauge(out, "mock_queue_depth", snapshot->limiter.waiting,
                     "Requests that wait for a slot.");
    exposition_gauge(out, "mock_streams_active", snapshot->streams_active,
                     "Answers that are being streamed.");
    exposition_counter(out, "mock_tokens_total", stats->tokens, "Tokens given.");
    exposition_counter(out, "mock_http_requests_cut_total", stats->cut,
                       "Answers that a fault ended before they were whole.");
    exposition_counter(out, "mock_batch_items_total", stats->batch_items,
                       "Infer requests that came in batches.");
    exposition_counter(out, "mock_answers_given_up_total", stats->given_up,
                       "Connections reset because there was no memory for an answer.");
    exposition_counter(
        out, "mock_http_refused_total", snapshot->refused,
        "Requests refused below the application: malformed, over a limit, too slow.");
    exposition_gauge(out, "mock_connections_active", snapshot->conns_active, "Open connections.");
    exposition_counter(out, "mock_connections_total", snapshot->conns_total,
                       "Accepted connections.");
}

static void metrics_models(const struct exposition *out, const struct snapshot *snapshot)
{
    const struct residency *residency = &snapshot->residency;
    exposition_gauge(out, "mock_models_configured", snapshot_models_count(snapshot),
                     "Models of the configuration.");
    exposition_gauge(out, "mock_models_loaded", snapshot_loaded_count(snapshot),
                     "Models that are loaded.");
    exposition_gauge(out, "mock_model_memory_used_bytes",
                     residency_used_bytes(residency, snapshot->now_ns),
                     "Pretended memory that models take.");
    exposition_gauge(out, "mock_model_memory_capacity_bytes", residency->cfg.capacity_bytes,
                     "Pretended memory that there is; 0: no limit.");
    exposition_counter(out, "mock_model_loads_total", residency->stats.loads_total,
                       "Loads of models that began.");
    exposition_counter(out, "mock_model_unloads_total", residency->stats.unloads_total,
                       "Models unloaded on demand.");
    exposition_counter(out, "mock_model_evictions_total", residency->stats.evictions_total,
                       "Models unloaded to make room for another.");
    exposition_counter(out, "mock_model_load_refusals_total", residency->stats.refusals_total,
                       "Loads refused for want of memory.");
}

static void metrics_mock(const struct exposition *out, const struct snapshot *snapshot)
{
    struct saturation_view saturation = snapshot_saturation(snapshot);
    exposition_gauge(
        out, "mock_saturated", saturation.saturated,
        "1: the mock itself is too slow, and what is measured now is not the server's.");
    exposition_counter(out, "mock_saturation_windows_total", saturation.windows,
                       "Seconds that were judged, summed over the threads.");
    exposition_counter(out, "mock_saturated_windows_total", saturation.windows_saturated,
                       "Those of them in which the mock was too slow.");
    exposition_gauge(out, "mock_config_generation",
                     snapshot->config == NULL ? 0 : snapshot->config->generation,
                     "Grows with each change of the configuration.");
    exposition_counter(out, "mock_journal_dropped_total", snapshot->journal_dropped,
                       "Journal records overwritten by later ones.");
    exposition_counter(out, "mock_request_log_written_total", snapshot->request_log.written,
                       "Records written to the log of requests.");
    exposition_counter(out, "mock_request_log_dropped_total", snapshot->request_log.dropped,
                       "Records missing in it, because its writer did not keep up.");
    exposition_counter(out, "mock_request_log_errors_total", snapshot->request_log.failed,
                       "Errors of writing it.");
}

static void metrics_process(const struct exposition *out, const struct snapshot *snapshot)
{
    exposition_counter(out, "mock_uring_enters_total", snapshot->engine.enters, "Kernel entries.");
    exposition_counter(out, "mock_uring_sqes_total", snapshot->engine.sqes,
                       "Operations submitted.");
    exposition_counter(out, "mock_uring_cq_overflow_total", snapshot->engine.cq_overflows,
                       "Passes that found the completion queue overflowed.");
#define XX(name, help)                                                                             \
    exposition_counter(out, "weir_engine_" #name "_total", snapshot->engine.name, help);
    SNAPSHOT_ENGINE(XX)
#undef XX
    const char *name = "process_cpu_seconds_total";
    exposition_family(out, name, EXPOSITION_COUNTER, "User and system time.");
    exposition_number(out, name, NONE, snapshot->cpu_s);
    exposition_gauge(out, "process_resident_memory_bytes", snapshot->resident_bytes,
                     "Memory in use.");
}

void metrics_write(struct text *text, const struct snapshot *snapshot, bool open_metrics)
{
    const struct exposition out = { .text = text, .open_metrics = open_metrics };
    if (snapshot->failed)
        text->failed = true;
    metrics_requests(&out, &snapshot->stats);
    metrics_durations(&out, &snapshot->stats);
    metrics_times(&out, &snapshot->stats);
    metrics_requests_now(&out, snapshot);
    metrics_faults(&out, &snapshot->stats);
    metrics_disconnects(&out, &snapshot->stats);
    metrics_models(&out, snapshot);
    metrics_mock(&out, snapshot);
    metrics_write_vllm(&out, snapshot);
    metrics_process(&out, snapshot);
    exposition_end(&out);
}
