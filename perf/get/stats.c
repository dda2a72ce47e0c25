/* SPDX-License-Identifier: MIT */
#include "perf/get/stats.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

enum counter_kind { COUNTER_U32, COUNTER_U64, COUNTER_BOOL, COUNTER_DOUBLE };

/* A field of one of the structures. */
struct counter {
    const char *name;
    size_t offset;
    enum counter_kind kind;
};

#define COUNTER(type, field)                                                                       \
    {                                                                                              \
#field, offsetof(struct type, field),                                                      \
            _Generic(((struct type *)NULL)->field, uint32_t                                        \
                     : COUNTER_U32, uint64_t                                                       \
                     : COUNTER_U64, bool                                                           \
                     : COUNTER_BOOL, double                                                        \
                     : COUNTER_DOUBLE)                                                             \
    }

#define CLIENT(field) COUNTER(weir_client_stats, field)
static const struct counter client_counters[] = {
    CLIENT(calls),       CLIENT(completed),      CLIENT(failed),         CLIENT(refused),
    CLIENT(sent),        CLIENT(reused),         CLIENT(retries),        CLIENT(retries_refused),
    CLIENT(replays),     CLIENT(queue_timeouts), CLIENT(conns),          CLIENT(connect_failures),
    CLIENT(closed_idle), CLIENT(closed_aged),    CLIENT(closed_by_peer), CLIENT(drained),
    CLIENT(lookups),     CLIENT(tls_resumed),    CLIENT(health_checks),  CLIENT(health_failures),
    CLIENT(ejections),   CLIENT(conns_now),      CLIENT(idle_now),       CLIENT(connecting_now),
    CLIENT(waiting_now), CLIENT(in_flight_now),  CLIENT(ejected_now),    { NULL, 0, COUNTER_U32 }
};

#define ENDPOINT(field) COUNTER(weir_endpoint_stats, field)
static const struct counter endpoint_counters[] = {
    ENDPOINT(sent),          ENDPOINT(failures),      ENDPOINT(ejections),
    ENDPOINT(ejected),       ENDPOINT(healthy),       ENDPOINT(conns_now),
    ENDPOINT(in_flight_now), ENDPOINT(addresses_now), { NULL, 0, COUNTER_U32 }
};

#define ENGINE(field) COUNTER(weir_engine_stats, field)
static const struct counter engine_counters[] = {
    ENGINE(passes),       ENGINE(enters),       ENGINE(sqes),
    ENGINE(cqes),         ENGINE(recv_bytes),   ENGINE(send_bytes),
    ENGINE(connected),    ENGINE(closed),       ENGINE(recv_starved),
    ENGINE(send_partial), ENGINE(timers_fired), ENGINE(spins),
    ENGINE(spin_hits),    ENGINE(sleeps),       { NULL, 0, COUNTER_U32 }
};

#define BATCHER(field) COUNTER(weir_batcher_stats, field)
static const struct counter batcher_counters[] = { BATCHER(items),          BATCHER(completed),
                                                   BATCHER(failed),         BATCHER(batches),
                                                   BATCHER(batches_failed), BATCHER(items_sent),
                                                   BATCHER(items_aimed),    BATCHER(items_mean),
                                                   BATCHER(efficiency),     BATCHER(latency_p50_ns),
                                                   BATCHER(latency_p99_ns), BATCHER(latency_max_ns),
                                                   { NULL, 0, COUNTER_U32 } };

void get_stats_read(struct get_stats *out, const struct weir_engine *engine,
                    const struct weir_client *client, const struct weir_batcher *batcher)
{
    out->engine.size = sizeof(out->engine);
    weir_engine_stats(engine, &out->engine);
    out->client.size = sizeof(out->client);
    weir_client_stats(client, &out->client);
    for (uint32_t i = 0; i < out->endpoints_count; i++) {
        out->endpoints[i].size = sizeof(out->endpoints[i]);
        weir_client_endpoint_stats(client, i, &out->endpoints[i]);
    }
    out->batched = batcher != NULL;
    if (!out->batched)
        return;
    out->batcher.size = sizeof(out->batcher);
    weir_batcher_stats(batcher, &out->batcher);
}

/* The value as text. @return whether it is not 0 */
static bool counter_format(char text[32], const struct counter *counter, const void *object)
{
    const uint8_t *at = (const uint8_t *)object + counter->offset;
    uint64_t number = 0;
    double fraction;
    switch (counter->kind) {
    case COUNTER_U32:
        number = *(const uint32_t *)(const void *)at;
        break;
    case COUNTER_U64:
        number = *(const uint64_t *)(const void *)at;
        break;
    case COUNTER_BOOL:
        number = *(const bool *)at;
        snprintf(text, 32, "%s", number != 0 ? "true" : "false");
        return number != 0;
    case COUNTER_DOUBLE:
        fraction = *(const double *)(const void *)at;
        snprintf(text, 32, "%.3f", fraction);
        return fraction > 0;
    }
    snprintf(text, 32, "%" PRIu64, number);
    return number != 0;
}

static void object_text(struct get_text *out, const char *name, const struct counter *counters,
                        const void *object)
{
    char value[32];
    get_text_printf(out, "%-9s", name);
    for (; counters->name != NULL; counters++) {
        if (counter_format(value, counters, object))
            get_text_printf(out, " %s %s ", counters->name, value);
    }
    if (out->len > 0 && out->err == 0 && out->ptr[out->len - 1] == ' ')
        out->len--;
    get_text_add_string(out, "\n");
}

static void object_json(struct get_text *out, const struct counter *counters, const void *object)
{
    char value[32];
    const char *comma = "{";
    for (; counters->name != NULL; counters++) {
        counter_format(value, counters, object);
        get_text_printf(out, "%s\"%s\":%s", comma, counters->name, value);
        comma = ",";
    }
    get_text_add_string(out, "}");
}

void get_stats_text(const struct get_stats *stats, struct get_text *out)
{
    object_text(out, "client", client_counters, &stats->client);
    for (uint32_t i = 0; stats->endpoints_count > 1 && i < stats->endpoints_count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "server %u", i);
        object_text(out, name, endpoint_counters, &stats->endpoints[i]);
    }
    if (stats->batched)
        object_text(out, "batcher", batcher_counters, &stats->batcher);
    object_text(out, "engine", engine_counters, &stats->engine);
}

void get_stats_json(const struct get_stats *stats, struct get_text *out)
{
    get_text_add_string(out, "\"client\":");
    object_json(out, client_counters, &stats->client);
    get_text_add_string(out, ",\"endpoints\":[");
    for (uint32_t i = 0; i < stats->endpoints_count; i++) {
        if (i > 0)
            get_text_add_string(out, ",");
        object_json(out, endpoint_counters, &stats->endpoints[i]);
    }
    get_text_add_string(out, "]");
    if (stats->batched) {
        get_text_add_string(out, ",\"batcher\":");
        object_json(out, batcher_counters, &stats->batcher);
    }
    get_text_add_string(out, ",\"engine\":");
    object_json(out, engine_counters, &stats->engine);
}
