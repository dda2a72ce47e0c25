/* SPDX-License-Identifier: MIT */
#include "mock/control/audit.h"

#include "mock/fault/rule.h"

#include <weir/hist.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US 1000U
#define NS_PER_S  1000000000ULL

/*
 * Two tolerances, so that a client is not accused for what is the mock's own.
 *
 * The end of an attempt is when its last byte was handed to the kernel or, on another thread, a
 * little after the client had it: an attempt that began this much before counts as sent after it.
 * Longer would take hedged attempts for retries.
 */
#define AUDIT_OVERLAP_NS 100000U
/* A client whose clock ticks in milliseconds may wake up to one too early. */
#define AUDIT_EARLY_NS 1000000U

/* A record and what it is grouped by. */
struct audit_entry {
    uint64_t group;
    uint32_t index;
};

/* The entries of one group, in order of arrival. */
struct audit_group {
    const struct journal_record *records;
    const struct audit_entry *entries;
    size_t count;
};

/* ---- What a record says ------------------------------------------------------------------ */

/* Faults that spoil an answer which is, by its status and end, well. */
static bool audit_is_spoiled(const struct journal_record *record)
{
    const uint32_t spoilers = 1U << FAULT_EMPTY | 1U << FAULT_TRUNCATE | 1U << FAULT_GARBAGE |
                              1U << FAULT_BAD_CHUNK | 1U << FAULT_BAD_JSON | 1U << FAULT_BAD_SSE |
                              1U << FAULT_DROP_DONE | 1U << FAULT_WRONG_LENGTH |
                              1U << FAULT_PARTIAL_HEADERS | 1U << FAULT_STATUS_IN_STREAM;
    return (spoilers >> record->fault_kind & 1U) != 0;
}

/* Is it one after which a client may try again? RFC 9110 section 15: 408 and the server's errors;
 * RFC 6585: 429; RFC 8470: 425. */
static bool audit_has_failed(const struct journal_record *record)
{
    uint16_t status = record->status;
    return record->end != JOURNAL_ANSWERED || status >= 500 || status == 408 || status == 425 ||
           status == 429 || audit_is_spoiled(record);
}

/* Had the client got bytes of an answer that says the work was done, or is being done? Then a POST
 * must not be sent again: it is not idempotent (RFC 9110 section 9.2.2). */
static bool audit_has_begun(const struct journal_record *record)
{
    if (record->end == JOURNAL_ANSWERED)
        return record->status >= 200 && record->status < 300;
    return record->end != JOURNAL_REFUSED && record->status < 400 &&
           (record->phase == JOURNAL_STREAMING || record->phase == JOURNAL_SENT);
}

static uint64_t audit_end_ns(const struct journal_record *record)
{
    return record->start_ns + record->delivered_ns;
}

static bool audit_is_after(const struct journal_record *record, uint64_t end_ns)
{
    return record->start_ns + AUDIT_OVERLAP_NS >= end_ns;
}

static const struct journal_record *audit_at(const struct audit_group *group, size_t i)
{
    return &group->records[group->entries[i].index];
}

/* The first attempt behind `i` that was sent after `i` had ended, not beside it; NULL: none. */
static const struct journal_record *audit_next_after(const struct audit_group *group, size_t i)
{
    uint64_t end_ns = audit_end_ns(audit_at(group, i));
    size_t low = i + 1, high = group->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (audit_is_after(audit_at(group, middle), end_ns))
            high = middle;
        else
            low = middle + 1;
    }
    return low == group->count ? NULL : audit_at(group, low);
}

/* ---- Violations -------------------------------------------------------------------------- */

/* Records lie in one array that is sorted by time, so their addresses say which came first. */
static bool violation_is_before(const struct audit_violation *a, const struct audit_violation *b)
{
    return a->record != b->record ? a->record < b->record : a->kind < b->kind;
}

