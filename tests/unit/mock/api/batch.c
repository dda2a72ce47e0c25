/* SPDX-License-Identifier: MIT */
/* Batches of infer requests: each is answered as it would be alone. */
#include "mock/api/batch.c"

#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#define KEY 7

static struct config config = {
    .models = { { .id = "bitnet-7b" }, { .id = "llama-13b" } },
    .models_count = 2,
    .seed = 1,
    .tokens = 16,
};
static struct body_error error;
static struct text out;

static int answer(const char *body, bool strict)
{
    size_t len = strlen(body);
    char *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, body, len);
    text_free(&out);
    config.strict_models = strict;
    int rc = batch_answer(&out, &(struct batch){ .config = &config, .key = KEY },
                          (struct weir_slice){ (const uint8_t *)copy, len }, &error);
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
    json_t *one = parsed(), *item = json_object_get(json_array_get(one, 0), "body");
    assert_int_equal(json_object_size(item), 3);
    assert_int_equal(json_integer_value(json_object_get(item, "tokens")), 16);
    assert_string_equal(json_string_value(json_object_get(item, "finish_reason")), "stop");
    assert_true(json_string_length(json_object_get(item, "text")) > 30);
    json_decref(one);
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

/* Item i is answered what a request with the key of the batch + i is. */
static void test_keys(void **state)
{
    (void)state;
    assert_int_equal(answer("[" PLAIN "," PLAIN "]", true), 2);
    struct text both = out, alone = { 0 };
    out = (struct text){ 0 };
    text_put(&alone, "[");
    for (uint64_t key = KEY; key < KEY + 2; key++) {
        struct reply reply = {
            .endpoint = ENDPOINT_INFER,
            .seed = config.seed,
            .key = key,
            .output_tokens = config.tokens,
        };
        text_put(&alone, "{\"status\":200,\"body\":");
        reply_write(&alone, &reply);
        text_put(&alone, key == KEY ? "}," : "}]");
    }
    assert_int_equal(both.len, alone.len);
    assert_memory_equal(both.ptr, alone.ptr, alone.len);
    text_free(&both);
    text_free(&alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_one_is_wrong),
        cmocka_unit_test(test_whole_is_wrong),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
