/* SPDX-License-Identifier: MIT */
/*
 * The scanner goes over each byte once and keeps one bit for each level that is open: is it an
 * object? Every function takes the walk at a place, and leaves it behind what it has read; or at
 * the byte that does not belong there.
 */
#include "proto/codec/json_array.h"
#include "core/base.h"

#include <errno.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static void skip_blanks(struct weir_json_walk *walk)
{
    const uint8_t *p = walk->at;
    while (p < walk->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    walk->at = p;
}

/* ---- Strings ----------------------------------------------------------------------------- */

/* Behind the bytes from `p` on that may stand in a string as they are: ASCII but quote, backslash
 * and controls. */
static const uint8_t *skip_plain(const uint8_t *p, const uint8_t *end)
{
#if defined(__SSE2__)
    /* Sixteen at a time. As signed numbers, controls and what is not ASCII are below a blank. */
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'),
                  blank = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)p);
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash));
        int bits = _mm_movemask_epi8(_mm_or_si128(found, _mm_cmplt_epi8(x, blank)));
        if (bits != 0)
            return p + __builtin_ctz((unsigned)bits);
    }
#endif
    /* Eight at a time: a byte is found by what subtracting borrows; only the first find is exact,
     * and only that one is used. */
    for (; end - p >= 8; p += 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t quotes = x ^ ONES * '"', backslashes = x ^ ONES * '\\';
        uint64_t found = ((quotes - ONES) & ~quotes) | ((backslashes - ONES) & ~backslashes) |
                         ((x - ONES * 0x20) & ~x) | x;
        if ((found & HIGHS) != 0)
            break;
    }
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* Bytes of the well-formed UTF-8 sequence of several bytes at `p` (RFC 3629 section 4), or 0. */
static size_t utf8_bytes(const uint8_t *p, const uint8_t *end)
{
    uint8_t first = p[0];
    size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || (size_t)(end - p) < bytes)
        return 0;
    /* Overlong forms, surrogates and values over U+10FFFF show in the second byte. */
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return bytes;
}

/* Bytes of the escape at `p`, which is a backslash, or 0. */
static size_t escape_bytes(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 2)
        return 0;
    if (p[1] != 'u')
        return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL ? 2 : 0;
    if (end - p < 6)
        return 0;
    for (int i = 2; i < 6; i++) {
        uint8_t lower = p[i] | 0x20;
        if (!is_digit(p[i]) && (lower < 'a' || lower > 'f'))
            return 0;
    }
    return 6;
}

/* A string from its opening quote on. `out`: what stands between the quotes. */
static bool skip_string(struct weir_json_walk *walk, struct weir_slice *out)
{
    const uint8_t *begin = walk->at + 1, *p = begin, *end = walk->end;
    for (;;) {
        p = skip_plain(p, end);
        if (p == end)
            break;
        if (*p == '"') {
            *out = (struct weir_slice){ begin, (size_t)(p - begin) };
            walk->at = p + 1;
            return true;
        }
        size_t bytes = *p == '\\' ? escape_bytes(p, end) : *p < 0x20 ? 0 : utf8_bytes(p, end);
        if (bytes == 0)
            break;
        p += bytes;
    }
    walk->at = p;
    return false;
}

/* ---- Values ------------------------------------------------------------------------------ */

static bool skip_digits(struct weir_json_walk *walk)
{
    const uint8_t *begin = walk->at;
    while (walk->at < walk->end && is_digit(*walk->at))
        walk->at++;
    return walk->at > begin;
}

static bool next_is(const struct weir_json_walk *walk, uint8_t c)
{
    return walk->at < walk->end && *walk->at == c;
}

/* RFC 8259 section 6: no plus sign, no zeros in front, digits on both sides of the point. */
static bool skip_number(struct weir_json_walk *walk)
{
    if (next_is(walk, '-'))
        walk->at++;
    if (next_is(walk, '0'))
        walk->at++;
    else if (!skip_digits(walk))
        return false;
    if (next_is(walk, '.')) {
        walk->at++;
        if (!skip_digits(walk))
            return false;
    }
    if (next_is(walk, 'e') || next_is(walk, 'E')) {
        walk->at++;
        if (next_is(walk, '+') || next_is(walk, '-'))
            walk->at++;
        return skip_digits(walk);
    }
    return true;
}

