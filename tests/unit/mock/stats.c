/* SPDX-License-Identifier: MIT */
#include "mock/stats.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_count_merge_reset(void **state)
{
    (void)state;
    struct stats a, b;
    assert_int_equal(stats_open(&a), 0);
    assert_int_equal(stats_open(&b), 0);
    stats_answered(&a, ENDPOINT_INFER, METHOD_POST, STATS_200, 1000);
    stats_answered(&a, ENDPOINT_INFER, METHOD_POST, STATS_500, 3000);
    stats_answered(&b, ENDPOINT_INFER, METHOD_POST, STATS_500, 5000);
    stats_answered(&b, ENDPOINT_HEALTH, METHOD_HEAD, STATS_200, 0);
    a.faults = 1;
    b.faults = 2;
    b.unanswered = 3;
    a.batch_items = 1;
    b.batch_items = 6;
    b.disconnects[STATS_QUEUED] = 4;
    weir_hist_record(b.schedule_error_ns, 57000);
    weir_hist_record(b.queue_wait_ns, 10);
    stats_merge(&a, &b);
    assert_int_equal(stats_count_endpoint(&a, ENDPOINT_INFER), 3);
    assert_int_equal(stats_count_endpoint(&a, ENDPOINT_HEALTH), 1);
    assert_int_equal(stats_count_endpoint(&a, ENDPOINT_MODELS), 0);
    assert_int_equal(stats_count_code(&a, STATS_500), 2);
    assert_int_equal(stats_count_code(&a, STATS_200), 2);
    assert_int_equal(a.faults, 3);
    assert_int_equal(a.unanswered, 3);
    assert_int_equal(a.batch_items, 7);
    assert_int_equal(a.disconnects[STATS_QUEUED], 4);
    assert_int_equal(weir_hist_count(a.latency_ns[ENDPOINT_INFER]), 3);
    assert_int_equal(weir_hist_max(a.latency_ns[ENDPOINT_INFER]), 5000);
    assert_int_equal(weir_hist_count(a.schedule_error_ns), 1);
    assert_int_equal(weir_hist_count(a.queue_wait_ns), 1);
    assert_int_equal(stats_count_code(&b, STATS_500), 1); /* unchanged */
    stats_reset(&a);
    assert_int_equal(stats_count_code(&a, STATS_200), 0);
    assert_int_equal(a.faults, 0);
    assert_int_equal(a.batch_items, 0);
    assert_int_equal(a.disconnects[STATS_QUEUED], 0);
    assert_int_equal(weir_hist_count(a.latency_ns[ENDPOINT_INFER]), 0);
    assert_int_equal(weir_hist_count(a.schedule_error_ns), 0);
    assert_int_equal(weir_hist_count(a.queue_wait_ns), 0);
    stats_answered(&a, ENDPOINT_INFER, METHOD_POST, STATS_200, 1);
    assert_int_equal(stats_count_code(&a, STATS_200), 1);
    stats_close(&a);
    stats_close(&b);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(stats_status(STATS_413), 413);
    assert_int_equal(stats_status(STATS_503), 503);
    assert_string_equal(stats_phase_name(STATS_BODY), "body");
    assert_string_equal(stats_phase_name(STATS_ANSWERED), "answered");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_merge_reset),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
