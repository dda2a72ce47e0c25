/* SPDX-License-Identifier: MIT */
/*
 * One connection of a server: what arrives becomes requests.
 *
 *            +------- body read whole -------+
 *            v                               |
 *     HEAD --------- head complete -------> BODY
 *       |                                    |
 *       +--- refused, last request read -----+--> STOPPED --- all answered ---> the connection ends
 *
 * parked (any of HEAD, BODY): a limit is reached; input is kept in the stash and receiving is
 * paused until an exchange ends. STOPPED: input is dropped.
 *
 * What the connection waits for decides its deadline, in this order: the TLS handshake, the rest of
 * a head, the rest of a body, the peer to take output, the application (no deadline), the next
 * request.
 */
#include "proto/http/server_impl.h"

#include <errno.h>
#include <stdio.h>

static bool stopped(const struct weir_session *s)
{
    return s->state == SESSION_STOPPED || !weir_conn_usable(s->conn);
}

/* Is the peer owed a deadline for what it sends? Not while we are the ones who do not read. */
static bool reading(const struct weir_session *s)
{
    return !s->parked &&
           (s->state == SESSION_BODY || (s->state == SESSION_HEAD && (s->in_head || s->securing)));
}

/* Does it wait for nothing but the next request? A parked one is there already. */
static bool unused(const struct weir_session *s)
{
    return s->exchanges_count == 0 && s->conn->out.bytes == 0 && !s->parked;
}

void weir_session_update_deadline(struct weir_session *s)
{
    const struct weir_server_config *cfg = &s->server->cfg;
    uint64_t now = s->conn->engine->now_ns;
    uint64_t deadline = 0;
    if (s->conn->state != WEIR_CONN_OPEN || s->conn->ended)
        return;
    /* An answer that finds no memory waits to leave, too: what holds it may wait for this one. */
    bool starved = s->turn != NULL && s->turn->starved;
    if (s->conn->out.bytes == 0 && !starved)
        s->write_deadline_ns = 0;
    else if (s->write_deadline_ns == 0 && cfg->write_timeout_ns != 0)
        s->write_deadline_ns = now + cfg->write_timeout_ns;
    if (s->held_until_ns != 0)
        deadline = s->held_until_ns;
    else if (reading(s))
        deadline = s->read_deadline_ns;
    else if (unused(s) && cfg->idle_timeout_ns != 0)
        deadline = now + cfg->idle_timeout_ns;
    if (s->write_deadline_ns != 0 && (deadline == 0 || s->write_deadline_ns < deadline))
        deadline = s->write_deadline_ns;
    weir_conn_set_deadline(s->conn, deadline);
}

static void read_deadline_set(struct weir_session *s, uint64_t timeout_ns)
{
    s->read_deadline_ns = timeout_ns == 0 ? 0 : s->conn->engine->now_ns + timeout_ns;
}

void weir_session_finish(struct weir_session *s)
{
    bool clean = s->client_closes && !s->dropped && s->stash.bytes == 0;
    s->state = SESSION_STOPPED;
    weir_conn_finish(s->conn, 0, clean ? NULL : &s->server->linger);
}

/* ---- Refusing ---------------------------------------------------------------------------- */

/* The exchange that carries the refusal: the request's own if it has one, else one without
 * callbacks. */
static struct weir_exchange *refusal(struct weir_session *s, int err)
{
    if (s->state == SESSION_BODY) {
        if (s->last == NULL)
            return NULL; /* answered and sent before its body ended */
        if (!s->last->finished)
            s->last->err = err;
        return s->last;
    }
    struct weir_exchange *x = weir_exchange_begin_request(s);
    if (x != NULL) {
        x->internal = true;
        x->version_minor = 1;
    }
    return x;
}

