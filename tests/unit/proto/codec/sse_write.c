/* SPDX-License-Identifier: MIT */
/* The writer of event streams: what it writes and refuses, and that the reader gets it back. */
#include "unit/proto/codec/parse_rig.h"

#include <weir/random.h>
#include <weir/sse.h>

#include <errno.h>

#define SEED          4711u
#define RANDOM_EVENTS 20000u
#define BYTES_MAX     512

#define LIT(text_)                                                                                 \
    {                                                                                              \
        .ptr = (const uint8_t *)(text_), .len = sizeof(text_) - 1                                  \
    }

struct row {
    struct weir_sse_event_spec spec;
    struct weir_slice text; /* {NULL, 0}: refused */
};

static const struct row rows[] = {
    { { .data = LIT("x") }, LIT("data: x\n\n") },
    { { .data = LIT("") }, LIT("data: \n\n") },
    { { .data = LIT(" x") }, LIT("data:  x\n\n") },
    { { .data = LIT("a\0b\xff") }, LIT("data: a\0b\xff\n\n") },
    { { .data = LIT("a\nb") }, LIT("data: a\ndata: b\n\n") },
    { { .data = LIT("a\rb\r\nc\n\rd") }, LIT("data: a\ndata: b\ndata: c\ndata: \ndata: d\n\n") },
    { { .data = LIT("a\n") }, LIT("data: a\ndata: \n\n") },
    { { .data = LIT("a\r") }, LIT("data: a\ndata: \n\n") },
    { { .data = LIT("\r\n") }, LIT("data: \ndata: \n\n") },
    { { .type = LIT("add"), .data = LIT("x") }, LIT("event: add\ndata: x\n\n") },
    { { .type = LIT("message"), .data = LIT("x") }, LIT("event: message\ndata: x\n\n") },
    { { .type = LIT(""), .data = LIT("x") }, LIT("data: x\n\n") },
    { { .last_event_id = LIT("7"), .data = LIT("x") }, LIT("id: 7\ndata: x\n\n") },
    { { .last_event_id = LIT(""), .data = LIT("x") }, LIT("id: \ndata: x\n\n") },
    { { .last_event_id = LIT("7") }, LIT("id: 7\n\n") },
    { { .has_retry = true }, LIT("retry: 0\n\n") },
    { { .has_retry = true, .retry_ms = 3000 }, LIT("retry: 3000\n\n") },
    { { .retry_ms = 3000, .data = LIT("x") }, LIT("data: x\n\n") },
    { { .type = LIT("t"),
        .last_event_id = LIT("i"),
        .retry_ms = UINT64_MAX,
        .has_retry = true,
        .data = LIT("d") },
      LIT("event: t\nid: i\nretry: 18446744073709551615\ndata: d\n\n") },
    /* Refused. */
    { { .has_retry = false }, { .ptr = NULL } },
    { { .type = LIT("add") }, { .ptr = NULL } },
    { { .type = LIT("add"), .has_retry = true }, { .ptr = NULL } },
    { { .type = LIT("a\nb"), .data = LIT("x") }, { .ptr = NULL } },
    { { .type = LIT("a\r"), .data = LIT("x") }, { .ptr = NULL } },
    { { .last_event_id = LIT("\n"), .data = LIT("x") }, { .ptr = NULL } },
    { { .last_event_id = LIT("1\r"), .data = LIT("x") }, { .ptr = NULL } },
    { { .last_event_id = LIT("1\0"), .data = LIT("x") }, { .ptr = NULL } },
};

/* The output ends at the guard page: not one byte more than the capacity is touched. */
static void expect_text(const struct row *row)
{
    for (size_t capacity = 0; capacity <= row->text.len; capacity++) {
        uint8_t *out = rig_memory.end - capacity;
        int64_t bytes = weir_sse_write_event(out, capacity, &row->spec);
        if (row->text.ptr == NULL) {
            assert_int_equal(bytes, -EINVAL);
        } else if (capacity < row->text.len) {
            assert_int_equal(bytes, -ENOBUFS);
        } else {
            assert_int_equal(bytes, row->text.len);
            assert_memory_equal(out, row->text.ptr, row->text.len);
        }
    }
    if (row->text.ptr != NULL)
        assert_int_equal(weir_sse_event_bytes_max(&row->spec), row->text.len);
}

static void test_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_print("row", rows[i].text);
        expect_text(&rows[i]);
    }
}

static void test_comments(void **state)
{
    uint8_t out[16];
    (void)state;
    assert_int_equal(weir_sse_write_comment(out, sizeof out, WEIR_TEXT("ping")), 8);
    assert_memory_equal(out, ": ping\n\n", 8);
    assert_int_equal(weir_sse_write_comment(out, 8, WEIR_TEXT("ping")), 8);
    assert_int_equal(weir_sse_write_comment(out, 7, WEIR_TEXT("ping")), -ENOBUFS);
    assert_int_equal(
        weir_sse_write_comment(out, WEIR_SSE_COMMENT_BYTES, (struct weir_slice){ NULL, 0 }), 4);
    assert_memory_equal(out, ": \n\n", 4);
    assert_int_equal(weir_sse_write_comment(out, sizeof out, WEIR_TEXT("a\nb")), -EINVAL);
    assert_int_equal(weir_sse_write_comment(out, sizeof out, WEIR_TEXT("a\r")), -EINVAL);
}

