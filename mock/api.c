/* SPDX-License-Identifier: MIT */
#include "mock/api.h"

#include "mock/app.h"
#include "mock/batch.h"
#include "mock/body.h"

#include <weir/random.h>

#include <time.h>

#define UNLOAD_BODY "{\"status\":\"unloaded\"}"
#define JSON        WEIR_TEXT("application/json")

static void api_advance(struct request *request);

static struct request *request_of_waiter(struct limiter_waiter *waiter)
{
    return (struct request *)(void *)((char *)waiter - offsetof(struct request, waiter));
}

/* ---- Slots ------------------------------------------------------------------------------- */

static void api_release(struct app *app, uint64_t now_ns);

/* A slot has arrived for a request that waited for it, on the request's own thread. */
static void api_resume(struct request *request)
{
    struct app *app = request->app;
    request->waiter.state = LIMITER_IDLE;
    if (request->exchange == NULL) { /* the client left while the slot was on its way */
        uint64_t now_ns = request->handed_ns;
        request_put(&app->pool, request);
        api_release(app, now_ns);
        return;
    }
    request->granted_ns = request->handed_ns;
    weir_hist_record(app->stats.queue_wait_ns, request->granted_ns - request->start_ns);
    api_advance(request);
}

static void api_on_task(struct weir_task *task)
{
    api_resume((struct request *)(void *)((char *)task - offsetof(struct request, task)));
}

/*
 * Resumed requests go through a list, not the stack: with no latency each resumed request is
 * answered at once and resumes the next, as deep as the queue is long.
 */
static void api_resume_later(struct app *app, struct request *request)
{
    request->next = NULL;
    *app->resumed_end = request;
    app->resumed_end = &request->next;
    if (app->resuming)
        return;
    app->resuming = true;
    while (app->resumed != NULL) {
        struct request *first = app->resumed;
        app->resumed = first->next;
        if (app->resumed == NULL)
            app->resumed_end = &app->resumed;
        api_resume(first);
    }
    app->resuming = false;
}

/* Give a slot back, and hand it to whoever is first in the queue, on whatever thread. */
static void api_release(struct app *app, uint64_t now_ns)
{
    struct limiter_waiter *waiter = limiter_release(&app->mock->limiter);
    if (waiter == NULL || atomic_load_explicit(&app->mock->stopped, memory_order_relaxed))
        return;
    struct request *request = request_of_waiter(waiter);
    /* Threads read the clock at different moments: a wait is never negative. */
    request->handed_ns = now_ns > request->start_ns ? now_ns : request->start_ns;
    if (request->app == app)
        api_resume_later(app, request);
    else
        weir_engine_post(request->app->engine, &request->task);
}

/* ---- Answers ----------------------------------------------------------------------------- */

/* The request is over as far as we are concerned; the exchange goes on without it. */
static void api_finished(struct request *request, uint64_t now_ns)
{
    struct app *app = request->app;
    bool has_slot = request->granted_ns != 0;
    weir_exchange_set_user(request->exchange, NULL);
    weir_timer_cancel(&request->timer);
    app->in_flight--;
    if (!has_slot && !limiter_leave(&app->mock->limiter, &request->waiter)) {
        request->exchange = NULL; /* api_resume() finds it and gives the slot back */
        return;
    }
    request_put(&app->pool, request);
    if (has_slot)
        api_release(app, now_ns);
}

static bool api_answer_load(struct request *request, struct journal_record *record)
{
    struct app *app = request->app;
    struct timespec wall = { 0 };
    clock_gettime(CLOCK_REALTIME, &wall);
    struct text text = { 0 };
    text_put(&text, "{\"status\":\"loaded\",\"loaded_at\":\"");
    text_time(&text, (int64_t)wall.tv_sec * 1000000000, 0);
    text_put(&text, "\",\"memory_used\":\"2.5GB\"}");
    struct app_answer answer = {
        .response = { .status = 200, .content_type = JSON, .body = text_slice(&text) },
        .code = STATS_200,
    };
    bool given;
    if (text.failed)
        given = app_answer_error(app, request->exchange, record,
                                 &(struct app_error){ .code = STATS_503,
                                                      .type = "overloaded",
                                                      .message = "out of memory" });
    else
        given = app_answer(app, request->exchange, record, &answer);
    text_free(&text);
    return given;
}

