/* SPDX-License-Identifier: MIT */
#include "mock/model/model_engine.c"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

/* A step is 10 ms, 1 ms for each decoding sequence, 1 us for each token of a prompt and 1 ns for
 * each of the context. */
static const struct model_engine_cfg plain = { .cost = { .base_ps = 10 * MS * 1000,
                                                         .per_seq_ps = MS * 1000,
                                                         .per_ctx_token_ps = 1000,
                                                         .per_prefill_token_ps = US * 1000 },
                                               .max_num_seqs = 4,
                                               .max_num_batched_tokens = 64,
                                               .max_model_len = 128,
                                               .waiting_max = 4,
                                               .blocks_count = 64,
                                               .block_tokens = 4 };

static void open_with(struct model_engine *engine, const struct model_engine_cfg *cfg)
{
    assert_int_equal(model_engine_open(engine, cfg), 0);
    assert_true(model_engine_check(engine));
}

/* `key` is the sequence's key and owner. */
static uint64_t submit(struct model_engine *engine, uint64_t arrival_ns, uint32_t prompt,
                       uint32_t output, uintptr_t key)
{
    uint64_t handle = 0;
    const struct model_request request = { .prompt = { .key = key },
                                           .prompt_tokens = prompt,
                                           .output_tokens = output,
                                           .arrival_ns = arrival_ns,
                                           .owner = (void *)key };
    assert_int_equal(model_engine_submit(&handle, engine, &request), 0);
    assert_true(handle != 0);
    return handle;
}

/* Run to the end of the next step, without being late. */
static struct model_step run_step(struct model_engine *engine, uint64_t now_ns)
{
    struct model_step step = { 0 };
    uint64_t end_ns = model_engine_next(engine, now_ns);
    assert_true(end_ns != MODEL_ENGINE_IDLE);
    assert_true(end_ns == 0 || !model_engine_step(&step, engine, end_ns - 1));
    assert_true(model_engine_step(&step, engine, end_ns));
    assert_int_equal(step.end_ns, end_ns);
    assert_true(model_engine_check(engine));
    return step;
}

/* The events of a step as text: T is a token, L the last one, A an admission, P a preemption; with
 * the owner and the count. */
static void expect(struct model_step step, uint64_t start_ns, uint64_t end_ns, const char *events)
{
    char text[256] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < step.events_count; i++) {
        const struct model_event *event = &step.events[i];
        char kind = "-PAT"[event->kind];
        int written =
            snprintf(text + len, sizeof(text) - len, "%s%c%" PRIuPTR ":%" PRIu32, i == 0 ? "" : " ",
                     event->last ? 'L' : kind, (uintptr_t)event->owner, event->tokens_count);
        assert_true(written > 0 && (size_t)written < sizeof(text) - len);
        len += (size_t)written;
        assert_int_equal(event->at_ns,
                         event->kind == MODEL_EVENT_TOKEN ? step.end_ns : step.start_ns);
    }
    assert_string_equal(text, events);
    assert_int_equal(step.start_ns, start_ns);
    assert_int_equal(step.end_ns, end_ns);
}

static void test_open(void **state)
{
    (void)state;
    struct model_engine engine;
    static const struct {
        size_t offset;
        uint32_t value;
    } wrong[] = {
        { offsetof(struct model_engine_cfg, max_num_seqs), 0 },
        { offsetof(struct model_engine_cfg, max_num_seqs), 4097 },
        { offsetof(struct model_engine_cfg, max_num_batched_tokens), 3 },
        { offsetof(struct model_engine_cfg, max_num_batched_tokens), (1U << 24) + 1 },
        { offsetof(struct model_engine_cfg, max_model_len), 1 },
        { offsetof(struct model_engine_cfg, max_model_len), 257 },
        { offsetof(struct model_engine_cfg, waiting_max), (1U << 22) + 1 },
        { offsetof(struct model_engine_cfg, blocks_count), 0 },
        { offsetof(struct model_engine_cfg, block_tokens), 0 },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct model_engine_cfg cfg = plain;
        memcpy((char *)&cfg + wrong[i].offset, &wrong[i].value, sizeof(uint32_t));
        assert_int_equal(model_engine_open(&engine, &cfg), -EINVAL);
        model_engine_close(&engine);
    }
    for (size_t i = 0; i < sizeof(struct model_cost) / sizeof(uint64_t); i++) {
        struct model_engine_cfg cfg = plain;
        const uint64_t value = MODEL_BASE_PS_MAX + 1;
        memcpy((char *)&cfg.cost + i * sizeof(value), &value, sizeof(value));
        assert_int_equal(model_engine_open(&engine, &cfg), -EINVAL);
    }
    open_with(&engine, &plain);
    assert_true(model_engine_next(&engine, 0) == MODEL_ENGINE_IDLE);
    struct model_step step;
    assert_false(model_engine_step(&step, &engine, UINT64_MAX));
    model_engine_close(&engine);
    model_engine_close(&engine);
}