/* Groups come in no order of time: the list keeps the first ones in time, sorted. */
static void audit_accuse(struct audit *out, const struct audit_violation *violation)
{
    out->violations_total++;
    uint32_t place = out->violations_count;
    if (place == AUDIT_VIOLATIONS_MAX) {
        if (!violation_is_before(violation, &out->violations[place - 1]))
            return;
        place--;
    } else {
        out->violations_count++;
    }
    for (; place > 0 && violation_is_before(violation, &out->violations[place - 1]); place--)
        out->violations[place] = out->violations[place - 1];
    out->violations[place] = *violation;
}

/* ---- By key ------------------------------------------------------------------------------ */

static void audit_check_retry_after(struct audit *out, const struct journal_record *failed,
                                    const struct journal_record *next)
{
    if (failed->retry_after_s == 0)
        return;
    out->told++;
    if (next == NULL) {
        out->not_retried++;
        return;
    }
    uint64_t due_ns = audit_end_ns(failed) + failed->retry_after_s * NS_PER_S;
    if (next->start_ns + AUDIT_EARLY_NS >= due_ns) {
        out->honoured++;
        return;
    }
    out->early++;
    uint64_t early_ns = due_ns - next->start_ns;
    if (early_ns > out->worst_early_ns)
        out->worst_early_ns = early_ns;
    audit_accuse(out, &(struct audit_violation){
                          .record = next, .before = failed, .kind = AUDIT_EARLY_RETRY });
}

static void audit_check_replays(struct audit *out, const struct audit_group *group)
{
    /* Of the POSTs whose answer had begun, the one that ended first: it forbids the most. */
    const struct journal_record *begun = NULL;
    for (size_t i = 0; i < group->count; i++) {
        const struct journal_record *record = audit_at(group, i);
        if (record->method != METHOD_POST)
            continue;
        if (begun != NULL && audit_is_after(record, audit_end_ns(begun))) {
            out->replayed_posts++;
            audit_accuse(out, &(struct audit_violation){
                                  .record = record, .before = begun, .kind = AUDIT_REPLAYED_POST });
        }
        if (audit_has_begun(record) &&
            (begun == NULL || audit_end_ns(record) < audit_end_ns(begun)))
            begun = record;
    }
}

static void audit_check_key(struct audit *out, const struct audit_group *group)
{
    uint64_t failed_count = 0;
    for (size_t i = 0; i < group->count; i++) {
        const struct journal_record *record = audit_at(group, i);
        if (!audit_has_failed(record))
            continue;
        failed_count++;
        const struct journal_record *next = audit_next_after(group, i);
        audit_check_retry_after(out, record, next);
        if (next != NULL) {
            uint64_t end_ns = audit_end_ns(record);
            uint64_t gap_ns = next->start_ns > end_ns ? next->start_ns - end_ns : 0;
            if (weir_hist_count(out->gaps_us) == 0 || gap_ns < out->gap_ns_min)
                out->gap_ns_min = gap_ns;
            weir_hist_record(out->gaps_us, gap_ns / NS_PER_US);
        }
    }
    out->keys++;
    out->keyed += group->count;
    if (group->count > out->attempts_max)
        out->attempts_max = group->count;
    out->failed_attempts += failed_count;
    if (failed_count > 0) {
        out->failed_keys++;
        out->failed_keys_attempts += group->count;
        out->recovered_keys += !audit_has_failed(audit_at(group, group->count - 1));
    }
    audit_check_replays(out, group);
}

/* ---- By connection ----------------------------------------------------------------------- */

static void audit_check_conn(struct audit *out, const struct audit_group *group)
{
    const struct journal_record *cut = NULL;
    out->conns++;
    for (size_t i = 0; i < group->count; i++) {
        const struct journal_record *record = audit_at(group, i);
        /* What was pipelined behind the request before its answer was cut is no offence. */
        if (cut != NULL && audit_is_after(record, audit_end_ns(cut))) {
            out->kept_after_cut++;
            audit_accuse(out, &(struct audit_violation){
                                  .record = record, .before = cut, .kind = AUDIT_KEPT_AFTER_CUT });
        }
        /* A stream that breaks off with an error has a whole body all the same. */
        bool lost = record->end == JOURNAL_CUT && record->fault_kind != FAULT_STATUS_IN_STREAM;
        if (lost && (cut == NULL || audit_end_ns(record) < audit_end_ns(cut)))
            cut = record;
    }
}

