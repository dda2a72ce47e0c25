/* SPDX-License-Identifier: MIT */
/*
 * From a text to a tree. JSON is tried first, being what a program sends; what is no JSON may be
 * YAML. If it is neither, the error of the one that came further is told: that is what was meant.
 */
#include "mock/config/config.h"

#include "mock/config/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_FILE_BYTES_MAX (4U << 20)

static json_t *fail_at(struct config_error *err, const char *name, size_t line, size_t column,
                       const char *text)
{
    err->pointer[0] = '\0';
    snprintf(err->text, sizeof err->text, "%.200s:%zu:%zu: %s", name, line, column, text);
    return NULL;
}

static json_t *fail_file(struct config_error *err, const char *path, const char *text)
{
    err->pointer[0] = '\0';
    snprintf(err->text, sizeof err->text, "%.200s: %s", path, text);
    return NULL;
}

/* Errors of a text that is JSON but for what it says. */
static bool is_meant_as_json(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
    case json_error_numeric_overflow:
    case json_error_stack_overflow:
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return true;
    default:
        return false;
    }
}

static size_t depth_of(const json_t *json, size_t max)
{
    size_t deepest = 0;
    if (json_is_array(json) && max > 0) {
        for (size_t i = 0; i < json_array_size(json); i++) {
            size_t depth = depth_of(json_array_get(json, i), max - 1);
            deepest = depth > deepest ? depth : deepest;
        }
    } else if (json_is_object(json) && max > 0) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)json, key, value)
        {
            size_t depth = depth_of(value, max - 1);
            deepest = depth > deepest ? depth : deepest;
        }
    }
    return deepest + (json_is_array(json) || json_is_object(json));
}

json_t *config_read_text(struct weir_slice text, const char *name, struct config_error *err)
{
    json_error_t json_error;
    json_t *tree = json_loadb(text.len > 0 ? (const char *)text.ptr : "", text.len,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &json_error);
    if (tree != NULL) {
        if (depth_of(tree, YAML_DEPTH_MAX + 1) <= YAML_DEPTH_MAX)
            return tree;
        json_decref(tree);
        return fail_at(err, name, 1, 1, "nests deeper than 32");
    }
    size_t json_line = json_error.line > 0 ? (size_t)json_error.line : 1;
    size_t json_column = json_error.column > 0 ? (size_t)json_error.column : 1;
    if (is_meant_as_json(&json_error))
        return fail_at(err, name, json_line, json_column, json_error.text);
    struct yaml_error yaml_error;
    tree = yaml_read(text, &yaml_error);
    if (tree != NULL)
        return tree;
    bool json_is_further = json_line > yaml_error.line ||
                           (json_line == yaml_error.line && json_column >= yaml_error.column);
    if (json_is_further && !yaml_error.no_memory)
        return fail_at(err, name, json_line, json_column, json_error.text);
    if (yaml_error.no_memory)
        return fail_file(err, name, yaml_error.text);
    return fail_at(err, name, yaml_error.line, yaml_error.column, yaml_error.text);
}

/* All of the file, in memory that the caller frees; NULL with errno. */
static char *read_all(int fd, size_t *len)
{
    const size_t capacity = READ_FILE_BYTES_MAX + 1;
    char *bytes = malloc(capacity);
    if (bytes == NULL)
        return NULL;
    for (*len = 0; *len < capacity;) {
        ssize_t got = read(fd, bytes + *len, capacity - *len);
        if (got == 0)
            return bytes;
        if (got > 0)
            *len += (size_t)got;
        else if (errno != EINTR)
            break;
    }
    if (*len == capacity)
        errno = EFBIG;
    int err = errno;
    free(bytes);
    errno = err;
    return NULL;
}

json_t *config_read_file(const char *path, struct config_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_file(err, path, weir_strerror(-errno));
    size_t len;
    char *bytes = read_all(fd, &len);
    int read_error = errno;
    close(fd);
    if (bytes == NULL)
        return fail_file(err, path,
                         read_error == EFBIG ? "longer than 4 MiB" : weir_strerror(-read_error));
    struct weir_slice text = { .ptr = (const uint8_t *)bytes, .len = len };
    json_t *tree = config_read_text(text, path, err);
    free(bytes);
    return tree;
}
