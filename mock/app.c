/* SPDX-License-Identifier: MIT */
#include "mock/app.h"

#include "mock/api.h"
#include "mock/body.h"

#include <weir/group.h>
#include <weir/tls.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define JSON WEIR_TEXT("application/json")

/* An engine needs a slot for its listener, and a few for connections that are being closed. */
#define CONNS_SPARE 8U

/* Requests in progress of one thread: pipelined ones come on top of one for each connection. */
#define EXCHANGES_MIN 16384U

#define MESSAGE_PATH_BYTES 128

/* ---- What all threads share -------------------------------------------------------------- */

static int mock_open_tls(struct mock *mock)
{
    struct weir_tls_config cfg;
    weir_tls_config_init(&cfg);
    cfg.side = WEIR_TLS_SERVER;
    cfg.cert_file = mock->options->tls_cert;
    cfg.key_file = mock->options->tls_key;
    return weir_tls_open(&mock->tls, &cfg);
}

int mock_open(struct mock *mock, const struct options *options)
{
    *mock = (struct mock){
        .options = options,
        .apps_count = options->threads,
        .started_ns = weir_clock_ns(),
    };
    atomic_init(&mock->undrained_count, options->threads);
    int len = snprintf(mock->health_text, sizeof mock->health_text,
                       "{\"status\":\"healthy\",\"version\":\"%s\"}", weir_version());
    if (len < 0 || (size_t)len >= sizeof mock->health_text)
        return -EOVERFLOW;
    mock->health_body = (struct weir_slice){ (const uint8_t *)mock->health_text, (size_t)len };
    int err = limiter_open(&mock->limiter, options->concurrency_max, options->threads > 1);
    if (err < 0)
        return err;
    err = models_open(&mock->models);
    if (err < 0)
        goto fail_limiter;
    if (options->tls_cert != NULL)
        err = mock_open_tls(mock);
    if (err == 0 && options->threads > 1)
        err = weir_server_group_open(&mock->group, options->threads);
    if (err == 0)
        return 0;
    weir_tls_close(mock->tls);
    models_close(&mock->models);
fail_limiter:
    limiter_close(&mock->limiter);
    return err;
}

int mock_close(struct mock *mock)
{
    int err = mock->group != NULL ? weir_server_group_close(mock->group) : 0;
    weir_tls_close(mock->tls);
    models_close(&mock->models);
    limiter_close(&mock->limiter);
    return err;
}

/* ---- Counting and answering -------------------------------------------------------------- */

static void app_count(struct app *app, const struct journal_record *record, enum stats_code code)
{
    stats_answered(&app->stats, (enum endpoint)record->endpoint, (enum method)record->method, code,
                   record->delivered_ns);
    journal_add(&app->journal, record);
}

struct journal_record app_record(const struct app *app, const struct weir_exchange *exchange,
                                 enum endpoint endpoint, enum method method)
{
    uint64_t start_ns = weir_exchange_start_ns(exchange);
    return (struct journal_record){
        .seq = app->seq,
        .start_ns = start_ns,
        /* To the resolution of one pass: reading the clock would cost more than the answer. */
        .delivered_ns = weir_engine_now_ns(app->engine) - start_ns,
        .thread = (uint16_t)app->index,
        .endpoint = (uint8_t)endpoint,
        .method = (uint8_t)method,
    };
}

struct journal_record app_request_record(const struct request *request, uint64_t now_ns)
{
    const struct app *app = request->app;
    uint64_t granted_ns = request->granted_ns != 0 ? request->granted_ns : now_ns;
    uint64_t queue_us = (granted_ns - request->start_ns) / 1000;
    return (struct journal_record){
        .seq = request->seq,
        .start_ns = request->start_ns,
        .asked_ns = app->delay_ns[request->endpoint],
        .delivered_ns = now_ns - request->start_ns,
        .queue_us = queue_us < UINT32_MAX ? (uint32_t)queue_us : UINT32_MAX,
        .body_bytes = request->body_bytes,
        .thread = (uint16_t)app->index,
        .endpoint = request->endpoint,
        .method = request->method,
    };
}

