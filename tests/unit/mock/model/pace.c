/* SPDX-License-Identifier: MIT */
#include "mock/model/pace.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_due(void **state)
{
    (void)state;
    struct pace pace = pace_begin(1000, 200, 30000);
    assert_int_equal(pace.due_ns, 31200);
    assert_int_equal(pace.tokens_count, 0);
    uint64_t due_ns = 31200;
    for (uint32_t i = 1; i <= 500; i++) {
        pace_next(&pace, 750000 + i);
        due_ns += 750000 + i;
        assert_int_equal(pace.due_ns, due_ns);
        assert_int_equal(pace.tokens_count, i);
    }
}

static void test_linear(void **state)
{
    (void)state;
    const struct pace_linear linear = { .ttft_base_ns = 30000000,
                                        .ttft_per_prompt_token_ns = 250000,
                                        .itl_base_ns = 11200000,
                                        .itl_per_running_ns = 800000 };
    assert_int_equal(pace_linear_ttft(&linear, 0), 30000000);
    assert_int_equal(pace_linear_ttft(&linear, 256), 94000000);
    assert_int_equal(pace_linear_itl(&linear, 1), 12000000);
    assert_int_equal(pace_linear_itl(&linear, 16), 24000000);
}

/* What does not fit stays at the end of time: it never comes out early. */
static void test_saturates(void **state)
{
    (void)state;
    struct pace pace = pace_begin(UINT64_MAX - 10, 5, 5);
    assert_true(pace.due_ns == UINT64_MAX);
    pace_next(&pace, 1);
    assert_true(pace.due_ns == UINT64_MAX);
    pace = pace_begin(UINT64_MAX - 10, 11, 0);
    assert_true(pace.due_ns == UINT64_MAX);
    const struct pace_linear linear = { .ttft_base_ns = 1,
                                        .ttft_per_prompt_token_ns = UINT64_MAX / 2,
                                        .itl_base_ns = UINT64_MAX,
                                        .itl_per_running_ns = 1 };
    assert_true(pace_linear_ttft(&linear, 1) == UINT64_MAX / 2 + 1);
    assert_true(pace_linear_ttft(&linear, 3) == UINT64_MAX);
    assert_true(pace_linear_itl(&linear, 0) == UINT64_MAX);
    assert_true(pace_linear_itl(&linear, 1) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