static bool api_answer_success(struct request *request, struct journal_record *record)
{
    struct app *app = request->app;
    struct models *models = &app->mock->models;
    struct app_answer answer = {
        .response = { .status = 200, .content_type = JSON },
        .code = STATS_200,
    };
    switch (request->endpoint) {
    case ENDPOINT_LOAD:
        models_set_loaded(models, request->model, true);
        return api_answer_load(request, record);
    case ENDPOINT_UNLOAD:
        models_set_loaded(models, request->model, false);
        answer.response.body = WEIR_TEXT(UNLOAD_BODY);
        break;
    case ENDPOINT_INFER:
        answer.response.body = WEIR_TEXT(BATCH_INFER_BODY);
        break;
    case ENDPOINT_BATCH:
        answer.response.body = text_slice(&request->text);
        break;
    default:
        answer.response.body = models_list(models);
        break;
    }
    return app_answer(app, request->exchange, record, &answer);
}

/* Answer a request whose time has come. */
static void api_answer(struct request *request, bool was_delayed)
{
    struct app *app = request->app;
    uint64_t now_ns = weir_engine_clock_ns(request->app->engine);
    struct journal_record record = app_request_record(request, now_ns);
    bool given;
    if (request->fails) {
        app->stats.faults++;
        given = app_answer_error(app, request->exchange, &record,
                                 &(struct app_error){ .code = STATS_500,
                                                      .fault = JOURNAL_FAULT_ERROR,
                                                      .type = "injected_error",
                                                      .message = "an error was asked for" });
    } else {
        given = api_answer_success(request, &record);
    }
    if (given && was_delayed)
        weir_hist_record(app->stats.schedule_error_ns,
                         now_ns > request->due_ns ? now_ns - request->due_ns : 0);
    api_finished(request, now_ns);
}

static void api_on_due(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    api_answer(ctx, true);
}

/*
 * The delay counts from the arrival of the head plus the time in the queue, on an absolute
 * deadline. A body that takes longer than that is answered at once when it is complete.
 */
static void api_advance(struct request *request)
{
    if (!request->body_done || request->granted_ns == 0)
        return;
    struct app *app = request->app;
    uint64_t delay_ns = app->delay_ns[request->endpoint];
    request->due_ns = request->granted_ns + delay_ns;
    if (request->due_ns <= weir_engine_now_ns(app->engine) || delay_ns == 0)
        api_answer(request, false);
    else
        weir_timer_set(app->engine, &request->timer, request->due_ns);
}

/* ---- Arrival ----------------------------------------------------------------------------- */

/* The same key fails or not whatever the threads and the order: see weir_random_u64(). */
static bool api_draw_error(struct app *app, const struct weir_exchange *exchange)
{
    const struct options *options = app->mock->options;
    if (options->error_rate <= 0)
        return false;
    struct weir_slice name = weir_exchange_header(exchange, WEIR_TEXT("X-Mock-Key"));
    if (name.ptr == NULL)
        name = weir_exchange_header(exchange, WEIR_TEXT("X-Request-Id"));
    uint64_t key = name.ptr != NULL
                       ? weir_random_key(name)
                       : atomic_fetch_add_explicit(&app->mock->arrivals, 1, memory_order_relaxed);
    return weir_random_unit(options->seed, key, 0) < options->error_rate;
}

void api_begin(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
               enum method method)
{
    struct request *request = request_get(&app->pool);
    if (request == NULL) {
        struct journal_record record = app_record(app, exchange, endpoint, method);
        app_answer_error(app, exchange, &record,
                         &(struct app_error){ .code = STATS_503,
                                              .type = "overloaded",
                                              .message = "too many requests in progress" });
        return;
    }
    request->exchange = exchange;
    request->app = app;
    request->seq = app->seq;
    request->start_ns = weir_exchange_start_ns(exchange);
    request->endpoint = (uint8_t)endpoint;
    request->method = (uint8_t)method;
    request->model = MODEL_UNKNOWN;
    request->fails = api_draw_error(app, exchange);
    request->task.run = api_on_task;
    weir_timer_init(&request->timer, api_on_due, request);
    weir_exchange_set_user(exchange, request);
    app->in_flight++;
    if (limiter_acquire(&app->mock->limiter, &request->waiter)) {
        request->granted_ns = request->start_ns;
        weir_hist_record(app->stats.queue_wait_ns, 0);
    }
}

