/* SPDX-License-Identifier: MIT */
#include "perf/get/item.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define BATCH_BYTES_MAX  (UINT64_C(1) << 30)
#define ANSWER_BYTES_MAX (UINT64_C(64) * 1024) /* of one item, on the average */

static void item_tell_json(struct get_item *self, int err, uint64_t latency_ns)
{
    struct get_text *out = &self->run->scratch;
    get_text_printf(out, "{\"item\":%" PRIu64 ",\"status\":%u,", self->number, self->item.status);
    if (err == 0)
        get_text_add_string(out, "\"error\":null");
    else
        get_text_printf(out, "\"error\":\"%s\"", weir_err_name(err));
    get_text_printf(out, ",\"timings_us\":{\"total\":%" PRIu64 "},\"bytes\":%zu}\n",
                    (latency_ns + 500) / 1000, self->item.answer.len);
    get_run_tell(self->run, &self->run->standard);
}

static void item_write(struct get_item *self, int err, uint64_t latency_ns)
{
    struct get_run *run = self->run;
    bool refused = run->options->fail && self->item.status >= 400;
    if (run->bodies != NULL && err == 0 && !refused) {
        get_output_write(run->bodies, self->item.answer);
        get_output_write(run->bodies, WEIR_TEXT("\n"));
    }
    if (run->options->json)
        item_tell_json(self, err, latency_ns);
}

static void item_fail(struct get_item *self, int err)
{
    struct get_run *run = self->run;
    run->tally.failed++;
    if (err == WEIR_E_CANCELLED && run->cancelled)
        return;
    get_run_complain(run, self->number, err, 0);
    get_tally_fail(&run->tally, get_status_of(err));
}

static void item_add(struct get_item *self)
{
    struct get_run *run = self->run;
    self->start_ns = weir_engine_now_ns(run->engine);
    if (run->deadline_ns != 0)
        self->item.deadline_ns = self->start_ns + run->deadline_ns;
    int result = weir_batcher_add(run->batcher, &self->item);
    if (result == 0)
        run->in_flight++;
    else
        get_run_refuse(run, result);
}

static void item_on_end(struct weir_batch_item *item, int err)
{
    struct get_item *self = item->ctx;
    struct get_run *run = self->run;
    uint64_t latency_ns = weir_engine_now_ns(run->engine) - self->start_ns;
    run->in_flight--;
    if (err == 0) {
        get_tally_answer(&run->tally, item->status, latency_ns);
        if (run->options->fail)
            get_tally_fail(&run->tally, get_status_of_http(item->status));
    } else {
        item_fail(self, err);
    }
    run->tally.bytes += item->answer.len;
    item_write(self, err, latency_ns);
    if (get_run_wants_more(run)) {
        self->number = run->started++;
        item_add(self);
    }
}

void get_items_fill(struct get_run *run)
{
    for (uint32_t i = 0; i < run->options->concurrency && get_run_wants_more(run); i++) {
        run->items[i].number = run->started++;
        item_add(&run->items[i]);
    }
}

void get_items_cancel(struct get_run *run)
{
    for (uint32_t i = 0; i < run->options->concurrency; i++)
        weir_batch_item_cancel(&run->items[i].item);
}

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

int get_items_open(struct get_run *run)
{
    const struct get_options *options = run->options;
    const struct weir_request *request = &options->request;
    struct weir_batcher_config cfg;
    weir_batcher_config_init(&cfg);
    cfg.items_max = options->batch;
    cfg.waiting_max = options->concurrency;
    /* A comma behind each item, brackets around all. */
    cfg.bytes_max =
        clamp(options->batch * (request->body.len + 1) + 2, cfg.bytes_max, BATCH_BYTES_MAX);
    cfg.answer_bytes_max =
        clamp(options->batch * ANSWER_BYTES_MAX, cfg.answer_bytes_max, BATCH_BYTES_MAX);
    cfg.target = options->target;
    cfg.host = request->host;
    cfg.headers = request->headers;
    cfg.headers_count = request->headers_count;
    run->items = calloc(options->concurrency, sizeof(*run->items));
    if (run->items == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < options->concurrency; i++) {
        struct get_item *self = &run->items[i];
        self->run = run;
        self->item.body = request->body;
        self->item.on_end = item_on_end;
        self->item.ctx = self;
    }
    return weir_batcher_open(&run->batcher, run->engine, run->client, &cfg);
}

int get_items_close(struct get_run *run)
{
    int result = 0;
    /* Nothing is in flight any more, or the ring is of no use: there is nothing to wait for. */
    if (run->batcher != NULL)
        result = weir_batcher_close(run->batcher, 1);
    if (result == 0) {
        free(run->items);
        run->items = NULL;
        run->batcher = NULL;
    }
    return result;
}
