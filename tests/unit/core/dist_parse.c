/* SPDX-License-Identifier: MIT */
#include "core/dist_parse.c" /* its statics are tested too */

#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct weir_slice slice(const char *text)
{
    return (struct weir_slice){ .ptr = (const uint8_t *)text, .len = strlen(text) };
}

static void test_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool taken, taken_rounded, rounds;
        uint64_t digits;
        uint32_t places;
    } cases[] = {
        { "0", true, true, false, 0, 0 },
        { "007", true, true, false, 7, 0 },
        { "1.5", true, true, false, 15, 1 },
        { "1.500", true, true, false, 15, 1 },
        { "1.000000000000000000000000000", true, true, false, 1, 0 },
        { "0.95", true, true, false, 95, 2 },
        { "10.05", true, true, false, 1005, 2 },
        { "99.999", true, true, false, 99999, 3 },
        { "0.000000000000001", true, true, false, 1, 15 },
        { "0.0000000000000001", false, true, true, 0, 0 },
        { "123456789012345", true, true, false, 123456789012345, 0 },
        { "000123456789012345", true, true, false, 123456789012345, 0 },
        { "1234567890123456", false, false, false, 0, 0 },
        { "123456789012345.6", false, true, true, 123456789012345, 0 },
        { "1.00000000000000019", false, true, true, 1, 0 },
        { "1.50000000000000000019", false, true, true, 15, 1 },
        { "1.23456789012345678", false, true, true, 123456789012345, 14 },
        { "", false, false, false, 0, 0 },
        { ".", false, false, false, 0, 0 },
        { ".5", false, false, false, 0, 0 },
        { "5.", false, false, false, 0, 0 },
        { "1.2.3", false, false, false, 0, 0 },
        { "-1", false, false, false, 0, 0 },
        { "+1", false, false, false, 0, 0 },
        { "1e3", false, false, false, 0, 0 },
        { "0x1", false, false, false, 0, 0 },
        { " 1", false, false, false, 0, 0 },
        { "1 ", false, false, false, 0, 0 },
        { "inf", false, false, false, 0, 0 },
        { "1,5", false, false, false, 0, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_dist_decimal exact = { 77, 7 }, rounded = { 77, 7 };
        bool rounds = false;
        bool ok = weir_dist_decimal_scan(&exact, slice(cases[i].text), NULL) == cases[i].taken;
        ok = ok && weir_dist_decimal_scan(&rounded, slice(cases[i].text), &rounds) ==
                       cases[i].taken_rounded;
        if (cases[i].taken)
            ok = ok && exact.digits == cases[i].digits && exact.places == cases[i].places;
        else
            ok = ok && exact.digits == 77 && exact.places == 7;
        if (cases[i].taken_rounded)
            ok = ok && rounded.digits == cases[i].digits && rounded.places == cases[i].places &&
                 rounds == cases[i].rounds;
        if (ok)
            continue;
        print_error("'%s': %llu x 10^-%u, rounded %llu x 10^-%u\n", cases[i].text,
                    (unsigned long long)exact.digits, exact.places,
                    (unsigned long long)rounded.digits, rounded.places);
        fail();
    }
}

/* The nearest double, as the compiler finds it. */
static void test_decimal_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        { "0.95", 0.95 }, { "99.9", 99.9 },
        { "0.1", 0.1 },   { "123456.789012345", 123456.789012345 },
        { "2.5", 2.5 },   { "0.000000000000001", 0.000000000000001 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_dist_decimal decimal;
        assert_true(weir_dist_decimal_scan(&decimal, slice(cases[i].text), NULL));
        assert_true(weir_dist_decimal_value(decimal, 0) == cases[i].value);
    }
    struct weir_dist_decimal percent = { .digits = 999, .places = 1 };
    assert_true(weir_dist_decimal_value(percent, 2) == 0.999);
}

