/* SPDX-License-Identifier: MIT */
#include "mock/api/node.h"

#include <errno.h>
#include <string.h>

/* Digits up to which a number surely fits whatever a parser reads it into, and is exact in a
 * double. With an exponent none does. */
#define NUMBER_BYTES_USUAL 15

#define SURROGATE_HIGH 0xD800U
#define SURROGATE_LOW  0xDC00U
#define SURROGATE_END  0xE000U

/* ---- Strings in place -------------------------------------------------------------------- */

static uint32_t hex_value(const uint8_t *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t c = p[i];
        value = value << 4 | (c <= '9' ? c - '0' : (c | 0x20U) - 'a' + 10);
    }
    return value;
}

/*
 * The character that the escape at `p` stands for; its grammar was checked, and `left` is how much
 * of the string there is. @return its bytes; 0: it is no character, or NUL
 */
static size_t escape_read(const uint8_t *p, size_t left, uint32_t *character)
{
    static const char names[] = "bfnrt", controls[] = "\b\f\n\r\t";
    if (p[1] != 'u') {
        const char *control = strchr(names, p[1]);
        *character = control == NULL ? p[1] : (uint8_t)controls[control - names];
        return 2;
    }
    *character = hex_value(p + 2);
    if (*character < SURROGATE_HIGH || *character >= SURROGATE_END)
        return *character == 0 ? 0 : 6;
    if (*character >= SURROGATE_LOW || left < 12 || p[6] != '\\' || p[7] != 'u')
        return 0;
    uint32_t low = hex_value(p + 8);
    if (low < SURROGATE_LOW || low >= SURROGATE_END)
        return 0;
    *character = 0x10000U + ((*character - SURROGATE_HIGH) << 10) + (low - SURROGATE_LOW);
    return 12;
}

/* What stands between the quotes of `raw`. */
static struct weir_slice string_inside(struct weir_slice raw)
{
    return (struct weir_slice){ raw.ptr + 1, raw.len - 2 };
}

