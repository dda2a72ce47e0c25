/* SPDX-License-Identifier: MIT */
/*
 * High dynamic range histogram.
 *
 * The values of one octave [2^e, 2^(e+1)) share 2^bits cells of equal width, where 2^bits >=
 * 10^digits: a cell is 2^(e-bits) wide, so two values in one cell differ by less than 2^-bits of
 * either. Values below 2^(bits+1) have a cell each. With `shift` the width's exponent, the number
 * of a value's cell is
 *
 *     (shift << bits) + (value >> shift)        shift = max(0, e - bits)
 *
 * which grows by one from cell to cell, across octaves too: octave `shift` ends at (shift << bits)
 * + 2^(bits+1) - 1 and the next begins one higher. So recording is a bit scan, two shifts and four
 * additions. Only the cells from `lowest` to `highest` are stored.
 *
 * Invariants: count == sum of counts[]; all cells outside [min, max] are 0; min == UINT64_MAX, max
 * == 0 when empty.
 */
#include <weir/hist.h>

#include "core/assert.h"
#include "core/base.h"

#include <errno.h>
#include <stdlib.h>

#define HIST_DIGITS_MAX 4
/* Beyond any layout there will be: a size above it was never set, and must not be followed into
 * foreign memory. */
#define HIST_CONFIG_BYTES_MAX 4096
#define HIST_ALIGNMENT        64 /* a cache line: two histograms of two threads never share one */

__extension__ typedef unsigned __int128 hist_u128;

struct weir_hist {
    /* hot: touched by every record */
    uint64_t lowest;
    uint64_t highest;
    uint32_t bits;
    uint32_t first_cell; /* the number of the cell that counts[0] stands for */
    uint64_t count;
    uint64_t min;
    uint64_t max;
    hist_u128 sum; /* 2^64 counts of 2^64 - 1 still fit */
    /* cold */
    uint64_t clipped_count;
    uint32_t cells_count;
    uint32_t digits;
    uint64_t counts[];
};

/* 2^hist_bits[digits] is the first power of two that is not below 10^digits. */
static const uint8_t hist_bits[HIST_DIGITS_MAX + 1] = { 0, 4, 7, 10, 14 };

static uint32_t hist_shift(uint32_t bits, uint64_t value)
{
    /* With bit `bits` set the scan never answers less: small values get shift 0 without a branch.
     */
    return 63u - (uint32_t)__builtin_clzll(value | (UINT64_C(1) << bits)) - bits;
}

static uint32_t hist_cell(uint32_t bits, uint64_t value)
{
    uint32_t shift = hist_shift(bits, value);
    return (shift << bits) + (uint32_t)(value >> shift);
}

/* The smallest value of a cell and the cell's width. */
static uint64_t hist_cell_begin(uint32_t bits, uint32_t cell, uint64_t *width_out)
{
    uint32_t octave = cell >> bits;
    uint32_t shift = octave > 0 ? octave - 1 : 0;
    *width_out = UINT64_C(1) << shift;
    return (uint64_t)(cell - (shift << bits)) << shift;
}

static uint32_t hist_index(const struct weir_hist *hist, uint64_t value)
{
    uint32_t index = hist_cell(hist->bits, value) - hist->first_cell;
    WEIR_DEBUG_ASSERT(index < hist->cells_count);
    return index;
}

void weir_hist_config_init_size(struct weir_hist_config *cfg, uint32_t size)
{
    WEIR_ASSERT(cfg != NULL);
    WEIR_ASSERT(size >= sizeof(cfg->size));
    struct weir_hist_config defaults = {
        .size = size,
        .lowest = 1,
        .highest = UINT64_C(3600000000),
        .digits = 3,
    };
    weir_fill_sized(cfg, size, &defaults, sizeof defaults);
}

/*
 * A caller built against a newer header may hand in a longer configuration: that is fine as long as
 * it does not ask for anything that this version does not know.
 */
static int hist_config_check(const struct weir_hist_config *cfg)
{
    WEIR_ASSERT(cfg != NULL);
    if (cfg->size < sizeof *cfg || cfg->size > HIST_CONFIG_BYTES_MAX)
        return weir_fail(-EINVAL, "hist: size is %u: call weir_hist_config_init() first",
                         cfg->size);
    const uint8_t *bytes = (const uint8_t *)cfg;
    for (uint32_t i = sizeof *cfg; i < cfg->size; i++)
        if (bytes[i] != 0)
            return weir_fail(-EINVAL, "hist: a field at byte %u is not known to libweir %s", i,
                             weir_version());
    if (cfg->lowest < 1)
        return weir_fail(-EINVAL, "hist: lowest is 0: expected at least 1");
    if (cfg->highest < cfg->lowest)
        return weir_fail(-EINVAL, "hist: highest is %llu: expected at least lowest, %llu",
                         (unsigned long long)cfg->highest, (unsigned long long)cfg->lowest);
    if (cfg->digits < 1 || cfg->digits > HIST_DIGITS_MAX)
        return weir_fail(-EINVAL, "hist: digits is %u: expected 1 ... %d", cfg->digits,
                         HIST_DIGITS_MAX);
    return 0;
}

