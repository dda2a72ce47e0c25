/* SPDX-License-Identifier: MIT */
/*
 * Durations and sizes with units. Numbers are read digit by digit: strtod() would follow the locale
 * and take "inf", "0x10" and "1e3", and no binary fraction is exactly 1.9.
 */
#include <weir/units.h>

#include "core/assert.h"
#include "core/base.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* 10^18 is the largest power of ten for which fraction x unit stays within 128 bits with room to
 * spare. */
#define UNITS_FRACTION_DIGITS_MAX 18

__extension__ typedef unsigned __int128 units_u128;

struct units_unit {
    const char *name;
    uint64_t scale;
};

static const struct units_unit units_durations[] = {
    { "ns", 1 },
    { "us", UINT64_C(1000) },
    { "ms", UINT64_C(1000000) },
    { "s", UINT64_C(1000000000) },
    { "m", UINT64_C(60000000000) },
    { "h", UINT64_C(3600000000000) },
};

static const struct units_unit units_sizes[] = {
    { "", 1 },
    { "B", 1 },
    { "kB", UINT64_C(1000) },
    { "KB", UINT64_C(1000) },
    { "MB", UINT64_C(1000000) },
    { "GB", UINT64_C(1000000000) },
    { "TB", UINT64_C(1000000000000) },
    { "KiB", UINT64_C(1) << 10 },
    { "MiB", UINT64_C(1) << 20 },
    { "GiB", UINT64_C(1) << 30 },
    { "TiB", UINT64_C(1) << 40 },
};

#define UNITS_COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* What a number means, and how to speak of it. */
struct units_kind {
    const struct units_unit *units;
    size_t units_count;
    uint64_t max;
    const char *noun;     /* with its article */
    const char *expected; /* the units there are */
    const char *smallest; /* what a value is counted in */
    const char *max_text;
};

static const struct units_kind units_duration = {
    .units = units_durations,
    .units_count = UNITS_COUNT(units_durations),
    .max = INT64_MAX,
    .noun = "a duration",
    .expected = "ns, us, ms, s, m, h",
    .smallest = "nanosecond",
    .max_text = "292 years",
};

static const struct units_kind units_size = {
    .units = units_sizes,
    .units_count = UNITS_COUNT(units_sizes),
    .max = UINT64_MAX,
    .noun = "a size",
    .expected = "B, KB, MB, GB, TB, KiB, MiB, GiB, TiB or none for bytes",
    .smallest = "byte",
    .max_text = "2^64 - 1 bytes",
};

/* digits [ "." digits ] */
struct units_decimal {
    uint64_t whole;
    uint64_t fraction; /* in units of 10^-fraction_digits, without trailing zeros */
    uint32_t fraction_digits;
    bool whole_overflow;  /* `whole` is not valid: too many digits */
    bool fraction_longer; /* there were non-zero digits after the ones in `fraction` */
    const char *rest;     /* what follows the number */
};

static bool units_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static uint64_t units_pow10(uint32_t exponent)
{
    WEIR_ASSERT(exponent <= 19);
    uint64_t power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

static void units_scan_fraction(struct units_decimal *out, const char *text)
{
    const char *end = text; /* of the digits that count: behind the last one that is not 0 */
    const char *p = text;
    for (; units_is_digit(*p); p++)
        if (*p != '0')
            end = p + 1;
    out->rest = p;
    out->fraction_longer = end - text > UNITS_FRACTION_DIGITS_MAX;
    if (out->fraction_longer)
        end = text + UNITS_FRACTION_DIGITS_MAX;
    out->fraction_digits = (uint32_t)(end - text);
    for (p = text; p < end; p++)
        out->fraction = out->fraction * 10 + (uint64_t)(*p - '0');
}

/* False when the text does not begin with a number, or has no digit behind its point. */
static bool units_scan(struct units_decimal *out, const char *text)
{
    *out = (struct units_decimal){ .rest = text };
    if (!units_is_digit(*text))
        return false;
    const char *p = text;
    for (; units_is_digit(*p); p++) {
        out->whole_overflow |= __builtin_mul_overflow(out->whole, 10, &out->whole);
        out->whole_overflow |=
            __builtin_add_overflow(out->whole, (uint64_t)(*p - '0'), &out->whole);
    }
    out->rest = p;
    if (*p != '.')
        return true;
    if (!units_is_digit(p[1]))
        return false;
    units_scan_fraction(out, p + 1);
    return true;
}

static const struct units_unit *units_find(const struct units_kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->units_count; i++)
        if (strcmp(kind->units[i].name, name) == 0)
            return &kind->units[i];
    return NULL;
}

static int units_fail_unit(const struct units_kind *kind, const char *text, const char *name)
{
    if (*name == '\0')
        return weir_fail(-EINVAL, "'%.100s': %s needs a unit (%s)", text, kind->noun,
                         kind->expected);
    return weir_fail(-EINVAL, "'%.100s': '%.50s' is not a unit of %s (%s; no space before it)",
                     text, name, kind->noun, kind->expected);
}

