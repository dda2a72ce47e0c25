/* SPDX-License-Identifier: MIT */
#include "mock/text.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect_text(struct text *text, const char *expected)
{
    assert_false(text->failed);
    assert_int_equal(text->len, strlen(expected));
    assert_memory_equal(text->ptr, expected, text->len);
    text_free(text);
}

static void test_add(void **state)
{
    (void)state;
    struct text text = { 0 };
    assert_int_equal(text_slice(&text).len, 0);
    text_put(&text, "a");
    text_add(&text, "bcd", 2);
    text_printf(&text, "%d-%s", 7, "x");
    expect_text(&text, "abc7-x");
}

static void test_numbers(void **state)
{
    (void)state;
    struct text text = { 0 };
    uint64_t power = 1;
    for (unsigned digits = 1; digits <= 20; digits++, power *= 10) {
        for (int less = digits == 1 ? 0 : 1; less >= 0; less--) {
            char expected[32];
            uint64_t value = power - (uint64_t)less;
            snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
            assert_int_equal(text_digits(value), strlen(expected));
            text_u64(&text, value);
            expect_text(&text, expected);
        }
    }
    text_u64(&text, UINT64_MAX);
    expect_text(&text, "18446744073709551615");
    text_i64(&text, 0);
    text_i64(&text, -7);
    text_i64(&text, INT64_MIN);
    text_i64(&text, INT64_MAX);
    expect_text(&text, "0-7-92233720368547758089223372036854775807");
}

static void test_room(void **state)
{
    (void)state;
    struct text text = { 0 };
    for (size_t bytes = 0; bytes < 2000; bytes += 99) {
        char *room = text_room(&text, bytes);
        assert_non_null(room);
        assert_ptr_equal(room, text.ptr + text.len);
        memset(room, 'x', bytes);
        text.len += bytes;
    }
    text.failed = true;
    assert_null(text_room(&text, 1));
    text_free(&text);
}

/* Around the first size of the memory, and around the line that printf formats into. */
static void test_growth(void **state)
{
    (void)state;
    for (int len = 0; len < 1100; len++) {
        struct text text = { 0 };
        text_put(&text, ">");
        text_printf(&text, "%*d", len, 1);
        size_t written = len < 1 ? 1 : (size_t)len;
        assert_int_equal(text.len, written + 1);
        assert_int_equal(text.ptr[0], '>');
        assert_int_equal(text.ptr[written], '1');
        text_free(&text);
    }
}

static void test_json(void **state)
{
    (void)state;
    struct text text = { 0 };
    text_json(&text, WEIR_TEXT("a\"\\\n\x7f\x01"
                               "b"));
    expect_text(&text, "\"a\\\"\\\\\\u000a\\u007f\\u0001b\"");
    text_json(&text, WEIR_TEXT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
    expect_text(&text, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
    /* Overlong, surrogate, beyond the last code point, cut, stray. */
    text_json(&text, WEIR_TEXT("\xc0\x80"));
    expect_text(&text, "\"\\ufffd\\ufffd\"");
    text_json(&text, WEIR_TEXT("\xed\xa0\x80"));
    expect_text(&text, "\"\\ufffd\\ufffd\\ufffd\"");
    text_json(&text, WEIR_TEXT("\xf4\x90\x80\x80"));
    expect_text(&text, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    text_json(&text, WEIR_TEXT("x\xe2\x82"));
    expect_text(&text, "\"x\\ufffd\\ufffd\"");
    text_json(&text, WEIR_TEXT("\x80z"));
    expect_text(&text, "\"\\ufffdz\"");
}

/* Whatever two bytes come in, what goes out is JSON. */
static void test_json_is_json(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i += 7) {
        uint8_t bytes[3] = { (uint8_t)(i >> 8), (uint8_t)i, 'x' };
        struct text text = { 0 };
        text_json(&text, (struct weir_slice){ bytes, sizeof bytes });
        assert_int_equal(text_json_bytes((struct weir_slice){ bytes, sizeof bytes }), text.len);
        json_t *value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (value == NULL)
            fail_msg("bytes %02x %02x: %.*s", bytes[0], bytes[1], (int)text.len, text.ptr);
        json_decref(value);
        text_free(&text);
    }
}

static void test_time(void **state)
{
    (void)state;
    struct text text = { 0 };
    text_time(&text, 0, 0);
    expect_text(&text, "1970-01-01T00:00:00Z");
    text_time(&text, 951782400123456789, 6);
    expect_text(&text, "2000-02-29T00:00:00.123456Z");
    text_time(&text, 951782400000000001, 9);
    expect_text(&text, "2000-02-29T00:00:00.000000001Z");
    text_time(&text, -1, 3);
    expect_text(&text, "1969-12-31T23:59:59.999Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),  cmocka_unit_test(test_growth),
        cmocka_unit_test(test_json), cmocka_unit_test(test_json_is_json),
        cmocka_unit_test(test_time), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
