/* SPDX-License-Identifier: MIT */
/*
 * The mock: what all threads share (struct mock) and what each has of its own (struct app). An app
 * is one engine with one server; its members are touched by its own thread only, other threads post
 * tasks to it.
 */
#ifndef MOCK_APP_H
#define MOCK_APP_H

#include "mock/admin.h"
#include "mock/journal.h"
#include "mock/limiter.h"
#include "mock/models.h"
#include "mock/options.h"
#include "mock/request.h"
#include "mock/stats.h"

struct mock {
    const struct options *options;
    struct models models;
    struct limiter limiter;
    struct app **apps;
    uint32_t apps_count;
    struct weir_server_group *group; /* NULL: one thread has nobody to share with */
    struct weir_tls *tls;            /* NULL: plaintext */
    uint64_t started_ns;
    char health_text[64];
    struct weir_slice health_body;
    atomic_uint_fast64_t
        arrivals; /* requests that errors may be injected into and that named no key */
    atomic_uint undrained_count; /* threads that still have connections after a drain began */
    atomic_bool stopped;         /* no engine runs any more: nothing is handed over */
};

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
    uint64_t seq;
    uint32_t index;
    uint32_t in_flight; /* delayed requests that are not answered */
    struct weir_response health;
    struct journal journal;
    struct stats stats;
    /* Delayed requests. */
    struct request_pool pool;
    uint64_t delay_ns[ENDPOINT_COUNT];
    struct request *resumed, **resumed_end; /* have got a slot, first come first served */
    bool resuming;
    /* Now and then. */
    struct admin admin;
    struct app_base base;
    struct weir_task drain_task;
};

/* @return 0 or a negative result; weir_error_text() tells, where the library failed */
int mock_open(struct mock *mock, const struct options *options);
/* All apps are closed. @return 0, or -EBUSY: one is not */
int mock_close(struct mock *mock);

/*
 * Open engine and server of `app`, zeroed, on the calling thread. On error nothing is left behind.
 * @return 0 or a negative result; weir_error_text() tells, where the library failed
 */
int app_open(struct app *app, struct mock *mock, uint32_t index, const char *listen);

/* No engine may run any more when the first app is closed. @return 0 or the ring's error */
int app_close(struct app *app);

/* Drain this app; when all of them are drained, all engines stop. Any thread, once. */
void app_drain(struct app *app);

/* What an answer is, for statistics and journal. */
struct app_answer {
    struct weir_response response;
    enum stats_code code;
    enum journal_fault fault;
};

/*
 * Answer `exchange` and count it. `record` has everything filled in that is known of the request.
 * @return false: it cannot be answered; its on_end follows
 */
bool app_answer(struct app *app, struct weir_exchange *exchange, struct journal_record *record,
                const struct app_answer *answer);

/* Answer with a JSON error. `field` may be NULL. */
struct app_error {
    enum stats_code code;
    enum journal_fault fault;
    const char *type, *message, *field;
    const struct weir_header *header; /* one more field, or NULL */
};
bool app_answer_error(struct app *app, struct weir_exchange *exchange,
                      struct journal_record *record, const struct app_error *error);

/* What is known of a request the moment its head has arrived. */
struct journal_record app_record(const struct app *app, const struct weir_exchange *exchange,
                                 enum endpoint endpoint, enum method method);

/* The same for a request from the pool, as of `now_ns`. */
struct journal_record app_request_record(const struct request *request, uint64_t now_ns);

/*
 * Did the server end this exchange with an answer of its own (a body too long, too slow or
 * malformed)? Then count it as such.
 */
bool app_count_refusal(struct app *app, struct journal_record *record, int err);

/* Does this result of an exchange mean that the client is gone? */
bool app_is_disconnect(int err);

#endif
