/* SPDX-License-Identifier: MIT */
#include "mock/endpoint.h"

#include <string.h>

#define GET_HEAD ((1U << METHOD_GET) | (1U << METHOD_HEAD))
#define POST     (1U << METHOD_POST)

struct endpoint_info {
    const char *name;
    uint8_t methods;
};

static const struct endpoint_info endpoint_infos[] = {
    [ENDPOINT_MODELS] = { "/api/models", GET_HEAD },
    [ENDPOINT_LOAD] = { "/api/models/load", POST },
    [ENDPOINT_UNLOAD] = { "/api/models/unload", POST },
    [ENDPOINT_INFER] = { "/api/infer", POST },
    [ENDPOINT_BATCH] = { "/api/infer/batch", POST },
    [ENDPOINT_HEALTH] = { "/api/health", GET_HEAD },
    [ENDPOINT_METRICS] = { "/metrics", GET_HEAD },
    [ENDPOINT_STATS] = { "/admin/stats", GET_HEAD },
    [ENDPOINT_REQUESTS] = { "/admin/requests", GET_HEAD },
    [ENDPOINT_RESET] = { "/admin/reset", POST },
    [ENDPOINT_OTHER] = { "other", 0 },
};
_Static_assert(sizeof endpoint_infos / sizeof endpoint_infos[0] == ENDPOINT_COUNT, "one each");

static const char *const method_names[] = {
    [METHOD_GET] = "GET",
    [METHOD_HEAD] = "HEAD",
    [METHOD_POST] = "POST",
    [METHOD_OTHER] = "other",
};
_Static_assert(sizeof method_names / sizeof method_names[0] == METHOD_COUNT, "one each");

/* The length leaves at most two candidates, so each request costs one or two short compares. */
enum endpoint endpoint_find(struct weir_slice path)
{
    const uint8_t *p = path.ptr;
    switch (path.len) {
    case 8:
        return memcmp(p, "/metrics", 8) == 0 ? ENDPOINT_METRICS : ENDPOINT_OTHER;
    case 10:
        return memcmp(p, "/api/infer", 10) == 0 ? ENDPOINT_INFER : ENDPOINT_OTHER;
    case 11:
        if (memcmp(p, "/api/health", 11) == 0)
            return ENDPOINT_HEALTH;
        return memcmp(p, "/api/models", 11) == 0 ? ENDPOINT_MODELS : ENDPOINT_OTHER;
    case 12:
        if (memcmp(p, "/admin/stats", 12) == 0)
            return ENDPOINT_STATS;
        return memcmp(p, "/admin/reset", 12) == 0 ? ENDPOINT_RESET : ENDPOINT_OTHER;
    case 15:
        return memcmp(p, "/admin/requests", 15) == 0 ? ENDPOINT_REQUESTS : ENDPOINT_OTHER;
    case 16:
        if (memcmp(p, "/api/infer/batch", 16) == 0)
            return ENDPOINT_BATCH;
        return memcmp(p, "/api/models/load", 16) == 0 ? ENDPOINT_LOAD : ENDPOINT_OTHER;
    case 18:
        return memcmp(p, "/api/models/unload", 18) == 0 ? ENDPOINT_UNLOAD : ENDPOINT_OTHER;
    default:
        return ENDPOINT_OTHER;
    }
}

/* Methods are case-sensitive: RFC 9110 section 9.1. */
enum method method_find(struct weir_slice method)
{
    if (method.len == 3 && memcmp(method.ptr, "GET", 3) == 0)
        return METHOD_GET;
    if (method.len == 4 && memcmp(method.ptr, "POST", 4) == 0)
        return METHOD_POST;
    if (method.len == 4 && memcmp(method.ptr, "HEAD", 4) == 0)
        return METHOD_HEAD;
    return METHOD_OTHER;
}

const char *endpoint_name(enum endpoint endpoint)
{
    return endpoint_infos[endpoint].name;
}

const char *method_name(enum method method)
{
    return method_names[method];
}

bool endpoint_takes(enum endpoint endpoint, enum method method)
{
    return (endpoint_infos[endpoint].methods >> method & 1U) != 0;
}

struct weir_slice endpoint_allow(enum endpoint endpoint)
{
    return endpoint_infos[endpoint].methods == POST ? WEIR_TEXT("POST") : WEIR_TEXT("GET, HEAD");
}
