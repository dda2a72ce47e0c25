/* SPDX-License-Identifier: MIT */
/*
 * One connection of a client: requests out, responses in.
 *
 *     CONNECTING --connected, TLS agreed--> HEAD <--complete-- BODY
 *         |                                 |  |--final head--> ^
 *         |                                 |  +--- 1xx --+     |
 *         v                                 v                   v
 *       gone <------------------- closed, broken, deadline, told to close
 *
 * Responses belong to the calls in flight in the order of their requests. Bytes that belong to
 * none, and responses before their request was sent whole, end the connection: what follows cannot
 * be trusted. A call that is given up can leave a response behind that is read for nothing
 * (draining), if nothing else is in flight.
 */
#include "proto/http/client_impl.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <weir/hist.h>

/* ---- Out --------------------------------------------------------------------------------- */

/* A lower bound of all deadlines in flight: looked at exactly when it passes. */
static void deadline_add(struct weir_client_conn *cc, const struct weir_call *call)
{
    uint64_t bound = cc->calls.count == 1 ? 0 : cc->conn->deadline_ns;
    if (bound == 0 || (call->until_ns != 0 && call->until_ns < bound))
        bound = call->until_ns;
    weir_conn_set_deadline(cc->conn, bound);
}

static void sent_books(struct weir_client_conn *cc, struct weir_call *call)
{
    struct weir_client *client = cc->client;
    struct weir_call_timing *t = &call->timing;
    t->sent_ns = client->engine->now_ns;
    t->endpoint = (uint8_t)cc->endpoint->index;
    t->reused = cc->requests > 0;
    if (WEIR_UNLIKELY(cc->requests == 0)) {
        cc->endpoint->retry_ns = 0;
        t->dns_ns = cc->dns_ns;
        t->connect_ns = cc->connect_ns;
        t->tls_ns = cc->tls_ns;
    }
    client->stats.reused += cc->requests > 0;
    client->stats.sent++;
    cc->endpoint->sent++;
    cc->requests++;
    client->in_flight_count++;
    cc->endpoint->in_flight_count++;
}

int weir_client_conn_send(struct weir_client_conn *cc, struct weir_call *call)
{
    WEIR_ASSERT(weir_conn_usable(cc->conn) && !cc->ending && !cc->connecting && !cc->draining);
    WEIR_ASSERT(cc->calls.count < cc->client->cfg.pipeline_max);
    int64_t n = weir_client_write_request(cc, call);
    if (n < 0)
        return (int)n;
    if (cc->calls.count == 0)
        cc->first_at = cc->conn->queued_bytes;
    weir_conn_queued(cc->conn, (uint64_t)n);
    call->state = CALL_IN_FLIGHT;
    call->owner = cc;
    call->attempts++;
    call->end_at = cc->conn->queued_bytes;
    call->timing.request_bytes = (uint64_t)n;
    sent_books(cc, call);
    if (cc->client->endpoints_count > 1)
        weir_endpoint_claim(cc->endpoint, call);
    weir_calls_push(&cc->calls, call);
    deadline_add(cc, call);
    if (WEIR_UNLIKELY(call->request.source != NULL)) {
        call->fed = 0;
        call->flags |= CALL_PRODUCING;
        weir_ready_push(&cc->conn->engine->ready, &cc->resume_run);
    }
    return 0;
}

/* ---- In ---------------------------------------------------------------------------------- */

static void conn_release(struct weir_client_conn *cc, int err)
{
    weir_client_conn_set_ending(cc);
    cc->gone = true; /* what callbacks ask of it from here on comes too late */
    weir_stash_clear(cc->client->engine, &cc->stash);
    weir_list_remove(&cc->resume_run.link);
    weir_client_content_drop(cc);
    weir_client_conn_gone(cc, err);
}

void weir_client_conn_end(struct weir_client_conn *cc, int err)
{
    if (cc->gone)
        return;
    weir_client_conn_set_ending(cc);
    weir_list_remove(&cc->link);
    if (cc->conn != NULL) {
        weir_conn_close(cc->conn, err, false);
    } else {
        weir_dial_cancel(&cc->dial);
        conn_release(cc, err);
    }
}

