/* SPDX-License-Identifier: MIT */
#include "mock/config/schema.h"

#include "mock/config/latency.h"
#include "mock/config/nearest.h"
#include "mock/fault/field.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SCHEMA_KEYS_MAX  32
#define SCHEMA_PATH_DEEP 12 /* nodes of a path: ours have four */
#define SCHEMA_LIST      480
#define NS_PER_US        1000

struct buffer {
    char *out;
    size_t len, capacity;
};

static void buffer_put(struct buffer *buffer, const char *bytes, size_t len)
{
    size_t room = buffer->capacity - 1 - buffer->len;
    len = len < room ? len : room;
    memcpy(buffer->out + buffer->len, bytes, len);
    buffer->len += len;
    buffer->out[buffer->len] = '\0';
}

/* "/key", with what RFC 6901 section 3 asks for. */
static void put_segment(struct buffer *pointer, const char *key)
{
    buffer_put(pointer, "/", 1);
    for (; *key != '\0'; key++) {
        if (*key == '~' || *key == '/')
            buffer_put(pointer, *key == '~' ? "~0" : "~1", 2);
        else
            buffer_put(pointer, key, 1);
    }
}

static void write_pointer(struct buffer *pointer, const struct schema_where *where)
{
    const struct schema_node *nodes[SCHEMA_PATH_DEEP];
    size_t count = 0;
    for (const struct schema_node *node = where->node;
         node->parent != NULL && count < SCHEMA_PATH_DEEP; node = node->parent)
        nodes[count++] = node;
    while (count > 0) {
        const struct schema_node *node = nodes[--count];
        char index[24];
        snprintf(index, sizeof index, "%zu", node->index);
        put_segment(pointer, node->key != NULL ? node->key : index);
    }
    if (where->key != NULL)
        put_segment(pointer, where->key);
    if (where->pointer != NULL)
        buffer_put(pointer, where->pointer, strlen(where->pointer));
}

/* "/faults/0/when/every" as people write it: "faults[0].when.every". */
static void write_dotted(struct buffer *dotted, const char *pointer)
{
    while (*pointer == '/') {
        const char *segment = pointer + 1;
        size_t len = strcspn(segment, "/");
        bool is_index = len > 0 && strspn(segment, "0123456789") >= len;
        if (is_index)
            buffer_put(dotted, "[", 1);
        else if (dotted->len > 0)
            buffer_put(dotted, ".", 1);
        for (size_t i = 0; i < len; i++) {
            bool escaped = segment[i] == '~' && i + 1 < len;
            i += escaped;
            char c = escaped ? (segment[i] == '0' ? '~' : '/') : segment[i];
            c = (char)(iscntrl((unsigned char)c) ? '?' : c);
            buffer_put(dotted, &c, 1);
        }
        if (is_index)
            buffer_put(dotted, "]", 1);
        pointer = segment + len;
    }
}

void schema_fail(struct schema_where where, const char *format, ...)
{
    struct schema *schema = where.node->schema;
    if (schema->result != 0)
        return;
    schema->result = -EINVAL;
    struct config_error *err = schema->err;
    *err = (struct config_error){ 0 };
    struct buffer pointer = { .out = err->pointer, .capacity = sizeof err->pointer };
    write_pointer(&pointer, &where);
    struct buffer text = { .out = err->text, .capacity = sizeof err->text };
    write_dotted(&text, err->pointer);
    buffer_put(&text, text.len > 0 ? ": " : "configuration: ", text.len > 0 ? 2 : 15);
    va_list args;
    va_start(args, format);
    vsnprintf(text.out + text.len, text.capacity - text.len, format, args);
    va_end(args);
}

void schema_fail_memory(const struct schema_node *node)
{
    if (node->schema->result == 0)
        node->schema->result = -ENOMEM;
}

static void fail_expected(const struct schema_node *node, const char *key, const char *expected,
                          const json_t *got)
{
    char shown[NEAREST_SHOWN_BYTES];
    schema_fail((struct schema_where){ .node = node, .key = key }, "expected %s, got %s", expected,
                nearest_shown(shown, got));
}

/* The value of `key`; NULL when there is none, or null, or something was wrong before. */
static const json_t *take(const struct schema_node *node, const char *key)
{
    const json_t *value = json_object_get(node->given, key);
    return node->schema->result != 0 || json_is_null(value) ? NULL : value;
}

/* Into the full tree, which takes over the reference. */
static void put_new(const struct schema_node *node, const char *key, json_t *value)
{
    if (node->schema->result == 0 && json_object_set_new_nocheck(node->full, key, value) < 0)
        schema_fail_memory(node);
    else if (node->schema->result != 0)
        json_decref(value);
}

static void put_copy(const struct schema_node *node, const char *key, const json_t *value)
{
    if (node->schema->result == 0)
        put_new(node, key, json_deep_copy(value));
}

struct schema_node schema_root(struct schema *schema, const json_t *given, json_t *full)
{
    struct schema_node root = { .schema = schema, .given = given, .full = full };
    if (given != NULL && !json_is_null(given) && !json_is_object(given))
        fail_expected(&root, NULL, "an object", given);
    return root;
}

