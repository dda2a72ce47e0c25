/* SPDX-License-Identifier: MIT */
/* A batcher's queue: when batches are sent, what they hold, how items end that do not get their
 * answer, and closing. */
#include "unit/proto/http/batch_rig.h"

/* ---- Opening ----------------------------------------------------------------------------- */

static void refused(struct weir_batcher_config cfg, const char *word)
{
    struct weir_batcher *out = (void *)&cfg;
    assert_int_equal(weir_batcher_open(&out, rig.engine, rig.client, &cfg), -EINVAL);
    assert_null(out);
    if (strstr(weir_error_text(), word) == NULL)
        assert_string_equal(weir_error_text(), word);
    assert_int_equal(weir_batcher_memory_bytes(&cfg), -EINVAL);
}

static void test_configuration(void **state)
{
    (void)state;
    rig_serve(&rig);
    rig_open_client(&rig);
    const struct weir_batcher_config good = batch_cfg;
    struct weir_batcher_config cfg = good;
#define REFUSED(field, bad)                                                                        \
    cfg = good;                                                                                    \
    cfg.field = (bad);                                                                             \
    refused(cfg, #field)
    REFUSED(size, 8);
    REFUSED(items_max, 0);
    REFUSED(items_max, 65537);
    REFUSED(batches_max, 0);
    REFUSED(waiting_max, 0);
    REFUSED(bytes_max, 63);
    REFUSED(answer_bytes_max, (UINT64_C(1) << 30) + 1);
    REFUSED(wait_ns, UINT64_MAX);
    REFUSED(target, NULL);
    REFUSED(target, "");
    REFUSED(headers_count, 1); /* without headers */
    REFUSED(headers_count, 65);
#undef REFUSED
    cfg = good;
    int64_t small = weir_batcher_memory_bytes(&cfg);
    cfg.batches_max *= 2;
    int64_t large = weir_batcher_memory_bytes(&cfg);
    assert_true(small > (int64_t)(4 * (good.bytes_max + good.answer_bytes_max)));
    assert_true(large > small && large < 2 * small);
}

/* Every size takes what its sum says: the arena asserts it. */
static void test_memory(void **state)
{
    (void)state;
    rig_serve(&rig);
    rig_open_client(&rig);
    struct weir_header header = { WEIR_TEXT("content-type"), WEIR_TEXT("text/plain") };
    const uint32_t counts[] = { 1, 2, 3, 7, 100, 1000 };
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        batch_cfg.items_max = counts[i];
        batch_cfg.batches_max = counts[i];
        batch_cfg.bytes_max = 64 + i;
        batch_cfg.answer_bytes_max = 64 + 1000 * i;
        batch_cfg.headers = &header;
        batch_cfg.headers_count = i % 2;
        batch_cfg.host = i % 2 != 0 ? WEIR_TEXT("h") : WEIR_TEXT("");
        assert_int_equal(weir_batcher_open(&batcher, rig.engine, rig.client, &batch_cfg), 0);
        assert_int_equal(weir_engine_close(rig.engine), -EBUSY);
        assert_int_equal(weir_batcher_close(batcher, 0), 0);
    }
    batcher = NULL;
}

/* ---- Adding ------------------------------------------------------------------------------ */

static void test_refused_items(void **state)
{
    (void)state;
    batch_cfg.waiting_max = 3;
    batch_cfg.bytes_max = 64;
    open_fixed(hold, 100);
    static const char *const bad[] = { "",       " ",   "{",     "1,2",  "[1]]",
                                       "\"\t\"", "nul", "{1:2}", "\xff", "1 2" };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(try_add(item_init(0, bad[i])), -EINVAL);
    char long_body[80];
    (void)snprintf(long_body, sizeof long_body, "\"%061d\"", 0);
    assert_int_equal(try_add(item_init(0, long_body)), WEIR_E_LIMIT);
    assert_non_null(strstr(weir_error_text(), "bytes_max"));
    struct rig_item *ri = item_init(0, "1");
    ri->item.on_end = NULL;
    assert_int_equal(try_add(ri), -EINVAL);
    for (unsigned i = 0; i < 3; i++)
        add(i);
    assert_int_equal(try_add(item_init(3, "3")), WEIR_E_QUEUE_FULL);
    assert_int_equal(batch_stats().waiting_now, 3);
    cancel(1);
    add(3);
    rig_settle(&rig);
    assert_int_equal(held_count, 0); /* nothing was sent */
    assert_int_equal(items[1].err, WEIR_E_CANCELLED);
}

