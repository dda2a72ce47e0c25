/* SPDX-License-Identifier: MIT */
/* The input of a server's connections: what arrives, however it is cut, becomes requests. */
#include "unit/proto/http/rig.h"

#define GET_TEXT(target)   "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_TEXT(len, body) "HTTP/1.1 200 OK\r\nContent-Length: " len "\r\n\r\n" body

/* The server's own answer of this status, whole and alone, then the end. */
static void expect_refusal(struct rig_peer *p, const char *status)
{
    char line[80];
    int n = snprintf(line, sizeof line, "HTTP/1.1 %s\r\n", status);
    RIG_UNTIL(&rig, p->eof || p->err != 0);
    assert_int_equal(p->err, 0);
    if (strncmp(rig_buf_str(&p->in), line, (size_t)n) != 0)
        assert_string_equal(rig_buf_str(&p->in), line);
    assert_non_null(strstr(p->in.ptr, "\r\nConnection: close\r\n"));
    char *body = strstr(p->in.ptr, "\r\n\r\n");
    assert_non_null(body);
    assert_memory_equal(body + 4, status, 3);
    assert_int_equal(p->in.ptr[p->in.len - 1], '\n');
    assert_null(strstr(p->in.ptr + 1, "HTTP/1.1"));
    rig_buf_drop(&p->in, p->in.len);
}

/* ---- Cuts -------------------------------------------------------------------------------- */

static const char mixed[] =
    "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
    "POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    "\r\nPOST /chunks HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
    "DELETE /d HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";

static void mixed_answers(struct rig_buf *out)
{
    rig_echo_text(out, "GET", "/a?b", "");
    rig_echo_text(out, "POST", "/length", "hello");
    rig_echo_text(out, "POST", "/chunks", "abc0123456789");
    rig_echo_text(out, "DELETE", "/d", "");
}

static void test_cut_at_every_offset(void **state)
{
    (void)state;
    struct rig_buf answers = { 0 };
    const size_t len = sizeof mixed - 1;
    mixed_answers(&answers);
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    for (size_t cut = 1; cut < len; cut++) {
        rig_write_alone(&rig, p, mixed, cut);
        rig_write_alone(&rig, p, mixed + cut, len - cut);
        rig_expect(&rig, p, answers.ptr);
    }
    for (size_t at = 0; at < len; at++)
        rig_write_alone(&rig, p, mixed + at, 1);
    rig_expect(&rig, p, answers.ptr);
    rig_expect_nothing(&rig, p);
    assert_int_equal(rig.xs_count, 4 * len);
    for (unsigned i = 0; i < rig.xs_count; i++)
        assert_int_equal(rig.xs[i].lasts, 1);
    rig_buf_free(&answers);
}

/* The same through receive buffers that are smaller than what is sent, on a unix socket. */
static void test_small_receive_buffers(void **state)
{
    (void)state;
    struct rig_buf text = { 0 }, answers = { 0 };
    for (unsigned i = 0; i < 100; i++) {
        rig_buf_text(&text, mixed);
        mixed_answers(&answers);
    }
    rig.engine_cfg.recv_buf_bytes = 256;
    rig.engine_cfg.recv_bufs_max = 2;
    rig.server_cfg.listen = "unix:rig-session.sock";
    rig.server_cfg.pipeline_max = 3;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    assert_true(rig_write(&rig, p, text.ptr, text.len));
    rig_expect(&rig, p, answers.ptr);
    rig_expect_nothing(&rig, p);
    unlink("rig-session.sock");
    rig_buf_free(&text);
    rig_buf_free(&answers);
}

/* ---- Bodies ------------------------------------------------------------------------------ */

static void check_body(struct rig_x *rx)
{
    uint8_t *body = rig_pattern(rx->body.len);
    assert_memory_equal(rx->body.ptr, body, rx->body.len);
    free(body);
    char text[32];
    (void)snprintf(text, sizeof text, "%zu", rx->body.len);
    rig_respond(rx, 200, text);
}

