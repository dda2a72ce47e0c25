/* SPDX-License-Identifier: MIT */
/*
 * Draws, quantiles and means of a distribution that was read.
 *
 * Invariants: the parts share all 64-bit numbers without gap, parts[0].first == 0; within a part
 * the duration does not fall as the number grows.
 */
#include "core/dist.h"
#include "core/assert.h"
#include "core/dist_math.h"

#include <errno.h>
#include <math.h>
#include <sys/mman.h>

#include <weir/random.h>

/* Neither 0 nor 1, where some inverse functions are infinite, and 1 - u is exact at the upper end.
 */
#define DIST_U_MIN 0x1p-53
#define DIST_U_MAX (1 - 0x1p-53)

__extension__ typedef unsigned __int128 dist_u128;

/* The weights add up to 1: checked where they were read. */
#define DIST_WEIGHT_ONE UINT64_C(1000000000000000)

/* For the arena: what each part points to. */
static uint64_t dist_part_bytes(const struct weir_dist_part *part)
{
    uint64_t bytes = 0;
    if (part->points_count > 0) {
        bytes += weir_arena_cost(part->points_count * sizeof(struct weir_dist_point), 8);
        bytes += weir_arena_cost((WEIR_DIST_GUIDE_CELLS + 1) * sizeof(uint16_t), 8);
    }
    if (part->kind == WEIR_DIST_GAMMA)
        bytes += weir_arena_cost(WEIR_DIST_NODES * sizeof(struct weir_dist_node), 8);
    if (part->file.len > 0)
        bytes += part->file.len + 1;
    return bytes;
}

/* Give a part of the built distribution its own copies of what the draft's points to. */
static void dist_part_own(struct weir_dist_part *part, struct weir_arena *arena)
{
    if (part->points_count > 0) {
        size_t bytes = part->points_count * sizeof(struct weir_dist_point);
        struct weir_dist_point *points = weir_arena_take(arena, bytes, 8);
        memcpy(points, part->points, bytes);
        part->points = points;
        uint16_t *guide = weir_arena_take(arena, (WEIR_DIST_GUIDE_CELLS + 1) * sizeof(uint16_t), 8);
        weir_dist_table_guide(guide, points, part->points_count);
        part->index.guide = guide;
    }
    if (part->kind == WEIR_DIST_GAMMA) {
        struct weir_dist_node *nodes = weir_arena_take(arena, WEIR_DIST_NODES * sizeof(*nodes), 8);
        weir_dist_gamma_nodes(nodes, part->b);
        part->index.nodes = nodes;
    }
    if (part->file.len > 0) {
        uint8_t *name = weir_arena_take(arena, part->file.len + 1, 1);
        memcpy(name, part->file.ptr, part->file.len);
        part->file.ptr = name;
    }
}

/* Divide the 64-bit numbers by the weights, which are exact in units of 10^-15. */
static void dist_share(struct weir_dist *dist)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < dist->parts_count; i++) {
        struct weir_dist_part *part = &dist->parts[i];
        part->first = (uint64_t)(((dist_u128)sum << 64) / DIST_WEIGHT_ONE);
        uint64_t weight = part->weight.digits;
        for (uint32_t place = part->weight.places; place < WEIR_DIST_DECIMAL_DIGITS; place++)
            weight *= 10;
        WEIR_ASSERT(weight > 0);
        sum += weight;
        part->last = (uint64_t)(((dist_u128)sum << 64) / DIST_WEIGHT_ONE - 1);
        part->half_width_inverse = 2 / ((double)(part->last - part->first) + 1);
    }
    WEIR_ASSERT(sum == DIST_WEIGHT_ONE);
    WEIR_ASSERT(dist->parts[dist->parts_count - 1].last == UINT64_MAX);
}

int weir_dist_build(struct weir_dist **out, const struct weir_dist_draft *draft)
{
    WEIR_ASSERT(draft->parts_count > 0);
    WEIR_ASSERT(draft->parts_count <= WEIR_DIST_PARTS_MAX);
    uint64_t own_bytes =
        sizeof(struct weir_dist) + draft->parts_count * sizeof(struct weir_dist_part);
    uint64_t bytes = weir_arena_cost(own_bytes, WEIR_CACHE_LINE);
    for (uint32_t i = 0; i < draft->parts_count; i++)
        bytes += dist_part_bytes(&draft->parts[i]);
    struct weir_arena arena;
    int err = weir_arena_open(&arena, bytes);
    if (err < 0)
        return err;
    /* No kernel writes here: unlike an engine's memory this may follow a fork. It is advice. */
    (void)madvise(arena.base, arena.bytes, MADV_DOFORK);
    struct weir_dist *dist = weir_arena_take(&arena, own_bytes, WEIR_CACHE_LINE);
    dist->parts_count = draft->parts_count;
    for (uint32_t i = 0; i < draft->parts_count; i++) {
        dist->parts[i] = draft->parts[i];
        dist_part_own(&dist->parts[i], &arena);
    }
    dist_share(dist);
    weir_arena_seal(&arena);
    dist->arena = arena;
    *out = dist;
    return 0;
}

