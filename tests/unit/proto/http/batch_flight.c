/* SPDX-License-Identifier: MIT */
/* One batch on its way: what its answer means for its items, and whose turn it is. */
#include "unit/proto/http/batch_rig.h"

static const char *reply;
static uint16_t reply_status;

static void give_reply(struct rig_x *rx)
{
    rig_respond(rx, reply_status, reply);
}

/* Three items, answered with this. */
static void answered(uint16_t status, const char *text)
{
    unsigned batches = (unsigned)batch_stats().batches;
    reply = text;
    reply_status = status;
    for (unsigned i = 0; i < 3; i++)
        add(i);
    RIG_UNTIL(&rig, items_ended == items_added);
    assert_int_equal(batch_stats().batches, batches + 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(items[i].err, items[0].err);
}

/* ---- Answers ----------------------------------------------------------------------------- */

static void test_each_has_its_own(void **state)
{
    (void)state;
    open_fixed(give_reply, 3);
    answered(200, " [ {\"status\":200,\"body\":{\"a\":[]}} ,{\"error\" : \"no\",\"status\":404},\n"
                  "{\"status\":503,\"body\":1,\"error\":2,\"other\":{\"status\":1}}]\r\n");
    assert_int_equal(items[0].err, 0);
    assert_int_equal(items[0].status, 200);
    assert_string_equal(items[0].answer, "{\"a\":[]}");
    assert_int_equal(items[1].status, 404);
    assert_string_equal(items[1].answer, "\"no\"");
    assert_int_equal(items[2].status, 503);
    assert_string_equal(items[2].answer, "2");
    answered(200, "[{\"status\":204},{\"status\":200,\"body\":null},{\"status\":500,\"body\":7}]");
    assert_int_equal(items[0].err, 0);
    assert_int_equal(items[0].status, 204);
    assert_string_equal(items[0].answer, "");
    assert_string_equal(items[1].answer, "null");
    assert_string_equal(items[2].answer, "7");
    assert_int_equal(batch_stats().batches_failed, 0);
}

static void test_broken_answers(void **state)
{
    (void)state;
#define OK "{\"status\":200,\"body\":1}"
    static const char *const broken[] = {
        "",
        " ",
        "{}",
        "null",
        "[]",
        "[" OK "]",
        "[" OK "," OK "]",
        "[" OK "," OK "," OK "," OK "]",
        "[" OK "," OK "," OK,
        "[" OK "," OK "," OK "]]",
        "[" OK "," OK "," OK ",]",
        "[" OK "," OK " " OK "]",
        "[" OK "," OK ",1]",
        "[" OK "," OK ",{}]",
        "[" OK "," OK ",{\"body\":1}]",
        "[" OK "," OK ",{\"status\":\"200\"}]",
        "[" OK "," OK ",{\"status\":20}]",
        "[" OK "," OK ",{\"status\":199}]",
        "[" OK "," OK ",{\"status\":2e2}]",
        "[" OK "," OK ",{\"status\":200,\"status\":200}]",
        "[" OK "," OK ",{\"status\":200,\"body\":\"\xff\"}]",
    };
    open_fixed(give_reply, 3);
    for (unsigned i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        answered(200, broken[i]);
        if (items[0].err != WEIR_E_PROTOCOL)
            print_error("%s: %s\n", broken[i], weir_err_name(items[0].err));
        assert_int_equal(items[0].err, WEIR_E_PROTOCOL);
    }
    assert_int_equal(batch_stats().batches_failed, sizeof broken / sizeof broken[0]);
    answered(200, "[" OK "," OK "," OK "]");
    assert_int_equal(items[0].err, 0);
}

static void test_whole_batch_refused(void **state)
{
    (void)state;
    open_fixed(give_reply, 3);
    answered(503, "busy");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(items[i].err, 0);
        assert_int_equal(items[i].status, 503);
        assert_string_equal(items[i].answer, "busy");
    }
    answered(201, "[" OK "," OK "," OK "]"); /* 200 it must be */
    assert_int_equal(items[0].status, 201);
    answered(404, "");
    assert_int_equal(items[0].status, 404);
    assert_string_equal(items[0].answer, "");
    assert_int_equal(batch_stats().batches_failed, 3);
    assert_int_equal(batch_stats().completed, 9);
}

static void test_answer_too_long(void **state)
{
    (void)state;
    char text[300], *at = text;
    batch_cfg.answer_bytes_max = 100;
    open_fixed(give_reply, 3);
    const char good[] = "[" OK "," OK "," OK "]";
    memset(text, ' ', sizeof text);
    memcpy(at, good, sizeof good - 1);
    text[100] = '\0';
    answered(200, text);
    assert_int_equal(items[0].err, 0); /* exactly the limit */
    text[100] = ' ';
    text[101] = '\0';
    answered(200, text);
    assert_int_equal(items[0].err, WEIR_E_LIMIT);
    text[299] = '\0';
    text[101] = ' ';
    answered(404, text);
    assert_int_equal(items[0].err, WEIR_E_LIMIT);
    text[100] = '\0';
    answered(200, text);
    assert_int_equal(items[0].err, 0);
}

