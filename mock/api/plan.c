/* SPDX-License-Identifier: MIT */
#include "mock/api/plan.h"

#include "mock/api/answer.h"
#include "mock/api/api.h"
#include "mock/api/batch.h"
#include "mock/api/stream.h"

#include <weir/url.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_S    1000000000ULL
#define UNLOAD_BODY "{\"status\":\"unloaded\"}"

/* Of a body; more is lent. */
#define COPIED_BYTES_MAX 16384

/* Gaps of a plain answer that are drawn one by one; of more, the rest has the mean: a million draws
 * would hold up everybody else for tens of milliseconds. */
#define GAPS_DRAWN_MAX 4096

/* Is the time that it takes made of tokens? The original's plain infer request is not. */
static bool plan_has_tokens(const struct request *request)
{
    return api_is_inference(request) &&
           (request->endpoint != ENDPOINT_INFER || request->ask.stream ||
            request->app->config->engine.kind != CONFIG_ENGINE_FIXED);
}

void plan_take_wait(struct request *request, struct weir_slice query)
{
    static const char name[] = "wait=false";
    const uint8_t *at = query.ptr, *end = query.ptr + query.len;
    while (at < end && !request->no_wait) {
        const uint8_t *and = memchr(at, '&', (size_t)(end - at));
        const uint8_t *stop = and != NULL ? and : end;
        request->no_wait =
            (size_t)(stop - at) == sizeof name - 1 && memcmp(at, name, sizeof name - 1) == 0;
        at = stop + 1;
    }
}

void plan_take_model_id(struct request *request, struct weir_slice path)
{
    struct weir_slice id = endpoint_id(ENDPOINT_V1_MODEL, path);
    uint8_t *out = (uint8_t *)request->ask.model_name;
    int64_t len = weir_url_percent_decode(out, sizeof request->ask.model_name - 1, id);
    request->ask.model_name[len > 0 ? len : 0] = '\0';
}

static void plan_fail(struct request *request, const struct body_error *err)
{
    request->asked_ns = request->first_asked_ns = 0; /* a mistake is told at once */
    request->delayed = false;                        /* nor is it late */
    request->action = NULL;
    request->rule = NULL;
    answer_give_error(request, &(struct answer_error){ .status = err->status,
                                                       .type = err->type,
                                                       .message = err->message,
                                                       .field = err->field,
                                                       .code = err->code });
}

static void plan_out_of_memory(struct request *request)
{
    plan_fail(request, &(struct body_error){
                           .status = 503, .type = "overloaded", .message = "out of memory" });
}

/* ---- Times ------------------------------------------------------------------------------- */

static uint64_t plan_draw(const struct request *request, const struct weir_dist *dist,
                          uint64_t draw)
{
    return weir_dist_draw_ns(dist, request->app->config->seed, request->key, draw);
}

/* Behind any time that anybody will see. */
#define PLAN_NEVER_NS (UINT64_MAX / 2)

uint64_t plan_add_ns(uint64_t a, uint64_t b)
{
    return a > PLAN_NEVER_NS - b ? PLAN_NEVER_NS : a + b;
}

static uint64_t plan_multiply(uint64_t ns, double factor)
{
    double product = (double)ns * factor;
    return product < (double)WEIR_DIST_NS_MAX ? (uint64_t)(product + 0.5) : WEIR_DIST_NS_MAX;
}

static uint64_t plan_delay_ns(const struct request *request, enum config_operation operation)
{
    const struct config *config = request->app->config;
    const struct override *override = request->override;
    if (override != NULL && override->delay.given)
        return override_draw_ns(&override->delay, config->seed, request->key, API_DRAW_DELAY);
    double factor = config->latency.multiplier[operation];
    if (factor <= 0)
        return 0;
    uint64_t ns = request->app->delay_fixed_ns;
    if (ns == 0)
        return 0;
    if (ns == UINT64_MAX)
        ns = plan_draw(request, config->latency.delay, API_DRAW_DELAY);
    return plan_multiply(ns, factor);
}

