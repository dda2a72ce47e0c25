/* SPDX-License-Identifier: MIT */
/* A client's pool and queue: who gets which connection when, and how calls end that get none. */
#include "unit/proto/http/rig.h"

#define OK_TEXT(len, body) "HTTP/1.1 200 OK\r\nContent-Length: " len "\r\n\r\n" body

enum { CALLS_MAX = 1000 };
static struct rig_call calls[CALLS_MAX];

static void open_raw(uint32_t conns_max, int backlog)
{
    rig.client_cfg.conns_max = conns_max;
    rig_listen(&rig, backlog);
    rig_open_client(&rig);
}

static void answer(struct rig_peer *p, struct rig_call *rc, const char *text, const char *body)
{
    rig_text(&rig, p, text);
    rig_expect_answer(rc, 200, body);
}

/* ---- Opening ----------------------------------------------------------------------------- */

static void refused(struct weir_client_config cfg, int err, const char *word)
{
    struct weir_client *client = (void *)&cfg;
    assert_int_equal(weir_client_open(&client, rig.engine, &cfg), err);
    assert_null(client);
    if (strstr(weir_error_text(), word) == NULL)
        assert_string_equal(weir_error_text(), word);
}

static void test_configuration(void **state)
{
    (void)state;
    rig_open_engine(&rig);
    struct weir_client_config cfg = rig.client_cfg;
    refused(cfg, -EINVAL, "endpoint");
    cfg.endpoint = "http://127.0.0.1:1";
    cfg.size = 4;
    refused(cfg, -EINVAL, "size");
    assert_int_equal(weir_client_memory_bytes(&cfg), -EINVAL);
    cfg.size = sizeof cfg;
    cfg.conns_max = 0;
    refused(cfg, -EINVAL, "conns_max");
    cfg.conns_max = 1;
    int64_t small = weir_client_memory_bytes(&cfg);
    cfg.conns_max = 100;
    assert_true(small > 0 && weir_client_memory_bytes(&cfg) > small);
    cfg.pipeline_max = 0;
    refused(cfg, -EINVAL, "pipeline_max");
    cfg.pipeline_max = 1;
    cfg.head_bytes_max = rig.engine_cfg.stash_block_bytes + 1;
    refused(cfg, -EINVAL, "stash_block_bytes");
    cfg.head_bytes_max = 1024;
    cfg.endpoint = "https://127.0.0.1:1";
    refused(cfg, WEIR_E_UNSUPPORTED, "only http is supported");
    cfg.endpoint = "ftp://127.0.0.1";
    refused(cfg, WEIR_E_URL, "expected http://");
}

static void test_unix_socket(void **state)
{
    (void)state;
    rig.server_cfg.listen = "unix:rig-client.sock";
    rig_serve(&rig);
    rig.client_cfg.endpoint = rig.server_cfg.listen;
    rig_open_client(&rig);
    rig_get(&calls[0], &rig, "/");
    rig_expect_answer(&calls[0], 200, "GET / ");
    unlink("rig-client.sock");
}

/* ---- The pool ---------------------------------------------------------------------------- */

static void test_last_used_first(void **state)
{
    (void)state;
    struct rig_peer *p[3];
    open_raw(3, 16);
    for (unsigned i = 0; i < 3; i++) {
        rig_get(&calls[i], &rig, "/");
        p[i] = rig_accept(&rig);
        rig_expect_requests(&rig, p[i], 1);
    }
    assert_int_equal(rig_client_stats(&rig).conns_now, 3);
    assert_int_equal(rig_client_stats(&rig).in_flight_now, 3);
    const unsigned order[] = { 1, 2, 0 };
    for (unsigned i = 0; i < 3; i++)
        answer(p[order[i]], &calls[order[i]], OK_TEXT("1", "x"), "x");
    for (unsigned i = 3; i-- > 0;) {
        rig_send(&calls[i]);
        rig_expect_requests(&rig, p[order[i]], 1);
        assert_true(calls[i].call.timing.reused);
    }
    for (unsigned i = 0; i < 3; i++)
        answer(p[order[i]], &calls[i], OK_TEXT("1", "y"), "y");
    assert_int_equal(rig_client_stats(&rig).conns, 3);
    assert_int_equal(rig_client_stats(&rig).reused, 3);
    assert_int_equal(rig_client_stats(&rig).completed, 6);
}

