/* SPDX-License-Identifier: MIT */
/*
 * What one thread counts. Plain memory, written and read by its own thread only; another thread
 * learns of it by sending a task that merges it into a struct stats of its own (see admin.c).
 *
 * Counting neither allocates nor searches: everything is opened beforehand, and what is not used is
 * never touched, so that it takes addresses but no memory.
 */
#ifndef MOCK_STATS_H
#define MOCK_STATS_H

#include "mock/api/endpoint.h"
#include "mock/control/buckets.h"
#include "mock/control/journal.h"
#include "mock/fault/rule.h"
#include "mock/model/residency.h"

#include <weir/hist.h>

/* A status has a slot of its own from its first answer on. Slot 0 is for those for which there was
 * none left, and for what is no status of an answer; it shows as status 0. */
#define STATS_SLOTS_MAX    64
#define STATS_STATUS_FIRST 200
#define STATS_STATUS_COUNT 400

struct stats_table {
    uint8_t slots[STATS_STATUS_COUNT]; /* by status; 0 = has none yet */
    uint16_t statuses[STATS_SLOTS_MAX];
    uint32_t slots_count; /* in use, slot 0 included */
    uint32_t faults_end;  /* highest rule number in use, and one */
    uint64_t answers[STATS_SLOTS_MAX][ENDPOINT_COUNT][METHOD_COUNT];
    uint64_t faults[FAULT_NUMBERS_MAX][FAULT_KIND_COUNT]; /* number 0: asked for by the request */
};

/* Each model of the configuration by its index, and one for the models that are not in it. */
#define STATS_MODELS        (RESIDENCY_MODELS_MAX + 1)
#define STATS_MODEL_UNKNOWN RESIDENCY_MODELS_MAX

/* How a request of a model ended, by vLLM's names. */
enum stats_finish { STATS_STOP, STATS_LENGTH, STATS_ABORT, STATS_FINISH_COUNT };

enum stats_place { STATS_NOWHERE, STATS_WAITING, STATS_RUNNING, STATS_PLACE_COUNT };

/* Measured for each model; the scales are vLLM's, see stats_scale(). */
enum stats_measure {
    STATS_TTFT,
    STATS_ITL,  /* each gap between two tokens */
    STATS_TPOT, /* the mean gap of each request */
    STATS_E2E,
    STATS_QUEUE,
    STATS_INFERENCE,
    STATS_PREFILL,
    STATS_DECODE,
    STATS_PROMPT_TOKENS,
    STATS_OUTPUT_TOKENS,
    STATS_MAX_TOKENS, /* as asked for; of those requests that did */
    STATS_MEASURE_COUNT
};

struct stats_model {
    bool used;
    uint32_t places[STATS_PLACE_COUNT]; /* requests there now */
    uint64_t prompt_tokens, output_tokens;
    uint64_t finished[STATS_FINISH_COUNT];
    struct buckets buckets[STATS_MEASURE_COUNT];
};

/* Answers and tokens of the last second or more, for stats_tick(). */
struct stats_rate {
    uint64_t since_ns; /* 0: not begun */
    uint64_t answered, tokens;
    double answered_per_s, tokens_per_s;
};

struct stats {
    uint64_t answered;         /* all answers */
    uint64_t tokens;           /* all tokens given */
    uint64_t faults;           /* all faults injected */
    uint64_t cut;              /* answers that a fault ended before they were whole */
    uint64_t refused;          /* the server answered in our place: malformed, too long, too slow */
    uint64_t given_up;         /* no memory for the answer: the connection was reset */
    uint64_t batch_items;      /* infer requests that came in batches */
    uint64_t timers_cancelled; /* of requests whose client went away */
    uint64_t disconnects[JOURNAL_PHASE_COUNT];
    struct stats_rate rate;
    struct weir_hist *latency_ns[ENDPOINT_COUNT];
    struct weir_hist *schedule_error_ns; /* answer or token given less due */
    struct weir_hist *queue_wait_ns;
    struct weir_hist *asked_ns, *delivered_ns; /* of delayed answers, without the queue */
    struct weir_hist *loop_lag_ns;
    struct stats_table *table;
    struct stats_model *models; /* STATS_MODELS */
};

/* @return 0 or -ENOMEM; on error nothing is left behind */
int stats_open(struct stats *stats);
void stats_close(struct stats *stats);

/* Requests that are waiting or running now still are. */
void stats_reset(struct stats *stats);
/* As after opening, not even those: for what others are merged into. */
void stats_clear(struct stats *stats);

/* The models are others than before: forget what is known of each, but for what is there now. */
void stats_reset_models(struct stats *stats);

/* Add `from` to `into`. Both must be open. */
void stats_merge(struct stats *into, const struct stats *from);
void stats_merge_model(struct stats_model *into, const struct stats_model *from);