static uint64_t plan_ttft_ns(const struct request *request)
{
    const struct config *config = request->app->config;
    const struct override *override = request->override;
    if (override != NULL && override->ttft.given)
        return override_draw_ns(&override->ttft, config->seed, request->key, API_DRAW_TTFT);
    if (config->engine.kind == CONFIG_ENGINE_LINEAR)
        return pace_linear_ttft(&config->engine.linear, request->ask.prompt_tokens);
    uint64_t ns = config->latency.ttft != NULL
                      ? plan_draw(request, config->latency.ttft, API_DRAW_TTFT)
                      : plan_delay_ns(request, CONFIG_INFER);
    if (config->latency.prefill != NULL)
        ns += plan_multiply(plan_draw(request, config->latency.prefill, API_DRAW_PREFILL),
                            request->ask.prompt_tokens);
    return ns;
}

uint64_t plan_gap_ns(const struct request *request, uint32_t index)
{
    /* A stream that has begun goes on as it began. */
    const struct config *config = request->config != NULL ? request->config : request->app->config;
    const struct override *override = request->override;
    uint64_t draw = API_DRAW_ITL + index;
    if (override != NULL && override->itl.given)
        return override_draw_ns(&override->itl, config->seed, request->key, draw);
    if (request->counted) /* it began with a linear engine */
        return request->gap_ns;
    return weir_dist_draw_ns(config->latency.itl, config->seed, request->key, draw);
}

/* From the first token to the last one of an answer that is given whole. */
static uint64_t plan_gaps_ns(const struct request *request, uint32_t count)
{
    uint64_t sum = 0;
    uint32_t drawn = count < GAPS_DRAWN_MAX ? count : GAPS_DRAWN_MAX;
    for (uint32_t i = 1; i <= drawn; i++)
        sum = plan_add_ns(sum, plan_gap_ns(request, i));
    return drawn == count ? sum : plan_multiply(sum, (double)count / drawn);
}

static enum config_operation plan_operation(const struct request *request)
{
    switch (request->endpoint) {
    case ENDPOINT_LOAD:
        return CONFIG_LOAD;
    case ENDPOINT_UNLOAD:
        return CONFIG_UNLOAD;
    case ENDPOINT_HEALTH:
        return CONFIG_HEALTH;
    case ENDPOINT_MODELS:
    case ENDPOINT_V1_MODELS:
    case ENDPOINT_V1_MODEL:
        return CONFIG_LIST;
    default:
        return CONFIG_INFER;
    }
}

/* ---- Answers ----------------------------------------------------------------------------- */

static void plan_answer_load(const struct request *request, struct text *out)
{
    const struct config *config = request->config;
    uint64_t bytes = request->ask.model >= 0 ? config->models[request->ask.model].memory_bytes : 0;
    struct timespec wall = { 0 };
    clock_gettime(CLOCK_REALTIME, &wall);
    text_put(out, "{\"status\":\"loaded\",\"loaded_at\":\"");
    text_time(out, (int64_t)wall.tv_sec * (int64_t)NS_PER_S, 0);
    /* What the original says of every model, unless the configuration knows better. */
    if (bytes == 0)
        text_put(out, "\",\"memory_used\":\"2.5GB\"}");
    else
        text_printf(out, "\",\"memory_used\":\"%.1fGB\"}", (double)bytes / 1e9);
}

static void plan_answer_model(struct request *request, struct text *out, struct answer *answer)
{
    const struct config *config = request->app->config;
    const char *name = request->ask.model_name;
    struct weir_slice id = { (const uint8_t *)name, strlen(name) };
    if (reply_model(out, config, id, request->app->mock->started_s))
        return;
    answer->status = 404;
    reply_error(out, ENDPOINT_V1_MODEL,
                &(struct reply_problem){ .status = 404,
                                         .type = "not_found",
                                         .message = "there is no such model",
                                         .field = "model",
                                         .code = "model_not_found" });
}

