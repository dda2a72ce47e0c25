/* SPDX-License-Identifier: MIT */
/*
 * How many items a batch should have, and when to send what there is. Pure functions of counters:
 * no clock, no I/O; batch.c tells them what happened and does what they say.
 *
 * Two batches are the aim: one under way while the next gathers. So the size aimed at follows half
 * of the items that are accepted and not ended, whatever their number; what that does is
 * proportional at every load. One item alone is never held, two travel alone side by side, and 64
 * in progress become batches of 32 that take turns.
 *
 *   grow    + 1 for each full batch whose latency stayed within the target, up to that half
 *   shrink  x 3/4 when a batch took longer, once for all batches that were under way together
 *   follow  by a quarter of the distance down to the half, when the load is less than it was
 *
 * The target, unless one is given: twice the smallest latency of a batch, since a batch may find
 * another one in front of it, and the time that items may be held, since that is what the owner is
 * ready to pay for batching. It bounds batches whose latency grows with their size because the
 * server takes their items one by one. The smallest latency follows slowly upwards while batches
 * have one item: they cannot be any smaller, so a path that became slower for good is learnt
 * instead of being answered with ever smaller batches.
 */
#ifndef WEIR_PROTO_HTTP_BATCH_SIZE_H
#define WEIR_PROTO_HTTP_BATCH_SIZE_H

#include <weir/batch.h>

struct weir_batch_size {
    uint32_t items_max;
    bool adaptive;
    uint64_t wait_ns;
    uint64_t target_ns;   /* 0: learnt */
    uint32_t aim;         /* 1 ... items_max */
    uint64_t smallest_ns; /* latency of a batch; 0: none was measured yet */
    uint64_t sent;        /* batches so far: the number of the last */
    uint64_t shrunk_at;   /* `sent` when it shrank last */
};

/* What the decision is made from. */
struct weir_batch_view {
    uint32_t waiting;   /* items */
    uint32_t in_flight; /* batches */
    bool bytes_full;    /* the waiting items have more bytes than one batch takes */
    bool demanded;      /* a flush was asked for */
    uint64_t held_ns;   /* how long the first of them has waited */
};

/* What a batch that was answered taught. */
struct weir_batch_sample {
    uint64_t number; /* what weir_batch_size_sent() returned for it */
    uint32_t items;
    uint32_t aim;         /* when it was sent */
    uint32_t outstanding; /* items accepted and not ended, its own included */
    uint64_t latency_ns;
};

void weir_batch_size_init(struct weir_batch_size *size, const struct weir_batcher_config *cfg);

/* Send a batch now, and why? WEIR_BATCH_HOLD: not yet. */
enum weir_batch_flush weir_batch_size_decide(const struct weir_batch_size *size,
                                             const struct weir_batch_view *view);

/* A batch is sent. @return its number */
uint64_t weir_batch_size_sent(struct weir_batch_size *size);

/* The longest that a batch may take; UINT64_MAX while nothing is known. */
uint64_t weir_batch_size_target_ns(const struct weir_batch_size *size);

/* Not for batches that failed: how fast a failure comes says nothing about size. */
void weir_batch_size_learn(struct weir_batch_size *size, const struct weir_batch_sample *sample);

#endif
