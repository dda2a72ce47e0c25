/* SPDX-License-Identifier: MIT */
/*
 * The delayed endpoints: models, their loading and unloading, inference.
 *
 *   head --> a slot, or the queue --+
 *   body --> checked ---------------+--> planned --> due --> answered, streamed, or struck by a
 *   fault: api_over()
 *
 * Time counts from the arrival of the head plus the wait in the queue, on an absolute schedule that
 * is fixed when both are known. A body that takes longer than the delay is answered at once when it
 * is complete.
 */
#ifndef MOCK_API_H
#define MOCK_API_H

#include "mock/app.h"

/* Draws of a key, each its own: see weir_random_u64(). */
enum api_draw {
    API_DRAW_DELAY,
    API_DRAW_TTFT,
    API_DRAW_PREFILL,
    API_DRAW_LOAD,
    API_DRAW_FAULT = 64,    /* and the rule's place in the list */
    API_DRAW_ITL = 1U << 16 /* and the token's */
};

/* on_request of a delayed endpoint: takes a slot or waits for one. */
void api_begin(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
               enum method method);

/* on_body of a request begun by api_begin(). */
void api_body(struct request *request, struct weir_slice piece, bool last);

/* on_peer_end of it: the client may have gone. */
void api_peer_end(struct request *request);

/* on_writable of it. */
void api_writable(struct request *request);

/* on_end of a request that api_begin() began and that still has the exchange. */
void api_abandon(struct request *request, int err);

/*
 * Its answer has been given, or something else has ended it: count it and give back what it has,
 * slot, model, sequence, timers. The request is gone behind this, unless its exchange is still to
 * send what the request holds.
 */
void api_over(struct request *request, struct journal_record *record);

/* Does this result of an exchange mean that the client is gone? */
bool api_is_disconnect(int err);

/* Waiters of any thread that were granted a slot: a list of limiter_set(). */
void api_granted(struct app *from, struct limiter_waiter *granted);

/* Does it ask for text to be made? */
static inline bool api_is_inference(const struct request *request)
{
    return request->endpoint == ENDPOINT_INFER || request->endpoint == ENDPOINT_COMPLETIONS ||
           request->endpoint == ENDPOINT_CHAT;
}

/* The fault actions that a regular answer is made without. */
static inline bool api_struck_by(const struct request *request, enum fault_kind kind)
{
    return request->action != NULL && request->action->kind == kind;
}

#endif