/* Each accepted text, with three of its quantiles: the least, the median and the greatest. */
static void test_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t least, median, greatest;
    } cases[] = {
        { "5ms", 5000000, 5000000, 5000000 },
        { "0", 0, 0, 0 },
        { "fixed:5ms", 5000000, 5000000, 5000000 },
        { "fixed:value=750us", 750000, 750000, 750000 },
        { "fixed:2400h", WEIR_DIST_NS_MAX, WEIR_DIST_NS_MAX, WEIR_DIST_NS_MAX },
        { "uniform:min=1ms,max=9ms", 1000000, 5000000, 9000000 },
        { "uniform:max=9ms,min=1ms", 1000000, 5000000, 9000000 },
        { "uniform:min=7ns,max=7ns", 7, 7, 7 },
        { "normal:mean=5ms,stddev=500us", 0, 5000000, WEIR_DIST_NS_MAX },
        { "normal:stddev=0,mean=5ms", 5000000, 5000000, 5000000 },
        { "normal:mean=5ms,stddev=1ms,min=2ms,max=4ms", 2000000, 4000000, 4000000 },
        { "lognormal:median=5ms,p99=20ms", 0, 5000000, WEIR_DIST_NS_MAX },
        { "lognormal:p50=5ms,p99.99=20ms,max=1s", 0, 5000000, 1000000000 },
        { "lognormal:p95=20ms,p50=5ms,min=1ms", 1000000, 5000000, WEIR_DIST_NS_MAX },
        { "lognormal:median=5ms,sigma=0.6", 0, 5000000, WEIR_DIST_NS_MAX },
        { "lognormal:median=5ms,sigma=0", 5000000, 5000000, 5000000 },
        { "lognormal:median=5ms,p99=5ms", 5000000, 5000000, 5000000 },
        { "exponential:mean=1s", 0, 693147181, WEIR_DIST_NS_MAX },
        { "gamma:mean=1s,shape=1", 0, 693147181, WEIR_DIST_NS_MAX },
        { "pareto:min=2ms,alpha=1", 2000000, 4000000, WEIR_DIST_NS_MAX },
        { "pareto:min=2ms,alpha=1,max=3ms", 2000000, 3000000, 3000000 },
        { "table:0=1ms,50=2ms,100=9ms", 1000000, 2000000, 9000000 },
        { "table:100=9ms", 9000000, 9000000, 9000000 },
        { "table:min=2ms,0=1ms,100=9ms,max=4ms", 2000000, 4000000, 4000000 },
        { "table:0.0000000000001=1ns,99.9999999999999=2ns,100=1h", 1, 2, 3600000000000 },
        { "mix:1*5ms", 5000000, 5000000, 5000000 },
        { "mix:0.9*fixed:1ms;0.1*uniform:min=2ms,max=3ms", 1000000, 1000000, 3000000 },
        { "mix:0.4*7ms;0.3*uniform:min=2ms,max=3ms;0.3*table:0=1ms,100=9ms", 1000000, 6333333,
          9000000 },
        { "mix:0.999999999999999*1ms;0.000000000000001*2ms", 1000000, 1000000, 2000000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_dist *dist = NULL;
        int err = weir_dist_parse(&dist, cases[i].text);
        if (err < 0) {
            print_error("'%s': %d (%s)\n", cases[i].text, err, weir_error_text());
            fail();
        }
        uint64_t least = weir_dist_quantile_ns(dist, 0), median = weir_dist_quantile_ns(dist, 0.5);
        uint64_t greatest = weir_dist_quantile_ns(dist, 1);
        weir_dist_close(dist);
        /* The interpolated gamma and the counted mixture may miss by what they promise. */
        uint64_t slack = cases[i].median / 1000000;
        if (least == cases[i].least && median + slack >= cases[i].median &&
            median <= cases[i].median + slack && greatest == cases[i].greatest)
            continue;
        print_error("'%s': %llu, %llu, %llu\n", cases[i].text, (unsigned long long)least,
                    (unsigned long long)median, (unsigned long long)greatest);
        fail();
    }
}

