/* SPDX-License-Identifier: MIT */
#include "mock/config/latency.h"

#include "mock/config/nearest.h"
#include "mock/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATENCY_US_MAX ((json_int_t)(WEIR_DIST_NS_MAX / 1000))
#define LATENCY_KEYS   10
#define NS_PER_US      1000
#define POINTER_BYTES  96
#define DECIMAL_PLACES 15
#define DECIMAL_MAX    1e9 /* no number of a distribution is near it */

enum latency_type {
    LATENCY_DURATION,
    LATENCY_NUMBER,
    LATENCY_WORD,   /* goes into the text as it is: nothing in it may end a field */
    LATENCY_POINTS, /* [[percentage, microseconds], ...] */
    LATENCY_PARTS   /* [[share, spec], ...] */
};

struct latency_key {
    const char *key;
    const char *field; /* in the text */
    enum latency_type type;
    bool required;
};

struct latency_kind {
    const char *name;
    struct latency_key keys[LATENCY_KEYS]; /* one without a name is the end */
};

#define LIMIT_KEYS                                                                                 \
    { "min_us", "min", LATENCY_DURATION, false },                                                  \
    {                                                                                              \
        "max_us", "max", LATENCY_DURATION, false                                                   \
    }

static const struct latency_kind latency_kinds[] = {
    { "fixed", { { "value_us", "value", LATENCY_DURATION, true } } },
    { "uniform",
      { { "min_us", "min", LATENCY_DURATION, true },
        { "max_us", "max", LATENCY_DURATION, true } } },
    { "normal",
      { { "mean_us", "mean", LATENCY_DURATION, true },
        { "stddev_us", "stddev", LATENCY_DURATION, true },
        LIMIT_KEYS } },
    { "lognormal",
      { { "median_us", "median", LATENCY_DURATION, true },
        { "p99_us", "p99", LATENCY_DURATION, false },
        { "sigma", "sigma", LATENCY_NUMBER, false },
        { "p90_us", "p90", LATENCY_DURATION, false },
        { "p95_us", "p95", LATENCY_DURATION, false },
        { "p99.9_us", "p99.9", LATENCY_DURATION, false },
        LIMIT_KEYS } },
    { "exponential", { { "mean_us", "mean", LATENCY_DURATION, true }, LIMIT_KEYS } },
    { "gamma",
      { { "mean_us", "mean", LATENCY_DURATION, true },
        { "shape", "shape", LATENCY_NUMBER, true },
        LIMIT_KEYS } },
    { "pareto",
      { { "min_us", "min", LATENCY_DURATION, true },
        { "alpha", "alpha", LATENCY_NUMBER, true },
        { "max_us", "max", LATENCY_DURATION, false } } },
    { "table", { { "points", "", LATENCY_POINTS, true }, LIMIT_KEYS } },
    { "hgrm",
      { { "file", "file", LATENCY_WORD, true },
        { "unit", "unit", LATENCY_WORD, false },
        LIMIT_KEYS } },
    { "mix", { { "parts", "", LATENCY_PARTS, true } } },
};

#define KINDS_COUNT (sizeof latency_kinds / sizeof latency_kinds[0])

/* A spec while it is translated. The first thing that is wrong ends the reading. */
struct latency_reader {
    struct text *dist; /* in the language of weir_dist_parse() */
    char *pointer, *text;
    size_t pointer_bytes, text_bytes;
};

/* Where in the whole a value is. */
struct latency_place {
    char pointer[POINTER_BYTES];
};

static struct latency_place place_below(const struct latency_place *place, const char *key)
{
    struct latency_place below;
    int len = snprintf(below.pointer, sizeof below.pointer, "%s/", place->pointer);
    /* RFC 6901 section 3; a key that does not fit is cut. */
    for (size_t at = (size_t)len; *key != '\0' && at + 3 < sizeof below.pointer; key++) {
        if (*key == '~' || *key == '/') {
            below.pointer[at++] = '~';
            below.pointer[at++] = *key == '~' ? '0' : '1';
        } else {
            below.pointer[at++] = *key;
        }
        below.pointer[at] = '\0';
    }
    return below;
}

