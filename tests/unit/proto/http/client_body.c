/* SPDX-License-Identifier: MIT */
/* The content of responses on its way to the caller: decoded, read as events, measured. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_rig.h"

#include <weir/hist.h>
#include <weir/sse.h>
#include <zlib.h>

static struct rig_call call, other;

static struct weir_client_stats stats(void)
{
    return rig_client_stats(&rig);
}

/* ---- Coded bodies ------------------------------------------------------------------------ */

enum { GZIP = 31, ZLIB = 15, RAW = -15 }; /* as zlib's windowBits */

static struct rig_buf coded(int kind, const void *bytes, size_t len)
{
    struct rig_buf out = { 0 };
    z_stream z = { .next_in = (void *)(uintptr_t)bytes, .avail_in = (uInt)len };
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, kind, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, (uLong)len) + 32;
    uint8_t *to = malloc(room);
    assert_non_null(to);
    z.next_out = to;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    rig_buf_add(&out, to, room - z.avail_out);
    assert_int_equal(deflateEnd(&z), Z_OK);
    free(to);
    return out;
}

/* Words rather than noise, so that there is something to compress. */
static struct rig_buf words(size_t len)
{
    struct rig_buf b = { 0 };
    for (unsigned i = 0; b.len < len; i++) {
        char word[32];
        (void)snprintf(word, sizeof word, "word-%u ", i * 2654435761u >> 20);
        rig_buf_text(&b, word);
    }
    if (b.len > len)
        rig_buf_drop(&b, b.len - len);
    return b;
}

enum framing { LENGTH, CHUNKED, EOF_ENDS };

/* A response with this body. */
static struct rig_buf response(const char *fields, const struct rig_buf *body, enum framing framing)
{
    struct rig_buf text = { 0 };
    char line[64];
    rig_buf_text(&text, "HTTP/1.1 200 OK\r\n");
    rig_buf_text(&text, fields);
    if (framing == LENGTH) {
        (void)snprintf(line, sizeof line, "Content-Length: %zu\r\n", body->len);
        rig_buf_text(&text, line);
    }
    rig_buf_text(&text, framing == CHUNKED ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    for (size_t at = 0; at < body->len;) {
        size_t n = framing == CHUNKED ? weir_min_u64(body->len - at, 1 + at % 5000) : body->len;
        (void)snprintf(line, sizeof line, "%zx\r\n", n);
        if (framing == CHUNKED)
            rig_buf_text(&text, line);
        rig_buf_add(&text, body->ptr + at, n);
        if (framing == CHUNKED)
            rig_buf_text(&text, "\r\n");
        at += n;
    }
    if (framing == CHUNKED)
        rig_buf_text(&text, "0\r\n\r\n");
    return text;
}

/* A call that decodes, with its request at the server. */
static struct rig_peer *ask(void)
{
    if (rig.client == NULL)
        rig_open_raw(&rig, 1);
    bool idle = stats().idle_now > 0;
    rig_call_init(&call, &rig, "GET", "/");
    call.call.request.decode = true;
    rig_send(&call);
    struct rig_peer *p = idle ? &rig.peers[0] : rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    return p;
}

static void expect_decoded(const struct rig_buf *plain, size_t coded_bytes)
{
    rig_finish(&call);
    assert_int_equal(call.err, 0);
    assert_int_equal(call.body.len, plain->len);
    if (plain->len > 0)
        assert_memory_equal(call.body.ptr, plain->ptr, plain->len);
    assert_int_equal(call.call.timing.body_bytes, coded_bytes);
    rig_buf_free(&call.body);
}

static const struct coding {
    int kind;
    const char *field;
} codings[] = {
    { GZIP, "Content-Encoding: gzip\r\n" },
    { GZIP, "Content-Encoding: X-GZip\r\n" },
    { ZLIB, "Content-Encoding: deflate\r\n" },
    { RAW, "content-encoding:  Deflate \r\n" },
};
#define CODINGS_COUNT (sizeof codings / sizeof codings[0])

static void test_codings(void **state)
{
    (void)state;
    const size_t sizes[] = { 0, 1, 100, 16383, 16384, 16385, 300000 };
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct rig_buf plain = words(sizes[i]);
        for (unsigned c = 0; c < CODINGS_COUNT; c++) {
            struct rig_buf body = coded(codings[c].kind, plain.ptr, plain.len);
            for (unsigned f = LENGTH; f <= EOF_ENDS; f++) {
                struct rig_buf text = response(codings[c].field, &body, (enum framing)f);
                struct rig_peer *p = ask();
                assert_true(rig_write(&rig, p, text.ptr, text.len));
                if (f == EOF_ENDS)
                    rig_half_close(p);
                expect_decoded(&plain, body.len);
                rig_buf_free(&text);
                if (f < EOF_ENDS)
                    continue;
                RIG_UNTIL(&rig, stats().conns_now == 0);
                rig_hang_up(p);
            }
            rig_buf_free(&body);
        }
        rig_buf_free(&plain);
    }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    struct rig_buf plain = words(700);
    for (unsigned c = 0; c < CODINGS_COUNT; c++) {
        struct rig_buf body = coded(codings[c].kind, plain.ptr, plain.len);
        struct rig_buf text = response(codings[c].field, &body, c % 2 == 0 ? LENGTH : CHUNKED);
        struct rig_peer *p = ask();
        for (size_t at = 0; at < text.len; at++)
            rig_write_alone(&rig, p, text.ptr + at, 1);
        expect_decoded(&plain, body.len);
        rig_buf_free(&text);
        rig_buf_free(&body);
    }
    rig_buf_free(&plain);
}