struct schema_node schema_object(const struct schema_node *node, const char *key)
{
    struct schema_node child = { .schema = node->schema, .parent = node, .key = key };
    child.given = take(node, key);
    if (child.given != NULL && !json_is_object(child.given))
        fail_expected(node, key, "an object", child.given);
    put_new(node, key, json_object());
    child.full = json_object_get(node->full, key);
    return child;
}

struct schema_node schema_array(const struct schema_node *node, const char *key, size_t max)
{
    struct schema_node child = { .schema = node->schema, .parent = node, .key = key };
    child.given = take(node, key);
    if (child.given != NULL && !json_is_array(child.given))
        fail_expected(node, key, "an array", child.given);
    else if (json_array_size(child.given) > max)
        schema_fail((struct schema_where){ .node = &child },
                    "expected at most %zu elements, got %zu", max, json_array_size(child.given));
    put_new(node, key, json_array());
    child.full = json_object_get(node->full, key);
    return child;
}

struct schema_node schema_element(const struct schema_node *array, size_t index)
{
    struct schema_node child = { .schema = array->schema, .parent = array, .index = index };
    child.given = json_array_get(array->given, index);
    if (!json_is_object(child.given))
        fail_expected(&child, NULL, "an object", child.given);
    if (child.schema->result == 0 && json_array_append_new(array->full, json_object()) < 0)
        schema_fail_memory(array);
    child.full = json_array_get(array->full, index);
    return child;
}

static void fail_unknown(const struct schema_node *node, const char *unknown)
{
    const char *names[SCHEMA_KEYS_MAX];
    char list[SCHEMA_LIST] = "";
    struct buffer buffer = { .out = list, .capacity = sizeof list };
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(node->full, key, value)
    {
        if (count == SCHEMA_KEYS_MAX)
            break;
        buffer_put(&buffer, ", ", count > 0 ? 2 : 0);
        buffer_put(&buffer, key, strlen(key));
        names[count++] = key;
    }
    struct schema_where where = { .node = node, .key = unknown };
    const char *near = nearest_name(unknown, names, count);
    if (near != NULL)
        schema_fail(where, "no such key; did you mean %s?", near);
    else
        schema_fail(where, "no such key; there are %s", list);
}

void schema_end(const struct schema_node *node)
{
    const char *key;
    json_t *value;
    if (node->schema->result != 0)
        return;
    json_object_foreach((json_t *)node->given, key, value)
    {
        if (json_object_get(node->full, key) == NULL) {
            fail_unknown(node, key);
            return; /* one is enough, and each costs a comparison with all that are known */
        }
    }
}

bool schema_bool(const struct schema_node *node, const char *key, bool fallback)
{
    const json_t *value = take(node, key);
    if (value != NULL && !json_is_boolean(value))
        fail_expected(node, key, "true or false", value);
    bool result = node->schema->result == 0 && value != NULL ? json_is_true(value) : fallback;
    put_new(node, key, json_boolean(result));
    return result;
}

int64_t schema_integer(const struct schema_node *node, const char *key, struct schema_range range)
{
    const json_t *value = take(node, key);
    int64_t result = range.fallback;
    if (value != NULL &&
        (!field_integer(value, &result) || result < range.min || result > range.max)) {
        char expected[96];
        snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, range.min,
                 range.max);
        fail_expected(node, key, expected, value);
        result = range.fallback;
    }
    put_new(node, key, json_integer(result));
    return result;
}

uint64_t schema_us(const struct schema_node *node, const char *key, uint64_t fallback_us)
{
    return NS_PER_US * (uint64_t)schema_integer(
                           node, key,
                           (struct schema_range){ 0, (int64_t)(WEIR_DIST_NS_MAX / NS_PER_US),
                                                  (int64_t)fallback_us });
}

static json_t *scaled_json(const struct schema_scale *scale, uint64_t value)
{
    if (value % scale->per_us == 0)
        return json_integer((json_int_t)(value / scale->per_us));
    return json_real((double)value / (double)scale->per_us);
}

uint64_t schema_scaled(const struct schema_node *node, const char *key, struct schema_scale scale)
{
    const json_t *value = take(node, key);
    if (value == NULL) {
        put_new(node, key, scaled_json(&scale, scale.fallback));
        return scale.fallback;
    }
    double result = json_is_number(value) ? json_number_value(value) * (double)scale.per_us : -1;
    double rounded = rint(result);
    /* What a double can be wrong by: 750.3 is not exactly that. */
    if (!(result >= 0 && rounded <= (double)scale.max) ||
        fabs(result - rounded) > 1e-3 + result * 1e-15) {
        char expected[128];
        snprintf(expected, sizeof expected,
                 "a number of microseconds from 0 to %.15g with at most %d decimal places",
                 (double)scale.max / (double)scale.per_us, scale.per_us == NS_PER_US ? 3 : 6);
        fail_expected(node, key, expected, value);
        return scale.fallback;
    }
    put_copy(node, key, value);
    return (uint64_t)rounded;
}

