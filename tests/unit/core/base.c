/* SPDX-License-Identifier: MIT */
#include "core/base.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_every_weir_error_has_a_text_and_a_name(void **state)
{
    (void)state;
#define XX(symbol, value, text)                                                                    \
    assert_int_equal(WEIR_E_##symbol, value);                                                      \
    assert_string_equal(weir_strerror(value), text);                                               \
    assert_string_equal(weir_err_name(value), "WEIR_E_" #symbol);
    WEIR_ERRORS(XX)
#undef XX
}

static void test_errno_results(void **state)
{
    (void)state;
    assert_string_equal(weir_strerror(-ECONNRESET), "Connection reset by peer");
    assert_string_equal(weir_err_name(-ECONNRESET), "ECONNRESET");
    assert_string_equal(weir_err_name(-EINVAL), "EINVAL");
    assert_string_equal(weir_strerror(0), "success");
    assert_string_equal(weir_err_name(0), "OK");
}

/* Also for values that are no results at all. */
static void test_never_null(void **state)
{
    (void)state;
    static const int strange[] = { 1,     ECONNRESET, -4000,     -4095,    -4096,
                                   -4999, -5999,      INT32_MIN, INT32_MAX };
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        assert_string_equal(weir_strerror(strange[i]), "unknown error");
        assert_string_equal(weir_err_name(strange[i]), "UNKNOWN");
    }
    for (int err = -6000; err <= 10; err++) {
        assert_non_null(weir_strerror(err));
        assert_non_null(weir_err_name(err));
    }
}

static void *thread_error_text(void *arg)
{
    *(bool *)arg = weir_error_text()[0] == '\0';
    weir_fail(-EIO, "of the other thread");
    return NULL;
}

static void test_error_text(void **state)
{
    (void)state;
    assert_string_equal(weir_error_text(), "");
    assert_int_equal(weir_fail(-EINVAL, "digits is %d: expected %s", 5, "1 ... 4"), -EINVAL);
    assert_string_equal(weir_error_text(), "digits is 5: expected 1 ... 4");
    assert_int_equal(weir_fail(WEIR_E_URL, "no scheme"), WEIR_E_URL);
    assert_string_equal(weir_error_text(), "no scheme");

    pthread_t thread;
    bool empty_at_first = false;
    assert_int_equal(pthread_create(&thread, NULL, thread_error_text, &empty_at_first), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(empty_at_first);
    assert_string_equal(weir_error_text(), "no scheme");
}

static void test_error_text_is_cut_off(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    weir_fail(-EINVAL, "%s", text);
    assert_int_equal(strlen(weir_error_text()), 511);
    assert_memory_equal(weir_error_text(), text, 511);
}

static void test_version(void **state)
{
    (void)state;
    char expected[64];
    snprintf(expected, sizeof expected, "%d.%d.%d", WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR,
             WEIR_VERSION_PATCH);
    assert_string_equal(weir_version(), expected);
}

static void test_arithmetic(void **state)
{
    (void)state;
    assert_false(weir_is_pow2(0));
    for (uint32_t bit = 0; bit < 64; bit++) {
        uint64_t power = UINT64_C(1) << bit;
        assert_true(weir_is_pow2(power));
        if (bit > 0)
            assert_false(weir_is_pow2(power + 1));
        if (bit > 1)
            assert_false(weir_is_pow2(power - 1));
    }
    assert_int_equal(weir_align_up(0, 64), 0);
    assert_int_equal(weir_align_up(1, 64), 64);
    assert_int_equal(weir_align_up(64, 64), 64);
    assert_int_equal(weir_align_up(65, 64), 128);
    assert_int_equal(weir_align_up(7, 1), 7);
    assert_int_equal(weir_min_u64(3, UINT64_MAX), 3);
    assert_int_equal(weir_min_u64(UINT64_MAX, 3), 3);
    assert_int_equal(weir_max_u64(3, UINT64_MAX), UINT64_MAX);
    assert_int_equal(weir_max_u64(UINT64_MAX, 3), UINT64_MAX);
}

static void test_slices(void **state)
{
    (void)state;
    struct weir_slice none = { NULL, 0 };
    char copy[] = "abc";
    assert_int_equal(WEIR_TEXT("abc").len, 3);
    assert_true(weir_slice_eq(WEIR_TEXT("abc"), (struct weir_slice){ (uint8_t *)copy, 3 }));
    assert_false(weir_slice_eq(WEIR_TEXT("abc"), WEIR_TEXT("abd")));
    assert_false(weir_slice_eq(WEIR_TEXT("abc"), WEIR_TEXT("ab")));
    assert_true(weir_slice_eq(none, WEIR_TEXT("")));
    assert_true(weir_slice_eq(none, none));
    assert_false(weir_slice_eq(none, WEIR_TEXT("a")));
    assert_false(weir_slice_eq(WEIR_TEXT("a\0b"), WEIR_TEXT("a\0c")));
}

static void test_fill_sized(void **state)
{
    (void)state;
    const uint32_t ours[2] = { 7, 9 };
    uint32_t older[2] = { 1, 1 };
    weir_fill_sized(older, sizeof *older, ours, sizeof ours);
    assert_int_equal(older[0], 7);
    assert_int_equal(older[1], 1); /* not theirs to be written to */
    uint32_t newer[3] = { 1, 1, 1 };
    weir_fill_sized(newer, sizeof newer, ours, sizeof ours);
    assert_int_equal(newer[1], 9);
    assert_int_equal(newer[2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_weir_error_has_a_text_and_a_name),
        cmocka_unit_test(test_errno_results),
        cmocka_unit_test(test_never_null),
        cmocka_unit_test(test_error_text),
        cmocka_unit_test(test_error_text_is_cut_off),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_fill_sized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
