/* SPDX-License-Identifier: MIT */
#include <weir/url.h>

#include "url_rig.h"

#define SEED 515151u

struct encoded {
    const char *text;
    enum weir_url_set set;
    const char *expected;
};

static void test_encode(void **state)
{
    (void)state;
    static const struct encoded cases[] = {
        { "", WEIR_URL_SET_COMPONENT, "" },
        { "aZ09-._~", WEIR_URL_SET_COMPONENT, "aZ09-._~" },
        { "/run/my app.sock", WEIR_URL_SET_COMPONENT, "%2Frun%2Fmy%20app.sock" },
        { "!$&'()*+,;=:@/?", WEIR_URL_SET_COMPONENT,
          "%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40%2F%3F" },
        { "!$&'()*+,;=:@/?#[]%", WEIR_URL_SET_SEGMENT, "!$&'()*+,;=:@%2F%3F%23%5B%5D%25" },
        { "!$&'()*+,;=:@/?#[]%", WEIR_URL_SET_PATH, "!$&'()*+,;=:@/%3F%23%5B%5D%25" },
        { "!$&'()*+,;=:@/?#[]%", WEIR_URL_SET_QUERY, "!$%26'()*%2B,%3B%3D:@/?%23%5B%5D%25" },
        { "100%", WEIR_URL_SET_QUERY, "100%25" },
        { "%41", WEIR_URL_SET_PATH, "%2541" },
        { "..", WEIR_URL_SET_SEGMENT, ".." },
        { "\x01\x7f\x80\xff \\\"<>^`{|}", WEIR_URL_SET_PATH,
          "%01%7F%80%FF%20%5C%22%3C%3E%5E%60%7B%7C%7D" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t out[128];
        struct weir_slice text = rig_place(0, rig_slice(cases[i].text));
        int64_t bytes = weir_url_percent_encode(out, sizeof out, text, cases[i].set);
        assert_true(bytes >= 0);
        rig_assert_slice((struct weir_slice){ out, (size_t)bytes }, cases[i].expected,
                         cases[i].text);
    }
    uint8_t out[8];
    assert_int_equal(weir_url_percent_encode(out, 8, WEIR_TEXT("\0"), WEIR_URL_SET_QUERY), 3);
    assert_memory_equal(out, "%00", 3);
    struct weir_slice none = { NULL, 0 };
    assert_int_equal(weir_url_percent_encode(NULL, 0, none, WEIR_URL_SET_QUERY), 0);
}

struct decoded {
    const char *text;
    const char *expected; /* NULL: malformed at `bad_at` */
    int bad_at;
};

static void test_decode(void **state)
{
    (void)state;
    static const struct decoded cases[] = {
        { "", "", 0 },
        { "abc", "abc", 0 },
        { "%41%62", "Ab", 0 },
        { "%2f%2F%c3%A9", "//\xc3\xa9", 0 },
        { "%2541", "%41", 0 }, /* once, not twice */
        { "a+b", "a+b", 0 },
        { "%25%25", "%%", 0 },
        { "\x80 \x01", "\x80 \x01", 0 },
        { "%", NULL, 0 },
        { "a%4", NULL, 1 },
        { "%41%", NULL, 3 },
        { "%4g", NULL, 0 },
        { "%g4", NULL, 0 },
        { "%%41", NULL, 0 },
        { "%+1", NULL, 0 },
        { "% 1", NULL, 0 },
        { "%0x", NULL, 0 },
        { "%4%41", NULL, 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct decoded *want = &cases[i];
        uint8_t out[32];
        memset(out, 0x5a, sizeof out);
        struct weir_slice text = rig_place(0, rig_slice(want->text));
        int64_t bytes = weir_url_percent_decode(out, sizeof out, text);
        if (want->expected == NULL) {
            assert_int_equal(bytes, WEIR_E_URL);
            rig_assert_error("a '%' without two hexadecimal digits", want->bad_at, want->text);
            assert_int_equal(out[0], 0x5a);
            continue;
        }
        assert_true(bytes >= 0);
        rig_assert_slice((struct weir_slice){ out, (size_t)bytes }, want->expected, want->text);
    }
    uint8_t out[2];
    assert_int_equal(weir_url_percent_decode(out, sizeof out, WEIR_TEXT("%00")), 1);
    assert_int_equal(out[0], 0);
    assert_int_equal(weir_url_percent_decode(NULL, 0, (struct weir_slice){ NULL, 0 }), 0);
}

static void test_room(void **state)
{
    (void)state;
    uint8_t out[16];
    for (size_t capacity = 0; capacity < sizeof out; capacity++) {
        memset(out, 0x5a, sizeof out);
        int64_t bytes =
            weir_url_percent_encode(out, capacity, WEIR_TEXT("a/b/c"), WEIR_URL_SET_SEGMENT);
        assert_int_equal(bytes, capacity < 9 ? -ENOBUFS : 9);
        assert_int_equal(out[0], capacity < 9 ? 0x5a : 'a');
        memset(out, 0x5a, sizeof out);
        bytes = weir_url_percent_decode(out, capacity, WEIR_TEXT("%61%62c"));
        assert_int_equal(bytes, capacity < 3 ? -ENOBUFS : 3);
        assert_int_equal(out[0], capacity < 3 ? 0x5a : 'a');
        assert_int_equal(out[capacity < 3 ? capacity : 3], 0x5a);
    }
}

/* Random bytes, encoded: the right part of a URL takes them, and decoding gives them back. */
static void test_round_trip(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    static const char *const before[] = { "http://h/?", "http://h/", "http://h/", "http://h/?" };
    for (uint64_t key = 0; key < 20000; key++) {
        struct rig_random random = { .seed = SEED, .key = key };
        uint8_t bytes[32], text[16 + 3 * sizeof bytes];
        enum weir_url_set set = (enum weir_url_set)rig_below(&random, 4);
        size_t len = rig_below(&random, sizeof bytes + 1), begin = strlen(before[set]);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)rig_below(&random, rig_below(&random, 2) != 0 ? 256 : 128);
        memcpy(text, before[set], begin);
        int64_t encoded =
            weir_url_percent_encode(text + begin, 3 * len, (struct weir_slice){ bytes, len }, set);
        assert_in_range(encoded, len, 3 * len);
        struct weir_url url;
        struct weir_slice whole = { text, begin + (size_t)encoded };
        if (weir_url_parse(&url, whole) != 0)
            fail_msg("key %zu: %s", (size_t)key, weir_error_text());
        assert_int_equal(url.target.len, whole.len - strlen("http://h"));
        assert_int_equal(url.has_query, before[set][begin - 1] == '?');
        int64_t decoded = weir_url_percent_decode(
            text + begin, (size_t)encoded, (struct weir_slice){ text + begin, (size_t)encoded });
        assert_int_equal(decoded, len);
        assert_memory_equal(text + begin, bytes, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
