/* SPDX-License-Identifier: MIT */
#include "mock/control/audit.c"

#include <weir/json.h>
#include <weir/random.h>

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SEED 20240503
#define MS   1000000ULL
#define S    1000000000ULL

/* What a case expects of an audit. */
struct expected {
    uint64_t keyed, keys, attempts_max;
    uint64_t failed_attempts, failed_keys, recovered;
    uint64_t told, honoured, early, not_retried, worst_early_us;
    uint64_t gaps, gap_min_us, gap_max_us;
    uint64_t replayed, kept;
};

struct audit_case {
    const char *name;
    struct journal_record records[8];
    struct expected expected;
};

#define ATTEMPT(key_, at, took, status_)                                                           \
    .key = (key_), .keyed = true, .start_ns = (at), .delivered_ns = (took), .status = (status_)
#define ANSWER(key_, at, took, status_)                                                            \
    ATTEMPT(key_, at, took, status_), .method = METHOD_POST, .endpoint = ENDPOINT_INFER
#define CUT(key_, at, took, phase_)                                                                \
    ANSWER(key_, at, took, 200), .end = JOURNAL_CUT, .phase = (phase_), .fault_kind = FAULT_RESET

static const struct audit_case cases[] = {
    { "nothing happened", { { 0 } }, { 0 } },
    { "one attempt each",
      { { ANSWER(1, 1 * S, MS, 200) }, { ANSWER(2, 2 * S, MS, 200) } },
      { .keyed = 2, .keys = 2, .attempts_max = 1 } },
    { "requests without a key are no attempts",
      { { .start_ns = 1 * S, .status = 500, .key = 1, .method = METHOD_POST },
        { .start_ns = 2 * S, .status = 200, .key = 1, .method = METHOD_POST } },
      { 0 } },
    { "a failure and its retry",
      { { ANSWER(1, 1 * S, 2 * MS, 503) }, { ANSWER(1, 1 * S + 7 * MS, MS, 200) } },
      { .keyed = 2,
        .keys = 1,
        .attempts_max = 2,
        .failed_attempts = 1,
        .failed_keys = 1,
        .recovered = 1,
        .gaps = 1,
        .gap_min_us = 5000,
        .gap_max_us = 5000 } },
    { "what failed to the end",
      { { ANSWER(1, 1 * S, MS, 500) },
        { ANSWER(1, 2 * S, MS, 502) },
        { ANSWER(1, 4 * S, MS, 504) } },
      { .keyed = 3,
        .keys = 1,
        .attempts_max = 3,
        .failed_attempts = 3,
        .failed_keys = 1,
        .gaps = 2,
        .gap_min_us = 999000,
        .gap_max_us = 1999000 } },
    { "a refusal that is the client's fault is no failure to try again after",
      { { ANSWER(1, 1 * S, MS, 400) }, { ANSWER(2, 1 * S, MS, 404) } },
      { .keyed = 2, .keys = 2, .attempts_max = 1 } },
    { "Retry-After honoured, to a millisecond",
      { { ANSWER(1, 1 * S, MS, 429), .retry_after_s = 2 },
        { ANSWER(1, 3 * S + 3 * MS, MS, 429), .retry_after_s = 1 },
        { ANSWER(1, 4 * S + 4 * MS - 900000, MS, 200) } },
      { .keyed = 3,
        .keys = 1,
        .attempts_max = 3,
        .failed_attempts = 2,
        .failed_keys = 1,
        .recovered = 1,
        .told = 2,
        .honoured = 2,
        .gaps = 2,
        .gap_min_us = 999100,
        .gap_max_us = 2002000 } },
    { "Retry-After ignored, once by 1.5 s and once altogether",
      { { ANSWER(1, 1 * S, MS, 429), .retry_after_s = 2 },
        { ANSWER(1, 1 * S + 501 * MS, MS, 429), .retry_after_s = 1 },
        { ANSWER(1, 1 * S + 502 * MS, MS, 200) } },
      { .keyed = 3,
        .keys = 1,
        .attempts_max = 3,
        .failed_attempts = 2,
        .failed_keys = 1,
        .recovered = 1,
        .told = 2,
        .early = 2,
        .worst_early_us = 1500000,
        .gaps = 2,
        .gap_min_us = 0,
        .gap_max_us = 500000 } },
    { "Retry-After, and given up",
      { { ANSWER(1, 1 * S, MS, 503), .retry_after_s = 9 } },
      { .keyed = 1,
        .keys = 1,
        .attempts_max = 1,
        .failed_attempts = 1,
        .failed_keys = 1,
        .told = 1,
        .not_retried = 1 } },
    { "a hedge beside the attempt is no early retry: the next one behind it counts",
      { { ANSWER(1, 1 * S, 500 * MS, 429), .retry_after_s = 1 },
        { ANSWER(1, 1 * S + 100 * MS, 10 * S, 200) },
        { ANSWER(1, 2 * S + 600 * MS, 5 * S, 503) } },
      { .keyed = 3,
        .keys = 1,
        .attempts_max = 3,
        .failed_attempts = 2,
        .failed_keys = 1,
        .told = 1,
        .honoured = 1,
        .gaps = 1,
        .gap_min_us = 1100000,
        .gap_max_us = 1100000 } },
    { "two hedges that both succeed are no replay",
      { { ANSWER(1, 1 * S, 500 * MS, 200) }, { ANSWER(1, 1 * S + 100 * MS, S, 200) } },
      { .keyed = 2, .keys = 1, .attempts_max = 2 } },
    { "a POST again that had succeeded",
      { { ANSWER(1, 1 * S, MS, 200) }, { ANSWER(1, 2 * S, MS, 201) } },
      { .keyed = 2, .keys = 1, .attempts_max = 2, .replayed = 1 } },
    { "a GET may come again",
      { { ATTEMPT(1, 1 * S, MS, 200), .method = METHOD_GET },
        { ATTEMPT(1, 2 * S, MS, 200), .method = METHOD_GET } },
      { .keyed = 2, .keys = 1, .attempts_max = 2 } },
    { "a POST again whose stream was cut, twice",
      { { CUT(1, 1 * S, MS, JOURNAL_STREAMING) },
        { CUT(1, 2 * S, MS, JOURNAL_STREAMING) },
        { ANSWER(1, 3 * S, MS, 200) } },
      { .keyed = 3,
        .keys = 1,
        .attempts_max = 3,
        .failed_attempts = 2,
        .failed_keys = 1,
        .recovered = 1,
        .gaps = 2,
        .gap_min_us = 999000,
        .gap_max_us = 999000,
        .replayed = 2 } },
    { "a POST again that was cut before its answer began",
      { { CUT(1, 1 * S, MS, JOURNAL_DELAYED) }, { ANSWER(1, 2 * S, MS, 200) } },
      { .keyed = 2,
        .keys = 1,
        .attempts_max = 2,
        .failed_attempts = 1,
        .failed_keys = 1,
        .recovered = 1,
        .gaps = 1,
        .gap_min_us = 999000,
        .gap_max_us = 999000 } },
    { "a POST again whose client had gone amid the answer; one that was refused; an error cut",
      { { ANSWER(1, 1 * S, MS, 200), .end = JOURNAL_DISCONNECT, .phase = JOURNAL_SENT },
        { ANSWER(2, 1 * S, MS, 0), .end = JOURNAL_REFUSED, .phase = JOURNAL_SENT },
        { ANSWER(3, 1 * S, MS, 503), .end = JOURNAL_CUT, .phase = JOURNAL_STREAMING },
        { ANSWER(1, 2 * S, MS, 200) },
        { ANSWER(2, 2 * S, MS, 200) },
        { ANSWER(3, 2 * S, MS, 200) } },
      { .keyed = 6,
        .keys = 3,
        .attempts_max = 2,
        .failed_attempts = 3,
        .failed_keys = 3,
        .recovered = 3,
        .gaps = 3,
        .gap_min_us = 999000,
        .gap_max_us = 999000,
        .replayed = 1 } },
    { "an answer that was spoiled though it was whole",
      { { ANSWER(1, 1 * S, MS, 200), .fault_kind = FAULT_BAD_JSON },
        { ANSWER(1, 2 * S, MS, 200), .fault_kind = FAULT_DELAY } },
      { .keyed = 2,
        .keys = 1,
        .attempts_max = 2,
        .failed_attempts = 1,
        .failed_keys = 1,
        .recovered = 1,
        .gaps = 1,
        .gap_min_us = 999000,
        .gap_max_us = 999000,
        .replayed = 1 } },
    { "a connection kept after a cut: two requests, not the pipelined one, not another connection",
      { { .start_ns = 1 * S, .delivered_ns = 500 * MS, .conn = 7, .end = JOURNAL_CUT },
        { .start_ns = 1 * S + 100 * MS, .delivered_ns = 1, .conn = 7 },
        { .start_ns = 2 * S, .conn = 7, .end = JOURNAL_CUT },
        { .start_ns = 2 * S, .conn = 8 },
        { .start_ns = 3 * S, .conn = 7 } },
      { .kept = 2 } },
    { "connections that nobody knows are not one",
      { { .start_ns = 1 * S, .end = JOURNAL_CUT }, { .start_ns = 2 * S } },
      { .kept = 0 } },
};

