/* SPDX-License-Identifier: MIT */
/* The writer: exact bytes, what it refuses, and that the parser reads back what was written. */
#include "unit/proto/codec/parse_rig.h"

#include <errno.h>
#include <time.h>

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct weir_http1_limits limits = {
    .head_bytes_max = 8192,
    .target_bytes_max = 4096,
    .fields_max = 16,
};

/* Write at every capacity: too small is -ENOBUFS, from the exact size on the bytes are `want`. */
static void expect_response(const struct weir_http1_response_spec *spec, const char *want)
{
    uint8_t out[1024];
    const size_t len = strlen(want);
    const size_t bytes_max = weir_http1_response_bytes_max(spec);
    assert_true(len <= bytes_max);
    for (size_t capacity = 0; capacity <= bytes_max + 4; capacity++) {
        memset(out, 0xee, sizeof out);
        int64_t got = weir_http1_write_response(out, capacity, spec);
        assert_int_equal(got, capacity < len ? -ENOBUFS : (int64_t)len);
        for (size_t i = capacity; i < sizeof out; i++)
            assert_int_equal(out[i], 0xee);
        if (got > 0)
            assert_memory_equal(out, want, len);
    }
}

static void expect_request(const struct weir_http1_request_spec *spec, const char *want)
{
    uint8_t out[1024];
    const size_t len = strlen(want);
    const size_t bytes_max = weir_http1_request_bytes_max(spec);
    assert_true(len <= bytes_max);
    for (size_t capacity = 0; capacity <= bytes_max + 4; capacity++) {
        memset(out, 0xee, sizeof out);
        int64_t got = weir_http1_write_request(out, capacity, spec);
        assert_int_equal(got, capacity < len ? -ENOBUFS : (int64_t)len);
        for (size_t i = capacity; i < sizeof out; i++)
            assert_int_equal(out[i], 0xee);
        if (got > 0)
            assert_memory_equal(out, want, len);
    }
}

