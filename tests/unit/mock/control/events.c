/* SPDX-License-Identifier: MIT */
#include "mock/control/events.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define US UINT64_C(1000)
#define S  UINT64_C(1000000000)

/* What the events tell of: a mock without threads, whose snapshot the tests make. */
struct rig {
    struct options options;
    struct mock mock;
    struct app app;
    struct admin admin;
    struct events events;
    struct journal_record records[EVENTS_RECORDS_SHOWN + 5];
};

static struct rig *rig;

static int setup(void **state)
{
    struct config_error error;
    struct config *config = NULL;
    (void)state;
    rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->options = (struct options){ .threads = 1 };
    json_t *tree =
        json_pack("{s:[{s:s,s:{s:s,s:i}},{s:s,s:b,s:{s:s}}]}", "faults", "id", "bad", "do", "kind",
                  "status", "status", 503, "id", "off", "enabled", 0, "do", "kind", "reset");
    assert_int_equal(config_open(&config, tree, NULL, &error), 0);
    json_decref(tree);
    assert_int_equal(mock_open(&rig->mock, &rig->options, config), 0);
    rig->app.mock = &rig->mock;
    rig->admin.app = &rig->app;
    rig->admin.records = rig->records;
    assert_int_equal(snapshot_open(&rig->admin.snapshot), 0);
    rig->admin.snapshot.config = config;
    rig->admin.snapshot.threads = 1;
    models_residency(&rig->admin.snapshot.residency, &rig->mock.models, weir_clock_ns());
    assert_int_equal(events_open(&rig->events, &rig->admin), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    events_stop(&rig->events);
    events_close(&rig->events);
    snapshot_close(&rig->admin.snapshot);
    assert_int_equal(mock_close(&rig->mock), 0);
    free(rig);
    return 0;
}

/* The next event as JSON, as of `now_ns`; it is one line and an empty one. */
static json_t *event(uint64_t now_ns)
{
    struct text text = { 0 };
    json_error_t error;
    rig->admin.snapshot.now_ns = now_ns;
    write_event(&text, &rig->events);
    assert_false(text.failed);
    assert_true(text.len > 8);
    assert_memory_equal(text.ptr, "data: ", 6);
    assert_memory_equal(text.ptr + text.len - 2, "\n\n", 2);
    assert_null(memchr(text.ptr, '\n', text.len - 2));
    json_t *json = json_loadb(text.ptr + 6, text.len - 8, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL)
        fail_msg("%s: %.*s", error.text, (int)text.len, text.ptr);
    text_free(&text);
    return json;
}

static double number(const json_t *json, const char *object, const char *key)
{
    const json_t *value = json_object_get(json_object_get(json, object), key);
    if (!json_is_number(value))
        fail_msg("%s.%s is no number", object, key);
    return json_number_value(value);
}

static void expect(const json_t *json, const char *object, const char *key, double value)
{
    double got = number(json, object, key);
    if (got < value - 0.05 || got > value + 0.05)
        fail_msg("%s.%s is %f instead of %f", object, key, got, value);
}

/* Within 3 % of what the histogram says, which is itself within 1 %. */
static void expect_latency(const json_t *json, const char *name, const char *key, double us)
{
    const json_t *latency = json_object_get(json_object_get(json, "latency"), name);
    const json_t *value = json_object_get(latency, key);
    if (!json_is_number(value))
        fail_msg("latency.%s.%s is no number", name, key);
    if (json_number_value(value) < us * 0.99 || json_number_value(value) > us * 1.05)
        fail_msg("latency.%s.%s is %f instead of %f", name, key, json_number_value(value), us);
}

static void test_at_first(void **state)
{
    (void)state;
    json_t *json = event(S);
    expect(json, "rates", "requests_per_s", 0);
    expect(json, "totals", "requests", 0);
    const json_t *latency = json_object_get(json, "latency");
    const json_t *asked = json_object_get(latency, "asked_us");
    assert_true(json_is_null(json_object_get(asked, "p50")));
    assert_true(
        json_is_null(json_object_get(json_object_get(latency, "schedule_error_us"), "max")));
    assert_int_equal(json_array_size(json_object_get(json, "requests")), 0);
    assert_int_equal(json_array_size(json_object_get(json, "models")), 2);
    assert_true(json_is_false(json_object_get(json, "saturated")));
    json_decref(json);
}

/* Counts become rates over the time between two events. */
static void test_rates(void **state)
{
    (void)state;
    struct stats *stats = &rig->admin.snapshot.stats;
    json_decref(event(S));
    for (int i = 0; i < 20; i++)
        stats_answered(stats, ENDPOINT_INFER, METHOD_POST, i < 15 ? 200 : 503, US);
    stats->tokens += 300;
    stats->faults += 5;
    stats->cut += 2;
    stats->disconnects[JOURNAL_STREAMING] = 3;
    stats->disconnects[JOURNAL_QUEUED] = 1;
    json_t *json = event(S + S / 2);
    expect(json, "rates", "requests_per_s", 40);
    expect(json, "rates", "tokens_per_s", 600);
    expect(json, "rates", "errors_per_s", 14);
    expect(json, "rates", "faults_per_s", 10);
    expect(json, "totals", "requests", 20);
    expect(json, "totals", "disconnects", 4);
    json_decref(json);
    json = event(2 * S);
    expect(json, "rates", "requests_per_s", 0);
    expect(json, "totals", "requests", 20);
    json_decref(json);
}

/* After a reset there is less than before: no rate is negative, or huge. */
static void test_reset(void **state)
{
    (void)state;
    struct stats *stats = &rig->admin.snapshot.stats;
    for (int i = 0; i < 20; i++) {
        stats_answered(stats, ENDPOINT_INFER, METHOD_POST, 200, US);
        stats_delayed(stats, 5000 * US, 6000 * US);
    }
    stats->tokens = stats->faults = 100;
    json_decref(event(S));
    stats_reset(stats);
    stats_delayed(stats, 5000 * US, 6000 * US);
    json_t *json = event(2 * S);
    static const char *const rates[] = { "requests_per_s", "tokens_per_s", "errors_per_s",
                                         "faults_per_s" };
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        expect(json, "rates", rates[i], 0);
    expect(json, "totals", "requests", 0);
    json_decref(json);
    /* More requests than before the reset already, but fewer tokens and faults. */
    stats->tokens = stats->faults = 50;
    json_decref(event(3 * S));
    stats_reset(stats);
    for (int i = 0; i < 30; i++)
        stats_answered(stats, ENDPOINT_INFER, METHOD_POST, 200, US);
    json = event(4 * S);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (number(json, "rates", rates[i]) > 30)
            fail_msg("%s is %f", rates[i], number(json, "rates", rates[i]));
    json_decref(json);
}

/* Percentiles are of what came since the last event, not of all. */
static void test_latencies(void **state)
{
    (void)state;
    struct stats *stats = &rig->admin.snapshot.stats;
    for (int i = 0; i < 1000; i++)
        stats_delayed(stats, 100 * US, 200 * US);
    json_t *json = event(S);
    expect_latency(json, "asked_us", "p50", 100);
    expect_latency(json, "delivered_us", "p99", 200);
    json_decref(json);
    for (int i = 0; i < 100; i++) {
        stats_delayed(stats, i < 98 ? 5000 * US : 90000 * US, 7000 * US);
        weir_hist_record(stats->schedule_error_ns, i < 99 ? 10 * US : 300 * US);
    }
    json = event(2 * S);
    expect_latency(json, "asked_us", "p50", 5000);
    expect_latency(json, "asked_us", "p99", 90000);
    expect_latency(json, "delivered_us", "p50", 7000);
    expect_latency(json, "schedule_error_us", "p50", 10);
    expect_latency(json, "schedule_error_us", "max", 300);
    json_decref(json);
    json = event(3 * S);
    assert_true(json_is_null(
        json_object_get(json_object_get(json_object_get(json, "latency"), "asked_us"), "p99")));
    json_decref(json);
}

static void test_faults(void **state)
{
    (void)state;
    const struct fault_subject subject = { .key = 1 };
    for (int i = 0; i < 3; i++)
        assert_true(fault_rule_strikes(rig->mock.config->faults[0], &subject));
    fault_rule_release(rig->mock.config->faults[0]);
    json_t *json = event(S);
    const json_t *faults = json_object_get(json, "faults");
    assert_int_equal(json_array_size(faults), 2);
    const json_t *bad = json_array_get(faults, 0), *off = json_array_get(faults, 1);
    assert_string_equal(json_string_value(json_object_get(bad, "id")), "bad");
    assert_string_equal(json_string_value(json_object_get(bad, "kind")), "status");
    assert_int_equal(json_integer_value(json_object_get(bad, "struck")), 3);
    assert_int_equal(json_integer_value(json_object_get(bad, "active")), 2);
    assert_true(json_is_true(json_object_get(bad, "enabled")));
    assert_true(json_is_false(json_object_get(off, "enabled")));
    json_decref(json);
    for (int i = 0; i < 2; i++)
        fault_rule_release(rig->mock.config->faults[0]);
}

/* The last ones, the newest first. */
static void test_requests(void **state)
{
    (void)state;
    rig->admin.records_count = EVENTS_RECORDS_SHOWN + 5;
    for (uint32_t i = 0; i < rig->admin.records_count; i++)
        rig->records[i] = (struct journal_record){ .seq = i + 1,
                                                   .endpoint = ENDPOINT_INFER,
                                                   .method = METHOD_POST,
                                                   .status = 200,
                                                   .model = -1 };
    json_t *json = event(S);
    const json_t *requests = json_object_get(json, "requests");
    assert_int_equal(json_array_size(requests), EVENTS_RECORDS_SHOWN);
    for (size_t i = 0; i < EVENTS_RECORDS_SHOWN; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(requests, i), "seq")),
                         EVENTS_RECORDS_SHOWN + 5 - i);
    json_decref(json);
}

/* Of any three values the middle one is found, whatever their size. */
static void test_percentile(void **state)
{
    (void)state;
    struct stats *stats = &rig->admin.snapshot.stats;
    struct weir_hist *before = rig->events.before.asked_ns;
    for (uint64_t ns = 1; ns < 1000 * S; ns = ns * 3 + 1) {
        weir_hist_reset(stats->asked_ns);
        weir_hist_record(stats->asked_ns, ns);
        weir_hist_record(stats->asked_ns, ns * 2);
        weir_hist_record(stats->asked_ns, ns * 5);
        double us = since_percentile_us(stats->asked_ns, before, 0.5);
        assert_true(us >= (double)ns * 2 / 1e3 * 0.99);
        assert_true(us <= (double)ns * 2 / 1e3 * 1.05 + 0.001);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_latencies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_percentile, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
