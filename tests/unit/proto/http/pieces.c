/* SPDX-License-Identifier: MIT */
/*
 * Streamed answers of pieces that are not copied, driven from on_free and on_writable.
 */
#include "body.h"

/* ---- Streams of pieces ------------------------------------------------------------------- */

#define LANES     4u
#define PIECE_MAX (400u * KIB) /* above what a connection may have queued */

struct stream;

struct lane {
    struct stream *stream;
    struct weir_piece piece;
    uint8_t *mem;
    size_t len;
    bool out; /* the server has it */
};

/* An answer of pieces, each written as soon as a lane is free and there is room. */
struct stream {
    struct rig_x *rx;
    struct lane lanes[LANES];
    uint64_t at, left, draw;
    unsigned written, freed, lost, refused;
    bool finished;
    void (*on_free)(struct stream *stream); /* NULL: go on */
};

static struct stream streams[8];

static size_t piece_bytes(struct stream *st)
{
    static const size_t edges[] = { 1, 16383, 16384, 16385, 4096, 256u * KIB };
    uint64_t r = weir_random_u64(SEED, st->rx->index, st->draw++);
    size_t n = r % 3 == 0   ? edges[r / 3 % (sizeof edges / sizeof edges[0])]
               : r % 3 == 1 ? r / 3 % 64 + 1
                            : r / 3 % PIECE_MAX + 1;
    return n < st->left ? n : st->left;
}

static void piece_on_free(struct weir_piece *piece, int err);

static void stream_finish(struct stream *st)
{
    int rc = weir_exchange_finish(st->rx->x);
    st->finished = rc == 0;
    if (rc != 0)
        assert_true(rc == -ENOBUFS || rc == -EPIPE);
}

/* Write what can be: called when there may be room, or a lane is free. */
static void stream_go(struct stream *st)
{
    if (st->rx->x == NULL || st->finished)
        return;
    for (unsigned i = 0; i < LANES && st->left > 0; i++) {
        struct lane *lane = &st->lanes[i];
        if (lane->out)
            continue;
        lane->len = piece_bytes(st);
        pattern_fill(lane->mem, st->at, lane->len);
        lane->piece = (struct weir_piece){ .data = { lane->mem, lane->len },
                                           .on_free = piece_on_free,
                                           .user = lane };
        int rc = weir_exchange_write_piece(st->rx->x, &lane->piece);
        if (rc < 0) {
            assert_true(rc == -ENOBUFS || rc == -EPIPE);
            st->refused++;
            return;
        }
        lane->out = true;
        st->at += lane->len;
        st->left -= lane->len;
        st->written++;
    }
    if (st->left == 0)
        stream_finish(st);
}

static void piece_on_free(struct weir_piece *piece, int err)
{
    struct lane *lane = piece->user;
    struct stream *st = lane->stream;
    assert_ptr_equal(piece, &lane->piece);
    assert_true(lane->out);
    assert_true(err == 0 || err == WEIR_E_CLOSED);
    lane->out = false;
    st->freed++;
    st->lost += err != 0;
    memset(lane->mem, OVERWRITE, lane->len);
    memset(piece, OVERWRITE, sizeof *piece);
    if (st->on_free != NULL)
        st->on_free(st);
    else
        stream_go(st);
}

static void stream_writable(struct rig_x *rx)
{
    stream_go(&streams[rx->index]);
}

static void stream_begin(struct rig_x *rx)
{
    struct stream *st = &streams[rx->index];
    struct weir_response head = { .status = 200 };
    void (*on_free)(struct stream *) = st->on_free;
    assert_true(rx->index < sizeof streams / sizeof streams[0]);
    *st = (struct stream){ .rx = rx, .at = rx->index, .on_free = on_free };
    st->left = strtoull(rx->target + 1, NULL, 10);
    for (unsigned i = 0; i < LANES; i++) {
        st->lanes[i] = (struct lane){ .stream = st, .mem = malloc(PIECE_MAX) };
        assert_non_null(st->lanes[i].mem);
    }
    assert_int_equal(weir_exchange_begin(rx->x, &head), 0);
    stream_go(st);
}

/* Every piece came back, once. */
static void streams_check(void)
{
    for (unsigned i = 0; i < rig.xs_count; i++) {
        struct stream *st = &streams[i];
        assert_int_equal(st->written, st->freed);
        for (unsigned k = 0; k < LANES; k++) {
            assert_false(st->lanes[k].out);
            free(st->lanes[k].mem);
        }
    }
    memset(streams, 0, sizeof streams);
}

static void serve_streams(void)
{
    print_message("seed %u\n", SEED);
    rig.on_request = stream_begin;
    rig.on_writable = stream_writable;
    serve();
}

static void test_stream(void **state)
{
    enum { BYTES = 8 * MIB };
    (void)state;
    serve_streams();
    struct rig_peer *p = rig_dial(&rig);
    ask(p, BYTES);
    read_answer(p, 0, BYTES);
    /* A reader that stops until the server has nothing left to do, again and again. */
    struct rig_peer *slow = rig_dial_small(&rig, SMALL_RECEIVE);
    struct reader rd = { .peer = slow, .at = 1 };
    ask(slow, BYTES / 4);
    RIG_UNTIL(&rig, rig.xs_count == 2);
    while (!rd.done) {
        slow->stalled = true;
        rig_settle(&rig);
        slow->stalled = false;
        uint64_t got = rd.got;
        RIG_UNTIL(&rig, reader_done(&rd) || rd.got > got);
    }
    assert_int_equal(rd.got, BYTES / 4);
    check_returned();
    assert_true(streams[1].refused > 0);
    assert_true(rig.xs[1].writables > 0);
    assert_int_equal(streams[0].lost + streams[1].lost, 0);
    streams_check();
}