/* The regular answer. */
static void plan_answer_text(struct request *request, struct answer *answer)
{
    struct app *app = request->app;
    struct text *out = &app->scratch;
    struct reply reply;
    out->len = 0;
    out->failed = false;
    switch (request->endpoint) {
    case ENDPOINT_LOAD:
        plan_answer_load(request, out);
        break;
    case ENDPOINT_UNLOAD:
        text_put(out, UNLOAD_BODY);
        break;
    case ENDPOINT_BATCH:
        answer->body = text_slice(&request->text);
        return;
    case ENDPOINT_MODELS:
        if (models_list(&app->mock->models, weir_engine_now_ns(app->engine), out) < 0)
            out->failed = true;
        break;
    case ENDPOINT_V1_MODELS:
        reply_models(out, app->config, app->mock->started_s);
        break;
    case ENDPOINT_V1_MODEL:
        plan_answer_model(request, out, answer);
        break;
    case ENDPOINT_HEALTH:
        answer->body = app->mock->health_body;
        return;
    default:
        reply = stream_reply(request);
        reply_write(out, &reply);
        break;
    }
    answer->body = text_slice(out);
}

static void plan_answer_status(struct request *request, uint16_t status, int32_t retry_after_s,
                               const char *body)
{
    uint32_t retry = retry_after_s > 0 ? (uint32_t)retry_after_s : 0;
    if (body != NULL)
        answer_give(request, &(struct answer){ .status = status,
                                               .retry_after_s = retry,
                                               .content_type = ANSWER_JSON,
                                               .body = { (const uint8_t *)body, strlen(body) } });
    else
        answer_give_error(request, &(struct answer_error){ .status = status,
                                                           .retry_after_s = retry,
                                                           .type = "injected_error",
                                                           .message = "an error was asked for" });
}

/* 202, 404, 409, 507: a load, an unload or a use that is not simply well. */
static void plan_answer_verdict(struct request *request)
{
    static const struct {
        const char *type, *message;
    } texts[RESIDENCY_VERDICT_COUNT] = {
        [RESIDENCY_ABSENT] = { "not_found", "the model is not loaded" },
        [RESIDENCY_BUSY] = { "conflict", "the model is being loaded or unloaded, or in use" },
        [RESIDENCY_FULL] = { "insufficient_storage", "there is no memory for the model" },
    };
    enum residency_verdict verdict = (enum residency_verdict)request->verdict;
    uint64_t now_ns = weir_engine_now_ns(request->app->engine);
    uint64_t wait_ns = request->ready_ns > now_ns ? request->ready_ns - now_ns : 0;
    answer_give_error(
        request,
        &(struct answer_error){
            .status = residency_status(verdict),
            .retry_after_s = (uint32_t)((wait_ns + NS_PER_S - 1) / NS_PER_S),
            .type = texts[verdict].type,
            .message = texts[verdict].message,
            .field = reply_is_openai((enum endpoint)request->endpoint) ? "model" : "model_id",
            .code = verdict == RESIDENCY_ABSENT ? "model_not_found" : NULL,
        });
}

static void plan_answer_accepted(struct request *request)
{
    char body[96];
    uint64_t now_ns = weir_engine_now_ns(request->app->engine);
    uint64_t wait_ns = request->ready_ns > now_ns ? request->ready_ns - now_ns : 0;
    int len = snprintf(body, sizeof body, "{\"status\":\"%s\",\"ready_in_us\":%llu}",
                       request->endpoint == ENDPOINT_LOAD ? "loading" : "unloading",
                       (unsigned long long)(wait_ns / 1000));
    answer_give(request, &(struct answer){ .status = 202,
                                           .content_type = ANSWER_JSON,
                                           .body = { (const uint8_t *)body, (size_t)len } });
}

/* A long answer is not copied into the memory that all answers share: the request keeps it. */
static void plan_lend(struct request *request, struct answer *answer)
{
    struct app *app = request->app;
    if (answer->body.len <= COPIED_BYTES_MAX)
        return;
    answer->how = WEIR_BODY_BORROW;
    if ((const char *)answer->body.ptr != app->scratch.ptr)
        return; /* it is the request's already */
    text_free(&request->text);
    request->text = app->scratch;
    app->scratch = (struct text){ 0 };
}

