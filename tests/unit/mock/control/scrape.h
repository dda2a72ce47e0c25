/* SPDX-License-Identifier: MIT */
/*
 * What a strict scraper makes of a metrics text: every line must be of the format, every sample of
 * the family above it, no family or series may come twice, and histograms must add up.
 */
#ifndef TESTS_MOCK_SCRAPE_H
#define TESTS_MOCK_SCRAPE_H

#include "mock/text.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SCRAPE_SERIES_MAX   8192
#define SCRAPE_FAMILIES_MAX 256
#define SCRAPE_LINE_MAX     1024

struct scrape_series {
    char *name; /* with labels, as written */
    double value;
};

struct scrape {
    bool open_metrics;
    struct scrape_series series[SCRAPE_SERIES_MAX];
    size_t count;
    char families[SCRAPE_FAMILIES_MAX][128];
    size_t families_count;
    char type[16]; /* of the last family */
    /* The histogram series that is being read. */
    double le, cumulated, sum;
    bool in_buckets, has_sum, ended;
    char labels[SCRAPE_LINE_MAX]; /* of the buckets, without le */
};

/* What a sample's line is made of. */
struct scrape_sample {
    char name[128];
    char labels[SCRAPE_LINE_MAX]; /* without le, as written */
    char le[32];
    double value;
};

static size_t scrape_name_bytes(const char *at)
{
    size_t len = 0;
    while (isalnum((unsigned char)at[len]) || at[len] == '_' || at[len] == ':')
        len++;
    return isdigit((unsigned char)at[0]) ? 0 : len;
}

/* One name="value" of labels; @return behind it */
static const char *scrape_label(struct scrape_sample *sample, const char *at)
{
    const char *begin = at;
    size_t name_len = scrape_name_bytes(at);
    assert_true(name_len != 0 && memchr(at, ':', name_len) == NULL);
    at += name_len;
    assert_true(at[0] == '=' && at[1] == '"');
    const char *value = at += 2;
    for (; *at != '"'; at++) {
        assert_true(*at != '\0');
        if (*at == '\\' && strchr("n\"\\", *++at) == NULL)
            fail_msg("escape in %s", begin);
    }
    if (name_len == 2 && memcmp(begin, "le", 2) == 0) {
        assert_int_equal(sample->le[0], '\0');
        snprintf(sample->le, sizeof sample->le, "%.*s", (int)(at - value), value);
        return at + 1;
    }
    size_t len = strlen(sample->labels);
    for (const char *same = sample->labels; *same != '\0'; same++) /* no label twice */
        assert_false((same == sample->labels || same[-1] == ',') &&
                     strncmp(same, begin, name_len + 1) == 0);
    snprintf(sample->labels + len, sizeof sample->labels - len, "%s%.*s", len == 0 ? "" : ",",
             (int)(at + 1 - begin), begin);
    return at + 1;
}

static void scrape_read_sample(struct scrape_sample *out, const char *line)
{
    *out = (struct scrape_sample){ 0 };
    size_t len = scrape_name_bytes(line);
    if (len == 0 || len >= sizeof out->name)
        fail_msg("no sample: %s", line);
    memcpy(out->name, line, len);
    const char *at = line + len;
    if (*at == '{') {
        do
            at = scrape_label(out, at + 1);
        while (*at == ',');
        assert_int_equal(*at++, '}');
    }
    assert_int_equal(*at++, ' ');
    char *end;
    out->value = strtod(at, &end);
    if (end == at || *end != '\0' || isspace((unsigned char)*at))
        fail_msg("value in %s", line);
}

static const char *scrape_family(const struct scrape *scrape)
{
    return scrape->families[scrape->families_count - 1];
}

static bool scrape_is(const struct scrape *scrape, const char *type)
{
    return strcmp(scrape->type, type) == 0;
}

static void scrape_end_family(const struct scrape *scrape)
{
    assert_false(scrape->in_buckets || scrape->has_sum);
}

static void scrape_begin_family(struct scrape *scrape, const char *line)
{
    char name[128], type[16], rest;
    if (strncmp(line, "# HELP ", 7) == 0) {
        scrape_end_family(scrape);
        assert_int_equal(sscanf(line, "# HELP %127s %c", name, &rest), 2);
        assert_int_equal(scrape_name_bytes(name), strlen(name));
        assert_true(scrape->families_count < SCRAPE_FAMILIES_MAX);
        for (size_t i = 0; i < scrape->families_count; i++)
            assert_string_not_equal(scrape->families[i], name);
        snprintf(scrape->families[scrape->families_count++], 128, "%s", name);
        scrape->type[0] = '\0';
        return;
    }
    assert_int_equal(sscanf(line, "# TYPE %127s %15s%c", name, type, &rest), 2);
    assert_string_equal(name, scrape_family(scrape));
    assert_int_equal(scrape->type[0], '\0');
    assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
                strcmp(type, "histogram") == 0);
    snprintf(scrape->type, sizeof scrape->type, "%s", type);
    size_t len = strlen(name);
    bool total = len > 6 && strcmp(name + len - 6, "_total") == 0;
    assert_int_equal(total, scrape_is(scrape, "counter") && !scrape->open_metrics);
}