/* ---- What is sent when ------------------------------------------------------------------- */

static struct weir_header sent_headers[32];
static char sent_text[2048];

static void keep_headers(struct rig_x *rx)
{
    size_t used = 0;
    size_t count = weir_exchange_headers_count(rx->x);
    for (size_t i = 0; i < count; i++) {
        sent_headers[i] = weir_exchange_header_at(rx->x, i);
        used += (size_t)snprintf(
            sent_text + used, sizeof sent_text - used, "%.*s: %.*s\n",
            (int)sent_headers[i].name.len, (const char *)sent_headers[i].name.ptr,
            (int)sent_headers[i].value.len, (const char *)sent_headers[i].value.ptr);
    }
    assert_string_equal(rx->method, "POST");
    assert_string_equal(rx->target, "/custom?x=1");
}

static void test_request(void **state)
{
    (void)state;
    struct weir_header header = { WEIR_TEXT("X-Key"), WEIR_TEXT("abc") };
    char target[] = "/custom?x=1", host[] = "example.net";
    batch_cfg.target = target;
    batch_cfg.host = rig_slice(host);
    batch_cfg.headers = &header;
    batch_cfg.headers_count = 1;
    open_fixed(answer_array, 3);
    memset(target, 0, sizeof target); /* copied at open */
    memset(host, 0, sizeof host);
    rig.on_request = keep_headers;
    for (unsigned i = 0; i < 3; i++)
        add(i);
    expect_good(0, 3);
    assert_non_null(strstr(sent_text, "Content-Type: application/json\n"));
    assert_non_null(strstr(sent_text, "X-Key: abc\n"));
    assert_non_null(strstr(sent_text, "Host: example.net\n"));
    assert_string_equal(rig_buf_str(&rig.xs[0].body), "[0,1,2]");
}

static void test_flush_by_size(void **state)
{
    (void)state;
    open_fixed(hold, 4);
    for (unsigned i = 0; i < 11; i++)
        add(i);
    expect_held(2);
    expect_body(held[0], "[0,1,2,3]");
    expect_body(held[1], "[4,5,6,7]");
    assert_int_equal(batch_stats().waiting_now, 3);
    add(11);
    expect_held(3);
    expect_body(held[2], "[8,9,10,11]");
    for (unsigned i = 0; i < 3; i++)
        answer_array(held[i]);
    expect_good(0, 12);
    struct weir_batcher_stats stats = batch_stats();
    assert_int_equal(stats.batches, 3);
    assert_int_equal(stats.flushed[WEIR_BATCH_SIZE], 3);
    assert_int_equal(stats.completed, 12);
    assert_true(stats.efficiency == 1 && stats.items_mean == 4);
    assert_int_equal(weir_hist_count(weir_batcher_latency(batcher)), 3);
    assert_true(stats.latency_p50_ns > 0 && stats.latency_max_ns >= stats.latency_p99_ns);
}

static void test_flush_by_bytes(void **state)
{
    (void)state;
    char body[32];
    batch_cfg.bytes_max = 64;
    open_fixed(hold, 100);
    /* Items of 20 bytes: three with brackets and commas are 64, and all that fit. */
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(body, sizeof body, "\"%018u\"", i);
        add_body(i, body);
    }
    rig_settle(&rig);
    assert_int_equal(held_count, 0); /* exactly full: there is no telling that more would come */
    add(3);
    expect_held(1);
    assert_int_equal(held[0]->body.len, 64);
    assert_int_equal(count_of(held[0]), 3);
    assert_int_equal(batch_stats().waiting_now, 1);
    answer_array(held[0]);
    expect_good(0, 3);
    struct weir_batcher_stats stats = batch_stats();
    assert_int_equal(stats.flushed[WEIR_BATCH_BYTES], 1);
    assert_true(stats.efficiency == 1);
    (void)snprintf(body, sizeof body, "\"%018u\"", 4);
    add_body(4, body);
    add_body(5, body);
    add_body(6, body);
    expect_held(2);
    assert_int_equal(count_of(held[1]), 3); /* the short one, and two of the long ones */
    answer_array(held[1]);
    expect_good(3, 3);
}

