/* SPDX-License-Identifier: MIT */
#include "core/pool.h"

#include <weir/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED   20240622u
#define COUNT  50u
#define STRIDE 40u
#define STEPS  20000u

struct pooled {
    struct weir_arena arena;
    struct weir_pool pool;
};

static int setup(void **state)
{
    static struct pooled p;
    p = (struct pooled){ .pool.count = 0 };
    if (weir_arena_open(&p.arena, weir_pool_bytes(STRIDE, COUNT)) != 0)
        return -1;
    weir_pool_open(&p.pool, &p.arena, STRIDE, COUNT);
    weir_arena_seal(&p.arena);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct pooled *p = *state;
    weir_arena_close(&p->arena);
    return 0;
}

static void test_all_and_no_more(void **state)
{
    struct weir_pool *pool = &((struct pooled *)*state)->pool;
    uint8_t *objects[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        objects[i] = weir_pool_get(pool);
        assert_non_null(objects[i]);
        assert_int_equal(weir_pool_index(pool, objects[i]), i);
        assert_ptr_equal(weir_pool_at(pool, i), objects[i]);
        for (unsigned at = 0; at < STRIDE; at++)
            assert_int_equal(objects[i][at], 0);
        memset(objects[i], (int)i, STRIDE);
    }
    assert_null(weir_pool_get(pool));
    assert_null(weir_pool_get(pool));
    assert_int_equal(pool->used, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned at = 0; at < STRIDE; at++)
            assert_int_equal(objects[i][at], i);
        weir_pool_put(pool, objects[i]);
    }
    assert_int_equal(pool->used, 0);
}

static void test_last_in_first_out(void **state)
{
    struct weir_pool *pool = &((struct pooled *)*state)->pool;
    void *a = weir_pool_get(pool), *b = weir_pool_get(pool);
    weir_pool_put(pool, a);
    weir_pool_put(pool, b);
    assert_ptr_equal(weir_pool_get(pool), b);
    assert_ptr_equal(weir_pool_get(pool), a);
    /* Only now is a fresh one touched. */
    assert_int_equal(pool->fresh, 2);
    assert_int_equal(weir_pool_index(pool, weir_pool_get(pool)), 2);
    assert_int_equal(pool->fresh, 3);
}

/* What the owner left behind the first pointer stays. */
static void test_keeps_the_rest(void **state)
{
    struct weir_pool *pool = &((struct pooled *)*state)->pool;
    uint8_t *a = weir_pool_get(pool);
    memset(a, 0x5a, STRIDE);
    weir_pool_put(pool, a);
    assert_ptr_equal(weir_pool_get(pool), a);
    for (unsigned at = sizeof(void *); at < STRIDE; at++)
        assert_int_equal(a[at], 0x5a);
}

/* Nobody ever gets an object that somebody has. */
static void test_random(void **state)
{
    struct weir_pool *pool = &((struct pooled *)*state)->pool;
    uint8_t *out[COUNT] = { NULL };
    unsigned count = 0;
    print_message("seed %u\n", SEED);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)(weir_random_u64(SEED, 0, step) % COUNT);
        if (out[i] == NULL) {
            out[i] = weir_pool_get(pool);
            assert_non_null(out[i]);
            memset(out[i], (int)i, STRIDE);
            count++;
        } else {
            for (unsigned at = 0; at < STRIDE; at++)
                assert_int_equal(out[i][at], i);
            weir_pool_put(pool, out[i]);
            out[i] = NULL;
            count--;
        }
        assert_int_equal(pool->used, count);
        assert_true(pool->fresh <= COUNT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_in_first_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keeps_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
