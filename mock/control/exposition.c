/* SPDX-License-Identifier: MIT */
#include "mock/control/exposition.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define S_NS          UINT64_C(1000000000)
#define NUMBER_BYTES  20 /* of the longest number */
#define BEFORE_BYTES  3  /* of what comes before one */
#define COUNTER_END   "_total"
#define COUNTER_BYTES (sizeof COUNTER_END - 1)

static const char *const exposition_types[] = {
    [EXPOSITION_COUNTER] = "counter",
    [EXPOSITION_GAUGE] = "gauge",
    [EXPOSITION_HISTOGRAM] = "histogram",
};

void exposition_family(const struct exposition *out, const char *name, enum exposition_type type,
                       const char *help)
{
    size_t len = strlen(name);
    if (out->open_metrics && type == EXPOSITION_COUNTER && len > COUNTER_BYTES &&
        strcmp(name + len - COUNTER_BYTES, COUNTER_END) == 0)
        len -= COUNTER_BYTES;
    text_printf(out->text, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, name, help, (int)len, name,
                exposition_types[type]);
}

static void exposition_label_begin(struct text *labels, const char *name)
{
    if (labels->len != 0)
        text_put(labels, ",");
    text_put(labels, name);
    text_put(labels, "=\"");
}

void exposition_label(struct text *labels, const char *name, struct weir_slice value)
{
    exposition_label_begin(labels, name);
    for (size_t i = 0; i < value.len; i++) {
        char c = (char)value.ptr[i];
        if (c == '\n')
            text_add(labels, "\\n", 2);
        else if (c == '"' || c == '\\')
            text_add(labels, c == '"' ? "\\\"" : "\\\\", 2);
        else
            text_add(labels, &c, 1);
    }
    text_put(labels, "\"");
}

/* A scrape has thousands of counts, and is written between two passes of a loop that others wait
 * for: so no printf() for them, and few pieces. */
static void exposition_digits(struct text *text, const char *before, uint64_t value, char after)
{
    char piece[BEFORE_BYTES + NUMBER_BYTES + 1];
    size_t at = sizeof piece, before_len = strlen(before);
    piece[--at] = after;
    do {
        piece[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    at -= before_len;
    memcpy(piece + at, before, before_len);
    text_add(text, piece + at, sizeof piece - at);
}

void exposition_label_number(struct text *labels, const char *name, uint64_t value)
{
    exposition_label_begin(labels, name);
    exposition_digits(labels, "", value, '"');
}

/* "name_suffix{labels}" */
static void exposition_series(const struct exposition *out, const char *name, const char *suffix,
                              struct weir_slice labels)
{
    text_put(out->text, name);
    text_put(out->text, suffix);
    if (labels.len != 0) {
        text_put(out->text, "{");
        text_add(out->text, (const char *)labels.ptr, labels.len);
        text_put(out->text, "}");
    }
}

static void exposition_suffixed(const struct exposition *out, const char *name, const char *suffix,
                                struct weir_slice labels, uint64_t value)
{
    exposition_series(out, name, suffix, labels);
    exposition_digits(out->text, " ", value, '\n');
}

void exposition_count(const struct exposition *out, const char *name, struct weir_slice labels,
                      uint64_t value)
{
    exposition_suffixed(out, name, "", labels, value);
}

void exposition_number(const struct exposition *out, const char *name, struct weir_slice labels,
                       double value)
{
    exposition_series(out, name, "", labels);
    if (isnan(value))
        text_put(out->text, " NaN\n");
    else
        text_printf(out->text, " %.9f\n", value);
}

static void exposition_bucket(const struct exposition *out, const char *name,
                              struct weir_slice labels, const char *le, uint64_t count)
{
    struct text *text = out->text;
    text_put(text, name);
    text_put(text, "_bucket{");
    text_add(text, (const char *)labels.ptr, labels.len);
    text_put(text, labels.len == 0 ? "le=\"" : ",le=\"");
    text_put(text, le);
    exposition_digits(text, "\"} ", count, '\n');
}

static const char *exposition_le(const struct exposition *out, const struct bucket_edge *edge)
{
    return out->open_metrics ? edge->le_canonical : edge->le;
}

void exposition_buckets(const struct exposition *out, const char *name, struct weir_slice labels,
                        const struct buckets *buckets, const struct bucket_scale *scale)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < scale->count; i++) {
        count += buckets->counts[i];
        exposition_bucket(out, name, labels, exposition_le(out, &scale->edges[i]), count);
    }
    count += buckets->counts[scale->count];
    exposition_bucket(out, name, labels, "+Inf", count);
    exposition_series(out, name, "_sum", labels);
    if (scale->is_time)
        text_printf(out->text, " %" PRIu64 ".%09" PRIu64 "\n", buckets->sum / S_NS,
                    buckets->sum % S_NS);
    else
        text_printf(out->text, " %" PRIu64 "\n", buckets->sum);
    exposition_suffixed(out, name, "_count", labels, count);
}

void exposition_hist(const struct exposition *out, const char *name, struct weir_slice labels,
                     const struct weir_hist *hist, const struct bucket_scale *scale)
{
    uint64_t count = weir_hist_count(hist);
    for (uint32_t i = 0; i < scale->count; i++) {
        uint64_t below = count == 0 ? 0 : weir_hist_count_at_most(hist, scale->edges[i].value);
        exposition_bucket(out, name, labels, exposition_le(out, &scale->edges[i]), below);
    }
    exposition_bucket(out, name, labels, "+Inf", count);
    exposition_series(out, name, "_sum", labels);
    text_printf(out->text, " %.9f\n",
                weir_hist_mean(hist) * (double)count / (scale->is_time ? (double)S_NS : 1));
    exposition_suffixed(out, name, "_count", labels, count);
}

void exposition_counter(const struct exposition *out, const char *name, uint64_t value,
                        const char *help)
{
    exposition_family(out, name, EXPOSITION_COUNTER, help);
    exposition_count(out, name, WEIR_TEXT(""), value);
}

void exposition_gauge(const struct exposition *out, const char *name, uint64_t value,
                      const char *help)
{
    exposition_family(out, name, EXPOSITION_GAUGE, help);
    exposition_count(out, name, WEIR_TEXT(""), value);
}

void exposition_end(const struct exposition *out)
{
    if (out->open_metrics)
        text_put(out->text, "# EOF\n");
}
