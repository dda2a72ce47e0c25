/* SPDX-License-Identifier: MIT */
#include "mock/api/stream.h"

#include "mock/api/answer.h"
#include "mock/api/api.h"
#include "mock/api/canned.h"
#include "mock/api/plan.h"
#include "mock/api/words.h"

#include <errno.h>
#include <stdlib.h>

/* What one turn of one stream may render: a stream without gaps does not hold up the others. */
#define TURN_BYTES_MAX  65536U
#define TURN_TOKENS_MAX 1024U

/* Tokens together that are worth a piece of their own: 19 us of CPU time for 500 become 13. */
#define CANNED_TOKENS_MIN 64U
/* Of these, how many are rendered between two looks at how many bytes that became. */
#define TOGETHER_MAX 1024U

#define EVENT_STREAM WEIR_TEXT("text/event-stream")

static void stream_go(struct request *request);

struct reply stream_reply(const struct request *request)
{
    const struct app *app = request->app;
    return (struct reply){
        .endpoint = (enum endpoint)request->endpoint,
        .seed = app->config->seed,
        .key = request->key,
        .created_s = app->mock->started_s +
                     (int64_t)((request->start_ns - app->mock->started_ns) / 1000000000U),
        .model = request->ask.model_name,
        .prompt_tokens = request->ask.prompt_tokens,
        .output_tokens = request->output_tokens,
        .cached_tokens = request->cached_tokens,
        .choices_count = request->ask.choices_count,
        .include_usage = request->ask.include_usage,
        .finish = (enum reply_finish)request->finish,
    };
}

/* ---- Counting ---------------------------------------------------------------------------- */

static void stream_count_first(struct request *request, uint64_t now_ns)
{
    stats_first_token(&request->app->stats, request->ask.model, now_ns - request->start_ns,
                      request->ask.prompt_tokens, request->ask.choices_count);
    request->first_ns = request->last_ns = now_ns;
}

void stream_count_whole(struct request *request)
{
    uint64_t now_ns = weir_engine_clock_ns(request->app->engine);
    stream_count_first(request, now_ns);
    if (request->output_tokens > 1)
        stats_next_tokens(&request->app->stats, request->ask.model, 0,
                          (request->output_tokens - 1) * request->ask.choices_count);
}

static void stream_count_tokens(struct request *request, uint32_t count, uint64_t now_ns)
{
    struct app *app = request->app;
    uint32_t choices = request->ask.choices_count;
    if (request->first_ns == 0) {
        stream_count_first(request, now_ns);
        count--;
    }
    if (count > 0) {
        /* Those that came together came one gap after the one before, and at once. */
        stats_next_tokens(&app->stats, request->ask.model, now_ns - request->last_ns, choices);
        if (count > 1)
            stats_next_tokens(&app->stats, request->ask.model, 0, (count - 1) * choices);
        request->last_ns = now_ns;
    }
}

static void stream_note_late(struct request *request, uint64_t due_ns, uint64_t now_ns)
{
    const struct stream *stream = request->stream;
    /* The client did not read; or it was not to come later than what came before it. */
    if (due_ns < stream->unblocked_ns || due_ns <= request->granted_ns ||
        due_ns == stream->last_due_ns)
        return;
    uint64_t late_us = now_ns > due_ns ? (now_ns - due_ns) / 1000 : 0;
    if (late_us > request->late_us)
        request->late_us = late_us < UINT32_MAX ? (uint32_t)late_us : UINT32_MAX;
    schedule_given(&request->app->schedule, due_ns);
}

/* ---- What the events are ----------------------------------------------------------------- */

/* Break the event that begins at `from`, in one way or the other. */
static void stream_break_event(struct text *out, size_t from, enum fault_kind kind)
{
    size_t len = out->len - from;
    if (kind == FAULT_BAD_JSON) {
        out->len = from + len / 2; /* the object ends in its middle, the event does not */
        text_put(out, "\n\n");
    } else {
        /* A field that is none, and a byte that is not UTF-8: the event is lost. */
        memcpy(out->ptr + from, "d\xffta", 4);
    }
}

/* Token `index` as an event, with the fault that this event has. */
static void stream_event(struct request *request, struct text *out, uint32_t index)
{
    struct stream *stream = request->stream;
    const struct fault_action *action = request->action;
    size_t from = out->len;
    reply_token(out, &stream->reply, index);
    if (action == NULL || out->failed || index + 1 != action->events)
        return;
    if (action->kind == FAULT_DUP_FRAME)
        reply_token(out, &stream->reply, index);
    else if (action->kind == FAULT_BAD_JSON || action->kind == FAULT_BAD_SSE)
        stream_break_event(out, from, action->kind);
}

