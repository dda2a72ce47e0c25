/* SPDX-License-Identifier: MIT */
/*
 * Parser of request and response heads.
 *
 * Two readers of one grammar share the work:
 *
 *   the reader   takes a complete head in one pass over its bytes, fills struct weir_http1_head and
 *                draws the conclusions (framing, Host, keep-alive). It knows "good" from "not good"
 *                and nothing else: when the bytes end early or are malformed it just stops.
 *   the checker  (http1_check.c) is an automaton over single bytes. It says how a head is broken
 * and where, or that it is good so far, and its state fits the 32 bits of *resume.
 *
 * A head that lies in the buffer as a whole is read once. One that arrives in pieces is tried by
 * the reader at its first piece, passes the checker piece by piece (so rubbish is refused at its
 * first wrong byte), and is read once more when the checker has seen its end: at most three passes
 * over any byte.
 *
 * The answer never depends on how the bytes were cut, because each error has one place:
 *   - an error of syntax is the checker's, reported at the first byte that no good head could have
 * here;
 *   - an error of meaning (Host, Content-Length, ...) is the reader's, reported only when the head
 * is complete and its syntax is good; the first one in the order of the fields wins.
 *
 * Where RFC 9112 leaves a choice the stricter side is taken, because every leniency is a chance for
 * two parsers on one path to disagree about where a message ends.
 */
#include <weir/http1.h>

#include "core/assert.h"
#include "proto/codec/http1_char.h"
#include "proto/codec/http1_check.h"

/* ---- Reader -------------------------------------------------------------------------------------
 */

enum seen {
    SEEN_HOST = 1,
    SEEN_LENGTH = 2,
    SEEN_TE = 4,
    SEEN_TE_CHUNKED = 8,  /* the last coding listed so far is `chunked` */
    SEEN_TE_UNKNOWN = 16, /* some coding is not */
    SEEN_UPGRADE = 32,
    SEEN_CONN_CLOSE = 64,
    SEEN_CONN_KEEP_ALIVE = 128,
    SEEN_CONN_UPGRADE = 256,
};

struct reader {
    struct weir_http1_head *head;
    const struct weir_http1_limits *limits;
    struct http1_span in;
    const uint8_t *base;
    struct weir_parse_err refusal; /* of a meaning; code NONE when the syntax stopped the reader */
    uint32_t te_at;
    unsigned seen;
    bool is_request;
};

