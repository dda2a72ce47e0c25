/* SPDX-License-Identifier: MIT */
#include "mock/limit/limiter.c"

#include <weir/random.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void expect(struct limiter *limiter, uint32_t active, uint32_t waiting)
{
    struct limiter_view view = limiter_view(limiter);
    assert_int_equal(view.active, active);
    assert_int_equal(view.waiting, waiting);
    assert_int_equal((limiter_word(limiter) & QUEUED) != 0, waiting > 0);
}

static const struct limiter_limits two = { .max = 2, .queue_depth = -1 };

static void test_order(void **state)
{
    (void)state;
    for (int order = LIMITER_FIFO; order <= LIMITER_LIFO; order++) {
        struct limiter limiter;
        struct limiter_waiter w[5] = { 0 };
        struct limiter_limits limits = two;
        limits.order = (enum limiter_order)order;
        assert_int_equal(limiter_open(&limiter, &limits, true), 0);
        assert_int_equal(limiter_acquire(&limiter, &w[0]), LIMITER_GOT);
        assert_int_equal(limiter_acquire(&limiter, &w[1]), LIMITER_GOT);
        for (int i = 2; i < 5; i++)
            assert_int_equal(limiter_acquire(&limiter, &w[i]), LIMITER_QUEUED);
        expect(&limiter, 2, 3);
        for (int i = 2; i < 5; i++) {
            struct limiter_waiter *next = &w[order == LIMITER_FIFO ? i : 6 - i];
            assert_ptr_equal(limiter_release(&limiter), next);
            assert_int_equal(next->state, LIMITER_GRANTED);
            expect(&limiter, 2, (uint32_t)(4 - i));
        }
        assert_null(limiter_release(&limiter));
        assert_null(limiter_release(&limiter));
        expect(&limiter, 0, 0);
        limiter_close(&limiter);
    }
}

/* Leave from the middle, the front and the end: the others keep their order. */
static void test_leave(void **state)
{
    (void)state;
    struct limiter limiter;
    struct limiter_waiter holder = { 0 }, w[5] = { 0 };
    const struct limiter_limits one = { .max = 1, .queue_depth = -1 };
    assert_int_equal(limiter_open(&limiter, &one, false), 0);
    assert_int_equal(limiter_acquire(&limiter, &holder), LIMITER_GOT);
    for (int i = 0; i < 5; i++)
        assert_int_equal(limiter_acquire(&limiter, &w[i]), LIMITER_QUEUED);
    assert_true(limiter_leave(&limiter, &w[2]));
    assert_true(limiter_leave(&limiter, &w[0]));
    assert_true(limiter_leave(&limiter, &w[4]));
    assert_true(limiter_leave(&limiter, &w[4])); /* not in the queue: nothing to give back */
    expect(&limiter, 1, 2);
    assert_ptr_equal(limiter_release(&limiter), &w[1]);
    assert_ptr_equal(limiter_release(&limiter), &w[3]);
    /* Granted: it can leave no more, the slot has to be released. */
    assert_false(limiter_leave(&limiter, &w[3]));
    expect(&limiter, 1, 0);
    assert_null(limiter_release(&limiter));
    expect(&limiter, 0, 0);
    assert_int_equal(limiter_acquire(&limiter, &w[3]), LIMITER_GOT);
    /* The last to leave takes the mark with it. */
    assert_int_equal(limiter_acquire(&limiter, &w[0]), LIMITER_QUEUED);
    assert_true(limiter_leave(&limiter, &w[0]));
    assert_null(limiter_release(&limiter));
    expect(&limiter, 0, 0);
    limiter_close(&limiter);
}

