/* SPDX-License-Identifier: MIT */
#include "mock/limit/quota.c"

#include <weir/random.h>

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A machine that is up for 11 days, in the middle of a unit; and right at the begin of one. */
#define START_NS UINT64_C(987654321987654)
#define ROUND_NS (START_NS - START_NS % 16)
#define UNIT_NS  32 /* the longest */

static const uint64_t limits[] = { 1,        7,         60,
                                   3500,     100000,    1000003,
                                   90000000, 999999937, QUOTA_PER_MINUTE_MAX };
#define LIMITS_COUNT (sizeof limits / sizeof limits[0])

static bool take(struct quota *quota, uint64_t amount, uint64_t now_ns)
{
    struct quota_view view;
    return quota_take(quota, amount, now_ns, &view);
}

static void test_no_limit(void **state)
{
    (void)state;
    struct quota quota = { 0 };
    struct quota_view view;
    for (int i = 0; i < 3; i++) {
        assert_true(quota_take(&quota, UINT64_MAX, START_NS, &view));
        assert_int_equal(view.limit, 0);
        assert_int_equal(view.retry_ns, 0);
        quota_give_back(&quota, 5);
        quota_set(&quota, 60);
        assert_false(quota_take(&quota, 61, START_NS, &view));
        quota_set(&quota, 0);
    }
}

/* A full bucket is the limit and not one more, in pieces or whole; then each is due to the unit. */
static void test_burst(void **state)
{
    (void)state;
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        uint64_t limit = limits[i], now_ns = START_NS;
        struct quota quota = { 0 };
        struct quota_view view;
        quota_set(&quota, limit);
        uint64_t piece = limit > 10000 ? limit / 7777 : 1, left = limit;
        while (left > 0) {
            uint64_t amount = left < piece ? left : piece;
            assert_true(quota_take(&quota, amount, now_ns, &view));
            left -= amount;
            assert_int_equal(view.limit, limit);
            assert_int_equal(view.remaining, left);
            assert_int_equal(view.retry_ns, 0);
        }
        assert_true(view.reset_ns <= NS_PER_MINUTE);
        assert_true(view.reset_ns > NS_PER_MINUTE - UNIT_NS);
        for (int k = 0; k < 100; k++) {
            assert_false(quota_take(&quota, 1, now_ns, &view));
            assert_int_equal(view.remaining, 0);
            assert_true(view.retry_ns > 0);
            assert_false(take(&quota, 1, now_ns + view.retry_ns - 1));
            now_ns += view.retry_ns;
            assert_true(take(&quota, 1, now_ns));
        }
        /* The k-th refill is due k/limit minutes after the start: no drift. */
        uint64_t due_ns = (uint64_t)((quota_u128)100 * NS_PER_MINUTE / limit);
        assert_true(now_ns - START_NS <= due_ns + UNIT_NS);
        assert_true(now_ns - START_NS + UNIT_NS >= due_ns);
        assert_true(quota_take(&quota, limit, now_ns + NS_PER_MINUTE, &view));
        assert_int_equal(view.remaining, 0);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct quota quota = { 0 };
    struct quota_view view;
    quota_set(&quota, 100);
    assert_false(quota_take(&quota, 101, ROUND_NS, &view));
    assert_true(view.retry_ns == QUOTA_NEVER);
    assert_int_equal(view.remaining, 100);
    assert_int_equal(view.reset_ns, 0);
    assert_false(quota_take(&quota, UINT64_MAX, ROUND_NS, &view));
    assert_true(view.retry_ns == QUOTA_NEVER);
    assert_true(take(&quota, 80, ROUND_NS));
    assert_false(quota_take(&quota, 50, ROUND_NS, &view)); /* takes nothing */
    assert_int_equal(view.remaining, 20);
    assert_true(view.retry_ns == UINT64_C(18000000000));
    assert_true(view.reset_ns == UINT64_C(48000000000));
    assert_true(quota_take(&quota, 0, ROUND_NS, &view));
    assert_int_equal(view.remaining, 20);
    assert_true(take(&quota, 20, ROUND_NS));
}

static void test_give_back(void **state)
{
    (void)state;
    struct quota quota = { 0 };
    struct quota_view view;
    quota_set(&quota, 100);
    assert_true(take(&quota, 100, START_NS));
    quota_give_back(&quota, 30);
    assert_true(quota_take(&quota, 0, START_NS, &view));
    assert_int_equal(view.remaining, 30);
    assert_false(take(&quota, 31, START_NS));
    assert_true(take(&quota, 30, START_NS));
    quota_give_back(&quota, UINT64_MAX);
    quota_give_back(&quota, UINT64_MAX); /* never more than full */
    assert_true(quota_take(&quota, 0, START_NS, &view));
    assert_int_equal(view.remaining, 100);
    assert_int_equal(view.reset_ns, 0);
    assert_true(take(&quota, 100, START_NS));
    assert_false(take(&quota, 1, START_NS));
}

