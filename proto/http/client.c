/* SPDX-License-Identifier: MIT */
/* A client: its configuration, its life, its statistics. */
#include "core/base.h"
#include "proto/http/client_impl.h"

#include <errno.h>
#include <sys/random.h>
#include <weir/random.h>

#define SCRATCH_BYTES 65536u

void weir_client_config_init_size(struct weir_client_config *cfg, uint32_t size)
{
    const uint64_t second = 1000000000u;
    struct weir_client_config defaults = {
        .size = size,
        .conns_max = 100,
        .conns_min = 10,
        .pipeline_max = 1,
        .waiting_max = 65536,
        .connect_timeout_ns = 5 * second,
        .idle_timeout_ns = 300 * second,
        .age_max_ns = 600 * second,
        .drain_bytes_max = 65536,
        .head_bytes_max = 16384,
        .fields_max = 100,
        .decoded_bytes_max = 1u << 30,
        .retry = { .attempts_max = 1,
                   .backoff_ns = 25000000,
                   .backoff_max_ns = 250000000,
                   .budget_percent = 20,
                   .budget_min = 3 },
        .dns_ttl_max_ns = 300 * second,
        .stagger_ns = 250000000,
        .eject_failures = 5,
        .eject_ns = 30 * second,
        .eject_max_ns = 300 * second,
        .health_interval_ns = 30 * second,
        .health_timeout_ns = 2 * second,
    };
    weir_fill_sized(cfg, size, &defaults, sizeof defaults);
}

static uint32_t endpoints_count(const struct weir_client_config *cfg)
{
    return cfg->endpoints == NULL ? 1 : cfg->endpoints_count;
}

static const char *endpoint_text(const struct weir_client_config *cfg, uint32_t index)
{
    return cfg->endpoints == NULL ? cfg->endpoint : cfg->endpoints[index];
}

static int endpoints_check(const struct weir_client_config *cfg)
{
    if ((cfg->endpoint == NULL) == (cfg->endpoints == NULL))
        return weir_fail(-EINVAL, "endpoint is required, or else endpoints");
    if (cfg->endpoints == NULL)
        return 0;
    if (cfg->endpoints_count == 0 || cfg->endpoints_count > WEIR_ENDPOINTS_MAX)
        return weir_fail(-EINVAL, "endpoints_count is %u, expected 1 to %u", cfg->endpoints_count,
                         WEIR_ENDPOINTS_MAX);
    for (uint32_t i = 0; i < cfg->endpoints_count; i++)
        if (cfg->endpoints[i] == NULL)
            return weir_fail(-EINVAL, "endpoints: number %u is NULL", i);
    return 0;
}

