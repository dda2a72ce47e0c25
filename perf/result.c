/* SPDX-License-Identifier: MIT */
#include "perf/result.h"

#include <errno.h>

static const char *const error_keys[] = {
#define XX(name, key) [BENCH_ERROR_##name] = (key),
    BENCH_ERRORS(XX)
#undef XX
};
_Static_assert(sizeof(error_keys) / sizeof(error_keys[0]) == BENCH_ERROR_COUNT,
               "every kind of error has its key");

const char *bench_error_key(enum bench_error error)
{
    return error_keys[error];
}

/* BENCH_ERROR_COUNT: none of them. */
static enum bench_error kind_of(int err, int os_err)
{
    switch (err) {
    case WEIR_E_CONNECT:
        if (os_err == -ETIMEDOUT)
            return BENCH_ERROR_CONNECT_TIMEOUT;
        return os_err == -ECONNREFUSED ? BENCH_ERROR_CONNECT_REFUSED : BENCH_ERROR_CONNECT_OTHER;
    case WEIR_E_CONNECT_TIMEOUT:
        return BENCH_ERROR_CONNECT_TIMEOUT;
    case WEIR_E_CLOSED:
        return BENCH_ERROR_CLOSED;
    case WEIR_E_TRUNCATED:
        return BENCH_ERROR_TRUNCATED;
    case -ECONNRESET:
    case -EPIPE: /* the reset was seen by the send instead of the receive */
        return BENCH_ERROR_RESET;
    case WEIR_E_PROTOCOL:
        return BENCH_ERROR_PROTOCOL;
    case WEIR_E_LIMIT:
        return BENCH_ERROR_LIMIT;
    case WEIR_E_DEADLINE:
    case WEIR_E_TIMEOUT:
        return BENCH_ERROR_TIMEOUT;
    default:
        return BENCH_ERROR_COUNT;
    }
}

static void count_other(struct bench_tally *tally, int err, uint64_t count)
{
    for (uint32_t i = 0; i < BENCH_OTHERS_MAX; i++) {
        if (tally->others[i].count == 0)
            tally->others[i].err = err;
        if (tally->others[i].err == err) {
            tally->others[i].count += count;
            return;
        }
    }
    tally->others_lost += count;
}

void bench_tally_failure(struct bench_tally *tally, int err, int os_err)
{
    enum bench_error kind = kind_of(err, os_err);
    tally->failures++;
    if (kind == BENCH_ERROR_COUNT) {
        count_other(tally, err, 1);
        return;
    }
    tally->errors[kind]++;
    if (kind == BENCH_ERROR_CONNECT_OTHER && os_err != 0)
        tally->connect_other_err = os_err;
}

void bench_tally_merge(struct bench_tally *into, const struct bench_tally *from)
{
    into->ok += from->ok;
    into->reused += from->reused;
    into->responses += from->responses;
    into->failures += from->failures;
    into->others_lost += from->others_lost;
    if (from->connect_other_err != 0)
        into->connect_other_err = from->connect_other_err;
    for (uint32_t i = 0; i < BENCH_ERROR_COUNT; i++)
        into->errors[i] += from->errors[i];
    for (uint32_t i = 0; i < BENCH_OTHERS_MAX && from->others[i].count != 0; i++)
        count_other(into, from->others[i].err, from->others[i].count);
    for (uint32_t i = 0; i < BENCH_STATUS_COUNT; i++)
        into->status[i] += from->status[i];
}

static enum bench_error kind_of_status(uint32_t status)
{
    switch (status / 100) {
    case 3:
        return BENCH_ERROR_STATUS_3XX;
    case 4:
        return BENCH_ERROR_STATUS_4XX;
    case 5:
        return BENCH_ERROR_STATUS_5XX;
    default:
        return BENCH_ERROR_STATUS_OTHER;
    }
}

void bench_tally_finish(struct bench_tally *tally)
{
    for (uint32_t status = 0; status < BENCH_STATUS_COUNT; status++) {
        if (status / 100 != 2)
            tally->errors[kind_of_status(status)] += tally->status[status];
    }
}

int bench_latency_open(struct weir_hist **out)
{
    struct weir_hist_config cfg;
    weir_hist_config_init(&cfg);
    cfg.lowest = 1;
    cfg.highest = UINT64_C(3600) * 1000000;
    cfg.digits = 3;
    return weir_hist_open(out, &cfg);
}

int bench_result_init(struct bench_result *result)
{
    *result = (struct bench_result){ .latency_us = NULL };
    return bench_latency_open(&result->latency_us);
}

void bench_result_deinit(struct bench_result *result)
{
    weir_hist_close(result->latency_us);
    result->latency_us = NULL;
}
