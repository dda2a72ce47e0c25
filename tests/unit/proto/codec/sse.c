/* SPDX-License-Identifier: MIT */
/*
 * The reader of event streams: one row per rule, limits, and every way to cut the input, each in
 * memory that ends at a page nobody may read. Random streams are compared with a slow model.
 */
#include "unit/proto/codec/parse_rig.h"

#include <weir/random.h>

#include "proto/codec/sse_line.h"
#include "unit/proto/codec/sse_model.h"

#include <errno.h>

#define SEED           20260u
#define RANDOM_STREAMS 100000u
#define EVENTS_MAX     4
#define BUFFER_BYTES   8192u

static const struct weir_sse_limits ample = { .data_bytes_max = 4096,
                                              .type_bytes_max = 256,
                                              .id_bytes_max = 1024 };

static struct sse_model model;
static struct sse_log want, got;

/* A page that nobody may touch follows: the reader's buffer ends there too. */
static uint8_t *buffer_end;

static uint8_t *buffer_of(const struct weir_sse_limits *limits)
{
    assert_true(weir_sse_buffer_bytes(limits) <= BUFFER_BYTES);
    return buffer_end - weir_sse_buffer_bytes(limits);
}

static int setup(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (BUFFER_BYTES + page - 1) / page * page;
    uint8_t *map =
        mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + bytes, page, PROT_NONE), 0);
    buffer_end = map + bytes;
    return rig_setup(state);
}

static void open_reader(struct weir_sse_reader *reader, const struct weir_sse_limits *limits)
{
    size_t bytes = weir_sse_buffer_bytes(limits);
    memset(reader, 0xa5, sizeof *reader);
    memset(buffer_of(limits), 0xa5, bytes);
    assert_int_equal(weir_sse_init(reader, limits, buffer_of(limits), bytes), 0);
}

/* ---- Every way to cut ------------------------------------------------------------------------ */

struct cuts {
    size_t first, step; /* pieces of `step` bytes, the first one of `first` */
    uint64_t key;       /* not 0: pieces of up to `step` bytes at random, empty ones too */
};

static void run_reader(struct weir_slice text, const struct weir_sse_limits *limits,
                       const struct cuts *cuts)
{
    struct weir_sse_reader reader;
    open_reader(&reader, limits);
    log_begin(&got);
    size_t len = cuts->first;
    uint64_t draw = 0;
    bool good = true;
    for (size_t at = 0; good && at < text.len;) {
        if (cuts->key != 0)
            len = (size_t)(weir_random_u64(SEED, cuts->key, draw++) % (cuts->step + 1));
        if (len > text.len - at)
            len = text.len - at;
        struct weir_slice piece = rig_place((struct weir_slice){ text.ptr + at, len });
        good = log_read(&got, &reader, piece, at);
        at += len;
        len = cuts->step;
    }
    log_read_finish(&got, &reader);
}

static void demand_same(struct weir_slice text, const struct cuts *cuts)
{
    if (log_same(&want, &got))
        return;
    rig_print("stream", text);
    fail_msg("cuts %zu, %zu, %llu: %zu events, code %d at %zu; model: %zu, %d, %zu", cuts->first,
             cuts->step, (unsigned long long)cuts->key, got.events_count, (int)got.code,
             got.error_at, want.events_count, (int)want.code, want.error_at);
}

static void run_cut(struct weir_slice text, const struct weir_sse_limits *limits, struct cuts cuts)
{
    run_reader(text, limits, &cuts);
    demand_same(text, &cuts);
}

/* The model's answer is in `want` afterwards, and the reader's is the same in every way. */
static void run_every_way(struct weir_slice text, const struct weir_sse_limits *limits)
{
    model_run(&model, &want, text, limits);
    for (size_t cut = 0; cut <= text.len; cut++)
        run_cut(text, limits, (struct cuts){ .first = cut, .step = SIZE_MAX });
    run_cut(text, limits, (struct cuts){ .first = 1, .step = 1 });
    for (uint64_t key = 1; key < 8; key++)
        run_cut(text, limits, (struct cuts){ .step = key, .key = key });
}

/* ---- Rules ----------------------------------------------------------------------------------- */

#define LIT(text_)                                                                                 \
    {                                                                                              \
        .ptr = (const uint8_t *)(text_), .len = sizeof(text_) - 1                                  \
    }

struct row_event {
    struct weir_slice data;
    struct weir_slice type, id; /* no type: "message" */
    uint64_t retry_ms;
    bool has_retry, has_id;
};

