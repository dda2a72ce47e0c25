/* SPDX-License-Identifier: MIT */
/*
 * The engine of mock/model/model_engine.h once more, as simply as can be: arrays that are searched
 * from end to end, blocks with a time stamp instead of a list, no handles. It shares nothing with
 * the real one but the types of its interface and the names of blocks (kv_hash()).
 */
#ifndef TESTS_MODEL_REFERENCE_H
#define TESTS_MODEL_REFERENCE_H

#include "mock/model/model_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define REF_SEQS   512 /* ever submitted */
#define REF_BLOCKS 64
#define REF_EVENTS 256

enum ref_state { REF_WAITING, REF_RUNNING, REF_GONE };

struct ref_seq {
    enum ref_state state;
    struct model_request request;
    uint64_t ready_ns;
    uint32_t computed, generated, blocks_count;
    uint32_t blocks[REF_BLOCKS];
    uint32_t share, cached; /* in the step that runs */
    bool admitted, preempted, ran;
};

struct ref_block {
    uint64_t hash, stamp;
    uint32_t refs;
};

struct ref {
    struct model_engine_cfg cfg;
    struct kv names; /* only for kv_hash() */
    struct ref_seq seqs[REF_SEQS];
    uint32_t seqs_count;
    struct ref_block blocks[REF_BLOCKS];
    uint64_t stamp, free_from_ns;
    bool in_step;
    struct model_step step;
    struct model_event events[REF_EVENTS];
    uint64_t preemptions, hits, queries;
};

static void ref_open(struct ref *ref, const struct model_engine_cfg *cfg)
{
    assert_true(cfg->blocks_count <= REF_BLOCKS);
    *ref = (struct ref){ .cfg = *cfg, .names = { .cfg = { .block_tokens = cfg->block_tokens } } };
    for (uint32_t i = 0; i < cfg->blocks_count; i++)
        ref->blocks[i].stamp = ref->stamp++;
}

/* @return its number, which is what it is called by */
static uint32_t ref_submit(struct ref *ref, const struct model_request *request)
{
    const struct model_cost *cost = &ref->cfg.cost;
    assert_true(ref->seqs_count < REF_SEQS);
    uint64_t ps = cost->enqueue_ps + cost->enqueue_per_token_ps * request->prompt_tokens;
    ref->seqs[ref->seqs_count] =
        (struct ref_seq){ .request = *request,
                          .ready_ns = request->arrival_ns + (ps + 500) / 1000 };
    return ref->seqs_count++;
}

static uint32_t ref_free_count(const struct ref *ref)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ref->cfg.blocks_count; i++)
        count += ref->blocks[i].refs == 0;
    return count;
}

static uint32_t ref_count(const struct ref *ref, enum ref_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ref->seqs_count; i++)
        count += ref->seqs[i].state == state;
    return count;
}

static void ref_release(struct ref *ref, struct ref_seq *seq)
{
    while (seq->blocks_count > 0) {
        struct ref_block *block = &ref->blocks[seq->blocks[--seq->blocks_count]];
        if (--block->refs == 0)
            block->stamp = ref->stamp++;
    }
    seq->computed = seq->share = 0;
    seq->admitted = false;
}

static bool ref_cancel(struct ref *ref, uint32_t index)
{
    struct ref_seq *seq = &ref->seqs[index];
    if (seq->state == REF_GONE)
        return false;
    ref_release(ref, seq);
    seq->preempted = false;
    seq->state = REF_GONE;
    return true;
}

/* The first of a state by arrival, behind `after` (NULL: at all); last: the last of all. */
static struct ref_seq *ref_find(struct ref *ref, enum ref_state state, const struct ref_seq *after,
                                bool last)
{
    struct ref_seq *found = NULL;
    for (uint32_t i = 0; i < ref->seqs_count; i++) {
        struct ref_seq *seq = &ref->seqs[i];
        if (seq->state != state)
            continue;
        /* By number where the time is the same. */
        if (after != NULL &&
            (seq->ready_ns < after->ready_ns || (seq->ready_ns == after->ready_ns && seq <= after)))
            continue;
        if (found == NULL ||
            (last ? seq->ready_ns >= found->ready_ns : seq->ready_ns < found->ready_ns))
            found = seq;
    }
    return found;
}