/* The same limit again changes nothing; another begins full; the changes are counted in a circle.
 */
static void test_set(void **state)
{
    (void)state;
    struct quota quota = { 0 };
    struct quota_view view;
    quota_set(&quota, 10);
    assert_true(take(&quota, 10, START_NS));
    quota_set(&quota, 10);
    assert_false(take(&quota, 1, START_NS));
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t limit = 20 + i % 17;
        quota_set(&quota, limit);
        assert_true(quota_take(&quota, limit, START_NS, &view));
        assert_int_equal(view.limit, limit);
        assert_int_equal(view.remaining, 0);
        assert_false(take(&quota, 1, START_NS));
    }
    quota_set(&quota, UINT64_MAX);
    assert_true(quota_take(&quota, 0, START_NS, &view));
    assert_true(view.limit == QUOTA_PER_MINUTE_MAX);
}

/* ---- Against what it promises ------------------------------------------------------------ */

#define RANDOM_SEED  29
#define RANDOM_TAKES 400

struct taken {
    uint64_t at_ns, amount;
};

/*
 * May `amount` be taken at `now_ns` after `count` takes? A bucket says no exactly when for one of
 * the windows that begin with an earlier take, all that was taken since exceeds the limit and what
 * has flown in. `slack_ns` makes each window longer.
 */
static bool conforms(const struct taken *log, size_t count, uint64_t limit, struct taken next,
                     int64_t slack_ns)
{
    quota_u128 sum = next.amount;
    if (sum > limit)
        return false;
    for (size_t i = count; i-- > 0;) {
        sum += log[i].amount;
        int64_t window_ns = (int64_t)(next.at_ns - log[i].at_ns) + slack_ns;
        quota_u128 flown = window_ns > 0 ? (quota_u128)window_ns * limit : 0;
        if (sum * NS_PER_MINUTE > (quota_u128)limit * NS_PER_MINUTE + flown)
            return false;
    }
    return true;
}

static void random_takes(uint64_t limit, uint64_t key)
{
    static struct taken log[RANDOM_TAKES];
    struct quota quota = { 0 };
    quota_set(&quota, limit);
    uint64_t now_ns = START_NS + key, each_ns = NS_PER_MINUTE / limit + 1;
    size_t count = 0;
    for (uint64_t draw = 0; draw < 2 * RANDOM_TAKES && count < RANDOM_TAKES; draw++) {
        uint64_t random = weir_random_u64(RANDOM_SEED, key, draw);
        uint64_t most = random % 8 == 0 ? limit : limit / 20 + 2;
        struct taken next = { .amount = 1 + (random >> 8) % most };
        now_ns += (random >> 40) % 4 == 0 ? 0 : (random >> 20) % (each_ns * (most / 2 + 1));
        next.at_ns = now_ns;
        struct quota_view view;
        bool got = quota_take(&quota, next.amount, now_ns, &view);
        bool wanted = conforms(log, count, limit, next, got ? UNIT_NS : -UNIT_NS);
        if (got != wanted)
            fail_msg("limit %" PRIu64 ", draw %" PRIu64, limit, draw);
        if (!got && next.amount <= limit)
            assert_true(view.retry_ns > 0 && view.retry_ns <= NS_PER_MINUTE);
        assert_true(view.remaining <= limit && view.reset_ns <= NS_PER_MINUTE);
        if (got)
            log[count++] = next;
    }
}

static void test_random(void **state)
{
    (void)state;
    print_message("seed %d\n", RANDOM_SEED);
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        for (uint64_t key = 0; key < 10; key++)
            random_takes(limits[i], key);
}

/* ---- Threads ----------------------------------------------------------------------------- */

#define THREADS      4
#define THREAD_LIMIT 6000
#define THREAD_TAKES 20000

struct shared {
    struct quota quota;
    atomic_uint_fast64_t now_ns, taken;
    atomic_bool wrong;
};

static void clock_forward(struct shared *shared, uint64_t to_ns)
{
    uint_fast64_t now_ns = atomic_load(&shared->now_ns);
    while (now_ns < to_ns && !atomic_compare_exchange_weak(&shared->now_ns, &now_ns, to_ns))
        ;
}

