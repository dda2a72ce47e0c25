/* SPDX-License-Identifier: MIT */
#include "mock/control/metrics.c"

#include "unit/mock/control/scrape.h"

static struct snapshot snapshot;
static struct config config;
static struct scrape scrape;

/* Ids of rules are given by the rules; here they are whatever is hard to write. */
const char *fault_number_id(uint16_t number)
{
    return number == 0 ? "" : number == 1 ? "error-rate" : "a\\ \"quoted\"\nrule";
}

const char *fault_kind_name(enum fault_kind kind)
{
    static const char *const names[] = {
#define XX(symbol, name) name,
        FAULT_KINDS(XX)
#undef XX
    };
    return names[kind];
}

static void add_model(const char *id)
{
    struct config_model *model = &config.models[config.models_count++];
    snprintf(model->id, sizeof model->id, "%s", id);
}

static void use_models(struct stats *stats)
{
    enum stats_place place = STATS_NOWHERE;
    stats_first_token(stats, 0, 30000000, 100, 1);
    for (int i = 0; i < 9; i++)
        stats_next_tokens(stats, 0, 20000000, 1);
    stats_finished(stats, &(struct stats_request){ .finish = STATS_STOP,
                                                   .arrival_ns = 1000000000,
                                                   .admitted_ns = 1005000000,
                                                   .first_token_ns = 1030000000,
                                                   .last_token_ns = 1210000000,
                                                   .end_ns = 1210000000,
                                                   .prompt_tokens = 100,
                                                   .output_tokens = 10,
                                                   .max_tokens = 16 });
    stats_move(stats, 0, &place, STATS_RUNNING);
    place = STATS_NOWHERE;
    stats_move(stats, 1, &place, STATS_WAITING);
    stats_first_token(stats, -1, 1, 7, 1);
    stats_first_token(stats, 40, 1, 7, 1); /* was in the configuration once */
}

static void fill_stats(struct stats *stats)
{
    stats_answered(stats, ENDPOINT_MODELS, METHOD_GET, 200, 5057000);
    stats_answered(stats, ENDPOINT_MODELS, METHOD_GET, 200, 5061000);
    stats_answered(stats, ENDPOINT_MODELS, METHOD_GET, 500, 5055000);
    stats_answered(stats, ENDPOINT_HEALTH, METHOD_HEAD, 200, 0);
    stats_answered(stats, ENDPOINT_OTHER, METHOD_OTHER, 777, 0);
    weir_hist_record(stats->schedule_error_ns, 4000);
    weir_hist_record(stats->schedule_error_ns, 57000);
    weir_hist_record(stats->schedule_error_ns, 61000);
    weir_hist_record(stats->queue_wait_ns, 2000000);
    weir_hist_record(stats->loop_lag_ns, 2000);
    stats_delayed(stats, 5000000, 5057000);
    stats_fault(stats, 1, FAULT_STATUS);
    stats_fault(stats, 1, FAULT_STATUS);
    stats_fault(stats, 2, FAULT_RESET);
    stats_fault(stats, 0, FAULT_STALL);
    stats->disconnects[JOURNAL_QUEUED] = 2;
    stats->disconnects[JOURNAL_STREAMING] = 3;
    stats->timers_cancelled = 3;
    stats->cut = 1;
    stats->given_up = 2;
    stats->batch_items = 12;
    use_models(stats);
}

