/* SPDX-License-Identifier: MIT */
/* The reader of heads for arm64. */
#include "proto/codec/http1_read.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define HTTP1_VEC  64
#define HTTP1_PATH weir_http1_neon
#include "proto/codec/http1_scan64.h"

/* One bit per byte that is zero: each byte keeps the bit of its place, neighbours are added. */
static inline uint64_t zeros(const uint8x16_t in[4])
{
    static const uint8_t place[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    uint8x16_t bit = vld1q_u8(place);
    uint8x16_t a = vpaddq_u8(vandq_u8(vceqzq_u8(in[0]), bit), vandq_u8(vceqzq_u8(in[1]), bit));
    uint8x16_t b = vpaddq_u8(vandq_u8(vceqzq_u8(in[2]), bit), vandq_u8(vceqzq_u8(in[3]), bit));
    a = vpaddq_u8(a, b);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(a, a)), 0);
}

static inline uint8x16_t in_class(const uint8_t row[32], uint8x16_t x)
{
    uint8x16_t rows = vqtbl1q_u8(vld1q_u8(http1_rows), vshrq_n_u8(x, 4));
    return vandq_u8(vqtbl1q_u8(vld1q_u8(row), vandq_u8(x, vdupq_n_u8(0x0f))), rows);
}

static inline uint64_t outside(const uint8_t row[32], const uint8_t *p)
{
    uint8x16_t in[4];
    for (unsigned i = 0; i < 4; i++)
        in[i] = in_class(row, vld1q_u8(p + 16 * i));
    return zeros(in);
}

HTTP1_INLINE struct http1_masks http1_vec_masks(const uint8_t *p)
{
    return (struct http1_masks){ .token = outside(http1_row_token, p),
                                 .value = ~outside(http1_row_value_end, p) };
}

HTTP1_INLINE uint64_t http1_vec_outside(const uint8_t row[32], const uint8_t *p)
{
    return outside(row, p);
}

#include "proto/codec/http1_read_impl.h"

#endif
