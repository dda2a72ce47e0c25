/* SPDX-License-Identifier: MIT */
/*
 * Two halves: what is added to `pending` (head, chunks, what the fault puts in their place, up to
 * the point where it seals the answer), and pump(), which lets it go when it may leave and then
 * ends the answer as the fault wants it.
 *
 *   FLOWING <--> STALLED
 *      |            |
 *      |            +--- the client has gone ---------------------+
 *      +--- all is sent ---> ENDED                                |
 *      |                       ^                                  |
 *      +---> HOLDING --- time -+----------------------------------+
 *
 * STALLED: at its point, until its time is over. HOLDING: the answer is over, the connection stays
 * for a while (SLOW_CLOSE: open, HALF_CLOSE: ended by half). ENDED: nothing is left to be done.
 */
#include "mock/fault/wire.h"

#include <weir/http1.h>
#include <weir/random.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum wire_state { WIRE_FLOWING, WIRE_STALLED, WIRE_HOLDING, WIRE_ENDED };

/* A part of `pending`: the head, or a piece of the body with its framing. */
struct wire_span {
    uint64_t at, end;           /* where it begins, and behind it */
    uint64_t data_at, data_end; /* of the body's bytes in it */
    uint64_t body_at;           /* of the first of them in the body */
    uint32_t tokens;            /* complete with data_end */
};

__extension__ typedef unsigned __int128 wire_u128;

#define NOWHERE UINT64_MAX

/* At most so many bytes in one write, so that a connection's queue, which is longer, fills well. */
#define WRITE_BYTES_MAX (64u * 1024)

/* Gone bytes of `pending` are moved out when they are as many, and half of it. */
#define COMPACT_BYTES (64u * 1024)

#define GARBAGE_BYTES      64u          /* if the rule does not say how many */
#define GARBAGE_STEP_BYTES (16u * 1024) /* made at once */
#define GARBAGE_DRAW       (UINT64_C(0x77697265) << 32)

/* No chunk size (RFC 9112 section 7.1). */
static const char bad_size[] = "zz\r\n";

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool wire_does(enum fault_kind kind)
{
    switch (kind) {
    case FAULT_RESET:
    case FAULT_FIN:
    case FAULT_EMPTY:
    case FAULT_TRUNCATE:
    case FAULT_GARBAGE:
    case FAULT_BAD_CHUNK:
    case FAULT_SPLIT:
    case FAULT_COALESCE:
    case FAULT_WRONG_LENGTH:
    case FAULT_PARTIAL_HEADERS:
    case FAULT_STALL:
    case FAULT_DRIBBLE:
    case FAULT_BANDWIDTH:
    case FAULT_SLOW_CLOSE:
    case FAULT_HALF_CLOSE:
        return true;
    default:
        return false;
    }
}

static enum fault_kind kind_of(const struct wire *wire)
{
    return wire->start.action->kind;
}

static uint64_t now_of(const struct wire *wire)
{
    return weir_engine_now_ns(weir_exchange_engine(wire->start.exchange));
}

/* ---- The end ----------------------------------------------------------------------------- */

static void wake_at(struct wire *wire, uint64_t deadline_ns)
{
    weir_timer_set(weir_exchange_engine(wire->start.exchange), &wire->timer, deadline_ns);
}

/* Nothing more will be sent. The wire may be gone when this returns. */
static void over(struct wire *wire)
{
    wire->over = true;
    wire->cut = !wire->whole || wire->sent < wire->added || wire->garbage_left > 0;
    if (wire->start.on_over != NULL)
        wire->start.on_over(wire, wire->start.ctx);
}

static void end(struct wire *wire, enum weir_abort how)
{
    bool told = wire->over;
    wire->state = WIRE_ENDED;
    weir_timer_cancel(&wire->timer);
    weir_exchange_abort(wire->start.exchange, how);
    if (!told)
        over(wire);
}

/* The connection is going away by itself. */
static void lost(struct wire *wire)
{
    wire->state = WIRE_ENDED;
    weir_timer_cancel(&wire->timer);
    over(wire);
}