/* At most (64 - 14 + 1) << 14 cells: about 7 MB. */
static uint32_t hist_cells_count(const struct weir_hist_config *cfg)
{
    uint32_t bits = hist_bits[cfg->digits]; /* NOLINT(clang-analyzer-core.*): digits was checked */
    return hist_cell(bits, cfg->highest) - hist_cell(bits, cfg->lowest) + 1;
}

int64_t weir_hist_memory_bytes(const struct weir_hist_config *cfg)
{
    int err = hist_config_check(cfg);
    if (err < 0)
        return err;
    uint64_t bytes = sizeof(struct weir_hist) + hist_cells_count(cfg) * sizeof(uint64_t);
    return (int64_t)weir_align_up(bytes, HIST_ALIGNMENT);
}

int weir_hist_open(struct weir_hist **out, const struct weir_hist_config *cfg)
{
    WEIR_ASSERT(out != NULL);
    int64_t bytes = weir_hist_memory_bytes(cfg);
    if (bytes < 0)
        return (int)bytes;
    struct weir_hist *hist = aligned_alloc(HIST_ALIGNMENT, (size_t)bytes);
    if (hist == NULL)
        return weir_fail(-ENOMEM, "hist: no memory for %lld bytes", (long long)bytes);
    /* Not calloc(): its pages would be faulted in while recording, and show up in what is measured.
     */
    memset(hist, 0, (size_t)bytes);
    uint32_t bits = hist_bits[cfg->digits];
    *hist = (struct weir_hist){
        .lowest = cfg->lowest,
        .highest = cfg->highest,
        .bits = bits,
        .first_cell = hist_cell(bits, cfg->lowest),
        .min = UINT64_MAX,
        .cells_count = hist_cells_count(cfg),
        .digits = cfg->digits,
    };
    *out = hist;
    return 0;
}

void weir_hist_close(struct weir_hist *hist)
{
    free(hist);
}

/* `n` is a constant 1 in the hot caller: the multiplication and the overflow test vanish there. */
static inline void hist_add(struct weir_hist *hist, uint64_t value, uint64_t n)
{
    if (WEIR_UNLIKELY(value > hist->highest)) {
        value = hist->highest;
        hist->clipped_count += n;
    }
    value = weir_max_u64(value, hist->lowest);
    hist->counts[hist_index(hist, value)] += n;
    hist->count += n;
    hist->sum += (hist_u128)value * n;
    hist->min = weir_min_u64(hist->min, value);
    hist->max = weir_max_u64(hist->max, value);
}

void weir_hist_record(struct weir_hist *hist, uint64_t value)
{
    WEIR_DEBUG_ASSERT(hist != NULL);
    hist_add(hist, value, 1);
}

void weir_hist_record_n(struct weir_hist *hist, uint64_t value, uint64_t count)
{
    WEIR_ASSERT(hist != NULL);
    WEIR_ASSERT(count <= UINT64_MAX - hist->count);
    if (count > 0)
        hist_add(hist, value, count);
}

int weir_hist_merge(struct weir_hist *into, const struct weir_hist *from)
{
    WEIR_ASSERT(into != NULL);
    WEIR_ASSERT(from != NULL);
    if (into->lowest != from->lowest || into->highest != from->highest ||
        into->digits != from->digits)
        return weir_fail(-EINVAL,
                         "hist: shapes differ: lowest %llu and %llu, highest %llu and %llu, "
                         "digits %u and %u",
                         (unsigned long long)into->lowest, (unsigned long long)from->lowest,
                         (unsigned long long)into->highest, (unsigned long long)from->highest,
                         into->digits, from->digits);
    WEIR_ASSERT(from->count <= UINT64_MAX - into->count);
    if (from->count == 0)
        return 0;
    uint32_t last = hist_index(from, from->max);
    for (uint32_t i = hist_index(from, from->min); i <= last; i++)
        into->counts[i] += from->counts[i];
    into->count += from->count;
    into->clipped_count += from->clipped_count;
    into->sum += from->sum;
    into->min = weir_min_u64(into->min, from->min);
    into->max = weir_max_u64(into->max, from->max);
    return 0;
}