static uint32_t ref_known(const struct ref_seq *seq)
{
    return seq->request.prompt_tokens + seq->generated;
}

static uint32_t ref_lookup(const struct ref *ref, uint64_t hash)
{
    for (uint32_t i = 0; i < ref->cfg.blocks_count; i++) {
        if (ref->blocks[i].hash == hash)
            return i;
    }
    return REF_BLOCKS;
}

/* Room for `tokens` more. */
static bool ref_grow(struct ref *ref, struct ref_seq *seq, uint32_t tokens)
{
    uint32_t size = ref->cfg.block_tokens;
    uint32_t want = (seq->computed + tokens + size - 1) / size;
    if (want > seq->blocks_count && want - seq->blocks_count > ref_free_count(ref))
        return false;
    while (seq->blocks_count < want) {
        uint32_t oldest = REF_BLOCKS;
        for (uint32_t i = 0; i < ref->cfg.blocks_count; i++) {
            if (ref->blocks[i].refs == 0 &&
                (oldest == REF_BLOCKS || ref->blocks[i].stamp < ref->blocks[oldest].stamp))
                oldest = i;
        }
        ref->blocks[oldest] = (struct ref_block){ .refs = 1 };
        seq->blocks[seq->blocks_count++] = oldest;
    }
    return true;
}

static uint32_t ref_share(struct ref *ref, struct ref_seq *seq, uint32_t budget)
{
    uint32_t left = ref_known(seq) - seq->computed;
    seq->share = left < budget ? left : budget;
    ref->step.ctx_count += seq->computed;
    if (seq->generated > 0 && left == 1)
        ref->step.decode_count++;
    else
        ref->step.prefill_count += seq->share;
    return seq->share;
}

static uint32_t ref_plan_running(struct ref *ref, uint32_t budget)
{
    for (struct ref_seq *seq = NULL;
         budget > 0 && (seq = ref_find(ref, REF_RUNNING, seq, false)) != NULL;) {
        uint32_t left = ref_known(seq) - seq->computed;
        while (!ref_grow(ref, seq, left < budget ? left : budget)) {
            struct ref_seq *victim = ref_find(ref, REF_RUNNING, NULL, true);
            ref_release(ref, victim);
            victim->state = REF_WAITING;
            victim->preempted = true;
            ref->preemptions++;
            if (victim == seq)
                return budget;
        }
        budget -= ref_share(ref, seq, budget);
    }
    return budget;
}

static bool ref_admit(struct ref *ref, struct ref_seq *seq, uint32_t *budget)
{
    uint32_t size = ref->cfg.block_tokens, known = ref_known(seq), hits = 0, idle = 0;
    uint32_t found[REF_BLOCKS];
    for (; ref->cfg.prefix_cache && hits < (known - 1) / size; hits++) {
        found[hits] = ref_lookup(ref, kv_hash(&ref->names, &seq->request.prompt, hits));
        if (found[hits] == REF_BLOCKS)
            break;
        idle += ref->blocks[found[hits]].refs == 0;
    }
    uint32_t left = known - hits * size, tokens = left < *budget ? left : *budget;
    uint32_t needed = (hits * size + tokens + size - 1) / size - hits + idle;
    if (ref_count(ref, REF_RUNNING) > 0)
        needed += ref->cfg.watermark_blocks;
    if (needed > ref_free_count(ref))
        return false;
    for (; seq->blocks_count < hits; seq->blocks_count++) {
        seq->blocks[seq->blocks_count] = found[seq->blocks_count];
        ref->blocks[found[seq->blocks_count]].refs++;
    }
    seq->computed = seq->cached = hits * size;
    assert_true(ref_grow(ref, seq, tokens));
    seq->state = REF_RUNNING;
    seq->admitted = true;
    *budget -= ref_share(ref, seq, *budget);
    if (!seq->ran && ref->cfg.prefix_cache) {
        ref->queries += known;
        ref->hits += seq->cached;
    }
    seq->ran = true;
    return true;
}

