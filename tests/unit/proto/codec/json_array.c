/* SPDX-License-Identifier: MIT */
/*
 * The JSON scanner: what it takes and what not, each text at the end of memory and cut at every
 * byte; and against another parser, on texts made from a seed.
 */
#include "proto/codec/json_array.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <weir/random.h>

enum { MEMORY_BYTES = 65536 };

/* The page behind it may not be read. */
static uint8_t *memory_end;

static int setup(void **state)
{
    (void)state;
    uint8_t *map =
        mmap(NULL, MEMORY_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    memory_end = map + MEMORY_BYTES;
    return mprotect(memory_end, 4096, PROT_NONE);
}

static int teardown(void **state)
{
    (void)state;
    return munmap(memory_end - MEMORY_BYTES, MEMORY_BYTES + 4096);
}

static struct weir_slice place(const void *text, size_t len)
{
    assert_true(len <= MEMORY_BYTES);
    uint8_t *at = memory_end - len;
    if (len > 0)
        memcpy(at, text, len);
    return (struct weir_slice){ at, len };
}

static int check(const char *text)
{
    return weir_json_check(place(text, strlen(text)));
}

static const char *const good[] = {
    "1",
    "0",
    "-0",
    "-1.5e+10",
    "1E5",
    "0.0001",
    "123456789012345678901234567890",
    "1e999",
    "true",
    "false",
    "null",
    "\"\"",
    " \t\r\n1 \t\r\n",
    "[]",
    "{}",
    "[ ]",
    "{ }",
    "[1,2]",
    "[ 1 , 2 ]",
    "[[],[[]],{}]",
    "{\"\":1}",
    "{\"a\":1,\"a\":2}",
    "{ \"a\" : { \"b\" : [ ] } , \"c\" : null }",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD800\\uabCD\"",
    "\"\x7f\"",
    "\"\xc2\x80\"",
    "\"\xe0\xa0\x80\"",
    "\"\xed\x9f\xbf\"",
    "\"\xf0\x90\x80\x80\"",
    "\"\xf4\x8f\xbf\xbf\"",
    "\"0123456\\n89abcdef\\n0123456789abcdef0123456789\xc3\xbcxyz-0123456789abcdef\"",
};

static const char *const bad[] = {
    "",
    " ",
    ",",
    ":",
    "]",
    "}",
    "\"",
    "\"a",
    "[",
    "{",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\" 1}",
    "{,}",
    "{\"a\":1 \"b\":2}",
    "tru",
    "True",
    "nul",
    "nulll",
    "NaN",
    "Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1.e5",
    "1e",
    "1e+",
    "0x1",
    "1 2",
    "1,2",
    "[]]",
    "{}{}",
    "\"\t\"",
    "\"\n\"",
    "\"\x01\"",
    "\"\x1f\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u123g\"",
    "\"\\",
    "\"\\u123",
    "\"\x80\"",
    "\"\xc0\x80\"",
    "\"\xc1\xbf\"",
    "\"\xc2\"",
    "\"\xc2x\"",
    "\"\xe0\x80\x80\"",
    "\"\xe0\x9f\xbf\"",
    "\"\xed\xa0\x80\"",
    "\"\xe2\x82\"",
    "\"\xf0\x80\x80\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xf5\x80\x80\x80\"",
    "\"\xff\"",
    "\xef\xbb\xbf[]",
    "/**/1",
    "\"01234567\n89abcdef\"",
    "\"0123456789ab\tdef\"",
};

static void test_texts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        if (check(good[i]) != 0)
            fail_msg("refused: %s", good[i]);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (check(bad[i]) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(weir_json_check((struct weir_slice){ NULL, 0 }), -EINVAL);
    assert_int_equal(weir_json_check(place("\"\0\"", 3)), -EINVAL);
    assert_int_equal(weir_json_check(place("1\0", 2)), -EINVAL);
    assert_int_equal(weir_json_check(place("\"\\\0\"", 4)), -EINVAL);
}

/* No array or object is whole before its last byte. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t len = strlen(good[i]);
        for (size_t cut = 0; cut < len; cut++) {
            int rc = weir_json_check(place(good[i], cut));
            if (good[i][0] == '[' || good[i][0] == '{' || good[i][0] == '"')
                assert_int_equal(rc, -EINVAL);
        }
    }
}

/* Every byte value at every place of a word, in a string. */
static void test_every_byte_in_a_string(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        for (unsigned at = 1; at < 25; at++) {
            uint8_t text[27];
            memset(text, 'x', sizeof text);
            text[0] = text[26] = '"';
            text[at] = (uint8_t)c;
            bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            assert_int_equal(weir_json_check(place(text, sizeof text)), plain ? 0 : -EINVAL);
        }
    }
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * (WEIR_JSON_DEPTH_MAX + 1)];
    for (unsigned depth = WEIR_JSON_DEPTH_MAX; depth <= WEIR_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(weir_json_check(place(text, 2 * depth)),
                         depth == WEIR_JSON_DEPTH_MAX ? 0 : WEIR_E_LIMIT);
        text[2 * depth - 1] = '}';
        assert_int_equal(weir_json_check(place(text, 2 * depth)),
                         depth == WEIR_JSON_DEPTH_MAX ? -EINVAL : WEIR_E_LIMIT);
    }
    /* Levels remember what they are when others come and go above them. */
    assert_int_equal(check("{\"a\":[{\"b\":[]},{\"c\":{}}],\"d\":[[{}],{\"e\":[{}]}]}"), 0);
    assert_int_equal(check("{\"a\":[{\"b\":[]},{\"c\":{}}],\"d\":[[{}],{\"e\":[{}}]}]}"), -EINVAL);
}