static void break_off(struct rig_x *rx)
{
    weir_exchange_abort(rx->x, WEIR_ABORT_RST);
}

static void test_connection_breaks(void **state)
{
    (void)state;
    open_fixed(break_off, 3);
    answered(0, "");
    assert_true(items[0].err == -ECONNRESET || items[0].err == WEIR_E_CLOSED);
    assert_int_equal(batch_stats().batches_failed, 1);
    assert_int_equal(weir_hist_count(weir_batcher_latency(batcher)), 0);
}

/* What the client refuses at once ends the items, but not inside the function that added them. */
static void test_request_cannot_be_sent(void **state)
{
    (void)state;
    batch_cfg.target = "/with a blank";
    open_fixed(give_reply, 3);
    answered(200, "");
    assert_int_equal(items[0].err, -EINVAL);
    assert_int_equal(batch_stats().batches_failed, 1);
}

/* A cancelled item's answer is read over, and the others keep theirs. */
static void test_gone_items_count(void **state)
{
    (void)state;
    open_fixed(hold, 3);
    for (unsigned i = 0; i < 3; i++)
        add(i);
    expect_held(1);
    cancel(1);
    expect_items(1, 1, WEIR_E_CANCELLED);
    rig_respond(held[0], 200, "[{\"status\":200,\"body\":0},{\"status\":200,\"body\":2}]");
    expect_items(0, 1, WEIR_E_PROTOCOL);
    expect_items(2, 1, WEIR_E_PROTOCOL);
}

/* ---- Order ------------------------------------------------------------------------------- */

static void three_batches(bool ordered)
{
    batch_cfg.ordered = ordered;
    rig.client_cfg.conns_max = 3;
    open_fixed(hold, 2);
    for (unsigned i = 0; i < 6; i++)
        add(i);
    expect_held(3);
    /* They came on three connections: which is which, their bodies tell. */
    for (unsigned place = 0; place < 3; place++)
        for (unsigned i = place; i < 3; i++)
            if (held[i]->body.ptr[1] == (char)('0' + 2 * place)) {
                struct rig_x *rx = held[i];
                held[i] = held[place];
                held[place] = rx;
            }
}

static void test_ordered(void **state)
{
    (void)state;
    three_batches(true);
    answer_array(held[2]);
    RIG_UNTIL(&rig, batch_stats().in_flight_now == 2);
    answer_array(held[1]);
    RIG_UNTIL(&rig, batch_stats().in_flight_now == 1);
    rig_settle(&rig);
    assert_int_equal(items_ended, 0); /* the first is not there yet */
    cancel(5);                        /* at once, whatever the order */
    expect_items(5, 1, WEIR_E_CANCELLED);
    assert_int_equal(items_ended, 1);
    answer_array(held[0]);
    expect_good(0, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(items[i].order, i + 1);
}

static void test_ordered_with_a_failure(void **state)
{
    (void)state;
    three_batches(true);
    answer_array(held[1]);
    answer_array(held[2]);
    RIG_UNTIL(&rig, batch_stats().in_flight_now == 1);
    break_off(held[0]);
    RIG_UNTIL(&rig, items_ended == 6);
    assert_true(items[0].err < 0 && items[1].err < 0);
    expect_good(2, 4);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(items[i].order, i);
}

static void test_unordered(void **state)
{
    (void)state;
    const unsigned order[] = { 2, 0, 1 };
    three_batches(false);
    for (unsigned i = 0; i < 3; i++) {
        answer_array(held[order[i]]);
        expect_good(2 * order[i], 2);
        assert_int_equal(items_ended, 2 * (i + 1));
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(items[2 * order[i]].order, 2 * i);
        assert_int_equal(items[2 * order[i] + 1].order, 2 * i + 1); /* within a batch, always */
    }
}

/* An answer in many pieces is put together. */
static void test_long_answer(void **state)
{
    (void)state;
    char body[150];
    open_fixed(answer_array, 100);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(body, sizeof body, "{\"n\":%u,\"text\":\"%0110u\"}", i, i);
        add_body(i, body);
    }
    expect_good(0, 100);
    assert_int_equal(batch_stats().batches, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BATCH_TEST(test_each_has_its_own),
        BATCH_TEST(test_broken_answers),
        BATCH_TEST(test_whole_batch_refused),
        BATCH_TEST(test_answer_too_long),
        BATCH_TEST(test_connection_breaks),
        BATCH_TEST(test_request_cannot_be_sent),
        BATCH_TEST(test_gone_items_count),
        BATCH_TEST(test_ordered),
        BATCH_TEST(test_ordered_with_a_failure),
        BATCH_TEST(test_unordered),
        BATCH_TEST(test_long_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
