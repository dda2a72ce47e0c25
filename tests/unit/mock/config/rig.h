/* SPDX-License-Identifier: MIT */
/* Configurations from JSON texts, for the tests of this room. Include <cmocka.h> before. */
#ifndef TESTS_UNIT_MOCK_CONFIG_RIG_H
#define TESTS_UNIT_MOCK_CONFIG_RIG_H

#include "mock/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ' stands for ", so that a test can be read. */
static inline json_t *rig_json(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    for (char *at = copy; (at = strchr(at, '\'')) != NULL;)
        *at = '"';
    json_error_t error;
    json_t *json = json_loads(copy, JSON_DECODE_ANY, &error);
    free(copy);
    if (json == NULL)
        fail_msg("%s: %s", text, error.text);
    return json;
}

static inline struct config *rig_open(const char *text)
{
    json_t *json = rig_json(text);
    struct config *config = NULL;
    struct config_error err;
    int result = config_open(&config, json, NULL, &err);
    json_decref(json);
    if (result != 0)
        fail_msg("%s: %d, %s", text, result, err.text);
    return config;
}

static inline struct config *rig_patch(const struct config *before, const char *text)
{
    json_t *json = rig_json(text);
    struct config *config = NULL;
    struct config_error err;
    int result = config_patch(&config, before, json, &err);
    json_decref(json);
    if (result != 0)
        fail_msg("%s: %d, %s", text, result, err.text);
    return config;
}

/* It is refused, for what is at `pointer`; `text` is the whole of the message. */
static inline void rig_refused(const char *json_text, const char *pointer, const char *text)
{
    json_t *json = rig_json(json_text);
    struct config *config = NULL;
    struct config_error err;
    int result = config_open(&config, json, NULL, &err);
    json_decref(json);
    config_drop(config);
    if (result != -EINVAL)
        fail_msg("%s: %d", json_text, result);
    char *expected = strdup(text);
    for (char *at = expected; (at = strchr(at, '\'')) != NULL;)
        *at = '"';
    if (strcmp(err.pointer, pointer) != 0 || strcmp(err.text, expected) != 0)
        fail_msg("%s:\n%s\n%s", json_text, err.pointer, err.text);
    free(expected);
}

/* Does the tree have this at the dotted path? */
static inline void rig_tree(const struct config *config, const char *path, const char *expected)
{
    char copy[128];
    snprintf(copy, sizeof copy, "%s", path);
    const json_t *at = config->tree;
    char *rest = copy;
    for (char *key; (key = strsep(&rest, ".")) != NULL;)
        at = json_is_array(at) ? json_array_get(at, (size_t)strtoul(key, NULL, 10))
                               : json_object_get(at, key);
    json_t *json = rig_json(expected);
    char *got = json_dumps(at, JSON_ENCODE_ANY);
    if (!json_equal((json_t *)at, json))
        fail_msg("%s is %s, expected %s", path, got != NULL ? got : "not there", expected);
    free(got);
    json_decref(json);
}

#endif