static void test_full(void **state)
{
    (void)state;
    static const enum limiter_overflow overflows[] = { LIMITER_WAIT, LIMITER_429, LIMITER_503 };
    for (size_t o = 0; o < sizeof overflows / sizeof overflows[0]; o++)
        for (int depth = -1; depth < 4; depth++) {
            struct limiter limiter;
            struct limiter_waiter w[8] = { 0 };
            struct limiter_limits limits = two;
            limits.queue_depth = depth;
            limits.overflow = overflows[o];
            assert_int_equal(limiter_open(&limiter, &limits, true), 0);
            for (int i = 0; i < 8; i++) {
                enum limiter_verdict wanted = i < 2                        ? LIMITER_GOT
                                              : depth < 0 || i - 2 < depth ? LIMITER_QUEUED
                                                                           : LIMITER_FULL;
                assert_int_equal(limiter_acquire(&limiter, &w[i]), wanted);
                assert_int_equal(w[i].state,
                                 wanted == LIMITER_QUEUED ? LIMITER_WAITING : LIMITER_IDLE);
            }
            assert_true(limiter_leave(&limiter, &w[7]));
            expect(&limiter, 2, (uint32_t)(depth < 0 ? 5 : depth));
            limiter_close(&limiter);
        }
}

/* Those that came while there was no limit count once there is one. */
static void test_no_limit(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct limiter limiter;
        struct limiter_waiter w = { 0 }, *granted;
        assert_int_equal(limiter_open(&limiter, &(struct limiter_limits){ 0 }, shared != 0), 0);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(limiter_acquire(&limiter, &w), LIMITER_GOT);
        expect(&limiter, 1000, 0);
        limiter_set(&limiter, &two, &granted);
        assert_null(granted);
        assert_int_equal(limiter_acquire(&limiter, &w), LIMITER_QUEUED);
        for (int i = 0; i < 998; i++)
            assert_null(limiter_release(&limiter));
        expect(&limiter, 2, 1);
        assert_ptr_equal(limiter_release(&limiter), &w);
        expect(&limiter, 2, 0);
        limiter_close(&limiter);
    }
}

static void test_set(void **state)
{
    (void)state;
    struct limiter limiter;
    struct limiter_waiter holder = { 0 }, w[6] = { 0 }, *granted;
    struct limiter_limits limits = two;
    assert_int_equal(limiter_open(&limiter, &limits, true), 0);
    assert_int_equal(limiter_acquire(&limiter, &holder), LIMITER_GOT);
    assert_int_equal(limiter_acquire(&limiter, &holder), LIMITER_GOT);
    for (int i = 0; i < 6; i++)
        assert_int_equal(limiter_acquire(&limiter, &w[i]), LIMITER_QUEUED);
    limits.max = 4;
    limiter_set(&limiter, &limits, &granted);
    assert_ptr_equal(granted, &w[0]);
    assert_ptr_equal(granted->next, &w[1]);
    assert_null(granted->next->next);
    assert_false(limiter_leave(&limiter, &w[1]));
    expect(&limiter, 4, 4);
    limits.max = 1;
    limits.queue_depth = 0; /* those that wait stay */
    limiter_set(&limiter, &limits, &granted);
    assert_null(granted);
    expect(&limiter, 4, 4);
    assert_int_equal(limiter_acquire(&limiter, &holder), LIMITER_FULL);
    for (uint32_t i = 3; i > 0; i--) {
        assert_null(limiter_release(&limiter));
        expect(&limiter, i, 4);
    }
    assert_ptr_equal(limiter_release(&limiter), &w[2]);
    limits.max = 0;
    limits.order = LIMITER_LIFO;
    limiter_set(&limiter, &limits, &granted);
    for (int i = 5; i > 2; i--, granted = granted->next)
        assert_ptr_equal(granted, &w[i]);
    assert_null(granted);
    expect(&limiter, 4, 0);
    limiter_close(&limiter);
}

/* ---- Against a naive one ----------------------------------------------------------------- */

#define RANDOM_SEED   71
#define RANDOM_ROUNDS 200
#define RANDOM_STEPS  400
#define RANDOM_COUNT  12

static uint64_t random_draws;

