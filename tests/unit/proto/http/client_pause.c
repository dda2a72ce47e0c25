/* SPDX-License-Identifier: MIT */
/* Calls that take no more for a while: nothing is handed out meanwhile, and nothing is lost. */
#include "proto/http/client_impl.h"

#include "unit/proto/http/client_rig.h"

static struct rig_call calls[4];
static struct rig_call *const call = &calls[0];

static struct weir_client_stats stats(void)
{
    return rig_client_stats(&rig);
}

static void pause_head(struct rig_call *rc, const struct weir_response_head *head)
{
    (void)head;
    rig_pause(rc);
}

/* A call whose request the server has. */
static struct rig_peer *ask(const char *method)
{
    if (rig.client == NULL)
        rig_open_raw(&rig, 1);
    rig_call_init(call, &rig, method, "/");
    rig_send(call);
    struct rig_peer *p =
        stats().idle_now + stats().in_flight_now > 0 && rig.peers_count > 0 && rig.peers[0].fd >= 0
            ? &rig.peers[0]
            : rig_accept(&rig);
    rig_expect_requests(&rig, p, 1);
    return p;
}

/* ---- Nothing is handed out --------------------------------------------------------------- */

/* Paused in on_head: neither content nor end, whatever the framing, wherever it is cut. */
static void test_in_on_head(void **state)
{
    (void)state;
    static const struct {
        const char *method, *text, *body;
        bool ends;
    } rows[] = {
        { "GET", OK_TEXT("5", "hello"), "hello", false },
        { "GET", OK_EMPTY, "", false },
        { "GET", "HTTP/1.1 204 \r\n\r\n", "", false },
        { "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", false },
        { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
          "abc", false },
        { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", false },
        { "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab", "ab",
          true },
        { "GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", true },
        { "GET", "HTTP/1.1 200 OK\r\n\r\n", "", true },
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t len = strlen(rows[i].text);
        for (size_t cut = 1; cut <= len; cut += rows[i].ends ? 9 : 1) {
            struct rig_peer *p = ask(rows[i].method);
            call->on_head = pause_head;
            rig_write_alone(&rig, p, rows[i].text, cut);
            if (cut < len)
                assert_true(rig_write(&rig, p, rows[i].text + cut, len - cut));
            if (rows[i].ends)
                rig_half_close(p);
            RIG_UNTIL(&rig, call->heads == 1);
            rig_settle(&rig);
            assert_int_equal(call->ended, 0);
            assert_int_equal(call->body.len, 0);
            rig_resume(call);
            assert_int_equal(call->ended, 0);
            rig_finish(call);
            assert_int_equal(call->err, 0);
            assert_string_equal(rig_buf_str(&call->body), rows[i].body);
            rig_buf_free(&call->body);
            if (!rows[i].ends)
                continue;
            RIG_UNTIL(&rig, stats().conns_now == 0);
            rig_hang_up(p);
        }
    }
}

/* Paused in on_body: one piece each time it is resumed, the end by itself. */
static void test_in_on_body(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\nT: x\r\n\r\n";
    static const char *const steps[] = { "a", "abc", "abcdef" };
    struct rig_peer *p = ask("GET");
    call->on_body = rig_pause;
    rig_text(&rig, p, text);
    for (unsigned i = 0; i < 3; i++) {
        RIG_UNTIL(&rig, call->paused);
        rig_settle(&rig);
        assert_string_equal(rig_buf_str(&call->body), steps[i]);
        assert_int_equal(call->ended, 0);
        rig_resume(call);
    }
    rig_expect_answer(call, 200, "abcdef");
    assert_int_equal(call->call.timing.pieces, 3);
    /* The last piece of a body whose length is known. */
    p = ask("GET");
    call->on_body = rig_pause;
    rig_text(&rig, p, OK_TEXT("1", "x"));
    RIG_UNTIL(&rig, call->paused);
    rig_settle(&rig);
    assert_int_equal(call->ended, 0);
    rig_resume(call);
    rig_expect_answer(call, 200, "x");
    assert_int_equal(stats().idle_now, 1);
}

/* Paused from outside, before the head. */
static void test_before_the_head(void **state)
{
    (void)state;
    struct rig_peer *p = ask("GET");
    rig_pause(call);
    weir_call_pause(&call->call); /* twice is once */
    rig_text(&rig, p, "HTTP/1.1 100 \r\n\r\n" OK_TEXT("1", "x"));
    rig_settle(&rig);
    assert_int_equal(call->heads, 0);
    rig_resume(call);
    rig_pause(call); /* before it took effect */
    rig_settle(&rig);
    assert_int_equal(call->heads, 0);
    rig_resume(call);
    weir_call_resume(&call->call);
    rig_expect_answer(call, 200, "x");
    weir_call_pause(&call->call); /* it is over: nothing happens */
    rig_get(call, &rig, "/");
    rig_expect_requests(&rig, p, 1);
    rig_answer(&rig, p, call, OK_TEXT("1", "y"));
}

static void pause_and_resume(struct rig_call *rc)
{
    weir_call_pause(&rc->call);
    weir_call_resume(&rc->call);
}

static void test_resumed_at_once(void **state)
{
    (void)state;
    struct rig_peer *p = ask("GET");
    call->on_body = pause_and_resume;
    rig_text(&rig, p,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    rig_expect_answer(call, 200, "ab");
}

static void resume_first(struct rig_call *rc)
{
    (void)rc;
    rig_resume(call);
}

static void resume_first_head(struct rig_call *rc, const struct weir_response_head *head)
{
    (void)head;
    resume_first(rc);
}

/* By a callback of another, in the same pass. */
static void test_resumed_by_another(void **state)
{
    (void)state;
    rig_open_raw(&rig, 2);
    rig_get(call, &rig, "/");
    struct rig_peer *p = rig_accept_request(&rig), *q = NULL;
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0) {
            rig_get(call, &rig, "/");
            RIG_UNTIL(&rig, p->in.len + q->in.len > 0);
            if (p->in.len == 0) {
                struct rig_peer *swap = p;
                p = q;
                q = swap;
            }
            rig_expect_requests(&rig, p, 1);
        }
        call->on_body = rig_pause;
        rig_text(&rig, p, OK_TEXT("1", "x"));
        RIG_UNTIL(&rig, call->paused);
        rig_call_init(&calls[1], &rig, "GET", "/");
        calls[1].on_head = i == 0 ? resume_first_head : NULL;
        calls[1].on_body = i == 1 ? resume_first : NULL;
        calls[1].on_end = i == 2 ? resume_first : NULL;
        rig_send(&calls[1]);
        if (i == 0)
            q = rig_accept(&rig);
        rig_expect_requests(&rig, q, 1);
        rig_settle(&rig);
        assert_int_equal(call->ended, 0);
        rig_answer(&rig, q, &calls[1], OK_TEXT("1", "y"));
        rig_expect_answer(call, 200, "x");
    }
}

