/* SPDX-License-Identifier: MIT */
/* Heads: one row per strictness rule and direction, and every way to cut the input. */
#include "unit/proto/codec/parse_rig.h"

#define LIMITS                                                                                     \
    {                                                                                              \
        .head_bytes_max = 8192, .target_bytes_max = 4096, .fields_max = RIG_FIELDS_MAX             \
    }

/* Where the row's error is: behind the first occurrence of '@@' in its text, which is taken out. */
#define MARK "@@"

enum {
    NONE = WEIR_HTTP1_BODY_NONE,
    LENGTH = WEIR_HTTP1_BODY_LENGTH,
    CHUNKED = WEIR_HTTP1_BODY_CHUNKED,
    UNTIL_EOF = WEIR_HTTP1_BODY_EOF,
};

struct refusal {
    const char *text;
    size_t text_len;
    enum weir_http1_error code;
};

#define REFUSE(code_, text_)                                                                       \
    {                                                                                              \
        .text = (text_), .text_len = sizeof(text_) - 1, .code = WEIR_HTTP1_E_##code_               \
    }

/* Request and response around one field section. */
#define REQ(fields)  "POST /x HTTP/1.1\r\nHost: h\r\n" fields "\r\n"
#define RESP(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"

static const struct refusal request_refusals[] = {
    /* Both lengths, and Transfer-Encoding in every disguise. */
    REFUSE(CONTENT_LENGTH_AND_TE, REQ("Content-Length: 3\r\nTransfer-Encoding: @@chunked\r\n")),
    REFUSE(CONTENT_LENGTH_AND_TE, REQ("Transfer-Encoding: @@chunked\r\nContent-Length: 3\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@chunked, gzip\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@chunked, chunked\r\n")),
    REFUSE(TRANSFER_ENCODING,
           REQ("Transfer-Encoding: chunked\r\nTransfer-Encoding: @@chunked\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@chunked;q=1\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@\xa0"
                                  "chunked\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@\"chunked\"\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@chunked chunked\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@,chunked\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@chunked,\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@gzip,,chunked\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding:@@\r\n")),
    REFUSE(TRANSFER_ENCODING, REQ("Transfer-Encoding: @@,\r\n")),
    REFUSE(TRANSFER_CODING_UNKNOWN, REQ("Transfer-Encoding: @@gzip\r\n")),
    REFUSE(TRANSFER_CODING_UNKNOWN, REQ("Transfer-Encoding: @@gzip, chunked\r\n")),
    REFUSE(TRANSFER_CODING_UNKNOWN,
           REQ("Transfer-Encoding: @@gzip\r\nTransfer-Encoding: chunked\r\n")),
    REFUSE(TRANSFER_CODING_UNKNOWN, REQ("Transfer-Encoding: @@identity\r\n")),
    REFUSE(TRANSFER_CODING_UNKNOWN, REQ("Transfer-Encoding: @@xchunked\r\n")),
    REFUSE(FIELD_VALUE, REQ("Transfer-Encoding: @@\vchunked\r\n")),
    REFUSE(TRANSFER_ENCODING, "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: @@chunked\r\n\r\n"),
    /* Content-Length. */
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@+3\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@-3\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@0x3\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@1_0\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@3a\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@3 4\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@3,\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@3, 3\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@3\xa0\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length:@@\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: 3\r\nContent-Length: @@4\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: 3\r\nContent-Length: @@3\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@9223372036854775808\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@18446744073709551616\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@18446744073709551619\r\n")),
    REFUSE(CONTENT_LENGTH, REQ("Content-Length: @@99999999999999999999999999\r\n")),
    /* Line ends. */
    REFUSE(BARE_LF, "GET / HTTP/1.1@@\nHost: h\r\n\r\n"),
    REFUSE(BARE_LF, "GET /@@\n"),
    REFUSE(BARE_LF, "@@\nGET / HTTP/1.1\r\n"),
    REFUSE(BARE_LF, "GET / HTTP/1.1\r\nHost: h@@\n\r\n"),
    REFUSE(BARE_LF, "GET / HTTP/1.1\r\nHost@@\n: h\r\n"),
    REFUSE(BARE_LF, "GET / HTTP/1.1\r\nHost: h\r\n@@\n"),
    REFUSE(BARE_CR, "GET / HTTP/1.1@@\rHost: h\r\n\r\n"),
    REFUSE(BARE_CR, "GET@@\r / HTTP/1.1\r\n"),
    REFUSE(BARE_CR, "GET /a@@\rb HTTP/1.1\r\n"),
    REFUSE(BARE_CR, "@@\rGET / HTTP/1.1\r\n"),
    REFUSE(BARE_CR, "GET / HTTP/1.1\r\nHost: a@@\rb\r\n"),
    REFUSE(BARE_CR, "GET / HTTP/1.1\r\nHost: a@@\r\r\n"),
    REFUSE(BARE_CR, "GET / HTTP/1.1\r\nHo@@\rst: a\r\n"),
    REFUSE(BARE_CR, "GET / HTTP/1.1\r\nHost: h\r\n@@\rX: y\r\n"),
    REFUSE(BARE_CR, "GET / HTTP/1.1\r\nHost: h\r\n@@\r\r\n"),
    /* Forbidden bytes. */
    REFUSE(FIELD_NAME, "GET / HTTP/1.1\r\nHo@@\0st: a\r\n"),
    REFUSE(FIELD_VALUE, "GET / HTTP/1.1\r\nHost: a@@\0b\r\n"),
    REFUSE(TARGET, "GET /@@\0 HTTP/1.1\r\n"),
    REFUSE(FIELD_VALUE, "GET / HTTP/1.1\r\nX: a@@\x01\r\n"),
    REFUSE(FIELD_VALUE, "GET / HTTP/1.1\r\nX: a@@\x1f\r\n"),
    REFUSE(FIELD_VALUE, "GET / HTTP/1.1\r\nX: a@@\x7f\r\n"),
    REFUSE(FIELD_VALUE, "GET / HTTP/1.1\r\nX: a@@\x0b\r\n"),
    REFUSE(FIELD_VALUE, "GET / HTTP/1.1\r\nX: 0123456789abcdef0123456789abcdef012@@\x0c\r\n"),
    /* Field names and blanks around them. */
    REFUSE(FIELD_NAME, "GET / HTTP/1.1\r\n@@: a\r\n\r\n"),
    REFUSE(FIELD_NAME, "GET / HTTP/1.1\r\nHost@@\r\n\r\n"),
    REFUSE(FIELD_NAME, "GET / HTTP/1.1\r\nHo@@(st): a\r\n"),
    REFUSE(FIELD_NAME, "GET / HTTP/1.1\r\nH@@\xc3\xb6st: a\r\n"),
    REFUSE(FIELD_NAME, "GET / HTTP/1.1\r\n@@\"Host\": a\r\n"),
    REFUSE(FIELD_NAME, "GET / HTTP/1.1\r\n@@\x0bHost: a\r\n"),
    REFUSE(FIELD_SPACE, "GET / HTTP/1.1\r\nHost@@ : a\r\n"),
    REFUSE(FIELD_SPACE, "GET / HTTP/1.1\r\nHost@@\t: a\r\n"),
    REFUSE(FIELD_SPACE, "GET / HTTP/1.1\r\nHost@@ name: a\r\n"),
    REFUSE(FIELD_SPACE, "GET / HTTP/1.1\r\n@@ Host: a\r\n"),
    REFUSE(FIELD_SPACE, "GET / HTTP/1.1\r\n@@\tHost: a\r\n"),
    REFUSE(OBS_FOLD, "GET / HTTP/1.1\r\nHost: a\r\n@@ b\r\n\r\n"),
    REFUSE(OBS_FOLD, "GET / HTTP/1.1\r\nHost: a\r\n@@\tX: b\r\n\r\n"),
    REFUSE(OBS_FOLD, "GET / HTTP/1.1\r\nHost: a\r\n@@ \r\n\r\n"),
    /* The request line. */
    REFUSE(START_LINE, "GET @@ / HTTP/1.1\r\n"),
    REFUSE(START_LINE, "GET / @@ HTTP/1.1\r\n"),
    REFUSE(VERSION, "GET / HTTP/1.1@@ \r\n"),
    REFUSE(METHOD, "GET@@\t/ HTTP/1.1\r\n"),
    REFUSE(TARGET, "GET /@@\tHTTP/1.1\r\n"),
    REFUSE(METHOD, "GET@@\x0b/ HTTP/1.1\r\n"),
    REFUSE(METHOD, "@@ GET / HTTP/1.1\r\n"),
    REFUSE(METHOD, "G@@@T / HTTP/1.1\r\n"),
    REFUSE(METHOD_TOO_LONG, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                            "@@A / HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(METHOD, "@@\x16\x03\x01\x02\x00\x01"),
    REFUSE(METHOD_TOO_LONG,
           "0123456789012345678901234567890123456789012345678901234567890123@@4 / HTTP"),
    REFUSE(START_LINE, "GET@@\r\n\r\n"),
    REFUSE(START_LINE, "GET /@@\r\n\r\n"),
    REFUSE(START_LINE, "GET / @@\r\n\r\n"),
    REFUSE(START_LINE, "GET / HTTP/1@@\r\n\r\n"),
    /* Targets. */
    REFUSE(TARGET, "GET /a@@#b HTTP/1.1\r\n"),
    REFUSE(TARGET, "GET /@@\x80 HTTP/1.1\r\n"),
    REFUSE(TARGET, "GET /@@\xff HTTP/1.1\r\n"),
    REFUSE(TARGET, "GET /@@\x7f HTTP/1.1\r\n"),
    REFUSE(TARGET, "GET @@index HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@h:80 HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@* HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "OPTIONS @@** HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "CONNECT @@/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "CONNECT @@h HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "CONNECT @@h: HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "CONNECT @@http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "CONNECT @@u@h:1 HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@http:///x HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@http:/x HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@http HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@://h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@1http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    REFUSE(TARGET, "GET @@http://h:99999/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    /* Versions. */
    REFUSE(VERSION_UNSUPPORTED, "GET / HTTP/@@2.0\r\n"),
    REFUSE(VERSION_UNSUPPORTED, "PRI * HTTP/@@2.0\r\n\r\nSM\r\n\r\n"),
    REFUSE(VERSION_UNSUPPORTED, "GET / HTTP/@@0.9\r\n"),
    REFUSE(VERSION, "GET / @@http/1.1\r\n"),
    REFUSE(VERSION, "GET / HTT@@p/1.1\r\n"),
    REFUSE(VERSION, "GET / HTTP@@ 1.1\r\n"),
    REFUSE(VERSION, "GET / HTTP/1@@1.1\r\n"),
    REFUSE(VERSION, "GET / HTTP/1.1@@0\r\n"),
    REFUSE(VERSION, "GET / HTTP/1.@@x\r\n"),
    REFUSE(VERSION, "GET / HTTP/@@+1.1\r\n"),
    REFUSE(VERSION, "GET /a @@b HTTP/1.1\r\n"),
    /* Host. */
    REFUSE(HOST, "GET / HTTP/1.1\r\nX: y\r\n@@\r\n"),
    REFUSE(HOST, "GET http://h/ HTTP/1.1\r\n@@\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: h\r\nHost: @@h\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: h\r\nhOsT: @@g\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.0\r\nHost: h\r\nHost: @@h\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a,b\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a b\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@u@a\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a/b\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@http://a\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a:b\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a:80:80\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a:65536\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a:0000080\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@:80\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@[::1\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@[]\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@[::1]x\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@[::g]\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a%4\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@a%zz\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost: @@h\xc3\xb6st\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.1\r\nHost:@@\r\n\r\n"),
    REFUSE(HOST, "GET / HTTP/1.0\r\nHost:@@\r\n\r\n"),
    /* Expectations. */
    REFUSE(EXPECT, REQ("Expect: @@100-continued\r\n")),
    REFUSE(EXPECT, REQ("Expect: @@100-continue, x\r\n")),
    REFUSE(EXPECT, REQ("Expect:@@\r\n")),
    /* Empty lines: eight are skipped and do not count in the offset, the ninth is refused. */
    REFUSE(START_LINE, "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n@@\r\nGET / HTTP/1.1\r\n"),
    REFUSE(BARE_CR, "\r\n\r\n@@\rGET / HTTP/1.1\r\n"),
    /* Syntax comes before meaning, wherever it is. */
    REFUSE(BARE_LF, REQ("Content-Length: x\r\nA: b@@\n")),
};

static const struct refusal response_refusals[] = {
    REFUSE(CONTENT_LENGTH_AND_TE, RESP("Content-Length: 3\r\nTransfer-Encoding: @@chunked\r\n")),
    REFUSE(TRANSFER_ENCODING, RESP("Transfer-Encoding: @@chunked, gzip\r\n")),
    REFUSE(TRANSFER_ENCODING, RESP("Transfer-Encoding: @@chunked, chunked\r\n")),
    REFUSE(TRANSFER_ENCODING, RESP("Transfer-Encoding: @@,chunked\r\n")),
    REFUSE(TRANSFER_ENCODING, RESP("Transfer-Encoding: @@chunked;q=1\r\n")),
    REFUSE(TRANSFER_ENCODING, "HTTP/1.0 200 OK\r\nTransfer-Encoding: @@chunked\r\n\r\n"),
    REFUSE(TRANSFER_CODING_UNKNOWN, RESP("Transfer-Encoding: @@gzip\r\n")),
    REFUSE(TRANSFER_CODING_UNKNOWN, RESP("Transfer-Encoding: @@gzip, chunked\r\n")),
    REFUSE(CONTENT_LENGTH, RESP("Content-Length: @@+3\r\n")),
    REFUSE(CONTENT_LENGTH, RESP("Content-Length: @@-1\r\n")),
    REFUSE(CONTENT_LENGTH, RESP("Content-Length:@@\r\n")),
    REFUSE(CONTENT_LENGTH, RESP("Content-Length: @@3, 3\r\n")),
    REFUSE(CONTENT_LENGTH, RESP("Content-Length: 3\r\nContent-Length: @@4\r\n")),
    REFUSE(CONTENT_LENGTH, RESP("Content-Length: @@9223372036854775808\r\n")),
    REFUSE(BARE_LF, "HTTP/1.1 200 OK@@\nA: b\r\n\r\n"),
    REFUSE(BARE_LF, "HTTP/1.1 200 OK\r\nA: b@@\n\r\n"),
    REFUSE(BARE_LF, "HTTP/1.1 200 OK\r\nA: b\r\n@@\n"),
    REFUSE(BARE_CR, "HTTP/1.1 200 OK@@\rA: b\r\n\r\n"),
    REFUSE(BARE_CR, "HTTP/1.1 200 OK\r\nA: b@@\rc\r\n\r\n"),
    REFUSE(BARE_CR, "HTTP/1.1 200 OK\r\nA: b\r\n@@\rc\r\n\r\n"),
    REFUSE(FIELD_VALUE, "HTTP/1.1 200 OK\r\nA: @@\0\r\n\r\n"),
    REFUSE(FIELD_VALUE, "HTTP/1.1 200 OK\r\nA: @@\x08\r\n\r\n"),
    REFUSE(FIELD_VALUE, "HTTP/1.1 200 OK\r\nA: @@\x7f\r\n\r\n"),
    REFUSE(FIELD_NAME, "HTTP/1.1 200 OK\r\n@@: b\r\n\r\n"),
    REFUSE(FIELD_NAME, "HTTP/1.1 200 OK\r\nA@@\r\n\r\n"),
    REFUSE(FIELD_NAME, "HTTP/1.1 200 OK\r\nA@@{}: b\r\n\r\n"),
    REFUSE(FIELD_SPACE, "HTTP/1.1 200 OK\r\nA@@ : b\r\n\r\n"),
    REFUSE(FIELD_SPACE, "HTTP/1.1 200 OK\r\n@@ A: b\r\n\r\n"),
    REFUSE(OBS_FOLD, "HTTP/1.1 200 OK\r\nA: b\r\n@@ c\r\n\r\n"),
    REFUSE(VERSION, "@@http/1.1 200 OK\r\n\r\n"),
    REFUSE(VERSION, "@@<html>"),
    REFUSE(VERSION, "HTTP/1.1@@x200 OK\r\n\r\n"),
    REFUSE(VERSION, "HTTP/1.1@@0 200 OK\r\n\r\n"),
    REFUSE(VERSION, "@@ICY 200 OK\r\n\r\n"),
    REFUSE(VERSION_UNSUPPORTED, "HTTP/@@2.0 200 OK\r\n\r\n"),
    REFUSE(START_LINE, "@@\r\nHTTP/1.1 200 OK\r\n\r\n"),
    REFUSE(START_LINE, "@@ HTTP/1.1 200 OK\r\n\r\n"),
    REFUSE(START_LINE, "HTTP/1.1@@\r\n\r\n"),
    REFUSE(START_LINE, "HTTP/1.1 20@@\r\n\r\n"),
    REFUSE(START_LINE, "HTTP/1.1 200 O@@\0K\r\n\r\n"),
    REFUSE(STATUS, "HTTP/1.1 @@ 200 OK\r\n\r\n"),
    REFUSE(STATUS, "HTTP/1.1 @@099 OK\r\n\r\n"),
    REFUSE(STATUS, "HTTP/1.1 20@@x OK\r\n\r\n"),
    REFUSE(STATUS, "HTTP/1.1 20@@ OK\r\n\r\n"),
    REFUSE(STATUS, "HTTP/1.1 200@@0 OK\r\n\r\n"),
    REFUSE(STATUS, "HTTP/1.1 @@-20 OK\r\n\r\n"),
};

static void expect_refusal(const struct refusal *row, bool is_request)
{
    static struct rig_head_outcome got;
    uint8_t text[512];
    assert_true(row->text_len <= sizeof text);
    const uint8_t *mark = memmem(row->text, row->text_len, MARK, sizeof MARK - 1);
    assert_non_null(mark);
    size_t offset = (size_t)(mark - (const uint8_t *)row->text);
    size_t len = row->text_len - (sizeof MARK - 1);
    memcpy(text, row->text, offset);
    memcpy(text + offset, mark + sizeof MARK - 1, len - offset);

    struct rig_head_input input = {
        .bytes = { text, len },
        .is_request = is_request,
        .request_method = WEIR_TEXT("GET"),
        .limits = LIMITS,
    };
    /* Offsets count from the head, not from the empty lines before it. */
    for (size_t i = 0; is_request && i < 16 && memcmp(text + i, "\r\n", 2) == 0; i += 2)
        offset -= 2;
    rig_head_run(&got, &input);
    if (got.result != WEIR_PARSE_ERROR || got.err.code != row->code || got.err.offset != offset) {
        rig_print("row", input.bytes);
        fail_msg("result %d, %s at %u; wanted %s at %zu", (int)got.result,
                 weir_http1_strerror(got.err.code), (unsigned)got.err.offset,
                 weir_http1_strerror(row->code), offset);
    }
}

static void test_request_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof request_refusals / sizeof *request_refusals; i++)
        expect_refusal(&request_refusals[i], true);
}

