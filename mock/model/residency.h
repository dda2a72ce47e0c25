/* SPDX-License-Identifier: MIT */
/*
 * Which models are in the memory of the pretended machine: loading and unloading take time, and
 * memory is limited.
 *
 *                 residency_load()              end_ns
 *     UNLOADED ---------------------> LOADING ---------> LOADED
 *         ^                                                |
 *         \-------- end_ns -------- UNLOADING <------------/
 *                                     residency_unload(), or evicted by another's load
 *
 * Memory is a model's own from the begin of its load to the end of its unloading. A load that has
 * to wait for the memory of models being unloaded is LOADING too, and begins at begin_ns.
 *
 * When memory does not suffice, a load is refused (RESIDENCY_REFUSE), or models that are loaded and
 * not in use make room, the one first that was not used for the longest time (RESIDENCY_EVICT).
 *
 * Time is virtual: each call says what time it is, and what was due by then has happened. Times of
 * one object never go back. Nothing is allocated. One thread at a time.
 */
#ifndef MOCK_RESIDENCY_H
#define MOCK_RESIDENCY_H

#include <weir/base.h>

#define RESIDENCY_MODELS_MAX 64                  /* as many as a mask of evicted ones has bits */
#define RESIDENCY_BYTES_MAX  (UINT64_C(1) << 56) /* so that the sum of all models fits */
#define RESIDENCY_NEVER      UINT64_MAX

enum residency_state {
    RESIDENCY_UNLOADED,
    RESIDENCY_LOADING,
    RESIDENCY_LOADED,
    RESIDENCY_UNLOADING,
    RESIDENCY_STATE_COUNT
};

enum residency_overflow { RESIDENCY_REFUSE, RESIDENCY_EVICT };

enum residency_verdict {
    RESIDENCY_DONE,     /* 200: it is so, at once or already */
    RESIDENCY_ACCEPTED, /* 202: it will be so, at ready_ns */
    RESIDENCY_ABSENT,   /* 404: use of a model that is not loaded, nor being loaded */
    RESIDENCY_BUSY,     /* 409: another transition until ready_ns, or (0) requests that use it */
    RESIDENCY_FULL,     /* 507: no memory, and nothing that may be evicted would make enough */
    RESIDENCY_VERDICT_COUNT
};

struct residency_model {
    /* Set by the caller before residency_open(). */
    uint64_t memory_bytes;
    uint64_t unload_ns; /* for an eviction; residency_unload() is told its own */
    bool pinned;        /* never evicted */
    bool loaded;        /* from the beginning */

    /* The rest is not the caller's. */
    enum residency_state state;
    uint32_t uses_count;
    uint64_t begin_ns; /* of a transition: when its memory is taken */
    uint64_t end_ns;   /* of a transition */
    uint64_t used_ns;  /* last used or loaded */
};

struct residency_cfg {
    uint64_t capacity_bytes; /* 0: no limit */
    enum residency_overflow overflow;
};

struct residency_stats {
    uint64_t loads_total, unloads_total, evictions_total, refusals_total;
};

struct residency {
    struct residency_cfg cfg;
    uint32_t models_count;
    struct residency_model models[RESIDENCY_MODELS_MAX];
    struct residency_stats stats;
};

struct residency_answer {
    enum residency_verdict verdict;
    uint64_t ready_ns; /* when what was asked for is so, or can be asked for again; 0: unknown */
    uint64_t evicted;  /* bit i: model i makes room */
};

/* @return 0, or -EINVAL: too many models or bytes, or those loaded from the beginning exceed the
 * capacity */
int residency_open(struct residency *residency, const struct residency_cfg *cfg,
                   const struct residency_model *models, uint32_t models_count);

/* `load_ns` is how long it takes once there is memory. On FULL nothing has changed. */
struct residency_answer residency_load(struct residency *residency, uint32_t model, uint64_t now_ns,
                                       uint64_t load_ns);

struct residency_answer residency_unload(struct residency *residency, uint32_t model,
                                         uint64_t now_ns, uint64_t unload_ns);

/*
 * A request wants to use the model: DONE, and residency_release() must follow; or BUSY while it is
 * loading (until ready_ns, for those who want to wait) or unloading; or ABSENT.
 */
struct residency_answer residency_use(struct residency *residency, uint32_t model, uint64_t now_ns);
void residency_release(struct residency *residency, uint32_t model, uint64_t now_ns);

/* What was due by `now_ns` happens. @return when the next transition ends, or RESIDENCY_NEVER */
uint64_t residency_advance(struct residency *residency, uint64_t now_ns);

enum residency_state residency_state(const struct residency *residency, uint32_t model);

/* Memory taken at `now_ns`; never above the capacity. */
uint64_t residency_used_bytes(const struct residency *residency, uint64_t now_ns);

/* The HTTP status of a verdict. */
uint16_t residency_status(enum residency_verdict verdict);

#endif