struct bad {
    const char *text;
    int err;
    const char *said;
};

static void check_bad(const char *text, int err, const char *said)
{
    struct weir_dist *untouched = (struct weir_dist *)&err, *dist = untouched;
    int found = weir_dist_parse(&dist, text);
    if (found == err && dist == untouched && strstr(weir_error_text(), said) == weir_error_text())
        return;
    print_error("'%.200s': %d (%s), expected %d (%s)\n", text, found, weir_error_text(), err, said);
    fail();
}

static void check_all_bad(const struct bad *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_bad(cases[i].text, cases[i].err, cases[i].said);
}

static void test_refused_kinds(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        { "", -EINVAL, "'' is no kind of distribution: expected a duration, fixed, " },
        { "5", -EINVAL, "fixed: value: '5': a duration needs a unit" },
        { "-5ms", -EINVAL, "'-5ms' is no kind of distribution" },
        { "Fixed:5ms", -EINVAL, "'Fixed' is no kind of distribution" },
        { "5ms:x", -EINVAL, "'5ms' is no kind of distribution" },
        { " 5ms", -EINVAL, "' 5ms' is no kind of distribution" },
        { "poisson:mean=5ms", -EINVAL, "'poisson' is no kind of distribution: expected" },
        { "fixed", -EINVAL, "fixed: missing: value" },
        { "fixed:", -EINVAL, "fixed: '' is no field: expected NAME=VALUE" },
        { "fixed:5ms,", -EINVAL, "fixed: '' is no field" },
        { "fixed:5ms,6ms", -EINVAL, "fixed: '6ms' is no field" },
        { "fixed:5ms,value=6ms", -EINVAL, "fixed: 'value' is given twice" },
        { "fixed:value=", -EINVAL, "fixed: value: ''" },
        { "fixed:=5ms", -EINVAL, "fixed: '' is none of its fields: expected value" },
        { "fixed:5ms,max=6ms", -EINVAL, "fixed: 'max' is none of its fields: expected value" },
        { "fixed:5 ms", -EINVAL, "fixed: value: '5 ms'" },
        { "fixed:0.5ns", -EINVAL, "fixed: value: '0.5ns' is finer than a nanosecond" },
        { "fixed:2401h", -ERANGE, "fixed: value: '2401h' is too large: a delay is at most 2400h" },
        { "fixed:9999999999999h", -ERANGE, "fixed: value: '9999999999999h' is too large" },
        { "fixed:1000000000000000000000000000000000000000000000000000000000000000ns", -EINVAL,
          "fixed: value: '10000000" },
        { "uniform:min=1ms", -EINVAL, "uniform: missing: max" },
        { "uniform:5ms", -EINVAL, "uniform: '5ms' is no field" },
        { "uniform:min=2ms,max=1ms", -EINVAL, "uniform: min is more than max" },
        { "normal:", -EINVAL, "normal: '' is no field" },
        { "normal:max=5ms", -EINVAL, "normal: missing: mean, stddev" },
        { "normal:mean=5ms", -EINVAL, "normal: missing: stddev" },
        { "normal:mean=5ms,stddev=1", -EINVAL, "normal: stddev: '1'" },
        { "normal:mean=5ms,stddev=1ms,sigma=1", -EINVAL,
          "normal: 'sigma' is none of its fields: expected min, max, mean, stddev" },
        { "normal:mean=5ms,stddev=1ms,min=2ms,max=1ms", -EINVAL, "normal: min is more than max" },
        { "exponential:max=5ms", -EINVAL, "exponential: missing: mean" },
        { "exponential:mean=0", -ERANGE, "exponential: mean: must be more than 0" },
    };
    check_all_bad(cases, sizeof cases / sizeof cases[0]);
}

