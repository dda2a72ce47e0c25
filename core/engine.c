/* SPDX-License-Identifier: MIT */
/*
 * The loop.
 *
 * One pass:
 *   1. submit and wait in one kernel entry (not waiting when there is work already)
 *   2. read the clock, once
 *   3. reap: dispatch each completion by its kind
 *   4. run the tasks other threads posted, then the timers that are due
 *   5. run the ready list, then flush: one send per connection, gathering everything steps 3 to 5
 * queued
 *   6. give the receive buffers back: one release store
 *
 * Timers come before the flush so that an answer a timer gives leaves in the same pass.
 */
#include "core/engine.h"
#include "core/ring.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* recv, send, cancel and one of accept or connect may be in flight for a slot at once. */
#define OPS_PER_SLOT 4

#define GEN_MASK 0xffffffu

static const char *const kind_names[] = { "accept", "recv",          "send",    "connect",
                                          "cancel", "accept-cancel", "doorbell" };
_Static_assert(sizeof kind_names / sizeof kind_names[0] == WEIR_OP_COUNT, "a name for every kind");

uint64_t weir_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t weir_engine_now_ns(const struct weir_engine *engine)
{
    return engine->now_ns;
}

/* ---- Slots ------------------------------------------------------------------------------- */

struct weir_slot *weir_slot_get(struct weir_engine *engine)
{
    struct weir_slot *slot = weir_pool_get(&engine->slots);
    if (slot == NULL)
        return NULL;
    WEIR_ASSERT(!slot->used);
    WEIR_ASSERT(slot->inflight == 0);
    uint32_t gen = slot->gen;
    memset(slot, 0, WEIR_SLOT_BYTES);
    slot->gen = gen;
    slot->index = weir_pool_index(&engine->slots, slot);
    slot->used = true;
    return slot;
}

void weir_slot_put(struct weir_engine *engine, struct weir_slot *slot)
{
    WEIR_ASSERT(slot->used);
    WEIR_ASSERT(slot->inflight == 0);
    slot->used = false;
    slot->gen = (slot->gen + 1) & GEN_MASK;
    weir_pool_put(&engine->slots, slot);
}

uint32_t weir_slots_free(const struct weir_engine *engine)
{
    return engine->slots.count - engine->slots.used;
}

void weir_engine_set_handler(struct weir_engine *engine, enum weir_op_kind kind,
                             weir_on_done *handler)
{
    WEIR_ASSERT(kind < WEIR_OP_COUNT);
    WEIR_ASSERT(engine->on_done[kind] == NULL || engine->on_done[kind] == handler);
    engine->on_done[kind] = handler;
}

/* ---- Operations -------------------------------------------------------------------------- */

static uint64_t user_data(const struct weir_slot *slot, enum weir_op_kind kind)
{
    return (uint64_t)kind << 56 | (uint64_t)slot->gen << 32 | slot->index;
}

static uint64_t op_begin(struct weir_engine *engine, struct weir_slot *slot, enum weir_op_kind kind)
{
    WEIR_ASSERT(slot->used);
    WEIR_ASSERT(slot->inflight < OPS_PER_SLOT);
    WEIR_DEBUG_ASSERT(engine->on_done[kind] != NULL);
    (void)engine;
    slot->inflight++;
    return user_data(slot, kind);
}

void weir_op_accept(struct weir_engine *engine, struct weir_slot *slot, int fd, bool multi)
{
    engine->ring->ops->accept(engine->ring, fd, multi, op_begin(engine, slot, WEIR_OP_ACCEPT));
}

void weir_op_recv(struct weir_engine *engine, struct weir_slot *slot, int fd)
{
    engine->ring->ops->recv_multi(engine->ring, fd, op_begin(engine, slot, WEIR_OP_RECV));
}

void weir_op_send(struct weir_engine *engine, struct weir_slot *slot, int fd,
                  struct weir_slice data)
{
    WEIR_ASSERT(data.len > 0);
    engine->ring->ops->send(engine->ring, fd, data, op_begin(engine, slot, WEIR_OP_SEND));
}

void weir_op_sendmsg(struct weir_engine *engine, struct weir_slot *slot, int fd,
                     const struct msghdr *msg)
{
    WEIR_ASSERT(msg->msg_iovlen > 0);
    engine->ring->ops->sendmsg(engine->ring, fd, msg, op_begin(engine, slot, WEIR_OP_SEND));
}

void weir_op_connect(struct weir_engine *engine, struct weir_slot *slot, int fd,
                     const struct sockaddr *addr, socklen_t bytes)
{
    engine->ring->ops->connect(engine->ring, fd, addr, bytes,
                               op_begin(engine, slot, WEIR_OP_CONNECT));
}

