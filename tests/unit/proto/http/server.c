/* SPDX-License-Identifier: MIT */
/* A server's life: its configuration, accepting up to a limit, draining, closing in every state. */
#include "unit/proto/http/rig.h"

#define GET_TEXT(target)   "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_TEXT(len, body) "HTTP/1.1 200 OK\r\nContent-Length: " len "\r\n\r\n" body
#define LAST_TEXT(len, body)                                                                       \
    "HTTP/1.1 200 OK\r\nContent-Length: " len "\r\nConnection: close\r\n\r\n" body

/* ---- Opening ----------------------------------------------------------------------------- */

static void refused(struct weir_server_config cfg, int err, const char *word)
{
    struct weir_server *server = (void *)&cfg;
    assert_int_equal(weir_server_open(&server, rig.engine, &cfg, &rig_handler, &rig), err);
    assert_null(server);
    if (strstr(weir_error_text(), word) == NULL)
        assert_string_equal(weir_error_text(), word);
}

static void test_configuration(void **state)
{
    (void)state;
    struct weir_server_config cfg = rig.server_cfg;
    struct weir_server *server;
    rig_open_engine(&rig);
    cfg.size--;
    refused(cfg, -EINVAL, "size");
    assert_int_equal(weir_server_memory_bytes(&cfg), -EINVAL);
    cfg = rig.server_cfg;
    cfg.listen = NULL;
    refused(cfg, -EINVAL, "listen");
    cfg.listen = "nowhere";
    refused(cfg, -EINVAL, "nowhere");
    cfg = rig.server_cfg;
    cfg.exchanges_max = 0;
    refused(cfg, -EINVAL, "exchanges_max");
    cfg = rig.server_cfg;
    cfg.head_bytes_max = 255;
    refused(cfg, -EINVAL, "head_bytes_max");
    cfg.head_bytes_max = rig.engine_cfg.stash_block_bytes + 1;
    refused(cfg, -EINVAL, "stash_block_bytes");
    cfg = rig.server_cfg;
    cfg.lenient = WEIR_HTTP1_LENIENT_ALL + 1;
    refused(cfg, -EINVAL, "lenient");
    struct weir_server_handler none = rig_handler;
    none.on_request = NULL;
    assert_int_equal(weir_server_open(&server, rig.engine, &rig.server_cfg, &none, &rig), -EINVAL);
    assert_int_equal(weir_server_open(&server, rig.engine, &rig.server_cfg, NULL, &rig), -EINVAL);
    cfg = rig.server_cfg;
    int64_t small = weir_server_memory_bytes(&cfg);
    cfg.conns_max *= 2;
    assert_true(small > 0 && weir_server_memory_bytes(&cfg) > small);
    rig_serve(&rig);
    cfg.listen = weir_server_address(rig.server);
    refused(cfg, -EADDRINUSE, cfg.listen);
}

static void test_address_and_date(void **state)
{
    (void)state;
    rig.server_cfg.date = true;
    rig_serve(&rig);
    assert_memory_equal(weir_server_address(rig.server), "127.0.0.1:", 10);
    assert_string_not_equal(weir_server_address(rig.server), "127.0.0.1:0");
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/"));
    rig_expect(&rig, p, "HTTP/1.1 200 OK\r\nDate: ");
    RIG_UNTIL(&rig, p->in.len >= 29 && strstr(p->in.ptr, "GET / ") != NULL);
    assert_memory_equal(p->in.ptr + 26, "GMT\r\n", 5);
    struct weir_server_stats s = rig_server_stats(&rig);
    assert_int_equal(s.conns, 1);
    assert_int_equal(s.conns_now, 1);
    assert_int_equal(s.requests, 1);
    RIG_UNTIL(&rig, rig_server_stats(&rig).responses == 1);
    assert_int_equal(rig_server_stats(&rig).exchanges_now, 0);
    /* A caller that was compiled against a shorter structure gets no more than that. */
    struct weir_server_stats shorter = { .size = 8, .conns = 77 };
    weir_server_stats(rig.server, &shorter);
    assert_int_equal(shorter.conns_now, 1);
    assert_int_equal(shorter.conns, 77);
}

