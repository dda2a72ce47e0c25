/* SPDX-License-Identifier: MIT */
/*
 * The wheel against the most naive timer there is: an array that is searched for every question.
 * Both get the same random sets, moves, cancels and clock readings, from outside and from
 * callbacks.
 */
#include "core/engine.h"

#include <weir/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED         20240621u
#define TIMERS_COUNT 96
#define EPOCHS       25
#define STEPS        4000 /* of one epoch: 10^5 together */
#define TICK_NS      (1ull << WEIR_WHEEL_TICK_SHIFT)
#define CLOCK_NS_MAX (1ull << 59) /* deadlines stay below the horizon of 2^60 */
#define AHEAD_BITS   58
#define BEYOND_NS    (1ull << 61)

struct entry {
    struct weir_timer timer; /* first: found again from the callback */
    bool set;
    bool due; /* in this advance, not yet run */
    uint64_t deadline_ns;
    uint64_t tick;   /* under which it is filed: what has passed goes under the current one */
    uint64_t number; /* order of filing */
};

static struct weir_engine engine; /* only its wheel is used */
static struct entry entries[TIMERS_COUNT];
static uint64_t now_ns, tick, number, draw;
static bool removes; /* timers are cancelled and moved */
static bool in_advance;
static uint32_t fired;

static uint64_t rnd(uint64_t below)
{
    return weir_random_u64(SEED, 1, draw++) % below;
}

static void model_cancel(struct entry *e)
{
    weir_timer_cancel(&e->timer);
    e->set = e->due = false;
}

static void model_set(struct entry *e, uint64_t deadline_ns)
{
    weir_timer_set(&engine, &e->timer, deadline_ns);
    e->set = true;
    e->due = false;
    e->deadline_ns = deadline_ns;
    e->tick = weir_max_u64(deadline_ns >> WEIR_WHEEL_TICK_SHIFT, tick);
    e->number = ++number;
}

/* Which must run next in this advance? */
static struct entry *model_next_due(void)
{
    struct entry *best = NULL;
    for (struct entry *e = entries; e < entries + TIMERS_COUNT; e++)
        if (e->due && (best == NULL || e->tick < best->tick ||
                       (e->tick == best->tick && e->number < best->number)))
            best = e;
    return best;
}

static uint64_t model_earliest_ns(void)
{
    uint64_t best = UINT64_MAX;
    for (const struct entry *e = entries; e < entries + TIMERS_COUNT; e++)
        if (e->set && e->deadline_ns < best)
            best = e->deadline_ns;
    return best;
}

/* A border of level `level` close to `from`: the first tick of a slot. */
static uint64_t border_ns(uint64_t from, unsigned level, uint64_t ahead)
{
    unsigned shift = WEIR_WHEEL_TICK_SHIFT + level * 6;
    return ((from >> shift) + ahead) << shift;
}

static uint64_t random_deadline(void)
{
    switch (rnd(10)) {
    case 0:
        return now_ns - rnd(weir_min_u64(now_ns, 100 * TICK_NS) + 1);
    case 1:
        return rnd(3);
    case 2:
        return now_ns + rnd(TICK_NS);
    case 3:
        return border_ns(now_ns, 0, rnd(70)) + rnd(3) - (now_ns >= TICK_NS);
    case 4:
    case 5:
        return border_ns(now_ns, (unsigned)rnd(7), 1 + rnd(3)) + rnd(3) - 1;
    case 6:
        return entries[rnd(TIMERS_COUNT)].deadline_ns;
    case 7:
        return rnd(40) == 0 ? BEYOND_NS + rnd(1000) : now_ns + rnd(1u << 20);
    default:
        return now_ns + (weir_random_u64(SEED, 2, draw++) >> (64 - AHEAD_BITS + rnd(AHEAD_BITS)));
    }
}

static uint64_t random_clock(void)
{
    uint64_t next = weir_wheel_next_ns(&engine.wheel), to;
    switch (rnd(9)) {
    case 0:
        to = now_ns;
        break;
    case 1:
        to = next;
        break;
    case 2:
        to = next == 0 ? 0 : next - 1;
        break;
    case 3:
        to = border_ns(now_ns, (unsigned)rnd(3), 1) + rnd(3) - 1;
        break;
    case 4:
        to = rnd(20) == 0 ? border_ns(now_ns, 3 + (unsigned)rnd(4), 1) : now_ns + 1;
        break;
    case 5:
        to = now_ns +
             (weir_random_u64(SEED, 3, draw++) >> (rnd(60) == 0 ? 6 + rnd(20) : 34 + rnd(30)));
        break;
    default:
        to = now_ns + rnd(3 * TICK_NS);
        break;
    }
    return to < now_ns || to > CLOCK_NS_MAX ? now_ns : to;
}

