/* SPDX-License-Identifier: MIT */
#include "mock/control/admin.h"

#include "mock/api/answer.h"
#include "mock/api/api.h"
#include "mock/app.h"
#include "mock/control/audit.h"
#include "mock/control/change.h"
#include "mock/control/gate.h"
#include "mock/control/metrics.h"
#include "mock/control/page.h"
#include "mock/control/report.h"
#include "mock/model/replica.h"

#include <weir/url.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void admin_next(struct admin *admin);

int admin_open(struct admin *admin, struct app *app)
{
    *admin = (struct admin){ .app = app };
    admin->queue_end = &admin->queue;
    int err = snapshot_open(&admin->snapshot);
    return err < 0 ? err : events_open(&admin->events, admin);
}

void admin_close(struct admin *admin)
{
    snapshot_close(&admin->snapshot);
    events_close(&admin->events);
    free(admin->records);
    *admin = (struct admin){ 0 };
}

void admin_stop(struct admin *admin)
{
    events_stop(&admin->events);
}

void admin_end_events(struct admin *admin)
{
    events_end_all(&admin->events);
}

/* ---- One visit --------------------------------------------------------------------------- */

static void admin_read_engine(struct snapshot_engine *out, const struct app *app)
{
    struct weir_engine_stats engine = { .size = sizeof engine };
    weir_engine_stats(app->engine, &engine);
#define XX(name, help) out->name = engine.name;
    SNAPSHOT_ENGINE(XX)
#undef XX
}

static void admin_read_server(struct snapshot *into, const struct app *app)
{
    struct snapshot_engine engine;
    admin_read_engine(&engine, app);
    struct weir_server_stats server = { .size = sizeof server };
    weir_server_stats(app->server, &server);
    struct snapshot_thread *thread = &into->by_thread[app->index];
    thread->conns_active = server.conns_now;
    thread->conns_total = server.conns - app->base.conns;
    thread->handed_over = server.handed_over - app->base.handed_over;
    thread->taken_over = server.taken_over - app->base.taken_over;
    into->conns_active += thread->conns_active;
    into->conns_total += thread->conns_total;
    into->refused += server.refused - app->base.refused;
#define XX(name, help) into->engine.name += engine.name - app->base.engine.name;
    SNAPSHOT_ENGINE(XX)
#undef XX
}

/* What the engines of all models on a thread have together. */
static void admin_add_replica(struct model_engine_stats *into, const struct model_engine_stats *one,
                              uint32_t count)
{
    into->num_requests_running += one->num_requests_running;
    into->num_requests_waiting += one->num_requests_waiting;
    into->kv_cache_usage_perc += (one->kv_cache_usage_perc - into->kv_cache_usage_perc) / count;
    into->num_preemptions_total += one->num_preemptions_total;
    into->prefix_cache_queries_total += one->prefix_cache_queries_total;
    into->prefix_cache_hits_total += one->prefix_cache_hits_total;
    into->prompt_tokens_total += one->prompt_tokens_total;
    into->generation_tokens_total += one->generation_tokens_total;
    into->submitted_total += one->submitted_total;
    into->finished_total += one->finished_total;
    into->cancelled_total += one->cancelled_total;
    into->steps_total += one->steps_total;
    into->kv_blocks_used += one->kv_blocks_used;
    into->kv_blocks_cached += one->kv_blocks_cached;
}

static void admin_read_replicas(struct snapshot *into, const struct app *app)
{
    struct snapshot_thread *thread = &into->by_thread[app->index];
    uint32_t count = 0;
    thread->has_batch = app->config->engine.kind == CONFIG_ENGINE_BATCH;
    for (uint32_t i = 0; i <= CONFIG_MODELS_MAX; i++) {
        if (app->replicas[i] == NULL)
            continue;
        struct model_engine_stats one = replica_stats(app->replicas[i]);
        admin_add_replica(&thread->batch, &one, ++count);
        snapshot_add_batch(into, app->index, i, &one);
    }
}

