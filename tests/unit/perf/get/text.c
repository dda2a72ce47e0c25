/* SPDX-License-Identifier: MIT */
#include "perf/get/text.c"

#include <jansson.h>
#include <setjmp.h>

#include <cmocka.h>

static void expect_text(struct get_text *text, const char *expected)
{
    assert_int_equal(text->err, 0);
    assert_int_equal(text->len, strlen(expected));
    assert_memory_equal(text->ptr, expected, text->len);
    get_text_deinit(text);
}

static void test_add(void **state)
{
    (void)state;
    struct get_text text = { 0 };
    get_text_add_string(&text, "");
    get_text_add(&text, (struct weir_slice){ 0 });
    assert_int_equal(get_text_slice(&text).len, 0);
    get_text_add_string(&text, "a");
    get_text_add(&text, WEIR_TEXT("bcd"));
    get_text_printf(&text, "%d-%s", 7, "x");
    get_text_printf(&text, "%s", "");
    expect_text(&text, "abcd7-x");
}

static void test_growth(void **state)
{
    (void)state;
    for (int len = 1; len < 5000; len += 7) {
        struct get_text text = { 0 };
        get_text_add_string(&text, ">");
        get_text_printf(&text, "%*d", len, 1);
        assert_int_equal(text.len, len + 1);
        assert_int_equal(text.ptr[0], '>');
        assert_int_equal(text.ptr[len], '1');
        get_text_deinit(&text);
    }
}

/* What does not fit is not there, and the failure stays until it is cleared. */
static void test_limit(void **state)
{
    (void)state;
    struct get_text text = { .max = 2000 };
    for (int i = 0; i < 2000; i++)
        get_text_add_string(&text, "x");
    assert_int_equal(text.err, 0);
    assert_int_equal(text.len, 2000);
    char big[2049] = { 0 };
    memset(big, 'y', 2048);
    get_text_add_string(&text, big);
    assert_int_equal(text.err, WEIR_E_LIMIT);
    get_text_add_string(&text, "z");
    assert_int_equal(text.len, 2000);
    get_text_clear(&text);
    get_text_add_string(&text, "z");
    expect_text(&text, "z");
    assert_int_equal(text.max, 2000);
}

static void test_json(void **state)
{
    (void)state;
    struct get_text text = { 0 };
    get_text_json(&text, WEIR_TEXT("a\"\\\n\r\t\x7f\x01"
                                   "b"));
    expect_text(&text, "\"a\\\"\\\\\\n\\r\\t\\u007f\\u0001b\"");
    get_text_json(&text, WEIR_TEXT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
    expect_text(&text, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
    /* Not UTF-8: each byte is a character. */
    get_text_json(&text, WEIR_TEXT("x\xe4y"));
    expect_text(&text, "\"x\\u00e4y\"");
    get_text_json(&text, (struct weir_slice){ 0 });
    expect_text(&text, "\"\"");
}

static void test_what_is_no_utf8(void **state)
{
    (void)state;
    /* Overlong, surrogate, beyond the last code point, cut, stray. */
    static const char *const bad[] = { "\xc0\x80",
                                       "\xe0\x80\x80",
                                       "\xf0\x80\x80\x80",
                                       "\xed\xa0\x80",
                                       "\xf4\x90\x80\x80",
                                       "\xe2\x82",
                                       "\xf0\x9f\x98",
                                       "\x80",
                                       "\xff",
                                       "\xc3(",
                                       "a\xe2\x28\xa1" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(is_utf8((struct weir_slice){ (const uint8_t *)bad[i], strlen(bad[i]) }));
    static const char *const good[] = { "",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf" };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(is_utf8((struct weir_slice){ (const uint8_t *)good[i], strlen(good[i]) }));
}

static void test_bytes(void **state)
{
    (void)state;
    struct get_text text = { 0 };
    get_text_json_bytes(&text, "data", WEIR_TEXT("plain"));
    expect_text(&text, "\"data\":\"plain\"");
    /* RFC 4648 section 10, behind a byte that makes it no UTF-8. */
    get_text_json_bytes(&text, "data", WEIR_TEXT("\xff"));
    expect_text(&text, "\"data_base64\":\"/w==\"");
    get_text_json_bytes(&text, "data",
                        WEIR_TEXT("\xff"
                                  "f"));
    expect_text(&text, "\"data_base64\":\"/2Y=\"");
    get_text_json_bytes(&text, "data",
                        WEIR_TEXT("\xff"
                                  "fo"));
    expect_text(&text, "\"data_base64\":\"/2Zv\"");
    add_base64(&text, WEIR_TEXT("foobar"));
    expect_text(&text, "Zm9vYmFy");
    add_base64(&text, WEIR_TEXT("fooba"));
    expect_text(&text, "Zm9vYmE=");
}

/* Whatever the bytes: another parser takes it, and UTF-8 comes back as it was. */
static void test_json_of_anything(void **state)
{
    (void)state;
    uint64_t seed = 20;
    print_message("seed %d\n", (int)seed);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[40];
        size_t len = (size_t)round % sizeof(bytes);
        for (size_t i = 0; i < len; i++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            bytes[i] = (uint8_t)(seed >> (round % 2 == 0 ? 56 : 57)); /* half of them ASCII */
        }
        struct weir_slice value = { bytes, len };
        struct get_text text = { 0 };
        get_text_json(&text, value);
        json_error_t why;
        json_t *parsed =
            json_loadb((const char *)text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
        if (parsed == NULL)
            fail_msg("round %d: %s: %.*s", round, why.text, (int)text.len, (char *)text.ptr);
        if (is_utf8(value)) {
            assert_int_equal(json_string_length(parsed), len);
            assert_memory_equal(json_string_value(parsed), bytes, len);
        }
        json_decref(parsed);
        get_text_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_what_is_no_utf8),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_json_of_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
