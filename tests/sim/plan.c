/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <errno.h>
#include <stdio.h>

/* A prime, so that a shift by any number of buffers shows. */
#define PERIOD 65521u

const uint8_t *sim_content(const struct sim_run *run, uint32_t id, enum sim_side side)
{
    static uint8_t bytes[PERIOD + SIM_BODY_MAX];
    static bool filled;
    if (!filled) {
        for (uint32_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)weir_random_u64(1, i % PERIOD, 0);
        filled = true;
    }
    return bytes + weir_random_u64(run->world->seed, id, (uint64_t)side + 100) % PERIOD;
}

bool sim_content_is(const struct sim_run *run, const struct sim_exchange *x, enum sim_side side,
                    uint64_t offset, struct weir_slice piece)
{
    uint64_t all = side == SIM_ASK ? x->plan.ask_bytes : x->plan.answer_bytes;
    return offset + piece.len <= all &&
           (piece.len == 0 ||
            memcmp(sim_content(run, x->id, side) + offset, piece.ptr, piece.len) == 0);
}

struct weir_slice sim_target(char out[16], uint32_t id)
{
    int n = snprintf(out, 16, "/x/%u", id);
    return (struct weir_slice){ (const uint8_t *)out, (size_t)n };
}

int sim_target_id(struct weir_slice target)
{
    int id = 0;
    if (target.len < 4 || target.len > 8 || memcmp(target.ptr, "/x/", 3) != 0)
        return -1;
    for (size_t i = 3; i < target.len; i++) {
        if (target.ptr[i] < '0' || target.ptr[i] > '9')
            return -1;
        id = id * 10 + (target.ptr[i] - '0');
    }
    return id;
}

bool sim_method_is(const struct sim_plan *plan, const char *name)
{
    return plan->method.len == strlen(name) && memcmp(plan->method.ptr, name, strlen(name)) == 0;
}

void sim_exchange_done(struct sim_run *run, struct sim_exchange *x, int err)
{
    SIM_CHECK(!x->done, "exchange %u ended twice", x->id);
    x->done = true;
    x->err = err;
    sim_trace(run->world, "done", (int)x->id, err, 0);
    SIM_CHECK(err == 0 || !run->config.strict, "exchange %u ended with %s", x->id,
              weir_err_name(err));
}

/* ---- Making one -------------------------------------------------------------------------- */

/* Mostly small; sometimes up to `max`. */
static uint32_t size_draw(struct sim_world *w, uint64_t max)
{
    uint64_t bound = 1ull << sim_below(w, 21);
    return (uint32_t)sim_below(w, weir_min_u64(bound, max) + 1);
}

static uint32_t pow2_draw(struct sim_world *w, unsigned from, unsigned to)
{
    return 1u << sim_between(w, from, to);
}

static bool one_in(struct sim_world *w, uint64_t n)
{
    return sim_below(w, n) == 0;
}

static void engine_draw(struct sim_run *run, struct weir_engine_config *cfg)
{
    struct sim_world *w = run->world;
    bool strict = run->config.strict;
    weir_engine_config_init(cfg);
    /* From 4096 on connections are accepted many at a time. */
    cfg->conns_max = one_in(w, 3) ? 6000 : 4200;
    /* Whoever waits for a place waits for ever, unless idle connections are closed. */
    if (run->config.timeouts && one_in(w, 2))
        cfg->conns_max = (uint32_t)sim_between(w, 2, 40);
    cfg->recv_bufs_max = pow2_draw(w, 1, 5);
    cfg->recv_buf_bytes = (uint32_t)sim_between(w, 256, one_in(w, 3) ? 4096 : 512);
    /* In a strict run waiting input always finds room. */
    cfg->stash_bytes_max = strict || one_in(w, 2) ? 8u << 20 : 1u << 16;
    cfg->stash_block_bytes = pow2_draw(w, 12, 14);
    cfg->send_bytes_max = one_in(w, 2) ? 1u << 20 : 1u << 16;
    cfg->sq_entries = pow2_draw(w, 3, 6);
    cfg->cq_entries = cfg->sq_entries << sim_below(w, 3);
    cfg->recv_holds_max = (uint32_t)sim_below(w, 5);
    cfg->wait = one_in(w, 2) ? WEIR_WAIT_ADAPTIVE : WEIR_WAIT_SLEEP;
}

