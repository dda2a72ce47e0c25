/* SPDX-License-Identifier: MIT */
/* A call from send to end: the queue, deadlines, cancelling, submitting from other threads. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_rig.h"

#include <pthread.h>
#include <weir/sse.h>

static struct rig_call calls[16];

static struct weir_client_stats stats(void)
{
    return rig_client_stats(&rig);
}

/* ---- The queue --------------------------------------------------------------------------- */

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
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_get(&calls[1], &rig, "/");
    rig_get(&calls[2], &rig, "/");
    rig_call_init(&calls[3], &rig, "GET", "/");
    assert_int_equal(rig_try_send(&calls[3]), WEIR_E_QUEUE_FULL);
    assert_non_null(strstr(weir_error_text(), "waiting_max"));
    rig_cancel(&calls[1]);
    rig_send(&calls[3]);
    rig_expect_err(&calls[1], WEIR_E_CANCELLED);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "a"));
    rig_answer(&rig, p, &calls[2], OK_TEXT("1", "b"));
    rig_answer(&rig, p, &calls[3], OK_TEXT("1", "c"));
    assert_int_equal(stats().refused, 1);
}

/* Those that are in flight count, those that have ended do not. */
static void test_too_many_pending(void **state)
{
    (void)state;
    rig.client_cfg.pending_max = 2;
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    rig_get(&calls[1], &rig, "/");
    calls[1].on_end = send_second; /* its place is free when it is told of its end */
    rig_call_init(&calls[2], &rig, "GET", "/");
    assert_int_equal(rig_try_send(&calls[2]), WEIR_E_OVERLOAD);
    assert_non_null(strstr(weir_error_text(), "pending_max"));
    struct rig_peer *p = rig_accept_request(&rig);
    rig_cancel(&calls[1]);
    rig_settle(&rig);
    assert_int_equal(calls[1].ended, 1);
    assert_int_equal(calls[1].sent, 2);
    assert_int_equal(rig_try_send(&calls[2]), WEIR_E_OVERLOAD);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "a"));
    rig_send(&calls[2]);
    rig_answer(&rig, p, &calls[1], OK_TEXT("1", "b"));
    rig_answer(&rig, p, &calls[2], OK_TEXT("1", "c"));
    assert_int_equal(stats().refused, 2);
    assert_int_equal(stats().calls, 4);
}

static void test_waiting_timeout(void **state)
{
    (void)state;
    rig.client_cfg.waiting_timeout_ns = 5 * RIG_S;
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_get(&calls[1], &rig, "/");
    rig_call_init(&calls[2], &rig, "GET", "/");
    calls[2].call.deadline_ns = rig_now(&rig) + 3 * RIG_S; /* sooner than the queue's own limit */
    rig_send(&calls[2]);
    rig_skip(&rig, 4 * RIG_S);
    rig_expect_err(&calls[2], WEIR_E_DEADLINE);
    assert_int_equal(calls[1].ended, 0);
    rig_get(&calls[3], &rig, "/");
    rig_skip(&rig, 1100 * RIG_MS);
    rig_expect_err(&calls[1], WEIR_E_QUEUE_TIMEOUT);
    assert_int_equal(stats().queue_timeouts, 1);
    /* It is over for a call that was given to a connection. */
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "a"));
    rig_expect_requests(&rig, p, 1);
    rig_skip(&rig, 60 * RIG_S);
    rig_answer(&rig, p, &calls[3], OK_TEXT("1", "b"));
}

/* All the engine's output memory, and giving it back. */
static void *chunks_take(void)
{
    void *chunks = NULL, *chunk;
    while ((chunk = weir_pool_get(&rig.engine->chunks)) != NULL) {
        memcpy(chunk, &chunks, sizeof chunks);
        chunks = chunk;
    }
    return chunks;
}

static void chunks_give(void *chunks)
{
    while (chunks != NULL) {
        void *chunk = chunks;
        memcpy(&chunks, chunk, sizeof chunks);
        weir_pool_put(&rig.engine->chunks, chunk);
    }
}

/* A call that has a connection but no memory waits as well. */
static void test_waiting_timeout_without_memory(void **state)
{
    (void)state;
    rig.client_cfg.waiting_timeout_ns = 5 * RIG_S;
    rig_open_raw(&rig, 1);
    void *chunks = chunks_take();
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(calls[0].ended, 0);
        rig_skip(&rig, 1100 * RIG_MS);
    }
    rig_expect_err(&calls[0], WEIR_E_QUEUE_TIMEOUT);
    chunks_give(chunks);
    rig_get(&calls[0], &rig, "/");
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
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
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    uint64_t now = rig_now(&rig);
    send_by(&calls[1], now + 4 * RIG_S);
    send_by(&calls[2], now + 2 * RIG_S);
    rig_get(&calls[3], &rig, "/");
    send_by(&calls[4], now); /* passed already */
    for (unsigned i = 0; i < 4; i++)
        rig_skip(&rig, 1500 * RIG_MS);
    for (unsigned i = 1; i < 5; i++)
        if (i != 3)
            rig_expect_err(&calls[i], WEIR_E_DEADLINE);
    assert_int_equal(calls[4].order, 0);
    assert_int_equal(calls[2].order, 1);
    assert_int_equal(calls[1].order, 2);
    assert_int_equal(calls[1].call.timing.sent_ns, 0);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "a"));
    rig_answer(&rig, p, &calls[3], OK_TEXT("1", "b"));
}

