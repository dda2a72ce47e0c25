/* SPDX-License-Identifier: MIT */
/* Calls that are sent once more: because their connection was stale, because the server said so. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_rig.h"

static struct rig_call calls[8];
static const struct weir_header key = { WEIR_TEXT("Idempotency-Key"), WEIR_TEXT("1") };

static struct weir_client_stats stats(void)
{
    return rig_client_stats(&rig);
}

/* ---- Stale connections ------------------------------------------------------------------- */

enum body_kind { NO_BODY, PLAIN_BODY, SOURCE, SOURCE_FOR_ONCE, SOURCE_THAT_CANNOT };

struct stale {
    const char *method;
    enum body_kind body;
    bool key, word;     /* idempotent by a field, by the caller's word */
    bool fresh;         /* the connection carried nothing before */
    const char *answer; /* before it ends */
    int err;            /* 0: sent again, and answered */
};

static void stale_call(const struct stale *row, struct rig_source *s)
{
    rig_call_init(&calls[0], &rig, row->method, "/");
    struct weir_request *request = &calls[0].call.request;
    request->idempotent = row->word;
    if (row->key) {
        request->headers = &key;
        request->headers_count = 1;
    }
    if (row->body == PLAIN_BODY)
        request->body = WEIR_TEXT("body");
    if (row->body < SOURCE)
        return;
    rig_source_init(s, "body", 4, true);
    if (row->body == SOURCE_FOR_ONCE)
        s->source.rewind = NULL;
    if (row->body == SOURCE_THAT_CANNOT)
        s->rewind_err = -EIO;
    request->source = &s->source;
}

/* A whole request with its body, if it has one. */
static void expect_whole(struct rig_peer *p, const struct stale *row)
{
    rig_expect_requests(&rig, p, 1);
    if (row->body != NO_BODY)
        rig_expect(&rig, p, "body");
}

static void one_stale(const struct stale *row)
{
    struct rig_source s;
    struct rig_peer *p = NULL;
    struct weir_client_stats before = stats();
    if (!row->fresh) {
        rig_get(&calls[1], &rig, "/");
        p = rig_accept_request(&rig);
        rig_answer(&rig, p, &calls[1], OK_TEXT("1", "x"));
    }
    stale_call(row, &s);
    rig_send(&calls[0]);
    if (p == NULL)
        p = rig_accept(&rig);
    expect_whole(p, row);
    if (row->answer != NULL)
        rig_write_alone(&rig, p, row->answer, strlen(row->answer));
    rig_half_close(p);
    if (row->err == 0) {
        struct rig_peer *q = rig_accept(&rig);
        expect_whole(q, row);
        rig_answer(&rig, q, &calls[0], OK_TEXT("1", "y"));
        rig_half_close(q);
    } else {
        rig_expect_err(&calls[0], row->err);
    }
    RIG_UNTIL(&rig, stats().conns_now == 0);
    assert_int_equal(stats().replays - before.replays, row->err == 0);
    assert_int_equal(calls[0].call.timing.replayed, row->err == 0);
    assert_int_equal(calls[0].call.timing.retries, 0);
    assert_int_equal(stats().retries, 0);
    if (row->body >= SOURCE)
        assert_int_equal(s.rewinds, row->err == 0 || row->body == SOURCE_THAT_CANNOT);
    for (unsigned i = 0; i < rig.peers_count; i++)
        if (rig.peers[i].fd >= 0)
            rig_hang_up(&rig.peers[i]);
}

static void test_stale_connections(void **state)
{
    (void)state;
    static const struct stale rows[] = {
        { .method = "GET" },
        { .method = "PUT", .body = PLAIN_BODY },
        { .method = "DELETE" },
        { .method = "OPTIONS" },
        { .method = "POST", .body = PLAIN_BODY, .err = WEIR_E_CLOSED },
        { .method = "PATCH", .body = PLAIN_BODY, .err = WEIR_E_CLOSED },
        { .method = "get", .err = WEIR_E_CLOSED },
        { .method = "POST", .body = PLAIN_BODY, .key = true },
        { .method = "POST", .body = PLAIN_BODY, .word = true },
        { .method = "GET", .fresh = true, .err = WEIR_E_CLOSED },
        { .method = "POST", .word = true, .fresh = true, .err = WEIR_E_CLOSED },
        { .method = "GET", .answer = "H", .err = WEIR_E_TRUNCATED },
        { .method = "GET", .answer = "HTTP/1.1 100 \r\n\r\n", .err = WEIR_E_TRUNCATED },
        { .method = "PUT", .body = SOURCE },
        { .method = "PUT", .body = SOURCE_FOR_ONCE, .err = WEIR_E_CLOSED },
        { .method = "PUT", .body = SOURCE_THAT_CANNOT, .err = WEIR_E_CLOSED },
        { .method = "POST", .body = SOURCE, .err = WEIR_E_CLOSED },
        { .method = "POST", .body = SOURCE, .key = true },
    };
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        one_stale(&rows[i]);
}

