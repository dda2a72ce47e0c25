/* SPDX-License-Identifier: MIT */
/*
 * Rig for the readers of heads, one for each set of instructions: makes up heads, spoils them, puts
 * them where a read of one byte too many faults, and demands of a path what the scalar one says.
 *
 * A text is made once and then parsed in many variants, for making it costs more than parsing it:
 * with bytes replaced in its place, cut at every length, in pieces. Everything is drawn from one
 * generator of numbers, so that a run is told by its seed.
 */
#ifndef WEIR_TESTS_HTTP1_READ_RIG_H
#define WEIR_TESTS_HTTP1_READ_RIG_H

#include "unit/proto/codec/parse_rig.h"

#include "proto/codec/http1_read.h"

#define READ_FIELDS_MAX 64
#define READ_TEXT_BYTES 16384
#define READ_PAGE_BYTES 65536 /* the largest page there is */
#define READ_TARGET_MAX 8000

/* How many inputs a path is compared with; slow where memory is watched, or where the CPU is played
 * by another one. */
#ifndef READ_INPUTS
#ifdef WEIR_DEBUG
#define READ_INPUTS 110000u
#else
#define READ_INPUTS 5000000u
#endif
#endif

/* ---- Numbers ----------------------------------------------------------------------------- */

static uint64_t read_random_state;

static inline uint64_t read_random64(void)
{
    uint64_t x = read_random_state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    read_random_state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Below `bound`, which is not 0. */
static inline unsigned read_random(size_t bound)
{
    return (unsigned)((read_random64() >> 32) * bound >> 32);
}

static inline bool read_one_in(size_t count)
{
    return read_random(count) == 0;
}

/* Short ones mostly, and some that go over several blocks of 64 bytes. */
static inline size_t read_random_len(void)
{
    unsigned kind = read_random(32);
    if (kind < 2)
        return kind;
    if (kind < 20)
        return 1 + read_random(15);
    if (kind < 28)
        return 1 + read_random(40);
    if (kind < 31)
        return read_random(140);
    return read_one_in(16) ? read_random(1500) : read_random(300);
}

/* ---- Memory ------------------------------------------------------------------------------ */

/* Between two pages that fault. */
static struct {
    uint8_t *map, *begin, *end;
} read_memory;

static const size_t read_map_bytes = 2 * READ_PAGE_BYTES + READ_TEXT_BYTES;

/* Bytes of a class, to be copied from any place. */
enum read_pool { READ_TOKENS, READ_TARGETS, READ_VALUES, READ_NOISE, READ_POOL_COUNT };
enum { READ_POOL_BYTES = 8192 };
static uint8_t read_pools[READ_POOL_COUNT][READ_POOL_BYTES];

/* Letters and digits mostly, now and then one of the others (NULL: of all). */
static inline void read_pool_fill(uint8_t *pool, const char *others, size_t others_len)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789--";
    for (unsigned i = 0; i < READ_POOL_BYTES; i++) {
        if (!read_one_in(8))
            pool[i] = (uint8_t)plain[read_random(sizeof plain - 1)];
        else if (others != NULL)
            pool[i] = (uint8_t)others[read_random(others_len)];
        else
            pool[i] = (uint8_t)read_random(256);
    }
}

