/* SPDX-License-Identifier: MIT */
/*
 * Byte classes of HTTP/1.1 (RFC 9110 section 5.6, RFC 9112) and the loops that skip runs of them.
 *
 * The loops look at 16 bytes at a time where SSE2 is there (every x86-64) and never read outside
 * the span they were given: the last, incomplete block is the 16 bytes that end the span, shifted,
 * so a short tail costs one load and no byte loop. Everywhere else, and for spans below 16 bytes,
 * the table decides byte by byte; both give the same answer.
 */
#ifndef WEIR_PROTO_CODEC_HTTP1_CHAR_H
#define WEIR_PROTO_CODEC_HTTP1_CHAR_H

#include "core/base.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum http1_char {
    HTTP1_TCHAR = 1,  /* a byte of a token */
    HTTP1_TARGET = 2, /* printable ASCII without '#': a fragment is never sent */
    HTTP1_VALUE = 4,  /* of a field value: HTAB, SP, visible, obs-text */
    HTTP1_HOST = 8,   /* of a registered name: unreserved and sub-delims without ',' and '%' */
};

#define HTTP1_CHAR_WORD  (HTTP1_TCHAR | HTTP1_TARGET | HTTP1_VALUE | HTTP1_HOST)
#define HTTP1_CHAR_TOKEN (HTTP1_TCHAR | HTTP1_TARGET | HTTP1_VALUE)
#define HTTP1_CHAR_DELIM (HTTP1_TARGET | HTTP1_VALUE)

static const uint8_t http1_chars[256] = {
    ['\t'] = HTTP1_VALUE,
    [' '] = HTTP1_VALUE,
    ['!'] = HTTP1_CHAR_WORD,
    ['"'] = HTTP1_CHAR_DELIM,
    ['#'] = HTTP1_TCHAR | HTTP1_VALUE,
    ['$'] = HTTP1_CHAR_WORD,
    ['%'] = HTTP1_CHAR_TOKEN,
    ['&' ... '\''] = HTTP1_CHAR_WORD,
    ['(' ... ')'] = HTTP1_CHAR_DELIM | HTTP1_HOST,
    ['*' ... '+'] = HTTP1_CHAR_WORD,
    [','] = HTTP1_CHAR_DELIM,
    ['-' ... '.'] = HTTP1_CHAR_WORD,
    ['/'] = HTTP1_CHAR_DELIM,
    ['0' ... '9'] = HTTP1_CHAR_WORD,
    [':'] = HTTP1_CHAR_DELIM,
    [';'] = HTTP1_CHAR_DELIM | HTTP1_HOST,
    ['<'] = HTTP1_CHAR_DELIM,
    ['='] = HTTP1_CHAR_DELIM | HTTP1_HOST,
    ['>' ... '@'] = HTTP1_CHAR_DELIM,
    ['A' ... 'Z'] = HTTP1_CHAR_WORD,
    ['[' ... ']'] = HTTP1_CHAR_DELIM,
    ['^'] = HTTP1_CHAR_TOKEN,
    ['_'] = HTTP1_CHAR_WORD,
    ['`'] = HTTP1_CHAR_TOKEN,
    ['a' ... 'z'] = HTTP1_CHAR_WORD,
    ['{'] = HTTP1_CHAR_DELIM,
    ['|'] = HTTP1_CHAR_TOKEN,
    ['}'] = HTTP1_CHAR_DELIM,
    ['~'] = HTTP1_CHAR_WORD,
    [0x80 ... 0xff] = HTTP1_VALUE,
};

static inline bool http1_is(uint8_t c, enum http1_char class)
{
    return (http1_chars[c] & class) != 0;
}

static inline bool http1_is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') <= 9;
}

/* Only SP and HTAB are whitespace (RFC 9110 section 5.6.3): VT, FF and 0xa0 never are. */
static inline bool http1_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Value of a hexadecimal digit, -1 for any other byte. */
static inline int http1_hex(uint8_t c)
{
    if (http1_is_digit(c))
        return c - '0';
    uint8_t letter = (uint8_t)((c | 0x20) - 'a');
    return letter <= 5 ? letter + 10 : -1;
}