void plan_answer(struct request *request)
{
    if (api_struck_by(request, FAULT_STATUS)) {
        plan_answer_status(request, request->action->status, request->action->retry_after_s,
                           request->action->body);
    } else if (request->verdict > RESIDENCY_ACCEPTED) {
        plan_answer_verdict(request);
    } else if (request->verdict == RESIDENCY_ACCEPTED) {
        plan_answer_accepted(request);
    } else {
        struct answer answer = { .status = 200, .content_type = ANSWER_JSON };
        if (api_is_inference(request)) {
            request->given_tokens = request->output_tokens * request->ask.choices_count;
            if (request->first_ns == 0)
                stream_count_whole(request);
        }
        plan_answer_text(request, &answer);
        if (request->app->scratch.failed) {
            plan_out_of_memory(request);
            return;
        }
        plan_lend(request, &answer);
        answer_give(request, &answer);
    }
}

static void plan_on_due(struct weir_timer *timer, void *ctx)
{
    struct request *request = ctx;
    uint64_t now_ns = weir_engine_clock_ns(request->app->engine);
    uint64_t late_us = (now_ns - request->due_ns) / 1000;
    (void)timer;
    request->late_us = late_us < UINT32_MAX ? (uint32_t)late_us : UINT32_MAX;
    plan_answer(request);
}

static void plan_wait(struct request *request, uint64_t delay_ns)
{
    struct app *app = request->app;
    request->asked_ns = delay_ns;
    if (request->first_asked_ns == 0)
        request->first_asked_ns = delay_ns;
    request->due_ns = plan_add_ns(request->granted_ns, delay_ns);
    /* A model is ready by the clock of all threads, and when others have made room for it. */
    if (request->due_ns < request->least_due_ns)
        request->due_ns = request->least_due_ns;
    if (request->due_ns <= weir_engine_now_ns(app->engine)) {
        plan_answer(request);
        return;
    }
    request->delayed = true;
    weir_timer_init(&request->timer, plan_on_due, request);
    weir_timer_set(app->engine, &request->timer, request->due_ns);
}

/* ---- Its time begins --------------------------------------------------------------------- */

/* How long the model takes, if its configuration says so; or NULL. */
static const struct weir_dist *plan_own_time(const struct request *request)
{
    if (request->ask.model < 0)
        return NULL;
    const struct config_model *model = &request->config->models[request->ask.model];
    return request->endpoint == ENDPOINT_LOAD ? model->load : model->unload;
}

/* Load or unload: the answer comes when it is done, or says at once that it will be. */
static void plan_transition(struct request *request)
{
    struct models *models = &request->app->mock->models;
    bool load = request->endpoint == ENDPOINT_LOAD;
    uint64_t now_ns = request->granted_ns;
    const struct weir_dist *own = plan_own_time(request);
    uint64_t takes_ns = own != NULL ? plan_draw(request, own, API_DRAW_LOAD)
                                    : plan_delay_ns(request, load ? CONFIG_LOAD : CONFIG_UNLOAD);
    enum residency_state state = models_state(models, request->model, now_ns);
    takes_ns += request->extra_ns;
    struct residency_answer answer = load ? models_load(models, request->model, now_ns, takes_ns)
                                          : models_unload(models, request->model, now_ns, takes_ns);
    request->ready_ns = answer.ready_ns;
    request->verdict = (uint8_t)answer.verdict;
    /* Somebody else's load: there is nothing to be begun, nor to be waited for. */
    bool waits =
        answer.verdict == RESIDENCY_ACCEPTED && !request->no_wait && state != RESIDENCY_LOADING;
    bool there = state == (load ? RESIDENCY_LOADED : RESIDENCY_UNLOADED);
    if (waits) {
        request->verdict = RESIDENCY_DONE;
        request->least_due_ns = answer.ready_ns;
        if (answer.evicted != 0) /* the time of others is its own */
            takes_ns = answer.ready_ns - now_ns;
    } else if (answer.verdict != RESIDENCY_DONE || (there && own != NULL)) {
        takes_ns = request->extra_ns;
    }
    plan_wait(request, takes_ns);
}

