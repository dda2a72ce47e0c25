/* SPDX-License-Identifier: MIT */
#include "mock/config/nearest.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const keys[] = {
    "max_concurrency", "queue_depth", "queue_timeout_us", "overflow", "order", "rpm", "tpm", "id",
};
#define KEYS_COUNT (sizeof keys / sizeof keys[0])

static void test_distance(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {
        { "", "", 0 },       { "a", "", 1 },        { "", "abc", 3 },
        { "abc", "abc", 0 }, { "abc", "acb", 1 },   { "abcd", "badc", 2 },
        { "abc", "abd", 1 }, { "abc", "ab", 1 },    { "kitten", "sitting", 3 },
        { "ca", "abc", 3 },  { "aaaa", "bbbb", 4 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t forth = distance(cases[i].a, strlen(cases[i].a), cases[i].b, strlen(cases[i].b));
        size_t back = distance(cases[i].b, strlen(cases[i].b), cases[i].a, strlen(cases[i].a));
        if (forth != cases[i].distance || back != forth)
            fail_msg("%s %s: %zu and %zu", cases[i].a, cases[i].b, forth, back);
    }
}

static void test_near(void **state)
{
    (void)state;
    static const struct {
        const char *name, *near;
    } cases[] = {
        { "que_depth", "queue_depth" },
        { "queue_dpeth", "queue_depth" },
        { "max_concurency", "max_concurrency" },
        { "queue_timeout", "queue_timeout_us" },
        { "oveflow", "overflow" },
        { "odrer", "order" },
        { "rmp", "rpm" }, /* one exchange: nearer than tpm */
        { "overflow", "overflow" },
        { "retry_after", NULL },
        { "xyz", NULL },
        { "i", NULL },
        { "", NULL },
        { "queue", "queue_depth" }, /* begins two: the first */
        { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *near = nearest_name(cases[i].name, keys, KEYS_COUNT);
        if (cases[i].near == NULL && near != NULL)
            fail_msg("%s: %s", cases[i].name, near);
        if (cases[i].near != NULL && (near == NULL || strcmp(near, cases[i].near) != 0))
            fail_msg("%s: %s, expected %s", cases[i].name, near != NULL ? near : "none",
                     cases[i].near);
    }
    assert_null(nearest_name("order", keys, 0));
}

/* The longest names there may be, and those that are too long for the rows. */
static void test_long(void **state)
{
    (void)state;
    char longest[NEAREST_NAME_MAX + 1], other[NEAREST_NAME_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memset(other, 'a', sizeof other - 1);
    other[sizeof other - 1] = '\0';
    const char *names[] = { longest, other };
    assert_null(nearest_name(other, names, 2));
    other[NEAREST_NAME_MAX] = '\0';
    other[5] = 'b';
    assert_ptr_equal(nearest_name(other, names, 1), longest);
}

static void check_shown(const char *text, const char *expected)
{
    char out[NEAREST_SHOWN_BYTES];
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_string_equal(nearest_shown(out, json), expected);
    json_decref(json);
}

static void test_shown(void **state)
{
    (void)state;
    char out[NEAREST_SHOWN_BYTES];
    assert_string_equal(nearest_shown(out, NULL), "nothing");
    check_shown("null", "null");
    check_shown("true", "true");
    check_shown("false", "false");
    check_shown("-9223372036854775808", "-9223372036854775808");
    check_shown("0.1", "0.1");
    check_shown("1e300", "1e+300");
    check_shown("[1]", "an array");
    check_shown("{}", "an object");
    check_shown("\"a\\nb\\u007f\"", "\"a?b?\"");
    check_shown("\"\"", "\"\"");
    check_shown("\"0123456789012345678901234567890123456789012345678\"",
                "\"012345678901234567890123456789012345678901234567...\"");
    /* The cut is before the character that it would have split. */
    check_shown("\"01234567890123456789012345678901234567890123456\\u00e9x\"",
                "\"01234567890123456789012345678901234567890123456...\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
