/* SPDX-License-Identifier: MIT */
/* The objects are played here: their counters are what the test says. */
#include "perf/get/stats.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void weir_engine_stats(const struct weir_engine *engine, struct weir_engine_stats *out)
{
    (void)engine;
    assert_int_equal(out->size, sizeof(*out));
    out->passes = 7;
}

void weir_client_stats(const struct weir_client *client, struct weir_client_stats *out)
{
    (void)client;
    assert_int_equal(out->size, sizeof(*out));
    out->calls = UINT64_MAX;
    out->conns_now = 3;
}

void weir_client_endpoint_stats(const struct weir_client *client, uint32_t index,
                                struct weir_endpoint_stats *out)
{
    (void)client;
    assert_int_equal(out->size, sizeof(*out));
    out->sent = 10 + index;
    out->healthy = index == 1;
}

void weir_batcher_stats(const struct weir_batcher *batcher, struct weir_batcher_stats *out)
{
    (void)batcher;
    assert_int_equal(out->size, sizeof(*out));
    out->items_mean = 12.5;
}

static json_t *as_json(const struct get_stats *stats)
{
    struct get_text text = { 0 };
    json_error_t why;
    get_text_add_string(&text, "{");
    get_stats_json(stats, &text);
    get_text_add_string(&text, "}");
    /* The largest counter is none that a signed number holds. */
    json_t *parsed = json_loadb((const char *)text.ptr, text.len,
                                JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &why);
    if (parsed == NULL)
        fail_msg("%s: %.*s", why.text, (int)text.len, (char *)text.ptr);
    get_text_deinit(&text);
    return parsed;
}

static void test_json(void **state)
{
    (void)state;
    struct get_stats stats = { .endpoints_count = 2 };
    get_stats_read(&stats, NULL, NULL, NULL);
    stats.client.calls = 5;
    json_t *json = as_json(&stats);
    assert_int_equal(json_real_value(json_object_get(json_object_get(json, "client"), "calls")), 5);
    json_t *endpoints = json_object_get(json, "endpoints");
    assert_int_equal(json_array_size(endpoints), 2);
    assert_true(json_is_false(json_object_get(json_array_get(endpoints, 0), "healthy")));
    assert_true(json_is_true(json_object_get(json_array_get(endpoints, 1), "healthy")));
    assert_null(json_object_get(json, "batcher"));
    json_decref(json);
}

static void test_text(void **state)
{
    (void)state;
    int some = 0;
    struct get_stats stats = { .endpoints_count = 2 };
    struct get_text text = { 0 };
    get_stats_read(&stats, NULL, NULL, (const struct weir_batcher *)(const void *)&some);
    get_stats_text(&stats, &text);
    get_text_printf(&text, "%c", 0);
    assert_string_equal((const char *)text.ptr,
                        "client    calls 18446744073709551615  conns_now 3\n"
                        "server 0  sent 10\n"
                        "server 1  sent 11  healthy true\n"
                        "batcher   items_mean 12.500\n"
                        "engine    passes 7\n");
    get_text_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
