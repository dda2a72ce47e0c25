/* SPDX-License-Identifier: MIT */
/* Random sequences: against the reference, many at once, and with callers that are late. */
#include "unit/mock/model/model_reference.h"

#include <weir/random.h>

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

#define RANDOM_SEED  1789
#define RANDOM_RUNS  150
#define RANDOM_CALLS 400

static uint64_t run, draws;

static uint32_t draw(uint32_t below)
{
    return (uint32_t)(weir_random_u64(RANDOM_SEED, run, draws++) % below);
}

static struct model_engine_cfg random_cfg(void)
{
    struct model_engine_cfg cfg = { .cost = { .base_ps = draw(3) * 1000000ULL,
                                              .per_seq_ps = draw(200000),
                                              .per_ctx_token_ps = draw(3000),
                                              .per_prefill_token_ps = draw(90000),
                                              .enqueue_ps = draw(2) * 300000ULL,
                                              .enqueue_per_token_ps = draw(2) * 20000ULL },
                                    .max_num_seqs = 1 + draw(8),
                                    .waiting_max = REF_SEQS,
                                    .blocks_count = 8 + draw(REF_BLOCKS - 8),
                                    .block_tokens = 1 + draw(6),
                                    .watermark_blocks = draw(2) * draw(4),
                                    .prefix_cache = draw(3) != 0 };
    cfg.max_num_batched_tokens = cfg.max_num_seqs + draw(40);
    uint32_t cache = cfg.blocks_count * cfg.block_tokens;
    cfg.max_model_len = 2 + draw(cache - 1);
    return cfg;
}

/* Few keys and prefixes, so that many sequences have the same. */
static struct model_request random_request(const struct model_engine_cfg *cfg, uint64_t now_ns,
                                           uintptr_t owner)
{
    uint32_t prompt = 1 + draw(cfg->max_model_len - 1);
    if (draw(3) != 0)
        prompt = 1 + prompt / 4;
    uint32_t output = 1 + draw(cfg->max_model_len - prompt);
    if (draw(3) != 0)
        output = 1 + output / 6;
    return (struct model_request){ .prompt = { .prefix_id = draw(3),
                                               .prefix_tokens = draw(prompt + 1),
                                               .key = draw(4) == 0 ? draw(4) : owner + 100 },
                                   .prompt_tokens = prompt,
                                   .output_tokens = output,
                                   .arrival_ns = now_ns + draw(2) * draw(5000),
                                   .owner = (void *)owner };
}

struct pair {
    struct model_engine engine;
    struct ref ref;
    uint64_t handles[REF_SEQS];
    uint32_t ends[REF_SEQS]; /* how often each has ended: finished or cancelled */
};

/* Each block is somebody's exactly as often as tables name it: what the counts alone do not show.
 */
static void compare_blocks(const struct pair *pair)
{
    const struct kv *kv = &pair->engine.kv;
    uint32_t refs[REF_BLOCKS] = { 0 }, used = 0;
    for (uint32_t table = 0; table < kv->cfg.tables_count; table++) {
        for (uint32_t i = 0; i < kv->table_counts[table]; i++)
            refs[kv->table_blocks[table * kv->cfg.table_blocks_max + i]]++;
    }
    for (uint32_t i = 0; i < kv->cfg.blocks_count; i++) {
        assert_int_equal(refs[i], kv->blocks[i].refs_count);
        used += refs[i] > 0;
    }
    assert_int_equal(used, kv->cfg.blocks_count - ref_free_count(&pair->ref));
}

static void compare(const struct pair *pair)
{
    const struct ref *ref = &pair->ref;
    struct model_engine_stats stats = model_engine_stats(&pair->engine);
    assert_true(model_engine_check(&pair->engine));
    assert_int_equal(stats.num_requests_running, ref_count(ref, REF_RUNNING));
    assert_int_equal(stats.num_requests_waiting, ref_count(ref, REF_WAITING));
    assert_int_equal(stats.num_preemptions_total, ref->preemptions);
    assert_int_equal(stats.prefix_cache_hits_total, ref->hits);
    assert_int_equal(stats.prefix_cache_queries_total, ref->queries);
    compare_blocks(pair);
}

