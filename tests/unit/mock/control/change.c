/* SPDX-License-Identifier: MIT */
#include "mock/control/change.c"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

/* A mock without threads: changes are made in it alone. */
struct rig {
    struct options options;
    struct mock mock;
    struct app app;
    struct change_result result;
};

static struct rig *rig;

static int setup(void **state)
{
    struct weir_engine_config cfg;
    struct config_error error;
    struct config *config = NULL;
    (void)state;
    weir_engine_config_init(&cfg);
    rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->options = (struct options){ .threads = 1 };
    json_t *tree = json_pack("{s:i,s:[{s:s,s:{s:s,s:i}},{s:{s:s}}]}", "tokens", 7, "faults", "id",
                             "first", "do", "kind", "status", "status", 503, "do", "kind", "none");
    assert_int_equal(config_open(&config, tree, NULL, &error), 0);
    json_decref(tree);
    assert_int_equal(mock_open(&rig->mock, &rig->options, config), 0);
    rig->app.mock = &rig->mock;
    assert_int_equal(weir_engine_open(&rig->app.engine, &cfg), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(weir_engine_close(rig->app.engine), 0);
    assert_int_equal(mock_close(&rig->mock), 0);
    free(rig);
    return 0;
}

static struct weir_slice slice_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static void change(const struct change *wanted)
{
    change_make(&rig->result, &rig->app, wanted);
    /* What was made is the caller's to answer with: nobody can have replaced it here. */
    if (rig->result.status < 300)
        assert_ptr_equal(rig->result.made, rig->mock.config);
    else
        assert_null(rig->result.made);
    config_drop(rig->result.made);
}

/* Make a change that must end with `status`; the configuration is another one then exactly if that
 * is below 300. */
static const struct config *make(enum method method, const char *id, const char *body,
                                 uint16_t status)
{
    const struct config *before = rig->mock.config;
    uint64_t generation = before->generation;
    const struct change wanted = {
        .endpoint = id == NULL      ? ENDPOINT_CONFIG
                    : id[0] != '\0' ? ENDPOINT_FAULT
                                    : ENDPOINT_FAULTS,
        .method = method,
        .body = slice_of(body),
        .id = id,
    };
    change(&wanted);
    if (rig->result.status != status)
        fail_msg("%s: %u instead of %u: %s", body, rig->result.status, status, rig->result.message);
    if (status < 300)
        assert_int_equal(rig->mock.config->generation, generation + 1);
    else
        assert_ptr_equal(rig->mock.config, before);
    return rig->mock.config;
}

static void test_config(void **state)
{
    (void)state;
    const struct config *config = make(METHOD_PATCH, NULL, "{\"seed\":5}", 200);
    assert_int_equal(config->seed, 5);
    assert_int_equal(config->tokens, 7);
    assert_int_equal(make(METHOD_PATCH, NULL, "{\"tokens\":null}", 200)->tokens, 100);
    /* The limits follow at once: they are the mock's, not the threads'. */
    make(METHOD_PATCH, NULL, "{\"limits\":{\"max_concurrency\":3,\"rpm\":60}}", 200);
    assert_int_equal(limiter_view(&rig->mock.limiter).max, 3);
}

static void test_bad_config(void **state)
{
    (void)state;
    static const struct {
        const char *body, *pointer, *told;
    } bad[] = {
        { "{", "", "" },
        { "7", "", "object" },
        { "{\"seed\":-1}", "/seed", "seed" },
        { "{\"limits\":{\"max_concurency\":1}}", "/limits/max_concurency", "max_concurrency" },
        { "{\"faults\":[{\"do\":{\"kind\":\"statsu\"}}]}", "/faults/0/do/kind", "status" },
        { "{\"memory\":{\"capacity_bytes\":1},\"models\":[{\"id\":\"a\",\"memory_bytes\":2,"
          "\"loaded\":true}]}",
          "", "capacity_bytes" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make(METHOD_PATCH, NULL, bad[i].body, 400);
        if (bad[i].pointer[0] != '\0')
            assert_string_equal(rig->result.pointer, bad[i].pointer);
        if (strstr(rig->result.message, bad[i].told) == NULL)
            fail_msg("expected '%s' in: %s", bad[i].told, rig->result.message);
    }
}

/* What If-Match names is what the client has seen. */
static void test_generation(void **state)
{
    (void)state;
    struct change wanted = { .endpoint = ENDPOINT_CONFIG,
                             .method = METHOD_PATCH,
                             .body = slice_of("{\"seed\":1}"),
                             .generation = 2 };
    change(&wanted);
    assert_int_equal(rig->result.status, 412);
    assert_int_equal(rig->mock.config->generation, 1);
    wanted.generation = 1;
    change(&wanted);
    assert_int_equal(rig->result.status, 200);
    change(&wanted); /* the same again: somebody was faster */
    assert_int_equal(rig->result.status, 412);
    assert_int_equal(rig->mock.config->generation, 2);
}

static void test_add_rule(void **state)
{
    (void)state;
    const struct config *config =
        make(METHOD_POST, "", "{\"id\":\"new\",\"do\":{\"kind\":\"reset\"}}", 201);
    assert_int_equal(config->faults_count, 3);
    assert_string_equal(config->faults[2]->id, "new");
    make(METHOD_POST, "", "{\"id\":\"first\",\"do\":{\"kind\":\"reset\"}}", 409);
    assert_non_null(strstr(rig->result.message, "first"));
    make(METHOD_POST, "", "{\"id\":\"x\"}", 400);
    make(METHOD_POST, "", "[]", 400);
    make(METHOD_POST, "", "{\"do\":{\"kind\":\"fin\"}}", 201); /* it is given a name */
    assert_int_equal(rig->mock.config->faults_count, 4);
    assert_int_equal(rig->mock.config->faults[3]->action.kind, FAULT_FIN);
}

/* A rule that is changed stays in its place. What is not named stays (PATCH) or goes (PUT). */
static void test_change_rule(void **state)
{
    (void)state;
    const struct config *config = make(METHOD_PATCH, "first", "{\"enabled\":false}", 200);
    assert_int_equal(config->faults_count, 2);
    assert_false(config->faults[0]->enabled);
    assert_int_equal(config->faults[0]->action.status, 503);
    config = make(METHOD_PUT, "first", "{\"do\":{\"kind\":\"reset\"}}", 200);
    assert_true(config->faults[0]->enabled);
    assert_int_equal(config->faults[0]->action.kind, FAULT_RESET);
    assert_string_equal(config->faults[0]->id, "first");
    config = make(METHOD_PUT, "other", "{\"id\":\"other\",\"do\":{\"kind\":\"fin\"}}", 201);
    assert_int_equal(config->faults_count, 3);
    make(METHOD_PUT, "other", "{\"id\":\"another\",\"do\":{\"kind\":\"fin\"}}", 400);
    make(METHOD_PUT, "other", "{\"id\":7,\"do\":{\"kind\":\"fin\"}}", 400);
    make(METHOD_PUT, "other", "7", 400);
    make(METHOD_PATCH, "other", "{\"do\":{\"kind\":\"statsu\"}}", 400);
    make(METHOD_PATCH, "nobody", "{\"enabled\":false}", 404);
}

static void test_delete_rule(void **state)
{
    (void)state;
    const struct config *config = make(METHOD_DELETE, "first", "", 200);
    assert_int_equal(config->faults_count, 1);
    assert_int_equal(config->faults[0]->action.kind, FAULT_NONE);
    make(METHOD_DELETE, "first", "", 404);
    /* One that got its name here is found by it. */
    make(METHOD_DELETE, config->faults[0]->id, "", 200);
    assert_int_equal(rig->mock.config->faults_count, 0);
    /* As if there had never been any. */
    make(METHOD_POST, "", "{\"id\":\"first\",\"do\":{\"kind\":\"fin\"}}", 201);
}

/* A rule that did not change goes on with its counts, whatever else did. */
static void test_counts_stay(void **state)
{
    (void)state;
    struct fault_rule *rule = rig->mock.config->faults[0];
    const struct fault_subject subject = { .key = 1 };
    assert_true(fault_rule_strikes(rule, &subject));
    fault_rule_release(rule);
    make(METHOD_PATCH, NULL, "{\"tokens\":9}", 200);
    make(METHOD_POST, "", "{\"id\":\"new\",\"do\":{\"kind\":\"reset\"}}", 201);
    assert_int_equal(atomic_load(&rig->mock.config->faults[0]->struck), 1);
    make(METHOD_PATCH, "first", "{\"do\":{\"status\":504}}", 200);
    assert_int_equal(atomic_load(&rig->mock.config->faults[0]->struck), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_config, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_config, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add_rule, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change_rule, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete_rule, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counts_stay, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
