/* SPDX-License-Identifier: MIT */
#include "mock/fault/action.h"

#include "mock/config/latency.h"
#include "mock/config/nearest.h"

#include <weir/random.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIND(symbol) (UINT32_C(1) << FAULT_##symbol)
#define AT(symbol)   (1U << FAULT_AT_##symbol)

/* Limits of what makes sense on one answer; what they bound fits its member with room to spare. */
#define STATUS_BODY_BYTES_MAX (1 << 20)
#define PIECE_BYTES_MAX       (1 << 30)
#define EVENTS_MAX            1000000
#define RETRY_AFTER_S_MAX     31536000 /* a year */
#define RATE_MAX              INT64_C(1000000000000)
#define DELTA_MAX             (INT64_C(1) << 40)
#define COUNT_MAX             (UINT64_C(1) << 53) /* where a double would begin to skip numbers */
#define FRACTION_DECIMALS     15                  /* so many every double below 1 keeps */

#define GARBAGE_BYTES 256

_Static_assert(FAULT_KIND_COUNT <= 32, "a kind is a bit of a uint32_t");

static const char *const kind_names[] = {
#define XX(symbol, name) [FAULT_##symbol] = (name),
    FAULT_KINDS(XX)
#undef XX
};
_Static_assert(sizeof kind_names / sizeof kind_names[0] == FAULT_KIND_COUNT, "one each");

static const struct {
    const char *key, *word; /* with a number behind them when they end so */
    bool number;
} at_names[] = {
    [FAULT_AT_ACCEPT] = { "accept", "accept", false },
    [FAULT_AT_BEFORE_HEADERS] = { "before_headers", "before_headers", false },
    [FAULT_AT_AFTER_HEADERS] = { "after_headers", "after_headers", false },
    [FAULT_AT_BYTES] = { "after_bytes:", "bytes=", true },
    [FAULT_AT_TOKENS] = { "after_tokens:", "tokens=", true },
    [FAULT_AT_FRACTION] = { "fraction:", "fraction=", true },
};

#define AT_COUNT   (sizeof at_names / sizeof at_names[0])
#define AT_BODY    (AT(BYTES) | AT(TOKENS) | AT(FRACTION))
#define AT_REQUEST (AT(BEFORE_HEADERS) | AT(AFTER_HEADERS) | AT_BODY)

/* Where a kind may happen, and where it does if nothing is said. None: the place means nothing. */
static const struct {
    uint8_t allowed, standard;
    double fraction;
    uint64_t count;
} at_rules[FAULT_KIND_COUNT] = {
    [FAULT_RESET] = { AT(ACCEPT) | AT_REQUEST, FAULT_AT_BEFORE_HEADERS, 0, 0 },
    [FAULT_FIN] = { AT(ACCEPT) | AT_REQUEST, FAULT_AT_BEFORE_HEADERS, 0, 0 },
    [FAULT_TRUNCATE] = { AT_BODY, FAULT_AT_FRACTION, 0.5, 0 },
    [FAULT_BAD_CHUNK] = { AT_BODY, FAULT_AT_FRACTION, 0.5, 0 },
    [FAULT_STALL] = { AT_REQUEST, FAULT_AT_AFTER_HEADERS, 0, 0 },
    [FAULT_HALF_CLOSE] = { AT_REQUEST, FAULT_AT_AFTER_HEADERS, 0, 0 },
    [FAULT_STATUS_IN_STREAM] = { AT(TOKENS) | AT(FRACTION), FAULT_AT_TOKENS, 0, 1 },
};

#define MEMBER(member) .offset = offsetof(struct fault_action, member)
#define NUMBER(member)                                                                             \
    .type = FIELD_INTEGER, MEMBER(member), .bytes = sizeof((struct fault_action *)0)->member
#define KINDS_OF_AT                                                                                \
    (KIND(RESET) | KIND(FIN) | KIND(TRUNCATE) | KIND(BAD_CHUNK) | KIND(STALL) | KIND(HALF_CLOSE) | \
     KIND(STATUS_IN_STREAM))
#define KINDS_OF_EVENT (KIND(BAD_JSON) | KIND(BAD_SSE) | KIND(DUP_FRAME))

