/* SPDX-License-Identifier: MIT */
#include "mock/control/stats.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S_NS UINT64_C(1000000000)

static void fill_a(struct stats *a)
{
    stats_answered(a, ENDPOINT_INFER, METHOD_POST, 200, 1000);
    stats_answered(a, ENDPOINT_INFER, METHOD_POST, 500, 3000);
    stats_fault(a, 3, FAULT_RESET);
    stats_delayed(a, 5000, 5057);
    a->batch_items = 1;
    a->timers_cancelled = 2;
}

static void fill_b(struct stats *b)
{
    stats_answered(b, ENDPOINT_INFER, METHOD_POST, 500, 5000); /* in another slot than that of a */
    stats_answered(b, ENDPOINT_HEALTH, METHOD_HEAD, 200, 0);
    stats_fault(b, 3, FAULT_RESET);
    stats_fault(b, 0, FAULT_STATUS);
    stats_fault(b, FAULT_NUMBERS_MAX - 1, FAULT_STALL);
    b->given_up = 3;
    b->cut = 4;
    b->refused = 5;
    b->batch_items = 6;
    b->disconnects[JOURNAL_QUEUED] = 4;
    weir_hist_record(b->schedule_error_ns, 57000);
    weir_hist_record(b->queue_wait_ns, 10);
    weir_hist_record(b->loop_lag_ns, 10);
}

static void test_merge(void **state)
{
    (void)state;
    struct stats a, b;
    assert_int_equal(stats_open(&a), 0);
    assert_int_equal(stats_open(&b), 0);
    fill_a(&a);
    fill_b(&b);
    stats_merge(&a, &b);
    assert_int_equal(a.answered, 4);
    assert_int_equal(stats_count_endpoint(&a, ENDPOINT_INFER), 3);
    assert_int_equal(stats_count_endpoint(&a, ENDPOINT_HEALTH), 1);
    assert_int_equal(stats_count_endpoint(&a, ENDPOINT_MODELS), 0);
    assert_int_equal(stats_count_status(&a, 500), 2);
    assert_int_equal(stats_count_status(&a, 200), 2);
    assert_int_equal(stats_count_status(&a, 404), 0);
    assert_int_equal(stats_count_status(&a, 0), 0);
    assert_int_equal(stats_count_endpoint_status(&a, ENDPOINT_HEALTH, 200), 1);
    assert_int_equal(a.faults, 4);
    assert_int_equal(a.table->faults[3][FAULT_RESET], 2);
    assert_int_equal(a.table->faults[0][FAULT_STATUS], 1);
    assert_int_equal(a.table->faults[FAULT_NUMBERS_MAX - 1][FAULT_STALL], 1);
    assert_int_equal(a.table->faults_end, FAULT_NUMBERS_MAX);
    assert_int_equal(a.given_up, 3);
    assert_int_equal(a.cut, 4);
    assert_int_equal(a.refused, 5);
    assert_int_equal(a.batch_items, 7);
    assert_int_equal(a.timers_cancelled, 2);
    assert_int_equal(a.disconnects[JOURNAL_QUEUED], 4);
    assert_int_equal(weir_hist_count(a.latency_ns[ENDPOINT_INFER]), 3);
    assert_int_equal(weir_hist_max(a.latency_ns[ENDPOINT_INFER]), 5000);
    assert_int_equal(weir_hist_count(a.schedule_error_ns), 1);
    assert_int_equal(weir_hist_count(a.queue_wait_ns), 1);
    assert_int_equal(weir_hist_count(a.loop_lag_ns), 1);
    assert_int_equal(weir_hist_max(a.asked_ns), 5000);
    assert_int_equal(weir_hist_max(a.delivered_ns), 5057);
    assert_int_equal(stats_count_status(&b, 500), 1); /* unchanged */
    stats_close(&a);
    stats_close(&b);
}

static void test_reset(void **state)
{
    (void)state;
    struct stats a;
    assert_int_equal(stats_open(&a), 0);
    fill_a(&a);
    fill_b(&a);
    stats_reset(&a);
    assert_int_equal(a.answered + a.faults + a.batch_items + a.cut + a.refused + a.given_up, 0);
    assert_int_equal(stats_count_status(&a, 200), 0);
    assert_int_equal(a.table->slots_count, 1);
    assert_int_equal(a.table->faults_end, 0);
    assert_int_equal(a.table->faults[FAULT_NUMBERS_MAX - 1][FAULT_STALL], 0);
    assert_int_equal(a.disconnects[JOURNAL_QUEUED], 0);
    assert_int_equal(weir_hist_count(a.latency_ns[ENDPOINT_INFER]), 0);
    assert_int_equal(weir_hist_count(a.schedule_error_ns), 0);
    assert_int_equal(weir_hist_count(a.queue_wait_ns), 0);
    assert_int_equal(weir_hist_count(a.asked_ns), 0);
    assert_int_equal(weir_hist_count(a.delivered_ns), 0);
    assert_int_equal(weir_hist_count(a.loop_lag_ns), 0);
    stats_answered(&a, ENDPOINT_INFER, METHOD_POST, 500, 1); /* in the slot of another before */
    assert_int_equal(stats_count_status(&a, 500), 1);
    assert_int_equal(stats_count_status(&a, 200), 0);
    stats_close(&a);
}

