/* SPDX-License-Identifier: MIT */
/*
 * The reader of heads, to be compiled for one set of instructions. The file that includes this
 * names its struct http1_path HTTP1_PATH and gives the ends of runs, as offsets from the start
 * line:
 *
 *   struct http1_scan                 base, end, and what it remembers from one call to the next
 *   http1_scan_begin(s, base, in)
 *   http1_scan_token(s, at), _value   the first byte at or after `at` that is not of the class, or
 *                                     s->end; `at` only ever grows
 *   http1_scan_target(s, at), _host   the same at any place
 *
 * What is counted here is instructions: a short head is 80 bytes, and the CPU executes four
 * instructions in the time it takes to look at one byte. Hence offsets instead of pointers, one
 * comparison for the end of a line and of the head, one store per field, and everything rare behind
 * a call.
 */
#include "core/assert.h"
#include "proto/codec/http1_read.h"

/* "HTTP/1." DIGIT; false when it is something else. The caller guarantees 8 bytes. */
HTTP1_INLINE bool read_version(struct weir_http1_head *head, const uint8_t *p)
{
    if (WEIR_LIKELY(http1_load64(p) == http1_load64("HTTP/1.1"))) {
        head->version_minor = 1;
        return true;
    }
    if (memcmp(p, "HTTP/1.", 7) != 0 || !http1_is_digit(p[7]))
        return false;
    /* A later minor version speaks 1.1 with us (RFC 9110 section 2.5). */
    head->version_minor = p[7] != '0';
    return true;
}

/* Read the request line; the offset of its end, where CR must be, or 0. */
HTTP1_INLINE size_t read_request_line(struct http1_reader *r, struct http1_scan *s)
{
    const uint8_t *const base = s->base;
    size_t method_end = http1_scan_token(s, 0);
    if (method_end - 1 >= HTTP1_METHOD_BYTES_MAX || method_end == s->end || base[method_end] != ' ')
        return 0;
    size_t target = method_end + 1;
    size_t target_end = http1_scan_target(s, target);
    /* SP, version, CRLF, CRLF */
    if (s->end - target_end < 13 || base[target_end] != ' ' || target_end == target ||
        target_end - target > r->limits->target_bytes_max)
        return 0;
    struct weir_http1_head *head = r->head;
    if (!read_version(head, base + target_end + 1))
        return 0;
    head->method = (struct weir_slice){ .ptr = base, .len = method_end };
    head->target = (struct weir_slice){ .ptr = base + target, .len = target_end - target };
    if (base[target] != '/' || method_end == 7) { /* CONNECT and OPTIONS have seven */
        if (!weir_http1_check_target(r))
            return 0;
    }
    return target_end + 9;
}

/*
 * Read the status line; the offset of its end, or 0. The SP before an empty reason is required by
 * RFC 9112 section 4, but many servers leave it out and nothing can be smuggled by that: tolerated.
 */
HTTP1_INLINE size_t read_status_line(struct http1_reader *r, struct http1_scan *s)
{
    const uint8_t *const p = s->base;
    if (s->end < 16 || !read_version(r->head, p) || p[8] != ' ' || p[9] < '1' || p[9] > '9' ||
        !http1_is_digit(p[10]) || !http1_is_digit(p[11]))
        return 0;
    r->head->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    size_t reason = 12, end = 12;
    if (p[12] == ' ') {
        reason = 13;
        end = http1_scan_value(s, 13);
    }
    r->head->reason = (struct weir_slice){ .ptr = p + reason, .len = end - reason };
    return end;
}

/* Are the first `len` bytes at `p`, 1 ... 4, digits? Four are read. */
HTTP1_INLINE bool read_digits(const uint8_t *p, size_t len)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t x = http1_load32(p) ^ 0x30303030u;
    return ((x | (x + 0x06060606u)) & 0xf0f0f0f0u) << (32 - 8 * len) == 0;