static uint64_t ref_next(struct ref *ref, uint64_t now_ns)
{
    if (ref->in_step)
        return ref->step.end_ns;
    struct ref_seq *first = ref_find(ref, REF_WAITING, NULL, false);
    uint64_t start_ns = ref->free_from_ns;
    if (ref_count(ref, REF_RUNNING) == 0) {
        if (first == NULL)
            return MODEL_ENGINE_IDLE;
        start_ns = first->ready_ns > start_ns ? first->ready_ns : start_ns;
    }
    if (start_ns > now_ns)
        return start_ns;
    uint64_t preemptions = ref->preemptions;
    ref->step = (struct model_step){ .start_ns = start_ns };
    uint32_t budget = ref_plan_running(ref, ref->cfg.max_num_batched_tokens);
    while (ref->preemptions == preemptions && budget > 0 &&
           (first = ref_find(ref, REF_WAITING, NULL, false)) != NULL &&
           first->ready_ns <= start_ns && ref_count(ref, REF_RUNNING) < ref->cfg.max_num_seqs &&
           ref_admit(ref, first, &budget))
        ;
    const struct model_cost *cost = &ref->cfg.cost;
    uint64_t ps = cost->base_ps + cost->per_seq_ps * ref->step.decode_count +
                  cost->per_ctx_token_ps * ref->step.ctx_count +
                  cost->per_prefill_token_ps * ref->step.prefill_count;
    ref->step.end_ns = start_ns + (ps + 500) / 1000;
    ref->in_step = true;
    return ref->step.end_ns;
}

static void ref_event(struct ref *ref, const struct ref_seq *seq, enum model_event_kind kind,
                      uint32_t tokens)
{
    assert_true(ref->step.events_count < REF_EVENTS);
    ref->events[ref->step.events_count++] = (struct model_event){
        .kind = kind,
        .last = kind == MODEL_EVENT_TOKEN && tokens == seq->request.output_tokens,
        .tokens_count = tokens,
        .at_ns = kind == MODEL_EVENT_TOKEN ? ref->step.end_ns : ref->step.start_ns,
        .owner = seq->request.owner,
    };
}

/* Tokens and the ends of sequences, the first arrived first. */
static void ref_finish(struct ref *ref, struct ref_seq *seq)
{
    uint32_t size = ref->cfg.block_tokens, first = seq->computed / size;
    seq->computed += seq->share;
    seq->share = 0;
    for (uint32_t i = first; ref->cfg.prefix_cache && i < seq->computed / size; i++) {
        uint64_t hash = kv_hash(&ref->names, &seq->request.prompt, i);
        struct ref_block *block = &ref->blocks[seq->blocks[i]];
        if (block->hash == 0 && ref_lookup(ref, hash) == REF_BLOCKS)
            block->hash = hash;
    }
    if (seq->computed < ref_known(seq))
        return;
    ref_event(ref, seq, MODEL_EVENT_TOKEN, ++seq->generated);
    if (seq->generated == seq->request.output_tokens)
        assert_true(ref_cancel(ref, (uint32_t)(seq - ref->seqs)));
}

static bool ref_step(struct ref *ref, uint64_t now_ns)
{
    if (!ref->in_step || ref->step.end_ns > now_ns)
        return false;
    ref->in_step = false;
    ref->free_from_ns = ref->step.end_ns;
    struct ref_seq *ordered[REF_SEQS], *seq = NULL;
    uint32_t count = 0;
    while ((seq = ref_find(ref, REF_RUNNING, seq, false)) != NULL)
        ordered[count++] = seq;
    /* The last arrived was preempted first: so they are told in that order. */
    for (uint64_t end = UINT64_MAX;;) {
        struct ref_seq *victim = NULL;
        for (uint32_t i = 0; i < ref->seqs_count; i++) {
            seq = &ref->seqs[i];
            if (seq->preempted && (victim == NULL || seq->ready_ns >= victim->ready_ns))
                victim = seq;
        }
        if (victim == NULL)
            break;
        assert_true(victim->ready_ns <= end);
        end = victim->ready_ns;
        victim->preempted = false;
        ref_event(ref, victim, MODEL_EVENT_PREEMPTED, 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ordered[i]->admitted)
            ref_event(ref, ordered[i], MODEL_EVENT_ADMITTED, ordered[i]->cached);
        ordered[i]->admitted = false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ordered[i]->share > 0)
            ref_finish(ref, ordered[i]);
    }
    return true;
}

#endif
