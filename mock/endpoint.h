/* SPDX-License-Identifier: MIT */
/* The paths and methods that the mock knows. */
#ifndef MOCK_ENDPOINT_H
#define MOCK_ENDPOINT_H

#include <weir/base.h>

enum endpoint {
    ENDPOINT_MODELS,
    ENDPOINT_LOAD,
    ENDPOINT_UNLOAD,
    ENDPOINT_INFER,
    ENDPOINT_BATCH,
    ENDPOINT_HEALTH,
    ENDPOINT_METRICS,
    ENDPOINT_STATS,
    ENDPOINT_REQUESTS,
    ENDPOINT_RESET,
    ENDPOINT_OTHER, /* every path that is none of the above */
    ENDPOINT_COUNT
};

/* Methods that no endpoint takes are one: a client must not be able to grow the metrics. */
enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_OTHER, METHOD_COUNT };

enum endpoint endpoint_find(struct weir_slice path);
enum method method_find(struct weir_slice method);

/* "/api/models", "other": the label in metrics and journal. */
const char *endpoint_name(enum endpoint endpoint);
const char *method_name(enum method method);

/* Does `endpoint` take `method`? ENDPOINT_OTHER takes none. */
bool endpoint_takes(enum endpoint endpoint, enum method method);

/* Value of the Allow field of a 405. */
struct weir_slice endpoint_allow(enum endpoint endpoint);

#endif
