/* SPDX-License-Identifier: MIT */
#include "mock/config/read.c"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static json_t *read_string(const char *text, struct config_error *err)
{
    struct weir_slice slice = { .ptr = (const uint8_t *)text, .len = strlen(text) };
    memset(err, 'x', sizeof *err);
    return config_read_text(slice, "body", err);
}

static void check(const char *text, const char *expected)
{
    struct config_error err;
    json_t *got = read_string(text, &err);
    if (got == NULL)
        fail_msg("%s: %s", text, err.text);
    json_t *json = json_loads(expected, JSON_DECODE_ANY, NULL);
    assert_true(json_equal(got, json));
    json_decref(json);
    json_decref(got);
}

static void check_error(const char *text, const char *place, const char *part)
{
    struct config_error err;
    json_t *got = read_string(text, &err);
    if (got != NULL) {
        json_decref(got);
        fail_msg("%s: was taken", text);
    }
    assert_string_equal(err.pointer, "");
    if (strncmp(err.text, place, strlen(place)) != 0 || strstr(err.text, part) == NULL)
        fail_msg("%s: %s", text, err.text);
}

static void test_both(void **state)
{
    (void)state;
    check("{\"seed\": 5}", "{\"seed\":5}");
    check("\t{\"seed\":\t5}\n", "{\"seed\":5}");
    check("seed: 5\n", "{\"seed\":5}");
    check("{seed: 5, models: []}", "{\"seed\":5,\"models\":[]}");
    check("{\"seed\": 5} # as YAML\n", "{\"seed\":5}");
    check("", "{}");
    check(" \n", "{}");
    check("null", "null");
    check("[1]", "[1]");
}

/* Which of the two was meant decides which error is told. */
static void test_errors(void **state)
{
    (void)state;
    check_error("{\"a\": 1,\n \"b\" 2}", "body:2:", "':' expected near '2'");
    check_error("{\"a\": 1,\n \"a\": 2}", "body:2:", "duplicate object key");
    check_error("{\"a\": 99999999999999999999}", "body:1:", "too big integer");
    check_error("{\"a\": \"\\u0000\"}", "body:1:", "\\u0000");
    check_error("a: 1\nb: 2\na: 3\n", "body:3:1: ", "\"a\" is there already");
    check_error("{a: 1,\n b: [2}", "body:2:", "flow");
    check_error("a: *b", "body:1:4: ", "alias");
}

static void test_depth(void **state)
{
    (void)state;
    char text[80];
    memset(text, '[', 32);
    memset(text + 32, ']', 32);
    text[64] = '\0';
    check(text, text);
    memset(text, '[', 33);
    memset(text + 33, ']', 33);
    text[66] = '\0';
    check_error(text, "body:1:1: ", "deeper than 32");
    char *deep = calloc(1, 200001);
    memset(deep, '[', 100000);
    memset(deep + 100000, ']', 100000);
    check_error(deep, "body:", "depth");
    free(deep);
}

static void write_file(char *path, size_t bytes, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    size_t len = strlen(text);
    for (size_t done = 0; done < bytes; done += len)
        assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-config-XXXXXX";
    struct config_error err;
    write_file(path, 1, "seed: 7\n");
    json_t *tree = config_read_file(path, &err);
    assert_non_null(tree);
    assert_int_equal(json_integer_value(json_object_get(tree, "seed")), 7);
    json_decref(tree);
    unlink(path);
    assert_null(config_read_file(path, &err));
    assert_non_null(strstr(err.text, path));
    assert_null(config_read_file("/", &err));
    assert_string_equal(err.pointer, "");
    char large[] = "/tmp/weir-config-XXXXXX";
    write_file(large, READ_FILE_BYTES_MAX + 1, "# a comment of thirty-two bytes\n");
    assert_null(config_read_file(large, &err));
    unlink(large);
    assert_non_null(strstr(err.text, "longer than 4 MiB"));
    char full[] = "/tmp/weir-config-XXXXXX";
    write_file(full, READ_FILE_BYTES_MAX, "# a comment of thirty-two bytes\n");
    tree = config_read_file(full, &err);
    unlink(full);
    if (tree == NULL)
        fail_msg("%s", err.text);
    json_decref(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