/* One connection or a few, first come first served. */
static void wait_in_order(uint32_t conns_max, unsigned count)
{
    rig.client_cfg.conns_max = conns_max;
    rig_serve(&rig);
    rig_open_client(&rig);
    for (unsigned i = 0; i < count; i++)
        rig_get(&calls[i], &rig, "/");
    assert_int_equal(rig_client_stats(&rig).waiting_now, count);
    RIG_UNTIL(&rig, rig.calls_ended == count);
    for (unsigned i = 0; i < count; i++) {
        assert_in_range(calls[i].order + conns_max, i + 1, i + 2 * conns_max - 1);
        rig_expect_answer(&calls[i], 200, "GET / ");
    }
    assert_int_equal(rig_client_stats(&rig).conns, conns_max);
}

static void test_a_thousand_wait_for_one(void **state)
{
    (void)state;
    wait_in_order(1, CALLS_MAX);
    for (unsigned i = 0; i < CALLS_MAX; i++)
        assert_int_equal(calls[i].order, i);
}

static void test_wait_for_some(void **state)
{
    (void)state;
    wait_in_order(4, 100);
}

/* Nobody overtakes those who wait, not even from the end of the call that they waited for. */
static void send_second(struct rig_call *rc)
{
    if (rc->sent == 1)
        rig_send(rc);
}

static void test_nobody_overtakes(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 1;
    rig_serve(&rig);
    rig_open_client(&rig);
    rig_call_init(&calls[0], &rig, "GET", "/0");
    calls[0].on_end = send_second;
    rig_send(&calls[0]);
    rig_get(&calls[1], &rig, "/1");
    rig_get(&calls[2], &rig, "/2");
    RIG_UNTIL(&rig, rig.calls_ended == 4);
    assert_int_equal(calls[1].order, 1);
    assert_int_equal(calls[2].order, 2);
    assert_int_equal(calls[0].order, 3);
    for (unsigned i = 0; i < 3; i++)
        rig_buf_free(&calls[i].body);
}

static void test_queue_full(void **state)
{
    (void)state;
    rig.client_cfg.waiting_max = 2;
    open_raw(1, 16);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    rig_get(&calls[1], &rig, "/");
    rig_get(&calls[2], &rig, "/");
    rig_call_init(&calls[3], &rig, "GET", "/");
    assert_int_equal(rig_try_send(&calls[3]), WEIR_E_QUEUE_FULL);
    rig_cancel(&calls[1]);
    rig_send(&calls[3]);
    rig_expect_err(&calls[1], WEIR_E_CANCELLED);
    answer(p, &calls[0], OK_TEXT("1", "a"), "a");
    answer(p, &calls[2], OK_TEXT("1", "b"), "b");
    answer(p, &calls[3], OK_TEXT("1", "c"), "c");
}

static void test_pipelining(void **state)
{
    (void)state;
    rig.client_cfg.pipeline_max = 4;
    open_raw(1, 16);
    for (unsigned i = 0; i < 7; i++)
        rig_get(&calls[i], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 4);
    rig_expect_nothing(&rig, p);
    assert_int_equal(rig_client_stats(&rig).waiting_now, 3);
    answer(p, &calls[0], OK_TEXT("1", "0"), "0");
    rig_expect_requests(&rig, p, 1);
    rig_expect_nothing(&rig, p);
    rig_text(&rig, p, OK_TEXT("1", "1") OK_TEXT("1", "2") OK_TEXT("1", "3") OK_TEXT("1", "4"));
    rig_expect_requests(&rig, p, 2);
    rig_text(&rig, p, OK_TEXT("1", "5") OK_TEXT("1", "6"));
    for (unsigned i = 1; i < 7; i++) {
        const char body[] = { (char)('0' + (int)i), '\0' };
        rig_expect_answer(&calls[i], 200, body);
        assert_int_equal(calls[i].order, i);
    }
    assert_int_equal(rig_client_stats(&rig).conns, 1);
}

