/* SPDX-License-Identifier: MIT */
/*
 * One connection of a client: requests out, responses in.
 *
 *     CONNECTING --on_open--> HEAD <--complete-- BODY
 *         |                     |--final head-->  ^
 *         |                     +--- 1xx --+      |
 *         v                     v                 v
 *       gone <------ closed, broken, deadline, told to close
 *
 * Responses belong to the calls in flight in the order of their requests. Bytes that belong to
 * none, and responses before their request was sent whole, end the connection: what follows cannot
 * be trusted.
 */
#include "proto/http/client_impl.h"

#include <errno.h>

_Static_assert(sizeof(struct weir_seg) <= sizeof(((struct weir_call *)0)->space),
               "a call has room for the segment of its borrowed body");

/* Bodies up to this are copied behind their head: cheaper than another part of a gathered send. */
#define BODY_COPY_BYTES_MAX 1024

/* ---- Out --------------------------------------------------------------------------------- */

static struct weir_http1_request_spec spec_of(const struct weir_client *client,
                                              const struct weir_call *call)
{
    const struct weir_request *r = &call->request;
    bool body = r->body.len > 0 || r->body_always;
    return (struct weir_http1_request_spec){
        .method = r->method,
        .target = r->target,
        .host = r->host.len > 0 ? r->host : client->host,
        .framing = body ? WEIR_HTTP1_BODY_LENGTH : WEIR_HTTP1_BODY_NONE,
        .content_length = r->body.len,
        .headers = r->headers,
        .headers_count = r->headers_count,
    };
}

int64_t weir_client_write_head(const struct weir_client *client, const struct weir_call *call,
                               uint8_t *out, size_t capacity)
{
    struct weir_http1_request_spec spec = spec_of(client, call);
    if (weir_http1_request_bytes_max(&spec) > capacity)
        return weir_fail(-EINVAL, "the request head needs more than %zu bytes", capacity);
    return weir_http1_write_request(out, capacity, &spec);
}

/* A head of any length, and the body: copied if it is small, borrowed if not. */
static int long_send(struct weir_client_conn *cc, struct weir_call *call)
{
    struct weir_client *client = cc->client;
    struct weir_conn *conn = cc->conn;
    struct weir_slice body = call->request.body;
    int64_t n = weir_client_write_head(client, call, client->scratch, client->scratch_bytes);
    if (n < 0)
        return (int)n;
    int rc = weir_sendq_copy(conn->engine, &conn->out,
                             (struct weir_slice){ client->scratch, (size_t)n });
    if (rc < 0)
        return rc;
    if (body.len > 0)
        weir_sendq_borrow(&conn->out, (struct weir_seg *)(void *)call->space, body, NULL);
    weir_conn_queued(conn, (uint64_t)n + body.len);
    return 0;
}

static int request_write(struct weir_client_conn *cc, struct weir_call *call)
{
    struct weir_conn *conn = cc->conn;
    struct weir_http1_request_spec spec = spec_of(cc->client, call);
    struct weir_slice body = call->request.body;
    size_t max = weir_http1_request_bytes_max(&spec) + body.len;
    if (max > WEIR_CHUNK_ROOM || body.len > BODY_COPY_BYTES_MAX)
        return long_send(cc, call);
    uint8_t *at = weir_sendq_reserve(conn->engine, &conn->out, max);
    if (at == NULL)
        return -ENOBUFS;
    int64_t n = weir_http1_write_request(at, max, &spec);
    if (n < 0)
        return (int)n;
    if (body.len > 0)
        memcpy(at + n, body.ptr, body.len);
    weir_sendq_commit(&conn->out, (size_t)n + body.len);
    weir_conn_queued(conn, (uint64_t)n + body.len);
    return 0;
}

int weir_client_conn_send(struct weir_client_conn *cc, struct weir_call *call)
{
    struct weir_client *client = cc->client;
    WEIR_ASSERT(weir_conn_usable(cc->conn) && !cc->ending && !cc->connecting);
    WEIR_ASSERT(cc->calls.count < client->cfg.pipeline_max);
    int rc = request_write(cc, call);
    if (rc < 0)
        return rc;
    call->state = CALL_IN_FLIGHT;
    call->owner = cc;
    call->end_at = cc->conn->queued_bytes;
    call->timing.sent_ns = client->engine->now_ns;
    call->timing.reused = cc->requests > 0;
    client->stats.reused += cc->requests > 0;
    cc->requests++;
    weir_calls_push(&cc->calls, call);
    client->in_flight_count++;
    /* A lower bound of all deadlines in flight: looked at exactly when it passes. */
    uint64_t bound = cc->calls.count == 1 ? 0 : cc->conn->deadline_ns;
    if (bound == 0 || (call->deadline_ns != 0 && call->deadline_ns < bound))
        bound = call->deadline_ns;
    weir_conn_set_deadline(cc->conn, bound);
    return 0;
}

