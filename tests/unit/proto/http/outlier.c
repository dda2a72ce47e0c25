/* SPDX-License-Identifier: MIT */
/*
 * The states of an endpoint one transition after the other, times and their decay, how many may be
 * out, and random histories of a set compared with what must hold whatever happens.
 */
#include "proto/http/outlier.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <weir/random.h>

#define SEED          20263u
#define S             UINT64_C(1000000000)
#define ENDPOINTS_MAX 8

static struct weir_outlier endpoints[ENDPOINTS_MAX];

static struct weir_outlier_set set_of(uint32_t count)
{
    memset(endpoints, 0, sizeof endpoints);
    return (struct weir_outlier_set){ .endpoints = endpoints,
                                      .count = count,
                                      .failures = 5,
                                      .eject_ns = 30 * S,
                                      .eject_max_ns = 300 * S };
}

/* A call that is not the probe. True when it put the endpoint out. */
static bool call(struct weir_outlier_set *set, uint32_t i, enum weir_outlier_result result,
                 uint64_t now)
{
    assert_true(weir_outlier_allowed(set, i, now));
    assert_false(weir_outlier_claim(set, i, now));
    bool ejected = weir_outlier_ended(set, i, result, false, now);
    weir_outlier_check(set);
    return ejected;
}

static void fail_until_out(struct weir_outlier_set *set, uint32_t i, uint64_t now)
{
    for (unsigned n = 1; n < 5; n++)
        assert_false(call(set, i, WEIR_OUTLIER_BAD, now));
    assert_true(call(set, i, WEIR_OUTLIER_BAD, now));
    assert_false(weir_outlier_allowed(set, i, now));
}

/* The probe, which must be due at `now` and not a nanosecond before. */
static bool probe(struct weir_outlier_set *set, uint32_t i, enum weir_outlier_result result,
                  uint64_t now)
{
    assert_false(weir_outlier_allowed(set, i, now - 1));
    assert_true(weir_outlier_allowed(set, i, now));
    assert_true(weir_outlier_claim(set, i, now));
    assert_false(weir_outlier_allowed(set, i, now));
    bool ejected = weir_outlier_ended(set, i, result, true, now);
    weir_outlier_check(set);
    return ejected;
}

static void test_judge(void **state)
{
    (void)state;
    for (unsigned status = 200; status < 1000; status++) {
        bool bad = status >= 502 && status <= 504;
        for (unsigned unanswered = 0; unanswered < 2; unanswered++)
            assert_int_equal(weir_outlier_judge(0, (uint16_t)status, unanswered),
                             bad ? WEIR_OUTLIER_BAD : WEIR_OUTLIER_GOOD);
    }
    static const int bad[] = {
        WEIR_E_CLOSED,   WEIR_E_TRUNCATED,
        WEIR_E_PROTOCOL, WEIR_E_RESOLVE,
        WEIR_E_CONNECT,  WEIR_E_CONNECT_TIMEOUT,
        WEIR_E_TLS,      WEIR_E_CERTIFICATE,
        WEIR_E_TIMEOUT,  -ECONNRESET,
        -EPIPE,          -ETIMEDOUT,
    };
    static const int nothing[] = {
        WEIR_E_LIMIT,
        WEIR_E_CANCELLED,
        WEIR_E_SHUTDOWN,
        WEIR_E_QUEUE_FULL,
        WEIR_E_URL,
        WEIR_E_QUEUE_TIMEOUT,
        WEIR_E_OVERLOAD,
        WEIR_E_ENCODING,
        WEIR_E_UNSUPPORTED,
        -ENOBUFS,
        -EINVAL,
        -EMFILE,
        -4999,
    };
    for (unsigned unanswered = 0; unanswered < 2; unanswered++) {
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
            assert_int_equal(weir_outlier_judge(bad[i], 200, unanswered), WEIR_OUTLIER_BAD);
        for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++)
            assert_int_equal(weir_outlier_judge(nothing[i], 503, unanswered), WEIR_OUTLIER_NOTHING);
    }
    assert_int_equal(weir_outlier_judge(WEIR_E_DEADLINE, 0, true), WEIR_OUTLIER_BAD);
    assert_int_equal(weir_outlier_judge(WEIR_E_DEADLINE, 200, false), WEIR_OUTLIER_NOTHING);
}

