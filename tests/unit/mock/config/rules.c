/* SPDX-License-Identifier: MIT */
#include "mock/config/rules.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "unit/mock/config/rig.h"

#define DO "'do':{'kind':'refuse'}"

static void test_ids(void **state)
{
    (void)state;
    struct config *config =
        rig_open("{'faults':[{'id':'rule-2'," DO "},{" DO "},{'id':null," DO "}]}");
    assert_int_equal(config->faults_count, 3);
    assert_string_equal(config->faults[0]->id, "rule-2");
    assert_string_equal(config->faults[1]->id, "rule-3");
    assert_string_equal(config->faults[2]->id, "rule-4");
    rig_tree(config, "faults.1", "{'id':'rule-3'," DO "}");
    /* They keep it when the one before them goes. */
    json_t *rules = json_deep_copy(json_object_get(config->tree, "faults"));
    json_array_remove(rules, 0);
    json_t *patch = json_pack("{s:o}", "faults", rules);
    struct config *less;
    struct config_error err;
    assert_int_equal(config_patch(&less, config, patch, &err), 0);
    json_decref(patch);
    assert_int_equal(less->faults_count, 2);
    assert_ptr_equal(less->faults[0], config->faults[1]);
    assert_ptr_equal(less->faults[1], config->faults[2]);
    config_drop(config);
    assert_string_equal(less->faults[0]->id, "rule-3");
    config_drop(less);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "{'faults':5}", "/faults" },
        { "{'faults':[5]}", "/faults/0" },
        { "{'faults':[{" DO "},{" DO ",'when':{'probability':2}}]}", "/faults/1/when/probability" },
        { "{'faults':[{" DO ",'wen':{}}]}", "/faults/0/wen" },
        { "{'faults':[{'id':'a'," DO "},{'id':'b'," DO "},{'id':'a'," DO "}]}", "/faults/2/id" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *json = rig_json(cases[i][0]);
        struct config *config;
        struct config_error err;
        assert_int_equal(config_open(&config, json, NULL, &err), -EINVAL);
        assert_string_equal(err.pointer, cases[i][1]);
        assert_int_equal(strncmp(err.text, "faults", 6), 0);
        json_decref(json);
    }
    rig_refused("{'faults':[{'id':'a'," DO "},{'id':'a'," DO "}]}", "/faults/1/id",
                "faults[1].id: another rule has the id 'a'");
}

static void test_too_many(void **state)
{
    (void)state;
    json_t *rules = json_array(), *tree = json_pack("{s:o}", "faults", rules);
    for (int i = 0; i < FAULT_RULES_MAX; i++)
        json_array_append_new(rules, json_pack("{s:{s:s}}", "do", "kind", "refuse"));
    struct config *config;
    struct config_error err;
    assert_int_equal(config_open(&config, tree, NULL, &err), 0);
    assert_int_equal(config->faults_count, FAULT_RULES_MAX);
    assert_string_equal(config->faults[FAULT_RULES_MAX - 1]->id, "rule-64");
    config_drop(config);
    json_array_append_new(rules, json_pack("{s:{s:s}}", "do", "kind", "refuse"));
    assert_int_equal(config_open(&config, tree, NULL, &err), -EINVAL);
    assert_string_equal(err.text, "faults: expected at most 64 elements, got 65");
    json_decref(tree);
}

/* A rule that is the same goes on; one that was switched goes on counting; others begin anew. */
static void test_go_on(void **state)
{
    (void)state;
    struct config *config = rig_open("{'seed':1,'faults':[{'id':'same'," DO "},{'id':'off'," DO
                                     "},{'id':'other'," DO "},{'id':'own','seed':5," DO "}]}");
    for (int i = 0; i < 4; i++) {
        config->faults[i]->matched = 100 + (unsigned)i;
        config->faults[i]->struck = 10 + (unsigned)i;
        config->faults[i]->begun_ns = 1;
    }
    struct config *next =
        rig_patch(config, "{'tokens':7,'faults':[{'id':'own','seed':5," DO "},{'id':'same'," DO
                          "},{'id':'off','enabled':false," DO
                          "},{'id':'other','do':{'kind':'empty'}},{'id':'new'," DO "}]}");
    assert_int_equal(next->generation, config->generation + 1);
    assert_ptr_equal(next->faults[0], config->faults[3]);
    assert_ptr_equal(next->faults[1], config->faults[0]);
    assert_ptr_not_equal(next->faults[2], config->faults[1]);
    assert_false(next->faults[2]->enabled);
    assert_int_equal(next->faults[2]->matched, 101);
    assert_int_equal(next->faults[2]->struck, 11);
    assert_int_equal(next->faults[2]->begun_ns, 1);
    assert_int_equal(next->faults[3]->matched, 0);
    assert_int_equal(next->faults[4]->matched, 0);
    assert_true(next->faults[3]->begun_ns > 1);
    config_drop(config);
    assert_int_equal(next->faults[1]->matched, 100);
    /* Another seed is another rule, but for the one that has its own. */
    config = rig_patch(next, "{'seed':2}");
    assert_ptr_equal(config->faults[0], next->faults[0]);
    assert_ptr_not_equal(config->faults[1], next->faults[1]);
    assert_int_equal(config->faults[1]->matched, 0);
    assert_int_equal(config->faults[2]->matched, 0);
    config_drop(next);
    config_drop(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
