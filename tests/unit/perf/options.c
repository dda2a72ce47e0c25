/* SPDX-License-Identifier: MIT */
#include "perf/cpu.c"
#include "perf/options.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 80
#define URL      "http://127.0.0.1:8080/api/health"

static struct bench_options options;
static char error[BENCH_ERROR_TEXT_BYTES];

/* Parse the words given, NULL-terminated, as a command line. */
static enum bench_wish parse(const char *const *words)
{
    static char *argv[ARGS_MAX];
    int argc = 0;
    argv[argc++] = (char *)"weir-bench";
    while (*words != NULL && argc < ARGS_MAX - 1)
        argv[argc++] = (char *)*words++;
    argv[argc] = NULL;
    bench_options_deinit(&options);
    return bench_options_parse(&options, argc, argv, error);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

static int teardown(void **state)
{
    (void)state;
    bench_options_deinit(&options);
    return 0;
}

static void assert_slice(struct weir_slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.ptr, text, slice.len);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(PARSE(URL), BENCH_WISH_RUN);
    assert_int_equal(options.connections, 64);
    assert_int_equal(options.threads, 1);
    assert_int_equal(options.pipeline, 1);
    assert_int_equal(options.duration_ns, UINT64_C(10000000000));
    assert_int_equal(options.timeout_ns, UINT64_C(10000000000));
    assert_int_equal(options.warmup_ns, 0);
    assert_int_equal(options.requests, 0);
    assert_int_equal(options.cpus.count, 0);
    assert_int_equal(options.server_pid, 0);
    assert_null(options.json_path);
    assert_true(options.progress);
    assert_slice(options.request.method, "GET");
    assert_slice(options.request.target, "/api/health");
    assert_slice(options.request.host, "127.0.0.1:8080");
    assert_string_equal(options.endpoint, "http://127.0.0.1:8080");
    assert_int_equal(options.request.headers_count, 0);
    assert_int_equal(options.request.body.len, 0);
    assert_false(options.request.body_always);
}

static void test_every_option_in_its_short_and_long_form(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-c", "10", "-t", "2", "-p", "4", "-d", "750ms", "-n", "1000", "-X",
                           "PUT", "-H", "A: b", "-b", "x", URL),
                     BENCH_WISH_RUN);
    for (int form = 0; form < 2; form++) {
        assert_int_equal(options.connections, 10);
        assert_int_equal(options.threads, 2);
        assert_int_equal(options.pipeline, 4);
        assert_int_equal(options.duration_ns, 750000000);
        assert_int_equal(options.requests, 1000);
        assert_slice(options.request.method, "PUT");
        assert_int_equal(options.request.headers_count, 1);
        assert_slice(options.request.headers[0].name, "A");
        assert_slice(options.request.headers[0].value, "b");
        assert_slice(options.request.body, "x");
        assert_int_equal(PARSE(URL, "--connections=10", "--threads", "2", "--pipeline=4",
                               "--duration", "750ms", "--requests=1000", "--method=PUT",
                               "--header=A: b", "--body=x"),
                         BENCH_WISH_RUN);
    }
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_int_equal(PARSE("--warmup", "1s", "--timeout", "250ms", "--cpu", "0-1,3", "--server-pid",
                           pid, "--json", "-", "--no-progress", URL),
                     BENCH_WISH_RUN);
    assert_int_equal(options.warmup_ns, 1000000000);
    assert_int_equal(options.timeout_ns, 250000000);
    assert_int_equal(options.cpus.count, 3);
    assert_int_equal(options.cpus.cpus[2], 3);
    assert_int_equal(options.server_pid, getpid());
    assert_string_equal(options.json_path, "-");
    assert_false(options.progress);
}

static void test_requests_alone_lift_the_time_limit(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-n", "5", URL), BENCH_WISH_RUN);
    assert_int_equal(options.duration_ns, 0);
    assert_int_equal(options.requests, 5);
    assert_int_equal(PARSE("-n", "5", "-d", "3s", URL), BENCH_WISH_RUN);
    assert_int_equal(options.duration_ns, UINT64_C(3000000000));
}

