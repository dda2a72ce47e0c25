/* SPDX-License-Identifier: MIT */
#include "mock/model/model_engine.h"

#include <errno.h>
#include <stdlib.h>

#define NONE UINT32_MAX

/*
 * With these and those of struct model_cost no sum of a step leaves 64 bits: the largest are the
 * tokens of prompts, 2^24 * 10^11, and the context, 2^12 * 2^24 * 10^7, each below 2 * 10^18.
 */
#define MODEL_SEQS_MAX       (1U << 12)
#define MODEL_TOKENS_MAX     (1U << 24)
#define MODEL_WAITING_MAX    (1U << 22)
#define MODEL_BASE_PS_MAX    UINT64_C(1000000000000000)
#define MODEL_SEQ_PS_MAX     UINT64_C(1000000000000)
#define MODEL_CTX_PS_MAX     UINT64_C(10000000)
#define MODEL_PREFILL_PS_MAX UINT64_C(100000000000)
#define PS_PER_NS            1000U

enum model_state { MODEL_FREE, MODEL_WAITING, MODEL_RUNNING };

struct model_sequence {
    enum model_state state;
    uint32_t generation; /* of the handle; counts the sequences that had this place */
    uint32_t prev, next; /* in the list of its state */
    uint32_t table;      /* while it runs */
    uint32_t computed;   /* tokens in the cache */
    uint32_t generated;  /* tokens of its output */
    bool ran;            /* was admitted before */
    uint64_t ready_ns;   /* arrived, and through the front end */
    uint64_t order;
    struct model_request request;
};

static bool in_range(uint64_t value, uint64_t min, uint64_t max)
{
    return value >= min && value <= max;
}

static bool cost_is_valid(const struct model_cost *cost)
{
    return cost->base_ps <= MODEL_BASE_PS_MAX && cost->per_seq_ps <= MODEL_SEQ_PS_MAX &&
           cost->per_ctx_token_ps <= MODEL_CTX_PS_MAX &&
           cost->per_prefill_token_ps <= MODEL_PREFILL_PS_MAX &&
           cost->enqueue_ps <= MODEL_BASE_PS_MAX &&
           cost->enqueue_per_token_ps <= MODEL_PREFILL_PS_MAX;
}

/* The rest is for kv_open() to look at. */
static bool cfg_is_valid(const struct model_engine_cfg *cfg)
{
    uint64_t cache_tokens = (uint64_t)cfg->blocks_count * cfg->block_tokens;
    return cost_is_valid(&cfg->cost) && in_range(cfg->max_num_seqs, 1, MODEL_SEQS_MAX) &&
           in_range(cfg->max_num_batched_tokens, cfg->max_num_seqs, MODEL_TOKENS_MAX) &&
           in_range(cfg->max_model_len, 2, MODEL_TOKENS_MAX) &&
           cfg->max_model_len <= cache_tokens && cfg->waiting_max <= MODEL_WAITING_MAX;
}

/* Everything unused, as after opening, but for the generations: old handles stay unknown. */
static void clear(struct model_engine *engine)
{
    for (uint32_t i = 0; i < engine->sequences_count; i++) {
        struct model_sequence *seq = &engine->sequences[i];
        *seq = (struct model_sequence){ .generation = seq->generation + (seq->state != MODEL_FREE),
                                        .next = i + 1 == engine->sequences_count ? NONE : i + 1 };
    }
    for (uint32_t i = 0; i < engine->cfg.max_num_seqs; i++)
        engine->tables_free[i] = engine->cfg.max_num_seqs - 1 - i;
    engine->tables_free_count = engine->cfg.max_num_seqs;
    engine->free_head = 0;
    engine->waiting = engine->running = (struct model_queue){ .head = NONE, .tail = NONE };
    engine->in_step = false;
    engine->step = (struct model_step){ 0 };
    engine->shares_count = engine->preempted_count = engine->events_count = 0;
    engine->free_from_ns = engine->order = 0;
    engine->stats = (struct model_engine_stats){ 0 };
}

