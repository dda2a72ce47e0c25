/* SPDX-License-Identifier: MIT */
/*
 * How much work the codec does for what an attacker may send: whatever it is, it is refused at its
 * limit, or each of its bytes is looked at a bounded number of times.
 *
 *   - What is refused is refused without a look at what lies behind: it is declared, and behind the
 *     limit and a page there is memory that nobody may read.
 *   - What comes in pieces is never looked at again before it is complete: the pages behind the
 *     present one are made unreadable as it goes on. A head is read once more at its end; a body
 *     never is, and the calls it takes are counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <weir/http1.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB        (1u << 20)
#define FIELDS_MAX 20000

static struct weir_http1_field fields[FIELDS_MAX];

/* ---- What is declared and not there ------------------------------------------------------ */

/* `declared` bytes of `unit` behind `begin`, of which only those up to a page behind `limit` can be
 * read. */
static struct weir_slice beyond_open(struct weir_slice begin, struct weir_slice unit, size_t limit,
                                     size_t declared)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t there = (limit + 2 * page - 1) / page * page;
    uint8_t *map = mmap(NULL, declared + there, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_true(there < declared);
    for (size_t i = 0; i < there; i++)
        map[i] = i < begin.len ? begin.ptr[i] : unit.ptr[(i - begin.len) % unit.len];
    assert_int_equal(mprotect(map + there, declared, PROT_NONE), 0);
    return (struct weir_slice){ map, declared };
}

static void beyond_close(struct weir_slice bytes, size_t limit)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t there = (limit + 2 * page - 1) / page * page;
    assert_int_equal(munmap((void *)(uintptr_t)bytes.ptr, bytes.len + there), 0);
}

struct refused {
    const char *name;
    struct weir_slice begin, unit;
    uint32_t head_bytes_max, target_bytes_max;
    uint16_t fields_max;
    bool response;
    enum weir_http1_error code;
    size_t
        limit; /* where it is refused at the latest; never is more looked at than a head may have */
};

static void refuse_head(const struct refused *t)
{
    const struct weir_http1_limits limits = { .head_bytes_max = t->head_bytes_max,
                                              .target_bytes_max = t->target_bytes_max,
                                              .fields_max = t->fields_max };
    struct weir_slice bytes = beyond_open(t->begin, t->unit, t->head_bytes_max, MIB);
    struct weir_http1_head head = { .fields = fields };
    struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
    uint32_t resume = 0;
    enum weir_parse r =
        t->response
            ? weir_http1_parse_response(&head, &limits, WEIR_TEXT("GET"), bytes, &resume, &err)
            : weir_http1_parse_request(&head, &limits, bytes, &resume, &err);
    if (r != WEIR_PARSE_ERROR || err.code != t->code || err.offset > t->limit)
        fail_msg("%s: result %d, code %d at %u; expected code %d at %zu at most", t->name, (int)r,
                 (int)err.code, err.offset, (int)t->code, t->limit);
    beyond_close(bytes, t->head_bytes_max);

    /* The same byte by byte: refused no later, and by nothing else. */
    uint8_t *text = malloc(t->limit + 64);
    assert_non_null(text);
    for (size_t i = 0; i < t->limit + 64; i++)
        text[i] =
            i < t->begin.len ? t->begin.ptr[i] : t->unit.ptr[(i - t->begin.len) % t->unit.len];
    resume = 0;
    r = WEIR_PARSE_MORE;
    size_t len = 0;
    while (r == WEIR_PARSE_MORE && len < t->limit + 64) {
        struct weir_slice prefix = { text, ++len };
        r = t->response
                ? weir_http1_parse_response(&head, &limits, WEIR_TEXT("GET"), prefix, &resume, &err)
                : weir_http1_parse_request(&head, &limits, prefix, &resume, &err);
    }
    if (r != WEIR_PARSE_ERROR || err.code != t->code)
        fail_msg("%s, byte by byte: result %d, code %d after %zu bytes", t->name, (int)r,
                 (int)err.code, len);
    free(text);
}

