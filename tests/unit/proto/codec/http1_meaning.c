/* SPDX-License-Identifier: MIT */
/*
 * What the fields of a head mean, as tables: the value in, the framing or the refusal out. Every
 * row runs through the public parser, on each path the CPU has, whole and cut in every way.
 */
#include "unit/proto/codec/parse_rig.h"

#include "proto/codec/http1_read.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What is asked of a head. */
struct question {
    bool is_request;
    const char *start_line, *fields;
    const char *method; /* responses: what is answered */
};

static struct rig_head_outcome outcome;

/* Parse it; the paths must agree with each other. */
static void ask(const struct question *q)
{
    static struct rig_head_outcome first;
    static char text[4096];
    int len = snprintf(text, sizeof text, "%s\r\n%s\r\n", q->start_line, q->fields);
    assert_in_range(len, 1, sizeof text - 1);
    const char *method = q->method != NULL ? q->method : "GET";
    const struct rig_head_input input = {
        .bytes = { (const uint8_t *)text, (size_t)len },
        .is_request = q->is_request,
        .request_method = { (const uint8_t *)method, strlen(method) },
        .limits = { .head_bytes_max = 4096, .target_bytes_max = 1024, .fields_max = 16 },
    };
    for (unsigned i = 0; i < WEIR_SIMD_COUNT; i++) {
        if (!weir_simd_has((enum weir_simd)i))
            continue;
        weir_http1_use((enum weir_simd)i);
        rig_head_run(&outcome, &input);
        if (i == 0)
            first = outcome;
        rig_head_demand(&first, &outcome, &input, 0);
    }
    weir_http1_use(weir_simd_used());
    if (outcome.result == WEIR_PARSE_MORE) {
        rig_print("input", input.bytes);
        fail_msg("a whole head, but incomplete");
    }
}

static void demand_code(const struct question *q, enum weir_http1_error code)
{
    enum weir_http1_error got =
        outcome.result == WEIR_PARSE_DONE ? WEIR_HTTP1_E_NONE : outcome.err.code;
    if (got != code)
        fail_msg("%s, fields %s: %s, expected: %s", q->start_line, q->fields,
                 weir_http1_strerror(got), weir_http1_strerror(code));
}

/* ---- Host -------------------------------------------------------------------------------- */

struct host_row {
    const char *value;
    bool is_good, has_port; /* CONNECT wants a port */
};

#define LABEL63 "a123456789b123456789c123456789d123456789e123456789f123456789g12"

static const struct host_row hosts[] = {
    /* Names and IPv4. */
    { "h", true, false },
    { "example.com", true, false },
    { "EXAMPLE.com.", true, false },
    { "127.0.0.1", true, false },
    { "-._~!$&'()*+;=", true, false },
    { "a%20b", true, false },
    { "%aF", true, false },
    { LABEL63 "." LABEL63 "." LABEL63, true, false },
    /* Ports. */
    { "h:0", true, true },
    { "h:1", true, true },
    { "h:80", true, true },
    { "h:443", true, true },
    { "h:8080", true, true },
    { "h:65535", true, true },
    { "h:00080", true, true },
    { LABEL63 ":8080", true, true },
    { "h:", true, false },
    { "[::1]:", true, false },
    { "h:65536", false, false },
    { "h:99999", false, false },
    { "h:000080", false, false },
    { "h:4294967376", false, false },
    { "h:8o", false, false },
    { "h:+80", false, false },
    { "h:-1", false, false },
    { "h:8:0", false, false },
    { "h::80", false, false },
    { "h:/", false, false },
    { "h:1/23", false, false },
    { "h:12:4", false, false },
    { "h:\xb1", false, false },
    { ":", false, false },
    { ":80", false, false },
    /* IPv6. */
    { "[::]", true, false },
    { "[::1]", true, false },
    { "[2001:DB8::a:b]:8080", true, true },
    { "[::ffff:127.0.0.1]:1", true, true },
    { "[]", false, false },
    { "[:]", false, false },
    { "[::1", false, false },
    { "::1", false, false },
    { "[::1]80", false, false },
    { "[::1]x:80", false, false },
    { "x[::1]", false, false },
    { "[::1%25eth0]", false, false },
    { "[v1.x]", false, false },
    { "[::g]", false, false },
    /* Two in one, user information, a path, forbidden bytes. */
    { "a,b", false, false },
    { "a@b", false, false },
    { "h/", false, false },
    { "h?", false, false },
    { "h\\", false, false },
    { "h\"", false, false },
    { "a%2", false, false },
    { "a%", false, false },
    { "%zz", false, false },
    { "h^", false, false },
    { "h|", false, false },
    { "<h>", false, false },
    { "{h}", false, false },
};

