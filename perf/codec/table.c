/* SPDX-License-Identifier: MIT */
/*
 * Times are medians over the rounds. A gain is the other column's time divided by ours, taken
 * within each round, where both had the same machine: its median, least and greatest are printed. A
 * bar is missed when the median is below it.
 */
#include "perf/codec/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value in each round, summed up. */
struct spread {
    double median, min, max;
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct spread spread_of(const double *values, unsigned count)
{
    double sorted[CODEC_ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare_doubles);
    double median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    return (struct spread){ .median = median, .min = sorted[0], .max = sorted[count - 1] };
}

static struct spread time_of(const struct codec_table *table, const struct codec_measured *cell)
{
    return spread_of(cell->unit_ns, table->rounds);
}

/* Index of the column, -1 when there is none. */
static int column_find(const struct codec_table *table, const char *name)
{
    for (unsigned i = 0; i < table->columns_count; i++) {
        if (strcmp(table->columns[i], name) == 0)
            return (int)i;
    }
    return -1;
}

/* Something that is compared with a bar: how many times as fast `ours` is as `theirs`. */
struct gain {
    const char *title;
    const char *ours, *theirs;
    size_t bar_at; /* in struct codec_bars */
};

static const struct gain gains[] = {
    { "over pico", "weir", "pico", offsetof(struct codec_bars, pico) },
    { "over http-parser", "weir", "http-parser", offsetof(struct codec_bars, http_parser) },
    { "scalar over pico-scalar", "scalar", "pico-scalar", offsetof(struct codec_bars, scalar) },
};
enum { GAINS_COUNT = sizeof(gains) / sizeof(gains[0]) };

static double gain_bar(const struct gain *gain, const struct codec_input *input)
{
    return *(const double *)(const void *)((const char *)&input->bars + gain->bar_at);
}

/* false when one of the two was not measured in this row. */
static bool gain_of(struct spread *out, const struct codec_table *table,
                    const struct codec_row *row, const struct gain *gain)
{
    int ours = column_find(table, gain->ours);
    int theirs = column_find(table, gain->theirs);
    if (ours < 0 || theirs < 0 || !row->cells[ours].present || !row->cells[theirs].present)
        return false;
    double ratios[CODEC_ROUNDS_MAX] = { 0 };
    for (unsigned i = 0; i < table->rounds; i++)
        ratios[i] = row->cells[theirs].unit_ns[i] / row->cells[ours].unit_ns[i];
    *out = spread_of(ratios, table->rounds);
    return true;
}

/* 10^9 bytes per second of a column: bytes per ns. */
static double speed_of(const struct codec_table *table, const struct codec_row *row,
                       unsigned column)
{
    const struct codec_input *input = row->input;
    double unit_bytes = (double)input->bytes.len / input->units;
    return unit_bytes / time_of(table, &row->cells[column]).median;
}

static void print_times(const struct codec_table *table)
{
    printf("%-14s %8s %-8s", "ns per unit", "bytes", "unit");
    for (unsigned c = 0; c < table->columns_count; c++)
        printf(" %11s", table->columns[c]);
    printf("\n");
    for (unsigned r = 0; r < table->rows_count; r++) {
        const struct codec_row *row = &table->rows[r];
        printf("%-14s %8zu %-8s", row->input->name, row->input->bytes.len, row->input->unit);
        for (unsigned c = 0; c < table->columns_count; c++) {
            if (row->cells[c].present)
                printf(" %11.2f", time_of(table, &row->cells[c]).median);
            else
                printf(" %11s", "-");
        }
        printf("\n");
    }
}

static void print_speeds(const struct codec_table *table)
{
    printf("\n%-32s", "GB/s");
    for (unsigned c = 0; c < table->columns_count; c++)
        printf(" %11s", table->columns[c]);
    printf(" %11s\n", "bar of weir");
    for (unsigned r = 0; r < table->rows_count; r++) {
        const struct codec_row *row = &table->rows[r];
        double bar = row->input->bars.gbs;
        printf("%-32s", row->input->name);
        for (unsigned c = 0; c < table->columns_count; c++) {
            if (row->cells[c].present)
                printf(" %11.2f", speed_of(table, row, c));
            else
                printf(" %11s", "-");
        }
        if (bar != 0)
            printf(" %4g %s\n", bar, speed_of(table, row, 0) < bar ? "MISSED" : "met");
        else
            printf(" %11s\n", "-");
    }
}

static bool gain_is_in_table(const struct codec_table *table, const struct gain *gain)
{
    return column_find(table, gain->ours) >= 0 && column_find(table, gain->theirs) >= 0;
}

static void print_gain(const struct codec_table *table, const struct codec_row *row,
                       const struct gain *gain)
{
    struct spread ratio;
    char verdict[32] = "";
    double bar = gain_bar(gain, row->input);
    if (!gain_of(&ratio, table, row, gain)) {
        printf("  %-32s", "-");
        return;
    }
    if (bar != 0)
        snprintf(verdict, sizeof(verdict), "%g %s", bar, ratio.median < bar ? "MISSED" : "met");
    printf("  %5.2f [%5.2f, %5.2f] %-11s", ratio.median, ratio.min, ratio.max, verdict);
}

static void print_gains(const struct codec_table *table)
{
    bool any = false;
    for (unsigned g = 0; g < GAINS_COUNT; g++)
        any |= gain_is_in_table(table, &gains[g]);
    if (!any)
        return;
    printf("\n%-14s", "gain, bar");
    for (unsigned g = 0; g < GAINS_COUNT; g++) {
        if (gain_is_in_table(table, &gains[g]))
            printf("  %-32s", gains[g].title);
    }
    printf("\n");
    for (unsigned r = 0; r < table->rows_count; r++) {
        printf("%-14s", table->rows[r].input->name);
        for (unsigned g = 0; g < GAINS_COUNT; g++) {
            if (gain_is_in_table(table, &gains[g]))
                print_gain(table, &table->rows[r], &gains[g]);
        }
        printf("\n");
    }
}

/* Of all columns and rows: there should be none. */
static void print_allocs(const struct codec_table *table)
{
    bool any = false;
    printf("\nallocations in the timed loops:");
    for (unsigned r = 0; table->alloc_counted && r < table->rows_count; r++) {
        for (unsigned c = 0; c < table->columns_count; c++) {
            const struct codec_measured *cell = &table->rows[r].cells[c];
            if (cell->alloc_count == 0)
                continue;
            any = true;
            printf(" %s/%s %" PRIu64, table->rows[r].input->name, table->columns[c],
                   cell->alloc_count);
        }
    }
    printf("%s\n", any ? "" : table->alloc_counted ? " none" : " not counted in this build");
}

void codec_table_print(const struct codec_table *table)
{
    printf("%u rounds of %u ms per cell, ", table->rounds, table->cell_ms);
    if (table->cpu >= 0)
        printf("on CPU %d", table->cpu);
    else
        printf("not pinned");
    printf(", weir uses %s\n\n", table->simd);
    print_times(table);
    print_speeds(table);
    print_gains(table);
    print_allocs(table);
    printf("checksums of what was found:");
    for (unsigned r = 0; r < table->rows_count; r++)
        printf(" %s %016" PRIx64, table->rows[r].input->name, table->rows[r].digest);
    printf("\n");
}

static void print_json_cell(const struct codec_table *table, const struct codec_row *row,
                            unsigned column)
{
    const struct codec_measured *cell = &row->cells[column];
    printf("\"%s\": {\"ns\": %.4f, \"gbs\": %.4f, \"rounds_ns\": [", table->columns[column],
           time_of(table, cell).median, speed_of(table, row, column));
    for (unsigned i = 0; i < table->rounds; i++)
        printf("%s%.4f", i == 0 ? "" : ", ", cell->unit_ns[i]);
    printf("]");
    if (table->alloc_counted)
        printf(", \"allocations\": %" PRIu64, cell->alloc_count);
    printf("}");
}

static void print_json_gains(const struct codec_table *table, const struct codec_row *row)
{
    const char *separator = "";
    for (unsigned g = 0; g < GAINS_COUNT; g++) {
        struct spread ratio;
        double bar = gain_bar(&gains[g], row->input);
        if (!gain_of(&ratio, table, row, &gains[g]))
            continue;
        printf("%s\"%s\": {\"median\": %.4f, \"min\": %.4f, \"max\": %.4f", separator,
               gains[g].title, ratio.median, ratio.min, ratio.max);
        if (bar != 0)
            printf(", \"bar\": %g, \"met\": %s", bar, ratio.median < bar ? "false" : "true");
        printf("}");
        separator = ", ";
    }
    if (row->input->bars.gbs != 0)
        printf("%s\"gbs\": {\"median\": %.4f, \"bar\": %g, \"met\": %s}", separator,
               speed_of(table, row, 0), row->input->bars.gbs,
               speed_of(table, row, 0) < row->input->bars.gbs ? "false" : "true");
}

void codec_table_print_json(const struct codec_table *table)
{
    printf("{\"rounds\": %u, \"cell_ms\": %u, \"cpu\": ", table->rounds, table->cell_ms);
    if (table->cpu >= 0)
        printf("%d", table->cpu);
    else
        printf("null");
    printf(", \"simd\": \"%s\", \"rows\": [", table->simd);
    for (unsigned r = 0; r < table->rows_count; r++) {
        const struct codec_row *row = &table->rows[r];
        const char *separator = "";
        printf("%s\n{\"name\": \"%s\", \"bytes\": %zu, \"unit\": \"%s\", \"units\": %" PRIu32
               ", \"checksum\": \"%016" PRIx64 "\",\n \"columns\": {",
               r == 0 ? "" : ",", row->input->name, row->input->bytes.len, row->input->unit,
               row->input->units, row->digest);
        for (unsigned c = 0; c < table->columns_count; c++) {
            if (!row->cells[c].present)
                continue;
            printf("%s", separator);
            print_json_cell(table, row, c);
            separator = ",\n  ";
        }
        printf("},\n \"gains\": {");
        print_json_gains(table, row);
        printf("}}");
    }
    printf("\n]}\n");
}
