/* SPDX-License-Identifier: MIT */
/*
 * A client: the pool of its connections and the queue of calls that wait for one.
 *
 * A new call takes, in this order: a connection with nothing in flight (the most recently used, so
 * that the others can grow old and go), a new connection if the limit allows, a connection with
 * room in its pipeline, a place in the queue. A connection that becomes free or is made serves the
 * queue first; the call that caused it to be made has no claim on it.
 *
 * The n-th failed attempt to connect ends the n-th waiting call: every waiting call caused one
 * attempt.
 */
#include "proto/http/client_impl.h"
#include "core/base.h"

#include <errno.h>
#include <stdio.h>
#include <weir/url.h>

#define SCRATCH_BYTES 65536u

/* How long a call that found no output memory waits before it is tried again. */
#define MEMORY_RETRY_NS 1000000u

void weir_client_config_init_size(struct weir_client_config *cfg, uint32_t size)
{
    const uint64_t second = 1000000000u;
    struct weir_client_config defaults = {
        .size = size,
        .conns_max = 100,
        .pipeline_max = 1,
        .waiting_max = 65536,
        .head_bytes_max = 16384,
        .fields_max = 100,
        .connect_timeout_ns = 5 * second,
        .idle_timeout_ns = 300 * second,
    };
    weir_fill_sized(cfg, size, &defaults, sizeof defaults);
}

static int config_check(const struct weir_client_config *cfg)
{
    if (cfg->size != sizeof *cfg)
        return weir_fail(-EINVAL, "size is %u, %zu expected: use weir_client_config_init()",
                         cfg->size, sizeof *cfg);
    if (cfg->endpoint == NULL)
        return weir_fail(-EINVAL, "endpoint is required");
    const struct weir_range ranges[] = {
        { "conns_max", cfg->conns_max, 1, 1u << 20 },
        { "pipeline_max", cfg->pipeline_max, 1, 65536 },
        { "waiting_max", cfg->waiting_max, 1, UINT32_MAX },
        { "head_bytes_max", cfg->head_bytes_max, 256, WEIR_HTTP1_HEAD_BYTES_MAX },
        { "fields_max", cfg->fields_max, 1, 1024 },
        { "lenient", cfg->lenient, 0, WEIR_HTTP1_LENIENT_ALL },
    };
    return weir_range_check(ranges, sizeof ranges / sizeof ranges[0]);
}

int64_t weir_client_memory_bytes(const struct weir_client_config *cfg)
{
    int rc = config_check(cfg);
    if (rc < 0)
        return rc;
    uint64_t sum = 0;
    sum += weir_arena_cost(sizeof(struct weir_client), WEIR_CACHE_LINE);
    /* the fields of the head that is being looked at */
    sum += weir_arena_cost(cfg->fields_max * sizeof(struct weir_http1_field), WEIR_CACHE_LINE);
    /* the head of a long request */
    sum += weir_arena_cost(SCRATCH_BYTES, WEIR_CACHE_LINE);
    /* every connection */
    sum += weir_pool_bytes(sizeof(struct weir_client_conn), cfg->conns_max);
    return (int64_t)weir_align_up(sum, WEIR_PAGE);
}

/* ---- Calls ------------------------------------------------------------------------------- */

void weir_calls_push(struct weir_calls *calls, struct weir_call *call)
{
    call->next = NULL;
    call->prev = calls->last;
    if (calls->last != NULL)
        calls->last->next = call;
    else
        calls->first = call;
    calls->last = call;
    calls->count++;
}

static void calls_push_front(struct weir_calls *calls, struct weir_call *call)
{
    call->prev = NULL;
    call->next = calls->first;
    if (calls->first != NULL)
        calls->first->prev = call;
    else
        calls->last = call;
    calls->first = call;
    calls->count++;
    call->state = CALL_WAITING;
}