struct row {
    struct weir_slice text;
    struct row_event events[EVENTS_MAX]; /* up to the first whose data is {NULL, 0} */
    uint64_t comments_count;
};

#define DATA(text_) .data = LIT(text_)
#define TYPE(text_) .type = LIT(text_)
#define NEW_ID(id_) .id = LIT(id_), .has_id = true
#define OLD_ID(id_) .id = LIT(id_)
#define RETRY(ms_)  .retry_ms = (ms_), .has_retry = true

static const struct row rows[] = {
    { LIT(""), { { .retry_ms = 0 } }, 0 },
    { LIT("data: x\n\n"), { { DATA("x") } }, 0 },
    /* Line ends, in any mixture. */
    { LIT("data: x\r\n\r\n"), { { DATA("x") } }, 0 },
    { LIT("data: x\r\r"), { { DATA("x") } }, 0 },
    { LIT("data: x\n\r"), { { DATA("x") } }, 0 },
    { LIT("data: x\r\n\n"), { { DATA("x") } }, 0 },
    { LIT("data: x\n\r\n"), { { DATA("x") } }, 0 },
    { LIT("data: x\r\n\rdata: y\r\r\n"), { { DATA("x") }, { DATA("y") } }, 0 },
    { LIT("data: x\r\r\ndata: y\n\n"), { { DATA("x") }, { DATA("y") } }, 0 },
    /* CR LF is one end: no empty line is between. */
    { LIT("data: x\r\ndata: y\r\n\r\n"), { { DATA("x\ny") } }, 0 },
    { LIT("data: x\n\ndata: y\n\n"), { { DATA("x") }, { DATA("y") } }, 0 },
    { LIT("\n\r\r\n\n\ndata: x\n\n\n\r"), { { DATA("x") } }, 0 },
    /* One space is stripped, no more and nothing else. */
    { LIT("data:x\n\n"), { { DATA("x") } }, 0 },
    { LIT("data:  x \n\n"), { { DATA(" x ") } }, 0 },
    { LIT("data:\tx\n\n"), { { DATA("\tx") } }, 0 },
    { LIT("data: \n\n"), { { DATA("") } }, 0 },
    { LIT("data::\n\n"), { { DATA(":") } }, 0 },
    { LIT("data: a: b\n\n"), { { DATA("a: b") } }, 0 },
    /* Lines are joined by LF and the last one is taken off; a line without a colon is empty. */
    { LIT("data: a\ndata: b\n\n"), { { DATA("a\nb") } }, 0 },
    { LIT("data: a\ndata:\n\n"), { { DATA("a\n") } }, 0 },
    { LIT("data\n\ndata\ndata\n\ndata:"), { { DATA("") }, { DATA("\n") } }, 0 },
    { LIT("data\ndata: a\ndata\ndata\ndata: b\n\n"), { { DATA("\na\n\n\nb") } }, 0 },
    { LIT("data: a\n:c\nfoo: bar\nid: 1\ndata: b\n\n"), { { DATA("a\nb"), NEW_ID("1") } }, 1 },
    /* Names are compared byte for byte. */
    { LIT("Data: x\nDATA: y\n\n"), { { .retry_ms = 0 } }, 0 },
    { LIT(" data: x\ndata : x\ndatax: y\ndat: z\n\n"), { { .retry_ms = 0 } }, 0 },
    { LIT("data\0: x\nid\0: y\ndata: z\n\n"), { { DATA("z") } }, 0 },
    { LIT("foo\nfoo:\nfoobarbazfoobarbaz: x\ne\ndata: x\n\n"), { { DATA("x") } }, 0 },
    /* Comments. */
    { LIT(":\n:c\r: c\r\n::\n:data: x\n\n"), { { .retry_ms = 0 } }, 5 },
    { LIT(": half a comment"), { { .retry_ms = 0 } }, 1 },
    /* Types. */
    { LIT("event: add\ndata: x\n\ndata: y\n\n"), { { DATA("x"), TYPE("add") }, { DATA("y") } }, 0 },
    { LIT("data: x\nevent: add\n\n"), { { DATA("x"), TYPE("add") } }, 0 },
    { LIT("event: a\nevent: bcd\ndata: x\n\n"), { { DATA("x"), TYPE("bcd") } }, 0 },
    { LIT("event: abc\nevent: d\ndata: x\n\n"), { { DATA("x"), TYPE("d") } }, 0 },
    { LIT("event: abc\nevent\ndata: x\n\n"), { { DATA("x") } }, 0 },
    { LIT("event: \ndata: x\n\n"), { { DATA("x") } }, 0 },
    { LIT("event: a\0b\ndata: x\n\n"), { { DATA("x"), TYPE("a\0b") } }, 0 },
    /* Without data there is no event, the type is forgotten and the ID stays. */
    { LIT("event: a\nid: 7\n\ndata: x\n\n"), { { DATA("x"), NEW_ID("7") } }, 0 },
    { LIT("event: a\n\n\ndata: x\n\n"), { { DATA("x") } }, 0 },
    /* IDs. */
    { LIT("id: 1\ndata: x\n\ndata: y\n\n"),
      { { DATA("x"), NEW_ID("1") }, { DATA("y"), OLD_ID("1") } },
      0 },
    { LIT("id: 1\ndata: x\n\nid\ndata: y\n\n"),
      { { DATA("x"), NEW_ID("1") }, { DATA("y"), NEW_ID("") } },
      0 },
    { LIT("id: 1\ndata: x\n\nid:\ndata: y\n\n"),
      { { DATA("x"), NEW_ID("1") }, { DATA("y"), NEW_ID("") } },
      0 },
    { LIT("id: 1\nid: 22\nid:  3\ndata: x\n\n"), { { DATA("x"), NEW_ID(" 3") } }, 0 },
    { LIT("id: 1\0\ndata: x\n\n"), { { DATA("x") } }, 0 },
    { LIT("id: 1\nid: 23\0\ndata: x\n\n"), { { DATA("x"), NEW_ID("1") } }, 0 },
    { LIT("id: 1\ndata: x\n\nid: \0\ndata: y\n\n"),
      { { DATA("x"), NEW_ID("1") }, { DATA("y"), OLD_ID("1") } },
      0 },
    { LIT("id: 1\n\nid: 2\n"), { { .retry_ms = 0 } }, 0 },
    /* The time until a reconnection. */
    { LIT("retry: 10\ndata: x\n\ndata: y\n\n"), { { DATA("x"), RETRY(10) }, { DATA("y") } }, 0 },
    { LIT("retry:0\n\n\ndata: y\n\n"), { { DATA("y"), RETRY(0) } }, 0 },
    { LIT("retry: 000000000000000000000000012\ndata: x\n\n"), { { DATA("x"), RETRY(12) } }, 0 },
    { LIT("retry: 18446744073709551615\ndata: x\n\n"), { { DATA("x"), RETRY(UINT64_MAX) } }, 0 },
    { LIT("retry: 5\nretry: 18446744073709551616\ndata: x\n\n"), { { DATA("x"), RETRY(5) } }, 0 },
    { LIT("retry: 99999999999999999999\ndata: x\n\n"), { { DATA("x") } }, 0 },
    { LIT("retry: 184467440737095516150\ndata: x\n\n"), { { DATA("x") } }, 0 },
    { LIT("retry\nretry:\nretry: \ndata: x\n\n"), { { DATA("x") } }, 0 },
    { LIT("retry: 1 \nretry:  1\nretry: +1\nretry: -1\nretry: 1a\nretry: 0x1\ndata: x\n\n"),
      { { DATA("x") } },
      0 },
    /* One byte order mark, at the start only. */
    { LIT("\357\273\277data: x\n\n"), { { DATA("x") } }, 0 },
    { LIT("\357\273\277\357\273\277data: x\ndata: y\n\n"), { { DATA("y") } }, 0 },
    { LIT("\357\273data: x\ndata: y\n\n"), { { DATA("y") } }, 0 },
    { LIT("\357data: x\ndata: y\n\n"), { { DATA("y") } }, 0 },
    { LIT("\xef\ndata: y\n\n"), { { DATA("y") } }, 0 },
    { LIT("\xef\xbb\rdata: y\n\n"), { { DATA("y") } }, 0 },
    { LIT("\xef\xbb\xbf\ndata: y\n\n"), { { DATA("y") } }, 0 },
    { LIT("\n\357\273\277data: x\ndata: \357\273\277\n\n"), { { DATA("\xef\xbb\xbf") } }, 0 },
    /* Bytes pass as they are: UTF-8, what is none, and NUL. */
    { LIT("data: \xc3\xa4\xf0\x9f\x98\x80\n\n"), { { DATA("\xc3\xa4\xf0\x9f\x98\x80") } }, 0 },
    { LIT("data: \xff\xc0\x80\0\x01\x0b\x0c\n\n"), { { DATA("\xff\xc0\x80\0\x01\x0b\x0c") } }, 0 },
    { LIT("event: \xc3\xa4\nid: \xe2\x82\xac\ndata: x\n\n"),
      { { DATA("x"), TYPE("\xc3\xa4"), NEW_ID("\xe2\x82\xac") } },
      0 },
    /* Lines that Unicode knows and event streams do not. */
    { LIT("data: a\013b\302\205c\342\200\250d\n\n"),
      { { DATA("a\013b\302\205c\342\200\250d") } },
      0 },
    /* What no empty line ends never happened. */
    { LIT("data: x\n"), { { .retry_ms = 0 } }, 0 },
    { LIT("data: x\n\ndata: y\nid: 1\n"), { { DATA("x") } }, 0 },
};

