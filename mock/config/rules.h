/* SPDX-License-Identifier: MIT */
/* The key "faults": its rules, and which of them go on from the configuration before. */
#ifndef MOCK_CONFIG_RULES_H
#define MOCK_CONFIG_RULES_H

#include "mock/config/schema.h"

/* Rules without an id get one in `tree`, so that they keep it when others come and go. What is no
 * rule is left alone, for rules_read() to refuse. @return 0 or -ENOMEM */
int rules_name(json_t *tree);

/* `config` has its seed. */
void rules_read(const struct schema_node *root, struct config *config, const struct config *before);

/* The configuration is right: its rules get their numbers, which nothing takes back. */
void rules_number(const struct schema_node *root, struct config *config);

#endif
