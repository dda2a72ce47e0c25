/* SPDX-License-Identifier: MIT */
/* Checkers of the parts of a URL, to take one apart and to put one together. */
#ifndef WEIR_PROTO_CODEC_URL_CHECK_H
#define WEIR_PROTO_CODEC_URL_CHECK_H

#include <weir/url.h>

#include "core/assert.h"
#include "core/base.h"

/*
 * What is wrong with a text, and at which byte of it. `problem` is NULL when nothing is, else a
 * phrase that "at byte N" can follow. It never repeats the text, which may carry a password: error
 * texts end up in logs.
 */
struct url_flaw {
    const char *problem;
    size_t at;
};

/* A space, a control byte, a byte that is not ASCII, a backslash. */
struct url_flaw weir_url_check_bytes(struct weir_slice text);

/* A '%' without two hexadecimal digits behind it. */
struct url_flaw weir_url_check_percent(struct weir_slice text);

/*
 * Fill authority, host, port, host_is_ipv4 and host_is_ipv6 of `url`, whose scheme is set, from any
 * bytes. With a flaw what was filled means nothing.
 */
struct url_flaw weir_url_check_authority(struct weir_url *url, struct weir_slice authority);

/* The eight groups of an IPv6 address without brackets (RFC 3986 section 3.2.2). */
struct url_flaw weir_url_check_ipv6(uint16_t groups[8], struct weir_slice text);

/* The scheme in lower case, without "://". */
struct weir_slice weir_url_scheme_name(enum weir_url_scheme scheme);

/* 80, 443, or 0 for a scheme without ports. */
uint16_t weir_url_port_default(enum weir_url_scheme scheme);

/* Equal but for the case of ASCII letters. */
bool weir_url_text_eq(struct weir_slice a, struct weir_slice b);

static inline struct url_flaw url_flaw_none(void)
{
    return (struct url_flaw){ .problem = NULL };
}

static inline struct url_flaw url_flaw_at(size_t at, const char *problem)
{
    return (struct url_flaw){ .problem = problem, .at = at };
}

static inline bool url_is_alpha(uint8_t c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z';
}

static inline bool url_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* unreserved of RFC 3986 section 2.3 */
static inline bool url_is_unreserved(uint8_t c)
{
    return url_is_alpha(c) || url_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static inline uint8_t url_lower(uint8_t c)
{
    return url_is_alpha(c) ? (uint8_t)(c | 0x20) : c;
}

/* The value of a hexadecimal digit, -1 for other bytes. */
static inline int url_hex(uint8_t c)
{
    if (url_is_digit(c))
        return c - '0';
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The byte at *at, which moves on by the one or three bytes it is written with. Checked before. */
static inline uint8_t url_decode_next(struct weir_slice text, size_t *at)
{
    WEIR_DEBUG_ASSERT(*at < text.len);
    uint8_t c = text.ptr[(*at)++];
    if (c != '%')
        return c;
    WEIR_DEBUG_ASSERT(*at + 2 <= text.len);
    int high = url_hex(text.ptr[*at]), low = url_hex(text.ptr[*at + 1]);
    *at += 2;
    return (uint8_t)(high * 16 + low);
}

/* The part of a text from `begin` up to `end`, not included. */
static inline struct weir_slice url_cut(struct weir_slice text, size_t begin, size_t end)
{
    WEIR_DEBUG_ASSERT(begin <= end);
    WEIR_DEBUG_ASSERT(end <= text.len);
    /* Nothing may be added to a pointer that is NULL, not even 0. */
    return (struct weir_slice){ begin == 0 ? text.ptr : text.ptr + begin, end - begin };
}

/* Where the first of the bytes `stops` is, from `at` on; the end when there is none. */
static inline size_t url_find(struct weir_slice text, size_t at, const char *stops)
{
    while (at < text.len && (text.ptr[at] == '\0' || strchr(stops, text.ptr[at]) == NULL))
        at++;
    return at;
}

/* Copy a slice to `at`; returns the place behind it. */
static inline uint8_t *url_put(uint8_t *at, struct weir_slice slice)
{
    if (slice.len == 0)
        return at;
    memcpy(at, slice.ptr, slice.len);
    return at + slice.len;
}

/* Do the `len` bytes at `out` and the slice share none? Overlaps are mistakes of the caller. */
static inline bool url_is_apart(const uint8_t *out, size_t len, struct weir_slice slice)
{
    uintptr_t begin = (uintptr_t)out, other = (uintptr_t)slice.ptr;
    return len == 0 || slice.len == 0 || begin + len <= other || other + slice.len <= begin;
}

#endif
