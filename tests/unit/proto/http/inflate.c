/* SPDX-License-Identifier: MIT */
/*
 * Bodies that zlib compressed, whole, cut at every byte and byte by byte, into pieces of every
 * size; streams of more members; every truncation and every damaged byte; bombs.
 */
#include "proto/http/inflate.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <weir/random.h>

#define SEED      20264u
#define OUT_BYTES (1u << 20)
#define MIB       (UINT64_C(1) << 20)

static const struct weir_inflate_limits ample = { .bytes_max = OUT_BYTES };
static struct weir_inflate decoder;
static uint8_t got[OUT_BYTES], packed[OUT_BYTES], plain[OUT_BYTES];

/* Bytes that compress as text does: words of a small dictionary, drawn by `key`. */
static void make_plain(size_t len, uint64_t key)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t random = weir_random_u64(SEED, key, i / 8) % 97;
        plain[i] = (uint8_t)weir_random_u64(SEED, random, i % 8);
    }
}

/* `len` bytes of `plain` as one stream. */
static size_t pack(uint8_t *out, size_t len, int window_bits, int level)
{
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = plain;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)(packed + sizeof packed - out);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t bytes = z.total_out;
    assert_int_equal(deflateEnd(&z), Z_OK);
    return bytes;
}

struct cuts {
    size_t first, step; /* pieces of input */
    size_t capacity;    /* and of output, at most */
};

/* Each piece of input in memory of its own. */
static int feed(struct weir_slice piece, size_t *out_len, size_t capacity)
{
    uint8_t *copy = malloc(piece.len + (piece.len == 0));
    assert_non_null(copy);
    if (piece.len != 0)
        memcpy(copy, piece.ptr, piece.len);
    struct weir_slice in = { copy, piece.len };
    int64_t n;
    for (;;) {
        size_t room = OUT_BYTES - *out_len;
        assert_true(room > 0);
        room = room < capacity ? room : capacity;
        n = weir_inflate_next(&decoder, &in, got + *out_len, room);
        if (n <= 0)
            break;
        assert_true((uint64_t)n <= room);
        *out_len += (size_t)n;
    }
    assert_true(n < 0 || in.len == 0);
    free(copy);
    return (int)n;
}

/* The whole of a body. Its length in `got`, the result of weir_inflate_finish() or the error. */
static int decode(size_t *out_len, enum weir_inflate_coding coding, struct weir_slice in,
                  const struct cuts *cuts)
{
    assert_int_equal(weir_inflate_begin(&decoder, coding, &ample), 0);
    *out_len = 0;
    size_t len = cuts->first;
    for (size_t at = 0; at < in.len; len = cuts->step) {
        len = len < in.len - at ? len : in.len - at;
        int rc = feed((struct weir_slice){ in.ptr + at, len }, out_len, cuts->capacity);
        if (rc < 0) {
            struct weir_slice none = { NULL, 0 };
            assert_int_equal(weir_inflate_next(&decoder, &none, got, 1), rc);
            assert_int_equal(weir_inflate_finish(&decoder), rc);
            return rc;
        }
        at += len;
    }
    return weir_inflate_finish(&decoder);
}

static const struct cuts whole = { SIZE_MAX, SIZE_MAX, SIZE_MAX };

/* One outcome, however it is cut: `len` bytes of `plain` and `want`. */
static void check(enum weir_inflate_coding coding, size_t bytes, size_t len, int want)
{
    static const size_t capacities[] = { 1, 7, 16384, SIZE_MAX };
    const struct weir_slice in = { packed, bytes };
    size_t out_len;
    for (unsigned c = 0; c < 4; c++) {
        memset(&decoder, 0xa5 ^ (int)c, sizeof decoder); /* what it held before is of no meaning */
        for (size_t first = 1; first <= bytes + 1; first++) {
            /* The last one: byte by byte. */
            size_t step = first <= bytes ? SIZE_MAX : 1;
            struct cuts cuts = { first <= bytes ? first : 1, step, capacities[c] };
            int rc = decode(&out_len, coding, in, &cuts);
            if (rc != want || out_len != len || memcmp(got, plain, len) != 0)
                fail_msg("cut at %zu of %zu, capacity %zu: %d, %zu bytes; not %d, %zu", first,
                         bytes, capacities[c], rc, out_len, want, len);
        }
    }
}

