/* SPDX-License-Identifier: MIT */
/* Requests as bytes: heads of any length, and bodies that are made while they are sent. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_rig.h"

#define AHEAD_MOST (65536 + 65536) /* asked for ahead, and one more piece of the output memory */

static struct rig_call call, other;
static struct rig_source source;

/* ---- Heads ------------------------------------------------------------------------------- */

static void test_long_head(void **state)
{
    (void)state;
    struct rig_buf target = { 0 }, text = { 0 };
    rig_buf_text(&target, "/");
    rig_open_raw(&rig, 1);
    struct rig_peer *p = NULL;
    /* Around the size of a piece of output memory, and far above it. */
    const size_t sizes[] = { 3000, 3900, 3950, 4000, 4050, 4100, 8200, 30000, 65000 };
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        while (target.len < sizes[i])
            rig_buf_text(&target, "0123456789");
        rig_call_init(&call, &rig, "PUT", target.ptr);
        call.call.request.body = WEIR_TEXT("b");
        rig_send(&call);
        if (p == NULL)
            p = rig_accept(&rig);
        text.len = 0;
        rig_buf_text(&text, "PUT ");
        rig_buf_text(&text, target.ptr);
        rig_buf_text(&text, " HTTP/1.1\r\nHost: ");
        rig_buf_text(&text, rig.endpoint + 7);
        rig_buf_text(&text, "\r\nContent-Length: 1\r\n\r\nb");
        rig_expect(&rig, p, text.ptr);
        assert_int_equal(call.call.timing.request_bytes, text.len);
        rig_text(&rig, p, OK_EMPTY);
        rig_expect_answer(&call, 200, "");
    }
    while (target.len < 70000)
        rig_buf_text(&target, "0123456789");
    call.call.request.target = rig_slice(target.ptr);
    assert_int_equal(rig_try_send(&call), -EINVAL);
    assert_non_null(strstr(weir_error_text(), "65536"));
    rig_buf_free(&target);
    rig_buf_free(&text);
}

static void test_accept_encoding(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    rig_call_init(&call, &rig, "GET", "/");
    call.call.request.decode = true;
    rig_send(&call);
    struct rig_peer *p = rig_accept(&rig);
    struct rig_buf text = { 0 };
    rig_buf_text(&text, "GET / HTTP/1.1\r\nHost: ");
    rig_buf_text(&text, rig.endpoint + 7);
    rig_buf_text(&text, "\r\nAccept-Encoding: gzip, deflate\r\n\r\n");
    rig_expect(&rig, p, text.ptr);
    rig_buf_free(&text);
    rig_answer(&rig, p, &call, OK_TEXT("1", "x"));
}

/* ---- Bodies that are made ---------------------------------------------------------------- */

/* The request's head, with how its body is framed. */
static struct rig_peer *expect_source_head(struct rig_peer *p, const char *framing)
{
    struct rig_buf text = { 0 };
    if (p == NULL)
        p = rig_accept(&rig);
    rig_buf_text(&text, "PUT /s HTTP/1.1\r\nHost: ");
    rig_buf_text(&text, rig.endpoint + 7);
    rig_buf_text(&text, "\r\n");
    rig_buf_text(&text, framing);
    rig_buf_text(&text, "\r\n\r\n");
    rig_expect(&rig, p, text.ptr);
    rig_buf_free(&text);
    return p;
}

/* The body that follows, taken apart by a decoder of its own, byte for byte. */
static void expect_body(struct rig_peer *p, const uint8_t *bytes, size_t len, bool chunked)
{
    struct weir_http1_body body;
    struct rig_buf got = { 0 };
    bool done = !chunked && len == 0;
    weir_http1_body_init(&body, chunked ? WEIR_HTTP1_BODY_CHUNKED : WEIR_HTTP1_BODY_LENGTH, len);
    while (!done) {
        struct weir_slice piece;
        struct weir_parse_err err;
        size_t used = 0;
        RIG_UNTIL(&rig, p->in.len > 0);
        enum weir_parse r = weir_http1_body_feed(
            &body, (struct weir_slice){ (uint8_t *)p->in.ptr, p->in.len }, &used, &piece, &err);
        assert_int_not_equal(r, WEIR_PARSE_ERROR);
        rig_buf_add(&got, piece.ptr, piece.len);
        done = r == WEIR_PARSE_DONE;
        assert_true(used > 0 || done);
        rig_buf_drop(&p->in, used);
    }
    assert_int_equal(got.len, len);
    if (len > 0)
        assert_memory_equal(got.ptr, bytes, len);
    rig_buf_free(&got);
    rig_expect_nothing(&rig, p);
}