/* Time goes on only when nothing is left, and only to when there is something again. */
static void *taker_main(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < THREAD_TAKES; i++) {
        struct quota_view view;
        uint64_t now_ns = atomic_load(&shared->now_ns);
        if (quota_take(&shared->quota, 1, now_ns, &view))
            atomic_fetch_add(&shared->taken, 1);
        else
            clock_forward(shared, now_ns + view.retry_ns);
        if (i % 16 == 0 && quota_take(&shared->quota, 3, now_ns, &view))
            quota_give_back(&shared->quota, 3);
    }
    return NULL;
}

static void run_threads(struct shared *shared, void *(*main_of)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, main_of, shared), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_threads(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    atomic_store(&shared.now_ns, ROUND_NS);
    quota_set(&shared.quota, THREAD_LIMIT);
    run_threads(&shared, taker_main);
    uint64_t taken = atomic_load(&shared.taken);
    uint64_t now_ns = atomic_load(&shared.now_ns);
    while (take(&shared.quota, 1, now_ns))
        taken++;
    uint64_t flown = (now_ns - ROUND_NS) * THREAD_LIMIT / NS_PER_MINUTE;
    print_message("%" PRIu64 " taken in %" PRIu64 " us\n", taken, (now_ns - ROUND_NS) / 1000);
    assert_true(now_ns > ROUND_NS);
    assert_int_equal(taken, THREAD_LIMIT + flown);
}

/* All at one moment: exactly the limit, whoever takes. */
static void *burst_main(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < THREAD_TAKES; i++)
        if (take(&shared->quota, 1, START_NS))
            atomic_fetch_add(&shared->taken, 1);
    return NULL;
}

static void test_threads_burst(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    quota_set(&shared.quota, 3 * THREAD_TAKES + 1);
    run_threads(&shared, burst_main);
    assert_int_equal(atomic_load(&shared.taken), 3 * THREAD_TAKES + 1);
}

/* Limits whose units are far apart: a time in those of another one would be hours off. */
#define CHANGING_STEP UINT64_C(600000011)

/* While the limit changes, an answer is of one limit or of another, not of both. */
static void *changing_main(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < THREAD_TAKES; i++) {
        struct quota_view view;
        uint64_t amount = (uint64_t)i % 50 * CHANGING_STEP / 25;
        bool got = quota_take(&shared->quota, amount, START_NS, &view);
        bool right = view.limit == 0 || view.limit % CHANGING_STEP == 0;
        right = right && view.remaining <= view.limit && view.reset_ns <= NS_PER_MINUTE;
        right = right && (got ? view.retry_ns == 0
                              : (view.retry_ns > 0 && view.retry_ns <= NS_PER_MINUTE) ||
                                    (view.retry_ns == QUOTA_NEVER && amount > view.limit));
        if (!right)
            atomic_store(&shared->wrong, true);
        if (i % 8 == 0)
            quota_give_back(&shared->quota, amount);
    }
    atomic_fetch_add(&shared->taken, 1);
    return NULL;
}

static void test_threads_set(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, changing_main, &shared), 0);
    for (uint64_t i = 0; atomic_load(&shared.taken) < THREADS; i++)
        quota_set(&shared.quota, i % 6 * CHANGING_STEP);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(atomic_load(&shared.wrong));
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        { 0, "0s" },
        { 1, "1ms" },
        { 20 * 1000000, "20ms" },
        { 20 * 1000000 + 1, "21ms" },
        { 999 * 1000000, "999ms" },
        { 999 * 1000000 + 1, "1s" },
        { UINT64_C(1000000000), "1s" },
        { UINT64_C(8640000000), "8.64s" },
        { UINT64_C(8600000000), "8.6s" },
        { UINT64_C(8005000000), "8.005s" },
        { UINT64_C(59999000000), "59.999s" },
        { UINT64_C(59999000001), "1m0s" },
        { UINT64_C(360000000000), "6m0s" },
        { UINT64_C(86400000000), "1m26.4s" },
        { UINT64_C(3600000000000), "1h0m0s" },
        { UINT64_C(5428800000000), "1h30m28.8s" },
        { UINT64_C(35999999000000000), "9999h59m59s" },
        { UINT64_C(36000000000000000), "9999h59m59.999s" },
        { QUOTA_NEVER, "9999h59m59.999s" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[QUOTA_RESET_BYTES];
        quota_format_reset(text, cases[i].ns);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit),    cmocka_unit_test(test_burst),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_give_back),
        cmocka_unit_test(test_set),         cmocka_unit_test(test_random),
        cmocka_unit_test(test_threads),     cmocka_unit_test(test_threads_burst),
        cmocka_unit_test(test_threads_set), cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
