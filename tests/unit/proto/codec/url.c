/* SPDX-License-Identifier: MIT */
#include <weir/url.h>

#include "url_rig.h"

#define SEED 20240619u

/*
 * Parse a copy that ends right before an unmapped page and check that every view lies in it (the
 * target "/" of a URL without path apart).
 */
static int parse_guarded(struct weir_url *out, const char *text, size_t len)
{
    struct weir_slice copy = rig_place(0, (struct weir_slice){ (const uint8_t *)text, len });
    int err = weir_url_parse(out, copy);
    if (err < 0)
        return err;
    const struct weir_slice *views[] = { &out->target,     &out->authority, &out->host,
                                         &out->path,       &out->query,     &out->fragment,
                                         &out->scheme_text };
    for (size_t i = 0; i < COUNT(views); i++) {
        const uint8_t *ptr = views[i]->ptr;
        if (views[i]->len != 0 && (ptr < copy.ptr || ptr + views[i]->len > copy.ptr + len))
            assert_true(i == 0 && views[i]->len == 1 && ptr[0] == '/' && out->path.len == 0);
    }
    return 0;
}

struct good {
    const char *text;
    const char *authority, *host, *target;
    uint16_t port;
    enum weir_url_scheme scheme;
    bool is_ipv6;
};

#define HTTP  WEIR_URL_HTTP
#define HTTPS WEIR_URL_HTTPS

