/* SPDX-License-Identifier: MIT */
/*
 * A growing text for answers that are put together at run time. A text that could not grow stays as
 * it is and is marked `failed`, so that the caller checks once, at the end.
 */
#ifndef MOCK_TEXT_H
#define MOCK_TEXT_H

#include <weir/base.h>

struct text {
    char *ptr;
    size_t len, capacity;
    bool failed; /* out of memory at some point: the text is incomplete */
};

void text_add(struct text *text, const char *bytes, size_t len);
void text_put(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add `value` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void text_json(struct text *text, struct weir_slice value);

/* Add a time as RFC 3339 in UTC, with `digits` (0 ... 9) digits of the second's fraction, no
 * quotes. */
void text_time(struct text *text, int64_t unix_ns, int digits);

struct weir_slice text_slice(const struct text *text);
void text_free(struct text *text);

#endif
