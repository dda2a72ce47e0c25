/* SPDX-License-Identifier: MIT */
/*
 * A fault rule as JSON, or, when the input is no object, an action as the word of a request.
 *
 * What is refused says why. What is taken comes back from its own JSON as the same rule, and may be
 * asked about any request.
 */
#include "mock/fault/action.h"
#include "mock/fault/rule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEMAND(x)                                                                                  \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static struct weir_slice no_field(const void *ctx, struct weir_slice name)
{
    (void)ctx;
    DEMAND(name.len != 0);
    return (struct weir_slice){ NULL, 0 };
}

static void ask(struct fault_rule *rule)
{
    const struct fault_head head = { WEIR_TEXT("/api/infer"), WEIR_TEXT("POST"), no_field, NULL };
    (void)fault_rule_matches_head(rule, &head);
    for (uint64_t i = 0; i < 64; i++) {
        const struct fault_subject subject = { .model = WEIR_TEXT("llama"),
                                               .stream = i % 2,
                                               .key = i,
                                               .numbered = i % 3,
                                               .number = UINT64_MAX / (i + 1),
                                               .now_ns = i << 40 };
        if (fault_rule_strikes(rule, &subject))
            fault_rule_release(rule);
    }
    DEMAND(atomic_load(&rule->active) == 0);
    DEMAND(atomic_load(&rule->struck) <= atomic_load(&rule->matched));
}

static void demand_same(const struct fault_rule *rule)
{
    struct fault_rule *again = NULL;
    struct fault_error err;
    json_t *json = fault_rule_json(rule);
    DEMAND(json != NULL);
    DEMAND(fault_rule_open(&again, json, 1, 7, 0, &err) == 0);
    json_t *same = fault_rule_json(again);
    DEMAND(json_equal(json, same) && again->hash == rule->hash);
    json_decref(json);
    json_decref(same);
    fault_rule_drop(again);
}

static void try_rule(json_t *json)
{
    struct fault_rule *rule = NULL;
    struct fault_error err;
    /* Ids are kept for ever, and there are not many. */
    const char *id = json_string_value(json_object_get(json, "id"));
    if (id != NULL && strlen(id) > 1)
        DEMAND(json_object_set_new(json, "id", json_string("fuzz")) == 0);
    int result = fault_rule_open(&rule, json, 1, 7, 0, &err);
    DEMAND(result == 0 || (result == -EINVAL && err.text[0] != '\0'));
    if (result < 0)
        return;
    ask(rule);
    demand_same(rule);
    fault_rule_drop(rule);
}

static void try_word(struct weir_slice text)
{
    struct fault_action action;
    struct fault_error err;
    int result = fault_action_parse(&action, text, &err);
    DEMAND(result == 0 || (result == -EINVAL && err.text[0] != '\0' && err.pointer[0] == '\0'));
    if (result < 0)
        return;
    DEMAND(!fault_action_is_accept(&action));
    json_t *json = action_json(&action);
    DEMAND(json != NULL);
    json_decref(json);
    fault_action_close(&action);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A file of percentiles could be any file of this machine. */
    if (size != 0 && memmem(data, size, "hgrm", 4) != NULL)
        return 0;
    json_t *json = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (json != NULL)
        try_rule(json);
    else
        try_word((struct weir_slice){ data, size });
    json_decref(json);
    return 0;
}