static void compare_step(struct pair *pair, const struct model_step *step)
{
    const struct model_step *expected = &pair->ref.step;
    assert_int_equal(step->start_ns, expected->start_ns);
    assert_int_equal(step->end_ns, expected->end_ns);
    assert_int_equal(step->decode_count, expected->decode_count);
    assert_int_equal(step->prefill_count, expected->prefill_count);
    assert_int_equal(step->ctx_count, expected->ctx_count);
    assert_int_equal(step->events_count, expected->events_count);
    for (uint32_t i = 0; i < step->events_count; i++) {
        const struct model_event *a = &step->events[i], *b = &pair->ref.events[i];
        assert_int_equal(a->kind, b->kind);
        assert_ptr_equal(a->owner, b->owner);
        assert_int_equal(a->tokens_count, b->tokens_count);
        assert_int_equal(a->at_ns, b->at_ns);
        assert_int_equal(a->last, b->last);
        assert_int_equal(a->handle, pair->handles[(uintptr_t)a->owner]);
        pair->ends[(uintptr_t)a->owner] += a->last;
    }
}

static void random_call(struct pair *pair, uint64_t *now_ns)
{
    uint32_t kind = draw(10), count = pair->ref.seqs_count;
    if (kind < 2 && count < REF_SEQS) {
        struct model_request request = random_request(&pair->engine.cfg, *now_ns, count);
        assert_int_equal(model_engine_submit(&pair->handles[count], &pair->engine, &request), 0);
        assert_int_equal(ref_submit(&pair->ref, &request), count);
    } else if (kind == 2 && count > 0 && draw(3) == 0) {
        uint32_t index = draw(count);
        bool known = ref_cancel(&pair->ref, index);
        assert_int_equal(model_engine_cancel(&pair->engine, pair->handles[index]),
                         known ? 0 : -ENOENT);
        pair->ends[index] += known;
    } else if (kind == 3) {
        *now_ns += draw(20000);
    } else {
        struct model_step step = { 0 };
        uint64_t due_ns = model_engine_next(&pair->engine, *now_ns);
        assert_int_equal(due_ns, ref_next(&pair->ref, *now_ns));
        if (due_ns != MODEL_ENGINE_IDLE && due_ns > *now_ns && draw(4) != 0)
            *now_ns = due_ns;
        bool ended = model_engine_step(&step, &pair->engine, *now_ns);
        assert_int_equal(ended, ref_step(&pair->ref, *now_ns));
        if (ended)
            compare_step(pair, &step);
    }
}

/* Call for call the same as the reference, and in the end every sequence has ended once. */
static void test_random(void **state)
{
    (void)state;
    print_message("seed %d\n", RANDOM_SEED);
    static struct pair pair;
    uint64_t preemptions = 0, hits = 0;
    for (run = 0; run < RANDOM_RUNS; run++) {
        draws = 0;
        uint64_t now_ns = 0;
        struct model_engine_cfg cfg = random_cfg();
        assert_int_equal(model_engine_open(&pair.engine, &cfg), 0);
        ref_open(&pair.ref, &cfg);
        memset(pair.ends, 0, sizeof(pair.ends));
        for (uint32_t call = 0; call < RANDOM_CALLS; call++) {
            random_call(&pair, &now_ns);
            compare(&pair);
        }
        for (uint64_t due_ns; (due_ns = ref_next(&pair.ref, now_ns)) != MODEL_ENGINE_IDLE;) {
            struct model_step step = { 0 };
            assert_int_equal(model_engine_next(&pair.engine, now_ns), due_ns);
            now_ns = due_ns > now_ns ? due_ns : now_ns;
            bool ended = ref_step(&pair.ref, now_ns);
            assert_int_equal(model_engine_step(&step, &pair.engine, now_ns), ended);
            if (ended)
                compare_step(&pair, &step);
        }
        assert_true(model_engine_next(&pair.engine, now_ns) == MODEL_ENGINE_IDLE);
        compare(&pair);
        for (uint32_t i = 0; i < pair.ref.seqs_count; i++)
            assert_int_equal(pair.ends[i], 1);
        assert_int_equal(model_engine_stats(&pair.engine).kv_blocks_used, 0);
        preemptions += pair.ref.preemptions;
        hits += pair.ref.hits;
        model_engine_close(&pair.engine);
    }
    print_message("%" PRIu64 " preemptions, %" PRIu64 " tokens from the cache\n", preemptions,
                  hits);
    assert_true(preemptions > 1000 && hits > 10000);
}

