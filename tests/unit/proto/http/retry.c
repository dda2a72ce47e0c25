/* SPDX-License-Identifier: MIT */
/*
 * What is sent again: every combination of what is known about an attempt against the rules as
 * sentences, waits and their bounds, Retry-After with hostile values, and the load that an outage
 * of the server would see.
 */
#include "proto/http/retry.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <weir/random.h>

#define SEED 20262u
#define MS   UINT64_C(1000000)
#define S    UINT64_C(1000000000)

static const struct weir_retry_policy ample = { .attempts_max = 3,
                                                .backoff_ns = 25 * MS,
                                                .backoff_max_ns = 250 * MS,
                                                .budget_percent = 20,
                                                .budget_min = 3 };

/* Every error there is, some of the system's, and an unknown one. */
static const int errors[] = {
#define XX(name, value, text) value,
    WEIR_ERRORS(XX)
#undef XX
        - ECONNRESET,
    -EPIPE,
    -ETIMEDOUT,
    -ECONNREFUSED,
    -ECONNABORTED,
    -EHOSTUNREACH,
    -EHOSTDOWN,
    -ENETUNREACH,
    -ENETDOWN,
    -ENETRESET,
    -ENOTCONN,
    -ENOBUFS,
    -ENOMEM,
    -EINVAL,
    -EMFILE,
    -EACCES,
    -ENOENT,
    -4999,
    INT_LEAST32_MIN,
};
#define ERRORS_COUNT (sizeof errors / sizeof errors[0])

static struct weir_slice text_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

/* ---- Whether ------------------------------------------------------------------------------------
 */

static void test_idempotent(void **state)
{
    (void)state;
    static const struct {
        const char *method, *field, *value;
        bool flag, want;
    } rows[] = {
        { "GET", "A", "b", false, true },
        { "HEAD", "A", "b", false, true },
        { "OPTIONS", "A", "b", false, true },
        { "TRACE", "A", "b", false, true },
        { "PUT", "A", "b", false, true },
        { "DELETE", "A", "b", false, true },
        { "POST", "A", "b", false, false },
        { "PATCH", "A", "b", false, false },
        { "CONNECT", "A", "b", false, false },
        { "get", "A", "b", false, false },
        { "GETS", "A", "b", false, false },
        { "GE", "A", "b", false, false },
        { "", "A", "b", false, false },
        { "POST", "A", "b", true, true },
        { "POST", "Idempotency-Key", "b", false, true },
        { "POST", "IDEMPOTENCY-KEY", "b", false, true },
        { "POST", "idempotency-key", "\"\"", false, true },
        { "POST", "Idempotency-Key", "", false, false },
        { "POST", "Idempotency-Keys", "b", false, false },
        { "POST", "X-Idempotency-Key", "b", false, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_header headers[2] = { { text_of("Accept"), text_of("*/*") },
                                          { text_of(rows[i].field), text_of(rows[i].value) } };
        struct weir_request request = { .method = text_of(rows[i].method),
                                        .headers = headers,
                                        .headers_count = 2,
                                        .idempotent = rows[i].flag };
        if (weir_retry_idempotent(&request) != rows[i].want)
            fail_msg("%s with %s: %s", rows[i].method, rows[i].field, rows[i].value);
    }
}

static bool is_in(int err, const int *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] == err)
            return true;
    }
    return false;
}

static bool ended_connection(int err)
{
    static const int list[] = {
        WEIR_E_CLOSED, WEIR_E_TRUNCATED, WEIR_E_TLS,    -ECONNRESET,   -EPIPE,
        -ETIMEDOUT,    -ECONNREFUSED,    -ECONNABORTED, -EHOSTUNREACH, -EHOSTDOWN,
        -ENETUNREACH,  -ENETDOWN,        -ENETRESET,    -ENOTCONN,
    };
    return is_in(err, list, sizeof list / sizeof list[0]);
}

static bool can_be_retried(int err)
{
    static const int list[] = { WEIR_E_RESOLVE, WEIR_E_CONNECT, WEIR_E_CONNECT_TIMEOUT,
                                WEIR_E_TIMEOUT };
    return ended_connection(err) || is_in(err, list, sizeof list / sizeof list[0]);
}