static void send_source(const uint8_t *bytes, size_t len, bool known)
{
    rig_source_init(&source, bytes, len, known);
    rig_source_call(&call, &rig, "PUT", &source);
}

/* Both framings, sizes around every border, and pieces of any size. */
static void test_sources(void **state)
{
    (void)state;
    enum { MOST = 300000 };
    const size_t sizes[] = { 0, 1, 2, 4000, 4096, 65535, 65536, 65537, MOST };
    const size_t pieces[] = { 0, 1, 1000, 4000 };
    uint8_t *bytes = rig_pattern(MOST);
    struct rig_peer *p = NULL;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (unsigned k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
            if (pieces[k] == 1 && sizes[i] > 5000)
                continue;
            for (unsigned known = 0; known < 2; known++) {
                char framing[64];
                send_source(bytes, sizes[i], known != 0);
                source.piece = pieces[k];
                rig_send(&call);
                assert_int_equal(source.reads, 0); /* never inside weir_client_send() */
                if (known)
                    (void)snprintf(framing, sizeof framing, "Content-Length: %zu", sizes[i]);
                else
                    (void)snprintf(framing, sizeof framing, "Transfer-Encoding: chunked");
                p = expect_source_head(p, framing);
                expect_body(p, bytes, sizes[i], !known);
                rig_text(&rig, p, OK_EMPTY);
                rig_expect_answer(&call, 200, "");
                assert_int_equal(source.at, sizes[i]);
            }
        }
    }
    assert_int_equal(rig_client_stats(&rig).conns, 1);
    free(bytes);
}

/* It has nothing for a while: read again when it says so, not before. */
static void test_source_that_waits(void **state)
{
    (void)state;
    struct rig_peer *p = NULL;
    rig_open_raw(&rig, 1);
    for (unsigned known = 0; known < 2; known++) {
        send_source((const uint8_t *)"abcdef", 6, known != 0);
        source.ready = 0;
        rig_send(&call);
        p = expect_source_head(p, known ? "Content-Length: 6" : "Transfer-Encoding: chunked");
        rig_expect_nothing(&rig, p);
        unsigned reads = source.reads;
        weir_call_produce(&call.call); /* it was mistaken */
        assert_int_equal(source.reads, reads + 1);
        rig_expect_nothing(&rig, p);
        source.ready = 2;
        rig_expect_nothing(&rig, p);
        assert_int_equal(source.reads, reads + 1);
        weir_call_produce(&call.call);
        rig_expect(&rig, p, known ? "ab" : "0002\r\nab\r\n");
        rig_expect_nothing(&rig, p);
        source.ready = 6;
        weir_call_produce(&call.call);
        weir_call_produce(&call.call);
        rig_expect(&rig, p, known ? "cdef" : "0004\r\ncdef\r\n0\r\n\r\n");
        rig_expect_nothing(&rig, p);
        rig_text(&rig, p, OK_EMPTY);
        rig_expect_answer(&call, 200, "");
        weir_call_produce(&call.call); /* it is over: nothing happens */
    }
}