/* Refuse a meaning at `at`; false, so that callers can return it. */
static bool reader_refuse(struct reader *r, enum weir_http1_error code, const uint8_t *at)
{
    r->refusal = (struct weir_parse_err){ .code = code, .offset = (uint32_t)(at - r->base) };
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
static bool reader_absolute_target(struct reader *r, struct weir_slice target)
{
    const uint8_t *end = target.ptr + target.len;
    const uint8_t *p = target.ptr;
    while (p < end && (http1_is_digit(*p) || (uint8_t)((*p | 0x20) - 'a') < 26 || *p == '+' ||
                       *p == '-' || *p == '.'))
        p++;
    bool letter_first = (uint8_t)((target.ptr[0] | 0x20) - 'a') < 26;
    if (!letter_first || end - p < 3 || memcmp(p, "://", 3) != 0)
        return reader_refuse(r, WEIR_HTTP1_E_TARGET, target.ptr);
    p += 3;
    struct weir_slice host = { .ptr = p };
    while (p < end && *p != '/' && *p != '?')
        p++;
    host.len = (size_t)(p - host.ptr);
    if (weir_http1_check_authority(host, r->in) == HTTP1_AUTHORITY_BAD)
        return reader_refuse(r, WEIR_HTTP1_E_TARGET, target.ptr);
    r->head->host = host;
    return true;
}

/* Which form of target goes with which method: RFC 9112 section 3.2. */
static bool reader_check_target(struct reader *r)
{
    const struct weir_http1_head *head = r->head;
    struct weir_slice target = head->target;
    if (weir_slice_eq(head->method, WEIR_TEXT("CONNECT"))) {
        if (weir_http1_check_authority(target, r->in) != HTTP1_AUTHORITY_HOST_PORT)
            return reader_refuse(r, WEIR_HTTP1_E_TARGET, target.ptr);
        return true;
    }
    if (target.ptr[0] == '/')
        return true;
    if (target.ptr[0] == '*') {
        if (target.len != 1 || !weir_slice_eq(head->method, WEIR_TEXT("OPTIONS")))
            return reader_refuse(r, WEIR_HTTP1_E_TARGET, target.ptr);
        return true;
    }
    return reader_absolute_target(r, target);
}

/* "HTTP/1." DIGIT; the byte after it, or NULL. The caller guarantees 8 bytes. */
static inline const uint8_t *reader_version(struct reader *r, const uint8_t *p)
{
    if (http1_load64(p) == http1_load64("HTTP/1.1")) {
        r->head->version_minor = 1;
        return p + 8;
    }
    if (memcmp(p, "HTTP/1.", 7) != 0 || !http1_is_digit(p[7]))
        return NULL;
    /* A later minor version speaks 1.1 with us (RFC 9110 section 2.5). */
    r->head->version_minor = p[7] != '0';
    return p + 8;
}

/* Read the request line; the byte after it, or NULL. */
static const uint8_t *reader_request_line(struct reader *r, const uint8_t *p)
{
    const uint8_t *end = r->in.end;
    const uint8_t *method = p;
    p = http1_skip_token(p, r->in);
    size_t method_len = (size_t)(p - method);
    if (p == end || *p != ' ' || method_len == 0 || method_len > HTTP1_METHOD_BYTES_MAX)
        return NULL;
    const uint8_t *target = ++p;
    p = http1_skip_target(p, r->in);
    size_t target_len = (size_t)(p - target);
    if (end - p < 11 || *p != ' ' || target_len == 0 || target_len > r->limits->target_bytes_max)
        return NULL;
    p = reader_version(r, p + 1);
    if (p == NULL || p[0] != '\r' || p[1] != '\n')
        return NULL;
    r->head->method = (struct weir_slice){ .ptr = method, .len = method_len };
    r->head->target = (struct weir_slice){ .ptr = target, .len = target_len };
    if (target[0] != '/' || method_len == 7) {
        if (!reader_check_target(r))
            return NULL;
    }
    return p + 2;
}

/*
 * Read the status line; the byte after it, or NULL. The SP before an empty reason is required by
 * RFC 9112 section 4, but many servers leave it out and nothing can be smuggled by that: tolerated.
 */
static const uint8_t *reader_status_line(struct reader *r, const uint8_t *p)
{
    const uint8_t *end = r->in.end;
    if (end - p < 14)
        return NULL;
    p = reader_version(r, p);
    if (p == NULL || p[0] != ' ' || p[1] < '1' || p[1] > '9' || !http1_is_digit(p[2]) ||
        !http1_is_digit(p[3]))
        return NULL;
    r->head->status = (uint16_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
    p += 4;
    const uint8_t *reason = p;
    if (*p == ' ') {
        reason = ++p;
        p = http1_skip_value(p, r->in);
    }
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return NULL;
    r->head->reason = (struct weir_slice){ .ptr = reason, .len = (size_t)(p - reason) };
    return p + 2;
}

static bool reader_host(struct reader *r, struct weir_slice value)
{
    if ((r->seen & SEEN_HOST) != 0 ||
        weir_http1_check_authority(value, r->in) == HTTP1_AUTHORITY_BAD)
        return reader_refuse(r, WEIR_HTTP1_E_HOST, value.ptr);
    r->seen |= SEEN_HOST;
    if (r->head->host.ptr == NULL) /* an absolute target has precedence (RFC 9112 section 3.2.2) */
        r->head->host = value;
    return true;
}

/*
 * 1*DIGIT, decimal whatever its zeros, at most INT64_MAX. Repeating the same value is refused in
 * requests and collapsed in responses, where old servers do it and RFC 9110 section 8.6 allows it.
 */
static bool reader_content_length(struct reader *r, struct weir_slice value)
{
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint64_t digit = (uint64_t)value.ptr[i] - '0';
        if (digit > 9 || length > ((uint64_t)INT64_MAX - digit) / 10)
            return reader_refuse(r, WEIR_HTTP1_E_CONTENT_LENGTH, value.ptr);
        length = length * 10 + digit;
    }
    bool repeated = (r->seen & SEEN_LENGTH) != 0;
    if (value.len == 0 || (repeated && (r->is_request || length != r->head->content_length)))
        return reader_refuse(r, WEIR_HTTP1_E_CONTENT_LENGTH, value.ptr);
    r->seen |= SEEN_LENGTH;
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
static bool reader_transfer_encoding(struct reader *r, struct weir_slice value)
{
    struct weir_slice rest = value, coding;
    if ((r->seen & SEEN_TE) == 0)
        r->te_at = (uint32_t)(value.ptr - r->base);
    r->seen |= SEEN_TE;
    while (list_next(&rest, &coding)) {
        if ((r->seen & SEEN_TE_CHUNKED) != 0 || !weir_http1_is_token(coding))
            return reader_refuse(r, WEIR_HTTP1_E_TRANSFER_ENCODING, value.ptr);
        r->seen |= http1_is_word(coding, WEIR_TEXT("chunked")) ? SEEN_TE_CHUNKED : SEEN_TE_UNKNOWN;
    }
    return true;
}

static bool reader_connection(struct reader *r, struct weir_slice value)
{
    struct weir_slice rest = value, option;
    while (list_next(&rest, &option)) {
        if (http1_is_word(option, WEIR_TEXT("close")))
            r->seen |= SEEN_CONN_CLOSE;
        else if (http1_is_word(option, WEIR_TEXT("keep-alive")))
            r->seen |= SEEN_CONN_KEEP_ALIVE;
        else if (http1_is_word(option, WEIR_TEXT("upgrade")))
            r->seen |= SEEN_CONN_UPGRADE;
    }
    return true;
}

static bool reader_expect(struct reader *r, struct weir_slice value)
{
    if (!http1_is_word(value, WEIR_TEXT("100-continue")))
        return reader_refuse(r, WEIR_HTTP1_E_EXPECT, value.ptr);
    /* From HTTP/1.0 it must be ignored (RFC 9110 section 10.1.1). */
    r->head->expect_continue = r->head->version_minor != 0;
    return true;
}

/* Act on the few fields that decide how the connection goes on. */
static inline bool reader_apply(struct reader *r, struct weir_slice name, struct weir_slice value)
{
    const uint8_t *n = name.ptr;
    switch (name.len) {
    case 4:
        if (http1_lower32(n) == http1_load32("host") && r->is_request)
            return reader_host(r, value);
        return true;
    case 6:
        if (http1_lower32(n) == http1_load32("expe") &&
            http1_lower32(n + 2) == http1_load32("pect") && r->is_request)
            return reader_expect(r, value);
        return true;
    case 7:
        if (http1_lower32(n) == http1_load32("upgr") &&
            http1_lower32(n + 3) == http1_load32("rade"))
            r->seen |= SEEN_UPGRADE;
        return true;
    case 10:
        if (http1_lower64(n) == http1_load64("connecti") &&
            http1_lower32(n + 6) == http1_load32("tion"))
            return reader_connection(r, value);
        return true;
    case 14:
        if (http1_lower64(n) == http1_load64("content-") &&
            http1_lower64(n + 6) == http1_load64("t-length"))
            return reader_content_length(r, value);
        return true;
    case 17:
        if (http1_lower64(n) == http1_load64("transfer") &&
            http1_lower64(n + 8) == http1_load64("-encodin") && (n[16] | 0x20) == 'g')
            return reader_transfer_encoding(r, value);
        return true;
    default:
        return true;
    }
}

/* Read field lines and the empty line; the byte after them, or NULL. */
static const uint8_t *reader_fields(struct reader *r, const uint8_t *p)
{
    const struct http1_span in = r->in;
    struct weir_http1_field *fields = r->head->fields;
    unsigned count = 0;

    while (in.end - p >= 2) {
        const uint8_t *name = p;
        if (*p == '\r') {
            r->head->fields_count = (uint16_t)count;
            return p[1] == '\n' ? p + 2 : NULL;
        }
        p = http1_skip_token(p, in);
        if (p == in.end || *p != ':' || p == name)
            return NULL;
        if (count == r->limits->fields_max) {
            reader_refuse(r, WEIR_HTTP1_E_FIELDS_TOO_MANY, name);
            return NULL;
        }
        struct weir_slice name_slice = { .ptr = name, .len = (size_t)(p - name) };
        if (++p < in.end && *p == ' ')
            p++; /* nearly always, and then no more blanks follow */
        while (p < in.end && *p <= ' ' && http1_is_blank(*p))
            p++;
        const uint8_t *value = p;
        p = http1_skip_value(p, in);
        if (in.end - p < 2 || p[0] != '\r' || p[1] != '\n')
            return NULL;
        const uint8_t *stop = p;
        while (stop > value && stop[-1] <= ' ' && http1_is_blank(stop[-1]))
            stop--;
        struct weir_slice value_slice = { .ptr = value, .len = (size_t)(stop - value) };
        struct weir_http1_field *field = &fields[count++];
        field->name_at = (uint16_t)(name - r->base);
        field->name_len = (uint16_t)name_slice.len;
        field->value_at = (uint16_t)(value - r->base);
        field->value_len = (uint16_t)value_slice.len;
        if (!reader_apply(r, name_slice, value_slice))
            return NULL;
        p += 2;
    }
    return NULL;
}

/* What the Connection and Upgrade fields came to. */
static void reader_finish_connection(struct reader *r)
{
    struct weir_http1_head *head = r->head;
    bool close = (r->seen & SEEN_CONN_CLOSE) != 0;
    bool keep = head->version_minor != 0 || (r->seen & SEEN_CONN_KEEP_ALIVE) != 0;
    head->keep_alive = keep && !close;
    /* HTTP/1.0 cannot upgrade (RFC 9110 section 7.8). */
    head->upgrade = head->version_minor != 0 && (r->seen & SEEN_UPGRADE) != 0 &&
                    (r->seen & SEEN_CONN_UPGRADE) != 0;
}

/* RFC 9112 section 6.1: what of Transfer-Encoding can be trusted to delimit a body. */
static bool reader_finish_te(struct reader *r)
{
    const uint8_t *at = r->base + r->te_at;
    if (r->head->version_minor == 0)
        return reader_refuse(r, WEIR_HTTP1_E_TRANSFER_ENCODING, at);
    if ((r->seen & SEEN_LENGTH) != 0)
        return reader_refuse(r, WEIR_HTTP1_E_CONTENT_LENGTH_AND_TE, at);
    if ((r->seen & SEEN_TE_UNKNOWN) != 0)
        return reader_refuse(r, WEIR_HTTP1_E_TRANSFER_CODING_UNKNOWN, at);
    r->head->framing = WEIR_HTTP1_BODY_CHUNKED;
    return true;
}

static bool reader_finish_request(struct reader *r, const uint8_t *end)
{
    reader_finish_connection(r);
    if ((r->seen & SEEN_HOST) == 0 && r->head->version_minor != 0)
        return reader_refuse(r, WEIR_HTTP1_E_HOST, end - 2);
    if ((r->seen & SEEN_TE) != 0)
        return reader_finish_te(r);
    if ((r->seen & SEEN_LENGTH) != 0)
        r->head->framing = WEIR_HTTP1_BODY_LENGTH;
    return true;
}

static bool reader_finish_response(struct reader *r, struct weir_slice method)
{
    struct weir_http1_head *head = r->head;
    unsigned status = head->status;
    bool tunnel =
        status == 101 || (status / 100 == 2 && weir_slice_eq(method, WEIR_TEXT("CONNECT")));
    bool bodyless = tunnel || status / 100 == 1 || status == 204 || status == 304 ||
                    weir_slice_eq(method, WEIR_TEXT("HEAD"));

    reader_finish_connection(r);
    if (tunnel)
        head->keep_alive = false; /* what follows is no longer ours */
    if (bodyless)
        return true; /* the fields describe what another answer would carry */
    if ((r->seen & SEEN_TE) != 0)
        return reader_finish_te(r);
    if ((r->seen & SEEN_LENGTH) != 0) {
        head->framing = WEIR_HTTP1_BODY_LENGTH;
        return true;
    }
    head->framing = WEIR_HTTP1_BODY_EOF;
    head->keep_alive = false;
    return true;
}

/* ---- Both together ------------------------------------------------------------------------------
 */

struct parse_args {
    struct weir_http1_head *head;
    const struct weir_http1_limits *limits;
    struct weir_slice bytes;
    struct weir_slice request_method; /* responses */
    bool is_request;
};

/*
 * Everything but `fields`. Not by assigning a whole object: gcc does that by "rep stos", whose
 * start-up costs as much as reading two fields.
 */
static inline void head_clear(struct weir_http1_head *head, const uint8_t *base)
{
    const struct weir_slice none = { .ptr = NULL, .len = 0 };
    head->base = base;
    head->bytes = 0;
    head->fields_count = 0;
    head->status = 0;
    head->version_minor = 0;
    head->keep_alive = false;
    head->expect_continue = false;
    head->upgrade = false;
    head->framing = WEIR_HTTP1_BODY_NONE;
    head->content_length = 0;
    head->has_content_length = false;
    head->method = none;
    head->target = none;
    head->host = none;
    head->reason = none;
}

/* Read a whole head; false when it is not all there or not good, *refusal says whether for its
 * meaning. */
static bool head_read(const struct parse_args *args, struct weir_parse_err *refusal)
{
    const uint8_t *p = args->bytes.ptr;
    const size_t bytes_max = args->limits->head_bytes_max;
    const size_t len = args->bytes.len < bytes_max ? args->bytes.len : bytes_max;
    if (args->is_request && *p == '\r')
        p += weir_http1_leading_bytes((struct weir_slice){ .ptr = p, .len = len });

    struct reader r = {
        .head = args->head,
        .limits = args->limits,
        .in = { .begin = args->bytes.ptr, .end = args->bytes.ptr + len },
        .base = p,
        .is_request = args->is_request,
    };
    head_clear(args->head, p);

    p = r.is_request ? reader_request_line(&r, p) : reader_status_line(&r, p);
    if (p != NULL)
        p = reader_fields(&r, p);
    bool good = p != NULL && (r.is_request ? reader_finish_request(&r, p)
                                           : reader_finish_response(&r, args->request_method));
    if (good)
        args->head->bytes = (uint32_t)(p - args->bytes.ptr);
    else
        *refusal = r.refusal;
    return good;
}

static enum weir_parse head_parse(const struct parse_args *args, uint32_t *resume,
                                  struct weir_parse_err *err)
{
    const struct weir_http1_limits *limits = args->limits;
    WEIR_ASSERT(limits->head_bytes_max >= 64);
    WEIR_ASSERT(limits->head_bytes_max <= WEIR_HTTP1_HEAD_BYTES_MAX);
    WEIR_ASSERT(args->head->fields != NULL || limits->fields_max == 0);

    if (args->bytes.len == 0)
        return WEIR_PARSE_MORE;
    struct weir_parse_err refusal = { .code = WEIR_HTTP1_E_NONE };
    const bool fresh = *resume == 0;
    if (fresh && head_read(args, &refusal))
        return WEIR_PARSE_DONE;

    struct http1_check check = { .limits = limits, .is_request = args->is_request };
    enum weir_parse checked = weir_http1_check(&check, args->bytes, resume, err);
    if (checked == WEIR_PARSE_MORE)
        return WEIR_PARSE_MORE;
    *resume = 0;
    if (checked == WEIR_PARSE_ERROR)
        return WEIR_PARSE_ERROR;
    if (!fresh && head_read(args, &refusal))
        return WEIR_PARSE_DONE;

    /* Complete and well formed, so only its meaning can have stopped the reader. */
    if (WEIR_NEVER(refusal.code == WEIR_HTTP1_E_NONE))
        refusal.code = WEIR_HTTP1_E_START_LINE;
    *err = refusal;
    return WEIR_PARSE_ERROR;
}

enum weir_parse weir_http1_parse_request(struct weir_http1_head *head,
                                         const struct weir_http1_limits *limits,
                                         struct weir_slice bytes, uint32_t *resume,
                                         struct weir_parse_err *err)
{
    const struct parse_args args = {
        .head = head,
        .limits = limits,
        .bytes = bytes,
        .is_request = true,
    };
    return head_parse(&args, resume, err);
}

enum weir_parse weir_http1_parse_response(struct weir_http1_head *head,
                                          const struct weir_http1_limits *limits,
                                          struct weir_slice request_method, struct weir_slice bytes,
                                          uint32_t *resume, struct weir_parse_err *err)
{
    const struct parse_args args = {
        .head = head,
        .limits = limits,
        .bytes = bytes,
        .request_method = request_method,
    };
    return head_parse(&args, resume, err);
}

static bool name_equals(struct weir_slice a, struct weir_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        uint8_t x = a.ptr[i], y = b.ptr[i];
        if (x == y)
            continue;
        /* Only letters have a case: '^' and '~' differ by the same bit and are two names. */
        if ((x ^ y) != 0x20 || (uint8_t)((x | 0x20) - 'a') > 25)
            return false;
    }
    return true;
}

struct weir_slice weir_http1_find(const struct weir_http1_head *head, struct weir_slice name)
{
    for (unsigned i = 0; i < head->fields_count; i++) {
        if (name_equals(weir_http1_name(head, i), name))
            return weir_http1_value(head, i);
    }
    return (struct weir_slice){ .ptr = NULL, .len = 0 };
}