static void admin_visit_collect(struct snapshot *into, struct app *app)
{
    uint64_t now_ns = weir_engine_clock_ns(app->engine);
    schedule_settle(&app->schedule);
    stats_tick(&app->stats, now_ns);
    snapshot_add(into, app->index, &app->stats);
    into->in_flight += app->in_flight;
    into->streams_active += app->streams;
    into->journal_recorded += app->journal.recorded;
    into->journal_dropped += journal_dropped_count(&app->journal);
    into->journal_capacity += app->journal.capacity;
    admin_read_server(into, app);
    admin_read_replicas(into, app);
    into->by_thread[app->index].saturation = saturation_view(&app->saturation, now_ns);
}

static void admin_visit_reset(struct app *app)
{
    struct weir_server_stats server = { .size = sizeof server };
    weir_server_stats(app->server, &server);
    app->base = (struct app_base){
        .conns = server.conns,
        .handed_over = server.handed_over,
        .taken_over = server.taken_over,
        .refused = server.refused,
    };
    admin_read_engine(&app->base.engine, app);
    stats_reset(&app->stats);
    journal_reset(&app->journal);
    saturation_reset(&app->saturation);
    events_reset(&app->admin.events);
}

static void admin_visit_records(struct admin *admin, struct app *app)
{
    const struct filter *filter = admin->endpoint == ENDPOINT_AUDIT ? NULL : &admin->filter;
    admin->dropped += journal_dropped_count(&app->journal);
    if (admin->endpoint == ENDPOINT_COUNT_REQUESTS) {
        admin->matched += journal_count_matching(&app->journal, filter);
        return;
    }
    /* The others' journals were as large when there was memory taken for them. */
    uint32_t room = admin->records_capacity - admin->records_count;
    uint32_t each = filter != NULL && filter->limit < room ? filter->limit : room;
    if (admin->records != NULL)
        admin->records_count += journal_copy_matching(&app->journal, filter,
                                                      admin->records + admin->records_count, each);
}

/* On the thread of `app`, for the tour of `admin`. */
static void admin_visit(struct admin *admin, struct app *app)
{
    switch (admin->endpoint) {
    case ENDPOINT_RESET:
        admin_visit_reset(app);
        break;
    case ENDPOINT_REQUESTS:
    case ENDPOINT_COUNT_REQUESTS:
    case ENDPOINT_AUDIT:
        admin_visit_records(admin, app);
        break;
    case ENDPOINT_CONFIG:
    case ENDPOINT_FAULTS:
    case ENDPOINT_FAULT:
        app_reconfigure(app);
        break;
    case ENDPOINT_EVENTS:
        admin_visit_records(admin, app);
        admin_visit_collect(&admin->snapshot, app);
        break;
    default:
        admin_visit_collect(&admin->snapshot, app);
        break;
    }
}

/* ---- What is written --------------------------------------------------------------------- */

static void admin_write_requests(struct text *text, struct admin *admin)
{
    struct journal_writer writer = mock_journal_writer(admin->app->mock);
    uint32_t limit = admin->filter.limit;
    journal_sort(admin->records, admin->records_count);
    uint32_t first = admin->records_count > limit ? admin->records_count - limit : 0;
    text_put(text, "{\"requests\":[");
    for (uint32_t i = first; i < admin->records_count; i++) {
        if (i != first)
            text_put(text, ",");
        journal_write(text, &admin->records[i], &writer);
    }
    text_put(text, "]}");
}

static void admin_write_audit(struct text *text, struct admin *admin)
{
    struct journal_writer writer = mock_journal_writer(admin->app->mock);
    struct audit audit;
    journal_sort(admin->records, admin->records_count);
    if (audit_open(&audit, admin->records, admin->records_count) < 0) {
        text->failed = true;
        return;
    }
    audit_write(text, &audit, admin->dropped, writer.wall_ns);
    audit_close(&audit);
}