static struct latency_place place_element(const struct latency_place *place, size_t index)
{
    char name[24];
    snprintf(name, sizeof name, "%zu", index);
    return place_below(place, name);
}

__attribute__((format(printf, 3, 4))) static int reader_fail(const struct latency_reader *reader,
                                                             const struct latency_place *place,
                                                             const char *format, ...)
{
    snprintf(reader->pointer, reader->pointer_bytes, "%s", place->pointer);
    va_list args;
    va_start(args, format);
    vsnprintf(reader->text, reader->text_bytes, format, args);
    va_end(args);
    return -EINVAL;
}

static int reader_expected(const struct latency_reader *reader, const struct latency_place *place,
                           const char *expected, const json_t *got)
{
    char shown[NEAREST_SHOWN_BYTES];
    return reader_fail(reader, place, "expected %s, got %s", expected, nearest_shown(shown, got));
}

/* "1500us" for 1500, "500ns" for 0.5: a text never rounds what was written. */
static int write_duration(const struct latency_reader *reader, const struct latency_place *place,
                          const json_t *json)
{
    static const char *const expected =
        "a number of microseconds from 0 to 8640000000000, of whole nanoseconds";
    if (json_is_integer(json)) {
        json_int_t us = json_integer_value(json);
        if (us < 0 || us > LATENCY_US_MAX)
            return reader_expected(reader, place, expected, json);
        text_printf(reader->dist, "%" JSON_INTEGER_FORMAT "us", us);
        return 0;
    }
    double ns = json_is_real(json) ? json_real_value(json) * NS_PER_US : -1;
    /* What a double can be wrong by: 750.3 is not exactly that. */
    if (!(ns >= 0 && ns <= (double)WEIR_DIST_NS_MAX) || fabs(ns - rint(ns)) > 1e-3 + ns * 1e-15)
        return reader_expected(reader, place, expected, json);
    text_printf(reader->dist, "%.0fns", rint(ns));
    return 0;
}

/* The shortest decimal that is the number: 0.98 as it was written, so that shares add up to 1. */
static int write_number(const struct latency_reader *reader, const struct latency_place *place,
                        const json_t *json)
{
    char digits[40];
    double value = json_is_number(json) ? json_number_value(json) : -1;
    if (value >= 0 && value <= DECIMAL_MAX) {
        for (int places = 0; places <= DECIMAL_PLACES; places++) {
            snprintf(digits, sizeof digits, "%.*f", places, value);
            if (strtod(digits, NULL) == value) {
                text_put(reader->dist, digits);
                return 0;
            }
        }
    }
    return reader_expected(reader, place, "a number, not negative, of at most 15 digits", json);
}

static int write_word(const struct latency_reader *reader, const struct latency_place *place,
                      const json_t *json)
{
    const char *word = json_string_value(json);
    if (word == NULL || *word == '\0' || strpbrk(word, ",;") != NULL)
        return reader_expected(reader, place, "a text without ',' and ';'", json);
    text_put(reader->dist, word);
    return 0;
}

static int write_points(const struct latency_reader *reader, const struct latency_place *place,
                        const json_t *json)
{
    if (!json_is_array(json) || json_array_size(json) == 0)
        return reader_expected(reader, place, "[[percentage, microseconds], ...]", json);
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *point = json_array_get(json, i);
        struct latency_place at = place_element(place, i);
        if (!json_is_array(point) || json_array_size(point) != 2)
            return reader_expected(reader, &at, "[percentage, microseconds]", point);
        struct latency_place percentage = place_element(&at, 0), duration = place_element(&at, 1);
        text_put(reader->dist, i == 0 ? "" : ",");
        int err = write_number(reader, &percentage, json_array_get(point, 0));
        text_put(reader->dist, "=");
        if (err == 0)
            err = write_duration(reader, &duration, json_array_get(point, 1));
        if (err < 0)
            return err;
    }
    return 0;
}

