/* SPDX-License-Identifier: MIT */
#include "mock/config/nearest.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* No name of ours is longer; what is longer is near none. */
#define NEAREST_NAME_MAX 48
/* Bytes of a text that are shown. */
#define NEAREST_TEXT_MAX 48

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Insertions, deletions, replacements and exchanges of neighbours that make `b` of `a` (optimal
 * string alignment). Three rows of the usual table: an exchange looks two rows back.
 */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NEAREST_NAME_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = smaller(last[j] + 1, row[j - 1] + 1);
            row[j] = smaller(row[j], last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *nearest_name(const char *name, const char *const *names, size_t count)
{
    size_t len = strlen(name);
    if (len == 0 || len > NEAREST_NAME_MAX)
        return NULL;
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(names[i]);
        if (other == 0 || other > NEAREST_NAME_MAX)
            continue;
        bool begins = other > len && memcmp(names[i], name, len) == 0 && names[i][len] == '_';
        size_t found = begins ? 1 : distance(name, len, names[i], other);
        /* One slip is forgiven in a short name, and a name of one letter is like any other. */
        size_t allowed = len < 2 ? 0 : len < 6 ? 1 : len / 3;
        if (found <= allowed && found < best_distance) {
            best = names[i];
            best_distance = found;
        }
    }
    return best;
}

static void show_text(char out[NEAREST_SHOWN_BYTES], const char *text, size_t len)
{
    size_t shown = len;
    if (len > NEAREST_TEXT_MAX) {
        /* Not within a character of several bytes. */
        for (shown = NEAREST_TEXT_MAX; shown > 0 && ((uint8_t)text[shown] & 0xC0) == 0x80;)
            shown--;
    }
    size_t at = 0;
    out[at++] = '"';
    for (size_t i = 0; i < shown; i++)
        out[at++] = (uint8_t)text[i] < 0x20 || text[i] == 0x7F ? '?' : text[i];
    snprintf(out + at, NEAREST_SHOWN_BYTES - at, "%s\"", shown < len ? "..." : "");
}

const char *nearest_shown(char out[NEAREST_SHOWN_BYTES], const json_t *json)
{
    const char *word = "nothing";
    if (json_is_object(json))
        word = "an object";
    else if (json_is_array(json))
        word = "an array";
    else if (json_is_boolean(json))
        word = json_is_true(json) ? "true" : "false";
    else if (json_is_null(json))
        word = "null";
    snprintf(out, NEAREST_SHOWN_BYTES, "%s", word);
    if (json_is_string(json))
        show_text(out, json_string_value(json), json_string_length(json));
    else if (json_is_integer(json))
        snprintf(out, NEAREST_SHOWN_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    else if (json_is_real(json))
        snprintf(out, NEAREST_SHOWN_BYTES, "%.15g", json_real_value(json));
    return out;
}