static void test_the_body_makes_it_a_post(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-b", "{}", URL), BENCH_WISH_RUN);
    assert_slice(options.request.method, "POST");
    assert_slice(options.request.body, "{}");
    assert_true(options.request.body_always);
    assert_int_equal(PARSE("-b", "", URL), BENCH_WISH_RUN);
    assert_slice(options.request.method, "POST");
    assert_true(options.request.body_always);
    assert_int_equal(PARSE("-b", "{}", "-X", "DELETE", URL), BENCH_WISH_RUN);
    assert_slice(options.request.method, "DELETE");
    assert_int_equal(PARSE("-X", "POST", URL), BENCH_WISH_RUN);
    assert_true(options.request.body_always);
    assert_int_equal(options.request.body.len, 0);
}

static void test_a_body_from_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-bench-body-XXXXXX", word[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    /* Longer than the first read and no multiple of it, with a NUL inside. */
    static uint8_t bytes[10001];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    snprintf(word, sizeof(word), "@%s", path);
    assert_int_equal(PARSE("-b", word, URL), BENCH_WISH_RUN);
    assert_int_equal(options.request.body.len, sizeof(bytes));
    assert_memory_equal(options.request.body.ptr, bytes, sizeof(bytes));
    /* The size of the first buffer exactly, and nothing at all; the last of two bodies counts. */
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_int_equal(PARSE("-b", word, "-b", word, URL), BENCH_WISH_RUN);
    assert_int_equal(options.request.body.len, 4096);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(PARSE("-b", word, URL), BENCH_WISH_RUN);
    assert_int_equal(options.request.body.len, 0);
    assert_true(options.request.body_always);
    close(fd);
    unlink(path);
    assert_int_equal(PARSE("-b", word, URL), BENCH_WISH_ERROR);
    assert_non_null(strstr(error, "No such file"));
    assert_non_null(strstr(error, path));
}

static void test_headers(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-H", "Accept:text/plain", "-H", "X-Two:  a:b \t", "-H", "Empty:", URL),
                     BENCH_WISH_RUN);
    assert_int_equal(options.request.headers_count, 3);
    assert_slice(options.request.headers[0].name, "Accept");
    assert_slice(options.request.headers[0].value, "text/plain");
    assert_slice(options.request.headers[1].value, "a:b");
    assert_int_equal(options.request.headers[2].value.len, 0);
    assert_int_equal(PARSE("-H", "host: example.org", URL), BENCH_WISH_RUN);
    assert_slice(options.request.host, "example.org");
    assert_int_equal(options.request.headers_count, 0);
    assert_string_equal(options.endpoint, "http://127.0.0.1:8080");
}

static void test_urls(void **state)
{
    (void)state;
    assert_int_equal(PARSE("http://example.org"), BENCH_WISH_RUN);
    assert_string_equal(options.endpoint, "http://example.org:80");
    assert_slice(options.request.host, "example.org");
    assert_slice(options.request.target, "/");
    assert_int_equal(PARSE("http://[::1]:81/a?b=c#d"), BENCH_WISH_RUN);
    assert_string_equal(options.endpoint, "http://[::1]:81");
    assert_slice(options.request.host, "[::1]:81");
    assert_slice(options.request.target, "/a?b=c");
}

struct error_case {
    const char *words[4];
    const char *named; /* must be in the message */
};

