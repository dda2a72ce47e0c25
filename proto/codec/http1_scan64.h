/* SPDX-License-Identifier: MIT */
/*
 * Ends of runs from bit masks: a block of 64 bytes is classified at once, one bit per byte, and the
 * ends are read off the bits. A head is a chain of runs, each beginning where the last one ended;
 * with the masks ready that chain is a shift and a count per run, instead of a load, a comparison
 * and a gathering of bits.
 *
 * A byte's class is looked up by its two halves, which needs no comparison at all: bit h of
 * table[l] says whether the byte with upper half h and lower half l is in the class, and
 * http1_rows[h] is that bit. Bytes from 0x80 on are in none, so classes of which they are part
 * are given by their ends.
 *
 * The file that includes this gives HTTP1_VEC, the bytes of a vector, and
 *
 *   http1_vec_masks(p)          of one vector, in the low bits: ones where tokens and values end
 *   http1_vec_outside(row, p)   ones where a byte is not in the class of `row`
 *
 * Nothing outside the span is read: an incomplete block ends in the vector that ends the span,
 * shifted. That takes a span of at least one vector; shorter ones are left to the scalar reader.
 */
#ifndef WEIR_PROTO_CODEC_HTTP1_SCAN64_H
#define WEIR_PROTO_CODEC_HTTP1_SCAN64_H

#include "proto/codec/http1_read.h"

/* Each table twice, for vectors of 32 bytes. */
#define HTTP1_TWICE(...)                                                                           \
    {                                                                                              \
        __VA_ARGS__, __VA_ARGS__                                                                   \
    }

static const uint8_t http1_rows[32] =
    HTTP1_TWICE(1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0);
static const uint8_t http1_row_token[32] = HTTP1_TWICE(
    0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70);
static const uint8_t http1_row_target[32] = HTTP1_TWICE(
    0xf8, 0xfc, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0x7c);
static const uint8_t http1_row_value_end[32] =
    HTTP1_TWICE(3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 3, 3, 3, 3, 3, 0x83);

static const uint8_t http1_row_host[32] = HTTP1_TWICE(
    0xa8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xf4, 0x5c, 0x50, 0x5c, 0xd4, 0x70);

struct http1_masks {
    uint64_t token, value; /* ones where a run ends */
};

HTTP1_INLINE struct http1_masks http1_vec_masks(const uint8_t *p);
HTTP1_INLINE uint64_t http1_vec_outside(const uint8_t row[32], const uint8_t *p);

struct http1_scan {
    const uint8_t *base;
    size_t end, span;         /* of the span, from base and from its beginning on */
    size_t at;                /* where the block begins */
    struct http1_masks masks; /* of the block */
};

HTTP1_INLINE struct http1_masks http1_block64(const uint8_t *p)
{
    struct http1_masks m = http1_vec_masks(p);
#if HTTP1_VEC <= 32
    struct http1_masks n = http1_vec_masks(p + HTTP1_VEC);
    m.token |= n.token << HTTP1_VEC;
    m.value |= n.value << HTTP1_VEC;
#endif
#if HTTP1_VEC == 16
    n = http1_vec_masks(p + 32);
    m.token |= n.token << 32;
    m.value |= n.value << 32;
    n = http1_vec_masks(p + 48);
    m.token |= n.token << 48;
    m.value |= n.value << 48;
#endif
    return m;
}

/* Of a block with `left` bytes, ones behind the end. */
static inline struct http1_masks http1_short_block(const uint8_t *p, unsigned left)
{
    struct http1_masks m = { 0, 0 }, v;
    unsigned i = 0;
    for (; left - i >= HTTP1_VEC; i += HTTP1_VEC) {
        v = http1_vec_masks(p + i);
        m.token |= v.token << i;
        m.value |= v.value << i;
    }
    if (i < left) {
        v = http1_vec_masks(p + left - HTTP1_VEC);
        m.token |= v.token >> (HTTP1_VEC - (left - i)) << i;
        m.value |= v.value >> (HTTP1_VEC - (left - i)) << i;
    }
    m.token |= UINT64_MAX << left;
    m.value |= UINT64_MAX << left;
    return m;
}

