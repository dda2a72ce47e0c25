/* SPDX-License-Identifier: MIT */
#include "mock/config/engine.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "unit/mock/config/rig.h"

static void test_defaults(void **state)
{
    (void)state;
    struct config *config = rig_open("{}");
    assert_int_equal(config->engine.kind, CONFIG_ENGINE_FIXED);
    assert_string_equal(config->engine.preset, "");
    rig_tree(config, "engine.preset", "null");
    rig_tree(config, "engine.kind", "'fixed'");
    rig_tree(config, "engine.linear",
             "{'ttft_base_us':0,'ttft_per_prompt_token_us':0,'itl_base_us':0,"
             "'itl_per_running_us':0}");
    rig_tree(config, "engine.batch",
             "{'base_us':0,'per_seq_us':0,'per_ctx_token_us':0,'per_prefill_token_us':0,"
             "'enqueue_us':0,'enqueue_per_token_us':0,'max_num_seqs':256,"
             "'max_num_batched_tokens':2048,'max_model_len':32768,'waiting_max':16384,"
             "'blocks':8192,'block_size':16,'watermark_blocks':0,'prefix_cache':true}");
    config_drop(config);
}

/* With nothing but its name, a preset is what it says, and its engine can be opened. */
static void test_presets(void **state)
{
    (void)state;
    const struct preset *preset;
    for (uint32_t i = 0; (preset = preset_at(i)) != NULL; i++) {
        char text[128];
        snprintf(text, sizeof text, "{'engine':{'preset':'%s'}}", preset->name);
        struct config *config = rig_open(text);
        assert_string_equal(config->engine.preset, preset->name);
        struct model_engine_cfg batch = batch_default;
        struct pace_linear linear = { 0 };
        if (preset->kind == PRESET_FIXED) {
            assert_int_equal(config->engine.kind, CONFIG_ENGINE_FIXED);
            assert_true(weir_dist_quantile_ns(config->latency.ttft, 0.5) ==
                        preset->fixed.ttft_mean_ns);
            assert_true(weir_dist_quantile_ns(config->latency.itl, 0.5) ==
                        preset->fixed.itl_mean_ns);
        } else if (preset->kind == PRESET_LINEAR) {
            assert_int_equal(config->engine.kind, CONFIG_ENGINE_LINEAR);
            linear = preset->linear.pace;
        } else {
            assert_int_equal(config->engine.kind, CONFIG_ENGINE_BATCH);
            batch = preset->batch;
        }
        assert_memory_equal(&config->engine.linear, &linear, sizeof linear);
        assert_memory_equal(&config->engine.batch.cost, &batch.cost, sizeof batch.cost);
        assert_int_equal(config->engine.batch.max_num_seqs, batch.max_num_seqs);
        assert_int_equal(config->engine.batch.max_model_len, batch.max_model_len);
        assert_int_equal(config->engine.batch.waiting_max, batch.waiting_max);
        assert_int_equal(config->engine.batch.blocks_count, batch.blocks_count);
        assert_int_equal(config->engine.batch.prefix_cache, batch.prefix_cache);
        struct model_engine engine;
        assert_int_equal(model_engine_open(&engine, &config->engine.batch), 0);
        model_engine_close(&engine);
        /* The full tree says the same, to the picosecond. */
        struct config *again;
        struct config_error err;
        assert_int_equal(config_open(&again, config->tree, NULL, &err), 0);
        assert_memory_equal(&again->engine.batch.cost, &batch.cost, sizeof batch.cost);
        assert_memory_equal(&again->engine.linear, &linear, sizeof linear);
        assert_true(json_equal(again->tree, config->tree));
        config_drop(again);
        config_drop(config);
    }
}

static void test_explicit_wins(void **state)
{
    (void)state;
    struct config *config =
        rig_open("{'engine':{'preset':'8b-h100','kind':'fixed','linear':{'itl_base_us':0.5}}}");
    assert_int_equal(config->engine.kind, CONFIG_ENGINE_FIXED);
    assert_int_equal(config->engine.linear.itl_base_ns, 500);
    assert_int_equal(config->engine.linear.ttft_base_ns, 30000000);
    config_drop(config);
    config = rig_open("{'engine':{'preset':'gpt4o'},'latency':{'itl':'1ms'}}");
    assert_true(weir_dist_quantile_ns(config->latency.itl, 0.5) == 1000000);
    rig_tree(config, "latency.ttft", "'normal:mean=400000us,stddev=100000us'");
    /* Another preset: what it had filled in is gone, what was given stays. */
    struct config *patched = rig_patch(config, "{'engine':{'preset':'llama-3.1-8b-a100'}}");
    assert_null(patched->latency.ttft);
    rig_tree(patched, "latency.itl", "'1ms'");
    assert_int_equal(patched->engine.kind, CONFIG_ENGINE_BATCH);
    rig_tree(patched, "engine.batch.base_us", "16441.531547");
    config_drop(config);
    config = rig_patch(patched, "{'engine':null}");
    assert_int_equal(config->engine.kind, CONFIG_ENGINE_FIXED);
    rig_tree(config, "engine.batch.base_us", "0");
    config_drop(config);
    config_drop(patched);
}

