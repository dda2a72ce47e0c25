/* SPDX-License-Identifier: MIT */
/* The reader of heads for CPUs with SSE4.2, x86-64-v2. The Makefile compiles this for them. */
#include "proto/codec/http1_read.h"

#if defined(__SSE4_2__)

#include <immintrin.h>

#define HTTP1_VEC  16
#define HTTP1_PATH weir_http1_sse42
#include "proto/codec/http1_scan64.h"

static inline __m128i table(const uint8_t row[32])
{
    return _mm_loadu_si128((const __m128i *)(const void *)row);
}

/* The row bit of each byte's upper half. */
static inline __m128i rows_of(__m128i x)
{
    __m128i upper = _mm_and_si128(_mm_srli_epi16(x, 4), _mm_set1_epi8(0x0f));
    return _mm_shuffle_epi8(table(http1_rows), upper);
}

/* Ones where a byte is not in the class. */
static inline uint32_t outside(const uint8_t row[32], __m128i x, __m128i rows)
{
    __m128i in = _mm_and_si128(_mm_shuffle_epi8(table(row), x), rows);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(in, _mm_setzero_si128()));
}

HTTP1_INLINE struct http1_masks http1_vec_masks(const uint8_t *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i rows = rows_of(x);
    return (struct http1_masks){ .token = outside(http1_row_token, x, rows),
                                 .value = outside(http1_row_value_end, x, rows) ^ 0xffff };
}

HTTP1_INLINE uint64_t http1_vec_outside(const uint8_t row[32], const uint8_t *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    return outside(row, x, rows_of(x));
}

#include "proto/codec/http1_read_impl.h"

#endif
