/* SPDX-License-Identifier: MIT */
#include "mock/config/latency.c"

#include <setjmp.h>

#include <cmocka.h>
#include <unistd.h>

struct outcome {
    int result;
    char pointer[96];
    char text[400];
    char dist[512]; /* as weir_dist_format() writes it */
};

static struct outcome outcome_of(const char *json_text, bool tokens)
{
    struct outcome out = { .pointer = "untouched" };
    json_t *json = json_loads(json_text, JSON_DECODE_ANY, NULL);
    if (json == NULL)
        fail_msg("not JSON: %s", json_text);
    struct weir_dist *dist = NULL;
    out.result = (tokens ? latency_parse_tokens : latency_parse)(
        &dist, json, out.pointer, sizeof out.pointer, out.text, sizeof out.text);
    if (out.result == 0) {
        assert_true(weir_dist_format(out.dist, sizeof out.dist, dist) > 0);
        weir_dist_close(dist);
    } else {
        assert_null(dist);
    }
    json_decref(json);
    return out;
}

/* Is `json` the distribution that weir_dist_parse() makes of `text`? */
static void check_same(const char *json, const char *text, bool tokens)
{
    struct weir_dist *dist;
    char expected[512];
    if (weir_dist_parse(&dist, text) < 0)
        fail_msg("%s: %s", text, weir_error_text());
    assert_true(weir_dist_format(expected, sizeof expected, dist) > 0);
    weir_dist_close(dist);
    struct outcome got = outcome_of(json, tokens);
    if (got.result != 0)
        fail_msg("%s: %s: %s", json, got.pointer, got.text);
    assert_string_equal(got.dist, expected);
}

static void check_error(const char *json, const char *pointer, const char *text, bool tokens)
{
    struct outcome got = outcome_of(json, tokens);
    if (got.result != -EINVAL || strcmp(got.pointer, pointer) != 0 ||
        strstr(got.text, text) == NULL)
        fail_msg("%s: %d, '%s', '%s'", json, got.result, got.pointer, got.text);
}

