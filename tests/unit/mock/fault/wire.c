/* SPDX-License-Identifier: MIT */
/* Each kind of fault as it arrives at a socket: to the byte, and how the connection ends. */
#include "mock/fault/wire.c"

#include "unit/mock/fault/wire_rig.h"

#define RATE_BYTES_S 100000u

/* A row of a table: an action, what arrives, and what the wire says of it. */
struct row {
    bool stream, cut;
    unsigned bytes, tokens;
    const char *text;
    enum ending ending;
    struct fault_action action;
};

#define PLAIN  false
#define STREAM true
/* Then how much of the body was sent, what arrived, how the connection ended, and the action. */
#define CUT(stream, bytes, tokens, text, ending, ...)                                              \
    {                                                                                              \
        stream, true, bytes, tokens, text, ending,                                                 \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define WHOLE(stream, bytes, tokens, text, ending, ...)                                            \
    {                                                                                              \
        stream, false, bytes, tokens, text, ending,                                                \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static void run_rows(struct rig *r, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct answer a = { .action = rows[i].action, .stream = rows[i].stream };
        r->xs_count = r->xs_ended = 0;
        struct rig_peer *p = ask(r, &a, GET, rows[i].text, rows[i].ending);
        if (a.wire.cut != rows[i].cut || a.wire.sent_bytes != rows[i].bytes ||
            a.wire.sent_tokens != rows[i].tokens)
            print_error("row %zu\n", i);
        assert_int_equal(a.wire.cut, rows[i].cut);
        assert_int_equal(a.wire.sent_bytes, rows[i].bytes);
        assert_int_equal(a.wire.sent_tokens, rows[i].tokens);
        if (rows[i].ending == ALIVE)
            rig_hang_up(p);
        /* The books of the rig are of all rows, those of this loop of one. */
        rig_buf_free(&r->xs[0].body);
    }
    RIG_UNTIL(r, rig_server_stats(r).conns_now == 0);
    r->xs_count = r->xs_ended = (unsigned)count;
    memset(r->xs, 0, sizeof r->xs[0] * count);
}

#define RUN_ROWS(r, rows) run_rows((r), (rows), sizeof(rows) / sizeof((rows)[0]))

/* ---- Kinds ------------------------------------------------------------------------------- */

static void test_which_kinds(void **state)
{
    unsigned count = 0;
    (void)state;
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++)
        count += wire_does((enum fault_kind)kind);
    assert_int_equal(count, 15);
    assert_false(wire_does(FAULT_NONE));
    assert_false(wire_does(FAULT_STATUS));
    assert_false(wire_does(FAULT_DELAY));
    assert_false(wire_does(FAULT_DROP_DONE));
    assert_true(wire_does(FAULT_RESET));
}

static void test_ends_of_plain_answers(void **state)
{
    static const struct row rows[] = {
        CUT(PLAIN, 0, 0, "", FIN, .kind = FAULT_FIN, .at = FAULT_AT_BEFORE_HEADERS),
        CUT(PLAIN, 0, 0, PLAIN_HEAD, FIN, .kind = FAULT_FIN, .at = FAULT_AT_AFTER_HEADERS),
        CUT(PLAIN, 0, 0, PLAIN_HEAD, FIN, .kind = FAULT_FIN, AT_BYTES(0)),
        CUT(PLAIN, 1, 0, PLAIN_HEAD "0", FIN, .kind = FAULT_FIN, AT_BYTES(1)),
        WHOLE(PLAIN, 10, 0, PLAIN_HEAD BODY, FIN, .kind = FAULT_FIN, AT_BYTES(10)),
        WHOLE(PLAIN, 10, 0, PLAIN_HEAD BODY, FIN, .kind = FAULT_FIN, AT_BYTES(11)),
        CUT(PLAIN, 3, 0, PLAIN_HEAD "012", FIN, .kind = FAULT_FIN, AT_FRACTION(0.39)),
        CUT(PLAIN, 5, 0, PLAIN_HEAD "01234", FIN, .kind = FAULT_FIN, AT_TOKENS(3)),
        CUT(PLAIN, 0, 0, "", RST, .kind = FAULT_RESET, .at = FAULT_AT_BEFORE_HEADERS),
        CUT(PLAIN, 0, 0, PLAIN_HEAD, RST, .kind = FAULT_RESET, .at = FAULT_AT_AFTER_HEADERS),
        CUT(PLAIN, 9, 0, PLAIN_HEAD "012345678", RST, .kind = FAULT_RESET, AT_BYTES(9)),
        WHOLE(PLAIN, 10, 0, PLAIN_HEAD BODY, RST, .kind = FAULT_RESET, AT_FRACTION(1)),
        CUT(PLAIN, 5, 0, PLAIN_HEAD "01234", FIN, .kind = FAULT_TRUNCATE, AT_FRACTION(0.5)),
        CUT(PLAIN, 9, 0, PLAIN_HEAD "012345678", FIN, .kind = FAULT_TRUNCATE, AT_FRACTION(1)),
        CUT(PLAIN, 2, 0, PLAIN_HEAD "01", RST, .kind = FAULT_TRUNCATE, AT_BYTES(2), .rst = true),
    };
    (void)state;
    RUN_ROWS(&rig, rows);
}