#else
    for (size_t i = 0; i < len; i++)
        if (!http1_is_digit(p[i]))
            return false;
    return true;
#endif
}

/* Host, in the forms nearly all have: a name or IPv4 address, and perhaps a port. Four bytes behind
 * the value can be read. */
HTTP1_INLINE bool read_host(struct http1_reader *r, const struct http1_scan *s, size_t from,
                            size_t to)
{
    const uint8_t *const base = s->base;
    size_t end = http1_scan_host(s, from);
    size_t port_len = to - end - 1;
    bool plain = end >= to || (base[end] == ':' && port_len - 1 < 4 && /* so no port is too large */
                               read_digits(base + end + 1, port_len));
    struct weir_slice host = { .ptr = base + from, .len = to - from };
    if (WEIR_UNLIKELY(!plain || end == from || r->seen != 0 || r->head->host.ptr != NULL))
        return weir_http1_on_host(r, host);
    r->seen = HTTP1_SEEN_HOST;
    r->head->host = host;
    return true;
}

/* Act on a field that may be one of those that decide how the connection goes on. */
HTTP1_INLINE bool read_named(struct http1_reader *r, const struct http1_scan *s,
                             struct weir_slice name, struct http1_range value, bool is_request)
{
    if (name.len == 4 && is_request)
        return http1_lower32(name.ptr) != http1_load32("host") ||
               read_host(r, s, value.from, value.to);
    return weir_http1_on_field(
        r, name, (struct weir_slice){ .ptr = s->base + value.from, .len = value.to - value.from });
}

/* Read field lines from the end of the start line on; the offset behind the empty line, or 0. */
HTTP1_INLINE size_t read_fields(struct http1_reader *r, struct http1_scan *s, size_t at,
                                bool is_request)
{
    const uint8_t *const base = s->base;
    const size_t last = s->end - 4; /* where the head can end at the latest */
    struct weir_http1_field *field = r->head->fields;
    struct weir_http1_field *const stop = field + r->limits->fields_max;

    for (;; field++) {
        if (at > last)
            return 0;
        if (http1_load32(base + at) == http1_load32("\r\n\r\n"))
            break;
        if (http1_load16(base + at) != http1_load16("\r\n"))
            return 0;
        const size_t name = at + 2;
        const size_t colon = http1_scan_token(s, name);
        const size_t name_len = colon - name;
        if (name_len == 0 || colon > last)
            return 0;
        at = http1_scan_value(s, colon);
        struct http1_range value = { .from = colon + 2, .to = at };
        /* One SP before the value and no blanks behind it, nearly always. */
        if (WEIR_UNLIKELY(http1_load16(base + colon) != http1_load16(": ") ||
                          base[colon + 2] <= ' ' || base[at - 1] <= ' ')) {
            if (base[colon] != ':')
                return 0;
            value = weir_http1_trim(base, (struct http1_range){ .from = colon + 1, .to = at });
        }
        if (WEIR_UNLIKELY(field == stop)) {
            weir_http1_refuse(r, WEIR_HTTP1_E_FIELDS_TOO_MANY, base + name);
            return 0;
        }
        http1_field_set(field, name, name_len, value);
        if (WEIR_UNLIKELY(http1_named(base[name], name_len)) &&
            (at > last ||
             !read_named(r, s, (struct weir_slice){ base + name, name_len }, value, is_request)))
            return 0;
    }
    r->head->fields_count = (uint16_t)(field - r->head->fields);
    return at + 4;
}

/* Everything but `fields`, which is the caller's, and what every good start line sets. */
HTTP1_INLINE void read_begin(struct weir_http1_head *head, const uint8_t *base, bool is_request)
{
    const struct weir_slice none = { .ptr = NULL, .len = 0 };
    head->base = base;
    head->status = 0;
    head->keep_alive = false;
    head->expect_continue = false;
    head->upgrade = false;
    head->framing = WEIR_HTTP1_BODY_NONE;
    head->content_length = 0;
    head->has_content_length = false;
    head->host = none;
    if (is_request) {
        head->reason = none;
    } else {
        head->method = none;
        head->target = none;
    }
}