int model_engine_open(struct model_engine *engine, const struct model_engine_cfg *cfg)
{
    *engine = (struct model_engine){ 0 };
    if (!cfg_is_valid(cfg))
        return -EINVAL;
    uint32_t per_seq =
        cfg->max_model_len / cfg->block_tokens + (cfg->max_model_len % cfg->block_tokens != 0);
    int err = kv_open(&engine->kv, &(struct kv_cfg){ .blocks_count = cfg->blocks_count,
                                                     .block_tokens = cfg->block_tokens,
                                                     .tables_count = cfg->max_num_seqs,
                                                     .table_blocks_max = per_seq,
                                                     .prefix_cache = cfg->prefix_cache });
    if (err != 0)
        return err;
    size_t seqs = cfg->max_num_seqs;
    engine->cfg = *cfg;
    engine->sequences_count = cfg->max_num_seqs + cfg->waiting_max;
    engine->sequences = calloc(engine->sequences_count, sizeof(*engine->sequences));
    engine->tables_free = calloc(seqs, sizeof(*engine->tables_free));
    engine->shares = calloc(seqs, sizeof(*engine->shares));
    engine->preempted = calloc(seqs, sizeof(*engine->preempted));
    /* In one step each sequence that runs is preempted at most once or has a share; who has one may
     * have been admitted with it. */
    engine->events = calloc(3 * seqs, sizeof(*engine->events));
    if (engine->sequences == NULL || engine->tables_free == NULL || engine->shares == NULL ||
        engine->preempted == NULL || engine->events == NULL) {
        model_engine_close(engine);
        return -ENOMEM;
    }
    clear(engine);
    return 0;
}

void model_engine_close(struct model_engine *engine)
{
    kv_close(&engine->kv);
    free(engine->sequences);
    free(engine->tables_free);
    free(engine->shares);
    free(engine->preempted);
    free(engine->events);
    *engine = (struct model_engine){ 0 };
}

void model_engine_reset(struct model_engine *engine)
{
    kv_reset(&engine->kv);
    clear(engine);
}

static uint64_t handle_of(const struct model_engine *engine, uint32_t index)
{
    return (uint64_t)engine->sequences[index].generation << 32 | (index + 1);
}

/* @return its place, or NONE when the sequence has ended */
static uint32_t find_sequence(const struct model_engine *engine, uint64_t handle)
{
    uint32_t index = (uint32_t)handle - 1; /* 0 is no handle: it wraps to what is out of range */
    if (index >= engine->sequences_count || handle_of(engine, index) != handle ||
        engine->sequences[index].state == MODEL_FREE)
        return NONE;
    return index;
}

static bool arrived_before(const struct model_sequence *a, const struct model_sequence *b)
{
    return a->ready_ns != b->ready_ns ? a->ready_ns < b->ready_ns : a->order < b->order;
}

/* By arrival. Who comes anew belongs near the end and who was preempted before all others, so that
 * either costs a look or two. */
static void queue_insert(struct model_engine *engine, struct model_queue *queue, uint32_t index)
{
    struct model_sequence *all = engine->sequences, *seq = &all[index];
    uint32_t prev = queue->tail;
    if (queue->head != NONE && arrived_before(seq, &all[queue->head]))
        prev = NONE;
    while (prev != NONE && arrived_before(seq, &all[prev]))
        prev = all[prev].prev;
    seq->prev = prev;
    seq->next = prev == NONE ? queue->head : all[prev].next;
    if (prev == NONE)
        queue->head = index;
    else
        all[prev].next = index;
    if (seq->next == NONE)
        queue->tail = index;
    else
        all[seq->next].prev = index;
    queue->count++;
}

static void queue_remove(struct model_engine *engine, struct model_queue *queue, uint32_t index)
{
    struct model_sequence *all = engine->sequences;
    const struct model_sequence *seq = &all[index];
    if (seq->prev == NONE)
        queue->head = seq->next;
    else
        all[seq->prev].next = seq->next;
    if (seq->next == NONE)
        queue->tail = seq->prev;
    else
        all[seq->next].prev = seq->prev;
    queue->count--;
}

/* A sequence that ran runs no more. */
static void leave_batch(struct model_engine *engine, uint32_t index)
{
    struct model_sequence *seq = &engine->sequences[index];
    kv_release(&engine->kv, seq->table);
    engine->tables_free[engine->tables_free_count++] = seq->table;
    queue_remove(engine, &engine->running, index);
}

/* Its handle is unknown from here on. */
static void forget(struct model_engine *engine, uint32_t index)
{
    struct model_sequence *seq = &engine->sequences[index];
    if (seq->state == MODEL_RUNNING)
        leave_batch(engine, index);
    else
        queue_remove(engine, &engine->waiting, index);
    *seq = (struct model_sequence){ .generation = seq->generation + 1, .next = engine->free_head };
    engine->free_head = index;
}

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t to_ns(uint64_t ps)
{
    return (ps + PS_PER_NS / 2) / PS_PER_NS;
}