static void test_ends_of_streams(void **state)
{
    static const struct row rows[] = {
        CUT(STREAM, 0, 0, "", FIN, .kind = FAULT_FIN, .at = FAULT_AT_BEFORE_HEADERS),
        CUT(STREAM, 0, 0, STREAM_HEAD, FIN, .kind = FAULT_FIN, .at = FAULT_AT_AFTER_HEADERS),
        CUT(STREAM, 0, 0, STREAM_HEAD, FIN, .kind = FAULT_FIN, AT_TOKENS(0)),
        CUT(STREAM, 5, 1, STREAM_HEAD "2\r\naa\r\n3\r\nbbb\r\n", FIN, .kind = FAULT_FIN,
            AT_TOKENS(1)),
        CUT(STREAM, 14, 4, STREAM_HEAD CHUNKS, RST, .kind = FAULT_RESET, AT_TOKENS(3)),
        WHOLE(STREAM, 14, 4, STREAM_HEAD CHUNKS LAST, RST, .kind = FAULT_RESET, AT_TOKENS(5)),
        CUT(STREAM, 9, 2, STREAM_HEAD "2\r\naa\r\n3\r\nbbb\r\n4\r\ncccc\r\n", RST,
            .kind = FAULT_RESET, AT_FRACTION(0.5)),
        CUT(STREAM, 4, 0, STREAM_HEAD "2\r\naa\r\n3\r\nbb", RST, .kind = FAULT_RESET, AT_BYTES(4)),
        CUT(STREAM, 5, 1, STREAM_HEAD "2\r\naa\r\n3\r\nbbb\r\n", FIN, .kind = FAULT_FIN,
            AT_BYTES(5)),
        CUT(STREAM, 5, 1, STREAM_HEAD "2\r\naa\r\n3\r\nbbb\r\n", FIN, .kind = FAULT_TRUNCATE,
            AT_FRACTION(0.25)),
        CUT(STREAM, 14, 4, STREAM_HEAD CHUNKS, FIN, .kind = FAULT_TRUNCATE, AT_TOKENS(99)),
        CUT(STREAM, 1, 0, STREAM_HEAD "2\r\na", RST, .kind = FAULT_TRUNCATE, AT_BYTES(1),
            .rst = true),
    };
    (void)state;
    RUN_ROWS(&rig, rows);
}

#define EMPTY_HEAD STATUS_LINE "Content-Length: 0\r\nConnection: close\r\n" FIELDS

static void test_empty_and_partial(void **state)
{
    const char *partial = "HTTP/1.1 200";
    const struct row rows[] = {
        CUT(PLAIN, 0, 0, EMPTY_HEAD, FIN, .kind = FAULT_EMPTY),
        CUT(STREAM, 0, 0, EMPTY_HEAD, FIN, .kind = FAULT_EMPTY),
        CUT(PLAIN, 0, 0, EMPTY_HEAD, RST, .kind = FAULT_EMPTY, .rst = true),
        CUT(PLAIN, 0, 0, "", FIN, .kind = FAULT_EMPTY, .no_headers = true),
        CUT(STREAM, 0, 0, "", RST, .kind = FAULT_EMPTY, .no_headers = true, .rst = true),
        CUT(PLAIN, 0, 0, partial, FIN, .kind = FAULT_PARTIAL_HEADERS, .bytes = 12),
        CUT(STREAM, 0, 0, partial, RST, .kind = FAULT_PARTIAL_HEADERS, .bytes = 12, .rst = true),
    };
    (void)state;
    RUN_ROWS(&rig, rows);
}

