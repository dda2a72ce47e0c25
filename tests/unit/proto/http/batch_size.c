/* SPDX-License-Identifier: MIT */
/* The size of batches as a function of what happened, and a model of a server that it is put in
 * front of. */
#include "proto/http/batch_size.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000u

static struct weir_batch_size size;

static void open_size(bool adaptive, uint32_t items_max, uint64_t wait_ns, uint64_t target_ns)
{
    const struct weir_batcher_config cfg = {
        .items_max = items_max, .adaptive = adaptive, .wait_ns = wait_ns, .target_ns = target_ns
    };
    weir_batch_size_init(&size, &cfg);
}

static enum weir_batch_flush decide(uint32_t waiting, uint32_t in_flight, uint64_t held_ns)
{
    const struct weir_batch_view view = { .waiting = waiting,
                                          .in_flight = in_flight,
                                          .held_ns = held_ns };
    return weir_batch_size_decide(&size, &view);
}

/* One batch after the other, each full, answered after `latency_ns`. */
static void learn(uint32_t batches, uint32_t outstanding, uint64_t latency_ns)
{
    while (batches-- > 0) {
        const struct weir_batch_sample sample = {
            .number = weir_batch_size_sent(&size),
            .items = size.aim,
            .aim = size.aim,
            .outstanding = outstanding,
            .latency_ns = latency_ns,
        };
        weir_batch_size_learn(&size, &sample);
    }
}

static void test_decide_adaptive(void **state)
{
    (void)state;
    open_size(true, 100, 50 * MS, 0);
    assert_int_equal(decide(0, 0, 0), WEIR_BATCH_HOLD);
    assert_int_equal(decide(1, 0, 0), WEIR_BATCH_SIZE); /* the size aimed at is 1 at first */
    assert_int_equal(decide(1, 9, 0), WEIR_BATCH_SIZE);
    size.aim = 10;
    assert_int_equal(decide(1, 0, 0), WEIR_BATCH_IDLE);
    assert_int_equal(decide(1, 1, 0), WEIR_BATCH_HOLD);
    assert_int_equal(decide(9, 1, 50 * MS - 1), WEIR_BATCH_HOLD);
    assert_int_equal(decide(9, 1, 50 * MS), WEIR_BATCH_TIME);
    assert_int_equal(decide(10, 1, 0), WEIR_BATCH_SIZE);
    struct weir_batch_view view = { .waiting = 3, .in_flight = 1, .demanded = true };
    assert_int_equal(weir_batch_size_decide(&size, &view), WEIR_BATCH_DEMAND);
    view.bytes_full = true;
    assert_int_equal(weir_batch_size_decide(&size, &view), WEIR_BATCH_BYTES);
    view.waiting = 0;
    assert_int_equal(weir_batch_size_decide(&size, &view), WEIR_BATCH_HOLD);
}

static void test_decide_fixed(void **state)
{
    (void)state;
    open_size(false, 100, 50 * MS, 0);
    assert_int_equal(decide(99, 0, 0), WEIR_BATCH_HOLD); /* nothing in flight is no reason */
    assert_int_equal(decide(1, 0, 50 * MS), WEIR_BATCH_TIME);
    assert_int_equal(decide(100, 5, 0), WEIR_BATCH_SIZE);
    learn(1000, 10000, 1);
    learn(1000, 2, 10000 * (uint64_t)MS);
    assert_int_equal(size.aim, 100);
    open_size(false, 100, 0, 0);
    assert_int_equal(decide(1, 3, 0), WEIR_BATCH_TIME);
}

static void test_grows_to_half_of_the_load(void **state)
{
    (void)state;
    open_size(true, 100, 50 * MS, 0);
    learn(1000, 1, MS);
    assert_int_equal(size.aim, 1);
    learn(1000, 2, MS);
    assert_int_equal(size.aim, 1); /* two side by side */
    learn(1, 64, MS);
    assert_int_equal(size.aim, 2); /* by one for each batch */
    learn(30, 64, MS);
    assert_int_equal(size.aim, 32);
    learn(1000, 64, MS);
    assert_int_equal(size.aim, 32);
    learn(1000, 65, MS);
    assert_int_equal(size.aim, 33);
    learn(1000, 100000, MS);
    assert_int_equal(size.aim, 100);
    learn(1, 20, MS);
    assert_int_equal(size.aim, 77); /* a quarter of the way down, rounded up */
    learn(20, 20, MS);
    assert_int_equal(size.aim, 10);
    learn(20, 0, MS); /* all of its items had ended before */
    assert_int_equal(size.aim, 1);
}

/* A batch that was not full says nothing about larger ones. */
static void test_grows_by_full_batches_only(void **state)
{
    (void)state;
    open_size(true, 100, 50 * MS, 0);
    size.aim = 10;
    const struct weir_batch_sample sample = {
        .number = weir_batch_size_sent(&size),
        .items = 9,
        .aim = 10,
        .outstanding = 64,
        .latency_ns = MS,
    };
    weir_batch_size_learn(&size, &sample);
    assert_int_equal(size.aim, 10);
}

