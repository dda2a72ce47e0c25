/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the writers of heads. The input says what is to be written; what comes out is either
 * a refusal that has a reason, or a head that the strict parser takes apart into the same parts,
 * with nothing in it that nobody asked for.
 */
#include <weir/http1.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 6
#define FIELDS_MAX  (HEADERS_MAX + 6)

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What is left of the input; behind its end there are zeros. */
struct input {
    const uint8_t *at;
    size_t left;
};

static struct weir_http1_field fields[FIELDS_MAX];
static const struct weir_http1_limits limits = { .head_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
                                                 .target_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
                                                 .fields_max = FIELDS_MAX };

static uint8_t take(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static uint64_t take_number(struct input *in)
{
    uint64_t n = 0;
    for (unsigned bytes = take(in) % 9; bytes > 0; bytes--)
        n = n << 8 | take(in);
    return n;
}

/* Its own memory to the last byte, so that the sanitizer sees who reads more. */
static struct weir_slice take_slice(struct input *in)
{
    size_t len = take(in) % 64;
    if (len > in->left)
        len = in->left;
    uint8_t *copy = malloc(len + (len == 0));
    DEMAND(copy != NULL);
    if (len > 0)
        memcpy(copy, in->at, len);
    in->at += len;
    in->left -= len;
    return (struct weir_slice){ copy, len };
}

static void drop(struct weir_slice s)
{
    free((uint8_t *)(uintptr_t)s.ptr);
}

static size_t take_headers(struct input *in, struct weir_header headers[HEADERS_MAX])
{
    size_t count = take(in) % (HEADERS_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        headers[i].name = take_slice(in);
        headers[i].value = take_slice(in);
    }
    return count;
}

static void drop_headers(const struct weir_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        drop(headers[i].name);
        drop(headers[i].value);
    }
}

static bool same(struct weir_slice a, struct weir_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static bool is_name(struct weir_slice name, const char *lower)
{
    if (name.len != strlen(lower))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != lower[i])
            return false;
    }
    return true;
}