/* Behind a request that is still being sent: nothing of it left, so it is safe for any method. */
static void test_stale_before_it_was_given_out(void **state)
{
    (void)state;
    enum { BYTES = 6 << 20 };
    uint8_t *bytes = rig_pattern(BYTES);
    rig.client_cfg.pipeline_max = 3;
    rig_open_raw(&rig, 1);
    rig_call_init(&calls[0], &rig, "POST", "/");
    calls[0].call.request.body = (struct weir_slice){ bytes, BYTES };
    rig_send(&calls[0]);
    struct rig_peer *p = rig_accept(&rig);
    p->stalled = true;
    rig_settle(&rig);
    for (unsigned i = 1; i < 3; i++) {
        rig_call_init(&calls[i], &rig, "POST", i == 1 ? "/1" : "/2");
        rig_send(&calls[i]);
    }
    rig_settle(&rig);
    assert_int_equal(stats().in_flight_now, 3);
    rig_reset(p);
    rig_finish(&calls[0]);
    assert_int_not_equal(calls[0].err, 0);
    /* In their order. */
    struct rig_peer *q = rig_accept(&rig);
    rig_expect(&rig, q, "POST /1");
    rig_expect_requests(&rig, q, 1);
    rig_expect(&rig, q, "POST /2");
    rig_expect_requests(&rig, q, 1);
    rig_text(&rig, q, OK_TEXT("1", "1") OK_TEXT("1", "2"));
    rig_expect_answer(&calls[1], 200, "1");
    rig_expect_answer(&calls[2], 200, "2");
    assert_int_equal(stats().replays, 2);
    free(bytes);
}

/* On a new connection: another one that lies idle may be as stale. */
static void test_replayed_on_a_new_connection(void **state)
{
    (void)state;
    struct rig_peer *p[2];
    rig_open_raw(&rig, 2);
    for (unsigned i = 0; i < 2; i++) {
        rig_get(&calls[i], &rig, "/");
        p[i] = rig_accept_request(&rig);
    }
    for (unsigned i = 0; i < 2; i++)
        rig_answer(&rig, p[i], &calls[i], OK_TEXT("1", "x"));
    rig_get(&calls[0], &rig, "/");
    rig_expect_requests(&rig, p[1], 1);
    rig_reset(p[1]);
    struct rig_peer *q = rig_accept_request(&rig);
    assert_false(calls[0].call.timing.reused);
    assert_true(calls[0].call.timing.replayed);
    rig_reset(q); /* it is no longer a stale one */
    rig_expect_err(&calls[0], -ECONNRESET);
    assert_int_equal(stats().replays, 1);
    assert_int_equal(stats().sent, 4);
    rig_expect_nothing(&rig, p[0]);
}

/* Where no other can be made, what comes free next will do, but not for ever. */
static void test_replayed_where_none_can_be_made(void **state)
{
    (void)state;
    struct rig_peer *p[2];
    rig_open_raw(&rig, 2);
    for (unsigned i = 0; i < 2; i++) {
        rig_get(&calls[i], &rig, "/");
        p[i] = rig_accept_request(&rig);
    }
    rig_answer(&rig, p[0], &calls[0], OK_TEXT("1", "x"));
    rig_refuse(&rig);
    rig_get(&calls[0], &rig, "/");
    rig_expect_requests(&rig, p[0], 1);
    rig_reset(p[0]);
    RIG_UNTIL(&rig, stats().connect_failures == 1);
    rig_answer(&rig, p[1], &calls[1], OK_TEXT("1", "y"));
    rig_expect_requests(&rig, p[1], 1);
    assert_true(calls[0].call.timing.reused);
    calls[0].call.replays = 8;
    rig_reset(p[1]);
    rig_expect_err(&calls[0], -ECONNRESET);
    assert_int_equal(stats().replays, 1);
}