static const struct field action_fields[] = {
    { .key = "status",
      NUMBER(status),
      .min = 200,
      .max = 599,
      .kinds = KIND(STATUS),
      .required = KIND(STATUS),
      .main = KIND(STATUS) },
    { .key = "status",
      NUMBER(status),
      .min = 400,
      .max = 599,
      .kinds = KIND(STATUS_IN_STREAM),
      .main = KIND(STATUS_IN_STREAM) },
    { .key = "at", .type = FIELD_OTHER, MEMBER(at), .kinds = KINDS_OF_AT },
    { .key = "retry_after_s",
      .word = "retry_after",
      NUMBER(retry_after_s),
      .min = 0,
      .max = RETRY_AFTER_S_MAX,
      .kinds = KIND(STATUS) },
    { .key = "delay",
      .type = FIELD_OTHER,
      MEMBER(delay),
      .kinds = KIND(STATUS) | KIND(DELAY),
      .required = KIND(DELAY),
      .main = KIND(DELAY) },
    { .key = "no_headers", .type = FIELD_BOOL, MEMBER(no_headers), .kinds = KIND(EMPTY) },
    { .key = "rst",
      .type = FIELD_BOOL,
      MEMBER(rst),
      .kinds = KIND(EMPTY) | KIND(TRUNCATE) | KIND(GARBAGE) | KIND(PARTIAL_HEADERS) },
    { .key = "bytes",
      NUMBER(bytes),
      .min = 1,
      .max = PIECE_BYTES_MAX,
      .kinds = KIND(GARBAGE) | KIND(SPLIT) | KIND(DRIBBLE) | KIND(PARTIAL_HEADERS),
      .main = KIND(GARBAGE) | KIND(SPLIT) | KIND(PARTIAL_HEADERS) },
    { .key = "events",
      NUMBER(events),
      .min = 1,
      .max = EVENTS_MAX,
      .kinds = KINDS_OF_EVENT,
      .main = KINDS_OF_EVENT },
    { .key = "events",
      NUMBER(events),
      .min = 2,
      .max = EVENTS_MAX,
      .kinds = KIND(COALESCE),
      .main = KIND(COALESCE) },
    { .key = "delta",
      NUMBER(length_delta),
      .min = -DELTA_MAX,
      .max = DELTA_MAX,
      .kinds = KIND(WRONG_LENGTH),
      .main = KIND(WRONG_LENGTH) },
    { .key = "us",
      .word = "duration",
      .type = FIELD_DURATION,
      .forever = true,
      MEMBER(duration_ns),
      .max = FIELD_US_MAX,
      .kinds = KIND(STALL) | KIND(HALF_CLOSE),
      .main = KIND(STALL) | KIND(HALF_CLOSE) },
    { .key = "us",
      .word = "duration",
      .type = FIELD_DURATION,
      MEMBER(duration_ns),
      .min = 1,
      .max = FIELD_US_MAX,
      .kinds = KIND(SLOW_CLOSE) | KIND(ACCEPT_DELAY),
      .required = KIND(SLOW_CLOSE) | KIND(ACCEPT_DELAY),
      .main = KIND(SLOW_CLOSE) | KIND(ACCEPT_DELAY) },
    { .key = "chunks", NUMBER(chunks), .min = 2, .max = PIECE_BYTES_MAX, .kinds = KIND(DRIBBLE) },
    { .key = "total_us",
      .word = "total",
      .type = FIELD_DURATION,
      MEMBER(total_ns),
      .min = 1,
      .max = FIELD_US_MAX,
      .kinds = KIND(DRIBBLE) },
    { .key = "interval_us",
      .word = "interval",
      .type = FIELD_DURATION,
      MEMBER(interval_ns),
      .max = FIELD_US_MAX,
      .kinds = KIND(SPLIT) },
    { .key = "interval_us",
      .word = "interval",
      .type = FIELD_DURATION,
      MEMBER(interval_ns),
      .min = 1,
      .max = FIELD_US_MAX,
      .kinds = KIND(DRIBBLE) },
    { .key = "bytes_per_s",
      NUMBER(bytes_per_s),
      .min = 1,
      .max = RATE_MAX,
      .kinds = KIND(BANDWIDTH),
      .required = KIND(BANDWIDTH),
      .main = KIND(BANDWIDTH) },
    { .key = "body",
      .type = FIELD_TEXT,
      MEMBER(body),
      .max = STATUS_BODY_BYTES_MAX,
      .kinds = KIND(STATUS) | KIND(GARBAGE) },
};

#define FIELDS_COUNT (sizeof action_fields / sizeof action_fields[0])
_Static_assert(FIELDS_COUNT <= FIELDS_MAX, "names of all fit the errors");

const char *fault_kind_name(enum fault_kind kind)
{
    return kind_names[kind];
}

int action_find_kind(const char *name)
{
    for (int kind = 0; kind < FAULT_KIND_COUNT; kind++)
        if (strcmp(kind_names[kind], name) == 0)
            return kind;
    return -1;
}