static void test_refused(void **state)
{
    (void)state;
    rig_refused("{'engine':{'kind':'bach'}}", "/engine/kind",
                "engine.kind: expected 'fixed', 'linear' or 'batch', got 'bach'; did you mean "
                "'batch'?");
    rig_refused("{'engine':{'batch':{'max_num_seqs':4096}}}",
                "/engine/batch/max_num_batched_tokens",
                "engine.batch.max_num_batched_tokens: expected no less than max_num_seqs, which "
                "is 4096, got 2048");
    rig_refused("{'engine':{'batch':{'blocks':2047}}}", "/engine/batch/max_model_len",
                "engine.batch.max_model_len: expected no more than the cache has tokens, which "
                "is blocks times block_size = 32752, got 32768");
    rig_refused("{'engine':{'batch':{'blocks':2048,'watermark_blocks':2048}}}",
                "/engine/batch/watermark_blocks",
                "engine.batch.watermark_blocks: expected less than blocks, which is 2048, got "
                "2048");
    rig_refused("{'engine':{'batch':{'per_ctx_token_us':11}}}", "/engine/batch/per_ctx_token_us",
                "engine.batch.per_ctx_token_us: expected a number of microseconds from 0 to 10 "
                "with at most 6 decimal places, got 11");
    rig_refused("{'engine':{'batch':{'max_num_seq':1}}}", "/engine/batch/max_num_seq",
                "engine.batch.max_num_seq: no such key; did you mean max_num_seqs?");
    rig_refused("{'engine':{'linear':{'xyz':1}}}", "/engine/linear/xyz",
                "engine.linear.xyz: no such key; there are ttft_base_us, "
                "ttft_per_prompt_token_us, itl_base_us, itl_per_running_us");
    json_t *json = rig_json("{'engine':{'preset':'gpt4p'}}");
    struct config *config;
    struct config_error err;
    assert_int_equal(config_open(&config, json, NULL, &err), -EINVAL);
    json_decref(json);
    assert_string_equal(err.pointer, "/engine/preset");
    assert_non_null(
        strstr(err.text, "\"llama-3.1-8b-l40s-roofline\", got \"gpt4p\"; did you mean"));
}

/* At the ends of each range, the engine takes what the configuration takes, and nothing beyond. */
static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int64_t min, max;
    } keys[] = {
        { "base_us", 0, 1000000000 },
        { "per_seq_us", 0, 1000000 },
        { "per_ctx_token_us", 0, 10 },
        { "per_prefill_token_us", 0, 100000 },
        { "enqueue_us", 0, 1000000000 },
        { "enqueue_per_token_us", 0, 100000 },
        { "max_num_seqs", 1, 2048 }, /* max_num_batched_tokens */
        { "max_num_batched_tokens", 256, 1 << 24 },
        { "max_model_len", 2, 8192 * 16 },
        { "waiting_max", 0, 1 << 22 },
        { "block_size", 4, 1 << 16 }, /* max_model_len */
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        for (int at = 0; at < 4; at++) {
            int64_t value = at < 2 ? keys[i].min - at : keys[i].max + at - 2;
            char text[128];
            snprintf(text, sizeof text, "{\"engine\":{\"batch\":{\"%s\":%" PRId64 "}}}",
                     keys[i].key, value);
            json_t *json = rig_json(text);
            struct config *config = NULL;
            struct config_error err;
            int result = config_open(&config, json, NULL, &err);
            json_decref(json);
            if (result != (at == 0 || at == 2 ? 0 : -EINVAL))
                fail_msg("%s: %d", text, result);
            if (result < 0)
                continue;
            struct model_engine engine;
            assert_int_equal(model_engine_open(&engine, &config->engine.batch), 0);
            model_engine_close(&engine);
            config_drop(config);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_presets),
        cmocka_unit_test(test_explicit_wins), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
