/* SPDX-License-Identifier: MIT */
/*
 * What all threads of the mock share. Each member says itself how it is shared; the configuration
 * is replaced by whoever was asked to, under a lock, and taken over by each thread in its own time.
 */
#ifndef MOCK_MOCK_H
#define MOCK_MOCK_H

#include "mock/config/config.h"
#include "mock/control/request_log.h"
#include "mock/limit/limiter.h"
#include "mock/limit/quota.h"
#include "mock/model/models.h"
#include "mock/options.h"

#include <weir/group.h>
#include <weir/tls.h>

struct app;

struct mock {
    const struct options *options;
    struct models models;
    struct limiter limiter;
    struct quota requests_quota, tokens_quota;
    struct request_log log;
    struct app **apps;
    uint32_t apps_count;
    struct weir_server_group *group; /* NULL: one thread has nobody to share with */
    struct weir_tls *tls;            /* NULL: plaintext */
    uint64_t started_ns;
    int64_t started_s; /* Unix time */
    int64_t wall_ns;   /* the engines' clock plus this is Unix time, as of the start */
    char health_text[64];
    struct weir_slice health_body;
    pthread_mutex_t config_lock;
    struct config *config;         /* under the lock */
    atomic_uint_fast64_t seq;      /* requests that arrived */
    atomic_uint_fast64_t arrivals; /* of them, those that chance may touch and that named no key */
    atomic_uint running;           /* requests that a linear engine serves */
    atomic_uint saturated_threads;
    atomic_uint undrained_count; /* threads that still have connections after a drain began */
    atomic_bool draining;
    atomic_bool stopped; /* no engine runs any more: nothing is handed over */
};

/* Takes over `config`. @return 0 or a negative result; weir_error_text() tells, where the library
 * failed */
int mock_open(struct mock *mock, const struct options *options, struct config *config);
/* Begin the request log, if the options ask for one. @return 0; as request_log_open() */
int mock_open_log(struct mock *mock);

/* All apps are closed. @return 0, or -EBUSY: one is not */
int mock_close(struct mock *mock);

/* What turns journal records into text, with the names of models as they are now. */
struct journal_writer mock_journal_writer(struct mock *mock);

/* The configuration as it is now, held. Any thread. */
struct config *mock_config(struct mock *mock);

/*
 * Change the configuration: `make` is called with the present one, and what it makes takes its
 * place. The limits, quotas and models follow at once; the threads when each is told to
 * (app_reconfigure()). Requests that got a slot by it are resumed by way of `from`.
 * @return what `make` returned
 */
typedef int mock_make_config(struct config **out, const struct config *before, void *ctx);
int mock_change_config(struct mock *mock, struct app *from, mock_make_config *make, void *ctx);

#endif
