/* SPDX-License-Identifier: MIT */
/*
 * A batcher: the queue of items, when what of it is sent, and how items end.
 *
 * All that follows from a pass of the engine is done at its end, in run(): results are delivered,
 * then batches are filled and sent. So an item never ends inside a function that the caller calls,
 * what was added anywhere in the pass travels together, and what is sent leaves with the pass.
 */
#include "proto/http/batch_impl.h"
#include "core/base.h"

#include <errno.h>
#include <strings.h>
#include <weir/json.h>

/* How long a batch that the client had no room for waits before it is tried again. */
#define STALLED_RETRY_NS 1000000u

#define HEADERS_MAX      64u
#define TARGET_BYTES_MAX 8192u
#define HOST_BYTES_MAX   512u

#define LATENCY_NS_MIN 1000u
#define LATENCY_NS_MAX UINT64_C(3600000000000)

void weir_batcher_config_init_size(struct weir_batcher_config *cfg, uint32_t size)
{
    struct weir_batcher_config defaults = {
        .size = size,
        .items_max = 100,
        .batches_max = 16,
        .waiting_max = 65536,
        .bytes_max = 1u << 20,
        .answer_bytes_max = 4u << 20,
        .wait_ns = 50000000u,
        .adaptive = true,
        .ordered = true,
        .target = "/api/infer/batch",
    };
    weir_fill_sized(cfg, size, &defaults, sizeof defaults);
}

static int config_check(const struct weir_batcher_config *cfg)
{
    if (cfg->size != sizeof *cfg)
        return weir_fail(-EINVAL, "size is %u, %zu expected: use weir_batcher_config_init()",
                         cfg->size, sizeof *cfg);
    if (cfg->target == NULL)
        return weir_fail(-EINVAL, "target is required");
    if (cfg->headers_count > 0 && cfg->headers == NULL)
        return weir_fail(-EINVAL, "headers is NULL, and headers_count is not 0");
    const uint64_t bytes_max = UINT64_C(1) << 30;
    const struct weir_range ranges[] = {
        { "items_max", cfg->items_max, 1, 65536 },
        { "batches_max", cfg->batches_max, 1, 65536 },
        { "waiting_max", cfg->waiting_max, 1, UINT32_MAX },
        { "bytes_max", cfg->bytes_max, 64, bytes_max },
        { "answer_bytes_max", cfg->answer_bytes_max, 64, bytes_max },
        { "wait_ns", cfg->wait_ns, 0, UINT64_C(3600000000000) },
        { "the length of target", strlen(cfg->target), 1, TARGET_BYTES_MAX },
        { "the length of host", cfg->host.len, 0, HOST_BYTES_MAX },
        { "headers_count", cfg->headers_count, 0, HEADERS_MAX },
    };
    return weir_range_check(ranges, sizeof ranges / sizeof ranges[0]);
}

static struct weir_hist_config latency_config(void)
{
    struct weir_hist_config cfg;
    weir_hist_config_init(&cfg);
    cfg.lowest = LATENCY_NS_MIN;
    cfg.highest = LATENCY_NS_MAX;
    cfg.digits = 2;
    return cfg;
}

static uint64_t arena_bytes(const struct weir_batcher_config *cfg)
{
    uint64_t batch = 0, sum = 0;
    /* one batch: the call, who is in it, the array, the answer */
    batch += weir_arena_cost(sizeof(struct weir_batch), WEIR_CACHE_LINE);
    batch += weir_arena_cost(cfg->items_max * sizeof(struct weir_batch_item *), WEIR_CACHE_LINE);
    batch += weir_arena_cost(cfg->bytes_max, WEIR_PAGE);
    batch += weir_arena_cost(cfg->answer_bytes_max, WEIR_PAGE);
    sum += weir_arena_cost(sizeof(struct weir_batcher), WEIR_CACHE_LINE);
    /* the texts of the configuration, and the fields sent with each batch */
    sum += weir_arena_cost(strlen(cfg->target) + cfg->host.len, 1);
    sum += weir_arena_cost((cfg->headers_count + 1) * sizeof(struct weir_header), WEIR_CACHE_LINE);
    sum += cfg->batches_max * batch;
    return weir_align_up(sum, WEIR_PAGE);
}