#undef DATA
#undef TYPE
#undef NEW_ID
#undef OLD_ID
#undef RETRY

static void expect_events(const struct row *row, const struct sse_log *log)
{
    size_t count = 0;
    for (; count < EVENTS_MAX && row->events[count].data.ptr != NULL; count++) {
        const struct row_event *expected = &row->events[count];
        assert_true(count < log->events_count);
        struct weir_sse_event event = log_event(log, count);
        struct weir_slice type = expected->type;
        if (type.ptr == NULL)
            type = WEIR_TEXT("message");
        assert_int_equal(event.data.len, expected->data.len);
        assert_memory_equal(event.data.ptr, expected->data.ptr, event.data.len);
        assert_int_equal(event.type.len, type.len);
        assert_memory_equal(event.type.ptr, type.ptr, type.len);
        assert_int_equal(event.last_event_id.len, expected->id.len);
        if (expected->id.len != 0)
            assert_memory_equal(event.last_event_id.ptr, expected->id.ptr, expected->id.len);
        assert_int_equal(event.has_retry, expected->has_retry);
        assert_true(event.retry_ms == expected->retry_ms);
        assert_int_equal(event.has_id, expected->has_id);
    }
    assert_int_equal(log->events_count, count);
    assert_int_equal(log->comments_count, row->comments_count);
}

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_print("row", rows[i].text);
        run_every_way(rows[i].text, &ample);
        assert_int_equal(got.code, WEIR_SSE_E_NONE);
        expect_events(&rows[i], &got);
        expect_events(&rows[i], &want);
    }
}