static void test_in_a_row(void **state)
{
    (void)state;
    struct weir_outlier_set set = set_of(2);
    for (unsigned i = 0; i < 4; i++)
        assert_false(call(&set, 0, WEIR_OUTLIER_BAD, S));
    assert_false(call(&set, 0, WEIR_OUTLIER_NOTHING, S)); /* neither counts nor clears */
    assert_false(call(&set, 1, WEIR_OUTLIER_GOOD, S));    /* another endpoint */
    assert_true(call(&set, 0, WEIR_OUTLIER_BAD, S));
    assert_int_equal(set.ejections, 1);
    assert_int_equal(set.out, 1);

    set = set_of(2);
    for (unsigned i = 0; i < 4; i++)
        assert_false(call(&set, 0, WEIR_OUTLIER_BAD, S));
    assert_false(call(&set, 0, WEIR_OUTLIER_GOOD, S));
    fail_until_out(&set, 0, S);
}

static void test_never(void **state)
{
    (void)state;
    struct weir_outlier_set set = set_of(2);
    set.failures = 0;
    for (unsigned i = 0; i < 1000; i++)
        assert_false(call(&set, 0, WEIR_OUTLIER_BAD, S));
    /* Health checks still do. */
    assert_false(weir_outlier_health(&set, 0, false, S));
    assert_true(weir_outlier_health(&set, 0, false, S));
    assert_false(weir_outlier_allowed(&set, 0, S));
}

/* A client of one server never puts it out. */
static void test_only_one(void **state)
{
    (void)state;
    struct weir_outlier_set set = set_of(1);
    for (unsigned i = 0; i < 1000; i++) {
        assert_false(call(&set, 0, WEIR_OUTLIER_BAD, i * S));
        assert_false(weir_outlier_health(&set, 0, false, i * S));
    }
    assert_int_equal(set.out, 0);
}

static void test_half(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= ENDPOINTS_MAX; count++) {
        struct weir_outlier_set set = set_of(count);
        for (unsigned round = 0; round < 10; round++) {
            for (uint32_t i = 0; i < count; i++) {
                if (weir_outlier_allowed(&set, i, S))
                    call(&set, i, WEIR_OUTLIER_BAD, S);
                weir_outlier_health(&set, i, false, S);
            }
        }
        assert_int_equal(set.out, count / 2);
        if (count < 2)
            continue;
        /* Those that found no room ask again with their next failure, once there is some. */
        assert_true(call(&set, count - 1, WEIR_OUTLIER_BAD, S) == false);
        assert_false(weir_outlier_health(&set, 0, true, S));
        assert_int_equal(set.out, count / 2 - 1);
        assert_true(call(&set, count - 1, WEIR_OUTLIER_BAD, S));
        assert_int_equal(set.out, count / 2);
    }
}

/* n * 30 s, up to 300 s, for as long as the probe fails. */
static void test_times_grow(void **state)
{
    (void)state;
    struct weir_outlier_set set = set_of(2);
    uint64_t now = 1000 * S;
    fail_until_out(&set, 0, now);
    for (uint64_t n = 1; n <= 1500; n++) {
        now += weir_min_u64(n * 30, 300) * S;
        assert_true(probe(&set, 0, WEIR_OUTLIER_BAD, now));
    }
    assert_int_equal(set.ejections, 1501);
    assert_int_equal(endpoints[0].ejections, WEIR_OUTLIER_EJECTIONS_MAX);
    now += 300 * S;
    assert_false(probe(&set, 0, WEIR_OUTLIER_GOOD, now));
    assert_int_equal(set.out, 0);
    assert_true(weir_outlier_allowed(&set, 0, now));
}

