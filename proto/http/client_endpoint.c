/* SPDX-License-Identifier: MIT */
/*
 * The servers of a client's service: what their names stand for, whether they are fit for calls.
 *
 * Addresses: asked for when a connection is to be made and there are none, or their time to live is
 * over. Then connections wait for the answer; when there is none, the addresses of last time serve.
 *
 * Fitness: proto/http/outlier.h decides, by what calls, attempts to connect and health checks came
 * to. A client of a single server has nowhere else to go: it is never put out.
 *
 * Load: the less loaded of two that are picked at random (Mitzenmacher, "The Power of Two Choices
 * in Randomized Load Balancing", 2001) is near the least loaded of all, without a look at all.
 */
#include "core/base.h"
#include "proto/http/client_impl.h"

#include <errno.h>
#include <stdio.h>
#include <weir/url.h>

/* For how long the addresses of last time serve when a lookup fails. */
#define OLD_ADDRS_NS 5000000000u

/* How soon a health check is tried again that has just made room for its connection. */
#define ROOM_NS 10000000u

/* ---- Fitness ----------------------------------------------------------------------------- */

bool weir_endpoint_fit(const struct weir_endpoint *endpoint)
{
    struct weir_client *client = endpoint->client;
    return weir_outlier_allowed(&client->outliers, endpoint->index, client->engine->now_ns);
}

/* It is out: nothing is to be sent on what is left of it. */
static void idle_close(struct weir_endpoint *endpoint)
{
    while (!weir_list_empty(&endpoint->idle))
        weir_client_conn_end(weir_container_of(endpoint->idle.next, struct weir_client_conn, link),
                             WEIR_E_CLOSED);
}

static void put_out(struct weir_endpoint *endpoint)
{
    endpoint->ejections++;
    idle_close(endpoint);
}

void weir_endpoint_claim(struct weir_endpoint *endpoint, struct weir_call *call)
{
    struct weir_client *client = endpoint->client;
    if ((call->flags & CALL_PROBE) == 0 &&
        weir_outlier_claim(&client->outliers, endpoint->index, client->engine->now_ns))
        call->flags |= CALL_TRIED;
}

void weir_endpoint_result(struct weir_endpoint *endpoint, struct weir_call *call, int err)
{
    struct weir_client *client = endpoint->client;
    if ((call->flags & CALL_PROBE) != 0)
        return;
    bool tried = (call->flags & CALL_TRIED) != 0;
    enum weir_outlier_result result =
        weir_outlier_judge(err, call->status, call->timing.first_byte_ns == 0);
    call->flags &= (uint16_t)~CALL_TRIED;
    endpoint->failures += result == WEIR_OUTLIER_BAD;
    if (weir_outlier_ended(&client->outliers, endpoint->index, result, tried,
                           client->engine->now_ns))
        put_out(endpoint);
}

void weir_endpoint_unreached(struct weir_endpoint *endpoint, int err)
{
    struct weir_client *client = endpoint->client;
    endpoint->failures++;
    if (weir_outlier_unreached(&client->outliers, endpoint->index, err, client->engine->now_ns))
        put_out(endpoint);
}

/* ---- Choice ------------------------------------------------------------------------------ */

static bool eligible(const struct weir_endpoint *endpoint, bool connect)
{
    return weir_endpoint_fit(endpoint) && (!connect || weir_endpoint_may_connect(endpoint));
}

static uint32_t load(const struct weir_endpoint *endpoint)
{
    return endpoint->in_flight_count + endpoint->connecting_count;
}

/* The first that is eligible from `at` on, but not `other`. */
static struct weir_endpoint *eligible_from(struct weir_client *client, uint32_t at, bool connect,
                                           const struct weir_endpoint *other)
{
    for (uint32_t i = 0; i < client->endpoints_count; i++) {
        struct weir_endpoint *e = &client->endpoints[(at + i) % client->endpoints_count];
        if (e != other && eligible(e, connect))
            return e;
    }
    return NULL;
}