static enum weir_parse read_text(struct weir_sse_reader *reader, struct weir_slice text,
                                 struct weir_sse_event *event)
{
    struct weir_sse_err err;
    size_t consumed;
    enum weir_parse result = weir_sse_read(reader, text, &consumed, event, &err);
    assert_int_equal(consumed, text.len);
    return result;
}

/* An event is there with the last byte that it needs, also when that is a CR. */
static void test_no_waiting(void **state)
{
    struct weir_sse_reader reader;
    struct weir_sse_event event;
    (void)state;
    open_reader(&reader, &ample);
    assert_int_equal(read_text(&reader, WEIR_TEXT("data: x\r\n\r"), &event), WEIR_PARSE_DONE);
    assert_int_equal(event.data.len, 1);
    assert_int_equal(read_text(&reader, WEIR_TEXT("\n"), &event), WEIR_PARSE_MORE);
    assert_int_equal(read_text(&reader, WEIR_TEXT("data: y\r"), &event), WEIR_PARSE_MORE);
    assert_int_equal(read_text(&reader, WEIR_TEXT("\r"), &event), WEIR_PARSE_DONE);
    assert_int_equal(read_text(&reader, WEIR_TEXT(""), &event), WEIR_PARSE_MORE);
    /* This LF belongs to the CR before the empty feed; the next one is a line of its own. */
    assert_int_equal(read_text(&reader, WEIR_TEXT("\ndata: z\n"), &event), WEIR_PARSE_MORE);
    assert_int_equal(read_text(&reader, (struct weir_slice){ NULL, 0 }, &event), WEIR_PARSE_MORE);
    assert_int_equal(read_text(&reader, WEIR_TEXT("\n"), &event), WEIR_PARSE_DONE);
    assert_memory_equal(event.data.ptr, "z", 1);
}

static bool lies_in(struct weir_slice view, const uint8_t *begin, const uint8_t *end)
{
    return view.ptr >= begin && view.ptr + view.len <= end;
}