static void test_submit_errors(void **state)
{
    (void)state;
    struct model_engine engine;
    open_with(&engine, &plain);
    uint64_t handle = 77;
    struct model_request request = { .prompt_tokens = 1 };
    assert_int_equal(model_engine_submit(&handle, &engine, &request), -EINVAL);
    request = (struct model_request){ .output_tokens = 1 };
    assert_int_equal(model_engine_submit(&handle, &engine, &request), -EINVAL);
    request = (struct model_request){ .prompt_tokens = 100, .output_tokens = 29 };
    assert_int_equal(model_engine_submit(&handle, &engine, &request), -E2BIG);
    request = (struct model_request){ .prompt_tokens = UINT32_MAX, .output_tokens = UINT32_MAX };
    assert_int_equal(model_engine_submit(&handle, &engine, &request), -E2BIG);
    for (uintptr_t i = 0; i < 8; i++)
        submit(&engine, 0, 10, 10, i);
    request = (struct model_request){ .prompt_tokens = 1, .output_tokens = 1 };
    assert_int_equal(model_engine_submit(&handle, &engine, &request), WEIR_E_QUEUE_FULL);
    assert_int_equal(handle, 77);
    assert_int_equal(model_engine_stats(&engine).submitted_total, 8);
    assert_true(model_engine_check(&engine));
    model_engine_close(&engine);
}

/* A prompt in one step, then a token a step, each a token of context dearer than the one before. */
static void test_one(void **state)
{
    (void)state;
    struct model_engine engine;
    open_with(&engine, &plain);
    submit(&engine, 1000, 50, 3, 1);
    assert_int_equal(model_engine_next(&engine, 999), 1000); /* not before it has arrived */
    uint64_t first = 1000 + 10 * MS + 50 * US;
    expect(run_step(&engine, 1000), 1000, first, "A1:0 T1:1");
    uint64_t second = first + 11 * MS + 50;
    expect(run_step(&engine, first), first, second, "T1:2");
    uint64_t third = second + 11 * MS + 51;
    expect(run_step(&engine, second), second, third, "L1:3");
    assert_true(model_engine_next(&engine, third) == MODEL_ENGINE_IDLE);
    struct model_engine_stats stats = model_engine_stats(&engine);
    assert_int_equal(stats.prompt_tokens_total, 50);
    assert_int_equal(stats.generation_tokens_total, 3);
    assert_int_equal(stats.finished_total, 1);
    assert_int_equal(stats.steps_total, 3);
    assert_int_equal(stats.kv_blocks_used, 0);
    model_engine_close(&engine);
}

/* 100 tokens at 64 a step; B's prompt shares steps with what A does, and makes them longer. */
static void test_chunks(void **state)
{
    (void)state;
    struct model_engine engine;
    open_with(&engine, &plain);
    submit(&engine, 0, 100, 3, 1);
    submit(&engine, 0, 40, 2, 2);
    uint64_t t1 = 10 * MS + 64 * US;
    expect(run_step(&engine, 0), 0, t1, "A1:0");
    assert_int_equal(model_engine_stats(&engine).num_requests_waiting, 1);
    uint64_t t2 = t1 + 10 * MS + (36 + 28) * US + 64;
    expect(run_step(&engine, t1), t1, t2, "A2:0 T1:1");
    uint64_t t3 = t2 + 11 * MS + 12 * US + 100 + 28;
    expect(run_step(&engine, t2), t2, t3, "T1:2 T2:1");
    uint64_t t4 = t3 + 12 * MS + 101 + 40;
    expect(run_step(&engine, t3), t3, t4, "L1:3 L2:2");
    model_engine_close(&engine);
}