static void admin_finish_snapshot(struct admin *admin)
{
    struct mock *mock = admin->app->mock;
    struct snapshot *snapshot = &admin->snapshot;
    struct request_log_stats log = request_log_stats(&mock->log);
    snapshot->config = admin->app->config;
    snapshot->now_ns = weir_engine_clock_ns(admin->app->engine);
    snapshot->unix_s = time(NULL);
    models_residency(&snapshot->residency, &mock->models, snapshot->now_ns);
    snapshot->limiter = limiter_view(&mock->limiter);
    snapshot->request_log = (struct snapshot_log){ .on = mock->log.rings != NULL,
                                                   .written = log.written,
                                                   .dropped = log.dropped,
                                                   .failed = log.errors };
    snapshot->threads = mock->apps_count;
    snapshot->uptime_s = (double)(snapshot->now_ns - mock->started_ns) / 1e9;
    snapshot_read_process(snapshot);
}

/* ---- Answers ----------------------------------------------------------------------------- */

struct admin_answer {
    uint16_t status;
    struct weir_slice content_type;
    const struct weir_header *header;
};

/* The answer, request->text, is lent to the exchange: it can be megabytes long. The request holds
 * it until its on_end. */
static void admin_give(struct request *request, const struct admin_answer *how)
{
    struct app *app = request->app;
    request->state = REQUEST_ANSWERED;
    struct journal_record record =
        answer_request_record(request, weir_engine_clock_ns(app->engine));
    if (request->text.failed) {
        answer_error_now(app, request->exchange, &record,
                         &(struct answer_error){
                             .status = 503, .type = "overloaded", .message = "out of memory" });
        return;
    }
    answer_now(app, request->exchange, &record,
               &(struct answer){ .status = how->status,
                                 .content_type = how->content_type,
                                 .header = how->header,
                                 .body = text_slice(&request->text),
                                 .how = WEIR_BODY_BORROW });
}

static void admin_give_json(struct request *request, uint16_t status)
{
    admin_give(request, &(struct admin_answer){ .status = status, .content_type = ANSWER_JSON });
}

static void admin_give_error(struct request *request, const struct answer_error *error)
{
    struct journal_record record =
        answer_request_record(request, weir_engine_clock_ns(request->app->engine));
    request->state = REQUEST_ANSWERED;
    answer_error_now(request->app, request->exchange, &record, error);
}

/* `json` (NULL: no memory) as the answer, with the generation as its entity tag. */
static void admin_give_tree(struct request *request, const json_t *json, uint16_t status,
                            uint64_t generation)
{
    char tag[TEXT_U64_BYTES + 2] = "\"";
    char *end = text_write_u64(tag + 1, generation);
    *end++ = '"';
    struct weir_header header = { WEIR_TEXT("ETag"), { (uint8_t *)tag, (size_t)(end - tag) } };
    char *dump = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    request->text.len = 0;
    if (dump == NULL)
        request->text.failed = true;
    else
        text_put(&request->text, dump);
    free(dump);
    admin_give(request, &(struct admin_answer){
                            .status = status, .content_type = ANSWER_JSON, .header = &header });
}

static json_t *admin_faults_json(const struct config *config, uint64_t now_ns)
{
    json_t *faults = json_array();
    for (uint32_t i = 0; i < config->faults_count; i++)
        json_array_append_new(faults, fault_rule_json_state(config->faults[i], now_ns));
    return json_pack("{sIso}", "generation", (json_int_t)config->generation, "faults", faults);
}

static const struct fault_rule *admin_find_rule(const struct config *config, const char *id)
{
    for (uint32_t i = 0; i < config->faults_count; i++)
        if (strcmp(config->faults[i]->id, id) == 0)
            return config->faults[i];
    return NULL;
}

