/* SPDX-License-Identifier: MIT */
#include "mock/api/request.h"

#include <errno.h>
#include <stdlib.h>

int request_pool_open(struct request_pool *pool, uint32_t capacity)
{
    *pool = (struct request_pool){ .capacity = capacity };
    pool->requests = aligned_alloc(_Alignof(struct request), capacity * sizeof *pool->requests);
    return pool->requests == NULL ? -ENOMEM : 0;
}

/* What few requests have. */
static void request_release(struct request *request)
{
    if (request->override != NULL) {
        override_close(request->override);
        free(request->override);
    }
    if (request->config != NULL)
        config_drop(request->config);
    if (request->wire != NULL) {
        wire_abandon(request->wire);
        free(request->wire);
    }
    free(request->filter);
    text_free(&request->text);
}

void request_pool_close(struct request_pool *pool)
{
    for (uint32_t i = 0; i < pool->touched; i++)
        if (pool->requests[i].app != NULL)
            request_release(&pool->requests[i]);
    free(pool->requests);
    *pool = (struct request_pool){ 0 };
}

struct request *request_get(struct request_pool *pool)
{
    struct request *request = pool->free;
    if (request != NULL)
        pool->free = request->next;
    else if (pool->touched < pool->capacity)
        request = &pool->requests[pool->touched++];
    else
        return NULL;
    *request = (struct request){ 0 };
    return request;
}

/* Last in, first out: the memory that is warm is used again. */
void request_put(struct request_pool *pool, struct request *request)
{
    if (request->text.ptr != NULL || request->config != NULL || request->wire != NULL ||
        request->override != NULL || request->filter != NULL)
        request_release(request);
    request->app = NULL; /* is free */
    request->next = pool->free;
    pool->free = request;
}
