/* SPDX-License-Identifier: MIT */
/*
 * The way of one batch:
 *
 *             launch: sent                on_end               its turn           delivered
 *     FREE ----------------> in FLIGHT ------------> (done) ------------> DONE ------------> FREE
 *        \                    ^      \ refused for good: done with that error
 *         \ no room    room  /
 *          +--> STALLED ----+
 *
 * Its turn comes when every batch that was sent before it is delivered, or at once when the order
 * does not matter. The answer is looked at only then, and whole, before the first item hears of it:
 * an array that breaks off in the middle, or has one element too many, says that the server and we
 * do not mean the same items, so none of it is believed.
 */
#include "proto/http/batch_impl.h"
#include "core/base.h"
#include "proto/codec/json_array.h"

#include <errno.h>

/* ---- The call ---------------------------------------------------------------------------- */

static void batch_done(struct weir_batch *batch, int err)
{
    struct weir_batcher *batcher = batch->batcher;
    batch->err = err;
    batch->done = true;
    if (batcher->cfg.ordered) {
        while (!weir_list_empty(&batcher->flight)) {
            struct weir_batch *first =
                weir_container_of(batcher->flight.next, struct weir_batch, link);
            if (!first->done)
                break;
            weir_list_remove(&first->link);
            weir_list_push_back(&batcher->done, &first->link);
        }
    } else {
        weir_list_remove(&batch->link);
        weir_list_push_back(&batcher->done, &batch->link);
    }
    weir_batcher_schedule(batcher);
}

/* Also when a client that tries again begins another answer. */
static void batch_on_head(struct weir_call *call, const struct weir_response_head *head)
{
    struct weir_batch *batch = call->ctx;
    (void)head;
    batch->answer_len = 0;
}

static void batch_on_body(struct weir_call *call, struct weir_slice piece)
{
    struct weir_batch *batch = call->ctx;
    if (batch->over)
        return;
    if (piece.len > batch->batcher->cfg.answer_bytes_max - batch->answer_len) {
        batch->over = true;
        weir_call_cancel(call);
        return;
    }
    memcpy(batch->answer + batch->answer_len, piece.ptr, piece.len);
    batch->answer_len += piece.len;
}

static void batch_learn(struct weir_batch *batch)
{
    struct weir_batcher *batcher = batch->batcher;
    uint64_t latency_ns = batcher->engine->now_ns - batch->sent_ns;
    const struct weir_batch_sample sample = {
        .number = batch->number,
        .items = batch->items_count,
        .aim = batch->aim,
        .outstanding = batcher->items_now,
        .latency_ns = latency_ns,
    };
    weir_hist_record(batcher->latency, latency_ns);
    if (batch->call.status == 200)
        weir_batch_size_learn(&batcher->size, &sample);
}

static void batch_on_end(struct weir_call *call, int err)
{
    struct weir_batch *batch = call->ctx;
    WEIR_ASSERT(!batch->done && batch->batcher->in_flight > 0);
    batch->batcher->in_flight--;
    if (batch->over)
        err = WEIR_E_LIMIT;
    if (err == 0)
        batch_learn(batch);
    batch_done(batch, err);
}

static const struct weir_call_handler batch_handler = {
    .on_head = batch_on_head,
    .on_body = batch_on_body,
    .on_end = batch_on_end,
};

/* ---- Sending ----------------------------------------------------------------------------- */

/* A client's shortage passes: the batch waits for it, and no other is filled meanwhile. */
static bool is_shortage(int err)
{
    return err == -ENOBUFS || err == WEIR_E_QUEUE_FULL;
}

static void batch_send(struct weir_batch *batch)
{
    struct weir_batcher *batcher = batch->batcher;
    batch->sent_ns = batcher->engine->now_ns;
    int rc = weir_client_send(batcher->client, &batch->call);
    if (is_shortage(rc)) {
        batcher->stalled = batch;
        return;
    }
    weir_list_push_back(&batcher->flight, &batch->link);
    if (rc < 0)
        batch_done(batch, rc);
    else
        batcher->in_flight++;
}

void weir_batch_relaunch(struct weir_batcher *batcher)
{
    struct weir_batch *batch = batcher->stalled;
    batcher->stalled = NULL;
    batch_send(batch);
}

static void body_add(struct weir_batch *batch, const void *bytes, size_t len)
{
    memcpy(batch->body + batch->body_len, bytes, len);
    batch->body_len += len;
}

/*
 * The array of the first that wait: as many as are aimed at and fit. @return the deadline of the
 * call: the latest of its items, since an earlier one ends its item alone
 */
