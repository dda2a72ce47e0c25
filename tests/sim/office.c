/* SPDX-License-Identifier: MIT */
#include "office.h"

#include "core/engine.h"
#include "mock/model/replica.h"
#include "mock/start.h"
#include "ring_sim.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Running ----------------------------------------------------------------------------- */

static bool visits_done(const struct sim_office *o)
{
    for (uint32_t i = 0; i < o->guests_count; i++)
        if (!o->guests[i].actor.done(&o->guests[i].actor))
            return false;
    return o->done_count == o->run->config.exchanges_count;
}

/* Whatever configuration there was, its rules are looked at in the end. */
static void config_keep(struct sim_office *o)
{
    if (o->configs_count == SIM_CONFIGS_MAX || o->mock.config == o->configs[o->configs_count - 1])
        return;
    o->configs[o->configs_count++] = config_hold(o->mock.config);
}

static bool drain(struct sim_office *o)
{
    const struct sim_run *run = o->run;
    if (!run->config.drain || o->draining ||
        (!visits_done(o) && run->world->now_ns - run->begin_ns < run->config.drain_ns))
        return false;
    o->draining = true;
    sim_trace(run->world, "drain", 0, 0, 0);
    app_drain(&o->app);
    return true;
}

static bool step(struct sim_actor *actor)
{
    struct sim_office *o = weir_container_of(actor, struct sim_office, actor);
    config_keep(o);
    bool moved = drain(o);
    for (uint32_t i = 0; i < o->run->config.exchanges_count; i++)
        moved |= sim_visit_step(&o->visits[i]);
    return moved;
}

static bool done(const struct sim_actor *actor)
{
    const struct sim_office *o = weir_container_of(actor, const struct sim_office, actor);
    return visits_done(o) &&
           (!o->run->config.drain || (o->draining && o->mock.undrained_count == 0));
}

/* ---- Opening ----------------------------------------------------------------------------- */

static struct config *config_draw(struct sim_office *o)
{
    struct config_error error;
    struct config *config = NULL;
    struct text text = { 0 };
    sim_settings_write(&text, &o->settings, o->run->world);
    SIM_CHECK(!text.failed, "out of memory");
    json_t *tree = config_read_text(text_slice(&text), "sim", &error);
    SIM_CHECK(tree != NULL, "the configuration cannot be read: %s", error.text);
    int rc = config_open(&config, tree, NULL, &error);
    SIM_CHECK(rc == 0, "the mock cannot be configured: %s %.*s", error.text, (int)text.len,
              text.ptr);
    if (o->run->world->verbose)
        fprintf(stderr, "configuration %.*s\n", (int)text.len, text.ptr);
    json_decref(tree);
    text_free(&text);
    return config;
}

static void mock_start(struct sim_office *o)
{
    struct sim_run *run = o->run;
    struct sim_world *w = run->world;
    o->options = (struct options){
        .listen = "127.0.0.1:0",
        .threads = 1,
        .conns_max = (uint32_t)sim_between(w, run->config.strict ? 16 : 1, 64),
        .body_bytes_max = 1u << 20,
        .journal_count = (uint32_t)(sim_below(w, 2) == 0 ? sim_below(w, 20) : 1000),
        .drain_timeout_ns = SIM_S,
        .wait = WEIR_WAIT_SLEEP,
    };
    sim_settings_draw(&o->settings, w, run->config.strict);
    struct config *config = config_draw(o);
    /* It begins to count when the world does. */
    for (uint32_t i = 0; i < config->faults_count; i++)
        fault_rule_reset(config->faults[i], w->now_ns);
    int rc = mock_open(&o->mock, &o->options, config);
    SIM_CHECK(rc == 0, "the mock cannot be opened: %s", weir_err_name(rc));
    o->mock.started_ns = w->now_ns;
    o->configs[o->configs_count++] = config_hold(config);
    o->apps[0] = &o->app;
    o->mock.apps = o->apps;
    rc = app_open(&o->app, &o->mock, 0, o->options.listen);
    SIM_CHECK(rc == 0, "the mock cannot be opened: %s", weir_error_text());
}

void sim_office_open(struct sim_office *o, struct sim_run *run)
{
    memset(o, 0, sizeof *o);
    o->actor = (struct sim_actor){ .step = step, .done = done };
    o->run = run;
    mock_start(o);
    run->engines[1] = o->app.engine;
    sim_ring_attach(o->app.engine);
    snprintf(o->endpoint, sizeof o->endpoint, "http://%s", weir_server_address(o->app.server));
    run->config.client.endpoint = o->endpoint;
    int rc = weir_client_open(&o->client, run->engines[0], &run->config.client);
    SIM_CHECK(rc == 0, "a client cannot be opened: %s", weir_error_text());
    for (uint32_t i = 0; i < run->config.exchanges_count; i++)
        sim_visit_draw(&o->visits[i], o, &run->exchanges[i]);
    run->actors[run->actors_count++] = &o->actor;
    if (!run->config.calm && sim_below(run->world, 2) == 0)
        o->guests_count = (uint32_t)sim_below(run->world, SIM_GUESTS_MAX + 1);
    for (uint32_t i = 0; i < o->guests_count; i++)
        sim_guest_open(&o->guests[i], o, i);
}

