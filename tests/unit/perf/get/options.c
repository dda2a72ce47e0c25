/* SPDX-License-Identifier: MIT */
#include "perf/get/options.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 150
#define URL      "http://127.0.0.1:8080/api/health"

static struct get_options options;
static struct get_error error;

/* Parse the words given, NULL-terminated, as a command line. */
static enum get_wish parse(const char *const *words)
{
    static char *argv[ARGS_MAX];
    int argc = 0;
    argv[argc++] = (char *)"weir-get";
    while (*words != NULL && argc < ARGS_MAX - 1)
        argv[argc++] = (char *)*words++;
    argv[argc] = NULL;
    get_options_deinit(&options);
    return get_options_parse(&options, argc, argv, &error);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

/* Refused, with this exit status and a text that holds `part`. */
#define REFUSED(status_, part, ...)                                                                \
    do {                                                                                           \
        assert_int_equal(PARSE(__VA_ARGS__), GET_WISH_ERROR);                                      \
        if (strstr(error.text, part) == NULL)                                                      \
            fail_msg("'%s' is not in '%s'", part, error.text);                                     \
        assert_int_equal(error.status, status_);                                                   \
    } while (0)

static int teardown(void **state)
{
    (void)state;
    get_options_deinit(&options);
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
    assert_int_equal(PARSE(URL), GET_WISH_RUN);
    assert_slice(options.request.method, "GET");
    assert_slice(options.request.target, "/api/health");
    assert_slice(options.request.host, "127.0.0.1:8080");
    assert_int_equal(options.request.headers_count, 0);
    assert_int_equal(options.request.body.len, 0);
    assert_false(options.request.body_always);
    assert_false(options.request.decode);
    assert_int_equal(options.endpoints_count, 1);
    assert_string_equal(options.endpoints[0], "http://127.0.0.1:8080");
    assert_int_equal(options.repeat, 1);
    assert_int_equal(options.concurrency, 1);
    assert_int_equal(options.pipeline, 1);
    assert_int_equal(options.retries, 0);
    assert_int_equal(options.batch, 0);
    assert_int_equal(options.deadline_ns, 0);
    assert_int_equal(options.conns_max, 0);
    assert_false(options.idle_timeout_given);
    assert_null(options.output_path);
    assert_false(options.stream || options.include || options.verbose || options.json);
    assert_false(options.stats || options.fail || options.insecure);
}

static void test_every_option(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-X", "PUT", "-H", "A: b ", "-d", "x", "-m", "750ms", "-k", "-i", "-f",
                           "-o", "f", "-v", URL),
                     GET_WISH_RUN);
    for (int form = 0; form < 2; form++) {
        assert_slice(options.request.method, "PUT");
        assert_int_equal(options.request.headers_count, 1);
        assert_slice(options.request.headers[0].name, "A");
        assert_slice(options.request.headers[0].value, "b");
        assert_slice(options.request.body, "x");
        assert_int_equal(options.deadline_ns, 750000000);
        assert_true(options.insecure && options.include && options.fail && options.verbose);
        assert_string_equal(options.output_path, "f");
        assert_int_equal(PARSE(URL, "--request=PUT", "--header", "A: b", "--data=x",
                               "--deadline=750ms", "--insecure", "--include", "--fail",
                               "--output=f", "--verbose"),
                         GET_WISH_RUN);
    }
    assert_int_equal(PARSE("--compressed", "--retry", "3", "--repeat", "1000", "--concurrency", "7",
                           "--http-pipeline", "4", "--conns-max", "2", "--idle-timeout", "0",
                           "--cacert", "ca", "--cert", "c", "--key", "k", "--stream", "--json",
                           "--stats", "--ring", "epoll", "--wait", "sleep", URL),
                     GET_WISH_RUN);
    assert_true(options.request.decode && options.stream && options.json && options.stats);
    assert_int_equal(options.retries, 3);
    assert_int_equal(options.repeat, 1000);
    assert_int_equal(options.concurrency, 7);
    assert_int_equal(options.pipeline, 4);
    assert_int_equal(options.conns_max, 2);
    assert_true(options.idle_timeout_given);
    assert_int_equal(options.idle_timeout_ns, 0);
    assert_string_equal(options.ca_file, "ca");
    assert_string_equal(options.cert_file, "c");
    assert_string_equal(options.key_file, "k");
    assert_int_equal(options.ring, WEIR_RING_EPOLL);
    assert_int_equal(options.wait, WEIR_WAIT_SLEEP);
    assert_int_equal(PARSE("--help"), GET_WISH_HELP);
    assert_int_equal(PARSE("--version"), GET_WISH_VERSION);
    assert_int_equal(PARSE("--ring-disable", "no_sqarray", URL), GET_WISH_RUN);
}

