/* SPDX-License-Identifier: MIT */
#include "mock/model/models.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the listing says of every model; no request is measured by it. */
#define CONTEXT_WINDOW    4096U
#define OUTPUT_TOKENS_MAX 2048U
#define TYPE              "text-generation"

/* Models that are not what their weights were. */
static const struct models_quantization {
    const char *id, *name;
} quantizations[] = {
    { "bitnet-7b", "b1.58" },
};

static struct weir_slice slice_of(const char *string)
{
    return (struct weir_slice){ (const uint8_t *)string, strlen(string) };
}

static bool id_is(const struct models_entry *entry, struct weir_slice id)
{
    return strlen(entry->id) == id.len && memcmp(entry->id, id.ptr, id.len) == 0;
}

/* ---- The configuration ------------------------------------------------------------------- */

/* How long an eviction takes: what an unloading takes on the average, since it is one of many
 * models that nobody asked for. */
static uint64_t eviction_ns(const struct config *config, const struct config_model *model)
{
    double mean = model->unload != NULL ? weir_dist_mean_ns(model->unload)
                                        : weir_dist_mean_ns(config->latency.delay) *
                                              config->latency.multiplier[CONFIG_UNLOAD];
    return mean < (double)WEIR_DIST_NS_MAX ? (uint64_t)(mean + 0.5) : WEIR_DIST_NS_MAX;
}

static int open_residency(struct residency *out, const struct config *config)
{
    struct residency_model models[CONFIG_MODELS_MAX] = { 0 };
    for (uint32_t i = 0; i < config->models_count; i++)
        models[i] = (struct residency_model){
            .memory_bytes = config->models[i].memory_bytes,
            .unload_ns = eviction_ns(config, &config->models[i]),
            .pinned = config->models[i].pinned,
            .loaded = config->models[i].loaded,
        };
    return residency_open(out, &config->memory, models, config->models_count);
}

static int find_entry(const struct models *models, struct weir_slice id)
{
    for (int i = 0; i < MODELS_NUMBERS_MAX && id.len > 0; i++)
        if (id_is(&models->entries[i], id))
            return i;
    return MODEL_UNKNOWN;
}

/* A number for each model of `config`: the one it has or had, else one that is nobody's. */
struct models_plan {
    uint16_t numbers[CONFIG_MODELS_MAX];
    bool known[CONFIG_MODELS_MAX]; /* had its number before */
    bool taken[MODELS_NUMBERS_MAX];
    uint32_t numbers_next;
};

static int plan_numbers(struct models_plan *plan, const struct models *models,
                        const struct config *config)
{
    *plan = (struct models_plan){ .numbers_next = models->numbers_next };
    for (uint32_t i = 0; i < config->models_count; i++) {
        int number = find_entry(models, slice_of(config->models[i].id));
        if (number == MODEL_UNKNOWN)
            continue;
        plan->numbers[i] = (uint16_t)number;
        plan->known[i] = plan->taken[number] = true;
    }
    for (uint32_t i = 0; i < config->models_count; i++) {
        if (plan->known[i])
            continue;
        uint32_t tries = 0, number = plan->numbers_next;
        while (plan->taken[number] || models->entries[number].id[0] != '\0') {
            if (++tries == MODELS_NUMBERS_MAX)
                return -ENOSPC;
            number = (number + 1) % MODELS_NUMBERS_MAX;
        }
        plan->numbers[i] = (uint16_t)number;
        plan->taken[number] = true;
        plan->numbers_next = (number + 1) % MODELS_NUMBERS_MAX;
    }
    return 0;
}

static void copy_name(char out[CONFIG_NAME_BYTES], const char *name)
{
    size_t len = strnlen(name, CONFIG_NAME_BYTES - 1);
    memcpy(out, name, len);
    out[len] = 0;
}

/* What others see of an id is made once and kept: they have no lock. Without memory it has none. */
static void enter_label(struct models *models, struct models_entry *entry)
{
    struct models_label *label = calloc(1, sizeof *label);
    if (label != NULL) {
        memcpy(label->id, entry->id, sizeof label->id);
        label->next = models->labels;
        models->labels = label;
    }
    atomic_store_explicit(&entry->label, label, memory_order_release);
}

/* Enter the models of `config` under their numbers. @return bit i: model i was configured before,
 * and `fresh`, which becomes the present, has taken over its state */
