/* SPDX-License-Identifier: MIT */
/*
 * What each thread of the mock has of its own. An app is one engine with one server; its members
 * are touched by its own thread only, other threads post tasks to it.
 */
#ifndef MOCK_APP_H
#define MOCK_APP_H

#include "mock/api/request.h"
#include "mock/control/admin.h"
#include "mock/control/journal.h"
#include "mock/control/saturation.h"
#include "mock/control/stats.h"
#include "mock/mock.h"
#include "mock/schedule.h"

/* Counters of engine and server at the last reset, which cannot be set back themselves. */
struct app_base {
    uint64_t conns, handed_over, taken_over, refused;
    struct snapshot_engine engine;
};

struct app {
    /* Every request. */
    struct mock *mock;
    struct weir_engine *engine;
    struct weir_server *server;
    struct config *config; /* held */
    uint32_t index;
    uint32_t in_flight; /* delayed requests that are not answered */
    bool health_plain;  /* no rule and no latency is for /api/health */
    bool model_checked; /* inference asks whether its model is loaded */
    struct journal journal;
    struct stats stats;
    /* Delayed requests. */
    struct request_pool pool;
    uint64_t rules_accept;                  /* of `config`: those that strike connections, */
    uint64_t rules_request;                 /* those for requests, */
    uint64_t rules_health;                  /* and of them those that name /api/health */
    struct request *resumed, **resumed_end; /* have got a slot, first come first served */
    bool resuming;
    uint32_t streams;        /* that run here */
    uint64_t gap_fixed_ns;   /* of `config`: see struct stream */
    uint64_t delay_fixed_ns; /* of `config`, if it is always the same; else UINT64_MAX */
    int16_t model_numbers[CONFIG_MODELS_MAX];        /* of the models of `config` */
    struct replica *replicas[CONFIG_MODELS_MAX + 1]; /* the last: of models that are not listed */
    struct text scratch;                             /* of one call */
    struct schedule schedule;
    struct saturation saturation;
    /* Now and then. */
    struct weir_server *admin_server; /* the first thread's, with --admin; else NULL */
    struct admin admin;
    struct app_base base;
    struct weir_task drain_task;
};

/*
 * Open engine and server of `app`, zeroed, on the calling thread. On error nothing is left behind.
 * @return 0 or a negative result; weir_error_text() tells, where the library failed
 */
int app_open(struct app *app, struct mock *mock, uint32_t index, const char *listen);

/* No engine may run any more when the first app is closed. @return 0 or the ring's error */
int app_close(struct app *app);

/* Drain this app; when all of them are drained, all engines stop. Any thread, once. */
void app_drain(struct app *app);

/* Take over the mock's configuration as it is now. On the app's thread. */
void app_reconfigure(struct app *app);

/* Is the mock, any thread of it, too late to be believed? */
static inline bool app_saturated(const struct app *app)
{
    return atomic_load_explicit(&app->mock->saturated_threads, memory_order_relaxed) != 0;
}

#endif
