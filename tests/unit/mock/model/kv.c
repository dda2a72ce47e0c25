/* SPDX-License-Identifier: MIT */
#include "mock/model/kv.c"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct kv_cfg small = { .blocks_count = 6,
                                     .block_tokens = 4,
                                     .tables_count = 3,
                                     .table_blocks_max = 5,
                                     .prefix_cache = true };

static void open_small(struct kv *kv)
{
    assert_int_equal(kv_open(kv, &small), 0);
    assert_true(kv_check(kv));
}

static void test_open(void **state)
{
    (void)state;
    struct kv kv;
    struct kv_cfg cfg = small;
    cfg.blocks_count = 0;
    assert_int_equal(kv_open(&kv, &cfg), -EINVAL);
    kv_close(&kv);
    cfg = small;
    cfg.block_tokens = 0;
    assert_int_equal(kv_open(&kv, &cfg), -EINVAL);
    cfg = small;
    cfg.tables_count = 0;
    assert_int_equal(kv_open(&kv, &cfg), -EINVAL);
    cfg = small;
    cfg.table_blocks_max = 7; /* one sequence could ask for more than there is */
    assert_int_equal(kv_open(&kv, &cfg), -EINVAL);
    cfg.table_blocks_max = 0;
    assert_int_equal(kv_open(&kv, &cfg), -EINVAL);
    open_small(&kv);
    assert_int_equal(kv_used_count(&kv), 0);
    assert_int_equal(kv_blocks_for(&kv, 0), 0);
    assert_int_equal(kv_blocks_for(&kv, 1), 1);
    assert_int_equal(kv_blocks_for(&kv, 4), 1);
    assert_int_equal(kv_blocks_for(&kv, 5), 2);
    assert_true(kv_blocks_for(&kv, UINT64_MAX) == UINT32_MAX);
    kv_close(&kv);
    kv_close(&kv);
}

static void test_grow(void **state)
{
    (void)state;
    struct kv kv;
    open_small(&kv);
    assert_int_equal(kv_grow(&kv, 0, 4), 0);
    assert_int_equal(kv_grow(&kv, 0, 2), 0); /* never shrinks */
    assert_int_equal(kv_used_count(&kv), 4);
    assert_int_equal(kv_grow(&kv, 1, 3), -ENOSPC);
    assert_int_equal(kv_used_count(&kv), 4);
    assert_int_equal(kv_grow(&kv, 1, 2), 0);
    assert_int_equal(kv_grow(&kv, 0, 6), -E2BIG);
    assert_int_equal(kv_used_count(&kv), 6);
    assert_true(kv_check(&kv));
    kv_release(&kv, 0);
    assert_int_equal(kv_used_count(&kv), 2);
    kv_release(&kv, 0);
    assert_int_equal(kv_used_count(&kv), 2);
    kv_release(&kv, 1);
    assert_int_equal(kv_used_count(&kv), 0);
    assert_true(kv_check(&kv));
    kv_close(&kv);
}

/* Compute the first `blocks` of a prompt in `table`. */
static void compute(struct kv *kv, uint32_t table, const struct kv_prompt *prompt, uint32_t blocks)
{
    assert_int_equal(kv_grow(kv, table, blocks), 0);
    for (uint32_t i = 0; i < blocks; i++)
        kv_publish(kv, table, i, kv_hash(kv, prompt, i));
    assert_true(kv_check(kv));
}

static void expect_hits(const struct kv *kv, const struct kv_prompt *prompt, uint32_t blocks,
                        uint32_t idle)
{
    struct kv_hits hits = kv_find(kv, prompt, UINT32_MAX);
    assert_int_equal(hits.blocks_count, blocks);
    assert_int_equal(hits.idle_count, idle);
}

