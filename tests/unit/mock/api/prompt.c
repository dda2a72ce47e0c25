/* SPDX-License-Identifier: MIT */
#include "mock/api/prompt.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* However a text is cut into pieces, its hash is the same. */
static void test_pieces(void **state)
{
    (void)state;
    uint8_t text[600];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7 + 1);
    for (size_t len = 0; len <= sizeof text; len += 13) {
        struct prompt whole, cut;
        prompt_init(&whole);
        text_begin(&whole);
        text_piece(&whole, (struct weir_slice){ text, len });
        text_end(&whole, 1);
        for (size_t step = 1; step < 40; step++) {
            prompt_init(&cut);
            text_begin(&cut);
            for (size_t at = 0; at < len; at += step)
                text_piece(&cut,
                           (struct weir_slice){ text + at, len - at < step ? len - at : step });
            text_end(&cut, 1);
            assert_true(cut.hash == whole.hash);
            assert_int_equal(cut.bytes, len);
            assert_int_equal(cut.has_prefix, len > 0);
            assert_true(cut.prefix_hash == whole.prefix_hash);
            assert_int_equal(cut.prefix_tokens, whole.prefix_tokens);
        }
    }
}

static uint64_t hash_of(const char *first, const char *second)
{
    struct prompt prompt;
    char json[2][64];
    prompt_init(&prompt);
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? first : second;
        if (text == NULL)
            continue;
        int len = snprintf(json[i], sizeof json[i], "\"%s\"", text);
        prompt_add(&prompt, (struct node){ .kind = NODE_STRING,
                                           .raw = { (const uint8_t *)json[i], (size_t)len } });
    }
    return prompt.hash;
}

/* Where one text ends and the next begins counts, and so do zeros at the end. */
static void test_borders(void **state)
{
    (void)state;
    uint64_t hashes[] = {
        hash_of(NULL, NULL),       hash_of("", NULL),       hash_of("", ""),   hash_of("a", NULL),
        hash_of("ab", NULL),       hash_of("a", "b"),       hash_of("", "ab"), hash_of("ab", ""),
        hash_of("abcdefgh", NULL), hash_of("abcd", "efgh"), hash_of("b", "a"),
    };
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++)
        for (size_t j = 0; j < i; j++)
            if (hashes[i] == hashes[j])
                fail_msg("%zu and %zu are the same", i, j);
    struct prompt prompt;
    prompt_init(&prompt);
    prompt_add_tokens(&prompt, WEIR_TEXT("image_url"), 85);
    assert_int_equal(prompt.tokens, 85);
    assert_false(prompt.has_prefix);
}

static void test_ids(void **state)
{
    (void)state;
    struct prompt few, many;
    prompt_init(&few);
    prompt_init(&many);
    prompt_begin_ids(&few);
    prompt_begin_ids(&many);
    for (uint64_t i = 0; i < 100; i++) {
        if (i < 64)
            prompt_add_id(&few, i);
        prompt_add_id(&many, i);
    }
    prompt_end_ids(&few);
    prompt_end_ids(&many);
    assert_int_equal(few.tokens, 64);
    assert_int_equal(many.tokens, 100);
    assert_int_equal(many.prefix_tokens, 64);
    assert_true(few.prefix_hash == many.prefix_hash);
    assert_true(few.hash != many.hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
