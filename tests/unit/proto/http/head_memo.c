/* SPDX-License-Identifier: MIT */
/* A remembered head tells the same as a parsed one, wherever its bytes lie. */
#include "proto/http/head_memo.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define FIELDS 16

static struct weir_http1_field fields[2][FIELDS];
static const struct weir_http1_limits limits = { .head_bytes_max = 4096,
                                                 .target_bytes_max = 1024,
                                                 .fields_max = FIELDS };

static struct weir_slice text_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static bool parse(struct weir_http1_head *head, struct weir_slice in)
{
    uint32_t resume = 0;
    struct weir_parse_err err;
    return weir_http1_parse_request(head, &limits, in, &resume, &err) == WEIR_PARSE_DONE;
}

static void check_same(const struct weir_http1_head *a, const struct weir_http1_head *b)
{
    assert_ptr_equal(a->base, b->base);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->fields_count, b->fields_count);
    assert_int_equal(a->framing, b->framing);
    assert_int_equal(a->content_length, b->content_length);
    assert_int_equal(a->keep_alive, b->keep_alive);
    const struct weir_slice *from[] = { &a->method, &a->target, &a->host };
    const struct weir_slice *to[] = { &b->method, &b->target, &b->host };
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(from[i]->ptr, to[i]->ptr);
        assert_int_equal(from[i]->len, to[i]->len);
    }
    for (unsigned i = 0; i < a->fields_count; i++) {
        assert_true(weir_slice_eq(weir_http1_name(a, i), weir_http1_name(b, i)));
        assert_ptr_equal(weir_http1_value(a, i).ptr, weir_http1_value(b, i).ptr);
    }
}

static void test_hit_tells_the_same(void **state)
{
    (void)state;
    const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /a?x=1 HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 7\r\nA:\r\n\r\n{\"a\":1}",
        "GET http://h:1/p HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\nGET",
        "GET / HTTP/1.0\r\n\r\n",
    };
    for (unsigned i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct weir_head_memo memo = { 0 };
        struct weir_http1_head a = { .fields = fields[0] }, b = { .fields = fields[1] };
        struct weir_slice in = text_of(heads[i]);
        assert_false(weir_head_memo_hit(&memo, &a, in));
        assert_true(parse(&a, in));
        weir_head_memo_store(&memo, &a, in);
        for (unsigned at = 0; at < 3; at++) { /* the same bytes elsewhere */
            char copy[512];
            memcpy(copy + at, heads[i], in.len);
            struct weir_slice again = { (const uint8_t *)copy + at, in.len };
            assert_true(weir_head_memo_hit(&memo, &a, again));
            assert_true(parse(&b, again));
            check_same(&a, &b);
            assert_int_equal(a.bytes, b.bytes);
        }
    }
}

static void test_any_other_byte_misses(void **state)
{
    (void)state;
    static const char head[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    struct weir_head_memo memo = { 0 };
    struct weir_http1_head a = { .fields = fields[0] };
    struct weir_slice in = { (const uint8_t *)head, sizeof head - 1 };
    assert_true(parse(&a, in));
    weir_head_memo_store(&memo, &a, in);
    for (size_t i = 0; i < in.len; i++) {
        char other[sizeof head];
        memcpy(other, head, sizeof head);
        other[i] ^= 1;
        assert_false(
            weir_head_memo_hit(&memo, &a, (struct weir_slice){ (const uint8_t *)other, in.len }));
        assert_false(weir_head_memo_hit(&memo, &a, (struct weir_slice){ in.ptr, i }));
    }
    assert_true(weir_head_memo_hit(&memo, &a, in));
}

static void test_what_is_not_remembered(void **state)
{
    (void)state;
    struct weir_head_memo memo = { 0 };
    struct weir_http1_head a = { .fields = fields[0] };
    struct weir_slice in = text_of("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(parse(&a, in));
    weir_head_memo_store(&memo, &a, in);
    assert_int_equal(memo.bytes, 0);
    char text[WEIR_HEAD_MEMO_BYTES + 64];
    snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\nHost: a\r\n\r\n", (int)WEIR_HEAD_MEMO_BYTES,
             0);
    in = text_of(text);
    assert_true(parse(&a, in));
    weir_head_memo_store(&memo, &a, in);
    assert_int_equal(memo.bytes, 0);
}

/* Heads that never repeat cost next to nothing; one that begins to repeat is found. */
static void test_gives_up_and_comes_back(void **state)
{
    (void)state;
    struct weir_head_memo memo = { 0 };
    struct weir_http1_head a = { .fields = fields[0] };
    char text[64];
    unsigned stored = 0;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(text, sizeof text, "GET /%u HTTP/1.1\r\nHost: a\r\n\r\n", i);
        struct weir_slice in = text_of(text);
        assert_false(weir_head_memo_hit(&memo, &a, in));
        assert_true(parse(&a, in));
        weir_head_memo_store(&memo, &a, in);
        stored += memo.bytes > 0;
    }
    assert_in_range(stored, 1, 10000 / 10);
    unsigned misses = 0;
    for (unsigned i = 0; i < 1000; i++) {
        struct weir_slice in = text_of("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
        if (weir_head_memo_hit(&memo, &a, in))
            continue;
        misses++;
        assert_true(parse(&a, in));
        weir_head_memo_store(&memo, &a, in);
    }
    assert_in_range(misses, 1, WEIR_HEAD_MEMO_REST + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hit_tells_the_same),
        cmocka_unit_test(test_any_other_byte_misses),
        cmocka_unit_test(test_what_is_not_remembered),
        cmocka_unit_test(test_gives_up_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
