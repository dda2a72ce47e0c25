/* SPDX-License-Identifier: MIT */
#include "mock/control/events.h"

#include "mock/api/answer.h"
#include "mock/api/api.h"
#include "mock/app.h"
#include "mock/control/admin.h"
#include "mock/fault/when.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_US 1e3

/* ---- What happened since the last event --------------------------------------------------- */

/* Copies of the histograms: what was recorded since is a difference of counts. */
static int before_open(struct events_before *before)
{
    struct stats like;
    int err = stats_open(&like);
    if (err < 0)
        return err;
    before->asked_ns = like.asked_ns;
    before->delivered_ns = like.delivered_ns;
    before->schedule_error_ns = like.schedule_error_ns;
    like.asked_ns = like.delivered_ns = like.schedule_error_ns = NULL;
    stats_close(&like);
    return 0;
}

static void before_close(struct events_before *before)
{
    weir_hist_close(before->asked_ns);
    weir_hist_close(before->delivered_ns);
    weir_hist_close(before->schedule_error_ns);
}

static void before_keep(struct weir_hist *into, const struct weir_hist *from)
{
    weir_hist_reset(into);
    if (weir_hist_merge(into, from) < 0)
        abort(); /* stats_open() made both */
}

static uint64_t since_count(const struct weir_hist *now, const struct weir_hist *before)
{
    uint64_t a = weir_hist_count(now), b = weir_hist_count(before);
    return a > b ? a - b : 0;
}

/*
 * The value that a share `p` of what was recorded since does not exceed, within 3 %: found by
 * halving, in steps of the logarithm, between the least and the most ever recorded.
 */
static double since_percentile_us(const struct weir_hist *now, const struct weir_hist *before,
                                  double p)
{
    uint64_t low = weir_hist_min(now), high = weir_hist_max(now);
    double wanted = p * (double)since_count(now, before);
    while (high - low > low / 32) {
        uint64_t middle = (uint64_t)sqrt((double)(low + 1) * (double)high);
        if (middle >= high)
            middle = high - 1;
        uint64_t below =
            weir_hist_count_at_most(now, middle) - weir_hist_count_at_most(before, middle);
        if ((double)below >= wanted)
            high = middle;
        else
            low = middle + 1;
    }
    return (double)high / NS_PER_US;
}

static void write_latency(struct text *out, const char *name, const struct weir_hist *now,
                          const struct weir_hist *before, bool with_max)
{
    text_printf(out, "\"%s\":", name);
    if (since_count(now, before) == 0) {
        text_put(out, with_max ? "{\"p50\":null,\"p99\":null,\"max\":null}"
                               : "{\"p50\":null,\"p99\":null}");
        return;
    }
    text_printf(out, "{\"p50\":%.1f,\"p99\":%.1f", since_percentile_us(now, before, 0.5),
                since_percentile_us(now, before, 0.99));
    if (with_max)
        text_printf(out, ",\"max\":%.1f", since_percentile_us(now, before, 1));
    text_put(out, "}");
}

static uint64_t count_errors(const struct stats *stats)
{
    uint8_t slots[STATS_SLOTS_MAX];
    uint64_t count = stats->cut + stats->refused + stats->given_up;
    uint32_t slots_count = stats_sort_slots(stats, slots);
    for (uint32_t i = 0; i < slots_count; i++) {
        uint16_t status = stats->table->statuses[slots[i]];
        if (status >= 400)
            count += stats_count_status(stats, status);
    }
    return count;
}

/* ---- The event --------------------------------------------------------------------------- */

static void write_rates(struct text *out, struct events *events, const struct snapshot *snapshot)
{
    struct events_before *before = &events->before;
    const struct stats *stats = &snapshot->stats;
    struct events_before now = { .at_ns = snapshot->now_ns,
                                 .requests = stats->answered,
                                 .tokens = stats->tokens,
                                 .errors = count_errors(stats),
                                 .faults = stats->faults };
    double s = before->at_ns != 0 ? (double)(now.at_ns - before->at_ns) / 1e9 : 0;
    /* Behind a reset there is less than before. */
    bool known = s > 0 && now.requests >= before->requests && now.errors >= before->errors &&
                 now.tokens >= before->tokens && now.faults >= before->faults;
    const double per = known ? 1 / s : 0;
    text_printf(out,
                "\"rates\":{\"requests_per_s\":%.1f,\"tokens_per_s\":%.1f,\"errors_per_s\":%.1f,"
                "\"faults_per_s\":%.1f},",
                per * (double)(now.requests - before->requests),
                per * (double)(now.tokens - before->tokens),
                per * (double)(now.errors - before->errors),
                per * (double)(now.faults - before->faults));
    before->at_ns = now.at_ns;
    before->requests = now.requests;
    before->tokens = now.tokens;
    before->errors = now.errors;
    before->faults = now.faults;
}

