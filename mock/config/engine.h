/* SPDX-License-Identifier: MIT */
/* The keys of "engine": a kind, a preset, and figures that count for more than the preset's. */
#ifndef MOCK_CONFIG_ENGINE_H
#define MOCK_CONFIG_ENGINE_H

#include "mock/config/schema.h"

#include "mock/model/presets.h"

/* @return the preset that was named, or NULL */
const struct preset *engine_read(const struct schema_node *root, struct config_engine *out);

#endif
