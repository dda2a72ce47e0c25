/* SPDX-License-Identifier: MIT */
/*
 * A run of weir-get: the calls that the options ask for, so many at a time, and what is written of
 * them. The calls lie in memory that is reserved at open; with nothing to write, a call costs what
 * the library takes and a counter or two.
 */
#ifndef WEIR_PERF_GET_RUN_H
#define WEIR_PERF_GET_RUN_H

#include "perf/get/options.h"
#include "perf/get/output.h"
#include "perf/get/stats.h"
#include "perf/get/tally.h"

#include <weir/batch.h>
#include <weir/client.h>

struct get_call;
struct get_item;

struct get_run {
    /* what every completion touches */
    struct weir_client *client;
    struct weir_engine *engine;
    struct weir_batcher *batcher; /* NULL without --batch */
    uint64_t started, repeat;     /* calls, or items of batches */
    uint64_t deadline_ns;         /* of each, from its start; 0 = none */
    uint32_t in_flight;
    bool stopping; /* none is started any more */
    struct get_tally tally;

    const struct get_options *options;
    struct weir_tls *tls;
    struct get_call *calls; /* one of the two, by options->batch */
    struct get_item *items;
    struct get_call *parked; /* calls there was no output memory for */
    uint64_t complaints;
    bool cancelled;
    const volatile sig_atomic_t *interrupted; /* the signal that ended it, 0 = none */
    struct get_text scratch;

    struct get_output *bodies; /* NULL: they are not written */
    struct get_output standard, file, log;
};

/*
 * Open everything; nothing is sent yet. `interrupted` becomes the number of a signal, and the
 * engine is woken then with weir_engine_post(). @return 0; or < 0, with `error` filled, and
 * get_run_close() is due all the same
 */
int get_run_open(struct get_run *run, const struct get_options *options,
                 const volatile sig_atomic_t *interrupted, struct get_error *error);
/* Send everything, wait for everything. */
void get_run_go(struct get_run *run);
/* Write what is left, release everything. @return the program's exit status */
enum get_status get_run_close(struct get_run *run);

/* ---- For the two kinds of calls ---- */

/* Begin as many calls as may be in flight. */
void get_run_fill(struct get_run *run);
/* Something ended: whether another one shall begin. */
static inline bool get_run_wants_more(const struct get_run *run)
{
    return run->started < run->repeat && !run->stopping;
}

/* A call failed: tell of it on standard error, unless it was this program that gave it up. */
void get_run_complain(struct get_run *run, uint64_t number, int err, int os_err);
/* No call can be sent: `why` is told, and no other is tried. */
void get_run_refuse(struct get_run *run, int err);
/* Write a line of JSON, or of --verbose, that lies in run->scratch, and empty it. */
void get_run_tell(struct get_run *run, struct get_output *out);

#endif