static void plan_replica_refused(struct request *request, int err)
{
    if (err == WEIR_E_QUEUE_FULL)
        plan_fail(request, &(struct body_error){ .status = 503,
                                                 .type = "overloaded",
                                                 .message = "the model's queue is full" });
    else if (err == -ENOMEM)
        plan_out_of_memory(request);
    else
        plan_fail(request, &(struct body_error){
                               .status = 400,
                               .type = "invalid_request",
                               .field = "max_tokens",
                               .code = "context_length_exceeded",
                               .message = "prompt and output are longer than the model's context",
                           });
}

/* Where its model is now: the configuration may have changed while it waited. CONFIG_MODELS_MAX:
 * among those that are not listed. */
static uint32_t plan_model_index(const struct request *request)
{
    const struct app *app = request->app;
    for (uint32_t i = 0; i < app->config->models_count && request->model >= 0; i++)
        if (app->model_numbers[i] == request->model)
            return i;
    return CONFIG_MODELS_MAX;
}

/* The engine of the request's model on this thread, opened when it is first asked for. */
static int plan_find_replica(struct request *request, struct replica **out)
{
    struct app *app = request->app;
    uint32_t index = plan_model_index(request);
    if (app->replicas[index] == NULL) {
        int err = replica_open(&app->replicas[index], app->engine, &app->config->engine.batch,
                               &stream_replica_handler);
        if (err < 0)
            return err;
    }
    *out = app->replicas[index];
    return 0;
}

static void plan_submit(struct request *request)
{
    const struct model_request wish = {
        .prompt = { .prefix_tokens = request->ask.prefix_tokens,
                    .prefix_id = request->ask.prefix_hash,
                    .key = request->ask.prompt_hash },
        .prompt_tokens = request->ask.prompt_tokens,
        .output_tokens = request->output_tokens,
        .arrival_ns = request->granted_ns + request->extra_ns,
        .owner = request,
    };
    struct replica *replica = NULL;
    int err = plan_find_replica(request, &replica);
    if (err == 0 && !stream_begin(request, 0))
        return;
    if (err == 0)
        err = replica_submit(&request->sequence, replica, &wish);
    if (err < 0) {
        if (request->stream != NULL)
            stream_over(request);
        plan_replica_refused(request, err);
        return;
    }
    request->replica = replica;
}

/* Tokens by a schedule of their own. */
static void plan_pace(struct request *request)
{
    struct app *app = request->app;
    const struct config_engine *engine = &app->config->engine;
    if (engine->kind == CONFIG_ENGINE_LINEAR) {
        request->counted = true;
        uint32_t running =
            atomic_fetch_add_explicit(&app->mock->running, 1, memory_order_relaxed) + 1;
        request->gap_ns = pace_linear_itl(&engine->linear, running);
    }
    uint64_t ttft_ns = plan_ttft_ns(request) + request->extra_ns;
    if (request->ask.stream) {
        request->asked_ns = request->first_asked_ns = ttft_ns;
        (void)stream_begin(request, plan_add_ns(request->granted_ns, ttft_ns));
        return;
    }
    plan_wait(request, plan_add_ns(ttft_ns, plan_gaps_ns(request, request->output_tokens - 1)));
}

/* @return false: it is answered with an error when it is due */
static bool plan_use_model(struct request *request)
{
    struct app *app = request->app;
    if (!app->model_checked || request->ask.model < 0)
        return true;
    struct residency_answer answer =
        models_use(&app->mock->models, request->model, request->granted_ns);
    request->uses_model = answer.verdict == RESIDENCY_DONE;
    if (answer.verdict == RESIDENCY_DONE || !app->config->require_loaded)
        return true;
    request->ready_ns = answer.ready_ns;
    request->verdict = (uint8_t)answer.verdict;
    return false;
}

static void plan_infer(struct request *request)
{
    struct app *app = request->app;
    enum stats_place place = (enum stats_place)request->place;
    stats_move(&app->stats, request->ask.model, &place, STATS_RUNNING);
    request->place = (uint8_t)place;
    request->admitted_ns = request->granted_ns;
    if (!plan_use_model(request))
        plan_wait(request, request->extra_ns);
    else if (api_struck_by(request, FAULT_STATUS) || !plan_has_tokens(request))
        plan_wait(request, plan_delay_ns(request, CONFIG_INFER) + request->extra_ns);
    else if (app->config->engine.kind == CONFIG_ENGINE_BATCH)
        plan_submit(request);
    else
        plan_pace(request);
}