/* Aside first, and until the connection's end. */
static void test_stream_out_of_turn(void **state)
{
    (void)state;
    serve_streams();
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, GET_TEXT("/300000") GET_TEXT("/500000") "GET /2000000 HTTP/1.0\r\n\r\n");
    read_answer(p, 0, 300000);
    read_answer(p, 1, 500000);
    read_answer(p, 2, 2000000);
    rig_expect_eof(&rig, p);
    check_returned();
    assert_int_equal(rig.xs[2].err, 0);
    streams_check();
}

static void never_free(struct weir_piece *piece, int err)
{
    fail_msg("on_free of a piece that was refused: %p, %d", (void *)piece, err);
}

static void refuse_pieces(struct rig_x *rx)
{
    struct weir_response r = { .status = strcmp(rx->target, "/204") == 0 ? 204 : 200 };
    struct weir_piece piece = { .data = WEIR_TEXT("x"), .on_free = never_free };
    assert_int_equal(weir_exchange_write_piece(rx->x, &piece), -EINVAL); /* not begun */
    assert_int_equal(weir_exchange_begin(rx->x, &r), 0);
    if (rx->index < 2)
        assert_int_equal(weir_exchange_write_piece(rx->x, &piece), -EINVAL); /* no body */
    piece.data.len = 0;
    assert_int_equal(weir_exchange_write_piece(rx->x, &piece), -EINVAL);
    piece = (struct weir_piece){ .data = WEIR_TEXT("x") };
    assert_int_equal(weir_exchange_write_piece(rx->x, &piece), -EINVAL);
    assert_int_equal(weir_exchange_finish(rx->x), 0);
    piece.on_free = never_free;
    assert_int_equal(weir_exchange_write_piece(rx->x, &piece), -EINVAL); /* finished */
}

static void test_pieces_refused(void **state)
{
    (void)state;
    rig.on_request = refuse_pieces;
    serve();
    struct rig_peer *p = rig_dial(&rig);
    rig_text(&rig, p, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" GET_TEXT("/204") GET_TEXT("/"));
    for (unsigned i = 0; i < 3; i++) {
        struct reader rd = { .peer = p, .bodyless = i < 2 };
        RIG_UNTIL(&rig, reader_done(&rd));
        assert_int_equal(rd.got, 0);
    }
    check_returned();
}

/* ---- Tiny pieces ------------------------------------------------------------------------- */

#define TINY_MAX 4096u

static struct weir_piece tiny[TINY_MAX];
static unsigned tiny_written, tiny_freed;

static void tiny_on_free(struct weir_piece *piece, int err)
{
    (void)err;
    assert_ptr_equal(piece->user, piece);
    piece->user = NULL;
    tiny_freed++;
}

static void tiny_fill(struct rig_x *rx)
{
    int rc = 0;
    if (strcmp(rx->target, "/tiny") != 0) {
        rig_respond(rx, 200, "fed");
        return;
    }
    assert_int_equal(weir_exchange_begin(rx->x, &(struct weir_response){ .status = 200 }), 0);
    tiny_written = tiny_freed = 0;
    while (rc == 0 && tiny_written < TINY_MAX) {
        struct weir_piece *piece = &tiny[tiny_written];
        *piece =
            (struct weir_piece){ .data = { pattern, 1 }, .on_free = tiny_on_free, .user = piece };
        rc = weir_exchange_write_piece(rx->x, piece);
        tiny_written += rc == 0;
    }
    assert_true(rc == 0 || rc == -ENOBUFS);
}

/* However small the pieces are, one connection does not take the output memory of all. */
static void test_tiny_pieces(void **state)
{
    (void)state;
    rig.on_request = tiny_fill;
    serve();
    struct rig_peer *slow = rig_dial(&rig);
    struct rig_peer *p = rig_dial(&rig);
    slow->stalled = true;
    RIG_UNTIL(&rig, rig_server_stats(&rig).conns_now == 2);
    rig_text(&rig, slow, GET_TEXT("/tiny"));
    rig_text(&rig, p, GET_TEXT("/"));
    rig_expect(&rig, p, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nfed");
    rig_reset(slow);
    RIG_UNTIL(&rig, tiny_freed == tiny_written);
    check_returned();
}

/* ---- Ends in the middle ---------------------------------------------------------------------- */

static void test_ends_streamed(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    rig.on_request = stream_begin;
    rig.on_writable = stream_writable;
    for (unsigned how = 0; how < END_COUNT; how++)
        for (unsigned passes = 0; passes < 3; passes++)
            end_in_the_middle((enum ending)how, 5 * MIB, passes, streams_check);
}

static void abort_at_third(struct stream *st)
{
    if (st->freed == 3 && st->rx->x != NULL)
        weir_exchange_abort(st->rx->x, WEIR_ABORT_RST);
    else
        stream_go(st);
}

/* The end given by the callback that gives a piece back. */
static void test_abort_from_on_free(void **state)
{
    (void)state;
    streams[0].on_free = abort_at_third;
    serve_streams();
    struct rig_peer *p = rig_dial(&rig);
    ask(p, 32 * MIB);
    RIG_UNTIL(&rig, rig.xs_count == 1 && rig.xs_ended == 1);
    assert_int_equal(rig.xs[0].err, WEIR_E_CANCELLED);
    check_returned();
    assert_true(streams[0].freed >= 3);
    streams_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_stream),      BOTH(test_stream_out_of_turn), BOTH(test_pieces_refused),
        BOTH(test_tiny_pieces), BOTH(test_ends_streamed),      BOTH(test_abort_from_on_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
