/* SPDX-License-Identifier: MIT */
/* One connection of a client: what goes out, and what a server may say to it, right or wrong. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_rig.h"

static struct rig_call call, other;

/* A client with one connection, and the raw server behind it, which has the request of `call`. */
static struct rig_peer *ask(const char *method)
{
    if (rig.client == NULL) {
        rig.client_cfg.conns_max = 1;
        rig_listen(&rig, 16);
        rig_open_client(&rig);
    }
    uint64_t conns = rig_client_stats(&rig).conns;
    rig_call_init(&call, &rig, method, "/t");
    rig_send(&call);
    RIG_UNTIL(&rig, rig_client_stats(&rig).conns == conns + 1);
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    return p;
}

/* ---- Out --------------------------------------------------------------------------------- */

static void expect_request(struct rig_peer *p, const char *line, const char *rest)
{
    struct rig_buf text = { 0 };
    rig_buf_text(&text, line);
    rig_buf_text(&text, " HTTP/1.1\r\nHost: ");
    rig_buf_text(&text, rig.endpoint + 7);
    rig_buf_text(&text, "\r\n");
    rig_buf_text(&text, rest);
    rig_expect(&rig, p, text.ptr);
    assert_int_equal(p->in.len, 0);
    rig_buf_free(&text);
}

static void test_requests(void **state)
{
    (void)state;
    const struct weir_header headers[] = { { WEIR_TEXT("X"), WEIR_TEXT("1") },
                                           { WEIR_TEXT("Y"), WEIR_TEXT("") } };
    rig.client_cfg.conns_max = 1;
    rig_listen(&rig, 16);
    rig_open_client(&rig);
    rig_get(&call, &rig, "/a?b");
    struct rig_peer *p = rig_accept(&rig);
    expect_request(p, "GET /a?b", "\r\n");
    rig_text(&rig, p, OK_TEXT("2", "ok"));
    rig_expect_answer(&call, 200, "ok");
    assert_false(call.call.timing.reused);
    rig_call_init(&call, &rig, "POST", "/");
    call.call.request.body = WEIR_TEXT("body");
    call.call.request.headers = headers;
    call.call.request.headers_count = 2;
    rig_send(&call);
    expect_request(p, "POST /", "Content-Length: 4\r\nX: 1\r\nY: \r\n\r\nbody");
    rig_text(&rig, p, OK_TEXT("0", ""));
    rig_expect_answer(&call, 200, "");
    assert_true(call.call.timing.reused);
    rig_call_init(&call, &rig, "OPTIONS", "*");
    call.call.request.body_always = true;
    call.call.request.host = WEIR_TEXT("else:1");
    rig_send(&call);
    rig_expect(&rig, p, "OPTIONS * HTTP/1.1\r\nHost: else:1\r\nContent-Length: 0\r\n\r\n");
    rig_text(&rig, p, OK_TEXT("0", ""));
    rig_expect_answer(&call, 200, "");
    const struct weir_call_timing *t = &call.call.timing;
    assert_true(t->start_ns > 0 && t->sent_ns >= t->start_ns && t->first_byte_ns >= t->sent_ns &&
                t->end_ns >= t->first_byte_ns && t->os_err == 0);
}