/* What lies in one feed is not copied, and what does not is out of the input when it goes. */
static void test_views(void **state)
{
    struct weir_sse_reader reader;
    struct weir_sse_event event;
    const struct weir_slice text = WEIR_TEXT("event: add\ndata: abc\n\n");
    (void)state;
    open_reader(&reader, &ample);
    for (size_t cut = 0; cut <= text.len - 1; cut++) {
        struct weir_slice piece = rig_place(rig_prefix(text, cut));
        assert_int_equal(read_text(&reader, piece, &event), WEIR_PARSE_MORE);
        piece = rig_place((struct weir_slice){ text.ptr + cut, text.len - cut });
        assert_int_equal(read_text(&reader, piece, &event), WEIR_PARSE_DONE);
        assert_int_equal(event.type.len, 3);
        assert_memory_equal(event.type.ptr, "add", 3);
        assert_int_equal(event.data.len, 3);
        assert_memory_equal(event.data.ptr, "abc", 3);
        const uint8_t *end = piece.ptr + piece.len;
        /* In the second piece, unless the first one went on behind the colon. */
        assert_int_equal(lies_in(event.type, piece.ptr, end), cut <= strlen("event:"));
        assert_int_equal(lies_in(event.data, piece.ptr, end), cut <= strlen("event: add\ndata:"));
    }
    /* Two lines of data must be joined, so they are copied. */
    struct weir_slice two = rig_place(WEIR_TEXT("data: a\ndata: b\n\n"));
    assert_int_equal(read_text(&reader, two, &event), WEIR_PARSE_DONE);
    assert_true(lies_in(event.data, buffer_of(&ample), buffer_end));
}

/* ---- Limits ---------------------------------------------------------------------------------- */

struct limit_row {
    struct weir_slice good; /* what fits */
    struct weir_slice bad;  /* what does not, from the first byte on that is one too many */
    enum weir_sse_error code;
    size_t events_count;
};

/* Data of 8 bytes, types of 3, IDs of 4. */
static const struct weir_sse_limits tight = { .data_bytes_max = 8,
                                              .type_bytes_max = 3,
                                              .id_bytes_max = 4 };

static const struct limit_row limit_rows[] = {
    { LIT("data: 12345678"), LIT("9\n\n"), WEIR_SSE_E_DATA_TOO_LONG, 0 },
    { LIT("data: 12345678\n\ndata:12345678"), LIT("9"), WEIR_SSE_E_DATA_TOO_LONG, 1 },
    /* The space is no part of the value. */
    { LIT("data:  1234567"), LIT(" \n\n"), WEIR_SSE_E_DATA_TOO_LONG, 0 },
    /* The LF between two lines counts, the last one does not. */
    { LIT("data: 1234\ndata: 567"), LIT("8\n\n"), WEIR_SSE_E_DATA_TOO_LONG, 0 },
    { LIT("data: 1234567\ndata:"), LIT("8\n\n"), WEIR_SSE_E_DATA_TOO_LONG, 0 },
    { LIT("data: 1234567\ndata: "), LIT("8\n\n"), WEIR_SSE_E_DATA_TOO_LONG, 0 },
    { LIT("data: 1234567\ndata\n\ndata: 12345678\ndata"), LIT("\n"), WEIR_SSE_E_DATA_TOO_LONG, 1 },
    { LIT("data: 12345678\ndata"), LIT(": \n"), WEIR_SSE_E_DATA_TOO_LONG, 0 },
    { LIT("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata"), LIT("\r"),
      WEIR_SSE_E_DATA_TOO_LONG, 0 },
    { LIT("event: abc"), LIT("d\ndata: x\n\n"), WEIR_SSE_E_TYPE_TOO_LONG, 0 },
    { LIT("event: abc\nevent:def"), LIT("g"), WEIR_SSE_E_TYPE_TOO_LONG, 0 },
    { LIT("id: 1234"), LIT("5\ndata: x\n\n"), WEIR_SSE_E_ID_TOO_LONG, 0 },
    { LIT("id: 1234\ndata: x\n\nid: 5678"), LIT("9"), WEIR_SSE_E_ID_TOO_LONG, 1 },
    /* A NUL within the limit makes a value that is ignored, one behind it is too late. */
    { LIT("id: 1234"), LIT("\0\n"), WEIR_SSE_E_ID_TOO_LONG, 0 },
    { LIT("id: 123\00056789\ndata: 12345678"), LIT("9"), WEIR_SSE_E_DATA_TOO_LONG, 0 },
};

