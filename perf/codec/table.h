/* SPDX-License-Identifier: MIT */
/* What was measured, and how it is printed. */
#ifndef WEIR_PERF_CODEC_TABLE_H
#define WEIR_PERF_CODEC_TABLE_H

#include "perf/codec/input.h"

enum { CODEC_ROUNDS_MAX = 99, CODEC_COLUMNS_MAX = 16 };

struct codec_measured {
    bool present;
    double unit_ns[CODEC_ROUNDS_MAX]; /* one per round */
    uint64_t alloc_count;
};

struct codec_row {
    const struct codec_input *input;
    uint64_t digest; /* of what every parser found */
    struct codec_measured cells[CODEC_COLUMNS_MAX];
};

struct codec_table {
    const char *columns[CODEC_COLUMNS_MAX]; /* names; the first is weir */
    unsigned columns_count;
    struct codec_row rows[CODEC_INPUTS_COUNT];
    unsigned rows_count;
    unsigned rounds;
    unsigned cell_ms;
    int cpu;          /* -1: not pinned */
    const char *simd; /* what the column weir uses */
    bool alloc_counted;
};

void codec_table_print(const struct codec_table *table);
void codec_table_print_json(const struct codec_table *table);

#endif