static json_t *admin_rule_json(const struct request *request, const struct config *config,
                               uint64_t now_ns)
{
    if (request->endpoint == ENDPOINT_FAULTS)
        return admin_faults_json(config, now_ns);
    const struct fault_rule *rule = admin_find_rule(config, request->ask.model_name);
    if (rule != NULL)
        return fault_rule_json_state(rule, now_ns);
    return json_pack("{ss}", "status", "deleted");
}

/* The configuration, all rules, or one: as the request has made them, else as they are now. */
static void admin_give_config(struct request *request, uint16_t status)
{
    struct config *config =
        request->config != NULL ? config_hold(request->config) : mock_config(request->app->mock);
    uint64_t now_ns = weir_engine_clock_ns(request->app->engine);
    bool missing = request->endpoint == ENDPOINT_FAULT && request->method != METHOD_DELETE &&
                   admin_find_rule(config, request->ask.model_name) == NULL;
    if (missing) {
        admin_give_error(request, &(struct answer_error){ .status = 404,
                                                          .type = "not_found",
                                                          .message = "there is no such rule" });
    } else if (request->endpoint == ENDPOINT_CONFIG) {
        /* No reference is counted: jansson does that without telling other threads' tools. */
        admin_give_tree(request, config->tree, status, config->generation);
    } else {
        json_t *json = admin_rule_json(request, config, now_ns);
        admin_give_tree(request, json, status, config->generation);
        json_decref(json);
    }
    config_drop(config);
}

static void admin_give_count(struct request *request, const struct admin *admin)
{
    bool well = filter_verifies(&admin->filter, admin->matched);
    text_put(&request->text, "{\"count\":");
    text_u64(&request->text, admin->matched);
    if (admin->filter.verifies)
        text_put(&request->text, well ? ",\"verified\":true" : ",\"verified\":false");
    text_put(&request->text, ",\"dropped\":");
    text_u64(&request->text, admin->dropped);
    text_put(&request->text, "}");
    /* 417: an expectation of the request is not met, which is what was asked. */
    admin_give_json(request, well ? 200 : 417);
}

static void admin_give_metrics(struct request *request, struct admin *admin)
{
    bool open = request->open_metrics;
    admin_finish_snapshot(admin);
    metrics_write(&request->text, &admin->snapshot, open);
    admin_give(request,
               &(struct admin_answer){ .status = 200,
                                       .content_type = open ? WEIR_TEXT(METRICS_OPEN_CONTENT_TYPE)
                                                            : WEIR_TEXT(METRICS_CONTENT_TYPE) });
}

/* The tour is over: answer what it was made for. */
static void admin_answer(struct admin *admin, struct request *request)
{
    switch (admin->endpoint) {
    case ENDPOINT_METRICS:
        admin_give_metrics(request, admin);
        break;
    case ENDPOINT_REQUESTS:
        request->text.failed = admin->records == NULL;
        if (admin->records != NULL)
            admin_write_requests(&request->text, admin);
        admin_give_json(request, 200);
        break;
    case ENDPOINT_COUNT_REQUESTS:
        admin_give_count(request, admin);
        break;
    case ENDPOINT_AUDIT:
        request->text.failed = admin->records == NULL;
        if (admin->records != NULL)
            admin_write_audit(&request->text, admin);
        admin_give_json(request, 200);
        break;
    case ENDPOINT_CONFIG:
    case ENDPOINT_FAULTS:
    case ENDPOINT_FAULT:
        admin_give_config(request, request->wire_status);
        break;
    case ENDPOINT_RESET:
        text_put(&request->text, "{\"status\":\"reset\"}");
        admin_give_json(request, 200);
        break;
    default:
        admin_finish_snapshot(admin);
        report_write(&request->text, &admin->snapshot);
        admin_give_json(request, 200);
        break;
    }
}

/* ---- The tour ---------------------------------------------------------------------------- */

