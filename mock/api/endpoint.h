/* SPDX-License-Identifier: MIT */
/* The paths and methods that the mock knows. */
#ifndef MOCK_ENDPOINT_H
#define MOCK_ENDPOINT_H

#include <weir/base.h>

/* The order matters: those before ENDPOINT_HEALTH are delayed, limited and failed. */
enum endpoint {
    ENDPOINT_MODELS,
    ENDPOINT_LOAD,
    ENDPOINT_UNLOAD,
    ENDPOINT_INFER,
    ENDPOINT_BATCH,
    ENDPOINT_V1_MODELS,   /* /v1/models */
    ENDPOINT_V1_MODEL,    /* /v1/models/{id} */
    ENDPOINT_COMPLETIONS, /* /v1/completions */
    ENDPOINT_CHAT,        /* /v1/chat/completions */
    ENDPOINT_HEALTH,
    ENDPOINT_V1_HEALTH, /* /health */
    ENDPOINT_VERSION,
    ENDPOINT_METRICS,
    ENDPOINT_PAGE,   /* /admin/ */
    ENDPOINT_EVENTS, /* /admin/events */
    ENDPOINT_STATS,
    ENDPOINT_REQUESTS,
    ENDPOINT_COUNT_REQUESTS, /* /admin/requests/count */
    ENDPOINT_AUDIT,
    ENDPOINT_CONFIG,
    ENDPOINT_FAULTS,
    ENDPOINT_FAULT, /* /admin/faults/{id} */
    ENDPOINT_RESET,
    ENDPOINT_DRAIN,
    ENDPOINT_OTHER, /* every path that is none of the above */
    ENDPOINT_COUNT
};

/* Methods that no endpoint takes are one: a client must not be able to grow the metrics. */
enum method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OTHER,
    METHOD_COUNT
};

/* `path` is that of a request, without its query. O(1) but for one comparison of bytes. */
enum endpoint endpoint_find(struct weir_slice path);
enum method method_find(struct weir_slice method);

/* The last part of ENDPOINT_V1_MODEL and ENDPOINT_FAULT as it is in `path`, percent-encoded, never
 * empty; that of a model may contain '/'. Empty for other endpoints. */
struct weir_slice endpoint_id(enum endpoint endpoint, struct weir_slice path);

/* "/api/models", "/v1/models/{id}", "other": the label in metrics and journal. */
const char *endpoint_name(enum endpoint endpoint);
const char *method_name(enum method method);

/* Does `endpoint` take `method`? ENDPOINT_OTHER takes none. */
bool endpoint_takes(enum endpoint endpoint, enum method method);

/* Value of the Allow field of a 405. */
struct weir_slice endpoint_allow(enum endpoint endpoint);

#endif