void weir_hist_reset(struct weir_hist *hist)
{
    WEIR_ASSERT(hist != NULL);
    if (hist->count == 0)
        return;
    /* Only what was used: a report every second must not cost a sweep over cells that nobody
     * touched. */
    uint32_t first = hist_index(hist, hist->min);
    uint32_t last = hist_index(hist, hist->max);
    WEIR_ASSERT(first <= last);
    memset(&hist->counts[first], 0, (last - first + 1) * sizeof hist->counts[0]);
    hist->count = 0;
    hist->clipped_count = 0;
    hist->sum = 0;
    hist->min = UINT64_MAX;
    hist->max = 0;
}

uint64_t weir_hist_count(const struct weir_hist *hist)
{
    return hist->count;
}

uint64_t weir_hist_clipped_count(const struct weir_hist *hist)
{
    return hist->clipped_count;
}

uint64_t weir_hist_min(const struct weir_hist *hist)
{
    return hist->count > 0 ? hist->min : 0;
}

uint64_t weir_hist_max(const struct weir_hist *hist)
{
    return hist->max;
}

double weir_hist_mean(const struct weir_hist *hist)
{
    return hist->count > 0 ? (double)hist->sum / (double)hist->count : 0;
}

/*
 * Newton's method, because the library is not linked with libm for one root. Halving the exponent
 * guesses within 7 %, and each step doubles the correct bits: 4, 8, 16, 32, 64.
 */
static double hist_sqrt(double x)
{
    if (!(x > 0))
        return 0;
    uint64_t word;
    memcpy(&word, &x, sizeof word);
    word = (word >> 1) + (UINT64_C(1023) << 51);
    double root;
    memcpy(&root, &word, sizeof root);
    for (int step = 0; step < 5; step++)
        root = 0.5 * (root + x / root);
    return root;
}

static double hist_midpoint(const struct weir_hist *hist, uint32_t index)
{
    uint64_t width;
    uint64_t begin = hist_cell_begin(hist->bits, hist->first_cell + index, &width);
    return (double)begin + (double)(width - 1) / 2;
}

double weir_hist_stddev(const struct weir_hist *hist)
{
    if (hist->count == 0)
        return 0;
    uint32_t first = hist_index(hist, hist->min);
    uint32_t last = hist_index(hist, hist->max);
    /* Around the mean of the midpoints, not the exact one: equal values must have deviation 0. */
    double base = hist_midpoint(hist, first);
    double sum = 0;
    for (uint32_t i = first; i <= last; i++)
        sum += (double)hist->counts[i] * (hist_midpoint(hist, i) - base);
    double mean = base + sum / (double)hist->count;
    double squares = 0;
    for (uint32_t i = first; i <= last; i++) {
        double distance = hist_midpoint(hist, i) - mean;
        squares += (double)hist->counts[i] * distance * distance;
    }
    return first == last ? 0 : hist_sqrt(squares / (double)hist->count);
}

/* How many counts, beginning with the smallest, make `percentile` percent: 1 ... count. */
static uint64_t hist_rank(uint64_t count, double percentile)
{
    if (!(percentile > 0)) /* not a number either */
        return 1;
    if (percentile >= 100)
        return count;
    /*
     * Neither 99.9 nor a product of it is exact in binary: 99.9 % of 1000 must be 999 and not
     * 999.0000000000001 rounded up. So the product is lowered by a few of its last bits first.
     */
    double exact = percentile / 100 * (double)count * (1 - 0x1p-50);
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact)
        rank++;
    return weir_min_u64(weir_max_u64(rank, 1), count);
}

uint64_t weir_hist_percentile(const struct weir_hist *hist, double percentile)
{
    WEIR_ASSERT(hist != NULL);
    if (hist->count == 0)
        return 0;
    uint64_t rank = hist_rank(hist->count, percentile);
    uint32_t index = hist_index(hist, hist->min);
    uint32_t last = hist_index(hist, hist->max);
    uint64_t seen = hist->counts[index];
    while (seen < rank) {
        index++;
        WEIR_ASSERT(index <= last); /* the cells hold fewer counts than were recorded */
        seen += hist->counts[index];
    }
    uint64_t width;
    uint64_t begin = hist_cell_begin(hist->bits, hist->first_cell + index, &width);
    return weir_min_u64(begin + (width - 1), hist->max);
}

uint64_t weir_hist_count_at_most(const struct weir_hist *hist, uint64_t value)
{
    WEIR_ASSERT(hist != NULL);
    if (hist->count == 0 || value < hist->min)
        return 0;
    if (value >= hist->max)
        return hist->count;
    uint64_t seen = 0;
    uint32_t last = hist_index(hist, value);
    for (uint32_t i = hist_index(hist, hist->min); i <= last; i++)
        seen += hist->counts[i];
    return seen;
}
