/* SPDX-License-Identifier: MIT */
#include "core/hist.c" /* its statics are tested too */

#include <weir/random.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SEED 20240611u

static struct weir_hist *open_shape(uint64_t lowest, uint64_t highest, uint32_t digits)
{
    struct weir_hist_config cfg;
    weir_hist_config_init(&cfg);
    cfg.lowest = lowest;
    cfg.highest = highest;
    cfg.digits = digits;
    struct weir_hist *hist = NULL;
    assert_int_equal(weir_hist_open(&hist, &cfg), 0);
    assert_non_null(hist);
    return hist;
}

static struct weir_hist *open_default(void)
{
    return open_shape(1, UINT64_C(3600000000), 3);
}

static void assert_near(double actual, double expected, double relative)
{
    if (fabs(actual - expected) <= relative * fabs(expected))
        return;
    print_error("%.17g is not within %g of %.17g\n", actual, relative, expected);
    fail();
}

/* Every value lies in its cell, cells are consecutive and narrower than 10^-digits of what they
 * hold. */
static void check_cells_at(uint32_t digits, uint64_t value)
{
    uint32_t bits = hist_bits[digits];
    uint32_t cell = hist_cell(bits, value);
    uint64_t width;
    uint64_t begin = hist_cell_begin(bits, cell, &width);
    assert_true(begin <= value);
    assert_true(value - begin < width);
    uint64_t last = begin + (width - 1);
    assert_int_equal(hist_cell(bits, begin), cell);
    assert_int_equal(hist_cell(bits, last), cell);
    if (last < UINT64_MAX)
        assert_int_equal(hist_cell(bits, last + 1), cell + 1);
    if (begin > 0)
        assert_int_equal(hist_cell(bits, begin - 1), cell - 1);
    assert_true((double)(width - 1) <= (double)begin * pow(10, -(double)digits));
}

static void test_cells(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    for (uint32_t digits = 1; digits <= HIST_DIGITS_MAX; digits++) {
        assert_true(pow(2, hist_bits[digits]) >= pow(10, digits));
        assert_true(pow(2, hist_bits[digits] - 1) < pow(10, digits));
        for (uint64_t value = 0; value < 70000; value++)
            check_cells_at(digits, value);
        for (uint32_t exponent = 0; exponent < 64; exponent++) {
            uint64_t power = UINT64_C(1) << exponent;
            check_cells_at(digits, power);
            check_cells_at(digits, power - 1);
            check_cells_at(digits, power + 1);
            uint64_t random = weir_random_u64(SEED, exponent, digits);
            check_cells_at(digits, random >> exponent);
        }
        check_cells_at(digits, UINT64_MAX);
    }
}

static void test_empty(void **state)
{
    (void)state;
    struct weir_hist *hist = open_default();
    assert_int_equal(weir_hist_count(hist), 0);
    assert_int_equal(weir_hist_clipped_count(hist), 0);
    assert_int_equal(weir_hist_min(hist), 0);
    assert_int_equal(weir_hist_max(hist), 0);
    assert_true(weir_hist_mean(hist) == 0);
    assert_true(weir_hist_stddev(hist) == 0);
    assert_int_equal(weir_hist_percentile(hist, 50), 0);
    assert_int_equal(weir_hist_percentile(hist, 100), 0);
    assert_int_equal(weir_hist_count_at_most(hist, UINT64_MAX), 0);
    weir_hist_reset(hist);
    weir_hist_record_n(hist, 17, 0); /* nothing happened */
    assert_int_equal(weir_hist_count(hist), 0);
    assert_int_equal(weir_hist_min(hist), 0);
    weir_hist_close(hist);
    weir_hist_close(NULL);
}