static void test_coding(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum weir_inflate_coding want;
    } rows[] = {
        { "", WEIR_INFLATE_IDENTITY },         { "identity", WEIR_INFLATE_IDENTITY },
        { "Identity", WEIR_INFLATE_IDENTITY }, { "gzip", WEIR_INFLATE_GZIP },
        { "GZip", WEIR_INFLATE_GZIP },         { "x-gzip", WEIR_INFLATE_GZIP },
        { "X-GZIP", WEIR_INFLATE_GZIP },       { "deflate", WEIR_INFLATE_DEFLATE },
        { "DEFLATE", WEIR_INFLATE_DEFLATE },   { "br", WEIR_INFLATE_UNKNOWN },
        { "zstd", WEIR_INFLATE_UNKNOWN },      { "gzip, gzip", WEIR_INFLATE_UNKNOWN },
        { "gzip,", WEIR_INFLATE_UNKNOWN },     { "gzi", WEIR_INFLATE_UNKNOWN },
        { "x-deflate", WEIR_INFLATE_UNKNOWN },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_slice s = { (const uint8_t *)rows[i].value, strlen(rows[i].value) };
        assert_int_equal(weir_inflate_coding(s), rows[i].want);
    }
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        enum weir_inflate_coding coding;
        int bits;
    } forms[] = { { WEIR_INFLATE_GZIP, BITS_GZIP },   { WEIR_INFLATE_DEFLATE, BITS_ZLIB },
                  { WEIR_INFLATE_DEFLATE, BITS_RAW }, { WEIR_INFLATE_DEFLATE, 9 },
                  { WEIR_INFLATE_DEFLATE, -9 },       { WEIR_INFLATE_GZIP, 9 + 16 } };
    static const size_t lengths[] = { 0, 1, 2, 100, 500 };
    for (unsigned f = 0; f < 6; f++) {
        for (unsigned l = 0; l < 5; l++) {
            make_plain(lengths[l], f);
            for (int level = 0; level <= 9; level += 9)
                check(forms[f].coding, pack(packed, lengths[l], forms[f].bits, level), lengths[l],
                      0);
        }
    }
}

/* Longer than the window, in pieces of every kind; and the decoder's arena is all it takes. */
static void test_long(void **state)
{
    (void)state;
    printf("seed %u\n", SEED);
    static const int bits[] = { BITS_GZIP, BITS_ZLIB, BITS_RAW };
    uint64_t draw = 0;
    for (unsigned f = 0; f < 3; f++) {
        const size_t len = 300000 + 1000 * f;
        make_plain(len, f);
        const struct weir_slice in = { packed, pack(packed, len, bits[f], 6) };
        for (unsigned run = 0; run < 30; run++) {
            uint64_t random = weir_random_u64(SEED, 50, draw++);
            struct cuts cuts = { 1 + random % 5000, 1 + (random >> 16) % 5000,
                                 1 + (random >> 32) % 20000 };
            size_t out_len;
            enum weir_inflate_coding coding = f == 0 ? WEIR_INFLATE_GZIP : WEIR_INFLATE_DEFLATE;
            assert_int_equal(decode(&out_len, coding, in, &cuts), 0);
            assert_int_equal(out_len, len);
            assert_memory_equal(got, plain, len);
            assert_in_range(decoder.arena_used, 32768 + 4096, 44 * 1024);
        }
    }
}

static void test_members(void **state)
{
    (void)state;
    make_plain(400, 1);
    size_t bytes = 0;
    /* The same text thrice, an empty member between: `plain` is what should come out. */
    for (unsigned i = 0; i < 3; i++) {
        bytes += pack(packed + bytes, 130, BITS_GZIP, 6);
        bytes += pack(packed + bytes, 0, BITS_GZIP, 6);
    }
    memcpy(plain + 130, plain, 130);
    memcpy(plain + 260, plain, 130);
    check(WEIR_INFLATE_GZIP, bytes, 390, 0);
    /* A member that is cut off, and bytes that are none. */
    for (size_t i = 1; i < 20; i += 3) {
        size_t more = pack(packed + bytes, 0, BITS_GZIP, 6);
        assert_int_equal(more, 20);
        check(WEIR_INFLATE_GZIP, bytes + i, 390, WEIR_E_ENCODING);
    }
    static const uint8_t bad[] = { 0, ' ', '\n', 0x1e, 0x20, 'x', 0xff };
    for (unsigned i = 0; i < sizeof bad; i++) {
        packed[bytes] = bad[i];
        check(WEIR_INFLATE_GZIP, bytes + 1, 390, WEIR_E_ENCODING);
        packed[bytes] = 0x1f;
        packed[bytes + 1] = bad[i];
        check(WEIR_INFLATE_GZIP, bytes + 2, 390, WEIR_E_ENCODING);
    }
}