/* Hosts that cannot be written into a target, because they end it. */
static const struct host_row field_hosts[] = {
    { "", false, false },     { "a b", false, false },         { "a\tb", false, false },
    { "a, b", false, false }, { "h :80", false, false },       { "h: 80", false, false },
    { "h#", false, false },   { "\xc3\xb6.at", false, false },
};

static void demand_host(const struct host_row *row, const char *form)
{
    static char fields[512];
    snprintf(fields, sizeof fields, form, row->value);
    const struct question q = { .is_request = true,
                                .start_line = "GET / HTTP/1.1",
                                .fields = fields };
    ask(&q);
    demand_code(&q, row->is_good ? WEIR_HTTP1_E_NONE : WEIR_HTTP1_E_HOST);
    if (row->is_good) {
        assert_int_equal(outcome.head.host.len, strlen(row->value));
        assert_memory_equal(outcome.head.host.ptr, row->value, strlen(row->value));
    } else {
        assert_int_equal(outcome.err.offset, strlen(q.start_line) + 2 + strcspn(fields, ":") + 1 +
                                                 strspn(strchr(fields, ':') + 1, " \t"));
    }
}

static void test_host_forms(void **state)
{
    static const char *const forms[] = { "Host: %s\r\n", "Host:  %s \r\n", "hOST:%s\r\n",
                                         "HOST: \t %s \t\r\n", "Host: %s\r\nAccept: */*\r\n" };
    (void)state;
    for (unsigned f = 0; f < COUNT(forms); f++) {
        for (unsigned i = 0; i < COUNT(hosts); i++)
            demand_host(&hosts[i], forms[f]);
        for (unsigned i = 0; i < COUNT(field_hosts); i++) {
            /* With blanks around nothing, where the value begins is a matter of taste. */
            if (field_hosts[i].value[0] != '\0' || f == 2)
                demand_host(&field_hosts[i], forms[f]);
        }
    }
}

/* The same hosts in a target that names one; that of the target wins (RFC 9112 section 3.2.2). */
static void test_host_of_targets(void **state)
{
    static char line[512];
    (void)state;
    for (unsigned i = 0; i < COUNT(hosts); i++) {
        const struct host_row *row = &hosts[i];
        struct question q = { .is_request = true, .start_line = line, .fields = "Host: x\r\n" };
        snprintf(line, sizeof line, "CONNECT %s HTTP/1.1", row->value);
        ask(&q);
        demand_code(&q, row->has_port ? WEIR_HTTP1_E_NONE : WEIR_HTTP1_E_TARGET);
        if (strpbrk(row->value, "/?") != NULL)
            continue; /* the host would be what stands before */
        snprintf(line, sizeof line, "GET http://%s/p?q HTTP/1.1", row->value);
        ask(&q);
        demand_code(&q, row->is_good ? WEIR_HTTP1_E_NONE : WEIR_HTTP1_E_TARGET);
        if (row->is_good)
            assert_memory_equal(outcome.head.host.ptr, row->value, outcome.head.host.len);
    }
}

struct refusal_row {
    const char *start_line, *fields;
    enum weir_http1_error code;
};

static void demand_refusals(const struct refusal_row *rows, size_t count, bool is_request)
{
    for (size_t i = 0; i < count; i++) {
        const struct question q = { .is_request = is_request,
                                    .start_line = rows[i].start_line,
                                    .fields = rows[i].fields };
        ask(&q);
        demand_code(&q, rows[i].code);
    }
}

