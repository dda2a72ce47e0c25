/* SPDX-License-Identifier: MIT */
/*
 * What vLLM shows of itself, in its names, labels and buckets, so that dashboards, routers and load
 * generators made for it work with the mock. Everything is measured.
 *
 * Each thread is what vLLM calls an engine: a replica with schedulers and caches of its own. The
 * first model of the configuration is shown from the start, on all threads; others are shown where
 * they have been used.
 */
#include "mock/control/metrics.h"

#include <string.h>

/* What is shown of one model on one thread. */
struct metrics_pair {
    uint32_t thread, model;
    const struct snapshot_replica *replica;
};

struct metrics_vllm {
    const struct exposition *out;
    const struct snapshot *snapshot;
    struct text labels;
};

/* The model that is always shown. */
static uint32_t metrics_served_model(const struct snapshot *snapshot)
{
    return snapshot_models_count(snapshot) == 0 ? STATS_MODEL_UNKNOWN : 0;
}

/* Empty for what is none of the configuration's models, which all have a name. */
static struct weir_slice metrics_model_name(const struct snapshot *snapshot, uint32_t model)
{
    if (model >= snapshot_models_count(snapshot))
        return WEIR_TEXT("");
    const char *id = snapshot->config->models[model].id;
    return (struct weir_slice){ (const uint8_t *)id, strlen(id) };
}

/* Indices of pairs: one for each thread with the served model, then one for each replica. */
static uint32_t metrics_pairs_count(const struct snapshot *snapshot)
{
    return snapshot->threads + snapshot->replicas_count;
}

/* @return false: there is nothing to be shown at this index */
static bool metrics_get_pair(struct metrics_pair *out, const struct snapshot *snapshot,
                             uint32_t index)
{
    uint32_t served = metrics_served_model(snapshot);
    if (index < snapshot->threads) {
        *out = (struct metrics_pair){ index, served, snapshot_replica(snapshot, index, served) };
        return true;
    }
    const struct snapshot_replica *replica = &snapshot->replicas[index - snapshot->threads];
    *out = (struct metrics_pair){ replica->thread, replica->model, replica };
    /* One that is in the configuration no more would have the name of those that never were. */
    bool is_gone =
        replica->model != STATS_MODEL_UNKNOWN && replica->model >= snapshot_models_count(snapshot);
    return replica->model != served && !is_gone;
}

static struct weir_slice metrics_labels(struct metrics_vllm *vllm, const struct metrics_pair *pair)
{
    vllm->labels.len = 0;
    exposition_label(&vllm->labels, "model_name", metrics_model_name(vllm->snapshot, pair->model));
    exposition_label_number(&vllm->labels, "engine", pair->thread);
    return text_slice(&vllm->labels);
}

/* ---- The batch engine -------------------------------------------------------------------- */

typedef uint64_t metrics_engine_count(const struct model_engine_stats *stats);

static uint64_t metrics_preemptions(const struct model_engine_stats *stats)
{
    return stats->num_preemptions_total;
}

static uint64_t metrics_cache_queries(const struct model_engine_stats *stats)
{
    return stats->prefix_cache_queries_total;
}

static uint64_t metrics_cache_hits(const struct model_engine_stats *stats)
{
    return stats->prefix_cache_hits_total;
}

static void metrics_engine_counter(struct metrics_vllm *vllm, const char *name,
                                   metrics_engine_count *count, const char *help)
{
    exposition_family(vllm->out, name, EXPOSITION_COUNTER, help);
    struct metrics_pair pair;
    for (uint32_t i = 0; i < metrics_pairs_count(vllm->snapshot); i++)
        if (metrics_get_pair(&pair, vllm->snapshot, i))
            exposition_count(vllm->out, name, metrics_labels(vllm, &pair),
                             count(&pair.replica->batch));
}

static void metrics_cache_config(struct metrics_vllm *vllm)
{
    const struct config *config = vllm->snapshot->config;
    if (config == NULL || config->engine.kind != CONFIG_ENGINE_BATCH)
        return;
    const char *name = "vllm:cache_config_info";
    exposition_family(vllm->out, name, EXPOSITION_GAUGE, "How the KV cache is configured.");
    for (uint32_t i = 0; i < vllm->snapshot->threads; i++) {
        struct text *labels = &vllm->labels;
        labels->len = 0;
        exposition_label_number(labels, "block_size", config->engine.batch.block_tokens);
        exposition_label_number(labels, "num_gpu_blocks", config->engine.batch.blocks_count);
        exposition_label(labels, "enable_prefix_caching",
                         config->engine.batch.prefix_cache ? WEIR_TEXT("True")
                                                           : WEIR_TEXT("False"));
        exposition_label_number(labels, "engine", i);
        exposition_count(vllm->out, name, text_slice(labels), 1);
    }
}

