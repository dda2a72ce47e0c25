/* SPDX-License-Identifier: MIT */
#include "mock/fault/rule.h"

#include "mock/fault/action.h"
#include "mock/fault/match.h"
#include "mock/fault/when.h"

#include <weir/random.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sets the seeds made of an id apart from other numbers made of the configuration's seed. */
#define DRAW_SEED UINT64_C(0x72756c65)

#define ID_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/*
 * Ids get numbers, which journal and metrics keep long after the rule is gone: so none is ever
 * taken back. An entry is written once, before the count that makes it visible.
 */
static struct {
    pthread_mutex_t lock;
    atomic_uint count;
    char ids[FAULT_NUMBERS_MAX][FAULT_ID_BYTES]; /* number 0 is no rule */
} numbers = { .lock = PTHREAD_MUTEX_INITIALIZER, .count = 1 };

const char *fault_number_id(uint16_t number)
{
    unsigned count = atomic_load_explicit(&numbers.count, memory_order_acquire);
    return number < count ? numbers.ids[number] : "";
}

static int number_of(const char *id)
{
    int number = -ENOSPC;
    pthread_mutex_lock(&numbers.lock);
    unsigned count = atomic_load_explicit(&numbers.count, memory_order_relaxed);
    for (unsigned i = 1; i < count && number < 0; i++)
        if (strcmp(numbers.ids[i], id) == 0)
            number = (int)i;
    if (number < 0 && count < FAULT_NUMBERS_MAX) {
        memcpy(numbers.ids[count], id, strlen(id) + 1);
        atomic_store_explicit(&numbers.count, count + 1, memory_order_release);
        number = (int)count;
    }
    pthread_mutex_unlock(&numbers.lock);
    return number;
}

/* ---- tables ---- */

#define RULE(member) .offset = offsetof(struct fault_rule, member)
#define WHEN(member) .offset = offsetof(struct fault_when, member)
#define COUNT(key_name, member, limit)                                                             \
    {                                                                                              \
        .key = (key_name), .type = FIELD_INTEGER, WHEN(member), .max = (limit),                    \
        .bytes = sizeof((struct fault_when *)0)->member                                            \
    }
#define TIME(key_name, member)                                                                     \
    {                                                                                              \
        .key = (key_name), .type = FIELD_DURATION, WHEN(member), .max = FIELD_US_MAX               \
    }

static const struct field rule_fields[] = {
    { .key = "id", .type = FIELD_OTHER },
    { .key = "enabled", .type = FIELD_BOOL, RULE(enabled) },
    { .key = "continue", .type = FIELD_BOOL, RULE(next_too) },
    { .key = "seed", .type = FIELD_INTEGER, RULE(seed), .bytes = 8, .max = INT64_MAX },
    { .key = "ttl_us", .type = FIELD_DURATION, RULE(ttl_ns), .max = FIELD_US_MAX },
    { .key = "match", .type = FIELD_OTHER },
    { .key = "when", .type = FIELD_OTHER },
    { .key = "do", .type = FIELD_OTHER },
};

static const char *const mode_names[] = { [FAULT_BERNOULLI] = "bernoulli", [FAULT_EVEN] = "even" };
static const char *const scope_names[] = {
    [FAULT_PER_REQUEST] = "request", [FAULT_PER_CONNECTION] = "connection"
};
_Static_assert(sizeof(enum fault_mode) == 4 && sizeof(enum fault_scope) == 4, "read as such");

static const struct field when_fields[] = {
    { .key = "probability", .type = FIELD_SHARE, WHEN(probability) },
    { .key = "mode",
      .type = FIELD_NAME,
      WHEN(mode),
      .bytes = 4,
      .names = mode_names,
      .names_count = 2 },
    COUNT("every", every, INT64_MAX),
    COUNT("first", first, INT64_MAX),
    COUNT("after", after, INT64_MAX),
    TIME("start_us", start_ns),
    TIME("end_us", end_ns),
    TIME("period_us", period_ns),
    { .key = "duty", .type = FIELD_SHARE, WHEN(duty) },
    TIME("ramp_us", ramp_ns),
    COUNT("max_active", max_active, UINT32_MAX),
    { .key = "scope",
      .type = FIELD_NAME,
      WHEN(scope),
      .bytes = 4,
      .names = scope_names,
      .names_count = 2 },
};

#define RULE_FIELDS_COUNT (sizeof rule_fields / sizeof rule_fields[0])
#define WHEN_FIELDS_COUNT (sizeof when_fields / sizeof when_fields[0])

static struct fault_when when_default(const struct fault_action *action)
{
    return (struct fault_when){
        .probability = 1,
        .duty = 1,
        .scope = fault_action_is_accept(action) ? FAULT_PER_CONNECTION : FAULT_PER_REQUEST,
    };
}

/* ---- from JSON ---- */

