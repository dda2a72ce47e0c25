/* SPDX-License-Identifier: MIT */
#include "mock/api/request.c"
#include "mock/text.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_pool(void **state)
{
    (void)state;
    struct request_pool pool;
    struct request *out[4];
    assert_int_equal(request_pool_open(&pool, 4), 0);
    for (int i = 0; i < 4; i++) {
        out[i] = request_get(&pool);
        assert_non_null(out[i]);
        for (int k = 0; k < i; k++)
            assert_ptr_not_equal(out[i], out[k]);
    }
    assert_null(request_get(&pool));
    out[2]->seq = 5;
    text_put(&out[2]->text, "x");
    request_put(&pool, out[2]);
    request_put(&pool, out[1]);
    assert_ptr_equal(request_get(&pool), out[1]); /* the last one is warm */
    assert_ptr_equal(request_get(&pool), out[2]);
    assert_int_equal(out[2]->seq, 0);
    assert_null(out[2]->text.ptr);
    assert_null(request_get(&pool));
    request_pool_close(&pool);
}

/* What a request holds is released with it, or with the pool: a sanitizer knows. */
static void test_release(void **state)
{
    (void)state;
    struct request_pool pool;
    struct config *config = NULL;
    struct config_error error;
    struct app *app = (struct app *)(void *)&pool; /* somebody's; nothing looks into it */
    json_t *tree = json_object();
    assert_int_equal(config_open(&config, tree, NULL, &error), 0);
    json_decref(tree);
    assert_int_equal(request_pool_open(&pool, 4), 0);
    for (int i = 0; i < 4; i++) {
        struct request *request = request_get(&pool);
        request->app = app;
        request->config = config_hold(config);
        request->override = calloc(1, sizeof *request->override);
        request->filter = calloc(1, 64);
        text_put(&request->text, "held");
        if (i % 2 == 0)
            request_put(&pool, request);
    }
    assert_int_equal(atomic_load(&config->refs), 3); /* two are still out */
    request_pool_close(&pool);
    assert_int_equal(atomic_load(&config->refs), 1);
    config_drop(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_pool),
                                        cmocka_unit_test(test_release) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
