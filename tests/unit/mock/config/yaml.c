/* SPDX-License-Identifier: MIT */
#include "mock/config/yaml.c"

#include <inttypes.h>
#include <setjmp.h>

#include <cmocka.h>
#include <weir/random.h>

static struct weir_slice slice_of(const char *text)
{
    return (struct weir_slice){ .ptr = (const uint8_t *)text, .len = strlen(text) };
}

/* Does `text` say the same as the JSON text `expected`? */
static void check(const char *text, const char *expected)
{
    struct yaml_error err;
    json_t *got = yaml_read(slice_of(text), &err);
    if (got == NULL)
        fail_msg("%s: %zu:%zu: %s", text, err.line, err.column, err.text);
    json_t *json = json_loads(expected, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    char *shown = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!json_equal(got, json))
        fail_msg("%s: %s, expected %s", text, shown, expected);
    free(shown);
    json_decref(json);
    json_decref(got);
}

static void check_error(const char *text, size_t line, size_t column, const char *part)
{
    struct yaml_error err;
    json_t *got = yaml_read(slice_of(text), &err);
    if (got != NULL) {
        json_decref(got);
        fail_msg("%s: was taken", text);
    }
    if (err.line != line || err.column != column || strstr(err.text, part) == NULL)
        fail_msg("%s: %zu:%zu: %s", text, err.line, err.column, err.text);
}

static void test_scalars(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "5", "5" },
        { "-5", "-5" },
        { "+5", "5" },
        { "007", "7" },
        { "0o17", "15" },
        { "0xfF", "255" },
        { "9223372036854775807", "9223372036854775807" },
        { "1.5", "1.5" },
        { ".5", "0.5" },
        { "1.", "1.0" },
        { "-1e3", "-1000.0" },
        { "1E-3", "0.001" },
        { "true", "true" },
        { "False", "false" },
        { "~", "null" },
        { "null", "null" },
        { "a:", "{\"a\":null}" },
        /* No number, no truth: texts. */
        { "yes", "\"yes\"" },
        { "off", "\"off\"" },
        { "tRUE", "\"tRUE\"" },
        { "1_000", "\"1_000\"" },
        { "5ms", "\"5ms\"" },
        { "1e", "\"1e\"" },
        { "0x", "\"0x\"" },
        { "-", "[null]" },
        { "1.2.3", "\"1.2.3\"" },
        { ".", "\".\"" },
        { "+", "\"+\"" },
        { "12:30:45", "\"12:30:45\"" },
        { "2024-01-01", "\"2024-01-01\"" },
        /* What is quoted is a text. */
        { "\"5\"", "\"5\"" },
        { "'true'", "\"true\"" },
        { "''", "\"\"" },
        { "|\n a\n b\n", "\"a\\nb\\n\"" },
        { ">-\n a\n b\n", "\"a b\"" },
        { "\"\\u00e9\"", "\"\u00e9\"" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i][0], cases[i][1]);
}

static void test_collections(void **state)
{
    (void)state;
    check("", "{}");
    check("# nothing\n", "{}");
    check("---\n...\n", "null");
    check("a: 1\nb:\n  - x\n  - {c: [1, 2], d: }\n",
          "{\"a\":1,\"b\":[\"x\",{\"c\":[1,2],\"d\":null}]}");
    check("{\"a\": [1, 2.5, \"x\", null, true,],}", "{\"a\":[1,2.5,\"x\",null,true]}");
    check("5: five\ntrue: yes\n", "{\"5\":\"five\",\"true\":\"yes\"}");
    check("\xEF\xBB\xBF"
          "a: 1\n",
          "{\"a\":1}");
}

static void test_errors(void **state)
{
    (void)state;
    check_error("a: 1\nb: *x\n", 2, 4, "alias");
    check_error("a: &x 1\n", 1, 4, "anchor");
    check_error("a: &x [1]\n", 1, 4, "anchor");
    check_error("a: &x {}\n", 1, 4, "anchor");
    check_error("a: !!str 1\n", 1, 4, "tag");
    check_error("a: !thing {}\n", 1, 4, "tag");
    check_error("a: 1\nb: 2\na: 3\n", 3, 1, "\"a\" is there already");
    check_error("? [a]\n: 1\n", 1, 3, "no text");
    check_error("a: .inf\n", 1, 4, ".inf");
    check_error("a: -.INF\n", 1, 4, ".INF");
    check_error("a: .nan\n", 1, 4, ".nan");
    check_error("a: 9223372036854775808\n", 1, 4, "64 bits");
    check_error("a: 1e999\n", 1, 4, "too large");
    check_error("a: 1\n---\nb: 1\n", 2, 1, "second document");
    check_error("a: [1, 2\n", 2, 1, "flow sequence");
    check_error("a: 1\n\tb: 2\n", 2, 1, "tab character");
    check_error("a: \"x\\0y\"\n", 1, 4, "NUL");
    check_error("\"x\\0y\": 1\n", 1, 1, "NUL");
    check_error("a: \xff\n", 1, 1, "UTF-8");
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * YAML_DEPTH_MAX + 8], expected[2 * YAML_DEPTH_MAX + 8];
    memset(text, '[', YAML_DEPTH_MAX);
    memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    text[2 * YAML_DEPTH_MAX] = '\0';
    snprintf(expected, sizeof expected, "%s", text);
    check(text, expected);
    memset(text, '[', YAML_DEPTH_MAX + 1);
    text[YAML_DEPTH_MAX + 1] = '\0';
    check_error(text, 1, YAML_DEPTH_MAX + 1, "deeper");
}

/* Whatever the bytes are, there is a tree or an error with a place. */
static void test_flips(void **state)
{
    (void)state;
    static const char seedling[] = "# c\na: 1\nb:\n  - x: \"q\\n\"\n    y: [1, 2.5, ~]\n  - 'z'\n"
                                   "c: {d: true, e: |\n  text\n  }\nf: >\n  folded\n";
    const uint64_t seed = 20240607;
    printf("seed %" PRIu64 "\n", seed);
    for (uint64_t key = 0; key < 4000; key++) {
        char text[sizeof seedling];
        memcpy(text, seedling, sizeof text);
        for (uint64_t draw = 0; draw < 1 + key % 4; draw++) {
            uint64_t random = weir_random_u64(seed, key, draw);
            text[random % (sizeof text - 1)] = (char)(random >> 32);
        }
        struct yaml_error err;
        struct weir_slice slice = { .ptr = (const uint8_t *)text, .len = sizeof text - 1 };
        json_t *got = yaml_read(slice, &err);
        if (got == NULL && (err.line == 0 || err.text[0] == '\0'))
            fail_msg("key %" PRIu64 ": no place or text", key);
        json_decref(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars), cmocka_unit_test(test_collections),
        cmocka_unit_test(test_errors),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_flips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