static void test_limits(void **state)
{
    uint8_t bytes[256];
    (void)state;
    for (size_t i = 0; i < sizeof limit_rows / sizeof *limit_rows; i++) {
        const struct limit_row *row = &limit_rows[i];
        struct weir_slice text = { bytes, row->good.len + row->bad.len };
        memcpy(bytes, row->good.ptr, row->good.len);
        memcpy(bytes + row->good.len, row->bad.ptr, row->bad.len);
        rig_print("row", text);
        run_every_way(row->good, &tight);
        assert_int_equal(got.code, WEIR_SSE_E_NONE);
        run_every_way(text, &tight);
        assert_int_equal(got.code, row->code);
        assert_int_equal(got.error_at, row->good.len);
        assert_int_equal(got.events_count, row->events_count);
    }
}

/* What is ignored needs no memory, so it has no limit. */
static void test_no_limit_of_what_is_ignored(void **state)
{
    static const char *const begins[] = { ":", "foo: ", "foo", "id: \0", "retry: x", "retry: " };
    static uint8_t text[20000];
    (void)state;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        size_t len = strlen(begins[i]) + (i == 3);
        memset(text, '1', sizeof text);
        memcpy(text, begins[i], len);
        memcpy(text + sizeof text - 10, "\ndata: x\n\n", 10);
        const struct weir_slice slice = { text, sizeof text };
        model_run(&model, &want, slice, &tight);
        assert_int_equal(want.events_count, 1);
        run_cut(slice, &tight, (struct cuts){ .first = sizeof text, .step = 1 });
        run_cut(slice, &tight, (struct cuts){ .first = 1, .step = 1 });
        run_cut(slice, &tight, (struct cuts){ .first = 5, .step = 4096 });
    }
}

static void test_error_is_final(void **state)
{
    struct weir_sse_reader reader;
    struct weir_sse_event event;
    struct weir_sse_err err;
    size_t consumed;
    (void)state;
    open_reader(&reader, &tight);
    assert_int_equal(weir_sse_read(&reader, WEIR_TEXT("data: 1\n\n"), &consumed, &event, &err),
                     WEIR_PARSE_DONE);
    assert_int_equal(weir_sse_read(&reader, WEIR_TEXT("data: 123456789"), &consumed, &event, &err),
                     WEIR_PARSE_ERROR);
    assert_int_equal(err.code, WEIR_SSE_E_DATA_TOO_LONG);
    assert_int_equal(err.offset, 14);
    assert_int_equal(consumed, 14);
    const struct weir_slice rest[] = { WEIR_TEXT("9\n\n"), WEIR_TEXT("") };
    for (size_t i = 0; i < 2; i++) {
        err = (struct weir_sse_err){ .code = WEIR_SSE_E_NONE, .offset = 77 };
        assert_int_equal(weir_sse_read(&reader, rest[i], &consumed, &event, &err),
                         WEIR_PARSE_ERROR);
        assert_int_equal(err.code, WEIR_SSE_E_DATA_TOO_LONG);
        assert_int_equal(err.offset, 0);
        assert_int_equal(consumed, 0);
    }
    /* Another stream is another chance. */
    assert_int_equal(weir_sse_begin(&reader, (struct weir_slice){ NULL, 0 }), 0);
    assert_int_equal(read_text(&reader, WEIR_TEXT("data: 2\n\n"), &event), WEIR_PARSE_DONE);
}

static void test_init(void **state)
{
    static uint8_t memory[8 + 3 + 3 * 4];
    struct weir_sse_reader reader;
    struct weir_sse_limits limits = tight;
    (void)state;
    assert_int_equal(weir_sse_buffer_bytes(&tight), sizeof memory);
    assert_int_equal(weir_sse_init(&reader, &limits, memory, sizeof memory), 0);
    assert_int_equal(weir_sse_init(&reader, &limits, memory, sizeof memory - 1), -ENOBUFS);
    limits.data_bytes_max = 0;
    assert_int_equal(weir_sse_init(&reader, &limits, memory, sizeof memory), -EINVAL);
    limits.data_bytes_max = WEIR_SSE_DATA_BYTES_MAX + 1;
    assert_int_equal(weir_sse_init(&reader, &limits, memory, SIZE_MAX), -EINVAL);
    /* Whoever wants neither types nor IDs need not pay for them. */
    limits = (struct weir_sse_limits){ .data_bytes_max = 1 };
    open_reader(&reader, &limits);
    run_every_way((struct weir_slice)LIT("data: x\n\nid\nevent:\ndata: y\n\n"), &limits);
    assert_int_equal(got.events_count, 2);
    run_every_way((struct weir_slice)LIT("data: x\n\nid: 1\n"), &limits);
    assert_int_equal(got.code, WEIR_SSE_E_ID_TOO_LONG);
}