/* What is named in the configuration is taken, in heads and in chunks. */
static void test_lenient(void **state)
{
    (void)state;
    rig.client_cfg.lenient =
        WEIR_HTTP1_LENIENT_SPACE_BEFORE_COLON | WEIR_HTTP1_LENIENT_CHUNK_BLANKS;
    rig_listen(&rig, 16);
    rig_open_client(&rig);
    rig_get(&call, &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    expect_request(p, "GET /", "\r\n");
    rig_text(&rig, p,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n");
    rig_expect_answer(&call, 200, "abc");
    rig_get(&call, &rig, "/");
    expect_request(p, "GET /", "\r\n");
    rig_text(&rig, p, "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n");
    rig_expect_err(&call, WEIR_E_PROTOCOL);
}

static void test_long_head(void **state)
{
    (void)state;
    struct rig_buf target = { 0 }, line = { 0 };
    rig_buf_text(&target, "/");
    while (target.len < 30000)
        rig_buf_text(&target, "0123456789");
    rig_listen(&rig, 16);
    rig_open_client(&rig);
    rig_call_init(&call, &rig, "PUT", target.ptr);
    call.call.request.body = WEIR_TEXT("b");
    rig_send(&call);
    struct rig_peer *p = rig_accept(&rig);
    rig_buf_text(&line, "PUT ");
    rig_buf_text(&line, target.ptr);
    expect_request(p, line.ptr, "Content-Length: 1\r\n\r\nb");
    rig_text(&rig, p, OK_TEXT("0", ""));
    rig_expect_answer(&call, 200, "");
    while (target.len < 70000)
        rig_buf_text(&target, "0123456789");
    call.call.request.target = rig_slice(target.ptr);
    assert_int_equal(rig_try_send(&call), -EINVAL);
    rig_buf_free(&target);
    rig_buf_free(&line);
}

static void respond_with_body(struct rig_x *rx)
{
    struct weir_response r = { .status = 200,
                               .body = { (const uint8_t *)rx->body.ptr, rx->body.len },
                               .how = WEIR_BODY_BORROW };
    assert_int_equal(weir_exchange_respond(rx->x, &r), 0);
}

/* Around every size at which bodies begin to be treated differently, and far beyond. */
static void test_echo_of_bodies(void **state)
{
    (void)state;
    const size_t sizes[] = { 1, 1023, 1024, 1025, 3900, 4096, 4160, 65536, 1000000, 1 << 20 };
    uint8_t *bytes = rig_pattern(1 << 20);
    rig.on_request = rig_wait;
    rig.on_last = respond_with_body;
    rig_serve(&rig);
    rig_open_client(&rig);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        rig_call_init(&call, &rig, "POST", "/");
        call.call.request.body = (struct weir_slice){ bytes, sizes[i] };
        rig_send(&call);
        rig_finish(&call);
        assert_int_equal(call.err, 0);
        assert_int_equal(call.body.len, sizes[i]);
        assert_memory_equal(call.body.ptr, bytes, sizes[i]);
        assert_int_equal(call.call.timing.body_bytes, sizes[i]);
        rig_buf_free(&call.body);
    }
    assert_int_equal(rig_client_stats(&rig).conns, 1);
    free(bytes);
}

/* ---- Answers ----------------------------------------------------------------------------- */

struct answer {
    const char *method, *text;
    uint16_t status;
    const char *body;
    bool ends; /* with the connection */
};

static const struct answer answers[] = {
    { "GET", OK_TEXT("5", "hello"), 200, "hello", false },
    { "GET", OK_TEXT("0", ""), 200, "", false },
    { "GET",
      "HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\nT: "
      "t\r\n\r\n",
      404, "abc", false },
    { "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", false },
    { "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", false },
    { "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false },
    { "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", false },
    { "PUT", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" OK_TEXT("1", "x"),
      200, "x", false },
    { "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x",
      false },
    { "GET", "HTTP/1.1 999 \r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 999, "x", true },
    { "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", true },
    { "GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", true },
    { "GET", "HTTP/1.1 200 OK\r\n\r\n", 200, "", true },
};
#define ANSWERS_COUNT (sizeof answers / sizeof answers[0])

static void test_answers_cut_at_every_offset(void **state)
{
    (void)state;
    struct rig_peer *p = NULL;
    for (unsigned i = 0; i < ANSWERS_COUNT; i++) {
        const struct answer *a = &answers[i];
        const size_t len = strlen(a->text);
        for (size_t cut = 1; cut < len; cut += a->ends ? 7 : 1) {
            if (p == NULL) {
                p = ask(a->method);
            } else {
                rig_call_init(&call, &rig, a->method, "/t");
                rig_send(&call);
                rig_expect_requests(&rig, p, 1);
            }
            rig_write_alone(&rig, p, a->text, cut);
            assert_int_equal(call.ended, 0);
            assert_true(rig_write(&rig, p, a->text + cut, len - cut));
            if (a->ends)
                rig_half_close(p);
            rig_expect_answer(&call, a->status, a->body);
            if (!a->ends)
                continue;
            RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
            rig_hang_up(p);
            p = NULL;
        }
    }
}

static void test_answers_byte_by_byte(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ANSWERS_COUNT; i++) {
        const struct answer *a = &answers[i];
        struct rig_peer *p = ask(a->method);
        for (const char *at = a->text; *at != '\0'; at++)
            rig_write_alone(&rig, p, at, 1);
        rig_hang_up(p);
        rig_expect_answer(&call, a->status, a->body);
        RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
    }
}

static void check_head(struct rig_call *rc, const struct weir_response_head *head)
{
    assert_int_equal(weir_response_headers_count(head), 2);
    struct weir_slice x = weir_response_header(head, WEIR_TEXT("x-ONE"));
    assert_int_equal(x.len, 3);
    assert_memory_equal(x.ptr, "a b", 3);
    assert_null(weir_response_header(head, WEIR_TEXT("none")).ptr);
    assert_int_equal(weir_response_header_at(head, 0).name.len, 5);
    assert_memory_equal(weir_response_header_at(head, 1).value.ptr, "0", 1);
    (void)rc;
}

static void test_head_accessors(void **state)
{
    (void)state;
    struct rig_peer *p = ask("GET");
    call.on_head = check_head;
    rig_text(&rig, p, "HTTP/1.1 200 OK\r\nX-One:  a b \r\nContent-Length: 0\r\n\r\n");
    rig_expect_answer(&call, 200, "");
    assert_int_equal(call.heads, 1);
}

/* ---- Wrong answers ----------------------------------------------------------------------- */

static void broken(const char *text, int err)
{
    struct rig_peer *p = ask("GET");
    rig_text(&rig, p, text);
    if (err == WEIR_E_TRUNCATED || err == WEIR_E_CLOSED)
        rig_half_close(p);
    rig_expect_err(&call, err);
    RIG_UNTIL(&rig, p->eof || p->err != 0); /* it is not used again */
    RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
    rig_hang_up(p);
}

static void test_broken_answers(void **state)
{
    (void)state;
    struct rig_buf text = { 0 };
    rig.client_cfg.head_bytes_max = 512;
    rig.client_cfg.fields_max = 3;
    broken("SSH-2.0-x\r\n", WEIR_E_PROTOCOL);
    broken("HTTP/1.1 20 OK\r\n\r\n", WEIR_E_PROTOCOL);
    broken("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", WEIR_E_PROTOCOL);
    broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", WEIR_E_PROTOCOL);
    broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", WEIR_E_PROTOCOL);
    broken("HTTP/1.1 101 Switching Protocols\r\n\r\n", WEIR_E_PROTOCOL);
    broken("", WEIR_E_CLOSED);
    broken("H", WEIR_E_TRUNCATED);
    broken("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", WEIR_E_TRUNCATED);
    broken("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", WEIR_E_TRUNCATED);
    broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
           WEIR_E_TRUNCATED);
    broken("HTTP/1.1 100 Continue\r\n\r\n", WEIR_E_TRUNCATED);
    broken("HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n", WEIR_E_LIMIT);
    rig_buf_text(&text, "HTTP/1.1 200 OK\r\nX: ");
    while (text.len < 600)
        rig_buf_text(&text, "xxxxxxxx");
    broken(text.ptr, WEIR_E_LIMIT);
    rig_buf_free(&text);
}

static void test_reset(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct rig_peer *p = ask("GET");
        if (i == 1)
            rig_write_alone(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na", 39);
        rig_reset(p);
        rig_expect_err(&call, -ECONNRESET);
        assert_int_equal(call.call.timing.os_err, -ECONNRESET);
    }
}

static void test_interim_max(void **state)
{
    (void)state;
    struct rig_buf text = { 0 };
    for (unsigned i = 0; i < 32; i++)
        rig_buf_text(&text, "HTTP/1.1 102 Processing\r\n\r\n");
    struct rig_peer *p = ask("GET");
    for (unsigned i = 0; i < 2; i++) { /* counted for each request anew */
        rig_text(&rig, p, text.ptr);
        rig_text(&rig, p, OK_TEXT("1", "x"));
        rig_expect_answer(&call, 200, "x");
        if (i == 0) {
            rig_send(&call);
            rig_expect_requests(&rig, p, 1);
        }
    }
    rig_send(&call);
    rig_expect_requests(&rig, p, 1);
    rig_text(&rig, p, text.ptr);
    rig_text(&rig, p, "HTTP/1.1 102 Processing\r\n\r\n" OK_TEXT("1", "x"));
    rig_expect_err(&call, WEIR_E_PROTOCOL);
    assert_int_equal(call.heads, 0);
    rig_buf_free(&text);
}

/* ---- Answers to nothing ------------------------------------------------------------------ */

static void test_bytes_on_an_idle_connection(void **state)
{
    (void)state;
    struct rig_peer *p = ask("GET");
    rig_text(&rig, p, OK_TEXT("1", "x"));
    rig_expect_answer(&call, 200, "x");
    rig_text(&rig, p, "HTTP/1.1 408 Request Timeout\r\n\r\n");
    RIG_UNTIL(&rig, p->eof || p->err != 0);
    RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
    rig_hang_up(p);
    p = ask("GET");
    rig_text(&rig, p, OK_TEXT("1", "y"));
    rig_expect_answer(&call, 200, "y");
}

static void send_again(struct rig_call *rc)
{
    if (rc->sent == 1)
        rig_send(rc);
}

/* The second of two answers for one request must not become the answer to the next, which had not
 * been given out then and goes out on another connection. */
static void test_two_answers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct rig_peer *p = ask("POST");
        struct rig_call *next = i == 0 ? &call : &other;
        if (i == 0)
            call.on_end = send_again; /* on this connection, from inside the first one's end */
        else
            rig_get(&other, &rig, "/waits"); /* goes out when the first one's answer is complete */
        rig_text(&rig, p, OK_TEXT("1", "a") OK_TEXT("1", "b"));
        if (i == 1)
            rig_expect_answer(&call, 200, "a");
        struct rig_peer *q = rig_accept_request(&rig);
        rig_expect_end(&rig, p);
        assert_int_equal(next->heads, 0);
        rig_text(&rig, q, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nc");
        RIG_UNTIL(&rig, next->ended == next->sent && next->sent == 2 - i);
        rig_expect_answer(next, 200, "c");
        assert_true(next->call.timing.replayed);
        RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
        rig_hang_up(p);
        rig_hang_up(q);
    }
}

