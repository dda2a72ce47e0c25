/* SPDX-License-Identifier: MIT */
#include "mock/app.h"

#include "mock/api/answer.h"
#include "mock/api/api.h"
#include "mock/model/replica.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* An engine needs a slot for its listener, and a few for connections that are being closed. */
#define CONNS_SPARE 8U

/* Requests in progress of one thread: pipelined ones come on top of one for each connection. */
#define EXCHANGES_MIN 16384U

/* A connection to the admin port that nobody uses makes room for others. */
#define ADMIN_IDLE_NS 15000000000U

#define MESSAGE_PATH_BYTES 128

/* ---- Answers that need no thought -------------------------------------------------------- */

static void app_not_found(struct app *app, struct weir_exchange *exchange,
                          struct journal_record *record)
{
    struct weir_slice path = weir_exchange_path(exchange);
    int shown = path.len > MESSAGE_PATH_BYTES ? MESSAGE_PATH_BYTES : (int)path.len;
    char message[MESSAGE_PATH_BYTES + 64];
    snprintf(message, sizeof message, "there is nothing at %.*s%s", shown, (const char *)path.ptr,
             shown < (int)path.len ? "..." : "");
    /* Who asks below /v1 expects errors as OpenAI's API has them. */
    bool openai = path.len >= 4 && memcmp(path.ptr, "/v1/", 4) == 0;
    answer_error_now(
        app, exchange, record,
        &(struct answer_error){
            .status = 404, .type = "not_found", .message = message, .openai = openai });
}

static void app_wrong_method(struct app *app, struct weir_exchange *exchange,
                             struct journal_record *record)
{
    struct weir_header allow = {
        .name = WEIR_TEXT("Allow"),
        .value = endpoint_allow((enum endpoint)record->endpoint),
    };
    char message[96];
    snprintf(message, sizeof message, "%s takes %.*s only",
             endpoint_name((enum endpoint)record->endpoint), (int)allow.value.len,
             (const char *)allow.value.ptr);
    answer_error_now(
        app, exchange, record,
        &(struct answer_error){
            .status = 405, .type = "method_not_allowed", .message = message, .header = &allow });
}

/* The one answer that costs nothing, so that it can be compared with. */
static void app_healthy(struct app *app, struct weir_exchange *exchange, enum method method)
{
    struct journal_record record = answer_record(app, exchange, ENDPOINT_HEALTH, method);
    answer_now(app, exchange, &record,
               &(struct answer){
                   .status = 200, .content_type = ANSWER_JSON, .body = app->mock->health_body });
    schedule_active(&app->schedule);
}

/* /health: is it ready to be sent requests? /api/health only says that it lives. */
static void app_ready(struct app *app, struct weir_exchange *exchange, enum method method)
{
    struct mock *mock = app->mock;
    struct journal_record record = answer_record(app, exchange, ENDPOINT_V1_HEALTH, method);
    struct answer answer = { .status = 200,
                             .content_type = ANSWER_JSON,
                             .body = WEIR_TEXT("{\"status\":\"ok\"}") };
    uint64_t since_ns = weir_engine_now_ns(app->engine) - mock->started_ns;
    if (atomic_load_explicit(&mock->draining, memory_order_relaxed)) {
        answer.status = 503;
        answer.body = WEIR_TEXT("{\"status\":\"draining\"}");
    } else if (since_ns < app->config->startup_ns) {
        answer.status = 503;
        answer.retry_after_s =
            (uint32_t)((app->config->startup_ns - since_ns + 999999999) / 1000000000);
        answer.body = WEIR_TEXT("{\"status\":\"starting\"}");
    }
    answer_now(app, exchange, &record, &answer);
}

static void app_version(struct app *app, struct weir_exchange *exchange, enum method method)
{
    struct journal_record record = answer_record(app, exchange, ENDPOINT_VERSION, method);
    char body[64];
    int len = snprintf(body, sizeof body, "{\"version\":\"%s\"}", weir_version());
    answer_now(app, exchange, &record,
               &(struct answer){ .status = 200,
                                 .content_type = ANSWER_JSON,
                                 .body = { (const uint8_t *)body, (size_t)len } });
}

/* ---- Callbacks of the server ------------------------------------------------------------- */