static void test_unix_socket(void **state)
{
    (void)state;
    rig.server_cfg.listen = "unix:rig-server.sock";
    rig_serve(&rig);
    assert_string_equal(weir_server_address(rig.server), rig.server_cfg.listen);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/"));
    rig_expect(&rig, p, OK_TEXT("6", "GET / "));
    rig_close_server(&rig);
    rig_expect_eof(&rig, p);
    unlink("rig-server.sock");
}

/* ---- Accepting --------------------------------------------------------------------------- */

/* `max` connections are served at a time, and each that ends lets the next in. */
static void serve_in_turn(uint32_t max)
{
    enum { COUNT = 8 };
    struct rig_peer *p[COUNT];
    rig_serve(&rig);
    for (unsigned i = 0; i < COUNT; i++) {
        p[i] = rig_dial(&rig);
        rig_text(&rig, p[i], GET_TEXT("/"));
    }
    for (unsigned i = 0; i < max; i++)
        rig_expect(&rig, p[i], OK_TEXT("6", "GET / "));
    rig_settle(&rig);
    assert_int_equal(rig.xs_count, max);
    assert_int_equal(rig_server_stats(&rig).conns_now, max);
    assert_true(rig_engine_stats(&rig).accept_paused > 0);
    uint64_t begin = weir_clock_ns();
    for (unsigned i = 0; i + max < COUNT; i++) {
        rig_hang_up(p[i]);
        rig_expect(&rig, p[i + max], OK_TEXT("6", "GET / "));
    }
    assert_true(weir_clock_ns() - begin < 150 * RIG_MS); /* at once, not by the retry timer */
    assert_int_equal(rig_server_stats(&rig).conns, COUNT);
}

static void test_conns_max(void **state)
{
    (void)state;
    rig.server_cfg.conns_max = 2;
    serve_in_turn(2);
}

static void test_engine_slots(void **state)
{
    (void)state;
    rig.engine_cfg.conns_max = 4; /* one is the listener's */
    serve_in_turn(3);
}

/* ---- Draining ---------------------------------------------------------------------------- */

static void drain(uint64_t deadline_ns)
{
    unsigned before = rig.drained;
    weir_server_drain(rig.server, deadline_ns, rig_on_drained);
    assert_int_equal(rig.drained, before);
}

static void test_drain_nothing(void **state)
{
    (void)state;
    rig_serve(&rig);
    drain(0);
    RIG_UNTIL(&rig, rig.drained == 1);
    rig_settle(&rig);
    assert_int_equal(rig.drained, 1);
    drain(0); /* once more, with nothing left */
    RIG_UNTIL(&rig, rig.drained == 2);
}