static uint64_t enter_models(struct models *models, const struct config *config,
                             const struct models_plan *plan, struct residency *fresh)
{
    uint64_t stayed = 0;
    for (uint32_t i = 0; i < config->models_count; i++) {
        struct models_entry *entry = &models->entries[plan->numbers[i]];
        struct residency_model *to = &fresh->models[i];
        if (plan->known[i] && entry->configured) {
            const struct residency_model *from = &models->residency.models[entry->index];
            to->state = from->state;
            to->begin_ns = from->begin_ns;
            to->end_ns = from->end_ns;
            to->used_ns = from->used_ns;
            stayed |= UINT64_C(1) << i;
        }
        to->uses_count = plan->known[i] ? entry->uses_count : 0;
    }
    for (int i = 0; i < MODELS_NUMBERS_MAX; i++)
        models->entries[i].configured = false;
    for (uint32_t i = 0; i < config->models_count; i++) {
        struct models_entry *entry = &models->entries[plan->numbers[i]];
        if (!plan->known[i]) {
            copy_name(entry->id, config->models[i].id);
            enter_label(models, entry);
        }
        copy_name(entry->name, config->models[i].name);
        entry->configured = true;
        entry->index = (uint8_t)i;
        models->numbers[i] = plan->numbers[i];
    }
    fresh->stats = models->residency.stats;
    models->residency = *fresh;
    models->numbers_next = plan->numbers_next;
    models->list_until_ns = 0;
    return stayed;
}

/* ---- Life -------------------------------------------------------------------------------- */

int models_open(struct models *models, const struct config *config)
{
    *models = (struct models){ 0 };
    struct residency fresh;
    struct models_plan plan;
    int err = open_residency(&fresh, config);
    if (err == 0)
        err = plan_numbers(&plan, models, config);
    if (err == 0)
        err = -pthread_mutex_init(&models->lock, NULL);
    if (err == 0)
        enter_models(models, config, &plan, &fresh);
    return err;
}

void models_close(struct models *models)
{
    text_free(&models->list);
    while (models->labels != NULL) {
        struct models_label *label = models->labels;
        models->labels = label->next;
        free(label);
    }
    pthread_mutex_destroy(&models->lock);
}

/* Take the lock. @return the time that it is for all threads */
static uint64_t models_lock(struct models *models, uint64_t now_ns)
{
    pthread_mutex_lock(&models->lock);
    if (models->now_ns < now_ns)
        models->now_ns = now_ns;
    return models->now_ns;
}

static void models_unlock(struct models *models)
{
    pthread_mutex_unlock(&models->lock);
}

int models_reconfigure(struct models *models, const struct config *config, uint64_t now_ns)
{
    struct residency fresh;
    int err = open_residency(&fresh, config);
    if (err < 0)
        return err;
    struct models_plan plan;
    now_ns = models_lock(models, now_ns);
    residency_advance(&models->residency, now_ns);
    err = plan_numbers(&plan, models, config);
    if (err == 0) {
        uint64_t stayed = enter_models(models, config, &plan, &fresh);
        struct residency *residency = &models->residency;
        /* All of them first: they wait for memory that they must not take from each other. */
        for (uint32_t i = 0; i < config->models_count; i++)
            if ((stayed >> i & 1) == 0)
                residency->models[i].state = RESIDENCY_UNLOADED;
        for (uint32_t i = 0; i < config->models_count; i++)
            if ((stayed >> i & 1) == 0 && config->models[i].loaded)
                residency_load(residency, i, now_ns, 0);
    }
    models_unlock(models);
    return err;
}

void models_reset(struct models *models)
{
    models_lock(models, 0);
    struct residency *residency = &models->residency;
    for (uint32_t i = 0; i < residency->models_count; i++) {
        struct residency_model before = residency->models[i];
        residency->models[i] = (struct residency_model){
            .memory_bytes = before.memory_bytes,
            .unload_ns = before.unload_ns,
            .pinned = before.pinned,
            .loaded = before.loaded,
            .state = before.loaded ? RESIDENCY_LOADED : RESIDENCY_UNLOADED,
            .uses_count = before.uses_count,
        };
    }
    residency->stats = (struct residency_stats){ 0 };
    models->list_until_ns = 0;
    models_unlock(models);
}

