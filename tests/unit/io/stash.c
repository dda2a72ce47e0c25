/* SPDX-License-Identifier: MIT */
/* Input that waits, against the stream it must hold. */
#include "io/stash.h"

#include "rig.h"

#define SEED  20240624u
#define STEPS 30000u
#define BLOCK 4096u

static struct weir_engine *engine;

static int setup(void **state)
{
    (void)state;
    struct weir_engine_config cfg = rig_config();
    cfg.stash_bytes_max = 1u << 16; /* 15 blocks with their heads */
    cfg.stash_block_bytes = BLOCK;
    engine = rig_open(&cfg);
    assert_int_equal(engine->stash.count, 15);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(engine);
    return 0;
}

static struct weir_slice stream_slice(uint64_t offset, size_t bytes)
{
    return (struct weir_slice){ rig_stream(offset), bytes };
}

static int append(struct weir_stash *stash, uint64_t offset, size_t bytes)
{
    return weir_stash_append(engine, stash, stream_slice(offset, bytes));
}

static void check_holds(const struct weir_stash *stash, uint64_t offset)
{
    uint64_t at = offset;
    for (const struct weir_stash_block *b = stash->first; b != NULL; b = b->next) {
        assert_true(b->begin < b->end && b->end <= BLOCK);
        assert_true(rig_stream_take(&at, b->data + b->begin, b->end - b->begin));
        assert_int_equal(b->next == NULL, b == stash->last);
    }
    assert_int_equal(at - offset, stash->bytes);
    assert_int_equal(weir_stash_empty(stash), stash->first == NULL);
    assert_int_equal(stash->first == NULL, stash->last == NULL);
}

static void test_append_and_consume(void **state)
{
    (void)state;
    struct weir_stash stash = { 0 };
    assert_int_equal(weir_stash_front(&stash).len, 0);
    assert_int_equal(append(&stash, 0, 0), 0);
    assert_int_equal(rig_stats(engine).stash_blocks_now, 0);
    assert_int_equal(append(&stash, 0, 4000), 0);
    assert_int_equal(append(&stash, 4000, 4000), 0);
    check_holds(&stash, 0);
    assert_int_equal(rig_stats(engine).stash_blocks_now, 2);
    assert_int_equal(weir_stash_front(&stash).len, BLOCK);
    weir_stash_consume(engine, &stash, 5000); /* over the border */
    check_holds(&stash, 5000);
    assert_int_equal(weir_stash_front(&stash).len, 3000);
    weir_stash_consume(engine, &stash, 0);
    weir_stash_consume(engine, &stash, 3000);
    assert_true(weir_stash_empty(&stash));
    assert_int_equal(rig_stats(engine).stash_blocks_now, 0);
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    struct weir_stash stash = { 0 };
    size_t all = 15 * BLOCK, half = all / 2;
    assert_int_equal(append(&stash, 0, RIG_PIECE), 0);
    for (size_t at = RIG_PIECE; at < half; at += 100)
        assert_int_equal(append(&stash, at, (size_t)weir_min_u64(100, half - at)), 0);
    while (stash.bytes < all - RIG_PIECE)
        assert_int_equal(append(&stash, stash.bytes, 4096), 0);
    struct weir_stash other = { 0 };
    size_t left = all - stash.bytes;
    assert_int_equal(append(&stash, stash.bytes, left), 0);
    assert_int_equal(append(&stash, all, 1), -ENOBUFS);
    assert_int_equal(append(&other, 0, 1), -ENOBUFS);
    assert_int_equal(rig_stats(engine).stash_short, 2);
    check_holds(&stash, 0);
    assert_true(weir_stash_empty(&other));
    weir_stash_consume(engine, &stash, BLOCK);
    assert_int_equal(append(&other, 0, BLOCK + 1), -ENOBUFS);
    assert_int_equal(append(&other, 0, BLOCK), 0);
    weir_stash_clear(engine, &stash);
    weir_stash_clear(engine, &other);
    weir_stash_clear(engine, &other);
}

static void test_join(void **state)
{
    (void)state;
    struct weir_stash stash = { 0 };
    assert_false(weir_stash_join(engine, &stash));
    assert_int_equal(append(&stash, 0, 2000), 0);
    assert_false(weir_stash_join(engine, &stash)); /* nothing behind it */
    assert_int_equal(append(&stash, 2000, 8000), 0);
    assert_false(weir_stash_join(engine, &stash)); /* as long as it can be */
    weir_stash_consume(engine, &stash, 3000);
    assert_int_equal(weir_stash_front(&stash).len, BLOCK - 3000);
    assert_true(weir_stash_join(engine, &stash));
    assert_int_equal(weir_stash_front(&stash).len, BLOCK);
    check_holds(&stash, 3000);
    assert_false(weir_stash_join(engine, &stash));
    /* The next block becomes empty by it and goes, also when it is the last. */
    weir_stash_consume(engine, &stash, BLOCK);
    check_holds(&stash, 3000 + BLOCK);
    weir_stash_consume(engine, &stash, 500);
    while (weir_stash_join(engine, &stash))
        check_holds(&stash, 3500 + BLOCK);
    assert_int_equal(rig_stats(engine).stash_blocks_now, 1);
    assert_int_equal(append(&stash, 10000, 10), 0);
    check_holds(&stash, 3500 + BLOCK);
    weir_stash_clear(engine, &stash);
    assert_true(weir_stash_empty(&stash));
}

static void test_random(void **state)
{
    (void)state;
    struct weir_stash stash = { 0 };
    uint64_t head = 0, tail = 0;
    print_message("seed %u\n", SEED);
    for (uint64_t step = 0; step < STEPS; step++) {
        uint64_t random = weir_random_u64(SEED, step, 0);
        size_t n = (size_t)(random >> 32) % ((random & 8) ? 6000 : 60);
        struct weir_slice front = weir_stash_front(&stash);
        uint64_t at = head;
        assert_true(rig_stream_take(&at, front.ptr, front.len));
        switch (random % 4) {
        case 0:
            if (append(&stash, tail, n) == 0)
                tail += n;
            break;
        case 1:
            if (weir_stash_join(engine, &stash))
                assert_true(weir_stash_front(&stash).len > front.len);
            else
                assert_true(front.len == stash.bytes || front.len == BLOCK);
            break;
        default:
            n = (size_t)weir_min_u64(n / (random & 16 ? 1 : 3), stash.bytes);
            weir_stash_consume(engine, &stash, n);
            head += n;
            break;
        }
        check_holds(&stash, head);
        assert_int_equal(stash.bytes, tail - head);
        uint64_t blocks = rig_stats(engine).stash_blocks_now;
        assert_true(blocks * BLOCK >= stash.bytes);
    }
    assert_true(head > 1u << 20);
    weir_stash_clear(engine, &stash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_and_consume, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_join, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