/* How fast the counts grow, measured over a second at least. Call it every now and then. */
void stats_tick(struct stats *stats, uint64_t now_ns);

/* Answers with this status (0: those without a slot), all endpoints and methods. */
uint64_t stats_count_status(const struct stats *stats, uint16_t status);
/* The same of one endpoint. */
uint64_t stats_count_endpoint_status(const struct stats *stats, enum endpoint endpoint,
                                     uint16_t status);
/* Answers of this endpoint, all methods and statuses. */
uint64_t stats_count_endpoint(const struct stats *stats, enum endpoint endpoint);

/* The slots in use by rising status. @return how many */
uint32_t stats_sort_slots(const struct stats *stats, uint8_t out[STATS_SLOTS_MAX]);

/* "body", "queued", "delayed", "streaming", "sent". */
const char *stats_phase_name(enum journal_phase phase);
/* "stop", "length", "abort". */
const char *stats_finish_name(enum stats_finish finish);
const struct bucket_scale *stats_scale(enum stats_measure measure);

/* ---- Counting ---------------------------------------------------------------------------- */

/* A slot for a status that has none. @return 0 if there is none left */
uint8_t stats_take_slot(struct stats_table *table, uint16_t status);

static inline void stats_answered(struct stats *stats, enum endpoint endpoint, enum method method,
                                  uint16_t status, uint64_t latency_ns)
{
    struct stats_table *table = stats->table;
    uint32_t index = (uint32_t)status - STATS_STATUS_FIRST; /* huge for what lies below */
    uint8_t slot = index < STATS_STATUS_COUNT ? table->slots[index] : 0;
    if (slot == 0)
        slot = stats_take_slot(table, status);
    table->answers[slot][endpoint][method]++;
    stats->answered++;
    weir_hist_record(stats->latency_ns[endpoint], latency_ns);
}

static inline void stats_fault(struct stats *stats, uint16_t rule, enum fault_kind kind)
{
    struct stats_table *table = stats->table;
    if (rule >= FAULT_NUMBERS_MAX)
        rule = 0;
    table->faults[rule][kind]++;
    if (rule >= table->faults_end)
        table->faults_end = rule + 1U;
    stats->faults++;
}

/* A delayed answer was given whole. */
static inline void stats_delayed(struct stats *stats, uint64_t asked_ns, uint64_t delivered_ns)
{
    weir_hist_record(stats->asked_ns, asked_ns);
    weir_hist_record(stats->delivered_ns, delivered_ns);
}

/* `model` is an index in the configuration, negative for a model that is not there. */
static inline struct stats_model *stats_model(struct stats *stats, int model)
{
    struct stats_model *counts =
        &stats->models[model < 0 || model >= STATS_MODEL_UNKNOWN ? STATS_MODEL_UNKNOWN : model];
    counts->used = true;
    return counts;
}

/* A request goes from *place to `to`. All its moves must name the model that the first one did,
 * even when the configuration has changed in between. */
static inline void stats_move(struct stats *stats, int model, enum stats_place *place,
                              enum stats_place to)
{
    struct stats_model *counts = stats_model(stats, model);
    if (*place != STATS_NOWHERE)
        counts->places[*place]--;
    if (to != STATS_NOWHERE)
        counts->places[to]++;
    *place = to;
}

/* The first token (of each of `choices`) came `ttft_ns` after its request. */
static inline void stats_first_token(struct stats *stats, int model, uint64_t ttft_ns,
                                     uint32_t prompt_tokens, uint32_t choices)
{
    struct stats_model *counts = stats_model(stats, model);
    stats->tokens += choices;
    counts->prompt_tokens += prompt_tokens;
    counts->output_tokens += choices;
    buckets_add(&counts->buckets[STATS_TTFT], &bucket_scale_ttft, ttft_ns, 1);
}

/* `count` more tokens, each `gap_ns` after the one before it in its choice. */
static inline void stats_next_tokens(struct stats *stats, int model, uint64_t gap_ns,
                                     uint32_t count)
{
    struct stats_model *counts = stats_model(stats, model);
    stats->tokens += count;
    counts->output_tokens += count;
    buckets_add(&counts->buckets[STATS_ITL], &bucket_scale_itl, gap_ns, count);
}

/* An inference request that is over. Times of the engine's clock; 0: it did not come so far. */
struct stats_request {
    int model;
    enum stats_finish finish;
    uint64_t arrival_ns, admitted_ns, first_token_ns, last_token_ns, end_ns;
    uint32_t prompt_tokens, output_tokens;
    uint32_t max_tokens; /* as the client asked; 0 = it did not */
};
void stats_finished(struct stats *stats, const struct stats_request *request);

#endif
