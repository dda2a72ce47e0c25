/* SPDX-License-Identifier: MIT */
#include "mock/snapshot.c"
#include "mock/endpoint.c"
#include "mock/stats.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_process(void **state)
{
    (void)state;
    struct snapshot snapshot = { 0 };
    assert_int_equal(stats_open(&snapshot.stats), 0);
    snapshot.conns_total = 7;
    stats_answered(&snapshot.stats, ENDPOINT_HEALTH, METHOD_GET, STATS_200, 5);
    snapshot_read_process(&snapshot);
    assert_true(snapshot.cpu_s > 0);
    assert_true(snapshot.resident_bytes > 100000);
    snapshot_reset(&snapshot);
    assert_int_equal(snapshot.conns_total, 0);
    assert_int_equal(snapshot.resident_bytes, 0);
    assert_int_equal(stats_count_code(&snapshot.stats, STATS_200), 0);
    assert_int_equal(weir_hist_count(snapshot.stats.latency_ns[ENDPOINT_HEALTH]), 0);
    stats_close(&snapshot.stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_process) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
