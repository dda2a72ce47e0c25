/* SPDX-License-Identifier: MIT */
/*
 * A server's life: open, accept, drain, close.
 *
 *     open --> serving --drain--> draining --no connection left--> drained (on_drained) --close-->
 * gone \                                                                       /
 *                  +------------------------------ close -------------------------------+
 */
#include "proto/http/server_impl.h"
#include "core/base.h"

#include <errno.h>
#include <time.h>

/* Where the heads go that do not fit into a chunk of output memory. */
#define SCRATCH_BYTES 65536u

void weir_server_config_init_size(struct weir_server_config *cfg, uint32_t size)
{
    const uint64_t second = 1000000000u;
    struct weir_server_config defaults = {
        .size = size,
        .backlog = 4096,
        .conns_max = 16384,
        .exchanges_max = 16384,
        .pipeline_max = 64,
        .head_bytes_max = 16384,
        .target_bytes_max = 8192,
        .fields_max = 100,
        .body_bytes_max = 1u << 20,
        .head_timeout_ns = 10 * second,
        .body_timeout_ns = 30 * second,
        .idle_timeout_ns = 75 * second,
        .write_timeout_ns = 60 * second,
        .linger_timeout_ns = 2 * second,
        .linger_bytes_max = 64u << 10,
        .date = true,
    };
    weir_fill_sized(cfg, size, &defaults, sizeof defaults);
}

static int config_check(const struct weir_server_config *cfg)
{
    if (cfg->size != sizeof *cfg)
        return weir_fail(-EINVAL, "size is %u, %zu expected: use weir_server_config_init()",
                         cfg->size, sizeof *cfg);
    if (cfg->listen == NULL)
        return weir_fail(-EINVAL, "listen is required");
    if (cfg->tls != NULL && weir_tls_side(cfg->tls) != WEIR_TLS_SERVER)
        return weir_fail(-EINVAL, "tls is a client's: its side must be WEIR_TLS_SERVER");
    const struct weir_range ranges[] = {
        { "backlog", cfg->backlog, 1, 1u << 20 },
        { "conns_max", cfg->conns_max, 1, 1u << 20 },
        { "exchanges_max", cfg->exchanges_max, 1, 1u << 24 },
        { "pipeline_max", cfg->pipeline_max, 1, 65536 },
        { "head_bytes_max", cfg->head_bytes_max, 256, WEIR_HTTP1_HEAD_BYTES_MAX },
        { "target_bytes_max", cfg->target_bytes_max, 1, WEIR_HTTP1_HEAD_BYTES_MAX },
        { "fields_max", cfg->fields_max, 1, 1024 },
        { "lenient", cfg->lenient, 0, WEIR_HTTP1_LENIENT_ALL },
        { "body_bytes_max", cfg->body_bytes_max, 0, INT64_MAX },
    };
    return weir_range_check(ranges, sizeof ranges / sizeof ranges[0]);
}

int64_t weir_server_memory_bytes(const struct weir_server_config *cfg)
{
    int rc = config_check(cfg);
    if (rc < 0)
        return rc;
    uint64_t sum = 0;
    sum += weir_arena_cost(sizeof(struct weir_server), WEIR_CACHE_LINE);
    /* the fields of the head that is being looked at */
    sum += weir_arena_cost(cfg->fields_max * sizeof(struct weir_http1_field), WEIR_CACHE_LINE);
    /* the head of a long answer */
    sum += weir_arena_cost(SCRATCH_BYTES, WEIR_CACHE_LINE);
    /* every connection */
    sum += weir_pool_bytes(sizeof(struct weir_session), cfg->conns_max);
    /* every request in progress, refused ones included */
    sum += weir_pool_bytes(sizeof(struct weir_exchange), (uint64_t)cfg->exchanges_max);
    return (int64_t)weir_align_up(sum, WEIR_PAGE);
}

/* ---- Accepting --------------------------------------------------------------------------- */

static void on_accept(struct weir_listener *listener, int fd)
{
    struct weir_server *server = listener->user;
    if (server->member != NULL && !server->draining)
        weir_group_accept(server, fd);
    else if (server->draining || weir_session_open(server, fd) == NULL)
        weir_sock_close(server->engine, fd);
}

static uint32_t capacity(struct weir_listener *listener)
{
    struct weir_server *server = listener->user;
    if (server->draining)
        return 0;
    if (server->member != NULL)
        return weir_group_capacity(server);
    uint32_t sessions = server->sessions.count - server->sessions.used;
    uint32_t slots = weir_slots_free(server->engine);
    return sessions < slots ? sessions : slots;
}

static void on_listener_closed(struct weir_listener *listener)
{
    struct weir_server *server = listener->user;
    server->listener_closed = true;
    server->listener = NULL; /* its slot is somebody else's from now on */
    weir_server_check_drained(server);
}