/* No more than max_num_seqs; who waits is admitted when one has ended, by arrival, not by the order
 * of submission. */
static void test_queue(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.max_num_seqs = 1;
    open_with(&engine, &cfg);
    submit(&engine, 3, 10, 1, 3);
    submit(&engine, 1, 10, 1, 1);
    submit(&engine, 2, 10, 1, 2);
    submit(&engine, 1, 10, 1, 4); /* at the same time as 1, submitted later */
    struct model_engine_stats stats = model_engine_stats(&engine);
    assert_int_equal(stats.num_requests_waiting, 4);
    assert_int_equal(stats.num_requests_running, 0);
    uint64_t one = 10 * MS + 10 * US;
    expect(run_step(&engine, 1), 1, 1 + one, "A1:0 L1:1");
    expect(run_step(&engine, 1 + one), 1 + one, 1 + 2 * one, "A4:0 L4:1");
    expect(run_step(&engine, 1 + 2 * one), 1 + 2 * one, 1 + 3 * one, "A2:0 L2:1");
    expect(run_step(&engine, 1 + 3 * one), 1 + 3 * one, 1 + 4 * one, "A3:0 L3:1");
    model_engine_close(&engine);
}

/* Steps follow each other without a gap however late the caller is, but none begins before what is
 * in it has arrived. */
static void test_late_caller(void **state)
{
    (void)state;
    struct model_engine engine;
    open_with(&engine, &plain);
    uint64_t one = 10 * MS + 10 * US, two = 11 * MS + 10;
    submit(&engine, 0, 10, 2, 1);
    submit(&engine, one, 10, 1, 2);           /* as the second step begins: in it */
    submit(&engine, one + 1, 10, 1, 3);       /* just later: in the third */
    submit(&engine, 1000 * MS + 7, 10, 1, 4); /* after an idle time */
    uint64_t late = 5000 * MS;
    struct model_step step;
    assert_int_equal(model_engine_next(&engine, late), one);
    assert_true(model_engine_step(&step, &engine, late));
    expect(step, 0, one, "A1:0 T1:1");
    uint64_t end = one + two + 10 * US;
    assert_int_equal(model_engine_next(&engine, late), end);
    assert_true(model_engine_step(&step, &engine, late));
    expect(step, one, end, "A2:0 L1:2 L2:1");
    assert_int_equal(model_engine_next(&engine, late), end + one);
    assert_true(model_engine_step(&step, &engine, late));
    expect(step, end, end + one, "A3:0 L3:1");
    assert_int_equal(model_engine_next(&engine, late), 1000 * MS + 7 + one);
    assert_true(model_engine_step(&step, &engine, late));
    expect(step, 1000 * MS + 7, 1000 * MS + 7 + one, "A4:0 L4:1");
    assert_true(model_engine_next(&engine, late) == MODEL_ENGINE_IDLE);
    model_engine_close(&engine);
}

static void test_enqueue(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.cost.enqueue_ps = 2 * MS * 1000;
    cfg.cost.enqueue_per_token_ps = 100 * US * 1000;
    open_with(&engine, &cfg);
    submit(&engine, 5, 10, 1, 1); /* 3 ms in the front end */
    submit(&engine, 6, 1, 1, 2);  /* 2.1 ms: it overtakes */
    assert_int_equal(model_engine_next(&engine, 10), 6 + 2100 * US);
    uint64_t start = 6 + 2100 * US, end = start + 10 * MS + US;
    expect(run_step(&engine, start), start, end, "A2:0 L2:1");
    expect(run_step(&engine, end), end, end + 10 * MS + 10 * US, "A1:0 L1:1");
    submit(&engine, UINT64_MAX - 3, 10, 1, 1);
    assert_true(model_engine_next(&engine, UINT64_MAX - 1) == UINT64_MAX);
    model_engine_close(&engine);
}