/* All threads are as they were at the start: so is what they share. */
static void admin_reset_shared(struct app *app)
{
    struct mock *mock = app->mock;
    uint64_t now_ns = weir_engine_clock_ns(app->engine);
    models_reset(&mock->models);
    atomic_store_explicit(&mock->arrivals, 0, memory_order_relaxed);
    atomic_store_explicit(&mock->seq, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < app->config->faults_count; i++)
        fault_rule_reset(app->config->faults[i], now_ns);
}

static void admin_tour_done(struct admin *admin)
{
    struct request *request = admin->request;
    if (admin->endpoint == ENDPOINT_RESET)
        admin_reset_shared(admin->app);
    admin->request = NULL;
    if (admin->endpoint == ENDPOINT_EVENTS) {
        journal_sort(admin->records, admin->records_count);
        admin_finish_snapshot(admin);
        events_publish(&admin->events);
    } else if (request != NULL) {
        admin_answer(admin, request);
    }
    free(admin->records);
    admin->records = NULL;
    admin->records_count = admin->records_capacity = 0;
    admin->touring = false;
    admin_next(admin);
}

/* Go to the next thread; the one where the tour began is the last. */
static void admin_travel(struct admin *admin)
{
    struct mock *mock = admin->app->mock;
    admin->at = (admin->at + 1) % mock->apps_count;
    weir_engine_post(mock->apps[admin->at]->engine, &admin->task);
}

static void admin_on_task(struct weir_task *task)
{
    struct admin *admin = (struct admin *)(void *)((char *)task - offsetof(struct admin, task));
    if (admin->at == admin->app->index) {
        admin_tour_done(admin);
        return;
    }
    admin_visit(admin, admin->app->mock->apps[admin->at]);
    admin_travel(admin);
}

/* Memory for the records of all threads. */
static void admin_take_records(struct admin *admin)
{
    const struct app *app = admin->app;
    uint32_t each = app->journal.capacity;
    if (admin->endpoint != ENDPOINT_AUDIT && admin->filter.limit < each)
        each = admin->filter.limit;
    admin->records_capacity = each * app->mock->apps_count;
    /* One more, so that an empty journal is not taken for a shortage of memory. */
    admin->records = calloc((size_t)admin->records_capacity + 1, sizeof *admin->records);
}

static void admin_tour(struct admin *admin, struct request *request, enum endpoint endpoint)
{
    admin->request = request;
    admin->endpoint = (uint8_t)endpoint;
    admin->touring = true;
    admin->at = admin->app->index;
    admin->task.run = admin_on_task;
    admin->matched = admin->dropped = 0;
    if (request != NULL && request->filter != NULL)
        admin->filter = *request->filter;
    if (endpoint == ENDPOINT_REQUESTS || endpoint == ENDPOINT_AUDIT || endpoint == ENDPOINT_EVENTS)
        admin_take_records(admin);
    snapshot_reset(&admin->snapshot);
    admin_visit(admin, admin->app);
    if (admin->app->mock->apps_count == 1)
        admin_tour_done(admin);
    else
        admin_travel(admin);
}

/* Begin the tour of the first request in the queue. */
static void admin_next(struct admin *admin)
{
    struct request *request = admin->queue;
    if (admin->touring || request == NULL)
        return;
    admin->queue = request->next;
    if (admin->queue == NULL)
        admin->queue_end = &admin->queue;
    admin_tour(admin, request, (enum endpoint)request->endpoint);
}

void admin_look(struct admin *admin)
{
    struct filter_error err;
    if (admin->touring || filter_parse(&admin->filter, (struct weir_slice){ 0 },
                                       &(struct filter_context){ 0 }, &err) < 0)
        return;
    admin->filter.limit = EVENTS_RECORDS_SHOWN;
    admin_tour(admin, NULL, ENDPOINT_EVENTS);
}

/* ---- Requests ---------------------------------------------------------------------------- */