/* Each stretch of health as long as the last ejection takes one off. */
static void test_decay(void **state)
{
    (void)state;
    static const struct {
        uint64_t healthy_s, next_s;
    } rows[] = {
        /* After three in a row, 30 + 60 + 90 s: the fourth lasts 120 s. */
        { 0, 120 },  { 89, 120 }, { 90, 90 },  { 149, 90 },
        { 150, 60 }, { 179, 60 }, { 180, 30 }, { 100000, 30 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_outlier_set set = set_of(2);
        uint64_t now = 1000 * S;
        fail_until_out(&set, 0, now);
        assert_true(probe(&set, 0, WEIR_OUTLIER_BAD, now += 30 * S));
        assert_true(probe(&set, 0, WEIR_OUTLIER_BAD, now += 60 * S));
        assert_false(probe(&set, 0, WEIR_OUTLIER_GOOD, now += 90 * S));
        now += rows[i].healthy_s * S;
        fail_until_out(&set, 0, now);
        assert_false(probe(&set, 0, WEIR_OUTLIER_GOOD, now += rows[i].next_s * S));
    }
}

static void test_extreme_times(void **state)
{
    (void)state;
    static const uint64_t values[] = { 0, 1, S, UINT64_MAX / 2, UINT64_MAX };
    for (unsigned e = 0; e < 5; e++) {
        for (unsigned m = 0; m < 5; m++) {
            struct weir_outlier_set set = set_of(2);
            set.failures = 1;
            set.eject_ns = values[e];
            set.eject_max_ns = values[m];
            for (unsigned i = 0; i < 50; i++) {
                uint64_t now = UINT64_MAX / 50 * i;
                if (!weir_outlier_allowed(&set, 0, now))
                    continue;
                bool is_probe = weir_outlier_claim(&set, 0, now);
                weir_outlier_ended(&set, 0, i % 3 == 0 ? WEIR_OUTLIER_GOOD : WEIR_OUTLIER_BAD,
                                   is_probe, now);
                weir_outlier_check(&set);
            }
        }
    }
}

/* Exactly one call at a time while it is half open, and only that one decides. */
static void test_half_open(void **state)
{
    (void)state;
    struct weir_outlier_set set = set_of(2);
    uint64_t now = 1000 * S;
    fail_until_out(&set, 0, now);
    /* Calls that began before end now: of no interest. */
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_GOOD, false, now));
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_BAD, false, now));
    assert_false(weir_outlier_allowed(&set, 0, now + 30 * S - 1));
    now += 30 * S;
    assert_true(weir_outlier_claim(&set, 0, now));
    assert_false(weir_outlier_allowed(&set, 0, now + 1000 * S));
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_GOOD, false, now));
    assert_false(weir_outlier_allowed(&set, 0, now));
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_BAD, false, now));
    assert_false(weir_outlier_health(&set, 0, true, now));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_HALF_OPEN);
    /* Abandoned: the next call is the probe, at once. */
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_NOTHING, true, now));
    assert_true(weir_outlier_allowed(&set, 0, now));
    assert_true(weir_outlier_claim(&set, 0, now));
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_GOOD, true, now));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_CLOSED);
    /* The failures of before are forgotten. */
    fail_until_out(&set, 0, now);
}

static void test_health(void **state)
{
    (void)state;
    struct weir_outlier_set set = set_of(2);
    uint64_t now = 1000 * S;
    assert_false(weir_outlier_health(&set, 0, false, now));
    assert_false(weir_outlier_health(&set, 0, true, now));
    assert_false(weir_outlier_health(&set, 0, false, now));
    assert_false(call(&set, 0, WEIR_OUTLIER_GOOD, now)); /* calls do not clear what checks count */
    assert_true(weir_outlier_health(&set, 0, false, now));
    /* No time brings it back, the first good check does. */
    assert_false(weir_outlier_allowed(&set, 0, UINT64_MAX));
    assert_false(weir_outlier_health(&set, 0, false, now + 100 * S));
    assert_false(weir_outlier_health(&set, 0, true, now + 130 * S));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_CLOSED);
    assert_true(weir_outlier_allowed(&set, 0, now + 130 * S));

    /* Put out by calls: a good check only makes the probe come sooner. */
    now += 10000 * S;
    fail_until_out(&set, 0, now);
    assert_false(weir_outlier_health(&set, 0, true, now + S));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_HALF_OPEN);
    assert_true(weir_outlier_claim(&set, 0, now + S));
    assert_true(weir_outlier_ended(&set, 0, WEIR_OUTLIER_BAD, true, now + S));
    assert_false(weir_outlier_allowed(&set, 0, now + 61 * S - 1));
    /* Bad checks besides: then the checks decide alone. */
    assert_false(weir_outlier_health(&set, 0, false, now + 2 * S));
    assert_true(weir_outlier_allowed(&set, 0, now + 61 * S));
    assert_false(weir_outlier_health(&set, 0, false, now + 3 * S));
    assert_false(weir_outlier_allowed(&set, 0, UINT64_MAX));
    assert_false(weir_outlier_health(&set, 0, true, now + 4 * S));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_CLOSED);
}

