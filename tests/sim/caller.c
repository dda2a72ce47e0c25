/* SPDX-License-Identifier: MIT */
#include "caller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct sim_call *call_of(struct weir_call *call)
{
    return weir_container_of(call, struct sim_call, call);
}

static struct sim_world *world_of(const struct sim_call *c)
{
    return c->caller->run->world;
}

/* ---- Answers ----------------------------------------------------------------------------- */

static void give_up(struct sim_call *c)
{
    sim_trace(world_of(c), "cancel", (int)c->x->id, 0, 0);
    c->cancel_ns = 0;
    c->given_up = true;
    weir_call_cancel(&c->call);
}

/* No more of it for a while, now and then. */
static void pause_some(struct sim_call *c)
{
    struct sim_world *world = world_of(c);
    if (!c->x->plan.stops || c->resume_ns != 0 || sim_below(world, 4) != 0)
        return;
    c->resume_ns = world->now_ns + 1 + sim_below(world, 1ull << sim_below(world, 26));
    sim_wake_at(world, c->resume_ns);
    weir_call_pause(&c->call);
}

static void told_check(const struct sim_call *c)
{
    SIM_CHECK(c->x->started && !c->x->done, "exchange %u is told more when it is over", c->x->id);
    SIM_CHECK(!c->given_up, "exchange %u is told more after it was given up", c->x->id);
    SIM_CHECK(c->resume_ns == 0, "exchange %u is told more while it is paused", c->x->id);
}

static void on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct sim_call *c = call_of(call);
    const struct sim_plan *p = &c->x->plan;
    bool strict = c->caller->run->config.strict;
    told_check(c);
    SIM_CHECK(!c->head, "exchange %u has two heads", c->x->id);
    c->head = true;
    uint16_t status = weir_response_status(head);
    /* A server may refuse what it cannot serve now; in a strict run not, or not for good. */
    bool refused = status >= 400 && status != p->status && !strict;
    SIM_CHECK(status == p->status || refused, "exchange %u is answered %u", c->x->id, status);
    if (refused)
        c->got_bytes = UINT64_MAX;
    pause_some(c);
    if (p->give_up == SIM_GIVE_UP_IN_HEAD)
        give_up(c);
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    struct sim_call *c = call_of(call);
    told_check(c);
    SIM_CHECK(c->head && piece.len > 0, "exchange %u has a body before its head", c->x->id);
    sim_holds_take(&c->caller->holds, piece);
    pause_some(c);
    if (c->x->plan.give_up == SIM_GIVE_UP_IN_BODY)
        give_up(c);
    if (c->got_bytes == UINT64_MAX)
        return;
    SIM_CHECK(sim_content_is(c->caller->run, c->x, SIM_ANSWER, c->got_bytes, piece),
              "exchange %u got a wrong answer at byte %llu", c->x->id,
              (unsigned long long)c->got_bytes);
    c->got_bytes += piece.len;
}

/* It ended with an error: one that it can have met? */
static void err_check(const struct sim_call *c, int err)
{
    const struct sim_plan *p = &c->x->plan;
    uint64_t now = weir_engine_now_ns(c->caller->engine);
    SIM_CHECK(err != WEIR_E_CANCELLED || p->cancel_ns != 0 || c->given_up,
              "exchange %u was not cancelled", c->x->id);
    SIM_CHECK(err != WEIR_E_DEADLINE || c->call.deadline_ns <= now,
              "exchange %u ended before its deadline", c->x->id);
    SIM_CHECK(err != -EIO || p->source_fails, "exchange %u had a source that fails", c->x->id);
    SIM_CHECK(err != WEIR_E_QUEUE_TIMEOUT || c->caller->run->config.client.waiting_timeout_ns != 0,
              "exchange %u could wait for ever", c->x->id);
    SIM_CHECK(err != WEIR_E_TRUNCATED || c->call.timing.first_byte_ns != 0,
              "exchange %u had nothing that was cut off", c->x->id);
    SIM_CHECK(err != WEIR_E_CLOSED || !c->head, "exchange %u had a part of its answer", c->x->id);
}