/* ---- Behind it --------------------------------------------------------------------------- */

/* Those behind it on the connection wait too. Paused before its turn, one is paused in it. */
static void test_pipeline(void **state)
{
    (void)state;
    rig.client_cfg.pipeline_max = 3;
    rig_open_raw(&rig, 1);
    for (unsigned i = 0; i < 3; i++)
        rig_get(&calls[i], &rig, "/");
    struct rig_peer *p = rig_accept(&rig);
    rig_expect_requests(&rig, p, 3);
    calls[0].on_body = rig_pause;
    rig_pause(&calls[2]);
    rig_text(&rig, p, OK_TEXT("1", "0") OK_TEXT("1", "1") OK_TEXT("1", "2"));
    RIG_UNTIL(&rig, calls[0].paused);
    rig_settle(&rig);
    assert_int_equal(rig.calls_ended, 0);
    rig_resume(&calls[0]);
    rig_expect_answer(&calls[0], 200, "0");
    rig_expect_answer(&calls[1], 200, "1");
    rig_settle(&rig);
    assert_int_equal(calls[2].heads, 0);
    rig_resume(&calls[2]);
    rig_expect_answer(&calls[2], 200, "2");
}

/* The peer is held up, and what is kept is bounded; every byte is there in the end. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    enum { BYTES = 16 << 20 };
    uint8_t *bytes = rig_pattern(BYTES);
    rig.engine_cfg.stash_bytes_max = 2u << 20;
    struct rig_peer *p = ask("GET");
    char head[64];
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BYTES);
    call->on_body = rig_pause;
    rig_text(&rig, p, head);
    size_t done = 0;
    uint64_t most = (uint64_t)rig.engine_cfg.recv_bufs_max * rig.engine_cfg.recv_buf_bytes;
    for (unsigned stuck = 0; stuck < 20; rig_pass(&rig)) { /* until it is held up */
        ssize_t n = send(p->fd, bytes + done, BYTES - done, MSG_NOSIGNAL);
        assert_true(n > 0 || errno == EAGAIN);
        done += n > 0 ? (size_t)n : 0;
        stuck = n > 0 ? 0 : stuck + 1;
    }
    assert_true(done < BYTES);
    for (unsigned i = 0; i < 100; i++) {
        struct weir_engine_stats s = rig_engine_stats(&rig);
        assert_true(s.stash_blocks_now * rig.engine_cfg.stash_block_bytes <= most);
        RIG_UNTIL(&rig, call->paused);
        rig_resume(call);
    }
    call->on_body = NULL;
    assert_true(rig_write(&rig, p, bytes + done, BYTES - done));
    if (call->paused)
        rig_resume(call);
    rig_finish(call);
    assert_int_equal(call->err, 0);
    assert_int_equal(call->body.len, BYTES);
    assert_memory_equal(call->body.ptr, bytes, BYTES);
    rig_buf_free(&call->body);
    free(bytes);
}

/* ---- Its end meanwhile ------------------------------------------------------------------- */

