/* SPDX-License-Identifier: MIT */
/*
 * The last requests of one thread: a ring of fixed-size records. Adding one is a store of a cache
 * line; text is made only when somebody asks.
 */
#ifndef MOCK_JOURNAL_H
#define MOCK_JOURNAL_H

#include "mock/endpoint.h"
#include "mock/text.h"

enum journal_fault {
    JOURNAL_FAULT_NONE,
    JOURNAL_FAULT_ERROR,     /* an injected error */
    JOURNAL_FAULT_DISCONNECT /* the client was gone before it was answered: status is 0 */
};

/* Times are nanoseconds of the engine's clock. */
struct journal_record {
    uint64_t seq;          /* arrival number on its thread, from 1 */
    uint64_t start_ns;     /* when the request's head was complete */
    uint64_t asked_ns;     /* the delay that was configured for it */
    uint64_t delivered_ns; /* from start_ns to the answer */
    uint32_t queue_us;     /* of that, waiting for a slot */
    uint32_t body_bytes;   /* received, payload */
    uint32_t answer_bytes; /* body of the answer */
    uint16_t status;       /* 0: not answered */
    uint16_t thread;
    uint8_t endpoint; /* enum endpoint */
    uint8_t method;   /* enum method */
    uint8_t fault;    /* enum journal_fault */
};
_Static_assert(sizeof(struct journal_record) <= 64, "one cache line");

struct journal {
    struct journal_record *records;
    uint32_t capacity; /* 0 = off */
    uint32_t next;
    uint64_t recorded; /* since the last reset */
};

/* @return 0 or -ENOMEM. Memory becomes resident as it is used. */
int journal_open(struct journal *journal, uint32_t capacity);
void journal_close(struct journal *journal);
void journal_reset(struct journal *journal);

static inline void journal_add(struct journal *journal, const struct journal_record *record)
{
    if (journal->capacity == 0)
        return;
    journal->records[journal->next] = *record;
    journal->next = journal->next + 1 == journal->capacity ? 0 : journal->next + 1;
    journal->recorded++;
}

/* Records that were overwritten by later ones. */
uint64_t journal_dropped_count(const struct journal *journal);

/* Copy the last records, at most `max`, oldest first. @return how many */
uint32_t journal_copy(const struct journal *journal, struct journal_record *out, uint32_t max);

/* Sort records of several threads by time of arrival. */
void journal_sort(struct journal_record *records, size_t count);

/* Add one record as a JSON object. `wall_ns` is what turns the engine's clock into Unix time. */
void journal_write(struct text *text, const struct journal_record *record, int64_t wall_ns);

#endif
