/* SPDX-License-Identifier: MIT */
/* The reader of heads for CPUs with AVX2 and BMI. The Makefile compiles this file for them. */
#include "proto/codec/http1_read.h"

#if defined(__AVX2__)

#include <immintrin.h>

#define HTTP1_VEC  32
#define HTTP1_PATH weir_http1_avx2
#include "proto/codec/http1_scan64.h"

static inline __m256i table(const uint8_t row[32])
{
    return _mm256_loadu_si256((const __m256i *)(const void *)row);
}

/* The row bit of each byte's upper half. */
static inline __m256i rows_of(__m256i x)
{
    __m256i upper = _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(0x0f));
    return _mm256_shuffle_epi8(table(http1_rows), upper);
}

/* Ones where a byte is not in the class. */
static inline uint32_t outside(const uint8_t row[32], __m256i x, __m256i rows)
{
    __m256i in = _mm256_and_si256(_mm256_shuffle_epi8(table(row), x), rows);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

HTTP1_INLINE struct http1_masks http1_vec_masks(const uint8_t *p)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i rows = rows_of(x);
    return (struct http1_masks){ .token = outside(http1_row_token, x, rows),
                                 .value = (uint32_t)~outside(http1_row_value_end, x, rows) };
}

HTTP1_INLINE uint64_t http1_vec_outside(const uint8_t row[32], const uint8_t *p)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return outside(row, x, rows_of(x));
}

#include "proto/codec/http1_read_impl.h"

#endif