/* Each of them is in the help, and the other way round. */
static void test_help_is_complete(void **state)
{
    (void)state;
    size_t in_help = 0;
    for (const struct option *option = long_options; option->name != NULL; option++) {
        char name[40];
        snprintf(name, sizeof(name), "--%s ", option->name);
        if (strstr(get_options_help(), name) == NULL)
            fail_msg("%s is not in the help", name);
    }
    for (const char *at = strstr(help, "\n  "); at != NULL; at = strstr(at + 3, "\n  "))
        in_help += strncmp(at + 3, "    --", 6) == 0 || strncmp(at + 5, ", --", 4) == 0;
    assert_int_equal(in_help, sizeof(long_options) / sizeof(long_options[0]) - 1);
}

static void test_the_body_makes_it_a_post(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-d", "", URL), GET_WISH_RUN);
    assert_slice(options.request.method, "POST");
    assert_true(options.request.body_always);
    assert_int_equal(PARSE("-X", "GET", "-d", "q", URL), GET_WISH_RUN);
    assert_slice(options.request.method, "GET");
    assert_int_equal(PARSE("-X", "PATCH", URL), GET_WISH_RUN);
    assert_true(options.request.body_always);
}

static void test_body_of_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-get-XXXXXX", word[64];
    uint8_t bytes[10000];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    close(fd);
    snprintf(word, sizeof(word), "@%s", path);
    assert_int_equal(PARSE("-d", word, URL), GET_WISH_RUN);
    assert_int_equal(options.request.body.len, sizeof(bytes));
    assert_memory_equal(options.request.body.ptr, bytes, sizeof(bytes));
    /* The last one counts, and the first is released. */
    assert_int_equal(PARSE("-d", word, "-d", "y", URL), GET_WISH_RUN);
    assert_slice(options.request.body, "y");
    unlink(path);
    REFUSED(GET_STATUS_READ, "No such file", "-d", word, URL);
    REFUSED(GET_STATUS_READ, "directory", "-d", "@/", URL);
}

static void test_urls(void **state)
{
    (void)state;
    assert_int_equal(PARSE("http://host?a=b#c"), GET_WISH_RUN);
    assert_slice(options.request.target, "/?a=b");
    assert_string_equal(options.target, "/?a=b");
    assert_string_equal(options.endpoints[0], "http://host:80");
    assert_int_equal(PARSE("https://[::1]/x#y"), GET_WISH_RUN);
    assert_string_equal(options.target, "/x");
    assert_slice(options.request.host, "[::1]");
    assert_string_equal(options.endpoints[0], "https://[::1]:443");
    assert_int_equal(PARSE("http+unix://%2Ftmp%2Fs/x"), GET_WISH_RUN);
    assert_string_equal(options.endpoints[0], "http+unix://%2Ftmp%2Fs");
    assert_slice(options.request.host, "localhost");
    assert_int_equal(PARSE("-H", "Host: me", "http://host/"), GET_WISH_RUN);
    assert_slice(options.request.host, "me");
    assert_int_equal(options.request.headers_count, 0);
    REFUSED(GET_STATUS_URL, "URL 'ftp://x'", "ftp://x");
    REFUSED(GET_STATUS_URL, "URL 'host'", "host");
    REFUSED(GET_STATUS_USAGE, "URL: one is missing", "-v");
    REFUSED(GET_STATUS_USAGE, "expected one URL", URL, "http://b");
}

