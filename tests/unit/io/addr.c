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

static void test_numeric(void **state)
{
    (void)state;
    struct weir_addr addr = { .bytes = 77 }, other;
    char text[WEIR_ADDR_TEXT_BYTES];
    assert_true(weir_addr_numeric(&addr, WEIR_TEXT("127.0.0.1"), 80));
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "127.0.0.1:80");
    assert_true(weir_addr_numeric(&other, WEIR_TEXT("127.0.0.1"), 81));
    assert_false(weir_addr_eq(&addr, &other));
    weir_addr_set_port(&addr, 81);
    assert_true(weir_addr_eq(&addr, &other));
    assert_true(weir_addr_numeric(&addr, WEIR_TEXT("::1"), 65535));
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "[::1]:65535");
    assert_false(weir_addr_eq(&addr, &other));
    assert_true(weir_addr_numeric(&addr, WEIR_TEXT("fe80::1%lo"), 1));
    weir_addr_set_port(&addr, 2);
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "[fe80::1]:2");
    /* Names, and what is neither. */
    static const char *const names[] = { "", "localhost", "1.2.3.256", "[::1]", "::g", "1.2.3.4 " };
    other = addr;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct weir_slice name = { (const uint8_t *)names[i], strlen(names[i]) };
        assert_false(weir_addr_numeric(&addr, name, 1));
    }
    assert_false(weir_addr_numeric(&addr, WEIR_TEXT("1.2.3.4\0"), 1));
    uint8_t longest[300];
    memset(longest, '1', sizeof longest);
    for (size_t len = 30; len <= sizeof longest; len++)
        assert_false(weir_addr_numeric(&addr, (struct weir_slice){ longest, len }, 1));
    assert_true(weir_addr_eq(&addr, &other));
}

static void test_prefer(void **state)
{
    (void)state;
    struct weir_addr addrs[4];
    char text[WEIR_ADDR_TEXT_BYTES];
    static const char *const orders[][4] = { { "1:0", "2:0", "3:0", "4:0" },
                                             { "2:0", "1:0", "3:0", "4:0" },
                                             { "3:0", "1:0", "2:0", "4:0" },
                                             { "4:0", "1:0", "2:0", "3:0" } };
    static const char *const hosts[] = { "0.0.0.1", "0.0.0.2", "0.0.0.3", "0.0.0.4" };
    for (uint32_t index = 0; index < 4; index++) {
        for (uint32_t i = 0; i < 4; i++)
            assert_true(weir_addr_numeric(&addrs[i],
                                          (struct weir_slice){ (const uint8_t *)hosts[i], 7 }, 0));
        weir_addr_prefer(addrs, 4, index);
        for (uint32_t i = 0; i < 4; i++)
            assert_string_equal(weir_addr_format(&addrs[i], text, sizeof text) + 6,
                                orders[index][i]);
    }
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
        cmocka_unit_test(test_format_limits),    cmocka_unit_test(test_numeric),
        cmocka_unit_test(test_prefer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
