/* SPDX-License-Identifier: MIT */
#include "visit.h"

#include "judge.h"
#include "office.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

static const struct sim_ask asks[] = {
    { "GET", "/api/health", NULL, 200, "healthy", false },
    { "HEAD", "/api/health", NULL, 200, NULL, false },
    { "GET", "/api/models", NULL, 200, "bitnet-7b", false },
    { "POST", "/api/infer", "{\"model_id\":\"bitnet-7b\",\"prompt\":\"", 400, "error", false },
    { "POST", "/api/infer", "{\"prompt\":\"x\"}", 400, "model_id", false },
    { "POST", "/api/infer/batch", "[{\"model_id\":\"x\",\"prompt\":\"x\"},7]", 200, "finish_reason",
      false },
    /* 200, or 202 when somebody else is loading it already. */
    { "POST", "/api/models/load", "{\"model_id\":\"llama-13b\"}", 0, "{\"status\":\"load", false },
    { "POST", "/api/models/load?wait=false", "{\"model_id\":\"bitnet-7b\"}", 0,
      "{\"status\":\"load", false },
    { "POST", "/api/models/unload", "{\"model_id\":\"bitnet-7b\"}", 0, "{\"status\":\"unload",
      false },
    { "GET", "/v1/models", NULL, 200, "bitnet-7b", false },
    { "GET", "/v1/models/llama-13b", NULL, 200, "llama-13b", false },
    { "GET", "/v1/models/none", NULL, 404, "model_not_found", false },
    { "GET", "/health", NULL, 200, "ok", false },
    { "GET", "/admin/config", NULL, 200, "latency", false },
    { "GET", "/admin/faults", NULL, 200, "faults", false },
    { "GET", "/admin/audit", NULL, 200, "violations", false },
    { "GET", "/metrics", NULL, 200, "mock_", false },
    { "GET", "/admin/stats", NULL, 200, "endpoints", false },
    { "GET", "/admin/requests?limit=5", NULL, 200, "[", false },
    { "GET", "/admin/requests/count?stream=true", NULL, 200, "count", false },
    { "DELETE", "/api/infer", NULL, 405, "error", false },
    { "GET", "/nothing", NULL, 404, "not_found", false },
    { "GET", "/admin/", NULL, 200, "html", false },
};
/* These are not for every run. */
static const struct sim_ask ask_reset = { "POST", "/admin/reset", NULL, 0, "", false };
static const struct sim_ask ask_events = { "GET", "/admin/events", NULL, 200, "", true };

static struct sim_visit *visit_of(struct weir_call *call)
{
    return weir_container_of(call, struct sim_visit, call);
}

static struct sim_world *world_of(const struct sim_visit *v)
{
    return v->office->run->world;
}

static bool one_in(struct sim_world *w, uint64_t n)
{
    return sim_below(w, n) == 0;
}

static struct weir_slice text_of(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, text == NULL ? 0 : strlen(text) };
}

/* ---- Answers ----------------------------------------------------------------------------- */

static void give_up(struct sim_visit *v)
{
    sim_trace(world_of(v), "cancel", (int)v->x->id, 0, 0);
    v->cancel_ns = 0;
    v->given_up = true;
    weir_call_cancel(&v->call);
}

/* No more of it for a while, now and then. */
static void pause_some(struct sim_visit *v)
{
    struct sim_world *world = world_of(v);
    if (!v->x->plan.stops || v->office->run->config.calm || v->resume_ns != 0 ||
        sim_below(world, 4) != 0)
        return;
    v->resume_ns = world->now_ns + 1 + sim_below(world, 1ull << sim_below(world, 26));
    sim_wake_at(world, v->resume_ns);
    weir_call_pause(&v->call);
}

static void on_body(struct weir_call *call, struct weir_slice piece)
{
    struct sim_visit *v = visit_of(call);
    SIM_CHECK(v->x->started && !v->x->done && !v->given_up && v->resume_ns == 0,
              "exchange %u is told more than it wants", v->x->id);
    if (v->stream && call->status == 200) {
        sim_judge_piece(v, piece);
    } else {
        size_t n = weir_min_u64(piece.len, sizeof v->got - v->got_bytes);
        memcpy(v->got + v->got_bytes, piece.ptr, n);
        v->got_bytes += n;
    }
    pause_some(v);
    if (v->x->plan.give_up == SIM_GIVE_UP_IN_BODY)
        give_up(v);
}