/* Wait in the state for the action's duration; for ever is until wire_abandon(). */
static void wait_in(struct wire *wire, enum wire_state state)
{
    uint64_t now = now_of(wire), duration = wire->start.action->duration_ns;
    wire->state = (uint8_t)state;
    if (duration != FAULT_FOREVER)
        wake_at(wire, duration < UINT64_MAX - now ? now + duration : UINT64_MAX - 1);
}

static enum weir_abort abort_of(const struct wire *wire)
{
    bool reset = kind_of(wire) == FAULT_RESET || wire->start.action->rst;
    return kind_of(wire) != FAULT_FIN && reset ? WEIR_ABORT_RST_SENT : WEIR_ABORT_FIN;
}

/* The end of an answer that the fault left whole. */
static void end_regular(struct wire *wire)
{
    /* Towards HTTP/1.0 the connection's end is that of the body, which the client did not ask for.
     */
    if (wire->framing == WEIR_HTTP1_BODY_EOF) {
        end(wire, WEIR_ABORT_FIN);
        return;
    }
    int rc = weir_exchange_finish(wire->start.exchange);
    if (rc == -ENOBUFS)
        wire->blocked = true;
    else if (rc < 0)
        lost(wire);
    else {
        wire->state = WIRE_ENDED;
        over(wire);
    }
}

/* All that is to be sent was given to the server. */
static void conclude(struct wire *wire)
{
    switch (kind_of(wire)) {
    case FAULT_SPLIT:
    case FAULT_COALESCE:
    case FAULT_STALL:
    case FAULT_DRIBBLE:
    case FAULT_BANDWIDTH:
        end_regular(wire);
        break;
    case FAULT_HALF_CLOSE:
        weir_exchange_shutdown(wire->start.exchange);
        wait_in(wire, WIRE_HOLDING);
        /* The server itself sees to it that the client ends it. */
        if (wire->start.action->duration_ns == FAULT_FOREVER)
            weir_timer_cancel(&wire->timer);
        over(wire);
        break;
    case FAULT_SLOW_CLOSE:
        wait_in(wire, WIRE_HOLDING);
        over(wire);
        break;
    default:
        end(wire, abort_of(wire));
        break;
    }
}

/* ---- Letting bytes go -------------------------------------------------------------------- */

static struct wire_span *first_span(const struct wire *wire)
{
    if (wire->spans_done == wire->spans.len)
        return NULL;
    return (struct wire_span *)(void *)(wire->spans.ptr + wire->spans_done);
}

/* The books of what was sent. */
static void count_sent(struct wire *wire)
{
    struct wire_span *span = NULL;
    while ((span = first_span(wire)) != NULL) {
        uint64_t upto = least(wire->sent, span->data_end);
        if (upto > span->data_at)
            wire->sent_bytes = span->body_at + (upto - span->data_at);
        if (wire->sent >= span->data_end) {
            wire->sent_tokens += span->tokens;
            span->tokens = 0;
        }
        if (wire->sent < span->end)
            return;
        wire->spans_done += sizeof *span;
    }
    wire->spans.len = wire->spans_done = 0;
}

/* Take bytes off the front. */
static void gone(struct wire *wire, size_t bytes)
{
    struct text *pending = &wire->pending;
    wire->done += bytes;
    wire->sent += bytes;
    if (wire->credit != NOWHERE)
        wire->credit -= bytes;
    if (wire->done == pending->len ||
        (wire->done >= COMPACT_BYTES && wire->done >= pending->len / 2)) {
        pending->len -= wire->done;
        memmove(pending->ptr, pending->ptr + wire->done, pending->len);
        wire->done = 0;
    }
    count_sent(wire);
}