/* Not coded, or not asked for: handed out as it is. */
static void test_not_decoded(void **state)
{
    (void)state;
    struct rig_peer *p = ask();
    rig_answer(&rig, p, &call, OK_TEXT("5", "plain"));
    p = ask();
    rig_answer(&rig, p, &call,
               "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 5\r\n\r\nplain");
    rig_get(&call, &rig, "/");
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &call,
               "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain");
    p = ask(); /* no content: its coding is nobody's business */
    rig_answer(&rig, p, &call,
               "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 0\r\n\r\n");
    p = ask();
    rig_answer(&rig, p, &call,
               "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n");
}

static void expect_refused(const struct rig_buf *body, const char *field, enum framing framing,
                           int err)
{
    struct rig_buf text = response(field, body, framing);
    struct rig_peer *p = ask();
    (void)rig_write(&rig, p, text.ptr, text.len); /* it may break */
    if (framing == EOF_ENDS)
        rig_half_close(p);
    rig_expect_err(&call, err);
    rig_buf_free(&text);
    /* Whether the connection is kept is another matter; the next test of it wants a new one. */
    rig_hang_up(p);
    RIG_UNTIL(&rig, stats().conns_now == 0);
}

static void test_broken_codings(void **state)
{
    (void)state;
    struct rig_buf plain = words(50000), body;
    body = coded(GZIP, plain.ptr, plain.len);
    expect_refused(&body, "Content-Encoding: br\r\n", LENGTH, WEIR_E_ENCODING);
    expect_refused(&body, "Content-Encoding: gzip, gzip\r\n", LENGTH, WEIR_E_ENCODING);
    expect_refused(&plain, "Content-Encoding: gzip\r\n", LENGTH, WEIR_E_ENCODING);
    for (unsigned f = LENGTH; f <= EOF_ENDS; f++) {
        struct rig_buf cut = { .ptr = body.ptr, .len = body.len - 1 };
        expect_refused(&cut, "Content-Encoding: gzip\r\n", (enum framing)f, WEIR_E_ENCODING);
        cut.len = 1;
        expect_refused(&cut, "Content-Encoding: gzip\r\n", (enum framing)f, WEIR_E_ENCODING);
    }
    body.ptr[body.len / 2] ^= 0x55;
    expect_refused(&body, "Content-Encoding: gzip\r\n", LENGTH, WEIR_E_ENCODING);
    body.ptr[body.len / 2] ^= 0x55;
    rig_buf_text(&body, "behind");
    expect_refused(&body, "Content-Encoding: gzip\r\n", CHUNKED, WEIR_E_ENCODING);
    rig_buf_free(&body);
    rig_buf_free(&plain);
}

