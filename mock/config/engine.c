/* SPDX-License-Identifier: MIT */
#include "mock/config/engine.h"

#include <inttypes.h>
#include <stdio.h>

#define PRESETS_MAX 32
#define PS_PER_US   UINT64_C(1000000)
#define NS_PER_US   UINT64_C(1000)

/* Ranges of struct model_cost. */
#define BASE_PS_MAX    UINT64_C(1000000000000000)
#define SEQ_PS_MAX     UINT64_C(1000000000000)
#define CTX_PS_MAX     UINT64_C(10000000)
#define PREFILL_PS_MAX UINT64_C(100000000000)

/* Of struct model_engine_cfg and struct kv_cfg, as model_engine_open() and kv_open() check them. */
#define SEQS_MAX         4096
#define TOKENS_MAX       (1 << 24)
#define WAITING_MAX      (1 << 22)
#define BLOCKS_MAX       (1 << 24)
#define BLOCK_TOKENS_MAX (1 << 16)

/* No time at all, with the limits that vLLM's server has by default, and room for four of the
 * longest sequences. */
static const struct model_engine_cfg batch_default = {
    .max_num_seqs = 256,
    .max_num_batched_tokens = 2048,
    .max_model_len = 32768,
    .waiting_max = 16384,
    .blocks_count = 8192,
    .block_tokens = 16,
    .prefix_cache = true,
};