static void admin_enqueue(struct request *request)
{
    struct admin *admin = &request->app->admin;
    request->next = NULL;
    *admin->queue_end = request;
    admin->queue_end = &request->next;
    admin_next(admin);
}

/* @return false: answered with an error */
static bool admin_take_filter(struct request *request)
{
    struct mock *mock = request->app->mock;
    struct journal_writer writer = mock_journal_writer(mock);
    struct models_names names;
    struct filter_error err;
    models_names(&names, &mock->models);
    const struct filter_context context = {
        .counts = request->endpoint == ENDPOINT_COUNT_REQUESTS,
        .wall_ns = writer.wall_ns,
        .now_ns = (int64_t)weir_engine_clock_ns(request->app->engine),
        .models = names.names,
        .models_count = names.count,
    };
    request->filter = calloc(1, sizeof *request->filter);
    if (request->filter == NULL) {
        admin_give_error(request, &(struct answer_error){ .status = 503,
                                                          .type = "overloaded",
                                                          .message = "out of memory" });
        return false;
    }
    if (filter_parse(request->filter, weir_exchange_query(request->exchange), &context, &err) == 0)
        return true;
    admin_give_error(request, &(struct answer_error){ .status = 400,
                                                      .type = "invalid_request",
                                                      .message = err.text,
                                                      .field = "query" });
    return false;
}

/* The id of the rule in the path. @return false: answered with an error */
static bool admin_take_id(struct request *request)
{
    struct weir_slice id = endpoint_id(ENDPOINT_FAULT, weir_exchange_path(request->exchange));
    char *out = request->ask.model_name;
    int64_t len = weir_url_percent_decode((uint8_t *)out, FAULT_ID_BYTES - 1, id);
    if (len > 0 && memchr(out, '\0', (size_t)len) == NULL) {
        out[len] = '\0';
        return true;
    }
    admin_give_error(request, &(struct answer_error){ .status = 404,
                                                      .type = "not_found",
                                                      .message = "no rule can have such an id" });
    return false;
}

static bool admin_take_head(struct request *request)
{
    struct weir_slice accept;
    switch (request->endpoint) {
    case ENDPOINT_REQUESTS:
    case ENDPOINT_COUNT_REQUESTS:
        return admin_take_filter(request);
    case ENDPOINT_METRICS:
        accept = weir_exchange_header(request->exchange, WEIR_TEXT("Accept"));
        request->open_metrics = metrics_accepts_open(accept);
        return true;
    case ENDPOINT_FAULT:
        request->number = gate_generation(request->exchange);
        return admin_take_id(request);
    case ENDPOINT_CONFIG:
    case ENDPOINT_FAULTS:
        request->number = gate_generation(request->exchange);
        return true;
    default:
        return true;
    }
}

void admin_begin(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
                 enum method method)
{
    struct request *request = answer_begin(app, exchange, endpoint, method);
    if (request == NULL)
        return;
    request->granted_ns = request->start_ns;
    if (gate_is_foreign(exchange, method))
        admin_give_error(request, &(struct answer_error){ .status = 403,
                                                          .type = "forbidden",
                                                          .message = "Origin: a foreign page",
                                                          .field = "Origin" });
    else
        (void)admin_take_head(request);
}

static void admin_give_page(struct request *request)
{
    static const struct weir_header policy = { WEIR_TEXT("Content-Security-Policy"),
                                               WEIR_TEXT(PAGE_POLICY) };
    struct journal_record record =
        answer_request_record(request, weir_engine_clock_ns(request->app->engine));
    request->state = REQUEST_ANSWERED;
    answer_now(request->app, request->exchange, &record,
               &(struct answer){ .status = 200,
                                 .content_type = WEIR_TEXT(PAGE_CONTENT_TYPE),
                                 .header = &policy,
                                 .body = page_html(),
                                 .how = WEIR_BODY_BORROW });
}