void weir_client_conn_retire(struct weir_client_conn *cc)
{
    WEIR_ASSERT(cc->calls.count == 0 && !cc->connecting);
    weir_client_conn_set_ending(cc);
    cc->retiring = true;
    weir_list_remove(&cc->link);
    weir_conn_set_deadline(cc->conn, cc->client->engine->now_ns + WEIR_DRAIN_NS);
    weir_conn_finish(cc->conn, WEIR_E_CLOSED, NULL);
}

/* What the first call ends with when the connection breaks here. */
static void call_broken(struct weir_client_conn *cc, int err)
{
    struct weir_call *call = cc->calls.first;
    if (call != NULL && call->err == 0 && (call->flags & CALL_AGAIN) == 0)
        call->err = err;
    weir_client_conn_end(cc, err);
}

static void call_out(struct weir_client_conn *cc, struct weir_call *call)
{
    weir_calls_remove(&cc->calls, call);
    cc->client->in_flight_count--;
    cc->endpoint->in_flight_count--;
}

/* A whole response was read. May the connection be used again, as far as that goes? */
static void conn_ready(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    cc->in_body = false;
    cc->draining = false;
    cc->complete = false;
    cc->interim_count = 0;
    if (!cc->keep_alive || cc->conn->eof || cc->ending || !weir_conn_usable(cc->conn)) {
        weir_client_conn_end(cc, WEIR_E_CLOSED);
        return;
    }
    if (client->waiting.count > 0)
        weir_client_feed(cc, client->cfg.pipeline_max);
    weir_client_offer(cc);
}

static void response_complete(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    struct weir_call *call = cc->calls.first;
    bool sent_whole = cc->conn->sent_bytes >= call->end_at && (call->flags & CALL_PRODUCING) == 0;
    int err = call->err;
    cc->first_at = call->end_at;
    if (WEIR_UNLIKELY(cc->decoder != NULL || (call->flags & CALL_EVENTS) != 0) && err == 0)
        err = weir_client_content_end(cc, call);
    if (WEIR_UNLIKELY(!sent_whole)) {
        /* The memory of a request that is still being sent is the kernel's until the connection is
         * gone. */
        call->err = err;
        if (err == 0) /* else it was cancelled in on_head */
            call->flags |= CALL_ANSWERED;
        weir_client_conn_end(cc, WEIR_E_CANCELLED);
        return;
    }
    call_out(cc, call);
    conn_ready(cc);
    weir_call_finish(client, call, err);
}

/* ---- Draining ---------------------------------------------------------------------------- */

/* Calls wait, and no connection can be made for them: those that read for nothing get less time. */
void weir_client_hurry(struct weir_client *client)
{
    uint64_t until = client->engine->now_ns + WEIR_DRAIN_HURRY_NS;
    if (client->hurried)
        return;
    client->hurried = true;
    for (struct weir_list *n = client->draining.next; n != &client->draining; n = n->next) {
        struct weir_client_conn *cc = weir_container_of(n, struct weir_client_conn, link);
        if (cc->conn->deadline_ns > until)
            weir_conn_set_deadline(cc->conn, until);
    }
}

/* What was read for nothing is over. */
static void drained(struct weir_client_conn *cc)
{
    cc->client->stats.drained += cc->keep_alive && !cc->ending;
    conn_ready(cc);
}

bool weir_client_conn_leave(struct weir_client_conn *cc)
{
    struct weir_call *call = cc->calls.first;
    struct weir_client *client = cc->client;
    if (cc->ending || cc->calls.count > 1 || client->cfg.drain_bytes_max == 0 || client->closing ||
        cc->conn->sent_bytes < call->end_at || (call->flags & CALL_PRODUCING) != 0 ||
        !weir_conn_usable(cc->conn) || cc->conn->eof)
        return false;
    if (cc->in_body && (!cc->keep_alive || cc->body.framing == WEIR_HTTP1_BODY_EOF ||
                        (cc->body.framing == WEIR_HTTP1_BODY_LENGTH &&
                         cc->body.remaining > client->cfg.drain_bytes_max)))
        return false;
    weir_client_content_drop(cc);
    cc->draining = true;
    weir_list_remove(&cc->link);
    weir_list_push_back(&client->draining, &cc->link);
    cc->drain_head =
        call->request.method.len == 4 && memcmp(call->request.method.ptr, "HEAD", 4) == 0;
    cc->drain_bytes = client->cfg.drain_bytes_max;
    cc->first_at = call->end_at;
    call_out(cc, call);
    weir_conn_set_deadline(cc->conn, client->engine->now_ns + WEIR_DRAIN_NS);
    client->hurried = false;
    if (client->waiting.count > 0 && !weir_endpoint_may_connect(cc->endpoint))
        weir_client_hurry(client);
    if ((call->flags & CALL_PAUSED) != 0)
        weir_client_conn_resume(cc);
    if (cc->complete)
        drained(cc); /* nothing of it is to come */
    return true;
}