static inline int read_setup(void **state)
{
    (void)state;
    uint8_t *map = mmap(NULL, read_map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    read_memory.map = map;
    read_memory.begin = map + READ_PAGE_BYTES;
    read_memory.end = read_memory.begin + READ_TEXT_BYTES;
    assert_int_equal(mprotect(read_memory.begin, READ_TEXT_BYTES, PROT_READ | PROT_WRITE), 0);

    static const char tchars[] = "!#$%&'*+-.^_`|~";
    static const char targets[] = "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~//??%%";
    static const char values[] = "     \t,,::;;=/\"()<>@[]{}?\\!#\x80\x85\xa0\xc3\xfe\xff";
    read_random_state = UINT64_C(0x9e3779b97f4a7c15);
    read_pool_fill(read_pools[READ_TOKENS], tchars, sizeof tchars - 1);
    read_pool_fill(read_pools[READ_TARGETS], targets, sizeof targets - 1);
    read_pool_fill(read_pools[READ_VALUES], values, sizeof values - 1);
    read_pool_fill(read_pools[READ_NOISE], NULL, 0);
    return 0;
}

static inline int read_teardown(void **state)
{
    (void)state;
    return munmap(read_memory.map, read_map_bytes);
}

/* ---- Texts ------------------------------------------------------------------------------- */

struct read_text {
    uint8_t bytes[READ_TEXT_BYTES];
    size_t len;
};

static inline void read_put(struct read_text *text, const void *bytes, size_t len)
{
    if (len > sizeof text->bytes - text->len)
        len = sizeof text->bytes - text->len;
    if (len != 0)
        memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static inline void read_puts(struct read_text *text, const char *string)
{
    read_put(text, string, strlen(string));
}

static inline void read_put_pool(struct read_text *text, enum read_pool pool, size_t len)
{
    read_put(text, read_pools[pool] + read_random(READ_POOL_BYTES - len), len);
}

#define READ_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define READ_PICK(array)  ((array)[read_random(READ_COUNT(array))])

/* Most texts are made of good parts alone: else few would be taken. */
static bool read_odd;

/* One of a list that ends in odd ones, which follow a NULL. */
static inline const char *read_pick(const char *const *list, size_t count)
{
    size_t good = 0;
    while (list[good] != NULL)
        good++;
    size_t at = read_random(read_odd ? count : good);
    return list[at == good ? 0 : at];
}

#define READ_PUT(text, list) read_puts(text, read_pick(list, READ_COUNT(list)))

static inline void read_put_blanks(struct read_text *text)
{
    static const char *const blanks[] = { "", "\t", "  ", " \t ", "      ", "\t\t" };
    read_puts(text, READ_PICK(blanks));
}

static inline void read_put_host(struct read_text *text, bool with_port)
{
    static const char *const hosts[] = {
        "h.example", "a", "127.0.0.1", "[::1]", "[2001:db8::1:2]", "%41.b%7e", "x_y~z!$&'()*+;=",
        "a-name-that-is-so-long-that-it-does-not-fit-a-vector.of-64-bytes.example.org", NULL,
        /* odd */
        "[::1", "[v1.a]", "[:]", "a,b", "", "%4", "%4g", "exa mple", "u@h", "h/"
    };
    static const char *const ports[] = { "1",  "80",    "8080", "65535", "0",   "00080",
                                         NULL, "65536", "",     "8o",    "1:1", "123456" };
    if (read_odd && read_one_in(8))
        read_put_pool(text, READ_TOKENS, read_random_len());
    else
        READ_PUT(text, hosts);
    if (with_port || read_one_in(3)) {
        read_puts(text, ":");
        READ_PUT(text, ports);
    }
}

static inline void read_put_target(struct read_text *text)
{
    static const char *const schemes[] = {
        "http", "https", "a+1-.b", "HTTP", NULL, "1", "", "a b"
    };
    if (read_one_in(6)) {
        READ_PUT(text, schemes);
        read_puts(text, read_odd && read_one_in(4) ? ":/" : "://");
        read_put_host(text, false);
        if (read_one_in(3))
            return;
        read_puts(text, read_one_in(2) ? "/" : "?");
    } else if (!read_odd || !read_one_in(8)) {
        read_puts(text, "/");
    }
    read_put_pool(text, READ_TARGETS, read_random_len());
}

static inline void read_put_request_line(struct read_text *text)
{
    static const char *const methods[] = { "GET", "GET", "POST",    "HEAD", "M-SEARCH", "PATCH",
                                           "a",   NULL,  "CONNECT", "G@T",  "",         "OPTIONS" };
    if (read_one_in(10))
        for (unsigned i = read_odd ? read_random(11) : 1 + read_random(8); i > 0; i--)
            read_puts(text, "\r\n");
    unsigned kind = read_random(16);
    if (kind == 0) {
        read_puts(text, "CONNECT ");
        read_put_host(text, true);
        return;
    }
    if (kind == 1) {
        read_puts(text, "OPTIONS *");
        return;
    }
    if (kind == 2)
        read_put_pool(text, READ_TOKENS, read_odd ? 60 + read_random(8) : 1 + read_random(63));
    else
        READ_PUT(text, methods);
    read_puts(text, " ");
    read_put_target(text);
}

static inline void read_put_start_line(struct read_text *text, bool is_request)
{
    static const char *const versions[] = { "HTTP/1.1", "HTTP/1.1",  "HTTP/1.1", "HTTP/1.1",
                                            "HTTP/1.0", "HTTP/1.7",  NULL,       "HTTP/2.0",
                                            "http/1.1", "HTTP/1.10", "HTTP/1.",  "" };
    static const char *const statuses[] = {
        "200 OK",       "200",   "204 ",   "304 Not Modified", "101 X", "100 C",
        "404 \xc3\xb6", "999 ",  "299 \t", "500 a\tb",         NULL,    "200 OK",
        "099 x",        "200OK", "1000 ",  " 200 OK",          "20",    "2a0 OK",
        "200\tOK"
    };
    if (is_request) {
        read_put_request_line(text);
        read_puts(text, " ");
        READ_PUT(text, versions);
    } else {
        READ_PUT(text, versions);
        read_puts(text, " ");
        const char *status = read_pick(statuses, READ_COUNT(statuses));
        read_puts(text, status);
        if (strlen(status) > 3 && read_one_in(4))
            read_put_pool(text, READ_VALUES, read_random_len());
    }
    read_puts(text, "\r\n");
}

/* How the body is delimited. */
static inline void read_put_framing(struct read_text *text)
{
    static const char *const lines[] = {
        "Content-Length: 0",
        "Content-Length: 12",
        "content-length:00000000000000000000000012",
        "CONTENT-LENGTH: 9223372036854775807 ",
        "Transfer-Encoding: chunked",
        "transfer-encoding:\tChunKED ",
        NULL,
        "Content-Length: 9223372036854775808",
        "Content-Length: 18446744073709551617",
        "Content-Length: +1",
        "Content-Length: 12, 12",
        "Content-Length:",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:",
        "Transfer-Encoding: ch unked",
    };
    READ_PUT(text, lines);
    read_puts(text, "\r\n");
}

/* Fields that mean something, and some that nearly do. */
static inline void read_put_named(struct read_text *text)
{
    static const char *const lines[] = {
        "Connection: close",
        "Connection: keep-alive",
        "connection:KEEP-ALIVE",
        "Connection: Upgrade",
        "Connection: a, close ,b",
        "Connection: keep-alive,\tupgrade",
        "Connection: ,, ,",
        "Connection: closed, xkeep-alive",
        "Connection:",
        "Connectiom: close",
        "Content-Lengte: x",
        "Transfer-Encodinh: chunked",
        "Expect: 100-continue",
        "EXPECT: 100-Continue",
        "Expecu: 1",
        "Upgrade: websocket",
        "upgrade: h2c, a/1",
        "Upgrade:",
        "Upgradf: x",
        "Hose: x",
        "Te: trailers",
        NULL,
        "Expect: 200-ok",
        "Host: again",
        " folded",
        "Name : x",
        "no colon",
        ": x",
    };
    READ_PUT(text, lines);
    read_puts(text, "\r\n");
}

static inline void read_put_field(struct read_text *text)
{
    size_t len = read_random_len();
    read_put_pool(text, READ_TOKENS, len + (len == 0 && !(read_odd && read_one_in(4))));
    read_puts(text, ":");
    if (read_one_in(5))
        read_put_blanks(text);
    else
        read_puts(text, " ");
    read_put_pool(text, READ_VALUES, read_random_len());
    if (read_one_in(8))
        read_put_blanks(text);
    read_puts(text, "\r\n");
}

static inline void read_put_head(struct read_text *text, bool is_request)
{
    read_odd = read_one_in(4);
    unsigned framing = read_random(read_odd ? 4 : 2) + (unsigned)read_one_in(8);
    read_put_start_line(text, is_request);
    if (is_request && !(read_odd && read_one_in(4))) {
        read_puts(text, read_one_in(4) ? "hOsT:" : "Host: ");
        read_put_host(text, false);
        read_puts(text, "\r\n");
    }
    for (unsigned i = read_one_in(16) ? read_random(24) : read_random(6); i > 0; i--) {
        if (framing != 0 && read_one_in(3)) {
            framing--;
            read_put_framing(text);
        } else if (read_one_in(3)) {
            read_put_named(text);
        } else {
            read_put_field(text);
        }
    }
    read_puts(text, "\r\n");
}

/* ---- Mutations --------------------------------------------------------------------------- */

static inline uint8_t read_random_byte(void)
{
    static const uint8_t bytes[] = { '\r', '\n', 0,   ' ',  '\t', ':',  ',',  0x7f, 0x80, 0xff,
                                     '\r', '\n', '#', 0x1f, 0x0b, 0x0d, 0x2d, 0x4d, '%',  '@',
                                     '[',  'a',  'A', '0',  '/',  '*',  '"',  '{',  0x10, '.' };
    switch (read_random(4)) {
    case 0:
        return (uint8_t)read_random(256);
    case 1:
        return read_pools[READ_TOKENS][read_random(READ_POOL_BYTES)];
    default:
        return READ_PICK(bytes);
    }
}

/* Put `from` in place of the `cut` bytes at `at`. */
static inline void read_replace(struct read_text *text, size_t at, size_t cut,
                                struct weir_slice from)
{
    size_t tail = text->len - at - cut;
    if (at + from.len + tail > sizeof text->bytes)
        return;
    memmove(text->bytes + at + from.len, text->bytes + at + cut, tail);
    if (from.len != 0)
        memcpy(text->bytes + at, from.ptr, from.len);
    text->len = at + from.len + tail;
}

/* Where the line with the byte at `at` begins. */
static inline size_t read_line_begin(const struct read_text *text, size_t at)
{
    while (at > 0 && text->bytes[at - 1] != '\n')
        at--;
    return at;
}

static inline void read_duplicate_line(struct read_text *text, size_t at)
{
    static uint8_t line[READ_TEXT_BYTES];
    size_t begin = read_line_begin(text, at), end = at;
    while (end < text->len && text->bytes[end] != '\n')
        end++;
    end += end < text->len;
    memcpy(line, text->bytes + begin, end - begin);
    read_replace(text, begin, 0, (struct weir_slice){ line, end - begin });
}

/* `other` is what the text can be spliced with. */
static inline void read_mutate(struct read_text *text, const struct read_text *other)
{
    if (text->len == 0)
        return;
    size_t at = read_random(text->len);
    uint8_t byte = read_random_byte();
    switch (read_random(8)) {
    case 0:
    case 1:
    case 2:
        text->bytes[at] = byte;
        break;
    case 3:
        read_replace(text, at, 0, (struct weir_slice){ &byte, 1 });
        break;
    case 4: {
        size_t most = text->len - at < 4 ? text->len - at : 4;
        read_replace(text, at, 1 + read_random(most), (struct weir_slice){ NULL, 0 });
        break;
    }
    case 5:
        text->len = at;
        break;
    case 6:
        read_duplicate_line(text, at);
        break;
    default:
        if (other->len != 0) {
            size_t from = read_random(other->len);
            if (read_one_in(2)) {
                at = read_line_begin(text, at);
                from = read_line_begin(other, from);
            }
            text->len = at;
            read_put(text, other->bytes + from, other->len - from);
        }
    }
}

/* What follows a head: nothing, a body, the next message. */
static inline void read_put_tail(struct read_text *text, const struct read_text *other)
{
    switch (read_random(4)) {
    case 0:
        read_put_pool(text, READ_NOISE, read_random_len());
        break;
    case 1:
        read_put(text, other->bytes, other->len < 200 ? other->len : 200);
        break;
    default:
        break;
    }
}

/* ---- Runs -------------------------------------------------------------------------------- */

struct read_input {
    struct weir_slice bytes;
    struct weir_slice request_method;
    struct weir_http1_limits limits;
    bool is_request;
};

struct read_result {
    enum weir_parse parse;
    uint32_t resume;
    struct weir_parse_err err;
    struct weir_http1_head head;
    struct weir_http1_field fields[READ_FIELDS_MAX + 1];
};

/* One call with the first `len` bytes, going on from out->resume. */
static inline void read_step(struct read_result *out, const struct read_input *input, size_t len)
{
    static const struct weir_http1_field untouched = { 0xa5a5, 0xa5a5, 0xa5a5, 0xa5a5 };
    struct weir_http1_field *behind = &out->fields[input->limits.fields_max];
    const struct weir_slice bytes = { input->bytes.ptr, len };
    memset(&out->head, 0xa5, sizeof out->head);
    out->head.fields = out->fields;
    *behind = untouched;
    if (input->is_request)
        out->parse =
            weir_http1_parse_request(&out->head, &input->limits, bytes, &out->resume, &out->err);
    else
        out->parse = weir_http1_parse_response(&out->head, &input->limits, input->request_method,
                                               bytes, &out->resume, &out->err);
    assert_memory_equal(behind, &untouched, sizeof untouched);
}

static inline bool read_same_slice(struct weir_slice a, struct weir_slice b)
{
    return a.ptr == b.ptr && a.len == b.len;
}

/* Both refer to the same bytes in the same place. */
static inline bool read_same_head(const struct weir_http1_head *a, const struct weir_http1_head *b)
{
    return a->base == b->base && a->bytes == b->bytes && a->fields_count == b->fields_count &&
           a->status == b->status && a->version_minor == b->version_minor &&
           a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue &&
           a->upgrade == b->upgrade && a->framing == b->framing &&
           a->content_length == b->content_length &&
           a->has_content_length == b->has_content_length &&
           read_same_slice(a->method, b->method) && read_same_slice(a->target, b->target) &&
           read_same_slice(a->host, b->host) && read_same_slice(a->reason, b->reason) &&
           memcmp(a->fields, b->fields, a->fields_count * sizeof a->fields[0]) == 0;
}

static inline bool read_same(const struct read_result *a, const struct read_result *b)
{
    if (a->parse != b->parse || a->resume != b->resume)
        return false;
    if (a->parse == WEIR_PARSE_ERROR)
        return a->err.code == b->err.code && a->err.offset == b->err.offset;
    return a->parse != WEIR_PARSE_DONE || read_same_head(&a->head, &b->head);
}

static inline void read_print(const char *who, const struct read_result *result)
{
    fprintf(stderr, "%s: result %d, resume %#x", who, (int)result->parse, (unsigned)result->resume);
    if (result->parse == WEIR_PARSE_ERROR)
        fprintf(stderr, ", code %d, offset %u", (int)result->err.code,
                (unsigned)result->err.offset);
    if (result->parse == WEIR_PARSE_DONE)
        fprintf(stderr, ", %u bytes, %u fields, framing %d, length %llu, host %zu bytes",
                (unsigned)result->head.bytes, (unsigned)result->head.fields_count,
                (int)result->head.framing, (unsigned long long)result->head.content_length,
                result->head.host.len);
    fputc('\n', stderr);
}

static inline void read_print_input(const struct read_input *input)
{
    rig_print(input->is_request ? "request" : "response", input->bytes);
    fprintf(stderr, "method %.*s, head at most %u, target %u, fields %u, lenient %#x, at %p\n",
            (int)input->request_method.len, (const char *)input->request_method.ptr,
            (unsigned)input->limits.head_bytes_max, (unsigned)input->limits.target_bytes_max,
            (unsigned)input->limits.fields_max, (unsigned)input->limits.lenient,
            (const void *)input->bytes.ptr);
}

/* ---- Inputs ------------------------------------------------------------------------------ */

static inline void read_draw_limits(struct weir_http1_limits *limits, size_t len)
{
    size_t head = WEIR_HTTP1_HEAD_BYTES_MAX;
    unsigned kind = read_random(16);
    if (kind == 0)
        head = 64 + read_random(128);
    else if (kind <= 2)
        head = len + 8 - read_random(16);
    if (head > WEIR_HTTP1_HEAD_BYTES_MAX)
        head = WEIR_HTTP1_HEAD_BYTES_MAX;
    *limits = (struct weir_http1_limits){
        .head_bytes_max = (uint32_t)(head < 64 ? 64 : head),
        .target_bytes_max = read_one_in(16) ? read_random(48) : READ_TARGET_MAX,
        .fields_max = (uint16_t)(read_one_in(16) ? read_random(6) : READ_FIELDS_MAX),
        .lenient = 0,
    };
}

/* A place for `len` bytes: up to the page behind, from the page in front on, or anywhere. */
static inline uint8_t *read_place(size_t len)
{
    size_t spare = READ_TEXT_BYTES - len;
    switch (read_random(4)) {
    case 0:
        return read_memory.begin;
    case 1:
        return read_memory.begin + (spare < 64 ? spare : read_random(64));
    default:
        return read_memory.end - len;
    }
}

/* The next text, in its place. `other` is the one before. */
static inline void read_draw(struct read_input *input, struct read_text *text,
                             const struct read_text *other)
{
    static const struct weir_slice methods[] = {
        { (const uint8_t *)"GET", 3 },
        { (const uint8_t *)"HEAD", 4 },
        { (const uint8_t *)"CONNECT", 7 },
    };
    text->len = 0;
    input->is_request = !read_one_in(3);
    input->request_method = READ_PICK(methods);
    if (read_one_in(32))
        read_put_pool(text, READ_NOISE, read_random(400));
    else
        read_put_head(text, input->is_request);
    read_draw_limits(&input->limits, text->len);
    if (read_one_in(2))
        for (unsigned i = 1 + read_random(4); i > 0; i--)
            read_mutate(text, other);
    read_put_tail(text, other);
    uint8_t *at = read_place(text->len);
    memcpy(at, text->bytes, text->len);
    input->bytes = (struct weir_slice){ at, text->len };
}

/* What is done with each input; false: it went wrong, and is printed. */
typedef bool read_check(const struct read_input *input);

static inline void read_demand(read_check *check, const struct read_input *input)
{
    if (check(input))
        return;
    read_print_input(input);
    fail_msg("see above");
}

/* Replace bytes where the text lies, most of them for one run alone. @return inputs */
static inline unsigned read_poke(read_check *check, const struct read_input *input)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)input->bytes.ptr; /* ours: read_place() */
    const unsigned count = input->bytes.len < 400 ? 16 : 4;
    if (input->bytes.len == 0)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        size_t at = read_random(input->bytes.len);
        uint8_t before = bytes[at];
        bytes[at] = read_random_byte();
        read_demand(check, input);
        if (!read_one_in(12))
            bytes[at] = before;
    }
    return count;
}