/* Far too much comes of little: by its ratio, from 16 MiB on, or by what was allowed. */
static void test_bombs(void **state)
{
    (void)state;
    enum { BYTES = 17 << 20 };
    uint8_t *zeros = calloc(1, BYTES);
    assert_non_null(zeros);
    struct rig_buf body = coded(GZIP, zeros, BYTES);
    expect_refused(&body, "Content-Encoding: gzip\r\n", LENGTH, WEIR_E_LIMIT);
    rig_buf_free(&body);
    rig_close_client(&rig);
    rig.calls_sent = rig.calls_ended = 0;
    rig.client_cfg.decoded_bytes_max = 100000;
    close(rig.listen_fd);
    rig_listen(&rig, 16);
    rig_open_client(&rig);
    struct rig_buf plain = words(100001);
    body = coded(GZIP, plain.ptr, plain.len);
    expect_refused(&body, "Content-Encoding: gzip\r\n", CHUNKED, WEIR_E_LIMIT);
    rig_buf_free(&body);
    plain.len--;
    body = coded(GZIP, plain.ptr, plain.len);
    struct rig_buf text = response("Content-Encoding: gzip\r\n", &body, CHUNKED);
    rig_call_init(&call, &rig, "GET", "/");
    call.call.request.decode = true;
    rig_send(&call);
    struct rig_peer *p = rig_accept_request(&rig);
    assert_true(rig_write(&rig, p, text.ptr, text.len));
    expect_decoded(&plain, body.len);
    rig_buf_free(&text);
    rig_buf_free(&body);
    rig_buf_free(&plain);
    free(zeros);
}

/* A pause between any two pieces of what was decoded, with more input than that behind them. */
static void test_pause_while_decoding(void **state)
{
    (void)state;
    struct rig_buf plain = words(300000);
    for (unsigned f = LENGTH; f <= EOF_ENDS; f++) {
        struct rig_buf body = coded(GZIP, plain.ptr, plain.len);
        struct rig_buf text = response("Content-Encoding: gzip\r\n", &body, (enum framing)f);
        struct rig_peer *p = ask();
        call.on_body = rig_pause;
        assert_true(rig_write(&rig, p, text.ptr, text.len));
        if (f == EOF_ENDS)
            rig_half_close(p);
        size_t before = 0;
        while (call.ended == 0) {
            RIG_UNTIL(&rig, call.paused || call.ended == 1);
            if (call.ended == 1)
                break;
            assert_in_range(call.body.len, before + 1, before + 16384);
            before = call.body.len;
            rig_settle(&rig);
            assert_int_equal(call.body.len, before);
            assert_int_equal(call.ended, 0);
            rig_resume(&call);
        }
        expect_decoded(&plain, body.len);
        rig_buf_free(&text);
        rig_buf_free(&body);
        if (f < EOF_ENDS)
            continue;
        RIG_UNTIL(&rig, stats().conns_now == 0);
    }
    rig_buf_free(&plain);
}

static void test_cancel_while_decoding(void **state)
{
    (void)state;
    struct rig_buf plain = words(60000), body = coded(GZIP, plain.ptr, plain.len);
    struct rig_buf text = response("Content-Encoding: gzip\r\n", &body, LENGTH);
    for (unsigned i = 0; i < 2; i++) {
        struct rig_peer *p = ask();
        call.on_body = i == 0 ? rig_cancel : rig_pause;
        assert_true(rig_write(&rig, p, text.ptr, text.len));
        if (i == 1) {
            RIG_UNTIL(&rig, call.paused);
            rig_settle(&rig);
            rig_cancel(&call);
        }
        rig_expect_err(&call, WEIR_E_CANCELLED);
        RIG_UNTIL(&rig, stats().idle_now == 1);
        assert_int_equal(stats().drained, i + 1);
    }
    /* And closed in the middle. */
    struct rig_peer *p = ask();
    call.on_body = rig_pause;
    assert_true(rig_write(&rig, p, text.ptr, text.len - 1));
    RIG_UNTIL(&rig, call.paused);
    rig_close_client(&rig);
    rig_expect_err(&call, WEIR_E_SHUTDOWN);
    rig_buf_free(&text);
    rig_buf_free(&body);
    rig_buf_free(&plain);
}

/* ---- Events ------------------------------------------------------------------------------ */

static uint8_t sse_buffer[8192];
static struct weir_sse_reader reader;
#define SSE "Content-Type: text/event-stream\r\n"

static void sse_init(void)
{
    struct weir_sse_limits limits = { .data_bytes_max = 4096,
                                      .type_bytes_max = 64,
                                      .id_bytes_max = 64 };
    assert_int_equal(weir_sse_init(&reader, &limits, sse_buffer, sizeof sse_buffer), 0);
}

/* What the events were, one after the other. */
static void note_event(struct rig_call *rc, const struct weir_sse_event *event)
{
    rig_buf_add(&rc->body, event->data.ptr, event->data.len);
    rig_buf_text(&rc->body, "|");
}

static void note_and_pause(struct rig_call *rc, const struct weir_sse_event *event)
{
    note_event(rc, event);
    rig_pause(rc);
}

static void note_and_cancel(struct rig_call *rc, const struct weir_sse_event *event)
{
    note_event(rc, event);
    rig_cancel(rc);
}