static void test_host_is_there_once(void **state)
{
    static const struct refusal_row rows[] = {
        { "GET / HTTP/1.1", "", WEIR_HTTP1_E_HOST },
        { "GET / HTTP/1.1", "Hos: h\r\nHostt: h\r\nHose: h\r\n", WEIR_HTTP1_E_HOST },
        { "GET / HTTP/1.9", "", WEIR_HTTP1_E_HOST },
        { "GET / HTTP/1.0", "", WEIR_HTTP1_E_NONE },
        { "GET / HTTP/1.0", "Host: a,b\r\n", WEIR_HTTP1_E_HOST },
        { "GET / HTTP/1.1", "Host: h\r\nHost: h\r\n", WEIR_HTTP1_E_HOST },
        { "GET / HTTP/1.1", "Host: h\r\nA: b\r\nhost: i\r\n", WEIR_HTTP1_E_HOST },
        { "GET / HTTP/1.1", "A: b\r\nConnection: close\r\nHost: h\r\n", WEIR_HTTP1_E_NONE },
        { "GET http://h/ HTTP/1.1", "", WEIR_HTTP1_E_HOST },
        { "GET http://h/ HTTP/1.1", "Host: a,b\r\n", WEIR_HTTP1_E_HOST },
        { "GET http://h/ HTTP/1.1", "Host: h\r\nHost: h\r\n", WEIR_HTTP1_E_HOST },
        { "CONNECT h:1 HTTP/1.1", "", WEIR_HTTP1_E_HOST },
    };
    (void)state;
    demand_refusals(rows, COUNT(rows), true);
}