static void test_few_values(void **state)
{
    (void)state;
    struct weir_hist *hist = open_default();
    weir_hist_record(hist, 3);
    assert_int_equal(weir_hist_percentile(hist, 0), 3);
    assert_int_equal(weir_hist_percentile(hist, 50), 3);
    assert_int_equal(weir_hist_percentile(hist, 100), 3);
    weir_hist_record(hist, 1);
    assert_int_equal(weir_hist_percentile(hist, 50), 1);
    assert_int_equal(weir_hist_percentile(hist, 50.1), 3);
    weir_hist_record(hist, 2);
    assert_int_equal(weir_hist_percentile(hist, 0), 1);
    assert_int_equal(weir_hist_percentile(hist, -5), 1);
    assert_int_equal(weir_hist_percentile(hist, NAN), 1);
    assert_int_equal(weir_hist_percentile(hist, 33), 1);
    assert_int_equal(weir_hist_percentile(hist, 34), 2);
    assert_int_equal(weir_hist_percentile(hist, 50), 2);
    assert_int_equal(weir_hist_percentile(hist, 66), 2);
    assert_int_equal(weir_hist_percentile(hist, 67), 3);
    assert_int_equal(weir_hist_percentile(hist, 99.99), 3);
    assert_int_equal(weir_hist_percentile(hist, 1e9), 3);
    assert_true(weir_hist_mean(hist) == 2);
    assert_near(weir_hist_stddev(hist), sqrt(2.0 / 3), 1e-15);
    weir_hist_close(hist);
}

/* 99.9 % of 1000 are 999, whatever binary fractions make of it: all values that have a cell of
 * their own. */
static void test_percentiles_of_a_ramp(void **state)
{
    (void)state;
    struct weir_hist *hist = open_default();
    for (uint64_t value = 1; value <= 1000; value++)
        weir_hist_record(hist, value);
    for (uint64_t tenth = 1; tenth <= 1000; tenth++)
        assert_int_equal(weir_hist_percentile(hist, (double)tenth / 10), tenth);
    assert_int_equal(weir_hist_percentile(hist, 99.91), 1000);
    for (uint64_t value = 0; value <= 1000; value++)
        assert_int_equal(weir_hist_count_at_most(hist, value), value);
    assert_int_equal(weir_hist_count_at_most(hist, 5000), 1000);
    weir_hist_close(hist);
}

static void test_max_is_exact(void **state)
{
    (void)state;
    struct weir_hist *hist = open_default();
    weir_hist_record(hist, 1000001);
    weir_hist_record(hist, 123456789);
    assert_int_equal(weir_hist_min(hist), 1000001);
    assert_int_equal(weir_hist_max(hist), 123456789);
    assert_int_equal(weir_hist_percentile(hist, 100), 123456789);
    assert_int_equal(weir_hist_percentile(hist, 51), 123456789);
    uint64_t median = weir_hist_percentile(hist, 50);
    assert_in_range(median, 1000001, 1001001);
    assert_int_equal(weir_hist_count_at_most(hist, 1000000), 0);
    assert_int_equal(weir_hist_count_at_most(hist, 1000001), 1);
    assert_int_equal(weir_hist_count_at_most(hist, 123456788), 2); /* in the maximum's cell */
    assert_int_equal(weir_hist_count_at_most(hist, 123456789), 2);
    weir_hist_close(hist);
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

#define VALUES_COUNT 20011u /* a prime: no percentile falls on a whole count by luck */

enum shape { SHAPE_UNIFORM, SHAPE_EXPONENTIAL, SHAPE_LOGNORMAL, SHAPE_BIMODAL, SHAPE_COUNT };

static uint64_t draw_value(enum shape shape, uint64_t key)
{
    double u = weir_random_unit(SEED, key, shape);
    double v = weir_random_unit(SEED, key, shape + SHAPE_COUNT);
    double normal = sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
    double value = 0;
    switch (shape) {
    case SHAPE_UNIFORM:
        value = u * 5e6;
        break;
    case SHAPE_EXPONENTIAL:
        value = -3e4 * log(1 - u);
        break;
    case SHAPE_LOGNORMAL:
        value = exp(8 + 2.5 * normal);
        break;
    case SHAPE_BIMODAL:
        value = v < 0.98 ? 150 + 20 * u : 2e7 + 1e6 * u;
        break;
    case SHAPE_COUNT:
        break;
    }
    return (uint64_t)fmin(fmax(value, 1), 3.6e9);
}

static void check_percentiles(const struct weir_hist *hist, const uint64_t *sorted, double bound)
{
    static const double percentiles[] = { 0,  0.01, 1,  5,    10,   25,    33.3,   50, 66.6,
                                          75, 90,   95, 99.0, 99.9, 99.99, 99.999, 100 };
    for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++) {
        uint64_t rank = (uint64_t)ceil(percentiles[i] / 100 * VALUES_COUNT);
        uint64_t exact = sorted[rank > 0 ? rank - 1 : 0];
        uint64_t found = weir_hist_percentile(hist, percentiles[i]);
        if (found >= exact && (double)(found - exact) <= bound * (double)exact)
            continue;
        print_error("p%g is %llu, exactly %llu\n", percentiles[i], (unsigned long long)found,
                    (unsigned long long)exact);
        fail();
    }
    uint64_t at_most = weir_hist_count_at_most(hist, sorted[VALUES_COUNT / 3]);
    assert_true(at_most > VALUES_COUNT / 3);
    uint64_t beyond = sorted[at_most - 1] - sorted[VALUES_COUNT / 3];
    assert_true((double)beyond <= bound * (double)sorted[at_most - 1]);
}

