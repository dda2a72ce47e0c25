/* SPDX-License-Identifier: MIT */
/*
 * A growing text for answers that are put together at run time. A text that could not grow stays as
 * it is and is marked `failed`, so that the caller checks once, at the end.
 */
#ifndef MOCK_TEXT_H
#define MOCK_TEXT_H

#include <weir/base.h>

#include <string.h>

struct text {
    char *ptr;
    size_t len, capacity;
    bool failed; /* out of memory at some point: the text is incomplete */
};

void text_add(struct text *text, const char *bytes, size_t len);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Inline, so that the length of a literal is a constant. */
static inline void text_put(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

/*
 * Room for `bytes` behind the text, for a writer that knows how much it will write; it adds to
 * text->len what it wrote. @return NULL: out of memory, text->failed
 */
char *text_room(struct text *text, size_t bytes);

/* Add a number in decimal digits. */
void text_u64(struct text *text, uint64_t value);
void text_i64(struct text *text, int64_t value);

#define TEXT_U64_BYTES 20 /* the most that text_digits() can be */

/* How many decimal digits `value` has: 1 ... 20. */
unsigned text_digits(uint64_t value);

/* Write these digits. @return behind the last one */
char *text_write_u64(char *at, uint64_t value);

/* Add `value` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void text_json(struct text *text, struct weir_slice value);

/* The bytes that text_json() adds, and to write them. @return behind the last one */
size_t text_json_bytes(struct weir_slice value);
char *text_write_json(char *at, struct weir_slice value);

/* Add a time as RFC 3339 in UTC, with `digits` (0 ... 9) digits of the second's fraction, no
 * quotes. */
void text_time(struct text *text, int64_t unix_ns, int digits);

struct weir_slice text_slice(const struct text *text);
void text_free(struct text *text);

#endif
