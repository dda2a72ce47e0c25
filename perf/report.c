/* SPDX-License-Identifier: MIT */
#include "perf/report.h"

#include <inttypes.h>
#include <string.h>

#include <weir/units.h>

struct percentile {
    const char *key;
    const char *text;
    double percent;
};

static const struct percentile percentiles[] = {
    { "p50", "p50", 50.0 },
    { "p90", "p90", 90.0 },
    { "p99", "p99", 99.0 },
    { "p99_9", "p99.9", 99.9 },
};
#define PERCENTILES_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

const char *bench_format_number(char out[BENCH_NUMBER_TEXT_BYTES], uint64_t number)
{
    char digits[BENCH_NUMBER_TEXT_BYTES];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, number);
    char *at = out;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

static double per_second(uint64_t count, uint64_t window_ns)
{
    return window_ns == 0 ? 0.0 : (double)count / seconds(window_ns);
}

static double reused_ratio(const struct bench_tally *tally)
{
    return tally->responses == 0 ? 0.0 : (double)tally->reused / (double)tally->responses;
}

/* ---- Text ---- */

static void text_head(FILE *out, const struct bench_options *options,
                      const struct bench_result *result)
{
    fprintf(out, "weir-bench %s  %.*s %s\n", weir_version(), (int)options->request.method.len,
            (const char *)options->request.method.ptr, options->url_text);
    fprintf(
        out,
        "%u connection%s, %u thread%s, pipeline %u; measured %.3f s after %.3f s of warm-up\n\n",
        options->connections, options->connections == 1 ? "" : "s", options->threads,
        options->threads == 1 ? "" : "s", options->pipeline, seconds(result->window_ns),
        seconds(options->warmup_ns));
}

static void text_latency(FILE *out, const struct weir_hist *hist)
{
    char text[WEIR_DURATION_TEXT_BYTES];
    if (weir_hist_count(hist) == 0) {
        fprintf(out, "latency      no 2xx response\n");
        return;
    }
    fprintf(out, "latency      ");
    for (size_t i = 0; i < PERCENTILES_COUNT; i++)
        fprintf(
            out, "%s %s  ", percentiles[i].text,
            weir_format_duration(text, 1000 * weir_hist_percentile(hist, percentiles[i].percent)));
    fprintf(out, "max %s  ", weir_format_duration(text, 1000 * weir_hist_max(hist)));
    fprintf(out, "mean %s\n", weir_format_duration(text, (uint64_t)(1000 * weir_hist_mean(hist))));
}

static void text_error(FILE *out, const char *key, uint64_t count, const char *detail)
{
    char number[BENCH_NUMBER_TEXT_BYTES];
    fprintf(out, "  %-24s %14s%s%s%s\n", key, bench_format_number(number, count),
            detail == NULL ? "" : "  (last: ", detail == NULL ? "" : detail,
            detail == NULL ? "" : ")");
}

static void text_errors(FILE *out, const struct bench_tally *tally)
{
    for (uint32_t i = 0; i < BENCH_ERROR_COUNT; i++) {
        const char *detail = NULL;
        if (i == BENCH_ERROR_CONNECT_OTHER && tally->connect_other_err != 0)
            detail = weir_strerror(tally->connect_other_err);
        if (tally->errors[i] != 0)
            text_error(out, bench_error_key((enum bench_error)i), tally->errors[i], detail);
    }
    for (uint32_t i = 0; i < BENCH_OTHERS_MAX && tally->others[i].count != 0; i++)
        text_error(out, weir_err_name(tally->others[i].err), tally->others[i].count,
                   weir_strerror(tally->others[i].err));
    if (tally->others_lost != 0)
        text_error(out, "others", tally->others_lost, NULL);
}

/* A table by status code is worth its lines only when something else than 200 came. */
static void text_status(FILE *out, const struct bench_tally *tally)
{
    char number[BENCH_NUMBER_TEXT_BYTES];
    if (tally->status[200] == tally->responses)
        return;
    fprintf(out, "status\n");
    for (uint32_t status = 0; status < BENCH_STATUS_COUNT; status++) {
        if (tally->status[status] != 0)
            fprintf(out, "  %-24u %14s\n", status,
                    bench_format_number(number, tally->status[status]));
    }
}

static void text_cpu(FILE *out, const struct bench_result *result)
{
    uint64_t done = bench_tally_done(&result->tally);
    if (done == 0)
        return;
    fprintf(out, "CPU          client %.2f us/request", result->client_cpu_us / (double)done);
    if (result->server_cpu_known)
        fprintf(out, ", server %.2f us/request", result->server_cpu_us / (double)done);
    fprintf(out, "\n");
}

void bench_report_text(FILE *out, const struct bench_options *options,
                       const struct bench_result *result)
{
    const struct bench_tally *tally = &result->tally;
    char number[BENCH_NUMBER_TEXT_BYTES];
    text_head(out, options, result);
    fprintf(
        out, "throughput   %s requests/s (2xx)\n",
        bench_format_number(number, (uint64_t)(per_second(tally->ok, result->window_ns) + 0.5)));
    text_latency(out, result->latency_us);
    fprintf(out, "requests     %s", bench_format_number(number, bench_tally_done(tally)));
    fprintf(out, ", of them 2xx %s, errors ", bench_format_number(number, tally->ok));
    fprintf(out, "%s\n", bench_format_number(number, bench_tally_error_count(tally)));
    text_errors(out, tally);
    text_status(out, tally);
    text_cpu(out, result);
    fprintf(out, "received     %s bytes; ", bench_format_number(number, result->bytes_received));
    fprintf(out, "%.4f of the responses on a connection used before\n", reused_ratio(tally));
}

