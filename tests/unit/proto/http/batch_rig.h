/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the batcher share, on top of the rig of HTTP sessions: a batcher, items whose
 * ends are counted, and a server that answers arrays.
 *
 * An item's body is its number; the server answers each with {"status":200,"body":NUMBER}, or
 * as the test tells it to. Closing checks that each accepted item ended exactly once.
 */
#ifndef WEIR_TESTS_UNIT_PROTO_HTTP_BATCH_RIG_H
#define WEIR_TESTS_UNIT_PROTO_HTTP_BATCH_RIG_H

#include "unit/proto/http/rig.h"

#include "proto/http/batch_impl.h"

#include <inttypes.h>

#include <weir/batch.h>
#include <weir/json.h>
#include <weir/random.h>

enum { ITEMS_MAX = 4096 };

struct rig_item {
    struct weir_batch_item item;
    unsigned index;
    unsigned added, ended;
    unsigned order; /* how many items ended before it */
    int err;
    uint16_t status;
    char answer[256];
    char body[160];
    void (*on_end)(struct rig_item *ri);
};

static struct rig_item items[ITEMS_MAX];
static struct weir_batcher *batcher;
static struct weir_batcher_config batch_cfg;
static unsigned items_added, items_ended;
static unsigned inside; /* a function of the batcher is running */

/* Requests whose answers the test gives itself, in the order received. */
static struct rig_x *held[64];
static unsigned held_count;

static inline void item_on_end(struct weir_batch_item *item, int err)
{
    struct rig_item *ri = item->ctx;
    assert_int_equal(inside, 0);
    assert_ptr_equal(ri, item);
    ri->ended++;
    assert_int_equal(ri->ended, ri->added);
    ri->err = err;
    ri->status = item->status;
    ri->order = items_ended++;
    assert_true(err == 0 || (item->status == 0 && item->answer.len == 0));
    assert_true(item->answer.len < sizeof ri->answer);
    if (item->answer.len > 0)
        memcpy(ri->answer, item->answer.ptr, item->answer.len);
    ri->answer[item->answer.len] = '\0';
    if (ri->on_end != NULL)
        ri->on_end(ri);
}

static inline struct rig_item *item_init(unsigned index, const char *body)
{
    struct rig_item *ri = &items[index];
    *ri = (struct rig_item){ .index = index };
    (void)snprintf(ri->body, sizeof ri->body, "%s", body);
    ri->item.body = rig_slice(ri->body);
    ri->item.on_end = item_on_end;
    ri->item.ctx = ri;
    return ri;
}

static inline int try_add(struct rig_item *ri)
{
    inside++;
    int rc = weir_batcher_add(batcher, &ri->item);
    inside--;
    if (rc == 0) {
        ri->added++;
        items_added++;
    }
    return rc;
}

static inline struct rig_item *add_body(unsigned index, const char *body)
{
    struct rig_item *ri = item_init(index, body);
    int rc = try_add(ri);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
    return ri;
}

static inline struct rig_item *add(unsigned index)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%u", index);
    return add_body(index, number);
}

static inline void cancel(unsigned index)
{
    inside++;
    weir_batch_item_cancel(&items[index].item);
    inside--;
}

static inline void expect_items(unsigned first, unsigned count, int err)
{
    for (unsigned i = first; i < first + count; i++) {
        RIG_UNTIL(&rig, items[i].ended == items[i].added);
        if (items[i].err != err)
            print_error("item %u: got %s, expected %s\n", i, weir_err_name(items[i].err),
                        weir_err_name(err));
        assert_int_equal(items[i].err, err);
    }
}

/* They ended well, each with its own number. */
static inline void expect_good(unsigned first, unsigned count)
{
    expect_items(first, count, 0);
    for (unsigned i = first; i < first + count; i++) {
        assert_int_equal(items[i].status, 200);
        assert_string_equal(items[i].answer, items[i].body);
    }
}

static inline struct weir_batcher_stats batch_stats(void)
{
    struct weir_batcher_stats stats = { .size = sizeof stats };
    weir_batcher_stats(batcher, &stats);
    return stats;
}

/* ---- The server -------------------------------------------------------------------------- */

