/* SPDX-License-Identifier: MIT */
#include "mock/start.c"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct options_error error;
static const char pattern[] = "/tmp/weir-start-XXXXXX";

/* A file that says `text`, for options.config; the next one takes its place. */
static const char *file_of(const char *text)
{
    static char name[sizeof pattern];
    memcpy(name, pattern, sizeof name);
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    return name;
}

static struct config *start(const struct options *options)
{
    struct config *config = NULL;
    error.text[0] = '\0';
    if (start_config(&config, options, &error) < 0)
        fail_msg("%s", error.text);
    if (options->config != NULL)
        assert_int_equal(unlink(options->config), 0);
    return config;
}

static void expect_error(const struct options *options, const char *told)
{
    struct config *config = NULL;
    error.text[0] = '\0';
    assert_int_equal(start_config(&config, options, &error), -EINVAL);
    assert_null(config);
    if (strstr(error.text, told) == NULL)
        fail_msg("expected '%s' in: %s", told, error.text);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *config = start(&(struct options){ 0 });
    assert_int_equal(config->generation, 1);
    assert_int_equal(config->tokens, 100);
    assert_int_equal(config->limits.concurrency.max, 100);
    assert_int_equal(config->faults_count, 0);
    assert_int_equal(weir_dist_quantile_ns(config->latency.delay, 1), 0);
    assert_false(config->strict_models);
    config_drop(config);
}

static void test_options(void **state)
{
    (void)state;
    struct config *config = start(&(struct options){
        .latency = "5ms",
        .ttft = "uniform:min=1ms,max=2ms",
        .itl = "750us",
        .tokens = "7",
        .seed = "9223372036854775807",
        .concurrency_max = "3",
        .strict_models = true,
    });
    assert_int_equal(weir_dist_quantile_ns(config->latency.delay, 0.5), 5000000);
    assert_int_equal(weir_dist_quantile_ns(config->latency.ttft, 1), 2000000);
    assert_int_equal(weir_dist_quantile_ns(config->latency.itl, 0.5), 750000);
    assert_int_equal(config->tokens, 7);
    assert_true(config->seed == INT64_MAX);
    assert_int_equal(config->limits.concurrency.max, 3);
    assert_true(config->strict_models);
    config_drop(config);
}

/* The options count for more than the file, and what they do not name stays the file's. */
static void test_options_over_file(void **state)
{
    (void)state;
    struct config *config = start(
        &(struct options){ .config = file_of("latency: { delay: 1ms, itl: 2ms }\n"
                                             "limits: { max_concurrency: 9, queue_depth: 4 }\n"
                                             "strict_models: true\n"),
                           .latency = "3ms",
                           .concurrency_max = "5" });
    assert_int_equal(weir_dist_quantile_ns(config->latency.delay, 0.5), 3000000);
    assert_int_equal(weir_dist_quantile_ns(config->latency.itl, 0.5), 2000000);
    assert_int_equal(config->limits.concurrency.max, 5);
    assert_int_equal(config->limits.concurrency.queue_depth, 4);
    assert_true(config->strict_models);
    config_drop(config);
}

static void test_preset(void **state)
{
    (void)state;
    struct config *config = start(&(struct options){ .preset = "llama-3.1-8b-h100" });
    assert_int_equal(config->engine.kind, CONFIG_ENGINE_BATCH);
    assert_string_equal(config->engine.preset, "llama-3.1-8b-h100");
    config_drop(config);
    expect_error(&(struct options){ .preset = "llama-9" }, "engine.preset");
}

static void test_error_rate(void **state)
{
    (void)state;
    struct config *config = start(&(struct options){ .error_rate = 0.25 });
    assert_int_equal(config->faults_count, 1);
    assert_string_equal(config->faults[0]->id, "error-rate");
    assert_int_equal(config->faults[0]->action.kind, FAULT_STATUS);
    assert_int_equal(config->faults[0]->action.status, 500);
    config_drop(config);
    config = start(&(struct options){
        .config = file_of("faults: [ { id: mine, do: { kind: status, status: 503 } } ]\n"),
        .error_rate = 1 });
    assert_int_equal(config->faults_count, 2);
    assert_string_equal(config->faults[0]->id, "mine");
    assert_string_equal(config->faults[1]->id, "error-rate");
    config_drop(config);
}

/* An error names the file it is in, once. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *told;
    } files[] = {
        { "seed: -1\n", ": seed: expected" },
        { "limits: { max_concurency: 1 }\n", "did you mean max_concurrency?" },
        { "faults: 7\n", ": faults: expected" },
        { "faults: [ { id: error-rate, do: { kind: none } } ]\n", "error-rate" },
        { "a: [\n", "" },
        { "{\"a\":1,\"a\":2}", "" },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *name = file_of(files[i].text);
        expect_error(&(struct options){ .config = name, .error_rate = 0.5 }, files[i].told);
        const char *named = strstr(error.text, name);
        assert_non_null(named);
        assert_null(strstr(named + 1, name));
        assert_int_equal(unlink(name), 0);
    }
    expect_error(&(struct options){ .config = "/nonexistent/file" }, "/nonexistent/file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_options),
        cmocka_unit_test(test_preset),     cmocka_unit_test(test_options_over_file),
        cmocka_unit_test(test_error_rate), cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
