/* SPDX-License-Identifier: MIT */
#include "mock/api/api.h"

#include "mock/api/answer.h"
#include "mock/api/batch.h"
#include "mock/api/plan.h"
#include "mock/api/reply.h"
#include "mock/api/stream.h"

#include <weir/random.h>

#include <errno.h>
#include <stdlib.h>

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
    if (request->exchange == NULL) { /* it was over while the slot was on its way */
        uint64_t now_ns = request->handed_ns;
        request_put(&app->pool, request);
        api_release(app, now_ns);
        return;
    }
    weir_timer_cancel(&request->timer); /* of its patience */
    request->granted_ns = request->handed_ns;
    weir_hist_record(app->stats.queue_wait_ns, request->granted_ns - request->start_ns);
    plan_advance(request);
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

/* The waiter has a slot: let it know, on whatever thread it lives. */
static void api_hand_over(struct app *app, struct limiter_waiter *waiter, uint64_t now_ns)
{
    if (atomic_load_explicit(&app->mock->stopped, memory_order_relaxed))
        return;
    struct request *request = request_of_waiter(waiter);
    /* Threads read the clock at different moments: a wait is never negative. */
    request->handed_ns = now_ns > request->start_ns ? now_ns : request->start_ns;
    if (request->app == app)
        api_resume_later(app, request);
    else
        weir_engine_post(request->app->engine, &request->task);
}

/* Give a slot back, and hand it to whoever is first in the queue. */
static void api_release(struct app *app, uint64_t now_ns)
{
    struct limiter_waiter *waiter = limiter_release(&app->mock->limiter);
    if (waiter != NULL)
        api_hand_over(app, waiter, now_ns);
}

void api_granted(struct app *from, struct limiter_waiter *granted)
{
    uint64_t now_ns = weir_engine_clock_ns(from->engine);
    while (granted != NULL) {
        struct limiter_waiter *next = granted->next;
        api_hand_over(from, granted, now_ns);
        granted = next;
    }
}

/* ---- The end ----------------------------------------------------------------------------- */

static void api_release_faults(struct request *request)
{
    for (uint64_t struck = request->struck; struck != 0; struck &= struck - 1)
        fault_rule_release(request->config->faults[__builtin_ctzll(struck)]);
    request->struck = 0;
}

static void api_count_inference(struct request *request, const struct journal_record *record)
{
    struct stats *stats = &request->app->stats;
    bool well = record->end == JOURNAL_ANSWERED && record->status < 300;
    enum stats_place place = (enum stats_place)request->place;
    stats_move(stats, request->ask.model, &place, STATS_NOWHERE);
    request->place = (uint8_t)place;
    if (!well && record->end == JOURNAL_ANSWERED)
        return; /* an error: vLLM counts requests that its engine has taken */
    stats_finished(stats, &(struct stats_request){
                              .model = request->ask.model,
                              .finish = !well                             ? STATS_ABORT
                                        : request->finish == REPLY_LENGTH ? STATS_LENGTH
                                                                          : STATS_STOP,
                              .arrival_ns = request->start_ns,
                              .admitted_ns = request->admitted_ns,
                              .first_token_ns = request->first_ns,
                              .last_token_ns = request->last_ns,
                              .end_ns = record->start_ns + record->delivered_ns,
                              .prompt_tokens = request->ask.prompt_tokens,
                              .output_tokens = request->given_tokens,
                              .max_tokens = request->ask.output_tokens,
                          });
}

/* Let go of what others may want, but for the slot. */
static void api_let_go(struct request *request, uint64_t now_ns)
{
    struct app *app = request->app;
    weir_timer_cancel(&request->timer);
    if (request->replica != NULL)
        replica_cancel(request->replica, request->sequence);
    request->replica = NULL;
    if (request->uses_model) {
        models_release(&app->mock->models, request->model, now_ns);
        request->uses_model = false;
    }
    if (request->counted)
        atomic_fetch_sub_explicit(&app->mock->running, 1, memory_order_relaxed);
    request->counted = false;
    if (request->stream != NULL)
        stream_over(request);
    api_release_faults(request);
}

/* Was there more to come, at a time that was fixed? */
static bool api_was_scheduled(const struct request *request)
{
    const struct stream *stream = request->stream;
    return weir_timer_is_set(&request->timer) || request->replica != NULL ||
           (stream != NULL && stream->begun && !stream->given);
}