/* What was promised does not come, or something else went wrong in it. */
static void test_source_that_fails(void **state)
{
    (void)state;
    static const struct {
        size_t len, promised;
        int end, err;
    } rows[] = {
        { 3, 5, 0, -EPROTO },
        { 0, 1, 0, -EPROTO },
        { 3, 5, -EIO, -EIO },
        { 0, WEIR_LENGTH_UNKNOWN, -EIO, -EIO },
        { 3, WEIR_LENGTH_UNKNOWN, -ENOENT, -ENOENT },
    };
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        send_source((const uint8_t *)"abc", rows[i].len, true);
        source.source.bytes = rows[i].promised;
        source.end = rows[i].end;
        rig_send(&call);
        struct rig_peer *p = rig_accept(&rig);
        rig_expect_err(&call, rows[i].err);
        rig_expect_end(&rig, p);
        /* Nobody takes it for a whole request. */
        assert_null(strstr(rig_buf_str(&p->in), "0\r\n\r\n"));
        assert_int_equal(call.heads, 0);
        rig_hang_up(p);
    }
    assert_int_equal(rig_client_stats(&rig).failed, sizeof rows / sizeof rows[0]);
}

/* A peer that does not read: no more is made than is asked for ahead. */
static void test_back_pressure(void **state)
{
    (void)state;
    enum { BYTES = 8 << 20 };
    uint8_t *bytes = rig_pattern(BYTES);
    rig_open_raw(&rig, 1);
    for (unsigned known = 0; known < 2; known++) {
        send_source(bytes, BYTES, known != 0);
        rig_send(&call);
        struct rig_peer *p = rig_accept(&rig);
        p->stalled = true;
        size_t at = 1, passes = 0;
        while (passes < 20) { /* until it stands still */
            passes = at == source.at ? passes + 1 : 0;
            at = source.at;
            rig_pass(&rig);
        }
        assert_true(at < BYTES);
        uint64_t sent = rig_conn_of(&call)->conn->sent_bytes;
        assert_true(at <= sent + AHEAD_MOST);
        assert_true(rig_conn_of(&call)->conn->out.bytes <= AHEAD_MOST);
        p->stalled = false;
        rig_expect_requests(&rig, p, 1);
        expect_body(p, bytes, BYTES, !known);
        rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        rig_expect_answer(&call, 200, "");
        rig_expect_end(&rig, p);
        rig_hang_up(p);
    }
    free(bytes);
}

/* Without output memory it is asked again when there is some, though nothing is on its way. */
static void test_source_without_memory(void **state)
{
    (void)state;
    void *chunks = NULL, *chunk;
    rig_open_raw(&rig, 1);
    send_source((const uint8_t *)"abc", 3, true);
    source.ready = 0;
    rig_send(&call);
    struct rig_peer *p = expect_source_head(NULL, "Content-Length: 3");
    rig_sent_whole(&rig, &call);
    weir_sendq_clear(rig.engine, &rig_conn_of(&call)->conn->out); /* what it had reserved */
    while ((chunk = weir_pool_get(&rig.engine->chunks)) != NULL) {
        memcpy(chunk, &chunks, sizeof chunks);
        chunks = chunk;
    }
    source.ready = 3;
    unsigned reads = source.reads;
    weir_call_produce(&call.call);
    rig_expect_nothing(&rig, p);
    assert_int_equal(source.reads, reads);
    while (chunks != NULL) {
        memcpy(&chunk, chunks, sizeof chunk);
        weir_pool_put(&rig.engine->chunks, chunks);
        chunks = chunk;
    }
    rig_expect(&rig, p, "abc");
    rig_answer(&rig, p, &call, OK_TEXT("1", "x"));
}

/* Behind a request whose body is being made nothing is sent before its end; then at once. */
static void test_pipelined_source(void **state)
{
    (void)state;
    rig.client_cfg.pipeline_max = 3;
    rig_open_raw(&rig, 1);
    send_source((const uint8_t *)"abcdef", 6, false);
    source.ready = 3;
    rig_send(&call);
    struct rig_peer *p = expect_source_head(NULL, "Transfer-Encoding: chunked");
    rig_expect(&rig, p, "0003\r\nabc\r\n");
    rig_get(&other, &rig, "/o");
    assert_int_equal(rig_client_stats(&rig).waiting_now, 1);
    rig_expect_nothing(&rig, p);
    source.ready = 6;
    weir_call_produce(&call.call);
    rig_expect(&rig, p, "0003\r\ndef\r\n0\r\n\r\nGET /o");
    rig_expect_requests(&rig, p, 1);
    rig_text(&rig, p, OK_TEXT("1", "1") OK_TEXT("1", "2"));
    rig_expect_answer(&call, 200, "1");
    rig_expect_answer(&other, 200, "2");
}