static void on_end(struct weir_call *call, int err)
{
    struct sim_visit *v = visit_of(call);
    v->office->done_count++;
    sim_judge_end(v, err);
    sim_exchange_done(v->office->run, v->x, sim_judge_excuses(v, err) ? 0 : err);
    v->x->err = err;
}

static const struct weir_call_handler handler = { .on_body = on_body, .on_end = on_end };

/* ---- What is asked ----------------------------------------------------------------------- */

static void tokens_draw(struct sim_visit *v, struct sim_world *w)
{
    static const struct {
        enum endpoint endpoint;
        const char *target;
    } targets[] = {
        { ENDPOINT_INFER, "/api/infer" },
        { ENDPOINT_COMPLETIONS, "/v1/completions" },
        { ENDPOINT_CHAT, "/v1/chat/completions" },
    };
    static const char *const models[] = { "bitnet-7b", "llama-13b", "x" };
    const char *model = models[sim_below(w, 3)];
    uint64_t choice = sim_below(w, 3);
    /* Few bytes at a time make a long answer last for ever. */
    uint32_t most = w->pipe_bytes_max >= 4096 ? 3000 : 200;
    uint32_t prompt = (uint32_t)sim_below(w, 1ull << sim_below(w, 9));
    v->method = "POST";
    v->endpoint = targets[choice].endpoint;
    v->target = targets[choice].target;
    v->stream = one_in(w, 2);
    v->choices_count = v->endpoint == ENDPOINT_INFER || !one_in(w, 4) ? 1 : 2;
    if (!one_in(w, 6))
        v->tokens_max = (uint32_t)sim_between(w, 1, one_in(w, 24) ? most : 30);
    v->usage = v->endpoint != ENDPOINT_INFER && v->stream && one_in(w, 2);
    text_printf(&v->body, "{\"%s\":\"%s\",", v->endpoint == ENDPOINT_INFER ? "model_id" : "model",
                model);
    text_put(&v->body, v->endpoint == ENDPOINT_CHAT
                           ? "\"messages\":[{\"role\":\"user\",\"content\":\""
                           : "\"prompt\":\"");
    for (uint32_t i = 0; i <= prompt; i++)
        text_put(&v->body, i % 5 == 4 ? " " : "p");
    text_put(&v->body, v->endpoint == ENDPOINT_CHAT ? "\"}]" : "\"");
    if (v->tokens_max != 0)
        text_printf(&v->body, ",\"max_tokens\":%u", v->tokens_max);
    if (v->choices_count > 1)
        text_printf(&v->body, ",\"n\":%u", v->choices_count);
    if (v->stream)
        text_put(&v->body, ",\"stream\":true");
    if (v->usage)
        text_put(&v->body, ",\"stream_options\":{\"include_usage\":true}");
    text_put(&v->body, "}");
}

static void change_draw(struct sim_visit *v, struct sim_world *w)
{
    const struct sim_settings *s = &v->office->settings;
    v->method = "PATCH";
    v->target = "/admin/config";
    if (!s->faults || one_in(w, 2)) {
        sim_settings_write_patch(&v->body, s, w);
        return;
    }
    const char *id = sim_settings_rule_id(w);
    snprintf(v->field, sizeof v->field, "/admin/faults/%s", id);
    v->target = v->field;
    switch (sim_below(w, 4)) {
    case 0:
        v->method = "POST";
        v->target = "/admin/faults";
        sim_settings_write_rule(&v->body, s, w, id);
        break;
    case 1:
        v->method = "PUT";
        sim_settings_write_rule(&v->body, s, w, id);
        break;
    case 2:
        text_printf(&v->body, "{\"enabled\":%s}", one_in(w, 2) ? "true" : "false");
        break;
    default:
        v->method = "DELETE";
        break;
    }
}

static void ask_draw(struct sim_visit *v, struct sim_world *w)
{
    v->ask = &asks[sim_below(w, sizeof asks / sizeof asks[0])];
    if (v->office->settings.resets && one_in(w, 4))
        v->ask = &ask_reset;
    else if (!v->office->run->config.strict && one_in(w, 8))
        v->ask = &ask_events;
    v->method = v->ask->method;
    v->target = v->ask->target;
    if (v->ask->body != NULL)
        text_put(&v->body, v->ask->body);
}

