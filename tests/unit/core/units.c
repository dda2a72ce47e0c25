/* SPDX-License-Identifier: MIT */
#include <weir/random.h>
#include <weir/units.h>

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED      20240613u
#define UNTOUCHED UINT64_C(0xdeadbeef)

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct good {
    const char *text;
    uint64_t value;
};

/* `said` is what the error text must contain, the text itself apart. */
struct bad {
    const char *text;
    int err;
    const char *said;
};

typedef int parse_fn(uint64_t *out, const char *text);

static void check_good(parse_fn *parse, const struct good *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        int err = parse(&value, cases[i].text);
        if (err == 0 && value == cases[i].value)
            continue;
        print_error("'%s': %d, %llu (%s)\n", cases[i].text, err, (unsigned long long)value,
                    weir_error_text());
        fail();
    }
}

static void check_bad(parse_fn *parse, const struct bad *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        int err = parse(&value, cases[i].text);
        char quoted[128];
        snprintf(quoted, sizeof quoted, "'%s'", cases[i].text);
        const char *text = weir_error_text();
        if (err == cases[i].err && value == UNTOUCHED && strstr(text, cases[i].said) != NULL &&
            strstr(text, quoted) == text)
            continue;
        print_error("'%s': %d, %llu (%s)\n", cases[i].text, err, (unsigned long long)value, text);
        fail();
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct good cases[] = {
        { "0", 0 },
        { "0s", 0 },
        { "0.0ms", 0 },
        { "10ns", 10 },
        { "750us", 750000 },
        { "1.9ms", 1900000 },
        { "5ms", 5000000 },
        { "0005ms", 5000000 },
        { "30s", UINT64_C(30000000000) },
        { "5m", UINT64_C(300000000000) },
        { "1h", UINT64_C(3600000000000) },
        { "1.5h", UINT64_C(5400000000000) },
        { "0.1m", UINT64_C(6000000000) },
        { "0.000000001s", 1 },
        { "0.00000000100000000000000000000000000000s", 1 },
        { "1.10us", 1100 },
        { "1.0ns", 1 },
        { "9223372036854775807ns", INT64_MAX },
        { "9223372036.854775807s", INT64_MAX },
        { "2562047.788h", UINT64_C(2562047788) * UINT64_C(3600000000) },
    };
    check_good(weir_parse_duration_ns, cases, COUNT(cases));
}

static void test_bad_durations(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        { "", -EINVAL, "is not a duration" },
        { "5", -EINVAL, "'5': a duration needs a unit (ns, us, ms, s, m, h)" },
        { "00", -EINVAL, "needs a unit" },
        { "1.5", -EINVAL, "needs a unit" },
        { "5 ms", -EINVAL, "' ms' is not a unit of a duration" },
        { " 5ms", -EINVAL, "is not a duration" },
        { "5ms ", -EINVAL, "'ms ' is not a unit" },
        { "-5ms", -EINVAL, "expected digits and a unit" },
        { "+5ms", -EINVAL, "expected digits and a unit" },
        { "5msx", -EINVAL, "'msx' is not a unit" },
        { "5MS", -EINVAL, "(ns, us, ms, s, m, h; no space before it)" },
        { "5d", -EINVAL, "'d' is not a unit" },
        { "1e3ms", -EINVAL, "'e3ms' is not a unit" },
        { "0x10ms", -EINVAL, "'x10ms' is not a unit" },
        { "1,5ms", -EINVAL, "',5ms' is not a unit" },
        { "ms", -EINVAL, "is not a duration" },
        { ".5ms", -EINVAL, "is not a duration" },
        { "5.ms", -EINVAL, "is not a duration" },
        { "1.2.3ms", -EINVAL, "'.3ms' is not a unit" },
        { "inf", -EINVAL, "is not a duration" },
        { "0.5ns", -EINVAL, "finer than a nanosecond" },
        { "1.0000001us", -EINVAL, "finer than a nanosecond" },
        { "0.0000000000000000000000001h", -EINVAL, "finer than a nanosecond" },
        { "9223372036854775808ns", -ERANGE, "at most 292 years" },
        { "9223372036.854775808s", -ERANGE, "too large" },
        { "18446744073709551616ns", -ERANGE, "too large" },
        { "99999999999999999999999999999999999999999h", -ERANGE, "too large" },
        { "18446744073709551615h", -ERANGE, "too large" },
        { "99999999999999999999999999999999999999999x", -EINVAL, "'x' is not a unit" },
    };
    check_bad(weir_parse_duration_ns, cases, COUNT(cases));
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct good cases[] = {
        { "0", 0 },
        { "4096", 4096 },
        { "512B", 512 },
        { "64KiB", 65536 },
        { "10kB", 10000 },
        { "10KB", 10000 },
        { "10MB", 10000000 },
        { "16MiB", UINT64_C(16) << 20 },
        { "2GiB", UINT64_C(2) << 30 },
        { "3GB", UINT64_C(3000000000) },
        { "1TB", UINT64_C(1000000000000) },
        { "1TiB", UINT64_C(1) << 40 },
        { "1.5KiB", 1536 },
        { "18446744073709551615", UINT64_MAX },
        { "16777215.5TiB", (UINT64_C(33554431) << 39) },
    };
    check_good(weir_parse_size_bytes, cases, COUNT(cases));
}

