/* SPDX-License-Identifier: MIT */
#include "mock/metrics.c"
#include "mock/endpoint.c"
#include "mock/stats.c"
#include "mock/text.c"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERIES_MAX      1024
#define SERIES_NAME_MAX 128

/* What a scraper would make of the text: families in order, each sample below its own. */
struct series {
    char name[SERIES_NAME_MAX]; /* with labels */
    double value;
};

struct scrape {
    struct series series[SERIES_MAX];
    size_t count;
    char family[SERIES_NAME_MAX];
    char type[SERIES_NAME_MAX];
};

static bool is_metric_name(const char *name)
{
    if (!isalpha((unsigned char)name[0]))
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && *p != '_')
            return false;
    return true;
}

static bool belongs(const struct scrape *scrape, const char *name)
{
    size_t len = strlen(scrape->family);
    if (strncmp(name, scrape->family, len) != 0)
        return false;
    const char *suffix = name + len;
    size_t suffix_len = strcspn(suffix, "{");
    if (suffix_len == 0)
        return strcmp(scrape->type, "histogram") != 0;
    return strcmp(scrape->type, "histogram") == 0 &&
           (strncmp(suffix, "_bucket", suffix_len) == 0 ||
            strncmp(suffix, "_sum", suffix_len) == 0 || strncmp(suffix, "_count", suffix_len) == 0);
}

static void scrape_line(struct scrape *scrape, const char *line)
{
    if (strncmp(line, "# HELP ", 7) == 0) {
        assert_int_equal(sscanf(line, "# HELP %127s", scrape->family), 1);
        assert_true(is_metric_name(scrape->family));
        scrape->type[0] = '\0';
        return;
    }
    char name[SERIES_NAME_MAX], value[SERIES_NAME_MAX];
    if (strncmp(line, "# TYPE ", 7) == 0) {
        assert_int_equal(sscanf(line, "# TYPE %127s %127s", name, scrape->type), 2);
        assert_string_equal(name, scrape->family);
        return;
    }
    if (sscanf(line, "%127s %127s", name, value) != 2 || !belongs(scrape, name))
        fail_msg("after family %s (%s): %s", scrape->family, scrape->type, line);
    char *end;
    struct series *series = &scrape->series[scrape->count++];
    assert_true(scrape->count < SERIES_MAX);
    snprintf(series->name, sizeof series->name, "%s", name);
    series->value = strtod(value, &end);
    assert_int_equal(*end, '\0');
    for (size_t i = 0; i + 1 < scrape->count; i++)
        assert_string_not_equal(scrape->series[i].name, name);
}

static void scrape_text(struct scrape *scrape, const struct text *text)
{
    assert_false(text->failed);
    assert_int_equal(text->ptr[text->len - 1], '\n');
    const char *at = text->ptr, *text_end = text->ptr + text->len;
    while (at < text_end) {
        const char *end = memchr(at, '\n', (size_t)(text_end - at));
        char line[512];
        assert_true((size_t)(end - at) < sizeof line);
        memcpy(line, at, (size_t)(end - at));
        line[end - at] = '\0';
        scrape_line(scrape, line);
        at = end + 1;
    }
}

static double value_of(const struct scrape *scrape, const char *name)
{
    for (size_t i = 0; i < scrape->count; i++)
        if (strcmp(scrape->series[i].name, name) == 0)
            return scrape->series[i].value;
    fail_msg("%s is missing", name);
    return 0;
}

static void expect(const struct scrape *scrape, const char *name, double value)
{
    double got = value_of(scrape, name);
    if (got < value - 1e-9 || got > value + 1e-9)
        fail_msg("%s is %g, not %g", name, got, value);
}

/* The buckets of a histogram never fall, and the last is the count. */
static void expect_cumulative(const struct scrape *scrape)
{
    double last = 0;
    for (size_t i = 0; i < scrape->count; i++) {
        const struct series *s = &scrape->series[i];
        if (strstr(s->name, "_bucket{") == NULL) {
            if (strstr(s->name, "_count") != NULL)
                assert_true(s->value >= last && s->value <= last);
            continue;
        }
        bool first =
            strstr(s->name, "le=\"0.00005\"") != NULL && strstr(s->name, "schedule") == NULL;
        first = first || strstr(s->name, "le=\"0.000005\"") != NULL;
        assert_true(first || s->value >= last);
        last = s->value;
    }
}

