/* SPDX-License-Identifier: MIT */
#include "mock/config/rules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

/* The engines' clock. */
static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool has_id(const json_t *rules, const char *id)
{
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const char *other = json_string_value(json_object_get(json_array_get(rules, i), "id"));
        if (other != NULL && strcmp(other, id) == 0)
            return true;
    }
    return false;
}

int rules_name(json_t *tree)
{
    const json_t *rules = json_object_get(tree, "faults");
    size_t count = json_array_size(rules);
    for (size_t i = 0; i < count && count <= FAULT_RULES_MAX; i++) {
        json_t *rule = json_array_get(rules, i), *id = json_object_get(rule, "id");
        if (!json_is_object(rule) || (id != NULL && !json_is_null(id)))
            continue;
        char name[FAULT_ID_BYTES];
        size_t number = i;
        do
            snprintf(name, sizeof name, "rule-%zu", ++number);
        while (has_id(rules, name));
        if (json_object_set_new(rule, "id", json_string(name)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static struct fault_rule *find(const struct config *config, const char *id)
{
    for (uint32_t i = 0; config != NULL && i < config->faults_count; i++)
        if (strcmp(config->faults[i]->id, id) == 0)
            return config->faults[i];
    return NULL;
}

static void take_over_count(atomic_uint_fast64_t *to, atomic_uint_fast64_t *from)
{
    atomic_store_explicit(to, atomic_load_explicit(from, memory_order_relaxed),
                          memory_order_relaxed);
}

/*
 * The rule that counts instead of `rule`: the one of before when they are the same. One that was
 * only switched on or off goes on counting where it was; what other threads count for the old one
 * until they have the new configuration is lost, and requests that the old one has struck are
 * released there.
 */
static struct fault_rule *go_on(struct fault_rule *rule, const struct config *before)
{
    struct fault_rule *old = find(before, rule->id);
    if (old == NULL || old->hash != rule->hash || old->seed != rule->seed)
        return rule;
    if (old->enabled == rule->enabled) {
        fault_rule_hold(old);
        fault_rule_drop(rule);
        return old;
    }
    take_over_count(&rule->matched, &old->matched);
    take_over_count(&rule->struck, &old->struck);
    take_over_count(&rule->begun_ns, &old->begun_ns);
    return rule;
}

void rules_read(const struct schema_node *root, struct config *config, const struct config *before)
{
    struct schema_node rules = schema_array(root, "faults", FAULT_RULES_MAX);
    uint64_t now = now_ns();
    for (size_t i = 0; i < json_array_size(rules.given) && rules.schema->result == 0; i++) {
        struct schema_node node = schema_element(&rules, i);
        if (rules.schema->result != 0)
            return;
        struct fault_error err = { 0 };
        struct fault_rule *rule = NULL;
        int result = fault_rule_make(&rule, node.given, (uint32_t)i + 1, config->seed, now, &err);
        if (result == -ENOMEM) {
            schema_fail_memory(&node);
            return;
        }
        if (result < 0) {
            schema_fail((struct schema_where){ .node = &node, .pointer = err.pointer }, "%s",
                        err.text);
            return;
        }
        if (find(config, rule->id) != NULL) {
            schema_fail((struct schema_where){ .node = &node, .key = "id" },
                        "another rule has the id \"%s\"", rule->id);
            fault_rule_drop(rule);
            return;
        }
        config->faults[config->faults_count++] = go_on(rule, before);
        if (json_object_update(node.full, (json_t *)node.given) < 0)
            schema_fail_memory(&node);
    }
}

void rules_number(const struct schema_node *root, struct config *config)
{
    struct fault_error err;
    for (uint32_t i = 0; i < config->faults_count; i++) {
        if (fault_rule_number(config->faults[i], &err) < 0) {
            schema_fail((struct schema_where){ .node = root, .key = "faults" }, "%s: %s",
                        config->faults[i]->id, err.text);
            return;
        }
    }
}