/* The same with 64 bytes of the span in front of the end. */
static inline struct http1_masks http1_last_block(const uint8_t *p, size_t left)
{
    if (left == 0)
        return (struct http1_masks){ UINT64_MAX, UINT64_MAX };
    struct http1_masks m = http1_block64(p + left - 64);
    m.token = m.token >> (64 - left) | UINT64_MAX << left;
    m.value = m.value >> (64 - left) | UINT64_MAX << left;
    return m;
}

/* The blocks at the end, of a span of `span` bytes. */
__attribute__((noinline)) static struct http1_masks http1_end_block(const uint8_t *p, size_t left,
                                                                    size_t span)
{
    return span >= 64 ? http1_last_block(p, left) : http1_short_block(p, (unsigned)left);
}

HTTP1_INLINE void http1_scan_block(struct http1_scan *s)
{
    const uint8_t *p = s->base + s->at;
    size_t left = s->end - s->at;
    if (__builtin_expect(left >= 64, 1)) {
        s->masks = http1_block64(p);
    } else if (HTTP1_VEC == 32 && left - 1 < 32) {
        /* Where short heads end. */
        s->masks = http1_vec_masks(p + left - 32);
        s->masks.token = s->masks.token >> (32 - left) | UINT64_MAX << left;
        s->masks.value = s->masks.value >> (32 - left) | UINT64_MAX << left;
    } else {
        s->masks = http1_end_block(p, left, s->span);
    }
}

HTTP1_INLINE void http1_scan_begin(struct http1_scan *s, const uint8_t *base, struct http1_span in)
{
    s->base = base;
    s->end = (size_t)(in.end - base);
    s->span = (size_t)(in.end - in.begin);
    s->at = 0;
    http1_scan_block(s);
}

/* The run goes on behind the block. */
HTTP1_INLINE size_t http1_scan_on(struct http1_scan *s, bool value)
{
    uint64_t mask;
    do {
        s->at += 64;
        http1_scan_block(s);
        mask = value ? s->masks.value : s->masks.token;
    } while (__builtin_expect(mask == 0, 0));
    return s->at + (size_t)__builtin_ctzll(mask);
}

/* The block with the byte at `at`, which is none of those before. */
HTTP1_INLINE void http1_scan_skip(struct http1_scan *s, size_t at)
{
    s->at += (at - s->at) & ~(size_t)63;
    http1_scan_block(s);
}

HTTP1_INLINE size_t http1_scan_token(struct http1_scan *s, size_t at)
{
    if (__builtin_expect(at - s->at >= 64, 0))
        http1_scan_skip(s, at);
    uint64_t mask = s->masks.token >> (at - s->at);
    if (__builtin_expect(mask != 0, 1))
        return at + (size_t)__builtin_ctzll(mask);
    return http1_scan_on(s, false);
}

/* `at` is where a token or the block ended. */
HTTP1_INLINE size_t http1_scan_value(struct http1_scan *s, size_t at)
{
    uint64_t mask = s->masks.value >> (at - s->at);
    if (__builtin_expect(mask != 0, 1))
        return at + (size_t)__builtin_ctzll(mask);
    return http1_scan_on(s, true);
}

/* A run of another class, vector by vector. */
HTTP1_INLINE size_t http1_scan_row(const struct http1_scan *s, size_t at, const uint8_t row[32])
{
    uint64_t mask;
    for (; s->end - at >= HTTP1_VEC; at += HTTP1_VEC) {
        mask = http1_vec_outside(row, s->base + at);
        if (__builtin_expect(mask != 0, 1))
            return at + (size_t)__builtin_ctzll(mask);
    }
    if (at == s->end)
        return at;
    mask = http1_vec_outside(row, s->base + s->end - HTTP1_VEC) >> (HTTP1_VEC - (s->end - at));
    return mask != 0 ? at + (size_t)__builtin_ctzll(mask) : s->end;
}

HTTP1_INLINE size_t http1_scan_target(struct http1_scan *s, size_t at)
{
    return http1_scan_row(s, at, http1_row_target);
}

HTTP1_INLINE size_t http1_scan_host(const struct http1_scan *s, size_t at)
{
    return http1_scan_row(s, at, http1_row_host);
}

#endif