/* ---- Giving ------------------------------------------------------------------------------ */

static void stream_end(struct request *request, enum journal_end end)
{
    struct stream *stream = request->stream;
    request->asked_ns = stream->last_due_ns > request->granted_ns
                            ? stream->last_due_ns - request->granted_ns
                            : request->first_asked_ns;
    struct journal_record record =
        answer_request_record(request, weir_engine_clock_ns(request->app->engine));
    record.status = 200;
    record.answer_bytes = stream->bytes;
    record.end = (uint8_t)end;
    record.phase = JOURNAL_STREAMING;
    api_over(request, &record);
}

static bool stream_begin_head(struct request *request)
{
    struct stream *stream = request->stream;
    struct answer answer = { .status = 200, .content_type = EVENT_STREAM };
    struct weir_header no_cache = { WEIR_TEXT("Cache-Control"), WEIR_TEXT("no-cache") };
    answer.header = &no_cache;
    stream->begun = true;
    if (request->action != NULL && wire_does(request->action->kind))
        return answer_begin_wire(request, &answer, -1, request->output_tokens) &&
               !request->wire->over; /* else the stream has gone with it */
    struct answer_fields fields;
    answer_fields_fill(&fields, request, 0, answer.header);
    request->state = REQUEST_STREAM;
    int rc = weir_exchange_begin(request->exchange,
                                 &(struct weir_response){ .status = 200,
                                                          .content_type = answer.content_type,
                                                          .headers = fields.fields,
                                                          .headers_count = fields.count });
    if (rc == 0)
        return true;
    if (rc == -ENOBUFS) {
        stream->begun = false;
        stream->blocked = true;
        return false;
    }
    if (rc != -EPIPE)
        weir_exchange_abort(request->exchange, WEIR_ABORT_RST);
    return false; /* on_end follows */
}

/* Give what was rendered; what finds no room stays. @return false: no more for now */
static bool stream_flush(struct request *request, struct text *out)
{
    struct stream *stream = request->stream;
    if (out->len == 0)
        return true;
    int rc = weir_exchange_write(request->exchange, text_slice(out));
    if (rc == 0) {
        stream->bytes += out->len;
        out->len = 0;
        return true;
    }
    if (rc != -ENOBUFS) {
        out->len = 0; /* on_end follows */
        return false;
    }
    if (out != &stream->pending) {
        text_add(&stream->pending, out->ptr, out->len);
        out->len = 0;
    }
    stream->blocked = true;
    if (stream->pending.failed)
        weir_exchange_abort(request->exchange, WEIR_ABORT_RST);
    return false;
}

/* The events behind the last token. */
static void stream_render_end(struct request *request, struct text *out)
{
    struct stream *stream = request->stream;
    if (stream->index >= stream->break_at) {
        reply_error_event(out, &stream->reply, request->action->status, "an error was asked for");
        return;
    }
    reply_end_stream(out, &stream->reply);
    if (!api_struck_by(request, FAULT_DROP_DONE))
        reply_done(out, &stream->reply);
}

static bool stream_is_last(const struct stream *stream)
{
    return stream->index >= stream->reply.output_tokens || stream->index >= stream->break_at;
}

/* Hand what was rendered to the wire, as one event. @return false: the wire is done, and with it
 * the stream */
static bool stream_wire(struct request *request, struct text *out, uint32_t tokens)
{
    if (out->len > 0)
        wire_write(request->wire, text_slice(out), tokens);
    out->len = 0;
    return !request->wire->over;
}

static bool stream_is_due(const struct stream *stream, uint64_t now_ns)
{
    return stream->by_replica ? stream->index < stream->available : stream->due_ns <= now_ns;
}

/* Tokens from the next one on that are due at the same time, and to which nothing happens. */
static uint32_t stream_count_alike(const struct request *request)
{
    const struct stream *stream = request->stream;
    uint32_t end = stream->reply.output_tokens;
    if (request->action != NULL || (!stream->by_replica && stream->gap_fixed_ns != 0))
        return 1;
    if (stream->by_replica && stream->available < end)
        end = stream->available;
    uint32_t count = end - stream->index;
    return count < TOGETHER_MAX ? count : TOGETHER_MAX;
}

/* Behind `count` tokens that were due at the same time. */
static void stream_advance(struct request *request, uint32_t count)
{
    struct stream *stream = request->stream;
    stream->index += count;
    stream->last_due_ns = stream->due_ns;
    if (!stream->by_replica && !stream_is_last(stream))
        stream->due_ns = plan_add_ns(stream->due_ns, stream->gap_fixed_ns != UINT64_MAX
                                                         ? stream->gap_fixed_ns
                                                         : plan_gap_ns(request, stream->index));
}

