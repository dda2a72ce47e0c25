/* SPDX-License-Identifier: MIT */
/* Bodies: one row per rule of the chunked coding, limits, and every way to cut the input. */
#include "unit/proto/codec/parse_rig.h"

struct row {
    uint32_t flags;
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

#define ALLOW(flags_, text_, payload_)                                                             \
    {                                                                                              \
        .flags = (flags_), .text = (text_), .text_len = sizeof(text_) - 1,                         \
        .at = sizeof(text_) - 1, .payload = (payload_)                                             \
    }

#define REFUSE_WITH(flags_, code_, before, after, payload_)                                        \
    {                                                                                              \
        .flags = (flags_), .text = before after, .text_len = sizeof(before after) - 1,             \
        .code = WEIR_HTTP1_E_##code_, .at = sizeof(before) - 1, .payload = (payload_)              \
    }

#define BLANKS  WEIR_HTTP1_LENIENT_CHUNK_BLANKS
#define BARE_LF WEIR_HTTP1_LENIENT_CHUNK_BARE_LF
#define STOP    WEIR_HTTP1_BODY_STOP_AT_TRAILERS
#define OTHERS  (WEIR_HTTP1_LENIENT_ALL & ~(BLANKS | BARE_LF))

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
    /* Plain chunks, which are taken whole, beside every way to be not quite one. */
    GOOD("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"),
    GOOD("01\r\na\r\n002\r\nbc\r\n0003\r\ndef\r\n00004\r\nghij\r\n0\r\n\r\n", "abcdefghij"),
    GOOD("000000000001\r\na\r\n0000000000001\r\nb\r\n0\r\n\r\n", "ab"),
    GOOD("1\r\na\r\n1;x\r\nb\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n", "abc"),
    REFUSE(CHUNK_SIZE, "1\r\na\r\n", "x\r\nb\r\n", "a"),
    REFUSE(CHUNK_SIZE, "1\r\na\r\n1", "x\r\nb\r\n", "a"),
    REFUSE(CHUNK_SIZE, "1\r\na\r\n", " 1\r\nb\r\n", "a"),
    REFUSE(CHUNK_END, "1\r\na\r\n1\r\nb", "c\r\n", "ab"),
    REFUSE(CHUNK_END, "1\r\na\r\n1\r\nb\r", "c\r\n", "ab"),
    REFUSE(CHUNK_END, "1\r\na\r\n1\r\nb", "\n1\r\nc\r\n", "ab"),
    REFUSE(BARE_LF, "1\r\na\r\n1", "\nbcd\r\n", "a"),
    REFUSE(BARE_CR, "1\r\na\r\n1\r", "bcd\r\n", "a"),
    REFUSE(CHUNK_SIZE, "1\r\na\r\n7fffffffffffffff", "0\r\n", "a"),
    /* What a flag allows, and what it does not; the flags for heads mean nothing here. */
    ALLOW(BLANKS, "3 \r\nabc\r\n0\t \r\n\r\n", "abc"),
    ALLOW(BLANKS, "3 ;a\r\nabc\r\n0\r\n\r\n", "abc"),
    REFUSE_WITH(BLANKS, CHUNK_SIZE, "", " 3\r\nabc", ""),
    REFUSE_WITH(BLANKS, CHUNK_SIZE, "3 ", "3\r\nabc", ""),
    REFUSE_WITH(BLANKS, CHUNK_EXT, "3;a ", "\r\nabc", ""),
    REFUSE_WITH(BLANKS, BARE_LF, "3 ", "\nabc", ""),
    ALLOW(BARE_LF, "3\nabc\n2\r\nde\n0\n\n", "abcde"),
    ALLOW(BARE_LF, "3;a=\"b\"\nabc\r\n0\nA: b\nC: d\r\n\n", "abc"),
    REFUSE_WITH(BARE_LF, BARE_LF, "", "\n3\r\nabc", ""),
    REFUSE_WITH(BARE_LF, BARE_LF, "3 ", "\nabc", ""),
    REFUSE_WITH(BARE_LF, BARE_LF, "3;", "\nabc", ""),
    REFUSE_WITH(BARE_LF, BARE_LF, "3;a=\"", "\n\"\nabc", ""),
    REFUSE_WITH(BARE_LF, BARE_LF, "0\nA", "\n\n", ""),
    REFUSE_WITH(BARE_LF, BARE_CR, "3\r", "abc\r\n", ""),
    REFUSE_WITH(BARE_LF, CHUNK_END, "3\nabc", "d\n", "abc"),
    ALLOW(BLANKS | BARE_LF, "3 \nabc\n0\n\n", "abc"),
    REFUSE_WITH(OTHERS, CHUNK_SIZE, "3 ", "\r\nabc", ""),
    REFUSE_WITH(OTHERS, BARE_LF, "3", "\nabc", ""),
    ALLOW(STOP, "3\r\nabc\r\n0\r\n", "abc"),
    ALLOW(STOP, "3\r\nabc\r\n00;a\r\n", "abc"),
    REFUSE_WITH(STOP, BARE_LF, "3\r\nabc\r\n0", "\n", "abc"),
};

