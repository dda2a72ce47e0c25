/* SPDX-License-Identifier: MIT */
/* Faulty answers among others: of other requests, in line, to slow readers, and to the end. */
#include "unit/mock/fault/wire_rig.h"

#include "proto/http/server_impl.h"

#include <weir/random.h>

#define LARGE_BYTES (4u << 20)

/* ---- The rest of HTTP -------------------------------------------------------------------- */

static void test_head_requests(void **state)
{
    struct rig *r = &rig;
    struct answer split = { .action = { .kind = FAULT_SPLIT, .bytes = 1000 }, .head = true };
    struct answer reset = { .action = { .kind = FAULT_RESET, AT_BYTES(3) }, .head = true };
    struct answer chunk = { .action = { .kind = FAULT_BAD_CHUNK, AT_BYTES(3) }, .head = true };
    struct answer stream = { .action = { .kind = FAULT_TRUNCATE, AT_TOKENS(1) },
                             .head = true,
                             .stream = true };
    (void)state;
    ask(r, &split, HEAD, PLAIN_HEAD, ALIVE);
    ask(r, &reset, HEAD, PLAIN_HEAD, RST);
    ask(r, &chunk, HEAD, STREAM_HEAD, FIN);
    ask(r, &stream, HEAD, STREAM_HEAD, FIN);
    assert_false(split.wire.cut || reset.wire.cut);
    assert_int_equal(split.wire.sent_bytes, 0);
}

static void test_no_content(void **state)
{
    struct rig *r = &rig;
    struct answer split = { .action = { .kind = FAULT_SPLIT, .bytes = 1000 }, .status = 204 };
    (void)state;
    ask(r, &split, GET, "HTTP/1.1 204 No Content\r\nContent-Type: text/x\r\n" FIELDS, ALIVE);
    assert_false(split.wire.cut);
}

#define GET_0   "GET / HTTP/1.0\r\n\r\n"
#define GET_0KA "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

static void test_http10(void **state)
{
    struct rig *r = &rig;
    struct answer plain = { .action = { .kind = FAULT_SPLIT, .bytes = 1000 } };
    struct answer stream = { .action = plain.action, .stream = true };
    struct answer chunk = { .action = { .kind = FAULT_BAD_CHUNK, AT_BYTES(6) } };
    (void)state;
    ask(r, &plain, GET_0KA,
        STATUS_LINE "Content-Length: 10\r\nConnection: keep-alive\r\n" FIELDS BODY, ALIVE);
    ask(r, &stream, GET_0KA, STATUS_LINE "Connection: close\r\n" FIELDS "aabbbccccddddd", FIN);
    assert_false(stream.wire.cut);
    assert_int_equal(stream.wire.sent_tokens, 4);
    assert_int_equal(stream.wire.sent_bytes, 14);
    ask(r, &chunk, GET_0, CLOSE_HEAD "012345", FIN);
    assert_true(chunk.wire.cut);
}

