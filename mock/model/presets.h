/* SPDX-License-Identifier: MIT */
/*
 * Latencies of known models on known machines, by name. Each figure was published, or follows from
 * published ones by the formula beside it; `source` says where. They are good for the order of
 * magnitude: another version of an engine, or other lengths of prompts, give other ones.
 */
#ifndef MOCK_PRESETS_H
#define MOCK_PRESETS_H

#include "mock/model/model_engine.h"
#include "mock/model/pace.h"

enum preset_kind { PRESET_FIXED, PRESET_LINEAR, PRESET_BATCH };

/* A normal distribution each; the caller draws. */
struct preset_fixed {
    uint64_t ttft_mean_ns, ttft_stddev_ns;
    uint64_t itl_mean_ns, itl_stddev_ns;
};

struct preset_linear {
    struct pace_linear pace;
    uint64_t ttft_stddev_ns, itl_stddev_ns;
    uint32_t max_num_seqs; /* requests at once for which the figures were given */
};

struct preset {
    const char *name;
    const char *model; /* as an API calls it; "" for a kind of model */
    const char *source;
    enum preset_kind kind;
    union {
        struct preset_fixed fixed;
        struct preset_linear linear;
        struct model_engine_cfg batch;
    };
    uint64_t weights_bytes; /* on all GPUs together; 0: not published */
};

/* The preset called `name`, or NULL. Static memory. */
const struct preset *preset_find(struct weir_slice name);

/* The preset at `index`, in the order that people like to read; NULL behind the last one. */
const struct preset *preset_at(uint32_t index);

#endif
