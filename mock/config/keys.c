/* SPDX-License-Identifier: MIT */
#include "mock/config/keys.h"

#include "mock/config/engine.h"
#include "mock/config/latency.h"
#include "mock/config/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TOKENS_DEFAULT  100
#define MULTIPLIER_MAX  1000 /* times WEIR_DIST_NS_MAX still fits into 64 bits */
#define CONCURRENCY_MAX 1000000
#define QUEUE_MAX       INT64_C(1000000000)
#define RETRY_AFTER_MAX 86400
#define PER_MINUTE_MAX  INT64_C(1000000000000)
#define SATURATION_US   1000
#define NS_PER_US       1000
_Static_assert(LATENCY_TOKENS_MAX == CONFIG_TOKENS_MAX, "a draw is as good as a number");

/* The models of a mock that was told of none. */
static const struct {
    const char *id, *name;
} models_default[] = {
    { "bitnet-7b", "BitNet b1.58 7B" },
    { "llama-13b", "Llama 13B" },
};

static json_t *models_default_json(void)
{
    return json_pack("[{s:s,s:s},{s:s,s:s}]", "id", models_default[0].id, "name",
                     models_default[0].name, "id", models_default[1].id, "name",
                     models_default[1].name);
}

static void read_model(const struct schema_node *node, struct config *config)
{
    struct config_model *model = &config->models[config->models_count];
    schema_name(node, "id", model->id, NULL);
    struct weir_slice id = { .ptr = (const uint8_t *)model->id, .len = strlen(model->id) };
    if (node->schema->result == 0 && config_find_model(config, id) >= 0)
        schema_fail((struct schema_where){ .node = node, .key = "id" },
                    "another model has the id \"%s\"", model->id);
    config->models_count++;
    schema_name(node, "name", model->name, model->id);
    model->memory_bytes = (uint64_t)schema_integer(
        node, "memory_bytes", (struct schema_range){ 0, (int64_t)RESIDENCY_BYTES_MAX, 0 });
    model->load = schema_latency(node, "load", NULL);
    model->unload = schema_latency(node, "unload", NULL);
    model->loaded = schema_bool(node, "loaded", false);
    model->pinned = schema_bool(node, "pinned", false);
    schema_end(node);
}

static void read_models(const struct schema_node *root, struct config *config)
{
    struct schema_node models = schema_array(root, "models", CONFIG_MODELS_MAX);
    json_t *fallback = NULL;
    if (models.given == NULL)
        models.given = fallback = models_default_json();
    if (models.given == NULL)
        schema_fail_memory(&models);
    else if (json_array_size(models.given) == 0)
        schema_fail((struct schema_where){ .node = &models },
                    "expected at least one model, got none");
    for (size_t i = 0; i < json_array_size(models.given) && root->schema->result == 0; i++) {
        struct schema_node node = schema_element(&models, i);
        read_model(&node, config);
    }
    json_decref(fallback);
}

static void read_memory(const struct schema_node *root, struct config *config)
{
    static const char *const overflows[] = { "refuse", "evict" };
    struct schema_node node = schema_object(root, "memory");
    config->memory.capacity_bytes = (uint64_t)schema_integer(
        &node, "capacity_bytes", (struct schema_range){ 0, (int64_t)RESIDENCY_BYTES_MAX, 0 });
    config->memory.overflow = (enum residency_overflow)schema_choice(
        &node, "overflow", (struct schema_names){ overflows, 2, RESIDENCY_REFUSE });
    uint64_t loaded = 0;
    for (uint32_t i = 0; i < config->models_count; i++)
        loaded += config->models[i].loaded ? config->models[i].memory_bytes : 0;
    if (config->memory.capacity_bytes != 0 && loaded > config->memory.capacity_bytes)
        schema_fail((struct schema_where){ .node = &node, .key = "capacity_bytes" },
                    "expected no less than what the models take that are loaded from the "
                    "beginning, which is %" PRIu64 ", got %" PRIu64,
                    loaded, config->memory.capacity_bytes);
    schema_end(&node);
}

static void read_multipliers(const struct schema_node *latency, double *out)
{
    static const struct {
        const char *key;
        double fallback;
    } keys[] = {
        [CONFIG_LIST] = { "list", 1 },     [CONFIG_LOAD] = { "load", 10 },
        [CONFIG_UNLOAD] = { "unload", 1 }, [CONFIG_INFER] = { "infer", 2 },
        [CONFIG_HEALTH] = { "health", 0 },
    };
    _Static_assert(sizeof keys / sizeof keys[0] == CONFIG_OPERATION_COUNT, "one each");
    struct schema_node node = schema_object(latency, "multiplier");
    for (int i = 0; i < CONFIG_OPERATION_COUNT; i++)
        out[i] = schema_real(&node, keys[i].key, MULTIPLIER_MAX, keys[i].fallback);
    schema_end(&node);
}

