/* SPDX-License-Identifier: MIT */
/* Heads: what a parsed one refers to, and the limits of count and size. */
#include "unit/proto/codec/parse_rig.h"

#define LIMITS                                                                                     \
    {                                                                                              \
        .head_bytes_max = 8192, .target_bytes_max = 4096, .fields_max = RIG_FIELDS_MAX             \
    }

static void assert_slice(struct weir_slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void test_views(void **state)
{
    static struct rig_head_outcome got;
    (void)state;
    const struct rig_head_input input = {
        .bytes = WEIR_TEXT("\r\nPOST /v1/models?x=1 HTTP/1.1\r\nHost: localhost:8080\r\n"
                           "X-Trim: \t a b \t\r\nX-Empty:\r\nx-trim: second\r\nA^b: 1\r\n\r\nBODY"),
        .is_request = true,
        .limits = LIMITS,
    };
    rig_head_run(&got, &input);
    const struct weir_http1_head *head = &got.head;
    assert_int_equal(got.result, WEIR_PARSE_DONE);
    assert_int_equal(got.base_at, 2);
    assert_int_equal(head->bytes, input.bytes.len - 4);
    assert_slice(head->method, "POST");
    assert_slice(head->target, "/v1/models?x=1");
    assert_slice(head->host, "localhost:8080");
    assert_int_equal(head->fields_count, 5);
    assert_slice(weir_http1_name(head, 1), "X-Trim");
    assert_slice(weir_http1_value(head, 1), "a b");
    assert_slice(weir_http1_find(head, WEIR_TEXT("x-TRIM")), "a b");
    struct weir_slice empty = weir_http1_find(head, WEIR_TEXT("x-empty"));
    assert_non_null(empty.ptr);
    assert_int_equal(empty.len, 0);
    struct weir_slice none = weir_http1_find(head, WEIR_TEXT("x-trin"));
    assert_null(none.ptr);
    assert_int_equal(none.len, 0);
    /* '^' and '~' differ in the bit that tells 'A' from 'a'. */
    assert_null(weir_http1_find(head, WEIR_TEXT("A~b")).ptr);
    assert_slice(weir_http1_find(head, WEIR_TEXT("a^B")), "1");
}

/* ---- Limits -------------------------------------------------------------------------------------
 */

static void expect_error(const struct rig_head_input *input, enum weir_http1_error code,
                         uint32_t offset)
{
    static struct rig_head_outcome got;
    rig_head_run(&got, input);
    assert_int_equal(got.result, WEIR_PARSE_ERROR);
    assert_int_equal(got.err.code, code);
    assert_int_equal(got.err.offset, offset);
}

static void test_head_limit(void **state)
{
    static struct rig_head_outcome got;
    uint8_t text[256];
    (void)state;
    struct rig_head_input input = { .is_request = true, .limits = LIMITS };
    input.limits.head_bytes_max = 100;
    for (size_t len = 90; len <= 110; len++) {
        int head = snprintf((char *)text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
        memset(text + head, 'x', sizeof text - (size_t)head);
        memcpy(text + len - 4, "\r\n\r\n", 4);
        input.bytes = (struct weir_slice){ text, len };
        if (len <= 100) {
            rig_head_run(&got, &input);
            assert_int_equal(got.result, WEIR_PARSE_DONE);
            assert_int_equal(got.head.bytes, len);
        } else {
            expect_error(&input, WEIR_HTTP1_E_HEAD_TOO_LONG, 100);
        }
    }
    /* Known as soon as the limit is reached, one byte earlier it is not. */
    memset(text, 'x', sizeof text);
    memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
    input.bytes = (struct weir_slice){ text, 100 };
    expect_error(&input, WEIR_HTTP1_E_HEAD_TOO_LONG, 100);
    input.bytes.len = 99;
    rig_head_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_MORE);
    /* The empty lines before count in the limit, not in the offset. */
    memcpy(text, "\r\n\r\nGET / HTTP/1.1\r\nX: ", 23);
    input.bytes.len = 100;
    expect_error(&input, WEIR_HTTP1_E_HEAD_TOO_LONG, 96);
    /* A wrong byte before the limit is the better message; one behind it is never seen. */
    text[99] = 0;
    expect_error(&input, WEIR_HTTP1_E_FIELD_VALUE, 95);
    text[99] = 'x';
    text[100] = 0;
    input.bytes.len = 101;
    expect_error(&input, WEIR_HTTP1_E_HEAD_TOO_LONG, 96);
    /* A CR as the last byte within the limit. */
    text[99] = '\r';
    expect_error(&input, WEIR_HTTP1_E_HEAD_TOO_LONG, 96);
}

static void test_target_limit(void **state)
{
    static struct rig_head_outcome got;
    (void)state;
    struct rig_head_input input = {
        .bytes = WEIR_TEXT("GET /23456789 HTTP/1.1\r\nHost: h\r\n\r\n"),
        .is_request = true,
        .limits = LIMITS,
    };
    input.limits.target_bytes_max = 9;
    rig_head_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_DONE);
    input.limits.target_bytes_max = 8;
    expect_error(&input, WEIR_HTTP1_E_TARGET_TOO_LONG, 12);
    /* Not later than the byte that is too many. */
    input.bytes.len = 13;
    expect_error(&input, WEIR_HTTP1_E_TARGET_TOO_LONG, 12);
    input.bytes.len = 12;
    rig_head_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_MORE);
    input.limits.target_bytes_max = 0;
    expect_error(&input, WEIR_HTTP1_E_TARGET_TOO_LONG, 4);
}

