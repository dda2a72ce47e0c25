/* SPDX-License-Identifier: MIT */
/*
 * Answers from the application's memory: of every size, behind one another, ended in the middle.
 */
#include "body.h"

static void test_sizes(void **state)
{
    static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, MIB, 64 * MIB };
    (void)state;
    rig.on_request = lend_wanted;
    rig.on_end = loan_end;
    serve();
    struct rig_peer *p = rig_dial(&rig);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t zc_before = rig_engine_stats(&rig).zc_sends;
        ask(p, sizes[i]);
        read_answer(p, i, sizes[i]);
        RIG_UNTIL(&rig, rig.xs_ended == i + 1);
        assert_int_equal(rig.xs[i].err, 0);
        bool tried = rig_engine_stats(&rig).zc_sends > zc_before;
        assert_int_equal(tried, on_uring() && sizes[i] >= WEIR_ZC_BYTES_MIN);
    }
    check_returned();
    loans_free();
}

/* The policy as it is: tries and plain sends of one body mix. */
static void test_unforced(void **state)
{
    (void)state;
    rig.on_request = lend_wanted;
    rig.on_end = loan_end;
    open_engine();
    rig_serve(&rig);
    struct rig_peer *p = rig_dial_small(&rig, 64 * KIB);
    for (unsigned i = 0; i < 24; i++) {
        ask(p, MIB);
        read_answer(p, i, MIB);
    }
    check_returned();
    if (on_uring())
        assert_true(rig_engine_stats(&rig).zc_sends > 0);
    loans_free();
}

/* Bodies that leave in one send with their heads count, too: zero copy is tried again at last. */
static void test_tries_again(void **state)
{
    (void)state;
    rig.on_request = lend_wanted;
    rig.on_end = loan_end;
    open_engine();
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    for (unsigned i = 0; i < 60; i++) {
        ask(p, 64 * KIB);
        read_answer(p, i, 64 * KIB);
    }
    check_returned();
    if (on_uring())
        assert_in_range(rig_engine_stats(&rig).zc_sends, 3, 60);
    loans_free();
}

/* A socket that cannot send without copying: the kernel refuses, and the bytes go as ever. */
static void test_unix_socket(void **state)
{
    (void)state;
    rig.server_cfg.listen = on_uring() ? "unix:body-uring.sock" : "unix:body-epoll.sock";
    rig.on_request = lend_wanted;
    rig.on_end = loan_end;
    open_engine();
    rig_serve(&rig);
    struct rig_peer *p = rig_dial(&rig);
    for (unsigned i = 0; i < 3; i++) {
        ask(p, MIB);
        read_answer(p, i, MIB);
    }
    check_returned();
    assert_true(rig_engine_stats(&rig).zc_sends > 0 || !on_uring());
    loans_free();
    rig_close_server(&rig);
    unlink(rig.server_cfg.listen + strlen("unix:"));
}

/* ---- Behind one another ------------------------------------------------------------------ */

#define PIPELINED 24u

static size_t pipelined_bytes(unsigned i)
{
    uint64_t r = weir_random_u64(SEED, i, 0);
    return r % 3 == 0 ? r / 3 % 300 : r / 3 % (200 * KIB);
}

static bool pipelined_head(unsigned i)
{
    return i % 5 == 2;
}

static uint16_t pipelined_status(unsigned i)
{
    return i % 7 == 3 ? 204 : 200;
}

/* Answers given from the last to the first lie aside until it is their turn. */
static void test_pipelined(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    rig.on_request = rig_wait;
    rig.on_end = loan_end;
    serve();
    struct rig_peer *p = rig_dial_small(&rig, SMALL_RECEIVE);
    p->stalled = true;
    for (unsigned i = 0; i < PIPELINED; i++)
        rig_text(&rig, p,
                 pipelined_head(i)    ? "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
                 : i == PIPELINED - 1 ? "GET / HTTP/1.0\r\n\r\n"
                                      : GET_TEXT("/"));
    RIG_UNTIL(&rig, rig.xs_count == PIPELINED);
    for (unsigned i = PIPELINED; i-- > 0;)
        assert_int_equal(lend_status(&rig.xs[i], pipelined_status(i), pipelined_bytes(i)), 0);
    rig_settle(&rig);
    p->stalled = false;
    for (unsigned i = 0; i < PIPELINED; i++) {
        bool bodyless = pipelined_head(i) || pipelined_status(i) == 204;
        struct reader rd = { .peer = p, .at = i, .bodyless = bodyless };
        RIG_UNTIL(&rig, reader_done(&rd));
        assert_int_equal(rd.got, bodyless ? 0 : pipelined_bytes(i));
    }
    rig_expect_eof(&rig, p);
    check_returned();
    assert_int_equal(rig_server_stats(&rig).responses, PIPELINED);
    loans_free();
}

