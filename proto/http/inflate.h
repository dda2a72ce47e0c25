/* SPDX-License-Identifier: MIT */
/*
 * Decoder of Content-Encoding gzip, x-gzip and deflate (RFC 9110 section 8.4.1), by zlib.
 *
 *            (1)        (2)        (3)
 *     (any) ----> DETECT ----> STREAM <----> ENDED
 *                                |  (4)       |
 *                                |            |
 *                                +--> FAILED <+
 *                                 (5)      (6)
 *
 *   (1) weir_inflate_begin()
 *   (2) enough bytes to know what it is: inflate_detect()
 *   (3) the stream is complete, its checksum too: inflate_settle()
 *   (4) bytes follow, of another member of gzip: inflate_again()
 *   (5) broken, or beyond a limit: inflate_settle(), weir_inflate_next()
 *   (6) bytes follow, of nothing: inflate_again()
 *
 * DETECT looks at the first two bytes of "deflate": that name means the zlib format (RFC 1950), but
 * some servers have always sent raw deflate (RFC 1951) under it and browsers take both. A zlib
 * header is a multiple of 31 with 8 as its low four bits, and no compressor begins raw deflate with
 * that: it would be a stored block whose padding is not zero.
 *
 * Memory: all of it in struct weir_inflate, about 50 KiB, of which zlib 1.2.13 uses 40: 7 KiB of
 * state, touched by every stream, and a window of 32 KiB, touched by one that does not end within
 * the first piece of output. Nothing is allocated elsewhere, so nothing has to be closed. The
 * structure must stay where it is while a stream is decoded: zlib points into it.
 *
 * It never produces more than it was asked for, and keeps no output: whoever does not call it is
 * not overrun, and whoever pauses only has to keep the rest of the input.
 */
#ifndef WEIR_PROTO_HTTP_INFLATE_H
#define WEIR_PROTO_HTTP_INFLATE_H

#include <weir/base.h>

#include <zlib.h>

enum weir_inflate_coding {
    WEIR_INFLATE_IDENTITY, /* nothing to decode */
    WEIR_INFLATE_GZIP,
    WEIR_INFLATE_DEFLATE,
    WEIR_INFLATE_UNKNOWN, /* another coding, or several */
};

/*
 * The one bound that holds for everybody is bytes_max. The ratio finds a bomb long before: deflate
 * cannot do better than 1032:1 (a match of 258 bytes in 2 bits), and what comes close to it is
 * one value, repeated. Short bodies may be like that by chance, hence bytes_free. Long ones may be
 * too, a tensor of zeros for instance: who expects them sets ratio_max to 0.
 */
struct weir_inflate_limits {
    uint64_t bytes_max;  /* output; 0 is a limit too */
    uint64_t bytes_free; /* output up to which the ratio is not looked at */
    uint32_t ratio_max;  /* output for each byte of input; 0: any */
};
#define WEIR_INFLATE_RATIO_MAX  1000u
#define WEIR_INFLATE_BYTES_FREE 65536u

/* What zlib asks for (40 KiB), and room for builds that align more or use wider entries. */
#define WEIR_INFLATE_ARENA_BYTES 49152u

struct weir_inflate {
    z_stream stream;
    struct weir_inflate_limits limits;
    uint64_t in_bytes, out_bytes;
    int err;
    uint8_t phase;
    uint8_t coding;
    uint8_t head[2];    /* DETECT */
    uint8_t head_bytes; /* in it */
    uint8_t head_used;  /* that zlib has had */
    uint32_t arena_used;
    _Alignas(16) uint8_t arena[WEIR_INFLATE_ARENA_BYTES];
};

/* The coding that a field Content-Encoding names, in any case. Empty, or "identity": IDENTITY. */
enum weir_inflate_coding weir_inflate_coding(struct weir_slice content_encoding);

/*
 * Begin a body of GZIP or DEFLATE; whatever was decoded before is forgotten. Cheap: no memory is
 * cleared but zlib's first KiB.
 * -ENOMEM: this zlib needs more than the arena has, or is not the one of its header.
 */
WEIR_MUST_USE int weir_inflate_begin(struct weir_inflate *d, enum weir_inflate_coding coding,
                                     const struct weir_inflate_limits *limits);

/*
 * Decode from *in, which is advanced over what was used, to `out`, which has room for `capacity`
 * bytes, 1 or more.
 *
 *   > 0    so many bytes were written. Call again with the rest of the input, even if it is empty:
 *          there may be more to come from what was used.
 *   0      all input was used and nothing is left: more input, or weir_inflate_finish().
 *   < 0    WEIR_E_ENCODING: broken, or followed by something that is not another gzip member
 *          WEIR_E_LIMIT: more than bytes_max, or beyond the ratio
 *          -ENOMEM: as for weir_inflate_begin(); zlib takes its window when it needs one
 *          The same again from now on.
 *
 * What precedes the broken place is handed out before the error, so the outcome does not depend on
 * how the input was cut; only the check of the ratio, made after each call, does by a piece.
 */
WEIR_MUST_USE int64_t weir_inflate_next(struct weir_inflate *d, struct weir_slice *in, uint8_t *out,
                                        size_t capacity);

/*
 * The body has ended, and weir_inflate_next() returned 0. Then 0, or WEIR_E_ENCODING: it was cut
 * off. A body of no bytes at all is the empty one, as browsers have it: servers label those too.
 */
WEIR_MUST_USE int weir_inflate_finish(const struct weir_inflate *d);

#endif