static void test_endpoints(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--endpoint", "http://b:1", "--endpoint", "http://c/", "http://a/x"),
                     GET_WISH_RUN);
    assert_int_equal(options.endpoints_count, 3);
    assert_string_equal(options.endpoints[0], "http://a:80");
    assert_string_equal(options.endpoints[1], "http://b:1");
    assert_string_equal(options.endpoints[2], "http://c:80");
    REFUSED(GET_STATUS_URL, "behind host and port", "--endpoint", "http://b/y", URL);
    REFUSED(GET_STATUS_URL, "--endpoint 'b'", "--endpoint", "b", URL);
    const char *words[2 * WEIR_ENDPOINTS_MAX + 2] = { NULL };
    for (size_t i = 0; i < WEIR_ENDPOINTS_MAX; i++) {
        words[2 * i] = "--endpoint";
        words[2 * i + 1] = "http://b";
    }
    words[2 * WEIR_ENDPOINTS_MAX] = URL;
    assert_int_equal(parse(words), GET_WISH_ERROR);
    assert_non_null(strstr(error.text, "more than 63"));
}

static void test_resolve(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--resolve", "name:8080:127.0.0.1", "http://NAME:8080/x"), GET_WISH_RUN);
    assert_string_equal(options.endpoints[0], "http://127.0.0.1:8080");
    assert_slice(options.request.host, "NAME:8080");
    assert_int_equal(PARSE("--resolve", "name:80:::1", "http://name"), GET_WISH_RUN);
    assert_string_equal(options.endpoints[0], "http://[::1]:80");
    assert_int_equal(PARSE("--resolve", "[::2]:80:[::1]", "http://[::2]/"), GET_WISH_RUN);
    assert_string_equal(options.endpoints[0], "http://[::1]:80");
    assert_string_equal(options.tls_name, "");
    assert_int_equal(PARSE("--resolve", "name:443:127.0.0.1", "https://name/x"), GET_WISH_RUN);
    assert_string_equal(options.endpoints[0], "https://127.0.0.1:443");
    assert_string_equal(options.tls_name, "name");
    REFUSED(GET_STATUS_USAGE, "https://other", "--resolve", "other:443:127.0.0.1", "--endpoint",
            "https://other", "https://name/x");
    /* Another port, another host: not for this one. */
    assert_int_equal(
        PARSE("--resolve", "name:81:127.0.0.1", "--resolve", "nam:80:127.0.0.1", "http://name"),
        GET_WISH_RUN);
    assert_string_equal(options.endpoints[0], "http://name:80");
    static const char *const bad[] = { "name",      "name:80",     "name:80:",  ":80:1.2.3.4",
                                       "name:x:1",  "name:0:1",    "[::1:80:1", "name:123456789:1",
                                       "[::1]80:1", "name:70000:1" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        REFUSED(GET_STATUS_USAGE, "HOST:PORT:ADDRESS", "--resolve", bad[i], URL);
}

static void test_batches(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--batch", "32", "-d", "{}", "--repeat", "1000", URL), GET_WISH_RUN);
    assert_int_equal(options.batch, 32);
    assert_int_equal(options.concurrency, 32);
    assert_int_equal(PARSE("--batch", "32", "-d", "{}", "--repeat", "1000", "--concurrency", "64",
                           "-X", "POST", URL),
                     GET_WISH_RUN);
    assert_int_equal(options.concurrency, 64);
    REFUSED(GET_STATUS_USAGE, "--data", "--batch", "2", URL);
    REFUSED(GET_STATUS_USAGE, "--stream", "--batch", "2", "-d", "1", "--stream", URL);
    REFUSED(GET_STATUS_USAGE, "--include", "--batch", "2", "-d", "1", "-i", URL);
    REFUSED(GET_STATUS_USAGE, "POST", "--batch", "2", "-d", "1", "-X", "PUT", URL);
    REFUSED(GET_STATUS_USAGE, "Content-Type", "--batch", "2", "-d", "1", "-H", "content-type: x",
            URL);
}

static void test_not_more_at_a_time_than_there_are(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--concurrency", "64", "--repeat", "3", URL), GET_WISH_RUN);
    assert_int_equal(options.concurrency, 3);
}

static void test_refused(void **state)
{
    (void)state;
    REFUSED(GET_STATUS_USAGE, "--nope: no such option", "--nope", URL);
    REFUSED(GET_STATUS_USAGE, "-z: no such option", "-z", URL);
    REFUSED(GET_STATUS_USAGE, "-X: a value is missing", URL, "-X");
    REFUSED(GET_STATUS_USAGE, "--repeat: a value is missing", URL, "--repeat");
    REFUSED(GET_STATUS_USAGE, "takes no value", "--json=1", URL);
    REFUSED(GET_STATUS_USAGE, "--repeat '0'", "--repeat", "0", URL);
    REFUSED(GET_STATUS_USAGE, "--retry '16'", "--retry", "16", URL);
    REFUSED(GET_STATUS_USAGE, "--concurrency '-1'", "--concurrency", "-1", URL);
    REFUSED(GET_STATUS_USAGE, "--http-pipeline 'x'", "--http-pipeline", "x", URL);
    REFUSED(GET_STATUS_USAGE, "--deadline '5'", "-m", "5", URL);
    REFUSED(GET_STATUS_USAGE, "24h", "-m", "25h", URL);
    REFUSED(GET_STATUS_USAGE, "--ring", "--ring", "x", URL);
    REFUSED(GET_STATUS_USAGE, "--wait", "--wait", "x", URL);
    REFUSED(GET_STATUS_USAGE, "expected both", "--cert", "x", URL);
    REFUSED(GET_STATUS_USAGE, "--request 'A B'", "-X", "A B", URL);
    REFUSED(GET_STATUS_USAGE, "--request ''", "-X", "", URL);
}

static void test_refused_headers(void **state)
{
    (void)state;
    REFUSED(GET_STATUS_USAGE, "'Name: value'", "-H", "x", URL);
    REFUSED(GET_STATUS_USAGE, "'Name: value'", "-H", ": x", URL);
    REFUSED(GET_STATUS_USAGE, "without blanks", "-H", "a b: x", URL);
    REFUSED(GET_STATUS_USAGE, "control characters", "-H", "a: x\ny", URL);
    REFUSED(GET_STATUS_USAGE, "sets Content-Length itself", "-H", "content-length: 1", URL);
    REFUSED(GET_STATUS_USAGE, "sets Connection itself", "-H", "Connection: close", URL);
    REFUSED(GET_STATUS_USAGE, "expected a host", "-H", "Host:", URL);
    const char *words[2 * GET_HEADERS_MAX + 4] = { NULL };
    for (size_t i = 0; i <= GET_HEADERS_MAX; i++) {
        words[2 * i] = "-H";
        words[2 * i + 1] = "a: b";
    }
    words[2 * GET_HEADERS_MAX + 2] = URL;
    assert_int_equal(parse(words), GET_WISH_ERROR);
    assert_non_null(strstr(error.text, "more than 64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_option),
        cmocka_unit_test(test_help_is_complete),
        cmocka_unit_test(test_the_body_makes_it_a_post),
        cmocka_unit_test(test_body_of_a_file),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_not_more_at_a_time_than_there_are),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_headers),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
