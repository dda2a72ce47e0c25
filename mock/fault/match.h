/* SPDX-License-Identifier: MIT */
/* Which requests a rule speaks of. */
#ifndef MOCK_FAULT_MATCH_H
#define MOCK_FAULT_MATCH_H

#include "mock/fault/field.h"

struct fault_match match_any(void);

/* @return 0; -EINVAL, and it is said; -ENOMEM. match_close() releases what there is in any case */
int match_read(struct fault_match *out, const json_t *json, const struct field_place *place);
void match_close(struct fault_match *match);

/* As match_read() reads it; without members if any request will do. @return NULL: no memory */
json_t *match_json(const struct fault_match *match);

/* The part of it that the head does not tell. */
bool match_subject(const struct fault_match *match, const struct fault_subject *subject);

#endif
