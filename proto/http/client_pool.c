/* SPDX-License-Identifier: MIT */
/*
 * The connections of a client: which call gets which, how many there are, how old they grow.
 *
 * A new call takes, in this order: a connection with nothing in flight (the most recently used, so
 * that the others can grow old and go), a new connection if the limits allow, a connection with
 * room in its pipeline, a place in the queue. A connection that becomes free or is made serves the
 * queue first; the call that caused it to be made has no claim on it.
 *
 *     made --> in use <--> unused --> closed: by the server, unused too long, too old
 *                 +-----------------> closed: broken, told to close, too old after its calls
 *
 * A server that says how long it keeps an unused connection (Keep-Alive: timeout) is believed, less
 * a second: a request that meets its end on the way is the one thing that a pool must avoid.
 */
#include "proto/http/client_impl.h"
#include "core/base.h"

#include <errno.h>
#include <stdio.h>

/* The pause after a failed attempt to connect, doubled by each that follows. */
#define RETRY_MIN_NS 50000000u
#define RETRY_MAX_NS 1000000000u

/* ---- Taking ------------------------------------------------------------------------------ */

/* A connection that broke is on its list until its end is reported. */
static struct weir_client_conn *first_usable(struct weir_list *list)
{
    while (!weir_list_empty(list)) {
        struct weir_client_conn *cc = weir_container_of(list->next, struct weir_client_conn, link);
        if (WEIR_LIKELY(weir_conn_usable(cc->conn)))
            return cc;
        weir_client_conn_set_ending(cc);
        weir_list_remove(&cc->link);
    }
    return NULL;
}

/* May another connection be made to it, as far as numbers go? */
static bool may_grow(const struct weir_endpoint *endpoint)
{
    const struct weir_client *client = endpoint->client;
    uint32_t most = client->cfg.endpoint_conns_max;
    return client->stats.conns_now < client->cfg.conns_max &&
           (most == 0 || endpoint->conns_count < most);
}

/* Too old, or its server is not to get any calls now: what is in flight on it is the last. */
static bool retired(const struct weir_client_conn *cc)
{
    const struct weir_client *client = cc->client;
    if (WEIR_UNLIKELY(cc->expires_ns != 0 && client->engine->now_ns >= cc->expires_ns))
        return true;
    return client->endpoints_count > 1 && !weir_endpoint_fit(cc->endpoint);
}

/* Of conns_max every endpoint has its share: none may keep all the others out. */
static uint32_t conns_min(const struct weir_client *client)
{
    uint32_t share = client->cfg.conns_max / client->endpoints_count;
    return client->cfg.conns_min < share ? client->cfg.conns_min : share;
}

static struct weir_client_conn *take_from(struct weir_endpoint *endpoint)
{
    struct weir_client_conn *cc = first_usable(&endpoint->idle);
    if (cc != NULL || may_grow(endpoint))
        return cc;
    while ((cc = first_usable(&endpoint->room)) != NULL && retired(cc))
        weir_list_remove(&cc->link);
    return cc;
}

struct weir_client_conn *weir_client_take(struct weir_client *client)
{
    if (WEIR_LIKELY(client->endpoints_count == 1))
        return take_from(&client->endpoints[0]);
    struct weir_endpoint *endpoint = weir_client_pick(client, false);
    struct weir_client_conn *cc = endpoint == NULL ? NULL : take_from(endpoint);
    if (cc != NULL || (endpoint != NULL && weir_endpoint_may_connect(endpoint)))
        return cc; /* a new connection to the right one rather than another's */
    uint32_t first = (uint32_t)weir_client_random(client) % client->endpoints_count;
    for (uint32_t i = 0; i < client->endpoints_count && cc == NULL; i++) {
        endpoint = &client->endpoints[(first + i) % client->endpoints_count];
        if (weir_endpoint_fit(endpoint))
            cc = take_from(endpoint);
    }
    return cc;
}

/* Can nothing follow what is in flight on it? A request that is still being made, a health check,
 * which would take others with it when it is late, or a response after which the server closes. */