int model_engine_submit(uint64_t *out, struct model_engine *engine,
                        const struct model_request *request)
{
    if (request->prompt_tokens == 0 || request->output_tokens == 0)
        return -EINVAL;
    if ((uint64_t)request->prompt_tokens + request->output_tokens > engine->cfg.max_model_len)
        return -E2BIG;
    if (engine->free_head == NONE)
        return WEIR_E_QUEUE_FULL;
    const struct model_cost *cost = &engine->cfg.cost;
    uint64_t enqueue_ns =
        to_ns(cost->enqueue_ps + cost->enqueue_per_token_ps * request->prompt_tokens);
    uint32_t index = engine->free_head;
    struct model_sequence *seq = &engine->sequences[index];
    engine->free_head = seq->next;
    *seq = (struct model_sequence){ .state = MODEL_WAITING,
                                    .generation = seq->generation,
                                    .ready_ns = add(request->arrival_ns, enqueue_ns),
                                    .order = engine->order++,
                                    .request = *request };
    queue_insert(engine, &engine->waiting, index);
    engine->stats.submitted_total++;
    *out = handle_of(engine, index);
    return 0;
}

int model_engine_cancel(struct model_engine *engine, uint64_t handle)
{
    for (uint32_t i = 0; i < engine->events_count; i++) {
        if (engine->events[i].handle == handle)
            engine->events[i].kind = MODEL_EVENT_NONE;
    }
    uint32_t index = find_sequence(engine, handle);
    if (index == NONE)
        return -ENOENT;
    forget(engine, index);
    engine->stats.cancelled_total++;
    return 0;
}

/* Tokens that must be in the cache before the next one can be had. */
static uint32_t known_tokens(const struct model_sequence *seq)
{
    return seq->request.prompt_tokens + seq->generated;
}

/* The sequence loses its place in the batch and all its blocks, and waits in front of those that
 * arrived after it. */
static void preempt(struct model_engine *engine, uint32_t index)
{
    struct model_sequence *seq = &engine->sequences[index];
    leave_batch(engine, index);
    seq->state = MODEL_WAITING;
    seq->computed = 0;
    queue_insert(engine, &engine->waiting, index);
    engine->preempted[engine->preempted_count++] = handle_of(engine, index);
    engine->stats.num_preemptions_total++;
}