int64_t weir_batcher_memory_bytes(const struct weir_batcher_config *cfg)
{
    int rc = config_check(cfg);
    if (rc < 0)
        return rc;
    struct weir_hist_config latency = latency_config();
    return (int64_t)arena_bytes(cfg) + weir_hist_memory_bytes(&latency);
}

/* ---- Items ------------------------------------------------------------------------------- */

void weir_batcher_schedule(struct weir_batcher *batcher)
{
    if (!batcher->running)
        weir_ready_push(&batcher->engine->ready, &batcher->run);
}

void weir_batch_item_finish(struct weir_batcher *batcher, struct weir_batch_item *item, int err)
{
    WEIR_ASSERT(batcher->items_now > 0);
    batcher->items_now--;
    if (err == 0)
        batcher->stats.completed++;
    else
        batcher->stats.failed++;
    weir_timer_cancel(&item->timer);
    item->state = BATCH_ITEM_IDLE;
    item->owner = NULL;
    item->on_end(item, err);
}

/* Out of the queue, or of its batch, which goes on. @return whose it was */
static struct weir_batcher *item_leave(struct weir_batch_item *item)
{
    item->status = 0;
    item->answer = (struct weir_slice){ .ptr = NULL };
    if (item->state == BATCH_ITEM_WAITING) {
        struct weir_batcher *batcher = item->owner;
        weir_batcher_unqueue(batcher, item);
        return batcher;
    }
    struct weir_batch *batch = item->owner;
    WEIR_ASSERT(item->state == BATCH_ITEM_SENT && batch->items[item->place] == item);
    batch->items[item->place] = NULL;
    return batch->batcher;
}

/* on_end is owed, but not from inside the function that ended it. */
static void item_end_later(struct weir_batch_item *item, int err)
{
    struct weir_batcher *batcher = item_leave(item);
    weir_timer_cancel(&item->timer);
    item->state = BATCH_ITEM_ENDED;
    item->owner = batcher;
    item->err = err;
    weir_batch_items_push(&batcher->ended, item);
    weir_batcher_schedule(batcher);
}

static void item_on_deadline(struct weir_timer *timer, void *ctx)
{
    struct weir_batch_item *item = ctx;
    (void)timer;
    weir_batch_item_finish(item_leave(item), item, WEIR_E_DEADLINE);
}

static int item_check(const struct weir_batcher *batcher, const struct weir_batch_item *item)
{
    if (batcher->closing)
        return weir_fail(WEIR_E_SHUTDOWN, "the batcher is being closed");
    if (item->on_end == NULL)
        return weir_fail(-EINVAL, "an item needs on_end");
    if (item->body.len > batcher->cfg.bytes_max - 2)
        return weir_fail(WEIR_E_LIMIT, "body has %zu bytes; with brackets, bytes_max is %llu",
                         item->body.len, (unsigned long long)batcher->cfg.bytes_max);
    if (batcher->waiting.count >= batcher->cfg.waiting_max)
        return weir_fail(WEIR_E_QUEUE_FULL, "%u items wait already (waiting_max)",
                         batcher->waiting.count);
    int rc = weir_json_check(item->body);
    if (rc == -EINVAL)
        return weir_fail(rc, "body: one JSON value expected");
    if (rc < 0)
        return weir_fail(rc, "body: nests deeper than %u levels", WEIR_JSON_DEPTH_MAX);
    return 0;
}

