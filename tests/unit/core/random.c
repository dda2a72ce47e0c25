/* SPDX-License-Identifier: MIT */
#include <weir/random.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEED    UINT64_C(0x5eed)
#define CELLS   256u
#define SAMPLES 65536u

/*
 * The sum of squared deviations of `cells` counts from uniform. With 255 degrees of freedom it is
 * 255 +- 22.6; the bounds are five deviations wide, and the numbers are the same in every run.
 */
static void check_chi_square(const uint32_t *counts, const char *what)
{
    double expected = (double)SAMPLES / CELLS, sum = 0;
    for (uint32_t i = 0; i < CELLS; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    if (sum > 255 - 5 * 22.6 && sum < 255 + 5 * 22.6)
        return;
    print_error("chi-square of %s is %.1f, expected 142 ... 368\n", what, sum);
    fail();
}

enum argument { ARGUMENT_SEED, ARGUMENT_KEY, ARGUMENT_DRAW, ARGUMENT_COUNT };

static const char *const argument_names[] = { "seeds", "keys", "draws" };
_Static_assert(sizeof argument_names / sizeof argument_names[0] == ARGUMENT_COUNT, "one each");

static uint64_t random_at(enum argument argument, uint64_t value)
{
    switch (argument) {
    case ARGUMENT_SEED:
        return weir_random_u64(value, 7, 0);
    case ARGUMENT_KEY:
        return weir_random_u64(SEED, value, 0);
    case ARGUMENT_DRAW:
    case ARGUMENT_COUNT:
        break;
    }
    return weir_random_u64(SEED, 7, value);
}

/* Consecutive seeds, keys and draws: every byte of the result is uniform. */
static void test_uniform_bytes(void **state)
{
    (void)state;
    print_message("seed %llu\n", (unsigned long long)SEED);
    for (int argument = 0; argument < ARGUMENT_COUNT; argument++) {
        for (uint32_t byte = 0; byte < 8; byte++) {
            uint32_t counts[CELLS] = { 0 };
            for (uint64_t i = 0; i < SAMPLES; i++)
                counts[(random_at((enum argument)argument, i) >> (8 * byte)) & 0xff]++;
            check_chi_square(counts, argument_names[argument]);
        }
    }
}

/* Neighbours are not related: the pair of their top four bits is uniform. */
static void test_neighbours_are_independent(void **state)
{
    (void)state;
    for (int argument = 0; argument < ARGUMENT_COUNT; argument++) {
        uint32_t counts[CELLS] = { 0 };
        for (uint64_t i = 0; i < SAMPLES; i++) {
            uint64_t a = random_at((enum argument)argument, 2 * i);
            uint64_t b = random_at((enum argument)argument, 2 * i + 1);
            counts[(a >> 60) << 4 | b >> 60]++;
        }
        check_chi_square(counts, argument_names[argument]);
    }
}

/* Flipping any bit of any argument flips each bit of the result about half of the time. */
static void test_avalanche(void **state)
{
    (void)state;
    enum { ROUNDS = 1000 };
    for (int argument = 0; argument < ARGUMENT_COUNT; argument++) {
        for (uint32_t bit = 0; bit < 64; bit++) {
            uint32_t flips[64] = { 0 };
            for (uint64_t round = 0; round < ROUNDS; round++) {
                uint64_t value = weir_random_u64(SEED, round, bit);
                uint64_t before = random_at((enum argument)argument, value);
                uint64_t after = random_at((enum argument)argument, value ^ UINT64_C(1) << bit);
                for (uint32_t i = 0; i < 64; i++)
                    flips[i] += (uint32_t)((before ^ after) >> i & 1);
            }
            for (uint32_t i = 0; i < 64; i++) /* 500 +- 15.8, six deviations */
                assert_in_range(flips[i], 500 - 95, 500 + 95);
        }
    }
}

static void test_order_does_not_matter(void **state)
{
    (void)state;
    enum { KEYS = 50, DRAWS = 20 };
    static uint64_t forward[KEYS][DRAWS];
    for (uint64_t key = 0; key < KEYS; key++)
        for (uint64_t draw = 0; draw < DRAWS; draw++)
            forward[key][draw] = weir_random_u64(SEED, key, draw);
    for (uint64_t draw = DRAWS; draw-- > 0;) {
        for (uint64_t key = KEYS; key-- > 0;) {
            assert_true(weir_random_u64(SEED, key, draw) == forward[key][draw]);
            uint64_t other = weir_random_u64(SEED + 1, key, draw);
            assert_true(other != forward[key][draw]);
        }
    }
}

/* Small arguments in another role are another number. */
static void test_arguments_are_not_interchangeable(void **state)
{
    (void)state;
    enum { SIDE = 12, COUNT = SIDE * SIDE * SIDE };
    static uint64_t seen[COUNT];
    uint32_t count = 0;
    for (uint64_t seed = 0; seed < SIDE; seed++)
        for (uint64_t key = 0; key < SIDE; key++)
            for (uint64_t draw = 0; draw < SIDE; draw++)
                seen[count++] = weir_random_u64(seed, key, draw);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(seen[i] != 0);
        for (uint32_t k = 0; k < i; k++)
            assert_true(seen[i] != seen[k]);
    }
}

