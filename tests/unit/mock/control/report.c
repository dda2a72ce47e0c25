/* SPDX-License-Identifier: MIT */
#include "mock/control/report.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct snapshot snapshot;
static struct config config;

/* Ids of rules are given by the rules; here one is hard to write. */
const char *fault_number_id(uint16_t number)
{
    return number == 0 ? "" : number == 1 ? "error-rate" : "a \"quoted\"\nrule";
}

const char *fault_kind_name(enum fault_kind kind)
{
    return kind == FAULT_STATUS ? "status" : kind == FAULT_STALL ? "stall" : "another";
}

/* The value at a path like "queue|depth"; a number is an index. */
static const json_t *find(const json_t *root, const char *path)
{
    char copy[128];
    snprintf(copy, sizeof copy, "%s", path);
    const json_t *value = root;
    char *rest = NULL;
    for (char *name = strtok_r(copy, "|", &rest); name != NULL; name = strtok_r(NULL, "|", &rest))
        value = json_is_array(value) ? json_array_get(value, strtoul(name, NULL, 10))
                                     : json_object_get(value, name);
    if (value == NULL)
        fail_msg("%s is missing", path);
    return value;
}

static void expect(const json_t *root, const char *path, json_int_t value)
{
    json_int_t got = json_integer_value(find(root, path));
    if (got != value)
        fail_msg("%s is %lld, not %lld", path, (long long)got, (long long)value);
}

static void expect_real(const json_t *root, const char *path, double value)
{
    double got = json_number_value(find(root, path));
    if (got < value - 0.001 || got > value + 0.001)
        fail_msg("%s is %f, not %f", path, got, value);
}

static void expect_text(const json_t *root, const char *path, const char *value)
{
    assert_string_equal(json_string_value(find(root, path)), value);
}

static void fill_stats(struct stats *stats)
{
    stats_answered(stats, ENDPOINT_INFER, METHOD_POST, 200, 10000000);
    stats_answered(stats, ENDPOINT_INFER, METHOD_POST, 500, 10000000);
    stats_answered(stats, ENDPOINT_OTHER, METHOD_GET, 404, 0);
    stats_fault(stats, 1, FAULT_STATUS);
    stats_fault(stats, 1, FAULT_STALL);
    stats_fault(stats, 3, FAULT_STATUS);
    stats->batch_items = 12;
    stats->cut = 3;
    stats->timers_cancelled = 8;
    stats->disconnects[JOURNAL_DELAYED] = 6;
    stats->rate.tokens_per_s = 1000;
    stats->rate.answered_per_s = 12.5;
    weir_hist_record(stats->schedule_error_ns, 57000);
    stats_delayed(stats, 5000000, 5057000);
    enum stats_place place = STATS_NOWHERE;
    stats_first_token(stats, 1, 30000, 100, 1);
    stats_next_tokens(stats, 1, 20000, 4);
    stats_move(stats, 1, &place, STATS_RUNNING);
    stats_finished(stats, &(struct stats_request){ .model = 1,
                                                   .finish = STATS_LENGTH,
                                                   .arrival_ns = 1,
                                                   .end_ns = 110001,
                                                   .output_tokens = 5 });
    stats_next_tokens(stats, -1, 1, 2);
}

static void fill(void)
{
    struct stats stats;
    assert_int_equal(stats_open(&stats), 0);
    fill_stats(&stats);
    snapshot_add(&snapshot, 0, &stats);
    stats_close(&stats);
    config = (struct config){ .generation = 4,
                              .models = { { .id = "one" }, { .id = "two \"2\"" } },
                              .models_count = 2 };
    const struct residency_model models[] = { { .memory_bytes = 5 },
                                              { .memory_bytes = 6, .loaded = true } };
    assert_int_equal(residency_open(&snapshot.residency, &(struct residency_cfg){ 0 }, models, 2),
                     0);
    snapshot.config = &config;
    snapshot.in_flight = 9;
    snapshot.streams_active = 2;
    snapshot.conns_active = 3;
    snapshot.conns_total = 4;
    snapshot.journal_recorded = 5;
    snapshot.request_log = (struct snapshot_log){ .on = true, .written = 1, .dropped = 2 };
    snapshot.limiter = (struct limiter_view){ .max = 100, .active = 100, .waiting = 11 };
    snapshot.threads = 2;
    snapshot.by_thread[1] = (struct snapshot_thread){
        .conns_active = 3,
        .conns_total = 4,
        .handed_over = 5,
        .taken_over = 6,
        .has_batch = true,
        .batch = { .num_requests_running = 7, .kv_cache_usage_perc = 0.5 },
        .saturation = { .saturated = true, .windows = 9, .error = { .worst_ns = 5000 } },
    };
    snapshot.uptime_s = 1.5;
}

static json_t *report(void)
{
    struct text text = { 0 };
    report_write(&text, &snapshot);
    json_error_t err;
    json_t *root = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &err);
    if (root == NULL)
        fail_msg("%s in %.*s", err.text, (int)text.len, text.ptr);
    text_free(&text);
    return root;
}