static uint64_t batch_fill(struct weir_batch *batch)
{
    struct weir_batcher *batcher = batch->batcher;
    uint64_t deadline_ns = 1;
    struct weir_batch_item *item;
    body_add(batch, "[", 1);
    while ((item = batcher->waiting.first) != NULL && batch->items_count < batch->aim) {
        size_t comma = batch->items_count > 0;
        if (batch->body_len + comma + item->body.len + 1 > batcher->cfg.bytes_max)
            break;
        weir_batcher_unqueue(batcher, item);
        body_add(batch, ",", comma);
        body_add(batch, item->body.ptr, item->body.len);
        item->state = BATCH_ITEM_SENT;
        item->owner = batch;
        item->place = batch->items_count;
        batch->items[batch->items_count++] = item;
        if (item->deadline_ns == 0)
            deadline_ns = 0;
        else if (deadline_ns != 0)
            deadline_ns = weir_max_u64(deadline_ns, item->deadline_ns);
    }
    body_add(batch, "]", 1);
    WEIR_ASSERT(batch->items_count > 0 && batch->body_len <= batcher->cfg.bytes_max);
    return deadline_ns;
}

void weir_batch_launch(struct weir_batcher *batcher, enum weir_batch_flush why)
{
    struct weir_list *link = weir_list_pop_front(&batcher->free);
    WEIR_ASSERT(link != NULL && batcher->stalled == NULL);
    struct weir_batch *batch = weir_container_of(link, struct weir_batch, link);
    batch->items_count = 0;
    batch->aim = batcher->size.aim;
    batch->body_len = batch->answer_len = 0;
    batch->err = 0;
    batch->done = batch->over = batch->cancelled = false;
    uint64_t deadline_ns = batch_fill(batch);
    if (batch->items_count < batch->aim && batcher->waiting.count > 0)
        why = WEIR_BATCH_BYTES;
    batch->number = weir_batch_size_sent(&batcher->size);
    batch->call = (struct weir_call){
        .request = { .method = WEIR_TEXT("POST"),
                     .target = batcher->target,
                     .host = batcher->host,
                     .headers = batcher->headers,
                     .headers_count = batcher->headers_count,
                     .body = { batch->body, batch->body_len } },
        .deadline_ns = deadline_ns,
        .handler = &batch_handler,
        .ctx = batch,
    };
    batcher->stats.batches++;
    batcher->stats.flushed[why]++;
    batcher->stats.items_sent += batch->items_count;
    batcher->stats.items_aimed += why == WEIR_BATCH_BYTES ? batch->items_count : batch->aim;
    batch_send(batch);
}

/* ---- Delivering -------------------------------------------------------------------------- */

/* The answers go to their items, those of items that have ended nowhere. @return 0 or
 * WEIR_E_PROTOCOL */
static int answers_read(struct weir_batch *batch)
{
    struct weir_json_walk walk;
    struct weir_json_answer answer;
    uint32_t count = 0;
    int rc = weir_json_array_begin(&walk, (struct weir_slice){ batch->answer, batch->answer_len });
    while (rc == 0 && (rc = weir_json_answer_next(&walk, &answer)) > 0) {
        if (count == batch->items_count)
            return WEIR_E_PROTOCOL;
        struct weir_batch_item *item = batch->items[count++];
        if (item != NULL) {
            item->status = answer.status;
            item->answer = answer.value;
        }
        rc = 0;
    }
    return rc < 0 || count != batch->items_count ? WEIR_E_PROTOCOL : 0;
}

/* The same for all: an error, or an answer that is none of ours. */
static void answer_all(struct weir_batch *batch, uint16_t status, struct weir_slice answer)
{
    for (uint32_t i = 0; i < batch->items_count; i++) {
        if (batch->items[i] != NULL) {
            batch->items[i]->status = status;
            batch->items[i]->answer = answer;
        }
    }
}

void weir_batch_deliver(struct weir_batch *batch)
{
    struct weir_batcher *batcher = batch->batcher;
    bool whole = batch->err == 0 && batch->call.status != 200;
    int err = batch->err == 0 && !whole ? answers_read(batch) : batch->err;
    if (whole)
        answer_all(batch, batch->call.status,
                   (struct weir_slice){ batch->answer, batch->answer_len });
    else if (err != 0)
        answer_all(batch, 0, (struct weir_slice){ .ptr = NULL });
    batcher->stats.batches_failed += err != 0 || whole;
    /* A callback may end items further on: each is looked up when its turn comes. */
    for (uint32_t i = 0; i < batch->items_count; i++) {
        struct weir_batch_item *item = batch->items[i];
        batch->items[i] = NULL;
        if (item != NULL)
            weir_batch_item_finish(batcher, item, err);
    }
    weir_list_push_front(&batcher->free, &batch->link);
}