static void test_kinds(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "\"5ms\"", "5ms" },
        { "\"lognormal:median=5ms,p99=20ms\"", "lognormal:median=5ms,p99=20ms" },
        { "0", "0" },
        { "{\"dist\":\"fixed\",\"value_us\":750}", "750us" },
        { "{\"dist\":\"fixed\",\"value_us\":0.5}", "500ns" },
        { "{\"dist\":\"fixed\",\"value_us\":750.3}", "750300ns" },
        { "{\"dist\":\"fixed\",\"value_us\":8640000000000}", "2400h" },
        { "{\"dist\":\"uniform\",\"min_us\":1000,\"max_us\":9000}", "uniform:min=1ms,max=9ms" },
        { "{\"max_us\":20000,\"stddev_us\":500,\"mean_us\":5000,\"dist\":\"normal\",\"min_us\":1}",
          "normal:mean=5ms,stddev=500us,min=1us,max=20ms" },
        { "{\"dist\":\"lognormal\",\"median_us\":5000,\"p99_us\":12000,\"max_us\":200000}",
          "lognormal:median=5ms,p99=12ms,max=200ms" },
        { "{\"dist\":\"lognormal\",\"median_us\":5000,\"p99.9_us\":12000}",
          "lognormal:median=5ms,p99.9=12ms" },
        { "{\"dist\":\"lognormal\",\"median_us\":5000,\"sigma\":0.38}",
          "lognormal:median=5ms,sigma=0.38" },
        { "{\"dist\":\"lognormal\",\"median_us\":5000,\"sigma\":0.38,\"p99_us\":null}",
          "lognormal:median=5ms,sigma=0.38" },
        { "{\"dist\":\"exponential\",\"mean_us\":5000}", "exponential:mean=5ms" },
        { "{\"dist\":\"gamma\",\"mean_us\":5000,\"shape\":2.0}", "gamma:mean=5ms,shape=2" },
        { "{\"dist\":\"pareto\",\"min_us\":2000,\"alpha\":2.5,\"max_us\":500000}",
          "pareto:min=2ms,alpha=2.5,max=500ms" },
        { "{\"dist\":\"table\",\"points\":[[0,800],[50,1200],[99.9,40000.5],[100,90000]]}",
          "table:0=800us,50=1.2ms,99.9=40000500ns,100=90ms" },
        { "{\"dist\":\"mix\",\"parts\":[[0.98,{\"dist\":\"fixed\",\"value_us\":5}],[0.02,\"1s\"]]}",
          "mix:0.98*fixed:5us;0.02*fixed:1s" },
        { "{\"dist\":\"mix\",\"parts\":[[0.1,\"1ms\"],[0.2,\"2ms\"],[0.7,0]]}",
          "mix:0.1*1ms;0.2*2ms;0.7*0" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_same(cases[i][0], cases[i][1], false);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        { "5", "", "expected a latency such as \"5ms\"" },
        { "null", "", "got null" },
        { "[]", "", "got an array" },
        { "\"5\"", "", "needs a unit" },
        { "\"\"", "", "" },
        { "{}", "/dist", "got nothing" },
        { "{\"dist\":5}", "/dist", "got 5" },
        { "{\"dist\":\"lognornal\"}", "/dist", "did you mean lognormal?" },
        { "{\"dist\":\"fixed\"}", "/value_us", "missing" },
        { "{\"dist\":\"fixed\",\"value\":5}", "/value", "did you mean value_us?" },
        { "{\"dist\":\"fixed\",\"value_us\":5,\"a/b~c\":1}", "/a~1b~0c",
          "fixed has dist, value_us" },
        { "{\"dist\":\"fixed\",\"value_us\":-1}", "/value_us", "got -1" },
        { "{\"dist\":\"fixed\",\"value_us\":\"5\"}", "/value_us", "got \"5\"" },
        { "{\"dist\":\"fixed\",\"value_us\":8640000000001}", "/value_us", "from 0 to" },
        { "{\"dist\":\"fixed\",\"value_us\":1e300}", "/value_us", "from 0 to" },
        { "{\"dist\":\"fixed\",\"value_us\":0.0001}", "/value_us", "whole nanoseconds" },
        { "{\"dist\":\"gamma\",\"mean_us\":5,\"shape\":-1}", "/shape", "got -1" },
        { "{\"dist\":\"gamma\",\"mean_us\":5,\"shape\":1e-17}", "/shape", "15 digits" },
        { "{\"dist\":\"gamma\",\"mean_us\":5,\"shape\":20000}", "", "0.05 ... 10000" },
        { "{\"dist\":\"lognormal\",\"median_us\":5}", "", "sigma or a higher percentile" },
        { "{\"dist\":\"lognormal\",\"median_us\":5,\"p99_us\":4}", "", "less than the median" },
        { "{\"dist\":\"uniform\",\"min_us\":5,\"max_us\":4}", "", "uniform" },
        { "{\"dist\":\"table\",\"points\":[]}", "/points", "expected [[percentage" },
        { "{\"dist\":\"table\",\"points\":[[0,1],[100]]}", "/points/1", "got an array" },
        { "{\"dist\":\"table\",\"points\":[[0,1],[\"a\",2]]}", "/points/1/0", "got \"a\"" },
        { "{\"dist\":\"table\",\"points\":[[0,1],[100,true]]}", "/points/1/1", "got true" },
        { "{\"dist\":\"table\",\"points\":[[0,1],[99,2]]}", "", "must be 100" },
        { "{\"dist\":\"hgrm\",\"file\":\"a,b\"}", "/file", "without ','" },
        { "{\"dist\":\"hgrm\",\"file\":7}", "/file", "got 7" },
        { "{\"dist\":\"mix\",\"parts\":[]}", "/parts", "expected [[share" },
        { "{\"dist\":\"mix\",\"parts\":[5]}", "/parts/0", "got 5" },
        { "{\"dist\":\"mix\",\"parts\":[[0.5,\"5ms\"]]}", "", "add up" },
        { "{\"dist\":\"mix\",\"parts\":[[0.5,\"5ms;0.5*9ms\"]]}", "/parts/0/1", "without ';'" },
        { "{\"dist\":\"mix\",\"parts\":[[1,{\"dist\":\"mix\",\"parts\":[]}]]}", "/parts/0/1/dist",
          "no mixture" },
        { "{\"dist\":\"mix\",\"parts\":[[1,{\"dist\":\"fixed\",\"value_us\":true}]]}",
          "/parts/0/1/value_us", "got true" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_error(cases[i][0], cases[i][1], cases[i][2], false);
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-latency-XXXXXX", json[200];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char rows[] = " Value Percentile TotalCount 1/(1-Percentile)\n\n"
                               "1.000 0.000000 1 1.00\n2.500 0.500000 5 2.00\n"
                               "9.000 1.000000 10 inf\n";
    assert_int_equal(write(fd, rows, sizeof rows - 1), sizeof rows - 1);
    close(fd);
    snprintf(json, sizeof json,
             "{\"dist\":\"hgrm\",\"file\":\"%s\",\"unit\":\"ms\",\"max_us\":8000}", path);
    struct outcome got = outcome_of(json, false);
    if (got.result != 0)
        fail_msg("%s", got.text);
    unlink(path);
    got = outcome_of(json, false);
    assert_int_equal(got.result, -ENOENT);
    assert_string_equal(got.pointer, "");
    assert_non_null(strstr(got.text, "hgrm"));
}

static void test_tokens(void **state)
{
    (void)state;
    check_same("{\"min\":1,\"max\":128}", "uniform:min=1ns,max=128ns", true);
    check_same("{\"mean\":200,\"stddev\":0}", "normal:mean=200ns,stddev=0ns,min=1ns,max=1ms", true);
    check_same("{\"median\":200,\"p99\":900,\"max\":2048}",
               "lognormal:median=200ns,p99=900ns,min=1ns,max=2048ns", true);
    check_error("5", "", "got 5", true);
    check_error("{}", "", "got an object", true);
    check_error("{\"min\":1}", "/max", "missing", true);
    check_error("{\"mean\":1}", "/stddev", "missing", true);
    check_error("{\"median\":1,\"p99\":2,\"mean\":3}", "/median", "no such key", true);
    check_error("{\"median\":1,\"p98\":2}", "/p98", "did you mean p99?", true);
    check_error("{\"min\":0,\"max\":5}", "/min", "from 1 to 1000000", true);
    check_error("{\"min\":1,\"max\":1000001}", "/max", "from 1 to 1000000", true);
    check_error("{\"min\":6,\"max\":5}", "/max", "no less than min", true);
    check_error("{\"min\":1.5,\"max\":5}", "/min", "got 1.5", true);
    check_error("{\"mean\":1,\"stddev\":-1}", "/stddev", "from 0", true);
    check_error("{\"median\":9,\"p99\":5}", "", "less than the median", true);
}

/* Errors fit into whatever room there is for them. */
static void test_short_buffers(void **state)
{
    (void)state;
    char key[300], json[400];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    snprintf(json, sizeof json, "{\"dist\":\"fixed\",\"value_us\":1,\"%s\":1}", key);
    struct outcome got = outcome_of(json, false);
    assert_int_equal(got.result, -EINVAL);
    assert_true(strlen(got.pointer) < sizeof got.pointer);
    json_t *parsed = json_loads(json, 0, NULL);
    char pointer[4], text[5];
    struct weir_dist *dist;
    assert_int_equal(latency_parse(&dist, parsed, pointer, sizeof pointer, text, sizeof text),
                     -EINVAL);
    assert_string_equal(pointer, "/kk");
    assert_string_equal(text, "no s");
    json_decref(parsed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_file),          cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_short_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
