/* SPDX-License-Identifier: MIT */
/*
 * What the fields of a head mean for its body and its connection.
 *
 * Where RFC 9112 leaves a choice the stricter side is taken, because every leniency is a chance for
 * two parsers on one path to disagree about where a message ends. enum weir_http1_lenient names
 * the exceptions.
 */
#include "proto/codec/http1_read.h"

bool weir_http1_refuse(struct http1_reader *r, enum weir_http1_error code, const uint8_t *at)
{
    r->refusal = (struct weir_parse_err){ .code = code, .offset = (uint32_t)(at - r->head->base) };
    return false;
}

/* "[" 2*( HEXDIG / ":" / "." ) "]"; the byte after it, or NULL. IPvFuture and zones have no use
 * here. */
static const uint8_t *authority_skip_ipv6(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *first = ++p;
    while (p < end && (http1_hex(*p) >= 0 || *p == ':' || *p == '.'))
        p++;
    return p < end && *p == ']' && p - first >= 2 ? p + 1 : NULL;
}

/* Registered name or IPv4 address; the byte after it, or NULL when it is empty or badly escaped. */
static const uint8_t *authority_skip_name(const uint8_t *p, const uint8_t *end,
                                          struct http1_span in)
{
    const uint8_t *first = p;
    for (;;) {
        p = http1_skip_host(p, in);
        if (p >= end || *p != '%')
            break;
        if (end - p < 3 || http1_hex(p[1]) < 0 || http1_hex(p[2]) < 0)
            return NULL;
        p += 3;
    }
    if (p > end)
        p = end; /* the run went on behind the authority */
    return p > first ? p : NULL;
}

/*
 * uri-host [ ":" port ]. The comma is a sub-delim of RFC 3986, but in a Host field it is what joins
 * two of them, so it is refused.
 */
enum http1_authority weir_http1_check_authority(struct weir_slice s, struct http1_span in)
{
    if (s.len == 0)
        return HTTP1_AUTHORITY_BAD;
    const uint8_t *end = s.ptr + s.len;
    const uint8_t *p =
        s.ptr[0] == '[' ? authority_skip_ipv6(s.ptr, end) : authority_skip_name(s.ptr, end, in);
    if (p == NULL)
        return HTTP1_AUTHORITY_BAD;
    if (p == end)
        return HTTP1_AUTHORITY_HOST;
    if (*p++ != ':' || end - p > 5)
        return HTTP1_AUTHORITY_BAD;
    if (p == end)
        return HTTP1_AUTHORITY_HOST;
    uint32_t port = 0;
    for (; p < end; p++) {
        if (!http1_is_digit(*p))
            return HTTP1_AUTHORITY_BAD;
        port = port * 10 + (uint32_t)(*p - '0');
    }
    return port <= 65535 ? HTTP1_AUTHORITY_HOST_PORT : HTTP1_AUTHORITY_BAD;
}

/* scheme "://" authority [ path ] [ "?" query ]: its authority becomes the host. */
static bool absolute_target(struct http1_reader *r, struct weir_slice target)
{
    const uint8_t *end = target.ptr + target.len;
    const uint8_t *p = target.ptr;
    while (p < end && (http1_is_digit(*p) || (uint8_t)((*p | 0x20) - 'a') < 26 || *p == '+' ||
                       *p == '-' || *p == '.'))
        p++;
    bool letter_first = (uint8_t)((target.ptr[0] | 0x20) - 'a') < 26;
    if (!letter_first || end - p < 3 || memcmp(p, "://", 3) != 0)
        return weir_http1_refuse(r, WEIR_HTTP1_E_TARGET, target.ptr);
    p += 3;
    struct weir_slice host = { .ptr = p };
    while (p < end && *p != '/' && *p != '?')
        p++;
    host.len = (size_t)(p - host.ptr);
    if (weir_http1_check_authority(host, r->in) == HTTP1_AUTHORITY_BAD)
        return weir_http1_refuse(r, WEIR_HTTP1_E_TARGET, target.ptr);
    r->head->host = host;
    return true;
}

