/* SPDX-License-Identifier: MIT */
/*
 * The last requests of one thread: a ring of fixed-size records. Adding one is a store of two cache
 * lines; text is made only when somebody asks.
 */
#ifndef MOCK_JOURNAL_H
#define MOCK_JOURNAL_H

#include "mock/api/endpoint.h"
#include "mock/text.h"

struct filter;

/* How a request ended. */
enum journal_end {
    JOURNAL_ANSWERED,   /* the whole answer was given */
    JOURNAL_CUT,        /* a fault ended it before the answer was whole */
    JOURNAL_REFUSED,    /* the server answered in our place: malformed, too long, too slow */
    JOURNAL_DISCONNECT, /* the client was gone before its answer was whole */
    JOURNAL_GIVEN_UP,   /* no memory for an answer: the connection was reset */
    JOURNAL_END_COUNT
};

/* Where a request was when its client went away, or a fault cut it. */
enum journal_phase {
    JOURNAL_BODY,
    JOURNAL_QUEUED,
    JOURNAL_DELAYED,
    JOURNAL_STREAMING,
    JOURNAL_SENT,
    JOURNAL_PHASE_COUNT
};

/* Times are nanoseconds of the engine's clock. */
struct journal_record {
    uint64_t seq;      /* arrival number, over all threads, from 1 */
    uint64_t start_ns; /* when the request's head was complete */
    uint64_t asked_ns; /* from start_ns, without the queue, to its last byte, as was configured */
    uint64_t delivered_ns; /* from start_ns to the last byte of the answer */
    uint64_t ttft_ns;      /* from start_ns to the first token or the answer; 0 = none */
    uint64_t key;          /* weir_random_key() of the client's, or the arrival number */
    uint64_t conn;         /* the number of its connection, over all threads, from 1; 0 = unknown */
    uint64_t answer_bytes; /* body of the answer */
    uint32_t queue_us;     /* of delivered_ns, waiting for a slot */
    uint32_t late_us;      /* the most that a token or the answer was later than due */
    uint32_t body_bytes;   /* received, payload */
    uint32_t prompt_tokens, output_tokens; /* asked, given */
    uint32_t retry_after_s;                /* 0 = none was sent */
    uint16_t status;                       /* 0: not answered */
    uint16_t thread;
    uint16_t rule;      /* fault_rule.number; 0 = no fault */
    int16_t model;      /* index in the configuration, or MODEL_UNKNOWN */
    uint8_t fault_kind; /* enum fault_kind */
    uint8_t endpoint;   /* enum endpoint */
    uint8_t method;     /* enum method */
    uint8_t end;        /* enum journal_end */
    uint8_t phase;      /* enum journal_phase, unless it was answered whole */
    bool stream;
    bool keyed; /* `key` is the client's */
};
_Static_assert(sizeof(struct journal_record) <= 128, "two cache lines");

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

/* The same of those that `filter` lets through; NULL lets all. O(records held). */
uint32_t journal_copy_matching(const struct journal *journal, const struct filter *filter,
                               struct journal_record *out, uint32_t max);

/* How many records held does `filter` let through? */
uint64_t journal_count_matching(const struct journal *journal, const struct filter *filter);

/* Sort records of several threads by time of arrival. */
void journal_sort(struct journal_record *records, size_t count);

/* "answered", "streaming": as the journal, the filters and the metrics call them. */
const char *journal_end_name(enum journal_end end);
const char *journal_phase_name(enum journal_phase phase);

/*
 * What turns records into text. Whoever writes many keeps one of these: the date is made once a
 * day. One thread at a time.
 */
struct journal_writer {
    int64_t wall_ns; /* added to the engine's clock gives Unix time */
    /* The name of a model, or NULL, which becomes null. It is not asked for a negative number, and
     * not at all when it is NULL. */
    const char *(*model_name)(const void *ctx, int16_t model);
    const void *ctx;
    /* Private: the day that `date` says. */
    int64_t day;
    char date[12];
};

/* Add one record as a JSON object, all members always, in the same order. */
void journal_write(struct text *text, const struct journal_record *record,
                   struct journal_writer *writer);

#endif