void weir_session_refuse(struct weir_session *s, uint16_t status, const char *text, int err)
{
    struct weir_exchange *x = refusal(s, err);
    s->server->stats.refused++;
    s->state = SESSION_STOPPED;
    s->dropped = true;
    s->in_head = false;
    if (x == NULL || x->finished) {
        /* It has its answer, or there is none to be had; those before it still get theirs. */
        if (s->turn == NULL)
            weir_session_finish(s);
        return;
    }
    if (x->begun) {
        weir_conn_finish(s->conn, err, &s->server->linger); /* it must not look complete */
        return;
    }
    char body[160];
    int n = snprintf(body, sizeof body, "%u %s: %s\n", status, weir_http1_reason(status), text);
    struct weir_response response = {
        .status = status,
        .content_type = WEIR_TEXT("text/plain"),
        .body = { (const uint8_t *)body, (size_t)n < sizeof body ? (size_t)n : sizeof body - 1 },
        .close = true,
    };
    if (weir_exchange_respond(x, &response) < 0)
        weir_conn_close(s->conn, err, true); /* not even memory for that */
}

/* ---- Head -------------------------------------------------------------------------------- */

static void park(struct weir_session *s)
{
    s->parked = true;
    weir_conn_pause(s->conn);
    if (s->exchanges_count < s->server->cfg.pipeline_max)
        weir_list_push_back(&s->server->parked, &s->park_link); /* the server's limit, not ours */
}

static bool at_limit(const struct weir_session *s)
{
    const struct weir_server *server = s->server;
    return s->exchanges_count >= server->cfg.pipeline_max ||
           server->exchanges.used == server->exchanges.count;
}

static struct weir_exchange *request_begin(struct weir_session *s)
{
    const struct weir_http1_head *head = &s->server->head;
    struct weir_exchange *x = weir_exchange_begin_request(s);
    WEIR_ASSERT(x != NULL); /* at_limit() was asked */
    x->version_minor = head->version_minor;
    x->head = head->method.len == 4 && memcmp(head->method.ptr, "HEAD", 4) == 0;
    x->keep_alive = head->keep_alive;
    x->expect = head->expect_continue;
    if (head->framing == WEIR_HTTP1_BODY_CHUNKED)
        x->body_bytes = -1;
    else if (head->framing == WEIR_HTTP1_BODY_LENGTH)
        x->body_bytes = (int64_t)head->content_length;
    return x;
}

static void request_read(struct weir_session *s, bool keep_alive)
{
    s->client_closes = !keep_alive;
    s->state = keep_alive ? SESSION_HEAD : SESSION_STOPPED;
}

/* The head of a request is complete, in server->head. `more`: bytes of the body came with it. */
static void on_head(struct weir_session *s, bool more)
{
    struct weir_server *server = s->server;
    const struct weir_http1_head *head = &server->head;
    if (head->framing == WEIR_HTTP1_BODY_LENGTH &&
        head->content_length > server->cfg.body_bytes_max) {
        weir_session_refuse(s, 413, "the body is larger than the limit", WEIR_E_LIMIT);
        return;
    }
    struct weir_exchange *x = request_begin(s);
    bool has_body = x->body_bytes != 0;
    if (has_body) {
        weir_http1_body_init_with(&s->body, head->framing, head->content_length,
                                  s->server->limits.lenient);
        read_deadline_set(s, server->cfg.body_timeout_ns);
        s->state = SESSION_BODY;
    } else {
        x->body_done = true;
        request_read(s, head->keep_alive);
        /* Known before the answer, which may end the connection at once. */
        s->dropped |= more && s->state == SESSION_STOPPED;
    }
    server->stats.requests++;
    server->in_request = x;
    server->handler.on_request(x, server->ctx);
    server->in_request = NULL;
    if (!weir_conn_usable(s->conn))
        return;
    if (!has_body) {
        if (!x->finished && server->handler.on_body != NULL)
            server->handler.on_body(x, (struct weir_slice){ 0 }, true, server->ctx);
    } else if (x->expect && !more) {
        weir_exchange_continue(x);
    }
}

static size_t feed_head(struct weir_session *s, struct weir_slice in)
{
    struct weir_server *server = s->server;
    struct weir_parse_err err;
    if (at_limit(s)) {
        park(s);
        return 0;
    }
    enum weir_parse r = WEIR_PARSE_DONE;
    if (s->resume != 0 || !weir_head_memo_hit(&server->head_memo, &server->head, in)) {
        server->head_memo.bytes = 0; /* the head is about to be overwritten */
        r = weir_http1_parse_request(&server->head, &server->limits, in, &s->resume, &err);
        if (r == WEIR_PARSE_DONE)
            weir_head_memo_store(&server->head_memo, &server->head, in);
    }
    if (WEIR_LIKELY(r == WEIR_PARSE_DONE)) {
        size_t used = server->head.bytes;
        s->resume = 0;
        s->in_head = false;
        on_head(s, in.len > used);
        return used;
    }
    if (r == WEIR_PARSE_ERROR) {
        weir_session_refuse(s, weir_http1_error_status(err.code), weir_http1_strerror(err.code),
                            WEIR_E_PROTOCOL);
    } else if (!s->in_head) {
        s->in_head = true;
        read_deadline_set(s, server->cfg.head_timeout_ns);
    }
    return 0;
}