/* Every length of the text, up to the page behind it or from its place on. @return inputs */
static inline unsigned read_truncate(read_check *check, const struct read_input *input,
                                     const struct read_text *text)
{
    struct read_input part = *input;
    const bool at_end = read_one_in(2);
    for (size_t len = 0; len < text->len; len++) {
        uint8_t *at = read_memory.end - len;
        part.bytes.len = len;
        if (at_end) {
            memmove(at, text->bytes, len);
            part.bytes.ptr = at;
        }
        read_demand(check, &part);
    }
    return (unsigned)text->len;
}

/* What came of the inputs: rubbish alone would agree with anything. */
static unsigned read_outcomes[3], read_codes[WEIR_HTTP1_E_COUNT];

static inline void read_count(const struct read_result *result)
{
    read_outcomes[1 + result->parse]++;
    if (result->parse == WEIR_PARSE_ERROR)
        read_codes[result->err.code]++;
}

/* Each outcome often enough, and among many inputs each refusal that a head can have. */
static inline void read_demand_all_outcomes(unsigned inputs)
{
    print_message("%u inputs: %u refused, %u incomplete, %u complete\n", inputs, read_outcomes[0],
                  read_outcomes[1], read_outcomes[2]);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(read_outcomes[i], inputs / 100, inputs);
    for (unsigned code = WEIR_HTTP1_E_NONE + 1; code <= WEIR_HTTP1_E_EXPECT; code++) {
        if (read_codes[code] == 0 && inputs >= 100000)
            fail_msg("no input for: %s", weir_http1_strerror((enum weir_http1_error)code));
    }
}