/*
 * 8 blocks of 4. A has 8 tokens and makes 12 more, B the same: the blocks end when both need their
 * fifth. B, who came later, loses all of his, and computes them again when A has ended.
 */
static void test_preemption(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.blocks_count = 8;
    cfg.max_model_len = 32;
    open_with(&engine, &cfg);
    submit(&engine, 0, 8, 12, 1);
    submit(&engine, 0, 8, 12, 2);
    struct model_step step = run_step(&engine, 0);
    assert_int_equal(model_engine_stats(&engine).kv_blocks_used, 4);
    for (uint32_t i = 0; i < 8; i++)
        step = run_step(&engine, step.end_ns);
    assert_int_equal(step.events[0].tokens_count, 9);
    assert_int_equal(step.events[1].tokens_count, 9);
    assert_int_equal(model_engine_stats(&engine).kv_blocks_used, 8);
    assert_true(model_engine_stats(&engine).kv_cache_usage_perc == 1.0);
    uint64_t end = step.end_ns;
    step = run_step(&engine, end);
    expect(step, end, end + 11 * MS + 16, "P2:0 T1:10");
    struct model_engine_stats stats = model_engine_stats(&engine);
    assert_int_equal(stats.num_preemptions_total, 1);
    assert_int_equal(stats.num_requests_waiting, 1);
    assert_int_equal(stats.kv_blocks_used, 5);
    /* 17 tokens again are 5 blocks, and 3 are free. */
    end = step.end_ns;
    step = run_step(&engine, end);
    expect(step, end, end + 11 * MS + 17, "T1:11");
    end = step.end_ns;
    step = run_step(&engine, end);
    expect(step, end, end + 11 * MS + 18, "L1:12");
    end = step.end_ns;
    step = run_step(&engine, end);
    expect(step, end, end + 10 * MS + 17 * US, "A2:0 T2:10");
    assert_int_equal(step.prefill_count, 17);
    end = step.end_ns;
    step = run_step(&engine, end);
    expect(step, end, end + 11 * MS + 17, "T2:11");
    assert_int_equal(step.decode_count, 1);
    assert_int_equal(model_engine_stats(&engine).prompt_tokens_total, 16);
    model_engine_close(&engine);
}

/* With the cache, what a preempted sequence had computed is mostly still there. */
static void test_preemption_cached(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.blocks_count = 8;
    cfg.max_model_len = 32;
    cfg.prefix_cache = true;
    open_with(&engine, &cfg);
    submit(&engine, 0, 8, 10, 1);
    submit(&engine, 0, 8, 12, 2);
    struct model_step step = run_step(&engine, 0);
    for (uint32_t i = 0; i < 9; i++)
        step = run_step(&engine, step.end_ns);
    expect(step, step.start_ns, step.start_ns + 11 * MS + 16, "P2:0 L1:10");
    /* A's fifth block took the last of B's four: 12 tokens of its 17 are left. */
    uint64_t end = step.end_ns;
    step = run_step(&engine, end);
    expect(step, end, end + 10 * MS + 5 * US + 12, "A2:12 T2:10");
    struct model_engine_stats stats = model_engine_stats(&engine);
    assert_int_equal(stats.prefix_cache_queries_total, 16); /* at first admissions only */
    assert_int_equal(stats.prefix_cache_hits_total, 0);
    model_engine_close(&engine);
}

static void test_watermark(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.blocks_count = 8;
    cfg.max_model_len = 32;
    cfg.watermark_blocks = 2;
    open_with(&engine, &cfg);
    submit(&engine, 0, 28, 1, 1); /* alone it may have 7 of the 8 */
    submit(&engine, 0, 4, 2, 2);
    submit(&engine, 0, 20, 1, 3);
    struct model_step step = run_step(&engine, 0);
    expect(step, 0, 10 * MS + 28 * US, "A1:0 L1:1");
    step = run_step(&engine, step.end_ns);
    /* 1 and 5 of 8: two stay free. */
    expect(step, step.start_ns, step.start_ns + 10 * MS + 24 * US, "A2:0 A3:0 T2:1 L3:1");
    submit(&engine, 0, 24, 1, 4);
    step = run_step(&engine, step.end_ns);
    expect(step, step.start_ns, step.start_ns + 11 * MS + 4, "L2:2"); /* 2 and 6 would be all */
    step = run_step(&engine, step.end_ns);
    expect(step, step.start_ns, step.start_ns + 10 * MS + 24 * US, "A4:0 L4:1");
    model_engine_close(&engine);
}