static void fill(void)
{
    struct stats stats, other;
    assert_int_equal(stats_open(&stats), 0);
    assert_int_equal(stats_open(&other), 0);
    fill_stats(&stats);
    stats_first_token(&other, 1, 2000000, 3, 1);
    config = (struct config){
        .generation = 4,
        .engine = { .kind = CONFIG_ENGINE_BATCH,
                    .batch = { .blocks_count = 512, .block_tokens = 16, .prefix_cache = true } }
    };
    add_model("bitnet-7b");
    add_model("new\nline \"and\" back\\slash");
    snapshot_add(&snapshot, 0, &stats);
    snapshot_add(&snapshot, 1, &other);
    snapshot_add_batch(&snapshot, 0, 0,
                       &(struct model_engine_stats){ .kv_cache_usage_perc = 0.25,
                                                     .num_preemptions_total = 2,
                                                     .prefix_cache_queries_total = 64,
                                                     .prefix_cache_hits_total = 32 });
    snapshot_add_batch(&snapshot, 1, 1,
                       &(struct model_engine_stats){ .kv_cache_usage_perc = 0.75 });
    stats_close(&stats);
    stats_close(&other);
    const struct residency_model models[] = { { .memory_bytes = 5, .loaded = true },
                                              { .memory_bytes = 6 } };
    assert_int_equal(residency_open(&snapshot.residency,
                                    &(struct residency_cfg){ .capacity_bytes = 20 }, models, 2),
                     0);
    (void)residency_load(&snapshot.residency, 1, 10, 100);
    snapshot.now_ns = 20;
    snapshot.unix_s = 1700000000;
    snapshot.config = &config;
    snapshot.in_flight = 3;
    snapshot.streams_active = 2;
    snapshot.conns_active = 4;
    snapshot.conns_total = 5;
    snapshot.refused = 6;
    snapshot.engine.enters = 7;
    snapshot.engine.sqes = 8;
    snapshot.engine.cq_overflows = 9;
    snapshot.engine.spins = 10;
    snapshot.journal_dropped = 10;
    snapshot.request_log = (struct snapshot_log){ .on = true, .written = 20, .dropped = 21 };
    snapshot.limiter = (struct limiter_view){ .max = 100, .active = 100, .waiting = 11 };
    snapshot.threads = 2;
    snapshot.by_thread[1].saturation =
        (struct saturation_view){ .saturated = true, .windows = 9, .windows_saturated = 1 };
    snapshot.cpu_s = 1.25;
    snapshot.resident_bytes = 1 << 20;
}

static void expect(const char *name, double value)
{
    scrape_expect(&scrape, name, value);
}

static void expect_requests(bool open)
{
#define DURATION "mock_http_request_duration_seconds"
    expect("mock_http_requests_total{endpoint=\"/api/models\",method=\"GET\",code=\"200\"}", 2);
    expect("mock_http_requests_total{endpoint=\"/api/models\",method=\"GET\",code=\"500\"}", 1);
    expect("mock_http_requests_total{endpoint=\"/api/health\",method=\"HEAD\",code=\"200\"}", 1);
    expect("mock_http_requests_total{endpoint=\"other\",method=\"other\",code=\"other\"}", 1);
    expect(DURATION "_bucket{endpoint=\"/api/models\",le=\"0.0025\"}", 0);
    expect(DURATION "_bucket{endpoint=\"/api/models\",le=\"0.01\"}", 3);
    expect(DURATION "_count{endpoint=\"/api/models\"}", 3);
    expect(DURATION "_sum{endpoint=\"/api/models\"}", 0.015173);
    expect(open ? DURATION "_bucket{endpoint=\"/api/health\",le=\"5e-05\"}"
                : DURATION "_bucket{endpoint=\"/api/health\",le=\"0.00005\"}",
           1);
    expect(open ? "mock_schedule_error_seconds_bucket{le=\"5e-06\"}"
                : "mock_schedule_error_seconds_bucket{le=\"0.000005\"}",
           1);
    expect("mock_schedule_error_seconds_bucket{le=\"0.0001\"}", 3);
    double median = scrape_value(&scrape, "mock_schedule_error_seconds_median");
    assert_true(median > 0.0000569 && median < 0.0000571);
    expect("mock_queue_wait_seconds_count", 1);
    expect("mock_delay_asked_seconds_sum", 0.005);
    expect("mock_delay_delivered_seconds_sum", 0.005057);
    expect("mock_loop_lag_seconds_sum", 0.000002);
    expect("mock_inflight_requests", 3);
    expect("mock_queue_depth", 11);
    expect("mock_streams_active", 2);
    expect("mock_tokens_total", 13);
    expect("mock_http_requests_cut_total", 1);
    expect("mock_answers_given_up_total", 2);
    expect("mock_batch_items_total", 12);
    expect("mock_faults_injected_total{rule=\"error-rate\",kind=\"status\"}", 2);
    expect("mock_faults_injected_total{rule=\"\",kind=\"stall\"}", 1);
    expect("mock_faults_injected_total{rule=\"a\\\\ \\\"quoted\\\"\\nrule\",kind=\"reset\"}", 1);
    expect("mock_client_disconnects_total{phase=\"queued\"}", 2);
    expect("mock_client_disconnects_total{phase=\"streaming\"}", 3);
    expect("mock_timers_cancelled_total", 3);
}