void weir_op_cancel(struct weir_engine *engine, struct weir_slot *slot, int fd)
{
    engine->ring->ops->cancel_fd(engine->ring, fd, op_begin(engine, slot, WEIR_OP_CANCEL));
}

void weir_op_cancel_kind(struct weir_engine *engine, struct weir_slot *slot,
                         enum weir_op_kind victim)
{
    enum weir_op_kind kind = victim == WEIR_OP_ACCEPT ? WEIR_OP_ACCEPT_CANCEL : WEIR_OP_CANCEL;
    uint64_t target = user_data(slot, victim);
    engine->ring->ops->cancel(engine->ring, target, op_begin(engine, slot, kind));
}

void weir_unexpected(struct weir_engine *engine, enum weir_op_kind kind,
                     const struct weir_slot *slot, int res)
{
    engine->stats.unexpected++;
    weir_trace_add(&engine->trace, (struct weir_trace_event){ .pass = engine->stats.passes,
                                                              .index = slot->index,
                                                              .res = res,
                                                              .kind = (uint8_t)kind,
                                                              .flags = 0xff });
}

/* ---- The pass ---------------------------------------------------------------------------- */

static void dispatch(struct weir_engine *engine, const struct weir_cqe *cqe)
{
    uint32_t kind = (uint32_t)(cqe->user_data >> 56);
    uint32_t gen = (uint32_t)(cqe->user_data >> 32) & GEN_MASK;
    uint32_t index = (uint32_t)cqe->user_data;
    WEIR_ASSERT(kind < WEIR_OP_COUNT);
    WEIR_ASSERT(index < engine->slots.count);
    struct weir_slot *slot = weir_pool_at(&engine->slots, index);
    weir_trace_add(&engine->trace, (struct weir_trace_event){ .pass = engine->stats.passes,
                                                              .index = index,
                                                              .res = cqe->res,
                                                              .extra = (uint16_t)gen,
                                                              .kind = (uint8_t)kind,
                                                              .flags = (uint8_t)cqe->flags });
    uint32_t buf = cqe->flags >> WEIR_CQE_BUF_SHIFT;
    bool has_buf = cqe->flags & WEIR_CQE_BUFFER;
    if (WEIR_UNLIKELY(slot->gen != gen || !slot->used)) {
        engine->stats.stale_cqes++;
    } else {
        struct weir_done done = { .res = cqe->res, .last = !(cqe->flags & WEIR_CQE_MORE) };
        if (has_buf && cqe->res > 0)
            done.data = (struct weir_slice){ engine->bufs + (size_t)buf * engine->buf_stride,
                                             (size_t)cqe->res };
        if (done.last) {
            WEIR_ASSERT(slot->inflight > 0);
            slot->inflight--;
        }
        engine->on_done[kind](engine, slot, &done);
    }
    /* Whatever the completion said: a buffer that came with it goes back. */
    if (has_buf)
        engine->ring->ops->buf_put(engine->ring, buf);
}

/*
 * At most a queue full: a full submission queue is handed on in the middle of a pass and may
 * complete at once, and what those completions queue again, and so on; the rest of the pass must
 * have its turn.
 */
static void reap(struct weir_engine *engine)
{
    const struct weir_cqe *cqe;
    uint32_t count;
    uint32_t left = engine->reap_max;
    while (left > 0 && (count = engine->ring->ops->peek(engine->ring, &cqe)) > 0) {
        count = count < left ? count : left;
        left -= count;
        for (uint32_t i = 0; i < count; i++)
            dispatch(engine, &cqe[i]);
        engine->stats.cqes += count;
        engine->ring->ops->advance(engine->ring, count);
    }
}

/* Run what is on the list now; what is put on it meanwhile waits for the next time. */
static void run_list(struct weir_list *list)
{
    struct weir_list batch;
    weir_list_init(&batch);
    weir_list_splice_back(&batch, list);
    struct weir_list *node;
    while ((node = weir_list_pop_front(&batch)) != NULL) {
        struct weir_ready *ready = weir_container_of(node, struct weir_ready, link);
        ready->run(ready);
    }
}

static bool has_work(const struct weir_engine *engine)
{
    const struct weir_cqe *cqe;
    return !weir_list_empty(&engine->ready) || !weir_list_empty(&engine->flush) ||
           weir_mailbox_pending(&engine->mailbox) ||
           engine->ring->ops->peek(engine->ring, &cqe) > 0;
}

