/* SPDX-License-Identifier: MIT */
/* The engine's beginning and end: configuration, memory, the choice of the ring, counters. */
#include "core/engine.h"
#include "core/ring.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

static const char *const kind_names[] = { "accept", "recv",          "send",     "connect",
                                          "cancel", "accept-cancel", "doorbell", "send-zc",
                                          "poll",   "poll-cancel" };
_Static_assert(sizeof kind_names / sizeof kind_names[0] == WEIR_OP_COUNT, "a name for every kind");
_Static_assert(WEIR_REGISTERED_MAX == WEIR_RING_BUFFERS, "the same table");
_Static_assert(WEIR_ZC_COPIED_FLAG == WEIR_ZC_COPIED, "the same flag");

const struct weir_ring_type *weir_ring_override;
void *weir_ring_override_arg;

/* ---- Configuration ----------------------------------------------------------------------- */

void weir_engine_config_init_size(struct weir_engine_config *cfg, uint32_t size)
{
    struct weir_engine_config defaults = {
        .size = size,
        .conns_max = 16384,
        .recv_bufs_max = 512,
        .recv_buf_bytes = 4096,
        .send_bytes_max = 48u << 20,
        .stash_bytes_max = 288u << 20,
        .stash_block_bytes = 16384,
        .sq_entries = 256,
        .cq_entries = 4096,
        .cpu = -1,
        .recv_holds_max = 256,
    };
    weir_fill_sized(cfg, size, &defaults, sizeof defaults);
}

/* The number of `text` in a list of names; -1. */
static int name_find(const char *const *names, int count, const char *text)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    return -1;
}

int weir_parse_ring(enum weir_ring_kind *out, const char *text)
{
    static const char *const names[] = {
        [WEIR_RING_AUTO] = "auto", [WEIR_RING_URING] = "uring", [WEIR_RING_EPOLL] = "epoll"
    };
    int found = name_find(names, sizeof names / sizeof names[0], text);
    if (found < 0)
        return weir_fail(-EINVAL, "expected auto, uring or epoll, got '%.100s'", text);
    *out = (enum weir_ring_kind)found;
    return 0;
}

int weir_parse_wait(enum weir_wait *out, const char *text)
{
    static const char *const names[] = {
        [WEIR_WAIT_ADAPTIVE] = "adaptive", [WEIR_WAIT_SPIN] = "spin", [WEIR_WAIT_SLEEP] = "sleep"
    };
    int found = name_find(names, sizeof names / sizeof names[0], text);
    if (found < 0)
        return weir_fail(-EINVAL, "expected adaptive, spin or sleep, got '%.100s'", text);
    *out = (enum weir_wait)found;
    return 0;
}

int weir_parse_ring_features(const char **out, const char *text)
{
    struct weir_slice bad;
    if (!weir_ring_uring_features_valid(text, &bad))
        return weir_fail(-EINVAL, "no feature '%.*s'; there are %s", (int)bad.len,
                         (const char *)bad.ptr, weir_ring_uring_features);
    *out = text;
    return 0;
}

static int pow2_check(const char *name, uint64_t value)
{
    if (weir_is_pow2(value))
        return 0;
    return weir_fail(-EINVAL, "%s is %llu; it must be a power of two", name,
                     (unsigned long long)value);
}

