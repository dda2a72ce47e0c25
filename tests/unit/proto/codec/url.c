/* SPDX-License-Identifier: MIT */
#include <weir/url.h>

#include <weir/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define SEED         20240619u
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/*
 * Parse a copy that ends right before an unmapped page and check that every view lies in it (the
 * target "/" of a URL without path apart). Returns the result, with the views moved back onto
 * `text`.
 */
static int parse_guarded(struct weir_url *out, const char *text, size_t len)
{
    static uint8_t *pages;
    static size_t page_bytes;
    if (pages == NULL) {
        page_bytes = (size_t)sysconf(_SC_PAGESIZE);
        pages =
            mmap(NULL, 2 * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(pages, MAP_FAILED);
        assert_int_equal(mprotect(pages + page_bytes, page_bytes, PROT_NONE), 0);
    }
    assert_true(len <= page_bytes);
    uint8_t *copy = pages + page_bytes - len;
    memcpy(copy, text, len);
    int err = weir_url_parse(out, (struct weir_slice){ copy, len });
    if (err < 0)
        return err;
    struct weir_slice *views[] = { &out->authority, &out->host, &out->target };
    for (size_t i = 0; i < COUNT(views); i++) {
        bool inside = views[i]->ptr >= copy && views[i]->ptr + views[i]->len <= copy + len;
        if (inside)
            views[i]->ptr = (const uint8_t *)text + (views[i]->ptr - copy);
        else
            assert_true(i == 2 && views[i]->len == 1 && views[i]->ptr[0] == '/');
    }
    return 0;
}

static void assert_slice(struct weir_slice slice, const char *expected, const char *url)
{
    if (slice.len == strlen(expected) && memcmp(slice.ptr, expected, slice.len) == 0)
        return;
    print_error("%s: '%.*s' where '%s' was expected\n", url, (int)slice.len,
                (const char *)slice.ptr, expected);
    fail();
}

struct good {
    const char *text;
    const char *authority, *host, *target;
    uint16_t port;
    bool is_https, is_ipv6;
};

static void test_good(void **state)
{
    (void)state;
    static const struct good cases[] = {
        { "http://example.org", "example.org", "example.org", "/", 80, false, false },
        { "http://example.org/", "example.org", "example.org", "/", 80, false, false },
        { "https://example.org/", "example.org", "example.org", "/", 443, true, false },
        { "HTTPS://Example.ORG/A", "Example.ORG", "Example.ORG", "/A", 443, true, false },
        { "http://h:8000/v2/models/m/infer", "h:8000", "h", "/v2/models/m/infer", 8000, false,
          false },
        { "https://h:80", "h:80", "h", "/", 80, true, false },
        { "http://h:1/", "h:1", "h", "/", 1, false, false },
        { "http://h:65535/", "h:65535", "h", "/", 65535, false, false },
        { "http://h:000080/", "h:000080", "h", "/", 80, false, false },
        { "http://127.0.0.1:8080/a?b=c&d", "127.0.0.1:8080", "127.0.0.1", "/a?b=c&d", 8080, false,
          false },
        { "http://h/a#part", "h", "h", "/a", 80, false, false },
        { "http://h#part", "h", "h", "/", 80, false, false },
        { "http://h/#/?@:", "h", "h", "/", 80, false, false },
        { "http://h/?", "h", "h", "/?", 80, false, false },
        { "http://h?x=1", "h", "h", "?x=1", 80, false, false },
        { "http://h:81?x=1#y", "h:81", "h", "?x=1", 81, false, false },
        { "http://h/a?b?c/d", "h", "h", "/a?b?c/d", 80, false, false },
        { "http://h//a/../b;c=%41@x:y", "h", "h", "//a/../b;c=%41@x:y", 80, false, false },
        { "http://my_host-1.x~y/", "my_host-1.x~y", "my_host-1.x~y", "/", 80, false, false },
        { "http://a!$&'()*+,;=b/", "a!$&'()*+,;=b", "a!$&'()*+,;=b", "/", 80, false, false },
        { "http://[::1]/", "[::1]", "::1", "/", 80, false, true },
        { "http://[::1]", "[::1]", "::1", "/", 80, false, true },
        { "https://[2001:db8::7]:8443/x", "[2001:db8::7]:8443", "2001:db8::7", "/x", 8443, true,
          true },
        { "http://[::ffff:192.168.100.200]:9/", "[::ffff:192.168.100.200]:9",
          "::ffff:192.168.100.200", "/", 9, false, true },
        { "http://[1111:2222:3333:4444:5555:6666:123.123.123.123]/",
          "[1111:2222:3333:4444:5555:6666:123.123.123.123]",
          "1111:2222:3333:4444:5555:6666:123.123.123.123", "/", 80, false, true },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct good *want = &cases[i];
        struct weir_url url;
        if (parse_guarded(&url, want->text, strlen(want->text)) != 0)
            fail_msg("%s: %s", want->text, weir_error_text());
        assert_slice(url.authority, want->authority, want->text);
        assert_slice(url.host, want->host, want->text);
        assert_slice(url.target, want->target, want->text);
        assert_int_equal(url.port, want->port);
        assert_int_equal(url.host_is_ipv6, want->is_ipv6);
        assert_int_equal(url.scheme, want->is_https ? WEIR_URL_HTTPS : WEIR_URL_HTTP);
    }
}

struct bad {
    const char *text;
    const char *said;
    int offset;
};

static const struct bad bad_cases[] = {
    { "", "expected http:// or https://", 0 },
    { "example.org", "expected http:// or https://", 0 },
    { "http:/h", "expected http:// or https://", 0 },
    { "http:", "expected http:// or https://", 0 },
    { "//h/", "expected http:// or https://", 0 },
    { "ftp://h/", "expected http:// or https://", 0 },
    { "httpx://h/", "expected http:// or https://", 0 },
    { "\\http://h", "expected http:// or https://", 0 },
    { "http\x1a//h/", "a control character", 4 },
    { "httpZ//h/", "expected http:// or https://", 0 },
    { "http://", "expected a host", 7 },
    { "https://", "expected a host", 8 },
    { "http:///path", "expected a host", 7 },
    { "http://:80/", "expected a host", 7 },
    { "http://?q", "expected a host", 7 },
    { "http://#f", "expected a host", 7 },
    { "http://user@h/", "user information", 11 },
    { "http://user:secret@h/", "user information", 18 },
    { "http://@h/", "user information", 7 },
    { "http://user:secret@[::1]/", "user information", 18 },
    { "http://h\\x/", "no host name has", 8 },
    { "http://a%41/", "no host name has", 8 },
    { "http://a\"b/", "no host name has", 8 },
    { "http://a[b/", "no host name has", 8 },
    { "http://h:/", "expected a port of 1 ... 65535", 9 },
    { "http://h:", "expected a port of 1 ... 65535", 9 },
    { "http://h:0/", "expected a port of 1 ... 65535", 9 },
    { "http://h:65536/", "expected a port of 1 ... 65535", 9 },
    { "http://h:18446744073709551696/", "expected a port of 1 ... 65535", 9 },
    { "http://h:-1/", "expected a digit of the port", 9 },
    { "http://h:+1/", "expected a digit of the port", 9 },
    { "http://h:8x/", "expected a digit of the port", 10 },
    { "http://h:80:81/", "expected a digit of the port", 11 },
    { "http://::1/", "expected a host", 7 },
    { "http://2001:db8::1/", "expected a digit of the port", 12 },
    { "http://[::1", "'[' without ']'", 7 },
    { "http://[::1/", "'[' without ']'", 7 },
    { "http://[", "'[' without ']'", 7 },
    { "http://[]/", "expected an IPv6 address", 8 },
    { "http://[h]/", "expected an IPv6 address", 8 },
    { "http://[1.2.3.4]/", "expected an IPv6 address", 8 },
    { "http://[::1::]/", "expected an IPv6 address", 8 },
    { "http://[fe80::1%25eth0]/", "expected an IPv6 address", 8 },
    { "http://[v1.x]/", "expected an IPv6 address", 8 },
    { "http://[0000000000000000000000000000000000000000000000000000::1]/", "expected an IPv6", 8 },
    { "http://[::1]x/", "expected ':', '/' or the end", 12 },
    { "http://[::1]80/", "expected ':', '/' or the end", 12 },
    { "http://[::1]:/", "expected a port", 13 },
    { "http://h/a b", "a space", 10 },
    { "http://h /", "a space", 8 },
    { " http://h/", "a space", 0 },
    { "http://h/#a b", "a space", 11 },
    { "http://h/\r\nX: y", "a control character", 9 },
    { "http://h/\t", "a control character", 9 },
    { "http://h/\x7f", "a control character", 9 },
    { "http://h\xc3\xa9/", "not ASCII", 8 },
    { "http://h/\x80", "not ASCII", 9 },
    { "http://h/?\xff", "not ASCII", 10 },
};

static void check_bad(const char *text, size_t len, const char *said, int offset)
{
    struct weir_url url, before;
    memset(&url, 0x5a, sizeof url);
    memcpy(&before, &url, sizeof url);
    int err = parse_guarded(&url, text, len);
    char at[32];
    snprintf(at, sizeof at, " at byte %d", offset);
    const char *error = weir_error_text();
    const char *found = strstr(error, at);
    bool at_end = found != NULL && found[strlen(at)] == '\0';
    if (err != WEIR_E_URL || strstr(error, said) == NULL || !at_end)
        fail_msg("%s: %d, %s", text, err, err < 0 ? error : "");
    assert_memory_equal(&url, &before, sizeof url);
    assert_null(strstr(error, "secret")); /* no passwords in logs */
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_cases); i++)
        check_bad(bad_cases[i].text, strlen(bad_cases[i].text), bad_cases[i].said,
                  bad_cases[i].offset);
    check_bad("http://h\0/", 10, "a control character", 8);
    check_bad("http://h/\0", 10, "a control character", 9);
    struct weir_url url;
    assert_int_equal(weir_url_parse(&url, (struct weir_slice){ NULL, 0 }), WEIR_E_URL);
}

