/* SPDX-License-Identifier: MIT */
#include "mock/model/presets.h"

#include <string.h>

#define MS UINT64_C(1000000) /* nanoseconds */

/*
 * Fixed: means and standard deviations, in milliseconds, of the latency profiles of llmsim, file
 * src/latency.rs. They are estimates of that project for services whose owners publish none.
 */
#define LLMSIM "llmsim, src/latency.rs: profile of that name"

#define FIXED(preset_name, ttft, ttft_stddev, itl, itl_stddev)                                     \
    {                                                                                              \
        .name = (preset_name), .model = "", .source = LLMSIM, .kind = PRESET_FIXED, .fixed = {     \
            .ttft_mean_ns = (ttft)*MS,                                                             \
            .ttft_stddev_ns = (ttft_stddev)*MS,                                                    \
            .itl_mean_ns = (itl)*MS,                                                               \
            .itl_stddev_ns = (itl_stddev)*MS,                                                      \
        }                                                                                          \
    }

/*
 * Linear: the per-token profiles of llm-d-inference-sim, directory manifests/latency-profiles, made
 * of vLLM's, MLPerf's and NVIDIA's published benchmarks (docs/latency-profiles.md there). A time to
 * first token is prefill-overhead + prefill-time-per-token x prompt. A gap is inter-token-latency
 * alone and time-factor-under-load times that when max-num-seqs run, linear between them; that
 * factor is given in tenths here. Applied to gaps only: the first token of ours knows no load.
 */
#define LLMD "llm-d-inference-sim, manifests/latency-profiles/"

#define ITL_PER_RUNNING(itl_ms, factor_tenths, seqs)                                               \
    ((itl_ms)*MS * ((factor_tenths)-10) / (10 * ((seqs)-1)))

/*
 * Batch, fitted: step time = b0 + b1 x prompt tokens + b2 x decoding sequences, fitted to runs of
 * vLLM 0.8.4 by the authors of the simulator BLIS (inference-sim), file defaults.yaml, key
 * beta_coeffs in microseconds; a request's way to the queue is a0 + a1 x prompt tokens of
 * alpha_coeffs. The fits have no term for the context. Of that file only those are here that beat
 * the data sheet of the GPU (see the roofline below) nowhere by more than the error of a fit.
 *
 * Batch, roofline: what no engine can be faster than. A step reads all weights once and the keys
 * and values of the context: bytes / memory bandwidth. A token of a prompt costs 2 operations per
 * parameter: 2 x parameters / dense BF16 operations per second.
 *
 * Data sheets (NVIDIA): H100 SXM 80 GB, 3.35 TB/s, 989 TFLOPS; A100 SXM 80 GB, 2.039 TB/s, 312
 * TFLOPS; L40S 48 GB, 864 GB/s, 362 TFLOPS. Models (Meta's model cards and config.json): Llama 3.1
 * 8B has 8.03 x 10^9 parameters, 32 layers, 8 KV heads of 128; Llama 3.3 70B 70.6 x 10^9, 80
 * layers, 8 KV heads of 128; both have 2 bytes per number and a context of 131,072 tokens.
 *
 * Limits are vLLM's defaults for a server: 256 sequences, 2,048 tokens a step, blocks of 16 tokens,
 * 0.9 of the memory; what the weights leave of that is for KV blocks.
 */
#define BLIS     "inference-sim (BLIS), defaults.yaml, vLLM 0.8.4"
#define ROOFLINE "roofline of NVIDIA's data sheet and the model's config.json"

#define GB              UINT64_C(1000000000)
#define LLAMA8_WEIGHTS  (UINT64_C(2) * 8030000000)
#define LLAMA70_WEIGHTS (UINT64_C(2) * 70600000000)
#define LLAMA8_KV       (2 * 32 * 8 * 128 * 2) /* bytes of one token: keys and values */
#define LLAMA70_KV      (2 * 80 * 8 * 128 * 2)
#define BLOCK_TOKENS    16
#define LLAMA_CONTEXT   131072

/* KV blocks of `gpus` with `gpu_gb` each. */
#define BLOCKS(gpus, gpu_gb, weights, kv_bytes)                                                    \
    ((uint32_t)(((gpus) * (gpu_gb)*GB * 9 / 10 - (weights)) / (BLOCK_TOKENS * (kv_bytes))))

