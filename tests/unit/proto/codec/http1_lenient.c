/* SPDX-License-Identifier: MIT */
/* Each leniency lets pass what its rule refuses, and nothing else. */
#include "unit/proto/codec/parse_rig.h"

#include <errno.h>

#define HOST "Host: h\r\n"

struct row {
    uint32_t flag;
    bool is_request;
    enum weir_http1_error refused; /* without the flag */
    const char *text;
    const char *told; /* with it */
};

static const struct row rows[] = {
    { WEIR_HTTP1_LENIENT_LENGTH_AND_TE, true, WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE,
      "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
      "POST / host=h Host=h Content-Length=3 Transfer-Encoding=chunked chunked close" },
    { WEIR_HTTP1_LENIENT_LENGTH_AND_TE, false, WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
      "200 OK Transfer-Encoding=chunked Content-Length=3 chunked close" },
    { WEIR_HTTP1_LENIENT_TE_IN_1_0, true, WEIR_HTTP1_E_TRANSFER_ENCODING,
      "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
      "POST / Connection=keep-alive Transfer-Encoding=chunked chunked close" },
    { WEIR_HTTP1_LENIENT_TE_IN_1_0, false, WEIR_HTTP1_E_TRANSFER_ENCODING,
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      "200 OK Transfer-Encoding=chunked chunked close" },
    { WEIR_HTTP1_LENIENT_TE_EMPTY_ELEMENT, true, WEIR_HTTP1_E_TRANSFER_ENCODING,
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: , chunked,\r\n\r\n",
      "POST / host=h Host=h Transfer-Encoding=, chunked, chunked keep" },
    { WEIR_HTTP1_LENIENT_REPEATED_LENGTH, true, WEIR_HTTP1_E_CONTENT_LENGTH,
      "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 03\r\n\r\n",
      "POST / host=h Host=h Content-Length=3 Content-Length=03 length=3 keep" },
    { WEIR_HTTP1_LENIENT_BARE_LF, true, WEIR_HTTP1_E_BARE_LF,
      "\nGET /a HTTP/1.1\nHost: h\r\nA:b \n\n", "GET /a host=h Host=h A=b none keep" },
    { WEIR_HTTP1_LENIENT_BARE_LF, true, WEIR_HTTP1_E_BARE_LF, "GET / HTTP/1.0\n\r\n",
      "GET / none close" },
    { WEIR_HTTP1_LENIENT_BARE_LF, false, WEIR_HTTP1_E_BARE_LF,
      "HTTP/1.1 204\nA: b\nContent-Length: 0\r\n\n", "204  A=b Content-Length=0 none keep" },
    { WEIR_HTTP1_LENIENT_SPACE_BEFORE_COLON, false, WEIR_HTTP1_E_FIELD_SPACE,
      "HTTP/1.1 200 OK\r\nContent-Length \t : 5\r\nX : y\r\n\r\n",
      "200 OK Content-Length=5 X=y length=5 keep" },
    { WEIR_HTTP1_LENIENT_OBS_FOLD, true, WEIR_HTTP1_E_OBS_FOLD,
      "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\t\r\nB:\r\n d\r\n\r\n body",
      "GET / host=h Host=h A=b\r\n c B=d none keep" },
    { WEIR_HTTP1_LENIENT_OBS_FOLD, false, WEIR_HTTP1_E_OBS_FOLD,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
      "200 OK Transfer-Encoding=chunked chunked keep" },
    { WEIR_HTTP1_LENIENT_TARGET_BYTES, true, WEIR_HTTP1_E_TARGET,
      "GET /\303\244?\200 HTTP/1.1\r\n" HOST "\r\n", "GET /\303\244?\200 host=h Host=h none keep" },
    { WEIR_HTTP1_LENIENT_EMPTY_HOST, true, WEIR_HTTP1_E_HOST, "GET / HTTP/1.1\r\nHost: \r\n\r\n",
      "GET / host= Host= none keep" },
};