static void test_replays_switched_off(void **state)
{
    (void)state;
    rig.client_cfg.retry.no_replay = true;
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    rig_get(&calls[0], &rig, "/");
    rig_expect_requests(&rig, p, 1);
    rig_half_close(p);
    rig_expect_err(&calls[0], WEIR_E_CLOSED);
    assert_int_equal(stats().replays, 0);
}

/* ---- Asked to come again ----------------------------------------------------------------- */

#define BUSY_TEXT "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"

static struct rig_peer *open_retrying(uint32_t attempts_max)
{
    rig.client_cfg.retry.attempts_max = attempts_max;
    rig.client_cfg.retry.backoff_ns = 10 * RIG_S;
    rig.client_cfg.retry.backoff_max_ns = 15 * RIG_S;
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    return rig_accept_request(&rig);
}

/* The call waits for its retry, for so long. */
static void expect_backoff(struct rig_call *rc, uint64_t least_ns, uint64_t most_ns)
{
    RIG_UNTIL(&rig, rc->call.state == CALL_BACKOFF);
    uint64_t now = rig_now(&rig);
    assert_in_range(rc->call.limit_ns + RIG_S, now + least_ns, now + RIG_S + most_ns);
    assert_int_equal(rc->heads, 0);
    assert_int_equal(rc->ended + 1, rc->sent);
}

/* It is over. */
static void skip_backoff(struct rig_call *rc)
{
    uint64_t now = rig_now(&rig);
    rig_skip(&rig, rc->call.limit_ns > now ? rc->call.limit_ns - now : 0);
}

static void test_retries(void **state)
{
    (void)state;
    struct rig_peer *p = open_retrying(3);
    uint64_t began = calls[0].call.timing.start_ns;
    rig_text(&rig, p, BUSY_TEXT);
    expect_backoff(&calls[0], 0, 10 * RIG_S);
    skip_backoff(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    rig_text(&rig, p, BUSY_TEXT);
    expect_backoff(&calls[0], 0, 15 * RIG_S);
    skip_backoff(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    assert_int_equal(calls[0].heads, 1);
    const struct weir_call_timing *t = &calls[0].call.timing;
    assert_int_equal(t->retries, 2);
    assert_false(t->replayed);
    assert_int_equal(t->start_ns, began);
    assert_true(t->sent_ns > began);
    assert_int_equal(stats().retries, 2);
    assert_int_equal(stats().sent, 3);
    assert_int_equal(stats().calls, 1);
    assert_int_equal(stats().conns, 1);
    assert_int_equal(stats().drained, 2);
}

/* What the last attempt brings is the answer, whatever it is. */
static void test_attempts_max(void **state)
{
    (void)state;
    struct rig_peer *p = open_retrying(2);
    rig_text(&rig, p, BUSY_TEXT);
    expect_backoff(&calls[0], 0, 10 * RIG_S);
    skip_backoff(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    rig_text(&rig, p, BUSY_TEXT);
    rig_expect_answer(&calls[0], 503, "busy");
    assert_int_equal(calls[0].call.timing.retries, 1);
    assert_int_equal(stats().completed, 1);
    assert_int_equal(stats().retries_refused, 0);
}

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        bool retried;
    } rows[] = { { 200, false }, { 404, false }, { 408, true },  { 421, false },
                 { 425, true },  { 429, true },  { 500, false }, { 501, false },
                 { 502, true },  { 503, true },  { 504, true },  { 599, false } };
    rig.client_cfg.retry.budget_min = 100;
    struct rig_peer *p = open_retrying(2);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "HTTP/1.1 %u \r\nContent-Length: 0\r\n\r\n",
                       rows[i].status);
        rig_get(&calls[0], &rig, "/");
        rig_expect_requests(&rig, p, 1);
        rig_text(&rig, p, text);
        if (rows[i].retried) {
            expect_backoff(&calls[0], 0, 10 * RIG_S);
            skip_backoff(&calls[0]);
            rig_expect_requests(&rig, p, 1);
            rig_text(&rig, p, OK_EMPTY);
        }
        rig_expect_answer(&calls[0], rows[i].retried ? 200 : (uint16_t)rows[i].status, "");
    }
}

