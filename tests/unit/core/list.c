/* SPDX-License-Identifier: MIT */
#include "core/list.h"

#include <weir/random.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SEED        20240617u
#define ITEMS_COUNT 16

struct item {
    uint32_t number;
    struct weir_list link;
};

static struct item items[ITEMS_COUNT];

static int setup_items(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ITEMS_COUNT; i++) {
        items[i].number = i;
        weir_list_init(&items[i].link);
    }
    return 0;
}

/* Both directions hold exactly these items. */
static void assert_holds(const struct weir_list *list, const uint32_t *numbers, size_t count)
{
    const struct weir_list *node = list->next;
    for (size_t i = 0; i < count; i++, node = node->next) {
        assert_ptr_not_equal(node, list);
        assert_int_equal(weir_container_of(node, struct item, link)->number, numbers[i]);
        assert_ptr_equal(node->next->prev, node);
        assert_ptr_equal(node->prev->next, node);
    }
    assert_ptr_equal(node, list);
    assert_int_equal(weir_list_empty(list), count == 0);
}

#define ASSERT_HOLDS(list, ...)                                                                    \
    assert_holds((list), (const uint32_t[]){ __VA_ARGS__ },                                        \
                 sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void test_empty(void **state)
{
    (void)state;
    struct weir_list list;
    weir_list_init(&list);
    assert_true(weir_list_empty(&list));
    assert_false(weir_list_linked(&items[0].link));
    assert_null(weir_list_pop_front(&list));
}

static void test_push_and_pop(void **state)
{
    (void)state;
    struct weir_list list;
    weir_list_init(&list);
    weir_list_push_back(&list, &items[1].link);
    weir_list_push_back(&list, &items[2].link);
    weir_list_push_front(&list, &items[0].link);
    ASSERT_HOLDS(&list, 0, 1, 2);
    assert_true(weir_list_linked(&items[1].link));
    assert_ptr_equal(weir_list_pop_front(&list), &items[0].link);
    assert_false(weir_list_linked(&items[0].link));
    ASSERT_HOLDS(&list, 1, 2);
    assert_ptr_equal(weir_list_pop_front(&list), &items[1].link);
    assert_ptr_equal(weir_list_pop_front(&list), &items[2].link);
    assert_null(weir_list_pop_front(&list));
    assert_true(weir_list_empty(&list));
}

static void test_push_front_of_empty(void **state)
{
    (void)state;
    struct weir_list list;
    weir_list_init(&list);
    weir_list_push_front(&list, &items[5].link);
    weir_list_push_front(&list, &items[4].link);
    ASSERT_HOLDS(&list, 4, 5);
}

static void test_remove(void **state)
{
    (void)state;
    struct weir_list list;
    weir_list_init(&list);
    for (uint32_t i = 0; i < 4; i++)
        weir_list_push_back(&list, &items[i].link);
    weir_list_remove(&items[1].link);
    ASSERT_HOLDS(&list, 0, 2, 3);
    assert_false(weir_list_linked(&items[1].link));
    weir_list_remove(&items[1].link); /* safe to repeat */
    ASSERT_HOLDS(&list, 0, 2, 3);
    weir_list_remove(&items[0].link);
    weir_list_remove(&items[3].link);
    ASSERT_HOLDS(&list, 2);
    weir_list_push_back(&list, &items[1].link);
    ASSERT_HOLDS(&list, 2, 1);
    weir_list_remove(&items[2].link);
    weir_list_remove(&items[1].link);
    assert_true(weir_list_empty(&list));
}

static void test_splice(void **state)
{
    (void)state;
    struct weir_list into, from;
    weir_list_init(&into);
    weir_list_init(&from);
    weir_list_splice_back(&into, &from);
    assert_true(weir_list_empty(&into));

    weir_list_push_back(&from, &items[0].link);
    weir_list_push_back(&from, &items[1].link);
    weir_list_splice_back(&into, &from);
    ASSERT_HOLDS(&into, 0, 1);
    assert_true(weir_list_empty(&from));

    weir_list_push_back(&from, &items[2].link);
    weir_list_push_back(&from, &items[3].link);
    weir_list_splice_back(&into, &from);
    ASSERT_HOLDS(&into, 0, 1, 2, 3);
    assert_true(weir_list_empty(&from));

    weir_list_splice_back(&into, &from);
    ASSERT_HOLDS(&into, 0, 1, 2, 3);
}

static void model_remove(uint32_t *numbers, size_t *count, uint32_t number)
{
    for (size_t i = 0; i < *count; i++) {
        if (numbers[i] != number)
            continue;
        memmove(&numbers[i], &numbers[i + 1], (*count - i - 1) * sizeof numbers[0]);
        (*count)--;
        return;
    }
}

/* Random steps against an array. */
static void test_against_array(void **state)
{
    (void)state;
    print_message("seed %u\n", SEED);
    struct weir_list list;
    weir_list_init(&list);
    uint32_t numbers[ITEMS_COUNT + 1];
    size_t count = 0;
    for (uint64_t step = 0; step < 20000; step++) {
        uint64_t random = weir_random_u64(SEED, step, 0);
        uint32_t number = (uint32_t)(random >> 32) % ITEMS_COUNT;
        struct weir_list *node = &items[number].link;
        if (weir_list_linked(node)) {
            weir_list_remove(node);
            model_remove(numbers, &count, number);
        } else if (random % 2 == 0) {
            weir_list_push_back(&list, node);
            numbers[count++] = number;
        } else {
            weir_list_push_front(&list, node);
            memmove(&numbers[1], &numbers[0], count * sizeof numbers[0]);
            numbers[0] = number;
            count++;
        }
        assert_holds(&list, numbers, count);
    }
}

/* A node that is in a list must not be pushed again: both lists would be broken. */
static void test_pushing_twice_aborts(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = { 0, 0 };
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        struct weir_list list;
        weir_list_init(&list);
        weir_list_push_back(&list, &items[0].link);
        weir_list_push_back(&list, &items[1].link);
        weir_list_push_back(&list, &items[0].link);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, setup_items),
        cmocka_unit_test_setup(test_push_and_pop, setup_items),
        cmocka_unit_test_setup(test_push_front_of_empty, setup_items),
        cmocka_unit_test_setup(test_remove, setup_items),
        cmocka_unit_test_setup(test_splice, setup_items),
        cmocka_unit_test_setup(test_against_array, setup_items),
        cmocka_unit_test_setup(test_pushing_twice_aborts, setup_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
