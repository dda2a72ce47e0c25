/* SPDX-License-Identifier: MIT */
#include "mock/control/saturation.c"

#include <weir/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEED     UINT64_C(20)
#define START_NS UINT64_C(5000000000)
#define MS       UINT64_C(1000000)
#define WINDOW   SATURATION_WINDOW_NS

static struct saturation sat;

static void begin(void)
{
    saturation_open(&sat, 1 * MS, 2 * MS);
}

static void note_errors(uint64_t now_ns, uint32_t count, uint64_t late_ns)
{
    for (uint32_t i = 0; i < count; i++)
        saturation_note_error(&sat, now_ns, late_ns);
}

static void expect(uint64_t now_ns, bool saturated)
{
    assert_int_equal(saturation_now(&sat, now_ns), saturated);
    assert_int_equal(sat.view.saturated, saturated);
    assert_int_equal(saturation_shared(&sat), saturated);
}

static void test_buckets(void **state)
{
    (void)state;
    printf("seed %llu\n", (unsigned long long)SEED);
    for (uint32_t i = 1; i < SATURATION_BUCKETS; i++)
        assert_true(saturation_edge(i) > saturation_edge(i - 1));
    assert_true(saturation_edge(SATURATION_BUCKETS - 1) == UINT64_MAX);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t value = weir_random_u64(SEED, i, 0) >> (i % 64);
        uint32_t bucket = saturation_bucket(value);
        assert_true(bucket < SATURATION_BUCKETS);
        assert_true(saturation_edge(bucket) >= value);
        assert_true(saturation_edge(bucket) - value <= value / 8);
        assert_true(bucket == 0 || saturation_edge(bucket - 1) < value);
    }
    assert_true(saturation_bucket(UINT64_MAX) == SATURATION_BUCKETS - 1);
}

/* One of a hundred may be late, two may not; and one clean window clears. */
static void test_percentile(void **state)
{
    (void)state;
    begin();
    note_errors(START_NS, 99, 10);
    note_errors(START_NS, 1, 50 * MS);
    expect(START_NS + WINDOW - 1, false);
    expect(START_NS + WINDOW, false);
    note_errors(START_NS + WINDOW, 98, 10);
    note_errors(START_NS + WINDOW, 2, MS + 1);
    expect(START_NS + 2 * WINDOW - 1, false); /* not before the window's end */
    expect(START_NS + 2 * WINDOW, true);
    assert_int_equal(sat.view.windows, 2);
    assert_int_equal(sat.view.windows_saturated, 1);
    assert_in_range(sat.view.error.p99_ns, MS, MS + 1);
    assert_int_equal(sat.view.error.worst_ns, 50 * MS);
    assert_int_equal(sat.view.error.samples, 100);
    note_errors(START_NS + 2 * WINDOW, 100, MS); /* at the bound is not above it */
    expect(START_NS + 3 * WINDOW - 1, true);
    expect(START_NS + 3 * WINDOW, false);
    assert_int_equal(sat.view.windows_saturated, 1);
}

static void test_lag(void **state)
{
    (void)state;
    begin();
    note_errors(START_NS, 50, 10);
    for (int i = 0; i < 50; i++)
        saturation_note_lag(&sat, START_NS + 1, 3 * MS);
    expect(START_NS + WINDOW, true);
    assert_int_equal(sat.view.lag.p99_ns, 3 * MS);
    assert_int_equal(sat.view.lag.bound_ns, 2 * MS);
}

static void test_few_samples(void **state)
{
    (void)state;
    begin();
    note_errors(START_NS, SATURATION_SAMPLES_MIN - 1, 10 * MS); /* late, but too few */
    expect(START_NS + WINDOW, false);
    note_errors(START_NS + WINDOW, SATURATION_SAMPLES_MIN, MS + 1);
    expect(START_NS + 2 * WINDOW, true);
    note_errors(START_NS + 2 * WINDOW, 1, 10 * MS + 1);
    expect(START_NS + 3 * WINDOW, true);
    expect(START_NS + 4 * WINDOW, false); /* without a sample */
    assert_int_equal(sat.view.windows, 4);
    assert_int_equal(sat.view.windows_saturated, 2);
}

