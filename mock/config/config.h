/* SPDX-License-Identifier: MIT */
/*
 * What the mock is asked to be: one immutable tree, made from a file, from the command line or from
 * a patch, checked whole before it counts, and replaced whole.
 *
 *   text (YAML, JSON) --config_read_text()--> json_t tree --config_open()--> struct config, or an
 *   error that names the key. config_patch() is RFC 7396 on the tree, then config_open() again.
 *
 * A configuration is counted: whoever uses one while it may be replaced holds a reference. Nothing
 * in it changes after config_open(), so that all threads read it without a lock.
 */
#ifndef MOCK_CONFIG_H
#define MOCK_CONFIG_H

#include "mock/fault/rule.h"
#include "mock/limit/limiter.h"
#include "mock/model/model_engine.h"
#include "mock/model/pace.h"
#include "mock/model/residency.h"

#include <weir/dist.h>

#include <jansson.h>
#include <stdatomic.h>

#define CONFIG_MODELS_MAX  RESIDENCY_MODELS_MAX
#define CONFIG_NAME_BYTES  96 /* of a model, with its NUL */
#define CONFIG_TOKENS_MAX  1000000U
#define CONFIG_ERROR_BYTES 640

/* Delayed endpoints that latency.delay is multiplied for. */
enum config_operation {
    CONFIG_LIST,
    CONFIG_LOAD,
    CONFIG_UNLOAD,
    CONFIG_INFER,
    CONFIG_HEALTH,
    CONFIG_OPERATION_COUNT
};

struct config_model {
    char id[CONFIG_NAME_BYTES];
    char name[CONFIG_NAME_BYTES]; /* for people; the id if not given */
    uint64_t memory_bytes;
    struct weir_dist *load;   /* NULL: latency.delay times latency.multiplier.load */
    struct weir_dist *unload; /* NULL: the same with .unload */
    bool loaded, pinned;      /* from the beginning; never evicted */
};

struct config_latency {
    struct weir_dist *delay; /* never NULL */
    double multiplier[CONFIG_OPERATION_COUNT];
    struct weir_dist *ttft;    /* NULL: delay times multiplier.infer */
    struct weir_dist *itl;     /* never NULL; 0: all tokens at once */
    struct weir_dist *prefill; /* for each token of the prompt, added to ttft; NULL: nothing */
};

enum config_engine_kind { CONFIG_ENGINE_FIXED, CONFIG_ENGINE_LINEAR, CONFIG_ENGINE_BATCH };

struct config_engine {
    enum config_engine_kind kind;
    char preset[CONFIG_NAME_BYTES]; /* "" = none; its figures are in the fields below already */
    struct pace_linear linear;
    struct model_engine_cfg batch;
};

struct config_limits {
    struct limiter_limits concurrency;
    uint32_t retry_after_s; /* of a 429 or 503 for want of a slot; 0 = no such field */
    uint64_t requests_per_minute, tokens_per_minute; /* 0 = no limit */
};

struct config_saturation {
    uint64_t schedule_error_ns; /* p99 over a second above which the mock says it is saturated */
    uint64_t loop_lag_ns;       /* the same for the lag of its loops */
};

struct config {
    atomic_uint refs;
    uint64_t generation;
    uint64_t seed;
    bool strict_models;  /* a model that is not listed is 404 */
    bool require_loaded; /* inference on a model that is not loaded is 404, on a loading one 409 */
    bool overrides;      /* X-Mock-* request fields count */
    bool half_close; /* a client that ends its direction waits for its answer; else it has gone */
    uint64_t startup_ns; /* /health says 503 that long after the start */
    struct config_model models[CONFIG_MODELS_MAX];
    uint32_t models_count;
    struct residency_cfg memory;
    struct config_latency latency;
    struct weir_dist *output_tokens; /* NULL: `tokens`. In tokens, as if they were nanoseconds */
    uint32_t tokens; /* of an answer whose request does not say how many. 1 ... CONFIG_TOKENS_MAX */
    struct config_engine engine;
    struct config_limits limits;
    struct config_saturation saturation;
    struct fault_rule *faults[FAULT_RULES_MAX];
    uint32_t faults_count;
    json_t *tree;  /* every key with its value, defaults filled in; what /admin/config shows */
    json_t *given; /* what was asked for alone: a patch changes this, and defaults follow anew */
};

/* What is wrong: "limits.overflow: expected "wait", "429" or "503", got "drop"". */
struct config_error {
    char pointer[160]; /* RFC 6901, "/faults/0/when/probability"; "" = the whole */
    char text[CONFIG_ERROR_BYTES];
};

/*
 * Parse JSON, or YAML when it is no JSON (one document, no aliases or tags; see yaml.h). `name` is
 * for errors, "NAME:LINE:COLUMN: ...": a file's name or "body". A text without anything in it is an
 * empty object.
 * @return a tree for the caller to json_decref(), or NULL with `err` filled
 */
json_t *config_read_text(struct weir_slice text, const char *name, struct config_error *err);

/* The same for a file of at most 4 MiB. */
json_t *config_read_file(const char *path, struct config_error *err);

/* RFC 7396: `patch` applied to a copy of `target`. @return a new reference; NULL: no memory */
json_t *config_merge(const json_t *target, const json_t *patch);

/*
 * Check `tree`, of which any part may be missing, against the schema and make a configuration of it
 * (one reference, the caller's). `before`, may be NULL: rules that have the same id and definition
 * there are taken over with their counts, and its generation is counted on; else that is 1. A rule
 * without an id gets one, "rule-3", in `given` and `tree`, too.
 * @return 0; -EINVAL with `err` filled; -ENOMEM
 */
int config_open(struct config **out, const json_t *tree, const struct config *before,
                struct config_error *err);

/*
 * RFC 7396: what `patch` names is changed in what was given for `before`, null takes a key back to
 * its default. A patch that is no object is refused. The new one has before->generation + 1.
 * @return as config_open()
 */
int config_patch(struct config **out, const struct config *before, const json_t *patch,
                 struct config_error *err);

struct config *config_hold(struct config *config);
/* The last one to drop frees. NULL is allowed. Any thread. */
void config_drop(struct config *config);

/* Index of the model with this id, or -1. */
int config_find_model(const struct config *config, struct weir_slice id);

#endif