/* The other side ended what lay idle; nobody notices. */
static void test_idle_closed_by_the_server(void **state)
{
    (void)state;
    open_raw(1, 16);
    for (unsigned i = 0; i < 3; i++) {
        rig_get(&calls[i], &rig, "/");
        struct rig_peer *p = rig_accept(&rig);
        rig_expect_requests(&rig, p, 1);
        answer(p, &calls[i], OK_TEXT("1", "x"), "x");
        if (i == 0)
            rig_half_close(p);
        else
            rig_reset(p);
        RIG_UNTIL(&rig, rig_client_stats(&rig).conns_now == 0);
    }
    /* Too late to be noticed before the call is sent: safe to be sent again. */
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    answer(p, &calls[0], OK_TEXT("1", "x"), "x");
    rig_half_close(p);
    rig_get(&calls[1], &rig, "/");
    rig_expect_err(&calls[1], WEIR_E_CLOSED);
}

static void test_idle_timeout(void **state)
{
    (void)state;
    rig.client_cfg.idle_timeout_ns = 30 * RIG_MS;
    open_raw(1, 16);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    rig_run_for(&rig, 40 * RIG_MS); /* not while something is in flight */
    uint64_t begin = weir_clock_ns();
    answer(p, &calls[0], OK_TEXT("1", "x"), "x");
    rig_expect_eof(&rig, p);
    assert_true(weir_clock_ns() - begin >= 30 * RIG_MS);
}

/* The deadline of a call that is over is nothing to the connection it was on. */
static void test_no_idle_timeout(void **state)
{
    (void)state;
    rig.client_cfg.idle_timeout_ns = 0;
    open_raw(1, 16);
    rig_call_init(&calls[0], &rig, "GET", "/");
    calls[0].call.deadline_ns = weir_clock_ns() + 30 * RIG_MS;
    rig_send(&calls[0]);
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    answer(p, &calls[0], OK_TEXT("1", "x"), "x");
    rig_run_for(&rig, 50 * RIG_MS);
    rig_expect_nothing(&rig, p);
    assert_int_equal(rig_client_stats(&rig).conns_now, 1);
}

/* ---- No connection ----------------------------------------------------------------------- */

static void test_connect_refused(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 2;
    rig_listen(&rig, 16);
    close(rig.listen_fd);
    rig.listen_fd = -1;
    rig_open_client(&rig);
    for (unsigned i = 0; i < 10; i++)
        rig_get(&calls[i], &rig, "/");
    for (unsigned i = 0; i < 10; i++) {
        rig_expect_err(&calls[i], WEIR_E_CONNECT);
        assert_int_equal(calls[i].call.timing.os_err, -ECONNREFUSED);
        assert_int_equal(calls[i].order, i);
    }
    assert_int_equal(rig_client_stats(&rig).connect_failures, 10);
    assert_int_equal(rig_client_stats(&rig).conns_now, 0);
}

/* A listener whose backlog is full: connections to it are neither made nor refused. */
static void open_stuck(struct rig_peer *fillers[4])
{
    struct weir_addr addr;
    open_raw(2, 1);
    assert_int_equal(sock_local(rig.listen_fd, &addr), 0);
    for (unsigned i = 0; i < 4; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fd, (const void *)&addr.storage, addr.bytes);
        fillers[i] = rig_peer_add(&rig, fd);
        fillers[i]->stalled = true;
    }
}

static void test_connect_timeout(void **state)
{
    (void)state;
    struct rig_peer *fillers[4];
    rig.client_cfg.connect_timeout_ns = 30 * RIG_MS;
    open_stuck(fillers);
    uint64_t begin = weir_clock_ns();
    for (unsigned i = 0; i < 3; i++)
        rig_get(&calls[i], &rig, "/");
    for (unsigned i = 0; i < 3; i++) {
        rig_expect_err(&calls[i], WEIR_E_CONNECT_TIMEOUT);
        assert_int_equal(calls[i].call.timing.os_err, 0);
    }
    assert_true(weir_clock_ns() - begin >= 60 * RIG_MS); /* two at a time */
}

static void test_end_while_connecting(void **state)
{
    (void)state;
    struct rig_peer *fillers[4];
    open_stuck(fillers);
    for (unsigned i = 0; i < 4; i++)
        rig_call_init(&calls[i], &rig, "GET", "/");
    calls[0].call.deadline_ns = weir_clock_ns() + 20 * RIG_MS;
    for (unsigned i = 0; i < 4; i++)
        rig_send(&calls[i]);
    rig_settle(&rig);
    rig_cancel(&calls[1]);
    rig_cancel(&calls[1]);
    assert_int_equal(calls[1].ended, 0);
    rig_expect_err(&calls[1], WEIR_E_CANCELLED);
    rig_expect_err(&calls[0], WEIR_E_DEADLINE);
    assert_true(calls[0].call.timing.end_ns >= calls[0].call.deadline_ns);
    rig_close_client(&rig);
    rig_expect_err(&calls[2], WEIR_E_SHUTDOWN);
    rig_expect_err(&calls[3], WEIR_E_SHUTDOWN);
}

