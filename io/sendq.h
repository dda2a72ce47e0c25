/* SPDX-License-Identifier: MIT */
/*
 * Output that waits to be sent: a list of segments, each a chunk of engine memory with bytes copied
 * in, or bytes of the caller's that are borrowed until they are sent.
 *
 * A queue is either a connection's (what is on it goes out in order, one send in flight) or lies
 * aside and is moved to the end of a connection's when its turn comes.
 */
#ifndef WEIR_IO_SENDQ_H
#define WEIR_IO_SENDQ_H

#include "core/engine.h"

struct weir_seg;

/* The memory of a borrowed segment is the caller's again. From the ready list, exactly once. */
typedef void weir_seg_on_free(struct weir_engine *engine, struct weir_seg *seg);

struct weir_seg {
    struct weir_seg *next;
    const uint8_t *ptr;
    size_t len;
    uint32_t room; /* bytes free behind ptr + len; 0 for borrowed bytes */
    bool borrowed;
    bool done;                 /* borrowed: off its queue, sent or not */
    uint16_t zc_pending;       /* zero-copy sends of it whose memory the kernel still uses */
    int err;                   /* why it was not sent whole; 0 = it was */
    weir_seg_on_free *on_free; /* borrowed; NULL = nobody asks */
};

#define WEIR_CHUNK_ROOM (WEIR_CHUNK_BYTES - sizeof(struct weir_seg))

struct weir_sendq {
    struct weir_seg *first, *last;
    uint64_t bytes;
    uint32_t chunks; /* of engine memory */
};

static inline bool weir_sendq_empty(const struct weir_sendq *q)
{
    return q->first == NULL;
}

/* The slow half of weir_sendq_reserve(). */
uint8_t *weir_sendq_reserve_chunk(struct weir_engine *engine, struct weir_sendq *q, size_t bytes);

/*
 * Where `bytes` (at most WEIR_CHUNK_ROOM) can be written in one piece at the end of the queue; NULL
 * when there is no output memory. weir_sendq_commit() takes what was written.
 */
static inline uint8_t *weir_sendq_reserve(struct weir_engine *engine, struct weir_sendq *q,
                                          size_t bytes)
{
    struct weir_seg *last = q->last;
    if (WEIR_LIKELY(last != NULL && last->room >= bytes))
        return (uint8_t *)(uintptr_t)last->ptr + last->len;
    return weir_sendq_reserve_chunk(engine, q, bytes);
}

static inline void weir_sendq_commit(struct weir_sendq *q, size_t bytes)
{
    struct weir_seg *last = q->last;
    WEIR_ASSERT(last->room >= bytes);
    last->len += bytes;
    last->room -= (uint32_t)bytes;
    q->bytes += bytes;
}

/* Is there memory for `bytes` more, copied? */
bool weir_sendq_has_room(const struct weir_engine *engine, const struct weir_sendq *q,
                         size_t bytes);
/* Copy all of `data`, or nothing. @return 0 or -ENOBUFS */
int weir_sendq_copy(struct weir_engine *engine, struct weir_sendq *q,
                    struct weir_slice data) WEIR_MUST_USE;
/* Queue bytes of the caller's; `seg` and they must stay until they are sent (or the queue is
 * cleared). */
void weir_sendq_borrow(struct weir_sendq *q, struct weir_seg *seg, struct weir_slice data,
                       weir_seg_on_free *on_free);
/* Is the kernel, or a queue, still using the bytes of a borrowed segment? */
static inline bool weir_seg_busy(const struct weir_seg *seg)
{
    return seg->borrowed && (!seg->done || seg->zc_pending > 0);
}
/* A zero-copy send of it is over for good. */
void weir_seg_zc_done(struct weir_engine *engine, struct weir_seg *seg);
/* Move all of `from` to the end of `into`. */
void weir_sendq_splice(struct weir_sendq *into, struct weir_sendq *from);
/* Take `bytes` that were sent off the front, giving chunks back. */
void weir_sendq_consume(struct weir_engine *engine, struct weir_sendq *q, uint64_t bytes);
/* Forget everything. No send may be in flight. */
void weir_sendq_clear(struct weir_engine *engine, struct weir_sendq *q);
/*
 * Describe the front of the queue, but not beyond a borrowed segment of `stop_bytes` or more.
 * @return parts used, at most WEIR_SEND_PARTS_MAX; *bytes is their sum
 */
uint32_t weir_sendq_gather(const struct weir_sendq *q, struct iovec *parts, uint64_t *bytes,
                           size_t stop_bytes);

#endif