static void test_refused_shapes(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        { "lognormal:p99=5ms", -EINVAL, "lognormal: missing: median" },
        { "lognormal:median=0,p99=5ms", -ERANGE, "lognormal: median: must be more than 0" },
        { "lognormal:median=5ms", -EINVAL, "lognormal: expected either sigma or a higher" },
        { "lognormal:median=5ms,p99=9ms,sigma=1", -EINVAL, "lognormal: expected either sigma" },
        { "lognormal:median=5ms,p50=5ms", -EINVAL, "lognormal: 'p50' is given twice" },
        { "lognormal:median=5ms,p99=9ms,p90=7ms", -EINVAL, "lognormal: 'p90' is given twice" },
        { "lognormal:median=5ms,p99=4ms", -EINVAL, "lognormal: the higher percentile is less" },
        { "lognormal:median=5ms,p10=4ms", -ERANGE, "lognormal: the second percentile must lie" },
        { "lognormal:median=5ms,p100=9ms", -ERANGE, "lognormal: the second percentile must lie" },
        { "lognormal:median=5ms,p101=9ms", -ERANGE, "lognormal: the second percentile must lie" },
        { "lognormal:median=5ms,p99.00000000000001=9ms", -EINVAL,
          "lognormal: 'p99.00000000000001'" },
        { "lognormal:median=5ms,p=9ms", -EINVAL, "lognormal: 'p' is none of its fields" },
        { "lognormal:median=5ms,p9x=9ms", -EINVAL, "lognormal: 'p9x' is none of its fields" },
        { "lognormal:median=1ns,p51=1h", -ERANGE, "lognormal: the percentiles make a sigma of" },
        { "lognormal:median=5ms,sigma=10.1", -ERANGE,
          "lognormal: sigma: '10.1' is out of range: expected 0 ... 10" },
        { "lognormal:median=5ms,sigma=-1", -EINVAL, "lognormal: sigma: '-1' is not a decimal" },
        { "lognormal:median=5ms,sigma=1ms", -EINVAL, "lognormal: sigma: '1ms' is not a decimal" },
        { "lognormal:median=5ms,sigma=nan", -EINVAL, "lognormal: sigma: 'nan' is not a decimal" },
        { "gamma:mean=5ms", -EINVAL, "gamma: missing: shape" },
        { "gamma:mean=0,shape=1", -ERANGE, "gamma: mean: must be more than 0" },
        { "gamma:mean=5ms,shape=0.04", -ERANGE, "gamma: shape: '0.04' is out of range: expected" },
        { "gamma:mean=5ms,shape=10001", -ERANGE, "gamma: shape: '10001' is out of range" },
        { "pareto:alpha=2", -EINVAL, "pareto: missing: min" },
        { "pareto:min=2ms", -EINVAL, "pareto: missing: alpha" },
        { "pareto:min=0,alpha=2", -ERANGE, "pareto: min: must be more than 0" },
        { "pareto:min=2ms,alpha=0", -ERANGE, "pareto: alpha: '0' is out of range: expected 0.01" },
        { "pareto:min=2ms,alpha=2,max=1ms", -EINVAL, "pareto: min is more than max" },
    };
    check_all_bad(cases, sizeof cases / sizeof cases[0]);
}

