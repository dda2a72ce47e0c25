/* SPDX-License-Identifier: MIT */
/*
 * The normal quantile is a rational approximation in each of three ranges, with the coefficients of
 * M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied
 * Statistics 37 (1988), his PPND16. One logarithm and one square root in the tails, none in the
 * middle 85 %.
 *
 * The gamma distribution has no such formula, and the usual ways to draw from it reject numbers.
 * Its inverse is interpolated instead: ln x as a function of the normal deviate z of the same share
 * is almost a straight line for large shapes and smooth for all, so cubics through exact values and
 * slopes at 16 nodes per unit of z leave a relative error below 1e-6. The nodes are found by
 * Newton's method on ln P(e^t) or ln Q(e^t). Both are concave in t, since the density of ln x is
 * log-concave: once on the side where the tangent falls short the method stays there and cannot
 * miss.
 */
#include "core/dist_math.h"
#include "core/assert.h"

#include <math.h>

#define MATH_SQRT_HALF     0.70710678118654752440
#define MATH_LOG_SQRT_2PI  0.91893853320467274178
#define MATH_TERMS_MAX     100000
#define MATH_NEWTON_MAX    200
#define MATH_NEWTON_ENOUGH 1e-13

/* c[0] + c[1] x + ... + c[7] x^7 */
static inline double math_polynomial(const double c[8], double x)
{
    double low = (c[3] * x + c[2]) * x * x + (c[1] * x + c[0]);
    double high = (c[7] * x + c[6]) * x * x + (c[5] * x + c[4]);
    double square = x * x;
    return high * (square * square) + low;
}

double weir_dist_normal_quantile(double u)
{
    static const double middle[2][8] = {
        { 3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
          1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
          3.3430575583588128105e4, 2.5090809287301226727e3 },
        { 1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
          2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
          5.2264952788528545610e3 },
    };
    static const double near[2][8] = {
        { 1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
          3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
          2.27238449892691845833e-2, 7.74545014278341407640e-4 },
        { 1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
          1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
          1.05075007164441684324e-9 },
    };
    static const double far[2][8] = {
        { 6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
          2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
          2.71155556874348757815e-5, 2.01033439929228813265e-7 },
        { 1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
          7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
          2.04426310338993978564e-15 },
    };
    double centered = u - 0.5;
    if (fabs(centered) <= 0.425) {
        double r = 0.180625 - centered * centered;
        return centered * (math_polynomial(middle[0], r) / math_polynomial(middle[1], r));
    }
    double tail = centered < 0 ? u : 1 - u;
    if (tail <= 0)
        return centered < 0 ? -INFINITY : INFINITY;
    double r = sqrt(-log(tail)), z;
    if (r <= 5)
        z = math_polynomial(near[0], r - 1.6) / math_polynomial(near[1], r - 1.6);
    else
        z = math_polynomial(far[0], r - 5) / math_polynomial(far[1], r - 5);
    return centered < 0 ? -z : z;
}

double weir_dist_normal_above(double z)
{
    return 0.5 * erfc(z * MATH_SQRT_HALF);
}

double weir_dist_normal_density(double z)
{
    return exp(-0.5 * z * z - MATH_LOG_SQRT_2PI);
}

/* Both sides of a gamma distribution at one place, as logarithms: neither underflows. */
struct math_gamma {
    double log_below;
    double log_above;
    double log_density; /* of ln x */
};

/* lgamma() would write the global signgam: not for a function of any thread. */
static double math_log_gamma(double x)
{
    int sign;
    return lgamma_r(x, &sign);
}

/* sum of x^n / (a (a + 1) ... (a + n)): the share below, over the density. For x < a + 1. */
static double math_gamma_series(double a, double x)
{
    double term = 1 / a, sum = term;
    int n = 1;
    for (; n < MATH_TERMS_MAX && term > sum * 1e-17; n++) {
        term *= x / (a + n);
        sum += term;
    }
    WEIR_ASSERT(n < MATH_TERMS_MAX);
    return sum;
}

/*
 * The share above, over the density, for x >= a + 1: the continued fraction
 *
 *     1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - 2 (2 - a) / (x + 5 - a - ...)))
 *
 * from its front by Lentz' method: the value is the product of the ratios of successive numerators
 * and denominators, of which neither becomes 0 for these x.
 */
static double math_gamma_fraction(double a, double x)
{
    double partial = x + 1 - a;
    double numerator = INFINITY, denominator = 1 / partial;
    double value = denominator;
    int n = 1;
    for (; n < MATH_TERMS_MAX; n++) {
        double factor = n * (a - n);
        partial += 2;
        denominator = 1 / (partial + factor * denominator);
        numerator = partial + factor / numerator;
        double ratio = numerator * denominator;
        value *= ratio;
        if (fabs(ratio - 1) < 1e-15)
            break;
    }
    WEIR_ASSERT(n < MATH_TERMS_MAX);
    return value;
}

