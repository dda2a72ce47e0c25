/* SPDX-License-Identifier: MIT */
#include "office.h"

#include "core/engine.h"
#include "ring_sim.h"

#include <errno.h>
#include <stdio.h>

static const struct sim_ask asks[] = {
    { "GET", "/api/health", NULL, 200, "healthy" },
    { "HEAD", "/api/health", NULL, 200, NULL },
    { "GET", "/api/models", NULL, 200, "bitnet-7b" },
    { "POST", "/api/infer", "{\"model_id\":\"bitnet-7b\",\"prompt\":\"x\"}", 200, "finish_reason" },
    { "POST", "/api/infer", "{\"model_id\":\"bitnet-7b\",\"prompt\":\"", 400, "error" },
    { "POST", "/api/infer", "{\"prompt\":\"x\"}", 400, "model_id" },
    { "POST", "/api/models/load", "{\"model_id\":\"llama-13b\"}", 200, "loaded_at" },
    { "POST", "/api/models/unload", "{\"model_id\":\"llama-13b\"}", 200, "unloaded" },
    { "GET", "/metrics", NULL, 200, "mock_" },
    { "GET", "/admin/stats", NULL, 200, "endpoints" },
    { "GET", "/admin/requests?limit=5", NULL, 200, "[" },
    { "POST", "/admin/reset", NULL, 0, "" },
    { "DELETE", "/api/infer", NULL, 405, "error" },
    { "GET", "/nothing", NULL, 404, "not_found" },
};

/* ---- Answers ----------------------------------------------------------------------------- */

static struct sim_visit *visit_of(struct weir_call *call)
{
    return weir_container_of(call, struct sim_visit, call);
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    struct sim_visit *v = visit_of(call);
    /* What does not fit is not looked at. */
    size_t n = weir_min_u64(piece.len, sizeof v->got - v->got_bytes);
    memcpy(v->got + v->got_bytes, piece.ptr, n);
    v->got_bytes += n;
}

static void on_end(struct weir_call *call, int err)
{
    struct sim_visit *v = visit_of(call);
    const struct sim_ask *ask = v->ask;
    v->office->done_count++;
    sim_exchange_done(v->office->run, v->x, err);
    if (err < 0 || (call->status >= 400 && !v->office->run->config.strict))
        return;
    SIM_CHECK(ask->status == 0 ? call->status < 300 : call->status == ask->status,
              "%s %s is answered %u: %.*s", ask->method, ask->target, call->status,
              (int)v->got_bytes, v->got);
    if (ask->needle == NULL)
        SIM_CHECK(v->got_bytes == 0, "%s %s has a body", ask->method, ask->target);
    else
        SIM_CHECK(memmem(v->got, v->got_bytes, ask->needle, strlen(ask->needle)) != NULL,
                  "%s %s is answered: %.*s", ask->method, ask->target, (int)v->got_bytes, v->got);
}

static const struct weir_call_handler handler = { .on_body = on_body, .on_end = on_end };

/* ---- Asking ------------------------------------------------------------------------------ */

static struct weir_slice text_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, text == NULL ? 0 : strlen(text) };
}

static bool visit_start(struct sim_visit *v)
{
    struct sim_run *run = v->office->run;
    const struct sim_plan *p = &v->x->plan;
    if (v->x->started || v->start_ns > run->world->now_ns)
        return false;
    v->call = (struct weir_call){ .request = { .method = text_of(v->ask->method),
                                               .target = text_of(v->ask->target),
                                               .body = text_of(v->ask->body),
                                               .body_always = v->ask->method[0] == 'P' },
                                  .handler = &handler };
    if (p->deadline_ns != 0)
        v->call.deadline_ns = run->world->now_ns + p->deadline_ns;
    v->x->started = true;
    int rc = weir_client_send(v->office->client, &v->call);
    if (rc == 0)
        return true;
    v->x->started = false;
    bool full = rc == WEIR_E_QUEUE_FULL || rc == WEIR_E_OVERLOAD;
    SIM_CHECK(rc == -ENOBUFS || (full && !run->config.strict), "exchange %u cannot be sent: %s",
              v->x->id, weir_err_name(rc));
    v->start_ns = run->world->now_ns + SIM_MS;
    sim_wake_at(run->world, v->start_ns);
    return false;
}