/* Windows that nobody asked in are empty, so a thread that fell idle is not saturated for ever. */
static void test_idle(void **state)
{
    (void)state;
    begin();
    expect(START_NS, false);
    note_errors(START_NS, 100, 5 * MS);
    assert_int_equal(sat.view.windows, 0);
    expect(START_NS + 10 * WINDOW, false);
    assert_int_equal(sat.view.windows, 10);
    assert_int_equal(sat.view.windows_saturated, 1);
    assert_int_equal(sat.view.error.samples, 0);
    assert_int_equal(sat.view.error.p99_ns, 0);
    assert_int_equal(sat.view.error.worst_p99_ns, 5 * MS);
    /* A stall of the thread itself counts in the window in which it was noted. */
    note_errors(START_NS + 20 * WINDOW + 5, 1, 9 * WINDOW);
    expect(START_NS + 20 * WINDOW + 6, false);
    expect(START_NS + 21 * WINDOW, true);
}

static void test_bounds(void **state)
{
    (void)state;
    saturation_open(&sat, 0, 0); /* nothing is judged */
    note_errors(START_NS, 100, UINT64_MAX);
    expect(START_NS + WINDOW, false);
    assert_true(sat.view.error.worst_ns == UINT64_MAX);
    saturation_set_bounds(&sat, UINT64_MAX, 1);
    note_errors(START_NS + 2 * WINDOW, 1, UINT64_MAX);
    expect(START_NS + 3 * WINDOW, false);
    saturation_note_lag(&sat, START_NS + 3 * WINDOW, 11);
    expect(START_NS + 4 * WINDOW, true);
    saturation_set_bounds(&sat, 1 * MS, 1 * MS);
    assert_true(sat.view.saturated); /* until a window says otherwise */
    saturation_note_lag(&sat, START_NS + 5 * WINDOW, 11);
    expect(START_NS + 6 * WINDOW, false);
    note_errors(START_NS + 6 * WINDOW, 100, 5 * MS);
    expect(START_NS + 7 * WINDOW, true);
    saturation_reset(&sat);
    expect(START_NS + 8 * WINDOW, false);
    struct saturation_view view = saturation_view(&sat, START_NS + 8 * WINDOW);
    assert_int_equal(view.windows, 0);
    assert_int_equal(view.error.worst_ns, 0);
    assert_int_equal(view.error.bound_ns, MS);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Against sorted samples: the verdict is exact, the figure within an eighth. */
static void test_random(void **state)
{
    (void)state;
    begin();
    static uint64_t values[500];
    uint64_t now_ns = START_NS;
    for (uint64_t round = 0; round < 400; round++, now_ns += WINDOW) {
        uint32_t count = 20 + (uint32_t)(weir_random_u64(SEED, round, 0) % 480);
        uint64_t scale = 300 + weir_random_u64(SEED, round, 1) % 1000;
        for (uint32_t i = 0; i < count; i++) {
            values[i] = weir_random_u64(SEED, round, 2 + i) % (scale * 1000);
            saturation_note_error(&sat, now_ns, values[i]);
        }
        (void)saturation_now(&sat, now_ns + WINDOW);
        qsort(values, count, sizeof values[0], compare);
        uint64_t p99 = values[(count * 99 + 99) / 100 - 1];
        assert_int_equal(sat.view.saturated, p99 > 1 * MS);
        assert_in_range(sat.view.error.p99_ns, p99, p99 + p99 / 8);
        assert_int_equal(sat.view.error.max_ns, values[count - 1]);
    }
    assert_int_equal(sat.view.windows, 400);
    assert_in_range(sat.view.windows_saturated, 1, 399);
}

static void test_merge(void **state)
{
    (void)state;
    struct saturation_view a = { .windows = 3, .error = { .samples = 4, .worst_ns = 9 } };
    struct saturation_view b = { .saturated = true,
                                 .windows = 2,
                                 .windows_saturated = 1,
                                 .error = { .samples = 1, .worst_ns = 5, .p99_ns = 4 },
                                 .lag = { .bound_ns = 7 } };
    saturation_merge(&a, &b);
    assert_true(a.saturated);
    assert_int_equal(a.windows, 5);
    assert_int_equal(a.windows_saturated, 1);
    assert_int_equal(a.error.samples, 5);
    assert_int_equal(a.error.worst_ns, 9);
    assert_int_equal(a.error.p99_ns, 4);
    assert_int_equal(a.lag.bound_ns, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets), cmocka_unit_test(test_percentile),
        cmocka_unit_test(test_lag),     cmocka_unit_test(test_few_samples),
        cmocka_unit_test(test_idle),    cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
