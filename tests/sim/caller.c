/* SPDX-License-Identifier: MIT */
#include "caller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct sim_call *call_of(struct weir_call *call)
{
    return weir_container_of(call, struct sim_call, call);
}

/* ---- Answers ----------------------------------------------------------------------------- */

static void on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct sim_call *c = call_of(call);
    SIM_CHECK(!c->head, "exchange %u has two heads", c->x->id);
    c->head = true;
    uint16_t status = weir_response_status(head);
    /* A server may refuse what it cannot serve now; in a strict run it must not. */
    bool refused = status >= 400 && status != c->x->plan.status && !c->caller->run->config.strict;
    SIM_CHECK(status == c->x->plan.status || refused, "exchange %u is answered %u", c->x->id,
              status);
    if (refused)
        c->got_bytes = UINT64_MAX;
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    struct sim_call *c = call_of(call);
    SIM_CHECK(c->head && piece.len > 0, "exchange %u has a body before its head", c->x->id);
    sim_holds_take(&c->caller->holds, piece);
    if (c->got_bytes == UINT64_MAX)
        return;
    SIM_CHECK(sim_content_is(c->caller->run, c->x, SIM_ANSWER, c->got_bytes, piece),
              "exchange %u got a wrong answer at byte %llu", c->x->id,
              (unsigned long long)c->got_bytes);
    c->got_bytes += piece.len;
}

static void on_end(struct weir_call *call, int err)
{
    struct sim_call *c = call_of(call);
    const struct sim_plan *p = &c->x->plan;
    struct sim_run *run = c->caller->run;
    SIM_CHECK(c->x->started, "exchange %u ends before it began", c->x->id);
    SIM_CHECK(sim_content_is(run, c->x, SIM_ASK, 0, call->request.body),
              "the body of request %u was written to", c->x->id);
    if (err == 0 && c->got_bytes != UINT64_MAX) {
        uint64_t want = p->empty ? 0 : p->answer_bytes;
        SIM_CHECK(c->head, "exchange %u ended well without an answer", c->x->id);
        SIM_CHECK(c->got_bytes == want, "exchange %u got %llu bytes of %llu and ended well",
                  c->x->id, (unsigned long long)c->got_bytes, (unsigned long long)want);
        /* An answer without a body is whole before it is finished. */
        SIM_CHECK(c->x->answered || p->empty, "exchange %u got what nobody sent", c->x->id);
    }
    SIM_CHECK(err != WEIR_E_CANCELLED || p->cancel_ns != 0, "exchange %u was not cancelled",
              c->x->id);
    SIM_CHECK(err != WEIR_E_DEADLINE || call->deadline_ns <= weir_engine_now_ns(c->caller->engine),
              "exchange %u ended before its deadline", c->x->id);
    /* It is ours again: nobody may read it any more. */
    if (c->body != NULL)
        memset(c->body, 0xee, p->ask_bytes);
    c->caller->done_count++;
    sim_exchange_done(run, c->x, err);
}

static const struct weir_call_handler handler = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
};

/* ---- Asking ------------------------------------------------------------------------------ */

static void call_prepare(struct sim_call *c)
{
    struct sim_run *run = c->caller->run;
    static char pad[4096];
    const struct sim_plan *p = &c->x->plan;
    memset(pad, 'p', sizeof pad);
    if (p->ask_bytes > 0) {
        c->body = malloc(p->ask_bytes);
        SIM_CHECK(c->body != NULL, "out of memory");
        memcpy(c->body, sim_content(run, c->x->id, SIM_ASK), p->ask_bytes);
    }
    c->pad = (struct weir_header){ WEIR_TEXT("X-Pad"), { (const uint8_t *)pad, p->pad_bytes } };
    c->call = (struct weir_call){
        .request = { .method = p->method,
                     .target = sim_target(c->target, c->x->id),
                     .headers = &c->pad,
                     .headers_count = p->pad_bytes > 0,
                     .body = { c->body, p->ask_bytes },
                     .body_always = p->method.ptr[0] == 'P' },
        .handler = &handler,
    };
}