static void test_bad_sizes(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        { "", -EINVAL, "is not a size: expected digits and a unit" },
        { "64K", -EINVAL, "'K' is not a unit of a size (B, KB, MB, GB, TB, KiB" },
        { "64kib", -EINVAL, "'kib' is not a unit" },
        { "64 KiB", -EINVAL, "no space before it" },
        { "-1", -EINVAL, "is not a size" },
        { "1.5", -EINVAL, "finer than a byte" },
        { "1.3KiB", -EINVAL, "finer than a byte" },
        { "18446744073709551616", -ERANGE, "at most 2^64 - 1 bytes" },
        { "16777216TiB", -ERANGE, "too large" },
    };
    check_bad(weir_parse_size_bytes, cases, COUNT(cases));
}

static int parse_5_to_99(uint64_t *out, const char *text)
{
    return weir_parse_number(out, text, 5, 99);
}

static int parse_any(uint64_t *out, const char *text)
{
    return weir_parse_number(out, text, 0, UINT64_MAX);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct good cases[] = { { "5", 5 }, { "99", 99 }, { "007", 7 } };
    check_good(parse_5_to_99, cases, COUNT(cases));
    static const struct good any[] = { { "0", 0 }, { "18446744073709551615", UINT64_MAX } };
    check_good(parse_any, any, COUNT(any));
    static const struct bad bad[] = {
        { "", -EINVAL, "expected only digits, 5 ... 99" },
        { "-7", -EINVAL, "expected only digits" },
        { "+7", -EINVAL, "expected only digits" },
        { " 7", -EINVAL, "expected only digits" },
        { "7 ", -EINVAL, "expected only digits" },
        { "7.0", -EINVAL, "expected only digits" },
        { "7x", -EINVAL, "expected only digits" },
        { "0x7", -EINVAL, "expected only digits" },
        { "4", -ERANGE, "expected 5 ... 99" },
        { "100", -ERANGE, "expected 5 ... 99" },
        { "18446744073709551623", -ERANGE, "expected 5 ... 99" }, /* 7 more than 2^64 */
    };
    check_bad(parse_5_to_99, bad, COUNT(bad));
    static const struct bad any_bad[] = {
        { "18446744073709551616", -ERANGE, "0 ... 18446744073709551615" },
    };
    check_bad(parse_any, any_bad, COUNT(any_bad));
}