/* ---- Body -------------------------------------------------------------------------------- */

static size_t feed_body(struct weir_session *s, struct weir_slice in)
{
    struct weir_server *server = s->server;
    struct weir_parse_err err;
    struct weir_slice piece;
    size_t used = 0;
    enum weir_parse r = weir_http1_body_feed(&s->body, in, &used, &piece, &err);
    if (r == WEIR_PARSE_ERROR) {
        weir_session_refuse(s, weir_http1_error_status(err.code), weir_http1_strerror(err.code),
                            WEIR_E_PROTOCOL);
        return 0;
    }
    if (s->body.decoded_bytes > server->cfg.body_bytes_max) {
        weir_session_refuse(s, 413, "the body is larger than the limit", WEIR_E_LIMIT);
        return 0;
    }
    read_deadline_set(s, server->cfg.body_timeout_ns);
    struct weir_exchange *x = s->last; /* NULL: it was answered, sent and ended before its body */
    bool done = r == WEIR_PARSE_DONE;
    if (done) {
        request_read(s, x != NULL ? x->keep_alive : true);
        s->dropped |= used < in.len && s->state == SESSION_STOPPED;
    }
    if (x != NULL) {
        x->body_done = done;
        if (!x->finished && server->handler.on_body != NULL && (piece.len > 0 || done))
            server->handler.on_body(x, piece, done, server->ctx);
    }
    if (done && s->state == SESSION_STOPPED && s->turn == NULL)
        weir_session_finish(s);
    return used;
}

/* ---- Input ------------------------------------------------------------------------------- */

/* Take requests from `in`. @return bytes used; the rest must wait */
static size_t feed(struct weir_session *s, struct weir_slice in)
{
    size_t used = 0;
    while (used < in.len && !s->parked && !stopped(s)) {
        struct weir_slice rest = { in.ptr + used, in.len - used };
        size_t n = s->state == SESSION_HEAD ? feed_head(s, rest) : feed_body(s, rest);
        used += n;
        if (n == 0)
            break;
    }
    return used;
}

static void feed_stash(struct weir_session *s)
{
    struct weir_engine *engine = s->conn->engine;
    while (s->stash.bytes > 0 && !s->parked && !stopped(s)) {
        size_t n = feed(s, weir_stash_front(&s->stash));
        weir_stash_consume(engine, &s->stash, n);
        if (n == 0 && !weir_stash_join(engine, &s->stash))
            break;
    }
    if (stopped(s) && s->stash.bytes > 0) {
        s->dropped = true;
        weir_stash_clear(engine, &s->stash);
    }
}

static void keep(struct weir_session *s, struct weir_slice rest)
{
    if (rest.len == 0)
        return;
    if (stopped(s))
        s->dropped = true;
    else if (weir_stash_append(s->conn->engine, &s->stash, rest) < 0)
        weir_session_refuse(s, 503, "no memory for waiting input", WEIR_E_LIMIT);
}

bool weir_session_idle(const struct weir_session *s)
{
    return s->exchanges_count == 0 && s->state == SESSION_HEAD && !s->in_head && !s->parked &&
           s->stash.bytes == 0;
}

void weir_session_end_idle(struct weir_session *s)
{
    s->state = SESSION_STOPPED;
    weir_conn_finish(s->conn, 0, NULL); /* nothing was sent that unread input could destroy */
}

/* What happened may have been the last thing a draining server waited for here. */
static void settle(struct weir_session *s)
{
    if (WEIR_UNLIKELY(s->server->draining) && weir_session_idle(s))
        weir_session_end_idle(s);
    weir_session_update_deadline(s);
}

