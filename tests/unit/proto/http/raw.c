/* SPDX-License-Identifier: MIT */
/* Answers given up, ended by half, or written by the application; connections held or refused. */
#include "rig.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

static void write_text(struct rig_x *rx, const char *text)
{
    assert_int_equal(weir_exchange_write(rx->x, rig_slice(text)), 0);
}

static void begin_raw(struct rig_x *rx)
{
    assert_int_equal(weir_exchange_begin_raw(rx->x), 0);
    assert_int_equal(weir_exchange_begin_raw(rx->x), -EALREADY);
}

static void expect_reset(struct rig *r, struct rig_peer *p)
{
    RIG_UNTIL(r, p->eof || p->err != 0);
    assert_int_equal(p->err, -ECONNRESET);
}

/* ---- Bytes of the application's own ------------------------------------------------------ */

static void answer_odd(struct rig_x *rx)
{
    begin_raw(rx);
    write_text(rx, "HTTP/9.9 777 no such thing\r\n");
    write_text(rx, "\r\nzz\r\n");
    assert_int_equal(weir_exchange_finish(rx->x), 0);
}

static void test_bytes_as_they_are(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = answer_odd;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    for (int i = 0; i < 2; i++) { /* the connection lives on */
        rig_text(r, p, GET("/"));
        rig_expect(r, p, "HTTP/9.9 777 no such thing\r\n\r\nzz\r\n");
    }
    RIG_UNTIL(r, r->xs_ended == 2);
    assert_int_equal(r->xs[1].err, 0);
    rig_expect_nothing(r, p);
}

static void test_head_request_gets_raw_bytes(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = answer_odd;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_expect(r, p, "HTTP/9.9 777 no such thing\r\n\r\nzz\r\n");
}

static void test_closes_as_the_client_asked(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = answer_odd;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    rig_expect(r, p, "HTTP/9.9 777 no such thing\r\n\r\nzz\r\n");
    rig_expect_eof(r, p);
    assert_int_equal(r->xs[0].err, 0);
}

static void note_version(struct rig_x *rx)
{
    rx->step = (uint64_t)weir_exchange_version_minor(rx->x) * 2 + weir_exchange_closes(rx->x);
    rig_echo(rx);
}

static void test_says_whether_it_closes(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = note_version;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, GET("/"));
    RIG_UNTIL(r, r->xs_ended == 1);
    assert_int_equal(r->xs[0].step, 2);
    rig_text(r, p, "GET / HTTP/1.0\r\n\r\n");
    RIG_UNTIL(r, r->xs_ended == 2);
    assert_int_equal(r->xs[1].step, 1);
}

/* ---- Given up ---------------------------------------------------------------------------- */

static void answer_half_and_reset(struct rig_x *rx)
{
    begin_raw(rx);
    write_text(rx, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    weir_exchange_abort(rx->x, WEIR_ABORT_RST_SENT);
}

static void test_reset_behind_what_was_sent(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = answer_half_and_reset;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, GET("/"));
    expect_reset(r, p);
    assert_string_equal(rig_buf_str(&p->in), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    RIG_UNTIL(r, r->xs_ended == 1);
    assert_int_equal(r->xs[0].err, WEIR_E_CANCELLED);
}

static void test_reset_of_a_regular_answer(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = rig_wait;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, GET("/"));
    RIG_UNTIL(r, r->xs_count == 1);
    struct weir_response response = { .status = 200 };
    assert_int_equal(weir_exchange_begin(r->xs[0].x, &response), 0);
    write_text(&r->xs[0], "some");
    weir_exchange_abort(r->xs[0].x, WEIR_ABORT_RST_SENT);
    expect_reset(r, p);
    assert_non_null(strstr(rig_buf_str(&p->in), "some"));
    assert_null(strstr(rig_buf_str(&p->in), "\r\n0\r\n"));
}

static void second_is_cut(struct rig_x *rx)
{
    if (rx->index == 0)
        return;
    begin_raw(rx);
    write_text(rx, "cut");
    weir_exchange_abort(rx->x,
                        rx->rig->xs[0].target[1] == 'f' ? WEIR_ABORT_FIN : WEIR_ABORT_RST_SENT);
}

/* Those before it get their answers first. */
static void cut_in_turn(struct rig *r, const char *requests, bool reset)
{
    r->on_last = second_is_cut;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, requests);
    RIG_UNTIL(r, r->xs_count == 2);
    rig_expect_nothing(r, p);
    rig_respond(&r->xs[0], 200, "first");
    RIG_UNTIL(r, p->eof || p->err != 0);
    assert_int_equal(p->err, reset ? -ECONNRESET : 0);
    assert_string_equal(rig_buf_str(&p->in),
                        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstcut");
    rig_hang_up(p);
    RIG_UNTIL(r, r->xs_ended == 2);
    assert_int_equal(r->xs[0].err, 0);
    assert_int_equal(r->xs[1].err, WEIR_E_CANCELLED);
}

static void test_fin_waits_for_its_turn(void **state)
{
    (void)state;
    cut_in_turn(&rig, GET("/f") GET("/b") GET("/c"), false);
}

static void test_reset_waits_for_its_turn(void **state)
{
    (void)state;
    cut_in_turn(&rig, GET("/r") GET("/b"), true);
}

/* ---- Ended by half ----------------------------------------------------------------------- */

