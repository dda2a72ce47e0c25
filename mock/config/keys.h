/* SPDX-License-Identifier: MIT */
/* Every key of a configuration, in the order in which they are shown. */
#ifndef MOCK_CONFIG_KEYS_H
#define MOCK_CONFIG_KEYS_H

#include "mock/config/schema.h"

void keys_read(const struct schema_node *root, struct config *config, const struct config *before);

#endif