int weir_batcher_add(struct weir_batcher *batcher, struct weir_batch_item *item)
{
    WEIR_ASSERT(item->state == BATCH_ITEM_IDLE);
    WEIR_ASSERT(!weir_timer_is_set(&item->timer));
    int rc = item_check(batcher, item);
    if (WEIR_UNLIKELY(rc < 0))
        return rc;
    weir_engine_refresh_clock(batcher->engine);
    item->status = 0;
    item->answer = (struct weir_slice){ .ptr = NULL };
    item->state = BATCH_ITEM_WAITING;
    item->owner = batcher;
    item->start_ns = batcher->engine->now_ns;
    weir_batch_items_push(&batcher->waiting, item);
    batcher->waiting_bytes += item->body.len + 1;
    batcher->items_now++;
    batcher->stats.items++;
    if (item->deadline_ns != 0) {
        weir_timer_init(&item->timer, item_on_deadline, item);
        weir_timer_set(batcher->engine, &item->timer, item->deadline_ns);
    }
    weir_batcher_schedule(batcher);
    return 0;
}

void weir_batch_item_cancel(struct weir_batch_item *item)
{
    if (item->state == BATCH_ITEM_WAITING || item->state == BATCH_ITEM_SENT)
        item_end_later(item, WEIR_E_CANCELLED);
}

void weir_batcher_flush(struct weir_batcher *batcher)
{
    batcher->demanded = batcher->waiting.count > 0;
    weir_batcher_schedule(batcher);
}

/* ---- Every pass -------------------------------------------------------------------------- */

static enum weir_batch_flush decide(const struct weir_batcher *batcher)
{
    const struct weir_batch_item *first = batcher->waiting.first;
    uint64_t now_ns = batcher->engine->now_ns;
    const struct weir_batch_view view = {
        .waiting = batcher->waiting.count,
        .in_flight = batcher->in_flight,
        /* a byte for each item's comma is in the sum; the brackets make it one more */
        .bytes_full = batcher->waiting_bytes + 1 > batcher->cfg.bytes_max,
        .demanded = batcher->demanded,
        .held_ns = first != NULL && now_ns > first->start_ns ? now_ns - first->start_ns : 0,
    };
    return weir_batch_size_decide(&batcher->size, &view);
}

static void send_what_is_due(struct weir_batcher *batcher)
{
    enum weir_batch_flush why;
    if (batcher->stalled != NULL)
        weir_batch_relaunch(batcher);
    while (batcher->stalled == NULL && !weir_list_empty(&batcher->free) &&
           (why = decide(batcher)) != WEIR_BATCH_HOLD)
        weir_batch_launch(batcher, why);
    if (batcher->waiting.count == 0)
        batcher->demanded = false;
}

/* A timer that is set for an earlier item than the first is left: it looks again, and is right then
 * at the latest. */
static void timer_follow(struct weir_batcher *batcher)
{
    if (batcher->stalled != NULL)
        weir_timer_set(batcher->engine, &batcher->timer,
                       batcher->engine->now_ns + STALLED_RETRY_NS);
    else if (batcher->waiting.count == 0 || weir_list_empty(&batcher->free))
        weir_timer_cancel(&batcher->timer);
    else if (!weir_timer_is_set(&batcher->timer))
        weir_timer_set(batcher->engine, &batcher->timer,
                       batcher->waiting.first->start_ns + batcher->cfg.wait_ns);
}

static void on_timer(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    weir_batcher_schedule(ctx);
}

static void run(struct weir_ready *ready)
{
    struct weir_batcher *batcher = weir_container_of(ready, struct weir_batcher, run);
    struct weir_list *link;
    batcher->running = true;
    /* What the callbacks end waits for the next pass. */
    for (uint32_t n = batcher->ended.count; n > 0; n--) {
        struct weir_batch_item *item = batcher->ended.first;
        weir_batch_items_remove(&batcher->ended, item);
        weir_batch_item_finish(batcher, item, item->err);
    }
    while ((link = weir_list_pop_front(&batcher->done)) != NULL)
        weir_batch_deliver(weir_container_of(link, struct weir_batch, link));
    send_what_is_due(batcher);
    timer_follow(batcher);
    batcher->running = false;
    if (batcher->ended.count > 0 || !weir_list_empty(&batcher->done))
        weir_batcher_schedule(batcher);
}

/* ---- Open and close ---------------------------------------------------------------------- */