/* What it has when it ended well. */
static void answer_check(const struct sim_call *c)
{
    const struct sim_plan *p = &c->x->plan;
    uint64_t want = p->empty ? 0 : p->answer_bytes;
    SIM_CHECK(c->head, "exchange %u ended well without an answer", c->x->id);
    SIM_CHECK(c->resume_ns == 0, "exchange %u ended well while it was paused", c->x->id);
    if (c->got_bytes == UINT64_MAX)
        return;
    SIM_CHECK(c->got_bytes == want, "exchange %u got %llu bytes of %llu and ended well", c->x->id,
              (unsigned long long)c->got_bytes, (unsigned long long)want);
    /* An answer without a body is whole before it is finished. */
    SIM_CHECK(c->x->answered || p->empty, "exchange %u got what nobody sent", c->x->id);
}

static void on_end(struct weir_call *call, int err)
{
    struct sim_call *c = call_of(call);
    struct sim_run *run = c->caller->run;
    SIM_CHECK(c->x->started, "exchange %u ends before it began", c->x->id);
    SIM_CHECK(c->body == NULL || sim_content_is(run, c->x, SIM_ASK, 0, call->request.body),
              "the body of request %u was written to", c->x->id);
    if (err == 0)
        answer_check(c);
    else
        err_check(c, err);
    /* It is ours again: nobody may read it any more. */
    if (c->body != NULL)
        memset(c->body, 0xee, c->x->plan.ask_bytes);
    c->caller->done_count++;
    sim_exchange_done(run, c->x, err);
}

static const struct weir_call_handler handler = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
};

/* ---- Bodies that are made ---------------------------------------------------------------- */

static int64_t source_read(struct weir_call *call, uint8_t *out, size_t capacity)
{
    struct sim_call *c = call_of(call);
    struct sim_world *world = world_of(c);
    const struct sim_plan *p = &c->x->plan;
    uint32_t left = p->ask_bytes - c->made_bytes;
    SIM_CHECK(!c->x->done && !c->given_up && capacity > 0, "exchange %u is over, and read from",
              c->x->id);
    if (p->source_fails && sim_below(world, 4) == 0)
        return -EIO;
    if (left == 0)
        return WEIR_SOURCE_END;
    if (c->produce_ns == 0 && sim_below(world, 4) == 0) {
        c->produce_ns = world->now_ns + 1 + sim_below(world, 1ull << sim_below(world, 24));
        sim_wake_at(world, c->produce_ns);
        return 0;
    }
    size_t n = (size_t)sim_between(world, 1, weir_min_u64(left, capacity));
    memcpy(out, sim_content(c->caller->run, c->x->id, SIM_ASK) + c->made_bytes, n);
    c->made_bytes += (uint32_t)n;
    return (int64_t)n;
}

static int source_rewind(struct weir_call *call)
{
    struct sim_call *c = call_of(call);
    SIM_CHECK(c->x->plan.idempotent || c->x->asked == 0, "exchange %u is not to be sent twice",
              c->x->id);
    c->made_bytes = 0;
    return 0;
}

static void source_prepare(struct sim_call *c)
{
    const struct sim_plan *p = &c->x->plan;
    c->source = (struct weir_body_source){
        .read = source_read,
        .rewind = p->rewinds ? source_rewind : NULL,
        .bytes = p->upload == SIM_UPLOAD_LENGTH ? p->ask_bytes : WEIR_LENGTH_UNKNOWN,
    };
    c->call.request.source = &c->source;
}

/* ---- Asking ------------------------------------------------------------------------------ */

static void call_prepare(struct sim_call *c)
{
    struct sim_run *run = c->caller->run;
    static char pad[4096];
    const struct sim_plan *p = &c->x->plan;
    memset(pad, 'p', sizeof pad);
    if (p->ask_bytes > 0 && p->upload == SIM_UPLOAD_WHOLE) {
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
                     .body = { c->body, c->body == NULL ? 0 : p->ask_bytes },
                     .body_always = p->method.ptr[0] == 'P',
                     .idempotent = p->idempotent },
        .handler = &handler,
    };
    if (p->upload != SIM_UPLOAD_WHOLE)
        source_prepare(c);
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
        bool full = rc == WEIR_E_QUEUE_FULL || rc == WEIR_E_OVERLOAD;
        SIM_CHECK(rc == -ENOBUFS || (full && !run->config.strict), "exchange %u cannot be sent: %s",
                  c->x->id, weir_err_name(rc));
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

