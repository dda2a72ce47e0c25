/* SPDX-License-Identifier: MIT */
#include <weir/url.h>

#include "url_rig.h"

#include <time.h>

#define SEED 353535u

static struct weir_url parsed(const char *text)
{
    struct weir_url url;
    if (weir_url_parse(&url, rig_place(1, rig_slice(text))) != 0)
        fail_msg("%s: %s", text, weir_error_text());
    return url;
}

struct example {
    const char *reference;
    const char *expected;
};

static void check_examples(const char *base_text, const struct example *examples, size_t count)
{
    struct weir_url base = parsed(base_text);
    for (size_t i = 0; i < count; i++) {
        struct weir_slice reference = rig_place(0, rig_slice(examples[i].reference));
        uint8_t out[128];
        int64_t bytes = weir_url_resolve(out, sizeof out, &base, reference);
        if (bytes < 0)
            fail_msg("%s: %s", examples[i].reference, weir_error_text());
        rig_assert_slice((struct weir_slice){ out, (size_t)bytes }, examples[i].expected,
                         examples[i].reference);
        /* Exactly that much room is enough, and a byte less is not. */
        assert_int_equal(weir_url_resolve(out, (size_t)bytes, &base, reference), bytes);
        memset(out, 0x5a, sizeof out);
        assert_int_equal(weir_url_resolve(out, (size_t)bytes - 1, &base, reference), -ENOBUFS);
        assert_int_equal(out[0], 0x5a);
    }
}

/* RFC 3986 section 5.4.1 and 5.4.2, all of them. "http:g" is the strict one of the two answers. */
static void test_rfc_examples(void **state)
{
    (void)state;
    static const struct example examples[] = {
        { "g:h", "g:h" },
        { "g", "http://a/b/c/g" },
        { "./g", "http://a/b/c/g" },
        { "g/", "http://a/b/c/g/" },
        { "/g", "http://a/g" },
        { "//g", "http://g" },
        { "?y", "http://a/b/c/d;p?y" },
        { "g?y", "http://a/b/c/g?y" },
        { "#s", "http://a/b/c/d;p?q#s" },
        { "g#s", "http://a/b/c/g#s" },
        { "g?y#s", "http://a/b/c/g?y#s" },
        { ";x", "http://a/b/c/;x" },
        { "g;x", "http://a/b/c/g;x" },
        { "g;x?y#s", "http://a/b/c/g;x?y#s" },
        { "", "http://a/b/c/d;p?q" },
        { ".", "http://a/b/c/" },
        { "./", "http://a/b/c/" },
        { "..", "http://a/b/" },
        { "../", "http://a/b/" },
        { "../g", "http://a/b/g" },
        { "../..", "http://a/" },
        { "../../", "http://a/" },
        { "../../g", "http://a/g" },
        { "../../../g", "http://a/g" },
        { "../../../../g", "http://a/g" },
        { "/./g", "http://a/g" },
        { "/../g", "http://a/g" },
        { "g.", "http://a/b/c/g." },
        { ".g", "http://a/b/c/.g" },
        { "g..", "http://a/b/c/g.." },
        { "..g", "http://a/b/c/..g" },
        { "./../g", "http://a/b/g" },
        { "./g/.", "http://a/b/c/g/" },
        { "g/./h", "http://a/b/c/g/h" },
        { "g/../h", "http://a/b/c/h" },
        { "g;x=1/./y", "http://a/b/c/g;x=1/y" },
        { "g;x=1/../y", "http://a/b/c/y" },
        { "g?y/./x", "http://a/b/c/g?y/./x" },
        { "g?y/../x", "http://a/b/c/g?y/../x" },
        { "g#s/./x", "http://a/b/c/g#s/./x" },
        { "g#s/../x", "http://a/b/c/g#s/../x" },
        { "http:g", "http:g" },
    };
    check_examples("http://a/b/c/d;p?q", examples, COUNT(examples));
}