struct weir_endpoint *weir_client_pick(struct weir_client *client, bool connect)
{
    struct weir_endpoint *first = &client->endpoints[0];
    if (WEIR_LIKELY(client->endpoints_count == 1))
        return !connect || weir_endpoint_may_connect(first) ? first : NULL;
    uint64_t random = weir_client_random(client);
    first =
        eligible_from(client, (uint32_t)(random >> 32) % client->endpoints_count, connect, NULL);
    if (first == NULL)
        return NULL;
    struct weir_endpoint *second =
        eligible_from(client, (uint32_t)random % client->endpoints_count, connect, first);
    return second != NULL && load(second) < load(first) ? second : first;
}

/* ---- Addresses --------------------------------------------------------------------------- */

static void looked_up(struct weir_endpoint *endpoint, int err)
{
    struct weir_client *client = endpoint->client;
    endpoint->resolving = false;
    weir_timer_cancel(&endpoint->lookup_timer);
    endpoint->lookup_ns = client->engine->now_ns - endpoint->lookup_began_ns;
    if (err < 0 && endpoint->addrs_count > 0) {
        /* Those of last time may still be right; in a while it is asked again. */
        endpoint->addrs_until_ns = client->engine->now_ns + OLD_ADDRS_NS;
        err = 0;
    }
    weir_client_resolved(endpoint, err);
}

static void on_lookup_done(struct weir_lookup *lookup, int err, const struct weir_addr *addrs,
                           uint32_t count, uint64_t ttl_ns)
{
    struct weir_endpoint *endpoint = weir_container_of(lookup, struct weir_endpoint, lookup);
    struct weir_client *client = endpoint->client;
    client->stats.lookups++;
    if (err < 0) {
        snprintf(endpoint->reason, sizeof endpoint->reason, "%s: %s", endpoint->label,
                 weir_lookup_why(lookup));
    } else {
        uint64_t least = client->cfg.connect_timeout_ns == 0
                             ? OLD_ADDRS_NS
                             : client->cfg.connect_timeout_ns / ADDRS_TTL_SHARE;
        WEIR_ASSERT(count > 0 && count <= WEIR_ADDRS_MAX);
        endpoint->addrs_set = (endpoint->addrs_set + 1) % ADDRS_SETS;
        endpoint->addrs = endpoint->addrs_sets[endpoint->addrs_set];
        memcpy(endpoint->addrs, addrs, count * sizeof *addrs);
        endpoint->addrs_count = count;
        ttl_ns = weir_min_u64(ttl_ns, client->cfg.dns_ttl_max_ns);
        endpoint->addrs_until_ns = client->engine->now_ns + (ttl_ns > least ? ttl_ns : least);
    }
    looked_up(endpoint, err);
}

static void on_lookup_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_endpoint *endpoint = ctx;
    (void)timer;
    weir_lookup_cancel(&endpoint->lookup);
    if (endpoint->lookup_err == 0)
        snprintf(endpoint->reason, sizeof endpoint->reason, "%s: its name was not resolved in time",
                 endpoint->label);
    looked_up(endpoint, endpoint->lookup_err == 0 ? WEIR_E_CONNECT_TIMEOUT : endpoint->lookup_err);
}

bool weir_endpoint_resolve(struct weir_endpoint *endpoint)
{
    struct weir_client *client = endpoint->client;
    uint64_t now = client->engine->now_ns;
    if (endpoint->addrs_count > 0 &&
        (endpoint->addrs_until_ns == 0 || now < endpoint->addrs_until_ns))
        return true;
    if (endpoint->resolving)
        return false;
    endpoint->resolving = true;
    endpoint->lookup_err = 0;
    endpoint->lookup_began_ns = now;
    endpoint->lookup.on_done = on_lookup_done;
    if (client->cfg.connect_timeout_ns != 0)
        weir_timer_set(client->engine, &endpoint->lookup_timer,
                       now + client->cfg.connect_timeout_ns);
    struct weir_slice host = { (const uint8_t *)endpoint->host, endpoint->host_bytes };
    int rc = weir_lookup_start(client->resolver, &endpoint->lookup, host, endpoint->port);
    if (rc < 0) {
        /* Told by the timer, not from inside the call that asks for addresses. */
        snprintf(endpoint->reason, sizeof endpoint->reason, "%s: %s", endpoint->label,
                 rc == -EINVAL ? "its name is no host name" : weir_strerror(rc));
        endpoint->lookup_err = rc == -EINVAL ? WEIR_E_RESOLVE : rc;
        weir_timer_set(client->engine, &endpoint->lookup_timer, now);
    }
    return false;
}