static bool escapes_are_usual(struct weir_slice text)
{
    const uint8_t *end = text.ptr + text.len, *p = text.ptr;
    while (p < end && (p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        uint32_t character;
        size_t bytes = escape_read(p, (size_t)(end - p), &character);
        if (bytes == 0)
            return false;
        p += bytes;
    }
    return true;
}

static size_t utf8_write(uint8_t out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

struct weir_slice node_piece(struct weir_slice *rest, uint8_t decoded[4])
{
    struct weir_slice piece = *rest;
    size_t taken;
    if (rest->ptr[0] == '\\') {
        uint32_t character;
        taken = escape_read(rest->ptr, rest->len, &character);
        piece = (struct weir_slice){ decoded, utf8_write(decoded, character) };
    } else {
        const uint8_t *backslash = memchr(rest->ptr, '\\', rest->len);
        taken = backslash == NULL ? rest->len : (size_t)(backslash - rest->ptr);
        piece.len = taken;
    }
    *rest = (struct weir_slice){ rest->ptr + taken, rest->len - taken };
    return piece;
}

struct weir_slice node_text(struct node node)
{
    if (node.json != NULL)
        return (struct weir_slice){ (const uint8_t *)json_string_value(node.json),
                                    json_string_length(node.json) };
    return string_inside(node.raw);
}

/* ---- Kinds and numbers ------------------------------------------------------------------- */

static bool is_number_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
}

static enum node_kind number_kind(struct weir_slice raw)
{
    if (raw.len > NUMBER_BYTES_USUAL)
        return NODE_UNUSUAL;
    enum node_kind kind = NODE_INTEGER;
    for (size_t i = 0; i < raw.len; i++) {
        if ((raw.ptr[i] | 0x20) == 'e')
            return NODE_UNUSUAL;
        if (raw.ptr[i] == '.')
            kind = NODE_REAL;
    }
    return kind;
}

static void string_node(struct node *node)
{
    struct weir_slice text = string_inside(node->raw);
    node->escapes = text.len > 0 && memchr(text.ptr, '\\', text.len) != NULL;
    node->kind = !node->escapes || escapes_are_usual(text) ? NODE_STRING : NODE_UNUSUAL;
}

/* A value that a walk found: not empty, and of good grammar. */
static void raw_node(struct node *node, struct weir_slice raw)
{
    *node = (struct node){ .raw = raw };
    switch (raw.ptr[0]) {
    case '"':
        string_node(node);
        break;
    case '{':
        node->kind = NODE_OBJECT;
        break;
    case '[':
        node->kind = NODE_ARRAY;
        break;
    case 't':
        node->kind = NODE_TRUE;
        break;
    case 'f':
        node->kind = NODE_FALSE;
        break;
    case 'n':
        node->kind = NODE_NULL;
        break;
    default:
        node->kind = number_kind(raw);
        break;
    }
}

static struct node json_node(const json_t *json)
{
    static const enum node_kind kinds[] = {
        [JSON_OBJECT] = NODE_OBJECT,   [JSON_ARRAY] = NODE_ARRAY, [JSON_STRING] = NODE_STRING,
        [JSON_INTEGER] = NODE_INTEGER, [JSON_REAL] = NODE_REAL,   [JSON_TRUE] = NODE_TRUE,
        [JSON_FALSE] = NODE_FALSE,     [JSON_NULL] = NODE_NULL,
    };
    return (struct node){ .kind = json == NULL ? NODE_MISSING : kinds[json_typeof(json)],
                          .json = json };
}

const char *node_kind_name(enum node_kind kind)
{
    static const char *const names[] = {
        [NODE_MISSING] = "nothing",    [NODE_NULL] = "null",
        [NODE_FALSE] = "a boolean",    [NODE_TRUE] = "a boolean",
        [NODE_INTEGER] = "an integer", [NODE_REAL] = "a number with a fraction",
        [NODE_STRING] = "a string",    [NODE_ARRAY] = "an array",
        [NODE_OBJECT] = "an object",   [NODE_UNUSUAL] = "something unusual",
    };
    _Static_assert(sizeof names / sizeof names[0] == NODE_KIND_COUNT, "one each");
    return names[kind];
}

int64_t node_integer(struct node node)
{
    if (node.json != NULL)
        return json_integer_value(node.json);
    bool negative = node.raw.ptr[0] == '-';
    int64_t value = 0;
    for (size_t i = negative; i < node.raw.len; i++)
        value = value * 10 + (node.raw.ptr[i] - '0');
    return negative ? -value : value;
}

/* At most 15 digits and a power of ten below 10^15, both exact, and one rounded division: that is
 * the double nearest to the decimal, as strtod() has it. */
double node_number(struct node node)
{
    if (node.json != NULL)
        return json_number_value(node.json);
    bool negative = node.raw.ptr[0] == '-', fraction = false;
    double digits = 0, scale = 1;
    for (size_t i = negative; i < node.raw.len; i++) {
        if (node.raw.ptr[i] == '.') {
            fraction = true;
            continue;
        }
        digits = digits * 10 + (node.raw.ptr[i] - '0');
        if (fraction)
            scale *= 10;
    }
    return negative ? -(digits / scale) : digits / scale;
}

/* ---- Whole bodies ------------------------------------------------------------------------ */

bool node_in_place(struct node *out, struct weir_slice text)
{
    while (text.len > 0 && memchr(" \t\r\n", text.ptr[0], 4) != NULL)
        text = (struct weir_slice){ text.ptr + 1, text.len - 1 };
    *out = (struct node){ .kind = NODE_OBJECT, .raw = text };
    return text.len > 0 && text.ptr[0] == '{';
}

int node_from_tree(struct node *out, struct weir_slice text, json_error_t *at)
{
    *out = json_node(json_loadb((const char *)text.ptr, text.len, JSON_DECODE_ANY, at));
    return out->json == NULL ? -EINVAL : 0;
}

void node_drop_tree(struct node *node)
{
    json_decref((json_t *)node->json);
    node->json = NULL;
}

/* ---- What nobody looks into -------------------------------------------------------------- */

/* Behind the string that begins at `p`, which is a value that was checked; NULL: unusual. */
static const uint8_t *skip_usual_string(const uint8_t *p, const uint8_t *end)
{
    for (p++; *p != '"';) {
        uint32_t character;
        size_t bytes = *p == '\\' ? escape_read(p, (size_t)(end - p), &character) : 1;
        if (bytes == 0)
            return NULL;
        p += bytes;
    }
    return p + 1;
}

static bool raw_is_usual(struct weir_slice raw)
{
    const uint8_t *p = raw.ptr, *end = raw.ptr + raw.len;
    while (p < end) {
        if (*p == '"') {
            p = skip_usual_string(p, end);
            if (p == NULL)
                return false;
        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            struct weir_slice number = { p, 0 };
            while (p < end && is_number_byte(*p))
                p++;
            number.len = (size_t)(p - number.ptr);
            if (number_kind(number) == NODE_UNUSUAL)
                return false;
        } else {
            p++;
        }
    }
    return true;
}

bool node_is_usual(struct node node)
{
    if (node.json == NULL && (node.kind == NODE_ARRAY || node.kind == NODE_OBJECT))
        return raw_is_usual(node.raw);
    return node.kind != NODE_UNUSUAL;
}

/* ---- Members and elements ---------------------------------------------------------------- */

static bool name_is(struct weir_slice name, struct weir_slice other)
{
    return name.len == other.len && name.ptr[0] == other.ptr[0] &&
           memcmp(name.ptr, other.ptr, name.len) == 0;
}

/* Most clients write members in the order of our tables, so the one behind the last is looked at
 * first. */
static unsigned find_name(struct weir_slice name, const struct weir_slice *names, unsigned count,
                          unsigned guess)
{
    if (guess < count && name_is(name, names[guess]))
        return guess;
    for (unsigned i = 0; i < count; i++)
        if (name_is(name, names[i]))
            return i;
    return count;
}

static bool raw_members(struct weir_slice raw, const struct weir_slice *names, unsigned count,
                        struct node *out)
{
    struct weir_json_walk walk;
    struct weir_slice name, value;
    unsigned i = 0;
    int rc = weir_json_object_begin(&walk, raw);
    while (rc == 0 && (rc = weir_json_object_next(&walk, &name, &value)) > 0) {
        rc = 0;
        unsigned found = find_name(name, names, count, i);
        if (found < count) {
            if (out[found].kind != NODE_MISSING)
                return false;
            raw_node(&out[found], value);
            i = found + 1;
            continue;
        }
        struct node other;
        raw_node(&other, value);
        /* With an escape it might be one of ours, and in jansson's eyes no name at all. */
        if ((name.len > 0 && memchr(name.ptr, '\\', name.len) != NULL) || !node_is_usual(other))
            return false;
    }
    return rc == 0;
}

bool node_members(struct node object, const struct weir_slice *names, unsigned count,
                  struct node *out)
{
    for (unsigned i = 0; i < count; i++)
        out[i] = (struct node){ .kind = NODE_MISSING };
    if (object.json == NULL)
        return raw_members(object.raw, names, count, out);
    for (unsigned i = 0; i < count; i++)
        out[i] = json_node(json_object_get(object.json, (const char *)names[i].ptr));
    return true;
}

void node_array_begin(struct node_walk *walk, struct node array)
{
    *walk = (struct node_walk){ .array = array.json };
    /* An array begins with a bracket, so this cannot fail; if it did, the walk would be empty. */
    if (array.json == NULL && weir_json_array_begin(&walk->walk, array.raw) < 0)
        walk->walk = (struct weir_json_walk){ .at = NULL };
}

int node_array_next(struct node_walk *walk, struct node *element)
{
    *element = (struct node){ .kind = NODE_MISSING };
    if (walk->array == NULL) {
        struct weir_slice raw;
        int rc = weir_json_array_next(&walk->walk, &raw);
        if (rc > 0)
            raw_node(element, raw);
        return rc;
    }
    if (walk->index == json_array_size(walk->array))
        return 0;
    *element = json_node(json_array_get(walk->array, walk->index++));
    return 1;
}