void weir_calls_remove(struct weir_calls *calls, struct weir_call *call)
{
    WEIR_ASSERT(calls->count > 0);
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        calls->first = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    else
        calls->last = call->prev;
    calls->count--;
}

void weir_call_finish(struct weir_client *client, struct weir_call *call, int err)
{
    call->state = CALL_IDLE;
    call->owner = NULL;
    call->timing.end_ns = client->engine->now_ns;
    if (err == 0)
        client->stats.completed++;
    else
        client->stats.failed++;
    call->handler->on_end(call, err);
}

/* on_end is owed, but not from inside the function that ended it. */
static void end_later(struct weir_client *client, struct weir_call *call, int err)
{
    call->err = err;
    call->state = CALL_ENDED;
    call->owner = client;
    weir_calls_push(&client->ended, call);
    weir_ready_push(&client->engine->ready, &client->end_run);
}

static void end_run(struct weir_ready *ready)
{
    struct weir_client *client = weir_container_of(ready, struct weir_client, end_run);
    /* What the callbacks end waits for the next pass. */
    for (uint32_t n = client->ended.count; n > 0 && client->ended.first != NULL; n--) {
        struct weir_call *call = client->ended.first;
        weir_calls_remove(&client->ended, call);
        weir_call_finish(client, call, call->err);
    }
    if (client->ended.count > 0)
        weir_ready_push(&client->engine->ready, &client->end_run);
}

static void waiting_remove(struct weir_client *client, struct weir_call *call)
{
    WEIR_ASSERT(call->state == CALL_WAITING);
    weir_calls_remove(&client->waiting, call);
}

static void waiting_fail_first(struct weir_client *client, int err, int os_err)
{
    struct weir_call *call = client->waiting.first;
    if (call == NULL)
        return;
    waiting_remove(client, call);
    call->timing.os_err = os_err;
    end_later(client, call, err);
}

static void on_waiting_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_client *client = ctx;
    uint64_t now = client->engine->now_ns;
    uint64_t bound = 0;
    struct weir_call *next;
    for (struct weir_call *call = client->waiting.first; call != NULL; call = next) {
        next = call->next;
        if (call->deadline_ns == 0)
            continue;
        if (call->deadline_ns <= now) {
            waiting_remove(client, call);
            end_later(client, call, WEIR_E_DEADLINE);
        } else if (bound == 0 || call->deadline_ns < bound) {
            bound = call->deadline_ns;
        }
    }
    if (bound != 0)
        weir_timer_set(client->engine, timer, bound);
}

/* ---- The pool ---------------------------------------------------------------------------- */

/* As many attempts under way as calls wait, within the limit. */
static void connect_more(struct weir_client *client)
{
    while (client->waiting.count > client->connecting_count &&
           client->stats.conns_now < client->cfg.conns_max && !client->closing) {
        int rc = weir_client_conn_open(client);
        if (rc == 0)
            continue;
        client->stats.connect_failures++;
        waiting_fail_first(client, WEIR_E_CONNECT, rc);
        if (client->stats.conns_now > 0)
            return; /* what there is will serve the queue */
    }
}

static void retry_run(struct weir_ready *ready)
{
    connect_more(weir_container_of(ready, struct weir_client, retry_run));
}

void weir_client_feed(struct weir_client_conn *cc, uint32_t most)
{
    struct weir_client *client = cc->client;
    while (most > 0 && client->waiting.count > 0 && cc->calls.count < client->cfg.pipeline_max) {
        struct weir_call *call = client->waiting.first;
        waiting_remove(client, call);
        int rc = weir_client_conn_send(cc, call);
        if (rc == -ENOBUFS) {
            /* A passing shortage: it keeps its place, and is tried again soon. */
            calls_push_front(&client->waiting, call);
            weir_timer_set(client->engine, &client->memory_timer,
                           client->engine->now_ns + MEMORY_RETRY_NS);
            return;
        }
        if (rc < 0)
            end_later(client, call, rc); /* the next one has the place instead */
        else
            most--;
    }
}