static void test_fractions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {
        { "0", 0 },         { "1", 1 },
        { "0.25", 0.25 },   { "0.1", 0.1 },
        { "1.000", 1 },     { "0.001", 0.001 },
        { "0.999", 0.999 }, { "0.10000000000000000000000000000", 0.1 },
        { "00.5", 0.5 },    { "0.3333333333333333333333333", 1.0 / 3 },
        { "0.000000", 0 },  { "0.0000000000000000000000001", 0 },
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        double value = -1;
        assert_int_equal(weir_parse_fraction(&value, good[i].text), 0);
        if (fabs(value - good[i].value) > 1e-16)
            fail_msg("'%s' is %.17g", good[i].text, value);
    }
    static const struct bad bad[] = {
        { "", -EINVAL, "expected 0 ... 1 as in 0.25" },
        { "-0.1", -EINVAL, "is not a fraction" },
        { ".5", -EINVAL, "is not a fraction" },
        { "1.", -EINVAL, "is not a fraction" },
        { "1e-3", -EINVAL, "is not a fraction" },
        { "nan", -EINVAL, "is not a fraction" },
        { "0,5", -EINVAL, "is not a fraction" },
        { "50%", -EINVAL, "is not a fraction" },
        { "1.01", -ERANGE, "expected 0 ... 1" },
        { "2", -ERANGE, "expected 0 ... 1" },
        { "1.0000000000000000000000000001", -ERANGE, "expected 0 ... 1" },
        { "18446744073709551616", -ERANGE, "expected 0 ... 1" },
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        double value = -1;
        assert_int_equal(weir_parse_fraction(&value, bad[i].text), bad[i].err);
        assert_true(value == -1);
        assert_non_null(strstr(weir_error_text(), bad[i].said));
    }
}

/* A text that is longer than the error text must not push the expectation out of it. */
static void test_long_text(void **state)
{
    (void)state;
    char text[2000];
    memset(text, '7', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    uint64_t value;
    assert_int_equal(weir_parse_duration_ns(&value, text), -EINVAL);
    assert_non_null(strstr(weir_error_text(), "(ns, us, ms, s, m, h)"));
}

static void test_format(void **state)
{
    (void)state;
    static const struct good cases[] = {
        { "0ns", 0 },
        { "1ns", 1 },
        { "999ns", 999 },
        { "1us", 1000 },
        { "1us", 1004 },
        { "1.01us", 1005 },
        { "750us", 750000 },
        { "1.9ms", 1900000 },
        { "1.05ms", 1050000 },
        { "1.23ms", 1234567 },
        { "12.3ms", 12345678 },
        { "123ms", 123456789 },
        { "10us", 9999 },
        { "100us", 99960 },
        { "1ms", 999500 },
        { "999us", 999499 },
        { "1s", 999999999 },
        { "30s", UINT64_C(30000000000) },
        { "59.9s", UINT64_C(59949999999) },
        { "1m", UINT64_C(59950000000) },
        { "1.5m", UINT64_C(90000000000) },
        { "1h", UINT64_C(3599999999999) },
        { "1h", UINT64_C(3600000000000) },
        { "24h", UINT64_C(86400000000000) },
        { "2560000h", INT64_MAX },
        { "5120000h", UINT64_MAX },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[WEIR_DURATION_TEXT_BYTES];
        assert_ptr_equal(weir_format_duration(text, cases[i].value), text);
        assert_string_equal(text, cases[i].text);
    }
}

/* What is printed can be read again, and is within half a unit of the third digit. */
static void test_format_parses_back(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    for (uint64_t key = 0; key < 100000; key++) {
        uint64_t ns = weir_random_u64(SEED, key, 0) >> (1 + key % 63);
        char text[WEIR_DURATION_TEXT_BYTES];
        uint64_t back;
        weir_format_duration(text, ns);
        if (weir_parse_duration_ns(&back, text) != 0)
            fail_msg("%llu: %s", (unsigned long long)ns, weir_error_text());
        double error = fabs((double)back - (double)ns);
        if (error > 0.005 * (double)ns)
            fail_msg("%llu became %s", (unsigned long long)ns, text);
        char again[WEIR_DURATION_TEXT_BYTES];
        assert_string_equal(weir_format_duration(again, back), text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_bad_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_fractions),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_parses_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