/* Cancelled: with content kept, when all of it is there, and before any of it. */
static void test_cancel(void **state)
{
    (void)state;
    static const struct {
        const char *text, *rest;
        bool head;
    } rows[] = {
        { OK_TEXT("1", "x"), "", false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n", "0\r\n\r\n",
          false },
        { OK_TEXT("9", "half"), " more", false },
        { OK_TEXT("9", "half"), " more", true },
        { OK_EMPTY, "", true },
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig_peer *p = ask("GET");
        call->on_body = rows[i].head ? NULL : rig_pause;
        call->on_head = rows[i].head ? pause_head : NULL;
        rig_text(&rig, p, rows[i].text);
        RIG_UNTIL(&rig, call->paused);
        rig_settle(&rig);
        rig_sent_whole(&rig, call);
        rig_cancel(call);
        rig_expect_err(call, WEIR_E_CANCELLED);
        rig_text(&rig, p, rows[i].rest);
        RIG_UNTIL(&rig, stats().idle_now == 1);
        assert_int_equal(stats().drained, i + 1);
    }
    assert_int_equal(stats().conns, 1);
}

static void test_deadline(void **state)
{
    (void)state;
    struct rig_peer *p = ask("GET");
    call->on_body = rig_pause;
    call->call.deadline_ns = 0;
    rig_text(&rig, p, OK_TEXT("1", "x"));
    RIG_UNTIL(&rig, call->paused);
    rig_resume(call);
    rig_expect_answer(call, 200, "x");
    call->call.deadline_ns = rig_now(&rig) + 5 * RIG_S;
    rig_send(call);
    rig_expect_requests(&rig, p, 1);
    rig_text(&rig, p, OK_TEXT("9", "half"));
    RIG_UNTIL(&rig, call->paused);
    rig_skip(&rig, 4 * RIG_S);
    assert_int_equal(call->ended, 1);
    rig_skip(&rig, 2 * RIG_S);
    rig_expect_err(call, WEIR_E_DEADLINE);
}

static void test_close(void **state)
{
    (void)state;
    struct rig_peer *p = ask("GET");
    call->on_body = rig_pause;
    rig_text(&rig, p, OK_TEXT("9", "half"));
    RIG_UNTIL(&rig, call->paused);
    rig_text(&rig, p, "more");
    rig_settle(&rig);
    rig_close_client(&rig);
    rig_expect_err(call, WEIR_E_SHUTDOWN);
}

/* The server ends the connection: what had come is handed out first. */
static void test_broken_meanwhile(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct rig_peer *p = ask("GET");
        call->on_head = pause_head;
        rig_text(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        RIG_UNTIL(&rig, call->paused);
        rig_settle(&rig);
        if (i == 0)
            rig_half_close(p);
        else
            rig_reset(p);
        rig_settle(&rig);
        assert_int_equal(call->body.len, 0);
        if (call->ended == 0)
            rig_resume(call);
        rig_finish(call);
        assert_int_equal(call->err, i == 0 ? WEIR_E_TRUNCATED : -ECONNRESET);
        if (i == 0)
            assert_string_equal(rig_buf_str(&call->body), "half");
        rig_buf_free(&call->body);
        RIG_UNTIL(&rig, stats().conns_now == 0);
        if (i == 0)
            rig_hang_up(p);
    }
}

/* Its response is there, the next one's request breaks, a third waits: all within one pass. */
static void test_resumed_while_the_next_breaks(void **state)
{
    (void)state;
    enum { BYTES = 6 << 20 };
    uint8_t *bytes = rig_pattern(BYTES);
    rig.client_cfg.pipeline_max = 2;
    struct rig_peer *p = ask("GET");
    call->on_body = rig_pause;
    rig_call_init(&calls[1], &rig, "POST", "/");
    calls[1].call.request.body = (struct weir_slice){ bytes, BYTES };
    rig_send(&calls[1]);
    p->stalled = true;
    rig_text(&rig, p, OK_TEXT("1", "x"));
    RIG_UNTIL(&rig, call->paused);
    rig_settle(&rig);
    rig_get(&calls[2], &rig, "/");
    assert_int_equal(stats().waiting_now, 1);
    rig_reset(p);
    rig_resume(call);
    struct rig_peer *q = rig_accept_request(&rig);
    rig_answer(&rig, q, &calls[2], OK_TEXT("1", "z"));
    rig_finish(call);
    rig_finish(&calls[1]);
    assert_int_equal(call->err, 0);
    assert_int_not_equal(calls[1].err, 0);
    rig_buf_free(&call->body);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_in_on_head),         RIG_TEST(test_in_on_body),
        RIG_TEST(test_before_the_head),    RIG_TEST(test_resumed_at_once),
        RIG_TEST(test_resumed_by_another), RIG_TEST(test_pipeline),
        RIG_TEST(test_memory_is_bounded),  RIG_TEST(test_cancel),
        RIG_TEST(test_deadline),           RIG_TEST(test_close),
        RIG_TEST(test_broken_meanwhile),   RIG_TEST(test_resumed_while_the_next_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