double schema_real(const struct schema_node *node, const char *key, double max, double fallback)
{
    const json_t *value = take(node, key);
    if (value == NULL) {
        put_new(node, key,
                rint(fallback) == fallback ? json_integer((json_int_t)fallback)
                                           : json_real(fallback));
        return fallback;
    }
    double result = json_is_number(value) ? json_number_value(value) : -1;
    if (!(result >= 0 && result <= max)) {
        char expected[64];
        snprintf(expected, sizeof expected, "a number from 0 to %.15g", max);
        fail_expected(node, key, expected, value);
        return fallback;
    }
    put_copy(node, key, value);
    return result;
}

static void fail_choice(const struct schema_node *node, const char *key,
                        const struct schema_names *names, const json_t *got)
{
    char list[SCHEMA_LIST] = "", shown[NEAREST_SHOWN_BYTES];
    struct buffer buffer = { .out = list, .capacity = sizeof list };
    for (size_t i = 0; i < names->count; i++) {
        if (i > 0)
            buffer_put(&buffer, i + 1 < names->count ? ", " : " or ", i + 1 < names->count ? 2 : 4);
        buffer_put(&buffer, "\"", 1);
        buffer_put(&buffer, names->names[i], strlen(names->names[i]));
        buffer_put(&buffer, "\"", 1);
    }
    const char *near = json_is_string(got)
                           ? nearest_name(json_string_value(got), names->names, names->count)
                           : NULL;
    schema_fail((struct schema_where){ .node = node, .key = key }, "expected %s, got %s%s%s%s",
                list, nearest_shown(shown, got), near != NULL ? "; did you mean \"" : "",
                near != NULL ? near : "", near != NULL ? "\"?" : "");
}

int schema_choice(const struct schema_node *node, const char *key, struct schema_names names)
{
    const json_t *value = take(node, key);
    if (value == NULL) {
        put_new(node, key,
                names.fallback < 0 ? json_null() : json_string(names.names[names.fallback]));
        return names.fallback;
    }
    char digits[24] = "";
    if (json_is_integer(value))
        snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    const char *text = json_is_string(value) ? json_string_value(value) : digits;
    for (size_t i = 0; i < names.count; i++) {
        if (strcmp(names.names[i], text) != 0)
            continue;
        put_copy(node, key, value);
        return (int)i;
    }
    fail_choice(node, key, &names, value);
    return names.fallback;
}

static bool is_name(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (text == NULL || len == 0 || len >= CONFIG_NAME_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)text[i]))
            return false;
    return true;
}

void schema_name(const struct schema_node *node, const char *key, char out[CONFIG_NAME_BYTES],
                 const char *fallback)
{
    const json_t *value = take(node, key);
    out[0] = '\0';
    if (node->schema->result != 0)
        return;
    if (value == NULL && fallback == NULL) {
        schema_fail((struct schema_where){ .node = node, .key = key }, "missing");
        return;
    }
    if (value != NULL && !is_name(value)) {
        fail_expected(node, key, "a text of 1 to 95 bytes without control characters", value);
        return;
    }
    snprintf(out, CONFIG_NAME_BYTES, "%s", value != NULL ? json_string_value(value) : fallback);
    put_new(node, key, json_string(out));
}

/* What latency_parse() says, below `key`. */
struct schema_spec_error {
    char pointer[96];
    char text[400];
};

static void fail_spec(const struct schema_node *node, const char *key, int result,
                      const struct schema_spec_error *err)
{
    if (result == -ENOMEM)
        schema_fail_memory(node);
    else
        schema_fail((struct schema_where){ .node = node, .key = key, .pointer = err->pointer },
                    "%s", err->text);
}

struct weir_dist *schema_latency(const struct schema_node *node, const char *key,
                                 const char *fallback)
{
    if (node->schema->result != 0)
        return NULL;
    struct weir_dist *dist = NULL;
    const json_t *value = take(node, key);
    if (value != NULL)
        put_copy(node, key, value);
    else
        put_new(node, key, fallback != NULL ? json_string(fallback) : json_null());
    const json_t *full = json_object_get(node->full, key);
    if (full == NULL || json_is_null(full))
        return NULL;
    struct schema_spec_error err;
    int result =
        latency_parse(&dist, full, err.pointer, sizeof err.pointer, err.text, sizeof err.text);
    if (result < 0)
        fail_spec(node, key, result, &err);
    return dist;
}

struct weir_dist *schema_tokens(const struct schema_node *node, const char *key)
{
    struct weir_dist *dist = NULL;
    const json_t *value = take(node, key);
    if (value == NULL) {
        put_new(node, key, json_null());
        return NULL;
    }
    put_copy(node, key, value);
    struct schema_spec_error err;
    int result = latency_parse_tokens(&dist, value, err.pointer, sizeof err.pointer, err.text,
                                      sizeof err.text);
    if (result < 0)
        fail_spec(node, key, result, &err);
    return dist;
}