static const struct good good_cases[] = {
    { "http://example.org", "example.org", "example.org", "/", 80, HTTP, false },
    { "http://example.org/", "example.org", "example.org", "/", 80, HTTP, false },
    { "https://example.org/", "example.org", "example.org", "/", 443, HTTPS, false },
    { "HTTPS://Example.ORG/A", "Example.ORG", "Example.ORG", "/A", 443, HTTPS, false },
    { "hTtP://h", "h", "h", "/", 80, HTTP, false },
    { "http://h:8000/v2/models/m/infer", "h:8000", "h", "/v2/models/m/infer", 8000, HTTP, false },
    { "https://h:80", "h:80", "h", "/", 80, HTTPS, false },
    { "http://h:1/", "h:1", "h", "/", 1, HTTP, false },
    { "http://h:65535/", "h:65535", "h", "/", 65535, HTTP, false },
    { "http://h:000080/", "h:000080", "h", "/", 80, HTTP, false },
    { "http://h:00000000000000000000000000065535", "h:00000000000000000000000000065535", "h", "/",
      65535, HTTP, false },
    { "http://127.0.0.1:8080/a?b=c&d", "127.0.0.1:8080", "127.0.0.1", "/a?b=c&d", 8080, HTTP,
      false },
    { "http://h/a#part", "h", "h", "/a", 80, HTTP, false },
    { "http://h#part", "h", "h", "/", 80, HTTP, false },
    { "http://h/#/?@:", "h", "h", "/", 80, HTTP, false },
    { "http://h/?", "h", "h", "/?", 80, HTTP, false },
    { "http://h?", "h", "h", "?", 80, HTTP, false },
    { "http://h?x=1", "h", "h", "?x=1", 80, HTTP, false },
    { "http://h:81?x=1#y", "h:81", "h", "?x=1", 81, HTTP, false },
    { "http://h?http://user@x/", "h", "h", "?http://user@x/", 80, HTTP, false },
    { "http://h#@", "h", "h", "/", 80, HTTP, false },
    { "http://h/a?b?c/d", "h", "h", "/a?b?c/d", 80, HTTP, false },
    { "http://h//a/../b;c=%41@x:y", "h", "h", "//a/../b;c=%41@x:y", 80, HTTP, false },
    { "http://h/%00%7f%ff%2F%2e", "h", "h", "/%00%7f%ff%2F%2e", 80, HTTP, false },
    { "http://h/x{y}|z^`<>\"[]", "h", "h", "/x{y}|z^`<>\"[]", 80, HTTP, false },
    { "http://h/a:b@c", "h", "h", "/a:b@c", 80, HTTP, false },
    { "http://my_host-1.x~y/", "my_host-1.x~y", "my_host-1.x~y", "/", 80, HTTP, false },
    { "http://a!$&'()*+,;=b/", "a!$&'()*+,;=b", "a!$&'()*+,;=b", "/", 80, HTTP, false },
    { "http://xn--bcher-kva.example./", "xn--bcher-kva.example.", "xn--bcher-kva.example.", "/", 80,
      HTTP, false },
    { "http://1a/", "1a", "1a", "/", 80, HTTP, false },
    { "http://127.0.0.1x/", "127.0.0.1x", "127.0.0.1x", "/", 80, HTTP, false },
    { "http://127.0.0.1.example/", "127.0.0.1.example", "127.0.0.1.example", "/", 80, HTTP, false },
    { "http://0xg/", "0xg", "0xg", "/", 80, HTTP, false },
    { "http://a.0xfg", "a.0xfg", "a.0xfg", "/", 80, HTTP, false },
    { "http://a..b/", "a..b", "a..b", "/", 80, HTTP, false },
    { "http://0.0.0.0", "0.0.0.0", "0.0.0.0", "/", 80, HTTP, false },
    { "http://255.255.255.255", "255.255.255.255", "255.255.255.255", "/", 80, HTTP, false },
    { "http://unix/path", "unix", "unix", "/path", 80, HTTP, false },
    { "http://unix:80/path", "unix:80", "unix", "/path", 80, HTTP, false },
    { "http://[::1]/", "[::1]", "::1", "/", 80, HTTP, true },
    { "http://[::1]", "[::1]", "::1", "/", 80, HTTP, true },
    { "http://[::]", "[::]", "::", "/", 80, HTTP, true },
    { "http://[1::]", "[1::]", "1::", "/", 80, HTTP, true },
    { "http://[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]", "1:2:3:4:5:6:7:8", "/", 80, HTTP, true },
    { "http://[::2:3:4:5:6:7:8]", "[::2:3:4:5:6:7:8]", "::2:3:4:5:6:7:8", "/", 80, HTTP, true },
    { "http://[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]", "1:2:3:4:5:6:7::", "/", 80, HTTP, true },
    { "http://[FFFF:abcd::0]?x", "[FFFF:abcd::0]", "FFFF:abcd::0", "?x", 80, HTTP, true },
    { "https://[2001:db8::7]:8443/x", "[2001:db8::7]:8443", "2001:db8::7", "/x", 8443, HTTPS,
      true },
    { "http://[::ffff:192.168.100.200]:9/", "[::ffff:192.168.100.200]:9", "::ffff:192.168.100.200",
      "/", 9, HTTP, true },
    { "http://[::1.2.3.4]/", "[::1.2.3.4]", "::1.2.3.4", "/", 80, HTTP, true },
    { "http://[1:2:3:4:5::1.2.3.4]", "[1:2:3:4:5::1.2.3.4]", "1:2:3:4:5::1.2.3.4", "/", 80, HTTP,
      true },
    { "http://[1111:2222:3333:4444:5555:6666:123.123.123.123]/",
      "[1111:2222:3333:4444:5555:6666:123.123.123.123]",
      "1111:2222:3333:4444:5555:6666:123.123.123.123", "/", 80, HTTP, true },
    { "http+unix://%2Fvar%2Frun%2Fdocker.sock/v1.43/info?a=b#c", "%2Fvar%2Frun%2Fdocker.sock",
      "%2Fvar%2Frun%2Fdocker.sock", "/v1.43/info?a=b", 0, WEIR_URL_HTTP_UNIX, false },
    { "HTTP+Unix://%2fs", "%2fs", "%2fs", "/", 0, WEIR_URL_HTTP_UNIX, false },
    { "http+unix://%2F%C3%A9%20%3A+a", "%2F%C3%A9%20%3A+a", "%2F%C3%A9%20%3A+a", "/", 0,
      WEIR_URL_HTTP_UNIX, false },
    { "http+unix://%2F?x", "%2F", "%2F", "?x", 0, WEIR_URL_HTTP_UNIX, false },
    { "http+unix://%2F1.2/", "%2F1.2", "%2F1.2", "/", 0, WEIR_URL_HTTP_UNIX, false },
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good_cases); i++) {
        const struct good *want = &good_cases[i];
        struct weir_url url;
        if (parse_guarded(&url, want->text, strlen(want->text)) != 0)
            fail_msg("%s: %s", want->text, weir_error_text());
        rig_assert_slice(url.authority, want->authority, want->text);
        rig_assert_slice(url.host, want->host, want->text);
        rig_assert_slice(url.target, want->target, want->text);
        assert_int_equal(url.port, want->port);
        assert_int_equal(url.host_is_ipv6, want->is_ipv6);
        assert_int_equal(url.scheme, want->scheme);
    }
}

struct parts {
    const char *text;
    const char *scheme, *path, *query, *fragment; /* NULL: there is none */
};