static void test_large_bodies(void **state)
{
    (void)state;
    enum { BYTES = 700000 };
    struct rig_buf text = { 0 };
    uint8_t *body = rig_pattern(BYTES);
    rig.on_last = check_body;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_buf_text(&text, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 700000\r\n\r\n");
    rig_buf_add(&text, body, BYTES);
    rig_buf_text(&text, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, n = 1; at < BYTES; at += n) {
        char head[32];
        n = at * 7 % 20011 + 1;
        if (n > BYTES - at)
            n = BYTES - at;
        (void)snprintf(head, sizeof head, "%zx\r\n", n);
        rig_buf_text(&text, head);
        rig_buf_add(&text, body + at, n);
        rig_buf_text(&text, "\r\n");
    }
    rig_buf_text(&text, "0\r\n\r\n");
    assert_true(rig_write(&rig, p, text.ptr, text.len));
    rig_expect(&rig, p, OK_TEXT("6", "700000") OK_TEXT("6", "700000"));
    rig_expect_nothing(&rig, p);
    free(body);
    rig_buf_free(&text);
}

static void test_body_over_the_limit(void **state)
{
    (void)state;
    rig.server_cfg.body_bytes_max = 10;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789");
    rig_expect(&rig, p, OK_TEXT("16", "PUT / 0123456789"));
    rig_text(&rig, p, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n");
    rig_half_close(p);
    expect_refusal(p, "413 Content Too Large");
    assert_int_equal(rig.xs_count, 1);
    /* By count: the handler has seen the head, and learns why it is over. */
    p = rig_dial(&rig);
    rig_text(&rig, p,
             "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
             "8\r\n01234567\r\n3\r\n890\r\n0\r\n\r\n");
    rig_half_close(p);
    expect_refusal(p, "413 Content Too Large");
    RIG_UNTIL(&rig, rig.xs_ended == 2);
    assert_int_equal(rig.xs[1].err, WEIR_E_LIMIT);
    assert_int_equal(rig.xs[1].lasts, 0);
    assert_int_equal(rig_server_stats(&rig).refused, 2);
}

static void broken_body(const char *head, const char *body, const char *status)
{
    unsigned before = rig.xs_count;
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, head);
    rig_text(&rig, p, body);
    rig_half_close(p);
    expect_refusal(p, status);
    RIG_UNTIL(&rig, rig.xs_ended == before + 1);
    assert_int_equal(rig.xs[before].lasts, 0);
    rig_hang_up(p);
}

static void test_broken_bodies(void **state)
{
    (void)state;
    rig_serve(&rig);
    broken_body("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "zz\r\n",
                "400 Bad Request");
    assert_int_equal(rig.xs[0].err, WEIR_E_PROTOCOL);
    broken_body("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nabc",
                "400 Bad Request");
    assert_int_equal(rig.xs[1].err, WEIR_E_PROTOCOL);
    broken_body("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nabc",
                "400 Bad Request");
    assert_int_equal(rig.xs[2].err, WEIR_E_TRUNCATED);
    broken_body("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n", "abc", "400 Bad Request");
    assert_int_equal(rig.xs[3].err, WEIR_E_TRUNCATED);
}

/* ---- 100 Continue ------------------------------------------------------------------------ */

#define EXPECT_TEXT(target)                                                                        \
    "PUT " target " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
#define CONTINUE_TEXT "HTTP/1.1 100 Continue\r\n\r\n"

static void test_continue(void **state)
{
    (void)state;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, EXPECT_TEXT("/a"));
    rig_expect(&rig, p, CONTINUE_TEXT);
    rig_text(&rig, p, "abc");
    rig_expect(&rig, p, OK_TEXT("10", "PUT /a abc"));
    /* Whose body is already here asked for nothing that it needs. */
    rig_text(&rig, p, EXPECT_TEXT("/b") "abc");
    rig_expect(&rig, p, OK_TEXT("10", "PUT /b abc"));
    /* HTTP/1.0 knows no such thing. */
    rig_text(&rig, p, "PUT /c HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    rig_expect_nothing(&rig, p);
    rig_text(&rig, p, "abc");
    rig_expect(&rig, p,
               "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"
               "PUT /c abc");
    rig_expect_eof(&rig, p);
}

static void refuse_puts(struct rig_x *rx)
{
    if (strcmp(rx->method, "PUT") == 0)
        rig_respond(rx, 403, "");
}

/* Answered at once, the body need not come: what follows it is taken for the body all the same. */
static void test_continue_not_when_answered(void **state)
{
    (void)state;
    rig.on_request = refuse_puts;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, EXPECT_TEXT("/a"));
    rig_expect(&rig, p, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    rig_expect_nothing(&rig, p);
    rig_text(&rig, p, "abc" EXPECT_TEXT("/b"));
    rig_expect(&rig, p, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(rig.xs[0].pieces, 0);
}

static void test_continue_behind_another(void **state)
{
    (void)state;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/first") EXPECT_TEXT("/second"));
    RIG_UNTIL(&rig, rig.xs_count == 2);
    rig_expect_nothing(&rig, p);
    rig_respond(&rig.xs[0], 200, "1");
    rig_expect(&rig, p, OK_TEXT("1", "1") CONTINUE_TEXT);
    rig_text(&rig, p, "abc");
    RIG_UNTIL(&rig, rig.xs[1].lasts == 1);
    rig_respond(&rig.xs[1], 200, "2");
    rig_expect(&rig, p, OK_TEXT("1", "2"));
}

/* ---- Limits that park -------------------------------------------------------------------- */

static void answer_all_backwards(struct rig_x *rx)
{
    char text[16];
    if (rx->index != 99)
        return;
    for (int i = 99; i >= 0; i--) {
        (void)snprintf(text, sizeof text, "%02d", i);
        rig_respond(&rig.xs[i], 200, text);
    }
}

static void test_pipeline_answered_backwards(void **state)
{
    (void)state;
    struct rig_buf text = { 0 }, answers = { 0 };
    for (unsigned i = 0; i < 100; i++) {
        char answer[64];
        (void)snprintf(answer, sizeof answer, OK_TEXT("2", "%02u"), i);
        rig_buf_text(&text, GET_TEXT("/"));
        rig_buf_text(&answers, answer);
    }
    rig.server_cfg.pipeline_max = 100;
    rig.on_request = rig_wait;
    rig.on_last = answer_all_backwards;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, text.ptr);
    rig_expect(&rig, p, answers.ptr);
    RIG_UNTIL(&rig, rig.xs_ended == 100);
    rig_expect_nothing(&rig, p);
    rig_buf_free(&text);
    rig_buf_free(&answers);
}

/* Input that comes while it is paused is not taken from the kernel. */
static void check_paused(struct rig_peer *p, const char *text)
{
    rig_settle(&rig);
    uint64_t before = rig_engine_stats(&rig).recv_bytes;
    rig_text(&rig, p, text);
    rig_settle(&rig);
    assert_int_equal(rig_engine_stats(&rig).recv_bytes, before);
}

static void test_pipeline_max(void **state)
{
    (void)state;
    enum { COUNT = 50, MAX = 4 };
    rig.server_cfg.pipeline_max = MAX;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    for (unsigned i = 0; i < COUNT - 1; i++)
        rig_text(&rig, p, GET_TEXT("/"));
    RIG_UNTIL(&rig, rig.xs_count == MAX);
    check_paused(p, GET_TEXT("/"));
    for (unsigned i = 0; i < COUNT; i++) {
        char text[64];
        RIG_UNTIL(&rig, rig.xs_count > i);
        assert_in_range(rig.xs_count - rig.xs_ended, 1, MAX);
        (void)snprintf(text, sizeof text, "%02u", i);
        rig_respond(&rig.xs[i], 200, text);
        (void)snprintf(text, sizeof text, OK_TEXT("2", "%02u"), i);
        rig_expect(&rig, p, text);
    }
    rig_expect_nothing(&rig, p);
}

/* The end that the peer announced behind what is parked is seen when its turn comes. */
static void test_parked_then_half_closed(void **state)
{
    (void)state;
    rig.server_cfg.pipeline_max = 1;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/1") GET_TEXT("/2") GET_TEXT("/3") "GET /half");
    rig_half_close(p);
    for (unsigned i = 0; i < 3; i++) {
        RIG_UNTIL(&rig, rig.xs_count == i + 1);
        rig_settle(&rig);
        rig_respond(&rig.xs[i], 204, "");
    }
    rig_expect(&rig, p,
               "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
               "HTTP/1.1 204 No Content\r\n");
    RIG_UNTIL(&rig, p->eof);
    assert_int_equal(rig.xs_count, 3);
    assert_int_equal(rig.xs[2].err, 0);
}

/* At the limit of requests in progress connections wait their turn, without a timeout. */
static void test_exchanges_max(void **state)
{
    (void)state;
    enum { COUNT = 6 };
    struct rig_peer *p[COUNT];
    rig.server_cfg.exchanges_max = 2;
    rig.server_cfg.idle_timeout_ns = 20 * RIG_MS;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    for (unsigned i = 0; i < COUNT; i++) {
        char text[64];
        p[i] = rig_dial(&rig);
        (void)snprintf(text, sizeof text, GET_TEXT("/%u"), i);
        rig_write_alone(&rig, p[i], text, strlen(text));
    }
    check_paused(p[COUNT - 1], GET_TEXT("/6"));
    rig_run_for(&rig, 40 * RIG_MS);
    assert_int_equal(rig.xs_count, 2);
    for (unsigned i = 0; i < COUNT; i++) {
        RIG_UNTIL(&rig, rig.xs_count > i);
        assert_int_equal(rig.xs[i].target[1], '0' + (int)i); /* first come, first served */
        rig_respond(&rig.xs[i], 200, "x");
        rig_expect(&rig, p[i], OK_TEXT("1", "x"));
    }
    RIG_UNTIL(&rig, rig.xs_count == COUNT + 1);
    rig_respond(&rig.xs[COUNT], 200, "y");
    rig_expect(&rig, p[COUNT - 1], OK_TEXT("1", "y"));
    for (unsigned i = 0; i < COUNT; i++)
        rig_expect_eof(&rig, p[i]); /* idle at last */
}

/* A head that began in time is not late because we did not read the rest of it. */
static void test_parked_inside_a_head(void **state)
{
    (void)state;
    rig.server_cfg.exchanges_max = 1;
    rig.server_cfg.head_timeout_ns = 30 * RIG_MS;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *slow = rig_dial(&rig), *other = rig_dial(&rig);
    rig_write_alone(&rig, slow, "GET /slow HT", 12);
    rig_write_alone(&rig, other, GET_TEXT("/other"), sizeof GET_TEXT("/other") - 1);
    rig_write_alone(&rig, slow, "TP/1.1\r\n", 8);
    rig_run_for(&rig, 60 * RIG_MS);
    rig_respond(&rig.xs[0], 200, "1");
    rig_expect(&rig, other, OK_TEXT("1", "1"));
    rig_settle(&rig);
    rig_text(&rig, slow, "Host: h\r\n\r\n");
    RIG_UNTIL(&rig, rig.xs_count == 2);
    rig_respond(&rig.xs[1], 200, "2");
    rig_expect(&rig, slow, OK_TEXT("1", "2"));
}

/* Heads in part fill the memory for waiting input; who finds none is told. */
static void test_stash_exhausted(void **state)
{
    (void)state;
    struct rig_peer *p[8];
    unsigned refused = 0;
    rig.engine_cfg.stash_bytes_max = 1u << 16;
    rig_serve(&rig);
    for (unsigned i = 0; i < 8; i++) {
        p[i] = rig_dial(&rig);
        rig_write_alone(&rig, p[i], "GET / HTTP/1.1\r\n", 16);
    }
    rig_settle(&rig);
    uint64_t blocks = rig_engine_stats(&rig).stash_blocks_now;
    assert_in_range(blocks, 1, 7);
    for (unsigned i = 0; i < 8; i++) {
        if (p[i]->in.len == 0) {
            rig_text(&rig, p[i], "Host: h\r\n\r\n");
            rig_expect(&rig, p[i], OK_TEXT("6", "GET / "));
            continue;
        }
        refused++;
        expect_refusal(p[i], "503 Service Unavailable");
    }
    assert_int_equal(refused, 8 - blocks);
    assert_true(rig_engine_stats(&rig).stash_short > 0);
}

/* ---- Refusals ---------------------------------------------------------------------------- */

static void refused(const char *text, const char *status)
{
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, text);
    rig_half_close(p);
    expect_refusal(p, status);
    rig_hang_up(p);
}

