/* SPDX-License-Identifier: MIT */
#include "mock/control/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_BYTES_MAX 40000 /* it is read over slow links, too, and is no application */

static bool contains(struct weir_slice page, const char *text)
{
    return memmem(page.ptr, page.len, text, strlen(text)) != NULL;
}

/* The tests run where make does, in the root of the project. */
static void test_is_the_file(void **state)
{
    (void)state;
    struct weir_slice page = page_html();
    FILE *file = fopen("mock/control/page.html", "rb");
    assert_non_null(file);
    char *bytes = malloc(PAGE_BYTES_MAX + 1);
    assert_non_null(bytes);
    size_t len = fread(bytes, 1, PAGE_BYTES_MAX + 1, file);
    assert_int_equal(ferror(file), 0);
    assert_int_equal(fclose(file), 0);
    assert_in_range(len, 1, PAGE_BYTES_MAX);
    assert_int_equal(page.len, len);
    assert_memory_equal(page.ptr, bytes, len);
    free(bytes);
}

static void test_is_a_whole_page(void **state)
{
    (void)state;
    struct weir_slice page = page_html();
    static const char begin[] = "<!doctype html>\n", end[] = "</html>\n";
    assert_true(page.len > sizeof begin + sizeof end);
    assert_memory_equal(page.ptr, begin, sizeof begin - 1);
    assert_memory_equal(page.ptr + page.len - (sizeof end - 1), end, sizeof end - 1);
    assert_null(memchr(page.ptr, 0, page.len));
}

/* What the mock tells may hold anything: nothing of it may be read as HTML or as code. */
static void test_has_no_way_in(void **state)
{
    (void)state;
    static const char *const ways[] = {
        "innerHTML", "outerHTML",    "insertAdjacentHTML",       "document.write",
        "eval(",     "new Function", "createContextualFragment", "setHTMLUnsafe",
        "srcdoc"
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (contains(page_html(), ways[i]))
            fail_msg("the page uses %s", ways[i]);
    }
}

/* One file: nothing is loaded, and the policy would let nothing be loaded. */
static void test_is_self_contained(void **state)
{
    (void)state;
    static const char *const loads[] = { "<script src", "rel=\"stylesheet\"", "@import", "url(\"",
                                         "url('",       "https://",           "//cdn" };
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        if (contains(page_html(), loads[i]))
            fail_msg("the page has %s", loads[i]);
    }
    assert_non_null(strstr(PAGE_POLICY, "default-src 'self';"));
    assert_non_null(strstr(PAGE_POLICY, "frame-ancestors 'none'"));
    assert_non_null(strstr(PAGE_CONTENT_TYPE, "charset=utf-8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_the_file),
        cmocka_unit_test(test_is_a_whole_page),
        cmocka_unit_test(test_has_no_way_in),
        cmocka_unit_test(test_is_self_contained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