static const struct latency_kind *kind_find(const char *name)
{
    for (size_t i = 0; i < KINDS_COUNT; i++)
        if (strcmp(latency_kinds[i].name, name) == 0)
            return &latency_kinds[i];
    return NULL;
}

/* As everywhere in a configuration, null is what is not there. */
static const json_t *value_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static int fail_kind(const struct latency_reader *reader, const struct latency_place *place,
                     const json_t *got)
{
    const char *names[KINDS_COUNT];
    for (size_t i = 0; i < KINDS_COUNT; i++)
        names[i] = latency_kinds[i].name;
    const char *near =
        json_is_string(got) ? nearest_name(json_string_value(got), names, KINDS_COUNT) : NULL;
    char shown[NEAREST_SHOWN_BYTES];
    return reader_fail(reader, place,
                       "expected one of fixed, uniform, normal, lognormal, exponential, gamma, "
                       "pareto, table, hgrm, mix, got %s%s%s%s",
                       nearest_shown(shown, got), near != NULL ? "; did you mean " : "",
                       near != NULL ? near : "", near != NULL ? "?" : "");
}

static int fail_unknown(const struct latency_reader *reader, const struct latency_place *place,
                        const struct latency_kind *kind, const char *key)
{
    const char *names[LATENCY_KEYS + 1] = { "dist" };
    char list[160] = "dist";
    size_t count = 1;
    for (; count <= LATENCY_KEYS && kind->keys[count - 1].key != NULL; count++) {
        names[count] = kind->keys[count - 1].key;
        size_t len = strlen(list);
        snprintf(list + len, sizeof list - len, ", %s", names[count]);
    }
    struct latency_place at = place_below(place, key);
    const char *near = nearest_name(key, names, count);
    if (near != NULL)
        return reader_fail(reader, &at, "no such key; did you mean %s?", near);
    return reader_fail(reader, &at, "no such key; %s has %s", kind->name, list);
}

/* Is every key of the spec one of its kind, and every required one there? */
static int check_keys(const struct latency_reader *reader, const struct latency_place *place,
                      const struct latency_kind *kind, const json_t *json)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        bool known = strcmp(key, "dist") == 0;
        for (size_t i = 0; !known && i < LATENCY_KEYS && kind->keys[i].key != NULL; i++)
            known = strcmp(key, kind->keys[i].key) == 0;
        if (!known)
            return fail_unknown(reader, place, kind, key);
    }
    for (size_t i = 0; i < LATENCY_KEYS && kind->keys[i].key != NULL; i++) {
        if (!kind->keys[i].required || value_of(json, kind->keys[i].key) != NULL)
            continue;
        struct latency_place at = place_below(place, kind->keys[i].key);
        return reader_fail(reader, &at, "missing: %s needs it", kind->name);
    }
    return 0;
}

static int write_spec(const struct latency_reader *reader, const struct latency_place *place,
                      const json_t *json, bool part);

static int write_parts(const struct latency_reader *reader, const struct latency_place *place,
                       const json_t *json)
{
    if (!json_is_array(json) || json_array_size(json) == 0)
        return reader_expected(reader, place, "[[share, latency], ...]", json);
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *part = json_array_get(json, i);
        struct latency_place at = place_element(place, i);
        if (!json_is_array(part) || json_array_size(part) != 2)
            return reader_expected(reader, &at, "[share, latency]", part);
        struct latency_place share = place_element(&at, 0), spec = place_element(&at, 1);
        text_put(reader->dist, i == 0 ? "" : ";");
        int err = write_number(reader, &share, json_array_get(part, 0));
        text_put(reader->dist, "*");
        if (err == 0)
            err = write_spec(reader, &spec, json_array_get(part, 1), true);
        if (err < 0)
            return err;
    }
    return 0;
}

