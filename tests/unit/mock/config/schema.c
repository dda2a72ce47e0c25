/* SPDX-License-Identifier: MIT */
#include "mock/config/schema.c"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/mock/config/rig.h"

/* One reading: an object, and what was made of it. */
struct reading {
    json_t *given, *full;
    struct config_error err;
    struct schema schema;
    struct schema_node root;
};

static void begin(struct reading *reading, const char *text)
{
    *reading = (struct reading){ .given = rig_json(text), .full = json_object() };
    reading->schema.err = &reading->err;
    reading->root = schema_root(&reading->schema, reading->given, reading->full);
}

static void end(struct reading *reading, const char *full)
{
    schema_end(&reading->root);
    if (reading->schema.result != 0)
        fail_msg("%s", reading->err.text);
    json_t *expected = rig_json(full);
    char *got = json_dumps(reading->full, 0);
    if (!json_equal(reading->full, expected))
        fail_msg("%s, expected %s", got, full);
    free(got);
    json_decref(expected);
    json_decref(reading->given);
    json_decref(reading->full);
}

static void end_refused(struct reading *reading, const char *pointer, const char *text)
{
    schema_end(&reading->root);
    assert_int_equal(reading->schema.result, -EINVAL);
    assert_string_equal(reading->err.pointer, pointer);
    assert_string_equal(reading->err.text, text);
    json_decref(reading->given);
    json_decref(reading->full);
}

static void test_integer(void **state)
{
    (void)state;
    struct reading r;
    const struct schema_range range = { -5, 1000000, 7 };
    begin(&r, "{'a':-5,'b':1e6,'c':null}");
    assert_int_equal(schema_integer(&r.root, "a", range), -5);
    assert_int_equal(schema_integer(&r.root, "b", range), 1000000);
    assert_int_equal(schema_integer(&r.root, "c", range), 7);
    assert_int_equal(schema_integer(&r.root, "d", range), 7);
    end(&r, "{'a':-5,'b':1000000,'c':7,'d':7}");
    static const char *const wrong[][2] = {
        { "{'a':-6}", "a: expected an integer from -5 to 1000000, got -6" },
        { "{'a':1000001}", "a: expected an integer from -5 to 1000000, got 1000001" },
        { "{'a':1.5}", "a: expected an integer from -5 to 1000000, got 1.5" },
        { "{'a':1e300}", "a: expected an integer from -5 to 1000000, got 1e+300" },
        { "{'a':'1'}", "a: expected an integer from -5 to 1000000, got \"1\"" },
        { "{'a':true}", "a: expected an integer from -5 to 1000000, got true" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        begin(&r, wrong[i][0]);
        assert_int_equal(schema_integer(&r.root, "a", range), 7);
        end_refused(&r, "/a", wrong[i][1]);
    }
}

static void test_scaled(void **state)
{
    (void)state;
    struct reading r;
    const struct schema_scale ns = { 1000, 5000000, 1500 }, ps = { 1000000, 2000000000, 3000000 };
    begin(&r, "{'a':0.5,'b':5000,'c':750.3,'d':0.000001}");
    assert_int_equal(schema_scaled(&r.root, "a", ns), 500);
    assert_int_equal(schema_scaled(&r.root, "b", ns), 5000000);
    assert_int_equal(schema_scaled(&r.root, "c", ns), 750300);
    assert_int_equal(schema_scaled(&r.root, "d", ps), 1);
    assert_int_equal(schema_scaled(&r.root, "e", ns), 1500);
    assert_int_equal(schema_scaled(&r.root, "f", ps), 3000000);
    assert_int_equal(schema_us(&r.root, "g", 12), 12000);
    end(&r, "{'a':0.5,'b':5000,'c':750.3,'d':0.000001,'e':1.5,'f':3,'g':12}");
    begin(&r, "{'a':0.0001}");
    assert_int_equal(schema_scaled(&r.root, "a", ns), 1500);
    end_refused(&r, "/a",
                "a: expected a number of microseconds from 0 to 5000 with at most 3 decimal "
                "places, got 0.0001");
    begin(&r, "{'a':2000.000001}");
    assert_int_equal(schema_scaled(&r.root, "a", ps), 3000000);
    end_refused(&r, "/a",
                "a: expected a number of microseconds from 0 to 2000 with at most 6 decimal "
                "places, got 2000.000001");
    begin(&r, "{'a':-1}");
    assert_int_equal(schema_scaled(&r.root, "a", ns), 1500);
    end_refused(&r, "/a",
                "a: expected a number of microseconds from 0 to 5000 with at most 3 decimal "
                "places, got -1");
}

static void test_other_scalars(void **state)
{
    (void)state;
    static const char *const words[] = { "wait", "429" };
    const struct schema_names names = { words, 2, 0 }, optional = { words, 2, -1 };
    struct reading r;
    char name[CONFIG_NAME_BYTES];
    begin(&r, "{'a':true,'b':2.5,'c':429,'d':'429','g':'x'}");
    assert_true(schema_bool(&r.root, "a", false));
    assert_true(schema_bool(&r.root, "aa", true));
    assert_true(schema_real(&r.root, "b", 3, 0.5) == 2.5);
    assert_true(schema_real(&r.root, "bb", 3, 0.5) == 0.5);
    assert_int_equal(schema_choice(&r.root, "c", names), 1);
    assert_int_equal(schema_choice(&r.root, "d", names), 1);
    assert_int_equal(schema_choice(&r.root, "e", names), 0);
    assert_int_equal(schema_choice(&r.root, "f", optional), -1);
    schema_name(&r.root, "g", name, NULL);
    assert_string_equal(name, "x");
    schema_name(&r.root, "h", name, "y");
    assert_string_equal(name, "y");
    end(&r, "{'a':true,'aa':true,'b':2.5,'bb':0.5,'c':429,'d':'429','e':'wait','f':null,'g':'x',"
            "'h':'y'}");
    begin(&r, "{'a':'wiat'}");
    schema_choice(&r.root, "a", names);
    end_refused(&r, "/a", "a: expected \"wait\" or \"429\", got \"wiat\"; did you mean \"wait\"?");
    begin(&r, "{'a':503}");
    schema_choice(&r.root, "a", names);
    end_refused(&r, "/a", "a: expected \"wait\" or \"429\", got 503");
    begin(&r, "{'a':0}");
    schema_bool(&r.root, "a", true);
    end_refused(&r, "/a", "a: expected true or false, got 0");
    begin(&r, "{'a':3.5}");
    schema_real(&r.root, "a", 3, 1);
    end_refused(&r, "/a", "a: expected a number from 0 to 3, got 3.5");
    begin(&r, "{}");
    schema_name(&r.root, "a", name, NULL);
    end_refused(&r, "/a", "a: missing");
    begin(&r, "{'a':'x\\ny'}");
    schema_name(&r.root, "a", name, NULL);
    end_refused(&r, "/a",
                "a: expected a text of 1 to 95 bytes without control characters, got \"x?y\"");
}

static void test_paths(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, "{'a':{'b':[{},{'c/d~':5}]}}");
    struct schema_node a = schema_object(&r.root, "a");
    struct schema_node b = schema_array(&a, "b", 2);
    struct schema_node first = schema_element(&b, 0), second = schema_element(&b, 1);
    schema_end(&first);
    schema_bool(&second, "known", false);
    schema_end(&second);
    end_refused(&r, "/a/b/1/c~1d~0", "a.b[1].c/d~: no such key; there are known");
    begin(&r, "{'a':[1,2,3]}");
    schema_array(&r.root, "a", 2);
    end_refused(&r, "/a", "a: expected at most 2 elements, got 3");
    begin(&r, "{'a':[1]}");
    a = schema_array(&r.root, "a", 2);
    schema_element(&a, 0);
    end_refused(&r, "/a/0", "a[0]: expected an object, got 1");
    begin(&r, "{'a':5}");
    schema_object(&r.root, "a");
    end_refused(&r, "/a", "a: expected an object, got 5");
    begin(&r, "{'a':{}}");
    schema_array(&r.root, "a", 1);
    end_refused(&r, "/a", "a: expected an array, got an object");
    begin(&r, "[]");
    end_refused(&r, "", "configuration: expected an object, got an array");
    /* The first counts, and what follows has its fallback. */
    begin(&r, "{'a':5,'b':'x','c':2}");
    schema_bool(&r.root, "a", true);
    schema_bool(&r.root, "b", true);
    assert_int_equal(schema_integer(&r.root, "c", (struct schema_range){ 0, 9, 8 }), 8);
    end_refused(&r, "/a", "a: expected true or false, got 5");
}

