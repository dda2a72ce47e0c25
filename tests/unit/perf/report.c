/* SPDX-License-Identifier: MIT */
#include "perf/cpu.c"
#include "perf/options.c"
#include "perf/report.c"
#include "perf/result.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>

static struct bench_options options;
static struct bench_result result;

static int setup(void **state)
{
    static char *argv[] = { (char *)"weir-bench", (char *)"-c", (char *)"3",
                            (char *)"http://127.0.0.1:81/a?q=1", NULL };
    char error[BENCH_ERROR_TEXT_BYTES];
    (void)state;
    assert_int_equal(bench_options_parse(&options, 4, argv, error), BENCH_WISH_RUN);
    assert_int_equal(bench_result_init(&result), 0);
    result.window_ns = 2000000000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_result_deinit(&result);
    bench_options_deinit(&options);
    return 0;
}

typedef void report_fn(FILE *, const struct bench_options *, const struct bench_result *);

/* What a report writes; to be freed. */
static char *report_string(report_fn *report)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    report(out, &options, &result);
    assert_int_equal(fclose(out), 0);
    return text;
}

static json_t *report_parsed(void)
{
    json_error_t error;
    char *text = report_string(bench_report_json);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL)
        fail_msg("%s in: %s", error.text, text);
    free(text);
    return json;
}

static json_int_t integer_at(const json_t *json, const char *outer, const char *inner)
{
    const json_t *at = inner == NULL ? json : json_object_get(json, outer);
    at = json_object_get(at, inner == NULL ? outer : inner);
    if (!json_is_integer(at))
        fail_msg("%s.%s is no integer", outer, inner == NULL ? "" : inner);
    return json_integer_value(at);
}

static double number_at(const json_t *json, const char *key)
{
    const json_t *at = json_object_get(json, key);
    if (!json_is_number(at))
        fail_msg("%s is no number", key);
    return json_number_value(at);
}

static void fill(void)
{
    for (int i = 1; i <= 1000; i++) {
        bench_tally_response(&result.tally, 200, i > 3);
        weir_hist_record(result.latency_us, (uint64_t)i);
    }
    bench_tally_response(&result.tally, 503, false);
    bench_tally_response(&result.tally, 404, false);
    bench_tally_failure(&result.tally, WEIR_E_CONNECT, -ECONNREFUSED);
    bench_tally_failure(&result.tally, WEIR_E_CONNECT, -ENETUNREACH);
    bench_tally_failure(&result.tally, -EHOSTUNREACH, 0);
    bench_tally_finish(&result.tally);
    result.bytes_received = 123456;
    result.client_cpu_us = 2010;
    result.server_cpu_us = 1005;
}

static void test_json_has_the_promised_keys(void **state)
{
    (void)state;
    fill();
    json_t *json = report_parsed();
    assert_int_equal(integer_at(json, "requests", NULL), 1005);
    assert_int_equal(integer_at(json, "errors", NULL), 5);
    assert_true(number_at(json, "requests_per_s") == 500.0);
    assert_true(number_at(json, "duration_s") == 2.0);
    assert_int_equal(integer_at(json, "latency_us", "p50"), 500);
    assert_int_equal(integer_at(json, "latency_us", "p90"), 900);
    assert_int_equal(integer_at(json, "latency_us", "p99"), 990);
    assert_int_equal(integer_at(json, "latency_us", "p99_9"), 999);
    assert_int_equal(integer_at(json, "latency_us", "max"), 1000);
    assert_true(number_at(json_object_get(json, "latency_us"), "mean") == 500.5);
    assert_true(number_at(json, "client_cpu_us_per_request") == 2.0);
    assert_true(json_is_null(json_object_get(json, "server_cpu_us_per_request")));
    assert_int_equal(integer_at(json, "errors_by_kind", "status_4xx"), 1);
    assert_int_equal(integer_at(json, "errors_by_kind", "status_5xx"), 1);
    assert_int_equal(integer_at(json, "errors_by_kind", "connect_refused"), 1);
    assert_int_equal(integer_at(json, "errors_by_kind", "connect_other"), 1);
    assert_int_equal(integer_at(json, "errors_by_kind", "timeout"), 0);
    assert_int_equal(integer_at(json, "errors_by_kind", "EHOSTUNREACH"), 1);
    assert_int_equal(integer_at(json, "status", "200"), 1000);
    assert_int_equal(integer_at(json, "status", "404"), 1);
    assert_int_equal(json_object_size(json_object_get(json, "status")), 3);
    assert_int_equal(integer_at(json, "bytes_received", NULL), 123456);
    assert_int_equal(integer_at(json, "connections", NULL), 3);
    assert_int_equal(integer_at(json, "threads", NULL), 1);
    assert_int_equal(integer_at(json, "pipeline", NULL), 1);
    assert_true(number_at(json, "reused_ratio") > 0.99 && number_at(json, "reused_ratio") < 1.0);
    assert_string_equal(json_string_value(json_object_get(json, "version")), weir_version());
    assert_string_equal(json_string_value(json_object_get(json, "url")), options.url_text);
    json_decref(json);
    result.server_cpu_known = true;
    json = report_parsed();
    assert_true(number_at(json, "server_cpu_us_per_request") == 1.0);
    json_decref(json);
}

