/* SPDX-License-Identifier: MIT */
/*
 * An action as one word of a request: KIND[=VALUE][@PLACE][,KEY[=VALUE]]...
 *
 * The word is cut at its commas, but for a delay and a body, which go on to its end: both may have
 * commas of their own. What the pieces mean is decided by the same table as in a configuration.
 */
#include "mock/fault/action.h"

#include <errno.h>
#include <string.h>

/* Far more than any word needs but one with a table of percentiles in it. */
#define WORD_BYTES_MAX 4096

struct word {
    struct fault_action *action;
    const struct field_place *place;
    char *rest; /* what is left of it */
    action_rows rows;
};

/* The piece up to a separator, which is taken off and returned; '\0' at the end. */
static char word_piece(struct word *word, char **out, const char *separators)
{
    *out = word->rest;
    size_t len = strcspn(word->rest, separators);
    char separator = word->rest[len];
    word->rest[len] = '\0';
    word->rest += len + (separator != '\0');
    return separator;
}

/* The value of `field`, behind its '='. `ends`: the separators that end it. @return one of them, or
 * -EINVAL, -ENOMEM */
static int word_value(struct word *word, const struct field *field, const char *ends)
{
    bool is_delay = action_field_is_delay(field);
    bool is_last = is_delay || field->type == FIELD_TEXT;
    char *text;
    int separator = (unsigned char)word_piece(word, &text, is_last ? "" : ends);
    int err;
    if (action_field_is_at(field)) {
        err = action_set_at(word->action, text, word->place);
    } else if (is_delay) {
        json_t *spec = json_string(text);
        if (spec == NULL)
            return field_fail(word->place, "delay", "expected UTF-8 text");
        err = action_set_delay(word->action, spec, word->place);
        json_decref(spec);
    } else {
        err = field_parse(field, word->action, text, word->place);
    }
    return err < 0 ? err : separator;
}

static int word_take(struct word *word, const struct field *field, const char *name)
{
    if (word->rows & action_row(field))
        return field_fail(word->place, name, "it is there twice");
    word->rows |= action_row(field);
    return 0;
}

/* "=VALUE" behind the kind. */
static int word_main_value(struct word *word)
{
    enum fault_kind kind = word->action->kind;
    const struct field *field = action_find_main(kind);
    if (field == NULL)
        return field_fail(word->place, NULL, "%s takes no value", fault_kind_name(kind));
    int err = word_take(word, field, field->key);
    return err < 0 ? err : word_value(word, field, "@,");
}

/* "@PLACE" */
static int word_place(struct word *word)
{
    const struct field *field = action_find(word->action->kind, "at", word->place);
    if (field == NULL)
        return field_fail(word->place, NULL, "%s happens at no place",
                          fault_kind_name(word->action->kind));
    int err = word_take(word, field, "at");
    return err < 0 ? err : word_value(word, field, ",");
}

/* ",KEY" or ",KEY=VALUE" */
static int word_key(struct word *word)
{
    char *name;
    char separator = word_piece(word, &name, "=,");
    const struct field *field = action_find(word->action->kind, name, word->place);
    if (field == NULL)
        return -EINVAL;
    int err = word_take(word, field, name);
    if (err < 0)
        return err;
    if (separator == '=')
        return word_value(word, field, ",");
    if (field->type != FIELD_BOOL)
        return field_fail(word->place, name, "expected a value");
    err = field_parse(field, word->action, "true", word->place);
    return err < 0 ? err : (unsigned char)separator;
}

static int word_read(struct word *word, char separator)
{
    int next = (unsigned char)separator;
    while (next > 0) {
        if (next == '=')
            next = word_main_value(word);
        else if (next == '@')
            next = word_place(word);
        else
            next = word_key(word);
    }
    if (next < 0)
        return next;
    int err = action_check(word->action, word->rows, word->place);
    if (err == 0 && fault_action_is_accept(word->action))
        return field_fail(word->place, NULL,
                          "%s: it happens when a connection is accepted, before there is a request",
                          fault_kind_name(word->action->kind));
    return err;
}

int fault_action_parse(struct fault_action *out, struct weir_slice text, struct fault_error *err)
{
    struct field_place place = { .err = err, .owner = "the word" };
    *out = (struct fault_action){ .kind = FAULT_NONE };
    char copy[WORD_BYTES_MAX + 1];
    if (text.len == 0)
        return field_fail(&place, NULL, "expected a fault, got nothing");
    if (text.len > WORD_BYTES_MAX)
        return field_fail(&place, NULL, "expected at most %d bytes, got %zu", WORD_BYTES_MAX,
                          text.len);
    if (memchr(text.ptr, '\0', text.len) != NULL)
        return field_fail(&place, NULL, "expected text without NUL");
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    struct word word = { .place = &place, .rest = copy };
    char *name;
    char separator = word_piece(&word, &name, "=@,");
    int kind = action_find_kind(name);
    if (kind < 0)
        return action_fail_kind(&place, name);
    struct fault_action action = action_default((enum fault_kind)kind);
    place.owner = fault_kind_name(action.kind);
    word.action = &action;
    int result = word_read(&word, separator);
    if (result < 0) {
        fault_action_close(&action);
        return result;
    }
    *out = action;
    return 0;
}