static void test_fields_limit(void **state)
{
    static struct rig_head_outcome got;
    (void)state;
    struct rig_head_input input = {
        .bytes = WEIR_TEXT("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n"),
        .is_request = true,
        .limits = LIMITS,
    };
    input.limits.fields_max = 3;
    rig_head_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_DONE);
    input.limits.fields_max = 2;
    expect_error(&input, WEIR_HTTP1_E_FIELDS_TOO_MANY, 31);
    input.limits.fields_max = 0;
    expect_error(&input, WEIR_HTTP1_E_FIELDS_TOO_MANY, 16);
}

/* ---- Bulk ---------------------------------------------------------------------------------------
 */

/* The largest head there can be: offsets reach the end of their 16 bits, and the work stays linear.
 */
static void test_largest_head(void **state)
{
    static uint8_t text[WEIR_HTTP1_HEAD_BYTES_MAX];
    (void)state;
    memset(text, 'v', sizeof text);
    memcpy(text, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 28);
    memcpy(text + sizeof text - 10, "\r\nY: z\r\n\r\n", 10);

    struct weir_http1_field fields[4];
    struct weir_http1_head head = { .fields = fields };
    const struct weir_http1_limits limits = {
        .head_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
        .target_bytes_max = 8000,
        .fields_max = 4,
    };
    struct weir_parse_err err;
    uint32_t resume = 0;
    for (size_t len = 0; len < sizeof text; len++)
        assert_int_equal(weir_http1_parse_request(&head, &limits, (struct weir_slice){ text, len },
                                                  &resume, &err),
                         WEIR_PARSE_MORE);
    assert_int_equal(weir_http1_parse_request(
                         &head, &limits, (struct weir_slice){ text, sizeof text }, &resume, &err),
                     WEIR_PARSE_DONE);
    assert_int_equal(resume, 0);
    assert_int_equal(head.bytes, sizeof text);
    assert_int_equal(head.fields_count, 3);
    assert_slice(weir_http1_value(&head, 2), "z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),        cmocka_unit_test(test_head_limit),
        cmocka_unit_test(test_target_limit), cmocka_unit_test(test_fields_limit),
        cmocka_unit_test(test_largest_head),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