/* The rest of it would be too much, or has no end. */
static bool undrainable(const struct weir_client_conn *cc, uint64_t more)
{
    return cc->body.framing == WEIR_HTTP1_BODY_EOF || more > cc->drain_bytes;
}

/* ---- Heads ------------------------------------------------------------------------------- */

/* "timeout=5, max=100": for how long the server keeps the connection when it is unused (a parameter
 * of the field Keep-Alive, RFC 2068 section 19.7.1). We are a second earlier. */
static uint64_t server_idle(const struct weir_http1_head *head)
{
    const uint64_t second = 1000000000u;
    const struct weir_slice name = WEIR_TEXT("timeout=");
    struct weir_slice value = weir_http1_find(head, WEIR_TEXT("Keep-Alive"));
    uint64_t seconds = 0;
    size_t at = 0;
    if (WEIR_LIKELY(value.len == 0))
        return 0;
    while (at + name.len < value.len &&
           strncasecmp((const char *)value.ptr + at, (const char *)name.ptr, name.len) != 0)
        at++;
    for (at += name.len; at < value.len && value.ptr[at] >= '0' && value.ptr[at] <= '9'; at++)
        if (seconds < 1000000)
            seconds = seconds * 10 + (uint64_t)(value.ptr[at] - '0');
    return seconds > 1 ? (seconds - 1) * second : seconds * second / 2;
}

/* Its response is not handed out: the call waits, and goes out again. */
static void call_again(struct weir_client_conn *cc, struct weir_call *call, uint64_t wait_ns)
{
    struct weir_client *client = cc->client;
    if (weir_client_conn_leave(cc)) {
        weir_call_retry(client, call, wait_ns);
        return;
    }
    call->flags |= CALL_AGAIN;
    call->limit_ns = wait_ns; /* kept there until the connection has let go of its memory */
    weir_client_conn_end(cc, WEIR_E_CANCELLED);
}

/* The head is final: what follows it is a body, or the next response. */
static void body_begin(struct weir_client_conn *cc)
{
    const struct weir_http1_head *head = &cc->client->response.head;
    cc->keep_alive = head->keep_alive;
    /* A server that says so says it in its first response. */
    if (WEIR_UNLIKELY(!cc->answered || cc->server_idle_ns != 0))
        cc->server_idle_ns = server_idle(head);
    cc->answered = true;
    if (WEIR_UNLIKELY(!head->keep_alive) && !cc->draining)
        weir_list_remove(&cc->link); /* nothing is to follow on it */
    weir_http1_body_init_with(&cc->body, head->framing, head->content_length,
                              cc->client->limits.lenient);
    cc->in_body = head->framing != WEIR_HTTP1_BODY_NONE &&
                  !(head->framing == WEIR_HTTP1_BODY_LENGTH && head->content_length == 0);
}

static void on_final_head(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    struct weir_call *call = cc->calls.first;
    uint64_t wait_ns;
    body_begin(cc);
    if (WEIR_UNLIKELY(call == NULL)) {
        if (!cc->in_body)
            drained(cc);
        else if (undrainable(cc, cc->body.remaining))
            weir_client_conn_end(cc, WEIR_E_CLOSED);
        return;
    }
    call->status = client->response.head.status;
    if (client->endpoints_count > 1 || call->status >= 500)
        weir_endpoint_result(cc->endpoint, call, 0); /* judged now: what follows may take long */
    if (client->cfg.retry.attempts_max > 1 && weir_call_retries_status(cc, call, &wait_ns)) {
        call_again(cc, call, wait_ns);
        if (cc->draining && !cc->in_body)
            drained(cc);
        return;
    }
    if (WEIR_UNLIKELY(call->err != 0)) {
        weir_client_conn_end(cc, WEIR_E_CANCELLED); /* while its source was asked for a retry */
        return;
    }
    call->flags |= CALL_HEADED;
    if (WEIR_UNLIKELY(call->request.decode || call->sse != NULL) && cc->in_body) {
        int rc = weir_client_content_begin(cc, call);
        if (rc < 0) {
            call_broken(cc, rc);
            return;
        }
    }
    if (call->handler->on_head != NULL && call->err == 0)
        call->handler->on_head(call, &client->response);
    if (cc->in_body || cc->ending)
        return;
    if (WEIR_UNLIKELY(cc->draining))
        drained(cc);
    else if (WEIR_UNLIKELY((call->flags & CALL_PAUSED) != 0))
        cc->complete = true;
    else
        response_complete(cc);
}

