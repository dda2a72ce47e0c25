/* SPDX-License-Identifier: MIT */
/* What became of the calls of a run, in numbers. */
#ifndef WEIR_PERF_GET_TALLY_H
#define WEIR_PERF_GET_TALLY_H

#include "perf/get/status.h"
#include "perf/get/text.h"

#include <weir/hist.h>

#define GET_CLASSES_COUNT 10 /* of statuses: 2xx is number 2; 999 is a status, too */

struct get_tally {
    struct weir_hist *latency_us; /* of what was answered */
    uint64_t answered, failed;
    uint64_t bytes; /* of the bodies, as they were sent */
    uint64_t classes[GET_CLASSES_COUNT];
    uint64_t begin_ns, end_ns;
    enum get_status status; /* of the first failure */
};

/* @return 0, or the histogram's error */
int get_tally_open(struct get_tally *tally);
void get_tally_close(struct get_tally *tally);

/* An answer. Inline, since with no output it is all that is done for a call. */
static inline void get_tally_answer(struct get_tally *tally, uint16_t status, uint64_t latency_ns)
{
    weir_hist_record(tally->latency_us, (latency_ns + 500) / 1000);
    tally->answered++;
    tally->classes[status / 100 % GET_CLASSES_COUNT]++;
}

/* Remember the first failure, as the program's exit status. */
void get_tally_fail(struct get_tally *tally, enum get_status status);

/* Counts, rate and latencies: a few lines for people, or members of a JSON object without its
 * braces. */
void get_tally_text(const struct get_tally *tally, struct get_text *out);
void get_tally_json(const struct get_tally *tally, struct get_text *out);

#endif
