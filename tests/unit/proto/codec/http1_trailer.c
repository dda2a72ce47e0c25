/* SPDX-License-Identifier: MIT */
/* Trailers: one row per rule, limits, and every way to cut the input. */
#include "unit/proto/codec/parse_rig.h"

#define FIELDS_MAX 4

struct row {
    const char *text;
    size_t text_len;
    uint32_t lenient;
    enum weir_http1_error code; /* NONE: they end, with `fields` */
    size_t at;                  /* the wrong byte, or the first byte behind them */
    const char *fields;         /* "name=value|" of each */
};

#define GOOD(text_, fields_)                                                                       \
    {                                                                                              \
        .text = (text_), .text_len = sizeof(text_) - 1, .at = sizeof(text_) - 1,                   \
        .fields = (fields_)                                                                        \
    }

#define ALLOW(lenient_, text_, fields_)                                                            \
    {                                                                                              \
        .text = (text_), .text_len = sizeof(text_) - 1, .lenient = (lenient_),                     \
        .at = sizeof(text_) - 1, .fields = (fields_)                                               \
    }

/* `before` is what is fine, `after` begins with the wrong byte. */
#define REFUSE_WITH(lenient_, code_, before, after)                                                \
    {                                                                                              \
        .text = before after, .text_len = sizeof(before after) - 1, .lenient = (lenient_),         \
        .code = WEIR_HTTP1_E_##code_, .at = sizeof(before) - 1                                     \
    }
#define REFUSE(code_, before, after) REFUSE_WITH(0, code_, before, after)

#define LF_ALONE WEIR_HTTP1_LENIENT_CHUNK_BARE_LF
#define OTHERS   (WEIR_HTTP1_LENIENT_ALL & ~LF_ALONE)

static const struct row rows[] = {
    GOOD("\r\n", ""),
    GOOD("A: b\r\n\r\n", "A=b|"),
    GOOD("Server-Timing: db;dur=53\r\nETag:\"x\"\r\n\r\n", "Server-Timing=db;dur=53|ETag=\"x\"|"),
    GOOD("A:\r\nB: \t \r\nC:\t c d \t\r\n\r\n", "A=|B=|C=c d|"),
    GOOD("A: a\r\nA: b\r\n\r\n", "A=a|A=b|"),
    GOOD("A: \x80\xff\r\n\r\n", "A=\x80\xff|"),
    /* Near misses of the refused names, and names that only their reader must not act on. */
    GOOD("Content-Lengt: 1\r\nContent-Lengths: 2\r\nHosts: 3\r\nTrailers: 4\r\n\r\n",
         "Content-Lengt=1|Content-Lengths=2|Hosts=3|Trailers=4|"),
    GOOD("Connection: close\r\nAuthorization: x\r\nExpect: y\r\n\r\n",
         "Connection=close|Authorization=x|Expect=y|"),
    REFUSE(TRAILER, "", "Content-Length: 5\r\n\r\n"),
    REFUSE(TRAILER, "A: b\r\n", "content-LENGTH: 5\r\n\r\n"),
    REFUSE(TRAILER, "A: b\r\n", "Transfer-Encoding: chunked\r\n\r\n"),
    REFUSE(TRAILER, "", "hOST: x\r\n\r\n"),
    REFUSE(TRAILER, "", "Trailer: A\r\n\r\n"),
    /* Syntax is that of heads, and comes before meaning. */
    REFUSE(FIELD_NAME, "", ": b\r\n\r\n"),
    REFUSE(FIELD_NAME, "A", "\r\n\r\n"),
    REFUSE(FIELD_NAME, "GE", "(T: b\r\n\r\n"),
    REFUSE(FIELD_SPACE, "", " A: b\r\n\r\n"),
    REFUSE(FIELD_SPACE, "A", " : b\r\n\r\n"),
    REFUSE(OBS_FOLD, "A: b\r\n", " c\r\n\r\n"),
    REFUSE(FIELD_VALUE, "A: ", "\x01\r\n\r\n"),
    REFUSE(FIELD_VALUE, "A: b", "\x7f\r\n\r\n"),
    REFUSE(BARE_LF, "A: b", "\n\r\n"),
    REFUSE(BARE_LF, "A: b\r\n", "\n"),
    REFUSE(BARE_LF, "", "\n"),
    REFUSE(BARE_CR, "A: b", "\rc\r\n\r\n"),
    REFUSE(BARE_CR, "", "\rA: b\r\n\r\n"),
    REFUSE(OBS_FOLD, "Host: x\r\n", " y\r\n\r\n"),
    REFUSE(FIELDS_TOO_MANY, "A:\r\nB:\r\nC:\r\nD:\r\n", "E:\r\n\r\n"),
    REFUSE(FIELDS_TOO_MANY, "A:\r\nB:\r\nC:\r\nD:\r\n", "Host:\r\n\r\n"),
    /* Of the leniencies one counts. */
    ALLOW(LF_ALONE, "\n", ""),
    ALLOW(LF_ALONE, "A: b \nB: c\r\n\n", "A=b|B=c|"),
    REFUSE_WITH(LF_ALONE, BARE_CR, "A: b", "\rc\n\n"),
    REFUSE_WITH(OTHERS, BARE_LF, "A: b", "\n\r\n"),
    REFUSE_WITH(OTHERS, OBS_FOLD, "A: b\r\n", " c\r\n\r\n"),
    REFUSE_WITH(OTHERS, FIELD_SPACE, "A", " : b\r\n\r\n"),
};