static int config_check(const struct weir_engine_config *cfg)
{
    int rc;
    struct weir_slice bad;
    if (cfg->size != sizeof *cfg)
        return weir_fail(-EINVAL, "size is %u, %zu expected: use weir_engine_config_init()",
                         cfg->size, sizeof *cfg);
    const struct weir_range ranges[] = {
        { "conns_max", cfg->conns_max, 1, 1u << 20 },
        { "recv_bufs_max", cfg->recv_bufs_max, 2, 32768 },
        { "recv_buf_bytes", cfg->recv_buf_bytes, 256, 65536 },
        { "send_bytes_max", cfg->send_bytes_max, 1u << 16, 1u << 30 },
        { "stash_bytes_max", cfg->stash_bytes_max, 1u << 16, 1ull << 34 },
        { "stash_block_bytes", cfg->stash_block_bytes, 4096, 65536 },
        { "sq_entries", cfg->sq_entries, 8, 32768 },
        { "cq_entries", cfg->cq_entries, 8, 65536 },
        { "napi_ns", cfg->napi_ns, 0, 1000000 },
    };
    if ((rc = weir_range_check(ranges, sizeof ranges / sizeof ranges[0])) < 0 ||
        (rc = pow2_check("recv_bufs_max", cfg->recv_bufs_max)) < 0 ||
        (rc = pow2_check("stash_block_bytes", cfg->stash_block_bytes)) < 0 ||
        (rc = pow2_check("sq_entries", cfg->sq_entries)) < 0 ||
        (rc = pow2_check("cq_entries", cfg->cq_entries)) < 0)
        return rc;
    if (cfg->cq_entries < cfg->sq_entries)
        return weir_fail(-EINVAL, "cq_entries is %u; it must be at least sq_entries, %u",
                         cfg->cq_entries, cfg->sq_entries);
    if (cfg->cpu < -1 || cfg->cpu >= CPU_SETSIZE)
        return weir_fail(-EINVAL, "cpu is %d; it must be -1 ... %d", cfg->cpu, CPU_SETSIZE - 1);
    if ((uint32_t)cfg->ring > WEIR_RING_EPOLL)
        return weir_fail(-EINVAL, "ring is %d; it must be a weir_ring_kind", (int)cfg->ring);
    if ((uint32_t)cfg->wait > WEIR_WAIT_SLEEP)
        return weir_fail(-EINVAL, "wait is %d; it must be a weir_wait", (int)cfg->wait);
    if (!weir_ring_uring_features_valid(cfg->ring_disable, &bad))
        return weir_fail(-EINVAL, "ring_disable: no feature '%.*s'; there are %s", (int)bad.len,
                         (const char *)bad.ptr, weir_ring_uring_features);
    return 0;
}

/* One slot is the doorbell's, some are for zero-copy sends and for watched descriptors. */
static uint32_t slots_count(const struct weir_engine_config *cfg)
{
    return cfg->conns_max + 1 + WEIR_ZC_SLOTS + WEIR_WATCH_SLOTS;
}

/* At least one receive buffer stays with the kernel, or nothing would be received any more. */
static uint32_t holds_max(const struct weir_engine_config *cfg)
{
    return (uint32_t)weir_min_u64(cfg->recv_holds_max, cfg->recv_bufs_max / 2);
}

static uint32_t chunks_count(const struct weir_engine_config *cfg)
{
    return (uint32_t)(cfg->send_bytes_max / WEIR_CHUNK_BYTES);
}

static uint32_t stash_stride(const struct weir_engine_config *cfg)
{
    return WEIR_STASH_HEAD_BYTES + cfg->stash_block_bytes;
}

static uint32_t stash_count(const struct weir_engine_config *cfg)
{
    return (uint32_t)weir_max_u64(cfg->stash_bytes_max / stash_stride(cfg), 1);
}

static uint32_t buf_stride(const struct weir_engine_config *cfg)
{
    return (uint32_t)weir_align_up(cfg->recv_buf_bytes, WEIR_CACHE_LINE) + WEIR_BUF_GAP;
}

static struct weir_ring_config ring_config(const struct weir_engine_config *cfg)
{
    return (struct weir_ring_config){ .sq_entries = cfg->sq_entries,
                                      .cq_entries = cfg->cq_entries,
                                      .ops_max = slots_count(cfg) * WEIR_OPS_PER_SLOT,
                                      .bufs_count = cfg->recv_bufs_max,
                                      .buf_bytes = cfg->recv_buf_bytes,
                                      .buf_stride = buf_stride(cfg),
                                      .napi_us = (uint32_t)((cfg->napi_ns + 999) / 1000),
                                      .disable = cfg->ring_disable,
                                      .arg = weir_ring_override_arg };
}

/* The twin to begin with. */
static const struct weir_ring_type *ring_type(const struct weir_engine_config *cfg)
{
    if (weir_ring_override != NULL)
        return weir_ring_override;
    return cfg->ring == WEIR_RING_EPOLL ? &weir_ring_epoll : &weir_ring_uring;
}

/* Which of them it will be is known only later. */
static uint64_t ring_bytes(const struct weir_engine_config *cfg, const struct weir_ring_config *r)
{
    uint64_t bytes = ring_type(cfg)->bytes(r);
    return cfg->ring == WEIR_RING_AUTO ? bytes + weir_ring_epoll.bytes(r) : bytes;
}

