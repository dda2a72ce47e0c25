/* SPDX-License-Identifier: MIT */
#include "perf/result.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct bench_tally tally, other;

static int setup(void **state)
{
    (void)state;
    tally = (struct bench_tally){ .ok = 0 };
    other = (struct bench_tally){ .ok = 0 };
    return 0;
}

static void test_only_2xx_is_ok(void **state)
{
    (void)state;
    static const uint16_t bad[] = { 0, 1, 99, 100, 101, 199, 300, 404, 500, 999, 1000, 65535 };
    for (uint16_t status = 200; status < 300; status++)
        bench_tally_response(&tally, status, false);
    assert_int_equal(tally.ok, 100);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        bench_tally_response(&tally, bad[i], false);
    assert_int_equal(tally.ok, 100);
    assert_int_equal(tally.responses, 112);
    assert_int_equal(bench_tally_done(&tally), 112);
    assert_int_equal(bench_tally_error_count(&tally), 12);
}

static void test_status_classes_are_summed_at_the_end(void **state)
{
    (void)state;
    static const uint16_t codes[] = { 200, 204, 301, 304, 400, 404, 404, 429, 500, 503, 101, 600 };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        bench_tally_response(&tally, codes[i], true);
    bench_tally_finish(&tally);
    assert_int_equal(tally.errors[BENCH_ERROR_STATUS_3XX], 2);
    assert_int_equal(tally.errors[BENCH_ERROR_STATUS_4XX], 4);
    assert_int_equal(tally.errors[BENCH_ERROR_STATUS_5XX], 2);
    assert_int_equal(tally.errors[BENCH_ERROR_STATUS_OTHER], 2);
    assert_int_equal(tally.status[404], 2);
    assert_int_equal(tally.reused, 12);
}

static void test_every_failure_has_its_kind(void **state)
{
    static const struct {
        int err, os_err;
        enum bench_error kind;
    } cases[] = {
        { WEIR_E_CONNECT, -ECONNREFUSED, BENCH_ERROR_CONNECT_REFUSED },
        { WEIR_E_CONNECT, -ETIMEDOUT, BENCH_ERROR_CONNECT_TIMEOUT },
        { WEIR_E_CONNECT, -ENETUNREACH, BENCH_ERROR_CONNECT_OTHER },
        { WEIR_E_CONNECT, 0, BENCH_ERROR_CONNECT_OTHER },
        { WEIR_E_CONNECT_TIMEOUT, 0, BENCH_ERROR_CONNECT_TIMEOUT },
        { WEIR_E_CLOSED, 0, BENCH_ERROR_CLOSED },
        { WEIR_E_TRUNCATED, 0, BENCH_ERROR_TRUNCATED },
        { -ECONNRESET, 0, BENCH_ERROR_RESET },
        { -EPIPE, 0, BENCH_ERROR_RESET },
        { WEIR_E_PROTOCOL, 0, BENCH_ERROR_PROTOCOL },
        { WEIR_E_LIMIT, 0, BENCH_ERROR_LIMIT },
        { WEIR_E_DEADLINE, 0, BENCH_ERROR_TIMEOUT },
        { WEIR_E_TIMEOUT, 0, BENCH_ERROR_TIMEOUT },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t before = tally.errors[cases[i].kind];
        bench_tally_failure(&tally, cases[i].err, cases[i].os_err);
        if (tally.errors[cases[i].kind] != before + 1)
            fail_msg("%s is not counted as %s", weir_err_name(cases[i].err),
                     bench_error_key(cases[i].kind));
    }
    assert_int_equal(tally.failures, sizeof(cases) / sizeof(cases[0]));
    assert_int_equal(tally.connect_other_err, -ENETUNREACH);
    assert_int_equal(tally.others[0].count, 0);
}