/* The views that the table above does not look at. */
static void test_parts(void **state)
{
    (void)state;
    static const struct parts cases[] = {
        { "http://h", "http", "", NULL, NULL },
        { "HTTP://h/", "HTTP", "/", NULL, NULL },
        { "Https://h?", "Https", "", "", NULL },
        { "http://h#", "http", "", NULL, "" },
        { "http://h?#", "http", "", "", "" },
        { "http://h/?q", "http", "/", "q", NULL },
        { "http://h/a/b?q=1?2#f?g#h", "http", "/a/b", "q=1?2", "f?g#h" },
        { "http://h/a#f?g", "http", "/a", NULL, "f?g" },
        { "http+unix://%2Fs/a?b#c", "http+unix", "/a", "b", "c" },
        { "http+unix://%2Fs", "http+unix", "", NULL, NULL },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct parts *want = &cases[i];
        struct weir_url url;
        if (parse_guarded(&url, want->text, strlen(want->text)) != 0)
            fail_msg("%s: %s", want->text, weir_error_text());
        rig_assert_slice(url.scheme_text, want->scheme, want->text);
        rig_assert_slice(url.path, want->path, want->text);
        rig_assert_slice(url.query, want->query != NULL ? want->query : "", want->text);
        rig_assert_slice(url.fragment, want->fragment != NULL ? want->fragment : "", want->text);
        assert_int_equal(url.has_query, want->query != NULL);
        assert_int_equal(url.has_fragment, want->fragment != NULL);
    }
}

static void test_ipv4_is_told(void **state)
{
    (void)state;
    struct weir_url url;
    assert_int_equal(weir_url_parse(&url, WEIR_TEXT("http://10.0.0.1:8/")), 0);
    assert_true(url.host_is_ipv4);
    assert_int_equal(weir_url_parse(&url, WEIR_TEXT("http://10.0.0.1.x/")), 0);
    assert_false(url.host_is_ipv4);
    assert_int_equal(weir_url_parse(&url, WEIR_TEXT("http://[::10.0.0.1]/")), 0);
    assert_false(url.host_is_ipv4);
}

struct bad {
    const char *text;
    const char *said;
    int offset;
};

#define NO_SCHEME   "expected http://, https:// or http+unix://"
#define NO_SOCKET   "expected the path of a unix socket, which begins with %2F,"
#define NO_PORT     "expected a port of 1 ... 65535"
#define NO_IPV4     "expected an IPv4 address, four numbers 0 ... 255,"
#define NO_GROUP    "expected one to four hexadecimal digits of an IPv6 address"
#define NO_BRACKETS "an IPv6 address without brackets"
#define NO_HEX      "a '%' without two hexadecimal digits"