/* Before the head and in the body; the connection is kept if what is left comes soon. */
static void test_deadline_in_flight(void **state)
{
    (void)state;
    rig_open_raw(&rig, 1);
    struct rig_peer *p = NULL;
    for (unsigned i = 0; i < 2; i++) {
        send_by(&calls[0], rig_now(&rig) + 2 * RIG_S);
        if (i == 0)
            p = rig_accept(&rig);
        rig_expect_requests(&rig, p, 1);
        if (i == 1)
            rig_write_alone(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 42);
        rig_sent_whole(&rig, &calls[0]);
        rig_skip(&rig, 1900 * RIG_MS);
        assert_int_equal(calls[0].ended, 0);
        rig_skip(&rig, 200 * RIG_MS);
        rig_expect_err(&calls[0], WEIR_E_DEADLINE);
        assert_int_equal(calls[0].heads, i);
        assert_true(calls[0].call.timing.end_ns >= calls[0].call.deadline_ns);
        assert_int_equal(stats().in_flight_now, 0);
        rig_text(&rig, p, i == 1 ? "  end" : OK_TEXT("4", "late"));
        RIG_UNTIL(&rig, stats().idle_now == 1);
    }
    assert_int_equal(stats().drained, 2);
    assert_int_equal(stats().conns, 1);
}

/* The earliest deadline counts, wherever in the pipeline it is; the others are sent again. */
static void test_deadline_in_the_pipeline(void **state)
{
    (void)state;
    rig.client_cfg.pipeline_max = 4;
    rig_open_raw(&rig, 1);
    uint64_t now = rig_now(&rig);
    send_by(&calls[0], now + 2 * RIG_S);
    send_by(&calls[1], 0);
    send_by(&calls[2], now + 100 * RIG_S);
    send_by(&calls[3], now + 5 * RIG_S);
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 4);
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "x"));
    rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    RIG_UNTIL(&rig, calls[1].body.len == 4);
    rig_skip(&rig, 4 * RIG_S);
    assert_int_equal(calls[3].ended, 0);
    rig_skip(&rig, 2 * RIG_S);
    rig_expect_err(&calls[3], WEIR_E_DEADLINE);
    rig_expect_err(&calls[1], WEIR_E_TRUNCATED); /* part of it was handed out */
    struct rig_peer *q = rig_accept_request(&rig);
    rig_answer(&rig, q, &calls[2], OK_TEXT("1", "y"));
    assert_true(calls[2].call.timing.replayed);
}

/* Calls without a deadline have the client's, from the moment they were sent. */
static void test_default_timeout(void **state)
{
    (void)state;
    rig.client_cfg.timeout_ns = 5 * RIG_S;
    rig_open_raw(&rig, 3);
    struct rig_peer *p[2];
    rig_get(&calls[0], &rig, "/");
    p[0] = rig_accept_request(&rig);
    rig_skip(&rig, 2 * RIG_S);
    send_by(&calls[1], rig_now(&rig) + 20 * RIG_S);
    p[1] = rig_accept_request(&rig);
    rig_skip(&rig, 2900 * RIG_MS);
    assert_int_equal(calls[0].ended, 0);
    rig_skip(&rig, 200 * RIG_MS);
    rig_expect_err(&calls[0], WEIR_E_DEADLINE);
    rig_text(&rig, p[0], OK_EMPTY);
    rig_send(&calls[0]); /* it has all of it again */
    assert_int_equal(calls[0].call.deadline_ns, 0);
    rig_skip(&rig, 4 * RIG_S);
    assert_int_equal(calls[0].ended, 1);
    rig_answer(&rig, p[1], &calls[1], OK_TEXT("1", "x"));
    rig_skip(&rig, 2 * RIG_S);
    rig_expect_err(&calls[0], WEIR_E_DEADLINE);
}

/* ---- Cancelling -------------------------------------------------------------------------- */

static void cancel_head(struct rig_call *rc, const struct weir_response_head *head)
{
    (void)head;
    rig_cancel(rc);
}

