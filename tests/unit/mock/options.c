/* SPDX-License-Identifier: MIT */
#include "mock/options.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ARGS_MAX 16

static struct options options;
static struct options_error error;

/* Parse a NULL-terminated list of arguments. */
static int parse(const char *first, ...)
{
    static char name[] = "weir-mock";
    char *argv[ARGS_MAX + 2] = { name };
    int argc = 1;
    va_list args;
    va_start(args, first);
    for (const char *arg = first; arg != NULL; arg = va_arg(args, const char *)) {
        assert_true(argc <= ARGS_MAX);
        argv[argc++] = (char *)(uintptr_t)arg;
    }
    va_end(args);
    error.text[0] = '\0';
    return options_parse(&options, argc, argv, &error);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL), OPTIONS_RUN);
    assert_string_equal(options.listen, "127.0.0.1:8080");
    assert_int_equal(options.threads, 1);
    assert_int_equal(options.cpus_count, 0);
    assert_true(options.error_rate <= 0);
    const char *const not_given[] = { options.config,   options.admin,          options.request_log,
                                      options.latency,  options.ttft,           options.itl,
                                      options.tokens,   options.preset,         options.seed,
                                      options.tls_cert, options.concurrency_max };
    for (size_t i = 0; i < sizeof not_given / sizeof not_given[0]; i++)
        assert_null(not_given[i]);
    assert_int_equal(options.conns_max, 16384);
    assert_int_equal(options.body_bytes_max, 1 << 20);
    assert_int_equal(options.journal_count, 65536);
    assert_int_equal(options.drain_timeout_ns, 30 * NS_PER_S);
    assert_false(options.strict_models);
    assert_false(options.defer_accept);
    assert_false(options.realtime);
}

static void test_all(void **state)
{
    (void)state;
    assert_int_equal(parse("--listen", "[::1]:0", "--threads=2", "--cpu", "0,3", "--latency",
                           "750us", "--error-rate=0.25", "--seed", "9223372036854775807", NULL),
                     OPTIONS_RUN);
    assert_string_equal(options.listen, "[::1]:0");
    assert_int_equal(options.threads, 2);
    assert_int_equal(options.cpus_count, 2);
    assert_int_equal(options.cpus[0], 0);
    assert_int_equal(options.cpus[1], 3);
    assert_string_equal(options.latency, "750us");
    assert_true(options.error_rate > 0.2499);
    assert_true(options.error_rate < 0.2501);
    assert_string_equal(options.seed, "9223372036854775807");
    assert_int_equal(parse("--max-concurrency", "0", "--max-conns=10000", "--max-body", "64KiB",
                           "--journal", "0", "--drain-timeout", "0", "--strict-models",
                           "--defer-accept", "--realtime", NULL),
                     OPTIONS_RUN);
    assert_string_equal(options.concurrency_max, "0");
    assert_int_equal(options.conns_max, 10000);
    assert_int_equal(options.body_bytes_max, 65536);
    assert_int_equal(options.journal_count, 0);
    assert_int_equal(options.drain_timeout_ns, 0);
    assert_true(options.strict_models);
    assert_true(options.defer_accept);
    assert_true(options.realtime);
    assert_int_equal(options_descriptors_max(&options), 10000 + 8 + 32);
}

/* What goes into the configuration is checked here and handed on as it is. */
static void test_texts(void **state)
{
    (void)state;
    assert_int_equal(parse("--latency", "lognormal:median=5ms,p99=20ms", "--ttft=2400h", "--itl",
                           "mix:0.5*1ms;0.5*gamma:mean=2ms,shape=3", "--tokens", "1000000", NULL),
                     OPTIONS_RUN);
    assert_string_equal(options.latency, "lognormal:median=5ms,p99=20ms");
    assert_string_equal(options.ttft, "2400h");
    assert_string_equal(options.itl, "mix:0.5*1ms;0.5*gamma:mean=2ms,shape=3");
    assert_string_equal(options.tokens, "1000000");
    assert_int_equal(parse("--config", "a file", "--preset=gpt4o", "--request-log", "-", NULL),
                     OPTIONS_RUN);
    assert_string_equal(options.config, "a file");
    assert_string_equal(options.preset, "gpt4o");
    assert_string_equal(options.request_log, "-");
}

static void test_admin(void **state)
{
    (void)state;
    assert_int_equal(parse("--admin", "9090", NULL), OPTIONS_RUN);
    assert_string_equal(options.admin, "127.0.0.1:9090");
    assert_int_equal(parse("--admin", "0", NULL), OPTIONS_RUN);
    assert_string_equal(options.admin, "127.0.0.1:0");
    assert_int_equal(parse("--admin", "[::1]:9090", NULL), OPTIONS_RUN);
    assert_string_equal(options.admin, "[::1]:9090");
}

static void test_help_and_version(void **state)
{
    (void)state;
    assert_int_equal(parse("--check-config", "--threads", "2", NULL), OPTIONS_CHECK_CONFIG);
    assert_int_equal(options.threads, 2);
    assert_int_equal(parse("--check-config", "--threads", "0", NULL), -EINVAL);
    assert_int_equal(parse("--check-config", "--help", NULL), OPTIONS_HELP);
    assert_int_equal(parse("--help", NULL), OPTIONS_HELP);
    assert_int_equal(parse("--latency", "1ms", "--version", NULL), OPTIONS_VERSION);
}