/* Half of the head if nothing is said, and never all of it. */
static void test_partial_lengths(void **state)
{
    struct rig *r = &rig;
    const size_t whole = sizeof PLAIN_HEAD - 1 + 6 + WEIR_HTTP1_DATE_BYTES + 2;
    static const uint32_t asked[] = { 0, 1000000, 1 };
    const size_t got[] = { whole / 2, whole - 1, 1 };
    (void)state;
    rig_serve(r);
    for (size_t i = 0; i < 3; i++) {
        answers[i].action =
            (struct fault_action){ .kind = FAULT_PARTIAL_HEADERS, .bytes = asked[i] };
        struct rig_peer *p = rig_dial(r);
        rig_text(r, p, GET);
        RIG_UNTIL(r, p->eof);
        assert_int_equal(p->in.len, got[i]);
        rig_hang_up(p);
        RIG_UNTIL(r, r->xs_ended == i + 1);
        assert_true(answers[i].wire.cut);
    }
}

static void test_bad_chunk(void **state)
{
    static const struct row rows[] = {
        CUT(PLAIN, 10, 0, STREAM_HEAD "5\r\n01234\r\nzz\r\n56789\r\n", FIN, .kind = FAULT_BAD_CHUNK,
            AT_FRACTION(0.5)),
        CUT(PLAIN, 10, 0, STREAM_HEAD "zz\r\n" BODY "\r\n", FIN, .kind = FAULT_BAD_CHUNK,
            AT_BYTES(0)),
        CUT(PLAIN, 10, 0, STREAM_HEAD "9\r\n012345678\r\nzz\r\n9\r\n", FIN, .kind = FAULT_BAD_CHUNK,
            AT_BYTES(99)),
        CUT(STREAM, 5, 0, STREAM_HEAD "2\r\naa\r\nzz\r\nbbb\r\n", FIN, .kind = FAULT_BAD_CHUNK,
            AT_BYTES(3)),
        CUT(STREAM, 9, 1, STREAM_HEAD "2\r\naa\r\n3\r\nbbb\r\nzz\r\ncccc\r\n", FIN,
            .kind = FAULT_BAD_CHUNK, AT_TOKENS(1)),
        CUT(STREAM, 14, 4, STREAM_HEAD CHUNKS "zz\r\n\r\n", RST, .kind = FAULT_BAD_CHUNK,
            AT_FRACTION(1), .rst = true),
    };
    (void)state;
    RUN_ROWS(&rig, rows);
}

static void test_wrong_length(void **state)
{
    static const struct row rows[] = {
        CUT(PLAIN, 10, 0, LENGTH_HEAD(15) BODY, FIN, .kind = FAULT_WRONG_LENGTH, .length_delta = 5),
        WHOLE(PLAIN, 10, 0, LENGTH_HEAD(6) BODY, FIN, .kind = FAULT_WRONG_LENGTH,
              .length_delta = -4),
        WHOLE(PLAIN, 10, 0, LENGTH_HEAD(0) BODY, FIN, .kind = FAULT_WRONG_LENGTH,
              .length_delta = -4000),
        CUT(STREAM, 14, 4,
            STREAM_HEAD "3\r\naa\r\n"
                        "3\r\nbbb\r\n4\r\ncccc\r\n5\r\nddddd\r\n" LAST,
            FIN, .kind = FAULT_WRONG_LENGTH, .length_delta = 1),
        CUT(STREAM, 14, 4,
            STREAM_HEAD "1\r\naa\r\n"
                        "3\r\nbbb\r\n4\r\ncccc\r\n5\r\nddddd\r\n" LAST,
            FIN, .kind = FAULT_WRONG_LENGTH, .length_delta = -7),
    };
    (void)state;
    RUN_ROWS(&rig, rows);
}

