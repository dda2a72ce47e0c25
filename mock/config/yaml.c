/* SPDX-License-Identifier: MIT */
#include "mock/config/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define YAML_NUMBER_BYTES 400 /* longer is no number that anybody writes */

struct yaml_reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the last one; owned until the next */
    struct yaml_error *err;
    uint32_t depth;
};

__attribute__((format(printf, 3, 4))) static json_t *
fail_at(struct yaml_reader *reader, yaml_mark_t mark, const char *format, ...)
{
    reader->err->line = mark.line + 1;
    reader->err->column = mark.column + 1;
    va_list args;
    va_start(args, format);
    vsnprintf(reader->err->text, sizeof reader->err->text, format, args);
    va_end(args);
    return NULL;
}

static json_t *fail_memory(struct yaml_reader *reader)
{
    reader->err->no_memory = true;
    snprintf(reader->err->text, sizeof reader->err->text, "out of memory");
    return NULL;
}

/* What libyaml says is wrong; where it can, it tells what it was in the middle of. */
static bool fail_parser(struct yaml_reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "not YAML";
    if (parser->error == YAML_MEMORY_ERROR) {
        fail_memory(reader);
    } else if (parser->error == YAML_READER_ERROR) {
        /* An offset is all there is: the text has not come as far as lines. */
        fail_at(reader, parser->mark, "%s at byte %zu", problem, parser->problem_offset);
    } else {
        fail_at(reader, parser->problem_mark, "%s%s%s", problem, parser->context != NULL ? " " : "",
                parser->context != NULL ? parser->context : "");
    }
    return false;
}

static bool next_event(struct yaml_reader *reader)
{
    yaml_event_delete(&reader->event);
    if (yaml_parser_parse(&reader->parser, &reader->event) == 0) {
        reader->event = (yaml_event_t){ .type = YAML_NO_EVENT };
        return fail_parser(reader);
    }
    return true;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static size_t digits_of(const char *text)
{
    return strspn(text, "0123456789");
}

/* [-+]? [0-9]+ | 0o [0-7]+ | 0x [0-9a-fA-F]+; *base is for strtoll(), *digits where it begins. */
static bool is_integer(const char *text, int *base, const char **digits)
{
    *digits = text;
    if (strncmp(text, "0o", 2) == 0 || strncmp(text, "0x", 2) == 0) {
        *base = text[1] == 'o' ? 8 : 16;
        *digits = text + 2;
        const char *allowed = *base == 8 ? "01234567" : "0123456789abcdefABCDEF";
        size_t len = strspn(*digits, allowed);
        return len > 0 && (*digits)[len] == '\0';
    }
    *base = 10;
    text += *text == '-' || *text == '+';
    size_t len = digits_of(text);
    return len > 0 && text[len] == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_real(const char *text)
{
    text += *text == '-' || *text == '+';
    size_t whole = digits_of(text), fraction = 0;
    text += whole;
    if (*text == '.') {
        fraction = digits_of(text + 1);
        text += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = digits_of(text);
        if (exponent == 0)
            return false;
        text += exponent;
    }
    return *text == '\0';
}

static bool is_infinite_or_nan(const char *text)
{
    static const char *const words[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL };
    return is_one_of(text + (*text == '-' || *text == '+'), words);
}

static json_t *plain_number(struct yaml_reader *reader, const char *text, yaml_mark_t mark)
{
    int base;
    const char *digits;
    if (is_integer(text, &base, &digits)) {
        errno = 0;
        long long value = strtoll(digits, NULL, base);
        if (errno == ERANGE)
            return fail_at(reader, mark, "a number that does not fit into 64 bits");
        return json_integer(value);
    }
    errno = 0;
    double value = strtod(text, NULL);
    /* Too small a number becomes 0, as in JSON. */
    if (errno == ERANGE && (value > 1 || value < -1))
        return fail_at(reader, mark, "a number that is too large");
    return json_real(value);
}

static json_t *plain_scalar(struct yaml_reader *reader, const char *text, size_t len,
                            yaml_mark_t mark)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };
    int base;
    const char *digits;
    if (is_one_of(text, nulls))
        return json_null();
    if (is_one_of(text, trues))
        return json_true();
    if (is_one_of(text, falses))
        return json_false();
    if (is_infinite_or_nan(text))
        return fail_at(reader, mark, "%s is no number that JSON has", text);
    if (len < YAML_NUMBER_BYTES && (is_integer(text, &base, &digits) || is_real(text)))
        return plain_number(reader, text, mark);
    return json_stringn(text, len);
}

/* The text of the scalar that is the event, checked for what no string here can have. */
static const char *scalar_text(struct yaml_reader *reader)
{
    const char *text = (const char *)reader->event.data.scalar.value;
    if (memchr(text, '\0', reader->event.data.scalar.length) == NULL)
        return text;
    fail_at(reader, reader->event.start_mark, "a NUL in a text");
    return NULL;
}