static struct math_gamma math_gamma_log(double a, double log_gamma, double log_x)
{
    double x = exp(log_x);
    double log_density = a * log_x - x - log_gamma;
    if (x < a + 1) {
        double below = log_density + log(math_gamma_series(a, x));
        /* The sum of rounding errors must not make a share of more than 1. */
        below = fmin(below, -0x1p-53);
        return (struct math_gamma){ below, log(-expm1(below)), log_density };
    }
    double above = fmin(log_density + log(math_gamma_fraction(a, x)), -0x1p-53);
    return (struct math_gamma){ log(-expm1(above)), above, log_density };
}

double weir_dist_gamma_below(double shape, double x)
{
    WEIR_ASSERT(shape > 0);
    if (x <= 0)
        return 0;
    return exp(math_gamma_log(shape, math_log_gamma(shape), log(x)).log_below);
}

double weir_dist_gamma_above(double shape, double x)
{
    WEIR_ASSERT(shape > 0);
    if (x <= 0)
        return 1;
    return exp(math_gamma_log(shape, math_log_gamma(shape), log(x)).log_above);
}

/* ln x of the share that a normal deviate z has below it, from a first guess. */
static double math_gamma_solve(double a, double log_gamma, double z, double log_x)
{
    bool lower = z < 0;
    double wanted = log(weir_dist_normal_above(fabs(z)));
    int step = 0;
    for (; step < MATH_NEWTON_MAX; step++) {
        struct math_gamma at = math_gamma_log(a, log_gamma, log_x);
        double found = lower ? at.log_below : at.log_above;
        double slope = exp(at.log_density - found);
        /* Limited where the curve is flat and the tangent leads beyond what has an exponential. */
        double change = fmin((wanted - found) / (lower ? slope : -slope), 1);
        log_x += change;
        if (fabs(change) <= MATH_NEWTON_ENOUGH * (1 + fabs(log_x)))
            break;
    }
    WEIR_ASSERT(step < MATH_NEWTON_MAX);
    return log_x;
}

void weir_dist_gamma_nodes(struct weir_dist_node nodes[WEIR_DIST_NODES], double shape)
{
    WEIR_ASSERT(shape >= 0.05);
    WEIR_ASSERT(shape <= 10000);
    double log_gamma = math_log_gamma(shape);
    double z = -WEIR_DIST_NODES_Z_MAX;
    /* Small x: the first term of the series is all of it. The truth lies above. */
    double guess = (log(weir_dist_normal_above(-z)) + math_log_gamma(shape + 1)) / shape;
    for (int i = 0; i < WEIR_DIST_NODES; i++) {
        z = -WEIR_DIST_NODES_Z_MAX + (double)i / WEIR_DIST_NODES_PER_UNIT;
        double log_x = math_gamma_solve(shape, log_gamma, z, guess);
        double log_density = shape * log_x - exp(log_x) - log_gamma;
        double slope = exp(-0.5 * z * z - MATH_LOG_SQRT_2PI - log_density);
        nodes[i] = (struct weir_dist_node){ log_x, slope };
        guess = log_x + slope / WEIR_DIST_NODES_PER_UNIT;
    }
}

double weir_dist_gamma_at(const struct weir_dist_node nodes[WEIR_DIST_NODES], double z)
{
    if (WEIR_UNLIKELY(isinf(z)))
        return z < 0 ? 0 : INFINITY;
    double limited = fmax(-WEIR_DIST_NODES_Z_MAX, fmin(z, WEIR_DIST_NODES_Z_MAX));
    double place = (limited + WEIR_DIST_NODES_Z_MAX) * WEIR_DIST_NODES_PER_UNIT;
    int cell = (int)place;
    if (cell > WEIR_DIST_NODES - 2)
        cell = WEIR_DIST_NODES - 2;
    const struct weir_dist_node *left = &nodes[cell], *right = &nodes[cell + 1];
    double s = place - cell;
    double rise = right->log_x - left->log_x;
    double from = left->slope / WEIR_DIST_NODES_PER_UNIT;
    double to = right->slope / WEIR_DIST_NODES_PER_UNIT;
    /* The cubic with these values and slopes at both ends, as a polynomial of s. */
    double log_x =
        left->log_x + s * (from + s * ((3 * rise - 2 * from - to) + s * (from + to - 2 * rise)));
    return exp(log_x);
}
