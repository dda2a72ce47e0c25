/* SPDX-License-Identifier: MIT */
/*
 * What bodies that were made to be slow cost: calls are counted, never time. A call takes each byte
 * at most once, so the work is linear when the calls are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <weir/http1.h>

#include <string.h>

struct cost {
    struct weir_http1_body body;
    enum weir_parse result;
    enum weir_http1_error code;
    uint64_t calls, pieces, consumed, payload;
};

static void cost_begin(struct cost *c)
{
    *c = (struct cost){ .result = WEIR_PARSE_MORE };
    weir_http1_body_init(&c->body, WEIR_HTTP1_BODY_CHUNKED, 0);
}

/* One piece, as it would come from a socket. */
static void cost_feed(struct cost *c, struct weir_slice in)
{
    c->pieces++;
    while (in.len != 0 && c->result == WEIR_PARSE_MORE) {
        struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
        struct weir_slice out;
        size_t consumed;
        c->result = weir_http1_body_feed(&c->body, in, &consumed, &out, &err);
        assert_true(consumed != 0 || c->result != WEIR_PARSE_MORE);
        c->code = err.code;
        c->calls++;
        c->consumed += consumed;
        c->payload += out.len;
        in.ptr += consumed;
        in.len -= consumed;
    }
}

/* `text` over and over, `times` times, in pieces of `piece` bytes. */
static void cost_repeat(struct cost *c, const char *text, uint64_t times, size_t piece)
{
    static uint8_t buf[65536];
    const size_t len = strlen(text);
    uint64_t left = times * len;
    size_t phase = 0;
    assert_in_range(piece, 1, sizeof buf);
    while (left != 0 && c->result == WEIR_PARSE_MORE) {
        const size_t n = left < piece ? (size_t)left : piece;
        for (size_t i = 0; i < n; i++) {
            buf[i] = (uint8_t)text[phase];
            phase = phase + 1 == len ? 0 : phase + 1;
        }
        cost_feed(c, (struct weir_slice){ .ptr = buf, .len = n });
        left -= n;
    }
}

static const size_t pieces[] = { 1, 7, 1000, 65536 };

#define PIECES_COUNT (sizeof pieces / sizeof *pieces)

/* A call for each chunk, and one more at each end of a piece. */
static void test_chunks_of_one_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < PIECES_COUNT; i++) {
        struct cost c;
        cost_begin(&c);
        cost_repeat(&c, "1\r\nx\r\n", 1000000, pieces[i]);
        assert_int_equal(c.result, WEIR_PARSE_MORE);
        assert_int_equal(c.payload, 1000000);
        assert_int_equal(c.consumed, 6000000);
        assert_true(c.calls <= 1000000 + c.pieces);
        cost_repeat(&c, "0\r\n\r\n", 1, 5);
        assert_int_equal(c.result, WEIR_PARSE_DONE);
    }
}

/* The whole of a chunk that is longer than its pieces is one call for each of them. */
static void test_large_chunk(void **state)
{
    struct cost c;
    (void)state;
    cost_begin(&c);
    cost_repeat(&c, "1000000\r\n", 1, 9);
    cost_repeat(&c, "x", 0x1000000, 65536);
    cost_repeat(&c, "\r\n0\r\n\r\n", 1, 7);
    assert_int_equal(c.result, WEIR_PARSE_DONE);
    assert_int_equal(c.payload, 0x1000000);
    assert_true(c.calls <= c.pieces);
}

static void expect_refused(const char *before, const char *text, uint64_t times,
                           const struct cost *want)
{
    for (size_t i = 0; i < PIECES_COUNT; i++) {
        struct cost c;
        cost_begin(&c);
        cost_repeat(&c, before, 1, strlen(before));
        cost_repeat(&c, text, times, pieces[i]);
        assert_int_equal(c.result, WEIR_PARSE_ERROR);
        assert_int_equal(c.code, want->code);
        assert_in_range(c.consumed, 1, want->consumed);
        assert_true(c.calls <= c.pieces + want->payload);
        assert_int_equal(c.payload, want->payload);
    }
}

static void test_extensions(void **state)
{
    struct cost want = { .code = WEIR_HTTP1_E_CHUNK_EXT,
                         .consumed = 1 + WEIR_HTTP1_CHUNK_EXT_BYTES_MAX };
    (void)state;
    expect_refused("1", ";aaaaaaa", 65536 / 8, &want);
    expect_refused("1;a=\"", "\\\"", 65536 / 2, &want);
    expect_refused("1;a=", " ", 65536, &want);
    /* Three bytes of each chunk are extension. */
    want.payload = WEIR_HTTP1_CHUNK_EXT_BYTES_MAX / 3;
    want.consumed = (want.payload + 1) * 9;
    expect_refused("1;ab\r\nx\r\n", "1;ab\r\nx\r\n", 65536, &want);
}

static void test_trailers(void **state)
{
    const struct cost bytes = { .code = WEIR_HTTP1_E_TRAILER,
                                .consumed = 3 + WEIR_HTTP1_TRAILER_BYTES_MAX };
    const struct cost count = { .code = WEIR_HTTP1_E_TRAILER,
                                .consumed = 3 + 6 * WEIR_HTTP1_TRAILERS_MAX };
    (void)state;
    expect_refused("0\r\n", "a: b\r\n", 100000, &count);
    expect_refused("0\r\na:", "b", 100000, &bytes);
    expect_refused("0\r\n", "a", 100000, &bytes);
}

/* Padded sizes are refused while they are still cheap: 21 bytes for each byte of payload. */
static void test_padding(void **state)
{
    const struct cost want = {
        .code = WEIR_HTTP1_E_CHUNK_SIZE,
        .payload = WEIR_HTTP1_CHUNK_FRAMING_BYTES_MAX / 4,
        .consumed = 21 * (WEIR_HTTP1_CHUNK_FRAMING_BYTES_MAX / 4 + 1),
    };
    (void)state;
    expect_refused("0000000000000001\r\nx\r\n", "0000000000000001\r\nx\r\n", 65536, &want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_of_one_byte),
        cmocka_unit_test(test_large_chunk),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_padding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