/* Which form of target goes with which method: RFC 9112 section 3.2. */
bool weir_http1_check_target(struct http1_reader *r)
{
    const struct weir_http1_head *head = r->head;
    struct weir_slice target = head->target;
    if (weir_slice_eq(head->method, WEIR_TEXT("CONNECT"))) {
        if (weir_http1_check_authority(target, r->in) != HTTP1_AUTHORITY_HOST_PORT)
            return weir_http1_refuse(r, WEIR_HTTP1_E_TARGET, target.ptr);
        return true;
    }
    if (target.ptr[0] == '/')
        return true;
    if (target.ptr[0] == '*') {
        if (target.len != 1 || !weir_slice_eq(head->method, WEIR_TEXT("OPTIONS")))
            return weir_http1_refuse(r, WEIR_HTTP1_E_TARGET, target.ptr);
        return true;
    }
    return absolute_target(r, target);
}

static bool lenient(const struct http1_reader *r, enum weir_http1_lenient what)
{
    return (r->limits->lenient & what) != 0;
}

bool weir_http1_on_host(struct http1_reader *r, struct weir_slice value)
{
    bool empty = value.len == 0 && lenient(r, WEIR_HTTP1_LENIENT_EMPTY_HOST);
    if ((r->seen & HTTP1_SEEN_HOST) != 0 ||
        (!empty && weir_http1_check_authority(value, r->in) == HTTP1_AUTHORITY_BAD))
        return weir_http1_refuse(r, WEIR_HTTP1_E_HOST, value.ptr);
    r->seen |= HTTP1_SEEN_HOST;
    if (r->head->host.ptr == NULL) /* an absolute target has precedence (RFC 9112 section 3.2.2) */
        r->head->host = value;
    return true;
}

/*
 * 1*DIGIT, decimal whatever its zeros, at most INT64_MAX. Repeating the same value is refused in
 * requests and collapsed in responses, where old servers do it and RFC 9110 section 8.6 allows it.
 */
static bool on_content_length(struct http1_reader *r, struct weir_slice value)
{
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint64_t digit = (uint64_t)value.ptr[i] - '0';
        if (digit > 9 || length > ((uint64_t)INT64_MAX - digit) / 10)
            return weir_http1_refuse(r, WEIR_HTTP1_E_CONTENT_LENGTH, value.ptr);
        length = length * 10 + digit;
    }
    bool repeated = (r->seen & HTTP1_SEEN_LENGTH) != 0;
    bool once = r->is_request && !lenient(r, WEIR_HTTP1_LENIENT_REPEATED_LENGTH);
    if (value.len == 0 || (repeated && (once || length != r->head->content_length)))
        return weir_http1_refuse(r, WEIR_HTTP1_E_CONTENT_LENGTH, value.ptr);
    r->seen |= HTTP1_SEEN_LENGTH;
    r->head->content_length = length;
    r->head->has_content_length = true;
    return true;
}

/* Cut the next element off a comma separated list, blanks trimmed; false at its end. */
static bool list_next(struct weir_slice *list, struct weir_slice *element)
{
    if (list->ptr == NULL)
        return false;
    const uint8_t *p = list->ptr;
    const uint8_t *end = list->ptr + list->len;
    const uint8_t *comma = list->len != 0 ? memchr(p, ',', list->len) : NULL;
    const uint8_t *stop = comma != NULL ? comma : end;
    *list = comma != NULL
                ? (struct weir_slice){ .ptr = comma + 1, .len = (size_t)(end - comma) - 1 }
                : (struct weir_slice){ .ptr = NULL };
    while (p < stop && http1_is_blank(*p))
        p++;
    while (stop > p && http1_is_blank(stop[-1]))
        stop--;
    *element = (struct weir_slice){ .ptr = p, .len = (size_t)(stop - p) };
    return true;
}