/* A preset's normal distribution as text. One without a spread needs no distribution. */
static const char *preset_text(char out[80], uint64_t mean_ns, uint64_t stddev_ns)
{
    if (stddev_ns == 0)
        snprintf(out, 80, "%" PRIu64 "us", mean_ns / NS_PER_US);
    else
        snprintf(out, 80, "normal:mean=%" PRIu64 "us,stddev=%" PRIu64 "us", mean_ns / NS_PER_US,
                 stddev_ns / NS_PER_US);
    return out;
}

static void read_latency(const struct schema_node *root, const struct preset *preset,
                         struct config_latency *out)
{
    char ttft[80], itl[80];
    const struct preset_fixed *fixed =
        preset != NULL && preset->kind == PRESET_FIXED ? &preset->fixed : NULL;
    struct schema_node node = schema_object(root, "latency");
    out->delay = schema_latency(&node, "delay", "0");
    read_multipliers(&node, out->multiplier);
    out->ttft = schema_latency(
        &node, "ttft",
        fixed != NULL ? preset_text(ttft, fixed->ttft_mean_ns, fixed->ttft_stddev_ns) : NULL);
    out->itl = schema_latency(
        &node, "itl",
        fixed != NULL ? preset_text(itl, fixed->itl_mean_ns, fixed->itl_stddev_ns) : "0");
    out->prefill = schema_latency(&node, "prefill", NULL);
    schema_end(&node);
}

static void read_limits(const struct schema_node *root, struct config_limits *out)
{
    static const char *const presets[] = { "vllm" };
    static const char *const overflows[] = { "wait", "429", "503" };
    static const char *const orders[] = { "fifo", "lifo" };
    struct schema_node node = schema_object(root, "limits");
    bool vllm = schema_choice(&node, "preset", (struct schema_names){ presets, 1, -1 }) == 0;
    struct limiter_limits *slots = &out->concurrency;
    slots->max = (uint32_t)schema_integer(
        &node, "max_concurrency", (struct schema_range){ 0, CONCURRENCY_MAX, vllm ? 5 : 100 });
    slots->queue_depth = schema_integer(&node, "queue_depth",
                                        (struct schema_range){ -1, QUEUE_MAX, vllm ? 1000 : -1 });
    slots->queue_timeout_ns = schema_us(&node, "queue_timeout_us", 0);
    slots->overflow = (enum limiter_overflow)schema_choice(
        &node, "overflow",
        (struct schema_names){ overflows, 3, vllm ? LIMITER_429 : LIMITER_WAIT });
    slots->order = (enum limiter_order)schema_choice(
        &node, "order", (struct schema_names){ orders, 2, LIMITER_FIFO });
    out->retry_after_s = (uint32_t)schema_integer(&node, "retry_after_s",
                                                  (struct schema_range){ 0, RETRY_AFTER_MAX, 1 });
    out->requests_per_minute =
        (uint64_t)schema_integer(&node, "rpm", (struct schema_range){ 0, PER_MINUTE_MAX, 0 });
    out->tokens_per_minute =
        (uint64_t)schema_integer(&node, "tpm", (struct schema_range){ 0, PER_MINUTE_MAX, 0 });
    schema_end(&node);
}

static void read_saturation(const struct schema_node *root, struct config_saturation *out)
{
    struct schema_node node = schema_object(root, "saturation");
    out->schedule_error_ns = schema_us(&node, "schedule_error_us", SATURATION_US);
    out->loop_lag_ns = schema_us(&node, "loop_lag_us", SATURATION_US);
    schema_end(&node);
}

void keys_read(const struct schema_node *root, struct config *config, const struct config *before)
{
    config->seed = (uint64_t)schema_integer(root, "seed", (struct schema_range){ 0, INT64_MAX, 0 });
    config->strict_models = schema_bool(root, "strict_models", false);
    config->require_loaded = schema_bool(root, "require_loaded", false);
    config->overrides = schema_bool(root, "overrides", false);
    config->half_close = schema_bool(root, "half_close", false);
    config->startup_ns = schema_us(root, "startup_us", 0);
    config->tokens = (uint32_t)schema_integer(
        root, "tokens", (struct schema_range){ 1, CONFIG_TOKENS_MAX, TOKENS_DEFAULT });
    config->output_tokens = schema_tokens(root, "output_tokens");
    read_models(root, config);
    read_memory(root, config);
    const struct preset *preset = engine_read(root, &config->engine);
    read_latency(root, preset, &config->latency);
    read_limits(root, &config->limits);
    rules_read(root, config, before);
    read_saturation(root, &config->saturation);
    schema_end(root);
}