static void read_linear(const struct schema_node *engine, const struct pace_linear *preset,
                        struct pace_linear *out)
{
    struct schema_node node = schema_object(engine, "linear");
    const struct {
        const char *key;
        uint64_t *out;
        uint64_t fallback;
    } keys[] = {
        { "ttft_base_us", &out->ttft_base_ns, preset->ttft_base_ns },
        { "ttft_per_prompt_token_us", &out->ttft_per_prompt_token_ns,
          preset->ttft_per_prompt_token_ns },
        { "itl_base_us", &out->itl_base_ns, preset->itl_base_ns },
        { "itl_per_running_us", &out->itl_per_running_ns, preset->itl_per_running_ns },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        *keys[i].out =
            schema_scaled(&node, keys[i].key,
                          (struct schema_scale){ NS_PER_US, WEIR_DIST_NS_MAX, keys[i].fallback });
    schema_end(&node);
}

static void read_cost(const struct schema_node *node, const struct model_cost *preset,
                      struct model_cost *out)
{
    const struct {
        const char *key;
        uint64_t *out;
        uint64_t max, fallback;
    } keys[] = {
        { "base_us", &out->base_ps, BASE_PS_MAX, preset->base_ps },
        { "per_seq_us", &out->per_seq_ps, SEQ_PS_MAX, preset->per_seq_ps },
        { "per_ctx_token_us", &out->per_ctx_token_ps, CTX_PS_MAX, preset->per_ctx_token_ps },
        { "per_prefill_token_us", &out->per_prefill_token_ps, PREFILL_PS_MAX,
          preset->per_prefill_token_ps },
        { "enqueue_us", &out->enqueue_ps, BASE_PS_MAX, preset->enqueue_ps },
        { "enqueue_per_token_us", &out->enqueue_per_token_ps, PREFILL_PS_MAX,
          preset->enqueue_per_token_ps },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        *keys[i].out = schema_scaled(
            node, keys[i].key, (struct schema_scale){ PS_PER_US, keys[i].max, keys[i].fallback });
}

static void read_room(const struct schema_node *node, const struct model_engine_cfg *preset,
                      struct model_engine_cfg *out)
{
    const struct {
        const char *key;
        uint32_t *out;
        struct schema_range range;
    } keys[] = {
        { "max_num_seqs", &out->max_num_seqs, { 1, SEQS_MAX, preset->max_num_seqs } },
        { "max_num_batched_tokens",
          &out->max_num_batched_tokens,
          { 1, TOKENS_MAX, preset->max_num_batched_tokens } },
        { "max_model_len", &out->max_model_len, { 2, TOKENS_MAX, preset->max_model_len } },
        { "waiting_max", &out->waiting_max, { 0, WAITING_MAX, preset->waiting_max } },
        { "blocks", &out->blocks_count, { 1, BLOCKS_MAX, preset->blocks_count } },
        { "block_size", &out->block_tokens, { 1, BLOCK_TOKENS_MAX, preset->block_tokens } },
        { "watermark_blocks", &out->watermark_blocks, { 0, BLOCKS_MAX, preset->watermark_blocks } },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        *keys[i].out = (uint32_t)schema_integer(node, keys[i].key, keys[i].range);
    out->prefix_cache = schema_bool(node, "prefix_cache", preset->prefix_cache);
}

/* What must hold between two keys. */
static void check_room(const struct schema_node *node, const struct model_engine_cfg *cfg)
{
    uint64_t cache_tokens = (uint64_t)cfg->blocks_count * cfg->block_tokens;
    if (cfg->max_num_batched_tokens < cfg->max_num_seqs)
        schema_fail((struct schema_where){ .node = node, .key = "max_num_batched_tokens" },
                    "expected no less than max_num_seqs, which is %" PRIu32 ", got %" PRIu32,
                    cfg->max_num_seqs, cfg->max_num_batched_tokens);
    if (cfg->max_model_len > cache_tokens)
        schema_fail((struct schema_where){ .node = node, .key = "max_model_len" },
                    "expected no more than the cache has tokens, which is blocks times block_size "
                    "= %" PRIu64 ", got %" PRIu32,
                    cache_tokens, cfg->max_model_len);
    if (cfg->watermark_blocks >= cfg->blocks_count)
        schema_fail((struct schema_where){ .node = node, .key = "watermark_blocks" },
                    "expected less than blocks, which is %" PRIu32 ", got %" PRIu32,
                    cfg->blocks_count, cfg->watermark_blocks);
}

static void read_batch(const struct schema_node *engine, const struct model_engine_cfg *preset,
                       struct model_engine_cfg *out)
{
    struct schema_node node = schema_object(engine, "batch");
    read_cost(&node, &preset->cost, &out->cost);
    read_room(&node, preset, out);
    check_room(&node, out);
    schema_end(&node);
}

static const struct preset *read_preset(const struct schema_node *engine)
{
    const char *names[PRESETS_MAX];
    size_t count = 0;
    for (const struct preset *preset; count < PRESETS_MAX; count++) {
        preset = preset_at((uint32_t)count);
        if (preset == NULL)
            break;
        names[count] = preset->name;
    }
    int index = schema_choice(engine, "preset", (struct schema_names){ names, count, -1 });
    return index < 0 ? NULL : preset_at((uint32_t)index);
}

const struct preset *engine_read(const struct schema_node *root, struct config_engine *out)
{
    static const char *const kinds[] = { "fixed", "linear", "batch" };
    static const struct pace_linear linear_default;
    struct schema_node node = schema_object(root, "engine");
    const struct preset *preset = read_preset(&node);
    int kind = CONFIG_ENGINE_FIXED;
    if (preset != NULL)
        kind = preset->kind == PRESET_LINEAR  ? CONFIG_ENGINE_LINEAR
               : preset->kind == PRESET_BATCH ? CONFIG_ENGINE_BATCH
                                              : CONFIG_ENGINE_FIXED;
    kind = schema_choice(&node, "kind", (struct schema_names){ kinds, 3, kind });
    out->kind = (enum config_engine_kind)kind;
    snprintf(out->preset, sizeof out->preset, "%s", preset != NULL ? preset->name : "");
    bool linear = preset != NULL && preset->kind == PRESET_LINEAR;
    read_linear(&node, linear ? &preset->linear.pace : &linear_default, &out->linear);
    bool batch = preset != NULL && preset->kind == PRESET_BATCH;
    read_batch(&node, batch ? &preset->batch : &batch_default, &out->batch);
    schema_end(&node);
    return preset;
}