/* In every moment of a response. What is left of it is read for nothing, then comes the next. */
static void test_cancel_in_flight(void **state)
{
    (void)state;
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    static const struct {
        const char *before; /* it is cancelled, or cancels itself */
        bool head, body;
        const char *after;
    } rows[] = {
        { "", false, false, OK_TEXT("4", "late") },
        { half, false, false, "  end" },
        { half, true, false, "  end" },
        { OK_EMPTY, true, false, "" },
        { OK_TEXT("1", "x"), true, false, "" },
        { half, false, true, "  end" },
        { OK_TEXT("1", "x"), false, true, "" },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", false, true,
          "2\r\nab\r\n0\r\n\r\n" },
    };
    const unsigned count = sizeof rows / sizeof rows[0];
    struct rig_peer *p = NULL;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < count; i++) {
        rig_call_init(&calls[0], &rig, "GET", "/");
        calls[0].on_head = rows[i].head ? cancel_head : NULL;
        calls[0].on_body = rows[i].body ? rig_cancel : NULL;
        rig_send(&calls[0]);
        if (p == NULL)
            p = rig_accept(&rig);
        rig_expect_requests(&rig, p, 1);
        if (rows[i].before[0] != '\0')
            rig_write_alone(&rig, p, rows[i].before, strlen(rows[i].before));
        if (!rows[i].head && !rows[i].body) {
            rig_sent_whole(&rig, &calls[0]);
            rig_cancel(&calls[0]);
            assert_int_equal(calls[0].ended, 0);
            rig_cancel(&calls[0]);
        }
        rig_expect_err(&calls[0], WEIR_E_CANCELLED);
        rig_cancel(&calls[0]); /* it is over: nothing happens */
        rig_text(&rig, p, rows[i].after);
        RIG_UNTIL(&rig, stats().idle_now == 1);
        assert_int_equal(stats().drained, i + 1);
    }
    assert_int_equal(stats().failed, count);
    assert_int_equal(stats().conns, 1);
}

/* One call in flight elsewhere, one in the queue: given up by whatever callback of another. */
static void cancel_others(struct rig_call *rc)
{
    (void)rc;
    rig_cancel(&calls[1]);
    rig_cancel(&calls[2]);
}

static void cancel_others_head(struct rig_call *rc, const struct weir_response_head *head)
{
    (void)head;
    cancel_others(rc);
}

static void cancel_others_event(struct rig_call *rc, const struct weir_sse_event *event)
{
    (void)event;
    cancel_others(rc);
}

static void test_cancel_from_callbacks_of_others(void **state)
{
    (void)state;
    static uint8_t buffer[4096];
    struct weir_sse_limits limits = { .data_bytes_max = 1024,
                                      .type_bytes_max = 64,
                                      .id_bytes_max = 64 };
    struct weir_sse_reader reader;
    struct rig_peer *p[2];
    rig_open_raw(&rig, 2);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(weir_sse_init(&reader, &limits, buffer, sizeof buffer), 0);
        rig_call_init(&calls[0], &rig, "GET", "/");
        calls[0].on_head = i == 0 ? cancel_others_head : NULL;
        calls[0].on_body = i == 1 ? cancel_others : NULL;
        calls[0].on_event = i == 2 ? cancel_others_event : NULL;
        calls[0].on_end = i == 3 ? cancel_others : NULL;
        calls[0].call.sse = i == 2 ? &reader : NULL;
        rig_send(&calls[0]);
        if (i == 0)
            p[0] = rig_accept(&rig);
        rig_expect_requests(&rig, p[0], 1);
        rig_get(&calls[1], &rig, "/");
        if (i == 0)
            p[1] = rig_accept(&rig);
        rig_expect_requests(&rig, p[1], 1);
        rig_sent_whole(&rig, &calls[1]);
        rig_get(&calls[2], &rig, "/");
        rig_get(&calls[3], &rig, "/");
        rig_text(&rig, p[0],
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 "Content-Length: 9\r\n\r\ndata: 1\n\n");
        rig_expect_err(&calls[1], WEIR_E_CANCELLED);
        rig_expect_err(&calls[2], WEIR_E_CANCELLED);
        rig_finish(&calls[0]);
        rig_buf_free(&calls[0].body);
        assert_int_equal(calls[0].err, 0);
        assert_int_equal(calls[0].events, i == 2);
        /* The rest of the queue moves up. In on_end the next one is on the connection already, its
         * request half written: that connection cannot be kept. */
        if (i == 3)
            p[0] = rig_accept(&rig);
        rig_expect_requests(&rig, p[0], 1);
        rig_answer(&rig, p[0], &calls[3], OK_TEXT("1", "3"));
        rig_text(&rig, p[1], OK_EMPTY);
        RIG_UNTIL(&rig, stats().idle_now == 2);
        /* The one that was used last is the next one's. */
        struct rig_peer *last = p[1];
        p[1] = p[0];
        p[0] = last;
    }
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

