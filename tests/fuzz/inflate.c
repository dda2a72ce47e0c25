/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: coded bodies. The first four bytes choose coding, limits and cuts; the rest is the
 * body. However it is cut, the outcome is that of the body whole; no limit is passed; and where the
 * container allows no doubt, zlib by itself comes to the same.
 */
#include "proto/http/inflate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define OUT_BYTES (1u << 20)

struct outcome {
    int result;
    size_t bytes;
    uint8_t out[OUT_BYTES];
};
static struct outcome whole, cut;
static struct weir_inflate decoder;

static uint32_t draw(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 16;
}

/* One piece of input, in memory of its own, and what comes out of it, `capacity` bytes a time. */
static int feed(struct outcome *o, struct weir_slice piece, size_t capacity)
{
    uint8_t *copy = malloc(piece.len + (piece.len == 0));
    DEMAND(copy != NULL);
    memcpy(copy, piece.ptr, piece.len);
    struct weir_slice in = { copy, piece.len };
    int64_t n;
    do {
        size_t room = OUT_BYTES - o->bytes;
        room = room < capacity ? room : capacity;
        DEMAND(room > 0); /* bytes_max is less than OUT_BYTES */
        uint8_t *out = malloc(room);
        DEMAND(out != NULL);
        n = weir_inflate_next(&decoder, &in, out, room);
        DEMAND(n <= (int64_t)room);
        if (n > 0) {
            memcpy(o->out + o->bytes, out, (size_t)n);
            o->bytes += (size_t)n;
        }
        free(out);
    } while (n > 0);
    DEMAND(n < 0 || in.len == 0);
    free(copy);
    return (int)n;
}

static void run(struct outcome *o, const uint8_t *choice, struct weir_slice body, bool in_pieces)
{
    const struct weir_inflate_limits limits = {
        .bytes_max = choice[1] % 4 == 0 ? choice[1] * 16u : OUT_BYTES - 1,
    };
    enum weir_inflate_coding coding = choice[0] % 2 == 0 ? WEIR_INFLATE_GZIP : WEIR_INFLATE_DEFLATE;
    uint32_t random = choice[3];
    DEMAND(weir_inflate_begin(&decoder, coding, &limits) == 0);
    o->result = 0;
    o->bytes = 0;
    for (size_t at = 0; at < body.len && o->result == 0;) {
        size_t len = in_pieces ? draw(&random) % (2u << choice[2] % 12) : body.len;
        size_t capacity = in_pieces ? 1 + draw(&random) % (1u << choice[2] / 16) : OUT_BYTES;
        len = len < body.len - at ? len : body.len - at;
        o->result = feed(o, (struct weir_slice){ body.ptr + at, len }, capacity);
        at += len;
    }
    if (o->result == 0)
        o->result = weir_inflate_finish(&decoder);
    DEMAND(o->bytes <= limits.bytes_max);
    DEMAND(o->result != WEIR_E_LIMIT || o->bytes == limits.bytes_max);
}

/* One gzip member or zlib stream, whole and good: as zlib alone decodes it. */
static void compare(const struct outcome *o, struct weir_slice body)
{
    static uint8_t out[OUT_BYTES];
    z_stream z = { 0 };
    DEMAND(inflateInit2(&z, 15 + 32) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)body.ptr;
    z.avail_in = (uInt)body.len;
    z.next_out = out;
    z.avail_out = OUT_BYTES;
    if (inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0) {
        DEMAND(o->result == 0 || o->result == WEIR_E_LIMIT);
        DEMAND(o->bytes <= z.total_out && memcmp(o->out, out, o->bytes) == 0);
        DEMAND(o->result != 0 || o->bytes == z.total_out);
    }
    DEMAND(inflateEnd(&z) == Z_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > 65536)
        return 0;
    const struct weir_slice body = { data + 4, size - 4 };
    run(&whole, data, body, false);
    run(&cut, data, body, true);
    DEMAND(whole.result == cut.result);
    DEMAND(whole.bytes == cut.bytes && memcmp(whole.out, cut.out, cut.bytes) == 0);
    bool is_gzip = body.len > 1 && body.ptr[0] == 0x1f && body.ptr[1] == 0x8b;
    bool is_zlib = body.len > 1 && (body.ptr[0] & 0x0f) == 8;
    if (data[0] % 2 == 0 ? is_gzip : is_zlib)
        compare(&whole, body);
    return 0;
}
