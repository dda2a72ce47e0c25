/* SPDX-License-Identifier: MIT */
#include "perf/get/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 1024

void get_text_deinit(struct get_text *text)
{
    free(text->ptr);
    *text = (struct get_text){ .max = text->max };
}

void get_text_clear(struct get_text *text)
{
    text->len = 0;
    text->err = 0;
}

/* Room for `more` bytes. */
static bool text_reserve(struct get_text *text, size_t more)
{
    if (text->err != 0)
        return false;
    if (more <= text->capacity - text->len)
        return true;
    if (text->max != 0 && more > text->max - text->len) {
        text->err = WEIR_E_LIMIT;
        return false;
    }
    size_t capacity = text->capacity == 0 ? CAPACITY_FIRST : text->capacity;
    while (capacity - text->len < more && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    uint8_t *grown = capacity - text->len < more ? NULL : realloc(text->ptr, capacity);
    if (grown == NULL) {
        text->err = -ENOMEM;
        return false;
    }
    text->ptr = grown;
    text->capacity = capacity;
    return true;
}

void get_text_add(struct get_text *text, struct weir_slice piece)
{
    if (piece.len == 0 || !text_reserve(text, piece.len))
        return;
    memcpy(text->ptr + text->len, piece.ptr, piece.len);
    text->len += piece.len;
}

void get_text_add_string(struct get_text *text, const char *string)
{
    get_text_add(text, (struct weir_slice){ (const uint8_t *)string, strlen(string) });
}

void get_text_printf(struct get_text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    /* Nearly always there is room, and once is enough. The NUL behind it does not count. */
    size_t room = text->err == 0 ? text->capacity - text->len : 0;
    int len = vsnprintf(room > 0 ? (char *)text->ptr + text->len : NULL, room, format, args);
    if (len >= 0 && (size_t)len >= room && text_reserve(text, (size_t)len + 1))
        vsnprintf((char *)text->ptr + text->len, (size_t)len + 1, format, again);
    if (len > 0 && text->err == 0)
        text->len += (size_t)len;
    va_end(again);
    va_end(args);
}

/* ---- JSON ---- */

/* Bytes of the UTF-8 character that `in` begins with (RFC 3629 section 4: no surrogates, nothing
 * longer than need be); 0 when it begins with none. */
static size_t utf8_len(struct weir_slice in)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint8_t first = in.ptr[0];
    if (first < 0x80)
        return 1;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || in.len < len)
        return 0;
    uint32_t value = first & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((in.ptr[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (in.ptr[i] & 0x3fU);
    }
    bool surrogate = value >= 0xd800 && value <= 0xdfff;
    return value < smallest[len] || value > 0x10ffff || surrogate ? 0 : len;
}

static struct weir_slice rest_of(struct weir_slice slice, size_t from)
{
    return (struct weir_slice){ slice.ptr + from, slice.len - from };
}

static bool is_utf8(struct weir_slice value)
{
    for (size_t at = 0; at < value.len;) {
        size_t len = utf8_len(rest_of(value, at));
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

static bool json_is_plain(uint8_t byte)
{
    return byte >= ' ' && byte != '"' && byte != '\\' && byte < 0x7f;
}

static void json_escape(struct get_text *text, uint8_t byte)
{
    static const char short_of[][2] = {
        { '\n', 'n' }, { '\r', 'r' }, { '\t', 't' }, { '"', '"' }, { '\\', '\\' }
    };
    for (size_t i = 0; i < sizeof(short_of) / sizeof(short_of[0]); i++) {
        if ((uint8_t)short_of[i][0] == byte) {
            get_text_printf(text, "\\%c", short_of[i][1]);
            return;
        }
    }
    get_text_printf(text, "\\u%04x", byte);
}

void get_text_json(struct get_text *text, struct weir_slice value)
{
    bool utf8 = is_utf8(value);
    get_text_add_string(text, "\"");
    for (size_t at = 0; at < value.len;) {
        size_t end = at;
        while (end < value.len &&
               (json_is_plain(value.ptr[end]) || (utf8 && value.ptr[end] > 0x7f)))
            end++;
        get_text_add(text, (struct weir_slice){ value.ptr + at, end - at });
        if (end < value.len)
            json_escape(text, value.ptr[end++]);
        at = end;
    }
    get_text_add_string(text, "\"");
}

static void add_base64(struct get_text *text, struct weir_slice value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < value.len; at += 3) {
        size_t count = value.len - at < 3 ? value.len - at : 3;
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < count ? value.ptr[at + i] : 0);
        char four[4];
        for (size_t i = 0; i < 4; i++)
            four[i] = i > count ? '=' : digits[bits >> (18 - 6 * i) & 0x3f];
        get_text_add(text, (struct weir_slice){ (const uint8_t *)four, sizeof(four) });
    }
}

void get_text_json_bytes(struct get_text *text, const char *name, struct weir_slice value)
{
    if (is_utf8(value)) {
        get_text_printf(text, "\"%s\":", name);
        get_text_json(text, value);
        return;
    }
    get_text_printf(text, "\"%s_base64\":\"", name);
    add_base64(text, value);
    get_text_add_string(text, "\"");
}
