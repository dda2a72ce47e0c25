/* SPDX-License-Identifier: MIT */
#include "mock/journal.c"
#include "mock/endpoint.c"
#include "mock/text.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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
    assert_int_equal(journal_dropped_count(&journal), 0);
    assert_int_equal(journal.recorded, 0);
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

static void expect_number(const json_t *object, const char *key, json_int_t value)
{
    const json_t *number = json_object_get(object, key);
    assert_true(json_is_integer(number));
    assert_int_equal(json_integer_value(number), value);
}

static void test_write(void **state)
{
    (void)state;
    struct text text = { 0 };
    struct journal_record record = {
        .seq = 12,
        .start_ns = 1500000000,
        .asked_ns = 5000999,
        .delivered_ns = 5050000,
        .queue_us = 7,
        .body_bytes = 100,
        .answer_bytes = 200,
        .status = 500,
        .thread = 3,
        .endpoint = ENDPOINT_INFER,
        .method = METHOD_POST,
        .fault = JOURNAL_FAULT_ERROR,
    };
    journal_write(&text, &record, 1000000123);
    json_t *object = json_loadb(text.ptr, text.len, 0, NULL);
    assert_non_null(object);
    expect_number(object, "seq", 12);
    expect_number(object, "thread", 3);
    expect_number(object, "status", 500);
    expect_number(object, "asked_us", 5000);
    expect_number(object, "delivered_us", 5050);
    expect_number(object, "queue_us", 7);
    expect_number(object, "body_bytes", 100);
    expect_number(object, "answer_bytes", 200);
    assert_string_equal(json_string_value(json_object_get(object, "time")),
                        "1970-01-01T00:00:02.500000Z");
    assert_string_equal(json_string_value(json_object_get(object, "endpoint")), "/api/infer");
    assert_string_equal(json_string_value(json_object_get(object, "method")), "POST");
    assert_string_equal(json_string_value(json_object_get(object, "fault")), "error");
    json_decref(object);
    text_free(&text);
    record.fault = JOURNAL_FAULT_NONE;
    journal_write(&text, &record, 0);
    assert_non_null(memmem(text.ptr, text.len, "\"fault\":null", 12));
    text_free(&text);
    record.fault = JOURNAL_FAULT_DISCONNECT;
    journal_write(&text, &record, 0);
    assert_non_null(memmem(text.ptr, text.len, "\"fault\":\"disconnect\"", 20));
    text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