static bool last_of_all(const struct weir_client_conn *cc)
{
    if (cc->calls.count == 0)
        return false;
    return (cc->calls.last->flags & (CALL_PRODUCING | CALL_PROBE)) != 0 || cc->conn->eof ||
           (cc->in_body && !cc->keep_alive);
}

void weir_client_feed(struct weir_client_conn *cc, uint32_t most)
{
    struct weir_client *client = cc->client;
    while (most > 0 && client->waiting.count > 0 && cc->calls.count < client->cfg.pipeline_max &&
           !last_of_all(cc) && !retired(cc) && !cc->ending && weir_conn_usable(cc->conn)) {
        struct weir_call *call = weir_client_next(client, cc);
        if (call == NULL)
            return;
        int rc = weir_client_conn_send(cc, call);
        if (rc == -ENOBUFS) {
            /* A passing shortage: it keeps its place, and is tried again soon. */
            weir_client_put_back(client, call, call->limit_ns);
            weir_client_memory_short(client);
            return;
        }
        if (rc < 0)
            weir_call_end_later(client, call, rc); /* the next one has the place instead */
        else
            most--;
    }
}

/* ---- Offering ---------------------------------------------------------------------------- */

/* When an unused connection is to be looked at: the nearest of its three ends. */
static uint64_t idle_until(const struct weir_client_conn *cc)
{
    uint64_t idle_ns = cc->client->cfg.idle_timeout_ns;
    uint64_t at = idle_ns == 0 ? 0 : cc->idle_since_ns + idle_ns;
    if (cc->server_idle_ns != 0 && (at == 0 || cc->idle_since_ns + cc->server_idle_ns < at))
        at = cc->idle_since_ns + cc->server_idle_ns;
    if (cc->expires_ns != 0 && (at == 0 || cc->expires_ns < at))
        at = cc->expires_ns;
    return at;
}

void weir_client_offer(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    weir_list_remove(&cc->link);
    if (cc->ending || cc->calls.count >= client->cfg.pipeline_max || last_of_all(cc))
        return;
    uint64_t now = client->engine->now_ns;
    if (WEIR_UNLIKELY(retired(cc))) {
        if (cc->calls.count == 0) {
            client->stats.closed_aged += cc->expires_ns != 0 && now >= cc->expires_ns;
            weir_client_conn_retire(cc);
        }
        return;
    }
    if (cc->calls.count > 0) {
        weir_list_push_front(&cc->endpoint->room, &cc->link);
        return;
    }
    weir_list_push_front(&cc->endpoint->idle, &cc->link);
    cc->idle_since_ns = now;
    weir_conn_set_deadline(cc->conn, idle_until(cc));
}

void weir_client_conn_unused(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    uint64_t now = client->engine->now_ns;
    uint64_t idle = now - cc->idle_since_ns;
    uint64_t idle_ns = client->cfg.idle_timeout_ns;
    uint32_t kept = cc->endpoint->conns_count - cc->endpoint->ending_count;
    bool spare = kept > conns_min(client);
    if (cc->expires_ns != 0 && now >= cc->expires_ns) {
        client->stats.closed_aged++;
    } else if ((cc->server_idle_ns != 0 && idle >= cc->server_idle_ns) ||
               (idle_ns != 0 && idle >= idle_ns && spare)) {
        client->stats.closed_idle++;
    } else {
        /* One of the least that is kept: its time begins again. */
        if (idle_ns != 0 && idle >= idle_ns) {
            if (cc->server_idle_ns != 0)
                cc->server_idle_ns -= idle; /* but not for the server */
            cc->idle_since_ns = now;
        }
        weir_conn_set_deadline(cc->conn, idle_until(cc));
        return;
    }
    weir_client_conn_retire(cc);
}

/* ---- Making ------------------------------------------------------------------------------ */