/* How many bytes are the next step of a dribble. */
static uint64_t dribble_step(const struct wire *wire)
{
    const struct fault_action *action = wire->start.action;
    const struct wire_span *span = first_span(wire);
    if (action->chunks == 0)
        return most(action->bytes, 1);
    if (wire->framing != WEIR_HTTP1_BODY_LENGTH) { /* nobody knows how long it is: each event */
        uint64_t len = span->end - span->at;
        return least(len / action->chunks + (len % action->chunks != 0), span->end - wire->sent);
    }
    /* The ends of the pieces are parts of the whole, so that no rounding adds up. */
    uint64_t body = (uint64_t)wire->start.body_bytes, sent = wire->sent - wire->head_end;
    uint64_t pieces = most(least(action->chunks, body), 1);
    wire_u128 index = (wire_u128)sent * pieces / most(body, 1) + 1;
    return (uint64_t)((index * body + pieces - 1) / pieces) - sent;
}

/* May anything leave of the bytes that wait? If not, the timer is set. */
static bool earn(struct wire *wire, uint64_t wait)
{
    uint64_t due_ns = 0, step = wait;
    if (wire->credit > 0)
        return true;
    if (kind_of(wire) == FAULT_DRIBBLE && wire->sent < wire->head_end) {
        wire->credit = wire->head_end - wire->sent; /* it is the body that dribbles */
        return true;
    }
    if (kind_of(wire) == FAULT_DRIBBLE)
        step = dribble_step(wire);
    else if (kind_of(wire) == FAULT_SPLIT)
        step = least(most(wire->start.action->bytes, 1), first_span(wire)->end - wire->sent);
    wire->credit = trickle_take(&wire->trickle, now_of(wire), step, wait, &due_ns);
    if (wire->credit == 0)
        wake_at(wire, due_ns);
    return wire->credit > 0;
}

/* How many bytes wait that nothing but their pace keeps back. */
static uint64_t waiting(const struct wire *wire)
{
    uint64_t upto = least(wire->added, wire->release);
    if (!wire->stalled)
        upto = least(upto, wire->stall_at);
    return upto - wire->sent;
}

/* @return false: not all of it could be given to the server */
static bool drain(struct wire *wire)
{
    uint64_t wait = 0;
    while ((wait = waiting(wire)) > 0) {
        if (!earn(wire, wait))
            return false;
        size_t n = least(least(wait, wire->credit), WRITE_BYTES_MAX);
        struct weir_slice piece = { (const uint8_t *)wire->pending.ptr + wire->done, n };
        int rc = weir_exchange_write(wire->start.exchange, piece);
        if (rc == -ENOBUFS) {
            wire->blocked = true;
            trickle_rest(&wire->trickle);
            return false;
        }
        if (rc < 0) {
            lost(wire);
            return false;
        }
        gone(wire, n);
    }
    trickle_rest(&wire->trickle);
    return true;
}

static void add_garbage(struct wire *wire);

/* The last thing that every call does: the wire may be gone when it returns. */
static void pump(struct wire *wire)
{
    if (wire->over || wire->blocked || wire->state != WIRE_FLOWING)
        return;
    do {
        if (wire->garbage_left > 0 && wire->sent == wire->added)
            add_garbage(wire);
        if (wire->pending.failed || wire->spans.failed) { /* out of memory */
            end(wire, WEIR_ABORT_RST_SENT);
            return;
        }
        if (!drain(wire))
            return;
    } while (wire->garbage_left > 0);
    if (!wire->stalled && wire->sent == wire->stall_at) {
        wait_in(wire, WIRE_STALLED);
        return;
    }
    if (wire->sent == wire->added && (wire->sealed || wire->finished))
        conclude(wire);
}

/* The stall, or what follows the answer, is over. */
static void wait_over(struct wire *wire)
{
    if (wire->state == WIRE_HOLDING) {
        end(wire, WEIR_ABORT_FIN);
    } else {
        wire->state = WIRE_FLOWING;
        wire->stalled = true;
        pump(wire);
    }
}

static void on_timer(struct weir_timer *timer, void *ctx)
{
    struct wire *wire = ctx;
    (void)timer;
    if (wire->state == WIRE_FLOWING)
        pump(wire);
    else if (wire->state != WIRE_ENDED)
        wait_over(wire);
}

