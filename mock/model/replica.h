/* SPDX-License-Identifier: MIT */
/*
 * A model engine (model_engine.h) that runs in real time on one thread: one timer for all of its
 * sequences, which fires when a step ends. What the step produced is handed out in one go, so that
 * all streams of a step leave in one submission.
 *
 * Each thread has its own replica of each model, as a data-parallel deployment has: its limits are
 * per replica.
 *
 *   OPEN --replica_retire()--> RETIRED (its sequences go on) --last one ended--> released
 */
#ifndef MOCK_REPLICA_H
#define MOCK_REPLICA_H

#include "mock/model/model_engine.h"

#include <weir/timer.h>

struct replica;

/* Called on the thread of the replica. They may submit to it and cancel in it. */
struct replica_handler {
    /* It runs: `cached_tokens` of its prompt were in the prefix cache. Again after a preemption. */
    void (*on_admitted)(void *owner, uint32_t cached_tokens, uint64_t at_ns);
    /* Token number `count`, from 1, was due at `due_ns`. `last`: the handle is unknown from now on.
     */
    void (*on_token)(void *owner, uint32_t count, bool last, uint64_t due_ns);
};

/* @return 0, -EINVAL, -ENOMEM; as model_engine_open() */
int replica_open(struct replica **out, struct weir_engine *engine,
                 const struct model_engine_cfg *cfg, const struct replica_handler *handler);

/* Nothing is submitted any more; it releases itself behind its last sequence, now if it has none.
 */
void replica_retire(struct replica *replica);

/* At once, with all that it has: no handler is called. NULL is allowed. */
void replica_close(struct replica *replica);

/*
 * As model_engine_submit(). The handlers are not called from within, unless it is called from one
 * of them.
 */
int replica_submit(uint64_t *handle, struct replica *replica, const struct model_request *request);

/* Forget a sequence that has not ended. */
void replica_cancel(struct replica *replica, uint64_t handle);

struct model_engine_stats replica_stats(const struct replica *replica);

#endif