/*
 * Several fields are one list. Only `chunked`, last and once, delimits a body; empty elements,
 * parameters and anything that is no token are how the known attacks look, so they are refused.
 */
static bool on_transfer_encoding(struct http1_reader *r, struct weir_slice value)
{
    struct weir_slice rest = value, coding;
    if ((r->seen & HTTP1_SEEN_TE) == 0)
        r->te_at = (uint32_t)(value.ptr - r->head->base);
    r->seen |= HTTP1_SEEN_TE;
    while (list_next(&rest, &coding)) {
        if (coding.len == 0 && lenient(r, WEIR_HTTP1_LENIENT_TE_EMPTY_ELEMENT))
            continue;
        if ((r->seen & HTTP1_SEEN_TE_CHUNKED) != 0 || !weir_http1_is_token(coding))
            return weir_http1_refuse(r, WEIR_HTTP1_E_TRANSFER_ENCODING, value.ptr);
        r->seen |= http1_is_word(coding, WEIR_TEXT("chunked")) ? HTTP1_SEEN_TE_CHUNKED
                                                               : HTTP1_SEEN_TE_UNKNOWN;
    }
    return true;
}

static bool on_connection(struct http1_reader *r, struct weir_slice value)
{
    /* What nearly all send. */
    if (value.len == 10 && http1_lower64(value.ptr) == http1_load64("keep-ali") &&
        http1_lower64(value.ptr + 2) == http1_load64("ep-alive")) {
        r->seen |= HTTP1_SEEN_CONN_KEEP_ALIVE;
        return true;
    }
    struct weir_slice rest = value, option;
    while (list_next(&rest, &option)) {
        if (http1_is_word(option, WEIR_TEXT("close")))
            r->seen |= HTTP1_SEEN_CONN_CLOSE;
        else if (http1_is_word(option, WEIR_TEXT("keep-alive")))
            r->seen |= HTTP1_SEEN_CONN_KEEP_ALIVE;
        else if (http1_is_word(option, WEIR_TEXT("upgrade")))
            r->seen |= HTTP1_SEEN_CONN_UPGRADE;
    }
    return true;
}

static bool on_expect(struct http1_reader *r, struct weir_slice value)
{
    if (!http1_is_word(value, WEIR_TEXT("100-continue")))
        return weir_http1_refuse(r, WEIR_HTTP1_E_EXPECT, value.ptr);
    /* From HTTP/1.0 it must be ignored (RFC 9110 section 10.1.1). */
    r->head->expect_continue = r->head->version_minor != 0;
    return true;
}

bool weir_http1_on_field(struct http1_reader *r, struct weir_slice name, struct weir_slice value)
{
    const uint8_t *n = name.ptr;
    switch (name.len) {
    case 6:
        if (http1_lower32(n) == http1_load32("expe") &&
            http1_lower32(n + 2) == http1_load32("pect") && r->is_request)
            return on_expect(r, value);
        return true;
    case 7:
        if (http1_lower32(n) == http1_load32("upgr") &&
            http1_lower32(n + 3) == http1_load32("rade"))
            r->seen |= HTTP1_SEEN_UPGRADE;
        return true;
    case 10:
        if (http1_lower64(n) == http1_load64("connecti") &&
            http1_lower32(n + 6) == http1_load32("tion"))
            return on_connection(r, value);
        return true;
    case 14:
        if (http1_lower64(n) == http1_load64("content-") &&
            http1_lower64(n + 6) == http1_load64("t-length"))
            return on_content_length(r, value);
        return true;
    case 17:
        if (http1_lower64(n) == http1_load64("transfer") &&
            http1_lower64(n + 8) == http1_load64("-encodin") && (n[16] | 0x20) == 'g')
            return on_transfer_encoding(r, value);
        return true;
    default:
        return true;
    }
}

