/* SPDX-License-Identifier: MIT */
/* Answers: what is on the wire, when the exchange ends, and peers that do not read. */
#include "unit/proto/http/rig.h"

#define GET_TEXT(target)   "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_TEXT(len, body) "HTTP/1.1 200 OK\r\nContent-Length: " len "\r\n\r\n" body

static struct rig_x *wait_request(unsigned index)
{
    RIG_UNTIL(&rig, rig.xs_count > index && rig.xs[index].lasts == 1);
    return &rig.xs[index];
}

static void begin(struct rig_x *rx, uint16_t status)
{
    struct weir_response response = { .status = status };
    assert_int_equal(weir_exchange_begin(rx->x, &response), 0);
}

static void serve_waiting(void)
{
    rig.on_request = rig_wait;
    rig_serve(&rig);
}

/* ---- On the wire ------------------------------------------------------------------------- */

static void whole(const char *request, struct weir_response response, const char *answer, bool ends)
{
    struct rig_peer *p = rig_dial(&rig);
    for (unsigned round = 0; round < (ends ? 1 : 2); round++) {
        unsigned at = rig.xs_count;
        rig_text(&rig, p, request);
        struct rig_x *rx = wait_request(at);
        assert_int_equal(weir_exchange_respond(rx->x, &response), 0);
        assert_int_equal(rx->ended, 0);
        rig_expect(&rig, p, answer);
        RIG_UNTIL(&rig, rx->ended == 1);
        assert_int_equal(rx->err, 0);
    }
    if (ends)
        rig_expect_eof(&rig, p);
    else
        rig_expect_nothing(&rig, p);
    rig_hang_up(p);
}