/* An endpoint that both ports have, or the one that this request came to. */
static void app_route(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
                      enum method method)
{
    if (endpoint == ENDPOINT_OTHER || !endpoint_takes(endpoint, method)) {
        struct journal_record record = answer_record(app, exchange, endpoint, method);
        if (endpoint == ENDPOINT_OTHER)
            app_not_found(app, exchange, &record);
        else
            app_wrong_method(app, exchange, &record);
    } else if (endpoint == ENDPOINT_HEALTH && app->health_plain) {
        app_healthy(app, exchange, method);
    } else if (endpoint <= ENDPOINT_HEALTH) {
        api_begin(app, exchange, endpoint, method);
    } else if (endpoint == ENDPOINT_V1_HEALTH) {
        app_ready(app, exchange, method);
    } else if (endpoint == ENDPOINT_VERSION) {
        app_version(app, exchange, method);
    } else {
        admin_begin(app, exchange, endpoint, method);
    }
}

static void app_on_request(struct weir_exchange *exchange, void *ctx)
{
    struct app *app = ctx;
    enum endpoint endpoint = endpoint_find(weir_exchange_path(exchange));
    /* Who has a port of its own for these does not want them here. */
    if (endpoint > ENDPOINT_METRICS && app->mock->options->admin != NULL)
        endpoint = ENDPOINT_OTHER;
    app_route(app, exchange, endpoint, method_find(weir_exchange_method(exchange)));
}

static void app_on_admin_request(struct weir_exchange *exchange, void *ctx)
{
    enum endpoint endpoint = endpoint_find(weir_exchange_path(exchange));
    if (endpoint < ENDPOINT_HEALTH)
        endpoint = ENDPOINT_OTHER;
    app_route(ctx, exchange, endpoint, method_find(weir_exchange_method(exchange)));
}

static void app_on_body(struct weir_exchange *exchange, struct weir_slice piece, bool last,
                        void *ctx)
{
    (void)ctx;
    struct request *request = weir_exchange_user(exchange);
    if (request == NULL)
        return;
    if (request->endpoint <= ENDPOINT_HEALTH)
        api_body(request, piece, last);
    else
        admin_body(request, piece, last);
}

static void app_on_writable(struct weir_exchange *exchange, void *ctx)
{
    (void)ctx;
    struct request *request = weir_exchange_user(exchange);
    if (request != NULL && request->endpoint <= ENDPOINT_HEALTH)
        api_writable(request);
}

static void app_on_peer_end(struct weir_exchange *exchange, void *ctx)
{
    (void)ctx;
    struct request *request = weir_exchange_user(exchange);
    if (request == NULL)
        return;
    if (request->endpoint <= ENDPOINT_HEALTH)
        api_peer_end(request);
    else if (request->endpoint == ENDPOINT_EVENTS)
        weir_exchange_abort(exchange, WEIR_ABORT_RST);
}

static void app_on_end(struct weir_exchange *exchange, int err, void *ctx)
{
    struct app *app = ctx;
    struct request *request = weir_exchange_user(exchange);
    if (request == NULL) {
        if (api_is_disconnect(err))
            app->stats.disconnects[JOURNAL_SENT]++;
    } else if (request->endpoint <= ENDPOINT_HEALTH) {
        api_abandon(request, err);
    } else {
        admin_abandon(request, err);
    }
}

static uint64_t app_verdict(const struct fault_action *action)
{
    if (action->kind != FAULT_ACCEPT_DELAY)
        return action->kind == FAULT_FIN ? WEIR_ACCEPT_CLOSE : WEIR_ACCEPT_RESET;
    return action->duration_ns < WEIR_ACCEPT_CLOSE ? action->duration_ns : WEIR_ACCEPT_CLOSE - 1;
}

/* The rules that strike before anything is read. */
static uint64_t app_on_accept(struct weir_server *server, uint64_t number, void *ctx)
{
    struct app *app = ctx;
    uint64_t verdict = 0;
    (void)server;
    for (uint64_t left = app->rules_accept; left != 0; left &= left - 1) {
        struct fault_rule *rule = app->config->faults[__builtin_ctzll(left)];
        const struct fault_action *action = &rule->action;
        const struct fault_subject subject = {
            .key = number, /* the index is the rule's own, which counts from its beginning */
            .now_ns = weir_engine_now_ns(app->engine),
        };
        if (!fault_rule_strikes(rule, &subject))
            continue;
        fault_rule_release(rule);
        if (verdict != 0)
            continue; /* the first one counts */
        stats_fault(&app->stats, rule->number, action->kind);
        verdict = app_verdict(action);
        if (!rule->next_too)
            break;
    }
    return verdict;
}

static const struct weir_server_handler app_handler = {
    .on_request = app_on_request,
    .on_body = app_on_body,
    .on_writable = app_on_writable,
    .on_peer_end = app_on_peer_end,
    .on_end = app_on_end,
    .on_accept = app_on_accept,
};