static void test_more_examples(void **state)
{
    (void)state;
    static const struct example bare[] = {
        { "g", "HTTP://A:080/g" },       { "../g", "HTTP://A:080/g" },
        { "", "HTTP://A:080" },          { "?", "HTTP://A:080?" },
        { "#", "HTTP://A:080#" },        { ".", "HTTP://A:080/" },
        { "..", "HTTP://A:080/" },       { "/", "HTTP://A:080/" },
        { "./a:b", "HTTP://A:080/a:b" }, { "%2e%2E/g", "HTTP://A:080/%2e%2E/g" },
    };
    check_examples("HTTP://A:080", bare, COUNT(bare));
    static const struct example other[] = {
        { "", "https://[::1]:8443/a//b/../c?x" }, /* not of the reference, so left alone */
        { "?y", "https://[::1]:8443/a//b/../c?y" },
        { "g", "https://[::1]:8443/a//g" },
        { "../g", "https://[::1]:8443/a/g" },
        { "../../g", "https://[::1]:8443/g" },
        { "g//../h", "https://[::1]:8443/a//g/h" },
        { "/a/b/c/./../../g", "https://[::1]:8443/a/g" },
        { "//", "https://" }, /* no host: weir_url_parse() will say so */
        { "//h/../x/..", "https://h/" },
        { "HTTP://Other/%7e/./%41", "HTTP://Other/%7e/%41" },
        { "http://h?q", "http://h?q" },
        { "mailto:x@y", "mailto:x@y" },
        { "g:a/../b", "g:/b" },
        { "g:../a", "g:a" },
        { "g:./.././a/..", "g:/" },
        { "g:..", "g:" },
        { "g:mid/content=5/../6", "g:mid/6" },
        { "g:.../x", "g:.../x" },
        { "g+-.1:h", "g+-.1:h" },
        { "/a:b", "https://[::1]:8443/a:b" },
        { "?a:b", "https://[::1]:8443/a//b/../c?a:b" },
    };
    check_examples("https://[::1]:8443/a//b/../c?x#y", other, COUNT(other));
    static const struct example socket[] = {
        { "/x", "http+unix://%2Frun%2Fs/x" },
        { "../../../x", "http+unix://%2Frun%2Fs/x" },
        { "http+unix://%2Fother/x", "http+unix://%2Fother/x" },
        { "http://h/", "http://h/" },
    };
    check_examples("http+unix://%2Frun%2Fs/a/b", socket, COUNT(socket));
}

struct bad {
    const char *reference, *said;
    int offset;
};

static void test_bad(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        { "a b", "a space", 1 },
        { "/x\r\nSet-Cookie: y", "a control character", 2 },
        { "\\\\evil/", "a backslash", 0 },
        { "/\xc3\xa9", "not ASCII", 1 },
        { "?%4", "a '%' without two hexadecimal digits", 1 },
        { "//%zz/", "a '%' without two hexadecimal digits", 2 },
        { ":x", "expected a scheme before ':'", 0 },
        { "1:x", "expected a scheme before ':'", 0 },
        { "a_b:x", "expected a scheme before ':'", 0 },
        { "%41:x", "expected a scheme before ':'", 0 },
        { "+a:x", "expected a scheme before ':'", 0 },
        { "http+unix://%2Fvar%2Frun%2Fdocker.sock/x", "a unix socket", 0 },
        { "HTTP+UNIX:x", "a unix socket", 0 },
        { "http:/.//evil/", "a path that begins with //", 5 },
        { "x:a/..//evil/", "a path that begins with //", 2 },
    };
    struct weir_url base = parsed("http://h/a/b");
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t out[128] = { 0x5a };
        struct weir_slice reference = rig_place(0, rig_slice(cases[i].reference));
        assert_int_equal(weir_url_resolve(out, sizeof out, &base, reference), WEIR_E_URL);
        rig_assert_error(cases[i].said, cases[i].offset, cases[i].reference);
        assert_int_equal(out[0], 0x5a);
    }
    uint8_t out[12];
    struct weir_slice none = { NULL, 0 };
    assert_int_equal(weir_url_resolve(out, sizeof out, &base, none), 12);
    assert_memory_equal(out, "http://h/a/b", 12);
    struct weir_url hand_made = { .host = WEIR_TEXT("h") };
    assert_int_equal(weir_url_resolve(out, 8, &hand_made, WEIR_TEXT("x")), -EINVAL);
    base.path = WEIR_TEXT("a/b");
    assert_int_equal(weir_url_resolve(out, 8, &base, WEIR_TEXT("x")), -EINVAL);
}