static bool call_start(struct sim_call *c)
{
    struct sim_run *run = c->caller->run;
    struct sim_world *world = run->world;
    const struct sim_plan *p = &c->x->plan;
    if (c->x->started || c->start_ns > world->now_ns)
        return false;
    if (p->deadline_ns != 0)
        c->call.deadline_ns = world->now_ns + p->deadline_ns;
    c->x->started = true;
    int rc = weir_client_send(c->caller->client, &c->call);
    if (rc < 0) {
        c->x->started = false;
        SIM_CHECK(rc == -ENOBUFS || (rc == WEIR_E_QUEUE_FULL && !run->config.strict),
                  "exchange %u cannot be sent: %s", c->x->id, weir_err_name(rc));
        c->start_ns = world->now_ns + SIM_MS;
        sim_wake_at(world, c->start_ns);
        return false;
    }
    if (p->cancel_ns != 0) {
        c->cancel_ns = world->now_ns + p->cancel_ns;
        sim_wake_at(world, c->cancel_ns);
    }
    sim_trace(world, "send", (int)c->x->id, 0, 0);
    return true;
}

static bool step(struct sim_actor *actor)
{
    struct sim_caller *caller = weir_container_of(actor, struct sim_caller, actor);
    struct sim_world *world = caller->run->world;
    bool moved = sim_holds_step(&caller->holds, false);
    if (caller->client == NULL)
        return moved;
    for (uint32_t i = 0; i < caller->run->config.exchanges_count; i++) {
        struct sim_call *c = &caller->calls[i];
        moved |= call_start(c);
        if (c->x->started && !c->x->done && c->cancel_ns != 0 && c->cancel_ns <= world->now_ns) {
            sim_trace(world, "cancel", (int)c->x->id, 0, 0);
            weir_call_cancel(&c->call);
            c->cancel_ns = 0;
            moved = true;
        }
    }
    return moved;
}

static bool done(const struct sim_actor *actor)
{
    const struct sim_caller *caller = weir_container_of(actor, const struct sim_caller, actor);
    return caller->done_count == caller->run->config.exchanges_count && caller->holds.count == 0;
}

void sim_caller_open(struct sim_caller *caller, struct sim_run *run, const char *endpoint)
{
    struct weir_engine *engine = run->engines[run->config.one_engine];
    *caller = (struct sim_caller){ .actor = { .step = step, .done = done },
                                   .run = run,
                                   .engine = engine,
                                   .holds = { .run = run, .engine = engine } };
    run->config.client.endpoint = endpoint;
    int rc = weir_client_open(&caller->client, caller->engine, &run->config.client);
    SIM_CHECK(rc == 0, "a client cannot be opened: %s", weir_error_text());
    for (uint32_t i = 0; i < run->config.exchanges_count; i++) {
        struct sim_call *c = &caller->calls[i];
        c->caller = caller;
        c->x = &run->exchanges[i];
        c->start_ns = run->begin_ns + c->x->plan.start_ns;
        sim_wake_at(run->world, c->start_ns);
        call_prepare(c);
    }
    run->actors[run->actors_count++] = &caller->actor;
}

void sim_caller_close(struct sim_caller *caller)
{
    int rc = weir_client_close(caller->client);
    SIM_CHECK(rc == 0, "closing the client: %s", weir_err_name(rc));
    caller->client = NULL;
    (void)sim_holds_step(&caller->holds, true);
    for (uint32_t i = 0; i < caller->run->config.exchanges_count; i++) {
        struct sim_call *c = &caller->calls[i];
        SIM_CHECK(c->x->done || !c->x->started, "exchange %u was never ended", c->x->id);
        free(c->body);
        c->body = NULL;
    }
}