static struct rig_peer *ask_for_events(bool decode)
{
    if (rig.client == NULL)
        rig_open_raw(&rig, 1);
    bool idle = stats().idle_now > 0;
    sse_init();
    rig_call_init(&call, &rig, "GET", "/");
    call.call.request.decode = decode;
    call.call.sse = &reader;
    call.on_event = note_event;
    rig_send(&call);
    struct rig_peer *p = idle ? &rig.peers[0] : rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    return p;
}

static void expect_events(const char *text, unsigned count)
{
    rig_finish(&call);
    assert_int_equal(call.err, 0);
    assert_string_equal(rig_buf_str(&call.body), text);
    assert_int_equal(call.events, count);
    rig_buf_free(&call.body);
}

/* Cut anywhere, in pieces and in chunks, to single bytes. */
static void test_events(void **state)
{
    (void)state;
    struct rig_buf body = { 0 };
    rig_buf_text(&body, "data: one\n\n: comment\n\nevent: x\ndata: t\ndata: wo\r\n\r\n"
                        "data: three\n\ndata: never ends");
    for (unsigned f = LENGTH; f <= CHUNKED; f++) {
        struct rig_buf text = response(SSE, &body, (enum framing)f);
        for (size_t cut = 1; cut < text.len; cut += 3) {
            struct rig_peer *p = ask_for_events(false);
            rig_write_alone(&rig, p, text.ptr, cut);
            assert_true(rig_write(&rig, p, text.ptr + cut, text.len - cut));
            expect_events("one|t\nwo|three|", 3);
        }
        struct rig_peer *p = ask_for_events(false);
        for (size_t at = 0; at < text.len; at++)
            rig_write_alone(&rig, p, text.ptr + at, 1);
        expect_events("one|t\nwo|three|", 3);
        rig_buf_free(&text);
    }
    rig_buf_free(&body);
}

/* A stream of events is what its type says, of a 200, and only for a call that wants one. */
static void test_what_is_a_stream(void **state)
{
    (void)state;
    static const struct {
        const char *status, *type;
        bool events;
    } rows[] = {
        { "200", "text/event-stream", true },   { "200", "Text/Event-Stream; charset=utf-8", true },
        { "200", "text/event-stream;x", true }, { "200", "text/event-streams", false },
        { "200", "text/plain", false },         { "503", "text/event-stream", false },
        { "206", "text/event-stream", false },
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "HTTP/1.1 %s \r\nContent-Type: %s\r\nContent-Length: 9\r\n\r\ndata: x\n\n",
                       rows[i].status, rows[i].type);
        struct rig_peer *p = ask_for_events(false);
        rig_text(&rig, p, text);
        expect_events(rows[i].events ? "x|" : "data: x\n\n", rows[i].events);
    }
    rig_get(&call, &rig, "/");
    rig_expect_requests(&rig, &rig.peers[0], 1);
    rig_text(&rig, &rig.peers[0], "HTTP/1.1 200 OK\r\n" SSE "Content-Length: 9\r\n\r\ndata: x\n\n");
    expect_events("data: x\n\n", 0);
}

/* A long stream, coded or not, with a pause at every event: each comes once, in order. */
static void many_events(bool gzip, enum framing framing)
{
    enum { COUNT = 400 };
    struct rig_buf plain = { 0 }, expected = { 0 };
    for (unsigned i = 0; i < COUNT; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "data: %u %u\n\n", i, i * 2654435761u);
        rig_buf_text(&plain, line);
        (void)snprintf(line, sizeof line, "%u %u|", i, i * 2654435761u);
        rig_buf_text(&expected, line);
    }
    struct rig_buf body = gzip ? coded(GZIP, plain.ptr, plain.len) : (struct rig_buf){ 0 };
    if (!gzip)
        rig_buf_add(&body, plain.ptr, plain.len);
    struct rig_buf text = response(gzip ? SSE "Content-Encoding: gzip\r\n" : SSE, &body, framing);
    struct rig_peer *p = ask_for_events(gzip);
    call.on_event = note_and_pause;
    assert_true(rig_write(&rig, p, text.ptr, text.len));
    if (framing == EOF_ENDS)
        rig_half_close(p);
    for (unsigned i = 1; i <= COUNT; i++) {
        RIG_UNTIL(&rig, call.paused);
        assert_int_equal(call.events, i);
        assert_int_equal(call.ended, 0);
        rig_resume(&call);
        assert_int_equal(call.events, i);
    }
    expect_events(expected.ptr, COUNT);
    rig_buf_free(&text);
    rig_buf_free(&body);
    rig_buf_free(&plain);
    rig_buf_free(&expected);
    if (framing == EOF_ENDS)
        RIG_UNTIL(&rig, stats().conns_now == 0);
}