/* What a callback or the outside does to some timer. */
static void random_change(struct entry *e)
{
    if (e->set && !removes)
        return;
    if (e->set && rnd(3) == 0)
        model_cancel(e);
    else
        model_set(e, random_deadline());
}

static void on_fire(struct weir_timer *timer, void *ctx)
{
    struct entry *e = ctx;
    assert_true(in_advance);
    assert_ptr_equal(&e->timer, timer);
    assert_false(weir_timer_is_set(timer));
    assert_true(e->set);
    assert_true(e->deadline_ns <= now_ns);
    assert_ptr_equal(e, model_next_due());
    e->set = e->due = false;
    fired++;
    switch (rnd(6)) {
    case 0:
        model_set(e, now_ns - rnd(weir_min_u64(now_ns, TICK_NS) + 1));
        break;
    case 1:
        model_set(e, random_deadline());
        break;
    case 2:
    case 3:
        random_change(&entries[rnd(TIMERS_COUNT)]);
        break;
    default:
        break;
    }
}

static void advance(uint64_t to)
{
    now_ns = to;
    tick = now_ns >> WEIR_WHEEL_TICK_SHIFT;
    for (struct entry *e = entries; e < entries + TIMERS_COUNT; e++)
        e->due = e->set && e->deadline_ns <= now_ns;
    fired = 0;
    in_advance = true;
    uint32_t ran = weir_wheel_advance(&engine.wheel, now_ns);
    in_advance = false;
    assert_int_equal(ran, fired);
    assert_null(model_next_due());
}

static void check_next(void)
{
    uint64_t next = weir_wheel_next_ns(&engine.wheel), earliest = model_earliest_ns();
    assert_true(next <= earliest);
    if (!removes)
        assert_true(next == earliest);
    assert_true(earliest != UINT64_MAX || next == UINT64_MAX);
}

static void epoch(uint64_t start_ns)
{
    now_ns = start_ns;
    tick = now_ns >> WEIR_WHEEL_TICK_SHIFT;
    weir_wheel_init(&engine.wheel, now_ns);
    for (struct entry *e = entries; e < entries + TIMERS_COUNT; e++) {
        *e = (struct entry){ .set = false };
        weir_timer_init(&e->timer, on_fire, e);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        if (rnd(4) != 0)
            random_change(&entries[rnd(TIMERS_COUNT)]);
        else
            advance(random_clock());
        weir_wheel_check(&engine.wheel);
        check_next();
    }
    for (struct entry *e = entries; e < entries + TIMERS_COUNT; e++)
        assert_int_equal(weir_timer_is_set(&e->timer), e->set);
}

static void test_against_model(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    for (unsigned i = 0; i < EPOCHS; i++) {
        removes = i % 2 == 0;
        epoch(i < 2 ? i : weir_random_u64(SEED, 4, i) >> (8 + i));
    }
}

static struct weir_timer timers[4];
static unsigned runs[4];

static void count_run(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    ++*(unsigned *)ctx;
}

static void setup_plain(weir_timer_fn *fn)
{
    memset(runs, 0, sizeof runs);
    weir_wheel_init(&engine.wheel, 0);
    for (unsigned i = 0; i < 4; i++)
        weir_timer_init(&timers[i], fn, &runs[i]);
}

/* At every border of every level: not one ns early, and in the first advance that has reached it.
 */
static void test_borders_are_exact(void **state)
{
    (void)state;
    for (unsigned level = 0; level < WEIR_WHEEL_LEVELS; level++) {
        for (int offset = -1; offset <= 1; offset++) {
            setup_plain(count_run);
            uint64_t deadline = border_ns(0, level, 1) + (uint64_t)(int64_t)offset;
            weir_timer_set(&engine, &timers[0], deadline);
            assert_true(weir_wheel_next_ns(&engine.wheel) == deadline);
            assert_int_equal(weir_wheel_advance(&engine.wheel, deadline - 1), 0);
            weir_wheel_check(&engine.wheel);
            assert_true(weir_wheel_next_ns(&engine.wheel) == deadline);
            assert_int_equal(weir_wheel_advance(&engine.wheel, deadline), 1);
            assert_true(weir_wheel_next_ns(&engine.wheel) == UINT64_MAX);
            weir_wheel_check(&engine.wheel);
        }
    }
}