static void test_what_is_wrong_is_named(void **state)
{
    static const struct error_case cases[] = {
        { { NULL }, "URL" },
        { { "ftp://x/" }, "ftp://x/" },
        { { "http://x?y=1" }, "'/' before the '?'" },
        { { "127.0.0.1:80" }, "127.0.0.1:80" },
        { { URL, "another" }, "another" },
        { { "--conections", "5", URL }, "--conections" },
        { { "--nonsense=5", URL }, "--nonsense=5" },
        { { "--no-progress=5", URL }, "--no-progress=5" },
        { { "-z", URL }, "-z" },
        { { URL, "-c" }, "-c" },
        { { URL, "--warmup" }, "--warmup" },
        { { "-c", "0", URL }, "--connections '0'" },
        { { "-c", "1000001", URL }, "--connections '1000001'" },
        { { "-c", "ten", URL }, "--connections 'ten'" },
        { { "-c", "-1", URL }, "--connections '-1'" },
        { { "-t", "65", URL }, "--threads 65" },
        { { "-t", "0", URL }, "--threads '0'" },
        { { "-p", "0", URL }, "--pipeline '0'" },
        { { "-p", "1025", URL }, "--pipeline '1025'" },
        { { "-n", "0", URL }, "--requests '0'" },
        { { "-d", "10", URL }, "--duration '10'" },
        { { "-d", "10lightyears", URL }, "--duration '10lightyears'" },
        { { "-d", "0", URL }, "--duration '0'" },
        { { "-d", "25h", URL }, "--duration '25h'" },
        { { "--warmup", "25h", URL }, "--warmup '25h'" },
        { { "--timeout", "0", URL }, "--timeout '0'" },
        { { "--cpu", "x", URL }, "--cpu 'x'" },
        { { "--server-pid", "0", URL }, "--server-pid '0'" },
        { { "--server-pid", "2147483647", URL }, "--server-pid '2147483647'" },
        { { "-X", "", URL }, "--method" },
        { { "-H", "no colon", URL }, "--header 'no colon'" },
        { { "-H", ": value", URL }, "--header ': value'" },
        { { "-H", "Host:", URL }, "--header 'Host:'" },
        { { "-H", "content-length: 5", URL }, "Content-Length" },
        { { "-H", "Transfer-Encoding: chunked", URL }, "Transfer-Encoding" },
        { { "-H", "CONNECTION: close", URL }, "Connection" },
        { { "-b", "@/nonexistent/body", URL }, "/nonexistent/body" },
        { { "-b", "@/", URL }, "--body '@/'" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum bench_wish wish = parse(cases[i].words);
        if (wish != BENCH_WISH_ERROR || strstr(error, cases[i].named) == NULL)
            fail_msg("case %zu: '%s' is not named in '%s'", i, cases[i].named, error);
    }
}

static void test_too_many_headers(void **state)
{
    const char *words[2 * HEADERS_MAX + 4];
    size_t count = 0;
    (void)state;
    for (uint32_t i = 0; i < HEADERS_MAX / 2 + 1; i++)
        words[count++] = "-HA: b";
    words[count++] = URL;
    words[count] = NULL;
    assert_int_equal(parse(words), BENCH_WISH_RUN);
    assert_int_equal(options.request.headers_count, HEADERS_MAX / 2 + 1);
    for (count = 0; count < HEADERS_MAX + 1; count++)
        words[count] = "-HA: b";
    words[count++] = URL;
    words[count] = NULL;
    assert_int_equal(parse(words), BENCH_WISH_ERROR);
    assert_non_null(strstr(error, "64"));
}

static void test_a_host_that_is_too_long(void **state)
{
    char url[400] = "http://";
    (void)state;
    memset(url + 7, 'a', 320);
    assert_int_equal(PARSE(url), BENCH_WISH_ERROR);
    assert_non_null(strstr(error, "URL"));
}

static void test_help_names_every_option(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--help"), BENCH_WISH_HELP);
    assert_int_equal(PARSE("--version"), BENCH_WISH_VERSION);
    for (const struct option *option = long_options; option->name != NULL; option++) {
        char word[64];
        snprintf(word, sizeof(word), "--%s", option->name);
        if (strstr(bench_options_help(), word) == NULL)
            fail_msg("%s is not in --help", word);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_option_in_its_short_and_long_form),
        cmocka_unit_test(test_requests_alone_lift_the_time_limit),
        cmocka_unit_test(test_the_body_makes_it_a_post),
        cmocka_unit_test(test_a_body_from_a_file),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_too_many_headers),
        cmocka_unit_test(test_a_host_that_is_too_long),
        cmocka_unit_test(test_help_names_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
