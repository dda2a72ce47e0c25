/* SPDX-License-Identifier: MIT */
/*
 * Writer of heads, and the fixed texts of HTTP/1.1: reason phrases, dates, errors.
 *
 * A head is checked and measured first and written after that without further checks, so a failed
 * call has written nothing.
 */
#include <weir/http1.h>

#include "core/assert.h"
#include "core/base.h"
#include "proto/codec/http1_char.h"

#include <errno.h>

/* The registered status codes (IANA HTTP Status Code Registry). */
#define STATUSES(XX)                                                                               \
    XX(100, "Continue")                                                                            \
    XX(101, "Switching Protocols")                                                                 \
    XX(102, "Processing")                                                                          \
    XX(103, "Early Hints")                                                                         \
    XX(200, "OK")                                                                                  \
    XX(201, "Created")                                                                             \
    XX(202, "Accepted")                                                                            \
    XX(203, "Non-Authoritative Information")                                                       \
    XX(204, "No Content")                                                                          \
    XX(205, "Reset Content")                                                                       \
    XX(206, "Partial Content")                                                                     \
    XX(207, "Multi-Status")                                                                        \
    XX(208, "Already Reported")                                                                    \
    XX(226, "IM Used")                                                                             \
    XX(300, "Multiple Choices")                                                                    \
    XX(301, "Moved Permanently")                                                                   \
    XX(302, "Found")                                                                               \
    XX(303, "See Other")                                                                           \
    XX(304, "Not Modified")                                                                        \
    XX(305, "Use Proxy")                                                                           \
    XX(307, "Temporary Redirect")                                                                  \
    XX(308, "Permanent Redirect")                                                                  \
    XX(400, "Bad Request")                                                                         \
    XX(401, "Unauthorized")                                                                        \
    XX(402, "Payment Required")                                                                    \
    XX(403, "Forbidden")                                                                           \
    XX(404, "Not Found")                                                                           \
    XX(405, "Method Not Allowed")                                                                  \
    XX(406, "Not Acceptable")                                                                      \
    XX(407, "Proxy Authentication Required")                                                       \
    XX(408, "Request Timeout")                                                                     \
    XX(409, "Conflict")                                                                            \
    XX(410, "Gone")                                                                                \
    XX(411, "Length Required")                                                                     \
    XX(412, "Precondition Failed")                                                                 \
    XX(413, "Content Too Large")                                                                   \
    XX(414, "URI Too Long")                                                                        \
    XX(415, "Unsupported Media Type")                                                              \
    XX(416, "Range Not Satisfiable")                                                               \
    XX(417, "Expectation Failed")                                                                  \
    XX(421, "Misdirected Request")                                                                 \
    XX(422, "Unprocessable Content")                                                               \
    XX(423, "Locked")                                                                              \
    XX(424, "Failed Dependency")                                                                   \
    XX(425, "Too Early")                                                                           \
    XX(426, "Upgrade Required")                                                                    \
    XX(428, "Precondition Required")                                                               \
    XX(429, "Too Many Requests")                                                                   \
    XX(431, "Request Header Fields Too Large")                                                     \
    XX(451, "Unavailable For Legal Reasons")                                                       \
    XX(500, "Internal Server Error")                                                               \
    XX(501, "Not Implemented")                                                                     \
    XX(502, "Bad Gateway")                                                                         \
    XX(503, "Service Unavailable")                                                                 \
    XX(504, "Gateway Timeout")                                                                     \
    XX(505, "HTTP Version Not Supported")                                                          \
    XX(506, "Variant Also Negotiates")                                                             \
    XX(507, "Insufficient Storage")                                                                \
    XX(508, "Loop Detected")                                                                       \
    XX(510, "Not Extended")                                                                        \
    XX(511, "Network Authentication Required")

#define STATUS_LINE_BYTES 48 /* three 16-byte moves: copying a line needs no call */

struct status {
    char line[STATUS_LINE_BYTES];
    char reason[32];
    uint32_t line_len;
};

enum {
    STATUS_AT_UNKNOWN,
#define XX(code, reason) STATUS_AT_##code,
    STATUSES(XX)
#undef XX
        STATUS_COUNT
};