static void test_prefix(void **state)
{
    (void)state;
    struct kv kv;
    open_small(&kv);
    /* 9 tokens are shared: two blocks and one token, which is in a block of each one's own. */
    const struct kv_prompt a = { .prefix_id = 7, .prefix_tokens = 9, .key = 1 };
    const struct kv_prompt b = { .prefix_id = 7, .prefix_tokens = 9, .key = 2 };
    const struct kv_prompt c = { .prefix_id = 8, .prefix_tokens = 9, .key = 1 };
    compute(&kv, 0, &a, 3);
    expect_hits(&kv, &a, 3, 0);
    expect_hits(&kv, &b, 2, 0);
    expect_hits(&kv, &c, 0, 0);
    /* A block that ends where the shared tokens end is shared. */
    const struct kv_prompt d = { .prefix_id = 7, .prefix_tokens = 8, .key = 3 };
    expect_hits(&kv, &d, 2, 0);
    assert_int_equal(kv_find(&kv, &a, 1).blocks_count, 1);
    kv_attach(&kv, 1, &b, 2);
    assert_int_equal(kv_used_count(&kv), 3);
    assert_int_equal(kv_grow(&kv, 1, 3), 0);
    assert_int_equal(kv_used_count(&kv), 4);
    assert_true(kv_check(&kv));
    kv_release(&kv, 0);
    assert_int_equal(kv_used_count(&kv), 3);
    expect_hits(&kv, &a, 3, 1);
    kv_release(&kv, 1);
    assert_int_equal(kv_used_count(&kv), 0);
    expect_hits(&kv, &a, 3, 3);
    kv_reset(&kv);
    expect_hits(&kv, &a, 0, 0);
    assert_true(kv_check(&kv));
    kv_close(&kv);
}

/* What was wanted last stays longest, and of one beginning the front stays longer than the end. */
static void test_eviction(void **state)
{
    (void)state;
    struct kv kv;
    open_small(&kv);
    const struct kv_prompt a = { .key = 1 }, b = { .key = 2 };
    compute(&kv, 0, &a, 3);
    compute(&kv, 1, &b, 3);
    kv_release(&kv, 0);
    kv_release(&kv, 1);
    expect_hits(&kv, &a, 3, 3);
    expect_hits(&kv, &b, 3, 3);
    assert_int_equal(kv_grow(&kv, 2, 1), 0);
    expect_hits(&kv, &a, 2, 2);
    assert_int_equal(kv_grow(&kv, 2, 4), 0);
    expect_hits(&kv, &a, 0, 0);
    expect_hits(&kv, &b, 2, 2);
    kv_attach(&kv, 0, &b, 1);
    kv_release(&kv, 0); /* its first block is now the youngest of all */
    assert_int_equal(kv_grow(&kv, 2, 5), 0);
    expect_hits(&kv, &b, 1, 1);
    assert_true(kv_check(&kv));
    kv_close(&kv);
}

/* Two that computed the same at the same time: one block is found, both are given back. */
static void test_same_twice(void **state)
{
    (void)state;
    struct kv kv;
    open_small(&kv);
    const struct kv_prompt a = { .key = 1 };
    compute(&kv, 0, &a, 2);
    compute(&kv, 1, &a, 3);
    assert_int_equal(kv.cached_count, 3);
    expect_hits(&kv, &a, 3, 0);
    kv_release(&kv, 0);
    expect_hits(&kv, &a, 3, 2);
    kv_release(&kv, 1);
    expect_hits(&kv, &a, 3, 3);
    assert_true(kv_check(&kv));
    kv_close(&kv);
}

static void test_no_cache(void **state)
{
    (void)state;
    struct kv kv;
    struct kv_cfg cfg = small;
    cfg.prefix_cache = false;
    assert_int_equal(kv_open(&kv, &cfg), 0);
    const struct kv_prompt a = { .key = 1 };
    compute(&kv, 0, &a, 3);
    expect_hits(&kv, &a, 0, 0);
    assert_int_equal(kv.cached_count, 0);
    kv_close(&kv);
}

