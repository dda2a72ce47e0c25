/* SPDX-License-Identifier: MIT */
#include "core/dist_math.c" /* its statics are tested too */

#include <weir/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SEED  UINT64_C(0xd157)
#define STEPS 1000000

static void check_near(const char *what, double at, double actual, double expected, double relative)
{
    if (actual == expected || fabs(actual - expected) <= relative * fabs(expected))
        return;
    print_error("%s at %.17g is %.17g, not within %g of %.17g\n", what, at, actual, relative,
                expected);
    fail();
}

static void test_normal_known(void **state)
{
    (void)state;
    static const struct {
        double u, z;
    } cases[] = {
        { 0.5, 0 },
        { 0.75, 0.67448975019608174320 },
        { 0.9, 1.2815515655446004 },
        { 0.975, 1.9599639845400542 },
        { 0.99, 2.3263478740408411 },
        { 0.999, 3.0902323061678132 },
        { 0.0013498980316300933, -3 },
        { 1e-10, -6.3613409024040561 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_near("quantile", cases[i].u, weir_dist_normal_quantile(cases[i].u), cases[i].z,
                   2e-15);
    assert_true(weir_dist_normal_quantile(0) == -INFINITY);
    assert_true(weir_dist_normal_quantile(1) == INFINITY);
    assert_true(weir_dist_normal_density(0) == exp(-0.91893853320467274178));
    assert_true(weir_dist_normal_above(0) == 0.5);
}

/* The share below the quantile is the share that was asked for, far into both tails. */
static void test_normal_inverts(void **state)
{
    (void)state;
    for (double u = 0.5; u > 1e-300; u *= 0.97) {
        double z = weir_dist_normal_quantile(u);
        /* An error of one unit in the last place of z is up to z^2 as much in the share. */
        check_near("share below", u, weir_dist_normal_above(-z), u, 1e-15 * (2 + z * z));
        if (1 - u != 1 && 1 - (1 - u) == u)
            assert_true(weir_dist_normal_quantile(1 - u) == -z);
    }
}

static void test_normal_monotone(void **state)
{
    (void)state;
    double last = -INFINITY;
    for (uint32_t i = 0; i <= STEPS; i++) {
        double z = weir_dist_normal_quantile((double)i / STEPS);
        if (z <= last && i > 0) {
            print_error("falls at %u of %u\n", i, STEPS);
            fail();
        }
        last = z;
    }
}

/* Integer shapes: e^-x (1 + x + ... + x^(n-1) / (n-1)!). */
static double erlang_above(int shape, double x)
{
    double term = 1, sum = 1;
    for (int i = 1; i < shape; i++) {
        term *= x / i;
        sum += term;
    }
    return exp(-x) * sum;
}

static void test_gamma_shares(void **state)
{
    (void)state;
    for (double x = 1e-6; x < 600; x *= 1.3) {
        for (int shape = 1; shape <= 40; shape += 3)
            check_near("integer shape: share above", x, weir_dist_gamma_above(shape, x),
                       erlang_above(shape, x), 1e-12);
        double root = sqrt(x);
        check_near("shape 1/2: share above", x, weir_dist_gamma_above(0.5, x), erfc(root), 1e-12);
        check_near("shape 1/2: share below", x, weir_dist_gamma_below(0.5, x), erf(root), 1e-12);
        double three_halves = erfc(root) + 2 * root / sqrt(M_PI) * exp(-x);
        check_near("shape 3/2: share above", x, weir_dist_gamma_above(1.5, x), three_halves, 1e-12);
        check_near("shape 1: share below", x, weir_dist_gamma_below(1, x), -expm1(-x), 1e-12);
    }
    assert_true(weir_dist_gamma_above(2, 0) == 1);
    assert_true(weir_dist_gamma_below(2, 0) == 0);
    assert_true(weir_dist_gamma_above(2, 1e15) == 0);
    assert_true(weir_dist_gamma_below(2, 1e15) == 1);
}

static const double shapes[] = { 0.05, 0.1, 0.5, 0.9, 1, 1.5, 2, 7.25, 100, 10000 };

#define SHAPES (sizeof shapes / sizeof shapes[0])

/* Between the nodes too the interpolation is as near as is promised, and it does not fall. */
static void test_gamma_interpolation(void **state)
{
    (void)state;
    print_message("seed %llu\n", (unsigned long long)SEED);
    for (size_t i = 0; i < SHAPES; i++) {
        struct weir_dist_node nodes[WEIR_DIST_NODES];
        weir_dist_gamma_nodes(nodes, shapes[i]);
        double log_gamma = math_log_gamma(shapes[i]), worst = 0;
        for (uint64_t draw = 0; draw < 500; draw++) {
            double z = -8.25 + 16.5 * weir_random_unit(SEED, i, draw);
            double found = weir_dist_gamma_at(nodes, z);
            /* From a guess that is off, so that the two do not agree for want of a step. */
            double exact = math_gamma_solve(shapes[i], log_gamma, z, nodes[132].log_x + z / 2);
            if (exact > -700) /* else it is nothing, or not normal */
                worst = fmax(worst, fabs(found / exp(exact) - 1));
        }
        print_message("shape %g: relative error %.2g\n", shapes[i], worst);
        assert_true(worst < 1e-6);
    }
}

static void test_gamma_monotone(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        struct weir_dist_node nodes[WEIR_DIST_NODES];
        weir_dist_gamma_nodes(nodes, shapes[i]);
        double last = weir_dist_gamma_at(nodes, -INFINITY);
        assert_true(last == 0);
        for (double z = -8.4; z < 8.4; z += 1.0 / 4096) {
            double x = weir_dist_gamma_at(nodes, z);
            assert_true(x >= last);
            last = x;
        }
        assert_true(weir_dist_gamma_at(nodes, INFINITY) == INFINITY);
    }
}

/* The exact case of the interpolation: shape 1 is -ln u. */
static void test_gamma_is_exponential(void **state)
{
    (void)state;
    struct weir_dist_node nodes[WEIR_DIST_NODES];
    weir_dist_gamma_nodes(nodes, 1);
    for (double z = -8; z <= 8; z += 0.001) {
        double x = z < 0 ? -log1p(-weir_dist_normal_above(-z)) : -log(weir_dist_normal_above(z));
        check_near("shape 1", z, weir_dist_gamma_at(nodes, z), x, 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_known),         cmocka_unit_test(test_normal_inverts),
        cmocka_unit_test(test_normal_monotone),      cmocka_unit_test(test_gamma_shares),
        cmocka_unit_test(test_gamma_interpolation),  cmocka_unit_test(test_gamma_monotone),
        cmocka_unit_test(test_gamma_is_exponential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