static size_t feed_head(struct weir_client_conn *cc, struct weir_slice in)
{
    struct weir_client *client = cc->client;
    struct weir_http1_head *head = &client->response.head;
    struct weir_parse_err err;
    struct weir_call *call = cc->calls.first;
    struct weir_slice method = cc->drain_head ? WEIR_TEXT("HEAD") : WEIR_TEXT("GET");
    if (WEIR_LIKELY(call != NULL))
        method = call->request.method;
    enum weir_parse r =
        weir_http1_parse_response(head, &client->limits, method, in, &cc->resume, &err);
    if (r == WEIR_PARSE_MORE)
        return 0;
    if (r == WEIR_PARSE_ERROR) {
        bool limit = weir_http1_error_status(err.code) == 431;
        call_broken(cc, limit ? WEIR_E_LIMIT : WEIR_E_PROTOCOL);
        return 0;
    }
    cc->resume = 0;
    size_t used = head->bytes;
    if (head->status >= 200) {
        on_final_head(cc);
    } else if (head->status == 101 || ++cc->interim_count > WEIR_INTERIM_MAX) {
        call_broken(cc, WEIR_E_PROTOCOL); /* nobody asked to switch protocols */
    }
    return used;
}

/* ---- Bodies ------------------------------------------------------------------------------ */

static void piece_books(struct weir_client_conn *cc, struct weir_call *call, size_t bytes)
{
    struct weir_call_timing *t = &call->timing;
    uint64_t now = cc->client->engine->now_ns;
    if (t->pieces++ > 0) {
        uint64_t gap = now - t->last_byte_ns;
        if (gap > t->gap_max_ns)
            t->gap_max_ns = gap;
        if (call->gaps != NULL)
            weir_hist_record(call->gaps, gap);
    }
    t->last_byte_ns = now;
    t->body_bytes += bytes;
}

/* A piece for the first call, or for nobody. */
static void piece_out(struct weir_client_conn *cc, struct weir_slice piece)
{
    struct weir_call *call = cc->calls.first;
    if (WEIR_UNLIKELY(call == NULL)) {
        if (undrainable(cc, piece.len))
            weir_client_conn_end(cc, WEIR_E_CLOSED);
        else
            cc->drain_bytes -= piece.len;
        return;
    }
    piece_books(cc, call, piece.len);
    if (call->err != 0)
        return;
    if (WEIR_LIKELY(cc->decoder == NULL && (call->flags & CALL_EVENTS) == 0)) {
        if (call->handler->on_body != NULL)
            call->handler->on_body(call, piece);
        return;
    }
    int rc = weir_client_content(cc, call, piece);
    if (rc < 0 && call->err == 0 && cc->calls.first == call)
        call_broken(cc, rc);
}

static size_t feed_body(struct weir_client_conn *cc, struct weir_slice in)
{
    struct weir_parse_err err;
    struct weir_slice piece;
    size_t used = 0;
    enum weir_parse r = weir_http1_body_feed(&cc->body, in, &used, &piece, &err);
    if (r == WEIR_PARSE_ERROR) {
        call_broken(cc, WEIR_E_PROTOCOL);
        return 0;
    }
    if (piece.len > 0)
        piece_out(cc, piece);
    if (r != WEIR_PARSE_DONE || cc->ending)
        return used;
    if (WEIR_UNLIKELY(cc->draining))
        drained(cc);
    else if (WEIR_UNLIKELY((cc->calls.first->flags & CALL_PAUSED) != 0))
        cc->complete = true; /* its end waits as well */
    else
        response_complete(cc);
    return used;
}

/* Has the kernel been given any byte of the first request? What comes before is no answer to it. */
static bool asked(const struct weir_client_conn *cc)
{
    const struct weir_conn *conn = cc->conn;
    uint64_t given = conn->sent_bytes + (conn->send_inflight ? conn->sending_bytes : 0);
    return given > cc->first_at;
}