static void test_client_wants_close(void **state)
{
    struct rig *r = &rig;
    struct answer a = { .action = { .kind = FAULT_SPLIT, .bytes = 1000 } };
    (void)state;
    ask(r, &a, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", CLOSE_HEAD BODY, FIN);
    assert_int_equal(r->xs[0].err, 0);
}

static void second_in_line(struct rig *r, enum fault_kind kind, enum ending ending)
{
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    answers[0] = (struct answer){ .by_hand = true };
    answers[1] = (struct answer){ .action = { .kind = kind, AT_BYTES(3), .bytes = 5 } };
    rig_text(r, p, ending == ALIVE ? GET GET : GET GET GET);
    RIG_UNTIL(r, answers[1].overs == 1);
    rig_expect_nothing(r, p);
    rig_respond(&r->xs[0], 200, "first");
    RIG_UNTIL(r, ending == ALIVE ? r->xs_ended == 2 : p->eof || p->err != 0);
    rig_settle(r);
    drop_dates(&p->in);
    assert_int_equal(p->err, ending == RST ? -ECONNRESET : 0);
    rig_expect(r, p, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
    assert_string_equal(rig_buf_str(&p->in), ending == ALIVE ? PLAIN_HEAD BODY : PLAIN_HEAD "012");
    rig_hang_up(p);
    RIG_UNTIL(r, r->xs_ended == r->xs_count);
}

static void test_split_in_turn(void **state)
{
    (void)state;
    second_in_line(&rig, FAULT_SPLIT, ALIVE);
}

static void test_fin_in_turn(void **state)
{
    (void)state;
    answers[2].action = (struct fault_action){ .kind = FAULT_SPLIT, .bytes = 7 };
    second_in_line(&rig, FAULT_FIN, FIN);
}

static void test_reset_in_turn(void **state)
{
    (void)state;
    answers[2].action = (struct fault_action){ .kind = FAULT_SPLIT, .bytes = 7 };
    second_in_line(&rig, FAULT_RESET, RST);
}

static void test_half_close_in_turn(void **state)
{
    (void)state;
    second_in_line(&rig, FAULT_HALF_CLOSE, FIN);
}

/* One that follows on the same connection is answered after it. */
static void test_next_after_stall(void **state)
{
    struct rig *r = &rig;
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    answers[0].action =
        (struct fault_action){ .kind = FAULT_STALL, AT_BYTES(3), .duration_ns = 10 * RIG_MS };
    answers[1].by_hand = true;
    rig_text(r, p, GET GET);
    RIG_UNTIL(r, r->xs_count == 2);
    rig_respond(&r->xs[1], 200, "next");
    RIG_UNTIL(r, r->xs_ended == 2);
    rig_settle(r);
    drop_dates(&p->in);
    rig_expect(r, p, PLAIN_HEAD BODY "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
}

/* ---- Slow readers, short memory, the end ------------------------------------------------- */

static void slow_reader(struct rig *r, const struct fault_action *action)
{
    uint8_t *body = rig_pattern(LARGE_BYTES);
    rig_serve(r);
    struct rig_peer *p = rig_dial_small(r, 16384);
    answers[0] = (struct answer){ .action = *action, .body = { body, LARGE_BYTES } };
    p->stalled = true;
    rig_text(r, p, GET);
    RIG_UNTIL(r, r->xs_count == 1 && answers[0].wire.blocked);
    rig_settle(r);
    assert_true(answers[0].wire.sent_bytes < LARGE_BYTES);
    assert_int_equal(answers[0].overs, 0);
    assert_true(rig_engine_stats(r).send_chunks_now * 4096ull < 1u << 20);
    p->stalled = false;
    size_t head = sizeof LENGTH_HEAD(4194304) - 1;
    RIG_UNTIL(r, p->in.len == head + DATE_BYTES + LARGE_BYTES);
    drop_dates(&p->in);
    assert_int_equal(p->in.len, head + LARGE_BYTES);
    assert_memory_equal(p->in.ptr, LENGTH_HEAD(4194304), head);
    assert_memory_equal(p->in.ptr + head, body, LARGE_BYTES);
    RIG_UNTIL(r, r->xs_ended == 1);
    assert_int_equal(r->xs[0].err, 0);
    assert_int_equal(answers[0].overs, 1);
    assert_false(answers[0].wire.cut);
    free(body);
}

static void test_slow_reader(void **state)
{
    struct fault_action action = { .kind = FAULT_STALL, AT_BYTES(1), .duration_ns = RIG_MS };
    (void)state;
    slow_reader(&rig, &action);
}

static void test_slow_reader_of_a_bandwidth(void **state)
{
    struct fault_action action = { .kind = FAULT_BANDWIDTH, .bytes_per_s = 1000000000 };
    (void)state;
    slow_reader(&rig, &action);
}

static void test_slow_reader_of_pieces(void **state)
{
    struct fault_action action = { .kind = FAULT_SPLIT, .bytes = 300000 };
    (void)state;
    slow_reader(&rig, &action);
}

/* The time of a half close can be over before its client has read what comes before the end. */
static void test_half_close_of_a_slow_reader(void **state)
{
    struct rig *r = &rig;
    struct answer *a = &answers[0];
    uint8_t *body = rig_pattern(LARGE_BYTES);
    size_t written = 0;
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial_small(r, 16384);
    *a = (struct answer){
        .action = { .kind = FAULT_HALF_CLOSE, AT_TOKENS(1), .duration_ns = 5 * RIG_MS },
        .stream = true,
        .by_hand = true,
    };
    p->stalled = true;
    rig_text(r, p, GET);
    RIG_UNTIL(r, r->xs_count == 1);
    int small = 16384; /* or the kernel would take all of it */
    assert_int_equal(
        setsockopt(r->xs[0].x->session->conn->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    answer_begin(a, &r->xs[0]);
    for (; !a->wire.blocked && written < LARGE_BYTES; written += 32768) {
        wire_write(&a->wire, (struct weir_slice){ body + written, 32768 }, 0);
        rig_pass(r);
    }
    wire_write(&a->wire, WEIR_TEXT("last"), 1);
    assert_int_equal(a->overs, 0);
    p->stalled = false;
    RIG_UNTIL(r, a->overs == 1);
    p->stalled = true;
    rig_run_for(r, 15 * RIG_MS);
    assert_int_equal(r->xs_ended, 0);
    p->stalled = false;
    RIG_UNTIL(r, p->eof);
    assert_memory_equal(p->in.ptr + p->in.len - 6, "last\r\n", 6);
    RIG_UNTIL(r, r->xs_ended == 1); /* though this end stays open */
    free(body);
}

static void test_gone_while_blocked(void **state)
{
    struct rig *r = &rig;
    uint8_t *body = rig_pattern(LARGE_BYTES);
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial_small(r, 16384);
    answers[0] = (struct answer){ .action = { .kind = FAULT_STALL, AT_BYTES(1) },
                                  .body = { body, LARGE_BYTES } };
    p->stalled = true;
    rig_text(r, p, GET);
    RIG_UNTIL(r, r->xs_count == 1 && answers[0].wire.blocked);
    rig_hang_up(p);
    RIG_UNTIL(r, r->xs_ended == 1);
    assert_true(answers[0].wire.cut);
    assert_int_equal(answers[0].overs, 0);
    free(body);
}

/* The connection is going away before the answer is begun. */
static void test_begun_too_late(void **state)
{
    struct rig *r = &rig;
    struct answer *a = &answers[0];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    *a = (struct answer){ .action = { .kind = FAULT_SPLIT }, .by_hand = true };
    rig_text(r, p, GET);
    RIG_UNTIL(r, r->xs_count == 1);
    weir_exchange_abort(r->xs[0].x, WEIR_ABORT_RST);
    answer_begin(a, &r->xs[0]);
    assert_int_equal(a->overs, 1);
    answer_rest(a);
    assert_int_equal(a->overs, 1);
    assert_true(a->wire.cut);
    RIG_UNTIL(r, r->xs_ended == 1);
}

/* It goes away in the middle. */
static void test_lost_in_the_middle(void **state)
{
    struct rig *r = &rig;
    struct answer *a = &answers[0];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    *a = (struct answer){ .action = { .kind = FAULT_SPLIT, .bytes = 1000 },
                          .by_hand = true,
                          .stream = true };
    rig_text(r, p, GET);
    RIG_UNTIL(r, r->xs_count == 1);
    answer_begin(a, &r->xs[0]);
    wire_write(&a->wire, events[1].text, 1);
    rig_settle(r);
    weir_exchange_abort(r->xs[0].x, WEIR_ABORT_RST);
    wire_write(&a->wire, events[2].text, 1);
    wire_write(&a->wire, events[3].text, 2);
    assert_int_equal(a->overs, 1);
    assert_true(a->wire.cut);
    assert_int_equal(a->wire.sent_tokens, 1);
    RIG_UNTIL(r, r->xs_ended == 1);
}

/* What is written after the end is dropped; the wire may be released from on_over. */
static void test_released_when_over(void **state)
{
    struct rig *r = &rig;
    (void)state;
    rig_serve(r);
    for (unsigned i = 0; i < 4; i++) {
        static const struct fault_action actions[] = {
            { .kind = FAULT_RESET, AT_BYTES(3) },
            { .kind = FAULT_SPLIT, .bytes = 50 },
            { .kind = FAULT_SLOW_CLOSE, .duration_ns = FAULT_FOREVER },
            { .kind = FAULT_HALF_CLOSE, .duration_ns = 1000 * RIG_MS },
        };
        struct answer *a = &answers[i];
        *a = (struct answer){ .action = actions[i], .free_at_once = true };
        struct rig_peer *p = rig_dial(r);
        rig_text(r, p, GET);
        RIG_UNTIL(r, r->xs_count == i + 1 && a->overs == 1);
        assert_false(weir_timer_is_set(&a->wire.timer));
        if (i == 2) /* nobody ends it any more */
            weir_exchange_abort(r->xs[i].x, WEIR_ABORT_FIN);
        rig_settle(r);
        rig_hang_up(p);
        RIG_UNTIL(r, r->xs_ended == i + 1);
        assert_int_equal(a->overs, 1);
    }
}

/* Instead of going on: nothing more happens, and what to do with the exchange is the caller's. */
static void test_abandoned(void **state)
{
    struct rig *r = &rig;
    struct answer *a = &answers[0];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    a->action = (struct fault_action){ .kind = FAULT_STALL, AT_BYTES(3), .duration_ns = RIG_MS };
    rig_text(r, p, GET);
    RIG_UNTIL(r, a->begun);
    wire_abandon(&a->wire);
    assert_true(a->wire.over && a->wire.cut);
    wire_write(&a->wire, WEIR_TEXT("more"), 1);
    wire_writable(&a->wire);
    wire_finish(&a->wire);
    rig_run_for(r, 3 * RIG_MS);
    assert_int_equal(a->overs, 0);
    weir_exchange_abort(r->xs[0].x, WEIR_ABORT_RST_SENT);
    RIG_UNTIL(r, p->err == -ECONNRESET);
    drop_dates(&p->in);
    assert_string_equal(rig_buf_str(&p->in), PLAIN_HEAD "012");
    RIG_UNTIL(r, r->xs_ended == 1);
}

static void test_out_of_memory(void **state)
{
    struct rig *r = &rig;
    struct answer *a = &answers[0];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    *a = (struct answer){ .action = { .kind = FAULT_SPLIT, .bytes = 1000 }, .by_hand = true };
    rig_text(r, p, GET);
    RIG_UNTIL(r, r->xs_count == 1);
    answer_begin(a, &r->xs[0]);
    rig_settle(r);
    a->wire.pending.failed = true; /* as if it could not grow */
    wire_write(&a->wire, a->body, 0);
    assert_int_equal(a->overs, 1);
    assert_true(a->wire.cut);
    RIG_UNTIL(r, p->err == -ECONNRESET);
    drop_dates(&p->in);
    assert_string_equal(rig_buf_str(&p->in), PLAIN_HEAD);
    RIG_UNTIL(r, r->xs_ended == 1);
}

/* A head that cannot be written is none. */
static void test_bad_status(void **state)
{
    struct rig *r = &rig;
    struct answer a = { .action = { .kind = FAULT_SPLIT, .bytes = 9 }, .status = 99 };
    (void)state;
    ask(r, &a, GET, "", RST);
    assert_true(a.wire.cut);
}

/* ---- Anything ---------------------------------------------------------------------------- */

#define ROUNDS      40
#define EVENTS_MAX  24
#define EVENT_BYTES 3000u

static uint64_t seed, draws;

static uint64_t draw(uint64_t round, uint64_t below)
{
    return weir_random_u64(seed, round, draws++) % below;
}

static struct fault_action any_action(uint64_t round)
{
    static const enum fault_kind kinds[] = { FAULT_SPLIT, FAULT_COALESCE,  FAULT_STALL,
                                             FAULT_FIN,   FAULT_BANDWIDTH, FAULT_DRIBBLE };
    return (struct fault_action){
        .kind = kinds[round % (sizeof kinds / sizeof kinds[0])],
        .at = draw(round, 2) == 0 ? FAULT_AT_BYTES : FAULT_AT_TOKENS,
        .at_count = draw(round, draw(round, 2) == 0 ? 20 : 40000),
        .bytes = 1 + (uint32_t)draw(round, 2000),
        .chunks = (uint32_t)draw(round, 3),
        .events = (uint32_t)draw(round, 6),
        .interval_ns = draw(round, 200000),
        .duration_ns = draw(round, 2 * RIG_MS),
        .bytes_per_s = 2000000 + draw(round, 100000000),
    };
}

/* One event for the wire, and as it should arrive. */
static void any_event(struct answer *a, struct rig_buf *whole, uint64_t round)
{
    uint8_t bytes[EVENT_BYTES];
    char size[16];
    size_t len = 1 + draw(round, draw(round, 2) == 0 ? 20 : EVENT_BYTES);
    uint8_t first = (uint8_t)draw(round, 256);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + i * 7);
    (void)snprintf(size, sizeof size, "%zx\r\n", len);
    rig_buf_text(whole, size);
    rig_buf_add(whole, bytes, len);
    rig_buf_text(whole, "\r\n");
    wire_write(&a->wire, (struct weir_slice){ bytes, len }, (uint32_t)draw(round, 3));
}

/*
 * Whatever the pace, the pieces and the reader: what arrives are the bytes of the answer in their
 * order, all of them unless it is cut.
 */
static void test_anything(void **state)
{
    struct rig *r = &rig;
    (void)state;
    seed = getenv("WEIR_SEED") != NULL ? strtoull(getenv("WEIR_SEED"), NULL, 10) : 20261121;
    draws = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    rig_serve(r);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct answer *a = &answers[0];
        struct rig_buf whole = { 0 };
        r->xs_count = r->xs_ended = 0;
        *a = (struct answer){ .action = any_action(round), .stream = true, .by_hand = true };
        struct rig_peer *p = rig_dial_small(r, 4096);
        rig_text(r, p, GET);
        RIG_UNTIL(r, r->xs_count == 1);
        answer_begin(a, &r->xs[0]);
        rig_buf_text(&whole, STREAM_HEAD);
        for (uint64_t left = draw(round, EVENTS_MAX); left > 0;) {
            p->stalled = draw(round, 3) == 0;
            if (draw(round, 2) == 0)
                rig_pass(r);
            else if (left-- > 0)
                any_event(a, &whole, round);
        }
        wire_finish(&a->wire);
        rig_buf_text(&whole, LAST);
        p->stalled = false;
        RIG_UNTIL(r, a->overs == 1 &&
                         (p->eof || (!a->wire.cut && p->in.len >= whole.len + DATE_BYTES)));
        rig_settle(r);
        drop_dates(&p->in);
        if (a->wire.cut ? p->in.len >= whole.len : p->in.len != whole.len)
            fail_msg("round %llu: %zu of %zu bytes", (unsigned long long)round, p->in.len,
                     whole.len);
        assert_memory_equal(rig_buf_str(&p->in), whole.ptr, p->in.len);
        assert_true(!a->wire.cut || a->action.kind == FAULT_FIN);
        rig_hang_up(p);
        RIG_UNTIL(r, r->xs_ended == 1 && rig_server_stats(r).conns_now == 0);
        rig_buf_free(&whole);
        rig_buf_free(&r->xs[0].body);
    }
    r->xs_count = r->xs_ended = ROUNDS;
    memset(r->xs, 0, sizeof r->xs[0] * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WIRE_TEST(test_head_requests),
        WIRE_TEST(test_no_content),
        WIRE_TEST(test_http10),
        WIRE_TEST(test_client_wants_close),
        WIRE_TEST(test_split_in_turn),
        WIRE_TEST(test_fin_in_turn),
        WIRE_TEST(test_reset_in_turn),
        WIRE_TEST(test_half_close_in_turn),
        WIRE_TEST(test_next_after_stall),
        WIRE_TEST(test_slow_reader),
        WIRE_TEST(test_slow_reader_of_a_bandwidth),
        WIRE_TEST(test_slow_reader_of_pieces),
        WIRE_TEST(test_half_close_of_a_slow_reader),
        WIRE_TEST(test_gone_while_blocked),
        WIRE_TEST(test_begun_too_late),
        WIRE_TEST(test_lost_in_the_middle),
        WIRE_TEST(test_released_when_over),
        WIRE_TEST(test_abandoned),
        WIRE_TEST(test_out_of_memory),
        WIRE_TEST(test_bad_status),
        WIRE_TEST(test_anything),
    };
    int failed = 0;
    RUN_WIRE_TESTS(failed, tests);
    return failed;
}
