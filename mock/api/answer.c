/* SPDX-License-Identifier: MIT */
#include "mock/api/answer.h"

#include "mock/api/api.h"
#include "mock/api/reply.h"
#include "mock/api/stream.h"

#include <errno.h>
#include <stdlib.h>

#define NS_PER_US 1000U

/* ---- Books ------------------------------------------------------------------------------- */

struct journal_record answer_record(struct app *app, const struct weir_exchange *exchange,
                                    enum endpoint endpoint, enum method method)
{
    uint64_t start_ns = weir_exchange_start_ns(exchange);
    return (struct journal_record){
        .seq = atomic_fetch_add_explicit(&app->mock->seq, 1, memory_order_relaxed) + 1,
        .start_ns = start_ns,
        /* To the resolution of one pass: reading the clock would cost more than the answer. */
        .delivered_ns = weir_engine_now_ns(app->engine) - start_ns,
        .conn = weir_exchange_conn(exchange),
        .thread = (uint16_t)app->index,
        .model = MODEL_UNKNOWN,
        .endpoint = (uint8_t)endpoint,
        .method = (uint8_t)method,
    };
}

static uint32_t answer_us(uint64_t ns)
{
    uint64_t us = ns / NS_PER_US;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* A delay counts only if there is nothing else. */
static enum fault_kind answer_fault_kind(const struct request *request)
{
    if (request->action != NULL && request->action->kind != FAULT_NONE)
        return request->action->kind;
    return request->fault_delay ? FAULT_DELAY : FAULT_NONE;
}

struct journal_record answer_request_record(const struct request *request, uint64_t now_ns)
{
    const struct app *app = request->app;
    uint64_t granted_ns = request->granted_ns != 0 ? request->granted_ns : now_ns;
    return (struct journal_record){
        .seq = request->seq,
        .start_ns = request->start_ns,
        .asked_ns = request->asked_ns,
        .delivered_ns = now_ns - request->start_ns,
        .ttft_ns = request->first_ns != 0 ? request->first_ns - request->start_ns : 0,
        .key = request->key,
        .conn = request->conn,
        .queue_us = answer_us(granted_ns - request->start_ns),
        .late_us = request->late_us,
        .body_bytes = request->body_bytes,
        .prompt_tokens = request->ask.prompt_tokens,
        .output_tokens = request->given_tokens,
        .thread = (uint16_t)app->index,
        .rule = request->rule != NULL ? request->rule->number : 0,
        .model = request->model,
        .fault_kind = (uint8_t)answer_fault_kind(request),
        .endpoint = request->endpoint,
        .method = request->method,
        .stream = request->ask.stream,
        .keyed = request->keyed,
    };
}

static void answer_note(struct app *app, const struct journal_record *record)
{
    journal_add(&app->journal, record);
    request_log_add(&app->mock->log, app->index, record);
}

void answer_count(struct app *app, const struct journal_record *record)
{
    struct stats *stats = &app->stats;
    switch (record->end) {
    case JOURNAL_ANSWERED:
        stats_answered(stats, (enum endpoint)record->endpoint, (enum method)record->method,
                       record->status, record->delivered_ns);
        break;
    case JOURNAL_CUT:
        stats->cut++;
        break;
    case JOURNAL_REFUSED:
        stats->refused++;
        break;
    case JOURNAL_DISCONNECT:
        stats->disconnects[record->phase]++;
        break;
    default:
        stats->given_up++;
        break;
    }
    answer_note(app, record);
}

/* ---- At once ----------------------------------------------------------------------------- */

/*
 * When there is no memory for an answer, the clients read too slowly for what they ask: the
 * connection is reset, which frees what it holds, and counted.
 */
static bool answer_respond(struct weir_exchange *exchange, struct journal_record *record,
                           const struct weir_response *response)
{
    int rc = weir_exchange_respond(exchange, response);
    if (rc == 0) {
        record->status = response->status;
        record->end = JOURNAL_ANSWERED;
        record->answer_bytes = record->method == METHOD_HEAD ? 0 : response->body.len;
        return true;
    }
    record->end = rc == -EPIPE ? JOURNAL_DISCONNECT : JOURNAL_GIVEN_UP;
    record->phase = JOURNAL_SENT;
    if (rc != -EPIPE)
        weir_exchange_abort(exchange, WEIR_ABORT_RST);
    return false;
}

bool answer_now(struct app *app, struct weir_exchange *exchange, struct journal_record *record,
                const struct answer *answer)
{
    char digits[TEXT_U64_BYTES];
    struct weir_header headers[2];
    struct weir_response response = {
        .status = answer->status,
        .content_type = answer->content_type,
        .headers = headers,
        .body = answer->body,
        .how = answer->how,
        .close = answer->close,
    };
    if (answer->header != NULL)
        headers[response.headers_count++] = *answer->header;
    if (answer->retry_after_s != 0) {
        size_t len = (size_t)(text_write_u64(digits, answer->retry_after_s) - digits);
        headers[response.headers_count++] =
            (struct weir_header){ WEIR_TEXT("Retry-After"), { (const uint8_t *)digits, len } };
        record->retry_after_s = answer->retry_after_s;
    }
    bool given = answer_respond(exchange, record, &response);
    if (record->end == JOURNAL_DISCONNECT)
        answer_note(app, record); /* on_end follows, which counts it */
    else
        answer_count(app, record);
    return given;
}

static void answer_error_text(struct text *out, enum endpoint endpoint,
                              const struct answer_error *error)
{
    reply_error(out, error->openai ? ENDPOINT_CHAT : endpoint,
                &(struct reply_problem){ .status = error->status,
                                         .type = error->type,
                                         .message = error->message,
                                         .field = error->field,
                                         .code = error->code });
}

bool answer_error_now(struct app *app, struct weir_exchange *exchange,
                      struct journal_record *record, const struct answer_error *error)
{
    struct text text = { 0 };
    answer_error_text(&text, (enum endpoint)record->endpoint, error);
    struct answer answer = {
        .status = error->status,
        .retry_after_s = error->retry_after_s,
        .content_type = ANSWER_JSON,
        .header = error->header,
        .close = error->close,
        /* Out of memory: the status says as much as there is room for. */
        .body = text.failed ? WEIR_TEXT("{\"error\":{}}") : text_slice(&text),
    };
    bool given = answer_now(app, exchange, record, &answer);
    text_free(&text);
    return given;
}

struct request *answer_begin(struct app *app, struct weir_exchange *exchange,
                             enum endpoint endpoint, enum method method)
{
    struct journal_record record = answer_record(app, exchange, endpoint, method);
    struct request *request = request_get(&app->pool);
    if (request == NULL) {
        answer_error_now(app, exchange, &record,
                         &(struct answer_error){ .status = 503,
                                                 .type = "overloaded",
                                                 .message = "too many requests in progress" });
        return NULL;
    }
    request->exchange = exchange;
    request->app = app;
    request->seq = record.seq;
    request->conn = record.conn;
    request->start_ns = record.start_ns;
    request->endpoint = (uint8_t)endpoint;
    request->method = (uint8_t)method;
    request->model = MODEL_UNKNOWN;
    weir_exchange_set_user(exchange, request);
    return request;
}

/* ---- Fields ------------------------------------------------------------------------------ */

static void fields_add(struct answer_fields *out, struct weir_slice name, const char *value,
                       size_t len)
{
    out->fields[out->count++] = (struct weir_header){ name, { (const uint8_t *)value, len } };
}

static void fields_number(struct answer_fields *out, struct weir_slice name, uint64_t value)
{
    char *at = out->text + out->used;
    size_t len = (size_t)(text_write_u64(at, value) - at);
    out->used += (uint32_t)len;
    fields_add(out, name, at, len);
}

static void fields_reset(struct answer_fields *out, struct weir_slice name, uint64_t ns)
{
    char *at = out->text + out->used;
    quota_format_reset(at, ns);
    size_t len = strlen(at);
    out->used += (uint32_t)len;
    fields_add(out, name, at, len);
}

static void fields_quota(struct answer_fields *out, const struct request *request)
{
    const struct quota_view *requests = &request->quota_requests;
    const struct quota_view *tokens = &request->quota_tokens;
    if (requests->limit != 0) {
        fields_number(out, WEIR_TEXT("x-ratelimit-limit-requests"), requests->limit);
        fields_number(out, WEIR_TEXT("x-ratelimit-remaining-requests"), requests->remaining);
        fields_reset(out, WEIR_TEXT("x-ratelimit-reset-requests"), requests->reset_ns);
    }
    if (tokens->limit != 0) {
        fields_number(out, WEIR_TEXT("x-ratelimit-limit-tokens"), tokens->limit);
        fields_number(out, WEIR_TEXT("x-ratelimit-remaining-tokens"), tokens->remaining);
        fields_reset(out, WEIR_TEXT("x-ratelimit-reset-tokens"), tokens->reset_ns);
    }
}

void answer_fields_fill(struct answer_fields *out, const struct request *request,
                        uint32_t retry_after_s, const struct weir_header *more)
{
    uint64_t granted_ns =
        request->granted_ns != 0 ? request->granted_ns : weir_engine_now_ns(request->app->engine);
    out->count = out->used = 0;
    fields_number(out, WEIR_TEXT("X-Mock-Delay-Us"), request->first_asked_ns / NS_PER_US);
    fields_number(out, WEIR_TEXT("X-Mock-Queue-Us"), (granted_ns - request->start_ns) / NS_PER_US);
    fields_number(out, WEIR_TEXT("X-Mock-Seq"), request->seq);
    if (app_saturated(request->app))
        fields_add(out, WEIR_TEXT("X-Mock-Saturated"), "1", 1);
    if (retry_after_s != 0)
        fields_number(out, WEIR_TEXT("Retry-After"), retry_after_s);
    fields_quota(out, request);
    if (more != NULL)
        out->fields[out->count++] = *more;
}

/* ---- When it is due ---------------------------------------------------------------------- */

bool answer_head_is_sent(const struct request *request)
{
    const struct wire *wire = request->wire;
    enum fault_kind kind = request->action->kind;
    return kind != FAULT_PARTIAL_HEADERS && kind != FAULT_GARBAGE && wire->sent > 0 &&
           wire->sent >= wire->head_end;
}

static void answer_on_wire_over(struct wire *wire, void *ctx)
{
    struct request *request = ctx;
    const struct stream *stream = request->stream;
    if (stream != NULL && request->ask.stream && stream->last_due_ns > request->granted_ns)
        request->asked_ns = stream->last_due_ns - request->granted_ns;
    uint64_t now_ns = weir_engine_clock_ns(request->app->engine);
    struct journal_record record = answer_request_record(request, now_ns);
    record.status = request->wire_status;
    record.retry_after_s = request->retry_after_s;
    record.answer_bytes = wire->sent_bytes;
    if (request->ask.stream)
        record.output_tokens = wire->sent_tokens * request->ask.choices_count;
    record.end = wire->cut ? JOURNAL_CUT : JOURNAL_ANSWERED;
    record.phase = request->ask.stream ? JOURNAL_STREAMING : JOURNAL_SENT;
    if (!answer_head_is_sent(request)) {
        record.status = 0;
        record.retry_after_s = 0;
        if (wire->sent == 0)
            record.phase = JOURNAL_DELAYED;
    }
    if (!request->ask.stream && wire->cut && wire->sent_bytes == 0)
        record.output_tokens = 0; /* none of the body has left */
    api_over(request, &record);
}

bool answer_begin_wire(struct request *request, const struct answer *answer, int64_t body_bytes,
                       uint32_t tokens)
{
    struct answer_fields fields;
    answer_fields_fill(&fields, request, answer->retry_after_s, answer->header);
    request->wire = malloc(sizeof *request->wire);
    request->wire_status = answer->status;
    request->retry_after_s = answer->retry_after_s;
    if (request->wire == NULL) {
        struct journal_record record =
            answer_request_record(request, weir_engine_clock_ns(request->app->engine));
        record.end = JOURNAL_GIVEN_UP;
        weir_exchange_abort(request->exchange, WEIR_ABORT_RST);
        api_over(request, &record);
        return false;
    }
    request->state = REQUEST_WIRE;
    wire_begin(request->wire, &(struct wire_start){
                                  .exchange = request->exchange,
                                  .action = request->action,
                                  .seed = request->app->config->seed,
                                  .key = request->key,
                                  .status = answer->status,
                                  .content_type = answer->content_type,
                                  .headers = fields.fields,
                                  .headers_count = fields.count,
                                  .body_bytes = body_bytes,
                                  .tokens_count = tokens,
                                  .head = request->method == METHOD_HEAD,
                                  .on_over = answer_on_wire_over,
                                  .ctx = request,
                              });
    return true;
}

/* Half of it: no parser takes that for the whole. */
static struct weir_slice answer_break_json(struct weir_slice body)
{
    return (struct weir_slice){ body.ptr, body.len / 2 };
}

void answer_give(struct request *request, const struct answer *answer)
{
    struct app *app = request->app;
    struct answer given = *answer;
    if (api_struck_by(request, FAULT_BAD_JSON))
        given.body = answer_break_json(given.body);
    if (request->action != NULL && wire_does(request->action->kind)) {
        if (!answer_begin_wire(request, &given, (int64_t)given.body.len, 0))
            return;
        struct wire *wire = request->wire;
        if (!wire->over)
            wire_write(wire, given.body, 0);
        if (!wire->over)
            wire_finish(wire);
        return;
    }
    struct answer_fields fields;
    answer_fields_fill(&fields, request, given.retry_after_s, given.header);
    uint64_t now_ns = weir_engine_clock_ns(app->engine);
    struct journal_record record = answer_request_record(request, now_ns);
    record.retry_after_s = given.retry_after_s;
    const struct weir_response response = {
        .status = given.status,
        .content_type = given.content_type,
        .headers = fields.fields,
        .headers_count = fields.count,
        .body = given.body,
        .how = given.how,
    };
    bool well = answer_respond(request->exchange, &record, &response);
    if (!well && record.end == JOURNAL_DISCONNECT)
        return; /* on_end follows and tells why */
    if (well && given.how == WEIR_BODY_BORROW)
        request->state = REQUEST_ANSWERED;
    if (well && request->delayed)
        schedule_given(&app->schedule, request->due_ns);
    else
        schedule_active(&app->schedule);
    api_over(request, &record);
}

void answer_give_error(struct request *request, const struct answer_error *error)
{
    struct text text = { 0 };
    answer_error_text(&text, (enum endpoint)request->endpoint, error);
    answer_give(request, &(struct answer){
                             .status = error->status,
                             .retry_after_s = error->retry_after_s,
                             .content_type = ANSWER_JSON,
                             .header = error->header,
                             .body = text.failed ? WEIR_TEXT("{\"error\":{}}") : text_slice(&text),
                         });
    text_free(&text);
}
