/* SPDX-License-Identifier: MIT */
#include "mock/fault/trickle.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS    UINT64_C(1000000)
#define BEGIN (5000 * MS)

static void test_at_once(void **state)
{
    struct trickle t;
    uint64_t due = 0;
    (void)state;
    trickle_init(&t, TRICKLE_FREE, 0, 0);
    assert_int_equal(trickle_take(&t, BEGIN, 3, 100, &due), 100);
    assert_int_equal(trickle_take(&t, BEGIN, 3, 7, &due), 7);
}

static void test_steps(void **state)
{
    struct trickle t;
    uint64_t due = 0;
    (void)state;
    trickle_init(&t, TRICKLE_STEPS, 10 * MS, 0);
    assert_int_equal(trickle_take(&t, BEGIN, 4, 10, &due), 4);
    assert_int_equal(trickle_take(&t, BEGIN, 4, 6, &due), 0);
    assert_int_equal(due, BEGIN + 10 * MS);
    /* Late, which does not move the next. */
    assert_int_equal(trickle_take(&t, BEGIN + 19 * MS, 4, 6, &due), 4);
    assert_int_equal(trickle_take(&t, BEGIN + 19 * MS, 4, 2, &due), 0);
    assert_int_equal(due, BEGIN + 20 * MS);
    assert_int_equal(trickle_take(&t, BEGIN + 20 * MS, 4, 2, &due), 2);
}

/* Later than several were due: they follow each other as fast as they can, and then on time. */
static void test_steps_catch_up(void **state)
{
    struct trickle t;
    uint64_t due = 0;
    (void)state;
    trickle_init(&t, TRICKLE_STEPS, 10 * MS, 0);
    assert_int_equal(trickle_take(&t, BEGIN, 1, 9, &due), 1);
    assert_int_equal(trickle_take(&t, BEGIN + 25 * MS, 1, 8, &due), 1);
    assert_int_equal(trickle_take(&t, BEGIN + 25 * MS, 1, 7, &due), 0);
    assert_int_equal(due, BEGIN + 25 * MS + 1);
    assert_int_equal(trickle_take(&t, due, 1, 7, &due), 1);
    assert_int_equal(trickle_take(&t, due, 1, 6, &due), 0);
    assert_int_equal(due, BEGIN + 30 * MS);
}

static void test_steps_without_interval(void **state)
{
    struct trickle t;
    uint64_t due = 0;
    (void)state;
    trickle_init(&t, TRICKLE_STEPS, 0, 0);
    assert_int_equal(trickle_take(&t, BEGIN, 1, 9, &due), 1);
    assert_int_equal(trickle_take(&t, BEGIN, 1, 8, &due), 0);
    assert_int_equal(due, BEGIN + 1); /* not in the same pass */
    assert_int_equal(trickle_take(&t, BEGIN + 1, 1, 8, &due), 1);
}

/* After a rest the interval counts from the next bytes on; but never is it shorter. */
static void test_steps_rest(void **state)
{
    struct trickle t;
    uint64_t due = 0;
    (void)state;
    trickle_init(&t, TRICKLE_STEPS, 10 * MS, 0);
    assert_int_equal(trickle_take(&t, BEGIN, 4, 4, &due), 4);
    trickle_rest(&t);
    assert_int_equal(trickle_take(&t, BEGIN + 3 * MS, 4, 4, &due), 0);
    assert_int_equal(due, BEGIN + 10 * MS);
    trickle_rest(&t);
    assert_int_equal(trickle_take(&t, BEGIN + 45 * MS, 4, 8, &due), 4);
    assert_int_equal(trickle_take(&t, BEGIN + 45 * MS, 4, 4, &due), 0);
    assert_int_equal(due, BEGIN + 55 * MS);
}

static void test_steps_far_apart(void **state)
{
    struct trickle t;
    uint64_t due = 0;
    (void)state;
    trickle_init(&t, TRICKLE_STEPS, UINT64_MAX, 0);
    assert_int_equal(trickle_take(&t, BEGIN, 1, 2, &due), 1);
    assert_int_equal(trickle_take(&t, BEGIN + MS, 1, 1, &due), 0);
    assert_true(due > BEGIN + MS && due <= UINT64_MAX / 2);
}

/* Asked when it is due each time, it is on the line of the rate, whatever the rate. */
static void test_rate(void **state)
{
    static const uint64_t rates[] = { 1, 7, 99, 100, 1000, 123457, 1000000, 999999999999 };
    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct trickle t;
        uint64_t now = BEGIN, due = 0, sent = 0, all = rates[i] / 3 + 10;
        trickle_init(&t, TRICKLE_RATE, 0, rates[i]);
        assert_int_equal(trickle_take(&t, now, 1, all, &due), 0);
        while (sent < all) {
            if (rates[i] >= 100 && now == BEGIN)
                assert_true(due - now <= TRICKLE_STEP_NS);
            assert_true(due > now);
            now = due;
            uint64_t n = trickle_take(&t, now, 1, all - sent, &due);
            assert_true(n > 0);
            sent += n;
            uint64_t earned = (uint64_t)((trickle_u128)rates[i] * (now - BEGIN) / NS_PER_S);
            assert_true(sent <= earned);
            assert_true(earned - sent <= rates[i] / NS_PER_S + 1 || sent == all);
            if (sent < all)
                assert_int_equal(trickle_take(&t, now, 1, all - sent, &due), 0);
        }
        double took_s = (double)(now - BEGIN) / 1e9;
        assert_true(took_s * (double)rates[i] < (double)all + (double)rates[i] / 1e9 + 1);
    }
}

/* What was late is made up for, what was not there is not. */
static void test_rate_late_and_rest(void **state)
{
    struct trickle t;
    uint64_t due = 0;
    (void)state;
    trickle_init(&t, TRICKLE_RATE, 0, 1000);
    assert_int_equal(trickle_take(&t, BEGIN, 1, 100, &due), 0);
    assert_int_equal(due, BEGIN + 10 * MS);
    assert_int_equal(trickle_take(&t, BEGIN + 35 * MS, 1, 100, &due), 35);
    assert_int_equal(trickle_take(&t, BEGIN + 35 * MS, 1, 65, &due), 0);
    assert_int_equal(due, BEGIN + 45 * MS);
    trickle_rest(&t);
    assert_int_equal(trickle_take(&t, BEGIN + 1000 * MS, 1, 65, &due), 0);
    assert_int_equal(due, BEGIN + 1010 * MS);
    assert_int_equal(trickle_take(&t, BEGIN + 1010 * MS, 1, 4, &due), 4);  /* no more wait */
    assert_int_equal(trickle_take(&t, BEGIN + 1010 * MS, 1, 50, &due), 0); /* a whole step */
    assert_int_equal(due, BEGIN + 1014 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_once),        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_steps_catch_up), cmocka_unit_test(test_steps_without_interval),
        cmocka_unit_test(test_steps_rest),     cmocka_unit_test(test_steps_far_apart),
        cmocka_unit_test(test_rate),           cmocka_unit_test(test_rate_late_and_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