/* Nothing is asked before its time has come; but no more is kept than one head can be. */
static void held_recv(struct weir_session *s, struct weir_slice data)
{
    keep(s, data);
    if (s->stash.bytes >= s->server->cfg.head_bytes_max)
        weir_conn_pause(s->conn);
}

static void session_on_recv(struct weir_conn *conn, struct weir_slice data)
{
    struct weir_session *s = conn->user;
    if (WEIR_UNLIKELY(s->held_until_ns != 0)) {
        held_recv(s, data);
        return;
    }
    if (WEIR_LIKELY(s->stash.bytes == 0)) {
        size_t used = feed(s, data);
        keep(s, (struct weir_slice){ data.ptr + used, data.len - used });
    } else {
        keep(s, data);
        feed_stash(s);
    }
    settle(s);
}

/* The peer sends no more, and all it sent has been looked at. */
static void input_ended(struct weir_session *s)
{
    if (s->state == SESSION_BODY) {
        weir_session_refuse(s, 400, "the connection ended inside the body", WEIR_E_TRUNCATED);
        return;
    }
    s->state = SESSION_STOPPED;
    s->in_head = false;
    if (s->turn == NULL)
        weir_session_finish(s);
}

/* Those whose answers are not complete learn that the client may be gone. */
static void peer_ended(struct weir_session *s)
{
    struct weir_server *server = s->server;
    /* Exchanges end later, never inside a callback. */
    for (struct weir_exchange *x = s->turn; x != NULL; x = x->next)
        if (!x->finished && !x->internal)
            server->handler.on_peer_end(x, server->ctx);
}

static void session_on_eof(struct weir_conn *conn)
{
    struct weir_session *s = conn->user;
    if (s->held_until_ns != 0 && s->stash.bytes == 0)
        weir_session_end_idle(s); /* it left without a word */
    else if (!s->parked && !stopped(s))
        input_ended(s);
    if (s->server->handler.on_peer_end != NULL)
        peer_ended(s);
    settle(s);
}

void weir_session_unpark(struct weir_session *s)
{
    WEIR_ASSERT(s->parked);
    s->parked = false;
    weir_conn_resume(s->conn);
    if (s->in_head) /* it could not come while we did not read */
        read_deadline_set(s, s->server->cfg.head_timeout_ns);
    feed_stash(s);
    if (s->conn->eof && !s->parked && !stopped(s))
        input_ended(s);
    settle(s);
}

void weir_session_room(struct weir_session *s)
{
    struct weir_server *server = s->server;
    /* Half of the limit: a connection at its limit is not woken for every single answer. */
    if (s->parked && !weir_list_linked(&s->park_link) &&
        s->exchanges_count <= server->cfg.pipeline_max / 2)
        weir_list_push_back(&server->parked, &s->park_link);
    weir_server_exchange_freed(server);
}

/* ---- Output, time, end ------------------------------------------------------------------- */

static void session_on_secure(struct weir_conn *conn)
{
    struct weir_session *s = conn->user;
    s->securing = false;
    settle(s);
}

static void session_on_sent(struct weir_conn *conn)
{
    struct weir_session *s = conn->user;
    s->write_deadline_ns = 0; /* that was progress */
    weir_exchange_reap_sent(s);
    if (WEIR_UNLIKELY(s->turn != NULL && conn->out.bytes <= WEIR_SESSION_OUT_BYTES_MAX / 2))
        weir_exchange_wake_writers(s);
    settle(s);
}

static void reap_run(struct weir_ready *ready)
{
    struct weir_session *s = weir_container_of(ready, struct weir_session, reap);
    weir_exchange_reap_sent(s);
    settle(s);
}

static void session_on_timeout(struct weir_conn *conn)
{
    struct weir_session *s = conn->user;
    uint64_t now = conn->engine->now_ns;
    if (s->held_until_ns != 0 && s->held_until_ns <= now) {
        s->held_until_ns = 0;
        weir_session_unpark(s);
    } else if (s->securing) {
        s->server->stats.timeouts++;
        weir_conn_close(conn, WEIR_E_TIMEOUT, false); /* it could not read a 408 */
    } else if (s->write_deadline_ns != 0 && s->write_deadline_ns <= now) {
        s->server->stats.timeouts++;
        weir_conn_close(conn, WEIR_E_TIMEOUT, true);
    } else if (reading(s) && s->read_deadline_ns != 0 && s->read_deadline_ns <= now) {
        s->server->stats.timeouts++;
        weir_session_refuse(s, 408, "the request took too long", WEIR_E_TIMEOUT);
        weir_session_update_deadline(s);
    } else if (unused(s) && conn->finishing) {
        weir_conn_close(conn, 0, true); /* it does not even take the farewell of TLS */
    } else if (unused(s)) {
        s->server->stats.timeouts++;
        s->state = SESSION_STOPPED;
        weir_conn_finish(conn, 0, NULL);
        weir_session_update_deadline(s);
    } else {
        weir_session_update_deadline(s);
    }
}

