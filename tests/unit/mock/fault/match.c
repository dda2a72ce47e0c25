/* SPDX-License-Identifier: MIT */
#include "mock/fault/match.c"

#include "unit/mock/fault/rules.h"

#include <strings.h>

struct fields {
    unsigned asked, count;
    struct {
        const char *name, *value;
    } at[4];
};

static struct weir_slice fields_find(const void *ctx, struct weir_slice name)
{
    struct fields *fields = (struct fields *)ctx;
    fields->asked++;
    for (unsigned i = 0; i < fields->count; i++)
        if (strlen(fields->at[i].name) == name.len &&
            strncasecmp(fields->at[i].name, (const char *)name.ptr, name.len) == 0)
            return (struct weir_slice){ (const uint8_t *)fields->at[i].value,
                                        strlen(fields->at[i].value) };
    return (struct weir_slice){ NULL, 0 };
}

static struct weir_slice slice_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

static const struct {
    const char *match, *method, *path;
    bool fits;
} by_line[] = {
    { "{}", "GET", "/", true },
    { "{'path':'/api/infer'}", "POST", "/api/infer", true },
    { "{'path':'/api/infer'}", "POST", "/api/infer/batch", false },
    { "{'path':'/api/infer'}", "POST", "/api/infex", false },
    { "{'path':'/api/infer*'}", "POST", "/api/infer/batch", true },
    { "{'path':'/api/infer*'}", "POST", "/api/infer", true },
    { "{'path':'/api/infer*'}", "POST", "/api/infe", false },
    { "{'path':'/*'}", "GET", "/", true },
    { "{'path':'*'}", "OPTIONS", "*", true },
    { "{'path':'*'}", "GET", "", true },
    { "{'path':'/a*b'}", "GET", "/a*b", true },
    { "{'path':'/a*b'}", "GET", "/axb", false },
    { "{'method':'POST'}", "POST", "/", true },
    { "{'method':'POST'}", "GET", "/", false },
    { "{'method':'POST'}", "post", "/", false },
    { "{'method':'PO*'}", "POST", "/", false },
    { "{'method':'POST','path':'/a'}", "POST", "/a", true },
    { "{'method':'POST','path':'/a'}", "POST", "/b", false },
};

static void test_line(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof by_line / sizeof by_line[0]; row++) {
        char text[256];
        snprintf(text, sizeof text, "{'match':%s,'do':{'kind':'reset'}}", by_line[row].match);
        struct fault_rule *rule = rule_of(text);
        struct fields none = { 0 };
        struct fault_head head = { slice_of(by_line[row].path), slice_of(by_line[row].method),
                                   fields_find, &none };
        if (fault_rule_matches_head(rule, &head) != by_line[row].fits)
            print_error("%s: %s %s\n", text, by_line[row].method, by_line[row].path);
        assert_int_equal(fault_rule_matches_head(rule, &head), by_line[row].fits);
        assert_int_equal(none.asked, 0);
        fault_rule_drop(rule);
    }
}

static const struct {
    const char *header;
    bool fits;
} by_field[] = {
    { "{}", true },
    { "{'x-team':'a'}", true },
    { "{'X-TEAM':'a'}", true },
    { "{'x-team':'b'}", false },
    { "{'x-team':'ab'}", false },
    { "{'x-team':null}", true },
    { "{'x-team':'*'}", true },
    { "{'x-other':null}", false },
    { "{'x-other':'*'}", false },
    { "{'x-other':''}", false },
    { "{'x-empty':''}", true },
    { "{'x-empty':null}", true },
    { "{'x-empty':'a*'}", false },
    { "{'authorization':'Bearer *'}", true },
    { "{'authorization':'Basic *'}", false },
    { "{'x-team':'a','authorization':'Bearer sk-*','x-empty':null}", true },
    { "{'x-team':'a','authorization':'Bearer pk-*','x-empty':null}", false },
};