/* One of the 128 things that can be known; some contradict themselves. */
static bool attempt_of(struct weir_retry_attempt *out, unsigned bits)
{
    *out = (struct weir_retry_attempt){ .idempotent = bits & 1,
                                        .repeatable = bits & 2,
                                        .reused = bits & 4,
                                        .exposed = bits & 8,
                                        .answered = bits & 16,
                                        .delivered = bits & 32,
                                        .replayed = bits & 64,
                                        .sent = 1 };
    return out->answered || !out->delivered;
}

static void test_replay(void **state)
{
    (void)state;
    struct weir_retry_attempt a;
    unsigned yes = 0;
    for (unsigned bits = 0; bits < 128; bits++) {
        if (!attempt_of(&a, bits))
            continue;
        for (size_t e = 0; e < ERRORS_COUNT; e++) {
            bool safe = a.idempotent || !a.exposed;
            bool want = safe && a.repeatable && a.reused && !a.answered && !a.replayed &&
                        ended_connection(errors[e]);
            if (weir_retry_replay(&a, errors[e]) != want)
                fail_msg("bits %x, error %d", bits, errors[e]);
            yes += want;
        }
    }
    assert_int_equal(yes, 3 * 14);
}

static void test_allowed_errors(void **state)
{
    (void)state;
    struct weir_retry_attempt a;
    for (unsigned bits = 0; bits < 128; bits++) {
        if (!attempt_of(&a, bits))
            continue;
        for (size_t e = 0; e < ERRORS_COUNT; e++) {
            for (a.sent = 1; a.sent <= 4; a.sent++) {
                bool safe = a.idempotent || !a.exposed;
                bool want =
                    safe && a.repeatable && !a.delivered && a.sent < 3 && can_be_retried(errors[e]);
                if (weir_retry_allowed(&ample, &a, errors[e], 0) != want)
                    fail_msg("bits %x, error %d, sent %u", bits, errors[e], a.sent);
            }
        }
    }
}

static void test_allowed_statuses(void **state)
{
    (void)state;
    struct weir_retry_attempt a;
    for (unsigned bits = 0; bits < 128; bits++) {
        if (!attempt_of(&a, bits) || !a.answered)
            continue;
        for (unsigned status = 200; status < 1000; status++) {
            bool good = status == 408 || status == 425 || status == 429 || status == 502 ||
                        status == 503 || status == 504;
            bool want = good && a.idempotent && a.repeatable && !a.delivered;
            if (weir_retry_allowed(&ample, &a, 0, (uint16_t)status) != want)
                fail_msg("bits %x, status %u", bits, status);
        }
    }
    struct weir_retry_policy once = ample;
    once.attempts_max = 1;
    a = (struct weir_retry_attempt){ .idempotent = true, .repeatable = true, .sent = 1 };
    assert_true(weir_retry_allowed(&ample, &a, WEIR_E_CONNECT, 0));
    assert_false(weir_retry_allowed(&once, &a, WEIR_E_CONNECT, 0));
}

/* ---- When ---------------------------------------------------------------------------------------
 */

static void test_backoff_limits(void **state)
{
    (void)state;
    static const uint64_t want_ms[] = { 25, 50, 100, 200, 250, 250, 250 };
    for (uint32_t number = 1; number <= 7; number++) {
        struct weir_retry_moment m = { .now_ns = 7 * S, .number = number };
        uint64_t at;
        assert_true(weir_retry_at(&at, &ample, &m));
        assert_true(at == m.now_ns);
        m.random = UINT64_MAX;
        assert_true(weir_retry_at(&at, &ample, &m));
        assert_true(at == m.now_ns + want_ms[number - 1] * MS);
        m.random = UINT64_C(1) << 63;
        assert_true(weir_retry_at(&at, &ample, &m));
        assert_true(at == m.now_ns + want_ms[number - 1] * MS / 2);
    }
}

/* Numbers that nobody means: no overflow, no long loop, the bounds hold. */
static void test_backoff_extremes(void **state)
{
    (void)state;
    static const uint64_t values[] = { 0, 1, 2, S, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX };
    for (unsigned b = 0; b < 7; b++) {
        for (unsigned x = 0; x < 7; x++) {
            struct weir_retry_policy config = { .backoff_ns = values[b],
                                                .backoff_max_ns = values[x] };
            for (unsigned r = 0; r < 7; r++) {
                struct weir_retry_moment m = { .now_ns = S,
                                               .random = values[r],
                                               .number = UINT32_MAX };
                uint64_t at;
                assert_true(weir_retry_at(&at, &config, &m));
                assert_true(at >= S && at - S <= values[x]);
            }
        }
    }
}