int action_fail_kind(const struct field_place *place, const char *name)
{
    const char *near = nearest_name(name, kind_names, FAULT_KIND_COUNT);
    if (near != NULL)
        return field_fail(place, "kind", "no such kind: \"%.60s\"; did you mean %s?", name, near);
    char list[320] = "";
    size_t at = 0;
    for (size_t i = 0; i < FAULT_KIND_COUNT && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i == 0 ? "" : ", ",
                               kind_names[i]);
    return field_fail(place, "kind", "no such kind: \"%.30s\"; there are %s", name, list);
}

struct fault_action action_default(enum fault_kind kind)
{
    struct fault_action action = {
        .kind = kind,
        .at = at_rules[kind].standard,
        .at_count = at_rules[kind].count,
        .at_fraction = at_rules[kind].fraction,
        .retry_after_s = -1,
    };
    if (KIND(STATUS_IN_STREAM) & (1U << kind))
        action.status = 500;
    else if (KIND(GARBAGE) & (1U << kind))
        action.bytes = GARBAGE_BYTES;
    else if (KIND(SPLIT) & (1U << kind))
        action.bytes = 1;
    else if (KINDS_OF_EVENT & (1U << kind))
        action.events = 1;
    else if (KIND(COALESCE) & (1U << kind))
        action.events = 2;
    else if (KIND(WRONG_LENGTH) & (1U << kind))
        action.length_delta = -1;
    else if ((KIND(STALL) | KIND(HALF_CLOSE)) & (1U << kind))
        action.duration_ns = FAULT_FOREVER;
    return action;
}

bool fault_action_is_accept(const struct fault_action *action)
{
    bool placed = KINDS_OF_AT & (1U << action->kind);
    return action->kind == FAULT_REFUSE || action->kind == FAULT_ACCEPT_DELAY ||
           (placed && action->at == FAULT_AT_ACCEPT);
}

bool fault_action_is_stream(const struct fault_action *action)
{
    uint32_t streams =
        KIND(BAD_SSE) | KIND(DUP_FRAME) | KIND(DROP_DONE) | KIND(COALESCE) | KIND(STATUS_IN_STREAM);
    return streams & (1U << action->kind);
}

/* ---- rows ---- */

static const char *field_called(const struct field *field, const struct field_place *place)
{
    return place->pointer == NULL && field->word != NULL ? field->word : field->key;
}

/* The kinds that have a key which this one has not. */
static int fail_other_kinds(enum fault_kind kind, const char *key, uint32_t kinds,
                            const struct field_place *place)
{
    char list[200] = "";
    size_t at = 0;
    for (int other = 0; other < FAULT_KIND_COUNT && at < sizeof list; other++)
        if (kinds & (1U << other))
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at == 0 ? "" : ", ",
                                   kind_names[other]);
    return field_fail(place, key, "%s has no such key; it is one of %s", kind_names[kind], list);
}

const struct field *action_find(enum fault_kind kind, const char *key,
                                const struct field_place *place)
{
    const char *known[FIELDS_COUNT];
    size_t known_count = 0;
    uint32_t elsewhere = 0;
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        const struct field *field = &action_fields[i];
        const char *name = field_called(field, place);
        bool is_known = field->kinds & (1U << kind);
        if (is_known)
            known[known_count++] = name;
        if (strcmp(name, key) != 0)
            continue;
        if (is_known)
            return field;
        elsewhere |= field->kinds;
    }
    if (elsewhere != 0)
        fail_other_kinds(kind, key, elsewhere, place);
    else
        field_fail_unknown(place, key, known, known_count);
    return NULL;
}

const struct field *action_find_main(enum fault_kind kind)
{
    for (size_t i = 0; i < FIELDS_COUNT; i++)
        if (action_fields[i].main & (1U << kind))
            return &action_fields[i];
    return NULL;
}

bool action_field_is_at(const struct field *field)
{
    return field->type == FIELD_OTHER && field->offset == offsetof(struct fault_action, at);
}

bool action_field_is_delay(const struct field *field)
{
    return field->type == FIELD_OTHER && field->offset == offsetof(struct fault_action, delay);
}

action_rows action_row(const struct field *field)
{
    return UINT64_C(1) << (field - action_fields);
}

/* ---- places ---- */

static const char *at_name(size_t at, const struct field_place *place)
{
    return place->pointer == NULL ? at_names[at].word : at_names[at].key;
}

/* A request cannot ask for what happens before there is one. */
static unsigned at_allowed(enum fault_kind kind, const struct field_place *place)
{
    return at_rules[kind].allowed & ~(place->pointer == NULL ? AT(ACCEPT) : 0U);
}