/* ---- Closing ----------------------------------------------------------------------------- */

/* Nothing that was lent to a request is still out. */
static void app_check_idle(struct app *app)
{
    struct mock *mock = app->mock;
    struct limiter_view limiter = limiter_view(&mock->limiter);
    struct models_view *models = calloc(1, sizeof *models);
    uint32_t free_count = 0;
    SIM_CHECK(models != NULL, "out of memory");
    SIM_CHECK(app->in_flight == 0, "%u requests outlive their server", app->in_flight);
    SIM_CHECK(app->streams == 0, "%u streams outlive their server", app->streams);
    SIM_CHECK(app->resumed == NULL && !app->resuming, "requests wait to be resumed");
    SIM_CHECK(mock->running == 0, "%u requests run for ever", mock->running);
    SIM_CHECK(limiter.active == 0 && limiter.waiting == 0, "%u slots are taken, %u are waited for",
              limiter.active, limiter.waiting);
    for (const struct request *free = app->pool.free; free != NULL; free = free->next)
        free_count++;
    SIM_CHECK(free_count == app->pool.touched, "%u requests of %u are free", free_count,
              app->pool.touched);
    for (int i = 0; i < STATS_MODELS; i++)
        for (int place = STATS_WAITING; place < STATS_PLACE_COUNT; place++)
            SIM_CHECK(app->stats.models[i].places[place] == 0, "model %d: %u requests at place %d",
                      i, app->stats.models[i].places[place], place);
    models_view(models, &mock->models, weir_engine_clock_ns(app->engine));
    for (uint32_t i = 0; i < models->entries_count; i++)
        SIM_CHECK(models->entries[i].uses_count == 0, "model %u is used %u times", i,
                  models->entries[i].uses_count);
    free(models);
}

/* What of an app keeps time without a request: app_close() ends it, but with it the engine that is
 * to be looked at. */
static void app_quiet(struct app *app)
{
    for (uint32_t i = 0; i <= CONFIG_MODELS_MAX; i++) {
        if (app->replicas[i] == NULL)
            continue;
        struct model_engine_stats stats = replica_stats(app->replicas[i]);
        SIM_CHECK(stats.num_requests_running == 0 && stats.num_requests_waiting == 0 &&
                      stats.kv_blocks_used == 0,
                  "an engine runs %u sequences, %u wait, %u blocks are used",
                  stats.num_requests_running, stats.num_requests_waiting, stats.kv_blocks_used);
        replica_close(app->replicas[i]);
        app->replicas[i] = NULL;
    }
    schedule_close(&app->schedule);
    admin_stop(&app->admin);
}

static void rules_check(const struct config *config)
{
    for (uint32_t i = 0; i < config->faults_count; i++)
        SIM_CHECK(config->faults[i]->active == 0, "rule %s strikes %u requests for ever",
                  config->faults[i]->id, config->faults[i]->active);
}

static void configs_drop(struct sim_office *o)
{
    for (uint32_t i = 0; i < o->configs_count; i++) {
        rules_check(o->configs[i]);
        SIM_CHECK(o->configs[i]->refs == 1, "configuration %u is held %u times", i,
                  o->configs[i]->refs - 1);
        config_drop(o->configs[i]);
    }
}

void sim_office_close(struct sim_office *o)
{
    int rc = weir_client_close(o->client);
    SIM_CHECK(rc == 0, "closing the client: %s", weir_err_name(rc));
    for (uint32_t i = 0; i < o->run->config.exchanges_count; i++)
        sim_visit_close(&o->visits[i]);
    for (uint32_t i = 0; i < o->guests_count; i++)
        sim_guest_close(&o->guests[i]);
    config_keep(o);
    rc = weir_server_close(o->app.server);
    SIM_CHECK(rc == 0, "closing the server: %s", weir_err_name(rc));
    o->app.server = NULL;
    app_check_idle(&o->app);
    app_quiet(&o->app);
    if (!o->run->blind)
        sim_ring_check_empty(o->app.engine);
    o->run->engines[1] = NULL;
    rc = app_close(&o->app);
    SIM_CHECK(rc == 0, "closing the engine: %s", weir_err_name(rc));
    rc = mock_close(&o->mock);
    SIM_CHECK(rc == 0, "closing the mock: %s", weir_err_name(rc));
    configs_drop(o);
}
