/* SPDX-License-Identifier: MIT */
#include "mock/control/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Latencies keep two digits, so that merging ten of them for a scrape stays far below the schedule
 * error that the same scrape reports; the schedule error itself keeps three.
 */
#define LATENCY_NS_MAX        36000000000000ULL /* 10 h: ten times the longest --latency */
#define LATENCY_DIGITS        2
#define SCHEDULE_ERROR_NS_MAX 60000000000ULL
#define SCHEDULE_ERROR_DIGITS 3

#define TICK_NS UINT64_C(1000000000)

static const char *const stats_phase_names[] = {
    [JOURNAL_BODY] = "body",           [JOURNAL_QUEUED] = "queued", [JOURNAL_DELAYED] = "delayed",
    [JOURNAL_STREAMING] = "streaming", [JOURNAL_SENT] = "sent",
};
_Static_assert(sizeof stats_phase_names / sizeof stats_phase_names[0] == JOURNAL_PHASE_COUNT,
               "one each");

static const char *const stats_finish_names[] = {
    [STATS_STOP] = "stop",
    [STATS_LENGTH] = "length",
    [STATS_ABORT] = "abort",
};
_Static_assert(sizeof stats_finish_names / sizeof stats_finish_names[0] == STATS_FINISH_COUNT,
               "one each");

static const struct bucket_scale *const stats_scales[] = {
    [STATS_TTFT] = &bucket_scale_ttft,
    [STATS_ITL] = &bucket_scale_itl,
    [STATS_TPOT] = &bucket_scale_itl,
    [STATS_E2E] = &bucket_scale_request,
    [STATS_QUEUE] = &bucket_scale_request,
    [STATS_INFERENCE] = &bucket_scale_request,
    [STATS_PREFILL] = &bucket_scale_request,
    [STATS_DECODE] = &bucket_scale_request,
    [STATS_PROMPT_TOKENS] = &bucket_scale_tokens,
    [STATS_OUTPUT_TOKENS] = &bucket_scale_tokens,
    [STATS_MAX_TOKENS] = &bucket_scale_tokens,
};
_Static_assert(sizeof stats_scales / sizeof stats_scales[0] == STATS_MEASURE_COUNT, "one each");

/* ---- Memory ------------------------------------------------------------------------------ */

static int stats_open_hist(struct weir_hist **out, uint64_t highest, uint32_t digits)
{
    struct weir_hist_config cfg;
    weir_hist_config_init(&cfg);
    cfg.lowest = 1;
    cfg.highest = highest;
    cfg.digits = digits;
    return weir_hist_open(out, &cfg);
}

static int stats_open_latency(struct weir_hist **out)
{
    return stats_open_hist(out, LATENCY_NS_MAX, LATENCY_DIGITS);
}

int stats_open(struct stats *stats)
{
    *stats = (struct stats){ 0 };
    stats->table = calloc(1, sizeof *stats->table);
    stats->models = calloc(STATS_MODELS, sizeof *stats->models);
    int err = stats->table == NULL || stats->models == NULL ? -ENOMEM : 0;
    if (err == 0)
        stats->table->slots_count = 1;
    for (int i = 0; i < ENDPOINT_COUNT && err == 0; i++)
        err = stats_open_latency(&stats->latency_ns[i]);
    if (err == 0)
        err = stats_open_latency(&stats->queue_wait_ns);
    if (err == 0)
        err = stats_open_latency(&stats->asked_ns);
    if (err == 0)
        err = stats_open_latency(&stats->delivered_ns);
    if (err == 0)
        err = stats_open_latency(&stats->loop_lag_ns);
    if (err == 0)
        err = stats_open_hist(&stats->schedule_error_ns, SCHEDULE_ERROR_NS_MAX,
                              SCHEDULE_ERROR_DIGITS);
    if (err < 0)
        stats_close(stats);
    return err;
}

void stats_close(struct stats *stats)
{
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        weir_hist_close(stats->latency_ns[i]);
    weir_hist_close(stats->queue_wait_ns);
    weir_hist_close(stats->asked_ns);
    weir_hist_close(stats->delivered_ns);
    weir_hist_close(stats->loop_lag_ns);
    weir_hist_close(stats->schedule_error_ns);
    free(stats->table);
    free(stats->models);
    *stats = (struct stats){ 0 };
}

/* Only what was used: the rest has never been touched, and shall not take memory for a reset. */
static void stats_reset_table(struct stats_table *table)
{
    for (uint32_t slot = 0; slot < table->slots_count; slot++)
        memset(table->answers[slot], 0, sizeof table->answers[slot]);
    memset(table->slots, 0, sizeof table->slots);
    table->slots_count = 1;
    for (uint32_t rule = 0; rule < table->faults_end; rule++)
        memset(table->faults[rule], 0, sizeof table->faults[rule]);
    table->faults_end = 0;
}