static void metrics_engines(struct metrics_vllm *vllm)
{
    const char *name = "vllm:kv_cache_usage_perc";
    exposition_family(vllm->out, name, EXPOSITION_GAUGE,
                      "Share of the KV cache's blocks in use. 1 means 100 percent.");
    struct metrics_pair pair;
    for (uint32_t i = 0; i < metrics_pairs_count(vllm->snapshot); i++)
        if (metrics_get_pair(&pair, vllm->snapshot, i))
            exposition_number(vllm->out, name, metrics_labels(vllm, &pair),
                              pair.replica->batch.kv_cache_usage_perc);
    metrics_engine_counter(vllm, "vllm:num_preemptions_total", metrics_preemptions,
                           "Sequences that lost their blocks to others.");
    metrics_engine_counter(vllm, "vllm:prefix_cache_queries_total", metrics_cache_queries,
                           "Tokens of prompts that were looked up in the prefix cache.");
    metrics_engine_counter(vllm, "vllm:prefix_cache_hits_total", metrics_cache_hits,
                           "Those of them that were found there.");
    metrics_cache_config(vllm);
}

/* ---- Adapters ---------------------------------------------------------------------------- */

static bool metrics_is_running(const struct snapshot *snapshot, uint32_t model)
{
    return snapshot->stats.models[model].places[STATS_RUNNING] != 0;
}

static bool metrics_is_waiting(const struct snapshot *snapshot, uint32_t model)
{
    bool is_loading = model < snapshot->residency.models_count &&
                      residency_state(&snapshot->residency, model) == RESIDENCY_LOADING;
    return is_loading || snapshot->stats.models[model].places[STATS_WAITING] != 0;
}

/* Names with commas between them. */
static void metrics_adapters(struct metrics_vllm *vllm, const char *name,
                             bool (*is_one)(const struct snapshot *, uint32_t))
{
    struct text list = { 0 };
    for (uint32_t i = 0; i < snapshot_models_count(vllm->snapshot); i++) {
        if (!is_one(vllm->snapshot, i))
            continue;
        if (list.len != 0)
            text_put(&list, ",");
        text_put(&list, vllm->snapshot->config->models[i].id);
    }
    if (list.failed)
        vllm->labels.failed = true;
    exposition_label(&vllm->labels, name, text_slice(&list));
    text_free(&list);
}

/* Models that share a machine are to routers what adapters are that share an engine. */
static void metrics_lora(struct metrics_vllm *vllm)
{
    if (snapshot_models_count(vllm->snapshot) == 0)
        return;
    const char *name = "vllm:lora_requests_info";
    exposition_family(vllm->out, name, EXPOSITION_GAUGE,
                      "Models that have requests; the value is the time.");
    vllm->labels.len = 0;
    exposition_label_number(&vllm->labels, "max_lora", snapshot_models_count(vllm->snapshot));
    metrics_adapters(vllm, "waiting_lora_adapters", metrics_is_waiting);
    metrics_adapters(vllm, "running_lora_adapters", metrics_is_running);
    exposition_count(vllm->out, name, text_slice(&vllm->labels), (uint64_t)vllm->snapshot->unix_s);
}

/* ---- Requests and tokens ----------------------------------------------------------------- */

static void metrics_places(struct metrics_vllm *vllm, const char *name, enum stats_place place,
                           const char *help)
{
    exposition_family(vllm->out, name, EXPOSITION_GAUGE, help);
    struct metrics_pair pair;
    for (uint32_t i = 0; i < metrics_pairs_count(vllm->snapshot); i++)
        if (metrics_get_pair(&pair, vllm->snapshot, i))
            exposition_count(vllm->out, name, metrics_labels(vllm, &pair),
                             pair.replica->counts.places[place]);
}