/* May the next bytes be looked at? */
static bool open_for_input(struct weir_client_conn *cc)
{
    struct weir_call *call = cc->calls.first;
    if (WEIR_UNLIKELY(cc->resuming))
        return false; /* what was kept comes first */
    if (WEIR_UNLIKELY(call == NULL)) {
        if (!cc->draining)
            weir_client_conn_end(cc, WEIR_E_PROTOCOL); /* an answer to nothing */
        return cc->draining;
    }
    if (WEIR_UNLIKELY((call->flags & CALL_PAUSED) != 0)) {
        weir_conn_pause(cc->conn);
        return false;
    }
    if (WEIR_UNLIKELY(!asked(cc))) {
        weir_client_conn_end(cc, WEIR_E_PROTOCOL);
        return false;
    }
    if (call->timing.first_byte_ns == 0)
        call->timing.first_byte_ns = cc->client->engine->now_ns;
    return true;
}

static size_t feed(struct weir_client_conn *cc, struct weir_slice in)
{
    size_t used = 0;
    while (used < in.len && !cc->ending && open_for_input(cc)) {
        struct weir_slice rest = { in.ptr + used, in.len - used };
        size_t n = cc->in_body ? feed_body(cc, rest) : feed_head(cc, rest);
        used += n;
        if (n == 0)
            break;
    }
    return used;
}

/* What was kept, as far as it can be used now. */
static void feed_stash(struct weir_client_conn *cc)
{
    struct weir_engine *engine = cc->client->engine;
    while (cc->stash.bytes > 0 && !cc->ending) {
        size_t n = feed(cc, weir_stash_front(&cc->stash));
        weir_stash_consume(engine, &cc->stash, n);
        if (n == 0 && !weir_stash_join(engine, &cc->stash))
            break;
    }
}

static void cc_on_recv(struct weir_conn *conn, struct weir_slice data)
{
    struct weir_client_conn *cc = conn->user;
    struct weir_engine *engine = conn->engine;
    if (WEIR_LIKELY(cc->stash.bytes == 0)) {
        size_t used = feed(cc, data);
        struct weir_slice rest = { data.ptr + used, data.len - used };
        if (rest.len > 0 && !cc->ending && weir_stash_append(engine, &cc->stash, rest) < 0)
            call_broken(cc, WEIR_E_LIMIT);
        return;
    }
    if (cc->ending)
        return;
    if (weir_stash_append(engine, &cc->stash, data) < 0) {
        call_broken(cc, WEIR_E_LIMIT);
        return;
    }
    feed_stash(cc);
}

static void cc_on_eof(struct weir_conn *conn)
{
    struct weir_client_conn *cc = conn->user;
    struct weir_call *call = cc->calls.first;
    if (cc->ending)
        return;
    if (call == NULL) {
        cc->client->stats.closed_by_peer += !cc->draining;
        weir_client_conn_end(cc, WEIR_E_CLOSED);
    } else if (cc->resuming || (call->flags & CALL_PAUSED) != 0) {
        return; /* looked at again when it goes on */
    } else if (cc->in_body && cc->body.framing == WEIR_HTTP1_BODY_EOF && !conn->eof_unclean) {
        cc->keep_alive = false;
        response_complete(cc);
    } else {
        weir_client_conn_end(cc, WEIR_E_CLOSED); /* after some of the response: truncated */
    }
}

/* ---- Pausing ----------------------------------------------------------------------------- */

void weir_client_conn_resume(struct weir_client_conn *cc)
{
    if (cc->gone)
        return;
    cc->resuming = true;
    weir_ready_push(&cc->client->engine->ready, &cc->resume_run);
}

/* The content that was kept first. @return false: the call was paused again, or broke */
static bool content_resumed(struct weir_client_conn *cc, struct weir_call *call)
{
    int rc = weir_client_content_resume(cc, call);
    if (rc < 0 && cc->calls.first == call && call->err == 0)
        call_broken(cc, rc);
    if (cc->ending || (cc->calls.first == call && (call->flags & CALL_PAUSED) != 0))
        return false;
    if (cc->calls.first == call && cc->complete)
        response_complete(cc);
    return !cc->ending;
}