static void expect_row(const struct row *row)
{
    static struct rig_body_outcome got;
    const struct rig_body_input input = {
        .bytes = { (const uint8_t *)row->text, row->text_len },
        .framing = WEIR_HTTP1_BODY_CHUNKED,
        .flags = row->flags,
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
                .flags = rows[i].flags,
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
    assert_int_equal(consumed, 8);
    assert_ptr_equal(out.ptr, in.ptr + 3);
    assert_int_equal(out.len, 3);
    in.ptr += consumed, in.len -= consumed;
    assert_int_equal(feed(&body, in, &consumed, &out), WEIR_PARSE_DONE);
    assert_int_equal(consumed, in.len);
    assert_int_equal(out.len, 2);
    /* Behind the last chunk of a padded size nothing is lost but that. */
    in = WEIR_TEXT("1\r\na\r\n00\r\n\r\n");
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    assert_int_equal(feed(&body, in, &consumed, &out), WEIR_PARSE_MORE);
    assert_int_equal(consumed, 6);
    in.ptr += consumed, in.len -= consumed;
    assert_int_equal(feed(&body, in, &consumed, &out), WEIR_PARSE_DONE);
    assert_int_equal(consumed, in.len);
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

/* Trailers are left alone, and nothing of them is consumed. */
static void test_stop_at_trailers(void **state)
{
    static struct rig_body_outcome got;
    (void)state;
    struct rig_body_input input = {
        .bytes = WEIR_TEXT("1\r\na\r\n0\r\nA: b\r\n\r\n"),
        .framing = WEIR_HTTP1_BODY_CHUNKED,
        .flags = STOP,
    };
    rig_body_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_DONE);
    assert_int_equal(got.at, 9);
    /* Other bodies have none to stop at. */
    input.bytes = WEIR_TEXT("abc");
    input.framing = WEIR_HTTP1_BODY_LENGTH;
    input.content_length = 3;
    rig_body_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_DONE);
    assert_int_equal(got.at, 3);
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
    expect_limit("0\r\n", "a:\r\n", WEIR_HTTP1_E_TRAILER, 3 + 4 * WEIR_HTTP1_TRAILERS_MAX);
    expect_limit("0\r\n", "ab:\r\n", WEIR_HTTP1_E_TRAILER, 3 + 5 * WEIR_HTTP1_TRAILERS_MAX);
    /* Lines of these lengths bring the limit to a name, a value, a CR and a LF. */
    static const size_t lengths[] = { 256, 200, 2731, 145 };
    static char line[2732];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(line, sizeof line, "a:%0*d\r\n", (int)lengths[i] - 4, 0);
        expect_limit("0\r\n", line, WEIR_HTTP1_E_TRAILER, 3 + WEIR_HTTP1_TRAILER_BYTES_MAX);
    }
}

/*
 * Framing against payload: 4 bytes of each of these chunks exceed what a byte of data allows, so
 * the limit is crossed in chunk 4097, at the end of its size line. Of 12 digits any number passes.
 */
static void test_framing_limit(void **state)
{
    static uint8_t text[131072];
    static struct rig_body_outcome got;
    (void)state;
    const char padded[] = "0000000000000001\r\nx\r\n", fewer[] = "000000000001\r\nx\r\n";
    const size_t chunk = sizeof padded - 1;
    size_t len = 0;
    for (; len + chunk <= sizeof text; len += chunk)
        memcpy(text + len, padded, chunk);
    const struct rig_body_input input = { .bytes = { text, len },
                                          .framing = WEIR_HTTP1_BODY_CHUNKED };
    static const size_t steps[] = { SIZE_MAX, 1, 7, 4096 };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        rig_body_pieces(&got, &input, steps[i], steps[i]);
        assert_int_equal(got.result, WEIR_PARSE_ERROR);
        assert_int_equal(got.code, WEIR_HTTP1_E_CHUNK_SIZE);
        assert_int_equal(got.at, chunk * (WEIR_HTTP1_CHUNK_FRAMING_BYTES_MAX / 4) + 17);
    }
    for (len = 0; len + sizeof fewer - 1 <= sizeof text; len += sizeof fewer - 1)
        memcpy(text + len, fewer, sizeof fewer - 1);
    const struct rig_body_input honest = { .bytes = { text, len },
                                           .framing = WEIR_HTTP1_BODY_CHUNKED };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        rig_body_pieces(&got, &honest, steps[i], steps[i]);
        assert_int_equal(got.result, WEIR_PARSE_MORE);
        assert_int_equal(got.at, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_next_message_is_left),
        cmocka_unit_test(test_other_framings),
        cmocka_unit_test(test_error_is_final),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_framing_limit),
        cmocka_unit_test(test_stop_at_trailers),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
