/* SPDX-License-Identifier: MIT */
#include "mock/config/config.c"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <weir/random.h>

#include "mock/model/presets.h"
#include "unit/mock/config/rig.h"

#define EXAMPLE "examples/mock.yaml" /* programs run in the root of the tree */

static json_t *example(void)
{
    struct config_error err;
    json_t *tree = config_read_file(EXAMPLE, &err);
    if (tree == NULL)
        fail_msg("%s", err.text);
    return tree;
}

static void test_example(void **state)
{
    (void)state;
    json_t *tree = example();
    struct config *config;
    struct config_error err;
    if (config_open(&config, tree, NULL, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(config->generation, 1);
    assert_int_equal(config->seed, 42);
    assert_int_equal(config->models_count, 2);
    assert_int_equal(config_find_model(config, WEIR_TEXT("bitnet-7b")), 1);
    assert_int_equal(config_find_model(config, WEIR_TEXT("bitnet-7")), -1);
    assert_int_equal(config_find_model(config, (struct weir_slice){ 0 }), -1);
    assert_int_equal(config->engine.kind, CONFIG_ENGINE_BATCH);
    assert_int_equal(config->engine.batch.cost.base_ps, 5752705191);
    assert_int_equal(config->engine.batch.max_num_seqs, 64);
    assert_int_equal(config->limits.concurrency.max, 64);
    assert_int_equal(config->limits.concurrency.queue_depth, 1000);
    assert_int_equal(config->faults_count, 3);
    assert_false(config->faults[2]->enabled);
    /* What was given is kept as it was, apart from the caller's. */
    assert_true(json_equal(config->given, tree));
    assert_ptr_not_equal(config->given, tree);
    json_object_clear(tree);
    assert_int_equal(json_integer_value(json_object_get(config->given, "seed")), 42);
    json_decref(tree);
    config_drop(config);
}

#define DOCUMENTATION "docs/config.md"

static char *documentation(void)
{
    FILE *file = fopen(DOCUMENTATION, "re");
    assert_non_null(file);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65536, file) < 65536);
    fclose(file);
    return text;
}

/* Every configuration that the documentation shows is one; what is none is fenced as text. */
static void test_documented_examples(void **state)
{
    (void)state;
    char *text = documentation(), *rest = text;
    uint32_t count = 0;
    for (char *block; (block = strstr(rest, "\n```")) != NULL; rest += 4) {
        block += 4;
        rest = strstr(block, "\n```");
        assert_non_null(rest);
        if (strncmp(block, "yaml\n", 5) != 0 && strncmp(block, "json\n", 5) != 0)
            continue;
        struct weir_slice slice = { .ptr = (const uint8_t *)block + 5,
                                    .len = (size_t)(rest - block) - 5 };
        struct config_error err;
        json_t *tree = config_read_text(slice, DOCUMENTATION, &err);
        struct config *config = NULL;
        if (tree == NULL || config_open(&config, tree, NULL, &err) < 0)
            fail_msg("%.*s: %s", (int)slice.len, block + 5, err.text);
        config_drop(config);
        json_decref(tree);
        count++;
    }
    assert_true(count >= 4);
    free(text);
}

/* Is every key below `at` in the documentation, as `key` or at the end of a path? */
static void check_documented(const char *text, const json_t *at)
{
    const char *key;
    json_t *value;
    for (size_t i = 0; i < json_array_size(at); i++)
        check_documented(text, json_array_get(at, i));
    json_object_foreach((json_t *)at, key, value)
    {
        char alone[64], last[64];
        snprintf(alone, sizeof alone, "`%s`", key);
        snprintf(last, sizeof last, ".%s`", key);
        if (strstr(text, alone) == NULL && strstr(text, last) == NULL)
            fail_msg("%s is not documented", key);
        check_documented(text, value);
    }
}

static void test_documented_keys(void **state)
{
    (void)state;
    char *text = documentation();
    struct config *config = rig_open("{}");
    check_documented(text, config->tree);
    config_drop(config);
    for (uint32_t i = 0; preset_at(i) != NULL; i++)
        if (strstr(text, preset_at(i)->name) == NULL)
            fail_msg("%s is not documented", preset_at(i)->name);
    free(text);
}

static void test_nothing(void **state)
{
    (void)state;
    struct config *empty = rig_open("{}"), *null = rig_open("null"), *none;
    struct config_error err;
    assert_int_equal(config_open(&none, NULL, NULL, &err), 0);
    assert_true(json_equal(empty->tree, null->tree));
    assert_true(json_equal(empty->tree, none->tree));
    config_drop(none);
    config_drop(null);
    config_drop(empty);
    config_drop(NULL);
}

