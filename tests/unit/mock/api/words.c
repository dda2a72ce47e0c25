/* SPDX-License-Identifier: MIT */
#include "mock/api/words.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_words(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < WORDS_COUNT; i++) {
        struct weir_slice word = words_one(0, i), again = words_one(i, WORDS_COUNT);
        assert_ptr_equal(word.ptr, again.ptr);
        assert_true(word.len >= 2 && word.len <= WORDS_ONE_BYTES);
        assert_true(word.ptr + WORDS_ONE_BYTES <= (uint8_t *)words_text + sizeof words_text);
        assert_int_equal(word.ptr[0], ' ');
        for (size_t j = 1; j < word.len; j++)
            assert_true(word.ptr[j] >= 'a' && word.ptr[j] <= 'z');
    }
}

/* Many at once are what one after the other is, across the end of the list too. */
static void test_many(void **state)
{
    (void)state;
    static char text[3 * WORDS_COUNT * WORDS_ONE_BYTES];
    static const uint32_t starts[] = { 0, 1, 77, WORDS_COUNT - 2, WORDS_COUNT - 1 };
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        uint64_t bytes = 0;
        for (uint32_t count = 0; count < 2 * WORDS_COUNT + 9; count++) {
            if (count > 0)
                bytes += words_one(starts[s], count - 1).len - (count == 1);
            assert_int_equal(words_bytes(starts[s], count), bytes);
            if (count % 97 > 8)
                continue;
            char *end = words_write(text, starts[s], count), *at = text;
            assert_int_equal(end - text, bytes);
            for (uint32_t i = 0; i < count; i++) {
                struct weir_slice word = words_one(starts[s], i);
                assert_memory_equal(at, word.ptr + (i == 0), word.len - (i == 0));
                at += word.len - (i == 0);
            }
        }
    }
}

/* Seed, key and choice all make a difference, and nothing else does. */
static void test_start(void **state)
{
    (void)state;
    unsigned same = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint32_t start = words_start(7, i, 0);
        assert_true(start < WORDS_COUNT && start % WORDS_STRIDE == 0);
        assert_int_equal(words_start(7, i, 0), start);
        same += words_start(8, i, 0) == start;
        same += words_start(7, i + 1000, 0) == start;
        same += words_start(7, i, 1) == start;
    }
    assert_in_range(same, 3000 / WORDS_STARTS / 2, 3000 / WORDS_STARTS * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
