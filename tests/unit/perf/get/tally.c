/* SPDX-License-Identifier: MIT */
#include "perf/get/tally.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static json_t *as_json(const struct get_tally *tally)
{
    struct get_text text = { 0 };
    json_error_t why;
    get_text_add_string(&text, "{");
    get_tally_json(tally, &text);
    get_text_add_string(&text, "}");
    json_t *parsed = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
    if (parsed == NULL)
        fail_msg("%s: %.*s", why.text, (int)text.len, (char *)text.ptr);
    get_text_deinit(&text);
    return parsed;
}

static int64_t number_of(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    assert_non_null(value);
    return (int64_t)json_number_value(value);
}

static void test_empty(void **state)
{
    (void)state;
    struct get_tally tally;
    struct get_text text = { 0 };
    assert_int_equal(get_tally_open(&tally), 0);
    json_t *json = as_json(&tally);
    assert_int_equal(number_of(json, "calls"), 0);
    assert_int_equal(number_of(json, "calls_per_s"), 0);
    assert_true(json_is_null(json_object_get(json, "latency_us")));
    json_decref(json);
    get_tally_text(&tally, &text);
    get_text_add_string(&text, "\n");
    assert_null(memmem(text.ptr, text.len, "latency", 7));
    get_text_deinit(&text);
    get_tally_close(&tally);
}

static void test_counts(void **state)
{
    (void)state;
    struct get_tally tally;
    struct get_text text = { 0 };
    assert_int_equal(get_tally_open(&tally), 0);
    tally.begin_ns = 1000000000;
    tally.end_ns = 3000000000;
    for (uint64_t i = 1; i <= 100; i++)
        get_tally_answer(&tally, i > 98 ? 503 : 200, i * 1000000 + 499);
    get_tally_answer(&tally, 999, 1);
    tally.failed = 2;
    tally.bytes = 12345;
    json_t *json = as_json(&tally), *latency = json_object_get(json, "latency_us");
    assert_int_equal(number_of(json, "calls"), 103);
    assert_int_equal(number_of(json, "answered"), 101);
    assert_int_equal(number_of(json, "failed"), 2);
    assert_int_equal(number_of(json, "bytes"), 12345);
    assert_int_equal(number_of(json, "duration_s"), 2);
    assert_int_equal(number_of(json, "calls_per_s"), 50);
    json_t *status = json_object_get(json, "status");
    assert_int_equal(json_object_size(status), 3);
    assert_int_equal(number_of(status, "2xx"), 98);
    assert_int_equal(number_of(status, "5xx"), 2);
    assert_int_equal(number_of(status, "9xx"), 1);
    assert_in_range(number_of(latency, "p50"), 49900, 51100);
    assert_in_range(number_of(latency, "p99"), 98900, 99200);
    assert_int_equal(number_of(latency, "max"), 100000);
    json_decref(json);
    get_tally_text(&tally, &text);
    get_text_printf(&text, "%c", 0);
    assert_non_null(strstr((const char *)text.ptr, "answered 101  failed 2  2xx 98  5xx 2"));
    assert_non_null(strstr((const char *)text.ptr, "max 100ms"));
    get_text_deinit(&text);
    get_tally_close(&tally);
}

static void test_the_first_failure_counts(void **state)
{
    (void)state;
    struct get_tally tally = { .status = GET_STATUS_OK };
    get_tally_fail(&tally, GET_STATUS_OK);
    get_tally_fail(&tally, GET_STATUS_TIMEOUT);
    get_tally_fail(&tally, GET_STATUS_CONNECT);
    assert_int_equal(tally.status, GET_STATUS_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_the_first_failure_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