static void test_flush_by_time(void **state)
{
    (void)state;
    batch_cfg.adaptive = false;
    batch_cfg.wait_ns = 20 * RIG_MS;
    open_batcher(hold);
    uint64_t before = weir_clock_ns();
    add(0);
    rig_run_for(&rig, 5 * RIG_MS);
    add(1); /* the time counts from the first */
    expect_held(1);
    assert_true(weir_clock_ns() - before >= 20 * RIG_MS);
    expect_body(held[0], "[0,1]");
    answer_array(held[0]);
    expect_good(0, 2);
    assert_int_equal(batch_stats().flushed[WEIR_BATCH_TIME], 1);
    /* The timer that is left from a batch that went early does not shorten the next wait. */
    add(2);
    inside++;
    weir_batcher_flush(batcher);
    inside--;
    expect_held(2);
    rig_run_for(&rig, 10 * RIG_MS);
    before = weir_clock_ns();
    add(3);
    expect_held(3);
    assert_true(weir_clock_ns() - before >= 20 * RIG_MS);
    answer_array(held[1]);
    answer_array(held[2]);
    expect_good(2, 2);
}

static void test_flush_on_demand(void **state)
{
    (void)state;
    open_fixed(hold, 4);
    weir_batcher_flush(batcher); /* of nothing: nothing, and it is forgotten */
    rig_settle(&rig);
    for (unsigned i = 0; i < 6; i++)
        add(i);
    expect_held(1);
    weir_batcher_flush(batcher);
    expect_held(2);
    expect_body(held[1], "[4,5]");
    add(6);
    rig_settle(&rig);
    assert_int_equal(held_count, 2);
    weir_batcher_flush(batcher);
    expect_held(3);
    for (unsigned i = 0; i < 3; i++)
        answer_array(held[i]);
    expect_good(0, 7);
    assert_int_equal(batch_stats().flushed[WEIR_BATCH_DEMAND], 2);
}

/* Without load nothing is held: the request goes out in the pass of the item. */
static void test_lone_item_is_not_held(void **state)
{
    (void)state;
    open_batcher(hold);
    for (unsigned i = 0; i < 5; i++) {
        add(i);
        assert_int_equal(weir_engine_run_once(rig.engine, 0), 0);
        assert_int_equal(batch_stats().in_flight_now, 1);
        expect_held(i + 1);
        answer_array(held[i]);
        expect_good(i, 1);
    }
    struct weir_batcher_stats stats = batch_stats();
    assert_int_equal(stats.batches, 5);
    assert_int_equal(stats.aim_now, 1);
    assert_true(stats.efficiency == 1);
}

static void test_batches_max(void **state)
{
    (void)state;
    batch_cfg.batches_max = 2;
    open_fixed(hold, 2);
    for (unsigned i = 0; i < 10; i++)
        add(i);
    expect_held(2);
    weir_batcher_flush(batcher);
    rig_settle(&rig);
    assert_int_equal(held_count, 2);
    assert_int_equal(batch_stats().in_flight_now, 2);
    assert_int_equal(batch_stats().waiting_now, 6);
    answer_array(held[0]);
    expect_held(3);
    expect_body(held[2], "[4,5]");
    rig.on_last = answer_array;
    answer_array(held[1]);
    answer_array(held[2]);
    expect_good(0, 10);
}

/* A client that has no room makes the batch wait, not fail. */
static void test_client_is_full(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 1;
    rig.client_cfg.waiting_max = 1;
    open_fixed(hold, 2);
    for (unsigned i = 0; i < 8; i++)
        add(i);
    expect_held(1);
    rig_settle(&rig);
    assert_int_equal(batch_stats().waiting_now, 2); /* in flight, in the client's queue, stalled */
    assert_non_null(batcher->stalled);
    cancel(4); /* in the stalled one */
    rig.on_last = answer_array;
    answer_array(held[0]);
    expect_good(0, 4);
    expect_items(4, 1, WEIR_E_CANCELLED);
    expect_good(5, 3);
    assert_int_equal(batch_stats().batches, 4);
}