static void test_references(void **state)
{
    (void)state;
    struct config *config = rig_open("{'seed':3}");
    assert_ptr_equal(config_hold(config), config);
    config_drop(config);
    assert_int_equal(config->seed, 3);
    struct config *next;
    struct config_error err;
    assert_int_equal(config_open(&next, NULL, config, &err), 0);
    assert_int_equal(next->generation, 2);
    assert_int_equal(next->seed, 0);
    config_drop(config);
    config_drop(next);
}

/* The cases of RFC 7396, appendix A, that have an object to begin with and an object as a patch. */
static void test_merge(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        { "{'a':'b'}", "{'a':'c'}", "{'a':'c'}" },
        { "{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}" },
        { "{'a':'b'}", "{'a':null}", "{}" },
        { "{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}" },
        { "{'a':['b']}", "{'a':'c'}", "{'a':'c'}" },
        { "{'a':'c'}", "{'a':['b']}", "{'a':['b']}" },
        { "{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}" },
        { "{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}" },
        { "{'e':null}", "{'a':1}", "{'e':null,'a':1}" },
        { "{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *target = rig_json(cases[i][0]), *patch = rig_json(cases[i][1]);
        json_t *expected = rig_json(cases[i][2]);
        assert_int_equal(merge(target, patch), 0);
        if (!json_equal(target, expected))
            fail_msg("case %zu", i);
        json_decref(target);
        json_decref(patch);
        json_decref(expected);
    }
}

static void test_patch(void **state)
{
    (void)state;
    struct config *config = rig_open("{'limits':{'preset':'vllm','rpm':5}}");
    struct config *next = rig_patch(config, "{'limits':{'max_concurrency':9,'rpm':null}}");
    assert_int_equal(next->generation, 2);
    assert_int_equal(next->limits.concurrency.max, 9);
    assert_int_equal(next->limits.concurrency.queue_depth, 1000);
    assert_int_equal(next->limits.requests_per_minute, 0);
    assert_int_equal(config->limits.requests_per_minute, 5);
    config_drop(config);
    /* Without the preset its figures are gone, what was given stays. */
    config = rig_patch(next, "{'limits':{'preset':null}}");
    assert_int_equal(config->limits.concurrency.max, 9);
    assert_int_equal(config->limits.concurrency.queue_depth, -1);
    config_drop(next);
    static const char *const refused[][2] = {
        { "null", "configuration: expected an object as the patch" },
        { "[1]", "configuration: expected an object as the patch" },
        { "{'limits':5}", "limits: expected an object, got 5" },
        { "{'limits':{'rpn':5}}", "limits.rpn: no such key; did you mean rpm?" },
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        json_t *patch = rig_json(refused[i][0]);
        struct config_error err;
        assert_int_equal(config_patch(&next, config, patch, &err), -EINVAL);
        assert_string_equal(err.text, refused[i][1]);
        json_decref(patch);
    }
    config_drop(config);
}

/* Whatever a tree is, it is refused with words or makes a configuration whose full tree makes the
 * same one. @return was it taken? */
static bool check_any(const json_t *tree)
{
    struct config *config = NULL, *again = NULL;
    struct config_error err = { 0 };
    int result = config_open(&config, tree, NULL, &err);
    if (result < 0) {
        assert_int_equal(result, -EINVAL);
        assert_null(config);
        assert_true(err.text[0] != '\0');
        assert_true(err.pointer[0] == '\0' || err.pointer[0] == '/');
        return false;
    }
    if (config_open(&again, config->tree, NULL, &err) < 0)
        fail_msg("its own tree: %s", err.text);
    assert_true(json_equal(config->tree, again->tree));
    assert_memory_equal(&config->engine, &again->engine, sizeof config->engine);
    assert_memory_equal(&config->limits, &again->limits, sizeof config->limits);
    config_drop(config);
    config_drop(again);
    return true;
}

struct mutation {
    json_t *whole;
    uint32_t done_count, taken_count;
};

static void mutate(struct mutation *mutation, json_t *at);

/* Each value that may stand anywhere, in the place of what is there. */
static void retype(struct mutation *mutation, json_t *object, const char *key, size_t index)
{
    json_t *values = rig_json(
        "[null,true,false,-1,0,1,1.5,1e300,9223372036854775807,'','x','5ms','0',[],[[]],{},"
        "{'dist':'fixed'},{'id':'a'},[{}],[null],{'kind':'status'}]");
    json_t *old = key != NULL ? json_object_get(object, key) : json_array_get(object, index);
    json_incref(old);
    for (size_t i = 0; i < json_array_size(values); i++) {
        json_t *value = json_array_get(values, i);
        if (key != NULL)
            json_object_set(object, key, value);
        else
            json_array_set(object, index, value);
        mutation->taken_count += check_any(mutation->whole);
        mutation->done_count++;
    }
    if (key != NULL)
        json_object_set_new(object, key, old);
    else
        json_array_set_new(object, index, old);
    json_decref(values);
}