struct outcome {
    enum weir_parse result;
    struct weir_parse_err err;
    uint32_t bytes;
    char fields[512];
};

static void print_fields(struct outcome *out, const struct weir_http1_head *head)
{
    size_t len = 0;
    out->fields[0] = '\0';
    for (unsigned i = 0; i < head->fields_count; i++) {
        const struct weir_slice name = weir_http1_name(head, i), value = weir_http1_value(head, i);
        len += (size_t)snprintf(out->fields + len, sizeof out->fields - len, "%.*s=%.*s|",
                                (int)name.len, (const char *)name.ptr, (int)value.len,
                                (const char *)value.ptr);
        assert_true(len < sizeof out->fields);
    }
}

/* Parse the first `len` bytes; nothing of one call may be needed by the next but *resume. */
static void step(struct outcome *out, const struct row *row, size_t len, uint32_t *resume)
{
    const struct weir_http1_limits limits = { .head_bytes_max = 1024,
                                              .fields_max = FIELDS_MAX,
                                              .lenient = row->lenient };
    struct weir_http1_field fields[FIELDS_MAX];
    struct weir_http1_head head;
    const struct weir_slice text = { (const uint8_t *)row->text, row->text_len };
    const struct weir_slice bytes = rig_place(rig_prefix(text, len));
    memset(&head, 0xa5, sizeof head);
    memset(out, 0, sizeof *out);
    head.fields = fields;
    out->result = weir_http1_parse_trailers(&head, &limits, bytes, resume, &out->err);
    if (out->result != WEIR_PARSE_DONE)
        return;
    assert_int_equal(*resume, 0);
    assert_ptr_equal(head.base, bytes.ptr);
    assert_null(head.method.ptr);
    assert_int_equal(head.framing, WEIR_HTTP1_BODY_NONE);
    out->bytes = head.bytes;
    print_fields(out, &head);
}

static void demand(const struct outcome *got, const struct row *row, size_t cut)
{
    const bool done = row->code == WEIR_HTTP1_E_NONE;
    if (done ? got->result == WEIR_PARSE_DONE && got->bytes == row->at &&
                   strcmp(got->fields, row->fields) == 0
             : got->result == WEIR_PARSE_ERROR && got->err.code == row->code &&
                   got->err.offset == row->at)
        return;
    rig_print("row", (struct weir_slice){ (const uint8_t *)row->text, row->text_len });
    fail_msg("cut at %zu: result %d, %s at %u, %u bytes, %s", cut, (int)got->result,
             weir_http1_strerror(got->err.code), got->err.offset, got->bytes, got->fields);
}

