/* SPDX-License-Identifier: MIT */
/*
 * Exchanges: answers in the order of the requests.
 *
 * The queue of a session:
 *
 *     first ............ turn .................... last
 *     finished,          being answered            answered aside, or not yet
 *     being sent
 *
 * `turn` writes straight to the connection's output; those behind it write to their own queue,
 * which is moved to the connection's when their turn comes. An exchange ends when the kernel has
 * taken its last byte.
 */
#include "proto/http/server_impl.h"
#include "core/probe.h"

#include <errno.h>
#include <stdio.h>

static const char continue_text[] = "HTTP/1.1 100 Continue\r\n\r\n";

/* ---- The queue --------------------------------------------------------------------------- */

struct weir_exchange *weir_exchange_begin_request(struct weir_session *s)
{
    struct weir_server *server = s->server;
    struct weir_exchange *x = weir_pool_get(&server->exchanges);
    if (x == NULL)
        return NULL;
    *x = (struct weir_exchange){
        .session = s, .server = server, .conn = s->conn, .start_ns = s->conn->engine->now_ns
    };
    if (s->last != NULL)
        s->last->next = x;
    else
        s->first = x;
    s->last = x;
    if (s->turn == NULL)
        s->turn = x;
    WEIR_PROBE3(request, x, s, x->start_ns);
    s->exchanges_count++;
    server->stats.exchanges_now++;
    return x;
}

/* The last callback, and the exchange's memory back. */
static void exchange_free(struct weir_exchange *x, int err)
{
    struct weir_server *server = x->server;
    WEIR_PROBE3(response, x, x->start_ns, err);
    if (!x->internal) {
        if (err == 0)
            server->stats.responses++;
        else
            server->stats.aborted++;
        if (server->handler.on_end != NULL)
            server->handler.on_end(x, err, server->ctx);
    }
    server->stats.exchanges_now--;
    weir_pool_put(&server->exchanges, x);
}

/* The kernel let go of a borrowed body whose exchange waited for nothing else. */
static void on_body_free(struct weir_engine *engine, struct weir_seg *seg)
{
    struct weir_exchange *x = weir_container_of(seg, struct weir_exchange, body_seg);
    struct weir_server *server = x->server;
    (void)engine;
    server->borrows_now--;
    exchange_free(x, x->err);
    weir_server_exchange_freed(server);
    weir_server_check_drained(server);
}

static void exchange_end(struct weir_session *s, int err)
{
    struct weir_exchange *x = s->first;
    struct weir_server *server = s->server;
    WEIR_ASSERT(s->exchanges_count > 0);
    s->first = x->next;
    if (s->turn == x)
        s->turn = x->next;
    if (s->last == x)
        s->last = NULL;
    s->exchanges_count--;
    weir_sendq_clear(s->conn->engine, &x->aside);
    if (x->err == 0)
        x->err = err;
    if (WEIR_UNLIKELY(weir_seg_busy(&x->body_seg))) {
        /* Sent without copying and not acknowledged yet: on_end gives the memory back, so it waits;
         * the connection does not. */
        x->session = NULL;
        x->body_seg.on_free = on_body_free;
        server->borrows_now++;
    } else {
        exchange_free(x, x->err);
    }
    weir_session_room(s);
}

void weir_exchange_reap_sent(struct weir_session *s)
{
    while (s->first != s->turn && s->first->end_at <= s->conn->sent_bytes)
        exchange_end(s, 0);
}

void weir_exchange_end_all(struct weir_session *s, int err)
{
    weir_exchange_reap_sent(s);
    while (s->first != NULL)
        exchange_end(s, err);
}

/* Where this exchange's output goes now. */
static struct weir_sendq *out_of(struct weir_exchange *x)
{
    return x->session->turn == x ? &x->session->conn->out : &x->aside;
}

/* `bytes` were put on out_of(x). */
static void queued(struct weir_exchange *x, uint64_t bytes)
{
    x->starved = false;
    if (x->session->turn == x)
        weir_conn_queued(x->session->conn, bytes);
}