/* The other way round: a source behind a request, then one behind a source. */
static void test_source_behind_another(void **state)
{
    (void)state;
    struct rig_source second;
    rig.client_cfg.pipeline_max = 3;
    rig_open_raw(&rig, 1);
    rig_get(&other, &rig, "/o");
    struct rig_peer *p = rig_accept_request(&rig);
    send_source((const uint8_t *)"abc", 3, true);
    rig_send(&call);
    (void)expect_source_head(p, "Content-Length: 3");
    rig_expect(&rig, p, "abc");
    struct rig_call third;
    rig_source_init(&second, "xyz", 3, true);
    rig_source_call(&third, &rig, "PUT", &second);
    rig_send(&third);
    (void)expect_source_head(p, "Content-Length: 3");
    rig_expect(&rig, p, "xyz");
    rig_text(&rig, p, OK_TEXT("1", "1") OK_TEXT("1", "2") OK_TEXT("1", "3"));
    rig_expect_answer(&other, 200, "1");
    rig_expect_answer(&call, 200, "2");
    rig_expect_answer(&third, 200, "3");
}

/* ---- Its end in between ------------------------------------------------------------------ */

static void cancel_in_read(struct rig_source *s, struct weir_call *c)
{
    (void)s;
    weir_call_cancel(c);
}

static void produce_in_read(struct rig_source *s, struct weir_call *c)
{
    unsigned reads = s->reads;
    weir_call_produce(c);
    assert_int_equal(s->reads, reads); /* never inside itself */
}

static void test_from_inside_the_source(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    send_source((const uint8_t *)"abc", 3, false);
    source.on_read = produce_in_read;
    rig_send(&call);
    struct rig_peer *p = expect_source_head(NULL, "Transfer-Encoding: chunked");
    rig_expect(&rig, p, "0003\r\nabc\r\n0\r\n\r\n");
    rig_answer(&rig, p, &call, OK_TEXT("1", "x"));
    source.at = source.reads = 0;
    source.on_read = cancel_in_read;
    rig_send(&call);
    rig_expect_err(&call, WEIR_E_CANCELLED);
    assert_int_equal(source.reads, 1);
    rig_expect_end(&rig, p);
}

/* An answer before the source has ended is the answer; the source is not read any more. */
static void test_early_answer(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    send_source((const uint8_t *)"abcdef", 6, true);
    source.ready = 3;
    rig_send(&call);
    struct rig_peer *p = expect_source_head(NULL, "Content-Length: 6");
    rig_expect(&rig, p, "abc");
    rig_text(&rig, p, "HTTP/1.1 413 \r\nContent-Length: 2\r\n\r\nno");
    rig_expect_answer(&call, 413, "no");
    assert_int_equal(source.at, 3);
    rig_expect_end(&rig, p);
}

static void test_cancel_and_deadline_while_it_is_made(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < 2; i++) {
        send_source((const uint8_t *)"abcdef", 6, true);
        source.ready = 3;
        call.call.deadline_ns = i == 0 ? 0 : rig_now(&rig) + 5 * RIG_S;
        rig_send(&call);
        struct rig_peer *p = expect_source_head(NULL, "Content-Length: 6");
        rig_expect(&rig, p, "abc");
        if (i == 0)
            rig_cancel(&call);
        else
            rig_skip(&rig, 6 * RIG_S);
        rig_expect_err(&call, i == 0 ? WEIR_E_CANCELLED : WEIR_E_DEADLINE);
        rig_expect_end(&rig, p);
        rig_hang_up(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_long_head),
        RIG_TEST(test_accept_encoding),
        RIG_TEST(test_sources),
        RIG_TEST(test_source_that_waits),
        RIG_TEST(test_source_that_fails),
        RIG_TEST(test_back_pressure),
        RIG_TEST(test_source_without_memory),
        RIG_TEST(test_pipelined_source),
        RIG_TEST(test_source_behind_another),
        RIG_TEST(test_from_inside_the_source),
        RIG_TEST(test_early_answer),
        RIG_TEST(test_cancel_and_deadline_while_it_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
