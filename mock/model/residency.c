/* SPDX-License-Identifier: MIT */
#include "mock/model/residency.h"

#include <errno.h>

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

int residency_open(struct residency *residency, const struct residency_cfg *cfg,
                   const struct residency_model *models, uint32_t models_count)
{
    *residency = (struct residency){ 0 };
    if (models_count > RESIDENCY_MODELS_MAX || cfg->capacity_bytes > RESIDENCY_BYTES_MAX)
        return -EINVAL;
    uint64_t loaded = 0;
    for (uint32_t i = 0; i < models_count; i++) {
        if (models[i].memory_bytes > RESIDENCY_BYTES_MAX)
            return -EINVAL;
        loaded += models[i].loaded ? models[i].memory_bytes : 0;
    }
    if (cfg->capacity_bytes != 0 && loaded > cfg->capacity_bytes)
        return -EINVAL;
    residency->cfg = *cfg;
    residency->models_count = models_count;
    for (uint32_t i = 0; i < models_count; i++)
        residency->models[i] = (struct residency_model){
            .memory_bytes = models[i].memory_bytes,
            .unload_ns = models[i].unload_ns,
            .pinned = models[i].pinned,
            .loaded = models[i].loaded,
            .state = models[i].loaded ? RESIDENCY_LOADED : RESIDENCY_UNLOADED,
        };
    return 0;
}

uint64_t residency_advance(struct residency *residency, uint64_t now_ns)
{
    uint64_t next = RESIDENCY_NEVER;
    for (uint32_t i = 0; i < residency->models_count; i++) {
        struct residency_model *model = &residency->models[i];
        if (model->state != RESIDENCY_LOADING && model->state != RESIDENCY_UNLOADING)
            continue;
        if (model->end_ns > now_ns) {
            next = model->end_ns < next ? model->end_ns : next;
        } else if (model->state == RESIDENCY_LOADING) {
            model->state = RESIDENCY_LOADED;
            model->used_ns = model->end_ns;
        } else {
            model->state = RESIDENCY_UNLOADED;
        }
    }
    return next;
}

/* What models will take when all transitions have ended. */
static uint64_t promised_bytes(const struct residency *residency)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < residency->models_count; i++) {
        const struct residency_model *model = &residency->models[i];
        if (model->state == RESIDENCY_LOADING || model->state == RESIDENCY_LOADED)
            bytes += model->memory_bytes;
    }
    return bytes;
}

/* What is not free yet at `at_ns` because it is being unloaded. */
static uint64_t leaving_bytes(const struct residency *residency, uint64_t at_ns)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < residency->models_count; i++) {
        const struct residency_model *model = &residency->models[i];
        if (model->state == RESIDENCY_UNLOADING && model->end_ns > at_ns)
            bytes += model->memory_bytes;
    }
    return bytes;
}

static bool fits(const struct residency *residency, uint64_t bytes)
{
    return residency->cfg.capacity_bytes == 0 || bytes <= residency->cfg.capacity_bytes;
}

/* The model to go next of those that may, without those of `gone`; models_count: there is none. */
static uint32_t find_victim(const struct residency *residency, uint64_t gone)
{
    uint32_t victim = residency->models_count;
    for (uint32_t i = 0; i < residency->models_count; i++) {
        const struct residency_model *model = &residency->models[i];
        if (model->state != RESIDENCY_LOADED || model->uses_count > 0 || model->pinned ||
            (gone >> i & 1) != 0)
            continue;
        if (victim == residency->models_count || model->used_ns < residency->models[victim].used_ns)
            victim = i;
    }
    return victim;
}

/*
 * Models that must go for `needed` bytes more. Only those are taken that are needed: one that was
 * chosen early stays when the later ones alone make enough room. @return false: not even all would
 * do
 */