static void check_against_exact(enum shape shape, uint32_t digits)
{
    static uint64_t values[VALUES_COUNT];
    struct weir_hist *hist = open_shape(1, UINT64_C(3600000000), digits);
    double bound = pow(10, -(double)digits);
    long double sum = 0, squares = 0;
    for (uint32_t i = 0; i < VALUES_COUNT; i++) {
        values[i] = draw_value(shape, i);
        weir_hist_record(hist, values[i]);
        sum += values[i];
    }
    long double mean = sum / VALUES_COUNT;
    for (uint32_t i = 0; i < VALUES_COUNT; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    qsort(values, VALUES_COUNT, sizeof values[0], compare_u64);
    assert_int_equal(weir_hist_count(hist), VALUES_COUNT);
    assert_int_equal(weir_hist_clipped_count(hist), 0);
    assert_int_equal(weir_hist_min(hist), values[0]);
    assert_int_equal(weir_hist_max(hist), values[VALUES_COUNT - 1]);
    assert_near(weir_hist_mean(hist), (double)mean, 1e-15);
    assert_near(weir_hist_stddev(hist), (double)sqrtl(squares / VALUES_COUNT), bound);
    check_percentiles(hist, values, bound);
    weir_hist_close(hist);
}

static void test_distributions(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    for (int shape = 0; shape < SHAPE_COUNT; shape++)
        for (uint32_t digits = 1; digits <= HIST_DIGITS_MAX; digits++)
            check_against_exact((enum shape)shape, digits);
}

static void test_lowest(void **state)
{
    (void)state;
    struct weir_hist *hist = open_shape(1000, 2000000, 2);
    weir_hist_record(hist, 0);
    weir_hist_record(hist, 999);
    weir_hist_record(hist, 1000);
    weir_hist_record(hist, 1500);
    assert_int_equal(weir_hist_min(hist), 1000);
    assert_int_equal(weir_hist_count_at_most(hist, 999), 0);
    assert_int_equal(weir_hist_count_at_most(hist, 1000), 3);
    assert_int_equal(weir_hist_count_at_most(hist, 1600), 4);
    assert_int_equal(weir_hist_percentile(hist, 75), 1003); /* cells here are 4 wide */
    assert_int_equal(weir_hist_clipped_count(hist), 0);
    weir_hist_close(hist);
}

static void test_highest(void **state)
{
    (void)state;
    struct weir_hist *hist = open_shape(1, 1000, 3);
    weir_hist_record(hist, 1000);
    assert_int_equal(weir_hist_clipped_count(hist), 0);
    weir_hist_record(hist, 1001);
    weir_hist_record_n(hist, UINT64_MAX, 5);
    assert_int_equal(weir_hist_clipped_count(hist), 6);
    assert_int_equal(weir_hist_count(hist), 7);
    assert_int_equal(weir_hist_max(hist), 1000);
    assert_int_equal(weir_hist_percentile(hist, 100), 1000);
    assert_true(weir_hist_mean(hist) == 1000);
    weir_hist_reset(hist);
    assert_int_equal(weir_hist_clipped_count(hist), 0);
    weir_hist_close(hist);
}

static void test_extreme_shapes(void **state)
{
    (void)state;
    struct weir_hist *hist = open_shape(1, UINT64_MAX, 4);
    weir_hist_record(hist, 1);
    weir_hist_record_n(hist, UINT64_MAX, UINT64_MAX - 2); /* the sum needs all of its 128 bits */
    weir_hist_record(hist, 1);
    assert_int_equal(weir_hist_count(hist), UINT64_MAX);
    assert_int_equal(weir_hist_max(hist), UINT64_MAX);
    assert_int_equal(weir_hist_percentile(hist, 0), 1);
    assert_int_equal(weir_hist_percentile(hist, 50), UINT64_MAX);
    assert_int_equal(weir_hist_count_at_most(hist, UINT64_MAX - 1), UINT64_MAX);
    assert_int_equal(weir_hist_count_at_most(hist, UINT64_MAX / 2), 2);
    assert_near(weir_hist_mean(hist), 18446744073709551615.0, 1e-15);
    weir_hist_close(hist);

    hist = open_shape(UINT64_MAX, UINT64_MAX, 1); /* a single cell */
    weir_hist_record(hist, 5);
    assert_int_equal(weir_hist_percentile(hist, 50), UINT64_MAX);
    assert_true(weir_hist_stddev(hist) == 0);
    weir_hist_close(hist);
}

/* Long sums must stay exact where doubles have long lost the small values. */
static void test_mean_is_exact(void **state)
{
    (void)state;
    struct weir_hist *hist = open_shape(1, UINT64_C(1) << 62, 1);
    weir_hist_record(hist, UINT64_C(1) << 62);
    weir_hist_record_n(hist, 1, UINT64_C(1) << 62);
    assert_true(weir_hist_mean(hist) == 2); /* 2^63 / (2^62 + 1), rounded */
    weir_hist_close(hist);
}

static void test_stddev_of_equal_values(void **state)
{
    (void)state;
    struct weir_hist *hist = open_default();
    weir_hist_record_n(hist, 1234567, 1000);
    assert_true(weir_hist_stddev(hist) == 0);
    weir_hist_close(hist);
    for (int exponent = -300; exponent <= 300; exponent++) {
        double x = ldexp(1 + weir_random_unit(SEED, 1, (uint64_t)(exponent + 300)), exponent);
        assert_near(hist_sqrt(x), sqrt(x), 1e-15);
    }
}

static void test_record_n_is_record(void **state)
{
    (void)state;
    struct weir_hist *one = open_default();
    struct weir_hist *many = open_default();
    for (uint64_t key = 0; key < 50; key++) {
        uint64_t value = draw_value(SHAPE_LOGNORMAL, key);
        weir_hist_record_n(many, value, key);
        for (uint64_t i = 0; i < key; i++)
            weir_hist_record(one, value);
    }
    size_t bytes = sizeof *one + one->cells_count * sizeof one->counts[0];
    assert_memory_equal(one, many, bytes);
    weir_hist_close(one);
    weir_hist_close(many);
}

static void test_merge_is_recording_both(void **state)
{
    (void)state;
    struct weir_hist *both = open_default();
    struct weir_hist *parts[2] = { open_default(), open_default() };
    for (uint64_t key = 0; key < 5000; key++) {
        uint64_t value = draw_value(SHAPE_BIMODAL, key) << (key % 12);
        weir_hist_record(both, value);
        weir_hist_record(parts[key % 2], value);
    }
    assert_true(weir_hist_clipped_count(both) > 0);
    assert_int_equal(weir_hist_merge(parts[0], parts[1]), 0);
    size_t bytes = sizeof *both + both->cells_count * sizeof both->counts[0];
    assert_memory_equal(parts[0], both, bytes);

    weir_hist_reset(parts[1]);
    assert_int_equal(weir_hist_merge(parts[0], parts[1]), 0); /* nothing to add */
    assert_memory_equal(parts[0], both, bytes);
    assert_int_equal(weir_hist_merge(parts[1], parts[0]), 0);
    assert_memory_equal(parts[1], both, bytes);
    assert_int_equal(weir_hist_merge(parts[0], parts[0]), 0);
    assert_int_equal(weir_hist_count(parts[0]), 10000);
    weir_hist_close(both);
    weir_hist_close(parts[0]);
    weir_hist_close(parts[1]);
}

static void test_merge_wants_equal_shapes(void **state)
{
    (void)state;
    struct weir_hist *hist = open_shape(1, 1000, 3);
    struct weir_hist *others[] = { open_shape(2, 1000, 3), open_shape(1, 1001, 3),
                                   open_shape(1, 1000, 2) };
    for (size_t i = 0; i < 3; i++) {
        weir_hist_record(others[i], 5);
        assert_int_equal(weir_hist_merge(hist, others[i]), -EINVAL);
        assert_non_null(strstr(weir_error_text(), "shapes differ"));
        assert_int_equal(weir_hist_count(hist), 0);
        weir_hist_close(others[i]);
    }
    weir_hist_close(hist);
}

static void test_reset_forgets_all(void **state)
{
    (void)state;
    struct weir_hist *hist = open_default();
    struct weir_hist *fresh = open_default();
    for (uint64_t key = 0; key < 1000; key++)
        weir_hist_record(hist, draw_value(SHAPE_LOGNORMAL, key));
    weir_hist_reset(hist);
    assert_memory_equal(hist, fresh, sizeof *hist + hist->cells_count * sizeof hist->counts[0]);
    weir_hist_record(hist, 7);
    assert_int_equal(weir_hist_percentile(hist, 50), 7);
    weir_hist_close(hist);
    weir_hist_close(fresh);
}

static void check_refused(const struct weir_hist_config *cfg, const char *field)
{
    struct weir_hist *const untouched = (struct weir_hist *)(uintptr_t)64;
    struct weir_hist *hist = untouched;
    assert_int_equal(weir_hist_memory_bytes(cfg), -EINVAL);
    assert_int_equal(weir_hist_open(&hist, cfg), -EINVAL);
    assert_ptr_equal(hist, untouched);
    assert_non_null(strstr(weir_error_text(), field));
}

static void test_config(void **state)
{
    (void)state;
    struct weir_hist_config cfg;
    weir_hist_config_init(&cfg);
    assert_int_equal(cfg.size, sizeof cfg);
    assert_int_equal(cfg.lowest, 1);
    assert_int_equal(cfg.highest, UINT64_C(3600000000));
    assert_int_equal(cfg.digits, 3);
    assert_in_range(weir_hist_memory_bytes(&cfg), 1024 * 8, 256 * 1024);

    struct weir_hist_config bad = cfg;
    bad.lowest = 0;
    check_refused(&bad, "lowest is 0");
    bad = cfg;
    bad.lowest = cfg.highest + 1;
    check_refused(&bad, "highest is 3600000000");
    bad = cfg;
    bad.digits = 0;
    check_refused(&bad, "digits is 0");
    bad.digits = 5;
    check_refused(&bad, "digits is 5");
    bad = (struct weir_hist_config){ .lowest = 1, .highest = 10, .digits = 2 };
    check_refused(&bad, "size is 0");
    bad.size = UINT32_MAX;
    check_refused(&bad, "weir_hist_config_init");
}

/* A configuration from a newer header: fine until one of its new fields is set. */
static void test_config_of_a_newer_header(void **state)
{
    (void)state;
    struct {
        struct weir_hist_config known;
        uint64_t added;
    } newer = { .added = 99 };
    weir_hist_config_init_size(&newer.known, sizeof newer);
    assert_int_equal(newer.known.size, sizeof newer);
    assert_int_equal(newer.added, 0);
    struct weir_hist *hist = NULL;
    assert_int_equal(weir_hist_open(&hist, &newer.known), 0);
    weir_hist_close(hist);
    newer.added = 1;
    check_refused(&newer.known, "not known");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_few_values),
        cmocka_unit_test(test_percentiles_of_a_ramp),
        cmocka_unit_test(test_max_is_exact),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_lowest),
        cmocka_unit_test(test_highest),
        cmocka_unit_test(test_extreme_shapes),
        cmocka_unit_test(test_mean_is_exact),
        cmocka_unit_test(test_stddev_of_equal_values),
        cmocka_unit_test(test_record_n_is_record),
        cmocka_unit_test(test_merge_is_recording_both),
        cmocka_unit_test(test_merge_wants_equal_shapes),
        cmocka_unit_test(test_reset_forgets_all),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_config_of_a_newer_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
