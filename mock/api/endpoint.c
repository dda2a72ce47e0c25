/* SPDX-License-Identifier: MIT */
#include "mock/api/endpoint.h"

#include <string.h>

#define GET    (1U << METHOD_GET)
#define HEAD   (1U << METHOD_HEAD)
#define POST   (1U << METHOD_POST)
#define PUT    (1U << METHOD_PUT)
#define PATCH  (1U << METHOD_PATCH)
#define DELETE (1U << METHOD_DELETE)

struct endpoint_info {
    const char *name;
    const char *allow; /* what `methods` says, as a list */
    uint8_t methods;
};

/* A page of events is one endless answer: it has no HEAD. */
static const struct endpoint_info endpoint_infos[] = {
    [ENDPOINT_MODELS] = { "/api/models", "GET, HEAD", GET | HEAD },
    [ENDPOINT_LOAD] = { "/api/models/load", "POST", POST },
    [ENDPOINT_UNLOAD] = { "/api/models/unload", "POST", POST },
    [ENDPOINT_INFER] = { "/api/infer", "POST", POST },
    [ENDPOINT_BATCH] = { "/api/infer/batch", "POST", POST },
    [ENDPOINT_V1_MODELS] = { "/v1/models", "GET, HEAD", GET | HEAD },
    [ENDPOINT_V1_MODEL] = { "/v1/models/{id}", "GET, HEAD", GET | HEAD },
    [ENDPOINT_COMPLETIONS] = { "/v1/completions", "POST", POST },
    [ENDPOINT_CHAT] = { "/v1/chat/completions", "POST", POST },
    [ENDPOINT_HEALTH] = { "/api/health", "GET, HEAD", GET | HEAD },
    [ENDPOINT_V1_HEALTH] = { "/health", "GET, HEAD", GET | HEAD },
    [ENDPOINT_VERSION] = { "/version", "GET, HEAD", GET | HEAD },
    [ENDPOINT_METRICS] = { "/metrics", "GET, HEAD", GET | HEAD },
    [ENDPOINT_PAGE] = { "/admin/", "GET, HEAD", GET | HEAD },
    [ENDPOINT_EVENTS] = { "/admin/events", "GET", GET },
    [ENDPOINT_STATS] = { "/admin/stats", "GET, HEAD", GET | HEAD },
    [ENDPOINT_REQUESTS] = { "/admin/requests", "GET, HEAD", GET | HEAD },
    [ENDPOINT_COUNT_REQUESTS] = { "/admin/requests/count", "GET, HEAD", GET | HEAD },
    [ENDPOINT_AUDIT] = { "/admin/audit", "GET, HEAD", GET | HEAD },
    [ENDPOINT_CONFIG] = { "/admin/config", "GET, HEAD, PATCH", GET | HEAD | PATCH },
    [ENDPOINT_FAULTS] = { "/admin/faults", "GET, HEAD, POST", GET | HEAD | POST },
    [ENDPOINT_FAULT] = { "/admin/faults/{id}", "GET, HEAD, PUT, PATCH, DELETE",
                         GET | HEAD | PUT | PATCH | DELETE },
    [ENDPOINT_RESET] = { "/admin/reset", "POST", POST },
    [ENDPOINT_DRAIN] = { "/admin/drain", "POST", POST },
    [ENDPOINT_OTHER] = { "other", "", 0 },
};
_Static_assert(sizeof endpoint_infos / sizeof endpoint_infos[0] == ENDPOINT_COUNT, "one each");

