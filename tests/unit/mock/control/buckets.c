/* SPDX-License-Identifier: MIT */
#include "mock/control/buckets.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct bucket_scale *const scales[] = {
    &bucket_scale_ttft,   &bucket_scale_itl,      &bucket_scale_request,
    &bucket_scale_tokens, &bucket_scale_duration, &bucket_scale_lateness,
};

/* Edges rise, and both spellings are the edge. */
static void test_scales(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(scales); s++) {
        const struct bucket_scale *scale = scales[s];
        assert_in_range(scale->count, 1, BUCKETS_EDGES_MAX);
        for (uint32_t i = 0; i < scale->count; i++) {
            const struct bucket_edge *edge = &scale->edges[i];
            double unit = scale->is_time ? 1e9 : 1;
            double le = strtod(edge->le, NULL), canonical = strtod(edge->le_canonical, NULL);
            assert_true(i == 0 || edge->value > scale->edges[i - 1].value);
            assert_true(le >= canonical && le <= canonical);
            assert_int_equal((uint64_t)(le * unit + 0.5), edge->value);
        }
    }
    assert_int_equal(bucket_scale_ttft.count, 22);
    assert_int_equal(bucket_scale_itl.count, 19);
    assert_int_equal(bucket_scale_request.count, 21);
}

static void test_add(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(scales); s++) {
        struct buckets buckets = { 0 };
        const struct bucket_scale *scale = scales[s];
        uint64_t sum = 0;
        assert_true(buckets_mean(&buckets) >= 0 && buckets_mean(&buckets) <= 0);
        for (uint32_t i = 0; i < scale->count; i++) {
            uint64_t edge = scale->edges[i].value;
            buckets_add(&buckets, scale, edge, 1); /* an edge belongs to its bucket */
            buckets_add(&buckets, scale, edge + 1, 2);
            sum += edge + 2 * (edge + 1);
        }
        assert_int_equal(buckets.counts[0], 1);
        for (uint32_t i = 1; i < scale->count; i++)
            assert_in_range(buckets.counts[i], 1, 3);
        assert_int_equal(buckets.counts[scale->count], 2);
        assert_int_equal(buckets_count(&buckets), 3 * scale->count);
        assert_int_equal(buckets.sum, sum);
    }
}

static void test_merge(void **state)
{
    (void)state;
    struct buckets a = { 0 }, b = { 0 };
    buckets_add(&a, &bucket_scale_tokens, 7, 3);
    buckets_add(&b, &bucket_scale_tokens, 10, 1);
    buckets_add(&b, &bucket_scale_tokens, 2000000, 1);
    buckets_merge(&a, &b);
    assert_int_equal(a.counts[3], 4);
    assert_int_equal(a.counts[bucket_scale_tokens.count], 1);
    assert_int_equal(a.sum, 2000031);
    assert_true(buckets_mean(&a) > 400006 && buckets_mean(&a) < 400007);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
