/* SPDX-License-Identifier: MIT */
#include "mock/start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ERROR_RULE "error-rate"

/* Set out[section][key], or out[key] without a section. Takes `value`. @return false: no memory */
static bool start_set(json_t *out, const char *section, const char *key, json_t *value)
{
    json_t *into = out;
    if (section != NULL) {
        into = json_object_get(out, section);
        if (into == NULL && json_object_set_new(out, section, json_object()) == 0)
            into = json_object_get(out, section);
    }
    return json_object_set_new(into, key, value) == 0;
}

static json_t *start_number(const char *text)
{
    return json_integer((json_int_t)strtoull(text, NULL, 10)); /* the options have checked it */
}

/* @return what the options say, as a patch of a configuration; NULL: no memory */
static json_t *start_patch(const struct options *options)
{
    const struct {
        const char *section, *key, *text;
    } texts[] = {
        { "latency", "delay", options->latency },
        { "latency", "ttft", options->ttft },
        { "latency", "itl", options->itl },
        { "engine", "preset", options->preset },
    };
    const struct {
        const char *section, *key, *text;
    } numbers[] = {
        { NULL, "tokens", options->tokens },
        { NULL, "seed", options->seed },
        { "limits", "max_concurrency", options->concurrency_max },
    };
    json_t *patch = json_object();
    bool well = patch != NULL;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && well; i++)
        if (texts[i].text != NULL)
            well = start_set(patch, texts[i].section, texts[i].key, json_string(texts[i].text));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && well; i++)
        if (numbers[i].text != NULL)
            well =
                start_set(patch, numbers[i].section, numbers[i].key, start_number(numbers[i].text));
    if (well && options->strict_models)
        well = start_set(patch, NULL, "strict_models", json_true());
    if (well)
        return patch;
    json_decref(patch);
    return NULL;
}

/* --error-rate is the last of the rules. */
static bool start_add_error_rule(json_t *tree, double rate)
{
    json_t *rules = json_object_get(tree, "faults");
    if (rules == NULL) {
        if (json_object_set_new(tree, "faults", json_array()) < 0)
            return false;
        rules = json_object_get(tree, "faults");
    }
    if (!json_is_array(rules))
        return true; /* the check of the whole says what is wrong */
    return json_array_append_new(rules, json_pack("{s:s,s:{s:f},s:{s:s,s:i}}", "id", ERROR_RULE,
                                                  "when", "probability", rate, "do", "kind",
                                                  "status", "status", 500)) == 0;
}

static int start_fail(struct options_error *err, const char *file, const char *text)
{
    if (file != NULL)
        snprintf(err->text, sizeof err->text, "%s: %s", file, text);
    else
        snprintf(err->text, sizeof err->text, "%s", text);
    return -EINVAL;
}

int start_config(struct config **out, const struct options *options, struct options_error *err)
{
    struct config_error error;
    json_t *tree =
        options->config != NULL ? config_read_file(options->config, &error) : json_object();
    if (tree == NULL)
        return start_fail(err, NULL, options->config != NULL ? error.text : "out of memory");
    if (!json_is_object(tree) && !json_is_null(tree)) {
        (void)config_open(out, tree, NULL, &error); /* it says what it expected */
        json_decref(tree);
        return start_fail(err, options->config, error.text);
    }
    json_t *patch = start_patch(options);
    json_t *whole = patch != NULL ? config_merge(tree, patch) : NULL;
    json_decref(patch);
    json_decref(tree);
    if (whole == NULL ||
        (options->error_rate > 0 && !start_add_error_rule(whole, options->error_rate))) {
        json_decref(whole);
        return start_fail(err, NULL, "out of memory");
    }
    int rc = config_open(out, whole, NULL, &error);
    json_decref(whole);
    return rc < 0 ? start_fail(err, options->config, error.text) : 0;
}
