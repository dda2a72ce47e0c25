/* SPDX-License-Identifier: MIT */
#include "mock/endpoint.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct weir_slice slice(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static void test_find_every_path(void **state)
{
    (void)state;
    for (int e = 0; e < ENDPOINT_OTHER; e++)
        assert_int_equal(endpoint_find(slice(endpoint_name((enum endpoint)e))), e);
}

/* No byte of a path may be ignored, and a path is not read past its end. */
static void test_find_no_other_path(void **state)
{
    (void)state;
    for (int e = 0; e < ENDPOINT_OTHER; e++) {
        const char *name = endpoint_name((enum endpoint)e);
        size_t len = strlen(name);
        uint8_t *path = malloc(len + 1);
        assert_non_null(path);
        for (size_t i = 0; i < len; i++) {
            memcpy(path, name, len);
            path[i] ^= 1;
            assert_int_equal(endpoint_find((struct weir_slice){ path, len }), ENDPOINT_OTHER);
        }
        memcpy(path, name, len);
        path[len] = '/';
        assert_int_equal(endpoint_find((struct weir_slice){ path, len + 1 }), ENDPOINT_OTHER);
        assert_int_equal(endpoint_find((struct weir_slice){ path, len - 1 }), ENDPOINT_OTHER);
        free(path);
    }
    assert_int_equal(endpoint_find((struct weir_slice){ NULL, 0 }), ENDPOINT_OTHER);
}

static void test_methods(void **state)
{
    (void)state;
    assert_int_equal(method_find(slice("GET")), METHOD_GET);
    assert_int_equal(method_find(slice("HEAD")), METHOD_HEAD);
    assert_int_equal(method_find(slice("POST")), METHOD_POST);
    assert_int_equal(method_find(slice("get")), METHOD_OTHER);
    assert_int_equal(method_find(slice("PUT")), METHOD_OTHER);
    assert_int_equal(method_find(slice("POSTS")), METHOD_OTHER);
}

static void test_allow_tells_what_is_taken(void **state)
{
    (void)state;
    for (int e = 0; e < ENDPOINT_OTHER; e++) {
        struct weir_slice allow = endpoint_allow((enum endpoint)e);
        bool get = endpoint_takes((enum endpoint)e, METHOD_GET);
        assert_int_equal(endpoint_takes((enum endpoint)e, METHOD_HEAD), get);
        assert_int_equal(endpoint_takes((enum endpoint)e, METHOD_POST), !get);
        assert_false(endpoint_takes((enum endpoint)e, METHOD_OTHER));
        assert_int_equal(allow.len, get ? 9 : 4);
        assert_memory_equal(allow.ptr, get ? "GET, HEAD" : "POST", allow.len);
    }
    for (int m = 0; m < METHOD_COUNT; m++)
        assert_false(endpoint_takes(ENDPOINT_OTHER, (enum method)m));
    assert_string_equal(method_name(METHOD_HEAD), "HEAD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_every_path),
        cmocka_unit_test(test_find_no_other_path),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_allow_tells_what_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
