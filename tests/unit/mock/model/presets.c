/* SPDX-License-Identifier: MIT */
#include "mock/model/presets.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct preset *named(const char *name)
{
    const struct preset *preset =
        preset_find((struct weir_slice){ (const uint8_t *)name, strlen(name) });
    assert_non_null(preset);
    return preset;
}

static void test_find(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (const struct preset *preset = preset_at(0); preset != NULL; preset = preset_at(++count)) {
        assert_ptr_equal(named(preset->name), preset);
        assert_true(preset->source[0] != '\0');
        assert_non_null(preset->model);
    }
    assert_int_equal(count, PRESETS_COUNT);
    assert_null(preset_find(WEIR_TEXT("8b")));
    assert_null(preset_find(WEIR_TEXT("8b-h1000")));
    assert_null(preset_find((struct weir_slice){ NULL, 0 }));
}

static void test_fixed(void **state)
{
    (void)state;
    const struct preset *preset = named("gpt4o");
    assert_int_equal(preset->kind, PRESET_FIXED);
    assert_int_equal(preset->fixed.ttft_mean_ns, 400000000);
    assert_int_equal(preset->fixed.itl_mean_ns, 25000000);
    for (uint32_t i = 0; preset_at(i) != NULL; i++) {
        preset = preset_at(i);
        if (preset->kind != PRESET_FIXED)
            continue;
        /* Wider distributions would mostly be cut off at zero. */
        assert_true(preset->fixed.ttft_stddev_ns * 3 <= preset->fixed.ttft_mean_ns);
        assert_true(preset->fixed.itl_stddev_ns * 2 <= preset->fixed.itl_mean_ns);
        assert_true(preset->fixed.itl_mean_ns <= preset->fixed.ttft_mean_ns);
    }
}

/* Back to what was published: the gap alone, and the factor when all run. */
static void test_linear(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t ttft_256_ms, alone_ms, full_ms;
    } published[] = { { "l40s", 109, 15, 22 },
                      { "8b-h100", 94, 12, 24 },
                      { "70b-h100-tp8", 208, 25, 75 } };
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        const struct preset *preset = named(published[i].name);
        assert_int_equal(preset->kind, PRESET_LINEAR);
        const struct pace_linear *pace = &preset->linear.pace;
        assert_int_equal(pace_linear_ttft(pace, 256) / MS, published[i].ttft_256_ms);
        assert_int_equal(pace_linear_itl(pace, 1), published[i].alone_ms * MS);
        /* 1/63 of 50 ms is no whole number of nanoseconds. */
        uint64_t full_ns = pace_linear_itl(pace, preset->linear.max_num_seqs);
        assert_int_equal((full_ns + 100) / MS, published[i].full_ms);
    }
}

static void test_batch_opens(void **state)
{
    (void)state;
    for (uint32_t i = 0; preset_at(i) != NULL; i++) {
        const struct preset *preset = preset_at(i);
        if (preset->kind != PRESET_BATCH)
            continue;
        struct model_engine engine;
        assert_int_equal(model_engine_open(&engine, &preset->batch), 0);
        model_engine_close(&engine);
    }
}

/*
 * No fit may claim that it beats the data sheet by more than a tenth (an error of the fit), nor be
 * more than four times as slow; and what the weights leave of 0.9 of the memory is the cache.
 */
static void test_batch_is_plausible(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t gpus, gpu_gb, gb_per_s, tflops, kv_bytes;
    } machines[] = {
        { "llama-3.1-8b-h100", 1, 80, 3350, 989, 131072 },
        { "llama-3.1-8b-h100-tp2", 2, 80, 3350, 989, 131072 },
        { "llama-3.1-8b-a100", 1, 80, 2039, 312, 131072 },
        { "llama-3.3-70b-h100-tp4", 4, 80, 3350, 989, 327680 },
        { "llama-3.1-8b-h100-roofline", 1, 80, 3350, 989, 131072 },
        { "llama-3.1-8b-l40s-roofline", 1, 48, 864, 362, 131072 },
    };
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
        const struct preset *preset = named(machines[i].name);
        assert_int_equal(preset->kind, PRESET_BATCH);
        const struct model_engine_cfg *cfg = &preset->batch;
        uint64_t weights = preset->weights_bytes, gpus = machines[i].gpus;
        uint64_t base_ps = weights * 1000 / (machines[i].gb_per_s * gpus);
        uint64_t token_ps = weights / (machines[i].tflops * gpus);
        assert_in_range(cfg->cost.base_ps, base_ps * 9 / 10, base_ps * 4);
        assert_in_range(cfg->cost.per_prefill_token_ps, token_ps * 9 / 10, token_ps * 4);
        uint64_t cache = (uint64_t)cfg->blocks_count * cfg->block_tokens * machines[i].kv_bytes;
        assert_in_range(weights + cache, machines[i].gpu_gb * gpus * 899000000,
                        machines[i].gpu_gb * gpus * 900000000);
    }
    /* 8 billion parameters on an H100: 10 to 15 ms a token by vLLM's published benchmarks, which
     * include the way to the client; the engine's part of it is smaller, but not by far. */
    const struct model_step alone = { .decode_count = 1, .ctx_count = 256 };
    assert_in_range(model_cost_step_ns(&named("llama-3.1-8b-h100")->batch.cost, &alone), 5 * MS,
                    15 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_batch_opens),
        cmocka_unit_test(test_batch_is_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