/* Every status there is, and what is none: nothing is lost when the slots are all taken. */
static void test_statuses(void **state)
{
    (void)state;
    struct stats a, b;
    assert_int_equal(stats_open(&a), 0);
    assert_int_equal(stats_open(&b), 0);
    for (uint32_t status = 599; status >= 200; status--)
        for (uint32_t i = 0; i < status - 199; i++)
            stats_answered(&a, ENDPOINT_CHAT, METHOD_POST, (uint16_t)status, 1);
    uint64_t total = 400 * 401 / 2, known = 0;
    assert_int_equal(a.answered, total);
    assert_int_equal(a.table->slots_count, STATS_SLOTS_MAX);
    for (uint16_t status = 200; status < 600; status++) {
        uint64_t count = stats_count_status(&a, status);
        assert_int_equal(count, status > 599 - (STATS_SLOTS_MAX - 1) ? status - 199U : 0);
        known += count;
    }
    assert_int_equal(stats_count_status(&a, 0), total - known);
    assert_int_equal(stats_count_endpoint(&a, ENDPOINT_CHAT), total);
    uint8_t slots[STATS_SLOTS_MAX];
    assert_int_equal(stats_sort_slots(&a, slots), STATS_SLOTS_MAX);
    for (uint32_t i = 1; i < STATS_SLOTS_MAX; i++)
        assert_true(a.table->statuses[slots[i]] > a.table->statuses[slots[i - 1]]);
    stats_answered(&b, ENDPOINT_CHAT, METHOD_POST, 0, 1);
    stats_answered(&b, ENDPOINT_CHAT, METHOD_POST, 199, 1);
    stats_answered(&b, ENDPOINT_CHAT, METHOD_POST, 600, 1);
    stats_answered(&b, ENDPOINT_CHAT, METHOD_POST, UINT16_MAX, 1);
    stats_answered(&b, ENDPOINT_CHAT, METHOD_POST, 201, 1); /* `a` has no slot for it */
    stats_answered(&b, ENDPOINT_CHAT, METHOD_POST, 599, 1);
    assert_int_equal(stats_count_status(&b, 0), 4);
    stats_merge(&a, &b);
    assert_int_equal(stats_count_status(&a, 0), total - known + 5);
    assert_int_equal(stats_count_status(&a, 599), 401);
    assert_int_equal(stats_count_endpoint(&a, ENDPOINT_CHAT), total + 6);
    stats_close(&a);
    stats_close(&b);
}

static void test_places(void **state)
{
    (void)state;
    struct stats stats;
    enum stats_place one = STATS_NOWHERE, two = STATS_NOWHERE;
    assert_int_equal(stats_open(&stats), 0);
    stats_move(&stats, 2, &one, STATS_WAITING);
    stats_move(&stats, -1, &two, STATS_RUNNING);
    assert_int_equal(stats.models[2].places[STATS_WAITING], 1);
    assert_int_equal(stats.models[STATS_MODEL_UNKNOWN].places[STATS_RUNNING], 1);
    stats_first_token(&stats, 2, 5, 6, 1);
    stats_reset(&stats); /* they are there all the same */
    assert_int_equal(stats.models[2].output_tokens, 0);
    assert_true(stats.models[2].used);
    stats_move(&stats, 2, &one, STATS_RUNNING);
    assert_int_equal(stats.models[2].places[STATS_WAITING], 0);
    assert_int_equal(stats.models[2].places[STATS_RUNNING], 1);
    stats_first_token(&stats, 2, 5, 6, 1);
    stats_answered(&stats, ENDPOINT_CHAT, METHOD_POST, 200, 1);
    stats_reset_models(&stats);
    assert_int_equal(stats.models[2].output_tokens, 0);
    assert_int_equal(stats.models[2].places[STATS_RUNNING], 1);
    assert_int_equal(stats.answered, 1);
    stats_move(&stats, 2, &one, STATS_NOWHERE);
    assert_int_equal(stats.models[2].places[STATS_RUNNING], 0);
    stats_reset(&stats);
    assert_false(stats.models[2].used);
    assert_true(stats.models[STATS_MODEL_UNKNOWN].used);
    stats_clear(&stats);
    assert_false(stats.models[STATS_MODEL_UNKNOWN].used);
    assert_int_equal(stats.models[STATS_MODEL_UNKNOWN].places[STATS_RUNNING], 0);
    stats_close(&stats);
}

static uint64_t sum_of(const struct stats_model *model, enum stats_measure measure)
{
    return model->buckets[measure].sum;
}