void weir_dist_close(struct weir_dist *dist)
{
    if (dist == NULL)
        return;
    struct weir_arena arena = dist->arena; /* `dist` lies in it */
    weir_arena_close(&arena);
}

/* The inverse distribution function, before the limits. May be infinite at 0 and 1. */
static inline double part_at(const struct weir_dist_part *part, double u)
{
    switch (part->kind) {
    case WEIR_DIST_FIXED:
        return part->a;
    case WEIR_DIST_UNIFORM: /* a: minimum, b: width */
        return part->a + part->b * u;
    case WEIR_DIST_NORMAL: /* a: mean, b: standard deviation */
        return part->b > 0 ? part->a + part->b * weir_dist_normal_quantile(u) : part->a;
    case WEIR_DIST_LOGNORMAL: /* a: median, b: sigma */
        return part->b > 0 ? part->a * exp(part->b * weir_dist_normal_quantile(u)) : part->a;
    case WEIR_DIST_EXPONENTIAL: /* a: mean */
        return -part->a * log(1 - u);
    case WEIR_DIST_GAMMA: /* a: scale, b: shape */
        return part->a * weir_dist_gamma_at(part->index.nodes, weir_dist_normal_quantile(u));
    case WEIR_DIST_PARETO: /* a: minimum, b: -1 / alpha */
        return part->a * pow(1 - u, part->b);
    case WEIR_DIST_TABLE:
    case WEIR_DIST_HGRM:
        return weir_dist_table_at(part, u);
    case WEIR_DIST_KIND_COUNT:
        break;
    }
    WEIR_ASSERT(part->kind < WEIR_DIST_KIND_COUNT);
    return 0;
}

static inline uint64_t part_ns(const struct weir_dist_part *part, double u)
{
    double ns = part_at(part, u);
    ns = ns > part->min ? ns : part->min;
    ns = ns < part->max ? ns : part->max;
    return (uint64_t)(int64_t)(ns + 0.5);
}

/* Halved, since converting a number of 64 bits takes a branch where the CPU knows only signed ones.
 */
static inline double part_u(const struct weir_dist_part *part, uint64_t number)
{
    WEIR_DEBUG_ASSERT(number >= part->first);
    WEIR_DEBUG_ASSERT(number <= part->last);
    double half = (double)(int64_t)((number - part->first) >> 1);
    double u = (half + 0.5) * part->half_width_inverse;
    u = u > DIST_U_MIN ? u : DIST_U_MIN;
    return u < DIST_U_MAX ? u : DIST_U_MAX;
}

uint64_t weir_dist_draw_ns(const struct weir_dist *dist, uint64_t seed, uint64_t key, uint64_t draw)
{
    uint64_t number = weir_random_u64(seed, key, draw);
    const struct weir_dist_part *part = &dist->parts[0];
    if (number > part->last) {
        do
            part++;
        while (number > part->last);
    }
    WEIR_DEBUG_ASSERT(part < &dist->parts[dist->parts_count]);
    return part_ns(part, part_u(part, number));
}