#define MANY 10000

/* One number for everything that happened, when and to whom. */
static uint64_t fold(uint64_t sum, const struct model_step *step)
{
    for (uint32_t i = 0; i < step->events_count; i++) {
        const struct model_event *event = &step->events[i];
        sum = weir_random_u64(sum, (uint64_t)event->kind << 32 | event->tokens_count,
                              event->at_ns ^ (uintptr_t)event->owner << 40);
    }
    return sum;
}

/*
 * MANY sequences through an engine of the size of a real one, 5 arrivals a millisecond. The caller
 * comes every `period_ns`, 0: exactly when something is due. @return the fold of all events
 */
static uint64_t run_many(struct model_engine *engine, uint64_t period_ns)
{
    uint64_t sum = 0, now_ns = 0;
    struct model_step step;
    for (uintptr_t next = 0;;) {
        for (; next < MANY && next * 200 * US <= now_ns; next++) {
            uint64_t random = weir_random_u64(RANDOM_SEED, 1, next), handle;
            const struct model_request request = {
                .prompt = { .prefix_id = random % 20, .prefix_tokens = 64, .key = next },
                .prompt_tokens = 64 + (uint32_t)(random >> 8) % 200,
                .output_tokens = 1 + (uint32_t)(random >> 32) % 100,
                .arrival_ns = next * 200 * US,
                .owner = (void *)next,
            };
            assert_int_equal(model_engine_submit(&handle, engine, &request), 0);
        }
        uint64_t due_ns;
        while ((due_ns = model_engine_next(engine, now_ns)) <= now_ns) {
            assert_true(model_engine_step(&step, engine, now_ns));
            sum = fold(sum, &step);
        }
        if (due_ns == MODEL_ENGINE_IDLE && next == MANY)
            return sum;
        if (next < MANY && next * 200 * US < due_ns)
            due_ns = next * 200 * US;
        now_ns = period_ns == 0 ? due_ns : now_ns + period_ns;
    }
}

/* The same, however late the caller comes: also in an engine that was used before. */
static void test_many(void **state)
{
    (void)state;
    struct model_engine engine;
    const struct model_engine_cfg cfg = { .cost = { .base_ps = 5752705191,
                                                    .per_seq_ps = 5999144,
                                                    .per_ctx_token_ps = 39000,
                                                    .per_prefill_token_ps = 17250864 },
                                          .max_num_seqs = 256,
                                          .max_num_batched_tokens = 2048,
                                          .max_model_len = 4096,
                                          .waiting_max = MANY,
                                          .blocks_count = 1800, /* too few: some are preempted */
                                          .block_tokens = 16,
                                          .prefix_cache = true };
    assert_int_equal(model_engine_open(&engine, &cfg), 0);
    clock_t began = clock();
    uint64_t sum = run_many(&engine, 0);
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    struct model_engine_stats stats = model_engine_stats(&engine);
    print_message("%d sequences, %" PRIu64 " tokens, %" PRIu64 " steps, %" PRIu64
                  " preemptions in %.3f s\n",
                  MANY, stats.generation_tokens_total, stats.steps_total,
                  stats.num_preemptions_total, seconds);
    assert_int_equal(stats.finished_total, MANY);
    assert_int_equal(stats.kv_blocks_used, 0);
    assert_true(stats.num_preemptions_total > 0);
    assert_true(stats.prefix_cache_hits_total > 0);
    assert_true(model_engine_check(&engine));
    static const uint64_t periods_ns[] = { 100 * US, 7 * MS, 1000 * MS };
    for (size_t i = 0; i < sizeof(periods_ns) / sizeof(periods_ns[0]); i++) {
        model_engine_reset(&engine);
        assert_true(run_many(&engine, periods_ns[i]) == sum);
    }
    model_engine_close(&engine);
#ifndef WEIR_DEBUG /* the sanitizers cost several times as much */
    assert_true(seconds < 1.0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