/* Never inside the call that asked for it. */
static void resume_run(struct weir_ready *ready)
{
    struct weir_client_conn *cc = weir_container_of(ready, struct weir_client_conn, resume_run);
    if (!cc->ending)
        weir_client_pump(cc);
    if (!cc->resuming || cc->ending)
        return;
    cc->resuming = false;
    struct weir_call *call = cc->calls.first;
    if (call != NULL && (call->flags & CALL_PAUSED) != 0)
        return;
    if (call != NULL && !content_resumed(cc, call))
        return;
    feed_stash(cc);
    call = cc->calls.first;
    if (cc->ending || (call != NULL && (call->flags & CALL_PAUSED) != 0))
        return;
    if (cc->conn->eof)
        cc_on_eof(cc->conn);
    else
        weir_conn_resume(cc->conn);
}

/* ---- Life -------------------------------------------------------------------------------- */

static void ready_for_calls(struct weir_client_conn *cc)
{
    cc->connecting = false;
    cc->conn->deadline_ns = 0;
    weir_client_conn_made(cc);
}

static void cc_on_open(struct weir_conn *conn)
{
    struct weir_client_conn *cc = conn->user;
    struct weir_endpoint *endpoint = cc->endpoint;
    uint64_t now = conn->engine->now_ns;
    uint64_t limit = cc->client->cfg.connect_timeout_ns;
    cc->conn = conn;
    cc->connect_ns = now - cc->began_ns;
    /* Others that look at the addresses right now keep their order. */
    if (cc->dial.winner > 0 && cc->dial.cfg.addrs == endpoint->addrs &&
        cc->dial.winner < endpoint->addrs_count && endpoint->connecting_count == 1)
        weir_addr_prefer(endpoint->addrs, endpoint->addrs_count, cc->dial.winner);
    if (!endpoint->secure) {
        ready_for_calls(cc);
        return;
    }
    weir_conn_set_deadline(conn, limit == 0 ? 0 : cc->began_ns + limit);
    cc->began_ns = now;
    const char *name = cc->client->tls_name[0] != '\0' ? cc->client->tls_name : endpoint->host;
    struct weir_slice host = { (const uint8_t *)name, strlen(name) };
    struct weir_slice key = { (const uint8_t *)endpoint->session_key,
                              strlen(endpoint->session_key) };
    int rc = weir_conn_secure(conn, cc->client->tls, host, key);
    if (rc < 0)
        weir_client_conn_end(cc, rc);
}

static void cc_on_secure(struct weir_conn *conn)
{
    struct weir_client_conn *cc = conn->user;
    cc->tls_ns = conn->engine->now_ns - cc->began_ns;
    struct weir_tls_info info = { 0 };
    cc->client->stats.tls_resumed += weir_conn_tls_info(conn, &info) && info.resumed;
    if (info.alpn.len > 0 && (info.alpn.len < 7 || memcmp(info.alpn.ptr, "http/1.", 7) != 0)) {
        snprintf(cc->endpoint->reason, sizeof cc->endpoint->reason, "%s: the server speaks %.*s",
                 cc->endpoint->label, (int)info.alpn.len, (const char *)info.alpn.ptr);
        cc->foreign = true;
        weir_client_conn_end(cc, WEIR_E_TLS);
        return;
    }
    ready_for_calls(cc);
}

static void cc_on_sent(struct weir_conn *conn)
{
    struct weir_client_conn *cc = conn->user;
    struct weir_call *last = cc->calls.last;
    if (WEIR_UNLIKELY(last != NULL && (last->flags & CALL_PRODUCING) != 0))
        weir_client_pump(cc);
}

/* The bound has passed: end what is late, and find the next bound. */
static void deadlines_check(struct weir_client_conn *cc)
{
    uint64_t now = cc->client->engine->now_ns;
    uint64_t bound = 0;
    bool late = false;
    for (struct weir_call *call = cc->calls.first; call != NULL; call = call->next) {
        if (call->until_ns == 0)
            continue;
        if (call->until_ns <= now) {
            if (call->err == 0 && (call->flags & CALL_ANSWERED) == 0)
                call->err = WEIR_E_DEADLINE;
            late = true;
        } else if (bound == 0 || call->until_ns < bound) {
            bound = call->until_ns;
        }
    }
    if (!late) {
        weir_conn_set_deadline(cc->conn, bound);
        return;
    }
    struct weir_call *call = cc->calls.first;
    if (weir_client_conn_leave(cc)) {
        weir_endpoint_result(cc->endpoint, call, WEIR_E_DEADLINE);
        weir_call_end_later(cc->client, call, WEIR_E_DEADLINE);
    } else {
        weir_client_conn_end(cc, WEIR_E_CANCELLED); /* its answer would be the next one's */
    }
}