static const struct weir_listener_handler listener_handler = {
    .on_accept = on_accept,
    .capacity = capacity,
    .on_closed = on_listener_closed,
};

/* ---- Services for sessions and exchanges ------------------------------------------------- */

struct weir_slice weir_server_date(struct weir_server *server)
{
    if (!server->cfg.date)
        return (struct weir_slice){ 0 };
    uint64_t now = server->engine->now_ns;
    if (WEIR_UNLIKELY(now >= server->date_until_ns)) {
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        weir_http1_date(server->date, ts.tv_sec > 0 ? ts.tv_sec : 0);
        server->date_until_ns = now + 1000000000u - (uint64_t)ts.tv_nsec;
    }
    return (struct weir_slice){ server->date, sizeof server->date };
}

/* Something is free: accept again, and let in what waits for an exchange, in the order it came. */
static void unpark_run(struct weir_ready *ready)
{
    struct weir_server *server = weir_container_of(ready, struct weir_server, unpark);
    if (server->member != NULL)
        weir_group_retry(server);
    if (server->listener != NULL && weir_listener_paused(server->listener))
        weir_listener_resume(server->listener);
    while (server->exchanges.used < server->exchanges.count) {
        struct weir_list *node = weir_list_pop_front(&server->parked);
        if (node == NULL)
            return;
        weir_session_unpark(weir_container_of(node, struct weir_session, park_link));
    }
}

void weir_server_exchange_freed(struct weir_server *server)
{
    if (WEIR_UNLIKELY(!weir_list_empty(&server->parked)))
        weir_ready_push(&server->engine->ready, &server->unpark);
}

static void on_memory_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_server *server = ctx;
    (void)timer;
    for (struct weir_list *n = server->sessions_list.next; n != &server->sessions_list; n = n->next)
        weir_exchange_wake_writers(weir_container_of(n, struct weir_session, link));
}

/* ---- Drain and close --------------------------------------------------------------------- */

static void drained_run(struct weir_ready *ready)
{
    struct weir_server *server = weir_container_of(ready, struct weir_server, drained);
    void (*on_drained)(struct weir_server *, void *) = server->on_drained;
    weir_timer_cancel(&server->drain_timer);
    server->on_drained = NULL;
    if (on_drained != NULL)
        on_drained(server, server->ctx);
}

void weir_server_check_drained(struct weir_server *server)
{
    if (server->member != NULL)
        weir_group_conns_ended(server);
    if (server->draining && server->listener_closed && server->stats.conns_now == 0 &&
        server->borrows_now == 0 && (server->member == NULL || !weir_group_expects(server)))
        weir_ready_push(&server->engine->ready, &server->drained);
}

static void reset_all(struct weir_server *server, int err)
{
    for (struct weir_list *n = server->sessions_list.next; n != &server->sessions_list; n = n->next)
        weir_conn_close(weir_container_of(n, struct weir_session, link)->conn, err, true);
}

static void on_drain_timer(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    reset_all(ctx, WEIR_E_SHUTDOWN);
}

void weir_server_drain(struct weir_server *server, uint64_t deadline_ns,
                       void (*on_drained)(struct weir_server *server, void *ctx))
{
    server->on_drained = on_drained;
    server->draining = true;
    if (server->member != NULL)
        weir_group_drain(server);
    if (server->listener != NULL)
        weir_listener_close(server->listener);
    for (struct weir_list *n = server->sessions_list.next; n != &server->sessions_list;
         n = n->next) {
        struct weir_session *s = weir_container_of(n, struct weir_session, link);
        if (s->held_until_ns != 0) /* nothing of it was looked at */
            weir_conn_close(s->conn, WEIR_E_SHUTDOWN, true);
        else if (weir_session_idle(s))
            weir_session_end_idle(s);
    }
    if (deadline_ns != 0)
        weir_timer_set(server->engine, &server->drain_timer, deadline_ns);
    weir_server_check_drained(server);
}

/* How long a closing server may sleep until it looks again; 0: nothing is left to wait for. */
static uint64_t close_wait_ns(const struct weir_server *server)
{
    if (server->stats.conns_now > 0 || server->borrows_now > 0 || !server->listener_closed)
        return UINT64_MAX;
    return server->member != NULL ? weir_group_wait_ns(server) : 0;
}

int weir_server_close(struct weir_server *server)
{
    struct weir_engine *engine = server->engine;
    uint64_t wait_ns;
    int rc = 0;
    WEIR_ASSERT(engine->depth == 0);
    server->draining = true;
    server->on_drained = NULL;
    if (server->member != NULL)
        weir_group_drain(server);
    if (server->listener != NULL)
        weir_listener_close(server->listener);
    reset_all(server, WEIR_E_SHUTDOWN);
    while (rc == 0 && (wait_ns = close_wait_ns(server)) > 0)
        rc = weir_engine_run_once(engine, wait_ns);
    weir_timer_cancel(&server->drain_timer);
    weir_timer_cancel(&server->memory_timer);
    weir_list_remove(&server->drained.link);
    weir_list_remove(&server->unpark.link);
    if (rc < 0)
        return rc; /* the kernel may still write into what hangs on it: it is left as it is */
    if (server->member != NULL)
        weir_group_leave(server);
    engine->owners--;
    if (server->cfg.tls != NULL)
        weir_tls_put(server->cfg.tls);
    struct weir_arena arena = server->arena;
    weir_arena_close(&arena);
    return rc;
}