static void test_targets(void **state)
{
    static const struct refusal_row rows[] = {
        { "OPTIONS * HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_NONE },
        { "OPTIONS / HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_NONE },
        { "OPTIONS ** HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "OPTIONS h:80 HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET * HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "options * HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "CONNECT / HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "CONNECT http://h:1/ HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "connect h:1 HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "OPTION2 /x HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_NONE },
        { "GET HTTPS://h HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_NONE },
        { "GET a+b-c.1://h?q HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_NONE },
        { "GET 1http://h/ HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET +://h/ HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET http:/h/ HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET http:h HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET ht_tp://h/ HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET http:// HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET http:///x HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET http://u@h/ HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET ://h/ HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET x HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
        { "GET ? HTTP/1.1", "Host: h\r\n", WEIR_HTTP1_E_TARGET },
    };
    (void)state;
    demand_refusals(rows, COUNT(rows), true);
}

/* In a response none of it means anything. */
static void test_responses_have_no_host(void **state)
{
    static const struct refusal_row rows[] = {
        { "HTTP/1.1 200 OK", "", WEIR_HTTP1_E_NONE },
        { "HTTP/1.1 200 OK", "Host: a,b\r\nHost: \r\n", WEIR_HTTP1_E_NONE },
        { "HTTP/1.1 200 OK", "Expect: the unexpected\r\n", WEIR_HTTP1_E_NONE },
    };
    (void)state;
    demand_refusals(rows, COUNT(rows), false);
    assert_null(outcome.head.host.ptr);
    assert_false(outcome.head.expect_continue);
}

/* ---- Content-Length ---------------------------------------------------------------------- */

static void test_content_length_forms(void **state)
{
    static const struct {
        const char *value;
        bool is_good;
        uint64_t length;
    } rows[] = {
        { "0", true, 0 },
        { "1", true, 1 },
        { "00000000000000000000000000000042", true, 42 },
        { "4294967296", true, UINT64_C(4294967296) },
        { "9223372036854775807", true, INT64_MAX },
        { "09223372036854775807", true, INT64_MAX },
        { "  7\t", true, 7 },
        { "", false, 0 },
        { " \t", false, 0 },
        { "9223372036854775808", false, 0 },
        { "18446744073709551615", false, 0 },
        { "18446744073709551616", false, 0 },
        { "18446744073709551658", false, 0 },
        { "92233720368547758070", false, 0 },
        { "+1", false, 0 },
        { "-0", false, 0 },
        { "0x10", false, 0 },
        { "1e3", false, 0 },
        { "1.0", false, 0 },
        { "1 2", false, 0 },
        { "1,1", false, 0 },
        { "1,", false, 0 },
        { ",1", false, 0 },
        { "1;", false, 0 },
        { "\"1\"", false, 0 },
        { "1/", false, 0 },
        { ":1", false, 0 },
        { "\xb1", false, 0 },
        { "1\xa0", false, 0 },
    };
    static char fields[256];
    (void)state;
    for (unsigned i = 0; i < 2 * COUNT(rows); i++) {
        const unsigned row = i / 2;
        const struct question q = {
            .is_request = i % 2 == 0,
            .start_line = i % 2 == 0 ? "POST / HTTP/1.1" : "HTTP/1.1 200 OK",
            .fields = fields,
        };
        snprintf(fields, sizeof fields, "Host: h\r\ncontent-LENGTH:%s\r\n", rows[row].value);
        ask(&q);
        demand_code(&q, rows[row].is_good ? WEIR_HTTP1_E_NONE : WEIR_HTTP1_E_CONTENT_LENGTH);
        if (!rows[row].is_good)
            continue;
        assert_true(outcome.head.has_content_length);
        assert_true(outcome.head.content_length == rows[row].length);
        assert_int_equal(outcome.head.framing, WEIR_HTTP1_BODY_LENGTH);
    }
}

/* A response may repeat the same one (RFC 9110 section 8.6), as a number; a request may not. */
static void test_content_length_repeated(void **state)
{
#define SAME    "Content-Length: 5\r\nContent-Length: 5\r\n"
#define ZEROS   "Content-Length: 5\r\nContent-Length: 005\r\nContent-Length: 5\r\n"
#define ANOTHER "Content-Length: 5\r\nContent-Length: 6\r\n"
    static const struct refusal_row requests[] = {
        { "POST / HTTP/1.1", "Host: h\r\n" SAME, WEIR_HTTP1_E_CONTENT_LENGTH },
        { "POST / HTTP/1.1", "Host: h\r\n" ZEROS, WEIR_HTTP1_E_CONTENT_LENGTH },
        { "POST / HTTP/1.1", "Host: h\r\n" ANOTHER, WEIR_HTTP1_E_CONTENT_LENGTH },
    };
    static const struct refusal_row responses[] = {
        { "HTTP/1.1 200 OK", SAME, WEIR_HTTP1_E_NONE },
        { "HTTP/1.1 200 OK", ZEROS, WEIR_HTTP1_E_NONE },
        { "HTTP/1.1 200 OK", ANOTHER, WEIR_HTTP1_E_CONTENT_LENGTH },
        { "HTTP/1.1 204 OK", ANOTHER, WEIR_HTTP1_E_CONTENT_LENGTH },
    };
    (void)state;
    demand_refusals(requests, COUNT(requests), true);
    demand_refusals(responses, COUNT(responses), false);
}

/* ---- Transfer-Encoding ------------------------------------------------------------------- */

static void test_transfer_encoding_lists(void **state)
{
    static const struct {
        const char *fields;
        enum weir_http1_error code;
    } rows[] = {
        { "Transfer-Encoding: chunked\r\n", WEIR_HTTP1_E_NONE },
        { "TRANSFER-ENCODING:CHUNKED\r\n", WEIR_HTTP1_E_NONE },
        { "Transfer-Encoding: \tChunked \t\r\n", WEIR_HTTP1_E_NONE },
        { "Transfer-Encoding: gzip, chunked\r\n", WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN },
        { "Transfer-Encoding: gzip\t,chunked\r\n", WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN },
        { "Transfer-Encoding: a\r\nTransfer-Encoding: chunked\r\n",
          WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN },
        { "Transfer-Encoding: gzip\r\n", WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN },
        { "Transfer-Encoding: identity\r\n", WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN },
        { "Transfer-Encoding: chunke\r\n", WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN },
        { "Transfer-Encoding: chunkedd\r\n", WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN },
        { "Transfer-Encoding: chun\113ed\r\n", WEIR_HTTP1_E_NONE },
        { "Transfer-Encoding:\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: ,\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: ,chunked\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked,\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: a,,chunked\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: a, \t,chunked\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked, a\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked, chunked\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
          WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked\r\nTransfer-Encoding: a\r\n",
          WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked;x\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: ch unked\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: \"chunked\"\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked\xa0\r\n", WEIR_HTTP1_E_TRANSFER_ENCODING },
        { "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
          WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE },
        { "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
          WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE },
        { "Content-Length: 0\r\nTransfer-Encoding: gzip\r\n", WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE },
    };
    static char fields[512];
    (void)state;
    for (unsigned i = 0; i < 2 * COUNT(rows); i++) {
        const unsigned row = i / 2;
        const struct question q = {
            .is_request = i % 2 == 0,
            .start_line = i % 2 == 0 ? "POST / HTTP/1.1" : "HTTP/1.1 200 OK",
            .fields = fields,
        };
        snprintf(fields, sizeof fields, "Host: h\r\n%s", rows[row].fields);
        ask(&q);
        demand_code(&q, rows[row].code);
        if (rows[row].code == WEIR_HTTP1_E_NONE)
            assert_int_equal(outcome.head.framing, WEIR_HTTP1_BODY_CHUNKED);
    }
}

/* ---- Connection, Upgrade, Expect --------------------------------------------------------- */

static void test_connection_lists(void **state)
{
    static const struct {
        const char *version, *fields;
        bool keep_alive, upgrade;
    } rows[] = {
        { "1.1", "", true, false },
        { "1.0", "", false, false },
        { "1.1", "Connection: close\r\n", false, false },
        { "1.1", "connection:CLOSE\r\n", false, false },
        { "1.1", "Connection: keep-alive\r\n", true, false },
        { "1.0", "Connection: keep-alive\r\n", true, false },
        { "1.0", "Connection: Keep-Alive\r\n", true, false },
        { "1.0", "Connection: close\r\nConnection: keep-alive\r\n", false, false },
        { "1.1", "Connection: keep-alive, close\r\n", false, false },
        { "1.1", "Connection: close,keep-alive\r\n", false, false },
        { "1.1", "Connection: a,\t close\t,b\r\n", false, false },
        { "1.1", "Connection: a\r\nConnection: close\r\n", false, false },
        { "1.1", "Connection: closed, xclose, clos, close;x, close x, \"close\"\r\n", true, false },
        { "1.0", "Connection: keep-alived, keep-aliv, keepalive, keep_alive\r\n", false, false },
        { "1.0", "Connection: , ,keep-alive,\r\n", true, false },
        { "1.1", "Connection:\r\n", true, false },
        { "1.1", "Connection: ,\r\n", true, false },
        { "1.1", "Connectioo: close\r\n", true, false },
        { "1.1", "Proxy-Connection: close\r\n", true, false },
        { "1.1", "Upgrade: x\r\n", true, false },
        { "1.1", "Connection: upgrade\r\n", true, false },
        { "1.1", "Connection: upgrade\r\nUpgrade: x\r\n", true, true },
        { "1.1", "UPGRADE: x\r\nConnection: keep-alive, Upgrade\r\n", true, true },
        { "1.1", "Upgrade: x\r\nConnection: upgrade, close\r\n", false, true },
        { "1.1", "Upgrade: x\r\nConnection: upgraded\r\n", true, false },
        { "1.1", "Upgradee: x\r\nConnection: upgrade\r\n", true, false },
        { "1.0", "Upgrade: x\r\nConnection: upgrade, keep-alive\r\n", true, false },
    };
    static char line[64], fields[512];
    (void)state;
    for (unsigned i = 0; i < 2 * COUNT(rows); i++) {
        const unsigned row = i / 2;
        const struct question q = { .is_request = i % 2 == 0,
                                    .start_line = line,
                                    .fields = fields };
        snprintf(line, sizeof line, i % 2 == 0 ? "GET / HTTP/%s" : "HTTP/%s 200 OK",
                 rows[row].version);
        snprintf(fields, sizeof fields, "Host: h\r\nContent-Length: 0\r\n%s", rows[row].fields);
        ask(&q);
        demand_code(&q, WEIR_HTTP1_E_NONE);
        if (outcome.head.keep_alive != rows[row].keep_alive ||
            outcome.head.upgrade != rows[row].upgrade)
            fail_msg("%s, fields %s: keep-alive %d, upgrade %d", line, rows[row].fields,
                     outcome.head.keep_alive, outcome.head.upgrade);
    }
}

static void test_expect(void **state)
{
    static const struct {
        const char *version, *value;
        bool is_good, is_continue;
    } rows[] = {
        { "1.1", "100-continue", true, true },    { "1.1", "100-CONTINUE", true, true },
        { "1.1", " 100-Continue\t", true, true }, { "1.0", "100-continue", true, false },
        { "1.5", "100-continue", true, true },    { "1.1", "", false, false },
        { "1.1", "100-continu", false, false },   { "1.1", "100-continue2", false, false },
        { "1.1", "100 continue", false, false },  { "1.1", "100-continue, a", false, false },
        { "1.1", "200-ok", false, false },        { "1.0", "200-ok", false, false },
    };
    static char line[64], fields[256];
    (void)state;
    for (unsigned i = 0; i < COUNT(rows); i++) {
        const struct question q = { .is_request = true, .start_line = line, .fields = fields };
        snprintf(line, sizeof line, "PUT / HTTP/%s", rows[i].version);
        snprintf(fields, sizeof fields, "Host: h\r\nexPect:%s\r\n", rows[i].value);
        ask(&q);
        demand_code(&q, rows[i].is_good ? WEIR_HTTP1_E_NONE : WEIR_HTTP1_E_EXPECT);
        if (rows[i].is_good)
            assert_int_equal(outcome.head.expect_continue, rows[i].is_continue);
    }
}

/* ---- Framing (RFC 9112 section 6.3) ------------------------------------------------------ */

#define CL "Content-Length: 9\r\n"
#define TE "Transfer-Encoding: chunked\r\n"

static void test_framing_of_requests(void **state)
{
    static const struct {
        const char *start_line, *fields;
        enum weir_http1_error code;
        enum weir_http1_framing framing;
    } rows[] = {
        { "GET / HTTP/1.1", "", WEIR_HTTP1_E_NONE, WEIR_HTTP1_BODY_NONE },
        { "POST / HTTP/1.1", "", WEIR_HTTP1_E_NONE, WEIR_HTTP1_BODY_NONE },
        { "POST / HTTP/1.0", "", WEIR_HTTP1_E_NONE, WEIR_HTTP1_BODY_NONE },
        { "GET / HTTP/1.1", CL, WEIR_HTTP1_E_NONE, WEIR_HTTP1_BODY_LENGTH },
        { "POST / HTTP/1.0", CL, WEIR_HTTP1_E_NONE, WEIR_HTTP1_BODY_LENGTH },
        { "HEAD / HTTP/1.1", TE, WEIR_HTTP1_E_NONE, WEIR_HTTP1_BODY_CHUNKED },
        { "POST / HTTP/1.3", TE, WEIR_HTTP1_E_NONE, WEIR_HTTP1_BODY_CHUNKED },
        { "POST / HTTP/1.0", TE, WEIR_HTTP1_E_TRANSFER_ENCODING, 0 },
        { "POST / HTTP/1.0", CL TE, WEIR_HTTP1_E_TRANSFER_ENCODING, 0 },
        { "POST / HTTP/1.1", CL TE, WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE, 0 },
        { "POST / HTTP/1.1", TE CL, WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE, 0 },
        { "CONNECT h:1 HTTP/1.1", CL, WEIR_HTTP1_E_NONE, WEIR_HTTP1_BODY_LENGTH },
    };
    static char fields[256];
    (void)state;
    for (unsigned i = 0; i < COUNT(rows); i++) {
        const struct question q = { .is_request = true,
                                    .start_line = rows[i].start_line,
                                    .fields = fields };
        snprintf(fields, sizeof fields, "Host: h\r\n%s", rows[i].fields);
        ask(&q);
        demand_code(&q, rows[i].code);
        if (rows[i].code == WEIR_HTTP1_E_NONE)
            assert_int_equal(outcome.head.framing, rows[i].framing);
    }
}

static void test_framing_of_responses(void **state)
{
    static const struct {
        const char *start_line, *fields, *method;
        enum weir_http1_framing framing;
        bool keep_alive;
    } rows[] = {
        { "HTTP/1.1 200 OK", CL, "GET", WEIR_HTTP1_BODY_LENGTH, true },
        { "HTTP/1.1 200 OK", TE, "GET", WEIR_HTTP1_BODY_CHUNKED, true },
        { "HTTP/1.1 200 OK", "", "GET", WEIR_HTTP1_BODY_EOF, false },
        { "HTTP/1.1 200 OK", "Connection: keep-alive\r\n", "GET", WEIR_HTTP1_BODY_EOF, false },
        { "HTTP/1.0 200 OK", "Connection: keep-alive\r\n" CL, "GET", WEIR_HTTP1_BODY_LENGTH, true },
        { "HTTP/1.1 404", CL, "POST", WEIR_HTTP1_BODY_LENGTH, true },
        { "HTTP/1.1 205 x", CL, "GET", WEIR_HTTP1_BODY_LENGTH, true },
        { "HTTP/1.1 200 OK", CL, "HEAD", WEIR_HTTP1_BODY_NONE, true },
        { "HTTP/1.1 200 OK", TE, "HEAD", WEIR_HTTP1_BODY_NONE, true },
        { "HTTP/1.0 200 OK", TE, "HEAD", WEIR_HTTP1_BODY_NONE, false },
        { "HTTP/1.1 200 OK", "", "HEAD", WEIR_HTTP1_BODY_NONE, true },
        { "HTTP/1.1 200 OK", CL, "head", WEIR_HTTP1_BODY_LENGTH, true },
        { "HTTP/1.1 304 N", CL, "GET", WEIR_HTTP1_BODY_NONE, true },
        { "HTTP/1.1 204 N", CL, "GET", WEIR_HTTP1_BODY_NONE, true },
        { "HTTP/1.1 100 C", CL, "GET", WEIR_HTTP1_BODY_NONE, true },
        { "HTTP/1.1 103 E", TE, "GET", WEIR_HTTP1_BODY_NONE, true },
        { "HTTP/1.1 101 S", "", "GET", WEIR_HTTP1_BODY_NONE, false },
        { "HTTP/1.1 200 OK", CL, "CONNECT", WEIR_HTTP1_BODY_NONE, false },
        { "HTTP/1.1 299 OK", TE, "CONNECT", WEIR_HTTP1_BODY_NONE, false },
        { "HTTP/1.1 200 OK", "", "CONNECT", WEIR_HTTP1_BODY_NONE, false },
        { "HTTP/1.1 407 P", CL, "CONNECT", WEIR_HTTP1_BODY_LENGTH, true },
        { "HTTP/1.1 302 F", "", "CONNECT", WEIR_HTTP1_BODY_EOF, false },
        { "HTTP/1.1 200 OK", CL, "connect", WEIR_HTTP1_BODY_LENGTH, true },
    };
    (void)state;
    for (unsigned i = 0; i < COUNT(rows); i++) {
        const struct question q = { .start_line = rows[i].start_line,
                                    .fields = rows[i].fields,
                                    .method = rows[i].method };
        ask(&q);
        demand_code(&q, WEIR_HTTP1_E_NONE);
        if (outcome.head.framing != rows[i].framing ||
            outcome.head.keep_alive != rows[i].keep_alive)
            fail_msg("%s for %s, fields %s: framing %d, keep-alive %d", q.start_line, q.method,
                     q.fields, (int)outcome.head.framing, outcome.head.keep_alive);
        /* What a bodyless answer declares is told all the same. */
        assert_int_equal(outcome.head.has_content_length, strstr(q.fields, CL) != NULL);
        assert_true(outcome.head.content_length == (outcome.head.has_content_length ? 9 : 0));
    }
}

/* The first in the order of the fields is the one that is told, where it stands. */
static void test_first_refusal_wins(void **state)
{
    static const struct {
        const char *start_line, *fields;
        enum weir_http1_error code;
        const char *at; /* the text from the wrong value on */
    } rows[] = {
        { "GET x HTTP/1.1", "Content-Length: y\r\n", WEIR_HTTP1_E_TARGET, "x HTTP" },
        { "GET / HTTP/1.1", "Content-Length: y\r\nHost: ,\r\n", WEIR_HTTP1_E_CONTENT_LENGTH,
          "y\r\n" },
        { "GET / HTTP/1.1", "Host: ,\r\nContent-Length: y\r\n", WEIR_HTTP1_E_HOST, ",\r\n" },
        { "GET / HTTP/1.1", "Expect: z\r\nTransfer-Encoding: ,\r\n", WEIR_HTTP1_E_EXPECT, "z\r\n" },
        { "GET / HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
          WEIR_HTTP1_E_HOST, "\r\n\r\n" },
        { "GET / HTTP/1.1", "Host: h\r\nTransfer-Encoding: a\r\nTransfer-Encoding: b\r\n",
          WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN, "a\r\nT" },
    };
    (void)state;
    for (unsigned i = 0; i < COUNT(rows); i++) {
        static char text[512];
        const struct question q = { .is_request = true,
                                    .start_line = rows[i].start_line,
                                    .fields = rows[i].fields };
        ask(&q);
        demand_code(&q, rows[i].code);
        snprintf(text, sizeof text, "%s\r\n%s\r\n", q.start_line, q.fields);
        size_t at = (size_t)(strstr(text, rows[i].at) - text);
        /* A field that is missing is missed at the empty line. */
        assert_int_equal(outcome.err.offset, rows[i].at[0] == '\r' ? at + 2 : at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_forms),
        cmocka_unit_test(test_host_of_targets),
        cmocka_unit_test(test_host_is_there_once),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_responses_have_no_host),
        cmocka_unit_test(test_content_length_forms),
        cmocka_unit_test(test_content_length_repeated),
        cmocka_unit_test(test_transfer_encoding_lists),
        cmocka_unit_test(test_connection_lists),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_framing_of_requests),
        cmocka_unit_test(test_framing_of_responses),
        cmocka_unit_test(test_first_refusal_wins),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