static void test_refused_tables(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        { "table:", -EINVAL, "table: '' is no field" },
        { "table:min=1ms", -EINVAL, "table: expected percentages, as in 0=1ms" },
        { "table:0=1ms,50=2ms", -EINVAL, "table: the last percentage must be 100" },
        { "table:0=1ms,100=2ms,100=3ms", -EINVAL, "table: 100%: percentages must increase" },
        { "table:50=1ms,10=2ms,100=3ms", -EINVAL, "table: 10%: percentages must increase" },
        { "table:0=2ms,100=1ms", -EINVAL, "table: 100%: '1ms' is less than at the percentage" },
        { "table:0=1ms,101=2ms", -ERANGE, "table: '101' is not a percentage: expected 0 ... 100" },
        { "table:0=1ms,1x=2ms", -EINVAL, "table: '1x' is not a percentage" },
        { "table:0=1ms,0.00000000000001=2ms", -ERANGE, "table: '0.00000000000001' is not" },
        { "table:0=1ms,p50=2ms,100=3ms", -EINVAL,
          "table: 'p50' is none of its fields: expected percentages, min, max" },
        { "table:0=1,100=3ms", -EINVAL, "table: 0%: '1': a duration needs a unit" },
        { "table:0=1ms,100=2401h", -ERANGE, "table: 100%: '2401h' is too large" },
        { "table:0=1ms,min=3ms,100=2ms,max=1ms", -EINVAL, "table: min is more than max" },
        { "hgrm:unit=us", -EINVAL, "hgrm: missing: file" },
        { "hgrm:", -EINVAL, "hgrm: '' is no field" },
        { "hgrm:file=", -EINVAL, "hgrm: file: expected the name of a file" },
        { "hgrm:/nowhere/x.hgrm", -ENOENT, "hgrm: file: /nowhere/x.hgrm: cannot be opened: No" },
        { "hgrm:file=/,unit=ms", -EINVAL, "hgrm: file: /: is not a file" },
        { "hgrm:file=/,unit=parsec", -EINVAL, "hgrm: unit: 'parsec' is no unit: expected ns, us" },
        { "hgrm:file=/,unit=", -EINVAL, "hgrm: unit: '' is no unit" },
        { "hgrm:file=/,unit=0ms", -EINVAL, "hgrm: unit: '0ms' is no unit" },
        { "hgrm:file=/,unit=-1ms", -EINVAL, "hgrm: unit: '-1ms' is no unit" },
        { "hgrm:file=/,unit=5", -EINVAL, "hgrm: unit: '5' is no unit" },
        { "hgrm:file=/,unit=usususususususususususususususususususususususususususususususus",
          -EINVAL, "hgrm: unit: 'usususus" },
    };
    check_all_bad(cases, sizeof cases / sizeof cases[0]);
}

static void test_refused_mixtures(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        { "mix", -EINVAL, "mix: part 1: expected WEIGHT*DISTRIBUTION, as in 0.95*fixed:5ms" },
        { "mix:", -EINVAL, "mix: part 1: expected WEIGHT*" },
        { "mix:5ms", -EINVAL, "mix: part 1: expected WEIGHT*" },
        { "mix:0.5*1ms", -EINVAL, "mix: the weights add up to 0.5: expected 1" },
        { "mix:0.5*1ms;", -EINVAL, "mix: part 2: expected WEIGHT*" },
        { "mix:0.5*1ms;0.6*2ms", -ERANGE, "mix: part 2: the weights add up to more than 1" },
        { "mix:2*1ms", -EINVAL, "mix: part 1: weight: '2' is not a decimal above 0" },
        { "mix:0*1ms;1*2ms", -EINVAL, "mix: part 1: weight: '0' is not a decimal above 0" },
        { "mix:x*1ms", -EINVAL, "mix: part 1: weight: 'x' is not a decimal" },
        { "mix:*1ms", -EINVAL, "mix: part 1: weight: '' is not a decimal" },
        { "mix:1*", -EINVAL, "mix: part 1: '' is no kind of distribution: expected a duration" },
        { "mix:0.5*1ms;0.5*foo:1", -EINVAL, "mix: part 2: 'foo' is no kind of distribution" },
        { "mix:0.5*1ms;0.5*fixed:1", -EINVAL, "mix: part 2: fixed: value: '1': a duration needs" },
        { "mix:0.5*1ms;0.5*mix:1*1ms", -EINVAL, "mix: part 2: a mixture holds no mixture" },
        { "mix:0.5*1ms;0.5*table:0=1ms", -EINVAL, "mix: part 2: table: the last percentage" },
        { "mix:0.333*1ms;0.333*2ms;0.333*3ms", -EINVAL, "mix: the weights add up to 0.999" },
        { "mix:0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.0625*0;"
          "0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.0625*0;0.1*0",
          -ERANGE, "mix: there are more than 16 parts" },
    };
    check_all_bad(cases, sizeof cases / sizeof cases[0]);
}

