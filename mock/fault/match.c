/* SPDX-License-Identifier: MIT */
#include "mock/fault/match.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer ones fit nothing that the server takes. */
#define PATTERN_BYTES_MAX 4096

struct fault_match match_any(void)
{
    return (struct fault_match){ .stream = -1 };
}

void match_close(struct fault_match *match)
{
    free(match->path.text);
    free(match->method.text);
    free(match->model.text);
    for (uint32_t i = 0; i < match->headers_count; i++) {
        free(match->headers[i].name.text);
        free(match->headers[i].value.text);
    }
    *match = match_any();
}

/* ---- from JSON ---- */

static int pattern_copy(struct fault_pattern *out, const json_t *string, bool star)
{
    char *text = NULL;
    int err = field_copy_text(&text, string);
    if (err < 0)
        return err;
    size_t len = strlen(text);
    bool open = star && len != 0 && text[len - 1] == '*';
    text[len - open] = '\0';
    *out = (struct fault_pattern){ text, (uint32_t)(len - open), open };
    return 0;
}

static int pattern_read(struct fault_pattern *out, const char *key, const json_t *value, bool star,
                        const struct field_place *place)
{
    if (!json_is_string(value))
        return field_fail_got(place, key, "a string", value);
    if (json_string_length(value) > PATTERN_BYTES_MAX)
        return field_fail(place, key, "expected at most %d bytes, got %zu", PATTERN_BYTES_MAX,
                          json_string_length(value));
    int err = pattern_copy(out, value, star);
    return err == -EINVAL ? field_fail(place, key, "expected a string without NUL") : err;
}

static int path_check(const struct fault_match *match, const struct field_place *place)
{
    const struct fault_pattern *path = &match->path;
    if (path->text[0] != '/' && !(path->bytes == 0 && path->open))
        return field_fail(place, "path", "expected a path that begins with /, got \"%.60s\"",
                          path->text);
    if (strchr(path->text, '?') != NULL)
        return field_fail(place, "path", "expected a path without a query, got \"%.60s\"",
                          path->text);
    return 0;
}

/* A token of RFC 9110 section 5.6.2, which field names and methods are. */
static bool is_token(const char *text)
{
    size_t len = strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return len != 0 && text[len] == '\0';
}

static int headers_read(struct fault_match *out, const json_t *object,
                        const struct field_place *place)
{
    if (!json_is_object(object))
        return field_fail_got(place, NULL, "an object of names and values", object);
    if (json_object_size(object) > FAULT_HEADERS_MAX)
        return field_fail(place, NULL, "expected at most %d fields, got %zu", FAULT_HEADERS_MAX,
                          json_object_size(object));
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        struct fault_pattern copy = { .text = NULL };
        if (!is_token(name))
            return field_fail(place, name, "expected the name of a field");
        if (!json_is_null(value) && !json_is_string(value))
            return field_fail_got(place, name, "a string, or null for any value", value);
        copy.text = strdup(name);
        if (copy.text == NULL)
            return -ENOMEM;
        copy.bytes = (uint32_t)strlen(name);
        out->headers[out->headers_count++].name = copy;
        if (json_is_null(value))
            continue;
        int err =
            pattern_read(&out->headers[out->headers_count - 1].value, name, value, true, place);
        if (err < 0)
            return err;
    }
    return 0;
}

static const struct field match_fields[] = {
    { .key = "path", .type = FIELD_OTHER },   { .key = "method", .type = FIELD_OTHER },
    { .key = "header", .type = FIELD_OTHER }, { .key = "model", .type = FIELD_OTHER },
    { .key = "stream", .type = FIELD_OTHER },
};

