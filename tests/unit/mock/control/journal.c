/* SPDX-License-Identifier: MIT */
#include "mock/control/journal.c"

#include <weir/json.h>
#include <weir/random.h>

#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEED 20240501

static void add(struct journal *journal, uint64_t seq)
{
    journal_add(journal, &(struct journal_record){ .seq = seq, .start_ns = seq * 10 });
}

static void expect_last(const struct journal *journal, uint32_t max, uint64_t first, uint32_t count)
{
    struct journal_record out[16];
    assert_true(max <= 16);
    assert_int_equal(journal_copy(journal, out, max), count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(out[i].seq, first + i);
    memset(out, 0, sizeof out);
    assert_int_equal(journal_copy_matching(journal, NULL, out, max), count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(out[i].seq, first + i);
}

/* Every fill of a small ring, and every number of records asked for. */
static void test_ring(void **state)
{
    (void)state;
    for (uint32_t capacity = 1; capacity <= 5; capacity++) {
        struct journal journal;
        assert_int_equal(journal_open(&journal, capacity), 0);
        for (uint32_t added = 0; added <= 13; added++) {
            uint32_t held = added < capacity ? added : capacity;
            for (uint32_t max = 0; max <= 7; max++) {
                uint32_t count = max < held ? max : held;
                expect_last(&journal, max, added - count + 1, count);
            }
            assert_int_equal(journal_dropped_count(&journal), added - held);
            add(&journal, added + 1);
        }
        journal_reset(&journal);
        expect_last(&journal, 5, 1, 0);
        assert_int_equal(journal_dropped_count(&journal), 0);
        add(&journal, 7);
        expect_last(&journal, 5, 7, 1);
        journal_close(&journal);
    }
}

static void test_off(void **state)
{
    (void)state;
    struct journal journal;
    assert_int_equal(journal_open(&journal, 0), 0);
    add(&journal, 1);
    expect_last(&journal, 5, 1, 0);
    assert_int_equal(journal_count_matching(&journal, NULL), 0);
    assert_int_equal(journal_dropped_count(&journal), 0);
    assert_int_equal(journal.recorded, 0);
    journal_close(&journal);
}

/* The same against a list that forgets nothing: the last `max` odd ones, for every fill. */
static void test_copy_matching(void **state)
{
    (void)state;
    struct filter filter;
    struct filter_error err;
    const struct filter_context context = { 0 };
    assert_int_equal(filter_parse(&filter, WEIR_TEXT("status=429"), &context, &err), 0);
    struct journal journal;
    assert_int_equal(journal_open(&journal, 7), 0);
    for (uint32_t added = 0; added <= 30; added++) {
        uint64_t held[16];
        uint32_t held_count = 0;
        for (uint32_t seq = added > 7 ? added - 6 : 1; seq <= added; seq++)
            if (seq % 3 != 0)
                held[held_count++] = seq;
        assert_int_equal(journal_count_matching(&journal, &filter), held_count);
        assert_int_equal(journal_count_matching(&journal, NULL), added < 7 ? added : 7);
        for (uint32_t max = 0; max <= 8; max++) {
            struct journal_record out[8];
            uint32_t count = max < held_count ? max : held_count;
            assert_int_equal(journal_copy_matching(&journal, &filter, out, max), count);
            for (uint32_t i = 0; i < count; i++)
                assert_int_equal(out[i].seq, held[held_count - count + i]);
        }
        uint32_t seq = added + 1;
        journal_add(&journal,
                    &(struct journal_record){ .seq = seq, .status = seq % 3 != 0 ? 429 : 200 });
    }
    journal_close(&journal);
}

static void test_sort(void **state)
{
    (void)state;
    struct journal_record records[] = {
        { .start_ns = 30, .thread = 0, .seq = 9 }, { .start_ns = 10, .thread = 1, .seq = 1 },
        { .start_ns = 30, .thread = 0, .seq = 3 }, { .start_ns = 10, .thread = 0, .seq = 2 },
        { .start_ns = 20, .thread = 2, .seq = 1 },
    };
    const uint64_t seqs[] = { 2, 1, 1, 3, 9 };
    journal_sort(records, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(records[i].seq, seqs[i]);
    assert_int_equal(records[1].thread, 1);
    journal_sort(records, 0);
}

/* ---- Writing ----------------------------------------------------------------------------- */

static void expect_number(const json_t *object, const char *key, json_int_t value)
{
    const json_t *number = json_object_get(object, key);
    assert_true(json_is_integer(number));
    assert_int_equal(json_integer_value(number), value);
}

static void expect_text(const json_t *object, const char *key, const char *value)
{
    assert_string_equal(json_string_value(json_object_get(object, key)), value);
}

static void expect_null(const json_t *object, const char *key)
{
    assert_true(json_is_null(json_object_get(object, key)));
}

static json_t *written(const struct journal_record *record, struct journal_writer *writer)
{
    struct text text = { 0 };
    journal_write(&text, record, writer);
    assert_false(text.failed);
    assert_int_equal(weir_json_check(text_slice(&text)), 0);
    json_t *object = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    text_free(&text);
    return object;
}

/* The number of a rule with this id; numbers stay when their rules are gone. */
static uint16_t rule_number(const char *id)
{
    struct fault_rule *rule = NULL;
    struct fault_error err;
    json_t *json = json_pack("{s:s, s:{s:s}}", "id", id, "do", "kind", "reset");
    assert_non_null(json);
    assert_int_equal(fault_rule_open(&rule, json, 1, 1, 0, &err), 0);
    uint16_t number = rule->number;
    assert_string_equal(fault_number_id(number), id);
    fault_rule_drop(rule);
    json_decref(json);
    return number;
}

static const char *model_name(const void *ctx, int16_t model)
{
    const char *const *names = ctx;
    return model < 2 ? names[model] : NULL;
}

static const char *const model_names[] = { "bitnet-7b", "say \"hi\"\n" };

static void test_write(void **state)
{
    (void)state;
    struct journal_writer writer = { .wall_ns = 1000000123,
                                     .model_name = model_name,
                                     .ctx = model_names };
    struct journal_record record = {
        .seq = 12,
        .start_ns = 1500000000,
        .asked_ns = 5000999,
        .delivered_ns = 5050000,
        .ttft_ns = 2000500,
        .key = 0x0123456789abcdefULL,
        .conn = 77,
        .answer_bytes = 5000000000ULL,
        .queue_us = 7,
        .late_us = 3,
        .body_bytes = 100,
        .prompt_tokens = 31,
        .output_tokens = 16,
        .retry_after_s = 2,
        .status = 500,
        .thread = 3,
        .rule = rule_number("half.r-1"),
        .fault_kind = FAULT_TRUNCATE,
        .endpoint = ENDPOINT_CHAT,
        .method = METHOD_POST,
        .end = JOURNAL_CUT,
        .phase = JOURNAL_STREAMING,
        .stream = true,
        .keyed = true,
    };
    json_t *object = written(&record, &writer);
    static const struct {
        const char *name;
        json_int_t value;
    } numbers[] = {
        { "seq", 12 },
        { "thread", 3 },
        { "status", 500 },
        { "asked_us", 5000 },
        { "delivered_us", 5050 },
        { "ttft_us", 2000 },
        { "late_us", 3 },
        { "queue_us", 7 },
        { "body_bytes", 100 },
        { "answer_bytes", 5000000000 },
        { "prompt_tokens", 31 },
        { "output_tokens", 16 },
        { "retry_after_s", 2 },
        { "conn", 77 },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        expect_number(object, numbers[i].name, numbers[i].value);
    expect_text(object, "time", "1970-01-01T00:00:02.500000Z");
    expect_text(object, "endpoint", "/v1/chat/completions");
    expect_text(object, "method", "POST");
    expect_text(object, "end", "cut");
    expect_text(object, "phase", "streaming");
    expect_text(object, "model", "bitnet-7b");
    expect_text(object, "key", "0123456789abcdef");
    assert_true(json_is_true(json_object_get(object, "stream")));
    expect_text(json_object_get(object, "fault"), "rule", "half.r-1");
    expect_text(json_object_get(object, "fault"), "kind", "truncate");
    assert_int_equal(json_object_size(object), 23);
    json_decref(object);
}

/* What there is not: null, and a fault that the request asked for has a kind but no rule. */
static void test_write_nothing(void **state)
{
    (void)state;
    struct journal_writer writer = { .model_name = model_name, .ctx = model_names };
    struct journal_record record = { .seq = 1, .model = -1 };
    json_t *object = written(&record, &writer);
    expect_null(object, "phase");
    expect_null(object, "fault");
    expect_null(object, "model");
    expect_null(object, "key");
    expect_text(object, "end", "answered");
    assert_true(json_is_false(json_object_get(object, "stream")));
    assert_int_equal(json_object_size(object), 23);
    json_decref(object);
    record.model = 2;
    record.fault_kind = FAULT_STALL;
    object = written(&record, &writer);
    expect_null(object, "model");
    expect_null(json_object_get(object, "fault"), "rule");
    expect_text(json_object_get(object, "fault"), "kind", "stall");
    json_decref(object);
    record.model = 1;
    object = written(&record, &writer);
    expect_text(object, "model", model_names[1]);
    json_decref(object);
    writer.model_name = NULL;
    object = written(&record, &writer);
    expect_null(object, "model");
    json_decref(object);
}

/* Every member at its longest fits the line that it is put together in. */
static void test_write_the_longest(void **state)
{
    (void)state;
    char name[96];
    memset(name, 'm', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const char *const names[] = { name, name };
    struct journal_writer writer = { .model_name = model_name, .ctx = names };
    struct journal_record record;
    memset(&record, 0xFF, sizeof record);
    record.start_ns = INT64_MAX;
    record.rule = rule_number("a-name-of-a-rule-that-is-as-long-as-there-can-b");
    record.model = 1;
    record.stream = false;
    record.keyed = true;
    for (int i = 0; i < ENDPOINT_COUNT * FAULT_KIND_COUNT; i++) {
        record.endpoint = (uint8_t)(i % ENDPOINT_COUNT);
        record.fault_kind = (uint8_t)(i / ENDPOINT_COUNT);
        record.method = (uint8_t)(i % METHOD_COUNT);
        record.end = (uint8_t)(i % JOURNAL_END_COUNT);
        record.phase = (uint8_t)(i % JOURNAL_PHASE_COUNT);
        struct text text = { 0 };
        journal_write(&text, &record, &writer);
        assert_int_equal(weir_json_check(text_slice(&text)), 0);
        assert_true(text.len < LINE_BYTES - 100);
        text_free(&text);
    }
    /* A name that nobody should have. */
    char longest[1000];
    memset(longest, '"', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    writer.ctx = (const char *const[]){ longest, longest };
    json_t *object = written(&(struct journal_record){ .model = 1 }, &writer);
    expect_text(object, "model", longest);
    json_decref(object);
}

/* The clock against text_time(), forwards and back, before 1970 too. */
static void test_write_time(void **state)
{
    (void)state;
    printf("seed %d\n", SEED);
    struct journal_writer writer = { 0 };
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t random = weir_random_u64(SEED, i, 0);
        int64_t unix_ns = (int64_t)random / (i % 3 == 0 ? 1 : i % 3 == 1 ? 1000 : 1000000000);
        if (i % 5 == 0)
            unix_ns -= unix_ns % 86400000000000;
        struct text expected = { 0 }, text = { 0 };
        text_put(&expected, "\"time\":\"");
        text_time(&expected, unix_ns, 6);
        text_put(&expected, "\",");
        writer.wall_ns = unix_ns - 7;
        journal_write(&text, &(struct journal_record){ .start_ns = 7, .model = -1 }, &writer);
        text_add(&text, "", 1);
        text_add(&expected, "", 1);
        if (strstr(text.ptr, expected.ptr) == NULL)
            fail_msg("%" PRId64 ": %s in %s", unix_ns, expected.ptr, text.ptr);
        text_free(&text);
        text_free(&expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_copy_matching),
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_nothing),
        cmocka_unit_test(test_write_the_longest),
        cmocka_unit_test(test_write_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