/* ---- Adding bytes ------------------------------------------------------------------------ */

static void add(struct wire *wire, const void *bytes, size_t len)
{
    text_add(&wire->pending, bytes, len);
    wire->added += len;
}

/* What was added from `at` on is no part of the body. */
static void add_span(struct wire *wire, uint64_t at)
{
    struct wire_span span = { .at = at, .end = wire->added, .data_at = at, .data_end = at };
    text_add(&wire->spans, (const char *)&span, sizeof span);
}

static void add_other(struct wire *wire, const void *bytes, size_t len)
{
    uint64_t at = wire->added;
    add(wire, bytes, len);
    add_span(wire, at);
}

static void add_garbage(struct wire *wire)
{
    uint64_t at = wire->added;
    const uint64_t seed = wire->start.seed, key = wire->start.key;
    for (size_t left = least(wire->garbage_left, GARBAGE_STEP_BYTES); left > 0;) {
        uint64_t bits = weir_random_u64(seed, key, GARBAGE_DRAW + wire->garbage_made++);
        size_t n = least(left, sizeof bits);
        add(wire, &bits, n);
        wire->garbage_left -= n;
        left -= n;
    }
    add_span(wire, at);
}

/* Nothing is added any more: the fault has struck. */
static void seal(struct wire *wire)
{
    wire->sealed = true;
    wire->release = NOWHERE;
}

/* All of the body was added, and that was all of the answer. */
static bool body_complete(const struct wire *wire)
{
    if (wire->bodyless)
        return true;
    return wire->framing == WEIR_HTTP1_BODY_LENGTH && wire->start.body_bytes >= 0 &&
           wire->body_added >= (uint64_t)wire->start.body_bytes;
}

/* The point of the fault is behind all that was added. */
static void reach(struct wire *wire)
{
    wire->point_bytes = wire->point_tokens = NOWHERE;
    if (kind_of(wire) == FAULT_STALL) {
        wire->stall_at = wire->added;
        return;
    }
    wire->whole = wire->head_end > 0 && body_complete(wire);
    seal(wire);
}

/* The size of a chunk, or what the fault says instead. */
static void add_chunk_size(struct wire *wire, size_t len)
{
    uint8_t head[WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX];
    int64_t declared = (int64_t)len;
    if (kind_of(wire) == FAULT_WRONG_LENGTH && wire->body_added == 0) {
        declared += wire->start.action->length_delta;
        declared = declared > 0 ? declared : 1;
    }
    add(wire, head, weir_http1_write_chunk_head(head, (uint64_t)declared));
}

/* A piece of the body in its framing. `upto` < its length: only so many of its bytes. @return the
 * offset of its first one */
static uint64_t add_piece(struct wire *wire, struct weir_slice piece, uint32_t tokens, size_t upto)
{
    bool chunked = wire->framing == WEIR_HTTP1_BODY_CHUNKED;
    struct wire_span span = { .at = wire->added, .body_at = wire->body_added, .tokens = tokens };
    if (chunked)
        add_chunk_size(wire, piece.len);
    span.data_at = wire->added;
    add(wire, piece.ptr, least(upto, piece.len));
    span.data_end = wire->added;
    if (chunked && upto >= piece.len)
        add(wire, "\r\n", 2);
    span.end = wire->added;
    text_add(&wire->spans, (const char *)&span, sizeof span);
    wire->body_added += least(upto, piece.len);
    wire->tokens_added += tokens;
    return span.data_at;
}

/* The chunk that is none. */
static void add_bad_chunk(struct wire *wire, struct weir_slice piece)
{
    struct wire_span span = { .at = wire->added, .body_at = wire->body_added };
    add(wire, bad_size, sizeof bad_size - 1);
    span.data_at = wire->added;
    add(wire, piece.ptr, piece.len);
    span.data_end = wire->added;
    add(wire, "\r\n", 2);
    span.end = wire->added;
    text_add(&wire->spans, (const char *)&span, sizeof span);
    wire->body_added += piece.len;
    seal(wire);
}