void weir_exchange_progress(struct weir_session *s)
{
    struct weir_conn *conn = s->conn;
    while (s->turn != NULL) {
        struct weir_exchange *x = s->turn;
        if (x->aside.first != NULL) {
            uint64_t bytes = x->aside.bytes;
            weir_sendq_splice(&conn->out, &x->aside);
            weir_conn_queued(conn, bytes);
        }
        if (!x->finished)
            break;
        if (WEIR_UNLIKELY(x->ending != ENDING_NONE)) {
            weir_exchange_end_conn(x);
            return;
        }
        x->end_at = conn->queued_bytes;
        s->turn = x->next;
        if (x->close) {
            /* What was asked after it is not answered. */
            s->state = SESSION_STOPPED;
            weir_session_finish(s);
            return;
        }
    }
    if (s->turn == NULL && s->state == SESSION_STOPPED)
        weir_session_finish(s);
}

void weir_exchange_continue(struct weir_exchange *x)
{
    struct weir_slice text = { (const uint8_t *)continue_text, sizeof continue_text - 1 };
    WEIR_ASSERT(x->expect);
    x->expect = false;
    if (x->begun || x->finished)
        return;
    /* Without memory for it the client goes on by itself after a while (RFC 9110 section 10.1.1).
     */
    if (weir_sendq_copy(x->session->conn->engine, out_of(x), text) == 0)
        queued(x, text.len);
}

/* ---- Answering --------------------------------------------------------------------------- */

static bool bodyless_status(uint16_t status)
{
    return status == 204 || status == 304;
}

/* Is more of the request under way than is worth reading (RFC 9112 section 9.6)? */
static bool unread_is_large(const struct weir_exchange *x)
{
    const struct weir_session *s = x->session;
    return !x->body_done && s->last == x && s->state == SESSION_BODY &&
           s->body.remaining > s->server->cfg.linger_bytes_max;
}

bool weir_exchange_last(const struct weir_exchange *x)
{
    const struct weir_session *s = x->session;
    if (unread_is_large(x))
        return true;
    return !x->keep_alive || x->close ||
           (x->next == NULL && (s->server->draining || s->state == SESSION_STOPPED));
}

static bool decide_close(const struct weir_exchange *x, const struct weir_response *r)
{
    return r->close || weir_exchange_last(x);
}

static struct weir_http1_response_spec spec_of(struct weir_exchange *x,
                                               const struct weir_response *r)
{
    struct weir_http1_response_spec spec = {
        .status = r->status,
        .framing = WEIR_HTTP1_BODY_LENGTH,
        .content_length = r->body.len,
        .close = decide_close(x, r),
        .date = weir_server_date(x->session->server),
        .content_type = r->content_type,
        .headers = r->headers,
        .headers_count = r->headers_count,
    };
    if (bodyless_status(r->status))
        spec.framing = WEIR_HTTP1_BODY_NONE;
    spec.keep_alive = x->version_minor == 0 && !spec.close;
    return spec;
}

static int answerable(const struct weir_exchange *x, const struct weir_response *r)
{
    if (!weir_conn_usable(x->session->conn))
        return -EPIPE;
    if (x->finished || x->begun)
        return -EALREADY;
    if (r->status < 200 || r->status > 599)
        return weir_fail(-EINVAL, "status is %u; it must be 200 ... 599", r->status);
    return 0;
}

/* A head that may need more than a chunk: written aside, then copied. */
static int long_head_write(struct weir_exchange *x, const struct weir_http1_response_spec *spec)
{
    struct weir_server *server = x->session->server;
    if (weir_http1_response_bytes_max(spec) > server->scratch_bytes)
        return weir_fail(-EINVAL, "the response head needs more than %zu bytes",
                         server->scratch_bytes);
    int64_t n = weir_http1_write_response(server->scratch, server->scratch_bytes, spec);
    if (n < 0)
        return (int)n;
    struct weir_slice head = { server->scratch, (size_t)n };
    int rc = weir_sendq_copy(x->session->conn->engine, out_of(x), head);
    if (rc == 0)
        queued(x, head.len);
    return rc;
}

