/* SPDX-License-Identifier: MIT */
/* Bodies: one row per rule of the chunked coding, limits, and every way to cut the input. */
#include "unit/proto/codec/parse_rig.h"

struct row {
    const char *text;
    size_t text_len;
    enum weir_http1_error code; /* NONE: the body ends */
    size_t at;                  /* the wrong byte, or the first byte behind the body */
    const char *payload;
};

#define GOOD(text_, payload_)                                                                      \
    {                                                                                              \
        .text = (text_), .text_len = sizeof(text_) - 1, .at = sizeof(text_) - 1,                   \
        .payload = (payload_)                                                                      \
    }

/* `before` is what is fine, `after` begins with the wrong byte. */
#define REFUSE(code_, before, after, payload_)                                                     \
    {                                                                                              \
        .text = before after, .text_len = sizeof(before after) - 1, .code = WEIR_HTTP1_E_##code_,  \
        .at = sizeof(before) - 1, .payload = (payload_)                                            \
    }

static const struct row rows[] = {
    GOOD("0\r\n\r\n", ""),
    GOOD("3\r\nabc\r\n0\r\n\r\n", "abc"),
    GOOD("3\r\nabc\r\n002\r\nde\r\n000\r\n\r\n", "abcde"),
    GOOD("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
    GOOD("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
    GOOD("0000000000000003\r\nabc\r\n0\r\n\r\n", "abc"),
    /* Extensions are read past; blanks may stand around ';' and '='. */
    GOOD("3;a\r\nabc\r\n0\r\n\r\n", "abc"),
    GOOD("3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n", "abc"),
    GOOD("3 ; a = b\t;\tc = \"d\" ;e\r\nabc\r\n0\r\n\r\n", "abc"),
    GOOD("3;a=\"\\\"; \\\\\"\r\nabc\r\n0\r\n\r\n", "abc"),
    GOOD("3;a=\"\x80;= \t\"\r\nabc\r\n0\r\n\r\n", "abc"),
    GOOD("3;a ;b\r\nabc\r\n0\r\n\r\n", "abc"),
    /* Trailers are checked and dropped. */
    GOOD("0\r\nA: b\r\n\r\n", ""),
    GOOD("3\r\nabc\r\n0\r\nA: b\r\nC:\r\nContent-Length: 9\r\n\r\n", "abc"),
    /* The size. */
    REFUSE(CHUNK_SIZE, "", "\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "0", "x3\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "", "+3\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "", "-3\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "1", "_0\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "", " 3\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "", ";a\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "", "g\r\n", ""),
    REFUSE(CHUNK_SIZE, "3", "\0\r\n", ""),
    REFUSE(CHUNK_SIZE, "", "\xb3\r\n", ""),
    REFUSE(CHUNK_SIZE, "3 ", "\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "3\t", "\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "3 ", "3\r\nabc", ""),
    REFUSE(CHUNK_SIZE, "800000000000000", "0\r\n", ""),
    REFUSE(CHUNK_SIZE, "fffffffffffffff", "f\r\n", ""),
    REFUSE(CHUNK_SIZE, "0000000000000000", "3\r\n", ""),
    REFUSE(CHUNK_SIZE, "3\r\nabc\r\n", "\r\n", "abc"),
    /* Line ends. */
    REFUSE(BARE_LF, "3", "\nabc\r\n", ""),
    REFUSE(BARE_LF, "", "\n", ""),
    REFUSE(BARE_LF, "3;a", "\nabc\r\n", ""),
    REFUSE(BARE_LF, "3;a=\"", "\n\"\r\nabc\r\n", ""),
    REFUSE(BARE_CR, "3\r", "abc\r\n", ""),
    REFUSE(BARE_CR, "3\r", "\r\nabc\r\n", ""),
    REFUSE(BARE_CR, "3;a\r", "b\r\nabc\r\n", ""),
    REFUSE(BARE_LF, "3\r\nabc\r\n0", "\n\n", "abc"),
    REFUSE(BARE_LF, "0\r\n", "\n", ""),
    REFUSE(BARE_CR, "0\r\n\r", "x", ""),
    REFUSE(BARE_LF, "0\r\nA: b", "\n\r\n", ""),
    REFUSE(BARE_LF, "0\r\nA", "\n: b", ""),
    REFUSE(BARE_CR, "0\r\nA: b\r", "c", ""),
    /* The end of a chunk. */
    REFUSE(CHUNK_END, "3\r\nabc", "d\r\n", "abc"),
    REFUSE(CHUNK_END, "3\r\nabc", "XX0\r\n\r\n", "abc"),
    REFUSE(CHUNK_END, "3\r\nabc", "\n0\r\n\r\n", "abc"),
    REFUSE(CHUNK_END, "3\r\nabc\r", "0\r\n\r\n", "abc"),
    REFUSE(CHUNK_END, "3\r\nabc\r", "\r\n0\r\n\r\n", "abc"),
    /* Extensions. */
    REFUSE(CHUNK_EXT, "3;", "\r\nabc", ""),
    REFUSE(CHUNK_EXT, "3;", ";a\r\nabc", ""),
    REFUSE(CHUNK_EXT, "3;", "=a\r\nabc", ""),
    REFUSE(CHUNK_EXT, "3;a=", "\r\nabc", ""),
    REFUSE(CHUNK_EXT, "3;a=b", "=c\r\nabc", ""),
    REFUSE(CHUNK_EXT, "3;a ", "b\r\n", ""),
    REFUSE(CHUNK_EXT, "3;a=\"b\"", "c\r\n", ""),
    REFUSE(CHUNK_EXT, "3;a=\"b", "\r\n", ""),
    REFUSE(CHUNK_EXT, "3;a=\"b\\", "\r\n", ""),
    REFUSE(CHUNK_EXT, "3;a=\"", "\0\"\r\n", ""),
    REFUSE(CHUNK_EXT, "3;a", "\0\r\n", ""),
    REFUSE(CHUNK_EXT, "3;a ", "\r\n", ""),
    REFUSE(CHUNK_EXT, "3;a=b\t", "\r\n", ""),
    REFUSE(CHUNK_EXT, "3;", "(\r\n", ""),
    /* Trailers. */
    REFUSE(TRAILER, "0\r\n", " A: b\r\n", ""),
    REFUSE(TRAILER, "0\r\nA: b\r\n", " c\r\n", ""),
    REFUSE(TRAILER, "0\r\n", ": b\r\n", ""),
    REFUSE(TRAILER, "0\r\nA", " : b\r\n", ""),
    REFUSE(TRAILER, "0\r\nA", "\r\n\r\n", ""),
    REFUSE(TRAILER, "0\r\nA: ", "\0\r\n", ""),
    REFUSE(TRAILER, "0\r\nA: b", "\x7f\r\n", ""),
    REFUSE(TRAILER, "0\r\nGET", " / HTTP/1.1\r\n", ""),
};

static void expect_row(const struct row *row)
{
    static struct rig_body_outcome got;
    const struct rig_body_input input = {
        .bytes = { (const uint8_t *)row->text, row->text_len },
        .framing = WEIR_HTTP1_BODY_CHUNKED,
    };
    rig_body_run(&got, &input);
    enum weir_parse want = row->code == WEIR_HTTP1_E_NONE ? WEIR_PARSE_DONE : WEIR_PARSE_ERROR;
    if (got.result == want && got.code == row->code && got.at == row->at &&
        got.payload_bytes == strlen(row->payload) &&
        memcmp(got.payload, row->payload, got.payload_bytes) == 0)
        return;
    rig_print("row", input.bytes);
    fail_msg("result %d, %s at %zu, %zu bytes of payload", (int)got.result,
             weir_http1_strerror(got.code), got.at, got.payload_bytes);
}

static void test_chunked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_row(&rows[i]);
}

/* No prefix of a body is a body: truncation is always visible as MORE. */
static void test_truncated(void **state)
{
    static struct rig_body_outcome got;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t len = 0; len < rows[i].at; len++) {
            const struct rig_body_input input = {
                .bytes = { (const uint8_t *)rows[i].text, len },
                .framing = WEIR_HTTP1_BODY_CHUNKED,
            };
            rig_body_pieces(&got, &input, len, len);
            assert_int_equal(got.result, WEIR_PARSE_MORE);
        }
    }
}

