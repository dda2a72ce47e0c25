/* SPDX-License-Identifier: MIT */
/*
 * A model of an inference engine with continuous batching: which sequences get a token when.
 *
 * The engine works in steps. A step computes, for every sequence that runs, its next token, or a
 * part of its prompt as long as that is not computed; the tokens of all of them come at the step's
 * end, together. How long a step takes follows from what is in it (struct model_cost), so a long
 * prompt of one sequence makes everybody's gap longer, as on a real engine.
 *
 *              admitted                     last token
 *   WAITING ------------> RUNNING ------------------------> gone
 *      ^                   |   |
 *      \-----preempted-----/   \--model_engine_cancel(), from WAITING too--> gone
 *
 * Scheduling is that of vLLM's V1 engine: sequences that run come first, in the order of their
 * arrival, then those that wait; prompts are cut where the step's budget of tokens ends; when KV
 * blocks run out the last arrived is preempted, which loses its blocks and computes them again.
 * The first arrived always has room, since the longest sequence fits into the cache alone: so each
 * step brings somebody forward.
 *
 * Time is virtual and absolute: a step begins when the one before has ended, or with the arrival
 * that ends an idle time, never when the caller came round to call. A sequence is in no step that
 * began before it arrived. So the times of all tokens follow from what was submitted alone, if
 * everything that arrived up to some time is submitted before model_engine_next() is called with
 * it. Same sequences, same times: no clock is read and no number is drawn.
 *
 *   for (;;) {
 *       submit and cancel what has come;
 *       while ((due = model_engine_next(engine, now)) <= now)
 *           if (model_engine_step(&step, engine, now))
 *               handle step.events;
 *       sleep until due;
 *   }
 *
 * All memory is taken in model_engine_open(). One thread at a time.
 */
#ifndef MOCK_MODEL_ENGINE_H
#define MOCK_MODEL_ENGINE_H

#include "mock/model/kv.h"

/* From model_engine_next(): nothing will happen before something is submitted. */
#define MODEL_ENGINE_IDLE UINT64_MAX

/*
 * Picoseconds that a step takes: base, and for each sequence that gets a token from a token (not
 * from a prompt), for each token in the cache that the step's sequences attend to, for each token
 * of a prompt. Before its first step a sequence spends `enqueue` in the server's front end.
 */
struct model_cost {
    uint64_t base_ps;              /* <= 10^15: 1,000 s */
    uint64_t per_seq_ps;           /* <= 10^12: 1 s */
    uint64_t per_ctx_token_ps;     /* <= 10^7: 10 us */
    uint64_t per_prefill_token_ps; /* <= 10^11: 100 ms */
    uint64_t enqueue_ps;           /* <= 10^15 */
    uint64_t enqueue_per_token_ps; /* <= 10^11 */
};

struct model_engine_cfg {
    struct model_cost cost;
    uint32_t max_num_seqs;           /* that run at once; 1..4096 */
    uint32_t max_num_batched_tokens; /* in one step; max_num_seqs..2^24 */
    uint32_t max_model_len;          /* prompt and output; no more than the cache's tokens */
    uint32_t waiting_max;            /* beyond those that may run; <= 2^22 */
    uint32_t blocks_count, block_tokens;
    uint32_t watermark_blocks; /* stay free when a sequence is admitted beside others */
    bool prefix_cache;
};

/* What is asked of the engine. */
struct model_request {
    struct kv_prompt prompt;
    uint32_t prompt_tokens; /* >= 1 */
    uint32_t output_tokens; /* >= 1: how many it will produce */
    uint64_t arrival_ns;    /* may lie in the future */
    void *owner;            /* returned with each event */
};

enum model_event_kind {
    MODEL_EVENT_NONE, /* was for a sequence that has been cancelled since */
    MODEL_EVENT_PREEMPTED,
    MODEL_EVENT_ADMITTED, /* at_ns - arrival_ns is the time in the queue */
    MODEL_EVENT_TOKEN
};

struct model_event {
    enum model_event_kind kind;
    bool last;             /* the sequence has ended with this token, its handle too */
    uint32_t tokens_count; /* TOKEN: how many it has now; ADMITTED: prompt tokens from the cache */
    uint64_t handle;
    uint64_t at_ns;
    void *owner;
};

