/* SPDX-License-Identifier: MIT */
/* The counters of the library's objects, for --stats. */
#ifndef WEIR_PERF_GET_STATS_H
#define WEIR_PERF_GET_STATS_H

#include "perf/get/text.h"

#include <weir/batch.h>
#include <weir/client.h>

/* What --stats tells of, read before it is closed. */
struct get_stats {
    struct weir_engine_stats engine;
    struct weir_client_stats client;
    struct weir_endpoint_stats endpoints[WEIR_ENDPOINTS_MAX];
    uint32_t endpoints_count;
    struct weir_batcher_stats batcher;
    bool batched;
};

/* `batcher` may be NULL. */
void get_stats_read(struct get_stats *out, const struct weir_engine *engine,
                    const struct weir_client *client, const struct weir_batcher *batcher);

/* A line for each object, with the counters that are not 0; or members of a JSON object, with
 * all of them. */
void get_stats_text(const struct get_stats *stats, struct get_text *out);
void get_stats_json(const struct get_stats *stats, struct get_text *out);

#endif