static void test_json_of_a_run_without_any_response(void **state)
{
    (void)state;
    result.window_ns = 0;
    json_t *json = report_parsed();
    assert_int_equal(integer_at(json, "requests", NULL), 0);
    assert_true(number_at(json, "requests_per_s") == 0.0);
    assert_true(json_is_null(json_object_get(json_object_get(json, "latency_us"), "p99_9")));
    assert_true(json_is_null(json_object_get(json_object_get(json, "latency_us"), "mean")));
    assert_true(json_is_null(json_object_get(json, "client_cpu_us_per_request")));
    json_decref(json);
}

static void test_json_strings_are_escaped(void **state)
{
    (void)state;
    options.url_text = "http://h/\"\\\x01\xc3";
    json_t *json = report_parsed();
    assert_string_equal(json_string_value(json_object_get(json, "url")),
                        "http://h/\"\\\x01\xc3\x83");
    json_decref(json);
}

/* Two values without a name of their own must not make one key twice. */
static void test_json_keys_are_unique(void **state)
{
    (void)state;
    bench_tally_failure(&result.tally, -4001, 0);
    bench_tally_failure(&result.tally, -4002, 0);
    bench_tally_failure(&result.tally, -4002, 0);
    bench_tally_failure(&result.tally, -EIO, 0);
    json_t *json = report_parsed();
    assert_int_equal(integer_at(json, "errors_by_kind", weir_err_name(-4001)), 3);
    assert_int_equal(integer_at(json, "errors_by_kind", "EIO"), 1);
    json_decref(json);
}

static void test_text_tells_every_error_that_happened_and_no_other(void **state)
{
    (void)state;
    fill();
    result.server_cpu_known = true;
    char *text = report_string(bench_report_text);
    static const char *const there[] = {
        "500 requests/s",
        "p50 500us",
        "p99.9 999us",
        "requests     1,005",
        "errors 5",
        "connect_refused",
        "status_4xx",
        "status_5xx",
        "EHOSTUNREACH",
        "  404",
        "  503",
        "client 2.00 us/request",
        "server 1.00 us/request",
        "123,456 bytes",
    };
    for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
        if (strstr(text, there[i]) == NULL)
            fail_msg("'%s' is not in: %s", there[i], text);
    }
    assert_null(strstr(text, "timeout"));
    assert_null(strstr(text, "status_3xx"));
    free(text);
}

static void test_text_of_a_run_without_any_response(void **state)
{
    (void)state;
    char *text = report_string(bench_report_text);
    assert_non_null(strstr(text, "no 2xx response"));
    free(text);
}

static void test_numbers_are_grouped(void **state)
{
    char text[BENCH_NUMBER_TEXT_BYTES];
    (void)state;
    assert_string_equal(bench_format_number(text, 0), "0");
    assert_string_equal(bench_format_number(text, 999), "999");
    assert_string_equal(bench_format_number(text, 1000), "1,000");
    assert_string_equal(bench_format_number(text, 123456), "123,456");
    assert_string_equal(bench_format_number(text, UINT64_MAX), "18,446,744,073,709,551,615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json_has_the_promised_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_of_a_run_without_any_response, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_strings_are_escaped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_keys_are_unique, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_tells_every_error_that_happened_and_no_other,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_of_a_run_without_any_response, setup, teardown),
        cmocka_unit_test(test_numbers_are_grouped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