static void test_refused_heads(void **state)
{
    (void)state;
    struct rig_buf text = { 0 };
    rig.server_cfg.target_bytes_max = 20;
    rig.server_cfg.head_bytes_max = 512;
    rig.server_cfg.fields_max = 4;
    rig_serve(&rig);
    refused("GET\r\n\r\n", "400 Bad Request");
    refused("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"); /* no Host */
    refused("GET / HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n", "400 Bad Request");
    refused("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400 Bad Request");
    refused("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 Bad Request");
    refused("\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03", "400 Bad Request"); /* TLS */
    refused("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 HTTP Version Not Supported");
    refused("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "501 Not Implemented");
    refused("GET / HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n", "417 Expectation Failed");
    refused("GET /0123456789012345678901 HTTP/1.1\r\nHost: h\r\n\r\n", "414 URI Too Long");
    refused("GET / HTTP/1.1\r\nHost: h\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n",
            "431 Request Header Fields Too Large");
    rig_buf_text(&text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    while (text.len < 600)
        rig_buf_text(&text, "xxxxxxxx");
    refused(text.ptr, "431 Request Header Fields Too Large");
    rig_buf_free(&text);
    assert_int_equal(rig.xs_count, 0);
    assert_int_equal(rig_server_stats(&rig).refused, 12);
}

/* What is named in the configuration is taken, in heads and in chunks, and nothing else. */
static void test_lenient(void **state)
{
    (void)state;
    rig.server_cfg.lenient = WEIR_HTTP1_LENIENT_BARE_LF | WEIR_HTTP1_LENIENT_CHUNK_BLANKS;
    rig.on_last = rig_echo;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    struct rig_buf answer = { 0 };
    rig_text(&rig, p,
             "POST /a HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n3  \r\nabc\r\n0\r\n\r\n");
    rig_echo_text(&answer, "POST", "/a", "abc");
    rig_expect(&rig, p, rig_buf_str(&answer));
    rig_text(&rig, p,
             "POST /b HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n3\nabc\r\n0\r\n\r\n");
    expect_refusal(p, "400 Bad Request");
    refused("GET / HTTP/1.1\nHost: h\nA: b\n c\n\n", "400 Bad Request");
    rig_buf_free(&answer);
}

/* The refusal waits for the answers before it, and nothing behind it is looked at. */
static void test_refused_behind_others(void **state)
{
    (void)state;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/1") GET_TEXT("/2") "garbage\r\n\r\n" GET_TEXT("/3"));
    RIG_UNTIL(&rig, rig.xs_count == 2);
    rig_respond(&rig.xs[1], 200, "2");
    rig_expect_nothing(&rig, p);
    rig_respond(&rig.xs[0], 200, "1");
    rig_expect(&rig, p, OK_TEXT("1", "1") OK_TEXT("1", "2"));
    rig_half_close(p);
    expect_refusal(p, "400 Bad Request");
    assert_int_equal(rig.xs_count, 2);
    assert_int_equal(rig.xs[0].err, 0);
    assert_int_equal(rig.xs[1].err, 0);
}

/* A refused peer that goes on sending for a while can still read why. */
static void test_refused_sends_on(void **state)
{
    (void)state;
    char *more = calloc(1, 32768);
    assert_non_null(more);
    rig.server_cfg.linger_bytes_max = 40000;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    p->stalled = true;
    rig_write_alone(&rig, p, "garbage\r\n\r\n", 11);
    rig_settle(&rig);
    rig_write_alone(&rig, p, more, 32768);
    rig_settle(&rig);
    p->stalled = false;
    expect_refusal(p, "400 Bad Request");
    /* But not for ever. */
    RIG_UNTIL(&rig, !rig_write(&rig, p, more, 4096));
    assert_int_equal(rig_server_stats(&rig).conns_now, 0);
    free(more);
}

/* ---- Time -------------------------------------------------------------------------------- */

static void test_slow_head(void **state)
{
    (void)state;
    rig.server_cfg.head_timeout_ns = 30 * RIG_MS;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    uint64_t begin = weir_clock_ns();
    rig_write_alone(&rig, p, "GET ", 4);
    while (p->in.len == 0 && weir_clock_ns() < begin + 1000 * RIG_MS)
        if (rig_write(&rig, p, "x", 1)) /* progress is no excuse */
            rig_pass(&rig);
    assert_true(weir_clock_ns() - begin >= 30 * RIG_MS);
    rig_half_close(p);
    expect_refusal(p, "408 Request Timeout");
    assert_int_equal(rig_server_stats(&rig).timeouts, 1);
}

static void test_slow_body(void **state)
{
    (void)state;
    rig.server_cfg.body_timeout_ns = 40 * RIG_MS;
    rig.server_cfg.head_timeout_ns = 20 * RIG_MS;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    uint64_t last = 0;
    for (unsigned i = 0; i < 4; i++) { /* progress is one here */
        rig_run_for(&rig, 20 * RIG_MS);
        last = weir_clock_ns();
        rig_text(&rig, p, "x");
    }
    RIG_UNTIL(&rig, p->in.len > 0);
    assert_true(weir_clock_ns() - last >= 40 * RIG_MS);
    rig_half_close(p);
    expect_refusal(p, "408 Request Timeout");
    assert_int_equal(rig.xs[0].err, WEIR_E_TIMEOUT);
    assert_int_equal(rig.xs[0].body.len, 4);
}

static void begin_answer(struct rig_x *rx)
{
    struct weir_response response = { .status = 200 };
    assert_int_equal(weir_exchange_begin(rx->x, &response), 0);
}

/* What the handler says is no progress of the body; an answer begun must not look whole. */
static void test_slow_body_while_answering(void **state)
{
    (void)state;
    rig.server_cfg.body_timeout_ns = 30 * RIG_MS;
    rig.on_request = begin_answer;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    RIG_UNTIL(&rig, rig.xs_count == 1);
    RIG_UNTIL(&rig,
              rig.xs_ended == 1 || p->eof || weir_exchange_write(rig.xs[0].x, WEIR_TEXT("a")) != 0);
    rig_half_close(p);
    RIG_UNTIL(&rig, rig.xs_ended == 1 && p->eof);
    assert_int_equal(rig.xs[0].err, WEIR_E_TIMEOUT);
    assert_null(strstr(p->in.ptr, "\r\n0\r\n\r\n"));
    assert_null(strstr(p->in.ptr, "408"));
}

static void test_idle(void **state)
{
    (void)state;
    rig.server_cfg.idle_timeout_ns = 30 * RIG_MS;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *never = rig_dial(&rig), *once = rig_dial(&rig);
    rig_text(&rig, once, GET_TEXT("/"));
    rig_expect_eof(&rig, never);
    rig_run_for(&rig, 40 * RIG_MS); /* the handler may think as long as it likes */
    uint64_t begin = weir_clock_ns();
    rig_respond(&rig.xs[0], 200, "x");
    rig_expect(&rig, once, OK_TEXT("1", "x"));
    rig_expect_eof(&rig, once);
    assert_true(weir_clock_ns() - begin >= 30 * RIG_MS);
    assert_int_equal(rig.xs[0].err, 0);
    assert_int_equal(rig_server_stats(&rig).timeouts, 2);
}

/* ---- Ends -------------------------------------------------------------------------------- */

static void test_half_close(void **state)
{
    (void)state;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/1") GET_TEXT("/2"));
    rig_half_close(p);
    RIG_UNTIL(&rig, rig.xs_count == 2);
    rig_expect_nothing(&rig, p);
    rig_respond(&rig.xs[0], 200, "1");
    rig_expect(&rig, p, OK_TEXT("1", "1"));
    rig_respond(&rig.xs[1], 200, "2");
    rig_expect(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n2");
    rig_expect_eof(&rig, p);
    assert_int_equal(rig.xs[1].err, 0);
    /* Before, and in the middle of, a head. */
    p = rig_dial(&rig);
    rig_half_close(p);
    rig_expect_eof(&rig, p);
    p = rig_dial(&rig);
    rig_write_alone(&rig, p, "GET / HT", 8);
    rig_half_close(p);
    rig_expect_eof(&rig, p);
    assert_int_equal(rig.xs_count, 2);
}

static void test_reset_while_pending(void **state)
{
    (void)state;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p,
             GET_TEXT("/1") GET_TEXT("/2") "PUT /3 HTTP/1.1\r\nHost: h\r\n"
                                           "Content-Length: 9\r\n\r\nabc");
    RIG_UNTIL(&rig, rig.xs_count == 3);
    rig_respond(&rig.xs[1], 200, "never seen");
    rig_reset(p);
    RIG_UNTIL(&rig, rig.xs_ended == 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rig.xs[i].err, -ECONNRESET);
    assert_int_equal(rig_server_stats(&rig).aborted, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_cut_at_every_offset),
        RIG_TEST(test_small_receive_buffers),
        RIG_TEST(test_large_bodies),
        RIG_TEST(test_body_over_the_limit),
        RIG_TEST(test_broken_bodies),
        RIG_TEST(test_continue),
        RIG_TEST(test_continue_not_when_answered),
        RIG_TEST(test_continue_behind_another),
        RIG_TEST(test_pipeline_answered_backwards),
        RIG_TEST(test_pipeline_max),
        RIG_TEST(test_parked_then_half_closed),
        RIG_TEST(test_exchanges_max),
        RIG_TEST(test_parked_inside_a_head),
        RIG_TEST(test_stash_exhausted),
        RIG_TEST(test_refused_heads),
        RIG_TEST(test_lenient),
        RIG_TEST(test_refused_behind_others),
        RIG_TEST(test_refused_sends_on),
        RIG_TEST(test_slow_head),
        RIG_TEST(test_slow_body),
        RIG_TEST(test_slow_body_while_answering),
        RIG_TEST(test_idle),
        RIG_TEST(test_half_close),
        RIG_TEST(test_reset_while_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
