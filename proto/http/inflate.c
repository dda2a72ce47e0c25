/* SPDX-License-Identifier: MIT */
/* Decoder of gzip and deflate: inflate.h has the phases. */
#include "proto/http/inflate.h"

#include "core/assert.h"
#include "core/base.h"
#include "proto/codec/http1_char.h"

#include <errno.h>

enum inflate_phase {
    INFLATE_DETECT, /* nothing was given to zlib, head_bytes of the input are in head */
    INFLATE_STREAM,
    INFLATE_ENDED, /* the stream is complete; a gzip member may follow */
    INFLATE_FAILED /* err */
};

/* Window bits as inflateInit2() takes them: 15 and the kind of wrapping. */
#define BITS_ZLIB 15
#define BITS_RAW  (-15)
#define BITS_GZIP (15 + 16)

#define ARENA_ALIGN 16

/* zlib counts in unsigned int. */
#define STEP_BYTES_MAX (UINT32_C(1) << 30)

enum weir_inflate_coding weir_inflate_coding(struct weir_slice content_encoding)
{
    struct weir_slice s = content_encoding;
    if (s.len == 0 || http1_is_word(s, WEIR_TEXT("identity")))
        return WEIR_INFLATE_IDENTITY;
    if (http1_is_word(s, WEIR_TEXT("gzip")) || http1_is_word(s, WEIR_TEXT("x-gzip")))
        return WEIR_INFLATE_GZIP;
    if (http1_is_word(s, WEIR_TEXT("deflate")))
        return WEIR_INFLATE_DEFLATE;
    return WEIR_INFLATE_UNKNOWN;
}

/* ---- zlib ---------------------------------------------------------------------------------------
 */

/* From the arena, aligned for anything. zlib takes two blocks in the life of a stream. */
static void *arena_take(void *opaque, uInt items, uInt item_bytes)
{
    struct weir_inflate *d = opaque;
    uint64_t bytes = weir_align_up((uint64_t)items * item_bytes, ARENA_ALIGN);
    if (bytes > WEIR_INFLATE_ARENA_BYTES - d->arena_used)
        return Z_NULL;
    void *block = d->arena + d->arena_used;
    d->arena_used += (uint32_t)bytes;
    return block;
}

/* The arena is emptied as a whole, by the next stream. */
static void arena_put(void *opaque, void *block)
{
    (void)opaque;
    (void)block;
}

static int inflate_fail(struct weir_inflate *d, int err)
{
    WEIR_ASSERT(err < 0);
    d->phase = INFLATE_FAILED;
    d->err = err;
    return err;
}

int weir_inflate_begin(struct weir_inflate *d, enum weir_inflate_coding coding,
                       const struct weir_inflate_limits *limits)
{
    WEIR_ASSERT(coding == WEIR_INFLATE_GZIP || coding == WEIR_INFLATE_DEFLATE);
    d->limits = *limits;
    d->in_bytes = 0;
    d->out_bytes = 0;
    d->err = 0;
    d->phase = INFLATE_DETECT;
    d->coding = (uint8_t)coding;
    d->head_bytes = 0;
    d->head_used = 0;
    d->arena_used = 0;
    d->stream = (z_stream){ .zalloc = arena_take, .zfree = arena_put, .opaque = d };
    /* DETECT may change it to raw; that a zlib does not fit is found here for all of them. */
    int bits = coding == WEIR_INFLATE_GZIP ? BITS_GZIP : BITS_ZLIB;
    return inflateInit2(&d->stream, bits) == Z_OK ? 0 : inflate_fail(d, -ENOMEM);
}

/* ---- Input --------------------------------------------------------------------------------------
 */

static bool is_zlib_header(const uint8_t head[2])
{
    bool is_deflate = (head[0] & 0x0f) == 8 && head[0] >> 4 <= 7;
    return is_deflate && (head[0] << 8 | head[1]) % 31 == 0;
}

/* Take what the decision needs. False: all input was used and there is none yet. */
static bool inflate_detect(struct weir_inflate *d, struct weir_slice *in)
{
    WEIR_ASSERT(d->phase == INFLATE_DETECT);
    const uint8_t wanted = d->coding == WEIR_INFLATE_GZIP ? 1 : 2;
    while (d->head_bytes < wanted && in->len > 0) {
        d->head[d->head_bytes++] = *in->ptr++;
        in->len--;
    }
    if (d->head_bytes < wanted)
        return false;
    d->phase = INFLATE_STREAM;
    if (d->coding == WEIR_INFLATE_DEFLATE && !is_zlib_header(d->head)) {
        int rc = inflateReset2(&d->stream, BITS_RAW);
        WEIR_ASSERT(rc == Z_OK);
    }
    return true;
}

