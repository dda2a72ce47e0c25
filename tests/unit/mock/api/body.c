/* SPDX-License-Identifier: MIT */
#include "mock/api/body.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct config config = {
    .models = { { .id = "bitnet-7b" }, { .id = "llama-13b" } },
    .models_count = 2,
};
static struct body_error error;
static int model;

/* The body lies in memory of exactly its size, so that the address sanitizer sees a read past its
 * end. */
static int check(enum endpoint endpoint, const char *body, bool strict)
{
    size_t len = strlen(body);
    char *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, body, len);
    model = 77;
    config.strict_models = strict;
    int rc = body_check(endpoint, (struct weir_slice){ (const uint8_t *)copy, len }, &config,
                        &model, &error);
    free(copy);
    return rc;
}

static void expect_refused(enum endpoint endpoint, const char *body, const char *field,
                           const char *expected)
{
    if (check(endpoint, body, false) != -EINVAL)
        fail_msg("taken: %s", body);
    assert_int_equal(error.status, 400);
    assert_string_equal(error.type, "invalid_request");
    assert_string_equal(error.field, field);
    if (strstr(error.message, expected) == NULL ||
        strncmp(error.message, field, strlen(field)) != 0)
        fail_msg("%s: expected '%s: ... %s' in: %s", body, field, expected, error.message);
}

static void test_good(void **state)
{
    (void)state;
    assert_int_equal(check(ENDPOINT_LOAD, "{\"model_id\":\"bitnet-7b\"}", true), 0);
    assert_int_equal(model, 0);
    assert_int_equal(
        check(ENDPOINT_UNLOAD, " {\"model_id\" : \"llama-13b\", \"more\": []}\r\n", true), 0);
    assert_int_equal(model, 1);
    assert_int_equal(check(ENDPOINT_INFER,
                           "{\"model_id\":\"llama-13b\",\"prompt\":\"\",\"max_tokens\":100,"
                           "\"temperature\":0.7,\"top_p\":1}",
                           false),
                     0);
    assert_int_equal(model, 1);
    assert_int_equal(check(ENDPOINT_INFER,
                           "{\"model_id\":\"bitnet-7b\",\"prompt\":\"x\",\"max_tokens\":null,"
                           "\"temperature\":null}",
                           false),
                     0);
    assert_int_equal(check(ENDPOINT_INFER, "{\"model_id\":\"bitnet-7b\",\"prompt\":\"x\"}", false),
                     0);
    assert_int_equal(
        check(ENDPOINT_INFER, "{\"model_id\":\"b\",\"prompt\":\"x\",\"max_tokens\":0}", false), 0);
}

static void test_unknown_model(void **state)
{
    (void)state;
    assert_int_equal(check(ENDPOINT_LOAD, "{\"model_id\":\"gpt\"}", false), 0);
    assert_int_equal(model, MODEL_UNKNOWN);
    assert_int_equal(check(ENDPOINT_LOAD, "{\"model_id\":\"gpt\"}", true), -EINVAL);
    assert_int_equal(error.status, 404);
    assert_string_equal(error.type, "not_found");
    assert_string_equal(error.field, "model_id");
    assert_non_null(strstr(error.message, "bitnet-7b, llama-13b, got 'gpt'"));
    char body[2000];
    snprintf(body, sizeof body, "{\"model_id\":\"%01500d\"}", 7);
    assert_int_equal(check(ENDPOINT_INFER, body, true), -EINVAL);
    assert_int_equal(error.status, 400); /* no prompt: that is told first */
    assert_int_equal(check(ENDPOINT_LOAD, body, true), -EINVAL);
    assert_int_equal(error.status, 404);
    assert_non_null(strstr(error.message, "0...'"));
}

/* As many as there is room for. */
static void test_many_models(void **state)
{
    (void)state;
    struct config *many = calloc(1, sizeof *many);
    assert_non_null(many);
    many->strict_models = true;
    for (; many->models_count < CONFIG_MODELS_MAX; many->models_count++)
        snprintf(many->models[many->models_count].id, CONFIG_NAME_BYTES, "model-%u",
                 many->models_count);
    assert_int_equal(
        body_check(ENDPOINT_LOAD, WEIR_TEXT("{\"model_id\":\"model-63\"}"), many, &model, &error),
        0);
    assert_int_equal(model, 63);
    assert_int_equal(
        body_check(ENDPOINT_LOAD, WEIR_TEXT("{\"model_id\":\"gpt\"}"), many, &model, &error),
        -EINVAL);
    assert_int_equal(model, MODEL_UNKNOWN);
    assert_non_null(strstr(error.message, "one of model-0, model-1, "));
    assert_non_null(strstr(error.message, ", ..., got 'gpt'"));
    free(many);
}

