/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the wire share: a server whose answers are faulty as a test says, and clients
 * that compare what arrives to the byte. All of it runs on one thread, on each kind of ring.
 */
#ifndef TESTS_UNIT_MOCK_FAULT_WIRE_RIG_H
#define TESTS_UNIT_MOCK_FAULT_WIRE_RIG_H

#include "mock/fault/wire.h"

#include "unit/proto/http/rig.h"

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

#define STATUS_LINE "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n"
#define FIELDS      "X-A: b\r\n\r\n"
#define PLAIN_HEAD  STATUS_LINE "Content-Length: 10\r\n" FIELDS
#define CLOSE_HEAD  STATUS_LINE "Content-Length: 10\r\nConnection: close\r\n" FIELDS
#define STREAM_HEAD STATUS_LINE "Transfer-Encoding: chunked\r\n" FIELDS
#define BODY        "0123456789"
#define CHUNKS      "2\r\naa\r\n3\r\nbbb\r\n4\r\ncccc\r\n5\r\nddddd\r\n"
#define LAST        "0\r\n\r\n"

#define ANSWERS_MAX 4u

/* One answer: what it is, and what became of it. */
struct answer {
    struct fault_action action;
    struct wire wire;
    struct weir_slice body; /* NULL: BODY, or the events of a stream */
    uint16_t status;        /* 0: 200 */
    bool stream, head;
    bool by_hand; /* the test writes it */
    bool begun, free_at_once;
    unsigned overs;
    uint64_t over_ns;
};

static struct answer answers[ANSWERS_MAX];
static enum weir_ring_kind ring_kind;

/* The events of a stream: "aa" has no token, "ddddd" two. */
static const struct {
    struct weir_slice text;
    uint32_t tokens;
} events[] = {
    { { (const uint8_t *)"aa", 2 }, 0 },
    { { (const uint8_t *)"bbb", 3 }, 1 },
    { { (const uint8_t *)"cccc", 4 }, 1 },
    { { (const uint8_t *)"ddddd", 5 }, 2 },
};

/* ---- The server's side ------------------------------------------------------------------- */

static inline void on_over(struct wire *wire, void *ctx)
{
    struct answer *a = ctx;
    assert_ptr_equal(wire, &a->wire);
    assert_true(wire->over);
    a->overs++;
    a->over_ns = weir_clock_ns();
    if (a->free_at_once)
        wire_abandon(wire);
}

static inline void answer_begin(struct answer *a, struct rig_x *rx)
{
    struct weir_header headers[] = { { WEIR_TEXT("X-A"), WEIR_TEXT("b") } };
    if (a->body.ptr == NULL)
        a->body = WEIR_TEXT(BODY);
    struct wire_start start = {
        .exchange = rx->x,
        .action = &a->action,
        .seed = 11,
        .key = 12,
        .status = a->status != 0 ? a->status : 200,
        .head = a->head,
        .content_type = WEIR_TEXT("text/x"),
        .headers = headers,
        .headers_count = 1,
        .body_bytes = a->stream ? -1 : (int64_t)a->body.len,
        .tokens_count = a->stream ? 4 : 0,
        .on_over = on_over,
        .ctx = a,
    };
    a->begun = true;
    wire_begin(&a->wire, &start);
}

static inline void answer_rest(struct answer *a)
{
    if (a->stream)
        for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
            wire_write(&a->wire, events[i].text, events[i].tokens);
    else
        wire_write(&a->wire, a->body, 0);
    wire_finish(&a->wire);
}

static inline void on_last(struct rig_x *rx)
{
    struct answer *a = &answers[rx->index];
    assert_true(rx->index < ANSWERS_MAX);
    if (a->by_hand)
        return;
    answer_begin(a, rx);
    answer_rest(a);
}

static inline void on_writable(struct rig_x *rx)
{
    wire_writable(&answers[rx->index].wire);
}

/* Whoever has a wire takes a client that ends its direction for gone. */
static inline void on_peer_end(struct rig_x *rx)
{
    weir_exchange_abort(rx->x, WEIR_ABORT_FIN);
}