void weir_client_offer(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    struct weir_list *list = cc->calls.count == 0 ? &client->idle : &client->room;
    weir_list_remove(&cc->link);
    if (cc->ending || cc->calls.count >= client->cfg.pipeline_max)
        return;
    weir_list_push_front(list, &cc->link);
    uint64_t idle_ns = client->cfg.idle_timeout_ns;
    if (cc->calls.count == 0)
        weir_conn_set_deadline(cc->conn, idle_ns == 0 ? 0 : client->engine->now_ns + idle_ns);
}

/* What a connection's end means for the calls that were on it. */
static int call_error(const struct weir_call *call, int err)
{
    if (call->answered)
        return 0;
    if (call->err != 0)
        return call->err;
    if (err == 0 || err == WEIR_E_PROTOCOL || err == WEIR_E_LIMIT || err == WEIR_E_TRUNCATED)
        err = WEIR_E_CLOSED; /* it was another call that was broken */
    return err == WEIR_E_CLOSED && call->timing.first_byte_ns != 0 ? WEIR_E_TRUNCATED : err;
}

void weir_client_conn_gone(struct weir_client_conn *cc, int err)
{
    struct weir_client *client = cc->client;
    struct weir_calls calls = cc->calls;
    weir_list_remove(&cc->link);
    weir_list_remove(&cc->all_link);
    client->stats.conns_now--;
    client->in_flight_count -= calls.count;
    if (cc->connecting) {
        client->connecting_count--;
        if (!client->closing) {
            client->stats.connect_failures++;
            bool late = err == WEIR_E_CONNECT_TIMEOUT;
            waiting_fail_first(client, late ? err : WEIR_E_CONNECT, late ? 0 : err);
        }
    }
    weir_pool_put(&client->conns, cc);
    struct weir_call *next;
    /* Later: only then the slot is free, and a callback that sends again can have it. */
    for (struct weir_call *call = calls.first; call != NULL; call = next) {
        next = call->next;
        int end = call_error(call, err);
        if (end < 0 && end > -4096)
            call->timing.os_err = end;
        end_later(client, call, end);
    }
    if (client->waiting.count > 0)
        weir_ready_push(&client->engine->ready, &client->retry_run);
}

/* A connection that broke is on its list until its end is reported. */
static struct weir_client_conn *first_usable(struct weir_list *list)
{
    while (!weir_list_empty(list)) {
        struct weir_client_conn *cc = weir_container_of(list->next, struct weir_client_conn, link);
        if (WEIR_LIKELY(weir_conn_usable(cc->conn)))
            return cc;
        cc->ending = true;
        weir_list_remove(&cc->link);
    }
    return NULL;
}

/* There may be output memory again for the calls that found none. */
static void on_memory_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_client *client = ctx;
    struct weir_client_conn *cc;
    while (client->waiting.count > 0 && !weir_timer_is_set(timer)) {
        cc = first_usable(&client->idle);
        if (cc == NULL)
            cc = first_usable(&client->room);
        if (cc == NULL)
            break; /* whichever becomes free serves the queue */
        weir_client_feed(cc, 1);
        weir_client_offer(cc);
    }
}

/* ---- Sending ----------------------------------------------------------------------------- */

static int wait_for_conn(struct weir_client *client, struct weir_call *call)
{
    if (client->waiting.count >= client->cfg.waiting_max)
        return weir_fail(WEIR_E_QUEUE_FULL, "%u calls wait already (waiting_max)",
                         client->waiting.count);
    /* Refused now, not when its turn comes. */
    int64_t n = weir_client_write_head(client, call, client->scratch, client->scratch_bytes);
    if (n < 0)
        return (int)n;
    call->state = CALL_WAITING;
    call->owner = client;
    weir_calls_push(&client->waiting, call);
    if (call->deadline_ns != 0 && (!weir_timer_is_set(&client->waiting_timer) ||
                                   client->waiting_timer.deadline_ns > call->deadline_ns))
        weir_timer_set(client->engine, &client->waiting_timer, call->deadline_ns);
    connect_more(client);
    return 0;
}