/* Peers that do not read keep more sends pending than there are records: the others are plain. */
static void test_more_than_records(void **state)
{
    enum { PEERS = 48, EACH = 16, BYTES = 16384 };
    (void)state;
    struct rig_peer *p[PEERS];
    rig.on_request = lend_wanted;
    rig.on_end = loan_end;
    serve();
    for (unsigned i = 0; i < PEERS; i++) {
        p[i] = rig_dial_small(&rig, SMALL_RECEIVE);
        p[i]->stalled = true;
    }
    for (unsigned k = 0; k < EACH; k++)
        for (unsigned i = 0; i < PEERS; i++) {
            ask(p[i], BYTES);
            RIG_UNTIL(&rig, rig.xs_count == k * PEERS + i + 1);
        }
    if (on_uring())
        RIG_UNTIL(&rig, rig_engine_stats(&rig).zc_pending_now == WEIR_ZC_SLOTS);
    rig_settle(&rig);
    if (on_uring())
        assert_true(rig.xs_ended < rig.xs_count);
    /* The sockets are counted without the records. */
    assert_int_equal(rig_engine_stats(&rig).conns_now, PEERS + 1);
    for (unsigned i = 0; i < PEERS; i++)
        p[i]->stalled = false;
    for (unsigned k = 0; k < EACH; k++)
        for (unsigned i = 0; i < PEERS; i++)
            read_answer(p[i], k * PEERS + i, BYTES);
    check_returned();
    loans_free();
}

/* An exchange whose memory the kernel still has is in progress: input waits for it, and goes on. */
static void test_exchanges_max(void **state)
{
    (void)state;
    rig.server_cfg.exchanges_max = 2;
    rig.on_request = lend_wanted;
    rig.on_end = loan_end;
    serve();
    struct rig_peer *slow = rig_dial_small(&rig, SMALL_RECEIVE);
    slow->stalled = true;
    ask(slow, 512 * KIB);
    ask(slow, 512 * KIB);
    RIG_UNTIL(&rig, rig.xs_count == 2);
    struct rig_peer *p = rig_dial(&rig);
    ask(p, 100);
    rig_settle(&rig);
    if (on_uring()) {
        assert_int_equal(rig.xs_ended, 0);
        assert_int_equal(rig.xs_count, 2);
    }
    slow->stalled = false;
    read_answer(slow, 0, 512 * KIB);
    read_answer(slow, 1, 512 * KIB);
    read_answer(p, 2, 100);
    check_returned();
    loans_free();
}

/* ---- Ends in the middle ---------------------------------------------------------------------- */

static void test_ends_whole(void **state)
{
    (void)state;
    rig.on_request = lend_wanted;
    rig.on_end = loan_end;
    for (unsigned how = 0; how < END_COUNT; how++)
        for (unsigned passes = 0; passes < 3; passes++)
            end_in_the_middle((enum ending)how, 5 * MIB, passes, loans_free);
}

static void drain_at_end(struct rig_x *rx)
{
    loan_end(rx);
    if (rx->index == 0)
        weir_server_drain(rig.server, 0, rig_on_drained);
}

/* The end of the first answer ends the server; the second, in progress, is still sent whole. */
static void test_drain_from_on_end(void **state)
{
    (void)state;
    rig.on_request = lend_wanted;
    rig.on_end = drain_at_end;
    serve();
    struct rig_peer *p = rig_dial(&rig);
    ask(p, 64 * KIB);
    ask(p, 3 * MIB);
    read_answer(p, 0, 64 * KIB);
    read_answer(p, 1, 3 * MIB);
    rig_expect_eof(&rig, p);
    RIG_UNTIL(&rig, rig.drained == 1);
    check_returned();
    loans_free();
}

static void lend_and_close(struct rig_x *rx)
{
    struct loan *loan = &loans[rx->index];
    *loan = (struct loan){ .mem = malloc(512 * KIB), .len = 512 * KIB };
    assert_non_null(loan->mem);
    pattern_fill(loan->mem, 0, loan->len);
    struct weir_response r = {
        .status = 200, .body = { loan->mem, loan->len }, .how = WEIR_BODY_BORROW, .close = true
    };
    assert_int_equal(weir_exchange_respond(rx->x, &r), 0);
}

/* The answer was handed to the kernel, the connection ended in order; its peer reads nothing. */
static struct rig_peer *leave_unread(void)
{
    rig.server_cfg.linger_timeout_ns = 20 * RIG_MS;
    rig.on_request = lend_and_close;
    rig.on_end = loan_end;
    serve();
    struct rig_peer *p = rig_dial_small(&rig, SMALL_RECEIVE);
    p->stalled = true;
    rig_text(&rig, p, GET_TEXT("/"));
    RIG_UNTIL(&rig, rig.xs_count == 1);
    rig_run_for(&rig, 60 * RIG_MS); /* beyond the linger time */
    return p;
}

