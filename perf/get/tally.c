/* SPDX-License-Identifier: MIT */
#include "perf/get/tally.h"

#include <inttypes.h>

#include <weir/units.h>

struct percentile {
    const char *key, *text;
    double percent;
};

static const struct percentile percentiles[] = {
    { "p50", "p50", 50.0 },
    { "p90", "p90", 90.0 },
    { "p99", "p99", 99.0 },
    { "p99_9", "p99.9", 99.9 },
};
#define PERCENTILES_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

int get_tally_open(struct get_tally *tally)
{
    struct weir_hist_config cfg;
    weir_hist_config_init(&cfg);
    *tally = (struct get_tally){ .status = GET_STATUS_OK };
    return weir_hist_open(&tally->latency_us, &cfg);
}

void get_tally_close(struct get_tally *tally)
{
    weir_hist_close(tally->latency_us);
    tally->latency_us = NULL;
}

void get_tally_fail(struct get_tally *tally, enum get_status status)
{
    if (tally->status == GET_STATUS_OK)
        tally->status = status;
}

static double tally_seconds(const struct get_tally *tally)
{
    return (double)(tally->end_ns - tally->begin_ns) / 1e9;
}

static double tally_per_second(const struct get_tally *tally)
{
    double seconds = tally_seconds(tally);
    return seconds > 0 ? (double)tally->answered / seconds : 0;
}

void get_tally_text(const struct get_tally *tally, struct get_text *out)
{
    char duration[WEIR_DURATION_TEXT_BYTES];
    const struct weir_hist *hist = tally->latency_us;
    get_text_printf(out, "calls     answered %" PRIu64 "  failed %" PRIu64, tally->answered,
                    tally->failed);
    for (size_t i = 0; i < GET_CLASSES_COUNT; i++) {
        if (tally->classes[i] > 0)
            get_text_printf(out, "  %zuxx %" PRIu64, i, tally->classes[i]);
    }
    get_text_printf(out, "  in %.3f s, %.0f/s\n", tally_seconds(tally), tally_per_second(tally));
    if (weir_hist_count(hist) == 0)
        return;
    get_text_add_string(out, "latency  ");
    for (size_t i = 0; i < PERCENTILES_COUNT; i++)
        get_text_printf(out, " %s %s ", percentiles[i].text,
                        weir_format_duration(
                            duration, 1000 * weir_hist_percentile(hist, percentiles[i].percent)));
    get_text_printf(out, " max %s ", weir_format_duration(duration, 1000 * weir_hist_max(hist)));
    get_text_printf(out, " mean %s\n",
                    weir_format_duration(duration, (uint64_t)(1000 * weir_hist_mean(hist))));
}

void get_tally_json(const struct get_tally *tally, struct get_text *out)
{
    const struct weir_hist *hist = tally->latency_us;
    const char *comma = "";
    get_text_printf(out, "\"calls\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"failed\":%" PRIu64,
                    tally->answered + tally->failed, tally->answered, tally->failed);
    get_text_printf(out, ",\"bytes\":%" PRIu64 ",\"duration_s\":%.6f,\"calls_per_s\":%.1f",
                    tally->bytes, tally_seconds(tally), tally_per_second(tally));
    get_text_add_string(out, ",\"status\":{");
    for (size_t i = 0; i < GET_CLASSES_COUNT; i++) {
        if (tally->classes[i] == 0)
            continue;
        get_text_printf(out, "%s\"%zuxx\":%" PRIu64, comma, i, tally->classes[i]);
        comma = ",";
    }
    get_text_add_string(out, "},\"latency_us\":");
    if (weir_hist_count(hist) == 0) {
        get_text_add_string(out, "null");
        return;
    }
    get_text_add_string(out, "{");
    for (size_t i = 0; i < PERCENTILES_COUNT; i++)
        get_text_printf(out, "\"%s\":%" PRIu64 ",", percentiles[i].key,
                        weir_hist_percentile(hist, percentiles[i].percent));
    get_text_printf(out, "\"max\":%" PRIu64 ",\"mean\":%.1f}", weir_hist_max(hist),
                    weir_hist_mean(hist));
}