/* One call of zlib: the bytes that DETECT took, then the input. Its result. */
static int inflate_step(struct weir_inflate *d, struct weir_slice *in, uint8_t *out,
                        uint32_t capacity)
{
    bool from_head = d->head_used < d->head_bytes;
    const uint8_t *from = from_head ? d->head + d->head_used : in->ptr;
    size_t len = from_head ? (size_t)(d->head_bytes - d->head_used) : in->len;
    /* zlib does not write to its input, whatever the type says. */
    d->stream.next_in = (Bytef *)(uintptr_t)from;
    d->stream.avail_in = (uInt)weir_min_u64(len, STEP_BYTES_MAX);
    d->stream.next_out = out;
    d->stream.avail_out = capacity;
    const uInt offered = d->stream.avail_in;
    int rc = inflate(&d->stream, Z_NO_FLUSH);
    const uInt used = offered - d->stream.avail_in;
    WEIR_ASSERT(used <= offered);
    d->in_bytes += used;
    if (from_head)
        d->head_used = (uint8_t)(d->head_used + used);
    else
        *in = (struct weir_slice){ used == 0 ? in->ptr : in->ptr + used, in->len - used };
    return rc;
}

static bool has_input(const struct weir_inflate *d, const struct weir_slice *in)
{
    return in->len > 0 || d->head_used < d->head_bytes;
}

/* The stream is complete and bytes follow: of another gzip member, or of nothing. */
static int inflate_again(struct weir_inflate *d)
{
    WEIR_ASSERT(d->phase == INFLATE_ENDED);
    if (d->coding != WEIR_INFLATE_GZIP)
        return inflate_fail(d, WEIR_E_ENCODING);
    int rc = inflateReset(&d->stream);
    WEIR_ASSERT(rc == Z_OK);
    d->phase = INFLATE_STREAM;
    return 0;
}

/* ---- Output -------------------------------------------------------------------------------------
 */

static bool is_over_ratio(const struct weir_inflate *d)
{
    const struct weir_inflate_limits *limits = &d->limits;
    if (limits->ratio_max == 0 || d->out_bytes <= limits->bytes_free)
        return false;
    return d->out_bytes / limits->ratio_max >= d->in_bytes &&
           d->out_bytes > d->in_bytes * limits->ratio_max;
}

/* zlib's result as a phase: what it produced before is handed out first. */
static void inflate_settle(struct weir_inflate *d, int rc)
{
    switch (rc) {
    case Z_OK:
    case Z_BUF_ERROR: /* no room or no input: nothing is wrong */
        break;
    case Z_STREAM_END:
        d->phase = INFLATE_ENDED;
        break;
    case Z_MEM_ERROR:
        inflate_fail(d, -ENOMEM);
        break;
    default: /* Z_DATA_ERROR, Z_NEED_DICT: nobody has agreed on a dictionary */
        WEIR_ASSERT(rc != Z_STREAM_ERROR);
        inflate_fail(d, WEIR_E_ENCODING);
        break;
    }
}

int64_t weir_inflate_next(struct weir_inflate *d, struct weir_slice *in, uint8_t *out,
                          size_t capacity)
{
    WEIR_ASSERT(capacity > 0);
    if (d->phase == INFLATE_DETECT && !inflate_detect(d, in))
        return 0;
    while (d->phase != INFLATE_FAILED) {
        if (d->phase == INFLATE_ENDED && !has_input(d, in))
            return 0;
        if (d->phase == INFLATE_ENDED && inflate_again(d) < 0)
            break;
        /* At the limit a byte of its own shows whether there is more. */
        uint64_t room = d->limits.bytes_max - d->out_bytes;
        uint8_t beyond;
        uint32_t wanted = (uint32_t)weir_min_u64(weir_min_u64(capacity, STEP_BYTES_MAX), room);
        bool is_full = room == 0;
        inflate_settle(d, inflate_step(d, in, is_full ? &beyond : out, is_full ? 1 : wanted));
        uint32_t produced = (is_full ? 1 : wanted) - d->stream.avail_out;
        if (is_full && produced > 0)
            return inflate_fail(d, WEIR_E_LIMIT);
        d->out_bytes += produced;
        if (d->phase != INFLATE_FAILED && is_over_ratio(d))
            return inflate_fail(d, WEIR_E_LIMIT);
        if (produced > 0)
            return produced;
        if (d->phase == INFLATE_STREAM && !has_input(d, in))
            return 0;
    }
    return d->err;
}

int weir_inflate_finish(const struct weir_inflate *d)
{
    switch ((enum inflate_phase)d->phase) {
    case INFLATE_DETECT:
        return d->head_bytes == 0 ? 0 : WEIR_E_ENCODING;
    case INFLATE_STREAM:
        return WEIR_E_ENCODING;
    case INFLATE_ENDED:
        return 0;
    case INFLATE_FAILED:
        return d->err;
    }
    WEIR_ASSERT(false);
    return WEIR_E_ENCODING;
}