/* Not what must not be done twice, unless the caller says that it may. */
static void test_methods(void **state)
{
    (void)state;
    struct rig_peer *p = open_retrying(2);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    for (unsigned i = 0; i < 3; i++) {
        rig_call_init(&calls[0], &rig, "POST", "/");
        calls[0].call.request.body = WEIR_TEXT("body");
        calls[0].call.request.idempotent = i == 1;
        calls[0].call.request.headers = &key;
        calls[0].call.request.headers_count = i == 2;
        rig_send(&calls[0]);
        rig_expect_requests(&rig, p, 1);
        rig_expect(&rig, p, "body");
        rig_text(&rig, p, BUSY_TEXT);
        if (i > 0) {
            expect_backoff(&calls[0], 0, 10 * RIG_S);
            skip_backoff(&calls[0]);
            rig_expect_requests(&rig, p, 1);
            rig_expect(&rig, p, "body");
            rig_text(&rig, p, BUSY_TEXT);
        }
        rig_expect_answer(&calls[0], 503, "busy");
        assert_int_equal(calls[0].call.timing.retries, i > 0);
    }
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        unsigned least_s; /* 0: there is no retry */
        unsigned deadline_s;
    } rows[] = {
        { "Retry-After: 20\r\n", 20, 0 },
        { "Retry-After: 60\r\n", 60, 0 },
        { "Retry-After: 61\r\n", 0, 0 },
        { "Retry-After: 61\r\n", 61, 100 },
        { "Retry-After: 20\r\n", 0, 20 },
        { "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:00 GMT\r\n",
          23, 0 },
        { "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:51:37 GMT\r\n",
          0, 60 },
    };
    rig.client_cfg.retry.budget_min = 100;
    struct rig_peer *p = open_retrying(2);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "HTTP/1.1 429 \r\n%sContent-Length: 0\r\n\r\n",
                       rows[i].fields);
        rig_call_init(&calls[0], &rig, "GET", "/");
        if (rows[i].deadline_s > 0)
            calls[0].call.deadline_ns = rig_now(&rig) + rows[i].deadline_s * RIG_S;
        rig_send(&calls[0]);
        rig_expect_requests(&rig, p, 1);
        rig_text(&rig, p, text);
        if (rows[i].least_s == 0) {
            rig_expect_answer(&calls[0], 429, "");
            continue;
        }
        uint64_t least = rows[i].least_s * RIG_S;
        expect_backoff(&calls[0], least, least + 10 * RIG_S);
        skip_backoff(&calls[0]);
        rig_expect_requests(&rig, p, 1);
        rig_text(&rig, p, OK_EMPTY);
        rig_expect_answer(&calls[0], 200, "");
    }
}