static const char *const method_names[] = {
    [METHOD_GET] = "GET",     [METHOD_HEAD] = "HEAD",   [METHOD_POST] = "POST",
    [METHOD_PUT] = "PUT",     [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
    [METHOD_OTHER] = "other",
};
_Static_assert(sizeof method_names / sizeof method_names[0] == METHOD_COUNT, "one each");

/* In a case of the switch over lengths, which makes the compare one or two instructions. */
#define IS(text) (memcmp(p, text, sizeof(text) - 1) == 0)

static enum endpoint endpoint_find_served(const uint8_t *p, size_t len)
{
    switch (len) {
    case 7:
        return IS("/health") ? ENDPOINT_V1_HEALTH : ENDPOINT_OTHER;
    case 8:
        return IS("/metrics")   ? ENDPOINT_METRICS
               : IS("/version") ? ENDPOINT_VERSION
                                : ENDPOINT_OTHER;
    case 10:
        return IS("/api/infer")   ? ENDPOINT_INFER
               : IS("/v1/models") ? ENDPOINT_V1_MODELS
                                  : ENDPOINT_OTHER;
    case 11:
        return IS("/api/health")   ? ENDPOINT_HEALTH
               : IS("/api/models") ? ENDPOINT_MODELS
                                   : ENDPOINT_OTHER;
    case 15:
        return IS("/v1/completions") ? ENDPOINT_COMPLETIONS : ENDPOINT_OTHER;
    case 16:
        return IS("/api/infer/batch")   ? ENDPOINT_BATCH
               : IS("/api/models/load") ? ENDPOINT_LOAD
                                        : ENDPOINT_OTHER;
    case 18:
        return IS("/api/models/unload") ? ENDPOINT_UNLOAD : ENDPOINT_OTHER;
    case 20:
        return IS("/v1/chat/completions") ? ENDPOINT_CHAT : ENDPOINT_OTHER;
    default:
        return ENDPOINT_OTHER;
    }
}

/* "/admin" without its slash is the page, too: that is what people type. */
static enum endpoint endpoint_find_admin(const uint8_t *p, size_t len)
{
    switch (len) {
    case 6:
    case 7:
        return IS("/admin") && (len == 6 || p[6] == '/') ? ENDPOINT_PAGE : ENDPOINT_OTHER;
    case 12:
        return IS("/admin/stats")   ? ENDPOINT_STATS
               : IS("/admin/audit") ? ENDPOINT_AUDIT
               : IS("/admin/reset") ? ENDPOINT_RESET
               : IS("/admin/drain") ? ENDPOINT_DRAIN
                                    : ENDPOINT_OTHER;
    case 13:
        return IS("/admin/events")   ? ENDPOINT_EVENTS
               : IS("/admin/config") ? ENDPOINT_CONFIG
               : IS("/admin/faults") ? ENDPOINT_FAULTS
                                     : ENDPOINT_OTHER;
    case 15:
        return IS("/admin/requests") ? ENDPOINT_REQUESTS : ENDPOINT_OTHER;
    case 21:
        return IS("/admin/requests/count") ? ENDPOINT_COUNT_REQUESTS : ENDPOINT_OTHER;
    default:
        return ENDPOINT_OTHER;
    }
}

#define MODEL_PREFIX "/v1/models/"
#define FAULT_PREFIX "/admin/faults/"

static bool endpoint_begins(struct weir_slice path, const char *prefix, size_t len)
{
    return path.len > len && memcmp(path.ptr, prefix, len) == 0;
}

enum endpoint endpoint_find(struct weir_slice path)
{
    enum endpoint endpoint = endpoint_find_served(path.ptr, path.len);
    if (endpoint != ENDPOINT_OTHER)
        return endpoint;
    endpoint = endpoint_find_admin(path.ptr, path.len);
    if (endpoint != ENDPOINT_OTHER)
        return endpoint;
    /* Names of models have slashes ("org/model"), and not every client encodes them. */
    if (endpoint_begins(path, MODEL_PREFIX, sizeof MODEL_PREFIX - 1))
        return ENDPOINT_V1_MODEL;
    size_t fault = sizeof FAULT_PREFIX - 1;
    if (endpoint_begins(path, FAULT_PREFIX, fault) &&
        memchr(path.ptr + fault, '/', path.len - fault) == NULL)
        return ENDPOINT_FAULT;
    return ENDPOINT_OTHER;
}

/* Methods are case-sensitive: RFC 9110 section 9.1. */
enum method method_find(struct weir_slice method)
{
    const uint8_t *p = method.ptr;
    switch (method.len) {
    case 3:
        return IS("GET") ? METHOD_GET : IS("PUT") ? METHOD_PUT : METHOD_OTHER;
    case 4:
        return IS("POST") ? METHOD_POST : IS("HEAD") ? METHOD_HEAD : METHOD_OTHER;
    case 5:
        return IS("PATCH") ? METHOD_PATCH : METHOD_OTHER;
    case 6:
        return IS("DELETE") ? METHOD_DELETE : METHOD_OTHER;
    default:
        return METHOD_OTHER;
    }
}

struct weir_slice endpoint_id(enum endpoint endpoint, struct weir_slice path)
{
    size_t skip = endpoint == ENDPOINT_V1_MODEL ? sizeof MODEL_PREFIX - 1
                  : endpoint == ENDPOINT_FAULT  ? sizeof FAULT_PREFIX - 1
                                                : path.len;
    return (struct weir_slice){ path.ptr + skip, path.len - skip };
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
    const char *allow = endpoint_infos[endpoint].allow;
    return (struct weir_slice){ (const uint8_t *)allow, strlen(allow) };
}
