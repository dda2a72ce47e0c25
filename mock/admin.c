/* SPDX-License-Identifier: MIT */
#include "mock/admin.h"

#include "mock/app.h"
#include "mock/metrics.h"
#include "mock/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JSON          WEIR_TEXT("application/json")
#define LIMIT_DEFAULT 100
#define LIMIT_MAX     10000
#define LIMIT_MESSAGE "limit: expected a number of 1 ... 10000"

static void admin_start(struct app *app);

int admin_open(struct admin *admin, struct app *app)
{
    *admin = (struct admin){ .app = app };
    admin->queue_end = &admin->queue;
    return stats_open(&admin->snapshot.stats);
}

void admin_close(struct admin *admin)
{
    stats_close(&admin->snapshot.stats);
    free(admin->records);
    *admin = (struct admin){ 0 };
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
    struct snapshot_thread thread = {
        .conns_active = server.conns_now,
        .conns_total = server.conns - app->base.conns,
        .handed_over = server.handed_over - app->base.handed_over,
        .taken_over = server.taken_over - app->base.taken_over,
    };
    into->by_thread[app->index] = thread;
    into->conns_active += thread.conns_active;
    into->conns_total += thread.conns_total;
    into->refused += server.refused - app->base.refused;
#define XX(name, help) into->engine.name += engine.name - app->base.engine.name;
    SNAPSHOT_ENGINE(XX)
#undef XX
}

static void admin_visit_collect(struct snapshot *into, const struct app *app)
{
    stats_merge(&into->stats, &app->stats);
    into->in_flight += app->in_flight;
    into->journal_recorded += app->journal.recorded;
    into->journal_dropped += journal_dropped_count(&app->journal);
    into->journal_capacity += app->journal.capacity;
    admin_read_server(into, app);
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
    app->seq = 0;
}

/* On the thread of `app`, for the tour of `admin`. */
static void admin_visit(struct admin *admin, struct app *app)
{
    switch (admin->endpoint) {
    case ENDPOINT_RESET:
        admin_visit_reset(app);
        break;
    case ENDPOINT_REQUESTS:
        if (admin->records != NULL)
            admin->records_count +=
                journal_copy(&app->journal, admin->records + admin->records_count, admin->limit);
        break;
    default:
        admin_visit_collect(&admin->snapshot, app);
        break;
    }
}

/* ---- Answers ----------------------------------------------------------------------------- */

static void admin_write_requests(struct text *text, struct admin *admin)
{
    struct timespec wall = { 0 };
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)weir_clock_ns();
    uint32_t limit = admin->request->limit;
    journal_sort(admin->records, admin->records_count);
    uint32_t first = admin->records_count > limit ? admin->records_count - limit : 0;
    text_printf(text, "{\"requests\":[");
    for (uint32_t i = first; i < admin->records_count; i++) {
        if (i != first)
            text_put(text, ",");
        journal_write(text, &admin->records[i], wall_ns);
    }
    text_put(text, "]}");
}

static void admin_finish_snapshot(struct admin *admin)
{
    struct mock *mock = admin->app->mock;
    struct snapshot *snapshot = &admin->snapshot;
    snapshot->limiter = limiter_view(&mock->limiter);
    snapshot->threads = mock->apps_count;
    snapshot->uptime_s = (double)(weir_clock_ns() - mock->started_ns) / 1e9;
    snapshot_read_process(snapshot);
}

static void admin_write(struct text *text, struct admin *admin)
{
    switch (admin->endpoint) {
    case ENDPOINT_METRICS:
        admin_finish_snapshot(admin);
        metrics_write(text, &admin->snapshot);
        break;
    case ENDPOINT_STATS:
        admin_finish_snapshot(admin);
        report_write(text, &admin->snapshot);
        break;
    case ENDPOINT_REQUESTS:
        if (admin->records == NULL)
            text->failed = true;
        else
            admin_write_requests(text, admin);
        break;
    default:
        text_put(text, "{\"status\":\"reset\"}");
        break;
    }
}

/* The answer is lent to the exchange: it can be megabytes long. The request holds it until its
 * on_end. */