static void test_garbage(void **state)
{
    struct rig *r = &rig;
    struct answer text = { .action = { .kind = FAULT_GARBAGE, .body = (char *)"\x01 not HTTP\n" } };
    struct answer reset = text;
    reset.action.rst = true;
    (void)state;
    ask(r, &text, GET, "\x01 not HTTP\n", FIN);
    assert_true(text.wire.cut);
    assert_int_equal(text.wire.sent_bytes, 0);
    ask(r, &reset, GET, "\x01 not HTTP\n", RST);
    /* As many random bytes as are asked for, the same each time. */
    struct rig_peer *p[2];
    for (unsigned i = 0; i < 2; i++) {
        answers[r->xs_count].action =
            (struct fault_action){ .kind = FAULT_GARBAGE, .bytes = 1000003 };
        p[i] = rig_dial(r);
        rig_text(r, p[i], GET);
        RIG_UNTIL(r, p[i]->eof);
        assert_int_equal(p[i]->in.len, 1000003);
    }
    assert_memory_equal(p[0]->in.ptr, p[1]->in.ptr, p[0]->in.len);
    unsigned ones = 0;
    for (size_t i = 0; i < p[0]->in.len; i++)
        ones += (unsigned)__builtin_popcount((uint8_t)p[0]->in.ptr[i]);
    assert_in_range(ones, 3990000, 4010000);
}

/* ---- Time -------------------------------------------------------------------------------- */

/* The last of `count` bytes that arrive one wait after the other: how many came in each pass. */
static size_t watch(struct rig *r, struct rig_peer *p, size_t count, size_t *lens, size_t max)
{
    size_t n = 0, before = p->in.len;
    uint64_t until = weir_clock_ns() + RIG_WAIT;
    while (p->in.len < count) {
        assert_true(weir_clock_ns() < until);
        rig_pass(r);
        if (p->in.len > before) {
            assert_true(n < max);
            lens[n++] = p->in.len - before;
            before = p->in.len;
        }
    }
    assert_int_equal(p->in.len, count);
    return n;
}

static void test_split(void **state)
{
    struct rig *r = &rig;
    size_t lens[256];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    answers[0].action = (struct fault_action){ .kind = FAULT_SPLIT, .bytes = 4 };
    answers[1] = (struct answer){ .action = answers[0].action, .stream = true };
    rig_text(r, p, GET);
    size_t head = sizeof PLAIN_HEAD - 1 + DATE_BYTES;
    size_t n = watch(r, p, head + 10, lens, 256);
    assert_int_equal(n, (head + 3) / 4 + 3);
    for (size_t i = 0; i < n; i++)
        assert_true(lens[i] <= 4);
    assert_int_equal(lens[n - 1], 2);
    assert_int_equal(lens[n - 2], 4);
    expect(r, p, PLAIN_HEAD BODY, ALIVE);
    assert_false(answers[0].wire.cut);
    /* The connection lives on. No send has parts of two events: 7, 8, 9 and 10 bytes, and 5. */
    rig_text(r, p, GET);
    head = sizeof STREAM_HEAD - 1 + DATE_BYTES;
    n = watch(r, p, head + 39, lens, 256);
    static const size_t ends[] = { 4, 3, 4, 4, 4, 4, 1, 4, 4, 2, 4, 1 };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        assert_int_equal(lens[n - sizeof ends / sizeof ends[0] + i], ends[i]);
    expect(r, p, STREAM_HEAD CHUNKS LAST, ALIVE);
    assert_int_equal(answers[1].wire.sent_tokens, 4);
}

static void test_split_with_interval(void **state)
{
    struct rig *r = &rig;
    size_t lens[16];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    answers[0] =
        (struct answer){ .action = { .kind = FAULT_SPLIT, .bytes = 60, .interval_ns = 5 * RIG_MS },
                         .stream = true };
    uint64_t begin = weir_clock_ns();
    rig_text(r, p, GET);
    size_t head = sizeof STREAM_HEAD - 1 + DATE_BYTES; /* two sends, and five of the body */
    size_t n = watch(r, p, head + 39, lens, 16);
    assert_int_equal(n, 7);
    assert_true(weir_clock_ns() - begin >= 6 * 5 * RIG_MS);
    expect(r, p, STREAM_HEAD CHUNKS LAST, ALIVE);
}