int weir_client_send(struct weir_client *client, struct weir_call *call)
{
    WEIR_ASSERT(call->state == CALL_IDLE);
    if (WEIR_UNLIKELY(client->closing))
        return WEIR_E_SHUTDOWN;
    if (WEIR_UNLIKELY(call->handler == NULL || call->handler->on_end == NULL))
        return weir_fail(-EINVAL, "a call needs a handler with on_end");
    weir_engine_refresh_clock(client->engine);
    struct weir_client_conn *cc = first_usable(&client->idle);
    if (cc == NULL && client->stats.conns_now == client->cfg.conns_max)
        cc = first_usable(&client->room);
    call->timing = (struct weir_call_timing){ .start_ns = client->engine->now_ns };
    call->status = 0;
    call->err = 0;
    call->answered = false;
    /* Nobody overtakes the queue. */
    if (WEIR_UNLIKELY(cc == NULL || client->waiting.count > 0)) {
        int rc = wait_for_conn(client, call);
        if (rc < 0)
            return rc;
        client->stats.calls++;
        return 0;
    }
    int rc = weir_client_conn_send(cc, call);
    if (WEIR_UNLIKELY(rc < 0))
        return rc;
    client->stats.calls++;
    weir_client_offer(cc);
    return 0;
}

void weir_call_cancel(struct weir_call *call)
{
    switch ((enum weir_call_state)call->state) {
    case CALL_WAITING: {
        struct weir_client *client = call->owner;
        waiting_remove(client, call);
        end_later(client, call, WEIR_E_CANCELLED);
        break;
    }
    case CALL_IN_FLIGHT: {
        struct weir_client_conn *cc = call->owner;
        if (call->err == 0)
            call->err = WEIR_E_CANCELLED;
        cc->ending = true;
        weir_list_remove(&cc->link);
        weir_conn_close(cc->conn, WEIR_E_CLOSED, false);
        break;
    }
    case CALL_IDLE:
    case CALL_ENDED:
        break; /* its end is on the way, or was */
    }
}

/* ---- Open and close ---------------------------------------------------------------------- */

static int endpoint_parse(struct weir_client *client, const char *endpoint)
{
    struct weir_url url;
    struct weir_slice text = { (const uint8_t *)endpoint, strlen(endpoint) };
    if (strncmp(endpoint, "unix:", 5) == 0) {
        client->host = WEIR_TEXT("localhost");
        return weir_addr_unix(&client->addr, endpoint + 5);
    }
    int rc = weir_url_parse(&url, text);
    if (rc < 0)
        return rc;
    if (url.scheme == WEIR_URL_HTTP_UNIX) {
        char path[WEIR_URL_UNIX_PATH_BYTES_MAX + 1] = { 0 };
        int64_t bytes = weir_url_percent_decode((uint8_t *)path, sizeof path - 1, url.host);
        if (bytes < 0)
            return (int)bytes;
        client->host = WEIR_TEXT("localhost");
        return weir_addr_unix(&client->addr, path);
    }
    if (url.scheme != WEIR_URL_HTTP)
        return weir_fail(WEIR_E_UNSUPPORTED, "endpoint: only http is supported");
    if (url.authority.len >= sizeof client->authority)
        return weir_fail(WEIR_E_URL, "endpoint: the host name is too long");
    memcpy(client->authority, url.authority.ptr, url.authority.len);
    client->host = (struct weir_slice){ (const uint8_t *)client->authority, url.authority.len };
    return weir_addr_resolve(&client->addr, url.host, url.port);
}