static int read_id(struct fault_rule *rule, const json_t *id, uint32_t index,
                   const struct field_place *place)
{
    if (id == NULL) {
        snprintf(rule->id, sizeof rule->id, "rule-%u", index);
        return 0;
    }
    const char *text = json_string_value(id);
    size_t len = json_string_length(id);
    if (text == NULL || len == 0 || len >= FAULT_ID_BYTES || strspn(text, ID_CHARACTERS) != len) {
        char wanted[96];
        snprintf(wanted, sizeof wanted, "a string of 1 ... %d letters, digits, '.', '_', '-'",
                 FAULT_ID_BYTES - 1);
        return field_fail_got(place, "id", wanted, id);
    }
    memcpy(rule->id, text, len + 1);
    return 0;
}

static int check_when(const struct fault_when *when, const json_t *json,
                      const struct field_place *place)
{
    if (when->end_ns != 0 && when->end_ns <= when->start_ns)
        return field_fail(place, "end_us", "expected more than start_us, or 0 for no end");
    if (when->period_ns != 0 && json_object_get(json, "duty") == NULL)
        return field_fail(place, "period_us", "expected duty, too: the share of it that strikes");
    if (when->period_ns == 0 && when->duty != 1)
        return field_fail(place, "duty", "expected period_us, too: what it is a share of");
    return 0;
}

static int read_when(struct fault_rule *rule, const json_t *json, struct fault_error *err)
{
    struct field_place place = { err, "/when", "when" };
    rule->when = when_default(&rule->action);
    if (json == NULL)
        return 0;
    if (!json_is_object(json))
        return field_fail_got(&place, NULL, "an object", json);
    int result = field_read_all(when_fields, WHEN_FIELDS_COUNT, &rule->when, json, &place);
    if (result < 0)
        return result;
    if (fault_action_is_accept(&rule->action) && rule->when.scope != FAULT_PER_CONNECTION)
        return field_fail(&place, "scope",
                          "expected \"connection\": %s happens when one is accepted",
                          fault_kind_name(rule->action.kind));
    return check_when(&rule->when, json, &place);
}

static int read_match(struct fault_rule *rule, const json_t *json, struct fault_error *err)
{
    struct field_place place = { err, "/match", "match" };
    if (json == NULL)
        return 0;
    int result = match_read(&rule->match, json, &place);
    if (result < 0)
        return result;
    if (fault_action_is_accept(&rule->action) && json_object_size(json) != 0)
        return field_fail(
            &place, NULL,
            "expected none: %s happens when a connection is accepted, before there is "
            "a request",
            fault_kind_name(rule->action.kind));
    if (fault_action_is_stream(&rule->action) && rule->match.stream == 0)
        return field_fail(&place, "stream", "expected true or none: only a stream can have this %s",
                          fault_kind_name(rule->action.kind));
    return 0;
}

/* The action first: what the others may say depends on it. */
static int read_rule(struct fault_rule *rule, const json_t *json, uint32_t index,
                     struct fault_error *err)
{
    struct field_place place = { err, "", "a rule" };
    if (!json_is_object(json))
        return field_fail_got(&place, NULL, "an object", json);
    int result = field_read_all(rule_fields, RULE_FIELDS_COUNT, rule, json, &place);
    if (result == 0)
        result = read_id(rule, json_object_get(json, "id"), index, &place);
    if (result < 0)
        return result;
    rule->seed_given = json_object_get(json, "seed") != NULL;
    const json_t *action = json_object_get(json, "do");
    if (action == NULL)
        return field_fail(&place, "do", "the key is missing");
    result = action_read(&rule->action, action, &(struct field_place){ err, "/do", "do" });
    if (result == 0)
        result = read_match(rule, json_object_get(json, "match"), err);
    if (result == 0)
        result = read_when(rule, json_object_get(json, "when"), err);
    return result;
}

/* A file of percentiles may change under its name: so the mean of what was read counts, too. */
static int set_hash(struct fault_rule *rule)
{
    json_t *json = fault_rule_json(rule);
    if (json == NULL)
        return -ENOMEM;
    /* There is nothing to delete when the rule is enabled, which is as well. */
    (void)json_object_del(json, "enabled");
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(json);
    if (text == NULL)
        return -ENOMEM;
    uint64_t hash = weir_random_key((struct weir_slice){ (uint8_t *)text, strlen(text) });
    free(text);
    double mean_ns = rule->action.delay != NULL ? weir_dist_mean_ns(rule->action.delay) : 0;
    uint64_t mean_bits;
    memcpy(&mean_bits, &mean_ns, sizeof mean_bits);
    rule->hash = weir_random_u64(hash, rule->seed, mean_bits);
    return 0;
}

static int finish_rule(struct fault_rule *rule, uint64_t seed)
{
    struct weir_slice id = { (const uint8_t *)rule->id, strlen(rule->id) };
    if (!rule->seed_given)
        rule->seed = weir_random_u64(seed, weir_random_key(id), DRAW_SEED);
    when_prepare(rule);
    return set_hash(rule);
}