static void expect_id(const struct weir_sse_reader *reader, const char *id)
{
    struct weir_slice last = weir_sse_last_event_id(reader);
    assert_int_equal(last.len, strlen(id));
    if (last.len != 0)
        assert_memory_equal(last.ptr, id, last.len);
}

/* A reconnection keeps what was complete and drops what was not. */
static void test_begin(void **state)
{
    struct weir_sse_reader reader;
    struct weir_sse_event event;
    (void)state;
    open_reader(&reader, &tight);
    expect_id(&reader, "");
    assert_int_equal(weir_sse_begin(&reader, WEIR_TEXT("12345")), -ENOBUFS);
    assert_int_equal(weir_sse_begin(&reader, WEIR_TEXT("1\n")), -EINVAL);
    assert_int_equal(weir_sse_begin(&reader, WEIR_TEXT("\r")), -EINVAL);
    assert_int_equal(weir_sse_begin(&reader, WEIR_TEXT("1\0")), -EINVAL);
    expect_id(&reader, "");
    assert_int_equal(weir_sse_begin(&reader, WEIR_TEXT("old")), 0);
    expect_id(&reader, "old");
    struct weir_slice text =
        WEIR_TEXT("\xef\xbb\xbf:\nretry: 7\nid: new\n\nevent: a\nid: x\ndata: cut\r");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(read_text(&reader, text, &event), WEIR_PARSE_MORE);
        expect_id(&reader, "new");
        assert_int_equal(weir_sse_begin(&reader, weir_sse_last_event_id(&reader)), 0);
        expect_id(&reader, "new");
        assert_true(reader.has_retry && reader.retry_ms == 7);
    }
    assert_int_equal(reader.comments_count, 5);
    /* An LF that begins a stream belongs to no CR, and the event knows of nothing before it. */
    assert_int_equal(read_text(&reader, WEIR_TEXT("\ndata: x\n\n"), &event), WEIR_PARSE_DONE);
    assert_int_equal(event.data.len, 1);
    assert_int_equal(event.type.len, 7);
    assert_int_equal(event.last_event_id.len, 3);
    assert_false(event.has_id || event.has_retry);
}

