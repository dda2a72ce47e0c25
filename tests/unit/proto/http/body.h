/* SPDX-License-Identifier: MIT */
/*
 * What the tests of memory that is not copied share. They run on both rings; on io_uring every
 * large part leaves by a zero-copy send, whatever the kernel reported about the ones before.
 *
 * The application's memory is overwritten as soon as it is its own again. What the peers get is
 * compared with the pattern it was filled with, so a byte that was still needed shows.
 */
#ifndef WEIR_TESTS_UNIT_PROTO_HTTP_BODY_H
#define WEIR_TESTS_UNIT_PROTO_HTTP_BODY_H

#include "rig.h"

#include "proto/http/server_impl.h"

#include <inttypes.h>
#include <weir/random.h>

#define KIB         1024u
#define MIB         (1024u * KIB)
#define OVERWRITE   0xee
#define SEED        20250611u
#define GET_TEXT(t) "GET " t " HTTP/1.1\r\nHost: h\r\n\r\n"
/*
 * Of a peer's socket: what it does not read beyond that stays with the sender. A segment of the
 * loopback device fits, or the sender would wait for its probe timer again and again.
 */
#define SMALL_RECEIVE (64 * KIB)

/* ---- The pattern ------------------------------------------------------------------------- */

#define PERIOD 16381u /* prime */
static uint8_t pattern[2 * PERIOD];

static inline void pattern_fill(uint8_t *out, uint64_t at, size_t len)
{
    while (len > 0) {
        size_t n = len < PERIOD ? len : PERIOD;
        memcpy(out, pattern + at % PERIOD, n);
        out += n;
        at += n;
        len -= n;
    }
}

static inline void pattern_check(const uint8_t *bytes, uint64_t at, size_t len)
{
    while (len > 0) {
        size_t n = len < PERIOD ? len : PERIOD;
        if (memcmp(bytes, pattern + at % PERIOD, n) != 0)
            assert_memory_equal(bytes, pattern + at % PERIOD, n);
        bytes += n;
        at += n;
        len -= n;
    }
}

/* ---- Rings ------------------------------------------------------------------------------- */

/* Runs in every pass between the reports of the kernel and the sends: the next send is a try. */
static inline void force_run(struct weir_ready *ready)
{
    if (rig.server == NULL)
        return;
    rig.server->zc = (struct weir_zc_policy){ 0 };
    weir_ready_push(&rig.engine->ready, ready);
}

static struct weir_ready force;

static inline int setup(void **state, enum weir_ring_kind ring)
{
    for (unsigned i = 0; i < 2 * PERIOD; i++)
        pattern[i] = (uint8_t)(i % PERIOD * 2654435761u >> 13);
    (void)rig_setup(state);
    rig.engine_cfg.ring = ring;
    force.run = force_run;
    weir_list_init(&force.link);
    return 0;
}

static inline int setup_uring(void **state)
{
    return setup(state, WEIR_RING_URING);
}

static inline int setup_epoll(void **state)
{
    return setup(state, WEIR_RING_EPOLL);
}

static inline bool on_uring(void)
{
    return rig.engine_cfg.ring == WEIR_RING_URING;
}

static inline void open_engine(void)
{
    int rc = weir_engine_open(&rig.engine, &rig.engine_cfg);
    if (rc == -ENOSYS || rc == -EPERM)
        skip(); /* io_uring is forbidden here */
    assert_int_equal(rc, 0);
}

static inline void serve(void)
{
    open_engine();
    rig_serve(&rig);
    if (on_uring())
        weir_ready_push(&rig.engine->ready, &force);
}

/* Nothing of the application's is with the server or the kernel any more. */
static inline void check_returned(void)
{
    RIG_UNTIL(&rig, rig_engine_stats(&rig).zc_pending_now == 0);
    RIG_UNTIL(&rig, rig.xs_ended == rig.xs_count && rig.server->borrows_now == 0);
    assert_int_equal(rig_server_stats(&rig).exchanges_now, 0);
    struct weir_engine_stats stats = rig_engine_stats(&rig);
    assert_true(stats.zc_copied <= stats.zc_sends);
    if (!on_uring())
        assert_int_equal(stats.zc_sends, 0);
}

