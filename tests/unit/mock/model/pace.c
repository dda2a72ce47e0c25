/* SPDX-License-Identifier: MIT */
#include "mock/model/pace.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