/* Walking from wake-up to wake-up through all levels needs no wake-up but the timer's own. */
static void test_one_wake_up(void **state)
{
    (void)state;
    setup_plain(count_run);
    uint64_t deadline = (1ull << 57) + 12345;
    weir_timer_set(&engine, &timers[0], deadline);
    assert_int_equal(weir_wheel_advance(&engine.wheel, weir_wheel_next_ns(&engine.wheel)), 1);
    assert_int_equal(runs[0], 1);
}

static void set_to_past(struct weir_timer *timer, void *ctx)
{
    ++*(unsigned *)ctx;
    weir_timer_set(&engine, timer, 0);
}

static void test_past_does_not_loop(void **state)
{
    (void)state;
    setup_plain(set_to_past);
    weir_timer_set(&engine, &timers[0], 5000);
    weir_timer_set(&engine, &timers[1], 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(weir_wheel_advance(&engine.wheel, 10000 * i), 2);
        assert_int_equal(runs[0], i);
        assert_int_equal(runs[1], i);
        assert_true(weir_wheel_next_ns(&engine.wheel) <= 10000 * i);
        weir_wheel_check(&engine.wheel);
    }
    /* Also when the clock stands still. */
    assert_int_equal(weir_wheel_advance(&engine.wheel, 30000), 2);
    weir_timer_cancel(&timers[0]);
    weir_timer_cancel(&timers[1]);
    assert_int_equal(engine.wheel.set_count, 0);
}

static void cancel_the_others(struct weir_timer *timer, void *ctx)
{
    ++*(unsigned *)ctx;
    for (unsigned i = 0; i < 3; i++)
        if (&timers[i] != timer)
            weir_timer_cancel(&timers[i]);
    if (!weir_timer_is_set(&timers[3]))
        return;
    weir_timer_set(&engine, &timers[3], 1ull << 40); /* it was due, too */
}

static void test_due_timers_change_from_a_callback(void **state)
{
    (void)state;
    setup_plain(cancel_the_others);
    for (unsigned i = 0; i < 4; i++)
        weir_timer_set(&engine, &timers[i], 100 * TICK_NS + i);
    assert_int_equal(weir_wheel_advance(&engine.wheel, 200 * TICK_NS), 1);
    assert_int_equal(runs[0], 1);
    assert_int_equal(runs[1] + runs[2] + runs[3], 0);
    weir_wheel_check(&engine.wheel);
    assert_true(weir_wheel_next_ns(&engine.wheel) == 1ull << 40);
    assert_int_equal(weir_wheel_advance(&engine.wheel, 1ull << 40), 1);
    assert_int_equal(runs[3], 1);
}

static unsigned order[4];
static unsigned ordered;

static void note_order(struct weir_timer *timer, void *ctx)
{
    (void)ctx;
    order[ordered++] = (unsigned)(timer - timers);
}

/* Of one tick: as they were set, whatever level each waited at. */
static void test_order(void **state)
{
    (void)state;
    setup_plain(note_order);
    ordered = 0;
    uint64_t at = 70 * TICK_NS;
    weir_timer_set(&engine, &timers[2], at + 9); /* level 1 */
    assert_int_equal(weir_wheel_advance(&engine.wheel, 65 * TICK_NS), 0);
    weir_timer_set(&engine, &timers[0], at + 3); /* level 0 */
    weir_timer_set(&engine, &timers[1], at - 1); /* the tick before */
    weir_timer_set(&engine, &timers[3], at + 1);
    assert_int_equal(weir_wheel_advance(&engine.wheel, at + TICK_NS), 4);
    const unsigned expected[4] = { 1, 2, 0, 3 };
    assert_memory_equal(order, expected, sizeof order);
}

/* A cancelled timer may wake the loop early, never late, and does not fire. */
static void test_cancel(void **state)
{
    (void)state;
    setup_plain(count_run);
    weir_timer_set(&engine, &timers[0], 1000);
    weir_timer_set(&engine, &timers[1], 2000);
    weir_timer_cancel(&timers[0]);
    weir_timer_cancel(&timers[0]);
    assert_false(weir_timer_is_set(&timers[0]));
    assert_true(weir_wheel_next_ns(&engine.wheel) <= 2000);
    assert_int_equal(weir_wheel_advance(&engine.wheel, 1999), 0);
    assert_int_equal(weir_wheel_advance(&engine.wheel, 2000), 1);
    assert_int_equal(runs[0], 0);
    assert_int_equal(runs[1], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_borders_are_exact),
        cmocka_unit_test(test_one_wake_up),
        cmocka_unit_test(test_past_does_not_loop),
        cmocka_unit_test(test_due_timers_change_from_a_callback),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
