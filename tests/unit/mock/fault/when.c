/* SPDX-License-Identifier: MIT */
#include "mock/fault/when.c"

#include "unit/mock/fault/rules.h"

#include <pthread.h>
#include <stdlib.h>

#define KEYS    10000u
#define THREADS 4

/* The key of a number, as a client would write it. */
static uint64_t key_of(uint64_t number)
{
    char text[24];
    int len = snprintf(text, sizeof text, "user-%llu", (unsigned long long)number);
    return weir_random_key((struct weir_slice){ (const uint8_t *)text, (size_t)len });
}

static bool strikes_number(struct fault_rule *rule, uint64_t number, uint64_t now_ns)
{
    struct fault_subject subject = {
        .key = key_of(number), .numbered = true, .number = number, .now_ns = now_ns
    };
    bool strikes = fault_rule_strikes(rule, &subject);
    if (strikes)
        fault_rule_release(rule);
    return strikes;
}

/* ---- the same keys, whatever the threads ---- */

struct crowd {
    struct fault_rule *rule;
    const uint32_t *order;
    bool *struck;
    bool numbered;
    unsigned first, step;
};

static void *crowd_run(void *arg)
{
    const struct crowd *crowd = arg;
    for (unsigned i = crowd->first; i < KEYS; i += crowd->step) {
        uint32_t number = crowd->order[i];
        struct fault_subject subject = { .key = key_of(number),
                                         .numbered = crowd->numbered,
                                         .number = number };
        crowd->struck[number] = fault_rule_strikes(crowd->rule, &subject);
        if (crowd->struck[number])
            fault_rule_release(crowd->rule);
    }
    return NULL;
}

