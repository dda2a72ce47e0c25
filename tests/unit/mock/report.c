/* SPDX-License-Identifier: MIT */
#include "mock/report.c"
#include "mock/endpoint.c"
#include "mock/stats.c"
#include "mock/text.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The value at a path like "queue/depth"; names with slashes come with '|' instead. */
static const json_t *find(const json_t *root, const char *path)
{
    char copy[128];
    snprintf(copy, sizeof copy, "%s", path);
    const json_t *value = root;
    char *rest = NULL;
    for (char *name = strtok_r(copy, "|", &rest); name != NULL; name = strtok_r(NULL, "|", &rest))
        value = json_object_get(value, name);
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

static void fill(struct snapshot *snapshot)
{
    struct stats *stats = &snapshot->stats;
    stats_answered(stats, ENDPOINT_INFER, METHOD_POST, STATS_200, 10000000);
    stats_answered(stats, ENDPOINT_INFER, METHOD_POST, STATS_500, 10000000);
    stats_answered(stats, ENDPOINT_OTHER, METHOD_GET, STATS_404, 0);
    stats->faults = 1;
    stats->batch_items = 12;
    stats->disconnects[STATS_DELAYED] = 6;
    weir_hist_record(stats->schedule_error_ns, 57000);
    snapshot->in_flight = 9;
    snapshot->conns_active = 3;
    snapshot->conns_total = 4;
    snapshot->journal_recorded = 5;
    snapshot->limiter = (struct limiter_view){ .max = 100, .active = 100, .waiting = 11 };
    snapshot->threads = 2;
    snapshot->by_thread[1] = (struct snapshot_thread){
        .conns_active = 3, .conns_total = 4, .handed_over = 5, .taken_over = 6
    };
    snapshot->uptime_s = 1.5;
}

static json_t *report(const struct snapshot *snapshot)
{
    struct text text = { 0 };
    report_write(&text, snapshot);
    json_error_t err;
    json_t *root = json_loadb(text.ptr, text.len, 0, &err);
    if (root == NULL)
        fail_msg("%s in %.*s", err.text, (int)text.len, text.ptr);
    text_free(&text);
    return root;
}

static void test_report(void **state)
{
    (void)state;
    struct snapshot snapshot = { 0 };
    assert_int_equal(stats_open(&snapshot.stats), 0);
    json_decref(report(&snapshot)); /* without any count, too */
    fill(&snapshot);
    json_t *root = report(&snapshot);
    expect(root, "threads", 2);
    expect(root, "requests_total", 3);
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
    expect(root, "faults_injected", 1);
    expect(root, "batch_items", 12);
    expect(root, "client_disconnects|delayed", 6);
    expect(root, "concurrency|limit", 100);
    expect(root, "concurrency|in_flight", 9);
    expect(root, "queue|depth", 11);
    expect(root, "queue|wait_us|count", 0);
    expect(root, "connections|active", 3);
    expect(root, "connections|total", 4);
    const json_t *threads = find(root, "by_thread");
    assert_int_equal(json_array_size(threads), 2);
    expect(json_array_get(threads, 0), "connections", 0);
    expect(json_array_get(threads, 1), "connections", 3);
    expect(json_array_get(threads, 1), "connections_total", 4);
    expect(json_array_get(threads, 1), "handed_over", 5);
    expect(json_array_get(threads, 1), "taken_over", 6);
    expect(root, "journal|recorded", 5);
    expect(root, "uring|cq_overflows", 0);
    json_decref(root);
    stats_close(&snapshot.stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_report) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