static size_t count_of(const struct audit_case *c)
{
    size_t count = 0;
    while (count < 8 && c->records[count].start_ns != 0)
        count++;
    return count;
}

static struct expected measured(const struct audit *audit)
{
    return (struct expected){
        .keyed = audit->keyed,
        .keys = audit->keys,
        .attempts_max = audit->attempts_max,
        .failed_attempts = audit->failed_attempts,
        .failed_keys = audit->failed_keys,
        .recovered = audit->recovered_keys,
        .told = audit->told,
        .honoured = audit->honoured,
        .early = audit->early,
        .not_retried = audit->not_retried,
        .worst_early_us = audit->worst_early_ns / NS_PER_US,
        .gaps = weir_hist_count(audit->gaps_us),
        .gap_min_us = audit->gap_ns_min / NS_PER_US,
        .gap_max_us = weir_hist_max(audit->gaps_us),
        .replayed = audit->replayed_posts,
        .kept = audit->kept_after_cut,
    };
}

static void expect_same(const char *name, const struct audit *audit, const struct expected *right)
{
    struct expected got = measured(audit);
    const uint64_t *a = (const uint64_t *)&got, *b = (const uint64_t *)right;
    for (size_t i = 0; i < sizeof got / sizeof *a; i++)
        if (a[i] != b[i])
            fail_msg("%s: figure %zu is %llu, not %llu", name, i, (unsigned long long)a[i],
                     (unsigned long long)b[i]);
}

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct audit audit;
        size_t count = count_of(&cases[i]);
        assert_int_equal(audit_open(&audit, cases[i].records, count), 0);
        assert_int_equal(audit.requests, count);
        expect_same(cases[i].name, &audit, &cases[i].expected);
        assert_int_equal(audit.violations_total,
                         audit.early + audit.replayed_posts + audit.kept_after_cut);
        audit_close(&audit);
    }
}