static void test_chain(void **state)
{
    (void)state;
    struct kv kv;
    open_small(&kv);
    uint64_t first = kv_chain(0, WEIR_TEXT("abcd"));
    uint64_t x[2] = { first, kv_chain(first, WEIR_TEXT("efgh")) };
    uint64_t y[2] = { first, kv_chain(first, WEIR_TEXT("efgi")) };
    assert_true(x[1] != y[1]);
    assert_true(kv_chain(0, WEIR_TEXT("efgh")) != x[1]);
    assert_true(kv_chain(0, WEIR_TEXT("abcd")) == first);
    const struct kv_prompt a = { .hashes = x, .hashes_count = 2, .key = 1 };
    const struct kv_prompt b = { .hashes = y, .hashes_count = 2, .key = 2 };
    const struct kv_prompt zero = { .hashes = &(uint64_t){ 0 }, .hashes_count = 1 };
    compute(&kv, 0, &a, 3); /* the third is of the output: the sequence's own */
    expect_hits(&kv, &a, 3, 0);
    expect_hits(&kv, &b, 1, 0);
    assert_true(kv_hash(&kv, &zero, 0) != 0);
    kv_close(&kv);
}

#define RANDOM_SEED   31
#define RANDOM_STEPS  20000
#define RANDOM_TABLES 8
#define RANDOM_KEYS   5

/* Anything in any order: the counts agree, and a table's blocks are nobody else's but by sharing.
 */
static void test_random(void **state)
{
    (void)state;
    print_message("seed %d\n", RANDOM_SEED);
    struct kv kv;
    struct kv_cfg cfg = { .blocks_count = 37,
                          .block_tokens = 4,
                          .tables_count = RANDOM_TABLES,
                          .table_blocks_max = 12,
                          .prefix_cache = true };
    assert_int_equal(kv_open(&kv, &cfg), 0);
    uint64_t keys[RANDOM_TABLES] = { 0 };
    for (uint64_t step = 0; step < RANDOM_STEPS; step++) {
        uint64_t random = weir_random_u64(RANDOM_SEED, 0, step);
        uint32_t table = (uint32_t)(random % RANDOM_TABLES);
        struct kv_prompt prompt = { .prefix_id = 1, .prefix_tokens = 12, .key = keys[table] };
        uint32_t have = kv.table_counts[table], want = (uint32_t)(random >> 8) % 13;
        uint32_t used = kv_used_count(&kv);
        if ((random >> 16) % 4 == 0) {
            kv_release(&kv, table);
        } else if (have == 0) {
            prompt.key = keys[table] = (random >> 20) % RANDOM_KEYS;
            struct kv_hits hits = kv_find(&kv, &prompt, want);
            assert_true(hits.blocks_count <= want && hits.idle_count <= hits.blocks_count);
            kv_attach(&kv, table, &prompt, hits.blocks_count);
            assert_int_equal(kv_used_count(&kv), used + hits.idle_count);
        } else if (kv_grow(&kv, table, want) == 0) {
            assert_int_equal(kv_used_count(&kv), used + (want > have ? want - have : 0));
            for (uint32_t i = have; i < want; i++)
                kv_publish(&kv, table, i, kv_hash(&kv, &prompt, i));
        } else {
            assert_int_equal(kv_used_count(&kv), used);
            assert_true(want - have > cfg.blocks_count - used);
        }
        assert_true(kv_used_count(&kv) <= cfg.blocks_count);
        assert_true(kv_check(&kv));
    }
    for (uint32_t table = 0; table < RANDOM_TABLES; table++)
        kv_release(&kv, table);
    assert_int_equal(kv_used_count(&kv), 0);
    assert_true(kv_check(&kv));
    kv_close(&kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),       cmocka_unit_test(test_grow),
        cmocka_unit_test(test_prefix),     cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_same_twice), cmocka_unit_test(test_no_cache),
        cmocka_unit_test(test_chain),      cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