/* ---- From other threads ------------------------------------------------------------------ */

enum { THREADS = 4, PER_THREAD = 1000 };

struct submitter {
    pthread_t thread;
    unsigned ended;
    struct weir_call calls[PER_THREAD];
};
static struct submitter submitters[THREADS];

static void submitted_end(struct weir_call *call, int err)
{
    struct submitter *s = call->ctx;
    assert_int_equal(err, 0);
    assert_int_equal(call->status, 200);
    assert_ptr_equal(call, &s->calls[s->ended]); /* in the order of its thread */
    s->ended++;
    rig.calls_ended++;
}

static void *submit_all(void *arg)
{
    static const struct weir_call_handler handler = { .on_end = submitted_end };
    struct submitter *s = arg;
    for (unsigned i = 0; i < PER_THREAD; i++) {
        s->calls[i] =
            (struct weir_call){ .request = { .method = WEIR_TEXT("GET"), .target = WEIR_TEXT("/") },
                                .handler = &handler,
                                .ctx = s };
        weir_client_submit(rig.client, &s->calls[i]);
    }
    return NULL;
}

/* Whatever has been asked is answered. */
static void answer_all(struct rig_peer *p)
{
    unsigned count = 0;
    size_t at = 0;
    const char *end;
    while ((end = strstr(rig_buf_str(&p->in) + at, "\r\n\r\n")) != NULL) {
        at = (size_t)(end - p->in.ptr) + 4;
        count++;
    }
    rig_buf_drop(&p->in, at);
    while (count-- > 0)
        rig_text(&rig, p, OK_EMPTY);
}

static void test_submit_from_threads(void **state)
{
    (void)state;
    rig.client_cfg.pipeline_max = 64;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < THREADS; i++) {
        submitters[i].ended = 0;
        assert_int_equal(pthread_create(&submitters[i].thread, NULL, submit_all, &submitters[i]),
                         0);
    }
    struct rig_peer *p = rig_accept(&rig);
    RIG_UNTIL(&rig, (answer_all(p), rig.calls_ended == THREADS * PER_THREAD));
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(submitters[i].thread, NULL), 0);
    rig.calls_sent = THREADS * PER_THREAD;
    assert_int_equal(stats().completed, THREADS * PER_THREAD);
}

static void submit(struct rig_call *rc)
{
    rig.inside++;
    weir_client_submit(rig.client, &rc->call);
    rig.inside--;
    rc->sent++;
}

/* What weir_client_send() would say is told by on_end; such calls were never accepted. */
static void test_submit_refused(void **state)
{
    (void)state;
    rig.client_cfg.waiting_max = 1;
    rig_open_raw(&rig, 1);
    rig_get(&calls[0], &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig);
    rig_get(&calls[1], &rig, "/");
    rig_call_init(&calls[2], &rig, "GET", "/");
    rig_call_init(&calls[3], &rig, "G E T", "/");
    rig_call_init(&calls[4], &rig, "GET", "/");
    for (unsigned i = 2; i < 5; i++)
        submit(&calls[i]);
    rig_cancel(&calls[4]);
    assert_int_equal(calls[4].ended, 0);
    rig_expect_err(&calls[2], WEIR_E_QUEUE_FULL);
    rig_expect_err(&calls[3], WEIR_E_QUEUE_FULL);
    rig_expect_err(&calls[4], WEIR_E_CANCELLED);
    rig.calls_ended -= 3;
    rig_answer(&rig, p, &calls[0], OK_TEXT("1", "a"));
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, &calls[1], OK_TEXT("1", "b"));
    submit(&calls[3]);
    rig_expect_err(&calls[3], -EINVAL);
    rig.calls_ended--;
    submit(&calls[2]);
    rig.calls_sent++;
    rig_expect_requests(&rig, p, 1);
    calls[2].heads = 0;
    rig_answer(&rig, p, &calls[2], OK_TEXT("1", "c"));
    assert_int_equal(stats().calls, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_nobody_overtakes),
        RIG_TEST(test_queue_full),
        RIG_TEST(test_too_many_pending),
        RIG_TEST(test_waiting_timeout),
        RIG_TEST(test_waiting_timeout_without_memory),
        RIG_TEST(test_deadline_in_the_queue),
        RIG_TEST(test_deadline_in_flight),
        RIG_TEST(test_deadline_in_the_pipeline),
        RIG_TEST(test_default_timeout),
        RIG_TEST(test_cancel_in_flight),
        RIG_TEST(test_cancel_from_callbacks_of_others),
        RIG_TEST(test_send_again_from_on_end),
        RIG_TEST(test_submit_from_threads),
        RIG_TEST(test_submit_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