/* ---- Open -------------------------------------------------------------------------------- */

static void server_init(struct weir_server *server, struct weir_engine *engine)
{
    server->engine = engine;
    server->drained.run = drained_run;
    server->unpark.run = unpark_run;
    weir_list_init(&server->sessions_list);
    weir_list_init(&server->parked);
    weir_list_init(&server->drained.link);
    weir_list_init(&server->unpark.link);
    weir_timer_init(&server->drain_timer, on_drain_timer, server);
    weir_timer_init(&server->memory_timer, on_memory_timer, server);
}

static void memory_open(struct weir_server *server)
{
    const struct weir_server_config *cfg = &server->cfg;
    struct weir_arena *arena = &server->arena;
    server->limits = (struct weir_http1_limits){ .head_bytes_max = cfg->head_bytes_max,
                                                 .target_bytes_max = cfg->target_bytes_max,
                                                 .fields_max = (uint16_t)cfg->fields_max,
                                                 .lenient = cfg->lenient };
    server->linger = (struct weir_linger){ .timeout_ns = cfg->linger_timeout_ns,
                                           .bytes_max = cfg->linger_bytes_max };
    server->head.fields =
        weir_arena_take(arena, cfg->fields_max * sizeof(struct weir_http1_field), WEIR_CACHE_LINE);
    server->scratch_bytes = SCRATCH_BYTES;
    server->scratch = weir_arena_take(arena, SCRATCH_BYTES, WEIR_CACHE_LINE);
    weir_pool_open(&server->sessions, arena, sizeof(struct weir_session), cfg->conns_max);
    weir_pool_open(&server->exchanges, arena, sizeof(struct weir_exchange), cfg->exchanges_max);
    weir_arena_seal(arena);
}

static int listener_open(struct weir_server *server)
{
    const struct weir_server_config *cfg = &server->cfg;
    unsigned how = (cfg->reuse_port ? WEIR_LISTEN_REUSE_PORT : 0u) |
                   (cfg->defer_accept ? WEIR_LISTEN_DEFER : 0u);
    int rc = weir_listener_open(&server->listener, server->engine, cfg->listen, cfg->backlog, how);
    if (rc < 0)
        return rc;
    weir_addr_format(&server->listener->addr, server->address, sizeof server->address);
    return 0;
}

int weir_server_open(struct weir_server **out, struct weir_engine *engine,
                     const struct weir_server_config *cfg,
                     const struct weir_server_handler *handler, void *ctx)
{
    struct weir_arena arena;
    *out = NULL;
    int64_t bytes = weir_server_memory_bytes(cfg);
    if (bytes < 0)
        return (int)bytes;
    if (handler == NULL || handler->on_request == NULL)
        return weir_fail(-EINVAL, "on_request is required");
    if (cfg->head_bytes_max > engine->stash_block_bytes)
        return weir_fail(-EINVAL,
                         "head_bytes_max is %u; the engine's stash_block_bytes, %u, must hold it",
                         cfg->head_bytes_max, engine->stash_block_bytes);
    int rc = weir_arena_open(&arena, (uint64_t)bytes);
    if (rc < 0)
        return rc;
    struct weir_server *server = weir_arena_take(&arena, sizeof *server, WEIR_CACHE_LINE);
    server->arena = arena;
    server->cfg = *cfg;
    server->handler = *handler;
    server->ctx = ctx;
    server_init(server, engine);
    memory_open(server);
    if (cfg->group != NULL)
        rc = weir_group_join(server);
    if (rc == 0)
        rc = listener_open(server);
    server->cfg.listen = server->address;
    if (rc < 0) {
        if (server->member != NULL)
            weir_group_leave(server);
        arena = server->arena;
        weir_arena_close(&arena);
        return rc;
    }
    engine->owners++;
    if (cfg->tls != NULL)
        weir_tls_get(cfg->tls);
    if (server->member != NULL)
        weir_group_start(server);
    weir_listener_start(server->listener, &listener_handler, server);
    *out = server;
    return 0;
}

const char *weir_server_address(const struct weir_server *server)
{
    return server->address;
}

void weir_server_stats(const struct weir_server *server, struct weir_server_stats *out)
{
    struct weir_server_stats stats = server->stats;
    stats.size = out->size;
    weir_fill_sized(out, out->size, &stats, sizeof stats);
}