/* All cases in one journal, interleaved, each with keys and connections of its own: the sum. */
static void test_verdicts_together(void **state)
{
    (void)state;
    static struct journal_record records[sizeof cases / sizeof cases[0] * 8];
    struct expected sum = { .gap_min_us = 0 };
    size_t count = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t j = 0; j < count_of(&cases[i]); j++) {
            struct journal_record record = cases[i].records[j];
            record.key = weir_random_u64(SEED, i, record.key);
            record.conn = record.conn == 0 ? 0 : i * 100 + record.conn;
            record.thread = (uint16_t)(i % 3);
            record.seq = count;
            records[count++] = record;
        }
        const struct expected *e = &cases[i].expected;
        sum.keyed += e->keyed;
        sum.keys += e->keys;
        sum.failed_attempts += e->failed_attempts;
        sum.failed_keys += e->failed_keys;
        sum.recovered += e->recovered;
        sum.told += e->told;
        sum.honoured += e->honoured;
        sum.early += e->early;
        sum.not_retried += e->not_retried;
        sum.gaps += e->gaps;
        sum.replayed += e->replayed;
        sum.kept += e->kept;
    }
    sum.attempts_max = 3;
    sum.worst_early_us = 1500000;
    sum.gap_max_us = 2002000;
    journal_sort(records, count);
    struct audit audit;
    assert_int_equal(audit_open(&audit, records, count), 0);
    expect_same("together", &audit, &sum);
    assert_int_equal(audit.violations_count, audit.violations_total);
    for (uint32_t i = 1; i < audit.violations_count; i++)
        assert_true(audit.violations[i - 1].record->start_ns <=
                    audit.violations[i].record->start_ns);
    audit_close(&audit);
}