/* ---- The algorithms of RFC 3986 section 5.2 as they are written there, for comparison -------- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void slow_copy(char *out, const char *from, size_t len)
{
    memcpy(out, from, len);
    out[len] = '\0';
}

/* Section 5.2.4. `in` is used up; `out` holds as much. */
static void slow_remove_dots(char *out, char *in)
{
    out[0] = '\0';
    while (in[0] != '\0') {
        bool up = begins(in, "/../") || strcmp(in, "/..") == 0;
        if (begins(in, "../")) {
            in += 3;
        } else if (begins(in, "./")) {
            in += 2;
        } else if (begins(in, "/./")) {
            in += 2;
        } else if (strcmp(in, "/.") == 0) {
            in[1] = '\0';
        } else if (up) {
            if (in[3] == '/')
                in += 3;
            else
                in[1] = '\0';
            char *slash = strrchr(out, '/');
            *(slash != NULL ? slash : out) = '\0';
        } else if (strcmp(in, ".") == 0 || strcmp(in, "..") == 0) {
            in += strlen(in);
        } else {
            size_t len = 1 + strcspn(in + 1, "/");
            size_t end = strlen(out);
            slow_copy(out + end, in, len);
            in += len;
        }
    }
}

struct slow_parts {
    char scheme[64], authority[64], path[512], query[256], fragment[256];
    bool has_scheme, has_authority, has_query, has_fragment;
};

/* Appendix B. */
static void slow_split(struct slow_parts *out, const char *text)
{
    *out = (struct slow_parts){ .has_scheme = false };
    size_t len = strcspn(text, ":/?#");
    if (text[len] == ':') {
        out->has_scheme = true;
        slow_copy(out->scheme, text, len);
        text += len + 1;
    }
    if (begins(text, "//")) {
        out->has_authority = true;
        len = strcspn(text + 2, "/?#");
        slow_copy(out->authority, text + 2, len);
        text += len + 2;
    }
    len = strcspn(text, "?#");
    slow_copy(out->path, text, len);
    text += len;
    if (*text == '?') {
        out->has_query = true;
        len = strcspn(text + 1, "#");
        slow_copy(out->query, text + 1, len);
        text += len + 1;
    }
    if (*text == '#') {
        out->has_fragment = true;
        slow_copy(out->fragment, text + 1, strlen(text + 1));
    }
}

/* Section 5.2.2 with 5.2.3 and 5.3; false when what comes out would be read differently. */
static bool slow_resolve(char *out, size_t capacity, const char *base_text, const char *reference)
{
    struct slow_parts base, t;
    char merged[1200];
    slow_split(&base, base_text);
    slow_split(&t, reference);
    if (t.has_scheme || t.has_authority || t.path[0] == '/') {
        snprintf(merged, sizeof merged, "%s", t.path);
        slow_remove_dots(t.path, merged);
    } else if (t.path[0] == '\0') {
        memcpy(t.path, base.path, sizeof t.path);
        if (!t.has_query) {
            t.has_query = base.has_query;
            memcpy(t.query, base.query, sizeof t.query);
        }
    } else {
        const char *slash = strrchr(base.path, '/');
        int directory = slash != NULL ? (int)(slash - base.path) : 0;
        snprintf(merged, sizeof merged, "%.*s/%s", directory, base.path, t.path);
        slow_remove_dots(t.path, merged);
    }
    if (!t.has_scheme) {
        memcpy(t.scheme, base.scheme, sizeof t.scheme);
        if (!t.has_authority)
            memcpy(t.authority, base.authority, sizeof t.authority);
        t.has_authority = true;
    }
    snprintf(out, capacity, "%s:%s%s%s%s%s%s%s", t.scheme, t.has_authority ? "//" : "", t.authority,
             t.path, t.has_query ? "?" : "", t.query, t.has_fragment ? "#" : "", t.fragment);
    return t.has_authority || !begins(t.path, "//");
}