/* Draw about `inputs_max` inputs for `check`, none of them lenient if `strict`. */
static inline void read_each(read_check *check, bool strict, uint64_t seed, unsigned inputs_max)
{
    static struct read_text texts[2];
    struct read_input input;
    unsigned inputs = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    read_random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
    texts[0].len = texts[1].len = 0;
    memset(read_outcomes, 0, sizeof read_outcomes);
    memset(read_codes, 0, sizeof read_codes);
    for (unsigned round = 0; inputs < inputs_max; round++) {
        struct read_text *text = &texts[round % 2];
        read_draw(&input, text, &texts[1 - round % 2]);
        if (!strict && read_one_in(8))
            input.limits.lenient = read_random(2048);
        read_demand(check, &input);
        inputs += 1 + read_poke(check, &input);
        if (text->len < 500 && read_one_in(256))
            inputs += read_truncate(check, &input, text);
    }
    read_demand_all_outcomes(inputs);
}

/* ---- A path against the scalar one ------------------------------------------------------- */

static enum weir_simd read_path;

static inline void read_step_on(enum weir_simd path, struct read_result *out,
                                const struct read_input *input, size_t len)
{
    weir_http1_use(path);
    read_step(out, input, len);
}

/* All at once. */
static inline bool read_check_whole(const struct read_input *input)
{
    static struct read_result want, got;
    want.resume = got.resume = 0;
    read_step_on(WEIR_SIMD_SCALAR, &want, input, input->bytes.len);
    read_step_on(read_path, &got, input, input->bytes.len);
    read_count(&want);
    if (read_same(&want, &got))
        return true;
    read_print("scalar", &want);
    read_print(weir_simd_name(read_path), &got);
    return false;
}