static void fill(struct snapshot *snapshot)
{
    struct stats *stats = &snapshot->stats;
    stats_answered(stats, ENDPOINT_MODELS, METHOD_GET, STATS_200, 5057000);
    stats_answered(stats, ENDPOINT_MODELS, METHOD_GET, STATS_200, 5061000);
    stats_answered(stats, ENDPOINT_MODELS, METHOD_GET, STATS_500, 5055000);
    stats_answered(stats, ENDPOINT_HEALTH, METHOD_HEAD, STATS_200, 0);
    weir_hist_record(stats->schedule_error_ns, 4000);
    weir_hist_record(stats->schedule_error_ns, 57000);
    weir_hist_record(stats->schedule_error_ns, 61000);
    weir_hist_record(stats->queue_wait_ns, 2000000);
    stats->faults = 1;
    stats->disconnects[STATS_QUEUED] = 2;
    *snapshot = (struct snapshot){
        .stats = *stats,
        .in_flight = 3,
        .conns_active = 4,
        .conns_total = 5,
        .refused = 6,
        .engine.enters = 7,
        .engine.sqes = 8,
        .engine.cq_overflows = 9,
        .engine.spins = 10,
        .journal_dropped = 10,
        .limiter = { .max = 100, .active = 100, .waiting = 11 },
        .cpu_s = 1.25,
        .resident_bytes = 1 << 20,
    };
}

static void expect_requests(const struct scrape *s)
{
    const char *models = "mock_http_request_duration_seconds";
    char name[SERIES_NAME_MAX];
    expect(s, "mock_http_requests_total{endpoint=\"/api/models\",method=\"GET\",code=\"200\"}", 2);
    expect(s, "mock_http_requests_total{endpoint=\"/api/models\",method=\"GET\",code=\"500\"}", 1);
    expect(s, "mock_http_requests_total{endpoint=\"/api/health\",method=\"HEAD\",code=\"200\"}", 1);
    snprintf(name, sizeof name, "%s_bucket{endpoint=\"/api/models\",le=\"0.0025\"}", models);
    expect(s, name, 0);
    snprintf(name, sizeof name, "%s_bucket{endpoint=\"/api/models\",le=\"0.01\"}", models);
    expect(s, name, 3);
    snprintf(name, sizeof name, "%s_count{endpoint=\"/api/models\"}", models);
    expect(s, name, 3);
    snprintf(name, sizeof name, "%s_sum{endpoint=\"/api/models\"}", models);
    expect(s, name, 0.015173);
    snprintf(name, sizeof name, "%s_bucket{endpoint=\"/api/health\",le=\"0.00005\"}", models);
    expect(s, name, 1);
}

static void test_values(void **state)
{
    (void)state;
    struct snapshot snapshot = { 0 };
    static struct scrape scrape;
    struct text text = { 0 };
    assert_int_equal(stats_open(&snapshot.stats), 0);
    fill(&snapshot);
    metrics_write(&text, &snapshot);
    scrape_text(&scrape, &text);
    expect_cumulative(&scrape);
    expect_requests(&scrape);
    expect(&scrape, "mock_schedule_error_seconds_bucket{le=\"0.000005\"}", 1);
    expect(&scrape, "mock_schedule_error_seconds_bucket{le=\"0.0001\"}", 3);
    double median = value_of(&scrape, "mock_schedule_error_seconds_median");
    assert_true(median > 0.0000569 && median < 0.0000571);
    expect(&scrape, "mock_queue_wait_seconds_count", 1);
    expect(&scrape, "mock_inflight_requests", 3);
    expect(&scrape, "mock_queue_depth", 11);
    expect(&scrape, "mock_faults_injected_total{kind=\"error\"}", 1);
    expect(&scrape, "mock_client_disconnects_total{phase=\"queued\"}", 2);
    expect(&scrape, "mock_connections_active", 4);
    expect(&scrape, "mock_connections_total", 5);
    expect(&scrape, "mock_http_refused_total", 6);
    expect(&scrape, "mock_uring_enters_total", 7);
    expect(&scrape, "mock_uring_sqes_total", 8);
    expect(&scrape, "mock_uring_cq_overflow_total", 9);
    expect(&scrape, "weir_engine_enters_total", 7);
    expect(&scrape, "weir_engine_spins_total", 10);
    expect(&scrape, "weir_engine_zc_copied_total", 0);
    expect(&scrape, "mock_journal_dropped_total", 10);
    expect(&scrape, "process_cpu_seconds_total", 1.25);
    expect(&scrape, "process_resident_memory_bytes", 1 << 20);
    text_free(&text);
    stats_close(&snapshot.stats);
}

static void test_empty(void **state)
{
    (void)state;
    struct snapshot snapshot = { 0 };
    static struct scrape scrape;
    struct text text = { 0 };
    assert_int_equal(stats_open(&snapshot.stats), 0);
    metrics_write(&text, &snapshot);
    scrape_text(&scrape, &text);
    expect_cumulative(&scrape);
    double median = value_of(&scrape, "mock_schedule_error_seconds_median");
    assert_true(median != median);
    expect(&scrape, "mock_schedule_error_seconds_count", 0);
    text_free(&text);
    stats_close(&snapshot.stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
