/* SPDX-License-Identifier: MIT */
#include "mock/models.h"

#include "mock/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct model {
    const char *id, *name, *type, *quantization;
    unsigned context_window, max_output_tokens;
};

static const struct model model_table[] = {
    {
        .id = "bitnet-7b",
        .name = "BitNet b1.58 7B",
        .type = "text-generation",
        .quantization = "b1.58",
        .context_window = 4096,
        .max_output_tokens = 2048,
    },
    {
        .id = "llama-13b",
        .name = "Llama 13B",
        .type = "text-generation",
        .quantization = "none",
        .context_window = 4096,
        .max_output_tokens = 2048,
    },
};
_Static_assert(sizeof model_table / sizeof model_table[0] == MODELS_COUNT, "one bit each");

static void models_write(struct text *text, unsigned loaded)
{
    text_put(text, "[");
    for (unsigned i = 0; i < MODELS_COUNT; i++) {
        const struct model *m = &model_table[i];
        text_printf(text,
                    "%s{\"id\":\"%s\",\"name\":\"%s\",\"context_window\":%u,"
                    "\"max_output_tokens\":%u,\"type\":\"%s\",\"quantization\":\"%s\","
                    "\"status\":\"%s\"}",
                    i == 0 ? "" : ",", m->id, m->name, m->context_window, m->max_output_tokens,
                    m->type, m->quantization, (loaded >> i & 1U) != 0 ? "loaded" : "unloaded");
    }
    text_put(text, "]");
}

int models_open(struct models *models)
{
    *models = (struct models){ 0 };
    for (unsigned loaded = 0; loaded < 1U << MODELS_COUNT; loaded++) {
        struct text text = { 0 };
        models_write(&text, loaded);
        models->lists[loaded] = text.ptr;
        models->bodies[loaded] = text_slice(&text);
        if (text.failed) {
            models_close(models);
            return -ENOMEM;
        }
    }
    return 0;
}

void models_close(struct models *models)
{
    for (unsigned loaded = 0; loaded < 1U << MODELS_COUNT; loaded++)
        free(models->lists[loaded]);
    *models = (struct models){ 0 };
}

int models_find(struct weir_slice id)
{
    for (int i = 0; i < MODELS_COUNT; i++)
        if (strlen(model_table[i].id) == id.len && memcmp(model_table[i].id, id.ptr, id.len) == 0)
            return i;
    return MODEL_UNKNOWN;
}

const char *models_id(int model)
{
    return model_table[model].id;
}

/* Relaxed: a bit says nothing about other memory. */
void models_set_loaded(struct models *models, int model, bool loaded)
{
    if (model == MODEL_UNKNOWN)
        return;
    unsigned bit = 1U << model;
    if (loaded)
        atomic_fetch_or_explicit(&models->loaded, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&models->loaded, ~bit, memory_order_relaxed);
}

bool models_is_loaded(const struct models *models, int model)
{
    unsigned loaded = atomic_load_explicit(&models->loaded, memory_order_relaxed);
    return model != MODEL_UNKNOWN && (loaded >> model & 1U) != 0;
}

void models_reset(struct models *models)
{
    atomic_store_explicit(&models->loaded, 0, memory_order_relaxed);
}

struct weir_slice models_list(const struct models *models)
{
    return models->bodies[atomic_load_explicit(&models->loaded, memory_order_relaxed)];
}