/* The first `len` bytes of the slice, or what follows them. */
static struct weir_slice before(struct weir_slice slice, size_t len)
{
    return (struct weir_slice){ slice.ptr, len };
}

static struct weir_slice behind(struct weir_slice slice, size_t len)
{
    return (struct weir_slice){ slice.ptr + len, slice.len - len };
}

static void write_bad_chunk(struct wire *wire, struct weir_slice piece, uint32_t tokens)
{
    uint64_t left = wire->point_bytes - least(wire->body_added, wire->point_bytes);
    bool by_bytes = wire->point_bytes != NOWHERE && left < piece.len;
    if (by_bytes && wire->start.body_bytes >= 0) {
        if (left > 0)
            add_piece(wire, before(piece, left), 0, left);
        add_bad_chunk(wire, behind(piece, left));
    } else if (by_bytes || wire->tokens_added >= wire->point_tokens) {
        add_bad_chunk(wire, piece); /* an event stays in one */
    } else {
        add_piece(wire, piece, tokens, piece.len);
    }
}

static void write_piece(struct wire *wire, struct weir_slice piece, uint32_t tokens)
{
    uint64_t left = wire->point_bytes - wire->body_added;
    if (wire->point_bytes == NOWHERE || left > piece.len) {
        add_piece(wire, piece, tokens, piece.len);
    } else if (kind_of(wire) == FAULT_STALL) {
        uint64_t data_at = add_piece(wire, piece, tokens, piece.len);
        wire->point_bytes = NOWHERE;
        wire->stall_at = left < piece.len ? data_at + left : wire->added;
    } else {
        add_piece(wire, piece, left < piece.len ? 0 : tokens, left);
        reach(wire);
    }
    if (wire->point_tokens != NOWHERE && wire->tokens_added >= wire->point_tokens)
        reach(wire);
}

/* ---- The head ---------------------------------------------------------------------------- */

static enum weir_http1_framing framing_of(const struct wire *wire, enum fault_kind kind)
{
    const struct wire_start *start = &wire->start;
    bool chunks = weir_exchange_version_minor(start->exchange) > 0;
    if (start->status == 204 || start->status == 304)
        return WEIR_HTTP1_BODY_NONE;
    if (kind == FAULT_EMPTY)
        return WEIR_HTTP1_BODY_LENGTH;
    if (start->body_bytes >= 0 && !(kind == FAULT_BAD_CHUNK && chunks))
        return WEIR_HTTP1_BODY_LENGTH;
    return chunks ? WEIR_HTTP1_BODY_CHUNKED : WEIR_HTTP1_BODY_EOF;
}

/* What Content-Length says. */
static uint64_t declared_bytes(const struct wire *wire)
{
    int64_t bytes = wire->start.body_bytes;
    if (kind_of(wire) == FAULT_EMPTY || bytes < 0)
        return 0;
    if (kind_of(wire) == FAULT_WRONG_LENGTH)
        bytes += wire->start.action->length_delta;
    return bytes > 0 ? (uint64_t)bytes : 0;
}

static void add_head(struct wire *wire)
{
    const struct wire_start *start = &wire->start;
    const enum fault_kind kind = kind_of(wire);
    uint8_t date[WEIR_HTTP1_DATE_BYTES];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    weir_http1_date(date, now.tv_sec > 0 ? now.tv_sec : 0);
    struct weir_http1_response_spec spec = {
        .status = start->status,
        .framing = (enum weir_http1_framing)wire->framing,
        .content_length = declared_bytes(wire),
        .close = wire->closing || kind == FAULT_EMPTY || kind == FAULT_SLOW_CLOSE ||
                 wire->framing == WEIR_HTTP1_BODY_EOF,
        .date = { date, sizeof date },
        .content_type = start->content_type,
        .headers = start->headers,
        .headers_count = start->headers_count,
    };
    spec.keep_alive = !spec.close && weir_exchange_version_minor(start->exchange) == 0;
    size_t capacity = weir_http1_response_bytes_max(&spec);
    uint8_t *head = malloc(capacity);
    int64_t bytes = head == NULL ? -ENOMEM : weir_http1_write_response(head, capacity, &spec);
    if (bytes < 0) {
        wire->pending.failed = true; /* pump() gives up */
    } else {
        if (kind == FAULT_PARTIAL_HEADERS) {
            int64_t part = start->action->bytes > 0 ? start->action->bytes : bytes / 2;
            bytes = part < bytes ? part : bytes - 1;
        }
        add_other(wire, head, (size_t)bytes);
        wire->head_end = wire->added;
    }
    free(head);
}

