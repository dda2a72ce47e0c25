/* SPDX-License-Identifier: MIT */
#include "mock/fault/field.h"

#include "mock/config/nearest.h"

#include <weir/units.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US 1000

/* Of what somebody else wrote so much is repeated. */
#define SHOWN_BYTES 60

/* A key as a reference token of RFC 6901 section 3, cut where it does not fit. */
static void pointer_append(char *pointer, size_t bytes, const char *key)
{
    size_t at = strlen(pointer);
    if (at + 1 < bytes)
        pointer[at++] = '/';
    for (; *key != '\0' && at + 2 < bytes; key++) {
        if (*key == '~' || *key == '/') {
            pointer[at++] = '~';
            pointer[at++] = *key == '~' ? '0' : '1';
        } else {
            pointer[at++] = *key;
        }
    }
    /* No part of a UTF-8 sequence stays when the key was cut. */
    if (*key != '\0')
        while (at > 0 && (pointer[at - 1] & 0x80))
            at--;
    pointer[at] = '\0';
}

static void place_point(const struct field_place *place, const char *key)
{
    struct fault_error *err = place->err;
    *err = (struct fault_error){ .text = "" };
    if (place->pointer == NULL)
        return;
    snprintf(err->pointer, sizeof err->pointer, "%s", place->pointer);
    if (key != NULL)
        pointer_append(err->pointer, sizeof err->pointer, key);
}

int field_fail(const struct field_place *place, const char *key, const char *format, ...)
{
    struct fault_error *err = place->err;
    place_point(place, key);
    int at = 0;
    if (place->pointer == NULL && key != NULL)
        at = snprintf(err->text, sizeof err->text, "%.*s: ", SHOWN_BYTES, key);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text + at, sizeof err->text - (size_t)at, format, args);
    va_end(args);
    return -EINVAL;
}

int field_fail_got(const struct field_place *place, const char *key, const char *wanted,
                   const json_t *got)
{
    char shown[NEAREST_SHOWN_BYTES];
    return field_fail(place, key, "expected %s, got %s", wanted, nearest_shown(shown, got));
}

int field_fail_unknown(const struct field_place *place, const char *key, const char *const *known,
                       size_t count)
{
    const char *near = nearest_name(key, known, count);
    if (near != NULL)
        return field_fail(place, key, "%s has no such key; did you mean %s?", place->owner, near);
    if (count == 0)
        return field_fail(place, key, "%s has no keys", place->owner);
    char list[300] = "";
    size_t at = 0;
    for (size_t i = 0; i < count && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i == 0 ? "" : ", ", known[i]);
    return field_fail(place, key, "%s has no such key; it has %s", place->owner, list);
}

int field_fail_inside(const struct field_place *place, const char *key, const char *inner,
                      const char *text)
{
    field_fail(place, key, "%s", text);
    size_t at = strlen(place->err->pointer);
    if (place->pointer != NULL)
        snprintf(place->err->pointer + at, sizeof place->err->pointer - at, "%s", inner);
    return -EINVAL;
}

static void *member_of(const struct field *field, void *base)
{
    return (char *)base + field->offset;
}

/* In two's complement the low bytes of a number are the shorter number. */
static void integer_store(const struct field *field, void *base, int64_t value)
{
    void *member = member_of(field, base);
    if (field->bytes == sizeof(uint16_t))
        *(uint16_t *)member = (uint16_t)value;
    else if (field->bytes == sizeof(uint32_t))
        *(uint32_t *)member = (uint32_t)value;
    else
        *(uint64_t *)member = (uint64_t)value;
}

static int64_t integer_load(const struct field *field, const void *base)
{
    const void *member = (const char *)base + field->offset;
    if (field->bytes == sizeof(uint16_t))
        return *(const uint16_t *)member;
    if (field->bytes == sizeof(uint32_t))
        return field->min < 0 ? *(const int32_t *)member : (int64_t) * (const uint32_t *)member;
    return *(const int64_t *)member;
}

/* The key as whoever wrote it knows it. */
static const char *called(const struct field *field, const struct field_place *place)
{
    return place->pointer == NULL && field->word != NULL ? field->word : field->key;
}

static int integer_fail(const struct field *field, const json_t *got,
                        const struct field_place *place)
{
    char wanted[96];
    snprintf(wanted, sizeof wanted, "an integer of %" PRId64 " ... %" PRId64, field->min,
             field->max);
    return field_fail_got(place, called(field, place), wanted, got);
}

