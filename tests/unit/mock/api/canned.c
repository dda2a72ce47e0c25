/* SPDX-License-Identifier: MIT */
#include "mock/api/canned.c"

#include <weir/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SEED 5

/* What lies ready is what would be rendered, wherever one looks. */
static void test_as_rendered(void **state)
{
    (void)state;
    print_message("seed %d\n", SEED);
    for (uint64_t i = 0; i < 200; i++) {
        uint32_t start = words_start(SEED, i, 0);
        uint32_t first = (uint32_t)(weir_random_u64(SEED, i, 1) % CANNED_TOKENS_MAX);
        uint32_t count = (uint32_t)(weir_random_u64(SEED, i, 2) % (CANNED_TOKENS_MAX - first)) + 1;
        struct weir_slice got = canned_tokens(start, first, count);
        struct text text = { 0 };
        reply_infer_tokens(&text, start, first, count);
        assert_int_equal(got.len, text.len);
        assert_memory_equal(got.ptr, text.ptr, text.len);
        assert_ptr_equal(canned_tokens(start, first, count).ptr, got.ptr); /* made once */
        text_free(&text);
    }
    canned_close();
}

static void test_no_more_than_there_are(void **state)
{
    (void)state;
    assert_true(canned_tokens(0, 0, CANNED_TOKENS_MAX).len > 0);
    assert_int_equal(canned_tokens(0, 1, CANNED_TOKENS_MAX).len, 0);
    assert_int_equal(canned_tokens(0, CANNED_TOKENS_MAX, 1).len, 0);
    assert_int_equal(canned_tokens(0, UINT32_MAX, UINT32_MAX).len, 0);
    canned_close();
    canned_close(); /* nothing is there any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_rendered),
        cmocka_unit_test(test_no_more_than_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