/* The number of points is that of all tables. */
static void test_limits(void **state)
{
    (void)state;
    static char text[WEIR_DIST_POINTS_MAX * 32];
    for (int more = 0; more < 2; more++) {
        size_t len = (size_t)snprintf(text, sizeof text, "mix:0.5*table:0=0,100=1s;0.5*table:");
        for (int i = 0; i < WEIR_DIST_POINTS_MAX - 3 + more; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "%d.%04d=%dns,", i / 10000,
                                    i % 10000, i);
        snprintf(text + len, sizeof text - len, "100=1s");
        if (more) {
            check_bad(text, -ERANGE, "mix: part 2: table: 100%: there are more than 4096 points");
            continue;
        }
        struct weir_dist *dist = NULL;
        assert_int_equal(weir_dist_parse(&dist, text), 0);
        assert_int_equal(dist->parts[1].points_count, WEIR_DIST_POINTS_MAX - 2);
        weir_dist_close(dist);
    }
    memset(text, 'x', PATH_MAX + 8);
    memcpy(text, "hgrm:", 5);
    text[PATH_MAX + 8] = '\0';
    check_bad(text, -EINVAL, "hgrm: file: expected the name of a file");
    memset(text, '9', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    check_bad(text, -EINVAL, "fixed: value: '99999999");
    memset(text, 'x', sizeof text - 1);
    check_bad(text, -EINVAL, "'xxxxxxxx");
}

static void test_hgrm(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-dist-XXXXXX", text[96];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char rows[] = "Value Percentile\n1.5 0.0\n2.5 0.5\n10 1.0\n#";
    assert_int_equal(write(fd, rows, sizeof rows - 1), sizeof rows - 1);
    close(fd);
    static const struct {
        const char *format;
        uint64_t median, greatest;
    } cases[] = {
        { "hgrm:%s", 2500, 10000 },
        { "hgrm:file=%s", 2500, 10000 },
        { "hgrm:unit=ms,file=%s", 2500000, 10000000 },
        { "hgrm:%s,unit=100ns,max=0.9us", 250, 900 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text, cases[i].format, path);
        struct weir_dist *dist = NULL;
        assert_int_equal(weir_dist_parse(&dist, text), 0);
        assert_int_equal(weir_dist_quantile_ns(dist, 0.5), cases[i].median);
        assert_int_equal(weir_dist_quantile_ns(dist, 1), cases[i].greatest);
        weir_dist_close(dist);
    }
    assert_int_equal(unlink(path), 0);
}

/* Every prefix and every text with one byte changed is taken or refused, nothing else. */
static void test_damaged(void **state)
{
    (void)state;
    static const char text[] = "mix:0.5*lognormal:p50=5ms,p99.9=20ms,max=1s;0.25*table:0=1ms,"
                               "99.9=2ms,100=3ms;0.25*gamma:mean=1ms,shape=2.5";
    static const char bytes[] = "0.9=,;*:pmx-\xff ";
    for (size_t at = 0; at < sizeof text - 1; at++) {
        for (size_t i = 0; i < sizeof bytes; i++) { /* the NUL cuts it */
            char copy[sizeof text];
            memcpy(copy, text, sizeof text);
            copy[at] = bytes[i];
            struct weir_dist *dist = NULL;
            int err = weir_dist_parse(&dist, copy);
            assert_true(err == 0 || err == -EINVAL || err == -ERANGE);
            assert_true((err == 0) == (dist != NULL));
            weir_dist_close(dist);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_decimal_values),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused_kinds),
        cmocka_unit_test(test_refused_shapes),
        cmocka_unit_test(test_refused_tables),
        cmocka_unit_test(test_refused_mixtures),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_hgrm),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