static void test_trailing_deflate(void **state)
{
    (void)state;
    static const int bits[] = { BITS_ZLIB, BITS_RAW };
    for (unsigned f = 0; f < 2; f++) {
        make_plain(100, f);
        size_t bytes = pack(packed, 100, bits[f], 6);
        packed[bytes] = 0;
        check(WEIR_INFLATE_DEFLATE, bytes + 1, 100, WEIR_E_ENCODING);
        pack(packed + bytes, 100, bits[f], 6);
        check(WEIR_INFLATE_DEFLATE, bytes + 2, 100, WEIR_E_ENCODING);
    }
}

/* Cut off anywhere: an error, but for nothing at all. What came before is a prefix of the text. */
static void test_truncated(void **state)
{
    (void)state;
    static const int bits[] = { BITS_GZIP, BITS_ZLIB, BITS_RAW };
    for (unsigned f = 0; f < 3; f++) {
        enum weir_inflate_coding coding = f == 0 ? WEIR_INFLATE_GZIP : WEIR_INFLATE_DEFLATE;
        make_plain(600, f);
        size_t bytes = pack(packed, 600, bits[f], 6), out_len;
        for (size_t len = 0; len < bytes; len++) {
            int rc = decode(&out_len, coding, (struct weir_slice){ packed, len }, &whole);
            assert_int_equal(rc, len == 0 ? 0 : WEIR_E_ENCODING);
            assert_true(out_len <= 600);
            assert_memory_equal(got, plain, out_len);
        }
    }
}

/* Every bit of it flipped: gzip and zlib find out, unless it is a field that says nothing. */
static void test_damaged(void **state)
{
    (void)state;
    static const int bits[] = { BITS_GZIP, BITS_ZLIB };
    for (unsigned f = 0; f < 2; f++) {
        enum weir_inflate_coding coding = f == 0 ? WEIR_INFLATE_GZIP : WEIR_INFLATE_DEFLATE;
        make_plain(300, f);
        size_t bytes = pack(packed, 300, bits[f], 6), out_len;
        for (size_t bit = 0; bit < bytes * 8; bit++) {
            packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int rc = decode(&out_len, coding, (struct weir_slice){ packed, bytes }, &whole);
            packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            /* Time, level and system of gzip say nothing, nor does bit 0 of the flags. */
            bool is_hint = f == 0 && ((bit >= 32 && bit < 80) || bit == 24);
            /* The last bits before the checksum may be padding. */
            bool may_pad = bit / 8 == bytes - (f == 0 ? 9 : 5);
            if (is_hint || (may_pad && rc == 0))
                assert_int_equal(rc, 0);
            else if (rc != WEIR_E_ENCODING)
                fail_msg("form %u, bit %zu: %d", f, bit, rc);
        }
        /* CRC and length of gzip, Adler-32 of zlib: the output is right, and still refused. */
        packed[bytes - 1] ^= 1;
        check(coding, bytes, 300, WEIR_E_ENCODING);
        packed[bytes - 1] ^= 1;
        packed[bytes - (f == 0 ? 8 : 4)] ^= 1;
        check(coding, bytes, 300, WEIR_E_ENCODING);
    }
}

static void test_not_coded(void **state)
{
    (void)state;
    static const char *const texts[] = { "{\"a\": 1}",   "<html>", "\x1f",    "\x1f\x8b",
                                         "\x1f\x8b\x07", "\x78",   "\xff\xff" };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        memcpy(packed, texts[i], strlen(texts[i]));
        check(WEIR_INFLATE_GZIP, strlen(texts[i]), 0, WEIR_E_ENCODING);
    }
    size_t out_len;
    for (unsigned i = 0; i < 1u << 16; i++) {
        uint8_t text[2] = { (uint8_t)i, (uint8_t)(i >> 8) };
        int rc = decode(&out_len, WEIR_INFLATE_DEFLATE, (struct weir_slice){ text, 2 }, &whole);
        /* Whole bodies of two bytes: raw, fixed codes, last block, end; the rest is padding. */
        bool is_empty_block = text[0] == 3 && (text[1] & 3) == 0;
        assert_int_equal(rc, is_empty_block ? 0 : WEIR_E_ENCODING);
        assert_true(out_len <= 1);
    }
    /* A zlib stream that asks for a dictionary. */
    static const uint8_t dictionary[] = { 0x78, 0x20, 1, 2, 3, 4, 3, 0, 0, 0, 0, 1 };
    assert_true(is_zlib_header((const uint8_t[]){ 0x78, 0xbb }));
    memcpy(packed, dictionary, sizeof dictionary);
    packed[1] = 0xbb;
    check(WEIR_INFLATE_DEFLATE, sizeof dictionary, 0, WEIR_E_ENCODING);
}