/* ---- Names ------------------------------------------------------------------------------- */

/* Of a model that is configured. */
static int find_number(const struct models *models, struct weir_slice id)
{
    for (uint32_t i = 0; i < models->residency.models_count; i++)
        if (id_is(&models->entries[models->numbers[i]], id))
            return models->numbers[i];
    return MODEL_UNKNOWN;
}

int models_find(struct models *models, struct weir_slice id)
{
    models_lock(models, 0);
    int number = find_number(models, id);
    models_unlock(models);
    return number;
}

int models_number(struct models *models, const struct config *config, int index)
{
    if (index < 0 || (uint32_t)index >= config->models_count)
        return MODEL_UNKNOWN;
    struct weir_slice id = slice_of(config->models[index].id);
    models_lock(models, 0);
    /* Almost always it is the present configuration, or one with the same models. */
    int number = models->numbers[index];
    if ((uint32_t)index >= models->residency.models_count || !id_is(&models->entries[number], id))
        number = find_number(models, id);
    models_unlock(models);
    return number;
}

const char *models_state_name(enum residency_state state)
{
    static const char *const names[] = {
        [RESIDENCY_UNLOADED] = "unloaded",
        [RESIDENCY_LOADING] = "loading",
        [RESIDENCY_LOADED] = "loaded",
        [RESIDENCY_UNLOADING] = "unloading",
    };
    _Static_assert(sizeof(names) / sizeof(names[0]) == RESIDENCY_STATE_COUNT, "one name each");
    return names[state];
}

/* ---- Transitions ------------------------------------------------------------------------- */

static struct models_entry *configured(struct models *models, int model)
{
    if (model < 0 || model >= MODELS_NUMBERS_MAX || !models->entries[model].configured)
        return NULL;
    return &models->entries[model];
}

/* A model that nothing is known of: it needs no memory, and is forgotten. */
static struct residency_answer answer_unknown(uint64_t now_ns, uint64_t duration_ns)
{
    uint64_t left = UINT64_MAX - now_ns;
    return (struct residency_answer){
        .verdict = duration_ns == 0 ? RESIDENCY_DONE : RESIDENCY_ACCEPTED,
        .ready_ns = now_ns + (duration_ns < left ? duration_ns : left),
    };
}

struct residency_answer models_load(struct models *models, int model, uint64_t now_ns,
                                    uint64_t load_ns)
{
    if (model == MODEL_UNKNOWN)
        return answer_unknown(now_ns, load_ns);
    struct residency_answer answer = { .verdict = RESIDENCY_ABSENT };
    now_ns = models_lock(models, now_ns);
    const struct models_entry *entry = configured(models, model);
    if (entry != NULL)
        answer = residency_load(&models->residency, entry->index, now_ns, load_ns);
    models->list_until_ns = 0;
    models_unlock(models);
    return answer;
}

struct residency_answer models_unload(struct models *models, int model, uint64_t now_ns,
                                      uint64_t unload_ns)
{
    if (model == MODEL_UNKNOWN)
        return answer_unknown(now_ns, unload_ns);
    struct residency_answer answer = { .verdict = RESIDENCY_ABSENT };
    now_ns = models_lock(models, now_ns);
    const struct models_entry *entry = configured(models, model);
    if (entry != NULL)
        answer = residency_unload(&models->residency, entry->index, now_ns, unload_ns);
    models->list_until_ns = 0;
    models_unlock(models);
    return answer;
}

struct residency_answer models_use(struct models *models, int model, uint64_t now_ns)
{
    struct residency_answer answer = { .verdict = RESIDENCY_ABSENT };
    now_ns = models_lock(models, now_ns);
    struct models_entry *entry = configured(models, model);
    if (entry != NULL)
        answer = residency_use(&models->residency, entry->index, now_ns);
    if (answer.verdict == RESIDENCY_DONE)
        entry->uses_count++;
    models_unlock(models);
    return answer;
}

void models_release(struct models *models, int model, uint64_t now_ns)
{
    if (model < 0 || model >= MODELS_NUMBERS_MAX)
        return;
    now_ns = models_lock(models, now_ns);
    models->entries[model].uses_count--;
    const struct models_entry *entry = configured(models, model);
    if (entry != NULL)
        residency_release(&models->residency, entry->index, now_ns);
    models_unlock(models);
}