static void test_next_message_is_left(void **state)
{
    static struct rig_body_outcome got;
    (void)state;
    struct rig_body_input input = {
        .bytes = WEIR_TEXT("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n"),
        .framing = WEIR_HTTP1_BODY_CHUNKED,
    };
    rig_body_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_DONE);
    assert_int_equal(got.at, 11);
    input.bytes = WEIR_TEXT("abcdeGET");
    input.framing = WEIR_HTTP1_BODY_LENGTH;
    input.content_length = 5;
    rig_body_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_DONE);
    assert_int_equal(got.at, 5);
    assert_memory_equal(got.payload, "abcde", 5);
}

static enum weir_parse feed(struct weir_http1_body *body, struct weir_slice in, size_t *consumed,
                            struct weir_slice *out)
{
    struct weir_parse_err err;
    return weir_http1_body_feed(body, in, consumed, out, &err);
}

static void test_other_framings(void **state)
{
    struct weir_http1_body body;
    struct weir_slice out;
    size_t consumed;
    (void)state;
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_NONE, 7);
    assert_int_equal(feed(&body, WEIR_TEXT("abc"), &consumed, &out), WEIR_PARSE_DONE);
    assert_int_equal(consumed, 0);
    assert_int_equal(out.len, 0);

    weir_http1_body_init(&body, WEIR_HTTP1_BODY_LENGTH, 0);
    assert_int_equal(feed(&body, (struct weir_slice){ NULL, 0 }, &consumed, &out), WEIR_PARSE_DONE);

    weir_http1_body_init(&body, WEIR_HTTP1_BODY_LENGTH, INT64_MAX);
    assert_int_equal(feed(&body, WEIR_TEXT("abc"), &consumed, &out), WEIR_PARSE_MORE);
    assert_int_equal(consumed, 3);
    assert_int_equal(out.len, 3);
    assert_true(body.remaining == (uint64_t)INT64_MAX - 3);

    weir_http1_body_init(&body, WEIR_HTTP1_BODY_EOF, 0);
    assert_int_equal(feed(&body, (struct weir_slice){ NULL, 0 }, &consumed, &out), WEIR_PARSE_MORE);
    assert_int_equal(feed(&body, WEIR_TEXT("abc"), &consumed, &out), WEIR_PARSE_MORE);
    assert_int_equal(out.len, 3);
    assert_int_equal(body.decoded_bytes, 3);
}