/* ---- Deadlines --------------------------------------------------------------------------- */

static void send_by(struct rig_call *rc, uint64_t deadline_ns)
{
    rig_call_init(rc, &rig, "GET", "/");
    rc->call.deadline_ns = deadline_ns;
    rig_send(rc);
}

static void test_deadline_in_the_queue(void **state)
{
    (void)state;
    open_raw(1, 16);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    uint64_t now = weir_clock_ns();
    send_by(&calls[1], now + 40 * RIG_MS);
    send_by(&calls[2], now + 20 * RIG_MS);
    rig_get(&calls[3], &rig, "/");
    send_by(&calls[4], now); /* passed already */
    for (unsigned i = 1; i < 5; i++)
        if (i != 3)
            rig_expect_err(&calls[i], WEIR_E_DEADLINE);
    assert_int_equal(calls[4].order, 0);
    assert_int_equal(calls[2].order, 1);
    assert_int_equal(calls[1].order, 2);
    assert_int_equal(calls[1].call.timing.sent_ns, 0);
    answer(p, &calls[0], OK_TEXT("1", "a"), "a");
    answer(p, &calls[3], OK_TEXT("1", "b"), "b");
}

static void test_deadline_in_flight(void **state)
{
    (void)state;
    open_raw(1, 16);
    for (unsigned i = 0; i < 2; i++) {
        send_by(&calls[0], weir_clock_ns() + 20 * RIG_MS);
        struct rig_peer *p = rig_accept(&rig);
        rig_expect_requests(&rig, p, 1);
        if (i == 1)
            rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        rig_expect_err(&calls[0], WEIR_E_DEADLINE);
        assert_int_equal(calls[0].heads, i);
        assert_true(calls[0].call.timing.end_ns >= calls[0].call.deadline_ns);
        RIG_UNTIL(&rig, p->eof || p->err != 0);
    }
}

/* The earliest deadline counts, wherever in the pipeline it is; the others are told apart. */
static void test_deadline_in_the_pipeline(void **state)
{
    (void)state;
    rig.client_cfg.pipeline_max = 4;
    open_raw(1, 16);
    uint64_t now = weir_clock_ns();
    send_by(&calls[0], now + 25 * RIG_MS);
    send_by(&calls[1], 0);
    send_by(&calls[2], now + 1000 * RIG_MS);
    send_by(&calls[3], now + 50 * RIG_MS);
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 4);
    answer(p, &calls[0], OK_TEXT("1", "x"), "x");
    rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    rig_expect_err(&calls[1], WEIR_E_TRUNCATED);
    rig_expect_err(&calls[2], WEIR_E_CLOSED);
    rig_expect_err(&calls[3], WEIR_E_DEADLINE);
    assert_true(weir_clock_ns() >= now + 50 * RIG_MS);
}

/* ---- Cancelling -------------------------------------------------------------------------- */

static void cancel_head(struct rig_call *rc, const struct weir_response_head *head)
{
    (void)head;
    rig_cancel(rc);
}

static void test_cancel_in_flight(void **state)
{
    (void)state;
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    open_raw(1, 16);
    for (unsigned i = 0; i < 6; i++) {
        rig_call_init(&calls[0], &rig, "GET", "/");
        if (i == 2 || i == 3)
            calls[0].on_head = cancel_head;
        if (i == 4 || i == 5)
            calls[0].on_body = rig_cancel;
        rig_send(&calls[0]);
        struct rig_peer *p = rig_accept(&rig);
        rig_expect_requests(&rig, p, 1);
        if (i > 0)
            rig_text(&rig, p, i == 3 ? OK_TEXT("0", "") : i == 5 ? OK_TEXT("1", "x") : half);
        if (i == 1)
            RIG_UNTIL(&rig, calls[0].body.len == 4);
        if (i < 2) {
            rig_cancel(&calls[0]);
            assert_int_equal(calls[0].ended, 0);
            rig_cancel(&calls[0]);
        }
        rig_expect_err(&calls[0], WEIR_E_CANCELLED);
        rig_cancel(&calls[0]); /* it is over: nothing happens */
        RIG_UNTIL(&rig, p->eof || p->err != 0);
    }
    assert_int_equal(rig_client_stats(&rig).failed, 6);
}

