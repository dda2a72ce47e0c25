/* SPDX-License-Identifier: MIT */
/* The waiting policy as arithmetic: what it decides after which history. */
#include "core/sched.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)

static struct weir_sched adaptive(void)
{
    struct weir_sched sched;
    weir_sched_init(&sched, WEIR_WAIT_ADAPTIVE);
    return sched;
}

/* One wait for a completion that comes `gap_ns` after its begin, as the engine would report it. */
static bool wait_once(struct weir_sched *sched, uint64_t gap_ns)
{
    uint64_t spin_ns = weir_sched_spin_ns(sched, S);
    if (spin_ns == 0) {
        weir_sched_waited(sched, gap_ns + 45000, true);
    } else if (gap_ns <= spin_ns) {
        weir_sched_waited(sched, gap_ns, false);
    } else {
        weir_sched_missed(sched);
    }
    weir_sched_reaped(sched, 1);
    return spin_ns > 0;
}

static unsigned spins_of(struct weir_sched *sched, uint64_t gap_ns, unsigned waits)
{
    unsigned spins = 0;
    for (unsigned i = 0; i < waits; i++)
        spins += wait_once(sched, gap_ns);
    return spins;
}

static void test_fixed_modes(void **state)
{
    (void)state;
    struct weir_sched sched;
    weir_sched_init(&sched, WEIR_WAIT_SPIN);
    spins_of(&sched, S, 100);
    assert_int_equal(weir_sched_spin_ns(&sched, 7 * S), 7 * S);
    weir_sched_init(&sched, WEIR_WAIT_SLEEP);
    spins_of(&sched, 1, 100);
    assert_int_equal(weir_sched_spin_ns(&sched, 7 * S), 0);
}

static void test_sleeps_until_it_knows(void **state)
{
    (void)state;
    struct weir_sched sched = adaptive();
    assert_int_equal(weir_sched_spin_ns(&sched, S), 0);
}

/* A lively peer: from a few waits on every one is spun. */
static void test_learns_to_spin(void **state)
{
    (void)state;
    struct weir_sched sched = adaptive();
    assert_true(spins_of(&sched, 5000, 100) >= 90);
    assert_int_equal(weir_sched_spin_ns(&sched, S), WEIR_SCHED_SPIN_NS);
}

/* Completions further apart than a spin is long: hardly any CPU time is given for them. */
static void test_never_spins_for_nothing(void **state)
{
    (void)state;
    const uint64_t gaps[] = { 10000000, 1000000, 200000, 100000, 60000 };
    for (unsigned i = 0; i < sizeof gaps / sizeof gaps[0]; i++) {
        struct weir_sched sched = adaptive();
        spins_of(&sched, 5000, 100); /* it was lively before */
        assert_in_range(spins_of(&sched, gaps[i], 1000), 1, 4);
    }
}

static void test_idle_and_back(void **state)
{
    (void)state;
    struct weir_sched sched = adaptive();
    spins_of(&sched, 5000, 100);
    spins_of(&sched, S, 20);
    assert_int_equal(sched.likely, 0);
    assert_true(spins_of(&sched, 5000, 20) >= 10);
}

/* Some waits are long: as long as more than half are short it goes on. */
static void test_mixed(void **state)
{
    (void)state;
    struct weir_sched sched = adaptive();
    unsigned spins = 0;
    for (unsigned i = 0; i < 1000; i++)
        spins += wait_once(&sched, i % 10 == 0 ? 1000000 : 5000);
    assert_true(spins > 900);
    sched = adaptive();
    spins = 0;
    for (unsigned i = 0; i < 1000; i++)
        spins += wait_once(&sched, i % 10 == 0 ? 5000 : 1000000);
    assert_true(spins < 10);
}

static void test_waits_for_batches(void **state)
{
    (void)state;
    struct weir_sched sched = adaptive();
    spins_of(&sched, 5000, 100);
    for (unsigned i = 0; i < 40; i++)
        weir_sched_reaped(&sched, 2 * WEIR_SCHED_BATCH);
    assert_int_equal(weir_sched_spin_ns(&sched, S), 0);
    for (unsigned i = 0; i < 40; i++)
        weir_sched_reaped(&sched, 1);
    assert_true(weir_sched_spin_ns(&sched, S) > 0);
    weir_sched_reaped(&sched, UINT32_MAX); /* no overflow */
    assert_int_equal(weir_sched_spin_ns(&sched, S), 0);
}

static void test_spins_no_longer_than_the_deadline(void **state)
{
    (void)state;
    struct weir_sched sched = adaptive();
    spins_of(&sched, 5000, 100);
    assert_int_equal(weir_sched_spin_ns(&sched, 10), 10);
    assert_int_equal(weir_sched_spin_ns(&sched, 0), 0);
}

static void test_bounds(void **state)
{
    (void)state;
    struct weir_sched sched = adaptive();
    for (unsigned i = 0; i < 1000; i++)
        weir_sched_waited(&sched, 0, false);
    assert_int_equal(sched.likely, WEIR_SCHED_LIKELY_MAX);
    for (unsigned i = 0; i < 1000; i++)
        weir_sched_missed(&sched);
    assert_int_equal(sched.likely, 0);
    weir_sched_waited(&sched, UINT64_MAX, true);
    assert_int_equal(sched.likely, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed_modes),
        cmocka_unit_test(test_sleeps_until_it_knows),
        cmocka_unit_test(test_learns_to_spin),
        cmocka_unit_test(test_never_spins_for_nothing),
        cmocka_unit_test(test_idle_and_back),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_waits_for_batches),
        cmocka_unit_test(test_spins_no_longer_than_the_deadline),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
