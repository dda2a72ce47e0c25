/* SPDX-License-Identifier: MIT */
/** Durations and sizes with units, as people write them on a command line. Any thread. */
#ifndef WEIR_UNITS_H
#define WEIR_UNITS_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * "750us", "1.9ms", "30s", "5m", "1h", "10ns" -> nanoseconds; "0" alone needs no unit.
 * @return 0, or -EINVAL (not a number, no or unknown unit, negative) or -ERANGE (over 292 years); weir_error_text() tells
 */
WEIR_API WEIR_MUST_USE int weir_parse_duration_ns(uint64_t *out, const char *text);

/** "64KiB", "10MB", "512B", "2GiB", "4096" (bytes) -> bytes. Errors as above. */
WEIR_API WEIR_MUST_USE int weir_parse_size_bytes(uint64_t *out, const char *text);

/**
 * A decimal number in [min, max]. Errors as above: -EINVAL for anything else than digits, -ERANGE outside,
 * with both bounds in weir_error_text().
 */
WEIR_API WEIR_MUST_USE int weir_parse_number(uint64_t *out, const char *text, uint64_t min, uint64_t max);

/** A decimal fraction in [0, 1], "0.25". Errors as above. */
WEIR_API WEIR_MUST_USE int weir_parse_fraction(double *out, const char *text);

/** Longest text of weir_format_duration(), with its NUL. */
#define WEIR_DURATION_TEXT_BYTES 32

/** Write a duration for people with three significant digits: "750us", "1.9ms", "30s". @return out */
WEIR_API const char *weir_format_duration(char out[WEIR_DURATION_TEXT_BYTES], uint64_t ns);

#ifdef __cplusplus
}
#endif

#endif