uint64_t models_advance(struct models *models, uint64_t now_ns)
{
    now_ns = models_lock(models, now_ns);
    uint64_t next_ns = residency_advance(&models->residency, now_ns);
    models_unlock(models);
    return next_ns;
}

enum residency_state models_state(struct models *models, int model, uint64_t now_ns)
{
    enum residency_state state = RESIDENCY_UNLOADED;
    now_ns = models_lock(models, now_ns);
    residency_advance(&models->residency, now_ns);
    const struct models_entry *entry = configured(models, model);
    if (entry != NULL)
        state = residency_state(&models->residency, entry->index);
    models_unlock(models);
    return state;
}

/* ---- Listing ----------------------------------------------------------------------------- */

static const char *quantization_of(const char *id)
{
    for (size_t i = 0; i < sizeof quantizations / sizeof quantizations[0]; i++)
        if (strcmp(quantizations[i].id, id) == 0)
            return quantizations[i].name;
    return "none";
}

static void write_list(struct text *text, const struct models *models)
{
    text_put(text, "[");
    for (uint32_t i = 0; i < models->residency.models_count; i++) {
        const struct models_entry *entry = &models->entries[models->numbers[i]];
        text_put(text, i == 0 ? "{\"id\":" : ",{\"id\":");
        text_json(text, slice_of(entry->id));
        text_put(text, ",\"name\":");
        text_json(text, slice_of(entry->name));
        text_printf(text,
                    ",\"context_window\":%u,\"max_output_tokens\":%u,\"type\":\"" TYPE
                    "\",\"quantization\":\"%s\",\"status\":\"%s\"}",
                    CONTEXT_WINDOW, OUTPUT_TOKENS_MAX, quantization_of(entry->id),
                    models_state_name(residency_state(&models->residency, i)));
    }
    text_put(text, "]");
}

int models_list(struct models *models, uint64_t now_ns, struct text *out)
{
    now_ns = models_lock(models, now_ns);
    struct text *list = &models->list;
    if (now_ns >= models->list_until_ns) {
        models->list_until_ns = residency_advance(&models->residency, now_ns);
        list->len = 0;
        write_list(list, models);
    }
    bool complete = !list->failed;
    if (complete) {
        text_add(out, list->ptr, list->len);
    } else {
        text_free(list);
        models->list_until_ns = 0;
    }
    models_unlock(models);
    return complete && !out->failed ? 0 : -ENOMEM;
}

void models_view(struct models_view *out, struct models *models, uint64_t now_ns)
{
    now_ns = models_lock(models, now_ns);
    const struct residency *residency = &models->residency;
    residency_advance(&models->residency, now_ns);
    *out = (struct models_view){
        .entries_count = residency->models_count,
        .used_bytes = residency_used_bytes(residency, now_ns),
        .capacity_bytes = residency->cfg.capacity_bytes,
        .stats = residency->stats,
    };
    for (uint32_t i = 0; i < residency->models_count; i++) {
        const struct models_entry *entry = &models->entries[models->numbers[i]];
        const struct residency_model *model = &residency->models[i];
        struct models_view_entry *to = &out->entries[i];
        memcpy(to->id, entry->id, sizeof to->id);
        to->state = model->state;
        to->memory_bytes = model->memory_bytes;
        to->uses_count = model->uses_count;
        out->loaded_count += model->state == RESIDENCY_LOADED;
    }
    models_unlock(models);
}

const char *models_name(const struct models *models, int model)
{
    if (model < 0 || model >= MODELS_NUMBERS_MAX)
        return NULL;
    const struct models_label *label =
        atomic_load_explicit(&models->entries[model].label, memory_order_acquire);
    return label != NULL ? label->id : NULL;
}

void models_names(struct models_names *out, const struct models *models)
{
    out->count = MODELS_NUMBERS_MAX;
    for (int i = 0; i < MODELS_NUMBERS_MAX; i++) {
        const char *name = models_name(models, i);
        out->names[i] = name != NULL ? name : "";
    }
}

void models_residency(struct residency *out, struct models *models, uint64_t now_ns)
{
    (void)models_advance(models, now_ns);
    pthread_mutex_lock(&models->lock);
    *out = models->residency;
    pthread_mutex_unlock(&models->lock);
}
