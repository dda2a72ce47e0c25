/* SPDX-License-Identifier: MIT */
/* Batches of infer requests: each is answered as it would be alone. */
#include "mock/batch.c"

#include <inttypes.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>
#include <weir/random.h>

static struct body_error error;
static struct text out;

static int answer(const char *body, bool strict)
{
    size_t len = strlen(body);
    char *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, body, len);
    text_free(&out);
    int rc = batch_answer(&out, (struct weir_slice){ (const uint8_t *)copy, len }, strict, &error);
    free(copy);
    return rc;
}

static json_t *parsed(void)
{
    json_t *array = json_loadb(out.ptr, out.len, 0, NULL);
    if (array == NULL)
        fail_msg("no JSON: %.*s", (int)out.len, out.ptr);
    assert_true(json_is_array(array));
    return array;
}

static void test_good(void **state)
{
    (void)state;
    assert_int_equal(answer("[{\"model_id\":\"bitnet-7b\",\"prompt\":\"x\"}]", true), 1);
    assert_int_equal(out.len, strlen("[" GOOD "]"));
    assert_memory_equal(out.ptr, "[" GOOD "]", out.len);
    assert_int_equal(answer(" [ {\"prompt\":\"\\n\\\\u\",\"model_id\":\"m\",\"max_tokens\":5,"
                            "\"temperature\":-0.5,\"top_p\":1} ,\n"
                            "{\"model_id\":\"\\u0061\",\"prompt\":\"\",\"more\":[null]}] ",
                            false),
                     2);
    json_t *array = parsed();
    assert_int_equal(json_array_size(array), 2);
    json_decref(array);
    text_free(&out);
}

static void test_one_is_wrong(void **state)
{
    (void)state;
#define PLAIN "{\"model_id\":\"bitnet-7b\",\"prompt\":\"x\"}"
    assert_int_equal(answer("[" PLAIN ",7,{\"model_id\":\"other\",\"prompt\":\"\"},{\"prompt\":1},"
                            "{\"model_id\":\"bitnet-7b\",\"prompt\":\"x\",\"max_tokens\":-1}," PLAIN
                            "]",
                            true),
                     6);
    json_t *array = parsed();
    static const int statuses[] = { 200, 400, 404, 400, 400, 200 };
    static const char *const fields[] = {
        NULL, "body", "model_id", "model_id", "max_tokens", NULL
    };
    assert_int_equal(json_array_size(array), 6);
    for (size_t i = 0; i < 6; i++) {
        json_t *one = json_array_get(array, i), *err = json_object_get(one, "error");
        assert_int_equal(json_integer_value(json_object_get(one, "status")), statuses[i]);
        assert_int_equal(json_object_size(one), 2);
        if (fields[i] == NULL)
            assert_true(json_is_object(json_object_get(one, "body")));
        else
            assert_string_equal(json_string_value(json_object_get(err, "field")), fields[i]);
    }
    json_decref(array);
    text_free(&out);
}

static void refused(const char *body, uint16_t status, const char *word)
{
    assert_int_equal(answer(body, false), -EINVAL);
    assert_int_equal(out.len, 0);
    assert_int_equal(error.status, status);
    assert_string_equal(error.type, "invalid_request");
    assert_string_equal(error.field, "body");
    if (strstr(error.message, word) == NULL)
        assert_string_equal(error.message, word);
}

static void test_whole_is_wrong(void **state)
{
    (void)state;
    refused("", 400, "at byte 0");
    refused("{}", 400, "at byte 0");
    refused("[", 400, "at byte 1");
    refused("[" PLAIN ",]", 400, "at byte 39");
    refused("[]", 400, "got none");
    refused("[" PLAIN "] 1", 400, "at byte");
    char deep[1024];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    refused(deep, 400, "256 levels");
    char many[2 * BATCH_ITEMS_MAX + 4] = "[";
    for (int i = 0; i < BATCH_ITEMS_MAX; i++)
        memcpy(many + 1 + 2 * (size_t)i, "1,", 2);
    memcpy(many + 2 * BATCH_ITEMS_MAX, "]", 2);
    assert_int_equal(answer(many, false), BATCH_ITEMS_MAX);
    memcpy(many + 2 * BATCH_ITEMS_MAX, ",1]", 4);
    refused(many, 413, "got 101");
    text_free(&out);
}

/* ---- Plainly good is good ---------------------------------------------------------------- */

static uint64_t seed, draws;

static unsigned draw(unsigned below)
{
    return (unsigned)(weir_random_u64(seed, 2, draws++) % below);
}

static size_t put(char *at, const char *text)
{
    memcpy(at, text, strlen(text));
    return strlen(text);
}

static size_t make_item(char *text)
{
    static const char *const names[] = { "model_id",    "prompt", "max_tokens",
                                         "temperature", "top_p",  "stop" };
    static const char *const values[] = {
        "\"bitnet-7b\"",
        "\"llama-13b\"",
        "\"x\"",
        "\"\"",
        "\"\\n\\\"\\\\\"",
        "\"\\u0000\"",
        "\"\\\\u0000\"",
        "\"\\uD800\"",
        "\"\xc3\xbc\"",
        "\"\xff\"",
        "0",
        "-0",
        "1",
        "-1",
        "123456789012345",
        "99999999999999999999",
        "1.5",
        "-1.5",
        "1e5",
        "1e999",
        "1.",
        "true",
        "null",
        "[]",
        "{\"a\":1}",
        "00",
        "\"\\/\"",
        "\"\xef\xbf\xbf\"",
    };
    const char *comma = "{";
    size_t len = 0;
    unsigned first = draw(6);
    for (unsigned i = 0; i < 6; i++) {
        if (i > 1 && draw(2) == 0)
            continue;
        unsigned name = i < 2 && draw(8) != 0 ? i : (first + i) % 6;
        unsigned value =
            name < 2 && draw(4) != 0 ? draw(5) : draw(sizeof values / sizeof values[0]);
        len += put(text + len, comma);
        len += put(text + len, "\"");
        len += put(text + len, names[name]);
        len += put(text + len, "\":");
        len += put(text + len, values[value]);
        comma = ",";
    }
    return len + put(text + len, draw(20) == 0 ? "" : "}");
}

static void test_plain_is_taken_by_the_check(void **state)
{
    (void)state;
    char text[1024];
    unsigned plain = 0, taken = 0;
    seed = 200;
    print_message("seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; i < 100000; i++) {
        struct weir_slice item = { (const uint8_t *)text, make_item(text) };
        bool strict = draw(2) == 0;
        int model;
        bool good = body_check(ENDPOINT_INFER, item, strict, &model, &error) == 0;
        bool glance = batch_item_is_plain(item, strict);
        if (glance && !good)
            fail_msg("taken at a glance: %.*s", (int)item.len, text);
        plain += glance;
        taken += good;
    }
    if (plain <= 1000 || plain >= taken)
        fail_msg("%u at a glance of %u taken", plain, taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_one_is_wrong),
        cmocka_unit_test(test_whole_is_wrong),
        cmocka_unit_test(test_plain_is_taken_by_the_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