static const struct status statuses[STATUS_COUNT] = {
    [STATUS_AT_UNKNOWN] = { "HTTP/1.1 000 \r\n", "", sizeof "HTTP/1.1 000 \r\n" - 1 },
#define XX(code, reason)                                                                           \
    [STATUS_AT_##code] = { "HTTP/1.1 " #code " " reason "\r\n", reason,                            \
                           sizeof("HTTP/1.1 " #code " " reason "\r\n") - 1 },
    STATUSES(XX)
#undef XX
};

static const uint8_t status_at[512] = {
#define XX(code, reason) [code] = STATUS_AT_##code,
    STATUSES(XX)
#undef XX
};

_Static_assert(STATUS_COUNT <= UINT8_MAX, "status_at[] holds bytes");

static const struct status *status_of(uint16_t code)
{
    return &statuses[code < sizeof status_at ? status_at[code] : STATUS_AT_UNKNOWN];
}

const char *weir_http1_reason(uint16_t status)
{
    return status_of(status)->reason;
}

const char *weir_http1_strerror(enum weir_http1_error code)
{
    static const char *const texts[] = {
#define XX(name, status, text) [WEIR_HTTP1_E_##name] = text,
        WEIR_HTTP1_ERRORS(XX)
#undef XX
    };
    _Static_assert(sizeof texts / sizeof *texts == WEIR_HTTP1_E_COUNT, "one text per code");
    return (unsigned)code < WEIR_HTTP1_E_COUNT ? texts[code] : "unknown error";
}

uint16_t weir_http1_error_status(enum weir_http1_error code)
{
    static const uint16_t answers[] = {
#define XX(name, status, text) [WEIR_HTTP1_E_##name] = status,
        WEIR_HTTP1_ERRORS(XX)
#undef XX
    };
    _Static_assert(sizeof answers / sizeof *answers == WEIR_HTTP1_E_COUNT, "one status per code");
    return (unsigned)code < WEIR_HTTP1_E_COUNT ? answers[code] : 400;
}

static struct http1_span span_of(struct weir_slice s)
{
    return (struct http1_span){ .begin = s.ptr, .end = s.ptr + s.len };
}

#ifdef __SSE2__
/* Most names have 8 to 15 bytes: their first eight and their last eight, which overlap. @return
 * false: not made of letters, digits and '-' only; the table decides */
static bool is_word_short(struct weir_slice s)
{
    if (s.len < 8 || s.len > 16)
        return false;
    __m128i first = _mm_loadl_epi64((const __m128i *)(const void *)s.ptr);
    __m128i last = _mm_loadl_epi64((const __m128i *)(const void *)(s.ptr + s.len - 8));
    return http1_stops_word(_mm_unpacklo_epi64(first, last)) == 0;
}
#else
static bool is_word_short(struct weir_slice s)
{
    (void)s;
    return false;
}
#endif

bool weir_http1_is_token(struct weir_slice s)
{
    if (is_word_short(s))
        return true;
    return s.len != 0 && http1_skip_token(s.ptr, span_of(s)) == s.ptr + s.len;
}

bool weir_http1_is_field_value(struct weir_slice s)
{
    return s.len == 0 || http1_skip_value(s.ptr, span_of(s)) == s.ptr + s.len;
}

/* ---- Date ---------------------------------------------------------------------------------------
 */

#define DATE_SECONDS_MAX INT64_C(253402300799) /* 9999-12-31 23:59:59: the format has four digits  \
                                                */

static void put_two_digits(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)('0' + value / 10);
    out[1] = (uint8_t)('0' + value % 10);
}

void weir_http1_date(uint8_t out[WEIR_HTTP1_DATE_BYTES], int64_t unix_seconds)
{
    static const char weekdays[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
    static const char months[12][4] = { "Mar", "Apr", "May", "Jun", "Jul", "Aug",
                                        "Sep", "Oct", "Nov", "Dec", "Jan", "Feb" };
    /* The clock may be wrong; the date must still be one. */
    uint64_t seconds = unix_seconds < 0 ? 0 : (uint64_t)unix_seconds;
    seconds = weir_min_u64(seconds, DATE_SECONDS_MAX);
    unsigned days = (unsigned)(seconds / 86400);
    unsigned in_day = (unsigned)(seconds % 86400);

    /* Count from 0000-03-01, so that the leap day ends a year, a century and an era of 400 years.
     */
    unsigned since = days + 719468;
    unsigned era = since / 146097;
    unsigned day_of_era = since % 146097;
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */
    unsigned day = day_of_year - (153 * month + 2) / 5 + 1;
    unsigned year = era * 400 + year_of_era + (month >= 10);

    memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", WEIR_HTTP1_DATE_BYTES);
    memcpy(out, weekdays[days % 7], 3);
    put_two_digits(out + 5, day);
    memcpy(out + 8, months[month], 3);
    put_two_digits(out + 12, year / 100);
    put_two_digits(out + 14, year % 100);
    put_two_digits(out + 17, in_day / 3600);
    put_two_digits(out + 20, in_day / 60 % 60);
    put_two_digits(out + 23, in_day % 60);
}

/* ---- Heads --------------------------------------------------------------------------------------
 */

#define DECIMAL_BYTES_MAX 19 /* of INT64_MAX */

static unsigned decimal_bytes(uint64_t value)
{
    unsigned bytes = 1;
    for (; value >= 10; value /= 10)
        bytes++;
    return bytes;
}

/* Write `value` so that it ends before out + bytes. */
static uint8_t *put_decimal(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0; value /= 10)
        out[i] = (uint8_t)('0' + value % 10);
    return out + bytes;
}

/* Short copies, as most names and values are, by two overlapping moves instead of a call. */
static inline uint8_t *put_slice(uint8_t *out, struct weir_slice s)
{
    uint8_t low[16], high[16];
    if (s.len >= 16 && s.len <= 32) {
        memcpy(low, s.ptr, 16);
        memcpy(high, s.ptr + s.len - 16, 16);
        memcpy(out, low, 16);
        memcpy(out + s.len - 16, high, 16);
    } else if (s.len >= 8 && s.len < 16) {
        memcpy(low, s.ptr, 8);
        memcpy(high, s.ptr + s.len - 8, 8);
        memcpy(out, low, 8);
        memcpy(out + s.len - 8, high, 8);
    } else if (s.len != 0) {
        memcpy(out, s.ptr, s.len);
    }
    return out + s.len;
}

#define PUT_TEXT(out, literal)                                                                     \
    ((uint8_t *)memcpy((out), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

/* Bytes of a literal without its NUL. */
#define TEXT_BYTES(literal) (sizeof(literal) - 1)

static size_t headers_bytes(const struct weir_header *headers, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += headers[i].name.len + headers[i].value.len + TEXT_BYTES(": \r\n");
    return bytes;
}

static uint8_t *put_headers(uint8_t *out, const struct weir_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out = put_slice(out, headers[i].name);
        out = PUT_TEXT(out, ": ");
        out = put_slice(out, headers[i].value);
        out = PUT_TEXT(out, "\r\n");
    }
    return out;
}

static size_t framing_bytes(enum weir_http1_framing framing, uint64_t content_length)
{
    if (framing == WEIR_HTTP1_BODY_LENGTH)
        return TEXT_BYTES("Content-Length: \r\n") + decimal_bytes(content_length);
    if (framing == WEIR_HTTP1_BODY_CHUNKED)
        return TEXT_BYTES("Transfer-Encoding: chunked\r\n");
    return 0;
}

#define FRAMING_BYTES_MAX (TEXT_BYTES("Content-Length: \r\n") + DECIMAL_BYTES_MAX)

_Static_assert(FRAMING_BYTES_MAX >= TEXT_BYTES("Transfer-Encoding: chunked\r\n"), "the longer one");

static uint8_t *put_framing(uint8_t *out, enum weir_http1_framing framing, uint64_t content_length)
{
    if (framing == WEIR_HTTP1_BODY_LENGTH) {
        out = PUT_TEXT(out, "Content-Length: ");
        out = put_decimal(out, content_length, decimal_bytes(content_length));
        return PUT_TEXT(out, "\r\n");
    }
    if (framing == WEIR_HTTP1_BODY_CHUNKED)
        return PUT_TEXT(out, "Transfer-Encoding: chunked\r\n");
    return out;
}

/* Does the writer decide what stands in this field? Two opinions in one head would be an attack. */
static bool is_owned(struct weir_slice name, struct weir_slice fourth)
{
    switch (name.len) {
    case 4: /* Date of responses, Host of requests */
        return http1_is_word(name, fourth);
    case 10:
        return http1_is_word(name, WEIR_TEXT("connection"));
    case 14:
        return http1_is_word(name, WEIR_TEXT("content-length"));
    case 17:
        return http1_is_word(name, WEIR_TEXT("transfer-encoding"));
    default:
        return false;
    }
}

/* Say what cannot be sent; its bytes are not repeated, they may be an attack on whoever reads the
 * text. */
__attribute__((cold)) static bool refuse(const char *what)
{
    (void)weir_fail(-EINVAL, "cannot be sent: %s", what);
    return false;
}

static bool headers_good(const struct weir_header *headers, size_t count, struct weir_slice fourth)
{
    for (size_t i = 0; i < count; i++) {
        if (!weir_http1_is_token(headers[i].name))
            return refuse("a header's name is no token");
        if (!weir_http1_is_field_value(headers[i].value))
            return refuse("a header's value holds a control byte");
        if (is_owned(headers[i].name, fourth))
            return refuse("a header that weir writes itself (Host or Date, Connection, "
                          "Content-Length, Transfer-Encoding)");
    }
    return true;
}

static bool response_good(const struct weir_http1_response_spec *spec)
{
    bool sized =
        spec->framing == WEIR_HTTP1_BODY_LENGTH || spec->framing == WEIR_HTTP1_BODY_CHUNKED;
    /* RFC 9110 section 8.6, RFC 9112 section 6.1. */
    bool never_sized = spec->status < 200 || spec->status == 204;
    if (spec->status < 100 || spec->status > 999)
        return refuse("a status that is not 100 ... 999");
    if ((unsigned)spec->framing > WEIR_HTTP1_BODY_EOF || (sized && never_sized))
        return refuse("a body where the status allows none");
    if (spec->framing == WEIR_HTTP1_BODY_LENGTH && spec->content_length > INT64_MAX)
        return refuse("a Content-Length of more than 2^63 - 1");
    if (spec->date.len != 0 &&
        (spec->date.len != WEIR_HTTP1_DATE_BYTES || !weir_http1_is_field_value(spec->date)))
        return refuse("a Date that is not 29 bytes of text");
    if (!weir_http1_is_field_value(spec->content_type))
        return refuse("a Content-Type that holds a control byte");
    return headers_good(spec->headers, spec->headers_count, WEIR_TEXT("date"));
}

/* All but the status line, the framing and Connection. */
static size_t response_fields_bytes(const struct weir_http1_response_spec *spec)
{
    size_t bytes = headers_bytes(spec->headers, spec->headers_count) + TEXT_BYTES("\r\n");
    if (spec->date.len != 0)
        bytes += TEXT_BYTES("Date: \r\n") + WEIR_HTTP1_DATE_BYTES;
    if (spec->content_type.len != 0)
        bytes += TEXT_BYTES("Content-Type: \r\n") + spec->content_type.len;
    return bytes;
}

static size_t response_connection_bytes(const struct weir_http1_response_spec *spec)
{
    if (spec->close)
        return TEXT_BYTES("Connection: close\r\n");
    return spec->keep_alive ? TEXT_BYTES("Connection: keep-alive\r\n") : 0;
}

size_t weir_http1_response_bytes_max(const struct weir_http1_response_spec *spec)
{
    return STATUS_LINE_BYTES + FRAMING_BYTES_MAX + response_fields_bytes(spec) +
           TEXT_BYTES("Connection: keep-alive\r\n");
}

static uint8_t *put_status_line(uint8_t *out, size_t capacity, uint16_t code)
{
    const struct status *s = status_of(code);
    if (capacity >= STATUS_LINE_BYTES)
        memcpy(out, s->line, STATUS_LINE_BYTES); /* what is too much is written over */
    else
        memcpy(out, s->line, s->line_len);
    if (s == &statuses[STATUS_AT_UNKNOWN])
        put_decimal(out + TEXT_BYTES("HTTP/1.1 "), code, 3);
    return out + s->line_len;
}

int64_t weir_http1_write_response(uint8_t *out, size_t capacity,
                                  const struct weir_http1_response_spec *spec)
{
    if (!response_good(spec))
        return -EINVAL;
    const size_t bytes = status_of(spec->status)->line_len + response_fields_bytes(spec) +
                         framing_bytes(spec->framing, spec->content_length) +
                         response_connection_bytes(spec);
    if (bytes > capacity)
        return -ENOBUFS;

    uint8_t *p = put_status_line(out, capacity, spec->status);
    if (spec->date.len != 0) {
        p = PUT_TEXT(p, "Date: ");
        memcpy(p, spec->date.ptr, WEIR_HTTP1_DATE_BYTES);
        p = PUT_TEXT(p + WEIR_HTTP1_DATE_BYTES, "\r\n");
    }
    if (spec->content_type.len != 0) {
        p = PUT_TEXT(p, "Content-Type: ");
        p = put_slice(p, spec->content_type);
        p = PUT_TEXT(p, "\r\n");
    }
    p = put_framing(p, spec->framing, spec->content_length);
    if (spec->close)
        p = PUT_TEXT(p, "Connection: close\r\n");
    else if (spec->keep_alive)
        p = PUT_TEXT(p, "Connection: keep-alive\r\n");
    p = put_headers(p, spec->headers, spec->headers_count);
    p = PUT_TEXT(p, "\r\n");
    WEIR_ASSERT((size_t)(p - out) == bytes);
    return (int64_t)bytes;
}

static bool request_good(const struct weir_http1_request_spec *spec)
{
    if (!weir_http1_is_token(spec->method))
        return refuse("the method is no token");
    if (spec->target.len == 0 || http1_skip_target(spec->target.ptr, span_of(spec->target)) !=
                                     spec->target.ptr + spec->target.len)
        return refuse("the target is empty or holds a space, '#', a control byte or one >= 0x80");
    if (spec->host.len != 0 &&
        weir_http1_check_authority(spec->host, span_of(spec->host)) == HTTP1_AUTHORITY_BAD)
        return refuse("the host is no host and port");
    if ((unsigned)spec->framing > WEIR_HTTP1_BODY_CHUNKED)
        return refuse("a request whose body ends with the connection");
    if (spec->framing == WEIR_HTTP1_BODY_LENGTH && spec->content_length > INT64_MAX)
        return refuse("a Content-Length of more than 2^63 - 1");
    if (!weir_http1_is_field_value(spec->accept_encoding))
        return refuse("a control byte in the value of Accept-Encoding");
    return headers_good(spec->headers, spec->headers_count, WEIR_TEXT("host"));
}

static size_t accept_bytes(const struct weir_http1_request_spec *spec)
{
    size_t len = spec->accept_encoding.len;
    return len == 0 ? 0 : TEXT_BYTES("Accept-Encoding: \r\n") + len;
}

/* All but the framing and Connection. */
static size_t request_fields_bytes(const struct weir_http1_request_spec *spec)
{
    return spec->method.len + spec->target.len + TEXT_BYTES("  HTTP/1.1\r\n") +
           TEXT_BYTES("Host: \r\n") + spec->host.len + accept_bytes(spec) +
           headers_bytes(spec->headers, spec->headers_count) + TEXT_BYTES("\r\n");
}

size_t weir_http1_request_bytes_max(const struct weir_http1_request_spec *spec)
{
    return request_fields_bytes(spec) + FRAMING_BYTES_MAX + TEXT_BYTES("Connection: close\r\n");
}

int64_t weir_http1_write_request(uint8_t *out, size_t capacity,
                                 const struct weir_http1_request_spec *spec)
{
    if (!request_good(spec))
        return -EINVAL;
    size_t bytes = request_fields_bytes(spec) + framing_bytes(spec->framing, spec->content_length);
    if (spec->close)
        bytes += TEXT_BYTES("Connection: close\r\n");
    if (spec->host.len == 0)
        bytes -= TEXT_BYTES(" ");
    if (bytes > capacity)
        return -ENOBUFS;

    uint8_t *p = put_slice(out, spec->method);
    *p++ = ' ';
    p = put_slice(p, spec->target);
    p = PUT_TEXT(p, " HTTP/1.1\r\nHost:");
    if (spec->host.len != 0)
        *p++ = ' ';
    p = put_slice(p, spec->host);
    p = PUT_TEXT(p, "\r\n");
    p = put_framing(p, spec->framing, spec->content_length);
    if (spec->close)
        p = PUT_TEXT(p, "Connection: close\r\n");
    if (spec->accept_encoding.len > 0) {
        p = PUT_TEXT(p, "Accept-Encoding: ");
        p = put_slice(p, spec->accept_encoding);
        p = PUT_TEXT(p, "\r\n");
    }
    p = put_headers(p, spec->headers, spec->headers_count);
    p = PUT_TEXT(p, "\r\n");
    WEIR_ASSERT((size_t)(p - out) == bytes);
    return (int64_t)bytes;
}

size_t weir_http1_write_chunk_head(uint8_t out[WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX], uint64_t len)
{
    WEIR_ASSERT(len != 0); /* that would be the end of the body */
    unsigned digits = (unsigned)(67 - __builtin_clzll(len)) / 4;
    for (unsigned i = digits; i-- > 0; len >>= 4)
        out[i] = (uint8_t) "0123456789abcdef"[len & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