static int config_check(const struct weir_client_config *cfg)
{
    if (cfg->size != sizeof *cfg)
        return weir_fail(-EINVAL, "size is %u, %zu expected: use weir_client_config_init()",
                         cfg->size, sizeof *cfg);
    int rc = endpoints_check(cfg);
    if (rc < 0)
        return rc;
    const uint64_t year = 31536000u * 1000000000ull;
    const struct weir_range ranges[] = {
        { "conns_max", cfg->conns_max, 1, 1u << 20 },
        { "endpoint_conns_max", cfg->endpoint_conns_max, 0, 1u << 20 },
        { "conns_min", cfg->conns_min, 0, 1u << 20 },
        { "pipeline_max", cfg->pipeline_max, 1, 65536 },
        { "waiting_max", cfg->waiting_max, 1, UINT32_MAX },
        { "waiting_timeout_ns", cfg->waiting_timeout_ns, 0, year },
        { "connect_timeout_ns", cfg->connect_timeout_ns, 0, year },
        { "idle_timeout_ns", cfg->idle_timeout_ns, 0, year },
        { "age_max_ns", cfg->age_max_ns, 0, year },
        { "timeout_ns", cfg->timeout_ns, 0, year },
        { "head_bytes_max", cfg->head_bytes_max, 256, WEIR_HTTP1_HEAD_BYTES_MAX },
        { "fields_max", cfg->fields_max, 1, 1024 },
        { "lenient", cfg->lenient, 0, WEIR_HTTP1_LENIENT_ALL },
        { "decoded_bytes_max", cfg->decoded_bytes_max, 1, UINT64_MAX },
        { "retry.attempts_max", cfg->retry.attempts_max, 1, 16 },
        { "retry.backoff_ns", cfg->retry.backoff_ns, 1, year },
        { "retry.backoff_max_ns", cfg->retry.backoff_max_ns, cfg->retry.backoff_ns, year },
        { "retry.budget_percent", cfg->retry.budget_percent, 0, 100 },
        { "retry.budget_min", cfg->retry.budget_min, 0, 1000 },
        { "dns_ttl_max_ns", cfg->dns_ttl_max_ns, 1, year },
        { "stagger_ns", cfg->stagger_ns, 1, year },
        { "eject_failures", cfg->eject_failures, 0, 1u << 20 },
        { "eject_ns", cfg->eject_ns, 1, year },
        { "eject_max_ns", cfg->eject_max_ns, cfg->eject_ns, year },
        { "health_interval_ns", cfg->health_interval_ns, 1000000, year },
        { "health_timeout_ns", cfg->health_timeout_ns, 1, year },
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
    sum += weir_arena_cost(endpoints_count(cfg) * sizeof(struct weir_endpoint), WEIR_CACHE_LINE);
    /* the fields of the head that is being looked at */
    sum += weir_arena_cost(cfg->fields_max * sizeof(struct weir_http1_field), WEIR_CACHE_LINE);
    /* the head of a long request */
    sum += weir_arena_cost(SCRATCH_BYTES, WEIR_CACHE_LINE);
    /* every connection */
    sum += weir_pool_bytes(sizeof(struct weir_client_conn), cfg->conns_max);
    return (int64_t)weir_align_up(sum, WEIR_PAGE);
}

uint64_t weir_client_random(struct weir_client *client)
{
    return weir_random_u64(client->cfg.seed, 0, client->random_count++);
}

uint64_t weir_client_jitter(struct weir_client *client, uint64_t ns)
{
    uint64_t tenth = ns / 10;
    return tenth == 0 ? ns : ns - tenth + weir_client_random(client) % (2 * tenth);
}

/* ---- Open and close ---------------------------------------------------------------------- */

static void memory_open(struct weir_client *client)
{
    const struct weir_client_config *cfg = &client->cfg;
    struct weir_arena *arena = &client->arena;
    client->limits = (struct weir_http1_limits){ .head_bytes_max = cfg->head_bytes_max,
                                                 .target_bytes_max = WEIR_HTTP1_HEAD_BYTES_MAX,
                                                 .fields_max = (uint16_t)cfg->fields_max,
                                                 .lenient = cfg->lenient };
    client->endpoints = weir_arena_take(
        arena, client->endpoints_count * sizeof(struct weir_endpoint), WEIR_CACHE_LINE);
    client->response.head.fields =
        weir_arena_take(arena, cfg->fields_max * sizeof(struct weir_http1_field), WEIR_CACHE_LINE);
    client->scratch_bytes = SCRATCH_BYTES;
    client->scratch = weir_arena_take(arena, SCRATCH_BYTES, WEIR_CACHE_LINE);
    weir_pool_open(&client->conns, arena, sizeof(struct weir_client_conn), cfg->conns_max);
    weir_arena_seal(arena);
}

static void policies_open(struct weir_client *client)
{
    const struct weir_client_config *cfg = &client->cfg;
    weir_retry_budget_init(&client->budget, &cfg->retry, client->engine->now_ns);
    client->outliers = (struct weir_outlier_set){ .endpoints = client->outlier,
                                                  .count = client->endpoints_count,
                                                  .failures = cfg->eject_failures,
                                                  .eject_ns = cfg->eject_ns,
                                                  .eject_max_ns = cfg->eject_max_ns };
}

static int text_copy(char *out, size_t capacity, const char *text, const char *field)
{
    if (text == NULL)
        return 0;
    if (text[0] == '\0' || strlen(text) >= capacity)
        return weir_fail(-EINVAL, "%s is %zu bytes long, expected 1 to %zu", field, strlen(text),
                         capacity - 1);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int texts_open(struct weir_client *client)
{
    struct weir_client_config *cfg = &client->cfg;
    int rc = text_copy(client->health_target, sizeof client->health_target, cfg->health_target,
                       "health_target");
    if (rc == 0)
        rc = text_copy(client->tls_name, sizeof client->tls_name, cfg->tls_name, "tls_name");
    cfg->health_target = cfg->tls_name = NULL;
    return rc;
}

/* What only some clients need: certificates for https, a resolver for names. */
static int services_open(struct weir_client *client)
{
    bool secure = false, named = false;
    int rc = 0;
    for (uint32_t i = 0; i < client->endpoints_count; i++) {
        secure |= client->endpoints[i].secure;
        named |= client->endpoints[i].named;
    }
    if (secure && client->cfg.tls != NULL) {
        if (weir_tls_side(client->cfg.tls) != WEIR_TLS_CLIENT)
            return weir_fail(-EINVAL, "tls is a server's");
        client->tls = weir_tls_get(client->cfg.tls);
    } else if (secure) {
        struct weir_tls_config tls;
        weir_tls_config_init(&tls);
        rc = weir_tls_open(&client->tls, &tls);
    }
    if (rc == 0 && named)
        rc = weir_resolver_open(&client->resolver,
                                &(struct weir_resolver_config){
                                    .engine = client->engine, .servers = client->cfg.dns_servers });
    return rc;
}

/* Nothing is in progress. @return 0, or the ring's error: then the memory is left as it is */
static int release(struct weir_client *client)
{
    int rc = client->resolver == NULL ? 0 : weir_resolver_close(client->resolver);
    if (rc < 0)
        return rc;
    if (client->tls != NULL)
        weir_tls_put(client->tls);
    struct weir_arena arena = client->arena;
    weir_arena_close(&arena);
    return 0;
}

/* Every health check would fail because of it, and be held against the servers. */
static int health_check_target(struct weir_client *client)
{
    const char *text = client->health_target;
    struct weir_call call = { .request = { .method = WEIR_TEXT("GET"),
                                           .target = { (const uint8_t *)text, strlen(text) } } };
    if (text[0] == '\0')
        return 0;
    if (text[0] == '/' && weir_client_write_head(weir_endpoint_authority(&client->endpoints[0]),
                                                 &call, client->scratch, client->scratch_bytes) > 0)
        return 0;
    return weir_fail(-EINVAL, "health_target '%s': expected a path as it is sent", text);
}

static int endpoints_open(struct weir_client *client, const struct weir_client_config *cfg)
{
    int rc = texts_open(client);
    for (uint32_t i = 0; rc == 0 && i < client->endpoints_count; i++)
        rc = weir_endpoint_open(&client->endpoints[i], client, i, endpoint_text(cfg, i));
    if (rc == 0)
        rc = health_check_target(client);
    return rc == 0 ? services_open(client) : rc;
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
    client->endpoints_count = endpoints_count(cfg);
    client->cfg.endpoint = NULL; /* the caller's memory; taken over below */
    client->cfg.endpoints = NULL;
    client->end_run.run = weir_client_end_run;
    client->retry_run.run = weir_client_retry_run;
    weir_list_init(&client->draining);
    weir_list_init(&client->end_run.link);
    weir_list_init(&client->retry_run.link);
    weir_timer_init(&client->memory_timer, weir_client_on_memory_timer, client);
    if (cfg->seed == 0 && getrandom(&client->cfg.seed, sizeof client->cfg.seed, GRND_NONBLOCK) < 0)
        client->cfg.seed = engine->now_ns; /* the system has just booted; jitter is all it is for */
    memory_open(client);
    policies_open(client);
    if (cfg->endpoints != NULL)
        client->cfg.endpoints_count = cfg->endpoints_count;
    rc = endpoints_open(client, cfg);
    if (rc < 0) {
        int closed = release(client);
        return closed < 0 ? closed : rc;
    }
    engine->owners++;
    *out = client;
    return 0;
}

/* Everything that is in progress is told to end. */
static void end_all(struct weir_client *client)
{
    struct weir_call *call;
    while ((call = weir_client_next(client, NULL)) != NULL)
        weir_call_end_later(client, call, WEIR_E_SHUTDOWN);
    while ((call = client->backoff.first) != NULL) {
        weir_call_give_up_retry(call);
        weir_call_end_later(client, call, WEIR_E_SHUTDOWN);
    }
    for (uint32_t i = 0; i < client->endpoints_count; i++) {
        struct weir_list *all = &client->endpoints[i].all;
        struct weir_list *next;
        weir_endpoint_close(&client->endpoints[i]);
        for (struct weir_list *n = all->next; n != all; n = next) {
            struct weir_client_conn *cc = weir_container_of(n, struct weir_client_conn, all_link);
            next = n->next;
            if (cc->calls.count == 0 && !cc->connecting && !cc->draining)
                weir_client_conn_retire(cc);
            else
                weir_client_conn_end(cc, WEIR_E_SHUTDOWN);
        }
    }
}

int weir_client_close(struct weir_client *client)
{
    struct weir_engine *engine = client->engine;
    int rc = 0;
    WEIR_ASSERT(engine->depth == 0);
    client->closing = true;
    end_all(client);
    while (rc == 0 &&
           (client->stats.conns_now > 0 || client->ended.count > 0 || client->given_up > 0))
        rc = weir_engine_run_once(engine, UINT64_MAX);
    weir_timer_cancel(&client->memory_timer);
    if (rc < 0)
        return rc; /* the kernel may still write into what hangs on it: it is left as it is */
    weir_list_remove(&client->end_run.link);
    weir_list_remove(&client->retry_run.link);
    engine->owners--;
    return release(client);
}

/* ---- Statistics -------------------------------------------------------------------------- */

void weir_client_stats(const struct weir_client *client, struct weir_client_stats *out)
{
    struct weir_client_stats stats = client->stats;
    stats.size = out->size;
    stats.waiting_now = client->waiting.count;
    stats.in_flight_now = client->in_flight_count;
    stats.connecting_now = client->connecting_count;
    for (uint32_t i = 0; i < client->endpoints_count; i++) {
        const struct weir_endpoint *endpoint = &client->endpoints[i];
        for (const struct weir_list *n = endpoint->idle.next; n != &endpoint->idle; n = n->next)
            stats.idle_now++;
        stats.ejected_now += !weir_endpoint_fit(endpoint);
        stats.ejections += endpoint->ejections;
    }
    weir_fill_sized(out, out->size, &stats, sizeof stats);
}

void weir_client_endpoint_stats(const struct weir_client *client, uint32_t index,
                                struct weir_endpoint_stats *out)
{
    WEIR_ASSERT(index < client->endpoints_count);
    const struct weir_endpoint *endpoint = &client->endpoints[index];
    struct weir_endpoint_stats stats = {
        .size = out->size,
        .conns_now = endpoint->conns_count,
        .in_flight_now = endpoint->in_flight_count,
        .addresses_now = endpoint->addrs_count,
        .sent = endpoint->sent,
        .failures = endpoint->failures,
        .ejections = endpoint->ejections,
        .ejected = !weir_endpoint_fit(endpoint),
        .healthy = !endpoint->unhealthy,
    };
    weir_fill_sized(out, out->size, &stats, sizeof stats);
}
