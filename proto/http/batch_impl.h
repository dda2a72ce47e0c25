/* SPDX-License-Identifier: MIT */
/* The batcher's own structures, shared by batch.c (items, policy, life) and batch_flight.c (one
 * batch on its way). */
#ifndef WEIR_PROTO_HTTP_BATCH_IMPL_H
#define WEIR_PROTO_HTTP_BATCH_IMPL_H

#include "core/arena.h"
#include "core/list.h"
#include "io/conn.h"
#include "proto/http/batch_size.h"

#include <weir/batch.h>

/* Where an item is. */
enum weir_batch_item_state {
    BATCH_ITEM_IDLE,    /* the caller's */
    BATCH_ITEM_WAITING, /* batcher->waiting */
    BATCH_ITEM_SENT,    /* in a batch at `place`; owner is the batch */
    BATCH_ITEM_ENDED    /* batcher->ended: on_end (err) is owed */
};

/* First in, first out; linked by the items themselves. */
struct weir_batch_items {
    struct weir_batch_item *first, *last;
    uint32_t count;
};

/* One batch. Its memory is used again and again; what it had is forgotten when it is filled. */
struct weir_batch {
    struct weir_list link; /* batcher->free, ->flight or ->done; none while it is stalled */
    struct weir_batcher *batcher;
    struct weir_batch_item **items; /* [items_max]; NULL: ended before the batch did */
    uint32_t items_count, aim;
    uint64_t number, sent_ns;
    uint8_t *body, *answer;
    size_t body_len, answer_len;
    int err;        /* of the call */
    bool done;      /* the call has ended */
    bool over;      /* the answer exceeds its limit */
    bool cancelled; /* the call was cancelled at close */
    struct weir_call call;
};

struct weir_batcher {
    struct weir_engine *engine;
    struct weir_client *client;
    struct weir_batch_size size;
    struct weir_batch_items waiting, ended;
    uint64_t waiting_bytes; /* of the bodies, and one for each item */
    uint32_t items_now;     /* accepted and not ended */
    uint32_t in_flight;     /* calls sent and not ended */
    bool running;           /* run() comes to all that is done now */
    bool demanded;
    bool closing;
    struct weir_list free;      /* last used first: its memory is warm */
    struct weir_list flight;    /* in the order sent */
    struct weir_list done;      /* whose turn to be delivered has come */
    struct weir_batch *stalled; /* filled, but the client had no room for it */
    struct weir_ready run;
    struct weir_timer timer;
    struct weir_batcher_stats stats;
    struct weir_hist *latency;
    struct weir_batcher_config cfg;
    struct weir_slice target, host;
    struct weir_header *headers;
    size_t headers_count;
    struct weir_arena arena;
};

/* batch.c */
/* To be looked after at the end of this pass. */
void weir_batcher_schedule(struct weir_batcher *batcher);
/* The item is over: back to the caller, now; status and answer are set. */
void weir_batch_item_finish(struct weir_batcher *batcher, struct weir_batch_item *item, int err);

static inline void weir_batch_items_push(struct weir_batch_items *items,
                                         struct weir_batch_item *item)
{
    item->next = NULL;
    item->prev = items->last;
    if (items->last != NULL)
        items->last->next = item;
    else
        items->first = item;
    items->last = item;
    items->count++;
}

static inline void weir_batch_items_remove(struct weir_batch_items *items,
                                           struct weir_batch_item *item)
{
    WEIR_ASSERT(items->count > 0);
    if (item->prev != NULL)
        item->prev->next = item->next;
    else
        items->first = item->next;
    if (item->next != NULL)
        item->next->prev = item->prev;
    else
        items->last = item->prev;
    items->count--;
}

/* An item leaves the queue, for a batch or for good. */
static inline void weir_batcher_unqueue(struct weir_batcher *batcher, struct weir_batch_item *item)
{
    weir_batch_items_remove(&batcher->waiting, item);
    batcher->waiting_bytes -= item->body.len + 1;
}

/* batch_flight.c */
/* Fill a free batch with the first that wait, and send it. */
void weir_batch_launch(struct weir_batcher *batcher, enum weir_batch_flush why);
/* Try again to send the one that is stalled. */
void weir_batch_relaunch(struct weir_batcher *batcher);
/* End the items of a batch whose turn it is, and free it. */
void weir_batch_deliver(struct weir_batch *batch);

#endif