/* ---- Answers before the request is sent --------------------------------------------------- */

static uint8_t *lent;
enum { LENT_BYTES = 6 << 20 };

static void scribble(struct rig_call *rc)
{
    (void)rc;
    memset(lent, 0xee, LENT_BYTES);
}

static void cancel_on_head(struct rig_call *rc, const struct weir_response_head *head)
{
    (void)head;
    rig_cancel(rc);
}

/* What was lent is the caller's again when the kernel lets go of it, not when it was answered. */
static void early(int err)
{
    rig.client_cfg.conns_max = 1;
    rig_listen(&rig, 16);
    rig_open_client(&rig);
    lent = rig_pattern(LENT_BYTES);
    rig_call_init(&call, &rig, "PUT", "/");
    call.call.request.body = (struct weir_slice){ lent, LENT_BYTES };
    call.on_end = scribble;
    if (err != 0)
        call.on_head = cancel_on_head;
    rig_send(&call);
    struct rig_peer *p = rig_accept(&rig);
    p->stalled = true;
    rig_settle(&rig);
    rig_get(&other, &rig, "/waits");
    rig_text(&rig, p, OK_TEXT("0", ""));
    rig_finish(&call);
    assert_int_equal(call.err, err);
    assert_int_equal(call.status, 200);
    /* The connection is no good any more; what waits gets another. */
    struct rig_peer *q = rig_accept(&rig);
    rig_expect_requests(&rig, q, 1);
    rig_text(&rig, q, OK_TEXT("1", "x"));
    rig_expect_answer(&other, 200, "x");
    /* All that the server gets of the body is the body. */
    p->stalled = false;
    RIG_UNTIL(&rig, p->eof || p->err != 0);
    uint8_t *original = rig_pattern(LENT_BYTES);
    const char *body = p->in.len == 0 ? NULL : strstr(p->in.ptr, "\r\n\r\n") + 4;
    if (body != NULL)
        assert_memory_equal(body, original, p->in.len - (size_t)(body - p->in.ptr));
    free(original);
    free(lent);
}