static bool choose_victims(uint64_t *out, const struct residency *residency, uint64_t needed)
{
    uint64_t gone = 0, bytes = promised_bytes(residency) + needed;
    while (!fits(residency, bytes)) {
        uint32_t victim = find_victim(residency, gone);
        if (victim == residency->models_count)
            return false;
        gone |= UINT64_C(1) << victim;
        bytes -= residency->models[victim].memory_bytes;
    }
    for (uint32_t i = 0; i < residency->models_count; i++) {
        uint64_t with = bytes + residency->models[i].memory_bytes;
        if ((gone >> i & 1) != 0 && fits(residency, with)) {
            gone &= ~(UINT64_C(1) << i);
            bytes = with;
        }
    }
    *out = gone;
    return true;
}

/* Are `needed` bytes free from `at_ns` on? What is taken only grows where a waiting load begins. */
static bool is_free_from(const struct residency *residency, uint64_t needed, uint64_t at_ns)
{
    if (!fits(residency, residency_used_bytes(residency, at_ns) + needed))
        return false;
    for (uint32_t i = 0; i < residency->models_count; i++) {
        const struct residency_model *model = &residency->models[i];
        if (model->state == RESIDENCY_LOADING && model->begin_ns > at_ns &&
            !fits(residency, residency_used_bytes(residency, model->begin_ns) + needed))
            return false;
    }
    return true;
}

/* When `needed` bytes are free: at `now_ns`, or when an unloading ends; after the last of them, at
 * the latest, since they fit beside all that will be loaded then. */
static uint64_t free_from(const struct residency *residency, uint64_t needed, uint64_t now_ns)
{
    uint64_t at_ns = now_ns;
    while (!is_free_from(residency, needed, at_ns)) {
        uint64_t next = RESIDENCY_NEVER;
        for (uint32_t i = 0; i < residency->models_count; i++) {
            const struct residency_model *model = &residency->models[i];
            if (model->state == RESIDENCY_UNLOADING && model->end_ns > at_ns &&
                model->end_ns < next)
                next = model->end_ns;
        }
        at_ns = next; /* RESIDENCY_NEVER when an unloading never ends: then neither begins this */
    }
    return at_ns;
}

static void begin_unload(struct residency_model *model, uint64_t now_ns, uint64_t unload_ns)
{
    model->state = RESIDENCY_UNLOADING;
    model->begin_ns = now_ns;
    model->end_ns = add(now_ns, unload_ns);
}

static struct residency_answer begin_load(struct residency *residency, uint32_t index,
                                          uint64_t now_ns, uint64_t load_ns)
{
    struct residency_model *model = &residency->models[index];
    uint64_t evicted = 0, needed = model->memory_bytes;
    bool room = residency->cfg.overflow == RESIDENCY_EVICT
                    ? choose_victims(&evicted, residency, needed)
                    : fits(residency,
                           promised_bytes(residency) + needed + leaving_bytes(residency, now_ns));
    if (!room) {
        residency->stats.refusals_total++;
        return (struct residency_answer){ .verdict = RESIDENCY_FULL };
    }
    for (uint32_t i = 0; i < residency->models_count; i++) {
        if ((evicted >> i & 1) == 0)
            continue;
        begin_unload(&residency->models[i], now_ns, residency->models[i].unload_ns);
        residency->stats.evictions_total++;
    }
    model->begin_ns = free_from(residency, needed, now_ns);
    model->state = RESIDENCY_LOADING;
    model->end_ns = add(model->begin_ns, load_ns);
    residency->stats.loads_total++;
    uint64_t end_ns = model->end_ns;
    residency_advance(residency, now_ns); /* one that takes no time is loaded at once */
    return (struct residency_answer){
        .verdict = model->state == RESIDENCY_LOADED ? RESIDENCY_DONE : RESIDENCY_ACCEPTED,
        .ready_ns = end_ns,
        .evicted = evicted,
    };
}

struct residency_answer residency_load(struct residency *residency, uint32_t model, uint64_t now_ns,
                                       uint64_t load_ns)
{
    residency_advance(residency, now_ns);
    const struct residency_model *it = &residency->models[model];
    if (it->state == RESIDENCY_LOADED)
        return (struct residency_answer){ .verdict = RESIDENCY_DONE, .ready_ns = now_ns };
    if (it->state == RESIDENCY_LOADING)
        return (struct residency_answer){ .verdict = RESIDENCY_ACCEPTED, .ready_ns = it->end_ns };
    if (it->state == RESIDENCY_UNLOADING)
        return (struct residency_answer){ .verdict = RESIDENCY_BUSY, .ready_ns = it->end_ns };
    return begin_load(residency, model, now_ns, load_ns);
}

