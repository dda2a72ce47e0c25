/* SPDX-License-Identifier: MIT */
/* What the programs read from their command lines in the same way. */
#include "perf/words.h"

#include <errno.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char error[WORDS_ERROR_BYTES];

static void header(const char *text, const char *name, const char *value)
{
    struct weir_header h;
    assert_int_equal(words_header(&h, "weir", text, error), 0);
    assert_int_equal(h.name.len, strlen(name));
    assert_memory_equal(h.name.ptr, name, h.name.len);
    assert_int_equal(h.value.len, strlen(value));
    assert_memory_equal(h.value.ptr, value, h.value.len);
}

static void refused(const char *text, const char *word)
{
    struct weir_header h;
    error[0] = '\0';
    assert_int_equal(words_header(&h, "weir", text, error), -EINVAL);
    assert_non_null(strstr(error, word));
    assert_null(strchr(error, '\n'));
}

static void test_headers(void **state)
{
    (void)state;
    header("A: b", "A", "b");
    header("a-b:c d\t", "a-b", "c d");
    header("Empty:", "Empty", "");
    header("Time: 1:2", "Time", "1:2");
    header("host: [::1]:80", "host", "[::1]:80");
    refused("no colon", "'Name: value'");
    refused(": x", "'Name: value'");
    refused("connection: close", "weir sets Connection itself");
    refused("Content-Length: 1", "Content-Length");
    refused("Transfer-Encoding: chunked", "Transfer-Encoding");
    refused("a b: c", "a name without blanks");
    refused("a: b\nc: d", "control characters");
    refused("Host:", "a host");
    refused("Host: a/b", "a host");
}

static void test_slices(void **state)
{
    (void)state;
    assert_true(words_is(words_slice("HoSt"), "host"));
    assert_false(words_is(words_slice("hos"), "host"));
    assert_false(words_is(words_slice("hosts"), "host"));
    assert_int_equal(words_printable("two\nlines"), 3);
    assert_int_equal(words_printable(""), 0);
    char text[2 * WORDS_ERROR_BYTES];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(words_printable(text), WORDS_ERROR_BYTES);
}

static void test_read(void **state)
{
    (void)state;
    const size_t lens[] = { 0, 1, 4095, 4096, 4097, 100000 };
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        uint8_t *bytes = NULL;
        size_t len = 1;
        FILE *file = tmpfile();
        assert_non_null(file);
        for (size_t n = 0; n < lens[i]; n++)
            fputc((int)(n % 251), file);
        rewind(file);
        assert_int_equal(words_read(&bytes, &len, file), 0);
        assert_int_equal(len, lens[i]);
        for (size_t n = 0; n < len; n++)
            assert_int_equal(bytes[n], n % 251);
        free(bytes);
        fclose(file);
    }
    /* A folder can be opened, and not read. */
    uint8_t *bytes;
    size_t len;
    FILE *file = fopen("/", "rbe");
    assert_non_null(file);
    assert_int_equal(words_read(&bytes, &len, file), -EISDIR);
    assert_null(bytes);
    fclose(file);
}

static void unknown(const char *word, const char *text)
{
    static const struct option longs[] = { { "value", required_argument, NULL, 300 },
                                           { "flag", no_argument, NULL, 301 },
                                           { NULL, 0, NULL, 0 } };
    char copy[32];
    snprintf(copy, sizeof copy, "%s", word);
    char *argv[] = { (char[]){ "program" }, copy, NULL };
    optind = 0;
    opterr = 0;
    int opt = getopt_long(2, argv, ":c:", longs, NULL);
    words_unknown(opt, argv, error);
    assert_string_equal(error, text);
}

static void test_unknown(void **state)
{
    (void)state;
    unknown("--nothing", "--nothing: no such option, or one that takes no value (see --help)");
    unknown("--flag=1", "--flag=1: no such option, or one that takes no value (see --help)");
    unknown("--value", "--value: a value is missing");
    unknown("-c", "-c: a value is missing");
    unknown("-z", "-z: no such option (see --help)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
