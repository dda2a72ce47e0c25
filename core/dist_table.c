/* SPDX-License-Identifier: MIT */
/*
 * Percentile tables: an inverse distribution function of straight pieces.
 *
 * Invariants of a table: at least two points; u begins with 0 and ends with 1; neither u nor ns
 * falls from point to point. Two points of one u are a step, of which no u lies in between.
 */
#include "core/dist.h"
#include "core/assert.h"

#include <errno.h>

#define TABLE_ONE_BITS   UINT64_C(0x3ff0000000000000) /* of the double 1 */
#define TABLE_CELL_SHIFT 48 /* leaves the exponent and four bits of the fraction */

int weir_dist_table_push(struct weir_dist_draft *draft, double u, double ns)
{
    WEIR_ASSERT(draft->parts_count > 0);
    WEIR_ASSERT(u >= 0 && u <= 1);
    WEIR_ASSERT(ns >= 0);
    if (draft->points_count == WEIR_DIST_POINTS_MAX)
        return weir_fail(-ERANGE, "there are more than %d points", WEIR_DIST_POINTS_MAX);
    if (draft->scratch.base == NULL) {
        int err =
            weir_arena_open(&draft->scratch, WEIR_DIST_POINTS_MAX * sizeof(struct weir_dist_point));
        if (err < 0)
            return err;
    }
    struct weir_dist_point *point =
        weir_arena_take(&draft->scratch, sizeof(*point), sizeof(double));
    *point = (struct weir_dist_point){ .u = u, .ns = ns };
    struct weir_dist_part *part = &draft->parts[draft->parts_count - 1];
    if (part->points_count == 0)
        part->points = point;
    WEIR_ASSERT(part->points + part->points_count == point);
    part->points_count++;
    draft->points_count++;
    return 0;
}

/* Grows with u. */
static inline uint32_t table_cell(double u)
{
    double above = 1 - u;
    uint64_t bits;
    memcpy(&bits, &above, sizeof bits);
    uint64_t cell = (TABLE_ONE_BITS - bits) >> TABLE_CELL_SHIFT;
    return cell < WEIR_DIST_GUIDE_CELLS ? (uint32_t)cell : WEIR_DIST_GUIDE_CELLS - 1;
}

/* guide[cell]: the last point in a cell before this one. So the last point at or before a u in
 * `cell` is one of guide[cell] ... guide[cell + 1]. The last of all begins no piece. */
void weir_dist_table_guide(uint16_t guide[WEIR_DIST_GUIDE_CELLS + 1],
                           const struct weir_dist_point *points, uint32_t count)
{
    WEIR_ASSERT(count >= 2 && count <= WEIR_DIST_POINTS_MAX);
    WEIR_ASSERT(points[0].u == 0);
    WEIR_ASSERT(points[count - 1].u == 1);
    uint32_t before = 0;
    for (uint32_t cell = 0; cell <= WEIR_DIST_GUIDE_CELLS; cell++) {
        while (before < count - 1 && table_cell(points[before].u) < cell)
            before++;
        guide[cell] = (uint16_t)(before > 0 ? before - 1 : 0);
    }
}

double weir_dist_table_at(const struct weir_dist_part *part, double u)
{
    WEIR_DEBUG_ASSERT(u >= 0 && u <= 1);
    uint32_t cell = table_cell(u);
    uint32_t low = part->index.guide[cell];
    /* [low, low + count) has the last point at or before u. No branch on the comparison: each would
     * be guessed wrong every other time. */
    for (uint32_t count = part->index.guide[cell + 1] - low + 1; count > 1;) {
        uint32_t half = count / 2;
        low += (uint32_t)(part->points[low + half].u <= u) * half;
        count -= half;
    }
    const struct weir_dist_point *left = &part->points[low], *right = left + 1;
    double width = right->u - left->u;
    if (u - left->u >= width) /* only at 1, where there can be a step too */
        return right->ns;
    double ns = left->ns + (right->ns - left->ns) * ((u - left->u) / width);
    return ns < right->ns ? ns : right->ns;
}

/* The mean of what is above x, less x, over a piece from `low` to `high`. */
static double table_excess(double low, double high, double x)
{
    if (x >= high)
        return 0;
    if (x <= low)
        return (low + high) / 2 - x;
    return (high - x) * ((high - x) / (high - low)) / 2;
}

double weir_dist_table_area(const struct weir_dist_part *part, double from, double to)
{
    WEIR_ASSERT(from <= to);
    double area = 0;
    for (uint32_t i = 1; i < part->points_count; i++) {
        const struct weir_dist_point *left = &part->points[i - 1], *right = &part->points[i];
        double excess =
            table_excess(left->ns, right->ns, from) - table_excess(left->ns, right->ns, to);
        area += (right->u - left->u) * excess;
    }
    return area;
}