/* One call hands out one slice and eats the framing behind it, so the end comes with the last
 * bytes. */
static void test_steps(void **state)
{
    struct weir_http1_body body;
    struct weir_slice out;
    struct weir_slice in = WEIR_TEXT("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    size_t consumed;
    (void)state;
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    assert_int_equal(feed(&body, in, &consumed, &out), WEIR_PARSE_MORE);
    assert_int_equal(consumed, 11);
    assert_ptr_equal(out.ptr, in.ptr + 3);
    assert_int_equal(out.len, 3);
    in.ptr += consumed, in.len -= consumed;
    assert_int_equal(feed(&body, in, &consumed, &out), WEIR_PARSE_DONE);
    assert_int_equal(consumed, in.len);
    assert_int_equal(out.len, 2);
    /* It stays over. */
    assert_int_equal(feed(&body, WEIR_TEXT("x"), &consumed, &out), WEIR_PARSE_DONE);
    assert_int_equal(consumed, 0);
}

/* A refused body stays refused, whatever is fed afterwards. */
static void test_error_is_final(void **state)
{
    struct weir_http1_body body;
    struct weir_parse_err err;
    struct weir_slice out;
    size_t consumed;
    (void)state;
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    assert_int_equal(weir_http1_body_feed(&body, WEIR_TEXT("3\n"), &consumed, &out, &err),
                     WEIR_PARSE_ERROR);
    assert_int_equal(err.offset, 1);
    assert_int_equal(weir_http1_body_feed(&body, WEIR_TEXT("\r\n"), &consumed, &out, &err),
                     WEIR_PARSE_ERROR);
    assert_int_equal(err.code, WEIR_HTTP1_E_BARE_LF);
    assert_int_equal(consumed, 0);
}

/* Feed `repeat` over and over after `before`; the error must come, at the byte that is too many. */
static void expect_limit(const char *before, const char *repeat, enum weir_http1_error code,
                         size_t at)
{
    static uint8_t text[81920];
    static struct rig_body_outcome got;
    size_t len = strlen(before);
    memcpy(text, before, len);
    while (len + strlen(repeat) <= sizeof text) {
        memcpy(text + len, repeat, strlen(repeat));
        len += strlen(repeat);
    }
    const struct rig_body_input input = {
        .bytes = { text, len },
        .framing = WEIR_HTTP1_BODY_CHUNKED,
    };
    static const size_t steps[] = { 81920, 1, 7, 4096 };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        rig_body_pieces(&got, &input, steps[i], steps[i]);
        assert_int_equal(got.result, WEIR_PARSE_ERROR);
        assert_int_equal(got.code, code);
        assert_int_equal(got.at, at);
    }
}