static void test_coalesce(void **state)
{
    struct rig *r = &rig;
    struct answer *a = &answers[0];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    *a = (struct answer){ .action = { .kind = FAULT_COALESCE, .events = 2 },
                          .stream = true,
                          .by_hand = true };
    rig_text(r, p, GET);
    RIG_UNTIL(r, r->xs_count == 1);
    answer_begin(a, &r->xs[0]);
    rig_settle(r);
    drop_dates(&p->in);
    rig_expect(r, p, STREAM_HEAD);
    wire_write(&a->wire, events[0].text, 0);
    rig_expect_nothing(r, p);
    assert_int_equal(a->wire.sent_bytes, 0);
    wire_write(&a->wire, events[1].text, 1);
    rig_expect(r, p, "2\r\naa\r\n3\r\nbbb\r\n");
    wire_write(&a->wire, events[2].text, 1);
    rig_expect_nothing(r, p);
    wire_finish(&a->wire);
    expect(r, p, "4\r\ncccc\r\n" LAST, ALIVE);
    assert_false(a->wire.cut);
    assert_int_equal(a->wire.sent_tokens, 2);
}

/* Where the answer stops for a while, and how much of it is there then. */
static void test_stall(void **state)
{
    static const struct {
        struct fault_action action;
        bool stream;
        const char *before, *behind;
        unsigned bytes, tokens;
    } rows[] = {
        { { .at = FAULT_AT_BEFORE_HEADERS }, false, "", PLAIN_HEAD BODY, 0, 0 },
        { { .at = FAULT_AT_AFTER_HEADERS }, false, PLAIN_HEAD, BODY, 0, 0 },
        { { AT_BYTES(4) }, false, PLAIN_HEAD "0123", "456789", 4, 0 },
        { { AT_FRACTION(0.5) }, false, PLAIN_HEAD "01234", "56789", 5, 0 },
        { { .at = FAULT_AT_BEFORE_HEADERS }, true, "", STREAM_HEAD CHUNKS LAST, 0, 0 },
        { { AT_TOKENS(1) },
          true,
          STREAM_HEAD "2\r\naa\r\n3\r\nbbb\r\n",
          "4\r\ncccc\r\n5\r\nddddd\r\n" LAST,
          5,
          1 },
        { { AT_FRACTION(1) }, true, STREAM_HEAD CHUNKS, LAST, 14, 4 },
        { { AT_BYTES(6) },
          true,
          STREAM_HEAD "2\r\naa\r\n3\r\nbbb\r\n4\r\nc",
          "ccc\r\n5\r\nddddd\r\n" LAST,
          6,
          1 },
    };
    struct rig *r = &rig;
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer *a = &answers[0];
        *a = (struct answer){ .action = rows[i].action, .stream = rows[i].stream };
        a->action.kind = FAULT_STALL;
        a->action.duration_ns = 60 * RIG_MS;
        r->xs_count = r->xs_ended = 0;
        rig_text(r, p, GET); /* of all rows on one connection, which lives on */
        RIG_UNTIL(r, r->xs_count == 1);
        uint64_t begin = weir_clock_ns();
        RIG_UNTIL(r, a->wire.state == WIRE_STALLED);
        rig_settle(r);
        drop_dates(&p->in);
        assert_string_equal(rig_buf_str(&p->in), rows[i].before);
        assert_int_equal(a->wire.sent_bytes, rows[i].bytes);
        assert_int_equal(a->wire.sent_tokens, rows[i].tokens);
        rig_buf_drop(&p->in, p->in.len);
        expect(r, p, rows[i].behind, ALIVE);
        assert_true(weir_clock_ns() - begin >= 59 * RIG_MS);
        assert_false(a->wire.cut);
        rig_buf_free(&r->xs[0].body);
    }
    size_t count = sizeof rows / sizeof rows[0];
    r->xs_count = r->xs_ended = (unsigned)count;
    memset(r->xs, 0, sizeof r->xs[0] * count);
}

static void test_stall_that_is_not_reached(void **state)
{
    struct rig *r = &rig;
    struct answer a = { .action = {
                            .kind = FAULT_STALL, AT_BYTES(11), .duration_ns = FAULT_FOREVER } };
    (void)state;
    ask(r, &a, GET, PLAIN_HEAD BODY, ALIVE);
    assert_false(a.wire.cut);
}

