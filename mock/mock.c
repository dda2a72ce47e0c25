/* SPDX-License-Identifier: MIT */
#include "mock/mock.h"

#include "mock/api/api.h"
#include "mock/api/canned.h"

#include <weir/engine.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- Opening ----------------------------------------------------------------------------- */

static int mock_open_tls(struct mock *mock)
{
    struct weir_tls_config cfg;
    weir_tls_config_init(&cfg);
    cfg.side = WEIR_TLS_SERVER;
    cfg.cert_file = mock->options->tls_cert;
    cfg.key_file = mock->options->tls_key;
    return weir_tls_open(&mock->tls, &cfg);
}

/* Called on the log's own thread, too. */
static const char *mock_model_name(const void *ctx, int16_t model)
{
    const struct mock *mock = ctx;
    return models_name(&mock->models, model);
}

struct journal_writer mock_journal_writer(struct mock *mock)
{
    return (struct journal_writer){
        .wall_ns = mock->wall_ns,
        .model_name = mock_model_name,
        .ctx = mock,
    };
}

int mock_open_log(struct mock *mock)
{
    const struct request_log_cfg cfg = {
        .path = mock->options->request_log,
        .producers_count = mock->apps_count,
        .writer = mock_journal_writer(mock),
    };
    return cfg.path == NULL ? 0 : request_log_open(&mock->log, &cfg);
}

static int mock_open_rest(struct mock *mock)
{
    const struct options *options = mock->options;
    int err = options->tls_cert != NULL ? mock_open_tls(mock) : 0;
    if (err == 0 && options->threads > 1)
        err = weir_server_group_open(&mock->group, options->threads);
    return err;
}

int mock_open(struct mock *mock, const struct options *options, struct config *config)
{
    struct timespec wall = { 0 };
    clock_gettime(CLOCK_REALTIME, &wall);
    *mock = (struct mock){
        .options = options,
        .config = config,
        .apps_count = options->threads,
        .started_ns = weir_clock_ns(),
        .started_s = wall.tv_sec,
        .wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)weir_clock_ns(),
        .config_lock = PTHREAD_MUTEX_INITIALIZER,
    };
    atomic_init(&mock->undrained_count, options->threads);
    int len = snprintf(mock->health_text, sizeof mock->health_text,
                       "{\"status\":\"healthy\",\"version\":\"%s\"}", weir_version());
    if (len < 0 || (size_t)len >= sizeof mock->health_text)
        return -EOVERFLOW;
    mock->health_body = (struct weir_slice){ (const uint8_t *)mock->health_text, (size_t)len };
    quota_set(&mock->requests_quota, config->limits.requests_per_minute);
    quota_set(&mock->tokens_quota, config->limits.tokens_per_minute);
    int err = limiter_open(&mock->limiter, &config->limits.concurrency, options->threads > 1);
    if (err < 0)
        return err;
    err = models_open(&mock->models, config);
    if (err < 0) {
        limiter_close(&mock->limiter);
        return err;
    }
    err = mock_open_rest(mock);
    if (err == 0)
        return 0;
    if (mock->group != NULL && weir_server_group_close(mock->group) < 0)
        abort(); /* nobody joined: it cannot be busy */
    weir_tls_close(mock->tls);
    models_close(&mock->models);
    limiter_close(&mock->limiter);
    return err;
}

int mock_close(struct mock *mock)
{
    int err = mock->group != NULL ? weir_server_group_close(mock->group) : 0;
    request_log_close(&mock->log, NULL);
    canned_close();
    weir_tls_close(mock->tls);
    models_close(&mock->models);
    limiter_close(&mock->limiter);
    config_drop(mock->config);
    return err;
}

/* ---- Configuration ----------------------------------------------------------------------- */

struct config *mock_config(struct mock *mock)
{
    pthread_mutex_lock(&mock->config_lock);
    struct config *config = config_hold(mock->config);
    pthread_mutex_unlock(&mock->config_lock);
    return config;
}

/* Under the lock. @return 0, or the reason why `config` cannot take the place of the present one */
static int mock_adopt(struct mock *mock, struct config *config, uint64_t now_ns,
                      struct limiter_waiter **granted)
{
    int err = models_reconfigure(&mock->models, config, now_ns);
    if (err < 0)
        return err;
    limiter_set(&mock->limiter, &config->limits.concurrency, granted);
    quota_set(&mock->requests_quota, config->limits.requests_per_minute);
    quota_set(&mock->tokens_quota, config->limits.tokens_per_minute);
    config_drop(mock->config);
    mock->config = config;
    return 0;
}

int mock_change_config(struct mock *mock, struct app *from, mock_make_config *make, void *ctx)
{
    struct limiter_waiter *granted = NULL;
    struct config *config = NULL;
    pthread_mutex_lock(&mock->config_lock);
    int err = make(&config, mock->config, ctx);
    if (err == 0) {
        err = mock_adopt(mock, config, weir_engine_clock_ns(from->engine), &granted);
        if (err < 0)
            config_drop(config);
    }
    pthread_mutex_unlock(&mock->config_lock);
    api_granted(from, granted);
    return err;
}