static const struct bad bad_cases[] = {
    { "", NO_SCHEME, 0 },
    { "example.org", NO_SCHEME, 0 },
    { "http:/h", NO_SCHEME, 0 },
    { "http:", NO_SCHEME, 0 },
    { "http", NO_SCHEME, 0 },
    { "//h/", NO_SCHEME, 0 },
    { "://h/", NO_SCHEME, 0 },
    { "ftp://h/", NO_SCHEME, 0 },
    { "httpx://h/", NO_SCHEME, 0 },
    { "h\x14\x14p://h/", "a control character", 1 },
    { "x://?http://h", NO_SCHEME, 0 },
    { "https+unix://%2Fs/", NO_SCHEME, 0 },
    { "unix:/run/s", "is http+unix://%2Fpath%2Fof%2Fsocket", 0 },
    { "unix:/run/s:/target", "is http+unix://%2Fpath%2Fof%2Fsocket", 0 },
    { "\\http://h", "a backslash", 0 },
    { "http\x1a//h/", "a control character", 4 },
    { "httpZ//h/", NO_SCHEME, 0 },
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
    { "http://a@b@h/", "user information", 8 },
    { "http+unix://user@%2Fs/", "user information", 16 },
    { "http://h\\x/", "a backslash", 8 },
    { "http://h/\\x", "a backslash", 9 },
    { "http://h/?\\", "a backslash", 10 },
    { "http://h/#\\", "a backslash", 10 },
    { "http://a%41/", "no host name has", 8 },
    { "http://a\"b/", "no host name has", 8 },
    { "http://a[b/", "no host name has", 8 },
    { "http://<h>/", "no host name has", 7 },
    { "http://{h}/", "no host name has", 7 },
    { "http://h|g/", "no host name has", 8 },
    { "http://h^g/", "no host name has", 8 },
    { "http://h`g/", "no host name has", 8 },
    { "http://h]/", "no host name has", 8 },
    { "http://h:/", NO_PORT, 9 },
    { "http://h:", NO_PORT, 9 },
    { "http://h:0/", NO_PORT, 9 },
    { "http://h:0000/", NO_PORT, 9 },
    { "http://h:65536/", NO_PORT, 9 },
    { "http://h:100000/", NO_PORT, 9 },
    { "http://h:18446744073709551696/", NO_PORT, 9 },
    { "http://h:4294967376/", NO_PORT, 9 },
    { "http://unix:/run/s:/target", "http+unix://%2Fpath%2Fof%2Fsocket instead", 12 },
    { "http://UNIX:/run/s", "http+unix://%2Fpath%2Fof%2Fsocket instead", 12 },
    { "http://h:-1/", "expected a digit of the port", 9 },
    { "http://h:+1/", "expected a digit of the port", 9 },
    { "http://h:8x/", "expected a digit of the port", 10 },
    { "http://h:80:81/", "expected a digit of the port", 11 },
    { "http://h:%38/", "expected a digit of the port", 9 },
    { "http://::1/", NO_BRACKETS, 7 },
    { "http://2001:db8::1/", NO_BRACKETS, 7 },
    { "http://::ffff:1.2.3.4/", NO_BRACKETS, 7 },
    { "http://:80:x/", "expected a host", 7 },
    { "http://1/", NO_IPV4, 8 },
    { "http://2130706433/", NO_IPV4, 10 },
    { "http://127.1/", NO_IPV4, 12 },
    { "http://127.0.0.1./", NO_IPV4, 16 },
    { "http://127.0.0.256/", NO_IPV4, 15 },
    { "http://127.0.0.01/", NO_IPV4, 15 },
    { "http://0177.0.0.1/", NO_IPV4, 7 },
    { "http://1.2.3.4.5/", NO_IPV4, 14 },
    { "http://0x7f000001/", NO_IPV4, 8 },
    { "http://0x7f.1/", NO_IPV4, 8 },
    { "http://127.0.0.0X1/", NO_IPV4, 16 },
    { "http://a.0x/", NO_IPV4, 7 },
    { "http://example.1/", NO_IPV4, 7 },
    { "http://example.99999999999999999999/", NO_IPV4, 7 },
    { "http://.1/", NO_IPV4, 7 },
    { "http://[::1", "'[' without ']'", 7 },
    { "http://[::1/", "'[' without ']'", 7 },
    { "http://[", "'[' without ']'", 7 },
    { "http://[]/", "expected an IPv6 address", 8 },
    { "http://[h]/", NO_GROUP, 8 },
    { "http://[:]/", NO_GROUP, 8 },
    { "http://[:1::]/", NO_GROUP, 8 },
    { "http://[:::]/", NO_GROUP, 10 },
    { "http://[::1:]/", NO_GROUP, 12 },
    { "http://[1:::2]/", NO_GROUP, 11 },
    { "http://[::12345]/", NO_GROUP, 10 },
    { "http://[::1-2]/", "expected ':' or the end of an IPv6 address", 11 },
    { "http://[::1::]/", "a second '::'", 11 },
    { "http://[1::2::3]/", "a second '::'", 12 },
    { "http://[1.2.3.4]/", "less than eight groups", 15 },
    { "http://[1:2:3:4:5:6:7]/", "less than eight groups", 21 },
    { "http://[1:2:3:4:5:6:7:]/", NO_GROUP, 22 },
    { "http://[1:2:3:4:5:6:7:8:9]/", "more than eight groups", 24 },
    { "http://[1:2:3:4:5:6:7:8::]/", "more than eight groups", 23 },
    { "http://[::1:2:3:4:5:6:7:8]/", "more than eight groups", 24 },
    { "http://[1:2:3:4::5:6:7:8]/", "more than eight groups", 23 },
    { "http://[1:2:3:4:5:6:7:1.2.3.4]/", "more than eight groups", 22 },
    { "http://[1:2:3:4:5:6::1.2.3.4]/", "more than eight groups", 21 },
    { "http://[::1.2.3]/", NO_IPV4, 15 },
    { "http://[::1.2.3.256]/", NO_IPV4, 16 },
    { "http://[::1.2.3.4.5]/", NO_IPV4, 17 },
    { "http://[::1.2.3.4:5]/", NO_IPV4, 17 },
    { "http://[::01.2.3.4]/", NO_IPV4, 10 },
    { "http://[::a.2.3.4]/", NO_IPV4, 10 },
    { "http://[fe80::1%25eth0]/", "a zone identifier", 15 },
    { "http://[fe80::1%eth0]/", "a zone identifier", 15 },
    { "http://[%25eth0]/", "a zone identifier", 8 },
    { "http://[v1.x]/", "an IPvFuture address", 8 },
    { "http://[V1f.x:y]/", "an IPvFuture address", 8 },
    { "http://[0000000000000000000000000000000000000000000000000000::1]/", NO_GROUP, 8 },
    { "http://[::1]x/", "expected ':', '/' or the end", 12 },
    { "http://[::1]80/", "expected ':', '/' or the end", 12 },
    { "http://[::1]]/", "expected ':', '/' or the end", 12 },
    { "http://[::1]:/", "expected a port", 13 },
    { "http://[::1]:0/", "expected a port", 13 },
    { "http://h/%", NO_HEX, 9 },
    { "http://h/%4", NO_HEX, 9 },
    { "http://h/%4g", NO_HEX, 9 },
    { "http://h/%g4", NO_HEX, 9 },
    { "http://h/%%41", NO_HEX, 9 },
    { "http://h/%41%4", NO_HEX, 12 },
    { "http://h/a?100%", NO_HEX, 14 },
    { "http://h?%x", NO_HEX, 9 },
    { "http://h#%", NO_HEX, 9 },
    { "http://h/%4?1", NO_HEX, 9 },
    { "http+unix://", NO_SOCKET, 12 },
    { "http+unix:///run/s", NO_SOCKET, 12 },
    { "http+unix://run%2Fs/", NO_SOCKET, 12 },
    { "http+unix://localhost/", NO_SOCKET, 12 },
    { "http+unix://%00abstract/", NO_SOCKET, 12 },
    { "http+unix://%2", NO_HEX, 12 },
    { "http+unix://%2Fa%/", NO_HEX, 16 },
    { "http+unix://%2Fs:80/", "a ':' where a unix socket has no port", 16 },
    { "http+unix://:80/", "a ':' where a unix socket has no port", 12 },
    { "http+unix://%2Fs:/", "a ':' where a unix socket has no port", 16 },
    { "http+unix://[::1]/", "must be percent-encoded", 12 },
    { "http+unix://%2Fa{/", "must be percent-encoded", 16 },
    { "http+unix://%2Fa%00/", "a NUL", 16 },
    { "http://h/a b", "a space", 10 },
    { "http://h /", "a space", 8 },
    { " http://h/", "a space", 0 },
    { "http://h/ ", "a space", 9 },
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
    if (err != WEIR_E_URL)
        fail_msg("%s: %d where WEIR_E_URL was expected", text, err);
    rig_assert_error(said, offset, text);
    assert_memory_equal(&url, &before, sizeof url);
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_cases); i++)
        check_bad(bad_cases[i].text, strlen(bad_cases[i].text), bad_cases[i].said,
                  bad_cases[i].offset);
    check_bad("http://h\0/", 10, "a control character", 8);
    check_bad("http://h/\0", 10, "a control character", 9);
    check_bad("http://h/%4\0", 12, "a control character", 11);
    struct weir_url url;
    assert_int_equal(weir_url_parse(&url, (struct weir_slice){ NULL, 0 }), WEIR_E_URL);
}

