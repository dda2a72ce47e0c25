/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the JSON scanner. Whatever way a text is looked at, the verdict is the same, and
 * what is handed out lies in the text and is a value by itself.
 */
#include "proto/codec/json_array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static bool is_inside(struct weir_slice view, struct weir_slice text)
{
    return view.ptr >= text.ptr && view.ptr + view.len <= text.ptr + text.len;
}

static void demand_value(struct weir_slice value, struct weir_slice text)
{
    DEMAND(value.len > 0 && is_inside(value, text));
    DEMAND(memchr(" \t\r\n", value.ptr[0], 4) == NULL);
    DEMAND(memchr(" \t\r\n", value.ptr[value.len - 1], 4) == NULL);
    DEMAND(weir_json_check(value) == 0);
}

/* @return as the walk ended */
static int walk_array(struct weir_slice text)
{
    struct weir_json_walk walk;
    struct weir_slice element;
    int rc = weir_json_array_begin(&walk, text);
    while (rc == 0 && (rc = weir_json_array_next(&walk, &element)) > 0) {
        demand_value(element, text);
        rc = 0;
    }
    DEMAND(walk.at <= walk.end);
    return rc;
}

static int walk_object(struct weir_slice text)
{
    struct weir_json_walk walk;
    struct weir_slice name, value;
    int rc = weir_json_object_begin(&walk, text);
    while (rc == 0 && (rc = weir_json_object_next(&walk, &name, &value)) > 0) {
        DEMAND(is_inside(name, text));
        demand_value((struct weir_slice){ name.ptr - 1, name.len + 2 }, text);
        demand_value(value, text);
        rc = 0;
    }
    DEMAND(walk.at <= walk.end);
    return rc;
}

static void demand_answers(struct weir_slice text, int as_array)
{
    struct weir_json_walk walk;
    struct weir_json_answer answer;
    int rc = weir_json_array_begin(&walk, text);
    while (rc == 0 && (rc = weir_json_answer_next(&walk, &answer)) > 0) {
        DEMAND(answer.status >= 200 && answer.status <= 999);
        if (answer.value.len > 0)
            demand_value(answer.value, text);
        rc = 0;
    }
    /* An array of answers is an array; the object around an answer is not counted as a level. */
    DEMAND(rc != 0 || as_array == 0 || as_array == WEIR_E_LIMIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Memory of its own, so that the sanitizer sees the smallest overrun. */
    uint8_t *copy = malloc(size + (size == 0));
    DEMAND(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);
    struct weir_slice text = { copy, size };
    int whole = weir_json_check(text);
    DEMAND(whole == 0 || whole == -EINVAL || whole == WEIR_E_LIMIT);
    int array = walk_array(text), object = walk_object(text);
    /* A walk has one level less to remember, so it may go one deeper. */
    DEMAND(whole != 0 || array == 0 || object == 0 || (array == -EINVAL && object == -EINVAL));
    DEMAND(whole != -EINVAL || (array < 0 && object < 0));
    DEMAND(array != 0 || object != 0);
    demand_answers(text, array);
    free(copy);
    return 0;
}
