/* SPDX-License-Identifier: MIT */
/*
 * The checker by itself: what it keeps in *resume, and that it judges syntax only. What it refuses,
 * where, and how that is independent of the cuts is in http1_head.c, where it works together with
 * the reader.
 */
#include "unit/proto/codec/parse_rig.h"

#include "proto/codec/http1_check.h"

static const struct weir_http1_limits limits = {
    .head_bytes_max = 4096,
    .target_bytes_max = 2048,
    .fields_max = 8,
};

static enum weir_parse check(bool is_request, struct weir_slice bytes, uint32_t *resume,
                             struct weir_parse_err *err)
{
    struct http1_check k = { .limits = &limits, .is_request = is_request };
    return weir_http1_check(&k, bytes, resume, err);
}

/* The position is in the lower half: what was scanned is not scanned again. */
static void test_resume_advances(void **state)
{
    struct weir_slice text = WEIR_TEXT("\r\nGET /abc HTTP/1.1\r\nName: some value\r\n\r\n");
    struct weir_parse_err err;
    uint32_t resume = 0;
    (void)state;
    for (size_t len = 1; len < text.len; len++) {
        assert_int_equal(check(true, rig_place(rig_prefix(text, len)), &resume, &err),
                         WEIR_PARSE_MORE);
        assert_int_equal(resume & 0xffff, len);
    }
    assert_int_equal(check(true, rig_place(text), &resume, &err), WEIR_PARSE_DONE);
}

/* Bytes before the position are not looked at again: spoiling them changes nothing. */
static void test_linear(void **state)
{
    uint8_t text[] = "HTTP/1.1 200 OK\r\nName: some value\r\n\r\n";
    struct weir_parse_err err;
    uint32_t resume = 0;
    (void)state;
    assert_int_equal(check(false, (struct weir_slice){ text, 30 }, &resume, &err), WEIR_PARSE_MORE);
    memset(text, 0, 30);
    assert_int_equal(check(false, (struct weir_slice){ text, sizeof text - 1 }, &resume, &err),
                     WEIR_PARSE_DONE);
}

/* No Host, two lengths, an unknown coding: all of it well formed. */
static void test_meaning_is_not_judged(void **state)
{
    struct weir_parse_err err;
    uint32_t resume = 0;
    (void)state;
    assert_int_equal(check(true,
                           WEIR_TEXT("GET nonsense HTTP/1.1\r\nContent-Length: x\r\n"
                                     "Transfer-Encoding: y\r\n\r\nrest"),
                           &resume, &err),
                     WEIR_PARSE_DONE);
}

/* The start of a target survives in *resume even where it is furthest from the start. */
static void test_target_start_is_kept(void **state)
{
    static uint8_t text[4096];
    struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
    uint32_t resume = 0;
    (void)state;
    size_t at = 0;
    for (; at < 2 * HTTP1_EMPTY_LINES_MAX; at += 2)
        memcpy(text + at, "\r\n", 2);
    memset(text + at, 'M', HTTP1_METHOD_BYTES_MAX);
    at += HTTP1_METHOD_BYTES_MAX;
    text[at++] = ' ';
    memset(text + at, 't', sizeof text - at);
    const size_t last = at + limits.target_bytes_max;
    for (size_t len = 1; len <= last; len++)
        assert_int_equal(check(true, (struct weir_slice){ text, len }, &resume, &err),
                         WEIR_PARSE_MORE);
    assert_int_equal(check(true, (struct weir_slice){ text, last + 1 }, &resume, &err),
                     WEIR_PARSE_ERROR);
    assert_int_equal(err.code, WEIR_HTTP1_E_TARGET_TOO_LONG);
    assert_int_equal(err.offset, last - 2 * HTTP1_EMPTY_LINES_MAX);
}

static void test_leading_bytes(void **state)
{
    (void)state;
    assert_int_equal(weir_http1_leading_bytes(WEIR_TEXT("GET")), 0);
    assert_int_equal(weir_http1_leading_bytes(WEIR_TEXT("\r")), 0);
    assert_int_equal(weir_http1_leading_bytes(WEIR_TEXT("\r\n\rG")), 2);
    assert_int_equal(
        weir_http1_leading_bytes(WEIR_TEXT("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n")), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_advances),       cmocka_unit_test(test_linear),
        cmocka_unit_test(test_meaning_is_not_judged), cmocka_unit_test(test_target_start_is_kept),
        cmocka_unit_test(test_leading_bytes),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
