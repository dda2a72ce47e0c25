/* SPDX-License-Identifier: MIT */
#include "mock/control/change.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* What one change needs while the configuration is locked. */
struct change_work {
    const struct change *change;
    struct change_result *result;
    json_t *body; /* NULL: a DELETE has none */
};

static int change_fail(struct change_work *work, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int change_fail(struct change_work *work, uint16_t status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(work->result->message, sizeof work->result->message, format, args);
    va_end(args);
    work->result->status = status;
    return -EINVAL;
}

static int change_fail_config(struct change_work *work, int err, const struct config_error *error)
{
    if (err == -ENOMEM)
        return change_fail(work, 503, "out of memory");
    snprintf(work->result->pointer, sizeof work->result->pointer, "%s", error->pointer);
    return change_fail(work, 400, "%s", error->text);
}

/* ---- Rules ------------------------------------------------------------------------------- */

/* The place of the rule in the list; the length of the list if it is not there. */
static size_t change_find(const json_t *rules, const char *id)
{
    size_t count = json_array_size(rules);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(rules, i), "id"));
        if (name != NULL && strcmp(name, id) == 0)
            return i;
    }
    return count;
}

static int change_add(struct change_work *work, json_t *rules)
{
    json_object_del(work->body, "state"); /* what a GET adds: that may be put back */
    const char *id = json_string_value(json_object_get(work->body, "id"));
    if (id != NULL && change_find(rules, id) < json_array_size(rules))
        return change_fail(work, 409, "there is a rule '%s' already: PUT replaces it", id);
    work->result->status = 201;
    return json_array_append(rules, work->body) < 0 ? change_fail(work, 503, "out of memory") : 0;
}

/* A rule that is put or patched has the id of its path, said again or not. */
static int change_check_id(struct change_work *work)
{
    json_object_del(work->body, "state"); /* what a GET adds: that may be put back */
    const json_t *id = json_object_get(work->body, "id");
    if (!json_is_object(work->body))
        return change_fail(work, 400, "expected a rule, an object");
    if (id == NULL) {
        if (json_object_set_new(work->body, "id", json_string(work->change->id)) < 0)
            return change_fail(work, 400, "the id is not UTF-8");
        return 0;
    }
    if (!json_is_string(id) || strcmp(json_string_value(id), work->change->id) != 0)
        return change_fail(work, 400, "id: expected '%s', as the path says, or none",
                           work->change->id);
    return 0;
}

static int change_one(struct change_work *work, json_t *rules)
{
    size_t at = change_find(rules, work->change->id);
    bool there = at < json_array_size(rules);
    if (!there && work->change->method != METHOD_PUT)
        return change_fail(work, 404, "there is no rule '%s'", work->change->id);
    if (work->change->method == METHOD_DELETE)
        return json_array_remove(rules, at) < 0 ? change_fail(work, 503, "out of memory") : 0;
    int err = change_check_id(work);
    if (err < 0)
        return err;
    json_t *rule = work->change->method == METHOD_PATCH
                       ? config_merge(json_array_get(rules, at), work->body)
                       : json_incref(work->body);
    int failed = there ? json_array_set_new(rules, at, rule) : json_array_append_new(rules, rule);
    work->result->status = there ? 200 : 201;
    return failed < 0 ? change_fail(work, 503, "out of memory") : 0;
}

/* The list of rules as it will be, as a patch. */
static int change_rules(json_t **out, struct change_work *work, const struct config *before)
{
    json_t *given = json_object_get(before->given, "faults");
    json_t *rules = given != NULL ? json_deep_copy(given) : json_array();
    int err = rules == NULL                               ? change_fail(work, 503, "out of memory")
              : work->change->endpoint == ENDPOINT_FAULTS ? change_add(work, rules)
                                                          : change_one(work, rules);
    if (err == 0) {
        *out = json_pack("{so}", "faults", rules);
        return *out == NULL ? change_fail(work, 503, "out of memory") : 0;
    }
    json_decref(rules);
    return err;
}

/* ---- The configuration ------------------------------------------------------------------- */

static int change_config(struct config **out, const struct config *before, void *ctx)
{
    struct change_work *work = ctx;
    struct config_error error;
    json_t *patch = NULL;
    if (work->change->generation != 0 && work->change->generation != before->generation)
        return change_fail(work, 412, "If-Match: the configuration is generation %llu, not that",
                           (unsigned long long)before->generation);
    if (work->change->endpoint == ENDPOINT_CONFIG) {
        patch = json_incref(work->body);
    } else {
        int err = change_rules(&patch, work, before);
        if (err < 0)
            return err;
    }
    int err = config_patch(out, before, patch, &error);
    json_decref(patch);
    if (err < 0)
        return change_fail_config(work, err, &error);
    work->result->made = config_hold(*out);
    return 0;
}

void change_make(struct change_result *out, struct app *app, const struct change *change)
{
    struct config_error error;
    struct change_work work = { .change = change, .result = out };
    *out = (struct change_result){ .status = 200 };
    if (change->method != METHOD_DELETE) {
        work.body = config_read_text(change->body, "body", &error);
        if (work.body == NULL) {
            change_fail(&work, 400, "%s", error.text);
            return;
        }
    }
    int err = mock_change_config(app->mock, app, change_config, &work);
    if (err == -ENOSPC)
        change_fail(&work, 409,
                    "this process has seen %d ids of models, which is as many as it can tell apart",
                    MODELS_NUMBERS_MAX);
    else if (err < 0 && out->status < 300)
        change_fail(&work, 503, "%s", weir_strerror(err));
    if (err < 0) {
        config_drop(out->made);
        out->made = NULL;
    }
    json_decref(work.body);
}