/* ---- All --------------------------------------------------------------------------------- */

/* By group, and within it by place, which is by time. */
static int audit_compare(const void *left, const void *right)
{
    const struct audit_entry *a = left, *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Sort the entries and hand out each group. */
static void audit_each_group(struct audit *out, struct audit_group all, struct audit_entry *entries,
                             void (*check)(struct audit *, const struct audit_group *))
{
    if (all.count > 1)
        qsort(entries, all.count, sizeof *entries, audit_compare);
    for (size_t first = 0; first < all.count;) {
        size_t end = first + 1;
        while (end < all.count && entries[end].group == entries[first].group)
            end++;
        check(out, &(struct audit_group){
                       .records = all.records, .entries = &entries[first], .count = end - first });
        first = end;
    }
}

int audit_open(struct audit *out, const struct journal_record *records, size_t count)
{
    *out = (struct audit){ .requests = count };
    if (count > UINT32_MAX)
        return -EOVERFLOW;
    struct weir_hist_config cfg;
    weir_hist_config_init(&cfg);
    int err = weir_hist_open(&out->gaps_us, &cfg);
    if (err < 0)
        return err;
    struct audit_entry *entries = malloc((count == 0 ? 1 : count) * sizeof *entries);
    if (entries == NULL) {
        audit_close(out);
        return -ENOMEM;
    }
    struct audit_group all = { .records = records, .entries = entries };
    for (uint32_t i = 0; i < count; i++) {
        if (records[i].keyed)
            entries[all.count++] = (struct audit_entry){ .group = records[i].key, .index = i };
    }
    audit_each_group(out, all, entries, audit_check_key);
    all.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (records[i].conn != 0)
            entries[all.count++] = (struct audit_entry){ .group = records[i].conn, .index = i };
    }
    audit_each_group(out, all, entries, audit_check_conn);
    free(entries);
    return 0;
}

void audit_close(struct audit *audit)
{
    weir_hist_close(audit->gaps_us);
    *audit = (struct audit){ 0 };
}

/* ---- Report ------------------------------------------------------------------------------ */

static const char *const audit_kind_names[] = {
    [AUDIT_EARLY_RETRY] = "early_retry",
    [AUDIT_REPLAYED_POST] = "replayed_post",
    [AUDIT_KEPT_AFTER_CUT] = "kept_after_cut",
};
_Static_assert(sizeof audit_kind_names / sizeof audit_kind_names[0] == AUDIT_KIND_COUNT,
               "one each");

/* Numbers and words of ours only, so that nothing must be escaped. */
static void audit_write_detail(struct text *text, const struct audit_violation *violation)
{
    const struct journal_record *record = violation->record, *before = violation->before;
    uint64_t end_ns = audit_end_ns(before);
    uint64_t gap_ns = record->start_ns > end_ns ? record->start_ns - end_ns : 0;
    switch (violation->kind) {
    case AUDIT_EARLY_RETRY:
        text_printf(text,
                    "came %.6f s after a %u that said Retry-After: %" PRIu32
                    " (thread %u, seq %" PRIu64 ")",
                    (double)gap_ns / 1e9, (unsigned)before->status, before->retry_after_s,
                    (unsigned)before->thread, before->seq);
        break;
    case AUDIT_REPLAYED_POST:
        text_printf(text, "sent again after an attempt that was %s (thread %u, seq %" PRIu64 ")",
                    before->end == JOURNAL_ANSWERED ? "answered 2xx"
                                                    : "over when its answer had begun",
                    (unsigned)before->thread, before->seq);
        break;
    default:
        text_printf(
            text, "on connection %" PRIu64 ", where an answer was cut (thread %u, seq %" PRIu64 ")",
            record->conn, (unsigned)before->thread, before->seq);
        break;
    }
}