int64_t weir_engine_memory_bytes(const struct weir_engine_config *cfg)
{
    int rc = config_check(cfg);
    if (rc < 0)
        return rc;
    struct weir_ring_config rcfg = ring_config(cfg);
    uint64_t sum = 0;
    sum += weir_arena_cost(sizeof(struct weir_engine), WEIR_CACHE_LINE);
    sum += ring_bytes(cfg, &rcfg);
    /* every socket, the doorbell, and what slots_count() adds */
    sum += weir_pool_bytes(WEIR_SLOT_BYTES, slots_count(cfg));
    /* receive buffers: all of them are with the kernel between two passes, so a pass never starves
     * itself */
    sum += weir_arena_cost((uint64_t)cfg->recv_bufs_max * buf_stride(cfg), WEIR_PAGE);
    /* which of them the application holds */
    sum += weir_arena_cost((uint64_t)cfg->recv_bufs_max * sizeof(uint16_t), WEIR_CACHE_LINE);
    /* queued output */
    sum += weir_arena_cost(WEIR_PAGE,
                           WEIR_PAGE); /* page border, so that it can be locked on its own */
    sum += weir_pool_bytes(WEIR_CHUNK_BYTES, chunks_count(cfg));
    /* input that waits */
    sum += weir_pool_bytes(stash_stride(cfg), stash_count(cfg));
    /* as many gathered sends as one enter can start */
    sum += weir_arena_cost((uint64_t)cfg->sq_entries * sizeof(struct weir_gather), WEIR_CACHE_LINE);
    return (int64_t)weir_align_up(sum, WEIR_PAGE);
}

const char *weir_ring_features(void)
{
    return weir_ring_uring_features;
}

const char *weir_engine_ring_fallback(const struct weir_engine *engine)
{
    return engine->fallback[0] != '\0' ? engine->fallback : NULL;
}

const char *weir_engine_ring_info(const struct weir_engine *engine)
{
    return engine->ring->info;
}

static int pin(int32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        return weir_fail(-errno, "cpu: cannot pin the thread to CPU %d: %s", cpu,
                         weir_err_name(-errno));
    return 0;
}

void weir_engine_trace(const struct weir_engine *engine, int fd)
{
    weir_trace_print(&engine->trace, kind_names, WEIR_OP_COUNT, fd);
}

static void crash_context(void *arg)
{
    struct weir_engine *engine = arg;
    fprintf(stderr, "weir: engine pass %llu, %u slots in use; last completions:\n",
            (unsigned long long)engine->stats.passes, engine->slots.used);
    fflush(stderr);
    weir_engine_trace(engine, STDERR_FILENO);
}

static void pools_open(struct weir_engine *engine, const struct weir_engine_config *cfg)
{
    struct weir_arena *arena = &engine->arena;
    weir_pool_open(&engine->slots, arena, WEIR_SLOT_BYTES, slots_count(cfg));
    engine->buf_stride = buf_stride(cfg);
    engine->bufs =
        weir_arena_take(arena, (uint64_t)cfg->recv_bufs_max * engine->buf_stride, WEIR_PAGE);
    engine->bufs_count = cfg->recv_bufs_max;
    engine->buf_current = UINT32_MAX;
    engine->holds =
        weir_arena_take(arena, (uint64_t)cfg->recv_bufs_max * sizeof(uint16_t), WEIR_CACHE_LINE);
    engine->holds_max = holds_max(cfg);
    (void)weir_arena_take(arena, 0, WEIR_PAGE);
    weir_pool_open(&engine->chunks, arena, WEIR_CHUNK_BYTES, chunks_count(cfg));
    weir_pool_open(&engine->stash, arena, stash_stride(cfg), stash_count(cfg));
    engine->stash_block_bytes = cfg->stash_block_bytes;
    engine->reap_max = cfg->cq_entries;
    engine->gathers_max = cfg->sq_entries;
    engine->gathers = weir_arena_take(arena, (uint64_t)cfg->sq_entries * sizeof(struct weir_gather),
                                      WEIR_CACHE_LINE);
}

