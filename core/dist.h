/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a latency distribution share.
 *
 * Every distribution is a mixture, of one part mostly. Each part owns the 64-bit random numbers
 * [first, last], in proportion to its weight; the place of a number in there is the part's uniform
 * number u in (0, 1), and the duration is the part's inverse distribution function at u. So a draw
 * takes one number, and a duration grows with its number within a part.
 *
 * Life of a text: weir_dist_parse() fills a draft [dist_parse.c, dist_hgrm.c, dist_table.c], of
 * which weir_dist_build() makes the immutable distribution, one block of memory [dist.c].
 */
#ifndef WEIR_CORE_DIST_H
#define WEIR_CORE_DIST_H

#include <weir/dist.h>

#include "core/arena.h"
#include "core/base.h"

enum weir_dist_kind {
    WEIR_DIST_FIXED,
    WEIR_DIST_UNIFORM,
    WEIR_DIST_NORMAL,
    WEIR_DIST_LOGNORMAL,
    WEIR_DIST_EXPONENTIAL,
    WEIR_DIST_GAMMA,
    WEIR_DIST_PARETO,
    WEIR_DIST_TABLE,
    WEIR_DIST_HGRM,
    WEIR_DIST_KIND_COUNT
};

/* For messages and texts. */
extern const char *const weir_dist_kind_names[WEIR_DIST_KIND_COUNT];

/* digits * 10^-places: a number as it was written. No binary fraction is exactly 0.95. */
struct weir_dist_decimal {
    uint64_t digits;
    uint32_t places;
};

/* 10^15 is below 2^53 and 10^22 the last power of ten that is a double: one division is exact. */
#define WEIR_DIST_DECIMAL_DIGITS 15

/*
 * The number that is all of `text`; zeros at the end of its fraction are left out. False when it is
 * none or has more than 15 digits before its point, or, if `rounds_out` is NULL, in all. Otherwise
 * the digits beyond are dropped and *rounds_out tells so.
 */
bool weir_dist_decimal_scan(struct weir_dist_decimal *out, struct weir_slice text,
                            bool *rounds_out);
/* Times 10^-shift; the nearest double. */
double weir_dist_decimal_value(struct weir_dist_decimal decimal, uint32_t shift);

/* Of an inverse distribution function: a share `u` of all draws is at most `ns`. */
struct weir_dist_point {
    double u;
    double ns;
};

/*
 * Where to look for u in a table: the cell of 1 - u, 16 to each power of two down to 2^-53. They
 * grow finer towards the tail as the rows of HdrHistogram do.
 */
#define WEIR_DIST_GUIDE_CELLS (53 * 16 + 1)

/* ln x and its slope at z: the gamma distribution with scale 1 over standard normal deviates. */
struct weir_dist_node {
    double log_x;
    double slope;
};

#define WEIR_DIST_NODES_PER_UNIT 16
#define WEIR_DIST_NODES_SIDE     132 /* below 0 and above: to 8.25, and a u of 2^-53 is at -8.21 */
#define WEIR_DIST_NODES          (2 * WEIR_DIST_NODES_SIDE + 1)
#define WEIR_DIST_NODES_Z_MAX    ((double)WEIR_DIST_NODES_SIDE / WEIR_DIST_NODES_PER_UNIT)

struct weir_dist_part {
    /* hot: what a draw reads */
    uint64_t first;
    double half_width_inverse; /* 2 / (last - first + 1) */
    double a, b;               /* see part_at() in dist.c */
    double min, max;           /* limits of what is drawn */
    const struct weir_dist_point *points;
    union {
        const uint16_t *guide;              /* of points: WEIR_DIST_GUIDE_CELLS + 1 */
        const struct weir_dist_node *nodes; /* gamma: WEIR_DIST_NODES */
    } index;
    enum weir_dist_kind kind;
    uint32_t points_count;
    /* cold: as it was written */
    uint64_t last;
    struct weir_dist_decimal weight;
    uint64_t center_ns; /* value, mean, median; the unit of an hgrm file */
    uint64_t spread_ns; /* stddev, the percentile of a lognormal */
    uint64_t min_ns, max_ns;
    struct weir_dist_decimal number; /* shape, alpha, sigma, or which percentile spread_ns is */
    bool number_is_percent;
    struct weir_slice file; /* of an hgrm; in the built distribution with a NUL behind it */
};

struct weir_dist {
    struct weir_arena arena; /* where this lies itself, and all that the parts point to */
    uint32_t parts_count;
    struct weir_dist_part parts[];
};

/* A distribution that is being read. The points are in `scratch`, names where they were. */
struct weir_dist_draft {
    struct weir_arena scratch; /* not there before the first point */
    uint32_t points_count;     /* of all parts */
    uint32_t parts_count;
    struct weir_dist_part parts[WEIR_DIST_PARTS_MAX];
};

/* 0 or -ENOMEM. The draft stays the caller's. */
int weir_dist_build(struct weir_dist **out, const struct weir_dist_draft *draft) WEIR_MUST_USE;

/* Add a point to the part that is being read, the last one. @return 0, -ERANGE when there are too
 * many, -ENOMEM */
int weir_dist_table_push(struct weir_dist_draft *draft, double u, double ns) WEIR_MUST_USE;
void weir_dist_table_guide(uint16_t guide[WEIR_DIST_GUIDE_CELLS + 1],
                           const struct weir_dist_point *points, uint32_t count);
double weir_dist_table_at(const struct weir_dist_part *part, double u);
/* The area under the share of draws above x, between the durations `from` and `to`. */
double weir_dist_table_area(const struct weir_dist_part *part, double from, double to);

/* Push the points of a file of HdrHistogram whose values are in units of unit_ns. @return 0,
 * -EINVAL, -ERANGE, -ENOMEM, -errno of the file; weir_error_text() names file and line */
int weir_dist_hgrm_read(struct weir_dist_draft *draft, const char *path,
                        uint64_t unit_ns) WEIR_MUST_USE;

#endif
