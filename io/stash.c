/* SPDX-License-Identifier: MIT */
#include "io/stash.h"

#include <errno.h>

_Static_assert(offsetof(struct weir_stash_block, data) == WEIR_STASH_HEAD_BYTES,
               "the pool's stride");

static uint32_t capacity(const struct weir_engine *engine)
{
    return engine->stash_block_bytes;
}

static size_t room(const struct weir_engine *engine, const struct weir_stash *stash)
{
    return stash->last == NULL ? 0 : capacity(engine) - stash->last->end;
}

static void block_push(struct weir_engine *engine, struct weir_stash *stash)
{
    struct weir_stash_block *block = weir_pool_get(&engine->stash);
    WEIR_ASSERT(block != NULL);
    block->next = NULL;
    block->begin = block->end = 0;
    if (stash->last != NULL)
        stash->last->next = block;
    else
        stash->first = block;
    stash->last = block;
}

int weir_stash_append(struct weir_engine *engine, struct weir_stash *stash, struct weir_slice data)
{
    size_t have = room(engine, stash);
    size_t missing = data.len > have ? data.len - have : 0;
    size_t blocks = (missing + capacity(engine) - 1) / capacity(engine);
    if (blocks > engine->stash.count - engine->stash.used) {
        engine->stats.stash_short++;
        return -ENOBUFS;
    }
    stash->bytes += data.len;
    while (data.len > 0) {
        if (room(engine, stash) == 0)
            block_push(engine, stash);
        size_t n = weir_min_u64(data.len, room(engine, stash));
        memcpy(stash->last->data + stash->last->end, data.ptr, n);
        stash->last->end += (uint32_t)n;
        data.ptr += n;
        data.len -= n;
    }
    return 0;
}

struct weir_slice weir_stash_front(const struct weir_stash *stash)
{
    const struct weir_stash_block *block = stash->first;
    if (block == NULL)
        return (struct weir_slice){ 0 };
    return (struct weir_slice){ block->data + block->begin, block->end - block->begin };
}

static void block_pop(struct weir_engine *engine, struct weir_stash *stash)
{
    struct weir_stash_block *block = stash->first;
    stash->first = block->next;
    if (stash->first == NULL)
        stash->last = NULL;
    weir_pool_put(&engine->stash, block);
}

bool weir_stash_join(struct weir_engine *engine, struct weir_stash *stash)
{
    struct weir_stash_block *block = stash->first;
    if (block == NULL || block->next == NULL)
        return false;
    if (block->begin > 0) {
        memmove(block->data, block->data + block->begin, block->end - block->begin);
        block->end -= block->begin;
        block->begin = 0;
    }
    struct weir_stash_block *next = block->next;
    uint32_t n = (uint32_t)weir_min_u64(capacity(engine) - block->end, next->end - next->begin);
    if (n == 0)
        return false;
    memcpy(block->data + block->end, next->data + next->begin, n);
    block->end += n;
    next->begin += n;
    if (next->begin == next->end) {
        block->next = next->next;
        if (stash->last == next)
            stash->last = block;
        weir_pool_put(&engine->stash, next);
    }
    return true;
}

void weir_stash_consume(struct weir_engine *engine, struct weir_stash *stash, size_t bytes)
{
    WEIR_ASSERT(bytes <= stash->bytes);
    stash->bytes -= bytes;
    while (bytes > 0) {
        struct weir_stash_block *block = stash->first;
        size_t n = weir_min_u64(bytes, block->end - block->begin);
        block->begin += (uint32_t)n;
        bytes -= n;
        if (block->begin == block->end)
            block_pop(engine, stash);
    }
}

void weir_stash_clear(struct weir_engine *engine, struct weir_stash *stash)
{
    while (stash->first != NULL)
        block_pop(engine, stash);
    stash->bytes = 0;
}