static void test_early_answer(void **state)
{
    (void)state;
    early(0);
}

static void test_early_answer_cancelled(void **state)
{
    (void)state;
    early(WEIR_E_CANCELLED);
}

/* ---- Pipelined --------------------------------------------------------------------------- */

/* One connection with three requests on it. */
static struct rig_peer *pipeline(struct rig_call calls[3], const char *method)
{
    rig.client_cfg.pipeline_max = 3;
    if (rig.client == NULL) {
        rig.client_cfg.conns_max = 1;
        rig_listen(&rig, 16);
        rig_open_client(&rig);
    }
    for (unsigned i = 0; i < 3; i++) {
        rig_call_init(&calls[i], &rig, method, "/");
        rig_send(&calls[i]);
    }
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 3);
    return p;
}

/* What is not idempotent is not sent again: it ends. */
static void pipeline_breaks(const char *text, bool half_close, const int errs[3])
{
    struct rig_call calls[3];
    struct rig_peer *p = pipeline(calls, "POST");
    rig_text(&rig, p, text);
    if (half_close)
        rig_half_close(p);
    for (unsigned i = 0; i < 3; i++)
        rig_expect_err(&calls[i], errs[i]);
    RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
    rig_hang_up(p);
}

static void test_pipeline_breaks(void **state)
{
    (void)state;
    pipeline_breaks(OK_TEXT("1", "x") "HTTP", true,
                    (const int[]){ 0, WEIR_E_TRUNCATED, WEIR_E_CLOSED });
    pipeline_breaks(OK_TEXT("1", "x") "what", false,
                    (const int[]){ 0, WEIR_E_PROTOCOL, WEIR_E_CLOSED });
    pipeline_breaks(OK_TEXT("1", "x") OK_TEXT("1", "x") OK_TEXT("1", "x") "H", false,
                    (const int[]){ 0, 0, 0 });
    pipeline_breaks("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false,
                    (const int[]){ 0, WEIR_E_CLOSED, WEIR_E_CLOSED });
    pipeline_breaks("HTTP/1.1 200 OK\r\n\r\nuntil the end", true,
                    (const int[]){ 0, WEIR_E_CLOSED, WEIR_E_CLOSED });
    pipeline_breaks("", true, (const int[]){ WEIR_E_CLOSED, WEIR_E_CLOSED, WEIR_E_CLOSED });
}