static void memory_open(struct weir_client *client)
{
    const struct weir_client_config *cfg = &client->cfg;
    struct weir_arena *arena = &client->arena;
    client->limits = (struct weir_http1_limits){ .head_bytes_max = cfg->head_bytes_max,
                                                 .target_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
                                                 .fields_max = (uint16_t)cfg->fields_max,
                                                 .lenient = cfg->lenient };
    client->response.head.fields =
        weir_arena_take(arena, cfg->fields_max * sizeof(struct weir_http1_field), WEIR_CACHE_LINE);
    client->scratch_bytes = SCRATCH_BYTES;
    client->scratch = weir_arena_take(arena, SCRATCH_BYTES, WEIR_CACHE_LINE);
    weir_pool_open(&client->conns, arena, sizeof(struct weir_client_conn), cfg->conns_max);
    weir_arena_seal(arena);
}

int weir_client_open(struct weir_client **out, struct weir_engine *engine,
                     const struct weir_client_config *cfg)
{
    struct weir_arena arena;
    *out = NULL;
    int64_t bytes = weir_client_memory_bytes(cfg);
    if (bytes < 0)
        return (int)bytes;
    if (cfg->head_bytes_max > engine->stash_block_bytes)
        return weir_fail(-EINVAL,
                         "head_bytes_max is %u; the engine's stash_block_bytes, %u, must hold it",
                         cfg->head_bytes_max, engine->stash_block_bytes);
    int rc = weir_arena_open(&arena, (uint64_t)bytes);
    if (rc < 0)
        return rc;
    struct weir_client *client = weir_arena_take(&arena, sizeof *client, WEIR_CACHE_LINE);
    client->arena = arena;
    client->engine = engine;
    client->cfg = *cfg;
    client->cfg.endpoint = NULL; /* the caller's memory; parsed below */
    client->end_run.run = end_run;
    client->retry_run.run = retry_run;
    weir_list_init(&client->idle);
    weir_list_init(&client->room);
    weir_list_init(&client->all);
    weir_list_init(&client->end_run.link);
    weir_list_init(&client->retry_run.link);
    weir_timer_init(&client->memory_timer, on_memory_timer, client);
    weir_timer_init(&client->waiting_timer, on_waiting_timer, client);
    memory_open(client);
    rc = endpoint_parse(client, cfg->endpoint);
    if (rc < 0) {
        arena = client->arena;
        weir_arena_close(&arena);
        return rc;
    }
    engine->owners++;
    *out = client;
    return 0;
}

int weir_client_close(struct weir_client *client)
{
    struct weir_engine *engine = client->engine;
    int rc = 0;
    WEIR_ASSERT(engine->depth == 0);
    client->closing = true;
    while (client->waiting.first != NULL)
        waiting_fail_first(client, WEIR_E_SHUTDOWN, 0);
    for (struct weir_list *n = client->all.next; n != &client->all; n = n->next) {
        struct weir_client_conn *cc = weir_container_of(n, struct weir_client_conn, all_link);
        cc->ending = true;
        weir_conn_close(cc->conn, WEIR_E_SHUTDOWN, false);
    }
    while (rc == 0 && (client->stats.conns_now > 0 || client->ended.count > 0))
        rc = weir_engine_run_once(engine, UINT64_MAX);
    weir_timer_cancel(&client->waiting_timer);
    weir_timer_cancel(&client->memory_timer);
    if (rc < 0)
        return rc; /* the kernel may still write into what hangs on it: it is left as it is */
    weir_list_remove(&client->end_run.link);
    weir_list_remove(&client->retry_run.link);
    engine->owners--;
    struct weir_arena arena = client->arena;
    weir_arena_close(&arena);
    return rc;
}

void weir_client_stats(const struct weir_client *client, struct weir_client_stats *out)
{
    struct weir_client_stats stats = client->stats;
    stats.size = out->size;
    stats.waiting_now = client->waiting.count;
    stats.in_flight_now = client->in_flight_count;
    weir_fill_sized(out, out->size, &stats, sizeof stats);
}