/*
 * When there is no memory for an answer, the clients read too slowly for what they ask: the
 * connection is reset, which frees what it holds, and counted.
 */
static bool app_respond(struct app *app, struct weir_exchange *exchange,
                        const struct weir_response *response)
{
    int rc = weir_exchange_respond(exchange, response);
    if (rc == 0)
        return true;
    if (rc != -EPIPE) {
        app->stats.unanswered++;
        weir_exchange_abort(exchange, WEIR_ABORT_RST);
    }
    return false;
}

bool app_answer(struct app *app, struct weir_exchange *exchange, struct journal_record *record,
                const struct app_answer *answer)
{
    if (!app_respond(app, exchange, &answer->response))
        return false;
    record->status = answer->response.status;
    record->answer_bytes = record->method == METHOD_HEAD ? 0 : (uint32_t)answer->response.body.len;
    record->fault = (uint8_t)answer->fault;
    app_count(app, record, answer->code);
    return true;
}

bool app_answer_error(struct app *app, struct weir_exchange *exchange,
                      struct journal_record *record, const struct app_error *error)
{
    struct text text = { 0 };
    body_write_error(&text, error->type, error->message, error->field);
    struct app_answer answer = {
        .response = {
            .status = stats_status(error->code),
            .content_type = JSON,
            .headers = error->header,
            .headers_count = error->header != NULL,
            /* Out of memory: the status says as much as there is room for. */
            .body = text.failed ? WEIR_TEXT("{\"error\":{}}") : text_slice(&text),
        },
        .code = error->code,
        .fault = error->fault,
    };
    bool given = app_answer(app, exchange, record, &answer);
    text_free(&text);
    return given;
}

bool app_count_refusal(struct app *app, struct journal_record *record, int err)
{
    enum stats_code code;
    switch (err) {
    case WEIR_E_LIMIT:
        code = STATS_413;
        break;
    case WEIR_E_TIMEOUT:
        code = STATS_408;
        break;
    case WEIR_E_PROTOCOL:
        code = STATS_400;
        break;
    default:
        return false;
    }
    record->status = stats_status(code);
    record->asked_ns = 0; /* such an answer is not delayed */
    app_count(app, record, code);
    return true;
}

bool app_is_disconnect(int err)
{
    return err == WEIR_E_CLOSED || err == WEIR_E_TRUNCATED || (err < 0 && err >= -4095);
}

/* ---- Callbacks of the server ------------------------------------------------------------- */

static void app_not_found(struct app *app, struct weir_exchange *exchange,
                          struct journal_record *record)
{
    struct weir_slice path = weir_exchange_path(exchange);
    int shown = path.len > MESSAGE_PATH_BYTES ? MESSAGE_PATH_BYTES : (int)path.len;
    char message[MESSAGE_PATH_BYTES + 64];
    snprintf(message, sizeof message, "there is nothing at %.*s%s", shown, (const char *)path.ptr,
             shown < (int)path.len ? "..." : "");
    app_answer_error(
        app, exchange, record,
        &(struct app_error){ .code = STATS_404, .type = "not_found", .message = message });
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
    app_answer_error(app, exchange, record,
                     &(struct app_error){ .code = STATS_405,
                                          .type = "method_not_allowed",
                                          .message = message,
                                          .header = &allow });
}

static void app_healthy(struct app *app, struct weir_exchange *exchange, enum method method)
{
    if (!app_respond(app, exchange, &app->health))
        return;
    struct journal_record record = app_record(app, exchange, ENDPOINT_HEALTH, method);
    record.status = 200;
    record.answer_bytes = method == METHOD_HEAD ? 0 : (uint32_t)app->health.body.len;
    app_count(app, &record, STATS_200);
}