static uint64_t draw(uint64_t below)
{
    return weir_random_u64(RANDOM_SEED, 0, random_draws++) % below;
}

static struct limiter_limits draw_limits(void)
{
    return (struct limiter_limits){
        .max = (uint32_t)draw(6),
        .queue_depth = (int64_t)draw(6) - 1,
        .order = draw(2) == 0 ? LIMITER_FIFO : LIMITER_LIFO,
    };
}

/* The same with an array. */
struct reference {
    struct limiter_limits limits;
    uint32_t active, waiting;
    int queue[RANDOM_COUNT];
};

static bool reference_has_room(const struct reference *reference)
{
    return reference->limits.max == 0 || reference->active < reference->limits.max;
}

static enum limiter_verdict reference_acquire(struct reference *reference, int id)
{
    if (reference_has_room(reference)) {
        reference->active++;
        return LIMITER_GOT;
    }
    if (reference->limits.queue_depth >= 0 &&
        reference->waiting >= (uint32_t)reference->limits.queue_depth)
        return LIMITER_FULL;
    reference->queue[reference->waiting++] = id;
    return LIMITER_QUEUED;
}

static void reference_leave(struct reference *reference, int id)
{
    uint32_t at = 0;
    while (reference->queue[at] != id)
        at++;
    reference->waiting--;
    memmove(&reference->queue[at], &reference->queue[at + 1],
            (reference->waiting - at) * sizeof reference->queue[0]);
}

/* Who has a slot now that nobody had; -1: nobody. */
static int reference_grant(struct reference *reference)
{
    if (reference->waiting == 0 || !reference_has_room(reference))
        return -1;
    int id = reference->queue[reference->limits.order == LIMITER_FIFO ? 0 : reference->waiting - 1];
    reference_leave(reference, id);
    reference->active++;
    return id;
}

enum phase { OUT, HOLDS, WAITS };

struct world {
    struct limiter limiter;
    struct reference reference;
    struct limiter_waiter waiters[RANDOM_COUNT];
    enum phase phases[RANDOM_COUNT];
};

static void world_granted(struct world *world, const struct limiter_waiter *waiter, int wanted)
{
    if (wanted < 0) {
        assert_null(waiter);
        return;
    }
    assert_ptr_equal(waiter, &world->waiters[wanted]);
    assert_int_equal(waiter->state, LIMITER_GRANTED);
    assert_int_equal(world->phases[wanted], WAITS);
    world->waiters[wanted].state = LIMITER_IDLE;
    world->phases[wanted] = HOLDS;
}

static void world_set(struct world *world)
{
    struct limiter_waiter *granted;
    world->reference.limits = draw_limits();
    limiter_set(&world->limiter, &world->reference.limits, &granted);
    for (int id; (id = reference_grant(&world->reference)) >= 0;) {
        struct limiter_waiter *next = granted->next;
        world_granted(world, granted, id);
        granted = next;
    }
    assert_null(granted);
}

static void world_step(struct world *world)
{
    int id = (int)draw(RANDOM_COUNT);
    static const enum phase after[] = { HOLDS, WAITS, OUT };
    if (draw(20) == 0) {
        world_set(world);
    } else if (world->phases[id] == OUT) {
        enum limiter_verdict verdict = limiter_acquire(&world->limiter, &world->waiters[id]);
        assert_int_equal(verdict, reference_acquire(&world->reference, id));
        world->phases[id] = after[verdict];
    } else if (world->phases[id] == HOLDS) {
        world->phases[id] = OUT;
        world->reference.active--;
        struct limiter_waiter *waiter = limiter_release(&world->limiter);
        world_granted(world, waiter, reference_grant(&world->reference));
    } else if (draw(4) == 0) {
        assert_true(limiter_leave(&world->limiter, &world->waiters[id]));
        reference_leave(&world->reference, id);
        world->phases[id] = OUT;
    }
    expect(&world->limiter, world->reference.active, world->reference.waiting);
    assert_int_equal(limiter_view(&world->limiter).max, world->reference.limits.max);
}