static void shuffle(uint32_t *order, uint64_t seed)
{
    for (uint32_t i = 0; i < KEYS; i++)
        order[i] = i;
    for (uint32_t i = KEYS - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(weir_random_u64(seed, i, 0) % (i + 1));
        uint32_t swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
}

/* All keys once, in an order made of `seed`. @return how many were struck */
static unsigned run_crowd(const char *text, bool *struck, unsigned threads, uint64_t seed,
                          bool numbered)
{
    static uint32_t order[KEYS];
    shuffle(order, seed);
    struct fault_rule *rule = rule_of(text);
    pthread_t ids[THREADS];
    struct crowd crowds[THREADS];
    for (unsigned i = 0; i < threads; i++) {
        crowds[i] = (struct crowd){ rule, order, struck, numbered, i, threads };
        assert_int_equal(pthread_create(&ids[i], NULL, crowd_run, &crowds[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    unsigned count = 0;
    for (unsigned i = 0; i < KEYS; i++)
        count += struck[i];
    assert_int_equal(count_now(&rule->matched), KEYS);
    assert_int_equal(count_now(&rule->struck), count);
    assert_int_equal(atomic_load(&rule->active), 0);
    fault_rule_drop(rule);
    return count;
}

#define EVEN_1 "{'id':'even','when':{'probability':0.01,'mode':'even'},'do':{'kind':'reset'}}"

static void test_even_is_exact(void **state)
{
    (void)state;
    static bool alone[KEYS], crowded[KEYS], other[KEYS];
    print_message("seed %llu\n", (unsigned long long)RULES_SEED);
    assert_int_equal(run_crowd(EVEN_1, alone, 1, 1, true), 100);
    assert_int_equal(run_crowd(EVEN_1, crowded, THREADS, 2, true), 100);
    assert_memory_equal(alone, crowded, sizeof alone);
    /* Without numbers the order of arrival counts, but still exactly so many are struck. */
    assert_int_equal(run_crowd(EVEN_1, other, THREADS, 3, false), 100);
}

#define CHANCE_1 "{'id':'chance','when':{'probability':0.01},'do':{'kind':'reset'}}"

static void test_chance_is_fair(void **state)
{
    (void)state;
    static bool alone[KEYS], crowded[KEYS], other[KEYS];
    /* 4 standard deviations of a binomial of 10,000 at 1 %: 4 x 9.95. */
    unsigned count = run_crowd(CHANCE_1, alone, 1, 1, true);
    assert_in_range(count, 60, 140);
    assert_int_equal(run_crowd(CHANCE_1, crowded, THREADS, 2, true), count);
    assert_memory_equal(alone, crowded, sizeof alone);
    /* Chance is the key's, not the number's. */
    assert_int_equal(run_crowd(CHANCE_1, other, THREADS, 3, false), count);
    assert_memory_equal(alone, other, sizeof alone);
}

/* A rule without a seed has one of its own; the same seed given to two makes them the same. */
static void test_rules_are_independent(void **state)
{
    (void)state;
    static bool a[KEYS], b[KEYS];
    unsigned both = 0;
    (void)run_crowd("{'id':'a','when':{'probability':0.1},'do':{'kind':'reset'}}", a, 1, 1, true);
    (void)run_crowd("{'id':'b','when':{'probability':0.1},'do':{'kind':'reset'}}", b, 1, 1, true);
    for (unsigned i = 0; i < KEYS; i++)
        both += a[i] && b[i];
    assert_in_range(both, 60, 140);
    (void)run_crowd("{'id':'a','seed':7,'when':{'probability':0.1},'do':{'kind':'reset'}}", a, 1, 1,
                    true);
    (void)run_crowd("{'id':'b','seed':7,'when':{'probability':0.1},'do':{'kind':'reset'}}", b, 1, 1,
                    true);
    assert_memory_equal(a, b, sizeof a);
}

/* ---- even: any run of requests ---- */

static void check_runs(double probability, uint64_t share, uint64_t whole)
{
    struct fault_rule rule = { .enabled = true,
                               .when = { .probability = probability, .mode = FAULT_EVEN },
                               .seed = 5 };
    when_prepare(&rule);
    if (share != 0)
        assert_true((__uint128_t)rule.even.share * whole == (__uint128_t)share * rule.even.whole);
    const uint64_t starts[] = { 0, 17, UINT64_C(999999999999000000) };
    for (size_t s = 0; s < 3; s++) {
        uint64_t struck = 0;
        for (uint64_t n = 1; n <= 3000; n++) {
            struck += even_strikes(&rule, starts[s] + n - 1);
            double exact = probability * (double)n;
            /* Room for the rounding of the comparison itself alone. */
            if ((double)struck < floor(exact - 1e-9) || (double)struck > ceil(exact + 1e-9)) {
                print_error("%.17g from %llu: %llu of %llu\n", probability,
                            (unsigned long long)starts[s], (unsigned long long)struck,
                            (unsigned long long)n);
                fail();
            }
        }
    }
}

static void test_even_runs(void **state)
{
    (void)state;
    check_runs(0.01, 1, 100);
    check_runs(0.5, 1, 2);
    check_runs(0.999, 999, 1000);
    check_runs(0.0007, 7, 10000);
    check_runs(0.123456789012345, UINT64_C(123456789012345), UINT64_C(1000000000000000));
    check_runs(1.0 / 3, 0, 0);
    check_runs(0.7071067811865476, 0, 0);
    check_runs(1e-12, 1, UINT64_C(1000000000000));
    check_runs(0, 0, 0);
    check_runs(1, 1, 1);
    check_runs(5e-324, 0, 0);
}

/* Windows anywhere, not only from the beginning of a run. */
static void test_even_windows(void **state)
{
    (void)state;
    struct fault_rule *rule = rule_of(EVEN_1);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t at = weir_random_u64(RULES_SEED, i, 1) >> 5;
        unsigned struck = 0;
        for (uint64_t n = 0; n < 200; n++)
            struck += even_strikes(rule, at + n);
        assert_int_equal(struck, 2);
    }
    fault_rule_drop(rule);
}

/* ---- the conditions by a table ---- */

/* One character for each request from 0 on, or for each moment: x is struck. */
static const struct {
    const char *when, *struck;
} by_index[] = {
    { "{}", "xxxxxxxx" },
    { "{'every':1}", "xxxxxxxx" },
    { "{'every':3}", "..x..x..x" },
    { "{'after':3}", "...xxxxx" },
    { "{'first':2}", "xx......" },
    { "{'after':2,'first':3}", "..xxx..." },
    { "{'after':2,'every':2}", "...x.x.x" },
    { "{'after':1,'every':2,'first':4}", "..x.x..." },
    { "{'after':9223372036854775807,'first':9223372036854775807}", "........" },
    { "{'probability':0}", "........" },
    { "{'probability':0,'mode':'even'}", "........" },
    { "{'probability':1,'mode':'even'}", "xxxxxxxx" },
    { "{'probability':1,'mode':'even','every':2}", ".x.x.x.x" },
};

static void test_by_index(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof by_index / sizeof by_index[0]; row++) {
        char text[256];
        snprintf(text, sizeof text, "{'when':%s,'do':{'kind':'reset'}}", by_index[row].when);
        struct fault_rule *rule = rule_of(text), *counted = rule_of(text);
        size_t len = strlen(by_index[row].struck);
        char got[32] = "", arrived[32] = "";
        for (size_t i = 0; i < len; i++) {
            got[i] = strikes_number(rule, i, 0) ? 'x' : '.';
            struct fault_subject subject = { .key = i, .number = 77 };
            arrived[i] = fault_rule_strikes(counted, &subject) ? 'x' : '.';
        }
        assert_string_equal(got, by_index[row].struck);
        assert_string_equal(arrived, by_index[row].struck);
        assert_int_equal(count_now(&rule->matched), len);
        fault_rule_drop(rule);
        fault_rule_drop(counted);
    }
}

static const struct {
    const char *rule, *struck, *alive; /* at 0 us, 1 us, ...; a rule begins at 10 us */
} by_time[] = {
    { "'when':{}", "xxxxxxxxxxxxxxxxxxxx", "aaaaaaaaaaaaaaaaaaaa" },
    { "'when':{'start_us':3}", ".............xxxxxxx", "aaaaaaaaaaaaaaaaaaaa" },
    { "'when':{'end_us':3}", "xxxxxxxxxxxxx.......", "aaaaaaaaaaaaaaaaaaaa" },
    { "'when':{'start_us':3,'end_us':5}", ".............xx.....", "aaaaaaaaaaaaaaaaaaaa" },
    { "'when':{'period_us':4,'duty':0.5}", "xxxxxxxxxxxx..xx..xx", "aaaaaaaaaaaaaaaaaaaa" },
    { "'when':{'period_us':4,'duty':0.5,'start_us':1}", "...........xx..xx..x",
      "aaaaaaaaaaaaaaaaaaaa" },
    { "'when':{'period_us':4,'duty':0}", "....................", "aaaaaaaaaaaaaaaaaaaa" },
    { "'when':{'period_us':4,'duty':1}", "xxxxxxxxxxxxxxxxxxxx", "aaaaaaaaaaaaaaaaaaaa" },
    { "'ttl_us':4", "xxxxxxxxxxxxxx......", "aaaaaaaaaaaaaa......" },
    { "'ttl_us':4,'when':{'start_us':2}", "............xx......", "aaaaaaaaaaaaaa......" },
    { "'enabled':false", "....................", "...................." },
};

static void test_by_time(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof by_time / sizeof by_time[0]; row++) {
        char text[256], got[24] = "", alive[24] = "";
        snprintf(text, sizeof text, "{%s,'do':{'kind':'reset'}}", by_time[row].rule);
        struct fault_rule *rule = rule_of(text);
        fault_rule_reset(rule, 10 * US);
        uint64_t lived = 0;
        for (size_t i = 0; i < 20; i++) {
            got[i] = strikes_number(rule, i, i * US) ? 'x' : '.';
            alive[i] = when_is_alive(rule, i * US) ? 'a' : '.';
            lived += alive[i] == 'a';
        }
        assert_string_equal(got, by_time[row].struck);
        assert_string_equal(alive, by_time[row].alive);
        assert_int_equal(count_now(&rule->matched), lived);
        fault_rule_drop(rule);
    }
}

/* ---- ramp ---- */

static void check_ramp(const char *text, double probability)
{
    struct fault_rule *rule = rule_of(text);
    const uint64_t number_count = 4000;
    for (unsigned tenth = 0; tenth <= 12; tenth++) {
        uint64_t now_ns = (100 + 100 * tenth) * US;
        double share = tenth >= 10 ? 1 : tenth / 10.0;
        unsigned struck = 0;
        for (uint64_t i = 0; i < number_count; i++) {
            bool now = strikes_number(rule, i, now_ns);
            struck += now;
            /* Who is struck early in the ramp is struck later on, too. */
            assert_true(!now || strikes_number(rule, i, 10000 * US));
        }
        double expected = (double)number_count * probability * share;
        double bound = 4 * sqrt(expected) + 1;
        if (fabs(struck - expected) > bound)
            print_error("%s at %u tenths: %u, expected %.0f\n", text, tenth, struck, expected);
        assert_true(fabs(struck - expected) <= bound);
    }
    assert_false(strikes_number(rule, 1, 99 * US));
    fault_rule_drop(rule);
}

static void test_ramp(void **state)
{
    (void)state;
    check_ramp("{'when':{'start_us':100,'ramp_us':1000},'do':{'kind':'reset'}}", 1);
    check_ramp("{'when':{'probability':0.3,'start_us':100,'ramp_us':1000},'do':{'kind':'reset'}}",
               0.3);
    check_ramp("{'when':{'probability':0.3,'mode':'even','start_us':100,'ramp_us':1000},"
               "'do':{'kind':'reset'}}",
               0.3);
}

/* ---- max_active ---- */

struct rush {
    struct fault_rule *rule;
    atomic_uint *inside;
    atomic_uint *most;
    unsigned struck;
};

static void *rush_run(void *arg)
{
    struct rush *rush = arg;
    struct fault_subject subject = { .key = 1 };
    for (unsigned i = 0; i < 20000; i++) {
        if (!fault_rule_strikes(rush->rule, &subject))
            continue;
        unsigned inside = atomic_fetch_add(rush->inside, 1) + 1;
        unsigned most = atomic_load(rush->most);
        while (inside > most && !atomic_compare_exchange_weak(rush->most, &most, inside))
            continue;
        rush->struck++;
        atomic_fetch_sub(rush->inside, 1);
        fault_rule_release(rush->rule);
    }
    return NULL;
}

static void test_max_active_of_threads(void **state)
{
    (void)state;
    struct fault_rule *rule = rule_of("{'when':{'max_active':2},'do':{'kind':'reset'}}");
    atomic_uint inside = 0, most = 0;
    pthread_t ids[THREADS];
    struct rush rushes[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        rushes[i] = (struct rush){ rule, &inside, &most, 0 };
        assert_int_equal(pthread_create(&ids[i], NULL, rush_run, &rushes[i]), 0);
    }
    unsigned struck = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        struck += rushes[i].struck;
    }
    assert_in_range(atomic_load(&most), 1, 2);
    assert_int_equal(atomic_load(&rule->active), 0);
    assert_int_equal(count_now(&rule->struck), struck);
    assert_int_equal(count_now(&rule->matched), THREADS * 20000);
    fault_rule_drop(rule);
}

static void test_max_active(void **state)
{
    (void)state;
    struct fault_rule *rule = rule_of("{'when':{'max_active':2},'do':{'kind':'reset'}}");
    struct fault_subject subject = { .key = 1 };
    assert_true(fault_rule_strikes(rule, &subject));
    assert_true(fault_rule_strikes(rule, &subject));
    assert_false(fault_rule_strikes(rule, &subject));
    fault_rule_release(rule);
    assert_true(fault_rule_strikes(rule, &subject));
    /* What is struck is still active when the counts begin anew. */
    fault_rule_reset(rule, 5);
    assert_int_equal(atomic_load(&rule->active), 2);
    assert_false(fault_rule_strikes(rule, &subject));
    fault_rule_release(rule);
    fault_rule_release(rule);
    fault_rule_drop(rule);
}

/* ---- what else counts ---- */

static void test_subject(void **state)
{
    (void)state;
    struct fault_rule *rule =
        rule_of("{'match':{'model':'llama*','stream':true},'do':{'kind':'reset'}}");
    struct fault_subject subject = { .model = WEIR_TEXT("llama-8b"), .stream = true };
    assert_true(fault_rule_strikes(rule, &subject));
    subject.stream = false;
    assert_false(fault_rule_strikes(rule, &subject));
    subject.stream = true;
    subject.model = WEIR_TEXT("lama-8b");
    assert_false(fault_rule_strikes(rule, &subject));
    subject.model = (struct weir_slice){ NULL, 0 };
    assert_false(fault_rule_strikes(rule, &subject));
    assert_int_equal(count_now(&rule->matched), 1);
    fault_rule_drop(rule);

    rule = rule_of("{'do':{'kind':'drop_done'}}");
    assert_true(fault_rule_strikes(rule, &subject));
    subject.stream = false;
    assert_false(fault_rule_strikes(rule, &subject));
    assert_int_equal(count_now(&rule->matched), 1);
    fault_rule_drop(rule);
}

/* All requests of a connection fare alike: their subjects have its key and number. */
static void test_connection(void **state)
{
    (void)state;
    struct fault_rule *rule =
        rule_of("{'when':{'every':2,'scope':'connection'},'do':{'kind':'reset'}}");
    assert_int_equal(rule->when.scope, FAULT_PER_CONNECTION);
    for (uint64_t connection = 0; connection < 6; connection++)
        for (int request = 0; request < 3; request++)
            assert_int_equal(strikes_number(rule, connection, 0), connection % 2);
    fault_rule_drop(rule);
}

static void test_reset(void **state)
{
    (void)state;
    struct fault_rule *rule = rule_of("{'ttl_us':5,'when':{'first':1},'do':{'kind':'reset'}}");
    struct fault_subject subject = { .now_ns = 0 };
    assert_true(fault_rule_strikes(rule, &subject));
    assert_false(fault_rule_strikes(rule, &subject));
    subject.now_ns = 7 * US;
    assert_false(fault_rule_strikes(rule, &subject));
    fault_rule_reset(rule, 6 * US);
    assert_int_equal(count_now(&rule->matched), 0);
    assert_true(fault_rule_strikes(rule, &subject));
    assert_false(fault_rule_strikes(rule, &subject));
    assert_int_equal(count_now(&rule->matched), 2);
    assert_int_equal(count_now(&rule->struck), 1);
    fault_rule_drop(rule);
}

static void test_key_number(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool numbered;
        uint64_t number;
    } rows[] = {
        { "42", true, 42 },
        { "user-7", true, 7 },
        { "a0012", true, 12 },
        { "", false, 0 },
        { "7a", false, 0 },
        { "-", false, 0 },
        { "0", true, 0 },
        { "1-2", true, 2 },
        { "999999999999999999", true, UINT64_C(999999999999999999) },
        { "x999999999999999999", true, UINT64_C(999999999999999999) },
        { "1000000000000000000", false, 0 },
        { "0000000000000000001", false, 0 },
        { "9999999999999999999999999999", false, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t number = 0;
        struct weir_slice key = { (const uint8_t *)rows[i].key, strlen(rows[i].key) };
        assert_int_equal(fault_key_number(key, &number), rows[i].numbered);
        assert_int_equal(number, rows[i].number);
    }
    uint64_t number = 5;
    assert_false(fault_key_number((struct weir_slice){ NULL, 0 }, &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_even_is_exact),
        cmocka_unit_test(test_chance_is_fair),
        cmocka_unit_test(test_rules_are_independent),
        cmocka_unit_test(test_even_runs),
        cmocka_unit_test(test_even_windows),
        cmocka_unit_test(test_by_index),
        cmocka_unit_test(test_by_time),
        cmocka_unit_test(test_ramp),
        cmocka_unit_test(test_max_active_of_threads),
        cmocka_unit_test(test_max_active),
        cmocka_unit_test(test_subject),
        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_key_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