/* After a failure nobody tries at once again, unless a call would wait for nothing but that. */
static void pause_connecting(struct weir_endpoint *endpoint)
{
    struct weir_client *client = endpoint->client;
    if (endpoint->retry_at_ns > client->engine->now_ns)
        return; /* those that failed together are one failure */
    endpoint->retry_ns =
        endpoint->retry_ns == 0 ? RETRY_MIN_NS : weir_min_u64(2 * endpoint->retry_ns, RETRY_MAX_NS);
    endpoint->retry_at_ns = client->engine->now_ns + weir_client_jitter(client, endpoint->retry_ns);
    weir_timer_set(client->engine, &endpoint->retry_timer, endpoint->retry_at_ns);
}

void weir_endpoint_on_retry_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_endpoint *endpoint = ctx;
    (void)timer;
    weir_client_connect_more(endpoint->client);
    weir_endpoint_keep_min(endpoint);
}

/* Calls that wait will be served by connections there are: an attempt that failed is no loss. */
static bool served(const struct weir_client *client)
{
    return client->stats.conns_now > client->connecting_count;
}

static void attempt_failed(struct weir_endpoint *endpoint, int err, int os_err, uint32_t most)
{
    struct weir_client *client = endpoint->client;
    client->stats.connect_failures++;
    pause_connecting(endpoint);
    if (!weir_is_shortage(os_err)) /* that would be no fault of the server's */
        weir_endpoint_unreached(endpoint, err);
    /* What is still under way is for as many calls. */
    uint32_t left = client->waiting.count > client->connecting_count
                        ? client->waiting.count - client->connecting_count
                        : 0;
    if (!served(client))
        weir_client_attempt_failed(client, endpoint, err, os_err, most < left ? most : left);
}

static int conn_open(struct weir_endpoint *endpoint)
{
    struct weir_client_conn *cc;
    int rc = weir_client_conn_open(endpoint, &cc);
    if (rc == 0)
        return 0;
    snprintf(endpoint->reason, sizeof endpoint->reason, "%s: no connection: %s", endpoint->label,
             weir_strerror(rc));
    attempt_failed(endpoint, WEIR_E_CONNECT, rc, 1);
    return rc;
}

void weir_client_connect_more(struct weir_client *client)
{
    while (client->waiting.count > client->connecting_count && !client->closing) {
        struct weir_endpoint *endpoint = weir_client_pick(client, true);
        if (endpoint == NULL) {
            weir_client_hurry(client);
            return;
        }
        if (!weir_endpoint_resolve(endpoint))
            continue; /* it is not picked again before its addresses are there */
        if (conn_open(endpoint) < 0 && served(client))
            return; /* what there is will serve the queue */
    }
}

bool weir_endpoint_may_connect(const struct weir_endpoint *endpoint)
{
    const struct weir_client *client = endpoint->client;
    if (endpoint->resolving || !may_grow(endpoint))
        return false;
    bool resting = endpoint->retry_at_ns > client->engine->now_ns;
    return !resting || (client->endpoints_count == 1 && !served(client));
}

void weir_client_resolved(struct weir_endpoint *endpoint, int err)
{
    struct weir_client *client = endpoint->client;
    if (client->closing)
        return;
    if (err < 0)
        attempt_failed(endpoint, err, 0, UINT32_MAX);
    weir_client_connect_more(client);
    if (err == 0)
        weir_endpoint_keep_min(endpoint);
}

void weir_endpoint_keep_min(struct weir_endpoint *endpoint)
{
    struct weir_client *client = endpoint->client;
    if (!client->used || client->closing)
        return;
    /* One at a time to a server that was not there: all of them would be a load of their own. */
    if (endpoint->retry_ns != 0 && endpoint->connecting_count > 0)
        return;
    while (endpoint->conns_count < conns_min(client) && may_grow(endpoint) &&
           !endpoint->resolving && endpoint->retry_at_ns <= client->engine->now_ns &&
           weir_endpoint_fit(endpoint))
        if (!weir_endpoint_resolve(endpoint) || conn_open(endpoint) < 0 || endpoint->retry_ns != 0)
            return;
}