static bool skip_literal(struct weir_json_walk *walk, const char *text, size_t len)
{
    if ((size_t)(walk->end - walk->at) < len || memcmp(walk->at, text, len) != 0)
        return false;
    walk->at += len;
    return true;
}

static bool skip_scalar(struct weir_json_walk *walk)
{
    struct weir_slice text;
    switch (*walk->at) {
    case '"':
        return skip_string(walk, &text);
    case 't':
        return skip_literal(walk, "true", 4);
    case 'f':
        return skip_literal(walk, "false", 5);
    case 'n':
        return skip_literal(walk, "null", 4);
    default:
        return skip_number(walk);
    }
}

/* `"name" :` and the blanks behind it. */
static bool skip_name(struct weir_json_walk *walk, struct weir_slice *name)
{
    skip_blanks(walk);
    if (!next_is(walk, '"') || !skip_string(walk, name))
        return false;
    skip_blanks(walk);
    if (!next_is(walk, ':'))
        return false;
    walk->at++;
    skip_blanks(walk);
    return true;
}

/* The arrays and objects that are open around the place of a scan. */
struct json_levels {
    uint64_t is_object[WEIR_JSON_DEPTH_MAX / 64];
    unsigned count;
};

static bool in_object(const struct json_levels *levels)
{
    unsigned top = levels->count - 1;
    return (levels->is_object[top / 64] >> top % 64 & 1) != 0;
}

/* Open a level. `*empty`: it was closed again at once, so it is a value that is complete. */
static int level_open(struct weir_json_walk *walk, struct json_levels *levels, bool *empty)
{
    struct weir_slice name;
    bool object = *walk->at == '{';
    if (levels->count == WEIR_JSON_DEPTH_MAX)
        return WEIR_E_LIMIT;
    uint64_t bit = UINT64_C(1) << levels->count % 64;
    uint64_t *word = &levels->is_object[levels->count++ / 64];
    *word = object ? *word | bit : *word & ~bit;
    walk->at++;
    skip_blanks(walk);
    *empty = next_is(walk, object ? '}' : ']');
    if (*empty) {
        walk->at++;
        levels->count--;
        return 0;
    }
    return !object || skip_name(walk, &name) ? 0 : -EINVAL;
}

/* Behind a value: close the levels that end here. @return 1: another value follows; 0: all closed;
 * -EINVAL */
static int levels_close(struct weir_json_walk *walk, struct json_levels *levels)
{
    struct weir_slice name;
    while (levels->count > 0) {
        bool object = in_object(levels);
        skip_blanks(walk);
        if (next_is(walk, ',')) {
            walk->at++;
            return !object || skip_name(walk, &name) ? 1 : -EINVAL;
        }
        if (!next_is(walk, object ? '}' : ']'))
            return -EINVAL;
        walk->at++;
        levels->count--;
    }
    return 0;
}

/* One value, from its first byte on. @return 0, -EINVAL or WEIR_E_LIMIT */
static int skip_value(struct weir_json_walk *walk)
{
    struct json_levels levels = { .count = 0 };
    for (;;) {
        skip_blanks(walk);
        if (walk->at == walk->end)
            return -EINVAL;
        bool complete = true;
        int rc = 0;
        if (*walk->at == '{' || *walk->at == '[')
            rc = level_open(walk, &levels, &complete);
        else if (!skip_scalar(walk))
            rc = -EINVAL;
        if (rc == 0 && complete)
            rc = levels_close(walk, &levels);
        else if (rc == 0)
            rc = 1;
        if (rc <= 0)
            return rc;
    }
}

/* ---- Walks ------------------------------------------------------------------------------- */

static int at_end(struct weir_json_walk *walk)
{
    skip_blanks(walk);
    return walk->at == walk->end ? 0 : -EINVAL;
}

/* No bytes may be a NULL pointer, and nothing may be added to one. */
static struct weir_json_walk walk_over(struct weir_slice text)
{
    if (text.len == 0)
        text = WEIR_TEXT("");
    return (struct weir_json_walk){ .at = text.ptr, .end = text.ptr + text.len, .first = true };
}