static int write_value(const struct latency_reader *reader, const struct latency_place *place,
                       const struct latency_key *key, const json_t *json)
{
    struct latency_place at = place_below(place, key->key);
    if (*key->field != '\0')
        text_printf(reader->dist, "%s=", key->field);
    switch (key->type) {
    case LATENCY_DURATION:
        return write_duration(reader, &at, json);
    case LATENCY_NUMBER:
        return write_number(reader, &at, json);
    case LATENCY_WORD:
        return write_word(reader, &at, json);
    case LATENCY_POINTS:
        return write_points(reader, &at, json);
    case LATENCY_PARTS:
        return write_parts(reader, &at, json);
    }
    return -EINVAL;
}

static int write_object(const struct latency_reader *reader, const struct latency_place *place,
                        const json_t *json, bool part)
{
    struct latency_place at = place_below(place, "dist");
    const json_t *dist = value_of(json, "dist");
    const struct latency_kind *kind =
        json_is_string(dist) ? kind_find(json_string_value(dist)) : NULL;
    if (kind == NULL)
        return fail_kind(reader, &at, dist);
    if (part && strcmp(kind->name, "mix") == 0)
        return reader_fail(reader, &at, "a mixture holds no mixture");
    int err = check_keys(reader, place, kind, json);
    if (err < 0)
        return err;
    text_printf(reader->dist, "%s:", kind->name);
    bool first = true;
    for (size_t i = 0; i < LATENCY_KEYS && kind->keys[i].key != NULL; i++) {
        const json_t *value = value_of(json, kind->keys[i].key);
        if (value == NULL)
            continue;
        text_put(reader->dist, first ? "" : ",");
        first = false;
        err = write_value(reader, place, &kind->keys[i], value);
        if (err < 0)
            return err;
    }
    return 0;
}

static int write_spec(const struct latency_reader *reader, const struct latency_place *place,
                      const json_t *json, bool part)
{
    if (json_is_object(json))
        return write_object(reader, place, json, part);
    if (json_is_integer(json) && json_integer_value(json) == 0) {
        text_put(reader->dist, "0");
        return 0;
    }
    const char *text = json_string_value(json);
    if (text == NULL || strlen(text) != json_string_length(json))
        return reader_expected(
            reader, place, "a latency such as \"5ms\" or {\"dist\":\"fixed\",\"value_us\":5000}",
            json);
    if (part && strchr(text, ';') != NULL)
        return reader_expected(reader, place, "one latency, without ';'", json);
    text_put(reader->dist, text);
    return 0;
}

/* What was translated, made a distribution. */
static int reader_finish(const struct latency_reader *reader, struct weir_dist **out)
{
    text_add(reader->dist, "", 1); /* the NUL */
    if (reader->dist->failed)
        return -ENOMEM;
    int err = weir_dist_parse(out, reader->dist->ptr);
    if (err == 0 || err == -ENOMEM)
        return err;
    snprintf(reader->pointer, reader->pointer_bytes, "%s", "");
    snprintf(reader->text, reader->text_bytes, "%s", weir_error_text());
    return err == -ERANGE ? -EINVAL : err;
}

int latency_parse(struct weir_dist **out, const json_t *json, char *pointer, size_t pointer_bytes,
                  char *text, size_t text_bytes)
{
    struct text dist = { 0 };
    const struct latency_reader reader = { .dist = &dist,
                                           .pointer = pointer,
                                           .pointer_bytes = pointer_bytes,
                                           .text = text,
                                           .text_bytes = text_bytes };
    int err = write_spec(&reader, &(struct latency_place){ "" }, json, false);
    if (err == 0)
        err = reader_finish(&reader, out);
    text_free(&dist);
    return err;
}

/* The kinds of a number of tokens: the key that tells which, and its fellow. */
static const struct {
    const char *dist, *first, *second;
} token_kinds[] = {
    { "normal", "mean", "stddev" },
    { "lognormal", "median", "p99" },
    { "uniform", "min", "max" },
};