/* A client that goes in a stall for ever: by a close, which is seen, or a reset, which is told. */
static void test_stall_for_ever(void **state)
{
    struct rig *r = &rig;
    (void)state;
    rig_serve(r);
    for (unsigned i = 0; i < 3; i++) {
        struct answer *a = &answers[i];
        *a = (struct answer){
            .action = { .kind = FAULT_STALL, AT_TOKENS(1), .duration_ns = FAULT_FOREVER },
            .stream = true,
        };
        struct rig_peer *p = rig_dial(r);
        rig_text(r, p, GET);
        RIG_UNTIL(r, p->in.len == sizeof STREAM_HEAD - 1 + DATE_BYTES + 15);
        rig_run_for(r, 15 * RIG_MS);
        assert_int_equal(a->overs, 0);
        if (i == 0)
            rig_half_close(p);
        else if (i == 1)
            rig_hang_up(p);
        else
            rig_reset(p);
        if (i == 0) {
            RIG_UNTIL(r, p->eof);
            rig_hang_up(p);
        }
        RIG_UNTIL(r, r->xs_ended == i + 1);
        assert_int_equal(a->overs, 0);
        assert_true(a->wire.cut);
        assert_int_equal(a->wire.sent_tokens, 1);
    }
}

static void test_dribble(void **state)
{
    struct rig *r = &rig;
    size_t lens[64];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    /* In 4 pieces, the first at once: 3, 2, 3, 2 bytes. */
    answers[0].action =
        (struct fault_action){ .kind = FAULT_DRIBBLE, .chunks = 4, .interval_ns = 6 * RIG_MS };
    size_t head = sizeof PLAIN_HEAD - 1 + DATE_BYTES;
    uint64_t begin = weir_clock_ns();
    rig_text(r, p, GET);
    size_t n = watch(r, p, head + 10, lens, 64);
    assert_int_equal(n, 4);
    assert_int_equal(lens[0], head + 3);
    assert_int_equal(lens[1], 2);
    assert_int_equal(lens[2], 3);
    assert_int_equal(lens[3], 2);
    assert_true(weir_clock_ns() - begin >= 3 * 6 * RIG_MS);
    expect(r, p, PLAIN_HEAD BODY, ALIVE);
    /* In more pieces than it has bytes. */
    answers[1].action = (struct fault_action){ .kind = FAULT_DRIBBLE, .chunks = 99 };
    rig_text(r, p, GET);
    assert_int_equal(watch(r, p, head + 10, lens, 64), 10);
    expect(r, p, PLAIN_HEAD BODY, ALIVE);
    /* By bytes, of a stream, across its events. */
    answers[2] =
        (struct answer){ .action = { .kind = FAULT_DRIBBLE, .bytes = 13 }, .stream = true };
    rig_text(r, p, GET);
    assert_int_equal(watch(r, p, sizeof STREAM_HEAD - 1 + DATE_BYTES + 39, lens, 64), 4);
    assert_int_equal(lens[0], sizeof STREAM_HEAD - 1 + DATE_BYTES + 7); /* all that there was */
    assert_int_equal(lens[1], 13);
    assert_int_equal(lens[2], 13);
    expect(r, p, STREAM_HEAD CHUNKS LAST, ALIVE);
    /* Each event of a stream in pieces: 3+3+1, 3+3+2, 3+3+3, 4+4+2, 2+2+1. */
    answers[3] =
        (struct answer){ .action = { .kind = FAULT_DRIBBLE, .chunks = 3 }, .stream = true };
    rig_text(r, p, GET);
    assert_int_equal(watch(r, p, sizeof STREAM_HEAD - 1 + DATE_BYTES + 39, lens, 64), 15);
    assert_int_equal(lens[10], 4);
    expect(r, p, STREAM_HEAD CHUNKS LAST, ALIVE);
}

static void test_bandwidth(void **state)
{
    struct rig *r = &rig;
    struct rig_buf all = { 0 };
    uint8_t *body = rig_pattern(5000);
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    answers[0] =
        (struct answer){ .action = { .kind = FAULT_BANDWIDTH, .bytes_per_s = RATE_BYTES_S },
                         .body = { body, 5000 } };
    size_t whole = sizeof LENGTH_HEAD(5000) - 1 + DATE_BYTES + 5000;
    uint64_t begin = weir_clock_ns();
    rig_text(r, p, GET);
    RIG_UNTIL(r, r->xs_count == 1);
    while (r->xs_ended == 0) {
        rig_pass(r);
        /* Never more than the rate has earned since the request was sent. */
        assert_true(p->in.len <= (weir_clock_ns() - begin) * RATE_BYTES_S / 1000000000u);
        assert_true(weir_clock_ns() - begin < RIG_WAIT);
    }
    RIG_UNTIL(r, p->in.len == whole);
    uint64_t took = answers[0].over_ns - begin;
    assert_true(took >= whole * 1000000000u / RATE_BYTES_S);
    drop_dates(&p->in);
    rig_buf_text(&all, LENGTH_HEAD(5000));
    rig_buf_add(&all, body, 5000);
    assert_int_equal(p->in.len, all.len);
    assert_memory_equal(p->in.ptr, all.ptr, all.len);
    assert_int_equal(answers[0].wire.sent_bytes, 5000);
    rig_buf_free(&all);
    free(body);
}