/* A step that has ended. First who was preempted, then who was admitted, both at its begin; then
 * the tokens, at its end, in the order of arrival. */
struct model_step {
    uint64_t start_ns, end_ns;
    uint32_t decode_count;      /* sequences with a token from a token */
    uint32_t prefill_count;     /* tokens of prompts, or computed again after a preemption */
    uint64_t ctx_count;         /* tokens in the cache that were attended to */
    struct model_event *events; /* valid until the next step ends */
    uint32_t events_count;
};

/* By the names of vLLM's metrics, `vllm:` before them; then what else is worth a look. */
struct model_engine_stats {
    uint32_t num_requests_running;
    uint32_t num_requests_waiting;
    double kv_cache_usage_perc; /* 0 to 1, vLLM's name notwithstanding */
    uint64_t num_preemptions_total;
    uint64_t prefix_cache_queries_total; /* prompt tokens looked up, at the first admission */
    uint64_t prefix_cache_hits_total;    /* of them, found */
    uint64_t prompt_tokens_total;        /* of sequences that began to run */
    uint64_t generation_tokens_total;
    uint64_t submitted_total, finished_total, cancelled_total;
    uint64_t steps_total;
    uint32_t kv_blocks_used, kv_blocks_cached;
};

struct model_sequence;

struct model_queue {
    uint32_t head, tail, count;
};

/* One sequence's part of the step that runs. */
struct model_share {
    uint64_t handle;
    uint32_t tokens_count;
    uint32_t cached_count;
    bool admitted;
};

struct model_engine {
    struct model_engine_cfg cfg;
    struct kv kv;
    struct model_sequence *sequences;
    uint32_t sequences_count;
    uint32_t free_head;         /* sequences not in use */
    struct model_queue waiting; /* both by arrival */
    struct model_queue running;
    uint32_t *tables_free; /* tables of the cache that no sequence has, the next one last */
    uint32_t tables_free_count;
    bool in_step;
    struct model_step step; /* the one that runs, without its events */
    struct model_share *shares;
    uint32_t shares_count;
    uint64_t *preempted;
    uint32_t preempted_count;
    struct model_event *events; /* of the last step that ended */
    uint32_t events_count;
    uint64_t free_from_ns; /* when the last step ended */
    uint64_t order;        /* the next sequence's place among those of the same arrival */
    struct model_engine_stats stats;
};

/* @return 0, -EINVAL for a number that is out of range, or -ENOMEM; on error nothing is left behind
 */
int model_engine_open(struct model_engine *engine, const struct model_engine_cfg *cfg);

/* Accepts one that was zeroed or failed to open. */
void model_engine_close(struct model_engine *engine);

/* As after opening; every handle of before is unknown from here on. */
void model_engine_reset(struct model_engine *engine);

/*
 * @return 0 with the handle (never 0) in `out`; -EINVAL without a prompt or output; -E2BIG when
 * both are longer than max_model_len; WEIR_E_QUEUE_FULL. On error nothing has changed
 */
int model_engine_submit(uint64_t *out, struct model_engine *engine,
                        const struct model_request *request);

/*
 * Forget the sequence; its blocks are free at once, and a step that it is in takes as long as it
 * would have. Events of it that the caller has not handled yet become MODEL_EVENT_NONE.
 * @return 0, or -ENOENT when it has ended
 */
int model_engine_cancel(struct model_engine *engine, uint64_t handle);

/* When to call again: the end of the step that runs, or the next arrival, which may be in the past;
 * MODEL_ENGINE_IDLE for never. Begins the next step if it can begin by `now_ns`. */
uint64_t model_engine_next(struct model_engine *engine, uint64_t now_ns);

/* End the step that runs if it ends by `now_ns`. @return false: none did, and `out` is untouched */
bool model_engine_step(struct model_step *out, struct model_engine *engine, uint64_t now_ns);

struct model_engine_stats model_engine_stats(const struct model_engine *engine);

/* Nanoseconds of a step like `step` (its counts are looked at), rounded. */
uint64_t model_cost_step_ns(const struct model_cost *cost, const struct model_step *step);

/* Are all sequences, queues and blocks in agreement? For tests: it walks everything. */
bool model_engine_check(const struct model_engine *engine);

#endif