static void test_texts(void **state)
{
    (void)state;
    for (int code = 0; code < WEIR_SSE_E_COUNT; code++)
        assert_true(strlen(weir_sse_strerror((enum weir_sse_error)code)) > 4);
    assert_string_equal(weir_sse_strerror((enum weir_sse_error)WEIR_SSE_E_COUNT), "unknown error");
    assert_string_equal(weir_sse_strerror((enum weir_sse_error) - 1), "unknown error");
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* Each length, each place of an end, each byte, up to the guard page: all searchers agree. */
static void test_line_end(void **state)
{
    uint8_t bytes[80];
    (void)state;
    for (size_t len = 0; len <= sizeof bytes; len++) {
        for (size_t at = 0; at <= len; at++) {
            memset(bytes, at % 2 != 0 ? 0x8d : 0x0b, sizeof bytes);
            if (at < len)
                bytes[at] = at % 3 != 0 ? '\n' : '\r';
            if (at + 1 < len)
                bytes[at + 1] = '\n';
            struct weir_slice text = rig_place((struct weir_slice){ bytes, len });
            const uint8_t *end = text.ptr + len;
            assert_ptr_equal(sse_line_end(text.ptr, end), text.ptr + at);
            assert_ptr_equal(sse_line_end_words(text.ptr, end), text.ptr + at);
        }
    }
    for (unsigned c = 0; c < 256; c++) {
        memset(bytes, (int)c, 33);
        struct weir_slice text = rig_place((struct weir_slice){ bytes, 33 });
        const uint8_t *end = text.ptr + 33;
        const uint8_t *found = c == '\n' || c == '\r' ? text.ptr : end;
        assert_ptr_equal(sse_line_end(text.ptr, end), found);
        assert_ptr_equal(sse_line_end_words(text.ptr, end), found);
    }
}

/* Lines of every length around the widths of vectors, at every alignment. */
static void test_lengths(void **state)
{
    uint8_t bytes[200];
    (void)state;
    for (size_t len = 0; len < 70; len++) {
        memcpy(bytes, "data: ", 6);
        memset(bytes + 6, 'x', len);
        memcpy(bytes + 6 + len, "\r\n\r\ndata:y\n\n", 13);
        struct weir_slice text = { bytes, len + 6 + 12 };
        run_every_way(text, &ample);
        assert_int_equal(got.events_count, 2);
        assert_int_equal(log_event(&got, 0).data.len, len);
    }
}

/* ---- Random streams -------------------------------------------------------------------------- */

static const struct weir_slice fragments[] = {
    LIT("\n"),
    LIT("\r"),
    LIT("\r\n"),
    LIT("\n"),
    LIT("\n\n"),
    LIT("\r\r"),
    LIT("\r\n\r\n"),
    LIT("\n\n"),
    LIT("data"),
    LIT("data:"),
    LIT("data: x"),
    LIT("data: {\"a\": [1, 2]}\n"),
    LIT("data: y\n\n"),
    LIT("event"),
    LIT("event:"),
    LIT("event: add\n"),
    LIT("event: a\r\n"),
    LIT("id"),
    LIT("id:"),
    LIT("id: 1\n"),
    LIT("id: 23\r"),
    LIT("id: 4\0\n"),
    LIT("retry"),
    LIT("retry:"),
    LIT("retry: 30\n"),
    LIT("retry: 18446744073709551616\n"),
    LIT("3"),
    LIT(":"),
    LIT(" "),
    LIT(": c\n"),
    LIT("foo: bar\n"),
    LIT("\0"),
    LIT("\xef\xbb\xbf"),
    LIT("\xef"),
    LIT("\xc3\xa4"),
    LIT("\xf0\x9f\x98\x80"),
    LIT("abcdefghijklmnopqrstuvwxyz"),
    LIT("da"),
};

struct dice {
    uint64_t key, draw;
};

static size_t roll(struct dice *dice, size_t sides)
{
    return (size_t)(weir_random_u64(SEED, dice->key, dice->draw++) % sides);
}

static struct weir_slice random_stream(struct dice *dice, uint8_t *bytes, size_t capacity)
{
    size_t len = 0;
    if (roll(dice, 8) == 0) {
        memcpy(bytes, "\xef\xbb\xbf", 3);
        len = roll(dice, 3) + 1;
    }
    for (size_t count = roll(dice, 48); count > 0; count--) {
        const struct weir_slice *next =
            &fragments[roll(dice, sizeof fragments / sizeof *fragments)];
        assert_true(len + next->len <= capacity);
        memcpy(bytes + len, next->ptr, next->len);
        len += next->len;
    }
    return (struct weir_slice){ bytes, len };
}

static void test_random_streams(void **state)
{
    static uint8_t bytes[2048];
    uint64_t events_count = 0, errors_count = 0;
    (void)state;
    print_message("seed %u\n", SEED);
    for (uint64_t key = 1; key <= RANDOM_STREAMS; key++) {
        struct dice dice = { .key = key };
        struct weir_slice text = random_stream(&dice, bytes, sizeof bytes);
        struct weir_sse_limits limits = ample;
        if (roll(&dice, 3) == 0)
            limits = (struct weir_sse_limits){ .data_bytes_max = 1 + (uint32_t)roll(&dice, 40),
                                               .type_bytes_max = (uint16_t)roll(&dice, 8),
                                               .id_bytes_max = (uint16_t)roll(&dice, 8) };
        model_run(&model, &want, text, &limits);
        events_count += want.events_count;
        errors_count += want.code != WEIR_SSE_E_NONE;
        if (key % 64 == 0) {
            run_every_way(text, &limits);
            continue;
        }
        run_cut(text, &limits, (struct cuts){ .first = SIZE_MAX });
        run_cut(text, &limits, (struct cuts){ .first = 1, .step = 1 });
        run_cut(text, &limits,
                (struct cuts){ .first = roll(&dice, text.len + 1), .step = SIZE_MAX });
        run_cut(text, &limits, (struct cuts){ .step = 1 + roll(&dice, 40), .key = key });
    }
    /* The streams must be of some use. */
    print_message("%llu events, %llu errors\n", (unsigned long long)events_count,
                  (unsigned long long)errors_count);
    assert_true(events_count > RANDOM_STREAMS / 2);
    assert_true(errors_count > RANDOM_STREAMS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_no_waiting),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_limit_of_what_is_ignored),
        cmocka_unit_test(test_error_is_final),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_line_end),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_random_streams),
    };
    return cmocka_run_group_tests(tests, setup, rig_teardown);
}