static void test_slow_close(void **state)
{
    struct rig *r = &rig;
    struct answer *a = &answers[0];
    (void)state;
    rig_serve(r);
    struct rig_peer *p = rig_dial(r);
    a->action = (struct fault_action){ .kind = FAULT_SLOW_CLOSE, .duration_ns = 25 * RIG_MS };
    rig_text(r, p, GET);
    RIG_UNTIL(r, a->overs == 1); /* nothing more comes */
    rig_settle(r);
    assert_false(a->wire.cut);
    drop_dates(&p->in);
    rig_expect(r, p, CLOSE_HEAD BODY);
    assert_false(p->eof);
    RIG_UNTIL(r, p->eof);
    assert_true(weir_clock_ns() - a->over_ns >= 24 * RIG_MS);
    rig_hang_up(p);
    RIG_UNTIL(r, r->xs_ended == 1);
    assert_int_equal(a->overs, 1);
    /* The client may go before. */
    answers[1].action =
        (struct fault_action){ .kind = FAULT_SLOW_CLOSE, .duration_ns = FAULT_FOREVER };
    p = rig_dial(r);
    rig_text(r, p, GET);
    RIG_UNTIL(r, answers[1].overs == 1);
    rig_hang_up(p);
    RIG_UNTIL(r, r->xs_ended == 2);
}

static void test_half_close(void **state)
{
    struct rig *r = &rig;
    (void)state;
    rig_serve(r);
    for (unsigned i = 0; i < 3; i++) {
        struct answer *a = &answers[i];
        a->action = (struct fault_action){ .kind = FAULT_HALF_CLOSE,
                                           AT_BYTES(3),
                                           .duration_ns = i == 0 ? 25 * RIG_MS : FAULT_FOREVER };
        struct rig_peer *p = rig_dial(r);
        rig_text(r, p, GET);
        RIG_UNTIL(r, p->eof);
        drop_dates(&p->in);
        assert_string_equal(rig_buf_str(&p->in), PLAIN_HEAD "012");
        assert_int_equal(a->overs, 1);
        assert_true(a->wire.cut);
        rig_text(r, p, "still taken");
        rig_run_for(r, 10 * RIG_MS);
        assert_int_equal(r->xs_ended, i);
        if (i == 1)
            rig_hang_up(p);
        else if (i == 2)
            rig_reset(p);
        RIG_UNTIL(r, r->xs_ended == i + 1);
        if (i == 0) {
            assert_true(weir_clock_ns() - a->over_ns >= 24 * RIG_MS);
            rig_hang_up(p);
        }
        RIG_UNTIL(r, rig_server_stats(r).conns_now == 0);
        assert_int_equal(a->overs, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WIRE_TEST(test_which_kinds),
        WIRE_TEST(test_ends_of_plain_answers),
        WIRE_TEST(test_ends_of_streams),
        WIRE_TEST(test_empty_and_partial),
        WIRE_TEST(test_partial_lengths),
        WIRE_TEST(test_bad_chunk),
        WIRE_TEST(test_wrong_length),
        WIRE_TEST(test_garbage),
        WIRE_TEST(test_split),
        WIRE_TEST(test_split_with_interval),
        WIRE_TEST(test_coalesce),
        WIRE_TEST(test_stall),
        WIRE_TEST(test_stall_that_is_not_reached),
        WIRE_TEST(test_stall_for_ever),
        WIRE_TEST(test_dribble),
        WIRE_TEST(test_bandwidth),
        WIRE_TEST(test_slow_close),
        WIRE_TEST(test_half_close),
    };
    int failed = 0;
    RUN_WIRE_TESTS(failed, tests);
    return failed;
}
