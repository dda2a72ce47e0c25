/* SPDX-License-Identifier: MIT */
#include "mock/models.c"
#include "mock/text.c"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect_text(const json_t *object, const char *key, const char *value)
{
    assert_string_equal(json_string_value(json_object_get(object, key)), value);
}

static void expect_list(const struct models *models, const char *first, const char *second)
{
    struct weir_slice body = models_list(models);
    json_t *list = json_loadb((const char *)body.ptr, body.len, 0, NULL);
    assert_non_null(list);
    assert_int_equal(json_array_size(list), 2);
    expect_text(json_array_get(list, 0), "id", "bitnet-7b");
    expect_text(json_array_get(list, 0), "name", "BitNet b1.58 7B");
    expect_text(json_array_get(list, 0), "status", first);
    expect_text(json_array_get(list, 1), "id", "llama-13b");
    expect_text(json_array_get(list, 1), "name", "Llama 13B");
    expect_text(json_array_get(list, 1), "status", second);
    for (size_t i = 0; i < 2; i++) {
        const json_t *model = json_array_get(list, i);
        assert_int_equal(json_integer_value(json_object_get(model, "context_window")), 4096);
        assert_int_equal(json_integer_value(json_object_get(model, "max_output_tokens")), 2048);
        assert_true(json_is_string(json_object_get(model, "type")));
        assert_true(json_is_string(json_object_get(model, "quantization")));
        assert_int_equal(json_object_size(model), 7);
    }
    json_decref(list);
}

static void test_state(void **state)
{
    (void)state;
    struct models models;
    assert_int_equal(models_open(&models), 0);
    expect_list(&models, "unloaded", "unloaded");
    models_set_loaded(&models, 1, true);
    expect_list(&models, "unloaded", "loaded");
    assert_true(models_is_loaded(&models, 1));
    assert_false(models_is_loaded(&models, 0));
    models_set_loaded(&models, 0, true);
    models_set_loaded(&models, 0, true);
    expect_list(&models, "loaded", "loaded");
    models_set_loaded(&models, 1, false);
    expect_list(&models, "loaded", "unloaded");
    models_set_loaded(&models, MODEL_UNKNOWN, true);
    expect_list(&models, "loaded", "unloaded");
    assert_false(models_is_loaded(&models, MODEL_UNKNOWN));
    models_reset(&models);
    expect_list(&models, "unloaded", "unloaded");
    models_close(&models);
}

static void test_find(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS_COUNT; i++) {
        const char *id = models_id(i);
        assert_int_equal(models_find((struct weir_slice){ (const uint8_t *)id, strlen(id) }), i);
    }
    assert_int_equal(models_find(WEIR_TEXT("bitnet-7")), MODEL_UNKNOWN);
    assert_int_equal(models_find(WEIR_TEXT("bitnet-7b ")), MODEL_UNKNOWN);
    assert_int_equal(models_find(WEIR_TEXT("BITNET-7B")), MODEL_UNKNOWN);
    assert_int_equal(models_find(WEIR_TEXT("")), MODEL_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