/* ---- Walks ------------------------------------------------------------------------------- */

static void expect_slice(struct weir_slice slice, const char *text)
{
    if (slice.len != strlen(text) || memcmp(slice.ptr, text, slice.len) != 0)
        fail_msg("got %.*s, expected %s", (int)slice.len, (const char *)slice.ptr, text);
}

static void test_array(void **state)
{
    (void)state;
    struct weir_json_walk walk;
    struct weir_slice element;
    const char *text = " [ {\"a\":[1,2]} , \"x,]\" ,-1.5,[ ] ,null ] ";
    const char *const wanted[] = { "{\"a\":[1,2]}", "\"x,]\"", "-1.5", "[ ]", "null" };
    assert_int_equal(weir_json_array_begin(&walk, place(text, strlen(text))), 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(weir_json_array_next(&walk, &element), 1);
        expect_slice(element, wanted[i]);
    }
    assert_int_equal(weir_json_array_next(&walk, &element), 0);
    assert_int_equal(weir_json_array_begin(&walk, place("{}", 2)), -EINVAL);
    assert_int_equal(weir_json_array_begin(&walk, place("", 0)), -EINVAL);
    assert_int_equal(weir_json_array_begin(&walk, place(" [ ] ", 5)), 0);
    assert_int_equal(weir_json_array_next(&walk, &element), 0);
}

/* How an array goes on and ends, and where the walk says that it does not. */
static void test_array_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned count; /* elements before the error */
        size_t at;
    } cases[] = {
        { "[", 0, 1 },
        { "[1", 1, 2 },
        { "[1,", 1, 3 },
        { "[1,]", 1, 3 },
        { "[,1]", 0, 1 },
        { "[1 2]", 1, 3 },
        { "[1]]", 1, 3 },
        { "[1] x", 1, 4 },
        { "[1,2}", 2, 4 },
        { "[\"a\tb\"]", 0, 3 },
        { "[1,tru]", 1, 3 },
        { "[1,{\"a\":}]", 1, 8 },
        { "[1,\"\xff\"]", 1, 4 },
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_json_walk walk;
        struct weir_slice element, text = place(cases[i].text, strlen(cases[i].text));
        unsigned count = 0;
        int rc = weir_json_array_begin(&walk, text);
        assert_int_equal(rc, 0);
        while ((rc = weir_json_array_next(&walk, &element)) > 0)
            count++;
        if (rc != -EINVAL || count != cases[i].count || (size_t)(walk.at - text.ptr) != cases[i].at)
            fail_msg("%s: %d after %u elements at %zu", cases[i].text, rc, count,
                     (size_t)(walk.at - text.ptr));
    }
}

static void test_object(void **state)
{
    (void)state;
    struct weir_json_walk walk;
    struct weir_slice name, value;
    const char *text = " { \"a\" : 1 , \"b\\\"\":[{}],\"\": \"c\"}\n";
    assert_int_equal(weir_json_object_begin(&walk, place(text, strlen(text))), 0);
    const char *const wanted[][2] = { { "a", "1" }, { "b\\\"", "[{}]" }, { "", "\"c\"" } };
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(weir_json_object_next(&walk, &name, &value), 1);
        expect_slice(name, wanted[i][0]);
        expect_slice(value, wanted[i][1]);
    }
    assert_int_equal(weir_json_object_next(&walk, &name, &value), 0);
    assert_int_equal(weir_json_object_begin(&walk, place("[]", 2)), -EINVAL);
    assert_int_equal(weir_json_object_begin(&walk, place("{}", 2)), 0);
    assert_int_equal(weir_json_object_next(&walk, &name, &value), 0);
    static const char *const broken[] = { "{",           "{\"a\":1",     "{\"a\":1,",  "{\"a\":1,}",
                                          "{\"a\":1 \"", "{\"a\":1}x",   "{\"a\":1]",  "{,\"a\":1}",
                                          "{\"a\",1}",   "{\"a\":1,\"b", "{\"a\":1,2}" };
    for (unsigned i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        int rc = weir_json_object_begin(&walk, place(broken[i], strlen(broken[i])));
        while (rc >= 0 && (rc = weir_json_object_next(&walk, &name, &value)) > 0)
            continue;
        assert_int_equal(rc, -EINVAL);
    }
}