static void test_host_length(void **state)
{
    (void)state;
    char text[7 + 300];
    memcpy(text, "http://", 7);
    memset(text + 7, 'a', 300);
    struct weir_url url;
    assert_int_equal(parse_guarded(&url, text, 7 + 255), 0);
    assert_int_equal(url.host.len, 255);
    check_bad(text, 7 + 256, "more than 255 bytes", 7 + 255);
}

/* Each byte value in the host, and in the path: taken or refused as RFC 3986 says, never misread.
 */
static void test_every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        struct weir_url url;
        char in_path[] = "http://h/_x";
        in_path[9] = (char)c;
        int err = parse_guarded(&url, in_path, sizeof in_path - 1);
        assert_int_equal(err, c > 0x20 && c < 0x7f ? 0 : WEIR_E_URL);
        if (err == 0)
            assert_int_equal(url.target.len, c == '#' ? 1 : 3);

        char in_host[] = "http://h_x";
        in_host[8] = (char)c;
        bool ends = c == '/' || c == '?' || c == '#';
        bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c != 0 && strchr("-._~!$&'()*+,;=", c) != NULL);
        err = parse_guarded(&url, in_host, sizeof in_host - 1);
        assert_int_equal(err, ends || fine ? 0 : WEIR_E_URL);
        if (err == 0)
            assert_int_equal(url.host.len, ends ? 1 : 3);
    }
}