int fault_rule_number(struct fault_rule *rule, struct fault_error *err)
{
    if (rule->number != 0)
        return 0; /* one that goes on has it, and other threads read it */
    int number = number_of(rule->id);
    if (number < 0) {
        field_fail(&(struct field_place){ err, "", "a rule" }, "id",
                   "this process has seen %d ids of rules, which is as many as it can tell apart",
                   FAULT_NUMBERS_MAX - 1);
        return number;
    }
    rule->number = (uint16_t)number;
    return 0;
}

int fault_rule_make(struct fault_rule **out, const json_t *json, uint32_t index, uint64_t seed,
                    uint64_t now_ns, struct fault_error *err)
{
    *err = (struct fault_error){ .text = "" };
    struct fault_rule *rule = calloc(1, sizeof *rule);
    if (rule == NULL)
        return -ENOMEM;
    rule->enabled = true;
    rule->match = match_any();
    atomic_init(&rule->refs, 1);
    atomic_init(&rule->begun_ns, now_ns);
    int result = read_rule(rule, json, index, err);
    if (result == 0)
        result = finish_rule(rule, seed);
    if (result < 0) {
        fault_rule_drop(rule);
        return result;
    }
    *out = rule;
    return 0;
}

int fault_rule_open(struct fault_rule **out, const json_t *json, uint32_t index, uint64_t seed,
                    uint64_t now_ns, struct fault_error *err)
{
    struct fault_rule *rule = NULL;
    int result = fault_rule_make(&rule, json, index, seed, now_ns, err);
    if (result == 0)
        result = fault_rule_number(rule, err);
    if (result < 0) {
        fault_rule_drop(rule);
        return result;
    }
    *out = rule;
    return 0;
}

struct fault_rule *fault_rule_hold(struct fault_rule *rule)
{
    atomic_fetch_add_explicit(&rule->refs, 1, memory_order_relaxed);
    return rule;
}

void fault_rule_drop(struct fault_rule *rule)
{
    if (rule == NULL || atomic_fetch_sub_explicit(&rule->refs, 1, memory_order_acq_rel) != 1)
        return;
    match_close(&rule->match);
    fault_action_close(&rule->action);
    free(rule);
}

void fault_rule_reset(struct fault_rule *rule, uint64_t now_ns)
{
    atomic_store_explicit(&rule->matched, 0, memory_order_relaxed);
    atomic_store_explicit(&rule->struck, 0, memory_order_relaxed);
    atomic_store_explicit(&rule->begun_ns, now_ns, memory_order_relaxed);
}

/* ---- as JSON ---- */

/* Takes `value`. An object without members says nothing and is left out. */
static int set_object(json_t *object, const char *key, json_t *value)
{
    if (value != NULL && json_object_size(value) == 0) {
        json_decref(value);
        return 0;
    }
    return json_object_set_new(object, key, value);
}

static json_t *when_json(const struct fault_rule *rule)
{
    struct fault_when standard = when_default(&rule->action);
    json_t *object = json_object();
    for (size_t i = 0; object != NULL && i < WHEN_FIELDS_COUNT; i++)
        if (field_write(&when_fields[i], &rule->when, &standard, object) < 0) {
            json_decref(object);
            return NULL;
        }
    /* A period is not read without its duty. */
    if (object != NULL && rule->when.period_ns != 0 && rule->when.duty == 1 &&
        json_object_set_new(object, "duty", json_integer(1)) < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static int write_top(const struct fault_rule *rule, json_t *object)
{
    struct fault_rule standard = { .enabled = true, .seed = rule->seed };
    for (size_t i = 0; i < RULE_FIELDS_COUNT; i++)
        if (field_write(&rule_fields[i], rule, &standard, object) < 0)
            return -ENOMEM;
    if (rule->seed_given &&
        json_object_set_new(object, "seed", json_integer((json_int_t)rule->seed)) < 0)
        return -ENOMEM;
    return 0;
}

json_t *fault_rule_json(const struct fault_rule *rule)
{
    json_t *object = json_pack("{s:s}", "id", rule->id);
    if (object == NULL)
        return NULL;
    if (write_top(rule, object) < 0 || set_object(object, "match", match_json(&rule->match)) < 0 ||
        set_object(object, "when", when_json(rule)) < 0 ||
        set_object(object, "do", action_json(&rule->action)) < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_int_t count_of(const atomic_uint_fast64_t *count)
{
    /* Reading changes nothing, but older compilers want a pointer to what may change. */
    return (json_int_t)atomic_load_explicit((atomic_uint_fast64_t *)count, memory_order_relaxed);
}

json_t *fault_rule_json_state(const struct fault_rule *rule, uint64_t now_ns)
{
    json_t *object = fault_rule_json(rule);
    if (object == NULL)
        return NULL;
    unsigned active = atomic_load_explicit((atomic_uint *)&rule->active, memory_order_relaxed);
    json_t *state = json_pack("{s:i, s:I, s:I, s:i, s:b}", "number", (int)rule->number, "matched",
                              count_of(&rule->matched), "struck", count_of(&rule->struck), "active",
                              (int)active, "alive", (int)when_is_alive(rule, now_ns));
    if (json_object_set_new(object, "state", state) < 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}
