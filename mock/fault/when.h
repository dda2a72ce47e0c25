/* SPDX-License-Identifier: MIT */
/* When a rule strikes: the conditions, of which rule.h has the formulas. */
#ifndef MOCK_FAULT_WHEN_H
#define MOCK_FAULT_WHEN_H

#include "mock/fault/rule.h"

/* Set `even` of a rule from its probability and its seed. */
void when_prepare(struct fault_rule *rule);

/* Time since the rule began to count. A clock that was read before a reset counts as the reset. */
uint64_t when_elapsed_ns(const struct fault_rule *rule, uint64_t now_ns);

/* Enabled, and its time is not over. */
bool when_is_alive(const struct fault_rule *rule, uint64_t now_ns);

#endif