static inline void on_end(struct rig_x *rx)
{
    struct answer *a = &answers[rx->index];
    if (!a->begun)
        return;
    wire_abandon(&a->wire);
    wire_abandon(&a->wire);
    assert_true(a->wire.over);
    assert_false(weir_timer_is_set(&a->wire.timer));
    assert_null(a->wire.pending.ptr);
    assert_null(a->wire.spans.ptr);
}

static inline int setup(void **state)
{
    memset(answers, 0, sizeof answers);
    rig_setup(state);
    rig.engine_cfg.ring = ring_kind;
    rig.server_cfg.linger_timeout_ns = 20 * RIG_MS;
    rig.on_last = on_last;
    rig.on_writable = on_writable;
    rig.on_peer_end = on_peer_end;
    rig.on_end = on_end;
    return 0;
}

/* ---- The client's side ------------------------------------------------------------------- */

/* What Date says changes; that it is one and where it is does not. */
static inline void drop_dates(struct rig_buf *in)
{
    char *at = NULL;
    while (in->ptr != NULL && (at = memmem(in->ptr, in->len, "Date: ", 6)) != NULL) {
        size_t line = 6 + WEIR_HTTP1_DATE_BYTES + 2, offset = (size_t)(at - in->ptr);
        assert_true(in->len - offset >= line);
        assert_memory_equal(at + line - 5, "GMT\r\n", 5);
        assert_int_equal(at[9], ',');
        memmove(at, at + line, in->len - offset - line + 1);
        in->len -= line;
    }
}

enum ending { ALIVE, FIN, RST };

/* Exactly that arrives, and then that happens to the connection. */
static inline void expect(struct rig *r, struct rig_peer *p, const char *text, enum ending ending)
{
    if (ending == ALIVE) {
        RIG_UNTIL(r, answers[r->xs_count - 1].overs == 1);
        RIG_UNTIL(r, r->xs_ended == r->xs_count);
        rig_settle(r);
    } else {
        RIG_UNTIL(r, p->eof || p->err != 0);
    }
    drop_dates(&p->in);
    assert_string_equal(rig_buf_str(&p->in), text);
    assert_int_equal(p->err, ending == RST ? -ECONNRESET : 0);
    assert_int_equal(p->eof, ending == FIN);
    rig_buf_drop(&p->in, p->in.len);
}

/* Ask once on a new connection for the answer of this action. */
static inline struct rig_peer *ask(struct rig *r, struct answer *a, const char *request,
                                   const char *text, enum ending ending)
{
    struct answer *mine = &answers[r->xs_count];
    assert_true(r->xs_count < ANSWERS_MAX);
    if (r->server == NULL)
        rig_serve(r);
    *mine = *a;
    struct rig_peer *p = rig_dial(r);
    unsigned before = r->xs_count;
    rig_text(r, p, request);
    RIG_UNTIL(r, r->xs_count > before);
    expect(r, p, text, ending);
    assert_int_equal(mine->overs, 1);
    if (ending != ALIVE) {
        rig_hang_up(p);
        RIG_UNTIL(r, r->xs_ended == r->xs_count);
        assert_int_equal(mine->overs, 1);
    }
    *a = *mine;
    return p;
}

#define AT_BYTES(count)    .at = FAULT_AT_BYTES, .at_count = (count)
#define AT_TOKENS(count)   .at = FAULT_AT_TOKENS, .at_count = (count)
#define AT_FRACTION(share) .at = FAULT_AT_FRACTION, .at_fraction = (share)

#define DATE_BYTES     (6 + WEIR_HTTP1_DATE_BYTES + 2)
#define LENGTH_HEAD(n) STATUS_LINE "Content-Length: " #n "\r\n" FIELDS

#define WIRE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)

/* Run the tests on each kind of ring. */
#define RUN_WIRE_TESTS(failed, tests)                                                              \
    do {                                                                                           \
        ring_kind = WEIR_RING_AUTO;                                                                \
        failed = cmocka_run_group_tests_name("auto", (tests), NULL, NULL);                         \
        ring_kind = WEIR_RING_EPOLL;                                                               \
        failed += cmocka_run_group_tests_name("epoll", (tests), NULL, NULL);                       \
    } while (0)

#endif