static void test_response(void **state)
{
    const struct weir_header headers[] = {
        { WEIR_TEXT("X"), { NULL, 0 } },
        { WEIR_TEXT("X-Request-Id"), WEIR_TEXT("0123456789") },
        { WEIR_TEXT("Server"), WEIR_TEXT("a name that is longer than thirty-two bytes are") },
        { WEIR_TEXT("Dates"), WEIR_TEXT("x\ty \xff") },
    };
    (void)state;
    expect_response(
        &(struct weir_http1_response_spec){
            .status = 200,
            .framing = WEIR_HTTP1_BODY_LENGTH,
            .content_length = 15,
            .date = WEIR_TEXT(DATE),
            .content_type = WEIR_TEXT("application/json"),
        },
        "HTTP/1.1 200 OK\r\nDate: " DATE "\r\nContent-Type: application/json\r\n"
        "Content-Length: 15\r\n\r\n");
    expect_response(
        &(struct weir_http1_response_spec){
            .status = 503,
            .framing = WEIR_HTTP1_BODY_CHUNKED,
            .close = true,
            .headers = headers,
            .headers_count = COUNT(headers),
        },
        "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
        "X: \r\nX-Request-Id: 0123456789\r\n"
        "Server: a name that is longer than thirty-two bytes are\r\nDates: x\ty \xff\r\n\r\n");
    expect_response(
        &(struct weir_http1_response_spec){
            .status = 511,
            .framing = WEIR_HTTP1_BODY_LENGTH,
            .content_length = INT64_MAX,
            .keep_alive = true,
        },
        "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 9223372036854775807\r\n"
        "Connection: keep-alive\r\n\r\n");
    /* Close wins over keep-alive. */
    expect_response(
        &(struct weir_http1_response_spec){ .status = 204, .close = true, .keep_alive = true },
        "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    expect_response(&(struct weir_http1_response_spec){ .status = 100 },
                    "HTTP/1.1 100 Continue\r\n\r\n");
    expect_response(
        &(struct weir_http1_response_spec){ .status = 200, .framing = WEIR_HTTP1_BODY_EOF },
        "HTTP/1.1 200 OK\r\n\r\n");
    expect_response(
        &(struct weir_http1_response_spec){ .status = 304, .framing = WEIR_HTTP1_BODY_LENGTH },
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n");
    expect_response(&(struct weir_http1_response_spec){ .status = 299 }, "HTTP/1.1 299 \r\n\r\n");
    expect_response(&(struct weir_http1_response_spec){ .status = 999 }, "HTTP/1.1 999 \r\n\r\n");
}

static void test_request(void **state)
{
    const struct weir_header headers[] = {
        { WEIR_TEXT("Accept"), WEIR_TEXT("*/*") },
        { WEIR_TEXT("Date"), WEIR_TEXT(DATE) },
    };
    (void)state;
    expect_request(
        &(struct weir_http1_request_spec){
            .method = WEIR_TEXT("GET"),
            .target = WEIR_TEXT("/api/health"),
            .host = WEIR_TEXT("127.0.0.1:8080"),
            .headers = headers,
            .headers_count = COUNT(headers),
        },
        "GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nDate: " DATE
        "\r\n\r\n");
    expect_request(
        &(struct weir_http1_request_spec){
            .method = WEIR_TEXT("POST"),
            .target = WEIR_TEXT("/"),
            .host = WEIR_TEXT("h"),
            .framing = WEIR_HTTP1_BODY_LENGTH,
            .content_length = 1234567890,
            .close = true,
        },
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1234567890\r\nConnection: close\r\n\r\n");
    expect_request(
        &(struct weir_http1_request_spec){
            .method = WEIR_TEXT("PUT"),
            .target = WEIR_TEXT("/x?y"),
            .host = WEIR_TEXT("[::1]:1"),
            .framing = WEIR_HTTP1_BODY_CHUNKED,
        },
        "PUT /x?y HTTP/1.1\r\nHost: [::1]:1\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect_request(
        &(struct weir_http1_request_spec){
            .method = WEIR_TEXT("GET"),
            .target = WEIR_TEXT("/"),
        },
        "GET / HTTP/1.1\r\nHost:\r\n\r\n");
}

/* The result for a response with one header more. */
static int64_t response_with(struct weir_slice name, struct weir_slice value)
{
    uint8_t out[512];
    const struct weir_header header = { name, value };
    const struct weir_http1_response_spec spec = {
        .status = 200,
        .headers = &header,
        .headers_count = 1,
    };
    return weir_http1_write_response(out, sizeof out, &spec);
}

static int64_t request_with(struct weir_slice name, struct weir_slice value)
{
    uint8_t out[512];
    const struct weir_header header = { name, value };
    const struct weir_http1_request_spec spec = {
        .method = WEIR_TEXT("GET"),
        .target = WEIR_TEXT("/"),
        .host = WEIR_TEXT("h"),
        .headers = &header,
        .headers_count = 1,
    };
    return weir_http1_write_request(out, sizeof out, &spec);
}

static void test_header_refusals(void **state)
{
    static const struct weir_header bad[] = {
        { { NULL, 0 }, WEIR_TEXT("x") },
        { WEIR_TEXT("A b"), WEIR_TEXT("x") },
        { WEIR_TEXT("A:"), WEIR_TEXT("x") },
        { WEIR_TEXT("A\r\nB"), WEIR_TEXT("x") },
        { WEIR_TEXT("A\0"), WEIR_TEXT("x") },
        { WEIR_TEXT("\xc3\xa4"), WEIR_TEXT("x") },
        { WEIR_TEXT("A-name-longer-than-a-block("), WEIR_TEXT("x") },
        { WEIR_TEXT("A"), WEIR_TEXT("x\r\nB: y") },
        { WEIR_TEXT("A"), WEIR_TEXT("x\n") },
        { WEIR_TEXT("A"), WEIR_TEXT("\r") },
        { WEIR_TEXT("A"), WEIR_TEXT("\0") },
        { WEIR_TEXT("A"), WEIR_TEXT("\x7f") },
        { WEIR_TEXT("A"), WEIR_TEXT("a value that is longer than a block\x01") },
        { WEIR_TEXT("Content-Length"), WEIR_TEXT("1") },
        { WEIR_TEXT("content-lengtH"), WEIR_TEXT("1") },
        { WEIR_TEXT("TRANSFER-ENCODING"), WEIR_TEXT("chunked") },
        { WEIR_TEXT("conNection"), WEIR_TEXT("close") },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(response_with(bad[i].name, bad[i].value), -EINVAL);
        assert_int_equal(request_with(bad[i].name, bad[i].value), -EINVAL);
    }
    /* Each direction has one of its own. */
    assert_int_equal(response_with(WEIR_TEXT("daTe"), WEIR_TEXT("x")), -EINVAL);
    assert_true(request_with(WEIR_TEXT("daTe"), WEIR_TEXT("x")) > 0);
    assert_int_equal(request_with(WEIR_TEXT("hOst"), WEIR_TEXT("x")), -EINVAL);
    assert_true(response_with(WEIR_TEXT("hOst"), WEIR_TEXT("x")) > 0);
    assert_true(response_with(WEIR_TEXT("!#$%&'*+-.^_`|~09azAZ"), WEIR_TEXT("\t \x80")) > 0);
}

static void test_response_refusals(void **state)
{
    static const struct weir_http1_response_spec bad[] = {
        { .status = 99 },
        { .status = 0 },
        { .status = 1000 },
        { .status = 100, .framing = WEIR_HTTP1_BODY_LENGTH },
        { .status = 199, .framing = WEIR_HTTP1_BODY_CHUNKED },
        { .status = 204, .framing = WEIR_HTTP1_BODY_LENGTH },
        { .status = 204, .framing = WEIR_HTTP1_BODY_CHUNKED },
        { .status = 200, .framing = (enum weir_http1_framing)4 },
        { .status = 200,
          .framing = WEIR_HTTP1_BODY_LENGTH,
          .content_length = (uint64_t)INT64_MAX + 1 },
        { .status = 200, .date = { (const uint8_t *)DATE, 28 } },
        { .status = 200, .date = { (const uint8_t *)"Sun, 06 Nov 1994 08:49:37 \r\nX", 29 } },
        { .status = 200, .content_type = { (const uint8_t *)"a\r\nb", 4 } },
        { .status = 200, .content_type = { (const uint8_t *)"a\0b", 3 } },
    };
    uint8_t out[512];
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(weir_http1_write_response(out, sizeof out, &bad[i]), -EINVAL);
}

static int64_t request_line(struct weir_slice method, struct weir_slice target,
                            struct weir_slice host)
{
    uint8_t out[512];
    const struct weir_http1_request_spec spec = {
        .method = method,
        .target = target,
        .host = host,
    };
    return weir_http1_write_request(out, sizeof out, &spec);
}

static void test_request_refusals(void **state)
{
    const struct weir_slice get = WEIR_TEXT("GET"), root = WEIR_TEXT("/"), h = WEIR_TEXT("h");
    const struct weir_slice none = { NULL, 0 };
    uint8_t out[512];
    (void)state;
    assert_int_equal(request_line(none, root, h), -EINVAL);
    assert_int_equal(request_line(WEIR_TEXT("GE T"), root, h), -EINVAL);
    assert_int_equal(request_line(WEIR_TEXT("GET\r"), root, h), -EINVAL);
    assert_int_equal(request_line(get, none, h), -EINVAL);
    assert_int_equal(request_line(get, WEIR_TEXT("/a b"), h), -EINVAL);
    assert_int_equal(request_line(get, WEIR_TEXT("/a#b"), h), -EINVAL);
    assert_int_equal(request_line(get, WEIR_TEXT("/\xc3\xa4"), h), -EINVAL);
    assert_int_equal(request_line(get, WEIR_TEXT("/a\r\nX: y"), h), -EINVAL);
    assert_int_equal(request_line(get, WEIR_TEXT("/0123456789abcdef0123456789abcdef\x7f"), h),
                     -EINVAL);
    assert_int_equal(request_line(get, root, WEIR_TEXT("h\r\nX: y")), -EINVAL);
    assert_int_equal(request_line(get, root, WEIR_TEXT("u@h")), -EINVAL);
    assert_int_equal(request_line(get, root, WEIR_TEXT("a b")), -EINVAL);
    assert_int_equal(request_line(get, root, WEIR_TEXT("a,b")), -EINVAL);
    struct weir_http1_request_spec spec = {
        .method = get,
        .target = root,
        .host = h,
        .framing = WEIR_HTTP1_BODY_EOF,
    };
    assert_int_equal(weir_http1_write_request(out, sizeof out, &spec), -EINVAL);
    spec.framing = WEIR_HTTP1_BODY_LENGTH;
    spec.content_length = UINT64_MAX;
    assert_int_equal(weir_http1_write_request(out, sizeof out, &spec), -EINVAL);
}

/* ---- Round trips --------------------------------------------------------------------------------
 */

static void test_response_round_trip(void **state)
{
    static const enum weir_http1_framing framings[] = {
        WEIR_HTTP1_BODY_NONE, WEIR_HTTP1_BODY_LENGTH, WEIR_HTTP1_BODY_CHUNKED, WEIR_HTTP1_BODY_EOF
    };
    uint8_t out[512];
    struct weir_http1_field fields[16];
    (void)state;
    for (unsigned status = 100; status <= 999; status++) {
        for (size_t i = 0; i < COUNT(framings); i++) {
            struct weir_http1_response_spec spec = {
                .status = (uint16_t)status,
                .framing = framings[i],
                .content_length = status * UINT64_C(1000003),
                .date = WEIR_TEXT(DATE),
                .content_type = WEIR_TEXT("text/plain"),
                .close = status % 2 == 0,
            };
            int64_t len = weir_http1_write_response(out, sizeof out, &spec);
            bool bodyless = status < 200 || status == 204 || status == 304;
            bool sized =
                framings[i] == WEIR_HTTP1_BODY_LENGTH || framings[i] == WEIR_HTTP1_BODY_CHUNKED;
            if (sized && (status < 200 || status == 204)) {
                assert_int_equal(len, -EINVAL);
                continue;
            }
            struct weir_http1_head head = { .fields = fields };
            struct weir_parse_err err;
            uint32_t resume = 0;
            assert_int_equal(weir_http1_parse_response(&head, &limits, WEIR_TEXT("GET"),
                                                       (struct weir_slice){ out, (size_t)len },
                                                       &resume, &err),
                             WEIR_PARSE_DONE);
            assert_int_equal(head.bytes, len);
            assert_int_equal(head.status, status);
            assert_int_equal(head.reason.len, strlen(weir_http1_reason((uint16_t)status)));
            assert_memory_equal(head.reason.ptr, weir_http1_reason((uint16_t)status),
                                head.reason.len);
            assert_int_equal(head.has_content_length, framings[i] == WEIR_HTTP1_BODY_LENGTH);
            assert_true(!head.has_content_length || head.content_length == spec.content_length);
            assert_int_equal(head.framing, bodyless ? WEIR_HTTP1_BODY_NONE
                                           : sized  ? framings[i]
                                                    : WEIR_HTTP1_BODY_EOF);
            struct weir_slice date = weir_http1_find(&head, WEIR_TEXT("date"));
            assert_int_equal(date.len, WEIR_HTTP1_DATE_BYTES);
            assert_memory_equal(date.ptr, DATE, date.len);
        }
    }
}

static void test_request_round_trip(void **state)
{
    uint8_t out[512], value[64];
    struct weir_http1_field fields[16];
    (void)state;
    memset(value, 'v', sizeof value);
    for (size_t len = 0; len <= sizeof value; len++) {
        const struct weir_header headers[] = {
            { WEIR_TEXT("A"), { value, len } },
            { { value, len + 1 <= sizeof value ? len + 1 : 1 }, WEIR_TEXT("b") },
        };
        const struct weir_http1_request_spec spec = {
            .method = { value, 1 + len % 64 },
            .target = WEIR_TEXT("/x"),
            .host = WEIR_TEXT("h:1"),
            .framing = WEIR_HTTP1_BODY_LENGTH,
            .content_length = UINT64_C(1) << (len % 63),
            .close = len % 2 != 0,
            .headers = headers,
            .headers_count = COUNT(headers),
        };
        int64_t bytes = weir_http1_write_request(out, sizeof out, &spec);
        assert_true(bytes > 0);
        struct weir_http1_head head = { .fields = fields };
        struct weir_parse_err err;
        uint32_t resume = 0;
        assert_int_equal(weir_http1_parse_request(&head, &limits,
                                                  (struct weir_slice){ out, (size_t)bytes },
                                                  &resume, &err),
                         WEIR_PARSE_DONE);
        assert_int_equal(head.method.len, spec.method.len);
        assert_int_equal(head.content_length, spec.content_length);
        assert_int_equal(head.keep_alive, !spec.close);
        struct weir_slice a = weir_http1_find(&head, WEIR_TEXT("a"));
        assert_int_equal(a.len, len);
        assert_memory_equal(a.ptr, value, len);
        assert_int_equal(weir_http1_find(&head, headers[1].name).len, 1);
    }
}

static void test_chunk_head(void **state)
{
    static struct rig_body_outcome got;
    static uint8_t text[8192];
    uint8_t out[WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX];
    char want[32];
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (unsigned minus = 0; minus < 2; minus++) {
            uint64_t len = (UINT64_C(1) << bit) - minus;
            if (len == 0)
                continue;
            size_t bytes = weir_http1_write_chunk_head(out, len);
            int want_bytes = snprintf(want, sizeof want, "%llx\r\n", (unsigned long long)len);
            assert_int_equal(bytes, want_bytes);
            assert_memory_equal(out, want, bytes);
        }
    }
    assert_int_equal(weir_http1_write_chunk_head(out, UINT64_MAX), WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX);
    /* And the decoder reads it back. */
    size_t at = 0, payload = 0;
    for (size_t len = 1; len < 80; len += 13) {
        at += weir_http1_write_chunk_head(text + at, len);
        memset(text + at, 'p', len);
        memcpy(text + at + len, "\r\n", 2);
        at += len + 2;
        payload += len;
    }
    memcpy(text + at, WEIR_HTTP1_LAST_CHUNK, sizeof WEIR_HTTP1_LAST_CHUNK - 1);
    at += sizeof WEIR_HTTP1_LAST_CHUNK - 1;
    const struct rig_body_input input = { .bytes = { text, at },
                                          .framing = WEIR_HTTP1_BODY_CHUNKED };
    rig_body_run(&got, &input);
    assert_int_equal(got.result, WEIR_PARSE_DONE);
    assert_int_equal(got.at, at);
    assert_int_equal(got.payload_bytes, payload);
}

/* ---- Texts --------------------------------------------------------------------------------------
 */

static void test_date(void **state)
{
    static const struct {
        int64_t seconds;
        const char *want;
    } rows[] = {
        { 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
        { 784111777, DATE },
        { 951782399, "Mon, 28 Feb 2000 23:59:59 GMT" },
        { 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },
        { 951868800, "Wed, 01 Mar 2000 00:00:00 GMT" },
        { 978307199, "Sun, 31 Dec 2000 23:59:59 GMT" },
        { 1078012800, "Sun, 29 Feb 2004 00:00:00 GMT" },
        { 4107542399, "Sun, 28 Feb 2100 23:59:59 GMT" },
        { 4107542400, "Mon, 01 Mar 2100 00:00:00 GMT" },
        { 2147483647, "Tue, 19 Jan 2038 03:14:07 GMT" },
        { 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
        /* A clock out of range still gives a date. */
        { 253402300800, "Fri, 31 Dec 9999 23:59:59 GMT" },
        { INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT" },
        { -1, "Thu, 01 Jan 1970 00:00:00 GMT" },
    };
    uint8_t out[WEIR_HTTP1_DATE_BYTES + 1];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        out[WEIR_HTTP1_DATE_BYTES] = 0xee;
        weir_http1_date(out, rows[i].seconds);
        assert_memory_equal(out, rows[i].want, WEIR_HTTP1_DATE_BYTES);
        assert_int_equal(out[WEIR_HTTP1_DATE_BYTES], 0xee);
    }
}

/* Every day of five hundred years against the C library. */
static void test_every_date(void **state)
{
    uint8_t out[WEIR_HTTP1_DATE_BYTES];
    char want[64];
    (void)state;
    for (time_t seconds = 0; seconds < INT64_C(500) * 366 * 86400; seconds += 86400 + 1) {
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_int_equal(strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm),
                         WEIR_HTTP1_DATE_BYTES);
        weir_http1_date(out, seconds);
        assert_memory_equal(out, want, sizeof out);
    }
}

static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(weir_http1_reason(100), "Continue");
    assert_string_equal(weir_http1_reason(200), "OK");
    assert_string_equal(weir_http1_reason(404), "Not Found");
    assert_string_equal(weir_http1_reason(431), "Request Header Fields Too Large");
    assert_string_equal(weir_http1_reason(511), "Network Authentication Required");
    assert_string_equal(weir_http1_reason(0), "");
    assert_string_equal(weir_http1_reason(99), "");
    assert_string_equal(weir_http1_reason(299), "");
    assert_string_equal(weir_http1_reason(512), "");
    assert_string_equal(weir_http1_reason(65535), "");
}

static void test_errors(void **state)
{
    static const struct {
        enum weir_http1_error code;
        uint16_t status;
    } rows[] = {
        { WEIR_HTTP1_E_NONE, 0 },
        { WEIR_HTTP1_E_START_LINE, 400 },
        { WEIR_HTTP1_E_TARGET_TOO_LONG, 414 },
        { WEIR_HTTP1_E_VERSION, 400 },
        { WEIR_HTTP1_E_VERSION_UNSUPPORTED, 505 },
        { WEIR_HTTP1_E_FIELDS_TOO_MANY, 431 },
        { WEIR_HTTP1_E_HEAD_TOO_LONG, 431 },
        { WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN, 501 },
        { WEIR_HTTP1_E_EXPECT, 417 },
        { WEIR_HTTP1_E_TRAILER, 400 },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(weir_http1_error_status(rows[i].code), rows[i].status);
    for (int code = 0; code < WEIR_HTTP1_E_COUNT; code++) {
        assert_true(strlen(weir_http1_strerror((enum weir_http1_error)code)) > 5);
        if (code != WEIR_HTTP1_E_NONE)
            assert_true(*weir_http1_reason(weir_http1_error_status((enum weir_http1_error)code)));
    }
    assert_string_equal(weir_http1_strerror(WEIR_HTTP1_E_BARE_LF),
                        "line feed without carriage return");
    assert_string_equal(weir_http1_strerror((enum weir_http1_error)WEIR_HTTP1_E_COUNT),
                        "unknown error");
    assert_string_equal(weir_http1_strerror((enum weir_http1_error) - 1), "unknown error");
    assert_int_equal(weir_http1_error_status((enum weir_http1_error) - 1), 400);
}

static void test_classes(void **state)
{
    (void)state;
    assert_false(weir_http1_is_token((struct weir_slice){ NULL, 0 }));
    assert_true(weir_http1_is_field_value((struct weir_slice){ NULL, 0 }));
    for (unsigned c = 0; c < 256; c++) {
        uint8_t bytes[40];
        bool token = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                     (c != 0 && c < 128 && strchr("!#$%&'*+-.^_`|~", (int)c) != NULL);
        bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
        memset(bytes, 'a', sizeof bytes);
        for (size_t len = 1; len <= sizeof bytes; len++) {
            struct weir_slice s = rig_place((struct weir_slice){ bytes, len });
            uint8_t *last = rig_memory.end - 1;
            *last = (uint8_t)c;
            assert_int_equal(weir_http1_is_token(s), token);
            assert_int_equal(weir_http1_is_field_value(s), value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_header_refusals),
        cmocka_unit_test(test_response_refusals),
        cmocka_unit_test(test_request_refusals),
        cmocka_unit_test(test_response_round_trip),
        cmocka_unit_test(test_request_round_trip),
        cmocka_unit_test(test_chunk_head),
        cmocka_unit_test(test_date),
        cmocka_unit_test(test_every_date),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
