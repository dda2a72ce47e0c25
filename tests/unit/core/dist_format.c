/* SPDX-License-Identifier: MIT */
#include "core/dist_format.c" /* its statics are tested too */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct weir_dist *parse(const char *text)
{
    struct weir_dist *dist = NULL;
    int err = weir_dist_parse(&dist, text);
    if (err < 0) {
        print_error("'%s': %d (%s)\n", text, err, weir_error_text());
        fail();
    }
    return dist;
}

static bool same_draws(const struct weir_dist *a, const struct weir_dist *b)
{
    for (uint64_t key = 0; key < 300; key++)
        if (weir_dist_draw_ns(a, 1, key, 0) != weir_dist_draw_ns(b, 1, key, 0))
            return false;
    return weir_dist_mean_ns(a) == weir_dist_mean_ns(b);
}

/* As it is written, and read again: the same text, the same draws. NULL: the text itself. */
static void check_text(const char *text, const char *expected)
{
    char first[512] = "", second[512] = "";
    struct weir_dist *dist = parse(text);
    int64_t len = weir_dist_format(first, sizeof first, dist);
    struct weir_dist *again = parse(first);
    int64_t again_len = weir_dist_format(second, sizeof second, again);
    expected = expected != NULL ? expected : text;
    bool ok = len == (int64_t)strlen(expected) && again_len == len && same_draws(dist, again);
    weir_dist_close(dist);
    weir_dist_close(again);
    if (ok && strcmp(first, expected) == 0 && strcmp(second, expected) == 0)
        return;
    print_error("'%s' became '%s', then '%s', expected '%s'\n", text, first, second, expected);
    fail();
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "5ms", "fixed:5ms" },
        { "0", "fixed:0ns" },
        { "fixed:1.9ms", NULL },
        { "fixed:1900us", "fixed:1.9ms" },
        { "fixed:999ns", NULL },
        { "fixed:1000ns", "fixed:1us" },
        { "fixed:1.000000001s", NULL },
        { "fixed:90m", "fixed:5400s" },
        { "fixed:2400h", "fixed:8640000s" },
        { "uniform:max=9ms,min=0", "uniform:min=0ns,max=9ms" },
        { "uniform:min=1ms,max=2400h", "uniform:min=1ms,max=8640000s" },
        { "normal:mean=5ms,stddev=500us", NULL },
        { "normal:min=0,max=7.5ms,stddev=0,mean=5ms", "normal:mean=5ms,stddev=0ns,max=7.5ms" },
        { "lognormal:median=5ms,p99=20ms", NULL },
        { "lognormal:p99.90=20ms,p50=5ms,max=1s", "lognormal:median=5ms,p99.9=20ms,max=1s" },
        { "lognormal:median=5ms,sigma=0.60,min=1us", "lognormal:median=5ms,sigma=0.6,min=1us" },
        { "exponential:mean=1.234567891s", NULL },
        { "gamma:mean=5ms,shape=2.0", "gamma:mean=5ms,shape=2" },
        { "gamma:mean=5ms,shape=0.123456789012345,max=9ms", NULL },
        { "pareto:min=2ms,alpha=2.5", NULL },
        { "pareto:max=500ms,min=2ms,alpha=1", "pareto:min=2ms,alpha=1,max=500ms" },
        { "table:0=800us,50=1.2ms,90=3ms,99=9ms,99.9=40ms,100=90ms", NULL },
        { "table:0=1ns,0.0000000000001=2ns,12.345678901234=3ns,99.9999999999999=4ns,100=5ns",
          NULL },
        { "table:10=1ms,100=2ms,min=1.5ms", "table:0=1ms,10=1ms,100=2ms,min=1.5ms" },
        { "mix:0.95*5ms;0.05*lognormal:p50=50ms,p99=200ms",
          "mix:0.95*fixed:5ms;0.05*lognormal:median=50ms,p99=200ms" },
        { "mix:1.0*5ms", "fixed:5ms" },
        { "mix:0.999999999999999*fixed:1ms;0.000000000000001*table:0=1s,100=2s", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_text(cases[i][0], cases[i][1]);
}

/* Of every percentage that can be written. */
static void test_percentages(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < UINT64_C(1000000000000000); n = n * 7 / 5 + 1) {
        char text[128], percent[48];
        snprintf(percent, sizeof percent, "%" PRIu64 ".%013" PRIu64, n / UINT64_C(10000000000000),
                 n % UINT64_C(10000000000000));
        size_t len = strlen(percent);
        while (percent[len - 1] == '0')
            len--;
        len -= percent[len - 1] == '.';
        snprintf(text, sizeof text, "table:0=0ns,%.*s=1us,100=1ms", (int)len, percent);
        check_text(text, NULL);
    }
}

static void test_hgrm(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-dist-XXXXXX", text[96], expected[96];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char rows[] = "Value Percentile\n1.5 0.0\n2.5 0.5\n10 1.0\n";
    assert_int_equal(write(fd, rows, sizeof rows - 1), sizeof rows - 1);
    close(fd);
    snprintf(text, sizeof text, "hgrm:%s,max=5us", path);
    snprintf(expected, sizeof expected, "hgrm:file=%s,unit=1us,max=5us", path);
    check_text(text, expected);
    assert_int_equal(unlink(path), 0);
}

/* Too small a buffer is told, and nothing behind it is touched. */
static void test_capacity(void **state)
{
    (void)state;
    struct weir_dist *dist = parse("mix:0.5*5ms;0.5*uniform:min=1ms,max=9ms");
    static const char expected[] = "mix:0.5*fixed:5ms;0.5*uniform:min=1ms,max=9ms";
    for (size_t capacity = 0; capacity <= sizeof expected; capacity++) {
        char *out = malloc(capacity);
        assert_non_null(out);
        int64_t len = weir_dist_format(out, capacity, dist);
        if (capacity < sizeof expected) {
            assert_int_equal(len, -ENOBUFS);
        } else {
            assert_int_equal(len, sizeof expected - 1);
            assert_string_equal(out, expected);
        }
        free(out);
    }
    assert_int_equal(weir_dist_format(NULL, 0, dist), -ENOBUFS);
    weir_dist_close(dist);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_percentages),
        cmocka_unit_test(test_hgrm),
        cmocka_unit_test(test_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
