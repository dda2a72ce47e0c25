/* SPDX-License-Identifier: MIT */
/*
 * What the journal says of the client: did it wait as long as Retry-After told it, how often did it
 * try again, did it send again what it must not, did it go on using a connection whose answer was
 * cut?
 *
 * Attempts of one request of the client have the same key (X-Mock-Key); records without one are
 * only looked at by connection. A pure function of the records.
 */
#ifndef MOCK_AUDIT_H
#define MOCK_AUDIT_H

#include "mock/control/journal.h"

#include <weir/hist.h>

#define AUDIT_VIOLATIONS_MAX 100

enum audit_kind {
    AUDIT_EARLY_RETRY,    /* sooner than Retry-After allowed */
    AUDIT_REPLAYED_POST,  /* a POST whose earlier answer had begun, or had succeeded */
    AUDIT_KEPT_AFTER_CUT, /* on a connection on which an answer was cut */
    AUDIT_KIND_COUNT
};

struct audit_violation {
    const struct journal_record *record; /* the request that should not have come */
    const struct journal_record *before; /* the one that forbade it */
    enum audit_kind kind;
};

struct audit {
    uint64_t requests; /* records looked at */
    uint64_t keyed;    /* those with a key: the attempts */
    uint64_t keys;
    uint64_t attempts_max; /* of one key */
    uint64_t failed_attempts;
    uint64_t failed_keys;          /* keys of which at least one attempt failed */
    uint64_t failed_keys_attempts; /* all attempts of those */
    uint64_t recovered_keys;       /* of those, the ones whose last attempt did not fail */
    uint64_t told, honoured, early, not_retried; /* told: failed attempts with Retry-After */
    uint64_t worst_early_ns;
    uint64_t gap_ns_min;       /* exact, of those: the histogram begins at 1 */
    struct weir_hist *gaps_us; /* from the end of a failed attempt to the next of its key */
    uint64_t conns;
    uint64_t replayed_posts, kept_after_cut;
    struct audit_violation violations[AUDIT_VIOLATIONS_MAX]; /* the first in time, sorted */
    uint32_t violations_count;
    uint64_t violations_total;
};

/*
 * Audit records that journal_sort() has sorted; they must stay where they are as long as `out` is
 * used. 16 bytes of memory for each while it runs, and as many to sort them; O(n log n).
 * @return 0, -ENOMEM, or -EOVERFLOW for more than UINT32_MAX records. On error nothing is to be
 *         closed
 */
int audit_open(struct audit *out, const struct journal_record *records, size_t count);
void audit_close(struct audit *audit);

/*
 * Add the report as a JSON object.
 * @param dropped  records that the journals lost: the reason why a report may be blind
 * @param wall_ns  added to the engine's clock gives Unix time
 */
void audit_write(struct text *text, const struct audit *audit, uint64_t dropped, int64_t wall_ns);

#endif