static void stats_reset_model(struct stats_model *model, bool keeps_places)
{
    if (!model->used)
        return;
    uint32_t places[STATS_PLACE_COUNT];
    memcpy(places, model->places, sizeof places);
    memset(model, 0, sizeof *model);
    if (!keeps_places)
        return;
    memcpy(model->places, places, sizeof places);
    model->used = places[STATS_WAITING] != 0 || places[STATS_RUNNING] != 0;
}

static void stats_reset_hist(struct weir_hist *hist)
{
    if (weir_hist_count(hist) != 0)
        weir_hist_reset(hist);
}

static void stats_forget(struct stats *stats, bool keeps_places)
{
    struct stats empty = {
        .schedule_error_ns = stats->schedule_error_ns,
        .queue_wait_ns = stats->queue_wait_ns,
        .asked_ns = stats->asked_ns,
        .delivered_ns = stats->delivered_ns,
        .loop_lag_ns = stats->loop_lag_ns,
        .table = stats->table,
        .models = stats->models,
    };
    for (int i = 0; i < ENDPOINT_COUNT; i++) {
        empty.latency_ns[i] = stats->latency_ns[i];
        stats_reset_hist(stats->latency_ns[i]);
    }
    stats_reset_hist(stats->schedule_error_ns);
    stats_reset_hist(stats->queue_wait_ns);
    stats_reset_hist(stats->asked_ns);
    stats_reset_hist(stats->delivered_ns);
    stats_reset_hist(stats->loop_lag_ns);
    stats_reset_table(stats->table);
    for (uint32_t i = 0; i < STATS_MODELS; i++)
        stats_reset_model(&stats->models[i], keeps_places);
    *stats = empty;
}

void stats_reset(struct stats *stats)
{
    stats_forget(stats, true);
}

void stats_clear(struct stats *stats)
{
    stats_forget(stats, false);
}

void stats_reset_models(struct stats *stats)
{
    for (uint32_t i = 0; i < STATS_MODELS; i++)
        stats_reset_model(&stats->models[i], true);
}

/* ---- Counting ---------------------------------------------------------------------------- */

uint8_t stats_take_slot(struct stats_table *table, uint16_t status)
{
    uint32_t index = (uint32_t)status - STATS_STATUS_FIRST;
    if (index >= STATS_STATUS_COUNT)
        return 0;
    if (table->slots[index] != 0)
        return table->slots[index];
    if (table->slots_count == STATS_SLOTS_MAX)
        return 0;
    uint8_t slot = (uint8_t)table->slots_count++;
    table->slots[index] = slot;
    table->statuses[slot] = status;
    return slot;
}