/* What is idempotent goes out again, but for the one that was being answered. */
static void test_pipeline_goes_on_elsewhere(void **state)
{
    (void)state;
    struct rig_call calls[3];
    struct rig_peer *p = pipeline(calls, "GET");
    rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    rig_expect_answer(&calls[0], 200, "");
    struct rig_peer *q = rig_accept(&rig);
    rig_expect_requests(&rig, q, 2);
    rig_write_alone(&rig, q, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 42);
    rig_half_close(q);
    rig_expect_err(&calls[1], WEIR_E_TRUNCATED);
    q = rig_accept_request(&rig);
    rig_answer(&rig, q, &calls[2], OK_TEXT("1", "x"));
    assert_int_equal(rig_client_stats(&rig).replays, 3);
}

static struct rig_call *siblings;

static void cancel_siblings(struct rig_call *rc)
{
    for (unsigned i = 0; i < 3; i++)
        if (&siblings[i] != rc)
            rig_cancel(&siblings[i]);
    if (rc->sent < 2)
        rig_send(rc);
}

/* One that fails gives up the others of its connection and sends itself again, all at once. */
static void test_cancel_siblings_from_on_end(void **state)
{
    (void)state;
    struct rig_call calls[3];
    struct rig_peer *p = pipeline(calls, "GET");
    siblings = calls;
    calls[0].on_end = cancel_siblings;
    rig_half_close(p);
    struct rig_peer *q = rig_accept(&rig);
    rig_expect_requests(&rig, q, 1);
    rig_text(&rig, q, OK_TEXT("1", "x"));
    for (unsigned i = 0; i < 3; i++)
        rig_finish(&calls[i]);
    assert_int_equal(calls[0].err, 0);
    for (unsigned i = 1; i < 3; i++)
        assert_true(calls[i].err == WEIR_E_CLOSED || calls[i].err == WEIR_E_CANCELLED);
    rig_buf_free(&calls[0].body);
}

/* ---- Given up ---------------------------------------------------------------------------- */

#define CHUNKED_HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define TEN          "0123456789"

