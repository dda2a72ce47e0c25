/* SPDX-License-Identifier: MIT */
#include "run.h"

#include "caller.h"
#include "dialer.h"
#include "office.h"
#include "origin.h"
#include "ring_sim.h"
#include "site.h"

#include <stdio.h>
#include <stdlib.h>

/* Large, and the same for all runs. */
struct scene {
    struct sim_world world;
    struct sim_run run;
    struct sim_caller caller;
    struct sim_site site;
    struct sim_origin origins[SIM_ENDPOINTS_MAX];
    struct sim_office office;
    struct sim_dialer dialers[SIM_EXCHANGES_MAX];
};

static struct scene *scene_get(void)
{
    static struct scene scene;
    return &scene;
}

/* ---- Opening ----------------------------------------------------------------------------- */

static void engine_open(struct sim_run *run, int number)
{
    int rc = weir_engine_open(&run->engines[number], &run->config.engine[number]);
    SIM_CHECK(rc == 0, "an engine cannot be opened: %s", weir_error_text());
    sim_ring_attach(run->engines[number]);
}

static uint16_t port_of(const struct weir_server *server)
{
    const char *colon = strrchr(weir_server_address(server), ':');
    SIM_CHECK(colon != NULL, "a server without a port");
    return htons((uint16_t)strtoul(colon + 1, NULL, 10));
}

static void scene_open(struct scene *s)
{
    struct sim_run *run = &s->run;
    enum sim_scene kind = run->config.scene;
    char text[80];
    const char *endpoints[SIM_ENDPOINTS_MAX] = { text };
    run->config.one_engine &= kind == SIM_SCENE_WEIR;
    if (kind != SIM_SCENE_DIALER && !run->config.one_engine)
        engine_open(run, 0);
    if (kind == SIM_SCENE_WEIR || kind == SIM_SCENE_DIALER) {
        engine_open(run, 1);
        sim_site_open(&s->site, run);
    }
    switch (kind) {
    case SIM_SCENE_WEIR:
        snprintf(text, sizeof text, "http://%s", weir_server_address(s->site.server));
        sim_caller_open(&s->caller, run, endpoints);
        break;
    case SIM_SCENE_DIALER:
        for (uint32_t i = 0; i < run->config.dialers_count; i++)
            sim_dialer_open(&s->dialers[i], run, i, port_of(s->site.server));
        break;
    case SIM_SCENE_ORIGIN:
        for (uint32_t i = 0; i < run->config.endpoints_count; i++) {
            sim_origin_open(&s->origins[i], run);
            endpoints[i] = s->origins[i].endpoint;
        }
        sim_caller_open(&s->caller, run, endpoints);
        break;
    default:
        sim_office_open(&s->office, run);
        break;
    }
}

/* ---- Running ----------------------------------------------------------------------------- */

struct progress {
    uint64_t cqes, timers, sqes;
};

static struct progress progress_of(const struct weir_engine *engine)
{
    return (struct progress){ engine->stats.cqes, engine->stats.timers_fired,
                              engine->ring->counters.sqes };
}

static bool engine_step(struct sim_run *run, struct weir_engine *engine)
{
    struct sim_world *world = run->world;
    struct progress before = progress_of(engine);
    uint64_t wait = sim_below(world, 8) == 0 ? sim_below(world, 5 * SIM_MS) : 0;
    if (run->config.calm) /* whoever waits lets the time of the other one pass */
        wait = 0;
    int rc = weir_engine_run_once(engine, wait);
    SIM_CHECK(rc == 0, "a pass fails with %s", weir_err_name(rc));
    if (!run->blind)
        sim_ring_check(engine);
    struct progress after = progress_of(engine);
    return before.cqes != after.cqes || before.timers != after.timers ||
           before.sqes != after.sqes || !weir_list_empty(&engine->ready) ||
           !weir_list_empty(&engine->flush) || sim_ring_busy(sim_ring_of(engine->ring));
}

static bool step(struct sim_run *run)
{
    bool moved = false;
    uint64_t happened = run->world->happened;
    uint64_t first = sim_below(run->world, 2);
    for (uint64_t i = 0; i < 2; i++) {
        struct weir_engine *engine = run->engines[(first + i) % 2];
        if (engine != NULL)
            moved |= engine_step(run, engine);
        for (uint32_t k = 0; k < run->actors_count; k++)
            moved |= run->actors[k]->step(run->actors[k]);
    }
    /* What happened may be for someone who had his turn before. */
    return moved || run->world->happened != happened;
}

static bool all_done(const struct sim_run *run)
{
    for (uint32_t i = 0; i < run->actors_count; i++)
        if (!run->actors[i]->done(run->actors[i]))
            return false;
    return true;
}

/* When something happens next that is not due yet. */
static uint64_t next_ns(const struct sim_run *run)
{
    uint64_t next = sim_next_ns(run->world);
    for (int i = 0; i < 2; i++)
        if (run->engines[i] != NULL)
            next = weir_min_u64(next, weir_wheel_next_ns(&run->engines[i]->wheel));
    return next;
}

static bool drain_due(const struct scene *s)
{
    const struct sim_run *run = &s->run;
    return run->config.drain && s->site.server != NULL && !s->site.draining &&
           (all_done(run) || run->world->now_ns - run->begin_ns >= run->config.drain_ns);
}