/* An option that --help does not tell of, or the other way round, is a mistake. */
static void test_help_names_every_option(void **state)
{
    (void)state;
    size_t count = 0;
    for (const char *at = options_help; (at = strstr(at, "--")) != NULL; at += 2)
        count += at[-2] == ' ' || at[-2] == ','; /* not one that is spoken of */
    assert_int_equal(count, OPTION_COUNT);
    for (int i = 0; i < OPTION_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", option_table[i].name);
        if (strstr(options_help, name) == NULL)
            fail_msg("%s is not in --help", name);
    }
}

static void expect_error(const char *name, const char *value, const char *told)
{
    int rc = parse(name, value, NULL);
    if (rc != -EINVAL)
        fail_msg("%s %s: expected an error, got %d", name, value != NULL ? value : "", rc);
    if (strstr(error.text, told) == NULL || strstr(error.text, name) == NULL)
        fail_msg("%s %s: expected '%s' in: %s", name, value != NULL ? value : "", told, error.text);
}

static void test_bad_values(void **state)
{
    (void)state;
    expect_error("--threads", "0", "1");
    expect_error("--threads", "257", "256");
    expect_error("--threads", "two", "two");
    expect_error("--latency", "5", "5");
    expect_error("--latency", "-5ms", "-5ms");
    expect_error("--latency", "2401h", "2400h");
    expect_error("--latency", "", "expected");
    expect_error("--latency", "zipf:a=2", "zipf");
    expect_error("--ttft", "uniform:min=2ms,max=1ms", "min");
    expect_error("--itl", "5", "5");
    expect_error("--tokens", "0", "1");
    expect_error("--tokens", "1000001", "1000000");
    expect_error("--admin", "65536", "65535");
    expect_error("--seed", "9223372036854775808", "9223372036854775807");
    expect_error("--error-rate", "1.5", "1");
    expect_error("--error-rate", "20%", "20%");
    expect_error("--seed", "-1", "-1");
    expect_error("--max-concurrency", "1000001", "1000000");
    expect_error("--max-conns", "0", "1");
    expect_error("--max-body", "0", "1GiB");
    expect_error("--max-body", "2GiB", "1GiB");
    expect_error("--max-body", "big", "big");
    expect_error("--journal", "16777217", "16777216");
    expect_error("--drain-timeout", "2h", "1h");
    expect_error("--drain-timeout", "soon", "soon");
    expect_error("--cpu", "", "commas");
    expect_error("--cpu", "0,", "commas");
    expect_error("--cpu", ",1", "commas");
    expect_error("--cpu", "a", "a");
    expect_error("--cpu", "1024", "1023");
    expect_error("--cpu", "0000000000000000000001", "commas");
    expect_error("--cpu", "0,1", "one for each of 1 threads");
}

static void test_bad_usage(void **state)
{
    (void)state;
    expect_error("--latency", NULL, "expected a value");
    expect_error("--conf", "file", "no such option");
    expect_error("--check-config=file", NULL, "without a value");
    expect_error("--config", NULL, "expected a value");
    expect_error("--lat", "5ms", "no such option");
    expect_error("--bogus=5", NULL, "no such option");
    expect_error("--strict-models=yes", NULL, "without a value");
    expect_error("-t", "2", "no such option");
    expect_error("-", NULL, "expected options only");
    expect_error("8080", NULL, "expected options only");
    assert_int_equal(parse("--threads", "2", "stray", NULL), -EINVAL);
    assert_non_null(strstr(error.text, "stray"));
    assert_int_equal(parse("--", "stray", NULL), -EINVAL);
    assert_non_null(strstr(error.text, "stray"));
}

static void test_bad_combinations(void **state)
{
    (void)state;
    assert_int_equal(parse("--threads", "4", "--cpu", "0,1", NULL), -EINVAL);
    assert_non_null(strstr(error.text, "4 threads"));
    assert_int_equal(parse("--threads", "4", "--cpu", "1", NULL), OPTIONS_RUN);
    assert_int_equal(parse("--threads", "4", "--max-conns", "3", NULL), -EINVAL);
    assert_non_null(strstr(error.text, "--max-conns"));
    assert_int_equal(parse("--threads", "2", "--listen", "unix:/x", NULL), -EINVAL);
    assert_non_null(strstr(error.text, "unix"));
    assert_int_equal(parse("--listen", "unix:/x", NULL), OPTIONS_RUN);
}

static void test_too_many_cpus(void **state)
{
    (void)state;
    char list[OPTIONS_THREADS_MAX * 2 + 2];
    for (size_t i = 0; i < sizeof list - 1; i++)
        list[i] = i % 2 == 0 ? '0' : ',';
    list[sizeof list - 1] = '\0';
    expect_error("--cpu", list, "at most 256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_help_names_every_option),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_usage),
        cmocka_unit_test(test_bad_combinations),
        cmocka_unit_test(test_too_many_cpus),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_admin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