static void app_on_request(struct weir_exchange *exchange, void *ctx)
{
    struct app *app = ctx;
    enum endpoint endpoint = endpoint_find(weir_exchange_path(exchange));
    enum method method = method_find(weir_exchange_method(exchange));
    app->seq++;
    if (!endpoint_takes(endpoint, method)) {
        struct journal_record record = app_record(app, exchange, endpoint, method);
        if (endpoint == ENDPOINT_OTHER)
            app_not_found(app, exchange, &record);
        else
            app_wrong_method(app, exchange, &record);
    } else if (endpoint == ENDPOINT_HEALTH) {
        app_healthy(app, exchange, method);
    } else if (endpoint < ENDPOINT_HEALTH) {
        api_begin(app, exchange, endpoint, method);
    } else {
        admin_begin(app, exchange, endpoint, method);
    }
}

static void app_on_body(struct weir_exchange *exchange, struct weir_slice piece, bool last,
                        void *ctx)
{
    (void)ctx;
    struct request *request = weir_exchange_user(exchange);
    if (request != NULL && request->endpoint < ENDPOINT_HEALTH)
        api_body(request, piece, last);
}

static void app_on_end(struct weir_exchange *exchange, int err, void *ctx)
{
    struct app *app = ctx;
    struct request *request = weir_exchange_user(exchange);
    if (request == NULL || request->answered) {
        if (app_is_disconnect(err))
            app->stats.disconnects[STATS_ANSWERED]++;
        if (request != NULL)
            request_put(&app->pool, request);
    } else if (request->endpoint < ENDPOINT_HEALTH) {
        api_abandon(request, err);
    } else {
        if (app_is_disconnect(err))
            app->stats.disconnects[STATS_DELAYED]++;
        admin_abandon(request);
    }
}

static const struct weir_server_handler app_handler = {
    .on_request = app_on_request,
    .on_body = app_on_body,
    .on_end = app_on_end,
};

/* ---- Life -------------------------------------------------------------------------------- */

static int app_open_engine(struct app *app, uint32_t conns_max)
{
    const struct options *options = app->mock->options;
    struct weir_engine_config cfg;
    weir_engine_config_init(&cfg);
    cfg.conns_max = conns_max + CONNS_SPARE;
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

static void app_init(struct app *app, struct mock *mock, uint32_t index)
{
    const uint64_t latency_ns = mock->options->latency_ns;
    *app = (struct app){
        .mock = mock,
        .index = index,
        .delay_ns = {
            [ENDPOINT_MODELS] = latency_ns,
            [ENDPOINT_LOAD] = 10 * latency_ns,
            [ENDPOINT_UNLOAD] = latency_ns,
            [ENDPOINT_INFER] = 2 * latency_ns,
            [ENDPOINT_BATCH] = 2 * latency_ns, /* once, however many there are */
        },
        .health = { .status = 200, .content_type = JSON, .body = mock->health_body },
    };
    app->resumed_end = &app->resumed;
}

int app_open(struct app *app, struct mock *mock, uint32_t index, const char *listen)
{
    app_init(app, mock, index);
    uint32_t conns_max = (mock->options->conns_max + mock->apps_count - 1) / mock->apps_count;
    int err = app_open_memory(app, conns_max);
    if (err == 0)
        err = app_open_engine(app, conns_max);
    if (err == 0)
        err = app_open_server(app, conns_max, listen);
    if (err < 0) {
        int close_err = app_close(app);
        (void)close_err; /* the first error is the one to tell */
    }
    return err;
}

int app_close(struct app *app)
{
    int err = 0;
    if (app->server != NULL)
        err = weir_server_close(app->server);
    app->server = NULL;
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
    weir_server_drain(app->server,
                      weir_engine_clock_ns(app->engine) + app->mock->options->drain_timeout_ns,
                      app_on_drained);
}

void app_drain(struct app *app)
{
    app->drain_task.run = app_on_drain;
    weir_engine_post(app->engine, &app->drain_task);
}