/* ---- Health checks ----------------------------------------------------------------------- */

static void health_next(struct weir_endpoint *endpoint)
{
    struct weir_client *client = endpoint->client;
    uint64_t interval = client->cfg.health_interval_ns;
    weir_timer_set(client->engine, &endpoint->health_timer,
                   client->engine->now_ns + weir_client_jitter(client, interval));
}

static void on_health_end(struct weir_call *call, int err)
{
    struct weir_endpoint *endpoint = call->ctx;
    struct weir_client *client = endpoint->client;
    bool good = err == 0 && call->status >= 200 && call->status < 300;
    endpoint->checking = false;
    if (weir_is_shortage(err) && !client->closing) {
        health_next(endpoint); /* that says nothing of the server */
        return;
    }
    client->stats.health_checks++;
    client->stats.health_failures += !good;
    endpoint->unhealthy = !good;
    if (client->closing)
        return;
    if (weir_outlier_health(&client->outliers, endpoint->index, good, client->engine->now_ns))
        put_out(endpoint);
    health_next(endpoint);
    if (client->waiting.count > 0) /* it may be fit again */
        weir_ready_push(&client->engine->ready, &client->retry_run);
}

static const struct weir_call_handler health_handler = { .on_end = on_health_end };

static void health_send(struct weir_client_conn *cc)
{
    struct weir_endpoint *endpoint = cc->endpoint;
    int rc = weir_client_conn_send(cc, &endpoint->health);
    if (rc < 0)
        weir_call_end_later(endpoint->client, &endpoint->health, rc);
}

void weir_endpoint_probe(struct weir_client_conn *cc)
{
    cc->reserved = NULL;
    health_send(cc);
}

static struct weir_client_conn *health_conn(struct weir_endpoint *endpoint)
{
    while (!weir_list_empty(&endpoint->idle)) {
        struct weir_client_conn *cc =
            weir_container_of(endpoint->idle.next, struct weir_client_conn, link);
        if (weir_conn_usable(cc->conn))
            return cc;
        weir_client_conn_set_ending(cc);
        weir_list_remove(&cc->link);
    }
    return NULL;
}

/* The pool is full of others' connections that nobody uses: the one that has rested longest goes.
 * @return false: it is not, or they are busy */
static bool make_room(struct weir_endpoint *endpoint)
{
    struct weir_client *client = endpoint->client;
    struct weir_client_conn *oldest = NULL;
    if (endpoint->conns_count > 0 || client->stats.conns_now < client->cfg.conns_max)
        return false; /* judged by what its own carry, or there is room */
    for (uint32_t i = 0; i < client->endpoints_count; i++) {
        struct weir_list *idle = &client->endpoints[i].idle;
        if (i == endpoint->index || weir_list_empty(idle))
            continue;
        struct weir_client_conn *cc = weir_container_of(idle->prev, struct weir_client_conn, link);
        if (oldest == NULL || cc->idle_since_ns < oldest->idle_since_ns)
            oldest = cc;
    }
    if (oldest != NULL)
        weir_client_conn_retire(oldest);
    return oldest != NULL;
}

/* On a connection that is unused, or on one made for it. An endpoint whose connections are all busy
 * while no more are allowed is judged by what they carry. */
static void on_health_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_endpoint *endpoint = ctx;
    struct weir_client *client = endpoint->client;
    struct weir_call *call = &endpoint->health;
    (void)timer;
    WEIR_ASSERT(!endpoint->checking);
    struct weir_client_conn *cc = health_conn(endpoint);
    if (cc == NULL && !weir_endpoint_may_connect(endpoint) && make_room(endpoint)) {
        weir_timer_set(client->engine, &endpoint->health_timer, client->engine->now_ns + ROOM_NS);
        return;
    }
    if (cc == NULL && (!weir_endpoint_may_connect(endpoint) || !weir_endpoint_resolve(endpoint))) {
        health_next(endpoint);
        return;
    }
    endpoint->checking = true;
    *call =
        (struct weir_call){ .request = { .method = WEIR_TEXT("GET"),
                                         .target = { (const uint8_t *)client->health_target,
                                                     strlen(client->health_target) } },
                            .handler = &health_handler,
                            .ctx = endpoint,
                            .client = client,
                            .flags = CALL_PROBE,
                            .until_ns = client->engine->now_ns + client->cfg.health_timeout_ns };
    if (cc != NULL) {
        health_send(cc);
        weir_client_offer(cc);
        return;
    }
    int rc = weir_client_conn_open(endpoint, &cc);
    if (rc < 0)
        weir_call_end_later(client, call, rc);
    else
        cc->reserved = call;
}