/* What was asked for at a time. */
static bool call_step(struct sim_call *c)
{
    struct sim_world *world = world_of(c);
    bool moved = call_start(c);
    if (!c->x->started || c->x->done)
        return moved;
    if (c->cancel_ns != 0 && c->cancel_ns <= world->now_ns) {
        give_up(c);
        moved = true;
    }
    if (c->produce_ns != 0 && c->produce_ns <= world->now_ns) {
        weir_call_produce(&c->call); /* also when it is not on a connection now */
        c->produce_ns = 0;
        moved = true;
    }
    if (c->resume_ns != 0 && c->resume_ns <= world->now_ns) {
        c->resume_ns = 0;
        weir_call_resume(&c->call);
        moved = true;
    }
    return moved;
}

static void stats_check(struct sim_caller *caller, bool all_done)
{
    const struct weir_client_config *cfg = &caller->run->config.client;
    struct weir_client_stats s = { .size = sizeof s };
    weir_client_stats(caller->client, &s);
    SIM_CHECK(s.conns_now <= cfg->conns_max, "%u connections", s.conns_now);
    SIM_CHECK(s.connecting_now + s.idle_now <= s.conns_now, "%u and %u of %u connections",
              s.connecting_now, s.idle_now, s.conns_now);
    /* Retries that were granted and then not sent are given back. */
    uint64_t budget = cfg->retry.budget_min + s.calls * cfg->retry.budget_percent / 100;
    uint64_t health = s.health_checks + caller->run->config.endpoints_count;
    SIM_CHECK(s.sent <= s.calls + s.replays + budget + (cfg->health_target == NULL ? 0 : health),
              "%llu sent, of %llu calls and %llu replays", (unsigned long long)s.sent,
              (unsigned long long)s.calls, (unsigned long long)s.replays);
    SIM_CHECK(s.replays <= (cfg->retry.no_replay ? 0 : s.calls * SIM_REPLAYS_MAX), "%llu replays",
              (unsigned long long)s.replays);
    if (!all_done)
        return;
    SIM_CHECK(s.completed + s.failed == s.calls, "%llu calls ended of %llu",
              (unsigned long long)(s.completed + s.failed), (unsigned long long)s.calls);
    SIM_CHECK(s.waiting_now == 0 && (s.in_flight_now == 0 || cfg->health_target != NULL),
              "%u calls wait, %u are in flight", s.waiting_now, s.in_flight_now);
}

static bool step(struct sim_actor *actor)
{
    struct sim_caller *caller = weir_container_of(actor, struct sim_caller, actor);
    bool moved = sim_holds_step(&caller->holds, false);
    if (caller->client == NULL)
        return moved;
    for (uint32_t i = 0; i < caller->run->config.exchanges_count; i++)
        moved |= call_step(&caller->calls[i]);
    stats_check(caller, false);
    return moved;
}

static bool done(const struct sim_actor *actor)
{
    const struct sim_caller *caller = weir_container_of(actor, const struct sim_caller, actor);
    return caller->done_count == caller->run->config.exchanges_count && caller->holds.count == 0;
}

void sim_caller_open(struct sim_caller *caller, struct sim_run *run, const char *const *endpoints)
{
    struct weir_engine *engine = run->engines[run->config.one_engine];
    *caller = (struct sim_caller){ .actor = { .step = step, .done = done },
                                   .run = run,
                                   .engine = engine,
                                   .holds = { .run = run, .engine = engine } };
    if (run->config.endpoints_count == 1) {
        run->config.client.endpoint = endpoints[0];
    } else {
        run->config.client.endpoints = endpoints;
        run->config.client.endpoints_count = run->config.endpoints_count;
    }
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
    if (done(&caller->actor))
        stats_check(caller, true);
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