/* A call is cancelled behind `before`; then comes the rest. */
struct given_up {
    const char *method, *before, *rest;
    enum { KEPT, CLOSED_AT_ONCE, CLOSED } end;
};

/* With drain_bytes_max = 20. */
static const struct given_up given_ups[] = {
    { "GET", "", OK_TEXT("3", "abc"), KEPT },
    { "GET", "HTTP/1.1 200", " OK\r\nContent-Length: 3\r\n\r\nabc", KEPT },
    { "GET", "HTTP/1.1 100 \r\n\r\n", "HTTP/1.1 103 \r\n\r\n" OK_TEXT("20", TEN TEN), KEPT },
    { "HEAD", "", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", KEPT },
    { "GET", "", "HTTP/1.1 204 \r\n\r\n", KEPT },
    { "GET", OK_TEXT("21", "x"), TEN TEN, KEPT },
    { "GET", CHUNKED_HEAD "a\r\n" TEN, "\r\na\r\n" TEN "\r\na\r\n" TEN "\r\n0\r\n\r\n", KEPT },
    { "GET", CHUNKED_HEAD "a\r\n" TEN "\r\n", "a\r\n" TEN "\r\na\r\n" TEN "\r\n1\r\nx", CLOSED },
    { "GET", OK_TEXT("22", "x"), "", CLOSED_AT_ONCE },
    { "GET", "", "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n", CLOSED },
    { "GET", "HTTP/1.1 200 OK\r\n\r\nx", "", CLOSED_AT_ONCE },
    { "GET", "", "HTTP/1.1 200 OK\r\n\r\n", CLOSED },
    { "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nx", "",
      CLOSED_AT_ONCE },
    { "GET", "", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", CLOSED },
    { "GET", "", "what", CLOSED },
    { "GET", "", OK_TEXT("1", "x") OK_TEXT("1", "y"), CLOSED },
};

static void test_given_up(void **state)
{
    (void)state;
    struct rig_peer *p = NULL;
    unsigned drained = 0;
    rig.client_cfg.drain_bytes_max = 20;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < sizeof given_ups / sizeof given_ups[0]; i++) {
        const struct given_up *g = &given_ups[i];
        rig_call_init(&call, &rig, g->method, "/");
        rig_send(&call);
        if (p == NULL)
            p = rig_accept(&rig);
        rig_expect_requests(&rig, p, 1);
        if (g->before[0] != '\0')
            rig_write_alone(&rig, p, g->before, strlen(g->before));
        rig_sent_whole(&rig, &call);
        rig_cancel(&call);
        rig_expect_err(&call, WEIR_E_CANCELLED);
        if (g->end != CLOSED_AT_ONCE) {
            assert_int_equal(rig_client_stats(&rig).conns_now, 1);
            rig_text(&rig, p, g->rest);
        }
        if (g->end == KEPT) {
            RIG_UNTIL(&rig, rig_client_stats(&rig).idle_now == 1);
            assert_int_equal(rig_client_stats(&rig).drained, ++drained);
            continue;
        }
        RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
        rig_hang_up(p);
        p = NULL;
    }
}

/* Nobody gets the connection before the rest was read; then whoever waits. */
static void test_given_up_and_waited_for(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    rig_get(&call, &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_sent_whole(&rig, &call);
    rig_cancel(&call);
    rig_get(&other, &rig, "/");
    rig_expect_nothing(&rig, p);
    rig_text(&rig, p, OK_TEXT("3", "abc"));
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &other, OK_TEXT("1", "x"));
    assert_true(other.call.timing.reused);
    rig_expect_err(&call, WEIR_E_CANCELLED);
}

/* Not for longer than a second; much less when somebody waits, and no other can be made. */
static void test_given_up_and_slow(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < 3; i++) {
        rig_get(&call, &rig, "/");
        struct rig_peer *p = rig_accept_request(&rig);
        rig_sent_whole(&rig, &call);
        if (i == 1) /* waits before, or comes later */
            rig_get(&other, &rig, "/");
        rig_cancel(&call);
        rig_expect_err(&call, WEIR_E_CANCELLED);
        if (i == 0) {
            rig_skip(&rig, 900 * RIG_MS);
            rig_expect_nothing(&rig, p);
            rig_skip(&rig, 200 * RIG_MS);
        } else {
            if (i == 2)
                rig_get(&other, &rig, "/");
            rig_expect_nothing(&rig, p);
            rig_skip(&rig, WEIR_DRAIN_HURRY_NS);
        }
        rig_expect_eof(&rig, p);
        rig_hang_up(p);
        if (i == 0)
            continue;
        p = rig_accept_request(&rig);
        rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        rig_expect_answer(&other, 200, "");
        rig_hang_up(p);
    }
    assert_int_equal(rig_client_stats(&rig).drained, 0);
}