static bool names_content_type(const struct weir_header *header)
{
    return header->name.len == 12 &&
           strncasecmp((const char *)header->name.ptr, "content-type", 12) == 0;
}

static struct weir_slice text_copy(struct weir_batcher *batcher, struct weir_slice text)
{
    if (text.len == 0)
        return (struct weir_slice){ .ptr = NULL };
    uint8_t *copy = weir_arena_take(&batcher->arena, text.len, 1);
    memcpy(copy, text.ptr, text.len);
    return (struct weir_slice){ copy, text.len };
}

static void request_open(struct weir_batcher *batcher, const struct weir_batcher_config *cfg)
{
    const struct weir_slice target = { (const uint8_t *)cfg->target, strlen(cfg->target) };
    bool typed = false;
    batcher->target = text_copy(batcher, target);
    batcher->host = text_copy(batcher, cfg->host);
    batcher->headers = weir_arena_take(
        &batcher->arena, (cfg->headers_count + 1) * sizeof(struct weir_header), WEIR_CACHE_LINE);
    for (size_t i = 0; i < cfg->headers_count; i++) {
        batcher->headers[batcher->headers_count++] = cfg->headers[i];
        typed = typed || names_content_type(&cfg->headers[i]);
    }
    if (!typed)
        batcher->headers[batcher->headers_count++] =
            (struct weir_header){ .name = WEIR_TEXT("Content-Type"),
                                  .value = WEIR_TEXT("application/json") };
    /* The caller's memory: copied above. */
    batcher->cfg.target = NULL;
    batcher->cfg.headers = NULL;
    batcher->cfg.host = (struct weir_slice){ .ptr = NULL };
}

static void batches_open(struct weir_batcher *batcher)
{
    const struct weir_batcher_config *cfg = &batcher->cfg;
    struct weir_arena *arena = &batcher->arena;
    for (uint32_t i = 0; i < cfg->batches_max; i++) {
        struct weir_batch *batch = weir_arena_take(arena, sizeof *batch, WEIR_CACHE_LINE);
        batch->batcher = batcher;
        batch->items = weir_arena_take(arena, cfg->items_max * sizeof(struct weir_batch_item *),
                                       WEIR_CACHE_LINE);
        batch->body = weir_arena_take(arena, cfg->bytes_max, WEIR_PAGE);
        batch->answer = weir_arena_take(arena, cfg->answer_bytes_max, WEIR_PAGE);
        weir_list_init(&batch->link);
        weir_list_push_back(&batcher->free, &batch->link);
    }
    weir_arena_seal(arena);
}

int weir_batcher_open(struct weir_batcher **out, struct weir_engine *engine,
                      struct weir_client *client, const struct weir_batcher_config *cfg)
{
    struct weir_arena arena;
    struct weir_hist *latency;
    struct weir_hist_config latency_cfg = latency_config();
    *out = NULL;
    int rc = config_check(cfg);
    if (rc < 0)
        return rc;
    rc = weir_hist_open(&latency, &latency_cfg);
    if (rc < 0)
        return rc;
    rc = weir_arena_open(&arena, arena_bytes(cfg));
    if (rc < 0) {
        weir_hist_close(latency);
        return rc;
    }
    struct weir_batcher *batcher = weir_arena_take(&arena, sizeof *batcher, WEIR_CACHE_LINE);
    *batcher = (struct weir_batcher){
        .engine = engine,
        .client = client,
        .run.run = run,
        .latency = latency,
        .cfg = *cfg,
        .arena = arena,
    };
    weir_batch_size_init(&batcher->size, cfg);
    weir_list_init(&batcher->free);
    weir_list_init(&batcher->flight);
    weir_list_init(&batcher->done);
    weir_list_init(&batcher->run.link);
    weir_timer_init(&batcher->timer, on_timer, batcher);
    request_open(batcher, cfg);
    batches_open(batcher);
    engine->owners++;
    *out = batcher;
    return 0;
}

