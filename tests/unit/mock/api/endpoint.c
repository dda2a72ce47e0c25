/* SPDX-License-Identifier: MIT */
#include "mock/api/endpoint.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct weir_slice slice(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static bool has_id(enum endpoint endpoint)
{
    return endpoint == ENDPOINT_V1_MODEL || endpoint == ENDPOINT_FAULT;
}

static void test_find_every_path(void **state)
{
    (void)state;
    for (int e = 0; e < ENDPOINT_OTHER; e++)
        assert_int_equal(endpoint_find(slice(endpoint_name((enum endpoint)e))), e);
    assert_int_equal(endpoint_find(slice("/admin")), ENDPOINT_PAGE);
}

/* No byte of a path may be ignored, and a path is not read past its end. */
static void test_find_no_other_path(void **state)
{
    (void)state;
    for (int e = 0; e < ENDPOINT_OTHER; e++) {
        if (has_id((enum endpoint)e))
            continue;
        const char *name = endpoint_name((enum endpoint)e);
        size_t len = strlen(name);
        for (size_t i = 0; i < len; i++) {
            uint8_t *path = malloc(len);
            assert_non_null(path);
            memcpy(path, name, len);
            path[i] ^= 1;
            assert_int_equal(endpoint_find((struct weir_slice){ path, len }), ENDPOINT_OTHER);
            free(path);
        }
        uint8_t *longer = malloc(len + 1);
        assert_non_null(longer);
        memcpy(longer, name, len);
        longer[len] = '/';
        assert_int_equal(endpoint_find((struct weir_slice){ longer, len + 1 }), ENDPOINT_OTHER);
        if (e != ENDPOINT_PAGE)
            assert_int_equal(endpoint_find((struct weir_slice){ longer, len - 1 }), ENDPOINT_OTHER);
        free(longer);
    }
    assert_int_equal(endpoint_find((struct weir_slice){ NULL, 0 }), ENDPOINT_OTHER);
}

/* Every prefix of a path with an id, in memory of exactly that size. */
static void test_find_ids(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum endpoint endpoint;
        const char *id;
    } cases[] = {
        { "/v1/models/m", ENDPOINT_V1_MODEL, "m" },
        { "/v1/models/org/model-7b", ENDPOINT_V1_MODEL, "org/model-7b" },
        { "/v1/models/a%2Fb", ENDPOINT_V1_MODEL, "a%2Fb" },
        { "/v1/models/", ENDPOINT_OTHER, "" },
        { "/v1/modelsx", ENDPOINT_OTHER, "" },
        { "/v1/models//", ENDPOINT_V1_MODEL, "/" },
        { "/admin/faults/r1", ENDPOINT_FAULT, "r1" },
        { "/admin/faults/reset%20all", ENDPOINT_FAULT, "reset%20all" },
        { "/admin/faults/", ENDPOINT_OTHER, "" },
        { "/admin/faults/a/b", ENDPOINT_OTHER, "" },
        { "/admin/faults/a/", ENDPOINT_OTHER, "" },
        { "/admin/faultsx", ENDPOINT_OTHER, "" },
        /* As long as a path that is known. */
        { "/v1/models/abcde", ENDPOINT_V1_MODEL, "abcde" },
        { "/v1/models/abcdefg", ENDPOINT_V1_MODEL, "abcdefg" },
        { "/admin/faults/abcdefg", ENDPOINT_FAULT, "abcdefg" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = strlen(cases[i].path);
        uint8_t *path = malloc(len);
        assert_non_null(path);
        memcpy(path, cases[i].path, len);
        enum endpoint endpoint = endpoint_find((struct weir_slice){ path, len });
        if (endpoint != cases[i].endpoint)
            fail_msg("%s is %s", cases[i].path, endpoint_name(endpoint));
        struct weir_slice id = endpoint_id(endpoint, (struct weir_slice){ path, len });
        assert_int_equal(id.len, strlen(cases[i].id));
        assert_memory_equal(id.ptr, cases[i].id, id.len);
        free(path);
    }
}

static void test_methods(void **state)
{
    (void)state;
    for (int m = 0; m < METHOD_OTHER; m++)
        assert_int_equal(method_find(slice(method_name((enum method)m))), m);
    static const char *const others[] = { "get",   "Get",     "POSTS",    "PU", "OPTIONS", "",
                                          "PATCX", "DELETEX", "CONNECTX", "XX", "GEX" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(method_find(slice(others[i])), METHOD_OTHER);
    assert_string_equal(method_name(METHOD_HEAD), "HEAD");
}

/* The list that is sent is the mask that is asked. */
static void test_allow_tells_what_is_taken(void **state)
{
    (void)state;
    for (int e = 0; e < ENDPOINT_COUNT; e++) {
        char expected[64] = "";
        for (int m = 0; m < METHOD_COUNT; m++) {
            if (!endpoint_takes((enum endpoint)e, (enum method)m))
                continue;
            size_t len = strlen(expected);
            snprintf(expected + len, sizeof expected - len, "%s%s", len == 0 ? "" : ", ",
                     method_name((enum method)m));
        }
        struct weir_slice allow = endpoint_allow((enum endpoint)e);
        assert_int_equal(allow.len, strlen(expected));
        assert_memory_equal(allow.ptr, expected, allow.len);
        assert_int_equal(allow.len == 0, e == ENDPOINT_OTHER);
        assert_false(endpoint_takes((enum endpoint)e, METHOD_OTHER));
        /* Where there is GET there is HEAD (RFC 9110 section 9.1), but for a stream without end. */
        if (e != ENDPOINT_EVENTS)
            assert_int_equal(endpoint_takes((enum endpoint)e, METHOD_GET),
                             endpoint_takes((enum endpoint)e, METHOD_HEAD));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_every_path),
        cmocka_unit_test(test_find_no_other_path),
        cmocka_unit_test(test_find_ids),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_allow_tells_what_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