static int units_parse(uint64_t *out, const char *text, const struct units_kind *kind)
{
    WEIR_ASSERT(out != NULL);
    WEIR_ASSERT(text != NULL);
    struct units_decimal number;
    if (!units_scan(&number, text))
        return weir_fail(-EINVAL, "'%.100s' is not %s: expected digits and a unit (%s)", text,
                         kind->noun, kind->expected);
    const struct units_unit *unit = units_find(kind, number.rest);
    if (unit == NULL && strcmp(text, "0") != 0)
        return units_fail_unit(kind, text, number.rest);
    uint64_t scale = unit != NULL ? unit->scale : 1;
    uint64_t divisor = units_pow10(number.fraction_digits);
    units_u128 parts = (units_u128)number.fraction * scale;
    if (number.fraction_longer || parts % divisor != 0)
        return weir_fail(-EINVAL, "'%.100s' is finer than a %s: expected a whole number of them",
                         text, kind->smallest);
    units_u128 value = (units_u128)number.whole * scale + parts / divisor;
    if (number.whole_overflow || value > kind->max)
        return weir_fail(-ERANGE, "'%.100s' is too large: %s is at most %s", text, kind->noun,
                         kind->max_text);
    *out = (uint64_t)value;
    return 0;
}

int weir_parse_duration_ns(uint64_t *out, const char *text)
{
    return units_parse(out, text, &units_duration);
}

int weir_parse_size_bytes(uint64_t *out, const char *text)
{
    return units_parse(out, text, &units_size);
}

int weir_parse_number(uint64_t *out, const char *text, uint64_t min, uint64_t max)
{
    WEIR_ASSERT(out != NULL);
    WEIR_ASSERT(text != NULL);
    WEIR_ASSERT(min <= max);
    struct units_decimal number;
    bool is_number = units_scan(&number, text) && strchr(text, '.') == NULL;
    if (!is_number || *number.rest != '\0')
        return weir_fail(-EINVAL,
                         "'%.100s' is not a number: expected only digits, %" PRIu64 " ... %" PRIu64,
                         text, min, max);
    if (number.whole_overflow || number.whole < min || number.whole > max)
        return weir_fail(-ERANGE, "'%.100s' is out of range: expected %" PRIu64 " ... %" PRIu64,
                         text, min, max);
    *out = number.whole;
    return 0;
}

int weir_parse_fraction(double *out, const char *text)
{
    WEIR_ASSERT(out != NULL);
    WEIR_ASSERT(text != NULL);
    struct units_decimal number;
    if (!units_scan(&number, text) || *number.rest != '\0')
        return weir_fail(-EINVAL, "'%.100s' is not a fraction: expected 0 ... 1 as in 0.25", text);
    /* Digits beyond the 18th cannot change a double, but they can take 1 above 1. */
    bool has_fraction = number.fraction > 0 || number.fraction_longer;
    if (number.whole_overflow || number.whole > 1 || (number.whole == 1 && has_fraction))
        return weir_fail(-ERANGE, "'%.100s' is out of range: expected 0 ... 1", text);
    *out = (double)number.whole +
           (double)number.fraction / (double)units_pow10(number.fraction_digits);
    return 0;
}

/* The largest unit that the duration has at least one of; nanoseconds for 0. */
static const struct units_unit *units_largest(uint64_t ns)
{
    const struct units_unit *unit = &units_durations[0];
    for (size_t i = 1; i < UNITS_COUNT(units_durations); i++)
        if (ns >= units_durations[i].scale)
            unit = &units_durations[i];
    return unit;
}

const char *weir_format_duration(char out[WEIR_DURATION_TEXT_BYTES], uint64_t ns)
{
    WEIR_ASSERT(out != NULL);
    /* `step` is the value of the third digit. A nanosecond is not divided, hours can have more than
     * three digits. */
    const struct units_unit *unit = units_largest(ns);
    uint64_t step = unit->scale;
    if (ns / unit->scale < 10 && unit->scale > 1)
        step = unit->scale / 100;
    else if (ns / unit->scale < 100 && unit->scale > 1)
        step = unit->scale / 10;
    /* cppcheck-suppress zerodivcond ; the scales are 1 or at least 1000 */
    while (ns / step >= 1000)
        step *= 10;
    units_u128 rounded = (units_u128)(ns / step + (ns % step >= step - step / 2)) * step;
    if (rounded <= UINT64_MAX)
        unit = units_largest((uint64_t)rounded); /* 999.9us have become 1ms, 59.99s 1m */
    uint64_t whole = (uint64_t)(rounded / unit->scale);
    uint64_t hundredths = (uint64_t)(rounded % unit->scale * 100 / unit->scale);
    if (hundredths == 0)
        snprintf(out, WEIR_DURATION_TEXT_BYTES, "%" PRIu64 "%s", whole, unit->name);
    else if (hundredths % 10 == 0)
        snprintf(out, WEIR_DURATION_TEXT_BYTES, "%" PRIu64 ".%" PRIu64 "%s", whole, hundredths / 10,
                 unit->name);
    else
        snprintf(out, WEIR_DURATION_TEXT_BYTES, "%" PRIu64 ".%02" PRIu64 "%s", whole, hundredths,
                 unit->name);
    return out;
}