/* Doubles that are integers are exact up to here: 2 to the power of 53. */
#define EXACT_MAX 9007199254740992.0

bool field_integer(const json_t *value, int64_t *out)
{
    *out = json_integer_value(value);
    if (!json_is_real(value))
        return json_is_integer(value);
    double real = json_real_value(value);
    if (!(fabs(real) <= EXACT_MAX) || rint(real) != real)
        return false;
    *out = (int64_t)real;
    return true;
}

static int integer_read(const struct field *field, void *base, const json_t *value,
                        const struct field_place *place)
{
    int64_t number;
    if (!field_integer(value, &number) || number < field->min || number > field->max)
        return integer_fail(field, value, place);
    integer_store(field, base, number);
    return 0;
}

static int duration_read(const struct field *field, void *base, const json_t *value,
                         const struct field_place *place)
{
    uint64_t *member = member_of(field, base);
    if (field->forever && json_is_string(value) &&
        strcmp(json_string_value(value), "forever") == 0) {
        *member = FAULT_FOREVER;
        return 0;
    }
    int64_t number;
    if (field_integer(value, &number) && number >= field->min && number <= field->max) {
        *member = (uint64_t)number * NS_PER_US;
        return 0;
    }
    char wanted[128];
    snprintf(wanted, sizeof wanted, "microseconds, an integer of %" PRId64 " ... %" PRId64 "%s",
             field->min, field->max, field->forever ? ", or \"forever\"" : "");
    return field_fail_got(place, called(field, place), wanted, value);
}

static int name_read(const struct field *field, void *base, const json_t *value,
                     const struct field_place *place)
{
    char wanted[128] = "";
    size_t at = 0;
    for (size_t i = 0; i < field->names_count; i++) {
        const char *name = field->names[i];
        if (json_is_string(value) && strcmp(json_string_value(value), name) == 0) {
            integer_store(field, base, (int64_t)i);
            return 0;
        }
        if (at < sizeof wanted)
            at += (size_t)snprintf(wanted + at, sizeof wanted - at, "%s\"%s\"",
                                   i == 0 ? "" : " or ", name);
    }
    return field_fail_got(place, called(field, place), wanted, value);
}

int field_copy_text(char **out, const json_t *string)
{
    const char *text = json_string_value(string);
    size_t len = json_string_length(string);
    if (memchr(text, '\0', len) != NULL)
        return -EINVAL;
    char *copy = malloc(len + 1);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, text, len + 1);
    free(*out);
    *out = copy;
    return 0;
}

static int text_read(const struct field *field, void *base, const json_t *value,
                     const struct field_place *place)
{
    char **member = member_of(field, base);
    if (!json_is_string(value))
        return field_fail_got(place, called(field, place), "a string", value);
    if (json_string_length(value) > (size_t)field->max)
        return field_fail(place, called(field, place),
                          "expected at most %" PRId64 " bytes, got %zu", field->max,
                          json_string_length(value));
    int err = field_copy_text(member, value);
    return err == -EINVAL ? field_fail(place, called(field, place), "expected a string without NUL")
                          : err;
}

int field_read(const struct field *field, void *base, const json_t *value,
               const struct field_place *place)
{
    switch (field->type) {
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            return field_fail_got(place, called(field, place), "true or false", value);
        *(bool *)member_of(field, base) = json_is_true(value);
        return 0;
    case FIELD_INTEGER:
        return integer_read(field, base, value, place);
    case FIELD_SHARE:
        if (!json_is_number(value) || !(json_number_value(value) >= 0) ||
            !(json_number_value(value) <= 1))
            return field_fail_got(place, called(field, place), "a number of 0 ... 1", value);
        *(double *)member_of(field, base) = json_number_value(value);
        return 0;
    case FIELD_DURATION:
        return duration_read(field, base, value, place);
    case FIELD_NAME:
        return name_read(field, base, value, place);
    case FIELD_TEXT:
        return text_read(field, base, value, place);
    case FIELD_OTHER:
        break;
    }
    return 0;
}

