/* SPDX-License-Identifier: MIT */
#include "perf/get/status.c"

#include "perf/get/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_of_errors(void **state)
{
    (void)state;
    assert_int_equal(get_status_of(0), 0);
    assert_int_equal(get_status_of(WEIR_E_URL), 3);
    assert_int_equal(get_status_of(WEIR_E_RESOLVE), 6);
    assert_int_equal(get_status_of(WEIR_E_CONNECT), 7);
    assert_int_equal(get_status_of(WEIR_E_PROTOCOL), 8);
    assert_int_equal(get_status_of(WEIR_E_TRUNCATED), 18);
    assert_int_equal(get_status_of(-ENOMEM), 27);
    assert_int_equal(get_status_of(WEIR_E_DEADLINE), 28);
    assert_int_equal(get_status_of(WEIR_E_CONNECT_TIMEOUT), 28);
    assert_int_equal(get_status_of(WEIR_E_TLS), 35);
    assert_int_equal(get_status_of(WEIR_E_CLOSED), 52);
    assert_int_equal(get_status_of(-EPIPE), 55);
    assert_int_equal(get_status_of(-ECONNRESET), 56);
    assert_int_equal(get_status_of(WEIR_E_CERTIFICATE), 60);
    assert_int_equal(get_status_of(WEIR_E_ENCODING), 61);
    assert_int_equal(get_status_of(WEIR_E_LIMIT), 63);
}

/* No failure looks like success. */
static void test_of_all_errors(void **state)
{
    (void)state;
    for (int err = -1; err > -6000; err--)
        assert_in_range(get_status_of(err), 1, 127);
}

static void test_of_http(void **state)
{
    (void)state;
    assert_int_equal(get_status_of_http(200), 0);
    assert_int_equal(get_status_of_http(399), 0);
    assert_int_equal(get_status_of_http(400), 22);
    assert_int_equal(get_status_of_http(503), 22);
}

/* Those that scripts may meet are told of in the help. */
static void test_in_the_help(void **state)
{
    (void)state;
    const char *table = strstr(get_options_help(), "Exit status");
    assert_non_null(table);
    for (int err = 0; err > -6000; err--) {
        char word[16];
        snprintf(word, sizeof(word), " %2d ", get_status_of(err));
        if (strstr(table, word) == NULL)
            fail_msg("%s is not in the help", word);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_errors),
        cmocka_unit_test(test_of_all_errors),
        cmocka_unit_test(test_of_http),
        cmocka_unit_test(test_in_the_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