static void expect_row(const struct row *row)
{
    struct outcome got;
    for (size_t cut = 0; cut <= row->text_len; cut++) {
        uint32_t resume = 0;
        step(&got, row, cut, &resume);
        if (got.result == WEIR_PARSE_MORE)
            step(&got, row, row->text_len, &resume);
        demand(&got, row, cut);
    }
    uint32_t resume = 0;
    for (size_t len = 0; len <= row->text_len; len++) {
        step(&got, row, len, &resume);
        if (got.result != WEIR_PARSE_MORE)
            break;
    }
    demand(&got, row, 1);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_row(&rows[i]);
}

/* From the body to its trailers to the next message, and both ways to read them agree. */
static void test_behind_a_body(void **state)
{
    static const char text[] = "1\r\na\r\n0\r\nETag: x\r\nA:b\r\n\r\nGET / HTTP/1.1\r\n";
    const struct weir_http1_limits limits = { .head_bytes_max = 1024, .fields_max = FIELDS_MAX };
    struct weir_http1_field fields[FIELDS_MAX];
    struct weir_http1_head head = { .fields = fields };
    struct weir_slice in = { (const uint8_t *)text, sizeof text - 1 }, out;
    struct weir_http1_body body;
    struct weir_parse_err err;
    size_t consumed;
    uint32_t resume = 0;
    (void)state;
    weir_http1_body_init_with(&body, WEIR_HTTP1_BODY_CHUNKED, 0, WEIR_HTTP1_BODY_STOP_AT_TRAILERS);
    assert_int_equal(weir_http1_body_feed(&body, in, &consumed, &out, &err), WEIR_PARSE_DONE);
    assert_int_equal(out.len, 1);
    in.ptr += consumed;
    in.len -= consumed;
    assert_int_equal(weir_http1_parse_trailers(&head, &limits, in, &resume, &err), WEIR_PARSE_DONE);
    assert_int_equal(head.fields_count, 2);
    assert_memory_equal(weir_http1_find(&head, WEIR_TEXT("etag")).ptr, "x", 1);
    assert_memory_equal(in.ptr + head.bytes, "GET", 3);

    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    in = (struct weir_slice){ (const uint8_t *)text, sizeof text - 1 };
    assert_int_equal(weir_http1_body_feed(&body, in, &consumed, &out, &err), WEIR_PARSE_DONE);
    assert_memory_equal(in.ptr + consumed, "GET", 3);
}

/* 10^5 of them never pass, whatever the limit; a call looks at new bytes only. */
static void test_limits(void **state)
{
    static uint8_t text[100000 * 5];
    struct weir_http1_limits limits = { .head_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX };
    struct weir_http1_head head = { .fields = NULL };
    struct weir_parse_err err;
    uint32_t resume = 0;
    (void)state;
    for (size_t at = 0; at < sizeof text; at += 5)
        memcpy(text + at, "a:b\r\n", 5);
    const struct weir_slice all = { text, sizeof text };
    assert_int_equal(weir_http1_parse_trailers(&head, &limits, all, &resume, &err),
                     WEIR_PARSE_ERROR);
    assert_int_equal(err.code, WEIR_HTTP1_E_HEAD_TOO_LONG);
    assert_int_equal(err.offset, WEIR_HTTP1_HEAD_BYTES_MAX);

    limits.head_bytes_max = 64;
    size_t len = 0;
    enum weir_parse result = WEIR_PARSE_MORE;
    while (result == WEIR_PARSE_MORE) {
        result = weir_http1_parse_trailers(&head, &limits, rig_prefix(all, ++len), &resume, &err);
        text[len - 1] = 0; /* what was looked at is not looked at again */
    }
    assert_int_equal(result, WEIR_PARSE_ERROR);
    assert_int_equal(err.code, WEIR_HTTP1_E_HEAD_TOO_LONG);
    assert_int_equal(len, 64);

    /* No fields at all are allowed: then none may come. */
    resume = 0;
    assert_int_equal(weir_http1_parse_trailers(&head, &limits, WEIR_TEXT("\r\n"), &resume, &err),
                     WEIR_PARSE_DONE);
    assert_int_equal(
        weir_http1_parse_trailers(&head, &limits, WEIR_TEXT("A:\r\n\r\n"), &resume, &err),
        WEIR_PARSE_ERROR);
    assert_int_equal(err.code, WEIR_HTTP1_E_FIELDS_TOO_MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_behind_a_body),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