static void test_tokens(void **state)
{
    (void)state;
    struct stats stats, all;
    assert_int_equal(stats_open(&stats), 0);
    assert_int_equal(stats_open(&all), 0);
    stats_first_token(&stats, 0, 30, 100, 2);
    stats_next_tokens(&stats, 0, 20, 2);
    stats_next_tokens(&stats, 0, 25, 2);
    stats_finished(&stats, &(struct stats_request){ .finish = STATS_LENGTH,
                                                    .arrival_ns = 1000,
                                                    .admitted_ns = 1010,
                                                    .first_token_ns = 1030,
                                                    .last_token_ns = 1075,
                                                    .end_ns = 1080,
                                                    .prompt_tokens = 100,
                                                    .output_tokens = 3,
                                                    .max_tokens = 3 });
    stats_finished(&stats, &(struct stats_request){ .finish = STATS_ABORT,
                                                    .arrival_ns = 2000,
                                                    .end_ns = 2007,
                                                    .prompt_tokens = 50 });
    stats_merge(&all, &stats);
    stats_merge(&all, &stats);
    const struct stats_model *model = &all.models[0];
    assert_int_equal(all.tokens, 12);
    assert_int_equal(model->output_tokens, 12);
    assert_int_equal(model->prompt_tokens, 200);
    assert_int_equal(model->finished[STATS_LENGTH], 2);
    assert_int_equal(model->finished[STATS_ABORT], 2);
    assert_int_equal(sum_of(model, STATS_TTFT), 60);
    assert_int_equal(sum_of(model, STATS_ITL), 180);
    assert_int_equal(buckets_count(&model->buckets[STATS_ITL]), 8);
    assert_int_equal(sum_of(model, STATS_TPOT), 44); /* 45 / 2, rounded down, twice */
    assert_int_equal(sum_of(model, STATS_E2E), 174);
    assert_int_equal(sum_of(model, STATS_QUEUE), 20);
    assert_int_equal(sum_of(model, STATS_PREFILL), 40);
    assert_int_equal(sum_of(model, STATS_DECODE), 90);
    assert_int_equal(sum_of(model, STATS_INFERENCE), 130);
    assert_int_equal(buckets_count(&model->buckets[STATS_E2E]), 4);
    assert_int_equal(buckets_count(&model->buckets[STATS_QUEUE]), 2);
    assert_int_equal(sum_of(model, STATS_PROMPT_TOKENS), 300);
    assert_int_equal(sum_of(model, STATS_OUTPUT_TOKENS), 6);
    assert_int_equal(buckets_count(&model->buckets[STATS_MAX_TOKENS]), 2);
    assert_false(all.models[1].used);
    stats_close(&stats);
    stats_close(&all);
}

static void expect_rates(const struct stats *stats, double answered, double tokens)
{
    assert_true(stats->rate.answered_per_s >= answered && stats->rate.answered_per_s <= answered);
    assert_true(stats->rate.tokens_per_s >= tokens && stats->rate.tokens_per_s <= tokens);
}

static void test_rate(void **state)
{
    (void)state;
    struct stats stats;
    assert_int_equal(stats_open(&stats), 0);
    stats_answered(&stats, ENDPOINT_CHAT, METHOD_POST, 200, 1); /* before the first tick */
    stats_tick(&stats, 7 * S_NS);
    for (int i = 0; i < 10; i++)
        stats_answered(&stats, ENDPOINT_CHAT, METHOD_POST, 200, 1);
    stats_next_tokens(&stats, 0, 1, 40);
    stats_tick(&stats, 8 * S_NS - 1);
    expect_rates(&stats, 0, 0);
    stats_tick(&stats, 9 * S_NS);
    expect_rates(&stats, 5, 20);
    stats_tick(&stats, 9 * S_NS + 1);
    expect_rates(&stats, 5, 20);
    stats_reset(&stats);
    expect_rates(&stats, 0, 0);
    stats_tick(&stats, 20 * S_NS);
    stats_next_tokens(&stats, 0, 1, 3);
    stats_tick(&stats, 21 * S_NS);
    expect_rates(&stats, 0, 3);
    stats_tick(&stats, 30 * S_NS);
    expect_rates(&stats, 0, 0);
    stats_close(&stats);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(stats_phase_name(JOURNAL_BODY), "body");
    assert_string_equal(stats_phase_name(JOURNAL_STREAMING), "streaming");
    assert_string_equal(stats_phase_name(JOURNAL_SENT), "sent");
    assert_string_equal(stats_finish_name(STATS_STOP), "stop");
    assert_string_equal(stats_finish_name(STATS_LENGTH), "length");
    assert_string_equal(stats_finish_name(STATS_ABORT), "abort");
    assert_ptr_equal(stats_scale(STATS_TTFT), &bucket_scale_ttft);
    assert_ptr_equal(stats_scale(STATS_MAX_TOKENS), &bucket_scale_tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),    cmocka_unit_test(test_reset),
        cmocka_unit_test(test_statuses), cmocka_unit_test(test_places),
        cmocka_unit_test(test_tokens),   cmocka_unit_test(test_rate),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
