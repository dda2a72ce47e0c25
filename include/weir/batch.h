/* SPDX-License-Identifier: MIT */
/**
 * A micro-batcher in front of a client: many small requests that are JSON values travel as one request, an array of them,
 * and each gets its own answer back. docs/batching.md has the protocol and the reasons.
 *
 * What is sent: `POST target` with a JSON array of the items' values. What must come back: 200 and a JSON array with one
 * element for each item, in the same order: {"status":200,"body":...} or {"status":404,"error":...}.
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H

#include <weir/client.h>
#include <weir/hist.h>
#include <weir/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_batcher;
struct weir_batch_item;

/** Limits and policy of a batcher. */
struct weir_batcher_config {
    uint32_t size;
    uint32_t items_max;        /**< items of one batch: 1 ... 65536. Default 100 */
    uint32_t batches_max;      /**< batches in flight: 1 ... 65536. More items wait. Default 16 */
    uint32_t waiting_max;      /**< items that may wait to be sent; more is WEIR_E_QUEUE_FULL. Default 65536 */
    uint64_t bytes_max;        /**< bytes of a request's body: 64 ... 1 GiB; no item can be longer. Default 1 MiB */
    uint64_t answer_bytes_max; /**< bytes of an answer's body: 64 ... 1 GiB; more is WEIR_E_LIMIT. Default 4 MiB */
    uint64_t wait_ns;          /**< longest that the first item of a batch is held for others to come. Default 50 ms */
    /** adaptive: longest that a batch should take; 0, the default: learnt, twice the smallest seen and wait_ns */
    uint64_t target_ns;
    /**
     * Default true: an item is sent at once when no batch is in flight; meanwhile items gather, up to a size that follows
     * the load and the latency. false: always items_max or wait_ns.
     */
    bool adaptive;
    bool ordered;              /**< results come in the order of the batches; false: as they arrive. Default true */
    const char *target;        /**< copied. Default "/api/infer/batch" */
    struct weir_slice host;    /**< value of Host, copied; empty: the client's */
    /** sent with each batch, beside Content-Type: application/json; names and values must stay until close */
    const struct weir_header *headers;
    size_t headers_count;      /**< at most 64 */
};
/** Fill `cfg` with the defaults. Use the macro, which passes the size your code was compiled with. */
WEIR_API void weir_batcher_config_init_size(struct weir_batcher_config *cfg, uint32_t size);
#define weir_batcher_config_init(cfg) weir_batcher_config_init_size((cfg), sizeof(*(cfg)))

/**
 * The result of an item, exactly once per weir_batcher_add() that returned 0, on the engine's thread, never inside a
 * function of the batcher but weir_batcher_close(). The item is the caller's again and may be added again from here.
 *
 * err 0: there is an answer: item->status is its own, and item->answer the JSON value of its "body" or "error" (empty when
 * it has neither). When the whole batch was answered with another status than 200, all its items have that status and the
 * body of that answer, whatever it is.
 * Else: WEIR_E_DEADLINE, WEIR_E_CANCELLED: its own; WEIR_E_SHUTDOWN: the batcher was closed. WEIR_E_PROTOCOL: the answer is
 * no array as above, or has another number of elements: none of it is used. WEIR_E_LIMIT: the answer exceeds
 * answer_bytes_max. Anything else is what the batch's call ended with.
 */
typedef void weir_batch_item_fn(struct weir_batch_item *item, int err);

/** One request. The caller's memory: zero it, fill the first four, add it, leave it in place until on_end. */
struct weir_batch_item {
    struct weir_slice body; /**< one JSON value; must stay valid and unchanged until on_end */
    uint64_t deadline_ns;   /**< engine clock, absolute; 0 = none */
    weir_batch_item_fn *on_end;
    void *ctx;
    uint16_t status;          /**< of its answer; 0 without one */
    struct weir_slice answer; /**< valid during on_end */
    /* private */
    uint8_t state;
    int err;
    uint32_t place;
    uint64_t start_ns;
    struct weir_batch_item *next, *prev;
    void *owner;
    struct weir_timer timer;
};

/** Bytes weir_batcher_open() will reserve, resident only as used; -EINVAL for a bad field. Pure function, any thread. */
WEIR_API int64_t weir_batcher_memory_bytes(const struct weir_batcher_config *cfg);