void plan_advance(struct request *request)
{
    if (!request->body_done || request->granted_ns == 0)
        return;
    if (api_struck_by(request, FAULT_STATUS) && request->action->delay != NULL)
        plan_wait(request,
                  plan_draw(request, request->action->delay, API_DRAW_FAULT) + request->extra_ns);
    else if (api_is_inference(request))
        plan_infer(request);
    else if ((request->endpoint == ENDPOINT_LOAD || request->endpoint == ENDPOINT_UNLOAD) &&
             !api_struck_by(request, FAULT_STATUS))
        plan_transition(request);
    else
        plan_wait(request, plan_delay_ns(request, plan_operation(request)) + request->extra_ns);
}

/* ---- The body is complete ---------------------------------------------------------------- */

static void plan_strike(struct request *request, uint32_t index)
{
    struct fault_rule *rule = request->config->faults[index];
    request->struck |= UINT64_C(1) << index;
    if (rule->action.kind == FAULT_DELAY) {
        request->extra_ns += plan_draw(request, rule->action.delay, API_DRAW_FAULT + index);
        stats_fault(&request->app->stats, rule->number, FAULT_DELAY);
        request->fault_delay = true;
        if (request->rule == NULL)
            request->rule = rule;
    } else if (request->action == NULL) {
        request->action = &rule->action;
        if (rule->action.kind != FAULT_NONE)
            request->rule = rule;
    }
}

/* What the request itself asks for, when no rule strikes it. */
static void plan_strike_override(struct request *request)
{
    struct override *override = request->override;
    if (override->status != 0 && !override->has_fault) {
        override->fault = (struct fault_action){ .kind = FAULT_STATUS,
                                                 .status = override->status,
                                                 .retry_after_s = -1 };
        override->has_fault = true;
    }
    if (!override->has_fault)
        return;
    if (override->fault.kind == FAULT_DELAY) {
        request->extra_ns += plan_draw(request, override->fault.delay, API_DRAW_FAULT);
        stats_fault(&request->app->stats, 0, FAULT_DELAY);
        request->fault_delay = true;
    } else if (request->ask.stream || !fault_action_is_stream(&override->fault)) {
        request->action = &override->fault;
    }
}

/* Which of the rules that its head matched strike it? */
static void plan_draw_faults(struct request *request)
{
    const struct app *app = request->app;
    const char *model = request->ask.model_name;
    struct fault_subject subject = {
        .model = { (const uint8_t *)model, strlen(model) },
        .stream = request->ask.stream,
        .key = request->key,
        .numbered = request->numbered,
        .number = request->number,
        .now_ns = weir_engine_now_ns(app->engine),
    };
    for (uint64_t left = request->candidates; left != 0; left &= left - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(left);
        struct fault_rule *rule = request->config->faults[index];
        bool per_conn = rule->when.scope == FAULT_PER_CONNECTION;
        subject.key = per_conn ? request->conn : request->key;
        subject.numbered = per_conn || request->numbered;
        subject.number = per_conn ? request->conn - 1 : request->number;
        if (!fault_rule_strikes(rule, &subject))
            continue;
        plan_strike(request, index);
        if (!rule->next_too)
            break;
    }
    if (request->action == NULL && request->override != NULL)
        plan_strike_override(request);
}

static uint32_t plan_retry_s(uint64_t ns)
{
    uint64_t s = ns == QUOTA_NEVER ? 0 : (ns + NS_PER_S - 1) / NS_PER_S;
    return s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
}