static int enter(struct weir_engine *engine, bool wait, uint64_t deadline_ns)
{
    int rc = engine->ring->ops->enter(engine->ring, wait, deadline_ns);
    if (!engine->ring->ops->unsubmitted(engine->ring))
        engine->gathers_used = 0;
    return rc;
}

/*
 * Waking a sleeping thread takes the kernel tens of microseconds (50 on the virtual machines
 * measured), which a timer would be late by. So the engine learns how late it is woken, asks to be
 * woken that much earlier, and passes without waiting until the deadline is there. Growing fast and
 * shrinking slowly, the lead covers most wake-ups; its bound is the most CPU time that one timer
 * may cost.
 */
#define WAKE_LEAD_NS_MAX 100000u

static void wake_lead_learn(struct weir_engine *engine, uint64_t asked_ns)
{
    const struct weir_cqe *cqe;
    if (engine->now_ns < asked_ns || engine->ring->ops->peek(engine->ring, &cqe) > 0)
        return; /* something else woke us */
    uint64_t late = weir_min_u64(engine->now_ns - asked_ns, WAKE_LEAD_NS_MAX);
    if (late > engine->wake_lead_ns)
        engine->wake_lead_ns += (late - engine->wake_lead_ns) / 4;
    else
        engine->wake_lead_ns -= (engine->wake_lead_ns - late) / 32;
}

static int pass(struct weir_engine *engine, uint64_t until_ns)
{
    uint64_t timer = weir_wheel_next_ns(&engine->wheel);
    uint64_t early = timer == WEIR_NO_DEADLINE || timer < engine->wake_lead_ns
                         ? timer
                         : timer - engine->wake_lead_ns;
    uint64_t deadline = weir_min_u64(until_ns, early);
    bool wait = deadline > engine->now_ns && !has_work(engine);
    int rc = enter(engine, wait, deadline);
    engine->now_ns = engine->ring->ops->now_ns(engine->ring);
    if (wait && deadline == early && timer != WEIR_NO_DEADLINE)
        wake_lead_learn(engine, early);
    engine->stats.passes++;
    engine->depth++;
    reap(engine);
    weir_mailbox_run(&engine->mailbox);
    engine->stats.timers_fired += weir_wheel_advance(&engine->wheel, engine->now_ns);
    if (!weir_list_empty(&engine->ready))
        run_list(&engine->ready);
    run_list(&engine->flush);
    engine->depth--;
    engine->ring->ops->buf_commit(engine->ring);
    return rc;
}

/* What a last pass queued must be under way before the caller goes elsewhere. */
static int submit_rest(struct weir_engine *engine)
{
    if (!engine->ring->ops->unsubmitted(engine->ring))
        return 0;
    return enter(engine, false, WEIR_NO_DEADLINE);
}

void weir_engine_refresh_clock(struct weir_engine *engine)
{
    if (engine->depth == 0)
        engine->now_ns = engine->ring->ops->now_ns(engine->ring);
}

int weir_engine_run(struct weir_engine *engine)
{
    int rc = 0;
    WEIR_ASSERT(engine->depth == 0);
    weir_engine_refresh_clock(engine);
    while (rc == 0 && !weir_mailbox_stop_take(&engine->mailbox))
        rc = pass(engine, WEIR_NO_DEADLINE);
    return rc < 0 ? rc : submit_rest(engine);
}

int weir_engine_run_once(struct weir_engine *engine, uint64_t wait_ns)
{
    WEIR_ASSERT(engine->depth == 0);
    weir_engine_refresh_clock(engine);
    uint64_t until =
        wait_ns > WEIR_NO_DEADLINE - engine->now_ns ? WEIR_NO_DEADLINE : engine->now_ns + wait_ns;
    int rc = pass(engine, until);
    return rc < 0 ? rc : submit_rest(engine);
}

void weir_engine_stop(struct weir_engine *engine)
{
    weir_mailbox_stop(&engine->mailbox);
}

void weir_engine_post(struct weir_engine *engine, struct weir_task *task)
{
    weir_mailbox_post(&engine->mailbox, task);
}

/* ---- Timers ------------------------------------------------------------------------------ */

void weir_timer_init(struct weir_timer *timer, weir_timer_fn *on_fire, void *ctx)
{
    *timer = (struct weir_timer){ .on_fire = on_fire, .ctx = ctx };
}

void weir_timer_set(struct weir_engine *engine, struct weir_timer *timer, uint64_t deadline_ns)
{
    WEIR_ASSERT(timer->on_fire != NULL);
    WEIR_ASSERT(timer->engine == NULL || timer->engine == engine);
    if (timer->engine != NULL)
        weir_wheel_remove(&engine->wheel, timer);
    timer->engine = engine;
    timer->deadline_ns = deadline_ns;
    weir_wheel_insert(&engine->wheel, timer);
}