/* ---- In ---------------------------------------------------------------------------------- */

static void conn_end(struct weir_client_conn *cc, int err)
{
    cc->ending = true;
    weir_list_remove(&cc->link);
    weir_conn_close(cc->conn, err, false);
}

/* What the first call ends with when the connection breaks here. */
static void call_broken(struct weir_client_conn *cc, int err)
{
    struct weir_call *call = cc->calls.first;
    if (call != NULL && call->err == 0)
        call->err = err;
    conn_end(cc, err);
}

static void response_complete(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    struct weir_call *call = cc->calls.first;
    bool sent_whole = cc->conn->sent_bytes >= call->end_at;
    cc->in_body = false;
    cc->interim_count = 0;
    cc->first_at = call->end_at;
    weir_calls_remove(&cc->calls, call);
    client->in_flight_count--;
    if (!cc->keep_alive || !sent_whole || cc->conn->eof || cc->ending) {
        /* The memory of a request that is still being sent is the kernel's until the connection is
         * gone. */
        if (!sent_whole) {
            call->answered = call->err == 0; /* it may have been cancelled in on_head */
            weir_calls_push(&cc->calls, call);
            client->in_flight_count++;
            conn_end(cc, WEIR_E_CLOSED);
            return;
        }
        conn_end(cc, WEIR_E_CLOSED);
    } else {
        if (client->waiting.count > 0)
            weir_client_feed(cc, client->cfg.pipeline_max);
        weir_client_offer(cc);
    }
    weir_call_finish(client, call, call->err);
}

static void on_final_head(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    const struct weir_http1_head *head = &client->response.head;
    struct weir_call *call = cc->calls.first;
    call->status = head->status;
    cc->keep_alive = head->keep_alive;
    enum weir_http1_framing framing = head->framing;
    uint64_t length = head->content_length;
    if (call->handler->on_head != NULL && call->err == 0)
        call->handler->on_head(call, &client->response);
    if (framing == WEIR_HTTP1_BODY_NONE || (framing == WEIR_HTTP1_BODY_LENGTH && length == 0)) {
        response_complete(cc);
        return;
    }
    weir_http1_body_init_with(&cc->body, framing, length, cc->client->limits.lenient);
    cc->in_body = true;
}