static int fail_at(const struct fault_action *action, const char *got,
                   const struct field_place *place)
{
    char list[160] = "";
    size_t used = 0;
    for (size_t at = 0; at < AT_COUNT && used < sizeof list; at++)
        if (at_allowed(action->kind, place) & (1U << at))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s%s",
                                     used == 0 ? "" : ", ", at_name(at, place),
                                     !at_names[at].number      ? ""
                                     : at == FAULT_AT_FRACTION ? "0...1"
                                                               : "N");
    return field_fail(place, "at", "expected one of %s, got \"%.60s\"", list, got);
}

/* Digits alone: no sign, no blank, no exponent. */
static bool read_count(uint64_t *out, const char *text)
{
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len > 18 || text[len] != '\0')
        return false;
    *out = strtoull(text, NULL, 10);
    return *out <= COUNT_MAX;
}

static bool read_fraction(double *out, const char *text)
{
    size_t whole = strspn(text, "0123456789"), len = whole;
    if (whole == 0 || whole > FRACTION_DECIMALS)
        return false;
    if (text[whole] == '.') {
        size_t decimals = strspn(text + whole + 1, "0123456789");
        if (decimals == 0 || decimals > FRACTION_DECIMALS)
            return false;
        len = whole + 1 + decimals;
    }
    if (text[len] != '\0')
        return false;
    *out = strtod(text, NULL);
    return *out <= 1;
}

int action_set_at(struct fault_action *action, const char *text, const struct field_place *place)
{
    for (size_t at = 0; at < AT_COUNT; at++) {
        const char *name = at_name(at, place);
        size_t len = strlen(name);
        if (strncmp(text, name, len) != 0 || !(at_allowed(action->kind, place) & (1U << at)))
            continue;
        const char *rest = text + len;
        uint64_t count = 0;
        double fraction = 0;
        bool well = !at_names[at].number      ? *rest == '\0'
                    : at == FAULT_AT_FRACTION ? read_fraction(&fraction, rest)
                                              : read_count(&count, rest);
        if (!well)
            break;
        action->at = (enum fault_at)at;
        action->at_count = count;
        action->at_fraction = fraction;
        return 0;
    }
    return fail_at(action, text, place);
}

/* As action_set_at() reads it: a fraction with as few decimals as give it back. */
static json_t *at_json(const struct fault_action *action)
{
    const char *name = at_names[action->at].key;
    if (!at_names[action->at].number)
        return json_string(name);
    if (action->at != FAULT_AT_FRACTION)
        return json_sprintf("%s%" PRIu64, name, action->at_count);
    char decimal[FRACTION_DECIMALS + 8];
    for (int decimals = 0; decimals <= FRACTION_DECIMALS; decimals++) {
        snprintf(decimal, sizeof decimal, "%.*f", decimals, action->at_fraction);
        if (strtod(decimal, NULL) == action->at_fraction)
            break;
    }
    return json_sprintf("%s%s", name, decimal);
}

static bool at_is_default(const struct fault_action *action)
{
    struct fault_action standard = action_default(action->kind);
    return action->at == standard.at && action->at_count == standard.at_count &&
           action->at_fraction == standard.at_fraction;
}

/* ---- whole actions ---- */

int action_set_delay(struct fault_action *action, const json_t *spec,
                     const struct field_place *place)
{
    struct weir_dist *delay = NULL;
    char pointer[sizeof place->err->pointer] = "", text[sizeof place->err->text] = "";
    int err = latency_parse(&delay, spec, pointer, sizeof pointer, text, sizeof text);
    if (err == -ENOMEM)
        return err;
    if (err < 0)
        return field_fail_inside(place, "delay", pointer, text);
    json_t *copy = json_deep_copy(spec);
    if (copy == NULL) {
        weir_dist_close(delay);
        return -ENOMEM;
    }
    weir_dist_close(action->delay);
    json_decref(action->delay_spec);
    action->delay = delay;
    action->delay_spec = copy;
    return 0;
}

static bool has_rows(action_rows rows, const char *key)
{
    for (size_t i = 0; i < FIELDS_COUNT; i++)
        if ((rows & (UINT64_C(1) << i)) && strcmp(action_fields[i].key, key) == 0)
            return true;
    return false;
}