static void expect_requests(const json_t *root)
{
    expect(root, "requests_total", 3);
    expect_real(root, "requests_per_s", 12.5);
    expect(root, "errors_by_status|500", 1);
    expect(root, "errors_by_status|404", 1);
    assert_int_equal(json_object_size(find(root, "errors_by_status")), 2);
    expect(root, "endpoints|/api/infer|requests", 2);
    expect(root, "endpoints|/api/infer|by_status|200", 1);
    expect(root, "endpoints|/api/infer|latency_us|count", 2);
    double p50 = json_number_value(find(root, "endpoints|/api/infer|latency_us|p50"));
    assert_true(p50 >= 9900 && p50 <= 10100);
    double error = json_number_value(find(root, "schedule_error_us|p50"));
    assert_true(error > 56.9 && error < 57.1);
    expect_real(root, "asked_us|max", 5000);
    expect_real(root, "delivered_us|max", 5057);
    expect(root, "loop_lag_us|count", 0);
    expect(root, "faults_injected", 3);
    expect(root, "faults|total", 3);
    expect(root, "faults|by_rule|error-rate|status", 1);
    expect(root, "faults|by_rule|error-rate|stall", 1);
    expect(root, "faults|by_rule|a \"quoted\"\nrule|status", 1);
    assert_int_equal(json_object_size(find(root, "faults|by_rule")), 2);
    expect(root, "answers_cut", 3);
    expect(root, "answers_refused", 0);
    expect(root, "batch_items", 12);
    expect(root, "timers_cancelled", 8);
    expect(root, "client_disconnects|delayed", 6);
    expect(root, "disconnects|delayed", 6);
    expect(root, "disconnects|streaming", 0);
    expect(root, "streams|active", 2);
    expect(root, "streams|tokens", 7);
    expect_real(root, "streams|tokens_per_s", 1000);
    expect(root, "concurrency|limit", 100);
    expect(root, "concurrency|in_flight", 9);
    expect(root, "queue|depth", 11);
    expect(root, "queue|wait_us|count", 0);
    expect(root, "connections|active", 3);
    expect(root, "connections|total", 4);
}

static void expect_mock(const json_t *root)
{
    expect(root, "threads", 2);
    expect(root, "generation", 4);
    const json_t *threads = find(root, "by_thread");
    assert_int_equal(json_array_size(threads), 2);
    expect(json_array_get(threads, 0), "connections", 0);
    expect(json_array_get(threads, 1), "connections", 3);
    expect(json_array_get(threads, 1), "connections_total", 4);
    expect(json_array_get(threads, 1), "handed_over", 5);
    expect(json_array_get(threads, 1), "taken_over", 6);
    assert_true(json_is_true(find(root, "saturated")));
    assert_true(json_is_true(find(root, "saturation|saturated")));
    expect(root, "saturation|windows", 9);
    expect_real(root, "saturation|schedule_error|worst_us", 5);
    assert_true(json_is_false(find(root, "saturation|by_thread|0|saturated")));
    assert_true(json_is_true(find(root, "saturation|by_thread|1|saturated")));
    expect(root, "journal|recorded", 5);
    assert_true(json_is_true(find(root, "request_log|on")));
    expect(root, "request_log|dropped", 2);
    expect(root, "uring|cq_overflows", 0);
}

static void expect_models(const json_t *root)
{
    assert_int_equal(json_array_size(find(root, "models")), 3);
    expect_text(root, "models|0|id", "one");
    expect_text(root, "models|0|state", "unloaded");
    expect_text(root, "models|1|id", "two \"2\"");
    expect_text(root, "models|1|state", "loaded");
    expect(root, "models|1|memory_bytes", 6);
    expect(root, "models|1|running", 1);
    expect(root, "models|1|prompt_tokens", 100);
    expect(root, "models|1|output_tokens", 5);
    expect(root, "models|1|finished|length", 1);
    expect_real(root, "models|1|ttft_mean_us", 30);
    expect_real(root, "models|1|itl_mean_us", 20);
    expect_real(root, "models|1|e2e_mean_us", 110);
    assert_true(json_is_null(find(root, "models|2|id")));
    expect(root, "models|2|output_tokens", 2);
    expect(root, "memory|used_bytes", 6);
    expect(root, "memory|loaded", 1);
    assert_int_equal(json_array_size(find(root, "batch_engines")), 1);
    expect(root, "batch_engines|0|thread", 1);
    expect(root, "batch_engines|0|running", 7);
    expect_real(root, "batch_engines|0|kv_cache_usage", 0.5);
}

static void test_report(void **state)
{
    (void)state;
    assert_int_equal(snapshot_open(&snapshot), 0);
    fill();
    json_t *root = report();
    expect_requests(root);
    expect_mock(root);
    expect_models(root);
    json_decref(root);
    snapshot_close(&snapshot);
}

/* Without any count or configuration, too. */
static void test_empty(void **state)
{
    (void)state;
    assert_int_equal(snapshot_open(&snapshot), 0);
    json_t *root = report();
    expect(root, "requests_total", 0);
    expect(root, "generation", 0);
    assert_true(json_is_false(find(root, "saturated")));
    assert_int_equal(json_array_size(find(root, "models")), 0);
    assert_int_equal(json_object_size(find(root, "faults|by_rule")), 0);
    json_decref(root);
    snapshot_close(&snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