/* One spelling for each number: never without a fraction or an exponent, 1e-05 below 0.0001. */
static bool scrape_le_is_canonical(const char *le)
{
    double value = strtod(le, NULL);
    bool has_exponent = strchr(le, 'e') != NULL, has_point = strchr(le, '.') != NULL;
    if (strcmp(le, "+Inf") == 0)
        return true;
    if (value < 1e-4 || value >= 1e6)
        return has_exponent;
    return !has_exponent && has_point && (le[strlen(le) - 1] != '0' || le[strlen(le) - 2] == '.');
}

static void scrape_bucket(struct scrape *scrape, const struct scrape_sample *sample)
{
    char *end;
    double le = strtod(sample->le, &end);
    assert_true(end != sample->le && *end == '\0');
    assert_false(scrape->has_sum);
    if (scrape->open_metrics)
        assert_true(scrape_le_is_canonical(sample->le));
    if (scrape->in_buckets) {
        assert_string_equal(sample->labels, scrape->labels);
        assert_true(le > scrape->le);
        assert_true(sample->value >= scrape->cumulated);
    }
    snprintf(scrape->labels, sizeof scrape->labels, "%s", sample->labels);
    scrape->le = le;
    scrape->cumulated = sample->value;
    scrape->in_buckets = true;
}

static void scrape_histogram(struct scrape *scrape, const struct scrape_sample *sample)
{
    const char *suffix = sample->name + strlen(scrape_family(scrape));
    if (strcmp(suffix, "_bucket") == 0) {
        scrape_bucket(scrape, sample);
        return;
    }
    assert_int_equal(sample->le[0], '\0');
    assert_string_equal(sample->labels, scrape->labels);
    if (strcmp(suffix, "_sum") == 0) {
        assert_true(scrape->in_buckets && isinf(scrape->le));
        scrape->in_buckets = false;
        scrape->has_sum = true;
        scrape->sum = sample->value;
        return;
    }
    assert_string_equal(suffix, "_count");
    assert_true(scrape->has_sum);
    assert_true(sample->value >= scrape->cumulated && sample->value <= scrape->cumulated);
    assert_true(sample->value > 0 || !(scrape->sum > 0));
    scrape->has_sum = false;
}

static void scrape_sample_line(struct scrape *scrape, const char *line)
{
    struct scrape_sample sample;
    scrape_read_sample(&sample, line);
    const char *family = scrape_family(scrape);
    assert_int_not_equal(scrape->type[0], '\0');
    if (strncmp(sample.name, family, strlen(family)) != 0)
        fail_msg("after family %s: %s", family, line);
    const char *suffix = sample.name + strlen(family);
    if (scrape_is(scrape, "histogram"))
        scrape_histogram(scrape, &sample);
    else if (scrape_is(scrape, "counter") && scrape->open_metrics)
        assert_string_equal(suffix, "_total");
    else
        assert_string_equal(suffix, "");
    if (scrape_is(scrape, "counter"))
        assert_true(sample.value >= 0);
    size_t len = (size_t)(strrchr(line, ' ') - line);
    for (size_t i = 0; i < scrape->count; i++)
        if (strncmp(scrape->series[i].name, line, len) == 0 && scrape->series[i].name[len] == '\0')
            fail_msg("twice: %s", line);
    assert_true(scrape->count < SCRAPE_SERIES_MAX);
    struct scrape_series *series = &scrape->series[scrape->count++];
    series->name = strndup(line, len);
    series->value = sample.value;
    assert_non_null(series->name);
}

static void scrape_close(struct scrape *scrape)
{
    for (size_t i = 0; i < scrape->count; i++)
        free(scrape->series[i].name);
    memset(scrape, 0, sizeof *scrape);
}

/* `scrape` is zeroed; scrape_close() must follow. */
static void scrape_open(struct scrape *scrape, const struct text *text, bool open_metrics)
{
    scrape->open_metrics = open_metrics;
    assert_false(text->failed);
    assert_int_equal(text->ptr[text->len - 1], '\n');
    const char *at = text->ptr, *text_end = text->ptr + text->len;
    while (at < text_end) {
        const char *end = memchr(at, '\n', (size_t)(text_end - at));
        char line[SCRAPE_LINE_MAX];
        assert_true((size_t)(end - at) < sizeof line);
        memcpy(line, at, (size_t)(end - at));
        line[end - at] = '\0';
        assert_false(scrape->ended);
        if (strcmp(line, "# EOF") == 0)
            scrape->ended = true;
        else if (line[0] == '#')
            scrape_begin_family(scrape, line);
        else
            scrape_sample_line(scrape, line);
        at = end + 1;
    }
    scrape_end_family(scrape);
    assert_int_equal(scrape->ended, open_metrics);
}

/* NULL: there is no such series. */
static const struct scrape_series *scrape_find(const struct scrape *scrape, const char *name)
{
    for (size_t i = 0; i < scrape->count; i++)
        if (strcmp(scrape->series[i].name, name) == 0)
            return &scrape->series[i];
    return NULL;
}

static double scrape_value(const struct scrape *scrape, const char *name)
{
    const struct scrape_series *series = scrape_find(scrape, name);
    if (series == NULL)
        fail_msg("%s is missing", name);
    return series->value;
}

static void scrape_expect(const struct scrape *scrape, const char *name, double value)
{
    double got = scrape_value(scrape, name);
    if (!(got >= value - 1e-9 && got <= value + 1e-9))
        fail_msg("%s is %g, not %g", name, got, value);
}

#endif