static const struct weir_server_handler app_admin_handler = {
    .on_request = app_on_admin_request,
    .on_body = app_on_body,
    .on_writable = app_on_writable,
    .on_peer_end = app_on_peer_end,
    .on_end = app_on_end,
};

/* ---- Configuration ----------------------------------------------------------------------- */

static bool app_names_health(const struct fault_rule *rule)
{
    static const char path[] = "/api/health";
    const struct fault_pattern *pattern = &rule->match.path;
    if (pattern->text == NULL || pattern->bytes > sizeof path - 1)
        return false;
    return (pattern->open || pattern->bytes == sizeof path - 1) &&
           memcmp(pattern->text, path, pattern->bytes) == 0;
}

static void app_sort_rules(struct app *app)
{
    const struct config *config = app->config;
    app->rules_accept = app->rules_request = app->rules_health = 0;
    for (uint32_t i = 0; i < config->faults_count; i++) {
        const struct fault_rule *rule = config->faults[i];
        uint64_t bit = UINT64_C(1) << i;
        if (!rule->enabled)
            continue;
        if (fault_action_is_accept(&rule->action)) {
            app->rules_accept |= bit;
            continue;
        }
        app->rules_request |= bit;
        if (app_names_health(rule))
            app->rules_health |= bit;
    }
    app->health_plain = app->rules_health == 0 && config->latency.multiplier[CONFIG_HEALTH] <= 0 &&
                        !config->overrides;
}

static void app_retire_replicas(struct app *app)
{
    for (uint32_t i = 0; i <= CONFIG_MODELS_MAX; i++)
        if (app->replicas[i] != NULL)
            replica_retire(app->replicas[i]);
    memset(app->replicas, 0, sizeof app->replicas);
}

static bool app_same(const struct config *a, const struct config *b, const char *key)
{
    return json_equal(json_object_get(a->tree, key), json_object_get(b->tree, key)) != 0;
}

/* What is drawn, if it is always the same; else UINT64_MAX. */
static uint64_t app_fixed_ns(const struct weir_dist *dist)
{
    uint64_t least_ns = weir_dist_quantile_ns(dist, 0);
    return least_ns == weir_dist_quantile_ns(dist, 1) ? least_ns : UINT64_MAX;
}

/* `config`, held, becomes the thread's. */
static void app_adopt(struct app *app, struct config *config)
{
    struct config *before = app->config;
    app->config = config;
    app_sort_rules(app);
    app->gap_fixed_ns = app_fixed_ns(config->latency.itl);
    app->delay_fixed_ns = app_fixed_ns(config->latency.delay);
    app->model_checked = config->require_loaded || config->memory.capacity_bytes != 0;
    for (uint32_t i = 0; i < config->models_count; i++)
        app->model_numbers[i] = (int16_t)models_number(&app->mock->models, config, (int)i);
    if (before == NULL)
        return;
    if (before->saturation.schedule_error_ns != config->saturation.schedule_error_ns ||
        before->saturation.loop_lag_ns != config->saturation.loop_lag_ns)
        saturation_set_bounds(&app->saturation, config->saturation.schedule_error_ns,
                              config->saturation.loop_lag_ns);
    bool same_models = app_same(before, config, "models");
    if (!same_models || !app_same(before, config, "engine"))
        app_retire_replicas(app);
    if (!same_models)
        stats_reset_models(&app->stats);
    config_drop(before);
}

void app_reconfigure(struct app *app)
{
    app_adopt(app, mock_config(app->mock));
}

/* ---- Opening ----------------------------------------------------------------------------- */

static int app_open_engine(struct app *app, uint32_t conns_max)
{
    const struct options *options = app->mock->options;
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    cfg.conns_max =
        conns_max + CONNS_SPARE + (options->admin != NULL ? OPTIONS_ADMIN_CONNS_MAX : 0);
    if (options->cpus_count > 0)
        cfg.cpu = options->cpus[app->index % options->cpus_count];
    cfg.ring = options->ring;
    cfg.wait = options->wait;
    cfg.ring_disable = options->ring_disable;
    return weir_engine_open(&app->engine, &cfg);
}

static int app_open_server(struct app *app, uint32_t conns_max, const char *listen)
{
    const struct options *options = app->mock->options;
    struct weir_server_config cfg;
    weir_server_config_init(&cfg);
    cfg.listen = listen;
    cfg.reuse_port = options->threads > 1;
    cfg.defer_accept = options->defer_accept;
    cfg.group = app->mock->group;
    cfg.tls = app->mock->tls;
    cfg.conns_max = conns_max;
    cfg.exchanges_max = app->pool.capacity;
    cfg.body_bytes_max = options->body_bytes_max;
    return weir_server_open(&app->server, app->engine, &cfg, &app_handler, app);
}