/* What is not read in place is read from the tree, with the same result. */
static void test_unusual(void **state)
{
    (void)state;
    assert_int_equal(check(ENDPOINT_LOAD, "{\"model_id\":\"\\u0062itnet-7b\"}", true), 0);
    assert_int_equal(model, 0);
    assert_int_equal(check(ENDPOINT_LOAD, "{\"model\\u005Fid\":\"llama-13b\"}", true), 0);
    assert_int_equal(model, 1);
    assert_int_equal(
        check(ENDPOINT_LOAD, "{\"model_id\":1,\"model_id\":\"llama-13b\",\"x\":1e3}", true), 0);
    assert_int_equal(model, 1);
    expect_refused(ENDPOINT_LOAD, "{\"model_id\":\"bitnet-7b\",\"x\":1e999}", "body", "at byte");
    expect_refused(ENDPOINT_LOAD, "{\"model_id\":\"bitnet-7b\",\"x\":\"\\u0000\"}", "body",
                   "at byte");
}

static void test_bad_json(void **state)
{
    (void)state;
    expect_refused(ENDPOINT_LOAD, "", "body", "nothing");
    expect_refused(ENDPOINT_LOAD, "{", "body", "at byte");
    expect_refused(ENDPOINT_LOAD, "model", "body", "at byte");
    expect_refused(ENDPOINT_LOAD, "{\"model_id\":\"a\"} x", "body", "at byte");
    expect_refused(ENDPOINT_LOAD, "{\"model_id\":\"\xff\"}", "body", "at byte");
    expect_refused(ENDPOINT_LOAD, "{'model_id':'a'}", "body", "at byte");
    expect_refused(ENDPOINT_LOAD, "[]", "body", "an array");
    expect_refused(ENDPOINT_LOAD, "\"bitnet-7b\"", "body", "a string");
    expect_refused(ENDPOINT_LOAD, "null", "body", "null");
    expect_refused(ENDPOINT_LOAD, "1.5", "body", "fraction");
    expect_refused(ENDPOINT_LOAD, "true", "body", "a boolean");
    char deep[5000];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    expect_refused(ENDPOINT_INFER, deep, "body", "at byte");
}

#define INFER_WITH(more) "{\"model_id\":\"bitnet-7b\",\"prompt\":\"x\"," more "}"

static void test_bad_fields(void **state)
{
    (void)state;
    expect_refused(ENDPOINT_LOAD, "{}", "model_id", "missing");
    expect_refused(ENDPOINT_UNLOAD, "{\"model_id\":7}", "model_id", "got an integer");
    expect_refused(ENDPOINT_LOAD, "{\"model_id\":null}", "model_id", "got null");
    expect_refused(ENDPOINT_LOAD, "{\"model_id\":{}}", "model_id", "got an object");
    expect_refused(ENDPOINT_INFER, "{\"model_id\":\"bitnet-7b\"}", "prompt", "missing");
    expect_refused(ENDPOINT_INFER, "{\"model_id\":\"bitnet-7b\",\"prompt\":[]}", "prompt",
                   "got an array");
    expect_refused(ENDPOINT_INFER, INFER_WITH("\"max_tokens\":\"100\""), "max_tokens",
                   "expected an integer");
    expect_refused(ENDPOINT_INFER, INFER_WITH("\"max_tokens\":1.5"), "max_tokens", "fraction");
    expect_refused(ENDPOINT_INFER, INFER_WITH("\"max_tokens\":-1"), "max_tokens", "-1");
    expect_refused(ENDPOINT_INFER, INFER_WITH("\"temperature\":\"hot\""), "temperature",
                   "expected a number, got a string");
    expect_refused(ENDPOINT_INFER, INFER_WITH("\"temperature\":true"), "temperature", "a boolean");
    expect_refused(ENDPOINT_INFER, INFER_WITH("\"top_p\":[1]"), "top_p", "an array");
}

static void expect_error_json(const char *message, const char *field)
{
    struct text text = { 0 };
    body_write_error(&text, "invalid_request", message, field);
    json_t *root = json_loadb(text.ptr, text.len, 0, NULL);
    assert_non_null(root);
    const json_t *object = json_object_get(root, "error");
    assert_string_equal(json_string_value(json_object_get(object, "message")), message);
    assert_string_equal(json_string_value(json_object_get(object, "type")), "invalid_request");
    const json_t *got = json_object_get(object, "field");
    if (field == NULL)
        assert_true(json_is_null(got));
    else
        assert_string_equal(json_string_value(got), field);
    json_decref(root);
    text_free(&text);
}

static void test_error_text(void **state)
{
    (void)state;
    expect_error_json("plain", "prompt");
    expect_error_json("with \"quotes\", \\ and\nlines", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),       cmocka_unit_test(test_unknown_model),
        cmocka_unit_test(test_bad_json),   cmocka_unit_test(test_bad_fields),
        cmocka_unit_test(test_error_text), cmocka_unit_test(test_many_models),
        cmocka_unit_test(test_unusual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