static void test_prefix(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.prefix_cache = true;
    open_with(&engine, &cfg);
    struct model_request request = { .prompt = { .prefix_id = 9, .prefix_tokens = 18, .key = 1 },
                                     .prompt_tokens = 20,
                                     .output_tokens = 1,
                                     .owner = (void *)1 };
    uint64_t handle;
    assert_int_equal(model_engine_submit(&handle, &engine, &request), 0);
    struct model_step step = run_step(&engine, 0);
    expect(step, 0, 10 * MS + 20 * US, "A1:0 L1:1");
    assert_int_equal(model_engine_stats(&engine).kv_blocks_cached, 5);
    /* 4 blocks are within the 18 tokens. */
    request.prompt.key = 2;
    request.owner = (void *)2;
    assert_int_equal(model_engine_submit(&handle, &engine, &request), 0);
    step = run_step(&engine, step.end_ns);
    expect(step, step.start_ns, step.start_ns + 10 * MS + 4 * US + 16, "A2:16 L2:1");
    /* All the same: all 5 blocks are there, but the last token must be computed. */
    assert_int_equal(model_engine_submit(&handle, &engine, &request), 0);
    step = run_step(&engine, step.end_ns);
    expect(step, step.start_ns, step.start_ns + 10 * MS + 4 * US + 16, "A2:16 L2:1");
    request.prompt.prefix_id = 10;
    request.owner = (void *)3;
    assert_int_equal(model_engine_submit(&handle, &engine, &request), 0);
    step = run_step(&engine, step.end_ns);
    expect(step, step.start_ns, step.start_ns + 10 * MS + 20 * US, "A3:0 L3:1");
    struct model_engine_stats stats = model_engine_stats(&engine);
    assert_int_equal(stats.prefix_cache_queries_total, 80);
    assert_int_equal(stats.prefix_cache_hits_total, 32);
    model_engine_close(&engine);
}

/* Before its arrival, waiting, in the middle of its prompt, between two tokens, preempted, ended,
 * and with a handle whose place somebody else has. */
static void test_cancel(void **state)
{
    (void)state;
    struct model_engine engine;
    open_with(&engine, &plain);
    assert_int_equal(model_engine_cancel(&engine, 0), -ENOENT);
    assert_int_equal(model_engine_cancel(&engine, UINT64_MAX), -ENOENT);
    uint64_t future = submit(&engine, 100, 10, 1, 1);
    assert_int_equal(model_engine_cancel(&engine, future), 0);
    assert_int_equal(model_engine_cancel(&engine, future), -ENOENT);
    assert_true(model_engine_next(&engine, 0) == MODEL_ENGINE_IDLE);

    uint64_t prompt = submit(&engine, 0, 100, 3, 1); /* has the place that `future` had */
    assert_int_equal(model_engine_cancel(&engine, future), -ENOENT);
    uint64_t waits = submit(&engine, 0, 10, 3, 2);
    struct model_step step = run_step(&engine, 0);
    expect(step, 0, 10 * MS + 64 * US, "A1:0");
    assert_int_equal(model_engine_cancel(&engine, waits), 0);
    uint64_t end = step.end_ns + 10 * MS + 36 * US + 64;
    assert_int_equal(model_engine_next(&engine, step.end_ns), end);
    /* In the middle of a step: its blocks are free at once, the step takes as long as it would. */
    assert_int_equal(model_engine_cancel(&engine, prompt), 0);
    assert_int_equal(model_engine_stats(&engine).kv_blocks_used, 0);
    assert_true(model_engine_check(&engine));
    uint64_t tokens = submit(&engine, step.end_ns, 10, 9, 3);
    assert_true(model_engine_step(&step, &engine, end));
    expect(step, step.start_ns, end, "");

    step = run_step(&engine, end);
    expect(step, end, end + 10 * MS + 10 * US, "A3:0 T3:1");
    step = run_step(&engine, step.end_ns);
    assert_int_equal(model_engine_cancel(&engine, tokens), 0);
    assert_int_equal(step.events[0].kind, MODEL_EVENT_NONE); /* not handled yet: never mind */
    assert_true(model_engine_next(&engine, step.end_ns) == MODEL_ENGINE_IDLE);

    uint64_t ended = submit(&engine, step.end_ns, 10, 1, 4);
    step = run_step(&engine, step.end_ns);
    assert_int_equal(step.events[1].kind, MODEL_EVENT_TOKEN);
    assert_int_equal(model_engine_cancel(&engine, ended), -ENOENT);
    assert_int_equal(step.events[1].kind, MODEL_EVENT_NONE);
    struct model_engine_stats stats = model_engine_stats(&engine);
    assert_int_equal(stats.cancelled_total, 4);
    assert_int_equal(stats.finished_total, 1);
    assert_true(model_engine_check(&engine));
    model_engine_close(&engine);
}