static void stream_on_piece_free(struct weir_piece *piece, int err)
{
    (void)err; /* on_end says what became of the answer */
    free(piece);
}

/*
 * Give the next `count` tokens, which are alike, as they lie ready: neither rendered nor copied.
 * @return false: they are not, or there is no room; then nothing was given
 */
static bool stream_give_canned(struct request *request, uint32_t count)
{
    struct stream *stream = request->stream;
    uint32_t start = words_start(stream->reply.seed, stream->reply.key, 0);
    struct weir_slice bytes = canned_tokens(start, stream->index, count);
    struct weir_piece *piece = bytes.len > 0 ? malloc(sizeof *piece) : NULL;
    if (piece == NULL)
        return false;
    *piece = (struct weir_piece){ .data = bytes, .on_free = stream_on_piece_free };
    if (weir_exchange_write_piece(request->exchange, piece) < 0) {
        free(piece);
        return false;
    }
    stream->bytes += bytes.len;
    return true;
}

/* Are the next `count` tokens worth it, and is nothing before them that is not given? */
static bool stream_can_canned(const struct request *request, const struct text *out, uint32_t count)
{
    return count >= CANNED_TOKENS_MIN && out->len == 0 && request->wire == NULL &&
           request->endpoint == ENDPOINT_INFER && request->method != METHOD_HEAD;
}

/* All tokens that are due, or as many as one turn may. @return false: the stream is over */
static bool stream_render(struct request *request, struct text *out, uint64_t now_ns)
{
    struct stream *stream = request->stream;
    uint32_t given = 0;
    while (!stream_is_last(stream) && stream_is_due(stream, now_ns) && given < TURN_TOKENS_MAX &&
           out->len < TURN_BYTES_MAX) {
        uint32_t count = stream_count_alike(request);
        if (stream_can_canned(request, out, count) && stream_give_canned(request, count))
            ; /* they are on their way */
        else if (count > 1)
            reply_tokens(out, &stream->reply, stream->index, count);
        else
            stream_event(request, out, stream->index);
        stream_note_late(request, stream->due_ns, now_ns);
        stream_advance(request, count);
        given += count;
        if (request->wire != NULL) {
            stream_count_tokens(request, 1, now_ns);
            if (!stream_wire(request, out, 1))
                return false;
        }
    }
    if (given > 0 && request->wire == NULL)
        stream_count_tokens(request, given, now_ns);
    request->given_tokens += given * request->ask.choices_count;
    return true;
}

/* The last event was given: that was all. */
static void stream_finish(struct request *request)
{
    struct stream *stream = request->stream;
    if (request->wire != NULL) {
        wire_finish(request->wire); /* it says when it is over */
        return;
    }
    int rc = weir_exchange_finish(request->exchange);
    if (rc == -ENOBUFS)
        stream->blocked = true;
    else if (rc == 0)
        stream_end(request, stream->index >= stream->break_at ? JOURNAL_CUT : JOURNAL_ANSWERED);
}

static void stream_on_due(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    stream_go(ctx);
}

/* Nothing of a stream was touched since its last token. The lines come while others are waited for,
 * and the exchange's own while the event is made. With these, over unix sockets, the time that the
 * timer, the stream and the write wait for memory fell from 15 to 10 % of a busy core. */
static void stream_prefetch(const struct request *request)
{
    const char *stream = (const char *)request->stream;
    __builtin_prefetch(request->exchange);
    __builtin_prefetch(stream);
    __builtin_prefetch(stream + 64);
    __builtin_prefetch(stream + 128);
}

/* Give everything that is due. */
static void stream_go(struct request *request)
{
    struct app *app = request->app;
    struct stream *stream = request->stream;
    struct text *out = &app->scratch;
    stream_prefetch(request);
    uint64_t now_ns = weir_engine_clock_ns(app->engine);
    if (stream->blocked || stream->given)
        return;
    weir_exchange_prefetch(request->exchange);
    out->len = 0;
    out->failed = false;
    if (!stream->begun) {
        if (!stream_begin_head(request))
            return;
        reply_begin_stream(out, &stream->reply);
        if (request->wire != NULL && !stream_wire(request, out, 0))
            return;
    }
    if (!stream_render(request, out, now_ns))
        return;
    if (stream_is_last(stream)) {
        stream->given = true;
        stream_render_end(request, out);
        if (request->wire != NULL && !stream_wire(request, out, 0))
            return;
    }
    if (out->failed)
        weir_exchange_abort(request->exchange, WEIR_ABORT_RST); /* on_end follows */
    else if (request->wire == NULL && !stream_flush(request, out))
        return;
    else if (stream->given)
        stream_finish(request);
    else if (!stream->by_replica || stream_is_due(stream, now_ns))
        weir_timer_set(app->engine, &request->timer, stream->due_ns);
}