static void test_drain(void **state)
{
    (void)state;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *fresh = rig_dial(&rig), *used = rig_dial(&rig), *busy = rig_dial(&rig),
                    *head = rig_dial(&rig), *body = rig_dial(&rig);
    rig_text(&rig, used, GET_TEXT("/"));
    RIG_UNTIL(&rig, rig.xs_count == 1);
    rig_respond(&rig.xs[0], 200, "x");
    rig_expect(&rig, used, OK_TEXT("1", "x"));
    rig_text(&rig, busy, GET_TEXT("/1") GET_TEXT("/2"));
    RIG_UNTIL(&rig, rig.xs_count == 3);
    rig_write_alone(&rig, head, "GET /", 5);
    rig_text(&rig, body, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
    RIG_UNTIL(&rig, rig.xs_count == 4 && rig.xs[3].body.len == 1);
    drain(0);
    rig_expect_eof(&rig, fresh);
    rig_expect_eof(&rig, used);
    rig_expect_nothing(&rig, busy);
    rig_text(&rig, head, " HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_text(&rig, body, "bc");
    RIG_UNTIL(&rig, rig.xs_count == 5 && rig.xs[3].lasts == 1);
    rig_respond(&rig.xs[4], 200, "h");
    rig_respond(&rig.xs[3], 200, "b");
    rig_respond(&rig.xs[1], 200, "1");
    rig_respond(&rig.xs[2], 200, "2");
    rig_expect(&rig, head, LAST_TEXT("1", "h"));
    rig_expect(&rig, body, LAST_TEXT("1", "b"));
    rig_expect(&rig, busy, OK_TEXT("1", "1") LAST_TEXT("1", "2"));
    rig_half_close(head);
    rig_half_close(body);
    rig_expect_eof(&rig, busy);
    assert_int_equal(rig.drained, 0); /* that one has not heard us out yet */
    rig_half_close(busy);
    RIG_UNTIL(&rig, rig.drained == 1);
    assert_int_equal(rig.xs_ended, 5);
    assert_int_equal(rig_server_stats(&rig).aborted, 0);
}

/* Answers given before the drain say nothing of an end; it comes all the same, behind them. */
static void test_drain_after_the_answer(void **state)
{
    (void)state;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig), *q = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/"));
    RIG_UNTIL(&rig, rig.xs_count == 1);
    rig_text(&rig, q, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
    RIG_UNTIL(&rig, rig.xs_count == 2);
    rig_respond(&rig.xs[1], 200, "early");
    rig_expect(&rig, q, OK_TEXT("5", "early"));
    rig_respond(&rig.xs[0], 200, "x");
    drain(0);
    rig_expect(&rig, p, OK_TEXT("1", "x"));
    rig_expect_eof(&rig, p);
    rig_text(&rig, q, "bc");
    rig_expect_eof(&rig, q);
    RIG_UNTIL(&rig, rig.drained == 1);
    assert_int_equal(rig.xs[0].err, 0);
    assert_int_equal(rig.xs[1].err, 0);
}

static void test_drain_deadline(void **state)
{
    (void)state;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *busy = rig_dial(&rig), *head = rig_dial(&rig);
    rig_text(&rig, busy, GET_TEXT("/"));
    RIG_UNTIL(&rig, rig.xs_count == 1);
    rig_write_alone(&rig, head, "GET /", 5);
    uint64_t deadline = weir_clock_ns() + 30 * RIG_MS;
    drain(deadline);
    RIG_UNTIL(&rig, rig.drained == 1);
    assert_true(weir_clock_ns() >= deadline);
    assert_int_equal(rig.xs[0].err, WEIR_E_SHUTDOWN);
    RIG_UNTIL(&rig, busy->err == -ECONNRESET && head->err == -ECONNRESET);
}

static void drain_now(struct rig_x *rx)
{
    drain(0);
    if (rx->x != NULL)
        rig_respond(rx, 200, "x");
}

static void test_drain_in_callbacks(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        rig.on_request = i == 0 ? drain_now : NULL;
        rig.on_end = i == 0 ? NULL : drain_now;
        rig_serve(&rig);
        struct rig_peer *idle = rig_dial(&rig), *p = rig_dial(&rig);
        rig_text(&rig, p, GET_TEXT("/"));
        rig_expect(&rig, p, i == 0 ? LAST_TEXT("1", "x") : OK_TEXT("6", "GET / "));
        rig_expect_eof(&rig, idle);
        rig_expect_eof(&rig, p);
        rig_hang_up(p);
        RIG_UNTIL(&rig, rig.drained == i + 1);
        assert_int_equal(weir_server_close(rig.server), 0);
        rig.server = NULL;
    }
}

/* What a drained server gave back belongs to others: closing it must not touch them. */
static void test_close_after_drain(void **state)
{
    (void)state;
    rig_serve(&rig);
    drain(0);
    RIG_UNTIL(&rig, rig.drained == 1);
    struct weir_server *first = rig.server;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/"));
    rig_expect(&rig, p, OK_TEXT("6", "GET / "));
    weir_server_drain(first, 0, NULL);
    assert_int_equal(weir_server_close(first), 0);
    struct rig_peer *q = rig_dial(&rig);
    rig_text(&rig, q, GET_TEXT("/"));
    rig_expect(&rig, q, OK_TEXT("6", "GET / "));
    rig_expect_nothing(&rig, p);
}

/* ---- Closing ----------------------------------------------------------------------------- */

static void test_close_idle(void **state)
{
    (void)state;
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    RIG_UNTIL(&rig, rig_server_stats(&rig).conns_now == 1);
    struct rig_peer *backlog = rig_dial(&rig);
    assert_int_equal(weir_engine_close(rig.engine), -EBUSY);
    rig_close_server(&rig);
    RIG_UNTIL(&rig, p->err == -ECONNRESET && (backlog->eof || backlog->err != 0));
}

static void test_close_with_everything_in_progress(void **state)
{
    (void)state;
    enum { BYTES = 6 << 20 };
    uint8_t *bytes = rig_pattern(BYTES);
    const char *const requests[] = {
        "garbage\r\n\r\n", /* lingers; first, since it needs an exchange too */
        "GET /part",       /* a head */
        GET_TEXT("/0"),    /* waits */
        "PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", /* a body */
        GET_TEXT("/2") GET_TEXT("/2"),                                /* answered aside */
        GET_TEXT("/3"),                                               /* borrowed */
        GET_TEXT("/4"),                                               /* streamed */
        GET_TEXT("/5") GET_TEXT("/5") "GET /par",                     /* parked */
    };
    enum { COUNT = sizeof requests / sizeof requests[0] };
    rig.server_cfg.exchanges_max = 7;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    struct rig_peer *p[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        p[i] = rig_dial_small(&rig, 4096);
        p[i]->stalled = true;
        rig_write_alone(&rig, p[i], requests[i], strlen(requests[i]));
    }
    rig_settle(&rig);
    assert_int_equal(rig.xs_count, 7);
    for (unsigned i = 0; i < rig.xs_count; i++) {
        struct rig_x *rx = &rig.xs[i];
        struct weir_response r = { .status = 200 };
        if (rx->target[1] == '2' && rig.xs[i - 1].target[1] == '2')
            rig_respond(rx, 200, "aside");
        if (rx->target[1] == '4')
            assert_int_equal(weir_exchange_begin(rx->x, &r), 0);
        while (rx->target[1] == '4' &&
               weir_exchange_write(rx->x, (struct weir_slice){ bytes, 50000 }) == 0)
            rig_pass(&rig);
        r.body = (struct weir_slice){ bytes, BYTES };
        r.how = WEIR_BODY_BORROW;
        if (rx->target[1] == '3')
            assert_int_equal(weir_exchange_respond(rx->x, &r), 0);
    }
    rig_settle(&rig);
    assert_int_equal(rig.xs_ended, 0);
    rig_close_server(&rig);
    for (unsigned i = 0; i < rig.xs_count; i++)
        assert_int_equal(rig.xs[i].err, WEIR_E_SHUTDOWN);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_configuration),
        RIG_TEST(test_address_and_date),
        RIG_TEST(test_unix_socket),
        RIG_TEST(test_conns_max),
        RIG_TEST(test_engine_slots),
        RIG_TEST(test_drain_nothing),
        RIG_TEST(test_drain),
        RIG_TEST(test_drain_after_the_answer),
        RIG_TEST(test_drain_deadline),
        RIG_TEST(test_drain_in_callbacks),
        RIG_TEST(test_close_after_drain),
        RIG_TEST(test_close_idle),
        RIG_TEST(test_close_with_everything_in_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
