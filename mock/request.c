/* SPDX-License-Identifier: MIT */
#include "mock/request.h"

#include <errno.h>
#include <stdlib.h>

int request_pool_open(struct request_pool *pool, uint32_t capacity)
{
    *pool = (struct request_pool){ .capacity = capacity };
    pool->requests = calloc(capacity, sizeof *pool->requests);
    return pool->requests == NULL ? -ENOMEM : 0;
}

void request_pool_close(struct request_pool *pool)
{
    for (uint32_t i = 0; i < pool->touched; i++)
        text_free(&pool->requests[i].text);
    free(pool->requests);
    *pool = (struct request_pool){ 0 };
}

struct request *request_get(struct request_pool *pool)
{
    struct request *request = pool->free;
    if (request != NULL) {
        pool->free = request->next;
        *request = (struct request){ 0 };
        return request;
    }
    if (pool->touched == pool->capacity)
        return NULL;
    return &pool->requests[pool->touched++]; /* calloc() zeroed it */
}

/* Last in, first out: the memory that is warm is used again. */
void request_put(struct request_pool *pool, struct request *request)
{
    if (request->text.ptr != NULL)
        text_free(&request->text);
    request->next = pool->free;
    pool->free = request;
}