/* ---- Reading answers --------------------------------------------------------------------- */

/* Takes an answer apart while it arrives. */
struct reader {
    struct rig_peer *peer;
    uint64_t at;   /* in the pattern, of the first byte of the body */
    uint64_t got;  /* bytes of it */
    bool bodyless; /* whatever the head says */
    bool in_body, to_end, done;
    struct weir_http1_body body;
};

static inline bool reader_head(struct reader *rd)
{
    struct rig_buf *in = &rd->peer->in;
    char *end = strstr(rig_buf_str(in), "\r\n\r\n");
    if (end == NULL)
        return false;
    *end = '\0';
    assert_memory_equal(in->ptr, "HTTP/1.1 20", 11);
    const char *length = strstr(in->ptr, "\r\nContent-Length: ");
    bool chunked = strstr(in->ptr, "\r\nTransfer-Encoding: chunked") != NULL;
    uint64_t bytes = 0;
    if (length != NULL)
        assert_int_equal(sscanf(length + 18, "%" SCNu64, &bytes), 1);
    weir_http1_body_init(&rd->body, chunked ? WEIR_HTTP1_BODY_CHUNKED : WEIR_HTTP1_BODY_LENGTH,
                         bytes);
    rd->to_end = !chunked && length == NULL;
    rd->in_body = true;
    rd->done = rd->bodyless || (length != NULL && bytes == 0);
    rig_buf_drop(in, (size_t)(end - in->ptr) + 4);
    return true;
}

static inline void reader_got(struct reader *rd, const uint8_t *bytes, size_t len)
{
    pattern_check(bytes, rd->at + rd->got, len);
    rd->got += len;
}

/* Look at what came. @return is the answer complete? */
static inline bool reader_done(struct reader *rd)
{
    struct rig_buf *in = &rd->peer->in;
    if (rd->done || (!rd->in_body && !reader_head(rd)))
        return rd->done;
    size_t at = 0;
    while (at < in->len && !rd->done) {
        struct weir_slice rest = { (const uint8_t *)in->ptr + at, in->len - at };
        struct weir_slice piece = rest;
        struct weir_parse_err err;
        size_t used = rest.len;
        if (!rd->to_end) {
            enum weir_parse r = weir_http1_body_feed(&rd->body, rest, &used, &piece, &err);
            assert_int_not_equal(r, WEIR_PARSE_ERROR);
            rd->done = r == WEIR_PARSE_DONE;
            if (used == 0 && !rd->done)
                break;
        }
        reader_got(rd, piece.ptr, piece.len);
        at += used;
    }
    rig_buf_drop(in, at);
    rd->done |= rd->to_end && rd->peer->eof;
    return rd->done;
}

static inline void read_answer(struct rig_peer *p, uint64_t at, uint64_t bytes)
{
    struct reader rd = { .peer = p, .at = at };
    RIG_UNTIL(&rig, reader_done(&rd));
    assert_int_equal(rd.got, bytes);
}

/* ---- Whole answers ----------------------------------------------------------------------- */

struct loan {
    uint8_t *mem;
    size_t len;
};

/* Of each request; given back in on_end, released when the test is over. */
static struct loan loans[RIG_X_MAX];

static inline void loan_end(struct rig_x *rx)
{
    struct loan *loan = &loans[rx->index];
    if (loan->len > 0)
        memset(loan->mem, OVERWRITE, loan->len);
}

static inline void loans_free(void)
{
    for (unsigned i = 0; i < RIG_X_MAX; i++) {
        free(loans[i].mem);
        loans[i] = (struct loan){ 0 };
    }
}