static void mutate_member(struct mutation *mutation, json_t *object, const char *key)
{
    retype(mutation, object, key, 0);
    json_t *value = json_incref(json_object_get(object, key));
    json_object_del(object, key);
    mutation->taken_count += check_any(mutation->whole);
    /* One letter more. */
    char other[100];
    snprintf(other, sizeof other, "%.90s_", key);
    json_object_set(object, other, value);
    check_any(mutation->whole);
    json_object_del(object, other);
    json_object_set(object, key, value);
    mutate(mutation, value);
    json_decref(value);
}

static void mutate(struct mutation *mutation, json_t *at)
{
    if (json_is_array(at)) {
        for (size_t i = 0; i < json_array_size(at); i++) {
            retype(mutation, at, NULL, i);
            mutate(mutation, json_array_get(at, i));
        }
    }
    if (!json_is_object(at))
        return;
    /* The members move while they are replaced: their names are read beforehand. */
    json_t *names = json_array();
    const char *key;
    json_t *value;
    json_object_foreach(at, key, value) json_array_append_new(names, json_string(key));
    for (size_t i = 0; i < json_array_size(names); i++)
        mutate_member(mutation, at, json_string_value(json_array_get(names, i)));
    json_decref(names);
}

static void test_mutations(void **state)
{
    (void)state;
    struct mutation mutation = { .whole = example() };
    json_t *before = json_deep_copy(mutation.whole);
    mutate(&mutation, mutation.whole);
    assert_true(json_equal(before, mutation.whole));
    assert_true(check_any(mutation.whole));
    printf("%" PRIu32 " mutations, %" PRIu32 " taken\n", mutation.done_count, mutation.taken_count);
    assert_true(mutation.done_count > 1000);
    json_decref(mutation.whole);
    json_decref(before);
}

static unsigned allocations_left;

static void *scarce(size_t bytes)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return malloc(bytes);
}

/* Each allocation of a tree fails in turn: it is said, and nothing is left behind. */
static void test_no_memory(void **state)
{
    (void)state;
    json_malloc_t old_malloc;
    json_free_t old_free;
    json_get_alloc_funcs(&old_malloc, &old_free);
    struct config *before = rig_open("{'models':[{'id':'a'}],'faults':[{'do':{'kind':'empty'}}]}");
    json_t *patch = rig_json("{'limits':{'preset':'vllm','max_concurrency':9},"
                             "'latency':{'delay':{'dist':'fixed','value_us':5}}}");
    unsigned count = 0;
    for (int result = -ENOMEM; result == -ENOMEM; count++) {
        struct config *config = NULL;
        struct config_error err = { 0 };
        json_set_alloc_funcs(scarce, free);
        allocations_left = count;
        result = config_patch(&config, before, patch, &err);
        json_set_alloc_funcs(old_malloc, old_free);
        if (result == 0)
            config_drop(config);
        else if (result != -ENOMEM)
            fail_msg("allocation %u: %d, %s", count, result, err.text);
        else
            assert_string_equal(err.text, "out of memory");
    }
    printf("%u allocations\n", count);
    assert_true(count > 100);
    json_decref(patch);
    config_drop(before);
}

static void test_flips(void **state)
{
    (void)state;
    static char text[16384], flipped[sizeof text];
    FILE *file = fopen(EXAMPLE, "re");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    assert_true(len > 0 && len < sizeof text);
    const uint64_t seed = 20240608;
    uint32_t taken = 0;
    for (uint64_t key = 0; key < 600; key++) {
        memcpy(flipped, text, len);
        for (uint64_t draw = 0; draw < 1 + key % 3; draw++) {
            uint64_t random = weir_random_u64(seed, key, draw);
            /* One bit, or whatever comes. */
            uint64_t bits = key % 2 == 0 ? UINT64_C(1) << (random >> 32) % 8 : random >> 40;
            flipped[random % len] ^= (char)(uint8_t)bits;
        }
        struct config_error err = { 0 };
        struct weir_slice slice = { .ptr = (const uint8_t *)flipped, .len = len };
        json_t *tree = config_read_text(slice, "flipped", &err);
        if (tree != NULL)
            taken += check_any(tree);
        else if (strncmp(err.text, "flipped:", 8) != 0)
            fail_msg("key %" PRIu64 ": %s", key, err.text);
        json_decref(tree);
    }
    printf("seed %" PRIu64 ", %" PRIu32 " of 600 taken\n", seed, taken);
    assert_true(taken > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),         cmocka_unit_test(test_documented_examples),
        cmocka_unit_test(test_documented_keys), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_references),      cmocka_unit_test(test_merge),
        cmocka_unit_test(test_patch),           cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_flips),           cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