/* More violations than are listed: the first ones in time, whatever the order of the keys. */
static void test_first_violations(void **state)
{
    (void)state;
    enum { KEYS = 700 };
    static struct journal_record records[2 * KEYS];
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t key = weir_random_u64(SEED, i, 1);
        records[i] = (struct journal_record){ ANSWER(key, (i + 1) * MS, 1, 200) };
        records[KEYS + i] = (struct journal_record){ ANSWER(key, S + i * MS, 1, 200) };
        records[KEYS + i].seq = i;
    }
    journal_sort(records, 2 * (size_t)KEYS);
    struct audit audit;
    assert_int_equal(audit_open(&audit, records, 2 * (size_t)KEYS), 0);
    assert_int_equal(audit.replayed_posts, KEYS);
    assert_int_equal(audit.violations_total, KEYS);
    assert_int_equal(audit.violations_count, AUDIT_VIOLATIONS_MAX);
    for (uint32_t i = 0; i < AUDIT_VIOLATIONS_MAX; i++)
        assert_int_equal(audit.violations[i].record->seq, i);
    audit_close(&audit);
}

/* Against the definition, written down as loops over all pairs. */
static void test_against_all_pairs(void **state)
{
    (void)state;
    printf("seed %d\n", SEED);
    enum { RECORDS = 300 };
    static struct journal_record records[RECORDS];
    for (uint64_t run = 0; run < 20; run++) {
        for (uint64_t i = 0; i < RECORDS; i++) {
            uint64_t r = weir_random_u64(SEED, run, i);
            const uint16_t statuses[] = { 200, 200, 429, 503, 404 };
            records[i] = (struct journal_record){ ANSWER(r % 20, 1 + (r >> 8) % (5 * S),
                                                         (r >> 16) % (50 * MS), statuses[r % 5]) };
            records[i].end = (uint8_t)((r >> 40) % 3 == 0 ? (r >> 43) % JOURNAL_END_COUNT : 0);
            records[i].phase = (uint8_t)((r >> 46) % JOURNAL_PHASE_COUNT);
            records[i].retry_after_s = r % 5 == 2 ? (r >> 50) % 2 : 0;
            records[i].conn = 1 + (r >> 52) % 30;
            records[i].seq = i;
        }
        journal_sort(records, RECORDS);
        struct expected sum = { 0 };
        for (size_t i = 0; i < RECORDS; i++) {
            bool replayed = false, kept = false;
            const struct journal_record *a = &records[i];
            for (size_t j = 0; j < i; j++) {
                const struct journal_record *b = &records[j];
                if (a->start_ns + AUDIT_OVERLAP_NS < b->start_ns + b->delivered_ns)
                    continue;
                replayed = replayed || (a->key == b->key && audit_has_begun(b));
                kept = kept || (a->conn == b->conn && b->end == JOURNAL_CUT);
            }
            sum.replayed += replayed;
            sum.kept += kept;
            if (!audit_has_failed(a))
                continue;
            sum.failed_attempts++;
            sum.told += a->retry_after_s > 0;
            size_t j = i + 1;
            while (j < RECORDS &&
                   (records[j].key != a->key ||
                    records[j].start_ns + AUDIT_OVERLAP_NS < a->start_ns + a->delivered_ns))
                j++;
            sum.gaps += j < RECORDS;
            if (a->retry_after_s > 0 && j < RECORDS)
                sum.honoured += records[j].start_ns + AUDIT_EARLY_NS >=
                                a->start_ns + a->delivered_ns + a->retry_after_s * S;
        }
        struct audit audit;
        assert_int_equal(audit_open(&audit, records, RECORDS), 0);
        assert_int_equal(audit.replayed_posts, sum.replayed);
        assert_int_equal(audit.kept_after_cut, sum.kept);
        assert_int_equal(audit.failed_attempts, sum.failed_attempts);
        assert_int_equal(audit.told, sum.told);
        assert_int_equal(audit.honoured, sum.honoured);
        assert_int_equal(audit.told, audit.honoured + audit.early + audit.not_retried);
        assert_int_equal(weir_hist_count(audit.gaps_us), sum.gaps);
        audit_close(&audit);
    }
}

/* ---- Report ------------------------------------------------------------------------------ */

static json_t *report_of(const struct journal_record *records, size_t count)
{
    struct audit audit;
    struct text text = { 0 };
    assert_int_equal(audit_open(&audit, records, count), 0);
    audit_write(&text, &audit, 17, 1000000000);
    audit_close(&audit);
    assert_false(text.failed);
    assert_int_equal(weir_json_check(text_slice(&text)), 0);
    json_t *report = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(report);
    text_free(&text);
    return report;
}

