/* SPDX-License-Identifier: MIT */
/* The reader of heads for every CPU: eight bytes at a time where that can be, else one. */
#include "proto/codec/http1_read.h"

#define HTTP1_PATH weir_http1_scalar

struct http1_scan {
    const uint8_t *base;
    size_t end;
};

static inline void http1_scan_begin(struct http1_scan *s, const uint8_t *base, struct http1_span in)
{
    s->base = base;
    s->end = (size_t)(in.end - base);
}

static inline size_t scan_bytes(const struct http1_scan *s, size_t at, enum http1_char class)
{
    const uint8_t *const base = s->base;
    for (; s->end - at >= 4; at += 4) {
        if (!http1_is(base[at], class))
            return at;
        if (!http1_is(base[at + 1], class))
            return at + 1;
        if (!http1_is(base[at + 2], class))
            return at + 2;
        if (!http1_is(base[at + 3], class))
            return at + 3;
    }
    while (at < s->end && http1_is(base[at], class))
        at++;
    return at;
}

static inline size_t http1_scan_token(struct http1_scan *s, size_t at)
{
    return scan_bytes(s, at, HTTP1_TCHAR);
}

static inline size_t http1_scan_host(const struct http1_scan *s, size_t at)
{
    return scan_bytes(s, at, HTTP1_HOST);
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/*
 * The upper bit of each byte of x below `limit` (at most 0x80), and of those from 0x80 on never.
 * What is borrowed from a byte further up makes bits wrong, but only above a right one.
 */
static inline uint64_t bytes_below(uint64_t x, uint8_t limit)
{
    return (x - EACH(limit)) & ~x & EACH(0x80);
}

static inline size_t http1_scan_value(struct http1_scan *s, size_t at)
{
    while (s->end - at >= 8) {
        uint64_t x = http1_load64(s->base + at);
        uint64_t stop = bytes_below(x, 0x20) | bytes_below(x ^ EACH(0x7f), 1);
        if (stop == 0) {
            at += 8;
            continue;
        }
        at += (unsigned)__builtin_ctzll(stop) / 8;
        if (s->base[at] != '\t')
            return at;
        at++;
    }
    return scan_bytes(s, at, HTTP1_VALUE);
}

/* SP, the usual end, is below 0x21; bytes from 0x80 on have their upper bit. */
static inline size_t http1_scan_target(struct http1_scan *s, size_t at)
{
    for (; s->end - at >= 8; at += 8) {
        uint64_t x = http1_load64(s->base + at);
        uint64_t stop = bytes_below(x, 0x21) | bytes_below(x ^ EACH(0x7f), 1) |
                        bytes_below(x ^ EACH('#'), 1) | (x & EACH(0x80));
        if (stop != 0)
            return at + (unsigned)__builtin_ctzll(stop) / 8;
    }
    return scan_bytes(s, at, HTTP1_TARGET);
}

#else

static inline size_t http1_scan_value(struct http1_scan *s, size_t at)
{
    return scan_bytes(s, at, HTTP1_VALUE);
}

static inline size_t http1_scan_target(struct http1_scan *s, size_t at)
{
    return scan_bytes(s, at, HTTP1_TARGET);
}

#endif

#include "proto/codec/http1_read_impl.h"