void stream_writable(struct request *request)
{
    struct stream *stream = request->stream;
    if (!stream->blocked)
        return;
    stream->blocked = false;
    stream->unblocked_ns = weir_engine_clock_ns(request->app->engine);
    if (!stream_flush(request, &stream->pending))
        return;
    if (stream->given)
        stream_finish(request);
    else if (stream_is_due(stream, stream->unblocked_ns))
        stream_go(request);
    else if (!stream->by_replica)
        weir_timer_set(request->app->engine, &request->timer, stream->due_ns);
}

/* ---- Life -------------------------------------------------------------------------------- */

/* Behind which token does it break off? */
static uint32_t stream_break_at(const struct request *request)
{
    const struct fault_action *action = request->action;
    if (!api_struck_by(request, FAULT_STATUS_IN_STREAM))
        return UINT32_MAX;
    if (action->at == FAULT_AT_FRACTION)
        return (uint32_t)(action->at_fraction * request->output_tokens);
    return action->at_count < UINT32_MAX ? (uint32_t)action->at_count : UINT32_MAX;
}

static uint64_t stream_fixed_gap(const struct request *request)
{
    const struct app *app = request->app;
    if (request->override != NULL && request->override->itl.given)
        return UINT64_MAX;
    return app->config->engine.kind == CONFIG_ENGINE_LINEAR ? request->gap_ns : app->gap_fixed_ns;
}

bool stream_begin(struct request *request, uint64_t due_ns)
{
    struct app *app = request->app;
    struct stream *stream = malloc(sizeof *stream);
    if (stream == NULL) {
        answer_give_error(request, &(struct answer_error){ .status = 503,
                                                           .type = "overloaded",
                                                           .message = "out of memory" });
        return false;
    }
    *stream = (struct stream){
        .reply = stream_reply(request),
        .due_ns = due_ns,
        .by_replica = due_ns == 0,
        .gap_fixed_ns = stream_fixed_gap(request),
        .break_at = stream_break_at(request),
        /* What was due before all of the request was there is not late by our fault. */
        .unblocked_ns = weir_engine_now_ns(app->engine),
    };
    if (stream->gap_fixed_ns == UINT64_MAX && request->config == NULL)
        request->config = config_hold(app->config);
    request->stream = stream;
    request->delayed = true;
    app->streams++;
    if (!request->ask.stream)
        return true;
    reply_prepare(&stream->reply, &stream->events);
    weir_timer_init(&request->timer, stream_on_due, request);
    if (stream->by_replica)
        return true;
    if (due_ns <= weir_engine_now_ns(app->engine))
        stream_go(request);
    else
        weir_timer_set(app->engine, &request->timer, due_ns);
    return true;
}

void stream_over(struct request *request)
{
    struct stream *stream = request->stream;
    request->app->streams--;
    text_free(&stream->pending);
    free(stream);
    request->stream = NULL;
}

/* ---- By a replica ------------------------------------------------------------------------ */

static void stream_on_admitted(void *owner, uint32_t cached_tokens, uint64_t at_ns)
{
    struct request *request = owner;
    if (request->first_ns != 0)
        return; /* again, after a preemption */
    request->cached_tokens = cached_tokens;
    request->admitted_ns = at_ns;
    request->stream->reply.cached_tokens = cached_tokens;
}

static void stream_on_token(void *owner, uint32_t count, bool last, uint64_t due_ns)
{
    struct request *request = owner;
    struct stream *stream = request->stream;
    if (last)
        request->replica = NULL;
    if (count == 1 && request->ask.stream)
        request->first_asked_ns = due_ns - request->granted_ns;
    stream->available = count;
    stream->due_ns = due_ns;
    if (request->ask.stream) {
        stream_go(request);
        return;
    }
    stream_count_tokens(request, 1, weir_engine_clock_ns(request->app->engine));
    if (!last)
        return;
    request->due_ns = due_ns;
    request->asked_ns = request->first_asked_ns = due_ns - request->granted_ns;
    request->delayed = due_ns >= stream->unblocked_ns;
    plan_answer(request);
}

const struct replica_handler stream_replica_handler = {
    .on_admitted = stream_on_admitted,
    .on_token = stream_on_token,
};
