/* SPDX-License-Identifier: MIT */
#include "mock/schedule.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

struct rig {
    struct weir_engine *engine;
    struct stats stats;
    struct saturation saturation;
    atomic_uint saturated_threads;
    struct schedule schedule;
};

static struct rig *rig;

static int setup(void **state)
{
    struct weir_engine_config cfg;
    (void)state;
    weir_engine_config_init(&cfg);
    rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    assert_int_equal(weir_engine_open(&rig->engine, &cfg), 0);
    assert_int_equal(stats_open(&rig->stats), 0);
    /* Bounds that a busy machine does not pass by itself. */
    saturation_open(&rig->saturation, 1000 * MS, 0);
    schedule_open(&rig->schedule, rig->engine, &rig->stats, &rig->saturation,
                  &rig->saturated_threads);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    schedule_close(&rig->schedule);
    schedule_close(&rig->schedule); /* twice is once */
    stats_close(&rig->stats);
    assert_int_equal(weir_engine_close(rig->engine), 0);
    free(rig);
    return 0;
}

static uint64_t count(void)
{
    return weir_hist_count(rig->stats.schedule_error_ns);
}

/* Passes of the loop until it has nothing set any more, 10 s at most. */
static void run_until_asleep(void)
{
    uint64_t deadline_ns = weir_engine_clock_ns(rig->engine) + 10000 * MS;
    while (weir_timer_is_set(&rig->schedule.beat) || weir_timer_is_set(&rig->schedule.submitted)) {
        assert_int_equal(weir_engine_run_once(rig->engine, 100 * MS), 0);
        assert_true(weir_engine_clock_ns(rig->engine) < deadline_ns);
    }
}

/* Noted when it was given, accounted for in the next pass, with the clock of that. */
static void test_given(void **state)
{
    (void)state;
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    schedule_given(&rig->schedule, now_ns - 5 * MS);
    schedule_given(&rig->schedule, now_ns - 3 * MS);
    schedule_given(&rig->schedule, now_ns + 3600000 * MS); /* early: 0, not the other way round */
    assert_int_equal(count(), 0);
    assert_int_equal(weir_engine_run_once(rig->engine, 100 * MS), 0);
    assert_int_equal(count(), 3);
    uint64_t after_ns = weir_engine_clock_ns(rig->engine);
    assert_true(weir_hist_min(rig->stats.schedule_error_ns) <= 1); /* the least there is */
    assert_true(weir_hist_max(rig->stats.schedule_error_ns) >= 5 * MS);
    /* Within the histogram's precision. */
    assert_true(weir_hist_max(rig->stats.schedule_error_ns) <=
                (after_ns - now_ns + 5 * MS) * 101 / 100);
}

struct settling {
    struct weir_task task;
    uint64_t before, after; /* how many were accounted for */
};

static void settle_twice(struct weir_task *task)
{
    struct settling *settling = (struct settling *)task;
    settling->before = count();
    schedule_settle(&rig->schedule);
    schedule_settle(&rig->schedule); /* nothing is counted twice */
    settling->after = count();
}

/* A task runs before the timers of its pass do: it sees what the pass before gave, and no more. */
static void test_settled(void **state)
{
    (void)state;
    struct settling settling = { .task.run = settle_twice };
    schedule_given(&rig->schedule, weir_engine_now_ns(rig->engine));
    schedule_settle(&rig->schedule); /* of this pass: the kernel does not have it yet */
    assert_int_equal(count(), 0);
    weir_engine_post(rig->engine, &settling.task);
    assert_int_equal(weir_engine_run_once(rig->engine, 100 * MS), 0);
    assert_int_equal(settling.before, 0);
    assert_int_equal(settling.after, 1);
    assert_false(weir_timer_is_set(&rig->schedule.submitted));
    schedule_given(&rig->schedule, weir_engine_now_ns(rig->engine));
    assert_int_equal(weir_engine_run_once(rig->engine, 100 * MS), 0);
    assert_int_equal(count(), 2);
}

/* More in one pass than there is room for: none is lost. */
static void test_many(void **state)
{
    (void)state;
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    for (uint32_t i = 0; i < 3 * SCHEDULE_NOTED_MAX + 7; i++)
        schedule_given(&rig->schedule, now_ns);
    assert_int_equal(count(), 3 * SCHEDULE_NOTED_MAX);
    assert_int_equal(weir_engine_run_once(rig->engine, 100 * MS), 0);
    assert_int_equal(count(), 3 * SCHEDULE_NOTED_MAX + 7);
}

/* It watches the loop as long as something happens, and sleeps when nothing does. */
static void test_beat(void **state)
{
    (void)state;
    assert_false(weir_timer_is_set(&rig->schedule.beat));
    schedule_active(&rig->schedule);
    assert_true(weir_timer_is_set(&rig->schedule.beat));
    uint64_t first_ns = rig->schedule.beat.deadline_ns;
    schedule_active(&rig->schedule);
    assert_int_equal(rig->schedule.beat.deadline_ns, first_ns); /* not pushed further */
    run_until_asleep();
    /* One that saw the two, and one that saw nothing more. */
    assert_int_equal(weir_hist_count(rig->stats.loop_lag_ns), 2);
    assert_int_equal(count(), 0);
    schedule_active(&rig->schedule);
    assert_true(weir_timer_is_set(&rig->schedule.beat));
}

/* Far too late, twenty times: saturated at the end of the window, published once, and taken back
 * when a window was without; it does not go to sleep in between. */
static void test_saturated(void **state)
{
    (void)state;
    uint64_t now_ns = weir_engine_clock_ns(rig->engine);
    for (int i = 0; i < SATURATION_SAMPLES_MIN; i++)
        schedule_given(&rig->schedule, now_ns - 20000 * MS);
    assert_int_equal(weir_engine_run_once(rig->engine, 100 * MS), 0);
    assert_int_equal(atomic_load(&rig->saturated_threads), 0); /* the window has not ended */
    uint64_t end_ns = weir_engine_clock_ns(rig->engine) + SATURATION_WINDOW_NS;
    schedule_publish(&rig->schedule, end_ns);
    assert_int_equal(atomic_load(&rig->saturated_threads), 1);
    schedule_publish(&rig->schedule, end_ns + 1);
    assert_int_equal(atomic_load(&rig->saturated_threads), 1);
    schedule_on_beat(&rig->schedule.beat, &rig->schedule);
    assert_true(weir_timer_is_set(&rig->schedule.beat));
    schedule_on_beat(&rig->schedule.beat, &rig->schedule); /* nothing was given: it stays awake */
    assert_true(weir_timer_is_set(&rig->schedule.beat));
    schedule_publish(&rig->schedule, end_ns + 2 * SATURATION_WINDOW_NS);
    assert_int_equal(atomic_load(&rig->saturated_threads), 0);
}

/* One that was never opened can be closed. */
static void test_closed(void **state)
{
    (void)state;
    static struct schedule schedule;
    schedule_close(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_given, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_beat, setup, teardown),
        cmocka_unit_test_setup_teardown(test_saturated, setup, teardown),
        cmocka_unit_test(test_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