static void admin_answer(struct admin *admin)
{
    struct app *app = admin->app;
    struct request *request = admin->request;
    admin_write(&request->text, admin);
    request->answered = true;
    struct journal_record record =
        app_request_record(request, weir_engine_clock_ns(request->app->engine));
    if (request->text.failed) {
        app_answer_error(app, request->exchange, &record,
                         &(struct app_error){
                             .code = STATS_503, .type = "overloaded", .message = "out of memory" });
        return;
    }
    bool is_metrics = request->endpoint == ENDPOINT_METRICS;
    app_answer(
        app, request->exchange, &record,
        &(struct app_answer){
            .response = { .status = 200,
                          .content_type = is_metrics ? WEIR_TEXT(METRICS_CONTENT_TYPE) : JSON,
                          .body = text_slice(&request->text),
                          .how = WEIR_BODY_BORROW },
            .code = STATS_200 });
}

/* ---- The tour ---------------------------------------------------------------------------- */

static void admin_tour_done(struct admin *admin)
{
    struct mock *mock = admin->app->mock;
    if (admin->endpoint == ENDPOINT_RESET) {
        models_reset(&mock->models);
        atomic_store_explicit(&mock->arrivals, 0, memory_order_relaxed);
    }
    if (admin->request != NULL)
        admin_answer(admin);
    free(admin->records);
    admin->records = NULL;
    admin->records_count = 0;
    admin->request = NULL;
    admin->touring = false;
    admin_start(admin->app);
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

static uint32_t admin_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Begin the tour of the first request in the queue. */
static void admin_start(struct app *app)
{
    struct admin *admin = &app->admin;
    if (admin->touring || admin->queue == NULL)
        return;
    struct request *request = admin->queue;
    admin->queue = request->next;
    if (admin->queue == NULL)
        admin->queue_end = &admin->queue;
    admin->request = request;
    admin->endpoint = request->endpoint;
    admin->touring = true;
    admin->at = app->index;
    admin->task.run = admin_on_task;
    if (request->endpoint == ENDPOINT_REQUESTS) {
        admin->limit = admin_min(request->limit, app->journal.capacity);
        /* One more, so that an empty journal is not taken for a shortage of memory. */
        admin->records =
            calloc((size_t)admin->limit * app->mock->apps_count + 1, sizeof *admin->records);
    } else {
        snapshot_reset(&admin->snapshot);
    }
    admin_visit(admin, app);
    if (app->mock->apps_count == 1)
        admin_tour_done(admin);
    else
        admin_travel(admin);
}

/* ---- Requests ---------------------------------------------------------------------------- */

/* "limit=N" or nothing. @return 0 or -EINVAL */
static int admin_parse_limit(struct weir_slice query, uint32_t *limit)
{
    static const char name[] = "limit=";
    const size_t name_len = sizeof name - 1;
    *limit = LIMIT_DEFAULT;
    if (query.len == 0)
        return 0;
    if (query.len <= name_len || query.len > name_len + 5 || memcmp(query.ptr, name, name_len) != 0)
        return -EINVAL;
    uint32_t value = 0;
    for (size_t i = name_len; i < query.len; i++) {
        if (query.ptr[i] < '0' || query.ptr[i] > '9')
            return -EINVAL;
        value = value * 10 + (uint32_t)(query.ptr[i] - '0');
    }
    *limit = value;
    return value >= 1 && value <= LIMIT_MAX ? 0 : -EINVAL;
}

static void admin_enqueue(struct app *app, struct request *request)
{
    request->next = NULL;
    *app->admin.queue_end = request;
    app->admin.queue_end = &request->next;
    admin_start(app);
}

void admin_begin(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
                 enum method method)
{
    struct journal_record record = app_record(app, exchange, endpoint, method);
    uint32_t limit = 0;
    if (endpoint == ENDPOINT_REQUESTS &&
        admin_parse_limit(weir_exchange_query(exchange), &limit) < 0) {
        app_answer_error(app, exchange, &record,
                         &(struct app_error){ .code = STATS_400,
                                              .type = "invalid_request",
                                              .message = LIMIT_MESSAGE,
                                              .field = "limit" });
        return;
    }
    struct request *request = request_get(&app->pool);
    if (request == NULL) {
        app_answer_error(app, exchange, &record,
                         &(struct app_error){ .code = STATS_503,
                                              .type = "overloaded",
                                              .message = "too many requests in progress" });
        return;
    }
    request->exchange = exchange;
    request->app = app;
    request->seq = app->seq;
    request->start_ns = request->granted_ns = record.start_ns;
    request->endpoint = (uint8_t)endpoint;
    request->method = (uint8_t)method;
    request->limit = limit;
    weir_exchange_set_user(exchange, request);
    admin_enqueue(app, request);
}

void admin_abandon(struct request *request)
{
    struct app *app = request->app;
    struct admin *admin = &app->admin;
    if (admin->request == request) {
        admin->request = NULL; /* the tour ends without an answer */
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