void weir_client_conn_made(struct weir_client_conn *cc)
{
    struct weir_client *client = cc->client;
    struct weir_endpoint *endpoint = cc->endpoint;
    uint64_t age = client->cfg.age_max_ns;
    client->connecting_count--;
    endpoint->connecting_count--;
    endpoint->retry_at_ns = 0;
    client->stats.conns++;
    if (age != 0)
        cc->expires_ns = client->engine->now_ns + weir_client_jitter(client, age);
    if (cc->reserved != NULL) {
        weir_endpoint_probe(cc);
    } else {
        /* What waits is shared out among the connections that are still being made. */
        uint32_t share = client->waiting.count / (client->connecting_count + 1);
        weir_client_feed(cc, share > 0 ? share : 1);
    }
    weir_client_offer(cc);
    /* It may have been meant for something else than what waits, or be the first that succeeded. */
    if (client->waiting.count > 0 || endpoint->conns_count < conns_min(client))
        weir_ready_push(&client->engine->ready, &client->retry_run);
}

/* ---- The end of one ---------------------------------------------------------------------- */

/* Why it was not made: told by its own layer, or an errno of the network's. */
static void not_made(struct weir_client_conn *cc, int err)
{
    struct weir_client *client = cc->client;
    struct weir_endpoint *endpoint = cc->endpoint;
    client->connecting_count--;
    endpoint->connecting_count--;
    if (client->closing)
        return;
    bool own = err == WEIR_E_TLS || err == WEIR_E_CERTIFICATE;
    if (!own)
        snprintf(endpoint->reason, sizeof endpoint->reason, "%s: %s", endpoint->label,
                 weir_strerror(err));
    bool late = err == WEIR_E_CONNECT_TIMEOUT;
    int os_err = err > -4096 ? err : 0;
    attempt_failed(endpoint, own || late ? err : WEIR_E_CONNECT, os_err, cc->reserved == NULL);
}

/* Those that go out again keep their places in the queue's front, in their order. */
static void calls_broken(struct weir_client_conn *cc, int err)
{
    struct weir_calls again = { 0 };
    struct weir_call *call, *next;
    for (call = cc->calls.first; call != NULL; call = next) {
        next = call->next;
        if (weir_call_broken(cc, call, err))
            weir_calls_push(&again, call);
    }
    for (call = again.last; call != NULL; call = next) {
        next = call->prev;
        weir_client_put_back(cc->client, call, 0);
    }
}

void weir_client_conn_gone(struct weir_client_conn *cc, int err)
{
    struct weir_client *client = cc->client;
    struct weir_endpoint *endpoint = cc->endpoint;
    weir_list_remove(&cc->link);
    weir_list_remove(&cc->all_link);
    client->stats.conns_now--;
    endpoint->conns_count--;
    endpoint->ending_count -= cc->ending;
    client->in_flight_count -= cc->calls.count;
    endpoint->in_flight_count -= cc->calls.count;
    if (cc->connecting)
        not_made(cc, err);
    else if (cc->requests == 0 && !client->closing && !cc->retiring &&
             client->engine->now_ns - cc->idle_since_ns < RETRY_MAX_NS)
        pause_connecting(endpoint); /* who closes at once would be connected to for ever */
    calls_broken(cc, err);
    if (cc->reserved != NULL)
        weir_call_end_later(client, cc->reserved, cc->connecting ? WEIR_E_CONNECT : err);
    weir_pool_put(&client->conns, cc);
    if (client->waiting.count > 0 || endpoint->conns_count < conns_min(client))
        weir_ready_push(&client->engine->ready, &client->retry_run);
}

void weir_client_retry_run(struct weir_ready *ready)
{
    struct weir_client *client = weir_container_of(ready, struct weir_client, retry_run);
    struct weir_client_conn *cc;
    while (client->waiting.count > 0 && (cc = weir_client_take(client)) != NULL) {
        uint32_t waiting = client->waiting.count;
        weir_client_feed(cc, 1);
        weir_client_offer(cc);
        if (client->waiting.count >= waiting)
            break; /* no output memory: the timer comes back to it */
    }
    weir_client_connect_more(client);
    for (uint32_t i = 0; i < client->endpoints_count; i++)
        weir_endpoint_keep_min(&client->endpoints[i]);
}