void api_over(struct request *request, struct journal_record *record)
{
    struct app *app = request->app;
    uint64_t now_ns = record->start_ns + record->delivered_ns;
    if (api_is_inference(request) && request->body_done)
        api_count_inference(request, record);
    /* What a fault held up says nothing of the schedule. */
    if (record->end == JOURNAL_ANSWERED && request->delayed && request->wire == NULL)
        stats_delayed(&app->stats, record->asked_ns,
                      record->delivered_ns - (request->granted_ns - request->start_ns));
    if (request->action != NULL && request->action->kind != FAULT_NONE)
        stats_fault(&app->stats, record->rule, request->action->kind);
    answer_count(app, record);
    app->stats.timers_cancelled += record->end == JOURNAL_DISCONNECT && api_was_scheduled(request);
    api_let_go(request, now_ns);
    app->in_flight--;
    bool has_slot = request->limited && request->granted_ns != 0;
    bool on_its_way =
        request->limited && !has_slot && !limiter_leave(&app->mock->limiter, &request->waiter);
    if (request->state == REQUEST_ANSWERED || request->state == REQUEST_WIRE) {
        request->state = REQUEST_ANSWERED; /* its on_end releases it */
    } else {
        weir_exchange_set_user(request->exchange, NULL);
        request->exchange = NULL; /* api_resume() finds it so and gives the slot back */
        if (!on_its_way)
            request_put(&app->pool, request);
    }
    if (has_slot)
        api_release(app, now_ns);
}

static enum journal_phase api_phase(const struct request *request)
{
    if (request->stream != NULL && request->stream->begun)
        return JOURNAL_STREAMING;
    if (request->wire != NULL && request->wire->sent > 0)
        return JOURNAL_SENT;
    if (!request->body_done)
        return JOURNAL_BODY;
    return request->granted_ns == 0 ? JOURNAL_QUEUED : JOURNAL_DELAYED;
}

/* Did the server end this exchange with an answer of its own? @return its status, or 0 */
static uint16_t api_refusal(int err)
{
    switch (err) {
    case WEIR_E_LIMIT:
        return 413;
    case WEIR_E_TIMEOUT:
        return 408;
    case WEIR_E_PROTOCOL:
        return 400;
    default:
        return 0;
    }
}

/* Does this result of an exchange mean that the client is gone? */
bool api_is_disconnect(int err)
{
    return err == WEIR_E_CLOSED || err == WEIR_E_TRUNCATED || (err < 0 && err >= -4095);
}

void api_abandon(struct request *request, int err)
{
    struct app *app = request->app;
    if (request->wire != NULL)
        wire_abandon(request->wire);
    if (request->state == REQUEST_ANSWERED) {
        if (api_is_disconnect(err))
            app->stats.disconnects[JOURNAL_SENT]++;
        request_put(&app->pool, request);
        return;
    }
    struct journal_record record =
        answer_request_record(request, weir_engine_clock_ns(app->engine));
    bool gone = api_is_disconnect(err) || request->peer_ended;
    uint16_t refusal = request->body_done ? 0 : api_refusal(err);
    record.end = refusal != 0 ? JOURNAL_REFUSED : gone ? JOURNAL_DISCONNECT : JOURNAL_CUT;
    record.phase = (uint8_t)api_phase(request);
    record.status = refusal;
    if (refusal != 0) {
        record.asked_ns = 0; /* such an answer is not delayed */
    } else if (request->wire != NULL) {
        record.status = answer_head_is_sent(request) ? request->wire_status : 0;
        record.answer_bytes = request->wire->sent_bytes;
    } else if (request->stream != NULL && request->stream->begun) {
        record.status = 200;
        record.answer_bytes = request->stream->bytes;
    }
    if (request->state == REQUEST_WIRE)
        request->state = REQUEST_STREAM; /* the wire is gone: nothing holds the request */
    api_over(request, &record);
}

/* ---- Arrival ----------------------------------------------------------------------------- */

static struct weir_slice api_header(const void *exchange, struct weir_slice name)
{
    return weir_exchange_header(exchange, name);
}

/* The same key has the same fate whatever the threads and the order: see weir_random_u64(). */
static void api_read_key(struct request *request)
{
    struct mock *mock = request->app->mock;
    struct weir_slice name = weir_exchange_header(request->exchange, WEIR_TEXT("X-Mock-Key"));
    if (name.ptr != NULL)
        request->numbered = fault_key_number(name, &request->number);
    else
        name = weir_exchange_header(request->exchange, WEIR_TEXT("X-Request-Id"));
    request->keyed = name.ptr != NULL;
    request->key = request->keyed
                       ? weir_random_key(name)
                       : atomic_fetch_add_explicit(&mock->arrivals, 1, memory_order_relaxed);
}

static bool override_given(const struct override *override)
{
    return override->delay.given || override->ttft.given || override->itl.given ||
           override->tokens != 0 || override->status != 0 || override->has_fault;
}

/* @return false: it was answered with an error */
static bool api_read_override(struct request *request, const struct fault_head *head)
{
    struct override override;
    struct body_error err;
    struct app *app = request->app;
    int rc = override_read(&override, head, app->config->seed, request->key, &err);
    if (rc == 0 && override_given(&override)) {
        request->override = malloc(sizeof *request->override);
        if (request->override == NULL) {
            override_close(&override);
            return true; /* a request served as all others is the least that can be done */
        }
        *request->override = override;
    }
    if (rc == 0)
        return true;
    answer_give_error(request, &(struct answer_error){ .status = err.status,
                                                       .type = err.type,
                                                       .message = err.message,
                                                       .field = err.field,
                                                       .code = err.code });
    return false;
}

