/* SPDX-License-Identifier: MIT */
#include "mock/model/replica.h"

#include <errno.h>
#include <stdlib.h>

struct replica {
    struct weir_engine *engine;
    const struct replica_handler *handler;
    struct weir_timer timer;
    uint32_t sequences_count;
    bool advancing; /* handlers run: what they submit is seen by the loop that called them */
    bool retired;
    struct model_engine model;
};

static void replica_release(struct replica *replica)
{
    weir_timer_cancel(&replica->timer);
    model_engine_close(&replica->model);
    free(replica);
}

static void replica_handle(struct replica *replica, const struct model_step *step)
{
    for (uint32_t i = 0; i < step->events_count; i++) {
        /* Looked at one after the other: handling one can cancel a later one. */
        const struct model_event *event = &step->events[i];
        if (event->kind == MODEL_EVENT_ADMITTED) {
            replica->handler->on_admitted(event->owner, event->tokens_count, event->at_ns);
        } else if (event->kind == MODEL_EVENT_TOKEN) {
            replica->sequences_count -= event->last;
            replica->handler->on_token(event->owner, event->tokens_count, event->last,
                                       event->at_ns);
        }
    }
}

/* Everything up to now, and the timer to what comes next. */
static void replica_advance(struct replica *replica)
{
    uint64_t now_ns = weir_engine_clock_ns(replica->engine);
    uint64_t next_ns = 0;
    struct model_step step;
    replica->advancing = true;
    while ((next_ns = model_engine_next(&replica->model, now_ns)) <= now_ns)
        if (model_engine_step(&step, &replica->model, now_ns))
            replica_handle(replica, &step);
    replica->advancing = false;
    if (replica->retired && replica->sequences_count == 0)
        replica_release(replica);
    else if (next_ns == MODEL_ENGINE_IDLE)
        weir_timer_cancel(&replica->timer);
    else
        weir_timer_set(replica->engine, &replica->timer, next_ns);
}

static void replica_on_timer(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    replica_advance(ctx);
}

int replica_open(struct replica **out, struct weir_engine *engine,
                 const struct model_engine_cfg *cfg, const struct replica_handler *handler)
{
    struct replica *replica = calloc(1, sizeof *replica);
    if (replica == NULL)
        return -ENOMEM;
    replica->engine = engine;
    replica->handler = handler;
    weir_timer_init(&replica->timer, replica_on_timer, replica);
    int err = model_engine_open(&replica->model, cfg);
    if (err < 0) {
        free(replica);
        return err;
    }
    *out = replica;
    return 0;
}

void replica_retire(struct replica *replica)
{
    replica->retired = true;
    if (replica->sequences_count == 0 && !replica->advancing)
        replica_release(replica);
}

void replica_close(struct replica *replica)
{
    if (replica != NULL)
        replica_release(replica);
}

int replica_submit(uint64_t *handle, struct replica *replica, const struct model_request *request)
{
    int err = model_engine_submit(handle, &replica->model, request);
    if (err < 0)
        return err;
    replica->sequences_count++;
    /*
     * The step that this arrival may begin is looked for by the timer, in a later turn: all that
     * arrives in the same turn is in it.
     */
    bool sooner = !replica->model.in_step && weir_timer_is_set(&replica->timer) &&
                  request->arrival_ns < replica->timer.deadline_ns;
    if (!replica->advancing && (sooner || !weir_timer_is_set(&replica->timer)))
        weir_timer_set(replica->engine, &replica->timer, request->arrival_ns);
    return 0;
}

void replica_cancel(struct replica *replica, uint64_t handle)
{
    if (model_engine_cancel(&replica->model, handle) < 0)
        return;
    replica->sequences_count--;
    if (replica->retired && replica->sequences_count == 0 && !replica->advancing)
        replica_release(replica);
}

struct model_engine_stats replica_stats(const struct replica *replica)
{
    return model_engine_stats(&replica->model);
}