/* The sequence has `tokens` computed in this step. */
static void share_step(struct model_engine *engine, uint32_t index, uint32_t tokens)
{
    const struct model_sequence *seq = &engine->sequences[index];
    struct model_step *step = &engine->step;
    engine->shares[engine->shares_count++] =
        (struct model_share){ .handle = handle_of(engine, index), .tokens_count = tokens };
    step->ctx_count += seq->computed;
    if (seq->generated > 0 && seq->computed + 1 == known_tokens(seq))
        step->decode_count++;
    else
        step->prefill_count += tokens;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Those that run, the first arrived first. @return what is left of the budget */
static uint32_t plan_running(struct model_engine *engine, uint32_t budget)
{
    uint32_t index = engine->running.head;
    while (index != NONE && budget > 0) {
        struct model_sequence *seq = &engine->sequences[index];
        uint32_t tokens = min_u32(known_tokens(seq) - seq->computed, budget);
        uint32_t blocks = kv_blocks_for(&engine->kv, (uint64_t)seq->computed + tokens);
        while (kv_grow(&engine->kv, seq->table, blocks) != 0) {
            uint32_t last = engine->running.tail;
            preempt(engine, last);
            if (last == index)
                return budget; /* it was the last one itself: nobody is behind it */
        }
        share_step(engine, index, tokens);
        budget -= tokens;
        index = seq->next;
    }
    return budget;
}

/* Let the first that waits run, if the cache has room. @return tokens of its share, 0: no room */
static uint32_t admit(struct model_engine *engine, uint32_t budget)
{
    struct kv *kv = &engine->kv;
    uint32_t index = engine->waiting.head;
    struct model_sequence *seq = &engine->sequences[index];
    uint32_t known = known_tokens(seq), block_tokens = kv->cfg.block_tokens;
    /* At least the last token has to be computed: it is what the next one is made of. */
    struct kv_hits hits = kv_find(kv, &seq->request.prompt, (known - 1) / block_tokens);
    uint32_t cached = hits.blocks_count * block_tokens;
    uint32_t tokens = min_u32(known - cached, budget);
    uint32_t blocks = kv_blocks_for(kv, (uint64_t)cached + tokens);
    uint32_t reserve = engine->running.count == 0 ? 0 : engine->cfg.watermark_blocks;
    uint64_t needed = (uint64_t)blocks - hits.blocks_count + hits.idle_count + reserve;
    if (needed > kv->free_count)
        return 0;
    uint32_t table = engine->tables_free[engine->tables_free_count - 1];
    kv_attach(kv, table, &seq->request.prompt, hits.blocks_count);
    if (kv_grow(kv, table, blocks) != 0) {
        kv_release(kv, table);
        return 0;
    }
    engine->tables_free_count--;
    queue_remove(engine, &engine->waiting, index);
    seq->state = MODEL_RUNNING;
    seq->table = table;
    seq->computed = cached;
    queue_insert(engine, &engine->running, index);
    share_step(engine, index, tokens);
    engine->shares[engine->shares_count - 1].admitted = true;
    engine->shares[engine->shares_count - 1].cached_count = cached;
    if (!seq->ran) {
        engine->stats.prefix_cache_queries_total += engine->cfg.prefix_cache ? known : 0;
        engine->stats.prefix_cache_hits_total += cached;
        engine->stats.prompt_tokens_total += seq->request.prompt_tokens;
        seq->ran = true;
    }
    return tokens;
}

static bool may_admit(const struct model_engine *engine)
{
    return engine->waiting.head != NONE && engine->running.count < engine->cfg.max_num_seqs &&
           engine->sequences[engine->waiting.head].ready_ns <= engine->step.start_ns;
}

static void begin_step(struct model_engine *engine, uint64_t start_ns)
{
    engine->step = (struct model_step){ .start_ns = start_ns };
    engine->shares_count = engine->preempted_count = 0;
    uint32_t budget = plan_running(engine, engine->cfg.max_num_batched_tokens);
    /* After a preemption nobody is admitted: he would take the blocks that were just made free. */
    while (engine->preempted_count == 0 && budget > 0 && may_admit(engine)) {
        uint32_t tokens = admit(engine, budget);
        if (tokens == 0)
            break;
        budget -= tokens;
    }
    engine->step.end_ns = add(start_ns, model_cost_step_ns(&engine->cfg.cost, &engine->step));
    engine->in_step = true;
}

uint64_t model_engine_next(struct model_engine *engine, uint64_t now_ns)
{
    if (engine->in_step)
        return engine->step.end_ns;
    uint64_t start_ns = engine->free_from_ns;
    if (engine->running.count == 0) {
        if (engine->waiting.count == 0)
            return MODEL_ENGINE_IDLE;
        uint64_t ready_ns = engine->sequences[engine->waiting.head].ready_ns;
        if (ready_ns > start_ns)
            start_ns = ready_ns;
    }
    if (start_ns > now_ns)
        return start_ns;
    begin_step(engine, start_ns);
    return engine->step.end_ns;
}

static void add_event(struct model_engine *engine, const struct model_event *event)
{
    engine->events[engine->events_count++] = *event;
}

/* What happened at the step's begin, to those that are still there. */
static void report_begin(struct model_engine *engine)
{
    for (uint32_t i = 0; i < engine->preempted_count; i++) {
        uint32_t index = find_sequence(engine, engine->preempted[i]);
        if (index != NONE)
            add_event(engine,
                      &(struct model_event){ .kind = MODEL_EVENT_PREEMPTED,
                                             .handle = engine->preempted[i],
                                             .at_ns = engine->step.start_ns,
                                             .owner = engine->sequences[index].request.owner });
    }
    for (uint32_t i = 0; i < engine->shares_count; i++) {
        const struct model_share *share = &engine->shares[i];
        uint32_t index = find_sequence(engine, share->handle);
        if (share->admitted && index != NONE)
            add_event(engine,
                      &(struct model_event){ .kind = MODEL_EVENT_ADMITTED,
                                             .tokens_count = share->cached_count,
                                             .handle = share->handle,
                                             .at_ns = engine->step.start_ns,
                                             .owner = engine->sequences[index].request.owner });
    }
}

/* The share's tokens are computed: blocks that are full now can be shared, and when nothing is left
 * to compute there is a token. */
static void finish_share(struct model_engine *engine, const struct model_share *share)
{
    uint32_t index = find_sequence(engine, share->handle);
    if (index == NONE)
        return;
    struct model_sequence *seq = &engine->sequences[index];
    uint32_t block = seq->computed / engine->kv.cfg.block_tokens;
    seq->computed += share->tokens_count;
    for (; block < seq->computed / engine->kv.cfg.block_tokens; block++)
        kv_publish(&engine->kv, seq->table, block,
                   kv_hash(&engine->kv, &seq->request.prompt, block));
    if (seq->computed < known_tokens(seq))
        return;
    seq->generated++;
    bool last = seq->generated == seq->request.output_tokens;
    add_event(engine, &(struct model_event){ .kind = MODEL_EVENT_TOKEN,
                                             .last = last,
                                             .tokens_count = seq->generated,
                                             .handle = share->handle,
                                             .at_ns = engine->step.end_ns,
                                             .owner = seq->request.owner });
    engine->stats.generation_tokens_total++;
    if (last) {
        forget(engine, index);
        engine->stats.finished_total++;
    }
}

bool model_engine_step(struct model_step *out, struct model_engine *engine, uint64_t now_ns)
{
    if (!engine->in_step || engine->step.end_ns > now_ns)
        return false;
    engine->in_step = false;
    engine->free_from_ns = engine->step.end_ns;
    engine->events_count = 0;
    report_begin(engine);
    for (uint32_t i = 0; i < engine->shares_count; i++)
        finish_share(engine, &engine->shares[i]);
    engine->stats.steps_total++;
    engine->step.events = engine->events;
    engine->step.events_count = engine->events_count;
    *out = engine->step;
    return true;
}

struct model_engine_stats model_engine_stats(const struct model_engine *engine)
{
    struct model_engine_stats stats = engine->stats;
    stats.num_requests_running = engine->running.count;
    stats.num_requests_waiting = engine->waiting.count;
    stats.kv_blocks_used = kv_used_count(&engine->kv);
    stats.kv_blocks_cached = engine->kv.cached_count;
    stats.kv_cache_usage_perc = (double)stats.kv_blocks_used / (double)engine->cfg.blocks_count;
    return stats;
}

uint64_t model_cost_step_ns(const struct model_cost *cost, const struct model_step *step)
{
    return to_ns(cost->base_ps + cost->per_seq_ps * step->decode_count +
                 cost->per_ctx_token_ps * step->ctx_count +
                 cost->per_prefill_token_ps * step->prefill_count);
}

/* One queue: its links, its order, and what its sequences may look like. */
static bool check_queue(const struct model_engine *engine, const struct model_queue *queue,
                        enum model_state state)
{
    uint32_t count = 0, prev = NONE;
    for (uint32_t i = queue->head; i != NONE; i = engine->sequences[i].next) {
        const struct model_sequence *seq = &engine->sequences[i];
        if (seq->state != state || seq->prev != prev || ++count > queue->count)
            return false;
        if (prev != NONE && !arrived_before(&engine->sequences[prev], seq))
            return false;
        if (seq->generated >= seq->request.output_tokens || seq->computed >= known_tokens(seq))
            return false;
        if (state == MODEL_RUNNING &&
            engine->kv.table_counts[seq->table] < kv_blocks_for(&engine->kv, seq->computed))
            return false;
        if (state == MODEL_WAITING && seq->computed != 0)
            return false;
        prev = i;
    }
    return count == queue->count && queue->tail == prev;
}

bool model_engine_check(const struct model_engine *engine)
{
    const struct model_engine_stats *stats = &engine->stats;
    uint32_t unused = 0, live = engine->waiting.count + engine->running.count;
    for (uint32_t i = engine->free_head; i != NONE; i = engine->sequences[i].next) {
        if (engine->sequences[i].state != MODEL_FREE || ++unused > engine->sequences_count)
            return false;
    }
    return unused + live == engine->sequences_count &&
           engine->tables_free_count + engine->running.count == engine->cfg.max_num_seqs &&
           stats->submitted_total == stats->finished_total + stats->cancelled_total + live &&
           check_queue(engine, &engine->waiting, MODEL_WAITING) &&
           check_queue(engine, &engine->running, MODEL_RUNNING) && kv_check(&engine->kv);
}
