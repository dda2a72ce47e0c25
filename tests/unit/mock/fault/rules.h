/* SPDX-License-Identifier: MIT */
/* Rules from text, for tests. */
#ifndef TESTS_MOCK_FAULT_RULES_H
#define TESTS_MOCK_FAULT_RULES_H

#include "mock/fault/rule.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RULES_SEED UINT64_C(2024)
#define US         UINT64_C(1000)

/* JSON with ' for ", which reads better in C. */
static inline json_t *json_of(const char *text)
{
    char copy[8192];
    size_t len = strlen(text);
    assert_true(len < sizeof copy);
    for (size_t i = 0; i <= len; i++)
        copy[i] = text[i] == '\'' ? '"' : text[i];
    json_error_t error;
    json_t *json = json_loads(copy, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json == NULL)
        print_error("%s: %s\n", copy, error.text);
    assert_non_null(json);
    return json;
}

static inline struct fault_rule *rule_of(const char *text)
{
    json_t *json = json_of(text);
    struct fault_rule *rule = NULL;
    struct fault_error err;
    int result = fault_rule_open(&rule, json, 1, RULES_SEED, 0, &err);
    if (result < 0)
        print_error("%s: %s: %s\n", text, err.pointer, err.text);
    assert_int_equal(result, 0);
    json_decref(json);
    return rule;
}

/* What is said of a rule that is refused. */
static inline struct fault_error error_of(const char *text)
{
    json_t *json = json_of(text);
    struct fault_rule *rule = NULL;
    struct fault_error err;
    int result = fault_rule_open(&rule, json, 1, RULES_SEED, 0, &err);
    if (result == 0)
        print_error("%s: taken\n", text);
    assert_int_equal(result, -EINVAL);
    assert_null(rule);
    assert_true(err.text[0] != '\0');
    json_decref(json);
    return err;
}

static inline uint64_t count_now(const atomic_uint_fast64_t *count)
{
    return atomic_load((atomic_uint_fast64_t *)count);
}

#endif