static void cancel_third(struct rig_call *rc)
{
    (void)rc;
    rig_cancel(&calls[2]);
}

/* Out of the queue, by another's end; the rest moves up. */
static void test_cancel_from_on_end(void **state)
{
    (void)state;
    open_raw(1, 16);
    rig_get(&calls[0], &rig, "/");
    calls[0].on_end = cancel_third;
    for (unsigned i = 1; i < 4; i++)
        rig_get(&calls[i], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    answer(p, &calls[0], OK_TEXT("1", "0"), "0");
    rig_expect_err(&calls[2], WEIR_E_CANCELLED);
    answer(p, &calls[1], OK_TEXT("1", "1"), "1");
    answer(p, &calls[3], OK_TEXT("1", "3"), "3");
}

/* ---- Sending again ----------------------------------------------------------------------- */

static void send_ten_times(struct rig_call *rc)
{
    if (rc->sent < 10)
        rig_send(rc);
}

static void test_send_again_from_on_end(void **state)
{
    (void)state;
    rig_serve(&rig);
    rig_open_client(&rig);
    for (unsigned i = 0; i < 3; i++) {
        rig_call_init(&calls[i], &rig, "GET", "/");
        calls[i].on_end = send_ten_times;
        rig_send(&calls[i]);
    }
    RIG_UNTIL(&rig, rig.calls_ended == 30);
    for (unsigned i = 0; i < 3; i++)
        rig_expect_answer(&calls[i], 200, "GET / ");
    /* Also when each of them fails. */
    rig_close_server(&rig);
    for (unsigned i = 0; i < 3; i++) {
        calls[i].sent = calls[i].ended = 0;
        rig_send(&calls[i]);
    }
    RIG_UNTIL(&rig, rig.calls_ended == 60);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(calls[i].err, WEIR_E_CONNECT);
}

/* ---- What cannot be sent ----------------------------------------------------------------- */

static void invalid(struct weir_request request)
{
    rig_call_init(&calls[9], &rig, "GET", "/");
    calls[9].call.request = request;
    assert_int_equal(rig_try_send(&calls[9]), -EINVAL);
}

static void invalid_all(void)
{
    static const struct weir_header split = { WEIR_TEXT("X"), WEIR_TEXT("a\r\nb: c") };
    static const struct weir_header name = { WEIR_TEXT("X y"), WEIR_TEXT("a") };
    static const struct weir_header owned = { WEIR_TEXT("Transfer-encoding"),
                                              WEIR_TEXT("chunked") };
    struct weir_request good = { .method = WEIR_TEXT("GET"), .target = WEIR_TEXT("/") }, bad = good;
    bad.method = WEIR_TEXT("GET / HTTP/1.1\r\n");
    invalid(bad);
    bad.method = WEIR_TEXT("");
    invalid(bad);
    bad = good;
    bad.target = WEIR_TEXT("/ HTTP/1.1\r\nX: y");
    invalid(bad);
    bad.target = WEIR_TEXT("");
    invalid(bad);
    bad = good;
    bad.host = WEIR_TEXT("h\r\nX: y");
    invalid(bad);
    bad = good;
    bad.headers_count = 1;
    bad.headers = &split;
    invalid(bad);
    bad.headers = &name;
    invalid(bad);
    bad.headers = &owned;
    invalid(bad);
    rig_call_init(&calls[9], &rig, "GET", "/");
    calls[9].call.handler = NULL;
    assert_int_equal(rig_try_send(&calls[9]), -EINVAL);
}

static void test_invalid_requests(void **state)
{
    (void)state;
    open_raw(1, 16);
    invalid_all(); /* with no connection yet */
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    invalid_all(); /* with all of them busy */
    answer(p, &calls[0], OK_TEXT("1", "x"), "x");
    invalid_all(); /* with one that is free */
    rig_expect_nothing(&rig, p);
    rig_send(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    answer(p, &calls[0], OK_TEXT("1", "x"), "x");
}

/* Without output memory a call on a free connection is refused; one that waits goes on waiting. */
static void test_output_memory_exhausted(void **state)
{
    (void)state;
    void *chunks = NULL, *chunk;
    open_raw(1, 16);
    rig_get(&calls[0], &rig, "/");
    while ((chunk = weir_pool_get(&rig.engine->chunks)) != NULL) {
        memcpy(chunk, &chunks, sizeof chunks);
        chunks = chunk;
    }
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_nothing(&rig, p);
    assert_int_equal(calls[0].ended, 0);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(&chunk, chunks, sizeof chunk);
        weir_pool_put(&rig.engine->chunks, chunks);
        chunks = chunk;
    }
    rig_expect_requests(&rig, p, 1);
    answer(p, &calls[0], OK_TEXT("1", "x"), "x");
    while ((chunk = weir_pool_get(&rig.engine->chunks)) != NULL) {
        memcpy(chunk, &chunks, sizeof chunks);
        chunks = chunk;
    }
    assert_int_equal(rig_try_send(&calls[0]), -ENOBUFS);
    while (chunks != NULL) {
        memcpy(&chunk, chunks, sizeof chunk);
        weir_pool_put(&rig.engine->chunks, chunks);
        chunks = chunk;
    }
    rig_send(&calls[0]);
    rig_expect_requests(&rig, p, 1);
    answer(p, &calls[0], OK_TEXT("1", "y"), "y");
}

/* ---- Closing ----------------------------------------------------------------------------- */

static void send_into_the_end(struct rig_call *rc)
{
    if (rig.client != NULL && rc->err == WEIR_E_SHUTDOWN) {
        rig_cancel(&calls[0]);
        assert_int_equal(rig_try_send(rc), WEIR_E_SHUTDOWN);
    }
}

static void test_close_with_everything_in_progress(void **state)
{
    (void)state;
    enum { BYTES = 6 << 20 };
    uint8_t *bytes = rig_pattern(BYTES);
    rig.client_cfg.pipeline_max = 2;
    open_raw(4, 16);
    struct rig_peer *p[4];
    for (unsigned i = 0; i < 4; i++) {
        rig_call_init(&calls[i], &rig, "PUT", "/");
        if (i == 3)
            calls[i].call.request.body = (struct weir_slice){ bytes, BYTES };
        rig_send(&calls[i]);
        p[i] = rig_accept(&rig);
        p[i]->stalled = i == 3;
        rig_settle(&rig);
    }
    /* 0: idle again. 1: waits for a head. 2: in the body. 3: still being sent. */
    rig_expect_requests(&rig, p[0], 1);
    answer(p[0], &calls[0], OK_TEXT("1", "x"), "x");
    rig_text(&rig, p[2], "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    RIG_UNTIL(&rig, calls[2].body.len == 4);
    for (unsigned i = 4; i < 12; i++) { /* fill the pipelines, then the queue */
        rig_get(&calls[i], &rig, "/");
        calls[i].on_end = send_into_the_end;
    }
    assert_true(rig_client_stats(&rig).waiting_now > 0);
    rig_cancel(&calls[11]); /* its end is owed */
    rig_close_client(&rig);
    rig_expect_err(&calls[11], WEIR_E_CANCELLED);
    for (unsigned i = 1; i < 11; i++)
        rig_expect_err(&calls[i], WEIR_E_SHUTDOWN);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_configuration),
        RIG_TEST(test_unix_socket),
        RIG_TEST(test_last_used_first),
        RIG_TEST(test_a_thousand_wait_for_one),
        RIG_TEST(test_wait_for_some),
        RIG_TEST(test_nobody_overtakes),
        RIG_TEST(test_queue_full),
        RIG_TEST(test_pipelining),
        RIG_TEST(test_idle_closed_by_the_server),
        RIG_TEST(test_idle_timeout),
        RIG_TEST(test_no_idle_timeout),
        RIG_TEST(test_connect_refused),
        RIG_TEST(test_connect_timeout),
        RIG_TEST(test_end_while_connecting),
        RIG_TEST(test_deadline_in_the_queue),
        RIG_TEST(test_deadline_in_flight),
        RIG_TEST(test_deadline_in_the_pipeline),
        RIG_TEST(test_cancel_in_flight),
        RIG_TEST(test_cancel_from_on_end),
        RIG_TEST(test_send_again_from_on_end),
        RIG_TEST(test_invalid_requests),
        RIG_TEST(test_output_memory_exhausted),
        RIG_TEST(test_close_with_everything_in_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