/* ---- There and back -------------------------------------------------------------------------- */

struct dice {
    uint64_t key, draw;
};

static size_t roll(struct dice *dice, size_t sides)
{
    return (size_t)(weir_random_u64(SEED, dice->key, dice->draw++) % sides);
}

/* Bytes that mean something to a reader, and others. */
static struct weir_slice random_text(struct dice *dice, uint8_t *bytes, bool is_one_line)
{
    static const char alphabet[] = "\r\n\n\0: datevnriy\357\273\277\20017";
    size_t from = is_one_line ? 4 : 0, len = roll(dice, roll(dice, 8) == 0 ? 60 : 6);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)alphabet[from + roll(dice, sizeof alphabet - 1 - from)];
    return (struct weir_slice){ bytes, len };
}

/* CR, LF and CR LF become LF. */
static struct weir_slice normal_of(struct weir_slice text, uint8_t *bytes)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n')
            continue;
        bytes[len++] = text.ptr[i] == '\r' ? '\n' : text.ptr[i];
    }
    return (struct weir_slice){ bytes, len };
}

static void expect_slice(struct weir_slice slice, struct weir_slice expected)
{
    if (slice.len != expected.len ||
        (slice.len != 0 && memcmp(slice.ptr, expected.ptr, slice.len) != 0)) {
        rig_print("read", slice);
        rig_print("written", expected);
        fail();
    }
}

struct trip {
    struct weir_sse_reader reader;
    uint8_t buffer[BYTES_MAX];
    uint8_t type[64], data[64], id[64], normal[64], last_id[64];
    size_t last_id_len;
};

/* Read what was written, in pieces of `step`; nothing but the one event may come out. */
static void read_back(struct trip *trip, struct weir_slice text, size_t step,
                      const struct weir_sse_event_spec *spec)
{
    size_t events_count = 0;
    while (text.len != 0) {
        struct weir_sse_event event;
        struct weir_sse_err err;
        struct weir_slice piece = rig_place(rig_prefix(text, step < text.len ? step : text.len));
        size_t consumed;
        enum weir_parse result = weir_sse_read(&trip->reader, piece, &consumed, &event, &err);
        assert_int_equal(consumed, piece.len);
        assert_int_not_equal(result, WEIR_PARSE_ERROR);
        text.ptr += consumed;
        text.len -= consumed;
        if (result == WEIR_PARSE_MORE)
            continue;
        events_count++;
        assert_int_equal(text.len, 0);
        expect_slice(event.type, spec->type.len != 0 ? spec->type : WEIR_TEXT("message"));
        expect_slice(event.data, normal_of(spec->data, trip->normal));
        expect_slice(event.last_event_id, (struct weir_slice){ trip->last_id, trip->last_id_len });
        assert_int_equal(event.has_retry, spec->has_retry);
        assert_true(event.retry_ms == (spec->has_retry ? spec->retry_ms : 0));
    }
    assert_int_equal(events_count, 1);
}

static void test_round_trip(void **state)
{
    static const struct weir_sse_limits limits = { .data_bytes_max = 64,
                                                   .type_bytes_max = 64,
                                                   .id_bytes_max = 64 };
    static struct trip trip;
    static uint8_t out[BYTES_MAX];
    (void)state;
    print_message("seed %u\n", SEED);
    assert_int_equal(weir_sse_init(&trip.reader, &limits, trip.buffer, sizeof trip.buffer), 0);
    for (uint64_t key = 0; key < RANDOM_EVENTS; key++) {
        struct dice dice = { .key = key };
        struct weir_sse_event_spec spec = { .data = random_text(&dice, trip.data, false) };
        if (roll(&dice, 2) == 0)
            spec.type = random_text(&dice, trip.type, true);
        if (roll(&dice, 2) == 0) {
            spec.last_event_id = random_text(&dice, trip.id, true);
            trip.last_id_len = spec.last_event_id.len;
            memcpy(trip.last_id, trip.id, trip.last_id_len);
        }
        if (roll(&dice, 4) == 0) {
            spec.has_retry = true;
            spec.retry_ms = weir_random_u64(SEED, key, 1000) >> roll(&dice, 64);
        }
        int64_t bytes = weir_sse_write_event(out, sizeof out, &spec);
        assert_true(bytes > 0);
        assert_int_equal(bytes, weir_sse_event_bytes_max(&spec));
        read_back(&trip, (struct weir_slice){ out, (size_t)bytes }, 1 + roll(&dice, (size_t)bytes),
                  &spec);
        /* A comment between events changes nothing but its count. */
        uint64_t comments_count = trip.reader.comments_count;
        bytes = weir_sse_write_comment(out, sizeof out, random_text(&dice, trip.data, true));
        assert_true(bytes > 0);
        struct weir_sse_event event;
        struct weir_sse_err err;
        size_t consumed;
        assert_int_equal(weir_sse_read(&trip.reader, (struct weir_slice){ out, (size_t)bytes },
                                       &consumed, &event, &err),
                         WEIR_PARSE_MORE);
        assert_int_equal(trip.reader.comments_count, comments_count + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_comments),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