static void headers_draw(struct sim_visit *v, struct sim_world *w, size_t *count)
{
    snprintf(v->key, sizeof v->key, one_in(w, 2) ? "v-%u" : "v%u", v->x->id);
    v->headers[(*count)++] = (struct weir_header){ WEIR_TEXT("X-Mock-Key"), text_of(v->key) };
    if (!v->office->settings.overrides || one_in(w, 2))
        return;
    v->overridden = true;
    const char *word = sim_settings_fault_word(&v->office->settings, w);
    if (v->office->settings.faults && one_in(w, 2))
        v->headers[(*count)++] = (struct weir_header){ WEIR_TEXT("X-Mock-Fault"), text_of(word) };
    if (one_in(w, 3))
        v->headers[(*count)++] = (struct weir_header){ WEIR_TEXT("X-Mock-ITL"), text_of("2ms") };
    else if (one_in(w, 3))
        v->headers[(*count)++] = (struct weir_header){ WEIR_TEXT("X-Mock-Tokens"), text_of("17") };
}

void sim_visit_draw(struct sim_visit *v, struct sim_office *office, struct sim_exchange *x)
{
    struct sim_run *run = office->run;
    struct sim_world *w = run->world;
    size_t headers_count = 0;
    v->office = office;
    v->x = x;
    uint64_t choice = sim_below(w, 8);
    v->kind = choice < 4                                ? SIM_VISIT_TOKENS
              : choice == 4 && office->settings.changes ? SIM_VISIT_CHANGE
                                                        : SIM_VISIT_ASK;
    if (v->kind == SIM_VISIT_TOKENS)
        tokens_draw(v, w);
    else if (v->kind == SIM_VISIT_CHANGE)
        change_draw(v, w);
    else
        ask_draw(v, w);
    headers_draw(v, w, &headers_count);
    v->call = (struct weir_call){
        .request = { .method = text_of(v->method),
                     .target = text_of(v->target),
                     .headers = v->headers,
                     .headers_count = headers_count,
                     .body = text_slice(&v->body),
                     .body_always = v->method[0] == 'P',
                     /* Who meets a connection that a fault ended before goes to another one. */
                     .idempotent = v->kind != SIM_VISIT_CHANGE },
        .handler = &handler,
    };
    v->start_ns = run->begin_ns + x->plan.start_ns;
    sim_wake_at(w, v->start_ns);
}

/* ---- Asking ------------------------------------------------------------------------------ */

static uint64_t deadline_of(const struct sim_visit *v)
{
    struct sim_world *world = world_of(v);
    const struct sim_plan *p = &v->x->plan;
    if (p->deadline_ns != 0)
        return world->now_ns + p->deadline_ns;
    if (v->ask != NULL && v->ask->endless)
        return world->now_ns + 1 + sim_below(world, 3 * SIM_S);
    if (v->office->settings.holds)
        return world->now_ns + sim_between(world, 1, 20) * SIM_S;
    return 0;
}

static bool visit_start(struct sim_visit *v)
{
    struct sim_run *run = v->office->run;
    const struct sim_plan *p = &v->x->plan;
    if (v->x->started || v->start_ns > run->world->now_ns)
        return false;
    v->call.deadline_ns = deadline_of(v);
    v->x->started = true;
    sim_trace(run->world, v->target, (int)v->x->id, 0, 0);
    int rc = weir_client_send(v->office->client, &v->call);
    if (rc == 0) {
        v->cancel_ns = p->cancel_ns != 0 ? run->world->now_ns + p->cancel_ns : 0;
        if (v->cancel_ns != 0)
            sim_wake_at(run->world, v->cancel_ns);
        return true;
    }
    v->x->started = false;
    bool full = rc == WEIR_E_QUEUE_FULL || rc == WEIR_E_OVERLOAD;
    SIM_CHECK(rc == -ENOBUFS || (full && !run->config.strict), "exchange %u cannot be sent: %s",
              v->x->id, weir_err_name(rc));
    v->start_ns =
        run->world->now_ns + SIM_MS + sim_below(run->world, 1ull << sim_below(run->world, 30));
    sim_wake_at(run->world, v->start_ns);
    return false;
}

bool sim_visit_step(struct sim_visit *v)
{
    struct sim_world *world = world_of(v);
    bool moved = visit_start(v);
    if (!v->x->started || v->x->done)
        return moved;
    if (v->cancel_ns != 0 && v->cancel_ns <= world->now_ns) {
        give_up(v);
        moved = true;
    }
    if (v->resume_ns != 0 && v->resume_ns <= world->now_ns) {
        v->resume_ns = 0;
        weir_call_resume(&v->call);
        moved = true;
    }
    return moved;
}

void sim_visit_close(struct sim_visit *v)
{
    SIM_CHECK(v->x->done || !v->x->started, "exchange %u was never ended", v->x->id);
    text_free(&v->body);
}