/* The first thread serves the admin port, too. */
static int app_open_admin(struct app *app)
{
    struct weir_server_config cfg;
    if (app->mock->options->admin == NULL || app->index != 0)
        return 0;
    weir_server_config_init(&cfg);
    cfg.listen = app->mock->options->admin;
    cfg.conns_max = OPTIONS_ADMIN_CONNS_MAX;
    cfg.exchanges_max = OPTIONS_ADMIN_CONNS_MAX;
    cfg.idle_timeout_ns = ADMIN_IDLE_NS;
    return weir_server_open(&app->admin_server, app->engine, &cfg, &app_admin_handler, app);
}

/* What it needs beside engine and server. */
static int app_open_memory(struct app *app, uint32_t conns_max)
{
    const struct options *options = app->mock->options;
    int err = journal_open(&app->journal,
                           (options->journal_count + options->threads - 1) / options->threads);
    if (err == 0)
        err = stats_open(&app->stats);
    if (err == 0)
        err = admin_open(&app->admin, app);
    if (err == 0)
        err = request_pool_open(&app->pool, conns_max > EXCHANGES_MIN ? conns_max : EXCHANGES_MIN);
    return err;
}

int app_open(struct app *app, struct mock *mock, uint32_t index, const char *listen)
{
    *app = (struct app){ .mock = mock, .index = index };
    app->resumed_end = &app->resumed;
    uint32_t conns_max = (mock->options->conns_max + mock->apps_count - 1) / mock->apps_count;
    int err = app_open_memory(app, conns_max);
    if (err == 0)
        err = app_open_engine(app, conns_max);
    if (err == 0) {
        app_adopt(app, mock_config(mock));
        saturation_open(&app->saturation, app->config->saturation.schedule_error_ns,
                        app->config->saturation.loop_lag_ns);
        schedule_open(&app->schedule, app->engine, &app->stats, &app->saturation,
                      &mock->saturated_threads);
        err = app_open_server(app, conns_max, listen);
    }
    if (err == 0)
        err = app_open_admin(app);
    if (err < 0) {
        int close_err = app_close(app);
        (void)close_err; /* the first error is the one to tell */
    }
    return err;
}

/* ---- Closing ----------------------------------------------------------------------------- */

static int app_close_server(struct weir_server **server)
{
    int err = *server != NULL ? weir_server_close(*server) : 0;
    *server = NULL;
    return err;
}

int app_close(struct app *app)
{
    int err = app_close_server(&app->server);
    int admin_err = app_close_server(&app->admin_server);
    err = err < 0 ? err : admin_err;
    for (uint32_t i = 0; i <= CONFIG_MODELS_MAX; i++)
        replica_close(app->replicas[i]);
    schedule_close(&app->schedule);
    admin_stop(&app->admin);
    struct weir_engine *engine = app->engine;
    app->engine = NULL; /* before it is gone: a crash handler reads it */
    if (engine != NULL) {
        int engine_err = weir_engine_close(engine);
        err = err < 0 ? err : engine_err;
    }
    request_pool_close(&app->pool);
    admin_close(&app->admin);
    stats_close(&app->stats);
    journal_close(&app->journal);
    text_free(&app->scratch);
    config_drop(app->config);
    app->config = NULL;
    return err;
}

/*
 * An engine whose connections are gone keeps running until that is so for all: a request of another
 * thread may still want to visit it.
 */
static void app_on_drained(struct weir_server *server, void *ctx)
{
    (void)server;
    struct mock *mock = ((struct app *)ctx)->mock;
    if (atomic_fetch_sub(&mock->undrained_count, 1) != 1)
        return;
    for (uint32_t i = 0; i < mock->apps_count; i++)
        weir_engine_stop(mock->apps[i]->engine);
}

static void app_on_drain(struct weir_task *task)
{
    struct app *app = (struct app *)(void *)((char *)task - offsetof(struct app, drain_task));
    uint64_t deadline_ns = weir_engine_clock_ns(app->engine) + app->mock->options->drain_timeout_ns;
    atomic_store_explicit(&app->mock->draining, true, memory_order_relaxed);
    admin_end_events(&app->admin);
    if (app->admin_server != NULL) {
        atomic_fetch_add(&app->mock->undrained_count, 1);
        weir_server_drain(app->admin_server, deadline_ns, app_on_drained);
    }
    weir_server_drain(app->server, deadline_ns, app_on_drained);
}

void app_drain(struct app *app)
{
    app->drain_task.run = app_on_drain;
    weir_engine_post(app->engine, &app->drain_task);
}