static inline struct weir_slice body_of(const struct rig_x *rx)
{
    return (struct weir_slice){ (const uint8_t *)rx->body.ptr, rx->body.len };
}

static inline unsigned count_of(const struct rig_x *rx)
{
    struct weir_json_walk walk;
    struct weir_slice element;
    unsigned count = 0;
    int rc = weir_json_array_begin(&walk, body_of(rx));
    assert_int_equal(rc, 0);
    while ((rc = weir_json_array_next(&walk, &element)) > 0)
        count++;
    assert_int_equal(rc, 0);
    return count;
}

/* Each element is sent back as it came. */
static inline void answer_array(struct rig_x *rx)
{
    struct weir_json_walk walk;
    struct weir_slice element;
    struct rig_buf text = { 0 };
    const char *comma = "[";
    assert_int_equal(weir_json_array_begin(&walk, body_of(rx)), 0);
    while (weir_json_array_next(&walk, &element) > 0) {
        rig_buf_text(&text, comma);
        rig_buf_text(&text, "{\"status\":200,\"body\":");
        rig_buf_add(&text, element.ptr, element.len);
        rig_buf_text(&text, "}");
        comma = ",";
    }
    rig_buf_text(&text, "]");
    struct weir_response response = { .status = 200,
                                      .body = { (const uint8_t *)text.ptr, text.len } };
    assert_int_equal(weir_exchange_respond(rx->x, &response), 0);
    rig_buf_free(&text);
}

static inline void hold(struct rig_x *rx)
{
    assert_true(held_count < sizeof held / sizeof held[0]);
    held[held_count++] = rx;
}

/* Wait until `count` batches have come in all. */
static inline void expect_held(unsigned count)
{
    RIG_UNTIL(&rig, held_count >= count);
    assert_int_equal(held_count, count);
}

static inline void expect_body(const struct rig_x *rx, const char *body)
{
    assert_string_equal(rig_buf_str(&rx->body), body);
}

/* ---- Open and close ---------------------------------------------------------------------- */

static inline void open_batcher(rig_hook *on_last)
{
    rig.on_last = on_last;
    rig.on_request = rig_wait;
    rig_serve(&rig);
    rig_open_client(&rig);
    int rc = weir_batcher_open(&batcher, rig.engine, rig.client, &batch_cfg);
    if (rc < 0)
        print_error("%s: %s\n", weir_err_name(rc), weir_error_text());
    assert_int_equal(rc, 0);
}

/* A batcher that does as it is told: no timer, nothing but full batches unless asked. */
static inline void open_fixed(rig_hook *on_last, uint32_t items_max)
{
    batch_cfg.adaptive = false;
    batch_cfg.items_max = items_max;
    batch_cfg.wait_ns = 3600 * 1000 * RIG_MS;
    open_batcher(on_last);
}

static inline void close_batcher(uint64_t deadline_ns)
{
    assert_int_equal(weir_batcher_close(batcher, deadline_ns), 0);
    batcher = NULL;
    assert_int_equal(items_ended, items_added);
}

static inline int batch_setup(void **state)
{
    held_count = items_added = items_ended = inside = 0;
    weir_batcher_config_init(&batch_cfg);
    batch_cfg.batches_max = 4;
    batch_cfg.bytes_max = 65536;
    batch_cfg.answer_bytes_max = 65536;
    return rig_setup(state);
}

static inline int batch_teardown(void **state)
{
    if (rig.engine != NULL && rig.engine->depth > 0)
        return -1; /* a callback failed: the test left through the engine, nothing can be closed */
    if (batcher != NULL) {
        struct weir_batcher_stats stats = batch_stats();
        close_batcher(1);
        assert_int_equal(stats.items, items_added);
    }
    /* The calls were the batcher's: the rig did not count them. */
    if (rig.client != NULL) {
        struct weir_client_stats stats = rig_client_stats(&rig);
        assert_int_equal(stats.completed + stats.failed, stats.calls);
        rig.calls_sent = rig.calls_ended = (unsigned)stats.calls;
    }
    return rig_teardown(state);
}

#define BATCH_TEST(f) cmocka_unit_test_setup_teardown(f, batch_setup, batch_teardown)

#endif