/* @return false: it was answered 429 */
static bool plan_take_quota(struct request *request)
{
    struct mock *mock = request->app->mock;
    const struct config_limits *limits = &request->app->config->limits;
    if ((limits->requests_per_minute | limits->tokens_per_minute) == 0)
        return true;
    uint64_t now_ns = weir_engine_now_ns(request->app->engine);
    /* A batch has no choices: its tokens are those of all its requests. */
    uint64_t choices = request->ask.choices_count > 0 ? request->ask.choices_count : 1;
    uint64_t tokens = request->ask.prompt_tokens + request->output_tokens * choices;
    if (!quota_take(&mock->requests_quota, 1, now_ns, &request->quota_requests)) {
        (void)quota_take(&mock->tokens_quota, 0, now_ns, &request->quota_tokens);
        answer_give_error(
            request,
            &(struct answer_error){ .status = 429,
                                    .retry_after_s = plan_retry_s(request->quota_requests.retry_ns),
                                    .message = "more requests than the limit of a minute",
                                    .code = "rate_limit_exceeded" });
        return false;
    }
    if (quota_take(&mock->tokens_quota, tokens, now_ns, &request->quota_tokens))
        return true;
    quota_give_back(&mock->requests_quota, 1);
    answer_give_error(request, &(struct answer_error){
                                   .status = 429,
                                   .retry_after_s = plan_retry_s(request->quota_tokens.retry_ns),
                                   .message = "more tokens than the limit of a minute",
                                   .code = "rate_limit_exceeded" });
    return false;
}

/* Read what is asked. @return 0, or -EINVAL with `err` */
static int plan_read(struct request *request, struct weir_slice body, struct body_error *err)
{
    const struct config *config = request->app->config;
    struct batch batch = { .config = config, .key = request->key };
    struct text answer = { 0 };
    int model = MODEL_UNKNOWN;
    int rc = 0;
    switch (request->endpoint) {
    case ENDPOINT_LOAD:
    case ENDPOINT_UNLOAD:
        rc = body_check((enum endpoint)request->endpoint, body, config, &model, err);
        request->ask.model = (int16_t)model;
        /* That index is one of this configuration's, and the answer may come with another. */
        if (request->config == NULL)
            request->config = config_hold(request->app->config);
        return rc;
    case ENDPOINT_INFER:
    case ENDPOINT_COMPLETIONS:
    case ENDPOINT_CHAT:
        return ask_read(&request->ask, (enum endpoint)request->endpoint, body, config, err);
    case ENDPOINT_BATCH:
        /* The body is gone when this returns, so the answer is made now, and given when it is due.
         */
        rc = batch_answer(&answer, &batch, body, err);
        if (request->text.ptr != NULL)
            text_free(&request->text);
        request->text = answer;
        request->app->stats.batch_items += rc > 0 ? (uint64_t)rc : 0;
        request->ask.prompt_tokens = (uint32_t)batch.prompt_tokens;
        request->output_tokens = (uint32_t)batch.output_tokens;
        return rc < 0 ? rc : 0;
    default:
        return 0;
    }
}

static void plan_read_tokens(struct request *request)
{
    enum reply_finish finish = REPLY_STOP;
    const struct app *app = request->app;
    request->output_tokens = reply_plan(&request->ask, app->config, request->key, &finish);
    if (request->override != NULL && request->override->tokens != 0) {
        request->output_tokens = request->override->tokens;
        finish = request->ask.output_tokens == request->output_tokens ? REPLY_LENGTH : REPLY_STOP;
    }
    request->finish = (uint8_t)finish;
    enum stats_place place = STATS_NOWHERE;
    stats_move(&request->app->stats, request->ask.model, &place,
               request->granted_ns == 0 ? STATS_WAITING : STATS_RUNNING);
    request->place = (uint8_t)place;
}

void plan_body(struct request *request, struct weir_slice body)
{
    struct body_error err;
    if (plan_read(request, body, &err) < 0) {
        plan_fail(request, &err);
        return;
    }
    if (request->endpoint != ENDPOINT_BATCH && request->text.ptr != NULL)
        text_free(&request->text);
    if (request->text.failed) {
        plan_out_of_memory(request);
        return;
    }
    if (request->ask.model >= 0)
        request->model = request->app->model_numbers[request->ask.model];
    request->body_done = true;
    if (api_is_inference(request))
        plan_read_tokens(request);
    if ((api_is_inference(request) || request->endpoint == ENDPOINT_BATCH) &&
        !plan_take_quota(request))
        return;
    if (request->candidates != 0 || request->override != NULL)
        plan_draw_faults(request);
    plan_advance(request);
}