static void test_answers(void **state)
{
    (void)state;
    struct weir_json_walk walk;
    struct weir_json_answer answer;
    const char *text = "[{\"status\":200,\"body\":{\"x\":[1]}},{\"error\":\"no\",\"status\":404},"
                       "{\"status\":200},{\"status\":200,\"body\":1,\"error\":2},"
                       "{\"status\":400,\"body\":1,\"error\":2},{\"status\":200,\"error\":3},"
                       "{\"more\":[{\"status\":1}],\"status\":999,\"body\":null,\"st\":0}]";
    static const struct {
        uint16_t status;
        const char *value;
    } wanted[] = { { 200, "{\"x\":[1]}" }, { 404, "\"no\"" }, { 200, "" },    { 200, "1" },
                   { 400, "2" },           { 200, "3" },      { 999, "null" } };
    assert_int_equal(weir_json_array_begin(&walk, place(text, strlen(text))), 0);
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_int_equal(weir_json_answer_next(&walk, &answer), 1);
        assert_int_equal(answer.status, wanted[i].status);
        if (wanted[i].value[0] == '\0')
            assert_int_equal(answer.value.len, 0);
        else
            expect_slice(answer.value, wanted[i].value);
    }
    assert_int_equal(weir_json_answer_next(&walk, &answer), 0);
    static const char *const broken[] = {
        "[1]",
        "[[]]",
        "[null]",
        "[{}]",
        "[{\"body\":1}]",
        "[{\"status\":\"200\"}]",
        "[{\"status\":20}]",
        "[{\"status\":2000}]",
        "[{\"status\":100}]",
        "[{\"status\":2.0}]",
        "[{\"status\":-20}]",
        "[{\"status\":200,\"status\":200}]",
        "[{\"status\":true}]",
        "[{\"status\":200,\"body\":1,\"body\":1}]",
        "[{\"status\":200,\"error\":1,\"error\":1}]",
        "[{\"status\":200}",
        "[{\"status\":200]",
        "[{\"status\":200},]",
        "[{\"status\":200}]]",
        "[{\"status\":200,}]",
        "[{\"stat\\u0075s\":200}]",
        "[{\"status\":200 \"body\":1}]",
    };
    for (unsigned i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        int rc = weir_json_array_begin(&walk, place(broken[i], strlen(broken[i])));
        while (rc >= 0 && (rc = weir_json_answer_next(&walk, &answer)) > 0)
            continue;
        if (rc != -EINVAL)
            fail_msg("%s: %d", broken[i], rc);
    }
}

/* ---- Against another parser -------------------------------------------------------------- */

static uint64_t seed, draws;

static unsigned draw(unsigned below)
{
    return (unsigned)(weir_random_u64(seed, 1, draws++) % below);
}

static size_t put(char *out, const char *token)
{
    size_t len = strlen(token);
    memcpy(out, token, len);
    return len;
}

/* Tokens in an order that is often nearly right. Numbers fit a double and escapes are characters:
 * what the other parser refuses beyond the grammar does not come up. */
static size_t make_text(char *out)
{
    static const char *const tokens[] = {
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"a\":",
        "\"a\"",
        "1",
        "-0.5",
        "1e5 ",
        "true",
        "false",
        "null",
        "\"\\n\\u00e9\"",
        " ",
        "\n",
        "[]",
        "{}",
        "\"\"",
        "\"\xc3\xbc\"",
        "0",
        "tru",
        "\"\xc3\"",
        "\"b\":[",
        "},",
        "],",
        "\"long text with spaces\"",
    };
    size_t len = 0;
    bool array = draw(2) == 0;
    len += put(out + len, array ? "[" : "{\"k\":");
    for (unsigned n = draw(12); n > 0; n--)
        len += put(out + len, tokens[draw(sizeof tokens / sizeof tokens[0])]);
    len += put(out + len, array ? "]" : "}");
    return len;
}

static void test_same_as_another(void **state)
{
    (void)state;
    char text[1024];
    unsigned taken = 0;
    seed = 8259;
    print_message("seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; i < 200000; i++) {
        size_t len = make_text(text);
        json_error_t err;
        json_t *value = json_loadb(text, len, JSON_DECODE_ANY, &err);
        int rc = weir_json_check(place(text, len));
        if ((rc == 0) != (value != NULL))
            fail_msg("%.*s: %d, the other: %s", (int)len, text, rc, value ? "taken" : err.text);
        taken += rc == 0;
        json_decref(value);
    }
    assert_in_range(taken, 5000, 150000); /* both kinds came up */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_every_byte_in_a_string),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_array_errors),
        cmocka_unit_test(test_object),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_same_as_another),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