int weir_json_check(struct weir_slice text)
{
    struct weir_json_walk walk = walk_over(text);
    int rc = skip_value(&walk);
    return rc == 0 ? at_end(&walk) : rc;
}

static int walk_begin(struct weir_json_walk *walk, struct weir_slice text, uint8_t open)
{
    *walk = walk_over(text);
    skip_blanks(walk);
    if (!next_is(walk, open))
        return -EINVAL;
    walk->at++;
    return 0;
}

int weir_json_array_begin(struct weir_json_walk *walk, struct weir_slice text)
{
    return walk_begin(walk, text, '[');
}

int weir_json_object_begin(struct weir_json_walk *walk, struct weir_slice text)
{
    return walk_begin(walk, text, '{');
}

/* To the first byte of the next element. @return 1: there is one; 0: `close` was there instead */
static int to_next(struct weir_json_walk *walk, uint8_t close)
{
    skip_blanks(walk);
    if (next_is(walk, close)) {
        walk->at++;
        return 0;
    }
    if (!walk->first) {
        if (!next_is(walk, ','))
            return -EINVAL;
        walk->at++;
        skip_blanks(walk);
    }
    walk->first = false;
    return walk->at < walk->end ? 1 : -EINVAL;
}

static int take_value(struct weir_json_walk *walk, struct weir_slice *value)
{
    const uint8_t *begin = walk->at;
    if (begin < walk->end && *begin != '{' && *begin != '[') {
        if (!skip_scalar(walk))
            return -EINVAL;
    } else {
        int rc = skip_value(walk);
        if (rc < 0)
            return rc;
    }
    *value = (struct weir_slice){ begin, (size_t)(walk->at - begin) };
    return 1;
}

int weir_json_array_next(struct weir_json_walk *walk, struct weir_slice *element)
{
    int rc = to_next(walk, ']');
    if (rc <= 0)
        return rc == 0 ? at_end(walk) : rc;
    return take_value(walk, element);
}

static int take_member(struct weir_json_walk *walk, struct weir_slice *name,
                       struct weir_slice *value)
{
    int rc = to_next(walk, '}');
    if (rc <= 0)
        return rc;
    return skip_name(walk, name) ? take_value(walk, value) : -EINVAL;
}

int weir_json_object_next(struct weir_json_walk *walk, struct weir_slice *name,
                          struct weir_slice *value)
{
    int rc = take_member(walk, name, value);
    return rc == 0 ? at_end(walk) : rc;
}

/* ---- Answers ----------------------------------------------------------------------------- */

/* What of an answer was seen so far; a value that was not seen has no bytes. */
struct json_parts {
    struct weir_slice status, body, error;
};

static struct weir_slice *part_of(struct json_parts *parts, struct weir_slice name)
{
    if (weir_slice_eq(name, WEIR_TEXT("status")))
        return &parts->status;
    if (weir_slice_eq(name, WEIR_TEXT("body")))
        return &parts->body;
    return weir_slice_eq(name, WEIR_TEXT("error")) ? &parts->error : NULL;
}

static int answer_read(struct weir_json_answer *out, const struct json_parts *parts)
{
    const uint8_t *digits = parts->status.ptr;
    if (parts->status.len != 3 || digits[0] < '2' || digits[0] > '9' || !is_digit(digits[1]) ||
        !is_digit(digits[2]))
        return -EINVAL;
    out->status = (uint16_t)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
    bool body = parts->error.len == 0 || (parts->body.len > 0 && out->status < 400);
    out->value = body ? parts->body : parts->error;
    return 1;
}

int weir_json_answer_next(struct weir_json_walk *walk, struct weir_json_answer *out)
{
    struct json_parts parts = { .status = { .len = 0 } };
    struct weir_slice name, value;
    int rc = to_next(walk, ']');
    if (rc <= 0)
        return rc == 0 ? at_end(walk) : rc;
    if (!next_is(walk, '{'))
        return -EINVAL;
    walk->at++;
    walk->first = true;
    while ((rc = take_member(walk, &name, &value)) > 0) {
        struct weir_slice *part = part_of(&parts, name);
        if (part == NULL)
            continue;
        if (part->len > 0)
            return -EINVAL;
        *part = value;
    }
    walk->first = false;
    return rc < 0 ? rc : answer_read(out, &parts);
}