static int match_read_texts(struct fault_match *out, const json_t *json,
                            const struct field_place *place)
{
    const json_t *path = json_object_get(json, "path"), *method = json_object_get(json, "method");
    const json_t *model = json_object_get(json, "model");
    int err = 0;
    if (path != NULL)
        err = pattern_read(&out->path, "path", path, true, place);
    if (err == 0 && path != NULL)
        err = path_check(out, place);
    if (err == 0 && method != NULL)
        err = pattern_read(&out->method, "method", method, false, place);
    if (err == 0 && method != NULL && !is_token(out->method.text))
        return field_fail_got(place, "method", "a method", method);
    if (err == 0 && model != NULL)
        err = pattern_read(&out->model, "model", model, true, place);
    return err;
}

int match_read(struct fault_match *out, const json_t *json, const struct field_place *place)
{
    if (!json_is_object(json))
        return field_fail_got(place, NULL, "an object", json);
    int err = field_read_all(match_fields, sizeof match_fields / sizeof match_fields[0], out, json,
                             place);
    if (err == 0)
        err = match_read_texts(out, json, place);
    const json_t *stream = json_object_get(json, "stream");
    if (err == 0 && stream != NULL && !json_is_boolean(stream))
        return field_fail_got(place, "stream", "true or false", stream);
    if (stream != NULL)
        out->stream = json_is_true(stream);
    const json_t *header = json_object_get(json, "header");
    if (err < 0 || header == NULL)
        return err;
    struct field_place below = { place->err, "/match/header", "header" };
    return headers_read(out, header, &below);
}

/* ---- as JSON ---- */

static json_t *pattern_json(const struct fault_pattern *pattern)
{
    if (pattern->text == NULL)
        return json_null();
    return json_sprintf("%s%s", pattern->text, pattern->open ? "*" : "");
}

static int pattern_write(json_t *object, const char *key, const struct fault_pattern *pattern)
{
    return pattern->text == NULL ? 0 : json_object_set_new(object, key, pattern_json(pattern));
}

static json_t *headers_json(const struct fault_match *match)
{
    json_t *object = json_object();
    for (uint32_t i = 0; object != NULL && i < match->headers_count; i++)
        if (json_object_set_new(object, match->headers[i].name.text,
                                pattern_json(&match->headers[i].value)) < 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

json_t *match_json(const struct fault_match *match)
{
    json_t *object = json_object();
    if (object == NULL)
        return NULL;
    bool failed = pattern_write(object, "path", &match->path) < 0 ||
                  pattern_write(object, "method", &match->method) < 0 ||
                  (match->headers_count != 0 &&
                   json_object_set_new(object, "header", headers_json(match)) < 0) ||
                  pattern_write(object, "model", &match->model) < 0 ||
                  (match->stream >= 0 &&
                   json_object_set_new(object, "stream", json_boolean(match->stream)) < 0);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* ---- is it one? ---- */

/* Most of what does not fit has another length, or is shorter than the pattern. */
static bool pattern_fits(const struct fault_pattern *pattern, struct weir_slice text)
{
    if (pattern->text == NULL)
        return true;
    if (pattern->open ? text.len < pattern->bytes : text.len != pattern->bytes)
        return false;
    return pattern->bytes == 0 || memcmp(text.ptr, pattern->text, pattern->bytes) == 0;
}

static bool headers_fit(const struct fault_match *match, const struct fault_head *head)
{
    for (uint32_t i = 0; i < match->headers_count; i++) {
        const struct fault_pattern *name = &match->headers[i].name;
        struct weir_slice wanted = { (const uint8_t *)name->text, name->bytes };
        struct weir_slice value = head->header(head->ctx, wanted);
        if (value.ptr == NULL || !pattern_fits(&match->headers[i].value, value))
            return false;
    }
    return true;
}

bool fault_rule_matches_head(const struct fault_rule *rule, const struct fault_head *head)
{
    const struct fault_match *match = &rule->match;
    return rule->enabled && !fault_action_is_accept(&rule->action) &&
           pattern_fits(&match->method, head->method) && pattern_fits(&match->path, head->path) &&
           headers_fit(match, head);
}

bool match_subject(const struct fault_match *match, const struct fault_subject *subject)
{
    if (match->stream >= 0 && (match->stream != 0) != subject->stream)
        return false;
    return pattern_fits(&match->model, subject->model);
}