static void api_find_rules(struct request *request, const struct fault_head *head)
{
    struct app *app = request->app;
    uint64_t rules = request->endpoint == ENDPOINT_HEALTH ? app->rules_health : app->rules_request;
    for (uint64_t left = rules; left != 0; left &= left - 1) {
        int index = __builtin_ctzll(left);
        if (fault_rule_matches_head(app->config->faults[index], head))
            request->candidates |= UINT64_C(1) << index;
    }
    /* The rules must be there as long as the request. */
    if (request->candidates != 0)
        request->config = config_hold(app->config);
}

static void api_refuse(struct request *request, bool too_many, const char *message)
{
    const struct config_limits *limits = &request->app->config->limits;
    answer_give_error(request, &(struct answer_error){ .status = too_many ? 429 : 503,
                                                       .retry_after_s = limits->retry_after_s,
                                                       .message = message });
}

/* Its patience is at its end. When a slot is on its way already, it has the slot. */
static void api_on_impatient(struct weir_timer *timer, void *ctx)
{
    struct request *request = ctx;
    struct app *app = request->app;
    (void)timer;
    if (!limiter_leave(&app->mock->limiter, &request->waiter))
        return;
    request->limited = false;
    api_refuse(request, app->config->limits.concurrency.overflow == LIMITER_429,
               "waited too long for a free slot");
}

/* @return false: refused */
static bool api_take_slot(struct request *request)
{
    struct app *app = request->app;
    const struct limiter_limits *limits = &app->config->limits.concurrency;
    switch (limiter_acquire(&app->mock->limiter, &request->waiter)) {
    case LIMITER_GOT:
        request->limited = true;
        request->granted_ns = request->start_ns;
        weir_hist_record(app->stats.queue_wait_ns, 0);
        return true;
    case LIMITER_QUEUED:
        request->limited = true;
        if (limits->queue_timeout_ns != 0) {
            weir_timer_init(&request->timer, api_on_impatient, request);
            weir_timer_set(app->engine, &request->timer,
                           request->start_ns + limits->queue_timeout_ns);
        }
        return true;
    default:
        api_refuse(request, limits->overflow == LIMITER_429,
                   "too many requests are being served and wait");
        return false;
    }
}

static void api_take_head(struct request *request)
{
    struct app *app = request->app;
    const struct fault_head head = {
        .path = weir_exchange_path(request->exchange),
        .method = weir_exchange_method(request->exchange),
        .header = api_header,
        .ctx = request->exchange,
    };
    api_read_key(request);
    if (app->config->overrides && !api_read_override(request, &head))
        return;
    if ((app->rules_request | app->rules_health) != 0)
        api_find_rules(request, &head);
    if (request->endpoint == ENDPOINT_V1_MODEL)
        plan_take_model_id(request, head.path);
    if (request->endpoint == ENDPOINT_LOAD || request->endpoint == ENDPOINT_UNLOAD)
        plan_take_wait(request, weir_exchange_query(request->exchange));
    if (request->endpoint == ENDPOINT_HEALTH)
        request->granted_ns = request->start_ns; /* is there to be asked at any time */
    else
        (void)api_take_slot(request);
}

void api_begin(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
               enum method method)
{
    struct request *request = answer_begin(app, exchange, endpoint, method);
    if (request == NULL)
        return;
    request->ask.model = MODEL_UNKNOWN;
    request->task.run = api_on_task;
    app->in_flight++;
    api_take_head(request);
}

/* ---- Body -------------------------------------------------------------------------------- */

static void api_out_of_memory(struct request *request)
{
    answer_give_error(
        request,
        &(struct answer_error){ .status = 503, .type = "overloaded", .message = "out of memory" });
}

void api_body(struct request *request, struct weir_slice piece, bool last)
{
    request->body_bytes += (uint32_t)piece.len;
    if (last && request->text.len == 0) {
        plan_body(request, piece); /* all of it in one piece: no copy */
        return;
    }
    if (request->endpoint != ENDPOINT_MODELS && piece.len > 0)
        text_add(&request->text, (const char *)piece.ptr, piece.len);
    if (request->text.failed)
        api_out_of_memory(request);
    else if (last)
        plan_body(request, text_slice(&request->text));
}

void api_writable(struct request *request)
{
    if (request->wire != NULL)
        wire_writable(request->wire);
    else if (request->stream != NULL)
        stream_writable(request);
}

void api_peer_end(struct request *request)
{
    if (request->app->config->half_close)
        return;
    request->peer_ended = true;
    weir_exchange_abort(request->exchange, WEIR_ABORT_RST);
}
