/* SPDX-License-Identifier: MIT */
/*
 * Metrics and admin requests. What a thread counts is its own, so that counting costs nothing: a
 * request that wants to see or reset the counts of all threads sends one task around. The task
 * visits the threads one after the other, each on its own thread, and comes back to where it began,
 * which then answers. Each thread has one such tour under way at most; more requests wait in order.
 *
 * A changed configuration travels the same way: when the request that changed it is answered, all
 * threads have it.
 */
#ifndef MOCK_ADMIN_H
#define MOCK_ADMIN_H

#include "mock/api/request.h"
#include "mock/control/events.h"
#include "mock/control/filter.h"
#include "mock/control/journal.h"
#include "mock/control/snapshot.h"

struct admin {
    struct weir_task task; /* the tour */
    struct app *app;       /* where it began */
    uint32_t at;           /* the thread that it visits */
    bool touring;
    struct request *request; /* that it is made for; NULL: the client has gone meanwhile, or none */
    uint8_t endpoint;        /* enum endpoint of that request */
    struct request *queue, **queue_end;
    struct snapshot snapshot;
    struct filter filter;
    struct journal_record *records;
    uint32_t records_count, records_capacity;
    uint64_t matched, dropped; /* records, of all threads */
    struct events events;
};

/* @return 0 or -ENOMEM */
int admin_open(struct admin *admin, struct app *app);
void admin_close(struct admin *admin);

/* Its engine is about to be closed. */
void admin_stop(struct admin *admin);

/* on_request of a metrics or admin endpoint. */
void admin_begin(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
                 enum method method);

/* on_body and on_end of a request begun by admin_begin() that still has the exchange. */
void admin_body(struct request *request, struct weir_slice piece, bool last);
void admin_abandon(struct request *request, int err);

/* The mock drains: streams of events end. */
void admin_end_events(struct admin *admin);

/* A tour for the events, when no other is under way. */
void admin_look(struct admin *admin);

#endif