/* One decoder after another body, whatever became of that. */
static void test_reuse(void **state)
{
    (void)state;
    make_plain(50000, 9);
    size_t bytes = pack(packed, 50000, BITS_GZIP, 6);
    for (size_t stop = 0; stop <= bytes; stop += bytes / 13) {
        for (unsigned twice = 0; twice < 2; twice++) {
            size_t len = twice ? bytes : stop, out_len = 0;
            assert_int_equal(weir_inflate_begin(&decoder, WEIR_INFLATE_GZIP, &ample), 0);
            assert_int_equal(feed((struct weir_slice){ packed, len }, &out_len, 1000), 0);
            if (twice) {
                assert_int_equal(weir_inflate_finish(&decoder), 0);
                assert_int_equal(out_len, 50000);
                assert_memory_equal(got, plain, 50000);
            }
        }
    }
}

/* ---- Limits -------------------------------------------------------------------------------------
 */

/* Exactly so many bytes are good; one more is not, however small the pieces. */
static void test_bytes_max(void **state)
{
    (void)state;
    static const size_t capacities[] = { 1, 100, 4096 };
    make_plain(1000, 3);
    size_t bytes = pack(packed, 1000, BITS_GZIP, 6);
    for (uint64_t max = 0; max <= 1002; max++) {
        for (unsigned c = 0; c < 3; c++) {
            struct weir_inflate_limits limits = { .bytes_max = max };
            assert_int_equal(weir_inflate_begin(&decoder, WEIR_INFLATE_GZIP, &limits), 0);
            size_t out_len = 0;
            int rc = feed((struct weir_slice){ packed, bytes }, &out_len, capacities[c]);
            assert_int_equal(rc, max < 1000 ? WEIR_E_LIMIT : 0);
            assert_int_equal(weir_inflate_finish(&decoder), rc);
            assert_int_equal(out_len, max < 1000 ? max : 1000);
            assert_memory_equal(got, plain, out_len);
        }
    }
    /* Nothing is allowed, and nothing comes. */
    bytes = pack(packed, 0, BITS_GZIP, 6);
    struct weir_inflate_limits none = { 0 };
    assert_int_equal(weir_inflate_begin(&decoder, WEIR_INFLATE_GZIP, &none), 0);
    size_t out_len = 0;
    assert_int_equal(feed((struct weir_slice){ packed, bytes }, &out_len, 10), 0);
    assert_int_equal(weir_inflate_finish(&decoder), 0);
}

/* `bytes` times zero as gzip, into `packed`: about a thousandth of them. */
static size_t pack_zeros(uint64_t bytes)
{
    static uint8_t zeros[65536];
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, BITS_GZIP, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = packed;
    z.avail_out = sizeof packed;
    while (bytes > 0) {
        z.next_in = zeros;
        z.avail_in = (uInt)weir_min_u64(bytes, sizeof zeros);
        bytes -= z.avail_in;
        assert_int_equal(deflate(&z, bytes == 0 ? Z_FINISH : Z_NO_FLUSH),
                         bytes == 0 ? Z_STREAM_END : Z_OK);
    }
    size_t len = z.total_out;
    assert_int_equal(deflateEnd(&z), Z_OK);
    return len;
}

/* What comes out of `packed` before the end or the limit, thrown away; nothing but zeros. */
static uint64_t drain(size_t len, const struct weir_inflate_limits *limits, size_t capacity,
                      int want)
{
    static uint8_t piece[65536];
    assert_true(capacity <= sizeof piece);
    assert_int_equal(weir_inflate_begin(&decoder, WEIR_INFLATE_GZIP, limits), 0);
    struct weir_slice in = { packed, len };
    uint64_t total = 0;
    int64_t n;
    while ((n = weir_inflate_next(&decoder, &in, piece, capacity)) > 0) {
        assert_int_equal(piece[0] | piece[n - 1], 0);
        total += (uint64_t)n;
        assert_true(total <= limits->bytes_max);
    }
    assert_int_equal(n, want);
    assert_int_equal(weir_inflate_finish(&decoder), want);
    return total;
}