/* In pieces: each call must agree, with what the call before left in *resume. */
static inline bool read_check_pieces(const struct read_input *input)
{
    static struct read_result want, got;
    const size_t stride = 1 + read_random(read_one_in(2) ? 8 : 200);
    const size_t all = input->bytes.len;
    want.resume = got.resume = 0;
    for (size_t len = read_random(all + 1);; len = len + stride < all ? len + stride : all) {
        read_step_on(WEIR_SIMD_SCALAR, &want, input, len);
        read_step_on(read_path, &got, input, len);
        if (!read_same(&want, &got)) {
            fprintf(stderr, "with %zu bytes in steps of %zu\n", len, stride);
            read_print("scalar", &want);
            read_print(weir_simd_name(read_path), &got);
            return false;
        }
        if (want.parse != WEIR_PARSE_MORE || len == all) {
            read_count(&want);
            return true;
        }
    }
}

/* The tests of http1_read_PATH.c. */
static inline void read_test_whole(enum weir_simd path, uint64_t seed)
{
    if (!weir_simd_has(path))
        skip();
    read_path = path;
    read_each(read_check_whole, false, seed, READ_INPUTS);
    weir_http1_use(weir_simd_used());
}

static inline void read_test_pieces(enum weir_simd path, uint64_t seed)
{
    if (!weir_simd_has(path))
        skip();
    read_path = path;
    read_each(read_check_pieces, false, seed, READ_INPUTS / 40);
    weir_http1_use(weir_simd_used());
}

#endif
