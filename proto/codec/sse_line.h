/* SPDX-License-Identifier: MIT */
/* Where lines of event streams end, the question that reader and writer spend their time on. */
#ifndef WEIR_PROTO_CODEC_SSE_LINE_H
#define WEIR_PROTO_CODEC_SSE_LINE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline bool sse_is_line_end(uint8_t c)
{
    return c == '\n' || c == '\r';
}

/* Is one of the eight bytes of `word` a `c`? A byte of x is 0 exactly where it borrows here. */
static inline bool sse_word_has(uint64_t word, uint8_t c)
{
    uint64_t ones = UINT64_MAX / 255;
    uint64_t x = word ^ ones * c;
    return ((x - ones) & ~x & ones << 7) != 0;
}

/* The first CR or LF of [at, end), `end` when there is none, eight bytes at a time. */
static inline const uint8_t *sse_line_end_words(const uint8_t *at, const uint8_t *end)
{
    for (uint64_t word; end - at >= (ptrdiff_t)sizeof word; at += sizeof word) {
        memcpy(&word, at, sizeof word);
        if (sse_word_has(word, '\n') || sse_word_has(word, '\r'))
            break;
    }
    while (at < end && !sse_is_line_end(*at))
        at++;
    return at;
}

#if defined(__SSE2__)

/* The same sixteen bytes at a time. No byte at or behind `end` is touched. */
static inline const uint8_t *sse_line_end_sse2(const uint8_t *at, const uint8_t *end)
{
    const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
    for (; end - at >= (ptrdiff_t)sizeof lf; at += sizeof lf) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)at);
        __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(bytes, lf), _mm_cmpeq_epi8(bytes, cr));
        unsigned mask = (unsigned)_mm_movemask_epi8(hits);
        if (mask != 0)
            return at + __builtin_ctz(mask);
    }
    return sse_line_end_words(at, end);
}

#endif

/* The first CR or LF of [at, end), `end` when there is none. */
static inline const uint8_t *sse_line_end(const uint8_t *at, const uint8_t *end)
{
#if defined(__SSE2__)
    return sse_line_end_sse2(at, end);
#else
    return sse_line_end_words(at, end);
#endif
}

#endif