static bool step(struct sim_actor *actor)
{
    struct sim_office *o = weir_container_of(actor, struct sim_office, actor);
    bool moved = false;
    for (uint32_t i = 0; i < o->run->config.exchanges_count; i++)
        moved |= visit_start(&o->visits[i]);
    return moved;
}

static bool done(const struct sim_actor *actor)
{
    const struct sim_office *o = weir_container_of(actor, const struct sim_office, actor);
    return o->done_count == o->run->config.exchanges_count;
}

/* ---- Life -------------------------------------------------------------------------------- */

static void options_draw(struct sim_office *o)
{
    struct sim_world *w = o->run->world;
    o->options = (struct options){
        .listen = "127.0.0.1:0",
        .threads = 1,
        .latency_ns = sim_below(w, 2) == 0 ? 0 : sim_below(w, 50 * SIM_MS),
        .concurrency_max = (uint32_t)sim_below(w, 4),
        .conns_max = (uint32_t)sim_between(w, o->run->config.strict ? 16 : 1, 64),
        .body_bytes_max = 1u << 20,
        .journal_count = (uint32_t)sim_below(w, 20),
        .drain_timeout_ns = SIM_S,
        .wait = WEIR_WAIT_SLEEP,
    };
}

void sim_office_open(struct sim_office *o, struct sim_run *run)
{
    struct sim_world *w = run->world;
    *o = (struct sim_office){ .actor = { .step = step, .done = done }, .run = run };
    options_draw(o);
    int rc = mock_open(&o->mock, &o->options);
    SIM_CHECK(rc == 0, "the mock cannot be opened: %s", weir_err_name(rc));
    o->apps[0] = &o->app;
    o->mock.apps = o->apps;
    rc = app_open(&o->app, &o->mock, 0, o->options.listen);
    SIM_CHECK(rc == 0, "the mock cannot be opened: %s", weir_error_text());
    run->engines[1] = o->app.engine;
    sim_ring_attach(o->app.engine);
    snprintf(o->endpoint, sizeof o->endpoint, "http://%s", weir_server_address(o->app.server));
    run->config.client.endpoint = o->endpoint;
    rc = weir_client_open(&o->client, run->engines[0], &run->config.client);
    SIM_CHECK(rc == 0, "a client cannot be opened: %s", weir_error_text());
    for (uint32_t i = 0; i < run->config.exchanges_count; i++) {
        struct sim_visit *v = &o->visits[i];
        v->office = o;
        v->x = &run->exchanges[i];
        v->ask = &asks[sim_below(w, sizeof asks / sizeof asks[0])];
        v->start_ns = run->begin_ns + v->x->plan.start_ns;
        sim_wake_at(w, v->start_ns);
    }
    run->actors[run->actors_count++] = &o->actor;
}

void sim_office_close(struct sim_office *o)
{
    int rc = weir_client_close(o->client);
    SIM_CHECK(rc == 0, "closing the client: %s", weir_err_name(rc));
    for (uint32_t i = 0; i < o->run->config.exchanges_count; i++)
        SIM_CHECK(o->visits[i].x->done || !o->visits[i].x->started, "exchange %u was never ended",
                  i);
    rc = weir_server_close(o->app.server);
    SIM_CHECK(rc == 0, "closing the server: %s", weir_err_name(rc));
    o->app.server = NULL;
    SIM_CHECK(o->app.in_flight == 0, "%u requests outlive their server", o->app.in_flight);
    if (!o->run->blind)
        sim_ring_check_empty(o->app.engine);
    o->run->engines[1] = NULL;
    rc = app_close(&o->app);
    SIM_CHECK(rc == 0, "closing the engine: %s", weir_err_name(rc));
    mock_close(&o->mock);
}