struct http1_range weir_http1_trim(const uint8_t *base, struct http1_range value)
{
    while (value.from < value.to && http1_is_blank(base[value.from]))
        value.from++;
    while (value.to > value.from && http1_is_blank(base[value.to - 1]))
        value.to--;
    return value;
}

/* What the Connection and Upgrade fields came to. */
static void finish_connection(struct http1_reader *r)
{
    struct weir_http1_head *head = r->head;
    bool close = (r->seen & HTTP1_SEEN_CONN_CLOSE) != 0;
    bool keep = head->version_minor != 0 || (r->seen & HTTP1_SEEN_CONN_KEEP_ALIVE) != 0;
    head->keep_alive = keep && !close;
    /* HTTP/1.0 cannot upgrade (RFC 9110 section 7.8). */
    head->upgrade = head->version_minor != 0 && (r->seen & HTTP1_SEEN_UPGRADE) != 0 &&
                    (r->seen & HTTP1_SEEN_CONN_UPGRADE) != 0;
}

/* RFC 9112 section 6.1: what of Transfer-Encoding can be trusted to delimit a body. */
static bool finish_te(struct http1_reader *r)
{
    const uint8_t *at = r->head->base + r->te_at;
    struct weir_http1_head *head = r->head;
    bool old = head->version_minor == 0, both = (r->seen & HTTP1_SEEN_LENGTH) != 0;
    if (old && !lenient(r, WEIR_HTTP1_LENIENT_TE_IN_1_0))
        return weir_http1_refuse(r, WEIR_HTTP1_E_TRANSFER_ENCODING, at);
    if (both && !lenient(r, WEIR_HTTP1_LENIENT_LENGTH_AND_TE))
        return weir_http1_refuse(r, WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE, at);
    if ((r->seen & HTTP1_SEEN_TE_UNKNOWN) != 0)
        return weir_http1_refuse(r, WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN, at);
    if ((r->seen & HTTP1_SEEN_TE_CHUNKED) == 0) /* nothing but empty elements */
        return weir_http1_refuse(r, WEIR_HTTP1_E_TRANSFER_ENCODING, at);
    /* Somebody on the way may have seen another end than we will: nothing behind it is trusted. */
    if (old || both)
        head->keep_alive = false;
    head->framing = WEIR_HTTP1_BODY_CHUNKED;
    head->has_content_length = false;
    head->content_length = 0;
    return true;
}

bool weir_http1_finish_request(struct http1_reader *r, const uint8_t *end)
{
    finish_connection(r);
    if ((r->seen & HTTP1_SEEN_HOST) == 0 && r->head->version_minor != 0)
        return weir_http1_refuse(r, WEIR_HTTP1_E_HOST, end - 2);
    if ((r->seen & HTTP1_SEEN_TE) != 0)
        return finish_te(r);
    if ((r->seen & HTTP1_SEEN_LENGTH) != 0)
        r->head->framing = WEIR_HTTP1_BODY_LENGTH;
    return true;
}

bool weir_http1_finish_response(struct http1_reader *r)
{
    struct weir_http1_head *head = r->head;
    const struct weir_slice method = r->request_method;
    unsigned status = head->status;
    bool tunnel =
        status == 101 || (status / 100 == 2 && weir_slice_eq(method, WEIR_TEXT("CONNECT")));
    bool bodyless = tunnel || status / 100 == 1 || status == 204 || status == 304 ||
                    weir_slice_eq(method, WEIR_TEXT("HEAD"));

    finish_connection(r);
    if (tunnel)
        head->keep_alive = false; /* what follows is no longer ours */
    if (bodyless)
        return true; /* the fields describe what another answer would carry */
    if ((r->seen & HTTP1_SEEN_TE) != 0)
        return finish_te(r);
    if ((r->seen & HTTP1_SEEN_LENGTH) != 0) {
        head->framing = WEIR_HTTP1_BODY_LENGTH;
        return true;
    }
    head->framing = WEIR_HTTP1_BODY_EOF;
    head->keep_alive = false;
    return true;
}