static void expect_mock(void)
{
    expect("mock_connections_active", 4);
    expect("mock_connections_total", 5);
    expect("mock_http_refused_total", 6);
    expect("mock_uring_enters_total", 7);
    expect("mock_uring_sqes_total", 8);
    expect("mock_uring_cq_overflow_total", 9);
    expect("weir_engine_enters_total", 7);
    expect("weir_engine_spins_total", 10);
    expect("weir_engine_zc_copied_total", 0);
    expect("mock_journal_dropped_total", 10);
    expect("mock_request_log_written_total", 20);
    expect("mock_request_log_dropped_total", 21);
    expect("mock_request_log_errors_total", 0);
    expect("mock_config_generation", 4);
    expect("mock_saturated", 1);
    expect("mock_saturation_windows_total", 9);
    expect("mock_saturated_windows_total", 1);
    expect("mock_models_configured", 2);
    expect("mock_models_loaded", 1);
    expect("mock_model_memory_used_bytes", 11);
    expect("mock_model_memory_capacity_bytes", 20);
    expect("mock_model_loads_total", 1);
    expect("process_cpu_seconds_total", 1.25);
    expect("process_resident_memory_bytes", 1 << 20);
}

#define ONE  "model_name=\"bitnet-7b\",engine=\"0\""
#define IDLE "model_name=\"bitnet-7b\",engine=\"1\""
#define TWO  "model_name=\"new\\nline \\\"and\\\" back\\\\slash\",engine=\"1\""

static void expect_vllm(void)
{
    expect("vllm:num_requests_running{" ONE "}", 1);
    expect("vllm:num_requests_running{" IDLE "}", 0);
    expect("vllm:num_requests_waiting{model_name=\"new\\nline \\\"and\\\" back\\\\slash\","
           "engine=\"0\"}",
           1);
    expect("vllm:kv_cache_usage_perc{" ONE "}", 0.25);
    expect("vllm:kv_cache_usage_perc{" IDLE "}", 0);
    expect("vllm:kv_cache_usage_perc{" TWO "}", 0.75);
    expect("vllm:num_preemptions_total{" ONE "}", 2);
    expect("vllm:prefix_cache_queries_total{" ONE "}", 64);
    expect("vllm:prefix_cache_hits_total{" ONE "}", 32);
    expect("vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"512\","
           "enable_prefix_caching=\"True\",engine=\"1\"}",
           1);
    expect("vllm:lora_requests_info{max_lora=\"2\","
           "waiting_lora_adapters=\"new\\nline \\\"and\\\" back\\\\slash\","
           "running_lora_adapters=\"bitnet-7b\"}",
           1700000000);
    expect("vllm:prompt_tokens_total{" ONE "}", 100);
    expect("vllm:prompt_tokens_total{" TWO "}", 3);
    expect("vllm:prompt_tokens_total{model_name=\"\",engine=\"0\"}", 7);
    expect("vllm:generation_tokens_total{" ONE "}", 10);
    expect("vllm:request_success_total{" ONE ",finished_reason=\"stop\"}", 1);
    expect("vllm:request_success_total{" ONE ",finished_reason=\"length\"}", 0);
    expect("vllm:request_success_total{" ONE ",finished_reason=\"abort\"}", 0);
    expect("vllm:time_to_first_token_seconds_bucket{" ONE ",le=\"0.02\"}", 0);
    expect("vllm:time_to_first_token_seconds_bucket{" ONE ",le=\"0.04\"}", 1);
    expect("vllm:time_to_first_token_seconds_sum{" ONE "}", 0.03);
    expect("vllm:time_to_first_token_seconds_sum{" TWO "}", 0.002);
    expect("vllm:inter_token_latency_seconds_bucket{" ONE ",le=\"0.025\"}", 9);
    expect("vllm:time_per_output_token_seconds_count{" ONE "}", 9);
    expect("vllm:request_time_per_output_token_seconds_sum{" ONE "}", 0.02);
    expect("vllm:e2e_request_latency_seconds_sum{" ONE "}", 0.21);
    expect("vllm:request_queue_time_seconds_sum{" ONE "}", 0.005);
    expect("vllm:request_inference_time_seconds_sum{" ONE "}", 0.205);
    expect("vllm:request_prefill_time_seconds_sum{" ONE "}", 0.025);
    expect("vllm:request_decode_time_seconds_sum{" ONE "}", 0.18);
    expect("vllm:request_prompt_tokens_bucket{" ONE ",le=\"100.0\"}", 1);
    expect("vllm:request_generation_tokens_sum{" ONE "}", 10);
    expect("vllm:request_params_max_tokens_bucket{" ONE ",le=\"20.0\"}", 1);
}