static void session_on_closed(struct weir_conn *conn, int err)
{
    struct weir_session *s = conn->user;
    struct weir_server *server = s->server;
    s->state = SESSION_STOPPED;
    weir_stash_clear(conn->engine, &s->stash);
    weir_list_remove(&s->park_link);
    weir_list_remove(&s->reap.link);
    s->parked = false;
    weir_exchange_end_all(s, err == 0 ? WEIR_E_CLOSED : err);
    weir_list_remove(&s->link);
    weir_pool_put(&server->sessions, s);
    server->stats.conns_now--;
    if (!server->draining && weir_listener_paused(server->listener))
        weir_ready_push(&conn->engine->ready,
                        &server->unpark); /* the slot is free only after this */
    weir_server_check_drained(server);
}

const struct weir_conn_handler weir_session_conn_handler = {
    .on_recv = session_on_recv,
    .on_secure = session_on_secure,
    .on_eof = session_on_eof,
    .on_sent = session_on_sent,
    .on_timeout = session_on_timeout,
    .on_closed = session_on_closed,
};

/* The handshake comes first; what it takes is time that the peer has for a head. */
static void session_secure(struct weir_session *s)
{
    struct weir_server *server = s->server;
    int rc = weir_conn_secure(s->conn, server->cfg.tls, (struct weir_slice){ 0 },
                              (struct weir_slice){ 0 });
    if (rc < 0) {
        weir_conn_close(s->conn, rc, true); /* no memory */
        return;
    }
    s->securing = true;
    uint64_t bound = server->cfg.head_timeout_ns;
    read_deadline_set(s, bound != 0 ? bound : server->cfg.idle_timeout_ns);
}

/* Ask the application what is to become of a new connection. */
static void session_accepted(struct weir_session *s)
{
    struct weir_server *server = s->server;
    uint64_t verdict = server->handler.on_accept(server, s->number, server->ctx);
    if (verdict == WEIR_ACCEPT_RESET || verdict == WEIR_ACCEPT_CLOSE) {
        s->state = SESSION_STOPPED;
        weir_conn_close(s->conn, WEIR_E_CANCELLED, verdict == WEIR_ACCEPT_RESET);
    } else if (verdict > 0) {
        /* Parked, but on no list: no end of another exchange lets it in, only time does. It is
         * received, so that a client that goes is noticed. */
        uint64_t now = s->conn->engine->now_ns;
        s->held_until_ns = verdict < UINT64_MAX - now ? now + verdict : UINT64_MAX;
        s->parked = true;
    }
}

struct weir_session *weir_session_open(struct weir_server *server, int fd)
{
    struct weir_session *s = weir_pool_get(&server->sessions);
    if (s == NULL)
        return NULL;
    *s = (struct weir_session){ .server = server, .state = SESSION_HEAD };
    weir_list_init(&s->link);
    weir_list_init(&s->park_link);
    weir_list_init(&s->reap.link);
    s->reap.run = reap_run;
    s->conn = weir_conn_accept(server->engine, fd, &weir_session_conn_handler, s);
    if (s->conn == NULL) {
        weir_pool_put(&server->sessions, s);
        return NULL;
    }
    s->conn->zc = &server->zc;
    weir_list_push_back(&server->sessions_list, &s->link);
    server->stats.conns_now++;
    server->stats.conns++;
    s->number = server->member != NULL ? weir_group_number(server) : server->stats.conns;
    if (WEIR_UNLIKELY(server->handler.on_accept != NULL))
        session_accepted(s);
    if (server->cfg.tls != NULL && weir_conn_usable(s->conn))
        session_secure(s);
    weir_session_update_deadline(s);
    return s;
}