/* Recorded runs must be repeatable with later versions: these numbers are part of the contract. */
static void test_values_are_stable(void **state)
{
    (void)state;
    assert_true(weir_random_u64(0, 0, 0) == UINT64_C(0xced91e0967250278));
    assert_true(weir_random_u64(1, 2, 3) == UINT64_C(0x5c802df363a817d5));
    assert_true(weir_random_key(WEIR_TEXT("")) == UINT64_C(0x9ca066f1a4ab2eea));
    assert_true(weir_random_key(WEIR_TEXT("request-00042")) == UINT64_C(0x546a2e16daefd521));
}

static void test_unit(void **state)
{
    (void)state;
    uint32_t counts[CELLS] = { 0 };
    double sum = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        double unit = weir_random_unit(SEED, i, 3);
        assert_true(unit >= 0 && unit < 1);
        assert_true(ldexp(unit, 53) == (double)(weir_random_u64(SEED, i, 3) >> 11));
        counts[(uint32_t)(unit * CELLS)]++;
        sum += unit;
    }
    check_chi_square(counts, "units");
    assert_true(fabs(sum / SAMPLES - 0.5) < 5 * 0.2887 / 256); /* five deviations of a mean */
}

/* Keys of texts that differ in little: uniform too, and all different. */
static void test_key(void **state)
{
    (void)state;
    uint32_t low[CELLS] = { 0 }, high[CELLS] = { 0 };
    for (uint32_t i = 0; i < SAMPLES; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "req-%08u", i);
        uint64_t key = weir_random_key((struct weir_slice){ (const uint8_t *)text, (size_t)len });
        low[key & 0xff]++;
        high[key >> 56]++;
    }
    check_chi_square(low, "low bytes of keys");
    check_chi_square(high, "high bytes of keys");
}

static void test_key_depends_on_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[40] = { 0 };
    uint64_t seen[42];
    for (size_t len = 0; len <= 40; len++) { /* zeros of every length are different keys */
        seen[len] = weir_random_key((struct weir_slice){ bytes, len });
        for (size_t k = 0; k < len; k++)
            assert_true(seen[len] != seen[k]);
    }
    for (size_t i = 0; i < 40; i++) {
        bytes[i] = 1;
        assert_true(weir_random_key((struct weir_slice){ bytes, 40 }) != seen[40]);
        bytes[i] = 0;
    }
    assert_true(weir_random_key((struct weir_slice){ NULL, 0 }) == seen[0]);
    assert_true(weir_random_key((struct weir_slice){ bytes + 1, 39 }) == seen[39]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uniform_bytes),
        cmocka_unit_test(test_neighbours_are_independent),
        cmocka_unit_test(test_avalanche),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_arguments_are_not_interchangeable),
        cmocka_unit_test(test_values_are_stable),
        cmocka_unit_test(test_unit),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_key_depends_on_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