/* Others can be made for those who wait: no hurry. */
static void test_given_up_with_room(void **state)
{
    (void)state;
    rig_open_raw(&rig, 2);
    rig_get(&call, &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_sent_whole(&rig, &call);
    rig_cancel(&call);
    rig_get(&other, &rig, "/");
    struct rig_peer *q = rig_accept_request(&rig);
    rig_skip(&rig, 900 * RIG_MS);
    rig_text(&rig, p, OK_TEXT("3", "abc"));
    RIG_UNTIL(&rig, rig_client_stats(&rig).drained == 1);
    rig_answer(&rig, q, &other, OK_TEXT("1", "x"));
    rig_expect_err(&call, WEIR_E_CANCELLED);
}

/* Not when that was switched off. */
static void test_given_up_and_not_drained(void **state)
{
    (void)state;
    rig.client_cfg.drain_bytes_max = 0;
    rig_open_raw(&rig, 1);
    rig_get(&call, &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_sent_whole(&rig, &call);
    rig_cancel(&call);
    rig_expect_err(&call, WEIR_E_CANCELLED);
    rig_expect_eof(&rig, p);
}

/* Not when others are behind it, or before it; they go on elsewhere. */
static void test_given_up_in_the_pipeline(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct rig_call calls[3];
        struct rig_peer *p = pipeline(calls, "GET");
        rig_cancel(&calls[i]);
        rig_expect_err(&calls[i], WEIR_E_CANCELLED);
        rig_expect_end(&rig, p);
        if (i > 0) /* the connection was new to the first: not a stale one */
            rig_expect_err(&calls[0], WEIR_E_CLOSED);
        struct rig_peer *q = rig_accept(&rig);
        rig_expect_requests(&rig, q, i == 0 ? 2 : 1);
        rig_text(&rig, q, OK_TEXT("1", "x"));
        if (i == 0)
            rig_text(&rig, q, OK_TEXT("1", "x"));
        for (unsigned k = 1; k < 3; k++)
            if (k != i)
                rig_expect_answer(&calls[k], 200, "x");
        rig_half_close(q);
        RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
        rig_hang_up(p);
        rig_hang_up(q);
    }
}

/* The client is closed meanwhile. */
static void test_close_while_draining(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    rig_get(&call, &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_sent_whole(&rig, &call);
    rig_cancel(&call);
    rig_expect_err(&call, WEIR_E_CANCELLED);
    rig_close_client(&rig);
    rig_expect_eof(&rig, p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_requests),
        RIG_TEST(test_lenient),
        RIG_TEST(test_long_head),
        RIG_TEST(test_echo_of_bodies),
        RIG_TEST(test_answers_cut_at_every_offset),
        RIG_TEST(test_answers_byte_by_byte),
        RIG_TEST(test_head_accessors),
        RIG_TEST(test_broken_answers),
        RIG_TEST(test_reset),
        RIG_TEST(test_interim_max),
        RIG_TEST(test_bytes_on_an_idle_connection),
        RIG_TEST(test_two_answers),
        RIG_TEST(test_early_answer),
        RIG_TEST(test_early_answer_cancelled),
        RIG_TEST(test_pipeline_breaks),
        RIG_TEST(test_pipeline_goes_on_elsewhere),
        RIG_TEST(test_cancel_siblings_from_on_end),
        RIG_TEST(test_given_up),
        RIG_TEST(test_given_up_and_waited_for),
        RIG_TEST(test_given_up_and_slow),
        RIG_TEST(test_given_up_with_room),
        RIG_TEST(test_given_up_and_not_drained),
        RIG_TEST(test_given_up_in_the_pipeline),
        RIG_TEST(test_close_while_draining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
