/* SPDX-License-Identifier: MIT */
/* Values in place and from jansson's tree: where the first is sure, both say the same. */
#include "mock/api/node.c"

#include <weir/random.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct node raw_of(const char *text)
{
    struct node node;
    raw_node(&node, (struct weir_slice){ (const uint8_t *)text, strlen(text) });
    return node;
}

static void expect_number(const char *text, enum node_kind expected)
{
    struct node place = raw_of(text), tree;
    json_error_t at;
    assert_int_equal(node_from_tree(&tree, place.raw, &at), 0);
    if (place.kind != expected)
        fail_msg("%s is %s", text, node_kind_name(place.kind));
    if (expected != NODE_UNUSUAL) {
        assert_int_equal(tree.kind, expected);
        if (node_number(place) != node_number(tree))
            fail_msg("%s is not %.17g", text, node_number(place));
    }
    if (expected == NODE_INTEGER)
        assert_int_equal(node_integer(place), node_integer(tree));
    node_drop_tree(&tree);
}

static void test_numbers(void **state)
{
    (void)state;
    expect_number("0", NODE_INTEGER);
    expect_number("-0", NODE_INTEGER);
    expect_number("-999999999999999", NODE_UNUSUAL);
    expect_number("-99999999999999", NODE_INTEGER);
    expect_number("999999999999999", NODE_INTEGER);
    expect_number("9999999999999999", NODE_UNUSUAL);
    expect_number("0.1", NODE_REAL);
    expect_number("-1.5", NODE_REAL);
    expect_number("0.0000000000001", NODE_REAL);
    expect_number("1e1", NODE_UNUSUAL);
    expect_number("1E1", NODE_UNUSUAL);
    uint64_t seed = 11;
    print_message("seed %" PRIu64 "\n", seed);
    for (uint64_t i = 0; i < 20000; i++) {
        char text[32];
        uint64_t digits = weir_random_u64(seed, i, 0) % UINT64_C(100000000000000);
        int len = snprintf(text, sizeof text, "%" PRIu64, digits);
        if (len < 3)
            continue;
        int point = 1 + (int)(weir_random_u64(seed, i, 1) % (unsigned)(len - 1));
        if (text[0] == '0')
            point = 1;
        memmove(text + point + 1, text + point, (size_t)(len - point) + 1);
        text[point] = '.';
        expect_number(text, NODE_REAL);
    }
}

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(raw_of("null").kind, NODE_NULL);
    assert_int_equal(raw_of("true").kind, NODE_TRUE);
    assert_int_equal(raw_of("false").kind, NODE_FALSE);
    assert_int_equal(raw_of("{}").kind, NODE_OBJECT);
    assert_int_equal(raw_of("[]").kind, NODE_ARRAY);
    assert_int_equal(raw_of("\"\"").kind, NODE_STRING);
    assert_int_equal(raw_of("\"\\u0000\"").kind, NODE_UNUSUAL);
    assert_int_equal(raw_of("\"\\ud800\"").kind, NODE_UNUSUAL);
    assert_int_equal(raw_of("\"\\ud800x\\udc00\"").kind, NODE_UNUSUAL);
    assert_int_equal(raw_of("\"\\ud800\\ud800\"").kind, NODE_UNUSUAL);
    assert_int_equal(raw_of("\"\\udc00\\ud800\"").kind, NODE_UNUSUAL);
    assert_int_equal(raw_of("\"\\udbff\\udfff\"").kind, NODE_STRING);
    assert_true(node_is_usual(raw_of("[{\"a\":\"\\\\\\u0001\",\"b\":[1,2.5,-3]},true,\"e9\"]")));
    assert_false(node_is_usual(raw_of("[{\"a\":\"\\u0000\"}]")));
    assert_false(node_is_usual(raw_of("[{\"\\udc00\":1}]")));
    assert_false(node_is_usual(raw_of("[1,2,[1e5]]")));
    assert_false(node_is_usual(raw_of("{\"a\":1234567890123456}")));
    assert_false(node_is_usual(raw_of("\"\\u0000\"")));
    assert_true(node_is_usual((struct node){ .json = NULL }));
}

/* Each character, escaped in each way, against jansson. */
static void test_decoding(void **state)
{
    (void)state;
    for (uint32_t c = 1; c < 0x110000; c += c < 0x900 ? 1 : 37) {
        char text[40];
        uint8_t decoded[4];
        if (c >= 0xD800 && c < 0xE000)
            continue;
        if (c < 0x10000)
            snprintf(text, sizeof text, "\"x\\u%04x\"", c);
        else
            snprintf(text, sizeof text, "\"x\\u%04x\\u%04X\"", 0xD800 + ((c - 0x10000) >> 10),
                     0xDC00 + ((c - 0x10000) & 0x3FF));
        struct node place = raw_of(text), tree;
        json_error_t at;
        assert_int_equal(node_from_tree(&tree, place.raw, &at), 0);
        struct weir_slice expected = node_text(tree), rest = node_text(place);
        assert_int_equal(place.kind, NODE_STRING);
        assert_true(place.escapes && !tree.escapes);
        struct weir_slice piece = node_piece(&rest, decoded);
        assert_int_equal(piece.len, 1);
        piece = node_piece(&rest, decoded);
        assert_int_equal(rest.len, 0);
        assert_int_equal(piece.len, expected.len - 1);
        assert_memory_equal(piece.ptr, expected.ptr + 1, piece.len);
        node_drop_tree(&tree);
    }
}

static void test_members(void **state)
{
    (void)state;
    static const struct weir_slice names[] = { { (const uint8_t *)"a", 1 },
                                               { (const uint8_t *)"bc", 2 } };
    struct node out[2];
    assert_true(node_members(raw_of("{ \"bc\" : 7 , \"x\":[\"a\"]}"), names, 2, out));
    assert_int_equal(out[0].kind, NODE_MISSING);
    assert_int_equal(node_integer(out[1]), 7);
    assert_false(node_members(raw_of("{\"a\":1,\"a\":1}"), names, 2, out));
    assert_false(node_members(raw_of("{\"\\u0061\":1}"), names, 2, out));
    assert_false(node_members(raw_of("{\"x\":1e5}"), names, 2, out));
    assert_false(node_members(raw_of("{\"a\":1"), names, 2, out));
    assert_false(node_members(raw_of("{\"a\":1} x"), names, 2, out));
}

static void test_array(void **state)
{
    (void)state;
    struct node place = raw_of("[1, 2 ,3]"), tree, element;
    json_error_t at;
    assert_int_equal(node_from_tree(&tree, place.raw, &at), 0);
    for (int i = 0; i < 2; i++) {
        struct node_walk walk;
        node_array_begin(&walk, i == 0 ? place : tree);
        for (int64_t n = 1; n <= 3; n++) {
            assert_int_equal(node_array_next(&walk, &element), 1);
            assert_int_equal(node_integer(element), n);
        }
        assert_int_equal(node_array_next(&walk, &element), 0);
    }
    node_drop_tree(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_decoding), cmocka_unit_test(test_members),
        cmocka_unit_test(test_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