static int ring_open(struct weir_engine *engine, const struct weir_engine_config *cfg)
{
    struct weir_ring_config rcfg = ring_config(cfg);
    rcfg.bufs = engine->bufs;
    if (cfg->send_register) {
        rcfg.send_memory = engine->chunks.base;
        rcfg.send_bytes = (uint64_t)engine->chunks.stride * engine->chunks.count;
    }
    int rc = ring_type(cfg)->open(&engine->ring, &engine->arena, &rcfg);
    bool forbidden = rc == -ENOSYS || rc == -EPERM || rc == -EACCES || rc == WEIR_E_UNSUPPORTED;
    if (forbidden && cfg->ring == WEIR_RING_AUTO && cfg->napi_ns == 0 && !cfg->send_register) {
        snprintf(engine->fallback, sizeof engine->fallback, "%s", weir_error_text());
        rc = weir_ring_epoll.open(&engine->ring, &engine->arena, &rcfg);
    }
    if (rc < 0)
        return rc;
    engine->sock = engine->ring->sock;
    engine->can_zc = engine->ring->abilities & WEIR_RING_ZC;
    engine->registered[0] = (struct weir_slice){ rcfg.send_memory, rcfg.send_bytes };
    return 0;
}

static int engine_open(struct weir_engine **out, const struct weir_engine_config *cfg,
                       uint64_t bytes)
{
    struct weir_arena arena;
    int rc = weir_arena_open(&arena, bytes);
    if (rc < 0)
        return rc;
    struct weir_engine *engine = weir_arena_take(&arena, sizeof *engine, WEIR_CACHE_LINE);
    engine->arena = arena;
    engine->mailbox.doorbell_fd = -1;
    engine->host_fd = engine->timer_fd = -1;
    engine->conns_max = cfg->conns_max;
    weir_sched_init(&engine->sched, cfg->wait);
    weir_list_init(&engine->freed.link);
    weir_list_init(&engine->ready);
    weir_list_init(&engine->flush);
    pools_open(engine, cfg);
    rc = ring_open(engine, cfg);
    if (rc == 0)
        rc = weir_mailbox_open(&engine->mailbox);
    if (rc < 0)
        goto fail;
    weir_arena_seal(&engine->arena);
    engine->now_ns = engine->ring->ops->now_ns(engine->ring);
    weir_wheel_init(&engine->wheel, engine->now_ns);
    weir_engine_doorbell_open(engine);
    weir_assert_set_context(crash_context, engine);
    *out = engine;
    return 0;
fail:
    if (engine->ring != NULL)
        engine->ring->ops->close(engine->ring);
    weir_mailbox_close(&engine->mailbox);
    arena = engine->arena; /* the engine itself lies in it */
    weir_arena_close(&arena);
    return rc;
}

int weir_engine_open(struct weir_engine **out, const struct weir_engine_config *cfg)
{
    *out = NULL;
    int64_t bytes = weir_engine_memory_bytes(cfg);
    if (bytes < 0)
        return (int)bytes;
    if (cfg->cpu < 0)
        return engine_open(out, cfg, (uint64_t)bytes);
    /* Pinned first, so that the memory is of this CPU's node; undone when the rest fails. */
    cpu_set_t before;
    bool known = sched_getaffinity(0, sizeof before, &before) == 0;
    int rc = pin(cfg->cpu);
    if (rc < 0)
        return rc;
    rc = engine_open(out, cfg, (uint64_t)bytes);
    if (rc < 0 && known)
        (void)sched_setaffinity(0, sizeof before, &before);
    return rc;
}

int weir_engine_close(struct weir_engine *engine)
{
    WEIR_ASSERT(engine->depth == 0);
    if (engine->owners > 0 || engine->slots.used > 1)
        return -EBUSY;
    weir_assert_clear_context(engine);
    if (engine->host_fd >= 0) {
        close(engine->host_fd);
        close(engine->timer_fd);
    }
    engine->ring->ops->close(engine->ring);
    weir_mailbox_close(&engine->mailbox);
    struct weir_arena arena = engine->arena;
    weir_arena_close(&arena);
    return 0;
}

void weir_engine_stats(const struct weir_engine *engine, struct weir_engine_stats *out)
{
    struct weir_engine_stats stats = engine->stats;
    stats.size = out->size;
    stats.conns_now = weir_sockets_used(engine) - 1;
    stats.enters = engine->ring->counters.enters;
    stats.sqes = engine->ring->counters.sqes;
    stats.cq_overflows = engine->ring->counters.cq_overflows;
    stats.send_chunks_now = engine->chunks.used;
    stats.stash_blocks_now = engine->stash.used;
    stats.recv_holds_now = engine->holds_used;
    stats.zc_pending_now = engine->zc_used;
    weir_fill_sized(out, out->size, &stats, sizeof stats);
}