static int tokens_value(const struct latency_reader *reader, const json_t *json, const char *key,
                        json_int_t *out)
{
    struct latency_place at = place_below(&(struct latency_place){ "" }, key);
    const json_t *value = value_of(json, key);
    if (value == NULL)
        return 0;
    json_int_t min = strcmp(key, "stddev") == 0 ? 0 : 1;
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < min || number > LATENCY_TOKENS_MAX)
        return reader_expected(reader, &at,
                               min == 0 ? "a whole number from 0 to 1000000"
                                        : "a whole number from 1 to 1000000",
                               value);
    *out = number;
    return 0;
}

static int tokens_check(const struct latency_reader *reader, const json_t *json, size_t kind)
{
    const char *known[] = { token_kinds[kind].first, token_kinds[kind].second, "min", "max" };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < 4; i++)
            found = found || strcmp(key, known[i]) == 0;
        struct latency_place at = place_below(&(struct latency_place){ "" }, key);
        const char *near = nearest_name(key, known, 4);
        if (!found && near != NULL)
            return reader_fail(reader, &at, "no such key; did you mean %s?", near);
        if (!found)
            return reader_fail(reader, &at, "no such key beside %s and %s", known[0], known[1]);
    }
    for (size_t i = 0; i < 2; i++) {
        struct latency_place at = place_below(&(struct latency_place){ "" }, known[i]);
        if (value_of(json, known[i]) == NULL)
            return reader_fail(reader, &at, "missing: %s and %s belong together", known[0],
                               known[1]);
    }
    return 0;
}

static int tokens_write(const struct latency_reader *reader, const json_t *json)
{
    size_t kind = 0;
    while (kind < 2 && value_of(json, token_kinds[kind].first) == NULL)
        kind++;
    if (!json_is_object(json) || json_object_size(json) == 0)
        return reader_expected(reader, &(struct latency_place){ "" },
                               "{\"min\",\"max\"}, {\"mean\",\"stddev\"} or {\"median\",\"p99\"}",
                               json);
    int err = tokens_check(reader, json, kind);
    json_int_t first = 0, second = 0, min = 1, max = LATENCY_TOKENS_MAX;
    if (err == 0)
        err = tokens_value(reader, json, token_kinds[kind].first, &first);
    if (err == 0)
        err = tokens_value(reader, json, token_kinds[kind].second, &second);
    if (err == 0)
        err = tokens_value(reader, json, "min", &min);
    if (err == 0)
        err = tokens_value(reader, json, "max", &max);
    if (err < 0)
        return err;
    if (min > max)
        return reader_fail(reader, &(struct latency_place){ "/max" },
                           "expected no less than min, which is %" JSON_INTEGER_FORMAT
                           ", got %" JSON_INTEGER_FORMAT,
                           min, max);
    text_printf(reader->dist, "%s:", token_kinds[kind].dist);
    if (kind < 2)
        text_printf(reader->dist, "%s=%" JSON_INTEGER_FORMAT "ns,%s=%" JSON_INTEGER_FORMAT "ns,",
                    token_kinds[kind].first, first, token_kinds[kind].second, second);
    text_printf(reader->dist, "min=%" JSON_INTEGER_FORMAT "ns,max=%" JSON_INTEGER_FORMAT "ns", min,
                max);
    return 0;
}

int latency_parse_tokens(struct weir_dist **out, const json_t *json, char *pointer,
                         size_t pointer_bytes, char *text, size_t text_bytes)
{
    struct text dist = { 0 };
    const struct latency_reader reader = { .dist = &dist,
                                           .pointer = pointer,
                                           .pointer_bytes = pointer_bytes,
                                           .text = text,
                                           .text_bytes = text_bytes };
    int err = tokens_write(&reader, json);
    if (err == 0)
        err = reader_finish(&reader, out);
    text_free(&dist);
    return err;
}
