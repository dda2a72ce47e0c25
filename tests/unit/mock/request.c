/* SPDX-License-Identifier: MIT */
#include "mock/request.c"
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
    text_put(&out[0]->text, "still out");
    request_pool_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_pool) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