static void cc_on_timeout(struct weir_conn *conn)
{
    struct weir_client_conn *cc = conn->user;
    if (cc->connecting)
        weir_client_conn_end(cc, WEIR_E_CONNECT_TIMEOUT);
    else if (cc->calls.count > 0)
        deadlines_check(cc);
    else if (cc->draining || cc->ending)
        weir_client_conn_end(cc, WEIR_E_CLOSED);
    else
        weir_client_conn_unused(cc);
}

static void cc_on_closed(struct weir_conn *conn, int err)
{
    struct weir_client_conn *cc = conn->user;
    if ((err == WEIR_E_TLS && !cc->foreign) || err == WEIR_E_CERTIFICATE)
        snprintf(cc->endpoint->reason, sizeof cc->endpoint->reason, "%s: %s", cc->endpoint->label,
                 weir_conn_tls_error(conn));
    if (!cc->ending && !cc->connecting && cc->calls.count == 0 && !cc->draining)
        cc->client->stats.closed_by_peer++; /* by a reset */
    conn_release(cc, err);
}

static const struct weir_conn_handler conn_handler = {
    .on_open = cc_on_open,
    .on_recv = cc_on_recv,
    .on_eof = cc_on_eof,
    .on_sent = cc_on_sent,
    .on_timeout = cc_on_timeout,
    .on_closed = cc_on_closed,
    .on_secure = cc_on_secure,
};

static void on_dial_failed(struct weir_dial *dial, int err)
{
    conn_release(weir_container_of(dial, struct weir_client_conn, dial), err);
}

int weir_client_conn_open(struct weir_endpoint *endpoint, struct weir_client_conn **out)
{
    struct weir_client *client = endpoint->client;
    struct weir_client_conn *cc = weir_pool_get(&client->conns);
    uint64_t now = client->engine->now_ns;
    uint64_t limit = client->cfg.connect_timeout_ns;
    if (cc == NULL)
        return -ENOBUFS;
    *cc = (struct weir_client_conn){ .client = client,
                                     .endpoint = endpoint,
                                     .connecting = true,
                                     .began_ns = now,
                                     .dns_ns = endpoint->lookup_ns,
                                     .resume_run.run = resume_run };
    weir_list_init(&cc->link);
    weir_list_init(&cc->all_link);
    weir_list_init(&cc->resume_run.link);
    struct weir_dial_config cfg = { .addrs = endpoint->addrs,
                                    .count = endpoint->addrs_count,
                                    .stagger_ns = client->cfg.stagger_ns,
                                    .deadline_ns = limit == 0 ? 0 : now + limit,
                                    .handler = &conn_handler,
                                    .user = cc,
                                    .on_failed = on_dial_failed,
                                    .given_up = &client->given_up };
    int rc = weir_dial_start(&cc->dial, client->engine, &cfg);
    if (rc < 0) {
        weir_pool_put(&client->conns, cc);
        return rc;
    }
    endpoint->lookup_ns = 0; /* the first connection waited for it */
    weir_list_push_back(&endpoint->all, &cc->all_link);
    client->connecting_count++;
    endpoint->connecting_count++;
    endpoint->conns_count++;
    client->stats.conns_now++;
    *out = cc;
    return 0;
}

/* ---- The response's head ----------------------------------------------------------------- */

uint16_t weir_response_status(const struct weir_response_head *response)
{
    return response->head.status;
}

struct weir_slice weir_response_header(const struct weir_response_head *response,
                                       struct weir_slice name)
{
    return weir_http1_find(&response->head, name);
}

size_t weir_response_headers_count(const struct weir_response_head *response)
{
    return response->head.fields_count;
}

struct weir_header weir_response_header_at(const struct weir_response_head *response, size_t index)
{
    WEIR_ASSERT(index < response->head.fields_count);
    return (struct weir_header){ weir_http1_name(&response->head, (unsigned)index),
                                 weir_http1_value(&response->head, (unsigned)index) };
}