static void test_other_errors_are_counted_by_value(void **state)
{
    (void)state;
    bench_tally_failure(&tally, -EHOSTUNREACH, 0);
    bench_tally_failure(&tally, WEIR_E_QUEUE_FULL, 0);
    bench_tally_failure(&tally, -EHOSTUNREACH, 0);
    assert_int_equal(tally.others[0].err, -EHOSTUNREACH);
    assert_int_equal(tally.others[0].count, 2);
    assert_int_equal(tally.others[1].err, WEIR_E_QUEUE_FULL);
    assert_int_equal(tally.others[1].count, 1);
    for (int i = 0; i < BENCH_OTHERS_MAX + 3; i++)
        bench_tally_failure(&tally, -1000 - i, 0);
    assert_int_equal(tally.others_lost, 5);
    assert_int_equal(tally.failures, 3 + BENCH_OTHERS_MAX + 3);
    for (uint32_t i = 0; i < BENCH_ERROR_COUNT; i++)
        assert_int_equal(tally.errors[i], 0);
}

static void test_merging_adds_everything(void **state)
{
    (void)state;
    bench_tally_response(&tally, 200, true);
    bench_tally_response(&tally, 404, false);
    bench_tally_failure(&tally, WEIR_E_CLOSED, 0);
    bench_tally_failure(&tally, -EIO, 0);
    bench_tally_response(&other, 200, true);
    bench_tally_response(&other, 201, true);
    bench_tally_failure(&other, WEIR_E_CONNECT, -EMFILE);
    bench_tally_failure(&other, -ENODEV, 0);
    bench_tally_failure(&other, -EIO, 0);
    bench_tally_merge(&tally, &other);
    assert_int_equal(tally.ok, 3);
    assert_int_equal(tally.responses, 4);
    assert_int_equal(tally.reused, 3);
    assert_int_equal(tally.failures, 5);
    assert_int_equal(tally.status[200], 2);
    assert_int_equal(tally.status[201], 1);
    assert_int_equal(tally.errors[BENCH_ERROR_CLOSED], 1);
    assert_int_equal(tally.errors[BENCH_ERROR_CONNECT_OTHER], 1);
    assert_int_equal(tally.connect_other_err, -EMFILE);
    assert_int_equal(tally.others[0].err, -EIO);
    assert_int_equal(tally.others[0].count, 2);
    assert_int_equal(tally.others[1].err, -ENODEV);
    assert_int_equal(bench_tally_error_count(&tally), 6);
}

static void test_keys_are_all_there_and_different(void **state)
{
    (void)state;
    for (int i = 0; i < BENCH_ERROR_COUNT; i++) {
        assert_non_null(bench_error_key((enum bench_error)i));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(bench_error_key((enum bench_error)i),
                                    bench_error_key((enum bench_error)j));
    }
}

static void test_the_histogram_covers_a_microsecond_to_an_hour(void **state)
{
    struct bench_result result;
    (void)state;
    assert_int_equal(bench_result_init(&result), 0);
    weir_hist_record(result.latency_us, 1);
    weir_hist_record(result.latency_us, UINT64_C(3600000000));
    assert_int_equal(weir_hist_clipped_count(result.latency_us), 0);
    assert_int_equal(weir_hist_percentile(result.latency_us, 50), 1);
    assert_int_equal(weir_hist_percentile(result.latency_us, 100), UINT64_C(3600000000));
    bench_result_deinit(&result);
    assert_null(result.latency_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_only_2xx_is_ok, setup),
        cmocka_unit_test_setup(test_status_classes_are_summed_at_the_end, setup),
        cmocka_unit_test_setup(test_every_failure_has_its_kind, setup),
        cmocka_unit_test_setup(test_other_errors_are_counted_by_value, setup),
        cmocka_unit_test_setup(test_merging_adds_everything, setup),
        cmocka_unit_test_setup(test_keys_are_all_there_and_different, setup),
        cmocka_unit_test_setup(test_the_histogram_covers_a_microsecond_to_an_hour, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