static void test_values(void **state)
{
    (void)state;
    for (int open = 0; open < 2; open++) {
        struct text text = { 0 };
        assert_int_equal(snapshot_open(&snapshot), 0);
        fill();
        metrics_write(&text, &snapshot, open != 0);
        scrape_open(&scrape, &text, open != 0);
        expect_requests(open != 0);
        expect_mock();
        expect_vllm();
        scrape_close(&scrape);
        text_free(&text);
        snapshot_close(&snapshot);
    }
}

/* Nothing was asked, and there is no configuration: families are there, and nothing twice. */
static void test_empty(void **state)
{
    (void)state;
    for (int open = 0; open < 2; open++) {
        struct text text = { 0 };
        assert_int_equal(snapshot_open(&snapshot), 0);
        snapshot.threads = 1;
        metrics_write(&text, &snapshot, open != 0);
        scrape_open(&scrape, &text, open != 0);
        double median = scrape_value(&scrape, "mock_schedule_error_seconds_median");
        assert_true(median != median);
        expect("mock_schedule_error_seconds_count", 0);
        expect("mock_saturated", 0);
        expect("vllm:num_requests_running{model_name=\"\",engine=\"0\"}", 0);
        expect("vllm:e2e_request_latency_seconds_count{model_name=\"\",engine=\"0\"}", 0);
        scrape_close(&scrape);
        text_free(&text);
        snapshot_close(&snapshot);
    }
}

/* Models that nobody configured share their name with nobody. */
static void test_unknown_models(void **state)
{
    (void)state;
    struct text text = { 0 };
    struct stats stats;
    assert_int_equal(snapshot_open(&snapshot), 0);
    assert_int_equal(stats_open(&stats), 0);
    stats_first_token(&stats, -1, 1, 5, 1);
    stats_first_token(&stats, 0, 1, 6, 1);
    stats_first_token(&stats, 7, 1, 7, 1);
    snapshot_add(&snapshot, 0, &stats);
    snapshot.threads = 1;
    metrics_write(&text, &snapshot, false);
    scrape_open(&scrape, &text, false);
    expect("vllm:prompt_tokens_total{model_name=\"\",engine=\"0\"}", 5);
    assert_null(scrape_find(&scrape, "vllm:prompt_tokens_total{model_name=\"\",engine=\"1\"}"));
    scrape_close(&scrape);
    text_free(&text);
    stats_close(&stats);
    snapshot_close(&snapshot);
}

static void test_accept(void **state)
{
    (void)state;
    assert_false(metrics_accepts_open((struct weir_slice){ NULL, 0 }));
    assert_false(metrics_accepts_open(WEIR_TEXT("*/*")));
    assert_false(metrics_accepts_open(WEIR_TEXT("text/plain;version=0.0.4")));
    assert_false(metrics_accepts_open(WEIR_TEXT("application/openmetrics-texts")));
    assert_false(metrics_accepts_open(WEIR_TEXT("x-application/openmetrics-text")));
    assert_false(metrics_accepts_open(WEIR_TEXT("application/openmetrics-tex")));
    assert_true(metrics_accepts_open(WEIR_TEXT("application/openmetrics-text")));
    assert_true(metrics_accepts_open(
        WEIR_TEXT("text/plain;q=0.3, Application/OpenMetrics-Text;version=1.0.0;q=0.5")));
    assert_true(metrics_accepts_open(
        WEIR_TEXT("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_unknown_models),
        cmocka_unit_test(test_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