/* As the first SIGTERM does: the main thread waits for it. A second request must not be the second
 * signal, which ends the process at once. */
static void admin_drain(struct request *request)
{
    if (!atomic_exchange(&request->app->mock->draining, true))
        kill(getpid(), SIGTERM);
    text_put(&request->text, "{\"status\":\"draining\"}");
    admin_give_json(request, 202);
}

static void admin_change(struct request *request)
{
    struct change_result result;
    const struct change change = {
        .endpoint = (enum endpoint)request->endpoint,
        .method = (enum method)request->method,
        .body = text_slice(&request->text),
        .id = request->ask.model_name,
        .generation = request->number,
    };
    change_make(&result, request->app, &change);
    request->text.len = 0;
    if (result.status < 300) {
        request->config = result.made;
        request->wire_status = result.status;
        admin_enqueue(request); /* to tell the threads */
        return;
    }
    admin_give_error(request, &(struct answer_error){
                                  .status = result.status,
                                  .type = result.status == 412 ? "precondition_failed" : NULL,
                                  .message = result.message,
                                  .field = result.pointer[0] != '\0' ? result.pointer : NULL,
                              });
}

/* The request is complete. */
static void admin_go(struct request *request)
{
    switch (request->endpoint) {
    case ENDPOINT_PAGE:
        admin_give_page(request);
        break;
    case ENDPOINT_DRAIN:
        admin_drain(request);
        break;
    case ENDPOINT_EVENTS:
        if (!events_add(&request->app->admin.events, request))
            admin_give_error(request, &(struct answer_error){ .status = 503,
                                                              .retry_after_s = 1,
                                                              .type = "overloaded",
                                                              .message = "not now",
                                                              .close = true });
        break;
    case ENDPOINT_CONFIG:
    case ENDPOINT_FAULTS:
    case ENDPOINT_FAULT:
        if (request->method == METHOD_GET || request->method == METHOD_HEAD)
            admin_give_config(request, 200);
        else
            admin_change(request);
        break;
    default:
        admin_enqueue(request);
        break;
    }
}

void admin_body(struct request *request, struct weir_slice piece, bool last)
{
    if (request->state == REQUEST_ANSWERED)
        return;
    request->body_bytes += (uint32_t)piece.len;
    if (piece.len > 0)
        text_add(&request->text, (const char *)piece.ptr, piece.len);
    if (request->text.failed)
        admin_give_json(request, 503);
    request->body_done = last;
    if (last && request->state != REQUEST_ANSWERED)
        admin_go(request);
}

/* A watcher that closed its page has got what it wanted: that stream has no other end. */
static void admin_count_gone(struct request *request)
{
    struct app *app = request->app;
    bool watched = request->state == REQUEST_STREAM;
    struct journal_record record =
        answer_request_record(request, weir_engine_clock_ns(app->engine));
    record.status = watched ? 200 : 0;
    record.end = watched ? JOURNAL_ANSWERED : JOURNAL_DISCONNECT;
    record.phase = request->body_done ? JOURNAL_DELAYED : JOURNAL_BODY;
    answer_count(app, &record);
}

void admin_abandon(struct request *request, int err)
{
    struct app *app = request->app;
    struct admin *admin = &app->admin;
    if (request->state == REQUEST_ANSWERED && api_is_disconnect(err))
        app->stats.disconnects[JOURNAL_SENT]++;
    if (request->state != REQUEST_ANSWERED)
        admin_count_gone(request);
    if (admin->request == request) {
        admin->request = NULL; /* the tour ends without an answer */
    } else if (request->state == REQUEST_STREAM) {
        events_remove(&admin->events, request);
    } else {
        for (struct request **at = &admin->queue; *at != NULL; at = &(*at)->next) {
            if (*at != request)
                continue;
            *at = request->next;
            if (request->next == NULL)
                admin->queue_end = at;
            break;
        }
    }
    request_put(&app->pool, request);
}