/* `bytes` at `gb_per_s` in picoseconds: a byte at 1 GB/s takes 1,000. */
#define READ_PS(bytes, gb_per_s) ((bytes)*UINT64_C(1000) / (gb_per_s))
/* 2 operations for each of `weights` / 2 parameters, at `tflops`: one per picosecond at 1. */
#define TOKEN_PS(weights, tflops) ((weights) / (tflops))

#define VLLM_LIMITS                                                                                \
    .max_num_seqs = 256, .max_num_batched_tokens = 2048, .max_model_len = LLAMA_CONTEXT,           \
    .waiting_max = 16384, .block_tokens = BLOCK_TOKENS, .prefix_cache = true

static const struct preset presets[] = {
    FIXED("instant", 0, 0, 0, 0),
    FIXED("fast", 10, 2, 1, 0),
    FIXED("gpt4", 800, 200, 50, 15),
    FIXED("gpt4o", 400, 100, 25, 8),
    FIXED("gpt5", 600, 150, 40, 12),
    FIXED("o-series", 2000, 500, 30, 10),
    FIXED("opus", 1000, 250, 60, 20),
    FIXED("sonnet", 500, 120, 30, 10),
    FIXED("haiku", 200, 50, 15, 5),
    {
        .name = "l40s",
        .model = "meta-llama/Llama-3.2-3B-Instruct",
        .source = LLMD "small-l40s-edge-per-token.yaml",
        .kind = PRESET_LINEAR,
        .linear = { .pace = { .ttft_base_ns = 20 * MS,
                              .ttft_per_prompt_token_ns = 350000,
                              .itl_base_ns = 15 * MS - ITL_PER_RUNNING(15, 15, 4),
                              .itl_per_running_ns = ITL_PER_RUNNING(15, 15, 4) },
                    .ttft_stddev_ns = 3 * MS,
                    .itl_stddev_ns = 2 * MS,
                    .max_num_seqs = 4 },
    },
    {
        .name = "8b-h100",
        .model = "meta-llama/Llama-3.1-8B-Instruct",
        .source = LLMD "8b-h100-balanced-per-token.yaml",
        .kind = PRESET_LINEAR,
        .linear = { .pace = { .ttft_base_ns = 30 * MS,
                              .ttft_per_prompt_token_ns = 250000,
                              .itl_base_ns = 12 * MS - ITL_PER_RUNNING(12, 20, 16),
                              .itl_per_running_ns = ITL_PER_RUNNING(12, 20, 16) },
                    .ttft_stddev_ns = 5 * MS,
                    .itl_stddev_ns = 2 * MS,
                    .max_num_seqs = 16 },
        .weights_bytes = LLAMA8_WEIGHTS,
    },
    {
        .name = "70b-h100-tp8",
        .model = "meta-llama/Llama-3.1-70B-Instruct",
        .source = LLMD "70b-h100-tp8-throughput-per-token.yaml",
        .kind = PRESET_LINEAR,
        .linear = { .pace = { .ttft_base_ns = 80 * MS,
                              .ttft_per_prompt_token_ns = 500000,
                              .itl_base_ns = 25 * MS - ITL_PER_RUNNING(25, 30, 64),
                              .itl_per_running_ns = ITL_PER_RUNNING(25, 30, 64) },
                    .ttft_stddev_ns = 15 * MS,
                    .itl_stddev_ns = 4 * MS,
                    .max_num_seqs = 64 },
        .weights_bytes = LLAMA70_WEIGHTS,
    },
    {
        .name = "llama-3.1-8b-h100",
        .model = "meta-llama/Llama-3.1-8B-Instruct",
        .source = BLIS,
        .kind = PRESET_BATCH,
        .batch = { .cost = { .base_ps = 5752705191,
                             .per_prefill_token_ps = 17250864,
                             .per_seq_ps = 5999144,
                             .enqueue_ps = 232461911,
                             .enqueue_per_token_ps = 1752360 },
                   .blocks_count = BLOCKS(1, 80, LLAMA8_WEIGHTS, LLAMA8_KV),
                   VLLM_LIMITS },
        .weights_bytes = LLAMA8_WEIGHTS,
    },
    {
        .name = "llama-3.1-8b-h100-tp2",
        .model = "meta-llama/Llama-3.1-8B-Instruct",
        .source = BLIS,
        .kind = PRESET_BATCH,
        .batch = { .cost = { .base_ps = 6910420480,
                             .per_prefill_token_ps = 17670575,
                             .per_seq_ps = 2837747,
                             .enqueue_ps = 1601350511,
                             .enqueue_per_token_ps = 3512476 },
                   .blocks_count = BLOCKS(2, 80, LLAMA8_WEIGHTS, LLAMA8_KV),
                   VLLM_LIMITS },
        .weights_bytes = LLAMA8_WEIGHTS,
    },
    {
        .name = "llama-3.1-8b-a100",
        .model = "meta-llama/Llama-3.1-8B-Instruct",
        .source = BLIS,
        .kind = PRESET_BATCH,
        .batch = { .cost = { .base_ps = 16441531547,
                             .per_prefill_token_ps = 47837412,
                             .per_seq_ps = 18205606,
                             .enqueue_ps = 7739733420,
                             .enqueue_per_token_ps = 2308927 },
                   .blocks_count = BLOCKS(1, 80, LLAMA8_WEIGHTS, LLAMA8_KV),
                   VLLM_LIMITS },
        .weights_bytes = LLAMA8_WEIGHTS,
    },
    {
        .name = "llama-3.3-70b-h100-tp4",
        .model = "meta-llama/Llama-3.3-70B-Instruct",
        .source = BLIS,
        .kind = PRESET_BATCH,
        .batch = { .cost = { .base_ps = 12601271149,
                             .per_prefill_token_ps = 76422841,
                             .per_seq_ps = 66843964,
                             .enqueue_ps = 2597317131,
                             .enqueue_per_token_ps = 9950913 },
                   .blocks_count = BLOCKS(4, 80, LLAMA70_WEIGHTS, LLAMA70_KV),
                   VLLM_LIMITS },
        .weights_bytes = LLAMA70_WEIGHTS,
    },
    {
        .name = "llama-3.1-8b-h100-roofline",
        .model = "meta-llama/Llama-3.1-8B-Instruct",
        .source = ROOFLINE,
        .kind = PRESET_BATCH,
        .batch = { .cost = { .base_ps = READ_PS(LLAMA8_WEIGHTS, 3350),
                             .per_ctx_token_ps = READ_PS(LLAMA8_KV, 3350),
                             .per_prefill_token_ps = TOKEN_PS(LLAMA8_WEIGHTS, 989) },
                   .blocks_count = BLOCKS(1, 80, LLAMA8_WEIGHTS, LLAMA8_KV),
                   VLLM_LIMITS },
        .weights_bytes = LLAMA8_WEIGHTS,
    },
    {
        .name = "llama-3.1-8b-l40s-roofline",
        .model = "meta-llama/Llama-3.1-8B-Instruct",
        .source = ROOFLINE,
        .kind = PRESET_BATCH,
        .batch = { .cost = { .base_ps = READ_PS(LLAMA8_WEIGHTS, 864),
                             .per_ctx_token_ps = READ_PS(LLAMA8_KV, 864),
                             .per_prefill_token_ps = TOKEN_PS(LLAMA8_WEIGHTS, 362) },
                   .blocks_count = BLOCKS(1, 48, LLAMA8_WEIGHTS, LLAMA8_KV),
                   VLLM_LIMITS },
        .weights_bytes = LLAMA8_WEIGHTS,
    },
};

#define PRESETS_COUNT (sizeof(presets) / sizeof(presets[0]))

const struct preset *preset_at(uint32_t index)
{
    return index < PRESETS_COUNT ? &presets[index] : NULL;
}

const struct preset *preset_find(struct weir_slice name)
{
    for (size_t i = 0; i < PRESETS_COUNT; i++) {
        if (strlen(presets[i].name) == name.len &&
            (name.len == 0 || memcmp(presets[i].name, name.ptr, name.len) == 0))
            return &presets[i];
    }
    return NULL;
}