/* All waits up to the limit are alike: sixteen equal parts get a sixteenth each. */
static void test_backoff_spread(void **state)
{
    (void)state;
    printf("seed %u\n", SEED);
    enum { DRAWS = 160000, PARTS = 16 };
    uint32_t parts[PARTS] = { 0 };
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct weir_retry_moment m = { .random = weir_random_u64(SEED, 2, i), .number = 3 };
        uint64_t at;
        assert_true(weir_retry_at(&at, &ample, &m));
        assert_true(at <= 100 * MS);
        parts[weir_min_u64(at * PARTS / (100 * MS), PARTS - 1)]++;
    }
    /* 10000 +- 97 (one sigma). */
    for (unsigned i = 0; i < PARTS; i++)
        assert_in_range(parts[i], 9500, 10500);
}

static void test_deadline(void **state)
{
    (void)state;
    struct weir_retry_moment m = {
        .now_ns = 10 * S, .deadline_ns = 10 * S + 25 * MS, .random = UINT64_MAX, .number = 1
    };
    uint64_t at = 77;
    assert_false(weir_retry_at(&at, &ample, &m)); /* would begin when the time is over */
    assert_true(at == 77);
    m.deadline_ns++;
    assert_true(weir_retry_at(&at, &ample, &m));
    assert_true(at == 10 * S + 25 * MS);
    m.deadline_ns = 10 * S;
    m.random = 0;
    assert_false(weir_retry_at(&at, &ample, &m));

    /* What the server asks for is waited in full. */
    m.after_ns = 2 * S;
    m.deadline_ns = 13 * S;
    assert_true(weir_retry_at(&at, &ample, &m));
    assert_true(at == 12 * S);
    m.random = UINT64_MAX;
    assert_true(weir_retry_at(&at, &ample, &m));
    assert_true(at == 12 * S + 25 * MS);
    m.deadline_ns = 12 * S;
    assert_false(weir_retry_at(&at, &ample, &m));
    /* With a deadline far away the call waits for long, without one it does not. */
    m.after_ns = 3600 * S;
    m.deadline_ns = 7200 * S;
    assert_true(weir_retry_at(&at, &ample, &m));
    m.deadline_ns = 0;
    assert_false(weir_retry_at(&at, &ample, &m));
    m.after_ns = WEIR_RETRY_AFTER_NS_MAX;
    assert_true(weir_retry_at(&at, &ample, &m));
    m.after_ns++;
    assert_false(weir_retry_at(&at, &ample, &m));
    m.after_ns = UINT64_MAX;
    m.deadline_ns = UINT64_MAX;
    assert_false(weir_retry_at(&at, &ample, &m));
}

#define NONE (UINT64_MAX - 1)