static void test_long_keys(void **state)
{
    (void)state;
    char text[1200], *at = text;
    *at++ = '{';
    *at++ = '\'';
    memset(at, '/', 1000);
    memcpy(at + 1000, "':1}", 5);
    struct reading r;
    begin(&r, text);
    schema_end(&r.root);
    assert_int_equal(r.schema.result, -EINVAL);
    assert_int_equal(strlen(r.err.pointer), sizeof r.err.pointer - 1);
    assert_true(strlen(r.err.text) < sizeof r.err.text);
    json_decref(r.given);
    json_decref(r.full);
}

static void test_specs(void **state)
{
    (void)state;
    struct reading r;
    begin(&r, "{'a':'5ms','b':{'dist':'fixed','value_us':5},'c':{'min':2,'max':2}}");
    struct weir_dist *dist = schema_latency(&r.root, "a", NULL);
    assert_int_equal(weir_dist_draw_ns(dist, 1, 2, 3), 5000000);
    weir_dist_close(dist);
    dist = schema_latency(&r.root, "b", NULL);
    assert_int_equal(weir_dist_draw_ns(dist, 1, 2, 3), 5000);
    weir_dist_close(dist);
    dist = schema_tokens(&r.root, "c");
    assert_int_equal(weir_dist_draw_ns(dist, 1, 2, 3), 2);
    weir_dist_close(dist);
    assert_null(schema_tokens(&r.root, "d"));
    assert_null(schema_latency(&r.root, "e", NULL));
    dist = schema_latency(&r.root, "f", "1ms");
    assert_int_equal(weir_dist_draw_ns(dist, 1, 2, 3), 1000000);
    weir_dist_close(dist);
    end(&r, "{'a':'5ms','b':{'dist':'fixed','value_us':5},'c':{'min':2,'max':2},'d':null,"
            "'e':null,'f':'1ms'}");
    begin(&r, "{'a':{'dist':'mix','parts':[[1,{'dist':'fixed','value':1}]]}}");
    assert_null(schema_latency(&r.root, "a", NULL));
    end_refused(&r, "/a/parts/0/1/value",
                "a.parts[0][1].value: no such key; did you mean value_us?");
    begin(&r, "{'a':{'min':2}}");
    assert_null(schema_tokens(&r.root, "a"));
    end_refused(&r, "/a/max", "a.max: missing: min and max belong together");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer),       cmocka_unit_test(test_scaled),
        cmocka_unit_test(test_other_scalars), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_long_keys),     cmocka_unit_test(test_specs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
