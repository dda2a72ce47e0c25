/* SPDX-License-Identifier: MIT */
#include "mock/control/snapshot.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct snapshot snapshot;

static void test_process(void **state)
{
    (void)state;
    assert_int_equal(snapshot_open(&snapshot), 0);
    snapshot.conns_total = 7;
    snapshot.by_thread[OPTIONS_THREADS_MAX - 1].conns_total = 7;
    stats_answered(&snapshot.stats, ENDPOINT_HEALTH, METHOD_GET, 200, 5);
    snapshot_read_process(&snapshot);
    assert_true(snapshot.cpu_s > 0);
    assert_true(snapshot.resident_bytes > 100000);
    snapshot_reset(&snapshot);
    assert_int_equal(snapshot.conns_total, 0);
    assert_int_equal(snapshot.resident_bytes, 0);
    assert_int_equal(snapshot.by_thread[OPTIONS_THREADS_MAX - 1].conns_total, 0);
    assert_int_equal(stats_count_status(&snapshot.stats, 200), 0);
    assert_int_equal(weir_hist_count(snapshot.stats.latency_ns[ENDPOINT_HEALTH]), 0);
    snapshot_close(&snapshot);
}

/* Each thread's models are kept apart, and gauges are not added to those of the scrape before. */
static void test_replicas(void **state)
{
    (void)state;
    struct stats one, two;
    assert_int_equal(snapshot_open(&snapshot), 0);
    assert_int_equal(stats_open(&one), 0);
    assert_int_equal(stats_open(&two), 0);
    for (int model = 0; model < 12; model++)
        stats_first_token(&one, model, 1, (uint32_t)model, 1);
    enum stats_place place = STATS_NOWHERE;
    stats_move(&two, 3, &place, STATS_RUNNING);
    stats_first_token(&two, 3, 1, 100, 1);
    for (int scrape = 0; scrape < 2; scrape++) {
        snapshot_reset(&snapshot);
        snapshot_add(&snapshot, 0, &one);
        snapshot_add(&snapshot, 1, &two);
        assert_false(snapshot.failed);
        assert_int_equal(snapshot.replicas_count, 13);
        assert_int_equal(snapshot_replica(&snapshot, 0, 3)->counts.prompt_tokens, 3);
        assert_int_equal(snapshot_replica(&snapshot, 1, 3)->counts.prompt_tokens, 100);
        assert_int_equal(snapshot_replica(&snapshot, 1, 4)->counts.prompt_tokens, 0);
        assert_false(snapshot_replica(&snapshot, 1, 4)->counts.used);
        snapshot_add_batch(&snapshot, 1, 3, &(struct model_engine_stats){ .steps_total = 5 });
        snapshot_add_batch(&snapshot, 1, 4, &(struct model_engine_stats){ .steps_total = 6 });
        assert_int_equal(snapshot.replicas_count, 14);
        assert_int_equal(snapshot_replica(&snapshot, 1, 3)->batch.steps_total, 5);
        assert_int_equal(snapshot_replica(&snapshot, 1, 3)->counts.prompt_tokens, 100);
        assert_int_equal(snapshot_replica(&snapshot, 1, 4)->batch.steps_total, 6);
        assert_int_equal(snapshot_replica(&snapshot, 0, 4)->batch.steps_total, 0);
        assert_int_equal(snapshot.stats.models[3].prompt_tokens, 103);
        assert_int_equal(snapshot.stats.models[3].places[STATS_RUNNING], 1);
        assert_int_equal(snapshot.stats.tokens, 13);
    }
    stats_close(&one);
    stats_close(&two);
    snapshot_close(&snapshot);
}

static void test_process_wide(void **state)
{
    (void)state;
    static struct config config = { .models_count = 3 };
    assert_int_equal(snapshot_open(&snapshot), 0);
    assert_int_equal(snapshot_models_count(&snapshot), 0);
    assert_int_equal(snapshot_loaded_count(&snapshot), 0);
    assert_false(snapshot_saturation(&snapshot).saturated);
    const struct residency_model models[3] = { { .memory_bytes = 1, .loaded = true },
                                               { .memory_bytes = 1 },
                                               { .memory_bytes = 1, .loaded = true } };
    assert_int_equal(residency_open(&snapshot.residency, &(struct residency_cfg){ 0 }, models, 3),
                     0);
    snapshot.config = &config;
    snapshot.threads = 2;
    snapshot.by_thread[1].saturation = (struct saturation_view){ .saturated = true, .windows = 4 };
    assert_int_equal(snapshot_models_count(&snapshot), 3);
    assert_int_equal(snapshot_loaded_count(&snapshot), 2);
    assert_true(snapshot_saturation(&snapshot).saturated);
    assert_int_equal(snapshot_saturation(&snapshot).windows, 4);
    snapshot_close(&snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_replicas),
        cmocka_unit_test(test_process_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