/* ---- Cancelling and deadlines ------------------------------------------------------------ */

static void test_cancel(void **state)
{
    (void)state;
    open_fixed(hold, 4);
    for (unsigned i = 0; i < 3; i++)
        add(i);
    cancel(1);
    cancel(1); /* again: no effect */
    assert_int_equal(items[1].ended, 0);
    add(3);
    add(4);
    expect_held(1);
    expect_items(1, 1, WEIR_E_CANCELLED);
    expect_body(held[0], "[0,2,3,4]");
    cancel(0); /* under way */
    cancel(3);
    expect_items(0, 1, WEIR_E_CANCELLED);
    expect_items(3, 1, WEIR_E_CANCELLED);
    assert_int_equal(items[2].ended, 0);
    answer_array(held[0]);
    expect_good(2, 1);
    expect_good(4, 1);
    cancel(2); /* over */
    rig_settle(&rig);
    assert_int_equal(items_ended, 5);
    assert_int_equal(batch_stats().failed, 3);
}

static void cancel_next(struct rig_item *ri)
{
    weir_batch_item_cancel(&items[ri->index + 1].item);
}

static void test_cancel_from_on_end(void **state)
{
    (void)state;
    open_fixed(hold, 4);
    for (unsigned i = 0; i < 4; i++)
        add(i);
    items[0].on_end = cancel_next; /* in the same batch, and its answer is there */
    items[2].on_end = cancel_next;
    add(4);
    expect_held(1);
    answer_array(held[0]);
    expect_good(0, 1);
    expect_items(1, 1, WEIR_E_CANCELLED);
    expect_good(2, 1);
    expect_items(3, 1, WEIR_E_CANCELLED);
    assert_int_equal(items[4].ended, 0);
}

static void test_deadlines(void **state)
{
    (void)state;
    open_fixed(hold, 4);
    uint64_t now = weir_clock_ns();
    for (unsigned i = 0; i < 3; i++) {
        struct rig_item *ri = item_init(i, "0");
        ri->item.deadline_ns = i == 1 ? now + 5 * RIG_MS : now + 3600 * 1000 * RIG_MS;
        assert_int_equal(try_add(ri), 0);
    }
    expect_items(1, 1, WEIR_E_DEADLINE); /* while it waited */
    for (unsigned i = 3; i < 5; i++) {
        struct rig_item *ri = item_init(i, "0");
        ri->item.deadline_ns = weir_clock_ns() + 30 * RIG_MS;
        assert_int_equal(try_add(ri), 0);
    }
    expect_held(1);
    assert_int_equal(count_of(held[0]), 4);
    expect_items(3, 2, WEIR_E_DEADLINE); /* under way: the batch goes on */
    assert_int_equal(items[0].ended + items[2].ended, 0);
    answer_array(held[0]);
    expect_good(0, 1);
    expect_good(2, 1);
    /* One that has passed already. */
    struct rig_item *ri = item_init(5, "5");
    ri->item.deadline_ns = 1;
    assert_int_equal(try_add(ri), 0);
    assert_int_equal(ri->ended, 0);
    expect_items(5, 1, WEIR_E_DEADLINE);
}

/* The call has the latest deadline of its items, and none when one of them has none. */
static void test_deadline_of_the_call(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 2;
    open_fixed(hold, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct rig_item *ri = item_init(i, "0");
        ri->item.deadline_ns = weir_clock_ns() + (i == 0 ? 30 : 10) * RIG_MS;
        assert_int_equal(try_add(ri), 0);
    }
    expect_held(1);
    expect_items(0, 2, WEIR_E_DEADLINE);
    RIG_UNTIL(&rig, batch_stats().in_flight_now == 0); /* it was given up */
    struct rig_item *ri = item_init(2, "2");
    ri->item.deadline_ns = weir_clock_ns() + 10 * RIG_MS;
    assert_int_equal(try_add(ri), 0);
    add(3);
    expect_held(2);
    expect_items(2, 1, WEIR_E_DEADLINE);
    answer_array(held[1]);
    expect_good(3, 1);
}