/**
 * Open a batcher that sends by `client`, which must live on `engine` and longer than the batcher. No callbacks run. One
 * batch is one call of the client: its connections, pipelining and queue are the client's.
 * Errors (weir_error_text() tells): -EINVAL a field; -ENOMEM.
 */
WEIR_API WEIR_MUST_USE int weir_batcher_open(struct weir_batcher **out, struct weir_engine *engine,
                                             struct weir_client *client,
                                             const struct weir_batcher_config *cfg);

/**
 * Add an item on the engine's thread. It is sent at the end of the engine's pass at the earliest, together with what else
 * came in that pass, and with it in the same kernel entry.
 * Errors: -EINVAL no on_end, or the body is not one JSON value (it would spoil the batch for others);
 *         WEIR_E_LIMIT the body is longer than a batch, or nests too deep; WEIR_E_QUEUE_FULL; WEIR_E_SHUTDOWN.
 *         On error on_end does not run.
 */
WEIR_API WEIR_MUST_USE int weir_batcher_add(struct weir_batcher *batcher,
                                            struct weir_batch_item *item);

/**
 * Cancel an item: on_end (WEIR_E_CANCELLED) follows at once, but not inside this function. One that was not sent is taken
 * out; a batch that is under way goes on without it. No effect on an item that is not in progress.
 */
WEIR_API void weir_batch_item_cancel(struct weir_batch_item *item);

/** Send what waits now, at the end of this pass, without waiting for more; within batches_max. */
WEIR_API void weir_batcher_flush(struct weir_batcher *batcher);

/** Why a batch was sent. */
enum weir_batch_flush {
    WEIR_BATCH_HOLD,   /**< it was not */
    WEIR_BATCH_SIZE,   /**< as many items as aimed at */
    WEIR_BATCH_BYTES,  /**< no more bytes fit */
    WEIR_BATCH_TIME,   /**< wait_ns */
    WEIR_BATCH_IDLE,   /**< nothing was in flight: there was no reason to wait */
    WEIR_BATCH_DEMAND, /**< weir_batcher_flush(), or close */
    WEIR_BATCH_FLUSH_COUNT
};

/** Counters since open; `_now` are gauges. */
struct weir_batcher_stats {
    uint32_t size;
    uint32_t waiting_now;   /**< items */
    uint32_t in_flight_now; /**< batches */
    uint32_t aim_now;       /**< items that a batch should have */
    uint64_t items;         /**< accepted by weir_batcher_add() */
    uint64_t completed;     /**< ended with 0 */
    uint64_t failed;
    uint64_t batches; /**< sent */
    uint64_t batches_failed;
    uint64_t items_sent; /**< in them */
    uint64_t items_aimed; /**< the sum of what was aimed at when they were sent; of one full by bytes, what it has */
    uint64_t flushed[WEIR_BATCH_FLUSH_COUNT]; /**< batches by enum weir_batch_flush */
    uint64_t smallest_ns; /**< the smallest latency of a batch, as it is used for the target */
    uint64_t latency_p50_ns, latency_p99_ns, latency_max_ns; /**< of batches that were answered */
    double items_mean; /**< items_sent / batches; 0 without any */
    double efficiency; /**< items_sent / items_aimed; 0 without any */
};
/** Fill `out` (set out->size = sizeof *out first). Engine's thread. */
WEIR_API void weir_batcher_stats(const struct weir_batcher *batcher,
                                 struct weir_batcher_stats *out);

/** Latencies of the batches that were answered, from sending to the end of the answer, in ns; lives as long as the batcher. */
WEIR_API const struct weir_hist *weir_batcher_latency(const struct weir_batcher *batcher);

/**
 * Take no more items, send those that wait, run engine passes until all have ended, release the batcher. What is not
 * answered by `deadline_ns` (engine clock, absolute; 0 = none, a time in the past = at once) ends with WEIR_E_SHUTDOWN.
 * Not from a callback. @return 0, or the ring's error (the batcher is not released then)
 */
WEIR_API WEIR_MUST_USE int weir_batcher_close(struct weir_batcher *batcher, uint64_t deadline_ns);

#ifdef __cplusplus
}
#endif

#endif