/* The kernel keeps the memory for as long as it tries to send, minutes: what is left is reset. */
static void test_drain_unread(void **state)
{
    (void)state;
    struct rig_peer *p = leave_unread();
    weir_server_drain(rig.server, weir_clock_ns() + 50 * RIG_MS, rig_on_drained);
    uint64_t end = weir_clock_ns() + 500 * RIG_MS;
    while (rig.drained == 0 && weir_clock_ns() < end)
        rig_pass(&rig);
    unsigned drained = rig.drained;
    rig_reset(p); /* whatever the result is, nothing is waited for any longer */
    RIG_UNTIL(&rig, rig.drained == 1);
    check_returned();
    loans_free();
    assert_int_equal(drained, 1);
}

/* Breaks up a close that waits for the peer. */
static void on_patience_end(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    rig_reset(ctx);
}

static void test_close_unread(void **state)
{
    (void)state;
    struct rig_peer *p = leave_unread();
    struct weir_timer patience;
    weir_timer_init(&patience, on_patience_end, p);
    weir_timer_set(rig.engine, &patience, weir_clock_ns() + 500 * RIG_MS);
    rig_close_server(&rig);
    bool in_time = weir_timer_is_set(&patience);
    weir_timer_cancel(&patience);
    loans_free();
    assert_true(in_time);
}

/* ---- Registered memory ------------------------------------------------------------------- */

static struct weir_slice lent_part;

static void lend_part(struct rig_x *rx)
{
    struct weir_response r = { .status = 200, .body = lent_part, .how = WEIR_BODY_BORROW };
    assert_int_equal(weir_exchange_respond(rx->x, &r), 0);
}

static void check_register_errors(uint8_t *mem)
{
    assert_int_equal(weir_engine_register(rig.engine, (struct weir_slice){ 0 }), -EINVAL);
    struct weir_slice huge = { mem, (1u << 30) + 1 };
    assert_int_equal(weir_engine_register(rig.engine, huge), -EINVAL);
}

static void test_registered(void **state)
{
    enum { BYTES = 4 * MIB };
    (void)state;
    uint8_t *mem = aligned_alloc(4096, BYTES);
    assert_non_null(mem);
    pattern_fill(mem, 0, BYTES);
    rig.on_request = lend_part;
    serve();
    check_register_errors(mem);
    struct weir_slice half = { mem, BYTES / 2 };
    int number = weir_engine_register(rig.engine, half);
    if (number == WEIR_E_UNSUPPORTED || number == -ENOMEM) {
        assert_true(!on_uring() || number == -ENOMEM);
        free(mem);
        skip();
    }
    assert_true(number > 0);
    struct rig_peer *p = rig_dial(&rig);
    /* Inside, up to the end, across it, behind it; and when it is not registered any more. */
    const struct {
        size_t at, len;
    } parts[] = {
        { 0, BYTES / 2 },         { BYTES / 2 - 20000, 20000 },
        { BYTES / 4, BYTES / 2 }, { BYTES / 2, BYTES / 2 },
        { 17, 100000 },           { 0, BYTES / 2 },
    };
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (i == 5)
            weir_engine_unregister(rig.engine, number);
        lent_part = (struct weir_slice){ mem + parts[i].at, parts[i].len };
        ask(p, 0);
        read_answer(p, parts[i].at, parts[i].len);
        RIG_UNTIL(&rig, rig.xs_ended == i + 1);
    }
    check_returned();
    assert_true(rig_engine_stats(&rig).zc_sends >= 6);
    /* All places, and again after one was given back. */
    int last = 0;
    for (unsigned i = 0; i + 1 < WEIR_REGISTERED_MAX; i++) {
        last = weir_engine_register(rig.engine, (struct weir_slice){ mem + i * 4096, 4096 });
        assert_true(last > 0);
    }
    assert_int_equal(weir_engine_register(rig.engine, half), -ENOBUFS);
    weir_engine_unregister(rig.engine, last);
    assert_int_equal(weir_engine_register(rig.engine, half), last);
    rig_close_server(&rig);
    free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_sizes),         BOTH(test_unforced),     BOTH(test_tries_again),
        BOTH(test_unix_socket),   BOTH(test_pipelined),    BOTH(test_more_than_records),
        BOTH(test_exchanges_max), BOTH(test_ends_whole),   BOTH(test_drain_from_on_end),
        BOTH(test_drain_unread),  BOTH(test_close_unread), BOTH(test_registered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
