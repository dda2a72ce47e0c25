/* SPDX-License-Identifier: MIT */
/*
 * Distributions back to text. Everything was kept as it was written, apart from the percentages of
 * a table, which are whole numbers of 10^-15 that a double tells apart; so nothing is rounded.
 */
#include "core/dist.h"
#include "core/assert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct format_text {
    char *out;
    size_t capacity;
    size_t len; /* what there would be with room for all; written while below the capacity */
};

static void format_bytes(struct format_text *text, const char *bytes, size_t len)
{
    if (text->len < text->capacity)
        memcpy(text->out + text->len, bytes, weir_min_u64(len, text->capacity - text->len));
    text->len += len;
}

static void format_string(struct format_text *text, const char *string)
{
    format_bytes(text, string, strlen(string));
}

static void format_decimal(struct format_text *text, struct weir_dist_decimal decimal)
{
    uint64_t power = 1;
    WEIR_ASSERT(decimal.places < 20);
    for (uint32_t place = 0; place < decimal.places; place++)
        power *= 10;
    char digits[48];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, decimal.digits / power);
    if (decimal.places > 0)
        len += snprintf(digits + len, sizeof digits - (size_t)len, ".%0*" PRIu64,
                        (int)decimal.places, decimal.digits % power);
    format_bytes(text, digits, (size_t)len);
}

/* Without zeros at the end of its fraction. */
static struct weir_dist_decimal format_trimmed(uint64_t digits, uint32_t places)
{
    while (places > 0 && digits % 10 == 0) {
        digits /= 10;
        places--;
    }
    return (struct weir_dist_decimal){ .digits = digits, .places = places };
}

/* In the largest unit up to seconds of which there is one, to the nanosecond: "1.9ms". */
static void format_duration(struct format_text *text, uint64_t ns)
{
    static const char *const units[] = { "ns", "us", "ms", "s" };
    uint32_t unit = 0;
    for (uint64_t scale = 1000; unit < 3 && ns >= scale; scale *= 1000)
        unit++;
    format_decimal(text, format_trimmed(ns, 3 * unit));
    format_string(text, units[unit]);
}

static void format_field(struct format_text *text, const char *name, uint64_t ns)
{
    format_string(text, name);
    format_duration(text, ns);
}

static void format_number(struct format_text *text, const char *name,
                          struct weir_dist_decimal number)
{
    format_string(text, name);
    format_decimal(text, number);
}

static void format_points(struct format_text *text, const struct weir_dist_part *part)
{
    for (uint32_t i = 0; i < part->points_count; i++) {
        const struct weir_dist_point *point = &part->points[i];
        format_string(text, i > 0 ? "," : "");
        format_decimal(text, format_trimmed((uint64_t)(point->u * 1e15 + 0.5), 13));
        format_field(text, "=", (uint64_t)point->ns);
    }
}

static void format_lognormal(struct format_text *text, const struct weir_dist_part *part)
{
    format_field(text, "median=", part->center_ns);
    if (!part->number_is_percent) {
        format_number(text, ",sigma=", part->number);
        return;
    }
    format_number(text, ",p", part->number);
    format_field(text, "=", part->spread_ns);
}

/* The fields of a kind, without the limits that need not be given. */
static void format_fields(struct format_text *text, const struct weir_dist_part *part)
{
    switch (part->kind) {
    case WEIR_DIST_FIXED:
        format_duration(text, part->center_ns);
        return;
    case WEIR_DIST_UNIFORM:
        format_field(text, "min=", part->min_ns);
        format_field(text, ",max=", part->max_ns);
        return;
    case WEIR_DIST_NORMAL:
        format_field(text, "mean=", part->center_ns);
        format_field(text, ",stddev=", part->spread_ns);
        return;
    case WEIR_DIST_LOGNORMAL:
        format_lognormal(text, part);
        return;
    case WEIR_DIST_EXPONENTIAL:
        format_field(text, "mean=", part->center_ns);
        return;
    case WEIR_DIST_GAMMA:
        format_field(text, "mean=", part->center_ns);
        format_number(text, ",shape=", part->number);
        return;
    case WEIR_DIST_PARETO:
        format_field(text, "min=", part->min_ns);
        format_number(text, ",alpha=", part->number);
        return;
    case WEIR_DIST_TABLE:
        format_points(text, part);
        return;
    case WEIR_DIST_HGRM:
        format_string(text, "file=");
        format_bytes(text, (const char *)part->file.ptr, part->file.len);
        format_field(text, ",unit=", part->center_ns);
        return;
    case WEIR_DIST_KIND_COUNT:
        break;
    }
    WEIR_ASSERT(part->kind < WEIR_DIST_KIND_COUNT);
}

static void format_part(struct format_text *text, const struct weir_dist_part *part)
{
    format_string(text, weir_dist_kind_names[part->kind]);
    format_string(text, ":");
    format_fields(text, part);
    if (part->kind == WEIR_DIST_UNIFORM)
        return;
    if (part->min_ns > 0 && part->kind != WEIR_DIST_PARETO)
        format_field(text, ",min=", part->min_ns);
    if (part->max_ns < WEIR_DIST_NS_MAX)
        format_field(text, ",max=", part->max_ns);
}

int64_t weir_dist_format(char *out, size_t capacity, const struct weir_dist *dist)
{
    WEIR_ASSERT(out != NULL || capacity == 0);
    WEIR_ASSERT(dist->parts_count > 0);
    struct format_text text = { .out = out, .capacity = capacity };
    if (dist->parts_count > 1)
        format_string(&text, "mix:");
    for (uint32_t i = 0; i < dist->parts_count; i++) {
        if (dist->parts_count > 1) {
            format_number(&text, i > 0 ? ";" : "", dist->parts[i].weight);
            format_string(&text, "*");
        }
        format_part(&text, &dist->parts[i]);
    }
    if (text.len >= capacity)
        return -ENOBUFS;
    out[text.len] = '\0';
    return (int64_t)text.len;
}
