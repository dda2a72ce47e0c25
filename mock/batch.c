/* SPDX-License-Identifier: MIT */
#include "mock/batch.h"

#include "mock/models.h"

#include <weir/json.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GOOD "{\"status\":200,\"body\":" BATCH_INFER_BODY "}"

/*
 * Digits up to which a number surely fits whatever a parser reads it into. With an exponent none
 * does.
 */
#define NUMBER_BYTES_PLAIN 15

static int batch_fail(struct body_error *err, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int batch_fail(struct body_error *err, uint16_t status, const char *format, ...)
{
    *err = (struct body_error){ .status = status, .type = "invalid_request", .field = "body" };
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return -EINVAL;
}

/* ---- Requests that are plainly good ------------------------------------------------------ */

enum batch_field {
    BATCH_MODEL_ID,
    BATCH_PROMPT,
    BATCH_MAX_TOKENS,
    BATCH_TEMPERATURE,
    BATCH_TOP_P,
    BATCH_FIELD_COUNT
};

static const char *const batch_fields[] = {
    [BATCH_MODEL_ID] = "model_id",     [BATCH_PROMPT] = "prompt",
    [BATCH_MAX_TOKENS] = "max_tokens", [BATCH_TEMPERATURE] = "temperature",
    [BATCH_TOP_P] = "top_p",
};
_Static_assert(sizeof batch_fields / sizeof batch_fields[0] == BATCH_FIELD_COUNT, "one each");

/* The field called `name`; BATCH_FIELD_COUNT for any other. */
static enum batch_field batch_field_find(struct weir_slice name)
{
    for (int f = 0; f < BATCH_FIELD_COUNT; f++)
        if (name.len == strlen(batch_fields[f]) && memcmp(name.ptr, batch_fields[f], name.len) == 0)
            return (enum batch_field)f;
    return BATCH_FIELD_COUNT;
}

/* A string without \u escapes, the only ones that can stand for what is no character. */
static bool batch_is_plain_string(struct weir_slice value)
{
    if (value.ptr[0] != '"')
        return false;
    const uint8_t *end = value.ptr + value.len, *p = value.ptr;
    while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        if (p[1] == 'u')
            return false;
        p += 2;
    }
    return true;
}

static bool batch_is_plain_number(struct weir_slice value)
{
    bool number = value.ptr[0] == '-' || (value.ptr[0] >= '0' && value.ptr[0] <= '9');
    return number && value.len <= NUMBER_BYTES_PLAIN && memchr(value.ptr, 'e', value.len) == NULL &&
           memchr(value.ptr, 'E', value.len) == NULL;
}

static bool batch_is_plain(enum batch_field field, struct weir_slice value)
{
    switch (field) {
    case BATCH_MODEL_ID:
    case BATCH_PROMPT:
        return batch_is_plain_string(value);
    case BATCH_MAX_TOKENS:
        return value.ptr[0] != '-' && batch_is_plain_number(value) &&
               memchr(value.ptr, '.', value.len) == NULL;
    case BATCH_TEMPERATURE:
    case BATCH_TOP_P:
        return batch_is_plain_number(value);
    default:
        return false;
    }
}

/* A known model; its name is ours, so it stands there without escapes. */
static bool batch_is_known(struct weir_slice value)
{
    return models_find((struct weir_slice){ value.ptr + 1, value.len - 2 }) != MODEL_UNKNOWN;
}

/*
 * Is this a request that body_check() takes, seen at a glance? Then it needs no tree of values,
 * which takes ten times as long. Whatever is unusual is not: body_check() has the last word on it,
 * and the error text.
 */
static bool batch_item_is_plain(struct weir_slice item, bool strict)
{
    struct weir_json_walk walk;
    struct weir_slice name, value;
    unsigned seen = 0;
    int rc = weir_json_object_begin(&walk, item);
    while (rc == 0 && (rc = weir_json_object_next(&walk, &name, &value)) > 0) {
        enum batch_field field = batch_field_find(name);
        if ((seen >> field & 1U) != 0 || !batch_is_plain(field, value))
            return false;
        if (field == BATCH_MODEL_ID && strict && !batch_is_known(value))
            return false;
        seen |= 1U << field;
        rc = 0;
    }
    const unsigned must = 1U << BATCH_MODEL_ID | 1U << BATCH_PROMPT;
    return rc == 0 && (seen & must) == must;
}

/* ---- The answer -------------------------------------------------------------------------- */

static void batch_answer_item(struct text *out, struct weir_slice item, bool strict)
{
    struct body_error err;
    int model;
    if (batch_item_is_plain(item, strict) ||
        body_check(ENDPOINT_INFER, item, strict, &model, &err) == 0) {
        text_add(out, GOOD, sizeof GOOD - 1);
        return;
    }
    text_printf(out, "{\"status\":%u", (unsigned)err.status);
    size_t brace = out->len;
    body_write_error(out, err.type, err.message, err.field);
    if (!out->failed)
        out->ptr[brace] = ','; /* the error is a member of ours, not an object of its own */
}

/* The array is malformed, at walk->at. */
static int batch_fail_syntax(const struct weir_json_walk *walk, struct weir_slice body, int rc,
                             struct body_error *err)
{
    size_t at = body.len == 0 ? 0 : (size_t)(walk->at - body.ptr);
    if (rc == -EINVAL)
        return batch_fail(err, 400, "body: expected a JSON array, but it is none at byte %zu", at);
    return batch_fail(err, 400, "body: expected at most %d levels of nesting", WEIR_JSON_DEPTH_MAX);
}

int batch_answer(struct text *out, struct weir_slice body, bool strict, struct body_error *err)
{
    struct weir_json_walk walk;
    struct weir_slice items[BATCH_ITEMS_MAX], item;
    int count = 0;
    int rc = weir_json_array_begin(&walk, body);
    while (rc == 0 && (rc = weir_json_array_next(&walk, &item)) > 0) {
        if (count < BATCH_ITEMS_MAX)
            items[count] = item;
        count++;
        rc = 0;
    }
    if (rc < 0)
        return batch_fail_syntax(&walk, body, rc, err);
    if (count == 0)
        return batch_fail(err, 400, "body: expected 1 ... %d requests, got none", BATCH_ITEMS_MAX);
    if (count > BATCH_ITEMS_MAX)
        return batch_fail(err, 413, "body: expected 1 ... %d requests, got %d", BATCH_ITEMS_MAX,
                          count);
    for (int i = 0; i < count; i++) {
        text_put(out, i == 0 ? "[" : ",");
        batch_answer_item(out, items[i], strict);
    }
    text_put(out, "]");
    return count;
}