/* Head and copied body in one piece of memory; the usual case. */
static int short_write(struct weir_exchange *x, const struct weir_http1_response_spec *spec,
                       struct weir_slice body, size_t bytes_max)
{
    struct weir_sendq *out = out_of(x);
    uint8_t *at = weir_sendq_reserve(x->session->conn->engine, out, bytes_max);
    if (WEIR_UNLIKELY(at == NULL))
        return -ENOBUFS;
    int64_t n = weir_http1_write_response(at, bytes_max, spec);
    if (WEIR_UNLIKELY(n < 0))
        return (int)n;
    if (body.len > 0)
        memcpy(at + n, body.ptr, body.len);
    weir_sendq_commit(out, (size_t)n + body.len);
    queued(x, (uint64_t)n + body.len);
    return 0;
}

/* ---- The usual answer -------------------------------------------------------------------- */

/* What follows the cached head of an answer of 0 bytes. */
static const char cache_tail[] = "0\r\n\r\n";
#define CACHE_TAIL_BYTES (sizeof cache_tail - 1)

#define LENGTH_DIGITS_MAX 20u

/* An answer that a cached head could begin: whole, copied, kept alive, with nothing but a type. */
static inline bool cacheable(const struct weir_exchange *x, const struct weir_response *r)
{
    return r->headers_count == 0 && r->how == WEIR_BODY_COPY && x->version_minor > 0 && !x->head &&
           !bodyless_status(r->status) && r->content_type.len <= WEIR_HEAD_CACHE_TYPE_MAX &&
           r->body.len <= WEIR_CHUNK_ROOM - WEIR_HEAD_CACHE_BYTES - WEIR_HEAD_CACHE_TAIL;
}

static bool cache_hit(const struct weir_server *server, const struct weir_response *r)
{
    const struct weir_head_cache *c = &server->head_cache;
    return c->status == r->status && server->engine->now_ns < c->until_ns &&
           c->type_len == r->content_type.len &&
           (c->type_len == 0 || memcmp(c->type, r->content_type.ptr, c->type_len) == 0);
}

/* Keep the head that would begin this answer, if it is short enough to be worth it. */
static bool cache_fill(struct weir_exchange *x, const struct weir_response *r)
{
    struct weir_server *server = x->server;
    struct weir_head_cache *c = &server->head_cache;
    struct weir_response empty = { .status = r->status, .content_type = r->content_type };
    struct weir_http1_response_spec spec = spec_of(x, &empty);
    c->until_ns = 0;
    if (spec.close || spec.keep_alive)
        return false;
    int64_t n = weir_http1_write_response(c->bytes, sizeof c->bytes, &spec);
    if (n < (int64_t)CACHE_TAIL_BYTES ||
        memcmp(c->bytes + n - CACHE_TAIL_BYTES, cache_tail, CACHE_TAIL_BYTES) != 0)
        return false; /* too long, or not to be sent: the long way says which */
    c->status = r->status;
    c->len = (uint16_t)((size_t)n - CACHE_TAIL_BYTES);
    c->type_len = (uint16_t)r->content_type.len;
    if (c->type_len > 0)
        memcpy(c->type, r->content_type.ptr, c->type_len);
    c->until_ns = server->cfg.date ? server->date_until_ns : UINT64_MAX;
    return true;
}