static void answer_by_half(struct rig_x *rx)
{
    begin_raw(rx);
    write_text(rx, "half");
    weir_exchange_shutdown(rx->x);
}

static void test_half_close_stays(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = answer_by_half;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, GET("/"));
    rig_expect(r, p, "half");
    rig_expect_eof(r, p);
    rig_text(r, p, GET("/more")); /* taken, and not looked at */
    rig_settle(r);
    assert_int_equal(r->xs_count, 1);
    assert_int_equal(r->xs_ended, 0);
    rig_hang_up(p);
    RIG_UNTIL(r, r->xs_ended == 1);
    assert_int_equal(r->xs[0].err, WEIR_E_CANCELLED);
}

static void test_half_close_is_ended(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = answer_by_half;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, GET("/"));
    rig_expect(r, p, "half");
    rig_expect_eof(r, p);
    weir_exchange_abort(r->xs[0].x, WEIR_ABORT_FIN);
    RIG_UNTIL(r, r->xs_ended == 1);
    assert_int_equal(rig_server_stats(r).conns_now, 0);
}

/* ---- A client that may be gone ------------------------------------------------------------ */

static void count_peer_end(struct rig_x *rx)
{
    rx->step++;
}

static void test_peer_end_is_told(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = rig_wait;
    r->on_peer_end = count_peer_end;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, GET("/a") GET("/b") GET("/c"));
    RIG_UNTIL(r, r->xs_count == 3);
    rig_respond(&r->xs[1], 200, "b"); /* has its answer, though it is not its turn */
    rig_half_close(p);
    RIG_UNTIL(r, r->xs[2].step == 1);
    assert_int_equal(r->xs[0].step, 1);
    assert_int_equal(r->xs[1].step, 0);
    rig_respond(&r->xs[0], 200, "a"); /* it may be answered all the same */
    weir_exchange_abort(r->xs[2].x, WEIR_ABORT_FIN);
    RIG_UNTIL(r, r->xs_ended == 3);
    assert_int_equal(r->xs[2].err, WEIR_E_CANCELLED);
}

/* ---- At the door ------------------------------------------------------------------------- */

static uint64_t reset_odd(struct rig *r, uint64_t number)
{
    (void)r;
    return number % 2 == 1 ? WEIR_ACCEPT_RESET : WEIR_ACCEPT_CLOSE;
}

static void test_refused_at_the_door(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_accept = reset_odd;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    expect_reset(r, p);
    struct rig_peer *q = rig_dial(r);
    rig_expect_eof(r, q);
    assert_int_equal(r->xs_count, 0);
    assert_int_equal(rig_server_stats(r).conns, 2);
    RIG_UNTIL(r, rig_server_stats(r).conns_now == 0);
}

#define HOLD_NS (30 * RIG_MS)

static uint64_t hold(struct rig *r, uint64_t number)
{
    (void)r;
    (void)number;
    return HOLD_NS;
}

static void test_held_at_the_door(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_accept = hold;
    rig_serve(r);
    uint64_t begin_ns = weir_clock_ns();
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, GET("/a") GET("/b"));
    RIG_UNTIL(r, r->xs_ended == 2);
    assert_true(weir_clock_ns() - begin_ns >= HOLD_NS);
    rig_expect(r, p, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nGET /a HTTP/1.1 200 OK");
    rig_text(r, p, GET("/c"));
    RIG_UNTIL(r, r->xs_ended == 3);
}

/* A client that went away in the meantime is noticed when its time has come. */
static void test_held_and_gone(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_accept = hold;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    RIG_UNTIL(r, rig_server_stats(r).conns_now == 1);
    rig_hang_up(p);
    RIG_UNTIL(r, rig_server_stats(r).conns_now == 0);
    assert_int_equal(r->xs_count, 0);
}

static void note_conn(struct rig_x *rx)
{
    rx->step = weir_exchange_conn(rx->x);
    rig_echo(rx);
}

static void test_connections_have_numbers(void **state)
{
    struct rig *r = &rig;
    (void)state;
    r->on_last = note_conn;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    rig_text(r, p, GET("/") GET("/"));
    RIG_UNTIL(r, r->xs_ended == 2);
    struct rig_peer *q = rig_dial(r);
    rig_text(r, q, GET("/"));
    RIG_UNTIL(r, r->xs_ended == 3);
    assert_int_equal(r->xs[0].step, 1);
    assert_int_equal(r->xs[1].step, 1);
    assert_int_equal(r->xs[2].step, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_bytes_as_they_are),
        RIG_TEST(test_head_request_gets_raw_bytes),
        RIG_TEST(test_closes_as_the_client_asked),
        RIG_TEST(test_says_whether_it_closes),
        RIG_TEST(test_reset_behind_what_was_sent),
        RIG_TEST(test_reset_of_a_regular_answer),
        RIG_TEST(test_fin_waits_for_its_turn),
        RIG_TEST(test_reset_waits_for_its_turn),
        RIG_TEST(test_half_close_stays),
        RIG_TEST(test_half_close_is_ended),
        RIG_TEST(test_peer_end_is_told),
        RIG_TEST(test_refused_at_the_door),
        RIG_TEST(test_held_at_the_door),
        RIG_TEST(test_held_and_gone),
        RIG_TEST(test_connections_have_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