static void test_shrinks_once_for_those_under_way(void **state)
{
    (void)state;
    open_size(true, 100, 50 * MS, 5 * MS);
    size.aim = 40;
    uint64_t numbers[4];
    for (unsigned i = 0; i < 4; i++)
        numbers[i] = weir_batch_size_sent(&size);
    for (unsigned i = 0; i < 4; i++) {
        const struct weir_batch_sample slow = {
            .number = numbers[i], .items = 40, .aim = 40, .outstanding = 1000, .latency_ns = 6 * MS
        };
        weir_batch_size_learn(&size, &slow);
        assert_int_equal(size.aim, 30);
    }
    learn(1, 1000, 6 * MS);
    assert_int_equal(size.aim, 22);
    learn(100, 1000, 6 * MS);
    assert_int_equal(size.aim, 1);
    learn(10, 1000, 5 * MS);
    assert_int_equal(size.aim, 11);
}

static void test_target(void **state)
{
    (void)state;
    open_size(true, 100, 50 * MS, 0);
    assert_true(weir_batch_size_target_ns(&size) == UINT64_MAX);
    learn(1, 1, 3 * MS);
    assert_int_equal(weir_batch_size_target_ns(&size), 56 * MS);
    learn(1, 64, 2 * MS);
    assert_int_equal(weir_batch_size_target_ns(&size), 54 * MS);
    size.aim = 5;
    learn(1, 64, 40 * MS); /* of a batch that might be smaller */
    assert_int_equal(weir_batch_size_target_ns(&size), 54 * MS);
    size.aim = 1;
    learn(1, 1, 10 * MS); /* of one that cannot be */
    assert_int_equal(weir_batch_size_target_ns(&size), 56 * MS);
    open_size(true, 100, 50 * MS, 7 * MS);
    learn(5, 1, 3 * MS);
    assert_int_equal(weir_batch_size_target_ns(&size), 7 * MS);
}

/* A path that became ten times slower for good does not end batching. */
static void test_slower_path_is_learnt(void **state)
{
    (void)state;
    open_size(true, 100, 10 * MS, 0);
    learn(100, 64, MS);
    assert_int_equal(size.aim, 32);
    learn(100, 64, 100 * MS); /* far beyond 2 x 1 ms + 10 ms */
    assert_int_equal(size.aim, 32);
}

/* ---- In front of a server ---------------------------------------------------------------- */

/*
 * A server that takes batches one after the other, `fixed_ns` for each and `item_ns` for each item,
 * and a closed loop of `load` items. @return the size it settles at
 */
static uint32_t settle(uint32_t load, uint64_t fixed_ns, uint64_t item_ns)
{
    uint32_t waiting = load;
    uint64_t free_ns = 0, now_ns = 0;
    struct {
        uint64_t number, sent_ns, end_ns;
        uint32_t items, aim;
    } flight[16];
    unsigned first = 0, count = 0;
    for (unsigned step = 0; step < 4000; step++) {
        while (count < 16 && decide(waiting, count, 0) != WEIR_BATCH_HOLD) {
            uint32_t items = waiting < size.aim ? waiting : size.aim;
            uint64_t begin_ns = free_ns > now_ns ? free_ns : now_ns;
            free_ns = begin_ns + fixed_ns + items * item_ns;
            unsigned at = (first + count++) % 16;
            flight[at].number = weir_batch_size_sent(&size);
            flight[at].sent_ns = now_ns;
            flight[at].end_ns = free_ns;
            flight[at].items = items;
            flight[at].aim = size.aim;
            waiting -= items;
        }
        assert_true(count > 0); /* it never comes to rest */
        now_ns = flight[first].end_ns;
        const struct weir_batch_sample sample = {
            .number = flight[first].number,
            .items = flight[first].items,
            .aim = flight[first].aim,
            .outstanding = load,
            .latency_ns = now_ns - flight[first].sent_ns,
        };
        weir_batch_size_learn(&size, &sample);
        waiting += flight[first].items;
        first = (first + 1) % 16;
        count--;
    }
    return size.aim;
}

static void test_settles(void **state)
{
    (void)state;
    open_size(true, 100, 50 * MS, 0);
    assert_int_equal(settle(1, MS, 1000), 1);
    assert_int_equal(settle(64, MS, 1000), 32); /* items cost little beside the batch */
    assert_int_equal(settle(10000, MS, 1000), 100);
    assert_int_equal(settle(8, MS, 1000), 4);
    /* 10 ms for each item, one after the other: batches of 100 would take a second. */
    open_size(true, 100, 50 * MS, 0);
    assert_in_range(settle(1000, 0, 10 * MS), 1, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decide_adaptive),
        cmocka_unit_test(test_decide_fixed),
        cmocka_unit_test(test_grows_to_half_of_the_load),
        cmocka_unit_test(test_grows_by_full_batches_only),
        cmocka_unit_test(test_shrinks_once_for_those_under_way),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_slower_path_is_learnt),
        cmocka_unit_test(test_settles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