static void audit_write_violations(struct text *text, const struct audit *audit, int64_t wall_ns)
{
    text_printf(text, "\"violations_total\":%" PRIu64 ",\"violations\":[", audit->violations_total);
    for (uint32_t i = 0; i < audit->violations_count; i++) {
        const struct audit_violation *violation = &audit->violations[i];
        const struct journal_record *record = violation->record;
        text_printf(text, "%s{\"kind\":\"%s\",\"key\":", i == 0 ? "" : ",",
                    audit_kind_names[violation->kind]);
        if (record->keyed)
            text_printf(text, "\"%016" PRIx64 "\"", record->key);
        else
            text_put(text, "null");
        text_printf(text, ",\"seq\":%" PRIu64 ",\"thread\":%u,\"time\":\"", record->seq,
                    (unsigned)record->thread);
        text_time(text, (int64_t)record->start_ns + wall_ns, 6);
        text_put(text, "\",\"detail\":\"");
        audit_write_detail(text, violation);
        text_put(text, "\"}");
    }
    text_put(text, "]");
}

/* `above` / `below`, or null when there is nothing to divide by. */
static void audit_write_ratio(struct text *text, uint64_t above, uint64_t below)
{
    if (below == 0)
        text_put(text, "null");
    else
        text_printf(text, "%.6g", (double)above / (double)below);
}

static void audit_write_gaps(struct text *text, const struct audit *audit)
{
    const struct weir_hist *gaps_us = audit->gaps_us;
    text_printf(text, "\"retry_gaps_us\":{\"count\":%" PRIu64, weir_hist_count(gaps_us));
    if (weir_hist_count(gaps_us) == 0)
        text_put(text, ",\"min\":null,\"p50\":null,\"p99\":null,\"max\":null},");
    else
        text_printf(text,
                    ",\"min\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"max\":%" PRIu64
                    "},",
                    audit->gap_ns_min / NS_PER_US, weir_hist_percentile(gaps_us, 50),
                    weir_hist_percentile(gaps_us, 99), weir_hist_max(gaps_us));
}

void audit_write(struct text *text, const struct audit *audit, uint64_t dropped, int64_t wall_ns)
{
    text_printf(text,
                "{\"requests\":%" PRIu64 ",\"journal_dropped\":%" PRIu64 ",\"keyed\":%" PRIu64
                ",\"keys\":%" PRIu64 ",\"attempts\":{\"mean\":",
                audit->requests, dropped, audit->keyed, audit->keys);
    audit_write_ratio(text, audit->keyed, audit->keys);
    text_printf(text,
                ",\"max\":%" PRIu64 "},\"failed\":{\"attempts\":%" PRIu64 ",\"keys\":%" PRIu64
                ",\"recovered\":%" PRIu64 "},\"amplification\":",
                audit->attempts_max, audit->failed_attempts, audit->failed_keys,
                audit->recovered_keys);
    audit_write_ratio(text, audit->failed_keys_attempts, audit->failed_keys);
    text_printf(text,
                ",\"retry_after\":{\"told\":%" PRIu64 ",\"honoured\":%" PRIu64 ",\"early\":%" PRIu64
                ",\"not_retried\":%" PRIu64 ",\"worst_early_us\":%" PRIu64 "},",
                audit->told, audit->honoured, audit->early, audit->not_retried,
                audit->worst_early_ns / NS_PER_US);
    audit_write_gaps(text, audit);
    text_printf(text,
                "\"replayed\":{\"post_after_bytes\":%" PRIu64
                "},\"connections\":{\"count\":%" PRIu64 ",\"kept_after_cut\":%" PRIu64 "},",
                audit->replayed_posts, audit->conns, audit->kept_after_cut);
    audit_write_violations(text, audit, wall_ns);
    text_put(text, "}");
}