#define GET      "GET / HTTP/1.1\r\nHost: a\r\n"
#define HTTP_200 "HTTP/1.1 200 OK\r\n"

static void test_refused_heads(void **state)
{
    (void)state;
    const struct refused table[] = {
        /* Fields are counted when all of them are there. */
        { "1 MiB of tiny fields, also too many", WEIR_TEXT(GET), WEIR_TEXT("a:\r\n"), 65535, 8192,
          100, false, WEIR_HTTP1_E_HEAD_TOO_LONG, 65536 },
        { "1 MiB of tiny fields", WEIR_TEXT(GET), WEIR_TEXT("a:\r\n"), 65535, 8192, 20000, false,
          WEIR_HTTP1_E_HEAD_TOO_LONG, 65536 },
        { "1 MiB of tiny fields of a response", WEIR_TEXT(HTTP_200), WEIR_TEXT("a:\r\n"), 16384, 0,
          20000, true, WEIR_HTTP1_E_HEAD_TOO_LONG, 16385 },
        { "10^5 empty lines", WEIR_TEXT(""), WEIR_TEXT("\r\n"), 65535, 8192, 100, false,
          WEIR_HTTP1_E_START_LINE, 64 },
        { "1 MiB of one value", WEIR_TEXT(GET "X: "), WEIR_TEXT("x"), 65535, 8192, 100, false,
          WEIR_HTTP1_E_HEAD_TOO_LONG, 65536 },
        { "1 MiB of blanks before a value", WEIR_TEXT(GET "X:"), WEIR_TEXT(" "), 4096, 8192, 100,
          false, WEIR_HTTP1_E_HEAD_TOO_LONG, 4097 },
        { "1 MiB of one name", WEIR_TEXT(GET), WEIR_TEXT("x"), 65535, 8192, 100, false,
          WEIR_HTTP1_E_HEAD_TOO_LONG, 65536 },
        { "1 MiB of one target", WEIR_TEXT("GET /"), WEIR_TEXT("x"), 65535, 8192, 100, false,
          WEIR_HTTP1_E_TARGET_TOO_LONG, 8192 + 64 },
        { "1 MiB of one method", WEIR_TEXT(""), WEIR_TEXT("X"), 65535, 8192, 100, false,
          WEIR_HTTP1_E_METHOD_TOO_LONG, 1024 },
        { "1 MiB of one reason", WEIR_TEXT("HTTP/1.1 200 "), WEIR_TEXT("x"), 65535, 0, 100, true,
          WEIR_HTTP1_E_HEAD_TOO_LONG, 65536 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        refuse_head(&table[i]);
}

/* A head that is long enough for 10,000 fields, where a hundred may be. */
static void test_too_many_fields(void **state)
{
    (void)state;
    const struct weir_http1_limits limits = { .head_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
                                              .target_bytes_max = 8192,
                                              .fields_max = 100 };
    struct weir_http1_head head = { .fields = fields };
    struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
    size_t begin = sizeof GET - 1, bytes = begin + 4 * 10000 + 2;
    uint8_t *text = malloc(bytes);
    assert_non_null(text);
    memcpy(text, GET, begin);
    for (size_t i = 0; i < 10000; i++)
        memcpy(text + begin + 4 * i, "a:\r\n", 4);
    memcpy(text + bytes - 2, "\r\n", 2);
    for (size_t stride = 1; stride <= bytes; stride *= 10) {
        uint32_t resume = 0;
        enum weir_parse r = WEIR_PARSE_MORE;
        for (size_t len = stride; r == WEIR_PARSE_MORE;
             len = bytes - len < stride ? bytes : len + stride)
            r = weir_http1_parse_request(&head, &limits, (struct weir_slice){ text, len }, &resume,
                                         &err);
        assert_int_equal(r, WEIR_PARSE_ERROR);
        assert_int_equal(err.code, WEIR_HTTP1_E_FIELDS_TOO_MANY);
        assert_int_equal(err.offset, begin + 4 * 99); /* Host is the first */
    }
    free(text);
}

/* The whole of the extensions of a body, and of its trailers, has a limit. */
static void refuse_body(const char *name, struct weir_slice begin, struct weir_slice unit,
                        size_t limit, enum weir_http1_error code)
{
    struct weir_slice bytes = beyond_open(begin, unit, limit, MIB);
    struct weir_http1_body body;
    struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
    struct weir_slice rest = bytes, piece;
    enum weir_parse r;
    size_t calls = 0, used = 0;
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    do {
        r = weir_http1_body_feed(&body, rest, &used, &piece, &err);
        rest.ptr += used;
        rest.len -= used;
        calls++;
    } while (r == WEIR_PARSE_MORE && rest.ptr < bytes.ptr + limit);
    size_t at = (size_t)(rest.ptr - bytes.ptr);
    if (r != WEIR_PARSE_ERROR || err.code != code || at > limit)
        fail_msg("%s: result %d, code %d at %zu after %zu calls; expected code %d at %zu at most",
                 name, (int)r, (int)err.code, at, calls, (int)code, limit);
    beyond_close(bytes, limit);
}

static void test_refused_bodies(void **state)
{
    (void)state;
    refuse_body("64 KiB of chunk extension", WEIR_TEXT("1;a="), WEIR_TEXT("x"),
                WEIR_HTTP1_CHUNK_EXT_BYTES_MAX + 64, WEIR_HTTP1_E_CHUNK_EXT);
    refuse_body("many chunk extensions", WEIR_TEXT("1"), WEIR_TEXT(";a=b"),
                WEIR_HTTP1_CHUNK_EXT_BYTES_MAX + 64, WEIR_HTTP1_E_CHUNK_EXT);
    /* Of the 10 bytes of each chunk four are an extension's. */
    refuse_body("a small extension in each chunk", WEIR_TEXT(""), WEIR_TEXT("1;a=b\r\nx\r\n"),
                WEIR_HTTP1_CHUNK_EXT_BYTES_MAX / 4 * 10 + 64, WEIR_HTTP1_E_CHUNK_EXT);
    refuse_body("64 KiB of one trailer", WEIR_TEXT("0\r\nX: "), WEIR_TEXT("x"),
                WEIR_HTTP1_TRAILER_BYTES_MAX + 64, WEIR_HTTP1_E_TRAILER);
    refuse_body("64 KiB of trailers", WEIR_TEXT("0\r\n"), WEIR_TEXT("a:\r\n"),
                WEIR_HTTP1_TRAILER_BYTES_MAX + 64, WEIR_HTTP1_E_TRAILER);
    refuse_body("a chunk size of zeros", WEIR_TEXT(""), WEIR_TEXT("0"), 64,
                WEIR_HTTP1_E_CHUNK_SIZE);
}

/* ---- What is not looked at again --------------------------------------------------------- */

/* Something to be read, of about `bytes`, in pieces of `stride`. */
struct job {
    const char *name;
    struct weir_slice begin, unit, end;
    size_t stride;
    bool response, chunked;
    size_t bytes;
};

/* Its text, of which the first `hidden` bytes, whole pages, cannot be read. */
struct text {
    uint8_t *ptr;
    size_t len, mapped, hidden, page;
};

/* begin, as many units as fit, end. */
static struct text text_open(const struct job *job)
{
    struct text text = { .page = (size_t)sysconf(_SC_PAGESIZE) };
    text.mapped = (job->bytes + text.page - 1) / text.page * text.page;
    text.ptr = mmap(NULL, text.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(text.ptr != MAP_FAILED);
    if (job->begin.len > 0)
        memcpy(text.ptr, job->begin.ptr, job->begin.len);
    for (text.len = job->begin.len; text.len + job->unit.len + job->end.len <= job->bytes;
         text.len += job->unit.len)
        memcpy(text.ptr + text.len, job->unit.ptr, job->unit.len);
    memcpy(text.ptr + text.len, job->end.ptr, job->end.len);
    text.len += job->end.len;
    return text;
}

/* Nothing before `at` is needed any more, but for the page before it: vectors may begin there. */
static void text_hide(struct text *text, size_t at)
{
    size_t pages = at / text->page;
    size_t hidden = pages > 1 ? (pages - 1) * text->page : 0;
    if (hidden == text->hidden)
        return;
    text->hidden = hidden;
    assert_int_equal(mprotect(text->ptr, hidden, PROT_NONE), 0);
}

static void text_show(struct text *text)
{
    text->hidden = 0;
    assert_int_equal(mprotect(text->ptr, text->mapped, PROT_READ), 0);
}

static void run_head(const struct job *job, struct text *text)
{
    const struct weir_http1_limits limits = { .head_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
                                              .target_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
                                              .fields_max = FIELDS_MAX };
    struct weir_http1_head head = { .fields = fields };
    struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
    uint32_t resume = 0;
    enum weir_parse r = WEIR_PARSE_MORE;
    for (size_t len = 0; r == WEIR_PARSE_MORE && len < text->len;) {
        if (text->len - len <= job->stride) /* complete: now it is read */
            text_show(text);
        else
            text_hide(text, len);
        len = text->len - len < job->stride ? text->len : len + job->stride;
        struct weir_slice prefix = { text->ptr, len };
        r = job->response
                ? weir_http1_parse_response(&head, &limits, WEIR_TEXT("GET"), prefix, &resume, &err)
                : weir_http1_parse_request(&head, &limits, prefix, &resume, &err);
    }
    if (r != WEIR_PARSE_DONE || head.bytes != text->len)
        fail_msg("%s: result %d, code %d at %u of %zu", job->name, (int)r, (int)err.code,
                 err.offset, text->len);
    /* The field that is not there is looked for in all of them. */
    assert_null(weir_http1_find(&head, WEIR_TEXT("x-none")).ptr);
}

static void run_chunks(const struct job *job, struct text *text)
{
    struct weir_http1_body body;
    struct weir_parse_err err = { .code = WEIR_HTTP1_E_NONE };
    enum weir_parse r = WEIR_PARSE_MORE;
    size_t at = 0, calls = 0;
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    while (r == WEIR_PARSE_MORE && at < text->len) {
        text_hide(text, at);
        size_t left = text->len - at, used = 0;
        struct weir_slice in = { text->ptr + at, left < job->stride ? left : job->stride }, piece;
        r = weir_http1_body_feed(&body, in, &used, &piece, &err);
        if (r == WEIR_PARSE_ERROR || used == 0)
            fail_msg("%s: result %d, code %d at %zu", job->name, (int)r, (int)err.code, at + used);
        at += used;
        calls++;
    }
    assert_int_equal(r, WEIR_PARSE_DONE);
    assert_int_equal(at, text->len);
    /* A call takes all it is given, or ends with a piece of payload. */
    assert_true(calls <= text->len / job->stride + body.decoded_bytes + 2);
}

static void run_job(const struct job *job)
{
    struct text text = text_open(job);
    if (job->chunked)
        run_chunks(job, &text);
    else
        run_head(job, &text);
    assert_int_equal(munmap(text.ptr, text.mapped), 0);
}

#define HEAD_BYTES 65520
#define WHOLE      SIZE_MAX

static void test_heads(void **state)
{
    (void)state;
    const struct weir_slice get = WEIR_TEXT(GET), end = WEIR_TEXT("\r\n");
    const struct job jobs[] = {
        { "10,000 fields", get, WEIR_TEXT("abc:\r\n"), end, WHOLE, false, false, HEAD_BYTES },
        { "16,000 fields", get, WEIR_TEXT("a:\r\n"), end, WHOLE, false, false, HEAD_BYTES },
        { "a head byte by byte", get, WEIR_TEXT("X-Name: some value\r\n"), end, 1, false, false,
          HEAD_BYTES },
        { "tiny fields byte by byte", get, WEIR_TEXT("a:\r\n"), end, 1, false, false, HEAD_BYTES },
        { "one value byte by byte", WEIR_TEXT(GET "X: "), WEIR_TEXT("x"), WEIR_TEXT("\r\n\r\n"), 1,
          false, false, HEAD_BYTES },
        { "one value in pieces", WEIR_TEXT(GET "X: "), WEIR_TEXT("x"), WEIR_TEXT("\r\n\r\n"), 7,
          false, false, HEAD_BYTES },
        { "blanks before a value byte by byte", WEIR_TEXT(GET "X:"), WEIR_TEXT(" "),
          WEIR_TEXT("x\r\n\r\n"), 1, false, false, HEAD_BYTES },
        { "blanks behind a value byte by byte", WEIR_TEXT(GET "X: x"), WEIR_TEXT(" \t"),
          WEIR_TEXT("\r\n\r\n"), 1, false, false, HEAD_BYTES },
        { "blanks in a value", WEIR_TEXT(GET "X: x"), WEIR_TEXT("   x"), WEIR_TEXT("\r\n\r\n"), 1,
          false, false, HEAD_BYTES },
        { "one name byte by byte", get, WEIR_TEXT("x"), WEIR_TEXT(":\r\n\r\n"), 1, false, false,
          HEAD_BYTES },
        { "one target byte by byte", WEIR_TEXT("GET /"), WEIR_TEXT("x"),
          WEIR_TEXT(" HTTP/1.1\r\nHost: a\r\n\r\n"), 1, false, false, HEAD_BYTES },
        { "an absolute target", WEIR_TEXT("GET http://a"), WEIR_TEXT("/:"),
          WEIR_TEXT(" HTTP/1.1\r\nHost: a\r\n\r\n"), 1, false, false, HEAD_BYTES },
        { "options of Connection", WEIR_TEXT(GET "Connection: a"), WEIR_TEXT(" ,"),
          WEIR_TEXT("\r\n\r\n"), WHOLE, false, false, HEAD_BYTES },
        { "fields Connection", get, WEIR_TEXT("Connection: close, x\r\n"), end, 1, false, false,
          HEAD_BYTES },
        { "one reason byte by byte", WEIR_TEXT("HTTP/1.1 200 "), WEIR_TEXT("x"),
          WEIR_TEXT("\r\n\r\n"), 1, true, false, HEAD_BYTES },
        { "lengths of a response", WEIR_TEXT(HTTP_200), WEIR_TEXT("Content-Length: 7\r\n"), end, 1,
          true, false, HEAD_BYTES },
    };
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++)
        run_job(&jobs[i]);
}

static void test_chunks(void **state)
{
    (void)state;
    const struct weir_slice none = { .len = 0 }, last = WEIR_TEXT("0\r\n\r\n");
    const struct job jobs[] = {
        { "a million chunks of a byte", none, WEIR_TEXT("1\r\nx\r\n"), last, WHOLE, false, true,
          6000005 },
        { "chunks of a byte, byte by byte", none, WEIR_TEXT("1\r\nx\r\n"), last, 1, false, true,
          MIB },
        { "an extension byte by byte", WEIR_TEXT("1;a="), WEIR_TEXT("x"),
          WEIR_TEXT("\r\nx\r\n0\r\n\r\n"), 1, false, true, 16000 },
        { "a trailer byte by byte", WEIR_TEXT("0\r\nX: "), WEIR_TEXT("x"), WEIR_TEXT("\r\n\r\n"), 1,
          false, true, 16000 },
    };
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++)
        run_job(&jobs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_heads),  cmocka_unit_test(test_too_many_fields),
        cmocka_unit_test(test_refused_bodies), cmocka_unit_test(test_heads),
        cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
