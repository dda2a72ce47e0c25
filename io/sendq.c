/* SPDX-License-Identifier: MIT */
#include "io/sendq.h"

#include <errno.h>

_Static_assert(WEIR_CHUNK_ROOM >= 2048, "a head of usual size fits into one chunk");

static struct weir_seg *chunk_get(struct weir_engine *engine)
{
    struct weir_seg *seg = weir_pool_get(&engine->chunks);
    if (WEIR_UNLIKELY(seg == NULL)) {
        engine->stats.send_memory_short++;
        return NULL;
    }
    seg->next = NULL;
    seg->ptr = (uint8_t *)(seg + 1);
    seg->len = 0;
    seg->room = WEIR_CHUNK_ROOM;
    seg->borrowed = false;
    return seg;
}

static void push(struct weir_sendq *q, struct weir_seg *seg)
{
    if (q->last != NULL)
        q->last->next = seg;
    else
        q->first = seg;
    q->last = seg;
    q->chunks += !seg->borrowed;
}

uint8_t *weir_sendq_reserve_chunk(struct weir_engine *engine, struct weir_sendq *q, size_t bytes)
{
    WEIR_ASSERT(bytes <= WEIR_CHUNK_ROOM);
    struct weir_seg *seg = chunk_get(engine);
    if (seg == NULL)
        return NULL;
    push(q, seg);
    return (uint8_t *)(seg + 1);
}

bool weir_sendq_has_room(const struct weir_engine *engine, const struct weir_sendq *q, size_t bytes)
{
    size_t room = q->last != NULL ? q->last->room : 0;
    if (bytes <= room)
        return true;
    size_t chunks = (bytes - room + WEIR_CHUNK_ROOM - 1) / WEIR_CHUNK_ROOM;
    return chunks <= engine->chunks.count - engine->chunks.used;
}

int weir_sendq_copy(struct weir_engine *engine, struct weir_sendq *q, struct weir_slice data)
{
    if (!weir_sendq_has_room(engine, q, data.len)) {
        engine->stats.send_memory_short++;
        return -ENOBUFS;
    }
    while (data.len > 0) {
        uint8_t *at = weir_sendq_reserve(engine, q, 1);
        WEIR_ASSERT(at != NULL);
        size_t n = weir_min_u64(data.len, q->last->room);
        memcpy(at, data.ptr, n);
        weir_sendq_commit(q, n);
        data.ptr += n;
        data.len -= n;
    }
    return 0;
}

void weir_sendq_borrow(struct weir_sendq *q, struct weir_seg *seg, struct weir_slice data,
                       weir_seg_on_free *on_free)
{
    WEIR_ASSERT(data.len > 0);
    *seg =
        (struct weir_seg){ .ptr = data.ptr, .len = data.len, .borrowed = true, .on_free = on_free };
    push(q, seg);
    q->bytes += data.len;
}

void weir_sendq_splice(struct weir_sendq *into, struct weir_sendq *from)
{
    if (from->first == NULL)
        return;
    if (into->last != NULL)
        into->last->next = from->first;
    else
        into->first = from->first;
    into->last = from->last;
    into->bytes += from->bytes;
    into->chunks += from->chunks;
    *from = (struct weir_sendq){ 0 };
}

static void freed_run(struct weir_ready *ready)
{
    struct weir_engine *engine = weir_container_of(ready, struct weir_engine, freed);
    struct weir_seg *seg = engine->freed_first;
    engine->freed_first = engine->freed_last = NULL;
    while (seg != NULL) {
        struct weir_seg *next = seg->next; /* its memory may be used again from the call on */
        seg->on_free(engine, seg);
        seg = next;
    }
}

/* Tell the owner, from the ready list of this pass: it may queue more at once. */
static void seg_freed(struct weir_engine *engine, struct weir_seg *seg)
{
    if (seg->on_free == NULL)
        return;
    seg->next = NULL;
    if (engine->freed_last != NULL)
        engine->freed_last->next = seg;
    else
        engine->freed_first = seg;
    engine->freed_last = seg;
    engine->freed.run = freed_run;
    weir_ready_push(&engine->ready, &engine->freed);
}

void weir_seg_zc_done(struct weir_engine *engine, struct weir_seg *seg)
{
    WEIR_ASSERT(seg->zc_pending > 0);
    seg->zc_pending--;
    if (!weir_seg_busy(seg))
        seg_freed(engine, seg);
}

static void pop_first(struct weir_engine *engine, struct weir_sendq *q, int err)
{
    struct weir_seg *seg = q->first;
    q->first = seg->next;
    if (q->first == NULL)
        q->last = NULL;
    if (!seg->borrowed) {
        q->chunks--;
        weir_pool_put(&engine->chunks, seg);
        return;
    }
    seg->done = true;
    seg->err = err;
    if (!weir_seg_busy(seg))
        seg_freed(engine, seg);
}

void weir_sendq_consume(struct weir_engine *engine, struct weir_sendq *q, uint64_t bytes)
{
    WEIR_ASSERT(bytes <= q->bytes);
    q->bytes -= bytes;
    while (q->first != NULL && bytes >= q->first->len) {
        bytes -= q->first->len;
        pop_first(engine, q, 0);
    }
    if (bytes > 0) {
        WEIR_ASSERT(q->first != NULL);
        q->first->ptr += bytes;
        q->first->len -= bytes;
    }
    WEIR_DEBUG_ASSERT((q->first == NULL) == (q->bytes == 0));
}

void weir_sendq_clear(struct weir_engine *engine, struct weir_sendq *q)
{
    while (q->first != NULL)
        pop_first(engine, q, WEIR_E_CLOSED);
    q->bytes = 0;
}

uint32_t weir_sendq_gather(const struct weir_sendq *q, struct iovec *parts, uint64_t *bytes,
                           size_t stop_bytes)
{
    uint32_t count = 0;
    *bytes = 0;
    for (const struct weir_seg *s = q->first; s != NULL && count < WEIR_SEND_PARTS_MAX;
         s = s->next) {
        if (s->len == 0)
            continue; /* reserved, nothing committed */
        if (s->borrowed && s->len >= stop_bytes)
            break;
        parts[count++] = (struct iovec){ .iov_base = (void *)(uintptr_t)s->ptr, .iov_len = s->len };
        *bytes += s->len;
    }
    return count;
}
