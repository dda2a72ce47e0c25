/* SPDX-License-Identifier: MIT */
#include "mock/config/config.h"

#include "mock/config/keys.h"
#include "mock/config/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_config(struct config *config)
{
    for (uint32_t i = 0; i < config->models_count; i++) {
        weir_dist_close(config->models[i].load);
        weir_dist_close(config->models[i].unload);
    }
    for (uint32_t i = 0; i < config->faults_count; i++)
        fault_rule_drop(config->faults[i]);
    weir_dist_close(config->latency.delay);
    weir_dist_close(config->latency.ttft);
    weir_dist_close(config->latency.itl);
    weir_dist_close(config->latency.prefill);
    weir_dist_close(config->output_tokens);
    json_decref(config->given);
    json_decref(config->tree);
    free(config);
}

static int fail_memory(struct config_error *err)
{
    err->pointer[0] = '\0';
    snprintf(err->text, sizeof err->text, "out of memory");
    return -ENOMEM;
}

/* config_open() of a tree that is ours, a reference to which is taken over; NULL: out of memory. */
static int open_given(struct config **out, json_t *given, const struct config *before,
                      struct config_error *err)
{
    struct config *config = given != NULL ? calloc(1, sizeof(*config)) : NULL;
    if (config == NULL) {
        json_decref(given);
        return fail_memory(err);
    }
    atomic_init(&config->refs, 1);
    config->generation = before != NULL ? before->generation + 1 : 1;
    config->given = given;
    config->tree = json_object();
    struct schema schema = { .err = err };
    if (config->tree == NULL || rules_name(given) < 0)
        schema.result = -ENOMEM;
    struct schema_node root = schema_root(&schema, given, config->tree);
    keys_read(&root, config, before);
    if (schema.result == 0)
        rules_number(&root, config);
    if (schema.result == 0) {
        *out = config;
        return 0;
    }
    free_config(config);
    return schema.result == -ENOMEM ? fail_memory(err) : schema.result;
}

int config_open(struct config **out, const json_t *tree, const struct config *before,
                struct config_error *err)
{
    json_t *given = tree == NULL || json_is_null(tree) ? json_object() : json_deep_copy(tree);
    return open_given(out, given, before, err);
}

/* RFC 7396 section 2, on objects of ours. */
static int merge(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)patch, key, value)
    {
        if (json_is_null(value)) {
            json_object_del(target, key);
            continue;
        }
        json_t *member = json_object_get(target, key);
        if (!json_is_object(value) || !json_is_object(member)) {
            member = json_is_object(value) ? json_object() : json_deep_copy(value);
            if (json_object_set_new(target, key, member) < 0)
                return -ENOMEM;
        }
        if (json_is_object(value) && merge(member, value) < 0)
            return -ENOMEM;
    }
    return 0;
}

json_t *config_merge(const json_t *target, const json_t *patch)
{
    json_t *merged = json_deep_copy(target);
    if (!json_is_object(patch) || !json_is_object(merged)) {
        json_decref(merged);
        return json_deep_copy(patch);
    }
    if (merged != NULL && merge(merged, patch) < 0) {
        json_decref(merged);
        return NULL;
    }
    return merged;
}

int config_patch(struct config **out, const struct config *before, const json_t *patch,
                 struct config_error *err)
{
    struct schema schema = { .err = err };
    if (!json_is_object(patch)) {
        struct schema_node root = { .schema = &schema };
        schema_fail((struct schema_where){ .node = &root }, "expected an object as the patch");
        return schema.result;
    }
    json_t *given = json_deep_copy(before->given);
    if (given == NULL || merge(given, patch) < 0) {
        json_decref(given);
        return fail_memory(err);
    }
    return open_given(out, given, before, err);
}

/* Relaxed: who holds it has it from somebody whose reference keeps it alive meanwhile. */
struct config *config_hold(struct config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

/* The last one must see what all others did with it before they dropped it. */
void config_drop(struct config *config)
{
    if (config != NULL && atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) == 1)
        free_config(config);
}

int config_find_model(const struct config *config, struct weir_slice id)
{
    for (uint32_t i = 0; i < config->models_count; i++) {
        const char *name = config->models[i].id;
        if (strlen(name) == id.len && (id.len == 0 || memcmp(name, id.ptr, id.len) == 0))
            return (int)i;
    }
    return -1;
}