static void test_random(void **state)
{
    (void)state;
    print_message("seed %d\n", RANDOM_SEED);
    for (int round = 0; round < RANDOM_ROUNDS; round++) {
        struct world world = { .reference = { .limits = draw_limits() } };
        assert_int_equal(limiter_open(&world.limiter, &world.reference.limits, round % 2 == 0), 0);
        for (int step = 0; step < RANDOM_STEPS; step++)
            world_step(&world);
        limiter_close(&world.limiter);
    }
}

/* ---- Threads ----------------------------------------------------------------------------- */

#define THREADS     4
#define EACH        3
#define TURNS       20000
#define SLOTS       3
#define DEADLINE_S  20
#define SHARED_SEED 13

struct taker;

/* A request on its taker's thread. ZOMBIE: left, but a slot is on its way to it. */
enum ticket_phase { TICKET_OUT, TICKET_HOLDS, TICKET_WAITS, TICKET_ZOMBIE };

struct ticket {
    struct limiter_waiter waiter;
    struct taker *taker;
    enum ticket_phase phase;
};

struct shared {
    struct limiter limiter;
    bool unlimited; /* there is no limit at times */
    atomic_int inside;
    atomic_bool exceeded;
};

/* A thread with its letter box, in which it finds its waiters that were granted a slot. */
struct taker {
    struct shared *shared;
    uint64_t number, draws;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct limiter_waiter *granted;
    struct ticket tickets[EACH];
    bool stuck;
};

static uint64_t taker_draw(struct taker *taker, uint64_t below)
{
    return weir_random_u64(SHARED_SEED, taker->number, taker->draws++) % below;
}

static struct ticket *ticket_of(struct limiter_waiter *waiter)
{
    return (struct ticket *)(void *)((char *)waiter - offsetof(struct ticket, waiter));
}

static void post_granted(struct limiter_waiter *waiter)
{
    if (waiter == NULL)
        return;
    struct taker *taker = ticket_of(waiter)->taker;
    pthread_mutex_lock(&taker->lock);
    waiter->next = taker->granted;
    taker->granted = waiter;
    pthread_cond_signal(&taker->posted);
    pthread_mutex_unlock(&taker->lock);
}

static void ticket_enter(struct ticket *ticket)
{
    struct shared *shared = ticket->taker->shared;
    int inside = atomic_fetch_add(&shared->inside, 1) + 1;
    if (!shared->unlimited && inside > SLOTS)
        atomic_store(&shared->exceeded, true);
    ticket->phase = TICKET_HOLDS;
}

static void ticket_release(struct ticket *ticket)
{
    struct shared *shared = ticket->taker->shared;
    atomic_fetch_sub(&shared->inside, 1);
    ticket->phase = TICKET_OUT;
    post_granted(limiter_release(&shared->limiter));
}

static void taker_collect(struct taker *taker)
{
    pthread_mutex_lock(&taker->lock);
    struct limiter_waiter *granted = taker->granted;
    taker->granted = NULL;
    pthread_mutex_unlock(&taker->lock);
    while (granted != NULL) {
        struct ticket *ticket = ticket_of(granted);
        granted = granted->next;
        bool zombie = ticket->phase == TICKET_ZOMBIE;
        ticket->waiter.state = LIMITER_IDLE;
        ticket_enter(ticket);
        if (zombie)
            ticket_release(ticket);
    }
}

static void ticket_leave(struct ticket *ticket)
{
    bool left = limiter_leave(&ticket->taker->shared->limiter, &ticket->waiter);
    ticket->phase = left ? TICKET_OUT : TICKET_ZOMBIE;
}