static void server_draw(struct sim_run *run, struct weir_server_config *cfg)
{
    struct sim_world *w = run->world;
    bool timeouts = run->config.timeouts;
    weir_server_config_init(cfg);
    cfg->listen = "127.0.0.1:0";
    cfg->backlog = SIM_BACKLOG_MAX;
    cfg->conns_max = timeouts && one_in(w, 2)
                         ? (uint32_t)sim_between(w, 1, 32)
                         : 4096 + (uint32_t)sim_below(w, one_in(w, 2) ? 8 : 64);
    cfg->exchanges_max = (uint32_t)sim_between(w, 1, one_in(w, 2) ? 4 : 48);
    cfg->pipeline_max = (uint32_t)sim_between(w, 1, one_in(w, 2) ? 3 : 32);
    cfg->head_bytes_max = 1024u << sim_below(w, 3);
    cfg->target_bytes_max = 256;
    cfg->body_bytes_max = SIM_BODY_MAX;
    cfg->head_timeout_ns = timeouts ? sim_between(w, 1, 500) * SIM_MS : 0;
    cfg->body_timeout_ns = timeouts ? sim_between(w, 1, 500) * SIM_MS : 0;
    cfg->idle_timeout_ns = timeouts ? sim_between(w, 1, 500) * SIM_MS : 0;
    cfg->write_timeout_ns = timeouts ? sim_between(w, 1, 500) * SIM_MS : 0;
    cfg->linger_timeout_ns = run->config.strict ? 0 : sim_between(w, 1, 2000) * SIM_MS;
    cfg->linger_bytes_max = run->config.strict ? UINT64_MAX : sim_below(w, 65536);
    cfg->date = one_in(w, 2);
}

static void client_draw(struct sim_run *run, struct weir_client_config *cfg)
{
    struct sim_world *w = run->world;
    bool timeouts = run->config.timeouts;
    weir_client_config_init(cfg);
    cfg->seed = sim_random(w) | 1;
    cfg->conns_min = one_in(w, 3) ? (uint32_t)sim_between(w, 1, 3) : 0;
    cfg->conns_max = (uint32_t)sim_between(w, 1, 8);
    cfg->endpoint_conns_max = one_in(w, 4) ? (uint32_t)sim_between(w, 1, 4) : 0;
    cfg->pipeline_max = one_in(w, 2) ? 1 : (uint32_t)sim_between(w, 1, 8);
    cfg->waiting_max = run->config.strict || one_in(w, 2) ? 1000 : (uint32_t)sim_between(w, 1, 8);
    cfg->head_bytes_max = 4096;
    cfg->connect_timeout_ns = timeouts ? sim_between(w, 1, 500) * SIM_MS : 0;
    /* What closes connections that are unused disturbs nobody. */
    cfg->idle_timeout_ns = timeouts || one_in(w, 4) ? sim_between(w, 1, 500) * SIM_MS : 0;
    cfg->age_max_ns = one_in(w, 4) ? sim_between(w, 1, 500) * SIM_MS : 0;
    cfg->drain_bytes_max = one_in(w, 3) ? sim_below(w, 3000) : 65536;
    if (run->config.strict)
        return;
    cfg->waiting_timeout_ns = one_in(w, 6) ? sim_between(w, 1, 500) * SIM_MS : 0;
    cfg->pending_max = one_in(w, 8) ? (uint32_t)sim_between(w, 1, 12) : 0;
}

/* When it sends again, and to whom. In a strict run as often as it takes. */
static void client_policies_draw(struct sim_run *run, struct weir_client_config *cfg)
{
    struct sim_world *w = run->world;
    bool strict = run->config.strict;
    cfg->retry.attempts_max = one_in(w, 2) ? 1 : (uint32_t)sim_between(w, 2, 4);
    cfg->retry.backoff_ns = sim_between(w, 1, 20) * SIM_MS;
    cfg->retry.backoff_max_ns = cfg->retry.backoff_ns * sim_between(w, 1, 8);
    cfg->retry.budget_percent = strict ? 100 : (uint32_t)sim_below(w, 101);
    cfg->retry.budget_min = strict ? 1000 : (uint32_t)sim_below(w, 10);
    cfg->retry.no_replay = !strict && one_in(w, 6);
    cfg->eject_failures = (uint32_t)sim_below(w, 4);
    cfg->eject_ns = sim_between(w, 1, 200) * SIM_MS;
    cfg->eject_max_ns = cfg->eject_ns * sim_between(w, 1, 8);
    if (!run->config.health)
        return;
    cfg->health_target = SIM_HEALTH_TARGET;
    cfg->health_interval_ns = sim_between(w, 2, 300) * SIM_MS;
    cfg->health_timeout_ns = sim_between(w, 1, 300) * SIM_MS;
}