static inline int lend_status(struct rig_x *rx, uint16_t status, size_t len)
{
    struct loan *loan = &loans[rx->index];
    *loan = (struct loan){ .mem = malloc(len + 1), .len = len };
    assert_non_null(loan->mem);
    pattern_fill(loan->mem, rx->index, len);
    struct weir_response r = { .status = status,
                               .body = { loan->mem, len },
                               .how = WEIR_BODY_BORROW };
    return weir_exchange_respond(rx->x, &r);
}

static inline void lend(struct rig_x *rx, size_t len)
{
    assert_int_equal(lend_status(rx, 200, len), 0);
}

/* The target is the number of bytes wanted. */
static inline void lend_wanted(struct rig_x *rx)
{
    lend(rx, strtoull(rx->target + 1, NULL, 10));
}

static inline void ask(struct rig_peer *p, size_t bytes)
{
    char text[96];
    (void)snprintf(text, sizeof text, GET_TEXT("/%zu"), bytes);
    rig_text(&rig, p, text);
}

/* ---- Ends in the middle ------------------------------------------------------------------ */

enum ending {
    END_PEER_RESET,
    END_ABORT_RST,
    END_ABORT_FIN,
    END_DRAIN,       /* with a deadline that comes first */
    END_DRAIN_WHOLE, /* without */
    END_CLOSE,
    END_COUNT
};

static inline void end_now(enum ending how, struct rig_peer *p)
{
    switch (how) {
    case END_PEER_RESET:
        rig_reset(p);
        break;
    case END_ABORT_RST:
    case END_ABORT_FIN:
        if (rig.xs[0].x != NULL)
            weir_exchange_abort(rig.xs[0].x,
                                how == END_ABORT_RST ? WEIR_ABORT_RST : WEIR_ABORT_FIN);
        p->stalled = false;
        break;
    case END_DRAIN:
        weir_server_drain(rig.server, weir_clock_ns() + 20 * RIG_MS, rig_on_drained);
        break;
    case END_DRAIN_WHOLE:
        weir_server_drain(rig.server, 0, rig_on_drained);
        p->stalled = false;
        break;
    default:
        rig_close_server(&rig);
        break;
    }
}

/* A peer that reads nothing, and the end in the middle of `bytes`; then all is as before. `check`
 * looks at the books. */
static inline void end_in_the_middle(enum ending how, size_t bytes, unsigned passes,
                                     void (*check)(void))
{
    enum weir_ring_kind ring = rig.engine_cfg.ring;
    rig_hook *on_request = rig.on_request, *on_end = rig.on_end, *on_writable = rig.on_writable;
    rig.server_cfg.linger_timeout_ns = 20 * RIG_MS; /* the peer does not end its side */
    serve();
    struct rig_peer *p = rig_dial_small(&rig, SMALL_RECEIVE);
    p->stalled = true;
    ask(p, bytes);
    ask(p, bytes); /* behind it */
    RIG_UNTIL(&rig, rig.xs_count == 2);
    for (unsigned i = 0; i < passes; i++)
        rig_pass(&rig);
    end_now(how, p);
    RIG_UNTIL(&rig, rig.xs_ended == 2);
    if (how == END_DRAIN || how == END_DRAIN_WHOLE)
        RIG_UNTIL(&rig, rig.drained == 1);
    if (how == END_DRAIN_WHOLE)
        assert_int_equal(rig.xs[1].err, 0);
    if (rig.server != NULL)
        check_returned();
    check();
    rig_close(&rig);
    rig_init(&rig);
    weir_list_init(&force.link);
    rig.engine_cfg.ring = ring;
    rig.on_request = on_request;
    rig.on_end = on_end;
    rig.on_writable = on_writable;
}

/* The test on either ring, with the ring in its name. */
#define ON(f, ring)                                                                                \
    {                                                                                              \
#f "/" #ring, f, setup_##ring, rig_teardown, NULL                                          \
    }
#define BOTH(f) ON(f, uring), ON(f, epoll)

#endif
