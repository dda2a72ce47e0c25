/* SPDX-License-Identifier: MIT */
#include "mock/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US 1000U

int journal_open(struct journal *journal, uint32_t capacity)
{
    *journal = (struct journal){ .capacity = capacity };
    if (capacity == 0)
        return 0;
    journal->records = calloc(capacity, sizeof *journal->records);
    return journal->records == NULL ? -ENOMEM : 0;
}

void journal_close(struct journal *journal)
{
    free(journal->records);
    *journal = (struct journal){ 0 };
}

void journal_reset(struct journal *journal)
{
    journal->next = 0;
    journal->recorded = 0;
}

uint64_t journal_dropped_count(const struct journal *journal)
{
    return journal->recorded > journal->capacity ? journal->recorded - journal->capacity : 0;
}

uint32_t journal_copy(const struct journal *journal, struct journal_record *out, uint32_t max)
{
    uint32_t held =
        journal->recorded < journal->capacity ? (uint32_t)journal->recorded : journal->capacity;
    uint32_t count = held < max ? held : max;
    if (count == 0)
        return 0;
    /* The last `count` records end at `next`; they may go around the end of the ring once. */
    uint32_t first = journal->next >= count ? journal->next - count
                                            : journal->capacity - (count - journal->next);
    uint32_t before_end = journal->capacity - first;
    uint32_t head = count < before_end ? count : before_end;
    memcpy(out, &journal->records[first], head * sizeof *out);
    memcpy(out + head, journal->records, (count - head) * sizeof *out);
    return count;
}

/* Arrival, then thread and number: a total order, so that equal times print the same way each time.
 */
static int journal_compare(const void *left, const void *right)
{
    const struct journal_record *a = left, *b = right;
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns ? -1 : 1;
    if (a->thread != b->thread)
        return a->thread < b->thread ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

void journal_sort(struct journal_record *records, size_t count)
{
    if (count > 1)
        qsort(records, count, sizeof *records, journal_compare);
}

static const char *journal_fault_json(uint8_t fault)
{
    switch (fault) {
    case JOURNAL_FAULT_ERROR:
        return "\"error\"";
    case JOURNAL_FAULT_DISCONNECT:
        return "\"disconnect\"";
    default:
        return "null";
    }
}

void journal_write(struct text *text, const struct journal_record *record, int64_t wall_ns)
{
    text_printf(text, "{\"seq\":%" PRIu64 ",\"thread\":%u,\"time\":\"", record->seq,
                (unsigned)record->thread);
    text_time(text, (int64_t)record->start_ns + wall_ns, 6);
    text_printf(text,
                "\",\"endpoint\":\"%s\",\"method\":\"%s\",\"status\":%u,\"fault\":%s,"
                "\"asked_us\":%" PRIu64 ",\"delivered_us\":%" PRIu64 ",\"queue_us\":%u,"
                "\"body_bytes\":%u,\"answer_bytes\":%u}",
                endpoint_name(record->endpoint), method_name(record->method),
                (unsigned)record->status, journal_fault_json(record->fault),
                record->asked_ns / NS_PER_US, record->delivered_ns / NS_PER_US, record->queue_us,
                record->body_bytes, record->answer_bytes);
}