static void test_bomb(void **state)
{
    (void)state;
    const size_t len = pack_zeros(100 * MIB);
    assert_in_range(len, 90000, 110000);
    struct weir_inflate_limits limits = { .bytes_max = 1000 * MIB,
                                          .bytes_free = WEIR_INFLATE_BYTES_FREE,
                                          .ratio_max = WEIR_INFLATE_RATIO_MAX };
    /* By its ratio: at first the head and the tables of the stream weigh something. */
    assert_true(drain(len, &limits, 16384, WEIR_E_LIMIT) < MIB);
    limits.bytes_free = 10 * MIB;
    uint64_t total = drain(len, &limits, 16384, WEIR_E_LIMIT);
    assert_true(total > 10 * MIB - 16384 && total <= 10 * MIB);
    /* Without a ratio, by the bytes, exactly. */
    limits.ratio_max = 0;
    limits.bytes_max = 10 * MIB + 1;
    assert_true(drain(len, &limits, 16384, WEIR_E_LIMIT) == 10 * MIB + 1);
    /* No stream can do better than 1032:1. */
    limits.bytes_max = 20 * MIB;
    limits.ratio_max = 1033;
    limits.bytes_free = 0;
    assert_true(drain(len, &limits, 65536, WEIR_E_LIMIT) == 20 * MIB);
}

/* Bombs of many small members: each byte of output is counted, whichever member it is of. */
static void test_bomb_of_members(void **state)
{
    (void)state;
    const size_t one = pack_zeros(20000);
    size_t len = one;
    while (len + one < sizeof packed) {
        memcpy(packed + len, packed, one);
        len += one;
    }
    struct weir_inflate_limits limits = { .bytes_max = 5 * MIB };
    assert_true(drain(len, &limits, 16384, WEIR_E_LIMIT) == 5 * MIB);
    limits.ratio_max = 100;
    assert_true(drain(len, &limits, 16384, WEIR_E_LIMIT) < MIB);
}

/* Text is far from it, and so are short answers that say one thing. */
static void test_ratio_spares(void **state)
{
    (void)state;
    struct weir_inflate_limits limits = { .bytes_max = 1000 * MIB,
                                          .bytes_free = WEIR_INFLATE_BYTES_FREE,
                                          .ratio_max = WEIR_INFLATE_RATIO_MAX };
    for (uint64_t bytes = 1; bytes <= WEIR_INFLATE_BYTES_FREE; bytes += bytes / 3 + 1)
        assert_true(drain(pack_zeros(bytes), &limits, 16384, 0) == bytes);
    make_plain(500000, 4);
    size_t len = pack(packed, 500000, BITS_GZIP, 9), out_len = 0;
    assert_int_equal(weir_inflate_begin(&decoder, WEIR_INFLATE_GZIP, &limits), 0);
    assert_int_equal(feed((struct weir_slice){ packed, len }, &out_len, 16384), 0);
    assert_int_equal(out_len, 500000);
}

/* Noise, and streams with noise in them: some outcome, the same one however they are cut. */
static void test_noise(void **state)
{
    (void)state;
    printf("seed %u\n", SEED);
    static uint8_t first_got[OUT_BYTES];
    uint64_t draw = 0;
    for (unsigned run = 0; run < 3000; run++) {
        uint64_t random = weir_random_u64(SEED, 60, draw++);
        static const int bits[] = { BITS_GZIP, BITS_ZLIB, BITS_RAW };
        enum weir_inflate_coding coding =
            random % 3 == 0 ? WEIR_INFLATE_GZIP : WEIR_INFLATE_DEFLATE;
        make_plain(2000, run);
        size_t len = pack(packed, 200 + (random >> 8) % 1800, bits[random % 3], 6);
        for (unsigned n = 1 + (random >> 4) % 4; n > 0; n--) {
            uint64_t noise = weir_random_u64(SEED, 60, draw++);
            packed[noise % len] = (uint8_t)(noise >> 32);
        }
        size_t first_len, out_len;
        const struct weir_slice in = { packed, len };
        int first = decode(&first_len, coding, in, &whole);
        assert_true(first == 0 || first == WEIR_E_ENCODING);
        memcpy(first_got, got, first_len);
        struct cuts cuts = { 1 + (random >> 16) % 50, 1 + (random >> 24) % 50,
                             1 + (random >> 32) % 3000 };
        assert_int_equal(decode(&out_len, coding, in, &cuts), first);
        assert_int_equal(out_len, first_len);
        assert_memory_equal(got, first_got, out_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coding),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_trailing_deflate),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_not_coded),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_bytes_max),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_bomb_of_members),
        cmocka_unit_test(test_ratio_spares),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