/* What follows the cached head of an answer of `body_bytes`: often the same as the last time. */
static void cache_tail_set(struct weir_head_cache *c, size_t body_bytes)
{
    uint8_t digits[LENGTH_DIGITS_MAX];
    unsigned first = LENGTH_DIGITS_MAX;
    size_t value = body_bytes;
    do {
        digits[--first] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(c->tail, digits + first, LENGTH_DIGITS_MAX - first);
    memcpy(c->tail + LENGTH_DIGITS_MAX - first, "\r\n\r\n", 4);
    c->tail_len = (uint8_t)(LENGTH_DIGITS_MAX - first + 4);
    c->tail_of = body_bytes;
}

/* @return 0, or -ENOBUFS */
static int cached_write(struct weir_exchange *x, struct weir_slice body)
{
    struct weir_head_cache *c = &x->server->head_cache;
    struct weir_sendq *out = out_of(x);
    uint8_t *at = weir_sendq_reserve(x->server->engine, out,
                                     WEIR_HEAD_CACHE_BYTES + WEIR_HEAD_CACHE_TAIL + body.len);
    if (WEIR_UNLIKELY(at == NULL))
        return -ENOBUFS;
    if (c->tail_of != body.len || c->tail_len == 0)
        cache_tail_set(c, body.len);
    uint8_t *end = at + c->len;
    memcpy(at, c->bytes, WEIR_HEAD_CACHE_BYTES); /* all of it: moves of a fixed length, no call */
    memcpy(end, c->tail, WEIR_HEAD_CACHE_TAIL);
    end += c->tail_len;
    if (body.len > 0)
        memcpy(end, body.ptr, body.len);
    size_t bytes = (size_t)(end - at) + body.len;
    weir_sendq_commit(out, bytes);
    queued(x, bytes);
    return 0;
}

static void starve(struct weir_exchange *x)
{
    struct weir_session *s = x->session;
    x->want_write = x->starved = true;
    if (!weir_timer_is_set(&s->server->memory_timer))
        weir_timer_set(s->conn->engine, &s->server->memory_timer,
                       s->conn->engine->now_ns + WEIR_MEMORY_RETRY_NS);
    weir_session_update_deadline(s);
}

static int body_write(struct weir_exchange *x, struct weir_slice body, enum weir_body how)
{
    if (body.len == 0)
        return 0;
    if (how == WEIR_BODY_BORROW) {
        weir_sendq_borrow(out_of(x), &x->body_seg, body, NULL);
    } else {
        int rc = weir_sendq_copy(x->session->conn->engine, out_of(x), body);
        if (rc < 0)
            return rc;
    }
    queued(x, body.len);
    return 0;
}

/* More than the engine's output memory: waiting would not help. */
static bool never_fits(const struct weir_engine *engine, size_t bytes)
{
    return bytes > (uint64_t)engine->chunks.count * WEIR_CHUNK_ROOM;
}

static int response_write(struct weir_exchange *x, const struct weir_http1_response_spec *spec,
                          struct weir_slice body, enum weir_body how)
{
    struct weir_engine *engine = x->session->conn->engine;
    size_t head_max = weir_http1_response_bytes_max(spec);
    size_t copied = how == WEIR_BODY_COPY ? body.len : 0;
    if (WEIR_LIKELY(head_max + copied <= WEIR_CHUNK_ROOM && copied == body.len))
        return short_write(x, spec, body, head_max + copied);
    /* All or nothing: the room for everything is there before the first byte is queued. */
    if (never_fits(engine, head_max + copied + WEIR_CHUNK_ROOM))
        return weir_fail(-EINVAL, "%zu bytes to be copied; send_bytes_max is less", copied);
    if (!weir_sendq_has_room(engine, out_of(x), head_max + copied + WEIR_CHUNK_ROOM)) {
        engine->stats.send_memory_short++;
        return -ENOBUFS;
    }
    int rc = head_max <= WEIR_CHUNK_ROOM ? short_write(x, spec, (struct weir_slice){ 0 }, head_max)
                                         : long_head_write(x, spec);
    return rc < 0 ? rc : body_write(x, body, how);
}

void weir_exchange_answered(struct weir_exchange *x)
{
    struct weir_session *s = x->session;
    x->finished = true;
    if (s->turn == x)
        weir_exchange_progress(s);
    /* The end of a streamed answer can be nothing at all: then no send will report it. */
    if (WEIR_UNLIKELY(s->first != s->turn && s->first->end_at <= s->conn->sent_bytes))
        weir_ready_push(&s->conn->engine->ready, &s->reap);
    if (s->server->in_request != x) /* else once, when all that was received has been looked at */
        weir_session_update_deadline(s);
}

int weir_exchange_respond(struct weir_exchange *x, const struct weir_response *r)
{
    int rc = answerable(x, r);
    if (WEIR_UNLIKELY(rc < 0))
        return rc;
    if (WEIR_LIKELY(cacheable(x, r)) && !decide_close(x, r) &&
        (WEIR_LIKELY(cache_hit(x->server, r)) || cache_fill(x, r))) {
        rc = cached_write(x, r->body);
        if (WEIR_UNLIKELY(rc < 0)) {
            starve(x);
            return rc;
        }
        x->begun = true;
        weir_exchange_answered(x);
        return 0;
    }
    struct weir_http1_response_spec spec = spec_of(x, r);
    struct weir_slice body = r->body;
    if (x->head || bodyless_status(r->status))
        body = (struct weir_slice){ 0 };
    rc = response_write(x, &spec, body, r->how);
    if (WEIR_UNLIKELY(rc < 0)) {
        if (rc == -ENOBUFS)
            starve(x);
        return rc;
    }
    x->close = spec.close;
    x->begun = true;
    weir_exchange_answered(x);
    return 0;
}

int weir_exchange_begin(struct weir_exchange *x, const struct weir_response *r)
{
    int rc = answerable(x, r);
    if (rc < 0)
        return rc;
    if (r->body.len > 0)
        return weir_fail(-EINVAL, "the head of a streamed answer carries no body");
    struct weir_http1_response_spec spec = spec_of(x, r);
    if (spec.framing != WEIR_HTTP1_BODY_NONE) {
        bool chunked = x->version_minor > 0;
        spec.framing = chunked ? WEIR_HTTP1_BODY_CHUNKED : WEIR_HTTP1_BODY_EOF;
        /* Without chunks only the end of the connection ends the body. */
        if (!chunked) {
            spec.close = true;
            spec.keep_alive = false;
        }
    }
    rc = response_write(x, &spec, (struct weir_slice){ 0 }, WEIR_BODY_COPY);
    if (rc < 0) {
        if (rc == -ENOBUFS)
            starve(x);
        return rc;
    }
    x->close = spec.close;
    x->begun = true;
    x->chunked = spec.framing == WEIR_HTTP1_BODY_CHUNKED;
    x->head |= bodyless_status(r->status); /* pieces are dropped, as for HEAD */
    weir_session_update_deadline(x->session);
    return 0;
}

void weir_exchange_prefetch(const struct weir_exchange *x)
{
    __builtin_prefetch(x->session);
    __builtin_prefetch(x->conn);
    __builtin_prefetch((const uint8_t *)x->conn + WEIR_CACHE_LINE);
}

/* Is the answer a streamed one that takes more? */
static int writable(struct weir_exchange *x)
{
    if (!x->begun || x->finished)
        return -EINVAL;
    if (!weir_conn_usable(x->session->conn))
        return -EPIPE;
    return 0;
}

int weir_exchange_write(struct weir_exchange *x, struct weir_slice piece)
{
    int rc = writable(x);
    if (rc < 0)
        return rc;
    if (piece.len == 0 || (x->head && !x->raw))
        return 0;
    struct weir_engine *engine = x->session->conn->engine;
    struct weir_sendq *out = out_of(x);
    if (out->bytes > 0 && out->bytes + piece.len > WEIR_SESSION_OUT_BYTES_MAX) {
        x->want_write = true;
        return -ENOBUFS;
    }
    uint8_t head[WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX];
    size_t head_len = x->chunked ? weir_http1_write_chunk_head(head, piece.len) : 0;
    size_t total = head_len + piece.len + (x->chunked ? 2 : 0);
    if (never_fits(engine, total))
        return weir_fail(-EINVAL, "%zu bytes to be copied; send_bytes_max is less", piece.len);
    if (!weir_sendq_has_room(engine, out, total)) {
        engine->stats.send_memory_short++;
        starve(x);
        return -ENOBUFS;
    }
    rc = weir_sendq_copy(engine, out, (struct weir_slice){ head, head_len });
    if (rc == 0)
        rc = weir_sendq_copy(engine, out, piece);
    if (rc == 0 && x->chunked)
        rc = weir_sendq_copy(engine, out, WEIR_TEXT("\r\n"));
    WEIR_ASSERT(rc == 0); /* there was room for all of it */
    queued(x, total);
    weir_session_update_deadline(x->session);
    return 0;
}

/* What a piece's private space holds. */
struct piece_state {
    struct weir_seg seg;
    struct weir_server *server;
};
_Static_assert(sizeof(struct piece_state) <= sizeof(((struct weir_piece *)0)->space),
               "a piece has room for its segment");

static void on_piece_free(struct weir_engine *engine, struct weir_seg *seg)
{
    struct piece_state *state = weir_container_of(seg, struct piece_state, seg);
    struct weir_piece *piece =
        weir_container_of((uint64_t(*)[WEIR_PIECE_SPACE])(void *)state, struct weir_piece, space);
    struct weir_server *server = state->server;
    (void)engine;
    server->borrows_now--;
    piece->on_free(piece, seg->err);
    weir_server_check_drained(server);
}

int weir_exchange_write_piece(struct weir_exchange *x, struct weir_piece *piece)
{
    int rc = writable(x);
    if (rc < 0)
        return rc;
    if (piece->data.len == 0 || x->head || piece->on_free == NULL)
        return weir_fail(-EINVAL, "a piece is not empty, has an on_free, and is not of an answer "
                                  "without body");
    struct weir_engine *engine = x->server->engine;
    struct weir_sendq *out = out_of(x);
    /* Its bytes take no memory of ours: one of any length may follow what waits already. */
    if (out->bytes >= WEIR_SESSION_OUT_BYTES_MAX || out->chunks >= WEIR_SESSION_OUT_CHUNKS_MAX) {
        x->want_write = true;
        return -ENOBUFS;
    }
    uint8_t head[WEIR_HTTP1_CHUNK_HEAD_BYTES_MAX];
    size_t head_len = x->chunked ? weir_http1_write_chunk_head(head, piece->data.len) : 0;
    size_t tail_len = x->chunked ? 2 : 0;
    /* The end of the chunk is in a chunk of memory of its own: nothing is appended to borrowed
     * bytes. */
    if (!weir_sendq_has_room(engine, out, head_len + WEIR_CHUNK_ROOM + tail_len)) {
        engine->stats.send_memory_short++;
        starve(x);
        return -ENOBUFS;
    }
    struct piece_state *state = (void *)piece->space;
    *state = (struct piece_state){ .server = x->server };
    rc = weir_sendq_copy(engine, out, (struct weir_slice){ head, head_len });
    weir_sendq_borrow(out, &state->seg, piece->data, on_piece_free);
    if (rc == 0 && tail_len > 0)
        rc = weir_sendq_copy(engine, out, WEIR_TEXT("\r\n"));
    WEIR_ASSERT(rc == 0); /* there was room for all of it */
    x->server->borrows_now++;
    queued(x, head_len + piece->data.len + tail_len);
    weir_session_update_deadline(x->session);
    return 0;
}

int weir_exchange_finish(struct weir_exchange *x)
{
    int rc = writable(x);
    if (rc < 0)
        return rc;
    if (x->chunked && !x->head) {
        struct weir_slice end = WEIR_TEXT(WEIR_HTTP1_LAST_CHUNK);
        rc = weir_sendq_copy(x->session->conn->engine, out_of(x), end);
        if (rc < 0) {
            starve(x);
            return rc;
        }
        queued(x, end.len);
    }
    weir_exchange_answered(x);
    return 0;
}

void weir_exchange_wake_writers(struct weir_session *s)
{
    struct weir_server *server = s->server;
    struct weir_exchange *next;
    /* A callback can end it for all; where nothing can be written nobody is told to write. */
    for (struct weir_exchange *x = s->turn; x != NULL && weir_conn_usable(s->conn); x = next) {
        next =
            x->next; /* a callback answers, it does not free: exchanges end when they were sent */
        if (!x->want_write || out_of(x)->bytes > WEIR_SESSION_OUT_BYTES_MAX / 2 ||
            out_of(x)->chunks > WEIR_SESSION_OUT_CHUNKS_MAX / 2)
            continue;
        x->want_write = false;
        if (server->handler.on_writable != NULL && !x->internal)
            server->handler.on_writable(x, server->ctx);
    }
}

/* ---- Reading the request ----------------------------------------------------------------- */

/* The head is the server's scratch: it belongs to the exchange whose on_request is running. */
static const struct weir_http1_head *head_of(const struct weir_exchange *x)
{
    const struct weir_server *server = x->server;
    WEIR_ASSERT(server->in_request == x);
    return &server->head;
}

struct weir_slice weir_exchange_method(const struct weir_exchange *x)
{
    return head_of(x)->method;
}

struct weir_slice weir_exchange_target(const struct weir_exchange *x)
{
    return head_of(x)->target;
}

/* The path and query of the target: an absolute one (RFC 9112 section 3.2.2) has scheme and
 * authority before. */
static struct weir_slice path_and_query(const struct weir_exchange *x)
{
    struct weir_slice t = head_of(x)->target;
    if (t.len == 0 || t.ptr[0] == '/')
        return t;
    const uint8_t *at = memmem(t.ptr, t.len, "://", 3);
    if (at == NULL)
        return t; /* "*" */
    at += 3;
    size_t left = t.len - (size_t)(at - t.ptr);
    while (left > 0 && *at != '/' && *at != '?') {
        at++;
        left--;
    }
    return (struct weir_slice){ at, left };
}

struct weir_slice weir_exchange_path(const struct weir_exchange *x)
{
    struct weir_slice p = path_and_query(x);
    const uint8_t *mark = p.len > 0 ? memchr(p.ptr, '?', p.len) : NULL;
    if (mark != NULL)
        p.len = (size_t)(mark - p.ptr);
    return p.len > 0 ? p : WEIR_TEXT("/");
}

struct weir_slice weir_exchange_query(const struct weir_exchange *x)
{
    struct weir_slice p = path_and_query(x);
    const uint8_t *mark = p.len > 0 ? memchr(p.ptr, '?', p.len) : NULL;
    if (mark == NULL)
        return (struct weir_slice){ 0 };
    return (struct weir_slice){ mark + 1, p.len - (size_t)(mark + 1 - p.ptr) };
}

struct weir_slice weir_exchange_host(const struct weir_exchange *x)
{
    return head_of(x)->host;
}

struct weir_slice weir_exchange_header(const struct weir_exchange *x, struct weir_slice name)
{
    return weir_http1_find(head_of(x), name);
}

size_t weir_exchange_headers_count(const struct weir_exchange *x)
{
    return head_of(x)->fields_count;
}

struct weir_header weir_exchange_header_at(const struct weir_exchange *x, size_t index)
{
    const struct weir_http1_head *head = head_of(x);
    WEIR_ASSERT(index < head->fields_count);
    return (struct weir_header){ weir_http1_name(head, (unsigned)index),
                                 weir_http1_value(head, (unsigned)index) };
}

int64_t weir_exchange_body_bytes(const struct weir_exchange *x)
{
    return x->body_bytes;
}

void weir_exchange_set_user(struct weir_exchange *x, void *user)
{
    x->user = user;
}

void *weir_exchange_user(const struct weir_exchange *x)
{
    return x->user;
}

uint64_t weir_exchange_start_ns(const struct weir_exchange *x)
{
    return x->start_ns;
}

struct weir_engine *weir_exchange_engine(const struct weir_exchange *x)
{
    return x->server->engine;
}

const char *weir_exchange_peer(const struct weir_exchange *x, char *out, size_t capacity)
{
    if (x->session == NULL) {
        snprintf(out, capacity, "?");
        return out;
    }
    return weir_conn_peer(x->session->conn, out, capacity);
}
