/* SPDX-License-Identifier: MIT */
#include "mock/api/body.h"

#include "mock/api/ask.h"
#include "mock/api/node.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* A name that is not ours is repeated in the error, but not all of it. */
#define NAME_BYTES_SHOWN 64
/* Ours are listed as far as they fit beside it. */
#define LIST_BYTES_SHOWN 160

int body_fail(struct body_error *err, const char *field, const char *format, ...)
{
    if (err == NULL)
        return -EINVAL;
    *err = (struct body_error){ .status = 400, .type = "invalid_request", .field = field };
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return -EINVAL;
}

int body_fail_syntax(struct body_error *err, struct weir_slice body, const json_error_t *at)
{
    if (body.len == 0)
        return body_fail(err, "body", "body: expected a JSON object, got nothing");
    return body_fail(err, "body", "body: expected a JSON object, but at byte %d: %s", at->position,
                     at->text);
}

/* "bitnet-7b, llama-13b", with "..." for those that do not fit. */
static void list_models(const struct config *config, char *out, size_t capacity)
{
    static const char more[] = "...";
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < config->models_count; i++) {
        const char *comma = i == 0 ? "" : ", ", *id = config->models[i].id;
        if (len + strlen(comma) + strlen(id) + sizeof ", ..." > capacity) {
            snprintf(out + len, capacity - len, "%s%s", comma, more);
            return;
        }
        len += (size_t)snprintf(out + len, capacity - len, "%s%s", comma, id);
    }
}

int body_fail_model(struct body_error *err, const char *field, const struct config *config,
                    struct weir_slice id)
{
    if (err == NULL)
        return -EINVAL;
    char list[LIST_BYTES_SHOWN];
    list_models(config, list, sizeof list);
    int shown = id.len > NAME_BYTES_SHOWN ? NAME_BYTES_SHOWN : (int)id.len;
    body_fail(err, field, "%s: expected one of %s, got '%.*s%s'", field, list, shown,
              (const char *)id.ptr, (size_t)shown < id.len ? "..." : "");
    err->status = 404;
    err->type = "not_found";
    return -EINVAL;
}

static int check_model_id(struct node object, const struct config *config, int *model,
                          struct body_error *err)
{
    static const struct weir_slice names[] = { { (const uint8_t *)"model_id", 8 } };
    struct node value;
    if (object.kind != NODE_OBJECT)
        return body_fail(err, "body", "body: expected a JSON object, got %s",
                         node_kind_name(object.kind));
    if (!node_members(object, names, 1, &value))
        return -EINVAL;
    enum node_kind kind = value.kind;
    if (kind == NODE_MISSING)
        return body_fail(err, "model_id", "model_id: expected a string, but the field is missing");
    if (kind != NODE_STRING)
        return body_fail(err, "model_id", "model_id: expected a string, got %s",
                         node_kind_name(kind));
    if (value.escapes)
        return -EINVAL;
    struct weir_slice id = node_text(value);
    *model = config_find_model(config, id);
    if (*model == MODEL_UNKNOWN && config->strict_models)
        return body_fail_model(err, "model_id", config, id);
    return 0;
}

int body_check(enum endpoint endpoint, struct weir_slice body, const struct config *config,
               int *model, struct body_error *err)
{
    *model = MODEL_UNKNOWN;
    if (endpoint == ENDPOINT_INFER) {
        struct ask ask;
        int rc = ask_read(&ask, endpoint, body, config, err);
        if (rc == 0)
            *model = ask.model;
        return rc;
    }
    struct node object;
    if (node_in_place(&object, body) && check_model_id(object, config, model, NULL) == 0)
        return 0;
    *model = MODEL_UNKNOWN;
    json_error_t at;
    int rc = node_from_tree(&object, body, &at);
    if (rc < 0)
        return body_fail_syntax(err, body, &at);
    rc = check_model_id(object, config, model, err);
    node_drop_tree(&object);
    return rc;
}

void body_write_error(struct text *text, const char *type, const char *message, const char *field)
{
    text_put(text, "{\"error\":{\"message\":");
    text_json(text, (struct weir_slice){ (const uint8_t *)message, strlen(message) });
    text_put(text, ",\"type\":\"");
    text_put(text, type);
    text_put(text, "\",\"field\":");
    if (field == NULL) {
        text_put(text, "null");
    } else {
        text_json(text, (struct weir_slice){ (const uint8_t *)field, strlen(field) });
    }
    text_put(text, "}}");
}