static void faults_draw(struct sim_run *run)
{
    struct sim_world *w = run->world;
    struct sim_config *c = &run->config;
    uint32_t most = one_in(w, 4) ? 0 : 1000u << sim_below(w, 10);
    for (int i = 0; i < SIM_FAULT_COUNT; i++) {
        if (!sim_fault_harmless[i] && c->strict)
            continue;
        uint32_t scale = sim_fault_harmless[i] ? 1 : 8; /* what breaks connections is rarer */
        if (one_in(w, 2))
            w->faults.per_million[i] = (uint32_t)sim_below(w, most + 1) / scale;
    }
    /* Time that passes at once is harmless only where nobody looks at it. */
    if (c->timeouts || !c->strict)
        w->faults.per_million[SIM_CLOCK_JUMP] /= 16;
    if (c->scene == SIM_SCENE_MOCK && c->strict) /* it has its timeouts */
        w->faults.per_million[SIM_CLOCK_JUMP] = 0;
    w->latency_max_ns = 1ull << sim_below(w, 22);
    w->pipe_bytes_max = 1u << sim_between(w, 6, 18);
    c->body_bytes_max = (uint32_t)weir_min_u64(c->body_bytes_max, 32ull * w->pipe_bytes_max);
    w->zc = one_in(w, 2);
    w->spin = one_in(w, 8);
    w->fds_max = !c->timeouts || one_in(w, 2) ? SIM_SOCKS_MAX : (uint32_t)sim_between(w, 6, 60);
}

/* In the scene of the mock it is looked at when things happen: everybody is quick, now and then. */
static void mock_draw(struct sim_run *run)
{
    struct sim_world *w = run->world;
    struct sim_config *c = &run->config;
    /* What the mock answers is as long as it is. */
    if (c->scene == SIM_SCENE_MOCK)
        w->pipe_bytes_max = (uint32_t)weir_max_u64(w->pipe_bytes_max, 1024);
    c->calm = c->scene == SIM_SCENE_MOCK && c->strict && one_in(w, 3);
    if (!c->calm)
        return;
    memset(w->faults.per_million, 0, sizeof w->faults.per_million);
    w->latency_max_ns = 20 * SIM_US;
    w->pipe_bytes_max = 1u << 18;
    c->client.pipeline_max = 1;
}

static void answer_draw(struct sim_run *run, struct sim_plan *p)
{
    struct sim_world *w = run->world;
    bool strict = run->config.strict;
    p->how = (enum sim_answer)sim_below(w, SIM_ANSWER_FIN);
    p->answer_bytes = size_draw(w, run->config.body_bytes_max);
    p->status = 200;
    if (one_in(w, 16) && p->how <= SIM_ANSWER_BORROW)
        p->status = one_in(w, 2) ? 204 : 404;
    p->empty = p->status == 204 || sim_method_is(p, "HEAD");
    if (p->empty && p->how == SIM_ANSWER_PIECES)
        p->how = SIM_ANSWER_STREAM; /* pieces are for answers with a body */
    /* A copy must fit into the output memory, beside a head. */
    if (p->how == SIM_ANSWER_COPY)
        p->answer_bytes = (uint32_t)weir_min_u64(p->answer_bytes, 40000);
    p->pauses = one_in(w, 3);
    if (one_in(w, 3))
        p->delay_ns = 1ull << sim_below(w, 28);
    if (strict)
        return;
    if (one_in(w, 20))
        p->how = SIM_ANSWER_FIN;
    else if (one_in(w, 20))
        p->how = SIM_ANSWER_RST;
    else if (one_in(w, 40) && run->config.end_early)
        p->how = SIM_ANSWER_NEVER;
    if (p->how >= SIM_ANSWER_FIN) {
        p->status = 200;
        p->empty = sim_method_is(p, "HEAD");
    }
    p->early = one_in(w, 8);
    p->close = one_in(w, 12);
}

/* What it takes besides a request and an answer: for the client alone. */
static void asking_draw(struct sim_run *run, struct sim_plan *p)
{
    struct sim_world *w = run->world;
    const struct sim_config *c = &run->config;
    bool post = sim_method_is(p, "POST");
    p->upload = p->method.ptr[0] == 'P' && one_in(w, 3) ? (enum sim_upload)sim_between(w, 1, 2)
                                                        : SIM_UPLOAD_WHOLE;
    p->rewinds = one_in(w, 2);
    p->idempotent = !post || one_in(w, 4);
    p->stops = one_in(w, 4);
    if (c->closes_unused && c->strict)
        p->idempotent = p->rewinds = true; /* whatever is broken is sent again */
    bool again = p->idempotent && (p->rewinds || p->upload == SIM_UPLOAD_WHOLE);
    /* An answer that is not wanted may take its connection with it, and others' answers. */
    bool alone = !c->strict || c->client.pipeline_max == 1;
    if (c->scene == SIM_SCENE_ORIGIN && again && alone && one_in(w, 4))
        p->refusals = (uint32_t)sim_between(w, 1, 3);
    if (c->strict)
        p->refusals = (uint32_t)weir_min_u64(p->refusals, c->client.retry.attempts_max - 1);
    if (c->strict)
        return;
    p->source_fails = p->upload != SIM_UPLOAD_WHOLE && one_in(w, 8);
    if (one_in(w, 16))
        p->give_up = one_in(w, 2) ? SIM_GIVE_UP_IN_HEAD : SIM_GIVE_UP_IN_BODY;
}