static void test_cancel_preempted(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.blocks_count = 8;
    cfg.max_model_len = 32;
    open_with(&engine, &cfg);
    submit(&engine, 0, 8, 12, 1);
    uint64_t handle = submit(&engine, 0, 8, 12, 2);
    struct model_step step = run_step(&engine, 0);
    for (uint32_t i = 0; i < 8; i++)
        step = run_step(&engine, step.end_ns);
    uint64_t end = model_engine_next(&engine, step.end_ns);
    assert_int_equal(model_engine_stats(&engine).num_preemptions_total, 1);
    assert_int_equal(model_engine_cancel(&engine, handle), 0);
    assert_true(model_engine_step(&step, &engine, end));
    expect(step, step.start_ns, end, "T1:10"); /* nothing of whom nobody knows any more */
    assert_true(model_engine_check(&engine));
    model_engine_close(&engine);
}

/* Handles of before are unknown, and all is as at first. */
static void test_reset(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.prefix_cache = true;
    open_with(&engine, &cfg);
    for (int round = 0; round < 3; round++) {
        uint64_t a = submit(&engine, 7, 10, 5, 1), b = submit(&engine, 7, 64, 5, 2);
        struct model_step step = run_step(&engine, 7);
        expect(step, 7, 7 + 10 * MS + 64 * US, "A1:0 A2:0 T1:1");
        model_engine_next(&engine, step.end_ns);
        model_engine_reset(&engine);
        assert_int_equal(model_engine_cancel(&engine, a), -ENOENT);
        assert_int_equal(model_engine_cancel(&engine, b), -ENOENT);
        assert_true(model_engine_next(&engine, 0) == MODEL_ENGINE_IDLE);
        assert_int_equal(model_engine_stats(&engine).submitted_total, 0);
        assert_int_equal(model_engine_stats(&engine).kv_blocks_cached, 0);
        assert_true(model_engine_check(&engine));
    }
    model_engine_close(&engine);
}

/* An engine that takes no time at all still ends. */
static void test_no_time(void **state)
{
    (void)state;
    struct model_engine engine;
    struct model_engine_cfg cfg = plain;
    cfg.cost = (struct model_cost){ 0 };
    open_with(&engine, &cfg);
    for (uintptr_t i = 0; i < 8; i++)
        submit(&engine, 50, 100, 20, i);
    struct model_step step;
    uint32_t ended = 0;
    while (model_engine_next(&engine, 50) <= 50) {
        assert_true(model_engine_step(&step, &engine, 50));
        for (uint32_t i = 0; i < step.events_count; i++)
            ended += step.events[i].last;
    }
    assert_int_equal(ended, 8);
    model_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_submit_errors),
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_late_caller),
        cmocka_unit_test(test_enqueue),
        cmocka_unit_test(test_preemption),
        cmocka_unit_test(test_preemption_cached),
        cmocka_unit_test(test_watermark),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_preempted),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
