/* SPDX-License-Identifier: MIT */
#include "mock/limiter.c"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

static void expect(struct limiter *limiter, uint32_t active, uint32_t waiting)
{
    struct limiter_view view = limiter_view(limiter);
    assert_int_equal(view.active, active);
    assert_int_equal(view.waiting, waiting);
}

static void test_order(void **state)
{
    (void)state;
    struct limiter limiter;
    struct limiter_waiter w[5] = { 0 };
    assert_int_equal(limiter_open(&limiter, 2, true), 0);
    assert_true(limiter_acquire(&limiter, &w[0]));
    assert_true(limiter_acquire(&limiter, &w[1]));
    for (int i = 2; i < 5; i++)
        assert_false(limiter_acquire(&limiter, &w[i]));
    expect(&limiter, 2, 3);
    for (int i = 2; i < 5; i++) {
        assert_ptr_equal(limiter_release(&limiter), &w[i]);
        assert_int_equal(w[i].state, LIMITER_GRANTED);
        expect(&limiter, 2, (uint32_t)(4 - i));
    }
    assert_null(limiter_release(&limiter));
    assert_null(limiter_release(&limiter));
    expect(&limiter, 0, 0);
    limiter_close(&limiter);
}

/* Leave from the middle, the front and the end: the others keep their order. */
static void test_leave(void **state)
{
    (void)state;
    struct limiter limiter;
    struct limiter_waiter holder = { 0 }, w[5] = { 0 };
    assert_int_equal(limiter_open(&limiter, 1, false), 0);
    assert_true(limiter_acquire(&limiter, &holder));
    for (int i = 0; i < 5; i++)
        assert_false(limiter_acquire(&limiter, &w[i]));
    assert_true(limiter_leave(&limiter, &w[2]));
    assert_true(limiter_leave(&limiter, &w[0]));
    assert_true(limiter_leave(&limiter, &w[4]));
    assert_false(limiter_leave(&limiter, &w[4]));
    expect(&limiter, 1, 2);
    assert_ptr_equal(limiter_release(&limiter), &w[1]);
    assert_ptr_equal(limiter_release(&limiter), &w[3]);
    /* Granted: it can leave no more, the slot has to be released. */
    assert_false(limiter_leave(&limiter, &w[3]));
    expect(&limiter, 1, 0);
    assert_null(limiter_release(&limiter));
    expect(&limiter, 0, 0);
    assert_true(limiter_acquire(&limiter, &w[3]));
    limiter_close(&limiter);
}

static void test_no_limit(void **state)
{
    (void)state;
    struct limiter limiter;
    struct limiter_waiter w = { 0 };
    assert_int_equal(limiter_open(&limiter, 0, true), 0);
    for (int i = 0; i < 1000; i++)
        assert_true(limiter_acquire(&limiter, &w));
    assert_null(limiter_release(&limiter));
    expect(&limiter, 0, 0);
    limiter_close(&limiter);
}

#define THREADS 4
#define TURNS   2000
#define SLOTS   2

struct shared {
    struct limiter limiter;
    atomic_int inside, most, granted;
};

struct taker {
    struct shared *shared;
    pthread_mutex_t lock;
    pthread_cond_t resumed;
    bool has_slot;
    struct limiter_waiter waiter;
};

static struct taker *taker_of(struct limiter_waiter *waiter)
{
    return (struct taker *)(void *)((char *)waiter - offsetof(struct taker, waiter));
}

static void taker_resume(struct taker *taker)
{
    pthread_mutex_lock(&taker->lock);
    taker->waiter.state = LIMITER_IDLE;
    taker->has_slot = true;
    pthread_cond_signal(&taker->resumed);
    pthread_mutex_unlock(&taker->lock);
}

static void *taker_main(void *arg)
{
    struct taker *taker = arg;
    struct shared *shared = taker->shared;
    for (int i = 0; i < TURNS; i++) {
        if (!limiter_acquire(&shared->limiter, &taker->waiter)) {
            pthread_mutex_lock(&taker->lock);
            while (!taker->has_slot)
                pthread_cond_wait(&taker->resumed, &taker->lock);
            taker->has_slot = false;
            pthread_mutex_unlock(&taker->lock);
            atomic_fetch_add(&shared->granted, 1);
        }
        int inside = atomic_fetch_add(&shared->inside, 1) + 1;
        int most = atomic_load(&shared->most);
        while (inside > most && !atomic_compare_exchange_weak(&shared->most, &most, inside))
            ;
        sched_yield();
        atomic_fetch_sub(&shared->inside, 1);
        struct limiter_waiter *next = limiter_release(&shared->limiter);
        if (next != NULL)
            taker_resume(taker_of(next));
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    struct taker takers[THREADS];
    pthread_t threads[THREADS];
    assert_int_equal(limiter_open(&shared.limiter, SLOTS, true), 0);
    for (int i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){ .shared = &shared };
        pthread_mutex_init(&takers[i].lock, NULL);
        pthread_cond_init(&takers[i].resumed, NULL);
        assert_int_equal(pthread_create(&threads[i], NULL, taker_main, &takers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(atomic_load(&shared.most) <= SLOTS);
    expect(&shared.limiter, 0, 0);
    limiter_close(&shared.limiter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