/* ---- The beginning ----------------------------------------------------------------------- */

/* Where in the body the fault strikes. */
static void set_point(struct wire *wire)
{
    const struct fault_action *action = wire->start.action;
    const bool plain = wire->start.body_bytes >= 0;
    const uint64_t body = plain ? (uint64_t)wire->start.body_bytes : 0;
    const uint64_t all = plain ? body : wire->start.tokens_count;
    uint64_t part = (uint64_t)(action->at_fraction * (double)all);
    if (action->at == FAULT_AT_BYTES)
        wire->point_bytes = action->at_count;
    else if (plain && action->at != FAULT_AT_AFTER_HEADERS)
        wire->point_bytes = action->at == FAULT_AT_FRACTION ? least(part, body) : body / 2;
    else if (action->at == FAULT_AT_TOKENS)
        wire->point_tokens = action->at_count;
    else if (action->at == FAULT_AT_FRACTION && all > 0)
        wire->point_tokens = least(part, all);
    else if (action->at == FAULT_AT_AFTER_HEADERS)
        wire->point_bytes = 0;
    /* What is truncated lacks something. */
    bool lacks = action->kind == FAULT_TRUNCATE || action->kind == FAULT_BAD_CHUNK;
    if (plain && lacks && body > 0)
        wire->point_bytes = least(wire->point_bytes, body - 1);
}

static void set_pace(struct wire *wire)
{
    const struct fault_action *action = wire->start.action;
    enum trickle_kind kind = TRICKLE_FREE;
    if (action->kind == FAULT_SPLIT || action->kind == FAULT_DRIBBLE)
        kind = TRICKLE_STEPS;
    else if (action->kind == FAULT_BANDWIDTH)
        kind = TRICKLE_RATE;
    trickle_init(&wire->trickle, kind, action->interval_ns, action->bytes_per_s);
    wire->credit = kind == TRICKLE_FREE ? NOWHERE : 0;
}

static void begin_garbage(struct wire *wire)
{
    const struct fault_action *action = wire->start.action;
    if (action->body != NULL)
        add_other(wire, action->body, strlen(action->body));
    else
        wire->garbage_left = action->bytes > 0 ? action->bytes : GARBAGE_BYTES;
    seal(wire);
}

/* What is there before the first piece of the body. */
static void begin_answer(struct wire *wire)
{
    const struct fault_action *action = wire->start.action;
    bool struck_first = action->at == FAULT_AT_ACCEPT || action->at == FAULT_AT_BEFORE_HEADERS;
    bool placed = false;
    switch (action->kind) {
    case FAULT_GARBAGE:
        begin_garbage(wire);
        return;
    case FAULT_RESET:
    case FAULT_FIN:
    case FAULT_TRUNCATE:
    case FAULT_STALL:
    case FAULT_HALF_CLOSE:
    case FAULT_BAD_CHUNK:
        placed = true;
        break;
    default:
        break;
    }
    if (placed && struck_first && action->kind != FAULT_BAD_CHUNK)
        reach(wire);
    else if (placed)
        set_point(wire);
    if (wire->sealed)
        return;
    if (action->kind != FAULT_EMPTY || !action->no_headers)
        add_head(wire);
    if (action->kind == FAULT_PARTIAL_HEADERS || action->kind == FAULT_EMPTY)
        seal(wire);
    else if (placed && action->kind != FAULT_BAD_CHUNK &&
             (wire->point_bytes == 0 || wire->point_tokens == 0))
        reach(wire);
}