/* How many of the part's numbers make a duration of at most `ns`. */
static dist_u128 part_count_at_most(const struct weir_dist_part *part, uint64_t ns)
{
    /* [first, low) do, [high, last] do not. */
    dist_u128 low = part->first, high = (dist_u128)part->last + 1;
    while (low < high) {
        dist_u128 middle = low + (high - low) / 2;
        if (part_ns(part, part_u(part, (uint64_t)middle)) <= ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low - part->first;
}

static dist_u128 dist_count_at_most(const struct weir_dist *dist, uint64_t ns)
{
    dist_u128 count = 0;
    for (uint32_t i = 0; i < dist->parts_count; i++)
        count += part_count_at_most(&dist->parts[i], ns);
    return count;
}

/* A mixture has no inverse function: count the numbers, exactly as they are drawn. */
static uint64_t dist_mix_quantile(const struct weir_dist *dist, double p)
{
    WEIR_ASSERT(p > 0 && p < 1);
    dist_u128 wanted = (dist_u128)ldexp(p, 64);
    wanted += wanted == 0; /* the lowest there is */
    uint64_t low = 0, high = WEIR_DIST_NS_MAX;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (dist_count_at_most(dist, middle) >= wanted)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

uint64_t weir_dist_quantile_ns(const struct weir_dist *dist, double p)
{
    p = p > 0 ? p : 0; /* not a number is 0 too */
    p = p < 1 ? p : 1;
    if (dist->parts_count > 1 && p > 0 && p < 1)
        return dist_mix_quantile(dist, p);
    uint64_t ns = part_ns(&dist->parts[0], p);
    for (uint32_t i = 1; i < dist->parts_count; i++) {
        uint64_t other = part_ns(&dist->parts[i], p);
        ns = p > 0 ? weir_max_u64(ns, other) : weir_min_u64(ns, other);
    }
    return ns;
}

/*
 * The area under the share of draws above x, for x from the lower to the upper limit; the mean is
 * the lower limit and this. In terms of the mean of what lies between the limits, so that no large
 * means are subtracted when an upper limit cuts most of the tail off.
 */
static double area_from(const struct weir_dist_part *part, double between, double above_min,
                        double above_max)
{
    return between - part->min * above_min + part->max * above_max;
}

static double normal_area(const struct weir_dist_part *part)
{
    double low = (part->min - part->a) / part->b, high = (part->max - part->a) / part->b;
    double above_low = weir_dist_normal_above(low), above_high = weir_dist_normal_above(high);
    /* What is subtracted is the smaller share, which has all its digits. */
    double share = low > 0 ? above_low - above_high
                           : weir_dist_normal_above(-high) - weir_dist_normal_above(-low);
    double bend = weir_dist_normal_density(low) - weir_dist_normal_density(high);
    return area_from(part, part->a * share + part->b * bend, above_low, above_high);
}

static double lognormal_area(const struct weir_dist_part *part)
{
    double sigma = part->b;
    double low = log(part->min / part->a) / sigma, high = log(part->max / part->a) / sigma;
    double between = part->a * exp(sigma * sigma / 2) *
                     (weir_dist_normal_above(sigma - high) - weir_dist_normal_above(sigma - low));
    return area_from(part, between, weir_dist_normal_above(low), weir_dist_normal_above(high));
}

static double gamma_area(const struct weir_dist_part *part)
{
    double shape = part->b, low = part->min / part->a, high = part->max / part->a;
    double between =
        part->a * shape *
        (weir_dist_gamma_below(shape + 1, high) - weir_dist_gamma_below(shape + 1, low));
    return area_from(part, between, weir_dist_gamma_above(shape, low),
                     weir_dist_gamma_above(shape, high));
}

/* Its lower limit is its minimum. */
static double pareto_area(const struct weir_dist_part *part)
{
    WEIR_ASSERT(part->min == part->a);
    double power = 1 + 1 / part->b; /* 1 - alpha: there is no mean without limit from 0 on */
    double logs = log(part->max / part->min);
    return part->min * (fabs(power) < 1e-12 ? logs : expm1(power * logs) / power);
}

static double part_area(const struct weir_dist_part *part)
{
    double from = part->min, to = part->max;
    switch (part->kind) {
    case WEIR_DIST_NORMAL:
        if (part->b > 0)
            return normal_area(part);
        break;
    case WEIR_DIST_LOGNORMAL:
        if (part->b > 0)
            return lognormal_area(part);
        break;
    case WEIR_DIST_EXPONENTIAL:
        return part->a * (exp(-from / part->a) - exp(-to / part->a));
    case WEIR_DIST_GAMMA:
        return gamma_area(part);
    case WEIR_DIST_PARETO:
        return pareto_area(part);
    case WEIR_DIST_TABLE:
    case WEIR_DIST_HGRM:
        return weir_dist_table_area(part, from, to);
    case WEIR_DIST_UNIFORM:
        return part->b / 2;
    case WEIR_DIST_FIXED:
    case WEIR_DIST_KIND_COUNT:
        break;
    }
    return fmin(fmax(part->a, from), to) - from;
}

double weir_dist_mean_ns(const struct weir_dist *dist)
{
    double mean = 0;
    for (uint32_t i = 0; i < dist->parts_count; i++) {
        const struct weir_dist_part *part = &dist->parts[i];
        mean += weir_dist_decimal_value(part->weight, 0) * (part->min + part_area(part));
    }
    return mean;
}