static void test_lengths(void **state)
{
    (void)state;
    static char text[WEIR_URL_BYTES_MAX + 2];
    memset(text, 'a', sizeof text);
    memcpy(text, "http://", 7);
    struct weir_url url;
    assert_int_equal(parse_guarded(&url, text, 7 + 255), 0);
    assert_int_equal(url.host.len, WEIR_URL_HOST_BYTES_MAX);
    check_bad(text, 7 + 256, "more than 255 bytes", 7 + 255);

    memcpy(text, "http://h/", 9);
    assert_int_equal(parse_guarded(&url, text, WEIR_URL_BYTES_MAX), 0);
    assert_int_equal(url.target.len, WEIR_URL_BYTES_MAX - 8);
    check_bad(text, WEIR_URL_BYTES_MAX + 1, "more than 65535 bytes", WEIR_URL_BYTES_MAX);

    /* Counted decoded: the kernel gets no percent signs. */
    memset(text, 'a', sizeof text);
    memcpy(text, "http+unix://%2F%61", 18);
    assert_int_equal(parse_guarded(&url, text, 18 + 105), 0);
    check_bad(text, 18 + 106, "more than 107 bytes", 18 + 105);
}

/* Each byte value in the host, and in the path: taken or refused, never misread. */
static void test_every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        struct weir_url url;
        char in_path[] = "http://h/_x";
        in_path[9] = (char)c;
        int err = parse_guarded(&url, in_path, sizeof in_path - 1);
        bool fine = c > 0x20 && c < 0x7f && c != '\\' && c != '%';
        assert_int_equal(err, fine ? 0 : WEIR_E_URL);
        if (err == 0)
            assert_int_equal(url.target.len, c == '#' ? 1 : 3);

        char in_host[] = "http://h_x";
        in_host[8] = (char)c;
        bool ends = c == '/' || c == '?' || c == '#';
        fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (c != 0 && strchr("-._~!$&'()*+,;=", c) != NULL);
        err = parse_guarded(&url, in_host, sizeof in_host - 1);
        assert_int_equal(err, ends || fine ? 0 : WEIR_E_URL);
        if (err == 0)
            assert_int_equal(url.host.len, ends ? 1 : 3);
    }
}

