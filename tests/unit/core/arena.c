/* SPDX-License-Identifier: MIT */
#include "core/arena.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Does `run` end in a failed assertion? */
static bool aborts(void (*run)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = { 0 };
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        run();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident;
}

static void test_take(void **state)
{
    (void)state;
    struct weir_arena arena;
    assert_int_equal(weir_arena_open(&arena, 4 * WEIR_PAGE - 100), 0);
    assert_int_equal(arena.bytes, 4 * WEIR_PAGE);
    uint8_t *end = arena.base;
    for (uint64_t align = 1; align <= WEIR_PAGE; align *= 2) {
        uint8_t *p = weir_arena_take(&arena, 3, align);
        assert_int_equal((uintptr_t)p % align, 0);
        assert_true(p >= end);
        end = p + 3;
        assert_int_equal(p[0] | p[1] | p[2], 0);
        memset(p, 0xff, 3);
    }
    /* Nothing is a valid amount, and a border of a page can be asked for that way. */
    uint8_t *border = weir_arena_take(&arena, 0, WEIR_PAGE);
    assert_int_equal((uintptr_t)border % WEIR_PAGE, 0);
    assert_ptr_equal(weir_arena_take(&arena, 1, 1), border);
    weir_arena_take(&arena, arena.bytes - arena.used, 1);
    assert_int_equal(arena.used, arena.bytes);
    weir_arena_seal(&arena);
    weir_arena_close(&arena);
    assert_null(arena.base);
    weir_arena_close(&arena); /* of nothing: no effect */
}

/* The sum of costs has room whatever lies before each object. */
static void test_cost_is_enough(void **state)
{
    (void)state;
    const uint64_t aligns[] = { 1, 8, 64, 4096, 2, 4096, 64 };
    uint64_t sum = 0;
    for (unsigned i = 0; i < 7; i++)
        sum += weir_arena_cost(i * 37 + 1, aligns[i]);
    struct weir_arena arena;
    assert_int_equal(weir_arena_open(&arena, sum), 0);
    for (unsigned i = 0; i < 7; i++)
        weir_arena_take(&arena, i * 37 + 1, aligns[i]);
    weir_arena_close(&arena);
}

static void test_untouched_is_not_resident(void **state)
{
    (void)state;
    struct weir_arena arena;
    long before = resident_pages();
    assert_int_equal(weir_arena_open(&arena, 1ull << 30), 0);
    weir_arena_take(&arena, 1ull << 29, WEIR_PAGE);
    *(uint8_t *)weir_arena_take(&arena, 1, 1) = 1;
    assert_true(resident_pages() - before < 256);
    weir_arena_close(&arena);
}

static void test_too_much(void **state)
{
    (void)state;
    struct weir_arena arena;
    assert_int_equal(weir_arena_open(&arena, 1ull << 62), -ENOMEM);
    assert_non_null(strstr(weir_error_text(), "4611686018427387904"));
}

static void take_sealed(void)
{
    struct weir_arena arena;
    if (weir_arena_open(&arena, 100) == 0) {
        weir_arena_seal(&arena);
        weir_arena_take(&arena, 1, 1);
    }
}

static void take_over_the_end(void)
{
    struct weir_arena arena;
    if (weir_arena_open(&arena, WEIR_PAGE) == 0) {
        weir_arena_take(&arena, 1, 1);
        weir_arena_take(&arena, WEIR_PAGE, 1);
    }
}

static void seal_twice(void)
{
    struct weir_arena arena;
    if (weir_arena_open(&arena, 100) == 0) {
        weir_arena_seal(&arena);
        weir_arena_seal(&arena);
    }
}

static void test_misuse_is_caught(void **state)
{
    (void)state;
    assert_true(aborts(take_sealed));
    assert_true(aborts(take_over_the_end));
    assert_true(aborts(seal_twice));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_cost_is_enough),
        cmocka_unit_test(test_untouched_is_not_resident),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