static void taker_set(struct taker *taker)
{
    struct shared *shared = taker->shared;
    struct limiter_waiter *granted;
    struct limiter_limits limits = {
        .max = (uint32_t)taker_draw(taker, SLOTS + 1),
        .queue_depth = (int64_t)taker_draw(taker, 8) - 1,
        .order = taker_draw(taker, 2) == 0 ? LIMITER_FIFO : LIMITER_LIFO,
    };
    if (!shared->unlimited && limits.max == 0)
        limits.max = SLOTS;
    limiter_set(&shared->limiter, &limits, &granted);
    while (granted != NULL) {
        struct limiter_waiter *waiter = granted;
        granted = granted->next; /* before it is another thread's */
        post_granted(waiter);
    }
}

static void taker_step(struct taker *taker)
{
    struct ticket *ticket = &taker->tickets[taker_draw(taker, EACH)];
    static const enum ticket_phase after[] = { TICKET_OUT, TICKET_WAITS, TICKET_OUT };
    if (taker_draw(taker, 50) == 0) {
        taker_set(taker);
    } else if (ticket->phase == TICKET_OUT) {
        enum limiter_verdict verdict = limiter_acquire(&taker->shared->limiter, &ticket->waiter);
        ticket->phase = after[verdict];
        if (verdict == LIMITER_GOT)
            ticket_enter(ticket);
    } else if (ticket->phase == TICKET_HOLDS) {
        ticket_release(ticket);
    } else if (ticket->phase == TICKET_WAITS && taker_draw(taker, 4) == 0) {
        ticket_leave(ticket);
    }
}

/* Everything is given back, and what is on its way to us is awaited. */
static void taker_finish(struct taker *taker)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_S;
    for (int i = 0; i < EACH; i++) {
        struct ticket *ticket = &taker->tickets[i];
        if (ticket->phase == TICKET_WAITS)
            ticket_leave(ticket);
        if (ticket->phase == TICKET_HOLDS)
            ticket_release(ticket);
        while (ticket->phase == TICKET_ZOMBIE && !taker->stuck) {
            pthread_mutex_lock(&taker->lock);
            while (taker->granted == NULL && !taker->stuck)
                taker->stuck = pthread_cond_timedwait(&taker->posted, &taker->lock, &deadline) != 0;
            pthread_mutex_unlock(&taker->lock);
            taker_collect(taker);
        }
        if (ticket->phase == TICKET_HOLDS)
            ticket_release(ticket);
    }
}

static void *taker_main(void *arg)
{
    struct taker *taker = arg;
    for (int i = 0; i < TURNS; i++) {
        taker_collect(taker);
        taker_step(taker);
    }
    /* Twice: while the first was finished, later ones may have been granted. */
    taker_finish(taker);
    taker_finish(taker);
    return NULL;
}

static void run_threads(bool unlimited)
{
    struct shared shared = { .unlimited = unlimited };
    struct taker takers[THREADS];
    pthread_t threads[THREADS];
    const struct limiter_limits limits = { .max = SLOTS, .queue_depth = -1 };
    assert_int_equal(limiter_open(&shared.limiter, &limits, true), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){ .shared = &shared, .number = i };
        for (int t = 0; t < EACH; t++)
            takers[i].tickets[t].taker = &takers[i];
        pthread_mutex_init(&takers[i].lock, NULL);
        pthread_cond_init(&takers[i].posted, NULL);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, taker_main, &takers[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_false(takers[i].stuck);
        assert_null(takers[i].granted);
        pthread_cond_destroy(&takers[i].posted);
        pthread_mutex_destroy(&takers[i].lock);
    }
    assert_false(atomic_load(&shared.exceeded));
    assert_int_equal(atomic_load(&shared.inside), 0);
    expect(&shared.limiter, 0, 0);
    limiter_close(&shared.limiter);
}

static void test_threads(void **state)
{
    (void)state;
    print_message("seed %d\n", SHARED_SEED);
    run_threads(false);
    run_threads(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),   cmocka_unit_test(test_leave),
        cmocka_unit_test(test_full),    cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_set),     cmocka_unit_test(test_random),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