static size_t feed_head(struct weir_client_conn *cc, struct weir_slice in)
{
    struct weir_client *client = cc->client;
    struct weir_http1_head *head = &client->response.head;
    struct weir_parse_err err;
    struct weir_call *call = cc->calls.first;
    enum weir_parse r = weir_http1_parse_response(head, &client->limits, call->request.method, in,
                                                  &cc->resume, &err);
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

static size_t feed_body(struct weir_client_conn *cc, struct weir_slice in)
{
    struct weir_call *call = cc->calls.first;
    struct weir_parse_err err;
    struct weir_slice piece;
    size_t used = 0;
    enum weir_parse r = weir_http1_body_feed(&cc->body, in, &used, &piece, &err);
    if (r == WEIR_PARSE_ERROR) {
        call_broken(cc, WEIR_E_PROTOCOL);
        return 0;
    }
    call->timing.body_bytes += piece.len;
    if (piece.len > 0 && call->handler->on_body != NULL && call->err == 0)
        call->handler->on_body(call, piece);
    if (r == WEIR_PARSE_DONE && !cc->ending)
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

static size_t feed(struct weir_client_conn *cc, struct weir_slice in)
{
    size_t used = 0;
    while (used < in.len && !cc->ending) {
        struct weir_call *call = cc->calls.first;
        if (call == NULL || WEIR_UNLIKELY(!asked(cc))) {
            conn_end(cc, WEIR_E_PROTOCOL); /* an answer to nothing */
            break;
        }
        if (call->timing.first_byte_ns == 0)
            call->timing.first_byte_ns = cc->client->engine->now_ns;
        struct weir_slice rest = { in.ptr + used, in.len - used };
        size_t n = cc->in_body ? feed_body(cc, rest) : feed_head(cc, rest);
        used += n;
        if (n == 0)
            break;
    }
    return used;
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
    while (cc->stash.bytes > 0 && !cc->ending) {
        size_t n = feed(cc, weir_stash_front(&cc->stash));
        weir_stash_consume(engine, &cc->stash, n);
        if (n == 0 && !weir_stash_join(engine, &cc->stash))
            break;
    }
}

static void cc_on_eof(struct weir_conn *conn)
{
    struct weir_client_conn *cc = conn->user;
    struct weir_call *call = cc->calls.first;
    if (cc->ending)
        return;
    if (call == NULL) {
        conn_end(cc, WEIR_E_CLOSED);
    } else if (cc->in_body && cc->body.framing == WEIR_HTTP1_BODY_EOF) {
        cc->keep_alive = false;
        response_complete(cc);
    } else {
        call_broken(cc, call->timing.first_byte_ns != 0 ? WEIR_E_TRUNCATED : WEIR_E_CLOSED);
    }
}

/* ---- Life -------------------------------------------------------------------------------- */

static void cc_on_open(struct weir_conn *conn)
{
    struct weir_client_conn *cc = conn->user;
    struct weir_client *client = cc->client;
    cc->connecting = false;
    client->connecting_count--;
    client->stats.conns++;
    /* What waits is shared out among the connections that are still being made. */
    uint32_t share = client->waiting.count / (client->connecting_count + 1);
    weir_client_feed(cc, share > 0 ? share : 1);
    weir_client_offer(cc);
}

static void cc_on_sent(struct weir_conn *conn)
{
    (void)conn;
}

/* The bound has passed: end what is late, and find the next bound. */
static void deadlines_check(struct weir_client_conn *cc)
{
    uint64_t now = cc->client->engine->now_ns;
    uint64_t bound = 0;
    bool late = false;
    for (struct weir_call *call = cc->calls.first; call != NULL; call = call->next) {
        if (call->deadline_ns == 0)
            continue;
        if (call->deadline_ns <= now) {
            if (call->err == 0)
                call->err = WEIR_E_DEADLINE;
            late = true;
        } else if (bound == 0 || call->deadline_ns < bound) {
            bound = call->deadline_ns;
        }
    }
    if (late)
        conn_end(cc, WEIR_E_CLOSED); /* its answer would be taken for the next one's */
    else
        weir_conn_set_deadline(cc->conn, bound);
}

static void cc_on_timeout(struct weir_conn *conn)
{
    struct weir_client_conn *cc = conn->user;
    if (cc->connecting)
        conn_end(cc, WEIR_E_CONNECT_TIMEOUT);
    else if (cc->calls.count > 0)
        deadlines_check(cc);
    else
        conn_end(cc, WEIR_E_CLOSED);
}

static void cc_on_closed(struct weir_conn *conn, int err)
{
    struct weir_client_conn *cc = conn->user;
    weir_stash_clear(conn->engine, &cc->stash);
    weir_client_conn_gone(cc, err);
}

static const struct weir_conn_handler conn_handler = {
    .on_open = cc_on_open,
    .on_recv = cc_on_recv,
    .on_eof = cc_on_eof,
    .on_sent = cc_on_sent,
    .on_timeout = cc_on_timeout,
    .on_closed = cc_on_closed,
};

int weir_client_conn_open(struct weir_client *client)
{
    struct weir_client_conn *cc = weir_pool_get(&client->conns);
    if (cc == NULL)
        return -ENOBUFS;
    *cc = (struct weir_client_conn){ .client = client, .connecting = true };
    weir_list_init(&cc->link);
    weir_list_init(&cc->all_link);
    int rc = weir_conn_connect(&cc->conn, client->engine, &client->addr, &conn_handler, cc);
    if (rc < 0) {
        weir_pool_put(&client->conns, cc);
        return rc;
    }
    weir_list_push_back(&client->all, &cc->all_link);
    client->connecting_count++;
    client->stats.conns_now++;
    if (client->cfg.connect_timeout_ns != 0)
        weir_conn_set_deadline(cc->conn, client->engine->now_ns + client->cfg.connect_timeout_ns);
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
