/* SPDX-License-Identifier: MIT */
#include "io/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static void test_parse_and_format(void **state)
{
    (void)state;
    static const struct {
        const char *text, *formatted;
        int family;
    } cases[] = {
        { "127.0.0.1:80", "127.0.0.1:80", AF_INET },
        { "0.0.0.0:0", "0.0.0.0:0", AF_INET },
        { "255.255.255.255:65535", "255.255.255.255:65535", AF_INET },
        { "[::1]:8080", "[::1]:8080", AF_INET6 },
        { "[::]:1", "[::]:1", AF_INET6 },
        { "[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]:443", AF_INET6 },
        { "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:1",
          "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1", AF_INET6 },
        { ":8080", "[::]:8080", AF_INET6 },
        { "unix:/tmp/a:b", "unix:/tmp/a:b", AF_UNIX },
        { "unix:x", "unix:x", AF_UNIX },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_addr addr;
        char text[WEIR_ADDR_TEXT_BYTES];
        assert_int_equal(weir_addr_parse_listen(&addr, cases[i].text), 0);
        assert_int_equal(addr.storage.ss_family, cases[i].family);
        assert_string_equal(weir_addr_format(&addr, text, sizeof text), cases[i].formatted);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    struct weir_addr addr;
    assert_int_equal(weir_addr_parse_listen(&addr, "1.2.3.4:5"), 0);
    assert_int_equal(addr.bytes, sizeof(struct sockaddr_in));
    assert_int_equal(weir_addr_parse_listen(&addr, "[::2]:5"), 0);
    assert_int_equal(addr.bytes, sizeof(struct sockaddr_in6));
    assert_int_equal(weir_addr_unix(&addr, "/a"), 0);
    assert_int_equal(addr.bytes, offsetof(struct sockaddr_un, sun_path) + 3);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ":",
        "80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:99999999999999999999",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.0.0.1:80 ",
        "127.0.0.1:8o",
        "127.0.0.256:80",
        "127.1:80",
        "localhost:80",
        "::1:80",
        "[::1]80",
        "[::1:80",
        "::1]:80",
        "[:80",
        "]:80",
        "[]:80",
        "[127.0.0.1]:80",
        "[::1%lo]:80",
        "[::g]:80",
        "unix:",
        "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555]:1",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct weir_addr addr;
        if (weir_addr_parse_listen(&addr, texts[i]) != -EINVAL)
            fail_msg("'%s' was accepted", texts[i]);
        char quoted[128];
        bool is_unix = strncmp(texts[i], "unix:", 5) == 0;
        snprintf(quoted, sizeof quoted, "'%s'", is_unix ? texts[i] + 5 : texts[i]);
        assert_non_null(strstr(weir_error_text(), quoted));
        assert_non_null(
            strstr(weir_error_text(), is_unix ? "1 ... 107 bytes" : "expected ADDR:PORT"));
    }
}

static void test_unix_path_limit(void **state)
{
    (void)state;
    struct weir_addr addr;
    char path[109], text[WEIR_ADDR_TEXT_BYTES], expected[WEIR_ADDR_TEXT_BYTES];
    memset(path, 'p', sizeof path);
    path[107] = '\0';
    assert_int_equal(weir_addr_unix(&addr, path), 0);
    snprintf(expected, sizeof expected, "unix:%s", path);
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), expected);
    path[107] = 'p';
    path[108] = '\0';
    assert_int_equal(weir_addr_unix(&addr, path), -EINVAL);
    assert_int_equal(weir_addr_unix(&addr, ""), -EINVAL);
}

static void test_resolve(void **state)
{
    (void)state;
    struct weir_addr addr;
    char text[WEIR_ADDR_TEXT_BYTES];
    assert_int_equal(weir_addr_resolve(&addr, WEIR_TEXT("127.0.0.1"), 65535), 0);
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "127.0.0.1:65535");
    assert_int_equal(weir_addr_resolve(&addr, WEIR_TEXT("::1"), 1), 0);
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "[::1]:1");
    assert_int_equal(weir_addr_resolve(&addr, WEIR_TEXT(""), 1), WEIR_E_CONNECT);
    /* Refused by the resolver itself, without a question to any server. */
    assert_int_equal(weir_addr_resolve(&addr, WEIR_TEXT("not a name"), 1), WEIR_E_CONNECT);
    assert_non_null(strstr(weir_error_text(), "'not a name' does not resolve"));
    char name[256];
    memset(name, 'n', sizeof name);
    struct weir_slice longest = { (const uint8_t *)name, sizeof name };
    assert_int_equal(weir_addr_resolve(&addr, longest, 1), WEIR_E_CONNECT);
    assert_non_null(strstr(weir_error_text(), "255 bytes"));
    /* A NUL would cut the name short: another host would be asked for. */
    assert_int_equal(weir_addr_resolve(&addr, WEIR_TEXT("127.0.0.1\0.example"), 1), WEIR_E_CONNECT);
}

static void test_format_limits(void **state)
{
    (void)state;
    struct weir_addr addr = { .bytes = 0 };
    char text[8];
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "?");
    assert_int_equal(weir_addr_parse_listen(&addr, "127.0.0.1:80"), 0);
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "127.0.0");
    assert_string_equal(weir_addr_format(&addr, text, 1), "");
    /* The address of an unnamed unix socket is its family alone. */
    addr = (struct weir_addr){ .storage.ss_family = AF_UNIX, .bytes = sizeof(sa_family_t) };
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "unix");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_unix_path_limit),
        cmocka_unit_test(test_resolve),          cmocka_unit_test(test_format_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