HTTP1_INLINE bool read_head(struct http1_reader *r, bool is_request)
{
    const uint8_t *base = r->in.begin;
    if (is_request && *base == '\r')
        base += weir_http1_leading_bytes(
            (struct weir_slice){ .ptr = base, .len = (size_t)(r->in.end - base) });
    r->seen = 0;
    r->refusal.code = WEIR_HTTP1_E_NONE;
    read_begin(r->head, base, is_request);
    struct http1_scan s;
    http1_scan_begin(&s, base, r->in);
    if (s.end < 16) /* no head is as short, and four bytes are always there */
        return false;
    size_t at = is_request ? read_request_line(r, &s) : read_status_line(r, &s);
    if (at == 0)
        return false;
    at = read_fields(r, &s, at, is_request);
    if (at == 0)
        return false;
    struct weir_http1_head *head = r->head;
    head->bytes = (uint32_t)(base + at - r->in.begin);
    if (!is_request)
        return weir_http1_finish_response(r);
    if (WEIR_UNLIKELY((r->seen & ~HTTP1_SEEN_CONN_KEEP_ALIVE) != HTTP1_SEEN_HOST ||
                      head->version_minor == 0))
        return weir_http1_finish_request(r, base + at);
    head->keep_alive = true;
    return true;
}

/* Read again: a head that came in pieces. */
static bool path_read(struct http1_reader *r)
{
#ifdef HTTP1_VEC
    if (r->in.end - r->in.begin < HTTP1_VEC)
        return weir_http1_scalar.read(r);
#endif
    return r->is_request ? read_head(r, true) : read_head(r, false);
}

HTTP1_INLINE enum weir_parse path_parse(struct http1_reader *r,
                                        const struct weir_http1_limits *limits,
                                        struct weir_slice bytes, uint32_t *resume,
                                        struct weir_parse_err *err)
{
    const size_t bytes_max = limits->head_bytes_max;
    r->limits = limits;
    WEIR_DEBUG_ASSERT(bytes_max - 64 <= WEIR_HTTP1_HEAD_BYTES_MAX - 64);
    r->in.begin = bytes.ptr;
    r->in.end = bytes.ptr + (bytes.len < bytes_max ? bytes.len : bytes_max);
#ifdef HTTP1_VEC
    if (WEIR_UNLIKELY(bytes.len < HTTP1_VEC || *resume != 0))
        return weir_http1_resume(r, bytes, resume, err);
#else
    if (WEIR_UNLIKELY(bytes.len == 0 || *resume != 0))
        return weir_http1_resume(r, bytes, resume, err);
#endif
    if (WEIR_LIKELY(read_head(r, r->is_request)))
        return WEIR_PARSE_DONE;
    return weir_http1_check_head(r, bytes, resume, err);
}

static enum weir_parse path_request(struct weir_http1_head *head,
                                    const struct weir_http1_limits *limits, struct weir_slice bytes,
                                    uint32_t *resume, struct weir_parse_err *err)
{
    /* Not initialised as a whole: that would be stores of what no request reads. */
    struct http1_reader r;
    r.head = head;
    r.is_request = true;
    return path_parse(&r, limits, bytes, resume, err);
}

static enum weir_parse path_response(struct weir_http1_head *head,
                                     const struct weir_http1_limits *limits,
                                     struct weir_slice request_method, struct weir_slice bytes,
                                     uint32_t *resume, struct weir_parse_err *err)
{
    struct http1_reader r;
    r.head = head;
    r.request_method = request_method;
    r.is_request = false;
    return path_parse(&r, limits, bytes, resume, err);
}

const struct http1_path HTTP1_PATH = {
    .request = path_request,
    .response = path_response,
    .read = path_read,
};