static json_t *at(json_t *object, const char *name, const char *member)
{
    json_t *inner = json_object_get(object, name);
    return member == NULL ? inner : json_object_get(inner, member);
}

static void test_report_of_nothing(void **state)
{
    (void)state;
    json_t *report = report_of(NULL, 0);
    assert_int_equal(json_integer_value(at(report, "requests", NULL)), 0);
    assert_int_equal(json_integer_value(at(report, "journal_dropped", NULL)), 17);
    assert_true(json_is_null(at(report, "amplification", NULL)));
    assert_true(json_is_null(at(report, "attempts", "mean")));
    assert_int_equal(json_integer_value(at(report, "retry_gaps_us", "count")), 0);
    assert_true(json_is_null(at(report, "retry_gaps_us", "p99")));
    assert_int_equal(json_array_size(at(report, "violations", NULL)), 0);
    json_decref(report);
}

static void test_report(void **state)
{
    (void)state;
    const struct journal_record records[] = {
        { ANSWER(0xabc, 1 * S, MS, 429), .retry_after_s = 2, .thread = 1, .seq = 4 },
        { ANSWER(0xdef, 1 * S + MS, MS, 200), .seq = 1 },
        { ANSWER(0xabc, 2 * S, MS, 200), .seq = 5 },
        { .start_ns = 3 * S, .conn = 6, .end = JOURNAL_CUT, .seq = 6 },
        { .start_ns = 4 * S, .conn = 6, .seq = 7 },
        { ANSWER(0xdef, 5 * S, MS, 200), .thread = 2, .seq = 9, .conn = 6 },
    };
    json_t *report = report_of(records, sizeof records / sizeof records[0]);
    assert_int_equal(json_integer_value(at(report, "requests", NULL)), 6);
    assert_int_equal(json_integer_value(at(report, "keyed", NULL)), 4);
    assert_int_equal(json_integer_value(at(report, "keys", NULL)), 2);
    assert_true(json_number_value(at(report, "attempts", "mean")) == 2.0);
    assert_int_equal(json_integer_value(at(report, "attempts", "max")), 2);
    assert_true(json_number_value(at(report, "amplification", NULL)) == 2.0);
    assert_int_equal(json_integer_value(at(report, "failed", "attempts")), 1);
    assert_int_equal(json_integer_value(at(report, "failed", "keys")), 1);
    assert_int_equal(json_integer_value(at(report, "failed", "recovered")), 1);
    assert_int_equal(json_integer_value(at(report, "retry_after", "told")), 1);
    assert_int_equal(json_integer_value(at(report, "retry_after", "early")), 1);
    assert_int_equal(json_integer_value(at(report, "retry_after", "worst_early_us")), 1001000);
    assert_int_equal(json_integer_value(at(report, "retry_gaps_us", "min")), 999000);
    assert_int_equal(json_integer_value(at(report, "replayed", "post_after_bytes")), 1);
    assert_int_equal(json_integer_value(at(report, "connections", "count")), 1);
    assert_int_equal(json_integer_value(at(report, "connections", "kept_after_cut")), 2);
    assert_int_equal(json_integer_value(at(report, "violations_total", NULL)), 4);
    const char *const kinds[] = { "early_retry", "kept_after_cut", "replayed_post",
                                  "kept_after_cut" };
    json_t *violations = at(report, "violations", NULL);
    assert_int_equal(json_array_size(violations), 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(json_string_value(at(json_array_get(violations, i), "kind", NULL)),
                            kinds[i]);
    json_t *early = json_array_get(violations, 0);
    assert_string_equal(json_string_value(at(early, "key", NULL)), "0000000000000abc");
    assert_string_equal(json_string_value(at(early, "time", NULL)), "1970-01-01T00:00:03.000000Z");
    assert_int_equal(json_integer_value(at(early, "seq", NULL)), 5);
    assert_string_equal(json_string_value(at(early, "detail", NULL)),
                        "came 0.999000 s after a 429 that said Retry-After: 2 (thread 1, seq 4)");
    assert_true(json_is_null(at(json_array_get(violations, 1), "key", NULL)));
    json_decref(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),          cmocka_unit_test(test_verdicts_together),
        cmocka_unit_test(test_first_violations),  cmocka_unit_test(test_against_all_pairs),
        cmocka_unit_test(test_report_of_nothing), cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
