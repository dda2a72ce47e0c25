/* SPDX-License-Identifier: MIT */
#include "mock/body.h"

#include "mock/models.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A name that is not ours is repeated in the error, but not all of it. */
#define NAME_BYTES_SHOWN 64

static int body_fail(struct body_error *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int body_fail(struct body_error *err, const char *field, const char *format, ...)
{
    *err = (struct body_error){ .status = 400, .type = "invalid_request", .field = field };
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return -EINVAL;
}

static const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

static int body_check_string(const json_t *object, const char *field, struct body_error *err)
{
    const json_t *value = json_object_get(object, field);
    if (value == NULL)
        return body_fail(err, field, "%s: expected a string, but the field is missing", field);
    if (!json_is_string(value))
        return body_fail(err, field, "%s: expected a string, got %s", field, json_kind(value));
    return 0;
}

/* Clients write null for a sampling parameter that they leave to the server. */
static const json_t *body_optional(const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);
    return value == NULL || json_is_null(value) ? NULL : value;
}

static int body_check_count(const json_t *object, const char *field, struct body_error *err)
{
    const json_t *value = body_optional(object, field);
    if (value == NULL)
        return 0;
    if (!json_is_integer(value))
        return body_fail(err, field, "%s: expected an integer of at least 0, got %s", field,
                         json_kind(value));
    if (json_integer_value(value) < 0)
        return body_fail(err, field, "%s: expected an integer of at least 0, got %lld", field,
                         (long long)json_integer_value(value));
    return 0;
}

static int body_check_number(const json_t *object, const char *field, struct body_error *err)
{
    const json_t *value = body_optional(object, field);
    if (value != NULL && !json_is_number(value))
        return body_fail(err, field, "%s: expected a number, got %s", field, json_kind(value));
    return 0;
}

static int body_find_model(const json_t *object, bool strict, int *model, struct body_error *err)
{
    const json_t *value = json_object_get(object, "model_id");
    struct weir_slice id = { (const uint8_t *)json_string_value(value), json_string_length(value) };
    *model = models_find(id);
    if (*model != MODEL_UNKNOWN || !strict)
        return 0;
    int shown = id.len > NAME_BYTES_SHOWN ? NAME_BYTES_SHOWN : (int)id.len;
    body_fail(err, "model_id", "model_id: expected one of %s, %s, got '%.*s%s'", models_id(0),
              models_id(1), shown, (const char *)id.ptr, shown < (int)id.len ? "..." : "");
    err->status = 404;
    err->type = "not_found";
    return -EINVAL;
}

static int body_check_object(enum endpoint endpoint, const json_t *object, struct body_error *err)
{
    if (!json_is_object(object))
        return body_fail(err, "body", "body: expected a JSON object, got %s", json_kind(object));
    int rc = body_check_string(object, "model_id", err);
    if (rc < 0 || endpoint != ENDPOINT_INFER)
        return rc;
    rc = body_check_string(object, "prompt", err);
    if (rc == 0)
        rc = body_check_count(object, "max_tokens", err);
    if (rc == 0)
        rc = body_check_number(object, "temperature", err);
    if (rc == 0)
        rc = body_check_number(object, "top_p", err);
    return rc;
}

int body_check(enum endpoint endpoint, struct weir_slice body, bool strict, int *model,
               struct body_error *err)
{
    *model = MODEL_UNKNOWN;
    if (body.len == 0)
        return body_fail(err, "body", "body: expected a JSON object, got nothing");
    json_error_t at;
    json_t *object = json_loadb((const char *)body.ptr, body.len, JSON_DECODE_ANY, &at);
    if (object == NULL)
        return body_fail(err, "body", "body: expected a JSON object, but at byte %d: %s",
                         at.position, at.text);
    int rc = body_check_object(endpoint, object, err);
    if (rc == 0)
        rc = body_find_model(object, strict, model, err);
    json_decref(object);
    return rc;
}

void body_write_error(struct text *text, const char *type, const char *message, const char *field)
{
    text_put(text, "{\"error\":{\"message\":");
    text_json(text, (struct weir_slice){ (const uint8_t *)message, strlen(message) });
    text_printf(text, ",\"type\":\"%s\",\"field\":", type);
    if (field == NULL)
        text_put(text, "null");
    else
        text_printf(text, "\"%s\"", field);
    text_put(text, "}}");
}