/* A probe that outlives its state counts as an ordinary call, and no second one is beside it. */
static void test_late_probe(void **state)
{
    (void)state;
    struct weir_outlier_set set = set_of(2);
    uint64_t now = 1000 * S;
    fail_until_out(&set, 0, now);
    now += 30 * S;
    assert_true(weir_outlier_claim(&set, 0, now));
    assert_false(weir_outlier_health(&set, 0, false, now));
    assert_true(weir_outlier_health(&set, 0, false, now));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_EJECTED);
    assert_false(weir_outlier_health(&set, 0, true, now));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_CLOSED);
    fail_until_out(&set, 0, now);
    now += 300 * S;
    assert_false(weir_outlier_allowed(&set, 0, now)); /* the first probe is still under way */
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_GOOD, true, now));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_EJECTED);
    assert_true(weir_outlier_allowed(&set, 0, now));
    assert_true(weir_outlier_claim(&set, 0, now));
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_GOOD, true, now));
    assert_int_equal(endpoints[0].state, WEIR_OUTLIER_CLOSED);
}

/* One that cannot be reached gets no call that could be its probe: the attempt is one. */
static void test_unreached(void **state)
{
    (void)state;
    struct weir_outlier_set set = set_of(2);
    uint64_t now = 1000 * S;
    assert_false(weir_outlier_unreached(&set, 0, -EMFILE, now)); /* our own trouble */
    assert_int_equal(endpoints[0].bad_calls, 0);
    for (unsigned i = 1; i < 5; i++)
        assert_false(weir_outlier_unreached(&set, 0, WEIR_E_CONNECT, now));
    assert_true(weir_outlier_unreached(&set, 0, WEIR_E_CONNECT, now));
    /* Attempts that began before. */
    assert_false(weir_outlier_unreached(&set, 0, WEIR_E_CONNECT, now + 30 * S - 1));
    now += 30 * S;
    assert_true(weir_outlier_allowed(&set, 0, now));
    assert_false(weir_outlier_unreached(&set, 0, -EMFILE, now));
    assert_true(weir_outlier_allowed(&set, 0, now));
    assert_true(weir_outlier_unreached(&set, 0, WEIR_E_CONNECT_TIMEOUT, now));
    assert_false(weir_outlier_allowed(&set, 0, now + 60 * S - 1));
    /* With a probe under way that one decides. */
    now += 60 * S;
    assert_true(weir_outlier_claim(&set, 0, now));
    assert_false(weir_outlier_unreached(&set, 0, WEIR_E_CONNECT, now));
    assert_false(weir_outlier_ended(&set, 0, WEIR_OUTLIER_NOTHING, true, now));
    assert_true(weir_outlier_unreached(&set, 0, WEIR_E_CONNECT, now));
    assert_int_equal(endpoints[0].ejections, 3);
    assert_false(weir_outlier_allowed(&set, 0, now + 90 * S - 1));
    assert_true(weir_outlier_allowed(&set, 0, now + 90 * S));
    /* Health checks that put it out are not overruled. */
    weir_outlier_health(&set, 0, false, now);
    weir_outlier_health(&set, 0, false, now);
    assert_false(weir_outlier_unreached(&set, 0, WEIR_E_CONNECT, now + 1000 * S));
    assert_true(endpoints[0].by_health);
    weir_outlier_check(&set);
}

/* ---- Random histories ---------------------------------------------------------------------------
 */

#define CALLS_MAX 16

struct history {
    struct weir_outlier_set set;
    struct {
        uint32_t endpoint;
        bool probe, live;
    } calls[CALLS_MAX];
    uint64_t now;
};