struct residency_answer residency_unload(struct residency *residency, uint32_t model,
                                         uint64_t now_ns, uint64_t unload_ns)
{
    residency_advance(residency, now_ns);
    struct residency_model *it = &residency->models[model];
    if (it->state == RESIDENCY_UNLOADED)
        return (struct residency_answer){ .verdict = RESIDENCY_DONE, .ready_ns = now_ns };
    if (it->state == RESIDENCY_UNLOADING)
        return (struct residency_answer){ .verdict = RESIDENCY_ACCEPTED, .ready_ns = it->end_ns };
    if (it->state == RESIDENCY_LOADING)
        return (struct residency_answer){ .verdict = RESIDENCY_BUSY, .ready_ns = it->end_ns };
    if (it->uses_count > 0)
        return (struct residency_answer){ .verdict = RESIDENCY_BUSY };
    begin_unload(it, now_ns, unload_ns);
    residency->stats.unloads_total++;
    uint64_t end_ns = it->end_ns;
    residency_advance(residency, now_ns);
    return (struct residency_answer){
        .verdict = it->state == RESIDENCY_UNLOADED ? RESIDENCY_DONE : RESIDENCY_ACCEPTED,
        .ready_ns = end_ns,
    };
}

struct residency_answer residency_use(struct residency *residency, uint32_t model, uint64_t now_ns)
{
    static const enum residency_verdict verdicts[] = {
        [RESIDENCY_UNLOADED] = RESIDENCY_ABSENT,
        [RESIDENCY_LOADING] = RESIDENCY_BUSY,
        [RESIDENCY_LOADED] = RESIDENCY_DONE,
        [RESIDENCY_UNLOADING] = RESIDENCY_BUSY,
    };
    _Static_assert(sizeof(verdicts) / sizeof(verdicts[0]) == RESIDENCY_STATE_COUNT,
                   "one verdict for each state");
    residency_advance(residency, now_ns);
    struct residency_model *it = &residency->models[model];
    struct residency_answer answer = { .verdict = verdicts[it->state] };
    if (it->state == RESIDENCY_LOADED) {
        it->uses_count++;
        it->used_ns = now_ns;
        answer.ready_ns = now_ns;
    } else if (it->state != RESIDENCY_UNLOADED) {
        answer.ready_ns = it->end_ns;
    }
    return answer;
}

void residency_release(struct residency *residency, uint32_t model, uint64_t now_ns)
{
    residency->models[model].uses_count--;
    residency->models[model].used_ns = now_ns;
}

enum residency_state residency_state(const struct residency *residency, uint32_t model)
{
    return residency->models[model].state;
}

uint64_t residency_used_bytes(const struct residency *residency, uint64_t now_ns)
{
    uint64_t bytes = leaving_bytes(residency, now_ns);
    for (uint32_t i = 0; i < residency->models_count; i++) {
        const struct residency_model *model = &residency->models[i];
        if (model->state == RESIDENCY_LOADED ||
            (model->state == RESIDENCY_LOADING && model->begin_ns <= now_ns))
            bytes += model->memory_bytes;
    }
    return bytes;
}

uint16_t residency_status(enum residency_verdict verdict)
{
    static const uint16_t statuses[] = {
        [RESIDENCY_DONE] = 200, [RESIDENCY_ACCEPTED] = 202, [RESIDENCY_ABSENT] = 404,
        [RESIDENCY_BUSY] = 409, [RESIDENCY_FULL] = 507,
    };
    _Static_assert(sizeof(statuses) / sizeof(statuses[0]) == RESIDENCY_VERDICT_COUNT,
                   "one status for each verdict");
    return statuses[verdict];
}