void weir_endpoint_begin(struct weir_endpoint *endpoint)
{
    struct weir_client *client = endpoint->client;
    if (client->health_target[0] != '\0')
        health_next(endpoint);
    weir_ready_push(&client->engine->ready, &client->retry_run);
}

/* ---- Opening ----------------------------------------------------------------------------- */

static int unix_open(struct weir_endpoint *endpoint, const char *path)
{
    int rc = weir_addr_unix(&endpoint->addrs[0], path);
    if (rc < 0)
        return rc;
    endpoint->addrs_count = 1;
    snprintf(endpoint->host, sizeof endpoint->host, "%s", path);
    endpoint->label = endpoint->host;
    endpoint->authority_bytes = (uint16_t)strlen("localhost");
    memcpy(endpoint->authority, "localhost", endpoint->authority_bytes);
    return 0;
}

static int url_open(struct weir_endpoint *endpoint, const struct weir_url *url)
{
    if (url->scheme == WEIR_URL_HTTP_UNIX) {
        char path[WEIR_URL_UNIX_PATH_BYTES_MAX + 1] = { 0 };
        int64_t bytes = weir_url_percent_decode((uint8_t *)path, sizeof path - 1, url->host);
        return bytes < 0 ? (int)bytes : unix_open(endpoint, path);
    }
    if (url->authority.len >= sizeof endpoint->authority || url->host.len >= sizeof endpoint->host)
        return weir_fail(WEIR_E_URL, "endpoint: the host name is too long");
    memcpy(endpoint->authority, url->authority.ptr, url->authority.len);
    endpoint->authority_bytes = (uint16_t)url->authority.len;
    memcpy(endpoint->host, url->host.ptr, url->host.len);
    endpoint->host_bytes = (uint16_t)url->host.len;
    endpoint->port = url->port;
    endpoint->secure = url->scheme == WEIR_URL_HTTPS;
    snprintf(endpoint->session_key, sizeof endpoint->session_key, "%u", endpoint->port);
    endpoint->named = !weir_addr_numeric(&endpoint->addrs[0], url->host, url->port);
    endpoint->addrs_count = !endpoint->named;
    return 0;
}

int weir_endpoint_open(struct weir_endpoint *endpoint, struct weir_client *client, uint32_t index,
                       const char *text)
{
    struct weir_url url;
    endpoint->client = client;
    endpoint->index = index;
    endpoint->addrs = endpoint->addrs_sets[0];
    endpoint->label = endpoint->authority;
    weir_list_init(&endpoint->idle);
    weir_list_init(&endpoint->room);
    weir_list_init(&endpoint->all);
    weir_timer_init(&endpoint->retry_timer, weir_endpoint_on_retry_timer, endpoint);
    weir_timer_init(&endpoint->lookup_timer, on_lookup_timer, endpoint);
    weir_timer_init(&endpoint->health_timer, on_health_timer, endpoint);
    if (strncmp(text, "unix:", 5) == 0)
        return unix_open(endpoint, text + 5);
    int rc = weir_url_parse(&url, (struct weir_slice){ (const uint8_t *)text, strlen(text) });
    return rc < 0 ? rc : url_open(endpoint, &url);
}

void weir_endpoint_close(struct weir_endpoint *endpoint)
{
    weir_timer_cancel(&endpoint->retry_timer);
    weir_timer_cancel(&endpoint->lookup_timer);
    weir_timer_cancel(&endpoint->health_timer);
    if (endpoint->resolving)
        weir_lookup_cancel(&endpoint->lookup);
    endpoint->resolving = false;
}