static void write_latencies(struct text *out, struct events *events, const struct stats *stats)
{
    struct events_before *before = &events->before;
    text_put(out, "\"latency\":{");
    write_latency(out, "asked_us", stats->asked_ns, before->asked_ns, false);
    text_put(out, ",");
    write_latency(out, "delivered_us", stats->delivered_ns, before->delivered_ns, false);
    text_put(out, ",");
    write_latency(out, "schedule_error_us", stats->schedule_error_ns, before->schedule_error_ns,
                  true);
    text_put(out, "},");
    before_keep(before->asked_ns, stats->asked_ns);
    before_keep(before->delivered_ns, stats->delivered_ns);
    before_keep(before->schedule_error_ns, stats->schedule_error_ns);
}

static void write_saturation(struct text *out, const struct snapshot *snapshot)
{
    struct saturation_view view = snapshot_saturation(snapshot);
    text_printf(out,
                "\"saturated\":%s,\"saturation\":{\"schedule_error_p99_us\":%.1f,"
                "\"loop_lag_p99_us\":%.1f,\"bound_us\":%.1f},",
                view.saturated ? "true" : "false", (double)view.error.p99_ns / NS_PER_US,
                (double)view.lag.p99_ns / NS_PER_US, (double)view.error.bound_ns / NS_PER_US);
}

static void write_totals(struct text *out, const struct snapshot *snapshot)
{
    const struct stats *stats = &snapshot->stats;
    uint64_t disconnects = 0;
    for (int i = 0; i < JOURNAL_PHASE_COUNT; i++)
        disconnects += stats->disconnects[i];
    text_printf(out,
                "\"totals\":{\"requests\":%llu,\"faults\":%llu,\"disconnects\":%llu},"
                "\"concurrency\":{\"active\":%u,\"limit\":%u,\"queued\":%u,\"streams\":%llu,"
                "\"connections\":%llu},",
                (unsigned long long)stats->answered, (unsigned long long)stats->faults,
                (unsigned long long)disconnects, snapshot->limiter.active, snapshot->limiter.max,
                snapshot->limiter.waiting, (unsigned long long)snapshot->streams_active,
                (unsigned long long)snapshot->conns_active);
}

static void write_faults(struct text *out, const struct config *config, uint64_t now_ns)
{
    text_put(out, "\"faults\":[");
    for (uint32_t i = 0; i < config->faults_count; i++) {
        const struct fault_rule *rule = config->faults[i];
        text_put(out, i > 0 ? ",{\"id\":" : "{\"id\":");
        text_json(out, (struct weir_slice){ (const uint8_t *)rule->id, strlen(rule->id) });
        text_printf(out,
                    ",\"kind\":\"%s\",\"enabled\":%s,\"matched\":%llu,\"struck\":%llu,"
                    "\"active\":%u,\"alive\":%s}",
                    fault_kind_name(rule->action.kind), rule->enabled ? "true" : "false",
                    (unsigned long long)atomic_load(&rule->matched),
                    (unsigned long long)atomic_load(&rule->struck), atomic_load(&rule->active),
                    when_is_alive(rule, now_ns) ? "true" : "false");
    }
    text_put(out, "],");
}

static void write_models(struct text *out, const struct snapshot *snapshot)
{
    const struct config *config = snapshot->config;
    text_put(out, "\"models\":[");
    for (uint32_t i = 0; i < config->models_count && i < snapshot->residency.models_count; i++) {
        const char *id = config->models[i].id;
        text_put(out, i > 0 ? ",{\"id\":" : "{\"id\":");
        text_json(out, (struct weir_slice){ (const uint8_t *)id, strlen(id) });
        text_printf(out, ",\"state\":\"%s\",\"memory_bytes\":%llu}",
                    models_state_name(residency_state(&snapshot->residency, i)),
                    (unsigned long long)config->models[i].memory_bytes);
    }
    text_put(out, "],");
}

/* The newest first. */
static void write_requests(struct text *out, const struct admin *admin)
{
    struct journal_writer writer = mock_journal_writer(admin->app->mock);
    uint32_t count = admin->records_count;
    text_put(out, "\"requests\":[");
    for (uint32_t i = 0; i < count && i < EVENTS_RECORDS_SHOWN; i++) {
        text_put(out, i > 0 ? "," : "");
        journal_write(out, &admin->records[count - 1 - i], &writer);
    }
    text_put(out, "]");
}

