/* SPDX-License-Identifier: MIT */
/* What each kind of fault can be told, and reading and writing it. */
#ifndef MOCK_FAULT_ACTION_H
#define MOCK_FAULT_ACTION_H

#include "mock/fault/field.h"

/* Which rows of the table were read: bit n is row n. */
typedef uint64_t action_rows;

/* The kind of this name, -1 if there is none. */
int action_find_kind(const char *name);

/* No such kind: the nearest, or all. @return -EINVAL */
int action_fail_kind(const struct field_place *place, const char *name);

/* An action of this kind that nothing else is said of. */
struct fault_action action_default(enum fault_kind kind);

/* The row of this key, in JSON or in a word, for this kind. @return NULL if the kind has none, and
 * it is said */
const struct field *action_find(enum fault_kind kind, const char *key,
                                const struct field_place *place);
/* The row whose value stands behind the kind in a word, NULL if there is none. */
const struct field *action_find_main(enum fault_kind kind);

/* The rows that are not read by field_read(): `at`, and a delay. */
bool action_field_is_at(const struct field *field);
bool action_field_is_delay(const struct field *field);

/* A place: "after_bytes:10", as a word "bytes=10". @return 0; -EINVAL, and it is said */
int action_set_at(struct fault_action *action, const char *text, const struct field_place *place);
/* @return 0; -EINVAL, and it is said; -ENOMEM; -errno of a file */
int action_set_delay(struct fault_action *action, const json_t *spec,
                     const struct field_place *place);

/* Is the whole well, now that these rows were read? @return 0; -EINVAL, and it is said */
int action_check(struct fault_action *action, action_rows rows, const struct field_place *place);
action_rows action_row(const struct field *field);

/* {"kind", ...}. On error nothing is held. @return 0; -EINVAL, and it is said; -ENOMEM */
int action_read(struct fault_action *out, const json_t *json, const struct field_place *place);
/* @return NULL if there is no memory */
json_t *action_json(const struct fault_action *action);

#endif