/* A value as a reader sees it: blanks around it are none of it. */
static struct weir_slice trimmed(struct weir_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static unsigned count_of(const struct weir_http1_head *head, const char *lower)
{
    unsigned count = 0;
    for (unsigned i = 0; i < head->fields_count; i++)
        count += is_name(weir_http1_name(head, i), lower);
    return count;
}

/* ---- Looking at bytes -------------------------------------------------------------------- */

/* Lines and nothing else: every CR has its LF, every LF its CR, there is no NUL, and the only empty
 * line is the last. */
static void demand_lines(const uint8_t *text, size_t bytes, size_t lines)
{
    size_t found = 0;
    DEMAND(bytes >= 4 && memcmp(text + bytes - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < bytes; i++) {
        DEMAND(text[i] != 0);
        DEMAND(text[i] != '\r' || (i + 1 < bytes && text[i + 1] == '\n'));
        DEMAND(text[i] != '\n' || (i > 0 && text[i - 1] == '\r'));
        found += text[i] == '\n';
    }
    DEMAND(found == lines);
    for (size_t i = 0; i + 4 < bytes; i++)
        DEMAND(memcmp(text + i, "\r\n\r\n", 4) != 0);
}

/* The given fields, in order, are the last ones. */
static void demand_headers(const struct weir_http1_head *head, const struct weir_header *headers,
                           size_t count)
{
    DEMAND(head->fields_count >= count);
    unsigned first = head->fields_count - (unsigned)count;
    for (unsigned i = 0; i < count; i++) {
        DEMAND(same(weir_http1_name(head, first + i), headers[i].name));
        DEMAND(same(weir_http1_value(head, first + i), trimmed(headers[i].value)));
    }
}

static void demand_framing(const struct weir_http1_head *head, enum weir_http1_framing framing,
                           uint64_t content_length)
{
    unsigned lengths = count_of(head, "content-length");
    unsigned codings = count_of(head, "transfer-encoding");
    DEMAND(lengths == (framing == WEIR_HTTP1_BODY_LENGTH));
    DEMAND(codings == (framing == WEIR_HTTP1_BODY_CHUNKED));
    DEMAND(lengths + codings <= 1);
    if (framing == WEIR_HTTP1_BODY_LENGTH)
        DEMAND(head->has_content_length && head->content_length == content_length);
}

/* Is there a reason to refuse one of these? */
static bool headers_bad(const struct weir_header *headers, size_t count, const char *fourth)
{
    for (size_t i = 0; i < count; i++) {
        struct weir_slice name = headers[i].name;
        if (!weir_http1_is_token(name) || !weir_http1_is_field_value(headers[i].value))
            return true;
        if (is_name(name, "content-length") || is_name(name, "transfer-encoding") ||
            is_name(name, "connection") || is_name(name, fourth))
            return true;
    }
    return false;
}

/* ---- Responses --------------------------------------------------------------------------- */

static bool response_bad(const struct weir_http1_response_spec *spec)
{
    bool bodyless = spec->status < 200 || spec->status == 204;
    bool framed =
        spec->framing == WEIR_HTTP1_BODY_LENGTH || spec->framing == WEIR_HTTP1_BODY_CHUNKED;
    return spec->status < 100 || spec->status > 999 || (bodyless && framed) ||
           (unsigned)spec->framing > WEIR_HTTP1_BODY_EOF ||
           (spec->framing == WEIR_HTTP1_BODY_LENGTH && spec->content_length > INT64_MAX) ||
           (spec->date.len != 0 && spec->date.len != WEIR_HTTP1_DATE_BYTES) ||
           !weir_http1_is_field_value(spec->date) ||
           !weir_http1_is_field_value(spec->content_type) ||
           headers_bad(spec->headers, spec->headers_count, "date");
}

static void demand_response(const uint8_t *text, size_t bytes,
                            const struct weir_http1_response_spec *spec)
{
    struct weir_http1_head head = { .fields = fields };
    struct weir_parse_err err;
    uint32_t resume = 0;
    DEMAND(weir_http1_parse_response(&head, &limits, WEIR_TEXT("GET"),
                                     (struct weir_slice){ text, bytes }, &resume,
                                     &err) == WEIR_PARSE_DONE);
    size_t own = (spec->framing == WEIR_HTTP1_BODY_LENGTH) +
                 (spec->framing == WEIR_HTTP1_BODY_CHUNKED) + (spec->date.len > 0) +
                 (spec->content_type.len > 0);
    size_t connections = count_of(&head, "connection");
    DEMAND(head.bytes == bytes && head.base == text && head.status == spec->status);
    DEMAND(head.fields_count == own + connections + spec->headers_count);
    DEMAND(connections <= 1 && (connections == 1) == (spec->close || spec->keep_alive));
    demand_lines(text, bytes, 2u + head.fields_count);
    demand_headers(&head, spec->headers, spec->headers_count);
    demand_framing(&head, spec->framing, spec->content_length);
    DEMAND(!spec->close || !head.keep_alive);
    if (spec->date.len > 0)
        DEMAND(same(weir_http1_find(&head, WEIR_TEXT("date")), trimmed(spec->date)));
    if (spec->content_type.len > 0)
        DEMAND(
            same(weir_http1_find(&head, WEIR_TEXT("content-type")), trimmed(spec->content_type)));
}

static void fuzz_response(struct input *in)
{
    struct weir_header headers[HEADERS_MAX];
    uint8_t flags = take(in);
    struct weir_http1_response_spec spec = {
        .status = (uint16_t)((flags & 1) != 0 ? take_number(in) : 100u + 4u * take(in)),
        .framing = (enum weir_http1_framing)(flags / 2 % 8), /* 4 ... 7: there is no such one */
        .close = (flags & 16) != 0,
        .keep_alive = (flags & 32) != 0,
        .content_length = take_number(in),
        .date = take_slice(in),
        .content_type = take_slice(in),
        .headers = headers,
    };
    spec.headers_count = take_headers(in, headers);
    size_t most = weir_http1_response_bytes_max(&spec);
    size_t capacity = (flags & 64) != 0 ? take_number(in) % (most + 1) : most;
    uint8_t *out = malloc(capacity + (capacity == 0));
    DEMAND(out != NULL);
    int64_t n = weir_http1_write_response(out, capacity, &spec);
    if (response_bad(&spec))
        DEMAND(n == -EINVAL);
    else if (n < 0)
        DEMAND(n == -ENOBUFS && capacity < most);
    else
        DEMAND((size_t)n <= capacity);
    if (n >= 0)
        demand_response(out, (size_t)n, &spec);
    free(out);
    drop(spec.date);
    drop(spec.content_type);
    drop_headers(headers, spec.headers_count);
}

/* ---- Requests ---------------------------------------------------------------------------- */

/* What must be refused whatever it is for. */
static bool request_bad(const struct weir_http1_request_spec *spec)
{
    for (size_t i = 0; i < spec->target.len; i++)
        if (spec->target.ptr[i] <= ' ' || spec->target.ptr[i] >= 0x7f || spec->target.ptr[i] == '#')
            return true;
    return !weir_http1_is_token(spec->method) || spec->target.len == 0 ||
           !weir_http1_is_field_value(spec->host) ||
           (unsigned)spec->framing > WEIR_HTTP1_BODY_CHUNKED ||
           (spec->framing == WEIR_HTTP1_BODY_LENGTH && spec->content_length > INT64_MAX) ||
           headers_bad(spec->headers, spec->headers_count, "host");
}

/* Expect is the caller's, and nothing but 100-continue is taken by the parser. */
static bool parser_refuses(const struct weir_http1_request_spec *spec, enum weir_http1_error code)
{
    bool connect = same(spec->method, WEIR_TEXT("CONNECT"));
    switch (code) {
    case WEIR_HTTP1_E_TARGET: /* which form goes with which method is the caller's business */
        return connect || spec->target.ptr[0] != '/';
    case WEIR_HTTP1_E_HOST:
        return spec->host.len == 0;
    case WEIR_HTTP1_E_EXPECT:
        for (size_t i = 0; i < spec->headers_count; i++)
            if (is_name(spec->headers[i].name, "expect"))
                return true;
        return false;
    default:
        return false;
    }
}

static void demand_request(const uint8_t *text, size_t bytes,
                           const struct weir_http1_request_spec *spec)
{
    struct weir_http1_head head = { .fields = fields };
    struct weir_parse_err err;
    uint32_t resume = 0;
    size_t own = 1u + (spec->framing != WEIR_HTTP1_BODY_NONE) + spec->close;
    demand_lines(text, bytes, 2 + own + spec->headers_count);
    enum weir_parse r =
        weir_http1_parse_request(&head, &limits, (struct weir_slice){ text, bytes }, &resume, &err);
    if (r == WEIR_PARSE_ERROR) {
        DEMAND(parser_refuses(spec, err.code));
        return;
    }
    DEMAND(r == WEIR_PARSE_DONE && head.bytes == bytes && head.base == text);
    DEMAND(same(head.method, spec->method) && same(head.target, spec->target));
    DEMAND(head.fields_count == own + spec->headers_count);
    DEMAND(count_of(&head, "host") == 1);
    DEMAND(same(weir_http1_find(&head, WEIR_TEXT("host")), spec->host));
    DEMAND(head.framing == spec->framing && head.keep_alive == !spec->close);
    demand_headers(&head, spec->headers, spec->headers_count);
    demand_framing(&head, spec->framing, spec->content_length);
}

static void fuzz_request(struct input *in)
{
    struct weir_header headers[HEADERS_MAX];
    uint8_t flags = take(in);
    struct weir_http1_request_spec spec = {
        .method = take_slice(in),
        .target = take_slice(in),
        .host = take_slice(in),
        .framing = (enum weir_http1_framing)(flags / 2 % 8),
        .close = (flags & 16) != 0,
        .content_length = take_number(in),
        .headers = headers,
    };
    spec.headers_count = take_headers(in, headers);
    size_t most = weir_http1_request_bytes_max(&spec);
    size_t capacity = (flags & 64) != 0 ? take_number(in) % (most + 1) : most;
    uint8_t *out = malloc(capacity + (capacity == 0));
    DEMAND(out != NULL);
    int64_t n = weir_http1_write_request(out, capacity, &spec);
    if (request_bad(&spec))
        DEMAND(n == -EINVAL);
    else if (n == -EINVAL)
        DEMAND(spec.host.len > 0); /* a host that is none */
    else if (n < 0)
        DEMAND(n == -ENOBUFS && capacity < most);
    else
        DEMAND((size_t)n <= capacity);
    if (n >= 0)
        demand_request(out, (size_t)n, &spec);
    free(out);
    drop(spec.method);
    drop(spec.target);
    drop(spec.host);
    drop_headers(headers, spec.headers_count);
}

/* ---- The rest ---------------------------------------------------------------------------- */

/* A chunk's head is the one that the decoder reads. */
static void fuzz_chunk(struct input *in)
{
    uint8_t *text = malloc(WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX);
    struct weir_http1_body body;
    struct weir_parse_err err;
    struct weir_slice piece;
    uint64_t len = take_number(in);
    size_t used;
    DEMAND(text != NULL);
    len = (len & INT64_MAX) == 0 ? 1 : len & INT64_MAX;
    size_t bytes = weir_http1_write_chunk_head(text, len);
    DEMAND(bytes <= WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX);
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    enum weir_parse r =
        weir_http1_body_feed(&body, (struct weir_slice){ text, bytes }, &used, &piece, &err);
    DEMAND(r == WEIR_PARSE_MORE && used == bytes && piece.len == 0 && body.remaining == len);
    free(text);
}

static void fuzz_date(struct input *in)
{
    static const char digits[] = "0123456789";
    uint8_t date[WEIR_HTTP1_DATE_BYTES];
    weir_http1_date(date, (int64_t)take_number(in));
    DEMAND(memcmp(date + 25, " GMT", 4) == 0 && date[3] == ',' && date[4] == ' ');
    for (unsigned i = 0; i < 4; i++)
        DEMAND(strchr(digits, date[12 + i]) != NULL);
    DEMAND(weir_http1_is_field_value((struct weir_slice){ date, sizeof date }));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    switch (take(&in) % 8) {
    case 0:
        fuzz_chunk(&in);
        break;
    case 1:
        fuzz_date(&in);
        break;
    case 2:
    case 3:
    case 4:
        fuzz_request(&in);
        break;
    default:
        fuzz_response(&in);
        break;
    }
    return 0;
}