static void history_claim(struct history *h, uint32_t i, unsigned slot)
{
    if (h->calls[slot].live || !weir_outlier_allowed(&h->set, i, h->now))
        return;
    bool was_closed = endpoints[i].state == WEIR_OUTLIER_CLOSED;
    bool is_probe = weir_outlier_claim(&h->set, i, h->now);
    assert_int_equal(is_probe, !was_closed);
    for (unsigned c = 0; c < CALLS_MAX && is_probe; c++)
        assert_false(h->calls[c].live && h->calls[c].probe && h->calls[c].endpoint == i);
    h->calls[slot].endpoint = i;
    h->calls[slot].probe = is_probe;
    h->calls[slot].live = true;
}

static void history_step(struct history *h, uint64_t random)
{
    uint32_t i = (uint32_t)(random >> 8) % h->set.count;
    unsigned slot = (unsigned)(random >> 16) % CALLS_MAX;
    uint64_t out = h->set.out, ejections = h->set.ejections;
    bool ejected = false;
    h->now += (random >> 24) % (random % 64 == 0 ? 400 * S : S);
    switch (random % 4) {
    case 0:
    case 1:
        history_claim(h, i, slot);
        break;
    case 2:
        if (!h->calls[slot].live)
            break;
        h->calls[slot].live = false;
        enum weir_outlier_result result =
            (random >> 4) % 8 == 0 ? WEIR_OUTLIER_GOOD : WEIR_OUTLIER_BAD;
        if ((random >> 4) % 8 == 1)
            result = WEIR_OUTLIER_NOTHING;
        ejected = weir_outlier_ended(&h->set, h->calls[slot].endpoint, result, h->calls[slot].probe,
                                     h->now);
        break;
    default:
        if ((random >> 2) % 4 == 1)
            ejected = weir_outlier_unreached(&h->set, i, WEIR_E_CONNECT, h->now);
        if ((random >> 2) % 4 == 0)
            ejected = weir_outlier_health(&h->set, i, (random >> 4) % 2 == 0, h->now);
        break;
    }
    assert_true(h->set.ejections == ejections + ejected);
    assert_true(h->set.out <= out + ejected);
}

static void test_histories(void **state)
{
    (void)state;
    printf("seed %u\n", SEED);
    uint64_t draw = 0, ejections = 0, most_out = 0;
    for (unsigned run = 0; run < 200; run++) {
        struct history h = { .set = set_of(1 + run % ENDPOINTS_MAX), .now = run * S };
        h.set.failures = 1 + run / 8 % 5;
        for (unsigned step = 0; step < 2000; step++) {
            history_step(&h, weir_random_u64(SEED, run, draw++));
            weir_outlier_check(&h.set);
            uint32_t closed = 0;
            for (uint32_t i = 0; i < h.set.count; i++)
                closed += endpoints[i].state == WEIR_OUTLIER_CLOSED;
            assert_true(closed >= 1 && closed >= h.set.count - h.set.count / 2);
            most_out = weir_max_u64(most_out, h.set.out);
        }
        ejections += h.set.ejections;
        /* However it stands: when nothing fails any more, all are back after the longest time. */
        for (unsigned c = 0; c < CALLS_MAX; c++) {
            if (h.calls[c].live)
                weir_outlier_ended(&h.set, h.calls[c].endpoint, WEIR_OUTLIER_NOTHING,
                                   h.calls[c].probe, h.now);
        }
        h.now += 300 * S;
        for (uint32_t i = 0; i < h.set.count; i++) {
            weir_outlier_health(&h.set, i, true, h.now);
            assert_true(weir_outlier_allowed(&h.set, i, h.now));
            bool is_probe = weir_outlier_claim(&h.set, i, h.now);
            weir_outlier_ended(&h.set, i, WEIR_OUTLIER_GOOD, is_probe, h.now);
        }
        assert_int_equal(h.set.out, 0);
        weir_outlier_check(&h.set);
    }
    /* The histories do go where it matters. */
    assert_true(ejections > 1000);
    assert_int_equal(most_out, ENDPOINTS_MAX / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),      cmocka_unit_test(test_in_a_row),
        cmocka_unit_test(test_never),      cmocka_unit_test(test_only_one),
        cmocka_unit_test(test_half),       cmocka_unit_test(test_times_grow),
        cmocka_unit_test(test_decay),      cmocka_unit_test(test_extreme_times),
        cmocka_unit_test(test_half_open),  cmocka_unit_test(test_health),
        cmocka_unit_test(test_late_probe), cmocka_unit_test(test_unreached),
        cmocka_unit_test(test_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