static void test_budget(void **state)
{
    (void)state;
    rig.client_cfg.retry.budget_percent = 50;
    rig.client_cfg.retry.budget_min = 0;
    struct rig_peer *p = open_retrying(3);
    rig_text(&rig, p, BUSY_TEXT);
    rig_expect_answer(&calls[0], 503, "busy"); /* half a retry is none */
    assert_int_equal(stats().retries_refused, 1);
    rig_send(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    rig_text(&rig, p, BUSY_TEXT);
    expect_backoff(&calls[0], 0, 10 * RIG_S);
    skip_backoff(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    rig_text(&rig, p, BUSY_TEXT);
    rig_expect_answer(&calls[0], 503, "busy");
    assert_int_equal(stats().retries_refused, 2);
    assert_int_equal(stats().retries, 1);
}

/* ---- What broke -------------------------------------------------------------------------- */

static void test_broken_connections(void **state)
{
    (void)state;
    static const struct {
        const char *method, *answer;
        bool reset;
        int err; /* 0: it is retried */
    } rows[] = {
        { "GET", NULL, false, 0 },
        { "GET", NULL, true, 0 },
        { "GET", "HTTP/1.1 200", false, 0 },
        { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false, WEIR_E_TRUNCATED },
        { "GET", "what", false, WEIR_E_PROTOCOL },
        { "POST", NULL, false, WEIR_E_CLOSED },
        { "POST", NULL, true, -ECONNRESET },
    };
    rig.client_cfg.retry.budget_min = 100;
    struct rig_peer *p = open_retrying(2);
    rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    rig_expect_answer(&calls[0], 200, "");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig_call_init(&calls[0], &rig, rows[i].method, "/");
        rig_send(&calls[0]);
        p = rig_accept_request(&rig);
        if (rows[i].answer != NULL)
            rig_write_alone(&rig, p, rows[i].answer, strlen(rows[i].answer));
        if (rows[i].reset)
            rig_reset(p);
        else
            rig_half_close(p);
        if (rows[i].err != 0) {
            rig_expect_err(&calls[0], rows[i].err);
            continue;
        }
        expect_backoff(&calls[0], 0, 10 * RIG_S);
        skip_backoff(&calls[0]);
        p = rig_accept_request(&rig);
        rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        rig_expect_answer(&calls[0], 200, "");
        assert_int_equal(calls[0].call.timing.retries, 1);
    }
}

/* Nothing was sent, so that it is safe for every method. */
static void test_no_connection(void **state)
{
    (void)state;
    struct rig_peer *p = open_retrying(3);
    rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    rig_expect_answer(&calls[0], 200, "");
    rig_refuse(&rig);
    rig_call_init(&calls[0], &rig, "POST", "/");
    rig_send(&calls[0]);
    for (unsigned i = 0; i < 2; i++) {
        expect_backoff(&calls[0], 0, 15 * RIG_S);
        skip_backoff(&calls[0]);
    }
    rig_expect_err(&calls[0], WEIR_E_CONNECT);
    assert_int_equal(calls[0].call.timing.os_err, -ECONNREFUSED);
    assert_int_equal(calls[0].call.timing.retries, 2);
    assert_int_equal(stats().connect_failures, 3);
}

/* ---- Sources ----------------------------------------------------------------------------- */

/* From the start again if that can be done; if not, nothing is taken from the budget. */
static void test_sources(void **state)
{
    (void)state;
    rig.client_cfg.retry.budget_percent = 0;
    rig.client_cfg.retry.budget_min = 1;
    struct rig_peer *p = open_retrying(2);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    for (unsigned i = 0; i < 3; i++) {
        struct rig_source s;
        rig_source_init(&s, "body", 4, true);
        if (i == 0)
            s.source.rewind = NULL;
        s.rewind_err = i == 1 ? -EIO : 0;
        rig_source_call(&calls[0], &rig, "PUT", &s);
        rig_send(&calls[0]);
        rig_expect_requests(&rig, p, 1);
        rig_expect(&rig, p, "body");
        rig_text(&rig, p, BUSY_TEXT);
        if (i == 2) {
            expect_backoff(&calls[0], 0, 10 * RIG_S);
            assert_int_equal(s.rewinds, 1);
            skip_backoff(&calls[0]);
            rig_expect_requests(&rig, p, 1);
            rig_expect(&rig, p, "body");
            rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
        } else {
            rig_expect_answer(&calls[0], 503, "busy");
        }
    }
    assert_int_equal(stats().retries, 1);
}

/* ---- Its end in between ------------------------------------------------------------------ */

static void test_cancel_in_backoff(void **state)
{
    (void)state;
    rig.client_cfg.retry.budget_percent = 0;
    rig.client_cfg.retry.budget_min = 1;
    struct rig_peer *p = open_retrying(2);
    for (unsigned i = 0; i < 3; i++) { /* the only retry there is comes back each time */
        rig_text(&rig, p, BUSY_TEXT);
        expect_backoff(&calls[0], 0, 10 * RIG_S);
        rig_cancel(&calls[0]);
        assert_int_equal(calls[0].ended, i);
        rig_expect_err(&calls[0], WEIR_E_CANCELLED);
        rig_send(&calls[0]);
        rig_expect_requests(&rig, p, 1);
    }
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
}

/* The engine comes back to it too late. */
static void test_deadline_in_backoff(void **state)
{
    (void)state;
    struct rig_peer *p = open_retrying(2);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    calls[0].call.deadline_ns = rig_now(&rig) + 12 * RIG_S;
    rig_send(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    rig_text(&rig, p, BUSY_TEXT);
    expect_backoff(&calls[0], 0, 10 * RIG_S);
    rig_skip(&rig, 13 * RIG_S);
    rig_expect_err(&calls[0], WEIR_E_DEADLINE);
}

static void test_close_in_backoff(void **state)
{
    (void)state;
    struct rig_peer *p = open_retrying(2);
    rig_text(&rig, p, BUSY_TEXT);
    expect_backoff(&calls[0], 0, 10 * RIG_S);
    rig_close_client(&rig);
    rig_expect_err(&calls[0], WEIR_E_SHUTDOWN);
}

/*
 * A response that a retry follows comes while the request is still being sent: the connection has
 * to go first. Until then the call can be given up, can be late, and its client can be closed.
 */
enum meanwhile { NOTHING, CANCEL, LATE, CLOSE };

static void while_it_is_sent(enum meanwhile what)
{
    enum { BYTES = 6 << 20 };
    uint8_t *bytes = rig_pattern(BYTES);
    rig.client_cfg.retry.budget_percent = 0;
    rig.client_cfg.retry.budget_min = 1;
    struct rig_peer *p = open_retrying(2);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    rig_call_init(&calls[0], &rig, "PUT", "/");
    calls[0].call.request.body = (struct weir_slice){ bytes, BYTES };
    calls[0].call.deadline_ns = rig_now(&rig) + 1000 * RIG_S;
    rig_send(&calls[0]);
    p->stalled = true;
    rig_settle(&rig);
    rig_text(&rig, p, BUSY_TEXT);
    RIG_UNTIL(&rig, (calls[0].call.flags & CALL_AGAIN) != 0 || calls[0].call.state == CALL_BACKOFF);
    /* The kernel may have let go of the memory within the pass: then it is an ordinary back-off. */
    if (what == CANCEL)
        rig_cancel(&calls[0]);
    if (what == LATE)
        rig_skip(&rig, 2000 * RIG_S);
    if (what == CLOSE)
        rig_close_client(&rig);
    if (what == NOTHING) {
        expect_backoff(&calls[0], 0, 10 * RIG_S);
        skip_backoff(&calls[0]);
        struct rig_peer *q = rig_accept(&rig);
        rig_expect_requests(&rig, q, 1);
        RIG_UNTIL(&rig, q->in.len == BYTES);
        assert_memory_equal(q->in.ptr, bytes, BYTES);
        rig_answer(&rig, q, &calls[0], OK_TEXT("1", "y"));
    } else {
        rig_expect_err(&calls[0], what == CANCEL ? WEIR_E_CANCELLED
                                  : what == LATE ? WEIR_E_DEADLINE
                                                 : WEIR_E_SHUTDOWN);
    }
    free(bytes);
}

static void test_retry_while_it_is_sent(void **state)
{
    (void)state;
    while_it_is_sent(NOTHING);
}

static void test_cancel_while_it_is_sent(void **state)
{
    (void)state;
    while_it_is_sent(CANCEL);
    assert_int_equal(rig.client->budget.credit, 100);
}

static void test_late_while_it_is_sent(void **state)
{
    (void)state;
    while_it_is_sent(LATE);
}

static void test_close_while_it_is_sent(void **state)
{
    (void)state;
    while_it_is_sent(CLOSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_stale_connections),
        RIG_TEST(test_stale_before_it_was_given_out),
        RIG_TEST(test_replayed_on_a_new_connection),
        RIG_TEST(test_replayed_where_none_can_be_made),
        RIG_TEST(test_replays_switched_off),
        RIG_TEST(test_retries),
        RIG_TEST(test_attempts_max),
        RIG_TEST(test_statuses),
        RIG_TEST(test_methods),
        RIG_TEST(test_retry_after),
        RIG_TEST(test_budget),
        RIG_TEST(test_broken_connections),
        RIG_TEST(test_no_connection),
        RIG_TEST(test_sources),
        RIG_TEST(test_cancel_in_backoff),
        RIG_TEST(test_deadline_in_backoff),
        RIG_TEST(test_close_in_backoff),
        RIG_TEST(test_retry_while_it_is_sent),
        RIG_TEST(test_cancel_while_it_is_sent),
        RIG_TEST(test_late_while_it_is_sent),
        RIG_TEST(test_close_while_it_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