static void test_whole(void **state)
{
    (void)state;
    const struct weir_header headers[] = { { WEIR_TEXT("X"), WEIR_TEXT("1") },
                                           { WEIR_TEXT("Y"), WEIR_TEXT("") } };
    struct weir_response r = { .status = 200, .body = WEIR_TEXT("ab") };
    serve_waiting();
    whole(GET_TEXT("/"), r, OK_TEXT("2", "ab"), false);
    whole("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", r,
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab", true);
    whole("GET / HTTP/1.0\r\n\r\n", r,
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab", true);
    whole("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", r,
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab", false);
    whole("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", r, OK_TEXT("2", ""), false);
    r.close = true;
    whole(GET_TEXT("/"), r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
          true);
    r.close = false;
    r.status = 204;
    whole(GET_TEXT("/"), r, "HTTP/1.1 204 No Content\r\n\r\n", false);
    r.status = 304;
    r.how = WEIR_BODY_BORROW;
    whole(GET_TEXT("/"), r, "HTTP/1.1 304 Not Modified\r\n\r\n", false);
    r = (struct weir_response){
        .status = 404, .content_type = WEIR_TEXT("text/x"), .headers = headers, .headers_count = 2
    };
    whole(GET_TEXT("/"), r,
          "HTTP/1.1 404 Not Found\r\nContent-Type: text/x\r\nContent-Length: 0\r\n"
          "X: 1\r\nY: \r\n\r\n",
          false);
}

/* Answers that share their head's beginning with the one before, and those that nearly do. */
static void test_alike(void **state)
{
    (void)state;
    static const char *const types[] = { "", "text/a", "text/b", "text/aa",
                                         "x/4567890123456789012345678901234567890", /* 39 */
                                         "x/45678901234567890123456789012345678901234567890" };
    static const size_t lens[] = { 0, 9, 10, 100, 1000, 3000, 4000, 100, 100 };
    static char body[4096], answer[8192];
    memset(body, 'b', sizeof body);
    serve_waiting();
    struct rig_peer *p = rig_dial(&rig);
    for (unsigned i = 0; i < 6 * 9 * 2; i++) {
        const char *type = types[i / 18];
        struct weir_response r = { .status = i % 2 == 0 ? 200 : 503,
                                   .content_type = { (const uint8_t *)type, strlen(type) },
                                   .body = { (const uint8_t *)body, lens[i / 2 % 9] } };
        unsigned at = rig.xs_count;
        rig_text(&rig, p, GET_TEXT("/"));
        struct rig_x *rx = wait_request(at);
        if (i % 5 == 0) { /* what cannot be sent is refused, whatever was sent before */
            struct weir_response bad = r;
            bad.content_type = WEIR_TEXT("text/\n");
            assert_int_equal(weir_exchange_respond(rx->x, &bad), -EINVAL);
        }
        assert_int_equal(weir_exchange_respond(rx->x, &r), 0);
        snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\n%s%s%sContent-Length: %zu\r\n\r\n%.*s",
                 r.status == 200 ? "200 OK" : "503 Service Unavailable",
                 *type == '\0' ? "" : "Content-Type: ", type, *type == '\0' ? "" : "\r\n",
                 r.body.len, (int)r.body.len, body);
        rig_expect(&rig, p, answer);
        RIG_UNTIL(&rig, rx->ended == 1);
    }
    rig_hang_up(p);
}

static void streamed(const char *request, uint16_t status, const char *answer, bool ends)
{
    struct rig_peer *p = rig_dial(&rig);
    for (unsigned round = 0; round < (ends ? 1 : 2); round++) {
        unsigned at = rig.xs_count;
        rig_text(&rig, p, request);
        struct rig_x *rx = wait_request(at);
        begin(rx, status);
        assert_int_equal(weir_exchange_write(rx->x, WEIR_TEXT("abc")), 0);
        rig_settle(&rig);
        assert_int_equal(weir_exchange_write(rx->x, WEIR_TEXT("")), 0);
        assert_int_equal(weir_exchange_write(rx->x, WEIR_TEXT("0123456789abcdef")), 0);
        rig_settle(&rig);
        assert_int_equal(rx->ended, 0);
        /* Also when that sends nothing the exchange ends, and not inside the call. */
        assert_int_equal(weir_exchange_finish(rx->x), 0);
        assert_int_equal(rx->ended, 0);
        RIG_UNTIL(&rig, rx->ended == 1);
        assert_int_equal(rx->err, 0);
        rig_expect(&rig, p, answer);
    }
    if (ends)
        rig_expect_eof(&rig, p);
    else
        rig_expect_nothing(&rig, p);
    rig_hang_up(p);
}

static void test_streamed(void **state)
{
    (void)state;
    serve_waiting();
    streamed(GET_TEXT("/"), 200,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
             false);
    streamed("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 200,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
             "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
             true);
    streamed("GET / HTTP/1.0\r\n\r\n", 200,
             "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc0123456789abcdef", true);
    streamed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200,
             "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc0123456789abcdef", true);
    streamed("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", 200,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false);
    streamed(GET_TEXT("/"), 204, "HTTP/1.1 204 No Content\r\n\r\n", false);
    streamed(GET_TEXT("/"), 304, "HTTP/1.1 304 Not Modified\r\n\r\n", false);
}

/* Those behind write aside; nothing of it is seen before its turn. */
static void test_streamed_out_of_turn(void **state)
{
    (void)state;
    serve_waiting();
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/0") GET_TEXT("/1") GET_TEXT("/2"));
    (void)wait_request(2);
    begin(&rig.xs[1], 200);
    assert_int_equal(weir_exchange_write(rig.xs[1].x, WEIR_TEXT("one")), 0);
    rig_respond(&rig.xs[2], 200, "two");
    rig_expect_nothing(&rig, p);
    begin(&rig.xs[0], 200);
    rig_expect(&rig, p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(weir_exchange_finish(rig.xs[0].x), 0);
    rig_expect(&rig, p,
               "0\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               "3\r\none\r\n");
    rig_expect_nothing(&rig, p);
    assert_int_equal(weir_exchange_finish(rig.xs[1].x), 0);
    rig_expect(&rig, p, "0\r\n\r\n" OK_TEXT("3", "two"));
    RIG_UNTIL(&rig, rig.xs_ended == 3);
}

/* ---- Rules ------------------------------------------------------------------------------- */

static void test_misuse(void **state)
{
    (void)state;
    const struct weir_header split = { WEIR_TEXT("X"), WEIR_TEXT("a\r\nSet-Cookie: b") };
    const struct weir_header owned = { WEIR_TEXT("content-length"), WEIR_TEXT("7") };
    struct weir_response good = { .status = 200, .body = WEIR_TEXT("ok") }, bad = good;
    serve_waiting();
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/") GET_TEXT("/"));
    struct weir_exchange *x = wait_request(0)->x, *second = wait_request(1)->x;
    assert_int_equal(weir_exchange_write(x, WEIR_TEXT("a")), -EINVAL);
    assert_int_equal(weir_exchange_finish(x), -EINVAL);
    for (unsigned status = 0; status < 1000; status += status == 199 ? 401 : 1) {
        bad.status = (uint16_t)status;
        assert_int_equal(weir_exchange_respond(x, &bad), -EINVAL);
    }
    bad.status = 200;
    bad.headers_count = 1;
    bad.headers = &split;
    assert_int_equal(weir_exchange_respond(x, &bad), -EINVAL);
    bad.headers = &owned;
    assert_int_equal(weir_exchange_respond(x, &bad), -EINVAL);
    assert_int_equal(weir_exchange_begin(x, &good), -EINVAL);
    rig_expect_nothing(&rig, p);
    assert_int_equal(weir_exchange_respond(x, &good), 0);
    assert_int_equal(weir_exchange_respond(x, &good), -EALREADY);
    assert_int_equal(weir_exchange_begin(x, &good), -EALREADY);
    assert_int_equal(weir_exchange_write(x, WEIR_TEXT("a")), -EINVAL);
    begin(&rig.xs[1], 200);
    assert_int_equal(weir_exchange_respond(second, &good), -EALREADY);
    assert_int_equal(weir_exchange_finish(second), 0);
    assert_int_equal(weir_exchange_finish(second), -EINVAL);
    rig_expect(&rig, p,
               OK_TEXT("2", "ok") "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "0\r\n\r\n");
    rig_expect_nothing(&rig, p);
}

static void expect_slice(struct weir_slice s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.ptr, text, s.len);
}

static void check_accessors(struct rig_x *rx)
{
    struct weir_exchange *x = rx->x;
    char peer[64];
    expect_slice(weir_exchange_method(x), "PATCH");
    expect_slice(weir_exchange_target(x), rx->index == 0 ? "/p/q?r=s?t" : "http://other:1?x");
    expect_slice(weir_exchange_path(x), rx->index == 0 ? "/p/q" : "/");
    expect_slice(weir_exchange_query(x), rx->index == 0 ? "r=s?t" : "x");
    expect_slice(weir_exchange_host(x), rx->index == 0 ? "h:80" : "other:1");
    expect_slice(weir_exchange_header(x, WEIR_TEXT("x-one")), "1");
    assert_null(weir_exchange_header(x, WEIR_TEXT("x-none")).ptr);
    assert_int_equal(weir_exchange_headers_count(x), 3);
    expect_slice(weir_exchange_header_at(x, 1).name, "X-One");
    expect_slice(weir_exchange_header_at(x, 1).value, "1");
    assert_int_equal(weir_exchange_body_bytes(x), rx->index == 0 ? 2 : -1);
    assert_ptr_equal(weir_exchange_engine(x), rig.engine);
    assert_int_equal(weir_exchange_start_ns(x), weir_engine_now_ns(rig.engine));
    assert_ptr_equal(weir_exchange_peer(x, peer, sizeof peer), peer);
    assert_memory_equal(peer, "127.0.0.1:", 10);
}

static void peer_at_end(struct rig_x *rx)
{
    rx->step = rx->index + 1;
}

static void test_accessors(void **state)
{
    (void)state;
    rig.on_request = check_accessors;
    rig.on_last = rig_echo;
    rig.on_end = peer_at_end;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p,
             "PATCH /p/q?r=s?t HTTP/1.1\r\nHost: h:80\r\nX-One: 1\r\n"
             "Content-Length: 2\r\n\r\nab"
             "PATCH http://other:1?x HTTP/1.1\r\nHost: other:1\r\nX-One: 1\r\n"
             "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    rig_expect(&rig, p,
               OK_TEXT("19", "PATCH /p/q?r=s?t ab") OK_TEXT("23", "PATCH http://other:1?x "));
    RIG_UNTIL(&rig, rig.xs_ended == 2);
    assert_int_equal(rig.xs[1].step, 2);
}

/* ---- Large answers ----------------------------------------------------------------------- */

enum { MIB = 1 << 20, LENT_BYTES = 5 * MIB };

/* The rest of what `p` has to get, after a head that says how much. */
static void expect_large(struct rig_peer *p, const uint8_t *body, size_t len)
{
    char head[64];
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
    rig_expect(&rig, p, head);
    RIG_UNTIL(&rig, p->in.len >= len);
    assert_memory_equal(p->in.ptr, body, len);
    rig_buf_drop(&p->in, len);
}

static void scribble(struct rig_x *rx)
{
    if (rx->step != 0) /* the memory is the handler's again */
        memset((void *)(uintptr_t)rx->step, 0xee, LENT_BYTES);
}

static void test_borrowed(void **state)
{
    (void)state;
    uint8_t *original = rig_pattern(LENT_BYTES),
            *lent[2] = { rig_pattern(LENT_BYTES), rig_pattern(LENT_BYTES) };
    rig.on_end = scribble;
    serve_waiting();
    struct rig_peer *p = rig_dial_small(&rig, 4096);
    p->stalled = true;
    rig_text(&rig, p, GET_TEXT("/0") GET_TEXT("/1") GET_TEXT("/2"));
    (void)wait_request(2);
    for (int i = 1; i >= 0; i--) {
        struct weir_response r = { .status = 200,
                                   .body = { lent[i], LENT_BYTES },
                                   .how = WEIR_BODY_BORROW };
        rig.xs[i].step = (uintptr_t)lent[i];
        assert_int_equal(weir_exchange_respond(rig.xs[i].x, &r), 0);
    }
    rig_respond(&rig.xs[2], 200, "end");
    rig_settle(&rig);
    assert_int_equal(rig.xs[1].ended, 0); /* socket buffers do not hold that much */
    assert_true(rig_engine_stats(&rig).send_chunks_now <= 4);
    p->stalled = false;
    expect_large(p, original, LENT_BYTES);
    expect_large(p, original, LENT_BYTES);
    rig_expect(&rig, p, OK_TEXT("3", "end"));
    RIG_UNTIL(&rig, rig.xs_ended == 3);
    assert_int_equal(lent[1][0], 0xee);
    free(original);
    free(lent[0]);
    free(lent[1]);
}

static void test_copied(void **state)
{
    (void)state;
    uint8_t *body = rig_pattern(MIB);
    serve_waiting();
    struct rig_peer *p = rig_dial(&rig);
    /* Around the size of a piece of output memory, and far beyond. */
    const size_t sizes[] = { 3900, 3990, 4040, 4096, 4160, 8200, 100000, MIB };
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct weir_response r = { .status = 200, .body = { body, sizes[i] } };
        rig_text(&rig, p, GET_TEXT("/a") GET_TEXT("/b"));
        (void)wait_request(2 * i + 1);
        assert_int_equal(weir_exchange_respond(rig.xs[2 * i + 1].x, &r), 0);
        assert_int_equal(weir_exchange_respond(rig.xs[2 * i].x, &r), 0);
        expect_large(p, body, sizes[i]);
        expect_large(p, body, sizes[i]);
    }
    free(body);
}

static void test_long_head(void **state)
{
    (void)state;
    struct rig_buf value = { 0 }, answer = { 0 };
    while (value.len < 20000)
        rig_buf_text(&value, "0123456789");
    struct weir_header header = { WEIR_TEXT("X"), { (const uint8_t *)value.ptr, value.len } };
    struct weir_response r = {
        .status = 200, .headers = &header, .headers_count = 1, .body = WEIR_TEXT("ok")
    };
    serve_waiting();
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/"));
    assert_int_equal(weir_exchange_respond(wait_request(0)->x, &r), 0);
    rig_buf_text(&answer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: ");
    rig_buf_text(&answer, value.ptr);
    rig_buf_text(&answer, "\r\n\r\nok");
    rig_expect(&rig, p, answer.ptr);
    while (value.len < 70000)
        rig_buf_text(&value, "0123456789");
    header.value = (struct weir_slice){ (const uint8_t *)value.ptr, value.len };
    rig_text(&rig, p, GET_TEXT("/"));
    assert_int_equal(weir_exchange_respond(wait_request(1)->x, &r), -EINVAL);
    rig_respond(&rig.xs[1], 200, "y");
    rig_expect(&rig, p, OK_TEXT("1", "y"));
    rig_buf_free(&value);
    rig_buf_free(&answer);
}

/* ---- Peers that read slowly, or not ------------------------------------------------------ */

enum { STREAM_BYTES = 6 * MIB, PIECE_BYTES = 60000 };
static const uint8_t *stream;

/* Write on from rx->step until there is no room. */
static void pour(struct rig_x *rx)
{
    while (rx->step < STREAM_BYTES) {
        size_t n = STREAM_BYTES - rx->step;
        n = n < PIECE_BYTES ? n : PIECE_BYTES;
        int rc = weir_exchange_write(rx->x, (struct weir_slice){ stream + rx->step, n });
        if (rc == -ENOBUFS)
            return;
        assert_int_equal(rc, 0);
        rx->step += n;
    }
    assert_int_equal(weir_exchange_finish(rx->x), 0);
}

static void begin_and_pour(struct rig_x *rx)
{
    begin(rx, 200);
    pour(rx);
}

static void test_backpressure(void **state)
{
    (void)state;
    uint8_t *bytes = rig_pattern(STREAM_BYTES);
    stream = bytes;
    rig.on_request = rig_wait;
    rig.on_last = begin_and_pour;
    rig.on_writable = pour;
    rig_serve(&rig);
    struct rig_peer *raw = rig_dial_small(&rig, 8192), *chunked = rig_dial(&rig);
    raw->stalled = chunked->stalled = true;
    rig_text(&rig, raw, "GET / HTTP/1.0\r\n\r\n");
    rig_text(&rig, chunked, GET_TEXT("/"));
    RIG_UNTIL(&rig, rig.xs_count == 2);
    rig_run_for(&rig, 20 * RIG_MS);
    for (unsigned i = 0; i < 2; i++)
        assert_in_range(rig.xs[i].step, 1, STREAM_BYTES - 1);
    assert_true(rig_engine_stats(&rig).send_chunks_now <= 2 * 70); /* 256 KiB each */
    raw->stalled = chunked->stalled = false;
    rig_expect(&rig, raw, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    RIG_UNTIL(&rig, raw->eof && rig.xs_ended == 2);
    assert_int_equal(raw->in.len, STREAM_BYTES);
    assert_memory_equal(raw->in.ptr, bytes, STREAM_BYTES);
    assert_true(rig.xs[0].writables > 0 && rig.xs[1].writables > 0);
    rig_settle(&rig);
    rig_expect(&rig, chunked, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    struct weir_http1_body body;
    struct weir_parse_err err;
    size_t got = 0;
    enum weir_parse rc = WEIR_PARSE_MORE;
    weir_http1_body_init(&body, WEIR_HTTP1_BODY_CHUNKED, 0);
    struct weir_slice in = { (const uint8_t *)chunked->in.ptr, chunked->in.len }, piece;
    while (rc == WEIR_PARSE_MORE && in.len > 0) {
        size_t used = 0;
        rc = weir_http1_body_feed(&body, in, &used, &piece, &err);
        assert_memory_equal(piece.ptr, bytes + got, piece.len);
        got += piece.len;
        in = (struct weir_slice){ in.ptr + used, in.len - used };
    }
    assert_int_equal(rc, WEIR_PARSE_DONE);
    assert_int_equal(got, STREAM_BYTES);
    assert_int_equal(in.len, 0);
    free(bytes);
}

/* Write until the socket's buffers are full too. */
static void fill(struct rig_x *rx, const uint8_t *bytes, size_t piece)
{
    uint64_t before;
    do {
        before = rx->step;
        while (weir_exchange_write(rx->x, (struct weir_slice){ bytes, piece }) == 0)
            rx->step += piece;
        rig_settle(&rig);
    } while (rx->step != before && rx->step < STREAM_BYTES);
    assert_true(rx->step < STREAM_BYTES);
}

/* A peer that never reads is reset, whatever else goes on with it: it sends, the handler writes. */
static void test_write_timeout(void **state)
{
    (void)state;
    uint8_t *bytes = rig_pattern(STREAM_BYTES);
    struct weir_response r = { .status = 200,
                               .body = { bytes, STREAM_BYTES },
                               .how = WEIR_BODY_BORROW };
    rig.server_cfg.write_timeout_ns = 50 * RIG_MS;
    serve_waiting();
    struct rig_peer *p = rig_dial_small(&rig, 4096), *q = rig_dial_small(&rig, 4096);
    p->stalled = q->stalled = true;
    rig_text(&rig, p, GET_TEXT("/"));
    struct rig_x *large = wait_request(0);
    rig_text(&rig, q, GET_TEXT("/"));
    struct rig_x *drops = wait_request(1);
    assert_int_equal(weir_exchange_respond(large->x, &r), 0);
    begin(drops, 200);
    fill(drops, bytes, 20000);
    uint64_t begin_ns = weir_clock_ns();
    while (large->ended == 0 || drops->ended == 0) {
        if (large->ended == 0 && rig.xs_count < 60)
            (void)rig_write(&rig, p, GET_TEXT("/"), sizeof GET_TEXT("/") - 1);
        if (drops->ended == 0)
            drops->step += weir_exchange_write(drops->x, WEIR_TEXT("x")) == 0;
        rig_pass(&rig);
        assert_true(weir_clock_ns() - begin_ns < 500 * RIG_MS);
    }
    assert_int_equal(large->err, WEIR_E_TIMEOUT);
    assert_int_equal(drops->err, WEIR_E_TIMEOUT);
    RIG_UNTIL(&rig, rig.xs_ended == rig.xs_count);
    free(bytes);
}

static void test_reset_while_sending(void **state)
{
    (void)state;
    uint8_t *bytes = rig_pattern(STREAM_BYTES);
    struct weir_response r = { .status = 200,
                               .body = { bytes, STREAM_BYTES },
                               .how = WEIR_BODY_BORROW };
    serve_waiting();
    for (unsigned i = 0; i < 2; i++) {
        struct rig_peer *p = rig_dial_small(&rig, 4096);
        p->stalled = true;
        rig_text(&rig, p, GET_TEXT("/"));
        struct rig_x *rx = wait_request(i);
        assert_int_equal(weir_exchange_respond(rx->x, &r), 0);
        rig_settle(&rig);
        if (i == 0)
            rig_reset(p);
        else
            rig_hang_up(p); /* with unread bytes: a reset too */
        RIG_UNTIL(&rig, rx->ended == 1);
        assert_true(rx->err == -ECONNRESET || rx->err == -EPIPE);
    }
    free(bytes);
}

/* Without output memory nothing is taken, and everybody is told when there is some. */
static void respond_again(struct rig_x *rx)
{
    static uint8_t body[9000];
    struct weir_response r = { .status = 200, .body = { body, sizeof body } };
    if (rx->index == 0) {
        pour(rx);
        return;
    }
    int rc = weir_exchange_respond(rx->x, &r);
    rx->step++;
    assert_true(rc == 0 || rc == -ENOBUFS);
}

static void test_output_memory_exhausted(void **state)
{
    (void)state;
    uint8_t *bytes = rig_pattern(STREAM_BYTES);
    stream = bytes;
    rig.engine_cfg.send_bytes_max = 1u << 16;
    rig.on_request = rig_wait;
    rig.on_writable = respond_again;
    rig_serve(&rig);
    struct rig_peer *hog = rig_dial_small(&rig, 4096), *p = rig_dial(&rig);
    hog->stalled = true;
    rig_text(&rig, hog, "GET /hog HTTP/1.0\r\n\r\n");
    struct rig_x *rx = wait_request(0);
    begin(rx, 200);
    fill(rx, bytes, 3000); /* small pieces, so that little stays free */
    rig_text(&rig, p, GET_TEXT("/"));
    struct rig_x *other = wait_request(1);
    respond_again(other);
    rig_settle(&rig);
    assert_true(other->step >= 1 && other->ended == 0);
    assert_true(rig_engine_stats(&rig).send_memory_short > 0);
    rig_expect_nothing(&rig, p);
    /* The pieces of a stream this large never fit at once: only what is small now gets through. */
    unsigned before = rx->writables;
    weir_exchange_abort(rx->x, WEIR_ABORT_FIN);
    rig_settle(&rig);
    assert_int_equal(rx->writables, before); /* who gave up is not told to go on */
    weir_exchange_abort(rx->x, WEIR_ABORT_RST);
    RIG_UNTIL(&rig, other->ended == 1);
    assert_int_equal(other->err, 0);
    assert_true(other->writables > 0);
    rig_expect(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n");
    RIG_UNTIL(&rig, p->in.len == 9000);
    free(bytes);
}

/* ---- Before the request is over ---------------------------------------------------------- */

static void answer_now(struct rig_x *rx)
{
    rig_respond(rx, 200, "x");
}

static void test_early_answer_small(void **state)
{
    (void)state;
    rig.on_request = answer_now;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    for (unsigned i = 0; i < 3; i++) {
        rig_text(&rig, p, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
        rig_expect(&rig, p, OK_TEXT("1", "x"));
        RIG_UNTIL(&rig, rig.xs_ended == 2 * i + 1);
        rig_text(&rig, p,
                 "cdePUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n");
        rig_expect(&rig, p, OK_TEXT("1", "x"));
        rig_text(&rig, p, "abc\r\n0\r\n\r\n");
    }
    rig_expect_nothing(&rig, p);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(rig.xs[i].pieces, 0);
}

/* Too much to be read only to be dropped: the answer arrives, and no reset destroys it. */
static void test_early_answer_large(void **state)
{
    (void)state;
    uint8_t *bytes = rig_pattern(MIB);
    rig.on_request = answer_now;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    p->stalled = true;
    rig_text(&rig, p, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
    RIG_UNTIL(&rig, rig.xs_count == 1);
    rig_settle(&rig);
    for (unsigned i = 0; i < 6; i++) /* 60000 bytes: less than linger_bytes_max */
        rig_write_alone(&rig, p, bytes, 10000);
    rig_settle(&rig);
    p->stalled = false;
    rig_expect(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    rig_expect_eof(&rig, p);
    /* One that goes on all the same is cut off. */
    RIG_UNTIL(&rig, !rig_write(&rig, p, bytes, 10000));
    RIG_UNTIL(&rig, rig_server_stats(&rig).conns_now == 0);
    assert_int_equal(rig.xs[0].err, 0);
    free(bytes);
}

/* ---- Abort ------------------------------------------------------------------------------- */

static void abort_rst(struct rig_x *rx)
{
    weir_exchange_abort(rx->x, WEIR_ABORT_RST);
    assert_int_equal(rx->ended, 0);
}

static void abort_fin(struct rig_x *rx)
{
    weir_exchange_abort(rx->x, WEIR_ABORT_FIN);
    weir_exchange_abort(rx->x, WEIR_ABORT_FIN);
    assert_int_equal(rx->ended, 0);
    struct weir_response r = { .status = 200 };
    assert_int_equal(weir_exchange_respond(rx->x, &r), -EPIPE);
}

static void test_abort_in_callback(void **state)
{
    (void)state;
    rig_hook *const hooks[] = { abort_rst, abort_fin };
    rig_serve(&rig);
    for (unsigned i = 0; i < 4; i++) {
        rig.on_request = i < 2 ? hooks[i] : rig_wait;
        rig.on_last = i < 2 ? NULL : hooks[i - 2];
        struct rig_peer *p = rig_dial(&rig);
        rig_text(&rig, p,
                 "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" GET_TEXT("/never"));
        RIG_UNTIL(&rig, p->eof || p->err != 0);
        assert_int_equal(p->err, i % 2 == 0 ? -ECONNRESET : 0);
        assert_int_equal(p->in.len, 0);
        rig_hang_up(p);
        RIG_UNTIL(&rig, rig.xs_ended == i + 1);
        assert_int_equal(rig.xs[i].err, WEIR_E_CANCELLED);
    }
    assert_int_equal(rig.xs_count, 4);
}

static void test_abort_streamed(void **state)
{
    (void)state;
    serve_waiting();
    for (unsigned i = 0; i < 2; i++) {
        struct rig_peer *p = rig_dial(&rig);
        rig_text(&rig, p, GET_TEXT("/") GET_TEXT("/"));
        (void)wait_request(2 * i + 1);
        begin(&rig.xs[2 * i], 200);
        assert_int_equal(weir_exchange_write(rig.xs[2 * i].x, WEIR_TEXT("abc")), 0);
        rig_respond(&rig.xs[2 * i + 1], 200, "behind");
        weir_exchange_abort(rig.xs[2 * i].x, i == 0 ? WEIR_ABORT_FIN : WEIR_ABORT_RST);
        assert_int_equal(weir_exchange_write(rig.xs[2 * i].x, WEIR_TEXT("d")), -EPIPE);
        assert_int_equal(weir_exchange_finish(rig.xs[2 * i].x), -EPIPE);
        if (i == 0) {
            rig_expect(&rig, p,
                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
            rig_expect_eof(&rig, p);
            rig_hang_up(p);
        } else {
            RIG_UNTIL(&rig, p->err == -ECONNRESET);
        }
        RIG_UNTIL(&rig, rig.xs_ended == 2 * i + 2);
        assert_int_equal(rig.xs[2 * i].err, WEIR_E_CANCELLED);
        assert_int_not_equal(rig.xs[2 * i + 1].err, 0);
    }
}

/* ---- From inside other ends -------------------------------------------------------------- */

static void answer_next(struct rig_x *rx)
{
    if (rx->index < 4)
        rig_respond(&rig.xs[rx->index + 1], 200, "x");
}

static void abort_next(struct rig_x *rx)
{
    if (rx->index == 5)
        weir_exchange_abort(rig.xs[6].x, WEIR_ABORT_RST);
}

static void test_from_on_end(void **state)
{
    (void)state;
    rig.on_end = answer_next;
    serve_waiting();
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/") GET_TEXT("/") GET_TEXT("/") GET_TEXT("/") GET_TEXT("/"));
    (void)wait_request(4);
    rig_respond(&rig.xs[0], 200, "x");
    for (unsigned i = 0; i < 5; i++)
        rig_expect(&rig, p, OK_TEXT("1", "x"));
    RIG_UNTIL(&rig, rig.xs_ended == 5);
    rig.on_end = abort_next;
    rig_text(&rig, p, GET_TEXT("/") GET_TEXT("/") GET_TEXT("/"));
    (void)wait_request(7);
    rig_respond(&rig.xs[5], 200, "x");
    RIG_UNTIL(&rig, rig.xs_ended == 8);
    assert_int_equal(rig.xs[5].err, 0);
    assert_int_equal(rig.xs[6].err, WEIR_E_CANCELLED);
    assert_int_not_equal(rig.xs[7].err, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_whole),
        RIG_TEST(test_alike),
        RIG_TEST(test_streamed),
        RIG_TEST(test_streamed_out_of_turn),
        RIG_TEST(test_misuse),
        RIG_TEST(test_accessors),
        RIG_TEST(test_borrowed),
        RIG_TEST(test_copied),
        RIG_TEST(test_long_head),
        RIG_TEST(test_backpressure),
        RIG_TEST(test_write_timeout),
        RIG_TEST(test_reset_while_sending),
        RIG_TEST(test_output_memory_exhausted),
        RIG_TEST(test_early_answer_small),
        RIG_TEST(test_early_answer_large),
        RIG_TEST(test_abort_in_callback),
        RIG_TEST(test_abort_streamed),
        RIG_TEST(test_from_on_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