/* Nobody needs their answers any more: the calls need not go on. */
static void calls_cancel(struct weir_batcher *batcher)
{
    for (struct weir_list *n = batcher->flight.next; n != &batcher->flight; n = n->next) {
        struct weir_batch *batch = weir_container_of(n, struct weir_batch, link);
        if (!batch->done && !batch->cancelled) {
            batch->cancelled = true;
            weir_call_cancel(&batch->call);
        }
    }
}

static void batch_abandon(struct weir_batch *batch)
{
    for (uint32_t i = 0; i < batch->items_count; i++)
        if (batch->items[i] != NULL)
            item_end_later(batch->items[i], WEIR_E_SHUTDOWN);
}

/* What is left ends now. */
static void abandon(struct weir_batcher *batcher)
{
    while (batcher->waiting.first != NULL)
        item_end_later(batcher->waiting.first, WEIR_E_SHUTDOWN);
    if (batcher->stalled != NULL) {
        batch_abandon(batcher->stalled);
        weir_list_push_front(&batcher->free, &batcher->stalled->link);
        batcher->stalled = NULL;
    }
    for (struct weir_list *n = batcher->flight.next; n != &batcher->flight; n = n->next)
        batch_abandon(weir_container_of(n, struct weir_batch, link));
    calls_cancel(batcher);
}

/* Passes until nothing is in progress, neither of items nor of calls. */
static int join(struct weir_batcher *batcher, uint64_t deadline_ns)
{
    struct weir_engine *engine = batcher->engine;
    int rc = 0;
    while (rc == 0 && (batcher->items_now > 0 || batcher->in_flight > 0 ||
                       !weir_list_empty(&batcher->done) || batcher->stalled != NULL)) {
        uint64_t wait_ns = UINT64_MAX;
        weir_engine_refresh_clock(engine);
        if (batcher->items_now == 0)
            calls_cancel(batcher);
        if (deadline_ns != 0 && deadline_ns <= engine->now_ns) {
            abandon(batcher);
            deadline_ns = 0;
        } else if (deadline_ns != 0) {
            wait_ns = deadline_ns - engine->now_ns;
        }
        rc = weir_engine_run_once(engine, wait_ns);
    }
    return rc;
}

int weir_batcher_close(struct weir_batcher *batcher, uint64_t deadline_ns)
{
    struct weir_engine *engine = batcher->engine;
    WEIR_ASSERT(engine->depth == 0);
    batcher->closing = true;
    weir_batcher_flush(batcher);
    int rc = join(batcher, deadline_ns);
    if (rc < 0)
        return rc; /* the client may still use what hangs on it: it is left as it is */
    WEIR_ASSERT(weir_list_empty(&batcher->flight));
    weir_timer_cancel(&batcher->timer);
    weir_list_remove(&batcher->run.link);
    engine->owners--;
    weir_hist_close(batcher->latency);
    struct weir_arena arena = batcher->arena;
    weir_arena_close(&arena);
    return 0;
}

/* ---- Looking ----------------------------------------------------------------------------- */

const struct weir_hist *weir_batcher_latency(const struct weir_batcher *batcher)
{
    return batcher->latency;
}

void weir_batcher_stats(const struct weir_batcher *batcher, struct weir_batcher_stats *out)
{
    struct weir_batcher_stats stats = batcher->stats;
    stats.size = out->size;
    stats.waiting_now = batcher->waiting.count;
    stats.in_flight_now = batcher->in_flight;
    stats.aim_now = batcher->size.aim;
    stats.smallest_ns = batcher->size.smallest_ns;
    stats.latency_p50_ns = weir_hist_percentile(batcher->latency, 50);
    stats.latency_p99_ns = weir_hist_percentile(batcher->latency, 99);
    stats.latency_max_ns = weir_hist_max(batcher->latency);
    if (stats.batches > 0) {
        stats.items_mean = (double)stats.items_sent / (double)stats.batches;
        stats.efficiency = (double)stats.items_sent / (double)stats.items_aimed;
    }
    weir_fill_sized(out, out->size, &stats, sizeof stats);
}