static void test_fields(void **state)
{
    (void)state;
    struct fields fields = {
        .count = 3,
        .at = { { "X-Team", "a" }, { "X-Empty", "" }, { "Authorization", "Bearer sk-1" } },
    };
    struct fault_head head = { WEIR_TEXT("/"), WEIR_TEXT("GET"), fields_find, &fields };
    for (size_t row = 0; row < sizeof by_field / sizeof by_field[0]; row++) {
        char text[256];
        snprintf(text, sizeof text, "{'match':{'header':%s},'do':{'kind':'fin'}}",
                 by_field[row].header);
        struct fault_rule *rule = rule_of(text);
        if (fault_rule_matches_head(rule, &head) != by_field[row].fits)
            print_error("%s\n", text);
        assert_int_equal(fault_rule_matches_head(rule, &head), by_field[row].fits);
        fault_rule_drop(rule);
    }
}

/* A rule that is off, and one for connections, are for no request. */
static void test_never(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{'enabled':false,'do':{'kind':'reset'}}",
        "{'do':{'kind':'refuse'}}",
        "{'do':{'kind':'accept_delay','us':1}}",
        "{'do':{'kind':'fin','at':'accept'}}",
    };
    struct fields none = { 0 };
    struct fault_head head = { WEIR_TEXT("/"), WEIR_TEXT("GET"), fields_find, &none };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fault_rule *rule = rule_of(texts[i]);
        assert_false(fault_rule_matches_head(rule, &head));
        fault_rule_drop(rule);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    const char *text = "{'id':'m','match':{'path':'/v1/*','method':'POST','header':{'a':null,'B':"
                       "'','c':'x*','d':'y'},'model':'llama*','stream':true},'do':{'kind':'fin'}}";
    struct fault_rule *rule = rule_of(text);
    json_t *given = json_of(text), *got = fault_rule_json(rule);
    assert_true(json_equal(given, got));
    json_decref(given);
    json_decref(got);
    fault_rule_drop(rule);
}

static const struct {
    const char *match, *pointer;
} refused[] = {
    { "7", "/match" },
    { "{'path':7}", "/match/path" },
    { "{'path':''}", "/match/path" },
    { "{'path':'api'}", "/match/path" },
    { "{'path':'/a?b=c'}", "/match/path" },
    { "{'method':''}", "/match/method" },
    { "{'method':'A B'}", "/match/method" },
    { "{'method':null}", "/match/method" },
    { "{'model':1}", "/match/model" },
    { "{'stream':1}", "/match/stream" },
    { "{'stream':'true'}", "/match/stream" },
    { "{'header':[]}", "/match/header" },
    { "{'header':{'a b':'c'}}", "/match/header/a b" },
    { "{'header':{'':'c'}}", "/match/header/" },
    { "{'header':{'a/b':'c'}}", "/match/header/a~1b" },
    { "{'header':{'a~':1}}", "/match/header/a~0" },
    { "{'header':{'a':true}}", "/match/header/a" },
    { "{'header':{'1':'','2':'','3':'','4':'','5':'','6':'','7':'','8':'','9':''}}",
      "/match/header" },
    { "{'headers':{}}", "/match/headers" },
    { "{'paht':'/'}", "/match/paht" },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t row = 0; row < sizeof refused / sizeof refused[0]; row++) {
        char text[256];
        snprintf(text, sizeof text, "{'match':%s,'do':{'kind':'reset'}}", refused[row].match);
        struct fault_error err = error_of(text);
        assert_string_equal(err.pointer, refused[row].pointer);
    }
    assert_non_null(
        strstr(error_of("{'match':{'paht':'/'},'do':{'kind':'fin'}}").text, "did you mean path?"));
    assert_non_null(strstr(error_of("{'match':{'nonsense':'/'},'do':{'kind':'fin'}}").text,
                           "path, method, header, model, stream"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),    cmocka_unit_test(test_fields),
        cmocka_unit_test(test_never),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
