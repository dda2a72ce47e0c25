/* SPDX-License-Identifier: MIT */
/*
 * Which records of the journal somebody wants: the query of GET /admin/requests and of
 * /admin/requests/count, made into masks, so that asking a record costs a few ns.
 *
 * All parameters must hold; of a list within one of them ("429,503") any.
 */
#ifndef MOCK_FILTER_H
#define MOCK_FILTER_H

#include "mock/control/journal.h"
#include "mock/fault/rule.h"

#define FILTER_LIMIT_DEFAULT 100
#define FILTER_LIMIT_MAX     10000
#define FILTER_STATUS_MAX    639
#define FILTER_MODEL_NONE    (-1) /* MODEL_UNKNOWN: a request for none that is listed */

struct filter {
    uint32_t limit;    /* at most so many, the last ones */
    uint64_t min, max; /* count only: how many there must be */
    bool verifies;     /* `min` or `max` was given */
    /* What follows is what filter_matches() reads. */
    bool has_status, has_fault, has_model, has_key, has_conn;
    int8_t stream;                  /* -1 = either */
    uint32_t endpoints;             /* masks by the number in the enum */
    uint16_t methods, ends, phases; /* phases: bit JOURNAL_PHASE_COUNT is "answered whole" */
    int16_t model;                  /* or FILTER_MODEL_NONE */
    uint64_t statuses[(FILTER_STATUS_MAX + 1) / 64];
    uint64_t fault_rules[FAULT_NUMBERS_MAX / 64];
    uint32_t fault_kinds; /* bit FAULT_NONE: without a fault */
    uint64_t key, conn;
    int64_t since_ns, until_ns; /* of arrival, engine's clock: since <= start < until */
    uint64_t delivered_ns_min;
};
_Static_assert(ENDPOINT_COUNT <= 32 && FAULT_KIND_COUNT <= 32 && METHOD_COUNT <= 16,
               "bits of masks");

struct filter_context {
    bool counts;               /* /admin/requests/count: `min` and `max`, but no `limit` */
    int64_t wall_ns;           /* added to the engine's clock gives Unix time */
    int64_t now_ns;            /* the engine's */
    const char *const *models; /* names by the number in records */
    uint32_t models_count;
};

struct filter_error {
    char text[320]; /* begins with the parameter's name; printable, but not escaped for JSON */
};

/*
 * Read the query of a target, without its '?'; an empty one lets every record through.
 * @return 0, or -EINVAL with `err`: unknown or given twice, or a value that is none; names the
 *         nearest that is known
 */
int filter_parse(struct filter *out, struct weir_slice query, const struct filter_context *context,
                 struct filter_error *err);

static inline bool filter_matches_fault(const struct filter *filter,
                                        const struct journal_record *record)
{
    return (filter->fault_kinds >> record->fault_kind & 1U) != 0 ||
           (filter->fault_rules[record->rule / 64 % (FAULT_NUMBERS_MAX / 64)] >> record->rule % 64 &
            1U) != 0;
}

static inline bool filter_matches(const struct filter *filter, const struct journal_record *record)
{
    uint8_t phase = record->end == JOURNAL_ANSWERED ? JOURNAL_PHASE_COUNT : record->phase;
    int64_t start_ns = (int64_t)record->start_ns;
    uint16_t status = record->status;
    return (filter->endpoints >> record->endpoint & 1U) != 0 &&
           (filter->methods >> record->method & 1U) != 0 &&
           (filter->ends >> record->end & 1U) != 0 && (filter->phases >> phase & 1U) != 0 &&
           start_ns >= filter->since_ns && start_ns < filter->until_ns &&
           record->delivered_ns >= filter->delivered_ns_min &&
           (filter->stream < 0 || filter->stream == (int8_t)record->stream) &&
           (!filter->has_status || (status <= FILTER_STATUS_MAX &&
                                    (filter->statuses[status / 64] >> status % 64 & 1U) != 0)) &&
           (!filter->has_model || filter->model == record->model) &&
           (!filter->has_key || (record->keyed && filter->key == record->key)) &&
           (!filter->has_conn || filter->conn == record->conn) &&
           (!filter->has_fault || filter_matches_fault(filter, record));
}

/* Is `count` what a query with `min` and `max` asked for? True if it had neither. */
static inline bool filter_verifies(const struct filter *filter, uint64_t count)
{
    return count >= filter->min && count <= filter->max;
}

#endif