static void exchange_draw(struct sim_run *run, struct sim_exchange *x)
{
    static const char *const methods[] = { "GET", "GET", "POST", "POST", "PUT", "HEAD" };
    struct sim_world *w = run->world;
    struct sim_plan *p = &x->plan;
    const char *method = methods[sim_below(w, sizeof methods / sizeof methods[0])];
    p->method = (struct weir_slice){ (const uint8_t *)method, strlen(method) };
    if (method[0] == 'P')
        p->ask_bytes = size_draw(w, run->config.body_bytes_max);
    answer_draw(run, p);
    /* A head must not become longer than the server allows. */
    if (one_in(w, 3))
        p->pad_bytes = (uint32_t)sim_below(w, run->config.server.head_bytes_max - 300);
    p->start_ns = one_in(w, 2) ? 0 : sim_below(w, 1ull << sim_below(w, 28));
    asking_draw(run, p);
    if (run->config.strict)
        return;
    if (one_in(w, 10))
        p->deadline_ns = 1 + sim_below(w, 1ull << sim_below(w, 30));
    if (one_in(w, 10))
        p->cancel_ns = 1 + sim_below(w, 1ull << sim_below(w, 26));
}

void sim_plan_make(struct sim_run *run, enum sim_scene scene)
{
    struct sim_world *w = run->world;
    struct sim_config *c = &run->config;
    *c = (struct sim_config){ .scene = scene < SIM_SCENE_COUNT
                                           ? scene
                                           : (enum sim_scene)sim_below(w, SIM_SCENE_COUNT),
                              .strict = one_in(w, 2) };
    c->timeouts = !c->strict && one_in(w, 3);
    c->end_early = !c->strict && one_in(w, 3);
    c->end_ns = sim_below(w, 1ull << sim_below(w, 28));
    c->drain = one_in(w, 2);
    c->drain_ns = c->strict || one_in(w, 2) ? UINT64_MAX : sim_below(w, 1ull << sim_below(w, 28));
    c->hold_per_million = one_in(w, 3) ? (uint32_t)sim_below(w, SIM_CERTAIN) : 0;
    c->exchanges_count = (uint32_t)sim_between(w, 1, one_in(w, 4) ? SIM_EXCHANGES_MAX : 12);
    c->body_bytes_max = one_in(w, 6) ? SIM_BODY_MAX : 1u << sim_below(w, 15);
    c->one_engine = one_in(w, 4);
    c->dialer_resets_per_million = c->strict ? 0 : SIM_CERTAIN / 5;
    c->dialers_count = (uint32_t)sim_between(w, 1, 6);
    bool origin = c->scene == SIM_SCENE_ORIGIN;
    c->endpoints_count =
        origin && one_in(w, 2) ? (uint32_t)sim_between(w, 1, SIM_ENDPOINTS_MAX) : 1;
    c->closes_unused = origin && one_in(w, 3);
    c->health = origin && one_in(w, 4);
    for (int i = 0; i < 2; i++)
        engine_draw(run, &c->engine[i]);
    server_draw(run, &c->server);
    client_draw(run, &c->client);
    client_policies_draw(run, &c->client);
    c->server.head_bytes_max =
        (uint32_t)weir_min_u64(c->server.head_bytes_max, c->engine[1].stash_block_bytes);
    /* Room for one of the server's connections beside the listener and all of the client's. */
    if (c->one_engine)
        c->engine[1].conns_max =
            (uint32_t)weir_max_u64(c->engine[1].conns_max, c->client.conns_max + 2);
    /* Answers that wait for their turn may take all of the output memory, and the one whose turn it
     * is finds none. Only a time limit ends that. */
    if (c->server.pipeline_max > 1 && !c->timeouts)
        c->engine[1].send_bytes_max = SIM_EXCHANGES_MAX * (SIM_BODY_MAX + 65536ull);
    /* So may bodies that are made while others wait for room, where both sides share it. */
    if (c->one_engine)
        c->engine[1].send_bytes_max = weir_max_u64(c->engine[1].send_bytes_max, 16u << 20);
    faults_draw(run);
    mock_draw(run);
    for (uint32_t i = 0; i < c->exchanges_count; i++) {
        run->exchanges[i] = (struct sim_exchange){ .id = i };
        exchange_draw(run, &run->exchanges[i]);
    }
    run->begin_ns = w->now_ns;
}