/* ---- Under load -------------------------------------------------------------------------- */

static unsigned again_until;

static void add_again(struct rig_item *ri)
{
    assert_int_equal(ri->err, 0);
    if (items_added < again_until)
        assert_int_equal(try_add(ri), 0);
}

/* A closed loop, as a load generator has it: the size settles at half of it and stays filled. */
static void closed_loop(unsigned in_flight, unsigned total)
{
    again_until = total;
    for (unsigned i = 0; i < in_flight; i++)
        add(i)->on_end = add_again;
}

static void test_adaptive_under_load(void **state)
{
    (void)state;
    rig.server_cfg.body_bytes_max = 65536;
    batch_cfg.batches_max = 16;
    open_batcher(answer_array);
    closed_loop(64, 12000);
    RIG_UNTIL(&rig, items_ended >= 2000);
    struct weir_batcher_stats warm = batch_stats();
    assert_int_equal(warm.aim_now, 32);
    RIG_UNTIL(&rig, items_ended >= 11000);
    struct weir_batcher_stats stats = batch_stats();
    double efficiency = (double)(stats.items_sent - warm.items_sent) /
                        (double)(stats.items_aimed - warm.items_aimed);
    if (efficiency < 0.95)
        print_error("efficiency %.3f, mean %.1f, aim %u\n", efficiency, stats.items_mean,
                    stats.aim_now);
    assert_true(efficiency >= 0.95);
    RIG_UNTIL(&rig, items_ended == 12000);
    assert_int_equal(batch_stats().completed, 12000);
    /* And it follows the load down. */
    closed_loop(4, 12100);
    RIG_UNTIL(&rig, items_ended >= 12090);
    assert_in_range(batch_stats().aim_now, 1, 2);
    RIG_UNTIL(&rig, items_ended == 12100);
}

static void test_add_from_on_end(void **state)
{
    (void)state;
    open_fixed(answer_array, 1);
    closed_loop(3, 300);
    RIG_UNTIL(&rig, items_ended == 300);
    assert_int_equal(batch_stats().batches, 300);
}

/* ---- Closing ----------------------------------------------------------------------------- */

static void answer_soon(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    (void)ctx;
    for (unsigned i = 0; i < held_count; i++)
        answer_array(held[i]);
    rig.on_last = answer_array;
}

static void add_refused(struct rig_item *ri)
{
    assert_int_equal(try_add(&items[ri->index + 100]), WEIR_E_SHUTDOWN);
}

static void test_close_sends_what_waits(void **state)
{
    (void)state;
    struct weir_timer timer;
    batch_cfg.batches_max = 1;
    open_fixed(hold, 4);
    for (unsigned i = 0; i < 7; i++) {
        (void)item_init(i + 100, "1");
        add(i)->on_end = add_refused;
    }
    expect_held(1);
    weir_timer_init(&timer, answer_soon, NULL);
    weir_timer_set(rig.engine, &timer, weir_clock_ns() + 10 * RIG_MS);
    close_batcher(0);
    expect_good(0, 7);
    assert_int_equal(rig.xs_count, 2);
}

static void test_close_gives_up(void **state)
{
    (void)state;
    rig.client_cfg.conns_max = 1;
    rig.client_cfg.waiting_max = 1;
    open_fixed(hold, 2);
    for (unsigned i = 0; i < 9; i++)
        add(i);
    expect_held(1);
    assert_non_null(batcher->stalled);
    uint64_t before = weir_clock_ns();
    close_batcher(before + 10 * RIG_MS);
    assert_true(weir_clock_ns() - before >= 10 * RIG_MS);
    expect_items(0, 9, WEIR_E_SHUTDOWN);
}

/* Nobody is left to wait for: closing does not wait for the answer either. */
static void test_close_with_nobody_left(void **state)
{
    (void)state;
    open_fixed(hold, 2);
    add(0);
    add(1);
    expect_held(1);
    cancel(0);
    cancel(1);
    close_batcher(0);
    expect_items(0, 2, WEIR_E_CANCELLED);
}