static void metrics_tokens(struct metrics_vllm *vllm, const char *name, bool is_output,
                           const char *help)
{
    exposition_family(vllm->out, name, EXPOSITION_COUNTER, help);
    struct metrics_pair pair;
    for (uint32_t i = 0; i < metrics_pairs_count(vllm->snapshot); i++)
        if (metrics_get_pair(&pair, vllm->snapshot, i))
            exposition_count(vllm->out, name, metrics_labels(vllm, &pair),
                             is_output ? pair.replica->counts.output_tokens
                                       : pair.replica->counts.prompt_tokens);
}

static void metrics_successes(struct metrics_vllm *vllm)
{
    const char *name = "vllm:request_success_total";
    exposition_family(vllm->out, name, EXPOSITION_COUNTER, "Requests that ended, by the reason.");
    struct metrics_pair pair;
    for (uint32_t i = 0; i < metrics_pairs_count(vllm->snapshot); i++) {
        if (!metrics_get_pair(&pair, vllm->snapshot, i))
            continue;
        for (int f = 0; f < STATS_FINISH_COUNT; f++) {
            (void)metrics_labels(vllm, &pair);
            const char *reason = stats_finish_name((enum stats_finish)f);
            exposition_label(&vllm->labels, "finished_reason",
                             (struct weir_slice){ (const uint8_t *)reason, strlen(reason) });
            exposition_count(vllm->out, name, text_slice(&vllm->labels),
                             pair.replica->counts.finished[f]);
        }
    }
}

static void metrics_measure(struct metrics_vllm *vllm, const char *name, enum stats_measure measure,
                            const char *help)
{
    exposition_family(vllm->out, name, EXPOSITION_HISTOGRAM, help);
    struct metrics_pair pair;
    for (uint32_t i = 0; i < metrics_pairs_count(vllm->snapshot); i++)
        if (metrics_get_pair(&pair, vllm->snapshot, i))
            exposition_buckets(vllm->out, name, metrics_labels(vllm, &pair),
                               &pair.replica->counts.buckets[measure], stats_scale(measure));
}

static void metrics_measures(struct metrics_vllm *vllm)
{
    static const struct {
        const char *name;
        enum stats_measure measure;
        const char *help;
    } list[] = {
        { "vllm:time_to_first_token_seconds", STATS_TTFT, "From arrival to the first token." },
        { "vllm:inter_token_latency_seconds", STATS_ITL, "Each gap between two tokens." },
        { "vllm:time_per_output_token_seconds", STATS_ITL,
          "The same, by the name that older releases have for it." },
        { "vllm:request_time_per_output_token_seconds", STATS_TPOT,
          "The mean gap of each request." },
        { "vllm:e2e_request_latency_seconds", STATS_E2E, "From arrival to the end." },
        { "vllm:request_queue_time_seconds", STATS_QUEUE, "From arrival to running." },
        { "vllm:request_inference_time_seconds", STATS_INFERENCE,
          "From running to the last token." },
        { "vllm:request_prefill_time_seconds", STATS_PREFILL, "From running to the first token." },
        { "vllm:request_decode_time_seconds", STATS_DECODE, "From the first token to the last." },
        { "vllm:request_prompt_tokens", STATS_PROMPT_TOKENS, "Tokens of each prompt." },
        { "vllm:request_generation_tokens", STATS_OUTPUT_TOKENS, "Tokens of each answer." },
        { "vllm:request_params_max_tokens", STATS_MAX_TOKENS, "max_tokens as asked for." },
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        metrics_measure(vllm, list[i].name, list[i].measure, list[i].help);
}

void metrics_write_vllm(const struct exposition *out, const struct snapshot *snapshot)
{
    struct metrics_vllm vllm = { .out = out, .snapshot = snapshot };
    metrics_places(&vllm, "vllm:num_requests_running", STATS_RUNNING,
                   "Requests that tokens are made for.");
    metrics_places(&vllm, "vllm:num_requests_waiting", STATS_WAITING,
                   "Requests that wait for their turn.");
    metrics_engines(&vllm);
    metrics_lora(&vllm);
    metrics_tokens(&vllm, "vllm:prompt_tokens_total", false, "Tokens of prompts.");
    metrics_tokens(&vllm, "vllm:generation_tokens_total", true, "Tokens of answers.");
    metrics_successes(&vllm);
    metrics_measures(&vllm);
    if (vllm.labels.failed)
        out->text->failed = true;
    text_free(&vllm.labels);
}