static void write_event(struct text *out, struct events *events)
{
    struct admin *admin = events->admin;
    const struct snapshot *snapshot = &admin->snapshot;
    struct timespec wall = { 0 };
    clock_gettime(CLOCK_REALTIME, &wall);
    text_printf(out,
                "data: {\"t_ms\":%lld,\"uptime_s\":%.3f,\"version\":\"%s\",\"generation\":%llu,",
                (long long)wall.tv_sec * 1000 + wall.tv_nsec / 1000000, snapshot->uptime_s,
                weir_version(), (unsigned long long)snapshot->config->generation);
    write_saturation(out, snapshot);
    write_rates(out, events, snapshot);
    write_totals(out, snapshot);
    write_latencies(out, events, &snapshot->stats);
    write_faults(out, snapshot->config, snapshot->now_ns);
    write_models(out, snapshot);
    write_requests(out, admin);
    text_put(out, "}\n\n");
}

void events_reset(struct events *events)
{
    struct events_before *before = &events->before;
    before->at_ns = 0;
    weir_hist_reset(before->asked_ns);
    weir_hist_reset(before->delivered_ns);
    weir_hist_reset(before->schedule_error_ns);
}

void events_publish(struct events *events)
{
    struct text out = { 0 };
    write_event(&out, events);
    for (struct request *at = events->watchers; at != NULL && !out.failed; at = at->next) {
        /* Who does not keep up misses events, which say all there is to say; who is gone is told
         * by on_end. */
        int rc = weir_exchange_write(at->exchange, text_slice(&out));
        (void)rc;
    }
    text_free(&out);
}

/* ---- Watchers ---------------------------------------------------------------------------- */

static void events_on_timer(struct weir_timer *timer, void *ctx)
{
    struct events *events = ctx;
    struct weir_engine *engine = events->admin->app->engine;
    if (events->watchers == NULL)
        return;
    admin_look(events->admin);
    weir_timer_set(engine, timer, weir_engine_clock_ns(engine) + EVENTS_PERIOD_NS);
}

int events_open(struct events *events, struct admin *admin)
{
    *events = (struct events){ .admin = admin };
    weir_timer_init(&events->timer, events_on_timer, events);
    return before_open(&events->before);
}

void events_close(struct events *events)
{
    before_close(&events->before);
}

void events_stop(struct events *events)
{
    if (events->admin != NULL)
        weir_timer_cancel(&events->timer);
}

bool events_add(struct events *events, struct request *request)
{
    static const struct weir_header no_cache = { WEIR_TEXT("Cache-Control"),
                                                 WEIR_TEXT("no-cache") };
    struct app *app = events->admin->app;
    if (events->watchers_count == EVENTS_WATCHERS_MAX || atomic_load(&app->mock->draining))
        return false;
    int rc = weir_exchange_begin(
        request->exchange, &(struct weir_response){ .status = 200,
                                                    .content_type = WEIR_TEXT("text/event-stream"),
                                                    .headers = &no_cache,
                                                    .headers_count = 1 });
    if (rc == 0)
        rc = weir_exchange_write(request->exchange, WEIR_TEXT("retry: 1000\n\n"));
    if (rc == -ENOBUFS)
        return false;
    request->state = REQUEST_STREAM;
    request->next = events->watchers;
    events->watchers = request;
    events->watchers_count++;
    events->before.at_ns = 0;
    /* The first one at once. */
    weir_timer_set(app->engine, &events->timer, weir_engine_now_ns(app->engine));
    return true;
}

void events_remove(struct events *events, struct request *request)
{
    for (struct request **at = &events->watchers; *at != NULL; at = &(*at)->next) {
        if (*at != request)
            continue;
        *at = request->next;
        events->watchers_count--;
        return;
    }
}

void events_end_all(struct events *events)
{
    while (events->watchers != NULL) {
        struct request *request = events->watchers;
        events_remove(events, request);
        struct journal_record record =
            answer_request_record(request, weir_engine_clock_ns(events->admin->app->engine));
        record.status = 200;
        answer_count(events->admin->app, &record);
        request->state = REQUEST_ANSWERED;
        if (weir_exchange_finish(request->exchange) < 0)
            weir_exchange_abort(request->exchange, WEIR_ABORT_RST);
    }
}
