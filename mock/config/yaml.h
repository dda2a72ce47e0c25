/* SPDX-License-Identifier: MIT */
/*
 * One YAML document as a tree of JSON: mappings, sequences, and scalars by the core schema of
 * YAML 1.2 (section 10.3): true, false, null and numbers are what they are in JSON, all else is a
 * string, "no" too.
 *
 * What JSON has not is refused with its line and column: anchors, aliases and tags, keys that are
 * no scalars, the same key twice, infinities, a second document. So nothing in a short text can
 * make a large tree.
 */
#ifndef MOCK_CONFIG_YAML_H
#define MOCK_CONFIG_YAML_H

#include <weir/base.h>

#include <jansson.h>

#define YAML_DEPTH_MAX 32

struct yaml_error {
    size_t line, column; /* from 1 on */
    bool no_memory;
    char text[160];
};

/* @return a tree for the caller to json_decref(), an empty object for a text without a document; or
 * NULL with `err` filled */
json_t *yaml_read(struct weir_slice text, struct yaml_error *err);

#endif
