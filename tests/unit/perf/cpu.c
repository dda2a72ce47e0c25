/* SPDX-License-Identifier: MIT */
#include "perf/cpu.c"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct list_case {
    const char *text;
    uint32_t count;
    uint16_t cpus[8];
};

static void test_lists_are_read_in_the_order_written(void **state)
{
    static const struct list_case cases[] = {
        { "0", 1, { 0 } },        { "1023", 1, { 1023 } },
        { "2,0", 2, { 2, 0 } },   { "0-3", 4, { 0, 1, 2, 3 } },
        { "5-5,1", 2, { 5, 1 } }, { "0-1,8,3-4", 5, { 0, 1, 8, 3, 4 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench_cpu_list list = { .count = 0 };
        assert_int_equal(bench_cpu_list_parse(&list, cases[i].text), 0);
        assert_int_equal(list.count, cases[i].count);
        assert_memory_equal(list.cpus, cases[i].cpus, cases[i].count * sizeof(uint16_t));
    }
}

static void test_bad_lists_are_refused_and_change_nothing(void **state)
{
    static const char *const cases[] = { "",    ",",  "1,",   ",1",   "a",           "1a",
                                         "-1",  "1-", "3-1",  "1--2", "1024",        "0-1024",
                                         "1 2", "+1", "1,,2", "0x1",  "99999999999", "1-2-3" };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench_cpu_list list = { .count = 77 };
        if (bench_cpu_list_parse(&list, cases[i]) != -EINVAL)
            fail_msg("'%s' was taken", cases[i]);
        assert_int_equal(list.count, 77);
    }
    /* More CPUs than a list can hold, each of them valid. */
    struct bench_cpu_list list = { .count = 77 };
    assert_int_equal(bench_cpu_list_parse(&list, "0-1023,0"), -EINVAL);
    assert_int_equal(bench_cpu_list_parse(&list, "0-1023"), 0);
    assert_int_equal(list.count, 1024);
}

static void test_pinning_to_no_cpu_fails(void **state)
{
    struct bench_cpu_list none = { .count = 0 };
    (void)state;
    assert_int_equal(bench_cpu_pin_self(&none), -EINVAL);
}

static void test_pinning_moves_the_thread(void **state)
{
    cpu_set_t before, after;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    struct bench_cpu_list list = { .count = 1 };
    while (!CPU_ISSET(list.cpus[0], &before))
        list.cpus[0]++;
    assert_int_equal(bench_cpu_pin_self(&list), 0);
    assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
    assert_int_equal(CPU_COUNT(&after), 1);
    assert_true(CPU_ISSET(list.cpus[0], &after));
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void test_work_shows_in_both_clocks(void **state)
{
    uint64_t self_ns = bench_cpu_self_ns(), process_ns = 0, now_ns = 0;
    (void)state;
    assert_int_equal(bench_cpu_process_ns(&process_ns, getpid()), 0);
    assert_true(process_ns > 0);
    /* The process clock is brought up to date at every tick of the kernel, 10 ms at the latest. */
    while (bench_cpu_self_ns() < self_ns + 50000000)
        ;
    assert_int_equal(bench_cpu_process_ns(&now_ns, getpid()), 0);
    assert_in_range(now_ns - process_ns, 20000000, 2000000000);
}

static void test_a_process_that_is_not_there(void **state)
{
    uint64_t ns = 77;
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(bench_cpu_process_ns(&ns, pid), -ESRCH);
    assert_int_equal(ns, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_read_in_the_order_written),
        cmocka_unit_test(test_bad_lists_are_refused_and_change_nothing),
        cmocka_unit_test(test_pinning_to_no_cpu_fails),
        cmocka_unit_test(test_pinning_moves_the_thread),
        cmocka_unit_test(test_work_shows_in_both_clocks),
        cmocka_unit_test(test_a_process_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
