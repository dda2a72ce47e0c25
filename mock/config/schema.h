/* SPDX-License-Identifier: MIT */
/*
 * Reading a configuration's tree key by key: each call names a key, says what may be there and what
 * holds when nothing is, and puts the value into the full tree. So the calls are the schema, and
 * the keys that the full tree has in the end are the known ones.
 *
 * The first thing that is wrong counts: what follows it is not looked at, and every call returns
 * its fallback. A null is what is not there.
 */
#ifndef MOCK_CONFIG_SCHEMA_H
#define MOCK_CONFIG_SCHEMA_H

#include "mock/config/config.h"

struct schema {
    struct config_error *err;
    int result; /* 0, or of the first thing that was wrong */
};

/* A place in the tree, and the path to it. Lives on the stack of who reads it. */
struct schema_node {
    struct schema *schema;
    const struct schema_node *parent; /* NULL: this is the root */
    const char *key;                  /* NULL: `index` of an array */
    size_t index;
    const json_t *given; /* NULL: nothing is */
    json_t *full;        /* the tree's part for it */
};

/* The whole: `full` is an empty object. */
struct schema_node schema_root(struct schema *schema, const json_t *given, json_t *full);

/* The object `key` below `node`. */
struct schema_node schema_object(const struct schema_node *node, const char *key);

/* The array `key` below `node`, of `max` elements at most. An array that is not given has `given`
 * NULL. */
struct schema_node schema_array(const struct schema_node *node, const char *key, size_t max);

/* Element `index` of an array of objects; in order, once each. */
struct schema_node schema_element(const struct schema_node *array, size_t index);

/* All of an object's keys have been read: the others are unknown. */
void schema_end(const struct schema_node *node);

bool schema_bool(const struct schema_node *node, const char *key, bool fallback);

struct schema_range {
    int64_t min, max, fallback;
};
int64_t schema_integer(const struct schema_node *node, const char *key, struct schema_range range);

/* Microseconds with or without a fraction, as a number of `per_us` to the microsecond: 1,000 for
 * nanoseconds, 1,000,000 for picoseconds. `max` and `fallback` are such numbers. */
struct schema_scale {
    uint64_t per_us, max, fallback;
};
uint64_t schema_scaled(const struct schema_node *node, const char *key, struct schema_scale scale);

/* Whole microseconds, at most WEIR_DIST_NS_MAX, as nanoseconds. */
uint64_t schema_us(const struct schema_node *node, const char *key, uint64_t fallback_us);

/* 0 ... max. */
double schema_real(const struct schema_node *node, const char *key, double max, double fallback);

/* Which of `names` it is; an integer is looked for as its digits. A `fallback` of -1 is none: null.
 */
struct schema_names {
    const char *const *names;
    size_t count;
    int fallback;
};
int schema_choice(const struct schema_node *node, const char *key, struct schema_names names);

/* A text of less than CONFIG_NAME_BYTES, not empty, no control characters. `fallback` NULL: it must
 * be there. */
void schema_name(const struct schema_node *node, const char *key, char out[CONFIG_NAME_BYTES],
                 const char *fallback);

/* A latency, the caller's for weir_dist_close(). `fallback` NULL: none, and NULL is returned. */
struct weir_dist *schema_latency(const struct schema_node *node, const char *key,
                                 const char *fallback);

/* A number of tokens as latency_parse_tokens() reads it, or NULL. */
struct weir_dist *schema_tokens(const struct schema_node *node, const char *key);

/* What is wrong about `key` below `node` (NULL: the node itself), or about what `pointer` says is
 * further below. */
struct schema_where {
    const struct schema_node *node;
    const char *key;
    const char *pointer; /* NULL: "" */
};
__attribute__((format(printf, 2, 3))) void schema_fail(struct schema_where where,
                                                       const char *format, ...);

/* Nothing is said but the result: out of memory. */
void schema_fail_memory(const struct schema_node *node);

#endif