void weir_timer_cancel(struct weir_timer *timer)
{
    if (timer->engine == NULL)
        return;
    weir_wheel_remove(&timer->engine->wheel, timer);
    timer->engine = NULL;
}

/* ---- Doorbell ---------------------------------------------------------------------------- */

static void doorbell_arm(struct weir_engine *engine)
{
    engine->ring->ops->read(engine->ring, engine->mailbox.doorbell_fd, &engine->doorbell_value,
                            sizeof engine->doorbell_value,
                            op_begin(engine, engine->doorbell, WEIR_OP_DOORBELL));
}

/* The ring's work is done by waking the loop: the mailbox is looked at in every pass. */
static void doorbell_on_done(struct weir_engine *engine, struct weir_slot *slot,
                             const struct weir_done *done)
{
    WEIR_ASSERT(done->last);
    if (done->res < 0 && done->res != -EAGAIN && done->res != -EINTR) {
        if (done->res != -ECANCELED)
            weir_unexpected(engine, WEIR_OP_DOORBELL, slot, done->res);
        return;
    }
    doorbell_arm(engine);
}

/* ---- Configuration, open, close ---------------------------------------------------------- */

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
    };
    weir_fill_sized(cfg, size, &defaults, sizeof defaults);
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
    if (!weir_ring_uring_features_valid(cfg->ring_disable, &bad))
        return weir_fail(-EINVAL, "ring_disable: no feature '%.*s'; there are %s", (int)bad.len,
                         (const char *)bad.ptr, weir_ring_uring_features);
    return 0;
}

/* One slot is the doorbell's. */
static uint32_t slots_count(const struct weir_engine_config *cfg)
{
    return cfg->conns_max + 1;
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
                                      .ops_max = slots_count(cfg) * OPS_PER_SLOT,
                                      .bufs_count = cfg->recv_bufs_max,
                                      .buf_bytes = cfg->recv_buf_bytes,
                                      .buf_stride = buf_stride(cfg),
                                      .disable = cfg->ring_disable };
}

int64_t weir_engine_memory_bytes(const struct weir_engine_config *cfg)
{
    int rc = config_check(cfg);
    if (rc < 0)
        return rc;
    struct weir_ring_config rcfg = ring_config(cfg);
    uint64_t sum = 0;
    sum += weir_arena_cost(sizeof(struct weir_engine), WEIR_CACHE_LINE);
    sum += weir_ring_uring_bytes(&rcfg);
    /* every socket, and the doorbell */
    sum += weir_pool_bytes(WEIR_SLOT_BYTES, slots_count(cfg));
    /* receive buffers: all of them are with the kernel between two passes, so a pass never starves
     * itself */
    sum += weir_arena_cost((uint64_t)cfg->recv_bufs_max * buf_stride(cfg), WEIR_PAGE);
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

static void crash_context(void *arg)
{
    struct weir_engine *engine = arg;
    fprintf(stderr, "weir: engine pass %llu, %u slots in use; last completions:\n",
            (unsigned long long)engine->stats.passes, engine->slots.used);
    fflush(stderr);
    weir_trace_print(&engine->trace, kind_names, WEIR_OP_COUNT, STDERR_FILENO);
}

static void pools_open(struct weir_engine *engine, const struct weir_engine_config *cfg)
{
    struct weir_arena *arena = &engine->arena;
    weir_pool_open(&engine->slots, arena, WEIR_SLOT_BYTES, slots_count(cfg));
    engine->buf_stride = buf_stride(cfg);
    engine->bufs =
        weir_arena_take(arena, (uint64_t)cfg->recv_bufs_max * engine->buf_stride, WEIR_PAGE);
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
    return weir_ring_uring_open(&engine->ring, &engine->arena, &rcfg);
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
    weir_engine_set_handler(engine, WEIR_OP_DOORBELL, doorbell_on_done);
    engine->doorbell = weir_slot_get(engine);
    doorbell_arm(engine);
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
    weir_assert_set_context(NULL, NULL);
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
    stats.conns_now = engine->slots.used - 1;
    stats.enters = engine->ring->counters.enters;
    stats.sqes = engine->ring->counters.sqes;
    stats.cq_overflows = engine->ring->counters.cq_overflows;
    stats.send_chunks_now = engine->chunks.used;
    stats.stash_blocks_now = engine->stash.used;
    weir_fill_sized(out, out->size, &stats, sizeof stats);
}