static void test_response_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof response_refusals / sizeof *response_refusals; i++)
        expect_refusal(&response_refusals[i], false);
}

/* ---- What is accepted
 * ---------------------------------------------------------------------------- */

struct accept {
    const char *text;
    const char *host; /* NULL: none */
    int framing;
    uint64_t content_length;
    unsigned fields_count;
    bool http10, no_keep_alive, expect_continue, upgrade;
};

static const struct accept request_accepts[] = {
    { "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE, .fields_count = 1 },
    { "GET / HTTP/1.0\r\n\r\n", NULL, NONE, .http10 = true, .no_keep_alive = true },
    { "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "h", NONE, .fields_count = 1, .http10 = true,
      .no_keep_alive = true },
    { "GET / HTTP/1.7\r\nHost: h\r\n\r\n", "h", NONE, .fields_count = 1 },
    { "GET / HTTP/1.1\r\nhOST:h\r\n\r\n", "h", NONE, .fields_count = 1 },
    { "GET / HTTP/1.1\r\nHost:\t h \t \r\n\r\n", "h", NONE, .fields_count = 1 },
    /* Targets and the authority they bring. */
    { "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE, .fields_count = 1 },
    { "CONNECT a:443 HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE, .fields_count = 1 },
    { "CONNECT [::1]:443 HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE, .fields_count = 1 },
    { "GET http://a.b:1/x?y HTTP/1.1\r\nHost: h\r\n\r\n", "a.b:1", NONE, .fields_count = 1 },
    { "GET HTTPS://a HTTP/1.1\r\nHost: h\r\n\r\n", "a", NONE, .fields_count = 1 },
    { "GET http://a?q HTTP/1.1\r\nHost: h\r\n\r\n", "a", NONE, .fields_count = 1 },
    { "GET http://a/ HTTP/1.0\r\n\r\n", "a", NONE, .http10 = true, .no_keep_alive = true },
    { "GET /a[b]{c}|d^`\"<>\\%zz@:;,!$&'()*+=~ HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE,
      .fields_count = 1 },
    { "GET //evil HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE, .fields_count = 1 },
    { "M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE, .fields_count = 1 },
    { "0123456789012345678901234567890123456789012345678901234567890123 / HTTP/1.1\r\nHost: h\r\n"
      "\r\n",
      "h", NONE, .fields_count = 1 },
    /* Hosts. */
    { "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[::1]:80", NONE, .fields_count = 1 },
    { "GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]\r\n\r\n", "[::ffff:1.2.3.4]", NONE,
      .fields_count = 1 },
    { "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "a:", NONE, .fields_count = 1 },
    { "GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n", "a:65535", NONE, .fields_count = 1 },
    { "GET / HTTP/1.1\r\nHost: a_b~c.%41%2fd!$&'()*+;=\r\n\r\n", "a_b~c.%41%2fd!$&'()*+;=", NONE,
      .fields_count = 1 },
    /* Lengths. */
    { REQ("Content-Length: 0\r\n"), "h", LENGTH, 0, .fields_count = 2 },
    { REQ("content-LENGTH: 010\r\n"), "h", LENGTH, 10, .fields_count = 2 },
    { REQ("Content-Length: 0000000000000000000000000000000005\r\n"), "h", LENGTH, 5,
      .fields_count = 2 },
    { REQ("Content-Length: 9223372036854775807 \r\n"), "h", LENGTH, INT64_MAX, .fields_count = 2 },
    { REQ("Transfer-Encoding: chunked\r\n"), "h", CHUNKED, 0, .fields_count = 2 },
    { REQ("transfer-encoding: \tcHuNkEd\t\r\n"), "h", CHUNKED, 0, .fields_count = 2 },
    { REQ("Transfer_Encoding: chunked\r\nContent_Length: 3\r\n"), "h", NONE, 0, .fields_count = 3 },
    /* Connection. */
    { REQ("Connection: close\r\n"), "h", NONE, 0, .fields_count = 2, .no_keep_alive = true },
    { REQ("Connection: foo , CLOSE\r\n"), "h", NONE, 0, .fields_count = 2, .no_keep_alive = true },
    { REQ("Connection: x\r\nConnection:,close,\r\n"), "h", NONE, 0, .fields_count = 3,
      .no_keep_alive = true },
    { REQ("Connection: closed\r\n"), "h", NONE, 0, .fields_count = 2 },
    { REQ("Connection: close, keep-alive\r\n"), "h", NONE, 0, .fields_count = 2,
      .no_keep_alive = true },
    { "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", NULL, NONE, 0, .fields_count = 1,
      .http10 = true },
    { "GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", NULL, NONE, 0, .fields_count = 1,
      .http10 = true, .no_keep_alive = true },
    { REQ("Connection: Upgrade\r\nUpgrade: websocket\r\n"), "h", NONE, 0, .fields_count = 3,
      .upgrade = true },
    { REQ("Upgrade: websocket\r\n"), "h", NONE, 0, .fields_count = 2 },
    { REQ("Connection: upgrade\r\n"), "h", NONE, 0, .fields_count = 2 },
    { "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", NULL, NONE, 0,
      .fields_count = 2, .http10 = true, .no_keep_alive = true },
    /* Expectations. */
    { REQ("Expect: 100-Continue\r\nContent-Length: 3\r\n"), "h", LENGTH, 3, .fields_count = 3,
      .expect_continue = true },
    { "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", NULL, NONE, 0, .fields_count = 1,
      .http10 = true, .no_keep_alive = true },
    /* Values and names that look odd and are not. */
    { REQ("X:\r\n"), "h", NONE, 0, .fields_count = 2 },
    { REQ("X: \t \r\n"), "h", NONE, 0, .fields_count = 2 },
    { REQ("X: \xa0\x80\xff a\tb\r\n"), "h", NONE, 0, .fields_count = 2 },
    { REQ("!#$%&'*+-.^_`|~0aZ: :\r\n"), "h", NONE, 0, .fields_count = 2 },
    { REQ("A: 1\r\nHosts: x\r\nXexpect: y\r\nConnectiom: close\r\n"), "h", NONE, 0,
      .fields_count = 5 },
    /* Empty lines before. */
    { "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE, 0, .fields_count = 1 },
    { "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "h", NONE, 0,
      .fields_count = 1 },
};

static void expect_accept(const struct accept *row, const struct rig_head_input *input,
                          struct rig_head_outcome *got)
{
    rig_head_run(got, input);
    const struct weir_http1_head *head = &got->head;
    bool good = got->result == WEIR_PARSE_DONE && head->bytes == input->bytes.len &&
                (int)head->framing == row->framing && head->fields_count == row->fields_count &&
                head->content_length == row->content_length &&
                head->version_minor == (row->http10 ? 0 : 1) &&
                head->keep_alive == !row->no_keep_alive &&
                head->expect_continue == row->expect_continue && head->upgrade == row->upgrade;
    if (good && row->host == NULL)
        good = head->host.ptr == NULL && head->host.len == 0;
    if (good && row->host != NULL)
        good = head->host.len == strlen(row->host) &&
               memcmp(head->host.ptr, row->host, head->host.len) == 0;
    if (good)
        return;
    rig_print("row", input->bytes);
    fail_msg("result %d error %s at %u framing %d length %llu fields %u keep %d", (int)got->result,
             weir_http1_strerror(got->result < 0 ? got->err.code : 0), (unsigned)got->err.offset,
             (int)head->framing, (unsigned long long)head->content_length,
             (unsigned)head->fields_count, head->keep_alive);
}

static struct weir_slice slice_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static void test_request_accepts(void **state)
{
    static struct rig_head_outcome got;
    (void)state;
    for (size_t i = 0; i < sizeof request_accepts / sizeof *request_accepts; i++) {
        const struct accept *row = &request_accepts[i];
        const struct rig_head_input input = {
            .bytes = slice_of(row->text),
            .is_request = true,
            .limits = LIMITS,
        };
        expect_accept(row, &input, &got);
    }
}

struct answer {
    const char *method;
    unsigned status;
    const char *reason;
    bool has_content_length;
    struct accept accept;
};

static const struct answer response_accepts[] = {
    { "GET",
      200,
      "OK",
      true,
      { RESP("Content-Length: 5\r\n"), NULL, LENGTH, 5, .fields_count = 1 } },
    { "GET",
      200,
      "OK",
      true,
      { RESP("Content-Length: 5\r\nContent-Length: 05\r\n"), NULL, LENGTH, 5, .fields_count = 2 } },
    { "GET",
      200,
      "OK",
      false,
      { RESP("Transfer-Encoding: Chunked\r\n"), NULL, CHUNKED, 0, .fields_count = 1 } },
    { "GET", 200, "OK", false, { RESP(""), NULL, UNTIL_EOF, .no_keep_alive = true } },
    { "GET",
      200,
      "OK",
      false,
      { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", NULL, UNTIL_EOF, 0, .fields_count = 1,
        .http10 = true, .no_keep_alive = true } },
    { "GET",
      200,
      "OK",
      true,
      { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", NULL, LENGTH, 1,
        .fields_count = 2, .http10 = true } },
    { "GET",
      200,
      "OK",
      true,
      { RESP("Connection: close\r\nContent-Length: 1\r\n"), NULL, LENGTH, 1, .fields_count = 2,
        .no_keep_alive = true } },
    /* No body whatever the fields say; what they declared stays readable. */
    { "HEAD",
      200,
      "OK",
      true,
      { RESP("Content-Length: 5\r\n"), NULL, NONE, 5, .fields_count = 1 } },
    { "HEAD", 200, "OK", false, { RESP(""), NULL, NONE, .fields_count = 0 } },
    { "HEAD",
      200,
      "OK",
      false,
      { RESP("Transfer-Encoding: gzip\r\n"), NULL, NONE, 0, .fields_count = 1 } },
    { "HEAD",
      200,
      "OK",
      true,
      { RESP("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"), NULL, NONE, 1,
        .fields_count = 2 } },
    { "head",
      200,
      "OK",
      true,
      { RESP("Content-Length: 5\r\n"), NULL, LENGTH, 5, .fields_count = 1 } },
    { "GET",
      100,
      "Continue",
      true,
      { "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", NULL, NONE, 5, .fields_count = 1 } },
    { "GET",
      103,
      "Early Hints",
      false,
      { "HTTP/1.1 103 Early Hints\r\n\r\n", NULL, NONE, .fields_count = 0 } },
    { "GET",
      204,
      "",
      true,
      { "HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n", NULL, NONE, 5, .fields_count = 1 } },
    { "GET",
      304,
      "",
      false,
      { "HTTP/1.1 304\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, NONE, 0, .fields_count = 1 } },
    { "GET",
      101,
      "Go",
      false,
      { "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", NULL, NONE, 0,
        .fields_count = 2, .no_keep_alive = true, .upgrade = true } },
    { "CONNECT",
      200,
      "OK",
      true,
      { RESP("Content-Length: 5\r\n"), NULL, NONE, 5, .fields_count = 1, .no_keep_alive = true } },
    { "CONNECT",
      299,
      "x",
      false,
      { "HTTP/1.1 299 x\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, NONE, 0, .fields_count = 1,
        .no_keep_alive = true } },
    { "CONNECT",
      404,
      "x",
      true,
      { "HTTP/1.1 404 x\r\nContent-Length: 5\r\n\r\n", NULL, LENGTH, 5, .fields_count = 1 } },
    /* Odd but good status lines; requests' fields mean nothing here. */
    { "GET",
      999,
      "a b\t\x80",
      true,
      { "HTTP/1.1 999 a b\t\x80\r\nContent-Length: 0\r\n\r\n", NULL, LENGTH, 0,
        .fields_count = 1 } },
    { "GET",
      200,
      " OK ",
      true,
      { "HTTP/1.9 200  OK \r\nContent-Length: 0\r\n\r\n", NULL, LENGTH, 0, .fields_count = 1 } },
    { "GET",
      200,
      "OK",
      true,
      { RESP("Host: a,b\r\nHost:\r\nExpect: x\r\nContent-Length: 0\r\n"), NULL, LENGTH, 0,
        .fields_count = 4 } },
};

static void test_response_accepts(void **state)
{
    static struct rig_head_outcome got;
    (void)state;
    for (size_t i = 0; i < sizeof response_accepts / sizeof *response_accepts; i++) {
        const struct answer *row = &response_accepts[i];
        const struct rig_head_input input = {
            .bytes = slice_of(row->accept.text),
            .request_method = slice_of(row->method),
            .limits = LIMITS,
        };
        expect_accept(&row->accept, &input, &got);
        assert_int_equal(got.head.status, row->status);
        assert_int_equal(got.head.has_content_length, row->has_content_length);
        assert_int_equal(got.head.reason.len, strlen(row->reason));
        assert_memory_equal(got.head.reason.ptr, row->reason, got.head.reason.len);
    }
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Good heads with a few bytes changed: the reader and the checker must never disagree. */
static void test_mutations(void **state)
{
    static const char bytes[] = "\r\n \t:/.,#*@\0\x7f\x80HTP12xX-";
    static struct rig_head_outcome got;
    uint8_t text[256];
    uint64_t seed = 0x2545f4914f6cdd1d;
    (void)state;
    print_message("seed %llx\n", (unsigned long long)seed);
    for (unsigned round = 0; round < 1500; round++) {
        bool is_request = (random_next(&seed) & 3) != 0;
        const char *good =
            is_request ? request_accepts[random_next(&seed) %
                                         (sizeof request_accepts / sizeof *request_accepts)]
                             .text
                       : response_accepts[random_next(&seed) %
                                          (sizeof response_accepts / sizeof *response_accepts)]
                             .accept.text;
        size_t len = strlen(good);
        assert_true(len <= sizeof text);
        memcpy(text, good, len);
        for (uint64_t changes = 1 + random_next(&seed) % 3; changes > 0; changes--)
            text[random_next(&seed) % len] =
                (uint8_t)bytes[random_next(&seed) % (sizeof bytes - 1)];
        const struct rig_head_input input = {
            .bytes = { text, len },
            .is_request = is_request,
            .request_method = WEIR_TEXT("GET"),
            .limits = LIMITS,
        };
        rig_head_run(&got, &input);
    }
}

/* Every byte in every position class, at every distance from the end of a block. */
static void test_every_byte(void **state)
{
    static struct rig_head_outcome got;
    uint8_t text[128];
    (void)state;
    for (unsigned pad = 0; pad < 20; pad++) {
        for (unsigned c = 0; c < 256; c++) {
            int len = snprintf((char *)text, sizeof text,
                               "GET /%.*s- HTTP/1.1\r\nHost: h\r\nN%.*s-n: v%.*s-v\r\n\r\n", pad,
                               "aaaaaaaaaaaaaaaaaaaa", pad, "bbbbbbbbbbbbbbbbbbbb", pad,
                               "cccccccccccccccccccc");
            size_t at_target = 5 + pad;
            size_t at_name = at_target + 1 + strlen(" HTTP/1.1\r\nHost: h\r\nN") + pad;
            size_t at_value = at_name + strlen("-n: v") + pad;
            size_t places[] = { at_target, at_name, at_value };
            bool token = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                         (c != 0 && c < 128 && strchr("!#$%&'*+-.^_`|~", (int)c) != NULL);
            bool target = c > 0x20 && c < 0x7f && c != '#';
            bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
            bool good[] = { target, token || c == ':', value };
            for (unsigned i = 0; i < 3; i++) {
                uint8_t was = text[places[i]];
                assert_int_equal(was, '-');
                text[places[i]] = (uint8_t)c;
                struct rig_head_input input = { .bytes = { text, (size_t)len },
                                                .is_request = true,
                                                .limits = LIMITS };
                uint32_t resume = 0;
                rig_head_step(&got, &input, (size_t)len, &resume);
                assert_int_equal(got.result, good[i] ? WEIR_PARSE_DONE : WEIR_PARSE_ERROR);
                text[places[i]] = was;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_refusals), cmocka_unit_test(test_response_refusals),
        cmocka_unit_test(test_request_accepts),  cmocka_unit_test(test_response_accepts),
        cmocka_unit_test(test_mutations),        cmocka_unit_test(test_every_byte),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