static inline uint16_t http1_load16(const void *p)
{
    uint16_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint32_t http1_load32(const void *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint64_t http1_load64(const void *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/*
 * Lower case of letters, for comparing with constants made of a-z, 0-9 and '-' only: there the set
 * bit is exact for every byte that can stand in a token or value, because all it could confuse are
 * control bytes.
 */
static inline uint32_t http1_lower32(const void *p)
{
    return http1_load32(p) | 0x20202020u;
}

static inline uint64_t http1_lower64(const void *p)
{
    return http1_load64(p) | 0x2020202020202020u;
}

/* Does `s` equal `lower`, made of a-z, 0-9 and '-' only? Same reasoning as above. */
static inline bool http1_is_word(struct weir_slice s, struct weir_slice lower)
{
    if (s.len != lower.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if ((s.ptr[i] | 0x20) != lower.ptr[i])
            return false;
    }
    return true;
}

/* The bytes a skipping loop may read. */
struct http1_span {
    const uint8_t *begin, *end;
};

static inline const uint8_t *http1_skip_bytes(const uint8_t *p, struct http1_span in,
                                              enum http1_char class)
{
    while (p < in.end && http1_is(*p, class))
        p++;
    return p;
}

#ifdef __SSE2__

#define HTTP1_INLINE static inline __attribute__((always_inline))

/* All bits of the lanes that lie in [low, low + range], unsigned. */
HTTP1_INLINE __m128i http1_lanes_in(__m128i x, char low, char range)
{
    __m128i offset = _mm_sub_epi8(x, _mm_set1_epi8(low));
    return _mm_cmpeq_epi8(_mm_min_epu8(offset, _mm_set1_epi8(range)), offset);
}

/* One bit per byte that ends a run of letters, digits and '-'. */
HTTP1_INLINE unsigned http1_stops_word(__m128i x)
{
    __m128i alpha = http1_lanes_in(_mm_or_si128(x, _mm_set1_epi8(0x20)), 'a', 25);
    __m128i digit = http1_lanes_in(x, '0', 9);
    __m128i dash = _mm_cmpeq_epi8(x, _mm_set1_epi8('-'));
    __m128i word = _mm_or_si128(_mm_or_si128(alpha, digit), dash);
    return (unsigned)_mm_movemask_epi8(word) ^ 0xffffu;
}

/* One bit per byte that ends a run of letters, digits, '-' and '.'. */
HTTP1_INLINE unsigned http1_stops_host(__m128i x)
{
    __m128i dot = _mm_cmpeq_epi8(x, _mm_set1_epi8('.'));
    return http1_stops_word(x) & ~(unsigned)_mm_movemask_epi8(dot);
}

/* One bit per byte outside HTTP1_TARGET; bytes from 0x80 are negative here. */
HTTP1_INLINE unsigned http1_stops_target(__m128i x)
{
    __m128i visible = _mm_cmpgt_epi8(x, _mm_set1_epi8(0x20));
    __m128i hash = _mm_cmpeq_epi8(x, _mm_set1_epi8('#'));
    __m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
    __m128i good = _mm_andnot_si128(_mm_or_si128(hash, del), visible);
    return (unsigned)_mm_movemask_epi8(good) ^ 0xffffu;
}

/* One bit per byte outside HTTP1_VALUE. */
HTTP1_INLINE unsigned http1_stops_value(__m128i x)
{
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
    __m128i tab = _mm_cmpeq_epi8(x, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del));
}

/* The first byte at or after `p` that `stops` marks; in.end when there is none. */
HTTP1_INLINE const uint8_t *http1_skip(const uint8_t *p, struct http1_span in,
                                       unsigned (*stops)(__m128i))
{
    while (in.end - p >= 16) {
        unsigned mask = stops(_mm_loadu_si128((const __m128i *)(const void *)p));
        if (mask != 0)
            return p + __builtin_ctz(mask);
        p += 16;
    }
    if (p == in.end)
        return p;
    const uint8_t *last = in.end - 16;
    unsigned mask = stops(_mm_loadu_si128((const __m128i *)(const void *)last)) >> (p - last);
    return mask != 0 ? p + __builtin_ctz(mask) : in.end;
}

/* May http1_skip() be used: is there one block to read? */
static inline bool http1_has_block(struct http1_span in)
{
    return in.end - in.begin >= 16;
}

static inline const uint8_t *http1_skip_token(const uint8_t *p, struct http1_span in)
{
    if (http1_has_block(in))
        p = http1_skip(p, in, http1_stops_word);
    return http1_skip_bytes(p, in, HTTP1_TCHAR); /* the rare rest: '_', '.', '!' and the like */
}

static inline const uint8_t *http1_skip_host(const uint8_t *p, struct http1_span in)
{
    if (http1_has_block(in))
        p = http1_skip(p, in, http1_stops_host);
    return http1_skip_bytes(p, in, HTTP1_HOST);
}

static inline const uint8_t *http1_skip_target(const uint8_t *p, struct http1_span in)
{
    return http1_has_block(in) ? http1_skip(p, in, http1_stops_target)
                               : http1_skip_bytes(p, in, HTTP1_TARGET);
}

static inline const uint8_t *http1_skip_value(const uint8_t *p, struct http1_span in)
{
    return http1_has_block(in) ? http1_skip(p, in, http1_stops_value)
                               : http1_skip_bytes(p, in, HTTP1_VALUE);
}

#else

static inline const uint8_t *http1_skip_token(const uint8_t *p, struct http1_span in)
{
    return http1_skip_bytes(p, in, HTTP1_TCHAR);
}

static inline const uint8_t *http1_skip_host(const uint8_t *p, struct http1_span in)
{
    return http1_skip_bytes(p, in, HTTP1_HOST);
}

static inline const uint8_t *http1_skip_target(const uint8_t *p, struct http1_span in)
{
    return http1_skip_bytes(p, in, HTTP1_TARGET);
}

static inline const uint8_t *http1_skip_value(const uint8_t *p, struct http1_span in)
{
    return http1_skip_bytes(p, in, HTTP1_VALUE);
}

#endif

/* What an authority turned out to be (RFC 3986 section 3.2, without user information). */
enum http1_authority {
    HTTP1_AUTHORITY_BAD,
    HTTP1_AUTHORITY_HOST,      /* no port, or an empty one */
    HTTP1_AUTHORITY_HOST_PORT, /* with a port */
};

/* Check `s`; `in` is what may be read around it, at least `s` itself. In http1_meaning.c. */
enum http1_authority weir_http1_check_authority(struct weir_slice s, struct http1_span in);

#endif