static void test_like_the_rfc(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    static const char *const words[] = { "/", "/",  "/",  ".", "..", "..", "a",   "b",   "/../",
                                         "/", "./", "//", "?", "#",  "c;", "%2e", "...", "g:" };
    size_t good = 0;
    for (uint64_t key = 0; key < 60000; key++) {
        struct rig_random random = { .seed = SEED, .key = key };
        char base_text[RIG_TEXT_BYTES_MAX] = "http://h", reference[RIG_TEXT_BYTES_MAX] = "";
        char expected[2048];
        if (rig_below(&random, 4) != 0)
            slow_copy(base_text, "http://h/", 9);
        size_t len = strlen(base_text);
        rig_words(&random, base_text, words, COUNT(words), 12);
        if (base_text[7 + 1] != '\0' && strchr("/?#", base_text[8]) == NULL)
            base_text[len] = '\0'; /* the host goes on: without the rest then */
        rig_words(&random, reference, words, COUNT(words), 12);
        struct weir_url base = parsed(base_text);
        uint8_t out[2048];
        int64_t bytes =
            weir_url_resolve(out, sizeof out, &base, rig_place(0, rig_slice(reference)));
        size_t colon = strcspn(reference, ":/?#");
        bool bad_scheme =
            reference[colon] == ':' && (reference[0] < 'a' || strcspn(reference, ";%") < colon);
        bool fine = slow_resolve(expected, sizeof expected, base_text, reference) && !bad_scheme;
        if (fine != (bytes >= 0))
            fail_msg("key %zu, %s + %s: %s", (size_t)key, base_text, reference,
                     bytes < 0 ? weir_error_text() : "taken");
        if (!fine)
            continue;
        good++;
        if ((size_t)bytes != strlen(expected) || memcmp(out, expected, (size_t)bytes) != 0)
            fail_msg("key %zu, %s + %s: '%.*s' where '%s' was expected", (size_t)key, base_text,
                     reference, (int)bytes, (const char *)out, expected);
    }
    print_message("%zu resolved\n", good);
    assert_true(good > 30000);
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * The longest base and references, of nothing but dots and slashes: what is linear takes about a
 * millisecond, what is quadratic many seconds. The limit leaves room for sanitizers.
 */
static void test_longest(void **state)
{
    (void)state;
    static const char *const patterns[] = { "/..", "/.", "/", "/a", "../", "a/../", "/a/b/../.." };
    static char text[WEIR_URL_BYTES_MAX], reference[WEIR_URL_BYTES_MAX + 1];
    static uint8_t out[2 * WEIR_URL_BYTES_MAX];
    memset(text, '/', sizeof text);
    memcpy(text, "http://h", 8);
    for (size_t i = 9; i < sizeof text; i += 2)
        text[i] = 'a';
    struct weir_url base;
    assert_int_equal(weir_url_parse(&base, (struct weir_slice){ (uint8_t *)text, sizeof text }), 0);
    uint64_t begun = cpu_ns();
    for (size_t i = 0; i < COUNT(patterns); i++) {
        size_t len = strlen(patterns[i]);
        for (size_t at = 0; at < sizeof reference; at++)
            reference[at] = patterns[i][at % len];
        struct weir_slice slice = { (uint8_t *)reference, WEIR_URL_BYTES_MAX };
        if (slice.ptr[1] == '/') /* "//" would begin an authority */
            reference[1] = 'x';
        assert_true(weir_url_resolve(out, sizeof out, &base, slice) >= 8);
        slice.len++;
        assert_int_equal(weir_url_resolve(out, sizeof out, &base, slice), WEIR_E_URL);
        assert_non_null(strstr(weir_error_text(), "at byte 65535"));
    }
    assert_true(cpu_ns() - begun < 1000000000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_examples), cmocka_unit_test(test_more_examples),
        cmocka_unit_test(test_bad),          cmocka_unit_test(test_like_the_rfc),
        cmocka_unit_test(test_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