static uint64_t stats_since(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

void stats_finished(struct stats *stats, const struct stats_request *request)
{
    struct stats_model *model = stats_model(stats, request->model);
    struct buckets *buckets = model->buckets;
    model->finished[request->finish]++;
    buckets_add(&buckets[STATS_E2E], &bucket_scale_request,
                stats_since(request->arrival_ns, request->end_ns), 1);
    buckets_add(&buckets[STATS_PROMPT_TOKENS], &bucket_scale_tokens, request->prompt_tokens, 1);
    buckets_add(&buckets[STATS_OUTPUT_TOKENS], &bucket_scale_tokens, request->output_tokens, 1);
    if (request->max_tokens != 0)
        buckets_add(&buckets[STATS_MAX_TOKENS], &bucket_scale_tokens, request->max_tokens, 1);
    if (request->admitted_ns == 0)
        return;
    buckets_add(&buckets[STATS_QUEUE], &bucket_scale_request,
                stats_since(request->arrival_ns, request->admitted_ns), 1);
    if (request->first_token_ns == 0)
        return;
    uint64_t decode_ns = stats_since(request->first_token_ns, request->last_token_ns);
    buckets_add(&buckets[STATS_PREFILL], &bucket_scale_request,
                stats_since(request->admitted_ns, request->first_token_ns), 1);
    buckets_add(&buckets[STATS_DECODE], &bucket_scale_request, decode_ns, 1);
    buckets_add(&buckets[STATS_INFERENCE], &bucket_scale_request,
                stats_since(request->admitted_ns, request->last_token_ns), 1);
    if (request->output_tokens > 1)
        buckets_add(&buckets[STATS_TPOT], &bucket_scale_itl,
                    decode_ns / (request->output_tokens - 1), 1);
}

void stats_tick(struct stats *stats, uint64_t now_ns)
{
    struct stats_rate *rate = &stats->rate;
    if (rate->since_ns != 0) {
        uint64_t elapsed_ns = stats_since(rate->since_ns, now_ns);
        if (elapsed_ns < TICK_NS)
            return;
        double seconds = (double)elapsed_ns / 1e9;
        rate->answered_per_s = (double)(stats->answered - rate->answered) / seconds;
        rate->tokens_per_s = (double)(stats->tokens - rate->tokens) / seconds;
    }
    rate->since_ns = now_ns;
    rate->answered = stats->answered;
    rate->tokens = stats->tokens;
}

/* ---- Merging ----------------------------------------------------------------------------- */

/* Most endpoints are unused in most runs, and an empty histogram costs as much to add as a full
 * one. */
static void stats_merge_hist(struct weir_hist *into, const struct weir_hist *from)
{
    if (weir_hist_count(from) == 0)
        return;
    /* Can fail only for different shapes, and stats_open() makes them all. */
    if (weir_hist_merge(into, from) < 0)
        abort();
}

static void stats_merge_table(struct stats_table *into, const struct stats_table *from)
{
    for (uint32_t slot = 0; slot < from->slots_count; slot++) {
        uint8_t to = slot == 0 ? 0 : stats_take_slot(into, from->statuses[slot]);
        for (int e = 0; e < ENDPOINT_COUNT; e++)
            for (int m = 0; m < METHOD_COUNT; m++)
                into->answers[to][e][m] += from->answers[slot][e][m];
    }
    for (uint32_t rule = 0; rule < from->faults_end; rule++)
        for (int kind = 0; kind < FAULT_KIND_COUNT; kind++)
            into->faults[rule][kind] += from->faults[rule][kind];
    if (from->faults_end > into->faults_end)
        into->faults_end = from->faults_end;
}

void stats_merge_model(struct stats_model *into, const struct stats_model *from)
{
    into->used = into->used || from->used;
    for (int i = 0; i < STATS_PLACE_COUNT; i++)
        into->places[i] += from->places[i];
    into->prompt_tokens += from->prompt_tokens;
    into->output_tokens += from->output_tokens;
    for (int i = 0; i < STATS_FINISH_COUNT; i++)
        into->finished[i] += from->finished[i];
    for (int i = 0; i < STATS_MEASURE_COUNT; i++)
        buckets_merge(&into->buckets[i], &from->buckets[i]);
}

void stats_merge(struct stats *into, const struct stats *from)
{
    into->answered += from->answered;
    into->tokens += from->tokens;
    into->faults += from->faults;
    into->cut += from->cut;
    into->refused += from->refused;
    into->given_up += from->given_up;
    into->batch_items += from->batch_items;
    into->timers_cancelled += from->timers_cancelled;
    for (int p = 0; p < JOURNAL_PHASE_COUNT; p++)
        into->disconnects[p] += from->disconnects[p];
    into->rate.answered_per_s += from->rate.answered_per_s;
    into->rate.tokens_per_s += from->rate.tokens_per_s;
    for (int e = 0; e < ENDPOINT_COUNT; e++)
        stats_merge_hist(into->latency_ns[e], from->latency_ns[e]);
    stats_merge_hist(into->schedule_error_ns, from->schedule_error_ns);
    stats_merge_hist(into->queue_wait_ns, from->queue_wait_ns);
    stats_merge_hist(into->asked_ns, from->asked_ns);
    stats_merge_hist(into->delivered_ns, from->delivered_ns);
    stats_merge_hist(into->loop_lag_ns, from->loop_lag_ns);
    stats_merge_table(into->table, from->table);
    for (uint32_t i = 0; i < STATS_MODELS; i++)
        if (from->models[i].used)
            stats_merge_model(&into->models[i], &from->models[i]);
}

/* ---- Asking ------------------------------------------------------------------------------ */

static uint64_t stats_count_slot(const struct stats_table *table, enum endpoint endpoint,
                                 uint32_t slot)
{
    uint64_t count = 0;
    for (int m = 0; m < METHOD_COUNT; m++)
        count += table->answers[slot][endpoint][m];
    return count;
}

uint64_t stats_count_endpoint_status(const struct stats *stats, enum endpoint endpoint,
                                     uint16_t status)
{
    uint32_t index = (uint32_t)status - STATS_STATUS_FIRST;
    uint32_t slot = index < STATS_STATUS_COUNT ? stats->table->slots[index] : 0;
    return slot == 0 && status != 0 ? 0 : stats_count_slot(stats->table, endpoint, slot);
}

uint64_t stats_count_status(const struct stats *stats, uint16_t status)
{
    uint64_t count = 0;
    for (int e = 0; e < ENDPOINT_COUNT; e++)
        count += stats_count_endpoint_status(stats, (enum endpoint)e, status);
    return count;
}

uint64_t stats_count_endpoint(const struct stats *stats, enum endpoint endpoint)
{
    uint64_t count = 0;
    for (uint32_t slot = 0; slot < stats->table->slots_count; slot++)
        count += stats_count_slot(stats->table, endpoint, slot);
    return count;
}

uint32_t stats_sort_slots(const struct stats *stats, uint8_t out[STATS_SLOTS_MAX])
{
    uint32_t count = 0;
    out[count++] = 0;
    for (uint32_t i = 0; i < STATS_STATUS_COUNT && count < stats->table->slots_count; i++)
        if (stats->table->slots[i] != 0)
            out[count++] = stats->table->slots[i];
    return count;
}

const char *stats_phase_name(enum journal_phase phase)
{
    return stats_phase_names[phase];
}

const char *stats_finish_name(enum stats_finish finish)
{
    return stats_finish_names[finish];
}

const struct bucket_scale *stats_scale(enum stats_measure measure)
{
    return stats_scales[measure];
}