/* Every beginning of a URL, and random texts of the bytes that mean something, end at an unmapped
 * page. */
static void test_cuts_and_noise(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    struct weir_url url;
    static const char whole[] = "https://[2001:db8::7]:8443/a/b?c=d#e";
    for (size_t len = 0; len < sizeof whole; len++) {
        int err = parse_guarded(&url, whole, len);
        bool in_literal = len < 21, at_colon = len == 22;
        assert_int_equal(err, in_literal || at_colon ? WEIR_E_URL : 0);
    }
    static const char alphabet[] = "a1:/?#[]@.%-:/";
    size_t good = 0;
    for (uint64_t key = 0; key < 50000; key++) {
        char text[40] = "http://";
        size_t len = 7 + weir_random_u64(SEED, key, 0) % 12;
        for (size_t i = 7; i < len; i++)
            text[i] = alphabet[weir_random_u64(SEED, key, i) % (sizeof alphabet - 1)];
        int err = parse_guarded(&url, text, len);
        if (err < 0) {
            assert_int_equal(err, WEIR_E_URL);
            continue;
        }
        good++;
        assert_true(url.port != 0);
        assert_in_range(url.host.len, 1, url.authority.len);
        assert_null(memchr(url.authority.ptr, '@', url.authority.len));
        assert_null(memchr(url.authority.ptr, '/', url.authority.len));
        assert_null(memchr(url.target.ptr, '#', url.target.len));
        assert_true(url.target.ptr[0] == '/' || url.target.ptr[0] == '?');
    }
    assert_true(good > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),           cmocka_unit_test(test_bad),
        cmocka_unit_test(test_host_length),    cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_cuts_and_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