void wire_begin(struct wire *wire, const struct wire_start *start)
{
    const enum fault_kind kind = start->action->kind;
    *wire = (struct wire){
        .start = *start,
        .action = *start->action,
        .bodyless = start->head || start->status == 204 || start->status == 304,
        .stall_at = NOWHERE,
        .release = NOWHERE,
        .point_bytes = NOWHERE,
        .point_tokens = NOWHERE,
    };
    wire->start.action = &wire->action;
    weir_timer_init(&wire->timer, on_timer, wire);
    if (weir_exchange_begin_raw(start->exchange) < 0) {
        lost(wire);
        return;
    }
    wire->closing = weir_exchange_closes(start->exchange);
    wire->framing = (uint8_t)framing_of(wire, kind);
    set_pace(wire);
    begin_answer(wire);
    if (kind == FAULT_COALESCE)
        wire->release = wire->added;
    wire->action.body = NULL;
    wire->start.headers = NULL;
    wire->start.headers_count = 0;
    wire->start.content_type = (struct weir_slice){ 0 };
    pump(wire);
}

/* ---- The rest of the answer -------------------------------------------------------------- */

static void release_events(struct wire *wire)
{
    if (kind_of(wire) != FAULT_COALESCE || ++wire->events_held < wire->start.action->events)
        return;
    wire->events_held = 0;
    wire->release = wire->added;
}

void wire_write(struct wire *wire, struct weir_slice piece, uint32_t tokens)
{
    if (wire->over || wire->sealed || wire->finished)
        return;
    if (piece.len == 0 || wire->bodyless)
        return;
    if (kind_of(wire) == FAULT_BAD_CHUNK && wire->framing == WEIR_HTTP1_BODY_CHUNKED)
        write_bad_chunk(wire, piece, tokens);
    else
        write_piece(wire, piece, tokens);
    release_events(wire);
    pump(wire);
}

/* Does the client understand what it has as the answer that it is? */
static bool told_right(const struct wire *wire)
{
    int64_t delta = wire->start.action->length_delta;
    if (kind_of(wire) != FAULT_WRONG_LENGTH || wire->bodyless ||
        wire->framing == WEIR_HTTP1_BODY_EOF)
        return true;
    return wire->framing == WEIR_HTTP1_BODY_LENGTH ? delta <= 0 : delta == 0;
}

void wire_finish(struct wire *wire)
{
    const struct weir_slice last = WEIR_TEXT(WEIR_HTTP1_LAST_CHUNK);
    const struct weir_slice bad_last = WEIR_TEXT("zz\r\n\r\n");
    if (wire->over || wire->sealed || wire->finished)
        return;
    wire->finished = true;
    wire->release = NOWHERE;
    wire->whole = told_right(wire) && (body_complete(wire) || wire->framing == WEIR_HTTP1_BODY_EOF);
    if (wire->framing == WEIR_HTTP1_BODY_CHUNKED && !wire->bodyless) {
        if (kind_of(wire) == FAULT_BAD_CHUNK)
            add_other(wire, bad_last.ptr, bad_last.len);
        else if (kind_of(wire) != FAULT_TRUNCATE)
            add_other(wire, last.ptr, last.len);
        wire->whole =
            told_right(wire) && kind_of(wire) != FAULT_BAD_CHUNK && kind_of(wire) != FAULT_TRUNCATE;
    }
    pump(wire);
}

void wire_writable(struct wire *wire)
{
    wire->blocked = false;
    pump(wire);
}

void wire_abandon(struct wire *wire)
{
    weir_timer_cancel(&wire->timer);
    wire->state = WIRE_ENDED;
    if (!wire->over) {
        wire->over = true;
        wire->cut = true;
    }
    text_free(&wire->pending);
    text_free(&wire->spans);
}
