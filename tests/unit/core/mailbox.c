/* SPDX-License-Identifier: MIT */
#include "core/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define POSTERS 4u
#define TASKS   10000u

static struct weir_mailbox mailbox;

struct numbered {
    struct weir_task task; /* first: found again from it */
    uint32_t poster, number;
};

static struct numbered numbered[POSTERS][TASKS];
static uint32_t expected[POSTERS];
static uint32_t total;
static bool in_order;

static int setup(void **state)
{
    (void)state;
    return weir_mailbox_open(&mailbox);
}

static int teardown(void **state)
{
    (void)state;
    weir_mailbox_close(&mailbox);
    return mailbox.doorbell_fd == -1 ? 0 : -1;
}

/* The value of the doorbell since the last time; 0 when it was not rung. */
static uint64_t doorbell_take(void)
{
    uint64_t value = 0;
    ssize_t n = read(mailbox.doorbell_fd, &value, sizeof value);
    assert_true(n == (ssize_t)sizeof value || (n < 0 && errno == EAGAIN));
    return value;
}

static void run_numbered(struct weir_task *task)
{
    struct numbered *n = (struct numbered *)task;
    in_order = in_order && n->number == expected[n->poster];
    expected[n->poster] = n->number + 1;
    total++;
}

static void *post_all(void *arg)
{
    struct numbered *tasks = arg;
    for (uint32_t i = 0; i < TASKS; i++)
        weir_mailbox_post(&mailbox, &tasks[i].task);
    return NULL;
}

/* The engine's way: sleep on the doorbell, then run everything. A lost ring would time out. */
static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[POSTERS];
    in_order = true;
    total = 0;
    for (uint32_t p = 0; p < POSTERS; p++) {
        expected[p] = 0;
        for (uint32_t i = 0; i < TASKS; i++)
            numbered[p][i] = (struct numbered){ { .run = run_numbered }, p, i };
    }
    for (uint32_t p = 0; p < POSTERS; p++)
        assert_int_equal(pthread_create(&threads[p], NULL, post_all, numbered[p]), 0);
    while (total < POSTERS * TASKS) {
        struct pollfd pfd = { .fd = mailbox.doorbell_fd, .events = POLLIN };
        assert_int_equal(poll(&pfd, 1, 5000), 1);
        doorbell_take();
        weir_mailbox_run(&mailbox);
    }
    for (uint32_t p = 0; p < POSTERS; p++) {
        assert_int_equal(pthread_join(threads[p], NULL), 0);
        assert_int_equal(expected[p], TASKS);
    }
    assert_true(in_order);
    assert_int_equal(total, POSTERS * TASKS);
    assert_int_equal(weir_mailbox_run(&mailbox), 0);
}

static void test_a_burst_rings_once(void **state)
{
    (void)state;
    total = 0;
    expected[0] = 0;
    in_order = true;
    for (uint32_t i = 0; i < 100; i++) {
        numbered[0][i] = (struct numbered){ { .run = run_numbered }, 0, i };
        weir_mailbox_post(&mailbox, &numbered[0][i].task);
    }
    assert_true(weir_mailbox_pending(&mailbox));
    assert_int_equal(doorbell_take(), 1);
    assert_int_equal(total, 0);
    assert_int_equal(weir_mailbox_run(&mailbox), 100);
    assert_int_equal(total, 100);
    assert_true(in_order);
    assert_false(weir_mailbox_pending(&mailbox));
    assert_int_equal(weir_mailbox_run(&mailbox), 0);
    assert_int_equal(doorbell_take(), 0);
    /* The stack is empty again: the next one rings. */
    weir_mailbox_post(&mailbox, &numbered[0][0].task);
    assert_int_equal(doorbell_take(), 1);
    assert_int_equal(weir_mailbox_run(&mailbox), 1);
}

static void free_itself(struct weir_task *task)
{
    total++;
    memset(task, 0xff, sizeof *task);
    free(task);
}

static void test_a_task_may_free_itself(void **state)
{
    (void)state;
    total = 0;
    for (unsigned i = 0; i < 10; i++) {
        struct weir_task *task = malloc(sizeof *task);
        assert_non_null(task);
        *task = (struct weir_task){ .run = free_itself };
        weir_mailbox_post(&mailbox, task);
    }
    assert_int_equal(weir_mailbox_run(&mailbox), 10);
    assert_int_equal(total, 10);
}

static void post_itself(struct weir_task *task)
{
    total++;
    weir_mailbox_post(&mailbox, task);
}

/* It runs once each time, so that it cannot hold the loop, and it rings for its next time. */
static void test_a_task_may_post_itself(void **state)
{
    (void)state;
    struct weir_task tasks[2] = { { .run = post_itself }, { .run = post_itself } };
    total = 0;
    weir_mailbox_post(&mailbox, &tasks[0]);
    weir_mailbox_post(&mailbox, &tasks[1]);
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(doorbell_take(), 1);
        assert_int_equal(weir_mailbox_run(&mailbox), 2);
        assert_int_equal(total, 2 * i);
        assert_true(weir_mailbox_pending(&mailbox));
    }
}

static void test_stop(void **state)
{
    (void)state;
    assert_false(weir_mailbox_stop_take(&mailbox));
    errno = 1234;
    weir_mailbox_stop(&mailbox);
    assert_int_equal(errno, 1234);
    weir_mailbox_stop(&mailbox);
    assert_true(doorbell_take() > 0);
    assert_false(weir_mailbox_pending(&mailbox));
    assert_true(weir_mailbox_stop_take(&mailbox));
    assert_false(weir_mailbox_stop_take(&mailbox));
}

static void test_no_descriptor(void **state)
{
    (void)state;
    struct weir_mailbox other;
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = weir_mailbox_open(&other);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, -EMFILE);
    assert_non_null(strstr(weir_error_text(), "ulimit -n"));
    weir_mailbox_close(&other); /* of one that did not open: no effect */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_burst_rings_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_task_may_free_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_task_may_post_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test(test_no_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
