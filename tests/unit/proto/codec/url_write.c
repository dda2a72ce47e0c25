/* SPDX-License-Identifier: MIT */
#include <weir/url.h>

#include "url_rig.h"

#define SEED 90210u

struct built {
    struct weir_url url;
    const char *expected;
};

/* From parts alone: what is empty is made up for. */
static void test_build(void **state)
{
    (void)state;
    const struct built cases[] = {
        { { .host = WEIR_TEXT("h") }, "http://h" },
        { { .scheme = WEIR_URL_HTTPS, .host = WEIR_TEXT("h"), .port = 443 }, "https://h" },
        { { .scheme = WEIR_URL_HTTPS, .host = WEIR_TEXT("h"), .port = 80 }, "https://h:80" },
        { { .host = WEIR_TEXT("h"), .port = 80, .path = WEIR_TEXT("/") }, "http://h/" },
        { { .host = WEIR_TEXT("h"), .port = 65535 }, "http://h:65535" },
        { { .host = WEIR_TEXT("::1"), .host_is_ipv6 = true, .port = 81 }, "http://[::1]:81" },
        { { .host = WEIR_TEXT("1.2.3.4"), .path = WEIR_TEXT("/a/b") }, "http://1.2.3.4/a/b" },
        { { .host = WEIR_TEXT("h"), .query = WEIR_TEXT("a=b") }, "http://h?a=b" },
        { { .host = WEIR_TEXT("h"), .fragment = WEIR_TEXT("f") }, "http://h#f" },
        { { .host = WEIR_TEXT("h"), .has_query = true, .has_fragment = true }, "http://h?#" },
        { { .host = WEIR_TEXT("h"), .path = WEIR_TEXT("//x/../%2e") }, "http://h//x/../%2e" },
        { { .host = WEIR_TEXT("h"), .scheme_text = WEIR_TEXT("HTTP") }, "HTTP://h" },
        { { .host = WEIR_TEXT("h"), .authority = WEIR_TEXT("h:080"), .port = 80 }, "http://h:080" },
        { { .scheme = WEIR_URL_HTTP_UNIX,
            .host = WEIR_TEXT("%2Frun%2Fs"),
            .path = WEIR_TEXT("/x") },
          "http+unix://%2Frun%2Fs/x" },
        { { .host = WEIR_TEXT("h"),
            .path = WEIR_TEXT("/p"),
            .query = WEIR_TEXT("q?/"),
            .fragment = WEIR_TEXT("f?#") },
          "http://h/p?q?/#f?#" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t out[64];
        int64_t bytes = weir_url_write(out, sizeof out, &cases[i].url);
        if (bytes < 0)
            fail_msg("%s: %s", cases[i].expected, weir_error_text());
        rig_assert_slice((struct weir_slice){ out, (size_t)bytes }, cases[i].expected, "built");
    }
}

struct refused {
    struct weir_url url;
    const char *said;
};

#define H .host = WEIR_TEXT("h")

static void test_refused(void **state)
{
    (void)state;
    const struct refused cases[] = {
        { { .port = 80 }, "host: expected a host at byte 0" },
        { { .host = WEIR_TEXT("h:80") }, "host: brackets or a port" },
        { { .host = WEIR_TEXT("[::1]") }, "host: brackets or a port" },
        { { .host = WEIR_TEXT("::1") }, "host: an IPv6 address without brackets" },
        { { .host = WEIR_TEXT("h"), .host_is_ipv6 = true }, "host: expected one to four" },
        { { .host = WEIR_TEXT("u@h") }, "host: user information" },
        { { .host = WEIR_TEXT("h/x") }, "host: a character that no host name has at byte 1" },
        { { .host = WEIR_TEXT("h?x") }, "host: a character that no host name has at byte 1" },
        { { .host = WEIR_TEXT("h#x") }, "host: a character that no host name has at byte 1" },
        { { .host = WEIR_TEXT("h\r\n") }, "host: a character that no host name has at byte 1" },
        { { .host = WEIR_TEXT("h\0") }, "host: a character that no host name has at byte 1" },
        { { .host = WEIR_TEXT("127.1") }, "host: expected an IPv4 address" },
        { { .scheme = WEIR_URL_HTTP_UNIX, H }, "host: expected the path of a unix socket" },
        { { .scheme = WEIR_URL_HTTP_UNIX, .host = WEIR_TEXT("/run/s") }, "percent-encoded" },
        { { .scheme = WEIR_URL_HTTP_UNIX, .host = WEIR_TEXT("%2Fs"), .port = 80 }, "no port" },
        { { .scheme = (enum weir_url_scheme)3, H }, "scheme: expected one of" },
        { { .scheme = WEIR_URL_HTTPS, .scheme_text = WEIR_TEXT("http"), H }, "scheme_text" },
        { { .authority = WEIR_TEXT("g:80"), H, .port = 80 }, "does not say what host" },
        { { .authority = WEIR_TEXT("h:80"), H, .port = 81 }, "does not say what host" },
        { { .authority = WEIR_TEXT("h"), H }, "does not say what host" },
        { { .authority = WEIR_TEXT("[::1]"), .host = WEIR_TEXT("::1"), .port = 80 }, "does not" },
        { { .authority = WEIR_TEXT("h/x"), H, .port = 80 }, "authority: a character that no" },
        { { .authority = WEIR_TEXT("u@h"), H, .port = 80 }, "authority: user information" },
        { { H, .path = WEIR_TEXT("x") }, "path: expected '/' at byte 0" },
        { { H, .path = WEIR_TEXT("/a?b") }, "path: a '?' (write %3F) at byte 2" },
        { { H, .path = WEIR_TEXT("/#") }, "path: a '#' (write %23) at byte 1" },
        { { H, .path = WEIR_TEXT("/%4") }, "path: a '%' without two hexadecimal digits" },
        { { H, .path = WEIR_TEXT("/a b") }, "path: a space (write %20) at byte 2" },
        { { H, .path = WEIR_TEXT("/\r\n") }, "path: a control character at byte 1" },
        { { H, .path = WEIR_TEXT("/\\") }, "path: a backslash" },
        { { H, .query = WEIR_TEXT("#") }, "query: a '#' (write %23) at byte 0" },
        { { H, .query = WEIR_TEXT("\xff") }, "query: a byte that is not ASCII" },
        { { H, .query = WEIR_TEXT("%") }, "query: a '%'" },
        { { H, .fragment = WEIR_TEXT("\0") }, "fragment: a control character at byte 0" },
        { { H, .fragment = WEIR_TEXT("%zz") }, "fragment: a '%'" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t out[64] = { 0x5a };
        int64_t bytes = weir_url_write(out, sizeof out, &cases[i].url);
        if (bytes != -EINVAL || strstr(weir_error_text(), cases[i].said) == NULL)
            fail_msg("'%s': %d, '%s'", cases[i].said, (int)bytes, weir_error_text());
        assert_int_equal(out[0], 0x5a);
    }
}

static void test_room(void **state)
{
    (void)state;
    const struct weir_url url = { H, .port = 81, .path = WEIR_TEXT("/p") };
    const size_t whole = strlen("http://h:81/p");
    assert_int_equal(weir_url_write(NULL, 0, &url), -ENOBUFS);
    for (size_t capacity = 0; capacity < 32; capacity++) {
        uint8_t out[32];
        memset(out, 0x5a, sizeof out);
        int64_t bytes = weir_url_write(out, capacity, &url);
        assert_int_equal(bytes, capacity < whole ? -ENOBUFS : (int64_t)whole);
        assert_int_equal(out[0], capacity < whole ? 0x5a : 'h');
        assert_int_equal(out[whole], 0x5a);
    }
}

static void test_length(void **state)
{
    (void)state;
    static uint8_t path[WEIR_URL_BYTES_MAX + 1], out[WEIR_URL_BYTES_MAX + 1];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    struct weir_url url = { H, .path = { path, WEIR_URL_BYTES_MAX - 8 } }, back;
    assert_int_equal(weir_url_write(out, sizeof out, &url), WEIR_URL_BYTES_MAX);
    assert_int_equal(weir_url_parse(&back, (struct weir_slice){ out, WEIR_URL_BYTES_MAX }), 0);
    url.path.len++;
    assert_int_equal(weir_url_write(out, sizeof out, &url), -EINVAL);
    url.path.len = WEIR_URL_BYTES_MAX + 1;
    assert_int_equal(weir_url_write(out, sizeof out, &url), -EINVAL);
}

static const char *const hosts[] = { "h", "Example.org", "10.0.0.1", "a-b_c~d!$&'()*+,;=", "x." };
static const char *const hosts6[] = { "::", "::1", "2001:DB8::7", "1:2:3:4:5:6:1.2.3.4" };
static const char *const sockets[] = { "%2Fs", "%2frun%2FA.sock", "%2F%C3%A9%20x" };
static const char *const ports[] = { "", ":1", ":80", ":443", ":8080", ":00065535" };
static const char *const names[] = { "a", "/", ".", "..", "%2F", "%20", "b;c", ":", "@", "=", "[" };

#define PICK(random, table) (table)[rig_below(random, COUNT(table))]

/* A URL as text, put together from parts, and with the parts that it must be taken apart into. */
struct sample {
    char text[RIG_TEXT_BYTES_MAX];
    char scheme[16], host[64], path[256], query[256], fragment[256];
    uint16_t port;
    bool has_query, has_fragment, is_ipv6;
};

static void sample_make(struct sample *s, uint64_t key)
{
    struct rig_random random = { .seed = SEED, .key = key };
    static const char *const schemes[] = { "http", "HTTP", "https", "hTTps", "http+unix" };
    *s = (struct sample){ .has_query = rig_below(&random, 2) != 0 };
    s->has_fragment = rig_below(&random, 2) != 0;
    size_t kind = rig_below(&random, COUNT(schemes));
    bool socket = kind == 4;
    s->is_ipv6 = !socket && rig_below(&random, 3) == 0;
    const char *port = socket ? "" : PICK(&random, ports);
    const char *host = socket       ? PICK(&random, sockets)
                       : s->is_ipv6 ? PICK(&random, hosts6)
                                    : PICK(&random, hosts);
    s->port = socket ? 0 : kind >= 2 ? 443 : 80;
    if (port[0] != '\0')
        s->port = (uint16_t)strtoul(port + 1, NULL, 10);
    snprintf(s->scheme, sizeof s->scheme, "%s", schemes[kind]);
    snprintf(s->host, sizeof s->host, "%s", host);
    if (rig_below(&random, 4) != 0) {
        s->path[0] = '/';
        rig_words(&random, s->path, names, COUNT(names), 8);
    }
    if (s->has_query)
        rig_words(&random, s->query, names, COUNT(names), 5);
    if (s->has_fragment)
        rig_words(&random, s->fragment, names, COUNT(names), 3);
    snprintf(s->text, sizeof s->text, "%s://%s%s%s%s%s%s%s%s%s", s->scheme, s->is_ipv6 ? "[" : "",
             s->host, s->is_ipv6 ? "]" : "", port, s->path, s->has_query ? "?" : "", s->query,
             s->has_fragment ? "#" : "", s->fragment);
}

static void demand_parts(const struct weir_url *url, const struct sample *s)
{
    rig_assert_slice(url->host, s->host, s->text);
    rig_assert_slice(url->path, s->path, s->text);
    rig_assert_slice(url->query, s->query, s->text);
    rig_assert_slice(url->fragment, s->fragment, s->text);
    assert_int_equal(url->port, s->port);
    assert_int_equal(url->has_query, s->has_query);
    assert_int_equal(url->has_fragment, s->has_fragment);
    assert_int_equal(url->host_is_ipv6, s->is_ipv6);
}

/*
 * Random URLs: parsed, they are their parts; written, the same bytes; built from parts alone, a URL
 * with the same parts and the same origin.
 */
static void test_round_trip(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    static struct sample s;
    for (uint64_t key = 0; key < 20000; key++) {
        sample_make(&s, key);
        struct weir_url url, back;
        struct weir_slice text = rig_place(0, rig_slice(s.text));
        if (weir_url_parse(&url, text) != 0)
            fail_msg("key %zu, %s: %s", (size_t)key, s.text, weir_error_text());
        rig_assert_slice(url.scheme_text, s.scheme, s.text);
        demand_parts(&url, &s);
        uint8_t out[RIG_TEXT_BYTES_MAX];
        assert_int_equal(weir_url_write(out, text.len, &url), text.len);
        assert_memory_equal(out, text.ptr, text.len);

        struct weir_url parts = { .scheme = url.scheme,
                                  .host = url.host,
                                  .port = url.port,
                                  .host_is_ipv6 = url.host_is_ipv6,
                                  .path = url.path,
                                  .query = url.query,
                                  .fragment = url.fragment,
                                  .has_query = url.has_query,
                                  .has_fragment = url.has_fragment };
        int64_t bytes = weir_url_write(out, sizeof out, &parts);
        assert_true(bytes > 0);
        assert_int_equal(weir_url_parse(&back, (struct weir_slice){ out, (size_t)bytes }), 0);
        demand_parts(&back, &s);
        assert_int_equal(back.scheme, url.scheme);
        assert_true(weir_url_same_origin(&url, &back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_room),       cmocka_unit_test(test_length),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