static void test_limits(void **state)
{
    (void)state;
    expect_limit("3;", "a", WEIR_HTTP1_E_CHUNK_EXT, 1 + WEIR_HTTP1_CHUNK_EXT_BYTES_MAX);
    expect_limit("3", " ", WEIR_HTTP1_E_CHUNK_EXT, 1 + WEIR_HTTP1_CHUNK_EXT_BYTES_MAX);
    /* The sum over all chunks counts: 2 of 8 bytes here. */
    expect_limit("", "1;a\r\nx\r\n", WEIR_HTTP1_E_CHUNK_EXT,
                 8 * (WEIR_HTTP1_CHUNK_EXT_BYTES_MAX / 2) + 1);
    expect_limit("0\r\n", "a", WEIR_HTTP1_E_TRAILER, 3 + WEIR_HTTP1_TRAILER_BYTES_MAX);
    expect_limit("0\r\na:", "b", WEIR_HTTP1_E_TRAILER, 3 + WEIR_HTTP1_TRAILER_BYTES_MAX);
    expect_limit("0\r\n", "a:\r\n", WEIR_HTTP1_E_TRAILER, 3 + WEIR_HTTP1_TRAILER_BYTES_MAX);
    expect_limit("0\r\n", "ab:\r\n", WEIR_HTTP1_E_TRAILER, 3 + WEIR_HTTP1_TRAILER_BYTES_MAX);
    expect_limit("0\r\n", "abc:\r\nd:\r\n", WEIR_HTTP1_E_TRAILER, 3 + WEIR_HTTP1_TRAILER_BYTES_MAX);
}

/* One-byte chunks cost their framing, not more: a million of them. */
static void test_many_chunks(void **state)
{
    static uint8_t text[60000];
    struct weir_http1_body body;
    struct weir_slice out;
    uint64_t slices = 0;
    (void)state;
    for (size_t i = 0; i < sizeof text; i += 6)
        memcpy(text + i, "1\r\nx\r\n", 6);
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    for (unsigned round = 0; round < 100; round++) {
        struct weir_slice in = { text, sizeof text };
        while (in.len != 0) {
            size_t consumed;
            assert_int_equal(feed(&body, in, &consumed, &out), WEIR_PARSE_MORE);
            slices += out.len;
            in.ptr += consumed;
            in.len -= consumed;
        }
    }
    assert_int_equal(slices, 1000000);
    assert_int_equal(body.decoded_bytes, 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunked),        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_steps),          cmocka_unit_test(test_next_message_is_left),
        cmocka_unit_test(test_other_framings), cmocka_unit_test(test_error_is_final),
        cmocka_unit_test(test_limits),         cmocka_unit_test(test_many_chunks),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