static void test_retry_after(void **state)
{
    (void)state;
    static const char now[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    static const char wrong[] = "yesterday";
    static const struct {
        const char *value, *date;
        uint64_t want_ns;
    } rows[] = {
        { "0", now, 0 },
        { "1", now, S },
        { "007", now, 7 * S },
        { "120", "", 120 * S },
        { "2147483647", now, UINT64_C(2147483647) * S },
        { "2147483648", now, UINT64_MAX },
        { "18446744073709551616", now, UINT64_MAX }, /* 2^64 would be 0 */
        { "18446744073709551617", now, UINT64_MAX },
        { "1000000000000000000000000000000", now, UINT64_MAX },
        { "0000000000000000000000000000005", now, 5 * S },
        { "", now, NONE },
        { "-1", now, NONE },
        { "+1", now, NONE },
        { "1.5", now, NONE },
        { "1e3", now, NONE },
        { "0x10", now, NONE },
        { " 1", now, NONE },
        { "1 ", now, NONE },
        { "1, 2", now, NONE },
        { "soon", now, NONE },
        { "\xd9\xa3", now, NONE }, /* a digit elsewhere */
        { "Sun, 06 Nov 1994 08:49:38 GMT", now, S },
        { "Sun, 06 Nov 1994 08:51:37 GMT", now, 120 * S },
        { "Sunday, 06-Nov-94 08:49:47 GMT", now, 10 * S },
        { "Sun Nov  6 08:49:47 1994", now, 10 * S },
        { "Sun, 06 Nov 1994 08:49:37 GMT", now, 0 },
        { "Sun, 06 Nov 1994 08:49:36 GMT", now, 0 },
        { "Sat, 01 Jan 0000 00:00:00 GMT", now, 0 },
        { "Fri, 31 Dec 9999 23:59:59 GMT", now, UINT64_MAX },
        { "Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", UINT64_MAX },
        { "Sun, 06 Nov 1994 25:49:37 GMT", now, NONE },
        /* No date to compare with: the wall clock of the test, 08:49:07. */
        { "Sun, 06 Nov 1994 08:49:37 GMT", "", 30 * S },
        { "Sun, 06 Nov 1994 08:49:37 GMT", wrong, 30 * S },
    };
    const int64_t wall_s = 784111777 - 30;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t got = NONE;
        bool good = weir_retry_after(&got, text_of(rows[i].value), text_of(rows[i].date), wall_s);
        if (got != rows[i].want_ns || good != (got != NONE))
            fail_msg("'%s' at '%s': %llu", rows[i].value, rows[i].date, (unsigned long long)got);
    }
    uint64_t none = 1;
    assert_false(
        weir_retry_after(&none, (struct weir_slice){ 0 }, (struct weir_slice){ 0 }, wall_s));
}

/* ---- How many -----------------------------------------------------------------------------------
 */

/* Calls that all fail, each tried up to five times. The retries that were granted. */
static uint64_t run_outage(struct weir_retry_budget *budget, uint32_t calls, uint64_t *now_ns,
                           uint64_t apart_ns)
{
    uint64_t retries = 0;
    for (uint32_t i = 0; i < calls; i++) {
        weir_retry_budget_call(budget, *now_ns);
        for (unsigned attempt = 1; attempt < 5 && weir_retry_budget_take(budget, *now_ns);
             attempt++)
            retries++;
        weir_retry_budget_check(budget);
        *now_ns += apart_ns;
    }
    return retries;
}

static void test_outage(void **state)
{
    (void)state;
    static const uint64_t apart[] = { 0, 1000, MS, 333 * MS, S, 60 * S, 3600 * S };
    for (unsigned i = 0; i < sizeof apart / sizeof apart[0]; i++) {
        for (uint32_t min = 0; min <= 10; min++) {
            struct weir_retry_policy config = ample;
            config.budget_min = min;
            struct weir_retry_budget budget;
            uint64_t now = 12345 * S;
            weir_retry_budget_init(&budget, &config, now);
            uint64_t retries = run_outage(&budget, 100000, &now, apart[i]);
            /* The bound, a fifth of the calls and the minimum once, but for what was full. */
            if (retries > 20000 + min || retries + 1 < 20000 + min)
                fail_msg("%llu retries, minimum %u, %llu ns apart", (unsigned long long)retries,
                         min, (unsigned long long)apart[i]);
        }
    }
}

static void test_budget_extremes(void **state)
{
    (void)state;
    struct weir_retry_policy config = ample;
    struct weir_retry_budget budget;
    uint64_t now = 0;
    config.budget_percent = 0;
    weir_retry_budget_init(&budget, &config, now);
    assert_int_equal(run_outage(&budget, 10000, &now, MS), 3);
    config.budget_min = 0;
    weir_retry_budget_init(&budget, &config, now);
    assert_int_equal(run_outage(&budget, 10000, &now, MS), 0);
    config.budget_percent = 100;
    weir_retry_budget_init(&budget, &config, now);
    assert_int_equal(run_outage(&budget, 10000, &now, MS), 10000);
    /* The clock's end, and a clock that goes back. */
    now = UINT64_MAX - S;
    assert_int_equal(run_outage(&budget, 1, &now, 0), 1);
    now = 0;
    assert_int_equal(run_outage(&budget, 1, &now, 0), 1);
}