/*
 * Every beginning of a URL, and random texts of the bytes that mean something, end at an unmapped
 * page.
 */
static void test_cuts_and_noise(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    struct weir_url url;
    static const char whole[] = "https://[2001:db8::7]:8443/a/b?c=d%20#e";
    for (size_t len = 0; len < sizeof whole; len++) {
        int err = parse_guarded(&url, whole, len);
        bool in_literal = len < 21, at_colon = len == 22, in_escape = len == 35 || len == 36;
        bool with_nul = len == sizeof whole;
        assert_int_equal(err, in_literal || at_colon || in_escape || with_nul ? WEIR_E_URL : 0);
    }
    static const char alphabet[] = "aa1:/?#[]@.%2F-:/";
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

struct pair {
    const char *a, *b;
    bool same;
};

static void test_same_origin(void **state)
{
    (void)state;
    static const struct pair cases[] = {
        { "http://h/a", "http://h/b?c", true },
        { "http://h", "http://h:80", true },
        { "http://h", "http://h:0080", true },
        { "https://h", "https://h:443", true },
        { "http://Example.ORG", "HTTP://eXAMPLE.org", true },
        { "http://h", "https://h", false },
        { "http://h:443", "https://h:443", false },
        { "http://h:81", "http://h:82", false },
        { "http://h", "http://hh", false },
        { "http://a", "http://b", false },
        { "http://[::1]", "http://[0:0:0:0:0:0:0:1]", true },
        { "http://[::1]", "http://[0::0.0.0.1]:80", true },
        { "http://[abcd::]", "http://[ABCD:0::0]", true },
        { "http://[::1]", "http://[::2]", false },
        { "http://[1::]", "http://[::1]", false },
        { "http://[::ffff:1.2.3.4]", "http://1.2.3.4", false },
        { "http+unix://%2Fa/x", "http+unix://%2f%61", true },
        { "http+unix://%2Fa", "http+unix://%2FA", false },
        { "http+unix://%2Fa", "http+unix://%2Fab", false },
        { "http+unix://%2Fab", "http+unix://%2Fa", false },
        { "http+unix://%2Fa", "http://a", false },
        { "http://a-b", "http://a_b", false },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct weir_url a, b;
        assert_int_equal(weir_url_parse(&a, rig_slice(cases[i].a)), 0);
        assert_int_equal(weir_url_parse(&b, rig_slice(cases[i].b)), 0);
        if (weir_url_same_origin(&a, &b) != cases[i].same ||
            weir_url_same_origin(&b, &a) != cases[i].same)
            fail_msg("%s, %s: expected %d", cases[i].a, cases[i].b, cases[i].same);
    }
    /* Made by hand, and malformed: no byte behind the host is read. */
    struct weir_url a = { .scheme = WEIR_URL_HTTP_UNIX }, b = a;
    a.host = rig_place(0, WEIR_TEXT("%2Fa%"));
    b.host = rig_place(1, WEIR_TEXT("%2Fa%2"));
    assert_true(weir_url_same_origin(&a, &a));
    assert_false(weir_url_same_origin(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),           cmocka_unit_test(test_parts),
        cmocka_unit_test(test_ipv4_is_told),   cmocka_unit_test(test_bad),
        cmocka_unit_test(test_lengths),        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_cuts_and_noise), cmocka_unit_test(test_same_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