static void test_pause_at_every_event(void **state)
{
    (void)state;
    for (unsigned gzip = 0; gzip < 2; gzip++)
        for (unsigned f = LENGTH; f <= CHUNKED; f++)
            many_events(gzip != 0, (enum framing)f);
    many_events(true, EOF_ENDS);
}

static void test_cancel_at_an_event(void **state)
{
    (void)state;
    struct rig_buf body = { 0 };
    rig_buf_text(&body, "data: 1\n\ndata: 2\n\n");
    struct rig_buf zipped = coded(GZIP, body.ptr, body.len);
    for (unsigned gzip = 0; gzip < 2; gzip++) {
        struct rig_buf text = response(gzip ? SSE "Content-Encoding: gzip\r\n" : SSE,
                                       gzip ? &zipped : &body, CHUNKED);
        struct rig_peer *p = ask_for_events(gzip != 0);
        call.on_event = note_and_cancel;
        assert_true(rig_write(&rig, p, text.ptr, text.len));
        rig_expect_err(&call, WEIR_E_CANCELLED);
        assert_int_equal(call.events, 1);
        RIG_UNTIL(&rig, stats().idle_now == 1);
        rig_buf_free(&text);
    }
    rig_buf_free(&zipped);
    rig_buf_free(&body);
}

static void test_event_too_long(void **state)
{
    (void)state;
    struct rig_buf body = { 0 };
    rig_buf_text(&body, "data: 1\n\ndata: ");
    while (body.len < 6000)
        rig_buf_text(&body, "xxxxxxxx");
    struct rig_buf text = response(SSE, &body, LENGTH);
    struct rig_peer *p = ask_for_events(false);
    assert_true(rig_write(&rig, p, text.ptr, text.len));
    rig_expect_err(&call, WEIR_E_LIMIT);
    assert_int_equal(call.events, 1);
    rig_buf_free(&text);
    rig_buf_free(&body);
}

/* ---- Measured ---------------------------------------------------------------------------- */

/* One value less than there are pieces; the longest is told apart too. */
static void test_gaps(void **state)
{
    (void)state;
    struct weir_hist_config cfg;
    struct weir_hist *gaps;
    weir_hist_config_init(&cfg);
    assert_int_equal(weir_hist_open(&gaps, &cfg), 0);
    rig_open_raw(&rig, 1);
    rig_call_init(&call, &rig, "GET", "/");
    call.call.gaps = gaps;
    rig_send(&call);
    struct rig_peer *p = rig_accept_request(&rig);
    rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    rig_write_alone(&rig, p, "a", 1);
    rig_skip(&rig, RIG_S);
    rig_write_alone(&rig, p, "b", 1);
    rig_skip(&rig, 3 * RIG_S);
    rig_write_alone(&rig, p, "c", 1);
    rig_skip(&rig, 2 * RIG_S);
    rig_text(&rig, p, "d");
    rig_expect_answer(&call, 200, "abcd");
    const struct weir_call_timing *t = &call.call.timing;
    assert_int_equal(t->pieces, 4);
    assert_in_range(t->gap_max_ns, 3 * RIG_S, 4 * RIG_S);
    assert_true(t->last_byte_ns - t->first_byte_ns >= 6 * RIG_S);
    assert_int_equal(weir_hist_count(gaps), 3);
    assert_int_equal(weir_hist_max(gaps), t->gap_max_ns);
    assert_in_range(weir_hist_min(gaps), RIG_S, 2 * RIG_S);
    /* It goes on counting in the next call. */
    rig_send(&call);
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &call, OK_TEXT("1", "x"));
    assert_int_equal(weir_hist_count(gaps), 3);
    weir_hist_close(gaps);
    rig_get(&other, &rig, "/");
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &other, OK_TEXT("1", "x"));
    assert_int_equal(other.call.timing.gap_max_ns, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_codings),
        RIG_TEST(test_byte_by_byte),
        RIG_TEST(test_not_decoded),
        RIG_TEST(test_broken_codings),
        RIG_TEST(test_bombs),
        RIG_TEST(test_pause_while_decoding),
        RIG_TEST(test_cancel_while_decoding),
        RIG_TEST(test_events),
        RIG_TEST(test_what_is_a_stream),
        RIG_TEST(test_pause_at_every_event),
        RIG_TEST(test_cancel_at_an_event),
        RIG_TEST(test_event_too_long),
        RIG_TEST(test_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
