/* SPDX-License-Identifier: MIT */
#include "mock/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TEXT_BYTES_FIRST 512
#define NS_PER_S         1000000000LL

/* Make room for `more` bytes and a NUL, which vsnprintf() always writes. */
static bool text_reserve(struct text *text, size_t more)
{
    if (text->failed)
        return false;
    size_t need = text->len + more + 1;
    if (need <= text->capacity)
        return true;
    size_t capacity = text->capacity == 0 ? TEXT_BYTES_FIRST : text->capacity;
    while (capacity < need)
        capacity *= 2;
    char *grown = realloc(text->ptr, capacity);
    if (grown == NULL) {
        text->failed = true;
        return false;
    }
    text->ptr = grown;
    text->capacity = capacity;
    return true;
}

void text_add(struct text *text, const char *bytes, size_t len)
{
    if (len == 0 || !text_reserve(text, len))
        return;
    memcpy(text->ptr + text->len, bytes, len);
    text->len += len;
}

char *text_room(struct text *text, size_t bytes)
{
    return text_reserve(text, bytes) ? text->ptr + text->len : NULL;
}

/* ---- Numbers ----------------------------------------------------------------------------- */

unsigned text_digits(uint64_t value)
{
    unsigned digits = 1;
    for (; value >= 10000; value /= 10000)
        digits += 4;
    return digits + (value >= 10) + (value >= 100) + (value >= 1000);
}

char *text_write_u64(char *at, uint64_t value)
{
    char *end = at + text_digits(value);
    char *p = end;
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return end;
}

void text_u64(struct text *text, uint64_t value)
{
    char *at = text_room(text, TEXT_U64_BYTES);
    if (at != NULL)
        text->len += (size_t)(text_write_u64(at, value) - at);
}

void text_i64(struct text *text, int64_t value)
{
    if (value < 0)
        text_add(text, "-", 1);
    /* Unsigned: the smallest one has no positive counterpart. */
    text_u64(text, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* ---- Lines ------------------------------------------------------------------------------- */

void text_printf(struct text *text, const char *format, ...)
{
    /* Most lines fit here, so the usual case formats once. */
    char line[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (len < 0) {
        text->failed = true;
        return;
    }
    if ((size_t)len < sizeof line) {
        text_add(text, line, (size_t)len);
        return;
    }
    if (!text_reserve(text, (size_t)len))
        return;
    va_start(args, format);
    vsnprintf(text->ptr + text->len, (size_t)len + 1, format, args);
    va_end(args);
    text->len += (size_t)len;
}

/* ---- JSON -------------------------------------------------------------------------------- */

/* Bytes of the well-formed UTF-8 sequence at `p` (RFC 3629 section 4), or 0. */
static size_t utf8_sequence_bytes(const uint8_t *p, size_t left)
{
    uint8_t first = p[0];
    size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || left < bytes)
        return 0;
    /* The second byte is where overlong forms, surrogates and values over U+10FFFF show. */
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return bytes;
}

/* A byte that stands for itself in a JSON string, and needs no look at its neighbours. */
static bool json_is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* Behind the plain bytes from `i` on. */
static size_t json_skip_plain(struct weir_slice value, size_t i)
{
    while (i < value.len && json_is_plain(value.ptr[i]))
        i++;
    return i;
}

#define JSON_ESCAPED_BYTES 6 /* \u001f */

/*
 * What byte `i`, which is not plain, becomes. @return bytes written to `out`
 * @param taken  how many bytes of the value that was
 */
static size_t json_escape(struct weir_slice value, size_t i, size_t *taken, char *out)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t c = value.ptr[i];
    *taken = 1;
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c < 0x80) {
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        return 6;
    }
    size_t sequence = utf8_sequence_bytes(value.ptr + i, value.len - i);
    if (sequence == 0) {
        memcpy(out, "\\ufffd", 6);
        return 6;
    }
    memcpy(out, value.ptr + i, sequence);
    *taken = sequence;
    return sequence;
}

char *text_write_json(char *at, struct weir_slice value)
{
    *at++ = '"';
    for (size_t i = 0; i < value.len;) {
        size_t plain = json_skip_plain(value, i), taken;
        memcpy(at, value.ptr + i, plain - i);
        at += plain - i;
        i = plain;
        if (i == value.len)
            break;
        at += json_escape(value, i, &taken, at);
        i += taken;
    }
    *at++ = '"';
    return at;
}

size_t text_json_bytes(struct weir_slice value)
{
    size_t bytes = 2;
    for (size_t i = 0; i < value.len;) {
        size_t plain = json_skip_plain(value, i), taken;
        bytes += plain - i;
        i = plain;
        if (i == value.len)
            break;
        char escaped[JSON_ESCAPED_BYTES];
        bytes += json_escape(value, i, &taken, escaped);
        i += taken;
    }
    return bytes;
}

void text_json(struct text *text, struct weir_slice value)
{
    char *at = text_room(text, text_json_bytes(value));
    if (at != NULL)
        text->len += (size_t)(text_write_json(at, value) - at);
}

/* ---- Time, and the whole ------------------------------------------------------------------- */

void text_time(struct text *text, int64_t unix_ns, int digits)
{
    int64_t seconds = unix_ns / NS_PER_S;
    int64_t fraction = unix_ns % NS_PER_S;
    if (fraction < 0) {
        fraction += NS_PER_S;
        seconds--;
    }
    time_t when = (time_t)seconds;
    struct tm utc;
    if (gmtime_r(&when, &utc) == NULL) {
        text->failed = true;
        return;
    }
    char date[64];
    size_t date_len = strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    text_add(text, date, date_len);
    if (digits > 0) {
        char ns[32];
        snprintf(ns, sizeof ns, ".%09lld", (long long)fraction);
        text_add(text, ns, (size_t)digits + 1);
    }
    text_put(text, "Z");
}

struct weir_slice text_slice(const struct text *text)
{
    return (struct weir_slice){ (const uint8_t *)text->ptr, text->len };
}

void text_free(struct text *text)
{
    free(text->ptr);
    *text = (struct text){ 0 };
}