/* What no leniency lets pass, though it looks like it. */
static const struct row never[] = {
    { 0, true, WEIR_HTTP1_E_CONTENT_LENGTH,
      "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_TRANSFER_ENCODING,
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: ,\r\n\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_TRANSFER_ENCODING,
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n , chunked\r\n\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_CONTENT_LENGTH,
      "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n 2\r\n\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_FIELD_SPACE, "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_FIELD_SPACE, "GET / HTTP/1.1\r\n A: b\r\n" HOST "\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_BARE_CR, "GET / HTTP/1.1\r\n" HOST "A: b\rC: d\r\n\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_BARE_CR, "GET / HTTP/1.1\r\n" HOST "\r\rX", NULL },
    { 0, true, WEIR_HTTP1_E_HOST, "GET / HTTP/1.1\r\nHost: h\r\nHost:\r\n\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_HOST, "GET / HTTP/1.1\r\nHost: h,i\r\n\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_TARGET, "GET /a\tb HTTP/1.1\r\n" HOST "\r\n", NULL },
    { 0, true, WEIR_HTTP1_E_FIELD_NAME, "GET / HTTP/1.1\n" HOST "A\nB: c\n\n", NULL },
    { 0, false, WEIR_HTTP1_E_FIELD_SPACE, "HTTP/1.1 200 OK\r\nA  b: c\r\n\r\n", NULL },
    { 0, false, WEIR_HTTP1_E_CONTENT_LENGTH,
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", NULL },
};

static void tell(char *out, size_t capacity, const struct weir_http1_head *head, bool is_request)
{
    FILE *f = fmemopen(out, capacity, "w");
    assert_non_null(f);
    if (is_request)
        fprintf(f, "%.*s %.*s", (int)head->method.len, (const char *)head->method.ptr,
                (int)head->target.len, (const char *)head->target.ptr);
    else
        fprintf(f, "%u %.*s", head->status, (int)head->reason.len, (const char *)head->reason.ptr);
    if (head->host.ptr != NULL)
        fprintf(f, " host=%.*s", (int)head->host.len, (const char *)head->host.ptr);
    for (unsigned i = 0; i < head->fields_count; i++) {
        struct weir_slice n = weir_http1_name(head, i), v = weir_http1_value(head, i);
        fprintf(f, " %.*s=%.*s", (int)n.len, (const char *)n.ptr, (int)v.len, (const char *)v.ptr);
    }
    if (head->framing == WEIR_HTTP1_BODY_LENGTH)
        fprintf(f, " length=%llu", (unsigned long long)head->content_length);
    else
        fprintf(f, " %s", head->framing == WEIR_HTTP1_BODY_CHUNKED ? "chunked" : "none");
    fprintf(f, " %s", head->keep_alive ? "keep" : "close");
    assert_int_equal(fclose(f), 0);
}

static void run(struct rig_head_outcome *out, const struct row *row, uint32_t lenient)
{
    struct rig_head_input input = {
        .bytes = { (const uint8_t *)row->text, strlen(row->text) },
        .is_request = row->is_request,
        .request_method = WEIR_TEXT("GET"),
        .limits = { .head_bytes_max = 4096,
                    .target_bytes_max = 1024,
                    .fields_max = RIG_FIELDS_MAX,
                    .lenient = lenient },
    };
    rig_head_run(out, &input);
}

static void expect_refusal(const struct row *row, uint32_t lenient)
{
    static struct rig_head_outcome out;
    run(&out, row, lenient);
    if (out.result != WEIR_PARSE_ERROR || out.err.code != row->refused)
        fail_msg("'%s' with %#x: result %d, code %d; expected code %d", row->text, lenient,
                 (int)out.result, (int)out.err.code, (int)row->refused);
}

static void test_each_flag(void **state)
{
    (void)state;
    static struct rig_head_outcome out;
    char told[512];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        expect_refusal(row, 0);
        expect_refusal(row, WEIR_HTTP1_LENIENT_ALL & ~row->flag);
        for (int all = 0; all < 2; all++) {
            run(&out, row, all ? WEIR_HTTP1_LENIENT_ALL : row->flag);
            if (out.result != WEIR_PARSE_DONE)
                fail_msg("'%s': result %d, code %d at %u", row->text, (int)out.result,
                         (int)out.err.code, (unsigned)out.err.offset);
            tell(told, sizeof told, &out.head, row->is_request);
            assert_string_equal(told, row->told);
        }
    }
}

static void test_never(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        expect_refusal(&never[i], WEIR_HTTP1_LENIENT_ALL);
}

/* Fields beyond the limit are refused here, too. */
static void test_fields_max(void **state)
{
    (void)state;
    static struct rig_head_outcome out;
    struct rig_head_input input = {
        .bytes = WEIR_TEXT("GET / HTTP/1.1\nHost: h\nA: b\n\n"),
        .is_request = true,
        .limits = { .head_bytes_max = 4096,
                    .target_bytes_max = 1024,
                    .fields_max = 1,
                    .lenient = WEIR_HTTP1_LENIENT_BARE_LF },
    };
    rig_head_run(&out, &input);
    assert_int_equal(out.result, WEIR_PARSE_ERROR);
    assert_int_equal(out.err.code, WEIR_HTTP1_E_FIELDS_TOO_MANY);
}

static void test_unfold(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "", "" },
        { "a b", "a b" },
        { "a\r\n b", "a b" },
        { "a \t\r\n\t b\n c  d", "a b c  d" },
        { "a\r\n \r\n b", "a b" },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        uint8_t out[64];
        size_t len = strlen(pairs[i][0]), want = strlen(pairs[i][1]);
        memcpy(out, pairs[i][0], len);
        struct weir_slice value = { .ptr = (const uint8_t *)pairs[i][0], .len = len };
        if (want > 0)
            assert_int_equal(weir_http1_unfold(out, want - 1, value), -ENOBUFS);
        memcpy(out, pairs[i][0], len);
        assert_int_equal(
            weir_http1_unfold(out, want, (struct weir_slice){ .ptr = out, .len = len }), want);
        assert_memory_equal(out, pairs[i][1], want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_flag),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_fields_max),
        cmocka_unit_test(test_unfold),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