static int check_dribble(struct fault_action *action, action_rows rows,
                         const struct field_place *place)
{
    bool chunks = has_rows(rows, "chunks"), total = has_rows(rows, "total_us");
    bool bytes = has_rows(rows, "bytes"), interval = has_rows(rows, "interval_us");
    bool by_chunks = chunks && total && !bytes && !interval;
    bool by_bytes = bytes && interval && !chunks && !total;
    if (!by_chunks && !by_bytes)
        return field_fail(place, NULL, "dribble: expected either %s or %s",
                          place->pointer == NULL ? "chunks and total" : "chunks and total_us",
                          place->pointer == NULL ? "bytes and interval" : "bytes and interval_us");
    if (by_chunks) /* the first leaves at once, the last at the end of the time */
        action->interval_ns = action->total_ns / (action->chunks - 1);
    return 0;
}

int action_check(struct fault_action *action, action_rows rows, const struct field_place *place)
{
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        const struct field *field = &action_fields[i];
        if ((field->required & (1U << action->kind)) && !(rows & action_row(field)))
            return field_fail(place, field_called(field, place), "%s needs this key",
                              kind_names[action->kind]);
    }
    if (action->kind == FAULT_DRIBBLE)
        return check_dribble(action, rows, place);
    if (action->kind == FAULT_GARBAGE && has_rows(rows, "body") && has_rows(rows, "bytes"))
        return field_fail(place, "bytes", "garbage is either so many random bytes or a body");
    if (action->kind == FAULT_WRONG_LENGTH && action->length_delta == 0)
        return field_fail(place, "delta", "expected another number than 0");
    return 0;
}

static int action_read_key(struct fault_action *action, const struct field *field,
                           const json_t *value, const struct field_place *place)
{
    if (action_field_is_delay(field))
        return action_set_delay(action, value, place);
    if (!action_field_is_at(field))
        return field_read(field, action, value, place);
    if (!json_is_string(value))
        return field_fail_got(place, "at", "a place as a string", value);
    return action_set_at(action, json_string_value(value), place);
}

static int action_read_keys(struct fault_action *action, const json_t *json,
                            const struct field_place *place)
{
    action_rows rows = 0;
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        if (strcmp(key, "kind") == 0)
            continue;
        const struct field *field = action_find(action->kind, key, place);
        int err = field == NULL ? -EINVAL : action_read_key(action, field, value, place);
        if (err < 0)
            return err;
        rows |= action_row(field);
    }
    return action_check(action, rows, place);
}

int action_read(struct fault_action *out, const json_t *json, const struct field_place *place)
{
    if (!json_is_object(json))
        return field_fail_got(place, NULL, "an object with a kind", json);
    const json_t *name = json_object_get(json, "kind");
    if (name == NULL)
        return field_fail(place, "kind", "the key is missing");
    if (!json_is_string(name))
        return field_fail_got(place, "kind", "the name of a kind as a string", name);
    int kind = action_find_kind(json_string_value(name));
    if (kind < 0)
        return action_fail_kind(place, json_string_value(name));
    struct fault_action action = action_default((enum fault_kind)kind);
    struct field_place inside = *place;
    inside.owner = kind_names[kind];
    int err = action_read_keys(&action, json, &inside);
    if (err < 0) {
        fault_action_close(&action);
        return err;
    }
    *out = action;
    return 0;
}

/* The interval of a dribble in chunks is no key of it, but made of its other two. */
static bool is_made(const struct fault_action *action, const struct field *field)
{
    return action->chunks != 0 && field->offset == offsetof(struct fault_action, interval_ns);
}

static int action_write_field(const struct fault_action *action, const struct field *field,
                              json_t *object)
{
    struct fault_action standard = action_default(action->kind);
    json_t *value = NULL;
    if (action_field_is_at(field)) {
        if (at_is_default(action))
            return 0;
        value = at_json(action);
    } else if (action_field_is_delay(field)) {
        if (action->delay_spec == NULL)
            return 0;
        value = json_deep_copy(action->delay_spec);
    } else {
        return is_made(action, field) ? 0 : field_write(field, action, &standard, object);
    }
    return value != NULL && json_object_set_new(object, field->key, value) == 0 ? 0 : -ENOMEM;
}

json_t *action_json(const struct fault_action *action)
{
    json_t *object = json_pack("{s:s}", "kind", kind_names[action->kind]);
    for (size_t i = 0; object != NULL && i < FIELDS_COUNT; i++) {
        const struct field *field = &action_fields[i];
        if (!(field->kinds & (1U << action->kind)))
            continue;
        if (action_write_field(action, field, object) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

void fault_action_close(struct fault_action *action)
{
    weir_dist_close(action->delay);
    json_decref(action->delay_spec);
    free(action->body);
    *action = (struct fault_action){ .kind = FAULT_NONE };
}