static void scene_run(struct scene *s)
{
    struct sim_run *run = &s->run;
    struct sim_world *world = run->world;
    uint64_t end_ns = run->config.end_early ? run->begin_ns + run->config.end_ns : UINT64_MAX;
    for (;;) {
        if (drain_due(s))
            sim_site_drain(&s->site);
        if (all_done(run) || world->now_ns >= end_ns)
            return;
        SIM_CHECK(++world->steps < world->steps_max, "no end after %llu steps",
                  (unsigned long long)world->steps);
        if (step(run) || all_done(run))
            continue;
        uint64_t next = weir_min_u64(next_ns(run), end_ns);
        SIM_CHECK(next != UINT64_MAX, "nothing will ever happen any more, and not all is done");
        sim_advance_to(world, next);
    }
}

/* ---- Closing ----------------------------------------------------------------------------- */

static void engine_close(struct sim_run *run, int number)
{
    struct weir_engine *engine = run->engines[number];
    if (engine == NULL)
        return;
    if (!run->blind)
        sim_ring_check_empty(engine);
    int rc = weir_engine_close(engine);
    SIM_CHECK(rc == 0, "closing an engine: %s", weir_err_name(rc));
    run->engines[number] = NULL;
}

static void stats_add(struct sim_outcome *o, const struct weir_engine *engine)
{
    if (engine == NULL)
        return;
    o->recv_starved += engine->stats.recv_starved;
    o->send_partial += engine->stats.send_partial;
    o->cq_overflows += engine->ring->counters.cq_overflows;
    o->stale_cqes += engine->stats.stale_cqes;
    o->accept_paused += engine->stats.accept_paused;
    o->zc_sends += engine->stats.zc_sends;
}

static void server_check(const struct sim_run *run, const struct weir_server *server)
{
    struct weir_server_stats stats = { .size = sizeof stats };
    weir_server_stats(server, &stats);
    SIM_CHECK(stats.aborted == 0 && stats.responses == run->config.exchanges_count &&
                  stats.requests == run->config.exchanges_count && stats.timeouts == 0,
              "of %u exchanges the server answered %llu", run->config.exchanges_count,
              (unsigned long long)stats.responses);
}

static void scene_close(struct scene *s)
{
    struct sim_run *run = &s->run;
    enum sim_scene kind = run->config.scene;
    bool server = kind == SIM_SCENE_WEIR || kind == SIM_SCENE_DIALER;
    bool server_first = server && sim_below(run->world, 2) == 0;
    if (server && run->config.strict)
        server_check(run, s->site.server);
    if (server_first)
        sim_site_close(&s->site);
    if (kind == SIM_SCENE_WEIR || kind == SIM_SCENE_ORIGIN)
        sim_caller_close(&s->caller);
    if (kind == SIM_SCENE_MOCK)
        sim_office_close(&s->office);
    for (uint32_t i = 0; kind == SIM_SCENE_DIALER && i < run->config.dialers_count; i++)
        sim_dialer_close(&s->dialers[i]);
    for (uint32_t i = 0; kind == SIM_SCENE_ORIGIN && i < run->config.endpoints_count; i++)
        sim_origin_close(&s->origins[i]);
    if (server && !server_first)
        sim_site_close(&s->site);
    engine_close(run, 0);
    engine_close(run, 1);
}

/* Every exchange ended, on both sides. */
static void exchanges_check(const struct sim_run *run, struct sim_outcome *outcome)
{
    for (uint32_t i = 0; i < run->config.exchanges_count; i++) {
        const struct sim_exchange *x = &run->exchanges[i];
        SIM_CHECK(x->done || run->config.end_early, "exchange %u was never done", i);
        SIM_CHECK(x->asked == x->ended || run->config.scene >= SIM_SCENE_ORIGIN,
                  "exchange %u was served, and never ended", i);
        outcome->failed += x->err != 0;
    }
    outcome->exchanges = run->config.exchanges_count;
}

struct sim_outcome sim_run(const struct sim_options *options)
{
    struct scene *s = scene_get();
    struct sim_world *world = &s->world;
    struct sim_run *run = &s->run;
    struct sim_outcome outcome = { .steps = 0 };
    sim_world_open(world, options->seed);
    world->verbose = options->verbose;
    *run = (struct sim_run){ .world = world, .blind = options->blind };
    s->site.server = NULL;
    sim_plan_make(run, options->scene);
    if (options->adjust != NULL)
        options->adjust(run, options->arg);
    world->canary = options->canary;
    world->canary_nth = sim_between(world, 1, 8);
    weir_ring_override = &weir_ring_sim;
    weir_ring_override_arg = world;
    scene_open(s);
    scene_run(s);
    stats_add(&outcome, run->engines[0]);
    stats_add(&outcome, run->engines[1]);
    scene_close(s);
    weir_ring_override = NULL;
    exchanges_check(run, &outcome);
    memcpy(outcome.hits, world->faults.hits, sizeof outcome.hits);
    outcome.steps = world->steps;
    outcome.tally = run->tally;
    outcome.digest = world->digest;
    outcome.virtual_ns = world->now_ns - run->begin_ns;
    sim_world_close(world);
    return outcome;
}