static void api_fail(struct request *request, const struct app_error *error)
{
    uint64_t now_ns = weir_engine_clock_ns(request->app->engine);
    struct journal_record record = app_request_record(request, now_ns);
    record.asked_ns = 0; /* a mistake is told at once */
    app_answer_error(request->app, request->exchange, &record, error);
    api_finished(request, now_ns);
}

/*
 * The body is gone when this returns, so the answer is made now, and given when its time has come.
 */
static void api_batch_complete(struct request *request, struct weir_slice body)
{
    struct body_error err;
    struct text answer = { 0 };
    int count = batch_answer(&answer, body, request->app->mock->options->strict_models, &err);
    if (request->text.ptr != NULL)
        text_free(&request->text);
    request->text = answer;
    if (count < 0) {
        api_fail(request, &(struct app_error){ .code = err.status == 413 ? STATS_413 : STATS_400,
                                               .type = err.type,
                                               .message = err.message,
                                               .field = err.field });
    } else if (answer.failed) {
        api_fail(request, &(struct app_error){ .code = STATS_503,
                                               .type = "overloaded",
                                               .message = "out of memory" });
    } else {
        request->app->stats.batch_items += (uint64_t)count;
        request->body_done = true;
        api_advance(request);
    }
}

static void api_body_complete(struct request *request, struct weir_slice body)
{
    if (request->endpoint == ENDPOINT_BATCH) {
        api_batch_complete(request, body);
        return;
    }
    struct body_error err;
    int model = MODEL_UNKNOWN;
    bool strict = request->app->mock->options->strict_models;
    if (request->endpoint != ENDPOINT_MODELS &&
        body_check((enum endpoint)request->endpoint, body, strict, &model, &err) < 0) {
        api_fail(request, &(struct app_error){ .code = err.status == 404 ? STATS_404 : STATS_400,
                                               .type = err.type,
                                               .message = err.message,
                                               .field = err.field });
        return;
    }
    request->model = (int16_t)model;
    request->body_done = true;
    if (request->text.ptr != NULL)
        text_free(&request->text);
    api_advance(request);
}

void api_body(struct request *request, struct weir_slice piece, bool last)
{
    request->body_bytes += (uint32_t)piece.len;
    if (last && request->text.len == 0) {
        api_body_complete(request, piece); /* all of it in one piece: no copy */
        return;
    }
    if (request->endpoint != ENDPOINT_MODELS && piece.len > 0)
        text_add(&request->text, (const char *)piece.ptr, piece.len);
    if (request->text.failed)
        api_fail(request, &(struct app_error){ .code = STATS_503,
                                               .type = "overloaded",
                                               .message = "out of memory" });
    else if (last)
        api_body_complete(request, text_slice(&request->text));
}

/* ---- Ends without an answer of ours ------------------------------------------------------ */

static enum stats_phase api_phase(const struct request *request)
{
    if (!request->body_done)
        return STATS_BODY;
    return request->granted_ns == 0 ? STATS_QUEUED : STATS_DELAYED;
}

void api_abandon(struct request *request, int err)
{
    struct app *app = request->app;
    uint64_t now_ns = weir_engine_clock_ns(request->app->engine);
    struct journal_record record = app_request_record(request, now_ns);
    /* Else the server answered in our place, and it is counted. */
    if (!app_count_refusal(app, &record, err)) {
        if (app_is_disconnect(err))
            app->stats.disconnects[api_phase(request)]++;
        record.fault = JOURNAL_FAULT_DISCONNECT;
        journal_add(&app->journal, &record);
    }
    api_finished(request, now_ns);
}