static int duration_parse(const struct field *field, void *base, const char *text,
                          const struct field_place *place)
{
    uint64_t *member = member_of(field, base), ns;
    if (field->forever && strcmp(text, "forever") == 0) {
        *member = FAULT_FOREVER;
        return 0;
    }
    if (weir_parse_duration_ns(&ns, text) < 0)
        return field_fail(place, called(field, place), "%s", weir_error_text());
    uint64_t min_ns = (uint64_t)field->min * NS_PER_US, max_ns = (uint64_t)field->max * NS_PER_US;
    if (ns < min_ns || ns > max_ns)
        return field_fail(place, called(field, place),
                          "expected %" PRId64 "us ... %" PRId64 "us, got %.*s", field->min,
                          field->max, SHOWN_BYTES, text);
    *member = ns;
    return 0;
}

static int integer_parse(const struct field *field, void *base, const char *text,
                         const struct field_place *place)
{
    const char *digits = text + (field->min < 0 && (*text == '-' || *text == '+'));
    size_t len = strspn(digits, "0123456789");
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (len == 0 || digits[len] != '\0' || errno == ERANGE || value < field->min ||
        value > field->max)
        return field_fail(place, called(field, place),
                          "expected an integer of %" PRId64 " ... %" PRId64 ", got \"%.*s\"",
                          field->min, field->max, SHOWN_BYTES, text);
    integer_store(field, base, value);
    return 0;
}

int field_parse(const struct field *field, void *base, const char *text,
                const struct field_place *place)
{
    switch (field->type) {
    case FIELD_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return field_fail(place, called(field, place), "expected true or false, got \"%.*s\"",
                              SHOWN_BYTES, text);
        *(bool *)member_of(field, base) = text[0] == 't';
        return 0;
    case FIELD_INTEGER:
        return integer_parse(field, base, text, place);
    case FIELD_DURATION:
        return duration_parse(field, base, text, place);
    default:
        break;
    }
    /* The others say the same in a string of JSON. */
    json_t *value = json_string(text);
    if (value == NULL)
        return field_fail(place, called(field, place), "expected UTF-8 text");
    int err = field_read(field, base, value, place);
    json_decref(value);
    return err;
}

int field_read_all(const struct field *fields, size_t count, void *base, const json_t *object,
                   const struct field_place *place)
{
    const char *known[FIELDS_MAX];
    for (size_t i = 0; i < count; i++)
        known[i] = fields[i].key;
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (i < count && strcmp(fields[i].key, key) != 0)
            i++;
        if (i == count)
            return field_fail_unknown(place, key, known, count);
        int err = field_read(&fields[i], base, value, place);
        if (err < 0)
            return err;
    }
    return 0;
}

/* Whole shares are written as integers, as people do. @return NULL if there is no memory */
static json_t *share_json(double share)
{
    return share == 0 || share == 1 ? json_integer((json_int_t)share) : json_real(share);
}

static json_t *duration_json(uint64_t ns)
{
    return ns == FAULT_FOREVER ? json_string("forever")
                               : json_integer((json_int_t)(ns / NS_PER_US));
}

/* The member as JSON. @return NULL if there is no memory; *same: it is what it is in `defaults` */
static json_t *member_json(const struct field *field, const void *base, const void *defaults,
                           bool *same)
{
    const void *member = (const char *)base + field->offset;
    const void *other = (const char *)defaults + field->offset;
    switch (field->type) {
    case FIELD_BOOL:
        *same = *(const bool *)member == *(const bool *)other;
        return json_boolean(*(const bool *)member);
    case FIELD_INTEGER:
        *same = integer_load(field, base) == integer_load(field, defaults);
        return json_integer(integer_load(field, base));
    case FIELD_SHARE:
        *same = *(const double *)member == *(const double *)other;
        return share_json(*(const double *)member);
    case FIELD_DURATION:
        *same = *(const uint64_t *)member == *(const uint64_t *)other;
        return duration_json(*(const uint64_t *)member);
    case FIELD_NAME:
        *same = integer_load(field, base) == integer_load(field, defaults);
        return json_string(field->names[integer_load(field, base)]);
    case FIELD_TEXT:
        *same = *(char *const *)member == NULL;
        return *same ? json_null() : json_string(*(char *const *)member);
    case FIELD_OTHER:
        break;
    }
    *same = true;
    return json_null();
}

int field_write(const struct field *field, const void *base, const void *defaults, json_t *object)
{
    bool same = false;
    json_t *value = member_json(field, base, defaults, &same);
    if (value == NULL)
        return -ENOMEM;
    if (same) {
        json_decref(value);
        return 0;
    }
    return json_object_set_new(object, field->key, value) == 0 ? 0 : -ENOMEM;
}