/* Anchors and tags, of whatever kind of event. */
static bool check_plain(struct yaml_reader *reader)
{
    const yaml_event_t *event = &reader->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT) {
        fail_at(reader, event->start_mark, "an alias (*%.60s): write out what it stands for",
                (const char *)event->data.alias.anchor);
        return false;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL)
        fail_at(reader, event->start_mark, "an anchor (&%.60s): there are no aliases here",
                (const char *)anchor);
    else if (tag != NULL)
        fail_at(reader, event->start_mark, "a tag (%.60s): a value's type is what it is written as",
                (const char *)tag);
    return anchor == NULL && tag == NULL;
}

static json_t *read_value(struct yaml_reader *reader);

static json_t *read_sequence(struct yaml_reader *reader)
{
    json_t *array = json_array();
    while (array != NULL) {
        if (!next_event(reader))
            break;
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            return array;
        json_t *value = read_value(reader);
        if (value == NULL)
            break;
        if (json_array_append_new(array, value) < 0) {
            fail_memory(reader);
            break;
        }
    }
    json_decref(array);
    return NULL;
}

/* The key that is the event, the caller's to free(); NULL with the error. */
static char *read_key(struct yaml_reader *reader, const json_t *object)
{
    if (!check_plain(reader))
        return NULL;
    yaml_mark_t mark = reader->event.start_mark;
    if (reader->event.type != YAML_SCALAR_EVENT) {
        fail_at(reader, mark, "a key that is no text");
        return NULL;
    }
    const char *text = scalar_text(reader);
    if (text == NULL)
        return NULL;
    if (json_object_get(object, text) != NULL) {
        fail_at(reader, mark, "the key \"%.60s\" is there already", text);
        return NULL;
    }
    char *key = strdup(text);
    if (key == NULL)
        fail_memory(reader);
    return key;
}

static json_t *read_mapping(struct yaml_reader *reader)
{
    json_t *object = json_object();
    while (object != NULL) {
        if (!next_event(reader))
            break;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return object;
        char *key = read_key(reader, object);
        if (key == NULL)
            break;
        json_t *value = next_event(reader) ? read_value(reader) : NULL;
        int err = value != NULL ? json_object_set_new(object, key, value) : 0;
        free(key);
        if (err < 0)
            fail_memory(reader);
        if (value == NULL || err < 0)
            break;
    }
    json_decref(object);
    return NULL;
}

/* The value that begins with the event. */
static json_t *read_value(struct yaml_reader *reader)
{
    if (!check_plain(reader))
        return NULL;
    yaml_event_type_t type = reader->event.type;
    yaml_mark_t mark = reader->event.start_mark;
    json_t *value = NULL;
    if (type == YAML_SCALAR_EVENT) {
        const char *text = scalar_text(reader);
        if (text == NULL)
            return NULL;
        size_t len = reader->event.data.scalar.length;
        value = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE
                    ? plain_scalar(reader, text, len, mark)
                    : json_stringn(text, len);
    } else {
        if (reader->depth == YAML_DEPTH_MAX)
            return fail_at(reader, mark, "nests deeper than %d", YAML_DEPTH_MAX);
        reader->depth++;
        value = type == YAML_SEQUENCE_START_EVENT ? read_sequence(reader) : read_mapping(reader);
        reader->depth--;
    }
    return value != NULL || reader->err->line != 0 ? value : fail_memory(reader);
}

static json_t *read_stream(struct yaml_reader *reader)
{
    /* The begin of the stream, then of the document or the end of the stream. */
    if (!next_event(reader) || !next_event(reader))
        return NULL;
    if (reader->event.type == YAML_STREAM_END_EVENT)
        return json_object();
    json_t *value = next_event(reader) ? read_value(reader) : NULL;
    if (value == NULL)
        return NULL;
    /* The end of the document, then of the stream. */
    if (next_event(reader) && next_event(reader)) {
        if (reader->event.type == YAML_STREAM_END_EVENT)
            return value;
        fail_at(reader, reader->event.start_mark, "a second document: there can be only one");
    }
    json_decref(value);
    return NULL;
}

json_t *yaml_read(struct weir_slice text, struct yaml_error *err)
{
    struct yaml_reader reader = { .event = { .type = YAML_NO_EVENT }, .err = err };
    *err = (struct yaml_error){ 0 };
    if (yaml_parser_initialize(&reader.parser) == 0)
        return fail_memory(&reader);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, text.len > 0 ? text.ptr : (const uint8_t *)"",
                                 text.len);
    json_t *value = read_stream(&reader);
    if (value == NULL && err->line == 0)
        fail_memory(&reader);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    return value;
}
