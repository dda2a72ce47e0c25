/* SPDX-License-Identifier: MIT */
/*
 * GET /admin/events: what the status page shows, as a stream of events, two a second. There is one
 * look at all threads for all who watch on one thread, and none when nobody does.
 */
#ifndef MOCK_EVENTS_H
#define MOCK_EVENTS_H

#include "mock/api/request.h"
#include "mock/control/snapshot.h"

#include <weir/timer.h>

#define EVENTS_PERIOD_NS     500000000U
#define EVENTS_RECORDS_SHOWN 20
#define EVENTS_WATCHERS_MAX  32

struct admin;

/* The counts at the last event, to tell what happened since. */
struct events_before {
    uint64_t at_ns; /* 0: there was none */
    uint64_t requests, tokens, errors, faults;
    struct weir_hist *asked_ns, *delivered_ns, *schedule_error_ns;
};

struct events {
    struct admin *admin;
    struct weir_timer timer;
    struct request *watchers; /* by `next` */
    uint32_t watchers_count;
    struct events_before before;
};

/* @return 0 or -ENOMEM */
int events_open(struct events *events, struct admin *admin);
void events_close(struct events *events);
void events_stop(struct events *events);

/* Answer a request with the stream. @return false: too many watch, it was not answered */
bool events_add(struct events *events, struct request *request);
void events_remove(struct events *events, struct request *request);
void events_end_all(struct events *events);

/* The counts begin anew: there is no before. */
void events_reset(struct events *events);

/* A look at all threads is complete: admin->snapshot, and the last records, sorted. */
void events_publish(struct events *events);

#endif
