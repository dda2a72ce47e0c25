/* SPDX-License-Identifier: MIT */
/*
 * Fixed-size objects from an arena. Last in, first out, so that what is hot stays hot; objects that
 * were never used are taken only when the free list is empty, so that their pages stay untouched.
 *
 * The first pointer of a free object links the free list; the rest keeps what the owner left in it.
 */
#ifndef WEIR_CORE_POOL_H
#define WEIR_CORE_POOL_H

#include "core/arena.h"
#include "core/assert.h"

struct weir_pool {
    uint8_t *base;
    void *free;
    uint32_t stride;
    uint32_t count;
    uint32_t fresh; /* objects from here on were never used */
    uint32_t used;  /* objects out */
};

static inline uint64_t weir_pool_bytes(uint64_t stride, uint64_t count)
{
    return weir_arena_cost(stride * count, WEIR_CACHE_LINE);
}

static inline void weir_pool_open(struct weir_pool *pool, struct weir_arena *arena, uint32_t stride,
                                  uint32_t count)
{
    WEIR_ASSERT(stride >= sizeof(void *) && stride % sizeof(void *) == 0);
    WEIR_ASSERT(count > 0);
    *pool = (struct weir_pool){
        .base = weir_arena_take(arena, (uint64_t)stride * count, WEIR_CACHE_LINE),
        .stride = stride,
        .count = count,
    };
}

/* An object, or NULL when all are out. A fresh one is zeroed; a used one is as its owner left it.
 */
static inline void *weir_pool_get(struct weir_pool *pool)
{
    void *object = pool->free;
    if (WEIR_LIKELY(object != NULL)) {
        memcpy(&pool->free, object, sizeof pool->free);
    } else {
        if (pool->fresh == pool->count)
            return NULL;
        object = pool->base + (uint64_t)pool->stride * pool->fresh++;
    }
    pool->used++;
    return object;
}

static inline uint32_t weir_pool_index(const struct weir_pool *pool, const void *object)
{
    return (uint32_t)((uint64_t)((const uint8_t *)object - pool->base) / pool->stride);
}

static inline void *weir_pool_at(const struct weir_pool *pool, uint32_t index)
{
    WEIR_DEBUG_ASSERT(index < pool->count);
    return pool->base + (uint64_t)pool->stride * index;
}

static inline void weir_pool_put(struct weir_pool *pool, void *object)
{
    WEIR_ASSERT(pool->used > 0);
    WEIR_DEBUG_ASSERT((uint8_t *)object >= pool->base &&
                      weir_pool_index(pool, object) < pool->fresh);
    WEIR_DEBUG_ASSERT(((uint64_t)((uint8_t *)object - pool->base)) % pool->stride == 0);
    WEIR_DEBUG_ASSERT(object != pool->free);
    memcpy(object, &pool->free, sizeof pool->free);
    pool->free = object;
    pool->used--;
}

#endif