static void test_close_idle(void **state)
{
    (void)state;
    open_fixed(hold, 2);
    close_batcher(0);
}

/* ---- Anything in any order --------------------------------------------------------------- */

static uint64_t storm_seed, storm_draws;

static unsigned draw(unsigned below)
{
    return (unsigned)(weir_random_u64(storm_seed, 0, storm_draws++) % below);
}

/* Now, later, or never; well or in one of several bad ways. */
static void storm_answer(struct rig_x *rx)
{
    switch (draw(8)) {
    case 0:
        hold(rx);
        break;
    case 1:
        rig_respond(rx, 503, "busy");
        break;
    case 2:
        rig_respond(rx, 200, "[{\"status\":200}]");
        break;
    case 3:
        weir_exchange_abort(rx->x, WEIR_ABORT_RST);
        break;
    default:
        answer_array(rx);
        break;
    }
}

static void storm_release(void)
{
    for (unsigned i = 0; i < held_count; i++)
        if (held[i]->x != NULL)
            answer_array(held[i]);
    held_count = 0;
}

static void storm_step(void)
{
    unsigned index = draw(200);
    struct rig_item *ri = &items[index];
    switch (draw(10)) {
    case 0:
        cancel(index);
        break;
    case 1:
        weir_batcher_flush(batcher);
        break;
    case 2:
        rig_pass(&rig);
        break;
    case 3:
        storm_release();
        break;
    default:
        if (ri->ended == ri->added) {
            (void)item_init(index, "{\"a\":[1,2,{}]}");
            ri->item.deadline_ns = draw(4) == 0 ? weir_clock_ns() + draw(3) * RIG_MS : 0;
            int rc = try_add(ri);
            assert_true(rc == 0 || rc == WEIR_E_QUEUE_FULL);
        }
        break;
    }
}

static void test_storm(void **state)
{
    (void)state;
    storm_seed =
        20260 + (getenv("WEIR_SEED") != NULL ? strtoull(getenv("WEIR_SEED"), NULL, 10) : 0u);
    print_message("seed %" PRIu64 "\n", storm_seed);
    storm_draws = 0;
    batch_cfg.ordered = draw(2) == 0;
    batch_cfg.batches_max = 1 + draw(4);
    batch_cfg.waiting_max = 100;
    batch_cfg.items_max = 1 + draw(20);
    batch_cfg.wait_ns = draw(3) * RIG_MS;
    batch_cfg.adaptive = draw(2) == 0;
    rig.client_cfg.conns_max = 1 + draw(3);
    rig.client_cfg.waiting_max = 1 + draw(3);
    open_batcher(storm_answer);
    for (unsigned i = 0; i < 20000 && rig.xs_count < RIG_X_MAX - 150; i++) {
        if (held_count > 48)
            storm_release();
        storm_step();
    }
    rig.on_last = answer_array;
    storm_release();
    close_batcher(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BATCH_TEST(test_configuration),
        BATCH_TEST(test_memory),
        BATCH_TEST(test_refused_items),
        BATCH_TEST(test_request),
        BATCH_TEST(test_flush_by_size),
        BATCH_TEST(test_flush_by_bytes),
        BATCH_TEST(test_flush_by_time),
        BATCH_TEST(test_flush_on_demand),
        BATCH_TEST(test_lone_item_is_not_held),
        BATCH_TEST(test_batches_max),
        BATCH_TEST(test_client_is_full),
        BATCH_TEST(test_cancel),
        BATCH_TEST(test_cancel_from_on_end),
        BATCH_TEST(test_deadlines),
        BATCH_TEST(test_deadline_of_the_call),
        BATCH_TEST(test_adaptive_under_load),
        BATCH_TEST(test_add_from_on_end),
        BATCH_TEST(test_close_sends_what_waits),
        BATCH_TEST(test_close_gives_up),
        BATCH_TEST(test_close_with_nobody_left),
        BATCH_TEST(test_close_idle),
        BATCH_TEST(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