/* Traffic without failures saves up what ten seconds of it put in, and no more. */
static void test_burst(void **state)
{
    (void)state;
    struct weir_retry_budget budget;
    uint64_t now = 500 * S;
    weir_retry_budget_init(&budget, &ample, now);
    for (unsigned i = 0; i < 100000; i++) { /* 100 s, 1000 a second */
        weir_retry_budget_call(&budget, now);
        now += MS;
    }
    unsigned retries = 0;
    while (weir_retry_budget_take(&budget, now))
        retries++;
    assert_in_range(retries, 1800, 2000);
    now += 3600 * S;
    assert_false(weir_retry_budget_take(&budget, now));
    /* After a silence only the minimum is left of it. */
    for (unsigned i = 0; i < 100000; i++)
        weir_retry_budget_call(&budget, now);
    now += 11 * S;
    retries = 0;
    while (weir_retry_budget_take(&budget, now))
        retries++;
    assert_int_equal(retries, 3);
}

static void test_give_back(void **state)
{
    (void)state;
    struct weir_retry_budget budget;
    weir_retry_budget_init(&budget, &ample, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(weir_retry_budget_take(&budget, 0));
    assert_false(weir_retry_budget_take(&budget, 0));
    weir_retry_budget_give_back(&budget, 0);
    assert_true(weir_retry_budget_take(&budget, 0));
    assert_false(weir_retry_budget_take(&budget, 0));
    for (unsigned i = 0; i < 10; i++)
        weir_retry_budget_give_back(&budget, S);
    for (unsigned i = 0; i < 3; i++)
        assert_true(weir_retry_budget_take(&budget, S));
    assert_false(weir_retry_budget_take(&budget, S));
}

/* Random traffic, random outages: both bounds of retry.h, over every stretch between two events. */
static void test_bounds(void **state)
{
    (void)state;
    enum { EVENTS = 400, RUNS = 100 };
    static uint64_t when[EVENTS], calls_to[EVENTS + 1], retries_to[EVENTS + 1];
    printf("seed %u\n", SEED);
    uint64_t draw = 0;
    for (unsigned run = 0; run < RUNS; run++) {
        struct weir_retry_policy config = ample;
        config.budget_percent = (uint32_t)(weir_random_u64(SEED, 3, draw++) % 101);
        config.budget_min = (uint32_t)(weir_random_u64(SEED, 3, draw++) % 6);
        struct weir_retry_budget budget;
        uint64_t now = weir_random_u64(SEED, 3, draw++) % (100 * S);
        uint64_t calls = 0, retries = 0;
        weir_retry_budget_init(&budget, &config, now);
        for (unsigned i = 0; i < EVENTS; i++) {
            uint64_t random = weir_random_u64(SEED, 3, draw++);
            now += random % 8 == 0 ? random >> 30 : random >> 38;
            when[i] = now;
            for (uint64_t n = (random >> 3) % 16; n > 0; n--, calls++)
                weir_retry_budget_call(&budget, now);
            for (uint64_t n = random >> 7 & (random >> 11 & 15); n > 0; n--)
                retries += weir_retry_budget_take(&budget, now);
            calls_to[i + 1] = calls;
            retries_to[i + 1] = retries;
            weir_retry_budget_check(&budget);
        }
        assert_true(retries * 100 <= config.budget_min * 100 + config.budget_percent * calls);
        for (unsigned from = 0; from < EVENTS; from++) {
            unsigned window = from;
            while (window > 0 && when[from] - when[window - 1] <= 10 * S)
                window--;
            uint64_t before = config.budget_percent * (calls_to[from] - calls_to[window]);
            uint64_t least = config.budget_min == 0 ? 100 : config.budget_min * UINT64_C(100);
            for (unsigned to = from; to < EVENTS; to++) {
                uint64_t most = weir_max_u64(least, before) +
                                config.budget_percent * (calls_to[to + 1] - calls_to[from]);
                assert_true((retries_to[to + 1] - retries_to[from]) * 100 <= most);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idempotent),      cmocka_unit_test(test_replay),
        cmocka_unit_test(test_allowed_errors),  cmocka_unit_test(test_allowed_statuses),
        cmocka_unit_test(test_backoff_limits),  cmocka_unit_test(test_backoff_extremes),
        cmocka_unit_test(test_backoff_spread),  cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_retry_after),     cmocka_unit_test(test_outage),
        cmocka_unit_test(test_budget_extremes), cmocka_unit_test(test_burst),
        cmocka_unit_test(test_give_back),       cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