/* ---- JSON ---- */

static void put_string(FILE *out, const char *text, size_t len)
{
    fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f) /* a URL has none of them, a method might */
            fprintf(out, "\\u%04x", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void put_latency(FILE *out, const struct weir_hist *hist)
{
    fprintf(out, "  \"latency_us\": {");
    if (weir_hist_count(hist) == 0) {
        for (size_t i = 0; i < PERCENTILES_COUNT; i++)
            fprintf(out, "\"%s\": null, ", percentiles[i].key);
        fprintf(out, "\"max\": null, \"mean\": null},\n");
        return;
    }
    for (size_t i = 0; i < PERCENTILES_COUNT; i++)
        fprintf(out, "\"%s\": %" PRIu64 ", ", percentiles[i].key,
                weir_hist_percentile(hist, percentiles[i].percent));
    fprintf(out, "\"max\": %" PRIu64 ", \"mean\": %.3f},\n", weir_hist_max(hist),
            weir_hist_mean(hist));
}

/* Every kind is there, also with 0: scripts need not ask. Those by name follow only when they
 * happened. */
static void put_errors(FILE *out, const struct bench_tally *tally)
{
    fprintf(out, "  \"errors_by_kind\": {");
    for (uint32_t i = 0; i < BENCH_ERROR_COUNT; i++)
        fprintf(out, "%s\"%s\": %" PRIu64, i == 0 ? "" : ", ", bench_error_key((enum bench_error)i),
                tally->errors[i]);
    /* Results that share a name share a key, for a key must not be written twice. */
    for (uint32_t i = 0; i < BENCH_OTHERS_MAX && tally->others[i].count != 0; i++) {
        const char *name = weir_err_name(tally->others[i].err);
        uint64_t count = tally->others[i].count;
        bool seen = false;
        for (uint32_t j = 0; j < i; j++)
            seen = seen || strcmp(name, weir_err_name(tally->others[j].err)) == 0;
        for (uint32_t j = i + 1; j < BENCH_OTHERS_MAX && tally->others[j].count != 0; j++)
            count +=
                strcmp(name, weir_err_name(tally->others[j].err)) == 0 ? tally->others[j].count : 0;
        if (!seen)
            fprintf(out, ", \"%s\": %" PRIu64, name, count);
    }
    if (tally->others_lost != 0)
        fprintf(out, ", \"others\": %" PRIu64, tally->others_lost);
    fprintf(out, "},\n");
}

static void put_status(FILE *out, const struct bench_tally *tally)
{
    const char *comma = "";
    fprintf(out, "  \"status\": {");
    for (uint32_t status = 0; status < BENCH_STATUS_COUNT; status++) {
        if (tally->status[status] == 0)
            continue;
        fprintf(out, "%s\"%u\": %" PRIu64, comma, status, tally->status[status]);
        comma = ", ";
    }
    fprintf(out, "},\n");
}

static void put_cpu(FILE *out, const char *key, double cpu_us, uint64_t done, bool known)
{
    if (known && done > 0)
        fprintf(out, "  \"%s\": %.4f,\n", key, cpu_us / (double)done);
    else
        fprintf(out, "  \"%s\": null,\n", key);
}

void bench_report_json(FILE *out, const struct bench_options *options,
                       const struct bench_result *result)
{
    const struct bench_tally *tally = &result->tally;
    uint64_t done = bench_tally_done(tally);
    fprintf(out, "{\n  \"version\": \"%s\",\n  \"url\": ", weir_version());
    put_string(out, options->url_text, strlen(options->url_text));
    fprintf(out, ",\n  \"method\": ");
    put_string(out, (const char *)options->request.method.ptr, options->request.method.len);
    fprintf(out, ",\n  \"connections\": %u,\n  \"threads\": %u,\n  \"pipeline\": %u,\n",
            options->connections, options->threads, options->pipeline);
    fprintf(out, "  \"warmup_s\": %.6f,\n  \"duration_s\": %.6f,\n", seconds(options->warmup_ns),
            seconds(result->window_ns));
    fprintf(out, "  \"requests\": %" PRIu64 ",\n  \"errors\": %" PRIu64 ",\n", done,
            bench_tally_error_count(tally));
    fprintf(out, "  \"requests_per_s\": %.3f,\n", per_second(tally->ok, result->window_ns));
    put_latency(out, result->latency_us);
    put_cpu(out, "client_cpu_us_per_request", result->client_cpu_us, done, true);
    put_cpu(out, "server_cpu_us_per_request", result->server_cpu_us, done,
            result->server_cpu_known);
    put_errors(out, tally);
    put_status(out, tally);
    fprintf(out, "  \"bytes_received\": %" PRIu64 ",\n  \"reused_ratio\": %.6f\n}\n",
            result->bytes_received, reused_ratio(tally));
}
